"""scikit-learn estimators around any model, by Keras's names: SKLearnClassifier, SKLearnRegressor, SKLearnTransformer.

Each takes a function ``build(X, y)`` that gives a compiled model. They need scikit-learn:
pip install "fastnn[sklearn]".
"""

from typing import TYPE_CHECKING, Any

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.wrappers.estimators import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]

_later = _names.later(__name__, dict.fromkeys(__all__, "estimators"), __all__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        import fastnn.sklearn  # noqa: F401 - which says what to install where scikit-learn is missing
    return _later(name)
