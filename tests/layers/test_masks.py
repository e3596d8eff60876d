"""Masks: who makes, reads, passes on and ends one; recurrent layers, means, losses and metrics under one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Flatten, Input, Masking, SimpleRNN
from fastnn.models import Model, Sequential, load_model

KINDS = pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
X = np.array([[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]], np.float32)
F_T_F = np.array([[0, 1, 0]], bool)
WORDS, STEPS = 6, 5
IDS = np.array(
    [
        [0, 0, 0, 0, 0],
        [1, 2, 3, 0, 0],
        [0, 0, 4, 5, 1],
        [0, 2, 0, 3, 0],
        [5, 4, 3, 2, 1],
        [0, 0, 0, 0, 2],
        [3, 0, 0, 0, 0],
        *(
            np.random.default_rng(0).integers(0, WORDS, (30, STEPS))
            * np.random.default_rng(1).integers(0, 2, (30, STEPS))
        ),
    ]
)
Y = np.random.default_rng(2).normal(size=(len(IDS), STEPS, 2)).astype(np.float32)


def with_sines(layer: Any) -> Any:
    """The layer with weights sin(0, 1, 2, ..) / 2, going on through all of them, anew for each direction."""
    layer.build((None, 3, 2))
    arrays, number = [], 0
    for k, old in enumerate(layer.get_weights()):
        number = 0 if k % 3 == 0 else number
        arrays.append(np.sin(np.arange(number, number + old.size)).reshape(old.shape) / 2)
        number += old.size
    layer.set_weights(arrays)
    return layer


def test_a_masked_step_repeats_what_was_given_before() -> None:
    layer = with_sines(LSTM(2, return_sequences=True, return_state=True))
    given, h, _ = layer(X, mask=F_T_F)
    np.testing.assert_allclose(given[0], [[0, 0], [-0.208197, -0.16041], [-0.208197, -0.16041]], atol=1e-6)
    np.testing.assert_array_equal(h, given[:, -1])
    halves = [np.full((1, 2), 0.5, np.float32)] * 2
    given, *_ = layer(X, initial_state=halves, mask=F_T_F)
    np.testing.assert_allclose(given[0], [[0.5, 0.5], [0.03614, 0.022463], [0.03614, 0.022463]], atol=1e-6)


def test_zeros_for_masked_steps() -> None:
    layer = with_sines(LSTM(2, return_sequences=True, zero_output_for_mask=True))
    np.testing.assert_allclose(layer(X, mask=F_T_F)[0], [[0, 0], [-0.208197, -0.16041], [0, 0]], atol=1e-6)
    last = with_sines(LSTM(2, zero_output_for_mask=True))  # which Keras makes zeros of
    np.testing.assert_allclose(last(X, mask=F_T_F)[0], [-0.208197, -0.16041], atol=1e-6)


def test_unrolled_steps_are_masked_alike() -> None:
    for fields in ({}, {"zero_output_for_mask": True}):
        one, other = (with_sines(LSTM(2, return_sequences=True, unroll=unroll, **fields)) for unroll in (False, True))
        np.testing.assert_array_equal(one(X, mask=F_T_F), other(X, mask=F_T_F))


def test_both_directions_leave_masked_steps_out() -> None:
    layer = with_sines(Bidirectional(LSTM(2, return_sequences=True)))
    layer.backward_layer.set_weights([-w for w in layer.backward_layer.get_weights()])
    given = layer(X, mask=F_T_F)
    np.testing.assert_array_equal(given[0, [0, 2]], np.zeros((2, 4)))
    np.testing.assert_allclose(given[0, 1, :2], [-0.208197, -0.16041], atol=1e-6)


def test_where_the_padding_lies_changes_nothing() -> None:
    layer = Bidirectional(GRU(4))
    x = np.random.default_rng(3).normal(size=(1, 3, 2)).astype(np.float32)
    expected = layer(x)
    for before in range(4):
        padded = np.zeros((1, 6, 2), np.float32)
        padded[:, before : before + 3] = x
        np.testing.assert_allclose(layer(padded, mask=padded.any(-1)), expected, atol=1e-6)


def expected(layer: Any, x: np.ndarray, mask: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """What a layer gives for all steps, in float64: the formula of the steps that are there, and repeats."""
    steps, backwards = x.shape[1], layer.go_backwards
    given = np.zeros((*x.shape[:2], layer.units))
    for row in range(len(x)):
        valid = mask[row, ::-1] if backwards else mask[row]
        known = layer.reference(x[row : row + 1, mask[row]], **weights)[0] if valid.any() else ()
        at = -1
        for step in range(steps):
            at += bool(valid[step])
            if at >= 0 and (valid[step] or not layer.zero_output_for_mask):
                given[row, step] = known[at]
    return given


FIELDS: list[dict[str, Any]] = [
    {},
    {"go_backwards": True},
    {"zero_output_for_mask": True, "go_backwards": True},
    {"zero_output_for_mask": True, "activation": "softplus"},
    {"use_bias": False, "units": 1},
    {"units": 17},
]


def masked(kind: Any, fields: dict[str, Any]) -> tuple[Model, Any]:
    """Words that are masked, the layer, two numbers for each step."""
    layer = kind(**{"units": 3, **fields}, return_sequences=True)
    model = Sequential([Input((STEPS,)), Embedding(WORDS, 4, mask_zero=True), layer, Dense(2)])
    rng = np.random.default_rng(5)
    model.set_weights([w + 0.5 * rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile("sgd", "mse", metrics=["mae"])
    return model, layer


def formula(layer: Any, weights: list[np.ndarray]) -> np.ndarray:
    words, *own, kernel, bias = weights
    named = dict(zip(("kernel", "recurrent_kernel", "bias"), own, strict=False))
    return expected(layer, words[IDS], IDS != 0, named) @ kernel + bias


@KINDS
@pytest.mark.parametrize("fields", FIELDS)
def test_values_and_losses_are_the_formulas(kind: Any, fields: dict[str, Any]) -> None:
    model, layer = masked(kind, fields)
    right = formula(layer, [w.astype(float) for w in model.get_weights()])
    np.testing.assert_allclose(model.predict(IDS), right, rtol=1e-5, atol=1e-5)
    valid = IDS != 0
    loss, mae = model.evaluate(IDS, Y, verbose=0, batch_size=len(IDS))
    np.testing.assert_allclose(loss, ((right - Y) ** 2)[valid].mean(), rtol=1e-5)
    np.testing.assert_allclose(mae, np.abs(right - Y)[valid].mean(), rtol=1e-5)


@KINDS
@pytest.mark.parametrize("fields", [*FIELDS[:4], {"reset_after": False}])
def test_gradients_are_differences(kind: Any, fields: dict[str, Any]) -> None:
    if "reset_after" in fields and kind is not GRU:
        pytest.skip("a GRU's")
    model, layer = masked(kind, fields)
    model.evaluate(IDS, Y, verbose=0)
    network, valid = model.description.network, IDS != 0
    network.gradient(IDS.astype(np.float32), Y.reshape(len(IDS), -1))
    found = [g for each in model.description.layers() for g in each._placed().views(network.gradients)]
    weights = [w.astype(float) for w in model.get_weights()]
    for number, w in enumerate(weights):
        slope = np.empty_like(w)
        for at in np.ndindex(w.shape):
            kept, ends = w[at], []
            for step in (1e-6, -1e-6):
                w[at] = kept + step
                ends.append(((formula(layer, weights) - Y) ** 2)[valid].mean())
            w[at] = kept
            slope[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(found[number], slope, rtol=2e-3, atol=2e-4 * max(1e-2, np.abs(slope).max()))


@KINDS
@pytest.mark.parametrize("fields", [{}, {"dropout": 0.2, "recurrent_dropout": 0.3}, {"zero_output_for_mask": True}])
def test_same_bits_for_any_number_of_threads(kind: Any, fields: dict[str, Any]) -> None:
    ends = []
    before = fastnn.get_num_threads()
    try:
        for count in (1, 2, 3, 4, 8):
            fastnn.set_num_threads(count)
            fastnn.utils.set_random_seed(3)
            model, _ = masked(kind, {"units": 9, **fields})
            rows = np.tile(IDS, (20, 1))
            model.fit(rows, np.tile(Y, (20, 1, 1)), batch_size=200, epochs=2, verbose=0)
            ends.append(np.concatenate([w.ravel() for w in model.get_weights()]))
            whole = model.predict(IDS)
            np.testing.assert_array_equal(
                np.concatenate([model.predict(IDS[i : i + 3]) for i in range(0, 37, 3)]), whole
            )
    finally:
        fastnn.set_num_threads(before)
    for other in ends[1:]:
        np.testing.assert_array_equal(other, ends[0])


def test_files_and_pickles_keep_masks(tmp_path: Path) -> None:
    first, mask = Input((STEPS,)), Input((STEPS,))
    t = Embedding(WORDS, 4, mask_zero=True)(first)
    one = LSTM(3, return_sequences=True)(t, mask=mask)
    other = Bidirectional(GRU(2, return_sequences=True))(t, mask=t._keras_mask)
    model = Model([first, mask], L.GlobalAveragePooling1D()(L.Concatenate()([one, other])))
    given = [IDS, (IDS > 1).astype(float)]
    whole = model.predict(given)
    assert np.isfinite(whole).all()
    model.save(tmp_path / "model.fastnn")
    again = [load_model(tmp_path / "model.fastnn"), pickle.loads(pickle.dumps(model))]
    again.append(Model.from_config(model.get_config()))
    again[-1].set_weights(model.get_weights())
    for each in again:
        np.testing.assert_array_equal(each.predict(given), whole)
    each.save(tmp_path / "again.fastnn")
    assert len(load_model(tmp_path / "again.fastnn").layers) == len(model.layers)
    model.summary()


def test_a_mean_of_no_steps_is_0() -> None:
    model = Sequential([Input((3, 2)), Masking(), L.GlobalAveragePooling1D()])
    x = np.zeros((2, 3, 2), np.float32)
    x[1, 1] = [2, 4]
    np.testing.assert_array_equal(model.predict(x), [[0, 0], [2, 4]])


def test_losses_count_what_is_there() -> None:
    model = Sequential([Input((3, 1)), Masking()])
    model.compile("sgd", "mse", metrics=["mse"], weighted_metrics=["mae"])
    x = np.array([[[1], [2], [3]], [[0], [0], [0]]], np.float32)
    np.testing.assert_allclose(model.evaluate(x, 0 * x, verbose=0), [14 / 3, 14 / 3, 2])
    np.testing.assert_allclose(model.evaluate(0 * x, 0 * x + 1, verbose=0), [0, 0, 0])
    weight = np.array([[1, 0, 2], [1, 1, 1]], np.float32)
    np.testing.assert_allclose(model.evaluate(x, 0 * x, sample_weight=weight, verbose=0), [19 / 3, 14 / 3, 7 / 3])
    np.testing.assert_allclose(model.evaluate(x, 0 * x, sample_weight=weight[:, 0], verbose=0), [14 / 3, 14 / 3, 2])


def test_targets_of_steps_that_are_not_there_may_be_anything() -> None:
    model = Sequential([Input((STEPS,)), Embedding(WORDS, 4, mask_zero=True), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    labels = np.where(IDS > 0, IDS % 3, -1)
    logs = model.fit(IDS, labels, validation_data=(IDS, labels), epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())
    with pytest.raises(ValueError, match="y"):
        model.fit(IDS, np.full_like(IDS, -1), epochs=1, verbose=0)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_fit_measures_what_an_evaluation_does(masked: bool, reduction: str) -> None:
    """The loss takes the activation's place, and makes what the metrics read, once the batch is there."""
    model = Sequential([Input((STEPS,)), Embedding(WORDS, 4, mask_zero=masked), Dense(1, "sigmoid")])
    loss = fastnn.losses.BinaryCrossentropy(reduction=reduction)
    model.compile(fastnn.optimizers.SGD(1e-30), loss, metrics=["accuracy"], weighted_metrics=["mse"])
    labels = (IDS % 2).astype(np.float32)[..., None]
    weight = np.random.default_rng(4).uniform(0, 2, IDS.shape)
    for weights in (None, weight):
        logs = model.fit(IDS, labels, sample_weight=weights, batch_size=7, shuffle=False, verbose=0).history
        right = model.evaluate(IDS, labels, sample_weight=weights, batch_size=7, verbose=0, return_dict=True)
        for name, value in right.items():
            np.testing.assert_allclose(logs[name], [value], rtol=1e-6)


def test_metrics_of_all_kinds_leave_them_out() -> None:
    model = Sequential([Input((STEPS,)), Embedding(WORDS, 4, mask_zero=True), Dense(1, "sigmoid")])
    labels = (IDS % 2).astype(np.float32)[..., None]

    class Counting(fastnn.metrics.Metric):
        total = 0.0

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.total += float(np.sum(sample_weight))

        def result(self) -> float:
            return self.total

        def reset_state(self) -> None:
            self.total = 0.0

    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", fastnn.metrics.AUC(), "mse", Counting()])
    logs = model.evaluate(IDS, labels, verbose=0, return_dict=True)
    valid = IDS != 0
    flat = Sequential([Input((1,)), Dense(1)])
    auc = fastnn.metrics.AUC()
    auc.update_state(labels[valid], model.predict(IDS)[valid])
    np.testing.assert_allclose(logs["auc"], float(auc.result()), rtol=1e-6)
    assert logs["counting"] == valid.sum()
    assert flat.count_params() == 2


def test_a_users_layer_sees_the_mask() -> None:
    class Weighed(L.Layer):
        supports_masking = True

        def call(self, x: Any, mask: Any = None) -> Any:
            return x if mask is None else x * fastnn.ops.expand_dims(mask, -1)

    class Loses(L.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None

    class Makes(L.Layer):
        def call(self, x: Any) -> Any:
            return x * 1

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return Masking(2.0).compute_mask(inputs)

    t = Embedding(WORDS, 2, mask_zero=True)(first := Input((STEPS,)))
    made = Weighed()(t)
    assert made._keras_mask.shape == (None, STEPS)
    assert Loses()(made)._keras_mask is None
    np.testing.assert_array_equal(Model(first, made).predict(IDS)[IDS == 0], 0)
    assert Weighed()(Input((3, 2)))._keras_mask is None
    x = Input((3, 2))
    model = Model(x, LSTM(2, return_sequences=True, zero_output_for_mask=True)(Makes()(x)))
    rows = np.ones((1, 3, 2), np.float32)
    rows[0, 1] = 2
    given = model.predict(rows)
    assert not given[0, 1].any()
    assert given[0, [0, 2]].all()


def test_models_within_models_hand_masks_on() -> None:
    inner = Sequential([Input((STEPS, 4)), LSTM(3, return_sequences=True), Dense(2)])
    t = Embedding(WORDS, 4, mask_zero=True)(first := Input((STEPS,)))
    given = inner(t)
    assert given._keras_mask is not None
    nested = Model(first, given)
    plain = Model(first, inner.layers[1](inner.layers[0](t)))
    np.testing.assert_array_equal(nested.predict(IDS), plain.predict(IDS))
    nested.compile("sgd", "mse")
    plain.compile("sgd", "mse")
    assert nested.evaluate(IDS, Y, verbose=0) == plain.evaluate(IDS, Y, verbose=0)


def test_steps_within_steps() -> None:
    """Words of sentences of texts: each sentence has the mask of its words."""
    texts = IDS[:36].reshape(12, 3, STEPS)
    first = Input((3, STEPS))
    t = Embedding(WORDS, 4, mask_zero=True)(first)
    layer = LSTM(2)
    nested = Model(first, L.TimeDistributed(layer)(t))
    flat = Model((f := Input((STEPS,))), layer(nested.layers[1](f)))
    np.testing.assert_array_equal(nested.predict(texts).reshape(36, 2), flat.predict(IDS[:36]))


def test_what_only_a_mask_reads_does_not_learn(tmp_path: Path) -> None:
    x = Input((STEPS, 3))
    mask = Masking()(Dense(2, "relu")(x))._keras_mask
    model = Model(x, LSTM(2)(x, mask=mask))
    model.compile("adam", "mse")
    before = model.get_weights()
    rows = np.random.default_rng(6).normal(size=(20, STEPS, 3))
    model.fit(rows, np.ones((20, 2)), epochs=2, verbose=0)
    changed = [(one != other).any() for one, other in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True, True]
    model.save(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(load_model(tmp_path / "model.fastnn").predict(rows), model.predict(rows))


def test_texts_of_a_front() -> None:
    texts = np.array([["a b c"], ["b"], [""], ["c c a b"]], object)
    front = L.TextVectorization(output_sequence_length=5, vocabulary=["a", "b", "c"])
    last = LSTM(3)
    model = Sequential([Input((1,), dtype="string"), front, Embedding(5, 4, mask_zero=True), last, Dense(1)])
    ids = front(texts)
    other = Sequential([Input((5,)), model.layers[1], last, model.layers[3]])
    np.testing.assert_array_equal(model.predict(texts), other.predict(ids))
    longer = L.TextVectorization(output_sequence_length=9, vocabulary=["a", "b", "c"])
    padded = Sequential([Input((1,), dtype="string"), longer, model.layers[1], last, model.layers[3]])
    np.testing.assert_array_equal(padded.predict(texts), model.predict(texts))


def test_several_outputs_and_python_losses() -> None:
    first = Input((STEPS,))
    t = LSTM(3, return_sequences=True)(Embedding(WORDS, 4, mask_zero=True)(first))
    steps, whole = Dense(2, name="steps")(t), Dense(1, name="whole")(L.GlobalAveragePooling1D()(t))
    model = Model(first, [steps, whole])
    model.compile("sgd", ["mse", "mse"], loss_weights=[1, 2], metrics=[["mae"], ["mae"]])
    goals = [Y, Y[:, 0, :1]]
    logs = model.evaluate(IDS, goals, verbose=0, batch_size=len(IDS), return_dict=True)
    given, means = model.predict(IDS)
    right = ((given - Y) ** 2)[IDS != 0].mean() + 2 * ((means - goals[1]) ** 2).mean()
    np.testing.assert_allclose(logs["loss"], right, rtol=1e-5)

    class Squares(fastnn.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return np.mean((y_true - y_pred) ** 2, axis=-1)

    alone = Model(first, steps)
    found = []
    for loss in ("mse", Squares()):
        alone.compile("sgd", loss)
        found.append(alone.evaluate(IDS, Y, verbose=0, batch_size=len(IDS)))
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_where_a_mask_ends_is_said() -> None:
    t = Embedding(WORDS, 4, mask_zero=True)(Input((STEPS,)))
    with pytest.warns(UserWarning, match=r"layer does not support masking and will therefore destroy the mask"):
        assert Flatten()(t)._keras_mask is None
    for ends in (LSTM(2), L.GlobalAveragePooling1D(), L.Dot(1)):
        assert ends([t, t] if isinstance(ends, L.Dot) else t)._keras_mask is None
    for ends in (L.GlobalMaxPooling1D(), L.Conv1D(2, 2), L.Reshape((-1,)), L.ZeroPadding1D(1)):
        with pytest.warns(UserWarning, match="destroy the mask"):
            assert ends(t)._keras_mask is None


def test_what_cannot_be_is_said() -> None:
    x = Input((STEPS, 4))
    with pytest.raises(ValueError, match=r"layer 'lstm.*a mask of shape \(None, 4\) does not go with .*\(None, 5, 4\)"):
        LSTM(2, name="lstm")(x, mask=Input((4,)))
    with pytest.raises(ValueError, match=r"a mask of shape \(None, 4\) does not go with .*\(None, 5, 4\)"):
        L.TimeDistributed(Dense(2))(x, mask=Input((4,)))
    with pytest.raises(TypeError, match="mask must be a symbolic tensor"):
        LSTM(2)(x, mask=np.ones((2, STEPS)))
    first = Input((STEPS,))
    t = Embedding(WORDS, 4, mask_zero=True)(first)

    class Sums(L.Layer):
        supports_masking = True

        def call(self, x: Any) -> Any:
            return fastnn.ops.sum(x, axis=1)

    model = Model(first, Sums()(t))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="has a mask of 5 number"):
        model.fit(IDS, np.zeros((len(IDS), 4)), verbose=0)


def test_masks_of_arrays() -> None:
    np.testing.assert_array_equal(Embedding(WORDS, 2, mask_zero=True).compute_mask(IDS), IDS != 0)
    assert Embedding(WORDS, 2).compute_mask(IDS) is None
    np.testing.assert_array_equal(Masking(1.0).compute_mask(np.ones((2, 3))), [False, False])
    assert Dense(2).compute_mask(X, F_T_F) is F_T_F
    symbolic = Embedding(WORDS, 2, mask_zero=True).compute_mask(first := Input((STEPS,)))
    np.testing.assert_array_equal(Model(first, symbolic).predict(IDS), IDS != 0)
