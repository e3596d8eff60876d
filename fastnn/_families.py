"""The families of units: what each has as its table, by the family's name."""

from __future__ import annotations

from typing import Any

TABLES: dict[str, Any] = {}
OTHERS: dict[str, Any] = {}  # families of what stands in no table, models: they too have `config` and `from_config`
