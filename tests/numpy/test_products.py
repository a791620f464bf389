"""Products: values against NumPy's, derivatives against finite differences, and what a rule reads."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad.numpy as tnp
from tapegrad import grad, vjp
from tapegrad.errors import AssignmentError, PrimitiveError
from tapegrad.numpy import products
from tapegrad.testing import check_grads
from tapegrad.tracer import FUNCTIONS

Shape = tuple[int, ...]


def data(shape: Shape, dtype: Any = np.float64, seed: int = 0) -> Any:
    rng = np.random.default_rng((seed, *shape))
    x = rng.normal(size=shape)
    return np.asarray(x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x, dtype)


def same(got: Any, want: Any) -> None:
    """Equal in shape and dtype, and in value up to two units in the last place of the largest one."""
    got, want = np.asarray(got), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if got.size:
        assert np.abs(got - want).max() <= 2 * np.finfo(want.dtype).eps * np.abs(want).max()


def check(f: Callable[..., Any], *args: Any, order: int = 2) -> None:
    """The values are NumPy's, whichever argument is traced, and the derivatives are right."""
    same(vjp(f, *args)[0], f(*args))
    for k in range(len(args)):
        same(vjp(lambda x, k=k: f(*args[:k], x, *args[k + 1 :]), args[k])[0], f(*args))
    check_grads(f, args, order=order)


TYPES = [(np.float32, np.float32), (np.float32, np.float64), (np.float64, np.complex128), (np.complex64, np.float32)]


def check_pair(f: Callable[[Any, Any], Any], a: Shape, b: Shape) -> None:
    """A function of two operands, real, complex and of mixed types; at order 2 by all that its rules read."""
    check(f, data(a), data(b, seed=1))
    check(f, data(a, np.complex128), data(b, np.complex128, 1), order=1)
    for left, right in TYPES:
        x, z = data(a, left), data(b, right, 1)
        y, pullback = vjp(f, x, z)
        same(y, f(x, z))
        g = data(y.shape, y.dtype, 2)
        wide = vjp(f, x.astype(complex), z.astype(complex))[1](g.astype(complex))
        for got, operand, want in zip(pullback(g), (x, z), wide, strict=True):
            assert (got.shape, got.dtype) == (operand.shape, operand.dtype)
            np.testing.assert_allclose(got, want if np.iscomplexobj(operand) else want.real, rtol=1e-4, atol=1e-5)
    x, z = np.round(10 * data(a)), np.round(10 * data(b))
    g = np.ones_like(f(x, z))
    for got, want in zip(
        (vjp(lambda x: f(x, z.astype(int)), x)[1](g)[0], vjp(lambda z: f(x.astype(int), z), z)[1](g)[0]),
        vjp(f, x, z)[1](g),
        strict=True,
    ):
        same(got, want)


MATMUL: list[tuple[Shape, Shape]] = [
    ((3,), (3,)),
    ((2, 3), (3, 2)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((3,), (2, 3, 1)),
    ((2, 1, 3), (3,)),
    ((2, 2, 2), (2, 2, 1)),
    ((2, 1, 1, 2), (3, 2, 1)),
    ((1, 2, 2), (2, 2, 1)),
    ((2, 1, 2), (1, 2, 2)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(("a", "b"), MATMUL)
def test_matmul(a: Shape, b: Shape) -> None:
    check_pair(np.matmul, a, b)


@pytest.mark.parametrize(("a", "b"), MATMUL)
def test_matmul_doors(a: Shape, b: Shape) -> None:
    x, z = data(a), data(b, seed=1)
    want = vjp(np.matmul, x, z)[1](np.ones_like(x @ z))
    for f in (
        (operator.matmul, tnp.matmul, np.linalg.matmul) if min(x.ndim, z.ndim) > 1 else (operator.matmul, tnp.matmul)
    ):
        y, pullback = vjp(f, x, z)
        same(y, x @ z)
        for got, wanted in zip(pullback(np.ones_like(y)), want, strict=True):
            same(got, wanted)
    same(vjp(lambda x: x @ z, x)[1](np.ones_like(x @ z))[0], want[0])
    same(vjp(lambda z: x @ z, z)[1](np.ones_like(x @ z))[0], want[1])


DOT: list[tuple[Shape, Shape]] = [
    ((), ()),
    ((), (2,)),
    ((2, 2), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 2)),
    ((2, 1, 3), (3,)),
    ((3,), (2, 3, 1)),
    ((2, 2), (3, 2, 1)),
    ((2, 1, 2), (2, 2, 2)),
]


@pytest.mark.parametrize(("a", "b"), DOT)
def test_dot(a: Shape, b: Shape) -> None:
    check_pair(np.dot, a, b)
    if a:
        check(lambda x: x.dot(data(b)), data(a), order=1)


@pytest.mark.parametrize(
    ("a", "b"),
    [((), ()), ((), (2, 2)), ((3,), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 2), (3, 1, 2)), ((2, 1, 2), (3, 2))],
)
def test_inner(a: Shape, b: Shape) -> None:
    check_pair(np.inner, a, b)


@pytest.mark.parametrize(("a", "b"), [((2,), (3,)), ((), (2,)), ((2, 2), (3, 1)), ((1,), ())])
def test_outer(a: Shape, b: Shape) -> None:
    check_pair(np.outer, a, b)


@pytest.mark.parametrize(("a", "b"), [((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (6,)), ((), ())])
def test_vdot(a: Shape, b: Shape) -> None:
    check_pair(np.vdot, a, b)


@pytest.mark.parametrize(
    ("a", "b", "axes"),
    [
        ((2, 2), (2, 2), 2),
        ((2, 3), (3, 2), 1),
        ((2,), (3,), 0),
        ((), (3,), 0),
        ((3,), (), ([], [])),
        ((2, 3), (3, 2), ([0, 1], [1, 0])),
        ((2, 3, 2), (2, 3, 2), ([1, -1], [1, 0])),
        ((2, 3, 1), (2, 3), ((1, 0), (1, 0))),
        ((2, 3, 2), (3, 2, 1), (1, 0)),
        ((2, 3), (2, 3), (-1, 1)),
        ((2, 3, 1), (1, 2, 3), ([2, 0, 1], [0, 1, 2])),
        ((2, 1, 3), (3, 2, 1), ([2, 0], [0, 1])),
    ],
)
def test_tensordot(a: Shape, b: Shape, axes: Any) -> None:
    check_pair(lambda a, b: np.tensordot(a, b, axes), a, b)
    if axes != 2:
        check(lambda a, b: np.linalg.tensordot(a, b, axes=axes), data(a), data(b), order=1)
    else:
        check(np.tensordot, data(a), data(b), order=1)


VECTORS: list[tuple[Shape, Shape, int]] = [
    ((3,), (3,), -1),
    ((2, 3), (2, 3), -1),
    ((3, 2), (3, 2), 0),
    ((3, 2, 1), (3, 2), 0),
    ((2, 1, 3), (2, 3), -1),
    ((2, 3, 1), (2, 3, 2), 1),
    ((1, 2), (2,), -1),
]


@pytest.mark.parametrize(("a", "b", "axis"), VECTORS)
def test_vecdot(a: Shape, b: Shape, axis: int) -> None:
    check_pair(lambda a, b: np.vecdot(a, b, axis=axis), a, b)
    check(lambda a, b: np.linalg.vecdot(a, b, axis=axis), data(a), data(b), order=1)


@pytest.mark.skipif(not hasattr(np, "matvec"), reason="this NumPy has no matvec")
@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (3,)), ((2, 2, 3), (3,)), ((2, 3), (2, 3)), ((2, 1, 2, 3), (3, 3)), ((1, 2, 2), (2, 2))]
)
def test_matvec(a: Shape, b: Shape) -> None:
    check_pair(lambda a, b: np.matvec(a, b), a, b)
    check_pair(lambda b, a: np.vecmat(b, np.swapaxes(a, -1, -2)), b, a)


@pytest.mark.parametrize(
    ("a", "b", "axes"),
    [
        ((3,), (3,), {}),
        ((2, 3), (3,), {}),
        ((3, 2), (3, 2), {"axis": 0}),
        ((2, 3), (3, 2), {"axisb": 0}),
        ((2, 3), (2, 3), {"axisc": 0}),
        ((2, 1, 3), (2, 3), {}),
    ],
)
def test_cross(a: Shape, b: Shape, axes: Any) -> None:
    check_pair(lambda a, b: np.cross(a, b, **axes), a, b)
    if "axisb" not in axes and "axisc" not in axes:
        check(lambda a, b: np.linalg.cross(a, b, **axes), data(a), data(b), order=1)


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors")
@pytest.mark.parametrize(("a", "b"), [((2,), (2,)), ((2,), (3,)), ((2, 3), (2,)), ((3, 2), (2,))])
def test_cross_of_vectors_in_the_plane(a: Shape, b: Shape) -> None:
    try:
        np.cross(np.ones(a), np.ones(b))
    except ValueError:  # from NumPy 2.5 on
        with pytest.raises(ValueError, match="3-dimensional"):
            grad(lambda x: np.sum(np.cross(x, np.ones(b))))(np.ones(a))
    else:
        check_pair(np.cross, a, b)


@pytest.mark.parametrize(
    ("a", "b"), [((2,), (3,)), ((2, 2), (1, 2)), ((2,), (2, 2)), ((2, 1, 2), (2,)), ((), (2,)), ((2,), ()), ((), ())]
)
def test_kron(a: Shape, b: Shape) -> None:
    check_pair(np.kron, a, b)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((3, 3), {}),
        ((2, 3), {"offset": 1}),
        ((3, 2), {"offset": -1}),
        ((3, 2), {"offset": 5}),
        ((2, 3, 2), {}),
        ((2, 3, 2), {"axis1": 2, "axis2": 1}),
        ((2, 3, 2), {"offset": -1, "axis1": -2, "axis2": -1}),
    ],
)
def test_trace(shape: Shape, settings: Any) -> None:
    check(lambda a: np.trace(a, **settings), data(shape))
    check(lambda a: a.trace(**settings), data(shape, np.complex128), order=1)
    check(lambda a: np.linalg.trace(a, offset=1), data(shape), order=1)
    check(lambda a: np.trace(a, dtype=np.float64), data(shape, np.float32), order=1)


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3), (3, 2)],
        [(3,), (3, 2)],
        [(2, 3), (3, 1), (1, 2)],
        [(1, 3), (3, 1), (1, 2)],
        [(3,), (3, 2), (2,)],
        [(3,), (3, 2), (2, 2)],
        [(2, 3), (3, 1), (1, 4), (4,)],
        [(1, 4), (4, 2), (2, 3), (3, 1), (1, 2)],
        [(2, 2), (2, 2), (2, 2), (2, 2)],
    ],
)
def test_multi_dot(shapes: list[Shape]) -> None:
    parts = [data(shape, seed=k) for k, shape in enumerate(shapes)]
    check(lambda *parts: np.linalg.multi_dot(parts), *parts)


def test_the_order_of_multi_dot_is_the_cheapest() -> None:
    for shapes in ([(10, 100), (100, 5), (5, 50)], [(30, 35), (35, 15), (15, 5), (5, 10), (10, 20), (20, 25)]):
        split = products._splits(shapes)

        def cost(i: int, j: int, split: Any = split, shapes: Any = shapes) -> int:
            if j - i == 1:
                return 0
            k = split[i, j]
            return cost(i, k) + cost(k, j) + shapes[i][0] * shapes[k][0] * shapes[j - 1][1]

        def best(sizes: tuple[int, ...]) -> int:
            if len(sizes) < 3:
                return 0
            return min(
                best(sizes[: k + 1]) + best(sizes[k:]) + sizes[0] * sizes[k] * sizes[-1]
                for k in range(1, len(sizes) - 1)
            )

        assert cost(0, len(shapes)) == best(tuple([m for m, _ in shapes] + [shapes[-1][1]]))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 10])
def test_matrix_power(n: int) -> None:
    check(lambda a: np.linalg.matrix_power(a, n), data((2, 2)) / 2, order=2 if n else 1)
    check(lambda a: np.linalg.matrix_power(a, np.int64(n)), data((2, 2, 2), np.complex128) / 2, order=1)


# einsum

EINSUM: list[tuple[str, list[Shape]]] = [
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->i", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("i->i", [(3,)]),
    ("->", [()]),
    ("ii->", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iji->j", [(2, 3, 2)]),
    ("iij->i", [(2, 2, 3)]),
    ("iii->i", [(2, 2, 2)]),
    ("ijij->ij", [(2, 2, 2, 2)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("i...->...", [(2, 3)]),
    ("i...", [(2, 3)]),
    ("i,i->", [(3,), (3,)]),
    ("i,i->i", [(3,), (3,)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,j", [(2,), (3,)]),
    ("ij,jk->ik", [(2, 3), (3, 2)]),
    ("ij,jk", [(2, 3), (3, 2)]),
    ("ij , jk -> ki", [(2, 3), (3, 2)]),
    ("ij,j->", [(2, 3), (3,)]),
    ("ij,k->k", [(2, 2), (3,)]),
    ("ij,k->i", [(2, 2), (3,)]),
    ("ii,ij->j", [(2, 2), (2, 3)]),
    ("ii,jj->ij", [(2, 2), (3, 3)]),
    ("bij,bjk->bik", [(2, 2, 3), (2, 3, 1)]),
    ("...ij,...jk->...ik", [(2, 2, 3), (3, 1)]),
    ("...ij,...jk", [(2, 1, 1, 2), (3, 2, 1)]),
    ("...,...->...", [(2, 3), (3,)]),
    ("...i,i...->i...", [(2, 3), (3, 2)]),
    ("...j,i...", [(3, 2), (2, 3)]),
    ("ij,ij->ij", [(1, 3), (2, 3)]),
    ("ij,ij->", [(1, 3), (2, 1)]),
    ("ij,ij->i", [(2, 1), (2, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 2)]),
    ("i,i->", [(1,), (3,)]),
    ("...i,...i->...i", [(1, 3), (2, 1)]),
    (",ij->ij", [(), (2, 2)]),
    (",->", [(), ()]),
    ("i,i,i->i", [(3,), (3,), (3,)]),
    ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 1)]),
    ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("ab,b...,cb->ac...", [(2, 2), (2, 1, 2), (3, 2)]),
    ("i,i,i,i,i->i", [(2,), (2,), (1,), (2,), (2,)]),
    ("ij,jk,kl,lm->im", [(1, 2), (2, 2), (2, 2), (2, 1)]),
]


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUM)
def test_einsum(subscripts: str, shapes: list[Shape]) -> None:
    arrays = [data(shape, seed=k) for k, shape in enumerate(shapes)]
    check(lambda *xs: np.einsum(subscripts, *xs), *arrays)
    check_grads(lambda *xs: np.einsum(subscripts, *xs, optimize=True), arrays, order=1)
    arrays = [data(shape, np.complex128, seed=k) for k, shape in enumerate(shapes)]
    check(lambda *xs: np.einsum(subscripts, *xs, optimize="greedy"), *arrays, order=1)


@pytest.mark.parametrize(
    ("labels", "shapes"),
    [
        (([0, 1],), [(2, 3)]),
        (([1, 0],), [(2, 3)]),
        (([0, 0], [0]), [(2, 2)]),
        (([0, 1], [1, 2]), [(2, 3), (3, 2)]),
        (([0, 30], [30, 2], [2, 0]), [(2, 3), (3, 2)]),
        (([Ellipsis, 1], [1], [Ellipsis]), [(2, 3), (3,)]),
        (((0,), (0,), ()), [(3,), (3,)]),
        (([0], [0], [0], [0]), [(3,), (1,), (3,)]),
    ],
)
def test_einsum_of_lists(labels: Any, shapes: list[Shape]) -> None:
    def f(*arrays: Any) -> Any:
        return np.einsum(*itertools.chain(*zip(arrays, labels, strict=False)), *labels[len(arrays) :])

    check(f, *[data(shape, seed=k) for k, shape in enumerate(shapes)])


def test_einsum_along_a_path() -> None:
    parts = [data((2, 3)), data((3, 4)), data((4, 2))]
    path = np.einsum_path("ij,jk,kl->il", *parts)[0]
    check(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=path), *parts, order=1)


def test_einsum_of_large_arrays_and_mixed_types() -> None:
    a, b = data((30, 40), np.float32), data((40, 20), np.float32)
    _, pullback = vjp(lambda a, b: np.einsum("ij,jk->ik", a, b), a, b)
    g = data((30, 20), np.float32)
    for got, want in zip(pullback(g), (g @ b.T, a.T @ g), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    check_grads(lambda a: np.einsum("i,i", a, [1, 2, 3]), (data((3,)),))
    check_grads(lambda a: np.einsum(",i", a, np.arange(3)), (2.5,))
    check(lambda a: np.einsum("i,i", a, data((3,)), dtype=np.float64), data((3,), np.float32), order=1)


def test_einsum_of_many_operands() -> None:
    n = 26
    x = np.linspace(0.9, 1.1, n)
    got = grad(lambda x: np.einsum(",".join(["i"] * n) + "->", *[x[k : k + 1] for k in range(n)]))(x)
    np.testing.assert_allclose(got, np.prod(x) / x)


def test_a_view_by_einsum_is_known_as_one() -> None:
    def f(x: Any) -> Any:
        x = x * 1
        y = np.einsum("ii->i", x)
        y += 1  # NumPy would change x, too
        return np.sum(x)

    with pytest.raises(AssignmentError):
        grad(f)(np.eye(2))


def test_an_infinite_cotangent_stays_on_the_diagonal() -> None:
    for f in (np.trace, lambda x: np.einsum("ii", x)):
        assert vjp(f, np.eye(2))[1](np.inf)[0].tolist() == [[np.inf, 0], [0, np.inf]]


@pytest.mark.parametrize("subscripts", ["ij,jk", "i->j", "ijk->i", "i!", "ij->ii"])
def test_what_einsum_refuses_is_refused(subscripts: str) -> None:
    for f in (np.einsum, lambda s, x: vjp(lambda x: np.einsum(s, x), x)):
        with pytest.raises(ValueError):  # in NumPy's own words
            f(subscripts, data((2, 3)))


# numbers, lists, nothing


@pytest.mark.parametrize("function", [np.dot, np.inner, np.vdot, np.kron, np.outer])
def test_numbers(function: Any) -> None:
    y, pullback = vjp(function, 2.0, 3.0)
    same(y, function(2.0, 3.0))
    assert pullback(np.ones_like(y)) == (3.0, 2.0)
    if function is not np.vdot:  # which wants as many numbers on both sides
        assert grad(lambda x: np.sum(function(x, np.ones(3))))(2.0) == 3.0
        assert grad(lambda x: np.sum(function(np.ones(3), x)))(2.0) == 3.0


@pytest.mark.parametrize("function", [np.dot, np.inner, np.vdot, np.matmul, np.vecdot, np.kron, np.outer, np.cross])
def test_lists(function: Any) -> None:
    x = data((3,))
    for row in ([1, 2, 4], [0.5, 1.0, 2.0], (1, 2, 3)):
        check(lambda x, row=row: function(x, row), x, order=1)
        check(lambda x, row=row: function(row, x), x, order=1)
    check(lambda x: x @ [1, 2, 3], x, order=1)
    check(lambda x: (1, 2, 3) @ x, x, order=1)
    assert grad(lambda x: tnp.dot([x, 2 * x], [1, 10]))(3.0) == 21.0


@pytest.mark.parametrize(
    ("function", "a", "b"),
    [
        (np.matmul, (0, 3), (3, 2)),
        (np.matmul, (2, 0), (0, 3)),
        (np.matmul, (0,), (0,)),
        (np.matmul, (0, 2, 3), (3, 2)),
        (np.matmul, (2, 3), (0, 3, 1)),
        (np.dot, (0,), (0,)),
        (np.dot, (2, 0), (0, 2)),
        (np.dot, (), (0, 2)),
        (np.dot, (2, 1, 0), (3, 0, 1)),
        (np.inner, (2, 0), (3, 0)),
        (np.outer, (0,), (3,)),
        (np.vdot, (0,), (0,)),
        (np.kron, (0, 2), (2, 2)),
        (np.tensordot, (2, 0, 2), (0, 2, 1)),
        (np.vecdot, (2, 0), (2, 0)),
        (np.cross, (0, 3), (0, 3)),
        (lambda a, b: np.einsum("ij,jk", a, b), (2, 0), (0, 3)),
        (lambda a, b: np.einsum("ij,ij->i", a, b), (1, 3), (0, 3)),
    ],
)
def test_no_elements(function: Any, a: Shape, b: Shape) -> None:
    x, z = np.ones(a), np.ones(b)
    y, pullback = vjp(function, x, z)
    same(y, function(x, z))
    for got, operand in zip(pullback(np.ones_like(y)), (x, z), strict=True):
        assert got.shape == operand.shape
        if not y.size:
            assert not got.any()


# doors and refusals


@pytest.mark.parametrize("function", [np.dot, np.outer, np.kron, np.cross, partial(np.tensordot, axes=1)])
def test_operands_by_name(function: Any) -> None:
    a, b = data((3,)), data((3,), seed=1)
    check(lambda a, b: function(b=b, a=a), a, b, order=1)


def test_outer_of_ufuncs() -> None:
    for ufunc in (np.add, np.multiply, np.subtract, np.divide, np.maximum):
        check_pair(ufunc.outer, (2,), (3,)) if ufunc is not np.maximum else check(ufunc.outer, data((2,)), data((3,)))
    check(lambda a, b: np.multiply.outer(a, b), data((2, 1)), data((2, 2), seed=1))
    check(lambda a: np.multiply.outer(a, [1.0, 2.0]), data((2,)), order=1)
    check(np.linalg.outer, data((2,)), data((3,)))


def test_options_of_matmul() -> None:
    a = data((2, 2), np.float32)
    check(lambda x: np.matmul(x, a, dtype=np.float64), a, order=1)
    for options in ({"out": np.zeros((2, 2))}, {"axes": [(0, 1), (0, 1), (0, 1)]}):
        with pytest.raises(PrimitiveError, match="matmul was called with"):
            vjp(lambda x, options=options: np.matmul(x, a, **options), a)
    out = np.zeros((2, 2), np.float32)
    same(tnp.matmul(a, a, out=out), a @ a)
    same(out, a @ a)
    same(tnp.matmul(a, a, dtype=np.float64), np.matmul(a, a, dtype=np.float64))


@pytest.mark.parametrize("function", [np.dot, np.outer, np.linalg.multi_dot])
def test_out_is_refused(function: Any) -> None:
    a, out = data((2, 2)), np.zeros((4, 4) if function is np.outer else (2, 2))
    f = (
        (lambda a, **kwargs: function([a, a], **kwargs))
        if function is np.linalg.multi_dot
        else lambda a, **kwargs: function(a, a, **kwargs)
    )
    with pytest.raises(PrimitiveError, match="out="):
        vjp(lambda a: f(a, out=out), a)
    assert not out.any()
    f(a, out=out)
    assert out.any()


def test_other_operands_are_not_ours() -> None:
    class Left:
        def __rmatmul__(self, other: Any) -> str:
            return "left"

    class Right:
        def __matmul__(self, other: Any) -> str:
            return "right"

    def f(x: Any) -> Any:
        assert x @ Left() == "left"
        assert Right() @ x == "right"
        for wrong in (3.0, "abc", None):
            with pytest.raises((TypeError, ValueError)):
                x @ wrong
            with pytest.raises((TypeError, ValueError)):
                wrong @ x
        return np.sum(x)

    grad(f)(data((2, 2)))


@pytest.mark.parametrize(
    ("function", "a", "b"),
    [
        (np.matmul, (2, 3), (2, 3)),
        (np.matmul, (), (2,)),
        (np.matmul, (2, 2, 2), (3, 2, 2)),
        (np.dot, (2, 3), (2,)),
        (np.dot, (2, 1, 3), (2,)),
        (np.inner, (2,), (3,)),
        (np.tensordot, (2, 3), (2, 2)),
        (np.cross, (4,), (4,)),
    ],
)
def test_shapes_that_do_not_fit_are_numpys_error(function: Any, a: Shape, b: Shape) -> None:
    for f in (function, lambda a, b: vjp(function, a, b)):
        with pytest.raises(ValueError):  # in NumPy's own words
            f(data(a), data(b))


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.matrix_power(a, 2),
        lambda a: np.linalg.matrix_power(a[0], 2),
        lambda a: np.linalg.matrix_power(a, 0),
        lambda a: np.linalg.multi_dot([a]),
        lambda a: np.linalg.multi_dot([a.T, a[:, :, None], a]),
        lambda a: np.linalg.outer(a, a),
        lambda a: np.linalg.cross(a[:, :2], a[:, :2]),
    ],
)
def test_bad_matrices_are_numpys_error(f: Any) -> None:
    for g in (f, lambda a: vjp(f, a)):
        with pytest.raises((ValueError, np.linalg.LinAlgError)):
            g(data((2, 3)))


@pytest.mark.skipif(np.linalg.inv not in FUNCTIONS, reason="there is no rule for inv")
def test_negative_powers_of_a_matrix() -> None:
    for n in (-1, -2, -3):
        check(partial(np.linalg.matrix_power, n=n), data((2, 2)) + 3 * np.eye(2))


def test_the_exponent_is_an_integer() -> None:
    with pytest.raises(TypeError):
        vjp(lambda a: np.linalg.matrix_power(a, 2.0), data((2, 2)))


# what it costs


def kept(f: Callable[..., Any], *args: Any) -> list[Any]:
    """The arrays that stay on the tape, but for one the size of the result."""
    _, pullback = vjp(f, *args)
    found: list[Any] = []

    def look(value: Any) -> None:
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            for part in value:
                look(part)

    look(pullback.recording.entries)
    return found


@pytest.mark.parametrize(
    "f",
    [
        np.matmul, np.dot, np.inner, np.outer, np.vdot,
        lambda a, b: np.tensordot(a, b, 1),
        lambda a, b: np.einsum("ij,jk", a, b),
        lambda a, b: np.matmul(a[None], b),
    ],
)  # fmt: skip
def test_only_the_other_operand_is_kept(f: Any) -> None:
    a, b = data((3, 3)), data((3, 3), seed=1)
    assert [x.tolist() for x in kept(lambda a: f(a, b), a)] == [b.tolist()]
    assert [x.reshape(3, 3).tolist() for x in kept(lambda b: f(a, b), b)] == [a.tolist()]


def test_a_weight_of_many_matrices_is_summed_without_a_stack() -> None:
    """The cotangent of a matrix that multiplies a stack is one product, as large as the matrix."""
    x, w = data((50, 4, 3)), data((3, 2))
    y, pullback = vjp(lambda w: x @ w, w)
    np.testing.assert_allclose(pullback(np.ones_like(y))[0], np.einsum("bij,bik->jk", x, np.ones_like(y)))
    y, pullback = vjp(lambda w: np.swapaxes(w, 0, 1) @ np.swapaxes(x, 1, 2), w)
    np.testing.assert_allclose(pullback(np.ones_like(y))[0], np.einsum("bij,bki->jk", x, np.ones_like(y)))
