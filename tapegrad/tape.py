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
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import count
from threading import RLock, get_ident
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from .errors import EscapedTracerError
from .guard import COPIED, SMALL, Guard, duplicate
from .lines import Debug, Place, debugging, user_frame

if TYPE_CHECKING:
    from .frame import Frame

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
        if a.nbytes <= (COPIED if self.frames[1:] else SMALL):
            return duplicate(a)
        self.guard = self.guard or Guard()
        return self.guard.enter(a)

    def scope(self, mask: int) -> Scope:
        """The one scope of the running frames whose bits are in `mask`."""
        return self.scopes.get(mask) or self.scopes.setdefault(mask, Scope(self, mask))


class Scope:
    """The set of running frames that a value depends on, as a bit mask, with the means to record for them.

    `complete` says that one of the frames wants to keep every value, whether rules read it or not;
    `linear` that one of them wants to know whether its values are used in linear functions alone.
    """

    __slots__ = ("complete", "count", "ended", "keeps", "linear", "mask", "record", "tape", "watches")

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
        self.watches: list[Watch] = []
        if tape.watching & mask:
            within = tape.linear & mask  # to frames around a linear one its values are 0, and so are their tangents
            self.watches = [f.watch for f in tape.frames if f.bit & mask and f.bit > within and f.watch is not None]
            record = self._watched(self.watches) if self.watches else record
        self.record = record if tape.debug is None else self._noted(tape.debug, record)

    def record_together(self, entries: Sequence[Entry]) -> None:
        """Record a call and its outputs: all are on the tape before one is shown to those that watch."""
        if not self.watches or self.ended is not None:
            for entry in entries:
                self.record(entry)
            return
        for entry in entries:
            if self.mask & ~self.tape.watching:
                self.tape.entries.append(entry)
            if self.tape.debug is not None:
                self._noted(self.tape.debug, lambda entry: None)(entry)
        for watch in self.watches:
            for entry in entries:
                watch(entry)

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
