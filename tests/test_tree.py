"""Containers, leaves and structures: what comes apart comes together again, and what does not fit is named."""

from __future__ import annotations

import copy
import dataclasses
import functools
import pickle
import random
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from tapegrad import tree
from tapegrad.errors import TreeError

Point = namedtuple("Point", ["x", "y"])


class Typed(NamedTuple):
    a: Any
    b: Any = 0.0


@functools.partial(tree.register_dataclass, meta_fields=["activation"])
@dataclasses.dataclass(frozen=True)
class Layer:
    w: Any
    activation: str
    b: Any


class Pair:
    def __init__(self, one: Any, two: Any, note: Any = None) -> None:
        self.one, self.two, self.note = one, two, note

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return 0


class Named(Pair):
    pass


tree.register_node(Pair, lambda x: ((x.one, x.two), x.note), lambda note, children: Pair(*children, note))
tree.register_node(
    Named,
    lambda x: ((x.one, x.two), x.note),
    lambda note, children: Named(*children, note),
    lambda x: ([(tree.GetAttrKey("one"), x.one), ("<2>", x.two)], x.note),
)

# tree, its leaves, its paths, how its structure reads
TREES: list[tuple[Any, list[Any], list[str], str]] = [
    (1.0, [1.0], [""], "*"),
    ("ab", ["ab"], [""], "*"),
    (None, [], [], "None"),
    ([], [], [], "[]"),
    ((), [], [], "()"),
    ({}, [], [], "{}"),
    ([1, 2], [1, 2], ["[0]", "[1]"], "[*, *]"),
    ((1,), [1], ["[0]"], "(*,)"),
    ((1, (2, [3])), [1, 2, 3], ["[0]", "[1][0]", "[1][1][0]"], "(*, (*, [*]))"),
    ([None, 1, []], [1], ["[1]"], "[None, *, []]"),
    ({"b": 1, "a": 2}, [2, 1], ["['a']", "['b']"], "{'a': *, 'b': *}"),
    ({2: {"w": 1}, 1: 0}, [0, 1], ["[1]", "[2]['w']"], "{1: *, 2: {'w': *}}"),
    ({"b": 1, 1: 2}, [1, 2], ["['b']", "[1]"], "{'b': *, 1: *}"),
    (OrderedDict(b=1, a=2), [1, 2], ["['b']", "['a']"], "OrderedDict({'b': *, 'a': *})"),
    (defaultdict(list, b=1, a=2), [2, 1], ["['a']", "['b']"], "defaultdict(list, {'a': *, 'b': *})"),
    (defaultdict(None, a=1), [1], ["['a']"], "defaultdict(None, {'a': *})"),
    (Point(1, [2]), [1, 2], [".x", ".y[0]"], "Point(x=*, y=[*])"),
    (Typed(1), [1, 0.0], [".a", ".b"], "Typed(a=*, b=*)"),
    (Layer(1, "relu", [2]), [1, 2], [".w", ".b[0]"], "Layer[('relu',)](w=*, b=[*])"),
    (Pair(1, 2), [1, 2], ["[<flat index 0>]", "[<flat index 1>]"], "Pair(*, *)"),
    (Pair(1, None, "n"), [1], ["[<flat index 0>]"], "Pair['n'](*, None)"),
    (Named(1, (2,)), [1, 2], [".one", "<2>[0]"], "Named(one=*, (*,))"),
]


@pytest.mark.parametrize(("t", "leaves", "paths", "text"), TREES, ids=[text for *_, text in TREES])
def test_apart_and_together(t: Any, leaves: list[Any], paths: list[str], text: str) -> None:
    found, structure = tree.flatten(t)
    assert found == leaves == tree.leaves(t)
    assert structure == tree.structure(t)
    assert hash(structure) == hash(tree.structure(t))
    assert repr(structure) == f"Structure({text})"
    assert structure.num_leaves == len(leaves)
    assert [(tree.keystr(path), leaf) for path, leaf in tree.leaves_with_path(t)] == list(zip(paths, leaves))
    assert tree.flatten_with_path(t)[1] == structure
    for again in (structure.unflatten(iter(leaves)), tree.unflatten(structure, leaves), tree.map(lambda x: x, t)):
        assert type(again) is type(t)
        assert again == t
    assert tree.is_node(t) == (text != "*")
    for copied in (pickle.loads(pickle.dumps(structure)), copy.deepcopy(structure)):
        assert copied == structure
        assert copied.unflatten(leaves) == t


def test_all_these_structures_differ() -> None:
    structures = [tree.structure(t) for t, *_ in TREES if t != "ab"]
    assert len(set(structures)) == len(structures)
    assert tree.structure(1.0) != 1.0


@pytest.mark.parametrize("leaf", [np.ones(3), np.float64(1), {1}, "text", object(), range(3), iter([]), Point])
def test_leaves(leaf: Any) -> None:
    assert not tree.is_node(leaf)
    assert tree.flatten(leaf)[0][0] is leaf
    assert tree.leaves([leaf, {"a": leaf}]) == [leaf, leaf]


def test_unregistered_subclasses_are_leaves() -> None:
    kinds: list[type] = [type("Sub", (base,), {}) for base in (list, dict, tuple, OrderedDict, defaultdict, Layer)]
    for kind in kinds[:-1]:
        assert tree.leaves([kind()]) == [kind()]
    below = kinds[-1](1, "relu", 2)
    assert tree.leaves([below]) == [below]


def test_arrays_are_not_copied() -> None:
    w = np.ones(3)
    assert tree.leaves({"w": [w]})[0] is w
    assert tree.map(lambda x: x, {"w": [w]})["w"][0] is w


# dicts


def test_dicts_keep_their_order() -> None:
    t = {"c": 1, "a": {"z": 2, "y": 3}, "b": 4}
    again = tree.map(lambda x: 10 * x, t)
    assert list(again) == ["c", "a", "b"]
    assert list(again["a"]) == ["z", "y"]
    assert again == {"c": 10, "a": {"z": 20, "y": 30}, "b": 40}
    assert list(tree.map(lambda x: x, defaultdict(int, b=1, a=2))) == ["b", "a"]


def test_order_of_filling_does_not_count() -> None:
    one, two = {"a": 1, "b": [2]}, {"b": [20], "a": 10}
    assert tree.structure(one) == tree.structure(two)
    assert hash(tree.structure(one)) == hash(tree.structure(two))
    assert tree.map(lambda x, y: x + y, one, two) == {"a": 11, "b": [22]}
    assert list(tree.unflatten(tree.structure(two), [1, 2])) == ["b", "a"]
    assert tree.structure(defaultdict(int, one)) == tree.structure(defaultdict(int, two))


def test_order_of_an_ordered_dict_counts() -> None:
    one, two = OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)
    assert tree.structure(one) != tree.structure(two)
    with pytest.raises(TreeError, match="do not match"):
        tree.map(lambda x, y: x, one, two)


def test_keys_that_do_not_sort() -> None:
    one, two = {"a": 1, 0: 2, None: 3}, {None: 30, "a": 10, 0: 20}
    assert tree.leaves(one) == [1, 2, 3]
    assert tree.leaves(two) == [30, 10, 20]
    assert tree.structure(one) != tree.structure(two)  # their leaves come in different orders
    assert tree.map(lambda x, y: x + y, one, two) == {"a": 11, 0: 22, None: 33}


def test_defaultdict_keeps_its_factory() -> None:
    t = tree.map(lambda x: x, defaultdict(list, a=1))
    assert t.default_factory is list
    assert t["new"] == []
    assert tree.structure(defaultdict(list, a=1)) != tree.structure(defaultdict(int, a=1))


# the functions


def test_map_of_several_trees() -> None:
    t = {"w": [1, 2], "b": (3, None)}
    assert tree.map(lambda *xs: xs, t, t) == {"w": [(1, 1), (2, 2)], "b": ((3, 3), None)}
    deeper = {"w": [{"m": 1}, None], "b": ((4, 5), None)}
    assert tree.map(lambda _, y: y, t, deeper) == deeper
    assert tree.map(lambda x, y: (x, y), 1, [2]) == (1, [2])
    assert tree.map(lambda _: None, t) == {"w": [None, None], "b": (None, None)}


def test_is_leaf() -> None:
    t = {"a": (1, 2), "b": [(3, 4), None]}
    assert tree.leaves(t, is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), (3, 4)]
    assert tree.leaves(t, is_leaf=lambda x: x is None) == [1, 2, 3, 4, None]
    assert tree.leaves(t, is_leaf=lambda _: True) == [t]
    assert tree.structure(t, is_leaf=lambda x: x is t) == tree.structure(0)
    assert tree.map(sum, t, is_leaf=lambda x: isinstance(x, tuple)) == {"a": 3, "b": [7, None]}
    assert tree.reduce(lambda n, x: n + len(x), t, 0, is_leaf=lambda x: isinstance(x, tuple)) == 4
    assert not tree.all([()], is_leaf=lambda x: x == ())
    paths = tree.leaves_with_path(t, is_leaf=lambda x: isinstance(x, tuple))
    assert [tree.keystr(path) for path, _ in paths] == ["['a']", "['b'][0]"]


def test_reduce() -> None:
    assert tree.reduce(lambda x, y: x + y, {"a": "p", "b": ["q", "r"]}) == "pqr"
    assert tree.reduce(lambda x, y: x + y, ["q"], "p") == "pq"
    assert tree.reduce(lambda x, y: x + y, [], None) is None
    with pytest.raises(TreeError, match="without leaves"):
        tree.reduce(lambda x, y: x + y, {"a": []})


def test_all() -> None:
    assert tree.all([1, {"a": True}]) is True
    assert tree.all([]) is True
    assert tree.all([1, {"a": 0}]) is False


def test_map_with_path() -> None:
    t = {"w": [1, 2], "p": Point(3, None)}
    assert tree.map_with_path(lambda path, x, y: (tree.keystr(path), x, y), t, t) == {
        "w": [("['w'][0]", 1, 1), ("['w'][1]", 2, 2)],
        "p": Point(("['p'].x", 3, 3), None),
    }
    assert tree.leaves_with_path(t)[0] == ((tree.DictKey("p"), tree.GetAttrKey("x")), 3)


def test_keys() -> None:
    keys = (tree.SequenceKey(0), tree.DictKey("w"), tree.GetAttrKey("x"), tree.FlattenedIndexKey(1))
    assert tree.keystr(keys) == "[0]['w'].x[<flat index 1>]"
    assert tree.keystr(()) == ""
    assert (keys[0].idx, keys[1].key, keys[2].name, keys[3].key) == (0, "w", "x", 1)
    assert len({*keys, tree.SequenceKey(0)}) == 4
    assert repr(keys[0]) == "SequenceKey(idx=0)"


def test_transpose() -> None:
    outer, inner = tree.structure({"p": 0, "q": [0]}), tree.structure((0, 0, 0))
    t = {"p": (1, 2, 3), "q": [(4, 5, 6)]}
    turned = ({"p": 1, "q": [4]}, {"p": 2, "q": [5]}, {"p": 3, "q": [6]})
    assert tree.transpose(outer, inner, t) == turned
    assert tree.transpose(outer, None, t) == turned
    assert tree.transpose(inner, outer, turned) == t
    assert tree.transpose(tree.structure([]), inner, []) == ([], [], [])
    assert tree.transpose(outer, tree.structure(()), {"p": (), "q": [()]}) == ()
    with pytest.raises(TreeError, match=r"inner_treedef and the tree do not match at \['q'\]\[0\]"):
        tree.transpose(outer, inner, {"p": (1, 2, 3), "q": [(4, 5)]})
    with pytest.raises(TreeError, match=r"outer_treedef and the tree do not match at \['q'\]"):
        tree.transpose(outer, inner, {"p": (1, 2, 3), "q": ()})
    with pytest.raises(TreeError, match="no inner_treedef"):
        tree.transpose(tree.structure([]), None, [])


def test_flatten_up_to() -> None:
    assert tree.structure([0, {"a": (0,)}, None]).flatten_up_to([(1, 2), {"a": (3,)}, None]) == [(1, 2), 3]
    assert tree.structure(0).flatten_up_to(None) == [None]
    with pytest.raises(TreeError, match=r"at \[1\]\['a'\]"):
        tree.structure([0, {"a": (0,)}]).flatten_up_to([1, {"a": [2]}])


def test_wrong_number_of_leaves() -> None:
    structure = tree.structure({"a": 0, "b": [0, None]})
    for leaves in ([], [1], [1, 2, 3]):
        with pytest.raises(TreeError, match=f"{len(leaves)} leaves for a structure with 2"):
            tree.unflatten(structure, leaves)
    with pytest.raises(TreeError):
        tree.structure(None).unflatten([1])
    with pytest.raises(TreeError):
        tree.structure(0).unflatten([])


# trees that do not match

MISMATCHES: list[tuple[Any, Any, str, str]] = [
    ([1, 2], [1, 2, 3], "the root", r"has \[\*, \*\] there, tree 2 has \[\*, \*, \*\]"),
    ([1, 2], (1, 2), "the root", r"has \[\*, \*\] there, tree 2 has \(\*, \*\)"),
    ([1, [2]], [1, 2], r"\[1\]", r"has \[\*\] there, tree 2 has a leaf of class int"),
    ([1, None], [1, 2], r"\[1\]", "has None there, tree 2 has a leaf of class int"),
    ([[]], [None], r"\[0\]", r"has \[\] there, tree 2 has None"),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": 2}}, r"\['a'\]", r"only the first tree has: \['c'\], .* \['d'\]"),
    ({"a": 1}, {"a": 1, "b": 2}, "the root", r"only the first tree has: \[\], that only tree 2 has: \['b'\]"),
    ({"a": 1}, OrderedDict(a=1), "the root", r"has \{'a': \*\} there, tree 2 has OrderedDict\(\{'a': \*\}\)"),
    (defaultdict(list), defaultdict(int), "the root", r"defaultdict\(list, \{\}\) there, .* defaultdict\(int, \{\}\)"),
    (Point(1, [2]), Point(1, 2), r"\.y", r"\[\*\]"),
    (Point(1, 2), Typed(1, 2), "the root", r"Point\(x=\*, y=\*\) there, tree 2 has Typed\(a=\*, b=\*\)"),
    ([Layer(1, "relu", 2)], [Layer(1, "tanh", 2)], r"\[0\]", r"Layer\[\('relu',\)\].*Layer\[\('tanh',\)\]"),
    (Pair(1, [2]), Pair(1, 2), r"\[<flat index 1>\]", r"\[\*\]"),
    (Pair(1, 2, "m"), Pair(1, 2, "n"), "the root", r"Pair\['m'\]\(\*, \*\) there, tree 2 has Pair\['n'\]\(\*, \*\)"),
    (Named(1, [2]), Named(1, 2), "<2>", r"\[\*\]"),
]


@pytest.mark.parametrize(("one", "other", "where", "how"), MISMATCHES)
def test_mismatch(one: Any, other: Any, where: str, how: str) -> None:
    assert tree.structure(one) != tree.structure(other)
    with pytest.raises(TreeError, match=f"the first tree and tree 2 do not match at {where}\n.*{how}.*\n  hint: "):
        tree.map(lambda *xs: xs, one, other)
    with pytest.raises(TreeError, match=rf"and tree 3 do not match at \[1\]{where}\n".replace("the root", "")):
        tree.map_with_path(lambda *xs: xs, [0, one], [0, one], [0, other])


def test_error_is_a_builtin_one_too() -> None:
    for kind in (TypeError, ValueError):
        with pytest.raises(kind):
            tree.map(lambda x, y: x, [1], (1,))


def test_metadata_that_does_not_compare() -> None:
    one, other = Pair(1, 2, np.ones(2)), Pair(1, 2, np.ones(2))
    assert tree.structure(one) == tree.structure(one)
    with pytest.raises(TreeError, match="cannot be compared"):
        bool(tree.structure(one) == tree.structure(other))
    with pytest.raises(TreeError, match="two Pair containers cannot be compared"):
        tree.map(lambda x, y: x, one, other)


def test_metadata_without_hash() -> None:
    assert tree.structure(Pair(1, 2, [3])) == tree.structure(Pair(4, 5, [3]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(tree.structure(Pair(1, 2, [3])))


# classes of users


def test_register_dataclass_bare() -> None:
    @tree.register_dataclass
    @dataclasses.dataclass
    class Net:
        w: Any
        depth: int = dataclasses.field(metadata={"static": True})
        b: Any = None

    assert tree.leaves(Net(1, 2, 3)) == [1, 3]
    assert tree.map(lambda x: 10 * x, Net(1, 2, [3])) == Net(10, 2, [30])
    assert tree.structure(Net(1, 2)) != tree.structure(Net(1, 3))


@pytest.mark.parametrize(
    ("given", "leaves"),
    [
        ({}, [1, 2, 3]),
        ({"data_fields": ["c", "a"]}, [3, 1]),
        ({"meta_fields": ("a",)}, [2, 3]),
        ({"data_fields": iter("b"), "meta_fields": iter("ca")}, [2]),
        ({"data_fields": []}, []),
    ],
)
def test_fields(given: dict[str, Any], leaves: list[Any]) -> None:
    cls = dataclasses.make_dataclass("Made", ["a", "b", "c"])
    assert tree.register_dataclass(cls, **given) is cls
    assert tree.leaves(cls(1, 2, 3)) == leaves
    assert tree.map(lambda x: x, cls(1, 2, 3)) == cls(1, 2, 3)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "named, but not taken: later"),
        ({"data_fields": ["a"]}, "named, but not taken: later"),
        ({"data_fields": ["a"], "meta_fields": []}, "not named: b"),
        ({"data_fields": ["a", "b"], "meta_fields": ["b"]}, "named twice: b"),
        ({"data_fields": ["a", "b", "a"], "meta_fields": []}, "named twice: a"),
        ({"data_fields": ["a", "b"], "meta_fields": ["d"]}, "named, but not taken: d"),
    ],
)
def test_wrong_fields(given: dict[str, Any], wrong: str) -> None:
    cls = dataclasses.make_dataclass("Made", ["a", "b", ("later", int, dataclasses.field(init=False, default=0))])
    with pytest.raises(TreeError, match=wrong):
        tree.register_dataclass(cls, **given)
    assert not tree.is_node(cls(1, 2))


def test_a_field_that_init_sets() -> None:
    @functools.partial(tree.register_dataclass, data_fields=["low", "high"], meta_fields=[])
    @dataclasses.dataclass(frozen=True, slots=True)
    class Interval:
        low: float
        high: float
        width: float = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "width", self.high - self.low)

    assert tree.map(lambda x: 2 * x, Interval(1.0, 4.0)).width == 6.0


def test_classes_that_are_no_dataclasses() -> None:
    class Plain:
        def __init__(self, w: Any, n: int) -> None:
            self.w, self.n = w, n

    for given in ({}, {"data_fields": ["w"]}, {"meta_fields": ["n"]}):
        with pytest.raises(TreeError, match="no dataclass"):
            tree.register_dataclass(Plain, **given)
    tree.register_dataclass(Plain, ["w"], ["n"])
    again = tree.map(lambda x: 10 * x, Plain([1], 2))
    assert (again.w, again.n) == ([10], 2)
    for no_class in (Layer(1, "relu", 2), 3):
        with pytest.raises(TreeError, match="no dataclass"):
            tree.register_dataclass(no_class)  # type: ignore[arg-type]
        with pytest.raises(TreeError, match="no class"):
            tree.register_node(no_class, lambda x: ((), x), lambda x, _: x)  # type: ignore[arg-type, type-var]


def test_a_dataclass_without_fields() -> None:
    cls = tree.register_dataclass(dataclasses.make_dataclass("Empty", []))
    assert tree.leaves([cls(), 1]) == [1]
    assert tree.map(lambda x: x, [cls()]) == [cls()]


@pytest.mark.parametrize("cls", [list, dict, tuple, type(None), OrderedDict, Pair, Layer])
def test_registered_twice(cls: type) -> None:
    with pytest.raises(TreeError, match=f"{cls.__name__} is registered already"):
        tree.register_node(cls, lambda x: ((), x), lambda x, _: x)


def test_registration_after_having_been_a_leaf() -> None:
    class Late:
        pass

    x = Late()
    assert tree.leaves([x]) == [x]
    tree.register_node(Late, lambda _: ((1, 2), None), lambda _meta, _children: Late())
    assert tree.is_node(x)
    assert tree.leaves([x]) == [1, 2]


def test_a_namedtuple_may_be_registered() -> None:
    Own = namedtuple("Own", ["data", "note"])
    tree.register_node(Own, lambda x: ([x.data], x.note), lambda note, children: Own(children[0], note))
    assert tree.leaves(Own(1, "n")) == [1]
    assert tree.map(lambda x: 2 * x, Own(1, "n")) == Own(2, "n")


def test_children_may_be_any_iterable() -> None:
    class Lazy:
        def __init__(self, *items: Any) -> None:
            self.items = items

    tree.register_node(Lazy, lambda x: (iter(x.items), None), lambda _, items: Lazy(*items))
    assert tree.leaves([Lazy(1, [2, Lazy(3)]), 4]) == [1, 2, 3, 4]
    assert tree.map(lambda x: 2 * x, Lazy(1, 2)).items == (2, 4)
    assert [tree.keystr(path) for path, _ in tree.leaves_with_path(Lazy(0))] == ["[<flat index 0>]"]


def test_a_flatten_function_that_gives_no_pair() -> None:
    class Bad:
        pass

    tree.register_node(Bad, lambda _: [1], lambda _meta, _children: Bad())  # type: ignore[arg-type, return-value]
    with pytest.raises(TreeError, match="the flatten function of Bad"):
        tree.leaves(Bad())


# trees without end, trees without bottom


def nest(depth: int, wrap: Callable[[Any], Any], inner: Any = 1.0) -> Any:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def test_a_list_in_itself() -> None:
    t: list[Any] = [1]
    t.append(t)
    with pytest.raises(TreeError, match=r"contains itself\n  the list at \[1\] is the one at the root"):
        tree.flatten(t)


def test_a_circle_of_several() -> None:
    a: dict[str, Any] = {"x": 1}
    a["pair"] = Pair((1, a), None)
    where = r"\['top'\]\[1\]"
    match = rf"the dict at {where}\['pair'\]\[<flat index 0>\]\[1\] is the one at {where}\n"
    for function in (tree.leaves, tree.structure, tree.flatten_with_path, functools.partial(tree.map, id)):
        with pytest.raises(TreeError, match=match):
            function({"top": [0, a]})


@pytest.mark.parametrize("depth", range(10, 24))
def test_a_circle_far_down(depth: int) -> None:
    a: list[Any] = [1]
    a.append((a,))
    with pytest.raises(TreeError) as info:
        tree.leaves(nest(depth, lambda x: [x], a))
    assert f"the list at {'[0]' * depth}[1][0] is the one at {'[0]' * depth}\n" in str(info.value)


def test_what_occurs_twice_is_no_circle() -> None:
    shared = [1.0]
    for depth in (1, 40):
        t = nest(depth, lambda x: (x, [shared, shared], x if x is shared else None), shared)
        assert set(tree.leaves(t)) == {1.0}
    ladder = nest(12, lambda x: [x, x])
    assert len(tree.leaves(nest(20, lambda x: [x], ladder))) == 2**12
    assert tree.leaves(nest(40, lambda x: [None, (), x])) == [1.0]


@pytest.mark.parametrize(
    ("depth", "wrap"), [(100_000, lambda x: [x]), (20_000, lambda x: {"k": (None, Pair(x, 0), Point(x=(), y=[]))})]
)
def test_deep(depth: int, wrap: Callable[[Any], Any]) -> None:
    t = nest(depth, wrap)
    leaves, structure = tree.flatten(t)
    assert leaves[0] == 1.0
    again = structure.unflatten(leaves)
    other = tree.structure(again)
    assert structure == other
    assert hash(structure) == hash(other)
    assert len(repr(structure)) > depth
    assert len(tree.leaves(tree.map(lambda x, y: x + y, t, again))) == len(leaves)
    if structure.num_leaves == 1:  # else the paths themselves are of quadratic size
        assert len(tree.leaves_with_path(t)[0][0]) == depth


def test_deep_mismatch() -> None:
    with pytest.raises(TreeError) as info:
        tree.map(lambda x, y: x, nest(100_000, lambda x: [x]), nest(99_999, lambda x: [x], ()))
    assert len(str(info.value)) < 1000


def test_wide() -> None:
    numbers = list(range(1_000_000))
    leaves, structure = tree.flatten(numbers)
    assert structure.unflatten(leaves) == numbers
    assert structure.num_leaves == 1_000_000
    assert sum(tree.map(lambda x, y: y - x, numbers, numbers)) == 0


# at random


def trees(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(11 if depth else 2)
    children = [trees(rng, depth - 1) for _ in range(rng.randrange(4))] if kind > 1 else []
    if kind == 0:
        return rng.random()
    if kind in (5, 6, 7):
        keys = rng.sample(range(9), len(children)) if rng.random() < 0.5 else rng.sample("abcdef", len(children))
        items = dict(zip(keys, children))
        return items if kind == 5 else OrderedDict(items) if kind == 6 else defaultdict(list, items)
    two = [trees(rng, depth - 1), trees(rng, depth - 1)] if kind > 7 else []
    builds: dict[int, Callable[[], Any]] = {
        1: lambda: None,
        2: lambda: children,
        3: lambda: tuple(children),
        4: lambda: [children],
        8: lambda: Point(*two),
        9: lambda: Layer(two[0], rng.choice(["relu", "tanh"]), two[1]),
        10: lambda: rng.choice([Pair, Named])(*two),
    }
    return builds[kind]()


def slow_leaves(t: Any) -> Iterator[Any]:
    """What `leaves` should give, said as simply as can be."""
    if isinstance(t, Layer):
        t = (t.w, t.b)
    if isinstance(t, Pair):
        t = (t.one, t.two)
    if isinstance(t, dict):
        t = [t[key] for key in (t if isinstance(t, OrderedDict) else sorted(t))]
    if isinstance(t, list | tuple):
        for child in t:
            yield from slow_leaves(child)
    elif t is not None:
        yield t


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b and repr(tree.structure(a)) == repr(tree.structure(b))


@pytest.mark.parametrize("seed", range(300))
def test_random(seed: int) -> None:
    rng = random.Random(seed)
    t, u = trees(rng, 5), trees(rng, 2)
    leaves, structure = tree.flatten(t)
    assert leaves == list(slow_leaves(t))
    assert same(structure.unflatten(leaves), t)
    pairs = tree.leaves_with_path(t)
    assert [leaf for _, leaf in pairs] == leaves
    assert len({tree.keystr(path) for path, _ in pairs}) == len(leaves)
    assert tree.leaves(tree.map(lambda x, y: x - y, t, t)) == [0.0] * len(leaves)
    grown = structure.unflatten([[u, i] for i in range(len(leaves))])
    assert structure.flatten_up_to(grown) == [[u, i] for i in range(len(leaves))]
    assert (tree.structure(grown) == structure) == (not leaves)
    if leaves:
        inner = tree.structure([u, 0])
        back = tree.transpose(inner, structure, tree.transpose(structure, inner, grown))
        assert same(back, grown)
