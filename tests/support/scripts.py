"""A script of the project as a module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def loaded(script: Path) -> Any:
    """The module that a script is; what it does when it is run stays undone."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
