"""Elementwise functions: every row of the table, its shapes, dtypes and operands, and the points where it is delicate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import (
    DOORS,
    Case,
    alone,
    array,
    assert_same,
    case,
    check_derivatives,
    check_value,
    cplx,
    ours,
    table,
    value_when_traced,
)

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import MissingRuleError, PrimitiveError
from tapegrad.testing import check_grads

INF, NAN, PI = math.inf, math.nan, math.pi
_SHARE = math.exp(-1) / (1 + math.exp(-1))

# functions of one argument: the interval that their arguments come from, and whether they take complex numbers
UNARY: dict[np.ufunc, tuple[float, float, bool]] = {
    np.negative: (-2, 2, True),
    np.positive: (-2, 2, True),
    np.absolute: (-2, 2, True),
    np.fabs: (-2, 2, False),
    np.conjugate: (-2, 2, True),
    np.square: (-2, 2, True),
    np.sqrt: (0.3, 3, True),
    np.cbrt: (-3, -0.3, False),
    np.reciprocal: (0.4, 2, True),
    np.exp: (-2, 2, True),
    np.exp2: (-2, 2, True),
    np.expm1: (-2, 2, True),
    np.log: (0.3, 3, True),
    np.log2: (0.3, 3, True),
    np.log10: (0.3, 3, True),
    np.log1p: (-0.6, 3, True),
    np.sin: (-3, 3, True),
    np.cos: (-3, 3, True),
    np.tan: (-1.2, 1.2, True),
    np.arcsin: (-0.8, 0.8, True),
    np.arccos: (-0.8, 0.8, True),
    np.arctan: (-2, 2, True),
    np.sinh: (-2, 2, True),
    np.cosh: (-2, 2, True),
    np.tanh: (-2, 2, True),
    np.arcsinh: (-2, 2, True),
    np.arccosh: (1.3, 3, True),
    np.arctanh: (-0.8, 0.8, True),
    np.deg2rad: (-90, 90, False),
    np.rad2deg: (-2, 2, False),
    np.radians: (-90, 90, False),
    np.degrees: (-2, 2, False),
}
# functions of two arguments: the intervals of each, and whether they take complex numbers
BINARY: dict[np.ufunc, tuple[tuple[float, float], tuple[float, float], bool]] = {
    np.add: ((-2, 2), (-2, 2), True),
    np.subtract: ((-2, 2), (-2, 2), True),
    np.multiply: ((-2, 2), (-2, 2), True),
    np.divide: ((-2, 2), (0.4, 2), True),
    np.power: ((0.4, 2), (-2, 3), True),
    np.float_power: ((0.4, 2), (-2, 3), True),
    np.remainder: ((3.1, 3.9), (0.8, 1), False),
    np.fmod: ((-3.9, -3.1), (0.8, 1), False),
    np.hypot: ((-2, 2), (-2, 2), False),
    np.arctan2: ((-2, 2), (0.3, 2), False),
    np.logaddexp: ((-2, 2), (-2, 2), False),
    np.logaddexp2: ((-2, 2), (-2, 2), False),
    np.maximum: ((-2, 2), (-2, 2.3), True),
    np.minimum: ((-2, 2), (-2, 2.3), True),
    np.fmax: ((-2, 2), (-2, 2.3), True),
    np.fmin: ((-2, 2), (-2, 2.3), True),
    np.copysign: ((-2, -0.3), (-2, 2), False),
    np.heaviside: ((-2, 2), (-2, 2), False),
    np.nextafter: ((-2, -1), (1, 2), False),
}
# functions whose derivative is zero wherever there is one, with arguments for them
CONSTANT: list[Case] = [
    *[case(f, array(3, low=-3, high=3)) for f in (np.floor, np.ceil, np.rint, np.trunc, np.sign, np.fix, np.spacing)],
    *[case(f, array(3)) for f in (np.signbit, np.isfinite, np.isinf, np.isnan, np.isneginf, np.isposinf)],
    *[case(f, array(2, 3)) for f in (np.isreal, np.iscomplex, np.isrealobj, np.iscomplexobj, np.logical_not)],
    *[case(f, array(2, 3)) for f in (np.shape, np.ndim, np.size, np.isscalar, np.min_scalar_type, np.common_type)],
    *[case(f, array(2, 3)) for f in (np.array_repr, np.array_str, np.array2string)],
    *[case(f, array(3), array(3, seed=1)) for f in (np.equal, np.not_equal, np.less, np.less_equal, np.greater)],
    *[case(f, array(3), array(3)) for f in (np.greater_equal, np.logical_and, np.logical_or, np.logical_xor)],
    *[case(f, array(3), array(3)) for f in (np.isclose, np.allclose, np.array_equal, np.array_equiv)],
    case(np.floor_divide, array(3, low=-3, high=3), array(3)),
    case(np.floor_divide, array(2, 3), 0.7),
    case(np.around, array(3), 1),
    case(np.round, array(3), decimals=1),
    case(np.result_type, array(3), np.float32),
    case(np.can_cast, np.float32, np.float64),
]
OTHERS: list[Case] = [
    case(np.real, array(2, 3)),
    case(np.real, cplx(2, 3)),
    case(np.real, 1.5),
    case(np.i0, array(2, 3, low=-3, high=3)),
    case(np.imag, array(2, 3)),
    case(np.imag, cplx(2, 3)),
    case(np.angle, cplx(2, 3)),
    case(np.angle, cplx(2), deg=True),
    case(np.angle, array(3)),
    case(np.sign, cplx(2, 3)),
    case(np.sinc, array(2, 3, low=-3, high=3)),
    case(np.sinc, 0.7),
    case(np.ldexp, array(3), np.array([1, -2, 3])),
    case(np.ldexp, array(3), 2),
    case(np.divmod, array(2, 3, low=3.1, high=3.9), array(3, low=0.8, high=1)),
    case(np.divmod, array(3, low=3.1, high=3.9), 1),
    case(np.where, np.array([True, False, True]), array(3), array(3, seed=1)),
    case(np.where, np.array([[True], [False]]), array(3), array(2, 1)),
    case(np.where, True, array(3), 0.0),
    case(np.where, np.array([True, False]), 0.0, 2.5),
    case(np.where, np.array([True, False]), array(2), np.array([1, 2])),
    case(np.select, [np.array([True, False, False]), np.array([True, True, False])], [array(3), array(3, seed=1)], 0.5),
    case(np.select, [np.array([True, False]), np.array([False, False])], [array(2), array(2, seed=2)]),
    case(np.clip, array(2, 5, low=-1, high=2), 0, 1),
    case(np.clip, array(5, low=-1, high=2), 0.1, None),
    case(np.clip, array(5, low=-1, high=2), None, 0.9),
    case(np.clip, array(2, 3), array(3, low=0.2, high=1), array(2, 1, low=1.2, high=1.5)),
    case(np.clip, 1.5, 0.0, 1.0),
]

SHAPES: list[tuple[int, ...]] = [(), (3,), (2, 1), (0, 2)]
PAIRS = [
    ((), ()),
    ((3,), (3,)),
    ((2, 1), (3,)),
    ((), (2,)),
    ((2,), (1, 1)),
    ((1, 3), (2, 3)),
    ((0,), (1,)),
    ((2, 0), ()),
]
BROADCAST = [((2, 1), (3,)), ((), (2,)), ((2,), (1, 1)), ((0,), (1,))]


def of_one(function: np.ufunc, shape: tuple[int, ...], dtype: Any = np.float64) -> Case:
    low, high, _ = UNARY[function]
    x = array(*shape, low=low, high=high)
    return case(function, (x + 1j * array(*shape, seed=5) if np.dtype(dtype).kind == "c" else x).astype(dtype))


def of_two(function: np.ufunc, *shapes: tuple[int, ...], dtype: Any = np.float64) -> Case:
    args = []
    for seed, (shape, (low, high)) in enumerate(zip(shapes, BINARY[function][:2], strict=True)):
        x = array(*shape, seed=seed, low=low, high=high)
        args.append((x + 1j * array(*shape, seed=seed + 5) if np.dtype(dtype).kind == "c" else x).astype(dtype))
    return case(function, *args)


def kinds(takes_complex: bool) -> list[Any]:
    return [np.float32, np.float64, np.complex64, np.complex128] if takes_complex else [np.float32, np.float64]


# values


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
def test_value_of_one(function: np.ufunc) -> None:
    for dtype in [np.float16, np.longdouble, *kinds(_takes_complex(function))]:
        for shape in SHAPES:
            check_value(of_one(function, shape, dtype), ulps=0)
    for x in of_one(function, (2,)).args[0]:
        for number in (float(x), x, np.float32(x)):
            check_value(case(function, number), ulps=0)


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_value_of_two(function: np.ufunc) -> None:
    for dtype in kinds(_takes_complex(function)):
        for shapes in PAIRS:
            check_value(of_two(function, *shapes, dtype=dtype), ulps=0)
    x, z = (float(a) for a in of_two(function, (), ()).args)
    a, b = of_two(function, (2,), (2,)).args
    for args in [
        (x, z),
        (a, z),
        (x, b),
        (np.float32(x), z),
        (a.astype("f"), z),
        (x, b.astype("f")),
        (a, b.astype("f")),
    ]:
        check_value(case(function, *args), ulps=0)
    for args in [(a, [1, 2]), ([1, 2], b), (a, (1, 2)), (a, np.array([1, 2])), (3, b), (a, np.int64(2)), (a, True)]:
        check_value(case(function, *args), ulps=0)


def _takes_complex(function: np.ufunc) -> bool:
    return (UNARY.get(function) or BINARY[function])[-1]


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")
@table(*CONSTANT)
def test_value_of_constants(call: Case) -> None:
    check_value(call, ulps=0)


@table(*OTHERS)
def test_value_of_others(call: Case) -> None:
    check_value(call)
    check_value(call.astype(np.float32))


def test_dtype_argument() -> None:
    x = array(3)
    for f in (np.add, np.multiply, np.arctan2):
        check_value(Case(f, (x, x), {"dtype": np.float32}))
        check_value(Case(f, (x.astype("f"), 2.0), {"dtype": np.float64}))
    check_value(Case(np.exp, (x,), {"dtype": np.float32}))
    check_grads(lambda x: np.exp(x, dtype=np.float64), (x.astype("f"),), order=1)
    assert tg.grad(lambda x: np.sum(np.sin(x, dtype=np.float32)))(x).dtype == np.float64
    assert tg.vjp(lambda x: np.sin(x, casting="same_kind"), x)[0].dtype == np.float64


# derivatives


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
def test_derivatives_of_one(function: np.ufunc) -> None:
    for shape in SHAPES:
        check_grads(function, of_one(function, shape).args, order=1)
    check_derivatives(of_one(function, (2,)))
    check_derivatives(case(function, float(of_one(function, ()).args[0])))
    check_grads(function, of_one(function, (2,), np.float32).args, order=1)
    if _takes_complex(function):
        check_derivatives(of_one(function, (), np.complex128))
        check_grads(function, of_one(function, (), np.complex64).args, order=1)


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_derivatives_of_two(function: np.ufunc) -> None:
    for shapes in BROADCAST:
        check_grads(function, of_two(function, *shapes).args, order=1)
    check_derivatives(of_two(function, (1,), (2, 1)))
    x, z = (float(a) for a in of_two(function, (), ()).args)
    a, b = of_two(function, (2,), (2,)).args
    check_grads(function, (x, z))
    check_grads(lambda a: function(a, z), (a[:1],))
    check_grads(lambda b: function(x, b), (b[:1],))
    check_grads(lambda b: function(2, b), (b,), order=1)
    for one, other in [(a.astype("f"), z), (np.float64(x), b.astype("f"))]:
        check_grads(function, (one, other), order=1)
    if _takes_complex(function):
        check_derivatives(of_two(function, (), (1,), dtype=np.complex128))
        check_grads(function, of_two(function, (), (2,), dtype=np.complex64).args, order=1)
        mixed = of_two(function, (), (), dtype=np.complex128).args[0], b
        check_grads(function, mixed, order=1)
        check_grads(function, mixed[::-1], order=1)


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_one_argument_inside_and_one_outside(function: np.ufunc) -> None:
    """Two transforms, of which the inner one traces one argument and the outer one the other."""
    for args in (of_two(function, (2,), (2,)).args, tuple(float(a) for a in of_two(function, (), ()).args)):
        x, z = args
        by_z = lambda x, z=z: tg.grad(lambda z: np.sum(x * function(x, z) * z) + 0.0)(z)
        by_x = lambda z, x=x: tg.grad(lambda x: np.sum(x * function(x, z) * z) + 0.0)(x)
        check_grads(by_z, (x,), order=1)
        check_grads(by_x, (z,), order=1)


@table(*OTHERS)
def test_derivatives_of_others(call: Case) -> None:
    check_derivatives(call)
    check_grads(*alone(call.through("np"), call.astype(np.float32).args), order=1)


@pytest.mark.parametrize("function", [*UNARY, *BINARY], ids=lambda f: f.__name__)
def test_float32_stays(function: np.ufunc) -> None:
    """Neither Python's constants nor a Python number in the other operand make a gradient of float32 wider."""
    call = of_one(function, (2,), np.float32) if function in UNARY else of_two(function, (2,), (2,), dtype=np.float32)
    x = call.args[0]
    second = tg.grad(lambda x: np.sum(tg.grad(lambda x: 0.5 * np.sum(function(x, *call.args[1:]) * 3))(x) ** 2))
    assert second(x).dtype == np.float32
    assert tg.grad(lambda x: np.sum(function(x, *[1.5] * len(call.args[1:]))))(x).dtype == np.float32


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")
@table(*CONSTANT)
def test_constants_carry_no_derivative(call: Case) -> None:
    def f(*args: Any) -> Any:
        y = call.through("np")(*args)
        assert not isinstance(y, tg.tracer.Tracer)
        return 2.0

    varying = tuple(k for k, a in enumerate(call.args) if isinstance(a, np.ndarray))
    for x, g in zip([call.args[k] for k in varying], tg.grad(f, varying)(*call.args), strict=True):
        assert_same(g, np.zeros_like(x))


def test_where_of_a_condition_alone() -> None:
    x = np.array([0.0, 2.0, 0.0, 3.0])
    assert tg.value_and_grad(lambda x: np.sum(x[np.where(x)]))(x)[1].tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="either both or neither"):
        tg.grad(lambda x: np.sum(np.where(x > 0, x)))(x)


def test_a_condition_is_a_constant() -> None:
    assert tg.grad(lambda x: np.sum(np.where(x, x, 3.0)))(np.array([0.0, 2.0])).tolist() == [0, 1]
    assert tg.grad(lambda x: np.sum(np.select([x > 1, x > 0], [x * x, x])))(np.array([0.5, 2.0])).tolist() == [1, 4]


def test_where_sends_nothing_to_what_it_leaves_out() -> None:
    x = np.array([0.5, INF, NAN])
    assert tg.grad(lambda x: np.sum(np.where(np.isfinite(x), x, 0)))(x).tolist() == [1, 0, 0]


# complex numbers: of a real L of z = x + iy the cotangent of z is dL/dx - i dL/dy


@pytest.mark.parametrize(
    ("f", "z", "expected"),
    [
        (np.real, 1 + 2j, 1),
        (np.imag, 1 + 2j, -1j),
        (np.abs, 3 + 4j, (3 - 4j) / 5),
        (lambda z: np.abs(z) ** 2, 3 + 4j, 6 - 8j),
        (lambda z: np.real(z * np.conj(z)), 3 + 4j, 6 - 8j),
        (np.angle, 3 + 4j, (-4 - 3j) / 25),
        (lambda z: np.real(np.exp(z)), 0.5 + 1j, np.exp(0.5 + 1j)),
        (lambda z: np.imag(np.exp(z)), 0.5 + 1j, -1j * np.exp(0.5 + 1j)),
        (lambda z: np.real(np.sign(z)), 3 + 4j, (16 + 12j) / 125),
    ],
)
def test_complex_convention(f: Callable[[Any], Any], z: complex, expected: complex) -> None:
    for number in (z, np.complex128(z), np.array(z)):
        g = tg.grad(f)(number)
        assert type(g) is type(number)
        assert g == pytest.approx(expected)
    step = 1e-6
    slope = (f(z + step) - f(z - step) - 1j * (f(z + 1j * step) - f(z - 1j * step))) / (2 * step)
    assert slope == pytest.approx(expected)


@pytest.mark.parametrize("f", [np.exp, np.sin, np.log, np.sqrt, np.tanh, lambda z: z**3, lambda z: 1 / z])
def test_holomorphic(f: Callable[[Any], Any]) -> None:
    z, h = 0.7 + 0.4j, 1e-5
    slope = (f(z + h) - f(z - h)) / (2 * h)
    curve = (f(z + 10 * h) - 2 * f(z) + f(z - 10 * h)) / (10 * h) ** 2
    assert tg.grad(f, holomorphic=True)(z) == pytest.approx(slope, rel=1e-8)
    assert tg.grad(tg.grad(f, holomorphic=True), holomorphic=True)(z) == pytest.approx(curve, rel=1e-5)


# special points: value, first and second derivative


REFUSED = None  # in the place of a second derivative: there is none, and asking for it raises


def _pick(f: Callable[..., Any], k: int, *others: float) -> Callable[[Any], Any]:
    """f as a function of its argument k, the others held."""
    return lambda x: f(*others[:k], x, *others[k:])


POINTS: list[tuple[str, Callable[[Any], Any], float, float, float, float]] = [
    # name, function, point, value, first derivative, second derivative
    ("abs", np.abs, 0.0, 0, 0, 0),
    ("abs", np.abs, -0.0, 0, 0, 0),
    ("abs", abs, 0.0, 0, 0, 0),
    ("abs", np.abs, -INF, INF, -1, 0),
    ("fabs", np.fabs, 0.0, 0, 0, 0),
    ("x |x|", lambda x: x * np.abs(x), 0.0, 0, 0, REFUSED),
    ("sign", lambda x: np.sign(x) + 0 * x, 0.0, 0, 0, 0),
    ("sign", lambda x: x * np.sign(x), -2.0, 2, -1, 0),
    ("floor", lambda x: np.floor(x) + 0 * x, 1.0, 1, 0, 0),
    ("maximum, tied", _pick(np.maximum, 0, 1.0), 1.0, 1, 0.5, 0),
    ("maximum, tied", _pick(np.maximum, 1, 1.0), 1.0, 1, 0.5, 0),
    ("maximum, both", lambda x: np.maximum(x, x), 1.0, 1, 1, 0),
    ("maximum of squares, tied", lambda x: np.maximum(x * x, 1.0), 1.0, 1, 1, 1),
    ("minimum, tied", _pick(np.minimum, 0, 1.0), 1.0, 1, 0.5, 0),
    ("minimum, tied", _pick(np.minimum, 1, 1.0), 1.0, 1, 0.5, 0),
    ("fmax, tied", _pick(np.fmax, 0, 1.0), 1.0, 1, 0.5, 0),
    ("fmin, tied", _pick(np.fmin, 1, 1.0), 1.0, 1, 0.5, 0),
    ("fmax, other nan", _pick(np.fmax, 0, NAN), 1.0, 1, 1, 0),
    ("fmin, other nan", _pick(np.fmin, 1, NAN), 1.0, 1, 1, 0),
    ("clip, below", lambda x: np.clip(x, 0, 1), -1.0, 0, 0, 0),
    ("clip, lower edge", lambda x: np.clip(x, 0, 1), 0.0, 0, 0.5, 0),
    ("clip, inside", lambda x: np.clip(x, 0, 1), 0.5, 0.5, 1, 0),
    ("clip, upper edge", lambda x: np.clip(x, 0, 1), 1.0, 1, 0.5, 0),
    ("clip of a square, upper edge", lambda x: np.clip(x * x, 0, 1), 1.0, 1, 1, 1),
    ("clip, its bound", lambda x: np.clip(0.5, x, 1.0), 0.7, 0.7, 1, 0),
    ("hypot", _pick(np.hypot, 0, 0.0), 0.0, 0, 0, REFUSED),
    ("hypot", _pick(np.hypot, 1, 0.0), 0.0, 0, 0, REFUSED),
    ("hypot, both", lambda x: np.hypot(x, x), 0.0, 0, 0, REFUSED),
    ("hypot", _pick(np.hypot, 0, 2.0), 0.0, 2, 0, 0.5),
    ("hypot, huge", _pick(np.hypot, 0, 4e200), 3e200, 5e200, 0.6, 0.128e-200),
    ("hypot, tiny", _pick(np.hypot, 0, 4e-200), 3e-200, 5e-200, 0.6, 0.128e200),
    ("sinc", np.sinc, 0.0, 1, 0, -(PI**2) / 3),
    ("sinc", np.sinc, 1e-9, 1, -(PI**2) / 3 * 1e-9, -(PI**2) / 3),
    ("sinc", np.sinc, 1.0, np.sinc(1.0), -1, 2),
    ("sinc", np.sinc, -0.5, 2 / PI, 4 / PI, 16 / PI - 2 * PI),
    ("x**2", lambda x: x**2, 0.0, 0, 0, 2),
    ("x**2.0", lambda x: x**2.0, 0.0, 0, 0, 2),
    ("x**2.0", lambda x: x**2.0, -3.0, 9, -6, 2),
    ("x**3", lambda x: x**3, 0.0, 0, 0, 0),
    ("x**3", lambda x: x**3, -2.0, -8, 12, -12),
    ("x**1", lambda x: x**1, 0.0, 0, 1, 0),
    ("x**1.0", lambda x: x**1.0, 0.0, 0, 1, 0),
    ("x**0", lambda x: x**0, 0.0, 1, 0, 0),
    ("x**0.0", lambda x: x**0.0, 0.0, 1, 0, 0),
    ("x**0", lambda x: x**0, 2.0, 1, 0, 0),
    ("x**-2", lambda x: x**-2, -2.0, 0.25, 0.25, 0.375),
    ("x**1.5", lambda x: x**1.5, 0.0, 0, 0, INF),
    ("x**0.5", lambda x: x**0.5, 0.0, 0, INF, -INF),
    ("x**-0.5", lambda x: x**-0.5, 0.0, INF, -INF, INF),
    ("x**0.5", lambda x: x**0.5, -1.0, NAN, NAN, NAN),
    ("x**3", lambda x: x**3, 1e200, INF, INF, 6e200),
    ("power(x, 2)", lambda x: np.power(x, 2), 0.0, 0, 0, 2),
    ("power(x, array)", lambda x: np.sum(np.power(x, np.array([0, 1, 2, 3]))), 0.0, 1, 1, 2),
    ("0.0**z", lambda z: 0.0**z, 2.0, 0, 0, 0),
    ("0**z", lambda z: 0**z, 2.0, 0, 0, 0),
    ("0.0**z", lambda z: 0.0**z, 0.0, 1, 0, 0),
    ("2**z", lambda z: 2**z, 0.0, 1, math.log(2), math.log(2) ** 2),
    ("sqrt", np.sqrt, 0.0, 0, INF, -INF),
    ("square", np.square, 0.0, 0, 0, 2),
    ("cbrt", np.cbrt, -8.0, -2, 1 / 12, 1 / 144),
    ("cbrt", np.cbrt, 0.0, 0, INF, NAN),
    ("1/x", lambda x: 1 / x, 0.0, INF, -INF, INF),
    ("1/x", lambda x: 1 / x, INF, 0, 0, 0),
    ("x/0", lambda x: x / 0, 1.0, INF, INF, 0),
    ("log", np.log, 0.0, -INF, INF, -INF),
    ("log1p", np.log1p, -1.0, -INF, INF, -INF),
    ("log1p", np.log1p, 1e-20, 1e-20, 1, -1),
    ("expm1", np.expm1, -40.0, -1, math.exp(-40), math.exp(-40)),
    ("expm1", np.expm1, 0.0, 0, 1, 1),
    ("logaddexp, equal", _pick(np.logaddexp, 0, 3.0), 3.0, 3 + math.log(2), 0.5, 0.25),
    ("logaddexp, both", lambda x: np.logaddexp(x, x), 3.0, 3 + math.log(2), 1, 0),
    ("logaddexp, far", _pick(np.logaddexp, 0, 0.0), 1000.0, 1000, 1, 0),
    ("logaddexp, far", _pick(np.logaddexp, 1, 1000.0), 0.0, 1000, 0, 0),
    ("logaddexp, beside -inf", _pick(np.logaddexp, 0, -INF), 1.0, 1, 1, 0),
    ("logaddexp, huge", _pick(np.logaddexp, 0, 2.0**20), 2.0**20, 2.0**20 + math.log(2), 0.5, 0.25),
    ("logaddexp2, equal", _pick(np.logaddexp2, 0, 3.0), 3.0, 4, 0.5, 0.25 * math.log(2)),
    ("logaddexp2, far", _pick(np.logaddexp2, 1, 0.0), -2000.0, 0, 0, 0),
    ("arctan2(x, 1)", _pick(np.arctan2, 0, 1.0), 0.0, 0, 1, 0),
    ("arctan2(x, -1)", _pick(np.arctan2, 0, -1.0), 0.0, PI, -1, 0),
    ("arctan2(1, x)", _pick(np.arctan2, 1, 1.0), 0.0, PI / 2, -1, 0),
    ("arctan2(-1, x)", _pick(np.arctan2, 1, -1.0), 0.0, -PI / 2, 1, 0),
    ("arctan2, tiny", _pick(np.arctan2, 0, 1e-200), 1e-200, PI / 4, 0.5e200, -INF),
    ("arctan2, huge", _pick(np.arctan2, 0, 1e200), 1e200, PI / 4, 0.5e-200, 0),
    ("copysign(x, 1)", _pick(np.copysign, 0, 1.0), -2.0, 2, -1, 0),
    ("copysign(x, -0.0)", _pick(np.copysign, 0, -0.0), 2.0, -2, -1, 0),
    ("copysign(x, 1)", _pick(np.copysign, 0, 1.0), 0.0, 0, 0, 0),
    ("copysign(1, z)", _pick(np.copysign, 1, 1.0), 2.0, 1, 0, 0),
    ("heaviside(0, z)", _pick(np.heaviside, 1, 0.0), 0.5, 0.5, 1, 0),
    ("heaviside(1, z)", _pick(np.heaviside, 1, 1.0), 0.5, 1, 0, 0),
    ("heaviside(x, 0.5)", _pick(np.heaviside, 0, 0.5), 0.0, 0.5, 0, 0),
    ("angle", lambda x: np.angle(x) + 0 * x, 0.0, 0, 0, 0),
    ("angle", lambda x: np.angle(x) + 0 * x, -1.0, PI, 0, 0),
    ("where", lambda x: np.where(x >= 0, x, x * x), 0.0, 0, 1, 0),
    ("where", lambda x: np.where(x > 0, x, x * x), 0.0, 0, 0, 2),
    ("tanh", np.tanh, 0.0, 0, 1, 0),
    ("tanh", np.tanh, 800.0, 1, 0, 0),
    ("arcsin", np.arcsin, 0.0, 0, 1, 0),
    ("arcsin", np.arcsin, 1.0, PI / 2, INF, INF),
    ("arccosh", np.arccosh, 1.0, 0, INF, -INF),
    ("arcsinh", np.arcsinh, 0.0, 0, 1, 0),
    ("arcsinh", np.arcsinh, -1e200, np.arcsinh(-1e200), 1e-200, 0),
    ("arctanh", np.arctanh, 0.0, 0, 1, 0),
    ("exp", np.exp, -800.0, 0, 0, 0),
    ("x % 2", lambda x: x % 2, -0.5, 1.5, 1, 0),
    ("5 % x", lambda x: 5 % x, -2.0, -1, 3, 0),
    ("fmod(5, x)", _pick(np.fmod, 1, 5.0), -2.0, 1, 2, 0),
    ("fmod, quotient near an integer", _pick(np.fmod, 1, 1.0), 0.1, np.fmod(1.0, 0.1), -9, 0),
]


@pytest.mark.parametrize(
    ("f", "x", "expected"), [pytest.param(f, x, want, id=f"{name} at {x:g}") for name, f, x, *want in POINTS]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, on the way to inf and nan
def test_special_points(f: Callable[[Any], Any], x: float, expected: list[float]) -> None:
    for kind in (float, np.float64, np.array):
        point = kind(x)
        got = [tg.value_and_grad(f)(point)[0], tg.grad(f)(point)]
        if expected[2] is REFUSED:
            with pytest.raises(MissingRuleError, match="second derivative"):
                tg.grad(lambda x: tg.grad(f)(x))(point)
        else:
            got.append(tg.grad(lambda x: tg.grad(f)(x))(point))
        assert {type(slope) for slope in got[1:]} == {type(point)}
        rel = 1e-10 if abs(x) > 1e5 else 1e-13
        for value, want in zip(got, expected):
            assert float(value) == pytest.approx(want, rel=rel, abs=0 if want else 1e-15, nan_ok=True)


@pytest.mark.parametrize("n", range(7))
def test_derivatives_of_sinc_at_0(n: int) -> None:
    f: Any = np.sinc
    for _ in range(n):
        f = tg.grad(f)
    assert f(0.0) == pytest.approx(0 if n % 2 else (-1) ** (n // 2) * PI**n / (n + 1), rel=1e-13)


def test_sinc_is_smooth_where_its_formula_changes() -> None:
    x = np.linspace(-3, 3, 301)
    safe = np.where(x == 0, 1, x)
    first = np.where(x == 0, 0, (np.cos(PI * x) - np.sinc(x)) / safe)
    second = np.where(x == 0, -(PI**2) / 3, -(PI**2) * np.sinc(x) - 2 * first / safe)
    slope = tg.grad(lambda x: np.sum(np.sinc(x)))
    np.testing.assert_allclose(slope(x), first, atol=1e-13)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(slope(x)))(x), second, atol=2e-12)


@pytest.mark.parametrize("f", [np.abs, np.sign], ids=lambda f: f.__name__)
def test_complex_zero(f: Callable[[Any], Any]) -> None:
    z = np.array([0j, 3 + 4j])
    g = tg.grad(lambda z: np.sum(np.real(f(z))))
    assert g(z)[0] == 0
    again = tg.grad(lambda z: np.real(np.sum(g(z))))
    if f is np.abs:  # the tip of a cone
        with pytest.raises(MissingRuleError, match="second derivative"):
            again(z)
        z = z[1:]
    assert np.all(np.isfinite(again(z)))


# what is refused


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("function", [*UNARY, *BINARY, np.clip, np.sign], ids=lambda f: f.__name__)
def test_out_and_where(function: Any, door: str) -> None:
    n = 3 if function is np.clip else 2 if function in BINARY else 1
    f = function if door == "np" else ours(function)
    x, out, before = array(3), np.zeros(3), array(3)
    if function is not np.sign:
        with pytest.raises(PrimitiveError, match="out="):
            tg.grad(lambda x: np.sum(f(x, *[0.5] * (n - 1), out=out)))(x)
        assert not out.any()
    if isinstance(function, np.ufunc):
        if function is not np.sign:
            with pytest.raises(PrimitiveError, match="where="):
                tg.grad(lambda x: np.sum(f(x, *[0.5] * (n - 1), where=np.array([True, False, True]))))(x)
        with np.errstate(all="ignore"):
            if function is np.sign:
                with pytest.raises(PrimitiveError):
                    tg.grad(lambda x: np.sum(f(x * 1.5, out=x)))(x)
            else:  # a traced array can be written to
                assert_same(
                    tg.grad(lambda x: np.sum(f(*[x * 1.5] * n, out=x)))(x),
                    tg.grad(lambda x: np.sum(f(*[x * 1.5] * n)))(x),
                )
        assert x.tolist() == before.tolist()


def test_out_and_where_of_no_consequence() -> None:
    x = array(3)
    assert_same(tg.grad(lambda x: np.sum(np.exp(x, out=None, where=True)))(x), np.exp(x))
    assert_same(tg.grad(lambda x: np.sum(np.add(x, x, out=(None,))))(x), np.full(3, 2.0))


@pytest.mark.parametrize("door", DOORS)
def test_constants_do_not_write_into_traced_arrays(door: str) -> None:
    x, before = array(3), array(3)
    home: Any = np if door == "np" else tnp
    for call in (
        lambda x: home.floor(x * 2, out=x),
        lambda x: home.round(x * 2, 1, out=x),
        lambda x: home.floor(np.ones(3), out=x),
    ):
        with pytest.raises((PrimitiveError, MissingRuleError)):
            tg.grad(lambda x: np.sum(call(x)) + 0 * np.sum(x))(x)
        assert x.tolist() == before.tolist()


def test_lists_of_traced_numbers() -> None:
    value, g = tg.value_and_grad(lambda x: np.sum(tnp.sin([x, 1.0, 2 * x])))(0.5)
    assert value == pytest.approx(math.sin(0.5) + 2 * math.sin(1))
    assert g == pytest.approx(math.cos(0.5) + 2 * math.cos(1))
    assert_same(value_when_traced(lambda x: tnp.multiply(x, [1, 2]), (array(2),)), array(2) * [1, 2])


def test_aliases() -> None:
    for name in (
        "abs",
        "conj",
        "acos",
        "asin",
        "atan",
        "acosh",
        "asinh",
        "atanh",
        "atan2",
        "pow",
        "mod",
        "true_divide",
    ):
        assert getattr(tnp, name) is tnp.__dict__[getattr(np, name).__name__]


def test_slope_of_a_power_at_the_origin_is_one_whoever_traces_the_exponent() -> None:
    assert tg.grad(lambda x: x**0.0)(0.0) == 0.0
    assert tg.grad(lambda x, z: x**z, (0, 1))(0.0, 0.0)[0] == 0.0
    assert tg.jvp(lambda z: tg.grad(lambda x: x**z)(2.0), (0.0,), (1.0,)) == (0.0, 0.5)
    with pytest.raises(MissingRuleError):
        tg.grad(lambda z: tg.grad(lambda x: x**z)(0.0))(0.0)
