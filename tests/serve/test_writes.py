"""Answers in one piece: how often a transport is written to, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastnn.serve.writes import JoiningTransport, joining


class Transport:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done

    def get_extra_info(self, name: str) -> str:
        return name

    def pause_reading(self) -> str:
        return "paused"


@pytest.mark.parametrize("requests", [1, 2])
def test_pieces_leave_together(requests: int) -> None:
    async def run() -> None:
        inner = Transport()
        outer = JoiningTransport(inner, range(requests))
        outer.write(b"head ")
        assert inner.done == []
        outer.write(b"body")
        assert inner.done == ([b"head body"] if requests == 1 else [])
        await asyncio.sleep(0)
        assert inner.done == [b"head body"]
        outer.write(b"alone")  # a body that comes later does not keep its head waiting
        await asyncio.sleep(0)
        assert inner.done == [b"head body", b"alone"]
        outer.writelines([b"a", b"b"])
        outer.write(b"c")
        outer.close()
        assert inner.done == [b"head body", b"alone", b"abc", "closed"]
        await asyncio.sleep(0)  # what was to write it finds nothing left
        assert inner.done[-1] == "closed"
        assert outer.is_closing()
        assert outer.get_extra_info("peername") == "peername"
        assert outer.pause_reading() == "paused"

    asyncio.run(run())


def test_a_protocol_writes_through_it() -> None:
    class Protocol:
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

    async def run() -> None:
        protocol = joining(Protocol, ())()
        protocol.connection_made(Transport())
        assert isinstance(protocol, Protocol)
        assert isinstance(protocol.transport, JoiningTransport)

    asyncio.run(run())
