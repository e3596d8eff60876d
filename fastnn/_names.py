"""What packages offer, said once: each module lists its own names, and a package takes those of its modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def offered(names: Mapping[str, Any]) -> list[str]:
    """A package's ``__all__``, from its globals: all but modules and what begins with an underscore."""
    found = [name for name, value in names.items() if not name.startswith("_") and not isinstance(value, ModuleType)]
    return sorted(found)


def later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``, for names that are imported when first asked for: ``import fastnn`` must stay short.

    homes: the submodule that each name is in, or is itself.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{homes[name]}")
        return module if homes[name] == name else getattr(module, name)

    return __getattr__
