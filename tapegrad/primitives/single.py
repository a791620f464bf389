"""The quick path of functions of one array and plain settings: `sum(a, axis)`, `reshape(a, shape)`, yours.

Their entries are

    (index, mask, form, spec, parent, its spec, answer, argument, settings)

where answer and argument are None unless the rule reads their values.
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
from .cotangent import conform, stretch
from .definition import Definition
from .forms import View, form
from .general import make_record
from .partial import Partial
from .rules import KEEP, SHAPE, Placeholder, again

_ndarray = np.ndarray


def takes_settings(definition: Definition) -> bool:
    """Whether a primitive has one argument that carries a derivative, its first, with a rule of its own."""
    names = range(len(definition.names))
    return (
        0 in definition.rules
        and definition.nondiff == frozenset(names) - {0}
        and not (definition.keyword_only or definition.variadic or definition.options or definition.constants)
    )


def single(definition: Definition, number: int, slow: Callable[..., Any]) -> Callable[..., Any]:
    """The function that records a call with its first argument traced; every other call goes to `slow`.

    `number` is the general form of the primitive, for answers that are none but a number or an array.
    """
    body, name, broadcasts, views = definition.body, definition.name, definition.elementwise, definition.views
    rule, names, count = definition.rules[0].call, definition.names, len(definition.names) - 1
    y_fate, (x_fate, *_) = definition.plan((0,), count + 1)
    keep_y, keep_x, show_y, show_x = y_fate == KEEP, x_fate == KEEP, y_fate == SHAPE, x_fate == SHAPE
    missing, known = object(), definition.known
    defaults = [definition.defaults.get(k + 1, missing) for k in range(count)]
    tails = definition.tails
    refused = [(key - 1, definition.defaults[key]) for key in definition.refused if isinstance(key, int)]

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, y, x, settings = e
        if show_y:
            y = Placeholder(spec)
        if show_x:
            x = Placeholder(sp)
        try:
            r = rule(g, y, x, *settings)
        except ArithmeticError:
            r = again(lambda g, y, x: rule(g, y, x, *settings), g, y, x)
        t = type(r)
        if t is not sp and (t is not _ndarray or (r.shape, r.dtype) != sp):
            if r is None:
                return
            r = conform(r, sp, name, 0, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r

    def lift(e: Entry, scopes: Outer) -> Entry:
        i, mask, quick, spec, p, sp, y, x, settings = e
        s = scopes[mask]
        if keep_y:
            y = tracer(y, i, s, spec)
        if keep_x:
            x = tracer(x, p, s, sp)
        return i, mask, quick, spec, p, sp, y, x, settings

    def view(e: Entry) -> View:
        _, mask, _, spec, p, sp, y, x, settings = e
        y, x = Placeholder(spec) if show_y else y, Placeholder(sp) if show_x else x
        return y, (x, *settings), {}, ((0, 0, 0, p, mask, sp),), None

    def push(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        t = tangent(e[4])
        if t is None or type(t) is Partial:
            return None if t is None else NotImplemented
        if type(t) is Tracer:
            return stretch(record(t, e[8]), e[3], name)
        return stretch((slow if isinstance(t, Tracer) else body)(t, *e[8]), e[3], name)

    quick = form(name, pull, lift, definition, view, push if definition.linear and not definition.scatters else None)

    bare = tails[1] if count else ()
    if refused and bare is not None and any([bare[k] is not default for k, default in refused]):
        bare = None

    def call(x: Any, /, *settings: Any, **named: Any) -> Any:
        if not settings and not named and bare is not None:
            return record(x, bare)
        for value in settings if not named else (*settings, *named.values()):
            if type(value) is _ndarray:
                return slow(x, *settings, **named)
            if type(value) not in LEAVES and not (type(value) is tuple and _is_plain(value)):
                return slow(x, *settings, **named)
        if named:
            words = names[len(settings) + 1 :]
            rest = [named.get(str(word), default) for word, default in zip(words, defaults[len(settings) :])]
            if len(named) > sum([word in named for word in words]) or any([value is missing for value in rest]):
                return slow(x, *settings, **named)
            settings += tuple(rest)
        elif len(settings) < count:
            tail = tails[len(settings) + 1]
            if tail is None:
                return slow(x, *settings)
            settings += tail
        elif len(settings) > count:
            return slow(x, *settings)
        for k, default in refused:
            if settings[k] is not default:
                return slow(x, *settings)
        return record(x, settings)

    def record(x: Tracer, settings: tuple[Any, ...]) -> Any:
        p, a = x._index, x._value
        if known or type(a) is float:  # in which nothing can be changed
            y = body(a, *settings)
            y = y.copy() if type(y) is _ndarray and not known else y
        else:
            y = run(body, (a, *settings), (x, *settings))
        t = type(y)
        if t is _ndarray:
            spec: Any = y.shape, y.dtype
            if spec[1].kind not in "fc":
                return y
        elif t in LEAVES and is_inexact(y):
            spec = spec_of(y)
        else:
            return make_record(definition, number, lambda *_, **__: y)(x, *settings)
        made = Tracer()
        made._value = y
        made._scope = s = x._scope
        made._index = i = next(s.count)
        made._spec = spec
        s.record(
            (i, s.mask, quick, spec, p, x._spec, y if keep_y else None, a if keep_x else None, settings)
        )
        if views:
            note(made, x, (body, settings) if known else None, p)
        return made

    return call


def _is_plain(setting: tuple[Any, ...]) -> bool:
    return all([type(part) in LEAVES for part in setting])
