"""A model as huggingface_hub's mixin has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastnn._checks import shown
from fastnn._version import __version__
from fastnn.models import check_model, load_model

from .card import model_card

try:
    from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
except ImportError as error:
    raise ImportError('fastnn.hub needs huggingface_hub: pip install "fastnn[hub]"') from error

__all__ = ["HubModel"]

FILE = "model.safetensors"  # which fastnn's files are, and the Hub shows the arrays of


class HubModel(ModelHubMixin):  # type: ignore[misc]
    """A model with huggingface_hub's methods ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    model: what is in it. card: what `model_card` is given, as license, metrics, notes. The files are README.md,
    config.json and model.safetensors.
    """

    def __init__(self, model: Any, card: Mapping[str, Any] | None = None) -> None:
        check_model("HubModel", model)
        self.model = model
        self.card = dict(card or {})
        self._hub_mixin_config = {"fastnn_version": __version__, "feature_names": [*model.feature_names]}

    def _save_pretrained(self, save_directory: Path) -> None:
        self.model.save(save_directory / FILE)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that `model_card` writes, not that of the mixin's template."""
        return ModelCard(model_card(self.model, **{**self.card, **kwargs}))

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        config: Any = None,
        custom_objects: Any = None,
        compile: bool = True,
        revision: str | None = None,
        cache_dir: Any = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: Any = None,
        **others: Any,
    ) -> HubModel:
        options = {"revision": revision, "cache_dir": cache_dir, "token": token}
        options |= {"force_download": force_download, "local_files_only": local_files_only}
        here = Path(model_id).is_dir()
        if config is None and not here:
            hf_hub_download(model_id, "config.json", **options)  # raises again what the mixin does not tell
        # Before a file of another library, of any size, is downloaded.
        if not isinstance(config, dict) or not isinstance(config.get("fastnn_version"), str):
            has = "no such file" if config is None else shown(config)
            raise ValueError(f"{model_id!r} is no fastnn model: config.json should say fastnn_version, got {has}")
        path = Path(model_id, FILE) if here else Path(hf_hub_download(model_id, FILE, **options))
        return cls(load_model(path, custom_objects, compile))
