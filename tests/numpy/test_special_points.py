"""Special points: kinks, removable points, ends of domains, ties, infinities. Two derivatives a point, in four ways.

The numbers are those of mathematics. At a kink the derivative is the mean of the two sides, at the end of a domain that
from inside, at infinity the limit. Where there is neither number nor infinity nan will do, and never another number;
where local rules cannot know a curvature, asking for it raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad import nn
from tapegrad.errors import MissingRuleError

INF, NAN, PI, LN2 = math.inf, math.nan, math.pi, math.log(2)
REFUSED = "refused"  # in the place of a second derivative: there is none, or local rules cannot know it
VARIES = "varies"  # the same, of a function of |x|; going forth first it cannot be seen, and is 0

Function = Callable[[Any], Any]


def by_grad(f: Function) -> Function:
    return tg.grad(lambda x: np.sum(f(x)))


def by_jvp(f: Function) -> Function:
    return lambda x: tg.jvp(f, (x,), (1.0 if type(x) is float else np.ones(np.shape(x), x.dtype)[()],))[1]


SECOND: dict[str, Function] = {
    "grad(grad)": lambda f: by_grad(by_grad(f)),
    "jvp(jvp)": lambda f: by_jvp(by_jvp(f)),
    "jvp(grad)": lambda f: by_jvp(by_grad(f)),
    "grad(jvp)": lambda f: by_grad(by_jvp(f)),
}

# name, function of each element (of a door, np or tapegrad.numpy, and x), point, first and second derivative
POINTS: list[tuple[str, Callable[[Any, Any], Any], float, Any, Any]] = [
    # powers
    ("x**0", lambda np, x: x**0, 0.0, 0, 0),
    ("x**0.0", lambda np, x: x**0.0, 0.0, 0, 0),
    ("x**1", lambda np, x: x**1, 0.0, 1, 0),
    ("x**1.25", lambda np, x: x**1.25, 0.0, 0, INF),
    ("x**1.5", lambda np, x: x**1.5, 0.0, 0, INF),
    ("x**2", lambda np, x: x**2, 0.0, 0, 2),
    ("x**2.0", lambda np, x: x**2.0, 0.0, 0, 2),
    ("x**2.5", lambda np, x: x**2.5, 0.0, 0, 0),
    ("x**3", lambda np, x: x**3, 0.0, 0, 0),
    ("x**3.0", lambda np, x: x**3.0, -2.0, 12, -12),
    ("x**0.5", lambda np, x: x**0.5, 0.0, INF, -INF),
    ("x**-1", lambda np, x: x**-1, INF, 0, 0),
    ("power(x, 2)", lambda np, x: np.power(x, 2), 0.0, 0, 2),
    ("float_power(x, 2)", lambda np, x: np.float_power(x, 2), 0.0, 0, 2),
    ("x * x**0.25", lambda np, x: x * x**0.25, 0.0, NAN, NAN),
    ("x * sqrt(x)", lambda np, x: x * np.sqrt(x), 0.0, NAN, NAN),
    ("sqrt(x)**2", lambda np, x: np.sqrt(x) ** 2, 0.0, NAN, NAN),
    ("x * log(x)", lambda np, x: x * np.log(x), 0.0, NAN, NAN),
    ("0**x", lambda np, x: 0.0**x, 2.0, 0, 0),
    ("2**x", lambda np, x: 2**x, 0.0, LN2, LN2**2),
    ("2**x", lambda np, x: 2**x, -INF, 0, 0),
    ("sin(x)**2", lambda np, x: np.sin(x) ** 2, 0.0, 0, 2),
    ("sin(x)**2.0", lambda np, x: np.sin(x) ** 2.0, 0.0, 0, 2),
    ("square(sin(x))", lambda np, x: np.square(np.sin(x)), 0.0, 0, 2),
    ("(1 - cos(x))**2", lambda np, x: (1 - np.cos(x)) ** 2, 0.0, 0, 0),
    ("(x * x)**1.5", lambda np, x: (x * x) ** 1.5, 0.0, 0, NAN),
    # absolute values and signs
    ("abs", lambda np, x: np.abs(x), 0.0, 0, 0),
    ("abs", lambda np, x: abs(x), -0.0, 0, 0),
    ("abs", lambda np, x: np.abs(x), -INF, -1, 0),
    ("fabs", lambda np, x: np.fabs(x), 0.0, 0, 0),
    ("3 abs", lambda np, x: 3 * np.abs(x), 0.0, 0, 0),
    ("x abs(x)", lambda np, x: x * np.abs(x), 0.0, 0, VARIES),
    ("abs(x)**2", lambda np, x: np.abs(x) ** 2, 0.0, 0, VARIES),
    ("abs(x)**2.0", lambda np, x: np.abs(x) ** 2.0, 0.0, 0, VARIES),
    ("square(abs(x))", lambda np, x: np.square(np.abs(x)), 0.0, 0, VARIES),
    ("fabs(x)**2", lambda np, x: np.fabs(x) ** 2, 0.0, 0, VARIES),
    ("abs(x) * abs(x)", lambda np, x: np.abs(x) * np.abs(x), 0.0, 0, VARIES),
    ("cos(abs(x))", lambda np, x: np.cos(np.abs(x)), 0.0, 0, VARIES),
    ("softplus by abs", lambda np, x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 0.0, 0.5, VARIES),
    ("x sign(x)", lambda np, x: x * np.sign(x), 0.0, 0, 0),
    ("x x sign(x)", lambda np, x: x * x * np.sign(x), 0.0, 0, 0),
    ("abs(sin(x))", lambda np, x: np.abs(np.sin(x)), 0.0, 0, 0),
    ("abs(abs(x))", lambda np, x: np.abs(np.abs(x)), 0.0, 0, 0),
    ("abs(1 - abs(x))", lambda np, x: np.abs(1 - np.abs(x)), 0.0, 0, 0),
    ("where abs", lambda np, x: np.where(x == 0, x * x, np.abs(x) ** 2), 0.0, 0, 2),
    ("abs(x)**2", lambda np, x: np.abs(x) ** 2, -3.0, -6, 2),
    ("abs(x)**3", lambda np, x: np.abs(x) ** 3, -2.0, -12, 12),
    ("sign", lambda np, x: np.sign(x) + 0 * x, 0.0, 0, 0),
    ("x sign(x)", lambda np, x: x * np.sign(x), -2.0, -1, 0),
    ("copysign(x, 1)", lambda np, x: np.copysign(x, 1.0), 0.0, 0, 0),
    ("copysign(x, 1)", lambda np, x: np.copysign(x, 1.0), -2.0, -1, 0),
    ("copysign(x, -1)", lambda np, x: np.copysign(x, -1.0), 2.0, -1, 0),
    ("heaviside", lambda np, x: np.heaviside(x, 0.5) + 0 * x, 0.0, 0, 0),
    ("floor", lambda np, x: np.floor(x) + 0 * x, 1.0, 0, 0),
    # roots and logarithms
    ("sqrt", lambda np, x: np.sqrt(x), 0.0, INF, -INF),
    ("sqrt", lambda np, x: np.sqrt(x), INF, 0, 0),
    ("cbrt", lambda np, x: np.cbrt(x), 0.0, INF, NAN),
    ("cbrt", lambda np, x: np.cbrt(x), -8.0, 1 / 12, 1 / 144),
    ("sqrt(x * x)", lambda np, x: np.sqrt(x * x), 0.0, NAN, NAN),
    ("log", lambda np, x: np.log(x), 0.0, INF, -INF),
    ("log", lambda np, x: np.log(x), INF, 0, 0),
    ("log2", lambda np, x: np.log2(x), 0.0, INF, -INF),
    ("log10", lambda np, x: np.log10(x), 0.0, INF, -INF),
    ("log1p", lambda np, x: np.log1p(x), -1.0, INF, -INF),
    ("log1p", lambda np, x: np.log1p(x), 0.0, 1, -1),
    ("expm1", lambda np, x: np.expm1(x), 0.0, 1, 1),
    ("exp", lambda np, x: np.exp(x), -INF, 0, 0),
    ("1/x", lambda np, x: 1 / x, INF, 0, 0),
    ("reciprocal", lambda np, x: np.reciprocal(x), INF, 0, 0),
    # circles and hyperbolas
    ("arcsin", lambda np, x: np.arcsin(x), 1.0, INF, INF),
    ("arcsin", lambda np, x: np.arcsin(x), -1.0, INF, -INF),
    ("arccos", lambda np, x: np.arccos(x), 1.0, -INF, -INF),
    ("arccos", lambda np, x: np.arccos(x), -1.0, -INF, INF),
    ("arccosh", lambda np, x: np.arccosh(x), 1.0, INF, -INF),
    ("arctanh", lambda np, x: np.arctanh(x), 0.0, 1, 0),
    ("arctan", lambda np, x: np.arctan(x), 0.0, 1, 0),
    ("arctan", lambda np, x: np.arctan(x), INF, 0, 0),
    ("arctan", lambda np, x: np.arctan(x), -1e200, 0, 0),
    ("arcsinh", lambda np, x: np.arcsinh(x), 0.0, 1, 0),
    ("arcsinh", lambda np, x: np.arcsinh(x), INF, 0, 0),
    ("arccosh", lambda np, x: np.arccosh(x), INF, 0, 0),
    ("tanh", lambda np, x: np.tanh(x), INF, 0, 0),
    ("tanh", lambda np, x: np.tanh(x), 0.0, 1, 0),
    ("sinc", lambda np, x: np.sinc(x), 0.0, 0, -(PI**2) / 3),
    ("sinc", lambda np, x: np.sinc(x), 1.0, -1, 2),
    ("sinc", lambda np, x: np.sinc(x), 1e-9, -(PI**2) / 3 * 1e-9, -(PI**2) / 3),
    ("i0", lambda np, x: np.i0(x), 0.0, 0, 0.5),
    ("i0", lambda np, x: np.i0(x), -3.0, -3.95337021740261, 3.563002513397488),
    ("i0", lambda np, x: np.i0(x), 20.0, 42454973.38512777, 41435533.890297145),
    ("x i0(x)", lambda np, x: np.i0(x) * x, 0.0, 1, 0),
    ("arctan2(x, 1)", lambda np, x: np.arctan2(x, 1.0), 0.0, 1, 0),
    ("arctan2(1, x)", lambda np, x: np.arctan2(1.0, x), 0.0, -1, 0),
    ("arctan2(x, 0)", lambda np, x: np.arctan2(x, 0.0), 2.0, 0, 0),
    ("arctan2(0, x)", lambda np, x: np.arctan2(0.0, x), 2.0, 0, 0),
    ("arctan2(x, 1)", lambda np, x: np.arctan2(x, 1.0), INF, 0, 0),
    ("arctan2(inf, x)", lambda np, x: np.arctan2(INF, x), 1.0, 0, 0),
    ("arctan2(x, inf)", lambda np, x: np.arctan2(x, INF), 1.0, 0, 0),
    ("arctan2(1, x)", lambda np, x: np.arctan2(1.0, x), INF, 0, 0),
    ("arctan2(1, x)", lambda np, x: np.arctan2(1.0, x), -INF, 0, 0),
    ("hypot(x, 0)", lambda np, x: np.hypot(x, 0.0), 0.0, 0, REFUSED),
    ("hypot(x, x)", lambda np, x: np.hypot(x, x), 0.0, 0, REFUSED),
    ("hypot(x, 0)**2", lambda np, x: np.hypot(x, 0.0) ** 2, 0.0, 0, REFUSED),
    ("hypot(x, 2)", lambda np, x: np.hypot(x, 2.0), 0.0, 0, 0.5),
    ("hypot(x, 1)", lambda np, x: np.hypot(x, 1.0), INF, 1, 0),
    ("hypot(1, x)", lambda np, x: np.hypot(1.0, x), -INF, -1, 0),
    ("hypot(inf, x)", lambda np, x: np.hypot(INF, x), 1.0, 0, 0),
    ("hypot(x, 4e200)", lambda np, x: np.hypot(x, 4e200), 3e200, 0.6, 0.128e-200),
    # exponentials
    ("logaddexp(x, 0)", lambda np, x: np.logaddexp(x, 0.0), 0.0, 0.5, 0.25),
    ("logaddexp(x, 0)", lambda np, x: np.logaddexp(x, 0.0), 50.0, 1, math.exp(-50)),
    ("logaddexp(x, 0)", lambda np, x: np.logaddexp(x, 0.0), -50.0, math.exp(-50), math.exp(-50)),
    ("logaddexp(x, x)", lambda np, x: np.logaddexp(x, x), 3.0, 1, 0),
    ("logaddexp(x, 1)", lambda np, x: np.logaddexp(x, 1.0), INF, 1, 0),
    ("logaddexp(inf, x)", lambda np, x: np.logaddexp(INF, x), 1.0, 0, 0),
    ("logaddexp(x, inf)", lambda np, x: np.logaddexp(x, INF), 1.0, 0, 0),
    ("logaddexp(x, 1)", lambda np, x: np.logaddexp(x, 1.0), -INF, 0, 0),
    ("logaddexp(x, -inf)", lambda np, x: np.logaddexp(x, -INF), 1.0, 1, 0),
    ("logaddexp2(x, 0)", lambda np, x: np.logaddexp2(x, 0.0), 0.0, 0.5, 0.25 * LN2),
    ("logaddexp2(x, 1)", lambda np, x: np.logaddexp2(x, 1.0), INF, 1, 0),
    ("logaddexp2(-inf, x)", lambda np, x: np.logaddexp2(-INF, x), 1.0, 1, 0),
    ("sigmoid", lambda np, x: nn.sigmoid(x), 0.0, 0.25, 0),
    ("sigmoid", lambda np, x: nn.sigmoid(x), INF, 0, 0),
    ("sigmoid", lambda np, x: nn.sigmoid(x), -800.0, 0, 0),
    ("relu", lambda np, x: nn.relu(x), 0.0, 0, 0),
    ("relu(x)**2", lambda np, x: nn.relu(x) ** 2, 0.0, 0, 0),
    ("relu(sin(x))", lambda np, x: nn.relu(np.sin(x)), 0.0, 0, 0),
    ("logsumexp", lambda np, x: nn.logsumexp(np.stack([x, 0 * x]), 0), 0.0, 0.5, 0.25),
    ("logsumexp", lambda np, x: nn.logsumexp(np.stack([x, 0 * x - INF]), 0), 1.0, 1, 0),
    ("softmax", lambda np, x: nn.softmax(np.stack([x, np.zeros_like(x)]), 0)[0], 0.0, 0.25, 0),
    ("softmax", lambda np, x: nn.softmax(np.stack([x, np.full_like(x, -INF)]), 0)[0], 1.0, 0, 0),
    ("log_softmax", lambda np, x: nn.log_softmax(np.stack([x, np.full_like(x, -INF)]), 0)[0], 1.0, 0, 0),
    # two that meet
    ("maximum(x, 1)", lambda np, x: np.maximum(x, 1.0), 1.0, 0.5, 0),
    ("maximum(1, x)", lambda np, x: np.maximum(1.0, x), 1.0, 0.5, 0),
    ("maximum(x, x)", lambda np, x: np.maximum(x, x), 1.0, 1, 0),
    ("maximum(x * x, 1)", lambda np, x: np.maximum(x * x, 1.0), 1.0, 1, 1),
    ("maximum(x, -x)", lambda np, x: np.maximum(x, -x), 0.0, 0, 0),
    ("minimum(x, 1)", lambda np, x: np.minimum(x, 1.0), 1.0, 0.5, 0),
    ("minimum(x**3, x)", lambda np, x: np.minimum(x**3, x), 1.0, 2, 3),
    ("fmax(x, 1)", lambda np, x: np.fmax(x, 1.0), 1.0, 0.5, 0),
    ("fmin(1, x)", lambda np, x: np.fmin(1.0, x), 1.0, 0.5, 0),
    ("fmax(x * x, nan)", lambda np, x: np.fmax(x * x, NAN), 1.0, 2, 2),
    ("fmin(nan, x * x)", lambda np, x: np.fmin(NAN, x * x), 1.0, 2, 2),
    ("fmax(x, 1)", lambda np, x: np.fmax(x, 1.0), NAN, 0, 0),
    ("maximum(x, 1)", lambda np, x: np.maximum(x, 1.0), NAN, 1, 0),
    ("minimum(1, x)", lambda np, x: np.minimum(1.0, x), NAN, 1, 0),
    ("maximum(x, nan)", lambda np, x: np.maximum(x, NAN), 1.0, 0, 0),
    ("maximum(sqrt(x), 0)", lambda np, x: np.maximum(np.sqrt(x), 1.0), 0.0, 0, 0),
    ("sqrt(maximum(x, 0))", lambda np, x: np.sqrt(np.maximum(x, 0.0)), -1.0, 0, 0),
    ("clip(x, 0, 1)", lambda np, x: np.clip(x, 0, 1), 0.0, 0.5, 0),
    ("clip(x, 0, 1)", lambda np, x: np.clip(x, 0, 1), 1.0, 0.5, 0),
    ("clip(x * x, 0, 1)", lambda np, x: np.clip(x * x, 0, 1), 1.0, 1, 1),
    ("clip(x * x, 0, 1)", lambda np, x: np.clip(x * x, 0, 1), -2.0, 0, 0),
    ("clip(x, 1, 1)", lambda np, x: np.clip(x, 1.0, 1.0), 1.0, 0, 0),
    ("clip(sqrt(x), 1, 2)", lambda np, x: np.clip(np.sqrt(x), 1.0, 2.0), 0.0, 0, 0),
    ("remainder(x, 2)", lambda np, x: x % 2, -0.5, 1, 0),
    ("remainder(5, x)", lambda np, x: np.remainder(5.0, x), 2.5, -2, 0),
    ("fmod(5, x)", lambda np, x: np.fmod(5.0, x), -2.0, 2, 0),
    # selections
    ("where sqrt", lambda np, x: np.where(x > 0, np.sqrt(x), 0), 0.0, 0, 0),
    ("where log", lambda np, x: np.where(x > 0, np.log(x), x * x), 0.0, 0, 2),
    ("where 1/x", lambda np, x: np.where(x == 0, x * x * x, 1 / x), 0.0, 0, 0),
    ("where, last", lambda np, x: np.where(x >= 0, x, x * x), 0.0, 1, 0),
    ("where sin(x)/x", lambda np, x: np.where(x == 0, 1.0, np.sin(x) / x), 0.0, 0, 0),
    ("select", lambda np, x: np.select([x > 1, x > 0], [x * x, np.sqrt(x)], np.exp(x)), 0.0, 1, 1),
]


def agrees(got: Any, want: Any) -> None:
    if want is not NAN:
        assert got == pytest.approx(want, rel=1e-12, abs=0 if want else 1e-14, nan_ok=True), f"{got}, not {want}"
    else:
        assert np.isnan(got), f"{got}, not nan"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, on the way to inf and nan
@pytest.mark.parametrize("door", [np, tnp], ids=["np", "tnp"])
@pytest.mark.parametrize(
    ("f", "x", "first", "second"), [pytest.param(f, x, *want, id=f"{name} at {x:g}") for name, f, x, *want in POINTS]
)
def test_two_derivatives(f: Callable[[Any, Any], Any], x: float, first: Any, second: Any, door: Any) -> None:
    g: Function = lambda x: f(door, x)
    for kind in (float, np.float64, lambda x: np.array(x), lambda x: np.array([0.7, x, 1.3])):
        point = kind(x)
        at = 1 if np.ndim(point) else ()
        for way in (by_grad, by_jvp):
            agrees(np.asarray(way(g)(point))[at], first)
        for name, way in SECOND.items():
            if second is REFUSED or (second is VARIES and name.endswith("(grad)")):
                with pytest.raises(MissingRuleError, match="second derivative"):
                    way(g)(point)
            else:
                agrees(np.asarray(way(g)(point))[at], 0 if second is VARIES else second)


# functions of several numbers: gradient and Hessian

_P = np.array([0.25, 0.75])  # softmax of 0 and log 3

ARRAYS: list[tuple[str, Function, Any, Any, Any]] = [
    ("max, tied", np.max, [3.0, 1.0, 3.0], [0.5, 0, 0.5], 0),
    ("max of squares, tied", lambda x: np.max(x * x), [1.0, -1.0], [1, -1], [[1, 0], [0, 1]]),
    ("min, tied", np.min, [3.0, 1.0, 1.0], [0, 0.5, 0.5], 0),
    ("max of nan", np.max, [NAN, 1.0], [1, 0], 0),
    ("max of inf", lambda x: np.max(x * 1.0), [INF, 1.0], [1, 0], 0),
    ("ptp, tied", np.ptp, [1.0, 1.0], [0, 0], 0),
    ("prod, a zero", np.prod, [0.0, 2.0, 3.0], [6, 0, 0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
    ("prod, two zeros", np.prod, [0.0, 2.0, 0.0], [0, 0, 0], [[0, 0, 2], [0, 0, 0], [2, 0, 0]]),
    ("cumprod, a zero", lambda x: np.sum(np.cumprod(x)), [2.0, 0.0, 3.0], [1, 8, 0], [[0, 4, 0], [4, 0, 2], [0, 2, 0]]),
    ("var of equals", np.var, [2.0, 2.0], [0, 0], [[0.5, -0.5], [-0.5, 0.5]]),
    ("std of equals", np.std, [2.0, 2.0], [0, 0], REFUSED),
    ("std of equals, squared", lambda x: np.std(x) ** 2, [2.0, 2.0], [0, 0], REFUSED),
    ("std of one", np.std, [5.0], [0], 0),
    ("norm", np.linalg.norm, [0.0, 0.0], [0, 0], REFUSED),
    ("norm, squared", lambda x: np.linalg.norm(x) ** 2, [0.0, 0.0], [0, 0], REFUSED),
    ("norm, a kernel", lambda x: np.exp(-(np.linalg.norm(x) ** 2)), [0.0, 0.0], [0, 0], REFUSED),
    (
        "norm of rows",
        lambda x: np.sum(np.linalg.norm(x, axis=0)),
        [[0.0, 3.0], [0.0, 4.0]],
        [[0, 0.6], [0, 0.8]],
        REFUSED,
    ),
    ("norm of order 3", lambda x: np.linalg.norm(x, 3), [0.0, 2.0], [0, 1], 0),
    ("norm of order 1.5", lambda x: np.linalg.norm(x, 1.5), [0.0, 2.0], [0, 1], REFUSED),
    ("norm of order 1", lambda x: np.linalg.norm(x, 1), [0.0, -2.0], [0, -1], 0),
    ("norm of order inf", lambda x: np.linalg.norm(x, INF), [2.0, -2.0], [0.5, -0.5], 0),
    ("sum of squares", lambda x: np.exp(-np.sum(x * x)), [0.0, 0.0], [0, 0], [[-2, 0], [0, -2]]),
    ("hypot", lambda x: np.hypot(x[0], x[1]), [0.0, 0.0], [0, 0], REFUSED),
    ("hypot", lambda x: np.hypot(x[0], x[1]), [INF, 1.0], [1, 0], 0),
    ("hypot", lambda x: np.hypot(x[0], x[1]), [3.0, 4.0], [0.6, 0.8], [[0.128, -0.096], [-0.096, 0.072]]),
    ("arctan2", lambda x: np.arctan2(x[0], x[1]), [INF, 1.0], [0, 0], 0),
    ("arctan2", lambda x: np.arctan2(x[0], x[1]), [0.0, -2.0], [-0.5, 0], [[0, -0.25], [-0.25, 0]]),
    ("logaddexp", lambda x: np.logaddexp(x[0], x[1]), [INF, 1.0], [1, 0], 0),
    ("logaddexp", lambda x: np.logaddexp(x[0], x[1]), [2.0, -INF], [1, 0], 0),
    ("logaddexp", lambda x: np.logaddexp(x[0], x[1]), [7.0, 7.0], [0.5, 0.5], [[0.25, -0.25], [-0.25, 0.25]]),
    ("x**z", lambda x: x[0] ** x[1], [0.0, 2.0], [0, 0], [[2, 0], [0, 0]]),
    ("x**z", lambda x: x[0] ** x[1], [1.0, 0.0], [0, 0], [[0, 1], [1, 0]]),
    ("maximum of both", lambda x: np.maximum(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], 0),
    ("clip, its bounds", lambda x: np.clip(x[0], x[1], x[2]), [0.5, 1.0, 2.0], [0, 1, 0], 0),
    ("logsumexp", nn.logsumexp, [0.0, math.log(3)], _P, np.diag(_P) - np.outer(_P, _P)),
    (
        "logsumexp",
        nn.logsumexp,
        [0.0, -INF, math.log(3)],
        [0.25, 0, 0.75],
        [[0.1875, 0, -0.1875], [0, 0, 0], [-0.1875, 0, 0.1875]],
    ),
    ("logsumexp of nothing", nn.logsumexp, [-INF, -INF], [0, 0], 0),
    ("softmax", lambda x: nn.softmax(x)[0], [0.0, -INF], [0, 0], 0),
    ("softmax", lambda x: nn.softmax(x)[0], [0.0, 0.0], [0.25, -0.25], 0),
    ("log_softmax", lambda x: nn.log_softmax(x)[0], [0.0, -INF], [0, 0], 0),
    ("relu", lambda x: np.sum(nn.relu(x) ** 2), [0.0, 2.0], [0, 4], [[0, 0], [0, 2]]),
    ("sort", lambda x: np.sort(x)[0] ** 2, [3.0, 1.0], [0, 2], [[0, 0], [0, 2]]),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("f", "x", "gradient", "hessian"), [pytest.param(*row[1:], id=f"{row[0]} at {row[2]}") for row in ARRAYS]
)
def test_gradient_and_hessian(f: Function, x: Any, gradient: Any, hessian: Any) -> None:
    point = np.array(x)
    for way in (tg.grad, tg.jacrev, tg.jacfwd):
        np.testing.assert_allclose(way(f)(point), gradient, rtol=1e-13, atol=1e-15)
    for one in (tg.jacrev, tg.jacfwd):
        for other in (tg.jacrev, tg.jacfwd):
            if hessian is REFUSED:
                with pytest.raises(MissingRuleError, match="second derivative"):
                    one(other(f))(point)
            else:
                want = np.broadcast_to(hessian, point.shape * 2)
                np.testing.assert_allclose(one(other(f))(point), want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("x", [1e-8, 0.3, 2.0, 7.9, 8.1, 50.0, 700.0])
def test_derivatives_of_bessels_function(x: float) -> None:
    """The equation y″ + y′/x = y, and y′ by its integral."""
    angle = np.linspace(0, PI, 2001)
    first, second = by_grad(np.i0)(x), by_grad(by_grad(np.i0))(x)
    assert second + first / x == pytest.approx(float(np.i0(x)), rel=1e-12)
    if x > 0.1:
        slopes = np.exp(x * (np.cos(angle) - 1)) * np.cos(angle)
        assert first * math.exp(-x) == pytest.approx(np.trapezoid(slopes, angle) / PI, rel=1e-12)
    third = by_grad(by_grad(by_grad(np.i0)))(x)  # that equation, differentiated
    assert third == pytest.approx(first - second / x + first / x**2, rel=1e-8, abs=1e-7)
