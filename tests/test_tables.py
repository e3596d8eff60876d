"""The tables themselves: every entry and every field of one is met by the tests, and every entry is offered.

What fails here says which line it asks for, and where.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, losses
from fastnn._table import TABLES
from fastnn.callbacks import Callback, CallbackList
from fastnn.layers import InputLayer, RepeatVector, TimeDistributed
from fastnn.losses import LOSSES
from fastnn.metrics import LossMetric
from support.units import OTHERS, label, units, ways

TESTS = Path(__file__).parent


def metrics_met() -> Iterable[type]:
    """Those with a figure that is known; a metric that is a loss's mean has the loss's tests."""
    known = importlib.import_module("test_metrics").KNOWN
    return {type(metric) for metric, *_ in known} | {cls for _, cls in TABLES["metric"] if issubclass(cls, LossMetric)}


def layers_met() -> Iterable[type]:
    """Those that stand between others on arrays of each rank, 2, 3 and 4, that they take; and the input."""
    layers = importlib.import_module("support.layers")
    ranks: dict[type, set[int]] = {InputLayer: {1, 2, 3}, TimeDistributed: {1}, RepeatVector: {2, 3}}
    pictures = importlib.import_module("support.pictures")  # on rows of the axes that they take
    for made in (*(made for made, _ in pictures.PICTURES.values()), *pictures.CHANGED.values()):
        ranks[type(made())] = {1, 2, 3}
    for case in layers.CASES.values():
        layer = case.make()
        within = [layer.cell, *layer.cells()] if hasattr(layer, "cells") else []
        for each in (layer, *within):
            ranks.setdefault(type(each), set()).add(len(case.shapes[0]))
    for made in layers.RANDOM.values():
        ranks.setdefault(type(made()), set()).update({1, 2, 3})
    for made, rows in layers.OF_COLUMNS.values():
        ranks.setdefault(type(made()), {1, 2, 3} - {len(rows)}).add(len(rows))
    for front in layers.FRONT.values():  # of what the layer takes, if not of all ranks
        ranks.setdefault(type(front.make()), set()).update({1, 2, 3})
    return {cls for cls, found in ranks.items() if found >= {1, 2, 3} or cls in layers.OF_STEPS}


def optimizers_met() -> Iterable[type]:
    """Those with a kernel go through the kernels' tests; of the others test_optimizers.py speaks by name."""
    named = named_in("test_optimizers.py")
    return {cls for _, cls in TABLES["optimizer"] if not getattr(cls, "full_batch", False) or cls.__name__ in named}


def named_in(*patterns: str) -> set[str]:
    """The words of test files."""
    paths = [path for pattern in patterns for path in TESTS.glob(pattern)]
    return {word for path in paths for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


# What the tests of a family's values go over, and where a line for a new entry goes. A family of OTHERS is made of its
# table: each entry meets the tests as it is by default.
MET: dict[str, tuple[Callable[[], Iterable[type]], str]] = {
    "layer": (layers_met, "CASES or RANDOM of tests/support/layers.py, with rows of one, two and three axes"),
    "metric": (metrics_met, "KNOWN of tests/test_metrics.py"),
    "optimizer": (optimizers_met, "a test of its own to tests/test_optimizers.py"),
    "schedule": (
        lambda: {type(schedule) for schedule, _ in importlib.import_module("test_schedules").KNOWN},
        "KNOWN of tests/test_schedules.py",
    ),
    **{
        table.family: (lambda table=table: {type(unit) for unit in units(table)}, "OTHERS of tests/support/units.py")
        for table in OTHERS
        if table.family not in ("metric", "optimizer")
    },
}


def unmet(table: Any) -> list[str]:
    """What the table's tests miss."""
    met, place = MET[table.family]
    found = set(met())
    return [
        f"the table of {table.family}s has {name!r} ({cls.__name__} of {cls.__module__}), which no test meets: "
        f"add {'it to ' if place[0].isupper() else ''}{place}"
        for name, cls in table
        if cls not in found
    ]


def test_every_table_says_what_meets_it() -> None:
    for family in TABLES:
        assert family in MET, f"nothing meets the table of {family}s: add it to MET of tests/test_tables.py"


@pytest.mark.parametrize("family", TABLES)
def test_every_entry_is_met(family: str) -> None:
    assert unmet(TABLES[family]) == []


@pytest.mark.parametrize("family", TABLES)
def test_an_entry_without_a_test_is_found(family: str) -> None:
    """Of a class of its own, which is no more than the family's base."""
    table = TABLES[family]
    if table in OTHERS and family not in ("metric", "optimizer"):  # made of the table
        return
    made = type("Unmet", (table.base,), {"full_batch": True})
    table.add("unmet")(made)
    try:
        (message,) = (each for each in unmet(table) if "'unmet'" in each)
    finally:
        del table.units["unmet"], table.aliases["unmet"], table.aliases["Unmet"]
    assert re.search(r"add .*tests/[\w/]+\.py", message)


def test_every_callback_is_met() -> None:
    named = named_in("callbacks/*.py")
    for name in fastnn.callbacks.__all__:
        assert name in named, f"no test of tests/callbacks/ speaks of {name}: add one"
    assert {Callback.__name__, CallbackList.__name__} < named


@pytest.mark.parametrize("family", TABLES)
def test_every_entry_is_offered_by_its_package(family: str) -> None:
    table = TABLES[family]
    package = sys.modules[table.base.__module__.removesuffix(".base")]
    for name, cls in table:
        listed = getattr(sys.modules[cls.__module__], "__all__", None)  # a module that is a family's only one has none
        assert listed is None or cls.__name__ in listed, f"add {cls.__name__!r} to __all__ of {cls.__module__}"
        assert getattr(package, cls.__name__) is cls, f"import {cls.__name__} ({name!r}) in {package.__name__}"


def test_every_module_that_enters_something_is_imported() -> None:
    folder = Path(fastnn.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if re.search(r"^@[A-Z]+\.add\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            name = ".".join(("fastnn", *path.relative_to(folder).with_suffix("").parts))
            known = name in sys.modules
            assert known, (
                f"nothing imports {name}: add it to the imports of {path.parent.relative_to(folder.parent)}/__init__.py"
            )


def test_every_activation_and_loss_is_there_as_a_function() -> None:
    for name, cls in TABLES["activation"]:
        place = f"add `{name} = {cls.__name__}()` to fastnn/activations/__init__.py"
        assert getattr(activations, name, None) == cls(), place
    for name, cls in LOSSES:
        function = getattr(losses, name, None)
        place = f"add `{name} = _function_of({cls.__name__})` to fastnn/losses/__init__.py"
        assert getattr(function, "loss", None) is cls, place


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_no_configuration_is_tested_twice(table: Any) -> None:
    labels = [label(unit) for unit in units(table)]
    assert len(set(labels)) == len(labels)
    assert {type(unit) for unit in units(table)} == {cls for _, cls in table}


def fields_of(cls: type) -> list[Any]:
    """A family's base may be no dataclass: what it has for all, it has by hand."""
    return list(dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else []


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_every_field_is_tested_at_another_value_than_its_default(table: Any) -> None:
    for name, cls in table:
        moved = {
            field.name
            for unit in units(table)
            if type(unit) is cls
            for field in fields_of(cls)
            if getattr(unit, field.name) != field.default
        }
        shared = {field.name for field in fields_of(table.base)}
        own = {field.name for field in fields_of(cls)} - shared
        if table.family in ("loss", "metric"):  # tests/test_axis.py has these
            own.discard("axis")
        place = f"tests/support/{'metrics' if table.family == 'metric' else 'units'}.py"
        assert moved >= own, (
            f"{name}: add a {cls.__name__} with another {own - moved} than its default to OTHERS of {place}"
        )


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_every_field_that_a_family_shares_is_tested_in_one_of_it(table: Any) -> None:
    if table.family == "loss":  # tests/test_losses.py has their reduction and name
        return
    for field in fields_of(table.base):
        assert any(getattr(unit, field.name) != field.default for unit in units(table)), field.name


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_every_unit_has_a_reference_of_its_own(table: Any) -> None:
    for _, cls in table:
        one_for_all = table.family == "regularizer" or getattr(cls, "full_batch", False)
        assert cls.reference is not table.base.reference or one_for_all, (
            f"give {cls.__name__} of {cls.__module__} a reference, its formula in float64"
        )


def test_every_fused_kernel_is_tested() -> None:
    """Each loss is met on its own and after each activation that it is fused with."""
    kernels = {way.kernel.name for loss in units(LOSSES) for way in ways(loss)}
    assert kernels == {kernel.name for _, cls in LOSSES for kernel in (cls().kernel, *cls().fused.values())}


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_numbers_are_what_a_kernel_reads(table: Any) -> None:
    """At most eight numbers, all finite."""
    for unit in units(table):
        if hasattr(unit, "numbers"):
            numbers = np.array(unit.numbers(), float)
            assert numbers.size <= 12
            assert np.isfinite(numbers).all()
        else:
            assert table.family == "initializer"
