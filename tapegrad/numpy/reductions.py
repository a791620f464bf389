"""Functions that reduce axes: each sends its cotangent back over the axes that it reduced.

Tied maxima and minima share it equally; the norm has slope 0 at 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitives.define import array_function

Axis = int | tuple[int, ...] | None


def _spread(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """What a reduction without keepdims gave, with the reduced axes back at length 1; works with keepdims too."""
    if not shape:
        return g
    if axis is None:
        return np.reshape(g, (1,) * len(shape))
    axes = {axis % len(shape)} if not isinstance(axis, tuple) else {k % len(shape) for k in axis}
    return np.reshape(g, tuple([1 if k in axes else n for k, n in enumerate(shape)]))


@array_function(np.sum, nondiff=("axis", "dtype", "out", "keepdims"))
def sum(a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    return np.sum(a, axis=axis, dtype=dtype, keepdims=keepdims)


@sum.defvjp("a")
def _(g: Any, _y: Any, _a: Any, axis: Axis, dtype: Any, out: None, keepdims: bool) -> Any:
    """x̄ᵢ = ḡ for every element that was summed."""
    return np.broadcast_to(_spread(g, _a.shape, axis), _a.shape)
