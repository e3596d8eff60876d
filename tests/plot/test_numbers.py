"""What the pictures hold: beside scikit-learn's displays, pandas, and formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import Input, Model, Sequential, plot
from fastnn.layers import Add, Dense, Flatten
from support.plots import (
    ATTENTION,
    CURVE,
    GRID,
    GROUP,
    ICE,
    MODEL,
    PIXELS,
    RNG,
    S3,
    Y3,
    S,
    Sighted,
    X,
    Y,
    history_of,
    model_of,
    norms_of,
    search_of,
)

TIED = np.round(S, 1)  # scores that many rows have


@pytest.fixture
def metrics() -> Any:
    return pytest.importorskip("sklearn.metrics", reason="scikit-learn is the truth: pip install scikit-learn")


def curves(ax: Any) -> list[Any]:
    return [line.get_xydata() for line in ax.lines if not line.get_label().startswith("_")]


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


# Classes.


@pytest.mark.parametrize("scores", [S, TIED, TIED[:, None], np.c_[1 - TIED, TIED]])
def test_roc_of_two_classes(metrics: Any, scores: Any) -> None:
    ax = plot.roc_curve(Y, scores)
    column = np.reshape(scores, (len(Y), -1))[:, -1]
    display = metrics.RocCurveDisplay.from_predictions(Y, column, drop_intermediate=False)
    [curve] = curves(ax)
    np.testing.assert_allclose(
        curve, display.line_.get_xydata() if hasattr(display, "line_") else np.c_[display.fpr, display.tpr]
    )
    assert legend(ax) == [f"AUC {metrics.roc_auc_score(Y, column):.3f}"]


def test_roc_of_several_classes(metrics: Any) -> None:
    ax = plot.roc_curve(np.eye(3)[Y3], S3, names=["ape", "bee", "cow"])
    for place, (curve, name) in enumerate(zip(curves(ax), ["ape", "bee", "cow"], strict=True)):
        fpr, tpr, _ = metrics.roc_curve(place == Y3, S3[:, place], drop_intermediate=False)
        np.testing.assert_allclose(curve, np.c_[fpr, tpr])
        assert legend(ax)[place] == f"{name}: AUC {metrics.roc_auc_score(place == Y3, S3[:, place]):.3f}"


@pytest.mark.parametrize("scores", [S, TIED])
def test_precision_and_recall(metrics: Any, scores: Any) -> None:
    ax = plot.precision_recall_curve(Y, scores)
    display = metrics.PrecisionRecallDisplay.from_predictions(Y, scores)
    recall = np.ravel(display.recall)[::-1]
    precision = np.ravel(display.precision)[::-1]
    [curve] = curves(ax)
    np.testing.assert_allclose(curve, np.c_[recall, precision])
    assert legend(ax) == [f"AP {metrics.average_precision_score(Y, scores):.3f}"]
    assert ax.lines[-1].get_ydata()[0] == Y.mean()  # what chance has
    assert ax.lines[0].get_drawstyle() == "steps-pre"


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_calibration(bins: int) -> None:
    calibration = pytest.importorskip(
        "sklearn.calibration", reason="scikit-learn is the truth: pip install scikit-learn"
    )
    scores = np.r_[S, TIED, 0, 1]  # of which many lie on an edge of two bins
    labels = np.r_[Y, Y, 0, 1]
    display = calibration.CalibrationDisplay.from_predictions(labels, scores, n_bins=bins)
    line = plot.calibration_curve(labels, scores, bins=bins).lines[-1]
    np.testing.assert_allclose(line.get_xydata(), np.c_[np.ravel(display.prob_pred), np.ravel(display.prob_true)])
    several = plot.calibration_curve(Y3, S3, bins=bins)
    assert legend(several) == ["0", "1", "2"]
    true, said = calibration.calibration_curve(Y3 == 2, S3[:, 2], n_bins=bins)
    np.testing.assert_allclose(several.lines[-1].get_xydata(), np.c_[said, true])


@pytest.mark.parametrize("scores", [S, TIED])
def test_gains(scores: Any) -> None:
    ax = plot.lift_curve(Y, scores)
    [curve] = curves(ax)
    for threshold, (share, found) in zip(sorted(set(scores), reverse=True), curve[1:], strict=True):
        taken = scores >= threshold
        assert share == pytest.approx(taken.mean())
        assert found == pytest.approx(Y[taken].sum() / Y.sum())
    np.testing.assert_array_equal(curve[[0, -1]], [[0, 0], [1, 1]])
    perfect = plot.lift_curve(np.arange(100) >= 90, np.arange(100.0))
    assert legend(perfect) == ["lift 10.0 at 10 %"]


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
@pytest.mark.parametrize("taken", [S3, S3.argmax(axis=1), np.eye(3)[S3.argmax(axis=1)]])
def test_confusion(metrics: Any, normalize: Any, taken: Any) -> None:
    ax = plot.confusion_matrix(Y3, taken, normalize=normalize)
    guess = S3.argmax(axis=1)
    display = metrics.ConfusionMatrixDisplay.from_predictions(Y3, guess, normalize=normalize)
    np.testing.assert_allclose(ax.images[0].get_array(), display.confusion_matrix)
    assert ax.get_title().splitlines()[0] == f"{(guess == Y3).mean():.1%} of {len(Y3)} rows are right"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    texts = [float(text.get_text()) for text in ax.texts]
    np.testing.assert_allclose(texts, display.confusion_matrix.ravel(), atol=0.0051)


@pytest.mark.parametrize(
    ("true", "taken", "names", "matrix", "told"),
    [
        (["b", "a", "b"], ["b", "b", "b"], None, [[0, 1], [0, 2]], ["a", "b"]),
        (["b", "a", "b"], ["b", "b", "b"], ["b", "a"], [[2, 0], [1, 0]], ["b", "a"]),
        (
            np.array(["b", "a", "b"], object),
            [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2]],
            ["a", "b"],
            [[1, 0], [1, 1]],
            ["a", "b"],
        ),
        ([1, 0, 1, 0], [[0.9], [0.2], [0.5], [0.7]], None, [[1, 1], [1, 1]], ["0", "1"]),
        ([1, -1, 1], [-1, -1, -1], None, [[1, 0], [2, 0]], ["-1", "1"]),
        ([3, 1], [3.0, 1.0], None, np.diag([0, 1, 0, 1]), ["0", "1", "2", "3"]),
        ([True, False], [True, True], ["no", "yes"], [[0, 1], [0, 1]], ["no", "yes"]),
        ([2], [2], ["a", "b", "c"], np.diag([0, 0, 1]), ["a", "b", "c"]),
    ],
)
def test_classes_in_every_form(true: Any, taken: Any, names: Any, matrix: Any, told: list[str]) -> None:
    ax = plot.confusion_matrix(true, taken, names=names)
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix)
    assert [text.get_text() for text in ax.get_yticklabels()] == told


def test_many_classes_have_colours_alone() -> None:
    many = np.arange(40)
    ax = plot.confusion_matrix(many, many)
    assert not ax.texts
    assert len(ax.get_xticks()) == 20
    assert [each.get_ylabel() for each in ax.figure.axes] == ["true class", "rows"]


def test_a_class_without_rows_has_no_curve() -> None:
    scores = np.c_[S, 1 - S, S / 2]
    ax = plot.roc_curve(Y, scores)
    assert [text.partition(":")[0] for text in legend(ax)] == ["0", "1"]


# Data.


def test_predictions(metrics: Any) -> None:
    truth, guess = X[:, 0], X[:, 0] + X[:, 3]
    ax = plot.predicted_against_true(truth, guess[:, None], name="mass", unit="kg")
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.c_[truth, guess])
    score, off = metrics.r2_score(truth, guess), metrics.mean_absolute_error(truth, guess)
    assert ax.get_title() == f"R² {score:.3f}, off by {off:.3g} kg on average"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true mass (kg)", "predicted mass (kg)")
    ax = plot.residuals(truth, guess)
    display = metrics.PredictionErrorDisplay.from_predictions(truth, guess, subsample=None)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), display.scatter_.get_offsets())
    assert ax.get_title() == f"residuals: {np.mean(truth - guess):.2g} ± {np.std(truth - guess):.2g}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted value", "true - predicted")


def test_one_row_has_no_variance() -> None:
    assert plot.predicted_against_true([1.0], [3.0]).get_title() == "off by 2 on average"


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_correlation(scale: float) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is the truth: pip install pandas")
    table = X.copy() * scale + scale * 1000
    table[::7, 0] = table[3::5, 2] = np.nan
    frame = pandas.DataFrame(table, columns=list("abcd"))
    frame["text"] = "x"
    ax = plot.correlation(frame)
    np.testing.assert_allclose(ax.images[0].get_array(), frame.drop(columns="text").corr(), atol=1e-9)
    assert [text.get_text() for text in ax.get_xticklabels()] == list("abcd")
    assert ax.texts[1].get_text() == f"{frame.a.corr(frame.b):.2f}".replace("0.", ".")
    assert ax.images[0].get_clim() == (-1, 1)


def test_a_column_that_does_not_change_has_no_correlation() -> None:
    found = plot.correlation(np.c_[X, np.full(len(X), 0.1)]).images[0].get_array()
    assert np.ma.getmaskarray(found).tolist() == [[4 in (row, column) for column in range(5)] for row in range(5)]


def test_principal_components() -> None:
    ax = plot.embedding(X, GROUP)
    covariance = np.cov(X.T)
    values, vectors = np.linalg.eigh(covariance)
    vectors = vectors[:, [-1, -2]]
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), [0, 1]])
    points = (X - X.mean(0)) @ vectors
    for group, drawn in enumerate(ax.collections):
        np.testing.assert_allclose(drawn.get_offsets(), points[group == GROUP], atol=1e-9)
    shares = values[[-1, -2]] / values.sum()
    assert ax.get_xlabel() == f"component 1 ({shares[0]:.0%} of variance)"
    assert ax.get_ylabel() == f"component 2 ({shares[1]:.0%} of variance)"
    assert legend(ax) == ["0", "1", "2"]


def test_labels_of_an_embedding() -> None:
    assert legend(plot.embedding(X, np.array(["ape", "bee", "cow"])[GROUP])) == ["ape", "bee", "cow"]
    assert legend(plot.embedding(X, GROUP == 1)) == ["0", "1"]
    assert legend(plot.embedding(X, GROUP - 1)) == ["-1", "0", "1"]
    numbers = plot.embedding(X, X[:, 1])
    assert numbers.get_legend() is None
    np.testing.assert_allclose(numbers.collections[0].get_array(), X[:, 1])
    assert len(plot.embedding(X).collections) == 1
    assert plot.embedding(np.ones((3, 2))).get_xlabel() == "component 1 (0% of variance)"


def test_t_sne() -> None:
    pytest.importorskip("sklearn", reason="t-SNE is scikit-learn's: pip install scikit-learn")
    far = np.r_[RNG.normal(size=(15, 3)), RNG.normal(size=(15, 3)) + 50]
    drawn = [plot.embedding(far, np.arange(30) // 15, method="tsne", random_state=0) for _ in range(2)]
    first, second = ([np.asarray(each.get_offsets()) for each in ax.collections] for ax in drawn)
    np.testing.assert_array_equal(first, second)
    within = max(np.linalg.norm(group - group.mean(0), axis=1).max() for group in first)
    assert np.linalg.norm(first[0].mean(0) - first[1].mean(0)) > within


# Models.


@pytest.mark.parametrize(("units", "last"), [(3, "softmax"), (1, "sigmoid"), (2, "softmax")])
def test_a_surface_is_what_the_model_predicts(units: int, last: str) -> None:
    model = model_of(8, units, last=last, inputs=2)
    table, y = X[:, :2], GROUP if units == 3 else GROUP > 0
    mesh = plot.decision_surface(model, table, y).collections[0]
    found = np.asarray(mesh.get_array()).reshape(100, 100)
    corners = mesh.get_coordinates()
    across, up = ((corners[0, :-1, 0] + corners[0, 1:, 0]) / 2, (corners[:-1, 0, 1] + corners[1:, 0, 1]) / 2)
    assert across.min() < table[:, 0].min() < table[:, 0].max() < across.max()
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    expected = model.predict(grid).argmax(axis=1) if units == 3 else model.predict(grid)[:, -1]
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-5)


def test_the_surface_beside_scikit_learns() -> None:
    inspection = pytest.importorskip("sklearn.inspection", reason="scikit-learn is the truth: pip install scikit-learn")
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the truth: pip install scikit-learn")
    table = np.r_[[[-1.0, -1.0], [1.0, 1.0]], RNG.uniform(-1, 1, (60, 2))]  # both as wide, so that margins are alike
    y = (table @ [1, 2] > 0.3).astype(int)
    model = linear.LogisticRegression().fit(table, y)
    ours = plot.decision_surface(model, table, y).collections[0].get_array()
    theirs = inspection.DecisionBoundaryDisplay.from_estimator(
        model, table, eps=0.1, response_method="predict_proba", class_of_interest=1
    )
    np.testing.assert_allclose(np.ravel(ours), np.ravel(theirs.response), atol=1e-9)


def test_other_features_are_at_their_medians() -> None:
    pandas = pytest.importorskip("pandas", reason="a frame has names: pip install pandas")
    seen: list[Any] = []

    class Noted:
        def predict(self, x: Any) -> Any:
            seen.append(x)
            return np.asarray(x)[:, :1]

    frame = pandas.DataFrame(X, columns=list("abcd"))
    ax = plot.decision_surface(Noted(), frame, X[:, 0], features=("d", "b"))
    [given] = seen
    assert list(given.columns) == list("abcd")
    assert len(given) == 100 * 100
    assert given["a"].unique().tolist() == [np.median(X[:, 0])]
    assert given["c"].unique().tolist() == [np.median(X[:, 2])]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("d", "b")
    assert given["d"].min() < X[:, 3].min()


def test_a_surface_of_classes_as_texts() -> None:
    model = model_of(8, 3, last="softmax")
    ax = plot.decision_surface(model, X, np.array(["ape", "bee", "cow"])[GROUP])
    assert legend(ax) == ["ape", "bee", "cow"]
    assert sum(len(each.get_offsets()) for each in ax.collections[1:]) == len(X)
    assert plot.decision_surface(model, X).get_legend() is None


def test_a_heat_map_of_weights() -> None:
    for layer in (1, "dense_1", MODEL.layers[1], 2 - 1):
        name = MODEL.layers[1].name
        ax = plot.weight_heatmap(MODEL, name if layer == "dense_1" else layer)
        image = ax.images[0]
        np.testing.assert_allclose(image.get_array(), MODEL.layers[1].get_weights()[0])
        low, high = image.get_clim()
        assert -low == high == np.abs(MODEL.layers[1].get_weights()[0]).max()
        assert ax.get_title() == f"weights of {name}"


def ridges(ax: Any) -> dict[str, Any]:
    """The counts of each line's histogram, as shares of its largest, by name; and the edges."""
    names = [text.get_text() for text in ax.get_yticklabels()]
    found = {}
    for name, tick, patch in zip(names, ax.get_yticks(), ax.patches, strict=True):
        values, edges, baseline = patch.get_data()
        assert baseline == tick
        found[name] = (values - tick) / 0.85, edges
    return found


def check_ridges(ax: Any, expected: list[Any]) -> None:
    for (shares, edges), values in zip(ridges(ax).values(), expected, strict=True):
        ends = np.array(
            [np.quantile(each, [0.005, 0.995]) for each in expected]
        )  # what lies beyond is in the last bins
        np.testing.assert_allclose((edges[0], edges[-1]), (ends[:, 0].min(), ends[:, 1].max()))
        counts, _ = np.histogram(np.ravel(values), edges)
        counts[[0, -1]] += np.sum(np.less(values, edges[0])), np.sum(np.greater(values, edges[-1]))
        np.testing.assert_allclose(shares, counts / counts.max())


def test_histograms_of_weights() -> None:
    ax = plot.weight_histograms(MODEL)
    assert list(ridges(ax)) == [layer.name for layer in MODEL.layers]
    check_ridges(ax, [np.concatenate([w.ravel() for w in layer.get_weights()]).astype(float) for layer in MODEL.layers])


def test_histograms_of_activations() -> None:
    ax = plot.activation_histograms(MODEL, X)
    given, expected = X.astype(np.float32), []
    for place, layer in enumerate(MODEL.layers):
        kernel, bias = layer.get_weights()
        given = given @ kernel + bias
        given = given if place == 2 else np.maximum(given, 0)
        expected.append(given)
    for (shares, edges), values in zip(ridges(ax).values(), expected, strict=True):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        assert np.abs(shares - counts / counts.max()).max() < 0.05  # some numbers lie at an edge
    assert [text.get_text() for text in ax.texts] == [f"{(values == 0).mean():.0%} zero" for values in expected[:2]]


def test_histograms_of_gradients() -> None:
    ax = plot.gradient_histograms(MODEL, X, X[:, 0])
    gradients = MODEL.gradient(X, X[:, 0])
    by_layer = [np.abs(np.concatenate([g.ravel() for g in gradients[k : k + 2]]).astype(float)) for k in (0, 2, 4)]
    check_ridges(ax, [np.log10(each[each > 0]) for each in by_layer])
    assert [text.get_text() for text in ax.texts] == [
        f"{(each == 0).mean():.0%} zero" for each in by_layer if (each == 0).any()
    ]


def test_gradients_leave_moving_averages() -> None:
    from fastnn.layers import BatchNormalization

    model = Sequential([Dense(3, input_dim=4), BatchNormalization(), Dense(1)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    plot.gradient_histograms(model, X, X[:, 0])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_graph_of_several_inputs_and_a_model_within() -> None:
    a, b = Input((4,)), Input((4,))
    shared, inner = Dense(3, "relu", name="shared"), model_of(2, 2, inputs=3)
    inner.name = "inner"
    model = Model([a, b], Dense(1, name="end")(Add(name="sum")([inner(shared(a)), inner(shared(b))])))
    model.compile("sgd", "mse")
    names = list(ridges(plot.activation_histograms(model, [X, X])))
    assert len(names) == len(set(names)) == 6
    assert {name.partition(" ")[0] for name in names} == {"shared", "inner", "sum", "end"}
    assert {"shared", "end"} <= set(ridges(plot.weight_histograms(model)))
    assert len(ridges(plot.gradient_histograms(model, [X, X], X[:, 0]))) == 4


# Inputs.


def test_saliency() -> None:
    left, right = plot.saliency(Sighted(), PIXELS)
    slopes = np.abs(Sighted().input_gradient(PIXELS, output=2)).max(axis=2)
    np.testing.assert_allclose(left.images[0].get_array(), PIXELS)  # of three channels, from 0 to 1
    np.testing.assert_allclose(right.images[0].get_array(), slopes)
    assert (left.get_title(), right.get_title()) == ("picture", "what output 2 hangs on")
    _, other = plot.saliency(Sighted(), PIXELS, 1)
    np.testing.assert_allclose(other.images[0].get_array(), slopes / 2)
    assert other.get_title() == "what output 1 hangs on"


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1)])
def test_saliency_of_a_model(shape: tuple[int, ...]) -> None:
    """Of a linear model the slopes are its weights."""
    model = Sequential([Flatten(input_shape=shape), Dense(2)])
    weights = np.arange(24, dtype=np.float32).reshape(12, 2) - 11
    model.set_weights([weights, np.array([0, 1], np.float32)])
    picture = 5 - np.arange(12.0).reshape(shape)
    for output, taken in ((0, 0), (1, 1), (None, int(model.predict(picture[None]).argmax()))):
        left, right = plot.saliency(model, picture, output)
        np.testing.assert_allclose(left.images[0].get_array(), (6 + picture.reshape(4, 3)) / 11)
        np.testing.assert_allclose(right.images[0].get_array(), np.abs(weights[:, taken]).reshape(4, 3), rtol=1e-5)
    alone = Sequential([Flatten(input_shape=shape), Dense(1)])
    assert plot.saliency(alone, picture)[1].get_title() == "what output 0 hangs on"


def test_attention() -> None:
    drawn = plot.attention_map(ATTENTION, queries="abcde", keys="wxyz")
    for ax, weights in zip(drawn, ATTENTION, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), weights)
        assert ax.images[0].get_clim() == (0, ATTENTION.max())
        assert [text.get_text() for text in ax.get_xticklabels()] == list("wxyz")
        assert [text.get_text() for text in ax.get_yticklabels()] == list("abcde")
    assert len(plot.attention_map(ATTENTION[None])) == 2


# Epochs, settings.


def test_a_history() -> None:
    history = history_of()
    ax = plot.history(history)
    for line, name in zip(ax.lines, ("loss", "val_loss"), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.c_[1:7, history.history[name]])
    assert legend(ax) == ["training", "validation"]
    alone = plot.history(history, "mae")
    assert (alone.get_ylabel(), alone.get_legend()) == ("mae", None)
    history.on_epoch_end(6, {"matrix": np.eye(2), "val_matrix": np.ones((2, 2))})
    several = plot.history(history, "matrix")
    assert [line.get_ydata().tolist() for line in several.lines] == [[1], [0], [0], [1], [1], [1], [1], [1]]
    assert legend(several) == ["training", "validation"]


def test_norms() -> None:
    norms = norms_of()
    ax = plot.gradient_norms(norms)
    assert legend(ax) == ["a", "b", "c"]
    for line, values in zip(ax.lines, norms.norms.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.c_[1:6, values])
    assert ax.get_yscale() == "log"
    norms.norms = {"a": [1.0, 2.0, 0.0, np.nan, 1.5]}
    assert plot.gradient_norms(norms).get_yscale() == "linear"


def test_a_learning_curve() -> None:
    selection = pytest.importorskip(
        "sklearn.model_selection", reason="scikit-learn is the truth: pip install scikit-learn"
    )
    display = selection.LearningCurveDisplay(
        train_sizes=CURVE[0], train_scores=CURVE[1], test_scores=CURVE[2], score_name="loss"
    ).plot(score_type="both")
    ax = plot.learning_curve(CURVE)
    for ours, theirs in zip(ax.lines, display.lines_, strict=True):
        np.testing.assert_allclose(ours.get_xydata(), theirs.get_xydata())
    for ours, theirs in zip(ax.collections, display.fill_between_, strict=True):
        np.testing.assert_allclose(ours.get_paths()[0].vertices, theirs.get_paths()[0].vertices)
    assert ax.get_xscale() == display.ax_.get_xscale() == "log"
    lost = CURVE[2].copy()
    lost[0], lost[1, 0] = np.nan, np.nan  # folds that diverged
    mean = plot.learning_curve((*CURVE[:2], lost)).lines[1].get_ydata()
    np.testing.assert_allclose(np.ma.filled(mean, np.nan), [np.nan, lost[1, 1:].mean(), lost[2].mean()])
    assert legend(ax) == ["training", "validation"]


def test_a_validation_curve() -> None:
    numbers = plot.validation_curve(CURVE[1:], [1, 2, 3], param_name="max_units", score="val_mae")
    np.testing.assert_allclose(numbers.lines[1].get_xydata(), np.c_[[1, 2, 3], CURVE[2].mean(axis=1)])
    assert (numbers.get_xscale(), numbers.get_xlabel(), numbers.get_ylabel()) == ("linear", "max units", "val mae")
    assert plot.validation_curve(CURVE[1:], [1e-3, 1e-2, 1e-1]).get_xscale() == "log"
    texts = plot.validation_curve(CURVE[1:], ["a", None, True])
    assert [text.get_text() for text in texts.get_xticklabels()] == ["a", "None", "True"]


def test_partial_dependence() -> None:
    ax = plot.partial_dependence(GRID, individual=ICE)
    assert len(ax.lines) == len(ICE) + 1
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), ICE.mean(axis=0))
    np.testing.assert_allclose([line.get_ydata() for line in ax.lines[:-1]], ICE)
    assert legend(ax) == ["single rows", "average"]
    both = plot.partial_dependence(["a", "b"], [1.0, 2.0], [[1.0, 2.0]], feature="kind")
    assert [text.get_text() for text in both.get_xticklabels()] == ["a", "b"]
    assert both.get_xlabel() == "kind"


def test_search_results() -> None:
    search = search_of()
    units, activation = plot.search_results(search)
    np.testing.assert_allclose(
        units.lines[0].get_xydata(), np.c_[np.repeat([2, 16, 128], 2), search.cv_results_["mean_test_loss"]]
    )
    assert units.lines[-1].get_xydata().tolist() == [[16, 0.3]]
    assert (units.get_title(), activation.get_title()) == ("best: 16", "best: tanh")
    assert (units.get_xscale(), units.get_ylabel(), activation.get_xlabel()) == ("log", "loss", "activation")
    assert activation.lines[0].get_xdata().tolist() == [0, 1] * 3
