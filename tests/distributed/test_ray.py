"""Ray Data, on one machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    os.environ |= {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    options: Any = {"num_cpus": 2, "include_dashboard": False, "logging_level": "ERROR", "log_to_driver": False}
    ray.init(**options, object_store_memory=128 * 2**20, _node_ip_address="127.0.0.1")
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.shutdown()


def test_predictions(cluster: Any) -> None:
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    model = Sequential([Input((3,)), Dense(4, "tanh"), Dense(1)])
    rows = [{"id": n, "a": float(a), "b": float(b), "c": float(c)} for n, (a, b, c) in enumerate(x)]
    found = fastnn.ray.predict(cluster.data.from_items(rows), model, features=["a", "b", "c"], batch_size=32)
    frame = sorted(found.take_all(), key=lambda row: row["id"])
    assert np.array_equal(np.array([row["prediction"] for row in frame], np.float32), model.predict(x)[:, 0])
    with pytest.raises(ValueError, match="reads 3 numbers a row"):
        fastnn.ray.predict(cluster.data.from_items(rows), model)
    with pytest.raises(TypeError, match=r"must be a ray\.data\.Dataset"):
        fastnn.ray.predict(rows, model)
