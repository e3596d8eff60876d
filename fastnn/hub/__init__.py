"""Models on the Hugging Face Hub, and in folders as it has them."""

from __future__ import annotations

from fastnn import _names
from fastnn.hub.models import from_pretrained, model_card, push_to_hub, save_pretrained

__all__ = ["from_pretrained", "model_card", "push_to_hub", "save_pretrained"]

_names.offer(globals())
