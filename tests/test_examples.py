"""Every file of examples/ runs in an empty directory, offline and without a warning, and says what it should."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tapegrad

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
TIMEOUT = 60  # seconds; each takes a few

FACTS = {
    "article": [
        "predictions at w = 1, b = 0: 1 2 3 4 5\n",
        "loss: 27.5\n",
        "gradient: dL/dw = -55, dL/db = -15\n",
        "Hessian: [[55, 15], [15, 5]]\n",
        "largest stable step: 2 / (largest eigenvalue) = 0.0338096\n",
        "the article's step explodes\n",
        "step 0.1, mean loss, 1000 steps: w = 2.00000, b = 0.00000\n",
        "step 0.03, summed loss, 100 steps: w = 1.98195, b = 0.06518\n",
        "step 0.03, summed loss, 1000 steps: w = 2.00000, b = 0.00000\n",
    ],
    "digits": ["epoch  1 of 40   loss ", "cross entropy on the training digits", "matplotlib is not installed"],
    "thirty_lines": ["the thirty lines and tapegrad agree\n"],
}


def run(name: str, directory: Path, *args: str, matplotlib: bool = False) -> subprocess.CompletedProcess[str]:
    """Run an example in a directory; without matplotlib, even if it is installed, unless asked for."""
    paths = [str(Path(tapegrad.__file__).parent.parent)]
    options = []
    if not matplotlib:
        options = ["-W", "error"]
        hidden = directory / "hidden"
        hidden.mkdir()
        (hidden / "matplotlib.py").write_text("raise ImportError('hidden')\n")
        paths.insert(0, str(hidden))
    return subprocess.run(
        [sys.executable, *options, str(EXAMPLES / f"{name}.py"), *args],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


def accuracy(output: str) -> float:
    found = re.search(r"^test accuracy: ([\d.]+) % \((\d+) of (\d+)\)", output, re.MULTILINE)
    assert found, output
    assert float(found[1]) == pytest.approx(100 * int(found[2]) / int(found[3]), abs=0.01)
    return float(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_example(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for fact in FACTS[name]:
        assert fact in done.stdout
    if name == "digits":
        assert accuracy(done.stdout) >= 97


def test_every_example_has_its_facts() -> None:
    assert set(FACTS) == set(NAMES)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib draws the picture")
def test_digits_picture(tmp_path: Path) -> None:
    done = run("digits", tmp_path, matplotlib=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert accuracy(done.stdout) >= 97
    picture = tmp_path / "digits.png"
    assert f"picture: {picture}\n" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("path", "message"), [("digits.txt", "does not end in"), ("no/digits.png", "no directory")])
def test_digits_refuses_a_path_before_the_work(path: str, message: str, tmp_path: Path) -> None:
    done = run("digits", tmp_path, path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_data() -> None:
    with np.load(EXAMPLES / "data" / "digits.npz", allow_pickle=False) as file:
        assert set(file) == {"images", "labels"}
        images, labels = file["images"], file["labels"]
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max(), images.dtype) == (0, 16, np.uint8)
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as the source has them for its test set
    assert np.bincount(labels).tolist() == counts
