"""Low-rank factorisation, beside NumPy's singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import layers as L, regularizers
from fastnn.compress import factorize
from fastnn.models import Model, Sequential, load_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 20)).astype("f4")


def model_of(**dense) -> Sequential:
    model = Sequential([L.Input((20,)), L.Dense(24, "relu", **dense), L.Dropout(0.2), L.Dense(16, "tanh"), L.Dense(2)])
    model.set_weights([RNG.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_the_nearest_kernel_of_a_rank():
    model = model_of()
    small = factorize(model, rank=5)
    assert [layer.name for layer in small.layers] == [
        "dense_in",
        "dense",
        "dropout",
        "dense_1_in",
        "dense_1",
        "dense_2",
    ]
    for name in ("dense", "dense_1"):
        w, b = model.get_layer(name).get_weights()
        (u,), (v, bias) = small.get_layer(f"{name}_in").get_weights(), small.get_layer(name).get_weights()
        left, s, right = np.linalg.svd(w.astype("f8"))
        assert u.shape == (len(w), 5)
        np.testing.assert_allclose(u @ v, (left[:, :5] * s[:5]) @ right[:5], atol=2e-6 * s[0])
        assert np.linalg.norm(w - u @ v) == pytest.approx(np.sqrt((s[5:] ** 2).sum()), rel=1e-5)
        assert np.array_equal(b, bias)
        assert np.linalg.norm(u) == pytest.approx(np.linalg.norm(v), rel=1e-5)
    assert np.array_equal(small.layers[-1].get_weights()[0], model.layers[-1].get_weights()[0])
    h = np.maximum(X @ np.linalg.multi_dot([small.layers[0].get_weights()[0], small.layers[1].get_weights()[0]]), -9e9)
    h = np.maximum(h + small.layers[1].get_weights()[1], 0)
    u, (v, b), (last, c) = (small.get_layer(n).get_weights() for n in ("dense_1_in", "dense_1", "dense_2"))
    np.testing.assert_allclose(small.predict(X, verbose=0), np.tanh(h @ u[0] @ v + b) @ last + c, rtol=2e-3, atol=2e-4)


def test_a_kernel_of_low_rank_is_the_same():
    model = model_of()
    w = RNG.normal(size=(20, 3)) @ RNG.normal(size=(3, 24))
    model.layers[0].set_weights([w, np.ones(24)])
    small = factorize(model, energy=1.0 - 1e-9, layers="dense")
    assert small.layers[0].units == 3
    np.testing.assert_allclose(small.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("energy", [0.3, 0.6, 0.8])
def test_the_share_of_energy_that_stays(energy):
    model = model_of()
    s = np.linalg.svd(model.layers[0].get_weights()[0].astype("f8"))[1] ** 2
    rank = next(r for r in range(1, 21) if s[:r].sum() >= energy * s.sum())
    assert factorize(model, energy=energy, layers=["dense"]).layers[0].units == rank


def test_what_would_save_nothing_stays():
    model = model_of()
    assert [w.shape for w in factorize(model, rank=11).get_weights()[:1]] == [(20, 24)]  # 11 (20 + 24) > 480
    assert factorize(model, rank=10).get_weights()[0].shape == (20, 10)
    assert len(factorize(model, energy=1.0).layers) == len(model.layers)
    model.layers[0].set_weights([np.full((20, 24), np.nan), np.zeros(24)])
    assert factorize(model, rank=2).layers[0].units == 24
    model.layers[0].set_weights([np.zeros((20, 24)), np.ones(24)])
    assert factorize(model, layers="dense").layers[0].units == 1


def test_graphs():
    a, b = L.Input((12,)), L.Input((3, 12))
    shared = L.Dense(12, "relu", name="shared")
    inner = Sequential([L.Input((12,)), L.Dense(14, name="inside")], name="inner")
    h = L.Add()([shared(a), L.GlobalAveragePooling1D()(shared(b))])
    model = Model([a, b], [L.Dense(2, name="out")(inner(h)), L.TimeDistributed(L.Dense(12), name="t")(b)])
    model.set_weights([RNG.normal(size=w.shape) for w in model.get_weights()])
    small = factorize(model, rank=4)
    assert small.get_layer("shared_in").units == 4
    assert [layer.name for layer in small.get_layer("inner").layers] == ["inside_in", "inside"]
    assert len(small.get_layer("shared_in").get_weights()) == 1
    assert small.get_layer("out").get_weights()[0].shape == (14, 2)
    x = [RNG.normal(size=(5, 12)), RNG.normal(size=(5, 3, 12))]
    for name in ("shared", "inside"):
        source = model.get_layer(name) if name == "shared" else model.get_layer("inner").get_layer(name)
        target = small if name == "shared" else small.get_layer("inner")
        factors = target.get_layer(f"{name}_in").get_weights()[0] @ target.get_layer(name).get_weights()[0]
        source.set_weights([factors, *source.get_weights()[1:]])
    for one, other in zip(small.predict(x, verbose=0), model.predict(x, verbose=0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_new_model_is_like_any_other(tmp_path):
    model = model_of(use_bias=False, kernel_regularizer=regularizers.L2(0.1), kernel_constraint="max_norm")
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    small = factorize(model, rank=4)
    assert isinstance(small, Sequential)
    assert small.layers[0].kernel_regularizer is not None
    assert small.layers[1].kernel_constraint is None
    assert [layer.trainable for layer in small.layers[:3]] == [False, False, True]
    small.fit(X, X[:, :2], epochs=2, verbose=0)
    small.summary(print_fn=lambda text: None)
    small.save(tmp_path / "m.fastnn")
    assert np.array_equal(load_model(tmp_path / "m.fastnn").predict(X, verbose=0), small.predict(X, verbose=0))
    assert not factorize(model_of(), rank=2).compiled


def test_without_an_input_layer():
    model = Sequential([L.Dense(24, input_dim=20), L.Dense(3)])
    model.build()
    assert factorize(model, rank=2).predict(X, verbose=0).shape == (30, 3)


def test_what_is_refused():
    model = model_of()
    for arguments, error, words in (
        ({"rank": 0}, ValueError, "rank must be at least 1"),
        ({"rank": 2.5}, TypeError, "whole number"),
        ({"energy": 0}, ValueError, "energy must be above 0"),
        ({"energy": 1.1}, ValueError, "at most 1, got 1.1"),
        ({"energy": float("nan")}, ValueError, "energy must be above 0"),
        ({"rank": 2, "energy": 0.9}, ValueError, "not both"),
        ({"layers": "dropout"}, ValueError, "'dropout' is no Dense layer but Dropout"),
        ({"layers": "dens"}, ValueError, "no layer 'dens'"),
    ):
        with pytest.raises(error, match=words):
            factorize(model, **arguments)
    with pytest.raises(RuntimeError, match="no weights yet"):
        factorize(Sequential([L.Dense(3)]))
