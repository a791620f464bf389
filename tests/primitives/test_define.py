"""@primitive and @fn.defvjp: every way to define, to call, and to be wrong."""

import inspect
import pickle
import sys
import threading

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad import unbroadcast
from tapegrad.errors import CotangentError, MissingRuleError, PrimitiveError, RuleError, TangentError


@tg.primitive
def affine(x, w, b=0.0):
    """x w + b"""
    return x * w + b


@affine.defvjp
def affine_vjp(g, _y, x, w, _b):
    return unbroadcast(g * w, x), unbroadcast(g * x, w), unbroadcast(g, _b)


@tg.primitive(nondiff_argnames=("axis",))
def l2norm(x, axis):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=True))


@l2norm.defvjp("x")
def l2norm_vjp_x(g, y, x, axis):
    assert isinstance(axis, int)
    return g * x / y


x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
w = np.array([1.0, -1.0, 2.0])


# the two examples, and what they keep


def test_all_arguments_at_once():
    gx, gw, gb = tg.grad(lambda x, w, b: np.sum(affine(x, w, b)), (0, 1, 2))(x, w, 1.0)
    assert np.array_equal(gx, np.broadcast_to(w, x.shape))
    assert np.array_equal(gw, x.sum(0))
    assert gb == 6.0
    assert type(gb) is float


def test_one_argument_alone():
    g = tg.grad(lambda x: np.sum(l2norm(x, 1)))(x)
    assert np.allclose(g, x / np.sqrt((x * x).sum(1, keepdims=True)))


def test_differentiated_again_though_written_with_plain_numpy():
    f = lambda t: np.sum(l2norm(t * x, 1) ** 3)  # t³ c
    c = np.sum(np.sum(x * x, 1) ** 1.5)
    assert tg.grad(tg.grad(f))(2.0) == pytest.approx(12 * c)
    assert tg.grad(tg.grad(tg.grad(f)))(2.0) == pytest.approx(6 * c)
    assert tg.grad(tg.grad(lambda t: affine(t, t * t)))(2.0) == 12.0


def test_name_docstring_signature_pickle():
    assert affine.__name__ == "affine"
    assert affine.__doc__ == "x w + b"
    assert str(inspect.signature(affine)) == "(x, w, b=0.0)"
    assert pickle.loads(pickle.dumps(affine)) is affine
    assert affine_vjp(1.0, None, 2.0, 3.0, 0.0) == (3.0, 2.0, 1.0)  # the rule stays a function


def test_plain_calls_are_plain():
    assert np.array_equal(affine(x, w), x * w)
    assert affine(w=2.0, x=3.0) == 6.0
    with pytest.raises(TypeError):
        affine(1.0)


# calls


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w, b: affine(x, w, b),
        lambda x, w, b: affine(x, w, b=b),
        lambda x, w, b: affine(x=x, w=w, b=b),
        lambda x, w, b: affine(b=b, w=w, x=x),
        lambda x, w, b: affine(x, b=b, w=w),
        lambda x, w, b: affine(*[x, w], **{"b": b}),
    ],
)
def test_keywords_are_the_same_call(call):
    assert tg.grad(call, (0, 1, 2))(2.0, 3.0, 4.0) == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("call", [lambda x: affine(x), lambda x: affine(x, 1, 2, 3), lambda x: affine(x, 1, c=2)])
def test_a_wrong_call(call):
    with pytest.raises(PrimitiveError, match="affine") as caught:
        tg.grad(call)(2.0)
    three_lines(caught.value)


def test_keyword_only_parameters_go_to_the_rule_by_keyword():
    @tg.primitive
    def scaled(x, *, by, plus=0.0):
        return x * by + plus

    @scaled.defvjp("x")
    def _(g, _y, _x, *, by, plus):
        return g * by

    @scaled.defvjp("by")
    def _(g, _y, x, *, by, plus):
        return g * x

    assert tg.grad(lambda x: scaled(x, by=3.0))(2.0) == 3.0
    assert tg.grad(lambda b: scaled(2.0, by=b))(3.0) == 2.0
    assert tg.grad(lambda x: scaled(x, by=x))(3.0) == 6.0
    with pytest.raises(MissingRuleError, match="'plus'"):
        tg.grad(lambda p: scaled(2.0, by=1.0, plus=p))(3.0)


def test_joint_rule_of_keyword_only_parameters():
    @tg.primitive
    def scaled(x, *, by):
        return x * by

    @scaled.defvjp
    def _(g, _y, x, *, by):
        return g * by, g * x

    assert tg.grad(lambda x: scaled(x, by=x))(3.0) == 6.0


def test_rules_with_parameters_of_their_own():
    @tg.primitive
    def f(x, n=2):
        return x**n

    @f.defvjp("x")
    def _(g, _y, *args, factor=1.0, **kwargs):
        return factor * g * args[1] * args[0] ** (args[1] - 1)

    assert tg.grad(f)(3.0) == 6.0
    assert tg.grad(lambda x: f(x, n=3))(3.0) == 27.0


def test_variadic():
    @tg.primitive
    def total(*parts):
        return sum(parts)

    @total.defvjp
    def _(g, _y, *parts):
        return tuple(g * (k + 1) for k in range(len(parts)))  # wrong on purpose, to tell them apart

    assert tg.grad(lambda a, b: total(a, 1.0, b), (0, 1))(1.0, 2.0) == (1.0, 3.0)


def test_a_bare_cotangent_for_one_argument():
    for answer in (lambda g: 2 * g, lambda g: (2 * g,), lambda g: [2 * g]):
        f = tg.primitive(lambda x: 2 * x)
        f.defvjp(lambda g, y, x, answer=answer: answer(g))
        assert tg.grad(f)(1.0) == 2.0


def test_a_joint_rule_may_leave_out_what_carries_no_derivative():
    @tg.primitive(nondiff_argnames="n")
    def f(x, n, z):
        return x**n * z

    @f.defvjp
    def _(g, y, x, n, z):
        return g * n * x ** (n - 1) * z, g * x**n

    @tg.primitive(nondiff_argnames="n")
    def h(x, n, z):
        return x**n * z

    @h.defvjp
    def _(g, y, x, n, z):
        return g * n * x ** (n - 1) * z, None, g * x**n

    for function in (f, h):
        assert tg.grad(function, (0, 2))(2.0, 3, 5.0) == (60.0, 8.0)


def test_none_is_no_derivative():
    f = tg.primitive(lambda x, z: x * z)
    f.defvjp(lambda g, y, x, z: (g * z, None))
    assert tg.grad(f, (0, 1))(2.0, 3.0) == (3.0, 0.0)
    h = tg.primitive(lambda x: x * 2)
    h.defvjp(0)(lambda g, y, x: None)
    assert tg.grad(h)(2.0) == 0.0


def test_a_rule_is_run_only_where_it_is_needed():
    f = tg.primitive(lambda x, z: x * z)
    f.defvjp("x")(lambda g, y, x, z: g * z)
    f.defvjp("z")(lambda g, y, x, z: pytest.fail("not asked for"))
    assert tg.grad(f)(2.0, 3.0) == 3.0


def test_tracers_in_containers_are_found():
    @tg.primitive
    def join(parts, extra):
        return np.concatenate([np.atleast_1d(p) for p in parts]) * extra["k"]

    @join.defvjp("parts")
    def _(g, y, parts, extra):
        return [g[0:1].reshape(np.shape(parts[0])) * extra["k"], g[1:] * extra["k"]]

    @join.defvjp("extra")
    def _(g, y, parts, extra):
        return {"k": np.sum(g * y) / extra["k"]}

    def f(a, b, k):
        return np.sum(join([a, b], {"k": k}) ** 2)

    ga, gb, gk = tg.grad(f, (0, 1, 2))(2.0, np.array([3.0, 4.0]), 2.0)
    assert ga == 16.0
    assert np.array_equal(gb, [24, 32])
    assert gk == 2 * 2 * (4 + 9 + 16)
    second = tg.grad(lambda a: tg.grad(f)(a, np.array([3.0, 4.0]), 2.0))(2.0)
    assert second == 8.0
    assert np.array_equal(tg.grad(lambda b: f(1.0, b, 2.0))(np.array([3.0, 4.0])), [24, 32])


# several outputs


@tg.primitive
def polar(x, y):
    return np.hypot(x, y), np.arctan2(y, x)


@polar.defvjp
def polar_vjp(g, out, x, y):
    r, _ = out
    return g[0] * x / r - g[1] * y / r**2, g[0] * y / r + g[1] * x / r**2


def test_tuple_outputs():
    assert tg.grad(lambda x, y: polar(x, y)[0], (0, 1))(3.0, 4.0) == (0.6, 0.8)
    assert tg.grad(lambda x, y: polar(x, y)[1], (0, 1))(3.0, 4.0) == pytest.approx((-0.16, 0.12))
    assert tg.grad(lambda x, y: sum(polar(x, y)), (0, 1))(3.0, 4.0) == pytest.approx((0.44, 0.92))
    # r² again by x: 2; θ by x twice: 2xy/r⁴
    assert tg.grad(tg.grad(lambda x: polar(x, 4.0)[0] ** 2))(3.0) == pytest.approx(2)
    assert tg.grad(tg.grad(lambda x: polar(x, 4.0)[1]))(3.0) == pytest.approx(24 / 625)


def test_an_output_that_is_not_used_gets_zeros_of_its_own_shape_and_dtype():
    seen = []

    @tg.primitive
    def three(x):
        return x * 2, np.ones((2, 3), np.float32) * x, np.arange(3)

    @three.defvjp
    def _(g, y, x):
        seen.append(g)
        return g[0] * 2 + np.sum(g[1])

    assert tg.grad(lambda x: three(x)[0])(np.float32(1)) == 2
    assert isinstance(seen[0], tuple)
    assert (seen[0][1].shape, seen[0][1].dtype) == ((2, 3), np.float32)
    assert not seen[0][1].any()
    assert (seen[0][2].shape, seen[0][2].dtype.kind) == ((3,), "i")


# what a rule gets


def test_what_is_not_kept_has_shape_and_dtype_only():
    @tg.primitive
    def total(a):
        return np.sum(a)

    @total.defvjp
    def _(g, _y, _a):
        assert (_a.shape, _a.dtype, _a.ndim, _a.size, len(_a)) == ((2, 3), np.float64, 2, 6, 2)
        assert (_y.shape, np.shape(_a), np.ndim(_a), np.size(_a)) == ((), (2, 3), 2, 6)
        assert not np.iscomplexobj(_a)
        assert np.result_type(_a, np.float32) == np.float64
        return g + np.zeros_like(_a)

    assert np.array_equal(tg.grad(total)(x), np.ones((2, 3)))


@pytest.mark.parametrize(
    "read", [lambda a: a * 2, lambda a: 2 * a, lambda a: np.sin(a), lambda a: np.asarray(a), lambda a: np.sum(a), float]
)
def test_reading_what_is_not_kept_raises(read):
    f = tg.primitive(lambda a: np.sum(a))
    f.defvjp(lambda g, y, _a: read(_a) + g)
    with pytest.raises(TypeError):
        tg.grad(f)(x)


def test_a_rule_may_close_over_a_traced_value():
    def outer(t):
        f = tg.primitive(lambda x: x * x)
        f.defvjp(0)(lambda g, _y, x: g * 2 * x * t)
        return tg.grad(f)(3.0)

    assert tg.grad(outer)(2.0) == 6.0


def test_functions_of_numpy():
    my_sin = tg.primitive(np.sin)
    my_sin.defvjp(0)(lambda g, y, x: g * np.cos(x))
    assert tg.grad(my_sin)(0.5) == np.cos(0.5)
    my_multiply = tg.primitive(np.multiply)
    my_multiply.defvjp(lambda g, y, a, b: (g * b, g * a))
    assert tg.grad(my_multiply, (0, 1))(2.0, 3.0) == (3.0, 2.0)
    my_sum = tg.primitive(np.sum)
    my_sum.defvjp("a")(lambda g, y, a, *rest: np.broadcast_to(g, a.shape))
    assert np.array_equal(tg.grad(my_sum)(x), np.ones((2, 3)))
    with pytest.raises(MissingRuleError):
        tg.grad(tg.primitive(np.cos))(1.0)


def test_a_method():
    class Spring:
        k = 3.0

        @tg.primitive
        def energy(self, x):
            return 0.5 * self.k * x * x

        @energy.defvjp("x")
        def _(g, _y, self, x):
            return g * self.k * x

    assert tg.grad(Spring().energy)(2.0) == 6.0


def test_results_without_a_derivative_are_plain():
    f = tg.primitive(lambda x: np.argmax(x))
    f.defvjp(lambda g, y, x: pytest.fail("never"))

    def g(x):
        k = f(x)
        assert isinstance(k, np.integer)
        return x[k]

    assert np.array_equal(tg.grad(g)(np.array([1.0, 3.0])), [0, 1])


# errors


def test_a_missing_rule():
    f = tg.primitive(lambda x, z: x * z)
    f.defvjp("x")(lambda g, y, x, z: g * z)
    assert tg.grad(f)(1.0, 2.0) == 2.0
    with pytest.raises(MissingRuleError) as caught:
        tg.grad(f, 1)(1.0, 2.0)
    assert isinstance(caught.value, NotImplementedError)
    assert str(caught.value).splitlines() == [
        "<lambda> has no derivative rule for argument 1",
        "  rules: for arguments 0",
        "  hint: add one with @<lambda>.defvjp(1), or keep the argument constant",
    ]


def test_a_traced_value_where_none_may_be():
    with pytest.raises(PrimitiveError, match="axis") as caught:
        tg.grad(lambda a: np.sum(l2norm(x, a)))(1.0)
    three_lines(caught.value)


def test_a_body_that_closed_over_a_traced_value():
    def f(t):
        inner = tg.primitive(lambda x: x * t)
        inner.defvjp(0)(lambda g, y, x: g)
        return inner(t)

    with pytest.raises(PrimitiveError, match="closed over") as caught:
        tg.grad(f)(1.0)
    three_lines(caught.value)

    def several(t):
        inner = tg.primitive(lambda x: (x, x * t))
        inner.defvjp(0)(lambda g, y, x: g)
        return inner(t)[0]

    with pytest.raises(PrimitiveError, match="closed over"):
        tg.grad(several)(1.0)


@pytest.mark.parametrize("argument", ["nope", 2, -3, True, 1.5, None, "axis"])
def test_a_rule_for_no_argument(argument):
    f = tg.primitive(lambda x, z: x * z)
    with pytest.raises(RuleError) as caught:
        f.defvjp(argument)(lambda g, y, x, z: g)
    three_lines(caught.value)


def test_a_rule_given_twice():
    rule = lambda g, y, x, z: g
    f = tg.primitive(lambda x, z: x * z)
    f.defvjp("x")(rule)
    for again in ("x", 0, -2):
        with pytest.raises(RuleError, match="already") as caught:
            f.defvjp(again)(rule)
        three_lines(caught.value)
    with pytest.raises(RuleError, match="already"):
        f.defvjp(rule)
    h = tg.primitive(lambda x, z: x * z)
    h.defvjp(rule)
    for again in (lambda: h.defvjp(rule), lambda: h.defvjp("x")(rule)):
        with pytest.raises(RuleError, match="already"):
            again()


def test_a_rule_for_what_carries_no_derivative():
    f = tg.primitive(nondiff_argnames=["n"])(lambda x, n: x**n)
    with pytest.raises(RuleError, match="no derivative"):
        f.defvjp("n")(lambda g, y, x, n: g)


@pytest.mark.parametrize(
    "rule", [lambda: 1, lambda g: g, lambda g, y: g, lambda g, y, x: g, lambda g, y, x, z, more: g, 3.0, "x"]
)
def test_a_rule_with_other_parameters(rule):
    f = tg.primitive(lambda x, z: x * z)
    with pytest.raises(RuleError) as caught:
        f.defvjp("x")(rule)
    three_lines(caught.value)


def test_nondiff_argnames_must_exist():
    with pytest.raises(RuleError, match="nope"):
        tg.primitive(nondiff_argnames="nope")(lambda x: x)


@pytest.mark.parametrize("thing", [3.0, "text", np.ones(2)])
def test_a_primitive_is_made_of_a_function(thing):
    with pytest.raises(PrimitiveError):
        tg.primitive(thing)


@pytest.mark.parametrize(
    "answer",
    [
        np.ones(2),
        np.ones((3, 2)),
        np.ones((1, 2, 3)),
        1.0,
        "text",
        np.array(["a"] * 6).reshape(2, 3),
        np.full((2, 3), None),
        [1.0, 2.0],
        {"x": 1.0},
        object(),
    ],
    ids=repr,
)
def test_a_cotangent_that_does_not_fit(answer):
    f = tg.primitive(lambda x: np.sum(x))
    f.defvjp(0)(lambda g, y, x: answer)
    with pytest.raises(CotangentError) as caught:
        tg.grad(f)(x)
    assert isinstance(caught.value, ValueError)
    three_lines(caught.value)


@pytest.mark.parametrize("answer", [(), (1.0,), (1.0, 2.0, 3.0), 1.0, np.ones(2), "ab"])
def test_a_wrong_number_of_cotangents(answer):
    f = tg.primitive(lambda x, z: x * z)
    f.defvjp(lambda g, y, x, z: answer)
    with pytest.raises(CotangentError) as caught:
        tg.grad(f)(1.0, 2.0)
    three_lines(caught.value)


@pytest.mark.parametrize("answer", [1.0, [1.0], [1.0, 2.0, 3.0], np.ones(3), {"a": 1.0}])
def test_cotangents_of_a_container_that_do_not_fit(answer):
    f = tg.primitive(lambda parts: parts[0] * parts[1])
    f.defvjp(0)(lambda g, y, parts: answer)
    with pytest.raises(CotangentError) as caught:
        tg.grad(lambda x: f([x, x]))(1.0)
    three_lines(caught.value)


def test_another_width_is_cast_and_a_real_argument_gets_the_real_part():
    for answer, dtype in ((np.float64(3), np.float32), (3, np.float64), (np.float16(3), np.float64), (3 + 4j, np.float64)):
        f = tg.primitive(lambda x: x * 1)
        f.defvjp(0)(lambda g, y, x, answer=answer: answer)
        g = tg.grad(f)(dtype(1))
        assert g == 3
        assert type(g) is dtype


def test_an_exception_in_a_rule_tells_where():
    f = tg.primitive(lambda x: x * 1)
    f.defvjp(0)(lambda g, y, x: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        tg.grad(f)(1.0)
    assert "<lambda>" in caught.value.__notes__[0]


def test_unbroadcast():
    g = np.arange(24.0).reshape(2, 3, 4)
    for shape in ((2, 3, 4), (3, 4), (1, 4), (2, 1, 4), (1, 1, 1), (4,), (1,), ()):
        summed = unbroadcast(g, np.zeros(shape))
        assert summed.shape == shape
        assert np.vdot(summed, np.ones(shape)) == g.sum()
        assert np.array_equal(np.broadcast_to(np.zeros(shape), g.shape), np.zeros(g.shape))
    assert unbroadcast(g, 1.0) == g.sum()
    for wrong in (np.zeros(3), np.zeros((2, 2, 2, 2)), np.zeros((5, 4))):
        with pytest.raises(CotangentError):
            unbroadcast(g, wrong)


def test_threads_may_define_primitives():
    wrong = []

    def work(k):
        for n in range(60):
            f = tg.primitive(lambda x, c: x * c)
            f.defvjp("x")(lambda g, y, x, c: g * c)
            h = tg.primitive(nondiff_argnames="c")(lambda x, c: x * c)
            h.defvjp("x")(lambda g, y, x, c: g * c)
            if tg.grad(lambda x, f=f, h=h, n=n: f(x, k) + h(x, n))(1.0) != k + n:
                wrong.append((k, n))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_arithmetic_of_a_rule_is_numpys():
    recip = tg.primitive(lambda x: 1 / x if x else float("inf"))
    recip.defvjp("x")(lambda g, y, x: -g / x**2)
    assert tg.grad(recip)(0.0) == -np.inf
    assert tg.grad(recip)(2.0) == -0.25
    quotient = tg.primitive(lambda x, z: x / z)
    quotient.defvjp(lambda g, y, x, z: (g / z, -g * x / z**2))
    assert tg.grad(quotient, (0, 1))(1.0, 1e-200) == (1e200, -np.inf)
    assert type(tg.grad(quotient)(1.0, 1e-200)) is float


def test_a_body_runs_once():
    runs = []

    def counted(x, how):
        runs.append(how)
        return {"array": x * 2, "pair": (x, x * 3), "index": np.argmax(x), "number": 2.0 * x[0]}[how]

    f = tg.primitive(nondiff_argnames="how")(counted)

    @f.defvjp("x")
    def _(g, y, x, how):
        return {"array": lambda: 2 * g, "pair": lambda: g[0] + 3 * g[1], "number": lambda: np.eye(2)[0] * 2 * g}[how]()

    x = np.array([1.0, 2.0])
    assert tg.grad(lambda x: np.sum(f(x, "array")))(x).tolist() == [2, 2]
    assert tg.grad(lambda x: np.sum(f(x, "pair")[1]))(x).tolist() == [3, 3]
    assert tg.grad(lambda x: x[f(x, "index")])(x).tolist() == [0, 1]
    assert tg.grad(lambda x: f(x, "number"))(x).tolist() == [2, 0]
    assert runs == ["array", "pair", "index", "number"]


def test_what_a_rule_takes_as_the_rest_may_be_left_out_too():
    seen = []
    f = tg.primitive(lambda x, z: np.sum(x * z))
    f.defvjp("x")(lambda g, _y, *_: seen.append(_) or np.broadcast_to(g, (2,)))
    tg.grad(lambda x: f(x, np.ones(2)))(np.ones(2))
    assert [type(part).__name__ for part in seen[0]] == ["Placeholder", "Placeholder"]
    h = tg.primitive(lambda x, z: np.sum(x * z))
    h.defvjp("x")(lambda g, _y, *args: g * args[1])
    assert tg.grad(lambda x: h(x, np.array([2.0, 3.0])))(np.ones(2)).tolist() == [2, 3]


def test_a_rule_that_reads_one_of_several_answers_at_second_order():
    @tg.primitive
    def pair(x):
        return np.sin(x), np.cos(x)

    @pair.defvjp("x")
    def _(g, y, _x):
        return g[0] * y[1] - g[1] * y[0]

    f = lambda t: pair(t)[0]
    slope = lambda t: tg.jvp(f, (t,), (1.0,))[1]
    for second in (tg.grad(slope), lambda t: tg.jvp(slope, (t,), (1.0,))[1], lambda t: tg.linearize(slope, t)[1](1.0)):
        np.testing.assert_allclose(second(1.0), -np.sin(1.0))
    np.testing.assert_allclose(tg.hessian(slope)(1.0), -np.cos(1.0))


def test_parameters_may_be_named_as_numpys():
    @tg.primitive
    def f(a, where, out=2.0):
        return a * where * out

    f.defvjp("a")(lambda g, _y, _a, where, out: g * where * out)
    assert tg.grad(lambda t: f(t, 3.0))(2.0) == 6.0


def test_none_for_all_arguments_is_zero():
    f = tg.primitive(lambda x: np.floor(x))
    f.defvjp(lambda g, _y, _x: None)
    assert tg.grad(lambda x: f(x) + x)(1.5) == 1.0


def test_a_tangent_in_a_tuple_of_one():
    f = tg.primitive(lambda x: 3 * x)
    f.defjvp(lambda t, _y, _x: (3 * t[0],))
    for call in (lambda: tg.jvp(f, (1.0,), (1.0,)), lambda: tg.grad(f)(1.0)):
        with pytest.raises(TangentError) as error:
            call()
        three_lines(error.value)


def test_too_few_tangents_for_the_answers():
    f = tg.primitive(lambda x: (3 * x, x))
    f.defjvp(lambda t, _y, _x: (3 * t[0],))
    for call in (lambda: tg.jvp(f, (1.0,), (1.0,)), lambda: tg.grad(lambda x: sum(f(x)))(1.0)):
        with pytest.raises(TangentError, match="gave 1 tangents") as error:
            call()
        three_lines(error.value)
