"""Sums of products by subscripts: `einsum`, linear in each operand, whose rules are sums of products too."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..primitives.define import composed, general
from ..primitives.definition import Definition
from .products import Shape, _array
from .structure import _shape

_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _einsum(subscripts: str, *operands: Any, out: None = None, optimize: Any = False, **options: Any) -> Any:
    return np.einsum(subscripts, *operands, optimize=optimize, **options)


_einsum_definition = Definition(
    _einsum, "einsum", ("subscripts", "optimize"), views=True, multilinear=range(1, 53)
)  # a view of one operand
_record_einsum = general(_einsum_definition, np.einsum)


@composed(np.einsum)
def einsum(*operands: Any, out: None = None, optimize: Any = False, **options: Any) -> Any:
    if not isinstance(operands[0], str):  # array, labels, array, labels, ..., perhaps labels of the result
        n = len(operands) // 2 * 2
        subscripts = ",".join(map(_spell, operands[1:n:2])) + "".join(["->" + _spell(k) for k in operands[n:]])
        operands = (subscripts, *operands[:n:2])
    return _record_einsum(operands[0], *map(_array, operands[1:]), out=out, optimize=optimize, **options)


def _spell(labels: Any) -> str:
    return "".join(["..." if k is Ellipsis else _LETTERS[k] for k in labels])


@functools.lru_cache(1024)
def _read(subscripts: str, shapes: tuple[Shape, ...]) -> tuple[list[str], str, dict[str, int]]:
    """The letters of each operand and of the result, and the length of each; dots become letters, too."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    if not arrow:
        out = "..." + "".join(sorted(c for c in {*left} - {*",."} if left.count(c) == 1))
    free = "".join([c for c in _LETTERS if c not in subscripts])
    terms = left.split(",")
    dots = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes)]
    most = max(dots)
    terms = [term.replace("...", free[most - n : most]) for term, n in zip(terms, dots)]
    return terms, out.replace("...", free[:most]), _lengths(terms, shapes)


def _lengths(terms: Sequence[str], shapes: Sequence[Shape]) -> dict[str, int]:
    """How long each letter is, where those of length 1 are stretched."""
    found: dict[str, int] = {}
    for term, shape in zip(terms, shapes):
        found |= {c: n for c, n in zip(term, shape) if found.get(c, 1) == 1}
    return found


@functools.lru_cache(1024)
def _way_back(subscripts: str, shapes: tuple[Shape, ...], k: int) -> tuple[str, Shape, list[tuple[int, int]], bool]:
    """What gives the cotangent of operand k: an einsum of ḡ and the others; the shape of that with length 1 for
    what is yet to be repeated; which axes were a diagonal; and whether it pays to look for the best order."""
    terms, out, lengths = _read(subscripts, shapes)
    term, shape = terms[k], shapes[k]
    others = [t for j, t in enumerate(terms) if j != k]
    there = _lengths(others, [s for j, s in enumerate(shapes) if j != k]) | {c: lengths[c] for c in out}
    wanted = [c for c in dict.fromkeys(term) if c in there and shape[term.index(c)] == lengths[c]]
    line = tuple([there[c] if c in wanted and term.index(c) == p else 1 for p, c in enumerate(term)])
    twins = [(term.index(c), p) for p, c in enumerate(term) if term.index(c) < p]
    return ",".join([out, *others]) + "->" + "".join(wanted), line, twins, math.prod(lengths.values()) > 10_000


def _einsum_back(k: int, g: Any, subscripts: str, operands: tuple[Any, ...], optimize: Any) -> Any:
    """The einsum of ḡ and the other operands that has the letters of operand k."""
    shape = _shape(operands[k])
    back, line, twins, large = _way_back(subscripts, tuple(map(_shape, operands)), k)
    best = large or (optimize if isinstance(optimize, (bool, str)) else True)
    x = np.reshape(np.einsum(back, g, *operands[:k], *operands[k + 1 :], optimize=best), line)
    for p, q in twins:
        along = np.arange(shape[p])
        x = np.where(np.equal(*[along.reshape([-1 if k == j else 1 for k in range(len(shape))]) for j in (p, q)]), x, 0)
    return np.broadcast_to(x, shape)


def _einsum_rule(k: int) -> Callable[..., Any]:
    def rule(g: Any, _y: Any, subscripts: str, *operands: Any, optimize: Any, **_: Any) -> Any:
        return _einsum_back(k, g, subscripts, operands, optimize)

    return rule


_add = _einsum_definition.add  # the rules of the first three operands do not keep the operand itself
# fmt: off
_add(1, lambda g, _y, s, _a=None, *z, optimize, **_: _einsum_back(0, g, s, (_a, *z), optimize))
_add(2, lambda g, _y, s, a=None, _b=None, *z, optimize, **_: _einsum_back(1, g, s, (a, _b, *z), optimize))
_add(3, lambda g, _y, s, a=None, b=None, _c=None, *z, optimize, **_: _einsum_back(2, g, s, (a, b, _c, *z), optimize))
# fmt: on
for _k in range(3, 52):
    _add(_k + 1, _einsum_rule(_k))
