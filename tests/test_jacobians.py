"""Jacobians, Hessians, and products with vectors: values, trees, kinds, how often they read, and bad calls."""

import inspect
import itertools
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import ArgnumsError, InputError, OutputError, TangentError, TreeError

JACOBIANS = [tg.jacrev, tg.jacfwd, tg.jacobian]
TRANSFORMS = [*JACOBIANS, tg.hessian, tg.elementwise_grad]
PRODUCTS = [tg.hvp, tg.gnvp]

X = np.array([0.3, -1.2, 2.0])
Z = np.array([1.0 + 2.0j, -0.5j])


def differences(f, x, step=1e-6):
    """The Jacobian of a function of one array by central differences."""
    columns = []
    for at in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[at] = step
        columns.append((f(x + e) - f(x - e)) / (2 * step))
    shape = np.shape(f(x))
    return np.reshape(np.stack(columns, axis=-1), (*shape, *x.shape)) if columns else np.zeros((*shape, *x.shape))


def cube(x):
    """The cube."""
    return x**3


def product(x, y, z=1.0):
    return x * x * y * y * z


def well(x):
    """Exponentials in a quadratic form."""
    return np.sum(np.exp(x) * np.cumsum(x)) + x[0] ** 2 * x[-1]


# values


@pytest.mark.parametrize("jacobian", JACOBIANS)
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sin(x) * x[0],
        lambda x: np.sum(x**3),
        lambda x: np.outer(x, np.exp(x)),
        lambda x: np.concatenate([x, x * x])[1:],
        lambda x: np.where(x > 0, x * x, np.tanh(x))[None],
        lambda x: np.stack([np.prod(x), np.linalg.norm(x)]),
        lambda x: np.sort(x)[::-1].reshape(3, 1),
        lambda x: np.ones((2, 2)),
        lambda x: x[:0],
    ],
)
def test_jacobians_agree_with_differences(jacobian, f):
    made = jacobian(f)(X)
    assert made.shape == np.shape(f(X)) + X.shape
    assert np.allclose(made, differences(f, X), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("jacobian", JACOBIANS)
def test_jacobians_of_matrices(jacobian):
    A = np.arange(6.0).reshape(2, 3)
    made = jacobian(lambda B: np.matmul(A, B))(np.ones((3, 4)))
    assert np.array_equal(made, np.einsum("ik,jl->ijkl", A, np.eye(4)))
    made = jacobian(lambda A: A.T)(A)
    assert np.array_equal(made, np.einsum("il,jk->ijkl", np.eye(3), np.eye(2)))


@pytest.mark.parametrize(
    "f", [well, lambda x: np.prod(x) ** 2, lambda x: np.sum(np.sin(x)), lambda x: np.sum(x), lambda x: 1.0]
)
def test_hessians(f):
    expected = differences(tg.grad(f), X)
    v = np.array([1.0, 0.5, -2.0])
    for nest in itertools.product(JACOBIANS, repeat=2):
        assert np.allclose(nest[0](nest[1](f))(X), expected, rtol=1e-7, atol=1e-7)
    assert np.allclose(tg.hessian(f)(X), tg.jacrev(tg.grad(f))(X), rtol=1e-13, atol=1e-14)
    assert np.allclose(tg.hvp(f)(X, v), np.matmul(tg.hessian(f)(X), v), rtol=1e-13, atol=1e-14)


def test_a_hessian_of_several_results():
    made = tg.hessian(lambda x: np.stack([x[0] ** 2 * x[1], x[1] ** 3]))(np.array([3.0, 5.0]))
    assert made.tolist() == [[[10, 6], [6, 0]], [[0, 0], [0, 30]]]


def test_the_gauss_newton_product():
    f = lambda x: np.stack([x[0] * x[1], np.sin(x[2]), np.exp(x[0]), x[1] ** 2])
    loss = lambda y: np.sum(np.exp(y) * y[::-1])
    v = np.array([1.0, 0.5, -2.0])
    J, H = tg.jacrev(f)(X), tg.hessian(loss)(f(X))
    assert np.allclose(tg.gnvp(f, loss)(X, v), J.T @ H @ J @ v, rtol=1e-13)
    assert np.allclose(tg.gnvp(f)(X, v), J.T @ J @ v, rtol=1e-13)
    linear = lambda x: np.matmul(np.arange(6.0).reshape(2, 3), x)
    assert np.allclose(tg.gnvp(linear, cubes)(X, v), tg.hvp(lambda x: cubes(linear(x)))(X, v), rtol=1e-13)


def cubes(y):
    return np.sum(y**3)


def test_gauss_newton_through_trees():
    f = lambda p: {"a": p["x"] * p["x"], "b": [p["x"]]}
    loss = lambda y: y["a"] ** 2 + y["b"][0] ** 3
    assert tg.gnvp(f, loss)({"x": 2.0}, {"x": 1.0}) == {"x": 44.0}  # J = (4, 1), H = diag(2, 12)
    assert tg.gnvp(f)({"x": 2.0}, {"x": 1.0}) == {"x": 17.0}


def test_elementwise_grad():
    assert np.allclose(tg.elementwise_grad(np.sin)(X), np.cos(X))
    assert np.allclose(tg.elementwise_grad(tg.elementwise_grad(np.sin))(X), -np.sin(X))
    assert tg.elementwise_grad(lambda x, y: x * y**2, 1)(np.ones((2, 1)), np.arange(3.0)).tolist() == [0, 4, 8]
    x, y = tg.elementwise_grad(lambda x, y: {"a": x * y, "b": [y, 3.0]}, (0, 1))(X, 2.0)
    assert x.tolist() == [2, 2, 2]
    assert y == pytest.approx(np.sum(X) + 1)


def test_all_orders():
    f, found = cube, []
    for transform in (tg.jacfwd, tg.jacrev, tg.elementwise_grad, tg.jacobian):
        f = transform(f)
        found.append(f(2.0))
    assert found == [12.0, 12.0, 6.0, 0.0]
    assert tg.hessian(tg.hessian(lambda x: x**5))(2.0) == 240.0
    assert tg.hvp(tg.hessian(lambda x: x**5))(2.0, 1.0) == 240.0
    assert tg.hessian(lambda x: tg.hvp(lambda x: x**5)(x, 1.0))(2.0) == 240.0
    assert tg.grad(lambda x: tg.gnvp(lambda y: y**2 * x)(x, 1.0))(2.0) == 128.0  # 4 x⁴


def test_a_gradient_through_each_by_what_it_closes_over():
    x, s = np.array([1.0, 2.0]), 3.0
    total = {
        tg.jacrev: lambda s: np.sum(tg.jacrev(lambda x: s * s * x * x)(x)),  # s² (2 + 4)
        tg.jacfwd: lambda s: np.sum(tg.jacfwd(lambda x: s * s * x * x)(x)),
        tg.jacobian: lambda s: np.sum(tg.jacobian(lambda x: s * s * x * x)(x)),
        tg.elementwise_grad: lambda s: np.sum(tg.elementwise_grad(lambda x: s * s * x * x)(x)),
        tg.hessian: lambda s: np.sum(tg.hessian(lambda x: s * s * np.sum(x**3) / 3)(x)),
        tg.hvp: lambda s: np.sum(tg.hvp(lambda x: s * s * np.sum(x**3) / 3)(x, np.ones(2))),
    }
    for h in total.values():
        assert tg.grad(h)(s) == 36.0
        assert tg.jvp(h, (s,), (1.0,)) == (54.0, 36.0)
        assert tg.hessian(h)(s) == 12.0
    h = lambda s: tg.gnvp(lambda x: s * x * x)(2.0, 1.0)  # (4 s)²
    assert tg.grad(h)(s) == tg.jacfwd(h)(s) == 32 * s
    h = lambda v: tg.hvp(np.prod)(x, v * x)[0]  # along what is traced
    assert tg.grad(h)(s) == tg.jacfwd(h)(s) == 2.0


# kinds


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(
    "x", [2.0, 2, np.float64(2), np.float32(2), np.float16(2), np.array(2.0), np.array(2.0, np.float32)], ids=repr
)
def test_a_derivative_is_of_the_kind_of_its_argument(transform, x):
    for f, slope in ((cube, 12), (lambda x: x * 1.0, 1), (lambda x: x - x, 0), (lambda x: 7 * x / x, 0)):
        made = transform(f)(x)
        assert made == (slope if transform is not tg.hessian or f is cube else 0)
        assert np.shape(made) == ()
        assert getattr(made, "dtype", float) == getattr(x, "dtype", float)
        if not isinstance(x, np.ndarray):
            assert type(made) is (float if type(x) is int else type(x))


@pytest.mark.parametrize("x", [2.0, np.float64(2), np.float32(2), np.array(2.0)], ids=repr)
def test_backward_derivatives_of_what_does_not_depend(x):
    for transform in (tg.grad, tg.jacrev, tg.elementwise_grad):
        assert type(transform(lambda x: 7.0)(x)) is type(x)
        assert transform(lambda x: 7.0)(x) == 0
    for transform in (tg.jacfwd, tg.hessian):
        assert transform(lambda x: np.float32(7))(x) == 0
        assert transform(lambda x: np.ones(2))(x).tolist() == [0, 0]


def test_dtypes():
    x = np.ones(2, np.float32)
    wide = lambda x: x * np.ones(2)
    assert [jacobian(cube)(x).dtype for jacobian in JACOBIANS] == [np.float32] * 3
    assert tg.jacrev(wide)(x).dtype == np.float32  # of the argument: cotangents
    assert tg.jacfwd(wide)(x).dtype == np.float64  # of the result: tangents
    assert tg.hessian(cubes)(x).dtype == np.float32
    assert tg.hvp(cubes)(x, np.ones(2)).dtype == np.float32
    assert tg.gnvp(cube)(x, np.ones(2)).dtype == np.float32
    assert tg.elementwise_grad(wide)(x).dtype == np.float32


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 3)])
def test_shapes_without_axes_or_elements(shape):
    x = np.ones(shape)
    for jacobian in JACOBIANS:
        assert jacobian(cube)(x).shape == shape + shape
        assert jacobian(lambda x: np.ones(2))(x).shape == (2, *shape)
        assert np.shape(jacobian(np.sum)(x)) == shape
        assert np.shape(jacobian(lambda y: y * x)(1.0)) == shape
    assert np.shape(tg.hessian(cubes)(x)) == shape + shape
    for made in (tg.hvp(cubes)(x, x), tg.gnvp(cube)(x, x), tg.elementwise_grad(cube)(x)):
        assert np.shape(made) == shape


def test_results_are_the_callers_own():
    x, w = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for f in (lambda x: x, lambda x: x[::-1], lambda x: np.dot(x, w), lambda x: x * w, lambda x: w, np.sum):
        for jacobian in [*JACOBIANS, tg.hessian, tg.elementwise_grad]:
            jacobian(f)(x)[...] = 7
    for made in (tg.hvp(cubes)(x, w), tg.gnvp(lambda x: x)(x, w), tg.hvp(lambda x: np.dot(x, x) / 2)(x, w)):
        made[:] = 7
    _, aux = tg.jacrev(lambda x: (x * 1, x), has_aux=True)(x)
    aux[:] = 7
    assert x.tolist() == [1, 2]
    assert w.tolist() == [3, 4]


# complex numbers


@pytest.mark.parametrize("jacobian", JACOBIANS)
def test_holomorphic(jacobian):
    made = jacobian(lambda z: z**3 * z[0], holomorphic=True)(Z)
    expected = np.diag(3 * Z**2 * Z[0])
    expected[:, 0] += Z**3
    assert made.dtype == complex
    assert np.allclose(made, expected)
    assert jacobian(cube, holomorphic=True)(1j) == -3 + 0j
    assert type(jacobian(cube, holomorphic=True)(1j)) is complex
    with pytest.raises(InputError, match="real argument") as caught:
        jacobian(lambda x: x * 1j, holomorphic=True)(X)
    three_lines(caught.value)
    with pytest.raises(OutputError, match="returns complex numbers") as caught:
        jacobian(np.abs, holomorphic=True)(Z)
    three_lines(caught.value)
    with pytest.raises(OutputError, match="complex arguments and results") as caught:
        jacobian(cube)(Z)
    three_lines(caught.value)


def test_a_holomorphic_hessian():
    assert np.allclose(tg.hessian(lambda z: np.sum(z**3), holomorphic=True)(Z), np.diag(6 * Z))
    for f, holomorphic in ((cube, False), (np.abs, False), (lambda z: np.sum(np.abs(z)), True)):
        with pytest.raises(OutputError, match="hessian") as caught:
            tg.hessian(f, holomorphic=holomorphic)(Z)
        three_lines(caught.value)


def test_complex_results_of_real_arguments():
    f = lambda x: np.exp(1j * x)
    for jacobian in (tg.jacfwd, tg.jacobian):
        assert np.allclose(jacobian(f)(X), np.diag(1j * f(X)))
        mixed = jacobian(lambda x: (f(x), x * x))(X)
        assert [part.dtype for part in mixed] == [np.complex128, np.float64]
        assert np.allclose(mixed[1], np.diag(2 * X))
    with pytest.raises(OutputError, match="back from complex results") as caught:
        tg.jacrev(f)(X)
    three_lines(caught.value)


def test_real_results_of_complex_arguments():
    f = lambda z: np.abs(z) ** 2
    for jacobian in (tg.jacrev, tg.jacobian):
        assert np.allclose(jacobian(f)(Z), np.diag(2 * np.conj(Z)))  # as grad: ∂f/∂x − i ∂f/∂y
        x, z = jacobian(lambda x, z: np.sum(np.abs(x * z)), (0, 1))(np.array([1.0, 2.0]), Z)
        assert (x.dtype, z.dtype) == (np.float64, np.complex128)
    with pytest.raises(OutputError, match="forward from complex arguments") as caught:
        tg.jacfwd(f)(Z)
    three_lines(caught.value)


@pytest.mark.parametrize(
    "transform", [lambda f: tg.gnvp(f)(Z, Z), lambda f: tg.elementwise_grad(f)(Z), lambda f: tg.hvp(f)(Z, Z)]
)
@pytest.mark.parametrize("f", [lambda z: np.sum(z), lambda z: np.sum(z * 1j)])
def test_products_are_of_real_functions(transform, f):
    with pytest.raises(OutputError, match="real") as caught:
        transform(f)
    three_lines(caught.value)


# trees, argnums, keywords, aux


@tg.tree.register_dataclass
@dataclass
class Layer:
    w: object
    b: object


def shapes(made):
    return tg.tree.map(np.shape, made)


@pytest.mark.parametrize("jacobian", JACOBIANS)
def test_trees(jacobian):
    p = {"l": Layer(np.array([[1.0, 2.0]]), 3.0), "n": None, "t": (np.float64(2), [np.ones(2)])}

    def f(p):
        return [p["l"].w * p["l"].b, {"s": p["t"][0] * p["t"][1][0]}, None, ()]

    made = jacobian(f)(p)
    assert made[2:] == [None, ()]
    first, second = made[0], made[1]["s"]
    assert tg.tree.structure(first) == tg.tree.structure(second) == tg.tree.structure(p)
    assert np.array_equal(first["l"].w, 3 * np.eye(2).reshape(1, 2, 1, 2))
    assert np.array_equal(first["l"].b, [[1, 2]])
    assert [np.shape(leaf) for leaf in tg.tree.leaves(first["t"])] == [(1, 2), (1, 2, 2)]
    assert np.array_equal(second["t"][0], [1, 1])
    assert np.array_equal(second["t"][1][0], 2 * np.eye(2))
    assert not any(np.any(leaf) for leaf in tg.tree.leaves([first["t"], second["l"]]))


@pytest.mark.parametrize("jacobian", JACOBIANS)
def test_empty_trees(jacobian):
    assert jacobian(lambda x: ())(1.0) == ()
    assert jacobian(lambda x: None)(1.0) is None
    assert jacobian(lambda x: {"a": []})(X) == {"a": []}
    assert jacobian(lambda p: 1.0)([]) == []
    assert jacobian(lambda p: (np.ones(2), 1.0))({"a": None}) == ({"a": None}, {"a": None})
    assert jacobian(cube, ())(1.0) == ()


def test_a_hessian_by_trees():
    p = {"w": np.array([1.0, 2.0]), "b": [3.0, None]}
    made = tg.hessian(lambda p: np.sum(p["w"] ** 2) * p["b"][0] ** 2)(p)
    assert made["w"]["w"].tolist() == [[18, 0], [0, 18]]
    assert made["w"]["b"][0].tolist() == made["b"][0]["w"].tolist() == [12, 24]
    assert made["b"][0]["b"] == [10.0, None]
    assert made["b"][1] is None
    v = {"w": np.array([1.0, 0.0]), "b": [2.0, None]}
    along = tg.hvp(lambda p: np.sum(p["w"] ** 2) * p["b"][0] ** 2)(p, v)
    assert along["w"].tolist() == [18 + 24, 48]
    assert along["b"] == [12.0 + 20.0, None]


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 36.0 * 4),
        (1, 24.0 * 4),
        (-1, 36.0),
        ((0, 2), (144.0, 36.0)),
        ([1], (96.0,)),
        ((), ()),
        (np.int64(1), 96.0),
        ((-3, -1), (144.0, 36.0)),
    ],
)
def test_argnums(argnums, expected):
    for jacobian in [*JACOBIANS, tg.elementwise_grad]:
        assert jacobian(product, argnums)(2.0, 3.0, 4.0) == expected
    pair = tg.jacrev(lambda x, y, z: (product(x, y, z), {"y": y}), argnums)(2.0, 3.0, 4.0)
    assert pair[0] == expected


def test_argnums_of_second_derivatives():
    f = lambda x, y: x * x * y * y
    assert tg.hessian(f)(2.0, 3.0) == 18.0
    assert tg.hessian(f, -1)(2.0, 3.0) == 8.0
    assert tg.hessian(f, (0, 1))(2.0, 3.0) == ((18.0, 24.0), (24.0, 8.0))
    assert tg.hvp(f, 1)(2.0, 3.0, 10.0) == 80.0
    assert tg.hvp(f, -1)(2.0, 3.0, 10.0) == 80.0
    assert tg.hvp(f, (1, 0))(2.0, 3.0, (1.0, 10.0)) == (248.0, 204.0)
    assert tg.hvp(f, [0])(2.0, 3.0, [1.0]) == (18.0,)
    assert tg.gnvp(f, argnums=1)(2.0, 3.0, 1.0) == 24.0**2
    assert tg.gnvp(lambda x, y: x * y, argnums=(1, 0))(2.0, 3.0, (1.0, 10.0)) == (64.0, 96.0)
    assert tg.hvp(f, ())(2.0, 3.0, ()) == tg.gnvp(f, argnums=())(2.0, 3.0, ()) == ()


def test_keywords():
    for jacobian in [*JACOBIANS, tg.elementwise_grad]:
        assert jacobian(product)(2.0, 3.0, z=4.0) == 144.0
        assert jacobian(product)(x=2.0, y=3.0) == 36.0
        assert jacobian(product, 1)(2.0, y=3.0) == 24.0
    assert tg.hessian(product)(2.0, 3.0, z=4.0) == 72.0
    assert tg.hessian(product, (0, 1))(2.0, y=3.0) == ((18.0, 24.0), (24.0, 8.0))
    assert tg.hvp(product)(2.0, 3.0, 10.0, z=4.0) == 720.0
    assert tg.hvp(product, 1)(2.0, 10.0, y=3.0) == 80.0
    assert tg.gnvp(product)(2.0, 3.0, 1.0, z=1.0) == 36.0**2
    assert tg.gnvp(product, argnums=1)(2.0, 1.0, y=3.0) == 24.0**2


def test_aux():
    f = lambda x: (x**3, {"twice": 2 * x, "note": "as it is", "none": None})
    aux = {"twice": 4.0, "note": "as it is", "none": None}
    for transform in TRANSFORMS:
        assert transform(f, has_aux=True)(2.0) == (12.0, aux)
    assert tg.hvp(f, has_aux=True)(2.0, 1.0) == (12.0, aux)
    assert tg.gnvp(f, has_aux=True)(2.0, 1.0) == (144.0, aux)
    assert tg.gnvp(f, lambda y: y * y, has_aux=True)(2.0, 1.0) == (288.0, aux)
    assert tg.hessian(f, (0,), True)(2.0) == (((12.0,),), aux)


def test_aux_carries_a_derivative_to_the_frames_around():
    f = lambda x: lambda y: (y**3, [x * y])
    for transform in TRANSFORMS:
        assert tg.grad(lambda x: transform(f(x), has_aux=True)(x)[1][0])(3.0) == 6.0
    for transform in PRODUCTS:
        assert tg.grad(lambda x: transform(f(x), has_aux=True)(x, 1.0)[1][0])(3.0) == 6.0
        assert tg.jvp(lambda x: transform(f(x), has_aux=True)(x, 1.0)[1][0], (3.0,), (1.0,)) == (9.0, 6.0)


@pytest.mark.parametrize("out", [3.0, (1.0,), (1.0, 2, 3), None])
@pytest.mark.parametrize("transform", [*TRANSFORMS, *PRODUCTS])
def test_aux_needs_a_pair(transform, out):
    with pytest.raises(OutputError, match="has_aux=True") as caught:
        transform(lambda x: out, has_aux=True)(*[1.0] * (1 + (transform in PRODUCTS)))
    three_lines(caught.value)


# how often a function is called, and its tape read


@pytest.fixture
def counted():
    """A primitive from 2 numbers to 3 that counts its calls, and those of its rules back and forth."""
    counts = {"call": 0, "back": 0, "forth": 0}
    A = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    @tg.primitive
    def times(x):
        counts["call"] += 1
        return np.matmul(A, x * x)

    @times.defvjp(0)
    def times_back(g, _y, x):
        counts["back"] += 1
        return 2 * x * np.matmul(A.T, g)

    @times.defjvp(0)
    def times_forth(t, _y, x):
        counts["forth"] += 1
        return np.matmul(A, 2 * x * t)

    return times, counts


@pytest.mark.parametrize(("jacobian", "back", "forth"), [(tg.jacrev, 3, 0), (tg.jacfwd, 0, 2), (tg.jacobian, 0, 2)])
def test_a_jacobian_records_once_and_reads_once_for_each(counted, jacobian, back, forth):
    f, counts = counted
    calls = []
    made = jacobian(lambda x: (calls.append(1), f(x))[1])(np.array([1.0, 10.0]))
    assert made.tolist() == [[2, 40], [6, 80], [10, 120]]
    assert len(calls) == 1
    assert counts == {"call": 1, "back": back, "forth": forth}


def test_jacobian_takes_the_cheaper(counted):
    f, counts = counted
    tg.jacobian(lambda x: f(x)[:1])(np.ones(2))
    assert counts == {"call": 1, "back": 1, "forth": 0}
    tg.jacobian(lambda x: f(x)[:2])(np.ones(2))
    assert counts == {"call": 2, "back": 3, "forth": 0}
    tg.jacobian(lambda x, y: (f(x), y), (0, 1))(np.ones(2), np.ones(9))
    assert counts == {"call": 3, "back": 3, "forth": 2}


def test_hessians_and_products_call_once(counted):
    f, counts = counted
    calls = []
    loss = lambda x: (calls.append(1), np.sum(f(x) ** 2))[1]
    tg.hvp(loss)(np.ones(2), np.ones(2))
    assert (len(calls), counts["call"], counts["back"]) == (1, 1, 1)
    tg.hessian(loss)(np.ones(2))
    assert (len(calls), counts["call"], counts["back"]) == (2, 2, 2)
    counts.update(back=0, forth=0)
    tg.gnvp(f)(np.ones(2), np.ones(2))
    assert counts == {"call": 3, "back": 1, "forth": 1}
    tg.elementwise_grad(f)(np.ones(2))
    assert counts == {"call": 4, "back": 2, "forth": 1}


def test_what_does_not_depend_is_not_read(counted):
    f, counts = counted
    made = tg.jacrev(lambda x: (f(x)[0], np.ones(5)))(np.ones(2))
    assert shapes(made) == ((2,), (5, 2))
    assert counts["back"] == 1


# what a transform keeps of its function


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_name_docstring_and_signature(transform):
    made = transform(cube)
    assert made.__name__ == made.__qualname__ == "cube"
    assert made.__doc__ == "The cube."
    assert made.__wrapped__ is cube
    assert inspect.signature(transform(product)) == inspect.signature(product)
    assert repr(made) == f"<{transform.__name__}(cube)>"
    assert transform(lambda x: x * x).__name__ == "<lambda>"
    assert "grad" in transform.__doc__ or "Jacobian" in transform.__doc__ or "derivative" in transform.__doc__


@pytest.mark.parametrize("transform", PRODUCTS)
def test_a_product_takes_the_vector_too(transform):
    made = transform(product)
    assert made.__name__ == "product"
    assert repr(made) == f"<{transform.__name__}(product)>"
    inspect.signature(made).bind(1.0, 2.0, 3.0, z=4.0)
    inspect.signature(tg.grad(made)).bind(1.0, 2.0, 3.0, 4.0)


def test_signatures_are_those_of_jax():
    for transform in (tg.grad, tg.value_and_grad, tg.jacrev, tg.jacfwd, tg.jacobian, tg.hessian):
        parameters = inspect.signature(transform).parameters.values()
        assert [(p.name, p.default) for p in parameters][1:] == [
            ("argnums", 0),
            ("has_aux", False),
            ("holomorphic", False),
        ]
    for transform, names in ((tg.hvp, []), (tg.gnvp, ["loss"]), (tg.elementwise_grad, [])):
        assert list(inspect.signature(transform).parameters) == ["fun", *names, "argnums", "has_aux"]


def test_pickle():
    for transform in TRANSFORMS:
        for f in (transform(cube), transform(cube, argnums=(0,)), transform(tg.grad(cube)), tg.grad(transform(cube))):
            copy = pickle.loads(pickle.dumps(f))
            assert copy(2.0) == f(2.0)
            assert repr(copy) == repr(f)
    for f in (tg.hvp(cube), tg.gnvp(cube), tg.gnvp(cube, cube), tg.hvp(tg.jacfwd(cube)), tg.jacrev(tg.hvp(cube))):
        assert pickle.loads(pickle.dumps(f))(2.0, 3.0) == f(2.0, 3.0)
    f = tg.hvp(product, (0, 1), has_aux=False)
    assert pickle.loads(pickle.dumps(f))(2.0, 3.0, (1.0, 0.0)) == (18.0, 24.0)
    aux = tg.hessian(with_aux, has_aux=True)
    assert pickle.loads(pickle.dumps(aux))(2.0) == aux(2.0) == (12.0, 2.0)
    assert pickle.loads(pickle.dumps(tg.jacfwd(cube, holomorphic=True)))(1j) == -3 + 0j


def with_aux(x):
    return x**3, x * 1.0


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_as_a_method(transform):
    class Model:
        scale = 3.0

        @transform
        def alone(x):
            return x**3

        def loss(self, x, y=1.0):
            return self.scale * x**3 * y

        derivative = transform(loss, argnums=1)

    assert Model.alone(2.0) == 12.0
    assert Model().derivative(2.0) == 36.0
    assert Model().derivative(2.0, y=2.0) == 72.0
    assert Model.derivative(Model(), 2.0) == 36.0


@pytest.mark.parametrize("transform", PRODUCTS)
def test_a_product_as_a_method(transform):
    class Model:
        scale = 3.0

        def loss(self, x):
            return self.scale * x**3

        along = transform(loss, argnums=1)

    assert Model().along(2.0, 1.0) == transform(lambda x: 3.0 * x**3)(2.0, 1.0)


# bad calls

EVERY = [*TRANSFORMS, *PRODUCTS]


def called(transform, f, *args, **kwargs):
    return transform(f, **kwargs)(*args, *args[:1] * (transform in PRODUCTS))


@pytest.mark.parametrize("f", [3.0, None, "sin", np.ones(2)], ids=repr)
@pytest.mark.parametrize("transform", [*EVERY, lambda f: tg.gnvp(cube, 0.0 if f is None else f)])
def test_not_a_function(transform, f):
    with pytest.raises(InputError, match="needs a function") as caught:
        transform(f)
    three_lines(caught.value)


@pytest.mark.parametrize("argnums", ["x", 1.5, True, None, (0, 0), (0, "y"), 3, -4, (0, -3), (True,)])
@pytest.mark.parametrize("transform", EVERY)
def test_wrong_argnums(transform, argnums):
    with pytest.raises(ArgnumsError, match=transform.__name__) as caught:
        called(transform, product, 1.0, 2.0, 3.0, argnums=argnums)
    three_lines(caught.value)


@pytest.mark.parametrize("transform", EVERY)
def test_no_arguments(transform):
    with pytest.raises((ArgnumsError, InputError), match=transform.__name__) as caught:
        transform(lambda: 1.0)()
    three_lines(caught.value)


@pytest.mark.parametrize(
    "x",
    [True, "text", np.array([1, 2]), np.int64(1), [1.0, "text"], np.ma.masked_array([1.0])],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize("transform", EVERY)
def test_what_cannot_be_differentiated_by(transform, x):
    with pytest.raises(InputError) as caught:
        called(transform, lambda x: 1.0, x)
    three_lines(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: 3,
        lambda x: True,
        lambda x: (x, 3),
        lambda x: x > 0,
        lambda x: np.argmax(np.stack([x, x])),
        lambda x: "text",
        lambda x: [x, object()],
        lambda x: np.array(["a"]),
        lambda x: np.array([None]),
    ],
)
@pytest.mark.parametrize("transform", EVERY)
def test_what_has_no_derivative(transform, f):
    with pytest.raises(OutputError) as caught:
        called(transform, f, 1.0)
    three_lines(caught.value)


@pytest.mark.parametrize("transform", PRODUCTS)
def test_wrong_vectors(transform):
    name = transform.__name__
    for v, said in ((np.ones(2), "shape"), (1j, "complex"), ("v", "str"), (None, "structure"), ([1.0], "structure")):
        with pytest.raises((TangentError, TreeError), match=rf"{name}.* argument 1|{name}.*{said}") as caught:
            transform(lambda x, y: x * y, argnums=1)(2.0, 3.0, v)
        assert "argument 1" in str(caught.value)
        three_lines(caught.value)
    for v in (1.0, np.ones(2), None, {"x": 1.0}, (1.0,), (1.0, 1.0, 1.0), (1.0, np.ones(2))):
        with pytest.raises(TangentError, match=name) as caught:
            transform(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0, v)
        three_lines(caught.value)
    with pytest.raises(InputError, match="the vector") as caught:
        transform(cube)(2.0)
    three_lines(caught.value)


@pytest.mark.parametrize("transform", EVERY)
def test_after_an_exception_all_is_as_before(transform):
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        called(transform, f, 1.0)
    assert called(transform, cube, 2.0) == (144.0 if transform is tg.gnvp else 12.0) * (
        2.0 if transform in PRODUCTS else 1.0
    )


def test_hvp_is_the_hessian_times_the_vector_where_that_is_not_symmetric():
    @tg.custom_vjp
    def f(x):
        return x[0] * x[1]

    f.defvjp(lambda x: (x[0] * x[1], x), lambda x, g: (g * np.stack([x[1] ** 2, 3.0 * x[0]]),))  # no gradient
    x, v = np.array([2.0, 3.0]), np.array([1.0, 10.0])
    for g in (f, tg.checkpoint(f), lambda x: f(x) + np.sum(x**3)):
        np.testing.assert_allclose(tg.hvp(g)(x, v), tg.hessian(g)(x) @ v)
        np.testing.assert_allclose(tg.hvp(g)(x, v), tg.jvp(tg.grad(g), (x,), (v,))[1])
    assert tg.hvp(f)(x, v).tolist() == [60.0, 3.0]
