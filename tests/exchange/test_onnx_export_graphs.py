"""Graphs of several inputs, shared layers, masks, states and weights of one's own as ONNX; what a file says."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn import ops
from fastnn.exchange import to_onnx
from support.onnx_models import check, given_by, weights_changed

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    fastnn.set_random_seed(1)


def numbers(*shape: int) -> np.ndarray:
    return (3 * np.random.default_rng(0).normal(size=shape)).astype(np.float32)


def steps(rows: int = 9, count: int = 6) -> np.ndarray:
    """Ids, some rows of which are masked at the beginning, at the end, or altogether."""
    ids = np.random.default_rng(2).integers(0, 5, (rows, count)).astype(np.float32)
    ids[0], ids[1, :3], ids[2, 3:] = 0, 0, 0
    return ids


def model_of(inputs: Any, outputs: Any) -> Any:
    return weights_changed(fastnn.Model(inputs, list(outputs) if isinstance(outputs, tuple) else outputs))


def kinds(proto: Any) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def names(proto: Any) -> list[str]:
    return [tensor.name for tensor in proto.graph.initializer if not tensor.name.startswith("constant")]


# What a file says.


def small() -> Any:
    return weights_changed(fastnn.Sequential([L.Input((4,), name="rows"), L.Dense(3, "tanh"), L.Dense(2, name="last")]))


def test_versions_names_and_axes() -> None:
    proto = check(small(), numbers(5, 4))
    assert (proto.ir_version, [(each.domain, each.version) for each in proto.opset_import]) == (8, [("", 17)])
    assert (proto.producer_name, proto.producer_version) == ("fastnn", fastnn.__version__)
    (given,), (out,) = proto.graph.input, proto.graph.output
    assert (given.name, out.name) == ("rows", "last")
    for value, width in ((given, 4), (out, 2)):
        assert [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] == ["batch", width]
    assert kinds(proto) == ["Gemm", "Tanh", "Gemm"]
    assert {each.key: each.value for each in proto.metadata_props} == {"fastnn": fastnn.__version__}


def test_weights_are_those_of_the_file(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "m.fastnn")
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in to_onnx(model).graph.initializer}
    held = model.description.arrays()
    assert list(arrays) == list(held) == ["dense/kernel", "dense/bias", "last/kernel", "last/bias"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, held[name])
    again = {tensor.name for tensor in to_onnx(fastnn.models.load_model(tmp_path / "m.fastnn")).graph.initializer}
    assert again == set(arrays)


def test_the_activation_that_a_loss_takes_over_is_in_the_graph() -> None:
    model = fastnn.Sequential([L.Input((4,)), L.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(numbers(20, 4), np.arange(20) % 3, epochs=2, verbose=0)
    proto = check(model, numbers(5, 4))
    assert kinds(proto) == ["Gemm", "Softmax"]


def test_columns_and_classes_that_a_model_knows() -> None:
    pandas = pytest.importorskip("pandas")
    model = fastnn.Sequential([L.Input((2,)), L.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(pandas.DataFrame({"age": [1.0, 2.0], "höhe": [3.0, 4.0]}), np.array([0, 2]), verbose=0)
    model.description.notes["classes"] = np.array(["a", "b", "c"])
    notes = {each.key: json.loads(each.value) for each in to_onnx(model).metadata_props if each.key != "fastnn"}
    assert notes == {"columns": ["age", "höhe"], "classes": ["a", "b", "c"]}


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    model, path = small(), tmp_path / "m.onnx"
    model.export(path, format="onnx")
    (found,) = given_by(onnx.load(path), numbers(5, 4))
    np.testing.assert_allclose(found, model.predict(numbers(5, 4)), atol=1e-5)
    with pytest.raises(TypeError, match="opset"):
        model.export(path, format="onnx", opset=12)
    custom = fastnn.Sequential([L.Input((4,)), L.Dense(3, activation=np.sin)])
    with pytest.raises(
        ValueError,
        match=r"layer 'dense' \(Dense\) cannot be .*: there are no ONNX operators here for what its activation 'sin'",
    ):
        custom.export(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)  # still the first


def test_what_is_no_model_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"to_onnx: model must be a fastnn\.models\.Model, got 3"):
        to_onnx(3)
    with pytest.raises(RuntimeError, match="give the first layer an input_shape"):
        to_onnx(fastnn.Sequential([L.Dense(3)]))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'to_onnx needs onnx: pip install "fastnn\[onnx\]"'):
        to_onnx(small())


def test_a_model_that_is_not_compiled_and_one_that_is_frozen() -> None:
    model = small()
    model.trainable = False
    check(model, numbers(5, 4))
    unbuilt = fastnn.Sequential([L.Dense(3, input_shape=(4,))])  # whose weights are made by the first question
    check(unbuilt, numbers(1, 4))


# Graphs.


def test_shared_layers_are_written_once() -> None:
    inner = fastnn.Sequential([L.Input((4,)), L.Dense(3, "tanh"), L.Dense(3)], name="encoder")
    one, other, dense = L.Input((4,), name="one"), L.Input((4,), name="other"), L.Dense(2, name="both")
    model = model_of([one, other], [dense(inner(one)), dense(inner(other)), inner(one)])
    proto = check(model, numbers(5, 4), numbers(5, 4)[::-1])
    assert sorted(names(proto)) == sorted(model.description.arrays())
    assert len(names(proto)) == 6
    assert [each.name for each in proto.graph.output] == model.output_names


def test_inputs_and_outputs_given_by_name() -> None:
    one, other = L.Input((4,)), L.Input((4,))
    model = model_of({"x": one, "y": other}, {"x": L.Add()([one, other]), "z": L.Dense(2)(one)})
    proto = to_onnx(model)
    assert [each.name for each in proto.graph.input] == ["x", "y"]
    assert [each.name for each in proto.graph.output] == ["x_1", "z"]  # ONNX has one name for one value
    found = given_by(proto, numbers(5, 4), numbers(5, 4))
    expected = model.predict({"x": numbers(5, 4), "y": numbers(5, 4)})
    np.testing.assert_allclose(found[0], expected["x"], atol=1e-5)
    np.testing.assert_allclose(found[1], expected["z"], atol=1e-5)


def test_an_input_as_output_and_the_same_output_twice() -> None:
    first = L.Input((4,))
    out = L.Dense(3)(first)
    check(model_of(first, [first, out, out]), numbers(5, 4))


def test_what_leads_to_no_output_is_left_out() -> None:
    first = L.Input((4,))
    hidden = L.Dense(3, name="read")(first)
    L.Dense(9, activation=np.sin, name="unread")(hidden)
    assert names(check(model_of(first, L.Dense(1, name="out")(hidden)), numbers(5, 4)))[0] == "read/kernel"


def test_pictures_are_turned_once() -> None:
    model = fastnn.Sequential(
        [
            L.Input((12, 12, 3)),
            L.Conv2D(8, 3, activation="relu"),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling2D(),
            L.Dropout(0.2),
            L.Conv2D(4, 3, padding="same", activation="softplus"),
            L.GlobalAveragePooling2D(),
            L.Dense(5, "softmax"),
        ]
    )
    proto = check(weights_changed(model), numbers(5, 12, 12, 3))
    assert kinds(proto) == [
        *("Transpose", "Conv", "Relu", "BatchNormalization", "Relu", "MaxPool", "Conv", "Softplus"),
        *("ReduceMean", "Gemm", "Softmax"),
    ]


def test_a_residual_of_pictures_is_turned_once() -> None:
    first = L.Input((6, 6, 2))
    rows = L.Conv2D(4, 3, padding="same")(first)
    more = L.Conv2D(4, 3, padding="same")(L.Activation("silu")(L.BatchNormalization()(rows)))
    proto = check(model_of(first, L.GlobalMaxPooling2D()(L.Add()([rows, more]))), numbers(3, 6, 6, 2))
    assert kinds(proto).count("Transpose") == 1


def test_what_is_the_same_for_all_rows() -> None:
    class Own(L.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], 3), name="w")
            self.b = self.add_weight(shape=(3,), initializer="ones", name="b")
            self.s = self.add_weight(shape=(2, 3), initializer="ones", name="s")

        def call(self, x: Any) -> Any:
            y = ops.matmul(x, self.w) + self.b * 2
            return y, self.s * 3, L.Concatenate(1)([L.Reshape((1, 3))(y), self.s * np.ones((2, 3))])

    first = L.Input((4,))
    proto = check(model_of(first, Own(name="own")(first)), numbers(5, 4))
    assert set(names(proto)) == {"own/w", "own/b", "own/s"}


def test_rows_that_are_single_numbers() -> None:
    first = L.Input(())
    check(model_of(first, L.Reshape((1,))(first) * 2), numbers(5))
    first = L.Input((4,))
    check(model_of(first, ops.sum(first, axis=-1)), numbers(5, 4))


def test_ids_are_whole_numbers_and_of_several_kinds() -> None:
    first = L.Input((6,))
    proto = check(model_of(first, L.Flatten()(L.Embedding(5, 3)(first))), steps())
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    whole = L.Input((6,), dtype="int32")
    proto = check(model_of(whole, L.Dense(2)(whole)), steps())
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT32
    pixels = L.Input((4, 4, 1), dtype="uint8")
    proto = check(model_of(pixels, L.Conv2D(2, 3)(L.Rescaling(1 / 255)(pixels))), abs(numbers(3, 4, 4, 1)).round())
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    both = L.Input((6,))
    proto = check(model_of(both, [L.Flatten()(L.Embedding(5, 3)(both)), L.Dense(2)(both)]), steps())
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_a_subclassed_model_and_its_training_argument() -> None:
    class Own(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.norm, self.drop = L.Dense(4, "gelu"), L.LayerNormalization(), L.Dropout(0.5)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.norm(self.drop(self.dense(x), training=training))

    model = Own()
    model.build((None, 3))
    check(weights_changed(model), numbers(5, 3))
    first = L.Input((4,))
    with pytest.raises(ValueError, match=r"layer 'dropout' \(Dropout\).* it is called with training=True"):
        to_onnx(fastnn.Model(first, L.Dropout(0.5)(first, training=True)))


def test_random_numbers_in_training_alone() -> None:
    class Sampled(L.Layer):
        def call(self, x: Any) -> Any:
            return x + fastnn.random.normal(x.shape[1:], mean=2.0) * 3

    first = L.Input((4,))
    try:
        model = fastnn.Model(first, Sampled()(first))
    except (TypeError, ValueError):
        pytest.skip("normal takes other shapes")
    check(model, numbers(5, 4))


def test_a_layer_of_ones_own_is_refused_by_name() -> None:
    class Doubled(L.Layer):
        def forward(self, x: Any, weights: Any, training: bool) -> Any:
            return 2 * x

        def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
            return 2 * d, []

    class Odd(L.Dense):
        def ops(self, *rows: Any) -> Any:
            return super().ops(*rows)

    for layer in (Doubled(name="own"), Odd(2, name="own")):
        with pytest.raises(
            ValueError,
            match=rf"layer 'own' \({type(layer).__name__}\).* there are no ONNX operators here for what it does",
        ):
            to_onnx(fastnn.Sequential([L.Input((4,)), layer]))

    class Mine(L.Dense):  # nothing but a name
        pass

    check(fastnn.Sequential([L.Input((4,)), Mine(2)]), numbers(5, 4))


# Steps: masks and states.

RUNS = [
    {},
    {"return_sequences": True},
    {"return_sequences": True, "zero_output_for_mask": True},
    {"zero_output_for_mask": True, "go_backwards": True},
    {"return_state": True, "return_sequences": True, "go_backwards": True},
]


@pytest.mark.parametrize(("kind", "run"), [*product(("LSTM", "GRU", "SimpleRNN"), RUNS)])
def test_masked_steps(kind: str, run: dict[str, bool]) -> None:
    first = L.Input((6,))
    rows = L.Embedding(5, 4, mask_zero=True)(first)
    proto = check(model_of(first, getattr(L, kind)(3, **run)(rows)), steps())
    assert "Scan" in kinds(proto)


@pytest.mark.parametrize("merge", ["concat", "sum", "ave", "mul", None])
def test_masked_steps_both_ways(merge: str | None) -> None:
    first = L.Input((6, 4))
    rows = numbers(7, 6, 4)
    rows[0], rows[1, 2:], rows[2, :2] = 0, 0, 0
    masked = L.Masking()(first)
    given = L.Bidirectional(L.GRU(3, return_state=True), merge_mode=merge)(masked)
    whole = L.Bidirectional(L.LSTM(3, return_sequences=True))(masked)
    check(model_of(first, [*given, whole, L.GlobalAveragePooling1D()(whole)]), rows)


def test_masks_through_merges() -> None:
    one, other = L.Input((6,)), L.Input((6,))
    embedded = L.Embedding(5, 4, mask_zero=True)
    a, b = embedded(one), embedded(other)
    unmasked = L.Dense(4)(L.RepeatVector(6)(L.Flatten()(L.Embedding(5, 2)(other))))
    merged = [L.Concatenate(1)([a, b]), L.Concatenate()([a, b]), L.Add()([a, b]), L.Concatenate(1)([a, unmasked])]
    check(model_of([one, other], [L.LSTM(3)(each) for each in merged]), steps(), steps()[::-1])


def test_masks_that_a_call_is_given() -> None:
    first, mask = L.Input((6, 4)), L.Input((6,))
    zeros = (np.random.default_rng(3).random((7, 6)) < 0.5).astype(np.float32)
    zeros[0] = 0
    attention = L.MultiHeadAttention(2, 3)(first, first, query_mask=mask, value_mask=mask)
    check(model_of([first, mask], [L.LSTM(3)(first, mask=mask), attention]), numbers(7, 6, 4), zeros)


def test_attention_of_masked_lines() -> None:
    first = L.Input((6,))
    rows = L.Embedding(5, 4, mask_zero=True)(first)
    given = [
        L.MultiHeadAttention(2, 3)(rows, rows, use_causal_mask=True),
        *L.MultiHeadAttention(2, 3)(rows, rows, return_attention_scores=True),
        L.GroupQueryAttention(2, 4, 2)(rows, rows, attention_mask=np.tri(6)),
        *L.Attention(use_scale=True)([rows, rows], return_attention_scores=True),
        *L.AdditiveAttention()([rows, rows], return_attention_scores=True),
    ]
    check(model_of(first, [*given, L.LSTM(3)(given[0])]), steps())


def test_masks_of_ones_own() -> None:
    class Late(L.Layer):
        """Steps from the third on count."""

        def call(self, x: Any) -> Any:
            return x * 2

        def compute_mask(self, x: Any, mask: Any = None) -> Any:
            return x[:, :, 0] * 0 + [0, 0, 1, 1, 1, 1]

    class Ended(L.Layer):
        """No mask behind it."""

        def call(self, x: Any) -> Any:
            return x, x + 1

        def compute_mask(self, x: Any, mask: Any = None) -> Any:
            return [None, mask]

    first = L.Input((6, 4))
    one, other = Ended()(Late()(first))
    check(model_of(first, [L.LSTM(3)(Late()(first)), L.LSTM(3)(one), L.LSTM(3)(other)]), numbers(7, 6, 4))


def test_a_mask_that_is_the_same_for_all_rows() -> None:
    class Own(L.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.steps = L.LSTM(3)

        def build(self, shape: Any) -> None:
            self.mask = self.add_weight(shape=(6,), initializer=lambda shape, dtype=None: np.arange(6) % 2.0)

        def call(self, x: Any) -> Any:
            return self.steps(x, mask=self.mask * 1)

    first = L.Input((6, 4))
    model = fastnn.Model(first, Own()(first))
    check(model, numbers(7, 6, 4))


def test_queries_that_are_learnt() -> None:
    class Pooled(L.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.attention = L.Attention()

        def build(self, shape: Any) -> None:
            self.queries = self.add_weight(shape=(2, shape[-1]))

        def call(self, x: Any) -> Any:
            return self.attention([self.queries * 1, x], return_attention_scores=True)

    first = L.Input((6, 4))
    check(model_of(first, Pooled()(first)), numbers(7, 6, 4))


def test_steps_of_steps() -> None:
    first = L.Input((3, 6))
    rows = L.Embedding(5, 4, mask_zero=True)(first)
    check(model_of(first, L.TimeDistributed(L.LSTM(3))(rows)), steps(27).reshape(9, 3, 6))
    first = L.Input((1, 4))
    check(model_of(first, L.TimeDistributed(L.Dense(3))(first)), numbers(5, 1, 4))


def test_states_from_one_layer_to_the_next() -> None:
    first = L.Input((5, 4))
    out, h, c = L.LSTM(3, return_state=True)(first)
    after = L.LSTM(3, return_sequences=True)(L.RepeatVector(4)(out), initial_state=[h, c])
    check(model_of(first, [after, c]), numbers(6, 5, 4))


class Step(L.Layer):
    """A cell of one's own."""

    def __init__(self, units: int, **fields: Any) -> None:
        super().__init__(**fields)
        self.units = self.state_size = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")

    def call(self, x: Any, states: Any) -> Any:
        h = ops.tanh(x @ self.kernel + states[0] @ self.recurrent)
        return h, [h]


def test_cells() -> None:
    first = L.Input((4,))
    out, states = L.LSTMCell(3)(first)
    check(model_of(first, [out, *states]), numbers(6, 4))
    first = L.Input((5, 4))
    given = L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True, return_state=True)(first)
    check(model_of(first, [*given, L.RNN(Step(3))(first)]), numbers(6, 5, 4))
    ids = L.Input((6,))
    masked = L.Embedding(5, 4, mask_zero=True)(ids)
    check(model_of(ids, L.RNN(Step(3), return_sequences=True)(masked)), steps())


def test_a_stateful_layer_is_refused() -> None:
    first = L.Input(batch_shape=(2, 5, 4))
    with pytest.raises(ValueError, match=r"layer 'lstm' \(LSTM\) cannot be written as ONNX: it is stateful"):
        to_onnx(fastnn.Model(first, L.LSTM(3, stateful=True)(first)))


# Raw rows.


def test_raw_columns_go_in() -> None:
    from fastnn.utils import FeatureSpace

    rng = np.random.default_rng(4)
    columns = {
        "carat": rng.random(50).astype(np.float32),
        "depth": rng.random(50).astype(np.float32),
        "cut": rng.choice(["Ideal", "Good", "Fair"], 50),
        "year": rng.integers(2000, 2005, 50),
    }
    kinds_of = {
        "carat": "float_normalized",
        "depth": FeatureSpace.float_discretized(num_bins=4),
        "cut": "string_categorical",
        "year": "integer_categorical",
    }
    space = FeatureSpace(kinds_of)
    space.adapt(columns)
    model = fastnn.Model(space.get_inputs(), L.Dense(2)(space.get_encoded_features()))
    proto = to_onnx(model)
    assert {each.domain for each in proto.opset_import} == {"", "ai.onnx.ml"}
    columns["cut"] = np.where(np.arange(50) == 3, "never seen", columns["cut"])
    given = [columns[name].reshape(-1, 1) for name in model.input_names]
    (found,) = given_by(proto, *given)
    np.testing.assert_allclose(found, model.predict(dict(zip(model.input_names, given, strict=True))), atol=1e-5)


def test_lookups_that_go_both_ways() -> None:
    first = L.Input((3,), dtype="string")
    numbers_of = L.StringLookup(vocabulary=["a", "b", "c"])(first)
    back = L.StringLookup(vocabulary=["a", "b", "c"], invert=True)(numbers_of)
    coded = L.StringLookup(vocabulary=["c", "a"], output_mode="multi_hot")(back)
    model = fastnn.Model(first, coded)
    words = np.array([["a", "b", "x"], ["c", "c", "a"]], object)
    np.testing.assert_array_equal(given_by(to_onnx(model), words)[0], model.predict(words))


def test_a_layer_of_the_front_behind_one_that_computes() -> None:
    first = L.Input((3,))
    bins = L.Discretization([-1.0, 0.0, 2.0], output_mode="one_hot")(L.Rescaling(0.5)(first))
    check(fastnn.Model(first, L.Flatten()(bins)), numbers(7, 3))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (lambda: L.StringLookup(vocabulary=["a"], num_oov_indices=0), "num_oov_indices=0 makes an unknown value"),
        (lambda: L.StringLookup(vocabulary=["a"], num_oov_indices=2), "ONNX has no operator for FarmHash"),
        (lambda: L.Hashing(5), "ONNX has no operator for FarmHash"),
        (lambda: L.TextVectorization(vocabulary=["a"], output_sequence_length=2), "do not standardise and split"),
    ],
)
def test_a_layer_of_the_front_that_is_refused(layer: Any, why: str) -> None:
    first = L.Input((1,), dtype="string")
    model = fastnn.Model(first, L.Flatten()(layer()(first)))
    with pytest.raises(ValueError, match=rf"to_onnx: layer '\w+' \(\w+\) cannot be written as ONNX: .*{why}"):
        to_onnx(model)


def test_what_comes_behind_a_layer_that_is_refused() -> None:
    words = L.Input((1,), dtype="string")
    place = L.Hashing(7)(words)
    out = L.Dense(2)(L.Flatten()(L.Embedding(7, 3)(place)))
    model = fastnn.Model(words, out)
    with pytest.raises(ValueError, match="Hashing"):
        to_onnx(model)
    check(fastnn.Model(place, model.outputs), np.arange(7).reshape(7, 1))


def test_a_layer_that_knows_no_data_is_refused() -> None:
    first = L.Input((1,), dtype="string")
    model = fastnn.Model(first, L.StringLookup()(first))
    with pytest.raises(ValueError, match=r"\(StringLookup\).* it knows no data yet; call its adapt"):
        to_onnx(model)
    numbers_ = L.Input((1,))
    with pytest.raises(ValueError, match=r"\(Discretization\).* it knows no data yet"):
        to_onnx(fastnn.Model(numbers_, L.Discretization(num_bins=3)(numbers_)))


def test_a_scaler_of_numbers_that_are_text_is_refused() -> None:
    scaler = L.Scaler()
    scaler.adapt(np.array([[1.0], [2.0]]))
    first = L.Input((1,), dtype="string")
    with pytest.raises(ValueError, match=r'\(Scaler\).* give its Input dtype="float32"'):
        to_onnx(fastnn.Model(first, scaler(first)))
