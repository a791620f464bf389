"""What one can differentiate by, and how a message speaks of it and of what one cannot."""

from __future__ import annotations

import inspect
import numbers
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import tree
from ..errors import InputError
from ..tracer import Tracer, dtype_of, shape_of


def parameter(fun: Any, k: int) -> str | None:
    """The name of argument number `k` of a function, None where its signature does not tell."""
    try:
        found = [*inspect.signature(fun).parameters.values()][k]
    except (TypeError, ValueError, IndexError):
        return None
    return found.name if found.kind in (found.POSITIONAL_ONLY, found.POSITIONAL_OR_KEYWORD) else None


def path_of(argument: Any, k: int, j: int, fun: Any) -> tuple[str, str]:
    """What to call the j-th leaf of argument k, params['w'][1] or argument 0['w'][1], and what to type for it."""
    steps = tree.keystr(tree.leaves_with_path(argument)[j][0])
    name = parameter(fun, k)
    if len(steps) > 200:
        return f"{name or f'argument {k}'}{steps[:90]}...{steps[-90:]}", "x"
    return f"{name or f'argument {k}'}{steps}", "x" if "<" in steps else f"{name or 'x'}{steps}"


def refused(leaf: Any, name: str, path: str, word: str) -> InputError:
    """The error for a leaf that cannot vary: its path, and the word that stands for it in code."""
    instead = plain_form(leaf, word)
    hold = "or hold it constant, by argnums or in a lambda"
    if type(leaf) is np.ndarray or isinstance(leaf, np.generic):
        return InputError(
            f"{name} cannot differentiate by {path}: it has dtype {leaf.dtype}",
            f"shape {leaf.shape}; what can vary continuously has a dtype of floats or complex numbers",
            f"pass {instead or 'numbers as an array of floats'}, {hold}",
        )
    if isinstance(leaf, np.ndarray):
        return InputError(
            f"{name} cannot differentiate by {path}: it is {a_kind(leaf)}",
            "subclasses of ndarray lose what makes them special, or the derivative",
            f"pass a plain array: {instead}",
        )
    way = f"pass {instead}" if instead else "register a class with tapegrad.tree.register_dataclass or register_node"
    return InputError(
        f"{name} cannot differentiate by {path}: it is {a_kind(leaf)}",
        "what can be differentiated by: floats, complex numbers, arrays of them, and nests of these "
        "(list, tuple, dict, None, registered classes)",
        f"{way}, {hold}",
    )


def plain_form(x: Any, word: str) -> str:
    """What to type for a plain number, array or list of them in the place of x, a `word` in code; "" if nothing is."""
    dtype = getattr(x, "dtype", None)
    if hasattr(x, "filled"):
        return f"{word}.filled(value)"
    if hasattr(x, "to_numpy") or hasattr(x, "toarray"):  # of pandas, of scipy.sparse
        return f"{word}.{'to_numpy' if hasattr(x, 'to_numpy') else 'toarray'}()"
    if isinstance(x, (np.ndarray, np.generic)) and dtype is not None:
        if dtype.names:
            return f"{word}[{dtype.names[0]!r}]"
        if type(x) is np.ndarray or isinstance(x, np.generic):
            return f"{word}.astype(float)" if dtype.kind in "iubO" else ""
    if isinstance(x, numbers.Number):
        return f"float({word})"
    if isinstance(x, (str, bytes, bytearray, type)):
        return ""
    if isinstance(x, memoryview) or hasattr(x, "__array__") or type(x).__module__ == "array":
        return f"numpy.asarray({word})"
    return f"list({word})" if isinstance(x, Iterable) else ""


def a_kind(x: Any) -> str:
    """The class of a value, with where it comes from: a float, a pandas.Series."""
    kind = type(x)
    if kind.__module__ in ("builtins", "array"):
        return f"{'an' if kind.__name__[0] in 'aeiou' else 'a'} {kind.__name__}"
    return f"a {kind.__module__}.{kind.__qualname__}"


def as_float(x: int) -> float:
    try:
        return float(x)
    except OverflowError:
        raise InputError(
            f"an integer of {x.bit_length()} bits is too large to be differentiated by",
            f"an int counts as a float, which goes up to {sys.float_info.max:.3g}",
            "scale it, or hold it constant by argnums",
        ) from None


def describe(value: Any) -> str:
    """A value in an error message."""
    if isinstance(value, Tracer):
        return f"shape {shape_of(value._spec)}, dtype {dtype_of(value._spec)}"
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        return f"{a_kind(value)} of shape {value.shape}, dtype {value.dtype}"
    if isinstance(value, (np.ndarray, np.generic)):
        return f"shape {value.shape}, dtype {value.dtype}"
    return type(value).__name__
