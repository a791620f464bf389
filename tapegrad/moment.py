"""What ran at a moment of the recording, to run once more when some of that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, get_ident

from .tape import Entry, Tape, current


class Moment:
    """What ran on a tape at a moment, so that a stretch of it can be recorded again when some of that has ended."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.lock = tape.lock = tape.lock or RLock()
        self.frames = tape.frames.copy()
        self.scopes = tape.scopes.copy()
        self.flags = tape.complete, tape.linear, tape.watching
        self.start = len(tape.entries)

    @contextmanager
    def again(self) -> Iterator[list[Entry]]:
        """Let the values of that moment be recorded again; gives the list that gets the entries.

        What frames that still run can need is put on their tape, too.
        """
        with self.lock:
            yield from self._again()

    def _again(self) -> Iterator[list[Entry]]:
        tape = self.tape
        owner, tape.owner = tape.owner, get_ident()
        held = tape.frames, tape.scopes, tape.entries, tape.complete, tape.linear, tape.watching
        scopes = [(scope, scope.ended, scope.count, scope.record, scope.watches) for scope in self.scopes.values()]
        ended = [frame for frame in self.frames if not frame.running]
        entries: list[Entry] = []
        alone = tape.alone
        token = current.set(tape)
        try:
            tape.frames, tape.scopes, tape.entries = self.frames.copy(), self.scopes.copy(), entries
            tape.complete, tape.linear, tape.watching = self.flags
            tape.alone = get_ident()
            for frame in ended:
                frame.running = True
            for scope, *_ in scopes:
                scope.live()
            yield entries
        finally:
            for mask, scope in tape.scopes.items():
                if mask not in self.scopes:
                    scope.end(self.frames[-1])
            for scope, over, counter, record, watches in scopes:
                scope.ended, scope.record, scope.count, scope.watches = over, record, counter, watches
            for frame in ended:
                frame.running = False
            tape.frames, tape.scopes, tape.entries, tape.complete, tape.linear, tape.watching = held
            tape.owner, tape.alone = owner, alone
            current.reset(token)
        keeping = sum([frame.bit for frame in self.frames if frame.running and frame.watches is None])
        tape.entries += [entry for entry in entries if entry[1] & keeping]
