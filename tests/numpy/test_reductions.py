"""Reductions: values against NumPy's, derivatives against finite differences, and exact values at special points."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import tapegrad.numpy as tnp
from tapegrad import grad, jvp, vjp
from tapegrad.errors import MissingRuleError, PrimitiveError
from tapegrad.testing import check_grads

INF = math.inf

Shape = tuple[int, ...]

AXES: list[tuple[Shape, Any]] = [
    ((), None),
    ((), ()),
    ((1,), 0),
    ((4,), None),
    ((4,), -1),
    ((5,), (0,)),
    ((3,), ()),
    ((2, 3), None),
    ((2, 3), 0),
    ((3, 2), 1),
    ((3, 2), -2),
    ((2, 3), (1, 0)),
    ((2, 2, 2), (0, 2)),
    ((2, 3, 1), (-1, 1)),
    ((2, 1, 3), 1),
]
REDUCTIONS = [np.sum, np.mean, np.prod, np.max, np.min, np.ptp, np.var, np.std]


def data(shape: Shape, dtype: Any = np.float64, seed: int = 0) -> Any:
    """Random numbers between 0.5 and 2 in magnitude, of both signs."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.uniform(0.5, 2, shape)
    return np.asarray(x, dtype)


def same(got: Any, want: Any) -> None:
    """Equal in value, shape and dtype."""
    assert (np.shape(got), np.asarray(got).dtype) == (np.shape(want), np.asarray(want).dtype)
    np.testing.assert_array_equal(got, want)


def check(f: Callable[[Any], Any], x: Any, order: int = 2) -> None:
    """The value is NumPy's, and the derivatives are right."""
    same(vjp(f, x)[0], f(x))
    check_grads(f, (x,), order=order)


def pull(f: Callable[[Any], Any], x: Any) -> Any:
    """The cotangent of x from ones."""
    y, pullback = vjp(f, x)
    return pullback(np.ones_like(y))[0]


def pull_twice(f: Callable[[Any], Any], x: Any) -> Any:
    """That of the sum of the squares of the first one's entries."""
    return grad(lambda x: np.sum(pull(f, x) ** 2))(x)


def alike(f: Callable[[Any, bool], Any], x: Any) -> None:
    """With keepdims the cotangent is the same, in another precision nearly."""
    y, pullback = vjp(lambda x: f(x, False), x)
    same(y, f(x, False))
    g = data(np.shape(y), np.asarray(y).dtype, 2)
    back = pullback(g)[0]
    kept, pullback = vjp(lambda x: f(x, True), x)
    same(kept, f(x, True))
    np.testing.assert_allclose(pullback(np.reshape(g, kept.shape))[0], back, rtol=2e-6)
    other = x.astype({"f": "d", "d": "f", "F": "D", "D": "F"}[x.dtype.char])
    y, pullback = vjp(lambda x: f(x, False), other)
    same(y, f(other, False))
    got = pullback(g.astype(np.asarray(y).dtype))[0]
    assert (got.shape, got.dtype) == (other.shape, other.dtype)
    np.testing.assert_allclose(got, back, rtol=1e-4, atol=1e-5)


# every axis form, every dtype


@pytest.mark.parametrize("function", REDUCTIONS)
@pytest.mark.parametrize(("shape", "axis"), AXES)
def test_axes(function: Any, shape: Shape, axis: Any) -> None:
    check(lambda x: function(x, axis=axis), data(shape))
    alike(lambda x, keepdims: function(x, axis=axis, keepdims=keepdims), data(shape))
    alike(lambda x, keepdims: function(x, axis=axis, keepdims=keepdims), data(shape, np.complex64))


@pytest.mark.parametrize("function", REDUCTIONS)
@pytest.mark.parametrize(("shape", "axis"), [((3,), None), ((2, 2), 0), ((2, 2), (0, 1))])
def test_complex_numbers(function: Any, shape: Shape, axis: Any) -> None:
    check(lambda x: function(x, axis=axis), data(shape, np.complex128))


@pytest.mark.parametrize("function", [*REDUCTIONS, np.linalg.norm, np.average])
def test_numbers(function: Any) -> None:
    for x in (1.5, -2.0, np.float64(0.5), np.float32(3)):
        y, pullback = vjp(function, x)
        same(y, function(x))
        slope = pullback(np.ones_like(y))[0]
        assert type(slope) is type(x)
        expected = {np.ptp: 0, np.var: 0, np.std: 0, np.linalg.norm: math.copysign(1, x)}
        assert slope == expected.get(function, 1)
    assert type(grad(function)(3)) is float


@pytest.mark.parametrize("function", [np.sum, np.mean, np.prod, np.var, np.std])
def test_dtype_argument(function: Any) -> None:
    for axis in (None, 1):
        check(partial(function, axis=axis, dtype=np.float64), data((2, 3), np.float32), order=1)
        check(partial(function, axis=axis, dtype=np.float32), data((2, 3)), order=1)
    assert grad(lambda x: np.float64(3) * np.sum(x, dtype=int))(np.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize("function", [np.cumsum, np.cumprod])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((), None), ((1,), 0), ((7,), None), ((4,), -1), ((2, 3), None), ((2, 3), 0), ((3, 5), -1), ((2, 3, 2), 1)],
)
def test_cumulative(function: Any, shape: Shape, axis: Any) -> None:
    check(lambda x: function(x, axis), data(shape))
    check(lambda x: function(x, axis=axis), data(shape, np.complex128), order=1)
    check(lambda x: function(x, axis, np.float64), data(shape, np.float32), order=1)
    same(vjp(lambda x: function(x, axis), data(shape, np.float32))[0], function(data(shape, np.float32), axis))


def test_cumulative_of_a_number() -> None:
    for function in (np.cumsum, np.cumprod):
        y, pullback = vjp(function, 3.0)
        assert y.tolist() == [3]
        assert pullback(np.ones(1)) == (1.0,)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 8, 13, 16, 31])
def test_products_of_many(n: int) -> None:
    x = np.random.default_rng(n).uniform(0.9, 1.1, n)
    np.testing.assert_allclose(grad(np.prod)(x), np.array([np.prod(np.delete(x, i)) for i in range(n)]), rtol=1e-14)
    y, pullback = vjp(np.cumprod, x)
    g = np.arange(1.0, n + 1)
    jacobian = [[y[k] / x[i] if k >= i else 0 for i in range(n)] for k in range(n)]
    np.testing.assert_allclose(pullback(g)[0], g @ np.reshape(jacobian, (n, n)), rtol=1e-13)


# degrees of freedom


@pytest.mark.parametrize("function", [np.var, np.std])
@pytest.mark.parametrize(("shape", "axis"), [((4,), None), ((3, 2), 0), ((2, 3), (0, 1)), ((2, 2, 2), (0, 2))])
def test_degrees_of_freedom(function: Any, shape: Shape, axis: Any) -> None:
    for settings in ({"ddof": 1}, {"ddof": 0.5}, {"correction": 1}, {"correction": 0}):
        check(partial(function, axis=axis, **settings), data(shape))


def test_degrees_of_freedom_given_twice() -> None:
    with pytest.raises(ValueError, match="ddof and correction"):
        grad(lambda x: np.var(x, ddof=1, correction=1))(np.ones(2))


def test_no_degree_of_freedom_is_nan() -> None:
    def lone(x: Any) -> Any:
        with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning, match="Degrees of freedom"):
            return np.var(x, ddof=1)

    assert np.isnan(grad(lone)(np.ones(1))).all()


# special points


@pytest.mark.parametrize(
    ("function", "x", "slope"),
    [
        (np.max, [3.0, 1.0, 3.0], [0.5, 0, 0.5]),
        (np.max, [2.0, 2.0, 2.0, 2.0], [0.25] * 4),
        (np.min, [3.0, 1.0, 1.0], [0, 0.5, 0.5]),
        (np.max, [INF, 1.0, INF], [0.5, 0, 0.5]),
        (np.min, [-INF, 1.0], [1, 0]),
        (np.max, [0.0, -0.0], [0.5, 0.5]),
        (np.ptp, [1.0, 1.0], [0, 0]),
        (np.ptp, [1.0, 2.0, 2.0], [-1, 0.5, 0.5]),
        (np.prod, [0.0, 2.0, 3.0], [6, 0, 0]),
        (np.prod, [0.0, 2.0, 0.0], [0, 0, 0]),
        (np.prod, [0.0, 0.0, 0.0], [0, 0, 0]),
        (np.std, [2.0, 2.0, 2.0], [0, 0, 0]),
        (np.var, [2.0, 2.0], [0, 0]),
        (np.std, [5.0], [0]),
        (np.linalg.norm, [0.0, 0.0], [0, 0]),
        (np.linalg.norm, [3.0, 4.0], [0.6, 0.8]),
        (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0, 0]),
        (lambda x: np.linalg.norm(x, 3), [0.0, -2.0], [0, -1]),
        (lambda x: np.linalg.norm(x, 4), [0.0, 0.0], [0, 0]),
        (lambda x: np.linalg.norm(x, 1.5), [0.0, 2.0], [0, 1]),
        (lambda x: np.linalg.norm(x, 0.5), [0.0, 2.0], [0, 1]),
        (lambda x: np.linalg.norm(x, 1), [0.0, -2.0, 3.0], [0, -1, 1]),
        (lambda x: np.linalg.norm(x, INF), [1.0, -2.0, 2.0], [0, -0.5, 0.5]),
        (lambda x: np.linalg.norm(x, INF), [0.0, 0.0], [0, 0]),
        (lambda x: np.linalg.norm(x, -INF), [1.0, -2.0, -1.0], [0.5, 0, -0.5]),
        (lambda x: np.linalg.norm(x, 0), [0.0, 3.0], [0, 0]),
        (lambda x: np.linalg.norm(x, 1), [[1.0, -3.0], [2.0, 0.0]], [[0.5, -0.5], [0.5, 0]]),
        (lambda x: np.linalg.norm(x, -INF), [[1.0, -3.0], [3.0, 0.0]], [[0, 0], [1, 0]]),
    ],
)
def test_special_points(function: Any, x: Any, slope: Any) -> None:
    for dtype in (np.float64, np.float32):
        point = np.array(x, dtype)
        np.testing.assert_allclose(grad(function)(point), np.array(slope, dtype), rtol=4 * np.finfo(dtype).eps)
        try:
            assert np.isfinite(pull_twice(function, point)).all()
        except MissingRuleError as error:
            assert "has no second derivative where it is 0" in str(error)
            assert 0 in (function(point), *point)
            assert point.size > 1


@pytest.mark.parametrize(
    ("x", "second"),
    [
        ([0.0, 2.0, 3.0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
        ([0.0, 2.0, 0.0], [[0, 0, 2], [0, 0, 0], [2, 0, 0]]),
        ([0.0, 0.0, 0.0], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ],
)
def test_second_derivatives_of_products_with_zeros(x: Any, second: Any) -> None:
    for function in (np.prod, lambda x: np.cumprod(x)[-1]):
        rows = [grad(lambda x, f=function, i=i: grad(f)(x)[i])(np.array(x)) for i in range(3)]
        assert np.array(rows).tolist() == second
    third = grad(lambda x: grad(lambda x: grad(np.prod)(x)[0])(x)[1])(np.array(x))
    assert third.tolist() == [0, 0, 1]


def test_zeros_in_cumulative_products() -> None:
    y, pullback = vjp(np.cumprod, np.array([2.0, 0.0, 3.0, 0.0, 5.0]))
    assert y.tolist() == [2, 0, 0, 0, 0]
    assert pullback(np.ones(5))[0].tolist() == [1, 2 + 6, 0, 0, 0]
    check_grads(np.cumprod, (np.array([2.0, 0.0, 3.0, 0.0, 5.0]),), order=3)


def test_extrema_of_nan() -> None:
    x = np.array([[np.nan, 1.0], [3.0, 2.0]])
    assert pull(lambda x: np.max(x, 1), x)[1].tolist() == [1, 0]
    assert pull(lambda x: np.min(x, axis=1, keepdims=True), x)[1].tolist() == [0, 1]


@pytest.mark.parametrize("n", [2049, 2051, 70000])
def test_winners_among_many_are_counted_in_integers(n: int) -> None:
    x = np.zeros(n, np.float16)
    assert np.allclose(grad(np.max)(x), np.float16(1 / n))
    x[3] = 1
    assert grad(np.max)(x)[3] == grad(lambda x: np.max(x, axis=0))(x)[3] == 1
    assert grad(np.mean)(x)[0] == np.float16(1 / n) > 0


def test_infinite_cotangent_goes_to_the_winner_alone() -> None:
    _, pullback = vjp(np.max, np.array([1.0, 2.0]))
    assert pullback(INF)[0].tolist() == [0, INF]


@pytest.mark.parametrize("scale", [1e-150, 1e-50, 1e50, 1e150])
def test_norms_of_any_scale(scale: float) -> None:
    x = np.array([3.0, -4.0])
    for p in (None, 1, INF, 3, 4, 1.5) if 1e-100 < scale < 1e100 else (None, 1, INF):
        f: Any = lambda x, p=p: np.linalg.norm(x, p)
        np.testing.assert_allclose(grad(f)(x * scale), grad(f)(x), rtol=1e-13)
        np.testing.assert_allclose(pull_twice(f, x * scale) * scale, pull_twice(f, x), rtol=1e-12, atol=1e-14)


# norms


ORDERS = [None, 2, 1, 3, 4, 2.5, 1.5, 0.5, -1, -2.0, INF, -INF, 0]


@pytest.mark.parametrize("ord", ORDERS)
@pytest.mark.parametrize(("shape", "axis"), [((4,), None), ((3,), 0), ((2, 3), 1), ((3, 2), -2), ((2, 2, 1), (1,))])
def test_norms_of_vectors(ord: Any, shape: Shape, axis: Any) -> None:
    check(lambda x: np.linalg.norm(x, ord, axis), data(shape))
    alike(lambda x, keepdims: np.linalg.norm(x, ord, axis, keepdims), data(shape))
    alike(lambda x, keepdims: np.linalg.norm(x, ord, axis, keepdims), data(shape, np.complex64))


@pytest.mark.parametrize("ord", ORDERS)
def test_norms_of_complex_vectors(ord: Any) -> None:
    check(lambda x: np.linalg.norm(x, ord), data((3,), np.complex128))


@pytest.mark.parametrize("ord", [None, "fro", "f", 1, -1, INF, -INF])
@pytest.mark.parametrize(
    ("shape", "axis"), [((2, 3), None), ((2, 3), (0, 1)), ((3, 2), (-1, 0)), ((2, 1, 3), (2, 0)), ((2, 3, 1), (0, 1))]
)
def test_norms_of_matrices(ord: Any, shape: Shape, axis: Any) -> None:
    check(lambda x: np.linalg.norm(x, ord, axis), data(shape))
    alike(lambda x, keepdims: np.linalg.norm(x, ord, axis, keepdims), data(shape))
    check(lambda x: np.linalg.norm(x, ord, axis), data(shape, np.complex128), order=1)


def test_norms_of_any_shape() -> None:
    for shape in ((), (1,), (2, 2, 2), (1, 2, 1, 2)):
        check(np.linalg.norm, data(shape))
        check(lambda x: np.linalg.norm(x, keepdims=True), data(shape))
    check(np.linalg.norm, np.asfortranarray(data((2, 3))))


@pytest.mark.parametrize("p", [3, 4, 5, 6])
def test_norms_with_zeros_among_the_entries(p: Any) -> None:
    check_grads(lambda x: np.linalg.norm(x, p), (np.array([0.0, 1.0, -2.0]),), order=2)


def test_fourth_derivative_of_an_even_norm_at_a_zero() -> None:
    """(1 + t⁴)^¼ = 1 + t⁴/4 + ..., so the fourth derivative by t is 6."""
    f: Any = lambda t: np.linalg.norm(np.stack([t, 1.0]), 4)
    for _ in range(4):
        f = grad(f)
    assert f(0.0) == pytest.approx(6)


@pytest.mark.parametrize("ord", [2, -2, "nuc"])
def test_norms_made_of_singular_values_are_refused(ord: Any) -> None:
    with pytest.raises(MissingRuleError, match="singular values"):
        grad(lambda x: np.linalg.norm(x, ord))(data((2, 3)))


@pytest.mark.parametrize(
    ("shape", "ord", "axis"),
    [((2, 2, 2), 1, None), ((2,), "fro", None), ((2,), "nuc", 0), ((2, 2), 3, None), ((2, 2), 1, (0, 0)), ((2,), 1, 3)],
)
def test_norms_that_numpy_refuses(shape: Shape, ord: Any, axis: Any) -> None:
    for f in (np.linalg.norm, grad(np.linalg.norm)):
        with pytest.raises((ValueError, IndexError)):
            f(data(shape), ord, axis)


def test_vector_and_matrix_norm() -> None:
    x = data((2, 3, 2))
    for axis, keepdims in [(None, False), (None, True), (1, False), ((2, 0), True), ((0, 1, 2), False)]:
        for ord in (2, 1, 3, INF, 0):
            check(partial(np.linalg.vector_norm, axis=axis, keepdims=keepdims, ord=ord), x, order=1)
    check(np.linalg.vector_norm, data(()))
    for ord in ("fro", 1, -INF):
        check(partial(np.linalg.matrix_norm, ord=ord, keepdims=True), x)
    check(np.linalg.matrix_norm, x)


# averages


@pytest.mark.parametrize(
    ("shape", "axis", "weights"),
    [
        ((4,), None, None),
        ((2, 3), 1, None),
        ((4,), None, (4,)),
        ((2, 3), None, (2, 3)),
        ((2, 3), 0, (2, 3)),
        ((2, 3), -1, (3,)),
        ((2, 3, 2), (2, 1), (2, 3)),
        ((2, 3, 2), (0, 2), (2, 2)),
    ],
)
def test_average(shape: Shape, axis: Any, weights: Any) -> None:
    x = data(shape)
    w = None if weights is None else np.abs(data(weights, seed=1))
    check(lambda x: np.average(x, axis, w), x)
    alike(lambda x, keepdims: np.average(x, axis, w if w is None else w.astype(x.dtype), keepdims=keepdims), x)
    if w is not None:
        check(lambda w: np.average(x, axis, w, keepdims=True), w)
        check_grads(lambda x, w: np.average(x, axis, w), (x, w), order=1)


def test_average_returns_the_sum_of_weights() -> None:
    x = data((2, 3))
    for settings in ((None, None), (1, [1, 2, 3]), (0, [0.5, 1.0])):
        f: Any = partial(np.average, axis=settings[0], weights=settings[1], returned=True)
        for got, want in zip(vjp(f, x)[0], f(x), strict=True):
            same(got, want)
    assert grad(lambda w: np.average([1.0, 2.0], 0, w, True)[1])(np.array([3.0, 4.0])).tolist() == [1, 1]


def test_average_refuses_what_numpy_refuses() -> None:
    x = data((2, 3))
    for error, settings in [(TypeError, (None, [1, 2])), (ValueError, (1, [1, 2])), (ZeroDivisionError, (0, [1, -1]))]:
        for f in (np.average, lambda *args: grad(lambda x: np.sum(np.average(x, *args[1:])))(x)):
            with pytest.raises(error):
                f(x, *settings)


# nothing there


@pytest.mark.parametrize("function", [np.sum, np.prod, np.cumsum, np.cumprod, np.linalg.norm])
def test_no_elements(function: Any) -> None:
    for shape in ((0,), (2, 0), (0, 3)):
        same(pull(function, np.zeros(shape)), np.zeros(shape))
        same(pull(lambda x: function(x, axis=0), np.zeros(shape)), np.zeros(shape))
        same(pull_twice(function, np.zeros(shape)), np.zeros(shape))


@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.max, np.min, np.ptp])
def test_no_results(function: Any) -> None:
    x = np.zeros((0, 3))
    same(pull(lambda x: function(x, axis=1), x), x)
    same(pull_twice(lambda x: function(x, axis=1), x), x)


@pytest.mark.parametrize("function", [np.mean, np.var, np.std])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own, of the value
def test_mean_of_nothing(function: Any) -> None:
    same(pull(function, np.zeros(0)), np.zeros(0))
    same(pull(lambda x: function(x, 0), np.zeros((0, 2))), np.zeros((0, 2)))


@pytest.mark.parametrize("ord", [None, 1, 2, 3, 0])
def test_norm_of_nothing(ord: Any) -> None:
    same(pull(lambda x: np.linalg.norm(x, ord), np.zeros(0)), np.zeros(0))
    same(pull(lambda x: np.linalg.norm(x, ord, 0), np.zeros((0, 2))), np.zeros((0, 2)))


# doors


METHODS = ["sum", "mean", "prod", "max", "min", "var", "std", "cumsum", "cumprod"]


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    x = data((2, 3))
    for f in (operator.methodcaller(name), operator.methodcaller(name, axis=1), operator.methodcaller(name, 0)):
        check(f, x, order=1)


@pytest.mark.parametrize("name", [*METHODS, "amax", "amin", "ptp", "average"])
def test_tapegrad_numpy(name: str) -> None:
    x, ours, theirs = data((2, 3)), getattr(tnp, name), getattr(np, name)
    same(ours(x, 1), theirs(x, 1))
    same(vjp(lambda x: ours(x, axis=1), x)[0], theirs(x, 1))
    same(tnp.linalg.norm(x, 3, 1), np.linalg.norm(x, 3, 1))


@pytest.mark.parametrize("name", [*METHODS, "ptp", "average", "linalg.norm"])
@pytest.mark.parametrize(
    "build",
    [
        lambda x: [x[0], x[1], 2.0],
        lambda x: (x, [1.0, 2.0, 3.0]),
        lambda x: ((x[0], 1.0), [2.0, x[1]]),
    ],
)
def test_lists_of_traced_values(name: str, build: Any) -> None:
    ours, theirs = operator.attrgetter(name)(tnp), operator.attrgetter(name)(np)
    x = np.array([1.0, 3.0, 2.0])
    same(vjp(lambda x: ours(build(x)), x)[0], theirs(build(x)))
    check_grads(lambda x: ours(build(x)), (x,), order=1)


@pytest.mark.parametrize(
    ("method", "function"),
    [
        (np.add.reduce, np.sum),
        (np.multiply.reduce, np.prod),
        (np.maximum.reduce, np.max),
        (np.minimum.reduce, np.min),
        (np.add.accumulate, np.cumsum),
        (np.multiply.accumulate, np.cumprod),
    ],
)
def test_methods_of_ufuncs(method: Any, function: Any) -> None:
    x = data((2, 3))
    check(method, x)
    same(pull(method, x), pull(lambda x: function(x, axis=0), x))
    same(pull(lambda x: method(x, 1), x), pull(lambda x: function(x, axis=1), x))
    same(pull(lambda x: method(x, axis=-1, dtype=None), x), pull(lambda x: function(x, axis=-1), x))
    if method.__name__ == "reduce":
        check(lambda x: method(x, None, keepdims=True), x)
    with pytest.raises(PrimitiveError, match="out="):
        grad(lambda x: np.sum(method(x, out=np.zeros(3))))(x)


@pytest.mark.parametrize("function", [np.argmax, np.argmin, np.all, np.any, np.count_nonzero])
def test_constant_functions(function: Any) -> None:
    x = data((2, 3))
    value, _ = vjp(lambda x: function(x, axis=1), x)
    same(value, function(x, axis=1))
    assert grad(lambda x: np.sum(x * function(x)))(x).tolist() == (np.ones((2, 3)) * function(x)).tolist()


def test_constant_methods_of_ufuncs() -> None:
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert vjp(np.logical_and.reduce, x)[0].tolist() == [False, True]
    assert vjp(lambda x: np.logical_or.reduce(x, axis=1), x)[0].tolist() == [True, True]


def test_arguments_by_name_and_by_position() -> None:
    x = data((2, 3))
    for function in REDUCTIONS:
        check(lambda x, f=function: f(keepdims=True, a=x, axis=0), x, order=1)
    check(lambda x: np.sum(x, 1, None, None, True), x, order=1)
    check(lambda x: np.var(x, (0, 1), None, None, 1, True), x, order=1)
    check(lambda x: np.max(x, -1, None, True), x, order=1)
    check(lambda x: np.linalg.norm(ord=1, x=x, keepdims=True), x, order=1)


# what is refused


@pytest.mark.parametrize("function", [np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std, np.ptp, np.cumsum])
def test_out_is_refused(function: Any) -> None:
    with pytest.raises(PrimitiveError, match="out="):
        grad(lambda x: np.sum(function(x, axis=0, out=np.zeros(2))))(data((3, 2)))


@pytest.mark.parametrize("function", [np.sum, np.mean, np.prod, np.var, np.std])
def test_where_is_refused(function: Any) -> None:
    with pytest.raises(PrimitiveError, match="where="):
        grad(lambda x: function(x, where=x > 0))(data((3, 2)))
    same(pull(lambda x: function(x, where=True), data((3,))), pull(function, data((3,))))


@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.min])
def test_initial_is_refused(function: Any) -> None:
    with pytest.raises(PrimitiveError, match="initial="):
        grad(lambda x: function(x, initial=5.0))(data((3, 2)))


@pytest.mark.parametrize("function", [np.var, np.std])
def test_mean_is_refused(function: Any) -> None:
    with pytest.raises(PrimitiveError, match="mean="):
        grad(lambda x: function(x, mean=np.zeros(())))(data((3,)))
    with pytest.raises(PrimitiveError, match="mean"):
        grad(lambda x: function(x, mean=x[0]))(data((3,)))


def test_axis_out_of_range_is_numpys_error() -> None:
    for function in REDUCTIONS:
        with pytest.raises(np.exceptions.AxisError):
            grad(lambda x, f=function: f(x, axis=2))(data((3,)))


# what it costs


def test_sum_gives_back_a_view() -> None:
    from tapegrad.numpy.reductions import sum as summed

    rule = summed.definition.rules[0].call
    back = rule(np.float64(2), None, np.zeros((100, 100)), None)
    assert back.strides == (0, 0)
    assert back.shape == (100, 100)


@cache
def large() -> Any:
    return np.random.default_rng(0).normal(size=(1000, 7))


@pytest.mark.parametrize("function", REDUCTIONS)
def test_many_elements(function: Any) -> None:
    check_grads(lambda x: function(x, axis=0), (large() / 50 + 1,), order=1)


def test_cumprod_whose_parts_leave_the_range_of_numbers() -> None:
    """Products of many factors overflow where those from the start do not."""
    x = np.r_[0.0, np.full(1500, 2.0)]
    unit = np.eye(1, 1501, 1)[0]
    np.testing.assert_array_equal(jvp(np.cumprod, (x,), (unit,))[1], np.zeros(1501))
    np.testing.assert_array_equal(grad(lambda x: np.cumprod(x)[2])(x)[:4], [4.0, 0.0, 0.0, 0.0])
    x = np.r_[np.full(1000, 0.5), np.full(1100, 2.0)]
    first = jvp(np.cumprod, (x,), (np.eye(1, 2100)[0],))[1]
    np.testing.assert_allclose(first, np.cumprod(x) / x[0])
    slope = grad(lambda x: np.sum(np.cumprod(x)[:10]))(x)
    np.testing.assert_allclose(slope[:3], [2 * (1 - 0.5**10), 1 - 0.5**9, (1 - 0.5**8) / 2])
    a = np.array([1e-200, 1e-100, 1e200, 1e200])
    np.testing.assert_allclose(jvp(np.cumprod, (a,), (np.eye(4)[0],))[1], [1.0, 1e-100, 1e100, 1e300])
