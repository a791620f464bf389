"""The Wengert tape: a flat list of entries, one per primitive call, in the order of the calls.

An entry is a tuple of plain values, `(index, mask, form, spec, ...)`: the number of the value that the
call made, the frames that it depends on, the small int that finds how to read it, and its type; what
follows belongs to the form (see `primitives`). No function and no object of ours stands in the entries
of the usual calls, so the garbage collector does not track them. Indices come from an atomic counter, so
that entries may be taken out of the middle of the list and threads cannot collide: the order of the list
means something, a position does not.

A transform that runs is a `Frame`. Frames nest; the outermost makes a new `Tape`, inner ones share it.
A `Scope` is the set of running frames that a value depends on, and records for them: it appends the entry to
the tape for the frames that read it later, and shows it at once to those that watch, which read forward.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from itertools import count
from threading import RLock, get_ident
from types import FrameType
from typing import Any, NoReturn, Self

from .errors import EscapedTracerError
from .guard import SMALL, Guard, duplicate
from .lines import Place, tell, user_frame

Entry = tuple[Any, ...]
Watch = Callable[[Entry], None]


class Index(int):
    """The index of a value that depends on watching frames: its attributes are the tangents, one for each frame.

    So a tangent lives as long as the values and the entries that bear its index, and no longer.
    """

    @classmethod
    def slot(cls, bit: int) -> str:
        """The name of the attribute that has the tangents of the frame with this bit; None where there is none."""
        name = f"tangent_{bit}"
        if not hasattr(cls, name):
            setattr(cls, name, None)
        return name


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
current: ContextVar[Tape | None] = ContextVar("tapegrad tape", default=None)


class Tape:
    """Entries, and the frames that write them; one for each outermost transform of a thread or task."""

    __slots__ = (
        *("alone", "complete", "count", "custom", "debug", "entries", "frames", "guard", "lines", "linear", "lock"),
        *("owner", "scopes", "watching"),
    )

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.count: Iterator[int] = count()
        self.frames: list[Frame] = []
        self.scopes: dict[int, Scope] = {}
        # the bits of frames that keep every value, that check what enters, that read as it is recorded
        self.complete = self.linear = self.watching = 0
        self.guard: Guard | None = None  # once there are arrays of the caller's to be kept
        self.custom = False  # whether there were rules that say what they like
        self.owner = get_ident()
        self.debug = debugging.get()
        self.lines: dict[int, Place] = {}  # where entries were recorded, by index, if somebody looks for a fault
        self.alone = 0  # the thread that alone may record, while a stretch is folded
        self.lock: RLock | None = None  # once stretches of it can be recorded again, by whatever thread

    def observe(self, debug: Debug) -> None:
        """Remember from here on where entries are recorded."""
        self.debug = debug
        for scope in self.scopes.values():
            scope.live()

    def record_alone(self, thread: int) -> None:
        """Let only this thread record, or with 0 every one."""
        self.alone = thread
        for scope in list(self.scopes.values()):
            scope.live()

    def is_live(self, within: FrameType | None) -> bool:
        """Whether the innermost transform still runs, around this one.

        It does not if an interrupt came just before that transform could close its frame. What is left is closed then.
        """
        home = self.frames[-1].home
        while home is not None and within is not home:
            if within is None:
                for frame in reversed(self.frames.copy()):
                    frame.running = True
                    frame.leave()
                return False
            within = within.f_back
        return True

    def keep(self, a: Any) -> Any:
        """An array of the caller's, to be kept: a copy, or locked."""
        if a.nbytes <= SMALL:
            return a.copy("K")
        self.guard = self.guard or Guard()
        return self.guard.keep(a)

    def enter(self, a: Any) -> Any:
        """The same of an argument, which is to be laid out in memory as it was."""
        if a.nbytes <= SMALL:
            return duplicate(a)
        self.guard = self.guard or Guard()
        return self.guard.keep(a) if a.flags.forc else self.guard.lock(a)

    def scope(self, mask: int) -> Scope:
        """The one scope of the running frames whose bits are in `mask`."""
        return self.scopes.get(mask) or self.scopes.setdefault(mask, Scope(self, mask))


class Scope:
    """The set of running frames that a value depends on, as a bit mask, with the means to record for them.

    `complete` says that one of the frames wants to keep every value, whether rules read it or not;
    `linear` that one of them wants to know whether its values are used in linear functions alone.
    """

    __slots__ = ("complete", "count", "ended", "keeps", "linear", "mask", "record", "tape")

    def __init__(self, tape: Tape, mask: int) -> None:
        self.tape = tape
        self.mask = mask
        self.complete = bool(tape.complete & mask)
        self.linear = bool(tape.linear & mask)
        self.live()

    def live(self) -> None:
        """Values of this scope can be recorded."""
        tape, mask = self.tape, self.mask
        self.ended: Frame | None = None
        self.keeps = bool(mask & ~tape.watching)  # whether entries live on after they were recorded
        indices = map(Index, tape.count) if tape.watching & mask else tape.count
        self.count: Iterator[int] = _ForOne(self, indices) if tape.alone else indices  # before others can record
        record: Watch = tape.entries.append
        if tape.watching & mask:
            within = tape.linear & mask  # to frames around a linear one its values are 0, and so are their tangents
            watches = [f.watch for f in tape.frames if f.bit & mask and f.bit > within and f.watch is not None]
            record = self._watched(watches) if watches else record
        self.record = record if tape.debug is None else self._noted(tape.debug, record)

    def _noted(self, debug: Debug, record: Watch) -> Watch:
        tape = self.tape

        def note(entry: Entry) -> None:
            place = user_frame(sys._getframe(1))
            if place is not None:
                tape.lines[entry[0]] = place.f_code, place.f_lasti
            debug.recorded(tape.frames[-1].name, tape, entry)
            record(entry)

        return note

    def _watched(self, watches: list[Watch]) -> Watch:
        keep = self.mask & ~self.tape.watching
        append = self.tape.entries.append
        if not keep and len(watches) == 1:
            return watches[0]

        def record(entry: Entry) -> None:
            if keep:
                append(entry)
            for watch in watches:  # from the outermost, whose tangents the inner ones meet
                watch(entry)

        return record

    def keep(self, a: Any) -> Any:
        """An array of the caller's, to be kept if entries are."""
        return self.tape.keep(a) if self.keeps else a

    def end(self, frame: Frame) -> None:
        """From here on a value of this scope cannot be recorded: its next use raises."""
        self.ended = frame
        self.count = _Escaped(frame)
        self.record = partial(_too_late, frame)  # and not the list of entries, some of which refer to scopes

    def frame(self) -> Frame:
        """The innermost of its frames."""
        bit = 1 << (self.mask.bit_length() - 1)
        return self.ended or next(frame for frame in self.tape.frames if frame.bit == bit)


def _too_late(frame: Frame, entry: Entry) -> NoReturn:
    raise escaped(frame)  # by a thread that was in the middle of an operation


class _ForOne:
    """Indices for one thread alone, while a stretch is folded: what others record in the meantime is no part of it."""

    def __init__(self, scope: Scope, count: Iterator[int]) -> None:
        self.scope = scope
        self.indices = count

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        if self.scope.tape.alone not in (0, get_ident()):
            raise EscapedTracerError(
                f"a thread computed with a traced value of {self.scope.frame().name} while a checkpointed function ran",
                "what is recorded in the meantime is recorded again on the way back, by one thread",
                "join the threads before a checkpointed function is called, and start no others in there",
            )
        return next(self.indices)


class _Escaped:
    """In the place of a counter: an index from a frame that has ended is an error."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NoReturn:
        raise escaped(self.frame)


def escaped(frame: Frame) -> EscapedTracerError:
    error = EscapedTracerError(
        f"a traced value of {frame.name} was used after {frame.name} had ended",
        f"{frame.called()}; such a value means something only while the function that it was made in is differentiated",
        "return the value from the function (has_aux=True for extras), or save stop_gradient(value)",
    )
    error.frame = frame
    return error


def recorded_at(tape: Tape, index: int) -> str:
    """The end of a message: where an entry was recorded."""
    place = tape.lines.get(index)
    if place is not None:
        return f", recorded at {tell(place)}"
    return "" if tape.debug is not None else "; `with tapegrad.debug():` tells the line"


def closed_over_in_rule(frame: Frame, name: str) -> EscapedTracerError:
    """The error for a rule that uses a value of the frame that is being read."""
    return EscapedTracerError(
        f"a rule used a traced value of {frame.name} that it had closed over",
        f"it met it on the way through {name}; a rule knows the values of the call alone",
        "make the value an argument of the function, or keep it among the residuals of a custom_vjp",
    )


def union(s: Scope, t: Scope) -> Scope:
    """The scope of a value made from one of scope `s` and one of scope `t`; raises where one has ended."""
    for scope in (s, t):
        if scope.ended is not None:
            raise escaped(scope.ended)
    if s.tape is not t.tape:
        raise EscapedTracerError(
            "traced values of two unrelated transforms met",
            f"{s.tape.frames[-1].called()}, {t.tape.frames[-1].called()}: in different threads or tasks",
            "differentiate within one thread, and pass stop_gradient(value) between them",
        )
    return s.tape.scope(s.mask | t.mask)


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
        self.scope = _NONE
        self.outer: tuple[Frame, ...] = ()

    def open(self) -> None:
        tape = running()
        self.home: FrameType | None = sys._getframe(1)
        caller = user_frame(self.home)
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
        keeps = self.complete or self.linear
        tape.complete = tape.complete & ~bit | (bit if keeps else 0)
        tape.linear = tape.linear & ~bit | (bit if self.linear else 0)
        tape.watching = tape.watching & ~bit | (bit if self.watches is not None else 0)
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
        tape.complete, tape.linear, tape.watching = tape.complete & ~bit, tape.linear & ~bit, tape.watching & ~bit
        entries = tape.entries
        if not self.outer:
            for scope in list(tape.scopes.values()):
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
        if not self.outer and getattr(self, "tape", None) is not None and self.tape.guard is not None:
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


_NONE = Scope(Tape(), 0)  # of a frame that does not run


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
