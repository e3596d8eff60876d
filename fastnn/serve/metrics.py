"""What ``/metrics`` tells Prometheus.

Counts are plain numbers of each version that is served, as a request counts; prometheus_client writes them when it is
asked. Several processes leave theirs in files, once a second and when they are asked, and each tells the sums of all.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.store.replacing import replacing

if TYPE_CHECKING:
    from .models import Models
    from .served import Served

SECONDS = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
FIRST = 2  # of the buckets, behind rows and seconds


class Meter:
    """Counts by model and version, in a registry of prometheus_client to which others may add collectors.

    folder: where processes leave their counts; None for one alone. ImportError where prometheus_client is missing.
    """

    def __init__(self, models: Models, folder: str | None = None) -> None:
        from prometheus_client import CollectorRegistry

        self.registry = CollectorRegistry()
        self._models, self._folder = models, folder
        self._counts: dict[tuple[str, str], list[float]] = {}
        self._errors: Counter[str] = Counter()
        self._written: Any = None
        self.registry.register(self)
        models.listeners.append(self._changed)

    def answered(self, served: Served, rows: int, seconds: float) -> None:
        """Count a request."""
        counts = served.counts
        if counts is None:
            none = [0.0] * (FIRST + len(SECONDS) + 1)
            counts = served.counts = self._counts.setdefault((served.name, served.version), none)
        counts[0] += rows
        counts[1] += seconds
        counts[FIRST + bisect_left(SECONDS, seconds)] += 1

    def failed(self, status: int) -> None:
        """Count a request that came to nothing."""
        self._errors[str(status)] += 1

    def _changed(self, event: str, served: Served) -> None:
        """A version that is served no more is told of no more, unless others hold its files."""
        if event == "unloaded" and (served.name, served.version) not in self._models:
            self._counts.pop((served.name, served.version), None)

    def leave(self) -> None:
        """Leave the counts where the other processes find them."""
        state = [[*key, *counts] for key, counts in self._counts.items()], self._errors
        text = json.dumps(state)
        if self._folder is not None and text != self._written:
            with replacing(os.path.join(self._folder, f"{os.getpid()}.json"), lasting=False) as file:
                file.write(text.encode())
            self._written = text

    def _together(self) -> tuple[dict[tuple[str, str], list[float]], Counter[str]]:
        """The counts of all processes."""
        if self._folder is None:
            return self._counts, self._errors
        self.leave()
        counts: dict[tuple[str, str], list[float]] = {}
        errors: Counter[str] = Counter()
        for each in Path(self._folder).glob("*.json"):
            rows, failed = json.loads(each.read_text())
            errors.update(failed)
            for name, version, *numbers in rows:
                before = counts.get((name, version), [0.0] * len(numbers))
                counts[name, version] = [a + b for a, b in zip(before, numbers, strict=True)]
        return counts, errors

    def collect(self) -> Iterator[Any]:
        """What there is, in prometheus_client's words."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        names = ["model", "version"]
        requests = CounterMetricFamily("fastnn_requests", "Requests that were answered with predictions.", labels=names)
        of_rows = CounterMetricFamily("fastnn_rows", "Rows that were predicted.", labels=names)
        seconds = HistogramMetricFamily(
            "fastnn_request_seconds", "From a request's last byte to its answer.", labels=names
        )
        errors = CounterMetricFamily("fastnn_errors", "Requests that were refused or failed.", labels=["status"])
        served = GaugeMetricFamily("fastnn_model_version", "1 for each version that is served.", labels=names)
        queued = GaugeMetricFamily("fastnn_queue", "Requests that wait for a thread of this process.", labels=names)
        counts, failed = self._together()
        for key, (rows, total, *buckets) in counts.items():
            ends = [*map(str, SECONDS), "+Inf"]
            seconds.add_metric(key, list(zip(ends, accumulate(buckets), strict=True)), total)
            requests.add_metric(key, sum(buckets))
            of_rows.add_metric(key, rows)
        for status, count in failed.items():
            errors.add_metric([status], count)
        for each in self._models.served():
            served.add_metric([each.name, each.version], 1)
            queued.add_metric([each.name, each.version], each.queued)
        return iter([requests, of_rows, seconds, errors, served, queued])

    def text(self) -> tuple[bytes, str]:
        """What Prometheus reads, and its type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
