"""How primitives are made: the decorator that users have, and the words that the table of rules is written in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import numpy as np

from .. import tree
from ..errors import PrimitiveError
from ..tracer import DIRECT, FUNCTIONS, UFUNCS, Tracer
from .forms import binary, edge, quick, unary
from .general import LEAVES, make_form, make_record
from .rules import Definition
from .single import single, takes_settings

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])


class Primitive(Protocol[P, R]):
    """A function that the tape records as one entry."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def defvjp(self, argument: F, /) -> F: ...
    @overload
    def defvjp(self, argument: int | str, /) -> Callable[[F], F]: ...
    def defvjp(self, argument: Any, /) -> Any:
        """Give the rule that takes a cotangent back: for all arguments (bare), or for one, by position or name."""


@overload
def primitive(fun: Callable[P, R], /, *, nondiff_argnames: str | Sequence[str] = ()) -> Primitive[P, R]: ...
@overload
def primitive(
    *, nondiff_argnames: str | Sequence[str] = ()
) -> Callable[[Callable[P, R]], Primitive[P, R]]: ...
def primitive(fun: Any = None, /, *, nondiff_argnames: str | Sequence[str] = ()) -> Any:
    """Make `fun` a primitive: a function that the tape records as one entry, and whose derivative you tell.

    The body runs on plain arrays and numbers, and may use whatever computes. It returns an array, a
    number, or a tuple of arrays.

    A rule is `rule(g, y, ...)`: the cotangent of the answer, the answer, then the arguments of `fun` with
    defaults filled in, keyword-only ones by keyword. It returns the cotangent of its argument, of that
    argument's shape (`unbroadcast` helps), or None where there is none. A parameter whose name begins
    with an underscore is not kept in memory: the rule gets its shape and dtype alone. Rules written with
    NumPy can be differentiated again.

        @fun.defvjp              all arguments at once: return a tuple
        @fun.defvjp("x")         one argument by name or position: computed only where it is needed

    Args:
        fun: the function; one of NumPy's will do, too.
        nondiff_argnames: the parameters that carry no derivative; a traced value there raises.

    Returns:
        The function, with the name, docstring and signature of `fun`, and `defvjp`.

    >>> @primitive
    ... def cube(x):
    ...     return x**3
    >>> @cube.defvjp
    ... def cube_vjp(g, _y, x):
    ...     return g * 3 * x**2
    >>> from tapegrad import grad
    >>> grad(cube)(2.0)
    12.0
    """
    if fun is None:
        return functools.partial(primitive, nondiff_argnames=nondiff_argnames)
    if not callable(fun):
        raise PrimitiveError(
            f"primitive needs a function, and got a {type(fun).__name__}",
            "it makes a function one entry of the tape",
            "write @primitive above a def",
        )
    if isinstance(nondiff_argnames, str):
        nondiff_argnames = (nondiff_argnames,)
    definition = Definition(fun, getattr(fun, "__name__", type(fun).__name__), nondiff_argnames)
    return general(definition, fun)


def general(definition: Definition, plain: Callable[..., Any]) -> Any:
    """The function of a definition; `plain` serves the calls without tracers."""
    record = make_record(definition, make_form(definition), definition.body)
    quick: Any = None

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal quick
        if args and type(args[0]) is Tracer:
            if quick is None:
                quick = single(definition, record) if takes_settings(definition) else record
            return quick(*args, **kwargs)
        for a in args:
            if type(a) not in LEAVES:
                return record(*args, **kwargs) if has_tracer(args, kwargs) else plain(*args, **kwargs)
        for a in kwargs.values():
            if type(a) not in LEAVES:
                return record(*args, **kwargs) if has_tracer(args, kwargs) else plain(*args, **kwargs)
        return plain(*args, **kwargs)

    def changed() -> None:
        nonlocal quick
        quick = None

    definition.changed = changed
    return _dress(call, definition, plain)


def has_tracer(args: Any, kwargs: Any) -> bool:
    """Whether there is a tracer among the arguments of a call, in containers too."""
    for a in (*args, *kwargs.values()):
        if isinstance(a, Tracer):
            return True
        if type(a) not in LEAVES and tree.is_node(a) and any(isinstance(leaf, Tracer) for leaf in tree.leaves(a)):
            return True
    return False


def _dress(call: Any, definition: Definition, like: Any) -> Any:
    """Give a primitive's function the name, docstring and signature of `like`, and `defvjp`."""
    functools.update_wrapper(call, like)

    def defvjp(argument: Any, /) -> Any:
        if callable(argument):
            definition.add(None, argument)
            return argument
        key = definition.key(argument)

        def take(rule: F) -> F:
            definition.add(key, rule)
            return rule

        return take

    call.defvjp = defvjp
    call.definition = definition
    return call


def elementwise(ufunc: np.ufunc, *rules: Callable[..., Any]) -> Any:
    """A row of the table: one of NumPy's ufuncs, and for each argument the rule that goes back through it.

    The rules of a row need not unbroadcast. The result takes what the ufunc takes, `dtype=` and
    the like included; `out=` and `where=` are refused for traced values. It has `operator(operate)` too,
    which makes the function for Python's operator, and the same for the reflected one.
    """
    definition = Definition(ufunc, ufunc.__name__, elementwise=True)
    for position, rule in enumerate(rules):
        definition.add(position, rule)
    number = make_form(definition)

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
        for word in ("out", "where"):
            given = kwargs.pop(word, None)
            if given is not None and given is not True and given != (None,):
                if not any(isinstance(a, Tracer) for a in args):
                    raise _into_plain(ufunc.__name__)
                raise PrimitiveError(
                    f"numpy.{ufunc.__name__} was called with {word}= and a traced value",
                    "the derivative of such a call is not known",
                    "leave it out and use the result; numpy.where selects",
                )
        return slow(functools.partial(ufunc, **kwargs))(*args)

    if ufunc.nin == 1:
        one = unary(definition, slow(ufunc))

        def call(x: Any, /, *out: Any, **kwargs: Any) -> Any:
            return options(x, out=out, **kwargs) if out or kwargs else one(x)

        DIRECT[ufunc] = call.operator = one  # type: ignore[attr-defined]
    else:
        make = binary(definition) if quick(definition) else None
        two = make(ufunc, slow(ufunc))[0] if make else slow(ufunc)

        DIRECT[ufunc] = two

        def call(x: Any, z: Any, /, *out: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            if out or kwargs:
                return options(x, z, **(kwargs | {"out": out} if out else kwargs))
            y = two(x, z)
            if y is NotImplemented:
                raise TypeError(f"{ufunc.__name__} cannot take {type(x).__name__} and {type(z).__name__}")
            return y

        def operator(operate: Callable[[Any, Any], Any]) -> Any:
            def guarded(x: Any, z: Any) -> Any:
                try:
                    return operate(x, z)
                except ArithmeticError:
                    return edge(ufunc, x, z)

            assert make is not None
            return make(operate, slow(guarded))

        call.operator = operator  # type: ignore[attr-defined]
    UFUNCS[ufunc] = call
    return _dress(call, definition, ufunc)


def _into_plain(name: str) -> PrimitiveError:
    return PrimitiveError(
        f"numpy.{name} would write a traced value into a plain array",
        "an operator such as z += x changes the array z, which cannot hold a derivative",
        "write z = z + x, or make z from a traced value",
    )


def _operand(a: Any) -> Any:
    """An operand that is not a plain number or array: an array if it can be one, else NotImplemented."""
    if isinstance(a, (list, tuple)):
        return FUNCTIONS[np.array](a)
    if isinstance(a, (np.ndarray, np.generic)) or hasattr(a, "__array_ufunc__"):
        return a
    return np.asarray(a) if hasattr(a, "__array__") else NotImplemented


def constant(ufunc: Any) -> Any:
    """A function of NumPy whose derivative is zero everywhere it has one: its result is plain."""

    @functools.wraps(ufunc)
    def call(*args: Any, **kwargs: Any) -> Any:
        return ufunc(*[_plain(a) for a in args], **{word: _plain(a) for word, a in kwargs.items()})

    (UFUNCS if isinstance(ufunc, np.ufunc) else FUNCTIONS)[ufunc] = call
    return call


def _plain(a: Any) -> Any:
    if isinstance(a, Tracer):
        return a._value
    if isinstance(a, (list, tuple)):
        return type(a)([_plain(part) for part in a])
    return a


def array_function(
    function: Any, nondiff: Sequence[str] = (), constants: Sequence[str] = (), elementwise: bool = False, views: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Make the decorated body the primitive that serves one of NumPy's functions where a value is traced.

    The body has the parameters of NumPy's function, in NumPy's order, as far as its rules know them.
    A traced value raises for those in `nondiff`, and is taken as plain for those in `constants`. Other
    calls go to NumPy's own function.
    """

    def decorate(body: Callable[..., Any]) -> Any:
        made = general(Definition(body, body.__name__, nondiff, constants, elementwise, views), function)
        FUNCTIONS[function] = made
        return made

    return decorate


def composed(function: Any) -> Callable[[F], F]:
    """Let the decorated function serve one of NumPy's where a value is traced; it is written in primitives."""

    def decorate(body: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return (body if has_tracer(args, kwargs) else function)(*args, **kwargs)

        FUNCTIONS[function] = call
        return call  # type: ignore[return-value]

    return decorate


__all__ = ["Primitive", "array_function", "composed", "constant", "elementwise", "primitive"]
