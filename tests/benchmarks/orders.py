"""What further derivatives cost, in multiples of the gradient, and what checkpoints save.

    python tests/benchmarks/orders.py [--seconds S]

The gradient and what is beside it take turns, so that a machine that is slow for a while is slow for all of them;
a figure is the median over the turns of (time / time of the gradient in the same turn). That of a Hessian of n inputs
is divided by n. Before anything is timed, the products are compared with the Hessian. One thread, unless
OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

if __name__ == "__main__":  # the checkout's library, and one thread: both must be settled before NumPy is loaded
    sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
    _threads = os.environ.setdefault("OMP_NUM_THREADS", "1")
    for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(_variable, _threads)

import numpy as np

import tapegrad as tg
import tapegrad.numpy as tnp

Function = Callable[..., Any]


def chain(x: Any) -> Any:
    """1,000 operations on a number."""
    for _ in range(200):
        x = 1.0 / (tnp.sin(x) * 1.1 + 0.467)
        x = x * x
    return x


def rosenbrock(x: Any) -> Any:
    """By slices."""
    return tnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def elementwise(x: Any) -> Any:
    return tnp.sum(tnp.exp(-x * x) * tnp.sin(x))


def network(sizes: tuple[int, ...], batch: int, dtype: Any) -> tuple[Function, Any]:
    """The loss of a network, and its weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0])).astype(dtype)
    target = rng.normal(size=(batch, sizes[-1])).astype(dtype)
    shapes = list(zip(sizes, sizes[1:]))
    weights = [((rng.normal(size=s) / s[0] ** 0.5).astype(dtype), np.zeros(s[1], dtype)) for s in shapes]

    def loss(p: Any) -> Any:
        h = x
        for w, b in p[:-1]:
            h = tnp.tanh(h @ w + b)
        w, b = p[-1]
        return tnp.mean((h @ w + b - target) ** 2)

    return loss, weights


def workloads() -> dict[str, tuple[Function, Any]]:
    rng = np.random.default_rng(1)
    return {
        "chain of 1,000 scalar operations": (chain, 0.8),
        "Rosenbrock, 100": (rosenbrock, rng.normal(size=100)),
        "Rosenbrock, 1,000": (rosenbrock, rng.normal(size=1_000)),
        "Rosenbrock, 100,000": (rosenbrock, rng.normal(size=100_000)),
        "exp(-x²) sin x, 100,000": (elementwise, rng.normal(size=100_000)),
        "network 32-32-1, batch 16": network((32, 32, 1), 16, np.float64),
        "network 784-512-256-10, batch 128, float32": network((784, 512, 256, 10), 128, np.float32),
    }


def runs(f: Function, x: Any) -> dict[str, Callable[[], Any]]:
    v = tg.tree.map(lambda leaf: leaf * 0.5 + 0.25, x)
    grad, hvp = tg.grad(f), tg.hvp(f)
    _, f_jvp = tg.linearize(f, x)
    _, pullback = tg.vjp(tg.grad(f), x)
    made = {
        "grad": lambda: grad(x),
        "jvp": lambda: tg.jvp(f, (x,), (v,)),
        "linear map": lambda: f_jvp(v),
        "hvp": lambda: hvp(x, v),
        "pullback of grad": lambda: pullback(v),
    }
    if isinstance(x, np.ndarray) and x.size == 100:
        hessian = tg.hessian(f)
        assert np.allclose(hessian(x) @ v, hvp(x, v))
        made["hessian / n"] = lambda: hessian(x)
    np.testing.assert_allclose(
        tg.flatten_util.ravel_pytree(hvp(x, v))[0], tg.flatten_util.ravel_pytree(pullback(v)[0])[0], rtol=2e-3, atol=1e-5
    )
    return made


def measure(contenders: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Times in multiples of the gradient's, but that of the gradient in microseconds."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    end = perf_counter() + seconds
    while perf_counter() < end or len(taken["grad"]) < 3:
        for name, run in contenders.items():
            k, start = 0, perf_counter()
            while (now := perf_counter()) < start + 2e-3 or not k:
                run()
                k += 1
            taken[name].append((perf_counter() - start) / k)
            del now
    ratios = {name: statistics.median([t / g for t, g in zip(ts, taken["grad"])]) for name, ts in taken.items()}
    return ratios | {"grad": statistics.median(taken["grad"]) * 1e6}


def peak(run: Callable[[], Any]) -> float:
    """The most memory that a call uses beside what was there, in MB."""
    run()
    tracemalloc.start()
    run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def memory(layers: int = 100, size: int = 100_000) -> dict[str, float]:
    """Peaks of the gradient of tanh layers: all kept, checkpointed ten by ten, and each in a call of its own."""

    def group(x: Any, n: int = 10) -> Any:
        for _ in range(n):
            x = tnp.tanh(x * 1.01)
        return x

    def loss(x: Any, layer: Function, n: int) -> Any:
        for _ in range(n):
            x = layer(x)
        return tnp.sum(x)

    x = np.linspace(-1, 1, size)
    grad, n = tg.grad(loss), layers // 10
    assert np.array_equal(grad(x, group, n), grad(x, tg.checkpoint(group), n))
    return {
        "one array": x.nbytes / 1e6,
        "all kept": peak(lambda: grad(x, group, n)),
        "checkpointed by ten": peak(lambda: grad(x, tg.checkpoint(group), n)),
        "jvp": peak(lambda: tg.jvp(lambda x: loss(x, group, n), (x,), (x,))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each workload")
    seconds = parser.parse_args().seconds
    names = ["grad", "jvp", "linear map", "hvp", "pullback of grad", "hessian / n"]
    print("| | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for title, (f, x) in workloads().items():
        made = measure(runs(f, x), seconds)
        made["hessian / n"] = made.get("hessian / n", 0.0) / 100
        cells = [f"{made['grad']:.1f} µs", *[f"{made[name]:.2f}" if made[name] else "" for name in names[1:]]]
        print(f"| {title} | " + " | ".join(cells) + " |")
    print("\nMB at most, 100 tanh layers of 100,000 numbers:")
    print(", ".join(f"{name} {mb:.1f}" for name, mb in memory().items()))


if __name__ == "__main__":
    main()
