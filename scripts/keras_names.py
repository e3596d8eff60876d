"""Write tests/support/keras_names.txt: the public names of the Keras that is installed, one a line, by module.

    python scripts/keras_names.py

Needs Keras (KERAS_BACKEND may be any). tests/test_differences.py reads the list: each name is in fastnn, or
docs/differences.md says why it is not.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import keras

LIST = Path(__file__).resolve().parents[1] / "tests" / "support" / "keras_names.txt"
INTERNAL = {"src", "_tf_keras"}
# Of these the members too: what scripts ask of an object.
CLASSES = {
    "Model": keras.Model,
    "Layer": keras.Layer,
    "Optimizer": keras.Optimizer,
    "Loss": keras.Loss,
    "Metric": keras.Metric,
    "callbacks.Callback": keras.callbacks.Callback,
    "callbacks.History": keras.callbacks.History,
}


def modules(package: ModuleType) -> list[ModuleType]:
    """A package and the public packages in it."""
    found = [package]
    for each in pkgutil.iter_modules(package.__path__):
        if each.ispkg and each.name not in INTERNAL:
            found += modules(importlib.import_module(f"{package.__name__}.{each.name}"))
    return found


def main() -> None:
    """Write the list."""
    lines = [f"# Public names of Keras {keras.__version__}; written by scripts/keras_names.py"]
    for module in modules(keras):
        names = sorted(
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and not (inspect.ismodule(value) and name in INTERNAL)
        )
        lines += [f"{module.__name__}.{name}".removeprefix("keras.") for name in names]
    lines += [f"{home}.{name}" for home, cls in CLASSES.items() for name in dir(cls) if not name.startswith("_")]
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
