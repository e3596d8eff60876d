"""Eight jobs, each written for fastnn and for Keras on JAX: how many lines it takes, and how well it does.

    python -m benchmarks.jobs          the table in docs/coming-from-keras-and-pytorch.md

Each `<job>_fastnn.py` and `<job>_keras.py` is a script that prints one figure; `tables.py` has the rows for both.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
JOBS = {
    "diamonds": "price, from numbers and texts",
    "flights": "late or not, one in ten is",
    "penguins": "species, with missing values",
    "movies": "rating, with missing values",
    "seattle": "tomorrow's temperature, from windows",
    "autoencoder": "digits through 8 numbers",
    "embeddings": "users' ratings of items",
    "quantiles": "a range of prices",
}


def script(job: str, library: str) -> Path:
    """The file of a job."""
    return FOLDER / f"{job}_{library}.py"


def lines(job: str, library: str) -> int:
    """The lines of code, as ruff formats them: without blank lines and the docstring."""
    text = script(job, library).read_text(encoding="utf-8").partition('"""\n')[2]
    return sum(bool(line.strip()) for line in text.splitlines())


def result(job: str, library: str, seed: int = 1) -> tuple[str, float]:
    """What a job prints last: the name of its figure, and the figure."""
    seeds = {"fastnn": f"fastnn.set_random_seed({seed})", "keras": f"keras.utils.set_random_seed({seed})"}
    code = f"import runpy, {library}; {seeds[library]}; runpy.run_path({str(script(job, library))!r})"
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{script(job, library).name}: {done.stderr}")
    name, _, figure = done.stdout.splitlines()[-1].rpartition(" ")
    return name, float(figure)
