"""Functions that networks are made of, with the names and conventions of `jax.nn`: relu'(0) = 0.

Each is stable for arguments of any size, and one entry of the tape. Those of each element keep their digits in the
first two derivatives, too, where these are next to nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import InputError
from .numpy.joining import asarray
from .numpy.products import matmul_left, matmul_right
from .primitives.cotangent import Axis, spread, sum_to, unbroadcast
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


def _floats(x: Any) -> Any:
    """Numbers as floats: integers wrap around, and of those of few bits NumPy makes short floats."""
    if getattr(getattr(x, "dtype", None), "kind", "") in ("f", "c") or type(x) in (float, complex):
        return x
    made = np.asarray(x)
    return made.astype(float)[()] if made.dtype.kind in "biu" else made if made.dtype.kind in "fc" else x


def _decay(x: Any) -> Any:
    """e⁻|x|, for complex x the smaller one of e⁻ˣ and eˣ."""
    if np.iscomplexobj(x):
        return np.exp(np.where(np.real(x) > 0, -x, x))
    size = np.abs(x)
    return np.exp(np.negative(size, size), size) if type(size) is np.ndarray else np.exp(-size)


@primitive(elementwise=True)
def _bell(x: Any) -> Any:
    """1 / (2 cosh x/2)²: the slope of sigmoid, with all digits where y (1 − y) has none."""
    e = _decay(x)
    over = 1 + e
    if type(e) is not np.ndarray:
        return e / over / over
    e /= over
    e /= over
    return e


@primitive(elementwise=True)
def _tanh(x: Any) -> Any:
    """tanh x, whose slope has all digits where 1 − y² has none."""
    return np.tanh(x)


@primitive(elementwise=True)
def sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ), of any shape, without overflow.

    >>> sigmoid(0.0)
    np.float64(0.5)
    """
    x = _floats(x)
    with np.errstate(over="ignore"):
        e = np.exp(-x)
    if np.iscomplexobj(x) or np.fmax.reduce(e, None, initial=0) == np.inf:
        e = _decay(x)
        return np.where(np.real(x) >= 0, 1, e) / (1 + e)
    if type(e) is not np.ndarray:
        return 1 / (1 + e)
    e += 1
    return np.divide(1, e, e)


def _log1pexp(x: Any) -> Any:
    """log(1 + eˣ)"""
    with np.errstate(invalid="ignore"):  # NumPy warns of a nan
        return np.logaddexp(x, 0.0)


def _real(name: str, x: Any, instead: str) -> Any:
    """Numbers as floats; raises for complex ones, of which there are several logarithms."""
    if np.iscomplexobj(x):
        raise InputError(f"{name} got complex numbers", "it is a function of real ones", f"write {instead}")
    return _floats(x)


@primitive(elementwise=True)
def softplus(x: Any) -> Any:
    """log(1 + eˣ), of any shape; x is real.

    >>> softplus(0.0), softplus(-40.0)
    (np.float64(0.6931471805599453), np.float64(4.248354255291589e-18))
    """
    x = _real("softplus", x, "numpy.log1p(numpy.exp(x))")
    return _log1pexp(x)


@primitive(elementwise=True)
def log_sigmoid(x: Any) -> Any:
    """log(1 / (1 + e⁻ˣ)), of any shape; x is real.

    >>> log_sigmoid(0.0), log_sigmoid(-1000.0)
    (np.float64(-0.6931471805599453), np.float64(-1000.0))
    """
    x = _real("log_sigmoid", x, "-numpy.log1p(numpy.exp(-x))")
    return -_log1pexp(-x)


@primitive(elementwise=True)
def logcosh(x: Any) -> Any:
    """log cosh x, of any shape; x is real. It is x²/2 for small x, and |x| − log 2 for large ones.

    >>> logcosh(0.0), logcosh(-1000.0)
    (np.float64(0.0), np.float64(999.3068528194401))
    """
    x = _real("logcosh", x, "numpy.log(numpy.cosh(x))")
    size = np.abs(x)
    small = np.log1p(np.sinh(np.minimum(size, 1)) ** 2) / 2
    return np.where(size < 1, small, size - (_LN2 - np.log1p(np.exp(-size) ** 2)))[()]


@primitive(elementwise=True)
def log1mexp(x: Any) -> Any:
    """log(1 − e⁻ˣ) for x > 0, of any shape; -inf at 0, and nan below.

    By the formula of Mächler, "Accurately computing log(1 − exp(−|a|))", 2012, equation 7.

    >>> log1mexp(1e-20), log1mexp(50.0)
    (np.float64(-46.051701859880914), np.float64(-1.9287498479639178e-22))
    """
    x = _real("log1mexp", x, "numpy.log(1 - numpy.exp(-x))")
    small = x < _LN2
    near = np.log(np.where(small, -np.expm1(-x), 1))
    return np.where(small, near, np.log1p(-np.exp(-np.where(small, 1, x))))[()]


_LN2 = math.log(2)

# fmt: off
_bell      .defvjp("x")(lambda g, y, x: -g * (y * np.tanh(x / 2)))
_tanh      .defvjp("x")(lambda g, _y, x: g * (4 * _bell(2 * x)))
sigmoid    .defvjp("x")(lambda g, _y, x: g * _bell(x))
softplus   .defvjp("x")(lambda g, _y, x: g * sigmoid(x))
log_sigmoid.defvjp("x")(lambda g, _y, x: g * sigmoid(-x))
logcosh    .defvjp("x")(lambda g, _y, x: g * _tanh(x))
log1mexp   .defvjp("x")(lambda g, _y, x: g * (np.exp(-x) / -np.expm1(-x)))
# fmt: on


def _finite(x: Any) -> Any:
    """x, with 0 in the place of infinities, so that differences from it stay numbers."""
    return np.where(np.isfinite(x), x, 0)


@internal(nondiff=("axis", "keepdims"), reduces=True)
def _logsumexp(a: Any, axis: Axis, keepdims: bool) -> Any:
    a = _floats(a)
    top = _finite(np.max(a, axis, keepdims=True))
    with np.errstate(divide="ignore", over="ignore"):  # of nothing but -inf it is -inf
        made = np.log(np.sum(np.exp(a - top), axis, keepdims=True)) + top
    return made if keepdims else np.squeeze(made, axis)[()]


@_logsumexp.defvjp("a")
def _(g: Any, y: Any, a: Any, axis: Axis, _keepdims: bool) -> Any:
    """ā = ḡ p / Σ p with p = exp(a − y), whose sum is 1 but for the rounding of a large y.

    Of a that are infinite, those at the top share it; it is 0 if all are -inf.
    """
    g, y = spread(g, np.shape(a), axis), spread(y, np.shape(a), axis)
    if np.any(tops := np.equal(y, np.inf)):
        a = np.where(tops, np.where(np.equal(a, y), 0.0, -np.inf), a)
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
    with np.errstate(over="ignore"):
        e = np.exp(a - top)
    total = np.sum((1.0 if b is None else b) * e, axis=axes, keepdims=True)
    sign = np.sign(stop_gradient(total))
    with np.errstate(divide="ignore", invalid="ignore"):
        made = np.log(total * sign if return_sign else total) + top
    if not keepdims:
        made, sign = np.squeeze(made, axes)[()], np.squeeze(sign, axes)[()]
    return (made, sign) if return_sign else made


@primitive(nondiff_argnames=("axis",))
def _softmax(x: Any, axis: Axis) -> Any:
    x = _floats(x)
    with np.errstate(over="ignore"):
        e = np.exp(x - _finite(np.max(x, axis, keepdims=True)))
    return e / np.sum(e, axis, keepdims=True)


@_softmax.defjvp("x")
@_softmax.defvjp("x")
def _(g: Any, y: Any, _x: Any, axis: Axis) -> Any:
    """x̄ = y (ḡ − Σ ḡ y), and forth the same"""
    return y * (g - np.sum(g * y, axis=axis, keepdims=True))


@primitive(nondiff_argnames=("axis",))
def _log_softmax(x: Any, axis: Axis) -> Any:
    x = _floats(x)
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


# losses


@primitive(nondiff_argnames=("axis",))
def _cross_entropy(logits: Any, labels: Any, axis: int) -> Any:
    return -np.sum(labels * np.where(labels == 0, 0, _log_softmax(logits, axis)), axis)


@_cross_entropy.defvjp("logits")
def _(g: Any, _y: Any, logits: Any, labels: Any, axis: int) -> Any:
    """x̄ = ḡ (p Σ q − q), with p the softmax of the logits and q the labels"""
    total = np.sum(labels, axis=axis, keepdims=True)
    return np.expand_dims(g, axis) * (_softmax(logits, axis) * total - labels)


@_cross_entropy.defvjp("labels")
def _(g: Any, _y: Any, logits: Any, labels: Any, axis: int) -> Any:
    """q̄ = −ḡ log p"""
    return -np.expand_dims(g, axis) * _log_softmax(logits, axis)


def softmax_cross_entropy(logits: Any, labels: Any, axis: int = -1, where: Any = None) -> Any:
    """−Σ labels · log softmax(logits) along `axis`: a loss for each example, without overflow.

    Args:
        logits: scores, of any shape but `()`.
        labels: probabilities that sum to 1 along `axis`; they broadcast against `logits`.
        axis: the axis of the classes, which the result has not.
        where: the classes that take part.

    >>> softmax_cross_entropy(np.array([0.0, 1000.0]), np.array([0.5, 0.5]))
    np.float64(500.0)
    """
    if where is not None:
        logits, labels = np.where(where, logits, -np.inf), np.where(where, labels, 0)
    if np.shape(logits) != np.shape(labels):
        logits, labels = np.broadcast_arrays(logits, labels)
    return _cross_entropy(logits, labels, axis)


@primitive(nondiff_argnames=("labels", "axis"))
def _cross_entropy_of_classes(logits: Any, labels: Any, axis: int) -> Any:
    picked = np.take_along_axis(_log_softmax(logits, axis), np.expand_dims(labels, axis), axis)
    return 0 - np.squeeze(picked, axis)[()]  # not -0.0


@_cross_entropy_of_classes.defvjp("logits")
def _(g: Any, _y: Any, logits: Any, labels: Any, axis: int) -> Any:
    """x̄ = ḡ (p − q), with p the softmax of the logits and q = 1 for the class of the label, 0 for the others"""
    p = _softmax(logits, axis)
    q = np.zeros(p.shape, p.dtype)
    np.put_along_axis(q, np.expand_dims(labels, axis), 1, axis)
    return np.expand_dims(g, axis) * (p - q)


def softmax_cross_entropy_with_integer_labels(logits: Any, labels: Any, axis: int = -1, where: Any = None) -> Any:
    """−log softmax(logits) at the label: a loss for each example, without overflow.

    Args:
        logits: scores, of any shape but `()`.
        labels: integers, the number of the class of each example; of the shape of `logits` without `axis`.
        axis: the axis of the classes, which the result has not.
        where: the classes that take part.

    Raises:
        InputError: labels that are no integers, or of another shape.

    >>> softmax_cross_entropy_with_integer_labels(np.array([[0.0, 1000.0], [0.0, 0.0]]), np.array([1, 0]))
    array([0.        , 0.69314718])
    """
    labels = np.asarray(stop_gradient(labels))
    shape = np.shape(logits)
    classes = axis % len(shape) if -len(shape) <= axis < len(shape) else len(shape)
    if labels.dtype.kind not in "iu" or labels.shape != shape[:classes] + shape[classes + 1 :] or classes == len(shape):
        raise InputError(
            f"softmax_cross_entropy_with_integer_labels got labels of shape {labels.shape}, dtype {labels.dtype}",
            f"the logits have shape {shape}, with the classes along axis {axis}",
            "pass an integer for each example; for probabilities there is softmax_cross_entropy",
        )
    logits = logits if where is None else np.where(where, logits, -np.inf)
    return _cross_entropy_of_classes(logits, labels, axis)


# layers


@primitive
def affine(x: Any, w: Any, b: Any) -> Any:
    """x @ w + b.

    Args:
        x: inputs, `(..., n)`.
        w: weights, `(n, m)`.
        b: what is added, `(m,)` or anything that broadcasts against `(..., m)`.

    >>> affine(np.array([1.0, 2.0]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([11.5])
    """
    y = np.matmul(x, w)
    if type(b) is np.ndarray and b.dtype == np.result_type(y) and y.shape[-1:] == b.shape:
        y += b
        return y
    return y + b


def _of_product(g: Any, x: Any, w: Any) -> Any:
    """ḡ as that of x @ w, which b may have been larger than."""
    rows, columns = np.shape(x), np.shape(w)
    stack = np.broadcast_shapes(rows[:-2], columns[:-2])
    return sum_to(g, (*stack, *rows[-2:-1], *(columns[-1:] if len(columns) > 1 else ())))


affine.defvjp("x")(lambda g, _y, _x, w, _b: matmul_left(_of_product(g, _x, w), _y, _x, w))
affine.defvjp("w")(lambda g, _y, x, _w, _b: matmul_right(_of_product(g, x, _w), _y, x, _w))
affine.defvjp("b")(lambda g, _y, _x, _w, _b: unbroadcast(g, _b))
affine.defjvp("x")(lambda t, _y, _x, w, _b: np.matmul(t, w))
affine.defjvp("w")(lambda t, _y, x, _w, _b: np.matmul(x, t))
affine.defjvp("b")(lambda t, _y, _x, _w, _b: np.broadcast_to(t, _y.shape))


__all__ = [
    "affine",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logcosh",
    "logsumexp",
    "relu",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "softplus",
]
