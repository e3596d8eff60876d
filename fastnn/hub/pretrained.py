"""Models to the Hub and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastnn import _names
from fastnn._checks import check_path, check_text

__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]


def save_pretrained(
    model: Any,
    save_directory: str | os.PathLike[str],
    *,
    repo_id: str | None = None,
    license: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    notes: str = "",
) -> None:
    """Write README.md, config.json and model.safetensors into a folder, as the Hub has them.

    A README.md that is there is kept. The rest: as in `model_card`. ImportError where huggingface_hub is missing.
    """
    from .mixin import HubModel

    folder = check_path("save_pretrained: save_directory", save_directory)
    card = {"repo_id": repo_id, "license": license, "metrics": metrics, "notes": notes}
    made = HubModel(model, card)
    made.generate_model_card()  # what is wrong with it is said before anything is written
    made.save_pretrained(folder)


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
    cache_dir, local_files_only, force_download, as huggingface_hub has them; with HF_HUB_OFFLINE=1 nothing is asked of
    the network. ValueError, in that package's words, where there is no such repository, revision or file, or it is no
    fastnn model; ImportError where huggingface_hub is missing.
    """
    from .mixin import HubModel

    where = check_path("from_pretrained: repo_id", repo_id)
    with refusals(f"from_pretrained: {where!r} cannot be loaded"):
        options |= {"custom_objects": custom_objects, "compile": compile, "revision": revision}
        return HubModel.from_pretrained(where, **options).model


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

    options: commit_message, private, token, branch, create_pr, as huggingface_hub has them. The rest: as in
    `model_card`. ValueError, in that package's words, where the Hub refuses; ImportError where the package is missing.
    """
    from .mixin import HubModel

    name = check_text("push_to_hub: repo_id", repo_id)
    made = HubModel(model, {"repo_id": name, "license": license, "metrics": metrics, "notes": notes})
    made.generate_model_card()
    with refusals(f"push_to_hub: {name!r} cannot be written"):
        return str(made.push_to_hub(name, **options))


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """What huggingface_hub and the network refuse, as a ValueError with their words."""
    try:
        yield
    except Exception as error:
        # The first of an option that it does not have, the second in words of our own.
        if type(error) in (TypeError, ValueError):
            raise
        raise ValueError(f"{what}: {' '.join(str(error).split())}") from error


_names.offer(globals())
