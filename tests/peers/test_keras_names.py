"""Every name of Keras 3 that fastnn lacks is said to be Keras's, where Keras is installed to ask."""

from __future__ import annotations

import importlib
import inspect
import os

import pytest

import fastnn
from fastnn import _keras

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

MODULES = ["activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "models"]
MODULES += ["optimizers", "optimizers.schedules", "regularizers"]
# Keras 3's other names of initialisers are functions in disguise; get knows them.
DISGUISED = {"IdentityInitializer", "OrthogonalInitializer", "legacy"} | {
    name for name in vars(keras.initializers) if name.islower()
}


@pytest.mark.parametrize("name", MODULES)
def test_names_of_modules(name):
    theirs = importlib.import_module(f"keras.{name}")
    ours = importlib.import_module(f"fastnn.{name}")
    lacking = [each for each in vars(theirs) if not each.startswith("_") and not hasattr(ours, each)]
    for each in set(lacking) - DISGUISED:
        with pytest.raises(AttributeError, match=rf"no attribute '{each}' \((Keras has it|write )"):
            getattr(ours, each)


def test_names_of_the_package():
    for each in vars(keras):
        if not each.startswith("_") and not hasattr(fastnn, each) and each not in ("src", "version", "legacy"):
            with pytest.raises(AttributeError, match=rf"no attribute '{each}' \((Keras has it|write )"):
                getattr(fastnn, each)


def test_arguments():
    """Of classes that both have; arguments of the same meaning and another name are in docs/differences.md."""
    others = {"args", "kwargs", "noise_shape", "batch_size", "weights"}
    for name in MODULES:
        theirs, ours = importlib.import_module(f"keras.{name}"), importlib.import_module(f"fastnn.{name}")
        for each in vars(theirs):
            a, b = getattr(theirs, each), getattr(ours, each, None)
            if (
                inspect.isclass(a)
                and inspect.isclass(b)
                and not issubclass(b, (fastnn.Model, fastnn.callbacks.CallbackList))
            ):
                lacking = set(inspect.signature(a).parameters) - set(inspect.signature(b).parameters) - others
                assert lacking <= _keras.ARGUMENTS, (each, lacking - _keras.ARGUMENTS)
    for method in ("compile", "fit", "evaluate", "predict", "save", "summary", "load_weights"):
        a, b = getattr(keras.Model, method), getattr(fastnn.Model, method)
        lacking = set(inspect.signature(a).parameters) - set(inspect.signature(b).parameters) - others
        assert lacking <= _keras.ARGUMENTS, (method, lacking - _keras.ARGUMENTS)
