"""Functions that move elements: their values, the moves that undo them, views, casts and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, alone, array, assert_same, case, check_derivatives, check_moves, check_value, cplx, table

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import AssignmentError, TapegradError
from tapegrad.testing import check_grads

FORTRAN = np.asfortranarray(array(2, 3))
STRIDED = np.asfortranarray(array(4, 3))[::2]
SPREAD = np.broadcast_to(array(1, 3), (2, 3))

CASES = [
    case(np.reshape, array(2, 3), (3, 2)),
    case(np.reshape, array(2, 3), -1),
    case(np.reshape, array(2, 3), (1, -1, 2)),
    case(np.reshape, array(2, 3), (3, 2), order="F"),
    case(np.reshape, array(2, 3), (3, 2), "A"),
    case(np.reshape, FORTRAN, (3, 2), "A"),
    case(np.reshape, FORTRAN, (3, 2)),
    case(np.reshape, array(1), ()),
    case(np.reshape, array(), (1, 1)),
    case(np.reshape, array(0, 2), (2, 0)),
    case(np.reshape, 1.5, (1,)),
    case(np.reshape, 1.5, (1, 1), "A"),
    case(np.ravel, array(2, 3)),
    case(np.ravel, array(2, 3), "F"),
    case(np.ravel, FORTRAN, "A"),
    case(np.ravel, FORTRAN, "K"),
    case(np.ravel, STRIDED, "A"),
    case(np.ravel, STRIDED, order="K"),
    case(np.ravel, array(2, 3)[:, ::-1], "K"),
    case(np.ravel, np.transpose(array(2, 3, 2), (1, 2, 0)), "K"),
    case(np.ravel, array()),
    case(np.ravel, 1.5),
    case(np.ravel, 1.5, "K"),
    case(np.transpose, array(2, 3)),
    case(np.transpose, array(3)),
    case(np.transpose, array()),
    case(np.transpose, 1.5),
    case(np.transpose, array(2, 3, 2), (1, 2, 0)),
    case(np.transpose, array(2, 3, 2), axes=(-1, 0, 1)),
    case(np.permute_dims, array(2, 1, 2), (1, 2, 0)),
    case(np.matrix_transpose, array(2, 3)),
    case(np.matrix_transpose, array(2, 2, 3)),
    case(np.swapaxes, array(2, 3, 2), 0, -1),
    case(np.moveaxis, array(2, 3, 2), 0, 2),
    case(np.moveaxis, array(2, 1, 3), (0, -1), (1, 0)),
    case(np.rollaxis, array(2, 3, 2), 2),
    case(np.rollaxis, array(2, 3, 2), 0, 3),
    case(np.rollaxis, array(2, 3, 2), -1, 1),
    case(np.rollaxis, array(2, 1, 3), 1, -1),
    case(np.squeeze, array(1, 3, 1)),
    case(np.squeeze, array(1, 3, 1), 0),
    case(np.squeeze, array(1, 2, 1), axis=(0, -1)),
    case(np.squeeze, array(1)),
    case(np.squeeze, 1.5),
    case(np.expand_dims, array(3), 0),
    case(np.expand_dims, array(2, 3), (0, -1)),
    case(np.expand_dims, 1.5, 0),
    case(np.expand_dims, np.float64(1.5), (0, 1)),
    case(np.broadcast_to, array(3), (2, 3)),
    case(np.broadcast_to, array(2, 1), (2, 2, 3)),
    case(np.broadcast_to, array(1), (0,)),
    case(np.broadcast_to, array(), 4),
    case(np.broadcast_to, 1.5, (2, 2)),
    case(np.broadcast_arrays, array(2, 1), array(3, seed=1)),
    case(np.broadcast_arrays, array(3), 1.5, np.arange(2)[:, None]),
    case(np.flip, array(2, 3)),
    case(np.flip, array(2, 3), 1),
    case(np.flip, array(2, 3), axis=(0, -1)),
    case(np.flipud, array(2, 3)),
    case(np.fliplr, array(2, 3)),
    *[case(np.rot90, array(2, 3), k) for k in range(-1, 5)],
    case(np.rot90, array(2, 1, 3), 1, (1, 2)),
    case(np.roll, array(5), 2),
    case(np.roll, array(2, 3), -4),
    case(np.roll, array(2, 3), 1, axis=1),
    case(np.roll, array(2, 3), (1, -1), (0, 1)),
    case(np.roll, array(2, 3), np.array([2, 1]), (1, 1)),
    case(np.tile, array(3), 2),
    case(np.tile, array(2, 3), (2, 2)),
    case(np.tile, array(2), (2, 1, 2)),
    case(np.tile, array(2, 1, 2), (2, 1)),
    case(np.tile, array(3), 0),
    case(np.tile, 1.5, 3),
    case(np.copy, array(2, 3)),
    case(np.copy, array()),
    case(np.copy, 1.5),
    case(np.copy, np.float64(1.5)),
]
if hasattr(np, "astype"):
    CASES += [case(np.astype, array(2, 3), np.float32), case(np.astype, array(3), np.float64)]
LINEAR_TO_COMPLEX = [case(np.transpose, cplx(2, 3)), case(np.tile, cplx(2), 2), case(np.roll, cplx(2, 2), 1)]


@table(*CASES, *LINEAR_TO_COMPLEX)
def test_value(call: Case) -> None:
    check_value(call, ulps=0)
    check_value(call.astype(np.float32), ulps=0)


@table(*CASES, *LINEAR_TO_COMPLEX)
def test_derivatives(call: Case) -> None:
    check_moves(call, twice=call in CASES)


def _list(y: Any) -> Any:
    return y if isinstance(y, (list, tuple)) else [y]


@table(*CASES)
def test_memory_order_of_cotangents_does_not_matter(call: Case) -> None:
    """What goes back is the same whether the cotangent is laid out in C or in Fortran order."""
    f, args = alone(call.through("np"), call.args)
    y, pullback = tg.vjp(lambda *args: _list(f(*args)), *args)
    cots = [np.asarray(array(*np.shape(part), seed=k), np.asarray(part).dtype) for k, part in enumerate(y)]
    ordered = [np.array(c, order="F") for c in cots]
    pack = tuple if isinstance(y, tuple) else list
    assert_same(pullback(pack(cots)), pullback(pack(ordered)), ulps=4)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.reshape(x, (4, 2)),
        lambda x: np.transpose(x, (0, 0)),
        lambda x: np.swapaxes(x, 0, 2),
        lambda x: np.moveaxis(x, 2, 0),
        lambda x: np.rollaxis(x, 2),
        lambda x: np.rollaxis(x, 0, 4),
        lambda x: np.squeeze(x, 0),
        lambda x: np.expand_dims(x, 5),
        lambda x: np.broadcast_to(x, (3, 2)),
        lambda x: np.flip(x, 2),
        lambda x: np.roll(x, 1, 2),
        lambda x: np.fliplr(x[0]),
    ],
)
def test_wrong_calls_raise_what_numpy_raises(call: Any) -> None:
    with pytest.raises((ValueError, IndexError)) as plain:
        call(array(2, 3))
    with pytest.raises(plain.type):
        tg.vjp(call, array(2, 3))


# casts


@pytest.mark.parametrize("door", ["method", "np", "tnp"])
@pytest.mark.parametrize(("have", "want"), [("d", "f"), ("f", "d"), ("d", "D"), ("D", "F"), ("e", "g")])
def test_astype(have: str, want: str, door: str) -> None:
    x = cplx(3).astype(have) if have == "D" else array(3).astype(have)
    f = _caster(door, want)
    value, pullback = tg.vjp(f, x)
    assert_same(value, x.astype(want))
    assert_same(pullback(np.ones_like(value))[0], np.ones_like(x))
    if "e" not in have:
        check_grads(lambda x: f(x) ** 2, (x,), order=1)


def _caster(door: str, dtype: Any) -> Any:
    if door == "method":
        return lambda x: x.astype(dtype)
    if not hasattr(np, "astype"):
        pytest.skip("this NumPy has no astype")
    return lambda x: (np if door == "np" else tnp).astype(x, np.dtype(dtype))


def test_cast_to_integers_is_plain() -> None:
    def f(x: Any) -> Any:
        n = x.astype(int)
        assert_same(n, np.array([1, 2]))
        assert x.astype(bool).dtype == bool
        return np.sum(x * n)

    assert tg.grad(f)(np.array([1.5, 2.5])).tolist() == [1, 2]


def test_cast_of_complex_to_real_drops_the_imaginary_part() -> None:
    with pytest.warns(np.exceptions.ComplexWarning):
        value, pullback = tg.vjp(lambda z: z.astype(float), cplx(2))
    assert_same(value, cplx(2).real.copy())
    assert_same(pullback(np.array([1.0, 2.0]))[0], np.array([1 + 0j, 2]))


def test_cast_that_is_not_allowed() -> None:
    with pytest.raises(TypeError, match="cast"):
        tg.vjp(lambda x: x.astype(np.float32, casting="safe"), array(2))
    assert tg.vjp(lambda x: x.astype(np.float32, casting="same_kind"), array(2))[0].dtype == np.float32


def test_a_number_can_be_cast() -> None:
    value, pullback = tg.vjp(lambda x: x.astype(np.float32), 1.5)
    assert_same(value, np.float32(1.5))
    assert pullback(np.float32(2)) == (2.0,)


# copies and views


@pytest.mark.parametrize("copy", [np.copy, tnp.array, lambda x: x.copy(), lambda x: x.flatten(), lambda x: x * 1])
def test_what_is_copied_can_change(copy: Any) -> None:
    def f(x: Any) -> Any:
        y = copy(x)
        y += x
        return np.sum(y * x)

    x = array(3)
    before = x.copy()
    assert_same(tg.grad(f)(x), 4 * x)
    assert_same(x, before)
    assert tg.grad(f)(1.5 + np.zeros(())).tolist() == 6


@pytest.mark.parametrize(
    "view",
    [
        lambda x: np.reshape(x, (3, 2)),
        np.ravel,
        np.transpose,
        lambda x: np.swapaxes(x, 0, 1),
        lambda x: np.moveaxis(x, 0, 1),
        lambda x: np.rollaxis(x, 1),
        np.flip,
        np.rot90,
        np.atleast_3d,
        lambda x: np.expand_dims(x, 0),
        lambda x: np.squeeze(x[None]),
        lambda x: np.broadcast_to(x, (2, 2, 3)),
        lambda x: np.broadcast_arrays(x, np.ones((2, 2, 3)))[0],
        lambda x: np.split(x, 2)[0],
        np.diagonal,
        np.diag,
        np.real,
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x.real,
        lambda x: x[0],
        lambda x: x[:, 1:],
        lambda x: x[...],
        lambda x: next(iter(x)),
    ],
)
def test_a_view_and_its_array_change_together(view: Any) -> None:
    """As in NumPy, where both are one; what NumPy makes read-only is so here."""

    def source(x: Any) -> Any:
        y = x * 2
        v = view(y)
        y += y[0]
        return np.sum(v[...] ** 2)

    def target(x: Any) -> Any:
        y = x * 2
        v = view(y)
        v *= v
        return np.sum(y**3)

    x = array(2, 3)
    check_grads(source, (x,), order=2)
    try:
        target(x)
    except (ValueError, DeprecationWarning) as error:
        assert "read-only" in str(error) or "overlapping" in str(error)
        with pytest.raises(ValueError, match="read-only"):
            tg.grad(target)(x)
    else:
        check_grads(target, (x,), order=2)


def test_imag_is_a_view_of_complex_numbers() -> None:
    def f(z: Any) -> Any:
        y = z * 2
        v = y.imag
        y += 1
        return np.sum(v)

    with pytest.raises(AssignmentError):
        tg.grad(f)(cplx(3))


# lists of traced numbers


@pytest.mark.parametrize(
    "call",
    [
        lambda a: tnp.reshape(a, (2, 1)),
        lambda a: tnp.ravel(a),
        lambda a: tnp.flip(a),
        lambda a: tnp.roll(a, 1),
        lambda a: tnp.tile(a, 2),
        lambda a: tnp.expand_dims(a, 0),
        lambda a: tnp.broadcast_to(a, (3, 2)),
        lambda a: tnp.transpose(a),
        lambda a: tnp.copy(a),
        lambda a: tnp.squeeze(a),
    ],
)
def test_lists_of_traced_numbers(call: Any) -> None:
    """They are arrays, or they are refused in words of ours: they are never dropped."""
    try:
        value, slope = tg.value_and_grad(lambda x: np.sum(call([x, 2 * x]) * call(np.array([3.0, 5.0]))))(1.5)
    except TapegradError as error:
        assert len(str(error).splitlines()) == 3
    else:
        assert slope == pytest.approx(value / 1.5)


def test_lists_are_refused_by_numpy_itself() -> None:
    with pytest.raises(TapegradError, match=r"numpy\.stack"):
        tg.grad(lambda x: np.sum(np.ravel([x, 2 * x])))(1.5)


def test_moves_back_are_moves() -> None:
    """A cotangent that only moves is not touched: not even nan and infinity."""
    g = np.array([[np.nan, np.inf, -0.0], [1, 2, 3]])
    for f, back in ((np.transpose, np.transpose(g)), (np.flip, np.flip(g)), (np.ravel, g.ravel())):
        value, pullback = tg.vjp(f, array(3, 2) if f is np.transpose else array(2, 3))
        got = pullback(g.reshape(value.shape))[0]
        np.testing.assert_array_equal(got, back.reshape(got.shape))


def test_check_derivatives_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_derivatives(case(lambda x: np.flip(x) * tg.stop_gradient(x), array(3)))
