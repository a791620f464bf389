"""New arrays like a traced one. They are plain: nothing flows from what was never computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import PrimitiveError
from ..primitives.define import composed
from ..primitives.ufuncs import constant
from ..tracer import FUNCTIONS, Tracer

for _function in (np.zeros_like, np.ones_like, np.empty_like):
    constant(_function)


@composed(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    a = a._value if isinstance(a, Tracer) else a
    if not isinstance(fill_value, Tracer):
        return np.full_like(a, fill_value, dtype, **kwargs)
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
