"""scikit-learn estimators around any model, by Keras's names.

``SKLearnClassifier(build)`` with a function ``build(X, y)`` that gives a compiled model. They need scikit-learn:
pip install "fastnn[sklearn]".
"""

from fastnn import sklearn as _needed  # noqa: F401 - which says what to install where scikit-learn is missing
from fastnn.wrappers.scikit_learn import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]
