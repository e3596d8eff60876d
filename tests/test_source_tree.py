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
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: {tmp_path} has the sources of fastnn, which are not compiled: "
        "start Python in another folder, after `pip install .` in this one"
    )
    assert done.stderr.count("Traceback") == 1  # no error before it, and none while it was handled


def test_a_module_that_cannot_be_loaded_says_so_itself(tmp_path: Path) -> None:
    """It is not taken for one that is not there."""
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fastnn.__file__).parent, tmp_path / "fastnn", ignore=leave)
    for compiled in (tmp_path / "fastnn" / "kernels").glob("cpu.*[od]"):
        compiled.write_bytes(b"no library")
    command = [sys.executable, "-c", "import fastnn"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError" in done.stderr.splitlines()[-1]
    assert "sources" not in done.stderr
