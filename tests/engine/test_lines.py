"""Losses, metrics, targets and weights by line: outputs of (steps, units) against float64 references, line by line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, kernels, losses, metrics
from fastnn.engine.description import Metric, Objective, Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import ActivationOp, DenseOp
from fastnn.layers import Activation, Dense, Input, Reshape
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.models import Model, Sequential
from fastnn.optimizers import SGD
from support.metrics import batch as metric_batch, fits
from support.units import Way, gradient, label, outputs_for, targets_for, units, ways

ROWS, STEPS, UNITS = 7, 3, 4
REDUCTIONS = ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
THREADS = (1, 2, 3, 4, 8)
ROWS_BARRIER, SUMS_BARRIER, PARAMETERS_BARRIER = 0, 1, 6  # engine/network.pxd
X = np.eye(ROWS, dtype=np.float32)  # the outputs are the weights, and their gradients those of the outputs


def weights(which: str, shape: tuple[int, ...] = (ROWS, STEPS)) -> np.ndarray | None:
    """None, one for each row or one for each line; some are 0."""
    if which == "none":
        return None
    shape = shape[:1] if which == "rows" else shape
    found = np.random.default_rng(3).uniform(0.5, 2, shape).astype("f4")
    found.flat[1::4] = 0
    return found


def of_lines(weight: np.ndarray | None) -> np.ndarray:
    """One weight for each line."""
    if weight is None:
        return np.ones(ROWS * STEPS)
    return np.broadcast_to(weight.reshape(ROWS, -1), (ROWS, STEPS)).ravel().astype(float)


def divisor(weight: np.ndarray, reduction: str) -> float:
    return {"sum": 1.0, "mean_with_sample_weight": weight.sum()}.get(reduction, weight.size)


def network_of(way: Way, reduction: str, measured: Any = ()) -> Network:
    """Outputs of (STEPS, UNITS), which are the parameters themselves."""
    ops: list[Any] = [DenseOp(ROWS, STEPS * UNITS, False)]
    if way.after:
        activation = activations.get(way.after)
        ops.append(ActivationOp(UNITS, activation=activation.kernel, numbers=activation.numbers(), lines=STEPS))
    network = Network(ops)
    objective = Objective(
        way.kernel,
        way.loss.targets(UNITS),
        way.loss.numbers(),
        bool(way.after),
        way.loss.logits,
        reduction,
        metrics=[Metric(metric.kernel, metric.numbers()) for metric in measured],
        shape=(STEPS, UNITS),
    )
    network.set_objectives([objective])
    network.set_variables([Variable(0, ops[0].size)])
    return network


def drawn(way: Way, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, targets) of all lines, in float64 numbers that float32 has."""
    z = rng.normal(size=(ROWS * STEPS, UNITS))
    z = z if way.logits else outputs_for(way.loss, z)
    y = targets_for(way.loss, ROWS * STEPS, UNITS, rng)
    return z.astype("f4").astype(float), y.astype("f4").astype(float)


@pytest.mark.parametrize("which", ["none", "rows", "lines"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("way", [way for loss in units(LOSSES) for way in ways(loss)], ids=label)
def test_value_and_gradient(way: Way, reduction: str, which: str) -> None:
    z, y = drawn(way, np.random.default_rng(5))
    given = weights(which)
    weight = of_lines(given)
    network = network_of(way, reduction)
    network.parameters[: z.size] = z.ravel()
    value = network.gradient(X, y.astype("f4").reshape(ROWS, -1), given)
    found = network.gradients[: z.size].reshape(z.shape)
    if way.kernel.whole:

        def total(z: np.ndarray) -> float:
            values = np.asarray(way.reference(y, z))  # one of the batch, or one of each row beside the others
            return float((values * weight).sum() if values.ndim else values * weight.sum()) / divisor(weight, reduction)

        wanted = total(z)
        slopes = np.array(
            [
                gradient(lambda row: np.array([total(np.vstack([z[:i], row, z[i + 1 :]]))]), z[i : i + 1])[0]  # noqa: B023
                for i in range(len(z))
            ]
        )
    else:
        wanted = (way.reference(y, z) * weight).sum() / divisor(weight, reduction)
        slopes = gradient(lambda z: way.reference(y, z), z) * weight[:, None] / divisor(weight, reduction)
    # The engine's value is a mean over rows, whatever becomes of the lines.
    assert value == pytest.approx(wanted, rel=2e-5, abs=1e-6)
    np.testing.assert_allclose(found, slopes, rtol=2e-4, atol=2e-5 * np.abs(slopes).max())
    assert (found[weight == 0] == 0).all() or way.kernel.whole


# Metrics


def lines_for(metric: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(y, output) of all lines, for as many outputs as the metric takes."""
    for count in (UNITS, 3, 1):
        if isinstance(metric, metrics.MeanMetric):
            y = targets_for(metric, ROWS * STEPS, count, rng).reshape(ROWS * STEPS, -1)
            output = outputs_for(metric, rng.normal(size=(ROWS * STEPS, count)))
            if getattr(metric, "from_sorted_ids", False):
                output = rng.integers(0, count, (ROWS * STEPS, count)).astype(float)
        else:
            y, output = metric_batch(metric, ROWS * STEPS, count, rng)
        if fits(metric, y.shape[1], count):
            return y.astype("f4"), output.astype("f4")
    raise AssertionError(f"no batch for {metric}")


@pytest.mark.parametrize("which", ["none", "rows", "lines"])
@pytest.mark.parametrize("metric", units(METRICS), ids=label)
def test_metrics(metric: Any, which: str) -> None:
    """A metric of (steps, units) is that of all lines under one another: on arrays, and in an evaluation."""
    y, output = lines_for(metric, np.random.default_rng(5))
    given = weights(which)
    weight = None if given is None else of_lines(given).astype("f4")
    metric.reset_state()
    wanted = metric(y, output, weight)
    metric.reset_state()
    shape = (ROWS, STEPS, output.shape[1])
    np.testing.assert_array_equal(metric(y.reshape(ROWS, STEPS, -1), output.reshape(shape), given), wanted)
    if y.shape[1] == 1:
        metric.reset_state()
        np.testing.assert_array_equal(metric(y.reshape(ROWS, STEPS), output.reshape(shape), given), wanted)
    metric.reset_state()
    network = Network([DenseOp(ROWS, output.size // ROWS, False)])
    labels = y.shape[1] < output.shape[1]
    kernel = kernels.categorical_generalized_cross_entropy if labels else kernels.mean_squared_error
    numbers = getattr(metric, "accumulator_numbers", metric.numbers)()
    described = Metric(metric.kernel, numbers, True, metric.logits)
    network.set_objectives([Objective(kernel, y.shape[1], (0.5,), metrics=[described], shape=shape[1:])])
    network.parameters[: output.size] = output.ravel()
    network.evaluate(X, y.reshape(ROWS, -1), given)
    np.testing.assert_allclose(metric.reported(network.states[0]), wanted, rtol=1e-12)


class Seen(metrics.Metric):
    """Writes down what it is given."""

    def __init__(self) -> None:
        super().__init__("seen")
        self.arrays: list[Any] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.arrays.append((y_true, y_pred, sample_weight))

    def result(self) -> float:
        return 0.0

    def reset_state(self) -> None:
        self.arrays.clear()


# Through a model


def model_of(shape: tuple[int, ...], after: str = "linear", hidden: int = 8, inputs: int = 5) -> Sequential:
    fastnn.set_random_seed(4)
    return Sequential(
        [Dense(hidden, "tanh", input_dim=inputs), Dense(int(np.prod(shape))), Reshape(shape), Activation(after)]
    )


def rows(count: int, shape: tuple[int, ...], inputs: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.normal(size=(count, inputs)).astype("f4"), rng.normal(size=(count, *shape)).astype("f4")


def test_python_sees_the_shapes_of_the_model() -> None:
    """A loss and a metric in Python are given (rows, steps, units), and weights as they came."""
    shapes: list[Any] = []

    def loss(y_true: Any, y_pred: Any) -> Any:
        shapes.append((y_true.shape, y_pred.shape))
        return ((y_true - y_pred) ** 2).mean(axis=-1)

    x, y = rows(10, (3, 2))
    for weight in (None, np.ones(10), np.ones((10, 3))):
        seen = Seen()
        model = model_of((3, 2))
        model.compile("sgd", losses.Custom(loss), weighted_metrics=[seen])
        model.evaluate(x, y, verbose=0, sample_weight=weight)
        assert set(shapes) == {((10, 3, 2), (10, 3, 2))}
        [(y_true, y_pred, came)] = seen.arrays
        assert (y_true.shape, y_pred.shape) == ((10, 3, 2), (10, 3, 2))
        assert came is None if weight is None else came.shape == weight.shape


@pytest.mark.parametrize("which", ["none", "rows", "lines"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("axes", [0, 1, 2])
def test_a_python_loss_is_the_compiled_one(axes: int, reduction: str, which: str) -> None:
    """With a value for each line, for each row or for the batch; slopes by differences."""
    x, y = rows(ROWS, (STEPS, UNITS))
    given = weights(which)
    if axes < 2 and which == "lines":
        return  # the mean of a row does not know its lines' weights

    def mean_square(y_true: Any, y_pred: Any) -> Any:
        return ((y_true - y_pred) ** 2).mean(axis=tuple(range(axes, 3)))

    if axes == 0 and given is not None:
        return
    models = [model_of((STEPS, UNITS)) for _ in range(2)]
    models[0].compile(SGD(0.1), losses.MeanSquaredError(reduction=reduction))
    models[1].compile(SGD(0.1), losses.Custom(mean_square, reduction=reduction))
    both = [model.fit(x, y, ROWS, 3, 0, shuffle=False, sample_weight=given).history["loss"] for model in models]
    np.testing.assert_allclose(*both, rtol=1e-5)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", [(ROWS, STEPS), (ROWS, STEPS, 1)])
def test_class_numbers_by_line(form: tuple[int, ...]) -> None:
    x = rows(ROWS, ())[0]
    y = np.random.default_rng(1).integers(0, UNITS, (ROWS, STEPS))
    model = model_of((STEPS, UNITS))
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    found = model.evaluate(x, y.reshape(form), verbose=0, return_dict=True)
    output = model.predict(x)
    wanted = losses.SparseCategoricalCrossentropy(from_logits=True)(y, output)
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)
    assert found["accuracy"] == pytest.approx((output.argmax(axis=-1) == y).mean())


def test_lines_of_several_axes() -> None:
    """(2, 3, 4) is six lines of four; cutting the rows into batches changes no mean."""
    x, y = rows(20, (2, 3, 4))
    weight = weights("lines", (20, 2, 3))
    model = model_of((2, 3, 4))
    model.compile("sgd", "cosine_similarity", weighted_metrics=["mse"])
    one = model.evaluate(x, y, 20, 0, weight)
    assert one == model.evaluate(x, y, 7, 0, weight)
    assert one[0] == pytest.approx(losses.CosineSimilarity()(y, model.predict(x), weight), rel=1e-5)
    assert one[1] == pytest.approx(metrics.MeanSquaredError()(y, model.predict(x), weight), rel=1e-5)


def two_outputs() -> Model:
    fastnn.set_random_seed(2)
    x = h = Input((5,))
    h = Dense(8, "tanh")(h)
    steps = Reshape((STEPS, 2), name="steps")(Dense(STEPS * 2)(h))
    model = Model(x, [steps, Dense(1, name="one")(h)])
    model.compile(SGD(0.1), "mse", weighted_metrics=[["mae"], ["mae"]])
    return model


@pytest.mark.parametrize("as_dict", [False, True])
def test_weights_of_several_outputs(as_dict: bool) -> None:
    """One may be by row, the other by line; an output without any weighs 1."""
    x, y = rows(9, (STEPS, 2))
    z = y[:, 0, 0]
    steps, one = weights("lines", (9, STEPS)), weights("rows", (9, 1))
    model = two_outputs()
    outputs = dict(zip(("steps", "one"), model.predict(x), strict=True))
    for given in ((steps, one), (steps, None), (None, one), (one, one)):
        sample_weight = {k: w for k, w in zip(outputs, given, strict=True) if w is not None} if as_dict else [*given]
        found = model.evaluate(
            x, {"steps": y, "one": z} if as_dict else [y, z], verbose=0, sample_weight=sample_weight, return_dict=True
        )
        for name, target, weight in (("steps", y, given[0]), ("one", z[:, None], given[1])):
            values = losses.MeanSquaredError(reduction="none")(target, outputs[name])
            lines = np.ones(values.shape)
            if weight is not None:
                lines *= weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
            assert found[f"{name}_loss"] == pytest.approx((values * lines).mean(), rel=1e-5)
            figure = np.abs(target - outputs[name]).mean(axis=-1)
            assert found[f"{name}_mae"] == pytest.approx((figure * lines).sum() / lines.sum(), rel=1e-5)


def test_a_row_whose_lines_all_weigh_0_may_hold_anything() -> None:
    """And so may the target of a line that weighs 0."""
    results = []
    for bad in (False, True):
        x, y = rows(20, (STEPS, UNITS))
        weight = np.ones((20, STEPS))
        weight[[3, 17]] = weight[5, 1] = 0
        if bad:
            x[3], y[3], y[17], y[5, 1] = np.nan, np.inf, np.nan, np.nan
        model = model_of((STEPS, UNITS))
        model.compile("adam", "mse", weighted_metrics=["mae"])
        history = model.fit(x, y, 8, 3, 0, sample_weight=weight, shuffle=False).history
        results.append((history["loss"], history["mae"], [w.tobytes() for w in model.get_weights()]))
    assert results[0] == results[1]


# What is refused


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"y": np.zeros((8, 4, 3))}, r"y has rows of shape \(4, 3\), but Mean.* of shape \(3, 4\) expects \(3, 4\)"),
        ({"y": np.zeros((8, 3))}, r"y has rows of shape \(3,\), but .* of shape \(3, 4\) expects \(3, 4\)"),
        ({"sample_weight": np.ones((8, 4))}, r"sample_weight has rows of shape \(4,\).*or rows of shape \(3,\)"),
        ({"sample_weight": np.ones((8, 3, 4))}, r"sample_weight has rows of shape \(3, 4\)"),
        ({"sample_weight": np.ones((7, 3))}, r"sample_weight must have the shape \(8,\).*got \(7, 3\)"),
        ({"sample_weight": -np.ones((8, 3))}, r"must be finite and not negative, got -1 at row 0"),
        ({"class_weight": {0: 2.0}}, r"one class for each row.*pass sample_weight of shape \(rows, 3\)"),
    ],
)
def test_what_is_refused(given: dict[str, Any], words: str) -> None:
    model = model_of((3, 4))
    model.compile("sgd", "mse")
    x, y = rows(8, (3, 4))
    with pytest.raises(ValueError, match=words):
        model.fit(x, **{"y": y, **given}, verbose=0)


def test_a_bad_target_is_told_by_row_and_line() -> None:
    x, y = rows(8, (3, 4))
    y[5, 2, 1] = np.nan
    model = model_of((3, 4))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"y has nan at row 5, line 2, column 1"):
        model.fit(x, y, verbose=0)
    labels = np.zeros((8, 3))
    labels[6, 1] = 4
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"y has 4 at row 6, line 1, but .* with 4 outputs takes"):
        model.evaluate(x, labels, verbose=0)


def test_batches_must_be_alike() -> None:
    x, y = rows(8, (3, 4))
    model = model_of((3, 4))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"batch 1 has y of shape \(rows, 12\) .* the first had \(rows, 3, 4\)"):
        model.fit([(x, y), (x, y.reshape(8, 12))], verbose=0, shuffle=False)


# Threads

LARGE = (8, 4)  # of a row: enough for a team


def fitted(
    threads: int, reduction: str, loss: Any = losses.MeanSquaredError, delay: tuple[int, int] | None = None
) -> Any:
    """All that a fit by so many threads leaves; delay: a barrier, and the thread that begins late after it."""
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        model = model_of(LARGE, hidden=128, inputs=64)
        model.compile(SGD(0.1), loss(reduction=reduction), metrics=["mse"], weighted_metrics=["mae"])
        x, y = rows(480, LARGE, 64)
        weight = np.random.default_rng(3).uniform(0, 5, (480, LARGE[0]))
        weight[::3] = 0
        network = model.description.network
        if delay is not None:
            network.delay_for_tests(*delay, 0.02)
        history = model.fit(x, 1 / (1 + np.exp(-y)), 160, 2, 0, sample_weight=weight, shuffle=False).history
        return history["loss"], history["mse"], history["mae"], [w.tobytes() for w in model.get_weights()]
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize("loss", [losses.MeanSquaredError, losses.Dice])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_same_bits_for_any_number_of_threads(reduction: str, loss: Any) -> None:
    alone = fitted(1, reduction, loss)
    for threads in THREADS[1:]:
        assert fitted(threads, reduction, loss) == alone, f"{threads} threads"


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize("barrier", [ROWS_BARRIER, SUMS_BARRIER, PARAMETERS_BARRIER])
@pytest.mark.parametrize("loss", [losses.MeanSquaredError, losses.Dice])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_late_thread_changes_nothing(reduction: str, loss: Any, barrier: int, thread: int) -> None:
    """A sum over the batch that did not wait for a late thread's rows and weights would be another."""
    assert fitted(2, reduction, loss, (barrier, thread)) == fitted(1, reduction, loss)


@pytest.mark.parametrize("loss", units(LOSSES), ids=label)
def test_every_loss_for_any_number_of_threads(loss: Any) -> None:
    """Weights by line; outputs after a sigmoid, which every loss takes."""
    results = []
    before = fastnn.get_num_threads()
    x, _ = rows(480, LARGE, 64)
    y = targets_for(loss, 480 * LARGE[0], LARGE[1], np.random.default_rng(2)).reshape(480, LARGE[0], -1)
    weight = np.random.default_rng(3).uniform(0, 5, (480, LARGE[0]))
    try:
        for threads in THREADS:
            fastnn.set_num_threads(threads)
            model = model_of(LARGE, "sigmoid", hidden=128, inputs=64)
            model.compile(SGD(0.01), loss)
            history = model.fit(x, y, 160, 2, 0, sample_weight=weight, shuffle=False).history
            results.append((history["loss"], [w.tobytes() for w in model.get_weights()]))
    finally:
        fastnn.set_num_threads(before)
    assert np.isfinite(results[0][0]).all()
    assert all(result == results[0] for result in results)
