"""What PyInstaller asks fastnn for: where its hook is (entry point ``pyinstaller40``)."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """The folder with the hook."""
    return [os.path.dirname(__file__)]
