"""Random NumPy programs that read, assign and share memory, and the comparison of all their derivatives.

A program is a list of statements of plain NumPy, drawn from a table and tried out on the way, so that its values stay
small. Its value is compared with NumPy's own; backward with forward and with finite differences; nested transforms
with flat ones; both doors; checkpoints. What raises a `TapegradError` is refused, and nothing may be wrong.

    python tests/programs.py SEED SECONDS       looks for differences, and prints each as source to be pasted
"""

from __future__ import annotations

import collections
import random
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from statements import NAMES, STATEMENTS, Fields, Pick, Unfit, is_array

import tapegrad as tg
import tapegrad.numpy as tnp

SHAPES = [(4,), (2, 3), (3, 3), (3,), (2, 2), (5,), (2, 2, 2)]
LAYOUTS = ["np.array({})", "np.array({})", "np.array({}, order='F')", "np.repeat({}, 3, -1)[..., 1::3]", "np.array({})[::-1]"]


class Program(NamedTuple):
    """Arguments as source, and statements, each with its row of the table."""

    arguments: dict[str, str]
    statements: list[tuple[str, str]]

    def source(self) -> str:
        """The whole, to be pasted."""
        lines = [line for _, text in self.statements for line in text.split("\n")]
        body = "\n    ".join([f"def f({', '.join(self.arguments)}):", "s = 0.0", *lines, "return s"])
        arguments = "\n".join([f"{name} = {text}" for name, text in self.arguments.items()])
        return f"import numpy as np\nimport tapegrad as tg\n\n{body}\n\n{arguments}"

    def apart(self) -> Program:
        """With a copy of what is assigned: NumPy reads from a mask's array what it has just written there."""
        return self._replace(statements=[(row, re.sub(r"(?m)\] = (.+)$", r"] = np.copy(\1)", t)) for row, t in self.statements])

    def values(self) -> tuple[Any, ...]:
        return tuple([eval(text, {"np": np}) for text in self.arguments.values()])

    def moved(self, v: Any, t: float) -> tuple[Any, ...]:
        """The arguments plus t v, in new memory, laid out as they are."""
        made = self.values()
        for x, d in zip(made, v):
            if isinstance(x, np.ndarray):
                x += t * d
        return tuple([x if isinstance(x, np.ndarray) else x + t * d for x, d in zip(made, v)])

    def function(self, door: Any, results: bool = False) -> Callable[[Any], Any]:
        """Of the tuple of the arguments: the sum, or the variables in it."""
        names: dict[str, Any] = {"np": door, "tg": tg}
        parts = [f"{row[4:]}, " for row, _ in self.statements if row[:4] == "sum "]
        text = self.source().replace("\n    return s\n", f"\n    return ({''.join(parts)})\n" if results else "\n    return s\n")
        exec(compile(text.split("\n\n")[1], "<program>", "exec"), names)
        return lambda args: names["f"](*args)

    def line(self, number: int) -> tuple[str, str]:
        """The row of the statement on a line of the function, and the line."""
        rows = [(row, line.strip()) for row, text in self.statements for line in text.split("\n")]
        return rows[number - 3] if 3 <= number < len(rows) + 3 else ("", "")


def is_tame(value: Any) -> bool:
    if is_array(value) or isinstance(value, float):
        return np.size(value) <= 24 and np.ndim(value) <= 3 and bool(np.all(np.abs(value) <= 4))
    return isinstance(value, int | np.bool_) or callable(value) or (isinstance(value, np.ndarray) and value.dtype == bool)


def run(arguments: dict[str, str], statements: list[tuple[str, str]]) -> dict[str, Any]:
    """The variables after plain NumPy ran the statements; `Unfit` unless all of them are tame."""
    names: dict[str, Any] = {"np": np, "tg": tg, "s": 0.0}
    text = "\n".join([*[f"{name} = {text}" for name, text in arguments.items()], *[text for _, text in statements]])
    try:
        with warnings.catch_warnings(action="error"):
            exec(text, names)
    except Exception as error:
        raise Unfit from error
    values = {name: value for name, value in names.items() if name in NAMES or name in arguments}
    if not all([is_tame(value) for value in values.values()]):
        raise Unfit
    return values


def draw(pick: Pick, longest: int = 9, without: Sequence[str] = ()) -> Program:
    """A program, with every choice made by `pick`, `without` some rows and layouts."""
    rng = np.random.default_rng(pick(range(1000)))
    shape = pick(SHAPES)
    arguments = {}
    for name, its in {"x": shape, **pick([{}, {"z": ()}, {"z": shape}, {"z": shape[-1:]}])}.items():
        numbers = np.round(rng.uniform(-1.5, 1.5, its), 3).tolist()
        layouts = [layout for layout in LAYOUTS if layout not in without]
        arguments[name] = pick(layouts if its else ["{}", "np.array({})"]).format(numbers)
    table = [rows for rows in ([row for row in rows if row not in without] for rows in STATEMENTS.values()) if rows]
    statements: list[tuple[str, str]] = []
    values = run(arguments, statements)
    for _ in range(pick(range(1, longest + 1))):
        row = pick(pick(table))
        try:
            statement = row, row.format_map(Fields(pick, values))
            values = run(arguments, [*statements, statement])
            statements.append(statement)
        except Unfit:
            values = run(arguments, statements)
    for name, value in values.items():
        if is_array(value) and value.ndim:
            weights = f"np.linspace(1, 2, {value.size})" + f".reshape{value.shape}" * (value.ndim > 1)
            statements.append((f"sum {name}", f"s = s + np.sum(np.sin({name}) * {weights})"))
        elif is_array(value) or isinstance(value, float):
            statements.append((f"sum {name}", f"s = s + np.sin({name} + {len(statements)})"))
    return Program(arguments, statements)


# the comparison


class Outcome(NamedTuple):
    """Same, unclear (a kink is near), refused, or different; the check, what it found, the row of the table."""

    kind: str
    check: str
    what: str = ""
    row: str = ""


def along(a: Any, b: Any) -> Any:
    """The inner product of two tuples."""
    return sum([np.sum(x * y) for x, y in zip(a, b)])


def slope(f: Callable[[float], float], h: float = 1e-3) -> tuple[float, float] | None:
    """f'(0) by Richardson's central differences, and how near it is; None where they disagree, or the two sides do."""
    try:
        middle, up, down, upper, lower = [f(t) for t in (0.0, h / 2, -h / 2, h, -h)]
    except (ValueError, IndexError):  # a mask that selects other elements nearby
        return None
    d, e = (up - down) / h, (upper - lower) / (2 * h)
    kink = abs((up - 2 * middle + down) / (h / 2) - (upper - 2 * middle + lower) / (2 * h))
    size = 1 + abs(d)
    return (d + (d - e) / 3, 1e-4 * size) if abs(d - e) < 1e-3 * size and kink < 1e-4 * size else None


def checks(program: Program, args: Any, v: Any, w: Any, order: int) -> Iterator[tuple[str, Any, Any, float]]:
    """Name, what is there, what ought to be, how near."""
    f, door, many = program.function(np), program.function(tnp), program.function(np, True)
    value, dv = f(program.values()), slope(lambda t: f(program.moved(v, t)))
    if dv is None:
        return
    yield "value", tg.value_and_grad(f)(args)[0], value, 1e-12
    gradient = tg.grad(f)(args)
    gv, gw = along(gradient, v), along(gradient, w)
    yield "grad, finite differences", gv, *dv
    yield "jvp", tg.jvp(f, (args,), (v,)), (value, gv), 1e-10
    out, pullback = tg.vjp(f, args)
    yield "vjp, twice", (out, pullback(1.0)[0], along(pullback(-2.0)[0], v)), (value, gradient, -2 * gv), 1e-10
    out, linear = tg.linearize(f, args)
    yield "linearize", (out, linear(w), linear(v), linear.transpose(1.0)[0]), (value, gw, gv, gradient), 1e-10
    yield "grad of checkpoint", tg.grad(tg.checkpoint(f))(args), gradient, 1e-10
    yield "jvp of checkpoint", tg.jvp(tg.checkpoint(f), (args,), (w,)), (value, gw), 1e-10
    yield "door", tg.value_and_grad(door)(args), (value, gradient), 1e-13
    yield "jvp by the door", tg.jvp(door, (args,), (w,)), (value, gw), 1e-10
    values, tangents = tg.jvp(many, (args,), (v,))
    yield "values", values, many(program.values()), 1e-12
    out, pullback = tg.vjp(many, args)
    yield "values of vjp", out, values, 1e-12
    yield "values, vjp and jvp", along(pullback(out)[0], v), along(out, tangents), 1e-10
    dvw = slope(lambda t: along(tg.grad(f)(program.moved(v, t)), w)) if order > 1 else None
    if dvw is None:
        return
    product, line = tg.hvp(f)(args, v), lambda p: tg.jvp(f, (p,), (v,))[1]
    yield "hvp, finite differences", along(product, w), *dvw
    yield "jvp of grad", tg.jvp(tg.grad(f), (args,), (v,)), (gradient, product), 1e-9
    yield "grad of jvp", tg.grad(line)(args), product, 1e-8
    yield "grad of grad", tg.grad(lambda p: along(tg.grad(f)(p), v))(args), product, 1e-8
    yield "jvp of jvp", tg.jvp(line, (args,), (w,))[1], along(product, w), 1e-8
    yield "grad of pullback", tg.grad(lambda p: along(tg.vjp(f, p)[1](1.0)[0], v))(args), product, 1e-8
    yield "linearize of grad", tg.linearize(tg.grad(f), args)[1](v), product, 1e-8
    yield "hvp of checkpoint", tg.hvp(tg.checkpoint(f))(args, v), product, 1e-8
    yield "hvp by the door", tg.hvp(door)(args, v), product, 1e-8
    if order < 3:
        return
    h, sizes = tg.hessian(f)(args), [np.size(x) for x in args]
    whole = np.block([[np.reshape(part, (m, n)) for part, n in zip(row, sizes)] for row, m in zip(h, sizes)])
    yield "hessian", whole @ np.hstack([np.ravel(d) for d in v]), np.hstack([np.ravel(p) for p in product]), 1e-7
    yield "hessian, symmetric", whole.T, whole, 1e-7
    third = along(tg.grad(lambda p: along(tg.grad(line)(p), w))(args), v)
    yield "third order", tg.jvp(lambda p: along(tg.hvp(f)(p, v), w), (args,), (v,))[1], third, 1e-8


def differs(a: Any, b: Any, near: float) -> bool:
    if isinstance(b, tuple):
        return not isinstance(a, tuple) or len(a) != len(b) or any([differs(x, y, near) for x, y in zip(a, b)])
    return np.shape(a) != np.shape(b) or not np.all(np.abs(np.subtract(a, b)) <= near * (1 + np.max(np.abs(b), initial=0)))


def compare(program: Program, order: int = 3) -> Outcome:
    """The derivatives of a program up to an order, each with the others."""
    args, rng, name = program.values(), np.random.default_rng(1), ""
    v, w = [tuple([rng.uniform(0.5, 1.5, np.shape(x)) if np.ndim(x) else x * 0 + rng.uniform(0.5, 1.5) for x in args]) for _ in "vw"]
    before = [np.array(x).tobytes() for x in args]
    try:
        with warnings.catch_warnings(action="error"):
            for name, got, want, near in checks(program, args, v, w, order):
                if differs(got, want, near):
                    if name == "value" and (apart := program.apart()) != program and compare(apart, 1).kind == "same":
                        return Outcome("unclear", "NumPy mixes up what it reads and what it writes")
                    return Outcome("different", name, f"{got}\nnot {want}")
                if [np.array(x).tobytes() for x in args] != before:
                    return Outcome("different", name, f"the arguments have changed: {args}")
    except Exception as error:
        rows = [program.line(frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<program>"]
        row, line = rows[-1] if rows else ("", "")
        for cause in (error, error.__cause__, error.__context__):  # NumPy hides ours behind its own
            if isinstance(cause, tg.TapegradError):
                return Outcome("refused", f"{type(cause).__name__} after {name}", line, row)
        if isinstance(error, RuntimeWarning) or "setting single item" in str(error):
            return Outcome("unclear", str(error), line, row)  # a slope is infinite, or NumPy tells not why
        if any(["was called again" in note for note in getattr(error, "__notes__", [])]):
            return Outcome("refused", f"{type(error).__name__} in a checkpoint", line, row)
        if isinstance(error, NameError) and rows:
            return Outcome("unclear", f"{error}")  # a checkpoint that ran again after del
        return Outcome("different", f"{type(error).__name__} after {name}", f"{error}\n{line}", row)
    return Outcome("same" if name else "unclear", name)


def shrunk(program: Program, outcome: Outcome, order: int) -> Program:
    """Without the statements that the difference does not need."""
    for k in reversed(range(len(program.statements))):
        shorter = program._replace(statements=program.statements[:k] + program.statements[k + 1 :])
        try:
            run(*shorter)
        except Unfit:
            continue
        if compare(shorter, order)[:2] == outcome[:2]:
            return shrunk(shorter, outcome, order)
    return program


def fuzz(seed: int, seconds: float) -> None:
    """Draws and compares programs; rows that are refused become rare."""
    start, last = time.monotonic(), 0
    kinds, refused, passed, found = [collections.Counter[str]() for _ in range(4)]
    examples: dict[str, str] = {}

    def report() -> None:
        print(f"{now:.0f} s, to seed {seed}: {kinds.total()} programs,", ", ".join([f"{n} {k}" for k, n in kinds.items()]), flush=True)

    while (now := time.monotonic() - start) < seconds:
        rng, order = random.Random(seed), 1 + seed % 3
        without = [row for row, n in refused.items() if n > 5 * (passed[row] + 1) and rng.random() < 0.95]
        program = draw(rng.choice, without=without)
        outcome = compare(program, order)
        kinds[outcome.kind] += 1
        if outcome.kind == "same":
            passed.update({row for row, _ in program.statements})
        elif outcome.kind == "refused":
            refused[outcome.row] += 1
            examples.setdefault(outcome.row, f"{outcome.what}    # {outcome.check}")
        elif outcome.kind == "different":
            small = shrunk(program, outcome, order)
            key = f"{outcome.check}: {sorted({row for row, _ in small.statements if row[:4] != 'sum '})}"
            found[key] += 1
            if found[key] == 1:
                print(f"\n# seed {seed}: {outcome.check}", small.source(), "# " + compare(small, order).what.replace("\n", "\n# "), "", sep="\n")
        seed += 1
        if now // 60 > last:
            last = now // 60
            report()
    report()
    print(f"{kinds.total() / now:.1f} programs a second")
    print(*[f"different, {n} times: {key}" for key, n in found.most_common()], sep="\n")
    print(*[f"refused {n}, passed {passed[row]}: {row!r}\n    {examples[row]}" for row, n in refused.most_common()], sep="\n")


if __name__ == "__main__":
    fuzz(int(sys.argv[1]), float(sys.argv[2]))
