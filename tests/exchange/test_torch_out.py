"""Models as modules of PyTorch: every layer gives the same values and slopes, and trains on."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from fastnn import activations, layers as L, optimizers
from fastnn.activations import ACTIVATIONS
from fastnn.exchange import from_torch, load_state_dict, to_torch
from fastnn.layers import LAYERS
from fastnn.layers.front import FrontLayer
from fastnn.models import Model, Sequential
from support.layers import CASES, OF_COLUMNS, RANDOM
from support.pictures import CHANGED

torch = pytest.importorskip("torch")
nn = torch.nn

PYTHON = {name for name in CASES if name.startswith("lambda") and "tensor" not in name}


def agrees(model: Any, x: Any, atol: float = 1e-5) -> Any:
    """The module of a model, which predicts as that does."""
    module = to_torch(model)
    assert not module.training
    with torch.no_grad():
        y = module(torch.from_numpy(x)).numpy()
    expected = model.predict(x, verbose=0)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=atol, atol=atol)  # relative where a case has large numbers
    return module


@pytest.mark.parametrize("part", range(8))
def test_every_layer(part: int) -> None:
    for name in [*CASES][part::8]:
        if name in PYTHON:
            continue
        case = CASES[name]
        model, _ = case.model(None if case.choices else 2)
        module, x = agrees(model, case.rows(4)), case.rows(4)
        if case.choices:
            continue
        rows = torch.tensor(x, requires_grad=True)
        module(rows)[:, 1].sum().backward()
        expected = model.input_gradient(x, 1)
        scale = 1 + abs(expected).max()
        assert abs(rows.grad.numpy() - expected).max() < 2e-5 * scale, name
        trained = copy.deepcopy(module).train()
        trained(torch.from_numpy(x)).sum().backward()
        learnt = [each.grad is not None for each in trained.parameters() if each.requires_grad]
        assert all(learnt) or name == "phase", name  # which goes one of two ways


def test_every_layer_of_the_table_is_met_or_refused() -> None:
    met = set()
    for name, case in CASES.items():
        model = case.model()[0]
        met |= {type(node) for node in _members(model)}
        if name in PYTHON:
            with pytest.raises(ValueError, match="is Python code"):
                to_torch(model)
    met |= {type(make()) for make, _ in OF_COLUMNS.values()} | {type(make()) for make in RANDOM.values()}
    met |= {type(make()) for make in CHANGED.values()} | {L.StackedRNNCells, L.RandomCrop}
    kinds = set(LAYERS.units.values())
    assert {kind for kind in kinds - met if not issubclass(kind, FrontLayer)} == set()


def _members(model: Any) -> set[Any]:
    from fastnn.layers.graph import calls

    return {node.layer for node in calls(model.description.graph)}


@pytest.mark.parametrize("name", [*ACTIVATIONS.units, "glu"])
def test_every_activation(name: str) -> None:
    x = np.concatenate([np.random.default_rng(0).normal(0, 3, (20, 6)), np.zeros((1, 6))]).astype(np.float32)
    for unit in (activations.get(name), *_others(name)):
        agrees(Sequential([L.Input((6,)), L.Dense(4, unit)]), x)
        model = Sequential([L.Input((6,)), L.Activation(unit)])
        agrees(model, x)
        rows = torch.tensor(x, requires_grad=True)
        y = _formula(unit)(rows)  # which JAX has for all, PyTorch for those that it has no module for
        np.testing.assert_allclose(y.detach(), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)
        y[:, 1].sum().backward()  # at the corners, which are at 0, too
        np.testing.assert_allclose(rows.grad, model.input_gradient(x, 1), rtol=1e-5, atol=1e-5)


def _formula(unit: Any) -> Any:
    from fastnn.exchange.torch_modules import Unit

    return Unit(unit)


def _others(name: str) -> list[Any]:
    """Activations with fields other than their own."""
    fields = {"elu": [0.3], "celu": [0.3], "gelu": [True], "squareplus": [1.0], "leaky_relu": [0.4]}
    fields |= {"relu": [0.1, 2.0, 0.3], "hard_shrink": [1.0], "soft_shrink": [1.0], "threshold": [0.5, -2.0]}
    return [ACTIVATIONS.units[name](*fields[name])] if name in fields else []


def test_what_chance_does_is_left_out_in_eval() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 2)).astype(np.float32)
    for make in (*RANDOM.values(), *CHANGED.values()):
        agrees(Sequential([L.Input((4, 4, 2)), make()]), x)
    for make, row in OF_COLUMNS.values():
        model = Sequential([L.Input(row), make()])
        module = agrees(model, np.ones((3, *row), np.float32))
        assert float(module.train()(torch.ones(64, *row)).std()) > 0.1
    noisy = to_torch(Sequential([L.Input((50,)), L.GaussianNoise(0.5), L.GaussianDropout(0.2)])).train()
    assert float(noisy(torch.ones(200, 50)).std()) == pytest.approx((0.25 * 1.25 + 0.25) ** 0.5, rel=0.05)


def test_a_chain_is_a_sequential_of_pytorchs_own() -> None:
    model = Sequential(
        [L.Input((4,)), L.Dense(8, "relu"), L.BatchNormalization(), L.Dropout(0.5), L.Dense(3, "softmax")]
    )
    module = agrees(model, np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    assert isinstance(module, nn.Sequential)
    assert [name for name, _ in module.named_children()] == [
        *("dense", "dense_activation", "batch_normalization", "dropout", "dense_1", "dense_1_activation")
    ]
    state = module.state_dict()
    assert state["dense.weight"].shape == (8, 4)
    assert "batch_normalization.running_var" in state
    picture = to_torch(Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3, 2, "same"), L.MaxPooling2D(), L.Flatten()]))
    assert isinstance(picture[0], nn.Conv2d)
    assert isinstance(picture[1], nn.MaxPool2d)
    recurrent = to_torch(Sequential([L.Input((5, 3)), L.LSTM(4), L.Dense(2)]))
    assert isinstance(recurrent[0], nn.LSTM)
    assert "lstm.weight_ih_l0" in recurrent.state_dict()


def test_graphs() -> None:
    rng = np.random.default_rng(0)
    a, b = L.Input((4,), name="a"), L.Input((3,), name="b")
    shared = L.Dense(5, "tanh", name="shared")
    inner = Sequential([L.Dense(4), L.LayerNormalization()], name="inner")
    left, right = shared(a), shared(inner(b))
    model = Model([a, b], {"sum": L.Add()([left, right]), "both": L.Concatenate()([left, right, a])})
    module = to_torch(model)
    xs = [rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32)]
    expected = model.predict(xs, verbose=0)
    tensors = [torch.from_numpy(x) for x in xs]
    for given in (module(*tensors), module(tensors), module({"a": tensors[0], "b": tensors[1]})):
        for name, values in expected.items():
            np.testing.assert_allclose(given[name].detach(), values, rtol=0, atol=1e-5)
    assert set(module.state_dict()) == {
        *("shared.weight", "shared.bias", "inner_dense.weight", "inner_dense.bias"),
        *("inner_layer_normalization.weight", "inner_layer_normalization.bias"),
    }
    with pytest.raises(TypeError, match="save its state_dict"):
        pickle.dumps(module)
    again = copy.deepcopy(module)
    with torch.no_grad():
        again.shared.weight.zero_()
    assert float(module.shared.weight.detach().abs().sum()) > 0


def test_training_goes_on_and_comes_back() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 5, 3)).astype(np.float32)
    y = x.sum((1, 2)).astype(np.float32)[:, None]
    model = Sequential([L.Input((5, 3)), L.Bidirectional(L.GRU(4)), L.Dense(4, "gelu"), L.Dense(1)])
    module = to_torch(model).train()
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((module(torch.from_numpy(x)) - torch.from_numpy(y)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    load_state_dict(model, module.state_dict())
    agrees_with(model, module.eval(), x)


def agrees_with(model: Any, module: Any, x: Any) -> None:
    with torch.no_grad():
        np.testing.assert_allclose(model.predict(x, verbose=0), module(torch.from_numpy(x)), rtol=0, atol=1e-5)


def test_a_step_of_sgd_is_the_same_in_both() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(16, 4)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)
    model = Sequential([L.Input((4,)), L.Dense(6, "silu"), L.BatchNormalization(), L.PReLU(), L.Dense(2)])
    module = to_torch(model).train()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    ((module(torch.from_numpy(x)) - torch.from_numpy(y)) ** 2).mean().backward()
    optimizer.step()
    model.compile(optimizers.SGD(0.1), "mse")
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    state = module.state_dict()
    np.testing.assert_allclose(model.layers[0].get_weights()[0].T, state["dense.weight"], rtol=0, atol=1e-5)
    moving = model.layers[1].get_weights()[3]  # biased in fastnn: 0.99 + 0.01 * variance
    unbiased = state["batch_normalization.running_var"].numpy()
    np.testing.assert_allclose((moving - 0.99) * 16 / 15, unbiased - 0.99, rtol=0, atol=1e-5)


def test_what_does_not_learn() -> None:
    frozen = L.Dense(3, trainable=False)
    module = to_torch(Sequential([L.Input((4,)), frozen, L.Dense(2)]))
    assert [each.requires_grad for each in module.parameters()] == [False, False, True, True]


def test_there_and_back() -> None:
    model = Sequential([L.Input((4,)), L.Dense(8, "gelu"), L.LayerNormalization(), L.Dense(3, "softmax")])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    again = from_torch(to_torch(model), (4,))
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a fastnn model"):
        to_torch(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="is not built"):
        to_torch(Sequential([L.Dense(3)]))
    words = Sequential([L.Input((1,), dtype="string"), L.StringLookup(vocabulary=["a", "b"]), L.Embedding(3, 2)])
    with pytest.raises(ValueError, match=r"'string_lookup' \(StringLookup\) reads columns"):
        to_torch(words)
    masked = Sequential([L.Input((5,)), L.Embedding(4, 3, mask_zero=True), L.LSTM(2)])
    with pytest.raises(ValueError, match=r"'lstm' \(LSTM\) reads a mask"):
        to_torch(masked)
    stateful = Sequential([L.Input(batch_shape=(2, 5, 3)), L.GRU(2, stateful=True)])
    with pytest.raises(ValueError, match="goes on from batch to batch"):
        to_torch(stateful)
    own = Sequential([L.Input((3,)), L.Dense(2, lambda z: z * 2)])
    with pytest.raises(ValueError, match=r"its activation .* is Python code"):
        to_torch(own)


def test_weights_of_every_module_come_back() -> None:
    first = L.Input((6, 4))
    x = L.MultiHeadAttention(2, 3)(first, first)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.GroupNormalization(2, center=False)(L.Conv1D(4, 2, padding="causal")(x))
    model = Model(first, L.Dense(2)(L.SimpleRNN(3, "softplus")(x)))
    state = {name: each + 0.1 for name, each in to_torch(model).state_dict().items()}
    load_state_dict(model, state)
    for name, each in to_torch(model).state_dict().items():
        expected = state[name]
        if "bias_" in name:  # of an LSTM, whose two biases are one here
            other = name.replace("bias_ih", "bias_??").replace("bias_hh", "bias_ih").replace("bias_??", "bias_hh")
            each, expected = each + to_torch(model).state_dict()[other], expected + state[other]
        np.testing.assert_allclose(each, expected, rtol=0, atol=1e-6, err_msg=name)
