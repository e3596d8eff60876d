"""docs/coming-from-keras-and-pytorch.md: each block runs, and each library does the task as well as the others."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import fastnn
from fastnn import initializers, layers, losses, optimizers, regularizers
from fastnn.optimizers import schedules

TEXT = (Path(__file__).parent.parent / "docs" / "coming-from-keras-and-pytorch.md").read_text(encoding="utf-8")
NEEDS = {
    "Keras": ("keras", "jax"),
    "PyTorch": ("torch",),
    "fastnn": (),
    "fastnn, from PyTorch's DataLoader": ("torch",),
}
# A block may be unlucky else.
SEEDS = {
    "Keras": "import keras; keras.utils.set_random_seed(1)\n",
    "PyTorch": "import torch; torch.manual_seed(1)\n",
    "fastnn": "import fastnn; fastnn.set_random_seed(1)\n",
    "fastnn, from PyTorch's DataLoader": "import torch, fastnn; torch.manual_seed(1); fastnn.set_random_seed(1)\n",
}
# What a block prints last: more is better, or less is.
LEAST = {"accuracy": 0.88, "recall": 0.7}
MOST = {"error": 0.25, "price": 0.8, "difference": 0.0}


class Block(NamedTuple):
    """A block of code with the rows of its section before it."""

    name: str
    package: str
    code: str


def blocks() -> list[Block]:
    """All blocks of the page."""
    found = []
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        rows, *parts = re.split(r"^### ", section, flags=re.MULTILINE)
        rows = "".join(re.findall(r"```python\n(.*?)```", rows, re.DOTALL))
        for part in parts:
            library = part.splitlines()[0]
            for number, code in enumerate(re.findall(r"```python\n(.*?)```", part, re.DOTALL)):
                found.append(Block(f"{title}, {library}, {number}", library, rows + code))
    return found


BLOCKS = blocks()
RUN = """
import sys
for code in sys.stdin.read().split("\\0"):
    exec(compile(code, "<block>", "exec"), {"__name__": "block"})
    print("---")
"""


def run(codes: list[str], folder: Path) -> list[str]:
    """What each block prints, all of them in one process: to import Keras takes longer than to run a block."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env=environment,
        input="\0".join(codes),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("---\n")[:-1]


def judge(block: Block, out: str) -> None:
    """The last line is a word and a figure that is good enough."""
    what, figure = out.splitlines()[-1].split()
    assert float(figure) >= LEAST.get(what, float("-inf")), block.name
    assert float(figure) <= MOST.get(what, float("inf")), block.name
    assert what in {**LEAST, **MOST}, block.name


@pytest.mark.parametrize("library", NEEDS)
def test_blocks(library: str, tmp_path: Path) -> None:
    for package in NEEDS[library]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    chosen = [block for block in BLOCKS if block.package == library]
    outs = run([SEEDS[library] + block.code for block in chosen], tmp_path)
    assert len(outs) == len(chosen)
    for block, out in zip(chosen, outs, strict=True):
        judge(block, out)


def test_every_task_is_there_in_all_three() -> None:
    titles = {block.name.split(", ")[0] for block in BLOCKS}
    assert len(titles) == 8
    for title in titles:
        assert {"Keras", "PyTorch", "fastnn"} <= {block.package for block in BLOCKS if block.name.startswith(title)}
    assert {block.package for block in BLOCKS} == set(NEEDS)


def test_keras_and_fastnn_differ_in_the_import_lines_alone() -> None:
    """Where the page says so: a classifier, regression, two inputs, saving, a generator."""
    for title in ("A classifier", "Regression", "Two inputs", "Batches"):
        both = [b.code for b in BLOCKS if b.name.startswith(title) and b.package in ("Keras", "fastnn")]
        assert both[0].replace("from keras", "from fastnn") == both[1]


def test_what_the_table_of_names_says_can_be_called() -> None:
    table = TEXT[TEXT.index("## Names and defaults") :]
    codes = [code for line in table.splitlines() for code in re.findall(r"`(.+?)`", "|".join(line.split(" | ")[1:2]))]
    assert len(codes) >= 18
    numbers = {"a": 4, "b": 3, "c": 0.5, "d": 0.01, "n": 6, "m": 2, "rate": 0.1}
    known = {"fastnn": fastnn, "schedules": schedules, **numbers}
    for module in (initializers, losses, optimizers, regularizers, layers):
        known |= {name: value for name, value in vars(module).items() if not name.startswith("_")} | numbers
    for code in codes:
        assert eval(code, known) is not None or code == "fastnn.set_random_seed(1)"
