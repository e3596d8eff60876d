"""scikit-learn's MLPClassifier and MLPRegressor, without a penalty or a rule for stopping early."""

import warnings
from collections.abc import Callable
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.cases import Case, Fit, Predict
from benchmarks.networks import Array
from benchmarks.numpy_net import EPSILON
from benchmarks.rivals import Trainer, sizes_of


def network(case: Case, x: Array, y: Array, **options: Any) -> MLPClassifier | MLPRegressor:
    """Fitted once, because it is the fit that makes the weights."""
    kind = MLPRegressor if case.loss == "mean_squared_error" else MLPClassifier
    sizes, activation = sizes_of(case.network), case.network.layers[0].activation
    model = kind(hidden_layer_sizes=sizes[1:-1], activation=activation, alpha=0, warm_start=True, **options)
    warnings.simplefilter("ignore", ConvergenceWarning)
    load(model.set_params(max_iter=1).fit(x, y), case)
    return model


def load(model: MLPClassifier | MLPRegressor, case: Case) -> None:
    weights = case.weights
    model.coefs_, model.intercepts_ = weights[::2], weights[1::2]


def targets(y: Array) -> Array:
    """One column as a vector, which is what scikit-learn asks for."""
    return y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y


def fit(case: Fit) -> Trainer:
    """Its squared error is half the mean over rows and sums the gradient over outputs; Adam undoes a factor of the
    gradient when epsilon gets it, too."""
    x, y = case.data(case.rows)
    y = targets(y)
    squared = case.loss == "mean_squared_error"
    epsilon = EPSILON * case.network.units / 2 if squared else EPSILON
    model = network(
        case, x, y, batch_size=case.batch_size, epsilon=epsilon, tol=0, n_iter_no_change=10**9, random_state=0
    )

    def run(shuffle: bool) -> float:
        model.set_params(max_iter=case.epochs, shuffle=shuffle).fit(x, y)
        return float(model.loss_ * 2 if squared else model.loss_)

    return Trainer(lambda: load(model, case), run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    x_all, y_all = case.data(max(1024, case.rows))  # so that every class is there
    model = network(case, x_all, targets(y_all))
    if case.loss == "mean_squared_error":
        return lambda: model.predict(x).reshape(len(x), -1)
    if case.loss == "binary_crossentropy":
        return lambda: model.predict_proba(x)[:, 1:]
    return lambda: model.predict_proba(x)
