"""Picking elements, and its counterpart: scattering them, with repeated ones added up."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..primitives.binary import binary
from ..primitives.define import array_function, composed, internal
from ..primitives.definition import Definition
from ..primitives.forms import QUICK
from ..primitives.general import make_form, make_record, note_view
from ..primitives.partial import Partial, partial
from ..tape import Entry
from ..tracer import Tracer, plain
from .elementwise import refuse_out
from .joining import asarray

_BASIC = frozenset({int, slice, type(None), type(Ellipsis), np.int64, np.int32, np.intp})


def _is_basic(index: Any) -> bool:
    """Whether an index takes no element twice because it is made of slices and integers alone."""
    return type(index) in _BASIC or (type(index) is tuple and all(type(part) in _BASIC for part in index))


def _picked(indices: Any, shape: Any) -> Any:
    """Which elements of an array of a shape stand at one of the indices."""
    picked = np.zeros(shape, bool)
    for index in indices:
        picked[index] = True
    return picked


@internal(nondiff=("index", "shape"), linear=(0,), scatters=lambda g, index, shape: _picked([index], shape))
def scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """An array of zeros of this shape to which `g` is added at `index`, repeated elements every time."""
    return _scatter(g, index, shape)


def _scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    g = np.asarray(g)
    made = np.zeros(shape, g.dtype)
    if _is_basic(index) or (type(index) is np.ndarray and index.dtype == bool):
        made[index] = g
    else:
        np.add.at(made, index, g)
    return made


scatter.defvjp("g")(lambda g, _y, _g, index, shape: g[index])


def _get(x: Any, index: Any) -> Any:
    return x[index]


def _get_rule(g: Any, _y: Any, _x: Any, index: Any) -> Any:
    """x̄ is ḡ at the index, and a hole elsewhere."""
    made = (scatter if isinstance(g, Tracer) else _scatter)(g, index, _x.shape)
    return partial(made, _picked([index], _x.shape))


class _Picks:
    """What an array gets from picks of it, put together when it is read: k picks of n numbers cost n + k."""

    def __init__(self, spec: Any, base: Any) -> None:
        self.spec = spec
        self.base = base  # what it got from elsewhere
        self.buffer: Any = None
        self.indices: list[Any] = []
        self.traced: list[tuple[Any, Any]] = []  # and their indices

    def add(self, g: Any, index: Any) -> None:
        """Add ḡ at an index."""
        self.indices.append(index)
        if isinstance(g, Tracer):
            self.traced.append((g, index))
            return
        if self.buffer is None:
            self.buffer = np.zeros(*self.spec)
        if _is_basic(index):
            self.buffer[index] += g
        else:
            np.add.at(self.buffer, index, g)

    def filled(self) -> Any:
        """The whole of it."""
        parts = [part for part in (self.base, self.buffer) if part is not None]
        if len(self.traced) == 1:
            parts.append(scatter(*self.traced[0], self.spec[0]))
        elif self.traced:
            gs, indices = zip(*self.traced)
            parts.append(_scatter_all(list(gs), indices, self.spec[0]))
        return functools.reduce(operator.add, parts)

    def settle(self) -> Any:
        """The whole of it, with holes where nothing came."""
        if self.base is not None:
            return self.filled()
        return partial(self.filled(), _picked(self.indices, self.spec[0]))


@internal(
    nondiff=("indices", "shape"), linear=("gs",), scatters=lambda gs, indices, shape: _picked(indices, shape)
)
def _scatter_all(gs: Any, indices: Any, shape: tuple[int, ...]) -> Any:
    made = np.zeros(shape, np.result_type(*gs))
    for g, index in zip(gs, indices):
        if _is_basic(index):
            made[index] += g
        else:
            np.add.at(made, index, g)
    return made


_scatter_all.defvjp("gs")(lambda g, _y, _gs, indices, shape: [g[index] for index in indices])


def _pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
    """Put ḡ to what the array has got so far."""
    _, _, _, _, p, spec, _, _, index = e
    held = cots[p]
    if type(held) is Partial and type(held.parts) is _Picks:
        held.parts.add(g, index)
        return
    picks = _Picks(spec, None if type(held) is Partial else held)
    picks.add(g, index)
    made = Partial(None, None, picks)
    cots[p] = held + made if type(held) is Partial else made


_definition = Definition(_get, "getitem", constants=("index",), linear=(0,))
_definition.add(0, _get_rule)
_definition.add(1, lambda g, _y, _x, _index: None)
_definition.record = make_record(_definition, make_form(_definition), _get)
_definition.call = _pick = binary(_definition, QUICK | _BASIC | {tuple}, _pull)(operator.getitem, _definition.record)[0]


def getitem(x: Tracer, index: Any) -> Any:
    """`x[index]` of a traced array, for every index that ndarray takes."""
    if type(index) not in _BASIC:
        index = tuple([_own(part) for part in index]) if isinstance(index, tuple) else _own(index)
    made = _pick(x, index)
    if type(made._value) is np.ndarray and made._value.base is not None:
        note_view(made, x)
    return made


def _own(part: Any) -> Any:
    """A part of an index that stays as it is whatever the caller does to his arrays."""
    if type(part) is np.ndarray:
        return part.copy()
    if type(part) in _BASIC or isinstance(part, (bool, np.bool_, np.integer)):
        return part
    if hasattr(part, "__index__") and not isinstance(part, np.ndarray):
        return operator.index(part)
    return _integers(part)


def _integers(part: Any) -> Any:
    """An index array of one's own; an empty list is one of integers."""
    made = np.array(part)
    return made if made.size or isinstance(part, np.ndarray) else made.astype(np.intp)


def _along(a: Any, axis: int | None) -> tuple[Any, int]:
    """The array and the axis to go along: all of it in a row if that is None, or where there are no axes."""
    if axis is None or (axis in (0, -1) and not np.ndim(a)):
        return np.ravel(a), 0
    return a, normalize_axis_index(axis, a.ndim)


@composed(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Any:
    refuse_out("take", out)
    a, axis = _along(a, axis)
    indices = _integers(indices)
    if mode != "raise":
        n = a.shape[axis]
        indices = indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)
    return a[(*(slice(None),) * axis, indices)]


@composed(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is None:
        arr, axis = np.ravel(arr), 0
    arr = asarray(arr)
    axis = normalize_axis_index(axis, arr.ndim)
    if np.ndim(indices) != arr.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    grid = [np.arange(n).reshape([-1 if j == k else 1 for j in range(arr.ndim)]) for k, n in enumerate(arr.shape)]
    grid[axis] = np.asarray(indices)
    return arr[tuple(grid)]


@composed(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Any:
    refuse_out("compress", out)
    return np.take(a, np.flatnonzero(np.asarray(condition)), axis)


@composed(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    return np.ravel(arr)[np.flatnonzero(np.asarray(condition))]


@composed(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    a, axis = _along(a, axis)
    return np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@composed(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    arr = np.ravel(arr) if axis is None else arr
    return np.take(arr, np.delete(np.arange(arr.shape[axis or 0]), obj), axis or 0)


@array_function(np.diagonal, nondiff=("offset", "axis1", "axis2"), views=True, linear=(0,))
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.diagonal(a, offset, axis1, axis2)


@diagonal.defvjp("a")
def _(g: Any, _y: Any, _a: Any, offset: int, axis1: int, axis2: int) -> Any:
    """ḡ on the diagonal, holes beside it."""
    k = np.arange(g.shape[-1])
    index = (..., k + max(-offset, 0), k + max(offset, 0))
    shape = [n for k, n in enumerate(_a.shape) if k not in (axis1 % _a.ndim, axis2 % _a.ndim)]
    shape += [_a.shape[axis1], _a.shape[axis2]]
    spread = scatter(g, index, tuple(shape))
    return partial(*[np.moveaxis(c, (-2, -1), (axis1, axis2)) for c in (spread, _picked([index], shape))])


def _triangle(function: Any) -> Any:
    """`tril` or `triu`: linear, and the rule of itself."""

    def within(m: Any, k: int) -> Any:
        return function(np.ones(np.shape(m)[-2:], bool), k)

    @array_function(function, nondiff=("k",), linear=(0,), scatters=within)
    def triangle(m: Any, k: int = 0) -> Any:
        return function(m, k)

    @triangle.defvjp("m")
    def _(g: Any, _y: Any, _m: Any, k: int) -> Any:
        """ḡ in the triangle, holes beside it."""
        if _m.ndim < 2:  # which was spread over rows
            return np.sum(function(g, k), 0)
        return partial(g, within(_m, k))

    return triangle


tril, triu = _triangle(np.tril), _triangle(np.triu)


@composed(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    if np.ndim(v) != 1:
        return np.diagonal(v, k) if np.ndim(v) == 2 else np.diag(plain(v))  # which raises
    at, n = np.arange(v.shape[0]), v.shape[0] + abs(k)
    return scatter(v, (at + max(-k, 0), at + max(k, 0)), (n, n))


@composed(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    if n == 0:
        return a
    axis = normalize_axis_index(axis, np.ndim(a))
    ends = [end if end is None or np.ndim(end) else _sheet(end, a.shape, axis) for end in (prepend, append)]
    parts = [part for part in (ends[0], a, ends[1]) if part is not None]
    a = np.concatenate(parts, axis) if parts[1:] else a
    lead = (slice(None),) * axis
    for _ in range(operator.index(n)):
        a = a[(*lead, slice(1, None))] - a[(*lead, slice(None, -1))]
    return a


def _sheet(value: Any, shape: tuple[int, ...], axis: int) -> Any:
    """One number spread over an array of this shape, but of length 1 along the axis."""
    return np.broadcast_to(value, (*shape[:axis], 1, *shape[axis + 1 :]))
