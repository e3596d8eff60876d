"""Magnitude pruning, beside a callback in Python that zeroes weights after each batch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.callbacks import BackupAndRestore, Callback, EarlyStopping, LambdaCallback, ModelCheckpoint, TimeBudget
from fastnn.compress import PruneLowMagnitude, prune, sparsity, strip
from fastnn.constraints import MaxNorm, NonNeg
from fastnn.data import ArraySource
from fastnn.models import Model, Sequential, load_model
from fastnn.optimizers import SGD, Adam, Muon
from fastnn.training import Trainer
from support.small import bits

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 20)).astype("f4"), RNG.integers(0, 3, 200)


def model_of(optimizer: Any = None, constraint: Any = None, **compiled: Any) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential(
        [
            L.Input((20,)),
            L.Dense(16, "relu", kernel_constraint=constraint),
            L.Dropout(0.2),
            L.Dense(12, "tanh"),
            L.Dense(3, "softmax"),
        ]
    )
    model.compile(optimizer or Adam(0.01), "sparse_categorical_crossentropy", **compiled)
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 6, **more: Any) -> Any:
    fastnn.set_random_seed(5)
    return model.fit(X, Y, batch_size=20, epochs=epochs, verbose=0, callbacks=list(callbacks), **more)


def schedule(t: int, final: float, begin: int, end: int, first: float = 0.0) -> float:
    if t < begin:
        return 0.0
    return final + (first - final) * (1 - (min(t, end) - begin) / (end - begin)) ** 3


class InPython(Callback):
    """The same by hand: after each batch, weights that were once among the smallest are set to 0."""

    def __init__(self, final: float, begin: int, end: int, frequency: int, last: float = 0.7) -> None:
        super().__init__()
        self.numbers, self.last, self.step, self.masks = (final, begin, end, frequency), last, 0, None

    def on_train_begin(self, logs=None):
        self.update()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.update()

    def update(self):
        final, begin, end, frequency = self.numbers
        kernels = [w for w in self.model.weights if w.name == "kernel"]
        if self.masks is None:
            self.masks = [np.ones(w.shape, bool) for w in kernels]
        due = begin <= self.step <= end and ((self.step - begin) % frequency == 0 or self.step == end)
        for number, w in enumerate(kernels):
            share = min(final, self.last) if number == len(kernels) - 1 else final
            values = w.numpy() * self.masks[number]
            if due:
                count = round(schedule(self.step, share, begin, end) * values.size)
                order = np.argsort(np.abs(values), axis=None, kind="stable")
                self.masks[number].flat[order[:count]] = False
            w.assign(np.where(self.masks[number], values, 0))


@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.1, 0.9, nesterov=True, clipnorm=0.5), Muon(0.01)], ids=repr)
def test_the_engine_does_what_a_callback_by_hand_does(optimizer):
    by_hand, model = model_of(copy.deepcopy(optimizer)), model_of(optimizer)
    fit(by_hand, InPython(0.9, 5, 47, 6))
    fit(model, callback := PruneLowMagnitude(0.9, begin_step=5, end_step=47, frequency=6))
    assert bits(model) == bits(by_hand)
    assert callback.step == 60
    found = sparsity(model, by_weight=True)
    assert found == {name: round(share * n) / n for name, share, n in KERNELS}
    assert sparsity(model) == pytest.approx((288 + 173 + 25) / (320 + 192 + 36), abs=1e-12)


KERNELS = [("dense/kernel", 0.9, 320), ("dense_1/kernel", 0.9, 192), ("dense_2/kernel", 0.7, 36)]


def test_the_schedule():
    callback = PruneLowMagnitude(0.8, 0.2, begin_step=100, end_step=300)
    assert [callback.sparsity_at(t) for t in (0, 99, 100, 200, 300, 900)] == pytest.approx(
        [0, 0, 0.2, 0.8 - 0.6 / 8, 0.8, 0.8]
    )
    seen = []
    model = model_of()
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(sparsity(model, True)["dense/kernel"]))
    fit(model, PruneLowMagnitude(0.8, 0.2, 3, 23, 5), watch, epochs=3)
    # A hook of batches comes before the masks of its step.
    wanted = [schedule(t, 0.8, 3, 23, 0.2) for t in (3, 8, 13, 18, 23)]
    assert seen == pytest.approx([0] * 3 + [w for w in wanted[:4] for _ in range(5)] + [wanted[4]] * 7, abs=0.5 / 320)


def test_without_an_end_two_thirds_of_the_fit_go_by():
    model, callback = model_of(), PruneLowMagnitude(0.8, frequency=7)
    fit(model, callback)
    assert callback.sparsity_at(39) < 0.8 == callback.sparsity_at(40)
    assert sparsity(model, True)["dense/kernel"] == pytest.approx(0.8)
    fit(model, callback)
    assert callback.step == 120
    assert callback.sparsity_at(40) == 0.8
    fit(model, later := PruneLowMagnitude(0.9), initial_epoch=3)
    assert later.sparsity_at(19) < 0.9 == later.sparsity_at(20)
    assert later.step == 30


@pytest.mark.parametrize("how", ["batches", "steps", "pauses"])
def test_whatever_else_cuts_the_epochs(how):
    options = {"steps_per_execution": 4} if how == "steps" else {}
    other = TimeBudget(1000) if how == "pauses" else LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    plain, cut = model_of(), model_of(**options)
    for model, others in ((plain, ()), (cut, (other,))):
        fit(model, PruneLowMagnitude(0.9, end_step=41, frequency=9), *others)
    assert bits(cut) == bits(plain)


def test_with_gradients_of_several_batches():
    model = model_of(Adam(0.01, gradient_accumulation_steps=3))
    fit(model, PruneLowMagnitude(0.9, end_step=41, frequency=5))
    assert sparsity(model, True)["dense/kernel"] == 0.9


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [L.Dense(256, "relu", kernel_constraint=MaxNorm(1))],
        lambda: [L.Dense(256, "relu", kernel_constraint=MaxNorm(1, axis=1)), L.Dense(64)],
        lambda: [L.Reshape((8, 8)), L.Conv1D(64, 3, kernel_constraint=NonNeg()), L.Flatten()],
    ],
)
def test_the_same_bits_for_any_number_of_threads(layers):
    x, y = RNG.normal(size=(1024, 64)).astype("f4"), RNG.normal(size=(1024, 8)).astype("f4")
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4):
            fastnn.set_num_threads(threads)
            fastnn.set_random_seed(1)
            model = Sequential([L.Input((64,)), *layers(), L.Dense(8)])
            model.compile(Adam(0.01, clipnorm=1.0), "mse")
            model.fit(x, y, 256, 4, 0, callbacks=[PruneLowMagnitude(0.9, end_step=12, frequency=4)])
            found.append(bits(model))
    finally:
        fastnn.set_num_threads(before)
    assert all(each == found[0] for each in found)
    assert sparsity(model) > 0.7


# Constraints


@pytest.mark.parametrize("axis", [0, 1])
def test_beside_a_constraint(axis):
    model = model_of(SGD(0.3), MaxNorm(0.5, axis))
    fit(model, PruneLowMagnitude(0.5, end_step=20, frequency=5))
    w = model.layers[0].get_weights()[0]
    assert (w == 0).sum() == 160
    assert np.sqrt((w**2).sum(axis)).max() == pytest.approx(0.5, abs=1e-6)


def test_numbers_that_a_constraint_makes_0_are_not_lost_for_good():
    model = model_of(SGD(0.1), NonNeg())
    kept = prune(model, 0.25, layers="dense")
    first = kept.layers[0].get_weights()[0]
    assert (first == 0).sum() == 80
    fit(kept, epochs=3)
    w = kept.layers[0].get_weights()[0]
    assert (w >= 0).all()
    assert (w[first == 0] == 0).all()
    lost = (w == 0) & (first != 0)
    fit(kept, epochs=40)
    assert (kept.layers[0].get_weights()[0][lost] != 0).any()


def test_a_constraint_in_python_that_would_bring_them_back():
    model = model_of(SGD(0.1), lambda w: w + 0.01)
    pruned = fit(model, PruneLowMagnitude(0.5, end_step=10, frequency=5)) and model.layers[0].get_weights()[0]
    assert (pruned == 0).sum() == 160


def test_weights_that_are_not_finite_are_0_too():
    model = prune(model_of(), 0.5)
    w, b = model.layers[0].get_weights()
    hidden = w == 0
    model.layers[0].set_weights([np.where(hidden, -np.inf, w), b])
    model.description.trainer.configured().apply_constraints()
    assert np.array_equal(model.layers[0].get_weights()[0], w)


def test_the_moving_average_is_masked():
    model = model_of(Adam(0.01, use_ema=True, ema_momentum=0.9))
    fit(model, PruneLowMagnitude(0.9, end_step=30, frequency=5))
    assert sparsity(model, True)["dense/kernel"] == 0.9


def test_l_bfgs():
    model = prune(model_of("lbfgs"), 0.6)
    zeros = [w == 0 for w in model.get_weights()]
    first = model.evaluate(X, Y, verbose=0)
    model.fit(X, Y, 200, 5, 0)
    assert model.evaluate(X, Y, verbose=0) < first
    assert all((w[zero] == 0).all() for w, zero in zip(model.get_weights()[::2], zeros[::2], strict=True))


# Patterns


@pytest.mark.parametrize(("pattern", "stay"), [("2:4", 2), ("1:4", 1)])
def test_of_four_inputs_so_many_stay(pattern, stay):
    model = Sequential([L.Input((8, 8, 6)), L.Conv2D(5, 3), L.Flatten(), L.Dense(7), L.Dense(2)])
    made = prune(model, pattern=pattern)
    for path, w in model.description.arrays().items():
        if not path.endswith("kernel"):
            continue
        found = made.description.arrays()[path]
        inputs = w.shape[-2]
        flat, before = found.reshape(-1, inputs, w.shape[-1]), w.reshape(-1, inputs, w.shape[-1])
        for i in range(0, inputs - inputs % 4, 4):
            group, old = flat[:, i : i + 4], np.abs(before[:, i : i + 4])
            assert ((group != 0).sum(1) == stay).all()
            assert (np.where(group != 0, old, 9).min(1) >= np.where(group == 0, old, 0).max(1)).all()
        rest = inputs // 4 * 4
        assert np.array_equal(flat[:, rest:], before[:, rest:])
    assert np.array_equal(made.layers[0].get_weights()[1], model.layers[0].get_weights()[1])


def test_a_pattern_by_a_schedule():
    model = model_of()
    fit(model, PruneLowMagnitude(pattern="2:4", end_step=40, frequency=10))
    assert sparsity(model, True) == {"dense/kernel": 0.5, "dense_1/kernel": 0.5, "dense_2/kernel": 0.5}
    w = model.layers[0].get_weights()[0]
    assert ((w.reshape(5, 4, 16) != 0).sum(1) == 2).all()


# What is pruned


def test_which_layers():
    model = model_of()
    model.layers[2].trainable = False
    assert sparsity(prune(model, 0.5), True) == {"dense/kernel": 0.5, "dense_1/kernel": 0, "dense_2/kernel": 0.5}
    for layers in ("dense", ["dense"], [model.layers[0]], model.layers[0]):
        assert sparsity(prune(model, 0.5, layers=layers), True)["dense_2/kernel"] == 0
    found = sparsity(prune(model, layers={"dense": 0.25, "dense_2": 0.75}), True)
    assert found == {"dense/kernel": 0.25, "dense_1/kernel": 0, "dense_2/kernel": 0.75}
    assert sparsity(prune(model, 0.9), True)["dense_2/kernel"] == pytest.approx(0.7, abs=0.02)


def test_layers_within_others():
    tokens = L.Input((6,), dtype="int32")
    x = L.Embedding(10, 8)(tokens)
    x = L.MultiHeadAttention(2, 4)(x, x)
    x = L.Bidirectional(L.LSTM(5))(x)
    inner = Sequential([L.Input((10,)), L.Dense(4)], name="inner")
    model = Model(tokens, L.Activation("softmax")(inner(x)))
    found = sparsity(prune(model, 0.8), True)
    assert all(share == pytest.approx(0.7 if "inner" in path else 0.8, abs=0.02) for path, share in found.items())
    assert len([path for path in found if "recurrent" in path]) == 2
    made = prune(model, 0.5, layers=["embedding", "inner"])
    assert {path for path, share in sparsity(made, True).items() if share} == {"inner/dense/kernel"}
    assert (made.layers[1].get_weights()[0] == 0).mean() == 0.5


def test_shared_layers():
    shared, a, b = L.Dense(8, "relu", name="shared"), L.Input((20,)), L.Input((20,))
    model = Model([a, b], L.Dense(3, "softmax")(L.Concatenate()([shared(a), shared(b)])))
    other = Model(a, L.Dense(1)(shared(a)))
    model.compile("adam", "sparse_categorical_crossentropy")
    other.compile("adam", "mse")
    fastnn.set_random_seed(2)
    model.fit([X, X[::-1]], Y, 20, 3, 0, callbacks=[PruneLowMagnitude(0.75, end_step=20, frequency=5)])
    zeros = shared.get_weights()[0] == 0
    assert zeros.sum() == 120
    other.fit(X, X[:, :1], 20, 3, 0)
    assert np.array_equal(shared.get_weights()[0] == 0, zeros)
    third = Model(a, L.Dense(2)(shared(a)))  # which moves all three to another store
    third.compile("sgd", "mse")
    for each, y in ((third, X[:, :2]), (other, X[:, :1])):
        each.fit(X, y, 20, 2, 0)
        assert np.array_equal(shared.get_weights()[0] == 0, zeros)


# Going on


def test_a_fit_that_was_killed(tmp_path):
    class Killed(Exception):
        pass

    def kill(epoch, logs):
        if epoch == 3:
            raise Killed

    def callback():
        return PruneLowMagnitude(0.9, begin_step=2, end_step=53, frequency=9)

    for constraint in (None, NonNeg()):
        whole, killed, resumed = (model_of(constraint=constraint) for _ in range(3))
        fit(whole, callback())
        with pytest.raises(Killed):
            fit(killed, callback(), BackupAndRestore(tmp_path), LambdaCallback(on_epoch_begin=kill))
        fit(resumed, BackupAndRestore(tmp_path), again := callback())
        assert bits(resumed) == bits(whole)
        assert again.step == 60


def test_a_backup_of_another_model_or_a_damaged_one():
    model = model_of()
    callback = PruneLowMagnitude(0.9, end_step=5)
    fit(model, callback)
    state = callback.get_state()
    for odd in ({}, {"step": 1}, {**state, "masks": state["masks"][:2]}, {**state, "masks": [0, 0, 0]}, None):
        with pytest.raises(ValueError, match="expected a state with a step and 3 masks"):
            callback.set_state(odd)
    with pytest.raises(ValueError, match="step must be at least 0"):
        callback.set_state({**state, "step": -1})


def test_a_model_from_a_file_goes_on_without_losing_a_zero(tmp_path):
    model = model_of()
    fit(model, PruneLowMagnitude(0.8, end_step=40, frequency=10), ModelCheckpoint(tmp_path / "m.fastnn"))
    loaded = load_model(tmp_path / "m.fastnn")
    zeros = loaded.layers[0].get_weights()[0] == 0
    assert zeros.sum() == 256
    fit(loaded, PruneLowMagnitude(0.9, end_step=40, frequency=10))
    w = loaded.layers[0].get_weights()[0]
    assert (w[zeros] == 0).all()
    assert (w == 0).sum() == 288


def test_masks_stay_for_the_next_fit_and_another_compile():
    model = model_of()
    fit(model, PruneLowMagnitude(0.9, end_step=10))
    zeros = [w == 0 for w in model.get_weights()]
    model.compile("sgd", "sparse_categorical_crossentropy")
    fit(model)
    model.train_on_batch(X, Y)
    found = [w == 0 for w in model.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(zeros[::2], found[::2], strict=True))


def test_weights_that_another_callback_brings_back_are_pruned():
    model = model_of(metrics=["accuracy"])
    stop = EarlyStopping("loss", mode="max", patience=100, restore_best_weights=True)
    fit(model, PruneLowMagnitude(0.9, end_step=50, frequency=10), stop)
    assert sparsity(model, True)["dense/kernel"] == 0.9


def test_strip(tmp_path):
    model = model_of()
    fit(model, PruneLowMagnitude(0.9, end_step=10))
    model.set_weights([w + 1 for w in model.get_weights()])
    plain = strip(model)
    assert not plain.compiled
    assert sparsity(plain, True)["dense/kernel"] == 0.9
    assert np.allclose(plain.predict(X), model.predict(X))
    model.save(tmp_path / "a")
    plain.save(tmp_path / "b")
    assert (tmp_path / "b").stat().st_size < 0.6 * (tmp_path / "a").stat().st_size
    plain.compile("adam", "sparse_categorical_crossentropy")
    fit(plain, epochs=1)
    assert sparsity(plain) < 0.1


def test_a_trainer_of_its_own():
    model = model_of()
    trainer = Trainer(model, "adam", "sparse_categorical_crossentropy", callbacks=[PruneLowMagnitude(0.9, end_step=10)])
    trainer.fit(ArraySource(X, Y[:, None].astype("f4")), epochs=2, batch_size=20)
    assert sparsity(model, True)["dense/kernel"] == 0.9


def test_copies_have_no_masks():
    model = prune(model_of(), 0.5)
    for made in (copy.copy(model), copy.deepcopy(model)):
        fit(made, epochs=1)
        assert sparsity(made) < 0.1
    fit(model, epochs=1)
    assert sparsity(model) == pytest.approx(0.5, abs=0.01)


def test_the_model_that_prune_was_given_stays_as_it_is():
    model = model_of()
    fit(model, epochs=1)
    before = bits(model)
    made = prune(model, 0.5)
    assert bits(model) == before
    assert made.optimizer.iterations == model.optimizer.iterations
    fit(model, epochs=1)
    assert sparsity(model) == 0


def test_equal_and_few_weights():
    model = Sequential([L.Input((4,)), L.Dense(3, kernel_initializer="ones"), L.Dense(1)])
    w = prune(model, 0.5, layers="dense").layers[0].get_weights()[0]
    assert w.ravel().tolist() == [0] * 6 + [1] * 6
    tiny = prune(Sequential([L.Input((1,)), L.Dense(1)]), 0.4)
    assert sparsity(tiny) == 0
    zeros = Sequential([L.Input((4,)), L.Dense(3, kernel_initializer="zeros"), L.Dense(1)])
    assert sparsity(prune(zeros, 0.5, layers="dense"), True)["dense/kernel"] == 1  # but half of them may learn
    no_kernels = Sequential([L.Input((4,)), L.Flatten()])
    assert sparsity(no_kernels) == 0


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ValueError, "give a final sparsity"),
        ({"final_sparsity": 1}, ValueError, "below 1, got 1"),
        ({"final_sparsity": -0.1}, ValueError, "at least 0"),
        ({"final_sparsity": float("nan")}, ValueError, "at least 0"),
        ({"final_sparsity": "much"}, TypeError, "must be a number, got 'much'"),
        ({"final_sparsity": 0.5, "initial_sparsity": 0.6}, ValueError, "at most final_sparsity, 0.5, got 0.6"),
        ({"final_sparsity": 0.5, "begin_step": 5, "end_step": 4}, ValueError, "end_step must be at least 5"),
        ({"final_sparsity": 0.5, "frequency": 0}, ValueError, "frequency must be at least 1"),
        ({"final_sparsity": 0.5, "begin_step": 1.5}, TypeError, "whole number"),
        ({"final_sparsity": 0.6, "pattern": "2:4"}, ValueError, "a pattern of 2:4 is a sparsity of 0.5"),
        ({"layers": {"dense": 0.9}, "pattern": "2:4"}, ValueError, "for all its layers"),
        ({"pattern": "3:4"}, ValueError, "must be None, '2:4' or '1:4', got '3:4'"),
    ],
)
def test_numbers_that_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        PruneLowMagnitude(**arguments)


def test_layers_that_are_refused():
    model = model_of()
    for layers, error, words in (
        ("dens", ValueError, "no layer 'dens' \\(did you mean 'dense'"),
        (5, TypeError, "names or layers, got 5"),
        ([5], ValueError, "no layer 5"),
        (L.Dense(3), ValueError, "no layer"),
        ("dropout", ValueError, "nothing to prune"),
        ({"dense": 2}, ValueError, "layers\\['dense'\\] must be at least 0"),
    ):
        with pytest.raises(error, match=words):
            prune(model, 0.5, layers=layers)
        with pytest.raises(error, match=words):
            fit(model, PruneLowMagnitude(0.5, layers=layers))


def test_models_that_are_refused():
    for call in (lambda m: prune(m, 0.5), sparsity, strip):
        with pytest.raises(RuntimeError, match="has no weights yet"):
            call(Sequential([L.Dense(3)]))
        with pytest.raises(TypeError, match="must be a fastnn"):
            call(5)


@pytest.mark.parametrize("layers", [None, ["gru"], {"gru": 0.5}])
def test_biases_stay(layers: object) -> None:
    """Those of a GRU have two axes."""
    model = Sequential([L.Input((4, 3)), L.GRU(6, name="gru", bias_initializer="random_normal"), L.Dense(1)])
    pruned = prune(model, 0.5, layers=layers).get_layer("gru").get_weights()
    assert [bool((array == 0).any()) for array in pruned] == [True, True, False]
