"""Functions of networks: values against their definitions, derivatives, and arguments of any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad import nn
from tapegrad.errors import InputError
from tapegrad.testing import check_grads, check_rule

INF, NAN = math.inf, math.nan
RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (2, 3))
Z = RNG.uniform(-2, 2, (2, 3, 2))
AXES: list[tuple[np.ndarray, Any]] = [(X, None), (X, 0), (X, -1), (X, (0, 1)), (Z, (0, 2)), (Z, 1), (X[0], 0)]
CURVES = [nn.relu, nn.sigmoid, nn.softplus, nn.log_sigmoid, nn.logcosh]
REAL = [nn.softplus, nn.log_sigmoid, nn.logcosh, nn.log1mexp]
ALONG = [nn.logsumexp, nn.softmax, nn.log_softmax]


def naive_logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(a), axis=axis, keepdims=keepdims))


def naive_softmax(x: Any, axis: Any = -1) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


NAIVE: dict[Any, Callable[..., Any]] = {
    nn.relu: lambda x: np.where(x > 0, x, 0 * x),
    nn.sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    nn.softplus: lambda x: np.log(1 + np.exp(x)),
    nn.log_sigmoid: lambda x: -np.log(1 + np.exp(-x)),
    nn.logcosh: lambda x: np.log(np.cosh(x)),
    nn.log1mexp: lambda x: np.log(1 - np.exp(-x)),
    nn.logsumexp: naive_logsumexp,
    nn.softmax: naive_softmax,
    nn.log_softmax: lambda x, axis=-1: np.log(naive_softmax(x, axis)),
}


def agree(got: Any, want: Any, rtol: float = 1e-13) -> None:
    assert np.shape(got) == np.shape(want)
    assert np.asarray(got).dtype == np.asarray(want).dtype
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


LOGITS = RNG.normal(size=(2, 4, 3))
LABELS = RNG.integers(0, 3, (2, 4))


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_cross_entropy(axis: int) -> None:
    """Of classes, of probabilities, and of probabilities that are differentiated by, too."""
    z = np.moveaxis(LOGITS, -1, axis)
    one_hot = np.moveaxis(np.eye(3)[LABELS], -1, axis)
    want = -np.log(np.take_along_axis(naive_softmax(LOGITS), LABELS[..., None], -1))[..., 0]
    agree(nn.softmax_cross_entropy_with_integer_labels(z, LABELS, axis), want)
    agree(nn.softmax_cross_entropy(z, one_hot, axis), want)
    check_grads(lambda z: nn.softmax_cross_entropy_with_integer_labels(z, LABELS, axis), (z,))
    check_grads(lambda z, q: nn.softmax_cross_entropy(z, q, axis), (z, naive_softmax(z[::-1], axis)))
    single = z.astype(np.float32)
    for loss, labels in ((nn.softmax_cross_entropy_with_integer_labels, LABELS), (nn.softmax_cross_entropy, one_hot)):
        slope = tg.grad(lambda z, loss=loss, labels=labels: np.sum(loss(z, labels, axis)))(single)
        assert slope.dtype == np.float32
        np.testing.assert_allclose(slope, naive_softmax(z, axis) - one_hot, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels", "axis"),
    [
        (LOGITS, 1 / 3, -1),
        (LOGITS, np.full(1, 1 / 3), -1),
        (LOGITS[0], np.full((4, 1), 1 / 3), -1),
        (LOGITS[0], np.array([0.2, 0.3, 0.5]), 1),
        (LOGITS[0], np.array([0.2, 0.3, 0.5]), 0),
        (LOGITS[0], naive_softmax(LOGITS), 1),
        (LOGITS[0, 0], naive_softmax(LOGITS[0]), 0),
        (np.zeros((2, 1)), np.array([[0.2, 0.3, 0.5]] * 2), -1),
    ],
)
def test_labels_that_broadcast(logits: Any, labels: Any, axis: int) -> None:
    """They mean what they are once they are broadcast: to the sum over the classes, too."""
    full = np.broadcast_arrays(logits, labels)
    agree(nn.softmax_cross_entropy(logits, labels, axis), nn.softmax_cross_entropy(*full, axis))
    got = tg.grad(lambda x: np.sum(nn.softmax_cross_entropy(np.broadcast_to(x, full[0].shape), full[1], axis)))(logits)
    agree(tg.grad(lambda x: np.sum(nn.softmax_cross_entropy(x, labels, axis)))(logits), got)
    check_grads(lambda x, q: nn.softmax_cross_entropy(x, q, axis), (logits, labels))


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint64, np.int64, bool, list])
@pytest.mark.parametrize("f", [*CURVES, nn.log1mexp, *ALONG], ids=lambda f: f.__name__)
def test_integers_are_taken_as_floats(f: Any, kind: Any) -> None:
    """They neither wrap around nor make floats of few digits; a constant of them in a function does not either."""
    whole = [1, 1, 1] if kind is bool else [1, 3, 100]
    x = whole if kind is list else np.array(whole, kind)
    want = f(np.array(whole, float))
    np.testing.assert_array_equal(f(x), want)
    assert tg.grad(lambda s: s * np.sum(f(x)))(1.0) == np.sum(want)


def test_sigmoid_beside_a_nan() -> None:
    np.testing.assert_array_equal(nn.sigmoid(np.array([-710.0, NAN])), [nn.sigmoid(-710.0), NAN])
    assert nn.sigmoid(-710.0) > 0


def test_cross_entropy_of_shapes_that_broadcast() -> None:
    check_grads(nn.softmax_cross_entropy, (LOGITS, naive_softmax(LOGITS[:1, :1])))
    check_grads(nn.softmax_cross_entropy, (LOGITS[0, 0], naive_softmax(LOGITS)))
    agree(
        nn.softmax_cross_entropy_with_integer_labels(LOGITS[0, 0], 1),
        nn.softmax_cross_entropy(LOGITS[0, 0], np.eye(3)[1]),
    )


def test_cross_entropy_of_large_and_missing_scores() -> None:
    """Neither overflow nor nan, and classes that take no part have the slope 0."""
    z = np.array([1000.0, -1000.0, 0.0])
    assert nn.softmax_cross_entropy_with_integer_labels(z, 0) == 0
    assert nn.softmax_cross_entropy_with_integer_labels(z, 1) == 2000
    np.testing.assert_array_equal(tg.grad(nn.softmax_cross_entropy_with_integer_labels)(z, 1), [1, -1, 0])
    there = np.array([True, False, True])
    for loss, labels in (
        (nn.softmax_cross_entropy_with_integer_labels, 2),
        (nn.softmax_cross_entropy, np.array([0.0, 0.0, 1.0])),
    ):
        value, slope = tg.value_and_grad(lambda z, loss=loss, labels=labels: loss(z, labels, where=there))(X[0])
        np.testing.assert_allclose(value, np.log(np.exp(X[0, 0]) + np.exp(X[0, 2])) - X[0, 2], rtol=1e-12)
        np.testing.assert_allclose(slope[[0, 2]], naive_softmax(X[0, [0, 2]]) - [0, 1], rtol=1e-12)
        assert slope[1] == 0


@pytest.mark.parametrize(
    ("logits", "labels", "axis"),
    [(LOGITS, labels, -1) for labels in (LABELS[0], LABELS * 1.0, LABELS[..., None], 1)]
    + [(np.float64(3.0), 0, -1), (LOGITS, LABELS, 3), (LOGITS[0, 0], 1, -2)],
)
def test_labels_that_do_not_fit(logits: Any, labels: Any, axis: int) -> None:
    with pytest.raises(InputError) as caught:
        nn.softmax_cross_entropy_with_integer_labels(logits, labels, axis)
    three_lines(caught.value)


def test_affine() -> None:
    w, b = RNG.normal(size=(3, 2)), RNG.normal(size=2)
    for x in (Z[..., 0], X[0], Z.reshape(2, 2, 3)):
        for c in (b, 0.5, np.ones(np.shape(x @ w))):
            agree(nn.affine(x, w, c), x @ w + c)
            check_grads(nn.affine, (x, w, c))
    check_rule(nn.affine, X, w, b)
    check_rule(nn.affine, X, w[:, 0], 0.5)
    agree(nn.affine(X.astype(np.float32), w.astype(np.float32), b), X.astype(np.float32) @ w.astype(np.float32) + b)
    agree(nn.affine(X + 1j, w, b), (X + 1j) @ w + b)
    check_grads(nn.affine, (X + 1j * X[::-1], w - 2j, b), order=1)


# values and derivatives


@pytest.mark.parametrize("f", CURVES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("x", [0.5, -0.7, np.float64(0.5), np.float32(-0.5), np.array(0.3), X, Z[:0]], ids=np.shape)
def test_curves(f: Any, x: Any) -> None:
    rtol = 1e-6 if np.asarray(x).dtype == np.float32 else 1e-13
    agree(f(x), NAIVE[f](x), rtol)
    agree(tg.vjp(f, x)[0], f(x), 0)
    assert type(tg.vjp(f, x)[0]) is type(f(x))
    check_grads(f, (x,), order=1 if rtol > 1e-10 else 2)


@pytest.mark.parametrize("x", [0.5, np.float32(2), np.array(0.3), np.abs(X), Z[:0]], ids=np.shape)
def test_log1mexp(x: Any) -> None:
    rtol = 1e-6 if np.asarray(x).dtype == np.float32 else 1e-13
    agree(nn.log1mexp(x), NAIVE[nn.log1mexp](x), rtol)
    assert type(tg.vjp(nn.log1mexp, x)[0]) is type(nn.log1mexp(x))
    check_grads(nn.log1mexp, (x,), order=1 if rtol > 1e-10 else 2)


@pytest.mark.parametrize("f", REAL, ids=lambda f: f.__name__)
def test_complex_numbers_are_refused(f: Any) -> None:
    for call in (f, tg.grad(f, holomorphic=True)):
        with pytest.raises(InputError, match=f"{f.__name__} got complex numbers") as caught:
            call(1.0 + 2.0j)
        three_lines(caught.value)


def test_complex_sigmoid() -> None:
    z = np.array([0.3 + 0.2j, -2000 + 3j, 2000 + 3j, -40 + 0j])
    agree(nn.sigmoid(z), np.array([1 / (1 + np.exp(-z[0])), 0, 1, math.exp(-40)]))
    slope = tg.grad(lambda z: np.sum(nn.sigmoid(z)), holomorphic=True)
    agree(slope(z), np.array([nn.sigmoid(z[0]) * nn.sigmoid(-z[0]), 0, 0, math.exp(-40)]))
    check_grads(nn.sigmoid, (z[:1],), order=3)


@pytest.mark.parametrize("f", ALONG, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("x", "axis"), AXES)
def test_along_axes(f: Any, x: np.ndarray, axis: Any) -> None:
    agree(f(x, axis), NAIVE[f](x, axis))
    agree(f(x, axis=axis), NAIVE[f](x, axis))
    agree(tg.vjp(lambda x: f(x, axis), x)[0], f(x, axis), 0)
    check_grads(lambda x: f(x, axis), (x,), order=1 if x.ndim > 2 else 2)
    single = x.astype(np.float32)
    agree(f(single, axis), NAIVE[f](single, axis), 1e-5)
    check_grads(lambda x: f(x, axis), (single,), order=1)


@pytest.mark.parametrize("f", [*CURVES, nn.log1mexp, *ALONG], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_dtype_stays(f: Any, dtype: Any) -> None:
    x = np.abs(X).astype(dtype)
    first = tg.grad(lambda x: 0.5 * np.sum(f(x) * 3))
    assert f(x).dtype == first(x).dtype == dtype
    assert tg.grad(lambda x: np.sum(first(x) ** 2))(x).dtype == dtype


@pytest.mark.parametrize("f", ALONG, ids=lambda f: f.__name__)
def test_along_axes_of_complex_numbers(f: Any) -> None:
    z = X + 0.5j * X[::-1]
    agree(f(z, -1), NAIVE[f](z, -1))
    check_grads(lambda z: f(z, -1), (z,))


def test_defaults_are_those_of_jax() -> None:
    assert np.shape(nn.logsumexp(X)) == ()
    np.testing.assert_allclose(np.sum(nn.softmax(X), -1), 1)
    np.testing.assert_allclose(np.sum(np.exp(nn.log_softmax(X)), -1), 1)


@pytest.mark.parametrize(("x", "axis"), AXES)
def test_keepdims(x: np.ndarray, axis: Any) -> None:
    agree(nn.logsumexp(x, axis, keepdims=True), naive_logsumexp(x, axis, True))
    agree(tg.vjp(lambda x: nn.logsumexp(x, axis, keepdims=True), x)[0], naive_logsumexp(x, axis, True))
    check_grads(lambda x: nn.logsumexp(x, axis, keepdims=True), (x,), order=1)


def test_weights() -> None:
    b = np.array([[1.0, 2, 0.5], [0.3, 1, 1]])
    agree(nn.logsumexp(X, 1, b), np.log(np.sum(b * np.exp(X), 1)))
    agree(nn.logsumexp(X, b=b[0]), np.log(np.sum(b[0] * np.exp(X))))
    agree(nn.logsumexp(X + 1000, 1, b), np.log(np.sum(b * np.exp(X), 1)) + 1000)
    check_grads(lambda a, b: nn.logsumexp(a, 1, b), (X, b), order=1)
    check_grads(lambda a, b: nn.logsumexp(a, 0, b, keepdims=True), (X[:1], b[:1]))
    assert np.isnan(nn.logsumexp(X[0], b=np.array([-1.0, -1, -1])))


def test_signs() -> None:
    b = np.array([[1.0, -2, 0.5], [0.3, 1, 1]])
    total = np.sum(b * np.exp(X), 1)
    for made in (
        nn.logsumexp(X, 1, b, return_sign=True),
        tg.vjp(lambda a: nn.logsumexp(a, 1, b, return_sign=True), X)[0],
    ):
        agree(made[0], np.log(np.abs(total)))
        agree(made[1], np.sign(total))
    check_grads(lambda a, b: nn.logsumexp(a, 1, b, return_sign=True)[0], (X, b), order=1)
    magnitude, sign = nn.logsumexp(X, return_sign=True)
    agree(magnitude, naive_logsumexp(X))
    assert sign == 1
    magnitude, sign = nn.logsumexp(X, 0, keepdims=True, return_sign=True)
    assert magnitude.shape == sign.shape == (1, 3)


@pytest.mark.parametrize("f", [nn.softmax, nn.log_softmax], ids=lambda f: f.__name__)
def test_where(f: Any) -> None:
    mask = np.array([[True, False, True], [False, True, True]])
    got = f(X, where=mask)
    for row, chosen, x in zip(got, mask, X, strict=True):
        agree(row[chosen], f(x[chosen]))
        assert np.all(row[~chosen] == (0 if f is nn.softmax else -INF))
    weights = np.where(mask, RNG.uniform(0, 1, X.shape), 0)
    pick = lambda x: np.sum(np.where(mask, f(x, where=mask), 0) * weights, -1)
    check_grads(pick, (X,))
    assert np.all(tg.grad(lambda x: np.sum(pick(x)))(X)[~mask] == 0)


def test_plain_numbers_and_lists() -> None:
    assert nn.relu(-2.0) == 0
    assert nn.sigmoid(0.0) == 0.5
    agree(nn.logsumexp([1.0, 2.0]), naive_logsumexp(np.array([1.0, 2])))
    agree(nn.logsumexp((1, 2)), naive_logsumexp(np.array([1.0, 2])))
    agree(nn.logsumexp(3.0), np.float64(3))
    assert tg.grad(nn.logsumexp)(3.0) == 1
    assert tg.grad(lambda x: nn.logsumexp([x, 1.0, x]))(1.0) == pytest.approx(2 / 3)
    assert tg.grad(lambda x: nn.logsumexp(x, ()))(3.0) == 1


# special points: value and two derivatives


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (nn.relu, 0.0, (0, 0, 0)),
        (nn.relu, -0.0, (0, 0, 0)),
        (nn.relu, 2.0, (2, 1, 0)),
        (nn.relu, -2.0, (0, 0, 0)),
        (nn.relu, INF, (INF, 1, 0)),
        (nn.relu, -INF, (0, 0, 0)),
        (lambda x: nn.relu(x) ** 2, 0.0, (0, 0, 0)),
        (lambda x: nn.relu(x * x), 2.0, (4, 4, 2)),
        (nn.sigmoid, 0.0, (0.5, 0.25, 0)),
        (nn.sigmoid, 800.0, (1, 0, 0)),
        (nn.sigmoid, -800.0, (0, 0, 0)),
        (nn.sigmoid, -INF, (0, 0, 0)),
        (nn.sigmoid, INF, (1, 0, 0)),
        (nn.softplus, 0.0, (math.log(2), 0.5, 0.25)),
        (nn.softplus, INF, (INF, 1, 0)),
        (nn.softplus, -INF, (0, 0, 0)),
        (nn.log_sigmoid, 0.0, (-math.log(2), 0.5, -0.25)),
        (nn.log_sigmoid, INF, (0, 0, 0)),
        (nn.log_sigmoid, -INF, (-INF, 1, 0)),
        (nn.logcosh, 0.0, (0, 0, 1)),
        (nn.logcosh, INF, (INF, 1, 0)),
        (nn.logcosh, -INF, (INF, -1, 0)),
        (nn.log1mexp, INF, (0, 0, 0)),
        (nn.sigmoid, -40.0, (math.exp(-40), math.exp(-40), math.exp(-40))),
        (nn.sigmoid, -300.0, (math.exp(-300), math.exp(-300), math.exp(-300))),
        (nn.sigmoid, 2.0, (1 / (1 + math.exp(-2)), 0.1049935854035065, -0.1049935854035065 * math.tanh(1))),
    ],
)
@pytest.mark.parametrize("kind", [float, np.float64, np.array], ids=["float", "float64", "array"])
def test_special_points_of_curves(f: Any, x: float, expected: tuple[float, ...], kind: Any) -> None:
    x = kind(x)
    got = f(x), tg.grad(f)(x), tg.grad(tg.grad(f))(x)
    for value, want in zip(got, expected, strict=True):
        assert float(value) == pytest.approx(want, rel=1e-13, abs=0 if want else 1e-300)


@pytest.mark.parametrize("f", [*CURVES, nn.log1mexp], ids=lambda f: f.__name__)
def test_of_nan(f: Any) -> None:
    assert math.isnan(f(NAN))


def test_log1mexp_at_the_end_of_its_domain() -> None:
    with np.errstate(all="ignore"):
        got = nn.log1mexp(np.array([0.0, -1.0])), tg.grad(nn.log1mexp)(0.0), tg.grad(tg.grad(nn.log1mexp))(0.0)
    np.testing.assert_array_equal(np.hstack(got), [-INF, NAN, INF, -INF])


@pytest.mark.parametrize("large", [1e3, 1e6, 1e300])
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_values(large: float, sign: int) -> None:
    x = np.array([0.0, large, large]) * sign
    p = np.array([0, 0.5, 0.5]) if sign > 0 else np.array([1.0, 0, 0])
    w = np.array([1.0, 2, 4])
    agree(nn.softmax(x), p)
    assert nn.logsumexp(x) == pytest.approx(x.max() + (math.log(2) if sign > 0 else 0), rel=1e-15)
    agree(nn.log_softmax(x), x - x.max() - (math.log(2) if sign > 0 else 0))
    agree(tg.grad(nn.logsumexp)(x), p)
    agree(tg.grad(lambda x: w @ tg.grad(nn.logsumexp)(x))(x), p * (w - w @ p))
    agree(tg.grad(lambda x: w @ nn.softmax(x))(x), p * (w - w @ p))
    agree(tg.grad(lambda x: w @ nn.log_softmax(x))(x), w - 7 * p)
    second = tg.grad(lambda x: w @ tg.grad(lambda x: nn.log_softmax(x)[0])(x))(x)
    agree(second, -p * (w - w @ p))


def test_minus_infinity_takes_no_part() -> None:
    x = np.array([-INF, 1.0, 2.0])
    rest = x[1:]
    p = naive_softmax(rest)
    w = np.array([1.0, 2, 4])
    agree(nn.logsumexp(x), naive_logsumexp(rest))
    agree(nn.softmax(x), np.r_[0, p])
    agree(nn.log_softmax(x), np.r_[-INF, np.log(p)])
    agree(tg.grad(nn.logsumexp)(x), np.r_[0, p])
    agree(tg.grad(lambda x: w @ nn.softmax(x))(x), np.r_[0, p * (w[1:] - w[1:] @ p)])
    agree(tg.grad(lambda x: nn.log_softmax(x)[1])(x), np.r_[0, 1 - p[0], -p[1]])
    hessian = np.diag(p) - np.outer(p, p)
    agree(tg.grad(lambda x: w @ tg.grad(nn.logsumexp)(x))(x), np.r_[0, hessian @ w[1:]])
    rows = np.array([[-INF, 0], [0, 0]])
    agree(tg.grad(lambda x: np.sum(nn.logsumexp(x, 1)))(rows), np.array([[0, 1], [0.5, 0.5]]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_largest_numbers(dtype: Any) -> None:
    """Differences from the largest overflow, and nobody hears of it."""
    most = np.finfo(dtype).max
    x = np.array([[most, -most, 0], [-most, -most, -most], [-INF, most, most]], dtype)
    p = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5]], dtype)
    rtol = 4 * float(np.finfo(dtype).eps)
    agree(nn.logsumexp(x, 1), np.array([most, -most, most]), rtol)
    agree(nn.logsumexp(x, 1, b=np.ones(3, dtype)), np.array([most, -most, most]), rtol)
    agree(nn.softmax(x), p, rtol)
    agree(tg.grad(lambda x: np.sum(nn.logsumexp(x, 1)))(x), p, rtol)
    agree(nn.log_softmax(x[1:]), np.log(p[1:], where=p[1:] > 0, out=np.full((2, 3), -INF, dtype)), rtol)
    for row, p_row in zip(x, p, strict=True):
        hessian = np.diag(p_row) - np.outer(p_row, p_row)
        for one in (tg.jacrev, tg.jacfwd):
            for other in (tg.jacrev, tg.jacfwd):
                agree(one(other(nn.logsumexp))(row), hessian, rtol)
            agree(one(nn.softmax)(row), hessian, rtol)


def test_plus_infinity_takes_all() -> None:
    for x, p in (([INF, 1.0, -INF], [1.0, 0, 0]), ([INF, 0.0, INF], [0.5, 0, 0.5])):
        assert nn.logsumexp(x) == INF
        for way in (tg.jacrev, tg.jacfwd):
            agree(way(nn.logsumexp)(np.array(x)), np.array(p))
            agree(way(tg.grad(nn.logsumexp))(np.array(x)), np.zeros((3, 3)))
    rows = np.array([[INF, 0], [0, 0]])
    agree(tg.grad(lambda x: np.sum(nn.logsumexp(x, 1)))(rows), np.array([[1, 0], [0.5, 0.5]]))


def test_of_nothing_but_minus_infinity() -> None:
    x = np.full(2, -INF)
    assert nn.logsumexp(x) == -INF
    agree(tg.grad(nn.logsumexp)(x), np.zeros(2))
    agree(nn.logsumexp(np.array([[-INF, -INF], [0, 0]]), 1), np.array([-INF, math.log(2)]))


def test_of_nothing() -> None:
    empty = np.zeros((0, 2))
    assert nn.logsumexp(empty) == -INF
    agree(nn.logsumexp(empty, 0), np.full(2, -INF))
    assert tg.grad(nn.logsumexp)(empty).shape == (0, 2)
    assert nn.logsumexp(empty, 1).shape == (0,)
    assert tg.vjp(lambda x: nn.softmax(x, 1), empty)[0].shape == (0, 2)


# in the large


def test_each_is_one_entry() -> None:
    for f in (*CURVES, nn.log1mexp, nn.softmax, nn.log_softmax):
        assert len(tg.trace(f)(np.abs(X))) == 2  # with X itself
    assert len(tg.trace(lambda x: nn.logsumexp(x, -1, keepdims=True))(X)) == 2


def test_cross_entropy_in_parts() -> None:
    labels = np.array([2, 0])
    loss = lambda x: -np.mean(nn.log_softmax(x)[np.arange(2), labels])
    onehot = np.eye(3)[labels]
    agree(tg.grad(loss)(X), (naive_softmax(X) - onehot) / 2)
    check_grads(loss, (X,))


def test_a_network() -> None:
    w, v = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
    check_grads(lambda w, v: nn.logsumexp(nn.relu(X @ w) @ v) + np.sum(nn.sigmoid(X @ w)), (w, v), order=1)


@pytest.mark.parametrize("f", [nn.softmax, nn.log_softmax, nn.logsumexp], ids=lambda f: f.__name__)
def test_wrong_axes_raise(f: Any) -> None:
    for axis in (2, -3, (0, 0)):
        with pytest.raises(ValueError, match="axis"):
            f(X, axis)
        with pytest.raises(ValueError, match="axis"):
            tg.vjp(lambda x, axis=axis: f(x, axis), X)
