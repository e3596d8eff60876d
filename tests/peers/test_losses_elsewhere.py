"""The losses that Keras has not, against PyTorch's and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import losses

RNG = np.random.default_rng(0)


def test_gaussian_nll() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    y, m, s = RNG.normal(size=(3, 8, 2))
    output = torch.tensor(np.hstack([m, s]), requires_grad=True)
    theirs = torch.nn.GaussianNLLLoss()(output[:, :2], torch.tensor(y), torch.exp(output[:, 2:]) + 1e-6)
    theirs.backward()
    ours = losses.GaussianNLL()
    np.testing.assert_allclose(ours(y, np.hstack([m, s])), theirs.item(), rtol=1e-9)
    slopes = ours.kernel(y, np.hstack([m, s]), ours.numbers(), scale=1 / 8)[1]
    np.testing.assert_allclose(slopes, output.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_pinball(quantile: float) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn, which is not installed")
    y, output = RNG.normal(size=(2, 20, 3))
    weight = RNG.random(20)
    theirs = metrics.mean_pinball_loss(y, output, alpha=quantile, sample_weight=weight)
    ours = losses.Pinball(quantile, reduction="mean_with_sample_weight")(y, output, weight)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
