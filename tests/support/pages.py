"""Pages of worked examples: each block runs after those before it, and prints what the page shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastnn

HOME = str(Path(fastnn.__file__).parents[1])
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+(?!\d)|-?\d+\.\d+|-?\d+")  # 81,120 is one
# One block after the other; commands with the Python that runs them.
RUN = """
import io, json, shlex, subprocess, sys
from contextlib import redirect_stdout
outs, names = [], {"__name__": "page"}
for kind, code in json.load(sys.stdin):
    out = io.StringIO()
    if kind == "python":
        with redirect_stdout(out):
            exec(compile(code, "<block>", "exec"), names)
    else:
        command = code.replace("fastnn ", shlex.quote(sys.executable) + " -P -m fastnn ", 1)
        out.write(subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout)
    outs.append(out.getvalue())
print(json.dumps(outs))
"""


def run(blocks: list[tuple[str, str]], folder: Path, quiet: bool = True) -> list[str]:
    """What each block prints. quiet: no warning is allowed, and nothing on standard error."""
    path = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-P", *(["-W", "error"] if quiet else []), "-c", RUN],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        input=json.dumps(blocks),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (quiet and done.stderr), done.stderr
    outs: list[str] = json.loads(done.stdout)
    return outs


def compare(printed: str, shown: str) -> None:
    """The words are the same; the numbers are near: another processor's kernels round otherwise, and training tells."""
    assert re.sub(r"\s+", " ", NUMBER.sub("#", printed)) == re.sub(r"\s+", " ", NUMBER.sub("#", shown))
    numbers = [np.array([each.replace(",", "") for each in NUMBER.findall(text)], float) for text in (printed, shown)]
    np.testing.assert_allclose(*numbers, rtol=0.1, atol=0.02)


def check(page: str, folder: Path, quiet: bool = True) -> None:
    """Run the blocks of a page's text in an empty folder; they print what it shows. quiet: as of `run`."""
    found = BLOCK.findall(page)
    blocks = [(kind, code) for kind, code in found if kind != "text"]
    outs = run(blocks, folder, quiet)
    place = -1
    shown = [""] * len(blocks)
    for kind, code in found:
        if kind == "text":
            shown[place] = code
        else:
            place += 1
    assert "".join(shown), "a page shows what comes out"
    for out, text in zip(outs, shown, strict=True):
        compare(out, text)
