"""The tables that come with fastnn: their values, their form, and what a reader must find beside them."""

from __future__ import annotations

import hashlib
import zlib
from importlib.resources import files

import numpy as np
import pytest

import fastnn
from fastnn import datasets, layers


def digest(columns: dict[str, np.ndarray]) -> str:
    text = "\n".join(name + ":" + ",".join(map(str, column.tolist())) for name, column in columns.items())
    return hashlib.sha256(text.encode()).hexdigest()


def test_penguins() -> None:
    columns = datasets.penguins.load_columns()
    assert list(columns) == [
        "species",
        "island",
        "bill_length_mm",
        "bill_depth_mm",
        "flipper_length_mm",
        "body_mass_g",
        "sex",
        "year",
    ]
    assert {len(column) for column in columns.values()} == {344}
    assert [column[0] for column in columns.values()] == ["Adelie", "Torgersen", 39.1, 18.7, 181, 3750, "male", 2007]
    assert (columns["sex"] == "").sum() == 11
    assert np.isnan(columns["bill_length_mm"]).nonzero()[0].tolist() == [3, 271]
    species, counts = np.unique(columns["species"], return_counts=True)
    assert dict(zip(species.tolist(), counts.tolist(), strict=True)) == {"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}
    assert digest(columns) == "9cd13e06fb486bb6433182c60f24def9f4b835fe14e99a5ff3058bed10e56a40"


def test_diamonds() -> None:
    columns = datasets.diamonds.load_columns()
    assert list(columns) == ["carat", "cut", "color", "clarity", "depth", "table", "price", "x", "y", "z"]
    assert {len(column) for column in columns.values()} == {2569}
    assert [column[0] for column in columns.values()] == [0.23, "Ideal", "E", "SI2", 61.5, 55, 326, 3.95, 3.98, 2.43]
    assert not any(np.isnan(column).any() for column in columns.values() if column.dtype.kind == "f")
    assert sorted(set(columns["cut"])) == ["Fair", "Good", "Ideal", "Premium", "Very Good"]
    assert digest(columns) == "6a1e9d3b3f0509557f9f5af4a19d4a0d72969220be69eb0fd37a91d76d79d36b"


def test_parts_are_the_whole() -> None:
    (x, y), (x_test, y_test) = datasets.penguins.load_data()
    assert (len(y), len(y_test)) == (275, 69)
    columns = datasets.penguins.load_columns()
    names = np.array(datasets.penguins.get_label_names())
    assert sorted(names[np.concatenate([y, y_test])]) == sorted(columns["species"])
    whole = sorted(zip(columns["island"], columns["species"], columns["body_mass_g"].astype(str), strict=True))
    parts = [(x["island"], names[y], x["body_mass_g"]), (x_test["island"], names[y_test], x_test["body_mass_g"])]
    assert sorted(each for a, b, c in parts for each in zip(a, b, c.astype(str), strict=True)) == whole
    assert np.array_equal(datasets.penguins.load_data()[0][1], y)
    assert not np.array_equal(datasets.penguins.load_data(seed=1)[0][1], y)
    (x, y), (x_test, y_test) = datasets.diamonds.load_data(test_split=0.1)
    assert (len(y), len(y_test), len(x), len(x_test["cut"])) == (2312, 257, 9, 257)
    (digits, numbers), (_, rest) = datasets.digits.load_data()
    assert (digits.shape, numbers.dtype, len(rest)) == ((1437, 64), np.uint8, 360)


def test_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = datasets.penguins.load_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.isna().sum().to_dict() == {
        **dict.fromkeys(frame.columns, 0),
        **dict.fromkeys(["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"], 2),
        "sex": 11,
    }
    assert datasets.diamonds.load_frame().shape == (2569, 10)


def test_without_pandas_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[pandas\]"; load_columns\(\) needs nothing'):
        datasets.penguins.load_frame()


def test_source_and_licence_lie_beside_them() -> None:
    folder = files("fastnn.datasets")
    text = folder.joinpath("TABLES.md").read_text(encoding="utf-8")
    for needed in ("CC0", "Gorman", "MIT", "ggplot2", "Permission is hereby granted"):
        assert needed in text
    size = sum(len(zlib.compress(folder.joinpath(f"{name}.npz").read_bytes())) for name in ("penguins", "diamonds"))
    assert size < 25_000  # of a wheel


def test_a_network_learns_from_their_numbers() -> None:
    fastnn.set_random_seed(0)
    (x, y), (x_test, y_test) = datasets.diamonds.load_data()
    names = [name for name, column in x.items() if column.dtype.kind == "f"]
    rows, test = (np.stack([part[name] for name in names], axis=1) for part in (x, x_test))
    first = layers.Normalization()
    first.adapt(rows)
    net = fastnn.Sequential([fastnn.Input((len(names),)), first, layers.Dense(32, "relu"), layers.Dense(1)])
    net.compile(fastnn.optimizers.Adam(0.01), "mse")
    net.fit(rows, np.log(y), epochs=30, verbose=0)
    residual = net.predict(test)[:, 0] - np.log(y_test)
    assert 1 - residual.var() / np.log(y_test).var() > 0.9
