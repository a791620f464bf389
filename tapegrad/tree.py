"""Nests of containers and the flat list of their leaves.

    >>> from tapegrad import tree
    >>> net = {"w": [1.0, 2.0], "b": (3.0, None)}
    >>> tree.leaves(net)
    [3.0, 1.0, 2.0]
    >>> tree.map(lambda x: 10 * x, net)
    {'w': [10.0, 20.0], 'b': (30.0, None)}

A *container* is a list, tuple, named tuple, dict, OrderedDict, defaultdict, None (which has no leaves) or
an instance of a class registered here. Anything else is a *leaf*, subclasses of containers included. The
leaves of a dict come in the order of its sorted keys, or in its own order where they do not sort.

What remains when the leaves are taken out is a `Structure`: one row per container, children before parents,
`(class, metadata, number of children, number of leaves up to here)`. A row of leaves costs nothing, two
structures compare as two tuples, and no depth of nesting overflows anything.

The functions bear the names of `jax.tree`, and do the same. Some of these names are those of built-ins.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import operator
import reprlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from tapegrad.errors import TreeError

T = TypeVar("T")
IsLeaf = Callable[[Any], bool] | None
Path = tuple[Any, ...]
Row = tuple[type, Any, int, int]

_MISSING: Any = object()


# --- keys: the steps of a path ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceKey:
    """The step into item `idx` of a list or tuple; reads `[0]`."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@dataclasses.dataclass(frozen=True, slots=True)
class DictKey:
    """The step into the value at `key` of a dict; reads `['w']`."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclasses.dataclass(frozen=True, slots=True)
class GetAttrKey:
    """The step into attribute `name` of a named tuple or dataclass; reads `.w`."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class FlattenedIndexKey:
    """The step into child `key` of a class registered without names for its children."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


def keystr(path: Path) -> str:
    """The steps of a path in one string.

    >>> keystr((DictKey("layers"), SequenceKey(0), GetAttrKey("w")))
    "['layers'][0].w"
    """
    return "".join(builtins.map(str, path))


# --- kinds: how a class of containers comes apart and together ----------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    take: Callable[[Any], tuple[Sequence[Any], Any]]  # container -> its children, its metadata
    make: Callable[[Any, list[Any]], Any]  # metadata, children -> container
    keys: Callable[[Any, Any, int], Sequence[Any]]  # container or None, metadata, count -> a key for each child


class _Keys(tuple[Any, ...]):
    """The sorted keys of a dict that has them in another `order`, which counts for nothing in `==` and `hash`."""

    order: tuple[Any, ...]


def _dict_keys(x: dict[Any, Any]) -> tuple[Any, ...]:
    order = tuple(x)
    try:
        keys = _Keys(sorted(order))
    except TypeError:
        return order
    if keys == order:
        return order
    keys.order = order
    return keys


def _take_dict(x: dict[Any, Any]) -> tuple[list[Any], Any]:
    keys = _dict_keys(x)
    return [x[key] for key in keys], keys


def _make_dict(keys: tuple[Any, ...], children: Iterable[Any]) -> dict[Any, Any]:
    if type(keys) is tuple:
        return dict(zip(keys, children))
    made = dict.fromkeys(keys.order)  # type: ignore[attr-defined]
    made.update(zip(keys, children))
    return made


def _take_defaultdict(x: defaultdict[Any, Any]) -> tuple[list[Any], Any]:
    children, keys = _take_dict(x)
    return children, (x.default_factory, keys)


def _indices(_x: Any, _meta: Any, count: int) -> list[Any]:
    return [SequenceKey(i) for i in range(count)]


_NAMEDTUPLE = _Kind(
    lambda x: (x, type(x)),
    lambda cls, children: cls(*children),
    lambda _x, cls, _count: [GetAttrKey(name) for name in cls._fields],
)
_KINDS: dict[type, _Kind] = {
    list: _Kind(lambda x: (x, None), lambda _meta, children: children, _indices),
    tuple: _Kind(lambda x: (x, None), lambda _meta, children: tuple(children), _indices),
    type(None): _Kind(lambda _x: ((), None), lambda _meta, _children: None, _indices),
    dict: _Kind(_take_dict, _make_dict, lambda _x, keys, _count: [DictKey(key) for key in keys]),
    OrderedDict: _Kind(
        lambda x: (list(x.values()), tuple(x)),
        lambda keys, children: OrderedDict(zip(keys, children)),
        lambda _x, keys, _count: [DictKey(key) for key in keys],
    ),
    defaultdict: _Kind(
        _take_defaultdict,
        lambda meta, children: defaultdict(meta[0], _make_dict(meta[1], children)),
        lambda _x, meta, _count: [DictKey(key) for key in meta[1]],
    ),
}


def _kind(cls: type) -> _Kind | None:
    kind = _KINDS.get(cls)
    if kind is None and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _NAMEDTUPLE
    return kind


def is_node(x: Any) -> bool:
    """Whether x is a container rather than a leaf.

    >>> is_node([]), is_node(None), is_node(1.0)
    (True, True, False)
    """
    cls = type(x)
    return cls in _KINDS or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def register_node(
    cls: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, list[Any]], T],
    flatten_with_keys_func: Callable[[T], tuple[Iterable[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Makes instances of `cls` (not of its subclasses) containers.

    `flatten_func(x)` gives the children and the metadata of x, `unflatten_func(metadata, children)` the container
    again. `flatten_with_keys_func(x)` gives `(key, child)` pairs and the metadata; it names children in paths. Trees
    match if their metadata are equal. TreeError if `cls` is a container already.

    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> register_node(Interval, lambda x: ((x.low, x.high), None), lambda _, ends: Interval(*ends))
    >>> leaves([Interval(1.0, 2.0)])
    [1.0, 2.0]
    """

    def take(x: T) -> tuple[Sequence[Any], Any]:
        pair = flatten_func(x)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TreeError(
                f"the flatten function of {cls.__name__} gave {reprlib.repr(pair)}",
                hint="return a pair: the children, and the metadata that is no child",
            )
        return tuple(pair[0]), pair[1]

    def keys(x: T | None, _meta: Any, count: int) -> Sequence[Any]:
        if flatten_with_keys_func is None or x is None:
            return [FlattenedIndexKey(i) for i in range(count)]
        return [key for key, _child in flatten_with_keys_func(x)[0]]

    _register(cls, _Kind(take, unflatten_func, keys))


def _register(cls: type, kind: _Kind) -> None:
    if not isinstance(cls, type):
        raise TreeError(f"{reprlib.repr(cls)} cannot be registered", "it is not a class")
    if cls in _KINDS:
        raise TreeError(f"{cls.__name__} is registered already", hint="register a class once, where it is defined")
    _KINDS[cls] = kind


def register_dataclass(
    cls: type[T], data_fields: Sequence[str] | None = None, meta_fields: Sequence[str] | None = None
) -> type[T]:
    """Makes instances of a dataclass containers, and returns the class; to be used as a decorator.

    Children are the `data_fields`, in this order; `meta_fields` are metadata, which must be equal where trees are to
    match. One of the two left out means the fields that the other does not name. If both are, all fields are data but
    those declared with `field(metadata={"static": True})`. Together they name each field that `__init__` takes once.
    With both lists a class need not be a dataclass: it must take these names as keywords and have them as attributes.
    TreeError otherwise.

    >>> @functools.partial(register_dataclass, meta_fields=["activation"])
    ... @dataclasses.dataclass
    ... class Layer:
    ...     w: float
    ...     activation: str
    >>> map(lambda x: 2 * x, Layer(1.0, "relu"))
    Layer(w=2.0, activation='relu')
    """
    name = getattr(cls, "__name__", repr(cls))
    if dataclasses.is_dataclass(cls):
        fields = dataclasses.fields(cls)
        if meta_fields is None and data_fields is None:
            meta_fields = [f.name for f in fields if f.metadata.get("static", False)]
        meta_fields = [f.name for f in fields if f.name not in (data_fields or ())] if meta_fields is None else meta_fields
        data_fields = [f.name for f in fields if f.name not in meta_fields] if data_fields is None else data_fields
    elif data_fields is None or meta_fields is None:
        raise TreeError(
            f"{name} is not a dataclass",
            hint="put @dataclass below the registration, or name both data_fields and meta_fields",
        )
    data, meta = tuple(data_fields), tuple(meta_fields)
    named = data + meta
    if twice := sorted({field for field in named if named.count(field) > 1}):
        raise TreeError(f"register_dataclass({name}) names {_listed(twice)} twice", f"{data_fields=} {meta_fields=}")
    if dataclasses.is_dataclass(cls):
        taken = [f.name for f in fields if f.init]
        there = f"{name}.__init__ takes {_listed(taken)}"
        if unknown := [field for field in named if field not in taken]:
            raise TreeError(
                f"register_dataclass({name}) names {_listed(unknown)}, which {name}.__init__ does not take",
                there,
                "leave such fields out of data_fields and meta_fields (name both), and let __init__ set them",
            )
        if absent := [field for field in taken if field not in named]:
            raise TreeError(f"register_dataclass({name}) does not name {_listed(absent)}", there)

    def values(x: T, names: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple([getattr(x, field) for field in names])

    _register(
        cls,
        _Kind(
            lambda x: (values(x, data), values(x, meta)),
            lambda constants, children: cls(**dict(zip(named, [*children, *constants]))),
            lambda _x, _meta, _count: [GetAttrKey(field) for field in data],
        ),
    )
    return cls


# --- structures ---------------------------------------------------------------------------------------------


class Structure:
    """A tree without its leaves. Made by `flatten` and `structure`; JAX calls it a PyTreeDef.

    Structures are equal if classes, metadata and places of leaves are; the order in which a dict was filled counts
    for nothing. They are hashable if their metadata are.

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
        """The tree of this structure with these leaves. TreeError unless they are `num_leaves`."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise TreeError(f"{len(leaves)} leaves for a structure of {self.num_leaves}", _cut(repr(self)))
        if not self._rows:
            return leaves[0]
        made: list[Any] = []
        start = 0
        for cls, meta, count, end in self._rows:
            made += leaves[start:end]
            start = end
            cut = len(made) - count
            children = made[cut:]
            del made[cut:]
            made.append((_KINDS.get(cls) or _NAMEDTUPLE).make(meta, children))
        return made[0]

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """What `tree` has where this structure has its leaves: leaves or subtrees.

        TreeError, with the path, where a container of this structure is missing.

        >>> from tapegrad import tree
        >>> tree.structure([0, (0, 0)]).flatten_up_to([1, ({"a": 2}, 3)])
        [1, {'a': 2}, 3]
        """
        return _up_to(self, tree, "the structure", "the tree")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        return self.num_leaves == other.num_leaves and _same(self._rows, other._rows)

    def __hash__(self) -> int:
        return hash((self._rows, self.num_leaves))

    def __repr__(self) -> str:
        # From the back, since the rows come children first; a None in `todo` is a child yet to be written.
        rows, position = list(self._rows), self.num_leaves
        todo: list[str | None] = [None]
        written: list[str] = []
        while todo:
            part = todo.pop()
            if part is not None:
                written.append(part)
            elif rows and rows[-1][3] == position:
                todo += _parts(*rows.pop()[:3])
            else:
                position -= 1
                written.append("*")
        return f"Structure({''.join(reversed(written))})"


_LEAF = Structure((), 1)


def _parts(cls: type, meta: Any, count: int) -> list[str | None]:
    """How a container reads, with None for its children."""
    if cls is type(None):
        return ["None"]
    before, after = f"{cls.__name__}(", ")"
    if cls in (list, tuple, dict):
        before, after = {list: ("[", "]"), tuple: ("(", ",)" if count == 1 else ")"), dict: ("{", "}")}[cls]
    elif cls in (OrderedDict, defaultdict):
        factory = f"{getattr(meta[0], '__name__', meta[0])}, " if cls is defaultdict else ""
        before, after = f"{before}{factory}{{", "})"
    elif cls in _KINDS and meta is not None and not (type(meta) is tuple and not meta):
        before = f"{cls.__name__}[{meta!r}]("
    parts: list[str | None] = [before]
    for i, key in enumerate((_KINDS.get(cls) or _NAMEDTUPLE).keys(None, meta, count)):
        name = f"{key.key!r}: " if type(key) is DictKey else f"{key.name}=" if type(key) is GetAttrKey else ""
        parts += [", " + name if i else name, None]
    return [*parts, after]


def _same(a: Any, b: Any) -> bool:
    try:
        return (a,) == (b,)
    except Exception as error:  # whatever == of somebody's metadata raises, as that of arrays does
        raise TreeError(
            "metadata of two structures cannot be compared",
            f"== raised {type(error).__name__}: {error}",
            "make such a value a child (a data field), or give its class an == that answers True or False",
        ) from error


# --- trees, leaves, structures ------------------------------------------------------------------------------

_SHALLOW = 16  # only trees deeper than this are watched for containing themselves: such a tree gets there


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], Structure]:
    """The leaves of a tree, from left to right, and its structure.

    A container for which `is_leaf(container)` is true is kept whole, as a leaf. TreeError, with the path, if the tree
    contains itself.

    >>> from tapegrad import tree
    >>> tree.flatten([1.0, {"a": (2.0, 3.0)}])
    ([1.0, 2.0, 3.0], Structure([*, {'a': (*, *)}]))
    """
    if not is_node(tree):
        return [tree], _LEAF
    kinds = _KINDS
    leaves: list[Any] = []
    rows: list[Row] = []
    # The containers around the present place: children yet to come, class, metadata, count, the container itself.
    # The outermost stands for the place of the whole tree, and gets no row.
    around: list[tuple[Any, ...]] = [(iter((tree,)), None, None, 1, None)]
    deep: dict[int, None] = {}
    while True:
        rest, cls, meta, count, _x = around[-1]
        for x in rest:
            kind = kinds.get(type(x))
            if kind is None:
                if not issubclass(type(x), tuple) or not hasattr(x, "_fields"):
                    leaves.append(x)
                    continue
                kind = _NAMEDTUPLE
            if is_leaf is not None and is_leaf(x):
                leaves.append(x)
                continue
            if len(around) > _SHALLOW:
                if id(x) in deep:
                    raise _cycle(around, x)
                deep[id(x)] = None
            children, its_meta = kind.take(x)
            around.append((iter(children), type(x), its_meta, len(children), x))
            break
        else:
            around.pop()
            if not around:
                return leaves, Structure(tuple(rows), len(leaves)) if rows else _LEAF
            rows.append((cls, meta, count, len(leaves)))
            if deep:
                deep.popitem()


def _cycle(around: list[tuple[Any, ...]], x: Any) -> TreeError:
    first: dict[int, int] = {}
    path: list[Any] = []
    for i, (rest, cls, meta, count, container) in enumerate(around[1:]):
        if id(container) in first:
            break
        first[id(container)] = i
        step = count - operator.length_hint(rest) - 1
        path.append((_KINDS.get(cls) or _NAMEDTUPLE).keys(container, meta, count)[step])
    else:
        i, container = len(path), x
    return TreeError(
        "the tree contains itself",
        f"at {_where(tuple(path[:i]))} stands the {type(x).__name__} that is also at {_where(tuple(path[:first[id(container)]]))}",
        "a tree has finitely many leaves: put a copy there, or leave that entry out",
    )


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree, from left to right.

    >>> from tapegrad import tree
    >>> tree.leaves({"b": [1.0, None], "a": 2.0})
    [2.0, 1.0]
    """
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> Structure:
    """A tree without its leaves.

    >>> from tapegrad import tree
    >>> tree.structure([1.0, (2.0, None)])
    Structure([*, (*, None)])
    """
    return flatten(tree, is_leaf)[1]


def unflatten(treedef: Structure, leaves: Iterable[Any]) -> Any:
    """The tree with this structure and these leaves: the inverse of `flatten`. TreeError if their number is wrong.

    >>> from tapegrad import tree
    >>> tree.unflatten(tree.structure({"a": 0, "b": [0, 0]}), [1.0, 2.0, 3.0])
    {'a': 1.0, 'b': [2.0, 3.0]}
    """
    return treedef.unflatten(leaves)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree of `f(leaf, ...)`, with the structure of the first tree.

    The other trees need the containers of the first; f gets whatever they have at the places of its leaves, subtrees
    too. TreeError, with the path, where a container is missing.

    >>> from tapegrad import tree
    >>> tree.map(lambda p, g: p - 0.5 * g, {"w": 1.0, "b": [2.0]}, {"w": 2.0, "b": [4.0]})
    {'w': 0.0, 'b': [0.0]}
    """
    firsts, treedef = flatten(tree, is_leaf)
    return treedef.unflatten([f(*xs) for xs in zip(firsts, *_others(treedef, rest))])


def reduce(f: Callable[[Any, Any], Any], tree: Any, initializer: Any = _MISSING, is_leaf: IsLeaf = None) -> Any:
    """`f(...f(f(initializer, leaf), leaf)..., leaf)`. TreeError if there are neither leaves nor an initializer.

    >>> from tapegrad import tree
    >>> tree.reduce(lambda total, x: total + x, {"a": 1.0, "b": [2.0, 3.0]})
    6.0
    """
    values = leaves(tree, is_leaf)
    if initializer is not _MISSING:
        return functools.reduce(f, values, initializer)
    if not values:
        raise TreeError("reduce of a tree without leaves", _cut(repr(structure(tree, is_leaf))), "give an initializer")
    return functools.reduce(f, values)


def all(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves are true.

    >>> from tapegrad import tree
    >>> tree.all({"a": True, "b": [True, False]})
    False
    """
    return builtins.all(leaves(tree, is_leaf))


def transpose(outer_treedef: Structure, inner_treedef: Structure | None, tree: Any) -> Any:
    """Turns a tree inside out: `outer` nests of `inner` nests become `inner` nests of `outer` nests.

    Without an inner structure, that of the first subtree is taken. TreeError, with the path, where the tree is not so
    built.

    >>> from tapegrad import tree
    >>> tree.transpose(tree.structure([0, 0]), tree.structure({"a": 0, "b": 0}), [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    {'a': [1, 3], 'b': [2, 4]}
    """
    links: list[Any] = []
    subtrees = _up_to(outer_treedef, tree, "outer_treedef", "the tree", links=links)
    if inner_treedef is None:
        if not subtrees:
            raise TreeError("outer_treedef has no leaves to find inner_treedef at", _cut(repr(outer_treedef)), "give both")
        inner_treedef = structure(subtrees[0])
    table = [
        _up_to(inner_treedef, subtree, "inner_treedef", "the tree", above)
        for subtree, above in zip(subtrees, links)
    ]
    columns = zip(*table) if table else [()] * inner_treedef.num_leaves
    return inner_treedef.unflatten([outer_treedef.unflatten(column) for column in columns])


# --- paths --------------------------------------------------------------------------------------------------


def flatten_with_path(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[tuple[Path, Any]], Structure]:
    """The leaves of a tree, each in a pair `(path, leaf)`, and its structure. A path is a tuple of keys.

    >>> from tapegrad import tree
    >>> pairs, _ = tree.flatten_with_path({"w": [1.0, 2.0]})
    >>> [(tree.keystr(path), leaf) for path, leaf in pairs]
    [("['w'][0]", 1.0), ("['w'][1]", 2.0)]
    """
    values, treedef = flatten(tree, is_leaf)
    links: list[Any] = []
    _up_to(treedef, tree, "the structure", "the tree", links=links)
    return [(_path(link), leaf) for link, leaf in zip(links, values)], treedef


def leaves_with_path(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[Path, Any]]:
    """The leaves of a tree, each in a pair `(path, leaf)`.

    >>> from tapegrad import tree
    >>> tree.leaves_with_path((1.0, None))
    [((SequenceKey(idx=0),), 1.0)]
    """
    return flatten_with_path(tree, is_leaf)[0]


def map_with_path(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree of `f(path, leaf, ...)`: `map` for a function that also wants to know where it is.

    >>> from tapegrad import tree
    >>> tree.map_with_path(lambda path, x: f"{tree.keystr(path)} = {x}", {"w": [1.0]})
    {'w': ["['w'][0] = 1.0"]}
    """
    pairs, treedef = flatten_with_path(tree, is_leaf)
    return treedef.unflatten([f(*pair, *xs) for pair, *xs in zip(pairs, *_others(treedef, rest))])


def _others(treedef: Structure, rest: tuple[Any, ...]) -> list[list[Any]]:
    return [_up_to(treedef, other, "the first tree", f"tree {i}") for i, other in enumerate(rest, 2)]


def _up_to(
    treedef: Structure, tree: Any, one: str, other: str, above: Any = None, links: list[Any] | None = None
) -> list[Any]:
    """What `tree` has at the leaves of `treedef`. `links`, if given, gets the ways there, each as (way, last key)."""
    rows = treedef._rows
    found: list[Any] = [tree] * treedef.num_leaves
    todo = [tree]
    if links is not None:
        links[:] = [above] * treedef.num_leaves
        ways = [above]
    for i in range(len(rows) - 1, -1, -1):
        cls, meta, count, end = rows[i]
        x = todo.pop()
        children = _children(x, cls, meta, count)
        if children is None and links is None:  # the same again, to know the path
            return _up_to(treedef, tree, one, other, above, [])
        if children is None:
            raise _mismatch(x, cls, meta, count, one, other, _path(ways.pop()))
        todo += children
        start = rows[i - 1][3] if i else 0
        cut = len(todo) - (end - start)  # the last of them are leaves, since no container ends after them
        found[start:end] = todo[cut:]
        del todo[cut:]
        if links is not None:
            way = ways.pop()
            ways += [(way, key) for key in (_KINDS.get(cls) or _NAMEDTUPLE).keys(x, meta, count)]
            links[start:end] = ways[cut:]
            del ways[cut:]
    return found


def _children(x: Any, cls: type, meta: Any, count: int) -> Sequence[Any] | None:
    """The children of x, if it is a container of this class, metadata and count."""
    if type(x) is not cls:
        return None
    if cls is dict:  # by its keys rather than their order, which two dicts that do not sort need not share
        return [x[key] for key in meta] if len(x) == count and builtins.all(key in x for key in meta) else None
    children, its_meta = (_KINDS.get(cls) or _NAMEDTUPLE).take(x)
    return children if len(children) == count and _same(its_meta, meta) else None


def _path(way: Any) -> Path:
    keys = []
    while way is not None:
        way, key = way
        keys.append(key)
    return tuple(reversed(keys))


# --- what errors say ----------------------------------------------------------------------------------------


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:120]} ... {text[-60:]}"


def _where(path: Path) -> str:
    return _cut(keystr(path)) or "the root"


def _listed(names: Iterable[Any]) -> str:
    return _cut(", ".join(builtins.map(repr, names)))
