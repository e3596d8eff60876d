"""Scaler and DateParts, against formulas of NumPy's and of datetime."""

from __future__ import annotations

import datetime
import math
from io import BytesIO

import numpy as np
import pytest

from fastnn.layers import DateParts, Dense, Input, Scaler
from fastnn.models import Model, load_model

RNG = np.random.default_rng(4)
X = np.stack([RNG.lognormal(size=900), RNG.normal(50, 3, 900), np.full(900, 2.0)], axis=1).astype(np.float32)


def adapted(layer: Scaler, data=X, block: int = 250) -> Scaler:
    layer.reset_state()
    for start in range(0, len(data), block):
        layer.update_state(data[start : start + block])
    layer.finalize_state()
    return layer


def formula(x: np.ndarray, method: str) -> np.ndarray:
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
    center, scale = {
        "standard": (x.mean(axis=0), x.std(axis=0)),
        "min_max": (x.min(axis=0), np.ptp(x, axis=0)),
        "robust": (middle, high - low),
        "none": (np.zeros(3), np.ones(3)),
    }[method]
    return (x - center) / np.where(scale > 1e-6, scale, 1)


@pytest.mark.parametrize("method", ["standard", "min_max", "robust", "none"])
@pytest.mark.parametrize("log", [False, True])
def test_methods(method, log):
    x = X.astype(float)
    found = adapted(Scaler(method, log))(X)
    assert found.dtype == np.float32
    assert np.allclose(found, formula(np.log1p(x) if log else x, method), rtol=1e-5, atol=1e-5)
    whole = Scaler(method, log)
    whole.adapt(X)
    assert np.allclose(whole(X), found, atol=1e-6)


@pytest.mark.parametrize(("missing", "fill"), [("mean", np.nanmean), ("median", np.nanmedian), (7, lambda _: 7.0)])
@pytest.mark.parametrize("log", [False, True])
def test_what_is_missing_is_filled_and_said(missing, fill, log):
    x = X[:, :1].copy()
    x[::3] = np.nan
    layer = adapted(Scaler("none", log, missing, indicator=True), x)
    known = np.log1p(x) if log and missing == "mean" else x
    value = fill(known)
    value = value if log and missing == "mean" else math.log1p(value) if log else value
    found = layer(x)
    assert found.shape == (900, 2)
    assert np.allclose(found[::3, 0], value, rtol=1e-5)
    assert np.array_equal(found[:, 1], np.isnan(x[:, 0]))
    assert np.allclose(found[1::3, 0], np.log1p(x[1::3, 0]) if log else x[1::3, 0], rtol=1e-6)


def test_numbers_as_text():
    texts = np.array([["1.5"], [" 3 "], ["1e3"], [""], ["NA"], ["-2"]], object)
    layer = Scaler("none", missing="mean", indicator=True)
    layer.reset_state()
    layer.update_state(texts)
    layer.finalize_state()
    mean = (1.5 + 3 + 1000 - 2) / 4
    assert layer(texts).tolist() == [[1.5, 0], [3, 0], [1000, 0], [np.float32(mean), 1], [np.float32(mean), 1], [-2, 0]]
    with pytest.raises(ValueError, match=r"row 1: holds '3,5', which is no number"):
        layer(np.array([["1"], ["3,5"]], object))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mean"}, "method must be one of standard, min_max, robust, none"),
        ({"missing": "mode"}, 'missing must be "mean", "median", a number, or None'),
        ({"missing": math.inf}, "missing must be a number"),
        ({"indicator": True}, "indicator=True needs missing="),
        ({"log": 2}, "log"),
    ],
)
def test_odd_arguments(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Scaler(**options)


def test_odd_values():
    layer = Scaler(name="km")
    with pytest.raises(RuntimeError, match="'km' knows no center and scale yet"):
        layer(X)
    with pytest.raises(ValueError, match="adapt got no numbers"):
        layer.adapt(np.empty((0, 2)))
    layer.adapt(X)
    bad = X.copy()
    bad[5, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 5: has no number \(NULL or NaN\); say what stands for it"):
        layer(bad)
    bad[5, 1] = -np.inf
    with pytest.raises(ValueError, match="row 5: holds an infinity"):
        layer(bad)
    with pytest.raises(ValueError, match="row 5: holds -inf, of which there is no"):
        adapted(Scaler(log=True))(bad)
    with pytest.raises(ValueError, match="adapted to 3 numbers a row, got 2"):
        layer(X[:, :2])


def test_in_a_model_and_its_file():
    scaler = Scaler("robust", missing="median", indicator=True)
    scaler.adapt(X)
    parts = DateParts(("time", "hour"), missing=True)
    parts.adapt(np.array([["2024-01-01"], ["2026-01-01"]], object))
    numbers, when = Input((3,)), Input((1,), dtype="string")
    model = Model({"n": numbers, "t": when}, {"s": Dense(2)(scaler(numbers)), "d": Dense(1)(parts(when))})
    x = X[:5].copy()
    x[2, 0] = np.nan
    rows = {"n": x, "t": np.array(["2025-03-01 12:30", None, "2024-02-29", "", "2025-01-01T00:00:00Z"], object)}
    before = model.predict(rows, verbose=0)
    file = BytesIO()
    model.save(file)
    file.seek(0)
    after = load_model(file).predict(rows, verbose=0)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    again = Scaler.from_config(scaler.get_config())
    assert (again.method, again.missing, again.indicator) == ("robust", "median", True)


DATES = ["2026-11-28 14:30:45", "1969-12-31", "2024-02-29T23:59", "2000-01-01", "1901-07-04 06:00"]


def test_date_parts():
    names = ("time", "month", "day", "day_of_year", "weekday", "hour", "minute")
    found = DateParts(names)(np.array(DATES, object)[:, None])
    assert found.shape == (5, 13)
    for text, row in zip(DATES, found, strict=True):
        when = datetime.datetime.fromisoformat(text)
        hour = when.hour + when.minute / 60 + when.second / 3600
        places = [
            ((when.month - 1), 12),
            ((when.day - 1), 31),
            (when.timetuple().tm_yday - 1, 366),
            (when.weekday(), 7),
            (hour, 24),
            (when.minute + when.second / 60, 60),
        ]
        years = (when - datetime.datetime(2000, 1, 1)) / datetime.timedelta(days=365.2425)
        expected = [years, *(part(2 * math.pi * a / b) for a, b in places for part in (math.sin, math.cos))]
        assert np.allclose(row, expected, atol=2e-6)


def test_dates_of_other_time_zones_and_missing_ones():
    layer = DateParts("hour", missing=True)
    assert (
        layer(np.array([["2026-01-01T01:00:00+02:00"]], object)).tolist()
        == layer(np.array([["2025-12-31 23:00"]], object)).tolist()
    )
    assert layer(np.array([[""]], object)).tolist() == [[0, 0, 1]]
    with pytest.raises(ValueError, match="row 1: has no date"):
        DateParts("hour")(np.array([["2026-01-01"], [""]], object))
    with pytest.raises(ValueError, match=r"row 0: holds '28.11.2026', which is no date in ISO 8601"):
        layer(np.array([["28.11.2026"]], object))


@pytest.mark.parametrize("components", ["hours", ("hour", "hour"), (), 3])
def test_odd_components(components):
    with pytest.raises(ValueError, match=r"DateParts: components must be some of time, month.*each once, got"):
        DateParts(components)


def test_the_middle_of_the_dates_is_time_0():
    layer = DateParts("time")
    layer.adapt(np.array([["2020-01-01"], ["2022-01-01"], ["2021-06-01"]], object))
    ends = layer(np.array([["2020-01-01"], ["2022-01-01"]], object)).ravel()
    assert ends[0] == pytest.approx(-ends[1])
    assert ends[1] == pytest.approx(731 / 2 / 365.2425)
    with pytest.raises(ValueError, match="adapt got no dates"):
        DateParts("time", missing=True).adapt(np.array([[""]], object))
