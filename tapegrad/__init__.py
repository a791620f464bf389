"""Automatic differentiation for people who think in NumPy."""

from . import numpy, tree
from .errors import TapegradError
from .primitives.cotangent import unbroadcast
from .primitives.define import Primitive, primitive
from .tracer import is_tracer
from .transforms import grad, stop_gradient, value_and_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "Primitive",
    "TapegradError",
    "grad",
    "is_tracer",
    "numpy",
    "primitive",
    "stop_gradient",
    "tree",
    "unbroadcast",
    "value_and_grad",
    "vjp",
]
