"""Workloads of small networks, where what counts is the price of a call. Parameters come first."""

from __future__ import annotations

import importlib
from typing import Any

import numpy
from workload import Function, Workload

Args = tuple[Any, ...]


def relu(np: Any) -> Function:
    """The library's own, where it has one."""
    return getattr(np, "relu", None) or (lambda x: np.maximum(x, 0.0))


# micrograd's demo: two moons, a network 2-16-16-1, the loss of a support vector machine

_DECAY = 1e-4


def moons(np: Any) -> Function:
    positive = relu(np)

    def loss(layers: Any, x: Any, y: Any) -> Any:
        *hidden, (w, b) = layers
        for w_in, b_in in hidden:
            x = positive(x @ w_in + b_in)
        hinge = np.mean(positive(1.0 - y * (x @ w + b)))
        return hinge + _DECAY * sum([np.sum(w * w) + np.sum(b * b) for w, b in layers])

    return loss


def moons_by_values(_np: Any) -> Function:
    """As in the demo: a neuron at a time, a point at a time."""
    nn = importlib.import_module("micrograd.nn")

    def loss(layers: Any, x: Any, y: Any) -> Any:
        model = nn.MLP(2, [16, 16, 1])
        for layer, (w, b) in zip(model.layers, layers):
            for neuron, column, bias in zip(layer.neurons, zip(*w), b):
                neuron.w, neuron.b = list(column), bias
        scores = [model([float(a) for a in point]) for point in x]
        losses = [(1 + -float(label[0]) * score).relu() for label, score in zip(y, scores)]
        return sum(losses) * (1.0 / len(losses)) + _DECAY * sum([p * p for p in model.parameters()])

    return loss


def moons_by_hand(layers: Any, x: Any, y: Any) -> tuple[Any, list[Any]]:
    np, kept = numpy, []
    *hidden, (w, b) = layers
    for w_in, b_in in hidden:
        kept.append(x)
        x = np.maximum(x @ w_in + b_in, 0)
    kept.append(x)
    margin = 1 - y * (x @ w + b)
    hinge = np.mean(np.maximum(margin, 0))
    value = hinge + _DECAY * sum([np.sum(w * w) + np.sum(b * b) for w, b in layers])
    d = -y * (margin > 0) / len(y)
    gradient = []
    for (w, b), x in zip(reversed(layers), reversed(kept)):
        gradient.append((x.T @ d + 2 * _DECAY * w, d.sum(0) + 2 * _DECAY * b))
        if len(gradient) < len(layers):
            d = (d @ w.T) * (x > 0)
    return value, gradient[::-1]


def _moons_args() -> Args:
    rng = numpy.random.default_rng(4)
    t = numpy.linspace(0, numpy.pi, 50)
    outer = numpy.stack([numpy.cos(t), numpy.sin(t)], 1)
    inner = numpy.stack([1 - numpy.cos(t), 0.5 - numpy.sin(t)], 1)
    x = numpy.concatenate([outer, inner]) + rng.normal(0, 0.1, (100, 2))
    sizes = (2, 16, 16, 1)
    layers = [(rng.uniform(-1, 1, (m, n)), rng.uniform(-0.1, 0.1, n)) for m, n in zip(sizes, sizes[1:])]
    return layers, x, numpy.repeat([-1.0, 1.0], 50)[:, None]


# two layers


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
    return value, {"b1": a.sum(0), "b2": d.sum(0), "w1": x.T @ a, "w2": h.T @ d}


def _small_network_args() -> Args:
    draw = numpy.random.default_rng(2).normal
    p = {
        "b1": draw(0, 0.1, 32),
        "b2": draw(0, 0.1, 1),
        "w1": draw(0, 32**-0.5, (32, 32)),
        "w2": draw(0, 32**-0.5, (32, 1)),
    }
    return p, draw(size=(16, 32)), draw(size=(16, 1))


# a gradient in the loss: a network that is to fit, and to be flat


def penalty(np: Any) -> Function:
    def loss(p: Any, x: Any, target: Any) -> Any:
        def score(x: Any) -> Any:
            return np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

        d = score(x) - target
        slope = np.grad(lambda x: np.sum(score(x)))(x)
        return np.mean(d * d) + np.mean(np.sum(slope * slope, axis=1))

    return loss


def penalty_by_hand(p: Any, x: Any, target: Any) -> tuple[Any, dict[str, Any]]:
    np, w1, w2 = numpy, p["w1"], p["w2"]
    n = len(x)
    h = np.tanh(x @ w1 + p["b1"])
    d = h @ w2 + p["b2"] - target
    bell = 1 - h * h
    a = bell * w2.T
    slope = a @ w1.T
    value = np.mean(d * d) + np.mean(np.sum(slope * slope, axis=1))
    d = 2 / n * d  # from here on the cotangents
    g_slope = 2 / n * slope
    g_a = g_slope @ w1
    g_h = d @ w2.T - 2 * h * (g_a * w2.T)
    g_in = g_h * bell
    return value, {
        "b1": g_in.sum(0),
        "b2": d.sum(0),
        "w1": x.T @ g_in + g_slope.T @ a,
        "w2": h.T @ d + (g_a * bell).sum(0)[:, None],
    }


MOONS = Workload(
    "two moons, 2-16-16-1, 100 points", moons, moons_by_hand, _moons_args(), makes={"micrograd": moons_by_values}
)
SMALL = Workload("network 32-32-1, batch 16", small_network, small_network_by_hand, _small_network_args())
PENALTY = Workload(
    "gradient penalty, 32-32-1, batch 16", penalty, penalty_by_hand, _small_network_args(), makes={"MyGrad": None}
)
