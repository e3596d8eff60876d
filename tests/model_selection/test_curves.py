"""learning_curve and validation_curve beside cross_validate."""

from __future__ import annotations

import pytest

from fastnn.model_selection import learning_curve, validation_curve
from support.folds import X, Y, build, validated


def test_a_learning_curve() -> None:
    sizes, train, test = learning_curve(
        build, X, Y, train_sizes=[0.25, 48, 1.0], cv=3, score="accuracy", epochs=2, random_state=1, verbose=0
    )
    assert sizes.tolist() == [20, 48, 80]
    assert train.shape == test.shape == (3, 3)
    whole = validated(X, Y, cv=3, random_state=1, epochs=2, return_train_score=True)
    assert abs(test[2].mean() - whole["test_accuracy"].mean()) < 0.3
    for wrong in (0, 1.5, 81, -1):
        with pytest.raises(ValueError, match="train_sizes must be"):
            learning_curve(build, X, Y, train_sizes=[wrong], cv=3, verbose=0)


def test_a_validation_curve() -> None:
    train, test = validation_curve(
        build, X, Y, param_name="units", param_range=[2, 9], cv=3, epochs=2, random_state=1, verbose=0
    )
    for row, units in enumerate((2, 9)):
        found = validated(X, Y, cv=3, random_state=1, epochs=2, settings={"units": units}, return_train_score=True)
        assert train[row].tolist() == found["train_loss"].tolist()
        assert test[row].tolist() == found["test_loss"].tolist()
    with pytest.raises(ValueError, match="score must be one of accuracy, loss, got 'auc'"):
        validation_curve(build, X, Y, param_name="units", param_range=[2], score="auc", verbose=0)
