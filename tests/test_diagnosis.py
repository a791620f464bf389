"""Where an error comes from, and where a nan comes from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import InputError, NonFiniteError

HERE = f"{__file__}, line "


def line_of(text: str) -> int:
    """The number of the first line of this file that has the text in it."""
    with open(__file__, encoding="utf-8") as lines:
        return next(k for k, line in enumerate(lines, 1) if text in line)


@tg.primitive
def wrong(x: Any) -> Any:
    return x * 2.0


@wrong.defvjp
def _(g: Any, _y: Any, _x: Any) -> Any:
    raise KeyError("in the rule")


def _uses_wrong(x: Any) -> Any:
    y = x + 1.0
    return np.sum(wrong(y) * y)  # the line that called


def test_an_exception_in_a_rule_tells_operation_and_entry() -> None:
    with pytest.raises(KeyError, match="in the rule") as error:
        tg.grad(_uses_wrong)(np.ones(3))
    (note,) = error.value.__notes__
    assert note.startswith("tapegrad: on the way back through wrong, entry ")
    assert note.endswith(" of the tape of grad(_uses_wrong); `with tapegrad.debug():` tells the line")


def test_debug_tells_the_line() -> None:
    with tg.debug(), pytest.raises(KeyError) as error:
        tg.grad(_uses_wrong)(np.ones(3))
    (note,) = error.value.__notes__
    assert note.endswith(f"recorded at {HERE}{line_of('# the line that called')}")
    with pytest.raises(KeyError) as error:
        tg.grad(_uses_wrong)(np.ones(3))
    assert HERE not in error.value.__notes__[0]


def test_debug_within_a_function() -> None:
    def f(x: Any) -> Any:
        with tg.debug():
            return _uses_wrong(x)

    with pytest.raises(KeyError) as error:
        tg.grad(f)(np.ones(3))
    assert error.value.__notes__[0].endswith(f"{HERE}{line_of('# the line that called')}")


def test_debug_changes_no_value() -> None:
    f = lambda x: np.sum(np.tanh(x) * np.where(x > 0, np.sqrt(np.abs(x)), x))
    x = np.array([0.3, -0.2, 1.5])
    want = tg.grad(f)(x), tg.hessian(f)(x), tg.jvp(f, (x,), (x,)), tg.hvp(f)(x, x)
    for context in (tg.debug, tg.debug_nans):
        with context():
            got = tg.grad(f)(x), tg.hessian(f)(x), tg.jvp(f, (x,), (x,)), tg.hvp(f)(x, x)
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, rtol=1e-13)


def _raises(f: Callable[[], Any]) -> tuple[str, str]:
    with tg.debug_nans(), pytest.raises(NonFiniteError) as error:
        f()
    assert isinstance(error.value, FloatingPointError)
    three_lines(error.value)
    what, there, hint = str(error.value).splitlines()
    assert hint.startswith("  hint: keep such inputs out before the operation: numpy.where(ok, x, 1.0)")
    return what, there


@pytest.mark.parametrize(
    ("f", "what", "inputs"),
    [
        (lambda x: np.sum(np.log(x)), "log gave -inf at [1] (1 of 2 elements)", "argument 0 = [1., 0.]"),
        (lambda x: np.sum(1.0 / x), "divide gave inf at [1] (1 of 2 elements)", "argument 0 = 1.0, argument 1 = [1., 0.]"),
        (lambda x: np.sum(np.exp(1000 * x)), "exp gave inf at [0] (1 of 2 elements)", "argument 0 = [1000.,    0.]"),
        (
            lambda x: np.sum(x * np.array([np.nan, 1])),
            "multiply gave nan at [0] (1 of 2 elements), which came in with argument 1",
            "argument 0 = [1., 0.]",
        ),
        (lambda x: np.prod(x / x[1] - x), "divide gave inf at [0] (2 of 2 elements)", "argument 0 = [1., 0.]"),
    ],
)
def test_the_first_number_that_is_not_finite(f: Any, what: str, inputs: str) -> None:
    x = np.array([1.0, 0.0])
    for call in (lambda: tg.grad(f)(x), lambda: tg.jvp(f, (x,), (x,)), lambda: tg.vjp(f, x), lambda: tg.hessian(f)(x)):
        got, there = _raises(call)
        assert got == what
        assert there.startswith(f"  {inputs}")
        assert f"recorded at {HERE}" in there


def test_on_the_way_back_and_forth() -> None:
    x = np.array([1.0, 0.0])
    f = lambda x: np.sum(np.sqrt(x))  # the roots
    what, there = _raises(lambda: tg.grad(f)(x))
    assert what == "the cotangent that sqrt gave for argument 0 is inf at [1] (1 of 2 elements)"
    assert (
        there
        == f"  argument 0 = [1., 0.], cotangent [1., 1.]; in grad(<lambda>), recorded at {HERE}{line_of('# the roots')}"
    )
    what, there = _raises(lambda: tg.jvp(f, (x,), (np.ones(2),)))
    assert what == "the tangent that sqrt gave is inf at [1] (1 of 2 elements)"
    what, there = _raises(lambda: tg.linearize(f, x)[1](np.ones(2)))
    assert what == "the tangent that sqrt gave is inf at [1] (1 of 2 elements)"


def test_what_is_left_out_is_no_nan() -> None:
    with tg.debug_nans():
        f = lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0))
        np.testing.assert_array_equal(tg.grad(f)(np.array([0.0, 1.0])), [0.0, 0.5])


def test_debug_nans_can_be_left_out_within() -> None:
    with tg.debug_nans():
        with tg.debug_nans(False), np.errstate(all="ignore"):
            assert tg.grad(np.log)(0.0) == np.inf
        with pytest.raises(NonFiniteError):
            tg.grad(np.log)(0.0)


def test_debug_nans_inside_of_a_function() -> None:
    def f(x: Any) -> Any:
        with tg.debug_nans():
            return x * x

    with pytest.raises(InputError) as error:
        tg.grad(f)(1.0)
    three_lines(error.value)
    assert str(error.value).splitlines()[0] == "debug_nans was entered inside of grad(f)"


def test_errstate_holds_in_the_backward_reading() -> None:
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        tg.grad(np.sqrt)(0.0)
    with np.errstate(divide="ignore"):
        assert tg.grad(np.sqrt)(0.0) == np.inf
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        tg.grad(np.sqrt)(0.0)


def test_no_line_is_kept_without_debug() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x._scope.tape)
        return x * x

    tg.grad(f)(1.0)
    assert kept[0].lines == {}
    assert sys.getrefcount(kept[0]) < 10
