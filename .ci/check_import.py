"""Check what fastnn costs a program that makes a model, in a new process: at most 40 ms above NumPy, nothing optional.

``import fastnn`` alone imports little: what it offers comes when it is first asked for.
"""

import statistics
import subprocess
import sys

LIMIT = 0.040
OPTIONAL = {"sqlite3", "argparse", "subprocess", "matplotlib", "pandas", "sklearn", "scipy", "torch", "onnx"}
FASTNN = "import numpy, fastnn; fastnn.Sequential, fastnn.layers.Dense"


def seconds(code: str) -> float:
    """Seconds that `code` takes in a new process."""
    timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    run = subprocess.run([sys.executable, "-P", "-c", timed], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    """Run both in turn, and compare the medians."""
    pairs = [(seconds("import numpy"), seconds(FASTNN)) for _ in range(15)]
    numpy, both = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"import numpy {numpy * 1e3:.1f} ms, fastnn and its layers {(both - numpy) * 1e3:.1f} ms on top")
    assert both - numpy <= LIMIT, f"fastnn must cost at most {LIMIT * 1e3:.0f} ms above numpy"
    code = f"import sys, numpy; before = set(sys.modules); {FASTNN}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    brought = OPTIONAL & set(run.stdout.split())
    assert not brought, f"fastnn brings {', '.join(sorted(brought))}"


main()
