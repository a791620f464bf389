"""check_grads passes on what is right, fails on whatever is wrong, and says where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from tapegrad import is_tracer, jvp, linearize, primitive, stop_gradient, vjp
from tapegrad.errors import GradientCheckError, InputError, MissingRuleError, TapegradError
from tapegrad.testing import check_grads, differences

V = np.array([0.5, -1.5, 2.0])
M = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
Z = np.array([0.5 + 1.0j, -1.5 + 0.3j])


class Layer(NamedTuple):
    w: Any
    b: Any


def ruled(body: Callable[..., Any], *rules: Callable[..., Any]) -> Any:
    """A primitive with a rule for each argument."""
    made = primitive(body)
    for position, rule in enumerate(rules):
        made.defvjp(position)(rule)
    return made


def forth(body: Callable[..., Any], rule: Callable[..., Any]) -> Any:
    """A primitive of one argument with a rule that goes forth."""
    made = primitive(body)
    made.defjvp(0)(rule)
    return made


def message(f: Callable[..., Any], args: Sequence[Any], **options: Any) -> str:
    with pytest.raises(GradientCheckError) as caught:
        check_grads(f, args, **options)
    text = str(caught.value)
    assert [len(line) - len(line.lstrip()) for line in text.split("\n")] == [0, 2, 2]
    return text


ROUND = ruled(lambda x: np.rint(x).astype(int), lambda g, y, x: g * 1.0)


# what is right


@pytest.mark.parametrize(
    ("f", "args"),
    [
        pytest.param(lambda x: x * x * x, (1.5,), id="float"),
        pytest.param(lambda x: x * x * x, (2,), id="int"),
        pytest.param(lambda x: x * np.sin(x), (np.array(1.5),), id="0-d"),
        pytest.param(lambda x: x * np.sin(x), (np.float64(1.5),), id="numpy scalar"),
        pytest.param(lambda x: np.exp(x) * np.sin(x), (V,), id="array"),
        pytest.param(lambda x: np.sum(np.sin(x) * x), (M,), id="reduction"),
        pytest.param(lambda x, y: x / y + x * y, (V, 3.0), id="two arguments"),
        pytest.param(lambda x: x * x, (np.zeros((0, 3)),), id="no entries"),
        pytest.param(lambda x: np.zeros(0), (V,), id="no output entries"),
        pytest.param(lambda x: [], (V,), id="no output"),
        pytest.param(lambda x: 3.0, (V,), id="constant"),
        pytest.param(lambda x: x, (V,), id="identity"),
        pytest.param(lambda p: p[0].w * p[1]["a"] + p[0].b, ([Layer(V, 2.0), {"a": V[:1], "b": None}],), id="tree"),
        pytest.param(lambda x, y: (x * y, {"s": np.sum(y)}, None, [y * y]), (2.0, V), id="outputs in a tree"),
        pytest.param(lambda x: (x * x, x > 0, 3, np.arange(2)), (V,), id="outputs that do not vary"),
        pytest.param(lambda x: (x * x, ROUND(x)), (V,), id="a primitive that gives integers"),
        pytest.param(lambda x, i, s: x[i] * len(s), (V, np.array([0, 2, 0]), "ab"), id="arguments that do not vary"),
        pytest.param(lambda p, q: p["x"] * p["n"][0] * q[1], ({"n": np.array([3]), "x": V}, (None, 2.0)), id="mixed"),
        pytest.param(lambda z: z * np.sin(z), (Z,), id="holomorphic"),
        pytest.param(lambda z: np.conj(z) * z * z, (Z,), id="complex"),
        pytest.param(lambda z, x: np.real(z) * np.imag(z) * x, (Z, V[:2]), id="complex to real"),
        pytest.param(lambda x: np.exp(1j * x), (V,), id="real to complex"),
        pytest.param(lambda z, x: z * x, (1.0 + 2.0j, 3.0), id="complex number"),
        pytest.param(lambda x: np.sin(x) * x, (V.astype(np.float32),), id="float32"),
        pytest.param(lambda x: np.sin(x) * x, (V.astype(np.float16),), id="float16"),
        pytest.param(lambda z: np.sin(z) * z, (Z.astype(np.complex64),), id="complex64"),
        pytest.param(lambda x: np.sin(x) * x, (V.astype(np.longdouble),), id="longdouble"),
        pytest.param(lambda x, y: x * y, (V.astype(np.float32), V), id="two dtypes"),
        pytest.param(lambda x: np.sin(x) * x, (np.linspace(-2, 2, 200),), id="many entries"),
        pytest.param(lambda x: np.sum(np.sin(x) * x), (np.linspace(-2, 2, 600).reshape(2, 300),), id="many inputs"),
        pytest.param(lambda x: np.sin(np.broadcast_to(x, (90,)) * np.linspace(1, 2, 90)), (0.5,), id="many outputs"),
    ],
)
def test_passes(f: Callable[..., Any], args: Sequence[Any]) -> None:
    check_grads(f, args, order=3)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.log, 1e-3),
        (np.log, 1e-5),
        (lambda x: x * x, 1e6),
        (np.sin, 1e6),
        (np.sin, 1e-9),
        (lambda x: x / (x - 1), 1.001),
        (lambda x: 1e6 + np.sin(x), 0.5),
        (lambda x: 1e8 + np.sin(x), 0.5),
        (lambda x: 1e6 + np.abs(x), 1e-4),
        (lambda x: 1e-6 * np.sin(x), 0.5),
        (lambda x: x[x > 0] * x[0], 1e-4),
        (np.abs, 1e-4),
        (np.abs, -1e-7),
        (lambda x: (x, np.array([-np.inf, np.inf])), 0.5),
        (lambda x: x * x * x * x * x, 0.0),
    ],
)
def test_step_is_found(f: Callable[..., Any], x: float) -> None:
    check_grads(f, (np.array([x]),), order=3)


def test_python_numbers_leave_their_domain() -> None:
    check_grads(lambda x: 1 / (x * x), (2.0**-9,))
    check_grads(lambda x: x**0.5, (1e-3,))


def test_keywords_and_eps() -> None:
    check_grads(lambda x, power, scale: scale * x**power, (V,), kwargs={"power": 2, "scale": V})
    check_grads(np.sin, (V,), eps=1e-2)
    check_grads(np.log, (np.array([1e-12]),), eps=1e-15, order=1)


def test_eps_is_the_only_step() -> None:
    seen = set()

    def f(x: Any) -> Any:
        if not is_tracer(x):
            seen.add(abs(x - 1.0))
        return x * stop_gradient(x)

    message(f, (1.0,), eps=2.0**-6)
    assert seen == {0.0, 2.0**-6, 2.0**-5}


def test_arguments_stay_what_they_are() -> None:
    x, n = V.copy(), np.array([1, 2])
    params = {"x": x, "n": n}
    check_grads(lambda p: np.sum(p["x"]) * p["n"], (params,))
    assert params["x"] is x
    assert params["n"] is n
    np.testing.assert_array_equal(x, V)


def test_function_meets_its_own_dtypes() -> None:
    seen = set()

    def f(x: Any, y: Any, z: Any, n: Any) -> Any:
        if not is_tracer(x):
            seen.add((type(x), x.dtype, type(y), type(z), type(n)))
        return x * y * z

    check_grads(f, (V.astype(np.float32), 2.0, np.float32(3.0), True), order=1)
    assert seen == {(np.ndarray, np.dtype(np.float32), float, np.float32, bool)}


# what is wrong

WRONG = {
    "factor": (ruled(lambda x: x * x, lambda g, y, x: 3 * g * x), (V,), "output[0] by argument 0[0]"),
    "a little": (ruled(lambda x: x * x, lambda g, y, x: 2.000001 * g * x), (V,), "output[0] by argument 0[0]"),
    "one sign": (ruled(lambda x: 2 * x, lambda g, y, x: g * np.array([2, -2, 2])), (V,), "output[1] by argument 0[1]"),
    "zero": (ruled(lambda x: np.sum(x), lambda g, y, x: np.zeros(3)), (V,), "output by argument 0[0]"),
    "none": (lambda x: np.sin(stop_gradient(x)), (0.5,), "output by argument 0"),
    "not zero": (ruled(lambda x: np.ones(3), lambda g, y, x: g), (V,), "output[0] by argument 0[0]"),
    "nan": (ruled(lambda x: x * x, lambda g, y, x: g * [1, 1, np.nan] * x * 2), (V,), "output[0] by argument 0[2]"),
    "one of two": (
        ruled(lambda x, z: x * z, lambda g, y, x, z: g * z, lambda g, y, x, z: g * z),
        (V, V + 1),
        "output[0] by argument 1[0]",
    ),
    "transposed": (ruled(lambda x: M[:, :2] @ x, lambda g, y, x: M[:, :2] @ g), (V[:2],), "output[1] by argument 0[0]"),
    "large": (ruled(lambda x: x * x, lambda g, y, x: 2.00001 * g * x), (1e9,), "output by argument 0"),
    "offset": (lambda x: 1e9 + np.sin(stop_gradient(x)), (0.5,), "output by argument 0"),
    "in a tree": (
        lambda p: [p["b"], {"out": p["w"] * p["w"] - (0 * p["w"] + stop_gradient(p["w"]) * np.eye(2, 3))}],
        ({"b": 1.0, "w": M + 1},),
        "output[1]['out'][0, 0] by argument 0['w'][0, 0]",
    ),
    "no conj": (
        ruled(lambda z: z.real**2 + z.imag**2, lambda g, y, z: 2 * g * z),
        (Z,),
        "output[0] by the imaginary part of argument 0[0]",
    ),
    "conj": (
        ruled(lambda z: z * z, lambda g, y, z: 2 * g * np.conj(z)),
        (Z,),
        "the imaginary part of output[0] by the real part of argument 0[0]",
    ),
    "float32": (
        ruled(lambda x: x * x, lambda g, y, x: g * x * np.float32(1.99)),
        (V.astype(np.float32),),
        "output[0] by argument 0[0]",
    ),
    "float16": (
        ruled(lambda x: x * x, lambda g, y, x: g * x * np.float16(1.5)),
        (V.astype(np.float16),),
        "output[0] by argument 0[0]",
    ),
}


NOT_LINEAR = {
    "not linear": (lambda x: 2 * x, lambda g, y, x: 2 * g * g, (0.5,), "output by argument 0"),
    "absolute": (lambda x: 2 * x, lambda g, y, x: 2 * np.abs(g), (V,), "output[0] by argument 0[0]"),
    "square of one": (lambda x: 2 * x, lambda g, y, x: 2 * g**2, (V,), "output[0] by argument 0[0]"),
}


def check_fails(f: Callable[..., Any], args: Sequence[Any], mode: str, where: str) -> None:
    first = message(f, args, modes=mode).split("\n")[0]
    assert first.endswith(where)
    assert f", order 1, {mode}: wrong derivative of" in first


@pytest.mark.parametrize("mode", ["fwd", "rev"])
@pytest.mark.parametrize("name", WRONG)
def test_fails(name: str, mode: str) -> None:
    f, args, where = WRONG[name]
    if (name, mode) == ("nan", "fwd"):
        where = "output[2] by argument 0[0]"  # 0 * nan
    check_fails(f, args, mode, where)
    assert ", order 1, fwd: " in message(f, args)


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_not_linear_fails(name: str) -> None:
    body, rule, args, where = NOT_LINEAR[name]
    check_fails(forth(body, rule), args, "fwd", where)
    check_fails(ruled(body, rule), args, "rev", where)
    with pytest.raises(MissingRuleError, match="is not linear"):
        check_grads(ruled(body, rule), args)


@pytest.mark.parametrize(
    ("body", "rule", "x", "where"),
    [
        (lambda x: x * x, lambda t, y, x: 3 * t * x, V, "output[0] by argument 0[0]"),
        (lambda x: x * x, lambda t, y, x: 2.000001 * t * x, V, "output[0] by argument 0[0]"),
        (
            lambda x: np.cumsum(x),
            lambda t, y, x: np.cumsum(t) + t * np.array([0, 1, 0]),
            V,
            "output[1] by argument 0[1]",
        ),
        (lambda x: M[:, :2] @ x, lambda t, y, x: M[:, :2].T @ t, V[:2], "output[1] by argument 0[0]"),
        (lambda z: z * z, lambda t, y, z: 2 * t * np.conj(z), Z, "part of output[0] by the real part of argument 0[0]"),
        (lambda z: z * z, lambda t, y, z: 2 * np.conj(t) * z, Z, "by the imaginary part of argument 0[0]"),
        (lambda x: np.exp(x), lambda t, y, x: None, V, "output[0] by argument 0[0]"),
    ],
)
def test_fails_going_forth(body: Callable[..., Any], rule: Callable[..., Any], x: Any, where: str) -> None:
    check_fails(forth(body, rule), (x,), "fwd", where)


def test_wrong_in_one_mode_alone() -> None:
    """Both rules are there: only the mode that reads the wrong one fails."""
    right, wrong = [lambda g, y, x, k=k: k * g * x for k in (2.0, 2.1)]
    for back, ahead, mode, other in ((right, wrong, "fwd", "rev"), (wrong, right, "rev", "fwd")):
        square = ruled(lambda x: x * x, back)
        square.defjvp(0)(ahead)
        check_grads(square, (V,), modes=other, order=3)
        for modes in (mode, ("fwd", "rev"), ("rev", "fwd")):
            assert f"order 1, {mode}: wrong derivative of output[0] by argument 0[0]" in message(
                square, (V,), modes=modes
            )


@pytest.mark.parametrize(
    ("inner", "way"),
    [("fwd", "fwd over fwd"), ("fwd", "rev over fwd"), ("rev", "fwd over rev"), ("rev", "rev over rev")],
)
def test_wrong_in_one_order_of_modes_alone(inner: str, way: str) -> None:
    """A slope, called from the rule of one mode, whose own rule of one mode is wrong."""
    right, wrong = [lambda g, y, x, k=k: k * g for k in (2.0, 2.1)]
    rules = [wrong if way.startswith(mode) else right for mode in ("rev", "fwd")]
    slope = ruled(lambda x: 2 * x, rules[0])
    slope.defjvp(0)(rules[1])
    of_mode = {inner: slope}
    square = ruled(lambda x: x * x, lambda g, y, x: g * of_mode.get("rev", lambda x: 2 * x)(x))
    square.defjvp(0)(lambda t, y, x: t * of_mode.get("fwd", lambda x: 2 * x)(x))
    check_grads(square, (V,), order=1)
    check_grads(square, (V,), modes={"fwd": "rev", "rev": "fwd"}[way[-3:]])
    if way[:3] != inner:
        check_grads(square, (V,), modes=inner)
    assert f", order 2, {way}: wrong derivative of" in message(square, (V,))


@pytest.mark.parametrize("x", [V, V.astype(np.float32), Z, np.linspace(1, 2, 99)], ids=["d", "f", "D", "99"])
def test_both_modes_agree_to_more_digits(x: Any) -> None:
    """An error in one of the modes that finite differences cannot see."""
    off = np.asarray(1 + np.finfo(x.dtype).eps ** 0.52, x.real.dtype)[()]
    square = ruled(lambda x: x * x, lambda g, y, x: 2 * g * x)
    square.defjvp(0)(lambda t, y, x: 2 * t * x * off)
    check_grads(square, (x,), modes="fwd")
    check_grads(square, (x,), modes="rev")
    text = message(square, (x,))
    assert ", order 1, fwd: wrong derivative of" in text
    assert " by rev: off by " in text
    check_grads(square, (x,), order=1, rtol=1e-3)


def test_another_tangent_by_linearize(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "linearize", lambda f, *primals: linearize(lambda x: 2 * f(x), *primals))
    text = message(lambda x: 64 * x, (V,))
    assert (
        "order 1, fwd: another tangent by linearize than by jvp: tangent of output[0]\n  -13.5; at first -6.75" in text
    )


@pytest.mark.parametrize(
    ("x", "spoil", "there"),
    [
        (V, lambda t: t.astype(np.float32), "ndarray float32[3]; at first ndarray float64[3]"),
        (V, lambda t: t + 0j, "ndarray complex128[3]; at first ndarray float64[3]"),
        (V, lambda t: t[:2], "ndarray float64[2]"),
        (V, lambda t: [t], "Structure([*]); at first Structure(*)"),
        (1.5, np.float64, "float64 float64[]; at first float float64[]"),
    ],
)
def test_tangents_unlike_the_outputs(
    x: Any, spoil: Callable[[Any], Any], there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(*call: Any) -> Any:
        value, tangent = jvp(*call)
        return value, spoil(tangent)

    monkeypatch.setattr(differences, "jvp", spoilt)
    text = message(lambda x: x * 2, (x,))
    assert "order 1, fwd: tangents unlike the outputs" in text
    assert there in text


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_real_directions_for_real_arguments(mode: str) -> None:
    """Real numbers get real tangents and cotangents, complex ones complex ones."""
    seen = set()

    @primitive
    def double(x: Any) -> Any:
        return 2 * x

    @double.defvjp(0)
    @double.defjvp(0)
    def _(g: Any, _y: Any, _x: Any) -> Any:
        seen.add(g.dtype.kind)
        return 2 * g

    check_grads(double, (V,), order=1, modes=mode)
    assert seen == {"f"}
    check_grads(double, (Z,), order=1, modes=mode)
    assert seen == {"f", "c"}


def test_message() -> None:
    @primitive
    def double(x: Any) -> Any:
        return 2 * x

    @double.defvjp
    def double_vjp(g: Any, _y: Any, _x: Any) -> Any:
        return g * np.array([[2, 2, 2], [2, 2, 5]])

    text = message(lambda p, c: p["w"][0] * 0 + double(p["w"][1]) * c, ({"w": (1.0, M)}, 2.0), modes="rev")
    assert text == (
        "<lambda>, order 1, rev: wrong derivative of output[1, 2] by argument 0['w'][1][1, 2]\n"
        "  got 10, expected 4 by finite differences: off by 6, tolerance 7.5e-08\n"
        "  hint: look at the rules between the two; where the function is not smooth, move the arguments"
    )
    assert message(double, (M,)).startswith("double, order 1, fwd: ")


def test_wrong_at_order_2() -> None:
    cube = ruled(lambda x: x * x * x, lambda g, y, x: 3 * g * x * stop_gradient(x))
    check_grads(cube, (V,), order=1)
    text = message(cube, (V,), modes="rev")
    assert "order 2, rev over rev: wrong derivative of cotangent of argument 0[0] by argument 0[0]" in text
    text = message(cube, (V,), modes="fwd")
    assert "order 2, fwd over fwd: wrong derivative of tangent of output[0] by argument 0[0]" in text
    linear = ruled(lambda x: 2 * x, lambda g, y, x: 2 * stop_gradient(g))
    check_grads(linear, (V,), order=1, modes="rev")
    assert "by cotangent of output[0]" in message(linear, (V,), modes="rev")
    linear = forth(lambda x: 2 * x, lambda t, y, x: 2 * stop_gradient(t))
    check_grads(linear, (V,), order=1, modes="fwd")
    assert "by tangent of argument 0[0]" in message(linear, (V,), modes="fwd")


def test_wrong_at_order_3() -> None:
    slope = ruled(lambda x: 3 * x * x, lambda g, y, x: 6 * g * stop_gradient(x))
    cube = ruled(lambda x: x * x * x, lambda g, y, x: g * slope(x))
    check_grads(cube, (V,), order=2)
    assert "order 3: wrong derivative of cotangent of cotangent of argument 0[0]" not in message(cube, (V,), order=3)
    assert "order 3, fwd over fwd over fwd: " in message(cube, (V,), order=3)
    assert "order 3, rev over rev over rev: " in message(cube, (V,), order=3, modes="rev")


@pytest.mark.parametrize(
    ("f", "x", "where"),
    [
        (lambda x, e: np.sin(x) * (1 + 0 * e) + e * stop_gradient(x), np.linspace(1, 2, 300), "output[157]"),
        (lambda x, e: np.sum(np.sin(x) + e * stop_gradient(x)), np.linspace(1, 2, 300), "output"),
    ],
)
def test_entry_among_many(f: Callable[..., Any], x: Any, where: str) -> None:
    e = np.zeros(300)
    e[157] = 1.0
    text = message(lambda x: f(x, e), (x,))
    assert f"wrong derivative of {where} by argument 0[157]\n" in text


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_bad_entry_of_a_rule_among_many(bad: float) -> None:
    factors = np.full((10, 20), 2.0)
    factors[7, 11] = bad
    double = ruled(lambda x: 2 * x, lambda g, y, x: g * factors)
    with np.errstate(invalid="ignore"):
        assert "by argument 0[7, 11]" in message(lambda x: np.sum(double(x)), (np.ones((10, 20)),), modes="rev")
        assert "output[7, 11] by argument 0" in message(double, (np.ones((10, 20)),), modes="fwd")


def test_error_spread_over_many_entries() -> None:
    double = ruled(lambda x: 2 * x, lambda g, y, x: g * (2 + 1e-8))
    text = message(lambda x: np.sum(double(x) * x), (np.linspace(1, 2, 400),), order=1, rtol=1e-9)
    difference, tolerance = [float(word.strip(",")) for word in text.split("\n")[1].split()[-3::2]]
    assert abs(difference) > tolerance


def test_nan_is_never_right() -> None:
    undefined = ruled(lambda x: x * np.nan, lambda g, y, x: g * np.nan)
    assert "got nan, expected nan" in message(undefined, (1.5,))
    assert "got 2, expected nan" in message(ruled(lambda x: np.nan * x, lambda g, y, x: 2 * g), (1.5,))


def test_another_value_when_differentiated() -> None:
    def f(x: Any) -> Any:
        return x * np.array([1.0, 2.0 if is_tracer(x) else 2.5, 1.0])

    assert "f, order 1, fwd: another value when differentiated: output[1]" in message(f, (V,), modes="fwd")
    text = message(f, (V,), modes="rev")
    assert "f, order 1, rev: another value when differentiated: output[1]\n  -3.0; at first -3.75" in text
    assert "float64[]; at first ndarray float64[3]" in message(lambda x: np.sum(x) if is_tracer(x) else x, (V,))
    assert "at first ndarray float32[3]" in message(lambda x: x if is_tracer(x) else x.astype(np.float32), (V,))
    assert "(*, *)" in message(lambda x: (x, x) if is_tracer(x) else x, (V,))


def test_not_deterministic() -> None:
    rng = np.random.default_rng(0)
    assert "called again: output[0]" in message(lambda x: x * rng.normal(), (V,))
    calls: list[Any] = []
    assert "called again" in message(lambda x: calls.append(x) or [x] * len(calls), (V,))


def test_changes_its_arguments() -> None:
    def f(p: Any) -> Any:
        p["n"][1] = 7
        return p["x"] * 2

    n = np.zeros(3, int)
    assert "changes its arguments: argument 0['n'][1]\n  7; at first 0" in message(f, ({"n": n, "x": V},))
    assert not n.any()
    assert "changes its arguments\n" in message(lambda p: p.pop() * 2, ([V, V],))
    with np.errstate(invalid="ignore"):
        check_grads(lambda x, n: x * 2, (V, np.array([np.nan, np.inf])), order=1)


@pytest.mark.parametrize(
    ("x", "spoil", "there"),
    [
        (V, lambda g: g.astype(np.float32), "ndarray float32[3]; at first ndarray float64[3]"),
        (V, lambda g: g[:2], "ndarray float64[2]"),
        (V, lambda g: [g], "Structure(([*],)); at first Structure((*,))"),
        (1.5, np.float64, "float64 float64[]; at first float float64[]"),
    ],
)
def test_cotangents_unlike_the_arguments(
    x: Any, spoil: Callable[[Any], Any], there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(f: Callable[..., Any], *primals: Any) -> Any:
        value, pullback = vjp(f, *primals)
        return value, lambda g: tuple(map(spoil, pullback(g)))

    monkeypatch.setattr(differences, "vjp", spoilt)
    text = message(lambda x: x * 2, (x,))
    assert "order 1, rev: cotangents unlike the arguments" in text
    assert there in text


def test_pullback_changes_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(f: Callable[..., Any], *primals: Any) -> Any:
        value, pullback = vjp(f, *primals)
        return value, lambda g: (pullback(g), primals[0].fill(7.0))[0]

    monkeypatch.setattr(differences, "vjp", careless)
    assert "changes its arguments: argument 0[0]\n  7.0; at first 0.5" in message(
        lambda x: x * 2, (V,), order=1, modes="rev"
    )


# where it is not smooth


def test_kink_is_the_mean_of_both_sides() -> None:
    check_grads(np.abs, (np.array([0.0, 1.0]),), order=1)
    check_grads(lambda x: x * np.abs(x), (np.array([0.0, 1.0]),), order=1)  # once differentiable
    magnitude = ruled(lambda x: np.abs(x), lambda g, y, x: g * np.sign(x))
    assert "order 2" in message(magnitude, (np.array([0.0, 1.0]),))
    one_sided = ruled(lambda x: np.abs(x), lambda g, y, x: g * np.where(x > 0, 1.0, -1.0))
    assert "got -1, expected 0" in message(one_sided, (0.0,))


def test_jump_fails() -> None:
    check_grads(np.floor, (V[:2],))
    assert "got 0, expected " in message(np.floor, (1.0,))


def test_infinite_slope_fails() -> None:
    root = ruled(np.sqrt, lambda g, y, x: g / (2 * y))
    with np.errstate(divide="ignore"):
        assert "got inf, expected nan" in message(root, (0.0,))


# tolerances


def test_tolerances() -> None:
    off = ruled(lambda x: 2 * x, lambda g, y, x: 2.001 * g)
    text = message(off, (V,), order=1, atol=1e-6, rtol=1e-6)
    assert "tolerance 3e-06" in text
    check_grads(off, (V,), order=1, rtol=1e-3)
    check_grads(off, (V,), order=1, atol=2e-3)
    check_grads(np.sin, (V,), atol=0.0, rtol=1e-11)


# what it refuses


@pytest.mark.parametrize(
    "call",
    [
        lambda: check_grads(np.sin, (V,), modes=("fwd", "backward")),
        lambda: check_grads(np.sin, (V,), modes="fwd, rev"),
        lambda: check_grads(np.sin, (V,), modes=()),
        lambda: check_grads(np.sin, (V,), order=0),
        lambda: check_grads(np.sin, (V,), order=1.0),  # type: ignore[arg-type]
        lambda: check_grads(np.sin, V),  # type: ignore[arg-type]
        lambda: check_grads(1.0, (V,)),  # type: ignore[arg-type]
        lambda: check_grads(np.sin, ()),
        lambda: check_grads(lambda x, s: x, (np.array([1, 2]), "s")),
    ],
)
def test_refuses(call: Callable[[], None]) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).count("\n") == 2


def test_modes() -> None:
    only_back = ruled(lambda x: 2 * x, lambda g, y, x: np.frompyfunc(lambda g: 2 * g, 1, 1)(g).astype(float))
    check_grads(only_back, (V,), order=1, modes="rev")
    with pytest.raises(TapegradError, match="<lambda>"):
        check_grads(only_back, (V,), order=1)
    check_grads(np.sin, (V,), modes=["fwd", "fwd"])
    with pytest.raises(InputError, match="modes: 'fwd', 'rev'"):
        check_grads(np.sin, (V,), modes="forward")


def test_error_is_ours_and_an_assertion() -> None:
    assert issubclass(GradientCheckError, TapegradError)
    assert issubclass(GradientCheckError, AssertionError)
