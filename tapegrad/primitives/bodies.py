"""Running the body of a primitive: what of its arguments the tape keeps, what a user's body gets and gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from numbers import Number
from sys import getrefcount
from typing import Any

import numpy as np

from .. import tree
from ..errors import PrimitiveError
from ..guard import read_only
from ..tape import Scope

_ndarray = np.ndarray

# the types of an argument that need no second look
LEAVES = frozenset(
    {float, int, bool, complex, str, type(None), slice, type, type(Ellipsis), np.ndarray}
    | {np.dtype(code).type for code in np.typecodes["All"]}
)


def refuse_odd(name: str, y: Any) -> None:
    """Raise if an answer holds objects, or is an array with a mind of its own."""
    odd = isinstance(y, _ndarray) and (y.dtype.hasobject or type(y) is not _ndarray)
    odd = odd or (isinstance(y, Number) and not isinstance(y, (int, float, complex, np.generic)))  # a fraction
    if odd or hasattr(y, "to_numpy") or hasattr(y, "toarray"):
        kind = "an array of objects" if type(y) is _ndarray else f"a {type(y).__module__}.{type(y).__name__}"
        raise PrimitiveError(
            f"{name} gave {kind} for a traced value",
            "its derivative is known for numbers and plain arrays of them",
            "pass and return arrays of numbers: numpy.asarray(x, float)",
        )


def kept(value: Any, given: Any, scope: Scope) -> Any:
    """What the tape keeps of an argument: of the caller's arrays, those in containers included, what stays the same.

    `given` is the argument as it was passed, a tracer or a container with tracers.
    """
    if isinstance(given, _ndarray):
        return scope.keep(given if type(given) is _ndarray else np.asarray(given))
    if type(given) in LEAVES or not tree.is_node(given):
        return value
    leaves, structure = tree.flatten(value)
    parts = zip(leaves, tree.leaves(given))
    return structure.unflatten([scope.keep(a) if type(b) is _ndarray else a for a, b in parts])


_NONE: dict[str, Any] = {}


def run(body: Callable[..., Any], plain: Any, given: Any, options: Any = _NONE, words: Any = _NONE) -> Any:
    """What the body of a user's primitive gives: it can write neither to the tape's arrays, nor later to its answer.

    `plain` are the arguments and `given` the same as they were passed, `options` and `words` those by keyword.
    """
    args = [a if a is b else _lend(a, b) for a, b in zip(plain, given)]
    lent = {word: _lend(a, words[word]) for word, a in options.items()} if options else _NONE
    try:
        made = [body(*args, **lent)]
    except ValueError as error:
        if "read-only" in str(error):
            error.add_note(
                f"tapegrad: the tape needs what {getattr(body, '__name__', 'the body')} wanted to change; "
                "let it work on a copy: x = x.copy()"
            )
        raise
    for a, b, c in zip(args, plain, given):
        if made[0] is a and b is not c:
            return b  # to be known as the same array
    return owned(made.pop(), [b for b, c in zip(plain, given) if b is not c and type(b) is _ndarray])


def owned(y: Any, lent: Sequence[Any] = ()) -> Any:
    """An answer that nobody else can write to, be it a part of the tape's arrays that were lent."""
    if type(y) is float:
        return y
    if type(y) is _ndarray:
        return y if _is_alone(y) or (lent and _is_part(y, lent)) else y.copy("K")
    if y is not None and tree.is_node(y):
        leaves, structure = tree.flatten(y)
        del y
        for k in range(len(leaves)):
            y, leaves[k] = leaves[k], None
            keep = type(y) is not _ndarray or _is_alone(y) or (lent and _is_part(y, lent))
            leaves[k] = y if keep else y.copy("K")
        return structure.unflatten(leaves)
    return y


def _is_part(y: Any, lent: Sequence[Any]) -> bool:
    """Whether an array is a view of one of the tape's, so that later assignments to either can be told."""
    return y.base is not None and not y.flags.writeable and any([y.base is a or y.base is a.base for a in lent])


def _lend(value: Any, given: Any) -> Any:
    """An argument for the body: the tape's arrays cannot be written to."""
    if value is given:
        return value
    if type(value) is _ndarray:
        return read_only(value)
    return tree.map(lambda a: read_only(a) if type(a) is _ndarray else a, value) if tree.is_node(value) else value


def _is_alone(y: Any) -> bool:
    """Whether the caller of this function is the only one that has an array, or what it is a view of."""
    if _holders(y) > _ALONE:
        return False
    base = type(y.base) is _ndarray and y.base.base is None and y.base.flags.owndata
    return y.base is None or (base and _holders(y.base) < _ALONE)


def _holders(y: Any) -> int:
    return getrefcount(y)


def _calibrate() -> int:
    if sys.implementation.name != "cpython":
        return -1
    y = np.empty(1)
    return (lambda y: _holders(y))(y)


_ALONE = _calibrate()
