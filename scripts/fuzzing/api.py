"""Odd calls through the whole public API, in sequences on one model, which must still work behind them."""

from __future__ import annotations

import inspect
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

import fastnn
import fastnn.layers as L
from fastnn.activations import Activation
from fastnn.callbacks import Callback
from fastnn.constraints import Constraint
from fastnn.data import Source
from fastnn.initializers import Initializer
from fastnn.layers.tensor import Tensor
from fastnn.losses import Loss
from fastnn.metrics import Metric
from fastnn.models import Model, Sequential
from fastnn.optimizers import Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.regularizers import Regularizer
from fuzzing import models
from fuzzing.database import connect
from fuzzing.trial import FAILED, Trial
from fuzzing.values import ARRAYS, GOOD, like, odd

MODULES = ["", "layers", "losses", "metrics", "optimizers", "optimizers.schedules", "callbacks", "initializers"]
MODULES += ["regularizers", "constraints", "activations", "data", "models", "plot", "kernels"]
# What a user calls on a unit. The other methods of units are for those who write one.
METHODS = [
    "get_config",
    "config",
    "get_weights",
    "count_params",
    "result",
    "reset_state",
    "update_state",
    "set_weights",
]
METHODS += ["adapt", "from_config", "weights", "trainable_weights", "to_dataframe", "plot", "variables"]
ON_MODEL = [
    name
    for name in sorted(dir(Sequential))
    if not name.startswith("_") and name not in ("from_members", "from_tensors")
]
FIELDS = ["optimizer", "loss", "trainable", "name", "stop_training", "history", "layers", "weights", "built", "nothing"]


class Api:
    """A public function or class with some odd arguments; what it gives in a model; and a model's methods."""

    name = "api"

    def prepare(self, folder: str) -> None:
        self.entries = _public()
        self.titles = sorted(self.entries)
        self.kernels = [title for title in self.titles if title.startswith("kernels.")]
        self.models = models.made()
        self.model_titles = sorted(self.models)
        self.common = ["several", "inside", "shared", "dense on (7,)", "dense softmax on (3, 4)", "embedding"]
        self.common = [title for title in self.common if title in self.models]

    def play(self, trial: Trial) -> None:
        rng = trial.rng
        for each in os.listdir("."):
            shutil.rmtree(each) if os.path.isdir(each) and not os.path.islink(each) else os.unlink(each)
        fastnn.set_random_seed(0)
        fastnn.set_num_threads(2 if rng.random() < 0.05 else 1)
        if rng.random() < 0.45:
            self._unit(trial)
        else:
            title = rng.choice(self.common if rng.random() < 0.6 else self.model_titles)
            trial.note(f"a model: {title}")
            self._abuse(trial, self.models[title](), rng.choice([1, 1, 2, 3, 5]))

    def _unit(self, trial: Trial) -> None:
        """A function or a class with odd arguments, and what it gives."""
        title = trial.rng.choice(self.titles if trial.rng.random() < 0.85 else self.kernels)
        function = self.entries[title]
        given = _called(trial, title, function)
        if given is FAILED:
            return
        for kind, play in PLAYED:
            if isinstance(given, kind):
                play(trial, given)
        for _ in range(trial.rng.choice([0, 0, 1, 2])):
            method = trial.rng.choice(METHODS)
            if not isinstance(given, (Model, Tensor, np.ndarray)) and hasattr(type(given), method):
                _called(trial, f"its {method}", getattr, given, method, then=True)

    def _abuse(self, trial: Trial, model: Model, calls: int) -> None:
        rng = trial.rng
        for _ in range(calls):
            way = rng.random()
            if way < 0.1:
                _set_field(trial, model)
            elif way < 0.14:
                trial.attempt("reading a property", getattr, model, rng.choice(FIELDS), None)
            else:
                name = rng.choice(["fit", "fit", "evaluate", "predict", "compile", "train_on_batch", *ON_MODEL])
                _called(trial, f"model.{name}", getattr, model, name, then=True, model=model)
        _still_works(trial, model)


def _public() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for home in MODULES:
        module = import_module(f"fastnn.{home}" if home else "fastnn")
        # What a module without __all__ imports from another is no part of it.
        whole = "fastnn" if hasattr(module, "__path__") else module.__name__
        for name in getattr(module, "__all__", None) or sorted(vars(module)):
            value = getattr(module, name)
            own = (getattr(value, "__module__", None) or type(value).__module__).startswith(whole)
            if callable(value) and not name.startswith("_") and own and name not in ("kernels_of", "Table"):
                found[f"{home}.{name}".lstrip(".")] = value
    return found


def _called(
    trial: Trial, title: str, function: Callable[..., Any], *before: Any, then: bool = False, model: Model | None = None
) -> Any:
    """A call with arguments of which some are odd. then: of the method that the function gives."""
    rng = trial.rng
    if then:
        function = trial.attempt(f"reading {title}", function, *before)
        if function is FAILED or not callable(function):
            return function
    args, named, texts = _arguments(rng, function, model)
    return trial.attempt(f"{title}({', '.join(texts)})", function, *args, **named)


def _arguments(
    rng: random.Random, function: Callable[..., Any], model: Model | None
) -> tuple[list[Any], dict[str, Any], list[str]]:
    args: list[Any] = []
    named: dict[str, Any] = {}
    texts: list[str] = []
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a kernel says nothing of what it takes
        parameters = []
        for title, value in _of_kernel(rng, function):
            args.append(value)
            texts.append(title)
    odds = rng.choice([0.0, 0.1, 0.3, 1.0])
    chosen = rng.randrange(max(1, len(parameters)))  # one is odd in any case
    for place, each in enumerate(parameters):
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            if rng.random() < 0.1:
                title, value = odd(rng)
                texts.append(f"*{title}" if each.kind == each.VAR_POSITIONAL else f"nothing={title}")
                args += [value] if each.kind == each.VAR_POSITIONAL and not named else []
                named |= {"nothing": value} if each.kind == each.VAR_KEYWORD else {}
            continue
        wanted = each.default is each.empty
        if place == chosen or rng.random() < odds:
            title, value = like(rng, each.name, each.default)
        elif (known := _known(each.name, model)) is not None and (wanted or rng.random() < 0.5):
            title, value = known
        elif each.name in GOOD and (wanted or rng.random() < 0.3):
            value = rng.choice(GOOD[each.name])
            title = repr(value)[:60]
        elif wanted:
            title, value = odd(rng)
        else:
            continue
        if each.kind == each.POSITIONAL_ONLY:
            args.append(value)
            texts.append(title)
        else:
            named[each.name] = value
            texts.append(f"{each.name}={title}")
    return args, named, texts


def _of_kernel(rng: random.Random, kernel: Any) -> list[tuple[str, Any]]:
    """Arguments of a kernel: most of them as its family takes them, of sizes that may not go together."""
    family = getattr(kernel, "signature", "")
    rows, units, targets = rng.choice([0, 1, 4]), rng.choice([0, 1, 2, 5]), rng.choice([0, 1, 2, 5])
    dtype = rng.choice([np.float32, np.float64])
    numbers = [
        rng.choice([0, 1, 2, 3, -1, 0.5, 7, 1e9, 2.0**63, float("nan")]) for _ in range(rng.choice([0, 1, 2, 5, 6]))
    ]
    size = rng.choice([0, 1, 2, 4, 2 * units, 3 * units, 4 * units + 1, units * units])
    output = (f"outputs {rows, units}", np.full((rows, units), 0.5, dtype))
    y = (f"targets {rows, targets}", np.full((rows, targets), rng.choice([0, 1, 5, 1e30, -1]), dtype))
    wanted = {
        "activation": [output, (f"{numbers}", numbers)],
        "loss": [y, output, (f"{numbers}", numbers), ("weights", np.ones(rng.choice([rows, 3]), dtype))],
        "accumulator": [y, output, (f"state of {size}", np.zeros(size)), (f"{numbers}", numbers)],
        "constraint": [
            output,
            (f"{numbers}", numbers),
            ("first", rng.choice([0, 1, -1, 2**62])),
            ("last", rng.choice([1, 9])),
        ],
    }.get(family, [y, output])
    wanted = wanted[: rng.randrange(1, len(wanted) + 1)]
    if rng.random() < 0.5:
        wanted[rng.randrange(len(wanted))] = odd(rng, ARRAYS) if rng.random() < 0.6 else odd(rng)
    return wanted


def _known(name: str, model: Model | None) -> tuple[str, Any] | None:
    """What is good for a parameter of a model's methods."""
    if model is not None and not model.layers:  # what came before has taken them all away
        model = None
    if name in ("x", "inputs"):
        return "rows", np.ones((4, 5), np.float32) if model is None else models.rows(model)
    if name in ("y", "y_true", "outputs"):
        return "targets", np.ones((4, 2), np.float32) if model is None else models.targets(model)
    if name == "y_pred":
        return "outputs", np.full((4, 2), 0.5, np.float32)
    if name == "validation_data" and model is not None:
        return "rows and targets", (models.rows(model), models.targets(model))
    if name == "weights" and model is not None:
        return "weights", model.get_weights()
    if name == "sample_weight":
        return "weights of rows", np.ones(4)
    if name == "config" and model is not None:
        return "its config", model.get_config()
    if name == "con":
        return "a database", _database()
    if name == "sql":
        return "a query", "SELECT id, a, b FROM t"
    return None


def _database() -> sqlite3.Connection:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(i, i / 2, i % 2) for i in range(8)])
    connection.commit()
    return connection


def _set_field(trial: Trial, model: Model) -> None:
    """A field of the model, of its optimizer or of a layer, set to something odd."""
    rng = trial.rng
    owner: Any = rng.choice([model, model.optimizer, model.optimizer, *model.layers[:3]])
    fields = sorted(getattr(type(owner), "__dataclass_fields__", {})) or FIELDS
    name = rng.choice(fields)
    title, value = like(rng, name, getattr(owner, name, None))
    trial.attempt(f"{type(owner).__name__}.{name} = {title}", setattr, owner, name, value)


def _still_works(trial: Trial, model: Model) -> None:
    """Whatever was called, the model can be compiled, trained and saved."""
    # An activation that is a function of the caller's own may never work.
    if not model.built or any(hasattr(getattr(layer, "activation", None), "function") for layer in model.layers):
        return
    trial.must("set_weights", model.set_weights, [np.full_like(each, 0.1) for each in model.get_weights()])
    model.stop_training = False
    trial.must("compile", model.compile, "sgd", "mse")
    x, y = models.rows(model), models.targets(model)
    if x is None or y is None:
        return
    trial.must("fit", model.fit, x, y, verbose=0)
    trial.must("predict", model.predict, x)


# What each kind of unit is for.


def _play_layer(trial: Trial, layer: Any) -> None:
    row = trial.rng.choice([(5,), (5,), (3, 4), (2, 3, 4), (1,)])
    tensor = trial.attempt(f"called on Input({row})", layer, L.Input(row))
    if not isinstance(tensor, Tensor):
        return
    model = trial.attempt("Model", Model, tensor.node.inputs[0], tensor)
    if isinstance(model, Model):
        _play_model(trial, model)


def _play_model(trial: Trial, model: Model) -> None:
    if (
        not trial.attempt("built", getattr, model, "built")
        or trial.attempt("compile", model.compile, "sgd", "mse") is FAILED
    ):
        return
    x, y = trial.attempt("rows", models.rows, model), trial.attempt("targets", models.targets, model)
    if x is None or y is None or x is FAILED or y is FAILED:
        return
    trial.attempt("fit", model.fit, x, y, verbose=0)
    trial.attempt("predict", model.predict, x)
    if trial.attempt("save", model.save, "made") is not FAILED:
        own = {"own_self": len, "<lambda>": len, "own_mean": len, "own_none": len, "own_raises": len}
        trial.attempt("load_model", fastnn.models.load_model, "made", own)


def _fitted(trial: Trial, text: str, last: Any = None, **compiled: Any) -> None:
    model = Sequential([L.Input((5,)), L.Dense(2, "sigmoid") if last is None else last])
    compiled = {"optimizer": "sgd", "loss": "mse", **compiled}
    if trial.attempt(f"compile with {text}", model.compile, **compiled) is FAILED:
        return
    x, y = models.rows(model), trial.attempt("targets", models.targets, model)
    if y is FAILED:
        return
    trial.attempt("fit", model.fit, x, y, verbose=0)
    trial.attempt("evaluate", model.evaluate, x, y, verbose=0)
    trial.attempt("save", model.save, "made")
    _still_works(trial, model)


def _dense(trial: Trial, **fields: Any) -> None:
    layer = trial.attempt(f"Dense({', '.join(fields)})", L.Dense, 2, **fields)
    if layer is not FAILED:
        _fitted(trial, "it", layer)


def _play_function(trial: Trial, function: Any) -> None:
    for _ in range(trial.rng.choice([1, 2])):
        _called(trial, "it", function)


def _play_metric(trial: Trial, metric: Any) -> None:
    rng = trial.rng
    y = np.ones((4, 2), np.float32) if rng.random() < 0.6 else odd(rng, ARRAYS)[1]
    trial.attempt(
        "update_state", metric.update_state, y, np.full((4, 2), 0.5) if rng.random() < 0.6 else odd(rng, ARRAYS)[1]
    )
    trial.attempt("result", metric.result)
    _fitted(trial, "it as a metric", metrics=[metric])


def _play_callback(trial: Trial, callback: Any) -> None:
    model = Sequential([L.Input((5,)), L.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = models.rows(model), models.targets(model)
    validation = trial.rng.choice([None, (x, y)])
    trial.attempt("fit with it", model.fit, x, y, epochs=3, verbose=0, callbacks=[callback], validation_data=validation)
    _still_works(trial, model)


def _play_source(trial: Trial, source: Any) -> None:
    row = trial.attempt("input_shape", getattr, source, "input_shape", (5,))
    model = Sequential([L.Dense(2)])
    model.compile("sgd", "mse")
    trial.attempt(f"fit rows of {row!r:.60}", model.fit, source, verbose=0)


def _play_initializer(trial: Trial, unit: Any) -> None:
    _called(trial, "it", unit)
    _dense(trial, kernel_initializer=unit)


PLAYED: list[tuple[type, Callable[[Trial, Any], None]]] = [
    (L.Layer, _play_layer),
    (Model, _play_model),
    (Loss, lambda trial, unit: (_play_function(trial, unit), _fitted(trial, "it as a loss", loss=unit))[0]),
    (Metric, _play_metric),
    (Optimizer, lambda trial, unit: _fitted(trial, "it as an optimizer", optimizer=unit)),
    (LearningRateSchedule, lambda trial, unit: _fitted(trial, "it as a rate", optimizer=fastnn.optimizers.SGD(unit))),
    (Callback, _play_callback),
    (Initializer, _play_initializer),
    (Regularizer, lambda trial, unit: (_play_function(trial, unit), _dense(trial, kernel_regularizer=unit))[0]),
    (Constraint, lambda trial, unit: (_play_function(trial, unit), _dense(trial, kernel_constraint=unit))[0]),
    (Activation, lambda trial, unit: (_play_function(trial, unit), _dense(trial, activation=unit))[0]),
    (Source, _play_source),
]
