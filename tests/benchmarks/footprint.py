"""What a gradient needs beside time: memory at its peak, and the import before it."""

from __future__ import annotations

import gc
import statistics
import tracemalloc
from tempfile import TemporaryDirectory
from typing import Any

import numpy
from contenders import CONTENDERS, HAND, Run, installed, python
from workload import Workload

import tapegrad


def peak(run: Run) -> int:
    """The most bytes that a call has beside those that were there; what NumPy allocates, tracemalloc is told."""
    run()
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# functions of many layers, of which one should keep the answers and nothing else


def tanh_layers(count: int = 1_000, size: int = 100_000) -> Workload:
    def make(np: Any) -> Any:
        def loss(x: Any) -> Any:
            for _ in range(count):
                x = np.tanh(x * 1.01)
            return np.sum(x)

        return loss

    def by_hand(x: Any) -> Any:
        answers = []
        for _ in range(count):
            x = x * 1.01
            answers.append(numpy.tanh(x, out=x))
        g = numpy.ones(size)
        while answers:
            y = answers.pop()
            y *= y
            numpy.subtract(1.01, numpy.multiply(y, 1.01, out=y), out=y)
            g *= y
            del y
        return g

    title = f"peak memory: {count:,} layers tanh(1.01 x) of {size:,} numbers"
    return Workload(title, make, by_hand, (numpy.linspace(-1.0, 1.0, size),), "grad")


def dense_layers(count: int = 200, batch: int = 256, width: int = 64) -> Workload:
    def make(np: Any) -> Any:
        def loss(layers: Any, h: Any) -> Any:
            for w, b in layers:
                h = np.tanh(h @ w + b)
            return np.sum(h)

        return loss

    def by_hand(layers: Any, h: Any) -> Any:
        kept = [h]
        for w, b in layers:
            h = h @ w
            h += b
            kept.append(numpy.tanh(h, out=h))
        g, gradient = numpy.ones((batch, width)), []
        for w, _b in reversed(layers):
            y = kept.pop()
            y *= y
            g *= numpy.subtract(1.0, y, out=y)
            gradient.append((kept[-1].T @ g, g.sum(0)))
            g = g @ w.T
        return gradient[::-1]

    draw = numpy.random.default_rng(4).normal
    layers = [(draw(0, width**-0.5, (width, width)), draw(0, 0.1, width)) for _ in range(count)]
    title = f"peak memory: {count} layers tanh(h @ w + b), {width} wide, batch {batch}"
    return Workload(title, make, by_hand, (layers, draw(size=(batch, width))), "grad")


def checkpointed_layers(groups: int = 10, count: int = 10, size: int = 100_000) -> Workload:
    """The layers of `tanh_layers`, of which a library that can may keep one in ten; the others keep all."""
    plain = tanh_layers(groups * count, size)

    def make(_np: Any) -> Any:
        @tapegrad.checkpoint
        def group(x: Any) -> Any:
            for _ in range(count):
                x = numpy.tanh(x * 1.01)
            return x

        def loss(x: Any) -> Any:
            for _ in range(groups):
                x = group(x)
            return numpy.sum(x)

        return loss

    title = f"peak memory: {groups * count} such layers, {count} by {count} in a checkpoint"
    others = {name: None for name in CONTENDERS if name not in (HAND, "tapegrad", "tapegrad.numpy")}
    return Workload(title, make, plain.by_hand, plain.args, "grad", makes=others)


# imports

_IMPORT = "import time, numpy; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
_NUMPY = "import time; start = time.perf_counter(); import numpy; print(time.perf_counter() - start)"


def import_times(times: int = 10) -> dict[str, float]:
    """Seconds that the import of each library takes when NumPy is there; of NumPy itself, its own.

    Medians, each in a new process, by turns, with bytecode as the turn before left it.
    """
    taken: dict[str, list[float]] = {name: [] for name in installed()}
    with TemporaryDirectory() as folder:
        for turn in range(times + 1):
            for name in taken:
                code = _NUMPY if name == HAND else _IMPORT.format(CONTENDERS[name].loads)
                with python("-c", code, PYTHONPYCACHEPREFIX=folder, PYTHONDONTWRITEBYTECODE="") as child:
                    out, _ = child.communicate()
                if turn:
                    taken[name].append(float(out.split()[-1]))
    return {name: statistics.median(each) for name, each in taken.items()}
