"""What Python's operators and ndarray's methods do with a traced value."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import AssignmentError, ConversionError
from ..primitives.bodies import LEAVES
from ..tracer import Tracer, constant_of, plain
from . import elementwise as e
from . import indexing, products, structure, updates
from .assignment import assign

_ARITHMETIC: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "add": (e.add, operator.add),
    "sub": (e.subtract, operator.sub),
    "mul": (e.multiply, operator.mul),
    "truediv": (e.divide, operator.truediv),
    "mod": (e.remainder, operator.mod),
    "matmul": (products.matmul, operator.matmul),
    "pow": (e.power, e.operator_power),
}


def _constant(operate: Callable[[Any, Any], Any], ufunc: np.ufunc) -> tuple[Any, Any]:
    """An operator whose result carries no derivative, and its reflection."""

    def call(x: Any, z: Any) -> Any:
        if not (_fits(x) and _fits(z)):
            return NotImplemented  # whose method gets the tracer
        try:
            return operate(constant_of(x, ufunc.__name__), constant_of(z, ufunc.__name__))
        except ArithmeticError:
            y = ufunc(plain(x), plain(z))
            return y.item() if isinstance(plain(x), (int, float)) and isinstance(plain(z), (int, float)) else y

    return call, lambda x, z: call(z, x)


def _fits(x: Any) -> bool:
    """Whether an operand is a number or an array, or can become one."""
    kinds = (Tracer, list, tuple, np.ndarray, numbers.Number, range, memoryview)
    return type(x) in LEAVES or isinstance(x, kinds) or (hasattr(x, "__array__") and not hasattr(x, "__array_ufunc__"))


def _in_place(operate: Callable[[Any, Any], Any]) -> Callable[[Tracer, Any], Any]:
    """An operator such as `+=`: an array changes under all of its names, a number is bound anew."""

    def change(x: Tracer, other: Any) -> Any:
        if type(x._value) is not np.ndarray:
            return operate(x, other)
        made = operate(x, other)
        if made is NotImplemented:
            return made
        shape, dtype = x.shape, x.dtype
        if np.shape(made) != shape:
            raise AssignmentError(
                "an operator in place would change the shape of an array",
                f"the array has shape {shape}, the result {np.shape(made)}",
                "write y = y + x",
            )
        if made.dtype != dtype:
            if not np.can_cast(made.dtype, dtype, "same_kind"):
                raise AssignmentError(
                    "an operator in place would change the kind of an array",
                    f"the array has dtype {dtype}, the result {made.dtype}",
                    "write y = y + x",
                )
            made = made.astype(dtype)
        alone = not hasattr(x, "_view") and not hasattr(x, "_views")
        if alone and isinstance(made, Tracer) and made._value.strides == x._value.strides:
            x._value = np.asarray(made._value)
            x._index, x._scope = made._index, made._scope
            x.__class__ = type(made)  # a complete tape has tracers of its own
        else:
            assign(x, ..., made)
        return x

    return change


for _name, (_function, _operate) in _ARITHMETIC.items():
    _call, _reflected = _function.operator(_operate)
    setattr(Tracer, f"__{_name}__", _call)
    setattr(Tracer, f"__r{_name}__", _reflected)
    setattr(Tracer, f"__i{_name}__", _in_place(_call))

for _name, _operate, _ufunc in (
    ("eq", operator.eq, np.equal),
    ("ne", operator.ne, np.not_equal),
    ("lt", operator.lt, np.less),
    ("le", operator.le, np.less_equal),
    ("gt", operator.gt, np.greater),
    ("ge", operator.ge, np.greater_equal),
):
    setattr(Tracer, f"__{_name}__", _constant(_operate, _ufunc)[0])
_call, _reflected = _constant(operator.floordiv, np.floor_divide)
setattr(Tracer, "__floordiv__", _call)
setattr(Tracer, "__rfloordiv__", _reflected)
setattr(Tracer, "__ifloordiv__", _in_place(_call))


def _divmod(x: Any, z: Any) -> tuple[Any, Any]:
    return x // z, x % z


_conjugate_number = e.conjugate.operator(lambda x: x.conjugate())


def _conjugate(x: Tracer) -> Any:
    return _conjugate_number(x) if x.dtype.kind == "c" else x  # as ndarray does


def _iterate(x: Tracer) -> Iterator[Any]:
    if not x.ndim:
        raise TypeError("iteration over a 0-d array" if x._spec is not float else "a traced number is not iterable")
    return (x[k] for k in range(x.shape[0]))


def _contains(x: Tracer, value: Any) -> bool:
    if not x.ndim:
        raise TypeError("iteration over a 0-d array")
    return bool(np.any(constant_of(x, "in") == plain(value)))


def _view(x: Tracer, *args: Any, **kwargs: Any) -> Any:
    if args or kwargs:
        raise ConversionError(
            "x.view() of a traced array with another dtype or class",
            "the derivative would be cut there",
            "x.astype(dtype) converts the values; x.view() alone is x[...]",
        )
    return x[...]


def _item(x: Tracer, *args: Any) -> Any:
    if len(args) == 1 and not isinstance(args[0], tuple):
        x = structure.ravel(x)[operator.index(args[0])]
    elif args:
        x = x[args[0] if len(args) == 1 else args]
    return structure.to_number(x)


def _tolist(x: Tracer) -> Any:
    return [_tolist(part) for part in x] if x.ndim else structure.to_number(x)


def _reshape(x: Tracer, *shape: Any, order: Any = "C") -> Any:
    if not shape:
        raise TypeError("reshape() takes exactly 1 argument (0 given)")
    return structure.reshape(x, shape[0] if len(shape) == 1 else shape, order=order)


def _transpose(x: Tracer, *axes: Any) -> Any:
    return structure.transpose(x, None if not axes or axes == (None,) else axes[0] if len(axes) == 1 else axes)


def _refuse(name: str) -> Callable[..., Any]:
    def method(x: Tracer, *args: Any, **kwargs: Any) -> Any:
        raise AssignmentError(
            f"x.{name}() changes a traced array in place",
            f"the array has shape {x.shape}",
            f"use numpy.{name}(x), which gives a new one" if hasattr(np, name) else "build a new array",
        )

    return method


def _by_function(name: str) -> Callable[..., Any]:
    """The method that does what NumPy's function of the same name does."""
    function = getattr(np, name)

    def method(x: Tracer, *args: Any, **kwargs: Any) -> Any:
        return x.__array_function__(function, (Tracer,), (x, *args), kwargs)

    return method


_METHODS: dict[str, Any] = {
    "__neg__": e.negative.operator(operator.neg),
    "__pos__": e.positive.operator(operator.pos),
    "__abs__": e.absolute.operator(operator.abs),
    "__divmod__": _divmod,
    "__rdivmod__": lambda x, z: _divmod(z, x),
    "__getitem__": indexing.getitem,
    "__setitem__": assign,
    "__iter__": _iterate,
    "T": property(lambda x: structure.transpose(x)),
    "mT": property(lambda x: np.matrix_transpose(x)),
    "real": property(lambda x: e.real(x)),
    "imag": property(lambda x: e.imag(x)),
    "flat": property(updates.Flat, lambda x, value: updates.Flat(x).__setitem__(slice(None), value)),
    "conj": _conjugate,
    "conjugate": _conjugate,
    "__contains__": _contains,
    "reshape": _reshape,
    "transpose": _transpose,
    "astype": structure.astype,
    "compress": lambda x, condition, axis=None, out=None: indexing.compress(condition, x, axis, out),
    "copy": lambda x, order="C": structure.copy(x, order),
    "flatten": lambda x, order="C": structure.copy(structure.ravel(x, order)),
    "view": _view,
    "item": _item,
    "tolist": _tolist,
    "fill": lambda x, value: assign(x, ..., value),
    "sort": lambda x, axis=-1, kind=None, **options: assign(x, ..., np.sort(x, axis, kind, **options)),
    "partition": lambda x, kth, axis=-1, kind="introselect", order=None: assign(x, ..., np.partition(x, kth, axis)),
    "put": updates.put,
    "at": property(updates.At),
    "resize": _refuse("resize"),
    "setfield": _refuse("setfield"),
    "itemset": _refuse("itemset"),
}
for _name in (
    *("all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "cumprod", "cumsum"),
    *("diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "round", "searchsorted"),
    *("squeeze", "std", "sum", "swapaxes", "take", "trace", "var"),
):
    _METHODS[_name] = _by_function(_name)
for _name, _method in _METHODS.items():
    setattr(Tracer, _name, _method)
