"""The backward reading: cotangents of outputs become cotangents of inputs."""

from __future__ import annotations

from typing import Any

from ..primitives.forms import LIFT, NAMES, PULL
from ..tape import Entry, Frame, Outer


def read(frame: Frame, entries: list[Entry], cots: Any) -> None:
    """Go through the entries from the end, which uses them up, and leave in `cots` what the inputs get.

    Each entry's cotangent is taken out, and its rules send it on to the entry's parents. What depends on
    frames around this one is made a tracer of theirs first, so that the rules are recorded there: that is
    all there is to higher derivatives.
    """
    bit = frame.bit
    outer = bit - 1
    pop = entries.pop
    pull = PULL
    e: Entry = ()
    try:
        if not outer:
            for _ in range(len(entries)):
                e = pop()
                g = cots[e[0]]
                if g is not None:
                    cots[e[0]] = None
                    pull[e[2]](g, e, cots, bit)
            cots[-1] = None
            return
        lift, scopes = LIFT, Outer(frame)
        while entries:
            e = pop()
            if e[1] & bit:
                g = cots[e[0]]
                if g is not None:
                    cots[e[0]] = None
                    if e[1] & outer:
                        e = lift[e[2]](e, scopes)
                    pull[e[2]](g, e, cots, bit)
        cots[-1] = None
    except Exception as error:
        error.add_note(f"tapegrad: on the way back through {NAMES[e[2]]}, entry {e[0]} of the tape of {frame.name}")
        raise
