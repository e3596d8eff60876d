"""Values of no meaning are refused where they are given, in words that name the argument; what was there stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential, layers, metrics, models, plot
from fastnn._table import TABLES, shown

ARRAY = np.ones(3)
HUGE = 10**5000  # Python gives no text of it


class Unshown:
    def __repr__(self) -> str:
        raise ValueError("no text")


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
    ("Dense: trainable must be True or False, got array", TypeError, lambda: layers.Dense(1, trainable=ARRAY)),
    ("Dense: trainable must be", TypeError, lambda: setattr(layers.Dense(1), "trainable", ARRAY)),
    ("trainable must be True or False", TypeError, lambda: setattr(model(), "trainable", ARRAY)),
    ("Dense: use_bias must be True or False", TypeError, lambda: layers.Dense(1, use_bias=ARRAY)),  # type: ignore[arg-type]
    ("Dense: name must be a text", TypeError, lambda: Sequential([layers.Dense(1, name=ARRAY)])),  # type: ignore[arg-type]
    ("Dense: name must be a text", TypeError, lambda: Model(x := Input((2,)), layers.Dense(1, name=ARRAY)(x))),  # type: ignore[arg-type]
    ("Reshape: target_shape must be a whole number", TypeError, lambda: layers.Reshape(ARRAY)),
    ("Reshape: target_shape must be at least -1", ValueError, lambda: layers.Reshape((-2, 3))),
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
]


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


def test_each_family_has_a_table() -> None:
    assert {"layer", "loss", "metric", "optimizer"} <= set(TABLES)
