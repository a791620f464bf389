"""Cotangents on their way to an argument: summed to its shape, checked against its spec, added up."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CotangentError
from ..tracer import Spec, Tracer, dtype_of, shape_of, spec_of

_add: Any = np.add.reduce


def unbroadcast(g: Any, like: Any) -> Any:
    """Sum the cotangent `g` over the axes along which `like` was broadcast.

    Args:
        g: an array or number of the shape that the broadcast result has.
        like: the argument that was broadcast (an array, a number or what stands for one in a rule);
            only its shape is looked at.

    Returns:
        An array of the shape of `like`; `g` itself where the shapes agree.

    >>> import numpy as np
    >>> unbroadcast(np.ones((3, 2)), np.zeros(2))
    array([3., 3.])
    >>> unbroadcast(np.ones((3, 2)), np.zeros((3, 1)))
    array([[2.],
           [2.],
           [2.]])
    """
    return _sum_to(g, np.shape(like))


def _sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    given = g.shape if type(g) is np.ndarray else np.shape(g)
    if given == shape:
        return g
    extra = len(given) - len(shape)
    if type(g) is np.ndarray and given[extra:] == shape:  # as of a bias, or a number
        return _add(g, 0 if extra == 1 else tuple(range(extra)))
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, given[extra:], strict=True)):
        raise CotangentError(
            f"a cotangent of shape {given} cannot be summed to shape {shape}",
            "an array of the second shape does not broadcast to the first",
            "give unbroadcast the cotangent first, then the argument that was broadcast",
        )
    axes = (*range(extra), *(i for i in range(extra, len(given)) if given[i] != shape[i - extra]))
    if type(g) is np.ndarray:
        return _add(g, axes, keepdims=extra < len(axes)).reshape(shape)
    return np.reshape(np.sum(g, axis=axes), shape)


def conform(g: Any, spec: Spec, name: str, argument: Any, broadcasts: bool = False) -> Any:
    """The cotangent `g`, which a rule of `name` gave for `argument`, as one of a value of this spec.

    Another width is cast, a real argument gets the real part, and with `broadcasts` what is too large is
    summed. Anything else that does not fit raises CotangentError.
    """
    if type(g) is np.ndarray:
        if broadcasts and type(spec) is tuple and g.dtype == spec[1]:  # most of what comes here
            if g.ndim == len(spec[0]) + 1 and g.shape[1:] == spec[0]:  # a bias
                return np.add.reduce(g, 0)
            return _sum_to(g, spec[0])
        given: Spec = g.shape, g.dtype
    elif isinstance(g, Tracer):
        given = g._spec
    elif type(g) is np.float64 and spec is float:
        return float(g)
    elif isinstance(g, (np.ndarray, np.generic, float, int, complex)):
        given = spec_of(g)
    else:
        raise CotangentError(
            f"the rule of {name} for argument {argument!r} gave {_kind(g)}",
            f"the argument is {_show(spec)}",
            "return a number, an array, or None where there is no derivative",
        )
    if given == spec:
        return g
    if shape_of(given) != shape_of(spec):
        if not broadcasts:
            raise CotangentError(
                f"the rule of {name} for argument {argument!r} gave a cotangent of shape {shape_of(given)}",
                f"the argument is {_show(spec)}",
                "if the argument was broadcast, return unbroadcast(cotangent, argument)",
            )
        g = _sum_to(g, shape_of(spec))
    have, want = dtype_of(given), dtype_of(spec)
    if have.kind not in "fciub":
        raise CotangentError(
            f"the rule of {name} for argument {argument!r} gave an array of dtype {have}",
            f"the argument is {_show(spec)}",
            "return an array of floats",
        )
    if have.kind == "c" and want.kind != "c":
        g = np.real(g)
    if isinstance(spec, type):
        return g if isinstance(g, Tracer) else spec(g)
    if isinstance(g, (float, int, complex)) and not isinstance(g, np.generic):
        return want.type(g)
    return g if g.dtype == want else g.astype(want)


def _show(spec: Spec) -> str:
    return f"a Python {spec.__name__}" if isinstance(spec, type) else f"an array of shape {spec[0]}, dtype {spec[1]}"


def _kind(x: Any) -> str:
    return f"a {type(x).__name__}"
