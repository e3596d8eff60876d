"""Models on the Hugging Face Hub, and in folders as it has them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastnn import _names
from fastnn._checks import check_path, check_text, shown
from fastnn._version import __version__
from fastnn.models import check_model, load_model

__all__ = ["from_pretrained", "model_card", "push_to_hub", "save_pretrained"]

FILE = "model.safetensors"  # which fastnn's files are, and the Hub shows the arrays of
# What the Hub calls a task, by the axes of a row and whether classes are told apart.
TASKS = {
    (1, True): "tabular-classification",
    (1, False): "tabular-regression",
    (3, True): "image-classification",
}


def save_pretrained(model: Any, save_directory: str | os.PathLike[str], **card: Any) -> None:
    """Write README.md, config.json and model.safetensors into a folder, as the Hub has them.

    card: what `model_card` takes; a README.md that is there is kept. ImportError where huggingface_hub is missing.
    """
    folder = check_path("save_pretrained: save_directory", save_directory)
    hub_model()(model, card).save_pretrained(folder)


def from_pretrained(
    repo_id: str | os.PathLike[str],
    *,
    revision: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    **options: Any,
) -> Any:
    """The model of a repository "owner/name" of the Hub, or of a folder; no code from there is run.

    revision: a branch, tag or commit. custom_objects, compile: as in ``fastnn.models.load_model``. options: token,
    cache_dir, local_files_only, force_download, as huggingface_hub has them, which also heeds HF_HUB_OFFLINE=1.
    ValueError, in that package's words, where there is no such repository, revision or file, or it is no fastnn model.
    """
    where = check_path("from_pretrained: repo_id", repo_id)
    made = hub_model()
    with refusals(f"from_pretrained: {where!r} cannot be loaded"):
        options |= {"custom_objects": custom_objects, "compile": compile, "revision": revision}
        return made.from_pretrained(where, **options).model


def push_to_hub(
    model: Any,
    repo_id: str,
    *,
    license: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    notes: str = "",
    **options: Any,
) -> str:
    """Upload a model to a repository "owner/name", which is made if it is not there; gives the commit's URL.

    license, metrics, notes: as in `model_card`. options: commit_message, private, token, branch, create_pr, as
    huggingface_hub has them. ValueError, in that package's words, where the Hub refuses.
    """
    name = check_text("push_to_hub: repo_id", repo_id)
    made = hub_model()(model, {"repo_id": name, "license": license, "metrics": metrics, "notes": notes})
    with refusals(f"push_to_hub: {name!r} cannot be written"):
        return str(made.push_to_hub(name, **options))


def model_card(
    model: Any,
    *,
    repo_id: str | None = None,
    license: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    notes: str = "",
) -> str:
    """The text of README.md: what the model reads and gives, its layers, its metrics, how it is loaded.

    repo_id: where it will be, "owner/name". license: as the Hub names it, "mit". metrics: numbers by name. notes:
    Markdown: data, purpose, limits. Of what a model remembers of its training, such as a query, nothing is written.
    """
    check_model("model_card", model)
    if not model.built:
        raise RuntimeError(f"model_card: model {model.name!r} is not built yet; build or fit it first")
    if license is not None and not (isinstance(license, str) and re.fullmatch(r"[\w.+-]+", license)):
        raise ValueError(f"model_card: license must be a word such as 'mit', got {shown(license)}")
    if not isinstance(metrics or {}, Mapping):
        raise TypeError(f"model_card: metrics must be a dict of names and numbers, got {shown(metrics)}")
    where = check_text("model_card: repo_id", repo_id or "a folder or owner/name")
    notes = check_text("model_card: notes", notes).strip()
    inside = model.description
    rows, gives = [tensor.row for tensor in inside.graph.inputs], inside.output_shapes()
    axes = {len(row) or 1 for row in rows}
    task = TASKS.get((axes.pop(), inside.ending(0) in ("softmax", "sigmoid"))) if len(axes) == len(gives) == 1 else None
    reads = ", ".join(map(_plain, model.feature_names)) or f"rows of shape {' and '.join(map(str, rows))}"
    head = {"library_name": "fastnn", "license": license, "pipeline_tag": task, "tags": "[fastnn]"}
    measured = [(name, f"{each:.4g}" if isinstance(each, float) else each) for name, each in (metrics or {}).items()]
    layers = [(name, type(each).__name__) for each, name in zip(inside.members, inside.names, strict=True)]
    parts = [
        "\n".join(["---", *(f"{name}: {each}" for name, each in head.items() if each), "---"]),
        f"# {_plain(repo_id or model.name)}",
        "A neural network of fastnn, which runs small networks on ordinary CPUs and needs nothing but NumPy.",
        notes,
        '```python\nimport fastnn  # pip install "fastnn[hub]"\n\n'
        f"model = fastnn.hub.from_pretrained({json.dumps(where)})\nmodel.predict(rows)\n```",
        f"It reads {reads}, and gives rows of shape {' and '.join(map(str, gives))}. Nothing in the file is run.",
        _table(("metric", "value"), measured),
        f"{model.count_params():,} parameters; saved by fastnn {__version__}.",
        _table(("layer", "kind"), layers),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(head: tuple[str, str], rows: list[tuple[Any, Any]]) -> str:
    lines = [head, ("---", "---"), *rows] if rows else []
    return "\n".join(f"| {_plain(name)} | {_plain(each)} |" for name, each in lines)


def _plain(text: Any) -> str:
    """A name as one cell or heading of Markdown: no markup, no line end."""
    return re.sub(r"([\\`*_|<>\[\]#])", r"\\\1", " ".join(str(text).split()))


@cache
def hub_model() -> Any:
    """The class HubModel, which cannot be made without huggingface_hub; ImportError, with the command."""
    try:
        from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
    except ImportError as error:
        raise ImportError('fastnn.hub needs huggingface_hub: pip install "fastnn[hub]"') from error

    class HubModel(ModelHubMixin):  # type: ignore[misc]
        """A fastnn model with huggingface_hub's methods; `card` is what its card is given."""

        def __init__(self, model: Any, card: Mapping[str, Any] | None = None) -> None:
            self.model, self.card = model, dict(card or {})
            self.generate_model_card()  # what is wrong with it is said before anything is written
            self._hub_mixin_config = {"fastnn_version": __version__, "feature_names": [*model.feature_names]}

        def _save_pretrained(self, save_directory: Path) -> None:
            self.model.save(save_directory / FILE)

        def generate_model_card(self, *args: Any, **kwargs: Any) -> Any:
            return ModelCard(model_card(self.model, **{**self.card, **kwargs}))  # not that of the mixin's template

        @classmethod
        def _from_pretrained(
            cls, *, model_id: str, config: Any = None, custom_objects: Any = None, compile: bool = True, **given: Any
        ) -> HubModel:
            names = ("revision", "cache_dir", "token", "force_download", "local_files_only")
            options = {name: given.get(name) for name in names}
            here = Path(model_id).is_dir()
            if config is None and not here:
                hf_hub_download(model_id, "config.json", **options)  # raises again what the mixin does not tell
            # Before a file of another library, of any size, is downloaded.
            if not isinstance(config, dict) or not isinstance(config.get("fastnn_version"), str):
                has = "no such file" if config is None else shown(config)
                raise ValueError(f"{model_id!r} is no fastnn model: config.json should say fastnn_version, got {has}")
            path = Path(model_id, FILE) if here else Path(hf_hub_download(model_id, FILE, **options))
            return cls(load_model(path, custom_objects, compile))

    return HubModel


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """What huggingface_hub and the network refuse, as a ValueError with their words."""
    try:
        yield
    except Exception as error:
        if type(error) in (TypeError, ValueError):  # in words of our own
            raise
        raise ValueError(f"{what}: {' '.join(str(error).split())}") from error


_names.offer(globals())
