"""New arrays like a traced one: nothing flows from what was never computed, but they can be assigned to."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import PrimitiveError
from ..primitives.define import composed
from ..tracer import FUNCTIONS, Tracer, fresh, is_inexact, plain


def _like(function: Any) -> None:
    @composed(function)
    def like(a: Any, *args: Any, **kwargs: Any) -> Any:
        return writable(function(plain(a), *args, **kwargs), a, function is np.ones_like)


def writable(made: Any, a: Any, constant: bool = False) -> Any:
    """A new plain array as one that can be assigned to, like the traced one that it was made after.

    To a linear function it is a `constant`, unless it is 0.
    """
    if not isinstance(a, Tracer) or not is_inexact(made):
        return made
    if a._scope.linear:
        if constant:
            return made
        made[...] = 0
    return fresh(made, a._scope)


for _function in (np.zeros_like, np.ones_like, np.empty_like):
    _like(_function)


@composed(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if not isinstance(fill_value, Tracer):
        return writable(np.full_like(plain(a), fill_value, dtype, **kwargs), a, constant=True)
    shape = kwargs.get("shape")
    return np.broadcast_to(fill_value, np.shape(a) if shape is None else shape).astype(dtype or np.result_type(a))


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """NumPy's `full`, filled with a traced value too."""
    if not isinstance(fill_value, Tracer):
        return np.full(shape, fill_value, dtype, **kwargs)
    made: Any = np.broadcast_to(fill_value, shape)
    return np.copy(made) if dtype is None else made.astype(dtype)


FUNCTIONS[np.full] = full


@composed(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    raise PrimitiveError(
        "numpy.copyto, full or full_like would write a traced value into a plain array",
        f"a plain array of shape {np.shape(dst)} cannot hold a derivative",
        "use tapegrad.numpy.full or full_like, or numpy.broadcast_to",
    )
