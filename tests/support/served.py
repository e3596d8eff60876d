"""`fastnn serve`, as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATH = os.pathsep.join(each for each in sys.path if each)


class Server:
    """A process, and where it listens."""

    def __init__(self, process: subprocess.Popen[str], said: list[str]) -> None:
        self.process, self.said = process, said
        scheme, _, rest = said[-1].strip().partition("://")
        self.url = f"{scheme}://{rest.removesuffix('/v2')}"
        self.address = rest.removesuffix("/v2")
        self.port = int(self.address.rpartition(":")[2])

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def serving(*arguments: str, cwd: Path) -> Iterator[Server]:
    """`fastnn serve`, which is ended, whatever becomes of the test."""
    command = [sys.executable, "-P", "-m", "fastnn", "serve", *arguments, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": PATH}
    with (cwd / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd, env=environment)
        assert process.stdout is not None
        try:
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("http"):
                    break
            assert said, (cwd / "stderr.txt").read_text()
            yield Server(process, said)
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                process.stdout.close()
