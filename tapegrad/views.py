"""Views of traced arrays: which of them share memory, so that a change of one is a change of all.

A view knows the array whose memory it shares, its root, and the steps that lead from there. A root knows its views,
weakly, until it changes: then they are `Stale`, and each is made anew when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any
from weakref import ref

import numpy as np

from . import tree
from .tracer import Tracer

Step = tuple[Callable[..., Any], tuple[Any, ...]]  # a function that gives a view of its first argument; the others
Path = tuple[Step, ...]

_ndarray = np.ndarray
WRITING = RLock()  # threads may write to elements of their own of one array


def note(made: Tracer, source: Tracer, step: Step | None, index: int | None = None) -> None:
    """Remember that a traced array is a view of another, if they share memory.

    `step` leads from one to the other, None where that is not known; `index` is that of the source at that moment.
    """
    if step is None or index is None:
        _note(made, source, step)
        return
    with WRITING:
        if source._index is not index and made._value.base is not None:  # another thread has written to it meanwhile
            again = walk((step,), source)
            made._value, made._index, made._scope = again._value, again._index, again._scope
        _note(made, source, step)


def note_part(made: Tracer, source: Tracer, step: Step, index: int) -> None:
    """The same of what is a view for sure, of an array that `step` leads from."""
    with WRITING:
        if source._index is not index:
            note(made, source, step, index)
            return
        _tie(made, source, step)


def _note(made: Tracer, source: Tracer, step: Step | None) -> None:
    value, of = made._value, source._value
    if type(value) is not _ndarray or type(of) is not _ndarray or made is source:
        return
    if value is not of and (value.base is None or not np.may_share_memory(value, of)):
        return
    if value.dtype != of.dtype:
        step = None  # a part of each element
    _tie(made, source, step)


def _tie(made: Tracer, source: Tracer, step: Step | None) -> None:
    """Let a view know where it comes from, and the array there its view."""
    root, path = origin(source)
    made._view = root, None if step is None or path is None else (*path, step)
    known = getattr(root, "_views", None)
    if known is None:
        root._views = [ref(made)]
        return
    n = len(known)
    if n >= 64 and not n & (n - 1):
        known[:n] = [r for r in known[:n] if r() is not None]  # at once, and what a thread has added meanwhile stays
    known.append(ref(made))


def origin(x: Tracer) -> tuple[Tracer, Path | None]:
    """The array whose memory a traced array shares (itself, if it is no view), and the path from there."""
    found: tuple[Tracer, Path | None] = getattr(x, "_view", None) or (x, ())
    return found


def walk(path: Path, a: Any) -> Any:
    """What a path leads to from an array, plain or traced."""
    for function, settings in path:
        a = function(a, *settings)
    return a


def are_known(root: Tracer) -> bool:
    """Whether it is known of all views of an array how they come from it."""
    known = getattr(root, "_views", None)
    if not known:
        return True
    views = [r() for r in known]
    return all([view is None or (isinstance(view, Tracer) and view._view[1] is not None) for view in views])


def become(x: Tracer, kind: type[Tracer]) -> None:
    """Make a traced array one of another class."""
    x.__class__ = kind


def outdate(root: Tracer) -> None:
    """The array is about to change: its views let go of its memory, and are looked at anew when they are used."""
    known = getattr(root, "_views", ())
    while known:
        view = known.pop()()
        if view is not None and type(view) is not Stale:
            view.__class__ = Stale  # first: from here on another thread waits until the change is done
            view._value = None


def renew(view: Tracer) -> None:
    """Let a stale view be what its path leads to from its root, as that is now."""
    with WRITING:
        if type(view) is not Stale:
            return  # another thread was faster, or is ready now
        root, path = view._view
        made = walk(path, root)
        view.__class__ = type(made)
        view._value, view._index, view._scope = made._value, made._index, made._scope
        root._views.append(ref(view))


def settle(x: Any) -> None:
    """Make the views in a nest anew, and wait for arrays that other threads are changing."""
    for leaf in tree.leaves(x):
        if type(leaf) in UNSETTLED:
            renew(leaf)


class Changing(Tracer):
    """An array that is being changed: other threads wait until its index is on the tape."""

    __slots__ = ()


class Stale(Tracer):
    """A view of an array that has changed since. Whoever asks for what it holds gets what it is now."""

    __slots__ = ()

    def __bool__(self) -> bool:
        renew(self)
        return bool(self)

    def __repr__(self) -> str:
        renew(self)
        return repr(self)


UNSETTLED = (Stale, Changing)


def _settled(slot: Any) -> Any:
    def get(view: Tracer) -> Any:
        with WRITING:
            renew(view)
            return slot.__get__(view)

    return property(get, slot.__set__)


for _name in ("_value", "_index", "_scope"):
    for _kind in UNSETTLED:
        setattr(_kind, _name, _settled(getattr(Tracer, _name)))
