"""PyTorch's functions by the names that the formulas of layers have for them. Imported where torch is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F


class Arrays:
    """See ``fastnn.exchange.array_layers``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    softplus = staticmethod(F.softplus)

    def __deepcopy__(self, memo: Any) -> Arrays:
        return self

    def constant(self, array: Any, like: Any) -> Any:
        """Numbers that do not learn, where another tensor is; whole numbers where there is none."""
        if like is None:
            return torch.as_tensor(np.asarray(array))
        kind = like.dtype if like.is_floating_point() else torch.float32
        return torch.as_tensor(np.asarray(array, np.float32), dtype=kind, device=like.device)

    def integers(self, x: Any) -> Any:
        """Ids."""
        return x.to(torch.int64)

    def stop_gradient(self, x: Any) -> Any:
        """Without a slope."""
        return x.detach()

    def transpose(self, x: Any, axes: Any) -> Any:
        """With its axes in another order."""
        return x.permute(axes)

    def take(self, x: Any, places: Any, axis: int) -> Any:
        """These places of an axis."""
        return torch.index_select(x, axis, places.to(x.device))

    def sort(self, x: Any) -> Any:
        """Ascending along the last axis."""
        return torch.sort(x).values

    def pad(self, x: Any, pairs: Any, value: float) -> Any:
        """With a border along each axis."""
        return F.pad(x, [n for pair in reversed(list(pairs)) for n in pair], value=value) if np.any(pairs) else x

    def convolve(self, x: Any, kernel: Any, strides: Any, border: Any, dilation: Any, groups: int) -> Any:
        """A convolution, channels last."""
        x = torch.movedim(self.pad(x, [(0, 0), *border, (0, 0)], 0.0), -1, 1)
        function = (F.conv1d, F.conv2d, F.conv3d)[len(strides) - 1]
        kernel = torch.movedim(kernel, (-1, -2), (0, 1))
        return torch.movedim(function(x, kernel, None, strides, 0, dilation, groups), 1, -1)

    def convolve_transposed(self, x: Any, kernel: Any, strides: Any, dilation: Any) -> Any:
        """All that a kernel (..., filters, channels) reaches."""
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(strides) - 1]
        kernel = torch.movedim(kernel, (-1, -2), (0, 1))
        given = function(torch.movedim(x, -1, 1), kernel, None, strides, 0, 0, 1, dilation)
        return torch.movedim(given, 1, -1)

    def scan(self, step: Any, first: Any, xs: Any) -> tuple[Any, Any]:
        """The state after all steps of xs (rows, steps, ..), and the first array of it after each."""
        now, given = first, []
        for x in torch.unbind(xs, 1):
            now = step(now, x)
            given.append(now[0])
        return now, torch.stack(given, 1)
