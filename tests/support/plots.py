"""One picture of every function of fastnn.plot, of fixed numbers and weights, and pictures as arrays without texts."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from fastnn import Sequential, plot
from fastnn.callbacks import GradientNorms, History
from fastnn.layers import Dense
from fastnn.model_selection.searching import Search

RNG = np.random.default_rng(7)
Y = RNG.integers(0, 2, 300)
S = 1 / (1 + np.exp(-(RNG.normal(size=300) + 2 * Y - 1)))  # scores of the second class
Y3 = RNG.integers(0, 3, 200)
S3 = np.exp(RNG.normal(size=(200, 3)) + 2 * np.eye(3)[Y3])
S3 /= S3.sum(axis=1, keepdims=True)
X = RNG.normal(size=(120, 4)) @ np.array([[2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, -0.7], [0, 0, 0, 0.5]])
GROUP = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
ATTENTION = np.exp(RNG.normal(size=(2, 5, 4)))
ATTENTION /= ATTENTION.sum(axis=-1, keepdims=True)
CURVE = (
    np.array([10, 100, 1000]),
    np.array([[0.2, 0.3, 0.1], [0.4, 0.5, 0.6], [0.5, 0.6, 0.6]]),
    np.array([[2.0, 1.8, 1.6], [1.0, 1.2, 0.9], [0.7, 0.8, 0.6]]),
)
GRID = np.linspace(-2, 2, 20)
ICE = np.sin(GRID) + RNG.normal(size=(12, 1))


def model_of(*units: int, activation: str = "relu", last: str = "linear", inputs: int = 4) -> Sequential:
    """A compiled model whose weights hang on nothing but their shapes."""
    model = Sequential([*(Dense(n, activation) for n in units[:-1]), Dense(units[-1], last)])
    model.build((None, inputs))
    weights = [np.sin(1.7 * np.arange(w.size) + len(w)).reshape(w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    model.compile("sgd", "mse")
    return model


def history_of() -> History:
    history = History()
    for epoch in range(6):
        history.on_epoch_end(epoch, {"loss": 0.5**epoch, "val_loss": 0.1 + 0.6**epoch, "mae": 1 - 0.1 * epoch})
    return history


def norms_of() -> GradientNorms:
    norms = GradientNorms(X, Y)
    norms.epoch = list(range(5))
    norms.norms = {name: [10.0 ** (place - 0.3 * epoch) for epoch in range(5)] for place, name in enumerate("abc")}
    return norms


def search_of() -> Search:
    params = [{"units": u, "activation": a} for u in (2, 16, 128) for a in ("relu", "tanh")]
    means = np.array([1.0, 0.8, 0.5, 0.3, 0.6, 0.9])
    columns = {f"param_{name}": [each[name] for each in params] for name in ("units", "activation")}
    ranks = np.argsort(np.argsort(means)) + 1
    columns |= {"mean_test_loss": means, "std_test_loss": means / 10, "rank_test": ranks}
    return Search({"params": params, **columns}, "loss")


class Sighted:
    """What saliency asks of a model: the slope of output k is k times the pixels' places."""

    input_shape = (None, 6, 6, 3)

    def predict(self, x: Any) -> Any:
        return np.array([[0.1, 0.2, 0.7]])

    def input_gradient(self, x: Any, *, output: int) -> Any:
        return output * np.arange(x.size, dtype=float).reshape(x.shape) * [1, -1, 0.5]


PIXELS = np.linspace(0, 1, 108).reshape(6, 6, 3)
MODEL = model_of(6, 5, 1)
CASES: dict[str, Callable[[Any], Any]] = {
    "activation_histograms": lambda ax: plot.activation_histograms(MODEL, X, ax=ax),
    "attention_map": lambda ax: plot.attention_map(ATTENTION[0], queries="abcde", keys="wxyz", ax=ax),
    "calibration_curve": lambda ax: plot.calibration_curve(Y, S, ax=ax),
    "confusion_matrix": lambda ax: plot.confusion_matrix(Y3, S3, names=["ape", "bee", "cow"], ax=ax),
    "correlation": lambda ax: plot.correlation(X, names=["a", "b", "c", "d"], ax=ax),
    "decision_surface": lambda ax: plot.decision_surface(model_of(8, 3, last="softmax"), X, GROUP, ax=ax),
    "decision_surface_2": lambda ax: plot.decision_surface(model_of(8, 1, last="sigmoid"), X, X[:, 0] > 0, ax=ax),
    "decision_surface_1": lambda ax: plot.decision_surface(MODEL, X, X[:, 2] * 3, (2, 3), ax=ax),
    "embedding": lambda ax: plot.embedding(X, GROUP, names=["ape", "bee", "cow"], ax=ax),
    "gradient_histograms": lambda ax: plot.gradient_histograms(MODEL, X, X[:, 0], ax=ax),
    "gradient_norms": lambda ax: plot.gradient_norms(norms_of(), ax=ax),
    "history": lambda ax: plot.history(history_of(), ax=ax),
    "learning_curve": lambda ax: plot.learning_curve(CURVE, ax=ax),
    "lift_curve": lambda ax: plot.lift_curve(Y, S, ax=ax),
    "partial_dependence": lambda ax: plot.partial_dependence(GRID, individual=ICE, feature="length (mm)", ax=ax),
    "precision_recall_curve": lambda ax: plot.precision_recall_curve(Y3, S3, ax=ax),
    "predicted_against_true": lambda ax: plot.predicted_against_true(
        X[:, 0], X[:, 0] + X[:, 3], name="mass", unit="kg", ax=ax
    ),
    "residuals": lambda ax: plot.residuals(X[:, 0], X[:, 0] + X[:, 3], name="mass", unit="kg", ax=ax),
    "roc_curve": lambda ax: plot.roc_curve(Y3, S3, names=["ape", "bee", "cow"], ax=ax),
    "validation_curve": lambda ax: plot.validation_curve(CURVE[1:], ["a", "b", "c"], param_name="kind", ax=ax),
    "weight_heatmap": lambda ax: plot.weight_heatmap(MODEL, 0, ax=ax),
    "weight_histograms": lambda ax: plot.weight_histograms(MODEL, ax=ax),
}
SEVERAL: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "saliency": (2, lambda ax: plot.saliency(Sighted(), PIXELS, ax=ax)),
    "attention_map_heads": (2, lambda ax: plot.attention_map(ATTENTION, ax=ax)),
    "search_results": (2, lambda ax: plot.search_results(search_of(), ax=ax)),
}


def pixels_of(figure: Any) -> Any:
    """A figure as (height, width, 3) at 100 dpi, without its texts, as fonts differ."""
    from matplotlib.text import Text
    from PIL import Image

    for text in figure.findobj(Text):
        text.set_visible(False)
    buffer = BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"), float)
