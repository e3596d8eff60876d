"""Classes and functions of one's own: registered, in a scope, given; found by get and by load_model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, layers, losses, metrics, models, object_registration, regularizers, saving, utils


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    object_registration.OBJECTS.clear()
    object_registration.NAMES.clear()


def twice(z: Any) -> Any:
    return 2 * z


def squares(y_true: Any, y_pred: Any) -> Any:
    return ((np.asarray(y_true) - y_pred) ** 2).mean(axis=-1)


class Doubled(layers.Layer):
    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        return 2 * x

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return 2 * d, []


class Halves(regularizers.Regularizer):
    pass


def compiled() -> fastnn.Model:
    net = fastnn.Sequential([fastnn.Input((2,)), layers.Dense(2, activation=twice), Doubled()])
    net.compile("sgd", loss=squares, metrics=[squares])
    net.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    return net


def check_loads(net: fastnn.Model, path: Path, custom_objects: Any = None) -> None:
    again = saving.load_model(path, custom_objects)
    x = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(again.predict(x), net.predict(x))
    assert again.evaluate(x, x, verbose=0) == net.evaluate(x, x, verbose=0)


def test_what_is_registered_is_found(tmp_path: Path) -> None:
    for given in (twice, squares, Doubled):
        assert saving.register_keras_serializable("mine")(given) is given
    net = compiled()
    net.save(tmp_path / "m")
    check_loads(net, tmp_path / "m")
    assert saving.get_registered_name(Doubled) == "mine>Doubled"
    assert saving.get_registered_object("mine>Doubled") is Doubled
    assert saving.get_registered_name(compiled) == "compiled"
    assert saving.get_registered_object("compiled") is None
    assert saving.get_custom_objects() == {"mine>twice": twice, "mine>squares": squares, "mine>Doubled": Doubled}


def test_what_a_scope_has_is_found_within_it(tmp_path: Path) -> None:
    net = compiled()
    net.save(tmp_path / "m")
    names = {"twice": twice, "squares": squares, "Doubled": Doubled}
    with utils.custom_object_scope(names):
        check_loads(net, tmp_path / "m")
    check_loads(net, tmp_path / "m", names)
    saving.get_custom_objects().update(names)
    check_loads(net, tmp_path / "m")
    object_registration.OBJECTS.clear()
    with pytest.raises(ValueError, match="the Python function 'twice'"):
        saving.load_model(tmp_path / "m")


def test_a_file_written_before_a_class_was_registered_is_read_after(tmp_path: Path) -> None:
    net = compiled()
    net.save(tmp_path / "m")
    for given in (twice, squares, Doubled):
        saving.register_keras_serializable()(given)
    check_loads(net, tmp_path / "m")
    check_loads(net, tmp_path / "m", {"Doubled": Doubled, "twice": twice, "squares": squares})


def test_a_registered_class_is_given_by_its_own_name(tmp_path: Path) -> None:
    saving.register_keras_serializable("mine")(Doubled)
    net = compiled()
    net.save(tmp_path / "m")
    object_registration.OBJECTS.clear()
    check_loads(net, tmp_path / "m", {"Doubled": Doubled, "twice": twice, "squares": squares})


@pytest.mark.parametrize("name", ["twice", "mine>twice"])
def test_get_knows_names_of_functions(name: str) -> None:
    saving.register_keras_serializable("mine")(twice)
    saving.register_keras_serializable("mine", "squares_of_mine")(squares)
    assert activations.get(name)([3.0]).tolist() == [6]
    assert losses.get("squares_of_mine")([[1.0]], [[3.0]]) == 4
    assert metrics.get("mine>squares_of_mine")([[1.0]], [[3.0]]) == 4
    with saving.CustomObjectScope({"other": squares}):
        assert losses.get("other")([[1.0]], [[3.0]]) == 4
    with pytest.raises(ValueError, match="unknown loss 'other'"):
        losses.get("other")


def test_get_knows_names_of_classes() -> None:
    with saving.custom_object_scope({"Halves": Halves, "Doubled": Doubled}):
        assert type(regularizers.get("Halves")) is Halves
        with pytest.raises(ValueError, match="unknown regularizer 'Doubled'"):
            regularizers.get("Doubled")
    saving.register_keras_serializable("mine")(Halves)
    assert type(regularizers.get("mine>Halves")) is type(regularizers.get("Halves")) is Halves


def test_what_is_registered_hides_no_name_of_fastnn() -> None:
    saving.register_keras_serializable("mine", "relu")(twice)
    saving.register_keras_serializable("mine", "l2")(Halves)
    assert activations.get("relu")([-3.0]).tolist() == [0]
    assert activations.get("mine>relu")([-3.0]).tolist() == [-6]
    assert type(regularizers.get("l2")) is regularizers.L2


def test_one_name_in_two_packages_is_no_name() -> None:
    for package in ("one", "two"):
        saving.register_keras_serializable(package, "f")(lambda z: z)
    with pytest.raises(ValueError, match="unknown activation 'f'"):
        activations.get("f")
    assert activations.get("two>f")([1.0]) == 1


def test_scopes_within_scopes_and_other_threads() -> None:
    def known(name: str) -> bool:
        return saving.get_registered_object(name) is not None

    seen: list[bool] = []
    scope = saving.custom_object_scope({"a": twice})
    with scope:
        with saving.custom_object_scope({"b": twice}):
            assert (known("a"), known("b")) == (False, True)
            with scope:
                assert known("a")
        assert (known("a"), known("b")) == (True, False)
        thread = threading.Thread(target=lambda: seen.append(known("a")))
        thread.start()
        thread.join()
    assert (known("a"), seen) == (False, [False])


def test_get_registered_object_asks_in_keras_order() -> None:
    assert saving.get_registered_object("x", {"x": 1}, {"x": 2}) == 1
    assert saving.get_registered_object("x", None, {"x": 2}) == 2
    saving.get_custom_objects()["x"] = 3
    assert saving.get_registered_object("x", {"x": 1}) == 3
    with saving.custom_object_scope({"x": 4}):
        assert saving.get_registered_object("x", {"x": 1}) == 4


def test_what_cannot_be_registered_is_named() -> None:
    class Bare:
        pass

    with pytest.raises(ValueError, match=r"does not have a get_config\(\) method"):
        saving.register_keras_serializable()(Bare)
    with pytest.raises(TypeError, match="with its brackets"):
        saving.register_keras_serializable(twice)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="custom_objects must be a dict"):
        saving.custom_object_scope([twice])  # type: ignore[arg-type]


def test_load_model_without_what_was_compiled(tmp_path: Path) -> None:
    net = fastnn.Sequential([fastnn.Input((2,)), layers.Dense(2, name="optimizer")])
    net.compile("adam", loss=squares)
    net.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    saving.save_model(net, tmp_path / "m")
    with pytest.raises(ValueError, match="squares"):
        models.load_model(tmp_path / "m")
    again = models.load_model(tmp_path / "m", compile=False)
    assert np.array_equal(again.predict(np.eye(2)), net.predict(np.eye(2)))
    assert again.optimizer is None
    again.compile("adam", "mse")
    again.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    with pytest.raises(ValueError, match="never does"):
        models.load_model(tmp_path / "m", safe_mode=False)
    with pytest.raises(FileExistsError):
        models.save_model(net, tmp_path / "m", overwrite=False)


def test_weights_through_the_functions(tmp_path: Path) -> None:
    nets = [fastnn.Sequential([fastnn.Input((2,)), layers.Dense(2)]) for _ in range(2)]
    saving.save_weights(nets[0], tmp_path / "w")
    saving.load_weights(nets[1], tmp_path / "w")
    assert np.array_equal(nets[0].predict(np.eye(2)), nets[1].predict(np.eye(2)))


def test_a_scope_holds_while_a_model_is_made_of_its_config() -> None:
    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2.0

    rows = layers.Input((3,))
    described = models.Model(rows, Own()(rows)).get_config()
    with saving.custom_object_scope({"Own": Own}):
        assert np.array_equal(models.Model.from_config(described).predict(np.ones((2, 3))), np.full((2, 3), 2.0))


def test_what_is_made_already_is_given_back() -> None:
    layer = layers.Dense(3)
    assert saving.deserialize_keras_object(layer) is layer


def test_functions_of_keras_configs_are_found_by_their_names() -> None:
    for name, function in (("kl_divergence", losses.kl_divergence), ("hard_sigmoid", activations.hard_sigmoid)):
        config = {"class_name": "function", "module": "builtins", "registered_name": name, "config": name}
        assert saving.deserialize_keras_object(config) is function
    for name in ("eval", "__import__", "_names"):
        with pytest.raises(TypeError, match="Could not locate function"):
            saving.deserialize_keras_object({**config, "config": name})
