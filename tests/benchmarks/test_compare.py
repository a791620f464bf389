"""The table: who is timed, what the cells say, and when the command fails."""

import re
import signal
import sys
import time
from dataclasses import replace

import compare
import pytest
import timing
from compare import Table, duration, figure, multiple
from contenders import CONTENDERS, HAND, prepare
from timing import Field, qualify, take_turns
from workload import Workload
from workloads import WORKLOADS

OURS = ["tapegrad", "tapegrad.numpy"]
ENTRANTS = [HAND, *OURS]
KEYS = ["square", "large", "memory", "import"]


def square(np):
    return lambda x: x * x


def wrong(np):
    return lambda x: x * x * (1 + 1e-5)


def broken(np):
    def f(x):
        raise ValueError("this cannot be\ndone")

    return f


def endless(np):
    def f(x):
        while True:
            time.sleep(0.01)

    return f


WORK = Workload("square", square, lambda x: (x * x, 2 * x), (3.0,))


@pytest.fixture
def entrants(monkeypatch):
    for module in (compare, timing):
        monkeypatch.setattr(module, "installed", lambda: ENTRANTS)


def test_all_are_timed():
    found = qualify(WORK, names=ENTRANTS)
    assert [*found.runs] == ENTRANTS
    assert not found.verdicts


@pytest.mark.parametrize(
    ("make", "verdict", "reason"),
    [
        (wrong, "wrong", "other numbers than by hand: result 0 is off by up to 9e-05, its largest element is 9"),
        (broken, "–", "ValueError: this cannot be"),
        pytest.param(
            endless, ">", "did not finish its first call in 0.1 s",
            marks=pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers"),
        ),
        (None, "–", None),
    ],
)  # fmt: skip
def test_who_is_not_timed_and_why(make, verdict, reason):
    found = qualify(replace(WORK, makes={"tapegrad.numpy": make}), 0.1, ENTRANTS)
    assert [*found.runs] == [HAND, "tapegrad"]
    assert found.verdicts == {"tapegrad.numpy": verdict}
    assert found.reasons.get("tapegrad.numpy") == reason


@pytest.mark.parametrize(
    "result", [(9.0,), (9.0, [5.9]), (9.0, [6.0], 1.0), ([9.0], [[6.0, 6.0]]), (9.0, float("nan"))]
)
def test_other_numbers(result):
    with pytest.raises(AssertionError):
        timing.compare(result, (9.0, 6.0))


def test_makers_are_inherited():
    work = replace(WORK, makes={"tapegrad": wrong})
    assert prepare("tapegrad.numpy", work)()[0] == 9 * (1 + 1e-5)
    assert prepare("tapegrad.numpy", replace(work, makes={"tapegrad": None})) is None
    assert prepare("tapegrad.numpy", replace(work, makes={"tapegrad": None, "tapegrad.numpy": square}))()[0] == 9


def test_every_contender_has_its_turns():
    runs = dict.fromkeys([HAND, "another"], lambda: None)
    turns = take_turns(Field(runs, dict.fromkeys(runs, 1e-6)), 0.0)
    assert len(turns) == 5
    assert all(turn.keys() == runs.keys() for turn in turns)


def test_a_slow_one_sits_out(monkeypatch):
    monkeypatch.setattr(timing, "SLOW", 0.01)
    monkeypatch.setattr(timing, "ENOUGH", 0.03)
    runs = {HAND: lambda: None, "slow": lambda: time.sleep(0.02)}
    turns = take_turns(Field(runs, {HAND: 1e-6, "slow": 0.02}), 0.0)
    assert [("slow" in turn) for turn in turns] == [True, True, False, False, False]


def test_ratios_are_of_the_same_turn():
    turns = [{HAND: 1.0, "a": 2.0}, {HAND: 10.0, "a": 30.0}, {HAND: 1.0}, {HAND: 1.0, "a": 4.0}]
    assert timing.ratio(turns, "a") == (3.0, 2.0)


@pytest.mark.parametrize(
    ("make", "status", "cell"), [(square, 0, r"\d\.?\d* µs"), (wrong, 1, "wrong"), (broken, 1, "–"), (None, 0, "–")]
)
def test_the_command(monkeypatch, capsys, entrants, make, status, cell):
    monkeypatch.setitem(WORKLOADS, "square", replace(WORK, call=True, makes={"tapegrad.numpy": make}))
    monkeypatch.setitem(WORKLOADS, "large", WORK)
    for layers in ("tanh_layers", "dense_layers", "checkpointed_layers"):
        monkeypatch.setattr(compare, layers, lambda: WORK)
    monkeypatch.setattr(compare, "import_times", lambda: dict.fromkeys(ENTRANTS, 0.05))
    monkeypatch.setattr(sys, "argv", ["compare.py", *KEYS, "--seconds", "0", "--markdown"])
    assert compare.main() == status
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("|")]
    assert lines[0].startswith("| | NumPy by hand | tapegrad |")
    assert lines[1] == "|---" * (1 + len(ENTRANTS)) + "|"
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    titles = ["square"] * 5 + ["peak memory: square", "import, beside NumPy's own"]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {title}" for title in titles]
    assert re.search(rf"\| {cell} \|$", lines[2])
    assert "tapegrad on plain NumPy beside tapegrad.numpy, in the same turns: " in out


def test_columns_say_both_figures(entrants):
    table = Table(seconds=0.0)
    table.time("square", WORK)
    assert re.fullmatch(r"[\d.]+ µs \([\d.]+ µs\)", table.rows[0][1][HAND])
    assert re.fullmatch(r"[\d,.]+ \([\d,.]+\)", table.rows[0][1]["tapegrad"])
    head, _rule, row = str(table).split("\n\n")[0].splitlines()
    assert len(row) <= len(head)
    assert head.endswith("tapegrad.numpy")


def test_a_cell_says_what_was_not_waited_for(monkeypatch):
    late = Field({HAND: lambda: None}, {HAND: 1e-6}, {"tapegrad": ">", "JAX jit": ">"}, {"tapegrad": "it was late"})
    monkeypatch.setattr(compare, "qualify", lambda *_: late)
    table = Table(seconds=0.0, patience=20.0)
    table.time("square", WORK)
    assert table.rows[0][1]["tapegrad"] == "> 20 s"
    assert table.compilations == {"square": "> 20 s"}
    assert not table.failed


@pytest.mark.parametrize(
    ("x", "text"),
    [(1.07, "1.1"), (0.983, "0.98"), (0.996, "1.0"), (9.96, "10"), (15.4, "15"), (501, "500"), (12_345, "12,000")],
)
def test_two_digits(x, text):
    assert figure(x) == text


def test_multiples():
    assert [multiple(x) for x in (0.04, 0.996, 1.07, 2.04, 12.3)] == ["0.040", "1.00", "1.07", "2.0", "12"]


def test_durations():
    assert [duration(s) for s in (2.04e-7, 8.2e-6, 0.0034, 1.5)] == ["0.20 µs", "8.2 µs", "3.4 ms", "1.5 s"]


@pytest.mark.parametrize(("seconds", "in_time"), [(60.0, True), (1e-6, False)])
def test_what_compiles_is_tried_elsewhere(seconds, in_time):
    assert timing.compiles_within(seconds, "tapegrad", "chain100k") is in_time


def test_contenders_are_known_by_what_they_load():
    assert all(contender.loads.startswith(contender.package) for contender in CONTENDERS.values())
