"""Modules of PyTorch as models: the same predictions, whatever the module is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.exchange import from_torch
from fastnn.models import load_model

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


def compared(module: Any, *shapes: tuple[int, ...], ids: int = 0, infer: bool = False) -> Any:
    """The model of a module, which gives what that gives for rows of these shapes."""
    torch.manual_seed(0)
    for each in module.modules():
        if getattr(each, "running_mean", None) is not None:
            each.running_mean.normal_()
            each.running_var.uniform_(0.5, 2)
    module.eval()
    xs = [torch.randint(0, ids, (5, *shape)) if ids else torch.randn(5, *shape) for shape in shapes]
    steps_first = {getattr(each, "batch_first", None) for each in module.modules()} - {None} == {False}
    with torch.no_grad():
        y = module(*(x.transpose(0, 1) if steps_first else x for x in xs))
    y = y[0] if isinstance(y, tuple) else y
    y = y.transpose(0, 1) if steps_first and y.ndim > 2 else y
    model = from_torch(module, None if infer else list(shapes) if len(shapes) > 1 else shapes[0])
    arrays = [x.numpy().astype(np.float32) for x in xs]
    given = model.predict(arrays if len(xs) > 1 else arrays[0], verbose=0)
    assert given.shape == tuple(y.shape)
    np.testing.assert_allclose(given, y.numpy(), rtol=0, atol=1e-5)
    return model


ACTIVATIONS = [
    *(nn.ReLU(), nn.ReLU6(), nn.ELU(0.7), nn.SELU(), nn.CELU(0.6), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish()),
    *(nn.Softplus(), nn.Softsign(), nn.Tanh(), nn.Tanhshrink(), nn.Sigmoid(), nn.LogSigmoid(), nn.Hardtanh()),
    *(nn.Hardsigmoid(), nn.Hardswish(), nn.Hardshrink(0.3), nn.Softshrink(0.3), nn.Threshold(0.2, -3.0)),
    *(nn.LeakyReLU(0.05), nn.Softmax(1), nn.Softmax(-1), nn.LogSoftmax(1), nn.PReLU(), nn.PReLU(6), nn.GLU()),
]


@pytest.mark.parametrize("unit", ACTIVATIONS, ids=repr)
def test_activation(unit: Any) -> None:
    compared(nn.Sequential(nn.Linear(4, 6), unit, nn.Identity()), (4,))
    compared(nn.Sequential(unit, nn.Flatten()), (6,))
    compared(unit, (6, 5, 4))  # of pictures the channels come behind the rows


CHAINS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "dense": (lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.LayerNorm(8)), (4,)),
    "no bias": (lambda: nn.Sequential(nn.Linear(4, 8, bias=False), nn.LayerNorm(8, elementwise_affine=False)), (4,)),
    "rms": (lambda: nn.Sequential(nn.RMSNorm(4), nn.RMSNorm((5, 4), 1e-3)), (5, 4)),
    "lines": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm((5, 6))), (5, 4)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(),
            nn.Conv2d(8, 4, 3, 2, 1, groups=2), nn.Tanh(), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(16, 3),
        ),
        (3, 16, 16),
    ),
    "pictures without an end": (lambda: nn.Sequential(nn.Conv2d(2, 3, (2, 3), (1, 2)), nn.PReLU(3)), (2, 5, 7)),
    "same": (lambda: nn.Conv2d(2, 3, 3, padding="same", dilation=2), (2, 6, 6)),
    "conv1d": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 4, dilation=2), nn.AvgPool1d(3, 2, 1), nn.ConvTranspose1d(8, 5, 4, 3, 1, 2),
            nn.GroupNorm(5, 5), nn.PReLU(5), nn.InstanceNorm1d(5, affine=True), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        ),
        (3, 17),
    ),
    "conv3d": (
        lambda: nn.Sequential(nn.Conv3d(2, 3, 2), nn.MaxPool3d(2), nn.BatchNorm3d(3), nn.ConvTranspose3d(3, 2, 3, 2)),
        (2, 5, 6, 7),
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 2, (3, 2), (2, 3), (1, 0), (1, 2)), nn.Upsample(scale_factor=2),
            nn.ZeroPad2d((1, 2, 3, 4)), nn.AdaptiveMaxPool2d(1),
        ),
        (3, 5, 6),
    ),
    "bilinear": (lambda: nn.Upsample(scale_factor=(2, 3), mode="bilinear"), (2, 3, 4)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((2, None)), (2, 4, 3)),
    "unflatten": (lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten(2), nn.Linear(3, 2)), (6,)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
    "encoder of two": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.LayerNorm(8)),
        (5, 8),
    ),
    "norm first": (lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, activation="gelu"), (5, 8)),
    "names": (lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 2)), (3,)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", CHAINS)
def test_modules_one_after_the_other(name: str) -> None:
    make, shape = CHAINS[name]
    compared(make(), shape)


@pytest.mark.parametrize("first", [True, False], ids=["rows first", "steps first"])
@pytest.mark.parametrize("both", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent(kind: str, both: bool, first: bool) -> None:
    compared(getattr(nn, kind)(3, 4, 2, batch_first=first, bidirectional=both), (5, 3))
    compared(getattr(nn, kind)(3, 4, bias=False, batch_first=first), (5, 3))


def test_a_relu_rnn() -> None:
    compared(nn.RNN(3, 4, nonlinearity="relu", batch_first=True), (5, 3))


class Sentences(nn.Module):
    def __init__(self, first: bool) -> None:
        super().__init__()
        self.words, self.steps = nn.Embedding(11, 6), nn.LSTM(6, 5, 2, batch_first=first, bidirectional=True)
        self.ends = nn.Linear(20, 3)

    def forward(self, x: Any) -> Any:
        given, (h, c) = self.steps(self.words(x))
        last = given[:, -1] if self.steps.batch_first else given[-1]
        return F.log_softmax(self.ends(torch.cat((h[-2], c[-1], last), 1)), dim=1)


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.skip = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5), nn.Conv2d(6, 6, 1)
        self.f1, self.f2 = nn.Linear(400, 20), nn.Linear(20, 10)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(torch.relu(self.c2(x + self.skip(x) / 2)), (2, 2))
        x = x.view(x.size(0), -1)
        return self.f2(F.dropout(self.f1(x).relu(), 0.5, self.training))


class Attended(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads, self.end = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True), nn.Linear(8, 4)
        self.register_buffer("places", torch.randn(1, 3, 8))

    def forward(self, q: Any, k: Any) -> Any:
        given, _ = self.heads(q + self.places, k, k, need_weights=False)
        return self.end((given * 2 - q).mean(1)).unsqueeze(1).squeeze(1)


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        x = self.shared(torch.tanh(self.shared(x)))
        x = x.permute(0, 2, 1).reshape(x.shape[0], 4, 3).transpose(1, 2)
        return torch.flatten(x[:, 1:, None, :2].abs().exp(), 1) + x.amax((1, 2), keepdim=True).squeeze(2)


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        rows, steps, width = x.shape
        q, k, v = (part(x) for part in (self.q, self.k, self.v))
        seen = torch.softmax(q @ k.transpose(-2, -1) / 2, dim=-1)
        return torch.bmm(seen, v).view(rows, steps, 2, width // 2).flatten(2)


def test_forwards_of_their_own() -> None:
    compared(ByHand(), (5, 8))
    model = compared(LeNet(), (1, 28, 28))
    assert {"c1", "f2", "skip"} <= {layer.name for layer in model.layers}
    compared(Sentences(True), (7,), ids=11)
    compared(Sentences(False), (7,), ids=11)
    compared(Attended(), (3, 8), (4, 6))
    model = compared(Turned(), (3, 4))
    assert sum(type(layer).__name__ == "Dense" for layer in model.layers) == 1  # one layer, called twice
    compared(nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), (4,), infer=True)


class TurnedRound(nn.Module):
    """Rows come first, and are turned round for modules that have the steps first."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.next = nn.GRU(3, 4), nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        given, h = self.steps(x.permute(1, 0, 2))
        return self.next(given.transpose(0, 1))[0] + h[-1].unsqueeze(1)


def test_the_order_of_rows_and_steps_is_followed() -> None:
    compared(TurnedRound(), (6, 3))


def test_an_activation_becomes_the_layers_own() -> None:
    model = from_torch(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(1)))
    assert [layer.activation.table_name for layer in model.layers[1:]] == ["relu", "softmax"]


def test_what_does_not_learn_and_momentum() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=0.2))
    module[0].requires_grad_(False)
    model = from_torch(module)
    assert not model.layers[1].trainable
    assert model.layers[2].momentum == pytest.approx(0.8)
    before = module[0].weight.detach().clone()
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    assert torch.equal(before, module[0].weight)  # a copy


class Loops(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


class Loose(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x: Any) -> Any:
        return x * self.w


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.LSTM(3, 3), nn.LSTM(3, 3, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x)[0])[0]


class Rows(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean(0)


class Odd(nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.fft.fft(x)


REFUSED: list[tuple[Any, Any, str]] = [
    (lambda: Loops(), (3,), "torch.fx cannot trace the forward of Loops.*from_onnx"),
    (lambda: Loose(), (3,), "parameter 'w' belongs to no module"),
    (lambda: Mixed(), (4, 3), r"'b' \(LSTM\): its batch_first says \(rows, steps, features\)"),
    (lambda: Rows(), (3,), "'mean'.*that of the rows"),
    (lambda: Odd(), (3,), "the function 'fft_fft'|the function 'fft'"),
    (lambda: nn.Conv2d(1, 2, 3), None, "input_shape must be given"),
    (lambda: nn.Conv2d(1, 2, 3), (5,), "expects 4 axes"),
    (lambda: nn.Linear(3, 2), (4,), r"kernel has shape \(4, 2\), got \(3, 2\); check input_shape"),
    (lambda: nn.Sequential(nn.FractionalMaxPool2d(2, 1)), (1, 4, 4), "'0' is a FractionalMaxPool2d"),
    (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 4, 4), "padding_mode"),
    (lambda: nn.MaxPool2d(2, dilation=2), (1, 4, 4), "dilation must be 1"),
    (lambda: nn.MaxPool2d(2, ceil_mode=True), (1, 5, 4), "ceil_mode"),
    (lambda: nn.AvgPool2d(2, 2, 1, count_include_pad=False), (1, 4, 4), "count_include_pad"),
    (lambda: nn.BatchNorm1d(3, momentum=None), (3,), "momentum"),
    (lambda: nn.BatchNorm1d(3, track_running_stats=False), (3,), "track_running_stats"),
    (lambda: nn.Softplus(2.0), (3,), "beta must be 1"),
    (lambda: nn.LSTM(3, 4, proj_size=2), (5, 3), "proj_size"),
    (lambda: nn.Embedding(3, 4, max_norm=1.0), (5,), "max_norm"),
    (lambda: nn.Softmax(0), (3,), "that of the rows"),
    (lambda: nn.Flatten(0), (3,), "that of the rows"),
    (lambda: nn.Linear(3, 2), [(3,), (4,)], "reads 1 tensor"),
    (lambda: nn.Linear(3, 2), (0,), "input_shape"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_is_not_read_is_refused_by_name(case: int) -> None:
    make, shape, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        from_torch(make(), shape)


def test_another_object() -> None:
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        from_torch({"weight": 1})


def test_the_model_is_saved_and_trained(tmp_path: Any) -> None:
    model = compared(CHAINS["cnn"][0](), (3, 16, 16))
    x = np.random.default_rng(0).normal(size=(8, 3, 16, 16)).astype(np.float32)
    model.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    model.compile("adam", "mse")
    losses = model.fit(x, np.ones((8, 3)), epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
