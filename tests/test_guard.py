"""Arrays of the caller that change after they were recorded: the derivative is that of what was recorded, or it raises."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from messages import three_lines

import tapegrad as tg
from tapegrad import guard
from tapegrad.errors import MutationError

SIZES = [3, 300, 3000, 20_000, 100_000]  # small, copied once, copied, locked with all bytes counted, locked
LOCKED = [20_000, 100_000]


def data(n: int) -> Any:
    return np.linspace(0.1, 1.0, n)


@contextlib.contextmanager
def as_writable_as_before(*arrays: Any) -> Iterator[None]:
    before = [a.flags.writeable for a in arrays]
    yield
    assert [a.flags.writeable for a in arrays] == before
    assert not guard._locked


def right_or_raises(change: Callable[[], None], derivative: Callable[[Callable[[], None]], Any], want: Any) -> None:
    """The derivative is right, or NumPy refuses the change, or ours says that there was one."""
    try:
        got = derivative(change)
    except ValueError as error:
        assert "read-only" in str(error)
    except MutationError as error:
        three_lines(error)
        assert "has changed since it was recorded" in str(error)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-14)


def _all(a: Any) -> None:
    a[...] = 7.0


def _one(a: Any) -> None:
    a[len(a) // 3] = 7.0


def _exchanged(a: Any) -> None:
    """The sum stays the same."""
    a[[0, -1]] = a[[-1, 0]]


CHANGES = [_all, _one, _exchanged]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_constant(n: int, change: Callable[[Any], None]) -> None:
    c, x = data(n), data(n)[::-1].copy()
    want = c.copy()

    def derivative(change: Callable[[], None]) -> Any:
        def f(x: Any) -> Any:
            y = np.sum(x * c)
            change()
            return y

        return tg.grad(f)(x)

    with as_writable_as_before(c, x):
        right_or_raises(lambda: change(c), derivative, want)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_argument(n: int, change: Callable[[Any], None]) -> None:
    x = data(n)
    want = 2 * x

    def derivative(change: Callable[[], None]) -> Any:
        def f(x: Any) -> Any:
            y = np.sum(x * x)
            change()
            return y

        return tg.grad(f)(x)

    with as_writable_as_before(x):
        right_or_raises(lambda: change(x), derivative, want)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", [tg.vjp, tg.linearize], ids=["vjp", "linearize"])
def test_between_recording_and_reading(n: int, change: Callable[[Any], None], make: Any) -> None:
    """The pullback holds no lock: the caller may go on, and it says so if it then cannot give what it promised."""
    for changed in range(2):
        arrays = x, c = data(n), data(n) ** 2
        want = 2 * x * c

        def derivative(change: Callable[[], None], x: Any = x, c: Any = c) -> Any:
            _, linear = make(lambda x: x * x * c, x)
            change()
            return linear(np.ones(n)) if make is tg.linearize else linear(np.ones(n))[0]

        with as_writable_as_before(*arrays):
            right_or_raises(lambda a=arrays[changed]: change(a), derivative, want)  # type: ignore[misc]
            assert x.flags.writeable


def test_a_training_loop_by_vjp() -> None:
    w = data(50_000)
    for _ in range(3):
        _loss, pullback = tg.vjp(lambda w: np.sum(w * w), w)
        (g,) = pullback(1.0)
        w -= 0.1 * g
    np.testing.assert_allclose(w, data(50_000) * 0.8**3)
    with pytest.raises(MutationError) as error:
        pullback(1.0)
    three_lines(error.value)
    assert str(error.value).splitlines()[0] == "argument 0 of multiply has changed since it was recorded"
    assert "an array of shape (50000,), dtype float64, which vjp(<lambda>) needs as it was" in str(error.value)


def test_the_value_of_vjp() -> None:
    for n in SIZES:
        value, pullback = tg.vjp(np.exp, data(n))
        value[:] = 0.0
        np.testing.assert_allclose(pullback(np.ones(n))[0], np.exp(data(n)))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_base_of_a_view_and_a_view_of_the_base(n: int, change: Callable[[Any], None]) -> None:
    base = data(2 * n)
    view, older = base[:n], base[:n]
    want = view.copy()
    for target in (base[:n].base, older):
        x = np.ones(n)

        def derivative(change: Callable[[], None], x: Any = x) -> Any:
            def f(x: Any) -> Any:
                y = np.sum(x * view)
                change()
                return y

            return tg.grad(f)(x)

        if n == 100_000 and change is _one and target is older:
            continue  # of so large an array some bytes are looked at, not all
        with as_writable_as_before(base, view, older):
            right_or_raises(lambda t=target: change(t), derivative, want)  # type: ignore[misc]
        base[:] = data(2 * n)


@pytest.mark.parametrize("n", SIZES)
def test_a_work_buffer(n: int) -> None:
    """What is filled again and again."""
    m = np.zeros(n)

    def f(x: Any) -> Any:
        total = 0.0
        for k in range(3):
            m[:] = 0.0
            m[k] = k + 1.0
            total = total + np.sum(x * x * m)
        return total

    want = np.zeros(n)
    want[:3] = 2 * data(n)[:3] * [1.0, 2.0, 3.0]
    with as_writable_as_before(m):
        right_or_raises(lambda: None, lambda _: tg.grad(f)(data(n)), want)
    np.testing.assert_allclose(tg.jvp(f, (data(n),), (np.ones(n),))[1], np.sum(want), rtol=1e-14)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, c: np.sum(np.where(c > 0.5, x, c * x)),
        lambda x, c: np.sum(np.einsum("i,i->i", x, c)),
        lambda x, c: np.dot(x, c),
        lambda x, c: np.sum(np.multiply(x, c)),
        lambda x, c: np.sum(np.concatenate([x * x, c]) * np.concatenate([c, c])),
        lambda x, c: np.sum(x[(c * 2).astype(int)] ** 2),
        lambda x, c: np.sum(np.take(x, (c * 2).astype(int))),
        lambda x, c: np.sum(np.hypot(x, c)),
        lambda x, c: np.sum(np.tensordot(x, c, 0) @ c) if c.size < 1000 else np.sum(x * c),
        lambda x, c: np.sum(tg.checkpoint(lambda x, c: x * c)(x, c)),
        lambda x, c: np.sum(np.linalg.norm(x - c)),
    ],
)
@pytest.mark.parametrize("n", [3, 20_000])
def test_every_path_of_a_constant(call: Callable[[Any, Any], Any], n: int) -> None:
    c, x = data(n), data(n) + 0.5
    want = tg.grad(lambda x: call(x, data(n)))(x)

    def derivative(change: Callable[[], None]) -> Any:
        def f(x: Any) -> Any:
            y = call(x, c)
            change()
            return y

        return tg.grad(f)(x)

    with as_writable_as_before(c, x):
        right_or_raises(lambda: _all(c), derivative, want)


def test_indices_and_masks() -> None:
    index, mask = np.array([0, 2]), np.array([True, False, True])
    for i in (index, mask):

        def f(x: Any, i: Any = i) -> Any:
            y = np.sum(x[i] ** 2)
            z = x * 1.0
            z[i] = x[i] * 3.0
            i[:] = 1
            return y + np.sum(z)

        np.testing.assert_allclose(tg.grad(f)(data(3)), 1.0 + np.array([2.2, 0.0, 4.0]))


@pytest.mark.parametrize("n", LOCKED)
def test_writable_after_exceptions(n: int) -> None:
    x, c = data(n), data(n)

    def f(x: Any) -> Any:
        y = x * c
        assert not c.flags.writeable
        raise KeyError(y.shape)

    def g(x: Any) -> Any:
        return np.sum(broken(x * c))

    @tg.primitive
    def broken(x: Any) -> Any:
        return x * 2.0

    @broken.defvjp
    def _(g: Any, _y: Any, _x: Any) -> Any:
        raise KeyError("rule")

    for transform in (
        tg.grad,
        tg.jacobian,
        lambda f: lambda x: tg.vjp(f, x)[1](1.0),
        lambda f: lambda x: tg.hvp(f)(x, x),
    ):
        for function in (f, g):
            with pytest.raises(KeyError) as error:
                transform(function)(x)
            assert error.value is not None  # whose traceback is alive
            assert x.flags.writeable
            assert c.flags.writeable
            assert not guard._locked


def test_what_was_locked_by_the_caller_stays_so() -> None:
    c = data(20_000)
    c.setflags(write=False)
    view = c[:5000].reshape(-1, 2)
    with as_writable_as_before(c, view):
        tg.grad(lambda x: np.sum(x * c) + np.sum(x[:2] * view))(data(20_000))
        assert not c.flags.writeable


def test_two_threads_lock_the_same_array() -> None:
    """The one that is ready first does not unlock what the other still needs."""
    c, x = data(20_000), data(20_000)
    inside, go = threading.Event(), threading.Event()
    failures = []

    def slow(x: Any) -> Any:
        y = np.sum(x * c)
        inside.set()
        go.wait(10)
        if c.flags.writeable:
            failures.append("unlocked")
        return y

    thread = threading.Thread(target=lambda: tg.grad(slow)(x))
    thread.start()
    inside.wait(10)
    tg.grad(lambda x: np.sum(x * c))(x)
    assert not c.flags.writeable
    go.set()
    thread.join()
    assert not failures
    assert c.flags.writeable
    assert not guard._locked


def test_of_arguments_a_quarter_of_a_megabyte_is_copied() -> None:
    """Many of them need no memory twice; those that are locked are known to change, and free afterwards."""
    xs = [data(4096) + k for k in range(64)]
    locked: list[int] = []

    def f(xs: Any, change: bool = False) -> Any:
        locked[:] = [k for k, x in enumerate(plain) if not x.flags.writeable]
        if change:
            plain[-1][3] = 0.0
        return sum([np.sum(x * x) for x in xs])

    plain = xs
    with as_writable_as_before(*xs):
        for got, x in zip(tg.grad(f)(xs), xs):
            np.testing.assert_array_equal(got, 2 * x)
        assert locked == [*range(8, 64)]
        with pytest.raises(ValueError, match="read-only"):
            tg.grad(f)(xs, True)
    with as_writable_as_before(*xs):  # an inner transform copies, for a loop around it may change what it gets
        tg.grad(lambda t: t * tg.value_and_grad(f)(xs)[0])(1.0)
        assert not locked


def test_a_pullback_that_is_dropped_leaves_nothing_locked() -> None:
    x = data(20_000)
    with as_writable_as_before(x):
        pullback = tg.vjp(lambda x: np.sum(x * x), x)[1]
        del pullback


@pytest.mark.parametrize("n", [3, 20_000])
def test_a_rule_may_write_to_what_it_gets(n: int) -> None:
    """Up to 64 KB it gets copies; larger arrays cannot be written to."""

    @tg.primitive
    def f(x: Any, z: Any) -> Any:
        return np.sin(x) * z

    @f.defvjp
    def _(g: Any, y: Any, x: Any, z: Any) -> Any:
        gz = g * np.sin(x)
        g *= z
        g *= np.cos(x)
        for a in (y, x, z):
            a[...] = 0.0
        return g, gz

    x = data(n)
    total = lambda x: np.sum(f(x, x * x) * x + x)
    want = tg.grad(lambda x: np.sum(np.sin(x) * x * x * x + x))(x)
    before = x.copy()
    if n == 3:
        np.testing.assert_allclose(tg.grad(total)(x), want)
        np.testing.assert_allclose(tg.hessian(lambda x: np.sum(np.sin(x) * x**3))(x), tg.hessian(total)(x))
        _value, pullback = tg.vjp(total, x)
        np.testing.assert_allclose(pullback(1.0)[0], pullback(1.0)[0])
    else:
        with pytest.raises(ValueError, match="read-only"):
            tg.grad(total)(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("n", [3, 20_000])
def test_a_body_cannot_write_to_what_the_tape_has(n: int) -> None:
    @tg.primitive
    def f(x: Any) -> Any:
        x -= 1.0
        return x * x

    f.defvjp(0)(lambda g, _y, x: g * 2 * (x - 1.0))
    custom = tg.custom_vjp(lambda x: x * x)
    custom.defvjp(lambda x: (x.sort(), x)[::-1], lambda x, g: (g * x,))
    for body in (f, custom):
        with pytest.raises(ValueError, match="read-only"):
            tg.grad(lambda x, body=body: np.sum(body(x * 2.0)))(data(n))
    with pytest.raises(ValueError, match="read-only") as error:
        tg.grad(lambda x: np.sum(f(x)))(data(n))
    assert "let it work on a copy: x = x.copy()" in error.value.__notes__[0]


def test_a_body_that_answers_with_a_buffer() -> None:
    buffer = np.zeros(3)

    @tg.primitive
    def f(x: Any) -> Any:
        return np.exp(x, out=buffer)

    f.defvjp(0)(lambda g, y, _x: g * y)
    x = data(3)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(f(x) * f(2 * x)))(x), 3 * np.exp(3 * x))


def test_custom_rules_keep_what_they_were_given() -> None:
    for n in (3, 20_000):
        c = data(n)
        f = tg.custom_vjp(lambda x: x * c)
        f.defvjp(lambda x: (x * c, c), lambda c, g: (g * c,))

        def derivative(change: Callable[[], None], f: Any = f, n: int = n) -> Any:
            def total(x: Any) -> Any:
                y = np.sum(f(x))
                change()
                return y

            return tg.grad(total)(np.ones(n))

        right_or_raises(lambda c=c: _all(c), derivative, data(n))  # type: ignore[misc]


def test_aux_and_arguments_are_not_the_tapes() -> None:
    """Who changes what an inner transform gave changes nothing that an outer one needs."""

    def f(x: Any) -> Any:
        c = np.array([1.0, 2.0, 3.0])

        def inner(z: Any) -> Any:
            v = z * c
            return np.sum(v * v * x), v

        slope, v = tg.grad(inner, has_aux=True)(c)
        v[:] = 100.0
        return np.sum(slope * x)

    want = tg.grad(lambda x: np.sum(2 * np.array([1.0, 8.0, 27.0]) * x * x))(data(3))
    np.testing.assert_allclose(tg.grad(f)(data(3)), want)


def test_fingerprints() -> None:
    rng = np.random.default_rng(0)
    for a in (rng.normal(size=1000), rng.normal(size=(50, 7)).astype(np.float32), np.arange(11), np.ones(5, bool)):
        for b in (a, np.asfortranarray(a), a[::2], a.T):
            c = b.copy("K")
            before = guard.fingerprint(c)
            assert guard.fingerprint(c) == before
            i, j = rng.choice(c.shape[0], 2, replace=False)
            if not np.array_equal(c[i], c[j]):
                c[[i, j]] = c[[j, i]]
                assert guard.fingerprint(c) != before
                c[[i, j]] = c[[j, i]]
            assert guard.fingerprint(c) == before
            c.flat[c.size - 1] = 77 if c.dtype != bool else False
            assert guard.fingerprint(c) != before


def test_the_same_constant_is_copied_once() -> None:
    c, x = data(5000), data(5000)

    def f(x: Any) -> Any:
        for _ in range(100):
            x = x * c
        return np.sum(x)

    tape = tg.vjp(f, x)[1].recording.entries
    kept = {id(e[-1]) for e in tape if isinstance(e[-1], np.ndarray)}
    assert len(kept) <= 2


def test_a_body_that_answers_with_an_argument_or_foreign_memory() -> None:
    memory = bytearray(24)

    @tg.primitive
    def twice(x: Any, buffer: Any) -> Any:
        buffer[...] = x * 2
        return buffer

    twice.defvjp("x")(lambda g, _y, _x, _buffer: g * 2.0)

    def by_argument(x: Any) -> Any:
        buffer = np.empty(3)
        a = twice(x, buffer)
        b = a * a
        twice(b + 1, buffer)
        return np.sum(b)

    def by_memory(x: Any) -> Any:
        return np.sum(foreign(x) * foreign(x + 1))

    @tg.primitive
    def foreign(x: Any) -> Any:
        y = np.frombuffer(memory)
        y[:] = x * 2
        return y

    foreign.defvjp("x")(lambda g, _y, _x: g * 2.0)
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(tg.grad(by_argument)(x), 8 * x)
    np.testing.assert_allclose(tg.grad(by_memory)(x), 4 * (2 * x + 1))


def test_custom_rules_share_no_buffer() -> None:
    buffer, x = np.empty(3), np.array([1.0, 2.0, 3.0])
    f = tg.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (np.multiply(x, 2, out=buffer), None), lambda _, g: (2 * g,))
    value, slope = tg.value_and_grad(lambda x: np.sum(f(x) * f(x + 1)))(x)
    assert value == np.sum(4 * x * (x + 1))
    np.testing.assert_allclose(slope, 4 * (2 * x + 1))


def test_custom_rules_keep_arguments_and_traced_residuals() -> None:
    times = tg.custom_jvp(lambda x, w: x * w)
    times.defjvp(lambda p, t: (p[0] * p[1], t[0] * p[1] + p[0] * t[1]))
    back = tg.custom_vjp(lambda x, w: x * w)
    back.defvjp(lambda x, w: (x * w, (x, w)), lambda r, g: (g * r[1], g * r[0]))
    x = np.ones(3)

    def plain(x: Any) -> Any:
        w = np.ones(3)
        y = times(x, w)
        w[:] = 50.0
        return np.sum(y)

    np.testing.assert_array_equal(tg.grad(plain)(x), np.ones(3))
    for f in (times, back):

        def outer(w: Any, f: Any = f) -> Any:
            w = w * 1.0

            def inner(z: Any) -> Any:
                y = f(z, w)
                w[0] = 50.0
                return np.sum(y)

            return np.sum(tg.grad(inner)(x))

        np.testing.assert_array_equal(tg.grad(outer)(np.array([2.0, 3.0, 4.0])), np.ones(3))


def test_a_memory_map() -> None:
    import tempfile

    @tg.primitive
    def times(x: Any, m: Any) -> Any:
        return x * m

    times.defvjp("x")(lambda g, _y, _x, m: g * m)
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, dtype=float, mode="w+", shape=(3,))
        for f in (times, lambda x, m: x * m):
            mapped[:] = 2.0

            def total(x: Any, f: Any = f, mapped: Any = mapped) -> Any:
                y = f(x, mapped)
                mapped[:] = 50.0
                return np.sum(y)

            np.testing.assert_array_equal(tg.grad(total)(np.ones(3)), [2, 2, 2])
        del mapped


@pytest.mark.parametrize("n", [4, 20_000])
def test_arguments_and_tangents_of_the_forward_reading(n: int) -> None:
    x, t = data(n), np.ones(n)
    want = 3 * data(n) ** 2

    def derivative(change: Callable[[], None], call: Any) -> Any:
        def f(x: Any) -> Any:
            y = x * x
            change()
            return y * x

        return call(f)

    calls: list[Any] = [
        lambda f: tg.jvp(f, (x,), (t,))[1],
        lambda f: tg.jvp(tg.elementwise_grad(lambda x: f(x) * x / 4), (x,), (t,))[1],
        lambda f: tg.hvp(lambda x: np.sum(f(x)))(x, t) / 2 * data(n),
        lambda f: tg.linearize(f, x)[1](np.ones(n)),
    ]
    for call in calls:
        for changed in (x, t):
            with as_writable_as_before(x, t):
                right_or_raises(lambda a=changed: _all(a), lambda change, c=call: derivative(change, c), want)  # type: ignore[misc]
            x[:], t[:] = data(n), 1.0


@pytest.mark.parametrize("n", SIZES)
def test_extras_are_not_the_arguments(n: int) -> None:
    """What has_aux gives is the caller's own: arguments and parts of them are copies, which can be written to."""
    x = data(n)
    _, extras = tg.grad(lambda x: (np.sum(x * x), {"x": x, "part": x[: n // 2], "plain": 2.0}), has_aux=True)(x)
    before = x.copy()
    for a in (extras["x"], extras["part"]):
        assert not np.may_share_memory(a, x)
        a[:] = -5.0
    np.testing.assert_array_equal(x, before)
