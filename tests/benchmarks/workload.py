"""A workload: a function, where it is differentiated, and the same derivative written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Function = Callable[..., Any]
Wanted = Literal["grad", "value_and_grad", "hvp", "hessian", "jacobian"]


@dataclass(frozen=True)
class Workload:
    """A function of the first of `args`, made by `make(np)` from the namespace of a library.

    It is written once, so that every library runs the same lines; where one has to be told otherwise, `makes` has
    its own maker under the name of the contender, and None if it cannot do this at all. `by_hand(*args)` is what a
    person who knows NumPy would write in its place: the same numbers, forward and backward, keeping what the way
    back needs and nothing else.

    `wanted` names the transform; of a Hessian-vector product the vector is the last of `args`. `scalar` workloads
    consist of Python numbers and operators alone. Where a bare `call` is measured its time is told in microseconds,
    for what is beside it is next to nothing.
    """

    title: str
    make: Callable[[Any], Function]
    by_hand: Function
    args: tuple[Any, ...]
    wanted: Wanted = "value_and_grad"
    scalar: bool = False
    call: bool = False
    makes: Mapping[str, Callable[[Any], Function] | None] = field(default_factory=dict)
