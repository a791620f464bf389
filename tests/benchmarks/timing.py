"""Who may take part, and how long a call of each takes.

`qualify` calls everyone once: who raises, takes too long or gives other numbers than the derivative by hand is not
timed. `take_turns` times the others within one run, so that a machine that is slow for a while is slow for all.
"""

from __future__ import annotations

import gc
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy
from contenders import CONTENDERS, HAND, Run, installed, prepare, python
from nests import leaves
from workload import Workload

TURN = 2e-3  # seconds that a contender runs, at least, when it is its turn
SLOW = 0.5  # a call that takes longer has turns only until they took ENOUGH
ENOUGH = 3.0
TOLERANCES = {"float32": (2e-3, 1e-4), "float64": (1e-7, 1e-9)}  # relative, and in multiples of the largest element


@dataclass
class Field:
    """Those that may be timed, with the seconds of their first call; and what is said of the others, and why."""

    runs: dict[str, Run] = field(default_factory=dict)
    firsts: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


class OutOfPatience(BaseException):
    """No Exception, so that no library takes it for one of its own."""


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Interrupts what takes longer, where the system has timers; what is in compiled code ends first."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(_signal: int, frame: Any) -> None:
        if frame.f_code not in [getattr(callback, "__code__", None) for callback in gc.callbacks]:
            raise OutOfPatience  # there it would be lost; so it rings again

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def qualify(work: Workload, seconds: float = 20.0, names: list[str] | None = None, key: str = "") -> Field:
    """`key` is the workload's name in WORKLOADS, under which another process finds it."""
    found = Field()
    expected: Any = None
    for name in names or installed():
        try:
            run = prepare(name, work)
            if run is None:
                found.verdicts[name] = "–"
                continue
            if CONTENDERS[name].compiles and key and not compiles_within(seconds, name, key):
                raise OutOfPatience
            start = perf_counter()
            with patience(seconds):
                result = run()
            taken = perf_counter() - start
            if taken > seconds and name != HAND:
                raise OutOfPatience
            found.firsts[name] = taken
            if name == HAND:
                expected = result
            else:
                compare(result, expected)
        except OutOfPatience:
            found.verdicts[name] = ">"
            found.reasons[name] = f"did not finish its first call in {seconds:g} s"
        except AssertionError as error:
            found.verdicts[name] = "wrong"
            found.reasons[name] = f"other numbers than by hand: {first_line(error)}"
        except Exception as error:
            if name == HAND:
                raise
            found.verdicts[name] = "–"
            found.reasons[name] = f"{type(error).__name__}: {first_line(error)}"
        else:
            found.runs[name] = run
    return found


def first_line(error: BaseException) -> str:
    return next((" ".join(line.split())[:150] for line in str(error).splitlines() if line.strip()), "")


def compare(result: Any, expected: Any) -> None:
    """Raise AssertionError unless both are the same numbers, in an order that all libraries share."""
    given, wanted = [[numpy.asarray(detached(leaf)) for leaf in leaves(nest)] for nest in (result, expected)]
    assert len(given) == len(wanted), f"{len(given)} arrays, not {len(wanted)}"
    for k, (a, b) in enumerate(zip(given, wanted)):
        assert a.shape == b.shape, f"result {k} has shape {a.shape}, not {b.shape}"
        relative, absolute = TOLERANCES["float32" if b.dtype == numpy.float32 else "float64"]
        a, b = a.astype(float), b.astype(float)
        largest = float(numpy.abs(b).max(initial=0.0))
        off = numpy.abs(a - b).max(initial=0.0)
        close = numpy.allclose(a, b, relative, absolute * largest)
        assert close, f"result {k} is off by up to {off:.2g}, its largest element is {largest:.2g}"


def detached(leaf: Any) -> Any:
    return leaf.detach().numpy() if hasattr(leaf, "detach") else leaf


def take_turns(field: Field, seconds: float, least: int = 5) -> list[dict[str, float]]:
    """Seconds a call of each contender, turn by turn. One that is slow sits out when it has had enough."""
    best = {name: first if first > SLOW else fastest(field.runs[name]) for name, first in field.firsts.items()
            if name in field.runs}  # fmt: skip
    spent = dict.fromkeys(best, 0.0)
    order, turns = list(best), []
    gc.collect()
    gc.freeze()
    end = perf_counter() + seconds
    while perf_counter() < end or len(turns) < least:
        turn = {}
        for name in order:
            if best[name] > SLOW and spent[name] > ENOUGH and name != HAND:
                continue
            run, n = field.runs[name], range(max(1, round(TURN / best[name])))
            if best[name] < SLOW:
                run()  # finds the caches as the one before it left them
            start = perf_counter()
            for _ in n:
                run()
            spent[name] += (taken := perf_counter() - start)
            turn[name] = taken / len(n)
            best[name] = min(best[name], turn[name])
        turns.append(turn)
        order.append(order.pop(0))
    gc.unfreeze()
    return turns


def fastest(run: Run, times: int = 5) -> float:
    best = float("inf")
    for _ in range(times):
        start = perf_counter()
        run()
        best = min(best, perf_counter() - start)
        if best > 0.1:
            break
    return best


def ratio(turns: list[dict[str, float]], name: str, other: str = HAND) -> tuple[float, float]:
    """The median of (time / time of the other in the same turn), and the ratio of the fastest."""
    both = [(turn[name], turn[other]) for turn in turns if name in turn and other in turn]
    mine, others = zip(*both)
    return statistics.median([a / b for a, b in both]), min(mine) / min(others)


# what compiles is tried in a process of its own, for only that can be stopped there


def compiles_within(seconds: float, name: str, key: str) -> bool:
    """Whether the first call is made in time; an error is left to be found in this process."""
    with python(__file__, name, key, stderr=subprocess.DEVNULL) as child:
        assert child.stdout
        child.stdout.readline()  # it is ready
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            return False
    return True


def _first_call(name: str, key: str) -> None:
    from workloads import WORKLOADS

    run = prepare(name, WORKLOADS[key])
    print("ready", flush=True)
    if run is not None:
        run()


if __name__ == "__main__":
    _first_call(*sys.argv[1:])
