"""Indexing in every form that ndarray takes, and the functions that pick elements."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from cases import Case, alone, array, assert_same, case, check_moves, check_value, cplx, table, value_when_traced

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import AssignmentError, ConversionError, PrimitiveError, TapegradError
from tapegrad.testing import check_grads

X3 = array(2, 3, 4)
INDICES: list[Any] = [
    # integers
    0,
    -1,
    np.int64(1),
    np.int8(-2),
    np.array(1),
    (1, -2, 3),
    (0, np.int32(1)),
    (np.uint8(1), 0, 2),
    # slices, None, Ellipsis
    slice(None),
    slice(1, None),
    slice(None, None, -1),
    slice(5, 9),
    (slice(None), slice(2, None, -2)),
    (slice(None, None, -1), slice(None), slice(-3, -1)),
    (0, slice(None), slice(1, None, 2)),
    None,
    (None, slice(None), None, 1),
    ...,
    (..., 1),
    (1, ..., None),
    (..., slice(0, 2), None, -1),
    (),
    # masks
    X3 > 1,
    X3 > 9,
    np.array([True, False]),
    [True, False],
    (slice(None), np.array([True, False, True])),
    (X3[:, :, 0] > 1),
    (np.array([[True, False, True], [False, True, True]]), 0),
    (np.array([[True, False, True], [False, True, True]]), slice(1, 3)),
    (0, X3[0] > 1),
    (np.array([True, True]), slice(None), np.array([0, 3])),
    True,
    False,
    np.True_,
    (True, 0),
    (slice(None), False),
    # arrays of integers, with repeated elements
    [0, 1, 1, 0],
    [],
    (0, []),
    np.array([], int),
    np.array([[0, 1], [-1, 0]]),
    np.array([1, 1, 1], np.uint8),
    [[0, 1], [1, 1]],
    ([0, 1, 1], [2, 0, 0]),
    ((0, 1), (1, 1), (-1, 3)),
    (np.array([[0], [1]]), np.array([0, 2, 2])),
    (range(2), range(2)),
    np.ix_([1, 0], [0, 2, 2], [3]),
    # mixed: the indexed axes stay in their place, or come first where they are apart
    (slice(None), [0, 2, 2]),
    (..., [0, 0, 3]),
    (0, slice(None), [1, 1]),
    ([0, 1], slice(None), [1, 1]),
    (slice(None), [0, 1], [1, 1]),
    (slice(1, None), 0, [3, 3]),
    ([1, 0], None, [2, 2]),
    (None, [1, 0], [2, 2]),
    (1, None, [2, 2], slice(None, None, 2)),
    ([0, 1], ..., 1),
    (np.array([[0, 1]]), slice(None), None, np.array([[1], [1]])),
]


def _name(index: Any) -> str:
    return repr(index).replace("\n", "").replace(" ", "")


@pytest.mark.parametrize("index", INDICES, ids=_name)
@pytest.mark.filterwarnings("ignore:.*truth value.*")
def test_index(index: Any) -> None:
    for x in (X3, X3.astype(np.float32), cplx(2, 3, 4)):
        want = x[index]
        value, pullback = tg.vjp(operator.itemgetter(index), x)
        assert_same(value, want)
        g = array(*np.shape(want), seed=7).astype(x.dtype)
        scattered = np.zeros_like(x)
        np.add.at(scattered, index, g)
        assert_same(pullback(g if isinstance(want, np.ndarray) else x.dtype.type(g))[0], scattered, ulps=4)
    weights = array(*np.shape(X3[index]), seed=3)
    gradient = tg.grad(lambda x: np.sum(weights * x[index] ** 3))
    second = tg.grad(lambda x: np.sum(gradient(x) * X3))(X3)
    expected = np.zeros_like(X3)
    np.add.at(expected, index, 6 * weights * X3[index])
    np.testing.assert_allclose(second, expected * X3, rtol=1e-13)


@pytest.mark.parametrize("index", [0, (1, 2), [0, 1, 1], (slice(None), [2, 0, 0]), np.array([True, False])], ids=_name)
def test_index_against_differences(index: Any) -> None:
    check_grads(lambda x: x[index] ** 2, (array(2, 3),))
    check_grads(lambda z: z[index], (cplx(2, 3),), order=1)


@pytest.mark.parametrize("index", [(), ..., None, (None, ...), True, False, (True, None), np.True_], ids=_name)
def test_index_of_no_axes(index: Any) -> None:
    x = array()
    value, pullback = tg.vjp(operator.itemgetter(index), x)
    assert_same(value, x[index])
    assert_same(pullback(np.ones_like(value))[0], np.array(float(np.size(x[index]))))
    check_grads(lambda x: x[index] ** 2, (np.float64(1.5),))


@pytest.mark.parametrize("index", [slice(0), [], np.zeros(0, bool), (slice(None), 0), None], ids=_name)
def test_index_of_no_elements(index: Any) -> None:
    x = np.zeros((0, 2))
    assert_same(value_when_traced(operator.itemgetter(index), (x,)), x[index])
    assert tg.grad(lambda x: np.sum(x[index]))(x).shape == (0, 2)


class Two:
    """Not an int, but one can index by it."""

    def __index__(self) -> int:
        return 2


def test_what_counts_as_an_integer() -> None:
    for index in (Two(), (Two(),), (..., Two()), slice(Two(), None)):
        assert_same(value_when_traced(operator.itemgetter(index), (array(4),)), array(4)[index])
        assert tg.grad(lambda x, i=index: np.sum(x[i]))(array(4))[2] == 1


@pytest.mark.parametrize("index", [5, (0, 3), (0, 0, 0, 0), 1.0, "a", [0.5], np.array([True] * 3), [0, 9], (..., ...)])
def test_wrong_index_raises_what_numpy_raises(index: Any) -> None:
    with pytest.raises(Exception) as plain:
        array(2, 3)[index]
    with pytest.raises(plain.type):
        tg.vjp(lambda x: x[index], array(2, 3))


def test_a_number_has_no_index() -> None:
    for x in (1.5, np.float64(1.5)):
        with pytest.raises((TypeError, IndexError)):
            tg.grad(lambda x: x[0])(x)


def test_a_traced_index_raises() -> None:
    for index in (lambda x: x[0], lambda x: (slice(None), x[0]), lambda x: [x[0]], lambda x: slice(x[0], None)):
        with pytest.raises((ConversionError, IndexError, PrimitiveError, TypeError)):
            tg.grad(lambda x, index=index: np.sum(x[index(x)]))(array(2, 3))


def test_the_index_is_the_tapes_own() -> None:
    """What the caller does to his index afterwards is not seen by the way back."""
    picks, mask, words = np.array([0, 0]), np.array([True, False, False]), [1, 1]

    def f(x: Any) -> Any:
        y = x[picks] + x[mask] + x[words] + x[(words,)]
        picks[:], mask[:], words[:] = 2, False, [2, 2]
        return np.sum(y)

    assert tg.grad(f)(array(3)).tolist() == [4, 4, 0]


def test_picks_are_not_views() -> None:
    """What an index of arrays gives, and a number that was read, stay as they are when the array changes."""

    def f(x: Any) -> Any:
        y = x * 1
        picked, number = y[[0, 2]], y[1]
        y *= 3
        return np.sum(picked) + 10 * number + 100 * np.sum(y)

    assert tg.grad(f)(array(3)).tolist() == [301, 310, 301]


def test_many_reads() -> None:
    x = array(50)
    f = lambda x: sum(x[i] * x[-i] for i in range(50))
    assert_same(tg.grad(f)(x), np.array([2 * x[-i] for i in range(50)]), ulps=4)


def test_iteration() -> None:
    x = array(3, 2)

    def f(x: Any) -> Any:
        first, *rest = x
        (a, b), c, (d, _) = x
        assert len(x) == 3
        assert len(rest) == 2
        assert_same([tg.stop_gradient(row) for row in x], [*array(3, 2)])
        assert [tg.stop_gradient(a), tg.stop_gradient(b)] == array(3, 2)[0].tolist()
        assert sum(1 for _ in reversed(x)) == 3
        return sum(k * np.sum(row) for k, row in enumerate(x)) + 10 * a + 100 * c[1] + 1000 * d + first[1]

    assert tg.grad(f)(x).tolist() == [[10, 1], [1, 101], [1002, 2]]


def test_iteration_of_a_number() -> None:
    for x in (1.5, np.float64(1.5), np.array(1.5)):
        with pytest.raises(TypeError):
            tg.grad(lambda x: list(x)[0])(x)
        with pytest.raises(TypeError):
            tg.grad(lambda x: len(x) * x)(x)


def test_contains() -> None:
    def f(x: Any) -> Any:
        assert x[1] in x
        assert 7.0 not in x
        return np.sum(x)

    assert tg.grad(f)(array(3)).tolist() == [1, 1, 1]


def test_item_and_tolist_keep_the_trace() -> None:
    x = np.array([[1.0, 2, 3], [4, 5, 6]])

    def f(x: Any) -> Any:
        assert type(tg.stop_gradient(x.item(0))) is float
        rows = x.tolist()
        assert type(rows) is type(rows[0]) is list
        assert type(tg.stop_gradient(rows[1][2])) is float
        return x.item(0) * x.item(1, 2) + x.item((0, 1)) ** 2 + x.item(-1) + x.item(np.int64(3)) + rows[1][1] ** 3

    value, g = tg.value_and_grad(f)(x)
    assert type(value) is float
    assert value == 6 + 4 + 6 + 4 + 125
    assert g.tolist() == [[6, 4, 0], [1, 75, 2]]
    check_grads(f, (x,))


@pytest.mark.parametrize(
    "x", [1.5, np.float64(1.5), np.float32(1.5), np.array(1.5), np.array([[1.5]]), 1.5j, np.array(1j)]
)
def test_item_of_one_number(x: Any) -> None:
    value, pullback = tg.vjp(lambda x: x.item(), x)
    assert_same(value, x.item() if hasattr(x, "item") else x)
    assert_same(pullback(value)[0], np.full(np.shape(x), value, x.dtype) if isinstance(x, np.ndarray) else x)
    assert type(tg.vjp(lambda x: x.item() + 0 * x.tolist() if np.ndim(x) == 0 else x.item(), x)[0]) in (float, complex)


def test_item_of_many_raises() -> None:
    for call in (lambda x: x.item(), lambda x: x.item(3), lambda x: x.item(0, 0), lambda x: x.item(-4)):
        with pytest.raises((ValueError, IndexError)):
            tg.grad(call)(array(3))


def test_flat() -> None:
    x = array(2, 3)
    assert tg.grad(lambda x: sum(k * v for k, v in enumerate(x.flat)))(x).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tg.grad(lambda x: x.flat[4])(x).tolist() == [[0, 0, 0], [0, 1, 0]]


def test_elements_cannot_be_deleted() -> None:
    def f(x: Any) -> Any:
        del x[0]
        return np.sum(x)

    x = array(2)
    with pytest.raises(AssignmentError) as error:
        tg.grad(f)(x)
    assert len(str(error.value).splitlines()) == 3
    assert_same(x, array(2))


def test_a_traced_value_does_not_fit_into_a_plain_array() -> None:
    plain = np.zeros(3)
    for index in (0, slice(None), [0, 1]):
        with pytest.raises((ConversionError, ValueError, TypeError)):
            tg.grad(lambda x, i=index: plain.__setitem__(i, x) or x)(1.5)
    assert not plain.any()


# functions that pick

X, V = array(2, 3), array(4, seed=1)
FUNCTIONS = [
    case(np.take, X, 4),
    case(np.take, X, [0, 5, 5]),
    case(np.take, X, [[0, 1], [1, 1]], 1),
    case(np.take, X, 1, axis=0),
    case(np.take, X, -1, -1),
    case(np.take, X, [0, -1], axis=-2),
    case(np.take, V, [5, -6, 1], mode="wrap"),
    case(np.take, V, [5, -6, 1], mode="clip"),
    case(np.take, X, [], axis=1),
    case(np.take, array(), [0, 0], -1),
    case(np.take_along_axis, X, np.array([[0, 2, 2], [1, 1, 0]]), 1),
    case(np.take_along_axis, X, np.array([[1, 1, 0]]), axis=0),
    case(np.take_along_axis, X, np.array([[2], [0]]), -1),
    case(np.take_along_axis, X, np.array([5, 0, 0]), None),
    case(np.compress, [True, False, True], X, 1),
    case(np.compress, [0, 1], X, axis=0),
    case(np.compress, [False, True, True], X),
    case(np.extract, X > 1, X),
    case(np.repeat, X, 2),
    case(np.repeat, V, [0, 1, 2, 1]),
    case(np.repeat, X, [2, 1], 0),
    case(np.repeat, X, 2, axis=-1),
    case(np.repeat, 1.5, 3),
    case(np.repeat, array(), 2, axis=0),
    case(np.delete, V, 1),
    case(np.delete, V, [0, -1]),
    case(np.delete, X, slice(0, 2), 1),
    case(np.delete, X, 3),
    case(np.delete, V, np.array([True, False, True, False])),
    case(np.diagonal, X),
    case(np.diagonal, X, 1),
    case(np.diagonal, array(3, 2), -1),
    case(np.diagonal, X3, 0, 1, 2),
    case(np.diagonal, X3, 1, -1, 0),
    case(np.diagonal, X3, offset=-1, axis1=2, axis2=1),
    case(np.tril, array(3, 3)),
    case(np.tril, X, 1),
    case(np.triu, X3, -1),
    case(np.triu, V),
    case(np.tril, V, k=1),
    case(np.diag, V),
    case(np.diag, V, 1),
    case(np.diag, V, k=-2),
    case(np.diag, X),
    case(np.diag, X, 1),
    case(np.diff, V),
    case(np.diff, V, 2),
    case(np.diff, V, 0),
    case(np.diff, V, 0, prepend=0.5),
    case(np.diff, array(), 0),
    case(np.diff, V, 4),
    case(np.diff, X, axis=0),
    case(np.diff, X, 1, -1),
    case(np.diff, V, prepend=0.5),
    case(np.diff, X, axis=0, append=array(2, 3)),
    case(np.diff, X, prepend=1, append=[[2], [3]]),
]


@table(*FUNCTIONS)
def test_value(call: Case) -> None:
    check_value(call, ulps=0)
    check_value(call.astype(np.float32), ulps=0)


@table(*FUNCTIONS)
def test_derivatives(call: Case) -> None:
    check_moves(call)
    f, args = alone(call.through("np"), call.args)
    _, pullback = tg.vjp(f, *[x * (1 + 2j) for x in args])
    for z, g in zip(pullback(f(*args) * (1 + 2j)), tg.vjp(f, *args)[1](f(*args)), strict=True):
        np.testing.assert_allclose(z, g * (1 + 2j), atol=1e-15)


def test_repeat_by_counts_that_change() -> None:
    counts = np.array([1, 0, 2, 1])

    def f(x: Any) -> Any:
        y = np.repeat(x, counts)
        counts[:] = 1
        return y @ np.arange(1.0, 5)

    assert tg.grad(f)(V).tolist() == [1, 0, 5, 4]


@pytest.mark.parametrize("function", [np.take, np.compress])
def test_out_is_refused(function: Any) -> None:
    out = np.zeros(1)
    args = lambda x: (x, [0]) if function is np.take else ([True], x)
    with pytest.raises(PrimitiveError, match="out="):
        tg.grad(lambda x: np.sum(function(*args(x), out=out)))(V)
    assert not out.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.take(x, 9),
        lambda x: np.take(x, 0, axis=2),
        lambda x: np.take_along_axis(x, np.array([[0]]), 3),
        lambda x: np.take_along_axis(x, np.array([0]), 1),
        lambda x: np.take_along_axis(x, np.array([[0.5]]), 1),
        lambda x: np.compress([True] * 9, x, 1),
        lambda x: np.repeat(x, [1, 2, 3], 0),
        lambda x: np.repeat(x, -1),
        lambda x: np.delete(x, 9, 0),
        lambda x: np.delete(x, 0, 2),
        lambda x: np.diagonal(x, 0, 0, 0),
        lambda x: np.diagonal(x[0]),
        lambda x: np.diag(x[None]),
        lambda x: np.diag(x[0, 0]),
        lambda x: np.tril(x[0, 0]),
        lambda x: np.diff(x, -1),
        lambda x: np.diff(x, axis=2),
        lambda x: np.diff(x[0, 0]),
    ],
)
def test_wrong_calls_raise_what_numpy_raises(call: Any) -> None:
    with pytest.raises((ValueError, IndexError, TypeError)):
        call(X)
    with pytest.raises((ValueError, IndexError, TypeError)):
        tg.vjp(call, X)


@pytest.mark.parametrize(
    "call",
    [
        lambda a: tnp.take(a, 1),
        lambda a: tnp.take_along_axis(a, np.array([1]), 0),
        lambda a: tnp.compress([False, True], a),
        lambda a: tnp.repeat(a, 2),
        lambda a: tnp.delete(a, 0),
        lambda a: tnp.diag(a),
        lambda a: tnp.diff(a),
        lambda a: tnp.tril(a),
    ],
)
def test_lists_of_traced_numbers(call: Any) -> None:
    """They are arrays, or they are refused in words of ours: they are never dropped."""
    try:
        value, slope = tg.value_and_grad(lambda x: np.sum(call([x, 3 * x])))(1.5)
    except TapegradError as error:
        assert len(str(error).splitlines()) == 3
    else:
        assert slope == pytest.approx(value / 1.5)


# many picks of one array


def test_picks_add_up_in_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    zeros = np.zeros
    monkeypatch.setattr(np, "zeros", lambda *args, **kwargs: made.append(args) or zeros(*args, **kwargs))
    x = np.linspace(0, 1, 500)
    g = tg.grad(lambda x: sum(x[i] * x[i + 1] for i in range(499)) + np.sum(x[100:200]) + np.sum(x[[3, 3, 4]]))(x)
    expected = np.zeros(500)
    assert len(made) == 2  # one by the reading, one just now
    expected[:-1] += x[1:]
    expected[1:] += x[:-1]
    expected[100:200] += 1
    expected[3] += 2
    expected[4] += 1
    np.testing.assert_allclose(g, expected)


def test_picks_beside_other_uses() -> None:
    w = np.arange(6.0).reshape(3, 2)
    for f, slope in (
        (lambda x: np.sum(x * w) + x[0, 1] + x[0, 1], w + 2 * (np.arange(6).reshape(3, 2) == 1)),
        (lambda x: x[0, 1] + np.sum(x * w) + x[0, 1], w + 2 * (np.arange(6).reshape(3, 2) == 1)),
        (lambda x: x[0, 1] + x[1, 1] * np.sum(x) * 0 + np.sum(x[0]), np.array([[1, 2], [0, 0], [0, 0]])),
        (lambda x: sum(np.sum(row * row) for row in x) + np.sum(x), 2 * w + 1),
    ):
        _, pullback = tg.vjp(f, w)
        first = pullback(1.0)[0]
        np.testing.assert_allclose(first, slope)
        first[:] = 100  # which is nobody's but the caller's
        np.testing.assert_allclose(pullback(1.0)[0], slope)
    both = tg.grad(lambda x, y: np.sum(x[0] * y[0]) + np.sum((x + y)[1]), (0, 1))(w, w)
    np.testing.assert_allclose(both[0], both[1])
    assert not np.shares_memory(*both)


def test_second_derivatives_of_picks() -> None:
    x, v = np.linspace(1, 2, 4), np.array([1.0, -1.0, 2.0, 0.5])
    f = lambda x: sum(x[i] ** 2 * x[i + 1] for i in range(3))
    h = tg.grad(lambda x: np.sum(tg.grad(f)(x) * v))(x)
    hessian = np.zeros((4, 4))
    for i in range(3):
        hessian[i, i] += 2 * x[i + 1]
        hessian[i, i + 1] += 2 * x[i]
        hessian[i + 1, i] += 2 * x[i]
    np.testing.assert_allclose(h, hessian @ v)
