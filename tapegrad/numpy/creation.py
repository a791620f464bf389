"""New arrays like a traced one: nothing flows from what was never computed, but they can be assigned to."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitives.define import composed
from ..tracer import FUNCTIONS, LIKE, Tracer, blank, constant_of, is_inexact, plain


def _like(function: Any) -> None:
    @composed(function)
    def like(a: Any, *args: Any, **kwargs: Any) -> Any:
        made = function(plain(a), *args, **kwargs)
        if function is np.empty_like and isinstance(a, Tracer) and a._scope.linear:
            made[...] = 0  # whatever there is else would be a constant
        return _writable(made, a)


def _writable(made: Any, a: Any) -> Any:
    """A new array as one that can be assigned to, as the traced one after which it was made can."""
    return blank(made, a._scope) if isinstance(a, Tracer) and is_inexact(made) else made


_NEW: tuple[Any, ...] = (np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri)
LIKE |= dict.fromkeys(_NEW, _writable)  # numpy.zeros(3, like=x)


for _function in (np.zeros_like, np.ones_like, np.empty_like):
    _like(_function)


@composed(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if not isinstance(fill_value, Tracer):
        return _writable(np.full_like(plain(a), fill_value, dtype, **kwargs), a)
    return _filled(np.empty_like(plain(a), dtype, **kwargs), fill_value)


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """NumPy's `full`, filled with a traced value too."""
    if not isinstance(fill_value, Tracer):
        return np.full(shape, fill_value, dtype, **kwargs)
    return _filled(np.empty(shape, dtype or fill_value.dtype, **kwargs), fill_value)


def _filled(made: Any, value: Tracer) -> Any:
    if is_inexact(made):
        made = blank(made, value._scope)
        made[...] = value
    else:
        made[...] = constant_of(value, "full")
    return made


FUNCTIONS[np.full] = full
