"""Slopes of a model as it predicts beside finite differences; what explanations by gradients promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import ops
from fastnn.explain import (
    Explanation,
    expected_gradients,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    smooth_grad,
)
from fastnn.layers import (
    LSTM,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling1D,
    Input,
    Layer,
    LayerNormalization,
    Masking,
    MultiHeadAttention,
    RandomContrast,
    SpatialDropout1D,
    SpectralNormalization,
    StringLookup,
    TimeDistributed,
)
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(11)


def drawn(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def dense() -> Model:
    return Sequential([Input((5,)), Dense(8, "tanh"), LayerNormalization(), Dense(3, "softmax")])


def in_training() -> Model:
    """Layers that do something else in training, after some of it."""
    model = Sequential(
        [
            Input((5,)),
            Dense(8, "tanh"),
            BatchNormalization(),
            Dropout(0.5),
            GaussianNoise(1.0),
            Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l2"),
            BatchNormalization(),
            Dense(2),
        ]
    )
    model.compile("adam", "mse")
    model.fit(drawn(64, 5) + 2, drawn(64, 2), epochs=3, verbose=0)
    return model


def pictures() -> Model:
    layers = [Conv2D(3, 3, activation="tanh"), BatchNormalization(), RandomContrast(0.5), Flatten(), Dense(2, "tanh")]
    return Sequential([Input((6, 5, 2)), *layers])


def recurrent() -> Model:
    return Sequential([Input((4, 3)), LSTM(5, dropout=0.5, recurrent_dropout=0.5), Dense(2)])


def masked() -> Model:
    layers = [Masking(), LSTM(4, return_sequences=True), SpatialDropout1D(0.5), GlobalAveragePooling1D(), Dense(1)]
    return Sequential([Input((4, 3)), *layers])


def attending() -> Model:
    x = Input((4, 3))
    return Model(x, TimeDistributed(Dense(2))(Add()([x, MultiHeadAttention(2, 3, dropout=0.5)(x, x)])))


def in_python() -> Model:
    class Sine(Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.mean(ops.square(x)))
            return ops.sin(x)

    x = Input((5,))
    once = Dense(5, "tanh")
    return Model(x, Dense(1)(Concatenate()([once(once(Sine()(x))), Dropout(0.5)(x, training=False)])))


def phases() -> Model:
    """Another formula in training, and a norm that training would find more exactly."""

    class Two(Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            return ops.exp(x) if training else ops.sin(x)

    return Sequential([Input((5,)), Two(), SpectralNormalization(Dense(4, "tanh")), Dense(1)])


def differences(model: Model, rows: list[Any], out: Callable[[Any], Any], place: int) -> Any:
    """Central ones, by each number of an input."""
    found, h = np.zeros(rows[place].shape), 1e-2
    for index in np.ndindex(rows[place].shape[1:]):
        ends = []
        for step in (h, -h):
            moved = [each.copy() for each in rows]
            moved[place][(slice(None), *index)] += step
            ends.append(np.asarray(out(model.predict(moved if len(moved) > 1 else moved[0])), np.float64))
        found[(slice(None), *index)] = (ends[0] - ends[1]) / (2 * h)
    return found


@pytest.mark.parametrize(
    ("make", "output"),
    [
        (dense, 2),
        (in_training, 1),
        (pictures, 1),
        (recurrent, 0),
        (masked, None),
        (attending, 5),
        (in_python, None),
        (phases, None),
    ],
)
def test_slopes_are_finite_differences(make: Any, output: Any) -> None:
    model = make()
    x = drawn(6, *model.inputs[0].row)
    if make is masked:
        x[::2, 2:] = 0
    found = model.input_gradient(x, output)
    expected = differences(model, [x], lambda out: out.reshape(6, -1)[:, output or 0], 0)
    if make is masked:  # a step of zeros is masked, one beside it is not
        found[::2, 2:] = expected[::2, 2:] = 0
    assert (found.shape, found.dtype) == (x.shape, np.float32)
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-4)


def several() -> Model:
    a, b = Input((3,), name="a"), Input((2, 2), name="b")
    both = Concatenate()([Dense(4, "tanh")(a), Flatten()(b)])
    out = {"one": Dense(1, "tanh", name="one")(both), "many": Dense(3, "softmax", name="many")(both)}
    return Model({"a": a, "b": b}, {**out, "left": Dense(1, name="left")(a)})


@pytest.mark.parametrize(("output", "unit"), [("one", 0), (("many", 1), 1), ("left", 0)])
def test_slopes_of_several_inputs_and_outputs(output: Any, unit: int) -> None:
    model, rows = several(), [drawn(5, 3), drawn(5, 2, 2)]
    name = output if isinstance(output, str) else output[0]
    found = model.input_gradient({"b": rows[1], "a": rows[0]}, output)
    assert list(found) == ["a", "b"]
    for place, key in enumerate("ab"):
        expected = differences(model, rows, lambda out: out[name][:, unit], place)
        np.testing.assert_allclose(found[key], expected, rtol=2e-2, atol=2e-4)
    assert (found["b"] == 0).all() == (name == "left")


def test_a_model_stays_as_it_is() -> None:
    model, x = in_training(), drawn(20, 5)
    before, weights = model.predict(x), model.get_weights()
    model.input_gradient(x, 0)
    integrated_gradients(model, x, output=0)
    np.testing.assert_array_equal(model.predict(x), before)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_bits_do_not_hang_on_threads_or_on_other_rows() -> None:
    model, x = Sequential([Input((20,)), Dense(64, "gelu"), Dense(64, "tanh"), Dense(1)]), drawn(4000, 20)
    found, threads = [], fastnn.get_num_threads()
    try:
        for count in (1, 2, 4):
            fastnn.set_num_threads(count)
            found.append((model.input_gradient(x), expected_gradients(model, x, x[:50], random_state=1).values))
    finally:
        fastnn.set_num_threads(threads)
    for slopes, values in found[1:]:
        np.testing.assert_array_equal(slopes, found[0][0])
        np.testing.assert_array_equal(values, found[0][1])
    np.testing.assert_array_equal(model.input_gradient(x[3990:]), found[0][0][3990:])


# What the methods promise.


def linear() -> tuple[Model, Any]:
    model = Sequential([Input((4,)), Dense(1)])
    return model, model.get_weights()[0][:, 0].astype(np.float64)


def test_all_methods_agree_where_the_model_is_linear() -> None:
    model, w = linear()
    x, base, background = drawn(7, 4), drawn(1, 4), drawn(30, 4)
    (b,) = model.get_weights()[1]
    found = {
        "zeros": (integrated_gradients(model, x), 0 * x),
        "row": (integrated_gradients(model, x, baseline=base[0]), base),
        "rows": (integrated_gradients(model, x, baseline=background[:7]), background[:7]),
        "x": (input_x_gradient(model, x), 0 * x),
        "noise": (smooth_grad(model, x, random_state=1), 0 * x),
        "window": (occlusion(model, x, fill=0.5), 0 * x + 0.5),
        "mean": (expected_gradients(model, x, background, samples=30, random_state=0), background.mean(axis=0)),
    }
    for name, (explained, start) in found.items():
        loose = name == "mean"  # each row of the background is drawn once, or nearly so
        np.testing.assert_allclose(explained.values, w * (x - start), rtol=1e-4, atol=0.2 if loose else 1e-5)
        np.testing.assert_allclose(explained.base_values, np.broadcast_to((w * start).sum(-1) + b, 7), atol=1e-5)
        assert explained.feature_names == ("x1", "x2", "x3", "x4")
        np.testing.assert_array_equal(explained.data, x)
        assert explained.values.dtype == np.float64
    many = expected_gradients(model, x, background, samples=3000, random_state=0)
    np.testing.assert_allclose(many.values, w * (x - background.mean(axis=0)), atol=5e-3)


def fitted() -> tuple[Model, Any]:
    """A small net that has learnt a curved function of its columns."""
    x = drawn(400, 6)
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.5 * x[:, 3] - 0.3 * x[:, 4]
    model = Sequential([Input((6,)), Dense(32, "relu"), Dense(16, "relu"), Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=60, verbose=0)
    return model, x


def total(explained: Explanation) -> Any:
    """The sum of all values of each row and output."""
    keep = len(explained.output_names) or 1
    values = explained.values if isinstance(explained.values, list) else [explained.values]
    return sum(each.reshape(len(explained), -1, keep).sum(axis=1) for each in values)


def test_integrated_gradients_are_complete() -> None:
    model, x = fitted()
    explained = integrated_gradients(model, x, baseline=x.mean(axis=0), steps=256)
    gap = total(explained)[:, 0] + explained.base_values - model.predict(x)[:, 0]
    assert np.abs(gap).max() < 1e-3 * np.ptp(model.predict(x))
    assert explained.method == "integrated gradients"


@pytest.mark.parametrize("make", [dense, in_training, pictures, recurrent, attending])
def test_values_sum_to_what_is_explained(make: Any) -> None:
    model = make()
    x, background = drawn(5, *model.inputs[0].row), drawn(20, *model.inputs[0].row)
    out = model.predict(x).reshape(5, -1)
    explained = integrated_gradients(model, x, baseline=background[0])
    assert explained.values.shape == (*x.shape, out.shape[1])
    assert explained.output_names == tuple(map(str, range(out.shape[1])))
    np.testing.assert_allclose(total(explained) + explained.base_values, out, atol=1e-4)
    sampled = expected_gradients(model, x, background, samples=2000, random_state=5)
    np.testing.assert_allclose(
        sampled.base_values[0], model.predict(background).reshape(20, -1).mean(axis=0), atol=1e-6
    )
    np.testing.assert_allclose(total(sampled) + sampled.base_values, out, atol=0.02)
    for number in (0, out.shape[1] - 1):
        one = integrated_gradients(model, x, baseline=background[0], output=number)
        np.testing.assert_array_equal(one.values, explained.output(number).values)


def test_several_inputs_have_a_list_of_values() -> None:
    model, rows = several(), {"a": drawn(5, 3), "b": drawn(5, 2, 2)}
    out = model.predict(rows)
    for explained in (
        integrated_gradients(model, rows, output=("many", 2)),
        integrated_gradients(model, rows, output=("many", 2), baseline={"a": drawn(3), "b": drawn(2, 2)}),
    ):
        assert [each.shape for each in explained.values] == [(5, 3), (5, 2, 2)]
        assert explained.feature_names == ("a", "b")
        np.testing.assert_allclose(total(explained)[:, 0] + explained.base_values, out["many"][:, 2], atol=1e-4)
    for made in (
        expected_gradients(model, rows, rows, output="many", random_state=0),
        smooth_grad(model, rows, output="many", random_state=0),
        input_x_gradient(model, rows, output="many"),
        occlusion(model, rows, output="many"),
    ):
        assert [each.shape for each in made.values] == [(5, 3, 3), (5, 2, 2, 3)]
        assert made.output_names == ("0", "1", "2")


def test_the_standard_error_says_how_far_chance_goes() -> None:
    model, x = fitted()
    for made in (
        lambda count, seed: expected_gradients(model, x[:30], x[:100], samples=count, random_state=seed),
        lambda count, seed: smooth_grad(model, x[:30], noise=0.3, samples=count, random_state=seed),
    ):
        truth = made(4000, 9)
        for count in (40, 160):
            some = made(count, 1)
            error = np.sqrt(((some.values - truth.values) ** 2).mean())
            said = np.sqrt((some.std**2).mean())
            assert 0.2 * said < error < 2 * said
        assert np.sqrt((made(160, 1).std ** 2).mean()) == pytest.approx(said)
    again = expected_gradients(model, x[:30], x[:100], random_state=3)
    np.testing.assert_array_equal(again.values, expected_gradients(model, x[:30], x[:100], random_state=3).values)
    assert (again.values != expected_gradients(model, x[:30], x[:100], random_state=4).values).any()
    fastnn.set_random_seed(5)
    first = smooth_grad(model, x[:3]).values
    assert (smooth_grad(model, x[:3]).values != first).any()
    fastnn.set_random_seed(5)
    np.testing.assert_array_equal(smooth_grad(model, x[:3]).values, first)


def test_noise_is_a_share_of_the_range() -> None:
    """Of x^2, the mean slope around x is 2 x whatever the noise; its standard error has the noise in it."""
    x = Input((3,))
    model, rows = Model(x, ops.sum(ops.square(x), axis=-1, keepdims=True)), np.array([[0, 1, 4], [1, 1, 1]], np.float32)
    explained = smooth_grad(model, rows, noise=0.25, samples=2000, random_state=0)
    np.testing.assert_allclose(explained.values, 2 * rows**2, atol=0.2)
    np.testing.assert_allclose(explained.std[0], rows[0] * 2 * 1.0 / np.sqrt(2000), rtol=0.1)
    np.testing.assert_array_equal(explained.std[1], 0)


# Ids.


def looked_up(mask: bool = False) -> tuple[Model, Model, Any]:
    """A model of ids, the part of it behind its table, and the table."""
    table = Embedding(9, 3, embeddings_initializer="normal", mask_zero=mask)
    rest = [LSTM(4), Dense(2)]
    model = Sequential([Input((5,)), table, *rest])
    x = Input((5, 3))
    return model, Model(x, rest[1](rest[0](x))), table


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_an_id_has_the_sum_of_what_is_looked_up_for_it(dtype: Any) -> None:
    model, behind, table = looked_up()
    ids, others = RNG.integers(9, size=(6, 5)).astype(dtype), RNG.integers(9, size=(8, 5)).astype(dtype)
    weights = table.get_weights()[0]
    vectors = weights[ids.astype(int)]
    for explained, expected in (
        (integrated_gradients(model, ids, output=1), integrated_gradients(behind, vectors, output=1)),
        (
            integrated_gradients(model, ids, baseline=others[0], output=1),
            integrated_gradients(behind, vectors, baseline=weights[others[0].astype(int)], output=1),
        ),
        (
            expected_gradients(model, ids, others, output=1, random_state=1),
            expected_gradients(behind, vectors, weights[others.astype(int)], output=1, random_state=1),
        ),
        (input_x_gradient(model, ids, output=1), input_x_gradient(behind, vectors, output=1)),
    ):
        assert explained.values.shape == ids.shape
        np.testing.assert_allclose(explained.values, expected.values.sum(axis=-1), atol=1e-6)
        np.testing.assert_allclose(explained.base_values, expected.base_values, atol=1e-6)
        assert np.abs(explained.values).max() > 1e-3
        np.testing.assert_array_equal(explained.data, ids)


def test_masked_ids_count_nothing() -> None:
    model, _, _ = looked_up(mask=True)
    ids = np.array([[3, 4, 0, 0, 0], [1, 2, 3, 4, 5]])
    explained = integrated_gradients(model, ids, output=0)
    assert (explained.values[0, 2:] == 0).all()
    assert (explained.values[1] != 0).all()
    np.testing.assert_allclose(total(explained)[:, 0] + explained.base_values, model.predict(ids)[:, 0], atol=1e-5)


def test_ids_beside_numbers_and_within_slices() -> None:
    word, number = Input((2, 3), name="word"), Input((2,), name="number")
    inner = Embedding(7, 4, embeddings_initializer="normal")
    model = Model([word, number], Dense(1)(Concatenate()([Flatten()(TimeDistributed(inner)(word)), number])))
    rows = [RNG.integers(7, size=(4, 2, 3)), drawn(4, 2)]
    ids, numbers = integrated_gradients(model, rows).values
    w = model.get_weights()[1][:, 0].astype(np.float64)
    vectors = inner.get_weights()[0][rows[0]].astype(np.float64)
    np.testing.assert_allclose(ids, (vectors * w[:24].reshape(2, 3, 4)).sum(axis=-1), atol=1e-5)
    np.testing.assert_allclose(numbers, rows[1] * w[24:], atol=1e-5)
    slopes = model.input_gradient(rows)
    assert (slopes[0] == 0).all()
    np.testing.assert_allclose(slopes[1], np.broadcast_to(w[24:], (4, 2)), atol=1e-6)


# What cannot be.


def test_errors_say_what_is_wrong() -> None:
    model, x = dense(), drawn(4, 5)
    for call, text in (
        (lambda: model.input_gradient(x), r"output must be one unit, got None, which has 3; give its number"),
        (lambda: model.input_gradient(x, 3), "no unit 3 of output"),
        (lambda: model.input_gradient(x, "dens"), r"no output 'dens'"),
        (lambda: model.input_gradient(x[:0], 0), "no rows"),
        (lambda: model.input_gradient(x[:, :3], 0), "expects 5 features, got 3 features in x of input_gradient"),
        (lambda: model.input_gradient(np.where(x > 1, x, np.nan), 0), "input_gradient: x must be finite, got nan"),
        (lambda: integrated_gradients(model, x, baseline=x[:3]), "must be one row, or 4 as x has, got 3"),
        (lambda: integrated_gradients(model, x, baseline=x[:, :2]), "expects 5 features, got 2"),
        (lambda: integrated_gradients(model, x, steps=0), "steps must be at least 1"),
        (lambda: expected_gradients(model, x, x[:0]), "no rows"),
        (lambda: expected_gradients(model, x, x * np.nan), "expected_gradients: background: x must be finite"),
        (lambda: expected_gradients(model, x, x, samples=1), "samples must be at least 2"),
        (lambda: smooth_grad(model, x, noise=-0.1), "noise must be at least 0"),
        (lambda: looked_up()[0].input_gradient(np.ones((1, 5), int), 0), "integrated_gradients goes by what is"),
        (lambda: integrated_gradients(looked_up()[0], np.full((1, 5), 9)), "from 0 to 8, got 9 to 9"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(TypeError, match=r"smooth_grad: model must be a fastnn.models.Model"):
        smooth_grad("model", x)
    with pytest.raises(FloatingPointError, match="not finite for a row of x"):
        Sequential([Input((1,)), Dense(1, "exponential", kernel_initializer="ones")]).input_gradient([[500.0]])


def test_texts_and_states_are_refused() -> None:
    word = Input((1,), dtype="string")
    model = Model(word, Dense(1)(StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(word)))
    with pytest.raises(ValueError, match="texts and categories have no slopes"):
        integrated_gradients(model, np.array([["a"], ["b"]]))
    stateful = Sequential([Input(batch_shape=(2, 3, 1)), LSTM(2, stateful=True)])
    with pytest.raises(ValueError, match="without stateful"):
        stateful.input_gradient(drawn(2, 3, 1), 0)


# Other packages.


@pytest.fixture(scope="module")
def shap() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("shap", reason="shap as the truth: pip install shap")


def test_expected_gradients_rank_features_as_shap_does(shap: Any) -> None:
    model, x = fitted()
    ours = expected_gradients(model, x[:40], x[100:150], random_state=0)
    ask = shap.PermutationExplainer(lambda rows: model.predict(np.asarray(rows, np.float32))[:, 0], x[100:150], seed=0)
    theirs = ask(x[:40], silent=True).values
    ranks = [np.argsort(np.argsort(each.ravel())) for each in (ours.values, theirs)]
    assert np.corrcoef(*ranks)[0, 1] > 0.95


def test_shap_draws_our_explanations(shap: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="pictures: pip install matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    model, x = fitted()
    theirs = integrated_gradients(model, x[:20]).to_shap()
    np.testing.assert_array_equal(theirs.values.shape, (20, 6))
    for draw, given in ((shap.plots.waterfall, theirs[0]), (shap.plots.bar, theirs), (shap.plots.beeswarm, theirs)):
        draw(given, show=False)
        pyplot.close("all")
    both = Explanation([x, x[:, :1]], 0, [x, x[:, :1]], feature_names=("all", "one"))
    assert list(both.to_shap().feature_names) == [*(f"all_{n}" for n in range(6)), "one"]
