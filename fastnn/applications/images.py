"""Architectures for pictures: LeNet-5, the small residual networks, MobileNet, the MLP-Mixer."""

from __future__ import annotations

from typing import Any

from fastnn import _names, layers as L
from fastnn._checks import as_number, check_count, shown
from fastnn.applications._ends import ended, sizes
from fastnn.models import Model

__all__ = ["LeNet5", "MLPMixer", "MobileNet", "MobileNetTiny", "ResNet8", "ResNet20"]

AXES = ("height", "width", "channels")


def LeNet5(
    *,
    include_top: bool = True,
    weights: Any = None,
    input_shape: Any = (32, 32, 1),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "lenet5",
    activation: Any = "tanh",
) -> Model:
    """LeNet-5: two convolutions of 5 x 5 with pooling behind them, layers of 120 and 84 units. 61,706 weights.

    input_shape: (height, width, channels); smaller pictures than 32 x 32 get a border of zeros, as in the paper. The
    form that is usual today: C3 reads all six maps (2,416 weights; in the paper 1,516 for chosen maps), pooling has no
    weights (12 and 32), and ten units of 85 weights take the place of the fixed codes. The paper's count is
    61,706 - 900 + 44 - 850 = 60,000. include_top=False ends behind the second pooling.

    weights: None, or the path of a file that ``save_weights`` wrote; pooling: "avg" or "max", without include_top.
    Source: LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition, II B.
    ValueError for a shape or weights that it cannot have.
    """
    given = locals()
    height, width, _ = shape = sizes("LeNet5", input_shape, *AXES)
    x = y = L.Input(shape)
    if height < 32 or width < 32:
        gaps = (max(32 - height, 0), max(32 - width, 0))
        y = L.ZeroPadding2D([(gap // 2, gap - gap // 2) for gap in gaps])(y)
    for filters in (6, 16):
        y = L.AveragePooling2D(2)(L.Conv2D(filters, 5, activation=activation)(y))
    return ended("LeNet5", x, y, lambda y: _dense(L.Flatten()(y), (120, 84), activation), given)


def _dense(y: Any, units: tuple[int, ...], activation: Any) -> Any:
    for each in units:
        y = L.Dense(each, activation)(y)
    return y


def ResNet8(
    *,
    include_top: bool = True,
    weights: Any = None,
    input_shape: Any = (32, 32, 3),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "resnet8",
) -> Model:
    """ResNet-8: a residual block of two convolutions for 16, 32 and 64 filters each. 78,666 weights, 480 are moments.

    MLPerf Tiny's network for pictures: convolutions have biases, and one of 1 x 1 is the shortcut where filters become
    more. Arguments: see ``LeNet5``. Source: Banbury et al. 2021, MLPerf Tiny Benchmark, and its reference for image
    classification; He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition, 4.2.
    """
    given = locals()
    return _resnet("ResNet8", 1, True, given)


def ResNet20(
    *,
    include_top: bool = True,
    weights: Any = None,
    input_shape: Any = (32, 32, 3),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "resnet20",
) -> Model:
    """ResNet-20: three residual blocks of two convolutions for 16, 32 and 64 filters each. 269,722 weights learn.

    The paper says 0.27 M. ``count_params`` adds the moments of BatchNormalization, 1,376. Convolutions have no biases;
    where filters become more, the shortcut is every second pixel and zeros as the new channels (option A), which has no
    weights. Arguments: see ``LeNet5``. Source: He, Zhang, Ren and Sun 2016, Deep residual learning for image
    recognition, 4.2.
    """
    given = locals()
    return _resnet("ResNet20", 3, False, given)


def _resnet(who: str, blocks: int, projection: bool, given: dict[str, Any]) -> Model:
    """6 * blocks + 2 layers. projection: a convolution as the shortcut where filters become more, and biases."""

    def convolved(y: Any, filters: int, strides: int = 1) -> Any:
        y = L.Conv2D(filters, 3, strides, "same", use_bias=projection, kernel_initializer="he_normal")(y)
        return L.BatchNormalization()(y)

    x = L.Input(sizes(who, given["input_shape"], *AXES))
    y = L.ReLU()(convolved(x, 16))
    for filters in (16, 32, 64):
        for block in range(blocks):
            strides = 2 if filters > 16 and block == 0 else 1
            short = y
            if strides == 2 and projection:
                short = L.Conv2D(filters, 1, 2, "same", kernel_initializer="he_normal")(y)
            elif strides == 2:  # every second pixel, and zeros as the new channels
                short = L.MaxPooling2D(1, 2)(y)
                short = L.Concatenate()([short, L.Rescaling(0.0)(short)])
            y = convolved(L.ReLU()(convolved(y, filters, strides)), filters)
            y = L.ReLU()(L.Add()([short, y]))
    return ended(who, x, y, L.GlobalAveragePooling2D(), given)


def MobileNet(
    *,
    input_shape: Any = (224, 224, 3),
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 0.001,
    include_top: bool = True,
    weights: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "mobilenet",
) -> Model:
    """MobileNet: 13 convolutions of each channel by itself, with one of 1 x 1 behind each. 4,253,864 weights.

    Layers and weights are Keras's. alpha: the share of the filters, of which there are 1,024 * alpha at the end.
    depth_multiplier: filters of each channel. dropout: before the classes. input_shape: (height, width, channels), at
    least 32 x 32. Other arguments: see ``LeNet5``. Source: Howard et al. 2017, MobileNets, table 1.
    """
    given = locals()
    return _mobilenet("MobileNet", given, False)


def MobileNetTiny(
    *,
    input_shape: Any = (96, 96, 3),
    alpha: float = 0.25,
    include_top: bool = True,
    weights: Any = None,
    pooling: str | None = None,
    classes: int = 2,
    classifier_activation: Any = "softmax",
    name: str = "mobilenet_tiny",
) -> Model:
    """MobileNet of MLPerf Tiny, which sees whether there is a person. 221,794 weights, 5,472 of them moments.

    ``MobileNet`` with a quarter of the filters, and biases in the convolutions (2,736 weights), each with as much
    padding on all sides as it needs, and ReLU without a bound. Arguments: see there.
    Source: Banbury et al. 2021, MLPerf Tiny Benchmark, and its reference for visual wake words.
    """
    given = locals() | {"depth_multiplier": 1, "dropout": 0.0}
    return _mobilenet("MobileNetTiny", given, True)


def _mobilenet(who: str, given: dict[str, Any], tiny: bool) -> Model:
    def behind(y: Any, layer: Any) -> Any:
        return L.ReLU(None if tiny else 6.0)(L.BatchNormalization()(layer(y)))

    def filters(count: int) -> int:
        return check_count(f"{who}: {count} * alpha, filters,", int(count * alpha))

    alpha = as_number(f"{who}: alpha", given["alpha"])
    if not 0 < alpha < 64:
        raise ValueError(f"{who}: alpha must be a share of the filters, above 0, got {shown(given['alpha'])}")
    rate = given["dropout"]
    x = L.Input(sizes(who, given["input_shape"], *AXES, least=32))
    y = behind(x, L.Conv2D(filters(32), 3, 2, "same", use_bias=tiny))
    for count in (64, -128, 128, -256, 256, -512, *[512] * 5, -1024, 1024):  # below 0: half as many pixels
        strides, padding = (2 if count < 0 else 1), "same"
        if count < 0 and not tiny:
            y, padding = L.ZeroPadding2D(((0, 1), (0, 1)))(y), "valid"
        y = behind(y, L.DepthwiseConv2D(3, strides, padding, given["depth_multiplier"], use_bias=tiny))
        y = behind(y, L.Conv2D(filters(abs(count)), 1, use_bias=tiny))

    def top(y: Any) -> Any:
        y = L.GlobalAveragePooling2D()(y)
        return L.Dropout(rate)(y) if rate else y

    return ended(who, x, y, top, given)


def MLPMixer(
    *,
    include_top: bool = True,
    weights: Any = None,
    input_shape: Any = (32, 32, 3),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "mlp_mixer",
    patch_size: int = 4,
    num_blocks: int = 4,
    hidden_dim: int = 64,
    tokens_mlp_dim: int = 64,
    channels_mlp_dim: int = 256,
) -> Model:
    """The MLP-Mixer: Dense layers along the patches of a picture, then along the numbers of a patch, and again.

    The paper's Mixer-S/16, of 18 M weights (18,528,264), is ``MLPMixer(input_shape=(224, 224, 3), classes=1000,
    patch_size=16, num_blocks=8, hidden_dim=512, tokens_mlp_dim=256, channels_mlp_dim=2048)``; what the defaults are is
    for small pictures. Height and width must be multiples of patch_size. Other arguments: see ``LeNet5``.
    Source: Tolstikhin et al. 2021, MLP-Mixer, table 1 and appendix E.
    """
    given = locals()
    who = "MLPMixer"
    height, width, _ = shape = sizes(who, input_shape, *AXES)
    for what in ("patch_size", "num_blocks", "hidden_dim", "tokens_mlp_dim", "channels_mlp_dim"):
        check_count(f"{who}: {what}", given[what])
    if height % patch_size or width % patch_size:
        raise ValueError(f"{who}: height and width must be multiples of patch_size, {patch_size}, got {shape}")
    patches = height // patch_size * (width // patch_size)

    def mlp(y: Any, between: int, units: int) -> Any:
        return L.Dense(units)(L.Dense(between, "gelu")(y))

    x = L.Input(shape)
    y = L.Reshape((patches, hidden_dim))(L.Conv2D(hidden_dim, patch_size, patch_size)(x))
    for _ in range(num_blocks):
        mixed = mlp(L.Permute((2, 1))(L.LayerNormalization(epsilon=1e-6)(y)), tokens_mlp_dim, patches)
        y = L.Add()([y, L.Permute((2, 1))(mixed)])
        y = L.Add()([y, mlp(L.LayerNormalization(epsilon=1e-6)(y), channels_mlp_dim, hidden_dim)])
    return ended(who, x, L.LayerNormalization(epsilon=1e-6)(y), L.GlobalAveragePooling1D(), given)


_names.offer(globals())
