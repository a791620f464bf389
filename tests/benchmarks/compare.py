"""What derivatives cost beside the same written by hand in NumPy, and beside other libraries: one table.

    python tests/benchmarks/compare.py [workload ...] [--seconds S] [--patience S] [--markdown]

Libraries that are not installed are left out. All contenders take turns within one run, so that a machine that is slow
for a while is slow for all of them; a figure is the median over the turns of (time / time by hand in the same turn),
in brackets the ratio of the fastest turns. Before anything is timed, the numbers are compared: "wrong" are those that
differ from the derivative by hand, "–" is what a library cannot do or raises in, "> 20 s" a first call that was not
waited for any longer. Of JAX's jit the time does not contain the compilation, which is told below the table. The peak
of memory is told of those whose arrays are NumPy's. There is one thread, but for NumPy and PyTorch as many as
OMP_NUM_THREADS says.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

if __name__ == "__main__":  # the checkout's library, and one thread: both must be settled before NumPy is loaded
    sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
    _threads = os.environ.setdefault("OMP_NUM_THREADS", "1")
    for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(_variable, _threads)
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

from contenders import CONTENDERS, HAND, installed
from footprint import checkpointed_layers, dense_layers, import_times, peak, tanh_layers
from timing import Field, qualify, ratio, take_turns
from workload import Workload
from workloads import WORKLOADS

import tapegrad

OURS = ("tapegrad", "tapegrad.numpy")
NETWORK = "large"
EXTRAS = ("memory", "import")


@dataclass
class Table:
    """The rows so far, a title and a cell a contender; and what is said below them."""

    markdown: bool = False
    seconds: float = 8.0
    patience: float = 20.0
    rows: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    doors: dict[str, str] = field(default_factory=dict)
    compilations: dict[str, str] = field(default_factory=dict)
    failed: bool = False

    def add(self, title: str, cells: dict[str, str]) -> None:
        self.rows.append((title, cells))
        said = ", ".join([f"{name} {cell}" for name, cell in cells.items()])
        print(f"... {title}: {said}", file=sys.stderr, flush=True)

    def qualify(self, work: Workload, names: list[str] | None = None, key: str = "") -> Field:
        found = qualify(work, self.patience, names, key)
        for name, reason in found.reasons.items():
            print(f"{work.title}: {name}: {reason}", file=sys.stderr, flush=True)
            self.failed |= name in OURS and found.verdicts[name] != ">"
        return found

    def time(self, key: str, work: Workload) -> None:
        found = self.qualify(work, key=key)
        turns = take_turns(found, self.seconds)
        cells = {}
        for name in found.runs:
            seconds = [turn[name] for turn in turns if name in turn]
            if name == HAND or work.call:
                cells[name] = self.figures(statistics.median(seconds), min(seconds), duration)
            else:
                cells[name] = self.figures(*ratio(turns, name), multiple)
        self.add(work.title, cells | self.said(found))
        if found.runs.keys() >= {*OURS}:
            self.doors[key] = f"{ratio(turns, *OURS)[0]:.2f}"
        for name, contender in CONTENDERS.items():
            if contender.compiles and name in found.firsts:
                self.compilations[key] = duration(found.firsts[name])
            elif contender.compiles and found.verdicts.get(name) == ">":
                self.compilations[key] = f"> {self.patience:g} s"

    def said(self, found: Field) -> dict[str, str]:
        """Of who is not timed: the time that was waited for a first call, which may have gone to compiling."""
        return {name: f"> {self.patience:g} s" if said == ">" else said for name, said in found.verdicts.items()}

    def weigh(self, work: Workload) -> None:
        found = self.qualify(work, [name for name in installed() if CONTENDERS[name].arrays])
        bytes_of = {name: peak(run) for name, run in found.runs.items()}
        cells = {name: f"{most / bytes_of[HAND]:.2f}" for name, most in bytes_of.items()}
        self.add(work.title, self.said(found) | cells | {HAND: f"{figure(bytes_of[HAND] / 1e6)} MB"})

    def imports(self) -> None:
        self.add("import, beside NumPy's own", {name: duration(s) for name, s in import_times().items()})

    def figures(self, median: float, best: float, text: Callable[[float], str]) -> str:
        return text(median) if self.markdown else f"{text(median)} ({text(best)})"

    def __str__(self) -> str:
        names = [name for name in CONTENDERS if any(cells.get(name, "–") != "–" for _, cells in self.rows)]
        head = ["", *[f"{name} by hand" if name == HAND else name for name in names]]
        rows = [head, *[[title, *[cells.get(name, "–") for name in names]] for title, cells in self.rows]]
        lines = [in_markdown(rows) if self.markdown else in_columns(rows)]
        if self.doors:
            said = ", ".join(f"{key} {text}" for key, text in self.doors.items())
            lines.append(f"tapegrad on plain NumPy beside tapegrad.numpy, in the same turns: {said}")
        if self.compilations:
            said = ", ".join(f"{key} {text}" for key, text in self.compilations.items())
            lines.append(f"JAX jit's first call, which compiles: {said}")
        return "\n\n".join(lines)


def in_columns(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def in_markdown(rows: list[list[str]]) -> str:
    head, *others = [f"| {' | '.join(row).strip()} |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *others])


def figure(x: float) -> str:
    """Two digits, and no more zeros than it takes."""
    digits, exponent = f"{x:.1e}".split("e")
    return f"{float(digits) * 10 ** int(exponent):,.{max(0, 1 - int(exponent))}f}"


def multiple(x: float) -> str:
    """Of what is close to 1 the part beyond it counts."""
    return f"{x:.2f}" if 0.5 <= x < 2 else figure(x)


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{figure(seconds / size)} {unit}"
    return f"{figure(seconds * 1e6)} µs"


def machine() -> str:
    versions = [f"Python {platform.python_version()}"]
    for name, contender in CONTENDERS.items():
        if contender.package == "tapegrad":
            version = tapegrad.__version__
        else:
            version = metadata.version(contender.package) if name in installed() else ""
        if name not in ("tapegrad.numpy", "JAX jit"):
            versions.append(f"{name} {version}" if version else f"no {name}")
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return f"{processor()}, {os.cpu_count()} cores; threads: {threads}\n{', '.join(versions)}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*WORKLOADS, *EXTRAS]
    parser.add_argument("workload", nargs="*", help=f"of {', '.join(known)}; all of them if none is named")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each workload (default: 8)")
    parser.add_argument("--patience", type=float, default=20.0, help="time for a first call (default: 20)")
    parser.add_argument("--markdown", action="store_true", help="medians alone, for the README")
    options = parser.parse_args()
    if unknown := [name for name in options.workload if name not in known]:
        parser.error(f"no workload is called {unknown[0]!r}: choose from {', '.join(known)}")
    print(machine(), "\n", flush=True)
    table = Table(options.markdown, options.seconds, options.patience)
    for key in options.workload or known:
        if key == "memory":
            for work in (tanh_layers(), dense_layers(), checkpointed_layers()):
                table.weigh(work)
            network = WORKLOADS[NETWORK]
            table.weigh(Workload(f"peak memory: {network.title}", network.make, network.by_hand, network.args))
        elif key == "import":
            table.imports()
        else:
            table.time(key, WORKLOADS[key])
    print(table)
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())
