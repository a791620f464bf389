"""Workloads of classifiers, small and large: a regression, a network, convolutions. Parameters come first."""

from __future__ import annotations

from typing import Any

import numpy
from networks import relu
from workload import Function, Workload

Args = tuple[Any, ...]


def _log_softmax(np: Any) -> Function:
    def written_out(z: Any, axis: int) -> Any:
        z = z - np.max(z, axis=axis, keepdims=True)
        return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))

    return getattr(np, "log_softmax", written_out)


def _log_softmax_by_hand(z: Any, rows: Any, labels: Any) -> tuple[Any, Any]:
    """The mean of −log p at the labels, and its gradient."""
    np = numpy
    z = z - np.max(z, axis=-1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))
    value = -np.mean(log_p[rows, labels])
    d = np.exp(log_p)
    d[rows, labels] -= 1
    d /= len(rows)
    return value, d


# logistic regression


def logistic(np: Any) -> Function:
    softplus = getattr(np, "softplus", None) or (lambda z: np.logaddexp(z, 0.0))

    def loss(p: Any, x: Any, sign: Any) -> Any:
        w, b = p
        return np.mean(softplus(-sign * (x @ w + b)))

    return loss


def logistic_by_hand(p: Any, x: Any, sign: Any) -> tuple[Any, tuple[Any, Any]]:
    np, (w, b) = numpy, p
    z = -sign * (x @ w + b)
    losses = np.logaddexp(z, 0)
    d = np.exp(z - losses)  # the logistic function of z
    d *= -sign / len(sign)
    return np.mean(losses), (x.T @ d, d.sum())


def _logistic_args(rows: int, columns: int) -> Args:
    rng = numpy.random.default_rng(5)
    x = rng.random((rows, columns))
    x -= 0.5
    w = rng.normal(size=columns)
    sign = numpy.where(x @ w + rng.normal(size=rows) > 0, 1.0, -1.0)
    return (rng.normal(size=columns), 0.1), x, sign


# a network, where what counts is the work on arrays

_LAYERS = (784, 512, 256, 10)
_BATCH = 128


def large_network(np: Any) -> Function:
    log_softmax = _log_softmax(np)

    def loss(layers: Any, x: Any, rows: Any, labels: Any) -> Any:
        *hidden, (w, b) = layers
        for w_in, b_in in hidden:
            x = np.tanh(x @ w_in + b_in)
        return -np.mean(log_softmax(x @ w + b, axis=-1)[rows, labels])

    return loss


def large_network_by_hand(layers: Any, x: Any, rows: Any, labels: Any) -> tuple[Any, list[Any]]:
    np, kept = numpy, []
    *hidden, (w, b) = layers
    for w_in, b_in in hidden:
        kept.append(x)
        x = np.tanh(x @ w_in + b_in)
    kept.append(x)
    value, d = _log_softmax_by_hand(x @ w + b, rows, labels)
    gradient = []
    for (w, _b), x in zip(reversed(layers), reversed(kept)):
        gradient.append((x.T @ d, d.sum(0)))
        if len(gradient) < len(layers):
            d = (d @ w.T) * (1 - x * x)
    return value, gradient[::-1]


def _large_network_args(dtype: Any) -> Args:
    rng = numpy.random.default_rng(3)

    def draw(scale: float, *shape: int) -> Any:
        return (rng.normal(size=shape) * scale).astype(dtype)

    layers = [(draw(m**-0.5, m, n), draw(0.1, n)) for m, n in zip(_LAYERS, _LAYERS[1:])]
    images = rng.random((_BATCH, _LAYERS[0]), dtype)
    return layers, images, numpy.arange(_BATCH), rng.integers(0, _LAYERS[-1], _BATCH)


# two layers of convolution, on images of 28 × 28 with a margin of one


def convolutions(np: Any) -> Function:
    """Channels come last. A convolution is a sum over shifted images, each times a matrix."""
    positive, log_softmax = relu(np), _log_softmax(np)

    def convolve(x: Any, w: Any, b: Any) -> Any:
        n = x.shape[1] - 2
        for i in range(3):
            for j in range(3):
                b = b + x[:, i : i + n, j : j + n] @ w[i, j]
        return b

    def pool(x: Any) -> Any:
        m, n, _, channels = x.shape
        return np.mean(np.reshape(x, (m, n // 2, 2, n // 2, 2, channels)), axis=(2, 4))

    def loss(layers: Any, x: Any, rows: Any, labels: Any) -> Any:
        *convolved, (w, b) = layers
        for w_in, b_in in convolved:
            x = pool(positive(convolve(x, w_in, b_in)))
        return -np.mean(log_softmax(np.reshape(x, (x.shape[0], -1)) @ w + b, axis=-1)[rows, labels])

    return loss


def convolutions_by_hand(layers: Any, x: Any, rows: Any, labels: Any) -> tuple[Any, list[Any]]:
    np, kept = numpy, []
    *convolved, (w, b) = layers
    for w_in, b_in in convolved:
        m, n, channels = len(x), x.shape[1] - 2, len(b_in)
        y = np.full((m, n, n, channels), b_in)
        for i in range(3):
            for j in range(3):
                y += x[:, i : i + n, j : j + n] @ w_in[i, j]
        kept.append((x, y > 0))
        x = np.mean(np.maximum(y, 0).reshape(m, n // 2, 2, n // 2, 2, channels), axis=(2, 4))
    flat = x.reshape(len(x), -1)
    value, d = _log_softmax_by_hand(flat @ w + b, rows, labels)
    gradient = [(flat.T @ d, d.sum(0))]
    d = (d @ w.T).reshape(x.shape)
    for (w, _b), (x, passes) in zip(reversed(convolved), reversed(kept)):
        d = np.repeat(np.repeat(d / 4, 2, axis=1), 2, axis=2) * passes
        n, gw, gx = d.shape[1], np.empty_like(w), np.zeros_like(x)
        for i in range(3):
            for j in range(3):
                gw[i, j] = np.tensordot(x[:, i : i + n, j : j + n], d, axes=([0, 1, 2], [0, 1, 2]))
                if len(gradient) < len(layers) - 1:
                    gx[:, i : i + n, j : j + n] += d @ w[i, j].T
        gradient.append((gw, d.sum((0, 1, 2))))
        d = gx
    return value, gradient[::-1]


def _convolutions_args() -> Args:
    rng = numpy.random.default_rng(6)
    shapes = [((3, 3, 1, 8), 9), ((3, 3, 8, 16), 72), ((576, 10), 576)]
    layers = [(rng.normal(0, fan**-0.5, shape), rng.normal(0, 0.1, shape[-1])) for shape, fan in shapes]
    x = numpy.zeros((32, 30, 30, 1))
    x[:, 1:-1, 1:-1] = rng.random((32, 28, 28, 1))
    return layers, x, numpy.arange(32), rng.integers(0, 10, 32)


LOGISTIC = Workload("logistic regression, 100 × 10", logistic, logistic_by_hand, _logistic_args(100, 10))
LARGE_LOGISTIC = Workload(
    "logistic regression, 100,000 × 100", logistic, logistic_by_hand, _logistic_args(100_000, 100)
)
LARGE = Workload(
    "784-512-256-10, batch 128, f32", large_network, large_network_by_hand, _large_network_args(numpy.float32)
)
LARGE_DOUBLE = Workload(
    "784-512-256-10, batch 128, f64", large_network, large_network_by_hand, _large_network_args(numpy.float64)
)
CONVOLUTIONS = Workload("two convolutions, 28 × 28, batch 32", convolutions, convolutions_by_hand, _convolutions_args())
