"""Recurrent layers and their cells as ONNX nodes.

ONNX's own RNN, GRU and LSTM where these have the layer's activations and no step is masked; else a Scan, whose body is
one step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.exchange.onnx_calls import Call, writes
from fastnn.exchange.onnx_operations import BOOL, cut
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


def _native(c: Call, x: str, states: Any, units: list[Any]) -> list[str]:
    layer, g = c.layer, c.g
    kind, order = KINDS[layer.gates]

    def rows(array: Array) -> Array:
        return np.concatenate([np.split(array, layer.gates, -1)[block] for block in order], -1)

    def both(bias: Array) -> Array:
        own, other = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        return np.concatenate([rows(own), rows(other)])[None]

    names = [NATIVE[unit.table_name] for unit in units]
    more: dict[str, Any] = {"linear_before_reset": int(layer.reset_after)} if kind == "GRU" else {}
    initial = [c.op("Unsqueeze", state, [0]) for state in states]
    given, *last = c.op(
        kind,
        g.transpose(x, [1, 0, 2]),
        c.weight("kernel", lambda array: rows(array).T[None]),
        c.weight("recurrent_kernel", lambda array: rows(array).T[None]),
        c.weight("bias", both),
        *([None, *initial] if initial else []),
        outputs=1 + layer.states_kept,
        hidden_size=layer.units,
        activations=[*names, names[-1]] if kind == "LSTM" else names,
        direction="reverse" if layer.go_backwards else "forward",
        **more,
    )
    last = [c.op("Squeeze", each, [0]) for each in last]
    if not layer.return_sequences:
        return [last[0], *last]
    steps = g.transpose(c.op("Squeeze", given, [1]), [1, 0, 2])
    if layer.go_backwards:  # ONNX has them in the order of the steps, fastnn as they are worked out
        row = c.node.rows[0]
        steps = cut(c, steps, {0: (row[0] - 1, row[0], -1)}, row)
    return [steps, *last]


def _scanned(c: Call, x: str, states: Any, units: list[Any]) -> list[str]:
    layer, g, width = c.layer, c.g, c.layer.units
    # Two biases where the product with the state has its own; what comes from x is worked out of all steps at once.
    biases = (
        [c.known(f"bias_{k}", each) for k, each in enumerate(np.atleast_2d(c.arrays["bias"]))] if layer.use_bias else []
    )
    z = c.plus(c.op("MatMul", x, c.known("kernel", c.arrays["kernel"])), biases[0] if biases else None)
    read = [(z, layer.gates * width)] + [(mask, 1) for mask in c.masks[:1] if mask is not None]
    before = list(states) or [c.op("ConstantOfShape", g.batch_of(x, [width]))] * layer.states_kept
    reads = [g.unique(f"{g.at}/state") for _ in before] + [g.unique(f"{g.at}/step") for _ in read]
    with g.body() as nodes:
        own, after = reads[: len(before)], [""]
        now = _step(c, reads[len(before)], own, units, biases[1] if len(biases) > 1 else None)
        out = now[0]
        if len(read) > 1:
            there = c.op("Cast", c.op("Unsqueeze", reads[-1], [1]), to=BOOL)
            now = [c.op("Where", there, new, old) for new, old in zip(now, own, strict=True)]
            out = c.op("Where", there, now[0], 0.0) if layer.zero_output_for_mask else now[0]
        after = [c.op("Identity", each) for each in (*now, out)]
    shapes = [["batch", width]] * len(before) + [
        ["batch", n] if n > 1 or not k else ["batch"] for k, (_, n) in enumerate(read)
    ]
    infos = [g.info(name, "float32", shape) for name, shape in zip(reads, shapes, strict=True)]
    ends = [g.info(name, "float32", ["batch", width]) for name in after]
    body = g.onnx.helper.make_graph(nodes, f"{g.at}/step", infos, ends)
    *last, steps = c.op(
        "Scan",
        *before,
        *(value for value, _ in read),
        outputs=len(after),
        body=body,
        num_scan_inputs=len(read),
        scan_input_axes=[1] * len(read),
        scan_input_directions=[int(layer.go_backwards)] * len(read),
        scan_output_axes=[1],
    )
    if layer.return_sequences:
        return [steps, *last]
    return [last[0], *last]


def _step(c: Call, z: str, states: list[str], units: list[Any], bias: str | None) -> list[str]:
    """The states after a step, of what comes from x and the states before it."""
    layer, h, n = c.layer, states[0], c.layer.units
    kernel = c.arrays["recurrent_kernel"]

    def parts(value: str, count: int) -> list[str]:
        return list(c.op("Split", value, axis=-1, outputs=count)) if count > 1 else [value]

    if layer.gates == 3:
        z_gates, z_unit = c.op("Split", z, [2 * n, n], axis=-1, outputs=2)
        of_gates, of_unit = c.known("gates", kernel[:, : 2 * n]), c.known("unit", kernel[:, 2 * n :])
        bias_gates, bias_unit = c.op("Split", bias, [2 * n, n], axis=-1, outputs=2) if bias else (None, None)
        gates = c.op("Add", z_gates, c.plus(c.op("MatMul", h, of_gates), bias_gates))
        keep, reset = parts(c.activated(gates, units[0]), 2)
        if layer.reset_after:
            u = c.op("Mul", reset, c.plus(c.op("MatMul", h, of_unit), bias_unit))
        else:
            u = c.op("MatMul", c.op("Mul", reset, h), of_unit)
        new = c.activated(c.op("Add", z_unit, u), units[1])
        return [c.op("Add", c.op("Mul", keep, h), c.op("Mul", c.op("Sub", 1.0, keep), new))]
    z = c.op("Add", z, c.op("MatMul", h, c.known("recurrent_kernel", kernel)))
    if layer.gates == 1:
        return [c.activated(z, units[0])]
    one, other, unit, out = parts(z, 4)
    kept = c.op("Mul", c.activated(other, units[0]), states[1])
    cell = c.op("Add", kept, c.op("Mul", c.activated(one, units[0]), c.activated(unit, units[1])))
    return [c.op("Mul", c.activated(out, units[0]), c.activated(cell, units[1])), cell]
