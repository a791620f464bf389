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
from ..tracer import INEXACT, NUMBERS, Tracer, tracer
from ..views import note
from .bodies import LEAVES, owned, run
from .cotangent import accumulated, conform, stretch
from .definition import Definition
from .forms import View, form
from .general import make_record, shared_out
from .partial import Partial
from .rules import KEEP, SHAPE, Placeholder, again

_ndarray = np.ndarray
_spec, _inexact = NUMBERS.get, INEXACT.get
_missing: Any = object()


def takes_settings(definition: Definition) -> bool:
    """Whether a primitive has one argument that carries a derivative, its first."""
    names = range(len(definition.names))
    return (
        len(names) > 0
        and definition.nondiff == frozenset(names) - {0}
        and not (definition.keyword_only or definition.variadic or definition.options or definition.constants)
    )


def single(definition: Definition, number: int, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """The function that records a call with its first argument traced; other calls go `otherwise`.

    `number` is the general form of the primitive, for answers that are none but a number or an array.
    """
    body, name, broadcasts, views = definition.body, definition.name, definition.elementwise, definition.views
    slow, known, inner, count = definition.record, definition.known, definition.inner, len(definition.names) - 1
    defaults = [definition.defaults.get(k + 1, _missing) for k in range(count)]
    places = {word: k for k, word in enumerate(definition.names[1:]) if word is not None}
    refused = [(key - 1, definition.defaults[key]) for key in definition.refused if isinstance(key, int)]
    alone = all([_is_plain(default) for default in defaults])  # whether there need be no settings in the call
    usual, first = tuple(defaults), definition.names[0]
    # these are settled once there are rules
    rule: Callable[..., Any] | None = None
    joint = keep_y = keep_x = show_y = show_x = False

    def settle() -> None:
        nonlocal rule, joint, keep_y, keep_x, show_y, show_x
        y_fate, (x_fate, *_) = definition.plan((0,), count + 1)
        keep_y, keep_x, show_y, show_x = y_fate == KEEP, x_fate == KEEP, y_fate == SHAPE, x_fate == SHAPE
        joint = definition.joint is not None
        rule = (definition.joint or definition.rules[0]).call

    def changed() -> None:
        nonlocal rule
        rule = None

    definition.changed = changed

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, y, x, settings = e
        if rule is None:
            settle()
        if show_y:
            y = Placeholder(spec)
        if show_x:
            x = Placeholder(sp)
        call_rule: Any = rule
        try:
            r = call_rule(g, y, x, *settings)
        except ArithmeticError:
            r = again(lambda g, y, x: call_rule(g, y, x, *settings), g, y, x)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
            if joint:
                r = shared_out(definition, r, (x, *settings), {})[0]
            if r is None:
                return
            r = conform(r, sp, name, 0, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)

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
            return stretch(call(t, *e[8]), e[3], name)
        return stretch((slow if isinstance(t, Tracer) else body)(t, *e[8]), e[3], name)

    quick = form(name, pull, lift, definition, view, push if definition.linear and not definition.scatters else None)

    def complete(settings: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...] | None:
        """All settings, defaults filled in; None if there is anything but plain ones, or too few or too many."""
        n = len(settings)
        full = [*settings, *defaults[n:]]
        for word, value in named.items():
            k = places.get(word, -1)
            if k < n:
                return None
            full[k] = defaults[k] if value is np._NoValue else value
        for k, value in enumerate(full):
            if type(value) is list and known and _is_plain((*value,)):
                full[k] = value.copy()
            elif not _is_plain(value) and not (inner and type(value) is not Tracer):
                return None
        for k, default in refused:
            if full[k] is not default:
                return None
        return tuple(full) if len(full) == count else None

    def call(x: Any = _missing, /, *settings: Any, **named: Any) -> Any:
        if type(x) is not Tracer:
            if x is not _missing:
                return otherwise(x, *settings, **named)
            return call(named.pop(first), **named) if first in named else otherwise(**named)
        if rule is None:
            settle()
        if settings or named or not alone:
            full = complete(settings, named)
            if full is None:
                return slow(x, *settings, **named)
        else:
            full = usual
        p, a = x._index, x._value
        if known:
            y = body(a, *full)
        elif x._spec is float:  # in which nothing can be changed
            y = owned(body(a, *full))
        else:
            y = run(body, (a, *full), (x, *full))
        t = type(y)
        spec = _inexact(t)
        if spec is None:
            if t is not _ndarray or y.dtype.kind not in "fc":
                return make_record(definition, number, lambda *_, **__: y)(x, *full)
            spec = y.shape, y.dtype
        made = Tracer()
        made._value = y
        made._scope = s = x._scope
        made._index = i = next(s.count)
        made._spec = spec
        s.record((i, s.mask, quick, spec, p, x._spec, y if keep_y else None, a if keep_x else None, full))
        if views and t is _ndarray:
            note(made, x, (body, full) if known else None, p)
        return made

    return call


def _is_plain(setting: Any) -> bool:
    """Whether nothing in a setting can change: a number, a word, or a tuple of such."""
    kind = type(setting)
    return all([_is_plain(part) for part in setting]) if kind is tuple else kind in LEAVES and kind is not _ndarray
