"""Assignment to elements of a traced array: `y[index] = value`, with the meaning that NumPy gives it.

The array gets a new index on the tape, under all of its names, and what was there before stays on the tape for those
who have read it. Its memory is written to where nobody else has it, else copied first, so that n assignments cost n.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from ..errors import AssignmentError
from ..guard import duplicate
from ..primitives.cotangent import conform
from ..primitives.definition import Definition
from ..primitives.forms import HOLED, PULL, PUSH, WRITES, View, form
from ..primitives.general import make_form, make_record
from ..primitives.partial import Partial, filled, partial, settled
from ..primitives.rules import Placeholder
from ..tape import Entry, Index, union
from ..tracer import Blank, Spec, Tracer, blank, dtype_of, kind_in, plain, shape_of
from ..views import WRITING, Changing, Path, are_known, become, origin, outdate, walk
from .joining import asarray
from .scattering import add_at, is_basic, own, picked, scatter, scatter_all
from .structure import copy

_ndarray = np.ndarray


class Elements:
    """A cotangent or tangent that changes element by element, and is put together when it is read.

    To begin with it is its `base`, and what is added to that: k picks of n numbers cost n + k. Once elements are taken
    out or put in, it is `value` where `support` is true, in memory of its own: k assignments cost n + k.
    """

    __slots__ = ("base", "indices", "spec", "support", "traced", "value")

    def __init__(self, spec: Spec, base: Any = None) -> None:
        self.spec = spec
        self.base = base
        self.value: Any = None
        self.support: Any = None
        self.indices: list[Any] = []  # of what was added
        self.traced: list[tuple[Any, Any]] = []  # of that, what is traced, and its indices

    def add(self, g: Any, index: Any) -> None:
        """Add ḡ at an index."""
        if type(index) is int and type(self.value) is _ndarray and not isinstance(g, Tracer):  # as of most reads
            if self.support is not None:
                self.support[index] = True
            else:
                self.indices.append(index)
            self.value[index] += g
            return
        if self.support is not None:
            self.support[index] = True
            if isinstance(g, Tracer):
                self._trace(g)
            if isinstance(self.value, Tracer):
                if is_basic(index):
                    assign(self.value, index, self.value[index] + g)
                else:
                    self.value = self.value + scatter(g, index, shape_of(self.spec))
                return
        else:
            self.indices.append(index)
            if type(g) is not _ndarray and isinstance(g, Tracer):
                self.traced.append((g, index))
                return
            if self.value is None:
                self.value = np.zeros(shape_of(self.spec), dtype_of(self.spec))
        add_at(self.value, index, g)

    def take(self, path: Path, index: Any) -> Any:
        """What stands at an index, which leaves a hole there."""
        if self.support is None:
            self._open()
        if type(index) is int and not path and type(self.value) is _ndarray and self.value.ndim == 1:  # one element
            support: Any = self.support
            c, there = self.value[index], support[index]
            self.value[index] = 0
            support[index] = False
            return c if there else None
        target, there = walk(path, self.value), walk(path, self.support)
        last = _last(path, index, shape_of(self.spec))
        c, support = target[index], there[index]
        if isinstance(c, Tracer):
            c = copy(c) if type(c._value) is _ndarray else c
            assign(target, index, 0.0)
        else:
            c = c.copy()
            target[index] = 0
        support = support.copy() if last is None else support & last
        there[index] = False
        return partial(c, support)

    def put(self, path: Path, index: Any, t: Any) -> None:
        """Put a tangent in the place of what is there."""
        self._open()
        if isinstance(self.value, Tracer):
            if getrefcount(self.value) > _HELD:
                self.value = copy(self.value, "C")
        elif getrefcount(self.value) > _HELD or self.value.base is not None:
            self.value = self.value.copy()
        if getrefcount(self.support) > _HELD:
            self.support = self.support.copy()
        t = settled(t)
        walk(path, self.support)[index] = t.support if type(t) is Partial else t is not None
        t = 0.0 if t is None else filled(t)
        if isinstance(t, Tracer):
            self._trace(t)
        if isinstance(self.value, Tracer):
            assign(walk(path, self.value), index, t)
        else:
            walk(path, self.value)[index] = t

    def _trace(self, g: Tracer) -> None:
        if not isinstance(self.value, Tracer):
            self.value = blank(self.value, g._scope)

    def _open(self) -> None:
        """Make it one array that can be written to."""
        if self.support is not None:
            return
        c = self.settle()
        shape, dtype = shape_of(self.spec), dtype_of(self.spec)
        self.support = np.zeros(shape, bool) if c is None else np.ones(shape, bool)
        if type(c) is Partial:
            self.support[...] = c.support
        c = filled(c)
        if c is None:
            self.value = np.zeros(shape, dtype)
        else:  # laid out in the order of C, in which every path leads to a view
            self.value = copy(c, "C") if isinstance(c, Tracer) else np.array(c, dtype, order="C")
        self.base, self.traced, self.indices = None, [], []

    def filled(self) -> Any:
        """The whole of it."""
        if self.support is not None:
            return self.value  # which is 0 in the holes
        parts = [part for part in (self.base, self.value) if part is not None]
        if len(self.traced) == 1:
            parts.append(scatter(*self.traced[0], shape_of(self.spec)))
        elif self.traced:
            gs, indices = zip(*self.traced)
            parts.append(scatter_all(list(gs), indices, shape_of(self.spec)))
        return functools.reduce(operator.add, parts)

    def settle(self) -> Any:
        """The whole of it, with holes where nothing came."""
        if self.support is not None:
            made = partial(self.value, self.support)
            if type(made) is Partial:
                made.clean = True
            return made
        if self.base is not None:
            return self.filled() if self.indices else settled(self.base)
        if not self.indices:
            return None
        return partial(self.filled(), picked(self.indices, shape_of(self.spec)))


def _last(path: Path, index: Any, shape: tuple[int, ...]) -> Any:
    """Where an index that repeats elements has each for the last time, the one that counts; None if all are such."""
    if is_basic(index):
        return None
    labels = np.empty(shape, np.intp)
    target = walk(path, labels)
    order = np.arange(np.size(target[index])).reshape(np.shape(target[index]))
    target[index] = order
    last = target[index] == order
    return None if np.all(last) else last


def _write(x: Any, value: Any, path: Path, index: Any) -> Any:
    made = duplicate(x)
    walk(path, made)[index] = value
    return made


def _parts(e: Entry) -> tuple[Spec, Path, Any, Any]:
    """Spec, path, index and edges of either form."""
    return e[3:7] if e[2] == _quick else (e[3], *e[5][2:], e[7])


def _view(e: Entry) -> View:
    _, path, index, edges = _parts(e)
    value = Placeholder(edges[-1][5]) if edges[-1][0] else None
    return None, (None, value, path, index), {}, edges, None


def _pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
    """x̄ is ḡ with a hole at the index, and v̄ what stood there."""
    spec, path, index, edges = _parts(e)
    elements = g.parts if type(g) is Partial and type(g.parts) is Elements else Elements(spec, g)
    taken = elements.take(path, index)
    for key, _, _, parent, mask, sp in edges:
        if mask & bit and not (key and taken is None):
            r = conform(taken, sp, "assignment", 1, True) if key else Partial(None, None, elements)
            c = cots[parent]
            cots[parent] = r if c is None else c + r


def _push(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
    """ẏ is ẋ with v̇ at the index; in place, where nobody can ask for ẋ any more."""
    spec, path, index, edges = _parts(e)
    t: Any = None
    s: Any = None
    for edge in edges:
        if edge[4] & bit:
            if edge[0]:
                s = tangent(edge[3])
            else:
                t = tangent(edge[3])
                alone = type(edge[3]) is Index and getrefcount(edge[3]) <= _HELD  # nor can its tangent be asked for
                if type(t) is Partial and (alone or getrefcount(t) <= _HELD):
                    t = t.parts or t
    if t is None and s is None:
        return None
    elements = t if type(t) is Elements else Elements(spec, t)
    elements.put(path, index, s)
    return Partial(None, None, elements)


_definition = Definition(_write, "assignment", nondiff=("path", "index"), linear=("x", "value"))
_definition.add(0, lambda g, _y, _x, _value, path, index: _by_rule(g, path, index)[0])
_definition.add(1, lambda g, _y, _x, _value, path, index: _by_rule(g, path, index)[1])
_number = make_form(_definition)
PULL[_number], PUSH[_number] = _pull, _push
# of an array that was changed in place: (index, mask, form, spec, path, index of elements, edges), nothing is kept
_quick = form("assignment", _pull, lambda e, scopes: e, _definition, _view, _push)
HOLED.update((_number, _quick))
WRITES.update((_number, _quick))
_definition.record = _definition.call = write = make_record(_definition, _number, _write)


def _by_rule(g: Any, path: Path, index: Any) -> tuple[Any, Any]:
    elements = Elements((np.shape(g), g.dtype), g)
    taken = elements.take(path, index)
    return Partial(None, None, elements), taken


def _calibrate() -> int:
    """How many references there are to what is held by one other thing alone."""
    if sys.implementation.name != "cpython":
        return -1
    held = Elements(float, np.empty(1))
    return getrefcount(held.base)


_HELD = _calibrate()


def _is_alone(root: Tracer) -> bool:
    """Whether no one else has the memory of an array, whose views have let go of it."""
    return root._value.base is None and getrefcount(root._value) <= _HELD


def assign(x: Tracer, index: Any, value: Any) -> None:
    """`x[index] = value` of a traced array, for every index that ndarray takes."""
    if type(x._value) is not _ndarray:
        raise AssignmentError(
            "assignment to elements of a traced number",
            f"the value is {x._value!r}, which is no array",
            "numpy.zeros_like, numpy.copy and numpy.stack make arrays that can be assigned to",
        )
    root, path = origin(x)
    if path is None or not are_known(root):
        raise AssignmentError(
            "assignment to a traced array that shares memory with another in a way that cannot be followed",
            f"shape {x.shape}; one is a part of complex numbers, or was made by asarray, a primitive or a custom rule",
            "assign to a copy: x = x.copy()",
        )
    index = index if type(index) is int else own(index)
    if isinstance(value, (list, tuple)):
        value = asarray(value)
    if isinstance(value, Tracer) and type(value._value) is _ndarray:  # else it shares memory with nothing
        if value is x and index is Ellipsis:
            return
        if (view := getattr(value, "_view", None)) is not None and view[0] is root:
            if _is_itself(view, path, index):
                return  # as at the end of `x[index] += other`
            value = copy(value)
        elif value is root:
            value = copy(value)
        value = fitted(value, x._value, index)
    if type(value) is Blank:
        value = plain(value)
    with WRITING:
        outdate(root)
        if type(root) is Blank and not isinstance(value, Tracer):
            if not _is_alone(root):
                root._value = duplicate(root._value)
            walk(path, root._value)[index] = value
        else:
            _assign(root, path, index, value)


def _assign(root: Any, path: Path, index: Any, value: Any) -> None:
    """Write a value to where a path leads from an array, and record it; the array, the value, or both are traced."""
    scope = root._scope
    traced = isinstance(value, Tracer)
    if traced and value._scope is not scope:
        scope = union(scope, value._scope)
    if scope.complete or not _is_alone(root):
        made = write(root, value, *_direct(path, index, root))
        root._value = made._value
        root._index, root._scope = made._index, made._scope
    else:
        i = next(scope.count)
        spec = root._spec
        if path:
            walk(path, root._value)[index] = value._value if traced else value
            path, index = _direct(path, index, root)
        else:
            root._value[index] = value._value if traced else value
        edges: tuple[Any, ...] = ()
        if type(root) is not Blank:
            edges = ((0, 0, 0, root._index, root._scope.mask, spec),)
        if traced:
            edges += ((1, 0, 0, value._index, value._scope.mask, value._spec),)
        become(root, Changing)
        try:
            root._index, root._scope = i, scope
            scope.record((i, scope.mask, _quick, spec, path, index, edges))
        finally:
            become(root, kind_in(scope))
        return
    become(root, kind_in(scope))


def fitted(value: Any, held: Any, index: Any) -> Any:
    """A value without the leading axes of length 1 that are more than there is to assign to."""
    if isinstance(value, Tracer) and value.shape[:1] == (1,):
        extra = value.ndim - np.ndim(held[index])
        if extra > 0 and value.shape[:extra] == (1,) * extra:
            return value.reshape(value.shape[extra:])
    return value


def _is_itself(view: tuple[Tracer, Path], path: Path, index: Any) -> bool:
    """Whether a view is what an index leads to, from the end of the path."""
    if not is_basic(index) or view[1] is None or len(view[1]) != len(path) + 1:
        return False
    *before, (_, settings) = view[1]
    return len(settings) == 1 and is_basic(settings[0]) and settings[0] == index and _are_same(before, path)


def _are_same(a: Any, b: Any) -> bool:
    return all([f is g and s is t for (f, s), (g, t) in zip(a, b)])


def _direct(path: Path, index: Any, root: Tracer) -> tuple[Path, Any]:
    """A path that leads to a view from every array of the shape, however it is laid out in memory, and the index there.

    A transposed array cannot be reshaped without a copy, but the one that this is the transpose of can; there
    the elements are counted.
    """
    if not path:
        return path, index
    shape = shape_of(root._spec)
    elsewhere = np.empty(shape, bool)
    if np.may_share_memory(walk(path, elsewhere), elsewhere):
        return path, index
    labels = np.empty_like(root._value, np.intp)
    labels[...] = np.arange(labels.size).reshape(shape)
    return (), np.unravel_index(walk(path, labels)[index], shape)
