"""Functions of each element: one row a function, and for each argument the rule that goes back through it.

At a kink the derivative is the mean of the two sides: 0 for `abs` at 0, equal shares for arguments that
tie in `maximum`. At a removable point it is the limit. Complex numbers: for a holomorphic function the
rule multiplies by its derivative, unconjugated, as in JAX and autograd.
"""

from __future__ import annotations

import numpy as np

from ..primitives.define import elementwise
from ..primitives.forms import through
from ..tracer import Tracer

# fmt: off
add      = elementwise(np.add,      through, through)
subtract = elementwise(np.subtract, through, lambda g, _y, _x, _z: -g)
multiply = elementwise(np.multiply, lambda g, _y, _x, z: g * z,       lambda g, _y, x, _z: g * x)
divide   = elementwise(np.divide,   lambda g, _y, _x, z: g / z,       lambda g, y, _x, z: -g * y / z)
tanh     = elementwise(np.tanh,     lambda g, y, _x: g * (1 - y * y))
sin     = elementwise(np.sin,     lambda g, _y, x: g * np.cos(x))
cos     = elementwise(np.cos,     lambda g, _y, x: -g * np.sin(x))
# fmt: on
