"""Damaged model and weights files."""

from __future__ import annotations

import lzma
import os
import random
from typing import Any
from unittest.mock import patch

import numpy as np

from fastnn.models import Model, load_model
from fastnn.store import model_file, packing
from fuzzing import models
from fuzzing.judge import ROOT
from fuzzing.mutate import altered
from fuzzing.trial import FAILED, Trial

CODED = ("deep", "several", "shared")  # whose weights are saved by codebooks too


def _coded(model: Model) -> bytes:
    """The file within a compressed one, which `altered` can take apart."""
    for layer in model.layers:
        layer.set_weights([np.resize([0, 0, 0, 1.5, -2], w.shape) for w in layer.get_weights()])
    with patch("fastnn.store.codebooks.LEAST", 1):
        return lzma.decompress(model_file.packed(model, {"bits": 4}))


def _packed(content: bytes, rng: random.Random, trial: Trial) -> bytes:
    """It compressed, with a byte changed or the end cut off at times."""
    method, harm = rng.choice(["xz", "zlib"]), rng.choice(["none", "none", "byte", "cut"])
    trial.note(f"compressed by {method}; harm: {harm}")
    content = packing.packed(content, method, rng.random() < 0.5)
    at = rng.randrange(len(content))
    if harm == "byte":
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    return content[:at] if harm == "cut" else content


class Files:
    """Model files of every layer and every unit, weights, and files of older versions, each with some changes."""

    name = "files"

    def prepare(self, folder: str) -> None:
        os.makedirs(folder)
        self.files: dict[str, bytes] = {}
        for title, make in models.made().items():
            model = make()
            self.files[title] = models.file_of(model, folder, train=not title.startswith(("loss", "metric")))
        for sample in sorted((ROOT / "tests/store/samples").glob("*.fastnn")):
            self.files[sample.name] = sample.read_bytes()
        for title in CODED:
            self.files[f"coded {title}"] = _coded(models.made()[title]())
        self.titles, self.all = sorted(self.files), [self.files[title] for title in sorted(self.files)]
        self.weights = {"deep": models.made()["deep"](), "several": models.made()["several"]()}

    def play(self, trial: Trial) -> None:
        rng = trial.rng
        title = rng.choice(self.titles)
        content, notes = altered(self.files[title], self.all, rng)
        trial.note(f"the file of {title}, altered: {'; '.join(notes)}")
        if rng.random() < 0.1:
            content = _packed(content, rng, trial)
        path = trial.path("altered.fastnn")
        with open(path, "wb") as file:
            file.write(content)
        if rng.random() < 0.1:
            self._load_weights(trial, path)
        trial.note("load_model")
        try:
            model = load_model(path)
        except BaseException as error:
            trial.take(error)
            trial.check(
                isinstance(error, MemoryError) or path in str(error), f"{type(error).__name__} does not name the file"
            )
            return
        _use(trial, model)

    def _load_weights(self, trial: Trial, path: str) -> None:
        model = self.weights[trial.rng.choice(sorted(self.weights))]
        before = model.get_weights()
        if trial.attempt("load_weights", model.load_weights, path) is FAILED:
            same = all(map(np.array_equal, before, model.get_weights()))
            trial.check(same, "load_weights failed and changed the weights")
        model.set_weights(before)


def _use(trial: Trial, model: Model) -> None:
    """What a user does with a model that was loaded; a file of it can be loaded again and says the same."""
    x = trial.attempt("rows", models.rows, model)
    if x is None or x is FAILED:
        return
    first = trial.attempt("predict", model.predict, x, verbose=0)
    again, path = trial.path("again.fastnn"), trial.path("fitted.fastnn")
    if trial.attempt("save", model.save, again) is not FAILED:
        loaded = trial.must("load_model of what was saved", load_model, again)
        if loaded is not FAILED and first is not FAILED:
            second = trial.must("predict", loaded.predict, x, verbose=0)
            trial.check(_same(first, second), "a model that was saved and loaded predicts something else")
    if model.optimizer is None and trial.attempt("compile", model.compile, "sgd", "mse") is FAILED:
        return
    y = models.targets(model)
    if y is not None and trial.attempt("fit", model.fit, x, y, verbose=0) is not FAILED:
        trial.must("predict", model.predict, x, verbose=0)
        if trial.attempt("save", model.save, path) is not FAILED:
            trial.must("load_model of what was fitted", load_model, path)
    trial.attempt("summary", model.summary, print_fn=len)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=True)
