"""The arguments that a transform differentiates by: chosen by argnums, taken apart into leaves."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from . import tree
from .errors import ArgnumsError
from .frame import Frame
from .primitives.inputs import parameter
from .primitives.recording import collect, enter
from .tracer import Tracer, is_inexact

Argnums = int | Sequence[int]

_LEAVES = frozenset({float, np.ndarray, Tracer})


class Arguments:
    """The arguments of one call that are differentiated by, taken apart into leaves."""

    __slots__ = ("chosen", "indices", "leaves", "structures")

    def __init__(self, frame: Frame, args: list[Any], chosen: tuple[int, ...], fun: Any = None) -> None:
        self.chosen = chosen
        self.leaves: list[Any] = []
        self.indices: list[int] = []
        self.structures: list[Any] = []  # None for an argument that is a leaf
        for k in chosen:
            argument = args[k]
            if type(argument) in _LEAVES or not tree.is_node(argument):
                leaves, structure = [argument], None
            else:
                leaves, structure = tree.flatten(argument)
            made = enter(frame, leaves, argument, k, self.indices, fun)
            args[k] = made[0] if structure is None else structure.unflatten(made)
            self.leaves += leaves
            self.structures.append(structure)

    def gather(self, cots: Any) -> list[Any]:
        """The cotangents, one for each chosen argument, in its structure."""
        return self.shape(collect(self.leaves, self.indices, cots))

    def shape(self, results: list[Any]) -> list[Any]:
        """A result for each leaf, as one for each chosen argument, in its structure."""
        if len(self.structures) == 1:
            (structure,) = self.structures
            return results if structure is None else [structure.unflatten(results)]
        rest = iter(results)
        return [
            next(rest) if s is None else s.unflatten([next(rest) for _ in range(s.num_leaves)])
            for s in self.structures
        ]


def check_argnums(argnums: Any, name: str, word: str = "argnums") -> int | tuple[int, ...]:
    """argnums, or what goes by another `word`, as an int or a tuple of ints."""
    given = [argnums] if isinstance(argnums, (int, np.integer)) else argnums
    try:
        odd = isinstance(argnums, (str, bytes, bytearray, Mapping, Set))
        if odd or any(isinstance(k, (bool, np.bool_)) for k in given):
            raise TypeError
        numbers = tuple([operator.index(k) for k in given])
    except TypeError:
        raise ArgnumsError(
            f"{name} got {word}={argnums!r:.80}".replace("\n", " "),
            f"{word} is the position of an argument, or a sequence of positions",
            f"write {word}=0 or {word}=(0, 1), and f's own arguments in brackets of their own: {name}(f)(x)",
        ) from None
    return numbers[0] if given is not argnums else numbers


def choose(fun: Any, argnums: int | tuple[int, ...], args: Any, kwargs: Any, name: str) -> Any:
    """The call with every differentiated argument in its position, and those positions."""
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if kwargs and any(k >= len(args) or k < 0 for k in numbers):
        try:
            bound = inspect.signature(fun).bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        except (TypeError, ValueError):
            pass
    n = len(args)
    chosen = tuple([k + n if k < 0 else k for k in numbers])
    outside = any(not 0 <= k < n for k in chosen)
    if outside or len(set(chosen)) < len(chosen):
        words = [*kwargs]
        hint = "pass what to differentiate by by position"
        if outside and words:
            hint += f", or write a lambda that does: lambda x: f(..., {words[0]}=x)"
        elif n:
            hint = f"choose from {-n} to {n - 1}" + ", each argument once" * (not outside)
        raise ArgnumsError(
            f"{name} got argnums={argnums!r}" + ", which names an argument twice" * (not outside),
            f"the function was called with {n} positional argument{'s' * (n != 1)}"
            + f", and with {', '.join(words)} by keyword" * bool(words),
            hint,
        )
    return list(args), kwargs, chosen


def varies(argument: Any) -> bool:
    """Whether an argument has a leaf that can vary continuously."""
    return any(isinstance(leaf, Tracer) or is_inexact(leaf) for leaf in tree.leaves(argument))


def name_leaves(fun: Any, args: Any, arguments: Arguments) -> list[str]:
    """The names of the traced leaves, as a person would write them: x, params['w']."""
    names = []
    for k in arguments.chosen:
        name = parameter(fun, k) or f"argument {k}"
        names += [name + tree.keystr(path) for path, _ in tree.leaves_with_path(args[k])]
    return names
