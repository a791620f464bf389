"""What is public is there, documented and typed; what nobody asks for is not loaded; no file tells where it lay."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tapegrad

ROOT = Path(__file__).parent.parent
PARTS = ["tree", "nn", "flatten_util", "testing"]
NUMPY = ["", ".linalg", ".fft"]


def in_new_python(code: str) -> str:
    """What a program prints that starts afresh, on this checkout."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# names


def own_names(module: ModuleType) -> set[str]:
    """What looks public in a module: what it made itself, and of the whole package whatever one of its files made."""
    made_here = ("tapegrad", "tapegrad.") if module is tapegrad else (module.__name__,)
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and str(getattr(value, "__module__", "")).startswith(made_here)
    }


@pytest.mark.parametrize("part", ["", *(f".{part}" for part in PARTS)])
def test_all_is_what_there_is(part: str) -> None:
    module = importlib.import_module(f"tapegrad{part}")
    names = module.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(module, name)] == []
    assert own_names(module) - set(names) == set()


def test_parts_are_attributes() -> None:
    for part in ["tree", "nn", "testing", "numpy", "numpy.linalg", "numpy.fft"]:
        assert in_new_python(f"import tapegrad; print(tapegrad.{part}.__name__)").strip() == f"tapegrad.{part}"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        tapegrad.nothing_of_this_name  # type: ignore[attr-defined]  # noqa: B018
    assert set(tapegrad.__all__) <= set(dir(tapegrad))


@pytest.mark.parametrize("part", NUMPY)
def test_numpy_is_complete(part: str) -> None:
    theirs, ours = importlib.import_module(f"numpy{part}"), importlib.import_module(f"tapegrad.numpy{part}")
    names = {name for name in theirs.__all__ if name != "test" and not isinstance(getattr(theirs, name), ModuleType)}
    assert sorted(name for name in names if not hasattr(ours, name)) == []
    assert sorted(names - set(dir(ours))) == []


def test_a_module_does_not_hide_a_name() -> None:
    for init in (ROOT / "tapegrad").rglob("__init__.py"):
        files = {path.stem for path in init.parent.glob("*.py")}
        folders = {path.parent.name for path in init.parent.glob("*/__init__.py")}
        assert bound(init.read_text(encoding="utf-8")) & (files | folders) == set(), init


def bound(source: str) -> set[str]:
    """The names that a module binds, other than to modules beside it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_bound_sees_names() -> None:
    source = "from . import a\nfrom .b import c, d as e\nimport f\ndef g(): ...\nclass H: ...\ni = 1"
    assert bound(source) == {"c", "e", "g", "H", "i"}


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev|\.post)\d+)?", tapegrad.__version__)


# docstrings and types


def public() -> Iterator[tuple[str, Any]]:
    """Public functions and classes of our own, and the public methods of these classes, by dotted name."""
    seen = set()
    for part in ["tapegrad", *(f"tapegrad.{part}" for part in PARTS)]:
        module = importlib.import_module(part)
        for name in getattr(module, "__all__", sorted(own_names(module))):
            value = getattr(module, name)
            if not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{part}.{name}", value
            if inspect.isclass(value):
                for method, member in vars(value).items():
                    if not method.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                        yield f"{part}.{name}.{method}", member


def without_annotation(function: Callable[..., Any]) -> list[str]:
    """The parameters of a function that have no annotation, and "return" if its result has none."""
    signature = inspect.signature(function)
    names = [name for name, parameter in signature.parameters.items() if parameter.annotation is parameter.empty]
    names = [name for i, name in enumerate(names) if i or name not in ("self", "cls")]
    return names + ["return"] * (signature.return_annotation is signature.empty)


def function_of(member: Any) -> Callable[..., Any]:
    if isinstance(member, property):
        return member.fget  # type: ignore[return-value]
    return getattr(member, "__func__", member)  # type: ignore[no-any-return]


PUBLIC = dict(public())


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring(name: str) -> None:
    assert (getattr(PUBLIC[name], "__doc__", None) or "").strip()


@pytest.mark.parametrize("name", [name for name in PUBLIC if not inspect.isclass(PUBLIC[name])])
def test_annotations(name: str) -> None:
    assert without_annotation(function_of(PUBLIC[name])) == []


def test_a_missing_annotation_is_seen() -> None:
    def f(self, a: int, b, *c, d: int = 0, **e: int):  # type: ignore[no-untyped-def]
        pass

    def g(a: int, *b: int) -> None:
        pass

    assert without_annotation(f) == ["b", "c", "return"]
    assert without_annotation(g) == []


@pytest.mark.parametrize("part", NUMPY)
def test_numpy_docstrings(part: str) -> None:
    theirs, ours = importlib.import_module(f"numpy{part}"), importlib.import_module(f"tapegrad.numpy{part}")
    functions = {name: getattr(ours, name) for name in theirs.__all__ if inspect.isroutine(getattr(theirs, name))}
    assert len(functions) > 10
    assert [name for name, function in functions.items() if not (function.__doc__ or "").strip()] == []


def test_types_are_announced() -> None:
    assert (ROOT / "tapegrad" / "py.typed").is_file()


# what is loaded

HEAVY = ("numpy.f2py", "numpy.ma", "numpy.polynomial", "numpy.testing", "pytest", "scipy", "unittest")
OURS = {"numpy", "tapegrad", "typing_extensions"}


def loaded_by(code: str) -> set[str]:
    """The modules that a program loads beyond those of NumPy."""
    program = f"import sys, numpy; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    return set(in_new_python(program).split())


def test_import_is_light() -> None:
    new = loaded_by("import tapegrad")
    assert "tapegrad" in new
    assert {name for name in new if name.startswith(HEAVY)} == set()
    assert {name.split(".")[0] for name in new} - OURS - set(sys.stdlib_module_names) == set()


# what files tell

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users)/\w[\w./-]*")


def files(root: Path) -> Iterator[Path]:
    """The files of the project: no caches, no environments, no builds."""
    for folder, inner, names in os.walk(root):
        inner[:] = [
            name
            for name in inner
            if (not name.startswith(".") or name == ".ci")
            and name not in ("__pycache__", "build", "dist")
            and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        yield from (Path(folder, name) for name in names if name != ".git")


def machine_paths(text: str) -> list[str]:
    return MACHINE_PATH.findall(text)


def test_no_file_tells_where_it_was_made() -> None:
    found = {}
    for path in files(ROOT):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture, an archive
            continue
        if paths := machine_paths(text):
            found[str(path.relative_to(ROOT))] = paths
    assert found == {}


def test_machine_paths_are_seen(tmp_path: Path) -> None:
    bad = "/".join(["", "home", "ada", "x.py"])
    assert machine_paths(f"see {bad}, line 1") == [bad]
    assert machine_paths("a/tmp/b, /tmp, ./work/x, example.org/home/ada, x/root/y") == []
    for name in (".ci/run", "a/b.py", ".cache/c", "venv/pyvenv.cfg", "venv/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert {path.relative_to(tmp_path).as_posix() for path in files(tmp_path)} == {".ci/run", "a/b.py"}
