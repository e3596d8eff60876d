"""Known small architectures without weights, made as Keras's are: LeNet-5, ResNet-8 and 20, MobileNet, ...

Weights that somebody has trained are in ``fastnn.zoo``; larger networks come from Keras by ``exchange.from_keras``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.applications.images import LeNet5, MLPMixer, MobileNet, MobileNetTiny, ResNet8, ResNet20
    from fastnn.applications.series import TCN
    from fastnn.applications.tables import TabTransformer

__all__ = ["TCN", "LeNet5", "MLPMixer", "MobileNet", "MobileNetTiny", "ResNet8", "ResNet20", "TabTransformer"]

# Imported when first asked for.
__getattr__ = _names.later(
    __name__,
    {name: "images" for name in __all__ if name not in ("TCN", "TabTransformer")}
    | {"TCN": "series", "TabTransformer": "tables"},
    __all__,
)
_names.offer(globals())
