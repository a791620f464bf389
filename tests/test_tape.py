"""The tape: what it keeps, whom it belongs to, and what is left when a frame ends."""

import asyncio
import gc
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import EscapedTracerError
from tapegrad.frame import Frame
from tapegrad.tape import Tape, current


def square(x):
    return x * x


# clean after everything


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, Stop])
@pytest.mark.parametrize("transform", [tg.grad, lambda f: lambda x: tg.vjp(f, x), tg.trace])
def test_clean_after_an_exception(error, transform):
    def f(x):
        tg.grad(square)(x)
        raise error

    def outer(x):
        with pytest.raises(error):
            transform(f)(x)
        return x * x

    with pytest.raises(error):
        transform(f)(1.0)
    assert current.get() is None
    assert tg.grad(outer)(3.0) == 6.0
    assert current.get() is None


def test_a_rule_that_raises_leaves_nothing_behind():
    f = tg.primitive(lambda x: x * 1)
    f.defvjp(0)(lambda g, y, x: 1 / 0)

    def outer(x):
        with pytest.raises(ZeroDivisionError):
            tg.grad(f)(x)
        return x * x

    assert tg.grad(outer)(3.0) == 6.0
    assert current.get() is None


def test_frames_close_once_and_need_not_have_been_opened():
    frame = Frame("test")
    assert frame.close() == []
    frame.open()
    frame.close()
    assert frame.close() == []


# values that escape


def leak(how):
    kept = []

    def f(x):
        kept.append(how(x))
        return x * 1.0

    tg.grad(f)(2.0)
    return kept[0]


USES = {
    "add": lambda t: t + 1.0,
    "radd": lambda t: 1.0 + t,
    "multiply": lambda t: t * t,
    "ufunc": lambda t: np.sin(t),
    "function": lambda t: np.sum(t),
    "primitive": lambda t: tg.nn.relu(t),
    "input": lambda t: tg.grad(square)(t),
    "output": lambda t: tg.grad(lambda x: t)(1.0),
    "aux": lambda t: tg.grad(lambda x: (x, [t]), has_aux=True)(1.0),
    "sibling": lambda t: tg.grad(lambda x: x * t)(1.0),
    "outer": lambda t: tg.grad(lambda x: tg.grad(lambda y: y * x)(t))(1.0),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("how", [lambda x: x, lambda x: x * x, lambda x: x + 1.0], ids=["input", "entry", "sum"])
def test_a_leaked_value_raises(use, how):
    with pytest.raises(EscapedTracerError, match=r"grad\(f\)") as caught:
        use(leak(how))
    assert isinstance(caught.value, RuntimeError)
    assert len(str(caught.value).splitlines()) == 3
    assert tg.grad(square)(3.0) == 6.0


def test_a_value_of_an_inner_frame_in_its_later_sibling():
    kept = []

    def f(x):
        tg.grad(lambda y: (kept.append(y), y * x)[1])(2.0)
        return tg.grad(lambda z: z * kept[0])(x)

    with pytest.raises(EscapedTracerError):
        tg.grad(f)(1.0)


def test_a_traced_value_of_another_thread():
    caught = []

    def f(x):
        def work():
            try:
                tg.grad(lambda y: x * y)(2.0)
            except EscapedTracerError as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x * 1.0

    tg.grad(f)(1.0)
    assert len(caught) == 1


# whose tape it is


def test_a_helper_thread_inside_a_function_loses_nothing():
    def f(x):
        parts = [None] * 4

        def work(k):
            y = x
            for _ in range(50):
                y = y * 1.5 - y * 0.5
            parts[k] = y * k

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return sum(parts)

    for _ in range(20):
        assert tg.grad(f)(2.0) == 6.0


def test_threads_have_tapes_of_their_own():
    wrong = []

    def f(x, k):
        return tg.grad(lambda y: y**k * x)(x) * x  # k xᵏ⁺¹

    def work(k):
        h = tg.grad(f)
        for _ in range(300):
            if h(1.5, k) != pytest.approx(k * (k + 1) * 1.5**k):
                wrong.append(k)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_tasks_that_interleave():
    async def work(k):
        total = 0.0
        for _ in range(20):
            total += tg.grad(lambda x: x**k)(2.0)
            await asyncio.sleep(0)
        return total

    async def main():
        return await asyncio.gather(*[work(k) for k in range(1, 6)])

    assert asyncio.run(main()) == [20 * k * 2.0 ** (k - 1) for k in range(1, 6)]


def test_a_task_made_inside_a_function_does_not_keep_its_tape():
    async def main():
        tasks = []

        async def later():
            return tg.grad(square)(3.0)

        def f(x):
            tasks.append(asyncio.get_running_loop().create_task(later()))
            return x * x

        assert tg.grad(f)(2.0) == 4.0
        return await tasks[0]

    assert asyncio.run(main()) == 6.0


def test_a_loop_inside_a_function():
    async def twice(x):
        return tg.grad(lambda y: y * y * x)(x)

    assert tg.grad(lambda x: asyncio.run(twice(x)))(3.0) == 12.0


# what is kept


def entries_of(f, *args):
    """The entries that a gradient would read."""
    found = []

    def spy(*call):
        out = f(*call)
        found.extend(call[0]._scope.tape.entries)
        return out

    tg.grad(spy)(*args)
    return found


def arrays(entry):
    for part in entry:
        if isinstance(part, np.ndarray):
            yield part
        elif isinstance(part, tuple):
            yield from arrays(part)


def test_only_what_rules_read_is_kept():
    h, w, b = np.ones((4, 8)), np.ones((8, 8)), np.ones(8)

    def layer(w, b):
        return np.sum(np.tanh(h @ w + b))

    kept = [a for e in entries_of(layer, w, b) for a in arrays(e)]
    answers = [a for a in kept if a.shape == (4, 8) and not np.array_equal(a, h)]  # of that the tape keeps a copy
    assert len(answers) == 1
    assert np.array_equal(answers[0], np.tanh(h @ w + b))


def test_a_sum_with_a_constant_is_no_entry():
    assert entries_of(lambda x: x + 1.0 - 2.0 + 3, 1.0) == []
    x = np.ones(3)
    assert len(entries_of(lambda x: np.sum(x + 1.0 + x), x)) == 2


def test_entries_are_not_tracked_by_the_collector():
    def f(x):
        for _ in range(100):
            x = x * 2.0 + x
        return np.sum(np.tanh(x))

    for argument in (1e-9, np.full(3, 1e-9)):
        entries = entries_of(f, argument)
        for _ in range(4):  # what is inside a tuple is let go before the tuple
            gc.collect()
        quick = [e for e in entries if len(e) != 9 or not isinstance(e[5], tuple) or not isinstance(e[6], dict)]
        assert len(quick) > 200
        assert not any(gc.is_tracked(e) for e in quick)


def test_an_inner_gradient_leaves_nothing_that_the_outer_does_not_need():
    big = np.ones(1000)
    sizes = []

    def f(x):
        total = x * 1.0
        for _ in range(20):
            tg.grad(lambda y: np.sum(np.tanh(y * 2.0)))(big)
            total = total * tg.grad(square)(0.5)
            sizes.append(len(x._scope.tape.entries))
        return total

    assert tg.grad(f)(3.0) == 1.0
    assert sizes == list(range(2, 22))


def test_memory_is_given_back():
    x = np.ones(10_000)

    def f(x):
        for _ in range(10):
            x = np.tanh(x * 1.1)
        return np.sum(x)

    g = tg.grad(f)
    g(x)
    gc.collect()
    tracemalloc.start()
    try:
        g(x)
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            g(x)
            with pytest.raises(ZeroDivisionError):
                tg.grad(lambda x: f(x) * (1 // 0))(x)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - start < x.nbytes / 2
    finally:
        tracemalloc.stop()


# long chains


def chain(x, n):
    for _ in range(n):
        x = x * 0.999999 + x * 1e-6
    return x


def test_a_million_operations_without_recursion():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        assert tg.grad(chain)(1.0, 333_334) == pytest.approx((0.999999 + 1e-6) ** 333_334)
    finally:
        sys.setrecursionlimit(limit)


def test_deep_nesting():
    def nest(depth):
        return (lambda x: x * x) if depth == 0 else lambda x: tg.grad(nest(depth - 1))(x) * 0.0 + x * x

    assert tg.grad(nest(20))(3.0) == 6.0


def test_a_tape_is_made_for_the_outermost_transform():
    tapes = set()

    def f(x):
        tapes.add(current.get())
        return x * tg.grad(lambda y: (tapes.add(current.get()), y * x)[1])(x)

    tg.grad(f)(1.0)
    (tape,) = tapes
    assert isinstance(tape, Tape)
    assert tape.frames == []
    assert tape.scopes == {}
