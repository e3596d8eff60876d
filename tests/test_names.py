"""Who asks for a name that is not there is told which one may have been meant, or that it is Keras's."""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    Input,
    Model,
    Sequential,
    _keras,
    _names,
    activations,
    callbacks,
    constraints,
    data,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    plot,
    regularizers,
    training,
)
from fastnn._output import warn
from fastnn._table import TABLES
from fastnn.layers import Dense
from fastnn.optimizers import schedules
from support.database import connect

MODULES = [
    activations, fastnn.backend, callbacks, fastnn.config, constraints, data, fastnn.datasets, fastnn, initializers,
    layers, losses, metrics, models, optimizers, plot, regularizers, fastnn.saving, schedules, training, fastnn.utils,
]  # fmt: skip
METHODS = {
    "fit": Sequential([Dense(1, input_dim=2)]).fit,
    "compile": Sequential([Dense(1, input_dim=2)]).compile,
    "evaluate": Sequential([Dense(1, input_dim=2)]).evaluate,
    "predict": Sequential([Dense(1, input_dim=2)]).predict,
    "train_on_batch": Sequential([Dense(1, input_dim=2)]).train_on_batch,
    "predict_sql": Sequential([Dense(1, input_dim=2)]).predict_sql,
    "save": Sequential([Dense(1, input_dim=2)]).save,
    "summary": Sequential([Dense(1, input_dim=2)]).summary,
    "get_layer": Sequential([Dense(1, input_dim=2)]).get_layer,
}


def public(module: Any) -> list[str]:
    offered: list[str] = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return offered


def callables() -> dict[str, Any]:
    """All that can be called, by name: functions, and classes of which objects can be made."""
    found = dict(METHODS)
    for module in MODULES:
        for name in public(module):
            value = getattr(module, name)
            if callable(value) and not isinstance(value, (losses.Loss, activations.Activation)):
                found[f"{module.__name__}.{name}"] = value
    return found


def parameters(function: Any) -> list[inspect.Parameter] | None:
    """What can be given by name; None where anything can."""
    own = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD and each.name != "unknown" for each in own):
        return None
    return [each for each in own if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]


CALLABLES = {name: value for name, value in callables().items() if parameters(value) is not None}
# A tuple, and a class without a constructor, say so in Python's own words.
CALLABLES = {
    name: value
    for name, value in CALLABLES.items()
    if not (isinstance(value, type) and (issubclass(value, tuple) or value.__init__ is object.__init__))
}


def test_they_are_many():
    assert len(CALLABLES) > 240


@pytest.mark.parametrize("name", CALLABLES)
def test_unknown_arguments(name):
    """Each misspelt argument is told, with the right one; and one that is near to none, with those that there are."""
    function = CALLABLES[name]
    known = [each.name for each in parameters(function) or []]
    required = {
        each.name: 1
        for each in parameters(function) or []
        if each.default is each.empty and each.kind != each.KEYWORD_ONLY
    }
    with pytest.raises(TypeError, match=r"\(\) (got .* 'qqqqqqqq'|takes no keyword arguments); it takes ") as error:
        function(**required, qqqqqqqq=1)
    takes = str(error.value).rpartition("it takes ")[2].split(", ")
    assert takes == (known or ["nothing"])
    for argument in known:
        for wrong in (
            argument.replace("_", "") + "s",
            argument[:-1] + "xx"[: len(argument) > 6],
            f"{argument}_".upper(),
        ):
            if len(argument) < 4 or wrong in known:
                continue
            with pytest.raises(TypeError, match=r"got an unexpected keyword argument") as error:
                function(**{key: value for key, value in required.items() if key != argument}, **{wrong: 1})
            meant = re.search(r"did you mean '(\w+)'\?", str(error.value))
            if "missing" not in str(error.value):
                assert meant, (wrong, argument)
                assert meant[1] in known
    if required and name != "predict":
        first = next(iter(required))
        with pytest.raises(TypeError, match=rf"(missing \d+ required .*'{first}'.*|0 given.*); it takes {first}"):
            function()


@pytest.mark.parametrize("family", TABLES)
def test_units_by_name(family):
    table = TABLES[family]
    for alias in table.aliases:
        for wrong in (alias.upper() + "_", alias.replace("_", "-"), alias.title()):
            if wrong not in table.aliases:
                with pytest.raises(ValueError, match=r"did you mean '(\w+)'\?") as error:
                    table.get(wrong)
                meant = re.search(r"unknown .* '.*' \(did you mean '(\w+)'\?\); known: ", str(error.value))
                assert table.find(meant[1]) in {
                    cls for name, cls in table.aliases.items() if name.lower() == alias.lower()
                } | {table.find(alias)}
        if len(alias) > 5 and alias[:3] + alias[4:] not in table.aliases:
            with pytest.raises(ValueError, match=r"did you mean '(\w+)'\?"):
                table.get(alias[:3] + alias[4:])
    with pytest.raises(ValueError, match=rf"unknown {family} 'qqqqqqqq'; known: "):
        table.get("qqqqqqqq")


@pytest.mark.parametrize(
    ("get", "name", "meant"),
    [
        (activations.get, "rellu", "relu"),
        (activations.get, "LeakyRelu", "leaky_relu"),
        (metrics.get, "mea", "mae"),
        (optimizers.get, "adma", "adam"),
        (regularizers.get, "lasso", "l1"),
        (activations.get, "logistic", "sigmoid"),
        (losses.get, "l2", "mean_squared_error"),
        (losses.get, "mean_square_error", "mean_squared_error"),
        (metrics.get, "acuracy", "accuracy"),
        (metrics.get, "Accuracy2", "accuracy"),
        (optimizers.get, "adm", "adam"),
        (optimizers.get, "rms_prop", "rmsprop"),
        (initializers.get, "henormal", "he_normal"),
        (constraints.get, "non_negative", "non_neg"),
    ],
)
def test_units_that_are_meant(get, name, meant):
    with pytest.raises(ValueError, match=rf"'{name}' \(did you mean '{meant}'\?\); known: "):
        get(name)


@pytest.mark.parametrize(
    ("get", "name", "family"),
    [(optimizers.get, "huber", "loss"), (activations.get, "mse", "loss"), (losses.get, "relu", "activation")],
)
def test_a_unit_of_another_family(get, name, family):
    with pytest.raises(ValueError, match=rf"'{name}' \(which is of the family {family}\); known: "):
        get(name)


def test_a_class_in_place_of_a_schedule():
    with pytest.raises(TypeError, match="learning_rate must be a number, got <class"):
        optimizers.SGD(schedules.ExponentialDecay)


def test_rmse_is_known():
    assert type(metrics.get("rmse")) is metrics.RootMeanSquaredError
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse", metrics=["rmse"])
    logs = model.fit(np.ones((4, 2)), np.ones(4), verbose=0).history
    assert logs["rmse"][0] == pytest.approx(logs["loss"][0] ** 0.5)


@pytest.mark.parametrize(
    ("call", "wrong", "meant"),
    [
        (optimizers.Adam, "lr", "learning_rate"),
        (schedules.ExponentialDecay, "lr", "initial_learning_rate"),
        (layers.LeakyReLU, "alpha", "negative_slope"),
        (layers.Dense, "n_units", "units"),
        (layers.Dropout, "p", "rate"),
        (layers.Dense, "init", "kernel_initializer"),
        (METHODS["fit"], "batchsize", "batch_size"),
        (METHODS["fit"], "nb_epoch", "epochs"),
        (METHODS["fit"], "callback", "callbacks"),
        (METHODS["predict"], "batchsize", "batch_size"),
        (METHODS["compile"], "optim", "optimizer"),
        (METHODS["compile"], "criterion", "loss"),
    ],
)
def test_arguments_that_are_meant(call, wrong, meant):
    with pytest.raises(TypeError, match=rf"'{wrong}' \(did you mean '{meant}'\?\); it takes .*{meant}"):
        call(**{"x": 1} if call is METHODS["predict"] else {}, **{wrong: 1})


def test_arguments_of_activations_and_losses_that_are_called():
    with pytest.raises(TypeError, match=r"'alpha' .did you mean 'negative_slope'"):
        activations.relu([1.0], alpha=0.1)
    with pytest.raises(TypeError, match=r"Softmax\.__call__\(\) got .*'axes' .did you mean 'axis'"):
        activations.softmax([[1.0]], axes=1)
    with pytest.raises(TypeError, match=r"'label_smooth' .did you mean 'label_smoothing'"):
        losses.binary_crossentropy([1.0], [1.0], label_smooth=0.1)
    with pytest.raises(
        TypeError, match=r"MeanSquaredError\.__call__\(\) got .*'weights' .did you mean 'sample_weight'"
    ):
        losses.MeanSquaredError()([1.0], [1.0], weights=[1.0])


def test_a_class_of_the_users_own():
    """Its constructor hands on what it does not know: the class that refuses it is named; and one without one of its
    own is named itself."""

    class Mine(callbacks.EarlyStopping):
        def __init__(self, mine, **others):
            super().__init__(**others)

    class Plain(callbacks.EarlyStopping):
        pass

    with pytest.raises(TypeError, match=r"EarlyStopping\(\) got .*'patince' .did you mean 'patience'"):
        Mine(1, patince=3)
    with pytest.raises(TypeError, match=r"Plain\(\) got .*'patince' .did you mean 'patience'"):
        Plain(patince=3)


def test_errors_of_what_is_called_are_left_as_they_are():
    def fails(y, p):
        raise TypeError("fails() got an unexpected keyword argument 'of_its_own'")

    with pytest.raises(TypeError, match=r"^fails\(\) got an unexpected keyword argument 'of_its_own'$"):
        losses.get(fails)(np.ones((2, 1)), np.ones((2, 1)))


def test_a_field_of_an_optimizer():
    adam = optimizers.Adam()
    with pytest.raises(AttributeError, match=r"Adam has no field 'lr' \(did you mean 'learning_rate'\?\); it has"):
        adam.lr = 0.1
    assert "lr" not in vars(adam)

    class Mine(optimizers.Adam):
        pass

    mine = Mine()
    mine.lr = 3  # keeps what it likes
    assert mine.lr == 3


# Modules


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_modules_lack(module):
    for name in public(module):
        if name.isupper():
            continue
        for wrong in (name + "s", name.swapcase(), name[:-1] + "xy"):
            if hasattr(module, wrong) or len(name) < 4:
                continue
            with pytest.raises(
                AttributeError, match=rf"module '{module.__name__}' has no attribute '{wrong}' \("
            ) as error:
                getattr(module, wrong)
            if wrong == name.swapcase():
                meant = re.search(r"did you mean '(\w+)'\?", str(error.value))
                assert meant[1].lower().replace("_", "") == name.lower().replace("_", "")
            with pytest.raises(
                ImportError, match=rf"cannot import name '{wrong}' from '{module.__name__}' \("
            ) as error:
                exec(f"from {module.__name__} import {wrong}", {})
            assert error.value.name == wrong
    for wrong in ("qqqqqqqq", "_private", "__path_of__"):
        assert not hasattr(module, wrong)
        assert getattr(module, wrong, None) is None
        with pytest.raises(ImportError, match=f"cannot import name '{wrong}'"):
            exec(f"from {module.__name__} import {wrong}", {})


LEFT_OUT = "Keras has it, fastnn does not: see docs/differences.md"


@pytest.mark.parametrize("name", ["ConvLSTM2D", "AdaptiveMaxPooling2D", "ReversibleEmbedding", "RandomShear"])
def test_layers_of_keras(name):
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}' \({LEFT_OUT}\)"):
        getattr(layers, name)
    with pytest.raises(ImportError, match=rf"cannot import name '{name}' from 'fastnn.layers' \({LEFT_OUT}\)"):
        exec(f"from fastnn.layers import {name}", {})


@pytest.mark.parametrize("name", ["tree", "quantizers", "distribution", "visualization", "mixed_precision"])
def test_modules_of_keras(name):
    with pytest.raises(AttributeError, match=rf"module 'fastnn' has no attribute '{name}' \({LEFT_OUT}\)"):
        getattr(fastnn, name)


@pytest.mark.parametrize("name", _keras.INSTEAD)
def test_what_is_to_be_written_in_place(name):
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}' \(write "):
        getattr(fastnn, name)


def test_nothing_that_is_there_is_said_to_be_left_out():
    for module in MODULES:
        assert not _keras.NAMES & set(public(module)), module.__name__


def test_units_and_arguments_of_keras():
    for get, name in (
        (losses.get, "ctc"),
        (optimizers.get, "MultiOptimizer"),
    ):
        with pytest.raises(ValueError, match=rf"'{name}' \({LEFT_OUT}\); known: "):
            get(name)
    for argument in ("workers", "use_multiprocessing", "max_queue_size"):
        with pytest.raises(TypeError, match=rf"'{argument}' \(leave it out: batches are read in .*\); it takes "):
            METHODS["fit"](**{argument: 1})


# Layers that are given otherwise


def test_layers_one_by_one():
    for layers_given in ([Dense(1), Dense(2)], [Dense(1), Dense(2), Dense(3)], [Input((2,)), Dense(1)]):
        with pytest.raises(
            TypeError, match=r"give the layers as one list: Sequential\(\[Dense|several layers are given as one list"
        ):
            Sequential(*layers_given)
    assert len(Sequential(Dense(1)).layers) == 1  # as in Keras


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[Dense(1)]], "; give the layers in one list, without lists in it"),
        ([Dense(1), (Dense(2),)], "; give the layers in one list, without lists in it"),
        ([Dense], r", a class; make an object of it: Dense\(\.\.\.\)"),
        (Dense, r", a class; make an object of it: Dense\(\.\.\.\)"),
        (["dens"], r"'dens' \(did you mean 'Dense'\?\); make an object"),
        ("dense", r"\(did you mean 'Dense'\?\)"),
        ([np.tanh], "; for a function write an Activation"),
        ([None], "None$"),
        (5, "5$"),
        (
            [type("Dense", (), {"__module__": "keras.src.layers.core.dense"})()],
            "which is Keras's; fastnn has its own in",
        ),
    ],
)
def test_what_is_no_layer(given, message):
    with pytest.raises(TypeError, match=rf"a layer must be a fastnn\.layers\.Layer object, got .*{message}"):
        Sequential(given)


def test_tensors_one_by_one():
    a, b = Input((2,)), Input((2,))
    with pytest.raises(TypeError, match=r"Concatenate\.__call__\(\) takes .*; several inputs are given as one list"):
        layers.Concatenate()(a, b)
    with pytest.raises(TypeError, match=r"Input: batch_size must be a whole number or None, got 'rows'; write name="):
        Input(3, "rows")


# Names that data and models have


def test_columns_of_a_query():
    con = connect(":memory:")
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, height REAL, weight REAL, label INT)")
    with pytest.raises(ValueError, match=r"unknown target 'lable' \(did you mean 'label'\?\); the query's columns are"):
        data.SQLDataset("SELECT * FROM t", con, target="lable")
    with pytest.raises(ValueError, match=r"unknown .* 'hight' \(did you mean 'height'\?\); the query's columns are"):
        data.SQLDataset("SELECT * FROM t", con, target="label", features=["hight"])
    model = Sequential([Dense(1, input_dim=2)])
    with pytest.raises(ValueError, match=r"unknown key 'Id' \(did you mean 'id'\?\)"):
        model.predict_sql("SELECT id, height, weight FROM t", con, into="p", key="Id")
    with pytest.raises(ValueError, match=r"unknown kind 'class' \(did you mean 'classes'\?\)"):
        model.predict_sql("SELECT id, height, weight FROM t", con, into="p", key="id", kind="class")


def test_inputs_and_outputs_by_name():
    height, weight = Input((1,), name="height"), Input((1,), name="weight")
    both = layers.Concatenate()([height, weight])
    model = Model({"height": height, "weight": weight}, {"price": Dense(1)(both), "size": Dense(1)(both)})
    with pytest.raises(ValueError, match=r"loss: there is no output 'prize' \(did you mean 'price'\?\); there are"):
        model.compile("sgd", {"prize": "mse", "size": "mse"})
    model.compile("sgd", "mse")
    rows = np.ones((4, 1))
    y = {"price": rows, "size": rows}
    with pytest.raises(ValueError, match=r"'heigth' \(did you mean 'height'\?\)"):
        model.fit({"height": rows, "weight": rows, "heigth": rows}, y, verbose=0)
    with pytest.raises(ValueError, match=r"'prize' \(did you mean 'price'\?\)"):
        model.fit({"height": rows, "weight": rows}, {**y, "prize": rows}, verbose=0)
    with pytest.raises(ValueError, match=r"has no layer 'heights' \(did you mean 'height'\?\)"):
        model.get_layer("heights")


def test_figures_of_a_history():
    history = callbacks.History()
    history.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(ValueError, match=r"the history has no 'Loss' \(did you mean 'loss'\?\)"):
        plot.plot_history(history, ["Loss"])


# The helper


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("a", [], ""),
        (3, ["3"], ""),
        (None, ["None"], ""),
        ("x" * 10_000_000, ["x" * 90], " (did you mean '" + "x" * 90 + "'?)"),
        ("lr", ["learning_rate"], " (did you mean 'learning_rate'?)"),
        ("lr", ["lr2", "loss"], " (did you mean 'lr2'?)"),
        ("Conv2D", ["Conv_2d"], " (did you mean 'Conv_2d'?)"),
        ("", ["loss"], ""),
    ],
)
def test_hints(name, known, hint):
    assert _names.hint(name, known) == hint


def test_functions_stay_themselves():
    """They can be pickled, and say what they take."""
    for function in (Input, models.load_model, fastnn.set_random_seed, losses.get, models.clone_model):
        assert pickle.loads(pickle.dumps(function)) is function
    assert list(inspect.signature(models.load_model).parameters) == [
        "filepath",
        "custom_objects",
        "compile",
        "safe_mode",
    ]
    assert list(inspect.signature(Dense).parameters)[:2] == ["units", "activation"]


def test_warnings_name_the_users_line():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        layers.Embedding(3, 2, input_length=4)
        model = Sequential([Dense(1, input_dim=2)])
        model.compile("sgd", "mse")
        model.fit(np.ones((4, 2)), np.ones(4), batch_size=2, steps_per_epoch=5, verbose=0)
        warn("here")
    assert [warning.filename for warning in said] == [__file__] * 3
