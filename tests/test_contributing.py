"""The recipes of CONTRIBUTING.md, followed to the letter on a copy of the sources, compiled, and used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^`(fastnn/[\w/.]+)`\n\n```(?:python|cython)\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)

USE = """
import numpy as np
import fastnn
from fastnn import activations, losses, optimizers
from fastnn.layers import LAYERS, Dense
from fastnn.models import Sequential, load_model
from support.bindings import bound

z = np.linspace(-3, 3, 41)
isru = activations.get("isru")
assert np.allclose(isru(z), isru.reference(z))
slope = bound(isru.kernel).backward(z, isru(z), np.ones(41))
assert np.allclose(slope, (isru.reference(z + 1e-6) - isru.reference(z - 1e-6)) / 2e-6)

cauchy = losses.get("cauchy")
y, output = np.array([[0.0, 2.0], [1.0, 3.0]]), np.array([[0.5, 1.5], [2.0, 0.2]])
total, d, _ = cauchy.kernel(y, output)
assert np.isclose(total, cauchy.reference(y, output).sum())
assert np.isclose(cauchy(y, output), total / 2)
shifted = output + np.array([[1e-6, 0.0], [0.0, 0.0]])
assert np.isclose(d[0, 0], (cauchy.kernel(y, shifted)[0] - total) / 1e-6, atol=1e-5)

signum = optimizers.get("signum")
w, g, m = np.ones(5), np.arange(-2.0, 3.0), np.zeros(5)
expected = signum.reference(w, g, [m.copy()], 1)
bound(signum.kernel)(w, g, [m], signum.learning_rate, 1, signum.numbers())
assert np.allclose(w, expected)

fastnn.set_random_seed(0)
x = np.random.default_rng(0).random((200, 3))
model = Sequential([LAYERS.get(LAYERS.find("leaky_dense")(8)), Dense(8, "isru"), Dense(1, "softplus")])
model.compile(optimizers.get("signum"), "cauchy")
history = model.fit(x, 3 * x[:, 0], epochs=20, verbose=0).history["loss"]
assert history[-1] < history[0]
model.save("model.fastnn")
assert (load_model("model.fastnn").predict(x) == model.predict(x)).all()
print("used")
"""


def test_the_recipes_are_found_and_short() -> None:
    assert [path for path, _ in STEPS] == [
        "fastnn/kernels/activations.pxi",
        "fastnn/activations/smooth.py",
        "fastnn/kernels/losses_elementwise.pxi",
        "fastnn/losses/regression.py",
        "fastnn/kernels/optimizers.pxi",
        "fastnn/optimizers/momentum.py",
        "fastnn/layers/core.py",
    ]
    assert all(len(code.splitlines()) <= 17 for _, code in STEPS)


def test_the_recipes_work(tmp_path: Path) -> None:
    pytest.importorskip("Cython", "3.3", reason="compiles: pip install 'Cython>=3.3'")
    pytest.importorskip("setuptools", "77", reason="compiles: pip install 'setuptools>=77'")
    if shutil.which("cc") is None:
        pytest.skip("compiles: no C compiler here")
    if not (ROOT / "fastnn" / "kernels" / "activations.pxi").exists():
        pytest.skip("compiles: the sources are not beside the tests")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    leave = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "fastnn", tmp_path / "fastnn", ignore=leave)
    for path, code in STEPS:
        with (tmp_path / path).open("a", encoding="utf-8") as file:
            file.write("\n\n" + code)
    environment = {
        **os.environ,
        "FASTNN_DEBUG": "1",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests")]),
    }
    environment.pop("PYTHONWARNINGS", None)
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    for command in (build, [sys.executable, "-c", USE]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("used\n")
