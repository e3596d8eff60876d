"""A simple model in a network's place, to read; and how often both say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fastnn._checks import as_number, shown
from fastnn.models import Model
from fastnn.plot.style import COLOURS

from .drawing import axes_of
from .features import AT_ONCE, asked, generator_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH = 4  # of a tree that is read


class Surrogate(NamedTuple):
    """A model of scikit-learn's that was fitted to a network's answers.

    model: it. agreement: on rows that it has not learnt from, of classes "accuracy", the share of rows where both say
    the same, and "kappa", the same beyond chance; of numbers "r2", the share of the network's variance that it gives.
    """

    model: Any
    agreement: dict[str, float]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]

    def text(self) -> str:
        """The rules of a tree; else the coefficients of each feature (of a naive Bayes model the class means)."""
        names = list(self.feature_names)
        if hasattr(self.model, "tree_"):
            from sklearn.tree import export_text

            found: str = export_text(self.model, feature_names=names, class_names=list(self.class_names) or None)
            return found
        heads, table = self._table()
        width = max(map(len, [*names, "intercept"]))
        lines = [" " * width + "".join(f"  {head:>12}" for head in heads)]
        lines += [f"{name:<{width}}" + "".join(f"  {value:12.4g}" for value in row) for name, row in table]
        return "\n".join(lines) + "\n"

    def _table(self) -> tuple[list[str], list[tuple[str, NDArray[Any]]]]:
        names, classes = list(self.feature_names), list(self.class_names)
        if hasattr(self.model, "theta_"):
            return classes, list(zip(names, self.model.theta_.T, strict=True))
        coefficients, intercept = np.atleast_2d(self.model.coef_), np.atleast_1d(self.model.intercept_)
        heads = classes if len(coefficients) == len(classes) else classes[1:] or ["coefficient"]
        return heads, [*zip(names, coefficients.T, strict=True), ("intercept", intercept)]

    def plot(self, ax: Any = None) -> Any:
        """The tree, or bars of what ``text`` says; gives the Axes. ImportError where matplotlib is missing."""
        if hasattr(self.model, "tree_"):
            from sklearn.tree import plot_tree

            axes = axes_of(ax, (1.4 * self.model.get_n_leaves() + 1, 1.1 * self.model.get_depth() + 1))
            names, classes = list(self.feature_names), list(self.class_names) or None
            plot_tree(self.model, ax=axes, feature_names=names, class_names=classes, impurity=False, fontsize=8)
            return axes
        axes = axes_of(ax)
        heads, table = self._table()
        table = [each for each in table if each[0] != "intercept"]
        high = 0.8 / len(heads)
        for place, head in enumerate(heads):
            at = np.arange(len(table)) + high * place
            colour = COLOURS[place % len(COLOURS)]
            axes.barh(at, [row[place] for _, row in table], high, label=head, color=colour)
        axes.set_yticks(np.arange(len(table)) + 0.4 - high / 2, [name for name, _ in table])
        axes.invert_yaxis()
        axes.set_xlabel("class mean" if hasattr(self.model, "theta_") else "coefficient")
        if len(heads) > 1:
            axes.legend()
        return axes


def surrogate(
    model: Any,
    x: Any,
    kind: Literal["tree", "logistic", "naive_bayes", "linear"] = "tree",
    *,
    output: Any = None,
    held_out: float = 0.25,
    random_state: int | None = None,
    **options: Any,
) -> Surrogate:
    """Fit a simple model of scikit-learn's to what a model says of `x`, and count how often both agree.

    kind: "tree", a decision tree, of depth 4 unless `options` say otherwise; "logistic", fitted to features of
    deviation 1; "naive_bayes", with normal distributions; "linear", a ridge regression, of numbers alone. Answers are
    classes where the model gives a row of probabilities, or ends in one sigmoid; else numbers, which "tree" and
    "linear" take. A tree's leaves say what the network says there, not what is true.

    model: built and of flat rows, or a function of an array of rows. output: as in `exact_shapley`; a unit of several
    is a number. held_out: the share of the rows on which the agreement is counted. options: of scikit-learn's class.
    ValueError where the model says the same class of all rows. ImportError where scikit-learn is missing. Source:
    Craven and Shavlik 1995.
    """
    what, kinds = "surrogate", ("tree", "logistic", "naive_bayes", "linear")
    if kind not in kinds:
        raise ValueError(f"{what}: kind must be one of {', '.join(kinds)}, got {shown(kind)}")
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError('surrogate needs scikit-learn: pip install "fastnn[sklearn]"') from error
    share = as_number(f"{what}: held_out", held_out)
    if not 0 < share < 1:
        raise ValueError(f"{what}: held_out must be above 0 and below 1, got {shown(held_out)}")
    given = asked(what, model, x, output)
    if len(given.rows) > 1 or given.rows[0].ndim != 2:
        raise ValueError(f"{what} takes flat rows, (rows, features), got {[rows.shape for rows in given.rows]}")
    rows = given.rows[0]
    if len(rows) < 10:
        raise ValueError(f"{what}: some hundred rows are needed, at least 10, got {len(rows)}")
    said = np.concatenate([given.answer([rows[at : at + AT_ONCE]]) for at in range(0, len(rows), AT_ONCE)])
    many, bayesian = said.shape[1] > 1, kind in ("logistic", "naive_bayes")
    bounded = (said >= 0).all() and (said <= 1).all()
    if many:
        whole = kind != "linear" and bool(bounded and np.allclose(said.sum(axis=1), 1, atol=1e-3))
        if not whole:
            raise ValueError(f"{what}: {kind!r} of {said.shape[1]} units takes probabilities; choose one by output=")
    else:
        whole = bayesian or (kind == "tree" and _ends_in_sigmoid(model, output))
        if whole and not bounded:
            raise ValueError(f"{what}: kind={kind!r} needs a model of classes; take 'tree' or 'linear' for numbers")
    answers = (said.argmax(axis=1) if many else said[:, 0] > 0.5).astype(int) if whole else said[:, 0]
    if whole and len(np.unique(answers)) < 2:
        raise ValueError(f"{what}: the model says class {answers[0]} of all rows, which needs no surrogate")
    scale: Any = 1.0
    order = generator_of(random_state).permutation(len(rows))
    held = max(1, round(share * len(rows)))
    test, train = order[:held], order[held:]
    if whole and len(np.unique(answers[train])) < 2:
        raise ValueError(f"{what}: one class alone is left to learn from; give more rows")
    if kind == "logistic":
        from sklearn.linear_model import LogisticRegression

        fitted, scale = LogisticRegression(**{"max_iter": 1000, **options}), rows[train].std(axis=0)
        scale[scale == 0] = 1
    elif kind == "naive_bayes":
        from sklearn.naive_bayes import GaussianNB

        fitted = GaussianNB(**options)
    elif kind == "linear":
        from sklearn.linear_model import Ridge

        fitted = Ridge(**options)
    else:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        settings = {"max_depth": DEPTH, "random_state": 0, **options}
        fitted = (DecisionTreeClassifier if whole else DecisionTreeRegressor)(**settings)
    fitted.fit(rows[train] / scale, answers[train])
    if kind == "logistic":
        fitted.coef_ = fitted.coef_ / scale  # it takes the features as they are now
    found = fitted.predict(rows[test])
    if whole:
        names = given.outputs if len(given.outputs) > 1 else ("0", "1")
        agreement = {
            "accuracy": float((found == answers[test]).mean()),
            "kappa": float(metrics.cohen_kappa_score(found, answers[test])),
        }
        names = tuple(names[label] for label in fitted.classes_)
    else:
        names, agreement = (), {"r2": float(metrics.r2_score(answers[test], found))}
    return Surrogate(fitted, agreement, given.names, names)


def _ends_in_sigmoid(model: Any, output: Any) -> bool:
    if not isinstance(model, Model):
        return False
    name = output[0] if isinstance(output, tuple) else output
    place = model.output_names.index(name) if isinstance(name, str) and name in model.output_names else 0
    return bool(model.description.last_activation(place) == "sigmoid")
