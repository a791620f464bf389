"""A linear function the other way round: from the rule that goes back the one that goes forth, and vice versa.

A rule that takes a cotangent back is a linear function of it. Its transpose takes a tangent forth: the rule is
recorded with a zero in the place of the cotangent, and what was recorded is read backward from the tangent.
That is right only if everything that the cotangent enters is linear in it, which is looked up entry by entry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import tree
from ..errors import ConversionError, MissingRuleError, TangentError
from ..frame import Frame
from ..replay.backward import read
from ..tracer import NotLinear, Spec, Tracer, is_inexact, spec_of, tracer
from .cotangent import deposit, stretch, zero
from .definition import Definition
from .forms import DEFINITIONS, VIEW
from .general import apply_all, apply_rule, leaves_of
from .notes import tell
from .partial import Partial, filled
from .rules import Key, Placeholder


def transpose(function: Callable[..., Any], specs: Sequence[Spec], cotangents: Sequence[Any], what: str) -> list[Any]:
    """The transpose of a linear function, applied to the cotangents of its results.

    Args:
        function: takes a value for each of `specs`, and gives a list with a result for each of `cotangents`;
            None for 0.
        specs: those of the arguments.
        cotangents: of the spec of the results; None for 0.
        what: the function in a message.

    Returns:
        A cotangent for each argument, None for 0.

    Raises:
        NotLinear: something that the arguments entered is not linear in them.
    """
    frame = Frame(what, linear=True)
    try:
        frame.open()
        arguments = [tracer(zero(spec), next(frame.scope.count), frame.scope, spec) for spec in specs]
        indices = [a._index for a in arguments]  # which operators in place change
        with np.errstate(all="ignore"):
            results = function(*arguments)
        seeds = []
        for r, c in zip(results, cotangents):
            if type(r) is Partial:
                r, c = r.value, None if c is None else np.where(r.support, filled(c), 0)
            if isinstance(r, Tracer) and r._scope.mask & frame.bit:
                seeds.append((r._index, c))
            elif r is not None and np.any(np.nan_to_num(r._value if isinstance(r, Tracer) else r)):
                raise NotLinear("a constant that is not 0")
    except ConversionError as error:
        raise NotLinear(str(error).partition("\n")[0]) from error
    finally:
        entries = [e for e in frame.close() if e[1] & frame.bit]
    for e in entries:
        _check(e, frame.bit)
    cots = frame.cotangents()
    deposit(cots, seeds)
    notes = read(frame, entries, cots)
    results = [filled(cots[index]) for index in indices]
    if notes:
        tell(notes, results, what)  # the reading that this is a part of
    return results


def _check(e: Any, bit: int) -> None:
    """Raise unless an entry is linear in its values of this frame: its kind is, and it gave 0 (or nan) of them."""
    definition = DEFINITIONS[e[2]]
    if definition is None:
        return
    y, args, kwargs, edges, _ = VIEW[e[2]](e)
    keys = {edge[0] for edge in edges if edge[4] & bit}
    if not (definition.is_linear(keys) or definition.is_affine(keys) or _is_affine(definition, keys, y, args, kwargs)):
        raise NotLinear(definition.name)
    for part in tree.leaves(y):
        if np.any((part != 0) & (part == part)):
            raise NotLinear(f"{definition.name} with a constant that is not 0")


def _is_affine(definition: Definition, keys: set[Key], y: Any, args: Any, kwargs: Any) -> bool:
    """Whether what a rule for all arguments gives for these depends neither on them nor on the answer: it is tried."""
    if definition.joint is None:
        return False
    frame = Frame(definition.name, linear=True)

    def enter(value: Any) -> Any:
        return tracer(value, next(frame.scope.count), frame.scope, spec_of(value)) if is_inexact(value) else value

    try:
        frame.open()
        traced = [tree.map(enter, a) if k in keys else a for k, a in enumerate(args)]
        options = {k: tree.map(enter, a) if k in keys else a for k, a in kwargs.items()}
        given = apply_all(definition, zeros(y), tree.map(enter, y), tuple(traced), options)
        results = tree.leaves([given[key] for key in keys])
        return not any([isinstance(r, Tracer) and r._scope.mask & frame.bit for r in results])
    except (NotLinear, ConversionError):  # it looks at their values
        return False
    finally:
        frame.close()


def not_linear(name: str, error: NotLinear, has: str, wants: str) -> MissingRuleError:
    """The error for a primitive whose rule cannot be turned round."""
    return MissingRuleError(
        f"{name} has no {wants} rule, and its {has} rule cannot be turned round: {error} is not linear",
        "what the first argument of a rule enters must be linear in it for that",
        f"add the other rule with @{name}.{wants}"
        if "(" not in name
        else "add the other rule: make it a tapegrad.primitive, which takes both",
    )


def spec_in_rule(x: Any) -> Spec:
    """The spec of what a rule gets: a plain value, a traced one, or a placeholder."""
    if isinstance(x, Tracer):
        return x._spec
    return (x.shape, x.dtype) if type(x) is Placeholder else spec_of(x)


def carries(x: Any) -> bool:
    """Whether what a rule gets can carry a derivative."""
    return isinstance(x, Tracer) or (type(x) is Placeholder and x.dtype.kind in "fc") or is_inexact(x)


def zeros(x: Any) -> Any:
    """The zero tangent of an argument, a nest included; of what carries no derivative, too."""
    if tree.is_node(x):
        return tree.map(zeros, x)
    return zero(spec_in_rule(x)) if carries(x) else np.zeros(np.shape(x))[()]


def turned(definition: Definition, key: Key) -> Callable[..., Any]:
    """The rule that goes back through an argument, made from the one that goes forth."""

    def rule(g: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        held: dict[Key, Any] = dict(enumerate(args)) | kwargs
        leaves, structure = tree.flatten(held[key])
        places = [k for k, leaf in enumerate(leaves) if carries(leaf)]
        outputs = leaves_of(g, len(tree.leaves(y)), definition.name, key) if tree.is_node(y) else [g]

        def forth(*traced: Any) -> list[Any]:
            parts = [zeros(leaf) for leaf in leaves]
            for k, t in zip(places, traced):
                parts[k] = t
            t = apply_forward(definition, {key: structure.unflatten(parts)}, y, args, kwargs)
            ts = tangents_of(t, y, len(outputs), definition.name)
            given = zip(ts, outputs, strict=True)
            return [None if g is None else stretch(t, spec_in_rule(g), definition.name) for t, g in given]

        try:
            back = transpose(forth, [spec_in_rule(leaves[k]) for k in places], outputs, f"{definition.name}.defvjp")
        except NotLinear as error:
            raise not_linear(definition.name, error, "defjvp", "defvjp") from None
        except RecursionError:
            raise MissingRuleError(
                f"{definition.name} has no defvjp rule, and its defjvp rule is written in {definition.name} itself",
                "the way back through it would be needed to find the way back through it",
                f"add the other rule with @{definition.name}.defvjp",
            ) from None
        made = [None] * len(leaves)
        for k, c in zip(places, back):
            made[k] = c
        return structure.unflatten(made)

    return rule


def apply_forward(definition: Definition, tangents: dict[Key, Any], y: Any, args: Any, kwargs: Any) -> Any:
    """What the author's forward rules give for tangents of some arguments, all of which have one."""
    if definition.forward_joint is not None:
        held: dict[Key, Any] = dict(enumerate(args)) | kwargs
        every = tuple([tangents[k] if k in tangents else zeros(held[k]) for k in held if k not in definition.nondiff])
        return apply_rule(definition.forward_joint.call, every, y, args, kwargs)
    parts = [apply_rule(definition.forward_rules[k].call, t, y, args, kwargs) for k, t in tangents.items()]
    return functools.reduce(added, parts)


def tangents_of(t: Any, y: Any, n: int, name: str) -> list[Any]:
    """The tangents of the outputs of a call, from what a rule gave for its answer."""
    if not tree.is_node(y):
        if t is not None and tree.is_node(t):
            raise TangentError(
                f"the rule of {name} gave a {type(t).__name__} as a tangent",
                "the answer is one number or array",
                "return its tangent alone, or None where there is no derivative",
            )
        return [t]
    ts = [None] * n if t is None else tree.leaves(t, is_leaf=lambda part: part is None)
    if len(ts) != n:
        raise TangentError(
            f"the rule of {name} gave {len(ts)} tangents",
            f"the answer has {n} parts",
            "return a tangent for each part of the answer, None where there is no derivative",
        )
    return ts


def added(a: Any, b: Any) -> Any:
    """The sum of two tangents of an answer, output by output if it has several; None is 0."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, (tuple, list)):
        return tuple([added(x, y) for x, y in zip(a, b, strict=True)])
    return a + b
