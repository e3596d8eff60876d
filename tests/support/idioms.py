"""Lines of Keras as people write them: each is run with fastnn, and where Keras is there with Keras itself.

From public scripts and notebooks, and leaning to what might be missing. Each line, which may hold several statements,
runs in a namespace of its own, made by `namespace`: `keras` is the library, `np` NumPy, X and Y rows and targets of
numbers, C classes, `net()` a compiled model of two layers, `fitted()` one after an epoch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[1] / "data" / "idioms.txt"


def namespace(name: str, folder: Any) -> dict[str, Any]:
    """What a line runs in, with that library."""
    keras = importlib.import_module(name)
    layers, Sequential = keras.layers, keras.Sequential
    for module in (
        "optimizers",
        "callbacks",
        "utils",
        "datasets",
        "preprocessing",
        "ops",
        "random",
        "saving",
        "config",
    ):
        try:
            importlib.import_module(f"{name}.{module}")
        except ImportError:
            continue
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 4)).astype("float32")
    y = x.sum(1, keepdims=True)

    def net() -> Any:
        model = Sequential([keras.Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    def fitted() -> Any:
        model = net()
        model.fit(x, y, verbose=0)
        return model

    def classes() -> Any:
        return Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])

    given = {"keras": keras, "layers": layers, "Sequential": Sequential, "Model": keras.Model, "np": np, "tmp": folder}
    return {**given, "X": x, "Y": y, "C": np.arange(40) % 3, "net": net, "fitted": fitted, "classes": classes}


def lines() -> list[str]:
    """All of them: they stand in the file with an empty line between two, below titles that begin with #."""
    return [part for part in FILE.read_text(encoding="utf-8").strip().split("\n\n") if not part.startswith("#")]


def failure(name: str, line: str, folder: Any) -> str | None:
    """What a line raises with that library; None where it runs."""
    import contextlib
    import io
    import warnings

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            exec(compile(line, "<idiom>", "exec"), namespace(name, folder))
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None
