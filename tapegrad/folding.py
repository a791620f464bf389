"""Folding: a stretch of the tape becomes one entry, as `checkpoint` wants it.

What the stretch read from outside are the parents of that entry, arguments and values closed over alike, for they
keep their indices: a reading that comes to it unfolds it, which means to record the stretch again, and goes on in
there.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from itertools import count
from sys import getrefcount
from threading import get_ident
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from . import tree
from .errors import OutputError
from .frame import running
from .guard import fingerprint
from .moment import Moment
from .primitives.cotangent import deposit
from .primitives.forms import DEFINITIONS, NAMES, UNFOLD, VIEW, form
from .primitives.general import PICK
from .tape import Entry, Tape
from .tracer import Tracer, alias, plain
from .transforms import Transform
from .views import settle

P = ParamSpec("P")
R = TypeVar("R")


class _Checkpoint(Transform[P, R]):
    def __init__(self, fun: Callable[P, R]) -> None:
        super().__init__(fun, "checkpoint")

    def __reduce__(self) -> Any:
        return type(self), (self.fun,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        tape = running()
        if tape is None or not _folds(tape):
            return self.fun(*args, **kwargs)
        settle((args, kwargs))
        alone = tape.alone
        try:
            if not alone:
                tape.record_alone(get_ident())
            stretch = _Stretch(tape, self.title, cast(Any, self.fun), args, kwargs)
            out = self.fun(*args, **kwargs)
            settle(out)
            stretch.fold(out)
        finally:
            if not alone:
                tape.record_alone(0)
        return out


def _folds(tape: Tape) -> bool:
    """Whether the tape is one of the plain kind; tangents that outer frames record cannot be folded away."""
    keeping = [frame.bit for frame in tape.frames if frame.watches is None]
    return not tape.complete and any(keeping) and min(keeping) > tape.watching


class _Stretch:
    """A call that is to be one entry of the tape, and how to record it again.

    What it recorded is known by its place in the order of the indices, counted from the first.
    """

    def __init__(self, tape: Tape, name: str, fun: Callable[..., Any], args: Any, kwargs: Any) -> None:
        while (first := next(tape.count)) < _SHARED:
            pass
        self.first = first
        self.moment = Moment(tape)
        self.name = name
        self.fun = fun
        self.call = tree.map(lambda x: tape.keep(x) if type(x) is np.ndarray else _alias(x), (args, kwargs))
        self.length = 0  # of the stretch, in indices
        self.parents: list[int] = []
        self.constants: list[Any] = []
        self.values: dict[int, Any] = {}  # of the traced ones among the leaves of the result
        self.outputs: list[int] = []

    def fold(self, out: Any) -> None:
        """Put one entry in the place of those that the call has written.

        Outputs are what is still in use: the result, what a pullback in it refers to, what was put in a list outside.
        """
        tape, start, first = self.moment.tape, self.moment.start, self.first
        self.length, self.parents = next(tape.count) - first, _parents(tape.entries[start:], first)
        self.constants = _constants(tape.entries[start:])
        written = [e[:4] for e in tape.entries[start:]]
        del tape.entries[start:]
        used = [e for e, n in zip(written, _references(written)) if n > _ALONE]
        self.values = {k: leaf._value for k, leaf in enumerate(tree.leaves(out)) if isinstance(leaf, Tracer)}
        self.outputs = [e[0] - first for e in used]
        if used:
            mask = functools.reduce(int.__or__, [e[1] for e in written])
            tape.entries.append((first, mask, FOLD, None, self))
        for position, (index, mask, _, spec) in enumerate(used):
            tape.entries.append((index, mask, PICK, spec, first, position, len(used)))

    def again(self) -> tuple[list[Entry], list[int]]:
        """The entries of the call, recorded anew, and the indices of its outputs."""
        args, kwargs = tree.map(_alias, self.call)
        with self.moment.again() as entries:
            first = next(self.moment.tape.count)
            try:
                leaves = tree.leaves(self.fun(*args, **kwargs))
                settle(leaves)
            except Exception as error:
                error.add_note(f"tapegrad: {self.name} was called again, and had given a value at first: {_PURE}")
                raise
            length = next(self.moment.tape.count) - first
        for k, value in self.values.items():
            leaf = leaves[k] if k < len(leaves) else None
            if not isinstance(leaf, Tracer) or not _is_close(leaf._value, value):
                raise OutputError(
                    f"{self.name} gave another value when it was called again",
                    f"at first {_short(value)}, then {_short(plain(leaf))}",
                    "what a checkpointed function computes must depend on its arguments alone: "
                    "make random numbers outside, or with a fixed seed",
                )
        outputs = [first + k for k in self.outputs]
        if (
            length != self.length
            or _parents(entries, first) != self.parents
            or _constants(entries) != self.constants
            or not {e[0] for e in entries}.issuperset(outputs)
        ):
            raise OutputError(
                f"{self.name} took other steps when it was called again",
                "they depend on something that has changed, such as the variable of a loop that it was made in",
                _PURE,
            )
        return entries, outputs


def _parents(entries: list[Entry], first: int) -> list[int]:
    """What a stretch read from outside: indices below its first, each once, in the order of their use."""
    parents: list[int] = []
    for e in entries:
        if e[2] == FOLD:
            parents += e[4].parents
        elif DEFINITIONS[e[2]] is None:
            parents.append(e[4])
        else:
            parents += [edge[3] for edge in VIEW[e[2]](e)[3]]
    return list(dict.fromkeys([parent for parent in parents if parent < first]))


_PURE = (
    "make what may change an argument of the checkpointed function (lambda x, k=k: ... in a loop), "
    "write to nothing outside of it, and keep no traced values from call to call"
)


def _constants(entries: list[Entry]) -> list[Any]:
    """What the entries of a stretch were computed with besides traced values: what tells whether it has changed."""
    found: list[Any] = []
    for e in entries:
        found.append(NAMES[e[2]])
        if e[2] == FOLD:
            found += e[4].constants
        elif DEFINITIONS[e[2]] is not None:
            _, args, kwargs, edges, _ = VIEW[e[2]](e)
            traced = {edge[0] for edge in edges}
            for key, a in (*enumerate(args), *kwargs.items()):
                if key not in traced:
                    found += map(_mark, tree.leaves(a))
    return found


def _mark(x: Any) -> Any:
    if type(x) is np.ndarray:
        return fingerprint(x)
    return repr(x) if isinstance(x, (float, complex, int, str, np.generic, slice)) else type(x)


_SHARED = 1025  # of smaller integers there is one object each, whose references tell nothing


def _references(entries: list[Entry]) -> list[int]:
    """How many references there are to the index of each entry."""
    return [getrefcount(e[0]) for e in entries]


# of an index that no value bears; where references are not counted, every value may be in use
_ALONE = _references([(next(count(_SHARED)),)])[0] if sys.implementation.name == "cpython" else -1


def _alias(x: Any) -> Any:
    """A tracer that stays what it is when an operator such as += changes the other."""
    return alias(x) if isinstance(x, Tracer) else x


def _is_close(a: Any, b: Any) -> bool:
    """Whether two values are equal up to rounding."""
    if np.shape(a) != np.shape(b):
        return False
    if np.all(a == b):
        return True
    scale = np.max(np.abs(b), where=np.isfinite(b), initial=0)
    return bool(np.allclose(a, b, 0, scale * np.finfo(np.result_type(b)).eps ** 0.5, equal_nan=True))


def _short(value: Any) -> str:
    return np.array2string(np.asarray(value), threshold=4).replace("\n", "")


def _unfold(e: Entry) -> tuple[list[Entry], list[int]]:
    made: tuple[list[Entry], list[int]] = e[4].again()
    return made


def _pull_fold(g: list[Any], e: Entry, cots: Any, bit: int) -> None:
    """Put the entries of the stretch on the pile of those that are to be read, with the cotangents of its outputs."""
    entries, outputs = _unfold(e)
    pile = cots[-1]
    if type(cots) is list:  # make room for the new indices; the last place is that of the pile
        cots[-1] = None
        cots += [None] * (max([new[0] for new in entries], default=0) + 2 - len(cots))
        cots[-1] = pile
    deposit(cots, zip(outputs, g))
    pile += entries


FOLD = form("checkpoint", _pull_fold, lambda e, scopes: e)
UNFOLD[FOLD] = _unfold


def checkpoint(
    fun: Callable[P, R], *, prevent_cse: bool = True, policy: Any = None, static_argnums: int | Sequence[int] = ()
) -> Callable[P, R]:
    """`fun`, whose intermediate values are not kept for its derivative but computed again when they are needed.

    A network of n layers, each of them checkpointed, needs memory for its n outputs and for one layer, and
    twice the time forward. `fun` may close over traced values, and checkpointed functions may call others.

    Args:
        fun: computes the same whenever it is called with the same arguments.
        prevent_cse, policy, static_argnums: taken from JAX's scripts, and without effect: there is no compiler to
            be held back, nothing is kept, and arguments may be anything.

    Returns:
        A function with the arguments of `fun`, for the same results and derivatives.

    Raises:
        OutputError: on the way back, where `fun` gives another value than before.

    Source: A. Griewank and A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000), for what can be built on it.

    >>> from tapegrad import grad
    >>> grad(checkpoint(lambda x: np.sin(x) * x))(2.0) == grad(lambda x: np.sin(x) * x)(2.0)
    True
    """
    return _Checkpoint(fun)


remat = checkpoint


__all__ = ["checkpoint", "remat"]
