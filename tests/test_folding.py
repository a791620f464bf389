"""checkpoint: values of every order, what is called when, what is kept, and what is refused."""

import collections
import functools
import gc
import inspect
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import (
    MutationError,
    OutputError,
)

X = np.array([0.3, -1.2, 2.0])


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



def test_pullbacks_in_threads():
    c = tg.checkpoint(lambda x: np.sin(x) * x)
    d = tg.checkpoint(lambda x: c(c(x)) + c(x))
    _, pullback = tg.vjp(lambda x: d(d(x)), 0.7)
    truth = pullback(1.0)
    found = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: found.extend([pullback(1.0) for _ in range(50)])) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [truth] * 200


@pytest.mark.parametrize("mode", [lambda f: tg.vjp(f, X), lambda f: tg.linearize(f, X), lambda f: tg.jacrev(f)(X), lambda f: tg.grad(lambda x: np.sum(f(x)))(X)])
def test_no_work_for_the_collector(mode):
    c = tg.checkpoint(lambda x: np.sin(x) * x)
    f = tg.checkpoint(lambda x: c(c(x)))
    mode(f)
    gc.collect()
    gc.disable()
    try:
        mode(f)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_under_two_readings_forward():
    f = lambda x: tg.checkpoint(lambda p: np.sum(p) * p[0])(np.maximum(x * x, 0.12))
    x, v = np.array([0.3, 0.4, 0.5]), np.ones(3)
    value, tangent = tg.jvp(lambda x: tg.hvp(f)(x, v), (x,), (v,))
    np.testing.assert_allclose(value, [0, 0.24, 0.24])
    np.testing.assert_array_equal(tangent, 0)


def test_what_has_changed_although_the_value_is_the_same():
    """An argument, a constant, the variable of a loop."""
    x = np.arange(1.0, 20001)
    pullback = tg.vjp(tg.checkpoint(lambda t: np.sum(t * t)), x)[1]
    x[0], x[1] = x[1], x[0]
    with pytest.raises(MutationError) as caught:
        pullback(1.0)
    three_lines(caught.value)
    assert str(caught.value).startswith("argument 0 of checkpoint has changed since it was recorded\n")

    weights = [np.full((2, 2), k + 1.0) for k in range(3)]

    def net(x):
        for k in range(3):
            x = tg.checkpoint(lambda u: u @ weights[k])(x)
        return np.sum(x)

    for x in (np.zeros(2), np.ones(2)):
        with pytest.raises(OutputError, match="took other steps|gave another value") as caught:
            tg.grad(net)(x)
        three_lines(caught.value)

    c = np.array([1.0, 2.0])
    pullback = tg.vjp(tg.checkpoint(lambda t: np.sum(t * c)), np.ones(2))[1]
    c[:] = c[::-1].copy()
    with pytest.raises(OutputError, match="took other steps"):
        pullback(1.0)


def test_an_exception_at_the_second_call_tells_that_it_is_the_second():
    def f(x):
        z = np.ones(2)
        y = tg.checkpoint(lambda x: np.sum(x * z))(x)
        z = np.ones(3)
        return y * z[0]

    with pytest.raises(ValueError, match="broadcast") as caught:
        tg.grad(f)(np.ones(2))
    assert "was called again, and had given a value at first: make what may change an argument" in caught.value.__notes__[0]
