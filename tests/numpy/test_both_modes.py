"""Every rule in both modes: what goes forth is the transpose of what goes back, for every dtype and shape.

The tables of the other tests, whose rules finite differences check there, are gone through again here, and what they
lack is added. Each call is made of each dtype, without axes and without elements, where NumPy takes it so. What no
call reaches is named.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import test_creation
import test_elementwise
import test_indexing
import test_joining
import test_sorting
import test_structure
from cases import Case, alone, array, case, name_of, varies

import tapegrad as tg
from tapegrad import nn, tree
from tapegrad.errors import TapegradError
from tapegrad.primitives import forms
from tapegrad.tracer import FUNCTIONS, METHODS, UFUNCS

V, X, S, T = array(3), array(2, 3), array(3, 3), array(2, 3, 2)
W = array(3, seed=1)
AXES = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}, {"axis": ()}]
REDUCING = [np.sum, np.mean, np.prod, np.max, np.min, np.amax, np.amin, np.ptp, np.var, np.std]
OPERANDS = [(V, W), (X, V), (V, S), (X, S), (T, X), (V, T), (T, T.swapaxes(1, 2)), (X, X)]
PRODUCTS = [np.dot, np.inner, np.outer, np.vdot, np.matmul, np.vecdot, np.kron, np.cross, np.linalg.matmul]
PRODUCTS += [np.linalg.vecdot, np.linalg.outer, np.linalg.cross]
PRODUCTS += [getattr(np, name) for name in ("matvec", "vecmat") if hasattr(np, name)]


def _of_two(ufunc: np.ufunc) -> list[Case]:
    shapes = [((3,), (3,)), ((2, 1), (3,)), ((), (2,)), ((2, 3), ()), ((0,), (1,)), ((), ())]
    made = [test_elementwise.of_two(ufunc, *pair) for pair in shapes]
    x, z = made[0].args
    few = [case(ufunc, x, 1.0), case(ufunc, 1.0, z), case(ufunc, float(x[0]), 1.0), case(ufunc, 1.0, float(z[0]))]
    return [*made, *few, *[case(ufunc, a, a) for a in (x, float(x[0]))]]


ADDED = [
    *[test_elementwise.of_one(f, shape) for f in test_elementwise.UNARY for shape in ((3,), (2, 1))],
    *[made for f in test_elementwise.BINARY for made in _of_two(f)],
    *[case(f, X, **axes) for f in REDUCING for axes in AXES],
    *[case(f, x, **axes) for f in (np.cumsum, np.cumprod) for x in (V, X) for axes in ({}, {"axis": 0})],
    *[case(f, X, where=X > 0.6, **start) for f, start in ((np.sum, {}), (np.mean, {}), (np.max, {"initial": 0.1}))],
    *[case(f, X, ddof=1, axis=1) for f in (np.var, np.std)],
    case(np.average, X, 1, X + 1),
    case(np.average, X),
    *[case(f, *pair) for f in PRODUCTS for pair in OPERANDS],
    case(np.tensordot, X, S, 1),
    *[case(np.linalg.tensordot, *operands, axes=1) for operands in ((X, S), (V, W))],
    case(np.tensordot, T, X, ([1, 0], [1, 0])),
    *[case(np.linalg.norm, x, order) for x in (V,) for order in (None, 1, 2, 3, np.inf, 0.5)],
    *[case(np.linalg.norm, X, order, axis=(0, 1)) for order in (None, "fro", 1, np.inf)],
    case(np.linalg.vector_norm, X, axis=1),
    case(np.linalg.matrix_norm, X),
    case(np.linalg.multi_dot, [X, S, V]),
    case(np.linalg.matrix_power, S, 3),
    *[case(f, S) for f in (np.trace, np.linalg.trace)],
    *[case(np.einsum, text, *pair) for text, pair in (("ij,jk->ik", (X, S)), ("ij,ij", (X, X)), ("i,j->ij", (V, W)))],
    case(np.einsum, "ii->i", S),
    case(np.einsum, "i,i,i->i", V, W, V),
    *[case(f, X) for f in (np.add.reduce, np.multiply.reduce, np.maximum.reduce, np.minimum.reduce)],
    *[case(f, X) for f in (np.add.accumulate, np.multiply.accumulate)],
    *[case(f.outer, V, W) for f in (*test_elementwise.BINARY, np.divmod)],
    case(np.ldexp.outer, V, np.array([1, 2])),
    *[case(np.i0, x) for x in (X, 0.0)],
    case(np.full, (2, 2), 1.5),
    case(np.full_like, X, 2.5),
    *[case(f, x) for f in (np.array, np.asarray, np.asanyarray, np.ascontiguousarray) for x in (X, [1.5, V[0], 2])],
    case(np.array, [V, [1, 2, 3]]),
    *[case(f, x) for f in (nn.relu, nn.sigmoid, nn.softplus, nn.log_sigmoid, nn.logcosh) for x in (X - 1, 0.5)],
    *[case(nn.log1mexp, x) for x in (X, 0.5)],
    *[case(f, X, axis=k) for f in (nn.softmax, nn.log_softmax, nn.logsumexp) for k in (0, (0, 1), None)],
    case(nn.logsumexp, X, None, X + 1),
    case(nn.softmax, X, where=X > 0.6),
    case(nn.log_softmax, X, where=X > 0.6),
    case(nn.softmax_cross_entropy, X, X + 1),
    case(nn.softmax_cross_entropy, X, X[:1], 0),
    case(nn.softmax_cross_entropy_with_integer_labels, X, np.zeros(X.shape[:-1], int)),
    *[case(nn.affine, x, X.T, b) for x in (X, X[0]) for b in (X[0, 0], X[:, 0])],
]


def named(function: Callable[..., Any], *args: Any, name: str) -> Case:
    def call(*args: Any) -> Any:
        return function(*args)

    call.__qualname__ = name
    return Case(call, args)


def _in_place(x: Any) -> Any:
    y = x * 2
    y //= 0.7
    y += x
    return y * x


ADDED += [
    named(_in_place, X, name="in place"),
    named(abs, np.array([0.0, 1.0]), name="abs at its tip"),
    *[
        named(lambda x, at=at: x[at], T, name=f"x[{at}]")
        for at in (0, -1, (0, 1, 1), slice(1), (slice(None), 1), ..., None, [1, 0, 1], (0, [1, 1]), T > 1)
    ],
    named(lambda x: x[1], V, name="x[1] of a vector"),
    named(lambda x: x[0] * x[1] * x[1:] + x[2], V, name="picks"),
    named(tg.checkpoint(lambda x: np.sin(x) * x), V, name="checkpoint"),
    named(lambda x: x.flat[1:], X, name="x.flat"),
    named(lambda x: -x + x.T @ x - abs(x) ** 2 / (1 + x) % 3, S, name="operators"),
    named(lambda x: x.item(1) * 2, V, name="item"),
    named(lambda x: np.sin(np.float64(x)) * x, 0.5, name="of a number"),
]


@cache
def calls() -> tuple[Case, ...]:
    """All calls: of each other file its cases, then those of this one."""
    found = []
    for module in (test_elementwise, test_structure, test_joining, test_indexing, test_sorting, test_creation):
        for value in vars(module).values():
            found += [part for part in value if isinstance(part, Case)] if isinstance(value, list) else []
    return (*found, *ADDED)


def _first(leaf: Any) -> Any:
    return np.array(np.ravel(leaf)[0]) if np.size(leaf) else leaf


def _turned(leaf: Any) -> Any:
    return leaf * np.asarray(0.8 + 0.6j, np.result_type(leaf, np.complex64))[()] if type(leaf) is not complex else leaf


VARIANTS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda leaf: leaf,
    "float32": lambda leaf: leaf.astype(np.float32) if np.asarray(leaf).dtype == float and np.ndim(leaf) else leaf,
    "complex": _turned,
    "no axes": _first,
    "numbers": lambda leaf: _first(leaf).item() if np.size(leaf) else leaf,
    "no rows": lambda leaf: leaf[:0] if np.ndim(leaf) else leaf,
    "no columns": lambda leaf: leaf[..., :0] if np.ndim(leaf) else leaf,
}


def variant(call: Case, name: str) -> Case | None:
    """The call with other arguments; None where NumPy does not take them, or they are what they were."""
    args = tuple(tree.map(lambda leaf: VARIANTS[name](leaf) if varies(leaf) else leaf, call.args))
    if name != "as it is":
        kinds = [[(type(x), np.asarray(x).dtype, np.shape(x)) for x in tree.leaves(a)] for a in (args, call.args)]
        if kinds[0] == kinds[1]:
            return None
    if (
        isinstance(call.args[0], str) and call.args[0] == "ii->i" and name in ("no rows", "no columns")
    ):  # for which NumPy reads beyond the end
        return None
    try:
        with np.errstate(all="ignore"):
            call.function(*args, **call.kwargs)
    except (TypeError, ValueError, IndexError, ZeroDivisionError, AttributeError, np.linalg.LinAlgError):
        return None
    return Case(call.function, args, call.kwargs, call.order)


def like(value: Any, seed: int) -> Any:
    """A direction: random numbers of the structure, types and dtypes of a value."""
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> Any:
        if not varies(leaf):
            return np.zeros(np.shape(leaf)) if np.ndim(leaf) else 0.0
        x = rng.uniform(-1, 1, np.shape(leaf)) + 1j * rng.uniform(-1, 1, np.shape(leaf)) * np.iscomplexobj(leaf)
        x = x if np.iscomplexobj(leaf) else x.real
        return np.asarray(x, leaf.dtype) if isinstance(leaf, np.ndarray) else type(leaf)(x)

    return tree.map(draw, value)


def pair(a: Any, b: Any) -> tuple[float, float]:
    """The pairing Re(Σ a b) of two nests, and the sum of the magnitudes in it."""
    terms = [np.ravel(np.real(np.multiply(x, y))) for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True)]
    each = np.concatenate([np.zeros(0), *terms])
    return float(each.sum()), float(np.abs(each).sum())


def kinds_of(value: Any) -> list[Any]:
    return [(type(x), np.shape(x), np.asarray(x).dtype) for x in tree.leaves(value) if varies(x)]


def check_both_modes(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """⟨c, Ju⟩ = ⟨Jᵀc, u⟩; tangents are like values; linearize gives what jvp does; where one mode refuses, so do all."""
    try:
        value, pullback = tg.vjp(f, *args)
    except (TapegradError, TypeError) as error:
        for forth in (lambda: tg.jvp(f, args, like(args, 1)), lambda: tg.linearize(f, *args)):
            with pytest.raises(type(error)):
                forth()
        return
    u, c = like(args, 1), like(value, 2)
    try:
        cots = pullback(c)
    except TapegradError as error:
        with pytest.raises(type(error)):
            tg.jvp(f, args, u)
        return
    primal, t = tg.jvp(f, args, u)
    assert kinds_of(primal) == kinds_of(value)
    assert kinds_of([x for x, y in zip(tree.leaves(t), tree.leaves(value), strict=True) if varies(y)]) == kinds_of(
        value
    )
    one, linear = tg.linearize(f, *args)
    again = linear(*u)
    for mine, other in ((primal, value), (one, value), (again, t)):
        assert tree.structure(mine) == tree.structure(other)
        for x, y in zip(tree.leaves(mine), tree.leaves(other), strict=True):
            assert (np.shape(x), np.asarray(x).dtype) == (np.shape(y), np.asarray(y).dtype)
            near = 8 * np.finfo(np.result_type(x, np.float32)).eps  # BLAS may round by where the memory begins
            np.testing.assert_allclose(x, y, near, near)
    (forth, size), (back, _) = pair(c, t), pair(cots, u)
    if np.isfinite(forth) or all([np.all(np.isfinite(y)) for y in tree.leaves(value)]):
        eps = max([float(np.finfo(d).eps) for *_, d in kinds_of((value, args))], default=2.0**-52)
        assert abs(forth - back) <= 50 * eps * max(size, pair(cots, u)[1], 1.0)


@cache
def variants(name: str) -> tuple[Case, ...]:
    with np.errstate(all="ignore"):
        return tuple([made for call in calls() if (made := variant(call, name))])


def plainly(call: Case) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return alone(lambda *args: call.function(*args, **call.kwargs), call.args)


def derivatives(call: Case) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """The derivatives of a call, forward and backward, as functions of its arguments and a direction, if it has any."""
    f, args = plainly(call)
    u = like(args, 3)
    try:
        value = tg.jvp(f, args, u)[0]
    except (TapegradError, TypeError):
        return []
    c = like(value, 4)
    forth = lambda *args: tg.jvp(f, args[:-1], args[-1])[1]
    back = lambda *args: tg.vjp(f, *args[:-1])[1](args[-1])
    return [(forth, (*args, u)), (back, (*args, c))]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.filterwarnings("ignore")
def test_both_modes(name: str) -> None:
    wrong = []
    for call in variants(name):
        try:
            check_both_modes(*plainly(call))
        except Exception as error:  # all that is wrong is told at once
            wrong.append(f"{call}: {type(error).__name__}: {str(error)[:200]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["as it is", "complex"])
@pytest.mark.filterwarnings("ignore")
def test_both_modes_of_either_derivative(name: str) -> None:
    wrong = []
    for call in variants(name):
        for mode, derivative in zip(("fwd", "rev"), derivatives(call)):
            try:
                check_both_modes(*derivative)
            except Exception as error:
                wrong.append(f"{mode} of {call}: {type(error).__name__}: {str(error)[:200]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "rule",
    [
        lambda t, y, x: 2.0001 * t * x,
        lambda t, y, x: 2 * np.abs(t) * x,
        lambda t, y, x: np.sum(2 * t * x),
        lambda t, y, x: (2 * t * x).astype(np.float32),
    ],
)
def test_check_can_fail(rule: Callable[..., Any]) -> None:
    for forth in (None, lambda t, y, x: 2 * t * x, rule):
        square = tg.primitive(lambda x: x * x)
        square.defvjp(0)(lambda g, y, x: 2 * g * x)
        if forth is not None:
            square.defjvp(0)(forth)
        if forth is not rule:
            check_both_modes(square, (V,))
    with pytest.raises((AssertionError, TapegradError)):
        check_both_modes(square, (V,))


# what was forgotten


# what is no function of numbers: it writes into an array (see test_assignment)
WRITES = {np.copyto, np.put, np.putmask, np.place, np.put_along_axis, np.fill_diagonal, np.empty_like}
# of which NumPy takes no complex numbers, or no arrays without elements
REAL = {f for table in (test_elementwise.UNARY, test_elementwise.BINARY) for f, (*_, both) in table.items() if not both}
REAL |= (
    {(f, "outer") for f in REAL} | {f for ufunc in (np.divmod, np.ldexp) for f in (ufunc, (ufunc, "outer"))} | {np.i0}
)
REAL |= {nn.softplus, nn.log_sigmoid, nn.logcosh, nn.log1mexp}
FULL = {np.full, np.extract, np.select, np.take_along_axis, np.linalg.matrix_power, np.linalg.multi_dot}
FULL |= {nn.softmax_cross_entropy_with_integer_labels}


def rules() -> dict[Any, str]:
    """What has a rule and is no constant, with the name that a person knows it by."""
    constant = UFUNCS[np.floor].__code__
    made = {key: rule for key, rule in {**UFUNCS, **FUNCTIONS}.items() if rule.__code__ is not constant}
    made |= {key: rule for key, rule in METHODS.items() if key[0] in made and key[1] != "at"}
    made |= {getattr(nn, name): None for name in nn.__all__}
    return {key: _title(key) for key in made.keys() - WRITES}


def _title(key: Any) -> str:
    return f"{key[0].__name__}.{key[1]}" if isinstance(key, tuple) else name_of(key)


def _key(function: Any) -> Any:
    """A function as the tables know it, a method of a ufunc by the two names."""
    home = getattr(function, "__self__", None)
    return (home, function.__name__) if isinstance(home, np.ufunc) else function


def test_every_rule_is_met() -> None:
    """A new rule needs a line in the tables; its name stands here until it has one."""
    met = {_key(call.function) for call in variants("as it is")}
    assert sorted(name for key, name in rules().items() if key not in met) == []


@pytest.mark.parametrize(
    ("names", "without"),
    [(["float32"], {np.full}), (["complex"], REAL), (["no rows", "no columns"], FULL), (["no axes"], None)],
)
def test_every_rule_is_met_in_every_variant(names: list[str], without: set[Any] | None) -> None:
    met = {_key(call.function) for name in names for call in variants(name)}
    of_elements = {key for key in rules() if isinstance(key, np.ufunc) and key.signature is None}
    wanted = of_elements if without is None else rules().keys() - without
    assert sorted(_title(key) for key in wanted - met) == []
    assert sorted(_title(key) for key in (without or set()) & met) == []  # it is none that is left out


@pytest.mark.filterwarnings("ignore")
def test_every_primitive_is_met() -> None:
    """Each of tapegrad's primitives, those that only rules call among them, is gone through forward.

    What joins a function with a rule that somebody gave it is met in the tests of folding.
    """
    met = set()
    for name in ("as it is", "numbers"):
        for call in variants(name):
            for f, args in (plainly(call), *derivatives(call)):
                try:
                    linear = tg.linearize(f, *args)[1]
                except (TapegradError, TypeError):
                    continue
                met |= {forms.NAMES[e[2]] for e in linear.recording.entries}
    command = "import tapegrad; from tapegrad.primitives.forms import NAMES; print(*NAMES)"
    own = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, text=True).stdout.split()
    assert sorted(set(own) - met - {"_joined"}) == []
