"""Embedding(sparse_updates=True): the rows alone step that a batch touches, as lazy optimizers are defined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import constraints, layers as L, optimizers as O, regularizers
from fastnn.callbacks import BackupAndRestore
from fastnn.models import Model, Sequential, load_model
from fastnn.training import trainer
from support.small import bits

IDS, DEPTH, ROWS = 300, 5, 96
RNG = np.random.default_rng(0)
X = RNG.integers(0, IDS, (ROWS, 4)).astype(np.int32)
Y = RNG.standard_normal((ROWS, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def model_of(optimizer: Any, sparse: bool = True, ids: int = IDS, depth: int = DEPTH, **more: Any) -> Sequential:
    fastnn.set_random_seed(1)
    table = L.Embedding(ids, depth, sparse_updates=sparse, **more)
    model = Sequential([L.Input((4,), dtype="int32"), table, L.Flatten(), L.Dense(6, "tanh"), L.Dense(2)])
    model.compile(optimizer, "mse")
    return model


def shared(optimizer: Any, sparse: bool = True) -> Model:
    """One table, read by two calls."""
    fastnn.set_random_seed(1)
    table, x = L.Embedding(IDS, DEPTH, sparse_updates=sparse), L.Input((4,), dtype="int32")
    both = L.Multiply()([L.Flatten()(table(x)), L.Dense(20)(L.Flatten()(table(x)))])
    model = Model(x, L.Dense(2)(both))
    model.compile(optimizer, "mse")
    return model


def sliced(optimizer: Any, sparse: bool = True) -> Sequential:
    """The table has several rows for each of the network's."""
    fastnn.set_random_seed(1)
    table = L.TimeDistributed(L.Embedding(IDS, DEPTH, sparse_updates=sparse))
    model = Sequential([L.Input((2, 2)), table, L.Flatten(), L.Dense(2)])
    model.compile(optimizer, "mse")
    return model


def in_parts(optimizer: Any, sparse: bool = True) -> Sequential:
    """Batches of it go by parts."""
    fastnn.set_random_seed(1)
    wide = [L.Dense(8192, "tanh"), L.Dense(4), L.Flatten(), L.Dense(2)]
    table = L.Embedding(60, DEPTH, sparse_updates=sparse)
    model = Sequential([L.Input((64,)), table, *wide])
    model.compile(optimizer, "mse")
    return model


def fitted(model: Any, x: Any = X, dense: bool = False, **how: Any) -> Any:
    """The model after a fit; dense: by the gradients of all rows, whatever it asks for."""
    with pytest.MonkeyPatch.context() as patch:
        if dense:
            patch.setattr(
                trainer, "with_sparse_steps", lambda _, found: ([v._replace(sparse=False) for v in found], "")
            )
        model.fit(x, Y[: len(x)], **{"batch_size": 40, "epochs": 3, "verbose": 0, **how})
    return model


def is_sparse(model: Any, of: Any = None) -> bool:
    """Whether the model's optimizer has rows step alone."""
    variables, _ = trainer.with_sparse_steps(of or model.optimizer, model.description.variables())
    return any(variable.sparse for variable in variables)


# The same as ever.


@pytest.mark.parametrize("optimizer", [lambda: O.SGD(0.5), lambda: O.SGD(0.5, clipvalue=1e-3)], ids=["sgd", "clip"])
@pytest.mark.parametrize("depth", [1, 3, 16, 1100])
def test_plain_sgd_steps_by_rows_unasked_to_the_bit(optimizer: Any, depth: int) -> None:
    model = fitted(model_of(optimizer(), False, depth=depth))
    assert is_sparse(model)
    assert bits(model) == bits(fitted(model_of(optimizer(), False, depth=depth), dense=True))


@pytest.mark.parametrize("make", [shared, sliced])
def test_tables_that_are_read_in_other_ways(make: Any) -> None:
    x = X.reshape(ROWS, 2, 2) if make is sliced else X
    assert bits(fitted(make(O.SGD(0.5), False), x)) == bits(fitted(make(O.SGD(0.5), False), x, dense=True))
    lazy, dense = (fitted(make(O.Adagrad(0.5), sparse), x) for sparse in (True, False))
    for one, other in zip(lazy.get_weights(), dense.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_batch_that_goes_by_parts() -> None:
    x = RNG.integers(0, 60, (12, 64))
    model = fitted(in_parts(O.SGD(0.5), False), x, batch_size=12)
    assert 0 < model.description.network.part_rows < 12
    assert bits(model) == bits(fitted(in_parts(O.SGD(0.5), False), x, dense=True, batch_size=12))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: O.SGD(0.1, momentum=0.9),
        lambda: O.SGD(0.1, weight_decay=0.1),
        lambda: O.SGD(0.1, clipnorm=0.1),
        lambda: O.SGD(0.1, global_clipnorm=0.1),
        lambda: O.SGD(0.1, use_ema=True),
        lambda: O.SGD(0.1, gradient_accumulation_steps=2),
        lambda: O.DPSGD(0.1, noise=0.5, clip=0.2),
        lambda: O.Adam(),
        lambda: O.LBFGS(),
    ],
)
def test_whatever_else_is_asked_for_is_done_to_all_rows_unless_the_table_says_otherwise(optimizer: Any) -> None:
    assert not is_sparse(model_of("sgd", False), optimizer())


def test_a_penalty_or_a_constraint_is_for_all_rows() -> None:
    assert is_sparse(model_of("sgd", False))
    assert not is_sparse(model_of("sgd", False, embeddings_regularizer="l2"))
    assert not is_sparse(model_of("sgd", False, embeddings_constraint="non_neg"))


# Lazy forms.

LAZY = {
    "sgd": lambda **k: O.SGD(0.1, **k),
    "momentum": lambda **k: O.SGD(0.1, momentum=0.9, **k),
    "nesterov": lambda **k: O.SGD(0.1, momentum=0.9, nesterov=True, **k),
    "adam": lambda **k: O.Adam(0.02, **k),
    "amsgrad": lambda **k: O.Adam(0.02, amsgrad=True, **k),
    "adamw": lambda **k: O.AdamW(0.02, weight_decay=0.0, **k),
    "nadam": lambda **k: O.Nadam(0.02, **k),
    "adamax": lambda **k: O.Adamax(0.02, **k),
    "adagrad": lambda **k: O.Adagrad(0.1, **k),
    "adadelta": lambda **k: O.Adadelta(1.0, **k),
    "rmsprop": lambda **k: O.RMSprop(0.02, momentum=0.5, centered=True, **k),
    "ftrl": lambda **k: O.Ftrl(0.1, l1_regularization_strength=1e-3, l2_shrinkage_regularization_strength=0.01, **k),
    "lion": lambda **k: O.Lion(0.01, **k),
    "rprop": lambda **k: O.Rprop(0.01, **k),
}
EXACT = ("sgd", "adagrad")


def bare(optimizer: Any, sparse: bool = True) -> Sequential:
    """Rows of the table are its outputs, so that their gradients are known."""
    fastnn.set_random_seed(1)
    model = Sequential([L.Input((2,), dtype="int32"), L.Embedding(12, 3, sparse_updates=sparse), L.Flatten()])
    model.compile(optimizer, "mse")
    return model


def reference(optimizer: Any, table: Any, x: Any, y: Any, norm: float | None = None) -> Any:
    """The weights after one step for each batch of 8 rows, in float64: of each touched row by itself."""
    w = table.astype(float)
    slots = [np.full(w.shape, start) for start in optimizer.slot_starts]
    for step in range(len(x) // 8):
        rows, targets = x[step * 8 : step * 8 + 8], y[step * 8 : step * 8 + 8].astype(float)
        slope = 2 * (w[rows].reshape(8, -1) - targets) / targets.size
        gradient = np.zeros_like(w)
        np.add.at(gradient, rows, slope.reshape(8, 2, 3))
        touched = np.unique(rows)
        length = np.sqrt((gradient**2).sum())
        gradient *= norm / max(norm, length) if norm else 1
        own = [slot[touched] for slot in slots]
        w[touched] = optimizer.reference(w[touched], gradient[touched], own, step + 1)
        for slot, values in zip(slots, own, strict=True):
            slot[touched] = values
    return w, slots


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.05}, {"global_clipnorm": 0.05}], ids=["plain", "norm", "all"])
@pytest.mark.parametrize("name", LAZY)
def test_as_the_rule_on_the_touched_rows(name: str, clip: dict[str, float]) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 12, (40, 2)), rng.standard_normal((40, 6)).astype(np.float32)
    x[:, 0] %= 5  # some rows seldom
    model = bare(LAZY[name](**clip))
    w, slots = reference(model.optimizer, model.get_weights()[0], x, y, next(iter(clip.values()), None))
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=3e-5, atol=3e-6)
    _, found = model.description.trainer.state()
    for slot, values in zip(found.values(), slots, strict=False):
        np.testing.assert_allclose(slot[: w.size].reshape(w.shape), values, rtol=3e-4, atol=3e-6)


@pytest.mark.parametrize("name", LAZY)
def test_exact_forms_are_those_of_all_rows_and_others_are_not(name: str) -> None:
    lazy, dense = (fitted(model_of(LAZY[name](), sparse)) for sparse in (True, False))
    assert (bits(lazy) == bits(dense)) == (name in EXACT)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_a_norm_is_that_of_all_touched_rows(clip: str) -> None:
    lazy, dense, free = (
        fitted(model_of(O.SGD(0.5, **options), sparse))
        for options, sparse in (({clip: 0.02}, True), ({clip: 0.02}, False), ({}, False))
    )
    assert bits(lazy) != bits(free)
    for one, other in zip(lazy.get_weights(), dense.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_as_pytorch_does() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 50, (160, 2)), rng.standard_normal((160, 6)).astype(np.float32)
    fastnn.set_random_seed(1)
    model = Sequential([L.Input((2,), dtype="int32"), L.Embedding(50, 3, sparse_updates=True), L.Flatten()])
    model.compile(O.Adam(0.02, epsilon=1e-8), "mse")
    table = torch.nn.Embedding.from_pretrained(torch.tensor(model.get_weights()[0]), freeze=False, sparse=True)
    optimizer = torch.optim.SparseAdam(list(table.parameters()), lr=0.02, eps=1e-8)
    for start in range(0, 160, 8):
        optimizer.zero_grad()
        output = table(torch.tensor(x[start : start + 8])).flatten(1)
        torch.nn.functional.mse_loss(output, torch.tensor(y[start : start + 8])).backward()
        optimizer.step()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], table.weight.detach().numpy(), rtol=1e-4, atol=1e-5)


# What a batch touches.


def slots_of(model: Any) -> Any:
    """The second slot of Adam where the table lies: 0 where nothing has stepped."""
    _, slots = model.description.trainer.state()
    return slots["velocity"][: IDS * DEPTH].reshape(IDS, DEPTH)


def test_other_rows_keep_all_their_bits() -> None:
    model = model_of("adam")
    before = model.get_weights()[0]
    fitted(model, X[:20] % 7, epochs=5)
    after = model.get_weights()[0]
    assert (after[:7] != before[:7]).all()
    assert after[7:].tobytes() == before[7:].tobytes()
    assert not slots_of(model)[7:].any()


def test_a_row_of_weight_0_touches_nothing() -> None:
    weight = np.ones(40)
    weight[::2] = 0
    x = np.where(weight[:, None] == 0, X[:40] % 9 + 100, X[:40] % 9)
    model, alone = model_of(O.Adam(epsilon=1e-30)), model_of(O.Adam(epsilon=1e-30))
    for each, rows in ((model, slice(None)), (alone, slice(1, None, 2))):
        for _ in range(3):
            each.fit(x[rows], Y[:40][rows], 40, verbose=0, shuffle=False, sample_weight=weight[rows])
    assert not slots_of(model)[100:].any()
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_masked_step_touches_nothing() -> None:
    fastnn.set_random_seed(1)
    table = L.Embedding(IDS, DEPTH, mask_zero=True, sparse_updates=True)
    model = Sequential([L.Input((4,)), table, L.LSTM(3), L.Dense(2)])
    model.compile("adam", "mse")
    before = model.get_weights()[0]
    x = X % 5
    x[:, 2:] = 0
    x[:, 0] = np.maximum(x[:, 0], 1)
    model.fit(x, Y, 40, verbose=0)
    after = model.get_weights()[0]
    assert after[0].tobytes() == before[0].tobytes()
    assert (after[1:5] != before[1:5]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.float32])
def test_ids_of_any_type(dtype: Any) -> None:
    x = X % 200
    assert bits(fitted(model_of("adam"), x.astype(dtype))) == bits(fitted(model_of("adam"), x))


def test_behind_a_hashing_layer() -> None:
    fastnn.set_random_seed(1)
    layers = [L.Hashing(5000), L.Embedding(5000, 3, sparse_updates=True), L.Flatten(), L.Dense(2)]
    model = Sequential([L.Input((2,), dtype="string"), *layers])
    model.compile("adam", "mse")
    words = np.array([["a", "b"], ["c", "d"], ["a", "e"]], object)
    before = model.get_weights()[0]
    model.fit(words, Y[:3], epochs=3, verbose=0)
    changed = (model.get_weights()[0] != before).any(axis=1)
    assert sorted(np.flatnonzero(changed)) == sorted(set(np.ravel(layers[0](words)).tolist()))


def test_a_frozen_table_stays() -> None:
    model = model_of("adam")
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    before = bits(model)
    fitted(model)
    assert bits(model)[0] == before[0] != bits(model)[1]
    model.layers[0].trainable = True
    model.compile("adam", "mse")
    assert bits(fitted(model))[0] != before[0]


def test_a_network_of_nothing_else() -> None:
    model = bare(O.Adam(0.1))
    x, y = X[:, :2] % 12, np.zeros((ROWS, 6), np.float32)
    first = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, verbose=0) < first / 2


def test_beside_pruned_kernels() -> None:
    model = fastnn.compress.prune(model_of("adam"), 0.5)
    before = model.get_weights()
    fitted(model, X % 7)
    after = model.get_weights()
    assert ((after[1] == 0) == (before[1] == 0)).all()
    assert 0.4 < (after[1] == 0).mean() < 0.6
    assert ((after[0] != before[0]).any(axis=1) == (np.arange(IDS) < 7)).all()


def test_gradients_that_are_given_step_where_they_are_not_0() -> None:
    one, other = model_of("adam"), model_of("adam")
    for start in range(0, 80, 20):
        x, y = X[start : start + 20] % 40, Y[start : start + 20]
        one.train_on_batch(x, y)
        other.optimizer.apply_gradients(zip(other.gradient(x, y), other.trainable_variables, strict=True))
    for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)
    assert not slots_of(other)[40:].any()


# Whatever happens, all of a batch or nothing of it.


@pytest.mark.parametrize("wrong", [-1, IDS, 2**30])
def test_a_wrong_id_changes_nothing(wrong: int) -> None:
    model = fitted(model_of("adam"))
    x, before = X.copy(), bits(model)
    x[3, 1] = wrong
    slots = slots_of(model).tobytes()
    with pytest.raises(ValueError, match=f"expects whole numbers from 0 to {IDS - 1}, got {wrong} in column 1 of row"):
        model.fit(x, Y, 96, verbose=0)
    assert (bits(model), slots_of(model).tobytes()) == (before, slots)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    """The loss and each place's part of the gradient are finite, their sum is not."""
    model = bare(O.Adam(0.1))
    model.compile(O.Adam(0.1), fastnn.losses.MeanSquaredError(reduction="sum"))
    x, y = np.array([[0, 3], [3, 3], [3, 2]]), np.zeros((3, 6), np.float32)
    model.fit(x, y, verbose=0)
    weights = model.get_weights()[0]
    weights[3, 1] = 3e38
    model.set_weights([weights])
    before = bits(model), [slot.tobytes() for slot in model.description.trainer.state()[1].values()]
    with pytest.raises(FloatingPointError, match="embedding"):
        model.fit(x, y, verbose=0)
    assert (bits(model), [slot.tobytes() for slot in model.description.trainer.state()[1].values()]) == before


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["sgd", "adam", "clipped"])
def test_bits_do_not_depend_on_threads(name: str, threads: int) -> None:
    def left(threads: int) -> Any:
        fastnn.set_num_threads(threads)
        fastnn.set_random_seed(1)
        model = Sequential([L.Input((8,), dtype="int32"), L.Embedding(3000, 16, sparse_updates=True), L.Flatten()])
        model.add(L.Dense(256, "tanh"))
        model.add(L.Dense(2))
        model.compile(O.Adam(global_clipnorm=0.01) if name == "clipped" else name, "mse")
        model.predict(x[:1])
        model.description.network.delay_for_tests(3, threads - 1, 1e-4)  # engine/network.pxd: gradients
        history = model.fit(x, y, 256, epochs=2, verbose=0).history
        assert threads == 1 or model.description.network.delays
        return history, bits(model), [slot.tobytes() for slot in model.description.trainer.state()[1].values()]

    rng = np.random.default_rng(1)
    x = np.minimum(rng.zipf(1.3, (2048, 8)), 2999).astype(np.int32)
    y = rng.standard_normal((2048, 2)).astype(np.float32)
    assert left(threads) == left(1)


# Going on.


def test_saved_and_loaded_it_goes_on_with_the_same_bits(tmp_path: Any) -> None:
    model = fitted(model_of(O.Adam(0.01)))
    model.save(tmp_path / "a.fastnn")
    other = load_model(tmp_path / "a.fastnn")
    assert other.layers[0].sparse_updates
    for each in (model, other):
        each.fit(X, Y, 40, verbose=0, shuffle=False)
    assert bits(model) == bits(other)
    assert slots_of(model).tobytes() == slots_of(other).tobytes()


def test_a_backup_goes_on_with_the_same_bits(tmp_path: Any) -> None:
    whole = fitted(model_of("adam"), epochs=4)
    fastnn.set_random_seed(1)
    first = model_of("adam")

    class Stop(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(first, epochs=4, callbacks=[BackupAndRestore(tmp_path), Stop()])
    again = fitted(model_of("adam"), epochs=4, callbacks=[BackupAndRestore(tmp_path)])
    assert bits(again) == bits(whole)


def test_its_configuration_goes_round() -> None:
    layer = L.Embedding(5, 3, sparse_updates=True)
    assert L.Embedding.from_config(layer.get_config()).sparse_updates
    assert not L.Embedding.from_config({"input_dim": 5, "output_dim": 3}).sparse_updates
    with pytest.raises(TypeError, match="sparse_updates"):
        L.Embedding(5, 3, sparse_updates="yes")


def test_keras_is_not_told(tmp_path: Any) -> None:
    pytest.importorskip("h5py")
    model = model_of("adam")
    model.save(tmp_path / "a.keras")
    other = load_model(tmp_path / "a.keras")
    assert not other.layers[0].sparse_updates
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


# What needs all rows is refused by name.

REFUSED = {
    "weight_decay": (lambda: O.Adam(weight_decay=0.1), {}),
    "AdamW|weight_decay": (lambda: O.AdamW(), {}),
    "use_ema": (lambda: O.Adam(use_ema=True), {}),
    "gradient_accumulation_steps": (lambda: O.Adam(gradient_accumulation_steps=2), {}),
    "LBFGS": (lambda: O.LBFGS(), {}),
    "DPSGD": (lambda: O.DPSGD(0.1, noise=0.5, clip=0.2), {}),
    "Muon": (lambda: O.Muon(), {}),
    "Lamb": (lambda: O.Lamb(), {}),
    "Adafactor": (lambda: O.Adafactor(), {}),
    "ScheduleFreeAdamW": (lambda: O.ScheduleFreeAdamW(), {}),
    "embeddings_regularizer": (lambda: "adam", {"embeddings_regularizer": "l2"}),
    "embeddings_regularizer ": (lambda: "adam", {"embeddings_regularizer": regularizers.OrthogonalRegularizer()}),
    "embeddings_constraint": (lambda: "adam", {"embeddings_constraint": constraints.MaxNorm(1.0)}),
    "embeddings_constraint ": (lambda: "adam", {"embeddings_constraint": lambda w: w}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_all_rows_is_refused(name: str) -> None:
    make, more = REFUSED[name]
    model = model_of(make(), **more)
    before = bits(model)
    with pytest.raises(ValueError, match=rf"embedding\w*/embeddings: sparse_updates does not go with ({name.strip()})"):
        model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="sparse_updates"):
        model.train_on_batch(X, Y)
    assert bits(model) == before


def test_what_is_refused_predicts_is_judged_saved_and_loaded(tmp_path: Any) -> None:
    optimizer = O.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=["embeddings"])
    model = fitted(model_of(optimizer))
    model.save(tmp_path / "a.fastnn")
    other = load_model(tmp_path / "a.fastnn")  # a file does not have what was excluded
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="exclude_from_weight_decay"):
        other.fit(X, Y, verbose=0)
    pairs = zip(other.gradient(X, Y), other.trainable_variables, strict=True)
    with pytest.raises(ValueError, match="exclude_from_weight_decay"):
        other.optimizer.apply_gradients(pairs)
    assert bits(other) == bits(model)


def test_every_optimizer_works_or_is_refused() -> None:
    for name, cls in O.OPTIMIZERS.units.items():
        model = model_of(cls(weight_decay=0.0) if name == "adamw" else cls())
        try:
            fitted(model)
        except ValueError as error:
            assert "sparse_updates does not go with" in str(error), name  # noqa: PT017
        assert np.isfinite(np.concatenate([w.ravel() for w in model.get_weights()])).all()


def test_a_table_that_does_not_decay_may_have_its_rows_step_alone() -> None:
    optimizer = O.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=["embeddings"])
    model = model_of(optimizer)
    before = model.get_weights()[0]
    fitted(model, X % 7)
    assert model.get_weights()[0][7:].tobytes() == before[7:].tobytes()


def test_large_tables_are_drawn_by_rows_with_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for initializer in (fastnn.initializers.RandomUniform(), fastnn.initializers.RandomNormal(seed=3)):
        whole = initializer((70, 5), rng=np.random.default_rng(1))
        monkeypatch.setattr("fastnn.initializers.base.AT_ONCE", 64)
        np.testing.assert_array_equal(initializer((70, 5), rng=np.random.default_rng(1)), whole)
        monkeypatch.undo()
