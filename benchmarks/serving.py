"""What a request costs, beside a bare ASGI application that answers fixed bytes: `python -m benchmarks.serving --help`.

Both run on uvicorn on one core, by turns, and a client on another: one keep-alive connection, 16 of them, JSON and
binary, 1 row and 256. `--replace` writes a model anew so many times while clients ask, and checks each answer;
`--soak` makes so many requests and tells of memory and open files on the way. Needs fastnn[serve], and Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
INPUTS, OUTPUTS = 20, 3
CONNECTIONS = 16
SERVER = "serving_server"


def model_of(seed: int, name: str = "m") -> Any:
    import fastnn
    from fastnn import Sequential
    from fastnn.layers import Dense

    fastnn.set_random_seed(seed)
    model = Sequential([Dense(32, "relu", input_shape=(INPUTS,)), Dense(OUTPUTS, "softmax")], name=name)
    model.build()
    return model


# Servers: this file is run again, as what it serves.


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Reads a body, and answers fixed bytes: one of 1 row, or what the first request's path names."""
    if scope["type"] != "http":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    body = FIXED.get(scope["path"], b"x")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


FIXED = {f"/{rows}": b"x" * (150 + 12 * OUTPUTS * rows) for rows in (1, 256)}


def serve_bare(port_to: str) -> None:
    import uvicorn

    with socket.create_server(("127.0.0.1", 0), backlog=2048) as bound:
        Path(port_to).write_text(str(bound.getsockname()[1]))
        uvicorn.Server(uvicorn.Config(bare, log_config=None, access_log=False)).run(sockets=[bound])


@contextmanager
def running(command: list[str], core: int | None) -> Iterator[subprocess.Popen[str]]:
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [*pinned, sys.executable, "-P", *command], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


@contextmanager
def served(folder: Path, core: int | None, *options: str) -> Iterator[tuple[int, int]]:
    """The port and the process of ``fastnn serve`` of a folder."""
    with running(["-m", "fastnn", "serve", str(folder), "--port", "0", *options], core) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("http"):
                port = int(line.rpartition(":")[2].partition("/")[0])
                wait_for(port)
                yield port, child.pid
                return
        raise SystemExit("the server did not begin")


@contextmanager
def bare_served(folder: Path, core: int | None) -> Iterator[int]:
    told = folder / "port"
    with running([__file__, "--bare", str(told)], core):
        while not told.exists() or not told.read_text():
            time.sleep(0.05)
        port = int(told.read_text())
        wait_for(port)
        yield port


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            with socket.create_connection(("127.0.0.1", port)) as own:
                own.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if own.recv(10):
                    return
        except OSError:
            pass
        time.sleep(0.05)


# Clients.


def request(path: str, rows: int, binary: bool, seed: int = 0) -> bytes:
    x = np.random.default_rng(seed).standard_normal((rows, INPUTS)).astype(np.float32)
    tensor: dict[str, Any] = {"name": "input_layer", "shape": [rows, INPUTS], "datatype": "FP32"}
    said: dict[str, Any] = {"inputs": [tensor]}
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    tail = b""
    if binary:
        tensor["parameters"] = {"binary_data_size": x.nbytes}
        said["parameters"] = {"binary_data_output": True}
        tail = x.tobytes()
    else:
        tensor["data"] = [round(float(each), 6) for each in x.ravel()]
    text = json.dumps(said).encode()
    if binary:
        head.append(f"Inference-Header-Content-Length: {len(text)}")
    head.append(f"Content-Length: {len(text) + len(tail)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + text + tail


def answer(own: socket.socket) -> bytes:
    """One answer, whole: its body."""
    got = own.recv(1 << 20)
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += own.recv(1 << 20)
    if not got.startswith(b"HTTP/1.1 200"):
        raise SystemExit(got[:500])
    at = got.lower().find(b"content-length:")
    length = int(got[at + 15 : got.find(b"\r\n", at)])
    while len(got) < end + 4 + length:
        got += own.recv(1 << 20)
    return got[end + 4 :]


def one_by_one(port: int, said: bytes, times: int) -> float:
    """The median of the microseconds of a request, on one connection."""
    with socket.create_connection(("127.0.0.1", port)) as own:
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = []
        for _ in range(times + 50):
            start = time.perf_counter()
            own.sendall(said)
            answer(own)
            found.append(time.perf_counter() - start)
    return 1e6 * statistics.median(found[50:])


def many(port: int, said: bytes, seconds: float, connections: int = CONNECTIONS) -> float:
    """Answers a second, of so many connections that each ask again at once."""
    owns = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    poll = select.epoll()
    by_file = {own.fileno(): own for own in owns}
    for own in owns:
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(own, select.EPOLLIN)
        own.sendall(said)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for number, _ in poll.poll(1):
            answer(by_file[number])
            by_file[number].sendall(said)
            count += 1
    taken = time.perf_counter() - start
    for own in owns:
        answer(own)
        own.close()
    poll.close()
    return count / taken


CASES = {
    "1 row, JSON, us": ("one", 1, False, "at most 1.35x"),
    "1 row, binary, us": ("one", 1, True, "at most 1.2x"),
    "256 rows, binary, us": ("one", 256, True, "at most 3x"),
    "256 rows, JSON, us": ("one", 256, False, ""),
    "16 clients, 1 row, JSON, 1/s": ("many", 1, False, "at least 0.8x"),
    "16 clients, 1 row, binary, 1/s": ("many", 1, True, "at least 0.8x"),
}


def speed(rounds: int, times: int, seconds: float, cores: tuple[int, int] | None) -> dict[str, Any]:
    server = client = None
    if cores is not None:
        server, client = cores
        os.sched_setaffinity(0, {client})
    found: dict[str, dict[str, list[float]]] = {name: {"fastnn": [], "bare": []} for name in CASES}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "models"
        folder.mkdir()
        model_of(1).save(folder / "m.fastnn")
        with served(folder, server, "--log", "errors") as (port, _), bare_served(Path(place), server) as other:
            for turn in range(rounds):
                for name, (how, rows, binary, _) in CASES.items():
                    sides = [("fastnn", port, "/v2/models/m/infer"), ("bare", other, f"/{rows}")]
                    for side, at, path in sides if turn % 2 else sides[::-1]:
                        said = request(path, rows, binary)
                        taken = one_by_one(at, said, times) if how == "one" else many(at, said, seconds)
                        found[name][side].append(taken)
    told = {}
    for name, sides in found.items():
        ratios = [a / b for a, b in zip(sides["fastnn"], sides["bare"], strict=True)]
        told[name] = {
            **{side: statistics.median(each) for side, each in sides.items()},
            "ratio": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)],
            "to reach": CASES[name][3],
        }
    return told


async def asking(port: int, said: bytes, count: int, connections: int, check: Any) -> None:
    """`count` requests on so many connections at once; check: is given each answer's JSON."""

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // connections):
            writer.write(said)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"a lost answer: {head!r}")
            at = head.lower().find(b"content-length:")
            check(await reader.readexactly(int(head[at + 15 : head.find(b"\r\n", at)])))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one(number) for number in range(connections)))


def state_of(process: int) -> dict[str, int]:
    """Memory and open files."""
    status = Path(f"/proc/{process}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0])
    return {"KiB": resident, "files": len(os.listdir(f"/proc/{process}/fd"))}


def replacing(times: int) -> dict[str, Any]:
    """Two models by turns under one name, so many times, while clients ask."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        models = [model_of(seed) for seed in (1, 2)]
        models[0].save(folder / "m.fastnn")
        said = request("/v2/models/m/infer", 1, False)
        x = np.array(json.loads(said.partition(b"\r\n\r\n")[2])["inputs"][0]["data"], np.float32)[None]
        expected = [model.predict(x)[0].tolist() for model in models]
        counts = [0, 0]

        def check(body: bytes) -> None:
            data = np.array(json.loads(body)["outputs"][0]["data"], np.float32)
            which = [np.allclose(data, each, rtol=1e-6, atol=0) for each in expected]
            if sum(which) != 1:
                raise SystemExit(f"a wrong answer: {data}")
            counts[which.index(True)] += 1

        with served(folder, None, "--watch", "0.01", "--log", "events") as (port, process):
            stop = threading.Event()

            def ask() -> None:
                while not stop.is_set():
                    asyncio.run(asking(port, said, 400, 4, check))

            asker = threading.Thread(target=ask)
            asker.start()
            states = []
            for number in range(times):
                models[(number + 1) % 2].save(folder / "m.fastnn")
                time.sleep(0.03)
                if number % max(1, times // 10) == 0:
                    states.append(state_of(process))
            states.append(state_of(process))
            stop.set()
            asker.join()
        return {"replaced": times, "answers of each": counts, "on the way": states}


def soak(requests: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model_of(1).save(folder / "m.fastnn")
        with served(folder, None, "--log", "errors") as (port, process):
            states = []
            said = [request("/v2/models/m/infer", rows, binary) for rows in (1, 40) for binary in (False, True)]
            for number in range(10):
                for each in said:
                    asyncio.run(asking(port, each, requests // 40, 8, len))
                states.append({"requests": (number + 1) * requests // 10, **state_of(process)})
        return {"on the way": states}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="turns of both (11)")
    parser.add_argument("--times", type=int, default=2000, help="requests of a turn (2000)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn of 16 clients (1.5)")
    parser.add_argument("--cores", default="0,1", help="of the server and of the client (0,1); none for any")
    parser.add_argument("--replace", type=int, metavar="N", help="instead: replace a model so often")
    parser.add_argument("--soak", type=int, metavar="N", help="instead: make so many requests")
    parser.add_argument("--json", type=Path, help="write what was found here, too")
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        serve_bare(options.bare)
        return
    if options.replace:
        found = replacing(options.replace)
    elif options.soak:
        found = soak(options.soak)
    else:
        cores = None if options.cores == "none" else tuple(map(int, options.cores.split(",")))
        found = speed(options.rounds, options.times, options.seconds, cores)  # type: ignore[arg-type]
        for name, each in found.items():
            low, high = each["spread"]
            print(
                f"{name:32} fastnn {each['fastnn']:8.1f}  bare {each['bare']:8.1f}  ratio {each['ratio']:.2f} "
                f"({low:.2f} to {high:.2f})  {each['to reach']}"
            )
    if options.replace or options.soak:
        print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
