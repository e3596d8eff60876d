"""`write_report` and `fastnn report`: its numbers beside NumPy's and scikit-learn's, and that it loads nothing."""

from __future__ import annotations

import json
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import CSVLogger
from fastnn.cli import main
from fastnn.datasets import digits
from fastnn.layers import LSTM, Concatenate, Dense, Embedding, Input, Rescaling
from fastnn.models import Model, Sequential, load_model
from fastnn.plot.ranked import precision_recall, roc
from fastnn.report import write_report
from fastnn.report.page import number
from fastnn.report.rows import Output, outputs_of, rows_of
from fastnn.report.structure import parts_of, values_of
from fastnn.report.surface import hidden_tensor, loss_surface, projected
from fastnn.report.tasks import classes_of, pages_of
from fastnn.store import model_file
from support.database import connect

pytest.importorskip("plotly", reason='a report needs plotly: pip install "fastnn[report]"')

DOCUMENT = Path(__file__).parents[2] / "docs" / "databases.md"
RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 8)).astype(np.float32)


def digits_model(folder: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """A trained model of the digits, and all rows; the log of its epochs is log.csv."""
    (x, y), (x_test, y_test) = digits.load_data()
    fastnn.set_random_seed(1)
    model = Sequential([Input((64,)), Rescaling(1 / 16), Dense(16, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    log = CSVLogger(str(folder / "log.csv"))
    model.fit(x, y, epochs=3, verbose=0, validation_data=(x_test, y_test), callbacks=[log])
    return model, np.concatenate([x, x_test]), np.concatenate([y, y_test])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(model, x, y, the page of it, the model's bytes before the page was written)."""
    folder = tmp_path_factory.mktemp("report")
    model, x, y = digits_model(folder)
    before = model_file.packed(model)
    write_report(model, folder / "report.html", x, y, random_state=0)
    return model, x, y, (folder / "report.html").read_text(encoding="utf-8"), before


def small(activation: str = "linear", units: int = 1, loss: Any = "mse", hidden: int = 4) -> Any:
    fastnn.set_random_seed(0)
    model = Sequential([Input((8,)), Dense(hidden, "tanh"), Dense(units, activation)])
    model.compile("adam", loss)
    return model


def body(page: str) -> str:
    """The page without plotly's script."""
    start, end = page.index("<script>"), page.index("</script></head>")
    return page[:start] + page[end:]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)).split())


def written(model: Any, folder: Path, *given: Any, **named: Any) -> str:
    write_report(model, folder / "r.html", *given, **{"surface": 3, "random_state": 0, **named})
    return body((folder / "r.html").read_text(encoding="utf-8"))


def titles(page: str) -> list[str]:
    return re.findall(r"<h3[^>]*>([^<]*)</h3>", page)


# The page.


def test_the_page_is_one_file_that_loads_nothing(made: Any) -> None:
    page = made[3]
    assert len(page.encode()) < 8_000_000
    assert page.count("plotly.js v") == page.count("plotly.js v", 0, page.index("</script></head>")) > 0
    own = body(page)
    assert len(own) < 1_000_000
    assert not re.findall(r"https?:|//cdn|@import|url\(|<link|<iframe|<img|\bsrc=", own)
    assert "default-src 'none'" in own
    assert "connect-src" not in own  # so nothing is asked for


def test_the_page_has_headings_contents_and_titles(made: Any) -> None:
    own = body(made[3])
    targets = re.findall(r'<li><a href="#(s\d+)">([^<]+)</a>', own)
    assert [f'<h2 id="{name}">{title}</h2>' in own for name, title in targets] == [True] * len(targets)
    assert len(targets) >= 7
    figures = re.findall(r'<figure aria-labelledby="(\w+)"><h3 id="(\w+)">', own)
    assert len(figures) == own.count("<figure") == own.count("Plotly.newPlot")
    assert all(a == b for a, b in figures)
    for title in ("Confusion matrix", "ROC curve", "Calibration", "Loss surface, to turn", "Last hidden layer"):
        assert title in titles(own)


def test_the_model_is_as_it_was_to_the_bit(made: Any) -> None:
    assert model_file.packed(made[0]) == made[4]


def test_the_structure_has_the_numbers_of_the_summary(made: Any) -> None:
    model, own = made[0], body(made[3])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    rows = re.findall(r"^(\w+) \((\w+)\)\s+(\(.*?\))\s+([\d,]+)$", lines[0], re.MULTILINE)
    assert len(rows) == 3
    found = re.findall(
        r'<span class="row"><span><b>(\w+)</b> (\w+)</span><span>([^<]+)</span><span>([\d,]+) parameters</span>'
        r"<span>([\d,]+) bytes</span><span>([\d.]+ [mµ]?s) \((\d+)%\)",
        own,
    )
    assert [each[:4] for each in found] == rows
    assert [int(each[4].replace(",", "")) for each in found] == [4 * int(each[3].replace(",", "")) for each in rows]
    assert sum(int(each[6]) for each in found) in range(98, 103)
    total = re.search(r"Total params: ([\d,]+)", lines[0])
    assert total is not None
    assert f"<td>{model.count_params():,} ({4 * model.count_params():,} bytes)</td>" in own
    assert f"{model.count_params():,}" == f"{sum(int(row[3].replace(',', '')) for row in rows):,}"


def test_loss_and_metrics_are_those_of_evaluate(made: Any) -> None:
    model, x, y, page, _ = made
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    text = words(body(page))
    assert f"accuracy {found['accuracy']:.4g}" in text
    assert f"loss {found['loss']:.4g}" in text


def test_the_confusion_matrix_counts(made: Any) -> None:
    model, x, y, page, _ = made
    guesses = model.predict(x).argmax(1)
    assert f"{(guesses != y).sum()} of 1,797 rows are taken for another class" in page
    recall = (guesses[y == 3] == 3).mean()
    precision = (y[guesses == 3] == 3).mean()
    assert f"<tr><td>3</td><td>{(y == 3).sum()}</td><td>{precision:.4g}</td><td>{recall:.4g}</td>" in page
    line = "".join(f"<td>{((y == 3) & (guesses == k)).sum()}</td>" for k in range(10))
    assert f"{line}</tr>" in page
    (output,) = outputs_of(model, rows_of(model, x, y))
    figure = next(each for each in pages_of(output) if getattr(each, "title", "") == "Confusion matrix")
    counts = figure.figure["data"][0]["customdata"]  # type: ignore[union-attr]
    assert all(counts[i, j] == ((y == i) & (guesses == j)).sum() for i in range(10) for j in range(10))


def test_the_history_has_its_numbers(made: Any) -> None:
    model, own = made[0], body(made[3])
    for k in range(3):
        pair = (model.history.history[name][k] for name in ("loss", "val_loss"))
        assert f"<tr><td>{k + 1}</td>{''.join(f'<td>{each:.4g}</td>' for each in pair)}</tr>" in own


# The parts, beside others.


def test_curves_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="the oracle is scikit-learn: pip install scikit-learn")
    truth = RNG.integers(0, 2, 300).astype(float)
    scores = np.round(truth + RNG.normal(size=300), 1)  # with ties
    x, y, area = roc(truth, scores)
    theirs = metrics.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose((x, y), theirs[:2], atol=1e-12)
    assert area == pytest.approx(metrics.roc_auc_score(truth, scores))
    recall, precision, average = precision_recall(truth, scores)
    assert average == pytest.approx(metrics.average_precision_score(truth, scores))
    theirs = metrics.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(precision[::-1], theirs[0][-1 - len(precision) : -1], atol=1e-12)
    np.testing.assert_allclose(recall[::-1], theirs[1][-1 - len(recall) : -1], atol=1e-12)


def test_the_surface_is_the_loss_at_weights_that_lie_aside() -> None:
    """One linear layer: the formula in NumPy, at directions that are drawn and made as long as they should be."""
    fastnn.set_random_seed(0)
    model = Sequential([Input((8,)), Dense(2)])
    model.compile("sgd", "mse")
    kernel, bias = model.get_weights()
    bias += 0.5
    model.set_weights([kernel, bias])
    y = RNG.normal(size=(60, 2)).astype(np.float32)
    steps, loss = loss_surface(model, rows_of(model, X, y), np.arange(40), 5, np.random.default_rng(9))
    rng, directions = np.random.default_rng(9), []
    for _ in range(2):
        drawn = rng.standard_normal((8, 2), np.float32)
        directions.append(drawn / np.linalg.norm(drawn, axis=0) * np.linalg.norm(kernel, axis=0))
    for i in range(5):
        for j in range(5):
            w = kernel + steps[j] * directions[0] + steps[i] * directions[1]
            assert loss[i, j] == pytest.approx(((X[:40] @ w + bias - y[:40]) ** 2).mean(), rel=1e-4)
    assert steps.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert all((a == b).all() for a, b in zip(model.get_weights(), [kernel, bias], strict=True))


def test_the_middle_of_the_surface_is_the_loss_with_its_penalties() -> None:
    model = Sequential([Input((8,)), Dense(3, "tanh", kernel_regularizer="l2"), Dense(1)])
    model.compile("adam", "mse")
    y = X[:, 0]
    weights = np.linspace(0, 2, 60).astype(np.float32)
    source = rows_of(model, fastnn.data.ArraySource(X, y, weights), None)
    _, loss = loss_surface(model, source, np.arange(60), 3, np.random.default_rng(0))
    assert loss[1, 1] == pytest.approx(model.evaluate(X, y, verbose=0, sample_weight=weights), rel=1e-5)
    assert (loss[[0, 0, 2, 2], [0, 2, 0, 2]] != loss[1, 1]).all()


@pytest.mark.parametrize("shape", [(50, 7), (9, 40), (6, 2), (1, 5)])
def test_rows_lie_along_their_singular_vectors(shape: tuple[int, int]) -> None:
    values = RNG.normal(size=shape) * np.linspace(1, 3, shape[1])
    dots, shares = projected(values)
    left, sizes, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    count = min(3, len(sizes))
    np.testing.assert_allclose(np.abs(dots[:, :count]), np.abs(left * sizes)[:, :count], atol=1e-6)
    if shape[0] > 1:
        np.testing.assert_allclose(shares[:count], (sizes**2 / (sizes**2).sum())[:count], atol=1e-9)
    assert dots.shape == (shape[0], 3)


def test_what_layers_give_is_worked_out_layer_by_layer(made: Any) -> None:
    model, x, y, _, _ = made
    source = rows_of(model, x, y)
    rows = np.array([3, 700, 1500])
    values = values_of(model, source, rows)
    parts = {part.name: part for part in parts_of(model, model.description.graph, _names(model), values)}
    w1, b1, w2, b2 = model.get_weights()
    hidden = np.maximum(x[rows] / np.float32(16) @ w1 + b1, 0)
    np.testing.assert_allclose(parts["dense"].values, hidden, rtol=1e-4, atol=1e-5)
    logits = hidden @ w2 + b2
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(parts["dense_1"].values, expected, rtol=1e-4, atol=1e-6)
    tensor = hidden_tensor(model)
    np.testing.assert_allclose(values[tensor], hidden, rtol=1e-4, atol=1e-5)  # type: ignore[index]


def _names(model: Any) -> dict[Any, str]:
    return dict(zip(model.description.members, model.description.names, strict=True))


def test_models_in_models_and_layers_of_layers_unfold(tmp_path: Path) -> None:
    fastnn.set_random_seed(0)
    inner = Sequential([Input((8,)), Dense(5, "relu"), Dense(4)], name="inner")
    a, b = Input((8,), name="a"), Input((3,), name="b")
    joined = Concatenate()([inner(a), b])
    kind, size = Dense(2, "softmax", name="kind")(joined), Dense(1, name="size")(inner(a))
    model = Model([a, b], {"kind": kind, "size": size})
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    y = {"kind": np.arange(60) % 2, "size": X[:, 0]}
    page = written(model, tmp_path, [X, X[:, :3]], y)
    for title in ("Predictions kind", "Predictions size"):
        assert f">{title}</h2>" in page
    for title in ("inner/dense: kernel", "inner/dense_1: what it gives", "kind: bias", "Residuals"):
        assert title in titles(page)
    start = page.index("<b>inner</b>")
    inside = page[start : page.index("</details></details>", start)]
    assert inside.count("<details") == 2
    assert inside.count("%)<span") == 3  # the model and its layers have their times
    assert "shared, counted above" in page
    source = rows_of(model, [X, X[:, :3]], y)
    values = values_of(model, source, np.arange(9))
    parts = parts_of(model, model.description.graph, _names(model), values)
    found = next(part for part in parts if part.name == "inner")
    w1, b1, w2, b2 = inner.get_weights()
    np.testing.assert_allclose(found.parts[1].values, np.maximum(X[:9] @ w1 + b1, 0) @ w2 + b2, rtol=1e-4, atol=1e-5)
    outputs = outputs_of(model, source)
    np.testing.assert_allclose(outputs[1].given, model.predict([X, X[:, :3]])["size"], rtol=1e-6)
    assert (outputs[1].truth == X[:, :1]).all()  # type: ignore[union-attr]


def test_columns_of_texts(tmp_path: Path) -> None:
    color, km = Input((), name="color", dtype="string"), Input((1,), name="km")
    codes = fastnn.layers.StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")(color)
    hidden = Dense(4, "tanh", name="hidden")(Concatenate()([codes, Rescaling(0.1)(km)]))
    model = Model({"color": color, "km": km}, Dense(1)(hidden))
    model.compile("adam", "mse")
    x = {"color": np.array(["red", "blue", "green"] * 20), "km": X[:, 0]}
    source = rows_of(model, x, X[:, 1])
    values = values_of(model, source, np.arange(5, 25))
    found = next(each for tensor, each in values.items() if tensor.node.layer.name == "hidden")
    w, b = model.get_weights()[:2]
    rows = np.column_stack([[[c not in ("red", "blue"), c == "red", c == "blue"] for c in x["color"]], X[:, 0] * 0.1])
    np.testing.assert_allclose(found, np.tanh(rows @ w + b)[5:25], rtol=1e-4, atol=1e-5)
    page = written(model, tmp_path, x, X[:, 1])
    assert {"hidden: what it gives", "Residuals", "Loss surface, to turn", "Last hidden layer"} <= set(titles(page))
    assert "<td>color, km</td>" in page


def test_sequences_of_ids_and_layers_of_layers(tmp_path: Path) -> None:
    model = Sequential(
        [Input((6,)), Embedding(50, 8, mask_zero=True), fastnn.layers.Bidirectional(LSTM(5)), Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    page = written(model, tmp_path, RNG.integers(0, 50, (40, 6)), np.arange(40) % 3)
    assert "bidirectional/forward_lstm: recurrent_kernel" in titles(page)


# Tasks.


@pytest.mark.parametrize(
    ("activation", "units", "loss", "y", "expected"),
    [
        ("softmax", 3, "sparse_categorical_crossentropy", np.arange(60) % 3, ["Confusion matrix", "Calibration"]),
        ("softmax", 3, "categorical_crossentropy", np.eye(3)[np.arange(60) % 3], ["Confusion matrix", "Calibration"]),
        ("sigmoid", 1, "binary_crossentropy", X[:, 0] > 0, ["Confusion matrix", "Calibration"]),
        ("sigmoid", 3, "binary_crossentropy", X[:, :3] > 0, ["ROC curve", "Precision and recall"]),
        ("linear", 1, "mse", X[:, 0], ["Predicted against true", "Residuals"]),
        ("linear", 2, "mse", X[:, :2], ["Predicted against true of output 1", "Residuals of output 0"]),
        ("softmax", 3, "sparse_categorical_crossentropy", np.zeros(60), ["Confusion matrix", "Calibration"]),
    ],
)
def test_a_task_has_its_figures(
    activation: str, units: int, loss: str, y: Any, expected: list[str], tmp_path: Path
) -> None:
    page = written(small(activation, units, loss), tmp_path, X, y)
    assert not set(expected) - set(titles(page))
    assert ("Residuals" in page) == (loss == "mse")
    assert ("Confusion matrix" in page) == ("Confusion matrix" in expected)
    if not np.any(y):
        assert "need rows that are of a class, and rows that are not" in page
        assert "ROC curve" not in titles(page)


def test_of_many_classes_those_with_most_rows_are_shown() -> None:
    labels = np.concatenate([np.repeat(np.arange(60, 110), 3), np.arange(60)])
    scores = RNG.random((len(labels), 120)) ** 4
    scores[np.arange(len(labels)), labels] += RNG.random(len(labels))
    output = Output("", scores / scores.sum(1, keepdims=True), labels[:, None].astype(float), "softmax", None, ())
    matrix, curves = list(pages_of(output))[:2]
    counts, guesses = matrix.figure["data"][0]["customdata"], scores.argmax(1)  # type: ignore[union-attr]
    assert counts.shape == (50, 50)
    assert all(counts[i, j] == ((labels == i + 60) & (guesses == j + 60)).sum() for i in range(50) for j in range(50))
    assert matrix.figure["data"][0]["y"][0] == "60"  # type: ignore[union-attr]
    assert "50 classes with most rows" in matrix.text  # type: ignore[union-attr]
    assert matrix.table.count("<tr>") == 51  # type: ignore[union-attr]
    assert len(curves.figure["data"]) == 11  # type: ignore[union-attr]


def test_logits_become_probabilities() -> None:
    z, y = np.array([[2.0, -1.0, 0.5]]), np.array([[2.0]])
    for loss in (fastnn.losses.SparseCategoricalCrossentropy(from_logits=True),):
        read = classes_of(Output("", z, y, "linear", loss, ()))
        assert read is not None
        np.testing.assert_allclose(read[1], np.exp(z) / np.exp(z).sum())
        assert read[2]
        assert read[0].tolist() == [[0, 0, 1]]
    binary = fastnn.losses.BinaryCrossentropy(from_logits=True)
    read = classes_of(Output("", z[:, :1], y / 2, "linear", binary, ()))
    assert read is not None
    np.testing.assert_allclose(read[1], [[1 - 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-2))]])


def test_errors_of_numbers_are_those_of_numpy(tmp_path: Path) -> None:
    model, y = small(), X.sum(axis=1)
    page = written(model, tmp_path, X, y)
    text, e = words(page), model.predict(X)[:, 0].astype(float) - y
    r2 = 1 - (e**2).sum() / ((y - y.astype(float).mean()) ** 2).sum()
    worst = np.abs(e).argmax()
    for value in (np.abs(e).mean(), np.sqrt((e**2).mean()), r2):
        assert number(value) in text
    assert f"<td>{number(e.mean())}</td>" in page
    assert f"<td>{number(e[worst])} (row {worst})</td>" in page


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mse"])
def test_one_row(loss: str, tmp_path: Path) -> None:
    model = small(*(("linear", 1) if loss == "mse" else ("softmax", 3)), loss)
    assert "Last hidden layer" in titles(written(model, tmp_path, X[:1], [1]))


def test_a_model_that_is_not_compiled_and_one_without_rows(tmp_path: Path) -> None:
    model = Sequential([Input((8,)), Dense(3, "softmax")])
    page = written(model, tmp_path, X, np.arange(60) % 3)
    assert "It is not compiled" in page
    assert "Confusion matrix" in titles(page)
    assert "Loss surface" not in page
    assert "The model has no hidden layer" in page
    page = written(model, tmp_path, history={"loss": [3, 2, 1], "val_loss": [3, 2]})
    assert {"loss by epoch", "dense: kernel"} <= set(titles(page))
    assert "Predictions" not in page


def test_names_are_escaped(tmp_path: Path) -> None:
    model = Sequential([Input((8,)), Dense(2, "softmax", name="<b>&")], name="<i>")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.description.notes["classes"] = ["</script><script>alert(1)</script>", "b"]
    page = written(model, tmp_path, X, np.arange(60) % 2, history={"<u>": [1, 2]})
    assert "<b>&<" not in page
    assert "alert(1)</script>" not in page
    assert "<u>" not in page
    assert "<i>" not in page


def test_the_same_seed_gives_the_same_surface_and_rows_beyond_the_first_are_left_out(tmp_path: Path) -> None:
    model = small()
    x = np.tile(X, (200, 1))
    assert rows_of(model, x, x[:, 0]).rows == 10_000
    pages = [written(model, tmp_path, X, X[:, 0], random_state=seed) for seed in (1, 1, 2)]
    parts = [page[page.index("Loss surface, to turn") :] for page in pages]
    assert parts[0] == parts[1] != parts[2]


# Errors.


def _with(place: tuple[int, ...], value: float, array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("x", "y", "named", "error", "expected"),
    [
        (X[:, :3], X[:, 0], {}, ValueError, "expects 8 features, got 3"),
        (X, X, {}, ValueError, "y has 8"),
        (_with((3, 2), np.nan, X), X[:, 0], {}, ValueError, "x has nan in row 3, column 2"),
        (X, _with((4,), np.inf, X[:, 0]), {}, ValueError, "y has inf in row 4"),
        (X, X[:, 0], {"history": [1]}, TypeError, "history must be"),
        (X, X[:, 0], {"history": {"loss": ["a"]}}, ValueError, "history['loss'] must be a list of numbers"),
        (X, X[:, 0], {"surface": -1}, ValueError, "surface"),
        (X, X[:, 0], {"random_state": -1}, ValueError, "random_state"),
    ],
)
def test_what_does_not_fit_is_an_error(
    x: Any, y: Any, named: dict[str, Any], error: type[Exception], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=re.escape(expected)):
        write_report(small(), tmp_path / "r.html", x, y, **named)
    assert not (tmp_path / "r.html").exists()


def test_models_that_cannot_be_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"model must be a fastnn\.models\.Model"):
        write_report(3, tmp_path / "r.html")
    with pytest.raises(RuntimeError, match="is not built yet"):
        write_report(Sequential([Dense(2)]), tmp_path / "r.html")
    steps = Input(batch_shape=(4, 5, 2))
    with pytest.raises(ValueError, match="stateful"):
        write_report(Model(steps, LSTM(3, stateful=True)(steps)), tmp_path / "r.html")
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.delitem(sys.modules, "plotly.io", raising=False)
    with pytest.raises(ImportError, match=re.escape('pip install "fastnn[report]"')):
        write_report(small(), tmp_path / "r.html")


# The command.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    model, x, y = digits_model(tmp_path)
    model.save("model.fastnn")
    np.savez("digits.npz", x=x[:300], y=y[:300])
    return tmp_path


def test_the_command_takes_arrays_and_a_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["report", "model.fastnn", "--data", "digits.npz", "--history", "log.csv", "--surface", "3", "-o", "r.html"]
    assert main([*given, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"report": "r.html", "bytes": (folder / "r.html").stat().st_size}
    page = body((folder / "r.html").read_text(encoding="utf-8"))
    assert {"accuracy by epoch", "Confusion matrix", "Loss surface, to turn"} <= set(titles(page))
    assert main(["report", "model.fastnn", "-o", "r.html"]) == 0
    assert "Confusion matrix" not in titles(body((folder / "r.html").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["missing.fastnn", "-o", "r.html"], 1, "missing.fastnn"),
        (["damaged.fastnn", "-o", "r.html"], 1, "damaged.fastnn"),
        (["model.fastnn"], 2, "the following arguments are required: --out"),
        (["model.fastnn", "-o", "none/r.html"], 1, "there is no folder 'none'"),
        (["model.fastnn", "--data", "none.npz", "-o", "r.html"], 1, "none.npz"),
        (["model.fastnn", "--data", "other.npz", "-o", "r.html"], 1, "has no array 'x'; it has 'z'"),
        (["model.fastnn", "--data", "narrow.npz", "-o", "r.html"], 1, "expects 64 features, got 3"),
        (["model.fastnn", "--data", "damaged.npz", "-o", "r.html"], 1, "no file of arrays that numpy.savez wrote"),
        (["model.fastnn", "--data", "digits.npz", "--table", "t", "-o", "r.html"], 2, "argument --table"),
        (["model.fastnn", "--table", "t", "-o", "r.html"], 2, "--data"),
        (["model.fastnn", "--history", "none.csv", "-o", "r.html"], 1, "none.csv"),
        (["model.fastnn", "--history", "damaged.csv", "-o", "r.html"], 1, "no table of epochs that CSVLogger wrote"),
        (["model.fastnn", "--surface", "-1", "-o", "r.html"], 2, "at least 0"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_line(
    arguments: list[str], status: int, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("other.npz", z=X)
    np.savez("narrow.npz", x=X[:, :3], y=np.zeros(60))
    Path("damaged.npz").write_bytes(b"PK\x03\x04" + bytes(50))
    Path("damaged.csv").write_text("epoch,loss\n0,a\n", encoding="utf-8")
    Path("damaged.fastnn").write_bytes(Path("model.fastnn").read_bytes()[:300])
    assert main(["report", *arguments]) == status
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert expected in err
    assert not Path("r.html").exists()


def test_the_command_takes_a_table_with_texts_as_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained by `fastnn train`, which notes its epochs, on rows of texts; the command of docs/databases.md."""
    monkeypatch.chdir(tmp_path)
    rows = [(k, k % 50 / 7, "red" if k % 3 else "blue", "high" if k % 50 > 25 else "low") for k in range(400)]
    with closing(connect("rides.db")) as connection, connection:
        connection.execute("CREATE TABLE rides (id INTEGER PRIMARY KEY, km REAL, color TEXT, price TEXT)")
        connection.executemany("INSERT INTO rides VALUES (?, ?, ?, ?)", rows)
    train = "train --data rides.db --table rides --target price --hidden 8 --epochs 4 --out rides.fastnn"
    assert main(train.split()) == 0
    (command,) = re.findall(r"^```bash\nfastnn (report .*)\n```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert main([*command.split(), "--surface", "3"]) == 0
    page = body(Path("rides.html").read_text(encoding="utf-8"))
    assert {"loss by epoch", "accuracy by epoch", "Confusion matrix", "Last hidden layer"} <= set(titles(page))
    assert "<td>high</td>" in page
    noted = load_model("rides.fastnn").description.notes["history"]
    assert len(noted["loss"]) == len(noted["val_loss"]) == 4
    assert main(["train", "--data", "rides.db", "--out", "rides.fastnn", "--resume", "--epochs", "2"]) == 0
    assert len(load_model("rides.fastnn").description.notes["history"]["loss"]) == 6
    capsys.readouterr()


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--help"]) == 0
    out, _ = capsys.readouterr()
    for word in ("--data", "--query", "--target", "--history", "--surface", "fastnn[report]", "examples:"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 88
