"""The steps of pipeline.py, which must lie beside this file, as a DAG of Airflow.

Put both into Airflow's folder of DAGs. FASTNN_PIPELINE has the options of pipeline.py, as one would type them; of the
database and the registry, URLs that each worker reaches. To try it, without a scheduler:

    airflow db migrate
    airflow dags test fastnn_pipeline
"""

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import dag, get_current_context, task

sys.path.insert(0, str(Path(__file__).parent))
import pipeline


@dag(
    "fastnn_pipeline", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1
)
def fastnn_pipeline():
    """Train, decide, and register what is better."""

    @task
    def settings():
        return pipeline.options(shlex.split(os.environ.get("FASTNN_PIPELINE", "")))

    @task
    def train(settings):
        """One file for each run, so that a task that is tried again writes the same one."""
        run = "".join(each if each.isalnum() else "-" for each in get_current_context()["run_id"])
        path = str(Path(settings["work"]).absolute() / f"{settings['name']}-{run}.fastnn")
        pipeline.train(settings, path)
        return path

    @task
    def decide(settings, path):
        return pipeline.decide(settings, path)

    @task.short_circuit
    def is_better(found):
        return found["better"]

    @task
    def register(settings, path, found):
        return pipeline.register(settings, path, found["candidate"])

    given = settings()
    path = train(given)
    found = decide(given, path)
    is_better(found) >> register(given, path, found)


fastnn_pipeline()
