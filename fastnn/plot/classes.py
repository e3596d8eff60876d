"""How well classes are told apart: confusion, ROC, precision and recall, calibration, gains."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_count, shown
from fastnn.plot.ranked import calibration, confusion, counts, precision_recall, roc
from fastnn.plot.style import QUIET, canvas, classes, colours, label, legend, line, numbers, plain, shares, upright

if TYPE_CHECKING:
    from fastnn.plot.style import Codes, Doubles

_SHARES = {None: "", "true": "share of the true class", "pred": "share of the predicted class", "all": "share of rows"}
_WRITTEN = 15  # classes, of which each cell has its number


def confusion_matrix(
    y_true: Any, y_pred: Any, *, names: Sequence[Any] | None = None, normalize: str | None = None, ax: Any = None
) -> Any:
    """How many rows of the class of a line were taken for the class of a column; gives the Axes.

    y_true: a class for each row, or one-hot rows; y_pred: the same, or what a model predicts: (rows, classes), of which
    the largest counts, or (rows, 1) from a sigmoid, of which the second class is above 0.5. names: of the classes, in
    the order of their numbers or scores. normalize: "true", "pred" or "all" for shares of lines, columns or all, as in
    scikit-learn. ValueError for classes that are none, and for lengths that differ.
    """
    if not isinstance(normalize, (str, NoneType)) or normalize not in _SHARES:
        raise ValueError(f"confusion_matrix: normalize must be None, 'true', 'pred' or 'all', got {shown(normalize)}")
    truth, guess, told = _both(y_true, y_pred, names)
    rows = confusion(truth, guess, len(told))
    whole_of = {None: 1.0, "true": rows.sum(1, keepdims=True), "pred": rows.sum(0), "all": rows.sum()}[normalize]
    with np.errstate(invalid="ignore"):
        drawn = np.nan_to_num(rows / whole_of)
    with canvas(ax, 70) as ax:
        image = ax.imshow(drawn, cmap="cividis", vmin=0, vmax=1 if normalize in ("true", "pred") else None)
        if len(told) <= _WRITTEN:
            size = "medium" if len(told) < 6 else "x-small"
            for (row, column), value in np.ndenumerate(drawn):
                text = f"{value:.0f}" if normalize is None else f"{value:.2f}".lstrip("0") if value else "0"
                style = {"color": "black" if image.norm(value) > 0.5 else "white", "alpha": 1 if value else 0.4}
                ax.text(column, row, text, ha="center", va="center", size=size, **style)
        else:
            colours(ax, image, _SHARES[normalize] or "rows")
        step = -(-len(told) // 20)
        ax.set_yticks(range(0, len(told), step), told[::step])
        upright(ax, told)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        title = f"{(truth == guess).mean():.1%} of {len(truth):,} rows are right"
        ax.set(title=title, xlabel="predicted class", ylabel="true class")
        if normalize:
            ax.set_title(f"{title}\n{_SHARES[normalize]}")
    return ax


def roc_curve(y_true: Any, y_score: Any, *, names: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """Share of the positive rows that are found over share of the others that are taken for them; gives the Axes.

    y_score: (rows,) or (rows, 1) of the second of two classes, or (rows, classes), each against the others, as a
    model predicts them; more is surer. y_true: a class for each row, or one-hot rows. The area (AUC) is the
    probability that a positive row has a higher score than another, ties counting half. A class without rows has no
    curve; ValueError where one class alone is there. Source: Fawcett 2006.
    """
    curves = _curves("roc_curve", y_true, y_score, names)
    with canvas(ax, 70) as ax:
        ax.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=":")
        for style, name, positive, scores in curves:
            taken, found, area = roc(positive, scores)
            ax.plot(taken, found, label=f"{name}AUC {area:.3f}", **style)
        label(ax, "ROC curve", "false positive rate", "true positive rate")
        shares(ax)
        legend(ax, "lower right")
    return ax


def precision_recall_curve(y_true: Any, y_score: Any, *, names: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """Precision over recall for every threshold, with AP = sum of (R_n - R_(n-1)) P_n; gives the Axes.

    Arguments and errors as for ``roc_curve``. Of one curve, the dotted line is the share of positive rows, which
    chance has. Source: scikit-learn's average_precision_score.
    """
    curves = _curves("precision_recall_curve", y_true, y_score, names)
    with canvas(ax, 70) as ax:
        for style, name, positive, scores in curves:
            recall, precision, area = precision_recall(positive, scores)
            recall, precision = np.append(0.0, recall), np.append(1.0, precision)
            ax.plot(recall, precision, drawstyle="steps-pre", label=f"{name}AP {area:.3f}", **style)
        if len(curves) == 1:
            ax.axhline(curves[0][2].mean(), color=QUIET, linewidth=0.8, linestyle=":")
        label(ax, "precision and recall", "recall", "precision")
        shares(ax)
        legend(ax, "lower left")
    return ax


def lift_curve(y_true: Any, y_score: Any, *, names: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """Share of the positive rows among the so many rows of the highest scores (cumulative gains); gives the Axes.

    The height over the dotted line, divided by it, is the lift: at 10 % of the rows, 40 % found are a lift of 4. Rows
    of equal score are taken together. Arguments and errors as for ``roc_curve``.
    """
    curves = _curves("lift_curve", y_true, y_score, names)
    with canvas(ax, 70) as ax:
        ax.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=":")
        for style, name, positive, scores in curves:
            found, taken = counts(positive, scores)
            tenth = np.interp(0.1, taken / taken[-1], found / found[-1]) / 0.1
            ax.plot(taken / taken[-1], found / found[-1], label=f"{name}lift {tenth:.1f} at 10 %", **style)
        label(ax, "cumulative gains", "share of rows, highest scores first", "share of positives found")
        shares(ax)
        legend(ax, "lower right")
    return ax


def calibration_curve(
    y_true: Any, probabilities: Any, *, bins: int = 10, names: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Share of positive rows over mean probability, in bins of equal width; gives the Axes.

    On the dotted line probabilities hold: of the rows that are given 0.8, 80 % are positive; below it the model is too
    sure. Bins without rows are left out. Arguments as for ``roc_curve``; ValueError for what is not from 0 to 1.
    """
    check_count("bins", bins, 1, 10_000)
    curves = _curves("calibration_curve", y_true, probabilities, names)
    if any(scores.min() < 0 or scores.max() > 1 for _, _, _, scores in curves):
        raise ValueError(
            "calibration_curve: probabilities must be from 0 to 1; end the model with a sigmoid or softmax"
        )
    with canvas(ax, 70) as ax:
        ax.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=":")
        for style, name, positive, scores in curves:
            ax.plot(*calibration(positive, scores, bins)[:2], marker="o", label=name.rstrip(": "), **style)
        label(ax, "calibration", "mean predicted probability", "share of positive rows")
        shares(ax)
        if len(ax.lines) > 2:
            legend(ax)
    return ax


def _both(y_true: Any, y_pred: Any, names: Sequence[Any] | None) -> tuple[Codes, Codes, list[str]]:
    """(True classes, predicted classes, names of all)."""
    taken, count = np.asarray(y_pred), None
    if taken.ndim == 2 and taken.shape[1] > 1:
        count, taken = taken.shape[1], numbers("y_pred", taken, 2).argmax(axis=1)
    elif taken.dtype.kind == "f":
        taken = numbers("y_pred", taken, 1)
        if (taken != np.floor(taken)).any():  # probabilities of the second class
            count, taken = 2, (taken > 0.5).astype(np.intp)
    truth, told = np.asarray(y_true), names
    if count is None and names is None and truth.ndim < 2:
        truth, taken = plain("y_true", truth), plain("y_pred", taken)
        known = np.unique(np.concatenate([truth, taken]))
        if known.dtype.kind in "biuf" and (known[0] >= 0 or (known != np.floor(known)).any()):
            count = int(known[-1]) + 1
        else:  # texts, or such as -1 and 1
            count, told = len(known), [str(each) for each in known]
            truth, taken = np.searchsorted(known, truth), np.searchsorted(known, taken)
    codes, names = classes("y_true", truth, count, told)
    taken, _ = classes("y_pred", taken, len(names), names)
    if len(codes) != len(taken):
        raise ValueError(f"y_true has {len(codes)} rows, y_pred {len(taken)}; give both of the same rows")
    return codes, taken, names


def _curves(
    what: str, y_true: Any, y_score: Any, names: Sequence[Any] | None
) -> list[tuple[dict[str, Any], str, Doubles, Doubles]]:
    """Style, text, whether each row is positive, and scores: of each curve."""
    scores = numbers("y_score" if what != "calibration_curve" else "probabilities", y_score)
    if scores.ndim > 2:
        raise ValueError(f"{what}: scores must be (rows,) or (rows, classes), got the shape {scores.shape}")
    scores = scores.reshape(len(scores), -1)
    count = max(2, scores.shape[1])
    codes, told = classes("y_true", y_true, count, names)
    if len(codes) != len(scores):
        raise ValueError(f"{what}: y_true has {len(codes)} rows, the scores {len(scores)}; give both of the same rows")
    alone = count == 2
    if len(np.unique(codes)) < 2:
        raise ValueError(
            f"{what}: all {len(codes)} rows are of the class {told[codes[0]]!r}; rows of another are needed too"
        )
    curves = []
    for each in [1] if alone else np.unique(codes).tolist():
        column = scores[:, -1] if alone else scores[:, each]
        text = "" if alone and names is None else f"{told[each]}: "
        curves.append((line(0 if alone else each), text, (codes == each).astype(np.float64), column))
    return curves
