"""Workloads of sequences: recurrent networks of 64 inputs and 64 units, 100 steps, a batch of 16; and attention."""

from __future__ import annotations

from typing import Any

import numpy
from workload import Function, Workload

_STEPS, _BATCH, _UNITS = 100, 16, 64

# recurrent networks


def tanh_units(np: Any) -> Function:
    def loss(p: Any, x: Any, h: Any) -> Any:
        for t in range(_STEPS):
            h = np.tanh(x[t] @ p["wx"] + h @ p["wh"] + p["b"])
        return np.mean(h * h)

    return loss


def tanh_units_by_hand(p: Any, x: Any, h: Any) -> tuple[Any, dict[str, Any]]:
    np, hs = numpy, [h]
    wx, wh, b = p["wx"], p["wh"], p["b"]
    for t in range(_STEPS):
        h = np.tanh(x[t] @ wx + h @ wh + b)
        hs.append(h)
    value = np.mean(h * h)
    gh, gwx, gwh, gb = 2 / h.size * h, np.zeros_like(wx), np.zeros_like(wh), np.zeros_like(b)
    for t in reversed(range(_STEPS)):
        d = gh * (1 - hs[t + 1] * hs[t + 1])
        gwx += x[t].T @ d
        gwh += hs[t].T @ d
        gb += d.sum(0)
        gh = d @ wh.T
    return value, {"b": gb, "wh": gwh, "wx": gwx}


def lstm(np: Any) -> Function:
    """The gates are in the order of i, f, g, o."""
    n = _UNITS
    sigmoid = getattr(np, "sigmoid", None) or (lambda z: 0.5 * (np.tanh(0.5 * z) + 1.0))

    def loss(p: Any, x: Any, h: Any) -> Any:
        c = h
        for t in range(_STEPS):
            z = x[t] @ p["wx"] + h @ p["wh"] + p["b"]
            c = sigmoid(z[:, n : 2 * n]) * c + sigmoid(z[:, :n]) * np.tanh(z[:, 2 * n : 3 * n])
            h = sigmoid(z[:, 3 * n :]) * np.tanh(c)
        return np.mean(h * h)

    return loss


def lstm_by_hand(p: Any, x: Any, h: Any) -> tuple[Any, dict[str, Any]]:
    np, n, kept = numpy, _UNITS, []
    wx, wh, b = p["wx"], p["wh"], p["b"]

    def sigmoid(z: Any) -> Any:
        return 0.5 * (np.tanh(0.5 * z) + 1.0)

    c = h
    for t in range(_STEPS):
        z = x[t] @ wx + h @ wh + b
        i, f, o = sigmoid(z[:, :n]), sigmoid(z[:, n : 2 * n]), sigmoid(z[:, 3 * n :])
        g = np.tanh(z[:, 2 * n : 3 * n])
        h_in, c_in = h, c
        c = f * c + i * g
        tanh_c = np.tanh(c)
        h = o * tanh_c
        kept.append((h_in, c_in, i, f, g, o, tanh_c))
    value = np.mean(h * h)
    gh, gc = 2 / h.size * h, np.zeros_like(c)
    gwx, gwh, gb = np.zeros_like(wx), np.zeros_like(wh), np.zeros_like(b)
    for t in reversed(range(_STEPS)):
        h, c, i, f, g, o, tanh_c = kept[t]
        gc = gc + gh * o * (1 - tanh_c * tanh_c)
        d = np.empty((len(h), 4 * n))
        d[:, :n] = gc * g * i * (1 - i)
        d[:, n : 2 * n] = gc * c * f * (1 - f)
        d[:, 2 * n : 3 * n] = gc * i * (1 - g * g)
        d[:, 3 * n :] = gh * tanh_c * o * (1 - o)
        gwx += x[t].T @ d
        gwh += h.T @ d
        gb += d.sum(0)
        gh = d @ wh.T
        gc = gc * f
    return value, {"b": gb, "wh": gwh, "wx": gwx}


def _recurrent_args(gates: int) -> tuple[Any, ...]:
    draw = numpy.random.default_rng(8).normal
    p = {
        "b": draw(0, 0.1, gates * _UNITS),
        "wh": draw(0, _UNITS**-0.5, (_UNITS, gates * _UNITS)),
        "wx": draw(0, _UNITS**-0.5, (_UNITS, gates * _UNITS)),
    }
    return p, draw(size=(_STEPS, _BATCH, _UNITS)), numpy.zeros((_BATCH, _UNITS))


# attention


def attention(np: Any) -> Function:
    def written_out(z: Any, axis: int) -> Any:
        e = np.exp(z - np.max(z, axis=axis, keepdims=True))
        return e / np.sum(e, axis=axis, keepdims=True)

    softmax = getattr(np, "softmax", written_out)

    def loss(p: Any) -> Any:
        q, k, v = p
        out = softmax(q @ np.swapaxes(k, -1, -2) / 8.0, axis=-1) @ v
        return np.mean(out * out)

    return loss


def attention_by_hand(p: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    np, (q, k, v) = numpy, p
    z = q @ np.swapaxes(k, -1, -2) / 8.0
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    a = e / np.sum(e, axis=-1, keepdims=True)
    out = a @ v
    value = np.mean(out * out)
    g = 2 / out.size * out
    gv = np.swapaxes(a, -1, -2) @ g
    ga = g @ np.swapaxes(v, -1, -2)
    gz = a * (ga - np.sum(ga * a, axis=-1, keepdims=True)) / 8.0
    return value, (gz @ k, np.swapaxes(gz, -1, -2) @ q, gv)


def _attention_args() -> tuple[Any, ...]:
    rng = numpy.random.default_rng(7)
    return (tuple([rng.normal(size=(8, 128, 64)) for _ in range(3)]),)


TANH_UNITS = Workload("RNN, 64 units, 100 steps, batch 16", tanh_units, tanh_units_by_hand, _recurrent_args(1))
LSTM = Workload("LSTM, 64 units, 100 steps, batch 16", lstm, lstm_by_hand, _recurrent_args(4))
ATTENTION = Workload("attention, 8 × 128 × 64", attention, attention_by_hand, _attention_args())
