"""Registry.compare: metrics of two versions side by side, and how often they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import SQLDataset
from fastnn.layers import Dense, Input
from fastnn.registry import Comparison
from support.database import connect
from support.registries import model

X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)


def classifier(seed: int, units: int, loss: str, activation: str, **options: Any) -> fastnn.Sequential:
    fastnn.set_random_seed(seed)
    made = fastnn.Sequential([Input((4,)), Dense(5, "relu"), Dense(units, activation)])
    made.compile("adam", loss, **options)
    return made


@pytest.fixture
def registry(tmp_path: Path) -> fastnn.registry.Registry:
    return fastnn.registry.open(tmp_path / "m.db")


@pytest.mark.parametrize(
    ("units", "loss", "activation"),
    [(3, "sparse_categorical_crossentropy", "softmax"), (1, "binary_crossentropy", "sigmoid")],
)
def test_classes(registry: fastnn.registry.Registry, units: int, loss: str, activation: str) -> None:
    y = np.arange(200) % max(units, 2)
    models = [classifier(seed, units, loss, activation, metrics=["accuracy"]) for seed in (1, 2)]
    for each in models:
        registry.save(each, "m")
    registry.alias("m", "old", 1)
    found = registry.compare("m", "old", "latest", X, y)
    a, b = (each.predict(X).astype(np.float64) for each in models)
    classes = [each.argmax(axis=1) if units > 1 else each[:, 0] > 0.5 for each in (a, b)]
    assert isinstance(found, Comparison)
    assert (found.name, found.versions, found.rows) == ("m", (1, 2), 200)
    assert found.agreement == pytest.approx((classes[0] == classes[1]).mean())
    assert 0 < found.agreement < 1
    assert found.mean_difference == pytest.approx(np.abs(a - b).mean())
    assert found.largest_difference == pytest.approx(np.abs(a - b).max())
    expected = [each.evaluate(X, y, verbose=0, return_dict=True) for each in models]
    assert found.metrics == {name: tuple(each[name] for each in expected) for name in ("loss", "accuracy")}
    assert found.metrics["accuracy"] == pytest.approx([(each == y).mean() for each in classes])
    swapped = registry.compare("m", 2, 1, X, y)
    assert swapped.metrics == {name: pair[::-1] for name, pair in found.metrics.items()}
    same = registry.compare("m", 1, 1, X)
    assert (same.agreement, same.largest_difference, same.metrics) == (1, 0, {})


def test_numbers_and_what_is_printed(registry: fastnn.registry.Registry) -> None:
    registry.save(model(1), "price")
    other = model(2, units=5)
    other.compile("adam", "mse", metrics=["mae"])
    registry.save(other, "price")
    found = registry.compare("price", 1, 2, X, X[:, 0])
    assert found.agreement is None
    assert found.metrics["mae"][0] is None
    assert found.metrics["loss"][0] == pytest.approx(np.square(model(1).predict(X)[:, 0] - X[:, 0]).mean(), rel=1e-5)
    lines = str(found).splitlines()
    assert lines[0].split() == ["price", "version", "1", "version", "2"]
    assert lines[1].split() == ["loss", *(f"{each:.4g}" for each in found.metrics["loss"])]  # type: ignore[str-format]
    assert lines[2].split() == ["mae", f"{found.metrics['mae'][1]:.4g}"]
    assert lines[3].startswith("outputs differ by ")
    registry.save(classifier(1, 3, "sparse_categorical_crossentropy", "softmax"), "c")
    assert "they agree on 100.0% of 200 rows; outputs differ by 0 in the mean, 0 at most" in str(
        registry.compare("c", 1, 1, X)
    )


def test_rows_of_a_query_and_weights(registry: fastnn.registry.Registry, tmp_path: Path) -> None:
    for seed in (1, 2):
        registry.save(model(seed), "m")
    con = connect(tmp_path / "rows.db")
    con.execute("CREATE TABLE t (a, b, c, d, y)")
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", np.c_[X, X[:, 0]].tolist())
    con.commit()
    of_query = registry.compare("m", 1, 2, SQLDataset("SELECT * FROM t", tmp_path / "rows.db", target="y"))
    of_arrays = registry.compare("m", 1, 2, X, X[:, 0])
    assert of_query.rows == of_arrays.rows == 200
    assert of_query.metrics["loss"] == pytest.approx(of_arrays.metrics["loss"])
    assert of_query.mean_difference == pytest.approx(of_arrays.mean_difference)
    weight = 4.0 * (np.arange(200) < 50)  # the divisor is the number of rows, as in Keras
    weighted = registry.compare("m", 1, 2, X, X[:, 0], sample_weight=weight)
    expected = [model(seed).evaluate(X[:50], X[:50, 0], verbose=0) for seed in (1, 2)]
    assert weighted.metrics["loss"] == pytest.approx(expected)


def test_several_outputs(registry: fastnn.registry.Registry) -> None:
    for seed in (1, 2):
        fastnn.set_random_seed(seed)
        inputs = Input((4,))
        outputs = {"kind": Dense(3, "softmax")(inputs), "likes": Dense(2, "sigmoid")(inputs)}
        registry.save(fastnn.Model(inputs, outputs), "two")
    one, other = (registry.load("two", version).predict(X) for version in (1, 2))
    kind = one["kind"].argmax(1) == other["kind"].argmax(1)
    likes = ((one["likes"] > 0.5) == (other["likes"] > 0.5)).all(axis=1)
    assert registry.compare("two", 1, 2, X).agreement == pytest.approx((kind & likes).mean())


def test_what_is_refused(registry: fastnn.registry.Registry) -> None:
    registry.save(model(1), "m")
    registry.save(classifier(1, 3, "mse", "softmax"), "m")
    bare = fastnn.Sequential([Input((4,)), Dense(1)])
    registry.save(bare, "m")
    for odd in (None, iter([X])):
        with pytest.raises(TypeError, match="compare: x must be rows as evaluate takes them, to be read several times"):
            registry.compare("m", 1, 1, odd)
    with pytest.raises(ValueError, match=r"versions 1 and 2 of 'm' give other shapes: \[\(200, 1\)\] and \[\(200, 3\)"):
        registry.compare("m", 1, 2, X)
    with pytest.raises(ValueError, match=r"compare: version 3 of 'm': .*compile"):
        registry.compare("m", 1, 3, X, X[:, 0])
    assert registry.compare("m", 1, 3, X).metrics == {}
    with pytest.raises(ValueError, match=r"compare: version 1 of 'm': .* expects 4 features, got 3"):
        registry.compare("m", 1, 3, X[:, :3])
    with pytest.raises(ValueError, match="version 9 of 'm' was never saved"):
        registry.compare("m", 1, 9, X)
    with pytest.raises(ValueError, match="compare: version 1 of 'm': x has no rows"):
        registry.compare("m", 1, 3, X[:0])
