"""Layers on pictures and series, in configurations that are worth a test: how one is made, the rows that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn.layers as L

LAST, FIRST = "channels_last", "channels_first"


def _same(cls: Any, *args: Any, **fields: Any) -> Callable[[], Any]:
    return lambda: cls(*args, **fields)


PICTURES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv1d": (_same(L.Conv1D, 4, 3, activation="tanh"), (7, 3)),
    "conv1d of one step": (_same(L.Conv1D, 3, 1), (1, 2)),
    "conv1d same": (_same(L.Conv1D, 5, 4, padding="same", use_bias=False), (6, 1)),
    "conv1d causal": (_same(L.Conv1D, 3, 3, padding="causal", dilation_rate=2), (6, 2)),
    "conv1d causal by strides": (_same(L.Conv1D, 17, 2, strides=3, padding="causal"), (8, 1)),
    "conv1d of more steps than it has": (_same(L.Conv1D, 3, 5, padding="same"), (2, 3)),
    "conv1d channels first": (_same(L.Conv1D, 3, 2, data_format=FIRST, activation="softmax"), (2, 5)),
    "conv2d": (_same(L.Conv2D, 4, 3), (5, 4, 2)),
    "conv2d of one pixel": (_same(L.Conv2D, 5, 1, activation="relu"), (1, 1, 3)),
    "conv2d of all pixels": (_same(L.Conv2D, 5, (3, 2)), (3, 2, 2)),
    "conv2d of one filter": (_same(L.Conv2D, 1, 2, activation="tanh"), (3, 4, 1)),
    "conv2d of many filters": (_same(L.Conv2D, 34, 2), (3, 3, 1)),
    "conv2d of many channels": (_same(L.Conv2D, 2, 2), (2, 3, 17)),
    "conv2d by strides": (_same(L.Conv2D, 3, 2, strides=(3, 2)), (6, 5, 2)),
    "conv2d same by strides": (_same(L.Conv2D, 3, (3, 2), strides=2, padding="same"), (6, 5, 2)),
    "conv2d dilated": (_same(L.Conv2D, 3, 2, dilation_rate=(1, 2)), (4, 5, 2)),
    "conv2d dilated same": (_same(L.Conv2D, 3, (2, 3), dilation_rate=2, padding="same"), (3, 4, 2)),
    "conv2d of groups": (_same(L.Conv2D, 6, 2, groups=2, strides=2), (5, 4, 4)),
    "conv2d of a group each": (_same(L.Conv2D, 6, 2, groups=3), (3, 3, 3)),
    "conv2d softmax": (_same(L.Conv2D, 3, 2, activation="softmax"), (3, 4, 2)),
    "conv2d channels first": (_same(L.Conv2D, 3, 2, data_format=FIRST, padding="same"), (2, 3, 4)),
    "conv2d of strides alone": (_same(L.Conv2D, 3, 1, strides=2), (3, 4, 2)),
    "conv3d": (_same(L.Conv3D, 3, 2, activation="tanh"), (2, 3, 3, 2)),
    "conv3d same": (_same(L.Conv3D, 2, (1, 3, 2), strides=(1, 2, 1), padding="same"), (2, 3, 3, 2)),
    "depthwise 1": (_same(L.DepthwiseConv1D, 3, depth_multiplier=2, activation="tanh"), (5, 3)),
    "depthwise 1 same": (_same(L.DepthwiseConv1D, 2, 2, "same", use_bias=False), (5, 17)),
    "depthwise 2": (_same(L.DepthwiseConv2D, (2, 3), padding="same"), (3, 4, 2)),
    "depthwise 2 by unequal strides": (_same(L.DepthwiseConv2D, 2, (1, 2), data_format=FIRST), (3, 3, 4)),
    "depthwise 2 by strides, dilated": (_same(L.DepthwiseConv2D, 2, 2, dilation_rate=2), (5, 5, 1)),
    "separable 1": (_same(L.SeparableConv1D, 4, 3, depth_multiplier=2), (5, 2)),
    "separable 2": (_same(L.SeparableConv2D, 3, 2, padding="same", activation="tanh"), (3, 3, 2)),
    "separable 2 channels first": (_same(L.SeparableConv2D, 3, 2, 2, data_format=FIRST, use_bias=False), (2, 4, 3)),
    "transposed 1": (_same(L.Conv1DTranspose, 4, 3, 2, activation="tanh"), (4, 3)),
    "transposed 1 same": (_same(L.Conv1DTranspose, 17, 3, 2, "same"), (4, 1)),
    "transposed 1 of a long stride": (_same(L.Conv1DTranspose, 2, 2, 3, use_bias=False), (3, 2)),
    "transposed 1 to one step": (_same(L.Conv1DTranspose, 1, 1), (1, 2)),
    "transposed 1 with more behind": (_same(L.Conv1DTranspose, 2, 4, 3, "same", 2), (3, 2)),
    "transposed 2": (_same(L.Conv2DTranspose, 3, (3, 2), (1, 2)), (2, 3, 2)),
    "transposed 2 same": (_same(L.Conv2DTranspose, 3, 3, 2, "same"), (2, 3, 2)),
    "transposed 2 dilated": (_same(L.Conv2DTranspose, 2, 2, dilation_rate=2, activation="softmax"), (2, 3, 2)),
    "transposed 2 channels first": (_same(L.Conv2DTranspose, 3, 2, 2, "same", data_format=FIRST), (2, 3, 2)),
    "transposed 3": (_same(L.Conv3DTranspose, 2, 2, (1, 2, 1)), (2, 2, 2, 1)),
    "max pooling 1": (_same(L.MaxPooling1D), (7, 3)),
    "max pooling 1 same": (_same(L.MaxPooling1D, 3, 2, "same"), (6, 1)),
    "max pooling 2": (_same(L.MaxPooling2D), (5, 4, 2)),
    "max pooling 2 that overlaps": (_same(L.MaxPooling2D, 3, (1, 2)), (5, 5, 2)),
    "max pooling 2 channels first": (_same(L.MaxPooling2D, 2, data_format=FIRST), (3, 4, 5)),
    "max pooling 3": (_same(L.MaxPooling3D, (1, 2, 2)), (2, 4, 4, 1)),
    "average pooling 1 same": (_same(L.AveragePooling1D, 3, 1, "same"), (5, 2)),
    "average pooling 2": (_same(L.AveragePooling2D, (2, 3)), (5, 7, 2)),
    "average pooling 2 same": (_same(L.AveragePooling2D, 3, (2, 1), "same"), (4, 5, 17)),
    "average pooling 3": (_same(L.AveragePooling3D, 2), (2, 4, 3, 2)),
    "global max pooling 1": (_same(L.GlobalMaxPooling1D), (5, 3)),
    "global max pooling 2": (_same(L.GlobalMaxPooling2D, keepdims=True), (3, 4, 2)),
    "global max pooling 3": (_same(L.GlobalMaxPooling3D, FIRST), (2, 2, 3, 2)),
    "global average pooling 1": (_same(L.GlobalAveragePooling1D, keepdims=True), (5, 3)),
    "global average pooling 2": (_same(L.GlobalAveragePooling2D, FIRST, keepdims=True), (3, 4, 2)),
    "global average pooling 3": (_same(L.GlobalAveragePooling3D), (2, 2, 3, 2)),
    "zero padding 1": (_same(L.ZeroPadding1D, (2, 1)), (3, 2)),
    "zero padding 2": (_same(L.ZeroPadding2D, ((1, 0), (0, 2))), (2, 3, 2)),
    "zero padding 2 channels first": (_same(L.ZeroPadding2D, (1, 2), FIRST), (2, 3, 2)),
    "zero padding 3": (_same(L.ZeroPadding3D, (0, 1, 2)), (2, 1, 2, 2)),
    "cropping 1": (_same(L.Cropping1D, (0, 2)), (5, 2)),
    "cropping 2": (_same(L.Cropping2D, ((1, 0), (2, 1))), (3, 5, 2)),
    "cropping 3": (_same(L.Cropping3D, (0, 1, 1), FIRST), (2, 2, 3, 4)),
    "up sampling 1": (_same(L.UpSampling1D, 3), (4, 2)),
    "up sampling 2": (_same(L.UpSampling2D, (2, 3)), (2, 3, 2)),
    "up sampling 2 bilinear": (_same(L.UpSampling2D, (2, 3), interpolation="bilinear"), (2, 3, 2)),
    "up sampling 2 bilinear channels first": (_same(L.UpSampling2D, 2, FIRST, "bilinear"), (2, 3, 4)),
    "up sampling 3": (_same(L.UpSampling3D, 2, FIRST), (2, 2, 1, 2)),
    "rotation": (_same(L.RandomRotation, (0.1, 0.1)), (4, 3, 2)),
    "rotation to the nearest": (_same(L.RandomRotation, (-0.3, -0.3), "wrap", "nearest"), (4, 3, 2)),
    "rotation channels first": (_same(L.RandomRotation, (0.2, 0.2), "constant", data_format=FIRST), (2, 3, 5)),
    "zoom": (_same(L.RandomZoom, (-0.2, -0.2), (0.3, 0.3)), (5, 4, 1)),
    "zoom out": (_same(L.RandomZoom, (0.5, 0.5), fill_mode="nearest"), (3, 3, 2)),
    "translation": (_same(L.RandomTranslation, (0.3, 0.3), (-0.4, -0.4), "constant", fill_value=2.0), (3, 4, 2)),
    "contrast of nothing": (_same(L.RandomContrast, 0, (-0.5, 1)), (3, 4, 2)),
    "brightness": (_same(L.RandomBrightness, (0.2, 0.2), (-1, 1), data_format=FIRST), (2, 3, 4)),
    "resizing": (_same(L.Resizing, 5, 2), (3, 4, 2)),
    "resizing to the nearest": (_same(L.Resizing, 2, 5, "nearest"), (3, 4, 1)),
    "resizing of a part": (_same(L.Resizing, 2, 4, crop_to_aspect_ratio=True, data_format=FIRST), (2, 5, 5)),
    "center crop": (_same(L.CenterCrop, 2, 3), (5, 4, 2)),
    "center crop of less": (_same(L.CenterCrop, 4, 3), (3, 5, 2)),
    "random crop of less": (_same(L.RandomCrop, 4, 3), (3, 5, 2)),
}


# Layers that change pictures by chance while training, which test_augmentation.py meets.
CHANGED: dict[str, Callable[..., Any]] = {
    "flip": lambda **fields: L.RandomFlip(**fields),
    "flip across": lambda **fields: L.RandomFlip("vertical", **fields),
    "rotation": lambda **fields: L.RandomRotation(0.2, **fields),
    "rotation of a range": lambda **fields: L.RandomRotation((0.1, 0.3), "wrap", "nearest", **fields),
    "zoom": lambda **fields: L.RandomZoom(0.3, **fields),
    "zoom each way": lambda **fields: L.RandomZoom((-0.3, 0.1), 0.2, "nearest", **fields),
    "translation": lambda **fields: L.RandomTranslation(0.3, 0.2, "constant", fill_value=3.0, **fields),
    "contrast": lambda **fields: L.RandomContrast((0.2, 0.6), (-1.5, 1.5), **fields),
    "brightness": lambda **fields: L.RandomBrightness(0.3, (-2, 2), **fields),
}
