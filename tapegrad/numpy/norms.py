"""Norms of vectors and matrices, with slope 0 where they are 0; of complex numbers they are real."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import MissingRuleError
from ..primitives.cotangent import Axis, reduced_axes, spread
from ..primitives.define import composed, internal
from ..tracer import plain
from .joining import asarray
from .kinks import cone
from .reductions import _count, _ratio
from .structure import _conjugate, _shape


@internal(nondiff=("ord", "axis", "keepdims"), reduces=True)
def _norm(x: Any, ord: Any, axis: Axis, keepdims: bool) -> Any:
    return np.linalg.norm(x, ord, axis, keepdims)


@_norm.defvjp("x")
def _(g: Any, y: Any, x: Any, ord: Any, axis: Axis, _keepdims: bool) -> Any:
    """x̄ = ḡ x* / y for the Euclidean norm, ḡ (|x| / y)ᵖ⁻¹ x* / |x| for the others; 0 where y or x is 0."""
    shape = _shape(x)
    y = spread(y, shape, axis)
    return cone("norm", _slope(spread(g, shape, axis), y, x, ord), y)


def _slope(g: Any, y: Any, x: Any, ord: Any) -> Any:
    if ord in (None, 2, "fro", "f"):
        return _conjugate(x) * _ratio(g, y)
    if ord % 2 == 0 and ord > 0 and not np.iscomplexobj(x):
        return g * _ratio(x, y) ** (ord - 1)
    size = np.abs(x)
    zero = (size == 0) | (y == 0)
    safe = np.where(zero, 1, size)
    slope = g * np.where(zero, 0, (safe / np.where(y == 0, 1, y)) ** (ord - 1) * _conjugate(x) / safe)
    return cone(f"abs(x)**{ord} of a norm", slope, size) if ord < 2 else slope  # whose curvature is infinite at 0


@composed(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    x = asarray(x)
    axes = reduced_axes(x.shape, axis)
    if ord in (None, "fro", "f") or (len(axes) == 1 and ord not in (0, 1, math.inf, -math.inf)):
        return _norm(x, ord, axis, keepdims)
    if len(axes) == 2 and ord in (2, -2, "nuc"):
        raise MissingRuleError(
            f"numpy.linalg.norm has no derivative rule for the order {ord!r} of a matrix",
            "that norm is made of singular values",
            "take the order 'fro', 1 or numpy.inf, or axis=k for the norms of vectors",
        )
    if not x.size or len(axes) not in (1, 2) or ord not in (1, -1, math.inf, -math.inf):
        return np.linalg.norm(plain(x), ord, axis, keepdims)  # which is constant, or raises
    size = np.abs(x)
    if len(axes) == 1 and ord == 1:
        return np.sum(size, axes, keepdims=keepdims)
    if len(axes) == 2:
        size = np.sum(size, axes[0] if abs(ord) == 1 else axes[1], keepdims=True)
    return (np.max if ord > 0 else np.min)(size, axes, keepdims=keepdims)


@composed(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = asarray(x)
    axes = reduced_axes(x.shape, axis)
    rest = [k for k in range(x.ndim) if k not in axes]
    rows = np.reshape(np.transpose(x, [*axes, *rest]), (_count(x.shape, axis), *[x.shape[k] for k in rest]))
    y = np.linalg.norm(rows, ord, 0)
    return np.reshape(y, [1 if k in axes else n for k, n in enumerate(x.shape)]) if keepdims else y


@composed(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return np.linalg.norm(x, ord, (-2, -1), keepdims)
