"""What the tests of NumPy's rules share: a case is one call, and every case goes through the same checks.

A case calls NumPy's own function. Its arguments that hold floats or complex numbers are traced, the others are passed
as they are. Checked are the value, against the plain call and through both doors, and the derivatives, against
finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad import tree
from tapegrad.testing import check_grads

DOORS = ("np", "tnp")


@dataclass(frozen=True, eq=False)
class Case:
    """One call of one of NumPy's functions."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    order: int = 2  # to which the derivatives are checked; 0 where there are none to check

    def __str__(self) -> str:
        words = [*map(show, self.args), *(f"{word}={show(value)}" for word, value in self.kwargs.items())]
        return f"{name_of(self.function)}({', '.join(words)})"

    def through(self, door: str) -> Callable[..., Any]:
        """The call, as a function of the arguments, through `numpy` or `tapegrad.numpy`."""
        function = self.function if door == "np" else ours(self.function)
        return lambda *args: function(*args, **self.kwargs)

    def astype(self, dtype: Any) -> Case:
        """The case with all its arrays and scalars of floats in another dtype."""
        return Case(self.function, tuple(tree.map(lambda leaf: cast(leaf, dtype), self.args)), self.kwargs, self.order)


def case(function: Any, *args: Any, **kwargs: Any) -> Case:
    return Case(function, args, kwargs)


def name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or function.__name__)


def show(value: Any) -> str:
    """A short text for an argument in the name of a test."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.char}{list(value.shape)}"
    if isinstance(value, np.generic):
        return f"{value.dtype.char}:{value}"
    if isinstance(value, (list, tuple)):
        inner = ",".join(map(show, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    return getattr(value, "__name__", None) or str(value)


def ours(function: Any) -> Any:
    """What tapegrad.numpy has under the name of one of NumPy's functions."""
    for theirs, home in ((np, tnp), (np.linalg, tnp.linalg), (np.fft, tnp.fft)):
        for name in (function.__name__, *vars(theirs)):
            if getattr(theirs, name, None) is function:
                return getattr(home, name)
    raise LookupError(f"{function} is not one of NumPy's")


def cast(leaf: Any, dtype: Any) -> Any:
    return leaf.astype(dtype) if getattr(getattr(leaf, "dtype", None), "kind", "") == "f" else leaf


def varies(leaf: Any) -> bool:
    return type(leaf) in (float, complex) or getattr(getattr(leaf, "dtype", None), "kind", "") in ("f", "c")


def array(*shape: int, seed: int = 0, low: float = 0.3, high: float = 1.7, gap: float = 0.02) -> np.ndarray:
    """Numbers between two bounds, no two of them near each other, in a random order."""
    rng = np.random.default_rng(seed)
    n = int(np.prod(shape))
    steps = rng.permutation(n) + rng.uniform(gap, 1 - gap, n) * 0.5
    return (low + (high - low) * steps / max(n, 1)).reshape(shape)


def cplx(*shape: int, seed: int = 0) -> np.ndarray:
    return array(*shape, seed=seed) + 1j * array(*shape, seed=seed + 100, low=-1.1, high=0.9)


def alone(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """f as a function of the floats, complex numbers and arrays of them among its arguments, and these."""
    leaves, structure = tree.flatten(args, is_leaf=lambda x: x is None)
    chosen = [k for k, leaf in enumerate(leaves) if varies(leaf)]

    def call(*some: Any) -> Any:
        full = list(leaves)
        for k, leaf in zip(chosen, some, strict=True):
            full[k] = leaf
        return f(*structure.unflatten(full))

    return call, tuple([leaves[k] for k in chosen])


def value_when_traced(f: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What f gives when those of the arguments that hold numbers are traced."""
    call, traced = alone(f, args)
    return tg.vjp(lambda *traced: (0.0, call(*traced)), *traced, has_aux=True)[2]


def assert_same(got: Any, want: Any, ulps: int = 0) -> None:
    """Fail unless two values, or nests of them, agree in type, shape, dtype and number."""
    if isinstance(want, (list, tuple)):
        assert isinstance(got, (list, tuple))
        assert isinstance(got, list) == isinstance(want, list)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_same(one, other, ulps)
        return
    assert type(got) is type(want)
    if isinstance(want, (np.ndarray, np.generic)):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if ulps and varies(want):
        np.testing.assert_array_almost_equal_nulp(*_finite(got, want), ulps)
    else:
        np.testing.assert_array_equal(got, want)


def _finite(got: Any, want: Any) -> Iterator[Any]:
    """Both as arrays of real numbers; what is not finite is compared here, and left out."""
    got, want = (np.atleast_1d(np.asarray(x)) for x in (got, want))
    if want.dtype.kind == "c":
        got, want = (np.stack([x.real, x.imag]) for x in (got, want))
    there = np.isfinite(want)
    np.testing.assert_array_equal(got[~there], want[~there])
    return iter((got[there], want[there]))


def check_value(call: Case, ulps: int = 2) -> None:
    """The value, when the arguments are traced and when they are not, is that of plain NumPy, through both doors.

    NumPy's own complex arithmetic differs in the last digit with where in memory a number lies.
    """
    if any(np.iscomplexobj(leaf) for leaf in tree.leaves(call.args) if varies(leaf)):
        ulps = max(ulps, 2)
    want = call.function(*call.args, **call.kwargs)
    for door in DOORS:
        assert_same(call.through(door)(*call.args), want, ulps)
        assert_same(value_when_traced(call.through(door), call.args), want, ulps)


def check_derivatives(call: Case, door: str = "np") -> None:
    if call.order:
        check_grads(*alone(call.through(door), call.args), order=call.order)


def check_moves(call: Case, twice: bool = True) -> None:
    """The derivatives of a function that moves elements, those of float32, and the second ones of a function of it."""
    f, args = alone(call.through("np"), call.args)
    check_grads(f, args, order=1)
    value, pullback = tg.vjp(f, *args)
    single, pullback_of_single = tg.vjp(f, *[cast(arg, np.float32) for arg in args])
    g = tree.map(np.ones_like, value)
    of_single = tree.map(
        lambda c, y: np.asarray(c, np.asarray(y).dtype)[()] if np.ndim(c) == 0 else c.astype(y.dtype), g, single
    )
    for got, want, arg in zip(pullback_of_single(of_single), pullback(g), args, strict=True):
        assert np.asarray(got).dtype == np.asarray(cast(arg, np.float32)).dtype
        np.testing.assert_allclose(got, want)
    if twice and all(np.asarray(y).dtype == np.float64 for y in tree.leaves(value)):
        cubes = lambda *args: sum([np.sum(part**3) for part in tree.leaves(f(*args))])
        slopes = lambda *args: tg.grad(cubes, range(len(args)))(*args)
        check_grads(lambda *args: sum([np.sum(g * g) for g in slopes(*args)]), args, order=1)


def table(*cases: Case) -> pytest.MarkDecorator:
    """Parametrise a test with cases, which name themselves."""
    return pytest.mark.parametrize("call", [pytest.param(each, id=str(each)) for each in cases])
