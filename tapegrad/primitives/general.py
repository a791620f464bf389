"""The general path: any call of any primitive.

It takes keywords, tracers inside containers, several outputs, traced arguments of different scopes, and
tapes that keep everything. Its entries are

    (index, mask, form, spec, answer, arguments, keyword arguments, edges, outputs)

An edge `(key, leaf, leaves, parent, mask, spec)` is one traced argument, or one leaf of a container that
is an argument. Of a call with several outputs each has an index and an entry of its own, which picks it
from the call: (index, mask, PICK, spec, index of the call, position, number of outputs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tree
from ..errors import CotangentError, PrimitiveError
from ..frame import Outer
from ..tape import Entry, Scope, union
from ..tracer import (
    TRACERS,
    Blank,
    NotLinear,
    Tracer,
    blank,
    constant_of,
    dtype_of,
    is_inexact,
    shape_of,
    spec_of,
    tracer,
)
from ..views import UNSETTLED, note, renew, settle
from .bodies import LEAVES, kept, refuse_odd, run
from .cotangent import conform
from .definition import Definition
from .forms import form, scaled
from .partial import filled
from .rules import DROP, KEEP, SHAPE, Key, Placeholder, again, placeholder

_ndarray = np.ndarray


def _pull_pick(g: Any, e: Entry, cots: Any, bit: int) -> None:
    call, position, n = e[4:]
    c = cots[call]
    if c is None:
        c = cots[call] = [None] * n
    c[position] = g if c[position] is None else c[position] + g


def _push_pick(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
    parts = tangent(e[4])
    return None if parts is None else parts[e[5]]


PICK = form("output", _pull_pick, lambda e, scopes: e, push=_push_pick)


def make_form(definition: Definition) -> int:
    """Register the general form of a primitive."""
    name, elementwise = definition.name, definition.elementwise

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, _, y, args, kwargs, edges, outputs = e
        if outputs is not None:
            g = _gather(g, outputs)
        results = apply_all(definition, g, y, args, kwargs) if definition.joint is not None else {}
        listed: dict[Key, Any] = {}  # of containers: the cotangents of their leaves
        for key, leaf, leaves, parent, mask, spec in edges:
            if not mask & bit:
                continue
            if key in results:
                r = results[key]
            elif definition.scales and len(edges) == 1:
                r = scaled(definition.rules[key].call, args[1 - key], g, y, *args)
            else:
                r = results[key] = apply_rule(definition.rules[key].call, g, y, args, kwargs)
            if leaves and r is not None:
                if key not in listed:
                    listed[key] = leaves_of(r, leaves, name, key)
                r = listed[key][leaf]
            if r is None:
                continue
            r = conform(r, spec, name, key, elementwise)
            c = cots[parent]
            cots[parent] = r if c is None else c + r

    def lift(e: Entry, scopes: Outer) -> Entry:
        i, mask, number, spec, y, args, kwargs, edges, outputs = e
        held: dict[Key, Any] = dict(enumerate(args)) | kwargs
        containers: dict[Key, Any] = {}
        for key, leaf, leaves, parent, edge_mask, edge_spec in edges:
            s = scopes[edge_mask]
            if s is None or not _is_kept(held[key]):
                continue
            if leaves:
                if key not in containers:
                    containers[key] = tree.flatten(held[key])
                values = containers[key][0]
                if values and _is_kept(values[leaf]):
                    values[leaf] = tracer(values[leaf], parent, s, edge_spec)
            else:
                held[key] = tracer(held[key], parent, s, edge_spec)
        held |= {key: structure.unflatten(values) for key, (values, structure) in containers.items()}
        args = tuple([held[k] for k in range(len(args))])
        kwargs = {word: held[word] for word in kwargs}
        if _is_kept(y):
            s = scopes[mask]
            if outputs is None:
                y = tracer(y, i, s, spec)
            else:
                values, structure = tree.flatten(y)
                for position, (index, out_spec) in enumerate(outputs[1]):
                    if index is not None and _is_kept(values[position]):
                        values[position] = tracer(values[position], index, s, out_spec)
                y = structure.unflatten(values)
        return i, mask, number, spec, y, args, kwargs, edges, outputs

    return form(name, pull, lift, definition, lambda e: e[4:])


def _is_kept(value: Any) -> bool:
    return value is not None and type(value) is not Placeholder


def _gather(g: list[Any], outputs: Any) -> Any:
    """The cotangents of several outputs in their structure, zeros for those that were not used."""
    structure, kinds = outputs
    return structure.unflatten(
        [
            np.zeros(shape_of(spec), dtype_of(spec)) if c is None and spec is not None else filled(c)
            for c, (_, spec) in zip(g, kinds, strict=True)
        ]
    )


def apply_rule(rule: Callable[..., Any], g: Any, y: Any, args: Any, kwargs: Any) -> Any:
    """What a rule gives, in NumPy's arithmetic where Python's raises."""
    try:
        return rule(g, y, *args, **kwargs)
    except ArithmeticError:
        return again(rule, g, y, *args, **kwargs)


def apply_all(definition: Definition, g: Any, y: Any, args: Any, kwargs: Any) -> dict[Key, Any]:
    """The results of a rule for all arguments, by argument."""
    assert definition.joint is not None
    return shared_out(definition, apply_rule(definition.joint.call, g, y, args, kwargs), args, kwargs)


def shared_out(definition: Definition, given: Any, args: Any, kwargs: Any) -> dict[Key, Any]:
    """What a rule for all arguments gave, by argument."""
    every: list[Key] = [*range(len(args)), *kwargs]
    carrying = [key for key in every if key not in definition.nondiff]
    if given is None:
        return dict.fromkeys(every)
    if len(carrying) == 1 and not (isinstance(given, (tuple, list)) and len(given) == len(every) > 1):
        (key,) = carrying
        held = args[key] if isinstance(key, int) else kwargs[key]
        of_container = held is not None and tree.is_node(held)
        if not isinstance(given, (tuple, list)) or len(given) != 1 or (of_container and not tree.is_node(given[0])):
            return {key: given}
    if isinstance(given, (tuple, list)):
        for keys in (carrying, every):
            if len(given) == len(keys):
                return dict(zip(keys, given, strict=True))
    n = len(given) if isinstance(given, (tuple, list)) else 0
    what = f"{n} cotangent{'s' * (n != 1)}" if isinstance(given, (tuple, list)) else f"a {type(given).__name__}"
    words = ", ".join([str(definition.word(key)) for key in carrying])
    raise CotangentError(
        f"the rule of {definition.name} for all arguments gave {what}, and needs {len(carrying)}",
        f"arguments that carry a derivative: {words}",
        "return a tuple with one cotangent for each of them, None where there is no derivative",
    )


def apply_one(definition: Definition, key: Key, g: Any, y: Any, args: Any, kwargs: Any) -> Any:
    """What the rule for one argument gives, be it one of its own or one for all."""
    if definition.joint is not None:
        return apply_all(definition, g, y, args, kwargs)[key]
    return apply_rule(definition.rules[key].call, g, y, args, kwargs)


def leaves_of(r: Any, n: int, name: str, key: Key) -> Any:
    """The cotangents of the leaves of a container, from what a rule gave for the whole of it."""
    leaves = r
    if tree.is_node(r):
        leaves = tree.leaves(r, is_leaf=lambda x: x is None)
        if len(leaves) != n:  # a None in the place of one in the container
            leaves = tree.leaves(r)
    elif not hasattr(r, "shape") or not r.shape:
        leaves = ()
    if len(leaves) != n:
        raise CotangentError(
            f"the rule of {name} for argument {key!r} gave {len(leaves) or 'no'} cotangents",
            f"the argument is a container with {n} leaves",
            "return a list with one cotangent for each leaf, None where there is no derivative",
        )
    return leaves


def make_record(definition: Definition, number: int, body: Callable[..., Any]) -> Callable[..., Any]:
    """The function that makes any call of a primitive, and records it where an argument is traced."""
    name, count = definition.name, len(definition.names)
    constants, nondiff, views = definition.constants, definition.nondiff, definition.views

    def record(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != count or definition.keyword_only:
            args, kwargs = definition.bind(args, kwargs)
        found: list[tuple[Key, int, int, Tracer]] = []
        plain = []
        at = args[0]._index if views and args and isinstance(args[0], Tracer) else None
        for key, a in enumerate(args):
            t = type(a)
            if t in UNSETTLED:
                renew(a)
                t = type(a)
            if t in TRACERS:
                if key not in constants:
                    found.append((key, 0, 0, a))
                a = a._value if key not in constants else constant_of(a, name)
            elif t is Blank:
                if definition.views and key not in nondiff and key not in constants:
                    found.append((key, 0, 0, a))
                a = a._value
            elif t not in LEAVES and tree.is_node(a):
                a = _unwrap(key, a, found)
            plain.append(a)
        options = {}
        for word, a in kwargs.items():
            if type(a) in UNSETTLED:
                renew(a)
            if type(a) in TRACERS:
                found.append((word, 0, 0, a))
                a = a._value
            elif type(a) is Blank:
                a = a._value
            elif type(a) not in LEAVES and tree.is_node(a):
                a = _unwrap(word, a, found)
            options[word] = a
        if definition.refused:
            definition.refuse(plain, options)
        if not found:
            new = [a for a in (*args, *kwargs.values()) if type(a) is Blank]
            return blank_like(body(*plain, **options), new[0] if new else None)
        keys = (found[0][0],) if len(found) == 1 else tuple(dict.fromkeys([edge[0] for edge in found]))
        y_fate, fates = definition.plan(keys, len(plain))
        scope = found[0][3]._scope
        for edge in found:
            if edge[3]._scope is not scope:
                scope = union(scope, edge[3]._scope)
        arguments = plain
        every = scope.complete
        plain = [kept(a, given, scope) if every or fate == KEEP else a for a, fate, given in zip(plain, fates, args)]
        if definition.known:
            y = body(*arguments, **options)
        else:
            y = run(body, arguments, args, options, kwargs)
        if type(y) not in LEAVES or (type(y) is _ndarray and y.dtype.hasobject):
            refuse_odd(name, y)
        options = {word: kept(a, kwargs[word], scope) for word, a in options.items()}
        edges = tuple([(k, leaf, n, t._index, t._scope.mask, t._spec) for k, leaf, n, t in found])
        mask = scope.mask
        if scope.complete:
            plain = [_shown(a) if fate == SHAPE else a for a, fate in zip(plain, fates, strict=True)]
            y_fate = KEEP
        elif min(fates, default=KEEP) != KEEP:
            plain = [
                a if fate == KEEP else lesser(a, fate, given) for a, fate, given in zip(plain, fates, args, strict=True)
            ]
        saved = tuple(plain)
        if tree.is_node(y) and y is not None:
            made = _several(definition, number, y, y_fate, saved, options, edges, scope)
            if definition.views:
                parts = [leaf for leaf in tree.leaves(made) if isinstance(leaf, Tracer)]
                for k, part in enumerate(parts):
                    for source in (*[edge[3] for edge in found], *parts[:k]):
                        note(part, source, None)
            return made
        if isinstance(y, Tracer):
            raise closed_over(name)
        if type(y) is not _ndarray and all([type(edge[3]) is Blank for edge in found]):
            return y  # a number that was picked from a new array
        if not is_inexact(y):
            if scope.linear:
                raise NotLinear(name)
            return y
        i = next(scope.count)
        spec = spec_of(y)
        scope.record((i, mask, number, spec, y if y_fate == KEEP else lesser(y, y_fate), saved, options, edges, None))
        made = tracer(y, i, scope, spec)
        if definition.views:
            settings = tuple([a.copy() if type(a) is _ndarray else a for a in arguments[1:]])
            step = (definition.body, settings) if definition.known and not options else None
            for edge in found:
                note(made, edge[3], step if edge[:2] == (0, 0) and not edge[2] else None, at)
        return made

    return record


def blank_like(y: Any, a: Any) -> Any:
    """What was made of new arrays alone, one of them `a`: a new array, too."""
    return blank(y, a._scope) if type(a) is Blank and type(y) is _ndarray and y.dtype.kind in "fc" else y


def _shown(value: Any) -> Any:
    """A Python number as one that has a shape, for a rule that looks at it."""
    return np.asarray(value)[()] if type(value) in (float, complex) else value


def lesser(value: Any, fate: int, given: Any = None) -> Any:
    """What is kept of a value that the rules do not read: its shape, or nothing; plain settings stay.

    Of a container, as it was `given`, the shapes of plain leaves are needed; those of traced ones the edges know, so
    if there is nothing else it is told by an empty tuple.
    """
    if type(value) in (int, bool, str, type(None)):
        return value
    if fate == DROP and isinstance(given, (list, tuple)):
        return () if all([type(part) in TRACERS for part in given]) else placeholder(value)
    return None if fate == DROP else placeholder(value)


def _unwrap(key: Key, container: Any, found: list[tuple[Key, int, int, Tracer]]) -> Any:
    """A copy of the container with plain values, its tracers added to those found."""
    settle(container)
    leaves, structure = tree.flatten(container)
    traced = [(key, k, len(leaves), leaf) for k, leaf in enumerate(leaves) if type(leaf) in TRACERS]
    found += traced
    return structure.unflatten([leaf._value if isinstance(leaf, Tracer) else leaf for leaf in leaves])


def _several(
    definition: Definition, number: int, y: Any, fate: int, saved: Any, options: Any, edges: Any, scope: Scope
) -> Any:
    """Record a call that gave a tuple (or another container) of outputs; each becomes a tracer."""
    values, structure = tree.flatten(y)
    call = next(scope.count)
    kinds: list[tuple[int | None, Any]] = []
    picks = []
    for position, value in enumerate(values):
        if isinstance(value, Tracer):
            raise closed_over(definition.name)
        if is_inexact(value):
            index, spec = next(scope.count), spec_of(value)
            picks.append((index, scope.mask, PICK, spec, call, position, len(values)))
            kinds.append((index, spec))
            values[position] = tracer(value, index, scope, spec)
        else:
            kinds.append((None, spec_of(value) if hasattr(value, "shape") else None))
    held = y if fate == KEEP else lesser(y, fate)
    entry = call, scope.mask, number, None, held, saved, options, edges, (structure, tuple(kinds))
    scope.record_together([entry, *picks])
    return structure.unflatten(values)


def closed_over(name: str) -> PrimitiveError:
    return PrimitiveError(
        f"the body of {name} returned a traced value",
        "a body runs on plain values; this one closed over a traced value",
        f"make that value an argument of {name}",
    )
