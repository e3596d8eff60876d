"""fastnn in a second interpreter of a process: refused in words, and the first one goes on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
try:
    import _interpreters as interpreters  # from Python 3.13 on
except ImportError:
    import _xxsubinterpreters as interpreters
import fastnn
model = fastnn.Sequential([fastnn.layers.Dense(1, input_dim=2)])
before = model.predict([[1.0, 2.0]])
other = interpreters.create()
given = interpreters.run_string(other, '''
import sys
sys.path[:] = {path!r}
try:
    import fastnn
    print("imported")
except ImportError as error:
    print(error)
'''.format(path=sys.path))
print(given or "", end="")
interpreters.destroy(other)
assert (model.predict([[1.0, 2.0]]) == before).all()
"""


def test_a_second_interpreter() -> None:
    if sys.implementation.name != "cpython":
        pytest.skip("subinterpreters of CPython")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-P", "-c", SCRIPT], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "in place of subinterpreters" in done.stdout
