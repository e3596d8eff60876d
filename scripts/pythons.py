"""The Pythons that are here with their headers: `python scripts/pythons.py` prints a version and a path a line.

Looked for are VERSIONS, on the path and, where pyenv is, among its own. 3.14t is the free-threaded build of 3.14.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.14t"]


def pythons() -> dict[str, str]:
    """Version -> program, of those with what building and testing needs."""
    under = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {}
    for version in VERSIONS:
        for path in [shutil.which(f"python{version}"), *sorted(under.glob(f"*/bin/python{version}"))]:
            asked = "import sysconfig, venv, ensurepip; print(sysconfig.get_path('include'))"
            done = path and subprocess.run([path, "-c", asked], capture_output=True, text=True, check=False)
            if done and done.returncode == 0 and Path(done.stdout.strip(), "Python.h").exists():
                found[version] = str(path)
                break
    return found


if __name__ == "__main__":
    for each in pythons().items():
        print(*each)
