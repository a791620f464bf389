"""Values that escape: a traced value means something only where its transform runs, and says so elsewhere."""

import copy
import functools
import itertools
import math
import operator
import pickle
import statistics
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import ConversionError, EscapedTracerError, MissingRuleError
from tapegrad.frame import running

A = np.array([1.0, 2.0])


def names_the_call(error, name):
    """Whether a message names the transform that a value is of."""
    three_lines(error)
    assert name in str(error)
    if "was used after" in str(error):
        assert f"{name} was called at {__file__}, line " in str(error)


@pytest.fixture(autouse=True)
def clean():
    yield
    assert running() is None
    assert tg.grad(lambda x: x * x)(3.0) == 6.0


# where values come from, and where they go


def leaked(transform, x, how=lambda x: x):
    """What `how` makes of the argument of a function, after its transform has ended."""
    kept = []

    def f(x):
        kept.append(how(x))
        return np.sum(x * 1.0)

    transform(f, x)
    return kept[0]


TRANSFORMS = {
    "grad": lambda f, x: tg.grad(f)(x),
    "value_and_grad": lambda f, x: tg.value_and_grad(f)(x),
    "vjp": lambda f, x: tg.vjp(f, x),
    "jvp": lambda f, x: tg.jvp(f, (x,), (x,)),
    "linearize": lambda f, x: tg.linearize(f, x),
    "jacobian": lambda f, x: tg.jacobian(f)(x),
    "hessian": lambda f, x: tg.hessian(f)(x),
    "hvp": lambda f, x: tg.hvp(f)(x, x),
    "trace": lambda f, x: tg.trace(f)(x),
}

USES = {
    "add": lambda t: t + 1.0,
    "radd": lambda t: 1.0 + t,
    "plus nothing": lambda t: t + 0,
    "positive": lambda t: +t,
    "negative": lambda t: -t,
    "power": lambda t: t**2,
    "power of a plain number": lambda t: 2.0**t,
    "in place": lambda t: operator.iadd(t, 1.0),
    "sin": lambda t: np.sin(t),
    "sum": lambda t: np.sum(t),
    "astype": lambda t: t.astype(float),
    "reshape": lambda t: t.reshape(-1),
    "transpose": lambda t: t.T,
    "real": lambda t: t.real,
    "where": lambda t: np.where(True, t, 1.0),
    "stack": lambda t: np.stack([t, t]),
    "dot": lambda t: np.dot(t, t),
    "tapegrad.numpy": lambda t: tg.numpy.array([t, t]),
    "nn": lambda t: tg.nn.relu(t),
    "a copy": lambda t: copy.copy(t) * 2.0,
    "a deep copy": lambda t: copy.deepcopy([t])[0] * 2.0,
    "argument of grad": lambda t: tg.grad(lambda x: np.sum(x))(t),
    "argument of vjp": lambda t: tg.vjp(lambda x: x, t),
    "argument of jvp": lambda t: tg.jvp(lambda x: x, (t,), (np.ones(t.shape),)),
    "argument of linearize": lambda t: tg.linearize(lambda x: x, t),
    "argument of hessian": lambda t: tg.hessian(lambda x: np.sum(x))(t),
    "argument of trace": lambda t: tg.trace(lambda x: x)(t),
    "in a nest": lambda t: tg.grad(lambda p: p["a"])({"a": 1.0, "b": [t]}),
    "tangent": lambda t: tg.jvp(lambda x: x * 1.0, (np.ones(t.shape),), (t,)),
    "tangent of a linear map": lambda t: tg.linearize(lambda x: x * 1.0, np.ones(t.shape))[1](t),
    "cotangent": lambda t: tg.vjp(lambda x: x * 1.0, np.ones(t.shape))[1](t),
    "vector of hvp": lambda t: tg.hvp(lambda x: np.sum(x * x))(np.ones(t.shape), t),
    "result of grad": lambda t: tg.grad(lambda x: np.sum(t))(1.0),
    "result of vjp": lambda t: tg.vjp(lambda x: [t], 1.0),
    "result of jvp": lambda t: tg.jvp(lambda x: (x, t), (1.0,), (1.0,)),
    "result of jacobian": lambda t: tg.jacobian(lambda x: t)(1.0),
    "result of trace": lambda t: tg.trace(lambda x: t)(1.0),
    "aux": lambda t: tg.grad(lambda x: (x, {"a": [t]}), has_aux=True)(1.0),
    "constant of a sibling": lambda t: tg.grad(lambda x: np.sum(x * t))(1.0),
    "constant of a sibling that reads forward": lambda t: tg.jvp(lambda x: x * t, (1.0,), (1.0,)),
    "constant within": lambda t: tg.grad(lambda x: tg.grad(lambda y: np.sum(y * t))(x))(1.0),
    "argument of a checkpoint": lambda t: tg.grad(lambda x: np.sum(tg.checkpoint(operator.mul)(x, t)))(1.0),
    "result of a checkpoint": lambda t: tg.grad(lambda x: np.sum(x * tg.checkpoint(lambda x: t)(x)))(1.0),
    "tree.map": lambda t: tg.tree.map(np.sin, [t]),
    "ravel_pytree": lambda t: tg.flatten_util.ravel_pytree([t]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_value_used_after_its_transform(use):
    hows = (lambda x: x, lambda x: x + 1.0, lambda x: x * 3.0)
    for transform, x, how in itertools.product(TRANSFORMS.values(), (2.0, A), hows):
        value = leaked(transform, x, how)
        with pytest.raises(EscapedTracerError) as caught:
            use(value)
        names_the_call(caught.value, "(f)")
        assert caught.value.__traceback__.tb_next.tb_frame.f_code.co_filename == __file__


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_what_needs_no_derivative_works_on_a_value_that_has_escaped(transform):
    value = leaked(TRANSFORMS[transform], A)
    assert value.shape == np.shape(value) == (2,)
    assert (value.dtype, value.ndim, value.size, len(value)) == (np.float64, 1, 2, 2)
    assert np.array_equal(value > 1.0, [False, True])
    assert str(value) == str(A)
    assert "1., 2." in repr(value)
    assert np.array_equal(tg.stop_gradient(value), A)
    assert tg.is_tracer(value)
    assert np.array_equal(np.argmax(value), 1)


@pytest.mark.parametrize("dump", [pickle.dumps, lambda t: pickle.dumps([t], 0), lambda t: pickle.dumps({"a": (t,)})])
def test_no_traced_value_is_pickled(dump):
    with pytest.raises(ConversionError) as caught:
        dump(leaked(TRANSFORMS["grad"], A))
    three_lines(caught.value)
    with pytest.raises(ConversionError):
        tg.grad(lambda x: dump(x))(1.0)


@pytest.mark.parametrize("outer", TRANSFORMS)
def test_a_value_of_an_inner_transform_used_by_the_outer_one(outer):
    uses = ("argument of grad", "constant of a sibling", "constant of a sibling that reads forward", "result of vjp")

    def f(x):
        for inner in TRANSFORMS.values():
            value = leaked(inner, x)
            with pytest.raises(EscapedTracerError) as caught:
                value * x
            names_the_call(caught.value, "(f)")
            for use in uses:
                with pytest.raises(EscapedTracerError):
                    USES[use](value)
        return np.sum(x * 1.0)

    TRANSFORMS[outer](f, 2.0)


def test_a_value_of_an_outer_transform_in_a_pullback_that_outlives_it():
    kept = []

    def f(x):
        kept.append(tg.vjp(lambda y: y * y * x, 3.0)[1])
        kept.append(tg.linearize(lambda y: y * y * x, 3.0)[1])
        kept.append(tg.vjp(tg.checkpoint(lambda y: y * y * x), 3.0)[1])
        kept.append(tg.vjp(lambda y: y * 2.0, 3.0)[1])
        return x * kept[0](1.0)[0]

    assert tg.grad(f)(2.0) == 24.0
    for pullback in kept[:3]:
        with pytest.raises(EscapedTracerError) as caught:
            pullback(1.0)
        names_the_call(caught.value, "grad(f)")
        with pytest.raises(EscapedTracerError):
            tg.grad(lambda g, pullback=pullback: pullback(g))(1.0)
    assert kept[3](1.0) == (2.0,)


def test_a_value_in_another_thread():
    caught = []

    def work(use):
        try:
            use()
        except EscapedTracerError as error:
            caught.append(error)

    def in_thread(use):
        thread = threading.Thread(target=work, args=(use,))
        thread.start()
        thread.join()

    def f(x):
        in_thread(lambda: tg.grad(lambda y: y * y)(x))
        in_thread(lambda: tg.jvp(lambda y: y * x, (1.0,), (1.0,)))
        return x * 1.0

    tg.grad(f)(1.0)
    in_thread(lambda: leaked(TRANSFORMS["grad"], 1.0) * 2.0)
    assert len(caught) == 3
    for error in caught:
        three_lines(error)
    names_the_call(caught[2], "grad(f)")


def test_values_of_transforms_of_two_threads_meet():
    met, done = [], threading.Event()

    def f(x):
        def other():
            def g(y):
                try:
                    met.append(x * y)
                except EscapedTracerError as error:
                    met.append(error)
                return y * 1.0

            tg.grad(g)(2.0)
            done.set()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x * 1.0

    assert tg.grad(f)(1.0) == 1.0
    assert done.is_set()
    names_the_call(met[0], "grad(g)")
    names_the_call(met[0], "grad(f)")


# where values hide


@dataclass
class Box:
    value: object = None


def hide_in_default(x):
    def later(y, x=x):
        return y * x

    return lambda: later(2.0)


def hide_in_cache(x):
    @functools.lru_cache
    def made():
        return x * x

    made()
    return lambda: made() * 2.0


def hide_in_generator(x):
    def steps():
        yield x
        yield x * 2.0

    made = steps()
    next(made)
    return lambda: next(made)


def hide_in_exception(x):
    try:
        raise ValueError(x)
    except ValueError as error:
        kept = error
    return lambda: kept.args[0] * 2.0


def hide_in_global(x):
    globals()["HIDDEN"] = x
    return lambda: globals().pop("HIDDEN") * 2.0


HIDDEN_IN = {
    "list": lambda x: (lambda kept: lambda: kept[0] * 2.0)([x]),
    "dict": lambda x: (lambda kept: lambda: kept["a"] * 2.0)({"a": x}),
    "attribute": lambda x: (lambda kept: lambda: kept.value * 2.0)(Box(x)),
    "closure": lambda x: lambda: x * 2.0,
    "partial": lambda x: functools.partial(operator.mul, x, 2.0),
    "bound method": lambda x: functools.partial(x.__mul__, 2.0),
    "array of objects": lambda x: (lambda kept: lambda: kept[0] * 2.0)(_objects(x)),
    "default argument": hide_in_default,
    "lru_cache": hide_in_cache,
    "generator": hide_in_generator,
    "exception": hide_in_exception,
    "global": hide_in_global,
    "checkpoint": lambda x: lambda: tg.grad(tg.checkpoint(lambda y: y * x))(1.0),
    "derivative": lambda x: (lambda g: lambda: g(1.0))(tg.grad(lambda y: y * x)),
    "structure's leaves": lambda x: (lambda flat: lambda: flat[1].unflatten(flat[0])["a"] * 2.0)(tg.tree.flatten({"a": x})),
    "deep copy": lambda x: (lambda kept: lambda: kept["a"][0] * 2.0)(copy.deepcopy({"a": [x]})),
}


def _objects(x):
    kept = np.empty(1, object)
    kept[0] = x
    return kept


@pytest.mark.parametrize("hide", HIDDEN_IN.values(), ids=HIDDEN_IN)
@pytest.mark.parametrize("transform", ["grad", "jvp", "vjp"])
def test_a_value_that_hides(transform, hide):
    use = leaked(TRANSFORMS[transform], 2.0, hide)
    with pytest.raises(EscapedTracerError) as caught:
        use()
    names_the_call(caught.value, f"{transform}(f)")


def test_a_value_in_the_exception_that_ended_its_transform():
    def f(x):
        raise ValueError(x)

    with pytest.raises(ValueError) as caught:
        tg.grad(f)(2.0)
    with pytest.raises(EscapedTracerError, match=r"grad\(f\)"):
        caught.value.args[0] * 2.0


def test_values_in_aux_are_plain_in_containers_and_escape_in_other_objects():
    box = Box()

    def f(x):
        box.value = x * 2.0
        return x * x, {"a": [x, box], "b": (x * 3.0,)}

    _, aux = tg.grad(f, has_aux=True)(2.0)
    assert aux["a"][0] == 2.0
    assert aux["b"] == (6.0,)
    assert aux["a"][1] is box
    with pytest.raises(EscapedTracerError, match=r"grad\(f\)"):
        aux["a"][1].value * 2.0


def test_aux_that_is_changed_later_is_another_container():
    kept = []

    def f(x):
        kept.append([x])
        return x * x, kept[0]

    _, aux = tg.grad(f, has_aux=True)(2.0)
    assert aux == [2.0]
    assert aux is not kept[0]
    with pytest.raises(EscapedTracerError):
        kept[0][0] * 2.0


# rules


def rule_of(give):
    """A function with a custom rule, one for each kind, that gives or uses what `give()` does."""
    vjp = tg.custom_vjp(lambda x: x * 1.0)
    vjp.defvjp(lambda x: (x * 1.0, None), lambda _, g: (g * give(),))
    fwd = tg.custom_vjp(lambda x: x * 1.0)
    fwd.defvjp(lambda x: (x * give(), None), lambda _, g: (g,))
    residuals = tg.custom_vjp(lambda x: x * 1.0)
    residuals.defvjp(lambda x: (x * 1.0, [give()]), lambda r, g: (g * r[0],))
    result = tg.custom_vjp(lambda x: x * 1.0)
    result.defvjp(lambda x: (give(), None), lambda _, g: (g,))
    cotangent = tg.custom_vjp(lambda x: x * 1.0)
    cotangent.defvjp(lambda x: (x * 1.0, None), lambda _, g: (give(),))
    jvp = tg.custom_jvp(lambda x: x * 1.0)
    jvp.defjvp(lambda primals, tangents: (primals[0] * 1.0, tangents[0] * give()))
    primitive = tg.primitive(lambda x: x * 1.0)
    primitive.defvjp(0)(lambda g, _y, _x: g * give())
    returned = tg.primitive(lambda x: x * 1.0)
    returned.defvjp(0)(lambda g, _y, _x: give())
    forth = tg.primitive(lambda x: x * 1.0)
    forth.defjvp(0)(lambda t, _y, _x: t * give())
    names = ("bwd", "fwd", "residuals", "result", "cotangent", "custom_jvp", "rule", "what a rule returns", "rule forth")
    return dict(zip(names, (vjp, fwd, residuals, result, cotangent, jvp, primitive, returned, forth)))


RULES = list(rule_of(float))


@pytest.mark.parametrize("rule", RULES)
def test_a_value_that_has_escaped_in_a_rule(rule):
    value = leaked(TRANSFORMS["grad"], 2.0)
    with pytest.raises(EscapedTracerError) as caught:
        tg.grad(rule_of(lambda: value)[rule])(3.0)
    names_the_call(caught.value, "grad(f)")


@pytest.mark.parametrize("rule", RULES)
def test_a_value_that_has_escaped_in_a_rule_in_other_derivatives(rule):
    value = leaked(TRANSFORMS["grad"], 2.0)
    f = rule_of(lambda: value)[rule]
    with pytest.raises(EscapedTracerError) as caught:
        tg.grad(tg.grad(f))(3.0)
    names_the_call(caught.value, "grad(f)")
    with pytest.raises((EscapedTracerError, MissingRuleError)):  # a constant cotangent has no transpose
        tg.jvp(f, (3.0,), (1.0,))


@pytest.mark.parametrize("rule", RULES)
def test_a_value_of_a_call_in_its_rule_or_that_of_the_next(rule):
    kept = []
    made = rule_of(lambda: kept[0] if kept else 2.0)[rule]

    def f(x):
        y = made(x)
        kept.append(x)
        return y

    def twice():
        return [tg.grad(f)(3.0) for _ in range(2)]

    with pytest.raises(EscapedTracerError):  # a rule may not close over a value of its own call either
        twice()


# conversions: as NumPy would, or told

F, N = 2.0, np.array([3.0, 1.0, 2.0])

SAME = {
    "print": lambda x: print(x),
    "str": str,
    "format": lambda x: f"{x}",
    "bool": lambda x: bool(np.all(x > 0)),
    "less": lambda x: x < 2.5,
    "equal": lambda x: x == 2.0,
    "not equal": lambda x: x != 2.0,
    "equal to none": lambda x: x == None,  # noqa: E711
    "equal to a string": lambda x: x == "a",
    "is": lambda x: x is None,
    "shape": lambda x: (np.shape(x), np.ndim(x), np.size(x)),
    "iscomplexobj": np.iscomplexobj,
    "result_type": np.result_type,
    "sign": np.sign,
    "floor": np.floor,
    "argmax": np.argmax,
    "isfinite": np.isfinite,
    "floor division": lambda x: x // 2,
    "all": lambda x: np.all(x),
}
SAME_OF_NUMBERS = {
    "format to two digits": lambda x: f"{x:.2f}",
    "truth": bool,
    "between": lambda x: 1 < x < 3,
    "in": lambda x: x in [1.0, 2.0],
    "not in": lambda x: x not in (1.0, 3.0),
    "and": lambda x: x and 1.0,
    "index in a list": lambda x: [1.0, 2.0].index(x),
    "count": lambda x: [1.0, 2.0].count(x),
}
DIFFERENTIATED = {
    "sum": lambda x: sum([x, x]),
    "max": lambda x: max(x, 1.0),
    "max of a list": lambda x: max([x, 2 * x]),
    "min": lambda x: min([x, 2 * x]),
    "sorted": lambda x: sorted([5.0, x, 1.0])[1] * x,
    "power": lambda x: 3**x,
    "power of a float": lambda x: 3.0**x,
    "power of a scalar": lambda x: np.float64(3.0) ** x,
    "divmod": lambda x: divmod(x, 1.5)[1],
    "divmod of a number": lambda x: divmod(7.0, x)[1],
    "modulo": lambda x: x % 1.5,
    "abs": abs,
    "median": lambda x: statistics.median([x, 3 * x, 0.0]),
    "math.prod": lambda x: math.prod([x, x]),
    "reduce": lambda x: functools.reduce(operator.mul, [x, x, x]),
}
OF_ARRAYS = {
    "iteration": lambda x: sum([v * v for v in x]),
    "unpacking": lambda x: (lambda a, b, c: a * b - c)(*x),
    "starred": lambda x: (lambda a, *rest: a * rest[0] * rest[1])(*x),
    "reversed": lambda x: [v * k for k, v in enumerate(reversed(x))][1],
    "zip": lambda x: sum([a * b for a, b in zip(x, x)]),
    "map": lambda x: sum(map(abs, x)),
    "sum of an array": sum,
    "max of an array": lambda x: max(x) * 2,
    "sorted array": lambda x: sorted(x)[1] * 2,
    "len": lambda x: x[0] * len(x),
}
CUT = {
    "float": float,
    "int": int,
    "complex": complex,
    "round": round,
    "round to digits": lambda x: round(x, 2),
    "math.sin": math.sin,
    "math.floor": math.floor,
    "math.ceil": math.ceil,
    "math.trunc": math.trunc,
    "math.isnan": math.isnan,
    "math.hypot": lambda x: math.hypot(x, 1.0),
    "math.fsum": lambda x: math.fsum([x, 1.0]),
    "operator.index": operator.index,
    "range": range,
    "list index": lambda x: [1, 2, 3][x],
    "asarray": np.asarray,
    "array": np.array,
    "array of a list": lambda x: np.array([x]),
    "float64": np.float64,
    "float32": np.float32,
    "statistics.fmean": lambda x: statistics.fmean([x, x]),
    "percent": lambda x: "%.2f" % x,  # noqa: UP031
    "chr": chr,
    "hex": hex,
    "tobytes": lambda x: x.tobytes(),
    "pickle": pickle.dumps,
}
NOT_TOLD = {
    "statistics.mean": lambda x: statistics.mean([x, x]),
    "bytes": bytes,
    "hash": hash,
    "set": lambda x: {x},
    "key": lambda x: {x: 1},
    "lru_cache": functools.lru_cache(lambda x: x * x),
}


def seen(use, x):
    """What `use` gives of a traced value."""
    found = []
    tg.grad(lambda x: (found.append(use(x)), np.sum(x * 1.0))[1])(x)
    return found[0]


@pytest.mark.parametrize("use", SAME.values(), ids=SAME)
def test_what_carries_no_derivative_is_as_of_a_plain_value(use, capsys):
    for x in (F, np.float64(2.0), N):
        made, want = seen(use, x), use(x)
        assert not tg.is_tracer(made)
        np.testing.assert_equal(made, want)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == lines[1::2]


@pytest.mark.parametrize("use", SAME_OF_NUMBERS.values(), ids=SAME_OF_NUMBERS)
def test_what_carries_no_derivative_of_a_number_is_as_of_a_plain_one(use):
    for x in (F, np.float64(2.0)):
        assert seen(use, x) == use(x)


@pytest.mark.parametrize("use", DIFFERENTIATED.values(), ids=DIFFERENTIATED)
def test_what_python_does_with_numbers_is_differentiated(use):
    for x in (F, np.float64(2.0)):
        made = seen(use, x)
        assert float(str(made)) == float(use(x))
        assert tg.grad(use)(x) == pytest.approx((use(x + 1e-6) - use(x - 1e-6)) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("use", OF_ARRAYS.values(), ids=OF_ARRAYS)
def test_what_python_does_with_sequences_is_differentiated(use):
    want = [(use(N + 1e-6 * e) - use(N - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
    np.testing.assert_allclose(tg.grad(use)(N), want, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "use",
    [
        *[pytest.param(use, id=name) for name, use in CUT.items()],
        *[pytest.param(use, id=name) for name, use in NOT_TOLD.items()],
    ],
)
def test_what_would_cut_the_derivative_is_told(use):
    for x in (F, np.float64(2.0)):
        with pytest.raises(TypeError) as caught:
            tg.grad(lambda x: use(x) and x)(x)
        if not isinstance(caught.value, ConversionError):
            raise caught.value
        three_lines(caught.value)
        assert "stop_gradient" in str(caught.value)


def test_nothing_is_in_a_number():
    with pytest.raises(TypeError):
        tg.grad(lambda x: x * (1.0 in x))(1.0)


def test_a_number_is_no_sequence():
    for use in (list, len, lambda x: (lambda a, b: a)(*x), lambda x: list(reversed(x))):
        with pytest.raises(TypeError):
            tg.grad(lambda x, use=use: use(x))(1.0)


def test_a_traced_value_is_no_array_and_no_float():
    def f(x):
        assert tg.is_tracer(x)
        assert not isinstance(x, np.ndarray)
        assert not isinstance(x, float)
        return np.sum(x)

    tg.grad(f)(N)
    tg.grad(f)(F)
    assert not any(tg.is_tracer(x) for x in (F, N, None, "x", [F]))


def test_an_error_goes_through_a_pickle_without_what_it_is_about():
    with pytest.raises(EscapedTracerError) as caught:
        leaked(TRANSFORMS["grad"], 2.0) * 2
    caught.value.add_note("a note")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.__notes__) == (EscapedTracerError, str(caught.value), ["a note"])


def test_conversions_of_what_has_escaped_tell_that():
    for convert in (float, np.asarray, int, hash, lambda x: x.tobytes()):
        with pytest.raises(EscapedTracerError) as caught:
            convert(leaked(TRANSFORMS["grad"], 2.0))
        names_the_call(caught.value, "grad(f)")
