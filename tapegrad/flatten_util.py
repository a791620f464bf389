"""A tree of numbers and arrays as one vector, and back: for optimizers and solvers that want a vector.

>>> from tapegrad.flatten_util import ravel_pytree
>>> flat, unravel = ravel_pytree({"w": [1.0, 2.0], "b": 3.0})
>>> flat
array([3., 1., 2.])
>>> unravel(10 * flat)
{'w': [10.0, 20.0], 'b': 30.0}
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad import tree
from tapegrad.errors import InputError, TreeError
from tapegrad.primitives.inputs import plain_form
from tapegrad.tracer import Tracer

__all__ = ["ravel_pytree"]

_NUMBERS = (bool, int, float, complex)


class _Place(NamedTuple):
    """Where a leaf stands in the vector, and what it was."""

    start: int
    stop: int
    shape: tuple[int, ...] | None  # None for a number, which is no array
    dtype: Any
    plain: bool  # a number of Python's own


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaves of a tree in one vector, and the function that makes such a tree of such a vector.

    The vector has shape `(n,)`, n being the number of elements of all leaves, in the order of `tree.leaves`; its dtype
    is `np.result_type` of theirs (float64 without leaves). It shares no memory with the leaves. Traced leaves give a
    traced vector.

    `unravel(vector)` gives each leaf its shape, class (arrays of no dimensions, NumPy's and Python's numbers) and dtype
    back, and shares no memory with the vector either. A vector of a higher kind than the first, a complex one for a
    real tree or a real one for integers, would lose something by that: its numbers keep their dtype. TreeError if its
    shape is not `(n,)`, InputError for leaves that are not numeric.

    >>> import numpy as np
    >>> flat, unravel = ravel_pytree((np.ones((2, 2), np.float32), 3))
    >>> flat
    array([1., 1., 1., 1., 3.])
    >>> unravel(2 * flat)
    (array([[2., 2.],
           [2., 2.]], dtype=float32), 6)
    """
    leaves, treedef = tree.flatten(pytree)
    pieces, places, start = [], [], 0
    for i, leaf in enumerate(leaves):
        piece = _raveled(leaf, pytree, i)
        shape = np.shape(leaf)
        number = not shape and not isinstance(leaf, np.ndarray)
        stop = start + np.size(piece)
        places.append(_Place(start, stop, None if number else shape, piece.dtype, type(leaf) in _NUMBERS))
        pieces.append(piece)
        start = stop
    flat = np.concatenate(pieces) if pieces else np.zeros(0)
    return flat, functools.partial(_unravel, treedef, tuple(places), start, flat.dtype)


def _raveled(leaf: Any, pytree: Any, i: int) -> Any:
    kind = type(leaf)
    if kind in (np.ndarray, np.memmap) or isinstance(leaf, (*_NUMBERS, np.generic, Tracer)):
        piece = np.ravel(leaf)
        if piece.dtype.kind in "biufc":
            return piece
    path = tree.keystr(tree.leaves_with_path(pytree)[i][0]) or "the root"
    plain = plain_form(leaf, "x")
    raise InputError(
        f"ravel_pytree got {kind.__name__} {leaf!r:.60} at {path}".replace("\n", " "),
        "a vector holds booleans, integers, real and complex numbers, of plain arrays or alone",
        f"pass {plain} in its place"
        if plain
        else "take such leaves out of the tree, or make them metadata of a registered class",
    )


def _unravel(treedef: tree.Structure, places: tuple[_Place, ...], size: int, dtype: Any, flat: Any) -> Any:
    shape = np.shape(flat)
    if shape != (size,) or getattr(getattr(flat, "dtype", None), "kind", "") not in tuple("biufc"):
        raise TreeError(
            f"unravel got {type(flat).__name__} of shape {shape}",
            f"its tree has {size} numbers in {treedef.num_leaves} leaves",
            f"give it a vector of shape ({size},), as that of ravel_pytree",
        )
    plain = not isinstance(flat, Tracer)
    flat = np.array(flat) if plain else flat.copy()  # the leaves are views of this, and of nothing of the caller's
    restore = np.can_cast(flat.dtype, dtype, "same_kind")
    leaves = []
    for place in places:
        leaf = flat[place.start] if place.shape is None else np.reshape(flat[place.start : place.stop], place.shape)
        if restore and leaf.dtype != place.dtype:
            real = leaf.dtype.kind == "c" and place.dtype.kind != "c"
            leaf = (np.real(leaf) if real else leaf).astype(place.dtype)
        leaves.append(leaf.item() if plain and place.plain else leaf)
    return treedef.unflatten(leaves)
