"""Derivatives checked against finite differences.

The slope of f along u comes from its values at x ± hu and x ± 2hu, with an error of order h⁴ and one of order ε/h for
rounding to a relative precision ε. Best is h ≈ ε^(1/5), with an error of about ε^(4/5): 3e-13 in float64, 3e-6 in
float32, 4e-3 in float16. Where a derivative differs from such a slope, smaller h are tried before it counts as wrong,
for a pole, a kink or the end of the domain may be near; the one is taken for which rounding, and the difference between
the formulas of order 2 and 4, are least.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from .. import tree
from ..errors import CotangentError, GradientCheckError, InputError, TreeError
from ..linear import jvp, linearize, vjp
from ..tracer import is_inexact

Vector = np.ndarray[Any, np.dtype[np.float64]]
Reading = Callable[[Vector, Vector], float]  # (c, u) -> c · Ju for the matrix J of the derivatives

_EVERY = 64  # up to so many numbers, each is a direction of its own
_SOME = 6  # of more numbers, so many random directions are checked
_CHANGED = "the function changes its arguments", "let it work on a copy"
_DIFFERENTIATED = "another value when differentiated", "see which function differs when traced"
_BUG = "please report this bug of tapegrad"


def check_grads(
    f: Callable[..., Any], args: Sequence[Any], order: int = 2, modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None, rtol: float | None = None, eps: float | None = None,
    kwargs: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Check the derivatives of `f` at `args` against finite differences: an error unless they agree.

    Every entry of every output is checked by every entry of every argument, complex ones by real and imaginary part;
    where there are more than 64 numbers, a few random directions. Forward and backward reading must agree with one
    another to more digits, ⟨c, Ju⟩ = ⟨Jᵀc, u⟩ up to ε^(2/3). The next order is that of the function from arguments and
    a tangent to the tangent of the outputs, and of that from arguments and a cotangent to the cotangents of the
    arguments, each of them in each mode: forward over reverse, and reverse over forward, too. Besides, `f` must give
    the same value when called, called again and differentiated, and leave its arguments alone; a tangent must have
    type, shape and dtype of its output, be it from `jvp` or `linearize`, a cotangent those of its argument.

    At a kink, finite differences give the mean of the slopes on the two sides, which is 0 for `abs` at 0. Only order 1
    can be checked there, and a rule that chooses one side fails. A jump, an infinite slope and nan fail, too.

    Args:
        f: returns an array, a number, or a nest of these.
        args: a tuple of arrays, numbers, or nests of these. A Python int counts as float; what cannot be
            differentiated by (arrays of integers, strings, None, ...) is passed on as it is.
        order: how many times to differentiate, at least 1.
        modes: the readings to check: "fwd", the forward one, and "rev", the backward one. Name "rev" alone for a
            function with a rule that is no linear map of the cotangent to go forth by.
        atol, rtol: a derivative d may be off by `atol + rtol * abs(d)`, and by what the rounding of `f` explains.
            Both are √ε of the coarsest dtype if not given: 1.5e-8 in float64, 3.5e-4 in float32, 0.03 in float16.
        eps: the step h for arguments up to 1 (it grows with larger ones), instead of those that would be tried.
        kwargs: keyword arguments for `f`, not differentiated by.

    Raises:
        GradientCheckError: an AssertionError that tells order, mode and entries, what came and what was expected.
        InputError: nothing to differentiate by; an unknown mode or order.

    >>> import numpy as np
    >>> from tapegrad import stop_gradient
    >>> check_grads(lambda x: x * np.sin(x), (np.array([0.5, 2.0]),), order=3)
    >>> check_grads(lambda x: x * stop_gradient(x), (np.array([3.0, 0.0]),))
    Traceback (most recent call last):
        ...
    tapegrad.errors.GradientCheckError: <lambda>, order 1, fwd: wrong derivative of output[0] by argument 0[0]
      got 3, expected 6 by finite differences: off by -3, tolerance 1e-07
      hint: look at the rules between the two; where the function is not smooth, move the arguments
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    own = tree.map(_own, tuple(args)) if isinstance(args, (tuple, list)) else ()
    pairs = tree.leaves_with_path(own)
    varies = callable(f) and any(_varies(leaf) for _, leaf in pairs)
    if not varies or type(order) is not int or order < 1 or not modes or not set(modes) <= _MODES.keys():
        raise InputError(
            f"check_grads cannot check {f'order={order!r}, modes={modes!r}' if varies else 'what does not vary'}",
            f"f is a {type(f).__name__}, args a {type(args).__name__}; modes: {', '.join(map(repr, _MODES))}",
            "write check_grads(f, (x,), order=2) with numbers or arrays of floats in the tuple",
        )
    names = [f"argument {path[0].idx}{tree.keystr(path[1:])}" for path, _ in pairs]
    title = getattr(f, "__name__", type(f).__name__)
    compare(title, functools.partial(f, **(kwargs or {})), own, names, order, modes, atol, rtol, eps)


def compare(
    title: str, f: Callable[..., Any], args: tuple[Any, ...], names: list[str], order: int, modes: Sequence[str],
    atol: float | None = None, rtol: float | None = None, eps: float | None = None,
) -> None:  # fmt: skip
    """The same of a function, and of the leaves of its arguments, that messages are to call by these names."""
    _check(_Level(f, args, names, [], (), (title, order, atol, rtol, eps)), dict.fromkeys(modes))


def _own(leaf: Any) -> Any:
    """A leaf for us to keep: an array is copied, a Python int counts as float."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else float(leaf) if type(leaf) is int else leaf


def _varies(leaf: Any) -> bool:
    return type(leaf) is int or is_inexact(leaf)


def _flat(leaf: Any) -> Any:
    """What is like a tangent of an output: it is like the output, and zeros where that does not vary."""
    return leaf if is_inexact(leaf) else np.zeros(np.shape(leaf)) if np.ndim(leaf) else 0.0


class _Space:
    """The numbers that vary in a tree, as one real vector: of a complex one the real, then the imaginary part."""

    def __init__(self, value: Any, names: list[str]) -> None:
        self.names = names  # of all leaves
        self.leaves, self.structure = tree.flatten(value)
        self.varying = [(leaf, name) for leaf, name in zip(self.leaves, names, strict=True) if _varies(leaf)]
        signs = [np.tile([1.0, -1.0][: 1 + np.iscomplexobj(leaf)], np.size(leaf)) for leaf, _ in self.varying]
        self.signs: Vector = np.concatenate([np.zeros(0), *signs])  # Re(g dw) subtracts what imaginary parts give
        self.ends = np.cumsum([s.size for s in signs], dtype=int)
        self.size = self.signs.size

    def vector(self, value: Any) -> Vector:
        """The numbers of such a tree; nan where the tree or a leaf has another shape, or has become complex."""
        leaves, structure = tree.flatten(value)
        if structure != self.structure:
            return np.full(self.size, np.nan)
        parts = [np.zeros(0)]
        for array, like in zip(map(np.asarray, leaves), self.leaves):
            if _varies(like):
                fits = array.shape == np.shape(like) and np.iscomplexobj(array) <= np.iscomplexobj(like)
                array = array if fits else np.full(np.shape(like), np.nan)
                parts.append(array.astype(complex if np.iscomplexobj(like) else float).reshape(-1).view(float))
        return np.concatenate(parts)

    def tree(self, vector: Vector) -> Any:
        """The tree with these numbers, each leaf of its own type and dtype; what does not vary, as it is."""
        parts = iter(np.split(vector, self.ends))
        leaves = []
        for leaf in self.leaves:
            if _varies(leaf):
                part = next(parts).view(complex if np.iscomplexobj(leaf) else float).reshape(np.shape(leaf))
                leaf = part.astype(leaf.dtype) if isinstance(leaf, np.ndarray) else type(leaf)(part[()])
            leaves.append(leaf)
        return self.structure.unflatten(leaves)

    def entry(self, i: int) -> str:
        """What a person calls number i."""
        names = (
            f"{part}{name}{list(at) or ''}"
            for leaf, name in self.varying
            for at in np.ndindex(np.shape(leaf))
            for part in (("the real part of ", "the imaginary part of ") if np.iscomplexobj(leaf) else ("",))
        )
        return next(itertools.islice(names, i, None))


class _Mode(NamedTuple):
    """What a mode makes of a function: its reading, and the function of the next order."""

    read: Reading
    derivative: Callable[..., Any]  # of the arguments and of one like `given`
    given: _Space
    results: list[str]  # the names of what it gives


class _Level:
    """One order of derivative: a function, its arguments, its value there, its slopes by finite differences."""

    def __init__(
        self, f: Any, args: Any, names: list[str], results: list[str], below: tuple[str, ...], options: Any
    ) -> None:
        self.f, self.args, self.below, self.order, self.options = f, args, below, len(below) + 1, options
        self.title, self.last, atol, rtol, self.eps = options
        self.inputs = _Space(tree.map(_own, args), names)
        value = f(*args)
        self.same(args, self.inputs, *_CHANGED)
        results = results or [f"output{tree.keystr(path)}" for path, _ in tree.leaves_with_path(value)]
        self.outputs = _Space(value, results)
        dtypes = [np.asarray(x).dtype for x in self.inputs.leaves + self.outputs.leaves if is_inexact(x)]
        self.precision = max(2.0**-52, *(float(np.finfo(dtype).eps) for dtype in dtypes))
        self.point = self.inputs.vector(args)
        self.atol, self.rtol = [self.precision**0.5 if t is None else t for t in (atol, rtol)]
        self.tight = [self.precision ** (2 / 3) if t is None else t for t in (atol, rtol)]
        self.same(f(*args), self.outputs, "another value when called again", "fix the seed of what is random")

    def fail(self, what: str, there: str, hint: str, mode: str = "") -> NoReturn:
        way = f", {' over '.join((mode, *self.below))}" if mode or self.below else ""
        raise GradientCheckError(f"{self.title}, order {self.order}{way}: {what}", there.replace("\n", "")[:300], hint)

    def same(self, value: Any, first: _Space, what: str, hint: str, mode: str = "", like: bool = False) -> None:
        """Fail unless a value is the one of that space, up to rounding; or if only `like` it, all but its numbers."""
        leaves, structure = tree.flatten(value)
        if structure != first.structure:
            self.fail(what, f"{structure}; at first {first.structure}", hint, mode)
        for leaf, old, name in zip(leaves, first.leaves, first.names):
            x, y = np.asarray(leaf), np.asarray(old)
            if x.shape != y.shape or x.dtype != y.dtype or (like and type(leaf) is not type(old)):
                kinds = [f"{type(v).__name__} {np.asarray(v).dtype}{list(np.shape(v))}" for v in (leaf, old)]
                self.fail(f"{what}: {name}", "; at first ".join(kinds), hint, mode)
            equal = like | (x == y) | ((x != x) & (y != y))
            if _varies(old) and first is not self.inputs:
                with np.errstate(all="ignore"):
                    equal |= np.abs(x - y) <= self.rtol * np.max(np.abs(y), where=np.isfinite(y), initial=0)
            if not np.all(equal):
                at = np.argwhere(~equal)[0].tolist()
                self.fail(f"{what}: {name}{at or ''}", f"{x[*at]}; at first {y[*at]}", hint, mode)

    def shifted(self, shift: Vector) -> Vector:
        """The outputs at shifted arguments; nan where f has no such outputs."""
        try:
            return self.outputs.vector(self.f(*self.inputs.tree(self.point + shift)))
        except (ArithmeticError, CotangentError, TreeError):  # Python's numbers; a pullback of other outputs
            return np.full(self.outputs.size, np.nan)

    def slope(self, u: Vector, careful: bool = True) -> Vector:
        """The derivative of the outputs along u, and how far rounding may have moved it; if careful, at its best."""
        size = _dot(np.abs(u), np.abs(self.point)) / (np.abs(u).sum() or 1.0)
        scale = max(1.0, size) if np.isfinite(size) else 1.0
        first = 2.0 ** np.round(np.log2(scale * (self.eps or self.precision**0.2)))  # so x ± step is hardly rounded
        tries = 1 - round(np.log2(self.precision) * 0.4 / 3) if careful and not self.eps else 1  # to about ε^(3/5)
        best = np.full((3, self.outputs.size), [[np.nan], [np.nan], [np.inf]])
        with np.errstate(all="ignore"):
            for step in first / 8.0 ** np.arange(tries):
                up, down, far_up, far_down = [self.shifted(k * step * u) for k in (1, -1, 2, -2)]
                second = np.where(up == down, 0, up - down) / (2 * step)  # equal infinities differ by 0
                fourth = (4 * second - np.where(far_up == far_down, 0, far_up - far_down) / (4 * step)) / 3
                noise = np.nan_to_num(4 * self.precision * (np.abs(up) + np.abs(down)) / step, posinf=0)
                doubt = (np.abs(fourth - second) + noise) / (1 + np.abs(fourth))
                best = np.where(doubt < best[2], (fourth, noise, doubt), best)
        return best[:2]

    def differ(
        self, read: Reading, c: Vector, u: Vector, slope: Vector, other: Reading | None = None
    ) -> tuple[float, float, float] | None:
        """What a reading gives for c and u, and the slope along u or the other, and the tolerance if they differ."""
        got, want = read(c, u), other(c, u) if other else _dot(c, slope[0])
        if other:
            atol, rtol = self.tight
            tolerance = atol * np.abs(c).sum() * np.abs(u).sum() + rtol * _dot(np.abs(c), np.abs(slope[0]))
        else:
            tolerance = self.atol + self.rtol * abs(want) + _dot(np.abs(c), slope[1])
        return None if abs(got - want) <= tolerance else (got, want, tolerance)

    def compare(self, readings: dict[str, Reading]) -> None:
        """Fail unless each reading agrees with the slopes, and the first to more digits with the others."""
        cs = _directions(self.outputs.size, 1)
        for u in _directions(self.inputs.size, 2):
            slope = self.slope(u, careful=False)
            if any(self.differ(read, c, u, slope) for read in readings.values() for c in cs):
                slope = self.slope(u)
                for mode, read in readings.items():
                    for c in cs:
                        if found := self.differ(read, c, u, slope):
                            self.report(mode, read, c, u, found)
            (mode, read), *others = readings.items()
            for name, other in others:
                if found := self.differ(read, cs[-1], u, slope, other):
                    self.report(mode, read, cs[-1], u, found, other, name)

    def report(
        self, mode: str, read: Reading, c: Vector, u: Vector, found: tuple[float, float, float],
        other: Reading | None = None, by: str = "finite differences",
    ) -> None:  # fmt: skip
        """Fail, and name an entry of the outputs and one of the inputs from which the difference comes."""
        want = other or (lambda c, u: _dot(c, self.slope(u)[0]))
        i = _narrow(u, lambda part: read(c, part) - want(c, part))
        x = np.eye(1, u.size, i)[0]
        slope = self.slope(x)
        k = _narrow(c, lambda part: read(part, x) - (other(part, x) if other else _dot(part, slope[0])))
        got, expected, tol = self.differ(read, np.eye(1, c.size, k)[0], x, slope, other) or found
        self.fail(
            f"wrong derivative of {self.outputs.entry(k)} by {self.inputs.entry(i)}",
            f"got {got:.9g}, expected {expected:.9g} by {by}: off by {got - expected:.3g}, tolerance {tol:.2g}",
            "look at the rules between the two; where the function is not smooth, move the arguments",
            mode,
        )


def _traced(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """f as a function of its primals, and these: the arguments, with None for what does not vary."""

    def call(*traced: Any) -> Any:
        rest = iter(tree.leaves(traced))
        return f(*tree.map(lambda leaf: next(rest) if _varies(leaf) else leaf, args))

    return call, tree.map(lambda leaf: leaf if _varies(leaf) else None, args)


def _forward(level: _Level) -> _Mode:
    """The forward reading; the next order is the function (arguments, tangent) -> tangent of the outputs."""
    f, outputs = level.f, level.outputs
    call, primals = _traced(f, level.args)
    given = _Space(primals, [f"tangent of {name}" for _, name in level.inputs.varying])
    names = [f"tangent of {name}" for name in outputs.names]

    def checked(value: Any, tangents: Any) -> Any:
        level.same(value, outputs, *_DIFFERENTIATED, "fwd")
        first = _Space(tree.map(_flat, value), names)
        level.same(tangents, first, "tangents unlike the outputs", _BUG, "fwd", like=True)
        return tangents

    u = given.tree(_directions(given.size, 2)[-1])
    made = checked(*jvp(call, primals, u))
    value, linear = linearize(call, *primals)
    level.same(linear(*u), _Space(made, names), "another tangent by linearize than by jvp", _BUG, "fwd")
    push = _once(lambda u: outputs.vector(checked(value, linear(*given.tree(u)))))

    def forth(*args: Any) -> Any:
        call, primals = _traced(f, args[:-1])
        return jvp(call, primals, args[-1])[1]

    return _Mode(lambda c, u: _dot(c, push(u)), forth, given, names)


def _reverse(level: _Level) -> _Mode:
    """The backward reading; the next order is the function (arguments, cotangent) -> cotangents of the arguments."""
    f, outputs = level.f, level.outputs
    call, primals = _traced(f, level.args)
    given = _Space(outputs.structure.unflatten(outputs.leaves), [f"cotangent of {name}" for name in outputs.names])
    made = _Space(primals, [f"cotangent of {name}" for _, name in level.inputs.varying])
    value, pullback = vjp(call, *primals)
    level.same(value, outputs, *_DIFFERENTIATED, "rev")

    @_once
    def pull(c: Vector) -> Vector:
        cots = pullback(given.tree(c * given.signs))
        level.same(cots, made, "cotangents unlike the arguments", _BUG, "rev", like=True)
        return made.vector(cots) * made.signs

    def back(*args: Any) -> Any:
        call, primals = _traced(f, args[:-1])
        return vjp(call, *primals)[1](args[-1])

    return _Mode(lambda c, u: _dot(u, pull(c)), back, given, made.names)


_MODES: dict[str, Callable[[_Level], _Mode]] = {"fwd": _forward, "rev": _reverse}


def _check(level: _Level, modes: Iterable[str]) -> None:
    """Check an order in each of the modes, then the next order: in each of them, of each of them."""
    found = {mode: _MODES[mode](level) for mode in modes}
    level.compare({mode: made.read for mode, made in found.items()})
    level.same(level.args, level.inputs, *_CHANGED)
    if level.order < level.last:
        for mode, made in found.items():
            args = *level.args, tree.map(_own, made.given.tree(_directions(made.given.size, 0)[-1]))
            names = level.inputs.names + made.given.names
            below = mode, *level.below
            _check(_Level(made.derivative, args, names, made.results, below, level.options), modes)


def _once(function: Callable[[Vector], Vector]) -> Callable[[Vector], Vector]:
    """The function, called once for each vector."""
    made: dict[bytes, Vector] = {}

    def call(v: Vector) -> Vector:
        key = v.tobytes()
        if key not in made:
            made[key] = function(v)
        return made[key]

    return call


def _directions(size: int, seed: int) -> Vector:
    """The vectors to check along; the last is none that hides a rule which is not linear.

    Random ones have no number below a half in magnitude, and none above one.
    """
    last = (np.floor(32 * np.cos(2.0 + np.arange(size))) + 0.5)[None] / 128  # steps along it are exact, and short
    if size <= _EVERY:
        return np.concatenate([np.eye(size), last])
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0.5, 1, (_SOME, size)) * rng.choice([-1.0, 1.0], (_SOME, size)), last])


def _narrow(v: Vector, error: Callable[[Vector], float]) -> int:
    """An entry of v that the error comes from, found by halving."""
    places = np.flatnonzero(v)
    while places.size > 1:
        halves = np.array_split(places, 2)
        errors = [abs(error(np.where(np.isin(np.arange(v.size), half), v, 0))) for half in halves]
        places = halves[int(np.argmax(errors))]  # that of nan, if there is one
    return int(places[0])


def _dot(a: Vector, b: Vector) -> float:
    """The sum of a * b, in which nothing of b counts where a is zero, not even nan."""
    return float(a[a != 0] @ b[a != 0])


__all__ = ["check_grads"]
