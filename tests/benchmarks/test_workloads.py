"""What is measured is right: on each workload all contenders that are installed give the same numbers."""

import sys

import pytest
from compare import OURS
from contenders import CONTENDERS, HAND, installed
from footprint import dense_layers, tanh_layers
from timing import qualify
from workloads import WORKLOADS

pytestmark = [pytest.mark.filterwarnings(f"ignore::{name}") for name in ("FutureWarning", "DeprecationWarning")]


@pytest.fixture(autouse=True)
def recursion_limit():
    """One of the contenders raises it."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


def agree(work, names=None):
    found = qualify(work, 5.0, names)
    wrong = {name: reason for name, reason in found.reasons.items() if name in OURS or found.verdicts[name] == "wrong"}
    assert not wrong
    assert found.runs.keys() >= {HAND, *OURS}


@pytest.mark.parametrize("key", WORKLOADS)
def test_contenders_agree(key):
    agree(WORKLOADS[key])


@pytest.mark.parametrize("work", [tanh_layers(20, 100), dense_layers(5, 8, 4)], ids=["tanh", "dense"])
def test_contenders_agree_where_memory_is_measured(work):
    agree(work)


@pytest.mark.parametrize("key", WORKLOADS)
def test_makers_are_of_known_contenders(key):
    assert WORKLOADS[key].makes.keys() <= CONTENDERS.keys()


def test_ours_are_installed():
    assert {HAND, *OURS} <= {*installed()}
