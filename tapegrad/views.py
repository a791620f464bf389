"""Views of traced arrays: which of them share memory, so that a change of one is a change of all.

A view knows the array whose memory it shares, its root, and the steps that lead from there; a root knows its views,
weakly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import numpy as np

from .tracer import Tracer

Step = tuple[Callable[..., Any], tuple[Any, ...]]  # a function that gives a view of its first argument; the others
Path = tuple[Step, ...]

_ndarray = np.ndarray


def note(made: Tracer, source: Tracer, step: Step | None) -> None:
    """Remember that a traced array is a view of another, if they share memory.

    `step` leads from one to the other, None where that is not known.
    """
    value, of = made._value, source._value
    if type(value) is not _ndarray or type(of) is not _ndarray or made is source:
        return
    if value is not of and (value.base is None or not np.may_share_memory(value, of)):
        return
    if value.dtype != of.dtype:
        step = None  # a part of each element
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


def views(root: Tracer) -> Iterator[Tracer]:
    """The views of an array that are still in use."""
    for r in getattr(root, "_views", ()):
        view = r()
        if view is not None:
            yield view


def walk(path: Path, a: Any) -> Any:
    """What a path leads to from an array, plain or traced."""
    for function, settings in path:
        a = function(a, *settings)
    return a


def follow(view: Tracer, root: Tracer, path: Path) -> None:
    """Let a view be what the path leads to from its root, after that has changed."""
    made = walk(path, root)
    if view._value is not made._value:
        view._value = made._value
    view._index, view._scope = made._index, made._scope
    view.__class__ = type(made)
