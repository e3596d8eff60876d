"""Estimators in the place of scikit-learn's ``MLPClassifier`` and ``MLPRegressor``, at the engine's speed.

``from fastnn.sklearn import MLPClassifier`` in place of ``from sklearn.neural_network import MLPClassifier``. They need
scikit-learn: pip install "fastnn[sklearn]".
"""

try:
    import sklearn.utils.validation  # noqa: F401
except ImportError as error:
    raise ImportError('fastnn.sklearn needs scikit-learn 1.6 or later: pip install "fastnn[sklearn]"') from error

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
