"""What a service does beside answering: each version's inputs compared, answers kept, their quality looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from fastnn import _names
from fastnn.serve.drift import NOTE, Drift

if TYPE_CHECKING:
    from fastnn.serve.monitor import Monitored
    from fastnn.serve.predictions import PredictionLog

__all__ = ["Observer"]

SAMPLE = 256  # rows of a request that are compared: others wait meanwhile


class Observer:
    """A hook of ``fastnn.serve.app``, and a collector for ``application.meter.registry.register``.

    models: the service's; versions with a ``drift.reference`` are compared, by at most 256 rows of a request. log: what
    keeps the answers. judge: gives what ``monitor`` gives, in a thread of its own every so many seconds, `every`;
    `quality` is what it gave last, and `error` why it gave none. settings: of ``Drift``.
    """

    def __init__(
        self,
        models: Any,
        log: PredictionLog | None = None,
        judge: Callable[[], Monitored] | None = None,
        every: float = 3600.0,
        **settings: Any,
    ) -> None:
        self.log, self._settings, self._ended = log, settings, Event()
        self.quality: Monitored | None = None
        self.error: str | None = None
        self._versions: dict[tuple[str, str], tuple[Any, Drift | None]] = {}
        models.listeners.append(self._changed)
        for served in models.served():
            self._changed("loaded", served)
        if judge is not None:
            Thread(target=self._run, args=(judge, every), name="fastnn monitor", daemon=True).start()

    def _changed(self, event: str, served: Any) -> None:
        place, model = (served.name, served.version), served.model
        if event == "loaded":
            self._versions[place] = model, Drift(model, **self._settings) if NOTE in model.description.notes else None
        elif self._versions.get(place, (None,))[0] is model:
            del self._versions[place]

    def __call__(self, said: Any) -> None:
        """Take an answer into account: a ``Prediction``."""
        place = said.model, said.version
        model, drift = self._versions.get(place, (None, None))
        if model is not None and self.log is not None:
            names = dict(zip(("name", "version"), place, strict=True))
            self.log.add(model, said.outputs, **names, request=said.request_id, inputs=said.inputs)
        if drift is not None:
            step = 1 + (len(next(iter(said.inputs.values()))) - 1) // SAMPLE
            drift.add({name: array[::step] for name, array in said.inputs.items()})

    def report(self) -> dict[str, Any]:
        """What is known, as JSON has it: `drift` of each version, `quality`, `log` and `error`."""
        log = self.log and {name: getattr(self.log, name) for name in ("written", "dropped", "waiting", "error")}
        drift = [{"model": m, "version": v, **each.report()} for (m, v), each in self._drifts()]
        return {"drift": drift, "quality": self.quality and self.quality.to_json(), "log": log, "error": self.error}

    def gauges(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Names, labels and values as Prometheus has them."""
        for (model, version), drift in self._drifts():
            for name, labels, value in drift.gauges():
                yield name, {"model": model, "version": version, **labels}, value
        for each in (self.log, self.quality):
            yield from () if each is None else each.gauges()

    def collect(self) -> Any:
        """The same for a registry of prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        found: dict[str, Any] = {}
        for name, labels, value in self.gauges():
            family = found.setdefault(name, GaugeMetricFamily(name, name, labels=list(labels)))
            family.add_metric(list(labels.values()), value)
        return found.values()

    def close(self) -> None:
        """Judge no more, and write what the log has."""
        self._ended.set()
        if self.log is not None:
            self.log.close()

    def _drifts(self) -> list[tuple[tuple[str, str], Drift]]:
        return [(place, drift) for place, (_, drift) in sorted(dict(self._versions).items()) if drift is not None]

    def _run(self, judge: Callable[[], Monitored], every: float) -> None:
        while not self._ended.is_set():
            try:
                self.quality, self.error = judge(), None
            except Exception as error:  # the service goes on
                self.error = str(error)
            self._ended.wait(every)


_names.offer(globals())
