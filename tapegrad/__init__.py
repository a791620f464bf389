"""Automatic differentiation for people who think in NumPy.

    grad, value_and_grad                the gradient of a function
    vjp, jvp, linearize                 its derivative back and forth, as linear maps
    jacrev, jacfwd, jacobian            all derivatives of all results
    hessian, hvp, gnvp                  second derivatives, and their products with vectors
    elementwise_grad                    the derivative of each element
    primitive, unbroadcast              a function of your own, with its rule
    checkpoint (remat)                  a function that is run again instead of kept
    custom_vjp, custom_jvp              a function with a rule, as JAX has them
    debug, debug_nans                   where an error comes from, where a nan comes from
    trace                               the tape, to be read
    index_set, index_add, index_multiply  arrays with some elements changed
    Array, ArrayLike                    annotations: what is an array, traced or not, and what can become one
    stop_gradient, is_tracer            what is a constant, what is not
    numpy, nn, tree                     NumPy's names, networks, nests of arrays
    testing, flatten_util               checks against finite differences, nests as one vector
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import nn, numpy, tree
from .custom import custom_jvp, custom_vjp
from .diagnosis import debug, debug_nans
from .errors import TapegradError
from .folding import checkpoint, remat
from .jacobians import elementwise_grad, gnvp, hessian, hvp, jacfwd, jacobian, jacrev
from .linear import jvp, linearize, trace, vjp
from .numpy import index_add, index_multiply, index_set
from .primitives.cotangent import unbroadcast
from .primitives.define import Primitive, primitive
from .tracer import Array, ArrayLike, is_tracer
from .transforms import grad, stop_gradient, value_and_grad

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import flatten_util, testing


def __getattr__(name: str) -> Any:
    """What is not needed to differentiate is loaded when it is asked for."""
    if name in ("flatten_util", "testing"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "Array",
    "ArrayLike",
    "Primitive",
    "TapegradError",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "debug",
    "debug_nans",
    "elementwise_grad",
    "flatten_util",
    "gnvp",
    "grad",
    "hessian",
    "hvp",
    "index_add",
    "index_multiply",
    "index_set",
    "is_tracer",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "nn",
    "numpy",
    "primitive",
    "remat",
    "stop_gradient",
    "testing",
    "trace",
    "tree",
    "unbroadcast",
    "value_and_grad",
    "vjp",
]
