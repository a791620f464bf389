"""Bad calls: each raises an error of ours that names what was wrong, what there is, and what to type instead.

A row of a table is one case. `expect` looks at the type of the error and at the lines of its message; where a line is
left out, there has to be one all the same.
"""

import dataclasses
import datetime
import gc
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad import tree
from tapegrad.errors import (
    ArgnumsError,
    AssignmentError,
    ConversionError,
    CotangentError,
    InputError,
    MissingRuleError,
    OutputError,
    PrimitiveError,
    RuleError,
    TangentError,
    TapegradError,
    TreeError,
)
from tapegrad.flatten_util import ravel_pytree
from tapegrad.tracer import Tracer

V = np.array([1.0, 2.0])
M = np.arange(6.0).reshape(2, 3)


class Unit(np.ndarray):
    """A subclass of ndarray, as other libraries have them."""


class Celsius(float):
    """A subclass of float."""


def unit(*values):
    return np.array(values).view(Unit)


def matrix(values):
    return np.atleast_2d(values).view(np.matrix)  # whose own call warns


def series():
    return pytest.importorskip("pandas").Series([1.0, 2.0])


def frame():
    return pytest.importorskip("pandas").DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


def extension():
    return pytest.importorskip("pandas").array([1.0, 2.0])


def index():
    return pytest.importorskip("pandas").Index([1.0, 2.0])


def sparse(kind):
    return getattr(pytest.importorskip("scipy.sparse"), kind)(np.eye(2))


def csr():
    return sparse("csr_array")


def coo():
    return sparse("coo_array")


def spmatrix():
    return sparse("csr_matrix")


def outcome(call):
    """What a call gives, or the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return error


def expect(error, call, first=None, there=None, hint=None):
    """The call raises this very type, with these lines."""
    with pytest.raises(TapegradError) as caught:
        call()
    assert type(caught.value) is error, repr(caught.value)
    three_lines(caught.value)
    lines = str(caught.value).splitlines()
    if first is not None:
        assert lines[0] == first
    if there is not None:
        assert lines[1] == f"  {there}"
    if hint is not None:
        assert lines[2] == f"  hint: {hint}"


def of(value):
    """The value of a row: what a function without arguments makes, so that a row costs nothing to collect."""
    return (
        value() if isinstance(value, type(of)) and value.__module__ == __name__ and value.__name__ in MAKERS else value
    )


def named(value):
    """A class of another library, whose modules move from version to version."""
    return f"a {type(value).__module__}.{type(value).__qualname__}"


MAKERS = ("series", "frame", "extension", "index", "csr", "coo", "spmatrix")


# --- what is to be a function ---------------------------------------------------------------------------------

TRANSFORMS = {
    "grad": tg.grad,
    "value_and_grad": tg.value_and_grad,
    "jacrev": tg.jacrev,
    "jacfwd": tg.jacfwd,
    "jacobian": tg.jacobian,
    "hessian": tg.hessian,
    "hvp": tg.hvp,
    "gnvp": tg.gnvp,
    "elementwise_grad": tg.elementwise_grad,
    "checkpoint": tg.checkpoint,
    "trace": tg.trace,
    "custom_vjp": tg.custom_vjp,
    "custom_jvp": tg.custom_jvp,
    "vjp": lambda fun: tg.vjp(fun, 1.0),
    "linearize": lambda fun: tg.linearize(fun, 1.0),
    "jvp": lambda fun: tg.jvp(fun, (1.0,), (1.0,)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(
    ("fun", "shown", "kind"), [(3.0, "3.0", "float"), (None, "None", "NoneType"), ("f", "'f'", "str")]
)
def test_what_is_no_function(name, fun, shown, kind):
    expect(
        InputError,
        lambda: TRANSFORMS[name](fun),
        f"{name} needs a function, and got {shown}",
        f"it is a {kind}, which cannot be called",
        f"write {name}(f)(x) with f a function of x",
    )


def test_a_loss_that_is_no_function():
    expect(InputError, lambda: tg.gnvp(np.sin, 3.0), "gnvp needs a function, and got 3.0")


@pytest.mark.parametrize("fun", [3.0, "f", V])
def test_a_primitive_of_what_is_no_function(fun):
    kind = type(fun).__name__
    expect(PrimitiveError, lambda: tg.primitive(fun), f"primitive needs a function, and got a {kind}")


# --- argnums --------------------------------------------------------------------------------------------------

BY_ARGNUMS = [
    "grad", "value_and_grad", "jacrev", "jacfwd", "jacobian", "hessian", "hvp", "gnvp", "elementwise_grad"
]  # fmt: skip
NO_ARGNUMS = [
    True, np.True_, "x", "", b"0", 0.0, None, {}, {0: 1}, {0}, frozenset([0]), Decimal(0),
    np.array(0.5), np.array([0.0]), [[0]], (0, "x"), (0, None), (0, True), (0, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("argnums", NO_ARGNUMS, ids=repr)
def test_argnums_that_are_no_positions(argnums):
    for name in BY_ARGNUMS:
        expect(
            ArgnumsError,
            lambda name=name: getattr(tg, name)(lambda x: x, argnums=argnums),
            f"{name} got argnums={argnums!r}",
            "argnums is the position of an argument, or a sequence of positions",
            f"write argnums=0 or argnums=(0, 1), and f's own arguments in brackets of their own: {name}(f)(x)",
        )


@pytest.mark.parametrize("argnums", [np.int64(1), (1,), [1], np.array([1]), range(1, 2), -1])
def test_argnums_that_are_positions(argnums):
    assert np.ravel(tg.grad(lambda x, y: x * y, argnums)(2.0, 3.0)) == [2.0]


def times(x, y):
    return x * y


@pytest.mark.parametrize("name", BY_ARGNUMS)
@pytest.mark.parametrize(
    ("argnums", "twice"),
    [(2, ""), (-3, ""), ((0, 5), ""), ((0, 0), "twice"), ((1, -1), "twice")],
)
def test_argnums_out_of_range_or_repeated(name, argnums, twice):
    vector = (1.0,) * (name in ("hvp", "gnvp"))
    expect(
        ArgnumsError,
        lambda: getattr(tg, name)(times, argnums=argnums)(2.0, 3.0, *vector),
        f"{name}(times) got argnums={argnums!r}" + (", which names an argument twice" if twice else ""),
        "the function was called with 2 positional arguments",
        "choose from -2 to 1" + (", each argument once" if twice else ""),
    )


@pytest.mark.parametrize("name", [name for name in BY_ARGNUMS if name not in ("hvp", "gnvp", "hessian")])
def test_an_argument_by_keyword(name):
    """is found where the signature tells its position, and else the error says what to write."""

    def last(made):
        return made[-1] if name == "value_and_grad" else made

    transform = getattr(tg, name)
    assert last(transform(times)(x=2.0, y=3.0)) == 3.0
    assert last(transform(times, 1)(2.0, y=3.0)) == 2.0
    expect(
        ArgnumsError,
        lambda: transform(lambda **words: words["x"])(x=2.0),
        f"{name}(<lambda>) got argnums=0",
        "the function was called with 0 positional arguments, and with x by keyword",
        "pass what to differentiate by by position, or write a lambda that does: lambda x: f(..., x=x)",
    )
    expect(
        ArgnumsError,
        lambda: transform(lambda a, *, x: a * x, 1)(1.0, x=2.0),
        f"{name}(<lambda>) got argnums=1",
        "the function was called with 1 positional argument, and with x by keyword",
    )
    expect(
        ArgnumsError,
        lambda: transform(times)(),
        f"{name}(times) got argnums=0",
        "the function was called with 0 positional arguments",
        "pass what to differentiate by by position",
    )


@pytest.mark.parametrize("name", ["hvp", "gnvp"])
def test_products_without_a_vector(name):
    transform = getattr(tg, name)
    for args in ((), (1.0,)):
        expect(
            InputError,
            lambda args=args: transform(np.sin)(*args),
            f"{name}(sin) got {len(args)} argument{'s' * (not args)}",
            "it takes those of the function, and then the vector",
            f"write {name}(sin)(x, v)",
        )
    expect(
        TangentError,
        lambda: transform(times, argnums=(0, 1))(1.0, 1.0, 2.0),
        f"{name}(times) got a float for its vector",
    )
    expect(TangentError, lambda: transform(times, argnums=(0, 1))(1.0, 1.0, (2.0,)), f"{name}(times) got 1 tangent")


# --- what cannot be differentiated by -------------------------------------------------------------------------

DTYPE = "what can vary continuously has a dtype of floats or complex numbers"
SUBCLASS = "subclasses of ndarray lose what makes them special, or the derivative"
NESTS = (
    "what can be differentiated by: floats, complex numbers, arrays of them, and nests of these "
    "(list, tuple, dict, None, registered classes)"
)
HOLD = "or hold it constant, by argnums or in a lambda"
REGISTER = f"register a class with tapegrad.tree.register_dataclass or register_node, {HOLD}"

# fmt: off
ODD = {  # value, what it is (None: of its class), what there is, what to pass
    "integers":    (np.arange(3), "it has dtype int64", f"shape (3,); {DTYPE}", f"pass params.astype(float), {HOLD}"),
    "unsigned":    (np.uint8([1]), "it has dtype uint8", f"shape (1,); {DTYPE}", f"pass params.astype(float), {HOLD}"),
    "booleans":    (np.array([True]), "it has dtype bool", f"shape (1,); {DTYPE}", f"pass params.astype(float), {HOLD}"),
    "np.bool":     (np.True_, "it has dtype bool", f"shape (); {DTYPE}", f"pass params.astype(float), {HOLD}"),
    "np.int64":    (np.int64(3), "it has dtype int64", f"shape (); {DTYPE}", f"pass params.astype(float), {HOLD}"),
    "objects":     (np.array([1.0, None]), "it has dtype object", f"shape (2,); {DTYPE}", f"pass params.astype(float), {HOLD}"),
    "structured":  (np.zeros(2, [("a", float)]), "it has dtype [('a', '<f8')]", f"shape (2,); {DTYPE}", f"pass params['a'], {HOLD}"),
    "dates":       (np.array(["2020-01-01"], "M8[D]"), "it has dtype datetime64[D]", f"shape (1,); {DTYPE}", f"pass numbers as an array of floats, {HOLD}"),
    "timedelta":   (np.timedelta64(1, "D"), "it has dtype timedelta64[D]", f"shape (); {DTYPE}", f"pass numbers as an array of floats, {HOLD}"),
    "strings":     (np.array(["a"]), "it has dtype <U1", f"shape (1,); {DTYPE}", f"pass numbers as an array of floats, {HOLD}"),
    "masked":      (np.ma.array([1.0, 2.0], mask=[0, 1]), None, SUBCLASS, "pass a plain array: params.filled(value)"),
    "matrix":      (matrix([[1.0]]), None, SUBCLASS, "pass a plain array: numpy.asarray(params)"),
    "subclass":    (unit(1.0, 2.0), f"it is a {__name__}.Unit", SUBCLASS, "pass a plain array: numpy.asarray(params)"),
    "records":     (np.rec.array([(1.0,)], dtype=[("a", float)]), None, SUBCLASS, "pass a plain array: params['a']"),
    "Series":      (series, None, NESTS, f"pass params.to_numpy(), {HOLD}"),
    "DataFrame":   (frame, None, NESTS, f"pass params.to_numpy(), {HOLD}"),
    "Index":       (index, None, NESTS, f"pass params.to_numpy(), {HOLD}"),
    "extension":   (extension, None, NESTS, f"pass params.to_numpy(), {HOLD}"),
    "csr_array":   (csr, None, NESTS, f"pass params.toarray(), {HOLD}"),
    "coo_array":   (coo, None, NESTS, f"pass params.toarray(), {HOLD}"),
    "csr_matrix":  (spmatrix, None, NESTS, f"pass params.toarray(), {HOLD}"),
    "bool":        (True, "it is a bool", NESTS, f"pass float(params), {HOLD}"),
    "Decimal":     (Decimal(1), "it is a decimal.Decimal", NESTS, f"pass float(params), {HOLD}"),
    "Fraction":    (Fraction(1, 2), "it is a fractions.Fraction", NESTS, f"pass float(params), {HOLD}"),
    "float class": (Celsius(1.0), f"it is a {__name__}.Celsius", NESTS, f"pass float(params), {HOLD}"),
    "set":         ({1.0}, "it is a set", NESTS, f"pass list(params), {HOLD}"),
    "frozenset":   (frozenset([1.0]), "it is a frozenset", NESTS, f"pass list(params), {HOLD}"),
    "generator":   ((k for k in V), "it is a generator", NESTS, f"pass list(params), {HOLD}"),
    "range":       (range(3), "it is a range", NESTS, f"pass list(params), {HOLD}"),
    "dict view":   ({1: 2.0}.values(), "it is a dict_values", NESTS, f"pass list(params), {HOLD}"),
    "memoryview":  (memoryview(V), "it is a memoryview", NESTS, f"pass numpy.asarray(params), {HOLD}"),
    "str":         ("x", "it is a str", NESTS, REGISTER),
    "bytes":       (b"x", "it is a bytes", NESTS, REGISTER),
    "function":    (times, "it is a function", NESTS, REGISTER),
    "class":       (float, "it is a type", NESTS, REGISTER),
    "object":      (object(), "it is an object", NESTS, REGISTER),
    "date":        (datetime.date(2020, 1, 1), "it is a datetime.date", NESTS, REGISTER),
    "ellipsis":    (..., "it is an ellipsis", NESTS, REGISTER),
}
# fmt: on

DIFFERENTIATED = {
    "grad": lambda f, x: tg.grad(f)(x),
    "value_and_grad": lambda f, x: tg.value_and_grad(f)(x),
    "jacrev": lambda f, x: tg.jacrev(f)(x),
    "jacfwd": lambda f, x: tg.jacfwd(f)(x),
    "jacobian": lambda f, x: tg.jacobian(f)(x),
    "hessian": lambda f, x: tg.hessian(f)(x),
    "hvp": lambda f, x: tg.hvp(f)(x, x),
    "gnvp": lambda f, x: tg.gnvp(f)(x, x),
    "elementwise_grad": lambda f, x: tg.elementwise_grad(f)(x),
    "vjp": lambda f, x: tg.vjp(f, x),
    "jvp": lambda f, x: tg.jvp(f, (x,), (x,)),
    "linearize": lambda f, x: tg.linearize(f, x),
}


def loss(params):
    return 1.0


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_vary(name):
    value, is_a, there, hint = ODD[name]
    value = of(value)
    is_a = is_a or f"it is {named(value)}"
    for kind, call in DIFFERENTIATED.items():
        first = f"{kind}(loss) cannot differentiate by params: {is_a}"
        expect(InputError, lambda call=call: call(loss, value), first, there, hint)


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_vary_in_a_tree(name):
    value, is_a, there, hint = ODD[name]
    value, hint = of(value), hint.replace("params", "params['layers'][2]")
    is_a = is_a or f"it is {named(value)}"
    for kind, call in DIFFERENTIATED.items():
        first = f"{kind}(loss) cannot differentiate by params['layers'][2]: {is_a}"
        expect(InputError, lambda call=call: call(loss, {"layers": [1.0, V, value]}), first, there, hint)


@pytest.mark.parametrize("value", [[], {}, (), None, [[], {"a": None}]], ids=repr)
def test_trees_without_leaves_are_no_error(value):
    for kind in ("grad", "elementwise_grad", "jacrev"):
        assert tree.leaves(DIFFERENTIATED[kind](loss, value)) == []


@tree.register_dataclass
@dataclasses.dataclass
class Layer:
    w: object
    b: object


class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b


tree.register_node(Pair, lambda x: ((x.a, x.b), None), lambda _, children: Pair(*children))


class Net:
    def loss(self, params, data):
        return 1.0

    def __call__(self, params):
        return 1.0


I = np.arange(2)
# fmt: off
NAMES = {  # function, arguments, argnums, path, what to pass
    "parameter":      (lambda w, x: 1.0, (I, 1.0), 0, "w", "w.astype(float)"),
    "second":         (lambda w, x: 1.0, (1.0, I), 1, "x", "x.astype(float)"),
    "last":           (lambda w, x: 1.0, (1.0, I), -1, "x", "x.astype(float)"),
    "dataclass":      (lambda params: 1.0, ({"layers": [1.0, 2.0, Layer(I, 1.0)]},), 0, "params['layers'][2].w", "params['layers'][2].w.astype(float)"),
    "default":        (lambda x, y=1.0: 1.0, (1.0, I), 1, "y", "y.astype(float)"),
    "positional":     (lambda x, /: 1.0, (I,), 0, "x", "x.astype(float)"),
    "method":         (Net().loss, (I, 1.0), 0, "params", "params.astype(float)"),
    "callable":       (Net(), (I,), 0, "params", "params.astype(float)"),
    "partial":        (__import__("functools").partial(Net().loss, data=1.0), ([I],), 0, "params[0]", "params[0].astype(float)"),
    "star":           (lambda *args: 1.0, (1.0, I), 1, "argument 1", "x.astype(float)"),
    "star in a tree": (lambda *args: 1.0, ({"w": (I,)},), 0, "argument 0['w'][0]", "x['w'][0].astype(float)"),
    "built-in":       (max, ([1.0, I], 1.0), 0, "argument 0[1]", "x[1].astype(float)"),
    "no attributes":  (lambda p: 1.0, (Pair(1.0, I),), 0, "p[<flat index 1>]", "x.astype(float)"),
    "grad of grad":   (tg.grad(lambda w: 1.0), (I,), 0, "w", "w.astype(float)"),
    "checkpoint":     (tg.checkpoint(lambda w: 1.0), (I,), 0, "w", "w.astype(float)"),
}
# fmt: on


@pytest.mark.parametrize("name", NAMES)
def test_a_leaf_is_called_as_in_the_code(name):
    fun, args, argnums, path, instead = NAMES[name]
    with pytest.raises(InputError, match="cannot differentiate by") as caught:
        tg.jacobian(fun, argnums)(*args)
    three_lines(caught.value)
    first, _, hint = str(caught.value).splitlines()
    assert f" cannot differentiate by {path}: it has dtype int64" in first
    assert hint == f"  hint: pass {instead}, {HOLD}"


def test_a_huge_tree():
    params = {"w": [1.0] * 100_000 + [I]}
    expect(
        InputError,
        lambda: tg.grad(loss)(params),
        "grad(loss) cannot differentiate by params['w'][100000]: it has dtype int64",
    )
    assert tree.all(tg.grad(lambda params: params["w"][7] * 2.0)({"w": [1.0] * 100_000})["w"][7] == 2.0)


# --- odd constants that meet a traced value -------------------------------------------------------------------

# fmt: off
OPERATIONS = {
    "x + c": lambda x, c: x + c,      "c + x": lambda x, c: c + x,
    "x - c": lambda x, c: x - c,      "c - x": lambda x, c: c - x,
    "x * c": lambda x, c: x * c,      "c * x": lambda x, c: c * x,
    "x / c": lambda x, c: x / c,      "c / x": lambda x, c: c / x,
    "x @ c": lambda x, c: x @ c,      "c @ x": lambda x, c: c @ x,
    "x ** c": lambda x, c: x**c,      "c ** x": lambda x, c: c**x,
    "add": np.add,                    "multiply": np.multiply,
    "maximum": np.maximum,            "hypot": np.hypot,
    "dot": np.dot,                    "dot reversed": lambda x, c: np.dot(c, x),
    "matmul": np.matmul,              "outer": np.outer,
    "inner": np.inner,                "outer reversed": lambda x, c: np.outer(c, x),
    "concatenate": lambda x, c: np.concatenate([x, c]),
    "stack": lambda x, c: np.stack([c, x]),
    "hstack": lambda x, c: np.hstack([x, c]),
}
CONSTANTS = {  # value, and what an error of ours calls it: what its own operators do with a tracer is another matter
    "None": None, "str": "x", "bytes": b"x", "set": {1.0}, "dict": {"a": 1.0}, "function": times, "class": float,
    "object": object(), "generator": (k for k in V), "Decimal": Decimal(2), "Fraction": Fraction(1, 2),
    "range": range(2), "list": [1.0, 2.0], "tuple": (1.0, 2.0), "list of None": [1.0, None], "strings": ["a", "b"],
    "dates": np.array(["2020", "2021"], "M8[Y]"), "structured": np.zeros(2, [("a", float)]),
    "masked": np.ma.array([1.0, 2.0], mask=[0, 1]), "matrix": matrix([[1.0, 2.0], [3.0, 4.0]]),
    "subclass": unit(1.0, 2.0), "records": np.rec.array([(1.0,), (2.0,)], dtype=[("a", float)]),
    "Series": series, "extension": extension, "Index": index, "csr_array": csr, "coo_array": coo,
    "csr_matrix": spmatrix, "DataFrame": frame, "memoryview": memoryview(V), "float class": Celsius(2.0),
}
# fmt: on


def holds_tracers(x):
    if isinstance(x, np.ndarray):
        return x.dtype == object and any(isinstance(v, Tracer) for v in x.flat)
    return isinstance(x, (list, tuple, set)) and any(isinstance(v, Tracer) for v in x)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("constant", CONSTANTS)
def test_an_odd_constant_is_right_or_an_error(constant, operation):
    """Where NumPy has no value there is an error; where it has one it comes with its derivative, or an error says why."""
    c, operate = of(CONSTANTS[constant]), OPERATIONS[operation]
    plain = outcome(lambda: operate(V, c))
    seen = []

    def f(x):
        seen.append(operate(x, c))
        return np.sum(seen[0])

    made = outcome(lambda: tg.grad(f)(V))
    if isinstance(made, Exception):
        if isinstance(made, TapegradError):
            three_lines(made)
        else:
            assert isinstance(made, (TypeError, ValueError, type(plain))), repr(made)
        return
    if not isinstance(c, Fraction):  # a real number, whatever NumPy makes of its objects
        assert not isinstance(plain, Exception), (plain, seen)
    assert isinstance(seen[0], Tracer), seen  # or the derivative would be lost
    assert type(seen[0]._value) in (np.ndarray, np.float64, float)
    number = float if isinstance(c, (Fraction, Celsius)) else np.asarray
    np.testing.assert_allclose(np.asarray(seen[0]._value, float), operate(V, number(c)))
    np.testing.assert_allclose(made, tg.grad(lambda x: np.sum(operate(x, number(c))))(V))


# fmt: off
REFUSED = {  # value, its name (None: that of its class), what to pass
    "masked":     (np.ma.array([1.0, 2.0]), None, "x.filled(value)"),
    "matrix":     (matrix([[1.0, 2.0]]), None, "numpy.asarray(x)"),
    "subclass":   (unit(1.0, 2.0), f"a {__name__}.Unit", "numpy.asarray(x)"),
    "records":    (np.rec.array([(1.0,)], dtype=[("a", float)]), None, "x['a']"),
    "Series":     (series, None, "x.to_numpy()"),
    "extension":  (extension, None, "x.to_numpy()"),
    "DataFrame":  (frame, None, "x.to_numpy()"),
    "csr_array":  (csr, None, "x.toarray()"),
    "csr_matrix": (spmatrix, None, "x.toarray()"),
}
# fmt: on


@pytest.mark.parametrize(
    "operation", ["x + c", "x * c", "x / c", "x @ c", "dot", "inner", "outer", "concatenate", "stack"]
)
@pytest.mark.parametrize("name", REFUSED)
def test_the_error_says_how_to_make_a_plain_array(name, operation):
    value, is_a, instead = REFUSED[name]
    value = of(value)
    is_a = is_a or named(value)
    expect(
        PrimitiveError,
        lambda: tg.grad(lambda x: np.sum(OPERATIONS[operation](x, value)))(V),
        f"a traced value met {is_a}",
        "what this class does differently from a plain array has no derivative rule",
        f"pass a plain array: {instead}",
    )


@pytest.mark.parametrize("operation", ["dot", "inner", "outer", "concatenate", "stack", "hstack"])
def test_arrays_of_objects(operation):
    expect(
        PrimitiveError,
        lambda: tg.grad(lambda x: np.sum(OPERATIONS[operation](x, np.array([1.0, 2.0], object))))(V),
        "a traced value met an array of objects",
        "shape (2,), dtype object: what its elements do has no derivative rule",
        "pass an array of numbers: x.astype(float)",
    )


# --- what a function returns ----------------------------------------------------------------------------------


async def coroutine(x):
    return x * x


def generator(x):
    yield x * x


# fmt: off
OUTPUTS = {  # function, the name of what it returns for the transforms of many numbers
    "str":       (lambda x: "a", "str"),
    "generator": (generator, "generator"),
    "object":    (lambda x: object(), "object"),
    "set":       (lambda x: {1.0}, "set"),
    "function":  (lambda x: lambda: x, "function"),
    "class":     (lambda x: float, "type"),
    "Decimal":   (lambda x: Decimal(1), "Decimal"),
    "objects":   (lambda x: np.array([None]), "shape (1,), dtype object"),
    "strings":   (lambda x: np.array(["a"]), "shape (1,), dtype <U1"),
    "date":      (lambda x: np.datetime64("2020"), "shape (), dtype datetime64[Y]"),
    "masked":    (lambda x: np.ma.array([1.0]), ".MaskedArray"),
    "subclass":  (lambda x: unit(1.0), f"a {__name__}.Unit"),
    "Series":    (lambda x: series(), ".Series"),
    "sparse":    (lambda x: csr(), ".csr_array"),
}
# fmt: on
MANY = [kind for kind in DIFFERENTIATED if kind not in ("grad", "value_and_grad", "hvp", "hessian")]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_result_that_is_no_number(name):
    fun, what = OUTPUTS[name]
    title = fun.__name__
    for kind in ("grad", "value_and_grad"):
        expect(OutputError, lambda kind=kind: DIFFERENTIATED[kind](fun, 2.0))
    for kind in MANY:
        with pytest.raises(OutputError) as caught:
            DIFFERENTIATED[kind](fun, 2.0)
        three_lines(caught.value)
        first = f"{kind}({title}) needs a function that returns numbers or arrays of them; this one returned "
        assert str(caught.value).startswith(first)
        assert str(caught.value).splitlines()[0].endswith(what)


# fmt: off
ONE = {  # function, first line, hint
    "None":    (lambda x: None, "returns one real number; this one returned NoneType", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "tuple":   (lambda x: (x, x), "returns one real number; this one returned tuple", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "list":    (lambda x: [x], "returns one real number; this one returned list", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "dict":    (lambda x: {"a": x}, "returns one real number; this one returned dict", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "int":     (lambda x: 3, "returns one real number; this one returned int", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "bool":    (lambda x: x > 0, "returns one real number; this one returned bool", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "np.int":  (lambda x: np.int64(3), "returns one real number; this one returned shape (), dtype int64", "return a float: for several results use has_aux=True or tapegrad.vjp"),
    "vector":  (lambda x: x * V, "returns one number; this one returned shape (2,), dtype float64", "sum the result, or use tapegrad.vjp"),
    "of one":  (lambda x: x * np.ones(1), "returns one number; this one returned shape (1,), dtype float64", "sum the result, or use tapegrad.vjp"),
    "complex": (lambda x: x * 1j, "returns a real number; this one returned shape (), dtype complex128", "take numpy.real or numpy.abs of the result; holomorphic=True if f is complex-differentiable"),
}
# fmt: on


@pytest.mark.parametrize("kind", ["grad", "value_and_grad"])
@pytest.mark.parametrize("name", ONE)
def test_a_result_that_is_not_one_number(name, kind):
    fun, what, hint = ONE[name]
    expect(
        OutputError, lambda: getattr(tg, kind)(fun)(2.0), f"{kind}(<lambda>) needs a function that {what}", hint=hint
    )


@pytest.mark.parametrize("kind", ["jacrev", "jacfwd", "jacobian", "hessian", "gnvp", "elementwise_grad"])
@pytest.mark.parametrize("result", [3, True, np.int64(1), np.arange(2)], ids=repr)
def test_a_result_that_cannot_vary(kind, result):
    what = f"shape {result.shape}, dtype {result.dtype}" if hasattr(result, "shape") else type(result).__name__
    first = f"{kind}(<lambda>) needs a function that returns real numbers; this one returned {what}"
    expect(OutputError, lambda: DIFFERENTIATED[kind](lambda x: result, 2.0), first)


ASYNC = {
    **{kind: call for kind, call in DIFFERENTIATED.items() if kind not in ("hvp", "hessian")},
    "trace": lambda f, x: tg.trace(f)(x),
    "grad with aux": lambda f, x: tg.grad(f, has_aux=True)(x),
    "vjp with aux": lambda f, x: tg.vjp(f, x, has_aux=True),
    "jvp with aux": lambda f, x: tg.jvp(f, (x,), (x,), has_aux=True),
    "grad of checkpoint": lambda f, x: tg.grad(tg.checkpoint(f))(x),
}


@pytest.mark.parametrize("kind", ASYNC)
def test_an_async_function(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that nobody awaited it
        expect(
            OutputError,
            lambda: ASYNC[kind](coroutine, 2.0),
            f"{kind.split()[0]}(coroutine) needs a function that computes; this one is async and returned a coroutine",
            "nothing in it has run",
            "await what it needs outside, and pass that to a function made with def or lambda",
        )
        gc.collect()


AUX = {
    "grad": lambda f: tg.grad(f, has_aux=True)(2.0),
    "value_and_grad": lambda f: tg.value_and_grad(f, has_aux=True)(2.0),
    "vjp": lambda f: tg.vjp(f, 2.0, has_aux=True),
    "jvp": lambda f: tg.jvp(f, (2.0,), (1.0,), has_aux=True),
    "linearize": lambda f: tg.linearize(f, 2.0, has_aux=True),
    "jacobian": lambda f: tg.jacobian(f, has_aux=True)(2.0),
    "elementwise_grad": lambda f: tg.elementwise_grad(f, has_aux=True)(2.0),
    "gnvp": lambda f: tg.gnvp(f, has_aux=True)(2.0, 1.0),
    "hvp": lambda f: tg.hvp(f, has_aux=True)(2.0, 1.0),
    "hessian": lambda f: tg.hessian(f, has_aux=True)(2.0),
}


@pytest.mark.parametrize("kind", AUX)
@pytest.mark.parametrize(
    ("result", "what"),
    [(lambda x: x, "Tracer"), (lambda x: None, "NoneType"), (lambda x: (x,), "tuple of 1"), (lambda x: [x] * 3, "list of 3"), (lambda x: "ab", "str")],
)  # fmt: skip
def test_has_aux_without_a_pair(kind, result, what):
    with pytest.raises(OutputError) as caught:
        AUX[kind](result)
    three_lines(caught.value)
    first, there, hint = str(caught.value).splitlines()
    assert first.endswith("(<lambda>) was made with has_aux=True, but its function did not return a pair")
    assert there == f"  it returned a {what}"
    assert hint == "  hint: return value, aux"


# --- cotangents and tangents ----------------------------------------------------------------------------------

# fmt: off
WRONG = {  # vector, what the message calls it, whether it is a leaf
    "None":      (None, "NoneType", False),
    "list":      ([1.0, 2.0], "list", False),
    "tuple":     ((1.0, 2.0), "tuple", False),
    "dict":      ({"a": V}, "dict", False),
    "str":       ("a", "str", True),
    "set":       ({1.0}, "set", True),
    "Decimal":   (Decimal(1), "Decimal", True),
    "number":    (1.0, "float", True),
    "longer":    (np.ones(3), "shape (3,), dtype float64", True),
    "row":       (V[None], "shape (1, 2), dtype float64", True),
    "empty":     (np.ones(0), "shape (0,), dtype float64", True),
    "complex":   (1j * V, "shape (2,), dtype complex128", True),
    "objects":   (np.array([1.0, None]), "shape (2,), dtype object", True),
    "strings":   (np.array(["a", "b"]), "shape (2,), dtype <U1", True),
    "dates":     (np.array(["2020", "2021"], "M8[Y]"), "shape (2,), dtype datetime64[Y]", True),
    "masked":    (np.ma.array(V), "a numpy.ma.MaskedArray of shape (2,), dtype float64", True),
    "subclass":  (unit(1.0, 2.0), "a test_bad_inputs.Unit of shape (2,), dtype float64", True),
    "matrix":    (matrix(V), "a numpy.matrix of shape (1, 2), dtype float64", True),
    "Series":    (series, "Series", True),
    "csr_array": (csr, "csr_array", True),
}
# fmt: on


def cube(x):
    return np.sum(x**3)


def square(x):
    return x * x


@pytest.mark.parametrize("name", WRONG)
def test_a_cotangent_that_does_not_fit(name):
    value, what, _ = WRONG[name]
    expect(
        CotangentError,
        lambda: tg.vjp(square, V)[1](of(value)),
        f"the pullback of vjp(square) got a cotangent of {what}",
        "the output has shape (2,), dtype float64",
        "pass a plain array like the output, real if it is real",
    )


PUSHED = {
    "linearize(square)": lambda v: tg.linearize(square, V)[1](v),
    "jvp(square)": lambda v: tg.jvp(square, (V,), (v,)),
    "hvp(cube)": lambda v: tg.hvp(cube)(V, v),
    "gnvp(square)": lambda v: tg.gnvp(square)(V, v),
}


@pytest.mark.parametrize("title", PUSHED)
@pytest.mark.parametrize("name", WRONG)
def test_a_tangent_that_does_not_fit(name, title):
    value, what, leaf = WRONG[name]
    call = lambda: PUSHED[title](of(value))
    if leaf:
        expect(
            TangentError,
            call,
            f"{title} got a tangent for argument 0 of {what}",
            "the argument has shape (2,), dtype float64",
            "pass a plain array of its shape, real if it is real",
        )
    else:
        expect(TreeError, call, f"{title} got a tangent of another structure than argument 0")


@pytest.mark.parametrize("v", [np.array([1, 2]), np.array([True, False]), np.float32(V)], ids=repr)
def test_another_width_is_cast(v):
    assert tg.vjp(square, V)[1](v)[0].dtype == np.float64
    for call in PUSHED.values():
        made = call(v)
        assert (made[1] if isinstance(made, tuple) else made).dtype == np.float64


def parts(x):
    return {"a": x, "b": (x, x)}


# fmt: off
TREES = {
    "array":       (V, TreeError),
    "list":        ([V], TreeError),
    "fewer":       ({"a": V}, TreeError),
    "more":        ({"a": V, "b": (V, V, V)}, TreeError),
    "None":        (None, TreeError),
    "part None":   ({"a": V, "b": None}, TreeError),
    "list within": ({"a": V, "b": [V, V]}, TreeError),
    "str within":  ({"a": V, "b": (V, "x")}, CotangentError),
    "shape":       ({"a": V, "b": (V, np.ones(3))}, CotangentError),
}
# fmt: on


@pytest.mark.parametrize("name", TREES)
def test_a_cotangent_of_another_structure(name):
    cotangent, error = TREES[name]
    first = "the pullback of vjp(parts) got a cotangent of another structure than its output"
    expect(error, lambda: tg.vjp(parts, V)[1](cotangent), first if error is TreeError else None)


JVP = {
    "numbers": (lambda: tg.jvp(np.sin, 1.0, 1.0), InputError, "jvp(sin) takes its primals and its tangents as tuples, and got a float"),
    "arrays": (lambda: tg.jvp(np.sin, V, V), InputError, "jvp(sin) takes its primals and its tangents as tuples, and got a ndarray"),
    "dict": (lambda: tg.jvp(np.sin, {"x": 1.0}, (1.0,)), InputError, "jvp(sin) takes its primals and its tangents as tuples, and got a dict"),
    "str": (lambda: tg.jvp(np.sin, (1.0,), "x"), InputError, "jvp(sin) takes its primals and its tangents as tuples, and got a str"),
    "generator": (lambda: tg.jvp(np.sin, (x for x in V), (1.0,)), InputError, "jvp(sin) takes its primals and its tangents as tuples, and got a generator"),
    "fewer": (lambda: tg.jvp(times, (1.0, 2.0), (1.0,)), TangentError, "jvp(times) got 1 tangent"),
    "more": (lambda: tg.jvp(np.sin, (1.0,), (1.0, 2.0)), TangentError, "jvp(sin) got 2 tangents"),
    "linear fewer": (lambda: tg.linearize(times, 1.0, 2.0)[1](1.0), TangentError, "linearize(times) got 1 tangent"),
    "linear none": (lambda: tg.linearize(times, 1.0, 2.0)[1](), TangentError, "linearize(times) got 0 tangents"),
    "linear more": (lambda: tg.linearize(np.sin, 1.0)[1](1.0, 2.0), TangentError, "linearize(sin) got 2 tangents"),
}  # fmt: skip


@pytest.mark.parametrize("name", JVP)
def test_tangents_of_another_number(name):
    call, error, first = JVP[name]
    expect(error, call, first)


# --- rules ----------------------------------------------------------------------------------------------------


def mul(x, z):
    return x * z


def new(**words):
    return tg.primitive(mul, **words)


def custom(kind=tg.custom_vjp, **words):
    return kind(mul, **words)


def rule(g, y, x, z):
    return g


def twice(first, second):
    p = new()
    (p.defvjp(rule) if first is None else p.defvjp(first)(rule))
    (p.defvjp(rule) if second is None else p.defvjp(second)(rule))


# fmt: off
DECORATORS = {  # call, error, first line
    "number":           (lambda: new().defvjp(1.5), RuleError, "mul has no argument 1.5"),
    "None":             (lambda: new().defvjp(None), RuleError, "mul has no argument None"),
    "bool":             (lambda: new().defvjp(True), RuleError, "mul has no argument True"),
    "no name":          (lambda: new().defvjp("y"), RuleError, "mul has no argument 'y'"),
    "out of range":     (lambda: new().defvjp(2), RuleError, "mul has no argument 2"),
    "below":            (lambda: new().defvjp(-3), RuleError, "mul has no argument -3"),
    "bytes":            (lambda: new().defvjp(b"x"), RuleError, "mul has no argument b'x'"),
    "tuple":            (lambda: new().defvjp((0, 1)), RuleError, "mul has no argument (0, 1)"),
    "list":             (lambda: new().defvjp(["x"]), RuleError, "mul has no argument ['x']"),
    "forth no name":    (lambda: new().defjvp("y"), RuleError, "mul has no argument 'y'"),
    "forth number":     (lambda: new().defjvp(2.0), RuleError, "mul has no argument 2.0"),
    "no function":      (lambda: new().defvjp(0)(3), RuleError, "the rule given for mul is of class int, not a function"),
    "forth, none":      (lambda: new().defjvp(0)(None), RuleError, "the rule given for mul is of class NoneType, not a function"),
    "too few":          (lambda: new().defvjp(0)(lambda g: g), RuleError, "the rule <lambda> does not fit mul: too many positional arguments"),
    "too many":         (lambda: new().defvjp(0)(lambda g, y, x, z, w: g), RuleError, "the rule <lambda> does not fit mul: missing a required argument: 'w'"),
    "keyword":          (lambda: new().defvjp(0)(lambda g, y, x, *, z: g), RuleError, "the rule <lambda> does not fit mul: too many positional arguments"),
    "forth too few":    (lambda: new().defjvp(0)(lambda t: t), RuleError, "the rule <lambda> does not fit mul: too many positional arguments"),
    "all too few":      (lambda: new().defvjp(lambda g: g), RuleError, "the rule <lambda> does not fit mul: too many positional arguments"),
    "twice":            (lambda: twice(0, 0), RuleError, "mul has a rule for argument 0 already"),
    "twice by name":    (lambda: twice(0, "x"), RuleError, "mul has a rule for argument 0 already"),
    "twice from end":   (lambda: twice(1, -1), RuleError, "mul has a rule for argument 1 already"),
    "all, then one":    (lambda: twice(None, 0), RuleError, "mul has a rule for all arguments already"),
    "one, then all":    (lambda: twice(0, None), RuleError, "mul has a rule for all arguments already"),
    "all twice":        (lambda: twice(None, None), RuleError, "mul has a rule for all arguments already"),
    "nondiff":          (lambda: new(nondiff_argnames="z").defvjp("z")(rule), RuleError, "argument 'z' of mul carries no derivative"),
    "nondiff unknown":  (lambda: new(nondiff_argnames="w"), RuleError, "mul has no argument 'w'"),
    "nondiff number":   (lambda: new(nondiff_argnames=3), RuleError, "mul has no argument 3"),
    "nondiff None":     (lambda: new(nondiff_argnames=None), RuleError, "mul has no argument None"),
    "nondiff float":    (lambda: new(nondiff_argnames=(0.5,)), RuleError, "mul has no argument 0.5"),
    "nondiff traced":   (lambda: tg.grad(new(nondiff_argnames="z"), 1)(1.0, 2.0), PrimitiveError, "argument 'z' of mul carries no derivative, but got a traced value"),
    "no rule":          (lambda: tg.grad(new())(1.0, 2.0), MissingRuleError, "mul has no derivative rule for argument 0"),
    "missing argument": (lambda: tg.grad(new())(1.0), PrimitiveError, "mul() was called in a wrong way: missing a required argument: 'z'"),
    "unknown keyword":  (lambda: tg.grad(new())(1.0, z=1.0, w=2.0), PrimitiveError, "mul() was called in a wrong way: got an unexpected keyword argument 'w'"),
    "vjp numbers":      (lambda: custom().defvjp(3, 4), PrimitiveError, "custom_vjp(mul).defvjp got a int"),
    "vjp None":         (lambda: custom().defvjp(np.sin, None), PrimitiveError, "custom_vjp(mul).defvjp got a NoneType"),
    "vjp str":          (lambda: custom().defvjp("fwd", "bwd"), PrimitiveError, "custom_vjp(mul).defvjp got a str"),
    "fwd too few":      (lambda: custom().defvjp(lambda x: (x, x), lambda r, g: (g, g)), RuleError, "fwd of custom_vjp(mul) does not fit: too many positional arguments"),
    "fwd too many":     (lambda: custom().defvjp(lambda x, z, w: (x, x), lambda r, g: (g, g)), RuleError, "fwd of custom_vjp(mul) does not fit: missing a required argument: 'w'"),
    "bwd too few":      (lambda: custom().defvjp(lambda x, z: (x, x), lambda g: (g, g)), RuleError, "bwd of custom_vjp(mul) does not fit: too many positional arguments"),
    "bwd too many":     (lambda: custom().defvjp(lambda x, z: (x, x), lambda r, g, x: (g, g)), RuleError, "bwd of custom_vjp(mul) does not fit: missing a required argument: 'x'"),
    "bwd no setting":   (lambda: custom(nondiff_argnums=0).defvjp(lambda x, z: (x, x), lambda r, g: (g,)), RuleError, "bwd of custom_vjp(mul) does not fit: too many positional arguments"),
    "jvp number":       (lambda: custom(tg.custom_jvp).defjvp(3), PrimitiveError, "custom_jvp(mul).defjvp got a int"),
    "jvp None":         (lambda: custom(tg.custom_jvp).defjvp(None), PrimitiveError, "custom_jvp(mul).defjvp got a NoneType"),
    "jvp too few":      (lambda: custom(tg.custom_jvp).defjvp(lambda p: p), RuleError, "the rule of custom_jvp(mul) does not fit: too many positional arguments"),
    "jvps str":         (lambda: custom(tg.custom_jvp).defjvps("x", None), PrimitiveError, "custom_jvp(mul).defjvps got a str"),
    "jvps too few":     (lambda: custom(tg.custom_jvp).defjvps(lambda t: t, None), RuleError, "a rule of custom_jvp(mul) does not fit: too many positional arguments"),
    "jvps one":         (lambda: (f := custom(tg.custom_jvp), f.defjvps(None), tg.grad(f)(1.0, 2.0)), PrimitiveError, "custom_jvp(mul).defjvps was given 1 rules"),
    "vjp without":      (lambda: tg.grad(custom())(1.0, 2.0), MissingRuleError, "custom_vjp(mul) has no rule yet"),
    "jvp without":      (lambda: tg.grad(custom(tg.custom_jvp))(1.0, 2.0), MissingRuleError, "custom_jvp(mul) has no rule yet"),
    "setting str":      (lambda: custom(nondiff_argnums="x"), ArgnumsError, "custom_vjp got nondiff_argnums='x'"),
    "setting bool":     (lambda: custom(nondiff_argnums=True), ArgnumsError, "custom_vjp got nondiff_argnums=True"),
    "setting None":     (lambda: custom(nondiff_argnums=None), ArgnumsError, "custom_vjp got nondiff_argnums=None"),
    "setting unknown":  (lambda: custom(nondiff_argnames="q"), PrimitiveError, "custom_vjp(mul) was made with nondiff_argnames='q'"),
    "setting number":   (lambda: custom(nondiff_argnames=3), PrimitiveError, "custom_vjp(mul) was made with nondiff_argnames=3"),
    "setting no name":  (lambda: custom(nondiff_argnames=None), PrimitiveError, "custom_vjp(mul) was made with nondiff_argnames=None"),
    "setting built-in": (lambda: tg.custom_vjp(max, nondiff_argnames="q"), PrimitiveError, "custom_vjp(max) was made with nondiff_argnames='q'"),
}
# fmt: on


@pytest.mark.parametrize("name", DECORATORS)
def test_decorators_used_wrongly(name):
    call, error, first = DECORATORS[name]
    expect(error, call, first)


# fmt: off
GIVEN = {  # what a rule returns for an argument of two floats: what comes of it, or None for an error
    "None":     (None, [0.0, 0.0]),
    "integers": (np.array([1, 2]), [1.0, 2.0]),
    "booleans": (np.array([True, False]), [1.0, 0.0]),
    "float32":  (np.float32([1.0, 2.0]), [1.0, 2.0]),
    "longer":   (V.astype(np.longdouble), [1.0, 2.0]),
    "complex":  (V + 1j * V, [1.0, 2.0]),
    "str":      ("a", None),
    "set":      ({1.0}, None),
    "list":     ([1.0, 2.0], None),
    "dict":     ({"a": V}, None),
    "Decimal":  (Decimal(1), None),
    "shape":    (np.ones(3), None),
    "row":      (V[None], None),
    "empty":    (np.ones(0), None),
    "objects":  (np.array([1.0, None]), None),
    "strings":  (np.array(["a", "b"]), None),
    "dates":    (np.array(["2020", "2021"], "M8[Y]"), None),
    "Series":   (series, None),
    "sparse":   (csr, None),
    "function": (times, None),
}
# fmt: on


def by_rule(value):
    p = tg.primitive(lambda x: x * 1.0)
    p.defvjp("x")(lambda g, _y, x: value)
    return tg.grad(lambda x: np.sum(p(x)))(V)


def by_joint_rule(value):
    p = tg.primitive(lambda x, z: x * z)
    p.defvjp(lambda g, _y, x, z: (value, None))
    return tg.grad(lambda x: np.sum(p(x, x * 1.0)))(V)


def by_forward_rule(value):
    p = tg.primitive(lambda x: x * 1.0)
    p.defjvp("x")(lambda t, _y, x: value)
    return tg.jvp(p, (V,), (V,))[1]


def by_bwd(value):
    p = tg.custom_vjp(lambda x: x * 1.0)
    p.defvjp(lambda x: (x * 1.0, x), lambda res, g: (value,))
    return tg.grad(lambda x: np.sum(p(x)))(V)


def by_custom_jvp(value):
    p = tg.custom_jvp(lambda x: x * 1.0)
    p.defjvp(lambda primals, tangents: (primals[0] * 1.0, value))
    return tg.jvp(p, (V,), (V,))[1]


RULES = {
    "rule": (by_rule, CotangentError),
    "rule for all": (by_joint_rule, CotangentError),
    "forward rule": (by_forward_rule, (CotangentError, TangentError)),
    "bwd": (by_bwd, (CotangentError, TreeError)),
    "custom_jvp": (by_custom_jvp, (CotangentError, TangentError)),
}


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("name", GIVEN)
def test_what_a_rule_returns(name, kind):
    """fits, or is cast to the argument's real dtype, or raises."""
    call, errors = RULES[kind]
    value, wanted = GIVEN[name]
    if wanted is None or (kind, name) == ("custom_jvp", "None"):
        value = of(value)
        with pytest.raises(errors) as caught:
            call(value)
        three_lines(caught.value)
    else:
        made = call(value)
        assert made.dtype == np.float64
        assert made.tolist() == wanted


# fmt: off
PAIRS = {  # what fwd or the rule of custom_jvp returns, and what the message says of it
    "None":  (None, "NoneType"),
    "array": (V, "shape (2,), dtype float64"),
    "three": ((V, V, V), "tuple of 3"),
    "one":   ((V,), "tuple of 1"),
    "str":   ("ab", "str"),
    "dict":  ({1: V, 2: V}, "dict"),
}
# fmt: on


@pytest.mark.parametrize("name", PAIRS)
def test_rules_without_a_pair(name):
    value, what = PAIRS[name]
    f = tg.custom_vjp(lambda x: x * 1.0)
    f.defvjp(lambda x: value, lambda res, g: (g,))
    expect(
        OutputError,
        lambda: tg.grad(lambda x: np.sum(f(x)))(V),
        "fwd of custom_vjp(<lambda>) did not return a pair",
        f"it returned {what}",
        "return result, residuals",
    )
    h = tg.custom_jvp(lambda x: x * 1.0)
    h.defjvp(lambda primals, tangents: value)
    expect(
        OutputError,
        lambda: tg.jvp(h, (V,), (V,)),
        "the rule of custom_jvp(<lambda>) did not return a pair",
        f"it returned {what}",
        "return result, tangent",
    )


@pytest.mark.parametrize(
    ("value", "first"),
    [
        (V, "bwd of custom_vjp(<lambda>) returned shape (2,), dtype float64"),
        (None, "bwd of custom_vjp(<lambda>) returned NoneType"),
        ((V, V), "bwd of custom_vjp(<lambda>) returned 2 cotangents"),
        ((), "bwd of custom_vjp(<lambda>) returned 0 cotangents"),
        ("a", "bwd of custom_vjp(<lambda>) returned str"),
    ],
)
def test_bwd_without_a_tuple(value, first):
    f = tg.custom_vjp(lambda x: x * 1.0)
    f.defvjp(lambda x: (x * 1.0, x), lambda res, g: value)
    expect(
        OutputError,
        lambda: tg.grad(lambda x: np.sum(f(x)))(V),
        first,
        "the number of arguments to differentiate by is 1",
        "return a tuple with a cotangent for each of them, None for zero",
    )


@pytest.mark.parametrize("make", [series, lambda: np.ma.array(V)], ids=["Series", "masked"])
def test_a_custom_function_that_returns_no_plain_array(make):
    f = tg.custom_vjp(lambda x: make())
    f.defvjp(lambda x: (make(), x), lambda res, g: (g,))
    expect(OutputError, lambda: tg.grad(f)(V), f"custom_vjp(<lambda>) returned {named(make())} for traced arguments")


# --- trees ----------------------------------------------------------------------------------------------------

S = tree.structure([0, 0])


def itself():
    x = []
    x.append(x)
    return x


class Plain:
    pass


# fmt: off
NESTS_OF = {  # call, error, first line
    "fewer leaves":    (lambda: tree.unflatten(S, [1]), TreeError, "1 leaves for a structure with 2"),
    "more leaves":     (lambda: tree.unflatten(S, [1, 2, 3]), TreeError, "3 leaves for a structure with 2"),
    "no leaves":       (lambda: tree.unflatten(S, None), TreeError, "unflatten got a NoneType for the leaves"),
    "a number":        (lambda: tree.unflatten(S, 3), TreeError, "unflatten got a int for the leaves"),
    "a string":        (lambda: tree.unflatten(S, "ab"), TreeError, "unflatten got a str for the leaves"),
    "no structure":    (lambda: tree.unflatten([0, 0], [1, 2]), TreeError, "unflatten got a list for a structure"),
    "None":            (lambda: tree.unflatten(None, []), TreeError, "unflatten got a NoneType for a structure"),
    "map lengths":     (lambda: tree.map(times, [1], [1, 2]), TreeError, "the first tree and tree 2 do not match at the root"),
    "map classes":     (lambda: tree.map(times, [1], (1,)), TreeError, "the first tree and tree 2 do not match at the root"),
    "map keys":        (lambda: tree.map(times, {"a": 1}, {"b": 1}), TreeError, "the first tree and tree 2 do not match at the root"),
    "map deep":        (lambda: tree.map(times, {"a": [1, 2]}, {"a": [1]}), TreeError, "the first tree and tree 2 do not match at ['a']"),
    "map third":       (lambda: tree.map(max, [1], [1], 3), TreeError, "the first tree and tree 3 do not match at the root"),
    "reduce nothing":  (lambda: tree.reduce(times, []), TreeError, "reduce got a tree without leaves"),
    "transpose leaf":  (lambda: tree.transpose(S, S, [1, 2]), TreeError, "inner_treedef and the tree do not match at [0]"),
    "transpose outer": (lambda: tree.transpose([0], S, [1, 2]), TreeError, "transpose got a list for a structure"),
    "transpose inner": (lambda: tree.transpose(S, 3, [[1, 2], [3, 4]]), TreeError, "transpose got a int for a structure"),
    "transpose empty": (lambda: tree.transpose(tree.structure([]), None, []), TreeError, "transpose has no inner_treedef"),
    "up to":           (lambda: S.flatten_up_to(3), TreeError, "the structure and the tree do not match at the root"),
    "itself":          (lambda: tree.leaves(itself()), TreeError, "the tree contains itself"),
    "grad of itself":  (lambda: tg.grad(loss)(itself()), TreeError, "the tree contains itself"),
    "no class":        (lambda: tree.register_node(3, times, times), TreeError, "3 cannot be registered"),
    "again":           (lambda: tree.register_node(list, times, times), TreeError, "list is registered already"),
    "no functions":    (lambda: tree.register_node(Plain, 3, 4), TreeError, "register_node got 3 for a function of Plain"),
    "no unflatten":    (lambda: tree.register_node(Plain, times, None), TreeError, "register_node got None for a function of Plain"),
    "no dataclass":    (lambda: tree.register_dataclass(Plain), TreeError, None),
    "dataclass of 3":  (lambda: tree.register_dataclass(3), TreeError, "register_dataclass got 3, which is no dataclass"),
    "ravel str":       (lambda: ravel_pytree({"a": "x"}), InputError, "ravel_pytree got str 'x' at ['a']"),
    "ravel objects":   (lambda: ravel_pytree([np.array([None])]), InputError, "ravel_pytree got ndarray array([None], dtype=object) at [0]"),
    "ravel Decimal":   (lambda: ravel_pytree(Decimal(1)), InputError, "ravel_pytree got Decimal Decimal('1') at the root"),
    "ravel date":      (lambda: ravel_pytree([np.datetime64("2020")]), InputError, "ravel_pytree got datetime64 np.datetime64('2020') at [0]"),
    "ravel masked":    (lambda: ravel_pytree([np.ma.array([1.0], mask=[1])]), InputError, None),
    "ravel matrix":    (lambda: ravel_pytree([matrix(M)]), InputError, None),
    "ravel Series":    (lambda: ravel_pytree([series()]), InputError, None),
    "ravel DataFrame": (lambda: ravel_pytree([frame()]), InputError, None),
    "ravel sparse":    (lambda: ravel_pytree([csr()]), InputError, None),
    "unravel longer":  (lambda: ravel_pytree([1.0, 2.0])[1](np.ones(3)), TreeError, "unravel got ndarray of shape (3,)"),
    "unravel list":    (lambda: ravel_pytree([1.0, 2.0])[1]([1.0, 2.0]), TreeError, "unravel got list of shape (2,)"),
    "unravel None":    (lambda: ravel_pytree([1.0, 2.0])[1](None), TreeError, "unravel got NoneType of shape ()"),
    "unravel number":  (lambda: ravel_pytree([1.0, 2.0])[1](1.0), TreeError, "unravel got float of shape ()"),
    "unravel strings": (lambda: ravel_pytree([1.0, 2.0])[1](np.array(["a", "b"])), TreeError, "unravel got ndarray of shape (2,)"),
    "unravel objects": (lambda: ravel_pytree([1.0, 2.0])[1](np.array([None, 1.0])), TreeError, "unravel got ndarray of shape (2,)"),
    "unbroadcast":     (lambda: tg.unbroadcast(np.ones(3), V), CotangentError, "a cotangent of shape (3,) cannot be summed to shape (2,)"),
    "check a number":  (lambda: tg.testing.check_grads(np.sin, 1.0), InputError, "check_grads cannot check what does not vary"),
    "check nothing":   (lambda: tg.testing.check_grads(np.sin, ()), InputError, "check_grads cannot check what does not vary"),
    "check integers":  (lambda: tg.testing.check_grads(np.sin, (I,)), InputError, "check_grads cannot check what does not vary"),
    "check no def":    (lambda: tg.testing.check_grads(3, (1.0,)), InputError, "check_grads cannot check what does not vary"),
    "check order":     (lambda: tg.testing.check_grads(np.sin, (1.0,), order=0), InputError, "check_grads cannot check order=0, modes=('fwd', 'rev')"),
    "check half":      (lambda: tg.testing.check_grads(np.sin, (1.0,), order=1.5), InputError, "check_grads cannot check order=1.5, modes=('fwd', 'rev')"),
    "check mode":      (lambda: tg.testing.check_grads(np.sin, (1.0,), modes="up"), InputError, "check_grads cannot check order=2, modes=('up',)"),
}
# fmt: on


@pytest.mark.parametrize("name", NESTS_OF)
def test_trees_and_checks_used_wrongly(name):
    call, error, first = NESTS_OF[name]
    expect(error, call, first)


# --- NumPy's functions ----------------------------------------------------------------------------------------

THREE, EYE = np.array([1.0, 2.0, 3.0]), np.eye(3)

CALLS = {  # of a matrix of two rows and three columns
    "sum axis": lambda x: np.sum(x, axis=3),
    "sum axis twice": lambda x: np.sum(x, axis=(0, 0)),
    "sum axis float": lambda x: np.sum(x, axis=0.5),
    "sum axis str": lambda x: np.sum(x, axis="x"),
    "sum kw": lambda x: np.sum(x, axes=0),
    "mean axis": lambda x: np.mean(x, axis=-4),
    "mean kw": lambda x: np.mean(x, foo=1),
    "max axis": lambda x: np.max(x, axis=2),
    "min axis": lambda x: np.min(x, axis=-3),
    "prod axis": lambda x: np.prod(x, axis=2),
    "cumsum axis": lambda x: np.cumsum(x, axis=2),
    "cumprod axis": lambda x: np.cumprod(x, axis=5),
    "var axis": lambda x: np.var(x, axis=3),
    "std both": lambda x: np.std(x, ddof=1, correction=1),
    "ptp axis": lambda x: np.ptp(x, axis=3),
    "average w": lambda x: np.average(x, weights=np.ones(4)),
    "average 0": lambda x: np.average(x, axis=0, weights=np.zeros(2)),
    "argmax axis": lambda x: np.argmax(x, axis=4),
    "median axis": lambda x: np.median(x, axis=4),
    "max of nothing": lambda x: np.max(x[:0]),
    "max of nothing axis": lambda x: np.max(x[:, :0], axis=1),
    "method sum": lambda x: x.sum(axis=9),
    "method mean": lambda x: x.mean(9),
    "sum dtype": lambda x: np.sum(x, dtype="nope"),
    "norm axis": lambda x: np.linalg.norm(x, axis=5),
    "norm ord": lambda x: np.linalg.norm(x, ord="x"),
    "diff axis": lambda x: np.diff(x, axis=5),
    "diff n": lambda x: np.diff(x, n=-1),
    "trapezoid": lambda x: np.trapezoid(x, x=np.ones(7)),
    "reshape": lambda x: np.reshape(x, (4, 2)),
    "reshape -1": lambda x: np.reshape(x, (-1, -1)),
    "reshape -1 4": lambda x: x.reshape(-1, 4),
    "reshape float": lambda x: np.reshape(x, (2.0, 3)),
    "reshape str": lambda x: np.reshape(x, "x"),
    "reshape order": lambda x: np.reshape(x, (3, 2), order="Q"),
    "transpose": lambda x: np.transpose(x, (0, 0)),
    "transpose n": lambda x: np.transpose(x, (0, 1, 2)),
    "transpose m": lambda x: x.transpose(0, 5),
    "swapaxes": lambda x: np.swapaxes(x, 0, 3),
    "moveaxis": lambda x: np.moveaxis(x, 0, 3),
    "moveaxis n": lambda x: np.moveaxis(x, (0, 1), 0),
    "squeeze": lambda x: np.squeeze(x, 0),
    "squeeze axis": lambda x: np.squeeze(x, 5),
    "expand_dims": lambda x: np.expand_dims(x, 5),
    "broadcast_to": lambda x: np.broadcast_to(x, (3, 3)),
    "flip": lambda x: np.flip(x, 3),
    "fliplr": lambda x: np.fliplr(x[0]),
    "rot90": lambda x: np.rot90(x, axes=(0, 0)),
    "roll": lambda x: np.roll(x, 1, axis=4),
    "rollaxis": lambda x: np.rollaxis(x, 5),
    "tile": lambda x: np.tile(x, -1),
    "repeat": lambda x: np.repeat(x, -1),
    "repeat n": lambda x: np.repeat(x, [1, 2, 3], axis=0),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, np.ones(4)),
    "ravel order": lambda x: np.ravel(x, order="Q"),
    "astype": lambda x: x.astype("nope"),
    "astype str": lambda x: x.astype(float, casting="bad"),
    "pad": lambda x: np.pad(x, -1),
    "pad mode": lambda x: np.pad(x, 1, mode="bad"),
    "diagonal": lambda x: np.diagonal(x, axis1=0, axis2=0),
    "diagonal 1": lambda x: np.diagonal(x[0]),
    "trace": lambda x: np.trace(x[0]),
    "diag 3": lambda x: np.diag(x[None]),
    "tril": lambda x: np.tril(x, k="a"),
    "matmul": lambda x: x @ np.ones(4),
    "matmul r": lambda x: np.ones(4) @ x,
    "matmul 0": lambda x: x @ 2.0,
    "matmul n": lambda x: np.matmul(x, EYE[:2]),
    "dot": lambda x: np.dot(x, np.ones(5)),
    "vdot": lambda x: np.vdot(x, np.ones(5)),
    "inner": lambda x: np.inner(x, np.ones(5)),
    "outer few": lambda x: np.outer(x),
    "tensordot": lambda x: np.tensordot(x, x, axes=1),
    "tensordot n": lambda x: np.tensordot(x, EYE, axes=3),
    "tensordot ax": lambda x: np.tensordot(x, EYE, axes=([0], [5])),
    "cross": lambda x: np.cross(x, np.ones(4)),
    "einsum": lambda x: np.einsum("ij,jk", x, x),
    "einsum sub": lambda x: np.einsum("i", x),
    "einsum bad": lambda x: np.einsum("i$j", x),
    "einsum many": lambda x: np.einsum("ij,jk->ik", x),
    "einsum out": lambda x: np.einsum("ij->k", x),
    "einsum twice": lambda x: np.einsum("ij->ii", x),
    "einsum upper3": lambda x: np.einsum("ijk", x),
    "kron few": lambda x: np.kron(x),
    "multi_dot": lambda x: np.linalg.multi_dot([x]),
    "multi_dot m": lambda x: np.linalg.multi_dot([x, x]),
    "matrix_power": lambda x: np.linalg.matrix_power(x, 2),
    "matrix_power f": lambda x: np.linalg.matrix_power(x[:, :2], 0.5),
    "vecdot": lambda x: np.vecdot(x, np.ones(5)),
    "linalg.cross": lambda x: np.linalg.cross(x, np.ones(4)),
    "linalg.outer": lambda x: np.linalg.outer(x, x),
    "concatenate": lambda x: np.concatenate([x, np.ones((2, 2))], axis=0),
    "concatenate ax": lambda x: np.concatenate([x, x], axis=4),
    "concatenate nd": lambda x: np.concatenate([x, THREE]),
    "concatenate 0": lambda x: np.concatenate([x[0], 1.0]),
    "concatenate no seq": lambda x: np.concatenate(x[0, 0]),
    "concatenate e": lambda x: np.concatenate([]),
    "stack": lambda x: np.stack([x, THREE]),
    "stack ax": lambda x: np.stack([x, x], axis=9),
    "vstack": lambda x: np.vstack([x, np.ones(4)]),
    "hstack": lambda x: np.hstack([x, np.ones((3, 3))]),
    "dstack": lambda x: np.dstack([x, EYE]),
    "column_stack": lambda x: np.column_stack([x, THREE]),
    "append": lambda x: np.append(x, THREE, axis=0),
    "append ax": lambda x: np.append(x, x, axis=7),
    "split": lambda x: np.split(x, 4, axis=1),
    "split ax": lambda x: np.split(x, 2, axis=5),
    "split 0": lambda x: np.split(x, 0),
    "split neg": lambda x: np.split(x, -1),
    "split f": lambda x: np.split(x, 1.5),
    "array_split 0": lambda x: np.array_split(x, 0),
    "array_split ax": lambda x: np.array_split(x, 2, axis=5),
    "hsplit": lambda x: np.hsplit(x, 2),
    "vsplit": lambda x: np.vsplit(x[0], 1),
    "dsplit": lambda x: np.dsplit(x, 1),
    "unstack": lambda x: np.unstack(x, axis=5),
    "block": lambda x: np.block([x, THREE]),
    "array ragged": lambda x: tg.numpy.array([x, THREE]),
    "insert": lambda x: np.insert(x, 9, 1.0, axis=0),
    "delete": lambda x: np.delete(x, 9, axis=0),
    "index": lambda x: x[5],
    "index neg": lambda x: x[-3],
    "index many": lambda x: x[0, 0, 0],
    "index str": lambda x: x["a"],
    "index float": lambda x: x[0.5],
    "index none": lambda x: x[object()],
    "index list": lambda x: x[[0, 5]],
    "index arr": lambda x: x[np.array([2])],
    "mask": lambda x: x[np.array([True, False, True])],
    "mask 2d": lambda x: x[np.ones((2, 2), bool)],
    "ellipsis": lambda x: x[..., ...],
    "index shapes": lambda x: x[[0, 1], [0, 1, 2]],
    "slice str": lambda x: x["a":],
    "slice 0": lambda x: x[::0],
    "take": lambda x: np.take(x, 9),
    "take ax": lambda x: np.take(x, 0, axis=5),
    "take_along": lambda x: np.take_along_axis(x, np.zeros((1,), int), axis=0),
    "choose": lambda x: np.choose([0, 5], [x[0, :2], x[1, :2]]),
    "compress": lambda x: np.compress([True] * 9, x),
    "extract": lambda x: np.extract(np.ones(9, bool), x),
    "where": lambda x: np.where([True, False], x, 0.0),
    "where 2": lambda x: np.where(x > 0, x),
    "select": lambda x: np.select([x > 0], [x, x]),
    "item": lambda x: x.item(),
    "item n": lambda x: x.item(9),
    "searchsorted": lambda x: np.searchsorted(x, 1.0),
    "sort ax": lambda x: np.sort(x, axis=4),
    "argsort ax": lambda x: np.argsort(x, axis=4),
    "partition": lambda x: np.partition(x, 9),
    "iter": lambda x: [*x[0, 0]],
    "len": lambda x: len(x[0, 0]),
    "clip shape": lambda x: np.clip(x, np.ones(4), 2.0),
    "clip str": lambda x: np.clip(x, "a", None),
    "add shape": lambda x: x + np.ones(4),
    "add few": lambda x: np.add(x),
    "add many": lambda x: np.add(x, x, x, x),
    "add dtype": lambda x: np.add(x, x, dtype=int),
    "add casting": lambda x: np.add(x, x, casting="bad"),
    "add kw": lambda x: np.add(x, x, foo=1),
    "sin dtype": lambda x: np.sin(x, dtype=int),
    "sin few": lambda x: np.sin(),
    "sin many": lambda x: np.sin(x, x, x),
    "sin str": lambda x: np.sin(x, dtype="nope"),
    "power shape": lambda x: x ** np.ones(4),
    "maximum shape": lambda x: np.maximum(x, np.ones(4)),
    "arctan2 shape": lambda x: np.arctan2(x, np.ones(4)),
    "bitwise": lambda x: x & 1,
    "shift": lambda x: x << 1,
    "invert": lambda x: ~x,
    "lshift": lambda x: np.left_shift(x, 1),
    "ldexp": lambda x: np.ldexp(x, 0.5),
    "gcd": lambda x: np.gcd(x, 2),
    "bool": lambda x: bool(x),
    "if": lambda x: 1 if x else 2,
    "float": lambda x: float(x),
    "int": lambda x: int(x),
    "in place shape": lambda x: x.__iadd__(np.ones((3, 2, 3))),
    "pow 3": lambda x: pow(x, 2, 3),
    "divmod shape": lambda x: divmod(x, np.ones(4)),
    "reduce ax": lambda x: np.add.reduce(x, axis=4),
    "accumulate": lambda x: np.add.accumulate(x, axis=4),
    "outer sh": lambda x: np.add.outer(x),
    "reduceat": lambda x: np.add.reduceat(x, [9]),
    "at": lambda x: np.add.at(x, [9], 1.0),
    "round": lambda x: np.round(x, "a"),
    "interp": lambda x: np.interp(x, [1.0], [1.0, 2.0]),
    "inv": lambda x: np.linalg.inv(x),
    "det": lambda x: np.linalg.det(x),
    "solve": lambda x: np.linalg.solve(x, THREE),
    "cholesky": lambda x: np.linalg.cholesky(x),
    "zeros_like": lambda x: np.zeros_like(x, dtype="nope"),
    "full_like": lambda x: np.full_like(x, np.ones(4)),
    "linspace": lambda x: np.linspace(x, x, -1),
    "attr": lambda x: x.nope,
    "meshgrid": lambda x: np.meshgrid(x, x, indexing="z"),
    "convolve": lambda x: np.convolve(x, THREE),
    "correlate": lambda x: np.correlate(x[0], THREE, mode="bad"),
    "fft axis": lambda x: np.fft.fft(x, axis=5),
    "nan_to_num": lambda x: np.nan_to_num(x, nan="a"),
    "apply": lambda x: np.apply_along_axis(np.sum, 5, x),
    "triu 1": lambda x: np.triu(np.sum(x)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_call_of_numpy(name):
    """raises what NumPy raises, or says that there is no rule; it never gives a value."""
    call = CALLS[name]
    plain, made = outcome(lambda: call(M)), outcome(lambda: tg.vjp(call, M))
    assert isinstance(plain, Exception)
    assert isinstance(made, type(plain)) or type(made) is MissingRuleError, repr(made)
    if isinstance(made, TapegradError):
        three_lines(made)


# fmt: off
WORDS = {  # call, the function, the keyword
    "sum out":        (lambda x: np.sum(x, 0, out=np.zeros(3)), "sum", "out"),
    "sum where":      (lambda x: np.sum(x, where=M > 1), "sum", "where"),
    "sum initial":    (lambda x: np.sum(x, initial=1.0), "sum", "initial"),
    "mean out":       (lambda x: np.mean(x, 0, out=np.zeros(3)), "mean", "out"),
    "mean where":     (lambda x: np.mean(x, where=M > 1), "mean", "where"),
    "prod initial":   (lambda x: np.prod(x, initial=2.0), "prod", "initial"),
    "prod where":     (lambda x: np.prod(x, where=M > 1), "prod", "where"),
    "max where":      (lambda x: np.max(x, initial=0.0, where=M > 1), "max", "where"),
    "min initial":    (lambda x: np.min(x, initial=0.0), "min", "initial"),
    "min out":        (lambda x: np.min(x, 0, out=np.zeros(3)), "min", "out"),
    "var mean":       (lambda x: np.var(x, mean=0.0), "var", "mean"),
    "std where":      (lambda x: np.std(x, where=M > 1), "std", "where"),
    "cumsum out":     (lambda x: np.cumsum(x, 0, out=np.zeros((2, 3))), "cumsum", "out"),
    "cumprod out":    (lambda x: np.cumprod(x, 0, out=np.zeros((2, 3))), "cumprod", "out"),
    "dot out":        (lambda x: np.dot(x, THREE, out=np.zeros(2)), "dot", "out"),
    "outer out":      (lambda x: np.outer(x, THREE, out=np.zeros((6, 3))), "outer", "out"),
    "concat out":     (lambda x: np.concatenate([x, x], out=np.zeros((4, 3))), "concatenate", "out"),
    "stack out":      (lambda x: np.stack([x, x], out=np.zeros((2, 2, 3))), "stack", "out"),
    "add out":        (lambda x: np.add(x, x, out=np.zeros((2, 3))), "numpy.add", "out"),
    "add third":      (lambda x: np.add(x, x, np.zeros((2, 3))), "numpy.add", "out"),
    "add where":      (lambda x: np.add(x, x, where=M > 1), "numpy.add", "where"),
    "sin out":        (lambda x: np.sin(x, out=np.zeros((2, 3))), "numpy.sin", "out"),
    "sin where":      (lambda x: np.sin(x, where=M > 1), "numpy.sin", "where"),
    "matmul axes":    (lambda x: np.matmul(x, EYE, axes=[(0, 1), (0, 1), (0, 1)]), "numpy.matmul", "axes"),
    "divide out":     (lambda x: np.divide(x, 2.0, out=np.zeros((2, 3)), where=M > 1), "numpy.divide", "out"),
}
# fmt: on


@pytest.mark.parametrize("name", WORDS)
def test_a_keyword_without_a_derivative(name):
    call, function, word = WORDS[name]
    expect(
        PrimitiveError,
        lambda: tg.vjp(call, M),
        f"{function} was called with {word}= and a traced value",
        "the derivative of such a call is not known",
    )


# fmt: off
CUTS = {  # what would cut the derivative, or change a value that it needs
    "float":    (lambda x: float(x), ConversionError, "float(x) on a traced value"),
    "int":      (lambda x: int(x), ConversionError, "int(x) on a traced value"),
    "complex":  (lambda x: complex(x), ConversionError, "complex(x) on a traced value"),
    "index":    (lambda x: [1, 2][x], ConversionError, "operator.index(x) on a traced value"),
    "range":    (lambda x: range(x), ConversionError, "operator.index(x) on a traced value"),
    "round":    (lambda x: round(x), ConversionError, "round(x) on a traced value"),
    "asarray":  (lambda x: np.array([x, 1.0]), ConversionError, None),
    "element":  (lambda x: np.sum(x).__setitem__((), 1.0), AssignmentError, "assignment to elements of a traced number"),
    "delete":   (lambda x: x.__delitem__(0), AssignmentError, "cannot delete elements of an array"),
    "bytes":    (lambda x: x.tobytes(), ConversionError, "x.tobytes() on a traced value"),
    "into":     (lambda x: np.add(V.copy(), x, out=V.copy()), PrimitiveError, "numpy.add was called with out= and a traced value"),
}
# fmt: on


@pytest.mark.parametrize("name", CUTS)
def test_what_would_cut_the_derivative(name):
    call, error, first = CUTS[name]
    expect(error, lambda: tg.vjp(call, 2.0), first)


NETWORKS = {
    "softmax axis": (lambda x: tg.nn.softmax(x, axis=5), ValueError),
    "log_softmax axis": (lambda x: tg.nn.log_softmax(x, axis=5), ValueError),
    "logsumexp axis": (lambda x: tg.nn.logsumexp(x, axis=5), ValueError),
    "relu of a string": (lambda x: tg.nn.relu("a"), TypeError),
    "relu of None": (lambda x: tg.nn.relu(None), TypeError),
    "sigmoid of a string": (lambda x: tg.nn.sigmoid("a"), TypeError),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_bad_calls_of_networks(name):
    call, error = NETWORKS[name]
    with pytest.raises(error):
        tg.vjp(call, M)


def async_rules():
    async def rule(*_):
        return 1.0

    f, h = tg.custom_vjp(lambda x: x), tg.custom_vjp(lambda x: x)
    f.defvjp(rule, lambda res, g: (g,))
    h.defvjp(lambda x: (x, x), rule)
    j = tg.custom_jvp(lambda x: x)
    j.defjvp(rule)
    return {"fwd of custom_vjp": f, "bwd of custom_vjp": h, "the rule of custom_jvp": j}


@pytest.mark.parametrize("name", async_rules())
def test_async_rules(name):
    f = async_rules()[name]
    first = f"{name}(<lambda>) needs a function that computes; this one is async and returned a coroutine"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expect(OutputError, lambda: tg.grad(f)(2.0), first, "nothing in it has run")
        gc.collect()
