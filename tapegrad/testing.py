"""Derivatives checked against finite differences.

The slope of f along u is computed from its values at x ± hu and x ± 2hu, with an error of order h⁴ and another of
order ε/h for the rounding of f to a relative precision ε. The best h is about ε^(1/5), which leaves ε^(4/5): 3e-13 in
float64, 3e-6 in float32, 4e-3 in float16. The default tolerances are √ε. Where a derivative differs from such a slope,
smaller h are tried before it counts as wrong, since a pole, a kink or the end of the domain may be near; the
one is taken for which the formulas of order 2 and 4, and so the rounding, differ least.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from . import tree
from .errors import GradientCheckError, InputError
from .tracer import is_inexact
from .transforms import vjp

Vector = npt.NDArray[np.float64]

_EVERY = 64  # up to so many numbers, each is a direction of its own
_SOME = 6  # of more numbers, so many random directions are checked


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
            f"check_grads needs a function and a tuple, and got a {type(f).__name__} and a {type(args).__name__}",
            "it calls f(*args)",
            "write check_grads(f, (x,)) for a function of one argument",
        )
    if type(order) is not int or order < 1 or not modes or not set(modes) <= _MODES.keys():
        raise InputError(
            f"check_grads cannot check order={order!r}, modes={modes!r}",
            f"orders: 1, 2, ...; modes: {', '.join(map(repr, _MODES))}",
            "write check_grads(f, args, order=2, modes=('rev',))",
        )
    own = tree.map(_own, tuple(args))
    pairs = tree.leaves_with_path(own)
    if not any(_varies(leaf) for _, leaf in pairs):
        raise InputError(
            "check_grads found nothing to differentiate by",
            f"arguments: {', '.join(type(arg).__name__ for arg in args) or 'none'}",
            "pass numbers, or arrays of floats, among the arguments",
        )
    names = [f"argument {path[0].idx}{tree.keystr(path[1:])}" for path, _ in pairs]
    settings = _Settings(getattr(f, "__name__", type(f).__name__), order, atol, rtol, eps)
    for mode in modes:
        _MODES[mode](_Level(settings, functools.partial(f, **(kwargs or {})), own, names, [], 1))


@dataclass(frozen=True, slots=True)
class _Settings:
    title: str
    last: int
    atol: float | None
    rtol: float | None
    eps: float | None


def _own(leaf: Any) -> Any:
    """A leaf for us to keep: an array is copied, a Python int counts as float."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else float(leaf) if type(leaf) is int else leaf


def _varies(leaf: Any) -> bool:
    return type(leaf) is int or is_inexact(leaf)


class _Space:
    """The numbers that vary in some leaves, as one real vector: of a complex one the real, then the imaginary part."""

    def __init__(self, leaves: list[Any], names: list[str]) -> None:
        self.leaves = leaves
        self.varying = [(leaf, name) for leaf, name in zip(leaves, names, strict=True) if _varies(leaf)]
        signs = [np.tile([1.0, -1.0] if np.iscomplexobj(leaf) else [1.0], np.size(leaf)) for leaf, _ in self.varying]
        self.signs: Vector = np.concatenate([np.zeros(0), *signs])  # Re(g dw) subtracts what imaginary parts give
        self.size = self.signs.size
        self.precision = max([float(np.finfo(np.asarray(leaf).dtype).eps) for leaf, _ in self.varying], default=0.0)

    def vector(self, leaves: list[Any]) -> Vector:
        """The numbers of such leaves; nan for a leaf of another shape, or one that has become complex."""
        parts = [np.zeros(0)]
        for leaf, like in zip(leaves, self.leaves, strict=True):
            if _varies(like):
                number = np.complex128 if np.iscomplexobj(like) else np.float64
                array = np.asarray(leaf)
                if array.shape != np.shape(like) or not np.can_cast(array.dtype, number, "same_kind"):
                    array = np.full(np.shape(like), np.nan)
                parts.append(array.astype(number).reshape(-1).view(np.float64))
        return np.concatenate(parts)

    def split(self, vector: Vector) -> list[Any]:
        """The leaves with these numbers, each of its own kind and dtype; what does not vary, as it is."""
        leaves, start = [], 0
        for leaf in self.leaves:
            if _varies(leaf):
                width = 2 if np.iscomplexobj(leaf) else 1
                stop = start + width * np.size(leaf)
                part = vector[start:stop].view(np.complex128 if width == 2 else np.float64).reshape(np.shape(leaf))
                leaf = part.astype(leaf.dtype) if isinstance(leaf, np.ndarray) else type(leaf)(part[()])
                start = stop
            leaves.append(leaf)
        return leaves

    def entry(self, i: int) -> str:
        """What a person calls number i."""
        for leaf, name in self.varying:
            width = 2 if np.iscomplexobj(leaf) else 1
            if i < width * np.size(leaf):
                part = ("the real part of ", "the imaginary part of ")[i % 2] if width == 2 else ""
                return part + name + _index(np.unravel_index(i // width, np.shape(leaf)))
            i -= width * np.size(leaf)
        raise IndexError(i)


class _Level:
    """One order of derivative: a function, its arguments, its value there, its slopes by finite differences."""

    def __init__(
        self,
        settings: _Settings,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        names: list[str],  # of the leaves of args
        results: list[str],  # of the leaves of the value; none for the usual ones
        order: int,
    ) -> None:
        self.settings, self.f, self.args, self.names, self.order = settings, f, args, names, order
        leaves, self.arguments = tree.flatten(args)
        self.before = [_own(leaf) for leaf in leaves]
        self.value = f(*args)
        self.unchanged()
        pairs, self.structure = tree.flatten_with_path(self.value)
        self.results = results or [f"output{tree.keystr(path)}" for path, _ in pairs]
        self.inputs = _Space(leaves, names)
        self.outputs = _Space([leaf if _varies(leaf) else np.zeros_like(leaf) for _, leaf in pairs], self.results)
        self.point = self.inputs.vector(leaves)
        self.precision = max(self.inputs.precision, self.outputs.precision, float(np.finfo(np.float64).eps))
        self.atol = self.precision**0.5 if settings.atol is None else settings.atol
        self.rtol = self.precision**0.5 if settings.rtol is None else settings.rtol
        self.step = self.precision**0.2 if settings.eps is None else settings.eps
        self.same(f(*args), "called again", "let it depend on its arguments alone: fix the seed of what is random")

    def fail(self, what: str, there: str, hint: str) -> NoReturn:
        raise GradientCheckError(f"{self.settings.title}, order {self.order}: {what}", there[:300], hint)

    def unchanged(self) -> None:
        """Fail unless the arguments are what they were."""
        for name, old, new in zip(self.names, self.before, tree.leaves(self.args), strict=True):
            if isinstance(old, np.ndarray) and old.tobytes() != new.tobytes():
                self.fail(f"the function changes {name}", f"{old} became {new}", "let it work on a copy")

    def same(self, value: Any, when: str, hint: str) -> None:
        """Fail unless this value is that of the plain call, but for rounding."""
        leaves, structure = tree.flatten(value)
        if structure != self.structure:
            self.fail(f"another output when {when}", f"{structure}; when plainly called {self.structure}", hint)
        for name, x, y in zip(self.results, leaves, tree.leaves(self.value), strict=True):
            x, y = np.asarray(x), np.asarray(y)
            if (x.shape, x.dtype) != (y.shape, y.dtype):
                there = f"shape {x.shape}, dtype {x.dtype}; when plainly called shape {y.shape}, dtype {y.dtype}"
                self.fail(f"another {name} when {when}", there, hint)
            equal = (x == y) | ((x != x) & (y != y))
            if y.dtype.kind in "fc":
                with np.errstate(all="ignore"):
                    equal |= np.abs(x - y) <= self.rtol * np.max(np.abs(y), where=np.isfinite(y), initial=0)
            if not np.all(equal):
                at = tuple(np.argwhere(~equal)[0])
                self.fail(f"another {name}{_index(at)} when {when}", f"{x[at]}; when plainly called {y[at]}", hint)

    def shifted(self, shift: Vector) -> Vector:
        """The outputs at shifted arguments, nan where f has no such outputs."""
        try:
            value = self.f(*self.arguments.unflatten(self.inputs.split(self.point + shift)))
        except ArithmeticError:  # Python's numbers raise where NumPy's become inf or nan
            return np.full(self.outputs.size, np.nan)
        leaves, structure = tree.flatten(value)
        return self.outputs.vector(leaves) if structure == self.structure else np.full(self.outputs.size, np.nan)

    def slope(self, u: Vector, careful: bool = True) -> tuple[Vector, Vector]:
        """The derivative of the outputs along u, and how much of it may be rounding; if careful, of the best step."""
        scale = max(1.0, _dot(np.abs(u), np.abs(self.point)) / np.abs(u).sum())
        step = 2.0 ** np.round(np.log2(self.step * scale))  # a power of two, so that x ± step is hardly rounded
        best: Any = np.full((3, self.outputs.size), [[np.nan], [np.nan], [np.inf]])
        with np.errstate(all="ignore"):
            while True:
                above, below, far_above, far_below = [self.shifted(k * step * u) for k in (1, -1, 2, -2)]
                second = _minus(above, below) / (2 * step)
                fourth = (4 * second - _minus(far_above, far_below) / (4 * step)) / 3
                noise = 4 * self.precision * (np.abs(above) + np.abs(below)) / step
                noise = np.where(np.isfinite(noise), noise, 0)
                doubt = np.abs(fourth - second) + noise
                best = np.where(doubt < best[2], (fourth, noise, doubt), best)
                step /= 8
                if not careful or step < self.precision**0.6 * scale:
                    return best[0], best[1]

    def close(self, got: Any, want: Any, noise: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.abs(got - want) <= self.atol + self.rtol * np.abs(want) + noise

    def compare(self, pull: Callable[[Vector], Vector]) -> None:
        """Fail unless `pull`, from a cotangent of the outputs to that of the inputs, agrees with the slopes."""
        n, m = self.inputs.size, self.outputs.size
        cs = _directions(m, 1)
        rows = [pull(c) for c in cs]
        for i, u in enumerate(_directions(n, 2)):
            for careful in (False, True):
                slope, rounding = self.slope(u, careful)
                got = np.array([row[i] if n <= _EVERY else row @ u for row in rows])
                want, noise = (slope, rounding) if m <= _EVERY else (cs @ slope, np.abs(cs) @ rounding)
                wrong = np.flatnonzero(~self.close(got, want, noise))
                if not wrong.size:
                    break
            else:
                k = int(wrong[0])
                c, row, found = cs[k], rows[k], (got[k], want[k], noise[k])
                if n > _EVERY:
                    i = _narrow(n, lambda s: row[s] @ u[s] - _dot(c, self.slope(_only(u, s))[0]))
                slope, rounding = self.slope(_only(np.ones(n), slice(i, i + 1)))
                if m > _EVERY:
                    k = _narrow(m, lambda s: pull(_only(c, s))[i] - _dot(_only(c, s), slope))
                entry = pull(_only(np.ones(m), slice(k, k + 1)))[i], slope[k], rounding[k]
                self.wrong(k, i, *(found if self.close(*entry) else entry))

    def wrong(self, k: int, i: int, got: float, want: float, noise: float) -> NoReturn:
        self.fail(
            f"wrong derivative of {self.outputs.entry(k)} by {self.inputs.entry(i)}",
            f"got {got:.9g}, expected {want:.9g} by finite differences: "
            f"off by {abs(got - want):.3g}, tolerance {self.atol + self.rtol * abs(want) + noise:.2g}",
            "look at the rules between the two; where the function is not smooth, move the arguments",
        )


def _vjp(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Any, list[Any]]:
    """Value, pullback and primals: an argument whose leaves all vary is one, of others it is the list of those."""
    primals = [
        arg if all(map(_varies, tree.leaves(arg))) else [leaf for leaf in tree.leaves(arg) if _varies(leaf)]
        for arg in args
    ]

    def call(*traced: Any) -> Any:
        rest = iter(tree.leaves(traced))
        return f(*tree.map(lambda leaf: next(rest) if _varies(leaf) else leaf, args))

    return *vjp(call, *primals), primals


def _reverse(level: _Level) -> None:
    """Check the backward reading, and as the next order the function (arguments, cotangent) -> pullback(cotangent)."""
    value, pullback, primals = _vjp(level.f, level.args)
    level.same(value, "differentiated", "let it compute the same from traced values as from plain ones")
    varying = level.inputs.varying
    gradients = _Space([leaf for leaf, _ in varying], [f"cotangent of {name}" for _, name in varying])

    def cotangent(c: Vector) -> Any:
        return level.structure.unflatten(level.outputs.split(c))

    def pull(c: Vector) -> Vector:
        cots = pullback(cotangent(c * level.outputs.signs))
        leaves, structure = tree.flatten(cots)
        if structure != tree.structure(tuple(primals)):
            level.fail("cotangents in other containers than the arguments", f"{structure}", "report this as a bug")
        for (leaf, name), g in zip(gradients.varying, leaves, strict=True):
            if type(g) is not type(leaf) or np.shape(g) != np.shape(leaf) or np.asarray(g).dtype != np.asarray(leaf).dtype:
                level.fail(f"{name} is of another kind: {g!r}", f"the argument is {leaf!r}", "report this as a bug")
        return gradients.vector(leaves) * level.inputs.signs

    example = cotangent(_random(1, level.outputs.size, 3)[0])
    pull(np.zeros(level.outputs.size))  # to look at what it gives, even if there is no output to go back from
    level.compare(pull)
    level.unchanged()
    if level.order < level.settings.last:
        names = level.names + [f"cotangent of {name}" for name in level.results]
        results = [name for _, name in gradients.varying]
        _reverse(_Level(level.settings, _back(level.f), (*level.args, example), names, results, level.order + 1))


def _back(f: Callable[..., Any]) -> Callable[..., Any]:
    def back(*args: Any) -> Any:
        return _vjp(f, args[:-1])[1](args[-1])

    return back


_MODES: dict[str, Callable[[_Level], None]] = {"rev": _reverse}


def _random(count: int, size: int, seed: int) -> Vector:
    """Vectors whose entries are all between a half and one in magnitude."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 1, (count, size)) * rng.choice([-1.0, 1.0], (count, size))


def _directions(size: int, seed: int) -> Vector:
    return np.eye(size) if size <= _EVERY else _random(_SOME, size, seed)


def _only(v: Vector, part: slice) -> Vector:
    """The vector with zeros outside of a part."""
    kept = np.zeros(v.size)
    kept[part] = v[part]
    return kept


def _narrow(size: int, wrong: Callable[[slice], Any]) -> int:
    """One of the entries that the error comes from, by halving; `wrong` tells the error of a part."""
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        first, second = np.nan_to_num(np.abs([wrong(slice(low, middle)), wrong(slice(middle, high))]), nan=np.inf)
        low, high = (low, middle) if first >= second else (middle, high)
    return low


def _dot(a: Vector, b: Vector) -> float:
    """The sum of a * b, in which nothing of b counts where a is zero, not even nan."""
    return float(a[a != 0] @ b[a != 0])


def _minus(a: Vector, b: Vector) -> Vector:
    return np.where(a == b, 0, a - b)  # 0 for two equal infinities


def _index(at: tuple[Any, ...]) -> str:
    return f"[{', '.join(map(str, at))}]" if at else ""


__all__ = ["check_grads"]
