"""What a network is made of."""

import re
from typing import TYPE_CHECKING

from fastnn import _names
from fastnn.layers.activations import *
from fastnn.layers.arithmetic import *
from fastnn.layers.base import *
from fastnn.layers.category_encoding import *
from fastnn.layers.composite import *
from fastnn.layers.core import *
from fastnn.layers.embedding import *
from fastnn.layers.merging import *
from fastnn.layers.noise import *
from fastnn.layers.normalization import *
from fastnn.layers.operation import *
from fastnn.layers.prelu import *
from fastnn.layers.preprocessing import *
from fastnn.layers.reshaping import *
from fastnn.layers.surface import *
from fastnn.layers.time_distributed import *

if TYPE_CHECKING:
    from fastnn.layers.augmentation import *
    from fastnn.layers.date_parts import *
    from fastnn.layers.discretization import *
    from fastnn.layers.einsum_dense import *
    from fastnn.layers.function import *
    from fastnn.layers.group_normalization import *
    from fastnn.layers.hashing import *
    from fastnn.layers.lookup import *
    from fastnn.layers.regularization import *
    from fastnn.layers.resizing import *
    from fastnn.layers.scaler import *
    from fastnn.layers.spectral_normalization import *
    from fastnn.layers.text_vectorization import *
    from fastnn.layers.wrapper import *

# What few models have: `import fastnn` must stay short.
_LATER = {
    "ActivityRegularization": "regularization",
    "CenterCrop": "resizing",
    "DateParts": "date_parts",
    "Discretization": "discretization",
    "EinsumDense": "einsum_dense",
    "GroupNormalization": "group_normalization",
    "HashedCrossing": "hashing",
    "Hashing": "hashing",
    "IntegerLookup": "lookup",
    "Lambda": "function",
    "Pipeline": "wrapper",
    "RandomBrightness": "augmentation",
    "RandomContrast": "augmentation",
    "RandomCrop": "resizing",
    "RandomFlip": "augmentation",
    "RandomRotation": "augmentation",
    "RandomTranslation": "augmentation",
    "RandomZoom": "augmentation",
    "Resizing": "resizing",
    "Scaler": "scaler",
    "SpatialDropout1D": "regularization",
    "SpatialDropout2D": "regularization",
    "SpatialDropout3D": "regularization",
    "SpectralNormalization": "spectral_normalization",
    "StringLookup": "lookup",
    "TextVectorization": "text_vectorization",
    "UnitNormalization": "group_normalization",
    "Wrapper": "wrapper",
}
LAYERS.later(
    {
        each: f"{__name__}.{home}"
        for name, home in _LATER.items()
        for each in (name, re.sub(r"(?<!^)(?<!\d)(?=[A-Z])", "_", name).lower())
    }
)
__all__ = sorted([*_names.offer(globals()), *_LATER])
__getattr__ = _names.later(__name__, _LATER, __all__)
