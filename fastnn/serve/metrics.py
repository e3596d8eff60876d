"""What ``/metrics`` tells Prometheus."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .protocol import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .models import Models
    from .served import Served

SECONDS = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Meter:
    """Counts by model and version, in a registry of its own to which others may add collectors.

    ImportError where prometheus_client is missing. With several processes, whose counts lie in the folder that
    PROMETHEUS_MULTIPROC_DIR names, an answer has the sums of all.
    """

    def __init__(self, models: Models) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        self._models = models
        names = {"labelnames": ("model", "version"), "registry": self.registry}
        self._requests = Counter("fastnn_requests", "Inference requests that were answered.", **names)
        self._rows = Counter("fastnn_rows", "Rows that were predicted.", **names)
        self._seconds = Histogram(
            "fastnn_request_seconds", "From a request's last byte to its answer.", buckets=SECONDS, **names
        )
        self._errors = Counter(
            "fastnn_errors", "Requests that were refused or failed.", ("status",), registry=self.registry
        )
        self.registry.register(_Now(models))
        models.listeners.append(self._changed)

    def answered(self, served: Served, rows: int, seconds: float) -> None:
        """Count a request."""
        found = served.extra
        if found is None:
            labels = served.name, served.version
            several = (self._requests, self._rows, self._seconds)
            found = served.extra = tuple(each.labels(*labels) for each in several)
        requests, of_rows, histogram = found
        requests.inc()
        of_rows.inc(rows)
        histogram.observe(seconds)

    def failed(self, status: int) -> None:
        """Count a request that came to nothing."""
        self._errors.labels(str(status)).inc()

    def _changed(self, event: str, served: Served) -> None:
        """A version that is served no more is told of no more."""
        if event == "unloaded" and served.version not in _versions(self._models, served.name):
            for each in (self._requests, self._rows, self._seconds):
                each.remove(served.name, served.version)

    def text(self) -> tuple[bytes, str]:
        """What Prometheus reads, and its type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry), CONTENT_TYPE_LATEST
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)
        together.register(_Now(self._models))
        return generate_latest(together), CONTENT_TYPE_LATEST


def _versions(models: Models, name: str) -> list[str]:
    try:
        return models.versions(name)
    except RequestError:
        return []


class _Now:
    """What is so at the moment: the versions that are served, and what waits for each."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        names = ["model", "version"]
        served = GaugeMetricFamily("fastnn_model_version", "1 for each version that is served.", labels=names)
        queued = GaugeMetricFamily("fastnn_queue", "Requests that wait for a thread.", labels=names)
        for each in self._models.served():
            served.add_metric([each.name, each.version], 1)
            queued.add_metric([each.name, each.version], each.queued)
        yield served
        yield queued
