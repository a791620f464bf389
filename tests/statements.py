"""Statements of plain NumPy, drawn from a table: what random programs are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Pick = Callable[[Sequence[Any]], Any]  # chooses an item: random.Random(seed).choice, or a draw by hypothesis

# In braces: n a new name; a any array, v a vector, m a matrix, q a square one; i an index of the first of them, k a
# position in it, x an axis, w a mask of it; e what broadcasts to what is indexed; r a number, u the name of one, c a
# constant; o an operator, f and g functions. The same letters are the same thing within a statement.

STATEMENTS = {
    "unary":            ["{n} = np.{f}({a})", "{n} = {a} ** 2", "{n} = -{a}", "{n} = 1 / (2 + np.cos({a}))", "{n} = {a}.clip(-0.5, 0.7)",
                         "{n} = np.sqrt(1 + {a} * {a})", "{n} = np.exp(-{a} ** 2)", "{n} = np.log(3 + np.sin({a}))"],
    "binary":           ["{n} = {a} {o} {e}", "{n} = {e} {o} {a}", "{n} = {a} / (2 + np.sin({e}))", "{n} = np.hypot({a}, 1 + {e} ** 2)"],
    "selection":        ["{n} = np.where({a} > {e1}, {e2}, {a})", "{n} = np.maximum({a}, {e})", "{n} = np.minimum({e}, {a})",
                         "{n} = np.clip({a}, -0.5, {c})", "{n} = np.where({w}, {a}, {e})"],
    "comparison":       ["{n} = {a} > {e}", "{n} = np.abs({a}) < 0.6"],
    "reduction":        ["{n} = np.{g}({a}, axis={x})", "{n} = np.{g}({a}, axis={x}, keepdims=True)", "{n} = {a}.mean()",
                         "{n} = np.cumsum({a}, axis={x}) / 2", "{n} = np.linalg.norm({a}, axis={x})", "{n} = np.sum({a}, where={w})"],
    "product":          ["{n} = {a} @ {e}.T / 2", "{n} = np.dot({a}, {e}) / 2", "{n} = np.einsum('ij,ij->i', {m}, {e})",
                         "{n} = np.einsum('ij,kj->ki', {m}, {m}) / 2", "{n} = np.outer({v}, {e}) / 2", "{n} = {m}.T @ {m} / 3"],
    "structure":        ["{n} = {a}.T", "{n} = {a}.reshape(-1)", "{n} = np.ravel({a})", "{n} = {a}.reshape(2, -1)", "{n} = np.transpose({a})",
                         "{n} = np.flip({a}, {x})", "{n} = np.roll({a}, 1, {x})", "{n} = np.repeat({a}, 2, {x})", "{n} = np.diff({a}, axis={x})",
                         "{n} = np.tril({m})", "{n} = np.concatenate([{a}, {a}[{i}]])", "{n} = np.stack([{a}, {a} * {e}], {x})",
                         "{n} = np.sort({a}, {x})", "{n} = np.swapaxes({a}, 0, -1)", "{n} = np.expand_dims({a}, 0)", "{n} = np.squeeze({a})",
                         "{n} = np.broadcast_to({a}, (2, *{a}.shape))", "{n} = np.diagonal({q})", "{n} = {a}.take([1, 0, 1], {x})"],
    "read":             ["{n} = {a}[{i}]", "{n} = {v}[{i}]", "{n} = {m}[{i}]", "{n} = {a}[np.argsort({v})]", "{n} = {a}.T[{i}]",
                         "{n} = {a}.flat[1]", "{n1}, {n2} = {a}[0], {a}[1]", "{n1}, {n2} = {a}[:2]"],
    "share":            ["{n} = {a}", "{n} = {a}[...]", "{n} = {a}[{i}]"],
    "copy":             ["{n} = {a}.copy()", "{n} = np.copy({a})", "{n} = +{a}", "{n} = {a}.T.copy()", "{n} = {a}.flatten()"],
    "conversion":       ["{n} = np.array({a})", "{n} = np.array([{v}[0], {c}, {v}[1]])", "{n} = np.asarray({a})"],
    "create":           ["{n} = np.zeros_like({a})", "{n} = np.ones_like({a})", "{n} = np.full_like({a}, {c})",
                         "{n} = np.empty_like({a})\n{n}[...] = {e}", "{n} = np.full_like({a}, {r})"],
    "assign, others":   ["{v}[:2] = [{r}, {c}]", "{a}[0] = 1", "t = np.array([0, 1])\n{a}[t] *= {c}\nt[0] = 1", "t = [1, 0]\n{n} = {a}[t]\nt[0] = 0\n{n} *= {a}[t]",
                         "t = {a} > {c}\n{a}[t] = {r}\nt[...] = False", "{a}[0], {v}[-1] = {a}[-1], {v}[0]", "{a}[{i}] = {a}[{i}] = {e}", "{a} += {a}",
                         "{a}[[0, 0, 1]] += {e}", "{a}[{i}] -= {a}[{i}] * {e}", "{a}[np.array([True, False] + [True] * (len({a}) - 2))] *= {c}"],
    "overwrite":        ["{n} = np.sqrt({v} - {v}.min())\n{n}[{v} == {v}.min()] = {c}", "{n} = np.sqrt({a} * ({a} > 0))\n{n}[{a} <= 0] = {r}",
                         "{n} = np.sqrt(np.maximum({a}, 0))\n{n}[{a} < 0] = {a}[{a} < 0]", "{n} = np.zeros_like({a})\nt = {a} > 0\n{n}[t] = np.sqrt({a}[t])"],
    "complex":          ["t = {a} + 0.5j * {a}\nt[0] *= 1j\n{n} = t.imag * {c}", "t = np.exp(1j * {a})\nt[1:] = t[:-1] * {c}\n{n} = np.abs(t) + t.real",
                         "t = {a} * 1j\nt.imag[0] = {c}\n{n} = np.real(t * t)", "t = np.zeros_like({a}, dtype=complex)\nt += {a}\nt[0] = 1j * {r}\n{n} = t.imag"],
    "long loop":        ["for k in range(70):\n    {a}[k % len({a})] = np.sin({a}[k % len({a}) - 1])", "t = [{a}[k % 2:] for k in range(70)]\nt[1] *= {c}\n{n} = t[3] + t[-1]"],
    "constant":         ["{n1} = np.linspace(-1, 1, len({v}))\n{n2} = {v} * {n1}\n{n1} *= 0.5", "{n1} = np.ones({a}.shape)\n{n2} = {a} * {n1}\n{n1}[0] = 0.5\n{n1} = {n1} * {a}",
                         "{n1} = np.zeros(3)\n{n1}[:] = [0.5, -1, 1]\n{n2} = {n1} * {r}\n{n1} += 0.5"],
    "constant, kept":   ["{n1}, t = tg.vjp(lambda k: k * {a}, {a})\n{a} *= {c}\n{n2} = t({a})[0]", "t = tg.linearize(lambda k: k * {a}, {a})[1]\n{a}[0] = {c}\n{n} = t({a})"],
    "create plain":     ["{n} = np.zeros({a}.shape)", "{n} = np.linspace(-1, 1, len({a}))"],
    "assign":           ["{a}[{i}] = {e}", "{v}[{i}] = {e}", "{m}[{i}] = {e}", "{a}[...] = {e}", "{a}[{i}] = {e}", "{a}[{w}] = {c}"],
    "assign, index":    ["{a}[[0, 1, 0]] = {e}", "{v}[[1, 0, 1]] = {v}[[0, 0, 1]] * {v}[:3]", "{m}[[0, 1, 0], [1, 0, 1]] = {c} * {r}",
                         "{a}[{i}] = {a}[{i}][::-1]", "{a}[np.argsort({v})] = {e}"],
    "assign, mask":     ["{a}[{a} > {c}] = {r}", "{a}[{a} < 0] *= {c}", "{m}[:, {m}[0] > 0] = {c}", "{a}[{a} > 0.2] = np.sin({a}[{a} > 0.2])"],
    "assign, overlap":  ["{a}[1:] = {a}[:-1]", "{a}[:-1] += {a}[1:]", "{a}[::-1] = {a}", "{q}[...] = {q}.T", "{q} += {q}.T", "{a}[1:] *= {a}[:-1]"],
    "assign to views":  ["{m}.T[0] = {c} * {r}", "{a}[1:][0] = {e}", "{a}.reshape(-1)[1] = {r}", "{a}.ravel()[0] = {c}", "{a}.T[{i}] *= {c}",
                         "{a}[::-1][0] -= {e}", "{a}.flat[1] = {r}", "np.flip({a})[0] = {e}", "{q}.diagonal()[0] = {c}"],
    "update":           ["{a}[{i}] {o}= {e}", "{v}[{k}] *= {v}[0]", "{m}[0, {k}] *= {e}", "{a}[{i}] /= 2 + np.cos({e})", "{a}[{i}] **= 2"],
    "in place":         ["{a} {o}= {e}", "{a} *= {e}", "{a} /= 2 + np.sin({e})", "{a} **= 2", "{a} += {e}", "{m} @= {q}"],
    "in place, view":   ["{n} = {a}[{i}]\n{n} {o}= {e}", "{n} = {a}.T\n{n} *= {c}", "{n} = {a}.reshape(-1)\n{n}[1:] += {n}[:-1]",
                         "{n} = {a}.ravel()\n{n} -= {r}", "{n1} = {a}[1:]\n{n2} = {a}[:-1]\n{n1} += {n2}\n{n2} *= {n1}",
                         "{n1} = {a}[1:]\n{n2} = {n1}[::-1]\n{n2}[0] = {e}\n{n1} *= {c}", "{n} = {a}[..., 0]\n{n} *= 0.5\n{n}[...] = np.sin({n})"],
    "swap":             ["{v}[0], {v}[1] = {v}[1], {v}[0]", "{a}[0], {a}[1] = {a}[1].copy(), {a}[0].copy()", "{m}[0], {m}[1] = {m}[1], {m}[0]",
                         "{a}[[0, 1]] = {a}[[1, 0]]", "{n1}, {n2} = {a}[0], {a}[1]\n{n1} *= {c}\n{a}[1] = {n1}"],
    "method":           ["{a}.fill({c})", "{a}.sort()", "{a}.sort(axis=0)", "{v}[1:].sort()", "{a}.fill({r})", "{m}[0].fill({r})"],
    "function":         ["np.copyto({a}, {e})", "np.copyto({a}, {e}, where={a} > 0)", "np.fill_diagonal({q}, 1.0 * ({e}))", "np.put({a}, [0, 2], {r})",
                         "np.add.at({v}, [0, 0, 1], {r})", "np.multiply.at({v}, [1, 1], {c})", "np.putmask({a}, {a} > 0, {r})", "np.place({a}, {a} > 1, [{c}])"],
    "out":              ["np.sin({a}, out={a})", "np.multiply({a}, {e}, out={a})", "{n} = np.zeros_like({a})\nnp.add({a}, {e}, out={n})",
                         "np.cumsum({v}, out={v})", "{n} = np.add({v}[1:], {v}[:-1], out={v}[1:])"],
    "number":           ["{n} = {a}.flat[0]", "{n} = np.sum({a}) / 4", "{u} *= {c}", "{u} += {r}", "{n} = {v}[0] * {v}[1]"],
    "name":             ["{a} = np.sin({a})", "{a} = {a}[{i}]", "{a} = {a} * {e}", "del {a}", "{n1}, {n2} = {a}, {a}[{i}]\ndel {n1}"],
    "call":             ["def t(k):\n    k[{i}] *= {c}\n    return k\n{n} = t({a})", "def t(k):\n    k = np.sin(k)\n    k *= {a}\n    return k\n{n} = t({a})"],
    "choice":           ["if {r} > 0:\n    {a} *= {c}\nelse:\n    {a}[0] = {r}", "if np.all({a} < 1):\n    {a}[{i}] = {e}"],
    "iterate":          ["for t in {a}:\n    t *= {c}", "for t in {m}:\n    t[0] = {r}", "for t in {m}.T:\n    t -= t.mean()",
                         "for k, t in enumerate({a}):\n    {a}[k] = np.sin(t) - {c}", "{n} = [t for t in {a}][0]\n{n} += {c}"],
    "loop":             ["for k in range(1, len({a})):\n    {a}[k] += {c} * {a}[k - 1]", "for k in range(1, len({v})):\n    {v}[k] = np.sin({v}[k - 1] + {v}[k])",
                         "{n} = np.zeros_like({v})\nfor k in range(len({v})):\n    {n}[k] = {v}[k] * {n}[k - 1] + {c}",
                         "for k in range(len({a}) - 1):\n    {a}[k + 1:] -= {c} * {a}[k]", "while np.sum({a} ** 2) > 1:\n    {a} *= 0.7"],
    "bubble sort":      ["for i in range(len({v})):\n    for j in range(len({v}) - 1 - i):\n        if {v}[j] > {v}[j + 1]:\n"
                         "            {v}[j], {v}[j + 1] = {v}[j + 1], {v}[j]"],
    "elimination":      ["{n} = {q} + 2 * np.eye(len({q}))\nfor k in range(len({n})):\n    j = k + int(np.argmax(np.abs({n}[k:, k])))\n"
                         "    {n}[[k, j]] = {n}[[j, k]]\n    for i in range(k + 1, len({n})):\n        {n}[i, k:] -= {n}[i, k] / {n}[k, k] * {n}[k, k:]"],
    "butterflies":      ["for i in (1, 2):\n    for j in range(0, len({v}), 2 * i):\n        for k in range(j, j + i):\n"
                         "            t, n = {v}[k] / 2, {v}[k + i] / 2\n            {v}[k], {v}[k + i] = t + n, t - n",
                         "{n1}, {n2} = {a}[::2], {a}[1::2]\n{n1} += {n2}\n{n2} *= -2\n{n2} += {n1}\n{a} *= 0.5"],
    "checkpoint":       ["{n} = tg.checkpoint(lambda t: np.sin(t) * {e})({a})", "def t(k):\n    k = k.copy()\n    k[{i}] *= np.sin({e})\n    return k\n{n} = tg.checkpoint(t)({a})",
                         "def t(k):\n    j = np.zeros_like(k)\n    j[1:] = k[:-1] * k[1:]\n    return j, k[0]\n{n1}, {n2} = tg.checkpoint(t)({a})"],
    "checkpoint, part": ["def t(k):\n    k[{i}] *= {c}\n    return np.sin(k)\n{n} = tg.checkpoint(t)({a})", "{n} = tg.checkpoint(lambda t: t)({a})\n{n} += {c}",
                         "def t(k):\n    {a}[0] = k\n    return k * k\n{n} = tg.checkpoint(t)({r})", "{n} = tg.checkpoint(lambda t: t[1:])({a})\n{n} *= {c}"],
    "inner gradient":   ["{n} = tg.grad(lambda t: np.sum(np.sin(t) * {e}))({a}) / 2",
                         "def t(k):\n    j = np.zeros_like(k)\n    j[1:] = k[:-1] * {a}[1:]\n    j *= k\n    return np.sum(j)\n{n} = tg.grad(t)({a}) / 2",
                         "def t(k):\n    {a}[0] = k * k\n    return np.sum({a} ** 2)\n{n} = tg.grad(t)({r}) / 2",
                         "{n} = tg.jvp(lambda t: np.cos(t) * {a}, ({a},), ({e} * {a},))[1]"],
}  # fmt: skip

CHOICES: dict[str, Sequence[str]] = {
    "c": ("0.5", "-0.7", "0.3", "1.2", "-1"),
    "o": "+-*",
    "f": ("sin", "cos", "tanh", "arctan", "abs", "square", "sinc", "arcsinh"),
    "g": ("sum", "mean", "max", "min", "prod", "var"),
}
ARRAYS: dict[str, Callable[[Any], bool]] = {
    "a": lambda a: True,
    "v": lambda a: a.ndim == 1 and a.size > 1,
    "m": lambda a: a.ndim == 2,
    "q": lambda a: a.ndim == 2 and a.shape[0] == a.shape[1],
}
FORMS = ["{}", "{}", "0.5 * {}", "np.sin({})", "({} - 0.3)", "-{}", "np.square({})"]
PARTS = {text: eval(f"np.s_[{text}]") for text in ("0", "-1", "1:", ":-1", "::-1", ":, 0", "0, 1", ":, ::-1", "1", ":2")}
NAMES = "abcdefghlmopqruvwy"  # i, j, k, n and t belong to statements, s is the sum, x and z are arguments


class Unfit(Exception):
    """A statement that this program cannot take."""


def is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == float


class Fields(dict[str, str]):
    """What stands for the braces of one statement: made when it is met, then the same."""

    def __init__(self, pick: Pick, known: dict[str, Any]) -> None:
        super().__init__()
        self.pick, self.known = pick, known
        self.target, self.shape = "", ()  # the array that i indexes; what e broadcasts to

    def __missing__(self, key: str) -> str:
        kind = key[0]
        if kind in "iekwx" and not self.target:
            self["a"]
        if kind in ARRAYS:
            self[key] = self.name(lambda value: is_array(value) and ARRAYS[kind](value))
            if not self.target:
                self.target, self.shape = self[key], self.known[self[key]].shape
        else:
            self[key] = self.pick(CHOICES[kind]) if kind in CHOICES else getattr(self, kind)()
        return self[key]

    def one(self, items: Sequence[str]) -> str:
        if not items:
            raise Unfit
        return self.pick(items)

    def name(self, fits: Callable[[Any], bool]) -> str:
        return self.one([name for name, value in self.known.items() if fits(value)])

    def n(self) -> str:
        taken = {*self.known, *[text for key, text in self.items() if key[0] == "n"]}
        return self.one([name for name in NAMES if name not in taken][:1])

    def u(self) -> str:
        return self.name(lambda value: isinstance(value, float))

    def r(self) -> str:
        name = self.name(lambda value: isinstance(value, float) or is_array(value))
        return name + self.pick((".flat[0]", ".mean()")) if is_array(self.known[name]) else name

    def w(self) -> str:
        fits = lambda value: isinstance(value, np.ndarray) and value.dtype == bool and value.shape == self.shape
        return self.pick([f"({self.target} > {self['c']})", *[name for name, value in self.known.items() if fits(value)] * 3])

    def x(self) -> str:
        return self.one([str(axis) for axis in range(-len(self.shape), len(self.shape))])

    def k(self) -> str:
        return self.one([str(k) for k in range(*self.shape[-1:] or [0])])

    def i(self) -> str:
        shape = self.known[self.target].shape
        whole = ["...", *([f"{self.target} > {self.pick(CHOICES['c'])}"] if shape else ["()"])]
        if shape:
            parts = [self.pick(self.part(n)) for n in shape[: self.pick(range(1, len(shape) + 1))]]
            whole = [*[", ".join(parts)] * 4, *whole, f"..., {self.pick(self.part(shape[-1]))}", f"None, {parts[0]}"]
        text = self.pick(whole)
        try:
            self.shape = np.shape(eval(f"{self.target}[{text}]", {"np": np}, self.known))
        except IndexError:
            raise Unfit from None
        return text

    @staticmethod
    def part(n: int) -> list[str]:
        last = max(n - 1, 0)
        lists = [f"[0, {last}, 0]", f"[{last}, 0, {-n}]"]
        return ["0", "-1", f"{last // 2}", "1:", ":-1", "::2", "::-1", ":", f"1:{last}", f"{last}:0:-1", *lists]

    def e(self) -> str:
        found = [self.pick(CHOICES["c"])]
        for name, value in self.known.items():
            if isinstance(value, float):
                found += [name]
            elif is_array(value):
                found += [name] * 2 * self.broadcasts(value, ...)
                found += [f"{name}[{text}]" for text, index in PARTS.items() if self.broadcasts(value, index)]
        return self.pick(FORMS).format(self.pick(found))

    def broadcasts(self, value: Any, index: Any) -> bool:
        try:
            return np.broadcast_shapes(value[index].shape, self.shape) == self.shape
        except (IndexError, ValueError):
            return False
