"""Linear maps at a point: the derivative that takes tangents forth, its transpose that takes cotangents back.

`Recording` is a function's tape at some arguments, to be read as often as one likes in either direction: `vjp` and
`linearize` hand out the two readings, Jacobians read once for each output or input, `trace` shows it to a person.
`jvp` records nothing: it reads each entry as it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Self

import numpy as np

from . import tree
from .arguments import Arguments, name_leaves, varies
from .errors import InputError, OutputError, TangentError, TreeError
from .frame import Frame
from .guard import fingerprint
from .primitives.cotangent import deposit
from .primitives.inputs import a_kind, describe, plain_form
from .primitives.notes import tell
from .primitives.recording import check_unchanged, collect, fit, has_changed, kept, lower, seeds
from .replay import backward, forward
from .replay.table import ReadableTape
from .tape import Entry, Index
from .tracer import Spec, Tracer, dtype_of, is_inexact, shape_of, spec_of
from .transforms import Transform, check_computed, check_function, split_aux

P = ParamSpec("P")


class Recording:
    """What a function did with its arguments: the tape of a frame that has ended, and where the outputs are on it.

    `value` is the function's result, with these `leaves`, and `aux` what came beside it; `outputs` has index (None
    where it does not depend on the arguments) and spec of each; `structure` is None if the result is a leaf itself.
    """

    def __init__(
        self,
        fun: Any,
        name: str,
        args: Sequence[Any],
        chosen: Sequence[int] | None = None,
        words: Any = None,
        has_aux: bool = False,
        complete: bool = False,
        valued: bool = True,
    ) -> None:
        self.aux: Any = None
        self.seals: list[tuple[Any, int, Entry, Any]] = []
        self.last: dict[int, int] | None = None  # writes, once they are looked for
        self.frame = frame = Frame(name, complete=complete)
        call = list(args)
        try:
            frame.open()
            self.arguments = Arguments(frame, call, tuple(range(len(call)) if chosen is None else chosen), fun)
            out = fun(*call, **(words or {}))
            del call
            if has_aux:
                out, aux = split_aux(out, name)
                self.aux = lower(frame, aux, apart=True)
            leaves, self.structure = take_apart(out)
            self.outputs = [_output(leaf, frame) for leaf in leaves]
            self.value = lower(frame, out, apart=valued)  # if it is not, nobody will see it
            self.leaves, _ = take_apart(self.value)  # whatever the caller does with its containers
            self.entries: list[Entry] = frame.close()
            check_unchanged(frame, self.entries)
        except BaseException:
            frame.leave()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.frame.leave()

    def seal(self) -> None:
        """Let go of the caller's arrays, but remember what was in them, for `check` to compare."""
        found: dict[int, Any] = {}
        for a, e, key in kept(self.frame, self.entries):
            found.setdefault(id(a), (a, e, key))
        self.seals = [(a, fingerprint(a), e, key) for a, e, key in found.values()]
        self.frame.leave()

    def check(self) -> None:
        """Raise if one of the caller's arrays has changed since the tape was handed out."""
        for a, before, e, key in self.seals:
            if fingerprint(a) != before:
                raise has_changed(self.frame, a, e, key)

    def back(self, cotangents: Sequence[tuple[int, Any]]) -> list[Any]:
        """The cotangents of the leaves of the arguments, from those of outputs by index."""
        cots = self.frame.cotangents()
        deposit(cots, cotangents)
        notes = backward.read(self.frame, self.entries.copy(), cots)
        made = collect(self.arguments.leaves, self.arguments.indices, cots)
        if notes:
            tell(notes, made, self.frame.name)
        return made

    def forth(self, tangents: dict[int, Any]) -> list[Any]:
        """The tangents of the leaves of the output, from those of the arguments by index, which it uses up."""
        if self.last is None:
            self.last = forward.last_writes(self.entries, self.outputs)
        notes = forward.read(self.frame, self.entries, tangents, self.last)
        made = {k: None if index is None else tangents.get(index) for k, (index, _) in enumerate(self.outputs)}
        tangents.clear()
        results = _collect_tangents(self.leaves, made)
        if notes:
            tell(notes, results, self.frame.name)
        return results


def take_apart(out: Any) -> tuple[list[Any], Any]:
    """The leaves of an output and its structure, which is None if it is a leaf itself."""
    return tree.flatten(out) if tree.is_node(out) else ([out], None)


def put_together(leaves: list[Any], structure: Any) -> Any:
    return leaves[0] if structure is None else structure.unflatten(leaves)


def _output(leaf: Any, frame: Frame) -> tuple[int | None, Spec]:
    if isinstance(leaf, Tracer):
        depends = leaf._scope.tape is frame.tape and leaf._scope.mask & frame.bit
        return (leaf._index if depends else None), leaf._spec
    if type(leaf) in (np.ndarray, np.memmap, int, bool, float, complex) or isinstance(leaf, np.generic):
        spec = spec_of(leaf)
        if dtype_of(spec).kind in "fciub":
            return None, spec
    check_computed(leaf, frame.name)
    what = describe(leaf) if isinstance(leaf, np.generic) or type(leaf) is np.ndarray else a_kind(leaf)
    raise OutputError(
        f"{frame.name} needs a function that returns numbers or arrays of them; this one returned {what}",
        "results may be numbers, arrays, and nests of these (list, tuple, dict, None, registered classes)",
        f"return {instead}, and extras with has_aux=True"
        if (instead := plain_form(leaf, "y"))
        else "return extras with has_aux=True",
    )


def _collect_tangents(leaves: Sequence[Any], tangents: dict[int, Any]) -> list[Any]:
    """The tangents of outputs as the caller gets them: like these, zeros where there are none, floats of integers."""
    like = [
        leaf if isinstance(leaf, Tracer) or is_inexact(leaf) else np.zeros(leaf.shape) if np.ndim(leaf) else 0.0
        for leaf in leaves
    ]
    return collect(like, range(len(like)), tangents)


def fit_tangents(name: str, tangents: Sequence[Any], arguments: Arguments) -> dict[int, Any]:
    """The tangents that a caller passed, by the indices of the leaves that they belong to; raises unless they fit."""
    if len(tangents) != len(arguments.chosen):
        raise TangentError(
            f"{name} got {len(tangents)} tangent{'s' * (len(tangents) != 1)}",
            f"the number of arguments to differentiate by is {len(arguments.chosen)}",
            "pass a tangent for each of them",
        )
    found: dict[int, Any] = {}
    rest = zip(arguments.indices, arguments.leaves)
    for number, structure, tangent in zip(arguments.chosen, arguments.structures, tangents):
        leaves, passed = take_apart(tangent)
        if passed != structure:
            raise TreeError(
                f"{name} got a tangent of another structure than argument {number}",
                f"argument {structure or describe(next(rest)[1])}, tangent {passed or describe(tangent)}",
                "pass a tangent for each leaf of the argument, in the same containers",
            )
        for j, (t, (index, leaf)) in enumerate(zip(leaves, rest)):
            spec = entered_spec(leaf)
            found[index] = fitted = fit(t, spec)
            if fitted is None:
                path = tree.keystr(tree.leaves_with_path(tangent)[j][0])
                raise TangentError(
                    f"{name} got a tangent for argument {number}{path} of {describe(t)}",
                    f"the argument has shape {shape_of(spec)}, dtype {dtype_of(spec)}",
                    "pass a plain array of its shape, real if it is real",
                )
    return found


def entered_spec(leaf: Any) -> Spec:
    """The spec of a leaf of an argument, once it is traced: integers of Python are floats."""
    return leaf._spec if isinstance(leaf, Tracer) else float if type(leaf) is int else spec_of(leaf)


class _Map:
    """A linear map that a transform hands out."""

    kind = ""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.recording.frame.name}>"


class _Pullback(_Map):
    """From the cotangent of an output to those of the inputs, as often as one likes."""

    kind = "pullback"

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        of = self.recording
        of.check()
        return tuple(of.arguments.shape(of.back([*seeds(of.frame.name, cotangent, of.structure, of.outputs)])))


class _LinearMap(_Map):
    """From the tangents of the inputs to that of an output, as often as one likes."""

    kind = "linear map"

    def __call__(self, *tangents: Any) -> Any:
        of = self.recording
        of.check()
        return put_together(of.forth(fit_tangents(of.frame.name, tangents, of.arguments)), of.structure)

    @property
    def transpose(self) -> _Pullback:
        """The linear map from cotangents to cotangents, from the same tape."""
        return _Pullback(self.recording)


def _name(kind: str, fun: Any) -> str:
    check_function(fun, kind)
    return f"{kind}({getattr(fun, '__name__', type(fun).__name__)})"


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun(*primals)`, and the function that takes a cotangent of it back to the primals.

    Args:
        fun: returns an array, a number, or a nest of these.
        primals: arrays, floats, or nests of these. Keyword arguments belong into a lambda.
        has_aux: `fun` returns a pair `(value, aux)`.

    Returns:
        `(value, pullback)`, with `has_aux` `(value, pullback, aux)`. `pullback(g)` takes `g` of the
        structure, shapes and dtypes of the value, and gives a tuple with one cotangent for each primal. It
        may be called again, later, and inside other transforms.

    Raises:
        CotangentError, TreeError: from the pullback, by a cotangent unlike the value.

    >>> value, pullback = vjp(lambda x, y: x * y, 3.0, 4.0)
    >>> value, pullback(1.0)
    (12.0, (4.0, 3.0))
    """
    of = Recording(fun, _name("vjp", fun), primals, has_aux=has_aux)
    of.seal()
    pullback = _Pullback(of)
    return (of.value, pullback, of.aux) if has_aux else (of.value, pullback)


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun(*primals)`, and its derivative there as a linear function of tangents.

    Args:
        fun: returns an array, a number, or a nest of these.
        primals: arrays, floats, or nests of these. Keyword arguments belong into a lambda.
        has_aux: `fun` returns a pair `(value, aux)`.

    Returns:
        `(value, f_jvp)`, with `has_aux` `(value, f_jvp, aux)`. `f_jvp(*tangents)` takes a tangent for each
        primal, of its structure and shapes, and gives the tangent of the value. It does not call `fun`
        again, and may be called later, often, and inside other transforms.

    Raises:
        TangentError, TreeError: from the linear map, by tangents unlike the primals.

    >>> value, f_jvp = linearize(lambda x, y: x * y, 3.0, 4.0)
    >>> value, f_jvp(1.0, 0.0), f_jvp(0.0, 1.0)
    (12.0, 4.0, 3.0)
    """
    of = Recording(fun, _name("linearize", fun), primals, has_aux=has_aux)
    of.seal()
    f_jvp = _LinearMap(of)
    return (of.value, f_jvp, of.aux) if has_aux else (of.value, f_jvp)


def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of `fun(*primals)`, and its derivative along the tangents, computed together.

    It needs memory for the values in use, not for all steps of `fun`.

    Args:
        fun: returns an array, a number, or a nest of these.
        primals: a tuple or list of the arguments: arrays, floats, or nests of these.
        tangents: a tuple or list with a tangent for each of them, of its structure and shapes.
        has_aux: `fun` returns a pair `(value, aux)`.

    Returns:
        `(value, tangent)`, with `has_aux` `(value, tangent, aux)`; the tangent is like the value.

    Raises:
        TangentError, TreeError: tangents unlike the primals.

    >>> jvp(lambda x, y: x * y, (3.0, 4.0), (1.0, 10.0))
    (12.0, 34.0)
    """
    name = _name("jvp", fun)
    for given in (primals, tangents):
        if not isinstance(given, (tuple, list)):
            raise InputError(
                f"{name} takes its primals and its tangents as tuples, and got a {type(given).__name__}",
                "a tuple has one of them for each argument of the function",
                "write jvp(f, (x,), (v,))",
            )
    aux: Any = None
    frame = Frame(name, watches=forward.watching)
    try:
        frame.open()
        call, slot = list(primals), Index.slot(frame.bit)
        arguments = Arguments(frame, call, tuple(range(len(call))), fun)
        for index, t in fit_tangents(name, tangents, arguments).items():
            setattr(index, slot, frame.tape.keep(t) if type(t) is np.ndarray else t)
        out = fun(*call)
        del call, arguments
        if has_aux:
            out, aux = split_aux(out, name)
            aux = lower(frame, aux, apart=True)
        value = lower(frame, out, apart=True)  # which finds what has ended
        leaves, structure = take_apart(out)
        ends = [_output(leaf, frame)[0] for leaf in leaves]
        found = {k: None if at is None else getattr(at, slot) for k, at in enumerate(ends)}
        for at in ends:
            if at is not None:
                setattr(at, slot, None)
        leaves = take_apart(value)[0]
        del out
        made = _collect_tangents(leaves, found)
        entries = frame.close()
        check_unchanged(frame, entries)
    finally:
        frame.leave()
    if frame.notes:
        tell(frame.notes, made, name)
    tangent = put_together(made, structure)
    return (value, tangent, aux) if has_aux else (value, tangent)


class _Trace(Transform[P, Any]):
    def __init__(self, fun: Callable[P, Any]) -> None:
        super().__init__(fun, "trace")

    def __reduce__(self) -> Any:
        return type(self), (self.fun,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ReadableTape:
        chosen = [k for k, a in enumerate(args) if varies(a)]
        if not chosen:
            chosen = [k for k, a in enumerate(args) if type(a) is int]
        of = Recording(self.fun, self.title, args, chosen, kwargs, complete=True)
        of.seal()
        names = name_leaves(self.fun, args, of.arguments)
        return ReadableTape(of.frame, of.entries, of.arguments, names, of.structure, of.outputs, of.value)


def trace(fun: Callable[P, Any]) -> Callable[P, ReadableTape]:
    """What a call of `fun` writes on the tape, complete: every value, every entry.

    Args:
        fun: any function of numbers and arrays. Arguments that hold floats are traced; if there are none,
            integers are, as floats.

    Returns:
        A function with the arguments of `fun` that gives the tape. `print(tape)` is a table,
        `tape.backward()` adds the cotangents, `tape.steps()` walks the backward reading entry by entry.

    >>> tape = trace(lambda x, y: x * y + x)(2.0, 3.0)
    >>> tape.backward()
    (4.0, 2.0)
    >>> print(tape)
     #  operation  inputs  type   value  cotangent
    %0  x                  float  2.0    4.0
    %1  y                  float  3.0    2.0
    %2  multiply   %0, %1  float  6.0    1.0
    %3  add        %2, %0  float  8.0    1.0
    """
    return _Trace(fun)


__all__ = ["jvp", "linearize", "trace", "vjp"]
