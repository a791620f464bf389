"""Nests of tuples, lists and dicts: arguments, and what the contenders give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy


def leaves(nest: Any) -> list[Any]:
    """The parts of a dict in the order of its keys, as most libraries have it."""
    if isinstance(nest, dict):
        return [leaf for key in sorted(nest) for leaf in leaves(nest[key])]
    if isinstance(nest, (list, tuple)):
        return [leaf for part in nest for leaf in leaves(part)]
    return [nest]


def convert(leaf: Callable[[Any], Any], nest: Any) -> Any:
    if isinstance(nest, dict):
        return {key: convert(leaf, part) for key, part in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)([convert(leaf, part) for part in nest])
    return leaf(nest)


def arrays_to(make: Callable[[Any], Any], nest: Any) -> Any:
    return convert(lambda x: make(x) if isinstance(x, numpy.ndarray) else x, nest)
