"""Memory: the tape keeps what a person would keep, and not more."""

import pytest
from contenders import HAND, installed, prepare
from footprint import checkpointed_layers, dense_layers, import_times, peak, tanh_layers
from workloads import WORKLOADS


def times_hand(name, work):
    return peak(prepare(name, work)) / peak(prepare(HAND, work))


@pytest.mark.parametrize("name", ["tapegrad", "tapegrad.numpy"])
@pytest.mark.parametrize(
    ("work", "most"),
    [
        (tanh_layers(200), 1.05),
        (dense_layers(200, 256, 96), 1.05),
        (dense_layers(200, 256, 64), 1.05),
        (checkpointed_layers(), 0.25),
        (WORKLOADS["large"], 1.1),
    ],
    ids=["tanh", "dense, 96 wide", "dense, 64 wide", "checkpoints", "network"],
)
def test_peak(name, work, most):
    assert times_hand(name, work) <= most


def test_a_peak_counts_what_is_there_at_once():
    def run():
        for _ in range(3):
            bytearray(1_000_000)
        return [bytearray(500_000) for _ in range(4)]

    assert 2_000_000 <= peak(run) < 2_100_000


def test_import_times():
    taken = import_times(1)
    assert taken.keys() == {*installed()}
    assert min(taken.values()) > 0
