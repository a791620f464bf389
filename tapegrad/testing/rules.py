"""A primitive checked with its rules: every way of calling it, and what its rules must not do.

Derivatives are compared as `check_grads` compares them. Besides, the functions that the author wrote are called by
themselves, with plain arrays: they may change none of these, and must be linear in the cotangent.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import tree
from ..custom import custom_jvp, custom_vjp
from ..errors import GradientCheckError, TapegradError
from ..linear import vjp
from ..tracer import is_inexact
from ..transforms import grad
from .calls import Call, broadcast, copied, sized, ways
from .differences import compare

_DTYPES = np.float64, np.float32, np.complex128
_NEW = "return a new array: numpy.multiply(g, x) in place of g *= x, and no buffer that is used again"


def check_rule(
    fun: Callable[..., Any], *args: Any, kwargs: dict[str, Any] | None = None, order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"), dtypes: Sequence[Any] = _DTYPES,
    atol: float | None = None, rtol: float | None = None, eps: float | None = None,
) -> None:  # fmt: skip
    """Check a primitive and its rules at these arguments: an error unless all is right, whichever way it is called.

    - The derivatives agree with finite differences as in `check_grads`: with all arguments traced that have a rule,
      and each alone; by position, by keyword, with defaults left out; as Python numbers; in each of the dtypes.
    - So they do for no elements, for a single number, and for other shapes that broadcast together, where `fun` takes
      these (broadcasting is looked for where the arguments given broadcast to the shape of the answer).
    - Body and rules change no argument, answer or cotangent, and give the same when they are called again, in an
      array that stays what it is.
    - A rule is linear: it gives 2 r(g) + r(h) for 2 g + h.

    Args:
        fun: what `primitive`, `custom_vjp` or `custom_jvp` made.
        args: arguments of `fun`, away from kinks. What has no rule is held.
        kwargs: keyword arguments; those with a rule are differentiated by, too.
        order, modes, atol, rtol, eps: as for `check_grads`. With "rev" alone a rule need not be linear.
        dtypes: those that `fun` means to take; one that it refuses for these arguments is left out.

    Raises:
        GradientCheckError: an AssertionError that tells the way of calling, what came and what was expected.
        InputError: `fun` is no primitive, or no argument has a rule.

    >>> from tapegrad import primitive
    >>> @primitive
    ... def scale(x, z):
    ...     return x * z
    >>> _ = scale.defvjp(lambda g, _y, x, z: (g * z, g * x))
    >>> check_rule(scale, np.ones(3), np.arange(3.0))
    Traceback (most recent call last):
        ...
    tapegrad.errors.GradientCheckError: scale with x of shape (2, 2), z of shape (2,): the rule of scale for ...
      the argument is an array of shape (2,), dtype float64
      hint: if the argument was broadcast, return unbroadcast(cotangent, argument)
    """
    call = Call(fun, args, kwargs or {})
    options = (modes,) if isinstance(modes, str) else modes, atol, rtol, eps
    _check_body(call)
    _check_written(call, "fwd" in modes)
    _check(call, f"with {', '.join(map(call.word, call.keys))} traced", order, *options)
    if "rev" in modes:
        _check_grad(call)
    for key in call.keys if len(call.keys) > 1 else []:
        _check(call.like(keys=[key]), f"with {call.word(key)} alone traced", order, *options)
    for way, other in ways(call):
        _check(other, way, 1, *options)
    for dtype in map(np.dtype, dtypes):
        other = call.cast(dtype)
        if other.accepts():
            _check(other, f"in {dtype}", 1, *options, hint=f"; let the body refuse {dtype}, or leave it out of dtypes")
    for way, other in itertools.chain(broadcast(call), sized(call)):
        if other.accepts():
            _check(other, way, 1, *options)


def _check(call: Call, way: str, order: int, modes: Sequence[str], *tolerances: Any, hint: str = "") -> None:
    """Compare the derivatives with finite differences."""
    leaves = [(call.word(k), path) for k in call.keys for path, _ in tree.leaves_with_path(call.values[k])]
    names = [f"{word}{tree.keystr(path)}" for word, path in leaves]
    try:
        compare(f"{call.name} {way}", call.run, call.given, names, order, modes, *tolerances)
    except TapegradError as error:
        what, there, fix = [*str(error).split("\n  "), "", ""][:3]
        if not isinstance(error, GradientCheckError):
            what = f"{call.name} {way}: {what}"
        raise GradientCheckError(what, there, fix.removeprefix("hint: ") + hint) from error
    except Exception as error:
        shapes = [(call.word(k), [np.shape(leaf) for leaf in tree.leaves(v)]) for k, v in call.values.items()]
        there = ", ".join(f"{word} {', '.join(map(str, found))}" for word, found in shapes)
        what = f"{way}: {type(error).__name__}: {error}"
        call.fail(what, f"shapes: {there}", "see where it raises" + hint, error)


def _check_grad(call: Call) -> None:
    """Inside `grad` the same comes as from `vjp`."""
    cots = _like(call.run(*call.given), 0)

    def weighted(*xs: Any) -> Any:
        pairs = zip(tree.leaves(call.run(*xs)), tree.leaves(cots), strict=True)
        return sum([np.sum(np.real(leaf * c)) for leaf, c in pairs if is_inexact(c)], 0.0)

    made = grad(weighted, tuple(range(len(call.keys))))(*call.given)
    pulled = vjp(call.run, *call.given)[1](cots)
    call.same(made, pulled, "inside grad: another derivative, at ", "by vjp", _NEW, close=True)


def _check_body(call: Call) -> None:
    """The body changes no argument, and the answer stays what it is."""
    before = copied(call.values)
    first = call.run(*[call.values[k] for k in call.keys])
    kept = copied(first)
    for key, now in call.values.items():
        call.same(now, before[key], f"called: its body changes {call.word(key)}", "before", _NEW)
    call.like(lambda leaf: leaf * 0.75).accepts()
    call.same(first, kept, "called again: that changes its first answer", "before", _NEW)


def _check_written(call: Call, linear: bool) -> None:
    """The functions that the author wrote change nothing, stay with what they gave, and are linear."""
    for title, rule, like, held in _written(call):
        g, h = _like(like, 0), _like(like, 1)
        known = {"g": g, **held, **{call.word(k): v for k, v in call.values.items()}}
        before = copied(known)
        try:
            with np.errstate(all="ignore"):
                first = rule(g)
                kept = copied(first)
                of_h, of_sum = copied(rule(h)), copied(rule(_sum(g, h)))
        except Exception:  # the comparison shows where
            first = kept = of_h = of_sum = None
        for name, now in known.items():
            call.same(now, before[name], f"called: {title} changes {name}", "before", _NEW)
        call.same(first, kept, f"called: {title}, called again, changes what it gave", "before", _NEW)
        if linear:
            what = f"called: {title} is not linear, r(2 g + h) is not 2 r(g) + r(h) "
            hint = 'multiply g by what does not depend on it, or check with modes="rev"'
            call.same(of_sum, _sum(kept, of_h), what, "expected", hint, close=True)


def _written(call: Call) -> Iterator[tuple[str, Callable[[Any], Any], Any, dict[str, Any]]]:
    """What the author wrote: what to call it, the function of g or of tangents, one like these, what it is handed.

    Of one that is wrapped in what protects the arguments, it is the function within.
    """
    fun, y, args, kwargs = call.fun, call.run(*call.given), call.args, call.kwargs
    of, known = fun.definition, {"y": y}
    if isinstance(fun, (custom_vjp, custom_jvp)):
        places = [k for k in call.values if k not in call.of.nondiff]
        settings = [call.values[k % len(args)] for k in fun.nondiff]
        primals = tuple([call.values[k] for k in places])
        if isinstance(fun, custom_vjp):
            residuals = fun.fwd(*args)[1]
            yield "bwd", lambda g: fun.bwd(*settings, residuals, g), y, {"residuals": residuals}
        else:
            yield "its rule", lambda ts: fun.jvp(*settings, primals, ts)[1], primals, {}
        return
    for way, joint, rules in (("", of.joint, of.rules), (" that goes forth", of.forward_joint, of.forward_rules)):
        for key, rule in [(None, joint), *rules.items()]:
            if rule is None or (not way and key in of.made) or key not in (None, *call.keys):
                continue
            title = f"its rule{way}" + ("" if key is None else f" for {call.word(key)}")
            every = tuple([v for k, v in call.values.items() if k not in of.nondiff])
            tangents = every if key is None else call.values[key]
            raw = functools.partial(_raw, inspect.unwrap(rule.call), y, args, kwargs)
            yield title, raw, tangents if way else y, known


def _raw(rule: Callable[..., Any], y: Any, args: list[Any], kwargs: dict[str, Any], g: Any) -> Any:
    return rule(g, y, *args, **kwargs)


def _like(value: Any, seed: int) -> Any:
    """Numbers like those of a value."""
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> Any:
        if not is_inexact(leaf):
            return leaf
        made = rng.uniform(0.5, 1.5, np.shape(leaf)) * rng.choice([1.0, -1.0], np.shape(leaf))
        if np.iscomplexobj(leaf):
            made = made + 1j * rng.uniform(0.5, 1.5, np.shape(leaf))
        return np.asarray(made, np.asarray(leaf).dtype)[()]

    return tree.map(draw, value)


def _sum(a: Any, b: Any) -> Any:
    """2 a + b"""
    return tree.map(lambda x, y: 2 * x + y if is_inexact(x) else x, a, b)


__all__ = ["check_rule"]
