"""Functions that order elements. Where values decide, the result is a pick by the order that NumPy finds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitives.define import composed
from ..primitives.ufuncs import constant
from ..tracer import plain
from .structure import laid_out

for _function in (
    *(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition, np.lexsort, np.argwhere),
    *(np.nonzero, np.flatnonzero, np.count_nonzero, np.searchsorted, np.digitize, np.all, np.any),
):
    constant(_function)


@composed(np.sort)
def sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    if axis is None:
        a, axis = np.ravel(a), 0
    if kind is not None:
        np.argsort([], kind=kind)  # which knows the kinds
    made = np.take_along_axis(a, np.argsort(a, axis, kind="stable"), axis)
    return laid_out(made, "F" if plain(a).flags.fnc else "C")


@composed(np.partition)
def partition(a: Any, kth: Any, axis: int | None = -1, kind: Any = "introselect", order: Any = None) -> Any:
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take_along_axis(a, np.argpartition(a, kth, axis), axis)
