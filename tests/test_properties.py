"""Random programs that assign and share memory: every derivative of one is every other's, or the program is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from programs import compare, draw

import tapegrad as tg

settings.register_profile(
    "programs",
    derandomize=True,
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


@settings.get_profile("programs")
@given(st.data(), st.integers(1, 3))
def test_derivatives_of_random_programs(data: Any, order: int) -> None:
    def pick(items: Sequence[Any]) -> Any:
        return items[data.draw(st.integers(0, len(items) - 1))]

    program = draw(pick)
    outcome = compare(program, order)
    note(program.source())
    assert outcome.kind != "different", "\n".join(outcome)


SLICES = ["[:]", "[::-1]", "[1:]", "[:-1]", "[1:3]", "[::2]", "[0:1]"]
LINEAR = [
    "{n} = {v}{s}",
    "{v} *= 3.0",
    "{v}[{i}] = 2.0 * {w}[{i}]",
    "{v}[0], {v}[-1] = {v}[-1], {v}[0]",
    "{v} += x[{k}]",
    "{v}[{i}:][:1] += {w}[:1]",
]


@settings(settings.get_profile("programs"), max_examples=100)
@given(st.data())
def test_linear_programs_of_views(data: Any) -> None:
    """The Jacobian is what the program makes of the unit vectors, and the derivative along x is the value at x."""

    def pick(items: Sequence[Any]) -> Any:
        return items[data.draw(st.integers(0, len(items) - 1))]

    names, lines = ["y0"], ["y0 = x * 1.0"]
    for _ in range(data.draw(st.integers(3, 16))):
        words = {"v": pick(names), "w": pick(names), "s": pick(SLICES), "i": pick([0, -1]), "k": pick([0, 1, 2, 3])}
        line = pick(LINEAR)
        if "{n}" in line:
            names.append(f"y{len(names)}")
        lines.append(line.format(n=names[-1], **words))
    source = "\n    ".join(["def f(x):", *lines, f"return np.concatenate([{', '.join(names)}])"])
    note(source)
    space: dict[str, Any] = {"np": np}
    exec(source, space)
    f, x = space["f"], np.array([1.0, 10.0, 100.0, 1000.0])
    try:
        jacobian = np.stack([f(e) for e in np.eye(4)], -1)
    except IndexError:  # of an empty view
        return
    value, pullback = tg.vjp(f, x)
    np.testing.assert_allclose(value, jacobian @ x)
    np.testing.assert_allclose([pullback(e)[0] for e in np.eye(len(value))], jacobian)
    np.testing.assert_allclose(tg.jvp(f, (x,), (x,)), [value, value])
