"""Workloads of single numbers, where what counts is the price of an operation."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy
from workload import Function, Workload

# a chain: functions and operators in turn


def chain(np: Any, rounds: int = 200) -> Function:
    """Five operations a round; values stay in 0.6 to 1.2, and the derivative of a round is close to -1."""

    def f(x: Any) -> Any:
        for _ in range(rounds):
            x = np.sin(x)
            x = x * 1.1
            x = x + 0.467
            x = 1.0 / x
            x = x * x
        return x

    return f


def chain_by_hand(x: float, rounds: int = 200) -> tuple[float, float]:
    np, kept = numpy, []
    for _ in range(rounds):
        y = 1.0 / (np.sin(x) * 1.1 + 0.467)
        kept.append((x, y))
        x = y * y
    g = 1.0
    for x_in, y in reversed(kept):
        g = 2 * g * y
        g = -g * y * y
        g = 1.1 * g * np.cos(x_in)
    return x, g


# a polynomial, by Horner's scheme: operators alone

_COEFFICIENTS: list[float] = numpy.random.default_rng(1).normal(size=50_001).tolist()


def polynomial(np: Any, degree: int = 500) -> Function:
    first, *others = _COEFFICIENTS[: degree + 1]

    def f(x: Any) -> Any:
        p = first
        for c in others:
            p = p * x + c
        return p

    return f


def polynomial_by_hand(x: float, degree: int = 500) -> tuple[float, float]:
    p, *others = _COEFFICIENTS[: degree + 1]
    kept = []
    for c in others:
        kept.append(p)
        p = p * x + c
    g, gx = 1.0, 0.0
    for before in reversed(kept):
        gx += g * before
        g *= x
    return p, gx


# an orbit of Lorenz's equations, by the classical method of Runge and Kutta, on arrays of three numbers

_STEPS, _H = 200, 0.01
_SIGMA, _RHO, _BETA = 10.0, 28.0, 8 / 3


def lorenz(np: Any) -> Function:
    """The squared distance from the origin at the end, by the start."""

    def slope(u: Any) -> Any:
        x, y, z = u[0], u[1], u[2]
        return np.stack([_SIGMA * (y - x), x * (_RHO - z) - y, x * y - _BETA * z])

    def f(u: Any) -> Any:
        for _ in range(_STEPS):
            k1 = slope(u)
            k2 = slope(u + _H / 2 * k1)
            k3 = slope(u + _H / 2 * k2)
            k4 = slope(u + _H * k3)
            u = u + _H / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return np.sum(u * u)

    return f


def lorenz_by_hand(u: Any) -> tuple[Any, Any]:
    np, kept = numpy, []

    def slope(u: Any) -> Any:
        x, y, z = u[0], u[1], u[2]
        return np.array([_SIGMA * (y - x), x * (_RHO - z) - y, x * y - _BETA * z])

    def back(u: Any, g: Any) -> Any:
        """The cotangent of a point from that of the slope there."""
        x, y, z = u[0], u[1], u[2]
        a, b, c = g[0], g[1], g[2]
        return np.array([(_RHO - z) * b - _SIGMA * a + y * c, _SIGMA * a - b + x * c, -x * b - _BETA * c])

    for _ in range(_STEPS):
        k1 = slope(u)
        u2 = u + _H / 2 * k1
        k2 = slope(u2)
        u3 = u + _H / 2 * k2
        k3 = slope(u3)
        u4 = u + _H * k3
        k4 = slope(u4)
        kept.append((u, u2, u3, u4))
        u = u + _H / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    value, g = np.sum(u * u), 2 * u
    for u1, u2, u3, u4 in reversed(kept):
        g4 = back(u4, _H / 6 * g)
        g3 = back(u3, _H / 3 * g + _H * g4)
        g2 = back(u2, _H / 3 * g + _H / 2 * g3)
        g1 = back(u1, _H / 6 * g + _H / 2 * g2)
        g = g + g1 + g2 + g3 + g4
    return value, g


# next to nothing: what a call of a gradient costs


def square(np: Any) -> Function:
    def f(x: Any) -> Any:
        return x * x

    return f


def square_by_hand(x: float) -> float:
    return 2 * x


CHAIN = Workload("scalar chain, 1,000 operations", chain, chain_by_hand, (0.7,))
LONG_CHAIN = Workload(
    "scalar chain, 100,000 operations", partial(chain, rounds=20_000), partial(chain_by_hand, rounds=20_000), (0.7,)
)
POLYNOMIAL = Workload("polynomial, 1,000 operators", polynomial, polynomial_by_hand, (0.97,), scalar=True)
LONG_POLYNOMIAL = Workload(
    "polynomial, 100,000 operators",
    partial(polynomial, degree=50_000),
    partial(polynomial_by_hand, degree=50_000),
    (0.9999,),
    scalar=True,
)
LORENZ = Workload("Lorenz, 200 steps of RK4", lorenz, lorenz_by_hand, (numpy.ones(3),))
CALL = Workload("one gradient of x * x", square, square_by_hand, (3.0,), wanted="grad", scalar=True, call=True)
