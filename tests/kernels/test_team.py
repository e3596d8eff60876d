"""Where Linux may run the team's threads."""

import json
import os
import subprocess
import sys

import pytest

PLACES = """
import json, os, sys
import numpy as np
import fastnn
from fastnn.layers import Dense
from fastnn.models import Sequential

tasks = lambda: {int(task) for task in os.listdir("/proc/self/task")}
model = Sequential([Dense(128, activation="relu"), Dense(3)])
model.compile("sgd", "mse")
x, y = np.ones((2000, 64), np.float32), np.ones((2000, 3), np.float32)
fastnn.set_num_threads(1)
model.fit(x, y, verbose=0)
before, found = tasks(), []
for threads in json.loads(sys.argv[1]):
    fastnn.set_num_threads(threads)
    model.fit(x, y, batch_size=500, verbose=0)
    found.append([sorted(os.sched_getaffinity(task)) for task in tasks() - before])
print(json.dumps([sorted(os.sched_getaffinity(0)), found]))
"""
PROCESSORS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


@pytest.mark.skipif(PROCESSORS < 2, reason="asks Linux, for more than one processor")
def test_the_team_keeps_off_its_callers_processor():
    """Or Linux has both wait on one, for one another. A team that is larger than the machine shares that one too."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", PLACES, json.dumps([2, PROCESSORS + 1, 2])],
        capture_output=True,
        text=True,
        check=True,
    )
    everywhere, (first, more, last) = json.loads(run.stdout)
    assert len(everywhere) == PROCESSORS
    assert len(first) == 1
    assert len(more) == len(last) == PROCESSORS
    for places in more:
        assert places == everywhere
    for places in first + last:
        assert len(places) == PROCESSORS - 1
        assert set(places) < set(everywhere)
