"""Assignment to traced arrays means what it means in NumPy, and has the derivative of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import AssignmentError, EscapedTracerError
from tapegrad.numpy.updates import At
from tapegrad.testing import check_grads

X = np.array([0.3, -1.2, 0.7, 2.0, -0.4])
M = np.array([[0.3, -1.2, 0.7], [2.0, -0.4, 1.1]])


def _weighted(y: Any) -> Any:
    """One number that depends on every element in its own way."""
    return np.sum(y * y * np.linspace(0.5, 2.0, np.size(y)).reshape(np.shape(y)))


def _swap(x: Any) -> Any:
    y = x.copy()
    y[0], y[2] = y[2], y[0]
    return y


def _swap_rows(x: Any) -> Any:
    """Rows are views, so this puts one of them in both places, as NumPy does."""
    y = x.copy()
    y[0], y[1] = y[1], y[0]
    return y * np.array([[1.0], [2.0]])


def _swap_rows_by_index(x: Any) -> Any:
    y = x.copy()
    y[[0, 1]] = y[[1, 0]]
    return y


def _bubble_sort(x: Any) -> Any:
    y = x.copy()
    for n in range(len(y) - 1, 0, -1):
        for k in range(n):
            if y[k] > y[k + 1]:
                y[k], y[k + 1] = y[k + 1], y[k]
    return y


def _eliminate(x: Any) -> Any:
    """A solution of linear equations by elimination with pivots, all in place."""
    n = len(x)
    a = np.zeros_like(x, shape=(n, n))
    for k in range(n):
        a[k] = np.cos((k + 1) * x) + 0.1 * k
    b = 2 * x
    for k in range(n):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        a[[k, p]] = a[[p, k]]
        b[[k, p]] = b[[p, k]]
        for j in range(k + 1, n):
            factor = a[j, k] / a[k, k]
            a[j, k:] -= factor * a[k, k:]
            b[j] -= factor * b[k]
    for k in reversed(range(n)):
        b[k] = (b[k] - np.sum(a[k, k + 1 :] * b[k + 1 :])) / a[k, k]
    return b


def _recurrence(x: Any) -> Any:
    y = np.zeros_like(x)
    y[0] = x[0]
    for k in range(1, len(x)):
        y[k] = np.sin(y[k - 1]) * x[k]
    return y


def _running_sum(x: Any) -> Any:
    y = 1.0 * x
    for k in range(1, len(y)):
        y[k] += y[k - 1]
    return y


def _shifted(x: Any) -> Any:
    y = np.ones_like(x)
    y[1:] += x[:-1]
    y[::2] *= 3.0
    y[-1] = y[0] * x[1]
    return y


def _masked(x: Any) -> Any:
    y = x * x
    y[x < 0] = 0.5
    y[y > 1.0] /= 2.0
    return y


def _repeated(x: Any) -> Any:
    y = np.zeros_like(x)
    y[np.array([0, 0, 1, 3, 0])] = x
    return y


def _through_views(x: Any) -> Any:
    y = x.copy()
    head, tail = y[:2], y[1:]
    tail *= 2.0
    head[1] = head[0] * 3.0
    y[0] = tail[0]
    return np.concatenate([y, head, tail])


def _transposed(x: Any) -> Any:
    y = x * 1.0
    y.T[1] = y[:, 0] ** 2
    y.reshape(-1)[::2] += x[0]
    np.swapaxes(y, 0, 1)[2, 0] = 1.5
    y.ravel()[3] *= y[0, 1]
    y[None, ..., ::-1][0, 0, 1] = x[1, 1]
    return y


def _flat_of_transposed(x: Any) -> Any:
    """The rows of this one stand upright in memory, so that it is reshaped without a copy the other way round."""
    y = x.T * 2.0
    z = y.T.reshape(-1)
    z[1] = x[0, 0]
    y.reshape(-1)[2] = 77.0
    return y


def _alias(x: Any) -> Any:
    y = x.copy()
    z = y
    kept = y.copy()
    z[1:3] = 7.0 * x[0]
    return y + kept


def _read_before(x: Any) -> Any:
    y = x.copy()
    first, square = y[0], y * y
    y[0] = 5.0
    y *= 2.0
    return square * first + y


def _butterflies(x: Any) -> Any:
    y = np.concatenate([x, x[:3] * 2.0])
    step = 1
    while step < len(y):
        for start in range(0, len(y), 2 * step):
            for k in range(start, start + step):
                a, b = y[k], 0.7 * y[k + step]
                y[k], y[k + step] = a + b, a - b
        step *= 2
    return y


def _rows_in_a_loop(x: Any) -> Any:
    y = x.copy()
    for row in y:
        row += row[0]
        row[1:] *= row[:-1]
    return y


def _whole(x: Any) -> Any:
    y = np.empty_like(x)
    y[...] = x * x
    y[:] = y + x
    y[()] = y
    return y


def _broadcast(x: Any) -> Any:
    y = np.zeros_like(x)
    y[:] = x[:, :1]
    y[1] = x[0, 2]
    y[:, 1] = [x[0, 0], 2.0]
    y[0, 1:] = x[:1, :2] * 3.0
    return y


def _fancy(x: Any) -> Any:
    y = x.copy()
    y[[0, 1], [2, 0]] = x[0, :2]
    y[..., np.newaxis][1, 1] = x[0, 0]
    y[:, [True, False, True]] *= 2.0
    y[np.array([[0], [1]]), np.array([0, 1])] += x[:, 1:]
    return y


def _numbers(x: Any) -> Any:
    y = np.zeros_like(x)
    y[0] = np.sin(x[0])
    y[1] = y[0] ** 2
    y[0] = y[1] + y[0]
    return y


def _augmented(a: Any) -> Any:
    power = a[0] * a[1]
    torque = power
    torque /= a[2]
    power *= a[0] + a[2]
    torque -= 0.5 * power
    return power + 3.0 * torque


PROGRAMS: list[tuple[Callable[[Any], Any], Any]] = [
    *[(f, X) for f in (_swap, _bubble_sort, _eliminate, _recurrence, _running_sum, _shifted, _masked, _repeated)],
    *[(f, X) for f in (_through_views, _alias, _read_before, _butterflies, _whole, _numbers, _augmented)],
    *[(f, M) for f in (_swap_rows, _swap_rows_by_index, _transposed, _flat_of_transposed)],
    *[(f, M) for f in (_rows_in_a_loop, _broadcast, _fancy)],
]


@pytest.mark.parametrize(("program", "x"), PROGRAMS, ids=lambda p: getattr(p, "__name__", ""))
def test_programs(program: Callable[[Any], Any], x: Any) -> None:
    before = x.tobytes()
    value, pullback = tg.vjp(program, x)
    np.testing.assert_allclose(value, program(x), rtol=1e-15)
    np.testing.assert_array_equal(pullback(value)[0], pullback(value)[0])
    check_grads(program, (x,), order=2)
    f = lambda x: _weighted(program(x))
    v = np.cos(np.arange(x.size)).reshape(x.shape)
    hessian = tg.hessian(f)(x).reshape(x.size, x.size)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    np.testing.assert_allclose(tg.hvp(f)(x, v).ravel(), hessian @ v.ravel(), atol=1e-12)
    np.testing.assert_allclose(tg.jvp(tg.grad(f), (x,), (v,))[1].ravel(), hessian @ v.ravel(), atol=1e-12)
    np.testing.assert_allclose(tg.grad(tg.checkpoint(f))(x), tg.grad(f)(x), rtol=1e-14)
    tape = tg.trace(f)(x)
    np.testing.assert_allclose(tape.backward()[0], tg.grad(f)(x), rtol=1e-14)
    assert x.tobytes() == before


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize(("program", "x"), PROGRAMS, ids=lambda p: getattr(p, "__name__", ""))
def test_programs_in_other_types(program: Callable[[Any], Any], x: Any, dtype: Any) -> None:
    if dtype is np.complex128:
        if program in (_bubble_sort, _masked):
            pytest.skip("complex numbers have no order")
        x = x + 0.1j * x[::-1]
    x = x.astype(dtype)
    value, pullback = tg.vjp(program, x)
    plain = program(x)
    assert value.dtype == plain.dtype
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    assert pullback(value)[0].dtype == dtype
    check_grads(program, (x,), order=1)


def test_a_python_float_is_an_array_of_no_axes() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        y[()] = x * x
        y[...] *= x
        return y

    assert tg.grad(f)(2.0) == 12.0
    assert tg.jvp(f, (2.0,), (1.0,))[1] == 12.0


def test_entries_that_are_overwritten_leave_no_trace() -> None:
    def f(x: Any) -> Any:
        y = np.sqrt(x)
        y[0] = 3.0
        return np.sum(y * y)

    x = np.array([0.0, 4.0])
    np.testing.assert_array_equal(tg.grad(f)(x), [0.0, 1.0])
    np.testing.assert_array_equal(tg.jvp(f, (x,), (np.ones(2),))[1], 1.0)
    np.testing.assert_array_equal(tg.hessian(f)(x), np.zeros((2, 2)))


def test_what_was_never_written_has_no_slope() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        y[1:] = x[1:]
        return np.sum(np.sqrt(y))

    x = np.array([7.0, 4.0, 1.0])
    np.testing.assert_array_equal(tg.grad(f)(x), [0.0, 0.25, 0.5])
    assert tg.jvp(f, (x,), (np.ones(3),))[1] == 0.75


def test_the_callers_array_stays_as_it_is() -> None:
    def f(x: Any) -> Any:
        x[0] = 5.0
        x += 1.0
        x[1:] = 0.0
        return np.sum(x) + 0.0 * np.sum(x * x)

    for n in (3, 100_000):
        x = np.arange(1.0, n + 1)
        tg.grad(f)(x)
        tg.jvp(f, (x,), (x,))
        np.testing.assert_array_equal(x, np.arange(1.0, n + 1))


def test_a_write_in_an_inner_transform() -> None:
    """What an outer value gets there from an outer value stays; what it gets of the inner one ends with that."""

    def f(x: Any) -> Any:
        y = x.copy()

        def inner(z: Any) -> Any:
            y[0] = 3.0 * x[1]
            return z * z * y[0]

        return tg.grad(inner)(x[2]) + y[0]

    check_grads(f, (X,), order=2)

    def leaking(x: Any) -> Any:
        y = x.copy()

        def inner(z: Any) -> Any:
            y[0] = z
            return z * z

        return tg.grad(inner)(x[2]) + np.sum(y)

    with pytest.raises(EscapedTracerError):
        tg.grad(leaking)(X)


def test_n_writes_cost_n() -> None:
    """Nothing of the size of the array is made for each of them: counted in bytes, not in seconds."""
    import tracemalloc

    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        y[0] = x[0]
        for k in range(1, 200):
            y[k] = y[k - 1] * x[k]
        return y[199]

    n = 100_000
    x = np.ones(n)
    for transform in (tg.grad(f), lambda x: tg.jvp(f, (x,), (x,)), lambda x: tg.hvp(f)(x, x)):
        tracemalloc.start()
        transform(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * x.nbytes


@pytest.mark.parametrize("np", [np, tnp])
def test_functions_for_updates(np: Any) -> None:
    x, v = X, np.array([10.0, 20.0, 30.0])
    index = np.array([0, 2, 0])
    for plain, want in [
        (tnp.index_set(x, index, v), [30.0, -1.2, 20.0, 2.0, -0.4]),
        (tnp.index_add(x, index, v), [40.3, -1.2, 20.7, 2.0, -0.4]),
        (tnp.index_multiply(x, index, v), [90.0, -1.2, 14.0, 2.0, -0.4]),
    ]:
        np.testing.assert_allclose(plain, want)
    for update in (tnp.index_set, tnp.index_add, tnp.index_multiply):
        for i in (index, 1, slice(1, 4), np.array([True, False, True, True, False]), [2, 0, 1], (np.array([4, 4, 1]),)):
            w = 2.0 if type(i) is int else v
            check_grads(lambda x, v, i=i: update(x, i, v), (x, w), order=2)
            check_grads(lambda v, i=i: update(x, i, v), (w,), order=2)
            check_grads(lambda x, i=i, w=w: update(x, i, w), (x,), order=2)
    np.testing.assert_array_equal(x, X)


def test_at() -> None:
    def f(x: Any) -> Any:
        at = lambda x: x.at if tg.is_tracer(x) else At(x)  # plain arrays have none
        y = at(x)[0].set(x[1])
        y = at(y)[1:3].add(x[:2])
        y = at(y)[np.array([3, 3])].multiply(x[:2])
        y = at(y)[1].subtract(x[0])
        y = at(y)[[2, 2]].divide(1.5 + x[:2] ** 2)
        y = at(y)[2:].max(x[0])
        y = at(y)[:1].min(x[3])
        y = at(y)[3].power(2)
        y = y + at(x)[2].get()
        return y

    np.testing.assert_allclose(tg.vjp(f, X)[0], f(X))
    check_grads(f, (X,), order=2)


@pytest.mark.parametrize(
    "program",
    [
        lambda y, x: y.fill(x[0]),
        lambda y, x: y.sort(),
        lambda y, x: y.partition(2),
        lambda y, x: np.copyto(y, x * 2.0),
        lambda y, x: np.copyto(y, x * 2.0, where=y > 0),
        lambda y, x: np.put(y, [0, 3], x[:2]),
        lambda y, x: y.put([0, -1], x[1:3]),
        lambda y, x: np.putmask(y, y > 0.5, x),
        lambda y, x: np.place(y, y > 0.0, x[:2]),
        lambda y, x: np.put_along_axis(y, np.array([1, 0]), x[:2], 0),
        lambda y, x: np.add.at(y, [0, 0, 2], x[:3]),
        lambda y, x: np.subtract.at(y, [1, 1], x[3]),
        lambda y, x: np.multiply.at(y, [0, 0], x[:2]),
        lambda y, x: np.add(x, 1.0, out=y),
        lambda y, x: np.sin(x, out=y),
        lambda y, x: np.multiply(x, y, y),
        lambda y, x: np.fill_diagonal(y[:4].reshape(2, 2), x[0]),
    ],
)
def test_numpys_functions_in_place(program: Callable[[Any, Any], Any]) -> None:
    def f(x: Any) -> Any:
        y = x * 1.5
        program(y, x)
        return y

    np.testing.assert_allclose(tg.vjp(f, X)[0], f(X), rtol=1e-15)
    check_grads(f, (X,), order=2)


def test_errors() -> None:
    def raises(f: Callable[[Any], Any], x: Any, *lines: str) -> None:
        with pytest.raises(AssignmentError) as error:
            tg.grad(f)(x)
        three_lines(error.value)
        assert str(error.value) == "\n".join([lines[0], f"  {lines[1]}", f"  hint: {lines[2]}"])

    def number(x: Any) -> Any:
        y = x * 2.0
        y[()] = 1.0
        return y

    raises(
        number,
        3.0,
        "assignment to elements of a traced number",
        "the value is 6.0, which is no array",
        "numpy.zeros_like, numpy.copy and numpy.stack make arrays that can be assigned to",
    )

    def parts(z: Any) -> Any:
        real = np.real(z)
        real[0] = 1.0
        return np.sum(real)

    raises(
        parts,
        X + 0j,
        "assignment to a traced array that shares memory with another in a way that cannot be followed",
        "shape (5,); one is a part of complex numbers, or was made by asarray, a primitive or a custom rule",
        "assign to a copy: x = x.copy()",
    )


def test_numpys_own_errors() -> None:
    for index, value, error in [
        (9, 1.0, IndexError),
        (slice(0, 2), np.ones(3), ValueError),
        (np.array([True]), 1.0, IndexError),
        ("a", 1.0, IndexError),
        (0, "a", ValueError),
    ]:

        def f(x: Any, index: Any = index, value: Any = value) -> Any:
            y = x.copy()
            try:
                y[index] = value
            finally:
                np.testing.assert_array_equal(tg.stop_gradient(y), X)
            return np.sum(y)

        with pytest.raises(error):
            f(X.copy())
        with pytest.raises(error):
            tg.grad(f)(X)


def test_into_a_plain_array() -> None:
    """NumPy asks the number for a float, so the error is about that, and says what to do."""

    def f(x: Any) -> Any:
        z = np.zeros(3)
        z[0] = x
        return np.sum(z)

    with pytest.raises((TypeError, ValueError)) as error:
        tg.grad(f)(2.0)
    cause = error.value.__cause__ or error.value
    assert isinstance(cause, AssignmentError)
    assert str(cause).startswith("z[index] = x of a plain array z and a traced value x\n")
    assert "hint: make z from a traced array, by numpy.zeros_like(x, shape=...)" in str(cause)


@pytest.mark.parametrize("x", [np.array(-0.3), np.array([0.5]), np.zeros(0)], ids=np.shape)
def test_parts_without_elements(x: Any) -> None:
    """They share memory with nothing, so writing to them changes nothing."""

    def f(x: Any) -> Any:
        a = x.reshape(-1)
        a[1:] += a[:-1] if a.size else 0.0
        empty = a[2:]
        empty *= 2.0
        a[:0] = 7.0
        return np.sum(a * a)

    np.testing.assert_array_equal(tg.grad(f)(x), 2 * x)
    np.testing.assert_array_equal(tg.jvp(f, (x,), (np.ones_like(x),))[1], np.sum(2 * x))


def test_a_new_array_that_was_taken_for_a_plain_one() -> None:
    """np.asarray gives what NumPy takes for the same memory, so a change while both are there raises."""

    def f(x: Any, keep: bool) -> Any:
        new = np.ones_like(x)
        plain = np.asarray(new)
        total = plain.sum()
        if not keep:
            del plain
        new *= 0.5
        return np.sum(x * new) * total

    x = np.arange(3.0)
    np.testing.assert_array_equal(tg.grad(f)(x, False), np.full(3, 1.5))
    with pytest.raises(AssignmentError) as caught:
        tg.grad(f)(x, True)
    three_lines(caught.value)
    copied = tg.grad(lambda x: np.sum(x * (new := np.ones_like(x))) + 0 * np.array(new).sum())(x)
    np.testing.assert_array_equal(copied, np.ones(3))
