"""Every transform inside every transform, to third order, against closed forms."""

import itertools

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.numpy as tnp

# Functions of a number x that are x³ in one way or another, with the pieces that transforms meet: checkpoints,
# custom rules, primitives with either rule, what is stopped, what is closed over, pullbacks and linear maps inside.


@tg.custom_vjp
def square(x):
    return x * x


square.defvjp(lambda x: (square(x), x), lambda x, g: (2 * g * x,))


@tg.custom_jvp
def triple(x, y, z):
    return x * y * z


triple.defjvps(lambda t, _, _x, y, z: t * y * z, lambda t, _, x, _y, z: t * x * z, lambda t, _, x, y, _z: t * x * y)

times_back, times_forth, times = [tg.primitive(lambda x, y: x * y) for _ in range(3)]
for _f in (times_back, times):
    _f.defvjp(lambda g, _y, x, y: (tg.unbroadcast(g * y, x), tg.unbroadcast(g * x, y)))
for _f in (times_forth, times):
    _f.defjvp(lambda ts, _y, x, y: ts[0] * y + x * ts[1])


@tg.checkpoint
def kept(x, y):
    return x * y


def by_pullback(x):
    _, pullback = tg.vjp(lambda y: y * x, x)
    return pullback(x)[0] * x


def by_linear_map(x):
    _, f_jvp = tg.linearize(lambda y: y * x, x)
    return f_jvp(x) * x


def by_pullback_twice(x):
    _, pullback = tg.vjp(lambda y: kept(y, y), x)
    return (pullback(x)[0] + pullback(2 * x)[0]) * x / 6


def by_map_in_gradient(x):
    _, f_jvp = tg.linearize(lambda y: square(y) / 2, x)
    return tg.grad(lambda t: f_jvp(t * t))(x) * x / 2


def by_hvp(x):
    return tg.hvp(lambda y: kept(square(y), y))(x, x) * x / 6


CUBES = {
    "plain": lambda x: x * x * x,
    "tnp": lambda x: tnp.multiply(tnp.square(x), x),
    "np": lambda x: np.prod(np.stack([x, x, x])),
    "custom_vjp": lambda x: square(x) * x,
    "custom_jvp": lambda x: triple(x, x, x),
    "vjp only": lambda x: times_back(x, times_back(x, x)),
    "jvp only": lambda x: times_forth(x, times_forth(x, x)),
    "both": lambda x: times(x, times(x, x)),
    "mixed": lambda x: times_back(times_forth(x, 1.0), times(x, x)),
    "checkpoint": lambda x: kept(kept(x, x), x),
    "nested": tg.checkpoint(lambda x: kept(square(x), x)),
    "custom in checkpoint": tg.checkpoint(lambda x: triple(x, times_back(x, 1.0), times_forth(x, 1.0))),
    "closure": lambda x: tg.checkpoint(lambda y: x * y * x)(x),
    "custom closure": lambda x: _closing(x)(x * x),
    "stopped": lambda x: x * x * x + tg.stop_gradient(x) - tg.stop_gradient(kept(x, 1.0)),
    "pullback": by_pullback,
    "linear map": by_linear_map,
    "pullback twice": by_pullback_twice,
    "map in gradient": by_map_in_gradient,
    "hvp": by_hvp,
    "array": lambda x: np.sum(x * np.ones(4) * kept(x, np.full(4, 0.25)) * x),
    "tree": lambda x: (lambda r: r["a"] * r["b"][0])(tg.checkpoint(lambda p: {"a": p["x"] * p["x"], "b": [p["x"]]})({"x": x})),
    "where": lambda x: np.where(x > 0, kept(square(x), x), tg.checkpoint(np.sqrt)(x)),
    "jacobian": lambda x: np.sum(tg.jacrev(lambda y: kept(y, y * x))(x * np.ones(2)) @ np.ones(2)) / 4 * x,
}


def _closing(x):
    f = tg.custom_vjp(lambda y: y * x)
    f.defvjp(lambda y: (y * x, x), lambda r, g: (g * r,))
    return f


MODES = {
    "grad": tg.grad,
    "value_and_grad": lambda f: lambda x: tg.value_and_grad(f)(x)[1],
    "aux": lambda f: lambda x: tg.grad(lambda y: (f(y), y), has_aux=True)(x)[0],
    "jvp": lambda f: lambda x: tg.jvp(f, (x,), (1.0,))[1],
    "vjp": lambda f: lambda x: tg.vjp(f, x)[1](1.0)[0],
    "jacfwd": tg.jacfwd,
    "jacrev": tg.jacrev,
    "linearize": lambda f: lambda x: tg.linearize(f, x)[1](1.0),
    "transpose": lambda f: lambda x: tg.linearize(f, x)[1].transpose(1.0)[0],
    "checkpointed grad": lambda f: tg.checkpoint(tg.grad(f)),
    "grad of checkpoint": lambda f: tg.grad(tg.checkpoint(f)),
    "jvp of checkpoint": lambda f: lambda x: tg.jvp(tg.checkpoint(f), (x,), (1.0,))[1],
    "array": lambda f: lambda x: tg.grad(lambda v: np.sum(np.stack([f(v[0]), f(v[1])])))(x * np.ones(2))[1],
    "tree": lambda f: lambda x: tg.grad(lambda p: f(p["a"][0]) + 0 * p["b"])({"a": [x], "b": 1.0})["a"][0],
    "pullback inside": lambda f: lambda x: tg.jvp(lambda g: tg.vjp(f, x)[1](g)[0], (3.0,), (1.0,))[1],
    "map inside": lambda f: lambda x: tg.grad(lambda t: tg.linearize(f, x)[1](t))(3.0),
}

CHIEF = ["grad", "jvp", "linearize", "vjp", "grad of checkpoint"]


@pytest.mark.parametrize("name", CUBES)
def test_first_order(name):
    f = CUBES[name]
    assert f(2.0) == pytest.approx(8.0)
    for mode in MODES:
        assert MODES[mode](f)(2.0) == pytest.approx(12.0), mode


@pytest.mark.parametrize("name", CUBES)
def test_second_order(name):
    f = CUBES[name]
    for outer, inner in itertools.product(MODES, repeat=2):
        assert MODES[outer](MODES[inner](f))(2.0) == pytest.approx(12.0), (outer, inner)
    assert tg.hessian(f)(2.0) == pytest.approx(12.0)


@pytest.mark.parametrize("name", CUBES)
def test_third_order(name):
    f = CUBES[name]
    for modes in itertools.product(CHIEF, repeat=3):
        d = f
        for mode in modes:
            d = MODES[mode](d)
        assert d(2.0) == pytest.approx(6.0), modes
    assert tg.grad(tg.hessian(f))(2.0) == pytest.approx(6.0)
    assert tg.jvp(tg.hessian(f), (2.0,), (1.0,))[1] == pytest.approx(6.0)
    assert tg.hessian(tg.grad(f))(2.0) == pytest.approx(6.0)


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("name", ["jvp only", "nested", "closure"])
def test_third_order_in_full(name, outer):
    for inner in itertools.product(MODES, repeat=2):
        assert MODES[outer](MODES[inner[0]](MODES[inner[1]](CUBES[name])))(2.0) == pytest.approx(6.0), inner


# handed out, kept, and called later

MADE = ["plain", "custom_vjp", "custom_jvp", "jvp only", "vjp only", "nested", "custom in checkpoint", "closure"]


@pytest.mark.parametrize("name", MADE)
def test_maps_called_later_twice_and_inside(name):
    f = CUBES[name]
    _, pullback = tg.vjp(f, 2.0)
    _, f_jvp = tg.linearize(f, 2.0)
    for linear in (lambda g: pullback(g)[0], f_jvp, lambda g: f_jvp.transpose(g)[0]):
        assert [linear(1.0), linear(3.0), linear(1.0)] == pytest.approx([12.0, 36.0, 12.0])
        for mode in MODES:
            assert MODES[mode](lambda t: linear(t * t))(3.0) == pytest.approx(72.0), mode
        for outer, inner in itertools.product(CHIEF, repeat=2):
            assert MODES[outer](MODES[inner](lambda t: linear(t * t)))(3.0) == pytest.approx(24.0), (outer, inner)


@pytest.mark.parametrize("name", MADE)
def test_maps_made_outside_and_called_inside(name):
    f = CUBES[name]

    def run(x):  # 3 x² · x² + 3 x² · 2 x · x
        _, pullback = tg.vjp(f, x)
        _, f_jvp = tg.linearize(f, x)
        return pullback(x * x)[0] + tg.grad(lambda t: f_jvp(t * t))(x) * x

    for mode in MODES:
        assert MODES[mode](run)(2.0) == pytest.approx(36 * 8), mode


# arrays and trees

X = np.array([0.3, -1.2, 2.0])


def _array(f):
    """A function of an array with the exact Hessian 6 diag(x c) of Σ c x³."""
    c = np.array([1.0, -2.0, 0.5])
    return lambda x: np.sum(c * f(x)), c


ARRAYS = ["tnp", "both", "mixed", "checkpoint", "custom closure", *MADE]


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    f, c = _array(CUBES[name])
    g, h = 3 * c * X**2, np.diag(6 * c * X)
    for mode in (tg.grad, tg.jacrev, tg.jacfwd):
        np.testing.assert_allclose(mode(f)(X), g)
        for outer in (tg.jacrev, tg.jacfwd):
            np.testing.assert_allclose(outer(mode(f))(X), h, atol=1e-14)
    np.testing.assert_allclose(tg.hessian(f)(X), h, atol=1e-14)
    third = np.zeros((3, 3, 3))
    third[range(3), range(3), range(3)] = 6 * c
    for modes in itertools.product((tg.jacrev, tg.jacfwd), repeat=3):
        np.testing.assert_allclose(modes[0](modes[1](modes[2](f)))(X), third, atol=1e-13)
    v = np.array([1.0, 2.0, -1.0])
    np.testing.assert_allclose(tg.jvp(tg.grad(f), (X,), (v,))[1], h @ v)
    np.testing.assert_allclose(tg.vjp(tg.grad(f), X)[1](v)[0], h @ v)
    np.testing.assert_allclose(tg.grad(lambda x: tg.jvp(f, (x,), (v,))[1])(X), h @ v)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(tg.grad(f)(x) * v))(X), h @ v)
    np.testing.assert_allclose(tg.linearize(tg.grad(f), X)[1](v), h @ v)


@pytest.mark.parametrize("name", ARRAYS)
def test_trees(name):
    cube = CUBES[name]
    f = lambda p: np.sum(cube(p["w"]) * p["b"][0]) + cube(p["b"][0])
    p = {"w": X, "b": [2.0]}
    g = {"w": 6 * X**2, "b": [np.sum(X**3) + 12.0]}
    same(tg.grad(f)(p), g)
    same(tg.jacfwd(f)(p), g)
    h = tg.hessian(f)(p)
    np.testing.assert_allclose(h["w"]["w"], np.diag(12 * X), atol=1e-14)
    np.testing.assert_allclose(h["w"]["b"][0], 3 * X**2)
    np.testing.assert_allclose(h["b"][0]["w"], 3 * X**2)
    assert h["b"][0]["b"][0] == pytest.approx(12.0)
    for outer in (tg.jacrev, tg.jacfwd):
        for inner in (tg.jacrev, tg.jacfwd, tg.grad):
            same(outer(inner(f))(p), h)
    t = {"w": np.ones(3), "b": [-1.0]}
    along = {"w": 12 * X - 3 * X**2, "b": [np.sum(3 * X**2) - 12.0]}
    same(tg.jvp(tg.grad(f), (p,), (t,))[1], along)
    same(tg.linearize(tg.grad(f), p)[1](t), along)
    same(tg.grad(lambda p: tg.jvp(f, (p,), (t,))[1])(p), along)


def same(a, b):
    assert tg.tree.structure(a) == tg.tree.structure(b)
    for x, y in zip(tg.tree.leaves(a), tg.tree.leaves(b)):
        np.testing.assert_allclose(x, y, atol=1e-13)


@pytest.mark.parametrize("names", [np, tnp])
def test_both_namespaces(names):
    c = tg.checkpoint(lambda x, w: names.tanh(names.matmul(w, x)))

    def net(w, x):
        for _ in range(3):
            x = c(x, w)
        return names.sum(names.square(x))

    def plain(w, x):
        for _ in range(3):
            x = np.tanh(w @ x)
        return np.sum(x * x)

    w = np.array([[0.5, -0.2, 0.1], [0.3, 0.8, -0.4], [0.0, 0.2, 0.9]])
    same(tg.hessian(net, (0, 1))(w, X), tg.hessian(plain, (0, 1))(w, X))
    same(tg.jacrev(tg.jacrev(net, (0, 1)), (0, 1))(w, X), tg.hessian(plain, (0, 1))(w, X))
    assert tg.testing.check_grads(net, (w, X)) is None
