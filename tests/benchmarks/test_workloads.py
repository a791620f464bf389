"""What is timed is right: on each workload all contenders that are installed give the same numbers."""

import sys

import pytest
from compare import HAND, check, contenders, measure, million
from workloads import WORKLOADS


@pytest.fixture(autouse=True)
def recursion_limit():
    """One of the contenders raises it."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", WORKLOADS)
def test_contenders_agree(name):
    runs = contenders(WORKLOADS[name])
    assert {HAND, "tapegrad", "tapegrad.numpy"} <= {*runs}
    check(WORKLOADS[name], runs)


def test_a_wrong_gradient_is_not_timed():
    runs = {HAND: lambda: (1.0, 2.0), "another": lambda: (1.0, 2.001)}
    with pytest.raises(AssertionError, match="result 1 of another"):
        check(WORKLOADS["chain"], runs)


def test_every_contender_has_its_turns():
    taken = measure({HAND: lambda: None, "another": lambda: None}, 0.0)
    assert len(taken[HAND]) == len(taken["another"]) >= 5


def test_a_long_chain(monkeypatch):
    monkeypatch.setattr("compare.LENGTHS", (200, 2_000))
    assert "10,000 operations" in million()
