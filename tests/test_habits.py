"""Old habits, other libraries' names, names that are completed, and what a notebook shows."""

from __future__ import annotations

import copy
import importlib
import pkgutil
import sys

import numpy as np
import pytest

import fastnn
from fastnn import _old, callbacks, layers, models, optimizers
from fastnn._names import SYNONYMS
from fastnn.layers import Dense, Dropout, Embedding, LeakyReLU
from fastnn.models import Model, Sequential

X, Y = np.ones((6, 2), np.float32), np.array([0, 1, 2] * 2)
LABELS = np.array(["a", "b", "c"] * 2)


def classifier(loss: str = "sparse_categorical_crossentropy", units: int = 3) -> Sequential:
    model = Sequential([Dense(units, "softmax" if units > 1 else "sigmoid", input_dim=2)])
    model.compile("adam", loss, metrics=["accuracy"])
    return model


# Attributes


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("predict_classes", r"\(write model\.predict\(x\)\.argmax\(axis=-1\)"),
        ("predict_proba", r"\(write model\.predict\(x\)"),
        ("fit_generator", r"\(write model\.fit\(generator"),
        ("evaluate_generator", r"\(write model\.evaluate\(generator"),
        ("predict_generator", r"\(write model\.predict\(generator"),
        ("fiit", r"\(did you mean 'fit'\?\)"),
        ("save_weight", r"\(did you mean 'save_weights'\?\)"),
        ("zzz", "'zzz'$"),
    ],
)
def test_attributes_of_a_model(name, what):
    with pytest.raises(AttributeError, match=rf"'Sequential' has no attribute '{name}'.*{what}|{what}") as caught:
        getattr(classifier(), name)
    assert caught.value.name == name
    assert not hasattr(classifier(), name)


def test_attributes_of_layers_optimizers_and_histories():
    model = classifier()
    history = model.fit(X, Y, verbose=0)
    for owner, name, what in (
        (model.optimizer, "lr", "optimizer.learning_rate"),
        (history, "histroy", "did you mean 'history'"),
        (Dense(2), "use_bais", "did you mean 'use_bias'"),
    ):
        with pytest.raises(AttributeError, match=what):
            getattr(owner, name)


def test_an_attribute_error_of_ones_own_property_stays():
    class Mine(Sequential):
        @property
        def width(self):
            return self.description.nothing_like_it

    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = Mine().width


def test_what_copies_ask_for_is_not_told():
    for each in (classifier(), Dense(2), optimizers.Adam()):
        assert not hasattr(each, "__array__")
        with pytest.raises(AttributeError, match="_ipython_display_"):
            _ = each._ipython_display_
        copy.deepcopy(each)


# Arguments


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Dense(3, init="uniform"), "'kernel_initializer'"),
        (lambda: Dense(output_dim=3), "'units'"),
        (lambda: Dense(3, W_regularizer="l2"), "'kernel_regularizer'"),
        (lambda: Dense(3, b_constraint="l2"), "'bias_constraint'"),
        (lambda: Dense(3, activaton="relu"), "'activation'"),
        (lambda: Dense(3, "rellu"), "'relu'"),
        (lambda: LeakyReLU(alpha=0.3), "'negative_slope'"),
        (lambda: Dropout(p=0.3), "'rate'"),
        (lambda: Dropout(keep_prob=0.3), "write rate, which is 1 - keep_prob"),
        (lambda: Embedding(num_embeddings=10, output_dim=3), "'input_dim'"),
        (lambda: optimizers.SGD(lr=0.1), "'learning_rate'"),
        (lambda: optimizers.SGD(decay=1e-6), "InverseTimeDecay"),
        (lambda: optimizers.Adam(eps=1e-6), "'epsilon'"),
        (lambda: classifier().fit(X, Y, nb_epoch=3), "'epochs'"),
        (lambda: classifier().fit(X, Y, batchsize=3), "'batch_size'"),
        (lambda: classifier().fit(X, Y, max_iter=3), "'epochs'"),
        (lambda: classifier().fit(X, Y, val_split=0.3), "'validation_split'"),
        (lambda: classifier().fit(X, Y, show_accuracy=True), r'metrics=\["accuracy"\] in compile'),
        (lambda: classifier().fit(X, Y, early_stopping=True), r"callbacks=\[EarlyStopping"),
        (lambda: classifier().fit(X, Y, workers=4), "leave it out: batches are read"),
        (lambda: classifier().compile(optimiser="adam"), "'optimizer'"),
        (lambda: classifier().compile("adam", "mse", metric=["mae"]), "'metrics'"),
        (lambda: classifier().compile("adam", "mse", class_mode="binary"), "the loss"),
        (lambda: Sequential(hidden_layer_sizes=(3,)), "a Dense layer for each size"),
        (lambda: Sequential(Dense(1), Dense(2)), "give the layers as one list"),
        (lambda: Sequential(Dense(1), Dense(2), Dense(3)), "given as one list"),
        (lambda: callbacks.EarlyStopping("loss", epsilon=1), "'min_delta'"),
        (lambda: callbacks.ModelCheckpoint("x", period=3), "'every_n_epochs'"),
    ],
)
def test_arguments(make, what):
    with pytest.raises((TypeError, ValueError), match=what) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


def test_every_synonym_leads_somewhere():
    """A name that is said to be meant is an argument or the name of a unit somewhere in fastnn."""
    from fastnn._table import TABLES

    known: set[str] = {"x", "y", "y_true", "y_pred", "sql", "target", "inputs", "outputs", "backup_dir", "log_dir"}
    for module in (layers, optimizers, optimizers.schedules, callbacks, fastnn.losses, fastnn.metrics, fastnn.data):
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, type):
                code = value.__init__
                while hasattr(code, "__wrapped__"):
                    code = code.__wrapped__
                known.update(getattr(getattr(code, "__code__", None), "co_varnames", ()))
    for method in (Model.fit, Model.compile, layers.Input, fastnn.utils.to_categorical):
        while hasattr(method, "__wrapped__"):
            method = method.__wrapped__
        known.update(method.__code__.co_varnames)
    for table in TABLES.values():
        known.update(name for name, _ in table)
    known.update(table.aliases and alias for table in TABLES.values() for alias in table.aliases)
    lost = {name: meant for name, meant in SYNONYMS.items() if not set(meant) & known}
    assert not lost


# Modules


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("from fastnn.utils import np_utils", "to_categorical and normalize are in it"),
        ("import fastnn.utils.np_utils", "to_categorical and normalize are in it"),
        ("from fastnn.utils.np_utils import to_categorical", "to_categorical and normalize are in it"),
        ("from fastnn.layers.advanced_activations import PReLU", "all layers are in it"),
        ("from fastnn.layers.convolutional import Conv2D", "all layers are in it"),
        ("from fastnn.wrappers.scikit_learn import KerasClassifier", "write fastnn.wrappers.SKLearnClassifier"),
        ("import fastnn.keras", "Keras's names are in fastnn itself"),
        ("from fastnn.keras.layers import Dense", "Keras's names are in fastnn itself"),
        ("from fastnn import keras", "Keras's names are in fastnn itself"),
        ("from fastnn.applications import VGG16", "see docs/differences.md"),
        ("from fastnn.models import Graph", r"Model\(inputs, outputs\)"),
        ("from fastnn.preprocessing.text import Tokenizer", "layers.TextVectorization"),
        ("from fastnn.callbacks import EarlyStoping", "did you mean 'EarlyStopping'"),
        ("from fastnn.layers import ConvLSTM2D", "Keras has it, fastnn does not: see docs/differences.md"),
    ],
)
def test_modules_of_old(line, what):
    with pytest.raises(ImportError, match=what) as caught:
        exec(line, {})
    assert len(str(caught.value).splitlines()) == 1


def test_modules_that_nobody_had_are_left_to_python():
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'fastnn.quite_other'$"):
        importlib.import_module("fastnn.quite_other")
    assert sum(each.__name__ == "_Finder" for each in sys.meta_path if hasattr(each, "__name__")) == 1


def test_functions_of_the_backend():
    for name, what in (("set_value", "variable.assign"), ("get_session", "no session"), ("function", "Model")):
        with pytest.raises(AttributeError, match=what):
            getattr(fastnn.backend, name)


def test_no_old_module_is_there():
    there = {module.name for module in pkgutil.walk_packages(fastnn.__path__, "")}
    assert not there & {name for name in _old.MODULES if "." not in name}


# Completion


def test_dir_of_a_module_has_what_it_offers_imported_or_not():
    for name in ("Dense", "StringLookup", "TextVectorization"):
        assert name in dir(layers)
    assert {"losses", "callbacks", "utils", "Loss", "Trainer", "plot"} <= set(dir(fastnn))
    for module in (fastnn, layers, models, optimizers, callbacks, fastnn.losses, fastnn.metrics, fastnn.utils):
        shown = [name for name in dir(module) if not name.startswith("__")]
        assert not {"base", "Any", "annotations", "TYPE_CHECKING", "LAYERS", "KINDS", "np"} & set(shown)
        for name in shown:
            getattr(module, name)


def test_dir_of_objects_has_nothing_of_the_houses_own():
    model = classifier()
    history = model.fit(X, Y, verbose=0)
    for owner, has in (
        (model, {"fit", "predict", "summary", "stop_training"}),
        (model.layers[0], {"units", "get_weights"}),
        (model.optimizer, {"learning_rate"}),
        (history, {"history", "epoch", "params", "model", "seconds", "plot"}),
    ):
        shown = set(dir(owner))
        assert has <= shown
        assert not shown & {"description", "table_name", "table_family", "from_members", "fit_begins", "slot_starts"}


# A notebook, and labels


def test_a_model_shows_its_summary(capsys):
    model = classifier()
    model.summary()
    text = capsys.readouterr().out.strip()
    html = model._repr_html_()
    assert html.startswith('<pre style="font-family: monospace">')
    assert text.replace("'", "&#x27;") in html
    assert repr(model) == "<Sequential name=sequential, built=True>"
    assert repr(Sequential(name="<b>")) == "<Sequential name=<b>, built=False>"
    assert "<b>" not in Sequential(name="<b>")._repr_html_()


LOSSES = {
    "sparse": ("sparse_categorical_crossentropy", 3),
    "one-hot": ("categorical_crossentropy", 3),
    "binary": ("binary_crossentropy", 1),
    "numbers": ("mse", 1),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("given", [LABELS, LABELS.astype(object), LABELS.tolist(), LABELS.astype("S")], ids=repr)
def test_text_labels_are_told_how_they_become_classes(loss, given):
    model = classifier(*loss)
    what = r"y must hold numbers, got .*np\.unique\(y, return_inverse=True\), or layers\.StringLookup"
    for action in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(TypeError, match=what):
            action(X, given)
    with pytest.raises(TypeError, match=f"validation_data: {what}"):
        model.fit(X, Y if loss[1] == 3 else Y % 2, validation_data=(X, given))
    classes, y = np.unique(np.asarray(given, str), return_inverse=True)  # what it says to write
    if loss[0].startswith("sparse"):
        model.fit(X, y, verbose=0)
        assert set(classes[model.predict(X).argmax(-1)]) <= set(LABELS)


def test_a_target_in_pandas():
    pandas = pytest.importorskip("pandas")
    model = classifier()
    for given, what in (
        (pandas.Series(LABELS), r"holds text \('a' at row 0\).*np\.unique\(y"),
        (pandas.DataFrame({"kind": LABELS}), r"column 'kind' of y holds text.*np\.unique\(y"),
        (pandas.Series(LABELS, dtype="category"), r"y is categorical.*y\.cat\.codes"),
    ):
        with pytest.raises(TypeError, match=what):
            model.fit(X, given)
    model.fit(X, pandas.Series(LABELS, dtype="category").cat.codes, verbose=0)
    model.fit(X, pandas.DataFrame({"kind": Y}), verbose=0)
    with pytest.raises(TypeError, match=r"column 'kind' of x.*get_dummies"):
        model.fit(pandas.DataFrame({"kind": LABELS, "b": Y}), Y)
