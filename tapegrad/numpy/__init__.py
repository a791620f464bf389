"""NumPy's names, for plain and for traced values.

A function that has a rule here is called without the cost of NumPy's dispatch, and differentiated where
its arguments are traced. Every other name is NumPy's own, which raises MissingRuleError on a traced value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as _numpy

from ..tracer import FUNCTIONS as _FUNCTIONS
from ..tracer import UFUNCS as _UFUNCS
from . import (
    creation,
    elementwise,
    indexing,
    joining,
    norms,
    operators,
    products,
    reductions,
    sorting,
    structure,
    subscripts,
    updates,
)
from .updates import index_add, index_multiply, index_set

if TYPE_CHECKING:  # to a checker and an editor the names are NumPy's
    from numpy import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]
else:
    from . import fft, linalg


def _names(module: Any) -> dict[str, Any]:
    """The names of one of NumPy's modules that are there without loading more of NumPy, ours where we have them."""
    found = {name: vars(module)[name] for name in module.__all__ if name in vars(module)}
    for name, value in found.items():
        if isinstance(value, _numpy.ufunc):
            found[name] = _UFUNCS.get(value, value)
        elif callable(value) and not isinstance(value, type):
            found[name] = _FUNCTIONS.get(value, value)
    return found


for _ours, _theirs in ((linalg, _numpy.linalg), (fft, _numpy.fft)):
    for _name, _value in _names(_theirs).items():
        setattr(_ours, _name, _value)
globals().update({name: value for name, value in _names(_numpy).items() if name not in ("linalg", "fft")})


def __getattr__(name: str) -> Any:
    """The parts of NumPy that it loads when they are asked for."""
    return getattr(_numpy, name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [*_numpy.__all__, "index_add", "index_multiply", "index_set"]  # pyright: ignore[reportUnsupportedDunderAll]
