"""The quick path of functions of two arguments: `x * z`, `maximum(x, z)`.

It is taken when each argument is traced, or a plain number or array. Their entries are

    (index, mask, form, spec, parent, its spec, [parent, its spec,] answer, argument, argument [, mask, mask])

where answer and arguments are None unless the rules read them; the masks are those of parents of two scopes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frame import Outer
from ..tape import Entry, union
from ..tracer import NUMBERS, Tracer, spec_of, tracer
from .cotangent import accumulated, conform, stretch
from .definition import Definition
from .forms import QUICK, Pull, View, edge, form, scaled
from .partial import Partial
from .rules import KEEP, SHAPE, Key, Placeholder, again, placeholder

Binary = Callable[[Any, Any], Any]

_ndarray = np.ndarray
_spec = NUMBERS.get


def through(g: Any, _y: Any, _x: Any, _z: Any) -> Any:
    """The rule of an argument that is passed on as it is: the cotangent, unchanged.

    Adding a constant needs no entry: the sum has the index, and so the cotangent, of what it was added to.
    """
    return g


def binary(
    definition: Definition, constants: frozenset[type] = QUICK, pull: Pull | None = None
) -> Callable[[Binary, Binary], tuple[Binary, Binary]]:
    """A maker of functions of two arguments that record themselves, for a definition that is `quick`.

    From `operate`, which computes on plain values (NumPy's function, or Python's operator), and `slow`,
    which serves every other call, it makes the function that records, and the same with its arguments
    swapped, which a reflected operator needs. `constants` are the types of what need not be traced;
    `pull` takes the cotangent back through the first argument alone, if the rule is not to.
    """
    name, broadcasts, body = definition.name, definition.elementwise, definition.body
    rule_x, rule_z = definition.rules[0].call, definition.rules[1].call
    same_x, same_z = rule_x is through, rule_z is through

    def fates(*keys: Key) -> tuple[bool, bool, bool, Any]:
        """Whether answer and arguments are kept, and which of them are to be shown by a placeholder, if any."""
        y, (x, z) = definition.plan(keys, 2)
        shown = (y == SHAPE, x == SHAPE, z == SHAPE)
        return y == KEEP, x == KEEP, z == KEEP, any(shown) and shown

    x_y, x_x, x_z, x_shown = fates(0)
    z_y, z_x, z_z, z_shown = fates(1)
    b_y, b_x, b_z, b_shown = fates(0, 1)

    scales = definition.scales
    show_z, show_x = bool(x_shown and x_shown[2]), bool(z_shown and z_shown[1])
    hold_z, hold_x = x_z or show_z, z_x or show_x  # whether a constant is put into the entry

    def pull_x(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, y, x, z = e
        if x_shown:
            y, x = Placeholder(spec) if x_shown[0] else y, Placeholder(sp) if x_shown[1] else x
        try:
            if not scales:
                r = rule_x(g, y, x, z)
            else:
                r = g * z if type(z) is not _ndarray and z else scaled(rule_x, z, g, y, x, z)
        except ArithmeticError:
            r = again(rule_x, g, y, x, z)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
            if r is None:
                return
            r = conform(r, sp, name, 0, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)

    def pull_z(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, y, x, z = e
        if z_shown:
            y, z = Placeholder(spec) if z_shown[0] else y, Placeholder(sp) if z_shown[2] else z
        try:
            if not scales:
                r = rule_z(g, y, x, z)
            else:
                r = g * x if type(x) is not _ndarray and x else scaled(rule_z, x, g, y, x, z)
        except ArithmeticError:
            r = again(rule_z, g, y, x, z)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
            if r is None:
                return
            r = conform(r, sp, name, 1, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)

    def pull_both(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, q, sq, y, x, z = e
        if b_shown:
            y = Placeholder(spec) if b_shown[0] else y
            x, z = Placeholder(sp) if b_shown[1] else x, Placeholder(sq) if b_shown[2] else z
        try:
            r = g * z if scales else g if same_x else rule_x(g, y, x, z)  # a product's rule without the call
        except ArithmeticError:
            r = again(rule_x, g, y, x, z)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp) and r is not None:
            r = conform(r, sp, name, 0, broadcasts)
        if r is not None and scales and x is z and p == q:  # a square
            r = r + r
            c = cots[p]
            cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)
            return
        if r is not None:
            c = cots[p]
            cots[p] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)
        try:
            r = g * x if scales else g if same_z else rule_z(g, y, x, z)
        except ArithmeticError:
            r = again(rule_z, g, y, x, z)
        t = type(r)
        if t is not sq and ((r.shape, r.dtype) != sq if t is _ndarray else _spec(t) is not sq) and r is not None:
            r = conform(r, sq, name, 1, broadcasts)
        if r is not None:
            c = cots[q]
            cots[q] = r if c is None else c + r if t is not _ndarray else accumulated(c, r)

    def pull_mixed(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, q, sq, y, x, z, mask_x, mask_z = e
        if b_shown:
            y = Placeholder(spec) if b_shown[0] else y
            x, z = Placeholder(sp) if b_shown[1] else x, Placeholder(sq) if b_shown[2] else z
        for key, rule, parent, sort, mask in ((0, rule_x, p, sp, mask_x), (1, rule_z, q, sq, mask_z)):
            if mask & bit:
                try:
                    r = rule(g, y, x, z)
                except ArithmeticError:
                    r = again(rule, g, y, x, z)
                if r is not None:
                    r = conform(r, sort, name, key, broadcasts)
                    c = cots[parent]
                    cots[parent] = r if c is None else accumulated(c, r)

    def lift_x(e: Entry, scopes: Outer) -> Entry:
        i, mask, number, spec, p, sp, y, x, z = e
        s = scopes[mask]
        if x_y:
            y = tracer(y, i, s, spec)
        if x_x:
            x = tracer(x, p, s, sp)
        return i, mask, number, spec, p, sp, y, x, z

    def lift_z(e: Entry, scopes: Outer) -> Entry:
        i, mask, number, spec, p, sp, y, x, z = e
        s = scopes[mask]
        if z_y:
            y = tracer(y, i, s, spec)
        if z_z:
            z = tracer(z, p, s, sp)
        return i, mask, number, spec, p, sp, y, x, z

    def lift_both(e: Entry, scopes: Outer) -> Entry:
        i, mask, number, spec, p, sp, q, sq, y, x, z = e
        s = scopes[mask]
        if b_y:
            y = tracer(y, i, s, spec)
        if b_x:
            x = tracer(x, p, s, sp)
        if b_z:
            z = tracer(z, q, s, sq)
        return i, mask, number, spec, p, sp, q, sq, y, x, z

    def lift_mixed(e: Entry, scopes: Outer) -> Entry:
        i, mask, number, spec, p, sp, q, sq, y, x, z, mask_x, mask_z = e
        s, t = scopes[mask_x], scopes[mask_z]
        if b_y:
            y = tracer(y, i, scopes[mask], spec)
        if b_x and s is not None:
            x = tracer(x, p, s, sp)
        if b_z and t is not None:
            z = tracer(z, q, t, sq)
        return i, mask, number, spec, p, sp, q, sq, y, x, z, mask_x, mask_z

    def view_x(e: Entry) -> View:
        _, mask, _, spec, p, sp, y, x, z = e
        if x_shown:
            y, x = Placeholder(spec) if x_shown[0] else y, Placeholder(sp) if x_shown[1] else x
        return y, (x, z), {}, ((0, 0, 0, p, mask, sp),), None

    def view_z(e: Entry) -> View:
        _, mask, _, spec, p, sp, y, x, z = e
        if z_shown:
            y, z = Placeholder(spec) if z_shown[0] else y, Placeholder(sp) if z_shown[2] else z
        return y, (x, z), {}, ((1, 0, 0, p, mask, sp),), None

    def view_both(e: Entry) -> View:
        _, mask, _, spec, p, sp, q, sq, y, x, z = e
        if b_shown:
            y = Placeholder(spec) if b_shown[0] else y
            x, z = Placeholder(sp) if b_shown[1] else x, Placeholder(sq) if b_shown[2] else z
        return y, (x, z), {}, ((0, 0, 0, p, mask, sp), (1, 0, 0, q, mask, sq)), None

    def view_mixed(e: Entry) -> View:
        y, args, options, (left, right), _ = view_both(e[:11])
        return y, args, options, ((*left[:4], e[11], left[5]), (*right[:4], e[12], right[5])), None

    def product(x: Any, z: Any) -> Any:
        """The function itself, of which one argument is a tangent."""
        return (definition.call if isinstance(x, Tracer) or isinstance(z, Tracer) else body)(x, z)

    def push_x(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        _, _, _, spec, p, sp, y, x, z = e
        t = tangent(p)
        if t is None or type(t) is Partial:
            return None if t is None else NotImplemented
        if not broadcasts:
            return stretch(product(t, z), spec, name)
        if x_shown:
            y, x = Placeholder(spec) if x_shown[0] else y, Placeholder(sp) if x_shown[1] else x
        try:
            r = scaled(rule_x, z, t, y, x, z) if scales and (type(z) is _ndarray or not z) else rule_x(t, y, x, z)
        except ArithmeticError:
            r = again(rule_x, t, y, x, z)
        return stretch(r, spec, name)

    def push_z(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        _, _, _, spec, p, sp, y, x, z = e
        t = tangent(p)
        if t is None or type(t) is Partial:
            return None if t is None else NotImplemented
        if not broadcasts:
            return stretch(product(x, t), spec, name)
        if z_shown:
            y, z = Placeholder(spec) if z_shown[0] else y, Placeholder(sp) if z_shown[2] else z
        try:
            r = scaled(rule_z, x, t, y, x, z) if scales and (type(x) is _ndarray or not x) else rule_z(t, y, x, z)
        except ArithmeticError:
            r = again(rule_z, t, y, x, z)
        return stretch(r, spec, name)

    def push_both(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        _, _, _, spec, p, sp, q, sq, y, x, z = e
        t, u = tangent(p), tangent(q)
        if type(t) is Partial or type(u) is Partial:
            return NotImplemented
        if not broadcasts:
            r = None if t is None else product(t, z)
            s = None if u is None else product(x, u)
        else:
            if b_shown:
                y = Placeholder(spec) if b_shown[0] else y
                x, z = Placeholder(sp) if b_shown[1] else x, Placeholder(sq) if b_shown[2] else z
            try:
                r = None if t is None else rule_x(t, y, x, z)
                s = None if u is None else rule_z(u, y, x, z)
            except ArithmeticError:
                r = None if t is None else again(rule_x, t, y, x, z)
                s = None if u is None else again(rule_z, u, y, x, z)
        return stretch(s if r is None else r if s is None else r + s, spec, name)

    def push_mixed(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        *whole, mask_x, mask_z = e
        if mask_x & bit and mask_z & bit:
            return push_both(tuple(whole), bit, tangent)
        return NotImplemented

    quick = broadcasts or definition.multilinear >= {0, 1}
    form_x = form(name, pull or pull_x, lift_x, definition, view_x, push_x if quick or 0 in definition.linear else None)
    form_z = form(name, pull_z, lift_z, definition, view_z, push_z if quick else None)
    form_both = form(name, pull_both, lift_both, definition, view_both, push_both if quick else None)
    form_mixed = form(name, pull_mixed, lift_mixed, definition, view_mixed, push_mixed if quick else None)

    def make(operate: Binary, slow: Binary) -> tuple[Binary, Binary]:
        def call(x: Any, z: Any) -> Any:
            if type(x) is Tracer:
                a = x._value
                s = x._scope
                if type(z) in constants:
                    try:
                        y = operate(a, z)
                    except ArithmeticError:
                        y = edge(body, a, z)
                    t = type(y)
                    made = Tracer()
                    made._value = y
                    made._scope = s
                    spec = t if t is float else (y.shape, y.dtype) if t is _ndarray else _spec(t) or spec_of(y)
                    made._spec = spec
                    if same_x and spec == x._spec and s.ended is None:
                        made._index = x._index
                        return made
                    made._index = i = next(s.count)
                    if hold_z and type(z) is not float:
                        z = placeholder(z) if show_z else s.keep(z) if type(z) is _ndarray else z
                    s.record(
                        (i, s.mask, form_x, spec, x._index, x._spec,
                         y if x_y else None, a if x_x else None, z if hold_z else None)
                    )  # fmt: skip
                    return made
                if type(z) is Tracer and z._scope is s:
                    b = z._value
                    try:
                        y = operate(a, b)
                    except ArithmeticError:
                        y = edge(body, a, b)
                    t = type(y)
                    made = Tracer()
                    made._value = y
                    made._scope = s
                    made._index = i = next(s.count)
                    spec = t if t is float else (y.shape, y.dtype) if t is _ndarray else _spec(t) or spec_of(y)
                    made._spec = spec
                    s.record(
                        (i, s.mask, form_both, spec, x._index, x._spec, z._index, z._spec,
                         y if b_y else None, a if b_x else None, b if b_z else None)
                    )  # fmt: skip
                    return made
                return mixed(x, z) if type(z) is Tracer else slow(x, z)
            return swapped(z, x)

        def mixed(x: Any, z: Any) -> Any:
            s, t = x._scope, z._scope
            both = union(s, t)
            a, b = x._value, z._value
            try:
                y = operate(a, b)
            except ArithmeticError:
                y = edge(body, a, b)
            made = Tracer()
            made._value = y
            made._scope = both
            made._index = i = next(both.count)
            made._spec = spec = spec_of(y)
            both.record(
                (i, both.mask, form_mixed, spec, x._index, x._spec, z._index, z._spec,
                 y if b_y else None, a if b_x else None, b if b_z else None, s.mask, t.mask)
            )  # fmt: skip
            return made

        def swapped(z: Any, x: Any) -> Any:
            if type(z) is not Tracer or type(x) not in constants:
                return slow(x, z)
            b = z._value
            try:
                y = operate(x, b)
            except ArithmeticError:
                y = edge(body, x, b)
            t = type(y)
            made = Tracer()
            made._value = y
            made._scope = s = z._scope
            made._spec = spec = t if t is float else (y.shape, y.dtype) if t is _ndarray else _spec(t) or spec_of(y)
            if same_z and spec == z._spec and s.ended is None:
                made._index = z._index
                return made
            made._index = i = next(s.count)
            if hold_x and type(x) is not float:
                x = placeholder(x) if show_x else s.keep(x) if type(x) is _ndarray else x
            s.record(
                (i, s.mask, form_z, spec, z._index, z._spec,
                 y if z_y else None, x if hold_x else None, b if z_z else None)
            )  # fmt: skip
            return made

        return call, swapped

    return make
