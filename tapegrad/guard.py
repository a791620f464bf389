"""The caller's arrays that the tape keeps, and how they stay what they were.

An array of up to 64 KB is copied; of arguments, which may be many, no more than 256 KB in all. Other arrays, with
those that they are views of, are locked until the transform has ended: who writes to one then gets NumPy's own error.
Older views of a locked array can still be written through, and a pullback lives longer than its transform; so
fingerprints are taken, and compared before the tape is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from threading import RLock
from typing import Any
from weakref import ref

import numpy as np

COPIED = 1 << 16  # bytes: arrays up to this size are copied
_ROOM = 1 << 18  # bytes: of copies of arguments that are larger than `SMALL`
SMALL = 1 << 13  # arrays above this size are copied once, as long as they stay the same
_WHOLE = 1 << 18  # of arrays up to this size every byte counts in the fingerprint while they are locked
_SOME = 1 << 10  # of larger ones, so many words of eight bytes

_locked: dict[int, tuple[Any, set[int]]] = {}  # by id: an array, and the guards that lock it
_mutex = RLock()  # a guard may die while another one locks

_ndarray = np.ndarray


class Guard:
    """The arrays of the caller that one tape keeps."""

    __slots__ = ("arrays", "chain", "copies", "many", "room")

    def __init__(self) -> None:
        self.arrays: dict[int, tuple[Any, int]] = {}  # by id: locked ones, with fingerprints
        self.chain: list[Any] = []  # these and what they are views of
        self.copies: dict[int, ref[Any]] = {}  # by id of the original
        self.many = 256
        self.room = _ROOM

    def keep(self, a: Any) -> Any:
        """An array that is safe to keep: a copy, or the same, locked."""
        if a.nbytes > COPIED:
            return self.lock(a)
        found = self.copies.get(id(a))
        made = None if found is None else found()
        if made is not None and made.dtype == a.dtype and made.shape == a.shape and _are_same(made, a):
            return made  # the copy that was made the last time
        made = a.copy("K")
        self.copies[id(a)] = ref(made)
        if len(self.copies) > self.many:
            self.copies = {k: r for k, r in self.copies.items() if r() is not None}
            self.many = 2 * len(self.copies) + 256
        return made

    def enter(self, a: Any) -> Any:
        """The same of an argument of the outermost transform, which is to be laid out in memory as it was."""
        if a.nbytes > min(COPIED, self.room):
            return self.lock(a)
        self.room -= a.nbytes
        return duplicate(a)

    def lock(self, a: Any) -> Any:
        """Lock an array and what it is a view of, and remember what is in it."""
        if id(a) in self.arrays:
            return a
        self.arrays[id(a)] = a, fingerprint(a, a.nbytes <= _WHOLE)
        _become(self, _Locking)
        base = a
        with _mutex:
            while isinstance(base, _ndarray):
                self.chain.append(base)
                known = _locked.get(id(base))
                if known is not None:
                    known[1].add(id(self))
                elif base.flags.writeable:
                    _locked[id(base)] = base, {id(self)}
                    base.setflags(write=False)
                base = base.base
        return a

    def release(self) -> None:
        """Make writable again what was so before."""
        if not self.chain:
            return
        with _mutex:
            for base in reversed(self.chain):  # a view after what it views
                known = _locked.get(id(base))
                if known is not None:
                    known[1].discard(id(self))
                    if not known[1]:
                        del _locked[id(base)]
                        with suppress(ValueError):  # where the caller has locked what it is a view of
                            base.setflags(write=True)
        self.chain.clear()
        self.arrays.clear()
        _become(self, Guard)

    def changed(self) -> Iterator[Any]:
        """The locked arrays that were changed all the same."""
        for a, before in self.arrays.values():
            if fingerprint(a, a.nbytes <= _WHOLE) != before:
                yield a


class _Locking(Guard):
    """One that has locked something, and lets go of that when it dies. Others die without running anything."""

    __slots__ = ()

    def __del__(self) -> None:
        self.release()


def _become(guard: Any, kind: type[Guard]) -> None:
    guard.__class__ = kind


def duplicate(a: Any) -> Any:
    """A copy that is laid out in memory as the array is, gaps included, so that it has the same views."""
    if a.flags.forc or not a.size or 0 in a.strides:
        return a.copy("K")
    steps = [stride * (n - 1) for stride, n in zip(a.strides, a.shape)]
    before, after = -sum([min(step, 0) for step in steps]), sum([max(step, 0) for step in steps])
    made: Any = np.ndarray(a.shape, a.dtype, np.empty(before + after + a.itemsize, np.uint8), before, a.strides)
    made[...] = a
    return made


def lent(a: Any) -> Any:
    """An array for code that may write to it: a copy, or a view that cannot be written to."""
    return a.copy("K") if a.nbytes <= COPIED else read_only(a)


def read_only(a: Any) -> Any:
    """A view of an array that cannot be written to."""
    made = a.view()
    made.setflags(write=False)
    return made


def fingerprint(a: Any, whole: bool = True) -> int:
    """A number that tells whether an array has changed: from all of its bytes, or from some all over it."""
    if a.dtype.hasobject:
        return hash(tuple([id(x) for x in a.flat]))
    words = a.ravel("K").view(np.uint8)
    for wide in (np.uint64, np.uint32):
        if not words.nbytes % np.dtype(wide).itemsize:
            words = words.view(wide)
            break
    if not whole and words.size > _SOME:
        return zlib.crc32(words[:: words.size // _SOME].tobytes() + words[:64].tobytes() + words[-64:].tobytes())
    n = words.size // 64 * 64
    block = words[:n].reshape(-1, 64)  # of two that are exchanged, the columns differ or the rows
    sums = [np.add.reduce(block, axis, dtype=np.uint64) for axis in (0, 1)]
    return zlib.crc32(b"".join([part.tobytes() for part in (*sums, words[n:])]))


_INTEGERS = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def _are_same(a: Any, b: Any) -> bool:
    """Whether two arrays of a dtype and shape have the same bits; if that is not easy to say, they have not."""
    integer = _INTEGERS.get(a.dtype.itemsize)
    return integer is not None and not a.dtype.hasobject and bool((a.view(integer) == b.view(integer)).all())
