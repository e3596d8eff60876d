"""What a model's page says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastnn import _names
from fastnn._checks import check_text, shown
from fastnn._version import __version__
from fastnn.models import check_model

__all__ = ["model_card"]

# What the Hub calls a task, by the axes of a row and whether classes are told apart.
TASKS = {
    (1, True): "tabular-classification",
    (1, False): "tabular-regression",
    (3, True): "image-classification",
}


def model_card(
    model: Any,
    *,
    repo_id: str | None = None,
    license: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    notes: str = "",
) -> str:
    """The text of README.md: what the model reads and gives, its layers, its metrics, how it is loaded.

    repo_id: where it will be, "owner/name". license: as the Hub names it, "mit". metrics: numbers by name, on rows that
    the model was not trained on. notes: what a reader should know, as Markdown: data, purpose, limits. Of what a model
    remembers of its training, such as a query, nothing is written.
    """
    check_model("model_card", model)
    check_text("model_card: notes", notes)
    if not model.built:
        raise RuntimeError(f"model_card: model {model.name!r} is not built yet; build or fit it first")
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"model_card: metrics must be a dict of names and numbers, got {shown(metrics)}")
    head = {"library_name": "fastnn", "license": license, "pipeline_tag": _task(model)}
    yaml = [f"{name}: {_quoted(name, each)}" for name, each in head.items() if each is not None]
    return "\n".join(["---", *yaml, "tags: [fastnn]", "---", "", *_body(model, repo_id, metrics, notes), ""])


def _body(model: Any, repo_id: str | None, metrics: Mapping[str, Any] | None, notes: str) -> Iterator[str]:
    where = "a folder or owner/name" if repo_id is None else check_text("model_card: repo_id", repo_id)
    yield f"# {_plain(model.name if repo_id is None else repo_id)}\n"
    yield "A neural network of fastnn, which runs small networks on ordinary CPUs and needs nothing but NumPy.\n"
    if notes:
        yield f"{notes.strip()}\n"
    yield "## Use\n"
    yield '```sh\npip install "fastnn[hub]"\n```\n'
    yield f"```python\nimport fastnn\n\nmodel = fastnn.hub.from_pretrained({json.dumps(where)})"
    yield "model.predict(rows)\n```\n"
    names = ", ".join(_plain(name) for name in model.feature_names)
    shapes = [tensor.row for tensor in model.description.graph.inputs]
    reads = names or f"rows of shape {' and '.join(map(str, shapes))}"
    gives = " and ".join(map(str, model.description.output_shapes()))
    yield f"It reads {reads}, and gives rows of shape {gives}. The file holds data alone; nothing in it is run.\n"
    if metrics:
        yield "## Metrics\n\n| metric | value |\n|---|---|"
        yield from (f"| {_plain(name)} | {_plain(_short(each))} |" for name, each in metrics.items())
        yield ""
    yield f"## Layers\n\n{model.count_params():,} parameters; saved by fastnn {__version__}.\n"
    yield "| layer | kind |\n|---|---|"
    for member, name in zip(model.description.members, model.description.names, strict=True):
        yield f"| {_plain(name)} | {type(member).__name__} |"


def _task(model: Any) -> str | None:
    description = model.description
    rows = [tensor.row for tensor in description.graph.inputs]
    if len(description.output_shapes()) != 1 or len({len(row) for row in rows}) != 1:
        return None
    return TASKS.get((len(rows[0]) or 1, description.ending(0) in ("softmax", "sigmoid")))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text: Any) -> str:
    """A name as one cell or heading of Markdown: no markup, no line end."""
    return re.sub(r"([\\`*_|<>\[\]#])", r"\\\1", " ".join(str(text).split()))


def _quoted(name: str, text: Any) -> str:
    """A word of YAML; ValueError for what is none."""
    if not isinstance(text, str) or not re.fullmatch(r"[\w.+-]+", text):
        raise ValueError(f"model_card: {name} must be a word such as 'mit', got {shown(text)}")
    return text


_names.offer(globals())
