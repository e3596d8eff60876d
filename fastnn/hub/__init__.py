"""Models on the Hugging Face Hub, and in folders as it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.hub.card import model_card
    from fastnn.hub.pretrained import from_pretrained, push_to_hub, save_pretrained

# Imported when first asked for. HubModel, which cannot be made without huggingface_hub, is not among what is offered.
_HOMES = {
    "HubModel": "mixin",
    "from_pretrained": "pretrained",
    "model_card": "card",
    "push_to_hub": "pretrained",
    "save_pretrained": "pretrained",
}
__all__ = ["from_pretrained", "model_card", "push_to_hub", "save_pretrained"]

__getattr__ = _names.later(__name__, _HOMES, __all__)
_names.offer(globals())
