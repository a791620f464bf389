"""Functions that reduce axes: each sends its cotangent back over the axes that it reduced.

In the equations ḡ and y stand for themselves spread over the reduced axes, and n counts what was reduced to
one number. Tied maxima and minima share ḡ equally; norm and std have slope 0 where they are 0. Norm, var
and std of complex numbers are real, so their rules have the conjugate of x.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import PrimitiveError
from ..primitives.cotangent import Axis, reduced_axes, spread
from ..primitives.define import array_function, composed
from ..primitives.partial import partial
from ..tracer import FUNCTIONS, METHODS, Tracer, plain
from .elementwise import refuse_out
from .joining import asarray
from .kinks import cone
from .structure import _conjugate, _shape

Shape = tuple[int, ...]


def _reduction(function: Any, **words: Any) -> Callable[[Callable[..., Any]], Any]:
    """array_function, where the array alone carries a derivative, and may be a list of traced values."""

    def decorate(body: Callable[..., Any]) -> Any:
        return array_function(function, nondiff=[*inspect.signature(body).parameters][1:], **words)(body)

    return decorate


def _count(shape: Shape, axis: Axis) -> int:
    return math.prod(shape if axis is None else [shape[k] for k in reduced_axes(shape, axis)])


def _ratio(g: Any, y: Any) -> Any:
    """g / y, and g where y is 0: what it then multiplies is 0."""
    return g / np.where(y == 0, 1, y)


def _filled(g: Any, shape: Shape, axis: Axis) -> Any:
    """What a reduction gave, at each of the elements that it came from."""
    if isinstance(g, Tracer) or math.prod(shape) > 8192:
        return np.broadcast_to(spread(g, shape, axis), shape)
    # a small array is sooner made than a view
    if isinstance(g, float):  # of Python or NumPy, as from a loss
        made = np.empty(shape)
        made.fill(g)
    else:
        made = np.empty(shape, g.dtype)
        made[...] = spread(g, shape, axis)
    return made


def _added(a: Any, axis: Axis, dtype: Any, keepdims: bool) -> Any:
    """np.sum, and for NumPy's own arrays what it comes down to."""
    if type(a) is np.ndarray:
        return np.add.reduce(a, axis, dtype, None, keepdims)  # type: ignore[call-overload]
    return np.sum(a, axis, dtype, keepdims=keepdims)


# sums


@_reduction(np.sum, linear=(0,))
def sum(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    initial: Any = 0, where: Any = True,
) -> Any:  # fmt: skip
    return _added(a, axis, dtype, keepdims)


@sum.defvjp("a")
def _(g: Any, _y: Any, _a: Any, axis: Axis, *_: Any) -> Any:
    """x̄ᵢ = ḡ for every element that was summed."""
    return _filled(g, _shape(_a), axis)


@_reduction(np.mean, linear=(0,))
def mean(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = True
) -> Any:
    if type(a) is np.ndarray and a.dtype.char in "fd" and dtype is None and a.size:  # as np.mean does it
        y = _added(a, axis, None, keepdims)
        return y / (a.size // y.size)
    return np.mean(a, axis, dtype, keepdims=keepdims)


@mean.defvjp("a")
def _(g: Any, _y: Any, _a: Any, axis: Axis, *_: Any) -> Any:
    """x̄ᵢ = ḡ / n."""
    shape = _shape(_a)
    return _filled(g * (1 / (_count(shape, axis) or 1)), shape, axis)


@_reduction(np.cumsum, linear=(0,))
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    return np.cumsum(a, axis, dtype)


@cumsum.defvjp("a")
def _(g: Any, _y: Any, _a: Any, axis: int | None, *_: Any) -> Any:
    """x̄ᵢ = Σₖ≥ᵢ ḡₖ."""
    along = axis or 0
    return np.reshape(np.flip(np.cumsum(np.flip(g, along), along), along), _shape(_a))


@composed(np.average)
def average(a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    a = asarray(a)
    if weights is None:
        result = np.mean(a, axis, keepdims=keepdims)
        total = result.dtype.type(a.size / (result.size or 1))
    else:
        w = _weights(a, axis, asarray(weights))
        dtype = np.result_type(a.dtype, w.dtype)
        total = np.sum(w, axis, dtype, keepdims=keepdims)
        if np.any(total == 0):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        result = np.sum(a * w, axis, dtype, keepdims=keepdims) / total
    return (result, np.broadcast_to(total, result.shape) + 0) if returned else result


def _weights(a: Any, axis: Axis, w: Any) -> Any:
    """The weights of an average, so that they broadcast to `a`."""
    if w.shape == a.shape:
        return w
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = reduced_axes(a.shape, axis)
    if w.shape != tuple([a.shape[k] for k in axes]):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    w = np.transpose(w, np.argsort(axes).tolist())
    return np.reshape(w, [n if k in axes else 1 for k, n in enumerate(a.shape)])


# deviations from the mean


def _of_deviations(function: Any) -> Any:
    def body(
        a: Any, axis: Axis = None, dtype: Any = None, out: None = None, ddof: Any = 0, keepdims: bool = False,
        where: Any = True, mean: None = None, correction: Any = None,
    ) -> Any:  # fmt: skip
        if mean is not None:
            raise PrimitiveError(
                f"{function.__name__} was called with mean= and a traced value",
                "the derivative of such a call is not known",
                "leave it out: the mean is computed again",
            )
        return function(a, axis, dtype, ddof=_degrees(ddof, correction), keepdims=keepdims)

    body.__name__ = function.__name__
    return _reduction(function, reduces=True)(body)


def _degrees(ddof: Any, correction: Any) -> Any:
    if correction is not None and ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return ddof if correction is None else correction


def _deviation(g: Any, a: Any, axis: Axis, dtype: Any, _out: None, ddof: Any, *others: Any) -> Any:
    """ḡ (x − m)* / (n − ddof), with m the mean of x."""
    shape = _shape(a)
    n = _count(shape, axis)
    if n == 0:
        return np.zeros_like(a)
    free = n - _degrees(ddof, others[-1])
    deviation = a - np.mean(a, axis, dtype, keepdims=True)
    return _conjugate(deviation) * spread(g * (1 / free if free > 0 else math.nan), shape, axis)


var, std = _of_deviations(np.var), _of_deviations(np.std)


@var.defvjp("a")
def _(g: Any, _y: Any, a: Any, *settings: Any) -> Any:
    """x̄ = 2ḡ (x − m)* / (n − ddof)."""
    return _deviation(2 * g, a, *settings)


@std.defvjp("a")
def _(g: Any, y: Any, a: Any, *settings: Any) -> Any:
    """x̄ = ḡ (x − m)* / (n − ddof) y."""
    shape, axis = _shape(a), settings[0]
    y = spread(y, shape, axis)
    slope = _deviation(_ratio(spread(g, shape, axis), y), a, *settings)
    return cone("std", slope, y) if _count(shape, axis) > 1 else slope  # of one number it is 0, wherever that is


# products


@_reduction(np.prod, reduces=True)
def prod(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    initial: Any = 1, where: Any = True,
) -> Any:  # fmt: skip
    return np.prod(a, axis, dtype, keepdims=keepdims)


@prod.defvjp("a")
def _(g: Any, _y: Any, a: Any, axis: Axis, *_: Any) -> Any:
    """x̄ᵢ = ḡ ∏ⱼ≠ᵢ xⱼ, without a division, so that zeros do no harm."""
    shape = _shape(a)
    axes = reduced_axes(shape, axis)
    order = [*(k for k in range(len(shape)) if k not in axes), *axes]
    x = np.transpose(a, order)
    rows = np.reshape(x, (*x.shape[: len(shape) - len(axes)], _count(shape, axis)))
    others = np.transpose(np.reshape(_others(rows), x.shape), np.argsort(order).tolist())
    return spread(g, shape, axis) * others


def _others(x: Any) -> Any:
    """For each element the product of all others along the last axis, by a tree of products of two."""
    n = x.shape[-1]
    if n < 2:
        return np.ones_like(x)
    half = n // 2
    left, right, odd = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    others = _others(np.concatenate([left * right, odd], -1))
    pairs = others[..., :half]
    return np.concatenate([right * pairs, left * pairs, others[..., half:]], -1)


@_reduction(np.cumprod)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    return np.cumprod(a, axis, dtype)


@cumprod.defvjp("a")
def _(g: Any, y: Any, a: Any, axis: int | None, *_: Any) -> Any:
    """x̄ᵢ = ∏ⱼ<ᵢ xⱼ · Σₖ≥ᵢ ḡₖ ∏ᵢ<ⱼ≤ₖ xⱼ."""
    shape = _shape(a)
    along = axis if axis is not None and shape else 0
    x = np.moveaxis(np.reshape(a, y.shape), along, -1)
    g, y = np.moveaxis(g, along, -1), np.moveaxis(y, along, -1)
    before = np.concatenate([np.ones_like(y[..., :1]), y[..., :-1]], -1)
    return np.reshape(np.moveaxis(before * _tails(g, x), -1, along), shape)


@cumprod.defjvp("a")
def _(t: Any, y: Any, a: Any, axis: int | None, *_: Any) -> Any:
    """ẏᵢ = xᵢ ẏᵢ₋₁ + yᵢ₋₁ ẋᵢ."""
    along = axis if axis is not None and np.ndim(a) else 0
    t, x, y = [np.moveaxis(np.reshape(c, y.shape), along, -1) for c in (t, a, y)]
    one = np.ones_like(y[..., :1])
    news = np.concatenate([one, y[..., :-1]], -1) * t
    steps = np.concatenate([one, np.flip(x, -1)[..., :-1]], -1)
    return np.moveaxis(np.flip(_tails(np.flip(news, -1), steps), -1), -1, along)


def _tails(g: Any, x: Any) -> Any:
    """sᵢ = gᵢ + xᵢ₊₁ sᵢ₊₁ along the last axis; one by one if products of many x leave the range of numbers."""
    s = _doubled(g, x)
    if np.isfinite(plain(s)).all():
        return s
    parts = [g[..., -1]]
    for k in range(g.shape[-1] - 2, -1, -1):
        parts.append(g[..., k] + x[..., k + 1] * parts[-1])
    return np.stack(parts[::-1], -1)


def _doubled(g: Any, x: Any) -> Any:
    """The same in log n steps that double the reach."""
    n, reach = g.shape[-1], 1
    factors = x[..., 1:]
    while reach < n:
        g = np.concatenate([g[..., :-reach] + factors * g[..., reach:], g[..., -reach:]], -1)
        factors = factors[..., : max(n - 2 * reach, 0)] * factors[..., reach:]
        reach *= 2
    return g


# extrema


def _extremum(function: Any) -> None:
    def body(
        a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Any:
        return function(a, axis, keepdims=keepdims)

    def vjp(g: Any, y: Any, a: Any, axis: Axis, *_: Any) -> Any:
        """x̄ᵢ = ḡ in equal shares for the elements that are y, else a hole; where y is nan, for those that are nan."""
        shape = _shape(a)
        won = np.equal(a, spread(y, shape, axis))
        if np.any(np.isnan(y)):
            won = won | np.isnan(a)
        blocks = np.logical_or.reduce(won, axis)
        if np.count_nonzero(won) == np.count_nonzero(blocks):  # one for each that has any
            return partial(np.broadcast_to(spread(g, shape, axis), shape), won)
        winners = np.count_nonzero(won, axis, keepdims=axis is not None)
        share = np.divide(1, winners, dtype=np.float64).astype(y.dtype)
        return partial(np.broadcast_to(spread(g, shape, axis) * share, shape), won)

    body.__name__ = function.__name__
    _reduction(function, reduces=True)(body).defvjp("a")(vjp)


_extremum(np.max)
_extremum(np.min)
FUNCTIONS[np.amax], FUNCTIONS[np.amin] = FUNCTIONS[np.max], FUNCTIONS[np.min]


@composed(np.ptp)
def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    refuse_out("ptp", out)
    a = asarray(a)
    return np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)


# methods of ufuncs, which go along axis 0 unless told


def _along_first(function: Any) -> Callable[..., Any]:
    def call(a: Any, /, axis: Axis = 0, **options: Any) -> Any:
        given = {word: value for word, value in options.items() if value is not None and word != "array"}
        return FUNCTIONS[function](a, axis=axis, **given)

    return call


for _ufunc, _how, _function in (
    (np.add, "reduce", np.sum),
    (np.add, "accumulate", np.cumsum),
    (np.multiply, "reduce", np.prod),
    (np.multiply, "accumulate", np.cumprod),
    (np.maximum, "reduce", np.max),
    (np.minimum, "reduce", np.min),
    (np.logical_and, "reduce", np.all),
    (np.logical_or, "reduce", np.any),
):
    METHODS[_ufunc, _how] = _along_first(_function)
