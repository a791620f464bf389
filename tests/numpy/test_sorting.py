"""Functions that order elements, and those that say where elements are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, alone, array, assert_same, case, check_moves, check_value, cplx, table

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import TapegradError
from tapegrad.testing import check_grads
from tapegrad.tracer import Tracer

X, V = array(2, 4), array(5, seed=1)
HOLES = np.array([0.5, np.nan, 2.0, -1.0])

SORTING = [
    case(np.sort, V),
    case(np.sort, X),
    case(np.sort, X, 0),
    case(np.sort, X, axis=None),
    case(np.sort, X, -1, "stable"),
    case(np.sort, V, kind="heapsort"),
    case(np.sort, array(2, 1, 3), 0),
    case(np.sort, array(0, 2), axis=0),
    case(np.sort, np.array([2.0, 1, 2, 1, 1])),
    case(np.partition, V, 2),
    case(np.partition, X, (1, 2), axis=1),
    case(np.partition, X, 1, 0),
    case(np.partition, X, -2, axis=None),
]
CONSTANT = [
    *[case(f, X) for f in (np.argmax, np.argmin, np.argsort, np.argwhere, np.nonzero, np.flatnonzero, np.all, np.any)],
    *[case(f, HOLES) for f in (np.nanargmax, np.nanargmin, np.count_nonzero)],
    case(np.argmax, X, 0),
    case(np.argmin, X, axis=1, keepdims=True),
    case(np.argsort, X, 0, "stable"),
    case(np.argpartition, V, 2),
    case(np.lexsort, (V, V)),
    case(np.searchsorted, np.sort(V), [0.5, 1.2], side="right"),
    case(np.searchsorted, np.sort(V), V),
    case(np.digitize, V, np.array([0.5, 1.0])),
    case(np.count_nonzero, X, axis=0),
    case(np.all, X, 1, keepdims=True),
]


@table(*SORTING, *CONSTANT)
def test_value(call: Case) -> None:
    check_value(call, ulps=0)
    check_value(call.astype(np.float32), ulps=0)


def test_value_of_complex_numbers() -> None:
    check_value(case(np.sort, cplx(4)))
    check_grads(np.sort, (cplx(3),), order=1)


@table(*SORTING)
def test_derivatives(call: Case) -> None:
    if len(set(call.args[0].flat)) == call.args[0].size:
        check_moves(call)


def test_tied_elements_keep_their_order() -> None:
    x = np.array([2.0, 1, 2, 1, 1])
    assert tg.grad(lambda x: np.sort(x) @ np.arange(5.0))(x).tolist() == [3, 0, 4, 1, 2]
    assert tg.grad(lambda x: np.sort(x, kind="quicksort") @ np.arange(5.0))(x).tolist() == [3, 0, 4, 1, 2]


def test_nan_goes_to_the_end() -> None:
    value, pullback = tg.vjp(np.sort, HOLES)
    assert_same(value, np.sort(HOLES))
    assert_same(pullback(np.array([1.0, 2, 3, 4]))[0], np.array([2.0, 4, 3, 1]))


@table(*CONSTANT)
def test_constants_are_plain(call: Case) -> None:
    f, args = alone(call.through("np"), call.args)

    def g(*args: Any) -> Any:
        y = f(*args)
        assert not any(isinstance(part, Tracer) for part in (y if isinstance(y, (list, tuple)) else [y]))
        return 1.0

    for slope, x in zip(tg.grad(g, range(len(args)))(*args), args, strict=True):
        assert type(slope) is type(x)
        assert_same(np.asarray(slope), np.zeros_like(x))


def test_picks_by_an_order() -> None:
    x = array(5)
    for pick in (lambda x: x[np.argmax(x)], lambda x: x[np.argsort(x)[-1]], lambda x: x[x.argmax()], lambda x: x.max()):
        slope = tg.grad(lambda x, pick=pick: pick(x) ** 2)(x)
        assert_same(slope, np.where(x == x.max(), 2 * x, 0))


@pytest.mark.parametrize("function", [np.argmax, np.argmin, np.all, np.any])
def test_plain_results_may_be_written_out(function: Any) -> None:
    out = np.zeros((), np.intp if "arg" in function.__name__ else bool)
    tg.grad(lambda x: np.sum(x) + (function(x, out=out) is None))(V)
    assert out == function(V)


@pytest.mark.parametrize(
    "call",
    [lambda x: np.sort(x, 2), lambda x: np.sort(x[0, 0]), lambda x: np.partition(x, 9), lambda x: np.argsort(x, 2)],
)
def test_wrong_calls_raise_what_numpy_raises(call: Any) -> None:
    with pytest.raises((ValueError, IndexError)):
        call(X)
    with pytest.raises((ValueError, IndexError)):
        tg.vjp(call, X)


@pytest.mark.parametrize("call", [tnp.sort, lambda a: tnp.partition(a, 1)])
def test_lists_of_traced_numbers(call: Any) -> None:
    try:
        value, slope = tg.value_and_grad(lambda x: np.sum(call([x, 3 * x])[1:]))(1.5)
    except TapegradError as error:
        assert len(str(error).splitlines()) == 3
    else:
        assert slope == pytest.approx(value / 1.5)
