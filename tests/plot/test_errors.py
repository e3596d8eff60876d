"""What cannot be drawn: lengths and names that differ, one row, one class, NaN, no epochs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from fastnn import Sequential, plot
from fastnn.callbacks import GradientNorms, History
from fastnn.layers import Dense, Flatten
from support.plots import CURVE, GRID, ICE, MODEL, PIXELS, S3, Y3, S, Sighted, X, Y, model_of

NAN = np.where(np.arange(300) == 7, np.nan, S)
CURVES = (plot.roc_curve, plot.precision_recall_curve, plot.lift_curve, plot.calibration_curve)


def wrong(text: str, kind: type[Exception], call: Any) -> Any:
    return pytest.param(text, kind, call, id=text[:60])


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.__name__)
@pytest.mark.parametrize(
    ("text", "y", "scores"),
    [
        ("all 3 rows are of the class '1'; rows of another are needed too", [1, 1, 1], [0.1, 0.2, 0.3]),
        ("y_true has 300 rows, the scores 299; give both of the same rows", Y, S[:-1]),
        ("must be finite, but row 7 is nan; leave such rows out", Y, NAN),
        ("y_true must be a class for each row, but row 1 is nan", [0, np.nan, 1], [0.1, 0.2, 0.3]),
        ("y_true must be a class for each row, but row 1 is None", ["a", None, "b"], [0.1, 0.2, 0.3]),
        ("y_true must be numbers of classes, got", [0, 0.5, 1], [0.1, 0.2, 0.3]),
        ("y_true must be classes from 0 to 1, got 0 to 2", Y3, S[:200]),
        ("is empty, of the shape", [], []),
        (r"scores must be \(rows,\) or \(rows, classes\), got the shape \(2, 1, 3\)", [0, 1], np.zeros((2, 1, 3))),
        (r"y_true must be a class for each row, got the shape \(300, 1, 1\)", Y[:, None, None], S),
        ("y_true has 2 classes, but there are 3; pass names=, in the order of scores", ["a", "b"] * 100, S3),
        ("y_true must be a class for each row, or one-hot rows", np.ones((300, 2)), S),
    ],
)
def test_curves_of_classes(curve: Any, text: str, y: Any, scores: Any, pyplot: Any) -> None:
    with pytest.raises(ValueError, match=text):
        curve(y, scores)
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.__name__)
def test_names_of_classes(curve: Any) -> None:
    with pytest.raises(ValueError, match="names must have 2 entries, one for each, got 3"):
        curve(Y, S, names=["a", "b", "c"])
    with pytest.raises(
        ValueError, match=r"y_true has the class 'spma' \(did you mean 'spam'\?\), which is not in names"
    ):
        curve(np.array(["ham", "spma"])[Y], S, names=["ham", "spam"])


@pytest.mark.parametrize(
    ("text", "kind", "call"),
    [
        wrong("probabilities must be from 0 to 1", ValueError, lambda: plot.calibration_curve(Y, S * 3)),
        wrong("probabilities must be from 0 to 1", ValueError, lambda: plot.calibration_curve(Y, S - 1)),
        wrong("bins must be at least 1, got 0", ValueError, lambda: plot.calibration_curve(Y, S, bins=0)),
        wrong("normalize must be None, 'true'", ValueError, lambda: plot.confusion_matrix(Y, Y, normalize="rows")),
        wrong("y_true has 300 rows, y_pred 299", ValueError, lambda: plot.confusion_matrix(Y, Y[1:])),
        wrong("y_pred must be finite, but row 7", ValueError, lambda: plot.confusion_matrix(Y, NAN)),
        wrong("y_pred must be finite, but place", ValueError, lambda: plot.confusion_matrix(Y, np.c_[NAN, S])),
        wrong("names must have 3 entries", ValueError, lambda: plot.confusion_matrix(Y3, S3, names=["a"])),
        wrong("y_pred has the class 'x'", ValueError, lambda: plot.confusion_matrix(["a"], ["x"], names=["a"])),
        wrong("y_pred is empty", ValueError, lambda: plot.confusion_matrix([], [])),
        wrong("y_pred must have 120 rows", ValueError, lambda: plot.residuals(X[:, 0], X[1:, 0])),
        wrong("y_true must be one number for each", ValueError, lambda: plot.residuals(X, X)),
        wrong("y_pred must be finite, but row 7", ValueError, lambda: plot.predicted_against_true(Y, NAN)),
        wrong("y_true must be numbers, got", TypeError, lambda: plot.predicted_against_true(["a"], [1])),
        wrong("y_true is empty", ValueError, lambda: plot.residuals([], [])),
        wrong("two rows and two columns at least", ValueError, lambda: plot.correlation(X[:1])),
        wrong("two rows and two columns at least", ValueError, lambda: plot.correlation(X[:, :1])),
        wrong("names must have 4 entries", ValueError, lambda: plot.correlation(X, names=["a"])),
        wrong("vectors must have two rows", ValueError, lambda: plot.embedding(X[:1])),
        wrong("vectors must be finite, but place", ValueError, lambda: plot.embedding([[1, np.nan], [1, 2]])),
        wrong(
            "labels must have a label for each of the 120 rows, got 3", ValueError, lambda: plot.embedding(X, [1, 2, 3])
        ),
        wrong("method must be 'pca' or 'tsne', got 'umap'", ValueError, lambda: plot.embedding(X, method="umap")),
        wrong(
            "has 120 classes, of which 14 at most", ValueError, lambda: plot.embedding(X, [str(k) for k in range(120)])
        ),
        wrong("y has 3 rows, x 120", ValueError, lambda: plot.decision_surface(MODEL, X, [1, 2, 3])),
        wrong("features must be two columns", ValueError, lambda: plot.decision_surface(MODEL, X, features=(1, 1))),
        wrong(
            "features must be at most 3, got 4", ValueError, lambda: plot.decision_surface(MODEL, X, features=(1, 4))
        ),
        wrong("x has no column 'a'", ValueError, lambda: plot.decision_surface(MODEL, X, features=("a", 1))),
        wrong("x must be finite, but place", ValueError, lambda: plot.decision_surface(MODEL, np.full((3, 4), np.nan))),
        wrong("picture must be one row of the model's input", ValueError, lambda: plot.saliency(Sighted(), PIXELS[:5])),
        wrong("scores must be .queries, keys. or", ValueError, lambda: plot.attention_map(np.zeros((2, 1, 3, 3)))),
        wrong("keys must have 3 entries", ValueError, lambda: plot.attention_map(np.zeros((2, 3)), keys="ab")),
        wrong("has no layer 'dens'", ValueError, lambda: plot.weight_heatmap(MODEL, "dens")),
        wrong("layer must be at most 2, got 3", ValueError, lambda: plot.weight_heatmap(MODEL, 3)),
        wrong("expected a model of fastnn, got 3", TypeError, lambda: plot.weight_histograms(3)),
        wrong("has no weights yet", RuntimeError, lambda: plot.weight_histograms(Sequential([Dense(1)]))),
        wrong(
            "has no weights yet", ValueError, lambda: plot.weight_histograms(Sequential([Flatten(input_shape=(3,))]))
        ),
        wrong("needs a compiled model", RuntimeError, lambda: plot.gradient_histograms(plain(), X, Y)),
        wrong("has no kernel", ValueError, lambda: plot.weight_heatmap(Sequential([Flatten(input_shape=(3,))]), 0)),
        wrong("no epochs to plot", ValueError, lambda: plot.history(History())),
        wrong("must be what fit gives, got 3", TypeError, lambda: plot.history(3)),  # type: ignore[arg-type]
        wrong("expected a fastnn.callbacks.GradientNorms", TypeError, lambda: plot.gradient_norms(3)),
        wrong("GradientNorms has no epochs to plot", ValueError, lambda: plot.gradient_norms(GradientNorms(X, Y))),
        wrong("learning_curve: expected .sizes, train_scores", TypeError, lambda: plot.learning_curve(CURVE[1:])),
        wrong("validation_curve: expected .train_scores", TypeError, lambda: plot.validation_curve(CURVE, [1, 2, 3])),
        wrong("must have 2 rows", ValueError, lambda: plot.validation_curve(CURVE[1:], [1, 2])),
        wrong("pass average, individual, or both", ValueError, lambda: plot.partial_dependence(GRID)),
        wrong("individual must be .rows, 20.", ValueError, lambda: plot.partial_dependence(GRID, None, ICE[:, 1:])),
        wrong("average must have 20 rows", ValueError, lambda: plot.partial_dependence(GRID, [1.0, 2.0])),
        wrong("expected what fastnn.model_selection.search", TypeError, lambda: plot.search_results({})),
    ],
)
def test_errors(text: str, kind: type[Exception], call: Any, pyplot: Any) -> None:
    with pytest.raises(kind, match=text):
        call()
    assert not pyplot.get_fignums()


def plain() -> Sequential:
    return Sequential([Dense(1, input_dim=4)])


def test_a_name_that_is_nearly_an_argument() -> None:
    with pytest.raises(
        TypeError, match=r"roc_curve\(\) got an unexpected keyword argument 'name' \(did you mean 'names'\?\)"
    ):
        plot.roc_curve(Y, S, name=["a"])  # type: ignore[call-arg]


def test_a_history_lacks_a_figure() -> None:
    history = History()
    history.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(ValueError, match="the history has no 'los'"):
        plot.history(history, "los")


def test_t_sne_needs_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[sklearn\]"'):
        plot.embedding(X, method="tsne")


def test_numbers_that_are_infinite_are_left_out_of_histograms() -> None:
    model = model_of(2, 1)
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    plot.weight_histograms(model)
    model.set_weights([np.full_like(each, np.nan) for each in weights])
    with pytest.raises(ValueError, match="nothing finite to draw"):
        plot.weight_histograms(model)


def test_a_number_beyond_float64() -> None:
    with pytest.raises(TypeError, match="vectors must be numbers, got"):
        plot.embedding([[10**400, 1], [2, 3]])
