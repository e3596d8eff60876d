"""A subclass of a compiled unit that changes what it gives changes what fit does, or is refused when it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, constraints, initializers, losses, metrics, optimizers, regularizers
from fastnn._table import TABLES
from fastnn.layers import Dense, Rescaling
from fastnn.losses import LOSSES
from fastnn.models import Sequential
from fastnn.optimizers import schedules
from support.guarded import close
from support.metrics import NEEDED, fits, made
from support.units import OUTPUT_OF, targets_for

ROWS, UNITS = 24, 4
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("f4")
SCHEDULES = {
    schedules.ExponentialDecay: (0.1, 4, 0.5),
    schedules.PiecewiseConstantDecay: ([2, 4], [0.1, 0.05, 0.01]),
    schedules.PolynomialDecay: (0.1, 10),
    schedules.InverseTimeDecay: (0.1, 4, 0.5),
    schedules.CosineDecay: (0.1, 10),
    schedules.CosineDecayRestarts: (0.1, 4),
    schedules.WarmUp: (0.1, 4),
    schedules.OneCycle: (0.1, 20),
}


def derived(base: type, **methods: Any) -> Any:
    """A subclass of a unit's class with methods of its own."""
    return type(f"Own{base.__name__}", (base,), methods)


def twice(name: str) -> Callable[..., Any]:
    """A method that gives twice what the class above gives."""

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        above = next(cls for cls in type(self).__mro__[1:] if name in vars(cls))
        return 2 * vars(above)[name](self, *arguments, **named)

    return method


def trained(loss: Any, y: np.ndarray, activation: Any = "linear", epochs: int = 3, **options: Any) -> Any:
    """(model, history) of a small net that begins with the same weights each time."""
    fastnn.set_random_seed(1)
    dense = {key: options.pop(key) for key in list(options) if key.startswith("kernel_")}
    net = Sequential([Dense(UNITS, activation, input_dim=4, **dense)])
    net.compile(options.pop("optimizer", optimizers.SGD(0.05)), loss, **options)
    return net, net.fit(X, y, epochs=epochs, batch_size=8, verbose=0, shuffle=False).history


Y = np.random.default_rng(1).normal(size=(ROWS, UNITS)).astype("f4")


def test_a_loss_of_pairs_has_no_slopes_by_differences() -> None:
    with pytest.raises(TypeError, match="a row's value hangs on the other rows"):
        derived(losses.Circle, call=twice("call"))
    derived(losses.Circle, call=twice("call"), gradient=lambda self, y, output: output)


ALONE = [cls for cls in LOSSES.units.values() if cls is not losses.Circle]


@pytest.mark.parametrize("cls", ALONE, ids=lambda cls: cls.__name__)
def test_losses(cls: Any) -> None:
    """Twice the loss is learnt as at twice the rate."""
    if cls is losses.Circle:
        with pytest.raises(TypeError, match=r"a row's value hangs on the others .* write gradient"):
            derived(cls, call=twice("call"))
        return
    own = derived(cls, call=twice("call"))()
    assert not own.compiled
    assert cls().compiled
    y = targets_for(cls(), ROWS, UNITS, np.random.default_rng(2))
    activation = OUTPUT_OF.get(cls.table_name, "linear")
    plain, logs = trained(cls(), y, activation, optimizer=optimizers.SGD(0.02))
    found, own_logs = trained(own, y, activation, optimizer=optimizers.SGD(0.01))
    close(own_logs["loss"], 2 * np.array(logs["loss"]), 2e-3, 1e-5)
    for one, other in zip(found.get_weights(), plain.get_weights(), strict=True):
        close(one, other, 5e-3, 1e-4)
    close(found.evaluate(X, y, verbose=0, batch_size=8), 2 * plain.evaluate(X, y, verbose=0, batch_size=8), 5e-3)


def test_a_loss_with_a_gradient() -> None:
    class Own(losses.MeanSquaredError):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return 3 * super().call(y_true, y_pred)

        def gradient(self, y_true: Any, y_pred: Any) -> Any:
            return 6 * (y_pred - y_true) / y_pred.shape[-1]

    plain, _ = trained("mse", Y, optimizer=optimizers.SGD(0.03))
    found, _ = trained(Own(), Y, optimizer=optimizers.SGD(0.01))
    close(found.get_weights()[0], plain.get_weights()[0], 1e-5, 1e-6)
    weight = np.arange(ROWS) % 3 * 1.0
    close(found.evaluate(X, Y, sample_weight=weight, verbose=0), Own()(Y, found.predict(X, verbose=0), weight), 1e-5)


def test_a_loss_of_its_own() -> None:
    class Own(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ((y_pred - y_true) ** 2).mean(axis=-1)

    plain, _ = trained("mse", Y)
    found, _ = trained(Own(reduction="sum_over_batch_size"), Y)
    close(found.get_weights()[0], plain.get_weights()[0], 1e-4, 1e-5)
    with pytest.raises(TypeError, match=r"Nothing has no call; write call\(self, y_true, y_pred\)"):
        type("Nothing", (losses.Loss,), {})()(Y, Y)


def test_the_call_of_a_loss_is_refused() -> None:
    with pytest.raises(TypeError, match="fit would not use __call__; write call"):
        derived(losses.Huber, __call__=twice("__call__"))


@pytest.mark.parametrize("method", ["result", "update_state"])
@pytest.mark.parametrize("cls", TABLES["metric"].units.values(), ids=lambda cls: cls.__name__)
def test_metrics(cls: Any, method: str) -> None:
    plain = made(cls)
    y = np.eye(UNITS)[np.arange(ROWS) % UNITS]
    if not fits(plain, UNITS, UNITS):
        y = (np.arange(ROWS) % UNITS).astype(float)[:, None]

    def update_state(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        cls.update_state(self, y_true[:2], y_pred[:2])

    methods = {"result": twice("result"), "update_state": update_state}
    own = derived(cls, **{method: methods[method]})(**NEEDED.get(cls, {}))
    assert plain.compiled
    assert not own.compiled
    if not fits(plain, y.shape[1], UNITS):  # numbers of classes that are not these outputs'
        return
    net, logs = trained("mse" if y.shape[1] > 1 else "sparse_categorical_crossentropy", y, "softmax", 1, metrics=[own])
    predicted = net.predict(X, verbose=0)
    found = net.evaluate(X, y, verbose=0, batch_size=ROWS)[1]
    plain.update_state(*((y[:2], predicted[:2]) if method == "update_state" else (y, predicted)))
    close(found, (2 if method == "result" else 1) * np.asarray(plain.result()), 1e-5)
    assert own.name in logs


@pytest.mark.parametrize("cls", SCHEDULES, ids=lambda cls: cls.__name__)
def test_schedules(cls: Any) -> None:
    assert SCHEDULES.keys() == set(TABLES["schedule"].units.values())
    plain, own = cls(*SCHEDULES[cls]), derived(cls, __call__=twice("__call__"))(*SCHEDULES[cls])
    steps = np.arange(9)
    close(own.between(0, 9), [2 * plain(int(step)) for step in steps], 1e-12)
    close(schedules.WarmUp(own, 2).between(2, 9), 2 * plain.between(0, 7), 1e-12)
    slow, _ = trained("mse", Y, optimizer=optimizers.SGD(plain))
    fast, _ = trained("mse", Y, optimizer=optimizers.SGD(own))
    fixed, _ = trained("mse", Y, optimizer=optimizers.SGD(derived(cls, __call__=cls.__call__)(*SCHEDULES[cls])))
    assert np.abs(slow.get_weights()[0] - fast.get_weights()[0]).max() > 1e-3
    np.testing.assert_array_equal(slow.get_weights()[0], fixed.get_weights()[0])


@pytest.mark.parametrize("cls", TABLES["constraint"].units.values(), ids=lambda cls: cls.__name__)
def test_constraints(cls: Any) -> None:
    own = derived(cls, __call__=twice("__call__"))()
    plain, _ = trained("mse", Y, epochs=1, kernel_constraint=cls(), optimizer=optimizers.SGD(0.0))
    found, _ = trained("mse", Y, epochs=1, kernel_constraint=own, optimizer=optimizers.SGD(0.0))
    once = cls()(plain.get_weights()[0])
    close(once, plain.get_weights()[0], 1e-5)
    weights = initial()
    for _ in range(3):  # batches
        weights = 2 * cls()(weights)
    close(found.get_weights()[0], weights, 1e-5)


def initial() -> np.ndarray:
    fastnn.set_random_seed(1)
    return Sequential([Dense(UNITS, input_dim=4)]).get_weights()[0]


@pytest.mark.parametrize("method", ["__call__", "reference"])
@pytest.mark.parametrize("cls", TABLES["regularizer"].units.values(), ids=lambda cls: cls.__name__)
def test_regularizers(cls: Any, method: str) -> None:
    own = derived(cls, **{method: twice(method)})
    plain = derived(cls, gradient=None)(0.02)
    assert plain.compiled
    one, logs = trained("mse", Y, kernel_regularizer=plain)
    two, own_logs = trained("mse", Y, kernel_regularizer=own(0.01))
    close(own_logs["loss"], logs["loss"], 1e-5)
    close(two.get_weights()[0], one.get_weights()[0], 1e-3, 1e-4)
    close(two.evaluate(X, Y, verbose=0), one.evaluate(X, Y, verbose=0), 1e-5)


def test_a_regularizer_with_a_gradient_and_one_without() -> None:
    class Own(regularizers.Regularizer):
        def __call__(self, w: Any) -> Any:
            return 0.3 * (w**2).sum()

    class Known(Own):
        def gradient(self, w: Any) -> Any:
            return 0.6 * w

    plain, _ = trained("mse", Y, kernel_regularizer=regularizers.L2(0.3))
    for own in (Own(), Known(), lambda w: 0.3 * (w**2).sum()):
        found, _ = trained("mse", Y, kernel_regularizer=own)
        close(found.get_weights()[0], plain.get_weights()[0], 1e-4, 1e-5)
    x = np.zeros((4, 600))
    net = Sequential([Dense(2, input_dim=600, kernel_regularizer=Own())])
    net.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"regularizer Own of 'kernel' has 1200 weights.*gradient\(self, w\)"):
        net.fit(x, x[:, :2], verbose=0)
    net = Sequential([Dense(2, input_dim=600, kernel_regularizer=Known())])
    net.compile("sgd", "mse")
    net.fit(x, x[:, :2], verbose=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_python_gives_is_checked_and_comes_out_as_it_is(threads: int) -> None:
    def fails(w: Any) -> Any:
        raise RuntimeError("own words")

    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"kernel_regularizer": fails}, RuntimeError, "own words"),
        ({"kernel_constraint": fails}, RuntimeError, "own words"),
        (
            {"kernel_regularizer": lambda w: w},
            ValueError,
            r"regularizer <lambda> gave float.* \(4, 4\); it must give one",
        ),
        (
            {"kernel_constraint": lambda w: w[0]},
            ValueError,
            r"constraint <lambda> gave float32 \(4,\) for weights of sha",
        ),
        (
            {"kernel_initializer": lambda shape, dtype: np.zeros(3)},
            ValueError,
            r"initializer <lambda> gave .* of shape",
        ),
    ]
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        for options, error, words in cases:
            with pytest.raises(error, match=words):
                trained("mse", Y, **options)
        net, _ = trained("mse", Y)
        net.evaluate(X, Y, verbose=0)
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize("cls", TABLES["initializer"].units.values(), ids=lambda cls: cls.__name__)
def test_initializers(cls: Any) -> None:
    own = derived(
        cls, __call__=lambda self, shape, dtype=None, **more: 1 + super(type(self), self).__call__(shape, dtype)
    )
    fastnn.set_random_seed(1)
    plain = Sequential([Dense(UNITS, input_dim=4, kernel_initializer=cls())]).get_weights()[0]
    fastnn.set_random_seed(1)
    found = Sequential([Dense(UNITS, input_dim=4, kernel_initializer=own())]).get_weights()[0]
    assert found.shape == plain.shape
    assert np.abs(found - 1).max() < 3
    assert np.abs(found - plain).max() > 0.1
    keras_way = derived(initializers.Initializer, __call__=lambda self, shape, dtype=None: np.full(shape, 0.25, dtype))
    assert (Sequential([Dense(2, input_dim=4, kernel_initializer=keras_way())]).get_weights()[0] == 0.25).all()


@pytest.mark.parametrize("cls", TABLES["activation"].units.values(), ids=lambda cls: cls.__name__)
def test_activations(cls: Any) -> None:
    """Twice an activation; one along rows cannot be elementwise, and says what to write."""
    own = derived(cls, __call__=twice("__call__"))()
    assert cls().compiled
    assert not own.compiled
    if issubclass(cls, activations.RowActivation):
        with pytest.raises(ValueError, match=r"not elementwise.*forward and backward"):
            trained("mse", Y, own)
        return
    net, _ = trained("mse", Y, own)
    kernel, bias = net.get_weights()
    close(net.predict(X, verbose=0), 2 * cls()((X @ kernel + bias).astype("f4")), 1e-4, 1e-5)
    if cls.__name__ == "Sigmoid":  # no loss takes its place
        entropy, _ = trained("bce", (Y > 0) * 1.0, own)
        wanted = losses.BinaryCrossentropy()((Y > 0) * 1.0, entropy.predict(X, verbose=0))
        close(entropy.evaluate(X, (Y > 0) * 1.0, verbose=0), wanted, 1e-5)


@pytest.mark.parametrize("cls", TABLES["optimizer"].units.values(), ids=lambda cls: cls.__name__)
def test_optimizers_are_refused(cls: Any) -> None:
    for name in ("update_step", "apply_gradients"):
        with pytest.raises(TypeError, match=f"fit would not use {name}; write what you change as a learning"):
            derived(cls, **{name: lambda self, *more: None})


def test_a_layer_with_a_call_is_what_that_makes_of_it() -> None:
    class Own(Dense):
        def call(self, x: Any) -> Any:
            return 2 * super().call(x)

    net = Sequential([Own(UNITS, input_dim=4)])
    plain = Sequential([Dense(UNITS, input_dim=4), Rescaling(2.0)])
    plain.set_weights(net.get_weights())
    for each in (net, plain):
        each.compile("sgd", "mse")
        each.fit(X, Y, verbose=0, shuffle=False)
    close(net.predict(X, verbose=0), plain.predict(X, verbose=0), 1e-6, 1e-7)


def test_a_layer_with_forward_runs_in_python() -> None:
    class Own(Dense):
        def forward(self, x: Any, weights: Any, training: bool) -> Any:
            return 3 * (x @ weights[0] + weights[1])

        def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
            return 3 * d @ weights[0].T, [3 * x.T @ d, 3 * d.sum(axis=0)]

    net = Sequential([Own(UNITS, input_dim=4)])
    net.compile("sgd", "mse")
    net.fit(X, Y, verbose=0)
    kernel, bias = net.get_weights()
    close(net.predict(X, verbose=0), 3 * (X @ kernel + bias), 1e-5, 1e-6)


def test_metrics_of_losses_that_are_python() -> None:
    own = derived(losses.MeanAbsoluteError, call=twice("call"))()
    net, _ = trained("mse", Y, metrics=[own, metrics.LossMetric(losses.MeanAbsoluteError(), "plain")])
    _, twofold, plain = net.evaluate(X, Y, verbose=0)
    close(twofold, 2 * plain, 1e-5)


def test_units_of_another_family() -> None:
    for get in (activations.get, regularizers.get, constraints.get, initializers.get):
        with pytest.raises(TypeError, match=r"must be a name, .* or a function, got a loss"):
            get(losses.MeanSquaredError())


def test_what_a_metric_will_give_is_known_before_the_first_epoch() -> None:
    """Also of one that is Python only since a subclass has changed its result."""
    from fastnn.callbacks import EarlyStopping

    three = derived(metrics.MeanAbsoluteError, result=lambda self: np.zeros(3))(name="three")
    one = derived(metrics.MeanAbsoluteError, result=lambda self: np.zeros(1))(name="one")
    for metric, words in ((three, r"monitor 'three' is an array of shape \(3,\)"), (one, None)):
        net = Sequential([Dense(UNITS, input_dim=4)])
        net.compile("sgd", "mse", metrics=[metric])
        stop = EarlyStopping(metric.name, mode="min", patience=1)
        if words is None:
            assert len(net.fit(X, Y, epochs=5, verbose=0, callbacks=[stop]).history["loss"]) == 2
            continue
        before = net.get_weights()
        with pytest.raises(ValueError, match=words):
            net.fit(X, Y, verbose=0, callbacks=[stop])
        np.testing.assert_array_equal(net.get_weights()[0], before[0])
