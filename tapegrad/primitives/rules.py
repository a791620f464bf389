"""Rules: what they read of a call, and what stands for the values that they do not read."""

from __future__ import annotations

import dis
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from .. import tree
from ..errors import RuleError
from ..guard import lent
from ..tracer import Spec, Tracer, alias, spec_of

_ndarray = np.ndarray

Key = int | str  # an argument: its position, or its name if it is keyword-only

DROP, SHAPE, KEEP = 0, 1, 2  # what the tape holds of a value: nothing, a placeholder, the value


REFUSED = ("out", "where", "initial")  # parameters of NumPy's that no rule knows


# the functions of NumPy that look at shape and dtype alone
OF_SHAPE = frozenset(
    {np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like}
    | {np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast}
)


def _unread(self: Placeholder, *_: Any, **__: Any) -> Any:
    raise RuleError(
        "a rule read the values of a parameter whose name begins with an underscore",
        f"such a value is not kept on the tape; here it had shape {self.shape}, dtype {self.dtype}",
        "take the underscore from the parameter's name",
    )


class Placeholder:
    """What a rule gets for a parameter that begins with an underscore: shape and dtype without the values."""

    __slots__ = ("dtype", "shape")
    __array_ufunc__ = None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, spec: Spec) -> None:
        self.shape, self.dtype = spec if isinstance(spec, tuple) else ((), np.dtype(spec))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Placeholder(shape={self.shape}, dtype={self.dtype})"

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.shape:
            return self.shape
        if func in OF_SHAPE:
            empty = np.broadcast_to(np.zeros((), self.dtype), self.shape)
            return func(*(empty if a is self else a for a in args), **kwargs)
        return _unread(self)

    __hash__ = None  # type: ignore[assignment]
    __array__ = __bool__ = __float__ = __int__ = __complex__ = __iter__ = __getitem__ = __getattr__ = _unread
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unread
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _unread
    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __matmul__ = __rmatmul__ = _unread
    __neg__ = __pos__ = __abs__ = _unread


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array_function__")


def placeholder(value: Any) -> Any:
    """A placeholder for an array or a number, containers of these included; anything else as it is."""
    if _is_array(value) or type(value) in (float, complex):
        return Placeholder(spec_of(value))
    if isinstance(value, (list, tuple)):
        made = [placeholder(v) for v in value]
        return tuple(made) if isinstance(value, tuple) else made
    return value


class Rule:
    """A rule, with what it reads: of the answer, and of each argument."""

    __slots__ = ("arguments", "call", "names", "rest", "touched", "y")

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        names, rest = _positional(call)
        self.names = *names, rest
        self.touched = read = _names_read(call)
        *fates, self.rest = [
            KEEP if name[:1] not in ("_", "") else SHAPE if name and (read is None or name in read) else DROP
            for name in (*names, rest)
        ]
        self.y = fates[1] if len(fates) > 1 else self.rest
        self.arguments = fates[2:]

    def fate(self, position: int) -> int:
        return self.arguments[position] if position < len(self.arguments) else self.rest

    def like(self, call: Callable[..., Any]) -> Rule:
        """Another rule that reads what this one reads, and the shape of the rest."""
        made = Rule(call)
        made.names, made.touched = self.names, self.touched
        made.y, made.rest = max(self.y, SHAPE), max(self.rest, SHAPE)
        made.arguments = [max(fate, SHAPE) for fate in self.arguments]
        return made

    @property
    def reads_answer(self) -> bool:
        """Whether the rule looks at the values of the answer."""
        return self.reads(-1)

    def reads(self, key: Key) -> bool:
        """Whether the rule looks at the values of an argument."""
        if isinstance(key, str):
            return True
        name = self.names[min(key + 2, len(self.names) - 1)]
        return name[:1] not in ("_", "") and (self.touched is None or name in self.touched)


def apart(call: Callable[..., Any]) -> Callable[..., Any]:
    """A user's rule, which may write to whatever it gets: that is its own."""

    @functools.wraps(call)
    def rule(*given: Any, **options: Any) -> Any:
        for v in given:
            if type(v) not in _IMMUTABLE:
                given = tuple([v if type(v) in _IMMUTABLE else _own(v) for v in given])
                break
        return call(*given, **{word: _own(v) for word, v in options.items()}) if options else call(*given)

    return rule


_IMMUTABLE = frozenset({float, Placeholder, np.float64, int, str, bool, type(None)})


def _own(v: Any) -> Any:
    kind = type(v)
    if kind is _ndarray:
        return lent(v)
    if isinstance(v, Tracer):
        return alias(v)
    return tree.map(_own, v) if tree.is_node(v) and v is not None else v


def again(call: Callable[..., Any], *values: Any, **options: Any) -> Any:
    """What a rule gives with NumPy's numbers in the place of Python's, whose arithmetic raises where it overflows."""
    numbers: dict[type, Any] = {float: np.float64, complex: np.complex128}
    return call(*[numbers[type(v)](v) if type(v) in numbers else v for v in values], **options)


def _positional(function: Callable[..., Any]) -> tuple[Sequence[str], str]:
    """The names of a function's positional parameters, and of the one that takes the rest, "" if there is none."""
    code = getattr(function, "__code__", None)
    if type(function) is FunctionType and code is not None:
        n = code.co_argcount
        return code.co_varnames[:n], code.co_varnames[n + code.co_kwonlyargcount] if code.co_flags & _VARARGS else ""
    parameters = inspect.signature(function).parameters.values()
    return (
        [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)],
        next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), ""),
    )


_VARARGS = inspect.CO_VARARGS
# the instructions that touch local variables, and whether each touches two
_LOCAL = {number: dis.opname[number].count("FAST") == 2 for number in dis.haslocal}


def _names_read(function: Callable[..., Any]) -> set[str] | None:
    """The local names that a function's code touches; None where that cannot be seen."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    touched = set()
    for instruction, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        if instruction in _LOCAL:
            touched |= {argument >> 4, argument & 15} if _LOCAL[instruction] else {argument}
    return {name for k, name in enumerate(code.co_varnames) if k in touched} | set(code.co_cellvars)
