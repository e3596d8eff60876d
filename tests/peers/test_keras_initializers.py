"""Every initialiser that Keras has too: two samples of one distribution, and values that are no matter of chance."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

from fastnn.initializers import INITIALIZERS, Initializer, get  # noqa: E402
from support.units import label, units  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

SHAPES = [(200, 120), (3, 2, 40, 60)]


def theirs(initializer: Initializer, seed: int) -> Any:
    given = vars(initializer)
    if "seed" in given:
        given = {**given, "seed": seed}
    return getattr(keras.initializers, type(initializer).__name__)(**given)


@pytest.mark.parametrize("initializer", units(INITIALIZERS), ids=label)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_distribution(initializer: Initializer, shape: tuple[int, ...]) -> None:
    if initializer.table_name == "identity" and len(shape) != 2:
        with pytest.raises(ValueError, match="2D"):
            theirs(initializer, 1)(shape)
        return
    ours = np.sort(initializer(shape, None, np.random.default_rng(7)).ravel())
    other = np.sort(np.asarray(theirs(initializer, 8)(shape)).ravel())
    if not hasattr(initializer, "seed"):
        np.testing.assert_array_equal(ours, other)
        return
    # The two-sample distance of Kolmogorov and Smirnov exceeds 2.5 * sqrt(2 / n) seven times in a million.
    both = np.concatenate([ours, other])
    shares = [np.searchsorted(sample, both, side="right") / ours.size for sample in (ours, other)]
    assert np.abs(shares[0] - shares[1]).max() < 2.5 * np.sqrt(2 / ours.size)
    assert np.abs(ours).max() == pytest.approx(np.abs(other).max(), rel=0.3)


@pytest.mark.parametrize("cls", [cls for _, cls in INITIALIZERS], ids=lambda cls: cls.__name__)
def test_names_and_arguments(cls: type[Initializer]) -> None:
    """Keras's input_axes and output_axes, new there, are left out."""
    other = getattr(keras.initializers, cls.__name__)
    assert getattr(keras.initializers, cls.table_name) is other
    assert type(get(cls.table_name)) is type(get(cls.__name__)) is cls
    ours, theirs = ({n: p.default for n, p in inspect.signature(one).parameters.items()} for one in (cls, other))
    assert list(ours.items()) == [(n, d) for n, d in theirs.items() if n in ours]
    assert theirs.keys() - ours.keys() <= {"input_axes", "output_axes", "args", "kwargs"}


def test_every_initializer_of_keras_but_stft() -> None:
    names = {name for name in dir(keras.initializers) if name[0].isupper()}
    names -= {"Initializer", "STFT", "STFTInitializer", "IdentityInitializer", "OrthogonalInitializer"}
    assert names == {cls.__name__ for _, cls in INITIALIZERS}
