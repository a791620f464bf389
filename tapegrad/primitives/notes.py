"""What a reading notices on its way, and tells in the end if it matters.

An infinite slope, or one that nobody knows, may yet be left out by a selection that the reading comes to later. So
NumPy's floating-point errors are noted instead of told, and told when the results are not finite.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..tracer import plain

Notes = list[Exception | tuple[str, int]]  # what cannot be known, and NumPy's floating-point errors

NOTES: ContextVar[Notes | None] = ContextVar("tapegrad notes", default=None)  # of the reading forth that goes on

_STATES = {"divide by zero": "divide", "overflow": "over", "underflow": "under", "invalid value": "invalid"}


def noting(notes: Notes) -> np.errstate:
    """A context in which NumPy's floating-point errors are noted."""
    return np.errstate(all="call", call=lambda kind, flag: notes.append((kind, flag)))


def doubt(error: Exception) -> None:
    """Raise this; in a reading forth note it, which has nan where it cannot know."""
    notes = NOTES.get()
    if notes is None:
        raise error
    notes.append(error)


def tell(notes: Notes, results: Iterable[Any], name: str) -> None:
    """Raise what could not be known if there is a nan among the results of the reading called `name`; where one is
    not finite, do what `numpy.errstate` says with NumPy's errors: warn, raise, call, or nothing."""
    values = [np.asarray(plain(r)) for r in results if r is not None]
    doubts = [note for note in notes if isinstance(note, Exception)]
    if doubts and any([np.isnan(value).any() for value in values]):
        raise doubts[0]
    if all([np.isfinite(value).all() for value in values]):
        return
    states: dict[str, Any] = dict(np.geterr())
    for kind, flag in dict.fromkeys([note for note in notes if isinstance(note, tuple)]):
        what, how = f"{kind} encountered in {name}", states[_STATES[kind]]
        if how == "raise":
            raise FloatingPointError(what)
        if how == "warn":
            warnings.warn(what, RuntimeWarning, stacklevel=_depth())
        elif how == "call":
            np.geterrcall()(kind, flag)  # type: ignore[misc, operator]
        elif how in ("print", "log"):
            print(f"Warning: {what}")


def _depth() -> int:
    """How many calls up from its caller the first line stands that is none of ours."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    return depth


_PACKAGE = __name__.partition(".")[0] + "."
