"""The value that records: it stands for a number or an array while a transform runs.

A tracer holds a plain value, the index of the entry that made it, its scope, and its spec: the class of
a Python number, `(shape, dtype)` of everything else. What operators, methods and NumPy's functions do
with it stands in tables that the rules fill (`OPERATORS` of `tapegrad.numpy.operators`, `UFUNCS` and
`FUNCTIONS` here), so this file knows no rule.

It is no subclass of ndarray, for those lose the trace silently, and it has an `__array__` that raises,
for without one NumPy would wrap it into an array of objects.
"""

from __future__ import annotations

import dis
import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ref

import numpy as np

from .errors import AssignmentError, ConversionError, EscapedTracerError, MissingRuleError
from .tape import Scope, escaped

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Spec = type[Any] | tuple[tuple[int, ...], np.dtype[Any]]

UFUNCS: dict[Any, Callable[..., Any]] = {}
DIRECT: dict[Any, Callable[..., Any]] = {}  # a short cut: ufuncs without keywords
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
LIKE: dict[Any, Callable[..., Any]] = {}  # functions that make arrays, called with like=x: what to make of those
METHODS: dict[tuple[Any, str], Callable[..., Any]] = {}  # (ufunc, "reduce") and the like

NUMBERS: dict[type, Spec] = {float: float, complex: complex, int: int, bool: bool} | {
    np.dtype(code).type: ((), np.dtype(code)) for code in np.typecodes["All"] if code not in "SUVMmO"
}
INEXACT = {kind: spec for kind, spec in NUMBERS.items() if np.dtype(kind).kind in "fc"}  # that carry a derivative


def spec_of(value: Any) -> Spec:
    """The spec of a plain value: the class of a Python number, else its shape and dtype."""
    found = NUMBERS.get(type(value))
    if found is None and isinstance(value, (float, int, complex)) and not isinstance(value, np.generic):
        return next(kind for kind in (bool, int, float, complex) if isinstance(value, kind))
    return found or (value.shape, value.dtype)


def is_inexact(value: Any) -> bool:
    """Whether a plain value is a number or an array that can carry a derivative."""
    if isinstance(value, (float, complex)):
        return True
    return getattr(getattr(value, "dtype", None), "kind", "") in ("f", "c")


def shape_of(spec: Spec) -> tuple[int, ...]:
    """The shape that a spec tells: `()` of a number."""
    return () if isinstance(spec, type) else spec[0]


def dtype_of(spec: Spec) -> np.dtype[Any]:
    """The dtype that a spec tells: float64 of a Python float."""
    return np.dtype(spec) if isinstance(spec, type) else spec[1]


class Tracer:
    """A value that records what is done with it. Code that is written for NumPy takes it for an array.

    It is made by transforms alone, and means something only while its transform runs.
    """

    __slots__ = ("__weakref__", "_index", "_scope", "_spec", "_value", "_view", "_views")

    _value: Any
    _index: int
    _scope: Scope
    _spec: Spec
    _view: Any  # of a view, and _views of an array that has some: see `views`
    _views: list[Any]

    if TYPE_CHECKING:  # operators and methods are given by the rules
        def __add__(self, other: Any, /) -> Any: ...
        def __sub__(self, other: Any, /) -> Any: ...
        def __mul__(self, other: Any, /) -> Any: ...
        def __truediv__(self, other: Any, /) -> Any: ...
        def __floordiv__(self, other: Any, /) -> Any: ...
        def __mod__(self, other: Any, /) -> Any: ...
        def __pow__(self, other: Any, /) -> Any: ...
        def __matmul__(self, other: Any, /) -> Any: ...
        def __radd__(self, other: Any, /) -> Any: ...
        def __rsub__(self, other: Any, /) -> Any: ...
        def __rmul__(self, other: Any, /) -> Any: ...
        def __rtruediv__(self, other: Any, /) -> Any: ...
        def __getitem__(self, other: Any, /) -> Any: ...
        def __setitem__(self, other: Any, value: Any, /) -> None: ...
        def __iter__(self) -> Any: ...
        def __neg__(self) -> Any: ...
        def __getattr__(self, name: str, /) -> Any: ...

    # what it looks like: never recorded

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return shape_of(self._spec)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value: float64 of a Python float."""
        return dtype_of(self._spec)

    @property
    def ndim(self) -> int:
        """The number of axes of the value."""
        return len(shape_of(self._spec))

    @property
    def size(self) -> int:
        """The number of elements of the value."""
        return math.prod(shape_of(self._spec))

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        if type(self._spec) is not tuple or not self._spec[0]:
            return f"Tracer({self._value})"
        text = np.array2string(np.asarray(self._value), separator=", ", threshold=20, prefix="Tracer(")
        return f"Tracer({text}, shape={self._spec[0]}, dtype={self._spec[1]})"

    def __str__(self) -> str:
        return str(self._value)

    def __format__(self, spec: str) -> str:
        return format(self._value, spec)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            function = DIRECT.get(ufunc)
            if function is not None:
                return function(*inputs)
        if method == "__call__":
            function = UFUNCS.get(ufunc)
        else:
            function = METHODS.get((ufunc, method))
        if function is None and method == "__call__":  # what a method of ndarray calls, such as clip
            function = FUNCTIONS.get(getattr(np, ufunc.__name__, None))
        if function is None:
            name = f"{'numpy.' * hasattr(np, ufunc.__name__)}{ufunc.__name__}"
            raise missing(name if method == "__call__" else f"{name}.{method}")
        return function(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        function = FUNCTIONS.get(func)
        if function is None and func in LIKE:
            return LIKE[func](func(*args, **kwargs), self)
        if function is None:
            module = getattr(func, "__module__", None) or "numpy"
            raise missing(f"{module}.{func.__name__}")
        return function(*args, **kwargs)

    # what would cut the derivative

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        if _is_stored(sys._getframe(1)):
            raise _into_plain(self)
        raise _cut(
            self,
            "numpy.asarray(x)",
            "x.copy() copies, numpy.stack joins traced parts, and tapegrad.numpy's functions take lists of them; "
            "write numpy.f(a, x) for a method a.f(x) of a plain array",
        )

    def __float__(self) -> NoReturn:
        if _is_stored(sys._getframe(1)):
            raise _into_plain(self)
        instead = "numpy's functions take x where math's do not, f-strings print it, numpy.stack fills an array"
        raise _cut(self, "float(x)", instead)

    def __int__(self) -> NoReturn:
        raise _cut(self, "int(x)")

    def __index__(self) -> NoReturn:
        raise _cut(self, "operator.index(x)")

    def __complex__(self) -> NoReturn:
        raise _cut(self, "complex(x)", "write x + 0j")

    def __round__(self, ndigits: int | None = None) -> NoReturn:
        raise _cut(self, "round(x)", "use numpy.round, whose derivative is 0")

    def __trunc__(self) -> NoReturn:
        raise _cut(self, "math.trunc(x)", "use numpy.trunc, whose derivative is 0")

    def __floor__(self) -> NoReturn:
        raise _cut(self, "math.floor(x)", "use numpy.floor, whose derivative is 0")

    def __ceil__(self) -> NoReturn:
        raise _cut(self, "math.ceil(x)", "use numpy.ceil, whose derivative is 0")

    def __hash__(self) -> NoReturn:
        raise _cut(self, "hash(x)", "no array has a hash; a dictionary or a cache wants plain values")

    def __bytes__(self) -> NoReturn:
        raise _cut(self, "bytes(x)")

    def as_integer_ratio(self) -> NoReturn:
        """Raise: a fraction carries no derivative."""
        raise _cut(self, "x.as_integer_ratio()", "numpy.mean is what statistics.mean computes")

    def tobytes(self, order: Any = "C") -> NoReturn:
        """Raise: bytes carry no derivative."""
        raise _cut(self, "x.tobytes()")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        frame = self._scope.frame()
        raise ConversionError(
            f"a traced value of {frame.name} cannot be pickled",
            f"{frame.called()}; such a value means something only while that runs, here it is {self._value!r}"[:300],
            "pickle tapegrad.stop_gradient(x)",
        )

    # what is copied is a value of its own; later changes in place of one do not touch the other

    def __copy__(self) -> Tracer:
        value = self._value.copy() if type(self._value) is np.ndarray else self._value
        return tracer(value, self._index, self._scope, self._spec)

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self.__copy__()

    def __delitem__(self, index: Any) -> NoReturn:
        raise AssignmentError("cannot delete elements of an array", f"shape {self.shape}", "select what stays: x[mask]")


class CompleteTracer(Tracer):
    """A tracer of a tape that keeps every value. The quick paths do not know it, the general one does."""

    __slots__ = ()


class Blank(Tracer):
    """An array that depends on nothing yet: a constant, until something traced is assigned to it."""

    __slots__ = ()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        made = np.array(self._value, *args, **{**kwargs, "copy": True})
        if not kwargs.get("copy"):  # which would be the same memory, so it is remembered as a view of unknown origin
            root, _ = getattr(self, "_view", None) or (self, ())
            root._views = [*getattr(root, "_views", ()), ref(made)]
        return made


class NotLinear(Exception):
    """A linear tracer met something that is not linear in it; told by its name."""


class LinearTracer(CompleteTracer):
    """A zero that stands for any value, to see what a linear function does with it: who looks at it is stopped."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise NotLinear("bool")

    def __repr__(self) -> NoReturn:
        raise NotLinear("repr")

    __str__ = __repr__

    def __format__(self, spec: str) -> NoReturn:
        raise NotLinear("format")


TRACERS = (Tracer, CompleteTracer, LinearTracer)


def kind_in(scope: Scope) -> type[Tracer]:
    """The class of the tracers of a scope."""
    return (LinearTracer if scope.linear else CompleteTracer) if scope.complete else Tracer


def blank(value: Any, scope: Scope) -> Tracer:
    """A new array that can be assigned to."""
    made = tracer(value, next(scope.count), scope, spec_of(value))
    made.__class__ = Blank
    return made


def tracer(value: Any, index: int, scope: Scope, spec: Spec) -> Tracer:
    """A tracer of the class that its scope wants."""
    made = kind_in(scope)() if scope.complete else Tracer()
    made._value = value
    made._index = index
    made._scope = scope
    made._spec = spec
    return made


if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]] | Tracer
    ArrayLike = Array | np.generic | float | complex
else:
    Array = np.ndarray | Tracer
    ArrayLike = Array | np.generic | float | complex


def alias(x: Tracer) -> Tracer:
    """The same value under a name of its own: what is done in place to one does not touch the other."""
    made = tracer(x._value, x._index, x._scope, x._spec)
    if type(x) is Blank:
        made.__class__ = Blank
    return made


def is_tracer(x: object) -> TypeIs[Tracer]:
    """Whether `x` is a traced value: one that a running transform differentiates through."""
    return isinstance(x, Tracer)


def plain(x: Any) -> Any:
    """The plain value of a tracer, and everything else as it is."""
    return x._value if isinstance(x, Tracer) else x


def constant_of(x: Any, name: str) -> Any:
    """The plain value of what the result of `name` depends on, but carries no derivative of."""
    value = x._value if isinstance(x, Tracer) else x
    if type(x) is LinearTracer:
        raise NotLinear(name)
    return value


def missing(name: str) -> MissingRuleError:
    """The error for a function of NumPy that met a traced value and has no rule."""
    return MissingRuleError(
        f"{name} has no derivative rule",
        "it was called with a traced value",
        "wrap a function of your own with @tapegrad.primitive and defvjp, or pass tapegrad.stop_gradient(x)",
    )


_STORES = [dis.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in dis.opmap]


def _is_stored(caller: FrameType) -> bool:
    """Whether a function is at an assignment `z[index] = x`."""
    return caller.f_code.co_code[caller.f_lasti] in _STORES


def _into_plain(x: Tracer) -> AssignmentError:
    return AssignmentError(
        "z[index] = x of a plain array z and a traced value x",
        f"x has shape {x.shape}, and a plain array cannot hold its derivative",
        "make z from a traced array, by numpy.zeros_like(x, shape=...) or x.copy(), "
        "or write z = tapegrad.index_set(z, index, x)",
    )


def _cut(x: Tracer, call: str, instead: str = "") -> ConversionError | EscapedTracerError:
    """The error for a conversion of a traced value."""
    if x._scope.ended is not None:
        return escaped(x._scope.ended)
    stop = "tapegrad.stop_gradient(x) gives the value without derivative"
    return ConversionError(
        f"{call} on a traced value", "the derivative would be cut there", f"{instead}; {stop}" if instead else stop
    )
