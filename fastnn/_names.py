"""What packages offer, said once: each module lists its own names, and a package takes those of its modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def offered(names: Mapping[str, Any]) -> list[str]:
    """A package's ``__all__``, from its globals: what is fastnn's, but modules and what begins with an underscore."""
    return sorted(name for name, value in names.items() if not name.startswith("_") and _is_own(value))


def _is_own(value: Any) -> bool:
    """Whether a class, function or object is defined in this package."""
    home = str(getattr(value, "__module__", None) or type(value).__module__)
    return not isinstance(value, ModuleType) and home.split(".")[0] == __name__.split(".")[0]


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
