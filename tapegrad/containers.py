"""The kinds of containers that a tree is made of, and the steps of a path into them.

A container is of a class in `KINDS`, which says how to take it apart and to make it again; `register_node`
and `register_dataclass` add to them.
"""

from __future__ import annotations

import builtins
import dataclasses
import reprlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .errors import TreeError

_T = TypeVar("_T")
Path = tuple[Any, ...]


# --- keys, the steps of a path ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceKey:
    """The step into item `idx` of a list or tuple; as a string `[0]`."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@dataclasses.dataclass(frozen=True, slots=True)
class DictKey:
    """The step into the value at `key` of a dict; as a string `['w']`."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclasses.dataclass(frozen=True, slots=True)
class GetAttrKey:
    """The step into attribute `name` of a named tuple or a dataclass; as a string `.w`."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class FlattenedIndexKey:
    """The step into child number `key` of a class whose children have no names; as a string `[<flat index 0>]`."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


def keystr(path: Path) -> str:
    """The steps of a path in one string.

    >>> from tapegrad import tree
    >>> tree.keystr((tree.DictKey("layers"), tree.SequenceKey(0), tree.GetAttrKey("w")))
    "['layers'][0].w"
    """
    return "".join(builtins.map(str, path))


# --- kinds of containers ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """How containers of one class come apart and together. `extra` is what does not count when structures compare."""

    take: Callable[[Any], tuple[Sequence[Any], Any, Any]]  # container -> children, metadata, extra
    make: Callable[[Any, Any, list[Any]], Any]  # metadata, extra, children -> container
    keys: Callable[[Any, Any, int], Sequence[Any]]  # metadata, extra, number of children -> their keys


class _Kinds(dict[type, _Kind]):
    def __missing__(self, cls: Any) -> _Kind:
        return _NAMEDTUPLE  # the one kind that has no class of its own


def _take_dict(x: dict[Any, Any]) -> tuple[list[Any], tuple[Any, ...], tuple[Any, ...]]:
    order = (*x,)
    try:
        keys = (*sorted(order),)
    except TypeError:
        keys = order
    return [*builtins.map(x.__getitem__, keys)], keys, order


def _make_dict(keys: tuple[Any, ...], order: tuple[Any, ...], children: list[Any]) -> dict[Any, Any]:
    if keys == order:
        return dict(zip(keys, children))
    made = dict.fromkeys(order)
    made.update(zip(keys, children))
    return made


def _take_defaultdict(x: defaultdict[Any, Any]) -> tuple[list[Any], Any, Any]:
    children, keys, order = _take_dict(x)
    return children, (x.default_factory, keys), order


def _indices(_meta: Any, _extra: Any, count: int) -> list[SequenceKey]:
    return [SequenceKey(i) for i in range(count)]


def _dict_keys(keys: Iterable[Any], _extra: Any, _count: int) -> list[DictKey]:
    return [DictKey(key) for key in keys]


def _attributes(names: Iterable[str]) -> list[GetAttrKey]:
    return [GetAttrKey(name) for name in names]


# fmt: off
_NAMEDTUPLE = _Kind(
    lambda x: (x, type(x), None), lambda cls, _, children: cls(*children), lambda cls, _, _n: _attributes(cls._fields)
)
KINDS = _Kinds({
    list: _Kind(lambda x: (x, None, None), lambda _meta, _, children: [*children], _indices),
    tuple: _Kind(lambda x: (x, None, None), lambda _meta, _, children: tuple(children), _indices),
    type(None): _Kind(lambda _x: ((), None, None), lambda _meta, _, _children: None, _indices),
    dict: _Kind(_take_dict, _make_dict, _dict_keys),
    OrderedDict: _Kind(
        lambda x: (list(x.values()), tuple(x), None),
        lambda keys, _, children: OrderedDict(zip(keys, children)),
        _dict_keys,
    ),
    defaultdict: _Kind(
        _take_defaultdict,
        lambda meta, order, children: defaultdict(meta[0], _make_dict(meta[1], order, children)),
        lambda meta, _, count: _dict_keys(meta[1], None, count),
    ),
})
# fmt: on
LEAVES: set[type] = set()  # classes known not to be containers: one look-up for most leaves


def is_node(x: Any) -> bool:
    """Whether x is a container rather than a leaf.

    >>> from tapegrad import tree
    >>> tree.is_node([]), tree.is_node(None), tree.is_node(1.0)
    (True, True, False)
    """
    cls = type(x)
    if cls in LEAVES:
        return False
    if cls in KINDS or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        return True
    if len(LEAVES) < 1000:  # of classes that are made by the thousand not all need to be known, nor kept alive
        LEAVES.add(cls)
    return False


def _register(cls: type, kind: _Kind) -> None:
    if not isinstance(cls, type):
        raise TreeError(
            f"{reprlib.repr(cls)} cannot be registered",
            f"it is no class, but an instance of {type(cls).__name__}",
            "give the class of the containers: register_node(type(x), flatten, unflatten)",
        )
    if cls in KINDS:
        raise TreeError(
            f"{cls.__name__} is registered already",
            f"containers: {', '.join(kind.__name__ for kind in KINDS)}"[:160],
            "register a class once, where it is defined",
        )
    KINDS[cls] = kind
    LEAVES.discard(cls)


def register_node(
    cls: type[_T],
    flatten_func: Callable[[_T], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, list[Any]], _T],
    flatten_with_keys_func: Callable[[_T], tuple[Iterable[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Makes the instances of a class containers (not those of its subclasses).

    `flatten_func(x)` gives the children and the metadata of x, and `unflatten_func(metadata, children)` makes another
    such container; metadata are compared by `==` where trees have to match. `flatten_with_keys_func(x)`, if given,
    is used instead of the first; it gives the children as pairs `(key, child)`. TreeError if `cls` is a container
    already.

    >>> from tapegrad import tree
    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> tree.register_node(Interval, lambda x: ((x.low, x.high), None), lambda _, ends: Interval(*ends))
    >>> tree.leaves([Interval(1.0, 2.0)])
    [1.0, 2.0]
    """

    for given in (flatten_func, unflatten_func):
        if not callable(given):
            raise TreeError(
                f"register_node got {reprlib.repr(given)} for a function of {getattr(cls, '__name__', cls)}",
                "it takes one from a container to children and metadata, and one from metadata and children back",
                "write register_node(cls, lambda x: ((x.a, x.b), None), lambda _, children: cls(*children))",
            )

    def take(x: _T) -> tuple[Sequence[Any], Any, Any]:
        pair = (flatten_with_keys_func or flatten_func)(x)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TreeError(
                f"the flatten function of {cls.__name__} gave {reprlib.repr(pair)}",
                "it gives a pair of the children and the metadata",
                "return a pair: the children, and the metadata (None if there are none)",
            )
        children, meta = tuple(pair[0]), pair[1]
        if flatten_with_keys_func is None:
            return children, meta, None
        return [child for _, child in children], meta, [key for key, _ in children]

    _register(cls, _Kind(
        take,
        lambda meta, _, children: unflatten_func(meta, children),
        lambda _meta, keys, count: [FlattenedIndexKey(i) for i in range(count)] if keys is None else keys,
    ))  # fmt: skip


def register_dataclass(
    cls: type[_T], data_fields: Iterable[str] | None = None, meta_fields: Iterable[str] | None = None
) -> type[_T]:
    """Makes the instances of a dataclass containers, and returns the class: a decorator.

    Children are the `data_fields`; the `meta_fields` are metadata, compared by `==` where trees have to match. If one
    list is left out, it has the fields that the other does not name; if both are, all fields are data but those with
    `field(metadata={"static": True})`. Trees are made by `cls(**fields)`, so each field that `__init__` takes must
    be named once, and no other. A class that is no dataclass needs both lists, and such an `__init__`. TreeError if
    that is not so, or if `cls` is a container already.

    >>> import functools
    >>> from tapegrad import tree
    >>> @functools.partial(tree.register_dataclass, meta_fields=["activation"])
    ... @dataclasses.dataclass
    ... class Layer:
    ...     w: float
    ...     activation: str
    >>> tree.map(lambda x: 2 * x, Layer(1.0, "relu"))
    Layer(w=2.0, activation='relu')
    """
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else None
    data = None if data_fields is None else list(data_fields)
    meta = None if meta_fields is None else list(meta_fields)
    if not isinstance(cls, type) or (fields is None and (data is None or meta is None)):
        raise TreeError(
            f"register_dataclass got {reprlib.repr(cls)}, which is no dataclass",
            f"data_fields={data!r:.60}, meta_fields={meta!r:.60}",
            "put @dataclass right below it, or name both data_fields and meta_fields",
        )
    if data is None and meta is None:
        meta = [f.name for f in fields or () if f.metadata.get("static", False)]
    if data is None:
        data = [f.name for f in fields or () if f.name not in (meta or ())]
    if meta is None:
        meta = [f.name for f in fields or () if f.name not in data]
    named = data + meta
    taken = named if fields is None else [f.name for f in fields if f.init]
    wrong = {
        "named twice": {name for name in named if named.count(name) > 1},
        "not named": set(taken) - set(named),
        "named, but not taken": set(named) - set(taken),
    }
    if any(wrong.values()):
        raise TreeError(
            f"register_dataclass has to name each field that {cls.__name__}.__init__ takes once",
            "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in wrong.items() if names),
            "name data_fields and meta_fields; a field with init=False belongs to neither, __init__ has to set it",
        )
    _register(cls, _Kind(
        lambda x: ([getattr(x, name) for name in data], tuple([getattr(x, name) for name in meta]), None),
        lambda constants, _, children: cls(**dict(zip(named, [*children, *constants]))),
        lambda _meta, _, _count: _attributes(data),
    ))  # fmt: skip
    return cls
