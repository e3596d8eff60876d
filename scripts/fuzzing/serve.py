"""Odd requests to a server of models: bodies altered in their fields and bytes, odd headers, paths and parts."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import numpy as np

import fastnn
import fastnn.layers as L
from fastnn.models import Model, Sequential
from fuzzing.mutate import NUMBERS, TEXTS
from fuzzing.trial import FAILED, Trial
from support.serving import Answer, asked, binary, infer, tensor

EXPECTED = {200, 400, 404, 405, 408, 413, 415}
PLACES = ["/v2/models/{}/infer", "/v2/models/{}/versions/1/infer", "/v2/models/{}/explain", "/v2/models/{}", "/v2/{}"]
HEADERS = [
    "Inference-Header-Content-Length",
    "Content-Length",
    "X-Request-Id",
    "traceparent",
    "Content-Encoding",
    "Host",
]
VALUES = ["", "0", "1", "-1", "7", "100", "9" * 40, "x", "1.5", "identity", "gzip", "\xe4", "\r\n", "a" * 300]
DATATYPES = ["FP32", "FP64", "FP16", "INT8", "INT64", "UINT64", "BOOL", "BYTES", "BF16", ""]
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


class Serve:
    """A model of numbers and one of columns, asked without a network."""

    name = "serve"

    def prepare(self, folder: str) -> None:
        from fastnn import serve

        self.models = serve.Models()
        for model in (_plain(), _columns()):
            self.models.add(model)
        self.expected = self.models.get("plain").model.predict(ROWS).ravel().tolist()
        self.application = lambda: serve.app(self.models, max_body=1 << 20, timeout=5)

    def play(self, trial: Trial) -> None:
        rng = trial.rng
        name = rng.choice(["plain", "columns"])
        value: Any = infer(tensor(ROWS)) if name == "plain" else _request_of_columns()
        if rng.random() < 0.3:
            value["outputs"] = [{"name": rng.choice(["dense", "out", "x"]), "parameters": {"binary_data": True}}]
        tails: list[bytes] = []
        if rng.random() < 0.4 and name == "plain":
            del value["inputs"][0]["data"]
            value["inputs"][0]["parameters"] = {"binary_data_size": ROWS.nbytes}
            tails = [ROWS.tobytes()]
        for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
            _alter(value, rng)
        body, headers = binary(value, *tails) if tails else (json.dumps(value).encode("utf-8", "replace"), {})
        if rng.random() < 0.3:
            body = _bytes_altered(body, rng)
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            headers[rng.choice(HEADERS)] = rng.choice(VALUES)
        path = rng.choice([*PLACES[:1] * 6, *PLACES]).format(rng.choice([name] * 8 + [*TEXTS[:8], "..", "plain/../x"]))
        method = rng.choice(["POST"] * 9 + ["GET", "PUT", "HEAD", "OPTIONS", "NIX"])
        cut = rng.randrange(len(body) + 1)
        parts = rng.choice([[body], [body], [body[:cut], body[cut:]], [b"", body]])
        application = self.application()
        text = f"{method} {path!r} {headers!r} {body!r:.300}"
        answer = trial.attempt(text, lambda: asyncio.run(asked(application, method, path, parts, headers)))
        if answer is not FAILED:
            _check(trial, answer, method)
        good, place = [json.dumps(infer(tensor(ROWS))).encode()], PLACES[0].format("plain")
        again = trial.must("a good request", lambda: asyncio.run(asked(application, "POST", place, good)))
        if again is not FAILED:
            found = again.json["outputs"][0]["data"] if again.status == 200 else []
            trial.check(found != [] and np.allclose(found, self.expected), f"a good request gives {again!r:.100}")
        application.pool.shutdown()


def _check(trial: Trial, answer: Answer, method: str) -> None:
    trial.check(answer.status in EXPECTED, f"the status is {answer.status}")
    if answer.status >= 400 and method != "HEAD":
        try:
            good = isinstance(answer.json["error"], str) and set(answer.json) == {"error"}
        except ValueError:
            good = False
        trial.check(good, f"an error is not said as it should be, with status {answer.status}")
        trial.check(b"Traceback" not in answer.body, "a traceback is answered")
    if answer.status == 200 and "inference-header-content-length" in answer.headers:
        length = int(answer.headers["inference-header-content-length"])
        outputs = json.loads(answer.body[:length])["outputs"]
        sizes = [each["parameters"]["binary_data_size"] for each in outputs if "data" not in each]
        trial.check(sum(sizes) == len(answer.body) - length, "bytes of outputs are not as many as is said")


def _alter(value: Any, rng: random.Random) -> None:
    """Put something odd somewhere into an object."""
    while True:
        keys: Any = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], (dict, list)) and rng.random() < 0.75:
            value = value[key]
            continue
        way = rng.randrange(5)
        if way == 0 and isinstance(value, dict):
            del value[key]
        elif way == 1 and isinstance(value, list):
            value.insert(key, value[key])
        elif way == 2:
            value[key] = rng.choice(DATATYPES)
        elif way == 3:
            value[key] = rng.choice([None, True, [], {}, [[]], [value[key]], {"name": value[key]}])
        else:
            value[key] = rng.choice([*NUMBERS, *TEXTS])
        return


def _bytes_altered(body: bytes, rng: random.Random) -> bytes:
    way, at = rng.randrange(4), rng.randrange(len(body) + 1)
    if way == 0:
        return body[:at]
    if way == 1:
        return body + bytes(rng.randrange(256) for _ in range(rng.choice([1, 4, 100])))
    if way == 2:
        return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
    return body[:at] + rng.choice([b"[" * 2000, b"\0", b'"', b"}", b"NaN", b"1e999", b"9" * 500]) + body[at:]


def _plain() -> Model:
    fastnn.set_random_seed(1)
    model = Sequential([L.Dense(5, "relu", input_shape=(4,), name="hidden"), L.Dense(2, name="dense")], name="plain")
    model.build()
    return model


def _columns() -> Model:
    colour, size = L.Input((1,), name="colour", dtype="string"), L.Input((1,), name="size")
    code = L.StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")(colour)
    model = Model([colour, size], L.Dense(2, name="out")(L.Concatenate()([code, size])), name="columns")
    model.build()
    return model


def _request_of_columns() -> dict[str, Any]:
    return infer(tensor(["red", "green", ""], [3, 1], "colour", "BYTES"), tensor([1.5, 2, -1], [3], "size"))
