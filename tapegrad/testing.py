"""Derivatives checked against finite differences.

The slope of f along a direction u is read from the values at x ± hu and x ± 2hu. Two formulas use them, one with an
error of order h², one of order h⁴; where they disagree, h was too large (a pole, a kink or the end of the domain is
near), and a smaller one is tried. The first h is about ε^(1/5), which leaves an error of about ε^(4/5) for a relative
precision ε: 3e-13 in float64, 3e-6 in float32, 4e-3 in float16. The default tolerances are √ε.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from . import tree
from .errors import GradientCheckError, InputError
from .tracer import is_inexact
from .transforms import vjp

Vector = npt.NDArray[np.float64]

_EVERY = 64  # up to so many numbers each is a direction of its own
_SOME = 6  # of more numbers, so many random directions are checked
_SHRINKS = 8  # steps that are tried, each an eighth of the one before


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("rev",),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    kwargs: dict[str, Any] | None = None,
) -> None:
    """Check the derivatives of `f` at `args` against finite differences: nothing if they agree, else an error.

    Every entry of every output is checked by every entry of every argument, complex ones in their real and their
    imaginary part; of more than 64 numbers on a side, a few random directions. The next order is checked on the
    function that takes the arguments and a cotangent to the cotangents of the arguments. Besides, `f` must give
    the same value when it is differentiated, when it is called, and when it is called again; it must not change
    its arguments; and each cotangent must have the kind, shape, dtype and containers of its argument.

    At a kink, finite differences give the mean of the slopes on the two sides, which is 0 for `abs` at 0. There only
    order 1 can be checked, and a rule that chooses one side fails. A jump, an infinite slope and nan fail, too.

    Args:
        f: returns an array, a number, or a nest of these.
        args: the arguments, in a tuple: arrays, numbers, or nests of these. A Python int counts as float. What
            cannot be differentiated by (arrays of integers, strings, None, ...) is passed on as it is.
        order: how many times to differentiate, at least 1.
        modes: the readings to check. There is "rev", the backward one.
        atol, rtol: a derivative d may be off by `atol + rtol * abs(d)`, and by what the rounding of `f` explains. By
            default both are √ε of the coarsest dtype: 1.5e-8 in float64, 3.5e-4 in float32, 0.03 in float16.
        eps: the first step h for arguments up to 1; it grows with larger ones.
        kwargs: keyword arguments for `f`, not differentiated by.

    Raises:
        GradientCheckError: an AssertionError that names the order, the entry of the output and of the argument, what
            was got and what was expected.
        InputError: there is nothing to differentiate by; an unknown mode or order.

    >>> import numpy as np
    >>> from tapegrad import stop_gradient
    >>> check_grads(lambda x: x * np.sin(x), (np.array([0.5, 2.0]),), order=3)
    >>> check_grads(lambda x: x * stop_gradient(x), (np.array([3.0, 0.0]),))
    Traceback (most recent call last):
        ...
    tapegrad.errors.GradientCheckError: <lambda>, order 1: wrong derivative of output[0] by argument 0[0]
      got 3, expected 6 from finite differences: off by 3, tolerance 1...e-07
      hint: look at the rules on the way between the two; at a point that is not smooth, move the arguments
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not callable(f) or not isinstance(args, (tuple, list)):
        raise InputError(
            f"check_grads needs a function and a tuple of its arguments, and got {f!r} and {args!r}"[:200],
            "it calls f(*args)",
            "write check_grads(f, (x,)) for a function of one argument",
        )
    if type(order) is not int or order < 1 or not modes or not set(modes) <= _MODES.keys():
        raise InputError(
            f"check_grads cannot check order={order!r}, modes={modes!r}",
            f"orders: 1, 2, ...; modes: {', '.join(map(repr, _MODES))}",
            "write check_grads(f, args, order=2, modes=('rev',))",
        )
    own = tuple([tree.map(_own, arg) for arg in args])
    pairs = tree.leaves_with_path(own)
    if not any(_varies(leaf) for _, leaf in pairs):
        raise InputError(
            "check_grads found nothing to differentiate by",
            f"arguments: {', '.join(type(arg).__name__ for arg in args) or 'none'}",
            "pass numbers or arrays of floats among the arguments",
        )
    names = [f"argument {path[0].idx}{tree.keystr(path[1:])}" for path, _ in pairs]
    settings = _Settings(getattr(f, "__name__", type(f).__name__), order, modes, atol, rtol, eps)
    _check(settings, functools.partial(f, **(kwargs or {})), own, names, None, 1)


@dataclass(frozen=True, slots=True)
class _Settings:
    title: str
    last: int
    modes: tuple[str, ...]
    atol: float | None
    rtol: float | None
    eps: float | None


def _own(leaf: Any) -> Any:
    """A leaf for us to keep: arrays are copied, a Python int counts as float."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else float(leaf) if type(leaf) is int else leaf


def _varies(leaf: Any) -> bool:
    return type(leaf) is int or is_inexact(leaf)


class _Space:
    """The numbers that vary in some leaves, as one real vector: of complex ones the real, then the imaginary part."""

    def __init__(self, leaves: list[Any], names: list[str]) -> None:
        self.leaves = leaves
        self.varying = [(leaf, name) for leaf, name in zip(leaves, names, strict=True) if _varies(leaf)]
        signs = [np.tile([1.0, -1.0] if np.iscomplexobj(leaf) else [1.0], np.size(leaf)) for leaf, _ in self.varying]
        self.signs: Vector = np.concatenate([np.zeros(0), *signs])  # Re(g·dw) has a minus where imaginary parts meet
        self.size = self.signs.size
        self.eps = max([float(np.finfo(np.result_type(leaf)).eps) for leaf, _ in self.varying], default=0.0)

    def vector(self, varying: Iterable[Any]) -> Vector:
        """The numbers of these leaves; nan for a leaf of another shape than ours, and for one that became complex."""
        parts = [np.zeros(0)]
        for (like, _), leaf in zip(self.varying, varying, strict=True):
            number = np.complex128 if np.iscomplexobj(like) else np.float64
            fits = np.shape(leaf) == np.shape(like) and np.can_cast(np.result_type(leaf), number, "same_kind")
            leaf = leaf if fits else np.full(np.shape(like), np.nan)
            parts.append(np.asarray(leaf, number).reshape(-1).view(np.float64))
        return np.concatenate(parts)

    def split(self, vector: Vector) -> list[Any]:
        """All leaves: those that vary get these numbers, in their own kind and dtype."""
        leaves, start = [], 0
        for leaf in self.leaves:
            if _varies(leaf):
                number = np.complex128 if np.iscomplexobj(leaf) else np.float64
                stop = start + np.size(leaf) * number().itemsize // 8
                part = vector[start:stop].view(number).reshape(np.shape(leaf))
                leaf = part.astype(leaf.dtype) if isinstance(leaf, np.ndarray) else type(leaf)(part[()])
                start = stop
            leaves.append(leaf)
        return leaves

    def entry(self, i: int) -> str:
        """What a person calls number i."""
        for leaf, name in self.varying:
            width = 2 if np.iscomplexobj(leaf) else 1
            if i < np.size(leaf) * width:
                at = ", ".join(map(str, np.unravel_index(i // width, np.shape(leaf))))
                part = ("the real part of ", "the imaginary part of ")[i % 2] if width == 2 else ""
                return f"{part}{name}[{at}]" if at else f"{part}{name}"
            i -= np.size(leaf) * width
        raise IndexError(i)


class _Level:
    """One order of derivative: a function, its arguments, its value there, its slopes by finite differences."""

    def __init__(
        self,
        settings: _Settings,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        names: list[str],  # of the leaves of args
        results: list[str],  # of the leaves of the value; none for what they are called by default
        order: int,
    ) -> None:
        self.f, self.args, self.names, self.order = f, args, names, order
        self.title = f"{settings.title}, order {order}"
        leaves, self.arguments = tree.flatten(args)
        self.before = [_own(leaf) for leaf in leaves]
        self.value = f(*args)
        self.unchanged()
        pairs, self.structure = tree.flatten_with_path(self.value)
        self.results = results or [f"output{tree.keystr(path)}" for path, _ in pairs]
        self.inputs = _Space(leaves, names)
        self.outputs = _Space([leaf if _varies(leaf) else np.zeros_like(leaf) for _, leaf in pairs], self.results)
        self.point = self.inputs.vector([leaf for leaf, _ in self.inputs.varying])
        precision = max(self.inputs.precision, self.outputs.precision)
        self.precision = precision
        self.atol = precision**0.5 if settings.atol is None else settings.atol
        self.rtol = precision**0.5 if settings.rtol is None else settings.rtol
        self.step = precision**0.2 if settings.eps is None else settings.eps
        self.same(f(*args), "called again", "let it depend on its arguments alone, and fix its random seed")

    def fail(self, what: str, there: str, hint: str) -> NoReturn:
        raise GradientCheckError(f"{self.title}: {what}", there, hint)

    def unchanged(self) -> None:
        """Fail unless the arguments are what they were before f was called."""
        leaves, structure = tree.flatten(self.args)
        if structure != self.arguments:
            self.fail("the function changes its arguments", f"{self.arguments} became {structure}", "work on a copy")
        for name, old, new in zip(self.names, self.before, leaves):
            numbers = isinstance(old, np.ndarray) and old.dtype.kind != "O"
            if not (np.array_equal(old, new, equal_nan=old.dtype.kind in "fc") if numbers else old is new or old == new):
                self.fail(f"the function changes {name}", f"{old!r} became {new!r}"[:200], "work on a copy of it")

    def same(self, value: Any, when: str, hint: str) -> None:
        """Fail unless this value is that of the plain call."""
        leaves, structure = tree.flatten(value)
        if structure != self.structure:
            self.fail(f"another value when {when}", f"{structure}, plainly called {self.structure}", hint)
        for name, new, old in zip(self.results, map(np.asarray, leaves), map(np.asarray, tree.leaves(self.value))):
            if (new.shape, new.dtype) != (old.shape, old.dtype):
                there = f"shape {new.shape}, dtype {new.dtype}; plainly called shape {old.shape}, dtype {old.dtype}"
                self.fail(f"another {name} when {when}", there, hint)
            equal = (new == old) | ((new != new) & (old != old))
            if old.dtype.kind in "fc":
                size = np.abs(old[np.isfinite(old)]).max(initial=0)
                equal |= np.abs(np.subtract(new, old, where=~equal, out=np.zeros_like(old))) <= self.rtol * size
            if not equal.all():
                at = tuple(np.argwhere(~equal)[0])
                self.fail(f"another {name}{_index(at)} when {when}", f"{new[at]}, plainly called {old[at]}", hint)

    def shifted(self, shift: Vector) -> Vector:
        """The outputs at arguments that are shifted; nan where that is no place to call f, or the outputs differ."""
        args = self.arguments.unflatten(self.inputs.split(self.point + shift))
        try:
            leaves, structure = tree.flatten(self.f(*args))
        except ArithmeticError:  # Python's numbers raise where NumPy's are not finite
            return np.full(self.outputs.size, np.nan)
        if structure != self.structure:
            return np.full(self.outputs.size, np.nan)
        return self.outputs.vector([leaf for leaf, like in zip(leaves, self.outputs.leaves) if _varies(like)])

    def slope(self, u: Vector) -> tuple[Vector, Vector]:
        """The derivative of the outputs along u, and how far the rounding of f may have moved it."""
        size = np.abs(self.point) @ np.abs(u) / np.abs(u).sum()
        step = 2.0 ** np.round(np.log2(self.step * max(1.0, size)))  # a power of 2: x ± step is hardly rounded
        best = rounding = np.full(self.outputs.size, np.nan)
        doubt = np.full(self.outputs.size, np.inf)
        with np.errstate(all="ignore"):
            for _ in range(_SHRINKS):
                above, below, far_above, far_below = (self.shifted(k * step * u) for k in (1, -1, 2, -2))
                second = _minus(above, below) / (2 * step)
                fourth = (4 * second - _minus(far_above, far_below) / (4 * step)) / 3
                error = np.abs(fourth - second)
                better = error < doubt
                noise = 4 * self.precision * (np.abs(above) + np.abs(below)) / step
                best = np.where(better, fourth, best)
                rounding = np.where(better & np.isfinite(noise), noise, np.where(better, 0.0, rounding))
                doubt = np.where(better, error, doubt)
                if np.all(doubt <= self.precision**0.25 * (1 + np.abs(best))):
                    break
                step /= 8
        return best, rounding

    def compare(self, pull: Callable[[Vector], Vector]) -> None:
        """Fail unless `pull`, which takes a cotangent of the outputs to that of the inputs, agrees with the slopes."""
        n, m = self.inputs.size, self.outputs.size
        us, cs = _directions(n), _directions(m)
        slopes = np.array([self.slope(u) for u in us]).reshape(len(us), 2, m)
        got = np.array([pull(c) for c in cs]).reshape(len(cs), n)
        if n > _EVERY:
            got = got @ us.T
        want, noise = slopes[:, 0].T, slopes[:, 1].T
        if m > _EVERY:
            want, noise = cs @ want, np.abs(cs) @ noise
        wrong = np.argwhere(~self.close(got, want, noise))
        if not wrong.size:
            return
        k, i = map(int, wrong[0])
        direction = got[k, i], want[k, i], noise[k, i]
        if n > _EVERY:
            u, c, row = us[i], cs[k], pull(cs[k])
            i = _narrow(n, lambda s: row[s] @ u[s] - _dot(c, self.slope(_only(u, s))[0]))
        slope, rounding = self.slope(_unit(n, i))
        if m > _EVERY:
            c = cs[k]
            k = _narrow(m, lambda s: pull(_only(c, s))[i] - _dot(_only(c, s), slope))
        entry = pull(_unit(m, k))[i], slope[k], rounding[k]
        d, e, r = direction if self.close(*entry) else entry
        self.fail(
            f"wrong derivative of {self.outputs.entry(k)} by {self.inputs.entry(i)}",
            f"got {d:.9g}, expected {e:.9g} from finite differences: "
            f"off by {abs(d - e):.3g}, tolerance {self.atol + self.rtol * abs(e) + r:.2g}",
            "look at the rules on the way between the two; at a point that is not smooth, move the arguments",
        )

    def close(self, got: Any, want: Any, noise: Any) -> Any:
        return np.abs(got - want) <= self.atol + self.rtol * np.abs(want) + noise


def _check(settings: _Settings, level: _Level) -> None:
    for mode in settings.modes:
        _MODES[mode](settings, level)


def _reverse(settings: _Settings, level: _Level) -> None:
    """Check the pullback, then its own derivatives."""
    value, pullback, primals = _vjp(level.f, level.args)
    level.same(value, "differentiated", "let the function compute the same on traced values as on plain ones")
    inputs, outputs = level.inputs, level.outputs

    def pull(c: Vector) -> Vector:
        cots = pullback(level.structure.unflatten(outputs.split(c * outputs.signs)))
        if tree.structure(cots) != primals or 
        leaves = tree.leaves(cots)
        return inputs.vector(leaves) * inputs.signs
