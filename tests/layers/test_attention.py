"""Attention beyond what all layers are tested for: Keras's numbers, masks, causal in each path, dropout, errors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn import ops
from fastnn.layers import AdditiveAttention, Attention, GroupQueryAttention, Input, MultiHeadAttention
from fastnn.models import Model, Sequential, load_model
from fastnn.optimizers import SGD, Adam

RNG = np.random.default_rng


def sin_weights(layer: Any) -> list[np.ndarray]:
    """sin(0, 1, 2, ..) / 2, going on through the layer's arrays."""
    shapes, at, found = [w.shape for w in layer.get_weights()], 0, []
    for shape in shapes:
        n = int(np.prod(shape))
        found.append(np.sin(np.arange(at, at + n)).reshape(shape) / 2)
        at += n
    return found


X = np.sin(np.arange(1, 13)).reshape(1, 3, 4).astype(np.float32)
CAUSAL = [0.223345, 0.616377, 0.442715, -0.137977]
BIAS = [0.283054, 0.49976, 0.256989, -0.222056]  # of the output, among sin weights


def multi_head(**fields: Any) -> Any:
    layer = MultiHeadAttention(2, 2, **fields)
    layer.build((None, 3, 4), (None, 3, 4))
    layer.set_weights(sin_weights(layer))
    return layer


def test_numbers_of_keras() -> None:
    layer = multi_head()
    np.testing.assert_allclose(layer(X, X)[0, 0], [0.243806, 0.588467, 0.392093, -0.164769], atol=1e-6)
    np.testing.assert_allclose(layer(X, X, use_causal_mask=True)[0, 0], CAUSAL, atol=1e-6)
    names = [f"{part}/{kind}" for part in ("query", "key", "value", "attention_output") for kind in ("kernel", "bias")]
    assert [w.path for w in layer.weights] == names
    assert [w.shape for w in layer.weights][::2] == [(4, 2, 2), (4, 2, 2), (4, 2, 2), (2, 2, 4)]


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", [multi_head, lambda dropout: GroupQueryAttention(2, 4, 2, dropout)])
def test_causal_in_every_path(make: Any, rate: float, scores: bool, masked: bool) -> None:
    layer, query = make(dropout=rate), Input((3, 4))
    mask = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1]])
    named = {"attention_mask": mask} if masked else {}
    given = layer(query, query, use_causal_mask=True, return_attention_scores=scores, **named)
    model = Model(query, given)
    found = model.predict(X)
    out = found[0] if scores else found
    weights = layer.reference([X, X], layer.get_weights(), *([mask[None]] if masked else []), causal=True)
    np.testing.assert_allclose(out, weights[0], atol=1e-6)
    later = X.copy()
    later[:, 1:] += 1  # what comes after the first query changes nothing that it gives
    np.testing.assert_array_equal((model.predict(later)[0] if scores else model.predict(later))[:, 0], out[:, 0])
    if scores:
        seen = np.tril(np.ones((3, 3))) * (mask if masked else 1)
        assert ((found[1] != 0) == (seen != 0)).all()
        np.testing.assert_allclose(found[1].sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("scores", [False, True])
def test_a_query_that_sees_nothing_has_the_bias_and_finite_gradients(rate: float, scores: bool) -> None:
    layer, query, mask = multi_head(dropout=rate), Input((3, 4)), Input((3, 3))
    given = layer(L.Dense(4)(query), query, attention_mask=mask, return_attention_scores=scores)
    model = Model([query, mask], given[0] if scores else given)
    model.compile("adam", "mse")
    x, seen = RNG(0).normal(size=(20, 3, 4)), np.ones((20, 3, 3))
    seen[:, 1] = 0
    seen[7] = 0
    out = model.predict([x, seen])
    np.testing.assert_allclose(out[:, 1], np.tile(BIAS, (20, 1)), atol=1e-6)
    np.testing.assert_allclose(out[7], np.tile(BIAS, (3, 1)), atol=1e-6)
    assert (out[0, 0] != out[0, 1]).any()
    model.fit([x, seen], np.zeros((20, 3, 4)), epochs=2, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.fit([x, np.zeros((20, 3, 3))], np.zeros((20, 3, 4)), epochs=2, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


class Masked(L.Layer):
    """A layer whose masks come of tensors that learn, which have no slope by them."""

    def __init__(self, layer: Any, names: tuple[str, ...], **call: Any) -> None:
        super().__init__()
        self.layer, self.names, self.options = layer, names, call

    def call(self, inputs: Any) -> Any:
        query, value, *masks = inputs
        named = {name: ops.relu(ops.sign(mask)) for name, mask in zip(self.names, masks, strict=True)}
        return self.layer(query, value, **named, **self.options)


SHAPES = {
    "query_mask": [(4,)],
    "value_mask": [(5,)],
    "key_mask": [(5,)],
    "attention_mask": [(4, 5), (1, 5), (4, 1), (2, 4, 5), (2, 1, 5), (5,)],
}
MASKS = [((name,), (shape,)) for name, shapes in SHAPES.items() for shape in shapes]
MASKS += [
    (("query_mask", "value_mask", "key_mask", "attention_mask"), ((4,), (5,), (5,), (2, 4, 1))),
    (("value_mask", "attention_mask"), ((5,), (4, 5))),
]


@pytest.mark.parametrize(("names", "rows"), MASKS)
@pytest.mark.parametrize("call", [{}, {"use_causal_mask": True}])
@pytest.mark.parametrize("make", [MultiHeadAttention, lambda n, h, **f: GroupQueryAttention(h, n, 1, **f)])
def test_masks_and_their_gradients(names: Any, rows: Any, call: Any, make: Any) -> None:
    layer = make(2, 3, sliding_window=3)
    first = Input((6,))
    parts = [L.Reshape(row)(L.Dense(int(np.prod(row)))(first)) for row in ((4, 3), (5, 2), *rows)]
    model = Model(first, L.Flatten()(Masked(layer, names, **call)(parts)))
    rng = RNG(1)
    model.set_weights([w + 0.5 * rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(19, 6)).astype(np.float32), rng.normal(size=(19, 12)).astype(np.float32)
    weights = [w.astype(np.float64) for w in model.get_weights()]

    def formula() -> np.ndarray:
        given = [x @ weights[2 * k] + weights[2 * k + 1] for k in range(len(parts))]
        tensors = [g.reshape(-1, *row) for g, row in zip(given, ((4, 3), (5, 2), *rows), strict=True)]
        masks = []
        for name, mask in zip(names, tensors[2:], strict=True):
            shape = (1, 4, 1) if name == "query_mask" else (1, 1, 5) if name != "attention_mask" else mask.shape[1:]
            masks.append((mask > 0).reshape(-1, *(1,) * (3 - len(shape)), *shape))
        causal = bool(call)
        return np.asarray(layer.reference(tensors[:2], weights[2 * len(parts) :], *masks, causal=causal)[0])

    np.testing.assert_allclose(model.predict(x), formula().reshape(19, -1), rtol=1e-5, atol=1e-5)
    model.evaluate(x, y, verbose=0)
    network = model.description.network
    network.gradient(x, y)
    found = [g for each in model.description.layers() for g in each._placed().views(network.gradients)]
    for w, slope in zip(weights, found, strict=True):
        for at in list(np.ndindex(w.shape))[:: max(1, w.size // 6)]:
            kept, ends = w[at], []
            for step in (1e-6, -1e-6):
                w[at] = kept + step
                ends.append(((formula().reshape(19, -1) - y) ** 2).mean())
            w[at] = kept
            np.testing.assert_allclose(slope[at], (ends[0] - ends[1]) / 2e-6, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("call", [{}, {"use_causal_mask": True}])
def test_more_steps_than_addresses_at_a_time(call: Any) -> None:
    layer, query, value = MultiHeadAttention(2, 3), Input((1050, 2)), Input((530, 2))
    model = Model([query, value], layer(query, value, **call))
    model.compile(SGD(1.0), "mse")
    rng = RNG(0)
    x, v = (rng.normal(size=(2, n, 2)).astype(np.float32) for n in (1050, 530))
    y = rng.normal(size=(2, 1050, 2)).astype(np.float32)
    weights = [w.astype(np.float64) for w in layer.get_weights()]

    def formula() -> np.ndarray:
        return np.asarray(layer.reference([x, v], weights, causal=bool(call))[0])

    np.testing.assert_allclose(model.predict([x, v]), formula(), atol=2e-6)
    model.train_on_batch([x, v], y)
    for number, w in enumerate(weights):
        at, ends = (0,) * w.ndim, []
        found = w[at] - layer.get_weights()[number][at]
        for step in (1e-5, -1e-5):
            w[at] += step
            ends.append(((formula() - y) ** 2).mean())
            w[at] -= step
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-5, rtol=1e-2, atol=2e-6)


def test_groups_are_repeated_heads() -> None:
    one, other = GroupQueryAttention(3, 6, 2), MultiHeadAttention(6, 3)
    x = RNG(0).normal(size=(5, 7, 4)).astype(np.float32)
    one(x, x), other(x, x)
    weights = one.get_weights()
    for number in range(2, 6):  # key and value
        weights[number] = np.repeat(weights[number], 3, axis=-2)
    other.set_weights(weights)
    np.testing.assert_array_equal(one(x, x), other(x, x))


@pytest.mark.parametrize("scores", [False, True])
def test_dropout_leaves_out_weights_and_slopes_follow(scores: bool) -> None:
    query, value, key = Input((3, 2)), Input((40, 3)), Input((40, 2))
    layer = Attention(dropout=0.25, seed=7)
    given = layer([query, L.Dense(3, use_bias=False)(value), key], return_attention_scores=scores)
    model = Model([query, value, key], given[0] if scores else given)
    model.compile(SGD(1.0), "mse")
    rng = RNG(0)
    xs = [rng.normal(size=(30, *shape)).astype(np.float32) for shape in ((3, 2), (40, 3), (40, 2))]
    one, again = (model.predict_in_training(xs, 1) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (one != model.predict_in_training(xs, 2)).any()
    assert (one != model.predict(xs)).any()
    mean = np.mean([model.predict_in_training(xs, number) for number in range(1, 400)], axis=0)
    np.testing.assert_allclose(mean, model.predict(xs), atol=0.08)
    before = model.get_weights()[0]

    def loss(kernel: np.ndarray) -> float:  # of the first step, whose random numbers are always the same
        model.compile(SGD(1.0), "mse")
        model.set_weights([kernel])
        return float(model.train_on_batch(xs, np.zeros_like(one)))

    loss(before)
    slope = before - model.get_weights()[0]
    for at in ((0, 0), (1, 2)):
        move = np.zeros_like(before)
        move[at] = 2e-2
        np.testing.assert_allclose(slope[at], (loss(before + move) - loss(before - move)) / 4e-2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_dropout_and_masks_for_any_number_of_threads(threads: int) -> None:
    def trained(count: int) -> list[np.ndarray]:
        fastnn.set_random_seed(4)
        before = fastnn.get_num_threads()
        fastnn.set_num_threads(count)
        try:
            x, mask = Input((16, 32)), Input((16,))
            h = MultiHeadAttention(4, 8, dropout=0.3)(x, x, value_mask=mask, use_causal_mask=True)
            model = Model([x, mask], L.Dense(3)(h))
            model.compile("adam", "mse")
            rng = RNG(0)
            xs = [rng.normal(size=(170, 16, 32)), rng.random((170, 16)) > 0.3]
            model.fit(xs, rng.normal(size=(170, 16, 3)), epochs=3, batch_size=50, verbose=0)
            return [*model.get_weights(), model.predict(xs)]
        finally:
            fastnn.set_num_threads(before)

    for one, other in zip(trained(1), trained(threads), strict=True):
        np.testing.assert_array_equal(one, other)


def attention_formula(scores: np.ndarray, seen: Any, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weights = np.exp(np.where(seen, scores, -np.inf))
    total = weights.sum(-1, keepdims=True)
    weights = weights / np.where(total > 0, total, 1)
    return weights @ value, weights


@pytest.mark.parametrize("make", [Attention, lambda: Attention(score_mode="concat"), lambda: AdditiveAttention(False)])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_attention(make: Any, causal: bool) -> None:
    rng = RNG(0)
    q, v = rng.normal(size=(6, 4, 3)).astype(np.float32), rng.normal(size=(6, 5, 3)).astype(np.float32)
    query_mask, value_mask = rng.random((6, 4)) > 0.3, rng.random((6, 5)) > 0.4
    value_mask[2] = False
    layer = make()
    masks = [query_mask, value_mask]
    found, weights = layer([q, v], mask=masks, use_causal_mask=causal, return_attention_scores=True)
    sums = np.tanh(q[:, :, None] + v[:, None]).sum(-1)
    scores = q @ v.swapaxes(1, 2) if make is Attention else sums
    seen = value_mask[:, None] & (np.tril(np.ones((4, 5))) if causal else np.ones((4, 5))).astype(bool)
    means, expected = attention_formula(scores, seen, v)
    np.testing.assert_allclose(found, means * query_mask[:, :, None], atol=2e-6)
    np.testing.assert_allclose(weights, expected, atol=2e-6)  # of a query that is masked too, as in Keras
    assert (weights[2] == 0).all()
    assert ((weights != 0) <= seen).all()
    np.testing.assert_array_equal(found, layer([q, v], mask=masks, use_causal_mask=causal))
    np.testing.assert_allclose(layer([q, v], mask=[None, value_mask], use_causal_mask=causal), means, atol=2e-6)


def test_more_keys_than_addresses_at_a_time() -> None:
    layer, query, value = AdditiveAttention(), Input((3, 2)), Input((1050, 2))
    model = Model([query, value], layer([query, value]))
    model.compile(SGD(1.0), "mse")
    rng = RNG(0)
    x, v = (rng.normal(size=(2, n, 2)).astype(np.float32) for n in (3, 1050))
    scale = layer.get_weights()[0].astype(np.float64)
    np.testing.assert_allclose(model.predict([x, v]), layer.reference(x, v, scale=scale), atol=1e-6)
    model.train_on_batch([x, v], np.ones((2, 3, 2), np.float32))
    for at in range(2):
        step = np.eye(2)[at] * 1e-5
        ends = [((layer.reference(x, v, scale=scale + each) - 1) ** 2).mean() for each in (step, -step)]
        np.testing.assert_allclose(scale[at] - layer.get_weights()[0][at], (ends[0] - ends[1]) / 2e-5, rtol=1e-3)


def block(steps: int = 6, width: int = 8, **call: Any) -> Model:
    """Positions, attention, a residual, normalisation and a Dense layer of each step."""
    x = Input((steps, width))
    places = L.Embedding(steps, width)(Input((steps,), name="places"))
    inputs = [x, places.node.inputs[0]]
    h = L.Add()([x, places])
    attended = MultiHeadAttention(2, 4, dropout=0.1)(h, h, **call)
    h = L.LayerNormalization()(L.Add()([h, attended]))
    h = L.LayerNormalization()(L.Add()([h, L.Dense(width)(L.Dense(16, "relu")(h))]))
    model = Model(inputs, L.Dense(2, "softmax")(ops.mean(h, axis=1)))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    return model


def test_a_block_learns_is_kept_and_goes_on(tmp_path: Path) -> None:
    fastnn.set_random_seed(0)
    rng = RNG(0)
    model = block(attention_mask=np.ones((6, 6)).tolist())
    x = rng.normal(size=(300, 6, 8)).astype(np.float32)
    y = (x[:, 0, 0] * x[:, 3, 0] > 0).astype(np.float32)  # which only steps together tell
    xs = [x, np.tile(np.arange(6), (300, 1))]
    model.fit(xs, y, epochs=60, verbose=0)
    assert model.evaluate(xs, y, verbose=0) < 0.2
    model.save(tmp_path / "model.fastnn")
    for again in (load_model(tmp_path / "model.fastnn"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(xs), model.predict(xs))
        again.fit(xs, y, epochs=1, shuffle=False, verbose=0)
    assert "multi_head_attention" in model.to_json()


def test_constants_as_masks_are_in_the_file(tmp_path: Path) -> None:
    x, mask = Input((4, 5)), np.tril(np.ones((4, 4), bool))
    layer = MultiHeadAttention(2, 3)
    model = Model(x, layer(x, x, attention_mask=mask))
    rows = RNG(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(rows), layer(rows, rows, use_causal_mask=True))
    np.testing.assert_array_equal(model.predict(rows), layer(rows, rows, attention_mask=mask[None]))
    model.save(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(load_model(tmp_path / "model.fastnn").predict(rows), model.predict(rows))


def test_along_one_of_several_axes() -> None:
    inner = Input((4, 5))
    layer = MultiHeadAttention(2, 3)
    x = Input((3, 4, 5))
    model = Model(x, L.TimeDistributed(Model(inner, layer(inner, inner)))(x))
    rows = RNG(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    for k in range(3):
        np.testing.assert_array_equal(model.predict(rows)[:, k], layer(rows[:, k], rows[:, k]))


def test_shapes_and_configuration() -> None:
    layer = MultiHeadAttention(2, 3, value_dim=4, output_shape=(5, 6), sliding_window=2, use_gate=True, dropout=0.1)
    assert layer.compute_output_shape((None, 7, 8), (None, 9, 8)) == (None, 7, 5, 6)
    again = MultiHeadAttention.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    x = Input((7, 8))
    given, scores = layer(x, x, return_attention_scores=True)
    assert given.shape == (None, 7, 5, 6)
    assert scores.shape == (None, 2, 7, 7)
    model = Model(x, given)
    assert [w.path for w in layer.weights][::2] == [
        "query/kernel",
        "key/kernel",
        "gate/kernel",
        "value/kernel",
        "attention_output/kernel",
    ]
    assert [w.shape for w in model.get_weights()] == [w.shape for w in layer.get_weights()]
    query = GroupQueryAttention(3, 4, 2)
    assert GroupQueryAttention.from_config(query.get_config()).get_config() == query.get_config()
    assert query.compute_output_shape((2, 7, 8), (2, 9, 8)) == (2, 7, 8)


def test_glorot_goes_by_the_matrix() -> None:
    fastnn.set_random_seed(0)
    layer = MultiHeadAttention(8, 32)
    layer.build((None, 3, 64), (None, 3, 64))
    for w in (layer.query_dense.get_weights()[0], layer.output_dense.get_weights()[0]):
        assert 0.95 < np.abs(w).max() / np.sqrt(6 / (64 + 256)) <= 1


def test_penalties_of_all_projections() -> None:
    x = Input((3, 4))
    layer = MultiHeadAttention(2, 2, kernel_regularizer="l2", activity_regularizer="l2")
    model = Model(x, layer(x, x))
    model.compile("sgd", "mse")
    rows = RNG(0).normal(size=(5, 3, 4)).astype(np.float32)
    y = model.predict(rows)
    q, k, v = (each(rows) for each in (layer.query_dense, layer.key_dense, layer.value_dense))
    expected = sum(0.01 * (each.astype(np.float64) ** 2).sum() / 5 for each in (q, k, v, y))
    expected += sum(0.01 * (w.astype(np.float64) ** 2).sum() for w in layer.get_weights()[::2])
    np.testing.assert_allclose(model.evaluate(rows, y, verbose=0), expected, rtol=1e-4)


def test_what_they_refuse() -> None:
    x, v = Input((4, 5)), Input((3, 5))
    for make, said in (
        (lambda: MultiHeadAttention(0, 2), "`num_heads`, expected a positive integer"),
        (lambda: MultiHeadAttention(2, 2.5), "`key_dim`, expected a positive integer"),
        (lambda: MultiHeadAttention(2, 2, value_dim=-1), "`value_dim`, expected a positive integer"),
        (lambda: MultiHeadAttention(2, 2, sliding_window=0), "must be `None` or a positive integer"),
        (lambda: MultiHeadAttention(2, 2, dropout=1.5), "dropout"),
        (lambda: MultiHeadAttention(2, 2, attention_axes=2)(Input((2, 3, 4)), Input((2, 3, 4))), "attention_axes must"),
        (lambda: MultiHeadAttention(2, 2)(x, v, x), r"\(All dimensions of `value` and `key`"),
        (lambda: MultiHeadAttention(2, 2)(Input((4,)), v), "expects query"),
        (lambda: MultiHeadAttention(2, 2)(x, v, attention_mask=Input((4, 4))), r"rows of shape \(4, 3\)"),
        (lambda: MultiHeadAttention(2, 2)(x, v, value_mask=Input((4,))), "value_mask must have a number for each line"),
        (lambda: MultiHeadAttention(2, 2)(Input((2, 3, 4)), v, use_causal_mask=True), "is for rows of two axes"),
        (lambda: MultiHeadAttention(2, 2)(x), "reads 2 tensor"),
        (lambda: MultiHeadAttention(2, 2)(*[Input((50000, 2))] * 2), r"\(2, 50000, 50000\) would have"),
        (lambda: AdditiveAttention()([Input((50000, 2))] * 2), r"\(50000, 50000\) would have"),
        (lambda: GroupQueryAttention(2, 3, 2), "must be divisible"),
        (lambda: GroupQueryAttention(0, 3, 3), "head_dim"),
        (lambda: Attention(score_mode="product"), "score_mode"),
        (lambda: Attention()(x), "must be called on a list"),
        (lambda: Attention()([x, v, x]), "expects query"),
        (lambda: Attention()([x, v], mask=Input((4,))), "mask must be a list"),
        (lambda: Attention()([Input((2, 4, 5)), Input((3, 4, 5))]), "axes before the last two"),
    ):
        with pytest.raises(ValueError, match=said):
            make()


def test_a_mask_must_say_what_it_is_of() -> None:
    x = RNG(0).normal(size=(2, 4, 5)).astype(np.float32)
    for rows in (x, Input((4, 5))):
        with pytest.raises(TypeError, match="takes query_mask, value_mask, key_mask and attention_mask"):
            MultiHeadAttention(2, 3)(rows, rows, mask=np.ones((2, 4)))


def test_old_and_other_ways_to_call_it() -> None:
    x = RNG(0).normal(size=(2, 4, 5)).astype(np.float32)
    layer = MultiHeadAttention(num_heads=2, key_dim=3, flash_attention=True, attention_axes=(1,))
    np.testing.assert_array_equal(layer(x, x), layer(query=x, value=x, key=x))
    np.testing.assert_array_equal(layer([x, x]), layer(x, x, training=False))
    mask = np.tril(np.ones((2, 4, 4)))
    q, m = Input((4, 5)), Input((4, 4))
    placed = Model([q, m], layer(q, q, None, None, None, None, m))
    np.testing.assert_array_equal(placed.predict([x, mask]), layer(x, x, use_causal_mask=True))
    assert Sequential([Input((4, 5)), L.Dense(3)]).predict(x).shape == (2, 4, 3)
    y = Attention()([x, x, x])
    np.testing.assert_allclose(y, Attention(use_scale=True)([x, x]), atol=1e-6)
