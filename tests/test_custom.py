"""custom_vjp and custom_jvp: values of every order, what is kept, and bad calls."""

import functools
import gc
import inspect
import pickle
import tracemalloc

import numpy as np
import pytest
from messages import three_lines

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
    TreeError,
)

X = np.array([0.3, -1.2, 2.0])


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

        with pytest.raises(TapegradError, match="shares memory with another in a way that cannot be followed") as caught:
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



def test_closed_over_in_a_rule_that_goes_forward():
    for f in (lambda w: written(lambda x: (x, x), lambda x, g: (g * w,)), lambda w: forth(lambda p, t: (p[0], t[0] * w))):
        with pytest.raises(EscapedTracerError, match="closed over") as caught:
            tg.jvp(lambda x, w: f(w)(x), (5.0, 7.0), (1.0, 1.0))
        three_lines(caught.value)


def test_nondiff_argnames():
    for made in (tg.custom_vjp, tg.custom_jvp):
        with pytest.raises(PrimitiveError, match="parameters: x, n"):
            made(lambda x, n: x**n, nondiff_argnames="m")
    f = tg.custom_vjp(lambda x, n: x**n, nondiff_argnames=("n",))
    f.defvjp(lambda x, n: (x**n, x), lambda n, x, g: (g * n * x ** (n - 1),))
    assert tg.grad(f)(2.0, 3) == tg.jvp(lambda x: f(x, n=3), (2.0,), (1.0,))[1] == 12.0


def test_closed_over_in_a_rule_that_goes_back():
    for f in (lambda w: written(lambda x: (x, x), lambda x, g: (g * w,)), lambda w: forth(lambda p, t: (p[0], t[0] * w))):
        with pytest.raises(EscapedTracerError, match="a rule used a traced value of grad"):
            tg.grad(lambda w: f(w)(2 * w))(5.0)


def test_a_tangent_is_not_broadcast():
    f = forth(lambda p, t: (p[0] ** 2, np.sum(t[0])))
    x = np.array([1.0, 2.0])
    for call in (lambda: tg.jvp(f, (x,), (x,)), lambda: tg.grad(lambda x: np.sum(f(x)))(x)):
        with pytest.raises(TangentError, match=r"a tangent of shape \(\)") as caught:
            call()
        three_lines(caught.value)


def test_a_rule_that_copies_a_number():
    f = tg.custom_jvp(lambda x: x**3)
    f.defjvp(lambda p, t: tg.jvp(lambda x: np.copy(x) ** 3, p, t))
    assert tg.grad(f)(2.0) == 12.0


def test_a_cotangent_has_the_structure_of_its_argument():
    def f(bwd):
        return written(lambda d: (d["a"] * d["b"][0], d), lambda d, g: (tg.tree.map(lambda c: g * c, bwd),))

    x = {"a": 3.0, "b": [2.0, None]}
    for bwd in ({"a": 1.0, "y": [2.0, None]}, [1.0, 2.0], {"a": 1.0, "b": 2.0}, {"a": 1.0, "b": [2.0, 3.0]}, {"a": 1.0}):
        with pytest.raises(TreeError, match="of another structure than argument 0") as caught:
            tg.grad(f(bwd))(x)
        three_lines(caught.value)
    for bwd, expected in (
        ({"a": 1.0, "b": [2.0, None]}, {"a": 1.0, "b": [2.0, None]}),
        ({"a": 1.0, "b": None}, {"a": 1.0, "b": [0.0, None]}),
        ({"a": None, "b": [2.0, None]}, {"a": 0.0, "b": [2.0, None]}),
        (None, {"a": 0.0, "b": [0.0, None]}),
    ):
        assert tg.grad(f(bwd))(x) == expected
        assert tg.jvp(f(bwd), (x,), ({"a": 1.0, "b": [10.0, None]},))[1] == expected["a"] + 10 * expected["b"][0]


def test_of_functions_that_have_rules_themselves():
    f = tg.custom_vjp(tnp.cos)
    f.defvjp(lambda x: (tnp.cos(x), x), lambda x, g: (10 * g * x,))
    assert tg.grad(f)(2.0) == 20.0
    assert tg.grad(tnp.cos)(2.0) == -np.sin(2.0)
    f = tg.custom_jvp(tg.nn.relu)
    f.defjvp(lambda p, t: (tg.nn.relu(*p), 5 * t[0]))
    assert tg.grad(f)(-2.0) == 5.0
    assert tg.grad(tg.nn.relu)(-2.0) == 0.0


def test_a_rule_that_applies_its_function_to_the_tangent():
    f = tg.custom_jvp(lambda x: -x)
    f.defjvp(lambda p, t: (f(*p), f(*t)))
    assert tg.grad(f)(3.0) == tg.jvp(f, (3.0,), (1.0,))[1] == -1.0
    mm = tg.custom_jvp(lambda a, b: a @ b)
    mm.defjvp(lambda p, t: (mm(*p), mm(p[0], t[1]) + mm(t[0], p[1])))
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.5, -1.0], [2.0, 1.0]])
    for argnum in (0, 1):
        loss = lambda mm, *args: np.sum(mm(*args) ** 2)
        first, second = [tg.grad(functools.partial(loss, f), argnum) for f in (mm, np.matmul)]
        np.testing.assert_allclose(first(a, b), second(a, b))
        np.testing.assert_allclose(tg.jacrev(first, argnum)(a, b), tg.jacrev(second, argnum)(a, b))
        np.testing.assert_allclose(tg.jacfwd(first, argnum)(a, b), tg.jacfwd(second, argnum)(a, b))
