"""The border of a frame: leaves go in as tracers, values come out lowered to the frames around."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from .. import tree
from ..errors import CotangentError, EscapedTracerError, MutationError, TreeError
from ..frame import Frame
from ..guard import SMALL, duplicate
from ..lines import recorded_at
from ..tape import Entry, escaped
from ..tracer import FUNCTIONS, Blank, Spec, Tracer, alias, dtype_of, is_inexact, plain, shape_of, spec_of, tracer
from .forms import DEFINITIONS, INPUT, NAMES, UNFOLD, VIEW
from .inputs import as_float, describe, path_of, refused
from .partial import Partial, filled
from .rules import Key


def enter(
    frame: Frame, leaves: Sequence[Any], argument: Any, k: int, indices: list[int], fun: Any = None
) -> list[Tracer]:
    """Tracers of this frame for the leaves of argument number `k`; their indices go to the end of `indices`.

    An error calls a leaf by the name that `fun` has for the argument.
    """
    scope = frame.scope
    count, complete = scope.count, scope.complete
    entered: list[Tracer] = []
    for leaf in leaves:
        kind = type(leaf)
        if kind is _ndarray and leaf.dtype.kind in "fc":
            spec: Any = leaf.shape, leaf.dtype
            # most of what comes is small and in one piece, and needs no call
            leaf = leaf.copy("K") if leaf.nbytes <= SMALL and leaf.flags.forc else scope.tape.enter(leaf)
        elif kind is float:
            spec = float
        elif kind is int:
            leaf, spec = as_float(leaf), float
        elif isinstance(leaf, Tracer) and type(leaf) is not Blank:
            entered.append(again := _enter_again(frame, leaf, argument, k, fun))
            indices.append(again._index)
            continue
        elif kind is Blank:
            leaf = leaf._value.copy()
            spec = leaf.shape, leaf.dtype
        elif kind is complex or (isinstance(leaf, np.generic) and is_inexact(leaf)):
            spec = spec_of(leaf)
        else:
            raise refused(leaf, frame.name, *path_of(argument, k, len(entered), fun))
        made = Tracer() if not complete else tracer(None, 0, scope, spec)
        made._value = leaf
        made._index = i = next(count)
        made._scope = scope
        made._spec = spec
        entered.append(made)
        indices.append(i)
    return entered


def _enter_again(frame: Frame, leaf: Tracer, argument: Any, k: int, fun: Any) -> Tracer:
    """A tracer of this frame for a value that frames around it trace."""
    outside = leaf._scope
    if outside.ended is not None:
        raise escaped(outside.ended)
    if outside.tape is not frame.tape:
        raise EscapedTracerError(
            f"{frame.name} got a traced value of another thread or task",
            f"{path_of(argument, k, [x is leaf for x in tree.leaves(argument)].index(True), fun)[0]} is {leaf!r}",
            "differentiate within one thread, or pass tapegrad.stop_gradient(x)",
        )
    scope = frame.tape.scope(outside.mask | frame.bit)
    index = next(scope.count)
    outside.record((index, outside.mask, INPUT, leaf._spec, leaf._index))
    return tracer(leaf._value, index, scope, leaf._spec)


def lower(frame: Frame, value: Any, apart: bool = False) -> Any:
    """A value that leaves the frame, as the frames around it see it: a tracer of theirs, or plain.

    Where the tape lives on, what is plain is to be an array `apart` from those that the tape holds; what cannot be
    written to, such as an argument that is locked, always is.
    """
    if isinstance(value, Tracer):
        scope = value._scope
        if scope.ended is not None:
            raise escaped(scope.ended)
        if scope.tape is not frame.tape or not scope.mask & frame.bit:
            return value
        mask = scope.mask & ~frame.bit
        if mask:
            return tracer(value._value, value._index, scope.tape.scope(mask), value._spec)
        if type(value._value) is np.ndarray and (apart or not value._value.flags.writeable):
            return duplicate(value._value)
        return value._value
    if tree.is_node(value) and value is not None:
        leaves, structure = tree.flatten(value)
        return structure.unflatten([lower(frame, leaf, apart) for leaf in leaves]) if leaves else value
    return value


def seeds(name: str, cotangent: Any, structure: Any, outputs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """The cotangents of the outputs that depend on the inputs, by index, from what a caller passed.

    `structure` is that of the output, None of a leaf, and `outputs` has index and spec of each leaf.
    """
    given: Sequence[Any] = [cotangent]
    if structure is not None:
        given, passed = tree.flatten(cotangent)
        if passed != structure:
            raise TreeError(
                f"the pullback of {name} got a cotangent of another structure than its output",
                f"output {structure}, cotangent {passed}",
                "pass a cotangent for each leaf of the output, in the same containers",
            )
    for c, (index, spec) in zip(given, outputs):
        if dtype_of(spec).kind not in "fc":  # whatever one likes
            continue
        fitted = fit(c, spec)
        if fitted is None:
            raise CotangentError(
                f"the pullback of {name} got a cotangent of {describe(c)}",
                f"the output has shape {shape_of(spec)}, dtype {dtype_of(spec)}",
                "pass a plain array like the output, real if it is real",
            )
        if index is not None:
            yield index, fitted


def kept(frame: Frame, entries: Sequence[Entry]) -> Iterator[tuple[Any, Entry, Key]]:
    """Those of the caller's arrays that are locked and that the entries hold, with the argument that each is."""
    locked = {} if frame.tape.guard is None else frame.tape.guard.arrays
    for e in entries if locked else ():
        if e[2] in UNFOLD:
            arguments: Any = e[4].call
        elif DEFINITIONS[e[2]] is None:
            continue
        else:
            arguments = VIEW[e[2]](e)[1:3]
        for key, held in (*enumerate(arguments[0]), *arguments[1].items()):
            for a in map(plain, tree.leaves(held)):
                if id(a) in locked:
                    yield a, e, key


def check_unchanged(frame: Frame, entries: Sequence[Entry]) -> None:
    """Raise if one of the caller's arrays that the entries hold has changed since it was recorded."""
    guard = frame.tape.guard
    if guard is None or not guard.arrays or frame.outer:
        return  # the outermost frame will look
    changed = [id(a) for a in guard.changed()]
    for a, e, key in kept(frame, entries) if changed else ():
        if id(a) in changed:
            raise has_changed(frame, a, e, key)


def has_changed(frame: Frame, a: Any, e: Entry, key: Key) -> MutationError:
    definition = DEFINITIONS[e[2]]
    argument = repr(key) if definition is None else repr(definition.word(key))
    return MutationError(
        f"argument {argument} of {NAMES[e[2]]} has changed since it was recorded",
        f"an array of {describe(a)}, which {frame.name} needs as it was{recorded_at(frame.tape, e[0])}",
        "change a copy of it, or compute the derivative before",
    )


def fit(t: Any, spec: Spec) -> Any:
    """The tangent or cotangent that a caller passed, as one of a value of this spec; None if it does not fit."""
    if type(t) is Blank:
        t = t._value.copy()  # a constant
    if isinstance(t, Tracer):
        if t._scope.ended is not None:
            raise escaped(t._scope.ended)
        given = t._spec
    elif type(t) is np.ndarray or isinstance(t, (np.generic, int, float, complex)):
        given = spec_of(t)
    else:
        return None
    if isinstance(t, Tracer):
        t = alias(t)
    if given == spec:
        return t
    want = dtype_of(spec)
    if shape_of(given) != shape_of(spec) or dtype_of(given).kind not in "fiub" + want.kind:
        return None
    if isinstance(t, Tracer):
        return t if isinstance(spec, type) else t.astype(want)
    return spec(t) if isinstance(spec, type) else np.asarray(t, want)[()]


def zeros(leaf: Any) -> Any:
    """The cotangent of a leaf that nothing depends on."""
    value = leaf._value if isinstance(leaf, Tracer) else leaf
    if type(value) is np.ndarray:
        return np.zeros(value.shape, value.dtype)
    return 0.0 if type(value) is int else type(value)(0)


def finish(leaf: Any, g: Any) -> Any:
    """A cotangent as the caller gets it: of the leaf's own kind, in memory of its own."""
    if g is None:
        return zeros(leaf)
    kind = type(plain(leaf))
    if isinstance(g, Tracer):
        if kind is complex:
            return g.item() + 0j
        if kind is np.ndarray and type(g._value) is not np.ndarray:
            return FUNCTIONS[np.copy](g)  # an array of no axes
        return g.item() if kind in (float, int) and g._spec is not float else alias(g)
    if kind is np.ndarray:
        dtype = plain(leaf).dtype
        if type(g) is not np.ndarray or g.dtype != dtype:
            return np.array(g, dtype)
        return g.copy()  # `collect` takes those that nobody else holds
    if kind is int or kind is float:
        return g if type(g) is float else float(g)
    return g if type(g) is kind else kind(g)


def collect(leaves: Sequence[Any], indices: Sequence[int], cots: Any) -> list[Any]:
    """The cotangents of a frame's inputs, after a reading."""
    results = []
    for leaf, index in zip(leaves, indices):  # as many as leaves
        g, cots[index] = cots[index], None
        kind = type(g)
        if kind is Partial:
            g = filled(g)
            kind = type(g)
        if kind is not type(leaf) or (
            kind is not float
            and (
                kind is not _ndarray
                or getrefcount(g) > _ALONE
                or g.base is not None
                or g.dtype != leaf.dtype
                or not g.flags.writeable
            )
        ):
            g = finish(leaf, g)
        results.append(g)
    return results


def _calibrate() -> int:
    """How many references `collect` sees to an array that it alone holds."""
    if sys.implementation.name != "cpython":
        return -1
    cots: list[Any] = [np.empty(1)]
    g, cots[0] = cots[0], None
    return getrefcount(g)


_ndarray = np.ndarray
_ALONE = _calibrate()
