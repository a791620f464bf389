"""README.md says what is so: its Python blocks run in order, in one namespace, and print what it shows.

A block of ```python is a program, or a session if it holds `>>>`. If the next block is ```text, that is what the
program prints. Any other block is for people.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import linecache
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

README = Path(__file__).parent.parent / "README.md"

COMMANDS = """\
pip install . && python examples/digits.py
pip install ".[test]" && pytest
"""


@dataclass
class Block:
    language: str
    line: int  # of its first line of text, counted from 1
    text: str


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    fence = ""
    for number, line in enumerate(markdown.splitlines(), start=1):
        mark = re.match(r"(```+|~~~+)(.*)", line)
        if fence and line.rstrip() == fence:
            fence = ""
        elif fence:
            found[-1].text += line + "\n"
        elif mark:
            fence = mark[1]
            found.append(Block(mark[2].strip(), number + 1, ""))
    assert not fence, f"the block that starts at line {found[-1].line} does not end"
    return found


def run(markdown: str, name: str = "readme") -> int:
    """Run a page, and give the number of blocks that ran. Raises at the first that fails, or prints something else."""
    page = blocks(markdown)
    module = ModuleType(name)
    file = f"{name}.md"
    linecache.cache[file] = (len(markdown), None, markdown.splitlines(keepends=True), file)
    sys.modules[name] = module
    count = 0
    try:
        for block, after in zip(page, [*page[1:], Block("", 0, "")], strict=True):
            if block.language != "python":
                continue
            count += 1
            if ">>> " in block.text:
                run_session(block, file, module)
            else:
                printed = run_program(block, file, module)
                if after.language == "text" and printed != after.text:
                    raise AssertionError(f"{file}, line {after.line}: it printed\n{printed}")
    finally:
        del sys.modules[name], linecache.cache[file]
    return count


def run_program(block: Block, file: str, module: ModuleType) -> str:
    code = compile("\n" * (block.line - 1) + block.text, file, "exec", dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, module.__dict__)
    return "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())


def run_session(block: Block, file: str, module: ModuleType) -> None:
    session = doctest.DocTestParser().get_doctest(block.text, {}, file, file, block.line - 1)
    session.globs = module.__dict__
    report = io.StringIO()
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(session, out=report.write, clear_globs=False)
    if report.getvalue():
        raise AssertionError(report.getvalue())


def test_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(README.read_text(encoding="utf-8"), "README") > 0


def test_readme_has_the_two_commands() -> None:
    assert COMMANDS in [block.text for block in blocks(README.read_text(encoding="utf-8"))]


# the runner itself, on small made-up pages


def page(*parts: tuple[str, str]) -> str:
    return "# A title\n\n" + "\n".join(f"Some prose.\n\n```{language}\n{text}\n```\n" for language, text in parts)


GOOD = page(
    ("python", "import dataclasses\nx = 2\nprint(x)\nprint(x + 1)"),
    ("text", "2\n3"),
    ("sh", "exit 1"),
    ("python", ">>> x += 1\n>>> x\n3\n>>> y = [i * x for i in range(2)]\n>>> 1 / 0\n"
               "Traceback (most recent call last):\n    ...\nZeroDivisionError: division by zero"),
    ("text", "whatever: a session holds its own output"),
    ("python", "assert y == [0, 3]\n\n@dataclasses.dataclass\nclass Point:\n    x: 'float'\n\nprint(Point(1.0))"),
)  # fmt: skip


def test_blocks_are_found_with_their_lines() -> None:
    first, second = blocks("a\n```python\nx = 1\ny = 2\n```\n\n````text\n```\n````\n")
    assert (first.language, first.line, first.text) == ("python", 3, "x = 1\ny = 2\n")
    assert (second.language, second.line, second.text) == ("text", 8, "```\n")


def test_a_block_without_end_fails() -> None:
    with pytest.raises(AssertionError, match="line 2 does not end"):
        blocks("```python\nx = 1\n")


def test_a_good_page_runs() -> None:
    assert run(GOOD) == 3


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([("python", "print(1 + 1)"), ("text", "3")], AssertionError, "it printed\n2"),
        ([("python", "print(1)"), ("text", "1\n2")], AssertionError, "it printed\n1"),
        ([("python", "print(1)\nprint(2)"), ("text", "1")], AssertionError, "it printed\n1\n2"),
        ([("python", "print('a  b')"), ("text", "a b")], AssertionError, "it printed\na  b"),
        ([("python", "x = 1"), ("text", "1")], AssertionError, "it printed\n"),
        ([("python", ">>> 1 + 1\n3")], AssertionError, "Expected:\n    3\nGot:\n    2"),
        ([("python", ">>> undefined")], AssertionError, "NameError"),
        ([("python", "undefined")], NameError, "undefined"),
        ([("python", "x = 1"), ("python", "assert x == 2, 'no'")], AssertionError, "no"),
        ([("python", "if True")], SyntaxError, "expected ':'"),
    ],
)
def test_a_wrong_page_fails(parts: list[tuple[str, str]], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run(page(*parts))


def test_a_failure_names_the_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run("text\n\n```python\nx = 1\n1 / 0\n```\n")
    assert str(caught.traceback[-1].path) == "readme.md"
    assert caught.traceback[-1].lineno == 4  # counted from 0
    with pytest.raises(AssertionError, match=r'File "readme.md", line 4'):
        run("text\n\n```python\n>>> 1\n2\n```\n")


def test_nothing_stays_behind() -> None:
    run(GOOD)
    assert "readme" not in sys.modules
    assert "readme.md" not in linecache.cache
