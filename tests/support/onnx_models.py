"""Models in ONNX Runtime: what an exported one gives beside ``predict``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.exchange import to_onnx


def session_of(proto: Any) -> Any:
    """What runs an onnx.ModelProto, on one thread."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def given_by(proto: Any, *columns: Any) -> list[np.ndarray]:
    """What a graph gives for columns in the order of its inputs; whole numbers as it takes them."""
    session = session_of(proto)
    kinds = {"float": np.float32, "string": object}
    feed = {
        each.name: np.asarray(column).astype(kinds.get(name := each.type[7:-1], name))
        for each, column in zip(session.get_inputs(), columns, strict=True)
    }
    return session.run(None, feed)


def check(model: Any, *columns: Any, tolerance: float = 1e-5) -> Any:
    """The graph of a model, once it has given what `predict` gives. tolerance: of values above 1 a share of them."""
    proto = to_onnx(model)
    found = given_by(proto, *columns)
    takes, gives = model.description.takes, model.description.gives
    expected = gives.unpack(model.predict(takes.pack(list(columns))), "outputs")
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == np.float32
        np.testing.assert_array_less(np.abs(one - other), tolerance * np.maximum(1, np.abs(other)))
    return proto


def weights_changed(model: Any, seed: int = 5) -> Any:
    """The model with weights none of which is 0 or 1 all over."""
    rng = np.random.default_rng(seed)
    model.set_weights([w if w.ndim == 0 else w + 0.3 * rng.random(w.shape) for w in model.get_weights()])
    return model
