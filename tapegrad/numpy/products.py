"""Products of vectors, matrices and arrays. Each is linear in each operand, so a rule reads the others alone.

Complex numbers: cotangents go back unconjugated, ā = ḡ bᵀ. Only through an operand that the function itself
conjugates, the first of vdot, vecdot and vecmat, the whole is conjugated back.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..primitives.cotangent import unbroadcast
from ..primitives.define import composed, general, has_tracer
from ..primitives.definition import Definition
from ..primitives.ufuncs import generalised, operand
from ..tracer import FUNCTIONS, METHODS, UFUNCS, plain
from .joining import asarray
from .structure import _conjugate, _shape

Axes = tuple[int, ...]
Shape = tuple[int, ...]


def _ndim(x: Any) -> int:
    return len(_shape(x))


def _flat(x: Any) -> Any:
    return np.reshape(x, (-1,))


def _T(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _array(x: Any) -> Any:
    """An operand of a call with traced values, as an array if it was a list or a number."""
    x = operand(x)
    return x if hasattr(x, "ndim") else operand(asarray(x))


def _arrays(*operands: Any) -> list[Any]:
    """The operands of any call, likewise."""
    if has_tracer(operands, {}):
        return [*map(_array, operands)]
    return [x if hasattr(x, "ndim") else asarray(x) for x in operands]


def _of_arrays(function: Any, made: Callable[..., Any]) -> Any:
    """Let `made` serve a function of two operands, each of which may be a list."""

    @functools.wraps(function)
    def call(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        return made(*_arrays(a, b), *args, **kwargs)

    (UFUNCS if isinstance(function, np.ufunc) else FUNCTIONS)[function] = call
    return call


def _bilinear(function: Any, body: Callable[..., Any], left: Callable[..., Any], right: Callable[..., Any]) -> Any:
    """A row: a function of two operands, what computes it, and the rules that go back through each."""
    definition = Definition(body, function.__name__, multilinear=(0, 1))
    definition.add(0, left)
    definition.add(1, right)
    return _of_arrays(function, general(definition, function))


# sums of products along axes of both


def _contraction(axes: Callable[..., tuple[Axes, Axes]]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The rules of a sum of products along `axes(ndim of a, ndim of b, settings)`, which are those of a and of b."""

    def left(g: Any, _y: Any, _a: Any, b: Any, *settings: Any) -> Any:
        """ā = ḡ b, summed along the axes that only b has."""
        n, m = _ndim(_a), _ndim(b)
        over_a, over_b = axes(n, m, *settings)
        free = [k for k in range(m) if k not in over_b]
        start = n - len(over_a)
        summed = np.tensordot(g, b, ([*range(start, start + len(free))], free))
        order = [*(k for k in range(n) if k not in over_a), *(over_a[k] for k in np.argsort(over_b))]
        return np.transpose(summed, np.argsort(order).tolist())

    def right(g: Any, _y: Any, a: Any, _b: Any, *settings: Any) -> Any:
        """b̄ = a ḡ, summed along the axes that only a has."""
        n, m = _ndim(a), _ndim(_b)
        over_a, over_b = axes(n, m, *settings)
        free = [k for k in range(n) if k not in over_a]
        summed = np.tensordot(a, g, (free, [*range(len(free))]))
        order = [*(over_b[k] for k in np.argsort(over_a)), *(k for k in range(m) if k not in over_b)]
        return np.transpose(summed, np.argsort(order).tolist())

    return left, right


def _tensordot_axes(n: int, m: int, axes: Any) -> tuple[Axes, Axes]:
    if isinstance(axes, (int, np.integer)):
        return tuple(range(n - int(axes), n)), tuple(range(int(axes)))
    over_a, over_b = [[k] if np.ndim(k) == 0 else k for k in axes]
    return tuple([int(k) % n for k in over_a]), tuple([int(k) % m for k in over_b])


def _dot_axes(n: int, m: int, _out: None) -> tuple[Axes, Axes]:
    return ((n - 1,), (max(m - 2, 0),)) if n and m else ((), ())


def _inner_axes(n: int, m: int) -> tuple[Axes, Axes]:
    return ((n - 1,), (m - 1,)) if n and m else ((), ())


# fmt: off
# y = f(a, b)                        computed by, and through a, and through b
tensordot = _bilinear(np.tensordot,  lambda a, b, axes=2: np.tensordot(a, b, axes), *_contraction(_tensordot_axes))
inner     = _bilinear(np.inner,      lambda a, b: np.inner(a, b),                   *_contraction(_inner_axes))
_dot      = _bilinear(np.dot,        lambda a, b, out=None: np.dot(a, b),           *_contraction(_dot_axes))
outer     = _bilinear(np.outer,      lambda a, b, out=None: np.outer(a, b),
                                     lambda g, _y, _a, b, _out: np.reshape(g @ _flat(b), _shape(_a)),
                                     lambda g, _y, a, _b, _out: np.reshape(_flat(a) @ g, _shape(_b)))
vdot      = _bilinear(np.vdot,       lambda a, b: np.vdot(a, b),
                                     lambda g, _y, _a, b: np.reshape(_conjugate(g * b), _shape(_a)),
                                     lambda g, _y, a, _b: np.reshape(g * _conjugate(a), _shape(_b)))
_vecdot   = _bilinear(np.vecdot,     lambda a, b: np.vecdot(a, b),
                                     lambda g, _y, _a, b: unbroadcast(_conjugate(g[..., None] * b), _a),
                                     lambda g, _y, a, _b: unbroadcast(g[..., None] * _conjugate(a), _b))
_cross    = _bilinear(np.cross,      lambda a, b: np.cross(a, b),
                                     lambda g, _y, _a, b: unbroadcast(np.cross(b, g), _a),
                                     lambda g, _y, a, _b: unbroadcast(np.cross(g, a), _b))
if hasattr(np, "matvec"):
    matvec = _bilinear(np.matvec,    lambda a, b: np.matvec(a, b),
                                     lambda g, _y, _a, b: unbroadcast(g[..., None] * b[..., None, :], _a),
                                     lambda g, _y, a, _b: unbroadcast(np.matvec(_T(a), g), _b))
    vecmat = _bilinear(np.vecmat,    lambda a, b: np.vecmat(a, b),
                                     lambda g, _y, _a, b: unbroadcast(_conjugate(np.matvec(b, g)), _a),
                                     lambda g, _y, a, _b: unbroadcast(_conjugate(a)[..., None] * g[..., None, :], _b))
# fmt: on


def _vecdot_along(a: Any, b: Any, axis: int = -1) -> Any:
    return _vecdot(np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)) if axis != -1 else _vecdot(a, b)


def _cross_along(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if 2 in (a.shape[-1], b.shape[-1]):
        np.cross(np.zeros(a.shape[-1]), np.zeros(b.shape[-1]))  # warns, or raises, as this NumPy does
    flat = a.shape[-1] == b.shape[-1] == 2
    y = _cross(*[np.concatenate([x, np.zeros_like(x[..., :1])], -1) if x.shape[-1] == 2 else x for x in (a, b)])
    return y[..., 2] if flat else np.moveaxis(y, -1, axisc)


vecdot = _of_arrays(np.vecdot, _vecdot_along)
cross = _of_arrays(np.cross, _cross_along)


# matrices, and stacks of them


def matmul_left(g: Any, _y: Any, _a: Any, b: Any) -> Any:
    """ā = ḡ bᵀ, summed over the stack of b if a is a single matrix."""
    if b.ndim == 2:
        return g @ b.T if _ndim(g) < 3 else np.reshape(_rows(g) @ b.T, (*g.shape[:-1], b.shape[0]))
    if b.ndim == 1:
        return g[..., None] * b if _ndim(g) else g * b
    if _a.ndim < 3:
        stack = [*range(b.ndim - 2)]
        return np.tensordot(g, b, ([*stack, g.ndim - 1], [*stack, b.ndim - 1]))
    return unbroadcast(g @ _T(b), _a)


def _rows(x: Any) -> Any:
    """A stack of matrices as one matrix below the other: one product is quicker than many small ones."""
    return np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def matmul_right(g: Any, _y: Any, a: Any, _b: Any) -> Any:
    """b̄ = aᵀ ḡ, summed over the stack of a if b is a single matrix."""
    if a.ndim == 1:
        return a[:, None] * g[..., None, :] if _ndim(g) else a * g
    if a.ndim == 2 and g.ndim < 3:
        return a.T @ g
    if _b.ndim < 3:
        return _rows(a).T @ (_rows(g) if _b.ndim == 2 else np.reshape(g, -1))
    return unbroadcast(_T(a) @ g, _b)


matmul = generalised(np.matmul, matmul_left, matmul_right, multilinear=(0, 1))


@functools.wraps(np.dot)
def dot(a: Any, b: Any, out: None = None) -> Any:
    a, b = _arrays(a, b)
    matrices = 0 < _ndim(a) < 3 and 0 < _ndim(b) < 3
    return matmul(a, b) if matrices and out is None and has_tracer((a, b), {}) else _dot(a, b, out)


FUNCTIONS[np.dot] = dot


@composed(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: None = None) -> Any:
    parts = [_array(a) for a in arrays]
    if len(parts) == 2 or out is not None:
        return np.dot(parts[0], parts[1], out)
    rows, columns = parts[0].ndim > 1, parts[-1].ndim > 1
    parts[0] = parts[0] if rows else np.reshape(parts[0], (1, -1))
    parts[-1] = parts[-1] if columns else np.reshape(parts[-1], (-1, 1))
    if len(parts) < 2 or any(a.ndim != 2 for a in parts):
        return np.linalg.multi_dot([plain(a) for a in parts])  # which raises
    y = _chain(parts, _splits([a.shape for a in parts]), 0, len(parts))
    return y if rows and columns else np.reshape(y, (-1,)) if rows or columns else y[0, 0]


def _splits(shapes: list[Shape]) -> dict[tuple[int, int], int]:
    """Where to split a chain of matrices, and again each part of it, for the fewest multiplications."""
    cost = {(i, i + 1): 0 for i in range(len(shapes))}
    split = {}
    for length in range(2, len(shapes) + 1):
        for i in range(len(shapes) - length + 1):
            j, size = i + length, shapes[i][0] * shapes[i + length - 1][1]
            total = {k: cost[i, k] + cost[k, j] + size * shapes[k][0] for k in range(i + 1, j)}
            split[i, j] = best = min(total, key=total.__getitem__)
            cost[i, j] = total[best]
    return split


def _chain(parts: Sequence[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if j == i + 1:
        return parts[i]
    k = split[i, j]
    return np.dot(_chain(parts, split, i, k), _chain(parts, split, k, j))


@composed(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    n = operator.index(n)
    if n == 0 or a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        return np.linalg.matrix_power(plain(a), n)  # which is constant, or raises
    power: Any = a if n > 0 else np.linalg.inv(a)
    n = abs(n)
    if n == 3:
        return power @ power @ power
    y: Any = None
    while True:
        n, odd = divmod(n, 2)
        if odd:
            y = power if y is None else y @ power
        if not n:
            return y
        power = power @ power


# written in other products


@composed(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1, dtype, out)


@composed(np.kron)
def kron(a: Any, b: Any) -> Any:
    a, b = _array(a), _array(b)
    if not a.ndim or not b.ndim:
        return a * b
    rows, columns = (1,) * (b.ndim - a.ndim) + a.shape, (1,) * (a.ndim - b.ndim) + b.shape
    y = np.reshape(a, [m for n in rows for m in (n, 1)]) * np.reshape(b, [m for n in columns for m in (1, n)])
    return np.reshape(y, [n * m for n, m in zip(rows, columns)])


def _outer_of(ufunc: np.ufunc) -> Callable[..., Any]:
    def outer(a: Any, b: Any, **options: Any) -> Any:
        a, b = _array(a), _array(b)
        return ufunc(np.reshape(a, a.shape + (1,) * b.ndim), b, **options)

    return outer


for _ufunc in {u for u in vars(np).values() if isinstance(u, np.ufunc) and u.nin == 2 and u.signature is None}:
    METHODS[_ufunc, "outer"] = _outer_of(_ufunc)

# fmt: off
composed(np.linalg.matmul)   (lambda x1, x2, /: np.matmul(x1, x2))
composed(np.linalg.vecdot)   (lambda x1, x2, /, *, axis=-1: vecdot(x1, x2, axis=axis))
composed(np.linalg.tensordot)(lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes))
composed(np.linalg.trace)    (lambda x, /, *, offset=0, dtype=None: np.trace(x, offset, -2, -1, dtype))
# fmt: on


@composed(np.linalg.outer)
def _outer_of_vectors(x1: Any, x2: Any, /) -> Any:
    x1, x2 = _array(x1), _array(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        return np.linalg.outer(plain(x1), plain(x2))  # which raises
    return np.outer(x1, x2)


@composed(np.linalg.cross)
def _cross_in_space(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x1, x2 = _array(x1), _array(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        return np.linalg.cross(plain(x1), plain(x2), axis=axis)  # which raises
    return np.cross(x1, x2, axis=axis)
