"""Random programs that assign and share memory: every derivative of one is every other's, or the program is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from programs import LAYOUTS, Program, compare, draw
from statements import STATEMENTS

# Wrong today, so not drawn here; `python tests/programs.py 0 60` draws it. To be struck out as it is mended.
OPEN = [
    *STATEMENTS["constant"],  # an array that nobody traces, changed after the tape kept it
    *STATEMENTS["constant, kept"],
    *LAYOUTS[2:],  # the copy that the tape makes is laid out otherwise, and reshape gives a view of it
    "{a}.flat[1] = {r}",  # lost, where memory is not in the order of C
    "{n} = np.copy({a})",  # these are laid out otherwise than NumPy's
    "{n} = np.repeat({a}, 2, {x})",
    "{n} = np.sort({a}, {x})",
]

settings.register_profile(
    "programs",
    derandomize=True,
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


@st.composite
def programs(choose: Any) -> Program:
    def pick(items: Sequence[Any]) -> Any:
        return items[choose(st.integers(0, len(items) - 1))]

    return draw(pick, without=OPEN)


@settings.get_profile("programs")
@given(programs(), st.integers(1, 3))
def test_derivatives_of_random_programs(program: Program, order: int) -> None:
    outcome = compare(program, order)
    note(program.source())
    assert outcome.kind != "different", "\n".join(outcome)
