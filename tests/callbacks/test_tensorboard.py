"""TensorBoard: the event files, read again."""

from __future__ import annotations

import builtins
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn.callbacks import TensorBoard
from support.scripted import X, Y, model_of


def events(folder: Path) -> dict[tuple[str, int], float]:
    """(tag, step) -> value of all scalars in a folder's event files; NaN for a histogram."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        at = 0
        while at < len(data):  # length, its checksum, the event, its checksum
            (size,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value if value.HasField("simple_value") else np.nan
            at += 16 + size
    return found


@pytest.fixture(autouse=True)
def _installed(request):
    if "missing" not in request.node.name:
        pytest.importorskip("tensorboardX")


def test_logs_of_epochs(tmp_path):
    model = model_of(metrics=["mae"])
    fit = {"epochs": 3, "verbose": 0, "validation_data": (X, Y), "callbacks": TensorBoard(tmp_path)}
    fitted = model.fit(X, Y, **fit)
    history, rates = fitted.history, {"learning_rate": fitted.learning_rate}
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    expected = {(f"epoch_{n}", e): (history | rates)[n][e] for n in ("loss", "mae", "learning_rate") for e in range(3)}
    assert train == pytest.approx(expected, rel=1e-6)
    for name in ("loss", "mae"):
        for epoch in range(3):
            value = pytest.approx(history[f"val_{name}"][epoch], rel=1e-6)
            assert (
                validation[f"epoch_{name}", epoch] == validation[f"evaluation_{name}_vs_iterations", epoch + 1] == value
            )


@pytest.mark.parametrize(("update_freq", "batches"), [("batch", [1, 2, 3, 4, 5, 6, 7, 8]), (3, [3, 6])])
def test_logs_of_batches(tmp_path, update_freq, batches):
    model_of().fit(X, Y, 5, 2, 0, TensorBoard(tmp_path, update_freq=update_freq))
    found = events(tmp_path / "train")
    assert sorted(step for tag, step in found if tag == "batch_loss") == batches


def test_histograms_and_speed(tmp_path):
    board = TensorBoard(tmp_path, histogram_freq=2, write_steps_per_second=True)
    model_of().fit(X, Y, 5, 4, 0, board)
    found = events(tmp_path / "train")
    assert sorted(entry for entry in found if "histogram" in entry[0]) == [
        (f"weights_{array}/histogram", epoch) for array in range(2) for epoch in (0, 2)
    ]
    assert all(value > 0 for (tag, _), value in found.items() if tag == "epoch_steps_per_second")
    assert not (tmp_path / "validation").exists()


def test_evaluate(tmp_path):
    model = model_of()
    model.fit(X, Y, 5, 1, 0)
    loss = model.evaluate(X, Y, verbose=0, callbacks=TensorBoard(tmp_path))
    assert events(tmp_path / "validation") == pytest.approx({("evaluation_loss_vs_iterations", 4): loss}, rel=1e-6)


@pytest.mark.parametrize("arguments", [{"update_freq": 0}, {"update_freq": "often"}, {"histogram_freq": -1}])
def test_arguments(arguments):
    with pytest.raises((TypeError, ValueError), match="must be"):
        TensorBoard(**arguments)


def test_a_missing_library(monkeypatch):
    original = builtins.__import__

    def refuse(name, *arguments, **named):
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'TensorBoard needs tensorboardX: pip install "fastnn\[tensorboard\]"'):
        TensorBoard()


def test_what_is_asked_of_it_though_missing(monkeypatch):
    """Keras's other arguments are taken where they ask for nothing, and told where they ask for what is not there."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)  # what comes behind the arguments
    nothing = {"write_images": False, "profile_batch": 0, "embeddings_freq": 0, "embeddings_metadata": None}
    for write_graph in (True, False):
        with pytest.raises(ImportError, match="needs tensorboardX"):
            TensorBoard("logs", 1, write_graph, **nothing)
    for asked in (
        {"write_images": True},
        {"profile_batch": 2},
        {"profile_batch": (10, 20)},
        {"embeddings_freq": 1},
        {"embeddings_metadata": "labels.tsv"},
    ):
        with pytest.raises(ValueError, match=rf"TensorBoard: {next(iter(asked))}=.* asks for what is not there"):
            TensorBoard("logs", **asked)
