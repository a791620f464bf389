"""Random programs that assign and share memory: every derivative of one is every other's, or the program is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from programs import compare, draw

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
