"""Workloads of elements: read and written one by one in loops, and all at once.

A loop stays a loop by hand: it stands for those that cannot be written in slices.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy
from workload import Function, Workload

_WEIGHTS: list[float] = numpy.random.default_rng(13).normal(size=1_000).tolist()


# reading


def reads(np: Any, times: int = 200) -> Function:
    weights = _WEIGHTS[:times]

    def f(x: Any) -> Any:
        s = 0.0
        for i, c in enumerate(weights):
            s = s + x[i] * c
        return s

    return f


def reads_by_hand(x: Any, times: int = 200) -> tuple[Any, Any]:
    s, g = 0.0, numpy.zeros_like(x)
    for i, c in enumerate(_WEIGHTS[:times]):
        s += x[i] * c
        g[i] += c
    return s, g


def neighbours(np: Any) -> Function:
    def f(x: Any) -> Any:
        s = 0.0
        for i in range(len(x) - 1):
            s = s + x[i] * x[i + 1]
        return s

    return f


def neighbours_by_hand(x: Any) -> tuple[Any, Any]:
    s, g = 0.0, numpy.zeros_like(x)
    for i in range(len(x) - 1):
        a, b = x[i], x[i + 1]
        s += a * b
        g[i] += b
        g[i + 1] += a
    return s, g


# writing


def writes(np: Any) -> Function:
    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        for i in range(len(x)):
            y[i] = x[i] * x[i]
        return np.sum(y * y)

    return f


def writes_of_jax(np: Any) -> Function:
    """Its arrays do not change: a write gives another one."""

    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        for i in range(len(x)):
            y = y.at[i].set(x[i] * x[i])
        return np.sum(y * y)

    return f


def writes_by_hand(x: Any) -> tuple[Any, Any]:
    np, y, g = numpy, numpy.zeros_like(x), numpy.zeros_like(x)
    for i in range(len(x)):
        y[i] = x[i] * x[i]
    value, gy = np.sum(y * y), 2 * y
    for i in range(len(x)):
        g[i] = 2 * gy[i] * x[i]
    return value, g


# all at once


def bells(np: Any) -> Function:
    def f(x: Any) -> Any:
        return np.sum(np.exp(-x * x) * np.sin(x))

    return f


def bells_by_hand(x: Any) -> tuple[Any, Any]:
    np = numpy
    e, s = np.exp(-x * x), np.sin(x)
    return np.sum(e * s), e * (np.cos(x) - 2 * x * s)


def slopes(np: Any) -> Function:
    """Ten layers of two branches."""

    def f(x: Any) -> Any:
        for _ in range(10):
            x = np.where(x > 0, x * 1.1, x * 0.9)
        return np.sum(x)

    return f


def slopes_by_hand(x: Any) -> tuple[Any, Any]:
    np, kept = numpy, []
    for _ in range(10):
        above = x > 0
        kept.append(above)
        x = np.where(above, x * 1.1, x * 0.9)
    g = np.ones_like(x)
    for above in reversed(kept):
        g *= np.where(above, 1.1, 0.9)
    return np.sum(x), g


def ramps(np: Any) -> Function:
    relu = getattr(np, "relu", None) or (lambda x: np.maximum(x, 0.0))

    def f(x: Any) -> Any:
        for _ in range(10):
            x = relu(x - 0.1)
        return np.sum(x)

    return f


def ramps_by_hand(x: Any) -> tuple[Any, Any]:
    np, kept = numpy, []
    for _ in range(10):
        x = np.maximum(x - 0.1, 0)
        kept.append(x > 0)
    g = np.ones_like(x)
    for passes in reversed(kept):
        g *= passes
    return np.sum(x), g


def _numbers(n: int) -> Any:
    return numpy.random.default_rng(14).normal(size=n)


_MANY = _numbers(1_000_000)

READS = Workload("200 reads of 1,000 numbers", reads, reads_by_hand, (_numbers(1_000),))
MORE_READS = Workload(
    "1,000 reads of 100,000 numbers",
    partial(reads, times=1_000),
    partial(reads_by_hand, times=1_000),
    (_numbers(100_000),),
)
NEIGHBOURS = Workload("loop s += x[i] * x[i+1], 10,000", neighbours, neighbours_by_hand, (_numbers(10_000),))
_WRITES: Any = {"autograd": None, "JAX": writes_of_jax}
WRITES = Workload("1,000 writes y[i] = x[i] * x[i]", writes, writes_by_hand, (_numbers(1_000),), makes=_WRITES)
MORE_WRITES = Workload("10,000 writes y[i] = x[i] * x[i]", writes, writes_by_hand, (_numbers(10_000),), makes=_WRITES)
BELLS = Workload("sum of exp(-x²) sin x, 1,000,000", bells, bells_by_hand, (_MANY,))
SLOPES = Workload("10 times where, 1,000,000", slopes, slopes_by_hand, (_MANY,))
FEW_SLOPES = Workload("10 times where, 100", slopes, slopes_by_hand, (_numbers(100),))
RAMPS = Workload("10 times relu, 1,000,000", ramps, ramps_by_hand, (_MANY,))
FEW_RAMPS = Workload("10 times relu, 100", ramps, ramps_by_hand, (_numbers(100),))
