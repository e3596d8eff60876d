"""Models as modules of PyTorch: ``to_torch``."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fastnn.exchange.array_graph import chain_of, graph_of
from fastnn.layers.graph import calls
from fastnn.layers.tensor import called


def to_torch(model: Any) -> Any:
    """A torch.nn.Module that gives what ``model.predict`` gives, with a copy of the weights, and trains on.

    Layers one after the other are an nn.Sequential, others a module that calls them in the same way; ``state_dict`` has
    the layers' names: "dense.weight". Rows are those of the model, channels last where it has them so. Layers that
    PyTorch has are its own modules, or such on channels that come last; the rest are formulas on tensors. In
    ``train()`` Dropout, noise and BatchNormalization do what they do in fastnn, but for PyTorch's running variance,
    which is that of a sample (divided by n - 1); layers that change pictures by chance change none. Several inputs are
    given one by one, in a list or a dict. What stays in fastnn: optimizer, regularisers, constraints. The module is in
    ``eval()``.

    TypeError, ValueError, which names the layer, for one whose formula is not known: see ``to_jax``. ImportError
    without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('to_torch needs torch: pip install "fastnn[torch]"') from error
    from fastnn.exchange import torch_modules

    graph = graph_of(model, "to_torch")
    description = model.description
    paths = description.paths()
    made: dict[Any, dict[str, Any]] = {}
    taken: set[str] = set()
    for node in calls(graph):
        if node.graph is None and node.inputs and node.layer not in made:
            name = paths.get(node.layer, called(node.layer)).replace("/", "_").replace(".", "_")
            name = f"{name}_" if hasattr(torch.nn.Module, name) or name in ("held", "training") else name
            while name in taken:
                name += "_"
            own = {name + end: module for end, module in torch_modules.modules_of(node).items()}
            taken |= set(own)
            made[node.layer] = own
    chain = chain_of(graph)
    if chain is None:
        return torch_modules.Graph(graph, description.takes, description.gives, made).eval()
    own = {name: module for node in chain for name, module in made[node.layer].items()}
    return torch.nn.Sequential(OrderedDict(own)).eval()
