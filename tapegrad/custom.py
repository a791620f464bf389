"""Functions with a rule of their own, as in JAX: `custom_vjp` and `custom_jvp`.

The rule belongs to the innermost frame among the arguments; the frames around it see what the author's function
computes, as it is written.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from . import tree
from .arguments import check_argnums
from .errors import MissingRuleError, OutputError, PrimitiveError, RuleError, TangentError, TreeError
from .frame import Frame
from .guard import read_only
from .primitives.define import internal
from .primitives.definition import Definition
from .primitives.general import PICK, make_form
from .primitives.inputs import a_kind, describe, plain_form
from .primitives.recording import lower
from .primitives.rules import placeholder
from .primitives.transpose import turned, zeros
from .tape import Entry, Scope, union
from .tracer import Tracer, alias, is_inexact, plain, spec_of, tracer
from .transforms import Transform, check_computed
from .views import note

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@internal(elementwise=True)
def _joined(custom: Any, written: Any) -> Any:
    """The value of both: what goes back goes to the custom rule, and to what the value was made of."""
    return custom


_joined.defvjp("custom")(lambda g, _y, _custom, _written: g)
_joined.defvjp("written")(lambda g, _y, _custom, _written: g)


class _Custom(Transform[P, R]):
    """A function with a rule of its own for the innermost frame among its arguments."""

    def __init__(
        self,
        fun: Callable[P, R],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        kind = type(self).__name__
        super().__init__(fun, kind)
        nondiff = check_argnums(nondiff_argnums, kind, "nondiff_argnums")
        several = isinstance(nondiff_argnames, Iterable) and not isinstance(nondiff_argnames, str)
        names = nondiff_argnames if several else (nondiff_argnames,)
        self.nondiff = (*((nondiff,) if isinstance(nondiff, int) else nondiff), *map(self._position, names))
        self.definition = Definition(_body, self.title, ("_call",))
        self.definition.turn = turned
        self.definition.known = False
        self.number = make_form(self.definition)

    def _position(self, name: Any) -> int:
        """The position of a parameter."""
        try:
            parameters = [*inspect.signature(cast(Any, self.fun)).parameters]
        except ValueError:  # a built-in that does not tell
            parameters = []
        if name not in parameters:
            raise PrimitiveError(
                f"{self.title} was made with nondiff_argnames={name!r}",
                f"parameters: {', '.join(parameters) or 'unknown'}",
                "name one of them, or give their positions as nondiff_argnums",
            )
        return parameters.index(name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        traced = [leaf for leaf in tree.leaves((args, kwargs)) if isinstance(leaf, Tracer)]
        if not traced:
            return cast(R, self.fun(*args, **kwargs))
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
        frame = scope.frame()
        if frame.linear and isinstance(self, custom_jvp):  # a tangent in a rule, perhaps its own: what is written tells
            return cast(R, self.fun(*args, **kwargs))
        settings = [every[k] for k in nondiff]
        places = [k for k in range(n) if k not in nondiff]
        lowered = [tree.map(functools.partial(_lend, frame), a) for a in every]
        out, call = self._run(frame, lowered, settings, [lowered[k] for k in places])
        if any([isinstance(leaf, Tracer) and leaf._scope.mask >= 2 * frame.bit for leaf in tree.leaves(out)]):
            # it closes over a value of a frame within; the frames around that one see what is written
            return cast(R, self._run(frame, every, settings, [every[k] for k in places])[0])
        return cast(R, self._record(frame, [every[k] for k in places], out, call))

    def _positional(self, args: Any, kwargs: Any) -> list[Any]:
        """All arguments by position, as a rule gets them."""
        fun = cast(Any, self.fun)
        try:
            signature = None if isinstance(inspect.unwrap(fun), np.ufunc) else inspect.signature(fun)
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

    def _check_rule(self, rule: Any, word: str, count: int | None, parts: str) -> None:
        """Raise unless a rule can take so many arguments; None is any number."""
        try:
            signature = inspect.signature(rule)
        except (TypeError, ValueError):  # a built-in that does not tell
            return
        try:
            if count is not None:
                signature.bind(*range(count))
        except TypeError as error:
            raise RuleError(
                f"{word} of {self.title} does not fit: {error}",
                f"its parameters are {signature}, and it gets {count} arguments",
                f"take {parts}",
            ) from None

    def _count(self) -> int | None:
        """How many arguments a rule gets that gets all of them; None where the function does not tell."""
        fun = cast(Any, self.fun)
        try:
            found = [] if isinstance(inspect.unwrap(fun), np.ufunc) else [*inspect.signature(fun).parameters.values()]
        except (TypeError, ValueError):
            return None
        if not found or any(p.kind is p.VAR_POSITIONAL for p in found):
            return None
        return len([p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])

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
        frame.tape.custom = True
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
        memory = [a._value for a in tree.leaves(args) if isinstance(a, Tracer) and type(a._value) is np.ndarray]
        values = [_own(plain(leaf), memory) for leaf in leaves]
        for v in values:
            if is_inexact(v) and not _is_plain(v):
                raise OutputError(
                    f"{self.title} returned {a_kind(v)} for traced arguments",
                    "what carries a derivative is a number or an array of NumPy's own class",
                    f"return {plain_form(v, 'y') or 'a plain array'}",
                )
        specs = [spec_of(v) if _is_plain(v) else float for v in values]  # of a word the rule gets 0
        indices = [next(scope.count) if is_inexact(v) else None for v in values]
        several = tree.is_node(out)
        if any(i is not None for i in indices):
            index = next(scope.count) if several else indices[0]
            spec = None if several else specs[0]
            outputs = (structure, tuple(zip(indices, specs))) if several else None
            y = structure.unflatten(values if scope.complete else [placeholder(v) for v in values])
            held = tuple([self._held(lower(frame, _safe(a, scope))) for a in args])
            entries: list[Entry] = [
                (index, frame.bit, self.number, spec, y, held, {"_call": call}, tuple(edges), outputs)
            ]
            for position, i in enumerate(indices):
                if several and i is not None:
                    entries.append((i, frame.bit, PICK, specs[position], index, position, len(values)))
            scope.record_together(entries)
        made = []
        for leaf, value, i, spec in zip(leaves, values, indices, specs):
            x = leaf if i is None else tracer(value, i, scope, spec)
            x = _joined(x, leaf) if i is not None and isinstance(leaf, Tracer) else x
            if i is not None:
                for a in tree.leaves(args):
                    if isinstance(a, Tracer):
                        note(x, a, None)
            made.append(x)
        return structure.unflatten(made)


def _lend(frame: Frame, x: Any) -> Any:
    """An argument as the author's function gets it: of the tape's arrays a view that cannot be written to."""
    if not isinstance(x, Tracer):
        return x
    made = lower(frame, x)
    return alias(made) if isinstance(made, Tracer) else read_only(made) if type(made) is np.ndarray else made


def _safe(x: Any, scope: Scope) -> Any:
    """What can be kept for the rules, whatever is done to the caller's arrays and to traced ones."""
    return tree.map(
        lambda a: alias(a) if isinstance(a, Tracer) else scope.keep(a) if type(a) is np.ndarray else a, x
    )


def _own(value: Any, memory: list[Any]) -> Any:
    """A result that nobody else changes; one that shares memory with an argument is known as such."""
    if type(value) is not np.ndarray or any([np.may_share_memory(value, a) for a in memory]):
        return value
    return value.copy("K")


def _is_plain(x: Any) -> bool:
    return type(x) in (np.ndarray, np.memmap) or isinstance(x, (np.generic, int, float, complex))


def _body(*args: Any, _call: Any) -> Any:
    raise AssertionError("a custom function is recorded by hand")


class custom_vjp(_Custom[P, R]):
    """A function with a way back of your own, as in JAX.

        f = custom_vjp(f)
        f.defvjp(fwd, bwd)

    `fwd` has the arguments of `f` and returns `(result, residuals)`; `bwd(residuals, g)` returns a tuple with
    the cotangent of each argument, None for zero. Arguments in `nondiff_argnums` (or `nondiff_argnames`) carry
    no derivative; `bwd` gets them first. What `fwd` computes is differentiated as it is written where that is
    asked for: by values closed over, and in higher derivatives. Forward mode transposes `bwd`, which must be
    linear in g then.

    >>> from tapegrad import grad
    >>> @custom_vjp
    ... def f(x):
    ...     return x * x
    >>> f.defvjp(lambda x: (x * x, x), lambda x, g: (10 * g * x,))
    >>> grad(f)(3.0)
    30.0
    """

    fwd: Any = None
    bwd: Any = None

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
        self._check_rule(fwd, "fwd", self._count(), "the arguments of the function")
        self._check_rule(bwd, "bwd", len(self.nondiff) + 2, "the arguments without derivative, if any, residuals and g")
        self.fwd, self.bwd = fwd, bwd
        if self.definition.joint is None:
            self.definition.add(None, self._back)

    def _require(self) -> None:
        if self.fwd is None:
            raise _without_rule(self.title, "defvjp(fwd, bwd)")

    def _run(self, frame: Frame, every: list[Any], settings: list[Any], args: list[Any]) -> tuple[Any, Any]:
        out, residuals = _pair_of(self.fwd(*every), f"fwd of {self.title}", "return result, residuals")
        inner = [f for f in frame.tape.frames if f.bit >= frame.bit]  # which will have ended when they are read
        scope = frame.tape.scope(frame.bit)
        return out, functools.reduce(lambda r, f: lower(f, r), inner, _safe((settings, residuals), scope))

    def _held(self, arg: Any) -> Any:
        return tree.map(placeholder, arg)  # there are residuals for the values

    def _back(self, g: Any, _y: Any, *args: Any, _call: Any) -> Any:
        settings, residuals = _call
        given = self.bwd(*settings, residuals, g)
        if not isinstance(given, (tuple, list)) or len(given) != len(args):
            check_computed(given, f"bwd of {self.title}")
            what = f"{len(given)} cotangents" if isinstance(given, (tuple, list)) else describe(given)
            raise OutputError(
                f"bwd of {self.title} returned {what}",
                f"the number of arguments to differentiate by is {len(args)}",
                "return a tuple with a cotangent for each of them, None for zero",
            )
        return tuple([self._matched(k, c, a) for k, (c, a) in enumerate(zip(given, args))])

    def _matched(self, k: int, c: Any, arg: Any) -> Any:
        """The cotangent of an argument, for a container a list with one for each leaf; None may stand for any part."""
        if c is None or not tree.is_node(arg):
            return c
        parts, structure = tree.flatten(c, is_leaf=lambda part: part is None)
        try:
            of = structure.flatten_up_to(arg)
            if any([part is not None and tree.is_node(a) for part, a in zip(parts, of)]):
                raise TreeError("a leaf in the place of a container")
        except TreeError:
            raise TreeError(
                f"bwd of {self.title} returned a cotangent of another structure than argument {k}",
                f"argument {tree.structure(arg)}, cotangent {structure}",
                "return a cotangent for each leaf, in the same containers; None for zero",
            ) from None
        return [
            leaf for part, a in zip(parts, of) for leaf in ([None] * len(tree.leaves(a)) if part is None else [part])
        ]


class custom_jvp(_Custom[P, R]):
    """A function with a way forth of your own, as in JAX; the way back is its transpose.

        f = custom_jvp(f)

        @f.defjvp
        def f_jvp(primals, tangents):
            return result, tangent

    Arguments in `nondiff_argnums` (or `nondiff_argnames`) carry no derivative; the rule gets them first.

    >>> from tapegrad import grad
    >>> @custom_jvp
    ... def f(x, y):
    ...     return x * y
    >>> f.defjvps(lambda t, ans, x, y: 10 * t * y, None)
    >>> grad(f, (0, 1))(3.0, 2.0)
    (20.0, 0.0)
    """

    jvp: Any = None

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
        parts = "the arguments without derivative, if any, a tuple of primals and a tuple of tangents"
        self._check_rule(jvp, "the rule", len(self.nondiff) + 2, parts)
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
            if rule is not None and (count := self._count()) is not None:
                self._check_rule(rule, "a rule", count + 2, "t, ans and the arguments of the function")
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
        given = self.jvp(*settings, tuple(primals), tuple(tangents))
        out, tangent = _pair_of(given, f"the rule of {self.title}", "return result, tangent")
        if tree.structure(out) != tree.structure(tangent):
            raise TangentError(
                f"the rule of {self.title} returned a tangent of another structure than its result",
                f"result {tree.structure(out)}, tangent {tree.structure(tangent)}",
                "return a tangent for each leaf of the result",
            )
        for value, t in zip(tree.leaves(out), tree.leaves(tangent)):
            numeric = isinstance(t, Tracer) or _is_plain(t)
            if np.shape(value) != np.shape(t) or (is_inexact(plain(value)) and not numeric):
                raise TangentError(
                    f"the rule of {self.title} returned a tangent of {describe(t)}",
                    f"the result is of {describe(value)}",
                    "return a tangent like the result",
                )
        return out, tangent

    def _run(self, frame: Frame, every: list[Any], settings: list[Any], args: list[Any]) -> tuple[Any, Any]:
        with np.errstate(all="ignore"):  # of a tangent that nobody will see
            return self._pair(settings, args, [zeros(a) for a in args])[0], settings

    def _forth(self, tangents: Any, _y: Any, *args: Any, _call: Any) -> Any:
        tangent = self._pair(_call, args, tangents)[1]
        return tuple(tree.leaves(tangent)) if tree.is_node(tangent) else tangent


def _pair_of(given: Any, what: str, hint: str) -> tuple[Any, Any]:
    check_computed(given, what)
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        count = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
        raise OutputError(f"{what} did not return a pair", f"it returned {describe(given)}{count}", hint)
    return given[0], given[1]


def _without_rule(title: str, how: str) -> MissingRuleError:
    return MissingRuleError(
        f"{title} has no rule yet", "it was called with a traced value", f"give it one with f.{how}"
    )


__all__ = ["custom_jvp", "custom_vjp"]
