"""What NumPy says of floating-point errors in a derivative: what errstate says, but nothing of what a selection left out."""

import warnings

import numpy as np
import pytest

import tapegrad as tg

MODES = [
    lambda f, x: tg.grad(f)(x),
    lambda f, x: tg.value_and_grad(f)(x),
    lambda f, x: tg.vjp(f, x)[1](1.0),
    lambda f, x: tg.jvp(f, (x,), (1.0,)),
    lambda f, x: tg.linearize(f, x)[1](1.0),
    lambda f, x: tg.jacrev(f)(x),
    lambda f, x: tg.jacfwd(f)(x),
    lambda f, x: tg.hessian(f)(x),
    lambda f, x: tg.hvp(f)(x, 1.0),
    lambda f, x: tg.grad(tg.grad(f))(x),
]
ROOT = tg.custom_vjp(np.sqrt)
ROOT.defvjp(lambda x: (np.sqrt(x), np.sqrt(x)), lambda y, g: (g / (2 * y),))
INFINITE = [(np.sqrt, 0.0), (lambda x: np.sum(np.sqrt(x * np.ones(3))), 0.0), (ROOT, 0.0)]


@pytest.mark.parametrize(("f", "x"), INFINITE)
@pytest.mark.parametrize("derivative", MODES)
def test_errstate_holds(derivative, f, x):
    with pytest.warns(RuntimeWarning, match=r"divide by zero encountered in \w+\("):
        derivative(f, x)
    with np.errstate(divide="raise", invalid="raise"), pytest.raises(FloatingPointError, match="encountered in"):
        derivative(f, x)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        derivative(f, x)
    calls = []
    with np.errstate(all="call", call=lambda kind, flag: calls.append(kind)):
        derivative(f, x)
    assert "divide by zero" in calls


@pytest.mark.parametrize("derivative", MODES)
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.sqrt(np.maximum(x, 0.0)), -1.0),
        (lambda x: np.where(x > 0, ROOT(x), 0.0), 0.0),
        (lambda x: np.sum(np.where([True, False], np.sqrt(x * np.array([1.0, 0.0])), 0.0)), 2.0),
        (lambda x: np.log(np.clip(x, 1.0, 2.0)), 3.0),
    ],
)
def test_what_is_left_out_makes_no_noise(derivative, f, x):
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        derivative(f, x)


def test_the_function_itself_makes_its_own_noise():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tg.jvp(np.log, (0.0,), (1.0,))
    assert [str(w.message) for w in caught] == [
        "divide by zero encountered in log", "divide by zero encountered in jvp(log)",
    ]  # fmt: skip
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero encountered in log"):
        tg.grad(np.log)(0.0)


def test_the_warning_points_to_the_call():
    for derivative in MODES:
        with pytest.warns(RuntimeWarning) as caught:
            derivative(np.sqrt, 0.0)
        assert {warning.filename for warning in caught} == {__file__}
