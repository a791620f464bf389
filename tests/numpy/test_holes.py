"""Holes: what a selection leaves out gives neither nan nor a wrong zero, at every order and in both modes.

Each program is singular in what it leaves out. The truth is the same written by hand with the selected elements alone,
where it is analytic: its derivatives come from its values on a small circle in the complex plane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad import nn

Function = Callable[[Any], Any]


def derivatives(f: Function, x: Any, v: Any, order: int = 3) -> list[float]:
    """Those of f(x + t v) by t at 0, by Cauchy's formula; the value first."""
    n, radius = 32, 0.1
    nodes = radius * np.exp(2j * np.pi * np.arange(n) / n)
    parts = np.fft.fft([f(x + t * v) for t in nodes]) / n
    return [math.factorial(k) * parts[k].real / radius**k for k in range(order + 1)]


def back(f: Function) -> Function:
    return tg.grad(f)


def along(f: Function, v: Any) -> Function:
    return lambda t: tg.jvp(f, (t,), (v,))[1]


def forth(f: Function) -> Function:
    return along(f, 1.0)


STEPS = {"back": back, "forth": forth}
ORDERS = [[a] for a in STEPS] + [[a, b] for a in STEPS for b in STEPS] + [["back"] * 3, ["forth"] * 3]
ORDERS += [["forth", "back", "forth"], ["back", "forth", "back"], ["forth", "forth", "back"], ["back", "back", "forth"]]


def check(f: Function, truth: Function, x: Any, rtol: float = 1e-9, orders: Any = None) -> None:
    """All derivatives along a line through x, by every mixture of modes, and all of them by the array."""
    v = np.random.default_rng(0).uniform(0.5, 1.5, np.shape(x)) if np.ndim(x) else 1.0
    wanted = derivatives(truth, np.asarray(x, complex), v)
    v = np.asarray(v, np.asarray(x).dtype) if np.ndim(x) else type(x)(v)
    assert f(x) == pytest.approx(wanted[0], rel=rtol, abs=rtol)
    for ways in orders or ORDERS:
        line: Function = lambda t: f(x + t * v)
        for way in reversed(ways):
            line = STEPS[way](line)
        assert line(0.0) == pytest.approx(wanted[len(ways)], rel=rtol, abs=rtol * 10), ways
    gradient, (h, hv) = tg.grad(f), (tg.hessian(f)(x), tg.hvp(f)(x, v))
    assert np.sum(gradient(x) * v) == pytest.approx(wanted[1], rel=rtol, abs=rtol)
    assert np.sum(tg.jacfwd(f)(x) * v) == pytest.approx(wanted[1], rel=rtol, abs=rtol)
    n = np.ndim(x)
    np.testing.assert_allclose(np.sum(h * v, axis=tuple(range(n, 2 * n))), hv, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(tg.jacrev(gradient)(x), h, rtol=rtol, atol=rtol)
    assert np.sum(hv * v) == pytest.approx(wanted[2], rel=rtol, abs=10 * rtol)


# users' primitives: square roots by every kind of rule


@tg.primitive(elementwise=True)
def root_back(x: Any) -> Any:
    return np.sqrt(x)


@tg.primitive(elementwise=True)
def root_forth(x: Any) -> Any:
    return np.sqrt(x)


@tg.primitive(elementwise=True)
def ratio(x: Any, z: Any) -> Any:
    return x / z


@tg.primitive
def sine(x: Any) -> Any:
    return np.sin(x)


@tg.primitive
def cosine(x: Any) -> Any:
    return np.cos(x)


@tg.primitive
def product(x: Any, z: Any) -> Any:
    return x * z


root_back.defvjp("x")(lambda g, y, _x: g / (2 * y))
root_forth.defjvp("x")(lambda t, y, _x: t / (2 * y))
ratio.defvjp("x")(lambda g, _y, _x, z: g / z)
ratio.defvjp("z")(lambda g, y, _x, z: -g * y / z)
sine.defvjp("x")(lambda g, _y, x: g * np.cos(x))
cosine.defjvp("x")(lambda t, _y, x: -t * np.sin(x))
product.defvjp(lambda g, _y, x, z: (g * z, g * x))

# of numbers x >= 0, here 0, 2, 0 and 0.5: the functions of a door and x, and what they select

X = np.array([0.0, 2.0, 0.0, 0.5])
MASK = np.array([0.0, 1.0, 0.0, 2.0])
A = np.array([[1.0, -2.0, 0.5, 3.0], [0.5, 1.0, 2.0, -1.0]])
COLUMNS = np.array([[True, False, True]])

PROGRAMS: dict[str, tuple[Callable[[Any, Any], Any], Function]] = {
    "where": (
        lambda np, x: np.sum(np.sin(np.where(x > 0, np.sqrt(x), 0))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "where below": (
        lambda np, x: np.sum(np.sin(np.sqrt(np.where(x > 1, x, 0)))),
        lambda x: np.sin(np.sqrt(x[1])),
    ),
    "where, both": (
        lambda np, x: np.sum(np.sin(np.where(x > 0, np.sqrt(x), x + x * x))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))) + np.sum(np.sin(x[::2] + x[::2] ** 2)),
    ),
    "where, broadcast": (
        lambda np, x: np.sum(np.sin(np.where((x > 0)[:, None] & COLUMNS, np.sqrt(x)[:, None], x[:, None]))),
        lambda x: 2 * np.sum(np.sin(np.sqrt(x[1::2]))) + np.sum(np.sin(x)) + 2 * np.sum(np.sin(x[::2])),
    ),
    "select": (
        lambda np, x: np.sum(np.sin(np.select([x > 1, x > 0], [np.sqrt(x), x**1.5], x * x))),
        lambda x: np.sin(np.sqrt(x[1])) + np.sin(x[3] ** 1.5) + np.sum(np.sin(x[::2] ** 2)),
    ),
    "maximum": (
        lambda np, x: np.sum(np.sin(np.maximum(np.sqrt(x), 1.0))),
        lambda x: np.sin(np.sqrt(x[1])) + 3 * np.sin(1),
    ),
    "maximum below": (
        lambda np, x: np.sum(np.sin(np.sqrt(np.maximum(x - 1, 0.0)))),
        lambda x: np.sin(np.sqrt(x[1] - 1)),
    ),
    "minimum": (
        lambda np, x: np.sum(np.sin(np.minimum(-np.sqrt(x), -0.1))),
        lambda x: -np.sum(np.sin(np.sqrt(x[1::2]))) - 2 * np.sin(0.1),
    ),
    "clip": (
        lambda np, x: np.sum(np.sin(np.clip(np.sqrt(x), 0.5, 1.0))),
        lambda x: np.sin(np.sqrt(x[3])) + 2 * np.sin(0.5) + np.sin(1),
    ),
    "relu": (
        lambda np, x: np.sum(np.sin(np.sqrt(nn.relu(x - 1)))),
        lambda x: np.sin(np.sqrt(x[1] - 1)),
    ),
    "max": (lambda np, x: np.sin(np.max(np.sqrt(x))), lambda x: np.sin(np.sqrt(x[1]))),
    "min": (
        lambda np, x: np.sin(np.sum(np.min(np.stack([-np.sqrt(x), 0 * x - 1.0]), axis=0))),
        lambda x: np.sin(-np.sqrt(x[1]) - 3),
    ),
    "mask": (
        lambda np, x: np.sum(np.sin(MASK * np.sqrt(x))),
        lambda x: np.sin(np.sqrt(x[1])) + np.sin(2 * np.sqrt(x[3])),
    ),
    "mask of booleans": (
        lambda np, x: np.sum(np.sin(np.sqrt(x) * (MASK > 0))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "mask, broadcast": (
        lambda np, x: np.sum(np.sin(MASK[:, None] * COLUMNS * np.sqrt(x)[:, None])),
        lambda x: 2 * np.sin(np.sqrt(x[1])) + 2 * np.sin(2 * np.sqrt(x[3])),
    ),
    "times 0.0": (lambda np, x: np.sum(0.0 * np.sqrt(x) + np.sin(x)), lambda x: np.sum(np.sin(x))),
    "slice": (lambda np, x: np.sum(np.sin(np.sqrt(x)[1::2])), lambda x: np.sum(np.sin(np.sqrt(x[1::2])))),
    "pick": (lambda np, x: np.sin(np.sqrt(x)[3]) * x[1], lambda x: np.sin(np.sqrt(x[3])) * x[1]),
    "picks": (
        lambda np, x: np.sum(np.sin(np.sqrt(x)[[1, 3, 1]])),
        lambda x: 2 * np.sin(np.sqrt(x[1])) + np.sin(np.sqrt(x[3])),
    ),
    "picks one by one": (
        lambda np, x: (lambda r: np.sin(r[1]) * np.sin(r[3]) + r[1] * r[1])(np.sqrt(x)),
        lambda x: np.sin(np.sqrt(x[1])) * np.sin(np.sqrt(x[3])) + x[1],
    ),
    "boolean picks": (lambda np, x: np.sum(np.sin(np.sqrt(x)[x > 0])), lambda x: np.sum(np.sin(np.sqrt(x[1::2])))),
    "take": (lambda np, x: np.sum(np.sin(np.take(np.sqrt(x), [3, 1]))), lambda x: np.sum(np.sin(np.sqrt(x[1::2])))),
    "compress": (
        lambda np, x: np.sum(np.sin(np.compress(x > 0, np.sqrt(x)))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "extract": (lambda np, x: np.sin(np.extract(x > 1, np.sqrt(x))[0]), lambda x: np.sin(np.sqrt(x[1]))),
    "delete": (
        lambda np, x: np.sum(np.sin(np.delete(np.sqrt(x), [0, 2]))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "sort": (lambda np, x: np.sum(np.sin(np.sort(np.sqrt(x))[2:])), lambda x: np.sum(np.sin(np.sqrt(x[1::2])))),
    "split": (lambda np, x: np.sum(np.sin(np.split(np.sqrt(x), [3])[1])), lambda x: np.sin(np.sqrt(x[3]))),
    "diag": (
        lambda np, x: np.sum(np.sin(np.diag(np.sqrt(np.reshape(x[::-1], (2, 2)))))[:1]),
        lambda x: np.sin(np.sqrt(x[3])),
    ),
    "tril": (
        lambda np, x: (
            np.sum(np.sin(np.tril(np.sqrt(np.stack([x[1:3], x[[3, 1]]])))))
            + np.sum(np.triu(np.sqrt(np.stack([x[1:3], x[:2]])), 1)[:, :1])
        ),
        lambda x: 2 * np.sin(np.sqrt(x[1])) + np.sin(np.sqrt(x[3])),
    ),
    "concatenate": (
        lambda np, x: np.sum(np.sin(np.concatenate([np.sqrt(x)[1:2], x, np.where(x > 1, np.sqrt(x), 1.0)]))),
        lambda x: 2 * np.sin(np.sqrt(x[1])) + np.sum(np.sin(x)) + 3 * np.sin(1),
    ),
    "stack": (
        lambda np, x: np.sum(np.sin(np.stack([x, np.where(x > 0, np.sqrt(x), 0)]).T[1::2])),
        lambda x: np.sum(np.sin(x[1::2])) + np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "mean, reshaped": (
        lambda np, x: np.sin(np.mean(np.reshape(np.where(x > 0, np.sqrt(x), 0), (2, 2)) * x[:2])),
        lambda x: np.sin(x[1] * (np.sqrt(x[1]) + np.sqrt(x[3])) / 4),
    ),
    "matmul": (
        lambda np, x: np.sum(np.sin(np.matmul(A, np.where(x > 0, np.sqrt(x), x)))),
        lambda x: np.sum(np.sin(A[:, 1::2] @ np.sqrt(x[1::2]) + A[:, ::2] @ x[::2])),
    ),
    "norm": (
        lambda np, x: np.linalg.norm(np.where(x > 0, np.sqrt(x), 1.0 + x)),
        lambda x: np.sqrt(np.sum(x[1::2]) + np.sum((1 + x[::2]) ** 2)),
    ),
    "norm of nothing": (
        lambda np, x: np.sum(np.where(x > 0, np.linalg.norm(np.stack([x, 2 * x]), axis=0), x)),
        lambda x: np.sqrt(5) * np.sum(x[1::2]) + np.sum(x[::2]),
    ),
    "std of nothing": (
        lambda np, x: np.sum(np.where(x > 0, np.std(np.stack([x, 3 * x, 5 * x]), axis=0), np.sin(x))),
        lambda x: np.sqrt(8 / 3) * np.sum(x[1::2]) + np.sum(np.sin(x[::2])),
    ),
    "hypot of nothing": (
        lambda np, x: np.sum(np.where(x > 0, np.hypot(x, x * x), x)),
        lambda x: np.sum(np.sqrt(x[1::2] ** 2 + x[1::2] ** 4)) + np.sum(x[::2]),
    ),
    "abs of nothing": (
        lambda np, x: np.sum(np.where(x > 0, np.abs(x) ** 3, x * x)),
        lambda x: np.sum(x[1::2] ** 3) + np.sum(x[::2] ** 2),
    ),
    "prod": (
        lambda np, x: np.prod(np.where(x > 0, np.sqrt(x), 1.0)) * np.cumprod(np.where(x > 1, np.sqrt(x), 1.0))[2],
        lambda x: x[1] * np.sqrt(x[3]),
    ),
    "nested": (
        lambda np, x: np.sum(np.sin(np.where(x > 0, np.sqrt(np.where(x > 1, np.sqrt(x), x)), 0))),
        lambda x: np.sin(x[1] ** 0.25) + np.sin(np.sqrt(x[3])),
    ),
    "nested, inside out": (
        lambda np, x: np.sum(np.maximum(np.where(x > 1, np.sqrt(x), 0.1), MASK * np.sqrt(np.clip(x, 0.0, 1.0)))),
        lambda x: np.sqrt(x[1]) + 2 * np.sqrt(x[3]) + 0.2,
    ),
    "two uses, one of them a hole": (
        lambda np, x: (lambda r: np.sum(np.where(x > 1, r, 0)) * np.sum(np.where(x == 0.5, r, 0)))(np.sqrt(x)),
        lambda x: np.sqrt(x[1]) * np.sqrt(x[3]),
    ),
    "powers": (
        lambda np, x: np.sum(np.where(x > 0, x**0.5 + x**1.5 + np.power(x, 2.5) + np.cbrt(x), x**2)),
        lambda x: np.sum(x[1::2] ** 0.5 + x[1::2] ** 1.5 + x[1::2] ** 2.5 + x[1::2] ** (1 / 3)) + np.sum(x[::2] ** 2),
    ),
    "arcsin": (
        lambda np, x: np.sum(
            np.where(x > 0, np.sin(x), np.cos(x)) * np.where(x < 0, np.arcsin(np.minimum(1 + x, 1)), 1.0)
        ),
        lambda x: np.sum(np.sin(x[1::2])) + np.sum(np.cos(x[::2])),
    ),
    "user's root": (
        lambda np, x: np.sum(np.sin(np.where(x > 0, root_back(x), 0))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "user's root, forth": (
        lambda np, x: np.sum(np.sin(np.where(x > 0, root_forth(x), 0))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))),
    ),
    "user's ratio": (
        lambda np, x: np.sum(np.where(x > 0, ratio(root_back(x), np.where(x > 0, x, 1.0)), 0)),
        lambda x: np.sum(x[1::2] ** -0.5),
    ),
    "user's functions above": (
        lambda np, x: np.sum(sine(np.where(x > 0, np.sqrt(x), 0))) + np.sum(cosine(np.sqrt(np.maximum(x, 0.25)))),
        lambda x: np.sum(np.sin(np.sqrt(x[1::2]))) + np.sum(np.cos(np.sqrt(x[1::2]))) + 2 * np.cos(0.5),
    ),
    "user's functions below": (
        lambda np, x: np.sum(np.where(x > 0, np.sqrt(product(sine(x), cosine(x / 2))), x * x)),
        lambda x: np.sum(np.sqrt(np.sin(x[1::2]) * np.cos(x[1::2] / 2))) + np.sum(x[::2] ** 2),
    ),
}


@pytest.mark.parametrize("door", [np, tnp], ids=["np", "tnp"])
@pytest.mark.parametrize(("f", "truth"), PROGRAMS.values(), ids=PROGRAMS)
def test_programs(f: Any, truth: Any, door: Any) -> None:
    check(lambda x: f(door, x), truth, X)


@pytest.mark.parametrize(("f", "truth"), PROGRAMS.values(), ids=PROGRAMS)
def test_programs_in_single_precision(f: Any, truth: Any) -> None:
    g = lambda x: f(np, x)
    x, v = X.astype(np.float32), np.ones(4, np.float32)
    wanted = derivatives(truth, X.astype(complex), v)
    assert tg.grad(g)(x).dtype == tg.hvp(g)(x, v).dtype == np.float32
    assert tg.jvp(g, (x,), (v,))[1].dtype == g(x).dtype
    assert np.sum(tg.grad(g)(x)) == pytest.approx(wanted[1], rel=1e-4, abs=1e-4)
    assert tg.jvp(g, (x,), (v,))[1] == pytest.approx(wanted[1], rel=1e-4, abs=1e-4)
    assert np.sum(tg.hvp(g)(x, v)) == pytest.approx(wanted[2], rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(("f", "truth"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_hole_says_nothing(f: Any, truth: Any) -> None:
    """None of these programs says anything itself; pytest makes errors of warnings."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        g = lambda x: f(np, x)
        v = np.ones(4)
        g(X), tg.grad(g)(X), tg.jvp(g, (X,), (v,)), tg.hessian(g)(X), tg.hvp(g)(X, v), tg.jacrev(tg.jacrev(g))(X)
        tg.jvp(lambda x: tg.jvp(g, (x,), (v,))[1], (X,), (v,))


@pytest.mark.parametrize(("f", "truth"), PROGRAMS.values(), ids=PROGRAMS)
def test_maps_used_twice(f: Any, truth: Any) -> None:
    g = lambda x: f(np, x)
    value, pullback = tg.vjp(g, X)
    _, linear = tg.linearize(g, X)
    want = tg.grad(g)(X)
    for _ in range(2):
        np.testing.assert_allclose(pullback(np.ones_like(value))[0], want, rtol=1e-13)
        np.testing.assert_allclose(linear.transpose(np.ones_like(value))[0], want, rtol=1e-13)
        np.testing.assert_allclose([linear(e) for e in np.eye(4)], want, rtol=1e-13)


@pytest.mark.parametrize("number", [float, np.float64, np.array], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("f", "truth", "x"),
    [
        (lambda np, x: np.where(x > 0, np.sqrt(x), x * x), lambda x: x * x, 0.0),
        (lambda np, x: np.sqrt(np.maximum(x, 0)) + x, lambda x: x, -1.0),
        (lambda np, x: np.maximum(np.sqrt(x), 1.0) * x, lambda x: x, 0.0),
        (lambda np, x: np.clip(np.sqrt(x), 1.0, 2.0) * x, lambda x: x, 0.0),
        (lambda np, x: 0.0 * np.sqrt(x) + x * x, lambda x: x * x, 0.0),
        (lambda np, x: np.sqrt(x) * 0 + x * x, lambda x: x * x, 0.0),
        (lambda np, x: np.select([x > 0], [np.sqrt(x)], np.exp(x)), np.exp, 0.0),
        (lambda np, x: np.where(x > 0, x**0.5, np.sin(x)), np.sin, 0.0),
        (lambda np, x: np.max(np.stack([np.sqrt(x), x - 1, 1 + x * x])), lambda x: 1 + x * x, 0.0),
        (lambda np, x: nn.relu(np.sqrt(x) - 1) + np.sin(x), np.sin, 0.0),
    ],
)
def test_numbers(f: Any, truth: Any, x: float, number: Any) -> None:
    g = lambda x: f(np, x)
    point = number(x)
    wanted = derivatives(truth, complex(x), 1.0)
    for ways in ORDERS:
        h: Function = g
        for way in reversed(ways):
            h = along(h, number(1.0)) if way == "forth" else back(h)
        assert float(h(point)) == pytest.approx(wanted[len(ways)], rel=1e-9, abs=1e-9), ways


# programs whose values overflow in what is left out


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("f", "truth"),
    [
        (lambda x: np.sum(np.where(x > 0, np.log(x), x)), lambda x: np.sum(np.log(x[1::2])) + np.sum(x[::2])),
        (lambda x: np.sum(np.where(x > 0, 1 / x, x)), lambda x: np.sum(1 / x[1::2]) + np.sum(x[::2])),
        (lambda x: np.sum(np.where(x > 0, x * np.log(x), 0)), lambda x: np.sum(x[1::2] * np.log(x[1::2]))),
        (lambda x: np.sum(np.where(x > 0, np.exp(-1 / x), 0)), lambda x: np.sum(np.exp(-1 / x[1::2]))),
        (lambda x: np.sum(np.where(x > 0, x**-0.5, x)), lambda x: np.sum(x[1::2] ** -0.5) + np.sum(x[::2])),
        (
            lambda x: np.sum(np.where(x == 0, 1.0 + x, np.sin(x) / x)),
            lambda x: np.sum(np.sin(x[1::2]) / x[1::2]) + np.sum(1 + x[::2]),
        ),
        (lambda x: np.sum(np.where(x > 1, x, np.exp(x * 1e3) * 0 + x)), lambda x: np.sum(x)),
        (
            lambda x: np.sum(np.where(x > 0, np.sqrt(x - 0.25), x)),
            lambda x: np.sum(np.sqrt(x[1::2] - 0.25)) + np.sum(x[::2]),
        ),
        (lambda x: np.sum(np.log(x)[[1, 3]]), lambda x: np.sum(np.log(x[1::2]))),
        (lambda x: np.sum((1 / x)[x > 0]), lambda x: np.sum(1 / x[1::2])),
        (lambda x: np.max(np.log(x)), lambda x: np.log(x[1])),
        (lambda x: np.sum(np.maximum(np.log(x), -1.0)), lambda x: np.sum(np.log(x[1::2])) - 2),
        (lambda x: nn.logsumexp(np.where(x > 0, np.log(x), -np.inf)), lambda x: np.log(x[1] + x[3])),
    ],
)
def test_values_that_overflow(f: Any, truth: Any) -> None:
    check(f, truth, X)


# complex numbers


def test_complex_numbers() -> None:
    z = np.array([0j, 1 + 2j, -3 + 0.5j])
    chosen = np.array([False, True, True])
    f = lambda z: np.sum(np.where(chosen, np.sqrt(z), z * z))
    want = np.where(chosen, 0.5 / np.sqrt(np.where(chosen, z, 1)), 2 * z)
    second = np.where(chosen, -0.25 * np.where(chosen, z, 1) ** -1.5, 2)
    np.testing.assert_allclose(tg.grad(f, holomorphic=True)(z), want, rtol=1e-13)
    np.testing.assert_allclose([tg.jvp(f, (z,), (e,))[1] for e in np.eye(3, dtype=complex)], want, rtol=1e-13)
    g = lambda z: np.sum(tg.grad(f, holomorphic=True)(z))
    np.testing.assert_allclose(tg.grad(g, holomorphic=True)(z), second, rtol=1e-13)
    np.testing.assert_allclose([tg.jvp(g, (z,), (e,))[1] for e in np.eye(3, dtype=complex)], second, rtol=1e-13)


def test_complex_magnitudes() -> None:
    z = np.array([0j, 3 + 4j])
    f = lambda z: np.sum(np.where(z != 0, np.abs(z), 0.0)) + np.sum(np.angle(z)[1:])
    want = np.array([0, (3 - 4j) / 5 + (-4 - 3j) / 25])
    np.testing.assert_allclose(tg.grad(f)(z), want, rtol=1e-13)
    for d in (np.array([1.0, 1.0 + 0j]), np.array([1j, 1j])):
        assert tg.jvp(f, (z,), (d,))[1] == pytest.approx(np.real(want[1] * d[1]))
        assert np.all(np.isfinite(tg.jvp(tg.grad(f), (z,), (d,))[1]))


# pairs of particles

POSITIONS = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])
CHARGES = np.array([1.0, -2.0, 3.0])
OFF = 1 - np.eye(3)
I, J = np.triu_indices(3, 1)


def pairs(x: Any) -> Any:
    """Σ qᵢ qⱼ / rᵢⱼ over i < j, by hand."""
    total = 0.0
    for i, j in zip(I, J):
        d = x[i] - x[j]
        total = total + CHARGES[i] * CHARGES[j] / np.sqrt(np.sum(d * d))
    return total


def by_sum(x: Any) -> Any:
    d = x[:, None] - x[None]
    return np.sqrt(np.sum(d * d, axis=-1))


def by_norm(x: Any) -> Any:
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


def by_squares(x: Any) -> Any:
    d = x[:, None] - x[None]
    return np.sqrt(np.maximum(np.sum(d**2, -1), 0))


def by_hypot(x: Any) -> Any:
    d = x[:, None] - x[None]
    return np.hypot(d[..., 0], d[..., 1])


def by_coordinates(x: Any) -> Any:
    dx, dy = [x[:, None, k] - x[None, :, k] for k in range(2)]
    return (dx * dx + dy * dy) ** 0.5


QQ = CHARGES[:, None] * CHARGES
ENERGIES: dict[str, Callable[[Any, Any], Any]] = {
    "where": lambda r, x: 0.5 * np.sum(np.where(np.eye(3) > 0, 0.0, QQ / r)),
    "where inside": lambda r, x: 0.5 * np.sum(OFF * QQ / np.where(np.eye(3) > 0, 1.0, r)),
    "mask": lambda r, x: 0.5 * np.sum(OFF * (QQ / (r + np.eye(3)))),
    "mask first": lambda r, x: 0.5 * np.sum(OFF * QQ / (OFF * r + np.eye(3))),
    "picks": lambda r, x: np.sum(QQ[I, J] / r[I, J]),
    "boolean picks": lambda r, x: 0.5 * np.sum((QQ / r)[OFF > 0]),
    "triangle": lambda r, x: np.sum(np.triu(QQ / r, 1)),
    "one by one": lambda r, x: sum([QQ[i, j] / r[i, j] for i, j in zip(I, J)]),
    "rows": lambda r, x: 0.5 * sum([np.sum(np.where(np.arange(3) == i, 0.0, QQ[i] / r[i])) for i in range(3)]),
    "cut off": lambda r, x: 0.5 * np.sum(np.where((r > 0) & (r < 9), QQ / r, 0.0)),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # 1 / 0 in the values
@pytest.mark.parametrize("distances", [by_sum, by_norm, by_squares, by_hypot, by_coordinates], ids=lambda f: f.__name__)
@pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)
def test_pair_energies(energy: Any, distances: Any) -> None:
    f = lambda x: energy(distances(x), x)
    assert f(POSITIONS) == pytest.approx(-0.9)
    forces = np.array([[107 / 375, -0.064], [0.048, 0.439], [-1 / 3, -0.375]])
    for way in (tg.grad, tg.jacfwd, tg.jacrev):
        np.testing.assert_allclose(way(f)(POSITIONS), forces, rtol=1e-12)
    hessian = tg.hessian(f)(POSITIONS)
    first = [[[0.220942222222, -0.02304], [0.00128, 0.02304], [-2 / 9, 0]]]
    first += [[[-0.02304, -0.125831111111], [0.02304, 0.01472], [0, 1 / 9]]]
    np.testing.assert_allclose(hessian[0], first, rtol=1e-9, atol=1e-12)
    for one in (tg.jacfwd, tg.jacrev):
        for other in (tg.jacfwd, tg.jacrev):
            np.testing.assert_allclose(one(other(f))(POSITIONS), hessian, rtol=1e-11, atol=1e-13)
    v = np.array([[1.0, -0.5], [0.3, 0.2], [-1.0, 2.0]])
    np.testing.assert_allclose(tg.hvp(f)(POSITIONS, v), np.tensordot(hessian, v), rtol=1e-11, atol=1e-13)
    check(f, pairs, POSITIONS, orders=[["back"] * 3, ["forth"] * 3, ["forth", "back", "back"]])


@pytest.mark.parametrize("distances", [by_sum, by_norm, by_squares, by_hypot, by_coordinates], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["where inside", "mask", "mask first", "picks"])
def test_pair_energies_say_nothing(name: str, distances: Any) -> None:
    f = lambda x: ENERGIES[name](distances(x) + (np.eye(3) if name == "picks" else 0), x)
    with np.errstate(all="raise"):
        for way in (tg.grad, tg.jacfwd, tg.hessian):
            assert np.all(np.isfinite(way(f)(POSITIONS)))


# what is no hole


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("f", "truth"),
    [
        (lambda x: np.sqrt(x) ** 2, 1.0),
        (lambda x: np.sqrt(x) * np.sqrt(x), 1.0),
        (lambda x: np.where(x >= 0, np.sqrt(x) ** 2, 0.0), 1.0),
        (lambda x: np.maximum(np.sqrt(x) ** 2, -1.0), 1.0),
        (lambda x: (np.sqrt(x)[None] ** 2)[0], 1.0),
        (lambda x: np.exp(2 * np.log(x) / 2) - 1, 1.0),
        (lambda x: x * np.log(x), -math.inf),
        (lambda x: np.log(np.linalg.norm(np.stack([x, x]))), math.inf),
        (lambda x: np.sqrt(np.linalg.norm(np.stack([x, x]))), math.inf),
        (lambda x: np.sqrt(np.std(np.stack([x, -x]))), math.inf),
        (lambda x: np.sqrt(np.hypot(x, 0.0)), math.inf),
        (lambda x: np.log(np.abs(x)), math.inf),
    ],
)
def test_never_a_zero_that_is_wrong(f: Any, truth: float) -> None:
    for number in (float, np.array):
        for slope in (tg.grad(f)(number(0.0)), tg.jvp(f, (number(0.0),), (number(1.0),))[1]):
            assert np.isnan(slope) or slope == truth


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("f", "truth"),
    [
        (lambda x: np.abs(x) ** 1.5, math.inf),
        (lambda x: np.abs(np.sqrt(x)), -math.inf),
        (lambda x: np.copysign(np.sqrt(x), 1.0), -math.inf),
        (lambda x: np.sqrt(x) ** 2, 0.0),
    ],
)
def test_conventional_zeros_are_no_holes(f: Any, truth: float) -> None:
    for ways in ORDERS:
        if len(ways) == 2:
            h: Function = f
            for way in reversed(ways):
                h = STEPS[way](h)
            try:
                assert np.isnan(h(0.0)) or h(0.0) == truth, ways
            except tg.errors.MissingRuleError as error:
                assert "second derivative" in str(error)


def test_holes_go_through_imaginary_parts():
    x = np.array([1.0, -1.0])
    for f in (
        lambda x: np.imag(1j * np.maximum(x, 0.0)),
        lambda x: (1j * np.where(x > 0, x, 0.0)).imag,
        lambda x: -np.imag(np.conjugate(1j * np.maximum(x, 0.0))),
    ):
        np.testing.assert_array_equal(tg.jacfwd(f)(x), [[1, 0], [0, 0]])
        np.testing.assert_array_equal(tg.jacrev(f)(x), [[1, 0], [0, 0]])


@pytest.mark.parametrize("function", [np.prod, np.var, np.std, np.max, np.min, np.mean, np.sum])
@pytest.mark.parametrize("keepdims", [False, True])
def test_some_of_the_blocks_are_selected(function, keepdims):
    x = np.array([[1.0, 2.0], [0.0, 0.0], [4.0, 3.0]])
    rows = np.array([True, False, True])
    f = lambda x: np.sum(np.where(rows[:, None] if keepdims else rows, function(x, axis=1, keepdims=keepdims), 0.0))
    g = lambda x: np.sum(function(x[[0, 2]], axis=1))
    np.testing.assert_allclose(tg.grad(f)(x), tg.grad(g)(x))
    np.testing.assert_allclose(tg.jacfwd(f)(x), tg.grad(g)(x))
    np.testing.assert_allclose(tg.hessian(f)(x), tg.hessian(g)(x))


def test_a_mask_may_change_once_it_was_used_forward():
    x, v = np.array([1.0, 2.0, -3.0]), np.array([1.0, 10.0, 100.0])

    def f(x):
        mask = np.array([True, False, True])
        y = np.where(mask, x, 0.0)
        mask[:] = [False, True, False]
        return y * y * x

    value, tangent = tg.jvp(f, (x,), (v,))
    np.testing.assert_array_equal(value, [1, 0, -27])
    np.testing.assert_array_equal(tangent, [3, 0, 2700])


def test_ties_of_one_block_and_a_hole_in_another() -> None:
    """The winners are counted in each block, for one that is left out has none that are looked for."""
    x = np.array([[1.0, 1.0], [0.0, -3.0]])
    f = lambda x: np.sum(np.where([True, False], np.max(x, 1) ** 2, 0.0))
    want = [[1.0, 1.0], [0.0, 0.0]]
    directional = lambda x: tg.jvp(f, (x,), (np.ones((2, 2)),))[1]
    along = lambda x: np.sum(tg.grad(f)(x))
    np.testing.assert_array_equal(tg.grad(directional)(x), want)
    np.testing.assert_array_equal(tg.grad(along)(x), want)
    np.testing.assert_array_equal(tg.hvp(f)(x, np.ones((2, 2))), want)
    again = lambda x: np.sum(tg.grad(directional)(x))
    np.testing.assert_array_equal(tg.grad(again)(x), np.zeros((2, 2)))
