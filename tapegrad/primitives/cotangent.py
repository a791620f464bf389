"""Cotangents on their way to an argument, and tangents to an answer: summed or broadcast to its shape, checked."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import CotangentError, TangentError
from ..tape import escaped
from ..tracer import NUMBERS, Spec, Tracer, dtype_of, shape_of, spec_of
from .partial import Partial, filled, partial

Axis = int | tuple[int, ...] | None

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
    shape = getattr(like, "shape", None)
    return sum_to(g, np.shape(like) if shape is None else shape)


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
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
    made = np.sum(g, axis=axes)
    return made if made.shape == shape else np.reshape(made, shape)


def conform(g: Any, spec: Spec, name: str, argument: Any, broadcasts: bool = False) -> Any:
    """The cotangent `g`, which a rule of `name` gave for `argument`, as one of a value of this spec.

    Another width is cast, a real argument gets the real part, and with `broadcasts` what is too large is
    summed. Anything else that does not fit raises CotangentError.
    """
    kind = type(g)
    if kind is Tracer:
        if g._scope.ended is not None:
            raise escaped(g._scope.ended)
        if g._spec is spec or g._spec == spec:
            return g
    elif kind is Partial:
        if type(g.value) is np.ndarray and (g.value.shape, g.value.dtype) == spec:
            return g
        return _conform_partial(g.settle(), spec, name, argument, broadcasts)
    if kind is np.ndarray:
        if broadcasts and type(spec) is tuple and g.dtype == spec[1]:  # most of what comes here
            if g.ndim == len(spec[0]) + 1 and g.shape[1:] == spec[0]:  # a bias
                return np.add.reduce(g, 0)
            return sum_to(g, spec[0])
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
        g = sum_to(g, shape_of(spec))
    have, want = dtype_of(given), dtype_of(spec)
    if have.kind not in "fciub":
        raise CotangentError(
            f"the rule of {name} for argument {argument!r} gave an array of dtype {have}",
            f"the argument is {_show(spec)}",
            "return an array of floats" if have.kind != "O" else "pass it arrays of numbers: numpy.asarray(x, float)",
        )
    if have.kind == "c" and want.kind != "c":
        g = np.real(g)
    if isinstance(spec, type):
        return g if isinstance(g, Tracer) else spec(g)
    if isinstance(g, (float, int, complex)) and not isinstance(g, np.generic):
        return want.type(g)
    return g if g.dtype == want else g.astype(want)


def _any_to(support: Any, shape: tuple[int, ...]) -> Any:
    """Where anything is true of what was broadcast from a shape."""
    extra = support.ndim - len(shape)
    axes = tuple([k for k in range(support.ndim) if k < extra or shape[k - extra] != support.shape[k]])
    return np.logical_or.reduce(support, axes, keepdims=True).reshape(shape)


def _conform_partial(g: Any, spec: Spec, name: str, argument: Any, broadcasts: bool) -> Any:
    if type(g) is not Partial:
        return conform(g, spec, name, argument, broadcasts)
    support, shape = g.support, np.shape(g.value)
    if shape != shape_of(spec):  # what was broadcast is summed over what it went to
        there = _any_to(np.broadcast_to(support, shape), shape_of(spec)) if broadcasts else True
        return partial(conform(filled(g), spec, name, argument, broadcasts), there)
    value = conform(g.value, spec, name, argument)
    return g if value is g.value else Partial(value, support)


def stretch(t: Any, spec: Spec, name: str) -> Any:
    """The tangent `t` that a rule of `name` gave as one of an answer of this spec: broadcast, of its width and kind."""
    kind = type(t)
    if kind is np.ndarray:
        if (t.shape, t.dtype) == spec:
            return t
    elif kind is Tracer:
        if (t._spec is spec or t._spec == spec) and t._scope.ended is None:
            return t
    elif t is None or kind is spec or NUMBERS.get(kind) is spec:
        return t
    elif kind is Partial:
        t = t.settle()
        if type(t) is not Partial:
            return stretch(t, spec, name)
        shape = shape_of(spec)
        if np.shape(t.value) == shape:
            return Partial(stretch(t.value, spec, name), t.support)
        return partial(stretch(t.value, spec, name), np.broadcast_to(t.support, shape))
    if not isinstance(t, (Tracer, np.ndarray, np.generic, float, int, complex)):
        raise TangentError(
            f"the rule of {name} gave {_kind(t)} as a tangent",
            f"the answer is {_show(spec)}",
            "return a number, an array, or None where there is no derivative",
        )
    if np.shape(t) != shape_of(spec):
        try:
            t = np.broadcast_to(t, shape_of(spec))
        except ValueError:
            raise TangentError(
                f"the rule of {name} gave a tangent of shape {np.shape(t)}",
                f"the answer is {_show(spec)}",
                "return a tangent of the shape of the answer, or one that broadcasts to it",
            ) from None
    return conform(t, spec, name, "answer")


def accumulated(c: Any, r: Any) -> Any:
    """c + r, two cotangents of which the caller still has the first from where it took it.

    A large array that nobody else has, which its references tell, is added to in place.
    """
    if type(c) is not np.ndarray or c.nbytes <= _LARGE or type(r) is not np.ndarray:
        return c + r
    alone = getrefcount(c) <= _ALONE and c.base is None and c.flags.writeable
    return np.add(c, r, c if alone and c.dtype == r.dtype and c.shape == r.shape else None)


_LARGE = 1 << 13  # bytes


def _calibrate() -> int:
    """How many references `accumulated` sees to an array that is in one list, and under one name of its caller."""
    if sys.implementation.name != "cpython":
        return -1
    cots = [np.empty(1)]
    c = cots[0]
    return (lambda c, _r: getrefcount(c))(c, None)


_ALONE = _calibrate()


def deposit(cots: Any, given: Iterable[tuple[int, Any]]) -> None:
    """Add cotangents to what there is, by index; None is 0."""
    for index, c in given:
        if c is not None:
            held = cots[index]
            cots[index] = c if held is None else held + c


def zero(spec: Spec) -> Any:
    """The zero of a spec: a number, or an array of zeros."""
    return spec(0) if isinstance(spec, type) else np.zeros(*spec)[()]


def reduced_axes(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The reduced axes, all of them counted from 0. Of a number there are none, whatever axis says."""
    if axis is None or not shape:
        return tuple(range(len(shape)))
    if type(axis) is int and -len(shape) <= axis < len(shape):
        return (axis % len(shape),)
    axes: tuple[int, ...] = normalize_axis_tuple(axis, len(shape))
    return axes


def spread(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """What a reduction gave, with or without keepdims, so that it broadcasts to the shape that was reduced."""
    if axis is None or getattr(g, "ndim", 0) == len(shape):
        return g
    axes = reduced_axes(shape, axis)
    if sorted(axes) == [*range(len(axes))]:  # the leading ones come back by themselves
        return g
    return np.reshape(g, tuple([1 if k in axes else n for k, n in enumerate(shape)]))


def _show(spec: Spec) -> str:
    return f"a Python {spec.__name__}" if isinstance(spec, type) else f"an array of shape {spec[0]}, dtype {spec[1]}"


def _kind(x: Any) -> str:
    return f"a {type(x).__name__}"
