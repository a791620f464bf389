"""The quick path of functions of several arguments: `where(c, x, y)`, yours.

It serves the calls in which every argument is a plain one or a tracer, none a container, and the tracers
share a scope. What to do with a call is known by the types of its arguments: there is a `Path` for each row of
types that was met. The entries are

    (index, mask, form, spec, keys, parents, their specs, answer, arguments)

where answer and arguments are None, or placeholders, unless the rules read their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frame import Outer
from ..tape import Entry
from ..tracer import INEXACT, NUMBERS, Tracer, tracer
from ..views import note
from .bodies import LEAVES, owned, run
from .cotangent import accumulated, conform
from .definition import Definition
from .forms import View, form
from .general import lesser, make_record, shared_out
from .rules import KEEP, again

_ndarray = np.ndarray
_spec, _inexact = NUMBERS.get, INEXACT.get

# the positions of the traced arguments; what is kept of the answer, and of those arguments that are not kept as they
# are; the positions of the caller's arrays
Path = tuple[tuple[int, ...], int, tuple[tuple[int, int], ...], tuple[int, ...]]


def takes_several(definition: Definition) -> bool:
    """Whether the arguments of a primitive all have a position."""
    return not (definition.keyword_only or definition.variadic or definition.options)


def several(definition: Definition, number: int, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """The function that records a call of such a primitive; calls of other kinds go `otherwise`.

    `number` is the general form of the primitive, for answers that are none but a number or an array.
    """
    body, name, broadcasts, known = definition.body, definition.name, definition.elementwise, definition.known
    count, constants, rules, refused = len(definition.names), definition.constants, definition.rules, definition.refused
    views = definition.views

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, _, keys, parents, specs, y, args = e
        results: Any = None
        if definition.joint is not None:
            rule = definition.joint.call
            try:
                results = rule(g, y, *args)
            except ArithmeticError:
                results = again(rule, g, y, *args)
            if type(results) is not tuple or len(results) != count:
                results = shared_out(definition, results, args, {})
        for key, p, sp in zip(keys, parents, specs):
            if results is None:
                if key not in rules:
                    definition.require(keys)  # for one of an author's took the place of those that were made
                rule = rules[key].call
                try:
                    r = rule(g, y, *args)
                except ArithmeticError:
                    r = again(rule, g, y, *args)
            else:
                r = results[key]
            t = type(r)
            if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
                if r is None:
                    continue
                r = conform(r, sp, name, key, broadcasts)
            c = cots[p]
            cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)

    def lift(e: Entry, scopes: Outer) -> Entry:
        i, mask, quick, spec, keys, parents, specs, y, args = e
        s = scopes[mask]
        y_fate, fates = definition.plan(keys, count)
        lifted = list(args)
        for key, p, sp in zip(keys, parents, specs):
            if fates[key] == KEEP:
                lifted[key] = tracer(args[key], p, s, sp)
        return i, mask, quick, spec, keys, parents, specs, tracer(y, i, s, spec) if y_fate == KEEP else y, tuple(lifted)

    def view(e: Entry) -> View:
        _, mask, _, _, keys, parents, specs, y, args = e
        return y, args, {}, tuple([(key, 0, 0, p, mask, sp) for key, p, sp in zip(keys, parents, specs)]), None

    quick = form(name, pull, lift, definition, view)
    paths: dict[tuple[type, ...], Path | None] = {}
    definition.changed = paths.clear

    def path(types: tuple[type, ...]) -> Path | None:
        """What to do with arguments of these types; None if it is for the general path."""
        found = None
        keys = tuple([key for key, t in enumerate(types) if t is Tracer and key not in constants])
        if keys and all([t is Tracer or t in LEAVES for t in types]):
            y_fate, fates = definition.plan(keys, count)
            lessened = tuple([(key, fate) for key, fate in enumerate(fates) if fate != KEEP])
            arrays = tuple([key for key, t in enumerate(types) if t is _ndarray and fates[key] == KEEP])
            found = keys, y_fate, lessened, arrays
        if found is not None or len(paths) < 1000:  # of classes that are made by the thousand not all are kept alive
            paths[types] = found
        return found

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != count:
            if not any([type(a) is Tracer for a in (*args, *kwargs.values())]):
                return otherwise(*args, **kwargs)
            args, kwargs = definition.bind(args, kwargs)
        types = tuple(map(type, args))
        try:
            found = paths[types]
        except KeyError:
            found = path(types)
        if found is None:
            return otherwise(*args)
        keys, y_fate, lessened, arrays = found
        s = args[keys[0]]._scope
        plain = list(args)
        still = _ndarray not in types  # whether nothing of the arguments can change
        parents: tuple[int, ...] = ()
        specs: tuple[Any, ...] = ()
        for key in keys:
            x = args[key]
            if x._scope is not s:
                return otherwise(*args)
            plain[key] = x._value
            spec = x._spec
            if spec is not float:
                still = False
            parents += (x._index,)
            specs += (spec,)
        if constants:
            for constant in constants:
                if isinstance(constant, int) and types[constant] is Tracer:
                    plain[constant] = args[constant]._value
        if refused:
            definition.refuse(plain, {})
        held = tuple(plain)
        if arrays or lessened:
            kept = plain.copy()
            for key in arrays:
                kept[key] = s.keep(plain[key])
            for key, fate in lessened:
                kept[key] = lesser(plain[key], fate)
            held = tuple(kept)
        if known:
            y = body(*plain)
        elif still:
            y = owned(body(*plain))
        else:
            y = run(body, plain, args)
        t = type(y)
        spec = _inexact(t)
        if spec is None:
            if t is not _ndarray or y.dtype.kind not in "fc":
                return make_record(definition, number, lambda *_, **__: y)(*args)
            spec = y.shape, y.dtype
        made = Tracer()
        made._value = y
        made._scope = s
        made._index = i = next(s.count)
        made._spec = spec
        answer = y if y_fate == KEEP else lesser(y, y_fate)
        s.record((i, s.mask, quick, spec, keys, parents, specs, answer, held))
        if views and t is _ndarray and (y.base is not None or any([y is plain[key] for key in keys])):
            for key in keys:
                note(made, args[key], None)
        return made

    return call
