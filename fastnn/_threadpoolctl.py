"""Lets threadpoolctl see fastnn's threads and limit them, whichever of the two is imported first."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from fastnn._version import __version__
from fastnn.kernels import team

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def register(threadpoolctl: Any) -> None:
    """Add a controller for the team to those that `threadpool_info` and `threadpool_limits` go through."""
    if not hasattr(threadpoolctl, "register"):  # before 3.2
        return

    class TeamController(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "fastnn"
        internal_api = "fastnn"
        filename_prefixes = (os.path.basename(team.__file__).lower(),)

        def get_num_threads(self) -> int:
            return team.get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            team.limit_threads(num_threads)

        def get_version(self) -> str:
            return __version__

    threadpoolctl.register(TeamController)


class _Watch:
    """Registers as soon as threadpoolctl is imported; importing it here would cost those who do not use it 15 ms."""

    searching = False  # for the module itself, among the other finders

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "threadpoolctl" or self.searching:
            return None
        import importlib.util  # here, for it takes milliseconds

        self.searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                sys.meta_path.remove(self)
                register(module)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """Register now, or when threadpoolctl is imported."""
    if "threadpoolctl" in sys.modules:
        register(sys.modules["threadpoolctl"])
    else:
        sys.meta_path.insert(0, _Watch())
