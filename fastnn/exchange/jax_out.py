"""Models as functions of JAX: ``to_jax``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.exchange.array_graph import applied, evaluated, graph_of
from fastnn.layers.places import place_of


def to_jax(model: Any) -> tuple[Callable[[dict[str, Any], Any], Any], dict[str, Any]]:
    """(function, parameters): function(parameters, x) is what ``model.predict(x)`` gives, on arrays of JAX.

    The function is pure, and goes through ``jax.jit``, ``jax.grad`` and ``jax.vmap``: dropout and noise do nothing in
    it, and BatchNormalization takes its moving averages. x: rows as the model takes them, of several inputs a list or
    dict. parameters: a dict of those weights that learn, float32, by their names in fastnn ("dense/kernel"); all others
    are constants of the function. ``load_state_dict(model, parameters)`` brings trained ones back.

    TypeError, ValueError, which names the layer, for one whose formula is not known: Python code, text, a mask that is
    read, states that go on. ImportError without jax.
    """
    try:
        import jax
    except ImportError as error:
        raise ImportError('to_jax needs jax: pip install "fastnn[jax]"') from error
    graph, xp = graph_of(model, "to_jax"), Arrays(jax)
    description = model.description
    paths = description.paths()
    learn: dict[str, Any] = {}
    held: dict[Any, dict[str, tuple[str, Any]]] = {}  # of each layer: its arrays' names in `learn`, or constants
    with description.locked():
        for layer in description.layers():
            place = place_of(layer)
            own = held.setdefault(layer, {})
            for parameter, view in zip(place.parameters, place.views(place.store.flat), strict=True) if place else ():
                name, array = f"{paths[layer]}/{parameter.name}", jax.numpy.asarray(view.copy())
                learns = parameter.trainable and layer.trainable
                own[parameter.name] = (name, None) if learns else ("", array)
                if learns:
                    learn[name] = array
    takes, gives, ids = description.takes, description.gives, description.reads_ids

    def function(parameters: dict[str, Any], x: Any) -> Any:
        def call(node: Any, reads: list[Any]) -> tuple[Any, ...]:
            own = held[node.layer].items()
            weights = {name: parameters[key] if array is None else array for name, (key, array) in own}
            return applied(xp, node, reads, weights)

        inputs = [jax.numpy.asarray(each) for each in takes.unpack(x, "x")]
        if not ids:
            inputs = [each.astype(jax.numpy.promote_types(each.dtype, "float32")) for each in inputs]
        return gives.pack(evaluated(graph, inputs, call))

    return function, learn


class Arrays:
    """JAX's functions by the names that the formulas have for them."""

    def __init__(self, jax: Any) -> None:
        self.jax, self.numpy = jax, jax.numpy
        self.erf, self.stop_gradient = jax.scipy.special.erf, jax.lax.stop_gradient

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.jax.nn, name, None)
        return getattr(self.numpy, name) if found is None else found

    def constant(self, array: Any, like: Any) -> Any:
        """Numbers that do not learn."""
        whole = np.asarray(array).dtype.kind == "i" and like is None
        return self.numpy.asarray(np.asarray(array, np.int32 if whole else np.float32))

    def integers(self, x: Any) -> Any:
        """Ids."""
        return x.astype(self.numpy.int32)

    def pad(self, x: Any, pairs: Any, value: float) -> Any:
        """With a border along each axis."""
        return self.numpy.pad(x, pairs, constant_values=value)

    def convolve(
        self, x: Any, kernel: Any, strides: Any, border: Any, dilation: Any, groups: int, times: Any = None
    ) -> Any:
        """A convolution, channels last. times: cells from one number of x to the next, the others 0."""
        axes = "DHW"[-len(strides) :]
        return self.jax.lax.conv_general_dilated(
            x, kernel, strides, border, times, dilation, (f"N{axes}C", f"{axes}IO", f"N{axes}C"), groups
        )

    def convolve_transposed(self, x: Any, kernel: Any, strides: Any, dilation: Any) -> Any:
        """All that a kernel (..., filters, channels) reaches."""
        axes = tuple(range(len(strides)))
        border = [((k - 1) * d,) * 2 for k, d in zip(kernel.shape, dilation, strict=False)]
        turned = self.numpy.swapaxes(self.numpy.flip(kernel, axes), -1, -2)
        return self.convolve(x, turned, (1,) * len(axes), border, dilation, 1, tuple(strides))

    def scan(self, step: Any, first: Any, xs: Any) -> tuple[Any, Any]:
        """The state after all steps of xs (rows, steps, ..), and the first array of it after each."""

        def once(now: Any, x: Any) -> tuple[Any, Any]:
            now = step(now, x)
            return now, now[0]

        now, given = self.jax.lax.scan(once, first, self.numpy.swapaxes(xs, 0, 1))
        return now, self.numpy.swapaxes(given, 0, 1)
