"""Picking elements, and its counterpart: scattering them, with repeated ones added up."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..primitives.binary import binary
from ..primitives.define import array_function, composed
from ..primitives.definition import Definition
from ..primitives.forms import QUICK
from ..primitives.general import make_form, make_record
from ..primitives.partial import Partial, partial
from ..tape import Entry
from ..tracer import Tracer, plain
from ..views import Stale, note, note_part
from .assignment import Elements
from .elementwise import refuse_out
from .joining import asarray
from .scattering import BASIC, integers, is_own, own, picked, scatter, scattered
from .structure import laid_out


def _get(x: Any, index: Any) -> Any:
    return x[index]


def _get_rule(g: Any, _y: Any, _x: Any, index: Any) -> Any:
    """x̄ is ḡ at the index, and a hole elsewhere."""
    made = (scatter if isinstance(g, Tracer) else scattered)(g, index, _x.shape)
    return partial(made, picked([index], _x.shape))


def _pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
    """Put ḡ to what the array has got so far."""
    _, _, _, _, p, spec, _, _, index = e
    held = cots[p]
    if type(held) is Partial and type(held.parts) is Elements:
        held.parts.add(g, index)
        return
    elements = Elements(spec, None if type(held) is Partial else held)
    elements.add(g, index)
    made = Partial(None, None, elements)
    cots[p] = held + made if type(held) is Partial else made


_definition = Definition(_get, "getitem", constants=("index",), linear=(0,), views=True)
_definition.add(0, _get_rule)
_definition.add(1, lambda g, _y, _x, _index: None)
_definition.record = make_record(_definition, make_form(_definition), _get)
_definition.call = _pick = binary(_definition, QUICK | BASIC | {tuple}, _pull)(operator.getitem, _definition.record)[0]


def getitem(x: Tracer, index: Any) -> Any:
    """`x[index]` of a traced array, for every index that ndarray takes."""
    basic = type(index) is int or is_own(index)
    if not basic:
        index = own(index)
    at = x._index
    made = _pick(x, index)
    if type(x) in _NOTED_HERE and type(made._value) is _ndarray and made._value.size:  # what is empty shares nothing
        if basic:
            note_part(made, x, (_get, (index,)), at)
        elif made._value.base is not None:
            note(made, x, (_get, (index,)), at)
    return made


_ndarray = np.ndarray
_NOTED_HERE = (Tracer, Stale)  # of others the general path has taken note


def _along(a: Any, axis: int | None) -> tuple[Any, int]:
    """The array and the axis to go along: all of it in a row if that is None, or where there are no axes."""
    if axis is None or (axis in (0, -1) and not np.ndim(a)):
        return np.ravel(a), 0
    return a, normalize_axis_index(axis, a.ndim)


@composed(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: None = None, mode: Any = "raise") -> Any:
    refuse_out("take", out)
    a, axis = _along(a, axis)
    indices = integers(indices)
    if mode != "raise":
        np.take(np.empty(0), [], mode=mode)  # which knows the modes
        n = a.shape[axis]
        indices = indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)
    return laid_out(a[(*(slice(None),) * axis, indices)], "C")


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
    return laid_out(np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis), "C")


@composed(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    arr = np.ravel(arr) if axis is None else arr
    made = np.take(arr, np.delete(np.arange(arr.shape[axis or 0]), obj), axis or 0)
    return laid_out(made, "F" if plain(arr).flags.fnc else "C")


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
    return partial(*[np.moveaxis(c, (-2, -1), (axis1, axis2)) for c in (spread, picked([index], shape))])


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
