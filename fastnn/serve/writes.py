"""Answers written in one piece: uvicorn writes a head and a body each by itself, and each may wake the client."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import Any


def joining(protocol: Any, requests: Sized) -> Any:
    """A protocol of uvicorn's, a class, whose connections write through a `JoiningTransport`."""

    class Joining(protocol):  # type: ignore[misc]
        """One connection."""

        def connection_made(self, transport: Any) -> None:
            """Begin."""
            super().connection_made(JoiningTransport(transport, requests))

    return Joining


class JoiningTransport:
    """A transport of asyncio that joins what is written before the loop goes on.

    requests: those that are being answered. Of one alone the second piece is written at once, with the first; of
    several all answers leave together, when none of them is worked on.
    """

    def __init__(self, transport: Any, requests: Sized) -> None:
        self._transport, self._requests = transport, requests
        self._held: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write soon."""
        self._held.append(data)
        if len(self._held) == 1:
            self._call_soon(self._flush)
        elif len(self._requests) == 1:
            self._flush()

    def writelines(self, parts: Any) -> None:
        """Write several pieces soon."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Write what is held, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))
