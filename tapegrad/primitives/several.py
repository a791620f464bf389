"""The quick path of functions of several arguments: `where(c, x, y)`, yours.

It serves the calls in which every argument is a plain one or a tracer, none a container, and the tracers
share a scope. Their entries are

    (index, mask, form, spec, keys, parents, their specs, answer, arguments)

where answer and arguments are None, or placeholders, unless the rules read their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frame import Outer
from ..tape import Entry
from ..tracer import Tracer, is_inexact, spec_of, tracer
from ..views import note
from .bodies import LEAVES, run
from .cotangent import conform
from .definition import Definition
from .forms import View, form
from .general import apply_all, apply_rule, lesser, make_record
from .rules import KEEP, Key

_ndarray = np.ndarray


def takes_several(definition: Definition) -> bool:
    """Whether the arguments of a primitive all have a position."""
    return not (definition.keyword_only or definition.variadic or definition.options)


def several(definition: Definition, number: int, slow: Callable[..., Any]) -> Callable[..., Any]:
    """The function that records a call of such a primitive; calls of other kinds go to `slow`.

    `number` is the general form of the primitive, for answers that are none but a number or an array.
    """
    body, name, broadcasts, views = definition.body, definition.name, definition.elementwise, definition.views
    known = definition.known
    count, constants, rules = len(definition.names), definition.constants, definition.rules

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, _, keys, parents, specs, y, args = e
        joint = apply_all(definition, g, y, args, {}) if definition.joint is not None else None
        for key, p, sp in zip(keys, parents, specs):
            r = apply_rule(rules[key].call, g, y, args, {}) if joint is None else joint[key]
            t = type(r)
            if t is not sp and (t is not _ndarray or (r.shape, r.dtype) != sp):
                if r is None:
                    continue
                r = conform(r, sp, name, key, broadcasts)
            c = cots[p]
            cots[p] = r if c is None else c + r

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
    plans: dict[tuple[Key, ...], tuple[int, tuple[int, ...], bool]] = {}

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != count:
            args, kwargs = definition.bind(args, kwargs)
        s = None
        keys: tuple[Key, ...] = ()
        traced = []
        plain = []
        arrays = False  # of the caller's
        for key, a in enumerate(args):
            t = type(a)
            if t is Tracer:
                if key not in constants:
                    if s is None:
                        s = a._scope
                    elif a._scope is not s:
                        return slow(*args)
                    keys += (key,)
                    traced.append(a)
                a = a._value
            elif t is _ndarray:
                arrays = True
            elif t not in LEAVES:
                return slow(*args)
            plain.append(a)
        if s is None:
            return slow(*args)
        plan = plans.get(keys)
        if plan is None:
            y_fate, fates = definition.plan(keys, count)
            plan = plans[keys] = y_fate, fates, min(fates) == KEEP
        y_fate, fates, all_kept = plan
        if definition.refused:
            definition.refuse(plain, {})
        held = plain if all_kept and not arrays else [
            lesser(a, fate) if fate != KEEP else s.keep(a) if type(given) is _ndarray else a
            for a, fate, given in zip(plain, fates, args)
        ]
        y = body(*plain) if known else run(body, plain, args)
        t = type(y)
        if t is _ndarray and y.dtype.kind in "fc":
            spec: Any = y.shape, y.dtype
        elif t is not _ndarray and t in LEAVES and is_inexact(y):
            spec = spec_of(y)
        else:
            return make_record(definition, number, lambda *_, **__: y)(*args)
        made = Tracer()
        made._value = y
        made._scope = s
        made._index = i = next(s.count)
        made._spec = spec
        parents, specs = tuple([a._index for a in traced]), tuple([a._spec for a in traced])
        answer = y if y_fate == KEEP else lesser(y, y_fate)
        s.record((i, s.mask, quick, spec, keys, parents, specs, answer, tuple(held)))
        if views:
            for source in traced:
                note(made, source, None)
        return made

    return call
