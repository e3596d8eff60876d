"""What each unit is made of, out and in: get_config, from_config, serialize, deserialize, and Keras's form of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, constraints, initializers, layers, losses, metrics, regularizers, saving
from fastnn.activations import ACTIVATIONS
from fastnn.constraints import CONSTRAINTS
from fastnn.initializers import INITIALIZERS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.regularizers import REGULARIZERS
from support.units import label, units

FAMILIES: list[tuple[Any, Any]] = [
    (losses, LOSSES),
    (metrics, METRICS),
    (regularizers, REGULARIZERS),
    (constraints, CONSTRAINTS),
    (initializers, INITIALIZERS),
    (activations, ACTIVATIONS),
]
CASES = [(module, table, unit) for module, table in FAMILIES for unit in units(table)]


def of(value: Any) -> dict[str, Any]:
    """A unit's fields, whatever holds several values as a list."""
    return {name: list(each) if isinstance(each, tuple) else each for name, each in value.get_config().items()}


@pytest.mark.parametrize(("module", "table", "unit"), CASES, ids=[f"{t.family}-{label(u)}" for _, t, u in CASES])
def test_each_unit_is_made_again(module: Any, table: Any, unit: Any) -> None:
    config = unit.get_config()
    assert json.loads(json.dumps(config)) == config
    assert config == config | {name: getattr(unit, name) for name in config if isinstance(config[name], (str, float))}
    again = type(unit).from_config(config)
    assert type(again) is type(unit)
    assert of(again) == of(unit)
    written = json.loads(json.dumps(module.serialize(unit)))
    assert of(module.deserialize(written)) == of(unit)
    form = {"class_name": type(unit).__name__, "config": config}
    for given in (form, {"module": f"keras.{table.family}", "registered_name": None, **form}):
        found = module.get(given)
        assert type(found) is type(unit)
        assert of(found) == of(unit)
    assert of(table.from_config(table.config(unit))) == of(unit)  # what a file holds


@pytest.mark.parametrize(("module", "table"), FAMILIES, ids=[table.family for _, table in FAMILIES])
def test_names_nothing_and_the_unknown(module: Any, table: Any) -> None:
    for name, cls in table:
        try:
            made = cls()
        except TypeError:  # a metric that cannot do without its arguments
            continue
        found = module.deserialize(name)
        assert of(found if not hasattr(found, "loss") or table is METRICS else found.loss()) == of(made)
    assert module.get(None) is (activations.linear if table is ACTIVATIONS else None)
    assert module.deserialize(None) is (activations.linear if table is ACTIVATIONS else None)
    for bad in ({"class_name": "Nothing", "config": {}}, "nothing"):
        with pytest.raises(ValueError, match=f"unknown {table.family} '[nN]othing'"):
            module.deserialize(bad)
    with pytest.raises(TypeError):
        module.deserialize([3])
    with pytest.raises(ValueError, match="must be a dict of its arguments"):
        module.get({"class_name": next(iter(table))[1].__name__, "config": 3})


class Steep(regularizers.Regularizer):
    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def __call__(self, w: Any) -> Any:
        return self.factor * np.abs(w).sum()

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor}


class Shifted(losses.Loss):
    def __init__(self, shift: float = 0.0, name: str = "shifted", **named: Any) -> None:
        super().__init__(name=name, **named)
        self.shift = shift

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ((y_true - y_pred - self.shift) ** 2).mean(axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shift": self.shift}


class Share(metrics.Metric):
    def __init__(self, above: float = 0.5, name: str = "share", **named: Any) -> None:
        super().__init__(name=name, **named)
        self.above = above
        self.passed = self.add_weight(name="passed", initializer="zeros")
        self.seen = self.add_variable(shape=(), initializer="zeros", name="seen")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.passed.assign_add(np.sum(y_pred > self.above))
        self.seen.assign(self.seen + np.size(y_pred))

    def result(self) -> Any:
        return self.passed / self.seen

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "above": self.above}


class Ends(metrics.Metric):
    """Without a configuration of its own."""

    def __init__(self, name: str = "ends") -> None:
        super().__init__(name)
        self.largest = self.add_weight("largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(max(self.largest, y_pred.max()))

    def result(self) -> Any:
        return self.largest


class Halved(initializers.Initializer):
    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        return np.full(shape, self.size / 2, "float32")

    def get_config(self) -> dict[str, Any]:
        return {"size": self.size}


class Capped(constraints.Constraint):
    def __init__(self, most: float = 1.0) -> None:
        self.most = most

    def __call__(self, w: Any) -> Any:
        return np.minimum(w, self.most)

    def get_config(self) -> dict[str, Any]:
        return {"most": self.most}


OWN = {cls.__name__: cls for cls in (Steep, Shifted, Share, Ends, Halved, Capped)}


def test_units_of_ones_own_train_and_are_saved(tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
    dense = layers.Dense(
        2, kernel_regularizer=Steep(0.25), kernel_constraint=Capped(0.1), kernel_initializer=Halved(0.3)
    )
    net = fastnn.Sequential([fastnn.Input((3,)), dense])
    np.testing.assert_array_equal(net.get_weights()[0], np.full((3, 2), 0.15, "float32"))
    net.compile("sgd", loss=Shifted(0.5), metrics=[Share(0.25), Ends("last")])
    net.fit(x, x[:, :2], epochs=2, batch_size=4, verbose=0)
    assert net.get_weights()[0].max() <= np.float32(0.1)
    out = net.predict(x)
    loss, share, largest = net.evaluate(x, x[:, :2], verbose=0)
    penalty = 0.25 * np.abs(net.get_weights()[0]).sum()
    assert loss == pytest.approx(((x[:, :2] - out - 0.5) ** 2).mean() + penalty, rel=1e-5)
    assert share == (out > 0.25).mean()
    assert largest == max(out.max(), 0)
    net.save(tmp_path / "m")
    with pytest.raises(ValueError, match="custom_objects"):
        saving.load_model(tmp_path / "m")
    again = saving.load_model(tmp_path / "m", custom_objects=OWN)
    assert again.evaluate(x, x[:, :2], verbose=0, return_dict=True) == net.evaluate(
        x, x[:, :2], verbose=0, return_dict=True
    )
    assert again.description.trainer.loss.shift == 0.5
    assert [metric.get_config() for metric in again.description.trainer.metrics] == [
        {"name": "share", "dtype": "float32", "above": 0.25},
        {"name": "last", "dtype": "float32"},
    ]


@pytest.mark.parametrize("unit", [Steep(2.0), Shifted(0.5, reduction="sum"), Share(0.1), Halved(0.5), Capped(3.0)])
def test_units_of_ones_own_are_written_and_read(unit: Any) -> None:
    module = {table.family: module for module, table in FAMILIES}[unit.table_family]
    written = module.serialize(unit)
    assert written["config"] == unit.get_config()
    assert type(unit).from_config(unit.get_config()).get_config() == unit.get_config()
    again = module.deserialize(written, custom_objects=OWN)
    assert type(again) is type(unit)
    assert again.get_config() == unit.get_config()
    with saving.custom_object_scope(OWN):
        assert module.get(written).get_config() == unit.get_config()
    with pytest.raises(ValueError, match=f"unknown {unit.table_family} '{type(unit).__name__}'"):
        module.deserialize(written)


def test_functions_by_name() -> None:
    def twice(y_true: Any, y_pred: Any) -> Any:
        return 2 * (y_true - y_pred)[:, 0]

    assert losses.deserialize(losses.serialize(losses.mean_squared_error)) is losses.mean_squared_error
    assert losses.deserialize(losses.serialize(twice), {"twice": twice}) is twice
    assert activations.serialize(activations.relu) == "relu"
    assert activations.serialize(activations.ReLU(max_value=6.0))["config"]["max_value"] == 6
    assert (
        activations.deserialize("relu") is activations.get("relu")
        or activations.deserialize("relu") == activations.relu
    )
    wrapped = metrics.MeanMetricWrapper(twice, name="mine")
    config = wrapped.get_config()
    assert config == {"name": "mine", "dtype": "float32", "fn": config["fn"]}
    with saving.custom_object_scope({"twice": twice}):
        assert metrics.MeanMetricWrapper.from_config(config).fn is twice


@pytest.mark.parametrize("given", [None, "float32", np.float32, np.dtype("float32")])
def test_dtype_that_is_there(given: Any) -> None:
    assert losses.Huber(dtype=given).dtype == "float32"
    assert metrics.AUC(dtype=given).dtype == metrics.Mean(dtype=given).dtype == "float32"
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
    assert metrics.Precision(dtype=policy).dtype == "float32"


@pytest.mark.parametrize("given", ["float16", np.float64, "int32", 3, [], "mixed_bfloat16"])
def test_dtype_that_is_not_there(given: Any) -> None:
    for made in (losses.Huber, metrics.Recall, metrics.Mean, lambda dtype: metrics.MeanMetricWrapper(max, dtype=dtype)):
        with pytest.raises(ValueError, match="dtype must be 'float32' or None"):
            made(dtype=given)


def test_from_config_of_what_is_none() -> None:
    with pytest.raises(TypeError, match=r"L2.from_config takes the dict that get_config gives, got 3"):
        regularizers.L2.from_config(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="L2"):
        regularizers.L2.from_config({"nothing": 3})
