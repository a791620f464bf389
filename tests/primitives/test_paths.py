"""The quick paths of a call give what the general one gives: settings, answers and arguments of every kind."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import AssignmentError, PrimitiveError

ONES = np.ones(2)


def scaled_by(take: Callable[[Any], Any], *default: Any) -> Any:
    """x times an array that stands somewhere in a setting."""

    @tg.primitive(nondiff_argnames=("w",))
    def scale(x: Any, w: Any = default[0] if default else None) -> Any:
        return x * take(w)

    @scale.defvjp("x")
    def _(g: Any, _y: Any, _x: Any, w: Any) -> Any:
        return g * take(w)

    return scale


@pytest.mark.parametrize(
    ("wrap", "take"),
    [
        (lambda w: w, lambda w: w),
        (lambda w: (w,), lambda w: w[0]),
        (lambda w: (1, (2.0, w)), lambda w: w[1][1]),
        (lambda w: [w], lambda w: w[0]),
        (lambda w: {"w": w}, lambda w: w["w"]),
    ],
)
@pytest.mark.parametrize("by_default", [False, True])
@pytest.mark.parametrize("n", [1, 2])
def test_settings_that_change(wrap: Any, take: Any, by_default: bool, n: int) -> None:
    w = np.full(n, 2.0)
    scale = scaled_by(take, wrap(w)) if by_default else scaled_by(take)

    def loss(x: Any) -> Any:
        w[:] = 2.0
        y = scale(x) if by_default else scale(x, wrap(w))
        w[:] = 100.0
        return np.sum(y)

    np.testing.assert_array_equal(tg.grad(loss)(ONES), [2.0, 2.0])


@pytest.mark.parametrize(
    ("answer", "what"),
    [(lambda x: np.array([3 * v for v in x], object), "objects"), (lambda x: Fraction(3), "Fraction")],
)
@pytest.mark.parametrize("arguments", [1, 2])
def test_answers_that_are_refused(answer: Any, what: str, arguments: int) -> None:
    body: Any = (lambda x: answer(x)) if arguments == 1 else (lambda x, z: answer(x))
    f = tg.primitive(body)
    f.defvjp(0)(lambda g, *_: 3 * g)
    with pytest.raises(PrimitiveError, match=what) as caught:
        tg.grad(lambda x: float(np.sum(f(*[x, 1.0][:arguments]))) + 0 * np.sum(x))(ONES)
    three_lines(caught.value)


class Metres(float):
    """A float of a class of its own."""


@pytest.mark.parametrize("answer", [lambda x: Metres(3 * x), lambda x: np.float32(3 * x), lambda x: np.array(3 * x)])
def test_answers_that_are_numbers_of_other_kinds(answer: Any) -> None:
    f = tg.primitive(lambda x: answer(x))
    f.defvjp(0)(lambda g, _y, _x: 3 * g)
    assert tg.grad(lambda x: f(x) * 1.0)(2.0) == 3.0


def test_what_no_rule_reads_may_change() -> None:
    def loss(x: Any) -> Any:
        buffer, total = np.zeros(20_000), 0.0
        for k in range(3):
            buffer[:] = k
            total = total + np.sum(np.where(x > 0, x, buffer))
        return total

    np.testing.assert_array_equal(tg.grad(loss)(np.ones(20_000)), np.full(20_000, 3.0))


def test_a_rule_that_comes_after_the_call() -> None:
    @tg.primitive
    def product(x: Any, z: Any) -> Any:
        return x * z

    product.defjvp(lambda ts, _y, x, z: ts[0] * z + x * ts[1])
    _, pullback = tg.vjp(lambda x, z: product(x, z), 2.0, 3.0)
    product.defvjp(0)(lambda g, _y, _x, z: g * z)
    assert pullback(1.0) == (3.0, 2.0)


def test_a_rule_for_all_whose_first_carries_nothing() -> None:
    @tg.primitive(nondiff_argnames="n")
    def times(n: int, x: Any) -> Any:
        return n * x

    times.defvjp(lambda g, _y, n, _x: (None, g * n))
    assert tg.grad(lambda x: times(2, x))(3.0) == 2.0
    assert tg.jvp(lambda x: times(2, x) ** 2, (3.0,), (1.0,)) == (36.0, 24.0)
    assert tg.trace(lambda x: times(2, x))(3.0).backward() == (2.0,)


def test_parts_of_arguments_that_are_assigned_to() -> None:
    """A body may return a part of its argument; then it is not known what an assignment to either changes."""

    @tg.primitive
    def rest(x: Any) -> Any:
        return x[1:]

    @tg.primitive
    def turned(x: Any) -> Any:
        return x, x[::-1], 2 * x

    rest.defvjp(0)(lambda g, _y, _x: np.concatenate([np.zeros(1), g]))
    turned.defvjp(lambda g, _y, _x: g[0] + g[1][::-1] + 2 * g[2])
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(rest(x * 1.0) ** 2))(x), [0.0, 4.0, 6.0])
    for part in (rest, lambda b: turned(b)[0], lambda b: turned(b)[1]):
        for whole in (False, True):

            def f(x: Any, part: Any = part, whole: bool = whole) -> Any:
                b = x * 1.0
                y = part(b)
                (b if whole else y)[0] = 10.0
                return np.sum(b) + np.sum(y)

            with pytest.raises(AssignmentError) as caught:
                tg.grad(f)(x)
            three_lines(caught.value)
    y = tg.jvp(rest, (x,), (x,))[0]
    y[0] = 7.0  # what comes out is the caller's
    assert x[1] == 2.0


def test_types_of_arguments_in_turn() -> None:
    """A path belongs to the types of one call, not to the primitive."""

    @tg.primitive
    def f(x: Any, z: Any = 2.0, w: Any = 1.0) -> Any:
        return x * z + w

    f.defvjp(lambda g, _y, x, z, w: (tg.unbroadcast(g * z, x), tg.unbroadcast(g * x, z), tg.unbroadcast(g, w)))
    a = np.array([1.0, 2.0])
    for _ in range(2):  # a second time by paths that are known
        assert f(3.0, 4.0) == 13.0
        assert tg.grad(lambda x: f(x))(3.0) == 2.0
        assert tg.grad(lambda x: f(2.0, w=x, z=5.0))(3.0) == 1.0
        np.testing.assert_array_equal(tg.grad(lambda x: np.sum(f(x, a)))(a), a)
        np.testing.assert_array_equal(tg.grad(lambda x: np.sum(f(1.5, x)))(a), [1.5, 1.5])
        np.testing.assert_array_equal(tg.grad(lambda x: np.sum(f(x, x, x)))(a), 2 * a + 1)
        np.testing.assert_array_equal(tg.grad(lambda x: np.sum(f(x, np.float32(2), np.int64(1))))(a), [2.0, 2.0])
        assert tg.grad(lambda x: tg.grad(lambda z: f(x, z * z, x))(3.0))(2.0) == 6.0
        assert tg.jvp(lambda x: tg.grad(lambda z: f(x, z * z, x))(3.0), (2.0,), (1.0,)) == (12.0, 6.0)


def test_keywords_as_numpy_takes_them() -> None:
    assert tg.grad(lambda x: np.sum(np.stack(arrays=[x, 2 * x])))(2.0) == 3.0
    np.testing.assert_array_equal(tg.numpy.stack(arrays=[1, 2.0]), [1.0, 2.0])
    np.testing.assert_array_equal(tg.grad(lambda x: np.multiply.reduce(array=x))(np.array([2.0, 3.0])), [3.0, 2.0])
    both = np.ones((2, 3))
    missing = np._NoValue  # type: ignore[attr-defined]
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(np.sum(a=x, axis=0, keepdims=missing)))(both), both)
    assert tg.trace(lambda x: np.sum(np.concatenate([x, 1.0], axis=None)))(2.0).backward() == (1.0,)


@pytest.mark.parametrize("operate", [np.add, np.multiply, np.divide, np.power, np.hypot, np.maximum, np.matmul])
def test_arguments_of_two_transforms(operate: Any) -> None:
    """A value of an inner transform meets one of an outer, in either place, and both ways round."""
    a, b = np.array([[0.5, 1.5], [2.5, 0.75]]), np.array([[1.25, 2.0], [0.25, 3.0]])

    def inner(x: Any, swapped: bool) -> Any:
        def f(z: Any) -> Any:
            y = operate(z, x) if swapped else operate(x, z)
            return np.sum(operate(y, y + 1.0) * y)

        return tg.grad(f)(b)

    for swapped in (False, True):
        tg.testing.check_grads(lambda x, swapped=swapped: inner(x, swapped), (a,), order=1)
        _, forth = tg.jvp(lambda x, swapped=swapped: inner(x, swapped), (a,), (b,))
        back = tg.vjp(lambda x, swapped=swapped: inner(x, swapped), a)[1](b)[0]
        np.testing.assert_allclose(np.sum(forth * b), np.sum(back * b))
