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
    ("x abs(x)", lambda np, x: x * np.abs(x), 0.0, 0, 0),
    ("abs(x)**2", lambda np, x: np.abs(x) ** 2, 0.0, 0, REFUSED),
    ("abs(x)**2.0", lambda np, x: np.abs(x) ** 2.0, 0.0, 0, REFUSED),
    ("square(abs(x))", lambda np, x: np.square(np.abs(x)), 0.0, 0, REFUSED),
    ("fabs(x)**2", lambda np, x: np.fabs(x) ** 2, 0.0, 0, REFUSED),
    ("abs(x) * abs(x)", lambda np, x: np.abs(x) * np.abs(x), 0.0, 0, REFUSED),
    ("cos(abs(x))", lambda np, x: np.cos(np.abs(x)), 0.0, 0, REFUSED),
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
    ("i0(sqrt)", lambda np, x: np.i0(x) * x, 0.0, 1, 0),
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


def spoil(f: Function, x: Any, want: Any, at: Any = ()) -> None:
    if want is REFUSED:
        with pytest.raises(MissingRuleError, match="second derivative"):
            f(x)
    else:
        agrees(np.asarray(f(x))[at], want)


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
        for way in SECOND.values():
            spoil(way(g), point, second, at)
