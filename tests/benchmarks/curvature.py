"""Workloads of first and second derivatives: Rosenbrock's function, and a map of 100 numbers to 100."""

from __future__ import annotations

from typing import Any

import numpy
from workload import Function, Workload

# Rosenbrock's function


def rosenbrock(np: Any) -> Function:
    """By slices."""

    def f(x: Any) -> Any:
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return f


def rosenbrock_by_hand(x: Any) -> tuple[Any, Any]:
    a, g = x[:-1], numpy.zeros_like(x)
    r, s = x[1:] - a**2, 1 - a
    value = numpy.sum(100 * r**2 + s**2)
    g[:-1] = -400 * a * r - 2 * s
    g[1:] += 200 * r
    return value, g


def rosenbrock_product(x: Any, v: Any) -> Any:
    """What the gradient changes by when x does so by v."""
    a, va, product = x[:-1], v[:-1], numpy.zeros_like(x)
    r = x[1:] - a**2
    vr = v[1:] - 2 * a * va
    product[:-1] = -400 * (va * r + a * vr) + 2 * va
    product[1:] += 200 * vr
    return product


def rosenbrock_hessian(x: Any) -> Any:
    np, main = numpy, numpy.zeros_like(x)
    main[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    main[1:] += 200
    off = -400 * x[:-1]
    return np.diag(main) + np.diag(off, 1) + np.diag(off, -1)


# a map of 100 numbers to 100


def gated(np: Any) -> Function:
    def f(x: Any, w: Any) -> Any:
        return np.tanh(w @ x) * x

    return f


def gated_by_hand(x: Any, w: Any) -> Any:
    np = numpy
    t = np.tanh(w @ x)
    return ((1 - t * t) * x)[:, None] * w + np.diag(t)


def _numbers(n: int, seed: int = 9) -> Any:
    return numpy.random.default_rng(seed).normal(size=n)


GRADIENT = Workload("Rosenbrock, 1,000: gradient", rosenbrock, rosenbrock_by_hand, (_numbers(1_000),))
PRODUCT = Workload(
    "Rosenbrock, 1,000: Hessian times vector",
    rosenbrock,
    rosenbrock_product,
    (_numbers(1_000), _numbers(1_000, 11)),
    wanted="hvp",
)
HESSIAN = Workload("Rosenbrock, 100: Hessian", rosenbrock, rosenbrock_hessian, (_numbers(100),), wanted="hessian")
JACOBIAN = Workload(
    "tanh(w x) x, 100 to 100: Jacobian",
    gated,
    gated_by_hand,
    (_numbers(100), _numbers(10_000, 12).reshape(100, 100) / 10),
    wanted="jacobian",
)
