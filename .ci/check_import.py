"""Check what `import fastnn` costs and brings along: at most 42 ms above NumPy, and nothing optional."""

import subprocess
import sys

LIMIT = 0.042  # where NumPy takes so long:
NUMPY = 0.040  # Zen 5 has 36 beside 42, Zen 4 50 to 57 beside 55 to 59: NumPy's own part is not as much slower there
OPTIONAL = {"sqlite3", "argparse", "subprocess", "matplotlib", "pandas", "sklearn", "scipy", "torch", "onnx"}
CODE = "import time; t = time.thread_time(); import {}; print(time.thread_time() - t)"


def seconds(modules: str) -> float:
    """Seconds of its thread that an import takes in a fresh process: those of the clock are others' too."""
    run = subprocess.run([sys.executable, "-P", "-c", CODE.format(modules)], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    """Import both in turn, and compare the least of each: what else runs on the machine only adds to them."""
    pairs = [(seconds("numpy"), seconds("numpy, fastnn")) for _ in range(15)]
    numpy, both = (min(times) for times in zip(*pairs, strict=True))
    print(f"import numpy {numpy * 1e3:.1f} ms, fastnn {(both - numpy) * 1e3:.1f} ms on top")
    limit = LIMIT * max(1, numpy / NUMPY)  # a machine that is slower today is so for both
    assert both - numpy <= limit, f"import fastnn must cost at most {limit * 1e3:.0f} ms above numpy"
    code = "import sys, numpy; before = set(sys.modules); import fastnn; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    brought = OPTIONAL & set(run.stdout.split())
    assert not brought, f"import fastnn brings {', '.join(sorted(brought))}"


main()
