"""What the tables say beside their figures: the machine, and how numbers are written."""

import datetime
import platform
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
import fastnn.kernels

README = Path(__file__).with_name("README.md")


def machine(threads: int = 1) -> dict[str, str]:
    """Where the figures are from; AssertionError if BLAS does not run that many threads."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": blas(threads),
        "fastnn": f"{fastnn.__version__} ({fastnn.kernels.isa})",
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    name = fields.get("model name", platform.machine())
    # A virtual machine may hide the model, but not the family that decides about its kernels.
    return f"{name}, family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"


def blas(threads: int) -> str:
    """The library and which of its kernels run here, where threadpoolctl can tell."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    library = config["Build Dependencies"]["blas"]
    name = f"{library['name']} {library['version']}"
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return name
    for loaded in threadpool_info():
        if loaded["user_api"] == "blas":
            assert loaded["num_threads"] == threads, f"BLAS runs {loaded['num_threads']} threads, not {threads}"
            return f"{name} ({loaded.get('architecture', '?')} kernels)"
    return name


def duration(seconds: float) -> str:
    if seconds >= 0.9995:
        return f"{seconds:,.3g} s"
    return f"{seconds * 1e3:,.3g} ms" if seconds > 1e-4 else f"{seconds * 1e6:,.3g} us"


def times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 999.5 else f"{ratio:,.0f}"


def factor(low: float, median: float, high: float) -> str:
    return f"{median:.2f}x ({low:.2f}-{high:.2f})"


def write_readme(text: str, name: str, path: Path = README) -> None:
    """Between the marks of that name; SystemExit where there are none."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    content = path.read_text(encoding="utf-8")
    if begin not in content or end not in content:
        raise SystemExit(f"{path} has no place for {name}: add the lines {begin.strip()} and {end.strip()}")
    before, rest = content.split(begin)
    path.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")
