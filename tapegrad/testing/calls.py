"""A call of a primitive in every way that it can be written, and with arguments of other dtypes and shapes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, cast

import numpy as np

from .. import tree
from ..custom import custom_jvp, custom_vjp
from ..errors import GradientCheckError, InputError
from ..primitives.definition import Definition
from ..primitives.rules import Key
from ..tracer import is_inexact

_SHAPES = (2, 2), (2,), (2, 1), ()


class Call:
    """A call of a primitive: its arguments by position or name, and the keys of those to differentiate by."""

    def __init__(self, fun: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.fun, of = fun, getattr(fun, "definition", None)
        self.name = getattr(fun, "__name__", type(fun).__name__)
        if not isinstance(of, Definition):
            raise InputError(
                f"check_rule got {self.name}, which is no primitive",
                "it checks what tapegrad.primitive, custom_vjp and custom_jvp made",
                "check_grads checks any function",
            )
        custom = isinstance(fun, (custom_vjp, custom_jvp))
        self.of = Definition(fun.fun, self.name, cast(Any, fun.nondiff)) if custom else of
        bound, rest = self.of.bind(tuple(args), kwargs)
        self.values: dict[Key, Any] = copied(dict(enumerate(bound)) | rest)
        ruled = of.joint or of.forward_joint
        keys = self.values.keys() - self.of.nondiff if ruled else of.rules.keys() | of.forward_rules.keys()
        self.keys = [k for k, v in self.values.items() if k in keys and any(map(is_inexact, tree.leaves(v)))]
        self.left: frozenset[Key] = frozenset()  # out of the call, for their defaults
        self.named = False  # whether arguments are passed by keyword
        if not self.keys:
            raise InputError(
                f"check_rule has nothing to differentiate {self.name} by",
                f"arguments: {self.of.describe()}; rules {of.describe_rules()}",
                "pass floats or arrays of them for an argument that has a rule",
            )

    def like(self, change: Callable[[Any], Any] = lambda leaf: leaf, **other: Any) -> Call:
        """The same with other numbers in the arguments to differentiate by, or with another attribute."""
        made = object.__new__(Call)
        made.__dict__.update(self.__dict__ | other)
        vary = lambda leaf: change(leaf) if is_inexact(leaf) else leaf
        made.values = {k: tree.map(vary, v) if k in self.keys else v for k, v in made.values.items()}
        return made

    def cast(self, dtype: np.dtype[Any]) -> Call:
        """The same in another dtype: what is real gets an imaginary part, what is complex keeps it."""

        def change(leaf: Any) -> Any:
            array = np.asarray(leaf)
            if array.dtype.kind == "c" and dtype.kind != "c":
                return leaf
            return (array + 0.25j if dtype.kind != array.dtype.kind else array).astype(dtype)[()]

        return self.like(change)

    def word(self, key: Key) -> str:
        """What a person calls an argument."""
        word = self.of.word(key)
        return f"argument {word}" if isinstance(word, int) else word

    @property
    def args(self) -> list[Any]:
        return [v for k, v in self.values.items() if isinstance(k, int)]

    @property
    def kwargs(self) -> dict[str, Any]:
        return {k: v for k, v in self.values.items() if isinstance(k, str)}

    @property
    def given(self) -> tuple[Any, ...]:
        """Copies of the arguments to differentiate by."""
        return tuple([copied(self.values[k]) for k in self.keys])

    def run(self, *given: Any) -> Any:
        """The call, with these for the arguments to differentiate by."""
        args: list[Any] = []
        kwargs: dict[Any, Any] = {}
        for key, value in (self.values | dict(zip(self.keys, given, strict=True))).items():
            word = self.of.word(key)
            if key in self.left:
                continue
            if isinstance(key, str) or (self.named and isinstance(word, str)):
                kwargs[word] = value
            else:
                args.append(value)
        return self.fun(*args, **kwargs)

    def accepts(self) -> bool:
        """Whether the body takes these arguments, and gives finite numbers without a warning."""
        try:
            with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
                warnings.simplefilter("error")
                y = self.run(*self.given)
        except Exception:
            return False
        return all(np.all(np.isfinite(leaf)) for leaf in tree.leaves(y) if is_inexact(leaf))

    def fail(self, what: str, there: str, hint: str, error: BaseException | None = None) -> NoReturn:
        raise GradientCheckError(f"{self.name} {what}", there.replace("\n", "")[:300], hint) from error

    def same(self, now: Any, then: Any, what: str, word: str, hint: str, close: bool = False) -> None:
        """Fail unless two values are the same, or `close`; in the message, a place follows on what is wrong."""
        if found := different(now, then, close):
            place, x, y = found
            self.fail(what + place, f"{x}; {word} {y}", hint)


def ways(call: Call) -> Iterator[tuple[str, Call]]:
    """Other ways to write the same call."""
    plain, words = call.run(*call.given), [call.of.word(k) for k in call.values]
    if any(isinstance(word, str) for word in words):
        named = call.like(named=True)
        call.same(named.run(*call.given), plain, "by keyword: another value", "by position", "look at the signature")
        yield "by keyword", named
    left = frozenset(call.of.defaults) & frozenset(call.values)
    filled = call.like(values={k: call.of.defaults[k] if k in left else v for k, v in call.values.items()})
    short = filled.like(left=left, keys=[k for k in call.keys if k not in left])
    if left and short.keys and filled.accepts():
        plain = filled.run(*filled.given)
        call.same(short.run(*short.given), plain, "with defaults left out: another value", "with them", "look at them")
        yield "with defaults left out", short


def _arrays(call: Call) -> list[Any]:
    """The arguments to differentiate by, none of them if one is a container or has no elements."""
    arrays = [call.values[k] for k in call.keys]
    return [] if any(tree.is_node(v) or not np.size(v) for v in arrays) else arrays


def _broadcasts(call: Call) -> bool:
    """Whether the answer has the shape to which the arguments broadcast."""
    try:
        shape = np.broadcast_shapes(*map(np.shape, _arrays(call)))
    except ValueError:
        return False
    y = call.run(*call.given)
    return not tree.is_node(y) and np.shape(y) == shape


def broadcast(call: Call) -> Iterator[tuple[str, Call]]:
    """Calls with arguments of other shapes that broadcast together."""
    if len(_arrays(call)) > 1 and _broadcasts(call):
        for shift in range(len(_SHAPES)):
            shapes = dict(zip(call.keys, itertools.islice(itertools.cycle(_SHAPES), shift, None)))
            values = {k: np.resize(v, shapes[k]) if k in shapes else v for k, v in call.values.items()}
            other = call.like(values=values)
            if other.accepts() and _broadcasts(other):
                yield f"with {', '.join(f'{call.word(k)} of shape {shape}' for k, shape in shapes.items())}", other


def sized(call: Call) -> Iterator[tuple[str, Call]]:
    """Calls with no elements, and with a single number."""
    if _arrays(call):
        flat = _broadcasts(call) or not all(map(np.ndim, _arrays(call)))
        yield "without elements", call.like(lambda leaf: np.ravel(leaf)[:0] if flat else leaf[:0])
        yield "with 0-d arrays", call.like(lambda leaf: np.array(np.ravel(leaf)[0]))
        yield "with Python numbers", call.like(lambda leaf: np.ravel(leaf)[0].item())


def copied(value: Any) -> Any:
    return tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, value)


def different(now: Any, then: Any, close: bool = False) -> tuple[str, Any, Any] | None:
    """Where two values differ, if they do, and the two."""
    pairs, old = tree.leaves_with_path(now), tree.leaves(then)
    if len(pairs) != len(old):
        return "", now, then
    for (path, leaf), was in zip(pairs, old):
        x, y = np.asarray(leaf), np.asarray(was)
        if x.shape != y.shape:
            return tree.keystr(path), x, y
        if x.dtype.kind not in "fciub":
            continue
        same = (x == y) | ((x != x) & (y != y))
        if close and is_inexact(leaf) and x.size:
            coarse = max(np.finfo(v.dtype).eps for v in (x, y) if v.dtype.kind in "fc")
            same |= np.abs(x - y) <= float(coarse) ** 0.4 * np.max(np.abs(y))
        if not np.all(same):
            at = tuple(np.argwhere(~same)[0].tolist())
            return f"{tree.keystr(path)}{list(at) or ''}", x[at], y[at]
    return None
