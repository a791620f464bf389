"""Arrays from parts, and parts of arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from cases import Case, array, assert_same, case, check_moves, check_value, cplx, table, value_when_traced

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import ConversionError, PrimitiveError, TapegradError
from tapegrad.testing import check_grads

X, Y, V, W = array(2, 3), array(2, 3, seed=1), array(3, seed=2), array(2, seed=3)

JOINING = [
    case(np.concatenate, [X, Y]),
    case(np.concatenate, (X, Y), 1),
    case(np.concatenate, [X, array(2, 1)], axis=-1),
    case(np.concatenate, [X, Y], axis=None),
    case(np.concatenate, [X, array(0, 3), Y]),
    case(np.concatenate, [array(0), array(0)]),
    case(np.concatenate, [V]),
    case(np.concatenate, X),
    case(np.concatenate, [V, np.arange(2)]),
    case(np.concatenate, [V, W], dtype=np.float32),
    case(np.concat, [V, W]),
    case(np.stack, [X, Y]),
    case(np.stack, (X, Y), 1),
    case(np.stack, [X, Y, X], axis=-1),
    case(np.stack, [array(), 2.5]),
    case(np.stack, [1.5, 2.5]),
    case(np.stack, X),
    case(np.vstack, [X, Y]),
    case(np.vstack, (V, V)),
    case(np.vstack, [X, V]),
    case(np.vstack, [1.5, 2.5]),
    case(np.hstack, [X, Y]),
    case(np.hstack, [V, W]),
    case(np.hstack, [V, 2.5]),
    case(np.hstack, (array(2, 1, 2), array(2, 2, 2))),
    case(np.dstack, [X, Y]),
    case(np.dstack, [V, V]),
    case(np.dstack, [1.5, array()]),
    case(np.column_stack, [V, V]),
    case(np.column_stack, (array(2, 2), W)),
    case(np.atleast_1d, 1.5),
    case(np.atleast_1d, array(), X),
    case(np.atleast_2d, V),
    case(np.atleast_2d, array(), X, array(2, 1, 1)),
    case(np.atleast_3d, array()),
    case(np.atleast_3d, V),
    case(np.atleast_3d, X, array(1, 2, 2)),
    case(np.append, V, W),
    case(np.append, X, Y, axis=0),
    case(np.append, X, 2.5),
    case(np.append, V, [1.0, 2.0]),
]
PARTS = [
    case(np.split, array(6), 3),
    case(np.split, array(4, 2), 2),
    case(np.split, array(2, 4), [1, 3], axis=1),
    case(np.split, array(5), (2,)),
    case(np.split, array(5), [1, 9]),
    case(np.split, array(5), [3, 1]),
    case(np.split, array(5), [-2]),
    case(np.array_split, array(7), 3),
    case(np.array_split, array(2), 4),
    case(np.array_split, array(2, 5), 2, -1),
    case(np.array_split, array(5), np.array([2, 3])),
    case(np.vsplit, array(4, 2), 2),
    case(np.hsplit, array(2, 4), 2),
    case(np.hsplit, array(4), [1]),
    case(np.dsplit, array(2, 1, 4), 2),
]
if hasattr(np, "unstack"):
    PARTS += [case(np.unstack, X), case(np.unstack, X, axis=1), case(np.unstack, array(2, 1, 2), axis=-1)]
COMPLEX = [case(np.concatenate, [cplx(2), V]), case(np.stack, [cplx(2), cplx(2)]), case(np.split, cplx(4), 2)]


@table(*JOINING, *PARTS, *COMPLEX)
def test_value(call: Case) -> None:
    check_value(call, ulps=0)
    check_value(call.astype(np.float32), ulps=0)


@table(*JOINING, *PARTS, *COMPLEX)
def test_derivatives(call: Case) -> None:
    check_moves(call, twice=call not in COMPLEX)


def test_mixed_dtypes_go_back_as_what_they_were() -> None:
    x, z = array(2).astype(np.float32), array(2)
    value, pullback = tg.vjp(lambda x, z: np.concatenate([x, z]), x, z)
    assert value.dtype == np.float64
    assert_same(pullback(np.array([1.0, 2, 3, 4])), (np.float32([1, 2]), np.array([3.0, 4])))
    value, pullback = tg.vjp(lambda x, z: np.stack([x, z]), 1.5, np.float32(2))
    assert_same(value, np.stack([1.5, np.float32(2)]))
    assert_same(pullback(np.ones(2, value.dtype)), (1.0, np.float32(1)))


def test_the_same_part_twice() -> None:
    assert tg.grad(lambda x: np.concatenate([x, x]) @ np.arange(4.0))(array(2)).tolist() == [2, 4]
    assert tg.grad(lambda x: np.stack([x, x, 1.0]) @ np.arange(1, 4.0))(2.0) == 3


def test_parts_that_are_lists() -> None:
    x = array(2)
    f = lambda x: np.concatenate([x, [1.0, 2.0], [x[0], 3.0]]) ** 2 @ np.arange(1, 7.0)
    assert_same(tg.grad(f)(x), 2 * x * [1 + 5, 2], ulps=2)
    assert_same(tg.grad(lambda x: np.sum(np.vstack([x, [x[0], 1.0]])))(x), np.array([2.0, 1]))


@pytest.mark.parametrize("function", [np.concatenate, np.stack, np.vstack, np.hstack])
@pytest.mark.parametrize("options", [{"casting": "unsafe", "dtype": np.float32}, {"dtype": np.float32}])
def test_keywords(function: Any, options: dict[str, Any]) -> None:
    f = lambda x, z: function([x, z], **options)
    assert_same(value_when_traced(f, (V, V)), f(V, V))
    assert tg.grad(lambda x: np.sum(f(x, x)))(V).tolist() == [2, 2, 2]


@pytest.mark.parametrize("function", [np.concatenate, np.stack])
def test_out_is_refused(function: Any) -> None:
    out = np.zeros(4 if function is np.concatenate else (2, 2))
    with pytest.raises(PrimitiveError, match="out="):
        tg.grad(lambda x: np.sum(function([x, x], out=out)))(W)
    assert not out.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.concatenate([x, x[0]]),
        lambda x: np.concatenate([x, x], axis=2),
        lambda x: np.concatenate([x[0, 0]]),
        lambda x: np.stack([x, x[0]]),
        lambda x: np.stack([x, x], axis=4),
        lambda x: np.vstack([x, x[:, :2]]),
        lambda x: np.split(x, 2, axis=1),
        lambda x: np.array_split(x, 0),
        lambda x: np.array_split(x, 2, axis=2),
        lambda x: np.append(x, x[0], axis=0),
        lambda x: np.hsplit(x[0, 0], 1),
        lambda x: np.vsplit(x[0], 1),
        lambda x: np.dsplit(x, 1),
    ],
)
def test_wrong_calls_raise_what_numpy_raises(call: Any) -> None:
    with pytest.raises((ValueError, IndexError)):
        call(X)
    with pytest.raises((ValueError, IndexError)):
        tg.vjp(call, X)


# arrays from traced numbers


def test_array_of_traced_parts() -> None:
    x = 1.5
    for f in (
        lambda x: [x, 1.0, 2],
        lambda x: (x, x * 2),
        lambda x: [[x, 1], [2, 3.0]],
        lambda x: [[x], [x]],
        lambda x: [np.ones(2), np.ones(2) * x],
        lambda x: [[1, 2], np.array([3, 4]) * x],
    ):
        assert_same(value_when_traced(lambda x, f=f: tnp.array(f(x)), (x,)), np.array(f(x)))
        assert_same(value_when_traced(lambda x, f=f: tnp.asarray(f(x)), (x,)), np.array(f(x)))
        assert_same(tnp.array(f(x)), np.array(f(x)))
        check_grads(lambda x, f=f: tnp.array(f(x)) ** 2, (x,))
    assert tg.grad(lambda x: tnp.array([x, 1.0, x * x]) @ np.arange(3.0))(3.0) == 12


def test_array_keywords() -> None:
    x = array(3)
    for f in (
        lambda home, x: home.array(x, np.float32),
        lambda home, x: home.array(x, dtype=np.float64),
        lambda home, x: home.array(x, ndmin=2),
        lambda home, x: home.array(x, copy=None),
        lambda home, x: home.array([x, x], dtype=np.float32),
        lambda home, x: home.array([x, x], ndmin=3),
        lambda home, x: home.asarray(x, np.float32),
        lambda home, x: home.asarray(x, dtype="d"),
        lambda home, x: home.asanyarray(x),
        lambda home, x: home.ascontiguousarray(x),
    ):
        assert_same(value_when_traced(lambda x, f=f: f(tnp, x), (x,)), f(np, x))
        assert_same(f(tnp, x), f(np, x))
        weights = np.arange(1.0, f(np, x).size + 1).reshape(f(np, x).shape)
        slope = tg.grad(lambda x, f=f, weights=weights: np.sum(f(tnp, x) * weights))(x)
        assert_same(slope, weights.reshape(-1, 3).sum(0))


def test_array_of_a_number() -> None:
    for x in (1.5, np.float64(1.5), np.float32(1.5), 1j):
        for make in (tnp.array, tnp.asarray):
            value, pullback = tg.vjp(make, x)
            assert_same(value, np.array(x))
            assert_same(pullback(np.ones_like(value)), (type(x)(1),))
    assert_same(tg.vjp(lambda x: tnp.array(x, np.float32), 1.5)[0], np.array(1.5, np.float32))


def test_asarray_of_an_array_is_the_array() -> None:
    def f(x: Any) -> Any:
        assert tnp.asarray(x) is x
        assert tnp.array(x) is not x
        return np.sum(x)

    assert tg.grad(f)(array(2)).tolist() == [1, 1]


def test_a_copy_can_be_asked_for() -> None:
    def f(x: Any) -> Any:
        y = tnp.asarray(x, copy=True)
        y += 1
        return np.sum(y * x)

    assert_same(tg.grad(f)(array(2)), 2 * array(2) + 1, ulps=1)


def test_arrays_that_are_contiguous() -> None:
    plain = np.asfortranarray(array(2, 3))
    assert tnp.ascontiguousarray(plain).flags.c_contiguous
    for x in (1.5, np.array(1.5)):
        assert_same(tnp.ascontiguousarray(x), np.ascontiguousarray(x))
        assert_same(value_when_traced(tnp.ascontiguousarray, (x,)), np.ascontiguousarray(x))
    masked = np.ma.masked_array([1.0, 2], [True, False])
    assert tnp.asanyarray(masked) is masked


def test_array_of_plain_values_is_numpys() -> None:
    for args in [([1, 2],), ([[1.0], [2]],), ((),), (3,), ("ab",), ([None, 1], object)]:
        assert_same(tnp.array(*args), np.array(*args))
    with pytest.raises(ValueError, match="inhomogeneous"):
        tnp.array([[1], [1, 2]])


def test_ragged_parts_raise() -> None:
    with pytest.raises(ValueError, match="shape"):
        tg.grad(lambda x: np.sum(tnp.array([[x, 1.0], [x]])))(1.5)


def test_numpys_own_array_refuses() -> None:
    for make in (np.array, np.asarray, np.asanyarray, np.ascontiguousarray):
        for parts in (lambda x: x, lambda x: [x, 1.0]):
            with pytest.raises(ConversionError, match=r"numpy\.stack"):
                tg.grad(lambda x, make=make, parts=parts: np.sum(make(parts(x))))(1.5)


@pytest.mark.parametrize(
    "call", [lambda a: tnp.split(a, 2), lambda a: tnp.array_split(a, 2), lambda a: tnp.hsplit(a, 2)]
)
def test_parts_of_lists_of_traced_numbers(call: Any) -> None:
    try:
        value, slope = tg.value_and_grad(lambda x: np.sum(call([x, 3 * x])[1]))(1.5)
    except TapegradError as error:
        assert len(str(error).splitlines()) == 3
    else:
        assert slope == pytest.approx(value / 1.5)


def test_many_parts_take_as_many_steps() -> None:
    """Entries of a list are found by their place, not by looking through it."""

    def steps(n: int) -> int:
        count = 0

        def count_calls(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        f = lambda x: np.sum(np.stack([x[k] for k in range(n)]) ** 2)
        x = np.ones(n)
        sys.setprofile(count_calls)
        try:
            tg.grad(f)(x)
            tg.hvp(f)(x, x)
            tg.trace(f)(x).backward()
        finally:
            sys.setprofile(None)
        return count

    assert steps(400) < 2.2 * steps(200)
