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
    from fastnn.layers.attention import *
    from fastnn.layers.augmentation import *
    from fastnn.layers.bidirectional import *
    from fastnn.layers.borders import *
    from fastnn.layers.cells import *
    from fastnn.layers.convolution import *
    from fastnn.layers.date_parts import *
    from fastnn.layers.discretization import *
    from fastnn.layers.einsum_dense import *
    from fastnn.layers.function import *
    from fastnn.layers.group_normalization import *
    from fastnn.layers.hashing import *
    from fastnn.layers.lookup import *
    from fastnn.layers.masking import *
    from fastnn.layers.multi_head_attention import *
    from fastnn.layers.pooling import *
    from fastnn.layers.recurrent import *
    from fastnn.layers.regularization import *
    from fastnn.layers.resizing import *
    from fastnn.layers.scaler import *
    from fastnn.layers.separable import *
    from fastnn.layers.spectral_normalization import *
    from fastnn.layers.text_vectorization import *
    from fastnn.layers.transposed import *
    from fastnn.layers.wrapper import *

# What few models have: `import fastnn` must stay short.
_LATER = {
    "ActivityRegularization": "regularization",
    "AdditiveAttention": "attention",
    "Attention": "attention",
    "AveragePooling1D": "pooling",
    "AveragePooling2D": "pooling",
    "AveragePooling3D": "pooling",
    "AvgPool1D": "pooling",
    "AvgPool2D": "pooling",
    "AvgPool3D": "pooling",
    "Bidirectional": "bidirectional",
    "CenterCrop": "resizing",
    "Conv1D": "convolution",
    "Conv1DTranspose": "transposed",
    "Conv2D": "convolution",
    "Conv2DTranspose": "transposed",
    "Conv3D": "convolution",
    "Conv3DTranspose": "transposed",
    "Convolution1D": "convolution",
    "Convolution1DTranspose": "transposed",
    "Convolution2D": "convolution",
    "Convolution2DTranspose": "transposed",
    "Convolution3D": "convolution",
    "Convolution3DTranspose": "transposed",
    "Cropping1D": "borders",
    "Cropping2D": "borders",
    "Cropping3D": "borders",
    "DateParts": "date_parts",
    "DepthwiseConv1D": "separable",
    "DepthwiseConv2D": "separable",
    "Discretization": "discretization",
    "EinsumDense": "einsum_dense",
    "GRU": "recurrent",
    "GRUCell": "cells",
    "GlobalAveragePooling1D": "pooling",
    "GlobalAveragePooling2D": "pooling",
    "GlobalAveragePooling3D": "pooling",
    "GlobalAvgPool1D": "pooling",
    "GlobalAvgPool2D": "pooling",
    "GlobalAvgPool3D": "pooling",
    "GlobalMaxPool1D": "pooling",
    "GlobalMaxPool2D": "pooling",
    "GlobalMaxPool3D": "pooling",
    "GlobalMaxPooling1D": "pooling",
    "GlobalMaxPooling2D": "pooling",
    "GlobalMaxPooling3D": "pooling",
    "GroupNormalization": "group_normalization",
    "GroupQueryAttention": "multi_head_attention",
    "HashedCrossing": "hashing",
    "Hashing": "hashing",
    "IntegerLookup": "lookup",
    "Lambda": "function",
    "LSTM": "recurrent",
    "LSTMCell": "cells",
    "Masking": "masking",
    "MaxPool1D": "pooling",
    "MaxPool2D": "pooling",
    "MaxPool3D": "pooling",
    "MaxPooling1D": "pooling",
    "MaxPooling2D": "pooling",
    "MaxPooling3D": "pooling",
    "MultiHeadAttention": "multi_head_attention",
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
    "SeparableConv1D": "separable",
    "SeparableConv2D": "separable",
    "SeparableConvolution1D": "separable",
    "SeparableConvolution2D": "separable",
    "RNN": "cells",
    "SimpleRNN": "recurrent",
    "SimpleRNNCell": "cells",
    "StackedRNNCells": "cells",
    "SpatialDropout1D": "regularization",
    "SpatialDropout2D": "regularization",
    "SpatialDropout3D": "regularization",
    "SpectralNormalization": "spectral_normalization",
    "StringLookup": "lookup",
    "TextVectorization": "text_vectorization",
    "UnitNormalization": "group_normalization",
    "UpSampling1D": "borders",
    "UpSampling2D": "borders",
    "UpSampling3D": "borders",
    "Wrapper": "wrapper",
    "ZeroPadding1D": "borders",
    "ZeroPadding2D": "borders",
    "ZeroPadding3D": "borders",
}
LAYERS.later(
    {
        each: f"{__name__}.{home}"
        for name, home in _LATER.items()
        for each in (name, re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower())
    }
)
__all__ = sorted([*_names.offer(globals()), *_LATER])
__getattr__ = _names.later(__name__, _LATER, __all__)
