"""What is measured: functions, where to differentiate them, and their derivatives written by hand.

A function is written once, with the array library as its parameter, so that every library runs the same
lines. `by_hand` is what a person who knows NumPy would write in its place: the same value and the same
gradient, forward and backward, keeping what the way back needs and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

Function = Callable[..., Any]


@dataclass(frozen=True)
class Workload:
    """A function of the first of `args`, made by `make(np)`.

    `value` says whether the value is wanted beside the gradient. `scalar` workloads consist of Python
    numbers and operators alone, which every library has. Where a bare `call` is measured its time is told
    in microseconds, for what is beside it is next to nothing.
    """

    title: str
    make: Callable[[Any], Function]
    by_hand: Function
    args: tuple[Any, ...]
    value: bool = True
    scalar: bool = False
    call: bool = False


# a chain of scalars: functions and operators in turn


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


def chain_by_hand(x: float) -> tuple[float, float]:
    np, kept = numpy, []
    for _ in range(200):
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

_COEFFICIENTS: list[float] = numpy.random.default_rng(1).normal(size=501).tolist()


def polynomial(np: Any) -> Function:
    first, *others = _COEFFICIENTS

    def f(x: Any) -> Any:
        p = first
        for c in others:
            p = p * x + c
        return p

    return f


def polynomial_by_hand(x: float) -> tuple[float, float]:
    p, *others = _COEFFICIENTS
    kept = []
    for c in others:
        kept.append(p)
        p = p * x + c
    g, gx = 1.0, 0.0
    for before in reversed(kept):
        gx += g * before
        g *= x
    return p, gx


# a small network, where what counts is the price of a call


def small_network(np: Any) -> Function:
    def loss(p: Any, x: Any, target: Any) -> Any:
        h = np.tanh(x @ p["w1"] + p["b1"])
        d = h @ p["w2"] + p["b2"] - target
        return np.mean(d * d)

    return loss


def small_network_by_hand(p: Any, x: Any, target: Any) -> tuple[Any, dict[str, Any]]:
    np = numpy
    h = np.tanh(x @ p["w1"] + p["b1"])
    d = h @ p["w2"] + p["b2"] - target
    value = np.mean(d * d)
    d *= 2 / d.size
    a = (d @ p["w2"].T) * (1 - h * h)
    return value, {"w1": x.T @ a, "b1": a.sum(0), "w2": h.T @ d, "b2": d.sum(0)}


def _small_network_args() -> tuple[Any, ...]:
    draw = numpy.random.default_rng(2).normal
    p = {
        "w1": draw(0, 32**-0.5, (32, 32)),
        "b1": draw(0, 0.1, 32),
        "w2": draw(0, 32**-0.5, (32, 1)),
        "b2": draw(0, 0.1, 1),
    }
    return p, draw(size=(16, 32)), draw(size=(16, 1))


# a large network, where what counts is the work on arrays

_LAYERS = (784, 512, 256, 10)
_BATCH = 128


def large_network(np: Any) -> Function:
    """Its log-softmax is the library's own where there is one."""

    def written_out(z: Any, axis: int) -> Any:
        z = z - np.max(z, axis=axis, keepdims=True)
        return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))

    log_softmax = getattr(np, "log_softmax", written_out)

    def loss(layers: Any, x: Any, rows: Any, labels: Any) -> Any:
        *hidden, (w, b) = layers
        for w_in, b_in in hidden:
            x = np.tanh(x @ w_in + b_in)
        return -np.mean(log_softmax(x @ w + b, -1)[rows, labels])

    return loss


def large_network_by_hand(layers: Any, x: Any, rows: Any, labels: Any) -> tuple[Any, list[Any]]:
    np, kept = numpy, [x]
    *hidden, (w, b) = layers
    for w_in, b_in in hidden:
        kept.append(np.tanh(kept[-1] @ w_in + b_in))
    z = kept[-1] @ w + b
    z -= z.max(-1, keepdims=True)
    e = np.exp(z)
    total = e.sum(-1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - z[rows, labels])
    d = e / total
    d[rows, labels] -= 1
    d /= len(rows)
    gradient = []
    for (w, _b), h in zip(reversed(layers), reversed(kept)):
        gradient.append((h.T @ d, d.sum(0)))
        if h is not x:
            d = (d @ w.T) * (1 - h * h)
    return value, gradient[::-1]


def _large_network_args() -> tuple[Any, ...]:
    rng = numpy.random.default_rng(3)

    def draw(scale: float, *shape: int) -> Any:
        return (rng.normal(size=shape) * scale).astype(numpy.float32)

    layers = [(draw(m**-0.5, m, n), draw(0.1, n)) for m, n in zip(_LAYERS, _LAYERS[1:])]
    images = rng.random((_BATCH, _LAYERS[0]), numpy.float32)
    return layers, images, numpy.arange(_BATCH), rng.integers(0, _LAYERS[-1], _BATCH)


# next to nothing: what a call of a gradient costs


def square(np: Any) -> Function:
    def f(x: Any) -> Any:
        return x * x

    return f


def square_by_hand(x: float) -> float:
    return 2 * x


WORKLOADS = {
    "chain": Workload("scalar chain, 1,000 operations", chain, chain_by_hand, (0.7,)),
    "polynomial": Workload("polynomial, 1,000 operators", polynomial, polynomial_by_hand, (0.97,), scalar=True),
    "small": Workload("network 32-32-1, batch 16", small_network, small_network_by_hand, _small_network_args()),
    "large": Workload("784-512-256-10, batch 128, f32", large_network, large_network_by_hand, _large_network_args()),
    "call": Workload("one gradient of x * x", square, square_by_hand, (3.0,), value=False, scalar=True, call=True),
}
