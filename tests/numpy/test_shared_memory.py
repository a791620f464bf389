"""What shares memory and what does not, new arrays as constants, strides, holes, closures: in place as NumPy does it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.testing import check_grads

X = np.array([0.3, -1.2, 0.7, 2.0, -0.4, 1.3])
M = X.reshape(2, 3)
ROOTS = np.array([0.0, 4.0, 0.0, 1.0, 9.0, 0.0])  # numbers whose roots have infinite slopes among them


def _check(f: Callable[[Any], Any], x: Any, order: int = 2) -> None:
    """Value and derivatives are those of the same function of plain arrays, and its argument stays as it is."""
    before = x.tobytes()
    want = f(x.copy("K"))
    np.testing.assert_allclose(tg.vjp(f, x)[0], want, rtol=1e-14)
    np.testing.assert_allclose(tg.jvp(f, (x,), (np.ones_like(x),))[0], want, rtol=1e-14)
    check_grads(f, (x,), order=order)
    assert x.tobytes() == before


def _all(*parts: Any) -> Any:
    return np.concatenate([np.ravel(part) for part in parts])


VIEWS: list[Callable[[Any, Any], Any]] = [
    lambda np, y: y[...],
    lambda np, y: y[2, ...],
    lambda np, y: np.atleast_3d(y),
    lambda np, y: np.expand_dims(y, (0, 2)),
    lambda np, y: y.reshape(2, 3).T.ravel("K"),
    lambda np, y: y.reshape((2, 3), order="F"),
    lambda np, y: np.array_split(y, 4)[0],
    lambda np, y: np.rot90(y.reshape(2, 3)),
    lambda np, y: np.rollaxis(y.reshape(2, 3), 1),
    lambda np, y: np.moveaxis(y.reshape(2, 3), 0, 1),
    lambda np, y: y.reshape(3, 2).swapaxes(0, 1)[::-1].T,
    lambda np, y: list(y.reshape(2, 3))[1],
    lambda np, y: np.diff(y, n=0),
]
COPIES: list[Callable[[Any, Any], Any]] = [
    lambda np, y: y[2],
    lambda np, y: y[[0, 1]],
    lambda np, y: y[np.array([True, False] * 3)],
    lambda np, y: +y,
    lambda np, y: np.conj(y),
    lambda np, y: y.flat.copy(),
    lambda np, y: np.sum(y, axis=()),
]


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("door", [np, tnp])
def test_what_shares_memory(door: Any, blank: bool) -> None:
    """A write to an array is seen through all of its views, one to a view in the array, and none through a copy."""
    for make in VIEWS if blank else VIEWS + COPIES:  # copies of new arrays are plain

        def f(x: Any, make: Any = make) -> Any:
            y = np.zeros_like(x) if blank else x.copy()
            v = make(door if tg.is_tracer(x) else np, y)
            y[:3] = 7.0
            y[2] = x[0] * 3.0
            if np.ndim(v):
                v[...] = v + x[1] * 2.0
            return _all(y, v)

        _check(f, X, order=1)


INDICES: list[Any] = [
    *(True, False, np.True_, None, ..., (), 0, -1, np.uint8(3), slice(4, 1, -2), slice(0, 0), [0, 2], [], [True] * 6),
    *(np.array(2), np.array([], int), np.array([[0, 1], [1, 2]]), [[0, 1], [2, 3]], (..., None), (None, 0), ((0, 1),)),
    *((slice(1, 3), None), ([0, 1], None), (True, slice(1, 3)), (None, [1, 2]), range(3), (slice(None), True)),
    *(np.array([-1, 0, -1]), (0, ...), (np.array([True, False] * 3),)),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_every_index(index: Any) -> None:
    def f(x: Any) -> Any:
        y = x * 1.5
        shape = np.shape(y[index])
        y[index] = x[0] * np.sin(np.arange(np.prod(shape)).reshape(shape)) + x[1] ** 2
        y[index] *= x[2]
        y[index] = y[index] - 0.5
        return y

    _check(f, X)


def _moved(x: Any, by: Any) -> Any:
    """With the layout that it has."""
    x += by
    return x


@pytest.mark.parametrize(
    "layout",
    [
        lambda: np.asfortranarray(M),
        lambda: M.copy()[:, ::-1],
        lambda: np.repeat(np.repeat(M, 2, 0), 2, 1)[::2, ::2],
    ],
)
def test_layouts(layout: Callable[[], Any]) -> None:
    def f(x: Any) -> Any:
        z = x.T
        kept = np.sin(x)
        z[1] *= x[0, 1]
        x.reshape(-1)[1:3] = 9.0
        z.ravel()[2] = x[1, 1] ** 2
        z.reshape(3, 2)[1] += kept[0, :2]
        x[[0, 1, 0], [2, 0, 2]] = kept[1]
        np.flip(x, 1)[0, :2] -= z[0]
        return _all(x, z, kept)

    x = layout()
    before = x.copy()
    for y in (tg.vjp(f, x)[0], tg.jvp(f, (x,), (x,))[0]):
        np.testing.assert_allclose(y, f(layout()), rtol=1e-14)
    np.testing.assert_array_equal(x, before)
    v, w = np.cos(x), np.sin(np.arange(18.0))
    want = (f(_moved(layout(), 1e-6 * v)) - f(_moved(layout(), -1e-6 * v))) / 2e-6
    np.testing.assert_allclose(tg.jvp(f, (x,), (v,))[1], want, atol=1e-7)
    np.testing.assert_allclose(np.sum(tg.vjp(f, x)[1](w)[0] * v), w @ want, atol=1e-7)


MIXED: list[Callable[[Any, Any], Any]] = [
    lambda x, b: x * b + b[2] * x,
    lambda x, b: _all(np.where(b > 0.3, x, b), np.concatenate([x, b]), np.stack([b, x])),
    lambda x, b: np.einsum("i,i,i->i", x, b, x) + np.dot(b, x) * np.outer(b, x)[1],
    lambda x, b: b.reshape(2, 3).T @ x.reshape(2, 3),
    lambda x, b: np.maximum(x, b - 0.5) + np.hypot(x, b + 1) + tg.nn.logsumexp(x, b=b + 1) + tg.nn.softmax(b) * x,
    lambda x, b: np.linalg.norm(b[1:]) * x + np.mean(b) * x[::-1] + np.sort(b) * x,
    lambda x, b: tnp.index_set(b, 0, x[0] * 2) + tnp.index_set(x, [0, 1], b[:2]),
    lambda x, b: sum(v * x for v in b) + (x * 2 if b[1] > 2.0 else x) + x * np.argmax(b),
    lambda x, b: tg.grad(lambda z: np.sum(z * z * b * x))(x) + tg.grad(lambda z: np.sum(z * z * x))(b),
    lambda x, b: tg.jvp(lambda z: z * z * x, (b,), (b,))[1] + tg.hvp(lambda z: np.sum(z**3 * x))(b, b),
    lambda x, b: tg.linearize(lambda z: z * x, x)[1](b) + tg.vjp(lambda z: z * z, x)[1](b)[0],
    lambda x, b: tg.vjp(lambda z: np.ones_like(z), x)[0] * x + tg.vjp(lambda z: b, x)[0] * x,
]


@pytest.mark.parametrize("function", MIXED)
def test_new_arrays_are_constants_until_they_are_written_to(function: Callable[[Any, Any], Any]) -> None:
    """What was computed with one keeps the numbers that were in it then."""

    def new(x: Any) -> Any:
        b = np.ones_like(x)
        b[4] = 0.25
        return b

    def half(x: Any) -> Any:
        b = np.zeros_like(x)
        b[:3] = x[3:] ** 2
        return b

    for make in (new, half, lambda x: np.full_like(x, 0.5)[::-1]):

        def f(x: Any, make: Any = make) -> Any:
            b = make(x)
            y = function(x, b)
            b[...] = 7.0
            b[1] = x[2]
            return _all(y, b)

        _check(f, X)


def _by_a_view(y: Any, _x: Any) -> None:
    v = y[1:]
    y.reshape(2, 3)[0, 0], v[1] = 1.0, 2.0
    np.flip(y)[0] = 3.0


@pytest.mark.parametrize(
    "write",
    [
        _by_a_view,
        lambda y, _x: y.reshape(2, 3).T.__setitem__(np.s_[:, :], np.maximum(1.0, y.reshape(2, 3).T)),
        lambda y, _x: y.__setitem__(tg.stop_gradient(y) == 0, 0.5),
        lambda y, x: y.__setitem__([0, 2, 5, 0], x[[1, 3, 4, 4]]),
    ],
)
def test_holes(write: Callable[[Any, Any], None]) -> None:
    """An infinite slope does not count where a write, through whatever view, has taken the place of the number."""

    def f(x: Any) -> Any:
        y = np.sqrt(x)
        write(y, x)
        return np.sum(y**3)

    ones = np.ones(6)
    with np.errstate(all="raise"):
        gradient, product = tg.grad(f)(ROOTS), tg.hvp(f)(ROOTS, ones)
        assert np.isfinite([gradient, product]).all()
        np.testing.assert_allclose(tg.jvp(f, (ROOTS,), (ones,))[1], gradient.sum())
        np.testing.assert_allclose(tg.hessian(f)(ROOTS).sum(1), product)
        np.testing.assert_allclose(tg.jvp(tg.grad(f), (ROOTS,), (ones,))[1], product)
        np.testing.assert_allclose(tg.grad(lambda x: tg.jvp(f, (x,), (ones,))[1])(ROOTS), product)


def test_values_and_closures_change_between_recording_and_reading() -> None:
    def f(x: Any) -> Any:
        y, g = 2.0 * x, np.sin(x)
        value, pullback = tg.vjp(lambda z: z * y[::-1], x)
        made, f_jvp = tg.linearize(lambda z: z * y, x)
        value[0], made[1] = 7.0, 8.0
        y *= 3.0
        y[2] = 9.0
        first = pullback(g)[0]
        g[:3] = 5.0
        return _all(value, made, first, pullback(g)[0], f_jvp(x), y)

    def plain(x: Any) -> Any:
        y, g = 2.0 * x, np.sin(x)
        value, made, z, h = x * y[::-1], x * y, 3.0 * y, g.copy()
        value[0], made[1], z[2], h[:3] = 7.0, 8.0, 9.0, 5.0
        return _all(value, made, g * y[::-1], h * y[::-1], x * y, z)

    np.testing.assert_allclose(f(X), plain(X), rtol=1e-14)
    _check(f, X)


def test_threads_that_write_to_their_own_elements() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x)

        def work(k: int) -> None:
            for _ in range(20):
                y[k] = x[k] * k
                y[k] += 1.0

        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return np.sum(y)

    np.testing.assert_array_equal(tg.grad(f)(X), np.arange(6.0))


def test_views_by_the_dozen() -> None:
    """Dead and live ones, as many as there may be: each sees every change."""

    def f(x: Any, dead: int, live: int) -> Any:
        y = x * 1.0
        for _ in range(dead):
            w = y[:1]
            w *= 1.0
        views = [y[:2] for _ in range(live)]
        y[0] = x[1] ** 2
        return sum(np.sum(v) for v in views)

    x = np.array([1.0, 2.0, 3.0])
    for dead in (0, 5, 31, 33, 40, 63, 94):
        for live in (1, 10, 20, 32, 50):
            want = live * np.array([0.0, 5.0, 0.0])
            np.testing.assert_array_equal(tg.grad(lambda x, n=dead, k=live: f(x, n, k))(x), want)
            np.testing.assert_array_equal(tg.jacfwd(lambda x, n=dead, k=live: f(x, n, k))(x), want)


def test_a_matrix_by_rows_and_columns() -> None:
    def f(x: Any) -> Any:
        n, total = 40, 0.0
        m = np.zeros_like(x, shape=(n, 4))
        for i in range(n):
            row = m[i]
            m[i] = x
            total = total + row[0]
            column = m[:, 1]
            m[i, 1] = 3 * x[2]
            total = total + column[i]
        return total

    x = np.array([1.0, 10.0, 100.0, 1000.0])
    np.testing.assert_array_equal(tg.grad(f)(x), [40, 0, 120, 0])
    assert tg.jvp(f, (x,), (x,)) == (f(x), f(x))  # it is linear


def test_overlapping_slices_of_other_strides() -> None:
    """NumPy 2.4 itself mixes up what it reads and what it writes here."""

    def f(x: Any) -> Any:
        y = x * 1.0
        y[1] = y[:, 2]
        return y

    x = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(tg.vjp(f, x)[0][1], [2, 6, 10, 14])
    np.testing.assert_array_equal(tg.jvp(f, (x,), (x,))[1][1], [2, 6, 10, 14])


def test_what_an_inner_transform_gives_is_no_other_name_of_it() -> None:
    """Two gradients that are one cotangent, a tangent that is the caller's: what is done in place to one stays there."""

    def gradients(x: Any) -> Any:
        w, b = x[:3] * 1.0, x[3:] * 1.0
        gw, gb = tg.grad(lambda w, b: np.sum((w + b) * x[:3]), (0, 1))(w, b)
        gw *= 0.5
        return np.sum(gb * x[:3])

    def cotangent(x: Any) -> Any:
        g = x * 1.0
        (r,) = tg.vjp(lambda z: z.T, x)[1](g)
        r[0] = 0.0
        return np.sum(g * x)

    def tangent(x: Any) -> Any:
        t = x * 1.0
        for r in (tg.jvp(lambda z: z, (x,), (t,))[1], tg.linearize(lambda z: z, x)[1](t)):
            r[0] = 0.0
        return np.sum(t * x)

    np.testing.assert_allclose(tg.grad(gradients)(X), [0.6, -2.4, 1.4, 0, 0, 0])
    for f in (cotangent, tangent):
        np.testing.assert_allclose(tg.grad(f)(X), 2 * X)


def test_a_tangent_that_two_values_have() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        y[0] = x[1]
        kept = y.copy()
        w = tg.jvp(lambda z: z, (y,), (np.ones(6),))[0]
        del y
        w[2] = 0.0
        return kept

    np.testing.assert_array_equal(tg.jvp(f, (X,), (np.ones(6),))[1], np.ones(6))


def test_what_is_made_of_new_arrays_can_be_written_to() -> None:
    for make in (
        lambda x: np.zeros_like(x) + 1.0,
        lambda x: np.ones_like(x).copy() * 1.0,
        lambda x: np.cos(np.zeros_like(x)),
        lambda x: np.ones(6, like=x),
        lambda x: np.full_like(x, 1.0)[::-1],
        lambda x: np.stack([np.ones_like(x), np.zeros_like(x)])[0],
    ):

        def f(x: Any, make: Any = make) -> Any:
            y = make(x)
            y[0] = x[0]
            return np.sum(y * x)

        np.testing.assert_allclose(tg.grad(f)(X), [0.6, 1, 1, 1, 1, 1])


def test_a_new_array_is_a_constant_to_everything_else() -> None:
    def f(x: Any) -> Any:
        ones = np.ones_like(x)
        plain = np.zeros(6)
        plain[:] = ones
        np.copyto(plain, ones)
        assert float(ones[0]) == 1.0
        assert np.asarray(ones).tolist() == [1.0] * 6
        y = x * ones
        view = ones[1:]
        ones[0] = 3.0  # what it was multiplied with stays what it was
        return np.sum(y * plain) + np.sum(view) + tg.checkpoint(lambda x, b: np.sum(x * b))(x, ones)

    np.testing.assert_allclose(tg.grad(f)(X), [4, 2, 2, 2, 2, 2])


def test_flat_gives_copies() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        v = y.flat[1:3]
        y[1] = 9.0
        return np.sum(v)

    np.testing.assert_array_equal(tg.grad(f)(X), [0, 1, 1, 0, 0, 0])


def test_slices_that_are_made_of_arrays() -> None:
    i = np.array(0)

    def f(x: Any) -> Any:
        y = x * 1.0
        i[...] = 0
        y[i : i + 2] = x[i + 2 : i + 4] * 2.0
        i[...] = 3
        return np.sum(y * x)

    check_grads(f, (X,))


def test_a_view_that_has_changed_goes_into_and_comes_out_of_a_checkpoint() -> None:
    def inside(a: Any) -> Any:
        y = a * 1.0
        v = y[:1]
        y[0] = a[0] ** 2
        return v

    def outside(x: Any) -> Any:
        y = x * 1.0
        v = y[:1]
        y[0] = x[0] ** 2
        return tg.checkpoint(np.sin)(v) + tg.checkpoint(lambda d: d["v"] * 2.0)({"v": v})

    for f in (lambda x: np.sum(tg.checkpoint(inside)(x)), lambda x: np.sum(outside(x))):
        check_grads(f, (X,), order=2)


def test_a_rule_that_fills_an_empty_array() -> None:
    @tg.primitive
    def square(a: Any) -> Any:
        return a * a

    @square.defvjp(0)
    def _(g: Any, _y: Any, a: Any) -> Any:
        made = np.empty_like(g)
        for k in range(len(a)):
            made[k] = 2 * a[k] * g[k]
        return made

    for _ in range(20):
        junk = [np.full(6, np.pi) for _ in range(5)]
        del junk
        np.testing.assert_allclose(tg.jvp(square, (X,), (X,))[1], 2 * X * X)
