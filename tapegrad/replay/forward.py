"""The forward reading: tangents of inputs become tangents of outputs.

`watching` reads each entry as it is recorded, so that a tangent lives as long as its value; `read` goes through a
tape that was kept. Either way an entry's tangent comes from those of its parents: by the rule that goes forth, if
there is one; by the function itself, where it is linear; by the rule that goes back, which is the same for a
function of each element; else by the transpose of that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import copy_context
from operator import attrgetter
from threading import get_ident
from typing import Any

import numpy as np

from .. import tree
from ..frame import Frame, Outer
from ..lines import debugging
from ..primitives.cotangent import conform, reduced_axes, stretch, zero
from ..primitives.definition import Definition
from ..primitives.forms import DEFINITIONS, LIFT, NAMES, PUSH, UNFOLD, VIEW, WRITES, scaled
from ..primitives.general import apply_all, apply_one, apply_rule, leaves_of
from ..primitives.notes import NOTES, Notes, noting
from ..primitives.partial import Partial, filled, partial, settled, unhurt, within
from ..primitives.rules import Key, Placeholder
from ..primitives.transpose import added, apply_forward, not_linear, tangents_of, transpose, zeros
from ..tape import Entry, Index, Watch, closed_over_in_rule
from ..tracer import NotLinear, shape_of

Tangent = Callable[[int], Any]  # of the value that has an index; None for 0
Tangents = dict[Key, Any]  # of the arguments of a call; a list of those of the leaves, where one is a container


def watching(frame: Frame) -> Watch:
    """What reads each entry as it is recorded, and gives its index the tangent."""
    bit = frame.bit
    outer, scopes = bit - 1, Outer(frame)
    context = copy_context()  # to run in it costs less than to enter `errstate` each time
    context.run(noting(frame.notes).__enter__)
    context.run(NOTES.set, frame.notes)
    runs = {get_ident(): context.run}  # a context is for one thread at a time
    copy = context.copy
    slot = Index.slot(bit)
    tangent, debug = attrgetter(slot), frame.tape.debug

    def watch(e: Entry) -> None:
        run = runs.get(get_ident()) or runs.setdefault(get_ident(), copy().run)
        try:
            if e[1] & outer:
                e = LIFT[e[2]](e, scopes)
            quick = PUSH[e[2]]
            t = NotImplemented if quick is None else run(quick, e, bit, tangent)
            if t is NotImplemented:
                t = run(push, e, bit, tangent)
        except Exception as error:
            error.add_note(f"tapegrad: on the way forward through {NAMES[e[2]]} in {frame.name}")
            if str(error).startswith("cannot enter context"):  # on the way through another entry
                raise closed_over_in_rule(frame, NAMES[e[2]]) from error
            raise
        if t is not None:
            if debug is not None:
                debug.pushed(e, t, frame)
            setattr(e[0], slot, t)

    return watch


def read(frame: Frame, entries: Sequence[Entry], tangents: dict[int, Any], last: dict[int, int]) -> Notes:
    """Go through the entries from the start; `tangents`, by index, has those of the inputs, and gets the others.

    `last` is what `last_writes` finds. Returns what it noticed.
    """
    notes: Notes = []
    token = NOTES.set(notes)
    try:
        with noting(notes):
            _read(entries, tangents, frame, Outer(frame), last)
    except Exception as error:
        error.add_note(f"tapegrad: on the way forward through the tape of {frame.name}")
        raise
    finally:
        NOTES.reset(token)
    return notes


def last_writes(entries: Sequence[Entry], outputs: Sequence[tuple[int | None, Any]]) -> dict[int, int]:
    """The writes to arrays that nobody reads afterwards as they were: by index, that of the array. So n cost n."""
    forms = {e[2] for e in entries}
    if WRITES.isdisjoint(forms) or not UNFOLD.keys().isdisjoint(forms):
        return {}
    final: dict[int, int] = {}
    for e in entries:
        for parent in [edge[3] for edge in VIEW[e[2]](e)[3]] if DEFINITIONS[e[2]] is not None else e[4:5]:
            final[parent] = e[0]
    kept = {index for index, _ in outputs}
    found = {}
    for e in entries:
        if e[2] in WRITES:
            array, *value = [edge[3] for edge in VIEW[e[2]](e)[3]]
            if final[array] == e[0] and array not in value and array not in kept:
                found[e[0]] = array
    return found


def _read(
    entries: Sequence[Entry], tangents: dict[int, Any], frame: Frame, scopes: Outer, last: dict[int, int]
) -> None:
    bit, debug = frame.bit, debugging.get() or frame.tape.debug
    outer, tangent = bit - 1, tangents.get
    for e in entries:
        if e[1] & bit:
            if e[2] in UNFOLD:
                stretch, outputs = UNFOLD[e[2]](e)
                _read(stretch, tangents, frame, scopes, {})
                t: Any = [tangent(index) for index in outputs]
            else:
                if e[1] & outer:
                    e = LIFT[e[2]](e, scopes)
                quick = PUSH[e[2]]
                if e[0] in last:
                    assert quick is not None
                    t = quick(e, bit, _taking(tangents, last[e[0]]))
                else:
                    t = NotImplemented if quick is None else quick(e, bit, tangent)
                if t is NotImplemented:
                    t = push(e, bit, tangent)
            if t is not None:
                if debug is not None:
                    debug.pushed(e, t, frame)
                tangents[e[0]] = t


def _taking(tangents: dict[int, Any], parent: int) -> Tangent:
    """The tangents by index, of which that of the parent is given away."""
    return lambda index: tangents.pop(index, None) if index == parent else tangents.get(index)


def push(e: Entry, bit: int, tangent: Tangent) -> Any:
    """The tangent of the answer of any call, a list of them if it has several outputs; None for 0."""
    definition = DEFINITIONS[e[2]]
    assert definition is not None
    y, args, kwargs, edges, outputs = VIEW[e[2]](e)
    found: Tangents = {}
    for key, leaf, leaves, parent, mask, _ in edges:
        if mask & bit and (t := settled(tangent(parent))) is not None:
            if leaves:
                found.setdefault(key, [None] * leaves)[leaf] = t
            else:
                found[key] = t
    if not found:
        return None
    if any([definition.forward_rule(key) for key in found]):
        return _authored(definition, found, y, args, kwargs, edges, e[3], outputs)
    if definition.elementwise:
        alone = definition.scales and len(edges) == 1
        t = functools.reduce(added, [_of_elements(definition, k, t, y, args, kwargs, alone) for k, t in found.items()])
    elif definition.reduces:
        ((key, t),) = found.items()
        t = _of_blocks(definition, key, t, y, args, kwargs, len(shape_of(e[3])))
    elif found.keys() <= definition.linear:
        t = _linear(definition, found, args, kwargs, edges)
    elif found.keys() <= definition.multilinear:
        t = functools.reduce(added, [_with(definition, {k: filled(t)}, args, kwargs) for k, t in found.items()])
    else:
        return _transposed(definition, found, y, args, kwargs, edges, e[3], outputs)
    return stretch(t, e[3], definition.name)


def _with(definition: Definition, new: Tangents, args: Any, kwargs: Any) -> Any:
    """The call with other values of some arguments."""
    return definition.record(
        *[new.get(k, a) for k, a in enumerate(args)], **{k: new.get(k, a) for k, a in kwargs.items()}
    )


def _of_elements(definition: Definition, key: Any, t: Any, y: Any, args: Any, kwargs: Any, alone: bool) -> Any:
    support = None
    if type(t) is Partial:
        t, support = t.value, t.support
        y = unhurt(y, support)
    if alone:
        return within(scaled(definition.rules[key].call, args[1 - key], t, y, *args), support)
    return within(apply_one(definition, key, t, y, args, kwargs), support)


def _of_blocks(definition: Definition, key: Key, t: Any, y: Any, args: Any, kwargs: Any, ndim: int) -> Any:
    """Each block is the sum of its elements' tangents times what the rule multiplies them by."""
    value, support = (t.value, t.support) if type(t) is Partial else (t, None)
    r = within(apply_rule(definition.rules[key].call, value, y, args, kwargs), support)
    if r is None:
        return None
    shape = np.shape(value)
    axes = reduced_axes(shape, definition.axis(args, kwargs))
    keep = ndim == len(shape)
    made = np.sum(filled(r), axes, keepdims=keep)
    if type(r) is Partial:
        return partial(made, np.any(np.broadcast_to(r.support, shape), axes, keepdims=keep))
    return made


def _linear(definition: Definition, found: Tangents, args: Any, kwargs: Any, edges: Any) -> Any:
    """The function itself, of the tangents; where it takes none of them there is a hole."""
    held = dict(enumerate(args)) | kwargs
    parts = [(key, found.get(key)) for key in definition.linear]
    values = {key: _built(key, ts, held[key], edges, _value) for key, ts in parts}
    made = _with(definition, values, args, kwargs)
    if any([t is None or type(t) is Partial for _, ts in parts for t in (ts if type(ts) is list else [ts])]):
        supports = {key: _built(key, ts, held[key], edges, _there) for key, ts in parts}
        return within(made, _with(definition, supports, args, kwargs) != 0)
    if definition.scatters is not None:
        return within(made, definition.scatters(*[values.get(k, a) for k, a in enumerate(args)]))
    return made


def _built(key: Key, ts: Any, held: Any, edges: Any, part: Callable[[Any, Any], Any]) -> Any:
    """Something for an argument, or for each leaf of it: made from its tangent and what was kept of it."""
    if type(ts) is not list:
        return part(ts, held)
    if type(held) is tuple and not held:  # of a list of traced values nothing is kept
        return [part(t, Placeholder(edge[5])) for t, edge in zip(ts, [edge for edge in edges if edge[0] == key])]
    leaves, structure = tree.flatten(held)
    return structure.unflatten([part(t, a) for t, a in zip(ts, leaves)])


def _value(t: Any, a: Any) -> Any:
    return zeros(a) if t is None else filled(t)


def _there(t: Any, a: Any) -> Any:
    """An array of the shape of an argument: 1 where its tangent counts, 0 in the holes."""
    value = t.value if type(t) is Partial else t
    one = 1 + 1j if np.iscomplexobj(value) else 1.0  # which has both its parts
    if type(t) is Partial:
        return np.broadcast_to(t.support, np.shape(value)) * one
    return np.zeros(np.shape(a)) if t is None else np.full(np.shape(value), one)


def _authored(
    definition: Definition, found: Tangents, y: Any, args: Any, kwargs: Any, edges: Any, spec: Any, outputs: Any
) -> Any:
    """By the rules that go forth; arguments that have none by the transpose of those that go back."""
    rest = {key: t for key, t in found.items() if definition.forward_rule(key) is None}
    found = {key: t for key, t in found.items() if key not in rest}
    if definition.elementwise and definition.forward_joint is None:
        parts = []
        for key, t in found.items():
            rule = definition.forward_rules[key].call
            value, support = (t.value, t.support) if type(t) is Partial else (t, None)
            parts.append(within(apply_rule(rule, value, y, args, kwargs), support))
        t = functools.reduce(added, parts)
    else:
        held = dict(enumerate(args)) | kwargs
        whole = {key: _built(key, ts, held[key], edges, _value) for key, ts in found.items()}
        t = apply_forward(definition, whole, y, args, kwargs)
    made: Any
    if outputs is None:
        made = stretch(t, spec, definition.name)
    else:
        ts = tangents_of(t, outputs[0].unflatten(outputs[1]), len(outputs[1]), definition.name)
        made = [None if i is None else stretch(part, sp, definition.name) for part, (i, sp) in zip(ts, outputs[1])]
    if rest:
        more = _transposed(definition, rest, y, args, kwargs, edges, spec, outputs)
        made = added(made, more) if outputs is None else [added(a, b) for a, b in zip(made, more)]
    return made


def _transposed(
    definition: Definition, found: Tangents, y: Any, args: Any, kwargs: Any, edges: Any, spec: Any, outputs: Any
) -> Any:
    """By the transpose of the rules that go back."""
    name = definition.name
    to = [edge for edge in edges if edge[0] in found]
    ts = [filled(found[edge[0]][edge[1]] if edge[2] else found[edge[0]]) for edge in to]
    kinds = [(0, spec)] if outputs is None else outputs[1]
    places = [k for k, (index, _) in enumerate(kinds) if index is not None]

    def back(*gs: Any) -> list[Any]:
        g = gs[0]
        if outputs is not None:
            parts: list[Any] = [None if sp is None else zero(sp) for _, sp in kinds]
            for k, part in zip(places, gs):
                parts[k] = part
            g = outputs[0].unflatten(parts)
        if definition.joint is None:
            given = {key: apply_one(definition, key, g, y, args, kwargs) for key in found}
        else:
            given = apply_all(definition, g, y, args, kwargs)
        results = []
        listed: dict[Key, Any] = {}  # of containers: the cotangents of their leaves
        for key, leaf, leaves, _, _, sp in to:
            r = given[key]
            if leaves and r is not None:
                if key not in listed:
                    listed[key] = leaves_of(r, leaves, name, key)
                r = listed[key][leaf]
            results.append(None if r is None else conform(r, sp, name, key, definition.elementwise))
        return results

    try:
        made = transpose(back, [kinds[k][1] for k in places], ts, f"{name}.defjvp")
    except NotLinear as error:
        raise not_linear(name, error, "defvjp", "defjvp") from None
    if outputs is None:
        return made[0]
    every = [None] * len(kinds)
    for k, c in zip(places, made):
        every[k] = c
    return every
