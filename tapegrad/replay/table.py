"""The tape as a person reads it: a table, and the backward reading one entry at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import tree
from ..errors import OutputError
from ..frame import Frame, Outer, Sparse
from ..primitives.forms import DEFINITIONS, INPUT, LIFT, NAMES, PULL
from ..primitives.general import PICK
from ..primitives.partial import Partial, filled, settled
from ..primitives.recording import seeds
from ..primitives.rules import Key
from ..tape import Entry
from ..tracer import Spec, dtype_of, plain, shape_of, spec_of
from .backward import pull_partial


class Row(NamedTuple):
    """One line of the table: a traced input, or one call of a primitive."""

    number: int
    operation: str
    inputs: tuple[Any, ...]  # numbers of rows as "%3", everything else as it is
    value: Any
    shape: tuple[int, ...]
    dtype: Any

    def __str__(self) -> str:
        return f"%{self.number} = {self.operation}({', '.join(map(_short, self.inputs))})"


class Step(NamedTuple):
    """One step of the backward reading: an entry, what reached it, and what it sends to which row."""

    row: Row
    cotangent: Any
    sends: tuple[tuple[int, Any], ...]

    def __str__(self) -> str:
        sent = ", ".join(f"{_short(c)} to %{number}" for number, c in self.sends)
        return f"{self.row}: gets {_short(self.cotangent)}, sends {sent or 'nothing'}"


class Arguments(Protocol):
    """The traced arguments of the call: their leaves, and the indices these have on the tape."""

    leaves: list[Any]
    indices: list[int]

    def gather(self, cots: Any) -> list[Any]: ...


class ReadableTape:
    """A complete tape: every value that a call computed, in the order in which it did.

    `print(tape)` shows the table, `len(tape)` counts its rows and iterating gives them; `tape.value` is
    what the function returned.
    """

    def __init__(
        self,
        frame: Frame,
        entries: list[Entry],
        arguments: Arguments,
        names: list[str],
        structure: Any,
        outputs: Sequence[tuple[int | None, Spec | None]],
        value: Any,
    ) -> None:
        self.value = value
        self._frame = frame
        self._entries = [e for e in entries if e[1] & frame.bit]
        self._arguments = arguments
        self._structure, self._outputs = structure, outputs
        self._cotangents: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}  # of rows, by index
        self._rows: list[Row] = []
        values: dict[int, Any] = {}
        for index, leaf, name in zip(arguments.indices, arguments.leaves, names, strict=True):
            value = plain(leaf)
            value = value.copy() if isinstance(value, np.ndarray) else value
            values[index] = float(value) if type(value) is int else value
            self._add(index, name, (), values[index])
        for e in self._entries:
            values[e[0]] = self._read_value(e, values)
            self._add(e[0], NAMES[e[2]], self._inputs(e), values[e[0]])

    def _add(self, index: int, operation: str, inputs: tuple[Any, ...], value: Any) -> None:
        shape: tuple[int, ...] = ()
        dtype: Any = f"{len(tree.leaves(value))} outputs" if tree.is_node(value) else ""
        if not dtype:
            spec = spec_of(value)
            shape, dtype = shape_of(spec), spec.__name__ if isinstance(spec, type) else dtype_of(spec)
        number = self._numbers[index] = len(self._rows)
        self._rows.append(Row(number, operation, inputs, value, shape, dtype))

    @staticmethod
    def _read_value(e: Entry, values: dict[int, Any]) -> Any:
        if e[2] == INPUT:
            return values[e[4]]
        if e[2] == PICK:
            return tree.leaves(values[e[4]])[e[5]]
        return e[4]

    def _inputs(self, e: Entry) -> tuple[Any, ...]:
        if e[2] == INPUT:
            return (f"%{self._numbers[e[4]]}",)
        if e[2] == PICK:
            return (f"%{self._numbers[e[4]]}", e[5])
        _, _, number, _, _, args, kwargs, edges, _ = e
        held: dict[Key, Any] = dict(enumerate(args)) | kwargs
        containers: dict[Key, list[Any]] = {}
        for key, leaf, leaves, parent, mask, _ in edges:
            if parent not in self._numbers and mask & self._frame.bit:
                continue  # a new array such as zeros_like gives: a constant
            name = f"%{self._numbers[parent]}" if parent in self._numbers else "outer"
            if leaves:
                if key not in containers:
                    containers[key] = tree.leaves(held[key])
                containers[key][leaf] = name
            else:
                held[key] = name
        held |= containers
        definition = DEFINITIONS[number]
        assert definition is not None
        shown = []
        for key, value in held.items():
            if isinstance(key, str) and key.startswith("_"):
                continue
            if key not in definition.defaults:
                shown.append(value)
            elif value is not definition.defaults[key]:
                word = definition.word(key)
                shown.append(_Option(word, value) if isinstance(word, str) else value)
        return tuple(shown)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def steps(self, cotangent: Any = None) -> Iterator[Step]:
        """Walk the backward reading, from the last entry to the first, one that matters at a time.

        Args:
            cotangent: what the output gets, of its structure and shapes; 1.0 where it is one number.

        >>> from tapegrad import trace
        >>> for step in trace(lambda x: 3.0 * x * x)(2.0).steps():
        ...     print(step)
        %2 = multiply(%1, %0): gets 1.0, sends 2.0 to %1, 6.0 to %0
        %1 = multiply(3.0, %0): gets 2.0, sends 6.0 to %0
        """
        cots: dict[int, Any] = {}
        for index, c in self._seeds(cotangent):
            cots[index] = c if index not in cots else cots[index] + c
        self._cotangents = cots
        bit, scopes = self._frame.bit, Outer(self._frame)
        for e in reversed(self._entries):
            g = cots.get(e[0])
            if g is None:
                continue
            sent = Sparse()
            lifted = LIFT[e[2]](e, scopes) if e[1] & (bit - 1) else e
            with np.errstate(all="ignore"):
                (pull_partial if type(g) is Partial else PULL[e[2]])(g, lifted, sent, bit)
            parts = {parent: settled(c) for parent, c in sent.items() if parent in self._numbers}
            for parent, c in parts.items():
                held = cots.get(parent)
                cots[parent] = c if held is None else _merge(held, c)
            sends = tuple([(self._numbers[parent], filled(c)) for parent, c in parts.items()])
            yield Step(self._rows[self._numbers[e[0]]], filled(g), sends)

    def _seeds(self, cotangent: Any) -> Iterator[tuple[int, Any]]:
        if cotangent is None:
            (spec,) = [spec for _, spec in self._outputs] if self._structure is None else [None]
            if spec is not None and shape_of(spec):
                spec = None
            if spec is None and any(index is not None for index, _ in self._outputs):
                raise OutputError(
                    f"the output of {self._frame.name} is not one number",
                    f"it is {_short(self.value)}",
                    "pass a cotangent like it: tape.backward(cotangent)",
                )
            cotangent = 1.0
        return seeds(self._frame.name, cotangent, self._structure, self._outputs)

    def backward(self, cotangent: Any = None) -> tuple[Any, ...]:
        """Read the tape backward, and keep the cotangents for the table.

        Args:
            cotangent: what the output gets, of its structure and shapes; 1.0 where it is one number.

        Returns:
            A tuple with the cotangent of each traced argument, in its structure.
        """
        for _ in self.steps(cotangent):
            pass
        cots = Sparse()
        cots.update(self._cotangents)
        return tuple(self._arguments.gather(cots))

    def __str__(self) -> str:
        head = ["#", "operation", "inputs", "type", "value"] + ["cotangent"] * bool(self._cotangents)
        cots = {self._numbers[index]: filled(c) for index, c in self._cotangents.items() if index in self._numbers}
        lines = [head]
        for row in self._rows:
            kind = f"{row.shape} {row.dtype}" if row.shape or isinstance(row.dtype, np.dtype) else str(row.dtype)
            line = [f"%{row.number}", row.operation, ", ".join(map(_short, row.inputs)), kind, _short(row.value)]
            if self._cotangents:
                line.append(_short(cots[row.number]) if row.number in cots else "")
            lines.append(line)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([line[0].rjust(widths[0]), *map(str.ljust, line[1:], widths[1:])]).rstrip() for line in lines
        )

    def __repr__(self) -> str:
        return f"<tape of {self._frame.name}: {len(self)} rows>"


class _Option(NamedTuple):
    """An argument that differs from its default."""

    word: str
    value: Any


def _merge(held: Any, c: Any) -> Any:
    """The sum of two cotangents; of a call with several outputs, output by output."""
    if isinstance(held, list):
        return [a if b is None else b if a is None else a + b for a, b in zip(held, c, strict=True)]
    return held + c


def _short(value: Any) -> str:
    """A value in a few characters."""
    value = plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, _Option):
        return f"{value.word}={_short(value.value)}"
    if isinstance(value, (list, tuple)):
        shown = [_short(part) for part in value[:4]] + ["…"] * (len(value) > 4)
        return f"[{', '.join(shown)}]"
    if isinstance(value, np.ndarray) and value.ndim:
        flat = value.ravel()
        shown = [_short(part) for part in flat[:3]] + ["…"] * (flat.size > 3)
        return f"[{' '.join(shown)}]"
    if isinstance(value, (float, complex, np.inexact, np.ndarray)):
        number = complex(value) if np.iscomplexobj(value) else float(value)  # type: ignore[arg-type]
        text = f"{number:.6g}"
        return text + ".0" if text.lstrip("-").isdigit() else text
    return str(value)[:40]
