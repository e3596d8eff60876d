"""docs/writing-your-own.md: all of its blocks run, in their order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parent.parent / "docs" / "writing-your-own.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_page_runs(tmp_path: Path) -> None:
    assert len(BLOCKS) == 10
    program = tmp_path / "page.py"
    program.write_text("\n".join(BLOCKS), encoding="utf-8")
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert float(re.findall(r"'accuracy': ([0-9.]+)", out)[0]) > 0.8
    assert "the same: True" in out
    assert "page.py, line" in out
    assert "if ops.max(inputs, axis=-1) > 1:" in out
    assert float(out.split("line")[-1].split("\n")[1]) < 1e-6
    assert "classifier" in out
    assert "epoch 5: loss" in out
    assert float(re.findall(r"^accuracy ([0-9.]+)", out, re.MULTILINE)[0]) > 0.9
