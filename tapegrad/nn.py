"""Functions that networks are made of, with the names and conventions of `jax.nn`: relu'(0) = 0.

Each is stable for arguments of any size, and one entry of the tape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .numpy.joining import asarray
from .primitives.cotangent import Axis, spread
from .primitives.define import internal, primitive
from .primitives.partial import partial
from .transforms import stop_gradient


@primitive(elementwise=True)
def relu(x: Any) -> Any:
    """max(x, 0), of any shape; its derivative at 0 is 0.

    >>> relu(-2.0), relu(3.0)
    (np.float64(0.0), np.float64(3.0))
    """
    return np.maximum(x, 0)


relu.defvjp("x")(lambda g, y, _x: partial(g, y > 0))


@primitive(elementwise=True)
def sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ), of any shape, without overflow where x is real.

    >>> sigmoid(0.0)
    np.float64(0.5)
    """
    if np.iscomplexobj(x):
        return 1 / (1 + np.exp(-x))
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


sigmoid.defvjp("x")(lambda g, y, _x: g * (y * (1 - y)))


def _finite(x: Any) -> Any:
    """x, with 0 in the place of infinities, so that differences from it stay numbers."""
    return np.where(np.isfinite(x), x, 0)


@internal(nondiff=("axis", "keepdims"), reduces=True)
def _logsumexp(a: Any, axis: Axis, keepdims: bool) -> Any:
    top = _finite(np.max(a, axis, keepdims=True))
    with np.errstate(divide="ignore"):  # of nothing but -inf it is -inf
        made = np.log(np.sum(np.exp(a - top), axis, keepdims=True)) + top
    return made if keepdims else np.squeeze(made, axis)[()]


@_logsumexp.defvjp("a")
def _(g: Any, y: Any, a: Any, axis: Axis, _keepdims: bool) -> Any:
    """ā = ḡ p / Σ p with p = exp(a − y), whose sum is 1 but for the rounding of a large y; 0 if all a are -inf."""
    g, y = spread(g, np.shape(a), axis), spread(y, np.shape(a), axis)
    p = np.exp(a - _finite(y))
    total = np.sum(p, axis=axis, keepdims=True)
    return g * (p / np.where(total == 0, 1, total))


def logsumexp(a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """log Σ b eᵃ along the axes, without overflow.

    Args:
        a: exponents, of any shape.
        axis: the axes to sum over; None for all.
        b: weights that broadcast against `a`; they may be negative.
        keepdims: keep the summed axes with length 1.
        return_sign: give `(log |Σ|, sign of Σ)`; without it a negative sum is nan.

    >>> logsumexp([1000.0, 1000.0])
    np.float64(1000.6931471805599)
    """
    if isinstance(a, (list, tuple)):
        a = asarray(a)
    if not np.size(a):
        a = stop_gradient(a)  # -inf, whatever is not there
    axes = tuple(range(np.ndim(a))) if axis is None else axis
    if b is None and not return_sign and np.size(a):
        return _logsumexp(a, axes, keepdims)
    top = _finite(np.max(stop_gradient(a), axis=axes, keepdims=True, initial=-np.inf))
    total = np.sum((1.0 if b is None else b) * np.exp(a - top), axis=axes, keepdims=True)
    sign = np.sign(stop_gradient(total))
    with np.errstate(divide="ignore", invalid="ignore"):
        made = np.log(total * sign if return_sign else total) + top
    if not keepdims:
        made, sign = np.squeeze(made, axes)[()], np.squeeze(sign, axes)[()]
    return (made, sign) if return_sign else made


@primitive(nondiff_argnames=("axis",))
def _softmax(x: Any, axis: Axis) -> Any:
    e = np.exp(x - _finite(np.max(x, axis, keepdims=True)))
    return e / np.sum(e, axis, keepdims=True)


@_softmax.defjvp("x")
@_softmax.defvjp("x")
def _(g: Any, y: Any, _x: Any, axis: Axis) -> Any:
    """x̄ = y (ḡ − Σ ḡ y), and forth the same"""
    return y * (g - np.sum(g * y, axis=axis, keepdims=True))


@primitive(nondiff_argnames=("axis",))
def _log_softmax(x: Any, axis: Axis) -> Any:
    top = np.max(x, axis, keepdims=True)
    y = x - (top if np.isfinite(top).all() else _finite(top))
    return y - np.log(np.sum(np.exp(y), axis, keepdims=True))


@_log_softmax.defvjp("x")
def _(g: Any, y: Any, _x: Any, axis: Axis) -> Any:
    """x̄ = ḡ − eʸ Σ ḡ"""
    return g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)


@_log_softmax.defjvp("x")
def _(t: Any, y: Any, _x: Any, axis: Axis) -> Any:
    """ẏ = ẋ − Σ eʸ ẋ"""
    return t - np.sum(np.exp(y) * t, axis=axis, keepdims=True)


def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """eˣ / Σ eˣ along `axis`, of the shape of `x`.

    Args:
        x: scores, of any shape but `()`.
        axis: the axes along which the result sums to 1.
        where: the elements that take part; others give 0.

    >>> softmax(np.array([0.0, 0.0, 1000.0]))
    array([0., 0., 1.])
    """
    return _softmax(x if where is None else np.where(where, x, -np.inf), axis)


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """log(eˣ / Σ eˣ) along `axis`, of the shape of `x`; the arguments are those of `softmax`.

    >>> log_softmax(np.array([0.0, 0.0]))
    array([-0.69314718, -0.69314718])
    """
    return _log_softmax(x if where is None else np.where(where, x, -np.inf), axis)


__all__ = ["log_softmax", "logsumexp", "relu", "sigmoid", "softmax"]
