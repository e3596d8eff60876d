"""Recurrent layers and their cells as ONNX nodes.

ONNX's own RNN, GRU and LSTM where these have the layer's activations and no step is masked; else a Scan, whose body is
one step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.exchange.onnx_calls import Call, writes
from fastnn.exchange.onnx_operations import cut
from fastnn.typing import Array

# Activations that the nodes have, and that every runtime has in them alike.
NATIVE = {"tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
# Kind of node, and where its blocks of rows are among fastnn's blocks of columns.
KINDS = {1: ("RNN", [0]), 3: ("GRU", [0, 1, 2]), 4: ("LSTM", [0, 3, 1, 2])}


@writes("simple_rnn", "gru", "lstm", "simple_rnn_cell", "gru_cell", "lstm_cell")
def _recurrent(c: Call, x: str, *states: str) -> list[str]:
    if c.layer.stateful:
        c.refuse("it is stateful, and an ONNX graph keeps nothing from one call to the next")
    if len(c.row) == 1:  # a cell, called on one step
        x = c.op("Unsqueeze", x, [1])
    units = [getattr(c.layer, name) for name in ("recurrent_activation", "activation") if hasattr(c.layer, name)]
    native = all(unit.compiled and unit.table_name in NATIVE for unit in units) and c.masks[0] is None
    steps, *last = (_native if native else _scanned)(c, x, states, units)
    return [steps, *last] if c.layer.return_state else [steps]


def _native(c: Call, x: str, states: tuple[str, ...], units: list[Any]) -> list[str]:
    layer, g = c.layer, c.g
    kind, order = KINDS[layer.gates]

    def rows(array: Array) -> Array:
        return np.concatenate([np.split(array, layer.gates, -1)[block] for block in order], -1)

    def turned(kernel: Array) -> Array:
        return rows(kernel).T[None]

    def both(bias: Array) -> Array:
        own, other = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        return np.concatenate([rows(own), rows(other)])[None]

    names = [NATIVE[unit.table_name] for unit in units]
    more: dict[str, Any] = {"linear_before_reset": int(layer.reset_after)} if kind == "GRU" else {}
    weights = [c.weight("kernel", turned), c.weight("recurrent_kernel", turned), c.weight("bias", both)]
    initial = [None, *(c.op("Unsqueeze", state, [0]) for state in states)] if states else []
    given, *last = g.several(
        1 + layer.states_kept,
        kind,
        g.transpose(x, [1, 0, 2]),
        *weights,
        *initial,
        hidden_size=layer.units,
        activations=[*names, names[-1]] if kind == "LSTM" else names,
        direction="reverse" if layer.go_backwards else "forward",
        **more,
    )
    last = [c.op("Squeeze", each, [0]) for each in last]
    if not layer.return_sequences:
        return [last[0], *last]
    steps, row = g.transpose(c.op("Squeeze", given, [1]), [1, 0, 2]), c.node.rows[0]
    # ONNX has them in the order of the steps, fastnn as they are worked out.
    return [cut(c, steps, {0: (row[0] - 1, row[0], -1)}, row) if layer.go_backwards else steps, *last]


def _scanned(c: Call, x: str, states: tuple[str, ...], units: list[Any]) -> list[str]:
    layer, g, width = c.layer, c.g, c.layer.units
    bias, kernel = c.weight("bias"), c.weight("recurrent_kernel")
    biases, kernels = [bias], [kernel]
    if layer.gates == 3:  # what meets the state has a bias of its own, and its parts are read apart
        if bias and c.arrays["bias"].ndim == 2:
            biases = [c.op("Gather", bias, np.array(k)) for k in (0, 1)]
        kernels = list(g.several(2, "Split", kernel, [2 * width, width], axis=1))
    z = c.plus(c.op("MatMul", x, c.weight("kernel")), biases[0])  # of all steps at once
    read = [z, *(mask for mask in c.masks[:1] if mask is not None)]
    before = list(states) or [c.op("ConstantOfShape", g.batch_of(x, [width]))] * layer.states_kept
    own = [g.unique(f"{g.at}/state") for _ in before]
    step, there = g.unique(f"{g.at}/step"), g.unique(f"{g.at}/mask")
    with g.body() as nodes:
        now = _step(c, step, own, kernels, biases[1:], units)
        out = now[0]
        if len(read) > 1:
            counts = g.cast(c.op("Unsqueeze", there, [1]), "bool")
            now = [c.op("Where", counts, new, old) for new, old in zip(now, own, strict=True)]
            out = c.op("Where", counts, now[0], 0.0) if layer.zero_output_for_mask else now[0]
        after = [c.op("Identity", each) for each in (*now, out)]
    shapes = {**{name: [width] for name in own}, step: [layer.gates * width], there: []}
    infos = [g.info(name, "float32", ["batch", *shapes[name]]) for name in (*own, step, there)[: len(own) + len(read)]]
    ends = [g.info(name, "float32", ["batch", width]) for name in after]
    *last, steps = g.several(
        len(after),
        "Scan",
        *before,
        *read,
        body=g.onnx.helper.make_graph(nodes, step, infos, ends),
        num_scan_inputs=len(read),
        scan_input_axes=[1] * len(read),
        scan_input_directions=[int(layer.go_backwards)] * len(read),
        scan_output_axes=[1],
    )
    return [steps if layer.return_sequences else last[0], *last]


def _step(c: Call, z: str, states: list[str], kernels: list[Any], bias: list[Any], units: list[Any]) -> list[str]:
    """The states after a step, of what comes from x and the states before it."""
    layer, g, h, n = c.layer, c.g, states[0], c.layer.units
    gate, unit = units[0], units[-1]
    if layer.gates == 3:
        own, mine = g.several(2, "Split", z, [2 * n, n], axis=-1)
        other, theirs = g.several(2, "Split", bias[0], [2 * n, n], axis=-1) if bias else (None, None)
        gates = c.activated(c.op("Add", own, c.plus(c.op("MatMul", h, kernels[0]), other)), gate)
        keep, reset = g.several(2, "Split", gates, axis=-1)
        if layer.reset_after:
            u = c.op("Mul", reset, c.plus(c.op("MatMul", h, kernels[1]), theirs))
        else:
            u = c.op("MatMul", c.op("Mul", reset, h), kernels[1])
        new = c.activated(c.op("Add", mine, u), unit)
        return [c.op("Add", c.op("Mul", keep, h), c.op("Mul", c.op("Sub", 1.0, keep), new))]
    z = c.op("Add", z, c.op("MatMul", h, kernels[0]))
    if layer.gates == 1:
        return [c.activated(z, unit)]
    i, f, new, o = g.several(4, "Split", z, axis=-1)
    kept = c.op("Mul", c.activated(f, gate), states[1])
    cell = c.op("Add", kept, c.op("Mul", c.activated(i, gate), c.activated(new, unit)))
    return [c.op("Mul", c.activated(o, gate), c.activated(cell, unit)), cell]
