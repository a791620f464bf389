"""Slopes at kinks, where what the parts of a function tell does not tell what becomes of it.

|x| has slope 0 at 0 by convention. So local rules give |x|² the second derivative 0 there, and the truth is 2: what
such a slope changes by is not known. Where somebody asks for that, it raises.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import MissingRuleError
from ..primitives.define import internal
from ..primitives.notes import doubt
from ..tracer import Tracer, plain


def cone(name: str, slope: Any, y: Any) -> Any:
    """The slope of a function that has the tip of a cone where y = 0: it is 0 there, and changes as nobody knows.

    So its own derivative raises there. In a hole it does not: on the way back `_unknown`, which leaves holes as they
    are, makes it nan, and `_refused`, which finds zeros in them, looks for that. On the way forth the selection that
    leaves it out is still to come: `doubt` waits for it where the reading allows that.
    """
    if isinstance(y, Tracer) and np.any(y._value == 0):
        return _unknown(_refused(slope, y, name), y)
    return slope


@internal(nondiff=("name",), constants=("y",), linear=("slope",), views=True)
def _refused(slope: Any, y: Any, name: str) -> Any:
    return slope


@_refused.defvjp("slope")
def _(g: Any, _y: Any, _slope: Any, y: Any, name: str) -> Any:
    if np.any(np.isnan(g) & (y == 0)):
        raise _no_curvature(name)
    return g


@_refused.defjvp("slope")
def _(t: Any, _y: Any, _slope: Any, y: Any, name: str) -> Any:
    if np.any(y == 0):
        doubt(_no_curvature(name))
    return t


@internal(constants=("y",), elementwise=True, views=True)
def _unknown(slope: Any, y: Any) -> Any:
    return slope


_unknown.defvjp("slope")(lambda g, _y, _slope, y: np.where(y == 0, math.nan, g))


def _no_curvature(name: str) -> MissingRuleError:
    if name == "absolute":
        hint = (
            "square x itself for abs(x)**2, numpy.logaddexp(0, x) is a softplus; "
            "x * numpy.sign(x) is abs(x) with slope 0 for good"
        )
    else:
        hint = "differentiate the sum of the squares instead: numpy.sum(x * x)"
    return MissingRuleError(
        f"{name} has no second derivative where it is 0",
        "the slope 0 that it is given there says nothing of the curvature",
        hint,
    )


@internal(elementwise=True, linear=("g",))
def signed(g: Any, x: Any) -> Any:
    """g sign(x), with no hole where that is 0, for it is so by convention."""
    return g * np.sign(x)


signed.defvjp("g")(lambda g, _y, _g, x: signed(g, plain(x)))
signed.defvjp("x")(lambda g, _y, _g, _x: None)
