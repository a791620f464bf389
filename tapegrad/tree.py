"""Nests of containers, and the flat list of their leaves.

    >>> from tapegrad import tree
    >>> net = {"w": [1.0, 2.0], "b": (3.0, None)}
    >>> tree.leaves(net)
    [3.0, 1.0, 2.0]
    >>> tree.map(lambda x: 10 * x, net)
    {'w': [10.0, 20.0], 'b': (30.0, None)}

A *container* is a list, tuple, named tuple, dict, OrderedDict, defaultdict, None (it has no leaves) or an
instance of a class registered here. Anything else is a *leaf*, instances of their subclasses included. The
leaves of a dict come in the order of its sorted keys, or in its own order where they do not sort.

What is left without the leaves is a `Structure`: a tuple of rows, one per container, children before parents.
Leaves take no room in it, two structures compare as two tuples, and no depth of nesting overflows anything.

The functions have the names of `jax.tree`, some of which are those of built-ins, and do the same.
"""

from __future__ import annotations

import builtins
import functools
import operator
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .containers import (
    KINDS,
    LEAVES,
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    Path,
    SequenceKey,
    is_node,
    keystr,
    register_dataclass,
    register_node,
)
from .errors import TreeError

__all__ = [
    "map", "leaves", "flatten", "unflatten", "structure", "reduce", "all", "transpose",
    "flatten_with_path", "leaves_with_path", "map_with_path", "keystr",
    "SequenceKey", "DictKey", "GetAttrKey", "FlattenedIndexKey",
    "Structure", "is_node", "register_dataclass", "register_node",
]  # fmt: skip

IsLeaf = Callable[[Any], bool] | None
Row = tuple[type, Any, int, int, Any]  # class, metadata, number of children, number of leaves up to here, extra

_MISSING: Any = object()


# --- structures ---------------------------------------------------------------------------------------------


class Structure:
    """A tree without its leaves, as `flatten` and `structure` give it; the PyTreeDef of JAX.

    Structures are equal if the classes, metadata and places of leaves are; in which order a dict was filled does not
    matter. They are hashable if the metadata are.

    >>> from tapegrad import tree
    >>> s = tree.structure({"b": (1.0, 2.0), "a": None})
    >>> s, s.num_leaves
    (Structure({'a': None, 'b': (*, *)}), 2)
    >>> s == tree.structure({"a": None, "b": (3.0, 4.0)})
    True
    """

    __slots__ = ("_rows", "num_leaves")

    def __init__(self, rows: tuple[Row, ...], num_leaves: int) -> None:
        self._rows = rows
        self.num_leaves = num_leaves

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree with this structure and these leaves. TreeError unless there are `num_leaves`."""
        if type(leaves) is not list:
            leaves = _listed(leaves)
        if len(leaves) != self.num_leaves:
            raise TreeError(
                f"{len(leaves)} leaves for a structure with {self.num_leaves}",
                _cut(repr(self)),
                "pass a list with as many leaves as it has, such as tapegrad.tree.leaves gives",
            )
        if len(self._rows) == 1:
            cls, meta, _count, _end, extra = self._rows[0]
            return KINDS[cls].make(meta, extra, leaves)
        made: list[Any] = []
        start = 0
        for cls, meta, count, end, extra in self._rows:
            made += leaves[start:end]
            start = end
            cut = len(made) - count
            children = made[cut:]
            del made[cut:]
            made.append(KINDS[cls].make(meta, extra, children))
        return made[0] if made else leaves[0]

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """What `tree` has where this structure has its leaves: leaves, or subtrees.

        TreeError, with the path, where it has not the same container as this structure.

        >>> from tapegrad import tree
        >>> tree.structure([0, (0, 0)]).flatten_up_to([1, ({"a": 2}, 3)])
        [1, {'a': 2}, 3]
        """
        return _up_to(self, tree, "the structure", "the tree")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        return self.num_leaves == other.num_leaves and _same(self._what_counts(), other._what_counts(), "trees")

    def __hash__(self) -> int:
        return hash((self._what_counts(), self.num_leaves))

    def _what_counts(self) -> tuple[Any, ...]:
        return tuple([row[:4] for row in self._rows])

    def __repr__(self) -> str:
        rows, position = list(self._rows), self.num_leaves
        todo: list[str | None] = [None]  # None is a child; from the last to the first, as the rows have parents last
        done: list[str] = []
        while todo:
            text = todo.pop()
            if text is not None:
                done.append(text)
            elif rows and rows[-1][3] == position:
                todo += _texts(rows.pop())
            else:
                position -= 1
                done.append("*")
        return f"Structure({''.join(reversed(done))})"


def _listed(leaves: Any) -> list[Any]:
    if not isinstance(leaves, Iterable) or isinstance(leaves, (str, bytes)):
        raise TreeError(
            f"unflatten got a {type(leaves).__name__} for the leaves",
            "it takes a list, or whatever gives the leaves one by one",
            "pass a list of leaves, such as tapegrad.tree.leaves gives",
        )
    return [*leaves]


def _structure(treedef: Any, name: str) -> Structure:
    """A structure that a caller passed."""
    if not isinstance(treedef, Structure):
        raise TreeError(
            f"{name} got a {type(treedef).__name__} for a structure",
            "a structure is what tree.structure and tree.flatten give",
            "pass tapegrad.tree.structure(x)",
        )
    return treedef


_LEAF = Structure((), 1)


def _texts(row: Row) -> list[str | None]:
    """How a container reads, with None in the place of each child."""
    cls, meta, count, _end, extra = row
    brackets = {list: ("[", "]"), tuple: ("(", ",)" if count == 1 else ")"), dict: ("{", "}"), type(None): ("None", "")}
    if cls in brackets:
        before, after = brackets[cls]
    elif cls in (OrderedDict, defaultdict):
        factory = f"{getattr(meta[0], '__name__', meta[0])}, " if cls is defaultdict else ""
        before, after = f"{cls.__name__}({factory}{{", "})"
    else:
        constants = "" if meta is None or meta is cls or (type(meta) is tuple and not meta) else f"[{meta!r}]"
        before, after = f"{cls.__name__}{constants}(", ")"
    texts: list[str | None] = [before]
    for i, key in enumerate(KINDS[cls].keys(meta, extra, count)):
        label = f"{key.key!r}: " if isinstance(key, DictKey) else f"{key.name}=" if isinstance(key, GetAttrKey) else ""
        texts += [", " + label if i else label, None]
    return [*texts, after]


def _same(a: Any, b: Any, whose: str) -> bool:
    try:
        return (a,) == (b,)
    except Exception as error:  # whatever somebody's == raises: that of two arrays has no one answer
        raise TreeError(
            f"the metadata of two {whose} cannot be compared",
            f"== raised {type(error).__name__}: {error}",
            "make it a child (a data field), or give its class an == that answers True or False",
        ) from error


# --- trees, leaves, structures ------------------------------------------------------------------------------

_SHALLOW = 16  # a tree that contains itself is deeper than any number: shallow ones need not be watched


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], Structure]:
    """The leaves of a tree, from left to right, and its structure.

    A container with `is_leaf(container)` is taken for a leaf. TreeError, with the path, if the tree contains itself.

    >>> from tapegrad import tree
    >>> tree.flatten([1.0, {"a": (2.0, 3.0)}])
    ([1.0, 2.0, 3.0], Structure([*, {'a': (*, *)}]))
    """
    cls = type(tree)
    if (cls not in KINDS and not is_node(tree)) or (is_leaf is not None and is_leaf(tree)):
        return [tree], _LEAF
    if is_leaf is None:
        children, meta, extra = KINDS[cls].take(tree)
        if LEAVES.issuperset(builtins.map(type, children)):  # nothing but leaves
            n = len(children)
            return [*children], Structure(((cls, meta, n, n, extra),), n)
    leaves: list[Any] = []
    rows: list[Row] = []
    around: list[Any] = []  # the open containers around the present one
    deep: dict[int, None] = {}  # the identities of those beyond `_SHALLOW`
    here = _open(tree)
    while True:
        for x in here[0]:
            if type(x) in LEAVES or not is_node(x) or (is_leaf is not None and is_leaf(x)):
                leaves.append(x)
                continue
            around.append(here)
            if len(around) > _SHALLOW:
                if id(x) in deep:
                    raise _contains_itself(around, x)
                deep[id(x)] = None
            here = _open(x)
            break
        else:
            _rest, cls, meta, count, extra, _x = here
            rows.append((cls, meta, count, len(leaves), extra))
            if not around:
                return leaves, Structure(tuple(rows), len(leaves))
            here = around.pop()
            if deep:
                deep.popitem()


def _open(x: Any) -> tuple[Any, ...]:
    children, meta, extra = KINDS[type(x)].take(x)
    return iter(children), type(x), meta, len(children), extra, x


def _contains_itself(around: list[Any], x: Any) -> TreeError:
    path: list[Any] = []
    seen: dict[int, int] = {}
    for rest, cls, meta, count, extra, container in around:
        if id(container) in seen:
            x = container
            break
        seen[id(container)] = len(path)
        path.append(KINDS[cls].keys(meta, extra, count)[count - operator.length_hint(rest) - 1])
    return TreeError(
        "the tree contains itself",
        f"the {type(x).__name__} at {_where(path)} is the one at {_where(path[: seen[id(x)]])}",
        "put a copy there, or leave it out: a tree has an end",
    )


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree, from left to right.

    >>> from tapegrad import tree
    >>> tree.leaves({"b": [1.0, None], "a": 2.0})
    [2.0, 1.0]
    """
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> Structure:
    """The structure of a tree.

    >>> from tapegrad import tree
    >>> tree.structure([1.0, (2.0, None)])
    Structure([*, (*, None)])
    """
    return flatten(tree, is_leaf)[1]


def unflatten(treedef: Structure, leaves: Iterable[Any]) -> Any:
    """The tree with this structure and these leaves, the inverse of `flatten`. TreeError if their number is wrong.

    >>> from tapegrad import tree
    >>> tree.unflatten(tree.structure({"a": 0, "b": [0, 0]}), [1.0, 2.0, 3.0])
    {'a': 1.0, 'b': [2.0, 3.0]}
    """
    return _structure(treedef, "unflatten").unflatten(leaves)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree of `f(leaf, ...)`, with the structure of the first tree.

    The other trees need the containers of the first; f gets what they have in the places of its leaves, be it
    subtrees. TreeError, with the path, where they do not match.

    >>> from tapegrad import tree
    >>> tree.map(lambda p, g: p - 0.5 * g, {"w": 1.0, "b": [2.0]}, {"w": 2.0, "b": [4.0]})
    {'w': 0.0, 'b': [0.0]}
    """
    values, treedef = flatten(tree, is_leaf)
    return treedef.unflatten(builtins.map(f, values, *_others(treedef, rest)))


def reduce(f: Callable[[Any, Any], Any], tree: Any, initializer: Any = _MISSING, is_leaf: IsLeaf = None) -> Any:
    """`f(...f(f(initializer, leaf), leaf)..., leaf)`. TreeError if there are no leaves and no initializer.

    >>> from tapegrad import tree
    >>> tree.reduce(lambda total, x: total + x, {"a": 1.0, "b": [2.0, 3.0]})
    6.0
    """
    values = leaves(tree, is_leaf)
    if initializer is not _MISSING:
        return functools.reduce(f, values, initializer)
    if not values:
        raise TreeError("reduce got a tree without leaves", _cut(repr(structure(tree))), "give an initializer")
    return functools.reduce(f, values)


def all(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves are true.

    >>> from tapegrad import tree
    >>> tree.all({"a": True, "b": [True, False]})
    False
    """
    return builtins.all(leaves(tree, is_leaf))


def transpose(outer_treedef: Structure, inner_treedef: Structure | None, tree: Any) -> Any:
    """Turns a tree inside out: the outer nest of inner nests becomes an inner nest of outer nests.

    The inner structure None stands for that of the first subtree. TreeError, with the path, where the tree is not of
    these structures.

    >>> from tapegrad import tree
    >>> pairs, point = tree.structure([0, 0]), tree.structure({"x": 0, "y": 0})
    >>> tree.transpose(pairs, point, [{"x": 1, "y": 2}, {"x": 3, "y": 4}])
    {'x': [1, 3], 'y': [2, 4]}
    """
    subtrees = _up_to(_structure(outer_treedef, "transpose"), tree, "outer_treedef", "the tree")
    if inner_treedef is None:
        if not subtrees:
            raise TreeError("transpose has no inner_treedef", "outer_treedef has no leaves to find it at", "give both")
        inner_treedef = structure(subtrees[0])
    inner_treedef = _structure(inner_treedef, "transpose")
    table = [
        _up_to(inner_treedef, subtree, "inner_treedef", "the tree", path)
        for subtree, path in zip(subtrees, _paths(outer_treedef))
    ]
    columns = zip(*table) if table else [()] * inner_treedef.num_leaves
    return inner_treedef.unflatten([outer_treedef.unflatten(column) for column in columns])


def flatten_with_path(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[tuple[Path, Any]], Structure]:
    """The leaves of a tree, each in a pair `(path, leaf)`, and its structure. A path is a tuple of keys.

    >>> from tapegrad import tree
    >>> pairs, _ = tree.flatten_with_path({"w": [1.0, 2.0]})
    >>> [(tree.keystr(path), leaf) for path, leaf in pairs]
    [("['w'][0]", 1.0), ("['w'][1]", 2.0)]
    """
    values, treedef = flatten(tree, is_leaf)
    return list(zip(_paths(treedef), values)), treedef


def leaves_with_path(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[Path, Any]]:
    """The leaves of a tree, each in a pair `(path, leaf)`.

    >>> from tapegrad import tree
    >>> tree.leaves_with_path((1.0, None))
    [((SequenceKey(idx=0),), 1.0)]
    """
    return flatten_with_path(tree, is_leaf)[0]


def map_with_path(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree of `f(path, leaf, ...)`; otherwise as `map`.

    >>> from tapegrad import tree
    >>> tree.map_with_path(lambda path, x: f"{tree.keystr(path)} = {x}", {"w": [1.0]})
    {'w': ["['w'][0] = 1.0"]}
    """
    values, treedef = flatten(tree, is_leaf)
    return treedef.unflatten(builtins.map(f, _paths(treedef), values, *_others(treedef, rest)))


# --- walks along a structure --------------------------------------------------------------------------------


def _walk(treedef: Structure, root: Any, enter: Callable[[Any, int], Sequence[Any]]) -> list[Any]:
    """What stands at the leaves, if `root` stands at the root and `enter(what, row number)` gives it for children."""
    rows = treedef._rows
    found = [root] * treedef.num_leaves
    todo = [root]
    for i in range(len(rows) - 1, -1, -1):
        todo += enter(todo.pop(), i)
        end = rows[i][3]
        start = rows[i - 1][3] if i else 0
        if start < end:  # leaves after the last container that ends before this one: they are on top
            cut = len(todo) - (end - start)
            found[start:end] = todo[cut:]
            del todo[cut:]
    return found


def _others(treedef: Structure, rest: Iterable[Any]) -> list[list[Any]]:
    return [_up_to(treedef, other, "the first tree", f"tree {i}") for i, other in enumerate(rest, 2)]


def _up_to(treedef: Structure, tree: Any, one: str, other: str, above: Path = ()) -> list[Any]:
    def enter(x: Any, i: int) -> Sequence[Any]:
        cls, meta, count, _end, _extra = treedef._rows[i]
        if type(x) is cls is dict:  # by its keys: two dicts whose keys do not sort need not share an order
            if x.keys() == set(meta):
                return [x[key] for key in meta]
        elif type(x) is cls:
            children, its_meta, _extra = KINDS[cls].take(x)
            if len(children) == count and _same(its_meta, meta, f"{cls.__name__} containers"):
                return children
        raise _mismatch(treedef, i, x, one, other, above)

    return _walk(treedef, tree, enter)


def _ways(treedef: Structure) -> tuple[list[Any], list[Any]]:
    """How to get to the container of each row, and to each leaf: a way is a pair (way up to the last key, that key)."""
    to_rows: list[Any] = [()] * len(treedef._rows)

    def enter(way: Any, i: int) -> list[Any]:
        cls, meta, count, _end, extra = treedef._rows[i]
        to_rows[i] = way
        return [(way, key) for key in KINDS[cls].keys(meta, extra, count)]

    return to_rows, _walk(treedef, (), enter)


def _path(way: Any) -> Path:
    keys = []
    while way:
        way, key = way
        keys.append(key)
    return tuple(reversed(keys))


def _paths(treedef: Structure) -> list[Path]:
    return [_path(way) for way in _ways(treedef)[1]]


# --- what errors say ----------------------------------------------------------------------------------------


def _mismatch(treedef: Structure, i: int, x: Any, one: str, other: str, above: Path) -> TreeError:
    row = treedef._rows[i]
    has = f"a leaf of class {type(x).__name__}"
    if is_node(x):
        _rest, cls, meta, count, extra, _x = _open(x)
        has = _top((cls, meta, count, 0, extra))
    there = f"{one} has {_top(row)} there, {other} has {has}"
    if type(x) is row[0] is dict:
        lacks, more = [key for key in row[1] if key not in x], [key for key in x if key not in row[1]]
        there = f"keys that only {one} has: {_cut(str(lacks))}, that only {other} has: {_cut(str(more))}"
    return TreeError(
        f"{one} and {other} do not match at {_where((*above, *_path(_ways(treedef)[0][i])))}",
        there,
        f"{other} needs the containers of {one}, and may have others only in the place of its leaves",
    )


def _top(row: Row) -> str:
    return _cut("".join("*" if text is None else text for text in _texts(row)))


def _where(path: Iterable[Any]) -> str:
    return _cut(keystr(tuple(path))) or "the root"


def _cut(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:100]} ... {text[-50:]}"
