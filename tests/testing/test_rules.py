"""check_rule passes what is right, and finds each kind of fault that a primitive, its rules or its body can have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import three_lines

from tapegrad import custom_jvp, custom_vjp, is_tracer, primitive, stop_gradient, unbroadcast
from tapegrad.errors import GradientCheckError, InputError
from tapegrad.testing import check_rule

X = np.array([[0.5, -1.5, 2.0], [0.25, 1.25, -0.75]])
V = np.array([0.5, -1.5, 2.0])


def made(body: Callable[..., Any], /, vjp: Any = None, jvp: Any = None, **rules: Any) -> Any:
    """A primitive with rules for all arguments, or for those named."""
    words = {word: rules.pop(word) for word in ("elementwise", "nondiff_argnames") if word in rules}
    fun = primitive(body, **words)
    if vjp:
        fun.defvjp(vjp)
    if jvp:
        fun.defjvp(jvp)
    for name, rule in rules.items():
        fun.defvjp(name)(rule)
    return fun


def message(fun: Any, *args: Any, **options: Any) -> list[str]:
    with pytest.raises(GradientCheckError) as caught:
        check_rule(fun, *args, **options)
    three_lines(caught.value)
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(f"{fun.__name__} ")
    return lines


# what is right


def affine(x: Any, w: Any, b: Any = 0.0) -> Any:
    return x * w + b


def affine_vjp(g: Any, _y: Any, x: Any, w: Any, _b: Any) -> Any:
    return unbroadcast(g * w, x), unbroadcast(g * x, w), unbroadcast(g, _b)


def l2norm(x: Any, axis: Any) -> Any:
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=True))


def product_jvp(tangents: Any, _y: Any, x: Any, z: Any) -> Any:
    s, t = tangents
    return s * z + x * t


def scaled(x: Any, *, by: Any, power: int = 1) -> Any:
    return x * by**power


def both(x: Any, z: Any) -> Any:
    return x * z, np.sum(x)


def of_pair(pair: Any, z: Any) -> Any:
    return pair[0] * pair[1] * z


def of_pair_vjp(g: Any, _y: Any, pair: Any, z: Any) -> Any:
    return [g * pair[1] * z, g * pair[0] * z], g * pair[0] * pair[1]


def square(x: Any) -> Any:
    return x * x


def wrong(rule: Callable[..., Any], **words: Any) -> Any:
    return made(square, x=rule, **words)


SOFTPLUS = made(lambda x: np.logaddexp(x, 0.0), elementwise=True, x=lambda g, _y, x: g / (1 + np.exp(-x)))
RIGHT: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "affine": (made(affine, affine_vjp), (X, V, 1.0), {}),
    "without the default": (made(affine, affine_vjp), (X, V), {}),
    "numbers": (made(affine, affine_vjp), (2.0, 3.0, 0.5), {}),
    "float32": (made(affine, affine_vjp), (X.astype(np.float32), V.astype(np.float32)), {}),
    "complex": (made(affine, affine_vjp), (X + 1j, 2.0), {}),
    "a setting": (made(l2norm, nondiff_argnames=("axis",), x=lambda g, y, x, axis: g * x / y), (X, 0), {}),
    "one argument alone": (made(affine, x=lambda g, _y, x, w, _b: unbroadcast(g * w, x)), (X, V), {}),
    "forth": (made(lambda x, z: x * z, jvp=product_jvp), (X, V), {}),
    "both ways": (made(lambda x, z: x * z, lambda g, _y, x, z: (unbroadcast(g * z, x), unbroadcast(g * x, z)), product_jvp), (X, V), {}),
    "its argument": (made(lambda x: x, x=lambda g, _y, _x: g), (V,), {}),
    "a view": (made(lambda x: x[::-1], x=lambda g, _y, _x: g[::-1]), (V,), {}),
    "a constant": (made(lambda x: np.ones(3), x=lambda g, _y, _x: None), (V,), {}),
    "forth alone": (made(lambda x: x * 1.0, jvp=lambda t, _y, x: np.clip(t[0], -1e6, 1e6)), (V,), {"modes": "fwd"}),
    "float64 for float32": (wrong(lambda g, _y, x: np.float64(2) * g * x), (V.astype(np.float32),), {}),
    "elementwise": (SOFTPLUS, (X,), {}),
    "of two": (made(np.multiply, elementwise=True), (X, V), {}),
    "keyword only": (
        made(scaled, nondiff_argnames=("power",), x=lambda g, _y, x, by, power: unbroadcast(g * by**power, x),
             by=lambda g, _y, x, by, power: unbroadcast(g * x * power * by ** (power - 1), by)),
        (X,), {"kwargs": {"by": 1.5, "power": 2}},
    ),
    "a tuple": (made(both, lambda g, _y, x, z: (g[0] * z + g[1], g[0] * x)), (V, V + 1), {}),
    "a container": (made(of_pair, of_pair_vjp), ([V, V + 1], V), {}),
    "matrices": (made(np.matmul, lambda g, _y, a, b: (g @ b.T, a.T @ g)), (X, X.T), {}),
    "clipped": (made(lambda x: x * 1.0, x=lambda g, _y, x: np.clip(g, -1e6, 1e6)), (V,), {"modes": "rev"}),
    "no complex": (made(lambda x: np.maximum(x, 0), x=lambda g, _y, x: g * (x > 0)), (V,), {"dtypes": [np.float32]}),
}  # fmt: skip
RIGHT["of two"][0].defvjp(0)(lambda g, _y, _x, z: g * z)
RIGHT["of two"][0].defvjp(1)(lambda g, _y, x, _z: g * x)


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    fun, args, options = RIGHT[name]
    before = [np.copy(a) if isinstance(a, np.ndarray) else a for a in args if not isinstance(a, list)]
    check_rule(fun, *args, **options)
    for a, b in zip([a for a in args if not isinstance(a, list)], before):
        np.testing.assert_array_equal(a, b)


def back(g: Any, x: Any, factor: float = 2) -> Any:
    return (factor * g * x,)


def custom(fwd: Any = lambda x: (x * x, x), bwd: Any = lambda x, g: back(g, x)) -> Any:
    fun = custom_vjp(lambda x: x * x)
    fun.defvjp(fwd, bwd)
    return fun


def customs(*rules: Any) -> Any:
    fun = custom_jvp(lambda x, z: x * z)
    fun.defjvps(*rules)
    return fun


def test_right_custom_functions() -> None:
    check_rule(custom(), V)
    check_rule(customs(lambda t, _y, x, z: t * z, lambda t, _y, x, z: x * t), V, 2.0)
    fun = custom_vjp(lambda n, x: x**n, nondiff_argnums=(0,))
    fun.defvjp(lambda n, x: (x**n, x), lambda n, x, g: (g * n * x ** (n - 1),))
    check_rule(fun, 3, V)


# what is wrong


def writes_g(g: Any, _y: Any, x: Any) -> Any:
    g *= 2
    return g * x


def writes_y(g: Any, y: Any, x: Any) -> Any:
    y += 1
    return 2 * g * x


def writes_x(g: Any, _y: Any, x: Any) -> Any:
    x *= 2
    return g * x


BUFFER = np.zeros(3)


def into_buffer(g: Any, _y: Any, x: Any) -> Any:
    return np.multiply(2 * g, x, out=BUFFER if np.shape(g) == (3,) and g.dtype == float else None)


FAULTS: dict[str, tuple[Any, tuple[Any, ...], str, str]] = {
    "factor": (wrong(lambda g, _y, x: 3 * g * x), (V,), "square with x traced, order 1, fwd: wrong derivative of output[0] by x[0]", "got 1.5, expected 1 by finite differences"),
    "sign of one": (wrong(lambda g, _y, x: 2 * g * x * np.array([1, -1, 1])), (V,), "wrong derivative of output[1] by x[1]", "got 3, expected -3"),
    "second argument": (made(affine, lambda g, _y, x, w, _b: (unbroadcast(g * w, x), unbroadcast(g, w), g)), (V, V + 1, V), "wrong derivative of output[0] by w[0]", "got 1, expected 0.5"),
    "no unbroadcast": (made(affine, lambda g, _y, x, w, _b: (g * w, g * x, g)), (V, V + 1, V), "of shape (2, 2), w of shape (2,), b of shape (2, 1): the rule of affine for argument 1 gave a cotangent of shape (2, 2)", "the argument is an array of shape (2,)"),
    "writes g": (wrong(writes_g), (V,), "called: its rule for x changes g[0]", "before"),
    "writes y": (wrong(writes_y), (V,), "called: its rule for x changes y[0]", "before 0.25"),
    "writes x": (wrong(writes_x), (V,), "called: its rule for x changes x[0]", "before 0.5"),
    "buffer of a rule": (wrong(into_buffer), (V,), "called: its rule for x, called again, changes what it gave[0]", "before"),
    "not linear": (wrong(lambda g, _y, x: 2 * g * np.abs(g) * x), (V,), "its rule for x is not linear, r(2 g + h) is not 2 r(g) + r(h) [0]", "expected"),
    "absolute": (wrong(lambda g, _y, x: 2 * np.abs(g) * x), (V,), "its rule for x is not linear", "expected"),
    "offset": (wrong(lambda g, _y, x: 2 * g * x + 1e-3), (V,), "its rule for x is not linear", "expected"),
    "stopped": (wrong(lambda g, _y, x: 2 * g * stop_gradient(x)), (V,), "square with x traced, order 2, fwd over fwd: wrong derivative of tangent of output[0] by x[0]", "got 0, expected"),
    "raises": (wrong(lambda g, _y, x: g.no_such_thing), (V,), "square with x traced: AttributeError", "shapes: x (3,)"),
    "reads what is not kept": (wrong(lambda g, _y, _x: 2 * g * _x), (V,), "square with x traced: a rule read the values", "shape (3,)"),
    "not for float32": (wrong(lambda g, _y, x: 2 * g * x * (1 if x.dtype == float else 2)), (V,), "square in float32, order 1", "expected"),
    "not for complex": (wrong(lambda g, _y, x: 2 * g * np.real(x)), (V,), "square in complex128, order 1", "expected"),
    "not for 0-d": (wrong(lambda g, _y, x: 2 * g * x if np.ndim(x) else 3 * g), (V,), "square with 0-d arrays, order 1", "expected"),
    "not without elements": (wrong(lambda g, _y, x: 2 * g * x + 0 * x[0] if np.ndim(x) else 2 * g * x), (V,), "square without elements: IndexError", "x (0,)"),
    "not for numbers": (wrong(lambda g, _y, x: 2 * g * x if type(x) is not float else 3 * g), (V,), "square with Python numbers, order 1", "expected"),
    "none": (wrong(lambda g, _y, x: None), (V,), "wrong derivative of output[0] by x[0]", "got 0, expected 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_wrong(name: str) -> None:
    fun, args, what, there = FAULTS[name]
    lines = message(fun, *args)
    assert what in lines[0]
    assert there in lines[1]


def test_disagreeing_rules() -> None:
    fun = made(square, lambda g, _y, x: 2 * g * x, lambda t, _y, x: 2.5 * t[0] * x)
    assert "order 1, fwd: wrong derivative of output[0] by x[0]" in message(fun, V)[0]
    check_rule(fun, V, modes="rev")


def test_hints() -> None:
    assert "or leave it out of dtypes" in message(FAULTS["not for complex"][0], V)[2]
    assert (
        "return unbroadcast(cotangent, argument)"
        in message(FAULTS["no unbroadcast"][0], *FAULTS["no unbroadcast"][1])[2]
    )
    assert 'modes="rev"' in message(FAULTS["absolute"][0], V)[2]
    assert "in place of g *= x" in message(FAULTS["writes g"][0], V)[2]


def test_wrapped_rules() -> None:
    """What a rule does to its arguments is found where the library hands it copies, too."""
    fun = wrong(writes_g)
    (rule,) = fun.definition.rules.values()
    rule.call = functools.wraps(writes_g)(lambda g, y, x: writes_g(np.copy(g), y, x))
    assert "its rule for x changes g[0]" in message(fun, V)[0]


def test_body_that_writes() -> None:
    def doubled(x: Any, z: Any) -> Any:
        z *= 2
        return x * z

    for fun in (made(doubled, lambda g, _y, x, z: (g * z, g * x)), made(doubled, x=lambda g, _y, x, z: g * z)):
        assert message(fun, V, V + 1)[:2] == ["doubled called: its body changes z[0]", "  3.0; before 1.5"]


def test_body_with_a_buffer() -> None:
    buffer = np.zeros(3)

    def twice(x: Any) -> Any:
        return np.multiply(2, x, out=buffer) if np.shape(x) == (3,) and x.dtype == float else 2 * x

    lines = message(made(twice, x=lambda g, _y, _x: 2 * g), V)
    assert lines[:2] == ["twice called again: that changes its first answer[0]", "  0.75; before 1.0"]


def test_random_body() -> None:
    rng = np.random.default_rng(0)
    fun = made(lambda x: x + rng.uniform(), x=lambda g, _y, _x: g)
    assert "another value when called again" in message(fun, V)[0]


def test_keyword_only() -> None:
    rules = {
        "x": lambda g, _y, x, by, power: unbroadcast(g * by**power, x),
        "by": lambda g, _y, x, by, power: unbroadcast(g * x, by),
    }
    fun = made(scaled, nondiff_argnames=("power",), **rules)
    check_rule(fun, V, kwargs={"by": 1.5}, order=1)
    assert "order 1, fwd: wrong derivative of output[0] by by" in message(fun, V, kwargs={"by": 1.5, "power": 2})[0]


@pytest.mark.parametrize(("count", "way"), [(1, "with x alone traced"), (2, "with x, z traced")])
def test_way_of_calling(count: int, way: str) -> None:
    """A fault that shows only where so many arguments are traced."""
    slope = primitive(lambda x, z: x * z)
    slope.defvjp("x")(lambda g, _y, x, z: unbroadcast(g * z, x))
    slope.defvjp("z")(lambda g, _y, x, z: unbroadcast(g * x, z))
    record = slope.definition.record

    def counted(*args: Any) -> Any:
        return record(*args) * (1 + (sum(map(is_tracer, args)) == count))

    counted.__name__, counted.definition = "counted", slope.definition  # type: ignore[attr-defined]
    assert message(counted, V, V + 1)[0].startswith(f"counted {way}, order 1, fwd: another value when differentiated")


def test_defaults() -> None:
    """A default that the signature does not tell."""
    fun = made(affine, affine_vjp)
    fun.definition.defaults[2] = 1.0
    assert message(fun, V, V)[:2] == [
        "affine with defaults left out: another value[0]",
        "  0.25; with them 1.25",
    ]


def test_custom_functions_that_are_wrong() -> None:
    assert "order 1, fwd: wrong derivative of output[0]" in message(custom(bwd=lambda x, g: back(g, x, 3)), V)[0]
    assert "bwd is not linear" in message(custom(bwd=lambda x, g: back(np.abs(g), x)), V)[0]
    assert "bwd changes g" in message(custom(bwd=lambda x, g: (writes_g(g, None, x),)), V)[0]
    assert "bwd changes residuals" in message(custom(bwd=lambda x, g: (writes_x(g, None, x),)), V)[0]
    assert (
        "residuals" in message(custom(fwd=lambda x: (x * x, x.copy()), bwd=lambda x, g: (writes_x(g, None, x),)), V)[0]
    )
    rules = lambda t, _y, x, z: t * z, lambda t, _y, x, z: 2 * x * t
    assert "by z: " not in message(customs(*rules), V, 2.0)[1]
    assert "order 1, fwd: wrong derivative of output[0] by z" in message(customs(*rules), V, 2.0)[0]
    assert "its rule is not linear" in message(customs(lambda t, _y, x, z: t * t * z, rules[1]), V, 2.0)[0]


def test_what_is_no_primitive() -> None:
    with pytest.raises(InputError, match="square, which is no primitive") as caught:
        check_rule(square, V)
    three_lines(caught.value)
    for args in (((1, 2)), (V.astype(int), 2)):
        with pytest.raises(InputError, match="nothing to differentiate affine by") as caught:
            check_rule(made(affine, affine_vjp), *args, 1)
        three_lines(caught.value)
