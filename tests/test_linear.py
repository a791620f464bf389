"""jvp, linearize, vjp: values, trees, kinds, what is handed out and kept, every mix of transforms, and bad calls."""

import collections
import gc
import inspect
import itertools
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import (
    CotangentError,
    EscapedTracerError,
    InputError,
    OutputError,
    TangentError,
    TreeError,
)

X = np.array([0.3, -1.2, 2.0])
V = np.array([1.0, 0.5, -2.0])


def by_jvp(f, primals, tangents):
    return tg.jvp(f, primals, tangents)


def by_linearize(f, primals, tangents):
    value, f_jvp = tg.linearize(f, *primals)
    return value, f_jvp(*tangents)


FORTH = [by_jvp, by_linearize]


# values

FUNCTIONS = [
    lambda x: np.sin(x) * x,
    lambda x: np.exp(-x * x) / (1 + x * x),
    lambda x: np.sum(x**3),
    lambda x: np.cumsum(x)[::-1] * x[0],
    lambda x: np.where(x > 0, x * x, np.tanh(x)),
    lambda x: np.sort(x) * np.max(x),
    lambda x: np.matmul(np.outer(x, x), np.cos(x)),
    lambda x: np.concatenate([x, x * x, x[:1]]).reshape(7, 1) * x,
    lambda x: np.stack([np.prod(x), np.std(x), np.linalg.norm(x)]),
    lambda x: x[np.array([0, 0, 2])] * np.mean(x),
    lambda x: np.einsum("i,j,ij->ji", x, x, np.outer(x, x)),
]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_forth_and_back_agree_with_differences(f):
    step = 1e-6
    slope = (f(X + step * V) - f(X - step * V)) / (2 * step)
    for forth in FORTH:
        value, tangent = forth(f, (X,), (V,))
        assert np.array_equal(value, f(X))
        assert np.shape(tangent) == np.shape(value)
        assert np.allclose(tangent, slope, rtol=1e-7, atol=1e-8)
    g = np.cos(1.0 + np.arange(np.size(slope))).reshape(np.shape(slope))
    assert np.sum(tg.vjp(f, X)[1](g)[0] * V) == pytest.approx(np.sum(g * tangent))
    assert np.sum(tg.linearize(f, X)[1].transpose(g)[0] * V) == pytest.approx(np.sum(g * tangent))


@pytest.mark.parametrize(
    "f",
    [
        np.abs,
        np.conj,
        np.real,
        np.imag,
        np.angle,
        np.exp,
        np.sqrt,
        np.prod,
        np.cumsum,
        np.linalg.norm,
        lambda z: z * np.conj(z) * z,
        lambda z: np.conj(z) / z,
        lambda z: np.vdot(z, z * z),
        lambda z: np.outer(z, np.conj(z)),
        lambda z: np.where(np.array([True, False, True]), z, np.conj(z)),
        lambda z: z.real * z,
    ],
)
def test_complex_numbers(f):
    z, v, step = X + 1j * V, V - 1j * X, 1e-6
    slope = (f(z + step * v) - f(z - step * v)) / (2 * step)
    for forth in FORTH:
        value, tangent = forth(f, (z,), (v,))
        assert tangent.dtype == value.dtype
        assert np.allclose(tangent, slope, atol=1e-7)
    g = tg.vjp(f, z)[1](np.ones_like(slope))[0]
    assert np.real(np.sum(g * v)) == pytest.approx(np.real(np.sum(slope)), abs=1e-7)


def test_complex_between_and_after_real_numbers():
    value, tangent = tg.jvp(lambda x: np.exp(1j * x), (0.5,), (2.0,))
    assert tangent == pytest.approx(2j * np.exp(0.5j))
    assert tg.vjp(lambda x: np.exp(1j * x), 0.5)[1](1j)[0] == pytest.approx(np.real(1j * 1j * np.exp(0.5j)))
    w = np.array([3.0 + 4.0j, 1.0 - 2.0j])
    value, tangent = tg.jvp(lambda x: np.abs(np.dot(w, x)) ** 2, (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    assert (value, tangent) == (25.0, 30.0)
    assert tangent.dtype == np.float64


# kinds

KINDS = [2.0, np.float64(2), np.float32(2), np.float16(2), np.longdouble(2), np.array(2.0), np.array(2.0, np.float32)]


@pytest.mark.parametrize("forth", FORTH)
@pytest.mark.parametrize("x", [*KINDS, 2], ids=repr)
@pytest.mark.parametrize("t", [1.0, 1, True, np.float64(1), np.float32(1), np.array(1.0), np.int64(1), np.bool_(True)])
def test_a_tangent_is_of_the_kind_of_the_value(forth, x, t):
    for f, slope in ((lambda x: x**3, 12), (lambda x: x * 1.0, 1), (lambda x: 5.0, 0), (lambda x: np.sin(x) * 0.0, 0)):
        value, tangent = forth(f, (x,), (t,))
        expected = f(float(x) if type(x) is int else x)
        assert type(value) is type(expected)
        assert type(tangent) is type(value)
        assert tangent == slope
        assert getattr(tangent, "dtype", None) == getattr(value, "dtype", None)


@pytest.mark.parametrize("forth", FORTH)
def test_a_tangent_has_the_dtype_of_the_value(forth):
    x = np.ones(2, np.float32)
    for f in (
        lambda x: x * x,
        lambda x: x * np.ones(2),
        lambda x: x.astype(np.float64),
        lambda x: x * 1j,
        lambda x: np.sum(x),
        lambda x: np.ones(3, np.float16),
    ):
        value, tangent = forth(f, (x,), (np.ones(2),))
        assert tangent.dtype == value.dtype == f(x).dtype
        assert tg.vjp(f, x)[1](np.ones_like(value))[0].dtype == np.float32


@pytest.mark.parametrize("forth", FORTH)
def test_what_does_not_depend_has_tangent_zero(forth):
    outs = (3, True, np.int64(3), np.array([1, 2]), np.array([True]), 2.0, np.float32(2), np.ones(2), 1j)
    value, tangents = forth(lambda x: outs, (1.0,), (1.0,))
    assert repr(value) == repr(outs)
    expected = (0.0, 0.0, 0.0, np.zeros(2), np.zeros(1), 0.0, np.float32(0), np.zeros(2), 0j)
    assert repr(tangents) == repr(expected)


@pytest.mark.parametrize("forth", FORTH)
def test_integers_of_traced_values_have_tangent_zero(forth):
    f = lambda x: (np.argmax(x), x > 0, np.floor(x), len(x), x.shape)
    _, tangents = forth(f, (X,), (V,))
    assert [np.sum(np.abs(t)) for t in tg.tree.leaves(tangents)] == [0] * 5
    assert np.shape(tangents[1]) == (3,)


@pytest.mark.parametrize("forth", FORTH)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 3)])
def test_shapes_without_axes_or_elements(forth, shape):
    x = np.ones(shape)
    _, (tangent, total) = forth(lambda x: (x**3, np.sum(x)), (x,), (x,))
    assert np.shape(tangent) == shape
    assert np.array_equal(tangent, 3 * x)
    assert total == x.size
    (g,) = tg.vjp(lambda x: x**3, x)[1](x)
    assert g.shape == shape


# trees, aux, arguments

Point = collections.namedtuple("Point", "x y")


@tg.tree.register_dataclass
@dataclass
class Layer:
    w: object
    b: object


TREES = [
    [1.0, 2.0],
    (1.0, (2.0, [3.0])),
    {"b": 1.0, "a": np.array([1.0, 2.0])},
    Point(1.0, {"k": 2.0}),
    collections.OrderedDict(b=1.0, a=2.0),
    [None, 1.0, (), {}],
    [],
    {},
    None,
    Layer(np.array([1.0, 2.0]), 3.0),
    [Layer(np.array([1.0]), None), {"x": Layer(np.float32(2), 1.0)}],
]


@pytest.mark.parametrize("forth", FORTH)
@pytest.mark.parametrize("argument", TREES, ids=repr)
def test_trees(forth, argument):
    f = lambda p: {"cubes": tg.tree.map(lambda x: x**3, p), "sum": sum(map(np.sum, tg.tree.leaves(p)), start=0.0)}
    value, tangent = forth(f, (argument,), (argument,))
    assert tg.tree.structure(tangent) == tg.tree.structure(value) == tg.tree.structure(f(argument))
    for t, x in zip(tg.tree.leaves(tangent["cubes"]), tg.tree.leaves(argument), strict=True):
        assert np.allclose(t, 3 * x**3)
        assert type(t) is type(x)
    assert tangent["sum"] == f(argument)["sum"]
    value, pullback = tg.vjp(f, argument)
    (back,) = pullback({"cubes": argument, "sum": 1.0})
    assert tg.tree.structure(back) == tg.tree.structure(argument)
    for g, x in zip(tg.tree.leaves(back), tg.tree.leaves(argument), strict=True):
        assert np.allclose(g, 3 * x**3 + 1)


@pytest.mark.parametrize("forth", FORTH)
def test_several_arguments(forth):
    f = lambda x, p, n: x * p["w"] ** n + p["b"]
    value, tangent = forth(f, (2.0, {"w": 3.0, "b": 1.0}, 2), (1.0, {"w": 10.0, "b": 100.0}, 0.0))
    assert (value, tangent) == (19.0, 9.0 + 120.0 + 100.0)
    assert forth(lambda *a: a[0] * a[1], [2.0, 3.0], [1.0, 10.0]) == (6.0, 23.0)
    assert forth(lambda: 1.0, (), ()) == (1.0, 0.0)
    assert tg.vjp(lambda: 1.0)[1](1.0) == ()


def test_the_same_argument_twice():
    x = np.array([1.0, 2.0])
    assert tg.jvp(np.multiply, (x, x), (np.ones(2), np.zeros(2)))[1].tolist() == [1, 2]
    a, b = tg.vjp(np.add, x, x)[1](x)
    a[:] = 0
    assert b.tolist() == x.tolist() == [1, 2]


def test_the_same_output_twice():
    def f(x):
        y = x * x
        return [y, {"a": y}, x, y]

    value, pullback = tg.vjp(f, 3.0)
    assert value == [9.0, {"a": 9.0}, 3.0, 9.0]
    assert pullback([1.0, {"a": 10.0}, 1000.0, 100.0]) == (1666.0,)
    for forth in FORTH:
        assert forth(f, (3.0,), (1.0,))[1] == [6.0, {"a": 6.0}, 1.0, 6.0]


def test_aux():
    f = lambda x: (x * x, {"twice": 2 * x, "note": "as it is", "n": 3, "none": None})
    aux = {"twice": 6.0, "note": "as it is", "n": 3, "none": None}
    assert tg.jvp(f, (3.0,), (1.0,), has_aux=True) == (9.0, 6.0, aux)
    assert tg.jvp(f, (3.0,), (1.0,), True) == (9.0, 6.0, aux)
    value, f_jvp, found = tg.linearize(f, 3.0, has_aux=True)
    assert (value, f_jvp(1.0), found) == (9.0, 6.0, aux)
    value, pullback, found = tg.vjp(f, 3.0, has_aux=True)
    assert (value, pullback(1.0), found) == (9.0, (6.0,), aux)


@pytest.mark.parametrize("out", [3.0, (1.0,), (1.0, 2, 3), None])
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: tg.jvp(f, (1.0,), (1.0,), has_aux=True),
        lambda f: tg.linearize(f, 1.0, has_aux=True),
        lambda f: tg.vjp(f, 1.0, has_aux=True),
    ],
)
def test_aux_needs_a_pair(transform, out):
    with pytest.raises(OutputError, match="has_aux=True") as caught:
        transform(lambda x: out)
    three_lines(caught.value)


def test_aux_carries_a_derivative_to_the_frames_around():
    f = lambda x: lambda y: (y * y, [x * y])
    aux = [
        lambda x: tg.jvp(f(x), (x,), (1.0,), has_aux=True)[2][0],
        lambda x: tg.linearize(f(x), x, has_aux=True)[2][0],
        lambda x: tg.vjp(f(x), x, has_aux=True)[2][0],
    ]
    for h in aux:
        assert tg.grad(h)(3.0) == 6.0
        assert tg.jvp(h, (3.0,), (1.0,)) == (9.0, 6.0)


# what is handed out is the caller's own, and may be changed

SAME = [
    lambda x: x,
    lambda x: x.T,
    lambda x: x[::-1],
    lambda x: np.reshape(x, (1, -1)),
    lambda x: np.broadcast_to(x, (2, 3)),
]


@pytest.mark.parametrize("f", SAME)
def test_results_can_be_changed(f):
    x, v = X.copy(), V.copy()
    expected = f(v).copy()
    value, tangent, aux = tg.jvp(lambda x: (f(x), {"a": f(x)}), (x,), (v,), has_aux=True)
    for made in (value, tangent, aux["a"]):
        made[:] = 7
    assert np.array_equal(x, X)
    assert np.array_equal(v, V)
    value, f_jvp, aux = tg.linearize(lambda x: (f(x) * 1, [f(x)]), x, has_aux=True)
    value[:] = aux[0][:] = 7
    for _ in range(2):
        tangent = f_jvp(v)
        assert np.array_equal(tangent, expected)
        tangent[:] = 7
    value, pullback = tg.vjp(lambda x: (f(x), f(x * x)), x)
    value[0][:] = value[1][:] = 7
    g = np.ones(expected.shape)
    for _ in range(2):
        (back,) = pullback((g, g))
        assert np.allclose(back, expected.size / 3 * (1 + 2 * X))
        back[:] = 7
    assert np.array_equal(x, X)
    assert np.array_equal(v, V)
    assert (g == 1).all()


def test_containers_can_be_changed():
    p = [2.0, 3.0]
    value, f_jvp = tg.linearize(lambda p: {"a": p[0] * p[1], "b": [p[0]]}, p)
    value["b"].clear()
    del value["a"]
    p.clear()
    assert f_jvp([1.0, 0.0]) == {"a": 3.0, "b": [1.0]}
    assert f_jvp.transpose({"a": 1.0, "b": [0.0]}) == ([3.0, 2.0],)
    with pytest.raises(TangentError, match=r"argument 0\[1\]"):
        f_jvp([1.0, np.ones(2)])


def test_maps_are_kept_and_called_again():
    calls = []

    def f(x, y):
        calls.append(1)
        return np.sin(x) * y

    _, f_jvp = tg.linearize(f, X, 2.0)
    _, pullback = tg.vjp(f, X, 2.0)
    for _ in range(3):
        assert np.allclose(f_jvp(V, 1.0), np.cos(X) * V * 2 + np.sin(X))
        assert np.allclose(f_jvp(V, 0.0), np.cos(X) * V * 2)
        gx, gy = pullback(V)
        assert np.allclose(gx, np.cos(X) * V * 2)
        assert gy == pytest.approx(np.sum(np.sin(X) * V))
        gx, gy = f_jvp.transpose(V)
        assert np.allclose(gx, np.cos(X) * V * 2)
    assert len(calls) == 2


def test_maps_say_what_they_are():
    assert repr(tg.vjp(np.sin, 1.0)[1]) == "<pullback of vjp(sin)>"
    assert repr(tg.linearize(np.sin, 1.0)[1]) == "<linear map of linearize(sin)>"
    assert repr(tg.linearize(np.sin, 1.0)[1].transpose) == "<pullback of linearize(sin)>"


def test_signatures_are_those_of_jax():
    names = {f: list(inspect.signature(f).parameters) for f in (tg.jvp, tg.linearize, tg.vjp)}
    assert names[tg.jvp] == ["fun", "primals", "tangents", "has_aux"]
    assert names[tg.linearize] == ["fun", "primals", "has_aux"]
    assert names[tg.vjp] == ["fun", "primals", "has_aux"]


# maps inside other transforms


def test_maps_are_differentiated():
    _, f_jvp = tg.linearize(lambda x: x**3, 2.0)
    _, pullback = tg.vjp(lambda x: x**3, 2.0)
    for h in (lambda t: f_jvp(t) ** 2, lambda t: pullback(t)[0] ** 2, lambda t: f_jvp.transpose(t)[0] ** 2):
        assert tg.grad(h)(3.0) == 864.0
        assert tg.jvp(h, (3.0,), (1.0,)) == (1296.0, 864.0)
        assert tg.linearize(h, 3.0)[1](1.0) == 864.0
        assert tg.grad(tg.grad(h))(3.0) == tg.hessian(h)(3.0) == 288.0


def test_the_jacobian_of_a_map_is_that_of_the_function():
    f = lambda x: np.sin(x) * x[0]
    expected = np.diag(np.cos(X) * X[0])
    expected[:, 0] += np.sin(X)
    f_jvp, pullback = tg.linearize(f, X)[1], tg.vjp(f, X)[1]
    for jacobian in (tg.jacrev, tg.jacfwd):
        assert np.allclose(jacobian(f_jvp)(V), expected)
        assert np.allclose(jacobian(lambda g: pullback(g)[0])(V), expected.T)


OUTER = {
    "grad": lambda f, x: tg.grad(f)(x),
    "jvp": lambda f, x: tg.jvp(f, (x,), (1.0,))[1],
    "linearize": lambda f, x: tg.linearize(f, x)[1](1.0),
    "vjp": lambda f, x: tg.vjp(f, x)[1](1.0)[0],
    "jacfwd": lambda f, x: tg.jacfwd(f)(x),
    "jacrev": lambda f, x: tg.jacrev(f)(x),
    "transpose": lambda f, x: tg.linearize(f, x)[1].transpose(1.0)[0],
    "elementwise_grad": lambda f, x: tg.elementwise_grad(f)(x),
}
MAPS = {
    "pullback": lambda f, x: tg.vjp(f, x)[1],
    "linear map": lambda f, x: tg.linearize(f, x)[1],
    "transpose": lambda f, x: tg.linearize(f, x)[1].transpose,
}


def slope(m):
    made = m(1.0)
    return made[0] if isinstance(made, tuple) else made


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("kind", MAPS)
def test_a_map_from_inside_a_running_transform(outer, kind):
    def f(x):
        m = MAPS[kind](lambda y: x * y * y, 3.0)  # 6x
        deeper = tg.jvp(lambda z: z * z * slope(m), (x,), (1.0,))[1]  # 12x²
        return deeper + tg.grad(lambda z: slope(m) * z)(1.0) + slope(m)

    assert OUTER[outer](f, 2.0) == 60.0


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("kind", MAPS)
def test_a_map_of_values_of_a_transform_that_has_ended(outer, kind):
    kept = []

    def f(x):
        kept.append(MAPS[kind](lambda y: x * y * y, 3.0))
        return x * 1.0

    OUTER[outer](f, 2.0)
    later = lambda z: z * slope(kept[0])
    for use in (later, tg.grad(later), lambda x: OUTER[outer](later, x)):
        with pytest.raises(EscapedTracerError) as caught:
            use(1.0)
        three_lines(caught.value)


# every mix of transforms, to the third order


@pytest.mark.parametrize("names", [*itertools.product(OUTER, repeat=3)], ids="-".join)
def test_three_orders(names):
    a, b, c = [OUTER[name] for name in names]
    f = lambda x, y, z: x**4 * y**3 * z**2

    def nested(combine):
        """∂/∂x of what combines x with ∂/∂y of what combines y with ∂f/∂z."""
        inner = lambda x, y: combine(y, c(lambda z: f(x, y, z), 2.0))
        return a(lambda x: combine(x, b(lambda y: inner(x, y), 0.5)), 1.5)

    x, y, z = 1.5, 0.5, 2.0
    assert a(lambda x: b(lambda x: c(lambda x: x**5 / x, x), x), x) == pytest.approx(24 * x, rel=1e-13)
    assert nested(lambda _, d: d) == pytest.approx(4 * x**3 * 3 * y**2 * 2 * z, rel=1e-13)
    assert nested(lambda v, d: v * d) == pytest.approx(5 * x**4 * 4 * y**3 * 2 * z, rel=1e-13)
    # each at what the one around traces
    assert a(lambda x: b(lambda y: c(lambda z: x * y * z, y), x), x) == 1.0
    assert a(lambda x: b(lambda y: c(lambda z: x * y * z * z, x * y), x), x) == 12 * x**2
    # perturbations that must not be confused
    assert a(lambda x: x * b(lambda y: x + y, 1.0) * c(lambda z: x + z, 1.0), x) == 1.0
    # siblings at one depth, the second by what the first gave
    assert a(lambda x: b(lambda y: y**2 * x, x) * c(lambda y: y**3 * x, x), x) == 30 * x**4
    assert a(lambda x: c(lambda z: z * b(lambda y: y * y * x, x) ** 2, x), x) == 16 * x**3


@pytest.mark.parametrize("names", [*itertools.product(["grad", "jvp", "linearize"], repeat=3)], ids="-".join)
@pytest.mark.parametrize(
    ("f", "third"),
    [
        (lambda x: np.sin(x) * np.exp(x), lambda x: 2 * np.exp(x) * (np.cos(x) - np.sin(x))),
        (lambda x: 1.0 / x, lambda x: -6 / x**4),
        (lambda x: np.sum(np.matmul(np.stack([x, 2 * x]), np.stack([x * x, x]))), lambda x: 6.0),
        (lambda x: np.prod(np.stack([x, x * x, x])[np.array([0, 1, 2])]), lambda x: 24 * x),
        (lambda x: np.where(x > 0, x**5, x), lambda x: 60 * x**2),
        (lambda x: np.max(np.stack([x**3, x])) * x, lambda x: 24 * x),
        (lambda x: np.sum(np.cumsum(np.stack([x, x * x])) ** 2), lambda x: 12 * (1 + 2 * x)),
        (lambda x: np.linalg.norm(np.stack([x * x, x * x])), lambda x: 0.0),
    ],
)
def test_third_derivatives(names, f, third):
    for at in (1.3, np.float64(2.5), np.array(1.1)):
        g = f
        for name in names:
            g = lambda x, g=g, d=OUTER[name]: d(g, x)
        assert g(at) == pytest.approx(third(at), rel=1e-11, abs=1e-12)


USES = {
    "times": lambda k, z: k * z,
    "alone": lambda k, z: k,
    "in a list": lambda k, z: [z, k][1],
    "by itself": lambda k, z: k * k,
    "times zero": lambda k, z: k * 0.0 + z,
}


@pytest.mark.parametrize("first", OUTER)
@pytest.mark.parametrize("then", OUTER)
@pytest.mark.parametrize("use", USES)
def test_a_value_that_leaked_into_the_next_transform(first, then, use):
    def f(x):
        kept = []
        OUTER[first](lambda y: (kept.extend([y, y + 1.0]), y * y)[1], x)
        for k in kept:
            with pytest.raises(EscapedTracerError) as caught:
                OUTER[then](lambda z: USES[use](k, z), x)
            three_lines(caught.value)
        return x * x

    f(2.0)
    assert OUTER[then](f, 2.0) == 4.0


# memory


def peak(run, n):
    """The peak of memory of a call, in arrays of n floats; the collector of cycles is off."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / (8 * n)
    finally:
        tracemalloc.stop()
        gc.enable()


def steps(count, op):
    def f(x):
        for _ in range(count):
            x = op(x)
        return x

    return f


@pytest.mark.parametrize(
    "op",
    [
        lambda x: np.sin(x) * 1.01 + 0.1,
        lambda x: np.concatenate([x[1:], x[:1]]),
        lambda x: np.where(x > 0, x, -x) + np.sum(x) / x.size,
        lambda x: np.cumsum(x) / x.size,
        lambda x: tg.jvp(np.sin, (x,), (x,))[1],
        lambda x: tg.grad(lambda y: np.sum(np.sin(y)))(x),
        lambda x: tg.linearize(np.sin, x)[1](x),
    ],
)
def test_jvp_needs_no_memory_for_the_steps(op):
    x = np.linspace(0.0, 1.0, 100_000)
    peaks = [peak(lambda: tg.jvp(steps(count, op), (x,), (x,)), x.size) for count in (3, 200)]
    assert peaks[1] < peaks[0] + 2


def test_jvp_of_jvp_needs_no_memory_for_the_steps():
    x = np.linspace(0.0, 1.0, 100_000)
    once = lambda f: lambda x: tg.jvp(f, (x,), (x,))[1]
    peaks = [peak(lambda: once(once(steps(count, np.sin)))(x), x.size) for count in (3, 200)]
    assert peaks[1] < peaks[0] + 2


@pytest.mark.parametrize(
    "use",
    [
        lambda x: tg.jvp(lambda x: np.sin(x) * x, (x,), (x,)),
        lambda x: tg.vjp(lambda x: np.sin(x) * x, x)[1](x),
        lambda x: tg.linearize(lambda x: np.sin(x) * x, x)[1](x),
        lambda x: tg.grad(lambda x: np.sum(tg.linearize(lambda y: y * x, x)[1](x)))(x),
        lambda x: tg.jvp(lambda x: tg.vjp(lambda y: y * x, x)[1](x)[0], (x,), (x,)),
    ],
)
def test_what_a_map_kept_is_freed_with_it(use):
    gc.collect()
    gc.disable()
    try:
        x = np.ones(1000)
        there = weakref.ref(x)
        use(x)
        del x
        assert there() is None
    finally:
        gc.enable()


# bad calls


@pytest.mark.parametrize("forth", FORTH)
@pytest.mark.parametrize(
    "tangent",
    [
        np.ones(2),
        np.ones((3, 1)),
        1.0,
        1j * np.ones(3),
        "text",
        np.array(["a", "b", "c"]),
        np.array([None, None, None]),
        np.array([1, 2, 3], "m8[s]"),
        np.ma.masked_array([1.0, 2.0, 3.0], [True, False, False]),
        b"bytes",
        None,
        [1.0, 1.0, 1.0],
        (np.ones(3),),
        {"a": np.ones(3)},
    ],
    ids=repr,
)
def test_a_tangent_that_does_not_fit(forth, tangent):
    with pytest.raises((TangentError, TreeError), match="argument 0") as caught:
        forth(lambda x: x * x, (X,), (tangent,))
    assert isinstance(caught.value, ValueError)
    three_lines(caught.value)


@pytest.mark.parametrize("forth", FORTH)
@pytest.mark.parametrize("f", [lambda x: x, lambda x: x * 2, lambda x: 1.0])
def test_a_tangent_that_leaked(forth, f):
    kept = []
    tg.grad(lambda x: (kept.append(x), x * x)[1])(1.0)
    with pytest.raises(EscapedTracerError) as caught:
        forth(f, (3.0,), (kept[0],))
    three_lines(caught.value)


@pytest.mark.parametrize("forth", FORTH)
def test_a_tangent_is_named_by_its_path(forth):
    with pytest.raises(TangentError, match=r"argument 1\['w'\]\[0\] of shape \(2,\)"):
        forth(lambda x, p: x, (1.0, {"w": [X]}), (1.0, {"w": [np.ones(2)]}))
    with pytest.raises(TangentError, match="argument 0 of complex"):
        forth(lambda x: x, (1.0,), (1j,))
    with pytest.raises(TreeError, match="argument 1"):
        forth(lambda x, p: x, (1.0, {"w": [X]}), (1.0, {"w": X}))


@pytest.mark.parametrize("forth", FORTH)
@pytest.mark.parametrize("tangents", [(), (1.0,), (1.0, 1.0, 1.0)])
def test_a_wrong_number_of_tangents(forth, tangents):
    with pytest.raises(TangentError, match=f"{len(tangents)} tangent") as caught:
        forth(lambda x, y: x * y, (1.0, 2.0), tangents)
    three_lines(caught.value)


@pytest.mark.parametrize("wrong", [1.0, X, None, {"a": 1.0}, "x", (t for t in [1.0])])
def test_jvp_takes_tuples(wrong):
    for primals, tangents in ((wrong, (1.0,)), ((1.0,), wrong)):
        with pytest.raises(InputError, match="as tuples") as caught:
            tg.jvp(lambda x: x * x, primals, tangents)
        three_lines(caught.value)


@pytest.mark.parametrize(
    "primal", [True, "text", np.array([1, 2]), np.int64(1), [1.0, "text"], np.ma.masked_array([1.0])]
)
@pytest.mark.parametrize(
    "transform", [lambda f, x: tg.jvp(f, (x,), (x,)), lambda f, x: tg.linearize(f, x), lambda f, x: tg.vjp(f, x)]
)
def test_what_cannot_be_differentiated_by(transform, primal):
    with pytest.raises(InputError) as caught:
        transform(lambda x: 1.0, primal)
    three_lines(caught.value)


def objects(x):
    made = np.empty(2, object)
    made[0] = made[1] = x
    return made


@pytest.mark.parametrize(
    "f",
    [
        lambda x: "text",
        lambda x: [x, "text"],
        lambda x: object(),
        lambda x: np.array(["a"]),
        lambda x: np.array([None]),
        lambda x: np.array(["2020-01-01"], "M8[D]"),
        lambda x: np.zeros(1, [("a", float)]),
        lambda x: (y for y in [x]),
        objects,
    ],
)
@pytest.mark.parametrize(
    "transform", [lambda f: tg.jvp(f, (1.0,), (1.0,)), lambda f: tg.linearize(f, 1.0), lambda f: tg.vjp(f, 1.0)]
)
def test_what_has_no_tangent(transform, f):
    with pytest.raises(OutputError) as caught:
        transform(f)
    three_lines(caught.value)


@pytest.mark.parametrize("f", [3.0, None, "sin", np.ones(2)], ids=repr)
@pytest.mark.parametrize(
    "transform", [lambda f: tg.jvp(f, (1.0,), (1.0,)), lambda f: tg.linearize(f, 1.0), lambda f: tg.vjp(f, 1.0)]
)
def test_not_a_function(transform, f):
    with pytest.raises(InputError, match="needs a function") as caught:
        transform(f)
    three_lines(caught.value)


@pytest.mark.parametrize(
    "g", [np.ones(2), 1.0, 1j * np.ones((3, 1)), "no", None, [np.ones(3)], np.array(["a", "b", "c"])], ids=repr
)
def test_a_transpose_refuses_a_wrong_cotangent(g):
    pull = tg.linearize(lambda x: x * 2, X)[1].transpose
    with pytest.raises((CotangentError, TreeError)) as caught:
        pull(g)
    three_lines(caught.value)


@pytest.mark.parametrize("of", [lambda f, x: tg.vjp(f, x)[1], lambda f, x: tg.linearize(f, x)[1].transpose])
def test_a_pullback_refuses_what_would_be_cut(of):
    kept = []
    tg.grad(lambda x: (kept.append(x), x * x)[1])(1.0)
    for x, g in ((X, 1j * V), (1.0, 1j), (np.float32(1), np.complex64(1j)), (X, np.ma.masked_array(V, V > 0))):
        for f in (lambda x: x * 2, lambda x: x, np.copy):
            with pytest.raises(CotangentError) as caught:
                of(f, x)(g)
            three_lines(caught.value)
    for f in (lambda x: x * 2, lambda x: x):
        with pytest.raises(EscapedTracerError):
            of(f, 3.0)(kept[0])
    pull = of(lambda x: (x, 3.0, np.ones(2), 4, np.array([1, 2])), 1.0)
    assert pull((1.0, 1.0, np.ones(2), 0.0, "anything")) == (1.0,)
    for wrong in ((1.0, "text", np.ones(2), 0.0, 0.0), (1.0, 1.0, np.ones(3), 0.0, 0.0)):
        with pytest.raises(CotangentError):
            pull(wrong)


def test_after_an_exception_all_is_as_before():
    def f(x):
        raise KeyError("mine")

    for transform in (lambda f: tg.jvp(f, (1.0,), (1.0,)), lambda f: tg.linearize(f, 1.0), lambda f: tg.vjp(f, 1.0)):
        with pytest.raises(KeyError, match="mine"):
            transform(f)
        with pytest.raises(KeyError, match="mine"):
            tg.grad(lambda x: x * transform(f))(1.0)
    with pytest.raises(TangentError):
        tg.grad(lambda x: tg.jvp(lambda y: x * y, (x,), (X,))[1])(1.0)
    assert tg.grad(lambda x: tg.jvp(lambda y: x * y, (x,), (1.0,))[1])(2.0) == 1.0


def test_jvp_of_what_runs_in_threads():
    def f(x):
        with ThreadPoolExecutor(8) as pool:
            return sum(pool.map(lambda k: np.sum(np.sin(x * k) * np.cos(x + k)), range(100)))

    x, v = np.linspace(0, 1, 5), np.arange(5.0)
    np.testing.assert_allclose(tg.jvp(f, (x,), (v,))[1], tg.grad(f)(x) @ v)
    np.testing.assert_allclose(tg.hvp(f)(x, v), tg.hessian(f)(x) @ v)
