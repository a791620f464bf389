"""What a gradient costs beside the same written by hand in NumPy, and beside other libraries.

    python tests/benchmarks/compare.py [workload ...] [--seconds S] [--million]

Libraries that are not installed are left out. Before anything is timed, values and gradients are compared.
All contenders take turns within one run, so that a machine that is slow for a while is slow for all of
them; a figure is the median over the turns of (time / time by hand in the same turn), in brackets the
ratio of the fastest turns. The last row tells microseconds. NumPy and PyTorch get as many threads as
OMP_NUM_THREADS says, else one.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from time import perf_counter
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

if __name__ == "__main__":  # the checkout's library, and one thread: both must be settled before NumPy is loaded
    sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
    _threads = os.environ.setdefault("OMP_NUM_THREADS", "1")
    for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(_variable, _threads)

import numpy
from workloads import WORKLOADS, Workload, chain

import tapegrad

Run = Callable[[], Any]
TURN = 2e-3  # seconds that a contender runs, at least, when it is its turn
LENGTHS = (200, 2_000, 20_000, 200_000)  # rounds of five operations, of the long chain
HAND = "NumPy"


# contenders: each makes, for a workload, the function of no arguments that is timed; None for what it cannot do


def by_hand(work: Workload) -> Run:
    f, args = work.by_hand, work.args
    return lambda: f(*args)


def tapegrad_plain(work: Workload) -> Run:
    """Code that imports NumPy, as it stands."""
    return _functional(tapegrad, numpy, work)


def tapegrad_names(work: Workload) -> Run:
    """The same code with `import tapegrad.numpy as np`, and functions of `tapegrad.nn`."""
    names = {name: getattr(tapegrad.numpy, name) for name in tapegrad.numpy.__all__}
    return _functional(tapegrad, SimpleNamespace(**names, log_softmax=tapegrad.nn.log_softmax), work)


def _functional(library: Any, np: Any, work: Workload) -> Run:
    transform = library.value_and_grad if work.value else library.grad
    f, args = transform(work.make(np)), work.args
    return lambda: f(*args)


def autograd(work: Workload) -> Run:
    return _functional(importlib.import_module("autograd"), importlib.import_module("autograd.numpy"), work)


def pytorch(work: Workload) -> Run:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    leaves: list[Any] = []

    def tensors(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: tensors(part) for key, part in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)([tensors(part) for part in x])
        made = torch.tensor(x, dtype=torch.float64) if isinstance(x, float) else torch.from_numpy(x)
        leaves.append(made)
        return made

    wanted = tensors(work.args[0])
    by = [leaf.requires_grad_() for leaf in leaves]
    others = [tensors(x) for x in work.args[1:]]
    f = work.make(torch)

    def run() -> Any:
        value = f(wanted, *others)
        gradient = torch.autograd.grad(value, by)
        return (value, gradient) if work.value else gradient

    return run


def micrograd(work: Workload) -> Run | None:
    """Scalars only, and a backward that calls itself, so Python has to allow the depth."""
    value_of = importlib.import_module("micrograd.engine").Value
    if not work.scalar:
        return None
    f = work.make(None)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))

    def run() -> Any:
        x = value_of(work.args[0])
        y = f(x)
        y.backward()
        return (y.data, x.grad) if work.value else x.grad

    return run


CONTENDERS: dict[str, Callable[[Workload], Run | None]] = {
    HAND: by_hand,
    "tapegrad": tapegrad_plain,
    "tapegrad.numpy": tapegrad_names,
    "autograd": autograd,
    "PyTorch": pytorch,
    "micrograd": micrograd,
}


def contenders(work: Workload) -> dict[str, Run]:
    """Those that are installed and can do this workload."""
    found = {}
    for name, make in CONTENDERS.items():
        try:
            run = make(replace(work, make=_own(work.make)))
        except ImportError:
            continue
        if run is not None:
            found[name] = run
    return found


def _own(function: FunctionType) -> FunctionType:
    """The function with bytecode of its own, for the interpreter fits bytecode to the types that it meets there."""

    def copy(code: CodeType) -> CodeType:
        return code.replace(co_consts=tuple([copy(c) if isinstance(c, CodeType) else c for c in code.co_consts]))

    return FunctionType(copy(function.__code__), function.__globals__, function.__name__, function.__defaults__)


# what they give


def numbers(result: Any) -> list[Any]:
    """A result as a list of arrays, in an order that all libraries share."""
    if isinstance(result, dict):
        return [array for part in result.values() for array in numbers(part)]
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in numbers(part)]
    return [numpy.asarray(result.detach() if hasattr(result, "detach") else result)]


def check(work: Workload, runs: dict[str, Run]) -> None:
    """Raise AssertionError unless all give the same value and the same gradient."""
    expected = numbers(runs[HAND]())
    for name, run in runs.items():
        given = numbers(run())
        assert len(given) == len(expected), f"{work.title}: {name} gave {len(given)} arrays, not {len(expected)}"
        for k, (a, b) in enumerate(zip(given, expected)):
            single = b.dtype == numpy.float32
            numpy.testing.assert_allclose(
                a, b, rtol=2e-4 if single else 1e-9, atol=1e-6 if single else 1e-14,
                err_msg=f"{work.title}: result {k} of {name}, and by hand",
            )  # fmt: skip


# how long they take


def measure(runs: dict[str, Run], seconds: float) -> dict[str, list[float]]:
    """Seconds a call, of each contender in each turn."""
    repeats = {name: max(1, round(TURN / _best(run))) for name, run in runs.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    gc.collect()
    gc.freeze()
    end = perf_counter() + seconds
    while perf_counter() < end or len(taken[HAND]) < 5:
        for name in order:
            run, n = runs[name], range(repeats[name])
            if len(n) > 1:
                run()  # finds the caches as the one before it left them
            start = perf_counter()
            for _ in n:
                run()
            taken[name].append((perf_counter() - start) / len(n))
        order.append(order.pop(0))
    gc.unfreeze()
    return taken


def _best(run: Run, times: int = 5) -> float:
    best = float("inf")
    for _ in range(times):
        start = perf_counter()
        run()
        best = min(best, perf_counter() - start)
    return best


def cell(work: Workload, mine: list[float], hand: list[float]) -> str:
    """Median, and best in brackets: of the time by hand, or in microseconds."""
    if work.call:
        return f"{_figure(1e6 * statistics.median(mine))} ({_figure(1e6 * min(mine))}) µs"
    ratio = statistics.median([a / b for a, b in zip(mine, hand)])
    return f"{_figure(ratio)} ({_figure(min(mine) / min(hand))})"


def _figure(x: float) -> str:
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def million() -> str:
    """Whether the time of a chain grows as its length: the price of an operation at a thousand and at a million."""
    lines = ["", "a long chain, tapegrad, forward and backward:"]
    for rounds in LENGTHS:
        f = tapegrad.grad(chain(numpy, rounds))
        best = _best(lambda: f(0.7), 3 if rounds > 2_000 else 20)
        lines.append(f"{5 * rounds:>10,} operations {best:9.4f} s {1e6 * best / (5 * rounds):6.3f} µs an operation")
    return "\n".join(lines)


# what is printed


def machine() -> str:
    versions = [f"Python {platform.python_version()}", f"NumPy {numpy.__version__}", f"tapegrad {tapegrad.__version__}"]
    for title, package in (("autograd", "autograd"), ("PyTorch", "torch"), ("micrograd", "micrograd")):
        try:
            versions.append(f"{title} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {title}")
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return f"{_processor()}, {os.cpu_count()} cores; threads: {threads}\n{', '.join(versions)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", nargs="*", help=f"of {', '.join(WORKLOADS)}; all of them if none is named")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each workload (default: 10)")
    parser.add_argument("--million", action="store_true", help="a chain of a million operations, too")
    options = parser.parse_args()
    unknown = [name for name in options.workload if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload is called {unknown[0]!r}: choose from {', '.join(WORKLOADS)}")
    print(machine(), "\n", flush=True)
    others = [name for name in CONTENDERS if name != HAND]
    rows = []
    for work in [WORKLOADS[name] for name in options.workload or WORKLOADS]:
        print(f"... {work.title}", file=sys.stderr, flush=True)
        runs = contenders(work)
        check(work, runs)
        taken = measure(runs, options.seconds)
        hand = taken[HAND]
        row = [work.title, f"{_figure(1e6 * statistics.median(hand))} ({_figure(1e6 * min(hand))}) µs"]
        rows.append(row + [cell(work, taken[name], hand) if name in taken else "-" for name in others])
    head = ["", f"{HAND} by hand = 1", *others]
    keep = [k for k in range(len(head)) if k < 2 or any(row[k] != "-" for row in rows)]
    print(table([[row[k] for k in keep] for row in [head, *rows]]))
    print("\nmedian, and the best in brackets; values and gradients were found equal before")
    if options.million:
        print(million())


if __name__ == "__main__":
    main()
