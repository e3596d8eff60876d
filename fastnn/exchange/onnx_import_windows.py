"""Convolutions, pooling and recurrent layers of ONNX; see ``onnx_import_numbers`` for how they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import activations as units, layers, ops
from fastnn.typing import Array

from .onnx_import_file import Node
from .onnx_import_numbers import counted, integers, known
from .onnx_import_ops import padded
from .onnx_import_views import View, same_rows, told

# Pictures.


def _picture(x: View) -> tuple[Any, View]:
    """The tensor with its channels last, and the view of it; pictures that lie side by side in a row are its steps."""
    if not 3 <= x.ndim <= 5 or x.axes[0][:1] != (0,):
        raise ValueError(f"{x} is no picture: (rows, channels, 1 to 3 axes)")
    steps = x.axes[0][1:]
    x.last(*range(1, x.ndim))
    tensor = x.laid([*[steps] * bool(steps), *x.axes[2:], x.axes[1]])
    return tensor, _seen(tensor, x)


def _seen(tensor: Any, x: View) -> View:
    rank, n = x.ndim - 2, len(tensor.row)
    return View(tensor, tensor.row, [(0, 1)[: n - rank], (n,), *((n - rank + k,) for k in range(rank))], x.rows)


def _windows(node: Node, x: View, kernel: Sequence[int]) -> tuple[Any, Any, Any, bool]:
    """Strides, dilations, the border of each axis, and whether it is that of padding "same"."""
    rank = x.ndim - 2
    strides, dilations = (node.get(name, []) or [1] * rank for name in ("strides", "dilations"))
    pads, auto = node.get("pads", []) or [0] * 2 * rank, node.get("auto_pad", "NOTSET")
    _picture(x)
    if {len(kernel), len(strides), len(dilations), len(pads) // 2} != {rank} or min(*kernel, *strides, *dilations) < 1:
        raise ValueError(f"windows {list(kernel)}, strides {strides}, dilations {dilations}, pads {pads} for {x}")
    border, same = list(zip(pads[:rank], pads[rank:], strict=True)), []
    for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        same.append((total // 2, total - total // 2))
    if auto.startswith("SAME"):
        border = same if auto == "SAME_UPPER" else [each[::-1] for each in same]
    if min(map(min, border)) < 0:
        raise ValueError(f"its pads must be at least 0, got {pads}")
    return tuple(strides), tuple(dilations), border, border == same and any(map(any, border))


def _conv(g: Any, node: Node, x: View, w: Any, bias: Any = None) -> View:
    rank, groups, turned = x.ndim - 2, node.get("group", 1), node.op == "ConvTranspose"
    strides, dilations, border, same = _windows(node, x, known(w, "its kernel").shape[2:])
    if groups < 1 or w.shape[not turned] * (1 if turned else groups) != x.shape[1] or w.shape[0] % groups:
        raise ValueError(f"a kernel of shape {w.shape} in {groups} groups does not go with {x}")
    kind = getattr(layers, f"Conv{rank}D{'Transpose' * turned}")
    named: dict[str, Any] = {"dilation_rate": dilations, "use_bias": bias is not None}
    if turned:
        if node.has("output_shape") or node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise ValueError("output_shape and auto_pad of it are not read")
        named["output_padding"] = tuple(node.get("output_padding", []) or [0] * rank)
    else:
        named |= {"groups": groups, "padding": "same" if same else "valid"}
        x = x if same else padded(_picture(x)[1], {k + 2: each for k, each in enumerate(border)})
    tensor, _ = _picture(x)
    count, apart = w.shape[1 if turned else 0], groups if turned else 1  # of a turned one each group is a layer
    biases = [[]] * apart if bias is None else [[each] for each in np.split(known(bias, "its bias"), apart)]
    n, parts = tensor.row[-1] // apart, []
    for k, kernel in enumerate(np.split(w, apart)):
        arrays = [kernel.transpose([*range(2, w.ndim), 1, 0]), *biases[k]]
        part = tensor if apart == 1 else tensor[..., k * n : (k + 1) * n]
        made = kind(count, w.shape[2:], strides, **named)
        parts.append(g.layer(node, made, part, arrays, steps=len(x.axes[0]) > 1))
    given = _seen(parts[0] if apart == 1 else layers.Concatenate()(parts), x)
    return padded(given, {k + 2: (-one, -two) for k, (one, two) in enumerate(border)}) if turned else given


def _pool(g: Any, node: Node, x: View) -> View:
    kernel, largest = node.get("kernel_shape", []), node.op == "MaxPool"
    strides, dilations, border, same = _windows(node, x, kernel)
    sizes = x.shape[2:]
    if max(dilations) > 1:
        raise ValueError("its dilations are not read")
    more = [0] * len(sizes)
    if node.get("ceil_mode", 0):  # a last window may reach beyond the border, unless it begins there
        for k, (n, (before, after)) in enumerate(zip(sizes, border, strict=True)):
            more[k] = -(n + before + after - kernel[k]) % strides[k]
            more[k] -= strides[k] * (after + more[k] >= kernel[k])
    include = not largest and bool(node.get("count_include_pad", 0))
    same = same and not include and not any(more)
    whole = [(one, two + rest) for (one, two), rest in zip(border, more, strict=True)]
    outside = not same and any(map(any, whole))
    x = _picture(x)[1]
    tensor, x = _picture(padded(x, {k + 2: each for k, each in enumerate(whole)}) if outside else x)
    inside = np.zeros(counted(x.shape[2:]) if outside else 0)  # which cells count
    if outside:
        begins = [0 if include else before for before, _ in border]
        ends = [n + sum(each) if include else n + each[0] for n, each in zip(sizes, border, strict=True)]
        inside[tuple(map(slice, begins, ends))] = 1
    if outside and largest:  # what lies outside is less than all that is inside
        tensor = ops.add(tensor, g.constant(np.where(inside, 0, -3e38)[..., None], tensor))
    kind = getattr(layers, f"{'Max' if largest else 'Average'}Pooling{len(kernel)}D")
    given = g.layer(node, kind(tuple(kernel), strides, "same" if same else "valid"), tensor, steps=len(x.axes[0]) > 1)
    if outside and not largest and not inside.all():
        cells = np.lib.stride_tricks.sliding_window_view(inside, kernel)[tuple(slice(None, None, s) for s in strides)]
        given = ops.divide(given, g.constant(cells.mean(tuple(range(-len(kernel), 0)))[..., None], given))
    return _seen(given, x)


def _resize(g: Any, node: Node, x: View, *others: Any) -> View:
    """Pixels as blocks of them, or lines between their middles."""
    scales, sizes = (others[0], None) if node.op == "Upsample" else [*others[1:], None, None][:2]
    _picture(x)
    old = list(x.shape)
    if sizes is not None and known(sizes).size:
        exact: Any = integers(sizes)
    else:
        exact = [a * float(factor) for a, factor in zip(old, known(scales, "scales"), strict=True)]
    new = [int(size + 1e-3) for size in exact]
    near = len(new) == len(old) and all(abs(a - b) < 1e-3 for a, b in zip(exact, new, strict=True))
    mode, how = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    middles = how in ("half_pixel", "pytorch_half_pixel") and node.op == "Resize"
    nearest = node.get("nearest_mode", "round_prefer_floor")
    blocks = (
        nearest.startswith("round") if middles else node.op == "Upsample" or (how, nearest) == ("asymmetric", "floor")
    )
    other = node.has("axes") or node.get("antialias", 0) or new[:2] != old[:2] or not near
    rank, times = x.ndim - 2, tuple(b // a for a, b in zip(old[2:], new[2:], strict=True))
    made: Any = None
    if mode == "nearest" and blocks and [a * n for a, n in zip(old[2:], times, strict=True)] == new[2:]:
        made = getattr(layers, f"UpSampling{rank}D")(times if rank > 1 else times[0])
    elif mode == "linear" and middles and rank == 2 and min(new[2:]) > 1:
        made = layers.Resizing(counted(new[2:])[0], new[3])
    if other or made is None:
        raise ValueError(f"mode {mode!r} from {told(old[2:])} to {told(new[2:])} by {how!r} is none that fastnn has")
    tensor, x = _picture(x)
    return _seen(g.layer(node, made, tensor, steps=len(x.axes[0]) > 1), x)


# Steps.

UNITS = {"Sigmoid": units.Sigmoid, "Tanh": units.Tanh, "Relu": units.ReLU, "Softsign": units.Softsign}
UNITS["Softplus"] = units.Softplus
# The layer, the order in which it has ONNX's gates, and the activations that stand in.
KINDS: dict[str, tuple[Any, list[int], list[str]]] = {
    "LSTM": (layers.LSTM, [0, 2, 3, 1], ["Sigmoid", "Tanh", "Tanh"]),
    "GRU": (layers.GRU, [0, 1, 2], ["Sigmoid", "Tanh"]),
    "RNN": (layers.SimpleRNN, [0], ["Tanh"]),
}


def _recurrent(
    g: Any, node: Node, x: View, w: Any, r: Any, b: Any = None, lengths: Any = None, *states: Any
) -> list[Any]:
    """A layer for each direction."""
    kind, order, usual = KINDS[node.op]
    direction, first = node.get("direction", "forward"), node.get("layout", 0)
    ways = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
    n, gates, held = known(r, "R").shape[-1], len(order), 2 if node.op == "LSTM" else 1
    steps_at, rows_at = (1, 0) if first else (0, 1)
    fits = x.ndim == 3 and x.axes[rows_at] == (0,) and known(w, "W").shape == (len(ways), gates * n, x.shape[2])
    fits = fits and r.shape == (len(ways), gates * n, n)
    if not fits or (b is not None and known(b, "B").shape != (len(ways), 2 * gates * n)):
        raise ValueError(
            f"x of shape {x}, W {w.shape} and R {r.shape} do not go together, or the rows are not axis {rows_at}"
        )
    names = [name.capitalize() for name in node.get("activations", [])] or usual * len(ways)
    fits = len(names) == len(usual) * len(ways) and UNITS.keys() >= set(names)
    if not fits or (held > 1 and names[1::3] != names[2::3]):
        raise ValueError(f"activations {names} are none that the layer has")
    if lengths is not None and (known(lengths, "sequence_lens") != x.shape[steps_at]).any():
        raise ValueError("sequence_lens: rows of different lengths are not read; use masks")
    if node.has("clip") or node.get("input_forget", 0) or any(known(each, "P").any() for each in states[held:]):
        raise ValueError("clip, input_forget and peepholes are not read")
    want = [g.count[name] > 0 if name else False for name in [*node.outputs, "", ""][: held + 1]]
    states_too = (want[0] and want[1]) or any(want[2:])  # of the last state alone it is what the layer gives
    tensor, given = x.laid([x.axes[steps_at], x.axes[2]]), []
    for way, backward in enumerate(ways):
        named: dict[str, Any] = {"activation": UNITS[names[len(usual) * way + len(usual) - 1]]()}
        if node.op != "RNN":
            named["recurrent_activation"] = UNITS[names[len(usual) * way]]()
        if node.op == "GRU":
            named["reset_after"] = bool(node.get("linear_before_reset", 0))

        def gate(array: Array) -> Array:
            return np.concatenate([np.split(array, gates)[k] for k in order])

        arrays = [gate(w[way]).T, gate(r[way]).T]
        if b is not None:
            both = [gate(each) for each in np.split(b[way], 2)]
            arrays.append(np.stack(both) if named.get("reset_after") else both[0] + both[1])
        begin = _begins(g, states[:held], way, len(ways), n, tensor, rows_at)
        named |= {"return_sequences": want[0], "return_state": states_too, "go_backwards": backward}
        made = kind(n, use_bias=b is not None, **named)
        out = g.layer(node, made, [tensor, *begin] if begin else tensor, arrays)
        out = [*out] if isinstance(out, tuple) else [out]
        given.append([out[0][:, ::-1] if backward and want[0] else out[0], *out[1:]])
    found: list[Any] = [None] * (held + 1)
    for k in range(held + 1):
        if want[k]:  # side by side: (steps, ways, n), and of states (ways, n)
            parts = [out[k if states_too else 0] for out in given]
            whole = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
            seen = [(axis,) for axis in range(3 if k else 4)]
            if not first:
                seen.insert(1 if k else 2, seen.pop(0))
            found[k] = View(whole, [*whole.row[: k == 0], len(ways), n], seen, x.rows)
    return found


def _begins(g: Any, states: Sequence[Any], way: int, ways: int, n: int, near: Any, rows_at: int) -> list[Any]:
    """The states that a direction begins with; none where they are zeros."""
    if not any(isinstance(each, View) or (each is not None and each.any()) for each in states):
        return []
    found = []
    for state in states:
        if isinstance(state, View):
            fits = state.ndim == 3 and state.axes[rows_at] == (0,)
            if not fits or (state.shape[1 - rows_at], state.shape[2]) != (ways, n):
                raise ValueError(f"a state of shape {state} is none of {ways} directions and {n} units")
            tensor: Any = state.laid([state.axes[1 - rows_at], state.axes[2]])
            found.append(tensor[:, way])
            continue
        array = np.zeros((1, 1, n)) if state is None else state
        array = np.broadcast_to(same_rows(array, rows_at), (ways, 1, n) if rows_at else (1, ways, n))
        found.append(g.constant(array.reshape(ways, n)[way], near))
    return found


OPS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(KINDS, _recurrent),
}
