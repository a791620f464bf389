"""Python's operators and ndarray's methods on a traced value; what cuts a derivative raises."""

from __future__ import annotations

import copy
import itertools
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import array, assert_same, cplx, value_when_traced

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import AssignmentError, ConversionError, MissingRuleError, PrimitiveError
from tapegrad.testing import check_grads
from tapegrad.tracer import Tracer

INF, NAN = math.inf, math.nan

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "divmod": divmod,
}
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
TRACED: dict[str, Any] = {
    "float": 1.5,
    "float64": np.float64(1.5),
    "float32": np.float32(1.5),
    "array": array(3),
    "array of float32": array(3).astype(np.float32),
    "array of shape ()": np.array(1.5),
    "array of shape (2, 1)": array(2, 1),
    "longdouble": np.longdouble(1.5),
    "float16": np.float16(1.5),
}
OTHER: dict[str, Any] = {
    "float": 2.5,
    "int": 2,
    "bool": True,
    "float64": np.float64(2.5),
    "float32": np.float32(2.5),
    "int64": np.int64(2),
    "int8": np.int8(2),
    "bool_": np.True_,
    "array": array(3, seed=1),
    "array of float32": array(3, seed=1).astype(np.float32),
    "array of int": np.array([1, 2, 3]),
    "array of bool": np.array([True, True, True]),
    "array of shape ()": np.array(2.5),
    "list": [1.0, 2.0, 3.0],
    "list of int": [1, 2, 3],
    "tuple": (0.5, 1, 2),
    "nested list": [[1.0], [2.0]],
}
PYTHON = ("float", "int", "bool")


def _operate(symbol: str) -> Callable[[Any, Any], Any]:
    return ARITHMETIC[symbol]


def _apply(f: Callable[[Any, Any], Any], x: Any, z: Any) -> Any:
    """What NumPy gives: of a Python number and a list, for which Python has its own ideas, as of an array."""
    wrap = lambda a, b: np.asarray(a) if isinstance(a, (list, tuple)) and not isinstance(b, np.ndarray) else a
    return f(wrap(x, z), wrap(z, x))


@pytest.mark.parametrize("symbol", ARITHMETIC)
@pytest.mark.parametrize("kind", TRACED)
def test_values(kind: str, symbol: str) -> None:
    x, f = TRACED[kind], _operate(symbol)
    for z in OTHER.values():
        if not isinstance(x, np.ndarray) and isinstance(z, (list, tuple)) and symbol in ("//", "divmod"):
            continue  # numbers know no lists
        assert_same(value_when_traced(lambda x, z=z: f(x, z), (x,)), _apply(f, x, z))
        assert_same(value_when_traced(lambda x, z=z: f(z, x), (x,)), _apply(f, z, x))
    for z in TRACED.values():
        assert_same(value_when_traced(f, (x, z)), f(x, z))


@pytest.mark.parametrize("symbol", [s for s in ARITHMETIC if s not in ("//", "divmod")])
@pytest.mark.parametrize("kind", ["float", "array", "array of float32", "array of shape (2, 1)"])
def test_derivatives(kind: str, symbol: str) -> None:
    x, f = TRACED[kind] + type(TRACED[kind])(0.07) if kind == "float" else TRACED[kind] * 1.07, _operate(symbol)
    order = 1 if "float32" in kind else 2
    for name in ("int", "array of int", "list", "float32"):
        z = OTHER[name]
        if kind == "float" and name == "list":
            continue
        check_grads(lambda x, z=z: f(x, z), (x,), order=1)
        check_grads(lambda x, z=z: f(z, x), (x,), order=1)
    some = x[:1] if np.ndim(x) else x
    check_grads(f, (some, 0.7), order=order)
    check_grads(f, (1.7, some), order=order)
    check_grads(f, (x, array(2, 3, seed=4) + 0.5), order=1)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**"])
def test_complex_numbers(symbol: str) -> None:
    f = _operate(symbol)
    for x, z in itertools.product([1.5, 0.5 + 1j, np.complex64(1 + 1j), cplx(3)], [0.7, 0.3 - 1j, cplx(3, seed=1), 2]):
        assert_same(value_when_traced(f, (x, z)), f(x, z), ulps=4)
        if np.complex64 not in (type(x), type(z)):
            check_grads(f, (x, z), order=1)


@pytest.mark.parametrize("x", [1.5, np.float32(-1.5), array(3) - 1, np.array(-2.0), cplx(2)], ids=repr)
def test_unary(x: Any) -> None:
    for f in (operator.neg, operator.pos, operator.abs):
        assert_same(value_when_traced(f, (x,)), f(x), ulps=2 * np.iscomplexobj(x))
        check_grads(f, (x,), order=1 if type(x) is np.float32 else 2)


def test_a_python_float_stays_one() -> None:
    f = lambda x: abs(-((+x) ** 2) / 3 % 1.5 + 1 - 2 * x) ** 0.5 // 1 + divmod(x, 2)[1] + 3.0**x
    assert type(value_when_traced(f, (1.25,))) is float
    assert type(tg.grad(f)(1.25)) is float
    assert type(value_when_traced(lambda x: np.float32(2) * x, (1.25,))) is np.float32
    assert value_when_traced(lambda x: np.ones(2, np.float32) * x, (1.25,)).dtype == np.float32
    assert value_when_traced(lambda x: np.ones(2, np.float16) + x, (1.25,)).dtype == np.float16


def test_three_arguments_of_pow() -> None:
    with pytest.raises(TypeError):
        tg.grad(lambda x: pow(x, 2, 3))(1.5)


@pytest.mark.parametrize("symbol", ["&", "|", "^", "<<", ">>", "~"])
def test_what_floats_do_not_have(symbol: str) -> None:
    two = {"&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift}
    for x in (1.5, array(3)):
        with pytest.raises(TypeError):
            tg.grad(lambda x: np.sum(two[symbol](x, 2) if symbol in two else ~x))(x)


# the edges of Python's numbers

EDGES: list[tuple[str, Callable[[Any], Any], float, float, float]] = [
    # name, function, point, value, derivative
    ("1 / x", lambda x: 1 / x, 0.0, INF, -INF),
    ("1 / x", lambda x: 1 / x, -0.0, -INF, -INF),
    ("0.0 / x", lambda x: 0.0 / x, 0.0, NAN, NAN),
    ("x / 0", lambda x: x / 0, 2.0, INF, INF),
    ("x / 0", lambda x: x / 0, -2.0, -INF, INF),
    ("x / -0.0", lambda x: x / -0.0, 2.0, -INF, -INF),
    ("x / 0", lambda x: x / 0, 0.0, NAN, INF),
    ("x / x", lambda x: x / x, 0.0, NAN, NAN),
    ("x // 0", lambda x: x // 0 + 0 * x, 2.0, INF, 0),
    ("x // 0", lambda x: x // 0 + 0 * x, -2.0, -INF, 0),
    ("1 // x", lambda x: 1 // x + 0 * x, 0.0, INF, 0),
    ("x % 0", lambda x: x % 0, 2.0, NAN, 1),
    ("2 % x", lambda x: 2 % x, 0.0, NAN, -INF),
    ("divmod(x, 0)[1]", lambda x: divmod(x, 0)[1], 2.0, NAN, 1),
    ("divmod(x, 0)[0]", lambda x: divmod(x, 0)[0] + 0 * x, 2.0, INF, 0),
    ("x ** -1", lambda x: x**-1, 0.0, INF, -INF),
    ("x ** -0.5", lambda x: x**-0.5, 0.0, INF, -INF),
    ("x ** -2", lambda x: x**-2, 0.0, INF, -INF),
    ("x ** 0.5", lambda x: x**0.5, 0.0, 0, INF),
    ("x ** 0.5", lambda x: x**0.5, -1.0, NAN, NAN),
    ("x ** 1.5", lambda x: x**1.5, -1.0, NAN, NAN),
    ("x ** (1 / 3)", lambda x: x ** (1 / 3), -8.0, NAN, NAN),
    ("x ** 400", lambda x: x**400, 10.0, INF, INF),
    ("x ** 401", lambda x: x**401, -10.0, -INF, INF),
    ("x ** 2.0", lambda x: x**2.0, 1e200, INF, 2e200),
    ("10.0 ** x", lambda x: 10.0**x, 400.0, INF, INF),
    ("10 ** x", lambda x: 10**x, 400.0, INF, INF),
    ("0.0 ** x", lambda x: 0.0**x, -1.0, INF, NAN),
    ("0 ** x", lambda x: 0**x, -1.0, INF, NAN),
    ("(-8) ** x", lambda x: (-8) ** x, 1 / 3, NAN, NAN),
    ("x * x", lambda x: x * x, 1e200, INF, 2e200),
    ("inf - x", lambda x: INF - x * INF, 1.0, NAN, -INF),
]


@pytest.mark.parametrize(("f", "x", "value", "slope"), [pytest.param(*e[1:], id=f"{e[0]} at {e[2]}") for e in EDGES])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_edges(f: Callable[[Any], Any], x: float, value: float, slope: float) -> None:
    np.testing.assert_array_equal(f(np.float64(x)), value)  # what NumPy gives
    for kind in (float, np.float64, np.array):
        got, g = tg.value_and_grad(f)(kind(x))
        np.testing.assert_array_equal(got, value)
        np.testing.assert_allclose(g, slope, rtol=1e-13)
        assert type(got) is (float if kind is float else np.float64)
        assert type(g) is type(kind(x))
        assert type(tg.grad(tg.grad(f))(kind(x))) is type(kind(x))


def test_edges_of_two_traced_numbers() -> None:
    with np.errstate(all="ignore"):
        assert tg.value_and_grad(lambda x, z: x / z, (0, 1))(1.0, 0.0) == (INF, (INF, -INF))
        assert tg.value_and_grad(lambda x, z: x**z, (0, 1))(0.0, -1.0)[0] == INF
        value, (dx, dz) = tg.value_and_grad(lambda x, z: x % z, (0, 1))(1.0, 0.0)
        assert math.isnan(value)
        assert (dx, dz) == (1, -INF)
        value, (dx, dz) = tg.value_and_grad(lambda x, z: x**z, (0, 1))(-2.0, 0.5)
        assert math.isnan(value)
        assert math.isnan(dx)
        assert math.isnan(dz)


def test_edges_warn_as_numpy_does() -> None:
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert value_when_traced(lambda x: 1 / x, (0.0,)) == INF
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert value_when_traced(lambda x: x**400, (10.0,)) == INF


# comparisons and truth


@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparisons_are_plain(compare: Callable[[Any, Any], Any]) -> None:
    for x in (1.5, np.float32(1.5), array(3), np.array(1.5)):
        for z in (1.5, 2, np.float64(1), array(3), np.array([1, 2, 3]), array(2, 1)):
            for f in (lambda x, z=z: compare(x, z), lambda x, z=z: compare(z, x), lambda x: compare(x, x)):
                got = value_when_traced(f, (x,))
                assert_same(got, f(x))
    for z in ([1.0, 2, 3], (1, 1, 1)):
        assert_same(value_when_traced(lambda x, z=z: compare(x, z), (array(3),)), compare(array(3), z))
    assert_same(value_when_traced(compare, (1.5, array(3))), compare(1.5, array(3)))


def test_comparisons_with_what_is_no_number() -> None:
    assert value_when_traced(lambda x: (x == None, x != None), (1.5,)) == (False, True)  # noqa: E711
    assert value_when_traced(lambda x: x == "a", (1.5,)) is False
    with pytest.raises(TypeError):
        tg.grad(lambda x: x if x < None else x)(1.5)


def test_branches_follow_the_value() -> None:
    f = lambda x: x * x if x > 1 else -x if x else 3 * x
    assert [tg.grad(f)(x) for x in (2.0, 0.5, 0.0)] == [4, -1, 3]
    with pytest.raises(ValueError, match="ambiguous"):
        tg.grad(lambda x: np.sum(x) if x else np.sum(x))(array(3))
    assert tg.grad(lambda x: max(x, 1.0) * min(x, 3.0))(2.0) == 4
    assert sorted([3.0, 1.0]) == tg.vjp(lambda *x: sorted(x), 3.0, 1.0)[0]


def test_it_cannot_be_hashed() -> None:
    with pytest.raises(TypeError, match="no array has a hash"):
        tg.grad(lambda x: {x: 1} and x)(1.5)


# matrix products


def test_matmul() -> None:
    a, b, v = array(2, 3), array(3, 2, seed=1), array(3, seed=2)
    for x, z in ((a, b), (a, v), (v, b), (v, v), (array(2, 2, 3), b)):
        f = operator.matmul
        assert_same(value_when_traced(f, (x, z)), x @ z, ulps=4)
        assert_same(value_when_traced(lambda x, z=z: x @ z, (x,)), x @ z, ulps=4)
        assert_same(value_when_traced(lambda z, x=x: x @ z, (z,)), x @ z, ulps=4)
        check_grads(f, (x, z), order=1)
    assert_same(value_when_traced(lambda v: v @ [1, 2, 3], (v,)), v @ [1, 2, 3], ulps=4)
    assert_same(value_when_traced(lambda v: [1, 2, 3] @ v, (v,)), [1, 2, 3] @ v, ulps=4)
    with pytest.raises((TypeError, ValueError)):
        tg.grad(lambda x: x @ x)(np.float64(2))
    with pytest.raises((TypeError, ValueError)):
        tg.grad(lambda x: x @ x)(2.0)
    with pytest.raises(ValueError, match="size"):
        tg.grad(lambda v: v @ np.ones(2))(v)


# other people's objects


_TWO = [*(f for f in ARITHMETIC.values() if f is not divmod), operator.matmul]


class Tens:
    """Not an array, but it knows how to meet one."""

    def __add__(self, other: Any) -> Any:
        return other * 10

    __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __divmod__ = __add__
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = __add__
    __rdivmod__ = __lt__ = __gt__ = __le__ = __ge__ = __add__


@pytest.mark.parametrize("f", [*_TWO, operator.lt, operator.ge], ids=lambda f: f.__name__)
@pytest.mark.parametrize("x", [1.5, array(3)], ids=["number", "array"])
def test_other_objects_get_their_turn(f: Callable[[Any, Any], Any], x: Any) -> None:
    for call in (lambda x: f(x, Tens()), lambda x: f(Tens(), x)):
        value, pullback = tg.vjp(call, x)
        assert_same(value, x * 10)
        assert_same(pullback(value / 10)[0], x * 10)


@pytest.mark.parametrize("f", [*_TWO, divmod], ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", ["a", None, object(), {}], ids=lambda o: type(o).__name__)
def test_what_does_not_fit_raises(f: Callable[[Any, Any], Any], other: Any) -> None:
    for call in (lambda x: f(x, other), lambda x: f(other, x)):
        with pytest.raises(ValueError if f is operator.matmul and other is None else TypeError):
            tg.grad(lambda x, call=call: np.sum(call(x)))(array(3))


def test_other_arrays_get_their_turn() -> None:
    class Mine:
        __array_ufunc__ = None

        def __radd__(self, other: Any) -> Any:
            return other * 3

    assert tg.grad(lambda x: x + Mine())(1.5) == 3


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_subclasses_of_ndarray_are_refused() -> None:
    """Their operators are others (a matrix product, a mask), of which the rules know nothing."""
    masked = np.ma.masked_array(array(2, 2), [[False, True], [False, False]])
    for odd in (masked, np.matrix(array(2, 2))):
        for f in (operator.mul, operator.add, operator.matmul, np.multiply, tnp.multiply, np.hypot):
            for call in (lambda x, f=f, odd=odd: f(x, odd), lambda x, f=f, odd=odd: f(odd, x)):
                with pytest.raises((TypeError, NotImplementedError)):
                    tg.grad(lambda x, call=call: np.sum(call(x)))(array(2, 2))


def test_arrays_in_files_are_arrays(tmp_path: Any) -> None:
    stored = np.memmap(tmp_path / "data", np.float64, "w+", shape=(3,))
    stored[:] = [1, 2, 3]
    for call in (lambda x: x * stored, lambda x: stored * x, lambda x: np.multiply(x, stored)):
        value, pullback = tg.vjp(call, array(3))
        np.testing.assert_array_equal(value, array(3) * [1, 2, 3])
        assert_same(pullback(np.ones(3))[0], np.array([1.0, 2, 3]))


# in place


IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
}


@pytest.mark.parametrize("symbol", IN_PLACE)
@pytest.mark.parametrize(
    "other", [2, 1.5, array(3, seed=1), np.float32(2), [1.0, 2.0, 3.0], np.array([1, 2, 3])], ids=repr
)
def test_in_place(symbol: str, other: Any) -> None:
    """An array changes under all of its names, in its dtype; the caller's own array does not."""
    f = IN_PLACE[symbol]

    def both(x: Any, z: Any) -> Any:
        other_name = x
        x = f(x, z)
        assert x is other_name
        return x

    for x in (array(3), array(2, 3), array(3).astype(np.float32)):
        before = x.copy()
        want = both(x.copy(), other)
        assert_same(value_when_traced(lambda x: both(x, other), (x,)), want)
        assert_same(value_when_traced(lambda x: both(x * 1, other), (x,)), want)
        slope = tg.grad(lambda x: np.sum(x * both(x * 1, other), dtype=float))(x)
        assert_same(x, before)
        if x.dtype == np.float64:
            plain = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}.get(symbol[:-1])
            plain = plain or {"//": operator.floordiv, "%": operator.mod, "**": operator.pow}[symbol[:-1]]
            assert_same(slope, tg.grad(lambda x: np.sum(x * plain(x * 1, other)))(x), ulps=4)


@pytest.mark.parametrize("symbol", IN_PLACE)
def test_in_place_by_a_traced_value(symbol: str) -> None:
    f = IN_PLACE[symbol]

    def both(x: Any, z: Any) -> Any:
        y = x * 1
        w = y
        y = f(y, z)
        return w * y

    for z in (1.5, array(3, seed=1), array(1)):
        assert_same(value_when_traced(both, (array(2, 3), z)), both(array(2, 3), z))
        check_grads(both, (array(3), z), order=1)
    assert_same(value_when_traced(lambda x: both(x, x), (array(3),)), both(array(3), array(3)))


@pytest.mark.parametrize("symbol", IN_PLACE)
def test_in_place_on_a_number_binds_it_anew(symbol: str) -> None:
    f = IN_PLACE[symbol]

    def both(x: Any) -> Any:
        z = x
        x = f(x, 2)
        return x + 10 * z

    for x in (5.5, np.float64(5.5), np.float32(5.5)):
        assert_same(value_when_traced(both, (x,)), both(x))
        check_grads(both, (x,), order=1)


def test_matmul_in_place() -> None:
    m = array(3, 3)

    def f(x: Any) -> Any:
        y = x * 1
        z = y
        y @= m
        return np.sum(z * x)

    check_grads(f, (array(2, 3),), order=2)
    with pytest.raises((AssignmentError, ValueError)):
        tg.grad(lambda x: np.sum(operator.imatmul(x * 1, np.ones((3, 2)))))(m)


def test_an_array_of_no_axes_changes_in_place() -> None:
    def f(x: Any) -> Any:
        y = x * 1 if isinstance(x, np.ndarray) else x
        z = y
        y += 1
        return z * 3

    value, slope = tg.value_and_grad(f)(np.array(1.5))
    assert float(value) == 7.5
    assert_same(slope, np.array(3.0))


def test_the_argument_changes_in_place_for_the_function_alone() -> None:
    x = array(3)

    def f(x: Any) -> Any:
        y = x
        y *= x
        return np.sum(x)

    assert_same(tg.grad(f)(x), 2 * array(3))
    assert_same(x, array(3))
    assert_same(tg.grad(lambda x: np.sum(tg.grad(f)(x) ** 2))(x), 8 * array(3))


def test_old_values_stay_for_the_way_back() -> None:
    def f(x: Any) -> Any:
        y = np.exp(x)
        s = y * y
        y *= 0
        return np.sum(s) + np.sum(y)

    np.testing.assert_allclose(tg.grad(f)(array(3)), 2 * np.exp(2 * array(3)), rtol=1e-14)


def test_in_place_keeps_shape_and_kind() -> None:
    for change, there in (
        (lambda y: operator.iadd(y, np.ones((2, 3))), r"\(3,\)"),
        (lambda y: operator.iadd(y, np.ones((2, 1))), r"\(3,\)"),
        (lambda y: operator.imul(y, 1j), "complex128"),
        (lambda y: operator.iadd(y, cplx(3)), "complex128"),
    ):
        with pytest.raises(AssignmentError, match=there) as error:
            tg.grad(lambda x, change=change: np.sum(change(x * 1)))(array(3))
        assert len(str(error.value).splitlines()) == 3
    single = array(3).astype(np.float32)
    value, pullback = tg.vjp(lambda x: operator.iadd(x * 1, np.ones(3)), single)
    assert_same(value, single + np.float32(1))
    assert pullback(value)[0].dtype == np.float32


def test_in_place_inside_an_inner_transform() -> None:
    def outer(x: Any) -> Any:
        y = x * 1

        def inner(w: Any) -> Any:
            z = y * w
            z += w
            return np.sum(z * z)

        return np.sum(tg.grad(inner)(x) * y)

    check_grads(outer, (array(3),), order=1)


def test_a_plain_array_cannot_take_a_traced_value() -> None:
    for f in IN_PLACE.values():
        if f is operator.ifloordiv:
            continue
        plain = np.ones(3)
        with pytest.raises(PrimitiveError) as error:
            tg.grad(lambda x, f=f, plain=plain: np.sum(f(plain, x)))(array(3))
        assert len(str(error.value).splitlines()) == 3
        assert plain.tolist() == [1, 1, 1]


def test_a_plain_number_is_bound_anew() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for k in range(3):
            total += k * x
        other = np.float64(1)
        other *= x
        return total * other

    assert tg.grad(f)(2.0) == 12


def test_in_place_in_a_complete_tape() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        z = y
        y += x
        y //= 2
        y *= x
        return np.sum(z)

    tape = tg.trace(f)(array(3) * 4)
    assert_same(tape.value, f(array(3) * 4))
    assert_same(tape.backward()[0], tg.grad(f)(array(3) * 4))
    assert "cotangent" in str(tape)


# methods

METHODS: list[tuple[str, Callable[[Any], Any]]] = [
    ("reshape", lambda x: x.reshape(3, 2)),
    ("view", lambda x: x.view()),
    ("reshape", lambda x: x.reshape((3, -1))),
    ("reshape", lambda x: x.reshape(-1)),
    ("reshape", lambda x: x.reshape(3, 2, order="F")),
    ("reshape", lambda x: x.reshape([6])),
    ("transpose", lambda x: x.transpose()),
    ("transpose", lambda x: x.transpose(1, 0)),
    ("transpose", lambda x: x.transpose((1, 0))),
    ("transpose", lambda x: x.transpose(None)),
    ("T", lambda x: x.T),
    ("mT", lambda x: x.mT),
    ("real", lambda x: x.real),
    ("imag", lambda x: x.imag),
    ("conj", lambda x: x.conj()),
    ("conjugate", lambda x: x.conjugate()),
    ("ravel", lambda x: x.ravel()),
    ("ravel", lambda x: x.ravel("F")),
    ("flatten", lambda x: x.flatten()),
    ("flatten", lambda x: x.flatten(order="F")),
    ("squeeze", lambda x: x[None].squeeze()),
    ("squeeze", lambda x: x[None].squeeze(axis=0)),
    ("swapaxes", lambda x: x.swapaxes(0, 1)),
    ("diagonal", lambda x: x.diagonal()),
    ("diagonal", lambda x: x.diagonal(1, 0, 1)),
    ("trace", lambda x: x.trace()),
    ("trace", lambda x: x.trace(offset=1)),
    ("repeat", lambda x: x.repeat(2)),
    ("repeat", lambda x: x.repeat([1, 2, 0], axis=1)),
    ("take", lambda x: x.take([0, 5])),
    ("take", lambda x: x.take([1, 1], axis=1)),
    ("compress", lambda x: x.compress([True, False, True], axis=1)),
    ("compress", lambda x: x.compress([False, True])),
    ("copy", lambda x: x.copy()),
    ("copy", lambda x: x.copy("F")),
    ("astype", lambda x: x.astype(np.float32)),
    ("astype", lambda x: x.astype("d", copy=False)),
    ("sum", lambda x: x.sum()),
    ("sum", lambda x: x.sum(1, keepdims=True)),
    ("sum", lambda x: x.sum(axis=(0, 1))),
    ("sum", lambda x: x.sum(dtype=np.float32)),
    ("mean", lambda x: x.mean(0)),
    ("var", lambda x: x.var(ddof=1)),
    ("std", lambda x: x.std(axis=1)),
    ("prod", lambda x: x.prod(axis=0)),
    ("cumsum", lambda x: x.cumsum()),
    ("cumsum", lambda x: x.cumsum(axis=1)),
    ("cumprod", lambda x: x.cumprod(0)),
    ("max", lambda x: x.max()),
    ("max", lambda x: x.max(axis=1, keepdims=True)),
    ("min", lambda x: x.min(0)),
    ("clip", lambda x: x.clip(0.5, 1)),
    ("clip", lambda x: x.clip(min=1)),
    ("clip", lambda x: x.clip(max=np.ones(3))),
    ("dot", lambda x: x.dot(np.arange(3.0))),
    ("dot", lambda x: x.dot(x.T)),
    ("item", lambda x: x.item(2)),
    ("tolist", lambda x: x.tolist()),
    ("round", lambda x: x.round(1)),
    ("argmax", lambda x: x.argmax()),
    ("argmax", lambda x: x.argmax(axis=1)),
    ("argmin", lambda x: x.argmin(0)),
    ("argsort", lambda x: x.argsort()),
    ("argsort", lambda x: x.argsort(axis=0, kind="stable")),
    ("argpartition", lambda x: x.argpartition(1)),
    ("nonzero", lambda x: x.nonzero()),
    ("all", lambda x: x.all()),
    ("any", lambda x: x.any(axis=0)),
    ("searchsorted", lambda x: x[0].searchsorted([0.5, 1])),
    ("shape", lambda x: x.shape),
    ("ndim", lambda x: x.ndim),
    ("size", lambda x: x.size),
    ("dtype", lambda x: x.dtype),
    ("itemsize", lambda x: x.itemsize),
    ("nbytes", lambda x: x.nbytes),
    ("flat", lambda x: [v * 2 for v in x.flat]),
]
MUTATING = {
    "resize": lambda x: x.resize((2, 2)),
    "setfield": lambda x: x.setfield(1, np.int32),
}
WRITING = {"fill", "sort", "partition", "put"}  # see test_assignment
CUTTING = {"tobytes"}
# of memory and files, not of numbers
ABSENT = {
    *("base", "byteswap", "ctypes", "data", "device", "dump", "dumps", "flags", "getfield", "setflags", "strides"),
    *("to_device", "tofile", "tostring", "newbyteorder", "ptp", "itemset", "choose"),
}


@pytest.mark.parametrize(("name", "call"), METHODS)
def test_methods(name: str, call: Callable[[Any], Any]) -> None:
    for x in (array(2, 3), array(2, 3).astype(np.float32), np.asfortranarray(array(2, 3))):
        assert_same(value_when_traced(call, (x,)), call(x), ulps=4)
    y = call(array(2, 3))
    if getattr(y, "dtype", None) == np.float64:
        check_grads(call, (array(2, 3),), order=1)


@pytest.mark.parametrize(
    "call", [m[1] for m in METHODS if m[0] in ("real", "imag", "conj", "T", "sum", "mean", "copy")]
)
def test_methods_of_complex_numbers(call: Callable[[Any], Any]) -> None:
    if call is not METHODS[[m[0] for m in METHODS].index("sum") + 3][1]:
        assert_same(value_when_traced(call, (cplx(2, 3),)), call(cplx(2, 3)), ulps=4)
        check_grads(call, (cplx(2, 3),), order=1)


@pytest.mark.parametrize("x", [1.5, np.float64(1.5), np.float32(1.5), np.array(1.5)], ids=repr)
def test_methods_of_numbers(x: Any) -> None:
    """A traced number has what a NumPy scalar has, also if it is a Python float."""
    like = x if isinstance(x, (np.generic, np.ndarray)) else np.float64(x)
    facts = lambda x: (x.shape, x.ndim, x.size, x.dtype)
    assert value_when_traced(facts, (x,)) == facts(like)
    for call in (
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x.max(),
        lambda x: x.reshape(1),
        lambda x: x.ravel(),
        lambda x: x.flatten(),
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: x.real,
        lambda x: x.conj(),
        lambda x: x.clip(0, 1),
        lambda x: x.astype(np.float32),
    ):
        np.testing.assert_array_equal(value_when_traced(call, (x,)), call(like))
    assert tg.grad(lambda x: x.reshape(1)[0] * x.sum())(x) == 3


@pytest.mark.parametrize("name", MUTATING)
def test_methods_that_change_the_array_raise(name: str) -> None:
    x = array(3)
    with pytest.raises(AssignmentError, match=name) as error:
        tg.grad(lambda x: np.sum(x) + (MUTATING[name](x) is None))(x)
    assert len(str(error.value).splitlines()) == 3
    assert_same(x, array(3))


def test_every_method_of_ndarray_is_accounted_for() -> None:
    known = {*MUTATING, *WRITING, *CUTTING, *ABSENT, *(name for name, _ in METHODS)}
    there = {name for name in dir(np.ndarray) if not name.startswith("_")}
    assert there - known == set()
    assert {name for name in known - ABSENT if not hasattr(Tracer, name)} == set()


def test_methods_that_are_not_there() -> None:
    for name in ("strides", "data", "nonsense"):
        with pytest.raises(AttributeError):
            tg.grad(lambda x, name=name: np.sum(getattr(x, name)))(array(3))


def test_attributes_of_a_number() -> None:
    def f(x: Any) -> Any:
        assert (x.shape, x.ndim, x.size, x.dtype, x.itemsize) == ((), 0, 1, np.float64, 8)
        assert (np.shape(x), np.ndim(x), np.size(x)) == ((), 0, 1)
        return x

    assert tg.grad(f)(1.5) == 1


# what cuts the derivative, and what does not

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "complex": complex,
    "round": round,
    "round to digits": lambda x: round(x, 2),
    "math.sin": math.sin,
    "math.floor": math.floor,
    "math.ceil": math.ceil,
    "math.trunc": math.trunc,
    "operator.index": operator.index,
    "range": range,
    "asarray": np.asarray,
    "array": np.array,
    "float64": np.float64,
    "tobytes": lambda x: x.tobytes(),
    "pickle": pickle.dumps,
    "list of it in an array": lambda x: np.array([x, 1.0]),
    "hex": hex,
}


@pytest.mark.parametrize("name", CONVERSIONS)
@pytest.mark.parametrize("x", [1.5, np.array(1.5)], ids=["number", "array"])
def test_conversions_raise(name: str, x: Any) -> None:
    with pytest.raises(ConversionError) as error:
        tg.grad(lambda x: CONVERSIONS[name](x) and x)(x)
    assert isinstance(error.value, TypeError)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert lines[2].strip().startswith("hint:")
    assert "stop_gradient" in lines[2]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: copy.deepcopy([x])[0], lambda x: x.copy()])
def test_copies_keep_the_trace(duplicate: Callable[[Any], Any]) -> None:
    assert tg.grad(lambda x: duplicate(x) * x)(3.0) == 6

    def f(x: Any) -> Any:
        y = x * 1
        z = duplicate(y)
        y += 100
        z *= x
        return np.sum(z)

    assert_same(tg.grad(f)(array(3)), 2 * array(3))
    assert_same(tg.grad(lambda x: np.sum(tg.grad(f)(x) ** 2))(array(3)), 8 * array(3))


def test_repr_and_format() -> None:
    def f(x: Any) -> Any:
        assert repr(x) == "Tracer(1.5)"
        assert str(x) == "1.5"
        assert f"{x:.3f} {x:>6}" == "1.500    1.5"
        assert f"{x.item():.1e}" == "1.5e+00"
        return x

    def g(x: Any) -> Any:
        assert "shape=(2,)" in repr(x)
        assert "float32" in repr(x)
        assert "1.5" in repr(x)
        assert str(x) == "[1.5 2.5]"
        assert f"{x}" == "[1.5 2.5]"
        return np.sum(x)

    tg.grad(f)(1.5)
    tg.grad(g)(np.float32([1.5, 2.5]))
    big = tg.vjp(lambda x: (x, [repr(x)]), np.zeros((100, 100)), has_aux=True)[2][0]
    assert "shape=(100, 100)" in big
    assert len(big) < 1000
    assert "Tracer" in tg.vjp(lambda x: (x, [repr(x)]), np.float32(1), has_aux=True)[2][0]


def test_is_tracer() -> None:
    def f(x: Any) -> Any:
        assert isinstance(x, Tracer)
        assert not isinstance(x, np.ndarray)
        assert not np.isscalar(x)
        return x

    assert tg.grad(f)(1.5) == 1


def test_no_attributes_can_be_set() -> None:
    with pytest.raises(AttributeError):
        tg.grad(lambda x: setattr(x, "colour", 1) or x)(1.5)
    for name in ("shape", "dtype", "real", "T"):
        with pytest.raises(AttributeError):
            tg.grad(lambda x, name=name: setattr(x, name, 1) or np.sum(x))(array(3))


def test_sums_of_python() -> None:
    x = array(4)
    assert tg.grad(lambda x: sum(x) + sum([v * v for v in x], 1.0) + math.prod([2.0, 3]) * x[0])(x)[0] == 7 + 2 * x[0]
    assert tg.grad(lambda x: math.prod([x, x, 2.0]))(3.0) == 12


def test_both_doors_and_the_operator_agree() -> None:
    for f, name in ((operator.add, "add"), (operator.pow, "power"), (operator.mod, "remainder")):
        for x, z in ((array(3), 2), (1.5, 0.7), (array(3), array(2, 1))):
            got = [tg.vjp(lambda x, h=h, z=z: h(x, z), x) for h in (f, getattr(np, name), getattr(tnp, name))]
            values = [np.asarray(value) for value, _ in got]
            slopes = [
                np.asarray(pullback(np.ones_like(value) if np.ndim(value) else 1.0)[0]) for value, pullback in got
            ]
            for value, slope in zip(values, slopes, strict=True):
                assert_same(value, values[0])
                assert_same(slope, slopes[0])


def test_missing_rules_of_methods() -> None:
    with pytest.raises((MissingRuleError, TypeError)):
        tg.grad(lambda x: np.sum(x.choose([x, x])))(array(2))


def test_abs_that_overflows_is_inf_as_in_numpy() -> None:
    """Python's abs of a complex number raises there."""
    with np.errstate(over="ignore"):
        assert value_when_traced(abs, (1.7e308 + 1.7e308j,)) == np.inf
        assert type(value_when_traced(abs, (1.7e308 + 1.7e308j,))) is float
