"""Steps on gradients that are given: on a model's weights those of its fit, on other variables the same rule."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import LBFGS, OPTIMIZERS, SGD, Adam, Lamb, LossScaleOptimizer, Muon, Optimizer, schedules
from support.units import label, units

STEPPING = [each for each in units(OPTIMIZERS) if not (each.full_batch or each.row_clipping[0])]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 4)).astype("f4"), RNG.normal(size=(32, 2)).astype("f4")


def model_of(optimizer: Any, loss: Any = "mse") -> tuple[Sequential, list[Any]]:
    fastnn.set_random_seed(3)
    model = Sequential([Dense(5, "tanh", input_shape=(4,), name="a"), Dense(2, name="b")])
    model.compile(optimizer, loss)
    return model, model.trainable_variables


def gradients_of(model: Sequential, rows: slice) -> list[np.ndarray]:
    """The gradient that a step on these rows has, by the network itself."""
    network = model.description.trainer.configured()
    network.gradient(X[rows], Y[rows])
    found = []
    for place in model.description.variables():
        found.append(
            network.gradients[place.start : place.start + place.rows * place.columns].reshape(place.shape).copy()
        )
    return found


def bits(arrays: Any) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("optimizer", STEPPING, ids=label)
def test_steps_on_a_models_weights_are_those_of_fit(optimizer: Optimizer) -> None:
    """To the bit, slots included; and a fit goes on from them."""
    fitted, _ = model_of(copy.deepcopy(optimizer))
    applied, weights = model_of(copy.deepcopy(optimizer))
    for epoch in range(3):
        for start in (0, 8, 16, 24):
            rows = slice(start, start + 8)
            fitted.train_on_batch(X[rows], Y[rows])
            if epoch < 2:
                scale = np.float32(optimizer.loss_scale_factor or 1)
                gradients = [scale * gradient for gradient in gradients_of(applied, rows)]
                count = applied.optimizer.apply_gradients(zip(gradients, weights, strict=True))
                assert int(count) == epoch * 4 + start // 8 + 1
            else:
                applied.train_on_batch(X[rows], Y[rows])
            assert bits(applied.get_weights()) == bits(fitted.get_weights())
    assert bits(applied.optimizer.variables) == bits(fitted.optimizer.variables)


@pytest.mark.parametrize("optimizer", STEPPING, ids=label)
def test_steps_on_arrays_follow_the_formula(optimizer: Optimizer) -> None:
    rng = np.random.default_rng(1)
    optimizer = copy.deepcopy(optimizer)
    w = rng.normal(size=(6, 3)).astype("f4")
    other, start = model_of(copy.deepcopy(optimizer))[0], w.copy()
    assert not other.optimizer.built or other.description.network.iterations == 0
    for _ in range(12):
        optimizer.apply_gradients([(rng.normal(size=w.shape), w)])
    assert np.isfinite(w).all()
    assert not np.array_equal(w, start)
    assert optimizer.iterations == 12 // (optimizer.gradient_accumulation_steps or 1)


def test_a_known_path() -> None:
    w = np.ones(2, "f4")
    optimizer = SGD(0.5, momentum=0.5)
    for expected in ([0.5, 0.0], [-0.25, -1.5]):
        optimizer.apply_gradients([([1.0, 2.0], w)])
        np.testing.assert_array_equal(w, np.array(expected, "f4"))


def test_what_it_keeps_can_be_read_and_set() -> None:
    w = np.ones((2, 2), "f4")
    optimizer = Adam(0.1)
    assert [each.name for each in optimizer.variables] == ["iteration", "learning_rate"]
    optimizer.build([w])
    names = ["iteration", "learning_rate", "variable_momentum", "variable_velocity"]
    assert [each.name for each in optimizer.variables] == names
    optimizer.apply([np.full((2, 2), 2.0)])
    momentum = optimizer.variables[2]
    np.testing.assert_allclose(momentum, 0.2, rtol=1e-6)
    np.testing.assert_allclose(momentum + 1, 1.2, rtol=1e-6)
    momentum.assign(np.zeros((2, 2)))
    assert not momentum.numpy().any()
    assert momentum.shape == (2, 2)
    assert momentum.dtype == "float32"
    optimizer.iterations.assign(7)
    assert int(optimizer.iterations) == 7
    other = Adam()
    with pytest.raises(ValueError, match="You are calling `set_weights"):
        other.set_weights(optimizer.variables)
    other.build([np.zeros((2, 2), "f4")])
    store: dict[str, Any] = {}
    optimizer.save_own_variables(store)
    other.load_own_variables(store)
    assert bits(other.variables) == bits(optimizer.variables)
    with pytest.raises(ValueError, match="has 4 variables, got 1"):
        other.set_weights([0])
    with pytest.raises(ValueError, match=r"variable_velocity has the shape \(2, 2\), got \(3,\)"):
        other.set_weights([1, 0.5, np.ones((2, 2)), np.ones(3)])
    assert other.iterations == 7
    for wrong in (-1, 0.5, np.nan):
        with pytest.raises(ValueError, match="iteration must be a whole number of at least 0"):
            other.iterations.assign(wrong)
    with pytest.raises(ValueError, match="store must be a dict of arrays"):
        other.load_own_variables({"a": 1})


def test_a_learning_rate_answers_as_a_variable() -> None:
    optimizer = Adam(0.25)
    rate = optimizer.learning_rate
    assert (float(rate), rate, rate * 2) == (0.25, 0.25, 0.5)
    assert rate.numpy() == np.float32(0.25)
    assert type(rate.value) is np.float32
    rate.assign(0.5)
    assert optimizer.learning_rate == 0.5
    assert rate.numpy() == 0.5
    optimizer.variables[1].assign(0.125)
    assert optimizer.learning_rate == 0.125
    with pytest.raises(ValueError, match="Adam: learning_rate must be at least 0"):
        rate.assign(-1)
    with pytest.raises(ValueError, match="learning_rate must be one number"):
        rate.assign([1.0, 2.0])
    for other in (copy.copy(optimizer), copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        other.learning_rate.assign(1.0)
        assert (optimizer.learning_rate, other.learning_rate) == (0.125, 1.0)
        assert other == Adam(1.0)
    model, _ = model_of(optimizer)
    model.optimizer.learning_rate.assign(0.75)
    model.fit(X, Y, verbose=0)
    assert model.optimizer.learning_rate == 0.75


def test_a_learning_rate_may_be_a_function() -> None:
    rates = iter([0.5, 0.25])
    optimizer = SGD(lambda: next(rates))
    w = np.zeros(1, "f4")
    optimizer.apply_gradients([([1.0], w)])
    optimizer.apply_gradients([([1.0], w)])
    assert w == -0.75
    with pytest.raises(TypeError, match="learning_rate must be a number, a schedule or a function without arguments"):
        SGD(lambda step: 0.1)
    bad = SGD(lambda: -1.0)
    with pytest.raises(ValueError, match="learning_rate must be at least 0, got -1"):
        bad.apply_gradients([([1.0], w)])


def test_without_some_gradients() -> None:
    a, b = np.ones(2, "f4"), np.ones(2, "f4")
    optimizer = Adam(0.5)
    optimizer.apply_gradients([([1.0, 1.0], a), ([1.0, 1.0], b)])
    before, kept = b.copy(), [each.numpy() for each in optimizer.variables[4:]]
    with pytest.warns(UserWarning, match="there is no gradient for variable: they stay as they are"):
        optimizer.apply_gradients([([1.0, 1.0], a), (None, b)])
    np.testing.assert_array_equal(b, before)
    assert bits(optimizer.variables[4:]) == bits(kept)
    assert (a < before).all()
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        optimizer.apply_gradients([(None, a), (None, b)])
    optimizer.apply([])
    assert optimizer.iterations == 2


def test_weights_that_do_not_decay() -> None:
    for names, listed in ((["bias"], []), ([], [1])):
        model, weights = model_of(SGD(0.5, weight_decay=0.5))
        model.optimizer.exclude_from_weight_decay([weights[place] for place in listed], names)
        before = model.get_weights()
        model.optimizer.apply_gradients([(np.zeros(w.shape), w) for w in weights])
        for place, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
            stays = place % 2 == 1 if names else place in listed
            np.testing.assert_array_equal(new, old if stays else old - np.float32(0.25) * old)

    class Named:
        def __init__(self, name: str) -> None:
            self.name, self.x = name, np.ones(2, "f4")

        def numpy(self) -> np.ndarray:
            return self.x

        def assign(self, value: np.ndarray) -> None:
            self.x = np.array(value)

    a, b = Named("kernel"), Named("gamma")
    optimizer = Adam(1.0, weight_decay=0.25)
    optimizer.exclude_from_weight_decay(var_names=["gam.a"])
    optimizer.apply_gradients([(np.zeros(2), a), (np.zeros(2), b)])
    assert (a.x[0], b.x[0]) == (0.75, 1.0)
    with pytest.raises(ValueError, match="must be called before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
    with pytest.raises(ValueError, match="var_names must be regular expressions"):
        Adam().exclude_from_weight_decay(var_names=["("])


def test_averages_and_scales() -> None:
    w = np.full(2, 4.0, "f4")
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.5, loss_scale_factor=4.0)
    assert optimizer.scale_loss(3.0) == 12.0
    for _ in range(2):
        optimizer.apply_gradients([(np.full(2, 4.0), w)])
    np.testing.assert_array_equal(w, 2.0)
    optimizer.finalize_variable_values([w])
    np.testing.assert_array_equal(w, 2.5)  # of 3 and 2


def test_constraints_of_variables() -> None:
    class Limited:
        constraint = staticmethod(lambda w: np.maximum(w, 0))
        x = np.ones(2, "f4")

        def numpy(self) -> np.ndarray:
            return self.x

        def assign(self, value: np.ndarray) -> None:
            self.x = np.array(value)

    w = Limited()
    SGD(1.0).apply_gradients([([2.0, 0.5], w)])
    np.testing.assert_array_equal(w.x, [0.0, 0.5])


def test_what_is_refused() -> None:
    w = np.ones(2, "f4")
    optimizer = SGD(1.0)
    for call, error, message in (
        (lambda: optimizer.apply([[1.0]]), ValueError, "has no variables yet; call build"),
        (lambda: optimizer.apply_gradients([1, 2]), TypeError, "takes pairs of a gradient and a variable"),
        (lambda: optimizer.apply_gradients([([1.0], [1.0])]), TypeError, "steps on variables that have assign"),
        (lambda: optimizer.apply_gradients([([1.0], np.ones(1, int))]), TypeError, "arrays of floats"),
        (lambda: optimizer.build(3), TypeError, "variables must be a list, got 3"),
        (lambda: optimizer.apply_gradients([([1.0], w)]), ValueError, r"the shape \(1,\), its variable \(2,\)"),
        (lambda: optimizer.apply_gradients([(["a", "b"], w)]), TypeError, "gradient"),
        (lambda: optimizer.apply([[1.0, 1.0], [1.0, 1.0]]), ValueError, "a gradient for each of 1 variables, got 2"),
        (lambda: optimizer.apply_gradients([([1.0, 1.0], np.ones(2, "f4"))]), ValueError, "unknown variable"),
        (lambda: optimizer.apply_gradients([([np.nan, 1.0], w)]), FloatingPointError, "not finite"),
        (lambda: LBFGS().apply_gradients([([1.0, 1.0], w)]), TypeError, "LBFGS asks for the loss"),
    ):
        with pytest.raises(error, match=message):
            call()
        np.testing.assert_array_equal(w, 1)
    assert optimizer.iterations == 0


def test_steps_of_no_state() -> None:
    w = np.ones(2, "f4")
    optimizer = Adam(0.5)
    with pytest.raises(ValueError, match="call build"):
        optimizer.stateless_apply([], [[1.0, 1.0]], [w])
    optimizer.build([w])
    held, values = [each.numpy() for each in optimizer.variables], [w.copy()]
    for _ in range(3):
        values, held = optimizer.stateless_apply(held, [[1.0, 2.0]], values)
    assert (w == 1).all()
    assert optimizer.iterations == 0
    other = Adam(0.5)
    for _ in range(3):
        other.apply_gradients([([1.0, 2.0], w)])
    np.testing.assert_array_equal(values[0], w)
    assert int(held[0]) == 3


def test_loss_scaling_halves_doubles_and_skips() -> None:
    w = np.ones(2, "f4")
    optimizer = LossScaleOptimizer(SGD(1.0, loss_scale_factor=3.0), initial_scale=8.0, dynamic_growth_steps=2)
    assert optimizer.inner_optimizer.loss_scale_factor is None
    assert optimizer.scale_loss(2.0) == 16.0
    optimizer.apply_gradients([([8.0, 16.0], w)])
    np.testing.assert_array_equal(w, [0.0, -1.0])
    optimizer.apply_gradients([([np.inf, 0.0], w)])
    np.testing.assert_array_equal(w, [0.0, -1.0])
    assert (optimizer.dynamic_scale, optimizer.step_counter, optimizer.iterations) == (4.0, 0, 1)
    for _ in range(2):
        optimizer.apply_gradients([([4.0, 0.0], w)])
    assert (w[0], optimizer.dynamic_scale) == (-2.0, 8.0)
    again = fastnn.optimizers.deserialize(fastnn.optimizers.serialize(optimizer))
    assert again == optimizer


def test_loss_scaling_in_a_fit_is_the_optimizer_within(tmp_path: Any) -> None:
    plain, _ = model_of(Lamb(0.01))
    wrapped, _ = model_of(LossScaleOptimizer(Lamb(0.01)))
    for model in (plain, wrapped):
        model.fit(X, Y, 8, 2, 0, shuffle=False)
    assert bits(wrapped.get_weights()) == bits(plain.get_weights())
    assert isinstance(wrapped.optimizer, LossScaleOptimizer)
    wrapped.optimizer.learning_rate = 0.5
    assert wrapped.optimizer.inner_optimizer.learning_rate == 0.5
    assert wrapped.optimizer.iterations == 8
    wrapped.save(tmp_path / "m")
    assert fastnn.models.load_model(tmp_path / "m").optimizer == Lamb(0.5)


@pytest.mark.parametrize(
    "optimizer", [*units(OPTIMIZERS), Adam(schedules.CosineDecay(0.1, 10)), SGD(schedules.WarmUp(0.1, 3))], ids=label
)
def test_configurations(optimizer: Optimizer) -> None:
    config = optimizer.get_config()
    assert list(config)[:2] == ["name", "learning_rate"]
    assert type(optimizer).from_config(config) == optimizer
    described = fastnn.optimizers.serialize(optimizer)
    assert (described["class_name"], described["config"]) == (type(optimizer).__name__, config)
    assert fastnn.optimizers.deserialize(described) == optimizer
    assert fastnn.optimizers.get(described) == optimizer
    lower = described | {"class_name": described["class_name"].lower()}
    assert fastnn.optimizers.get(lower) == optimizer
    assert optimizer.name == (config["name"])


def test_names() -> None:
    assert [cls().name for cls in (SGD, fastnn.optimizers.AdamW, fastnn.optimizers.RMSprop)] == [
        "sgd",
        "adam_w",
        "rm_sprop",
    ]
    assert Adam(name="mine").name == "mine"
    assert fastnn.optimizers.get(None) is None
    with pytest.raises(TypeError, match="optimizer must be a name"):
        Sequential([Dense(1)]).compile(None)


def test_which_variables_muon_takes_whole() -> None:
    model, _ = model_of(Muon(0.1, exclude_layers=["^b/"]))
    told = model.optimizer.told(model.description.variables())
    assert [variable.matrix for variable in told] == [True, False, False, False]
    embedded = Sequential([fastnn.layers.Embedding(3, 2, input_shape=(1,)), fastnn.layers.Flatten(), Dense(1)])
    embedded.compile(Muon(), "mse")
    told = embedded.optimizer.told(embedded.description.variables())
    assert [variable.matrix for variable in told] == [False, True, False]
    assert [v.matrix for v in Muon(exclude_embeddings=False).told(told)] == [True, True, False]
    apart = Muon(weight_decay=None, adam_weight_decay=0.5).told(told)
    assert [variable.decay for variable in apart] == [0.5, 0.0, 0.5]
