"""The order of the layers: a lower file knows nothing of an upper one. Only sources are read, nothing is imported.

An import counts when it runs with its module. One under `if TYPE_CHECKING` is free, one inside a function is a fault
(it would dodge a cycle), but for `__getattr__` of the package itself, which loads parts of it when they are asked for.
To import from a package is to import its `__init__` too, save from within, and save tapegrad's own, which runs first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "tapegrad"

# From low to high; the files of one line know nothing of each other.
ORDER = """
    errors  guard  lines
    containers
    tree
    tape
    frame
    moment
    tracer
    views
    primitives
    primitives.bodies  primitives.inputs  primitives.notes  primitives.partial  primitives.rules
    primitives.cotangent  primitives.definition
    primitives.forms
    primitives.general  primitives.recording
    replay
    replay.backward
    primitives.transpose  primitives.unary  primitives.binary  primitives.single  primitives.several  primitives.listed
    primitives.define
    primitives.ufuncs
    replay.forward  replay.table
    arguments
    transforms
    custom  diagnosis  folding  linear
    jacobians
    numpy.kinks
    numpy.elementwise  numpy.structure  numpy.creation  numpy.linalg  numpy.fft
    numpy.joining  numpy.sorting
    numpy.scattering
    numpy.assignment
    numpy.indexing  numpy.reductions  numpy.products  numpy.updates
    numpy.norms  numpy.subscripts
    numpy.operators
    numpy
    nn  flatten_util
    testing.differences  testing.calls
    testing.rules
    testing
    tapegrad
"""

Order = list[list[str]]
Sources = dict[str, str]


def read_order(text: str) -> Order:
    return [line.split() for line in text.split("\n") if line.strip()]


def read_sources(root: Path) -> Sources:
    """Sources by module, named from within the package: `numpy` is numpy/__init__.py, `tapegrad` the package's own."""
    sources = {}
    for path in sorted(root.rglob("*.py")):
        *above, stem = path.relative_to(root).with_suffix("").parts
        name = ".".join(above if stem == "__init__" else [*above, stem])
        sources[name or "tapegrad"] = path.read_text(encoding="utf-8")
    return sources


def is_package(name: str, sources: Sources) -> bool:
    return name == "tapegrad" or any(other.startswith(f"{name}.") for other in sources)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def is_import_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")


def import_nodes(body: Sequence[ast.AST], function: str = "") -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """What imports, with the name of the function that it stands in ("" for none)."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom) or is_import_call(node):
            yield node, function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            name = "lambda" if isinstance(node, ast.Lambda) else node.name
            yield from import_nodes(list(ast.iter_child_nodes(node)), f"{function}.{name}" if function else name)
        elif is_type_checking(node):
            yield from import_nodes(node.orelse, function)
        elif isinstance(node, ast.ClassDef) and function == "":
            for inner, where in import_nodes(list(ast.iter_child_nodes(node))):
                yield inner, f"{node.name}.{where}" if where else ""
        else:
            yield from import_nodes(list(ast.iter_child_nodes(node)), function)


def targets(node: ast.AST, name: str, sources: Sources) -> set[str]:
    """The modules of ours that one import in module `name` runs, without the packages around them."""
    if isinstance(node, ast.Import):
        full = [alias.name.split(".") for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = node.module.split(".") if node.module else []
        if node.level:
            here = ["tapegrad", *name.split(".")] if name != "tapegrad" else ["tapegrad"]
            base = here[: len(here) - node.level + is_package(name, sources)] + base
        full = [[*base, alias.name] for alias in node.names]
    else:
        return set()
    found = set()
    for parts in full:
        if parts[0] == "tapegrad":
            path = parts[1:]
            while path and ".".join(path) not in sources:  # a name in a module, not a module
                path = path[:-1]
            found.add(".".join(path) or "tapegrad")
    return found


def with_packages(target: str, name: str) -> set[str]:
    """The module, and the packages around it that module `name` is not in."""
    parts = target.split(".")
    around = {".".join(parts[:i]) for i in range(1, len(parts))}
    return {target} | {package for package in around if name != package and not name.startswith(f"{package}.")}


def faults(sources: Sources, order: Order) -> list[str]:
    """What is wrong with the layers, each as a sentence that names file and line."""
    height = {name: i for i, line in enumerate(order) for name in line}
    found = [f"{name} has no place in the order" for name in sources if name not in height]
    found += [f"{name} is in the order, but there is no such file" for name in height if name not in sources]
    graph: dict[str, set[str]] = {name: set() for name in sources}
    for name, source in sources.items():
        for node, function in import_nodes(ast.parse(source).body):
            where = f"{name}, line {node.lineno}"
            if function and (name, function) != ("tapegrad", "__getattr__"):
                found.append(f"{where}: an import inside {function}")
            elif not function and is_import_call(node):
                found.append(f"{where}: an import by a call, which nobody can follow")
            if function:
                continue
            for target in sorted(t for first in targets(node, name, sources) for t in with_packages(first, name)):
                graph[name].add(target)
                if target == name:
                    found.append(f"{where}: imports itself")
                elif height.get(target, -1) >= height.get(name, len(order)):
                    level = "beside" if height[target] == height[name] else "above"
                    found.append(f"{where}: imports {target}, which stands {level} it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("a cycle: " + " -> ".join(reversed(error.args[1])))
    return found


def test_lower_files_know_nothing_of_upper_ones() -> None:
    found = faults(read_sources(ROOT), read_order(ORDER))
    assert not found, "\n".join(found)


# the check itself, on small made-up packages

LOW_TO_HIGH = read_order("low\n a b\n pack.x\n pack.y\n pack\n high\n tapegrad")
GOOD = {
    "low": "import numpy as np",
    "a": "from .low import f",
    "b": "from . import low\nfrom tapegrad.low import g",
    "pack.x": "from ..low import f\nimport numpy",
    "pack.y": "from .x import f\nfrom . import x\nfrom tapegrad.pack import x as other",
    "pack": "from .y import f\nfrom . import x",
    "high": "from .pack import f\nfrom .pack.x import g\nimport tapegrad.a as a",
    "tapegrad": "from .high import f\nfrom . import pack\ndef __getattr__(name):\n    from . import b\n    return b",
}


def test_a_good_package_has_no_fault() -> None:
    assert faults(GOOD, LOW_TO_HIGH) == []


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("low", "from .a import f", "low, line 1: imports a, which stands above it"),
        ("low", "from . import a", "low, line 1: imports a, which stands above it"),
        ("low", "import tapegrad.a", "low, line 1: imports a, which stands above it"),
        ("low", "import os\n\nfrom tapegrad import a", "low, line 3: imports a, which stands above it"),
        ("low", "from tapegrad import something", "low, line 1: imports tapegrad, which stands above it"),
        ("low", "from . import something", "low, line 1: imports tapegrad, which stands above it"),
        ("low", "import tapegrad", "low, line 1: imports tapegrad, which stands above it"),
        ("low", "from .pack.x import f", "low, line 1: imports pack, which stands above it"),
        ("low", "try:\n    from .a import f\nexcept ImportError:\n    pass", "line 2: imports a, which stands above"),
        ("low", "class A:\n    from .a import f", "low, line 2: imports a, which stands above it"),
        ("a", "from .b import f", "a, line 1: imports b, which stands beside it"),
        ("a", "from . import a", "a, line 1: imports itself"),
        ("pack.x", "from . import y", "pack.x, line 1: imports pack.y, which stands above it"),
        ("pack.x", "from . import something", "pack.x, line 1: imports pack, which stands above it"),
        ("pack.x", "from .. import high", "pack.x, line 1: imports high, which stands above it"),
        ("pack.x", "from ..high import f", "pack.x, line 1: imports high, which stands above it"),
        ("a", "def f():\n    import os", "a, line 2: an import inside f"),
        ("a", "def f():\n    def g():\n        from . import low", "a, line 3: an import inside f.g"),
        ("a", "class A:\n    def f(self):\n        from . import b", "a, line 3: an import inside A.f"),
        ("a", "def f():\n    class A:\n        import os", "a, line 3: an import inside f"),
        ("a", "async def f():\n    if f:\n        import os", "a, line 3: an import inside f"),
        ("a", "def f():\n    importlib.import_module('b')", "a, line 2: an import inside f"),
        ("a", "f = lambda: __import__('b')", "a, line 1: an import inside lambda"),
        ("a", "importlib.import_module('b')", "a, line 1: an import by a call"),
        ("a", "def __getattr__(name):\n    from . import b", "a, line 2: an import inside __getattr__"),
        ("tapegrad", "def f():\n    from . import b", "tapegrad, line 2: an import inside f"),
        ("tapegrad", "class A:\n    def __getattr__(self, name):\n        import os", "inside A.__getattr__"),
        ("extra", "", "extra has no place in the order"),
        ("pack.extra", "", "pack.extra has no place in the order"),
    ],
)
def test_a_fault_is_found(name: str, source: str, fault: str) -> None:
    assert fault in "\n".join(faults({**GOOD, name: source}, LOW_TO_HIGH))


@pytest.mark.parametrize(
    "source",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .high import f",
        "import typing\nif typing.TYPE_CHECKING:\n    from .high import f\nelse:\n    f = None",
        "import os, json as j\nfrom collections.abc import Callable",
        "from tapegradual import f",
    ],
)
def test_what_is_allowed(source: str) -> None:
    assert faults({**GOOD, "low": source}, LOW_TO_HIGH) == []


def test_a_name_without_file_is_found() -> None:
    sources = {name: source for name, source in GOOD.items() if name != "b"}
    assert faults(sources, LOW_TO_HIGH) == ["b is in the order, but there is no such file"]


def test_a_cycle_is_found_whatever_the_order_says() -> None:
    found = faults({**GOOD, "low": "from .pack import x"}, LOW_TO_HIGH)
    assert any(fault.startswith("a cycle: ") and "low" in fault for fault in found)


def test_files_are_named_from_within_the_package(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    for path in ("__init__.py", "low.py", "pack/__init__.py", "pack/x.py"):
        (tmp_path / path).write_text(f"# {path}")
    assert read_sources(tmp_path) == {
        "tapegrad": "# __init__.py",
        "low": "# low.py",
        "pack": "# pack/__init__.py",
        "pack.x": "# pack/x.py",
    }
