"""Every public name of Keras is in fastnn, or docs/differences.md says why it is not; and says so of no other."""

from __future__ import annotations

import importlib
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn import Input, Model, layers, losses, metrics, optimizers

ROOT = Path(__file__).parent.parent
# Written by scripts/keras_names.py.
NAMES = (ROOT / "tests" / "support" / "keras_names.txt").read_text(encoding="utf-8").splitlines()[1:]
TEXT = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Every name that is not there")[2].partition("\n## ")[0]
ROWS = [line.split(" | ") for line in TABLE.splitlines() if line.startswith("| ")]
# Names with their module, without "keras."; a star stands for any letters, and a module for all that is in it.
PATTERNS = [name for row in ROWS for name in re.findall(r"`keras\.([\w.*]+)`", row[0])]


@cache
def objects() -> dict[str, Any]:
    """One of each class whose members the list has: what is set in a constructor counts too."""
    x = Input((2,))
    layer = layers.Dense(1)
    model = Model(x, layer(x))
    model.compile("sgd", "mse")
    model.fit([[1.0, 2.0]], [1.0], verbose=0)
    return {
        "Model": model,
        "Layer": layer,
        "Optimizer": optimizers.SGD(),
        "Loss": losses.MeanSquaredError(),
        "Metric": metrics.MeanSquaredError(),
        "callbacks.Callback": fastnn.callbacks.Callback(),
        "callbacks.History": fastnn.callbacks.History(),
    }


def is_there(name: str) -> bool:
    """Whether fastnn has a name of Keras, in the same module or class."""
    home, _, last = name.rpartition(".")
    if home in objects():
        owner = objects()[home]
        return any(last in vars(cls) for cls in type(owner).__mro__) or last in getattr(owner, "__dict__", {})
    try:
        module = importlib.import_module(f"fastnn.{home}" if home else "fastnn")
        getattr(module, last)
    except (ImportError, AttributeError) as error:
        return "pip install" in str(error)  # it is there for those who have what it needs
    return True


def explains(pattern: str, name: str) -> bool:
    """Whether a name, or a module that it is in, is what the page says something of."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


MISSING = [name for name in NAMES if not is_there(name)]


def test_the_list_is_keras() -> None:
    assert len(NAMES) > 1500
    assert {"layers.Dense", "layers.Conv2D", "ops.numpy.add", "utils.to_categorical", "Model.fit"} <= set(NAMES)
    assert is_there("layers.Dense")
    assert is_there("Model.fit")
    assert not is_there("Model.nothing")
    assert not is_there("layers.Nothing")


def test_what_is_not_there_is_explained() -> None:
    unexplained = [name for name in MISSING if not any(explains(pattern, name) for pattern in PATTERNS)]
    assert unexplained == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_explained_is_not_there(pattern: str) -> None:
    """No pattern is there for nothing, and a name that it names in full is really missing."""
    covered = [name for name in NAMES if explains(pattern, name)]
    assert covered, "Keras has no such name"
    if "*" in pattern:
        assert set(covered) & set(MISSING), "all of these are in fastnn by now"
    else:
        assert pattern in MISSING, "fastnn has it by now"


def test_who_asks_for_a_name_that_is_left_out_is_told_so() -> None:
    """In the modules that fastnn has: by the error, which leads to the page, or says what to write.

    But for functions of `ops` and `random`, whose names are words of every day and NumPy's.
    """
    untold = []
    for name in MISSING:
        home, _, last = name.rpartition(".")
        if home in objects() or home in ("ops", "random"):
            continue
        try:
            getattr(importlib.import_module(f"fastnn.{home}" if home else "fastnn"), last)
        except AttributeError as error:
            here = f"did you mean {last!r}".lower()  # Keras's module of that name, whose class is here
            if (
                not any(each in str(error) for each in ("docs/differences.md", "(write "))
                and here not in str(error).lower()
            ):
                untold.append(name)
        except ImportError:
            continue  # a module that is not there
    assert untold == []
