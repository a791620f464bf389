"""Derivatives made one's own: `checkpoint`, `custom_vjp`, `custom_jvp`.

A stretch of the tape is folded into one entry. What the stretch read from outside are the parents of that entry,
arguments and values closed over alike, for they keep their indices: a reading that comes to it unfolds it, which
means to record the stretch again, and goes on in there.

A custom rule belongs to the innermost frame among the arguments; the frames around it see what the author's
function computes, as it is written.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from itertools import count
from sys import getrefcount
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from . import tree
from .arguments import check_argnums
from .errors import MissingRuleError, OutputError, PrimitiveError, TangentError
from .primitives.define import internal
from .primitives.definition import Definition
from .primitives.forms import DEFINITIONS, UNFOLD, VIEW, form
from .primitives.general import PICK, make_form, note_view
from .primitives.recording import describe, lower
from .primitives.rules import placeholder
from .primitives.transpose import turned, zeros
from .tape import Entry, Frame, Moment, Tape, running, union
from .tracer import Tracer, is_inexact, plain, spec_of, tracer
from .transforms import Transform

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class _Checkpoint(Transform[P, R]):
    def __init__(self, fun: Callable[P, R]) -> None:
        super().__init__(fun, "checkpoint")

    def __reduce__(self) -> Any:
        return type(self), (self.fun,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        tape = running()
        if tape is None or not _folds(tape):
            return self.fun(*args, **kwargs)
        stretch = _Stretch(tape, self.title, cast(Any, self.fun), args, kwargs)
        out = self.fun(*args, **kwargs)
        stretch.fold(out)
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
        self.call = tree.map(_alias, (args, kwargs))
        self.length = 0  # of the stretch, in indices
        self.parents: list[int] = []
        self.values: dict[int, Any] = {}  # of the traced ones among the leaves of the result
        self.outputs: list[int] = []

    def fold(self, out: Any) -> None:
        """Put one entry in the place of those that the call has written.

        Outputs are what is still in use: the result, what a pullback in it refers to, what was put in a list outside.
        """
        tape, start, first = self.moment.tape, self.moment.start, self.first
        self.length, self.parents = next(tape.count) - first, _parents(tape.entries[start:], first)
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
            leaves = tree.leaves(self.fun(*args, **kwargs))
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
            or not {e[0] for e in entries}.issuperset(outputs)
        ):
            raise OutputError(
                f"{self.name} took other steps when it was called again",
                "they depend on something that has changed, such as the variable of a loop that it was made in",
                "make what may change an argument of the checkpointed function, "
                "and keep no traced values from call to call",
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


_SHARED = 1025  # of smaller integers there is one object each, whose references tell nothing


def _references(entries: list[Entry]) -> list[int]:
    """How many references there are to the index of each entry."""
    return [getrefcount(e[0]) for e in entries]


# of an index that no value bears; where references are not counted, every value may be in use
_ALONE = _references([(next(count(_SHARED)),)])[0] if sys.implementation.name == "cpython" else -1


def _alias(x: Any) -> Any:
    """A tracer that stays what it is when an operator such as += changes the other."""
    return tracer(x._value, x._index, x._scope, x._spec) if isinstance(x, Tracer) else x


def _is_plain(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, int, float, complex))


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
    for c, index in zip(g, outputs):
        if c is not None:
            held = cots[index]
            cots[index] = c if held is None else held + c
    pile += entries


FOLD = form("checkpoint", _pull_fold, lambda e, scopes: e)
UNFOLD[FOLD] = _unfold


def checkpoint(fun: Callable[P, R]) -> Callable[P, R]:
    """`fun`, whose intermediate values are not kept for its derivative but computed again when they are needed.

    A network of n layers, each of them checkpointed, needs memory for its n outputs and for one layer, and
    twice the time forward. `fun` may close over traced values, and checkpointed functions may call others.

    Args:
        fun: computes the same whenever it is called with the same arguments.

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


@internal(elementwise=True)
def _joined(custom: Any, written: Any) -> Any:
    """The value of both: what goes back goes to the custom rule, and to what the value was made of."""
    return custom


_joined.defvjp("custom")(lambda g, _y, _custom, _written: g)
_joined.defvjp("written")(lambda g, _y, _custom, _written: g)


class _Custom(Transform[P, R]):
    """A function with a rule of its own for the innermost frame among its arguments."""

    def __init__(self, fun: Callable[P, R], nondiff_argnums: int | Sequence[int], kind: str) -> None:
        super().__init__(fun, kind)
        self.kind = kind
        nondiff = check_argnums(nondiff_argnums, kind)
        self.nondiff = (nondiff,) if isinstance(nondiff, int) else nondiff
        self.definition = Definition(_body, self.title, ("_call",))
        self.definition.turn = turned
        self.number = make_form(self.definition)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        traced = [leaf for leaf in tree.leaves((args, kwargs)) if isinstance(leaf, Tracer)]
        if not traced:
            return self.fun(*args, **kwargs)
        every = self._positional(args, kwargs)
        n = len(every)
        nondiff = [k + n if k < 0 else k for k in self.nondiff]
        if any(not 0 <= k < n for k in nondiff):
            raise PrimitiveError(
                f"{self.title} was made with nondiff_argnums={self.nondiff}",
                f"it was called with {n} arguments",
                "count from 0, or leave it out",
            )
        for k in nondiff:
            if any([isinstance(leaf, Tracer) for leaf in tree.leaves(every[k])]):
                raise PrimitiveError(
                    f"argument {k} of {self.title} carries no derivative, but got a traced value",
                    f"nondiff_argnums: {self.nondiff}",
                    "pass a plain value, such as tapegrad.stop_gradient(x)",
                )
        self._require()
        scope = functools.reduce(union, [x._scope for x in traced], traced[0]._scope)
        frame = next(f for f in scope.tape.frames if f.bit == 1 << (scope.mask.bit_length() - 1))
        settings = [every[k] for k in nondiff]
        places = [k for k in range(n) if k not in nondiff]
        lowered = [lower(frame, a) for a in every]
        out, call = self._run(frame, lowered, settings, [lowered[k] for k in places])
        if any([isinstance(leaf, Tracer) and leaf._scope.mask >= 2 * frame.bit for leaf in tree.leaves(out)]):
            # it closes over a value of a frame within; the frames around that one see what is written
            return self._run(frame, every, settings, [every[k] for k in places])[0]
        return self._record(frame, [every[k] for k in places], out, call)

    def _positional(self, args: Any, kwargs: Any) -> list[Any]:
        """All arguments by position, as a rule gets them."""
        fun = cast(Any, self.fun)
        try:
            signature = None if isinstance(fun, np.ufunc) else inspect.signature(fun)
        except ValueError:  # a built-in that does not tell
            signature = None
        if signature is not None:
            bound = signature.bind(*args, **kwargs)
            kwargs = bound.kwargs
            bound.apply_defaults()
            args = bound.args
        if kwargs:
            raise PrimitiveError(
                f"{self.title} got {', '.join(kwargs)} by keyword alone",
                "the arguments of a function with a custom rule have a position",
                "make them positional parameters",
            )
        return list(args)

    def _require(self) -> None:
        raise NotImplementedError

    def _run(self, frame: Frame, every: list[Any], settings: list[Any], args: list[Any]) -> tuple[Any, Any]:
        """The result, as the frames around see it, and what the rules will need."""
        raise NotImplementedError

    def _held(self, arg: Any) -> Any:
        """What the rule needs of an argument."""
        return arg

    def _record(self, frame: Frame, args: list[Any], out: Any, call: Any) -> Any:
        """Write one entry for the frame, and join its outputs with what was computed for the frames around."""
        scope = frame.tape.scope(frame.bit)
        edges = []
        for key, a in enumerate(args):
            container = tree.is_node(a)
            leaves = tree.leaves(a)
            for k, x in enumerate(leaves):
                if isinstance(x, Tracer) and x._scope.mask & frame.bit:
                    edges.append((key, k, len(leaves) * container, x._index, frame.bit, x._spec))
        self.definition.require(dict.fromkeys([edge[0] for edge in edges]))
        leaves, structure = tree.flatten(out)
        values = [plain(leaf) for leaf in leaves]
        specs = [spec_of(v) if _is_plain(v) else float for v in values]  # of a word the rule gets 0
        indices = [next(scope.count) if is_inexact(v) else None for v in values]
        several = tree.is_node(out)
        if any(i is not None for i in indices):
            index = next(scope.count) if several else indices[0]
            spec = None if several else specs[0]
            outputs = (structure, tuple(zip(indices, specs))) if several else None
            y = structure.unflatten(values if scope.complete else [placeholder(v) for v in values])
            held = tuple([self._held(lower(frame, a)) for a in args])
            scope.record((index, frame.bit, self.number, spec, y, held, {"_call": call}, tuple(edges), outputs))
            for position, i in enumerate(indices):
                if several and i is not None:
                    scope.record((i, frame.bit, PICK, specs[position], index, position, len(values)))
        made = []
        for leaf, value, i, spec in zip(leaves, values, indices, specs):
            x = leaf if i is None else tracer(value, i, scope, spec)
            x = _joined(x, leaf) if i is not None and isinstance(leaf, Tracer) else x
            if i is not None:
                note_view(x, *[a for a in tree.leaves(args) if isinstance(a, Tracer)])
            made.append(x)
        return structure.unflatten(made)


def _body(*args: Any, _call: Any) -> Any:
    raise AssertionError("a custom function is recorded by hand")


class custom_vjp(_Custom[P, R]):
    """A function with a way back of your own, as in JAX.

        f = custom_vjp(f)
        f.defvjp(fwd, bwd)

    `fwd` has the arguments of `f` and returns `(result, residuals)`; `bwd(residuals, g)` returns a tuple with
    the cotangent of each argument, None for zero. Arguments in `nondiff_argnums` carry no derivative; `bwd`
    gets them first. What `fwd` computes is differentiated as it is written where that is asked for: by values
    closed over, and in higher derivatives. Forward mode transposes `bwd`, which must be linear in g then.

    >>> from tapegrad import grad
    >>> @custom_vjp
    ... def f(x):
    ...     return x * x
    >>> f.defvjp(lambda x: (x * x, x), lambda x, g: (10 * g * x,))
    >>> grad(f)(3.0)
    30.0
    """

    def __init__(self, fun: Callable[P, R], nondiff_argnums: int | Sequence[int] = ()) -> None:
        super().__init__(fun, nondiff_argnums, "custom_vjp")
        self.fwd: Any = None
        self.bwd: Any = None

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.nondiff), (self.fwd, self.bwd)

    def __setstate__(self, rules: Any) -> None:
        if rules[0] is not None:
            self.defvjp(*rules)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the rule: what to compute and to keep, and the way back."""
        for rule in (fwd, bwd):
            if not callable(rule):
                raise PrimitiveError(
                    f"{self.title}.defvjp got a {type(rule).__name__}",
                    "it takes two functions, fwd and bwd",
                    "write f.defvjp(fwd, bwd)",
                )
        self.fwd, self.bwd = fwd, bwd
        if self.definition.joint is None:
            self.definition.add(None, self._back)

    def _require(self) -> None:
        if self.fwd is None:
            raise _without_rule(self.title, "defvjp(fwd, bwd)")

    def _run(self, frame: Frame, every: list[Any], settings: list[Any], args: list[Any]) -> tuple[Any, Any]:
        pair = self.fwd(*every)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise OutputError(
                f"fwd of {self.title} did not return a pair",
                f"it returned {describe(pair)}",
                "return result, residuals",
            )
        out, residuals = pair
        inner = [f for f in frame.tape.frames if f.bit >= frame.bit]  # which will have ended when they are read
        return out, (settings, functools.reduce(lambda r, f: lower(f, r), inner, residuals))

    def _held(self, arg: Any) -> Any:
        return tree.map(placeholder, arg)  # there are residuals for the values

    def _back(self, g: Any, _y: Any, *args: Any, _call: Any) -> Any:
        settings, residuals = _call
        given = self.bwd(*settings, residuals, g)
        if not isinstance(given, (tuple, list)) or len(given) != len(args):
            what = f"{len(given)} cotangents" if isinstance(given, (tuple, list)) else describe(given)
            raise OutputError(
                f"bwd of {self.title} returned {what}",
                f"the number of arguments to differentiate by is {len(args)}",
                "return a tuple with a cotangent for each of them, None for zero",
            )
        return tuple(given)


class custom_jvp(_Custom[P, R]):
    """A function with a way forth of your own, as in JAX; the way back is its transpose.

        f = custom_jvp(f)

        @f.defjvp
        def f_jvp(primals, tangents):
            return result, tangent

    Arguments in `nondiff_argnums` carry no derivative; the rule gets them first.

    >>> from tapegrad import grad
    >>> @custom_jvp
    ... def f(x, y):
    ...     return x * y
    >>> f.defjvps(lambda t, ans, x, y: 10 * t * y, None)
    >>> grad(f, (0, 1))(3.0, 2.0)
    (20.0, 0.0)
    """

    def __init__(self, fun: Callable[P, R], nondiff_argnums: int | Sequence[int] = ()) -> None:
        super().__init__(fun, nondiff_argnums, "custom_jvp")
        self.jvp: Any = None

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.nondiff), (self.jvp,)

    def __setstate__(self, rules: Any) -> None:
        if rules[0] is not None:
            self.defjvp(*rules)

    def defjvp(self, jvp: F) -> F:
        """Give the rule: from primals and tangents, two tuples, to the result and its tangent."""
        if not callable(jvp):
            raise PrimitiveError(
                f"{self.title}.defjvp got a {type(jvp).__name__}",
                "it takes a function of primals and tangents",
                "put @f.defjvp above a def",
            )
        self.jvp = jvp
        if self.definition.forward_joint is None:
            self.definition.add_forward(None, self._forth)
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Give a rule for each argument: `jvp(t, ans, *primals)`, None where it has no derivative."""
        if self.nondiff:
            raise PrimitiveError(
                f"{self.title}.defjvps cannot go with nondiff_argnums",
                f"nondiff_argnums: {self.nondiff}",
                "give one rule with defjvp",
            )

        for rule in jvps:
            if rule is not None and not callable(rule):
                raise PrimitiveError(
                    f"{self.title}.defjvps got a {type(rule).__name__}",
                    "it takes a function for each argument, None where there is no derivative",
                    "write f.defjvps(lambda t, ans, x: ...)",
                )
        self.defjvp(functools.partial(self._by_argument, jvps))

    def _by_argument(self, jvps: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        if len(jvps) != len(primals):
            raise PrimitiveError(
                f"{self.title}.defjvps was given {len(jvps)} rules",
                f"the function has {len(primals)} arguments",
                "give one for each, None where there is no derivative",
            )
        ans = cast(Any, self)(*primals)
        parts = [rule(t, ans, *primals) for rule, t in zip(jvps, tangents) if rule is not None]
        total = functools.reduce(lambda a, b: tree.map(np.add, a, b), parts) if parts else zeros(ans)
        return ans, total

    def _require(self) -> None:
        if self.jvp is None:
            raise _without_rule(self.title, "defjvp")

    def _pair(self, settings: list[Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
        pair = self.jvp(*settings, tuple(primals), tuple(tangents))
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise OutputError(
                f"the rule of {self.title} did not return a pair",
                f"it returned {describe(pair)}",
                "return result, tangent",
            )
        out, tangent = pair
        if tree.structure(out) != tree.structure(tangent):
            raise TangentError(
                f"the rule of {self.title} returned a tangent of another structure than its result",
                f"result {tree.structure(out)}, tangent {tree.structure(tangent)}",
                "return a tangent for each leaf of the result",
            )
        return out, tangent

    def _run(self, frame: Frame, every: list[Any], settings: list[Any], args: list[Any]) -> tuple[Any, Any]:
        with np.errstate(all="ignore"):  # of a tangent that nobody will see
            return self._pair(settings, args, [zeros(a) for a in args])[0], settings

    def _forth(self, tangents: Any, _y: Any, *args: Any, _call: Any) -> Any:
        tangent = self._pair(_call, args, tangents)[1]
        return tuple(tree.leaves(tangent)) if tree.is_node(tangent) else tangent


def _without_rule(title: str, how: str) -> MissingRuleError:
    return MissingRuleError(
        f"{title} has no rule yet", "it was called with a traced value", f"give it one with f.{how}"
    )


__all__ = ["checkpoint", "custom_jvp", "custom_vjp", "remat"]
