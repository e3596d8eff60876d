"""Arrays of few axes and odd weights give what Keras 3 gives, where it gives something; so does each family's get."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import activations, constraints, initializers, layers, losses, metrics, regularizers
from fastnn.metrics import METRICS
from support.metrics import NEEDED

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def fields_of(cls: Any) -> dict[str, Any]:
    """What a metric is made of; a bound is none that a few elements meet exactly, but for float32's rounding."""
    return {name: value - 0.05 if isinstance(value, float) else value for name, value in NEEDED.get(cls, {}).items()}


MEASURED = [
    *((cls.__name__, fields_of(cls)) for _, cls in METRICS if hasattr(keras.metrics, cls.__name__)),
    *(
        (name, {"top_k": k, **more})
        for name in ("Precision", "Recall")
        for k in (1, 2)
        for more in ({}, {"class_id": 1})
    ),
    *((name, {"thresholds": [0.2, 0.7], "top_k": 2}) for name in ("Precision", "Recall")),
]
# What Keras itself takes otherwise: y_true is spread over y_pred, weights of IoU are cut to whole numbers, a class's
# number is read from outputs of one unit, which have no classes.
APART = ("IoU", "SparseTopK")
SHAPES = [(3,), (1, 3), (3, 1), (3, 3), (3, 3, 2)]
WEIGHTS = [None, (), (1,), (3,), (1, 3), (3, 1), (3, 3)]


def tried(make: Callable[[], Any]) -> Any:
    """What is given, as an array; None for an error."""
    try:
        return np.asarray(make(), float)
    except Exception:  # theirs are of many kinds
        return None


def measured(metric: Any, y: np.ndarray, output: np.ndarray, weight: Any) -> Any:
    metric.update_state(y, output, weight)
    return metric.result()


@pytest.mark.parametrize(("name", "fields"), MEASURED, ids=str)
def test_metrics(name: str, fields: dict[str, Any]) -> None:
    """Both give the same, or one of them gives nothing: Keras fails for much, and ours for weights of elements."""
    rng = np.random.default_rng(0)
    both = 0
    for shape in SHAPES:
        sparse, classes = "Sparse" in name, "IoU" in name and "Hot" not in name and "Binary" not in name
        y = rng.integers(0, shape[-1] if sparse else 3 if classes else 2, (*shape[:-1], 1) if sparse else shape).astype(
            "f4"
        )
        output = np.clip(rng.random(shape), 0.01, 0.99).astype("f4")
        output = rng.integers(0, 3, shape).astype("f4") if classes else output
        for weights in WEIGHTS:
            weight = None if weights is None else rng.uniform(0.5, 2, weights).astype("f4")
            if name.startswith(APART) or name.endswith(APART):
                weight = None if weight is None else np.ones_like(weight)
            theirs = tried(lambda: measured(getattr(keras.metrics, name)(**fields), y, output, weight))  # noqa: B023
            ours = tried(lambda: measured(getattr(metrics, name)(**fields), y, output, weight))  # noqa: B023
            if theirs is None or ours is None or np.isnan(theirs).all() or (name.startswith(APART) and shape[-1] == 1):
                continue
            if len(shape) == 3 and weights == (3,):  # by rows for its means, by steps for its counts
                continue
            both += 1
            np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5, err_msg=f"{shape} {weights}")
    assert both > 4


@pytest.mark.parametrize("name", ["Mean", "Sum", "MeanMetricWrapper"])
def test_means_of_values(name: str) -> None:
    rng, both = np.random.default_rng(0), 0
    for shape in [(), (2,), (3,), (1, 3), (3, 1), (3, 3), (2, 3), (3, 3, 3), (2, 3, 3), (3, 3, 1)]:
        for weights in [
            (),
            (1,),
            (2,),
            (3,),
            (3, 1),
            (1, 3),
            (3, 3),
            (2, 3),
            (3, 3, 1),
            (1, 3, 1),
            (1, 1, 3),
            (3, 3, 3),
        ]:
            values, weight = rng.random(shape).astype("f4"), rng.uniform(0.5, 2, weights).astype("f4")

            def of(module: Any, values: Any = values, weight: Any = weight) -> Any:
                if name != "MeanMetricWrapper":
                    return getattr(module, name)()(values, sample_weight=weight)
                return module.MeanMetricWrapper(lambda y, p: y - p, name="own")(values, values * 0, weight)

            theirs, ours = tried(lambda: of(keras.metrics)), tried(lambda: of(metrics))
            assert (theirs is None) == (ours is None), (shape, weights)
            if theirs is not None:
                both += 1
                np.testing.assert_allclose(ours, theirs, 1e-5, err_msg=f"{shape} {weights}")
    assert both > 40


@pytest.mark.parametrize("mode", ["multi_hot", "one_hot", "count"])
def test_categories(mode: str) -> None:
    rng = np.random.default_rng(0)
    for shape in [(), (1,), (3,), (3, 1), (1, 3), (3, 2), (1, 1)]:
        x = rng.integers(0, 4, shape)
        for given in (x, x.tolist(), x.astype("f4")):
            theirs = np.asarray(keras.layers.CategoryEncoding(4, output_mode=mode)(given))
            ours = layers.CategoryEncoding(4, output_mode=mode)(given)
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{shape}")


@pytest.mark.parametrize("shape", [(), (1,), (3,), (3, 1), (1, 3), (3, 2), (2, 3, 2)], ids=str)
def test_scales(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype("f4")
    for fields in ({"scale": 2.0}, {"scale": 2.0, "offset": -1.0}, {"scale": [1.0, 2.0, 3.0]}, {"scale": [1.0, 2.0]}):
        ours = tried(lambda: layers.Rescaling(**fields)(x))  # noqa: B023
        if ours is not None:
            np.testing.assert_allclose(ours, np.asarray(keras.layers.Rescaling(**fields)(x)), 1e-6)
    for fields in ({"mean": 1.0, "variance": 4.0}, {"axis": None, "mean": 1.0, "variance": 4.0}):
        theirs = tried(lambda: keras.layers.Normalization(**fields)(x))  # noqa: B023
        if theirs is not None:
            np.testing.assert_allclose(layers.Normalization(**fields)(x), theirs, 1e-5)
    if shape:
        both = []
        for family in (keras.layers, layers):
            layer = family.Normalization(axis=None)
            layer.adapt(x)
            both.append(np.asarray(layer(x)))
        np.testing.assert_allclose(*both, 1e-4, 1e-5)


def test_get_of_losses() -> None:
    """A name gives a function of the rows' values where Keras's does, and a loss where that is one."""
    from keras.src.losses import ALL_OBJECTS_DICT as KNOWN

    y, output = np.eye(3)[[0, 2, 1, 1]], np.random.default_rng(0).dirichlet([1, 1, 1], 4)
    met = 0
    for name in KNOWN:
        ours = tried_get(losses.get, name)
        if ours is None:
            assert any(word in name.lower() for word in ("circle", "ctc", "wrapper", "loss"))
            continue
        theirs, target = keras.losses.get(name), y.argmax(axis=1) if "sparse" in name.lower() else y
        target = target.argmax(axis=1) if "eneralized" in name or "ircle" in name else target
        found, wanted = ours(target, output), np.asarray(theirs(target, output))
        assert np.shape(found) == wanted.shape, name
        np.testing.assert_allclose(found, wanted, 1e-4, 1e-5, err_msg=name)
        assert isinstance(ours, losses.Loss) == isinstance(theirs, keras.losses.Loss), name
        met += 1
    assert met > 40


def tried_get(get: Callable[[Any], Any], name: str) -> Any:
    try:
        return get(name)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("get", "theirs"),
    [
        (losses.get, keras.losses.get),
        (metrics.get, keras.metrics.get),
        (initializers.get, keras.initializers.get),
        (regularizers.get, keras.regularizers.get),
        (constraints.get, keras.constraints.get),
    ],
    ids=["losses", "metrics", "initializers", "regularizers", "constraints"],
)
def test_get_of_nothing_and_of_a_function(get: Any, theirs: Any) -> None:
    def own(*given: Any) -> Any:
        return given

    assert get(None) is theirs(None) is None
    assert get(own) is theirs(own) is own


def test_get_of_the_other_families() -> None:
    """Whatever name Keras knows and this package has gives the same kind of object."""
    from keras.src.initializers import ALL_OBJECTS_DICT as INITIALIZERS
    from keras.src.metrics import ALL_OBJECTS_DICT as THEIR_METRICS

    for name in THEIR_METRICS:
        made = tried_get(metrics.get, name) if name not in NEEDS else None
        if made is not None:
            assert type(made).__name__ == type(keras.metrics.get(name)).__name__, name
    for name in INITIALIZERS:
        unit = tried_get(initializers.get, name)
        if unit is not None and name.lower() != "constant":  # which theirs does not make of a name
            theirs = keras.initializers.get(name)
            assert type(unit).__name__.replace("Initializer", "") in type(theirs).__name__, name
    x = np.linspace(-3, 3, 12, dtype="f4").reshape(4, 3)
    for name in ("relu", "elu", "softmax", "gelu", "swish", "hard_tanh", None):
        np.testing.assert_allclose(activations.get(name)(x), np.asarray(keras.activations.get(name)(x)), 1e-5, 1e-6)


NEEDS = {
    alias for cls in NEEDED for alias, found in METRICS.aliases.items() if found is cls
}  # what cannot be made of a name alone
