"""How much of each layer's weights is pruned, where so much of all of them is."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from fastnn.compress.masks import targets_of

if TYPE_CHECKING:
    from fastnn.layers import Layer


def shares_of(model: Any, share: float) -> dict[Layer, float]:
    """For each layer that can be pruned the share of its weights to prune, so that together it is `share` of all.

    What stays of a kernel goes by the sum of its sides over their product: of a small kernel, such as those of a first
    convolution and of the last layer, much stays or all. ValueError where there is nothing to prune.

    Source: Mocanu et al. 2018; Evci et al. 2020, Rigging the lottery, "Erdos-Renyi-Kernel".
    """
    sizes: dict[Layer, int] = {}
    sides: dict[Layer, int] = {}
    for target in targets_of("compress", model, None, share, True):
        shape = target.parameter.shape
        sizes[target.layer] = sizes.get(target.layer, 0) + prod(shape)
        sides[target.layer] = sides.get(target.layer, 0) + sum(shape)
    left = (1 - share) * sum(sizes.values())
    stays = dict.fromkeys(sizes, 1.0)
    thin = set(sizes)
    while thin:
        scale = max(0.0, left - sum(sizes[layer] for layer in sizes if layer not in thin)) / sum(
            sides[layer] for layer in thin
        )
        whole = {layer for layer in thin if scale * sides[layer] >= sizes[layer]}
        if not whole:
            stays.update({layer: scale * sides[layer] / sizes[layer] for layer in thin})
            break
        thin -= whole
    return {layer: 1 - part for layer, part in stays.items() if part > 0}
