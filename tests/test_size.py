"""Long tapes, large trees, deep nests, many calls; and calls that are broken off anywhere."""

import gc
import itertools
import signal
import sys
import threading
import tracemalloc
import weakref
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from interruptions import at_each_call, lines_of

import tapegrad as tg
from tapegrad.errors import TapegradError
from tapegrad.frame import running
from tapegrad.tape import current


def chain(x, n):
    """x, after 3 n operations."""
    for _ in range(n):
        x = x * 0.75 + x * 0.25
    return x


@contextmanager
def recursion_limit(more):
    """Allow this many calls within calls from here on."""
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + more)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@contextmanager
def memory():
    """Gives a function: how many bytes more than at the start are in use, or were."""
    gc.collect()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        yield lambda peak=False: tracemalloc.get_traced_memory()[peak] - start
    finally:
        tracemalloc.stop()


# long tapes


def test_the_tape_grows_with_the_number_of_operations():
    sizes, peaks = [], []
    for n in (10_000, 100_000):

        def f(x, n=n):
            y = chain(x, n // 3)
            sizes.append(len(y._scope.tape.entries))
            return y

        with memory() as used:
            assert tg.grad(f)(1.0) == 1.0
            peaks.append(used(peak=True))
    assert sizes == [9_999, 99_999]
    assert peaks[1] < 11 * peaks[0]
    assert peaks[1] < 500 * sizes[1]


def test_a_million_entries():
    sizes = []

    def f(x):
        y = chain(x, 333_334)
        sizes.append(len(y._scope.tape.entries))
        return y

    with recursion_limit(60):
        assert tg.grad(f)(1.0) == 1.0
    assert sizes == [1_000_002]


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f: tg.jvp(f, (1.0,), (1.0,))[1],
        lambda f: tg.vjp(f, 1.0)[1](1.0)[0],
        lambda f: tg.linearize(f, 1.0)[1](1.0),
        lambda f: tg.grad(tg.checkpoint(f))(1.0),
        lambda f: tg.grad(lambda x: tg.grad(f)(x) * x)(1.0),
        lambda f: tg.hvp(lambda x: 0.5 * f(x) ** 2)(1.0, 1.0),
        lambda f: tg.hessian(lambda x: 0.5 * f(x) ** 2)(1.0),
        lambda f: len(tg.trace(f)(1.0).backward()),
    ],
    ids=["jvp", "vjp", "linearize", "checkpoint", "grad of grad", "hvp", "hessian", "trace"],
)
def test_no_recursion(derivative):
    with recursion_limit(60):
        assert derivative(lambda x: chain(x, 3_000)) == 1.0


def test_no_recursion_in_chains_of_other_entries():
    folded = tg.checkpoint(lambda x: x * 0.75 + x * 0.25)
    ruled = tg.custom_vjp(lambda x: x * 1.0)
    ruled.defvjp(lambda x: (x * 1.0, None), lambda _, g: (g,))
    for step, x in ((folded, 1.0), (ruled, 1.0), (lambda v: v[::-1], np.ones(2)), (lambda v: np.stack([v[0], v[1]]), np.ones(2))):

        def f(x, step=step):
            for _ in range(1_000):
                x = step(x)
            return np.sum(x)

        with recursion_limit(60):
            assert np.array_equal(tg.grad(f)(x), x)
            assert tg.jvp(f, (x,), (x,))[1] == np.sum(x)


def test_jvp_keeps_what_is_in_use():
    x = np.ones(10_000)

    def f(x):
        for _ in range(300):
            x = np.tanh(x * 1.1)
        return x

    with memory() as used:
        tg.jvp(f, (x,), (x,))
        assert used(peak=True) < 12 * x.nbytes


def test_an_array_of_ten_million():
    x = np.ones(10_000_000, np.float32)
    with memory() as used:
        g = tg.grad(lambda x: np.sum(x * x))(x)
        assert used(peak=True) < 4.1 * x.nbytes
    assert g[0] == g[-1] == 2.0
    assert g.dtype == np.float32


# large trees


def test_a_hundred_thousand_leaves():
    leaves = [float(k) for k in range(100_000)]
    few = leaves[:10_000]
    for nest in (leaves, {str(k): v for k, v in enumerate(few)}, [(v, None) for v in few], (few[:50], {"a": few[50:]})):
        made = tg.grad(lambda p: sum([v * v for v in tg.tree.leaves(p)]))(nest)
        assert tg.tree.structure(made) == tg.tree.structure(nest)
        assert tg.tree.leaves(made) == [2 * v for v in tg.tree.leaves(nest)]
    _, pullback = tg.vjp(lambda x: [x * v for v in few], 1.0)
    assert pullback([1.0] * len(few)) == (sum(few),)
    assert tg.grad(lambda p: np.sum(np.stack(p)))(few) == [1.0] * len(few)


def test_the_work_grows_with_the_number_of_parts_behind_a_selection():
    def work(n):
        return lines_of(lambda: tg.grad(lambda p: np.max(np.concatenate(p)))([np.arange(2.0) + k for k in range(n)]))

    assert work(200) < 2.2 * work(100)


@pytest.mark.parametrize(
    "join",
    [
        np.stack,
        tg.numpy.array,
        sum,
        *(np.concatenate, np.hstack, np.vstack, np.column_stack),
    ],
)
def test_the_work_grows_with_the_number_of_parts(join):
    def work(n):
        return lines_of(lambda: tg.grad(lambda p: np.sum(join(p)))([np.ones(2)] * n))

    assert work(200) < 2.2 * work(100)


DEPTH = 5_000


def deep(leaf, kind, depth=DEPTH):
    for _ in range(depth):
        leaf = {"a": leaf} if kind is dict else kind([leaf])
    return leaf


def bottom(nest):
    while type(nest) in (list, tuple, dict):
        nest = nest["a"] if type(nest) is dict else nest[0]
    return nest


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_deep_nests(kind):
    nest = deep(2.0, kind)
    square = lambda p: bottom(p) ** 2
    with recursion_limit(60):
        assert bottom(tg.grad(square)(deep(2.0, kind, 100_000 if kind is list else DEPTH))) == 4.0
        assert bottom(tg.jvp(lambda p: p, (nest,), (nest,))[1]) == 2.0
        assert bottom(tg.vjp(lambda p: p, nest)[1](nest)[0]) == 2.0
        assert bottom(tg.grad(tg.checkpoint(square))(nest)) == 4.0
        assert bottom(tg.grad(lambda x: (x, deep(x * 3.0, kind)), has_aux=True)(2.0)[1]) == 6.0
        assert bottom(tg.stop_gradient(nest)) == 2.0
        assert bottom(tg.jacobian(square)(nest)) == 4.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.grad(lambda p: 1.0)(deep("no", list)),
        lambda: tg.grad(lambda x: deep(x, list))(1.0),
        lambda: tg.jvp(lambda p: p, (deep(1.0, list),), (deep(1.0, list, DEPTH - 1),)),
        lambda: tg.jvp(lambda p: p, (deep(1.0, list),), (deep(np.ones(2), list),)),
        lambda: tg.vjp(lambda p: p, deep(1.0, list))[1](deep(1.0, list, DEPTH + 1)),
    ],
    ids=["leaf", "result", "tangent's structure", "tangent's shape", "cotangent's structure"],
)
def test_what_is_wrong_in_deep_nests_is_told(call):
    with recursion_limit(60), pytest.raises(TapegradError):
        call()


def test_what_is_told_of_deep_nests_is_short():
    try:
        tg.grad(lambda p: 1.0)(deep("no", list))
    except TapegradError as error:
        if len(str(error)) > 2_000:
            raise


def test_an_array_of_a_nest_that_is_too_deep():
    with recursion_limit(200), pytest.raises(ValueError):
        tg.grad(lambda x: np.sum(tg.numpy.array(deep(x, list, 300))))(1.0)


# memory is given back


A = np.ones(20_000)


def layers(x):
    for _ in range(5):
        x = np.tanh(x * 1.1)
    return np.sum(x)


@tg.primitive
def breaks(x):
    return x * 1.0


breaks.defvjp(0)(lambda g, _y, _x: 1 // 0)


def broken(x):
    raise KeyError(x)


def survive(call):
    with suppress(ZeroDivisionError, KeyError, TapegradError):
        call()


MANY = {
    "grad": lambda: tg.grad(layers)(A),
    "grad of grad": lambda: tg.grad(lambda x: np.sum(tg.grad(layers)(x)))(A),
    "hvp": lambda: tg.hvp(layers)(A, A),
    "jvp": lambda: tg.jvp(layers, (A,), (A,)),
    "linearize": lambda: tg.linearize(layers, A)[1](A),
    "a pullback that is dropped": lambda: tg.vjp(layers, A),
    "a pullback called twice": lambda: [p(1.0) for p in [tg.vjp(layers, A)[1]] for _ in range(2)],
    "an inner pullback that is dropped": lambda: tg.grad(lambda x: (tg.vjp(layers, x), layers(x))[1])(A),
    "checkpoint": lambda: tg.grad(tg.checkpoint(layers))(A),
    "trace": lambda: tg.trace(layers)(A).backward(),
    "an exception in f": lambda: survive(lambda: tg.grad(lambda x: broken(layers(x)))(A)),
    "an exception in an inner f": lambda: survive(lambda: tg.grad(lambda x: tg.grad(lambda y: broken(layers(y) * x))(x))(A)),
    "an exception in a rule": lambda: survive(lambda: tg.grad(lambda x: layers(breaks(x)))(A)),
    "an exception in a pullback": lambda: survive(lambda: tg.vjp(lambda x: layers(breaks(x)), A)[1](1.0)),
    "an exception forth": lambda: survive(lambda: tg.jvp(lambda x: broken(layers(x)), (A,), (A,))),
    "an exception in a checkpoint": lambda: survive(lambda: tg.grad(tg.checkpoint(lambda x: layers(breaks(x))))(A)),
    "a wrong cotangent": lambda: survive(lambda: tg.vjp(layers, A)[1](A)),
    "a wrong result": lambda: survive(lambda: tg.grad(lambda x: np.tanh(x))(A)),
}


@pytest.mark.parametrize("call", MANY.values(), ids=MANY)
def test_memory_is_given_back_after_each_call_without_the_collector(call):
    for _ in range(3):
        call()
    gc.collect()
    gc.disable()
    try:
        with memory() as used:
            for _ in range(10):
                call()
            assert used() < A.nbytes / 2
    finally:
        gc.enable()
    assert current.get() is None


def test_a_thousand_gradients_leave_nothing():
    x = np.ones(100)
    calls = [tg.grad(layers), tg.hvp(layers), lambda x, *_: survive(lambda: tg.grad(lambda x: layers(breaks(x)))(x))]
    for call in calls:
        call(x, x) if call is calls[1] else call(x)
    with memory() as used:
        for k in range(1_000):
            call = calls[k % 10 == 0 or 2 * (k % 10 == 1)]
            call(x, x) if call is calls[1] else call(x)
        gc.collect()
        assert used() < 20_000
    assert current.get() is None


@pytest.mark.parametrize("derivative", [tg.grad, tg.value_and_grad, lambda f: lambda x: tg.jvp(f, (x,), (x,)), lambda f: lambda x: tg.vjp(f, x)[1](1.0), lambda f: tg.grad(lambda x: np.sum(tg.grad(f)(x)))], ids=["grad", "value_and_grad", "jvp", "vjp", "grad of grad"])
def test_arrays_die_with_the_last_name_of_theirs(derivative):
    seen = []

    def f(x):
        y = np.tanh(x)
        seen.append(weakref.ref(y))
        seen.append(weakref.ref(y._value))
        return np.sum(y * y)

    gc.collect()
    gc.disable()
    try:
        x = np.ones(3)
        seen.append(weakref.ref(x))
        derivative(f)(x)
        del x
        assert len(seen) >= 3
        assert [there() for there in seen] == [None] * len(seen)
    finally:
        gc.enable()


def test_a_pullback_keeps_its_tape_and_no_longer():
    seen = []

    def f(x):
        y = np.tanh(x)
        seen.append(weakref.ref(y._value))
        return np.sum(y * y)

    gc.disable()
    try:
        _, pullback = tg.vjp(f, np.ones(3))
        assert seen[0]() is not None
        pullback(1.0)
        assert seen[0]() is not None
        del pullback
        assert seen[0]() is None
    finally:
        gc.enable()


# calls that are broken off


B = np.array([0.5, -1.0, 2.0])
folded = tg.checkpoint(lambda x: np.sin(x) * x)
ruled = tg.custom_vjp(lambda x: x * x)
ruled.defvjp(lambda x: (x * x, x), lambda x, g: (2 * g * x,))
doubled = tg.primitive(lambda x: x * 2.0)
doubled.defvjp(0)(lambda g, _y, _x: g * 2.0)


def f(x):
    return np.sum(np.tanh(x) * x + x[0] * x[1])


CALLS = {
    "grad": lambda: tg.grad(f)(B),
    "grad of grad": lambda: tg.grad(lambda x: np.sum(tg.grad(f)(x)))(B),
    "hvp": lambda: tg.hvp(f)(B, B),
    "hessian": lambda: tg.hessian(f)(B),
    "jvp": lambda: tg.jvp(f, (B,), (B,))[1],
    "jvp of grad": lambda: tg.jvp(tg.grad(f), (B,), (B,))[1],
    "vjp": lambda: tg.vjp(f, B)[1](1.0)[0],
    "linearize": lambda: tg.linearize(f, B)[1](B),
    "checkpoint": lambda: tg.grad(lambda x: np.sum(folded(folded(x))))(B),
    "checkpoint of second order": lambda: tg.hessian(lambda x: np.sum(folded(x)))(B),
    "custom rules": lambda: tg.grad(tg.grad(lambda x: ruled(doubled(x))))(2.0),
    "trace": lambda: tg.trace(f)(B).backward()[0],
}
WANT = {name: call() for name, call in CALLS.items()}


def stay_as_they_were():
    """What has to hold after a call that was broken off, whatever it was; puts right what is not."""
    tape, writeable = running(), B.flags.writeable
    current.set(None)
    B.flags.writeable = True
    names = () if tape is None else [frame.name for frame in tape.frames]
    assert not names
    assert writeable
    assert np.array_equal(tg.grad(f)(B), WANT["grad"])


@pytest.mark.parametrize("where", ["f", "an inner f", "a rule", "a pullback", "a rule forth", "a checkpoint", "fwd", "bwd"])
def test_an_interrupt_is_passed_on(where):
    def stop(*_):
        raise KeyboardInterrupt

    primitive = tg.primitive(lambda x: x * 1.0)
    primitive.defvjp(0)(stop if where in ("a rule", "a pullback") else lambda g, _y, _x: g)
    forth = tg.primitive(lambda x: x * 1.0)
    forth.defjvp(0)(lambda t, _y, _x: stop())
    custom = tg.custom_vjp(lambda x: x * 1.0)
    custom.defvjp(stop if where == "fwd" else lambda x: (x * 1.0, None), stop if where == "bwd" else lambda _, g: (g,))
    count = itertools.count()

    def second(x):
        return stop() if next(count) % 2 else x * 1.0

    call = {
        "f": lambda x: tg.grad(stop)(x),
        "an inner f": lambda x: tg.grad(lambda y: tg.jvp(lambda z: tg.grad(stop)(z), (y,), (1.0,))[1])(x),
        "a rule": lambda x: tg.grad(lambda y: tg.grad(primitive)(y))(x),
        "a pullback": lambda x: tg.vjp(primitive, x)[1](1.0),
        "a rule forth": lambda x: tg.jvp(lambda y: tg.jvp(forth, (y,), (1.0,))[1], (x,), (1.0,)),
        "a checkpoint": lambda x: tg.grad(tg.checkpoint(second))(x),
        "fwd": lambda x: tg.grad(tg.grad(custom))(x),
        "bwd": lambda x: tg.grad(tg.grad(custom))(x),
    }[where]

    def outer(x):
        with pytest.raises(KeyboardInterrupt):
            call(x)
        return x * x

    with pytest.raises(KeyboardInterrupt):
        call(2.0)
    stay_as_they_were()
    assert tg.grad(outer)(3.0) == 6.0
    stay_as_they_were()


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_at_any_call_leaves_nothing_running(name):
    number = 0
    for raised in at_each_call(CALLS[name]):
        number += 1
        assert raised is None or type(raised) is KeyboardInterrupt
        stay_as_they_were()
    assert raised is None
    assert number > 20
    assert np.array_equal(CALLS[name](), WANT[name])


def test_an_interrupt_at_any_call_leaves_the_next_gradient_right():
    """With what it leaves running put aside."""
    for name in ("jvp of grad", "checkpoint", "custom rules", "trace"):
        for _ in at_each_call(CALLS[name]):
            current.set(None)
            assert tg.grad(doubled)(1.0) == 2.0
        assert np.array_equal(CALLS[name](), WANT[name])


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_interrupts_at_random_moments_leave_the_next_gradient_right():
    def interrupt(*_):
        raise KeyboardInterrupt

    def broken_off(call, seconds):
        with suppress(KeyboardInterrupt, AttributeError):  # the second is a fault, of which above
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds)
                call()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    random = np.random.default_rng(0)
    names = list(CALLS)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for k in range(360):
            broken_off(CALLS[names[k % len(names)]], random.uniform(1e-6, 6e-4))
            current.set(None)
            after = names[k * 7 % len(names)]
            assert np.array_equal(CALLS[after](), WANT[after])
            assert B.flags.writeable
    finally:
        signal.signal(signal.SIGALRM, before)
