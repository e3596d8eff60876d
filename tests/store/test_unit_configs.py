"""Every unit of every table as JSON and back: what a file says of an activation, a loss, a schedule, ..."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastnn._table import TABLES, plain, unplain
from support.units import OTHERS, label, units

CASES = [(family, unit) for family, table in TABLES.items() if table in OTHERS for unit in units(table)]


@pytest.mark.parametrize(("family", "unit"), CASES, ids=[f"{family}-{label(unit)}" for family, unit in CASES])
def test_every_unit_comes_back(family: str, unit: Any) -> None:
    table = TABLES[family]
    config = json.loads(json.dumps(table.config(unit)))
    copy = table.from_config(config)
    assert type(copy) is type(unit)
    assert json.loads(json.dumps(table.config(copy))) == config
    nested = json.loads(json.dumps(plain({"here": [unit]})))
    assert nested["here"][0]["family"] == family
    assert type(unplain(nested, None)["here"][0]) is type(unit)


def test_families_that_are_not_asked_for() -> None:
    loss, layer = {"family": "loss", "class": "huber", "delta": 2.0}, {"family": "layer", "class": "flatten"}
    assert unplain([loss], None, ("loss",))[0].delta == 2.0
    assert unplain(layer, None, ("loss", "metric")) == layer


def test_fields_that_are_missing() -> None:
    for family, config, fields in (
        ("schedule", {"class": "exponential_decay", "decay_rate": 0.5}, "decay_steps, initial_learning_rate"),
        ("layer", {"class": "dense"}, "units"),
        ("metric", {"class": "mean_io_u"}, "num_classes"),
    ):
        with pytest.raises(ValueError, match=f"needs the fields {fields}$"):
            TABLES[family].from_config(config)
