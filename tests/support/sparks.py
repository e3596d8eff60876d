"""A session of Spark in this process, and a standalone cluster of one master and two workers, all on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOOPBACK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "64",  # so that a few rows are several batches
}


def environment() -> dict[str, str]:
    """For what Spark starts: this Python, and what it finds."""
    path = os.pathsep.join(each for each in sys.path if each)
    own = {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": path, "SPARK_LOCAL_IP": "127.0.0.1"}
    return {**os.environ, **own, "SPARK_NO_DAEMONIZE": "1", "FASTNN_NUM_THREADS": "1"}


@contextmanager
def session(folder: Path, master: str = "local[2]", **options: Any) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ.update(environment())
    options = {**LOOPBACK, "spark.sql.warehouse.dir": str(folder / "warehouse"), **options}
    options["spark.driver.extraJavaOptions"] = f"-Dderby.system.home={folder}"
    builder = SparkSession.builder.master(master).appName("fastnn")
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    try:
        yield spark
    finally:
        spark.stop()


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Gives the URL of the master; its two workers have a core each."""
    import pyspark

    start = [str(Path(pyspark.__file__).parent / "bin" / "spark-class")]
    options = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
    running: list[subprocess.Popen[bytes]] = []

    def run(name: str, *more: str) -> Path:
        log = folder / f"{name}.log"
        with log.open("wb") as out:
            command = [*start, *more]
            running.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment(), cwd=folder))
        return log

    try:
        log = run("master", "org.apache.spark.deploy.master.Master", *options)
        (url,) = said(log, r"Starting Spark master at (spark://\S+)")
        workers = [
            run(f"worker{n}", "org.apache.spark.deploy.worker.Worker", *options, "--cores", "1", "--memory", "1g", url)
            for n in range(2)
        ]
        for log in workers:
            said(log, r"(Successfully registered with master)")
        yield url
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait()


def said(log: Path, pattern: str, seconds: float = 300) -> list[str]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := re.findall(pattern, log.read_text(errors="replace")):
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{pattern} is not in {log.read_text(errors='replace')[-2000:]}")
