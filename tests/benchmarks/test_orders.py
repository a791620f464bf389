"""What is timed is right: products, pullbacks and Hessians agree, and a checkpoint saves memory."""

import pytest
from orders import memory, runs, workloads

WORKLOADS = workloads()


@pytest.mark.parametrize("title", WORKLOADS)
def test_further_orders_agree(title):
    made = runs(*WORKLOADS[title])  # which compares them
    for run in made.values():
        run()


def test_memory():
    mb = memory(40, 10_000)
    assert mb["checkpointed by ten"] < 0.5 * mb["all kept"]
    assert mb["jvp"] < 10 * mb["one array"]
