"""A standalone cluster, of one master and two workers on loopback: the driver is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.sparks import cluster, environment

pytest.importorskip("pyspark")
pytest.importorskip("pyarrow")

DRIVER = """
    import json, sys
    from pathlib import Path
    import numpy as np
    import fastnn
    from fastnn.spark import FastNNClassifier
    from fastnn.layers import Dense, Input
    from fastnn.models import Sequential
    from support.sparks import session

    folder = Path(sys.argv[2])
    x = np.random.default_rng(0).normal(size=(400, 3)).astype("f4")
    model = Sequential([Input((3,)), Dense(4, "tanh"), Dense(1)])
    with session(folder, sys.argv[1], **{"spark.executor.cores": "1", "spark.executor.memory": "512m"}) as spark:
        rows = [(n, *map(float, row), float(row[0] > 0)) for n, row in enumerate(x)]
        df = spark.createDataFrame(rows, "id long, a float, b float, c float, label double").repartition(4)
        df.write.parquet(str(folder / "in.parquet"))
        read = spark.read.parquet(str(folder / "in.parquet"))
        fastnn.spark.predict(read, model, features=["a", "b", "c"]).write.parquet(str(folder / "out.parquet"))
        back = spark.read.parquet(str(folder / "out.parquet")).orderBy("id").collect()
        same = bool((np.array([row.prediction for row in back], "f4") == model.predict(x)[:, 0]).all())
        read = read.selectExpr("array(a, b, c) as features", "label")
        fitted = FastNNClassifier(hiddenLayers=[8], learningRate=0.02, epochs=20, numWorkers=2).fit(read)
        right = fitted.transform(read).where("prediction = label").count()
        hosts = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    print(json.dumps({"same": same, "right": right, "executors": hosts}))
"""


def test_on_two_workers(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = {[each for each in sys.path if each]!r}\n" + textwrap.dedent(DRIVER)
    with cluster(tmp_path) as url:
        command = [sys.executable, "-P", "-c", code, url, str(tmp_path)]
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=900, check=False, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    assert found["right"] > 360
    assert found["executors"] == 2
