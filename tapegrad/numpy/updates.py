"""Arrays with some elements changed: new ones by `index_set` and its kin, or the same, by what NumPy does in place."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import AssignmentError
from ..primitives.define import composed
from ..tracer import METHODS, UFUNCS, Blank, Tracer, constant_of, is_inexact, plain
from .assignment import assign, fitted, write
from .joining import asarray
from .scattering import integers, is_basic, own, scatter


def index_set(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x` with `value` at an index; of elements that the index repeats the last one counts.

    Args:
        x: an array of any shape, plain or traced.
        index: whatever `x[index]` takes.
        value: a number, or what broadcasts to the shape of `x[index]`.

    Returns:
        An array of the shape and dtype of `x`.

    >>> index_set(np.zeros(3), 1, 5.0)
    array([0., 5., 0.])
    """
    x, value = _operands(x, value)
    index = own(index)
    return write(x, fitted(value, plain(x), index), (), index)


def index_add(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x` with `value` added at an index; to elements that the index repeats every time.

    Arguments and result are those of `index_set`.

    >>> index_add(np.zeros(3), np.array([0, 0, 1]), 1.0)
    array([2., 1., 0.])
    """
    x, value = _operands(x, value)
    index = own(index)
    change = scatter(np.broadcast_to(value, np.shape(plain(x)[index])), index, x.shape)
    return _of_dtype(x + change, x.dtype)


def index_multiply(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x`, multiplied by `value` at an index; elements that the index repeats every time.

    Arguments and result are those of `index_set`.

    >>> index_multiply(np.ones(3), np.array([0, 0, 1]), 2.0)
    array([4., 2., 1.])
    """
    return _updated(x, index, value, operator.mul)


def _operands(x: Any, value: Any) -> tuple[Any, Any]:
    x = asarray(x)
    value = value if isinstance(value, (Tracer, float, int, complex, np.ndarray, np.generic)) else asarray(value)
    if isinstance(value, Tracer) and not is_inexact(plain(x)):
        raise AssignmentError(
            f"a traced value was to be put into an array of dtype {x.dtype}",
            "what carries a derivative has a dtype of floats or complex numbers",
            "pass x.astype(float)",
        )
    return x, value


def _of_dtype(made: Any, dtype: Any) -> Any:
    return made if made.dtype == dtype else made.astype(dtype)


def _updated(x: Any, index: Any, value: Any, operate: Callable[[Any, Any], Any]) -> Any:
    """A copy of x with what an operator of two arguments makes of its elements at an index and a value."""
    x, value = _operands(x, value)
    for part, places in _rounds(x.shape, own(index)):
        change = value if places is None else np.broadcast_to(value, places.shape)[places]
        x = write(x, operate(x[part], change), (), part)
    return x


def _rounds(shape: tuple[int, ...], index: Any) -> Iterator[tuple[Any, Any]]:
    """An index that may repeat elements, as some that do not; each with the places, in order, that it is of."""
    if is_basic(index):
        yield index, None
        return
    labels = np.arange(math.prod(shape)).reshape(shape)[index]
    order = np.argsort(labels, axis=None, kind="stable")
    row = labels.ravel()[order]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    if first.size == row.size:
        yield index, None
        return
    rank = np.empty(row.size, np.intp)  # how often each had come before
    rank[order] = np.arange(row.size) - np.repeat(first, np.diff(first, append=row.size))
    for n in range(int(rank.max()) + 1):
        places = (rank == n).reshape(labels.shape)
        yield np.unravel_index(labels[places], shape), places


class At:
    """`x.at[index]`, with functions that give a copy of the traced array x that is changed there, as JAX has them."""

    __slots__ = ("_x",)

    def __init__(self, x: Tracer) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self._x, index)

    def __repr__(self) -> str:
        return f"<at of {self._x!r}>"


class AtIndex:
    """Copies of an array that are changed at an index."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Tracer, index: Any) -> None:
        self._x = x
        self._index = index

    def get(self) -> Any:
        """The elements themselves."""
        return self._x[self._index]

    def set(self, value: Any) -> Any:
        """With `value` in their place."""
        return index_set(self._x, self._index, value)

    def add(self, value: Any) -> Any:
        """With `value` added to them."""
        return index_add(self._x, self._index, value)

    def subtract(self, value: Any) -> Any:
        """With `value` subtracted from them."""
        return index_add(self._x, self._index, -asarray(value))

    def multiply(self, value: Any) -> Any:
        """Multiplied by `value`."""
        return index_multiply(self._x, self._index, value)

    mul = multiply

    def divide(self, value: Any) -> Any:
        """Divided by `value`."""
        return _updated(self._x, self._index, value, operator.truediv)

    def power(self, value: Any) -> Any:
        """Raised to the power of `value`."""
        return _updated(self._x, self._index, value, operator.pow)

    def min(self, value: Any) -> Any:
        """The smaller one of them and `value`."""
        return _updated(self._x, self._index, value, np.minimum)

    def max(self, value: Any) -> Any:
        """The larger one of them and `value`."""
        return _updated(self._x, self._index, value, np.maximum)


# what NumPy does in place


def _target(a: Any, name: str) -> Any:
    """The array to write to, with an axis at least."""
    if not isinstance(a, Tracer):
        raise AssignmentError(
            f"numpy.{name} would write a traced value into a plain array",
            f"a plain array of shape {np.shape(a)} cannot hold a derivative",
            "make the array from a traced one: numpy.zeros_like(x), x.copy(); tapegrad.numpy.full takes a traced value",
        )
    return a if a.ndim else np.reshape(a, 1)


@composed(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    if type(src) is Blank and not isinstance(dst, Tracer):
        np.copyto(dst, src._value, casting, where)
        return
    _target(dst, "copyto")
    src, where = asarray(src), constant_of(where, "copyto")
    if not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError(f"Cannot cast array data from {src.dtype} to {dst.dtype} according to the rule {casting!r}")
    if where is True:
        assign(dst, Ellipsis, src)
        return
    where = np.broadcast_to(where, dst.shape)
    assign(dst, where, np.broadcast_to(src, dst.shape)[where])


@composed(np.put)
def put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    a = _target(a, "put")
    at = np.arange(a.size).take(np.ravel(integers(ind)), mode=mode)
    if at.size:
        assign(a, np.unravel_index(at, a.shape), _repeated(v, at.size))


@composed(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    a = _target(a, "putmask")
    at = np.flatnonzero(constant_of(mask, "putmask"))
    if at.size:
        assign(a, np.unravel_index(at, a.shape), _repeated(values, a.size)[at])


@composed(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    arr = _target(arr, "place")
    at = np.flatnonzero(constant_of(mask, "place"))
    if at.size:
        assign(arr, np.unravel_index(at, arr.shape), _repeated(vals, at.size))


def _repeated(values: Any, n: int) -> Any:
    """So many numbers, from the values over and over."""
    values = np.ravel(asarray(values))
    return values[np.arange(n) % values.size]


@composed(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    arr = _target(arr, "put_along_axis")
    if axis is None:
        assign(arr, np.unravel_index(np.arange(arr.size)[indices], arr.shape), values)
        return
    labels = np.take_along_axis(np.arange(arr.size).reshape(arr.shape), indices, axis)
    assign(arr, np.unravel_index(labels, arr.shape), values)


@composed(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    _target(a, "fill_diagonal")
    marked = np.zeros(a.shape, bool)
    np.fill_diagonal(marked, True, wrap)
    at = np.flatnonzero(marked)
    assign(a, np.unravel_index(at, a.shape), _repeated(val, at.size))


def _at(ufunc: np.ufunc) -> Callable[..., None]:
    """`ufunc.at(a, indices, b)`"""

    def at(a: Any, indices: Any, b: Any = None) -> None:
        _target(a, f"{ufunc.__name__}.at")
        if ufunc is np.add:
            made = index_add(a, indices, b)
        elif ufunc is np.subtract:
            made = index_add(a, indices, -asarray(b))
        else:
            made = _updated(a, indices, b, ufunc if ufunc.nin == 2 else lambda x, _: ufunc(x))
        assign(a, Ellipsis, made)

    return at


for _ufunc in [u for u, rule in UFUNCS.items() if hasattr(rule, "definition") and u.signature is None and u.nout == 1]:
    METHODS[_ufunc, "at"] = _at(_ufunc)


class Flat:
    """`x.flat` of a traced array: its elements in a row."""

    __slots__ = ("_x",)

    def __init__(self, x: Tracer) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Any:
        found: Any = np.ravel(self._x)[index]
        return found.copy() if np.ndim(found) else found  # which NumPy copies

    def __setitem__(self, index: Any, value: Any) -> None:
        at = np.arange(self._x.size)[index]
        if np.size(at):
            assign(self._x, np.unravel_index(at, self._x.shape), _repeated(value, np.size(at)).reshape(np.shape(at)))

    def __iter__(self) -> Iterator[Any]:
        return iter(np.ravel(self._x))

    def __len__(self) -> int:
        return self._x.size

    def copy(self) -> Any:
        """The elements in a new array."""
        return np.ravel(self._x).copy()


__all__ = ["index_add", "index_multiply", "index_set"]
