"""Functions that move elements without looking at them. Each goes back by the move that undoes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..primitives.cotangent import unbroadcast
from ..primitives.define import array_function, composed, internal
from ..tracer import Tracer, plain
from ..views import origin


def _shape(x: Any) -> tuple[int, ...]:
    """The shape of an array, a number, or what stands for one in a rule."""
    shape: tuple[int, ...] = getattr(x, "shape", ())
    return shape


def _conjugate(x: Any) -> Any:
    """x*, which is x itself if x is real."""
    return np.conjugate(x) if np.iscomplexobj(x) else x


def _move(function: Any, *nondiff: str) -> Any:
    """A function that gives a view of its argument where it can."""
    return array_function(function, nondiff=nondiff, views=True, linear=(0,))


# fmt: off
@_move(np.reshape, "shape", "order")
def _reshape(a: Any, /, shape: Any, order: Any = "C") -> Any: return np.reshape(a, shape, order=order)
@_move(np.ravel, "order")
def _ravel(a: Any, order: Any = "C") -> Any: return np.ravel(a, order)
@_move(np.transpose, "axes")
def transpose(a: Any, axes: Any = None) -> Any: return np.transpose(a, axes)
@_move(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any: return np.matrix_transpose(x)
@_move(np.swapaxes, "axis1", "axis2")
def swapaxes(a: Any, axis1: int, axis2: int) -> Any: return np.swapaxes(a, axis1, axis2)
@_move(np.moveaxis, "source", "destination")
def moveaxis(a: Any, source: Any, destination: Any) -> Any: return np.moveaxis(a, source, destination)
@_move(np.squeeze, "axis")
def squeeze(a: Any, axis: Any = None) -> Any: return np.squeeze(a, axis)
@_move(np.expand_dims, "axis")
def expand_dims(a: Any, axis: Any) -> Any: return np.expand_dims(a, axis)
@_move(np.broadcast_to, "shape", "subok")
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any: return np.broadcast_to(array, shape)
@_move(np.flip, "axis")
def flip(m: Any, axis: Any = None) -> Any: return np.flip(m, axis)
@_move(np.rot90, "k", "axes")
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any: return np.rot90(m, k, axes)
@array_function(np.roll, nondiff=("shift", "axis"), linear=(0,))
def roll(a: Any, shift: Any, axis: Any = None) -> Any: return np.roll(a, shift, axis)

_reshape.defvjp(0)(lambda g, _y, _a, shape, order: np.reshape(g, _a.shape, order=order))
_ravel.defvjp(0)(lambda g, _y, _a, order: np.reshape(g, _a.shape, order=order))
transpose.defvjp(0)(lambda g, _y, _a, axes: np.transpose(g, _inverse(axes)))
matrix_transpose.defvjp(0)(lambda g, _y, _x: np.matrix_transpose(g))
swapaxes.defvjp(0)(lambda g, _y, _a, i, j: np.swapaxes(g, i, j))
moveaxis.defvjp(0)(lambda g, _y, _a, source, destination: np.moveaxis(g, destination, source))
squeeze.defvjp(0)(lambda g, _y, _a, axis: np.reshape(g, _a.shape))
expand_dims.defvjp(0)(lambda g, _y, _a, axis: np.reshape(g, _a.shape))
broadcast_to.defvjp(0)(lambda g, _y, _a, shape, subok: unbroadcast(g, _a))
flip.defvjp(0)(lambda g, _y, _m, axis: np.flip(g, axis))
rot90.defvjp(0)(lambda g, _y, _m, k, axes: np.rot90(g, -k, axes))
roll.defvjp(0)(lambda g, _y, _a, shift, axis: np.roll(g, _negated(shift), axis))
# fmt: on


def _inverse(axes: Any) -> Any:
    return None if axes is None else np.argsort([k % len(axes) for k in axes]).tolist()


def _negated(shift: Any) -> Any:
    return -shift if np.ndim(shift) == 0 else [-k for k in shift]


def _layout(a: Any) -> str:
    """The order that "A" stands for."""
    return "F" if np.shape(a) and plain(a).flags.fnc else "C"


@composed(np.reshape)
def reshape(a: Any, /, shape: Any, order: Any = "C", *, copy: Any = None) -> Any:
    made = _reshape(a, shape, _layout(a) if order == "A" else order)
    return made.copy() if copy else made


@composed(np.ravel)
def ravel(a: Any, order: Any = "C") -> Any:
    order = _layout(a) if order == "A" or not np.shape(a) else order
    if order != "K" or plain(a).flags.c_contiguous:
        return _ravel(a, "C" if order == "K" else order)
    if plain(a).flags.f_contiguous:
        return _ravel(np.transpose(a), "C")
    labels = np.empty_like(plain(a), dtype=np.intp)  # laid out in memory as the array is
    labels[...] = np.arange(labels.size).reshape(labels.shape)
    return np.take(_ravel(a, "C"), np.ravel(labels, order))


@composed(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = normalize_axis_index(axis, a.ndim), start + a.ndim if start < 0 else start
    return np.moveaxis(a, axis, start - 1 if start > axis else start)


flipud = composed(np.flipud)(lambda m: np.flip(m, 0))
fliplr = composed(np.fliplr)(lambda m: np.flip(m, 1))
permute_dims = transpose


@composed(np.tile)
def tile(A: Any, reps: Any) -> Any:
    reps = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    shape = (1,) * (len(reps) - np.ndim(A)) + np.shape(A)
    reps = (1,) * (len(shape) - len(reps)) + reps
    apart = np.reshape(A, [m for n in shape for m in (1, n)])
    wide = np.broadcast_to(apart, [m for r, n in zip(reps, shape, strict=True) for m in (r, n)])
    made: Any = np.reshape(wide, [r * n for r, n in zip(reps, shape, strict=True)])
    return np.copy(made) if made is A or origin(made)[0] is not made else made


@composed(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple([np.broadcast_to(a, shape) for a in args])


# what changes the type


@internal(nondiff=("dtype",), linear=(0,), views=True)
def _cast(x: Any, dtype: Any) -> Any:
    return x.astype(dtype) if hasattr(x, "astype") else dtype.type(x)


_cast.defvjp("x")(lambda g, _y, _x, dtype: g)


def astype(
    x: Any, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    """The values in another dtype; as integers or booleans they carry no derivative and are plain."""
    dtype = np.dtype(dtype)
    if not np.can_cast(x.dtype, dtype, casting):
        raise TypeError(f"cannot cast from {x.dtype} to {dtype} according to the rule {casting!r}")
    return x if dtype == x.dtype and not copy and isinstance(x._value, np.ndarray) else _cast(x, dtype)


if hasattr(np, "astype"):
    composed(np.astype)(lambda x, dtype, /, *, copy=True, device=None: astype(x, dtype, copy=copy))


@internal(linear=(0,))
def to_number(x: Any) -> Any:
    """The Python number in an array of one element."""
    return x if type(x) in (float, complex) else x.item()


to_number.defvjp("x")(lambda g, _y, _x: np.reshape(g, _x.shape))


@internal(linear=(0,))
def _boxed(x: Any) -> Any:
    """A number as an array of shape ()."""
    return np.array(x)


_boxed.defvjp("x")(lambda g, _y, _x: g)


@composed(np.copy)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return duplicate(a, order) if type(plain(a)) is np.ndarray else _boxed(a)


def duplicate(a: Tracer, order: Any) -> Tracer:
    """A copy of a traced array, laid out in memory as NumPy's `copy` does it."""
    made = a.__copy__()
    made._value = plain(a).copy(order)
    return made


def laid_out(made: Any, order: Any) -> Any:
    """A new array, laid out in memory in this order, as the function of NumPy's that it comes from has it."""
    if isinstance(made, Tracer) and type(made._value) is np.ndarray:
        made._value = np.asarray(made._value, order=order)
    return made
