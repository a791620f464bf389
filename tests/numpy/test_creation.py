"""New arrays like a traced one, or filled with one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from cases import DOORS, Case, array, assert_same, case, check_value, table, value_when_traced

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import AssignmentError, ConversionError, PrimitiveError, TapegradError
from tapegrad.testing import check_grads
from tapegrad.tracer import Tracer

X = array(2, 3)
LIKE = [
    *[case(f, X) for f in (np.zeros_like, np.ones_like)],
    *[case(f, X.astype("f")) for f in (np.zeros_like, np.ones_like)],
    *[case(f, 1.5) for f in (np.zeros_like, np.ones_like)],
    *[case(f, X, np.int8) for f in (np.zeros_like, np.ones_like)],
    *[case(f, X, shape=(1, 2)) for f in (np.zeros_like, np.ones_like)],
    case(np.full_like, X, 2),
    case(np.full_like, X.astype("f"), 2, np.float64),
    case(np.full_like, X, 0, dtype=int, shape=4),
]


@table(*LIKE)
def test_value(call: Case) -> None:
    check_value(call, ulps=0)


@pytest.mark.parametrize("door", DOORS)
@table(*LIKE, case(np.empty_like, X))
def test_what_is_like_a_traced_array_can_be_assigned_to(call: Case, door: str) -> None:
    """It is an array of its own, a constant until then; one of integers is plain."""

    def f(x: Any) -> Any:
        made = call.through(door)(x, *call.args[1:])
        plain = np.array(made)
        assert made.shape == plain.shape
        assert made.dtype == plain.dtype or made.dtype.kind in "iu"
        if isinstance(made, np.ndarray):
            assert made.dtype.kind in "iu"
            return 1.0
        made[...] = np.sum(x) * x.dtype.type(2)
        return np.sum(made)

    x = call.args[0]
    made = call.through(door)(x, *call.args[1:])
    slope = 2.0 * made.size if made.dtype.kind == "f" else 0
    assert np.all(tg.grad(f)(x) == slope)


def test_empty_like() -> None:
    for home in (np, tnp):
        assert value_when_traced(home.empty_like, (X,)).shape == (2, 3)
        assert value_when_traced(lambda x, home=home: home.empty_like(x, int), (X,)).dtype == int


FILLED: list[Any] = [
    lambda home, a, x: home.full_like(a, x),
    lambda home, a, x: home.full_like(a, x, dtype=np.float32),
    lambda home, a, x: home.full_like(a, x, shape=(2, 2)),
    lambda home, a, x: home.full_like(a, x, shape=()),
    lambda home, a, x: home.full_like(a, x, shape=0),
    lambda home, a, x: home.full_like(1.5, x),
    lambda home, a, x: home.full_like(a.astype(np.float32), x),
    lambda home, a, x: home.full((2, 2), x),
    lambda home, a, x: home.full(3, x),
    lambda home, a, x: home.full((), x),
    lambda home, a, x: home.full((2,), x, np.float32),
    lambda home, a, x: home.full((2,), fill_value=x, dtype="d"),
]


@pytest.mark.parametrize("fill", FILLED)
@pytest.mark.parametrize("x", [1.5, np.float64(1.5), np.array(1.5), np.float32(1.5)], ids=repr)
def test_filled_with_a_traced_number(fill: Any, x: Any) -> None:
    want = fill(np, X, x)
    assert_same(value_when_traced(lambda a, x: fill(tnp, a, x), (X, x)), want)
    assert_same(fill(tnp, X, x), want)
    slope = tg.grad(lambda x: np.sum(fill(tnp, X, x), dtype=np.float64))(x)
    assert_same(slope, np.asarray(float(want.size), x.dtype) if isinstance(x, np.ndarray) else type(x)(want.size))
    if want.dtype == np.float64:
        check_grads(lambda x: fill(tnp, X, x) ** 2, (float(x),))


def test_filled_with_a_row() -> None:
    row = array(3)
    assert_same(value_when_traced(lambda x: tnp.full((2, 3), x), (row,)), np.full((2, 3), row))
    assert tg.grad(lambda x: np.sum(tnp.full((2, 3), x)))(row).tolist() == [2, 2, 2]
    assert tg.grad(lambda x: np.sum(tnp.full_like(X, x)))(row).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="broadcast"):
        tg.grad(lambda x: np.sum(tnp.full((2, 2), x)))(row)


def test_filled_with_a_traced_number_is_ones_own() -> None:
    def f(x: Any) -> Any:
        y = tnp.full(3, x)
        y += x
        return np.sum(y)

    assert tg.grad(f)(1.5) == 6
    assert tg.grad(lambda x: np.sum(operator.iadd(tnp.full((2, 3), x), 1)))(array(3)).tolist() == [2, 2, 2]
    assert tg.grad(lambda x: np.sum(operator.iadd(tnp.full_like(X, x), 1)))(array(3)).tolist() == [2, 2, 2]


def test_integers_filled_with_a_traced_number_are_plain() -> None:
    def f(x: Any) -> Any:
        made = tnp.full(2, x, int)
        assert_same(made, np.array([1, 1]))
        assert not isinstance(made, Tracer)
        return x * made[0]

    assert tg.grad(f)(1.5) == 1


def test_numpy_itself_cannot_fill_with_a_traced_number() -> None:
    """NumPy does not ask the value for its opinion: it copies it into an array, which raises."""
    for fill in (lambda x: np.full(3, x), lambda x: np.full_like(np.ones(3), x)):
        with pytest.raises(TapegradError):
            tg.grad(lambda x, fill=fill: np.sum(fill(x)))(1.5)


def test_adding_to_a_plain_array_in_place_raises() -> None:
    def f(x: Any) -> Any:
        total = np.zeros(x.shape)
        total += x
        return np.sum(total)

    with pytest.raises(PrimitiveError, match="z = z \\+ x"):
        tg.grad(f)(X)


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "arange", "linspace", "eye", "identity", "full"])
def test_plain_creation_is_numpys(name: str) -> None:
    args = ((2,), 0.5) if name == "full" else (1, 2) if name == "linspace" else (2,)
    got, want = getattr(tnp, name)(*args), getattr(np, name)(*args)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if name != "empty":
        assert_same(got, want)


@pytest.mark.parametrize("home", [np, tnp])
@pytest.mark.parametrize(
    "call",
    [
        lambda home, x: home.linspace(0, x, 3),
        lambda home, x: home.arange(x),
        lambda home, x: home.arange(0, x, 0.5),
        lambda home, x: home.logspace(0, x, 3),
        lambda home, x: home.geomspace(1, x, 3),
        lambda home, x: home.zeros(x),
        lambda home, x: home.eye(x),
        lambda home, x: home.float64(x),
        lambda home, x: home.vander([x, x]),
        lambda home, x: home.block([[x, x]]),
        lambda home, x: home.meshgrid(x, x)[0],
    ],
)
def test_what_has_no_rule_raises(home: Any, call: Any) -> None:
    """It never gives a plain number, as if there were no derivative."""
    with pytest.raises((TapegradError, TypeError)):
        tg.grad(lambda x: np.sum(call(home, x)))(2.0)


def test_fromiter_raises_with_our_reason() -> None:
    """NumPy hides our error behind one of its own, but ours is its cause."""
    with pytest.raises(ValueError, match="sequence") as error:
        tg.grad(lambda x: np.sum(np.fromiter([x, x], float)))(2.0)
    assert isinstance(error.value.__cause__, ConversionError)


def test_a_plain_array_is_not_filled_with_a_traced_value() -> None:
    for fill in (lambda x: np.full_like(np.ones(3), x), lambda x: np.copyto(np.ones(3), x)):
        with pytest.raises(AssignmentError, match="plain array") as caught:
            tg.grad(lambda x, fill=fill: np.sum(fill(x)))(2.0)
        assert "tapegrad.numpy.full" in str(caught.value).splitlines()[2]
    assert tg.grad(lambda x: np.sum(tnp.full_like(np.ones(3), x)))(2.0) == 3
