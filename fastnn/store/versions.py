"""The number of the file format, and what files of older numbers hold.

Every change of what a file may hold raises the number, once for all that lands together. All files that any version
has written can be read; tests/store/samples has some of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastnn.store.text import check_form

MODEL, WEIGHTS, BACKUP = "fastnn", "fastnn weights", "fastnn backup"
VERSION = 4
# Since 1: a chain of layers, units by class alone. 2: graphs; units by family and class; weights alone by name.
# 3: rows of any rank, so layers with axes; the names of the optimizer's vectors are listed.
# 4: the names of the columns that a model was fitted on; whether a gradient was huge; what a layer's call is given
# beside its tensors; several outputs as a tuple; the number of a layer or model that stands in several places.
# Backups since 1: a checkpoint's files by path. 2: by what its template was filled with.
VERSIONS = {MODEL: VERSION, WEIGHTS: VERSION, BACKUP: 2}
TEXTS = {MODEL: "model", BACKUP: "place"}  # under which name the JSON text of a file of that kind stands


def label(kind: str) -> str:
    """What stands in a file of this kind as its format."""
    return f"{kind} {VERSIONS[kind]}"


def version_of(metadata: Mapping[str, str], *kinds: str) -> tuple[str, int] | None:
    """The kind and the number of the format of a file of one of these kinds; None for other files."""
    found = re.fullmatch(r"(.{1,40}) ([1-9]\d{0,3})", metadata.get("format", ""))
    if found is None or found[1] not in kinds or int(found[2]) > VERSIONS[found[1]]:
        return None
    return found[1], int(found[2])


def refusal(name: str, what: str, metadata: Mapping[str, str], kind: str) -> ValueError:
    """The error for a file that is none of `kind`, or of a version to come."""
    came = metadata.get("format", "none")
    newer = re.fullmatch(rf"{kind} [1-9]\d{{0,3}}", came)
    hint = "; a newer version of fastnn wrote it" if newer and int(came.rpartition(" ")[2]) > VERSIONS[kind] else ""
    return ValueError(f"{name} is {what}: expected format {label(kind)!r} or older, got {came!r:.80}{hint}")


def renamed(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """A model's arrays by the names that this version has for them."""
    old, new = "optimizer/accumulated_gradient/", "optimizer/sum_of_gradients/"
    return {new + name.removeprefix(old) if name.startswith(old) else name: each for name, each in tensors.items()}


def upgraded(described: Any, version: int) -> Any:
    """A model's description as this version writes it, from one of another."""
    if version == 1:
        described = _as_graph(described)
    training = described.get("training") if version < 3 else None
    if training is not None:
        check_form(training, {})
        slots = training.get("slots")  # None: the optimizer's own
        if slots is not None:
            check_form(slots, [object])
            slots = ["sum_of_gradients" if slot == "accumulated_gradient" else slot for slot in slots]
        described = {**described, "training": {**training, "slots": slots}}
    return {"columns": [], **described}


def _as_graph(described: Any) -> Any:
    """A chain of layers, as version 1 had them, as the only model of a description."""
    check_form(
        described, {"layers": [{"class": str, "name": str}], "name": str, "seed": int, "input_shape": list | None}
    )
    if described.get("training") is not None:
        check_form(described["training"], {"loss": dict, "metrics": [object]})
    layers = described["layers"]
    automatic = [re.fullmatch(rf"{re.escape(each['class'])}(_\d+)?", each["name"]) is not None for each in layers]
    model = {
        "kind": "sequential",
        "name": described["name"],
        "automatic": False,
        "members": [["layer", number] for number in range(len(layers))],
        "input_shape": described["input_shape"],
    }
    training = described.get("training")
    if training is not None:
        training = {
            **training,
            "loss": {"family": "loss", **training["loss"]},
            "loss_weights": None,
            "metrics": [
                {"family": "metric", **each} if isinstance(each, dict) else each for each in training["metrics"]
            ],
            "weighted_metrics": None,
            "frozen": [],
        }
    return {
        "layers": [{**each, "automatic": made_up} for each, made_up in zip(layers, automatic, strict=True)],
        "models": [model],
        "seed": described["seed"],
        "training": training,
    }
