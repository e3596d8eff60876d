"""What a person meets who starts Python in a clone, beside the sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import fastnn


def test_importing_the_sources_says_what_to_do(tmp_path: Path) -> None:
    leave = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(fastnn.__file__).parent, tmp_path / "fastnn", ignore=leave)
    command = [sys.executable, "-c", "import fastnn"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install ." in done.stderr.splitlines()[-1]
