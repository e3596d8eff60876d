"""Models that scikit-learn's and PyTorch's exporters write, as fastnn reads them, beside ONNX Runtime."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest

from fastnn.exchange import from_onnx
from support.onnx_text import check, rows_for, runtime

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ROWS = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
CLASS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int) + (ROWS[:, 2] > 0.5)


# scikit-learn.


def exported(estimator: Any, zipmap: bool = False) -> Any:
    skl2onnx = pytest.importorskip("skl2onnx")
    options = {"zipmap": zipmap} if hasattr(estimator, "predict_proba") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skl2onnx.to_onnx(estimator, ROWS[:1], options=options)


def fitted(estimator: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        return estimator.fit(ROWS, y)


@pytest.mark.parametrize("names", [[0, 1], [0, 1, 2], ["no", "yes", "perhaps"]])
@pytest.mark.parametrize("zipmap", [False, True])
def test_classifier(names: list[Any], zipmap: bool) -> None:
    neural = pytest.importorskip("sklearn.neural_network")
    y = np.array(names)[CLASS % len(names)]
    estimator = fitted(neural.MLPClassifier((7, 4), "tanh" if zipmap else "relu", max_iter=20), y)
    with pytest.warns(UserWarning, match="left out '(output_)?label'"):
        model = from_onnx(exported(estimator, zipmap))
    np.testing.assert_allclose(model.predict(ROWS, verbose=0), estimator.predict_proba(ROWS), atol=1e-5)
    assert model.description.notes["classes"] == estimator.classes_.tolist()


@pytest.mark.parametrize("name", ["StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer"])
def test_pipeline_of_a_scaler(name: str) -> None:
    neural = pytest.importorskip("sklearn.neural_network")
    preprocessing, pipeline = pytest.importorskip("sklearn.preprocessing"), pytest.importorskip("sklearn.pipeline")
    regressor = neural.MLPRegressor(hidden_layer_sizes=(8,), activation="logistic", max_iter=20)
    made = pipeline.make_pipeline(getattr(preprocessing, name)(), regressor)
    model = check(exported(fitted(made, ROWS[:, 0])))
    np.testing.assert_allclose(model.predict(ROWS, verbose=0)[:, 0], made.predict(ROWS), atol=1e-5)


def test_regressor_of_several_targets() -> None:
    neural = pytest.importorskip("sklearn.neural_network")
    estimator = fitted(neural.MLPRegressor(hidden_layer_sizes=(8,), max_iter=20), ROWS[:, :2])
    model = from_onnx(exported(estimator))  # whose graph has (rows * 2, 1)
    np.testing.assert_allclose(model.predict(ROWS, verbose=0).reshape(-1, 2), estimator.predict(ROWS), atol=1e-5)


# PyTorch.


def networks() -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Name: the module, and the shape of a batch."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Steps(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, kind: str, both: bool, last: bool) -> None:
            super().__init__()
            self.inner = getattr(nn, kind)(5, 7, num_layers=2, bidirectional=both, batch_first=True)
            self.out, self.last = nn.Linear(7 * (1 + both), 3), last

        def forward(self, x: Any) -> Any:
            every, state = self.inner(x)
            state = state[0] if isinstance(state, tuple) else state
            return self.out(state[-1] if self.last else every)

    class Residual(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
            self.two, self.pool = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.MaxPool2d(3, 2, 1)
            self.out = nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.pool(torch.relu(self.norm(self.one(x))))
            x = torch.nn.functional.leaky_relu(x + self.two(x))
            return torch.log_softmax(self.out(x.mean((2, 3))), 1)

    class Words(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(20, 8), nn.Parameter(torch.randn(6, 8))
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
            self.encoder, self.out = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            return self.out(self.encoder(self.words(x) + self.places).mean(1))

    made = {
        "mlp": (
            nn.Sequential(
                nn.Linear(6, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8),
                nn.Dropout(), nn.Linear(8, 4), nn.PReLU(), nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 8), nn.Mish(),
                nn.Linear(8, 4), nn.ELU(), nn.Linear(4, 3), nn.Softmax(-1),
            ),
            (4, 6),
        ),
        "cnn": (
            nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3),
                nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 10),
            ),
            (4, 1, 12, 12),
        ),
        "residual": (Residual(), (2, 3, 32, 32)),
        "conv1d": (
            nn.Sequential(nn.Conv1d(3, 4, 3, dilation=2), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
            (4, 3, 20),
        ),
        "transposed": (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), (2, 3, 5, 5)),
        "lstm": (Steps("LSTM", True, False), (4, 9, 5)),
        "lstm, last": (Steps("LSTM", False, True), (4, 9, 5)),
        "gru": (Steps("GRU", True, False), (4, 9, 5)),
        "rnn": (Steps("RNN", False, False), (4, 9, 5)),
        "words": (Words(), (3, 6)),
        "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (3, 6, 8)),
    }  # fmt: skip
    for module, _ in made.values():
        for buffer in module.buffers():
            if buffer.dtype.is_floating_point:
                buffer.uniform_(0.5, 1.5)
    return made


def written(name: str, dynamo: bool, opset: int, fixed: bool = False) -> Any:
    """The model that PyTorch writes of one of the networks; fixed: the number of rows too."""
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    module, shape = networks()[name]
    x = torch.randint(0, 20, shape) if name == "words" else torch.randn(*shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = None if fixed else ({0: torch.export.Dim("rows")},)
            program = torch.onnx.export(
                module.eval(), (x,), dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False
            )
            return program.model_proto
        file = io.BytesIO()
        axes = None if fixed else {"x": {0: "rows"}}
        torch.onnx.export(
            module.eval(), (x,), file, dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes=axes
        )
        return onnx.load_from_string(file.getvalue())


SCRIPT = ["mlp", "cnn", "residual", "conv1d", "transposed", "lstm", "lstm, last", "gru", "rnn", "words"]


@pytest.mark.parametrize("name", SCRIPT)
@pytest.mark.parametrize("fixed", [False, True], ids=["any rows", "fixed rows"])
def test_torchscript(name: str, fixed: bool) -> None:
    model = check(written(name, False, 17, fixed))
    kinds = [type(layer).__name__ for layer in model.layers]
    if name == "words":  # in place of softmax and two products
        assert kinds.count("Attention") == 2
    if name == "cnn":
        assert "Permute" not in kinds  # the kernel of the last layer is turned instead


def test_torchscript_of_opset_13() -> None:
    for name in ("mlp", "cnn", "lstm"):
        check(written(name, False, 13))


@pytest.mark.parametrize(("name", "opset"), [("mlp", 20), ("cnn", 18), ("lstm", 18), ("encoder", 20)])
def test_dynamo(name: str, opset: int) -> None:
    proto = written(name, True, opset)
    model = check(proto)
    if name == "encoder":
        assert "Attention" in {type(layer).__name__ for layer in model.layers}
    np.testing.assert_array_equal(  # in whatever number rows come
        model.predict(next(iter(rows_for(proto, 3).values())), verbose=0).shape,
        runtime(proto, rows_for(proto, 3))[0].shape,
    )
