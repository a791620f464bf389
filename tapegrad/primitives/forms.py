"""Forms: how a call is written as an entry, and how that entry is read.

A form is one primitive with one pattern of traced arguments, known to the tape by a small int. `PULL`
takes a cotangent through an entry to its parents; `LIFT` makes the entry's values tracers again, of the
frames around the one that reads, so that rules that meet them are recorded there; `VIEW` gives any
entry in the layout of the general form; `NAMES` and `DEFINITIONS` tell what it is.

The functions that are called most, of one and two arguments, have a quick path here that is taken when
the traced arguments share a scope and the rest are plain numbers and arrays. Whatever else there is goes
to `general`. Their entries are

    (index, mask, form, spec, parent, its spec, [parent, its spec,] answer, argument, [argument])

where answer and arguments are None unless the rules read them. What happens for each operation is
written out here rather than shared, for a Python call costs as much as the arithmetic of a number.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from ..tape import Entry, Outer
from ..tracer import NUMBERS, Tracer, spec_of, tracer
from .cotangent import conform
from .definition import Definition
from .partial import within
from .rules import KEEP, SHAPE, Key, Placeholder, again, placeholder

# an edge is (argument, leaf, number of leaves, parent, mask, spec), the last three of a traced argument or leaf
View = tuple[Any, tuple[Any, ...], dict[str, Any], tuple[Any, ...], Any]  # answer, arguments, keywords, edges, outputs
Pull = Callable[[Any, Entry, Any, int], None]
Push = Callable[[Entry, int, Callable[[int], Any]], Any]  # an entry, the frame's bit, the tangent of an index
Lift = Callable[[Entry, Outer], Entry]
Unary = Callable[[Any], Any]
Binary = Callable[[Any, Any], Any]

PULL: list[Pull] = []
LIFT: list[Lift] = []
VIEW: list[Callable[[Entry], View]] = []
PUSH: dict[int, Push] = {}  # of what is no call of a primitive
# of what stands for a stretch of the tape: the entries of that, and the indices of its outputs there
UNFOLD: dict[int, Callable[[Entry], tuple[list[Entry], list[int]]]] = {}
NAMES: list[str] = []
DEFINITIONS: list[Definition | None] = []

QUICK = frozenset({float, int, np.ndarray, np.float64, np.float32, complex, np.int64, np.complex128})

_ndarray = np.ndarray
_spec = NUMBERS.get
_lock = Lock()  # threads may define primitives


def _no_call(e: Entry) -> View:
    raise AssertionError(f"{NAMES[e[2]]} is no call of a primitive")


def form(
    name: str, pull: Pull, lift: Lift, definition: Definition | None = None, view: Callable[[Entry], View] = _no_call
) -> int:
    """Register how to read one kind of entry; returns the int that stands in it."""
    with _lock:
        DEFINITIONS.append(definition)
        LIFT.append(lift)
        VIEW.append(view)
        NAMES.append(name)
        PULL.append(pull)
        return len(PULL) - 1


def _pull_input(g: Any, e: Entry, cots: Any, bit: int) -> None:
    c = cots[e[4]]
    cots[e[4]] = g if c is None else c + g


# what enters a frame while frames around it trace it: (index, mask, form, spec, index outside)
INPUT = form("input", _pull_input, lambda e, scopes: e)
PUSH[INPUT] = lambda e, bit, tangent: tangent(e[4])


def through(g: Any, _y: Any, _x: Any, _z: Any) -> Any:
    """The rule of an argument that is passed on as it is: the cotangent, unchanged.

    Adding a constant needs no entry: the sum has the index, and so the cotangent, of what it was added to.
    """
    return g


def scaled(rule: Callable[..., Any], constant: Any, *call: Any) -> Any:
    """What the rule of a product gives where the other factor is a constant: where that is 0 there is a hole."""
    if type(constant) is _ndarray:
        if np.count_nonzero(constant) == constant.size:
            return rule(*call)
        with np.errstate(all="ignore"):
            return within(rule(*call), constant != 0)
    return rule(*call) if isinstance(constant, Tracer) or constant != 0 else None


def quick(definition: Definition) -> bool:
    """Whether the quick paths can serve: there is a rule for each argument alone."""
    return all(key in definition.rules for key in range(len(definition.names)))


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
        cots[p] = r if c is None else c + r

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

    number = form(name, pull, lift, definition, view)

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


def binary(
    definition: Definition, constants: frozenset[type] = QUICK, pull: Pull | None = None
) -> Callable[[Binary, Binary], tuple[Binary, Binary]]:
    """A maker of functions of two arguments that record themselves, for a definition that is `quick`.

    From `operate`, which computes on plain values (NumPy's function, or Python's operator), and `slow`,
    which serves every other call, it makes the function that records, and the same with its arguments
    swapped, which a reflected operator needs. `constants` are the types of what need not be traced;
    `pull` takes the cotangent back through the first argument alone, if the rule is not to.
    """
    name, broadcasts = definition.name, definition.elementwise
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
            r = scaled(rule_x, z, g, y, x, z) if scales else rule_x(g, y, x, z)
        except ArithmeticError:
            r = again(rule_x, g, y, x, z)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
            if r is None:
                return
            r = conform(r, sp, name, 0, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r

    def pull_z(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, y, x, z = e
        if z_shown:
            y, z = Placeholder(spec) if z_shown[0] else y, Placeholder(sp) if z_shown[2] else z
        try:
            r = scaled(rule_z, x, g, y, x, z) if scales else rule_z(g, y, x, z)
        except ArithmeticError:
            r = again(rule_z, g, y, x, z)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp):
            if r is None:
                return
            r = conform(r, sp, name, 1, broadcasts)
        c = cots[p]
        cots[p] = r if c is None else c + r

    def pull_both(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, spec, p, sp, q, sq, y, x, z = e
        if b_shown:
            y = Placeholder(spec) if b_shown[0] else y
            x, z = Placeholder(sp) if b_shown[1] else x, Placeholder(sq) if b_shown[2] else z
        try:
            r = g if same_x else rule_x(g, y, x, z)
        except ArithmeticError:
            r = again(rule_x, g, y, x, z)
        t = type(r)
        if t is not sp and ((r.shape, r.dtype) != sp if t is _ndarray else _spec(t) is not sp) and r is not None:
            r = conform(r, sp, name, 0, broadcasts)
        if r is not None:
            c = cots[p]
            cots[p] = r if c is None else c + r
        try:
            r = g if same_z else rule_z(g, y, x, z)
        except ArithmeticError:
            r = again(rule_z, g, y, x, z)
        t = type(r)
        if t is not sq and ((r.shape, r.dtype) != sq if t is _ndarray else _spec(t) is not sq) and r is not None:
            r = conform(r, sq, name, 1, broadcasts)
        if r is not None:
            c = cots[q]
            cots[q] = r if c is None else c + r

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

    form_x = form(name, pull or pull_x, lift_x, definition, view_x)
    form_z = form(name, pull_z, lift_z, definition, view_z)
    form_both = form(name, pull_both, lift_both, definition, view_both)

    def make(operate: Binary, slow: Binary) -> tuple[Binary, Binary]:
        def call(x: Any, z: Any) -> Any:
            if type(x) is Tracer:
                a = x._value
                s = x._scope
                if type(z) in constants:
                    try:
                        y = operate(a, z)
                    except ArithmeticError:
                        y = edge(definition.body, a, z)
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
                    if show_z:
                        z = placeholder(z)
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
                        y = edge(definition.body, a, b)
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
                return slow(x, z)
            return swapped(z, x)

        def swapped(z: Any, x: Any) -> Any:
            if type(z) is not Tracer or type(x) not in constants:
                return slow(x, z)
            b = z._value
            try:
                y = operate(x, b)
            except ArithmeticError:
                y = edge(definition.body, x, b)
            t = type(y)
            made = Tracer()
            made._value = y
            made._scope = s = z._scope
            made._spec = spec = t if t is float else (y.shape, y.dtype) if t is _ndarray else _spec(t) or spec_of(y)
            if same_z and spec == z._spec and s.ended is None:
                made._index = z._index
                return made
            made._index = i = next(s.count)
            if show_x:
                x = placeholder(x)
            s.record(
                (i, s.mask, form_z, spec, z._index, z._spec,
                 y if z_y else None, x if hold_x else None, b if z_z else None)
            )  # fmt: skip
            return made

        return call, swapped

    return make


def edge(body: Callable[..., Any], *args: Any) -> Any:
    """Where Python's arithmetic raises NumPy's gives inf or nan; of Python numbers alone that stays one."""
    y = body(*args)
    return y.item() if all([type(a) in _PYTHON for a in args]) else y


_PYTHON = (float, int, complex)
