"""The tape as a person reads it."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import CotangentError, OutputError


def f(x, y):
    return x * y + np.sin(x)


def test_the_table_of_a_textbook():
    tape = tg.trace(f)(2.0, 3.0)
    assert str(tape) == (
        " #  operation  inputs  type        value\n"
        "%0  x                  float       2.0\n"
        "%1  y                  float       3.0\n"
        "%2  multiply   %0, %1  float       6.0\n"
        "%3  sin        %0      () float64  0.909297\n"
        "%4  add        %2, %3  () float64  6.9093"
    )
    assert tape.backward() == tg.grad(f, (0, 1))(2.0, 3.0)
    assert str(tape).splitlines()[0].endswith("cotangent")
    assert str(tape).splitlines()[1].endswith("2.58385")
    assert tape.value == f(2.0, 3.0)
    assert len(tape) == 5
    assert [row.operation for row in tape] == ["x", "y", "multiply", "sin", "add"]
    assert repr(tape) == "<tape of trace(f): 5 rows>"


def test_it_keeps_every_value_and_entry():
    tape = tg.trace(lambda x: np.tanh(x + 1.0) * 2.0)(np.array([0.0, 1.0]))
    rows = list(tape)
    assert [row.operation for row in rows] == ["x", "add", "tanh", "multiply"]
    assert np.array_equal(rows[1].value, [1, 2])
    assert np.array_equal(rows[2].value, np.tanh([1, 2]))
    assert rows[1].inputs == ("%0", 1.0)
    assert (rows[2].shape, rows[2].dtype) == ((2,), np.float64)


def test_steps():
    sent = [str(step) for step in tg.trace(lambda x: 3.0 * x * x)(2.0).steps()]
    assert sent == [
        "%2 = multiply(%1, %0): gets 1.0, sends 2.0 to %1, 6.0 to %0",
        "%1 = multiply(3.0, %0): gets 2.0, sends 6.0 to %0",
    ]
    step = next(tg.trace(f)(2.0, 3.0).steps())
    assert step.row.number == 4
    assert step.cotangent == 1.0
    assert step.sends == ((2, 1.0), (3, 1.0))


def test_what_does_not_matter_is_passed_over():
    def g(x):
        _ = x * 5.0
        return x * 2.0

    tape = tg.trace(g)(1.0)
    assert len(tape) == 3
    assert [step.row.number for step in tape.steps()] == [2]


def test_trees_keywords_containers_and_several_outputs():
    def g(p, x, n, scale=1.0):
        h = np.concatenate([p["w"] * x, p["b"][0]], axis=0)
        return np.sum(h[:2], axis=0, keepdims=True)[0] * scale * n

    tape = tg.trace(g)({"w": np.ones(3), "b": [np.zeros(2)]}, 2.0, 3, scale=0.5)
    text = str(tape)
    for part in ("p['b'][0]", "p['w']", "concatenate", "[%3, %0]", "keepdims=True", "%7"):
        assert part in text
    gp, gx = tape.backward()
    expected = tg.grad(g, (0, 1))({"w": np.ones(3), "b": [np.zeros(2)]}, 2.0, 3, scale=0.5)
    assert np.array_equal(gp["w"], expected[0]["w"])
    assert gx == expected[1]

    polar = tg.primitive(lambda x, y: (np.hypot(x, y), np.arctan2(y, x)))
    polar.defvjp(lambda g, out, x, y: (g[0] * x / out[0] - g[1] * y / out[0] ** 2, g[0] * y / out[0] + g[1] * x / out[0] ** 2))
    tape = tg.trace(lambda x, y: sum(polar(x, y)))(3.0, 4.0)
    assert tape.backward() == pytest.approx((0.44, 0.92))
    assert "2 outputs" in str(tape)


def test_integers_are_traced_where_nothing_else_is():
    assert tg.trace(lambda x: x * x)(3).backward() == (6.0,)
    assert tg.trace(lambda x, n: x**n)(3.0, 2).backward() == (6.0,)


def test_an_output_that_is_not_one_number_needs_a_cotangent():
    tape = tg.trace(lambda x: x * x)(np.array([1.0, 2.0]))
    with pytest.raises(OutputError) as caught:
        tape.backward()
    assert len(str(caught.value).splitlines()) == 3
    assert np.array_equal(tape.backward(np.array([1.0, 10.0]))[0], [2, 40])
    with pytest.raises(CotangentError):
        tape.backward(np.ones(3))
    tape = tg.trace(lambda x: {"a": x * x, "b": x})(2.0)
    assert tape.backward({"a": 1.0, "b": 10.0}) == (14.0,)


def test_a_gradient_can_be_traced_and_a_trace_differentiated():
    tape = tg.trace(tg.grad(lambda x: x**3))(2.0)
    assert tape.value == 12.0
    assert tape.backward() == (12.0,)
    assert tg.grad(lambda x: tg.trace(lambda y: y * y * x)(x).backward()[0])(3.0) == 12.0


def test_reading_twice_gives_the_same():
    tape = tg.trace(f)(2.0, 3.0)
    assert tape.backward() == tape.backward()


def test_long_values_are_short():
    tape = tg.trace(lambda x: np.sum(x * np.arange(1000.0)))(np.ones(1000))
    assert max(map(len, str(tape).splitlines())) < 100
