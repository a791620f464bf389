"""The backward reading: cotangents of outputs become cotangents of inputs."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..errors import EscapedTracerError, NonFiniteError
from ..frame import Frame, Outer
from ..lines import Debug, debugging, recorded_at
from ..primitives.cotangent import conform, spread
from ..primitives.forms import DEFINITIONS, HOLED, LIFT, NAMES, PULL, VIEW, Pull, scaled
from ..primitives.general import apply_one, leaves_of
from ..primitives.notes import Notes, noting
from ..primitives.partial import Partial, filled, unhurt, within
from ..tape import Entry, closed_over_in_rule
from ..tracer import Tracer, shape_of

_ARRAYS = (np.ndarray, Tracer)


def read(frame: Frame, entries: list[Entry], cots: Any) -> Notes:
    """Go through the entries from the end, which uses them up, and leave in `cots` what the inputs get.

    Each entry's cotangent is taken out, and its rules send it on to the entry's parents. What depends on
    frames around this one is made a tracer of theirs first, so that the rules are recorded there: that is
    all there is to higher derivatives. Returns what it noticed.
    """
    bit = frame.bit
    outer = bit - 1
    pop, pull, lift, through_holes = entries.pop, PULL, LIFT, pull_partial
    debug = debugging.get() or frame.tape.debug
    if debug is not None:
        pull = [functools.partial(_observed, debug, frame, p) for p in PULL]
        through_holes = functools.partial(_observed, debug, frame, pull_partial)
    scopes: Any = Outer(frame) if outer else None
    cots[-1] = entries
    notes: Notes = []
    e: Entry = ()
    try:
        with noting(notes):
            while entries:
                e = pop()
                g = cots[e[0]]
                if g is None:
                    continue
                if outer:
                    if not e[1] & bit:
                        continue
                    if e[1] & outer:
                        e = lift[e[2]](e, scopes)
                cots[e[0]] = None
                if type(g) is Partial:
                    through_holes(g, e, cots, bit)
                else:
                    pull[e[2]](g, e, cots, bit)
    except NonFiniteError:  # which tells it all
        raise
    except Exception as error:
        error.add_note(
            f"tapegrad: on the way back through {NAMES[e[2]]}, entry {e[0]} of the tape of {frame.name}"
            f"{recorded_at(frame.tape, e[0])}"
        )
        if isinstance(error, EscapedTracerError) and error.frame is frame:
            raise closed_over_in_rule(frame, NAMES[e[2]]) from error
        raise
    cots[-1] = None
    return notes


def _observed(debug: Debug, frame: Frame, pull: Pull, g: Any, e: Entry, cots: Any, bit: int) -> None:
    debug.pulled(pull, g, e, cots, bit, frame)


def pull_partial(g: Any, e: Entry, cots: Any, bit: int) -> None:
    """Take a cotangent with holes through an entry: functions of each element, and moves, leave them where they are."""
    if e[2] in HOLED:
        PULL[e[2]](g, e, cots, bit)
        return
    g = g if g.parts is None else g.settle()
    definition = DEFINITIONS[e[2]]
    if type(g) is not Partial or definition is None:  # what is no call passes on what it gets
        if g is not None:
            PULL[e[2]](g, e, cots, bit)
        return
    if not (definition.elementwise or definition.reduces or definition.linear):
        PULL[e[2]](filled(g), e, cots, bit)
        return
    y, args, kwargs, edges, _ = VIEW[e[2]](e)
    support = g.support
    y = unhurt(y, support)
    moved: dict[Any, Any] = {}  # of each argument: what moves to it, and where there is something
    for key, leaf, leaves, parent, mask, spec in edges:
        if not mask & bit:
            continue
        if definition.elementwise:
            if definition.scales and len(edges) == 1:
                r = scaled(definition.rules[key].call, args[1 - key], g.value, y, *args)
            else:
                r = apply_one(definition, key, g.value, y, args, kwargs)
            if r is g.value:
                r = g
            elif type(r) in _ARRAYS and r.shape == g.value.shape:
                r = Partial(r, support)  # which is neither all true nor all false
            else:
                r = within(r, support)
        elif definition.reduces:
            block = spread(np.broadcast_to(support, shape_of(e[3])), shape_of(spec), definition.axis(args, kwargs))
            r = within(apply_one(definition, key, g.value, y, args, kwargs), block)
        else:  # linear, so it tells by itself where each element goes
            if key not in moved:
                everywhere = np.broadcast_to(support, np.shape(g.value)).astype(float)
                pair = [apply_one(definition, key, c, y, args, kwargs) for c in (filled(g), everywhere)]
                listed = leaves and pair[0] is not None
                moved[key] = [leaves_of(c, leaves, definition.name, key) if listed else c for c in pair]
            r, there = moved[key]
            if leaves and r is not None:
                r, there = r[leaf], there[leaf]
            r = within(r, filled(there) != 0)
        if r is not None:
            r = conform(r, spec, definition.name, key, definition.elementwise)
            c = cots[parent]
            cots[parent] = r if c is None else c + r
