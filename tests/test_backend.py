"""backend and config: Keras's questions about numbers and names, and the answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fastnn
from fastnn import backend, config, layers


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    backend.set_epsilon(1e-7)
    backend.enable_interactive_logging()


def test_what_there_is_one_of() -> None:
    assert (backend.backend(), config.backend()) == ("fastnn", "fastnn")
    for name, only, other in (
        ("floatx", "float32", "float64"),
        ("image_data_format", "channels_last", "channels_first"),
    ):
        assert getattr(config, name)() == only
        getattr(backend, f"set_{name}")(only)
        with pytest.raises(ValueError, match=other):
            getattr(config, f"set_{name}")(other)
    config.set_dtype_policy("float32")
    config.set_dtype_policy(config.dtype_policy())
    assert config.dtype_policy().compute_dtype == config.dtype_policy().name == "float32"
    with pytest.raises(ValueError, match="mixed_float16"):
        config.set_dtype_policy("mixed_float16")


def test_epsilon() -> None:
    assert backend.epsilon() == 1e-7
    config.set_epsilon(1e-3)
    assert backend.epsilon() == config.epsilon() == 1e-3
    for bad, error in (("1", TypeError), (True, TypeError), (0, ValueError), (float("nan"), ValueError)):
        with pytest.raises(error, match="epsilon must be"):
            backend.set_epsilon(bad)  # type: ignore[arg-type]


def test_names_are_counted_until_the_session_is_cleared() -> None:
    backend.clear_session()
    assert [backend.get_uid("dense"), backend.get_uid("dense"), backend.get_uid("relu")] == [1, 2, 1]
    net = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1)])
    before = net.predict(np.ones((2, 1)))
    fastnn.utils.clear_session(free_memory=False)
    assert backend.get_uid("dense") == 1
    assert np.array_equal(net.predict(np.ones((2, 1))), before)


def test_symbolic_tensors_are_known() -> None:
    x = fastnn.Input((2,))
    assert backend.is_keras_tensor(layers.Dense(1)(x))
    assert not fastnn.utils.is_keras_tensor(np.ones(3))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "float32"),
        (np.float64, "float64"),
        (np.dtype("i2"), "int16"),
        (int, "int32"),
        (float, "float32"),
        (bool, "bool"),
        ("bfloat16", "bfloat16"),
        ("float", "float32"),
        (str, "string"),
    ],
)
def test_names_of_types(given: object, name: str) -> None:
    assert backend.standardize_dtype(given) == name


@pytest.mark.parametrize("given", ["float31", object(), [1, 2], np.dtype("M8[s]")])
def test_what_is_no_type_is_named(given: object) -> None:
    with pytest.raises(ValueError, match="unknown dtype"):
        backend.standardize_dtype(given)


def test_kinds_of_types() -> None:
    assert backend.is_float_dtype("bfloat16")
    assert not backend.is_float_dtype("int8")
    assert backend.is_int_dtype(np.uint8)
    assert not backend.is_int_dtype("bool")


@pytest.mark.parametrize(
    ("types", "together"),
    [
        ((), "float32"),
        (("int64", "float16"), "float16"),
        (("float16", "bfloat16"), "float32"),
        (("int8", "uint8"), "int16"),
        (("int32", "uint64"), "float32"),
        (("uint8", int), "uint8"),
        (("bool", int), "int32"),
        (("int64", float), "float32"),
        (("float16", float), "float16"),
        ((int, float), "float32"),
        (("complex64", "float64"), "complex128"),
        (("bool", "bool"), "bool"),
    ],
)
def test_the_type_of_several_together(types: tuple[object, ...], together: str) -> None:
    assert backend.result_type(*types) == together


def test_texts_have_no_type_together() -> None:
    with pytest.raises(ValueError, match="no type for int8, string"):
        backend.result_type("string", "int8")


def test_a_fit_prints_lines_where_no_bar_may_move(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1)])
    net.compile("sgd", "mse")
    monkeypatch.setattr("fastnn.training.progress._moves", lambda out: True)
    net.fit(np.ones((4, 1)), np.ones(4))
    assert "\r" in capsys.readouterr().out
    config.disable_interactive_logging()
    assert not config.is_interactive_logging_enabled()
    net.fit(np.ones((4, 1)), np.ones(4))
    assert "\r" not in capsys.readouterr().out


def test_families_have_their_names_at_the_top() -> None:
    from fastnn import initializers, losses, metrics, optimizers, regularizers

    assert fastnn.Layer is layers.Layer
    assert fastnn.Loss is losses.Loss
    assert fastnn.Metric is metrics.Metric
    assert fastnn.Optimizer is optimizers.Optimizer
    assert fastnn.Regularizer is regularizers.Regularizer
    assert fastnn.Initializer is initializers.Initializer
    assert all(hasattr(fastnn, name) for name in fastnn.__all__)
