"""Functions of each element: one row a function, and for each argument the rule that goes back through it.

At a kink the derivative is the mean of the two sides: 0 for `abs` at 0, equal shares for arguments that
tie in `maximum`. At a removable point it is the limit. Complex numbers: for a holomorphic function the
rule multiplies by its derivative, unconjugated, as in JAX and autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import PrimitiveError
from ..primitives.binary import through
from ..primitives.define import array_function, composed, internal, primitive
from ..primitives.partial import partial
from ..primitives.ufuncs import constant, elementwise
from ..tracer import UFUNCS, Tracer, constant_of, plain
from .kinks import cone, signed

_LN2, _LN10 = math.log(2), math.log(10)


def _is_complex(x: Any) -> bool:
    return isinstance(x, complex) or (hasattr(x, "dtype") and x.dtype.kind == "c")


def _abs_rule(g: Any, y: Any, x: Any) -> Any:
    """x̄ = ḡ sign(x), for complex x ḡ x*/|x|; 0 at 0, where the function may be smooth if ḡ varies: cos(|x|) is."""
    if _is_complex(x):
        return cone("absolute", g * np.conjugate(x) / np.where(y == 0, 1, y), y)
    return cone("absolute", signed(g, plain(x)), y) if isinstance(g, Tracer) else g * np.sign(x)


def _abs_forth(t: Any, y: Any, x: Any) -> Any:
    """ẏ = ẋ sign(x), for complex x the real part of ẋ x*/|x|; 0 at 0."""
    return _abs_rule(t, y, x) if _is_complex(x) else signed(t, x)


def _phase_rule(g: Any, y: Any, x: Any) -> Any:
    """x̄ = (ḡ − (ḡ y²)*) / 2|x|, for complex x; 0 at 0."""
    return np.where(y == 0, 0, g - np.conjugate(g * y * y)) / np.where(y == 0, 1, 2 * np.abs(x))


def operator_power(x: Any, z: Any) -> Any:
    """x ** z, and nan as NumPy has it where Python goes over to complex numbers."""
    y = x**z
    return math.nan if type(y) is complex and type(x) is not complex and type(z) is not complex else y


_TWO: Any = 2  # the one int that Python has of it


def _power_rule(g: Any, _y: Any, x: Any, z: Any) -> Any:
    """x̄ = ḡ z xᶻ⁻¹; with a constant z = 0 it is ḡ z."""
    if z is _TWO:
        return _along(g, 2 * x)
    if hasattr(z, "dtype") and z.dtype.kind in "biu":  # whose arithmetic wraps around
        z = z.astype(float)
    if not isinstance(z, Tracer):
        return g * (z * operator_power(x, z - (z != 0)))
    flat = np.equal(plain(z), 0) & np.equal(plain(x), 0)  # where it would be 0 times infinity
    if not np.any(flat):
        return g * (z * operator_power(x, z - 1))
    return g * cone("power", z * operator_power(x, z - np.logical_not(flat)), 0 * z + np.where(flat, 0, 1))


def _log_base(x: Any, y: Any) -> Any:
    """log x in the dtype of y = xᶻ, which it multiplies: that product is 0 at x = 0."""
    return np.log(np.where(x == 0, np.ones((), np.result_type(y)), x))


def _along(g: Any, slope: Any) -> Any:
    """ḡ times a slope that nobody else has; of large arrays in its memory."""
    if type(slope) is not np.ndarray or slope.size <= _LARGE or type(g) is not np.ndarray:
        return g * slope
    return np.multiply(g, slope, slope if g.shape == slope.shape and g.dtype == slope.dtype else None)


_LARGE = 8192  # elements: from here on new memory costs more than a look at types


def _tanh_rule(g: Any, y: Any, _x: Any) -> Any:
    """x̄ = ḡ (1 − y²)"""
    if type(y) is np.ndarray and y.size > _LARGE:
        slope = y * y
        return _along(g, np.subtract(1, slope, slope))
    return g * (1 - y * y)


@internal(constants=("h",), elementwise=True)
def _cosine(x: Any, z: Any, h: Any) -> Any:
    """x / h with h = hypot(x, z); 0 where both are 0, ±1 where x alone is infinite."""
    with np.errstate(invalid="ignore"):
        y = x / h
    odd = np.isnan(y)
    return np.where(odd & ~np.isinf(z), np.sign(x) * np.ones_like(y), y)[()] if np.any(odd) else y


def _hypot_rule(g: Any, y: Any, x: Any, z: Any) -> Any:
    """x̄ = ḡ x / y"""
    return cone("hypot", g * _cosine(x, z, y), y)


@primitive(elementwise=True)
def _turn(x: Any, z: Any) -> Any:
    """z / (x² + z²), by which arctan2(x, z) grows with x; the imaginary part of 1 / (x − iz), so its slopes are alike"""
    h = np.hypot(x, z)
    return _cosine(z, x, h) / h


@primitive(elementwise=True)
def _rest(x: Any) -> Any:
    """1 − x²"""
    return (1 - x) * (1 + x)


@primitive(elementwise=True)
def _one_minus(x: Any) -> Any:
    """√(1 − x²), on the branch of arcsin"""
    return np.sqrt(1 - x) * np.sqrt(1 + x)


@primitive(elementwise=True)
def _one_plus(x: Any) -> Any:
    """√(1 + x²)"""
    return np.sqrt(1 + x * x) if _is_complex(x) else np.hypot(1, x)


@primitive(elementwise=True)
def _logistic(x: Any) -> Any:
    """1 / (1 + e⁻ˣ)"""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


@primitive(elementwise=True)
def _logistic2(x: Any) -> Any:
    """1 / (1 + 2⁻ˣ)"""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp2(-x))


# fmt: off
_cosine.defvjp("x")(lambda g, _y, x, z, h: g * (_cosine(z, x, h) ** 2 / np.hypot(x, z)))
_cosine.defvjp("z")(lambda g, y, x, z, h: -g * (y * _cosine(z, x, h) / np.hypot(x, z)))
_turn.defvjp("x")(lambda g, y, x, z: g * (-2 * y * _turn(z, x)))
_turn.defvjp("z")(lambda g, y, x, z: g * ((_turn(z, x) - y) * (_turn(z, x) + y)))
_rest.defvjp("x")(lambda g, _y, x: g * (-2 * x))
_one_minus.defvjp("x")(lambda g, y, x: -g * (x / y))
_one_plus.defvjp("x")(lambda g, y, x: g * (x / y if _is_complex(x) else _cosine(x, 1.0, y)))
_logistic.defvjp("x")(lambda g, y, x: g * (y * _logistic(-x)))
_logistic2.defvjp("x")(lambda g, y, x: g * (_LN2 * (y * _logistic2(-x))))
# fmt: on


def _share(x: Any, z: Any, exp: Any = np.exp, logistic: Callable[[Any], Any] = _logistic) -> Any:
    """eˣ / (eˣ + eᶻ), or the same of another base; half where infinities tie"""
    d = x - z
    if not isinstance(d, Tracer):
        share = 1 / (1 + exp(-d))
        if not np.isnan(np.max(share, initial=0)):
            return share
    tie = np.isnan(d) & np.equal(x, z)
    return logistic(np.where(tie, 0, d) if np.any(tie) else d)


def _arctan_rule(g: Any, _y: Any, x: Any) -> Any:
    """x̄ = ḡ / (1 + x²)"""
    if not isinstance(x, Tracer):
        return g / (1 + x * x)
    root = _one_plus(x)  # whose square is infinite where x is
    return g / root / root


def _won(g: Any, x: Any, z: Any, compare: Any, odd_one_loses: bool = False) -> Any:
    """ḡ where x has won over z, half of it where they tie, and a hole where it has lost; a nan wins, or loses."""
    won, lost = compare(x, z), compare(z, x)
    if np.count_nonzero(won) + np.count_nonzero(lost) == np.size(won):  # neither ties nor nan
        return partial(g, won)
    tie = np.equal(x, z)
    won = won | tie | np.isnan(z if odd_one_loses else x)
    return partial(np.where(tie, g / 2, g) if np.any(tie) else g, won)


def _truth(condition: Any) -> Any:
    """A condition as booleans of our own, whatever becomes of the caller's array."""
    return condition.copy() if getattr(condition, "dtype", None) == np.bool_ else np.not_equal(condition, 0)


# fmt: off
# y = f(x, z)                              through x                              through z
add         = elementwise(np.add,          through,                               through, linear=(0, 1))
subtract    = elementwise(np.subtract,     through,                               lambda g, _y, _x, _z: -g, linear=(0, 1))
multiply    = elementwise(np.multiply,     lambda g, _y, _x, z: g * z,            lambda g, _y, x, _z: g * x, multilinear=(0, 1), scales=True)
divide      = elementwise(np.divide,       lambda g, _y, _x, z: g / z,            lambda g, y, _x, z: g * y / -z, linear=(0,))
power       = elementwise(np.power,        _power_rule,                           lambda g, y, x, _z: g * (y * _log_base(x, y)))
float_power = elementwise(np.float_power,  _power_rule,                           lambda g, y, x, _z: g * (y * _log_base(x, y)))
remainder   = elementwise(np.remainder,    through,                               lambda g, _y, x, z: -g * np.floor_divide(x, z))
fmod        = elementwise(np.fmod,         through,                               lambda g, y, x, z: -g * np.rint((x - y) / z))
hypot       = elementwise(np.hypot,        _hypot_rule,                           lambda g, y, x, z: _hypot_rule(g, y, z, x))
arctan2     = elementwise(np.arctan2,      lambda g, _y, x, z: g * _turn(x, z),   lambda g, _y, x, z: -g * _turn(z, x))
logaddexp   = elementwise(np.logaddexp,    lambda g, _y, x, z: g * _share(x, z),  lambda g, _y, x, z: g * _share(z, x))
logaddexp2  = elementwise(np.logaddexp2,   lambda g, _y, x, z: g * _share(x, z, np.exp2, _logistic2),
                                                                                  lambda g, _y, x, z: g * _share(z, x, np.exp2, _logistic2))
maximum     = elementwise(np.maximum,      lambda g, _y, x, z: _won(g, x, z, np.greater),
                                                                                  lambda g, _y, x, z: _won(g, z, x, np.greater))
minimum     = elementwise(np.minimum,      lambda g, _y, x, z: _won(g, x, z, np.less),
                                                                                  lambda g, _y, x, z: _won(g, z, x, np.less))
fmax        = elementwise(np.fmax,         lambda g, _y, x, z: _won(g, x, z, np.greater, True),
                                                                                  lambda g, _y, x, z: _won(g, z, x, np.greater, True))
fmin        = elementwise(np.fmin,         lambda g, _y, x, z: _won(g, x, z, np.less, True),
                                                                                  lambda g, _y, x, z: _won(g, z, x, np.less, True))
copysign    = elementwise(np.copysign,     lambda g, _y, x, z: signed(g * np.copysign(1, z), plain(x)),
                                                                                  lambda g, _y, _x, _z: None)
nextafter   = elementwise(np.nextafter,    through,                               lambda g, _y, _x, _z: None)
heaviside   = elementwise(np.heaviside,    lambda g, _y, _x, _z: None,            lambda g, _y, x, _z: partial(g, np.equal(x, 0)))
ldexp       = elementwise(np.ldexp,        lambda g, _y, _x, z: np.ldexp(g, z), linear=(0,))

# y = f(x)                               through x
negative    = elementwise(np.negative,   lambda g, _y, _x: -g, linear=(0,))
positive    = elementwise(np.positive,   lambda g, _y, _x: g, linear=(0,))
absolute    = elementwise(np.absolute,   _abs_rule)
fabs        = elementwise(np.fabs,       _abs_rule)
conjugate   = elementwise(np.conjugate,  lambda g, _y, _x: np.conjugate(g), linear=(0,))
square      = elementwise(np.square,     lambda g, _y, x: _along(g, 2 * x))
sqrt        = elementwise(np.sqrt,       lambda g, y, _x: g / (2 * y))
cbrt        = elementwise(np.cbrt,       lambda g, y, _x: g / (3 * y * y))
reciprocal  = elementwise(np.reciprocal, lambda g, y, _x: -g * y * y)
exp         = elementwise(np.exp,        lambda g, y, _x: g * y)
exp2        = elementwise(np.exp2,       lambda g, y, _x: g * (_LN2 * y))
expm1       = elementwise(np.expm1,      lambda g, _y, x: _along(g, np.exp(x)))
log         = elementwise(np.log,        lambda g, _y, x: g / x)
log2        = elementwise(np.log2,       lambda g, _y, x: g / x / _LN2)
log10       = elementwise(np.log10,      lambda g, _y, x: g / x / _LN10)
log1p       = elementwise(np.log1p,      lambda g, _y, x: g / (1 + x))
sin         = elementwise(np.sin,        lambda g, _y, x: _along(g, np.cos(x)))
cos         = elementwise(np.cos,        lambda g, _y, x: _along(-g, np.sin(x)))
tan         = elementwise(np.tan,        lambda g, y, _x: g * (1 + y * y))
arcsin      = elementwise(np.arcsin,     lambda g, _y, x: g / _one_minus(x))
arccos      = elementwise(np.arccos,     lambda g, _y, x: -g / _one_minus(x))
arctan      = elementwise(np.arctan,     _arctan_rule)
sinh        = elementwise(np.sinh,       lambda g, _y, x: _along(g, np.cosh(x)))
cosh        = elementwise(np.cosh,       lambda g, _y, x: _along(g, np.sinh(x)))
tanh        = elementwise(np.tanh,       _tanh_rule)
arcsinh     = elementwise(np.arcsinh,    lambda g, _y, x: g / _one_plus(x))
arccosh     = elementwise(np.arccosh,    lambda g, _y, x: g / np.sqrt(x - 1) / np.sqrt(x + 1))
arctanh     = elementwise(np.arctanh,    lambda g, _y, x: g / _rest(x))
deg2rad     = elementwise(np.deg2rad,    lambda g, _y, _x: np.deg2rad(g), linear=(0,))
rad2deg     = elementwise(np.rad2deg,    lambda g, _y, _x: np.rad2deg(g), linear=(0,))
radians     = elementwise(np.radians,    lambda g, _y, _x: np.radians(g), linear=(0,))
degrees     = elementwise(np.degrees,    lambda g, _y, _x: np.degrees(g), linear=(0,))
# fmt: on

for _function in (absolute, fabs):
    _function.defjvp(0)(_abs_forth)

# derivative zero wherever there is one: the result carries none, and is plain
for _function in (
    *(np.floor, np.ceil, np.rint, np.trunc, np.floor_divide, np.signbit, np.spacing),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.isfinite, np.isinf, np.isnan, np.logical_and, np.logical_or, np.logical_not, np.logical_xor),
    *(np.around, np.round, np.fix, np.isclose, np.allclose, np.array_equal, np.array_equiv, np.isreal),
    *(np.iscomplex, np.iscomplexobj, np.isrealobj, np.isneginf, np.isposinf, np.shape, np.ndim, np.size),
    *(np.isscalar, np.result_type, np.can_cast, np.min_scalar_type, np.common_type, np.array_repr, np.array_str, np.array2string),
):
    constant(_function)
floor, ceil, rint, trunc, floor_divide = (UFUNCS[f] for f in (np.floor, np.ceil, np.rint, np.trunc, np.floor_divide))
_phase = primitive(np.sign)
_phase.defvjp(0)(_phase_rule)
_sign = constant(np.sign)


def sign(x: Any, /, *args: Any, **kwargs: Any) -> Any:
    """The sign of a number, which has derivative zero; of a complex number z/|z|, which has one."""
    function: Any = _phase if isinstance(x, Tracer) and _is_complex(x) else _sign
    return function(x, *args, **kwargs)


UFUNCS[np.sign] = sign


def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """The quotient, which is plain, and the remainder."""
    quotient: Any = floor_divide(x1, x2)
    return quotient, remainder(x1, x2)


UFUNCS[np.divmod] = divmod


@array_function(np.real, views=True, linear=("val",))
def real(val: Any) -> Any:
    return np.real(val)


real.defvjp(0)(lambda g, _y, _val: np.real(g))


@array_function(np.imag, views=True, linear=("val",))
def imag(val: Any) -> Any:
    return np.imag(val)


imag.defvjp(0)(lambda g, _y, _val: -1j * np.real(g) if _is_complex(_val) else None)


def refuse_out(name: str, out: Any) -> None:
    """Raise where a composed function was told to write a traced value into an array."""
    if out is not None:
        raise PrimitiveError(
            f"{name} was called with out= and a traced value",
            "an array cannot hold a derivative",
            "leave it out and use the result",
        )


@composed(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    if isinstance(z, Tracer) and not _is_complex(z):
        return np.angle(constant_of(z, "angle"), deg)  # 0 or pi: a constant
    made = np.arctan2(np.imag(z), np.real(z))
    return np.rad2deg(made) if deg else made


@array_function(np.where, constants=("condition",), elementwise=True, linear=("x", "y"))
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return np.where(condition, *[choice for choice in (x, y) if choice is not None])


# fmt: off
where.defvjp("x")(lambda g, _y, condition, _a, _b: partial(g, _truth(condition)))
where.defvjp("y")(lambda g, _y, condition, _a, _b: partial(g, np.logical_not(condition)))
# fmt: on


@composed(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    made = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        made = np.where(condition, choice, made)
    return made


@composed(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: None = None, *, min: Any = None, max: Any = None) -> Any:
    refuse_out("clip", out)
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if low is not None is not high and np.any(np.greater_equal(low, high)):  # there it is high, whatever a is
        a = np.where(np.less(low, high), a, constant_of(a, "clip"))
    made = np.copy(a) if low is None is high else a if low is None else np.maximum(a, low)
    return made if high is None else np.minimum(made, high)


@primitive(nondiff_argnames=("n",), elementwise=True)
def _sinc_nth(x: Any, n: int) -> Any:
    """The n-th derivative of sinc, by its series near 0, else by n f⁽ⁿ⁻¹⁾ + x f⁽ⁿ⁾ = πⁿ⁻¹ sin(πx + nπ/2)."""
    x = np.asarray(x)
    near = np.abs(x) < (1 + n) / math.pi
    safe = np.where(near, 1, x)
    far = np.sinc(safe)
    for k in range(1, n + 1):
        far = (math.pi ** (k - 1) * np.sin(math.pi * safe + k * math.pi / 2) - k * far) / safe
    series, small = np.zeros_like(x), np.where(near, x, 0)
    for k in range((n + 1) // 2, n + 14):  # (-1)ᵏ π²ᵏ x²ᵏ⁻ⁿ / ((2k + 1) (2k - n)!)
        factor = (-1) ** k * math.pi ** (2 * k) / ((2 * k + 1) * math.factorial(2 * k - n))
        series = series + factor * small ** (2 * k - n)
    return np.where(near, series, far)[()]


_sinc_nth.defvjp("x")(lambda g, _y, x, n: g * _sinc_nth(x, n + 1))


@array_function(np.sinc, elementwise=True)
def sinc(x: Any) -> Any:
    return np.sinc(x)


sinc.defvjp(0)(lambda g, _y, x: g * _sinc_nth(x, 1))


@primitive(nondiff_argnames=("n",), elementwise=True)
def _bessel(x: Any, n: int) -> Any:
    """The modified Bessel function Iₙ by its series Σ (x/2)²ᵏ⁺ⁿ / k! (k + n)!, all of one sign."""
    half = x / 2
    made = term = half**n / math.factorial(n)
    k = 0
    while np.any(np.abs(term) > 1e-17 * np.abs(made)):
        k += 1
        term = term * (half * half / (k * (k + n)))
        made = made + term
    return made


@array_function(np.i0, elementwise=True)
def i0(x: Any) -> Any:
    return np.i0(x)


_bessel.defvjp("x")(lambda g, _y, x, n: g * ((_bessel(x, abs(n - 1)) + _bessel(x, n + 1)) / 2))
i0.defvjp(0)(lambda g, _y, x: g * _bessel(x, 1))
