"""New arrays like a traced one: nothing flows from what was never computed, but they can be assigned to."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitives.define import composed
from ..tracer import FUNCTIONS, LIKE, Tracer, blank, is_inexact, plain


def _like(function: Any) -> None:
    @composed(function)
    def like(a: Any, *args: Any, **kwargs: Any) -> Any:
        return _writable(function(plain(a), *args, **kwargs), a)


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
    shape = kwargs.get("shape")
    return np.broadcast_to(fill_value, np.shape(a) if shape is None else shape).astype(dtype or np.result_type(a))


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """NumPy's `full`, filled with a traced value too."""
    if not isinstance(fill_value, Tracer):
        return np.full(shape, fill_value, dtype, **kwargs)
    made: Any = np.broadcast_to(fill_value, shape)
    return np.copy(made) if dtype is None else made.astype(dtype)


FUNCTIONS[np.full] = full
