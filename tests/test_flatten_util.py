"""Trees as vectors: what goes in comes out, in value, shape, class and dtype, traced or not."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import tree
from tapegrad.errors import InputError, TreeError
from tapegrad.flatten_util import ravel_pytree

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)

TREES: list[tuple[Any, list[Any], Any]] = [
    (2.0, [2.0], np.float64),
    ([1.0, (2.0, None)], [1, 2], np.float64),
    ({"b": np.arange(4.0).reshape(2, 2), "a": 5.0}, [5, 0, 1, 2, 3], np.float64),
    (OrderedDict(b=np.ones((1, 2)), a=np.zeros((2, 0, 3))), [1, 1], np.float64),
    ([np.array(3.0), np.float64(4.0)], [3, 4], np.float64),
    ([np.ones(2, np.float32), np.float32(2)], [1, 1, 2], np.float32),
    ([np.ones(2, np.float16), np.ones(1, np.float32)], [1, 1, 1], np.float32),
    ([np.ones(1, np.float32), 0.1], [1, 0.1], np.float64),
    ([np.arange(2, dtype=np.int32), np.array(0.5)], [0, 1, 0.5], np.float64),
    ([1, 2, True], [1, 2, 1], np.int64),
    ([True, np.array([False])], [True, False], np.bool_),
    ([1, 2.5, 1j, True, np.float32(0.5)], [1, 2.5, 1j, 1, 0.5], np.complex128),
    ([np.ones(2, np.complex64), np.ones((1, 1), np.float32)], [1, 1, 1], np.complex64),
    (np.arange(6.0).reshape(2, 3).T, [0, 3, 1, 4, 2, 5], np.float64),
    (np.zeros((0, 2)), [], np.float64),
    ([], [], np.float64),
    (None, [], np.float64),
]


@pytest.mark.parametrize(("t", "numbers", "dtype"), TREES)
def test_there_and_back(t: Any, numbers: list[Any], dtype: Any) -> None:
    flat, unravel = ravel_pytree(t)
    assert isinstance(flat, np.ndarray)
    assert (flat.shape, flat.dtype) == ((len(numbers),), np.dtype(dtype))
    assert flat.tolist() == numbers
    for back in (unravel(flat), pickle.loads(pickle.dumps(unravel))(flat)):
        assert tree.structure(back) == tree.structure(t)
        for one, other in zip(tree.leaves(t), tree.leaves(back), strict=True):
            assert type(one) is type(other)
            assert getattr(one, "dtype", None) == getattr(other, "dtype", None)
            np.testing.assert_array_equal(one, other, strict=True)


def test_order_is_that_of_leaves() -> None:
    flat, _ = ravel_pytree({"c": 1.0, "a": [2.0, 3.0], "b": (4.0,)})
    assert flat.tolist() == tree.leaves({"c": 1.0, "a": [2.0, 3.0], "b": (4.0,)}) == [2.0, 3.0, 4.0, 1.0]


def test_other_vectors() -> None:
    _, unravel = ravel_pytree({"n": 1, "w": np.ones(2, np.float32), "x": 0.5})
    back = unravel(np.array([2.0, 3.0, 4.0, 5.0]))
    assert (type(back["n"]), back["w"].dtype, type(back["x"])) == (int, F32, float)
    back = unravel(np.array([2, 3, 4, 5], np.float32))
    assert (type(back["n"]), back["w"].dtype, type(back["x"])) == (int, F32, float)


def test_a_vector_of_higher_kind_loses_nothing() -> None:
    _, unravel = ravel_pytree([np.ones(1), 1.0, 2])
    back = unravel(np.array([1j, 2j, 3j]))
    assert back[0].dtype == np.complex128
    assert back[1:] == [2j, 3j]
    _, unravel = ravel_pytree([np.ones(1, np.int32), 1])
    back = unravel(np.array([0.5, 1.5]))
    assert back[0].tolist() == [0.5]
    assert back[1] == 1.5


def test_nothing_is_shared() -> None:
    w = np.ones(3)
    flat, unravel = ravel_pytree(w)
    flat[0] = 5.0
    assert w[0] == 1.0
    back = unravel(flat)
    flat[1] = 7.0
    assert back.tolist() == [5.0, 1.0, 1.0]
    back[2] = 9.0
    assert flat.tolist() == [5.0, 7.0, 1.0]


@pytest.mark.parametrize("wrong", [np.ones(2), np.ones(4), np.ones((3, 1)), np.float64(1), 1.0, [1.0, 2.0, 3.0], None])
def test_wrong_vector(wrong: Any) -> None:
    _, unravel = ravel_pytree([1.0, np.ones(2)])
    with pytest.raises(TreeError, match=r"its tree has 3 numbers in 2 leaves\n  hint: .* of shape \(3,\)"):
        unravel(wrong)


def test_wrong_vector_for_no_leaves() -> None:
    _, unravel = ravel_pytree({"a": []})
    assert unravel(np.zeros(0)) == {"a": []}
    with pytest.raises(TreeError):
        unravel(np.zeros(1))


@pytest.mark.parametrize(
    "leaf", ["text", np.array(["a"]), np.array([None]), {1.0}, np.datetime64("2020"), 10**30, print]
)
def test_leaves_that_are_no_numbers(leaf: Any) -> None:
    with pytest.raises(InputError, match=r"ravel_pytree got .* at \['a'\]\[1\]\n"):
        ravel_pytree({"a": [1.0, leaf]})


# traced

PARAMS = {"w": np.arange(1.0, 5.0).reshape(2, 2), "b": 3.0, "c": (np.array(2.0), np.float64(0.5))}


def test_ravel_traced_leaves() -> None:
    weights = np.arange(1.0, 8.0)
    gradient = tg.grad(lambda p: np.sum(weights * ravel_pytree(p)[0] ** 2))(PARAMS)
    flat, _ = ravel_pytree(PARAMS)
    assert tree.structure(gradient) == tree.structure(PARAMS)
    np.testing.assert_allclose(ravel_pytree(gradient)[0], 2 * weights * flat)


def test_unravel_a_traced_vector() -> None:
    flat, unravel = ravel_pytree(PARAMS)

    def f(vector: Any) -> Any:
        p = unravel(vector)
        return np.sum(np.sin(p["w"])) * p["b"] + p["c"][0] * p["c"][1]

    def g(p: Any) -> Any:
        return np.sum(np.sin(p["w"])) * p["b"] + p["c"][0] * p["c"][1]

    np.testing.assert_allclose(tg.grad(f)(flat), ravel_pytree(tg.grad(g)(PARAMS))[0])


def test_there_and_back_while_traced() -> None:
    def f(p: Any) -> Any:
        flat, unravel = ravel_pytree(p)
        q = unravel(flat * flat)
        return q["b"] * np.sum(q["w"]) + q["c"][0] - q["c"][1]

    gradient = tg.grad(f)(PARAMS)
    np.testing.assert_allclose(gradient["w"], 2 * 9.0 * PARAMS["w"])
    assert gradient["b"] == pytest.approx(6.0 * 30.0)
    assert [float(x) for x in gradient["c"]] == [4.0, -1.0]


def test_mixed_dtypes_while_traced() -> None:
    p = {"w": np.ones(2, np.float32), "x": 2.0}

    def f(p: Any) -> Any:
        flat, unravel = ravel_pytree(p)
        q = unravel(3.0 * flat)
        assert (flat.dtype, q["w"].dtype, q["x"].shape) == (F64, F32, ())
        return np.sum(q["w"]) * q["x"]

    gradient = tg.grad(f)(p)
    assert gradient["w"].dtype == F32
    np.testing.assert_allclose(gradient["w"], [18.0, 18.0])
    assert gradient["x"] == pytest.approx(18.0)
