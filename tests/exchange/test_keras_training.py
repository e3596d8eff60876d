"""What a model was compiled with goes to Keras and comes back, and training goes on where it was: the same steps."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

import fastnn  # noqa: E402
import fastnn.layers as L  # noqa: E402
from fastnn import losses, metrics, optimizers  # noqa: E402
from fastnn.exchange import from_keras, to_keras  # noqa: E402
from fastnn.optimizers import OPTIMIZERS, schedules  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

RNG = np.random.default_rng(3)
X = RNG.normal(size=(64, 5)).astype("f4")
Y = RNG.normal(size=(64, 2)).astype("f4")
# An optimizer each of every rule that both have, and what is done around a step.
RULES: list[Any] = [
    optimizers.SGD(0.05),
    optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.5),
    optimizers.Adam(0.01, amsgrad=True),
    optimizers.Adam(schedules.ExponentialDecay(0.01, 2, 0.5), global_clipnorm=1.0),
    optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    optimizers.Adam(0.01, gradient_accumulation_steps=2),
    optimizers.AdamW(0.01, weight_decay=0.1),
    optimizers.Adamax(0.01),
    optimizers.Nadam(0.01),
    optimizers.ScheduleFreeAdamW(0.01, warmup_steps=3),
    optimizers.Lion(0.001),
    optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    optimizers.Adagrad(0.01),
    optimizers.Adadelta(1.0),
    optimizers.Ftrl(0.01, l1_regularization_strength=0.01),
    optimizers.Lamb(0.01),
    optimizers.Adafactor(0.05),
    optimizers.Muon(0.01),
]


def named(rule: Any) -> str:
    return f"{type(rule).__name__}-{RULES.index(rule)}"


def small() -> Any:
    """Kernels of several shapes, one of them of one column, and a layer that learns nothing."""
    frozen = L.Dense(6, "tanh", trainable=False)
    model = fastnn.Sequential(
        [L.Input((5,)), L.Dense(6, "tanh"), frozen, L.LayerNormalization(), L.Dense(1), L.Dense(2)]
    )
    model.set_weights([np.random.default_rng(1).normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def step(ours: Any, theirs: Any, seed: int) -> None:
    """The same gradients for both."""
    rng = np.random.default_rng(seed)
    gradients = [rng.normal(size=w.shape).astype("f4") for w in ours.trainable_weights]
    ours.optimizer.apply(gradients)
    theirs.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], theirs.trainable_variables)


def assert_together(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.abs(mine - other).max() <= tolerance * max(1.0, np.abs(other).max())


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_optimizers(rule: Any) -> None:
    """Three steps here, three there, three here again: the same weights, and the same state."""
    ours = small()
    ours.compile(fastnn.optimizers.deserialize(fastnn.optimizers.serialize(rule)), "mse")
    rng = np.random.default_rng(0)
    for _ in range(3):
        ours.optimizer.apply([rng.normal(size=w.shape).astype("f4") for w in ours.trainable_weights])
    theirs = to_keras(ours)
    assert type(theirs.optimizer).__name__ == type(rule).__name__
    assert int(theirs.optimizer.iterations) == int(ours.optimizer.iterations)
    for seed in range(3):
        step(ours, theirs, seed)
    assert_together(ours, theirs)
    back = from_keras(theirs)
    state, other = ([np.asarray(each.numpy(), float) for each in model.optimizer.variables] for model in (back, ours))
    if not isinstance(rule, (optimizers.Muon, optimizers.Adafactor)):  # which keep vectors that nothing reads
        for one, two in zip(state, other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    for seed in range(3, 6):
        step(back, theirs, seed)
    assert_together(back, theirs)


def test_every_rule_is_met() -> None:
    assert {type(rule) for rule in RULES} == {cls for _, cls in OPTIMIZERS if hasattr(keras.optimizers, cls.__name__)}


@pytest.mark.parametrize("rule", [optimizers.SGD(0.1, momentum=0.9), optimizers.Adam(0.01)], ids=lambda r: r.name)
def test_fits_go_on(rule: Any) -> None:
    """`fit` on Keras with JAX, the way to a GPU, from where fastnn was, and back."""
    rows = {"verbose": 0, "shuffle": False, "batch_size": 16}
    ours = small()
    ours.compile(rule, "mse", metrics=["mae"], weighted_metrics=["mse"])
    ours.fit(X, Y, epochs=2, **rows)
    theirs = to_keras(ours)
    np.testing.assert_allclose(theirs.predict(X, verbose=0), ours.predict(X), atol=1e-5)
    histories = [model.fit(X, Y, epochs=2, **rows).history for model in (ours, theirs)]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5)
    assert_together(ours, theirs)
    back = from_keras(theirs)
    assert {name: type(value) for name, value in back.get_compile_config().items()}.keys() >= {"optimizer", "loss"}
    back.fit(X, Y, epochs=1, **rows)
    theirs.fit(X, Y, epochs=1, **rows)
    assert_together(back, theirs)


def test_several_outputs() -> None:
    """Losses, weights and metrics by the outputs' names, as objects and as names."""
    x = L.Input((5,))
    hidden = L.Dense(6, "relu", kernel_regularizer="l2", kernel_constraint="max_norm")(x)
    model = fastnn.Model(x, {"one": L.Dense(2, name="one")(hidden), "kind": L.Dense(3, "softmax", name="kind")(hidden)})
    model.compile(
        optimizers.Adam(0.01),
        {"one": losses.LogCosh(), "kind": "sparse_categorical_crossentropy"},
        loss_weights={"one": 0.5, "kind": 2.0},
        metrics={"one": [metrics.MeanAbsoluteError(name="off")], "kind": ["accuracy"]},
    )
    y = {"one": Y, "kind": np.arange(64) % 3}
    model.fit(X, y, epochs=1, verbose=0, shuffle=False)
    theirs = to_keras(model)
    mine, other = (each.evaluate(X, y, verbose=0, return_dict=True) for each in (model, theirs))
    assert mine.keys() == other.keys()
    for name, value in other.items():
        np.testing.assert_allclose(mine[name], value, rtol=1e-5, atol=1e-6)
    back = from_keras(theirs).evaluate(X, y, verbose=0, return_dict=True)
    assert back == pytest.approx(mine, rel=1e-6)


def test_compiled_and_not_trained(tmp_path: Any) -> None:
    """Keras has no vectors then, and none that was not compiled has a state at all."""
    theirs = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(2)])
    assert not from_keras(theirs).compiled
    theirs.compile(keras.optimizers.Adam(0.25), "mse")
    ours = from_keras(theirs)
    assert float(ours.optimizer.learning_rate) == 0.25
    assert int(ours.optimizer.iterations) == 0
    theirs.save(tmp_path / "m.keras")
    assert not fastnn.models.load_model(tmp_path / "m.keras", compile=False).compiled


def test_optimizer_in_a_weights_file(tmp_path: Any) -> None:
    path = str(tmp_path / "x.weights.h5")
    ours = small()
    ours.compile(optimizers.Adam(0.01), "mse")
    ours.fit(X, Y, verbose=0)
    ours.save_weights(path)
    theirs = to_keras(small())
    theirs.compile(keras.optimizers.Adam(0.5), "mse")
    theirs.optimizer.build(theirs.trainable_variables)
    theirs.load_weights(path)
    assert int(theirs.optimizer.iterations) == 2
    assert float(theirs.optimizer.learning_rate) == pytest.approx(0.01)
    step(ours, theirs, 0)
    assert_together(ours, theirs)
    theirs.save_weights(path)
    other = small()
    other.compile("sgd", "mse")  # whose state is another: the weights are taken, as in Keras
    other.load_weights(path)
    assert_together(other, theirs, 0)
    ours.load_weights(path)
    step(ours, theirs, 1)
    assert_together(ours, theirs)


def test_loss_scale() -> None:
    """An optimizer around another: what that has done goes over."""
    theirs = to_keras(small())
    inner = keras.optimizers.Adam(0.01)
    theirs.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    theirs.fit(X, Y, verbose=0, shuffle=False)
    ours = from_keras(theirs)
    assert int(ours.optimizer.inner_optimizer.iterations) == 2
    theirs.compile(inner, "mse")
    again = to_keras(ours)
    for model in (ours, theirs, again):
        model.fit(X, Y, verbose=0, shuffle=False)
    assert_together(ours, theirs)
    assert_together(ours, again)


def test_refused() -> None:
    model = small()
    for given in (optimizers.LBFGS(), optimizers.Rprop(), losses.Pinball(0.3)):
        loss, rule = ("mse", given) if hasattr(given, "learning_rate") else (given, "adam")
        model.compile(rule, loss)
        with pytest.raises(ValueError, match=f"{type(given).__name__}.*cannot go to Keras"):
            to_keras(model)
    model.compile("adam", lambda y, p: ((y - p) ** 2).mean(axis=-1))
    with pytest.raises(ValueError, match="lambda"):
        to_keras(model)
    model.compile("adam", "pinball")
    with pytest.raises(ValueError, match="pinball"):
        to_keras(model)


def test_state_of_shared_layers() -> None:
    """A layer that is called at two depths: Keras numbers those before it in another order, and so its vectors."""
    a, b = L.Input((5,), name="a"), L.Input((5,), name="b")
    shared = L.Dense(4, "tanh")
    one, other = shared(L.Dense(4)(a)), L.Dense(4)(shared(L.Dense(4)(b)))
    model = fastnn.Model({"a": a, "b": b}, L.Dense(2)(L.Add()([one, other])))
    model.compile(optimizers.Adam(0.01), "mse")
    x = {"a": X, "b": X[::-1].copy()}
    model.fit(x, Y, verbose=0, shuffle=False)
    theirs = to_keras(model)
    back = from_keras(theirs)
    for each in (model, theirs, back):
        each.fit(x, Y, verbose=0, shuffle=False, epochs=2)
    expected = theirs.predict(x, verbose=0)
    for each in (model, back):
        np.testing.assert_allclose(each.predict(x), expected, atol=1e-5)
