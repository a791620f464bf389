"""Arrays from parts, and parts of arrays: joined in one entry, taken apart by slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..primitives.define import array_function, composed, has_tracer
from ..primitives.ufuncs import operand
from ..tracer import FUNCTIONS, Tracer, plain
from .structure import _shape, astype


def _parts(arrays: Any) -> list[Any]:
    """The arrays to join, each an array of its own: of one array the slices along its first axis."""
    return [array(part) if isinstance(part, (list, tuple)) else _part(part) for part in arrays]


def _part(x: Any) -> Any:
    """An array or a number as it is, and what NumPy would make an array of as that."""
    x = operand(x)
    return x if hasattr(x, "shape") or isinstance(x, (int, float, complex)) else operand(np.asarray(x))


@array_function(np.concatenate, nondiff=("axis", "out", "dtype", "casting"), joins=_parts, linear=(0,))
def concatenate(
    arrays: Any, /, axis: Any = 0, out: None = None, *, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    return np.concatenate(arrays, axis=axis, dtype=dtype, casting=casting)


@concatenate.defvjp(0)
def _(g: Any, _y: Any, _arrays: Any, axis: Any, out: None, *, dtype: Any, casting: Any) -> Any:
    """Each part gets its slice of ḡ."""
    parts, start = [], 0
    for a in _arrays:
        shape = _shape(a)
        along = math.prod(shape) if axis is None else shape[axis]
        lead = () if axis is None else (slice(None),) * (axis % len(shape))
        parts.append(np.reshape(g[(*lead, slice(start, start + along))], shape))
        start += along
    return parts


@array_function(np.stack, nondiff=("axis", "out", "dtype", "casting"), joins=_parts, linear=(0,))
def stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    return np.stack(arrays, axis=axis, dtype=dtype, casting=casting)


stack.defvjp(0)(lambda g, _y, _arrays, axis, out, *, dtype, casting: g if axis == 0 else np.moveaxis(g, axis, 0))


def _joined(function: Any, spread: Callable[[Any], Any], axis: Callable[[Any], int]) -> Any:
    """One of NumPy's functions that first give their arguments more dimensions, then join them."""

    @composed(function)
    def join(tup: Any, **kwargs: Any) -> Any:
        parts = [spread(part) for part in _parts(tup)]
        return concatenate(parts, axis=axis(parts[0]), **kwargs)

    return join


def _reshaped(shape: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[[Any], Any]:
    def spread(a: Any) -> Any:
        have = _shape(a)
        want = shape(have)
        return a if want == have else np.reshape(a, want)

    return spread


_to_1d = _reshaped(lambda s: s or (1,))
_to_2d = _reshaped(lambda s: (1,) * (2 - len(s)) + s)
_to_3d = _reshaped(lambda s: ((1, 1, 1), (1, *s, 1), (*s, 1))[len(s)] if len(s) < 3 else s)

vstack = _joined(np.vstack, _to_2d, lambda part: 0)
hstack = _joined(np.hstack, _to_1d, lambda part: int(part.ndim > 1))
dstack = _joined(np.dstack, _to_3d, lambda part: 2)
column_stack = _joined(np.column_stack, _reshaped(lambda s: s if len(s) > 1 else (*(s or (1,)), 1)), lambda part: 1)


def _widened(function: Any, spread: Callable[[Any], Any]) -> Any:
    @composed(function)
    def widen(*arys: Any) -> Any:
        made = [spread(a) for a in _parts(arys)]
        return made[0] if len(made) == 1 else tuple(made)

    return widen


atleast_1d = _widened(np.atleast_1d, _to_1d)
atleast_2d = _widened(np.atleast_2d, _to_2d)
atleast_3d = _widened(np.atleast_3d, _to_3d)


@composed(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    arr, values = _parts([arr, values])
    if axis is None:
        return np.concatenate([np.ravel(arr), np.ravel(values)])
    return np.concatenate([arr, values], axis=axis)


@composed(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    ary = asarray(ary)
    n = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sizes = [len(part) for part in np.array_split(np.empty(n), indices_or_sections)]
        bounds = [0, *np.cumsum(sizes).tolist()]
    else:
        bounds = [0, *map(int, indices_or_sections), n]
    lead = (slice(None),) * (axis % ary.ndim)
    return [ary[(*lead, slice(a, b))] for a, b in pairwise(bounds)]


@composed(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    ary = asarray(ary)
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return np.array_split(ary, indices_or_sections, axis)


def _split_along(function: Any, axis: Callable[[Any], int]) -> Any:
    """One of NumPy's functions that split along an axis of their own."""

    @composed(function)
    def split(ary: Any, indices_or_sections: Any) -> list[Any]:
        ary = asarray(ary)
        function(plain(ary), indices_or_sections)  # raises where the array has too few axes
        return np.split(ary, indices_or_sections, axis(ary))

    return split


vsplit = _split_along(np.vsplit, lambda ary: 0)
hsplit = _split_along(np.hsplit, lambda ary: int(ary.ndim > 1))
dsplit = _split_along(np.dsplit, lambda ary: 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices of an array along an axis, as a tuple."""
    return tuple(np.moveaxis(x, axis, 0))


if hasattr(np, "unstack"):
    unstack = composed(np.unstack)(unstack)


def array(object: Any, dtype: Any = None, *, copy: Any = True, ndmin: int = 0, **kwargs: Any) -> Any:
    """NumPy's `array`, from nested lists of traced and plain parts too.

    >>> from tapegrad import grad
    >>> grad(lambda x: (array([x, 1.0, x * x]) ** 2).sum())(2.0)
    36.0
    """
    made: Any
    if isinstance(object, Tracer):
        made = object if not copy and type(object._value) is np.ndarray else np.copy(object)
    elif isinstance(object, (list, tuple)) and has_tracer((object,), {}):
        made = _stacked(object, 1)
    else:
        return np.array(object, dtype, copy=copy, ndmin=ndmin, **kwargs)
    if dtype is not None and np.dtype(dtype) != made.dtype:
        made = astype(made, dtype)
    return made[(None,) * (ndmin - made.ndim)] if made.ndim < ndmin else made


def _stacked(parts: Any, depth: int) -> Any:
    """An array of what is in a list, nested lists included."""
    if depth > 64:  # the number of axes that there can be
        raise ValueError("object too deep for desired array")
    if not parts:
        return np.array(parts)
    return stack([_stacked(part, depth + 1) if isinstance(part, (list, tuple)) else part for part in parts])


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, **kwargs: Any) -> Any:
    """NumPy's `asarray`, of traced values and of nested lists of them too."""
    if isinstance(a, Tracer) and type(a._value) is np.ndarray and dtype in (None, a.dtype) and not copy:
        return a
    return array(a, dtype, copy=copy) if has_tracer((a,), {}) else np.asarray(a, dtype, order, copy=copy, **kwargs)


FUNCTIONS[np.array] = array
FUNCTIONS[np.asarray] = asarray
composed(np.asanyarray)(lambda a, dtype=None, *args, **kwargs: asarray(a, dtype))


@composed(np.ascontiguousarray)
def ascontiguousarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    a = np.atleast_1d(asarray(a, dtype))
    return a if plain(a).flags.c_contiguous else np.copy(a, "C")
