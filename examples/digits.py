"""A network learns to read handwritten digits, in a few seconds.

    python examples/digits.py [picture]

1,797 real digits (see data/README.md), of which 397 are put aside for the test. The network and its loss are plain
NumPy code, `tg.value_and_grad` differentiates them, and Adam is a pure function from one state to the next. At the end
comes the share of the test digits that are read right, and a picture: written to `digits.png` or to the path that is
given, or drawn in characters where matplotlib is not installed. The exit code is 1 if less than 97 % are right.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

Array: TypeAlias = Any  # of NumPy, traced or not
Params: TypeAlias = list[dict[str, Array]]

DATA = Path(__file__).resolve().parent / "data" / "digits.npz"
TEST = 397  # digits put aside; 1,400 are left to learn from
SIZES = 64, 128, 64, 10  # pixels, two hidden layers, classes
EPOCHS = 40
BATCH = 32  # small enough for OpenBLAS to stay on one thread, and not to be slow where others use the machine
STEP = 0.003  # Adam's, at the start; it falls to zero along a cosine
NOISE = 0.2  # added to the pixels (0 to 1) of each batch, so that no image is ever seen twice
NEEDED = 97.0  # percent


# --- the network ---------------------------------------------------------------------------------------------------


def initial(rng: np.random.Generator) -> Params:
    """Weights and biases, layer by layer; the weights as He et al. (2015), https://arxiv.org/abs/1502.01852."""
    return [
        {"w": rng.standard_normal((m, n), np.float32) * math.sqrt(2 / m), "b": np.zeros(n, np.float32)}
        for m, n in pairwise(SIZES)
    ]


def network(params: Params, images: Array) -> Array:
    """Images (batch, 64) -> log-probabilities (batch, 10)."""
    h = images
    for layer in params[:-1]:
        h = tg.nn.relu(h @ layer["w"] + layer["b"])
    return tg.nn.log_softmax(h @ params[-1]["w"] + params[-1]["b"])


def cross_entropy(params: Params, images: Array, labels: Array) -> Array:
    """Minus the mean log-probability of the right digit."""
    return -np.mean(network(params, images)[np.arange(len(labels)), labels])


# --- Adam, a pure function -----------------------------------------------------------------------------------------


class State(NamedTuple):
    """All that changes while the network learns."""

    params: Params
    mean: Params  # of the gradients, fading
    square: Params  # of their squares, fading
    done: int  # steps so far


def start(params: Params) -> State:
    """No step done."""
    zeros = tg.tree.map(np.zeros_like, params)
    return State(params, zeros, zeros, 0)


def adam(state: State, gradient: Params, step: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> State:
    """The next state (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, in the short form that ends section 2)."""
    done = state.done + 1
    mean = tg.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mean, gradient)
    square = tg.tree.map(lambda s, g: b2 * s + (1 - b2) * g * g, state.square, gradient)
    size = step * math.sqrt(1 - b2**done) / (1 - b1**done)  # both averages began at zero
    params = tg.tree.map(lambda p, m, s: p - size * m / (np.sqrt(s) + eps), state.params, mean, square)
    return State(params, mean, square, done)


# --- learning ------------------------------------------------------------------------------------------------------


class Digits(NamedTuple):
    """Images (n, 64) in 0 to 1 and labels (n,)."""

    images: Array
    labels: Array


class Epoch(NamedTuple):
    """What is told of an epoch."""

    number: int
    loss: float  # mean over the batches
    accuracy: float  # percent of the test digits


def load(rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Digits to learn from and digits for the test, shuffled."""
    with np.load(DATA) as file:
        images, labels = file["images"], file["labels"]
    order = rng.permutation(len(labels))
    digits = Digits(images.reshape(-1, SIZES[0])[order].astype(np.float32) / 16, labels[order])
    return Digits(*(a[TEST:] for a in digits)), Digits(*(a[:TEST] for a in digits))


def batches(digits: Digits, rng: np.random.Generator) -> Iterator[Digits]:
    """All digits once, in a new order, with new noise."""
    order = rng.permutation(len(digits.labels))
    for first in range(0, len(order), BATCH):
        images, labels = (a[order[first : first + BATCH]] for a in digits)
        yield Digits(images + NOISE * rng.standard_normal(images.shape, np.float32), labels)


def read(params: Params, images: Array) -> Array:
    """The most probable digit of each image."""
    starts = range(0, len(images), BATCH)
    return np.concatenate([np.argmax(network(params, images[i : i + BATCH]), axis=1) for i in starts])


def train(
    state: State, digits: Digits, test: Digits, rng: np.random.Generator, tell: Callable[[Epoch], None]
) -> tuple[Params, list[Epoch]]:
    """What was learned, and the figures of each epoch, which are told as they come."""
    history = []
    loss_and_gradient = tg.value_and_grad(cross_entropy)
    steps = EPOCHS * math.ceil(len(digits.labels) / BATCH)
    for number in range(1, EPOCHS + 1):
        losses = []
        for batch in batches(digits, rng):
            loss, gradient = loss_and_gradient(state.params, *batch)
            state = adam(state, gradient, STEP * (1 + math.cos(math.pi * state.done / steps)) / 2)
            losses.append(float(loss))
        accuracy = 100 * float(np.mean(read(state.params, test.images) == test.labels))
        history.append(Epoch(number, sum(losses) / len(losses), accuracy))
        tell(history[-1])
    return state.params, history


def show_progress(epoch: Epoch) -> None:
    """A line that moves in a terminal, and a plain line now and then elsewhere."""
    line = f"epoch {epoch.number:2d} of {EPOCHS}   loss {epoch.loss:6.4f}   test {epoch.accuracy:5.2f} %"
    last = epoch.number == EPOCHS
    if sys.stdout.isatty():
        bar = "#" * round(30 * epoch.number / EPOCHS)
        print(f"\r[{bar:.<30}] {line}", end="\n" if last else "", flush=True)
    elif epoch.number % 5 == 0 or epoch.number == 1 or last:
        print(line, flush=True)


# --- the picture ---------------------------------------------------------------------------------------------------


def choose(test: Digits, answers: Array, right: int, wrong: int) -> list[int]:
    """Which test digits to show: some that were read right, each class in turn, and then some that were not."""
    good, bad = np.flatnonzero(answers == test.labels), np.flatnonzero(answers != test.labels)
    order = np.argsort(test.labels[good], kind="stable")
    rank = np.arange(len(good)) - np.searchsorted(test.labels[good][order], test.labels[good][order])
    return [*good[order][np.argsort(rank, kind="stable")][:right].tolist(), *bad[:wrong].tolist()]


def draw(path: Path, history: list[Epoch], test: Digits, answers: Array) -> None:
    """Learning curve and digits, with matplotlib, into a file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ink, blue, green, red = "#22303c", "#2a6f97", "#2f8f5b", "#c8443a"
    columns, rows = 7, 4
    number = [e.number for e in history]
    figure = Figure(figsize=(12, 5.6), dpi=120, facecolor="white")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(5, 7))[0]

    def dress(axes: Axes, title: str) -> None:
        axes.set_title(title, loc="left", color=ink, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#9aa5ae")
        axes.tick_params(colors=ink, which="both")
        axes.grid(color="#e6eaed")
        axes.set_axisbelow(True)

    left.suptitle("Learning", color=ink, fontsize=14, fontweight="bold")
    upper, lower = left.subplots(2, 1, sharex=True)
    left.subplots_adjust(left=0.1, right=0.96, bottom=0.1, top=0.88, hspace=0.2)
    upper.semilogy(number, [e.loss for e in history], color=blue, linewidth=2)
    dress(upper, "cross entropy on the training digits")
    lower.plot(number, [e.accuracy for e in history], color=green, linewidth=2)
    lower.axhline(NEEDED, color=red, linewidth=1, linestyle="--")
    lower.set_ylim(min(90.0, *(e.accuracy for e in history)) - 0.3, 100.3)
    lower.annotate(
        f"{history[-1].accuracy:.1f} %",
        (number[-1], history[-1].accuracy),
        (0, -18),
        textcoords="offset points",
        ha="right",
        color=green,
        fontweight="bold",
    )
    dress(lower, f"test digits read right, percent (dashed: {NEEDED:.0f})")
    lower.set_xlabel("epoch", color=ink)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))

    wrong = min(columns, int(np.sum(answers != test.labels)))
    shown = choose(test, answers, columns * rows - wrong, wrong)
    right.suptitle("Test digits, and what the network reads", color=ink, fontsize=14, fontweight="bold")
    cells = right.subplots(rows, columns)
    right.subplots_adjust(left=0.03, right=0.98, bottom=0.03, top=0.88, wspace=0.12, hspace=0.3)
    for axes, i in zip(cells.flat, shown, strict=True):
        good = answers[i] == test.labels[i]
        axes.imshow(test.images[i].reshape(8, 8), cmap="Greys", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("#c9d1d7" if good else red)
        axes.spines[:].set_linewidth(1 if good else 2)
        text = f"{answers[i]}" if good else f"{answers[i]}, is {test.labels[i]}"
        axes.set_title(text, color=green if good else red, fontsize=12, fontweight="bold", pad=4)
    figure.savefig(path)


def write(history: list[Epoch], test: Digits, answers: Array) -> None:
    """Learning curve and digits, in characters."""
    height, loss = 10, [e.loss for e in history]
    top, bottom = math.log10(max(loss)), math.log10(min(loss))
    level = [round((height - 1) * (top - math.log10(v)) / (top - bottom)) for v in loss]
    print("\ncross entropy on the training digits, by epoch (logarithmic)\n")
    for row in range(height):
        label = f"{10 ** (top - row * (top - bottom) / (height - 1)):8.4f}"
        print(f"{label} |" + "".join("*" if v == row else " " for v in level).rstrip())
    print(" " * 9 + "+" + "-" * len(history) + "\n" + " " * 10 + "1" + f"{len(history)}".rjust(len(history) - 1))

    print("\ntest digits, and what the network reads\n")
    shades = " .:-=+*#@"
    shown = choose(test, answers, right=8, wrong=4)
    for first in range(0, len(shown), 4):
        block = shown[first : first + 4]
        for row in range(8):
            pixels = ([round(8 * v) for v in test.images[i].reshape(8, 8)[row].tolist()] for i in block)
            print("  ".join("".join(2 * shades[p] for p in line) for line in pixels).rstrip())
        said = (f"{answers[i]}" + ("" if answers[i] == test.labels[i] else f" (is {test.labels[i]})") for i in block)
        print("  ".join(f"{s:^16}" for s in said).rstrip() + "\n")


def picture_path() -> Path:
    """The path on the command line, refused before the work and not after it."""
    parser = argparse.ArgumentParser(description="A network learns to read handwritten digits.")
    parser.add_argument("picture", nargs="?", default="digits.png", type=Path, help="where to draw (.png, .svg, .pdf)")
    path: Path = parser.parse_args().picture
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        parser.error(f"{path} does not end in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        parser.error(f"there is no directory {path.absolute().parent}")
    return path


def main(seed: int = 0) -> int:
    """Train, test, draw."""
    path = picture_path()
    rng = np.random.default_rng(seed)
    digits, test = load(rng)
    state = start(initial(rng))
    layers = "-".join(map(str, SIZES))
    count = sum(p.size for p in tg.tree.leaves(state.params))
    print(f"network {layers}, {count:,} parameters; {len(digits.labels):,} digits to learn from, {TEST} for the test")

    begin = time.perf_counter()
    params, history = train(state, digits, test, rng, show_progress)
    seconds = time.perf_counter() - begin

    answers = read(params, test.images)
    right = int(np.sum(answers == test.labels))
    accuracy = 100 * right / TEST
    try:
        draw(path, history, test, answers)
        print(f"picture: {path.absolute()}")
    except ImportError:
        write(history, test, answers)
        print("(in characters, because matplotlib is not installed)")
    print(f"test accuracy: {accuracy:.2f} % ({right} of {TEST}) after {seconds:.1f} s")
    if accuracy < NEEDED:
        print(f"less than {NEEDED} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
