"""How a model predicts the rows of a query: from columns, side by side, into columns."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._checks import shown
from fastnn._table import gathering

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastnn.data.several import Several


class ByRows(NamedTuple):
    """predict: float32 rows -> float32 (rows, units). names: of its columns, in their order, where they are known.

    inputs: of a model with a front or several inputs. kind, outputs, columns, sequence: as in ``write_predictions``.
    """

    predict: Callable[[Any], Any]
    names: Sequence[str]
    inputs: Several | None
    kind: str
    outputs: list[str]
    columns: dict[str, str]
    sequence: Sequence[Any] | None


def by_rows(model: Any, what: str, kind: Any = None) -> ByRows:
    """See ``ByRows``, of a model that is built. kind: None for that of the last activation."""
    description, tensors = model.description, model.outputs
    network, takes, gives = description.network, description.takes, description.gives
    fronted = description.front is not None  # its inputs are columns, by their names
    by_name = fronted or len(takes.names) > 1
    if by_name and not fronted and what.startswith("register"):
        raise ValueError(f"{what} takes a model of one input; make a Model of that part")
    several = len(gives.names) > 1
    if kind is None:
        binary = description.last_activation() == "sigmoid"
        kind = "values" if several else "classes" if network.units > 1 else "binary" if binary else "values"
    if several and not (isinstance(kind, str) and kind == "values"):
        raise ValueError(f'{what}: kind={shown(kind)} is of one output; say "values", or make a Model of that part')
    outputs = []
    for name, tensor in zip(gives.names, tensors, strict=True):
        start, units = f"prediction_{name}" if several else "prediction", prod(tensor.row)
        outputs += [f"{start}_{unit}" for unit in range(units)] if units > 1 else [start]
    inputs = description.reads() if by_name else None
    predict = network.predict if by_name or several else _shaped(model)
    kept = description.notes
    return ByRows(predict, description.columns, inputs, kind, outputs, kept.get("columns", {}), kept.get("sequence"))


class Origin(NamedTuple):
    """The name and version of a model that a table says; bytes that tell it from others, None where it has own code."""

    name: str
    version: str | int | None
    identity: bytes | None


def origin_of(model: Any, version: str | int | None) -> Origin:
    """Where what a model says is from. version: None for that of a registry, where it is as it was there."""
    from hashlib import sha256

    from fastnn.store.model_file import packed

    with gathering() as own, model.description.locked():
        data = packed(model)
    digest = None if own else sha256(data).hexdigest()  # code of the user's own may change
    name, known, registered = vars(model).get("_registered", (model.name, None, None))
    if digest != registered:  # it has learnt since, or is of no registry
        name, known = model.name, None
    return Origin(name, known if version is None else version, None if digest is None else digest.encode())


def _shaped(model: Any) -> Callable[[Any], Any]:
    """`predict` of a model of one input, for rows that lie flat."""
    row = model.description.graph.inputs[0].row
    if len(row) == 1:
        return model.predict  # type: ignore[no-any-return]
    return lambda x: model.predict(x.reshape(len(x), *row) if x.shape[1] == prod(row) else x)
