"""What each epoch gave, sent to a server."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._checks import check_flag, check_text, shown
from fastnn._output import warn
from fastnn.callbacks.base import Callback, Logs

__all__ = ["RemoteMonitor"]


class RemoteMonitor(Callback):
    """Posts {"epoch": 0, "loss": 0.5, ...} to ``root + path`` after each epoch.

    field: the form's field that holds it, as JSON; with send_as_json it is itself the body of the request. headers: a
    dict of the request's headers. A server that does not answer ends no fit: a warning says so. Needs requests;
    ImportError, with the command, where it is missing.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        self.root = check_text("RemoteMonitor: root", root)
        self.path = check_text("RemoteMonitor: path", path)
        self.field = check_text("RemoteMonitor: field", field)
        if headers is not None and not isinstance(headers, dict):
            raise TypeError(f"RemoteMonitor: headers must be a dict, got {shown(headers)}")
        self.headers = headers
        self.send_as_json = send_as_json
        check_flag(self, "send_as_json")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        try:
            import requests  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError("RemoteMonitor needs requests: pip install requests") from error
        sent = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        url = self.root + self.path
        try:
            if self.send_as_json:
                requests.post(url, json=sent, headers=self.headers)
            else:
                import json

                requests.post(url, {self.field: json.dumps(sent)}, headers=self.headers)
        except requests.exceptions.RequestException as error:
            warn(f"Could not reach RemoteMonitor root server at {self.root}: {type(error).__name__}")


def _plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.item() if value.size == 1 else value.tolist()
    return value
