"""Every layer and activation in C against ``predict``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn import Model, ops
from fastnn.activations import ACTIVATIONS
from fastnn.exchange import to_c
from fastnn.exchange.c_layers import LAYERS_IN_C
from fastnn.exchange.plain import UNITS
from fastnn.layers.base import LAYERS
from fastnn.layers.composite import Composite
from fastnn.layers.front import FrontLayer
from support.c_models import compiled
from support.layers import CASES, RANDOM, Case

# Layers that to_c refuses by name, and why.
PICTURES = "chance and resampling of pictures: they are prepared before the device"
REFUSED = {
    "CenterCrop": PICTURES,
    "Conv1DTranspose": "no small network on a device was seen with one",
    "Conv2DTranspose": "as Conv1DTranspose",
    "Conv3DTranspose": "as Conv1DTranspose",
    "Dot": "attention by hand: as Attention",
    "EinsumDense": "any contraction, most of which Dense and Permute say",
    "GRUCell": "a cell is a layer of one step with weights of its own; GRU has its form",
    "GroupNormalization": "BatchNormalization costs nothing there",
    "GroupQueryAttention": "attention: models of steps on devices are recurrent or convolutions",
    "LSTMCell": "as GRUCell",
    "Masking": "masks: the C has rows of one length",
    "MultiHeadAttention": "as GroupQueryAttention",
    "RandomBrightness": PICTURES,
    "RandomContrast": PICTURES,
    "RandomCrop": PICTURES,
    "RandomFlip": PICTURES,
    "RandomRotation": PICTURES,
    "RandomTranslation": PICTURES,
    "RandomZoom": PICTURES,
    "Resizing": PICTURES,
    "SimpleRNNCell": "as GRUCell",
    "SpectralNormalization": "its kernel is Dense's divided by a norm: give the weights to a Dense layer",
    "StackedRNNCells": "as GRUCell",
    "UnitNormalization": "as GroupNormalization",
}


def test_every_layer_is_mapped_or_refused_for_a_reason() -> None:
    for _, cls in LAYERS:
        name = cls.__name__
        if issubclass(cls, (FrontLayer, L.InputLayer)):
            assert name not in LAYERS_IN_C  # columns as they come; the model's inputs
        elif not issubclass(cls, Composite):  # whose layers are written
            assert (name in LAYERS_IN_C) != (name in REFUSED), f"{name} is mapped, or refused for a reason"


def _chosen() -> list[str]:
    """Some cases of each kind of layer: all would take a minute to compile."""
    taken: dict[Any, int] = {}
    chosen = []
    for title, case in CASES.items():
        kind = case.make()
        key = type(kind).__name__, max(map(len, case.shapes)), getattr(kind, "operation", "")
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= (3 if key[0].endswith(("1D", "2D", "LSTM", "GRU")) else 1):
            chosen.append(title)
    return chosen


def _refusal(model: Any) -> str | None:
    """What to_c says of a model that it refuses."""
    try:
        to_c(model)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:Layer 'Flatten'.*mask:UserWarning")
@pytest.mark.parametrize("title", _chosen())
def test_a_layer_is_what_predict_gives(title: str, tmp_path: Path) -> None:
    case: Case = CASES[title]
    model, layer = case.model()
    x = case.rows(4)
    if type(layer).__name__ in REFUSED:
        with pytest.raises(ValueError, match=r"layer '.*' \(\w+\): to_c cannot write it: it has no form there"):
            to_c(model)
        return
    if (refused := _refusal(model)) is not None:
        assert re.search(r"\(\w+\): to_c (cannot|knows no)", refused), refused
        return
    (found,) = compiled(model, tmp_path)(x)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Layer 'Flatten'.*mask:UserWarning")
def test_cases_met_every_form() -> None:
    written: set[str] = set()
    for title in [*_chosen(), *RANDOM]:
        x = L.Input((4,))
        model = Model(x, RANDOM[title]()(x)) if title in RANDOM else CASES[title].model()[0]
        if _refusal(model) is None:
            written |= {type(layer).__name__ for layer in model.description.layers()}
    assert {name for name in LAYERS_IN_C if hasattr(L, name) and not name.startswith("SpatialDropout")} == written & {
        *LAYERS_IN_C
    }


def _agrees(model: Any, folder: Path, *xs: np.ndarray, **options: Any) -> list[np.ndarray]:
    found = compiled(model, folder, **options)(*xs)
    given = model.predict(list(xs) if len(xs) > 1 else xs[0], verbose=0)
    for one, other in zip(found, given if isinstance(given, list) else [given], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    return found


def test_every_activation(tmp_path: Path) -> None:
    x = L.Input((12,))
    units: list[Any] = [cls() for _, cls in ACTIVATIONS]
    names = {unit.table_name for unit in units}
    assert names - {"linear", "softmax", "log_softmax", "sparsemax"} == set(UNITS)
    a = ACTIVATIONS.units
    units += [a["relu"](0.1, 2.0, 0.5), a["relu"](0, 1.0), a["gelu"](True), a["elu"](0.3), a["celu"](2.5)]
    units += [a["leaky_relu"](-0.4), a["squareplus"](0.01), a["threshold"](-1.0, 7.0), a["soft_shrink"](0.0)]
    model = Model(x, [L.Activation(unit)(x) for unit in units])
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(40, 12), scale=3), rng.normal(size=(10, 12), scale=60), np.zeros((1, 12))])
    _agrees(model, tmp_path, rows.clip(-80, 80).astype(np.float32))


def test_nan_stays(tmp_path: Path) -> None:
    x = L.Input((4, 4, 1))
    outputs = [L.ReLU(6.0)(x), L.MaxPooling2D()(x), L.Maximum()([x, x * 2.0]), L.LeakyReLU()(x)]
    rows = np.random.default_rng(1).normal(size=(1, 4, 4, 1)).astype(np.float32)
    rows[0, 0, 0] = np.nan
    found = compiled(Model(x, outputs), tmp_path)(rows)
    assert all(np.isnan(each.ravel()[0]) and np.isfinite(each.ravel()[-1]) for each in found)


def test_masks_are_refused_where_they_are_read() -> None:
    ids = L.Input((5,))
    embedded = L.Embedding(9, 4, mask_zero=True)(ids)
    to_c(Model(ids, L.Dense(2)(embedded)))  # nobody reads it
    for layer in (L.LSTM(3), L.Bidirectional(L.GRU(3)), L.GlobalAveragePooling1D()):
        with pytest.raises(ValueError, match=r"knows no masks.*mask_zero"):
            to_c(Model(ids, layer(embedded)))


def test_what_has_no_form_is_refused_by_name() -> None:
    x = L.Input((3, 4))
    with pytest.raises(ValueError, match=r"'mha/query' \(EinsumDense\).*covered are dense"):
        to_c(Model(x, L.MultiHeadAttention(2, 2, name="mha")(x, x)))
    with pytest.raises(ValueError, match="softmax with channels_first"):
        to_c(Model(x, L.Conv1D(2, 1, data_format="channels_first", activation="softmax")(x)))
    with pytest.raises(ValueError, match=r"cannot write the activation"):
        to_c(Model(x, L.Activation(lambda z: z * 2)(x)))
    with pytest.raises(ValueError, match="training=True"):
        to_c(Model(x, L.Dropout(0.5)(x, training=True)))
    batch = L.Input(batch_shape=(2, 3, 4))
    with pytest.raises(ValueError, match="stateful"):
        to_c(Model(batch, L.LSTM(3, stateful=True)(batch)))
    with pytest.raises(ValueError, match=r"\(Operation\).*'reduce'"):
        to_c(Model(x, ops.mean(x, axis=1)))
