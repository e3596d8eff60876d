"""A program that PyInstaller froze loads a model and predicts the same, away from Python and from fastnn's sources."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
import fastnn.__pyinstaller
from fastnn.layers import BatchNormalization, Conv2D, Dense, Flatten, Input
from fastnn.models import Sequential

pytest.importorskip("PyInstaller", reason="what freezes a program: pip install pyinstaller")

PROGRAM = """
import sys

import numpy as np

from fastnn.models import load_model

model = load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
from fastnn.datasets import digits, penguins  # data that fastnn brings along

assert len(digits.load_data()[0][0]) == 1437
assert penguins.load_data() is not None
assert "fastnn" in sys.modules and sys.frozen
large = {"torch", "jax", "keras", "scipy", "sklearn", "pandas", "matplotlib", "strawberry"} & {*sys.modules}
assert not large, large
"""


def test_the_hook_is_where_pyinstaller_looks() -> None:
    (folder,) = fastnn.__pyinstaller.get_hook_dirs()
    assert Path(folder, "hook-fastnn.py").is_file()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(fastnn.__file__).parents[1]))
        entries = importlib.metadata.entry_points(group="pyinstaller40")
    ours = [entry for entry in entries if entry.value.startswith("fastnn.")]
    if not ours:
        pytest.skip("fastnn is not installed, but run from its sources")
    assert ours[0].load()() == [folder]


def test_a_frozen_program_predicts_the_same(tmp_path: Path) -> None:
    model = Sequential([Input((6, 6, 1)), Conv2D(3, 3), BatchNormalization(), Flatten(), Dense(4, "softmax")])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(9, 6, 6, 1)).astype(np.float32)
    model.fit(x, np.eye(4, dtype=np.float32)[np.arange(9) % 4], epochs=2, verbose=0)
    model.save(tmp_path / "model.fastnn")
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "program.py").write_text(PROGRAM)
    (hooks,) = fastnn.__pyinstaller.get_hook_dirs()
    freeze = [sys.executable, "-P", "-m", "PyInstaller", "--noconfirm", "--onedir", "--log-level", "ERROR"]
    # Where fastnn is installed the entry point says it too.
    freeze += ["--additional-hooks-dir", hooks, "--paths", str(Path(fastnn.__file__).parents[1]), "program.py"]
    done = subprocess.run(freeze, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frozen = tmp_path / "dist" / "program"
    (tmp_path / "program.py").unlink()
    program = frozen / ("program.exe" if sys.platform == "win32" else "program")
    # Without the environment there is no other fastnn that it could find.
    subprocess.run([program, "model.fastnn", "x.npy", "y.npy"], cwd=tmp_path, env={}, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(x, verbose=0))
    assert not [*frozen.rglob("grpc")]  # which is here, and fastnn could use; the program does not
    modules = {path.name.partition(".")[0] for path in frozen.rglob("fastnn/kernels/*/*")}
    assert {"hot", "rest", "rare"} <= modules  # for every processor, not this one's alone
