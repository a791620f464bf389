"""The quick path of functions of one argument: `sin(x)`, `-x`.

It is taken when the argument is traced. Their entries are

    (index, mask, form, spec, parent, its spec, answer, argument)

where answer and argument are None unless the rule reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frame import Outer
from ..tape import Entry
from ..tracer import NUMBERS, Tracer, spec_of, tracer
from .cotangent import accumulated, conform, stretch
from .definition import Definition
from .forms import QUICK, View, edge, form
from .partial import Partial
from .rules import KEEP, SHAPE, Placeholder, again

Unary = Callable[[Any], Any]

_ndarray = np.ndarray
_spec = NUMBERS.get


def unary(definition: Definition) -> Callable[[Unary, Unary], Unary]:
    """A maker of functions of one argument that record themselves, as `binary` is of two."""
    name, broadcasts = definition.name, definition.elementwise
    rule = definition.rules[0].call
    y_fate, (x_fate,) = definition.plan((0,), 1)
    keep_y, keep_x = y_fate == KEEP, x_fate == KEEP
    show_y, show_x = y_fate == SHAPE, x_fate == SHAPE
    shows = show_y or show_x

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, y, x = e
        if shows:
            y, x = Placeholder(spec) if show_y else y, Placeholder(sp) if show_x else x
        try:
            r = rule(g, y, x)
        except ArithmeticError:
            r = again(rule, g, y, x)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
            if r is None:
                return
            r = conform(r, sp, name, 0, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)

    def lift(e: Entry, scopes: Outer) -> Entry:
        i, mask, number, spec, p, sp, y, x = e
        s = scopes[mask]
        if keep_y:
            y = tracer(y, i, s, spec)
        if keep_x:
            x = tracer(x, p, s, sp)
        return i, mask, number, spec, p, sp, y, x

    def view(e: Entry) -> View:
        _, mask, _, spec, p, sp, y, x = e
        y, x = Placeholder(spec) if show_y else y, Placeholder(sp) if show_x else x
        return y, (x,), {}, ((0, 0, 0, p, mask, sp),), None

    def push(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        _, _, _, spec, p, sp, y, x = e
        t = tangent(p)
        if t is None or type(t) is Partial or definition.forward_rules:
            return None if t is None else NotImplemented
        if shows:
            y, x = Placeholder(spec) if show_y else y, Placeholder(sp) if show_x else x
        try:
            r = rule(t, y, x)
        except ArithmeticError:
            r = again(rule, t, y, x)
        return stretch(r, spec, name)

    number = form(name, pull, lift, definition, view, push if broadcasts else None)

    def make(operate: Unary, slow: Unary) -> Unary:
        def call(x: Any) -> Any:
            if type(x) is not Tracer:
                return operate(x) if type(x) in QUICK else slow(x)
            a = x._value
            try:
                y = operate(a)
            except ArithmeticError:
                y = edge(definition.body, a)
            t = type(y)
            made = Tracer()
            made._value = y
            made._scope = s = x._scope
            made._index = i = next(s.count)
            made._spec = spec = t if t is float else (y.shape, y.dtype) if t is _ndarray else _spec(t) or spec_of(y)
            s.record((i, s.mask, number, spec, x._index, x._spec, y if keep_y else None, a if keep_x else None))
            return made

        return call

    return make
