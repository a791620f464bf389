"""Frames: transforms that run. The innermost of them in a thread or task is known by its tape."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any

from .lines import Place, tell, user_frame
from .tape import Entry, Index, Scope, Tape, Watch, current, escaped

_NONE = Scope(Tape(), 0)  # of a frame that does not run


class Frame:
    """A running transform called `name`. Make it before a `try`, `open` it within, `close` it in `finally`.

    Args:
        complete: keep every value on the tape, whether rules read it or not.
        linear: the same, and what is not linear in the values of this frame raises NotLinear.
        watches: called with this frame, gives what reads each entry as it is recorded, instead of the tape.
    """

    __slots__ = (
        *("bit", "caller", "complete", "end", "home", "linear", "name", "notes", "outer", "running", "scope", "start"),
        *("tape", "watch", "watches"),
    )

    def __init__(
        self, name: str, complete: bool = False, linear: bool = False, watches: Callable[[Frame], Watch] | None = None
    ) -> None:
        self.name = name
        self.complete = complete
        self.linear = linear
        self.watches = watches
        self.watch: Watch | None = None
        self.notes: list[Any] = []  # of what is read forward
        self.running = False
        self.scope, self.tape = _NONE, _NONE.tape
        self.outer: tuple[Frame, ...] = ()

    def open(self) -> None:
        tape = running()
        self.home: FrameType | None = sys._getframe(1)
        caller = user_frame(self.home.f_back)
        self.caller: Place | None = None if caller is None else (caller.f_code, caller.f_lasti)
        if tape is None:
            tape = Tape()
            current.set(tape)
        if tape.debug is not None and tape.debug.complete:
            self.complete = True
        self.tape = tape
        if tape.frames:
            self.outer = tuple(tape.frames)
        self.bit = bit = 1 << len(tape.frames)
        self.start = len(tape.entries)
        keeps, watches = self.complete or self.linear, self.watches is not None
        if keeps or watches or (tape.complete | tape.watching) & bit:
            tape.complete = tape.complete & ~bit | (bit if keeps else 0)
            tape.linear = tape.linear & ~bit | (bit if self.linear else 0)
            tape.watching = tape.watching & ~bit | (bit if watches else 0)
        if self.watches is not None:
            self.watch = self.watches(self)
        tape.frames.append(self)
        self.scope = tape.scopes[bit] = Scope(tape, bit)
        self.running = True

    def close(self) -> list[Entry]:
        """End the frame and give what it recorded; the tape keeps what frames around it can need."""
        if not self.running:
            return []
        tape, bit = self.tape, self.bit
        self.home = None
        self.scope = _NONE  # whose end refers to this frame: no cycle for the collector
        if self in tape.frames:
            tape.frames.remove(self)
        self.running = False
        self.watch = None
        watching = tape.watching & bit
        if watching or tape.complete & bit:
            tape.complete, tape.linear, tape.watching = tape.complete & ~bit, tape.linear & ~bit, tape.watching & ~bit
        entries = tape.entries
        if not self.outer:
            for scope in [*tape.scopes.values()]:
                scope.end(self)
            tape.scopes = {}
            tape.entries = []
            current.set(None)
            self.end = next(tape.count)
            return entries.copy()  # which a thread that comes too late adds nothing to
        for mask in [mask for mask in list(tape.scopes) if mask & bit]:
            tape.scopes.pop(mask).end(self)
        end = len(entries)  # what other threads add from here on stays where it is
        taken = entries[self.start : end]
        keeping = bit - 1 & ~tape.watching
        if self.linear:  # what depends on this frame is 0, whatever frames around it do
            kept = [entry for entry in taken if not entry[1] & bit]
        else:
            kept = [entry for entry in taken if entry[1] & keeping]
        entries[self.start : end] = kept
        if watching:
            for entry in kept:
                if type(entry[0]) is Index:
                    setattr(entry[0], Index.slot(bit), None)
        return taken

    def called(self) -> str:
        """Where the transform was called, for a message."""
        return f"{self.name} was called" + ("" if self.caller is None else f" at {tell(self.caller)}")

    def leave(self) -> None:
        """The transform is done, one way or the other: close the frame, and let go of the caller's arrays."""
        if self.running:
            self.close()
        if not self.outer and self.tape.guard is not None:
            self.tape.guard.release()

    def outer_scope(self, mask: int) -> Scope:
        """The scope of the frames in `mask` that ran around this one; raises where one has ended."""
        for frame in self.outer:
            if frame.bit & mask and not frame.running:
                raise escaped(frame)
        return self.tape.scope(mask)

    def cotangents(self) -> Any:
        """An empty place for the cotangents of what this frame recorded: by index, None where there is none.

        At -1 stand the entries that are still to be read, so that one of them can unfold into many.
        """
        return Sparse() if self.outer else [None] * (self.end + 1)


def running() -> Tape | None:
    """The tape of the frames that run in this thread or task; None if there are none."""
    tape = current.get()
    if tape is None or not tape.frames or tape.owner != get_ident() or not tape.is_live(sys._getframe(1)):
        return None
    return tape


class Sparse(dict[int, Any]):
    """Cotangents by index, for a stretch of the tape that starts late."""

    def __missing__(self, index: int) -> None:
        return None


class Outer(dict[int, Any]):
    """By mask: the scope of those of its frames that are around `frame`, None if there are none."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def __missing__(self, mask: int) -> Scope | None:
        outer = mask & (self.frame.bit - 1)
        found = self[mask] = self.frame.outer_scope(outer) if outer else None
        return found
