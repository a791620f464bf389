"""Primitives with a rule back, a rule forth, or both: every mode of every order, and the pitfalls by name."""

import itertools

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import EscapedTracerError, MissingRuleError, PrimitiveError, RuleError

X = np.array([[0.3], [-1.2], [2.0]])
Z = np.array([0.5, 1.5])


def make(body, back=(), forth=(), **words):
    """A primitive with rules by argument; a rule alone, not in a dict, is for all arguments."""
    f = tg.primitive(body, **words)
    for rules, put in ((back, f.defvjp), (forth, f.defjvp)):
        if callable(rules):
            put(rules)
        for key, rule in dict({} if callable(rules) else rules).items():
            put(key)(rule)
    return f


def sides(body, back, forth, **words):
    """The primitive with either rule, with both, and with one for each argument."""
    made = [make(body, back, (), **words), make(body, (), forth, **words), make(body, back, forth, **words)]
    if isinstance(back, dict) and len(back) == 2:
        first, second = back
        made.append(make(body, {first: back[first]}, {second: forth[second]}, **words))
        made.append(make(body, {second: back[second]}, {first: forth[first]}, **words))
    return made


def first(f):
    return [
        tg.grad(f), tg.jacrev(f), tg.jacfwd(f),
        lambda x: tg.jvp(f, (x,), (1.0,))[1],
        lambda x: tg.linearize(f, x)[1](1.0),
        lambda x: tg.linearize(f, x)[1].transpose(1.0)[0],
        lambda x: tg.vjp(f, x)[1](1.0)[0],
    ]  # fmt: skip


def every(f, order):
    """The derivative of some order at a number, by every mix of modes."""
    return [f] if order == 0 else [mode for g in first(f) for mode in every(g, order - 1)]


def agree(f, g, *args):
    """Two functions have the same Jacobians and Hessians, by every mode."""
    many = tuple(range(len(args)))
    for jac in (tg.jacrev, tg.jacfwd):
        same(jac(f, many)(*args), jac(g, many)(*args))
        for outer in (tg.jacrev, tg.jacfwd):
            same(outer(jac(f, many), many)(*args), outer(jac(g, many), many)(*args))
    total = lambda f: lambda *args: np.sum(np.sin(f(*args)))
    same(tg.grad(total(f), many)(*args), tg.grad(total(g), many)(*args))
    same(tg.hessian(total(f), many)(*args), tg.hessian(total(g), many)(*args))


def same(a, b):
    assert tg.tree.structure(a) == tg.tree.structure(b)
    for x, y in zip(tg.tree.leaves(a), tg.tree.leaves(b)):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


SIN = sides(
    lambda x: np.sin(x),
    {"x": lambda g, _y, x: g * np.cos(x)},
    {"x": lambda t, _y, x: np.cos(x) * t},
)  # fmt: skip

PRODUCT = sides(
    lambda x, y: x * y,
    {"x": lambda g, _, x, y: tg.unbroadcast(g * y, x), "y": lambda g, _, x, y: tg.unbroadcast(g * x, y)},
    {"x": lambda t, _, x, y: t * y, "y": lambda t, _, x, y: x * t},
) + sides(
    lambda x, y: x * y,
    lambda g, _, x, y: (tg.unbroadcast(g * y, x), tg.unbroadcast(g * x, y)),
    lambda ts, _, x, y: ts[0] * y + x * ts[1],
)

QUOTIENT = sides(  # rules that read the answer
    lambda x, y: x / y,
    {"x": lambda g, _q, x, y: tg.unbroadcast(g / y, x), "y": lambda g, q, _x, y: tg.unbroadcast(-g * q / y, y)},
    {"x": lambda t, _q, _x, y: t / y, "y": lambda t, q, _x, y: -t * q / y},
)


# every mode of every order


@pytest.mark.parametrize("f", SIN)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_one_argument(f, order):
    truth = [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)][order - 1](0.8)
    for d in every(lambda x: f(x), order):
        assert d(0.8) == pytest.approx(truth)


@pytest.mark.parametrize("f", PRODUCT)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_two_arguments(f, order):
    truth = [5 * 0.8**4, 20 * 0.8**3, 60 * 0.8**2][order - 1]
    for d in every(lambda x: f(f(x, x), f(x, f(x, x))), order):  # x⁵
        assert d(0.8) == pytest.approx(truth)


@pytest.mark.parametrize("f", QUOTIENT)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_answer_in_a_rule(f, order):
    truth = [-1 / 0.8**2 + 1, 2 / 0.8**3, -6 / 0.8**4][order - 1]
    for d in every(lambda x: f(1.0, x) + f(x, 2.0) + f(x, 2.0), order):
        assert d(0.8) == pytest.approx(truth)


@pytest.mark.parametrize("f", PRODUCT)
def test_broadcasting(f):
    agree(f, lambda x, y: x * y, X, Z)
    agree(lambda x, y: f(x, y), lambda x, y: x * y, 0.8, Z)
    agree(lambda x, y: f(x, y), lambda x, y: x * y, X, 0.8)
    agree(lambda x: f(x, Z), lambda x: x * Z, X)
    agree(lambda x: f(Z, f(x, x)), lambda x: x * x * Z, X)
    agree(lambda x: f(2.0, x), lambda x: 2 * x, X)


@pytest.mark.parametrize("f", QUOTIENT)
def test_broadcasting_with_the_answer(f):
    agree(f, lambda x, y: x / y, X, Z)
    agree(f, lambda x, y: x / y, 0.8, Z)
    agree(f, lambda x, y: x / y, X, 0.8)


@pytest.mark.parametrize(
    "f",
    sides(
        lambda x, y: x * y,
        {"x": lambda g, _, x, y: g * y, "y": lambda g, _, x, y: g * x},
        {"x": lambda t, _, x, y: t * y, "y": lambda t, _, x, y: x * t},
        elementwise=True,
    ),
)
def test_elementwise(f):
    agree(f, lambda x, y: x * y, X, Z)
    agree(f, lambda x, y: x * y, 0.8, Z)
    agree(lambda x: f(x, x), lambda x: x * x, X)
    for d in every(lambda x: f(x, f(x, x)), 2):
        assert d(0.8) == pytest.approx(4.8)


@pytest.mark.parametrize(
    "f",
    sides(lambda x: np.sqrt(x), {"x": lambda g, y, _x: g / 2 / y}, {"x": lambda t, y, _x: t / 2 / y}, elementwise=True),
)
def test_holes_of_elementwise_primitives(f):
    h = lambda x: np.where(x > 0, f(x), 0.0)
    x = np.array([0.0, 4.0])
    with np.errstate(all="raise"):
        assert tg.grad(lambda x: np.sum(h(x)))(x).tolist() == [0.0, 0.25]
        assert tg.jvp(h, (x,), (np.ones(2),))[1].tolist() == [0.0, 0.25]
        assert tg.linearize(h, x)[1](np.ones(2)).tolist() == [0.0, 0.25]
        assert tg.hessian(lambda x: np.sum(h(x)))(x).tolist() == [[0.0, 0.0], [0.0, -1 / 32]]
    for d in first(h):
        assert d(0.0) == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_kinds(dtype):
    x = np.asarray(X * (1 - 2j), dtype) if np.dtype(dtype).kind == "c" else X.astype(dtype)
    for f in PRODUCT:
        total = lambda f: lambda x: np.sum(np.abs(f(x, f(x, Z.astype(dtype)))) ** 2)
        g = tg.grad(total(f))(x)
        assert g.dtype == dtype
        assert np.allclose(g, tg.grad(total(np.multiply))(x))
        value, t = tg.jvp(lambda x: f(x, f(x, Z.astype(dtype))), (x,), (x,))
        assert t.dtype == value.dtype == dtype
        assert np.allclose(t, 2 * x * x * Z)
        assert type(tg.grad(lambda x: np.abs(f(x, x)))(x[0, 0])) is dtype
        if np.dtype(dtype).kind == "c":
            assert np.allclose(tg.grad(lambda x: np.sum(f(x, x)), holomorphic=True)(x), 2 * x)


def test_a_linear_pair():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 2))

    for way in (1, 2, 3):
        forward = tg.primitive(lambda x: a @ x)
        back = tg.primitive(lambda x: a.T @ x)
        if way & 1:
            forward.defvjp("x")(lambda g, _y, _x: back(g))
            back.defvjp("x")(lambda g, _y, _x: forward(g))
        if way & 2:
            forward.defjvp("x")(lambda t, _y, _x: forward(t))
            back.defjvp("x")(lambda t, _y, _x: back(t))
        if way == 3:
            agree(lambda x: forward(x * x), lambda x: a @ (x * x), Z)
        f = lambda x: np.sum(np.sin(forward(x * x)))
        if way == 2:  # who knows but A cannot know its transpose
            same(tg.jacfwd(f)(Z), tg.jacrev(lambda x: np.sum(np.sin(a @ (x * x))))(Z))
            with pytest.raises(MissingRuleError, match="is written in <lambda> itself"):
                tg.grad(f)(Z)
            continue
        g = lambda x: np.sum(np.sin(a @ (x * x)))
        same(tg.grad(f)(Z), tg.grad(g)(Z))
        same(tg.jacrev(tg.grad(f))(Z), tg.jacrev(tg.grad(g))(Z))


# arguments and outputs of all kinds


def test_several_outputs():
    made = sides(
        lambda x, y: (x * y, np.sin(x), 3),
        {"x": lambda g, _, x, y: g[0] * y + g[1] * np.cos(x), "y": lambda g, _, x, y: g[0] * x},
        {"x": lambda t, _, x, y: (t * y, t * np.cos(x), None), "y": lambda t, _, x, y: (t * x, None, None)},
    )
    for f in made:
        for d in every(lambda x: f(x, x)[0], 2):
            assert d(0.8) == pytest.approx(2.0)
        for d in every(lambda x: f(x, 2.0)[1], 2):
            assert d(0.8) == pytest.approx(-np.sin(0.8))
        for d in every(lambda x: (lambda r: r[0] * r[1] * r[2])(f(x, x)), 2):
            assert d(0.8) == pytest.approx(3 * tg.grad(tg.grad(lambda x: x * x * np.sin(x)))(0.8))
        for d in first(lambda x: f(2.0, x)[1] * x):  # which does not depend on y
            assert d(0.8) == pytest.approx(np.sin(2.0))


def test_containers_as_arguments():
    def body(xs, k):
        return xs["a"] * xs["b"][0] * k

    made = sides(
        body,
        {"xs": lambda g, _y, xs, k: {"a": g * xs["b"][0] * k, "b": [g * xs["a"] * k]}, "k": lambda g, _y, xs, k: g * xs["a"] * xs["b"][0]},
        {"xs": lambda t, _y, xs, k: (t["a"] * xs["b"][0] + xs["a"] * t["b"][0]) * k, "k": lambda t, _y, xs, k: t * xs["a"] * xs["b"][0]},
    )
    for f in made:
        for d in every(lambda x: f({"a": x, "b": [x]}, x), 2):
            assert d(0.8) == pytest.approx(4.8)
        for d in every(lambda x: f({"a": 2.0, "b": [x]}, 3.0) * x, 2):
            assert d(0.8) == pytest.approx(12.0)
        for d in every(lambda x: f({"a": x * x, "b": [5.0]}, x), 2):
            assert d(0.8) == pytest.approx(24.0)


def test_any_number_of_arguments():
    def back(g, y, *xs):
        return tuple(g * y / x for x in xs)

    def forth(ts, y, *xs):
        return sum(t * y / x for t, x in zip(ts, xs))

    for f in sides(lambda *xs: np.prod(xs), back, forth):
        for d in every(lambda x: f(x, x, 2.0, x), 2):
            assert d(0.8) == pytest.approx(9.6)
        for d in first(lambda x: f(x)):
            assert d(0.8) == pytest.approx(1.0)


def test_keyword_only_and_default_arguments():
    made = sides(
        lambda x, y=2.0, *, by, plus=1.0: x * y * by + plus,
        {"x": lambda g, _, x, y, *, by, plus: g * y * by, "by": lambda g, _, x, y, *, by, plus: g * x * y},
        {"x": lambda t, _, x, y, *, by, plus: t * y * by, "by": lambda t, _, x, y, *, by, plus: t * x * y},
    )
    for f in made:
        assert f(3.0, by=5.0) == 31.0
        for d in every(lambda x: f(x, by=5.0) * x, 2):
            assert d(0.8) == pytest.approx(20.0)
        for d in every(lambda x: f(x, y=3.0, by=x), 2):
            assert d(0.8) == pytest.approx(6.0)
        with pytest.raises(MissingRuleError, match="'plus'"):
            tg.grad(lambda x: f(x, by=1.0, plus=x))(0.8)
        with pytest.raises(MissingRuleError, match="'plus'"):
            tg.jvp(lambda x: f(x, by=1.0, plus=x), (0.8,), (1.0,))
    joint = make(
        lambda x, *, by: x * by, (), lambda ts, _, x, *, by: ts[0] * by + x * ts[1]
    )  # fmt: skip
    for d in every(lambda x: joint(x, by=x), 2):
        assert d(0.8) == pytest.approx(2.0)


def test_arguments_without_derivative():
    made = sides(
        lambda x, n: x**n,
        {"x": lambda g, _y, x, n: g * n * x ** (n - 1)},
        {"x": lambda t, _y, x, n: t * n * x ** (n - 1)},
        nondiff_argnames="n",
    ) + sides(
        lambda x, n: x**n,
        lambda g, _y, x, n: (g * n * x ** (n - 1),),
        lambda ts, _y, x, n: ts[0] * n * x ** (n - 1),
        nondiff_argnames=["n"],
    )  # fmt: skip
    for f in made:
        for d in every(lambda x: f(x, 3), 2):
            assert d(0.8) == pytest.approx(4.8)
        for call in (tg.grad, lambda f: lambda x: tg.jvp(f, (x,), (1.0,))):
            with pytest.raises(PrimitiveError, match="carries no derivative"):
                call(lambda x: f(2.0, x))(0.8)
        with pytest.raises(RuleError):
            f.defjvp("n")(lambda t, y, x, n: t)


# pitfalls


@pytest.mark.parametrize("f", SIN)
def test_perturbations_are_not_confused(f):
    # d/dx [x d/dy (x + sin(y))] at y = 1 is cos(1)
    for inner, outer in itertools.product(range(7), repeat=2):
        h = lambda x: x * first(lambda y: x + f(y))[inner](1.0)
        assert first(h)[outer](2.0) == pytest.approx(np.cos(1.0))
        h = lambda x: x * first(lambda y: f(x) * y)[inner](1.0)
        assert first(h)[outer](2.0) == pytest.approx(np.sin(2.0) + 2 * np.cos(2.0))


@pytest.mark.parametrize("f", PRODUCT)
def test_siblings_at_one_depth(f):
    for a, b in itertools.product(range(7), repeat=2):

        def h(x):
            u = first(lambda y: f(y, f(y, x)))[a](x)  # 2 x²
            v = first(lambda y: f(u, f(y, y)))[b](x)  # 4 x³
            return f(u, v)  # 8 x⁵

        for outer in first(h):
            assert outer(0.8) == pytest.approx(40 * 0.8**4)


@pytest.mark.parametrize("f", SIN)
def test_a_value_leaked_from_an_inner_transform_into_the_next(f):
    for a, b in itertools.product(range(7), repeat=2):
        kept = []

        def inner(y):
            kept.append(f(y))
            return kept[-1]

        def h(x):
            first(inner)[a](x)
            return first(lambda y: y * kept[-1])[b](x)

        for outer in (h, *first(h)):
            with pytest.raises(EscapedTracerError) as caught:
                outer(0.8)
            three_lines(caught.value)
        kept.clear()


def test_closed_over_in_a_rule():
    # of a frame around: its derivative counts
    for side in range(3):
        f = lambda w: sides(
            lambda x: x * 1.0, {"x": lambda g, _y, _x: g * w * w}, {"x": lambda t, _y, _x: t * w * w}
        )[side]
        for inner in range(7):
            for outer in first(lambda w: first(f(w))[inner](5.0)):
                assert outer(3.0) == pytest.approx(6.0)
    # of the frame itself: it has ended when a rule runs
    with pytest.raises(EscapedTracerError) as caught:
        tg.grad(lambda w: f(w)(w))(3.0)
    three_lines(caught.value)


def test_closed_over_in_an_inner_transform():
    for f in PRODUCT:
        for inner in range(7):
            h = lambda w: first(lambda x: f(f(w, x), f(w, x)))[inner](2.0)  # 4 w²
            for outer in first(h):
                assert outer(3.0) == pytest.approx(24.0)


def test_closed_over_in_a_body():
    f = make(lambda x: x, {"x": lambda g, _y, _x: g})
    g = lambda w: make(lambda x: x * w, {"x": lambda g, _y, _x: g})
    assert tg.grad(f)(1.0) == 1.0
    for mode in first(lambda w: g(w)(w)):
        with pytest.raises(PrimitiveError, match="closed over") as caught:
            mode(3.0)
        three_lines(caught.value)


NOT_LINEAR = {
    "clip": lambda g: np.clip(g, -1, 1),
    "condition": lambda g: g if g > 0 else 2 * g,
    "where": lambda g: np.where(g > 0, g, 2 * g),
    "affine": lambda g: g + 1.0,
    "constant": lambda g: 1.0,
    "constant array": lambda g: np.asarray(1.0),
    "square": lambda g: g * g,
    "abs": lambda g: np.abs(g),
    "sign": lambda g: np.sign(g),
    "sign in a factor": lambda g: 2.0 * (np.sign(g) + 1),
    "isfinite": lambda g: g if np.isfinite(g) else 0 * g,
    "norm": lambda g: g / (1 + np.linalg.norm(g)),
    "max": lambda g: np.maximum(g, 0),
    "round": lambda g: np.round(g),
    "sort": lambda g: np.sort(np.stack([g, -g]))[1],
    "float": lambda g: float(g),
    "stopped": lambda g: tg.stop_gradient(g) * 2,
    "printed": lambda g: (str(g), g)[1],
    "exp": lambda g: np.exp(g) - 1,
    "power": lambda g: g**2,
    "equal": lambda g: g * (g != 0),
    "affine in steps": lambda g: (g + 1) - 1 + g,
}


@pytest.mark.parametrize("word", NOT_LINEAR)
def test_a_rule_that_is_not_linear(word):
    rule = NOT_LINEAR[word]
    f = make(lambda x: x * 1.0, {"x": lambda g, _y, _x: rule(g)})
    with np.errstate(all="ignore"):
        assert tg.grad(f)(2.0) == pytest.approx(rule(1.0))
        for forward in (tg.jacfwd(f), lambda x: tg.jvp(f, (x,), (1.0,)), lambda x: tg.linearize(f, x)[1](1.0)):
            with pytest.raises(MissingRuleError, match="defjvp") as caught:
                forward(2.0)
            three_lines(caught.value)
        f = make(lambda x: x * 1.0, (), {"x": lambda t, _y, _x: rule(t)})
        assert tg.jvp(f, (2.0,), (1.0,))[1] == pytest.approx(rule(1.0))
        with pytest.raises(MissingRuleError, match="defvjp") as caught:
            tg.grad(f)(2.0)
        three_lines(caught.value)
        # with both rules both work
        f = make(lambda x: x * 1.0, {"x": lambda g, _y, _x: rule(g)}, {"x": lambda t, _y, _x: rule(t)})
        assert tg.grad(f)(2.0) == tg.jvp(f, (2.0,), (1.0,))[1] == pytest.approx(rule(1.0))


def test_a_clipped_gradient_at_second_order():
    f = make(lambda x: x * 1.0, {"x": lambda g, _y, _x: np.clip(g, -10, 10)})
    h = lambda x: f(x) ** 3
    for x, d1, d2 in [(1.0, 3.0, 6.0), (5.0, 10.0, 0.0)]:
        assert tg.grad(h)(x) == d1
        assert tg.grad(tg.grad(h))(x) == d2
        with pytest.raises(MissingRuleError, match="not linear"):
            tg.jvp(tg.grad(h), (x,), (1.0,))
        with pytest.raises(MissingRuleError, match="not linear"):
            tg.grad(lambda x: tg.jvp(h, (x,), (1.0,))[1])(x)


@pytest.mark.parametrize(
    "rule",
    [
        lambda g: 2 * g - g / 3,
        lambda g: np.sum(np.stack([g, g])) * 0.5,
        lambda g: np.reshape(g, (1,))[0],
        lambda g: np.array([1.0, 2.0]) @ np.stack([g, g]),
        lambda g: g.T.copy() + np.zeros_like(g),
        lambda g: np.where(True, g, 5.0),
        lambda g: tg.nn.softmax(np.zeros(2))[0] * g,
        lambda g: g * np.ones(np.shape(g)) if g.ndim == 0 else None,
        lambda g: 0.0,
        lambda g: None,
    ],
)
def test_a_rule_that_is_linear(rule):
    g = rule(np.asarray(1.0)) or 0.0
    back = make(lambda x: x * 1.0, {"x": lambda g, _y, _x: rule(np.asarray(g) if not tg.is_tracer(g) else g)})
    assert tg.jvp(back, (2.0,), (3.0,))[1] == pytest.approx(3 * g)
    forth = make(lambda x: x * 1.0, (), {"x": lambda t, _y, _x: rule(np.asarray(t) if not tg.is_tracer(t) else t)})
    assert tg.vjp(forth, 2.0)[1](3.0)[0] == pytest.approx(3 * g)


def test_a_rule_that_takes_turns():
    # a rule that reads another primitive of either side, and itself
    for f, h in itertools.product(SIN, SIN):
        k = make(lambda x: np.sin(x) ** 2, (), {"x": lambda t, _y, x: 2 * t * f(x) * h(x + np.pi / 2)})
        m = make(lambda x: np.sin(x) ** 2, {"x": lambda g, _y, x: 2 * g * f(x) * h(x + np.pi / 2)})
        for p in (k, m):
            for d in every(p, 2):
                assert d(0.8) == pytest.approx(2 * np.cos(1.6))


def test_rules_given_later():
    f = tg.primitive(lambda x: x * x)
    with pytest.raises(MissingRuleError):
        tg.grad(f)(2.0)
    f.defjvp("x")(lambda t, _y, x: 2 * t * x)
    assert tg.grad(f)(2.0) == 4.0
    f.defvjp("x")(lambda g, _y, x: 3 * g * x)  # from now on
    assert tg.grad(f)(2.0) == 6.0
    assert tg.jvp(f, (2.0,), (1.0,))[1] == 4.0
    for define in (f.defvjp, f.defjvp):
        with pytest.raises(RuleError):
            define("x")(lambda g, y, x: g)
        with pytest.raises(RuleError):
            define(lambda g, y, x: g)


def _root(how):
    @tg.primitive(elementwise=True)
    def root(x):
        return np.sqrt(x)

    {
        "back": lambda: root.defvjp(0)(lambda g, y, _x: g / (2 * y)),
        "back, all at once": lambda: root.defvjp(lambda g, y, _x: (g / (2 * y),)),
        "back, bare": lambda: root.defvjp(lambda g, y, _x: g / (2 * y)),
        "forth": lambda: root.defjvp(0)(lambda t, y, _x: t / (2 * y)),
        "forth, all at once": lambda: root.defjvp(lambda ts, y, _x: ts[0] / (2 * y)),
    }[how]()
    return root


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", ["back", "back, all at once", "back, bare", "forth", "forth, all at once"])
def test_a_function_of_each_element_by_one_rule_of_any_kind(how):
    root = _root(how)
    x = np.array([0.0, 1.0, 4.0])
    f = lambda x: np.sum(np.where(x > 0, root(x), 0.0))
    first, second = np.array([0, 0.5, 0.25]), np.diag([0, -0.25, -1 / 32])
    np.testing.assert_array_equal(tg.grad(f)(x), first)
    np.testing.assert_array_equal(tg.jacfwd(f)(x), first)
    for outer in (tg.jacfwd, tg.jacrev):
        for inner in (tg.jacfwd, tg.jacrev):
            np.testing.assert_array_equal(outer(inner(f))(x), second)
    np.testing.assert_allclose(tg.grad(lambda c: np.sum(root(c * x[1:])))(1.0), 1.5)  # broadcast by nothing but c


def test_a_rule_for_all_arguments_that_is_written_in_its_own_function():
    @tg.primitive
    def solve(a, b):
        return np.linalg.solve(a, b)

    @solve.defvjp
    def _(g, y, a, _b):
        u = solve(a.T, g)  # linear in g, which is seen though one rule is for both arguments
        return -np.outer(u, y), u

    a, b = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([1.0, 2.0])
    tg.testing.check_grads(solve, (a, b))
    np.testing.assert_allclose(tg.jacfwd(solve, 1)(a, b), np.linalg.inv(a))


@pytest.mark.parametrize(
    "rule",
    [lambda g, _y, x: np.where(x > 0, g, 0.0), lambda g, _y, x: 2 * g * x, lambda g, y, _x: g * y],
    ids=["looks", "reads the argument", "reads the answer"],
)
def test_a_rule_for_all_arguments_that_is_not_linear(rule):
    @tg.primitive
    def inner(x):
        return np.maximum(x, 0)

    inner.defvjp(rule)

    @tg.primitive
    def outer(x):
        return x * 1.0

    outer.defvjp(lambda g, _y, _x: inner(g))
    x = np.ones(2)
    np.testing.assert_array_equal(tg.vjp(outer, x)[1](x)[0], x)
    with pytest.raises(MissingRuleError, match="inner is not linear"):
        tg.jvp(outer, (x,), (x,))


def test_transforms_within_a_rule_that_is_turned_round():
    @tg.primitive
    def cube(x):
        return x**3

    @cube.defjvp
    def _(tangents, _y, x):
        return tg.jvp(lambda x: tangents[0] * x**3, (x,), (1.0,))[1]

    assert tg.grad(cube)(2.0) == tg.jvp(cube, (2.0,), (1.0,))[1] == 12.0
    for inner in (
        lambda g, x: tg.jvp(lambda z: g * z**3, (x,), (1.0,))[1],
        lambda g, x: tg.grad(lambda z: g * z**3)(x),
        lambda g, x: tg.linearize(lambda z: g * z**3, x)[1](1.0),
        lambda g, x: tg.hvp(lambda z: g * z**4 / 4)(x, 1.0),
    ):

        @tg.primitive
        def f(x):
            return x**3

        f.defvjp("x")(lambda g, _y, x, inner=inner: inner(g, x))
        assert tg.jvp(f, (2.0,), (1.0,))[1] == tg.grad(f)(2.0) == 12.0


def test_a_rule_that_changes_a_traced_cotangent_in_place():
    x = np.array([1.0, 2.0, -3.0])

    def doubled(g, _y, x):
        g *= 2
        return g

    @tg.primitive
    def back(x):
        return x * 2.0

    back.defvjp("x")(doubled)
    np.testing.assert_array_equal(tg.jvp(back, (x,), (np.ones(3),))[1], [2, 2, 2])

    @tg.primitive
    def forth(x):
        return x * 2.0

    forth.defjvp("x")(doubled)
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(forth(x) + x))(x), [3, 3, 3])
