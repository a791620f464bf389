"""The words of the table for NumPy's ufuncs: `elementwise`, `generalised`, `constant`."""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from ..errors import PrimitiveError
from ..tracer import DIRECT, FUNCTIONS, UFUNCS, Tracer, constant_of, plain
from .binary import binary
from .bodies import LEAVES
from .define import dress, has_tracer
from .definition import Definition
from .forms import edge, quick
from .general import make_form, make_record
from .inputs import a_kind, plain_form
from .rules import OF_SHAPE
from .unary import unary

_OPTIONS = frozenset({"casting", "dtype", "order", "signature", "subok"})  # of a ufunc, that its rules need not know

_ATTRIBUTES = ("nin", "nout", "nargs", "types", "identity", "reduce", "accumulate", "reduceat", "outer", "at")


def elementwise(ufunc: np.ufunc, *rules: Callable[..., Any], **words: Any) -> Any:
    """A row of the table: a function of each element, and for each argument the rule that goes back through it.

    The rules of a row need not unbroadcast. The result takes what the ufunc takes, `dtype=` and
    the like included; `out=` and `where=` are refused for traced values. It has `operator(operate)` too,
    which makes the function for Python's operator, of two arguments with the one for the reflected operator.
    The words (`linear`, `multilinear`, `scales`) are those of `Definition`.
    """
    return _row(Definition(ufunc, ufunc.__name__, elementwise=True, **words), ufunc, rules)


def generalised(ufunc: np.ufunc, *rules: Callable[..., Any], **words: Any) -> Any:
    """A row of the table for a ufunc of whole vectors or matrices, such as `matmul`."""
    return _row(Definition(ufunc, ufunc.__name__, **words), ufunc, rules)


def _row(definition: Definition, ufunc: np.ufunc, rules: Sequence[Callable[..., Any]]) -> Any:
    for position, rule in enumerate(rules):
        definition.add(position, rule)
    number = make_form(definition)
    definition.record = make_record(definition, number, ufunc)

    def slow(operate: Callable[..., Any]) -> Callable[..., Any]:
        record = make_record(definition, number, operate)

        def call(*args: Any) -> Any:
            operands = []
            for a in args:
                if type(a) not in LEAVES and not isinstance(a, Tracer):
                    a = _operand(a)
                    if a is NotImplemented:
                        return a
                operands.append(a)
            return record(*operands)

        return call

    def options(*args: Any, **kwargs: Any) -> Any:
        if not has_tracer(args, kwargs):
            return ufunc(*args, **kwargs)
        out = kwargs.pop("out", None)
        out = out if isinstance(out, tuple) else (out,)
        if out[0] is not None and args and out[0] is args[0] and not isinstance(args[0], Tracer):
            raise _into_plain(ufunc.__name__)
        where = kwargs.pop("where", True)
        if len(out) == 1 and isinstance(out[0], Tracer) and where is True:
            return _into(out[0], slow(functools.partial(ufunc, **kwargs))(*args), kwargs.get("casting", "same_kind"))
        for word, given in (("out", any(o is not None for o in out)), ("where", where is not True)):
            if given:
                raise PrimitiveError(
                    f"numpy.{ufunc.__name__} was called with {word}= and a traced value",
                    "the derivative of such a call is not known",
                    "leave it out and use the result; numpy.where selects",
                )
        for word in kwargs:
            if word not in _OPTIONS:
                raise PrimitiveError(
                    f"numpy.{ufunc.__name__} was called with {word}= and a traced value",
                    "the derivative of such a call is not known",
                    f"numpy.moveaxis moves axes; help(numpy.{ufunc.__name__}) tells the rest",
                )
        return slow(functools.partial(ufunc, **kwargs))(*args)

    nin = ufunc.nin
    make: Any = (unary if nin == 1 else binary)(definition) if quick(definition) else None
    short: Any = slow(ufunc)
    if make is not None:
        made = make(ufunc, short)
        short = made if nin == 1 else made[0]

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != nin:
            if len(args) > nin:
                kwargs["out"] = args[nin:]
            return options(*args[:nin], **kwargs)
        y = short(*args)
        if y is NotImplemented:
            raise TypeError(f"{ufunc.__name__} cannot take {', '.join(type(a).__name__ for a in args)}")
        return y

    def operator(operate: Callable[..., Any]) -> Any:
        def guarded(*args: Any) -> Any:
            try:
                return operate(*args)
            except ArithmeticError:
                return edge(ufunc, *args)

        return cast(Any, make)(operate, slow(guarded))

    for name in _ATTRIBUTES:
        setattr(call, name, getattr(ufunc, name))
    call.operator = operator  # type: ignore[attr-defined]
    DIRECT[ufunc] = definition.call = short
    UFUNCS[ufunc] = call
    return dress(call, definition, ufunc)


def _into(out: Any, made: Any, casting: Any) -> Any:
    """Write a result to a traced array, as `out=` does."""
    if not np.can_cast(made.dtype, out.dtype, casting):
        raise TypeError(f"cannot cast the result from {made.dtype} to {out.dtype} with casting rule {casting!r}")
    if np.broadcast_shapes(np.shape(made), out.shape) != out.shape:
        raise ValueError(f"non-broadcastable output operand with shape {out.shape}")
    out[...] = made.astype(out.dtype) if made.dtype != out.dtype else made
    return out


def _into_plain(name: str) -> PrimitiveError:
    return PrimitiveError(
        f"numpy.{name} would write a traced value into a plain array",
        "an operator such as z += x changes the array z, which cannot hold a derivative",
        "make z from a traced array, by numpy.zeros_like(x) or x.copy(), or write z = z + x",
    )


def _operand(a: Any) -> Any:
    """An operand that is not a plain number or array: an array if it can be one, else NotImplemented.

    Raises for what is no array of NumPy's own class, but takes itself for one, and for arrays of objects.
    """
    if isinstance(a, (list, tuple)):
        a = FUNCTIONS[np.array](a)
    if isinstance(a, (Tracer, np.generic)) or type(a) is np.ndarray:
        return check_objects(a)
    if isinstance(a, np.memmap):
        return np.asarray(a)
    own = getattr(a, "__array_ufunc__", None) is not None
    if own or isinstance(a, np.ndarray) or hasattr(a, "toarray") or hasattr(a, "to_numpy"):
        raise PrimitiveError(
            f"a traced value met {a_kind(a)}",
            "what this class does differently from a plain array has no derivative rule",
            f"pass a plain array: {plain_form(a, 'x') or 'numpy.asarray(x)'}",
        )
    if isinstance(a, numbers.Real):
        return float(a)
    opens = hasattr(a, "__array__") and not hasattr(a, "__array_ufunc__")
    return check_objects(np.asarray(a)) if opens else NotImplemented


def operand(a: Any) -> Any:
    """What a function of NumPy takes for an array, as a plain array or number; raises if a traced value cannot meet it.

    Python's numbers and what is no array at all stay what they are.
    """
    if type(a) is np.ndarray or isinstance(a, Tracer):
        return check_objects(a)
    if type(a) in LEAVES:
        return a
    made = _operand(a)
    return a if made is NotImplemented else made


def check_objects(a: Any) -> Any:
    """The array or number itself; raises if it holds objects."""
    if a.dtype.kind == "O":
        raise PrimitiveError(
            "a traced value met an array of objects",
            f"shape {a.shape}, dtype object: what its elements do has no derivative rule",
            "pass an array of numbers: x.astype(float)",
        )
    return a


def constant(function: Any) -> Any:
    """A function of NumPy whose derivative is zero everywhere it has one: its result is plain."""
    of_ufunc = isinstance(function, np.ufunc)
    start = function.nin if of_ufunc else _position_of_out(function)
    look = functools.partial(_look, plain if function in OF_SHAPE else lambda x: constant_of(x, function.__name__))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if has_tracer(args[start : start + 1], {"out": kwargs.get("out")}):
            raise PrimitiveError(
                f"numpy.{function.__name__} was called with a traced array for out=",
                "a traced array does not change where its plain value does",
                "leave out= away and use the result",
            )
        return function(*[look(a) for a in args], **{word: look(a) for word, a in kwargs.items()})

    (UFUNCS if of_ufunc else FUNCTIONS)[function] = call
    return call


def _position_of_out(function: Any) -> int:
    """Where a function of NumPy takes the array to write to; far beyond where it takes none."""
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):
        return 99
    return names.index("out") if "out" in names else 99


def _look(unwrap: Callable[[Any], Any], a: Any) -> Any:
    if isinstance(a, Tracer):
        return unwrap(a)
    if isinstance(a, (list, tuple)):
        return type(a)([_look(unwrap, part) for part in a])
    return a
