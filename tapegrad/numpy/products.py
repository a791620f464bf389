"""Products of arrays."""
from typing import Any
import numpy as np
from ..primitives.define import elementwise
matmul = elementwise(np.matmul, lambda g, _y, _x, z: np.matmul(g, np.swapaxes(z, -1, -2)), lambda g, _y, x, _z: np.matmul(np.swapaxes(x, -1, -2), g))
import operator
matmul.operator = matmul.operator(operator.matmul)[0]
