"""Threads, tasks and processes: each has its derivatives to itself, and what is shared is neither lost nor counted twice."""

import asyncio
import contextvars
import functools
import multiprocessing
import os
import pickle
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from interruptions import at_each_line
from messages import three_lines

import tapegrad as tg
from tapegrad.errors import EscapedTracerError
from tapegrad.frame import running

THREADS = 8
A = np.array([0.5, -1.0, 2.0])
B = np.array([1.0, 3.0, -0.5])


@pytest.fixture(autouse=True)
def quick_switches():
    """Threads take turns after each few steps, and nothing is left running."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    assert running() is None


def in_threads(work, n=THREADS):
    """The results of `work(k)`, each in a thread of its own; what one of them raises is raised."""
    results, errors = [None] * n, []
    start = threading.Barrier(n)

    def go(k):
        start.wait()
        try:
            results[k] = work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


# each thread differentiates


@tg.primitive
def square(x):
    return x * x


square.defvjp(0)(lambda g, _y, x: 2 * g * x)


@tg.custom_vjp
def times_ten(x):
    return x * x


times_ten.defvjp(lambda x: (x * x, x), lambda x, g: (10 * g * x,))


@tg.custom_jvp
def sine(x):
    return np.sin(x)


sine.defjvps(lambda t, _ans, x: t * np.cos(x))


@tg.checkpoint
def folded(x):
    return np.sin(x) * x


def f(x):
    return np.sum(np.tanh(x) * x * x[0])


CALLS = {
    "grad": lambda: tg.grad(f)(A),
    "value_and_grad": lambda: tg.value_and_grad(f)(A)[1],
    "grad of grad": lambda: tg.grad(lambda x: np.sum(tg.grad(f)(x) * B))(A),
    "hvp": lambda: tg.hvp(f)(A, B),
    "jvp of grad": lambda: tg.jvp(tg.grad(f), (A,), (B,))[1],
    "hessian": lambda: tg.hessian(f)(A),
    "vjp": lambda: tg.vjp(lambda x: x * x[0], A)[1](B)[0],
    "linearize": lambda: tg.linearize(f, A)[1](B),
    "checkpoint": lambda: tg.grad(lambda x: np.sum(folded(folded(x))))(A),
    "checkpoint of second order": lambda: tg.hessian(lambda x: np.sum(folded(folded(x))))(A),
    "primitive": lambda: tg.grad(tg.grad(lambda x: square(square(x))))(2.0),
    "custom_vjp": lambda: tg.grad(tg.grad(times_ten))(2.0),
    "custom_jvp": lambda: tg.grad(tg.grad(sine))(2.0),
    "trace": lambda: tg.trace(f)(A).backward()[0],
}


def test_each_thread_gets_what_it_would_get_alone():
    want = [call() for call in CALLS.values()]
    calls = list(CALLS.values())

    def work(k):
        for n in range(3 * len(calls)):
            at = (n + k) % len(calls)
            assert np.array_equal(calls[at](), want[at])
            assert running() is None

    in_threads(work)


def test_an_exception_in_one_thread_leaves_the_others_right():
    def work(k):
        for n in range(40):
            if k % 2:
                with pytest.raises(ZeroDivisionError):
                    tg.grad(lambda x: tg.grad(lambda y: y * x * (1 // 0))(x))(2.0)
            else:
                assert tg.grad(tg.grad(lambda x: x**3))(float(n)) == 6.0 * n

    in_threads(work)


def test_arrays_that_threads_share_stay_as_they_are():
    before = A.copy()
    want = tg.grad(f)(A)
    in_threads(lambda k: [np.testing.assert_array_equal(tg.grad(f)(A), want) for _ in range(40)])
    assert np.array_equal(A, before)
    assert A.flags.writeable


@pytest.mark.parametrize("wrap", [lambda f: f, tg.checkpoint], ids=["plain", "checkpoint"])
def test_a_pullback_may_be_called_by_many_threads_at_once(wrap):
    _, pullback = tg.vjp(wrap(f), A)
    _, f_jvp = tg.linearize(wrap(f), A)
    want, along = pullback(1.0)[0], f_jvp(B)
    made = in_threads(lambda k: [(pullback(1.0)[0], f_jvp(B)) for _ in range(20)])
    assert all(np.array_equal(g, want) and t == along for part in made for g, t in part)


def test_pullbacks_go_from_thread_to_thread():
    pullbacks = in_threads(lambda k: tg.vjp(lambda x: x**k, 2.0)[1])
    made = in_threads(lambda k: pullbacks[(k + 3) % THREADS](1.0)[0])
    assert made == [m * 2.0 ** (m - 1) for m in ((k + 3) % THREADS for k in range(THREADS))]


def test_second_derivatives_through_a_pullback_of_another_thread():
    pullbacks = in_threads(lambda k: tg.vjp(lambda x: x * x * k, 3.0)[1])
    assert in_threads(lambda k: tg.grad(lambda g: pullbacks[k - 1](g)[0])(1.0)) == [
        6.0 * (k % THREADS) for k in range(-1, THREADS - 1)
    ]


def test_primitives_are_defined_while_others_differentiate():
    def work(k):
        for _ in range(20):
            if k % 2:
                made = tg.primitive(lambda x: x * k)
                made.defvjp(0)(lambda g, _y, _x: g * k)
                assert tg.grad(made)(1.0) == k
            else:
                assert tg.grad(lambda x: square(x) * np.sin(x) ** 0)(3.0) == 6.0

    in_threads(work)


def test_one_primitive_is_first_used_by_many_threads():
    for _ in range(20):
        made = tg.primitive(lambda x, y: x * y)
        made.defjvp(lambda tangents, _y, x, y: tangents[0] * y + x * tangents[1])
        assert in_threads(lambda k, made=made: tg.grad(made, (0, 1))(2.0, 3.0)) == [(3.0, 2.0)] * THREADS


def test_classes_are_registered_while_others_differentiate():
    def work(k):
        for _ in range(20):

            class Pair:
                def __init__(self, a, b):
                    self.a, self.b = a, b

            assert not tg.tree.is_node(Pair(1.0, 2.0))
            if k % 2:
                tg.tree.register_dataclass(Pair, ["a", "b"], [])
            else:
                tg.tree.register_node(Pair, lambda x: ((x.a, x.b), None), lambda _, parts: Pair(*parts))
            made = tg.grad(lambda p: p.a * p.b)(Pair(2.0, 3.0))
            assert (made.a, made.b) == (3.0, 2.0)

    in_threads(work)


# threads inside the function


def powers(x, n=THREADS):
    """The sum of k x², each made by a thread."""

    def work(k):
        y = x
        for _ in range(20):
            y = y * 1.5 - y * 0.5
        return y * x * k

    return sum(in_threads(work, n))


@pytest.mark.parametrize(
    ("derivative", "want"),
    [
        (tg.grad(powers), 112.0),
        (tg.grad(tg.grad(powers)), 56.0),
        (tg.hessian(powers), 56.0),
        (tg.grad(lambda x: tg.grad(lambda y: powers(y) * x)(x)), 224.0),
        (lambda x: tg.jvp(powers, (x,), (1.0,))[1], 112.0),
        (lambda x: tg.jvp(tg.grad(powers), (x,), (1.0,))[1], 56.0),
        (lambda x: tg.vjp(powers, x)[1](1.0)[0], 112.0),
        (lambda x: tg.linearize(powers, x)[1](1.0), 112.0),
    ],
    ids=["grad", "grad of grad", "hessian", "grad around grad", "jvp", "jvp of grad", "vjp", "linearize"],
)
def test_threads_inside_a_function_that_are_joined_lose_nothing(derivative, want):
    for _ in range(5):
        assert derivative(2.0) == want


def test_a_pool_maps_over_traced_slices():
    x = np.arange(24.0)
    with ThreadPoolExecutor(4) as pool:

        def f(x):
            return sum(pool.map(lambda k: np.sum(x[k : k + 3].reshape(3, 1) ** 2), range(0, 24, 3)))

        for _ in range(20):
            assert np.array_equal(tg.grad(f)(x), 2 * x)
            assert np.array_equal(tg.jvp(f, (x,), (np.ones(24),))[1], 2 * x.sum())


BESIDE = {
    "operators": lambda x: x * 3.0 + np.sin(x) * 0.0,
    "functions": lambda x: np.sum(np.stack([x, x * 2.0])),
    "primitive": lambda x: square(x) / x * 3.0,
    "custom_jvp": lambda x: sine(x) * 0.0 + 3.0 * x,
}
BESIDE |= {
    "grad": lambda x: tg.grad(lambda z: z * z * x)(1.5),
    "vjp": lambda x: tg.vjp(lambda z: z * z, x)[1](0.75)[0] * 2.0,
    "vjp of what is closed over": lambda x: tg.vjp(lambda z: z * z * x, 1.5)[1](1.0)[0],
    "jvp": lambda x: tg.jvp(lambda z: z * z * x, (1.0,), (1.5,))[1],
    "custom_vjp": lambda x: tg.grad(lambda z: times_ten(z) * x)(0.3),
}


def test_threads_write_to_elements_of_their_own():
    """As NumPy lets them; views and elements, under a switch interval that interrupts each write."""

    def f(x):
        y = np.zeros_like(x)
        rows = y.reshape(8, 8)

        def work(k):
            try:
                write(k)
            except Exception as error:
                failures.append(error)

        def write(k):
            for j in range(8):
                if j % 2:
                    rows[k, j] = np.sin(x[8 * k + j])
                else:
                    y[8 * k + j] = np.sin(x[8 * k + j])
            row = rows[k]
            row *= 2.0

        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return np.sum(y)

    failures = []
    x, interval = np.linspace(0.0, 2.0, 64), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            np.testing.assert_allclose(tg.grad(f)(x), 2 * np.cos(x))
            np.testing.assert_allclose(tg.jvp(f, (x,), (x,))[1], np.sum(2 * np.cos(x) * x))
            assert not failures
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    "beside",
    [
        lambda x: tg.checkpoint(lambda z: z * 3.0)(x),
        lambda x: tg.vjp(tg.checkpoint(lambda z: z * z * x), 1.5)[1](1.0)[0],
    ],
)
def test_a_checkpointed_function_takes_nothing_of_another_thread_for_its_own(beside):
    """Who computes with a traced value meanwhile is refused."""
    refused = []

    def run(at):
        made = []

        def square(x):
            try:
                made.append(x * x)
            except EscapedTracerError as error:
                three_lines(error)
                refused.append(error)

        def f(x):
            def other():
                thread = threading.Thread(target=square, args=(x,))
                thread.start()
                thread.join()

            tg.checkpoint(lambda z: z)(x)  # the first of a tape has a long way to the index that it wants
            with at(other):
                total = beside(x)
            return total + sum(made)

        assert tg.grad(f)(2.0) == 3.0 + 4.0 * len(made)

    assert at_each_line(run) > 10
    assert "while a checkpointed function ran" in str(refused[0])


@pytest.mark.parametrize(
    "beside",
    [pytest.param(beside, id=name) for name, beside in BESIDE.items()],
)
def test_what_another_thread_records_meanwhile_is_not_lost(beside):
    """At each line of what the one does the other records a product: 3 x + x²."""

    def run(at):
        made = []

        def f(x):
            tg.checkpoint(lambda z: z)(x)  # the first of a tape has a long way to the index that it wants
            with at(lambda: made.append(x * x)):
                total = beside(x)
            return total + sum(made)

        assert tg.grad(f)(2.0) == 3.0 + 4.0 * len(made)

    assert at_each_line(run) > 10


def test_another_thread_makes_views_meanwhile():
    def run(at):
        more = []

        def f(x):
            kept = [x[k : k + 2] for k in range(63)]
            with at(lambda: more.append(x[:2])):
                kept += [x[:2], x[1:]]
                y = x * 1.0
                y += 1.0
            return np.sum(y)

        assert np.array_equal(tg.grad(f)(np.ones(70)), np.ones(70))

    assert at_each_line(run) > 50


def test_threads_inside_a_function_differentiate_plain_values():
    def f(x):
        made = in_threads(lambda k: tg.grad(tg.grad(lambda y: y**3))(float(k)))
        return x * sum(made)

    assert tg.grad(f)(1.0) == 6.0 * sum(range(THREADS))


def test_a_thread_inside_a_function_that_differentiates_what_is_traced_is_told():
    def f(x):
        def work(k):
            with pytest.raises(EscapedTracerError, match="thread"):
                tg.grad(lambda y: y * y)(x) if k % 2 else tg.grad(lambda y: y * x)(1.0)
            return x * k

        return sum(in_threads(work))

    assert tg.grad(f)(1.0) == sum(range(THREADS))


def test_a_thread_with_a_copy_of_the_context():
    def f(x):
        def work(k):
            inside = contextvars.copy_context() if k is None else contexts[k]
            assert inside.run(tg.grad(lambda y: y**2), 3.0) == 6.0
            return inside.run(lambda: x * 2.0)

        contexts = [contextvars.copy_context() for _ in range(THREADS)]
        return sum(in_threads(work))

    assert tg.grad(f)(1.0) == 2.0 * THREADS


def test_a_thread_that_goes_on_after_the_end_is_told():
    for _ in range(20):
        caught, kept = [], []

        def f(x, caught=caught, kept=kept):
            def work():
                y = x
                goes_on.wait()
                try:
                    y * 1.0
                except EscapedTracerError as error:
                    caught.append(error)

            goes_on = threading.Event()
            kept.extend([goes_on, threading.Thread(target=work)])
            kept[1].start()
            return x * x

        assert tg.grad(f)(2.0) == 4.0
        kept[0].set()
        kept[1].join()
        assert "grad(f)" in str(caught[0])


def test_a_thread_that_goes_on_does_not_disturb_the_reading():
    def run(at):
        kept = []

        def f(x):
            kept.append(x)
            return x * x

        def go_on():
            try:
                for x in kept:
                    x * 1.0
            except EscapedTracerError:
                pass

        with at(go_on):
            made = tg.grad(f)(2.0)
        assert made == 4.0

    assert at_each_line(run) > 30


def test_values_of_scopes_that_threads_make_at_once_end_too():
    def run(at):
        kept = []

        def f(x):
            def inner(y):
                with at(lambda: kept.append(x * y)):
                    kept.append(x * y)
                return y * x

            return tg.grad(inner)(3.0)

        assert tg.grad(f)(2.0) == 1.0
        for value in kept:
            with pytest.raises(EscapedTracerError):
                value * 1.5

    assert at_each_line(run) > 10


# tasks


def test_tasks_await_between_building_and_calling_pullbacks():
    async def work(k):
        total = 0.0
        for _ in range(10):
            _, pullback = tg.vjp(lambda x: x**k, 2.0)
            await asyncio.sleep(0)
            _, f_jvp = tg.linearize(lambda x: x**k, 2.0)
            await asyncio.sleep(0)
            total += pullback(1.0)[0] + f_jvp(1.0)
        return total

    async def main():
        return await asyncio.gather(*[work(k) for k in range(1, 6)])

    assert asyncio.run(main()) == [2 * 10 * k * 2.0 ** (k - 1) for k in range(1, 6)]


def test_tasks_inside_a_function_may_use_its_values():
    async def work(x, k):
        y = x
        for _ in range(5):
            await asyncio.sleep(0)
            y = y * 1.0 + tg.grad(lambda z: z * z * x)(1.0) * 0.0
        return y * k

    async def main(x):
        return sum(await asyncio.gather(*[work(x, k) for k in range(5)]))

    f = lambda x: asyncio.run(main(x))
    assert tg.grad(f)(2.0) == 10.0
    assert tg.jvp(f, (2.0,), (1.0,))[1] == 10.0
    assert tg.grad(lambda x: tg.grad(f)(x) * x)(2.0) == 10.0


def test_a_task_made_inside_a_function_is_told_when_it_runs_after_the_end():
    async def main():
        tasks = []

        async def later(x):
            assert running() is None
            return x * 2.0

        def f(x):
            tasks.append(asyncio.get_running_loop().create_task(later(x)))
            return x * x

        assert tg.grad(f)(2.0) == 4.0
        with pytest.raises(EscapedTracerError, match=r"grad\(f\)"):
            await tasks[0]
        return tg.grad(f.__class__(f.__code__, f.__globals__, "g", None, f.__closure__))(3.0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the task that nobody waits for
        assert asyncio.run(main()) == 6.0


def test_to_thread_inside_a_function():
    def part(x, k):
        assert tg.grad(lambda y: y * y)(3.0) == 6.0
        return x * x * k

    async def main(x):
        return sum(await asyncio.gather(*[asyncio.to_thread(part, x, k) for k in range(4)]))

    f = lambda x: asyncio.run(main(x))
    assert tg.grad(f)(2.0) == 24.0
    assert tg.hessian(f)(2.0) == 12.0


# generators and contexts


def test_a_generator_that_waits_inside_one_transform_goes_on_in_none_other():
    def steps(x):
        yield x * x
        yield x * x * x

    kept = []

    def f(x):
        kept.append(steps(x))
        return next(kept[-1])

    def in_thread(f):
        return in_threads(lambda k: f(), 1)

    for resume in (lambda f: f(), in_thread, lambda f: tg.grad(lambda y: y * f())(1.0)):
        assert tg.grad(f)(2.0) == 4.0
        with pytest.raises(EscapedTracerError, match=r"grad\(f\)"):
            resume(lambda: next(kept[-1]))


def test_a_generator_that_waits_inside_a_transform_goes_on_in_an_inner_one():
    def steps(x):
        yield x * x
        yield x * x * x

    def f(x):
        made = steps(x)
        return next(made) + tg.grad(lambda y: y * next(made))(1.0)

    assert tg.grad(f)(2.0) == 4.0 + 12.0


def test_a_generator_that_differentiates_between_its_steps():
    def steps(k):
        while True:
            yield tg.grad(lambda x: x**k)(2.0)

    def f(x):
        made = [steps(k) for k in range(4)]
        return x * sum([next(s) for _ in range(3) for s in made])

    assert tg.grad(f)(1.0) == 3 * (0 + 1 + 4 + 12)


def test_a_context_of_inside_is_run_outside_and_the_other_way_round():
    contexts = []
    outside = contextvars.copy_context()

    def f(x):
        contexts.append(contextvars.copy_context())
        assert contexts[-1].run(tg.grad(lambda y: y * y * x), 3.0)._value == 6.0 * 2.0
        assert outside.run(tg.grad(lambda y: y * y), 3.0) == 6.0
        return contexts[-1].run(lambda: x * x) + outside.run(lambda: x * x)

    assert tg.grad(f)(2.0) == 8.0
    assert contexts[0].run(running) is None
    assert contexts[0].run(tg.grad(lambda y: y * y), 3.0) == 6.0
    assert contexts[0].run(running) is None
    assert outside.run(running) is None


def test_a_context_of_outside_does_not_know_the_transform():
    """Right or told, and not half of it."""
    outside = contextvars.copy_context()
    with pytest.raises(EscapedTracerError):
        tg.grad(lambda x: outside.run(tg.grad(lambda y: y * x), 1.0))(2.0)
    assert outside.run(running) is None


# processes


def cube(x):
    return x**3


class Model:
    def __init__(self, k):
        self.k = k

    def loss(self, x):
        return self.k * x**2


def call(fun, *args):
    return fun(*args)


PICKLED = [
    (tg.grad(cube), (2.0,), 12.0),
    (tg.grad(tg.grad(cube)), (2.0,), 12.0),
    (functools.partial(tg.grad(cube), 3.0), (), 27.0),
    (tg.grad(Model(5.0).loss), (2.0,), 20.0),
    (tg.hessian(cube), (2.0,), 12.0),
    (tg.hvp(cube), (2.0, 1.0), 12.0),
    (tg.checkpoint(cube), (2.0,), 8.0),
    (tg.grad(folded), (0.0,), 0.0),
]


def test_pickled_derivatives():
    for fun, args, want in PICKLED:
        assert pickle.loads(pickle.dumps(fun))(*args) == want


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_differentiate(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        with multiprocessing.get_context(method).Pool(2) as pool:
            made = pool.starmap(call, [(fun, *args) for fun, args, _ in PICKLED])
    assert made == [want for *_, want in PICKLED]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_inside_a_function():
    """Parent and child both go on with the tape that they have."""
    reader, writer = os.pipe()

    def f(x):
        y = x * x
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            children.append(os.fork())
        return y * x + tg.grad(lambda z: z * z * y)(1.0)

    children = []
    made = tg.grad(f)(2.0)
    if not children[0]:
        os.write(writer, repr(made).encode())
        os._exit(0)
    os.close(writer)
    assert os.waitpid(children[0], 0)[1] == 0
    assert os.read(reader, 100).decode() == repr(made) == "20.0"
    os.close(reader)


def test_threads_that_read_what_they_have_written():
    """An index is known to others when its entry and its tangent are there."""

    def f(x):
        y = x * 1.0

        def work(k):
            for j in range(1, 8):
                y[8 * k + j] = y[8 * k + j - 1] * x[k]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        return np.sum(y)

    def alone(x):
        y = x * 1.0
        for k in range(8):
            for j in range(1, 8):
                y[8 * k + j] = y[8 * k + j - 1] * x[k]
        return np.sum(y)

    x, interval = np.linspace(0.5, 1.0, 64), sys.getswitchinterval()
    slope = tg.grad(alone)(x)
    curve = tg.hvp(alone)(x, x)
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            np.testing.assert_allclose(tg.grad(f)(x), slope)
            np.testing.assert_allclose(tg.jvp(f, (x,), (x,))[1], slope @ x)
            np.testing.assert_allclose(tg.jvp(tg.grad(f), (x,), (x,))[1], curve)
    finally:
        sys.setswitchinterval(interval)


def test_threads_that_write_while_nans_are_looked_for():
    def f(x):
        y = x * 1.0

        def work(k):
            v = y[8 * k : 8 * k + 8]
            v[:] = 0.0

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        return np.sum(y)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            with tg.debug_nans():
                value, slope = tg.value_and_grad(f)(np.ones(64))
            assert value == 0.0
            assert not slope.any()
    finally:
        sys.setswitchinterval(interval)
