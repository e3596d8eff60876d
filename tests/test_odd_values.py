"""Values of no meaning are refused where they are given, in words that name the argument; what was there stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    Input,
    Model,
    Sequential,
    activations,
    constraints,
    data,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    plot,
    regularizers,
)
from fastnn._checks import shown
from fastnn._table import TABLES
from fastnn.callbacks import History
from fastnn.data.dataset import Stored
from fastnn.optimizers import schedules

ARRAY = np.ones(3)
HUGE = 10**5000  # Python gives no text of it


class Unshown:
    def __repr__(self) -> str:
        raise ValueError("no text")


RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)
DEEP: Any = 1.0
for _ in range(3000):
    DEEP = [DEEP]


def model() -> Sequential:
    made = Sequential([Input((3,)), layers.Dense(2, name="a")], name="own")
    made.compile("sgd", "mse")
    return made


X, Y = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)

REFUSED: list[tuple[str, type[Exception], Callable[[], Any]]] = [
    ("seed must be a whole number, got array", TypeError, lambda: fastnn.set_random_seed(ARRAY)),  # type: ignore[arg-type]
    ("seed must be a whole number, got 1.0", TypeError, lambda: fastnn.set_random_seed(1.0)),  # type: ignore[arg-type]
    ("seed must be at most .*, got a number of 16610 bits", ValueError, lambda: fastnn.set_random_seed(HUGE)),
    ("seed must be at least 0, got -1", ValueError, lambda: fastnn.set_random_seed(-1)),
    ("Dropout: seed must be a whole number or None, got array", TypeError, lambda: layers.Dropout(0.1, seed=ARRAY)),
    ("Dropout: seed must be at most", ValueError, lambda: layers.Dropout(0.1, seed=2**64)),
    ("Dense: trainable must be True or False, got array", ValueError, lambda: layers.Dense(1, trainable=ARRAY)),
    ("Dense: trainable must be", TypeError, lambda: setattr(layers.Dense(1), "trainable", ARRAY)),
    ("trainable must be True or False", TypeError, lambda: setattr(model(), "trainable", ARRAY)),
    ("Dense: use_bias must be True or False", TypeError, lambda: layers.Dense(1, use_bias=ARRAY)),  # type: ignore[arg-type]
    ("Dense: name must be a text", TypeError, lambda: Sequential([layers.Dense(1, name=ARRAY)])),  # type: ignore[arg-type]
    ("Dense: name must be a text", TypeError, lambda: Model(x := Input((2,)), layers.Dense(1, name=ARRAY)(x))),  # type: ignore[arg-type]
    ("Reshape: target_shape must be a whole number", TypeError, lambda: layers.Reshape(ARRAY)),
    ("Reshape: a size of target_shape must be a non-negative integer", ValueError, lambda: layers.Reshape((-2, 3))),
    ("Reshape: target_shape must be at least 1", ValueError, lambda: layers.Reshape((0, 3))),
    ("inputs must be symbolic tensors", TypeError, lambda: Model(Unshown(), ARRAY)),
    ("a layer must be a fastnn.layers.Layer object, got 5", TypeError, lambda: Sequential(5)),  # type: ignore[arg-type]
    ("a layer must be a fastnn.layers.Layer object, got .*1.0", TypeError, lambda: Sequential(ARRAY)),
    ("a layer must be a fastnn.layers.Layer object, got a Unshown", TypeError, lambda: model().add(Unshown())),
    ("Sequential: name must be a text", ValueError, lambda: Sequential(name=ARRAY)),  # type: ignore[arg-type]
    ("Sequential: name must be a text", ValueError, lambda: setattr(model(), "name", "a/b")),
    ("Sequential: name must be a text", ValueError, lambda: setattr(model(), "name", "")),
    ("shape must be a whole number, got 0.5", TypeError, lambda: Sequential([layers.Dense(1)]).build(0.5)),  # type: ignore[arg-type]
    ("shape must be a whole number, got array", TypeError, lambda: Sequential([layers.Dense(1)]).build(ARRAY)),  # type: ignore[arg-type]
    (
        "Input: shape must be at most .*, got a number of 16610 bits",
        ValueError,
        lambda: Sequential([layers.Dense(1)]).build((HUGE,)),
    ),
    ("get_layer: name must be a text, got array", TypeError, lambda: model().get_layer(ARRAY)),  # type: ignore[arg-type]
    ("get_layer: index must be a whole number, got array", TypeError, lambda: model().get_layer(index=ARRAY)),  # type: ignore[arg-type]
    ("get_layer: index must be a whole number, got '0'", TypeError, lambda: model().get_layer(index="0")),  # type: ignore[arg-type]
    ("has 1 layers, got index 1", ValueError, lambda: model().get_layer(index=1)),
    ("print_fn must be a function", TypeError, lambda: model().summary(print_fn="x")),  # type: ignore[arg-type]
    ("print_fn must be a function", TypeError, lambda: model().summary(print_fn=ARRAY)),  # type: ignore[arg-type]
    ("return_dict must be True or False", TypeError, lambda: model().evaluate(X, Y, verbose=0, return_dict=ARRAY)),  # type: ignore[arg-type]
    ("return_dict must be True or False", TypeError, lambda: model().train_on_batch(X, Y, return_dict=ARRAY)),  # type: ignore[arg-type]
    ("return_dict must be True or False", TypeError, lambda: model().test_on_batch(X, Y, return_dict=ARRAY)),  # type: ignore[arg-type]
    ("the fraction to split off must be a number", TypeError, lambda: model().fit(X, Y, validation_split=ARRAY)),  # type: ignore[arg-type]
    ("training must be True or False", TypeError, lambda: model()(X, training=ARRAY)),  # type: ignore[arg-type]
    ("verbose must be 0, 1, 2 or 'auto', got array", TypeError, lambda: model().predict(X, verbose=ARRAY)),  # type: ignore[arg-type]
    ("clone_model: model must be", TypeError, lambda: models.clone_model(5)),  # type: ignore[arg-type]
    ("expected a text of to_json, got 5", ValueError, lambda: models.model_from_json(5)),  # type: ignore[arg-type]
    ("expected a text of to_json, got '{'", ValueError, lambda: models.model_from_json("{")),
    ("expected a text of to_json", ValueError, lambda: models.model_from_json("[" * 100_000)),
    ("history must be what fit gives, got 'x'", TypeError, lambda: plot.plot_history("x")),  # type: ignore[arg-type]
    ("num_classes must be at most 16,384", ValueError, lambda: metrics.IoU(2**64, [0])),
    ("num_classes must be at most 16,384", ValueError, lambda: metrics.MeanIoU(2**17)),
    ("num_thresholds must be at most 1,048,576", ValueError, lambda: metrics.AUC(2**40)),
    ("num_thresholds must be at most 1,048,576", ValueError, lambda: metrics.PrecisionAtRecall(0.5, 2**40)),
    ("weights must be a list of arrays, got None", TypeError, lambda: model().set_weights(None)),  # type: ignore[arg-type]
    ("weights must be a list of arrays", TypeError, lambda: model().set_weights(memoryview(np.ones((2, 2))))),  # type: ignore[arg-type]
    ("weights must be a list of at most", ValueError, lambda: model().set_weights(np.broadcast_to(1.0, (2**40, 5)))),  # type: ignore[arg-type]
    ("sample_weight of shape", ValueError, lambda: losses.MeanSquaredError()(Y, Y, np.ones((1,) * 64))),
    ("an axis must be a whole number, got array", TypeError, lambda: layers.concatenate([X, X], axis=np.array([1]))),
    ("beta must be above 0 and at most 1e.100", ValueError, lambda: metrics.FBetaScore(beta=1e308)),
    ("figures must be names", TypeError, lambda: plot.plot_history(model().fit(X, Y, verbose=0), figures=[ARRAY])),  # type: ignore[list-item]
    ("targets must be a whole number", TypeError, lambda: metrics.resolve("mse", ARRAY, 1)),  # type: ignore[arg-type]
    ("overwrite must be True or False", TypeError, lambda: model().save("x", overwrite=ARRAY)),  # type: ignore[arg-type]
    ("shuffle must be True or False", TypeError, lambda: model().fit(X, Y, shuffle=ARRAY)),  # type: ignore[arg-type]
    ("filepath must be a path", ValueError, lambda: model().save("\ud800")),
    ("expected the dict that get_config gives, got <History", ValueError, lambda: Model.from_config(History())),  # type: ignore[arg-type]
    ("too deep, or hold themselves", ValueError, lambda: Model.from_config({"layers": RECURSIVE})),
    ("too deep, or hold themselves", ValueError, lambda: Model.from_config({"layers": [RECURSIVE] * 9})),
    ("describes no model in get_config's form", ValueError, lambda: Model.from_config({"layers": [1], "models": []})),
    ("axis must be one of the 0 that x has, got -1", IndexError, lambda: activations.softmax(0.5)),
    ("rng must be a np.random.Generator, got 'x'", TypeError, lambda: initializers.Zeros()((2,), rng="x")),  # type: ignore[arg-type]
    ("dtype must be one of numbers, got array", TypeError, lambda: initializers.Zeros()((2,), ARRAY)),  # type: ignore[arg-type]
    ("dtype must be one of numbers, got 'x'", TypeError, lambda: initializers.Zeros()((2,), "x")),
    ("y_true of shape .* with y_pred|does not go", ValueError, lambda: metrics.categorical_accuracy(X, Y)),
    ("does not go with y_pred of shape", ValueError, lambda: metrics.sparse_top_k_categorical_accuracy(X, Y)),
    ("does not go with y_pred of shape", ValueError, lambda: metrics.binary_accuracy(X, Y)),
    (r"takes y_pred of shape \(..., classes\), got \(\)", ValueError, lambda: metrics.categorical_accuracy(Y, 0.5)),
    (
        r"takes y_pred of shape \(..., classes\), got \(1, 0\)",
        ValueError,
        lambda: metrics.categorical_accuracy(Y, [[]]),
    ),
    ("sample_weight of shape .* does not go with values", ValueError, lambda: metrics.Mean()(X, Y)),
    ("a model takes metrics of", TypeError, lambda: model().compile("sgd", "mse", metrics=[metrics.Mean()])),
    ("fn must be a function", TypeError, lambda: metrics.MeanMetricWrapper(b"")),  # type: ignore[arg-type]
    ("loss must be a loss object, got 5", TypeError, lambda: metrics.LossMetric(5)),  # type: ignore[arg-type]
    ("target_class_ids must be a whole number", TypeError, lambda: metrics.BinaryIoU([[1, 2], [3]])),  # type: ignore[list-item]
    ("x is no array with rows of one length: its parts", ValueError, lambda: activations.relu([[1, 2], [3]])),
    ("nested deeper than 64 axes, or holds itself", ValueError, lambda: activations.relu(RECURSIVE)),
    ("x holds a number of 16610 bits", ValueError, lambda: activations.relu(HUGE)),
    ("the number of threads must be a whole number, got (a list|\\[)", TypeError, lambda: fastnn.set_num_threads(DEEP)),  # type: ignore[arg-type]
    ("SGD: kernel cannot be set", AttributeError, lambda: setattr(optimizers.SGD(), "kernel", "x")),
    ("x has no rows", ValueError, lambda: layers.dot([], 1)),
    ("samples must have __len__ and take", TypeError, lambda: data.Dataset(np.array(2))),  # type: ignore[arg-type]
    ("seed must be a whole number", TypeError, lambda: data.Dataset(Stored((X,))).shuffle(seed=ARRAY)),  # type: ignore[arg-type]
    ("initializer must be values or a function", TypeError, lambda: fastnn.Variable(int, (2, 3))),
    ("model must be a fastnn.models.Model, got 'mse'", TypeError, lambda: fastnn.Trainer("mse")),  # type: ignore[arg-type]
    (r"Dot reads 2 tensor\(s\), got 1", ValueError, lambda: layers.dot(np.ones(3), axes=1)),  # type: ignore[arg-type]
    ("random: dtype must be one of numbers", ValueError, lambda: fastnn.random.normal((2,), dtype=[])),
    (
        "y must hold numbers|y must be",
        TypeError,
        lambda: losses.bad_targets(losses.MeanSquaredError(), Unshown(), 1, X),
    ),  # type: ignore[arg-type]
]


NEEDED = {"num_classes": 2, "target_class_ids": [0], "num_tokens": 3, "max_learning_rate": 0.1, "total_steps": 9}
NEEDED["num_bins"] = 3
NEEDED |= dict.fromkeys(("recall", "precision", "sensitivity", "specificity"), 0.5)


def fields_of(cls: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


@pytest.mark.parametrize(("words", "error", "call"), REFUSED, ids=range(len(REFUSED)))
def test_the_argument_is_named(words: str, error: type[Exception], call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=words):
        call()


def test_what_has_a_meaning_is_taken() -> None:
    made = model()
    made.name = "other"
    assert made.get_layer(index=np.int64(0)) is made.get_layer(index=-1) is made.get_layer("a")
    made.trainable = np.bool_(False)
    assert made.trainable is False
    made.trainable = 1  # type: ignore[assignment]
    assert made.get_layer("a").trainable is True
    assert set(made.evaluate(X, Y, verbose=0, return_dict=np.True_)) == {"loss"}  # type: ignore[arg-type]
    assert not {"val_loss"} & set(made.fit(X, Y, verbose=0, validation_split=np.float32(0)).history)
    assert layers.Reshape(np.int64(3)).target_shape == (3,)
    flat = Sequential([layers.Dense(1)])
    flat.build(3)  # type: ignore[arg-type]
    assert flat.input_shape == (None, 3)
    fastnn.set_random_seed(2**64 - 1)


def test_a_models_name_is_saved(tmp_path: Any) -> None:
    made = model()
    made.name = "other"
    made.save(tmp_path / "m")
    assert models.load_model(tmp_path / "m").name == "other"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (HUGE, "a number of 16610 bits"),
        (Unshown(), "a Unshown"),
        ([0] * 1000, "[0, 0, 0, 0, 0, 0, 0, 0] and more, 1,000 in all"),
        (
            dict.fromkeys(range(100)),
            "{0: None, 1: None, 2: None, 3: None, 4: None, 5: None, 6: None, 7: None} and more, 100",
        ),
        ("a" * 1000, f"'{'a' * 80}' and more, 1,000 in all"),
        (b"a" * 81, f"b'{'a' * 80}' and more, 81 in all"),
        ("x", "'x'"),
    ],
    ids=range(7),
)
def test_a_value_is_shown_shortly(value: Any, text: str) -> None:
    assert shown(value).startswith(text)


def test_a_deep_list_is_shown() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list"


@pytest.mark.parametrize(
    ("get", "base"),
    [
        (activations.get, activations.Activation),
        (activations.get, activations.RowActivation),
        (constraints.get, constraints.Constraint),
        (initializers.get, initializers.Initializer),
        (losses.as_loss, losses.Loss),
        (metrics.get, metrics.Metric),
        (metrics.get, metrics.MeanMetric),
        (metrics.get, metrics.AccumulatedMetric),
        (optimizers.get, optimizers.Optimizer),
        (regularizers.get, regularizers.Regularizer),
        (schedules.get, schedules.LearningRateSchedule),
    ],
)
def test_what_units_are_derived_from_is_none(get: Callable[[Any], Any], base: type) -> None:
    for each in (base, base()):
        with pytest.raises(TypeError, match=f"{base.__name__} is what .*s are derived from"):
            get(each)


@pytest.mark.parametrize("given", [ARRAY, 5, "x", len, layers.Dense, memoryview(np.ones((2, 2)))], ids=range(6))
def test_custom_objects_are_a_dict(given: Any, tmp_path: Any) -> None:
    made = model()
    made.save(tmp_path / "m")
    for call in (
        lambda: Model.from_config(made.get_config(), given),
        lambda: models.load_model(tmp_path / "m", given),
        lambda: activations.get("relu", given),
        lambda: losses.get("mse", given),
        lambda: losses.get(5, given),
        lambda: losses.as_loss("mse", given),
    ):
        with pytest.raises(TypeError, match="custom_objects must be a dict of names"):
            call()


TEXTS = ["reduction", "mode", "distribution", "average", "curve", "summation_method", "class_aggregation"]
TEXTS += ["anneal_strategy", "line_search", "output_mode"]
CHOICES = [
    (field, getattr(cls, field), cls, {name: value for name, value in NEEDED.items() if name in fields_of(cls)})
    for _, table in sorted(TABLES.items())
    for _, cls in table
    for field in TEXTS
    if field in fields_of(cls)
]


@pytest.mark.parametrize(
    ("field", "good", "cls", "needed"), CHOICES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_choice_is_one_of_its_texts(field: str, good: Any, cls: Any, needed: dict[str, Any]) -> None:
    made = cls(**{**needed, field: good})
    assert str(getattr(made, field)).lower() == str(good).lower()
    for odd in (ARRAY, np.zeros(2, [("a", float)]), HUGE, DEEP, Unshown(), "nothing", 0, [], ("sum",)):
        with pytest.raises(ValueError, match=f"{cls.__name__}: {field} must be one of"):
            cls(**{**needed, field: odd})


NAMED = [
    (cls, {name: value for name, value in NEEDED.items() if name in fields_of(cls)})
    for family in ("loss", "metric")
    for _, cls in TABLES[family]
]


@pytest.mark.parametrize(("cls", "needed"), NAMED, ids=lambda value: getattr(value, "__name__", None))
def test_a_name_is_a_text(cls: Any, needed: dict[str, Any]) -> None:
    for odd in (ARRAY, HUGE, DEEP, Unshown(), 5, b"x"):
        with pytest.raises(TypeError, match=f"{cls.__name__}: name must be a text"):
            cls(**needed, name=odd)
    assert cls(**needed, name="own").name == "own"


def test_a_metric_without_a_name_has_that_of_the_table() -> None:
    made = model()
    made.compile("sgd", "mse", metrics=[metrics.MeanAbsoluteError(name=None)])  # type: ignore[arg-type]
    assert "mean_absolute_error" in made.fit(X, Y, verbose=0).history


def test_a_number_of_another_kind_is_saved(tmp_path: Any) -> None:
    made = Sequential([Input((3,)), layers.Dense(2, kernel_regularizer=regularizers.L2(np.longdouble(0.5)))])
    made.save(tmp_path / "m")
    assert models.load_model(tmp_path / "m").layers[0].kernel_regularizer.l2 == 0.5
    assert isinstance(schedules.CosineDecayRestarts(0.1, 10, t_mul=10**30).t_mul, float)


class NoDataclassMetric(metrics.Metric):
    def update_state(self, *_: Any) -> None: ...

    def result(self) -> float:
        return 0.0

    reset_state = update_state


def test_a_metric_that_is_no_dataclass_is_saved_by_its_name(tmp_path: Any) -> None:
    made = model()
    made.compile("sgd", "mse", metrics=[NoDataclassMetric()])
    made.save(tmp_path / "m")
    with pytest.raises(ValueError, match="unknown metric 'NoDataclassMetric'"):
        models.load_model(tmp_path / "m")
    models.load_model(tmp_path / "m", custom_objects={"NoDataclassMetric": NoDataclassMetric})


def test_each_family_has_a_table() -> None:
    assert {"layer", "loss", "metric", "optimizer"} <= set(TABLES)
