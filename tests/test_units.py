"""The tables themselves: every entry and every field of one is met by the tests that run over them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fastnn.losses import LOSSES
from support.units import OTHERS, label, units, ways


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_every_entry_is_tested(table: Any) -> None:
    assert {type(unit) for unit in units(table)} == {cls for _, cls in table}
    labels = [label(unit) for unit in units(table)]
    assert len(set(labels)) == len(labels)


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
        assert moved >= own, f"{name}: add a line to tests/units.py for {own - moved}"


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
        assert cls.reference is not table.base.reference or one_for_all


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
            assert numbers.size <= 8
            assert np.isfinite(numbers).all()
        else:
            assert table.family == "initializer"
