"""checkpoint, custom_vjp, custom_jvp: values of every order, what is called when, what is kept, and bad calls."""

import collections
import functools
import gc
import inspect
import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import (
    CotangentError,
    EscapedTracerError,
    MissingRuleError,
    OutputError,
    PrimitiveError,
    TangentError,
    TapegradError,
)

X = np.array([0.3, -1.2, 2.0])


def three_lines(error):
    assert isinstance(error, TapegradError)
    lines = str(error).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("  ")
    assert lines[2].startswith("  hint: ")


class Counted:
    """A function that knows how often it was called, and a primitive in it whose body does."""

    def __init__(self):
        self.calls = self.bodies = 0

        @tg.primitive
        def cube(x):
            self.bodies += 1
            return x**3

        cube.defvjp("x")(lambda g, _y, x: g * 3 * x**2)
        self.cube = cube

    def __call__(self, x):
        self.calls += 1
        return np.sin(self.cube(x))

    def counts(self):
        found = self.calls, self.bodies
        self.calls = self.bodies = 0
        return found


# checkpoint: what is called when


def test_called_again_exactly_on_the_way_back():
    f = Counted()
    c = tg.checkpoint(f)
    assert c(2.0) == np.sin(8.0)
    assert f.counts() == (1, 1)
    value, pullback = tg.vjp(c, 2.0)
    assert value == np.sin(8.0)
    assert f.counts() == (1, 1)
    for g in (1.0, 2.0):
        assert pullback(g)[0] == pytest.approx(g * 12 * np.cos(8.0))
        assert f.counts() == (1, 1)
    assert tg.grad(c)(2.0) == pytest.approx(12 * np.cos(8.0))
    assert f.counts() == (2, 2)


def test_not_called_again_where_nothing_comes_back():
    f = Counted()
    c = tg.checkpoint(f)
    assert tg.grad(lambda x: x * tg.stop_gradient(c(x)))(2.0) == pytest.approx(np.sin(8.0))
    assert f.counts() == (1, 1)
    assert tg.grad(lambda x: np.where(x > 0, x, c(x)))(2.0) == 1
    assert f.counts() == (1, 1)


def test_forward_mode_calls_once():
    f = Counted()
    c = tg.checkpoint(f)
    value, tangent = tg.jvp(c, (2.0,), (1.0,))
    assert (value, tangent) == (pytest.approx(np.sin(8.0)), pytest.approx(12 * np.cos(8.0)))
    assert f.counts()[0] == 1
    value, f_jvp = tg.linearize(c, 2.0)
    assert f.counts()[0] == 1
    for t in (1.0, 2.0):
        assert f_jvp(t) == pytest.approx(t * 12 * np.cos(8.0))
        assert f.counts()[0] == 1


def test_nested_calls():
    inner, outer = Counted(), Counted()
    c = tg.checkpoint(inner)

    @tg.checkpoint
    def d(x):
        outer.calls += 1
        return c(c(x))

    truth = tg.grad(lambda x: inner(inner(x)))(0.7)
    inner.counts()
    assert tg.grad(d)(0.7) == pytest.approx(truth)
    assert outer.calls == 2
    assert inner.calls == 6  # two forward, two in the outer one's second call, two in their own


def test_a_loop_of_layers():
    layer = Counted()
    c = tg.checkpoint(layer)

    def net(f):
        def run(x):
            for _ in range(50):
                x = f(x)
            return x

        return run

    truth = tg.grad(net(layer))(0.9)
    layer.counts()
    assert tg.grad(net(c))(0.9) == pytest.approx(truth, rel=1e-13)
    assert layer.counts() == (100, 100)
    assert tg.jvp(net(c), (0.9,), (1.0,))[1] == pytest.approx(truth, rel=1e-13)


# checkpoint: values


def checked(f, *args, order=2):
    """f and checkpoint(f) have the same derivatives."""
    c = tg.checkpoint(f)
    many = tuple(range(len(args)))
    total = lambda f: lambda *args: np.sum(f(*args) * np.cos(np.arange(np.size(tg.stop_gradient(f(*args))))))
    same(tg.grad(total(f), many)(*args), tg.grad(total(c), many)(*args))
    same(tg.jacrev(f, many)(*args), tg.jacrev(c, many)(*args))
    same(tg.jacfwd(f, many)(*args), tg.jacfwd(c, many)(*args))
    if order > 1:
        same(tg.hessian(total(f), many)(*args), tg.hessian(total(c), many)(*args))
        same(tg.jacrev(tg.jacrev(f, many), many)(*args), tg.jacrev(tg.jacrev(c, many), many)(*args))
        same(tg.jacrev(tg.jacfwd(f, many), many)(*args), tg.jacrev(tg.jacfwd(c, many), many)(*args))


def same(a, b):
    assert tg.tree.structure(a) == tg.tree.structure(b)
    for x, y in zip(tg.tree.leaves(a), tg.tree.leaves(b)):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)
        assert type(x) is type(y)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sin(x) * x,
        lambda x: np.exp(-x * x)[::-1] * np.sum(x),
        lambda x: np.cumsum(x) * np.where(x > 0, x, 1 / x),
        lambda x: x + 0,
        lambda x: x,
        lambda x: np.sort(x)[:2],
        lambda x: tnp.tanh(x) @ tnp.outer(x, x),
        lambda x: tg.grad(lambda y: np.sum(np.sin(y * x)))(x),
        lambda x: tg.jvp(lambda y: np.sin(y * x), (x,), (x,))[1],
        lambda x: tg.vjp(lambda y: np.sin(y * x), x)[1](x)[0],
        lambda x: tg.checkpoint(np.sin)(x * x) * x,
    ],
)
def test_same_as_without(f):
    checked(f, X)


def test_closures_of_the_same_frame():
    def f(x, w):
        @tg.checkpoint
        def layer(x):
            return np.sin(x * w) * w

        return layer(layer(x)) * w

    def plain(x, w):
        layer = lambda x: np.sin(x * w) * w
        return layer(layer(x)) * w

    many = (0, 1)
    same(tg.grad(plain, many)(0.4, 1.3), tg.grad(f, many)(0.4, 1.3))
    same(tg.hessian(plain, many)(0.4, 1.3), tg.hessian(f, many)(0.4, 1.3))
    same(tg.jacrev(tg.jacrev(plain, many), many)(0.4, 1.3), tg.jacrev(tg.jacrev(f, many), many)(0.4, 1.3))
    same(tg.jacfwd(tg.jacfwd(plain, many), many)(0.4, 1.3), tg.jacfwd(tg.jacfwd(f, many), many)(0.4, 1.3))


MODES = [tg.grad, tg.jacfwd, tg.jacrev, lambda f: lambda x: tg.linearize(f, x)[1](1.0)]


@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("outer", MODES)
def test_closures_of_an_outer_frame(inner, outer):
    # d/dw d/dx sin(w x) w = w² cos(w x)
    f = lambda w: inner(tg.checkpoint(lambda x: np.sin(w * x) * w))(0.4)
    assert outer(f)(1.3) == pytest.approx(2 * 1.3 * np.cos(0.52) - 1.3**2 * 0.4 * np.sin(0.52))
    # around it, about something made from both
    g = lambda w: inner(lambda x: tg.checkpoint(lambda y: y * w * x)(w * x) * x)(0.4)  # w² x³
    assert outer(g)(1.3) == pytest.approx(6 * 1.3 * 0.4**2)


def test_over_several_frames_at_once():
    c = tg.checkpoint(lambda x, y: np.exp(x) * y**3)
    d = tg.grad(lambda x: tg.grad(lambda y: tg.grad(lambda z: c(x * z, y))(1.0))(2.0))(0.5)
    # c = e^(xz) y³; ∂z = x e^(xz) y³; ∂y = 3 y² x e^x; ∂x = 3 y² (1 + x) e^x
    assert d == pytest.approx(3 * 4 * 1.5 * np.exp(0.5))


def test_operators_in_place():
    def f(x):
        x = x * 1.0
        x += 1
        x *= x
        return np.sin(x)

    checked(f, X)


def test_operators_in_place_on_an_argument():
    @tg.checkpoint
    def f(x):
        x += 1
        x *= x
        return np.sin(x)

    def run(x):
        x = x * 1.0
        y = f(x)
        return np.sum(y * x)  # x is (x + 1)² now, as it is without checkpoint

    def truth(x):
        x = (x + 1) ** 2
        return np.sum(np.sin(x) * x)

    assert run(X.copy()) == pytest.approx(truth(X))
    same(tg.grad(truth)(X), tg.grad(run)(X))
    same(tg.hessian(truth)(X), tg.hessian(run)(X))


def test_keywords_and_trees():
    def f(p, *, scale=1.0, skip=None, name="x"):
        assert name == "y"
        assert skip is None
        return {"a": p["w"] * scale, "b": (np.sin(p["b"]), p["w"][0])}

    c = tg.checkpoint(f)
    p = {"w": X, "b": 0.7}
    run = lambda f: lambda p, s: (lambda r: np.sum(r["a"]) * r["b"][0] + r["b"][1])(f(p, scale=s, name="y"))
    same(tg.grad(run(f), (0, 1))(p, 2.0), tg.grad(run(c), (0, 1))(p, 2.0))
    same(tg.hessian(run(f), (0, 1))(p, 2.0), tg.hessian(run(c), (0, 1))(p, 2.0))


def test_outputs_of_all_kinds():
    def f(x):
        y = np.sin(x)
        return {
            "used": y * x, "unused": y * y, "same": y, "again": y, "input": x, "index": x + 0, "shares": y + 0,
            "plain": np.ones(2), "number": 3, "none": None, "word": "word",
        }  # fmt: skip

    def run(f):
        def total(x):
            r = f(x)
            assert (r["number"], r["none"], r["word"]) == (3, None, "word")
            assert type(r["plain"]) is np.ndarray
            return r["used"] + r["same"] * 2 + r["again"] * 3 + r["input"] * 5 + r["index"] * 7 + r["shares"] * 11

        return total

    c = tg.checkpoint(f)
    same(tg.grad(run(f))(0.8), tg.grad(run(c))(0.8))
    same(tg.grad(tg.grad(run(f)))(0.8), tg.grad(tg.grad(run(c)))(0.8))
    same(tg.linearize(run(f), 0.8)[1](1.0), tg.linearize(run(c), 0.8)[1](1.0))
    assert tg.grad(lambda x: f(x)["unused"])(0.8) == pytest.approx(np.sin(1.6))


@pytest.mark.parametrize("out", [None, "word", 3, np.arange(3.0), {"a": None}, ()])
def test_outputs_that_carry_nothing(out):
    f = tg.checkpoint(lambda x: (np.sin(x), out)[1])

    def run(x):
        assert f(x) is out or f(x) == out
        return x * x

    assert tg.grad(run)(3.0) == 6.0


def test_aux():
    f = tg.checkpoint(lambda x: (np.sin(x), {"x2": x * x}))
    (value, aux), g = tg.value_and_grad(f, has_aux=True)(0.8)
    assert (value, aux["x2"], g) == (np.sin(0.8), 0.8**2, np.cos(0.8))
    assert type(aux["x2"]) is float
    # which carries a derivative to the frames around
    h = tg.grad(lambda x: tg.grad(f, has_aux=True)(x)[1]["x2"])
    assert h(0.8) == 1.6


def test_functions_as_outputs():
    f = tg.checkpoint(lambda x: tg.vjp(lambda y: np.sin(y) * x, x)[1])
    assert tg.grad(lambda x: f(x)(1.0)[0])(0.8) == pytest.approx(np.cos(0.8) - np.sin(0.8) * 0.8)


def test_what_leaks_keeps_its_derivative():
    kept = []

    @tg.checkpoint
    def f(x):
        y = np.sin(x)
        kept.append(y)
        return y * y

    def both(x):
        y = f(x)
        return y + 3 * kept[-1]

    def alone(x):
        f(x)
        return 3 * kept[-1] * x

    def nested(x):
        tg.checkpoint(lambda x: f(x * x) + 1)(x)
        return 3 * kept[-1] * x

    for run, truth in [
        (both, lambda x: np.sin(x) ** 2 + 3 * np.sin(x)),
        (alone, lambda x: 3 * np.sin(x) * x),
        (nested, lambda x: 3 * np.sin(x * x) * x),
    ]:
        same(tg.grad(truth)(0.8), tg.grad(run)(0.8))
        same(tg.grad(tg.grad(truth))(0.8), tg.grad(tg.grad(run))(0.8))
        assert tg.jvp(run, (0.8,), (1.0,))[1] == pytest.approx(tg.grad(truth)(0.8))
        assert tg.linearize(run, 0.8)[1](1.0) == pytest.approx(tg.grad(truth)(0.8))
        assert tg.grad(lambda x: tg.jvp(run, (x,), (1.0,))[1])(0.8) == pytest.approx(tg.grad(tg.grad(truth))(0.8))
        assert tg.jvp(lambda x: tg.grad(run)(x), (0.8,), (1.0,))[1] == pytest.approx(tg.grad(tg.grad(truth))(0.8))
    kept.clear()


def test_what_is_traced_is_not_kept_between_calls():
    @tg.checkpoint
    def f(x, cache):
        if "w" not in cache:
            cache["w"] = np.sin(x)
        return cache["w"] * x

    with pytest.raises(OutputError, match="other steps") as caught:
        tg.grad(lambda x: f(x, collections.UserDict()))(0.8)
    three_lines(caught.value)


def test_functions_made_in_a_loop():
    def net(ws, bind):
        x = 0.5
        for w in ws:
            x = tg.checkpoint((lambda x, w=w: np.sin(w * x)) if bind else (lambda x: np.sin(w * x)))(x)
        return x

    def plain(ws):
        x = 0.5
        for w in ws:
            x = np.sin(w * x)
        return x

    # the last w for all: another value, or the same value of another input
    for ws in ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]):
        same(tg.grad(net)(ws, True), tg.grad(plain)(ws))
        with pytest.raises(OutputError, match="when it was called again") as caught:
            tg.grad(net)(ws, False)
        three_lines(caught.value)


def test_random_numbers_inside():
    rng = np.random.default_rng(0)
    f = tg.checkpoint(lambda x: x * rng.random(3))
    with pytest.raises(OutputError, match=r"checkpoint\(<lambda>\) gave another value") as caught:
        tg.grad(lambda x: np.sum(f(x)))(X)
    three_lines(caught.value)
    f = tg.checkpoint(lambda x: x * np.random.default_rng(0).random(3))
    assert np.array_equal(tg.grad(lambda x: np.sum(f(x)))(X), np.random.default_rng(0).random(3))
    assert tg.grad(lambda x: x * x)(3.0) == 6.0


@pytest.mark.parametrize("call", [1, 2])
def test_an_exception_inside(call):
    calls = []

    @tg.checkpoint
    def f(x):
        y = np.sin(x)
        calls.append(1)
        if len(calls) == call:
            raise ZeroDivisionError("mine")
        return y * y

    with pytest.raises(ZeroDivisionError, match="mine"):
        tg.grad(lambda x: f(x) * x)(0.8)
    truth = tg.grad(lambda x: np.sin(x) ** 2 * x)(0.8)
    assert not tg.is_tracer(f(0.8))
    assert tg.grad(lambda x: f(x) * x)(0.8) == pytest.approx(truth)

    def survives(x):  # within a transform that goes on
        calls.clear()
        y = x * x
        with pytest.raises(ZeroDivisionError, match="mine"):
            tg.grad(lambda x: f(x) * y)(x)
        return tg.grad(lambda x: f(x) * y)(x)

    # d/dx [sin(2x) x²]
    assert tg.grad(survives)(0.8) == pytest.approx(2 * np.cos(1.6) * 0.64 + np.sin(1.6) * 1.6)


def test_pullbacks_later_twice_and_in_other_transforms():
    c = tg.checkpoint(lambda x: np.sin(x) * x)
    d = lambda x: np.cos(x) * x + np.sin(x)
    _, pullback = tg.vjp(lambda x: c(x) * c(x), 0.8)
    f = np.sin(0.8) * 0.8
    assert [pullback(g)[0] for g in (1.0, 2.0)] == pytest.approx([2 * f * d(0.8), 4 * f * d(0.8)])
    assert tg.grad(lambda g: pullback(g * g)[0])(3.0) == pytest.approx(6 * 2 * f * d(0.8))
    assert tg.jvp(lambda g: pullback(g * g)[0], (3.0,), (1.0,))[1] == pytest.approx(6 * 2 * f * d(0.8))
    assert tg.grad(lambda g: tg.checkpoint(lambda g: pullback(g * g)[0])(g))(3.0) == pytest.approx(12 * f * d(0.8))

    def outer(x):
        _value, pullback = tg.vjp(c, x)
        return pullback(x)[0] + tg.grad(lambda g: pullback(g * g)[0])(x) * pullback(1.0)[0]  # d x + 2 x d²

    truth = lambda x: d(x) * x + 2 * x * d(x) ** 2
    for mode in MODES:
        assert mode(outer)(0.8) == pytest.approx(tg.grad(truth)(0.8))
    _value, f_jvp = tg.linearize(c, 0.8)
    assert tg.grad(lambda t: f_jvp(t * t))(3.0) == pytest.approx(6 * d(0.8))
    assert f_jvp.transpose(2.0)[0] == pytest.approx(2 * d(0.8))


def test_trace_shows_the_steps():
    tape = tg.trace(lambda x: tg.checkpoint(lambda x: np.sin(x) * x)(x) + 1)(0.8)
    text = str(tape)
    assert "sin" in text
    assert "multiply" in text
    assert tape.backward() == (pytest.approx(np.cos(0.8) * 0.8 + np.sin(0.8)),)


def test_threads():
    c = tg.checkpoint(lambda x: np.sin(x) * x)

    def deep(x):
        for _ in range(10):
            x = c(x)
        return x

    truth = [tg.grad(deep)(0.5 + 0.01 * k) for k in range(8)]
    found = [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = tg.grad(deep)(0.5 + 0.01 * k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == truth


def test_holes():
    c = tg.checkpoint(lambda x: np.sqrt(x))
    f = lambda x: np.where(x > 0, c(x), 0.0)
    assert tg.grad(f)(0.0) == 0.0
    assert tg.grad(lambda x: np.sum(f(x)))(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]
    assert tg.jvp(f, (0.0,), (1.0,))[1] == 0.0
    assert tg.linearize(f, 0.0)[1](1.0) == 0.0
    with np.errstate(all="raise"):
        assert tg.grad(lambda x: np.sum(f(x)))(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_kinds(dtype):
    x = np.asarray(X, dtype)
    f = lambda x: np.sum(np.abs(np.sin(x) * x) ** 2)
    g = tg.grad(tg.checkpoint(f))(x)
    assert g.dtype == dtype
    assert np.array_equal(g, tg.grad(f)(x))
    s = x[0]
    assert type(tg.grad(tg.checkpoint(lambda x: np.abs(np.sin(x))))(s)) is dtype
    with np.errstate(all="raise"):
        assert np.array_equal(tg.grad(tg.checkpoint(f))(x), g)


def test_memory():
    def layer(x):
        return np.tanh(x)

    def net(group):
        def run(x):
            for _ in range(0, 40, group):
                x = block(x)
            return np.sum(x)

        block = lambda x: functools.reduce(lambda x, _: layer(x), range(group), x)
        if group > 1:
            block = tg.checkpoint(block)
        return run

    x = np.linspace(-1, 1, 100_000)
    tg.grad(net(1))(x[:10])
    peaks = []
    for group in (1, 8):
        gc.collect()
        tracemalloc.start()
        g = tg.grad(net(group))(x)
        peaks.append(tracemalloc.get_traced_memory()[1] / x.nbytes)
        tracemalloc.stop()
    assert np.allclose(g, tg.grad(net(1))(x), rtol=1e-13)
    assert peaks[0] > 38
    assert peaks[1] < 20, peaks


def test_a_checkpoint_is_the_function():
    def f(x, y=2.0):
        """Doc."""
        return x * y

    c = tg.checkpoint(f)
    assert tg.remat is tg.checkpoint
    assert (c.__name__, c.__doc__, str(inspect.signature(c))) == ("f", "Doc.", "(x, y=2.0)")
    assert repr(c) == "<checkpoint(f)>"

    class Layer:
        w = 3.0

        @tg.checkpoint
        def __call__(self, x):
            return np.sin(self.w * x)

    assert tg.grad(Layer())(0.5) == pytest.approx(3 * np.cos(1.5))
    assert tg.grad(lambda w: (lambda layer: (setattr(layer, "w", w), layer(0.5))[1])(Layer()))(3.0) == pytest.approx(0.5 * np.cos(1.5))


def test_pullbacks_that_leak():
    kept = []

    @tg.checkpoint
    def f(x):
        z = x * x
        kept.append(tg.vjp(lambda y: np.sin(y) * z, x)[1])
        return z

    g = lambda x: f(x) * kept[-1](x)[0]
    truth = lambda x: x * x * np.cos(x) * x * x * x
    assert tg.grad(g)(0.8) == pytest.approx(tg.grad(truth)(0.8))
    assert tg.grad(tg.grad(g))(0.8) == pytest.approx(tg.grad(tg.grad(truth))(0.8))
    kept.clear()


# custom_vjp and custom_jvp: values


@tg.custom_vjp
def power(x, n):
    """x to the n"""
    return x**n


def _power_fwd(x, n):
    return x**n, (x, n)


def _power_bwd(residuals, g):
    x, n = residuals
    return g * n * x ** (n - 1), None


power.defvjp(_power_fwd, _power_bwd)


@functools.partial(tg.custom_jvp, nondiff_argnums=(1,))
def root(x, n):
    return x ** (1 / n)


@root.defjvp
def root_jvp(n, primals, tangents):
    (x,), (t,) = primals, tangents
    y = root(x, n)
    return y, t * y / (n * x)


@tg.custom_jvp
def product(x, y):
    return x * y


product.defjvps(lambda t, _ans, _x, y: t * y, lambda t, _ans, x, _y: t * x)


def written(fwd, bwd, f=None, **words):
    c = tg.custom_vjp(f or (lambda *args: fwd(*args)[0]), **words)
    c.defvjp(fwd, bwd)
    return c


def forth(rule, f=None, **words):
    c = tg.custom_jvp(f or (lambda *args: args[0]), **words)
    c.defjvp(rule)
    return c


def first(f):
    """The derivative at a number, by every mode."""
    return [
        tg.grad(f), tg.jacrev(f), tg.jacfwd(f),
        lambda x: tg.jvp(f, (x,), (1.0,))[1],
        lambda x: tg.linearize(f, x)[1](1.0),
        lambda x: tg.linearize(f, x)[1].transpose(1.0)[0],
        lambda x: tg.vjp(f, x)[1](1.0)[0],
    ]  # fmt: skip


def every(f):
    """The second derivative at a number, by every pair of modes."""
    return [second for mode in first(f) for second in first(mode)]


def test_derivatives_of_a_right_rule():
    assert power(2.0, 3) == 8.0
    for d in first(lambda x: power(x, 3)):
        assert d(2.0) == pytest.approx(12.0)
    for d in every(lambda x: power(x, 3)):
        assert d(2.0) == pytest.approx(12.0)
    for d in every(lambda x: root(x, 3)):
        assert d(8.0) == pytest.approx(-2 / 9 * 8 ** (-5 / 3))
    for d in every(lambda x: product(x, product(x, x))):
        assert d(2.0) == pytest.approx(12.0)
    for d in every(lambda x: product(np.sin(x), root(power(x, 4), 2)) * x):  # sin(x) x³
        assert d(0.8) == pytest.approx(tg.grad(tg.grad(lambda x: np.sin(x) * x**3))(0.8))


def test_what_fwd_computes_is_differentiated_as_it_is_written():
    f = written(lambda x: (x * x, x), lambda x, g: (10 * g * x,))
    h = lambda x: f(x) * x
    for d in first(h):
        assert d(3.0) == pytest.approx(99.0)
    for d in every(h):
        assert d(3.0) == pytest.approx(66.0)
    # where fwd calls the function itself, the rule holds at every order
    f = tg.custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (f(x), x), lambda x, g: (10 * g * x,))
    for d in every(h):
        assert d(3.0) == pytest.approx(90.0)
    # and so does what a forward rule computes
    f = forth(lambda p, t: (p[0] * p[0], 10 * t[0] * p[0]))
    for d in every(h):
        assert d(3.0) == pytest.approx(66.0)


def test_the_rule_is_for_the_innermost_frame():
    f = written(lambda x, y: (x * y, (x, y)), lambda r, g: (100 * g * r[1], 1000 * g * r[0]))
    assert tg.grad(f, (0, 1))(2.0, 3.0) == (300.0, 2000.0)
    # d/dy of d/dx: the inner rule is 100 y
    assert tg.grad(lambda y: tg.grad(lambda x: f(x, y))(2.0))(3.0) == 100.0
    # of the value, as fwd has it
    assert tg.grad(lambda y: tg.value_and_grad(lambda x: f(x, y))(2.0)[0])(3.0) == 2.0


CLOSING = [
    lambda w: written(lambda x: (x * w, x), lambda x, g: (g * 3.0,), lambda x: x * w),
    lambda w: written(lambda x: (x * w, w), lambda w, g: (g * 3.0,), lambda x: x * w),
    lambda w: forth(lambda p, t: (p[0] * w, t[0] * 3.0)),
]


def test_closures_of_the_frame():
    for f in CLOSING[:2]:
        run = lambda x, w: f(w)(x)
        assert tg.grad(run, (0, 1))(5.0, 7.0) == (3.0, 5.0)
        assert tg.jvp(run, (5.0, 7.0), (1.0, 10.0)) == (35.0, 53.0)
        assert tg.linearize(run, 5.0, 7.0)[1](1.0, 10.0) == 53.0
        for d in first(lambda x: f(x * x)(x)):
            assert d(5.0) == 3.0 + 50.0
    # a rule runs later: what it needs, it gets
    f = lambda w: written(lambda x: (x * w, x), lambda x, g: (g * w,))
    with pytest.raises(EscapedTracerError) as caught:
        tg.grad(lambda x, w: f(w)(x), (0, 1))(5.0, 7.0)
    three_lines(caught.value)


def test_closures_of_a_frame_around():
    f = lambda w: lambda x: written(lambda x: (x * w, (x, w)), lambda r, g: (g * r[1] * 3.0,))(x)
    g = lambda w: lambda x: written(lambda x: (x * w, x), lambda r, g: (g * w * 3.0,))(x)
    h = lambda w: lambda x: forth(lambda p, t: (p[0] * w, t[0] * w * 3.0))(x)
    for c in (f, g, h):
        for inner in range(7):
            for outer in first(lambda w: first(c(w))[inner](5.0) * w):  # 3 w²
                assert outer(7.0) == 42.0


def test_closures_of_a_frame_within():
    # x of the outer frame goes in, y of the inner one is closed over: d/dy [x y · y] = 2 x y
    f = lambda y: written(lambda x: (x * y, [y]), lambda r, g: (g * r[0],))
    for inner in range(7):
        for outer in first(lambda x: first(lambda y: f(y)(x) * y)[inner](2.0)):
            assert outer(3.0) == pytest.approx(4.0)
    # both closed over are of frames that do not run within
    f = lambda x, w, v: written(lambda x: (x * w * v, x), lambda x, g: (g * 3.0,))(x)
    for inner in range(7):
        for outer in first(lambda v: first(lambda x: f(x, x, v) * v)[inner](2.0)):  # (3 + v x) v
            assert outer(5.0) == pytest.approx(3.0 + 2 * 2 * 5.0)


def test_a_function_among_the_arguments():
    def solve(f, x):
        return f(x)

    f = written(lambda f, x: (f(x), x), lambda f, x, g: (g * 5 * f(x),), solve, nondiff_argnums=(0,))
    for d in first(lambda x: f(np.sin, x)):
        assert d(0.8) == pytest.approx(5 * np.sin(0.8))
    f = written(lambda x, f: (f(x), x), lambda f, x, g: (g * 5 * f(x),), lambda x, f: f(x), nondiff_argnums=-1)
    for d in first(lambda x: f(x, np.sin)):
        assert d(0.8) == pytest.approx(5 * np.sin(0.8))
    f = forth(lambda f, p, t: (f(p[0]), 5 * t[0] * f(p[0])), solve, nondiff_argnums=[0])
    for d in first(lambda x: f(np.sin, x)):
        assert d(0.8) == pytest.approx(5 * np.sin(0.8))
    f = written(lambda f, x: (f(x), x), lambda f, x, g: (g * 5,), solve, nondiff_argnums=(0,))
    for d in first(lambda w: f(lambda x: w * x, w)):  # closes over what is traced
        assert d(3.0) == 8.0


def test_nondiff_argnums_come_first_in_their_order():
    seen = []

    def bwd(b, a, _residuals, g):
        seen.append((b, a))
        return (g,)

    f = written(lambda a, x, b: (x, None), bwd, nondiff_argnums=(2, 0))
    assert tg.grad(f, 1)("a", 3.0, "b") == 1.0
    assert seen == [("b", "a")]


def test_keywords_and_defaults():
    f = written(lambda x, y: (x * y, (x, y)), lambda r, g: (g * r[1], g * r[0]), lambda x, y=2.0: x * y)
    assert f(3.0) == 6.0
    assert tg.grad(f)(3.0) == 2.0
    assert tg.grad(lambda y: f(y=y, x=3.0))(5.0) == 3.0
    assert tg.grad(lambda y: f(y, y=y))(5.0) == 10.0
    with pytest.raises(TypeError):
        tg.grad(lambda x: f(z=x))(5.0)
    f = written(lambda *a: (a[0] * a[1], a), lambda r, g: (g * r[1], g * r[0]), lambda *a: a[0] * a[1])
    assert tg.grad(f, (0, 1))(5.0, 7.0) == (7.0, 5.0)
    f = written(lambda x: (np.sin(x), x), lambda x, g: (g * 2 * np.cos(x),), np.sin)
    assert tg.grad(f)(0.8) == pytest.approx(2 * np.cos(0.8))
    f = written(lambda a, b: (max(a, b), a > b), lambda first, g: (g * first, g * (1 - first)), max)
    assert tg.grad(f, (0, 1))(5.0, 7.0) == (0.0, 1.0)
    f = written(lambda x: (x, None), lambda _, g: (g,), lambda x, *, way="a": x)
    assert tg.grad(f)(0.8) == 1.0
    with pytest.raises(PrimitiveError, match="way by keyword alone") as caught:
        tg.grad(lambda x: f(x, way="b"))(0.8)
    three_lines(caught.value)


def test_trees():
    def fwd(p, q):
        return {"s": p["a"] * 2, "l": [p["b"] * q, None], "n": 3, "w": "word"}, (p, "x", None, len, q)

    def bwd(residuals, g):
        p, x, none, function, q = residuals
        assert (x, none, function) == ("x", None, len)
        return {"a": 7 * g["s"], "b": g["l"][0] * q}, np.sum(g["l"][0] * p["b"])

    def rule(primals, tangents):
        (p, q), (t, u) = primals, tangents
        return fwd(p, q)[0], {"s": 7 * t["a"], "l": [t["b"] * q + p["b"] * u, None], "n": 0, "w": 0}

    def run(f):
        def total(p, q):
            r = f(p, q)
            assert (r["n"], r["w"], r["l"][1]) == (3, "word", None)
            return r["s"] * r["s"] + np.sum(r["l"][0])

        return total

    p = {"a": 1.5, "b": X}
    for f in (written(fwd, bwd), forth(rule)):
        g = tg.grad(run(f), (0, 1))(p, 2.0)
        assert g[0]["a"] == 2 * 3.0 * 7
        assert np.array_equal(g[0]["b"], [2.0, 2.0, 2.0])
        assert g[1] == pytest.approx(np.sum(X))
        t = tg.jvp(run(f), (p, 2.0), ({"a": 1.0, "b": X}, 1.0))[1]
        assert t == pytest.approx(42 + 3 * np.sum(X))
        assert tg.linearize(run(f), p, 2.0)[1]({"a": 1.0, "b": X}, 1.0) == pytest.approx(t)
        only = lambda p: run(f)({"a": p, "b": X}, 2.0)
        for d in first(only):
            assert d(1.5) == 42.0
        for d in every(lambda q: f({"a": 1.5, "b": X}, q)["l"][0][1] * q):  # b q²
            assert d(2.0) == pytest.approx(2 * X[1])


def test_outputs_unused_and_shared():
    f = written(lambda x: ((x * x, x, np.sin(x)), x), lambda x, g: (g[0] * 2 * x + g[1] * 3 + g[2] * 5,))
    for d in first(lambda x: f(x)[0]):
        assert d(2.0) == 4.0
    for d in first(lambda x: f(x)[1]):
        assert d(2.0) == 3.0
    for d in first(lambda x: f(x)[1] * f(x)[1]):
        assert d(2.0) == 12.0
    f = written(lambda x: ((x, x), None), lambda _, g: (g[0] * 5 + g[1] * 3,))
    for d in first(lambda x: f(x)[0] * f(x)[1]):
        assert d(2.0) == 16.0


def test_outputs_that_carry_no_derivative():
    for out in (3, None, "word", np.arange(3)):
        f = written(lambda x: (out, x), lambda x, g: (7.0,))
        assert tg.grad(lambda x: (f(x), x)[1])(2.0) == 1.0
        assert tg.jvp(lambda x: (f(x), x)[1], (2.0,), (1.0,))[1] == 1.0
        g = written(lambda x: ((out, 2 * x), x), lambda x, g: (5 * g[1],))
        for d in first(lambda x: g(x)[1]):
            assert d(2.0) == 5.0


def test_integers_and_strings_as_arguments():
    for d in first(lambda x: power(x, 2)):
        assert d(3.0) == 6.0
    f = forth(lambda p, t: (p[0] * p[0], t[0] * p[1] + t[1] + t[2]))
    for d in first(lambda x: f(x, 3, "word")):
        assert d(2.0) == 3.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_kinds_of_custom_functions(dtype):
    square = written(lambda x: (x * x, x), lambda x, g: (2 * g * x,))
    fsquare = forth(lambda p, t: (p[0] * p[0], 2 * p[0] * t[0]))
    x = np.asarray(X * (1 + 1j), dtype) if np.dtype(dtype).kind == "c" else X.astype(dtype)
    for f in (square, fsquare):
        total = lambda f: lambda x: np.sum(np.abs(f(x) * x))
        g = tg.grad(total(f))(x)
        assert g.dtype == dtype
        assert np.allclose(g, tg.grad(total(lambda x: x * x))(x))
        assert type(tg.grad(lambda x: np.abs(f(x)))(x[0])) is dtype
        t = tg.jvp(f, (x,), (x,))[1]
        assert t.dtype == dtype
        assert np.allclose(t, 2 * x * x)
        with np.errstate(all="raise"):
            assert np.array_equal(tg.grad(total(f))(x), g)
            assert np.array_equal(tg.jvp(f, (x,), (x,))[1], t)


def test_holes_of_custom_functions():
    sqrt = written(lambda x: (np.sqrt(x), x), lambda x, g: (g / 2 / np.sqrt(x),))
    fsqrt = forth(lambda p, t: (np.sqrt(p[0]), t[0] / 2 / np.sqrt(p[0])))
    with np.errstate(all="raise"):
        for f in (sqrt, fsqrt):
            for d in first(lambda x: np.where(x > 0, f(np.maximum(x, 0)), 0.0)):
                assert d(0.0) == 0.0
                assert d(4.0) == 0.25


def test_clipped_gradients():
    f = written(lambda x: (x, None), lambda _, g: (np.clip(g, -1, 1),))
    h = lambda x: 5 * f(x**3)
    assert tg.grad(h)(2.0) == 12.0
    assert tg.grad(tg.grad(h))(2.0) == 12.0
    assert tg.jvp(tg.grad(h), (2.0,), (1.0,)) == (12.0, 12.0)
    for forward in (lambda: tg.jvp(h, (2.0,), (1.0,)), lambda: tg.linearize(h, 2.0)[1](1.0), lambda: tg.grad(lambda x: tg.jvp(h, (x,), (1.0,))[1])(2.0)):
        with pytest.raises(MissingRuleError, match="not linear") as caught:
            forward()
        three_lines(caught.value)


@pytest.mark.parametrize(
    "bwd",
    [
        lambda _, g: (g + 1,),
        lambda _, g: (g if g > 0 else -g,),
        lambda _, g: (np.where(g > 0, g, 0),),
        lambda _, g: (np.sign(g),),
        lambda _, g: (np.abs(g),),
        lambda _, g: (g * g,),
        lambda _, g: (1.0,),
        lambda _, g: (g / np.linalg.norm(g),),
        lambda _, g: (g if np.all(np.isfinite(g)) else 0 * g,),
    ],
)
def test_rules_that_are_not_linear(bwd):
    f = written(lambda x: (x, None), bwd)
    tg.grad(lambda x: 3 * f(x))(2.0)
    for g in (tg.grad, lambda f: f):
        with pytest.raises(MissingRuleError, match="not linear"):
            g(lambda x: tg.jvp(f, (x,), (1.0,))[1])(2.0)
    f = forth(lambda p, t: (p[0], bwd(None, t[0])[0]))
    tg.jvp(f, (2.0,), (1.0,))
    with pytest.raises(MissingRuleError, match="not linear"):
        tg.grad(f)(2.0)


# custom_vjp and custom_jvp: what is kept, and bad calls


def test_residuals_are_what_is_kept():
    def net(fwd):
        f = written(fwd, lambda r, g: (g,))

        def run(x):
            for _ in range(20):
                x = f(x + 1)
            return np.sum(x)

        return run

    x = np.ones(100_000)
    for fwd, least, most in [(lambda x: (np.sin(x), None), 0, 6), (lambda x: (np.sin(x), x), 20, 26)]:
        gc.collect()
        tracemalloc.start()
        tg.grad(net(fwd))(x)
        peak = tracemalloc.get_traced_memory()[1] / x.nbytes
        tracemalloc.stop()
        assert least <= peak <= most, peak


@pytest.mark.parametrize(
    ("bwd", "error", "match"),
    [
        (lambda r, g: (), OutputError, "returned 0 cotangents"),
        (lambda r, g: (g, g), OutputError, "returned 2 cotangents"),
        (lambda r, g: g, OutputError, r"returned shape \(3,\)"),
        (lambda r, g: None, OutputError, "returned NoneType"),
        (lambda r, g: (g[:2],), CotangentError, r"shape \(2,\)"),
        (lambda r, g: (np.ones((2, 3)),), CotangentError, r"shape \(2, 3\)"),
        (lambda r, g: (1.0,), CotangentError, r"shape \(\)"),
        (lambda r, g: ("word",), CotangentError, "a str"),
        (lambda r, g: ([g, g],), CotangentError, "a list"),
    ],
)
def test_what_bwd_returns(bwd, error, match):
    f = written(lambda x: (x * x, x), bwd)
    for call in (lambda: tg.grad(lambda x: np.sum(f(x)))(X), lambda: tg.jvp(f, (X,), (X,))):
        with pytest.raises(error, match=match) as caught:
            call()
        three_lines(caught.value)
    assert tg.grad(lambda x: x * x)(3.0) == 6.0


@pytest.mark.parametrize("bwd", [lambda r, g: [2 * r * g], lambda r, g: ((2 * r * g).astype(np.float32),), lambda r, g: (2 * r * g + 0j,)])
def test_what_bwd_may_return(bwd):
    f = written(lambda x: (x * x, x), bwd)
    for g in (tg.grad(lambda x: np.sum(f(x)))(X), tg.jvp(f, (X,), (np.ones(3),))[1]):
        assert g.dtype == float
        assert np.allclose(g, 2 * X)


@pytest.mark.parametrize("pair", [lambda x: x, lambda x: (x,), lambda x: (x, x, x), lambda x: None])
def test_rules_that_return_no_pair(pair):
    f = written(lambda x: pair(x), lambda r, g: (g,), lambda x: x)
    h = forth(lambda p, t: pair(p[0]))
    for c in (f, h):
        for call in (lambda: tg.grad(c)(2.0), lambda: tg.jvp(c, (2.0,), (1.0,))):
            with pytest.raises(OutputError, match="did not return a pair") as caught:
                call()
            three_lines(caught.value)


@pytest.mark.parametrize(
    ("tangent", "match"),
    [
        (lambda t: t[:2], r"shape \(2,\)"),
        (lambda t: (t,), "another structure"),
        (lambda t: None, "another structure"),
        (lambda t: {"a": t}, "another structure"),
    ],
)
def test_what_a_forward_rule_returns(tangent, match):
    f = forth(lambda p, t: (p[0], tangent(t[0])))
    for call in (lambda: tg.grad(lambda x: np.sum(f(x)))(X), lambda: tg.jvp(f, (X,), (X,))):
        with pytest.raises(TangentError, match=match) as caught:
            call()
        three_lines(caught.value)


def test_missing_and_second_rules():
    for c in (tg.custom_vjp(lambda x: 2 * x), tg.custom_jvp(lambda x: 2 * x)):
        assert c(1.0) == 2.0
        for call in (lambda: tg.grad(c)(2.0), lambda: tg.jvp(c, (2.0,), (1.0,))):
            with pytest.raises(MissingRuleError, match="has no rule yet") as caught:
                call()
            three_lines(caught.value)
    f = written(lambda x: (x, None), lambda _, g: (2 * g,))
    assert tg.grad(f)(1.0) == 2.0
    f.defvjp(lambda x: (x, None), lambda _, g: (3 * g,))  # the last one counts, as in JAX
    assert [d(1.0) for d in first(f)] == [3.0] * 7
    f = forth(lambda p, t: (p[0], 2 * t[0]))
    assert tg.grad(f)(1.0) == 2.0
    f.defjvps(lambda t, _ans, _x: 3 * t)
    assert [d(1.0) for d in first(f)] == [3.0] * 7


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.checkpoint(3),
        lambda: tg.custom_vjp(np.sin, nondiff_argnums="x"),
        lambda: tg.custom_jvp(np.sin, nondiff_argnums=1.5),
        lambda: tg.custom_vjp(3),
        lambda: tg.custom_vjp(np.sin).defvjp(np.sin, 3),
        lambda: tg.custom_vjp(np.sin).defvjp(None, np.sin),
        lambda: tg.custom_jvp(np.sin).defjvp(3),
        lambda: tg.custom_jvp(np.sin).defjvps(3),
        lambda: tg.custom_jvp(np.sin, nondiff_argnums=0).defjvps(None),
        lambda: tg.grad(forth(lambda p, t: (p, t), nondiff_argnums=5))(1.0),
        lambda: tg.grad(forth(lambda p, t: (p, t), nondiff_argnums=-2))(1.0),
        lambda: tg.grad(written(lambda x: (x, x), lambda x: x, nondiff_argnums=0))(1.0),
        lambda: tg.grad(lambda x: written(lambda x: (x, x), lambda x: x, nondiff_argnums=0)([x]))(1.0),
    ],
)
def test_bad_calls(make):
    with pytest.raises(TapegradError) as caught:
        make()
    three_lines(caught.value)


def test_defjvps_by_argument():
    f = tg.custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, ans, x, y: t * ans, None)
    assert tg.grad(f, (0, 1))(2.0, 3.0) == (6.0, 0.0)
    assert tg.jvp(f, (2.0, 3.0), (1.0, 5.0)) == (6.0, 6.0)
    f.defjvps(None, None)
    assert tg.grad(f, (0, 1))(2.0, 3.0) == (0.0, 0.0)
    f.defjvps(None)
    with pytest.raises(PrimitiveError, match="was given 1 rules") as caught:
        tg.grad(f)(2.0, 3.0)
    three_lines(caught.value)
    f = tg.custom_jvp(lambda x: {"a": x, "b": [x * x]})
    f.defjvps(lambda t, ans, x: {"a": 3 * t, "b": [5 * t * x]})
    for d in first(lambda x: f(x)["a"] + f(x)["b"][0]):
        assert d(2.0) == 13.0


def test_traced_values_that_have_ended():
    kept = []
    tg.grad(lambda x: (kept.append(x), x)[1])(1.0)
    f = written(lambda x, y: (x * y, x), lambda x, g: (g, g))
    h = forth(lambda p, t: (p[0] * p[1], t[0]))
    for c in (f, h, tg.checkpoint(lambda x, y: x * y)):
        for call in (lambda x: c(x, kept[0]), lambda x: c(1.0, kept[0]), lambda x: c(kept[0], 1.0)):
            for mode in (lambda f: f, tg.grad, lambda f: lambda x: tg.jvp(f, (x,), (1.0,))):
                with pytest.raises(EscapedTracerError) as caught:
                    mode(call)(2.0)
                three_lines(caught.value)


def test_in_place_on_what_shares_memory():
    for f in (written(lambda x: (x, None), lambda _, g: (g,)), forth(lambda p, t: (p[0], t[0])), written(lambda x: (x[:2], None), lambda _, g: (np.concatenate([g, [0.0]]),))):

        def run(x):
            x = x * 1.0
            y = f(x)
            y += 1  # changes x, which stays what it is on the tape
            return np.sum(x) + np.sum(y)

        with pytest.raises(TapegradError, match="changed in place") as caught:
            tg.grad(run)(X)
        three_lines(caught.value)


def test_exceptions_in_rules():
    def fail(*_):
        raise ZeroDivisionError("mine")

    for f in (written(fail, fail), written(lambda x: (x, x), fail), forth(fail)):
        for call in (lambda: tg.grad(f)(2.0), lambda: tg.jvp(f, (2.0,), (1.0,)), lambda: tg.linearize(f, 2.0)[1](1.0)):
            with pytest.raises(ZeroDivisionError, match="mine"):
                call()
            assert tg.grad(lambda x: x * x)(3.0) == 6.0
            assert not tg.is_tracer(np.sin(1.0))


class Model:
    scale = 3.0

    @functools.partial(tg.custom_vjp, nondiff_argnums=(0,))
    def method(self, x):
        """Doc."""
        return x * self.scale

    method.defvjp(lambda self, x: (x * self.scale, None), lambda self, _, g: (g * 5 * self.scale,))

    @tg.custom_jvp
    def forward(self, x):
        return x * self.scale

    forward.defjvps(None, lambda t, ans, self, x: t * 5 * self.scale)

    @staticmethod
    @tg.checkpoint
    def static(x):
        return np.sin(x)


def test_methods():
    model = Model()
    assert model.method(2.0) == 6.0
    for d in (*first(model.method), *first(model.forward)):
        assert d(2.0) == 15.0
    assert Model.method.__doc__ == "Doc."
    assert tg.grad(model.static)(0.8) == np.cos(0.8)


def test_names_signatures_docstrings():
    assert (power.__name__, power.__doc__, str(inspect.signature(power))) == ("power", "x to the n", "(x, n)")
    assert repr(power) == "<custom_vjp(power)>"
    assert repr(root) == "<custom_jvp(root)>"
    assert root_jvp(2, (4.0,), (1.0,)) == (2.0, 0.25)  # the rule stays a function


def _sin(x):
    return np.sin(x)


def _sin_fwd(x):
    return np.sin(x), x


def _sin_bwd(x, g):
    return (g * 7 * np.cos(x),)


def _sin_jvp(primals, tangents):
    return np.sin(primals[0]), 7 * tangents[0] * np.cos(primals[0])


@tg.checkpoint
def checkpointed(x):
    return np.sin(x)


@tg.grad
def slope(x):
    return x * x


def test_pickles_by_name():
    for f in (power, root, product, checkpointed, slope, Model.method, Model.static):
        assert pickle.loads(pickle.dumps(f)) is f
    assert pickle.loads(pickle.dumps(tg.grad(checkpointed)))(0.8) == np.cos(0.8)
    assert pickle.loads(pickle.dumps(tg.grad(power)))(3.0, 2) == 6.0
    assert pickle.loads(pickle.dumps(Model().method))(2.0) == 6.0


def test_pickles_with_its_rules():
    f = tg.custom_vjp(_sin)
    f.defvjp(_sin_fwd, _sin_bwd)
    g = tg.custom_jvp(_sin)
    g.defjvp(_sin_jvp)
    h = tg.custom_jvp(_sin)
    h.defjvps(_sin_jvps)
    for c in (f, g, h):
        made = pickle.loads(pickle.dumps(c))
        assert made is not c
        assert made.definition is not c.definition
        assert tg.grad(made)(0.8) == pytest.approx(7 * np.cos(0.8))
        assert tg.jvp(made, (0.8,), (1.0,))[1] == pytest.approx(7 * np.cos(0.8))
    made = pickle.loads(pickle.dumps(tg.checkpoint(_sin)))
    assert tg.grad(made)(0.8) == np.cos(0.8)
    partial = functools.partial(_power_fwd, n=2)
    assert pickle.loads(pickle.dumps(tg.grad(partial, has_aux=True)))(3.0)[0] == 6.0
    made = pickle.loads(pickle.dumps(tg.custom_vjp(_sin)))
    with pytest.raises(MissingRuleError):
        tg.grad(made)(0.8)


def _sin_jvps(t, _ans, x):
    return 7 * t * np.cos(x)


def test_custom_functions_in_checkpoints():
    for f in (lambda x: power(x, 3), lambda x: product(x, product(x, x)), lambda x: root(x**6, 2)):
        c = tg.checkpoint(lambda x: f(np.sin(x)) * x)
        for d in every(c):
            assert d(0.8) == pytest.approx(tg.grad(tg.grad(lambda x: np.sin(x) ** 3 * x))(0.8))


def test_checkpoints_in_rules():
    c = tg.checkpoint(lambda x: np.sin(x) * x)
    d = tg.checkpoint(tg.grad(c))
    f = written(lambda x: (c(x), x), lambda x, g: (g * d(x),))
    h = forth(lambda p, t: (c(p[0]), t[0] * d(p[0])))
    for g in (f, h):
        for s in every(lambda x: g(x) * x):
            assert s(0.8) == pytest.approx(tg.grad(tg.grad(lambda x: np.sin(x) * x * x))(0.8))
