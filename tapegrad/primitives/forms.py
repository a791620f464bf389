"""Forms: how a call is written as an entry, and how that entry is read.

A form is one primitive with one pattern of traced arguments, known to the tape by a small int. `PULL`
takes a cotangent through an entry to its parents; `LIFT` makes the entry's values tracers again, of the
frames around the one that reads, so that rules that meet them are recorded there; `VIEW` gives any
entry in the layout of the general form; `PUSH`, where it is not None, is a quick way to the tangent of the
answer, and gives NotImplemented where it does not know; `NAMES` and `DEFINITIONS` tell what it is.

Each shape of call has a file of its own: `unary`, `binary` and `single` (one array and settings) are quick paths for
the functions that are called most, `several` for those of several arguments, `listed` for those of a list of arrays;
whatever else there is goes to `general`. What happens for each operation is written out there rather than shared, for
a Python call costs as much as the arithmetic of a number.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from ..frame import Outer
from ..tape import Entry
from ..tracer import Tracer
from .definition import Definition
from .partial import settled, within

# an edge is (argument, leaf, number of leaves, parent, mask, spec), the last three of a traced argument or leaf
View = tuple[Any, tuple[Any, ...], dict[str, Any], tuple[Any, ...], Any]  # answer, arguments, keywords, edges, outputs
Pull = Callable[[Any, Entry, Any, int], None]
Push = Callable[[Entry, int, Callable[[int], Any]], Any]  # an entry, the frame's bit, the tangent of an index
Lift = Callable[[Entry, Outer], Entry]

PULL: list[Pull] = []
LIFT: list[Lift] = []
VIEW: list[Callable[[Entry], View]] = []
PUSH: list[Push | None] = []
# of what stands for a stretch of the tape: the entries of that, and the indices of its outputs there
UNFOLD: dict[int, Callable[[Entry], tuple[list[Entry], list[int]]]] = {}
HOLED: set[int] = set()  # the forms that take cotangents with holes through by themselves
WRITES: set[int] = set()  # those that change the tangent of their first parent in place, where nobody else has it
NAMES: list[str] = []
DEFINITIONS: list[Definition | None] = []

QUICK = frozenset({float, int, np.ndarray, np.float64, np.float32, complex, np.int64, np.complex128})

_ndarray = np.ndarray
_lock = Lock()  # threads may define primitives


def _no_call(e: Entry) -> View:
    raise AssertionError(f"{NAMES[e[2]]} is no call of a primitive")


def form(
    name: str,
    pull: Pull,
    lift: Lift,
    definition: Definition | None = None,
    view: Callable[[Entry], View] = _no_call,
    push: Push | None = None,
) -> int:
    """Register how to read one kind of entry; returns the int that stands in it."""
    with _lock:
        DEFINITIONS.append(definition)
        LIFT.append(lift)
        VIEW.append(view)
        PUSH.append(push)
        NAMES.append(name)
        PULL.append(pull)
        return len(PULL) - 1


def _pull_input(g: Any, e: Entry, cots: Any, bit: int) -> None:
    c = cots[e[4]]
    cots[e[4]] = g if c is None else c + g


# what enters a frame while frames around it trace it: (index, mask, form, spec, index outside)
INPUT = form("input", _pull_input, lambda e, scopes: e, push=lambda e, bit, tangent: settled(tangent(e[4])))


def scaled(rule: Callable[..., Any], constant: Any, *call: Any) -> Any:
    """What the rule of a product gives where the other factor is a constant: where that is 0 there is a hole."""
    if type(constant) is _ndarray:
        if np.count_nonzero(constant) == constant.size:
            return rule(*call)
        return within(rule(*call), constant != 0)
    return rule(*call) if isinstance(constant, Tracer) or constant != 0 else None


def quick(definition: Definition) -> bool:
    """Whether the quick paths can serve: there is a rule for each argument alone."""
    return all(key in definition.rules for key in range(len(definition.names)))


def edge(body: Callable[..., Any], *args: Any) -> Any:
    """Where Python's arithmetic raises NumPy's gives inf or nan; of Python numbers alone that stays one."""
    y = body(*args)
    return y.item() if all([type(a) in _PYTHON for a in args]) else y


_PYTHON = (float, int, complex)
