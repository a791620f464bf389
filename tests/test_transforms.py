"""grad, value_and_grad, vjp and stop_gradient: signatures, trees, types, nesting, and bad calls."""

import collections
import inspect
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import ArgnumsError, CotangentError, InputError, OutputError, TreeError


def cube(x):
    """The cube."""
    return x**3


def product(x, y, z=1.0):
    return x * y * z


# values and kinds


def test_derivatives_of_every_order():
    f, found = cube, []
    for _ in range(5):
        found.append(f(2.0))
        f = tg.grad(f)
    assert found == [8.0, 12.0, 12.0, 6.0, 0.0]


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        (2.0, float),
        (2, float),
        (np.float64(2), np.float64),
        (np.float32(2), np.float32),
        (np.float16(2), np.float16),
        (np.longdouble(2), np.longdouble),
        (np.array(2.0), np.ndarray),
        (np.array(2.0, np.float32), np.ndarray),
    ],
)
def test_a_gradient_is_of_the_kind_of_its_argument(argument, kind):
    for f in (cube, lambda x: 12.0 * x, lambda x: 1.0, lambda x: np.sum(x) * 12):
        g = tg.grad(f)(argument)
        assert type(g) is kind
        assert g == (0 if f(argument) == 1.0 else 12)
        if kind is not float:
            assert g.dtype == argument.dtype
            assert g.shape == ()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_gradient_keeps_shape_and_dtype_whatever_constants_it_met(dtype):
    x = np.ones((2, 3), dtype)
    wide = np.ones(3)
    g = tg.grad(lambda x: np.sum(2.0 * x * wide + 1) * np.float64(2))(x)
    assert g.dtype == dtype
    assert np.array_equal(g, np.full((2, 3), 4, dtype))


def test_the_value_is_what_the_function_returned():
    for x in (2.0, np.float32(2), np.array(2.0), np.array([1.0, 2.0])):
        for f in (lambda x: np.sum(x * x), lambda x: np.sum(x) * 0.5, lambda x: 3.0):
            value, expected = tg.value_and_grad(f)(x)[0], f(x)
            assert type(value) is type(expected)
            assert value == expected


def test_a_gradient_is_memory_of_the_callers_own():
    x, w = np.ones(3), np.full(3, 2.0)
    for f in (np.sum, lambda x: np.sum(x * w), lambda x: np.sum(x + 1), lambda x: np.sum(x[::-1])):
        g = tg.grad(f)(x)
        assert g.flags.writeable
        g[:] = 7
    assert (x == 1).all()
    assert (w == 2).all()
    a, b = tg.grad(lambda x, y: np.sum(x + y), (0, 1))(x, x)
    a[:] = 5
    assert (b == 1).all()


def test_a_rule_may_return_an_array_that_somebody_holds():
    held = np.ones(3)
    total = tg.primitive(lambda x: np.sum(x))
    total.defvjp(0)(lambda g, _y, _x: held)
    g = tg.grad(total)(np.zeros(3))
    g[:] = 9
    assert (held == 1).all()


def test_the_order_of_bytes_stays():
    for f in (lambda x: np.sum(x * x), lambda x: np.sum(np.sin(x)), lambda x: np.sum(x + x)):
        assert tg.grad(f)(np.ones(2, ">f8")).dtype.str == ">f8"


def test_zero_size():
    assert tg.grad(lambda x: np.sum(x * x))(np.zeros((0, 3))).shape == (0, 3)


# argnums, aux, keywords


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 12.0),
        (1, 8.0),
        (-1, 6.0),
        ((0, 2), (12.0, 6.0)),
        ([1], (8.0,)),
        (range(3), (12.0, 8.0, 6.0)),
        ((), ()),
        (np.int64(1), 8.0),
        ((-3, -1), (12.0, 6.0)),
    ],
)
def test_argnums(argnums, expected):
    assert tg.grad(product, argnums)(2.0, 3.0, 4.0) == expected
    assert tg.value_and_grad(product, argnums)(2.0, 3.0, 4.0) == (24.0, expected)


def test_keywords_are_passed_on_and_may_be_differentiated_by():
    assert tg.grad(product)(2.0, 3.0, z=5.0) == 15.0
    assert tg.grad(product)(2.0, y=3.0, z=5.0) == 15.0
    assert tg.grad(product)(x=2.0, y=3.0) == 3.0
    assert tg.grad(product, 1)(2.0, y=3.0) == 2.0


@pytest.mark.parametrize("argnums", [3, -4, "x", 1.5, True, None, (0, 0), (0, -3), (0, "y"), (True,), {0: 1.5}.values()])
def test_wrong_argnums(argnums):
    with pytest.raises(ArgnumsError) as caught:
        tg.grad(product, argnums)(1.0, 2.0, 3.0)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)
    three_lines(caught.value)


def test_aux():
    def f(x):
        return x * x, {"twice": 2 * x, "note": "as it is", "n": 3}

    assert tg.grad(f, has_aux=True)(3.0) == (6.0, {"twice": 6.0, "note": "as it is", "n": 3})
    assert tg.value_and_grad(f, has_aux=True)(3.0) == ((9.0, {"twice": 6.0, "note": "as it is", "n": 3}), 6.0)
    value, pullback, aux = tg.vjp(f, 3.0, has_aux=True)
    assert (value, pullback(1.0), aux["twice"]) == (9.0, (6.0,), 6.0)


def test_aux_carries_a_derivative_to_the_frames_around():
    def outer(x):
        _, aux = tg.grad(lambda y: (y * y, x * y), has_aux=True)(x)
        return aux

    assert tg.grad(outer)(3.0) == 6.0


@pytest.mark.parametrize("out", [3.0, (1.0,), (1.0, 2, 3), None])
def test_aux_needs_a_pair(out):
    with pytest.raises(OutputError, match="has_aux=True") as caught:
        tg.grad(lambda x: out, has_aux=True)(1.0)
    three_lines(caught.value)


# trees

Point = collections.namedtuple("Point", "x y")


@tg.tree.register_dataclass
@dataclass
class Layer:
    w: np.ndarray
    b: float


TREES = [
    [1.0, 2.0],
    (1.0, (2.0, [3.0])),
    {"b": 1.0, "a": np.array([1.0, 2.0])},
    Point(1.0, {"k": 2.0}),
    collections.OrderedDict(b=1.0, a=2.0),
    collections.defaultdict(float, b=1.0, a=2.0),
    [None, 1.0, (), {}],
    [],
    {},
    None,
    Layer(np.array([1.0, 2.0]), 3.0),
    [Layer(np.array([1.0]), 3.0), {"x": Layer(np.array([2.0]), 1.0)}],
]


@pytest.mark.parametrize("argument", TREES, ids=repr)
def test_a_gradient_has_the_structure_of_its_argument(argument):
    def f(p):
        assert tg.tree.structure(p) == tg.tree.structure(argument)
        return sum([np.sum(leaf**3) for leaf in tg.tree.leaves(p)], start=0.0)

    g = tg.grad(f)(argument)
    assert tg.tree.structure(g) == tg.tree.structure(argument)
    for a, b in zip(tg.tree.leaves(g), tg.tree.leaves(argument), strict=True):
        assert type(a) is type(b)
        assert np.allclose(a, 3 * b**2)


def test_dicts_keep_their_order():
    seen = []

    def f(p):
        seen.extend(p)
        return p["b"] * p["a"]

    assert list(tg.grad(f)({"b": 2.0, "a": 3.0}).items()) == [("b", 3.0), ("a", 2.0)]
    assert seen == ["b", "a"]


def test_a_tree_that_contains_itself_is_refused():
    loop = [1.0]
    loop.append(loop)
    with pytest.raises(TreeError):
        tg.grad(lambda p: p[0])(loop)


# vjp


def test_vjp_gives_a_tuple_and_can_be_called_again():
    value, pullback = tg.vjp(lambda x, p: (x * p["w"], p["w"] * 2), np.array([1.0, 2.0]), {"w": 3.0})
    assert np.array_equal(value[0], [3, 6])
    for _ in range(2):
        gx, gp = pullback((np.array([1.0, 1.0]), 1.0))
        assert np.array_equal(gx, [3, 3])
        assert gp == {"w": 5.0}
    gx, gp = pullback((np.zeros(2), 1.0))
    assert np.array_equal(gx, [0, 0])
    assert gp == {"w": 2.0}


def test_a_pullback_inside_other_transforms():
    _, pullback = tg.vjp(lambda x: x**3, 2.0)
    assert tg.grad(lambda g: pullback(g)[0] ** 2)(3.0) == 2 * 12 * 12 * 3
    assert tg.grad(lambda x: tg.vjp(lambda x: x**3, x)[1](1.0)[0])(2.0) == 12.0

    def later(x):
        _, pull = tg.vjp(lambda y: x * y**2, 3.0)
        return tg.grad(lambda g: pull(g)[0])(1.0) * x  # 6x · x

    assert tg.grad(later)(2.0) == 24.0


def test_what_vjp_returned_can_be_changed():
    x = np.array([1.0, 2.0])
    y, pullback = tg.vjp(np.exp, x)
    y[:] = 0
    assert np.allclose(pullback(np.ones(2))[0], np.exp(x))


def test_a_pullback_of_what_does_not_depend():
    value, pullback = tg.vjp(lambda x: (x, 3.0, np.ones(2)), 1.0)
    assert pullback((2.0, 1.0, np.ones(2))) == (2.0,)
    assert value[1] == 3.0


def test_an_outer_frame_that_has_ended_is_told():
    kept = []

    def f(x):
        kept.append(tg.vjp(lambda y: x * y * y, 3.0)[1])
        return x * 1.0

    tg.grad(f)(2.0)
    with pytest.raises(tg.errors.EscapedTracerError, match="grad"):
        kept[0](1.0)


@pytest.mark.parametrize(
    "cotangent", [np.ones(2), np.ones((3, 1)), 1.0, "no", None, 1j * np.ones((), complex), np.array(["a", "b", "c"])]
)
def test_a_pullback_refuses_a_wrong_cotangent(cotangent):
    _, pullback = tg.vjp(lambda x: x * 2, np.ones(3))
    with pytest.raises((CotangentError, TreeError)) as caught:
        pullback(cotangent)
    three_lines(caught.value)


def test_a_pullback_refuses_another_structure():
    _, pullback = tg.vjp(lambda x: (x, x), 1.0)
    for wrong in ([1.0, 1.0], (1.0,), 1.0, {"a": 1.0, "b": 2.0}):
        with pytest.raises(TreeError):
            pullback(wrong)


# complex numbers: ∂L/∂x − i ∂L/∂y


def test_complex_convention():
    z = np.array([1 + 2j, -0.5j])
    g = tg.grad(lambda z: np.sum(np.abs(z) ** 2))(z)
    assert np.allclose(g, 2 * np.conj(z))
    assert tg.grad(lambda z: z**3, holomorphic=True)(1 + 1j) == pytest.approx(3 * (1 + 1j) ** 2)
    _, pullback = tg.vjp(lambda z: z**2, 1 + 1j)
    assert pullback(1 + 0j)[0] == 2 + 2j


def test_real_weights_of_complex_numbers_get_real_gradients():
    w, x = np.array([3.0 + 4.0j, 1.0 - 2.0j]), np.array([1.0, 2.0])
    power = lambda z: np.abs(z) ** 2
    for f in (
        lambda x: power(np.sum(x * w)),
        lambda x: power(np.dot(x, w)),
        lambda x: power(np.matmul(w, x)),
        lambda x: power(np.einsum("i,i", w, x)),
        lambda x: power(np.tensordot(x, w, 1)),
    ):
        g = tg.grad(f)(x)
        assert g.dtype == np.float64
        assert np.allclose(g, [30, 10])


@pytest.mark.parametrize(("f", "x", "holomorphic"), [(lambda z: z * z, 1j, False), (lambda x: x * x, 1.0, True)])
def test_complex_results_need_holomorphic(f, x, holomorphic):
    with pytest.raises(OutputError, match="holomorphic") as caught:
        tg.grad(f, holomorphic=holomorphic)(x)
    three_lines(caught.value)


# nesting


def test_perturbations_are_not_confused():
    assert tg.grad(lambda x: x * tg.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert tg.grad(lambda x: tg.grad(lambda y: tg.grad(lambda z: x * y * z)(y))(x))(5.0) == 1.0


def test_an_inner_gradient_by_what_the_outer_traces():
    h = tg.grad(lambda x: np.sum(tg.grad(lambda y: np.sum(y**3 * x))(x)))
    x = np.array([1.0, 2.0])
    assert np.allclose(h(x), 9 * x**2)


def test_siblings_at_one_depth():
    def f(x):
        a = tg.grad(lambda y: y * y * x)(2.0)
        b = tg.grad(lambda y: y * a)(3.0)
        return a * b  # (4x)²

    assert tg.grad(f)(5.0) == 160.0


def test_mixed_second_derivatives():
    f = lambda x, y: np.sin(x * y) * y
    a = tg.grad(tg.grad(f, 0), 1)(0.3, 0.7)
    b = tg.grad(tg.grad(f, 1), 0)(0.3, 0.7)
    x, y = 0.3, 0.7
    assert a == pytest.approx(2 * y * np.cos(x * y) - x * y**2 * np.sin(x * y))
    assert a == pytest.approx(b)


def test_stop_gradient():
    assert tg.grad(lambda x: x * tg.stop_gradient(x))(3.0) == 3.0
    assert tg.grad(lambda x: tg.stop_gradient({"a": [x, 2.0]})["a"][0] * 1.0)(3.0) == 0.0
    assert tg.stop_gradient(3.0) == 3.0
    assert tg.stop_gradient("text") == "text"

    def f(x):
        y = tg.stop_gradient(x)
        y[:] = 100.0
        return np.sum(x * x)

    assert np.array_equal(tg.grad(f)(np.array([1.0, 2.0])), [2, 4])
    assert tg.grad(lambda x: tg.grad(lambda y: tg.stop_gradient(x * y) * y)(2.0))(3.0) == 0.0


# what is not differentiable


class Strange:
    pass


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize(
    "argument",
    [
        True,
        "text",
        b"bytes",
        Strange(),
        np.array([1, 2]),
        np.int64(1),
        np.array([True]),
        np.array(["a"]),
        np.array([None]),
        np.array([1.0], dtype=object),
        np.zeros(2, [("a", float)]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.ones(2).view(Sub),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        {1.0, 2.0},
        [1.0, "text"],
        {"a": [np.array([1, 2])]},
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_cannot_be_differentiated_by(argument):
    with pytest.raises(InputError) as caught:
        tg.grad(lambda x: 1.0)(argument)
    assert isinstance(caught.value, TypeError)
    three_lines(caught.value)


def test_a_leaf_is_named_by_its_path():
    with pytest.raises(InputError, match=r"p\['layers'\]\[0\]"):
        tg.grad(lambda a, p: 1.0, argnums=1)(1.0, {"layers": [np.array([1, 2])]})


def generator(x):
    yield x


async def coroutine(x):
    return x


@pytest.mark.parametrize(
    "f",
    [
        lambda x: None,
        lambda x: "text",
        lambda x: (x, x),
        lambda x: [x],
        lambda x: {"a": x},
        lambda x: 3,
        lambda x: True,
        lambda x: np.int64(3),
        lambda x: x > 0,
        lambda x: np.array([1.0, 2.0]),
        lambda x: np.array([x * 1.0]) if not tg.is_tracer(x) else tg.numpy.array([x]),
        lambda x: Strange(),
        generator,
    ],
)
def test_what_a_gradient_cannot_be_taken_of(f):
    with pytest.raises(OutputError) as caught:
        tg.grad(f)(1.0)
    assert isinstance(caught.value, TypeError)
    three_lines(caught.value)


def test_a_coroutine_is_no_result():
    made = []

    def f(x):
        made.append(coroutine(x))
        return made[0]

    with pytest.raises(OutputError, match="coroutine"):
        tg.grad(f)(1.0)
    made[0].close()


@pytest.mark.parametrize("f", [3.0, None, "sin", np.ones(2)])
@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.trace, lambda f: tg.vjp(f, 1.0)])
def test_not_a_function(f, transform):
    with pytest.raises(InputError, match="needs a function") as caught:
        transform(f)
    three_lines(caught.value)


def test_no_arguments():
    with pytest.raises(ArgnumsError):
        tg.grad(lambda: 1.0)()


# what a transform keeps of its function


def test_name_docstring_signature_and_pickle():
    g = tg.grad(cube)
    assert g.__name__ == "cube"
    assert g.__doc__ == "The cube."
    assert inspect.signature(tg.value_and_grad(product)) == inspect.signature(product)
    assert pickle.loads(pickle.dumps(g))(2.0) == 12.0
    assert pickle.loads(pickle.dumps(tg.value_and_grad(product, (0, 1))))(2.0, 3.0) == (6.0, (3.0, 2.0))


def test_as_a_method():
    class Model:
        scale = 3.0

        @tg.grad
        def slope(x):
            return x * x

        def loss(self, x):
            return self.scale * x * x

        gradient = tg.grad(loss, argnums=1)

    assert Model.slope(2.0) == 4.0
    assert Model().gradient(2.0) == 12.0


def test_an_exception_of_the_function_passes_through():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tg.grad(f)(1.0)
    assert tg.grad(cube)(2.0) == 12.0
