"""Explanations for the rows of a query, written into a table of a database as predictions are."""

from __future__ import annotations

from hashlib import blake2b
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn._checks import SEEDS, check_count, shown
from fastnn.data.batches import batch_of
from fastnn.data.queried import Queried
from fastnn.databases.layout import BASE, BECAUSE
from fastnn.models import check_model

from .given import names_of, output_of
from .gradients import expected_gradients
from .shapley import exact_shapley, kernel_shap, permutation_shap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

METHODS: dict[str, Any] = {
    "permutation": permutation_shap,
    "kernel": kernel_shap,
    "exact": exact_shapley,
    "expected_gradients": expected_gradients,
}


def explain_sql(
    model: Any,
    sql: Any,
    con: Any,
    *,
    into: str,
    key: str,
    background: Any,
    method: Literal["permutation", "kernel", "exact", "expected_gradients"] = "permutation",
    output: Any = None,
    params: Any = None,
    null: float | None = None,
    mode: Literal["create", "replace", "upsert"] = "create",
    to: Any = None,
    version: str | int | None = None,
    random_state: int = 0,
    **options: Any,
) -> int:
    """Write Shapley values of the rows of a query into the table `into`, beside the prediction; gives how many rows.

    The table has key, prediction, base_value, because_<feature> for each feature, and model, model_version and
    predicted_at, as `predict_sql` has them: prediction = base_value + the sum of the others, but for chance with
    expected gradients. Of a model that reads columns, texts among them, a feature is a column, or those columns that
    its layers put together, "a x b".

    sql, con, into, key, params, null, mode, to, version: as in ``Model.predict_sql``; the query runs once, rows and
    explanations are gathered apart and written in one short transaction, and a run that is ended is gone on with by
    the next one of the same model and arguments. background: rows as ``predict`` takes them, some ten to a hundred, or
    a query of them on `con`, without the key; its columns, or a frame's, name features that the model has no names for.
    method, options: ``permutation_shap``, ``kernel_shap``, ``exact_shapley`` or ``expected_gradients``, which is by far
    the fastest and takes numbers alone, and what that takes. output: the unit that is explained, where the model has
    several. ValueError for a model of windows of rows, and for all that ``fastnn.data.write_predictions`` refuses.
    """
    from fastnn.data.predictions import write_predictions
    from fastnn.models.by_rows import by_rows, origin_of

    what = "explain_sql"
    check_model(what, model)
    if not model.built:
        raise RuntimeError(f"{what}: the model is not built yet; fit it, or give it an input_shape")
    if method not in METHODS:
        raise ValueError(f"{what}: method must be one of {', '.join(METHODS)}, got {shown(method)}")
    if method != "exact":
        options["random_state"] = check_count(f"{what}: random_state", random_state, 0, SEEDS)
    rows, origin, chosen = by_rows(model, what, "values"), origin_of(model, version), output_of(model, output, what)
    if chosen.names:
        raise ValueError(f"{what}: output must be one unit, got all of {', '.join(chosen.names)}; choose one of them")
    if any(len(tensor.row) > 1 for tensor in model.inputs) or rows.sequence is not None:
        raise ValueError(f"{what} takes models of flat rows; explain windows by the functions of fastnn.explain")
    if method == "expected_gradients" and model.description.front is not None:
        raise ValueError(f"{what}: expected_gradients takes models of numbers alone; take method='permutation'")
    if isinstance(background, str):
        asked = Queried(background, con, None, None, null, rows.names, rows.inputs, rows.columns)
        others = np.concatenate([x for _, x in asked.batches(1024)] or [np.empty((0, asked.width), np.float32)])
        background = np.empty(0, [(name, np.float32) for name in asked.reader.columns])  # for their names
    else:
        known = batch_of(background, None, None, model.description.reads())
        model.description.check_source(known, f"x of {what}: background")
        others = np.asarray(known.x, np.float32)
    if not len(others) or not np.isfinite(others).all():
        raise ValueError(f"{what}: background must have rows, and no NaN or infinity in them")
    labels = np.array(_features(model, background, others), object)
    features = list(dict.fromkeys(labels))

    def function(x: NDArray[np.float32]) -> NDArray[np.float64]:
        found = np.asarray(model.description.network.predict(x), np.float64)
        return found.reshape(len(x), -1)[:, chosen.start]

    def split(x: NDArray[np.float32]) -> Any:
        ends = np.cumsum([prod(tensor.row) for tensor in model.inputs])[:-1]
        return model.description.takes.pack(np.split(x, ends, axis=1))

    def explained(x: NDArray[np.float32]) -> NDArray[np.float64]:
        if method == "expected_gradients":
            found = expected_gradients(model, split(x), split(others), output=output, **options)
        else:
            found = METHODS[method](function, x, others, groups=labels, **options)
        each = np.concatenate(found.values, axis=1) if isinstance(found.values, list) else found.values
        values = [each[:, labels == feature].sum(axis=1) for feature in features]
        return np.stack([function(x), found.base_values, *values], axis=1)

    explained(others[:1])  # what is wrong with the options is said before a query runs
    marks = blake2b(repr((method, chosen, labels.tolist(), sorted(options.items()))).encode())
    marks.update(others.tobytes())
    return write_predictions(
        explained,  # type: ignore[arg-type]
        sql,
        con,
        into=into,
        key=key,
        kind="values",
        params=params,
        null=null,
        mode=mode,
        to=to,
        model=origin.name,
        version=origin.version,
        names=rows.names,
        inputs=rows.inputs,
        outputs=["prediction", BASE, *(BECAUSE + name for name in features)],
        columns=rows.columns,
        identity=None if origin.identity is None else origin.identity + marks.digest(),
    )


def _features(model: Any, background: Any, rows: NDArray[np.float32]) -> list[str]:
    """The feature of each number of the engine's rows."""
    front, names = model.description.front, model.input_names
    if front is not None:
        made: list[frozenset[str]] = [frozenset([name]) for name in front.names]
        for step in front.steps:
            made.append(frozenset[str]().union(*(made[number] for number in step.reads)))
        order = front.names.index
        parts: Sequence[str] = [" x ".join(sorted(made[number], key=order)) for number in front.parts]
        widths = [prod(front.shapes[number]) for number in front.parts]
        return [part for part, width in zip(parts, widths, strict=True) for _ in range(width)]
    if len(names) == 1:
        return list(names_of(model, background, [rows]))
    found = []
    for name, tensor in zip(names, model.inputs, strict=True):
        width = prod(tensor.row)
        found += [name if width == 1 else f"{name}_{unit}" for unit in range(width)]
    return found
