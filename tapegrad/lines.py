"""Where a user's program called: lines of its source for messages, and what is watched while one looks for a fault."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frame import Frame
    from .tape import Entry, Tape

Place = tuple[CodeType, int]  # a function's code, and how far it had come; the line is computed when it is told

_OURS = (__name__.partition(".")[0] + ".", "numpy.")


def user_frame(f: FrameType | None) -> FrameType | None:
    """The innermost running function, from this one outward, that is neither ours nor NumPy's."""
    while f is not None and f.f_globals.get("__name__", "").startswith(_OURS):
        f = f.f_back
    return f


def tell(place: Place) -> str:
    """A place as a person would look for it: `model.py, line 12`."""
    code, at = place
    line = next((line for start, end, line in code.co_lines() if start <= at < end), None)
    return f"{code.co_filename}, line {line or code.co_firstlineno}"


def recorded_at(tape: Tape, index: int) -> str:
    """The end of a message: where an entry was recorded."""
    place = tape.lines.get(index)
    if place is not None:
        return f", recorded at {tell(place)}"
    return "" if tape.debug is not None else "; `with tapegrad.debug():` tells the line"


class Debug:
    """What is looked at while one looks for a fault: nothing here but the line of each entry."""

    complete = False  # whether every value is to be kept

    def recorded(self, frame_name: str, tape: Tape, e: Entry) -> None:
        """An entry is about to be recorded."""

    def pulled(self, pull: Callable[..., None], g: Any, e: Entry, cots: Any, bit: int, frame: Frame) -> None:
        """Take a cotangent back through an entry by `pull(g, e, cots, bit)`."""
        pull(g, e, cots, bit)

    def pushed(self, e: Entry, t: Any, frame: Frame) -> None:
        """An entry has got a tangent."""


debugging: ContextVar[Debug | None] = ContextVar("tapegrad debugging", default=None)
