"""Models as C99: one file and its header, which need nothing but the language (and <math.h> for what needs it)."""

from __future__ import annotations

import re
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from fastnn._checks import check_path, check_text, shown
from fastnn._version import __version__
from fastnn.exchange.c_layers import COVERED, LAYERS_IN_C
from fastnn.exchange.c_text import HELPERS, MATHS
from fastnn.exchange.c_writer import CWriter, body, placed
from fastnn.exchange.plain import built, walk
from fastnn.store.replacing import replacing

WEIGHTS = ("float32", "int8")


class CSource(NamedTuple):
    """A model in C: the text of the file, and that of its header."""

    source: str
    header: str


def to_c(model: Any, name: str | None = None, weights: str = "float32") -> CSource:
    """The model in C99: (source, header), to be written as <name>.c and <name>.h.

    ``void <name>_predict(const float *input, ..., float *output, ..., <name>_scratch *scratch)``, one pointer for each
    input and output, works out for one row what ``model.predict`` gives. Rows lie as in NumPy, the last axis fastest.
    All memory is the caller's, nothing is allocated and there is no state: ``static <name>_scratch scratch;`` once for
    each thread, of which nothing need be set. Weights are constants. ``<NAME>_INPUT_SIZE`` and the like are how many
    numbers an array has. The arrays must not overlap.

    name: one of C's; None takes the model's. weights: "float32", or "int8": kernels of dense, convolution and recurrent
    layers as whole numbers from -127 to 127, 127 being the largest weight of an output channel; what they meet (a line,
    a picture, a step) is made u8 by its own range, 0 included; sums are exact, in int32, and all else is float. It is
    what ``fastnn.compress.quantize`` makes of the model; a model that it made is written with the bytes it has.

    Ids that an Embedding or CategoryEncoding does not have, which ``predict`` refuses, give zeros. TypeError,
    ValueError for what is no model or no name, and for a layer that has no form in C, by its name; RuntimeError before
    the model is built.
    """
    description = built("to_c", model)
    graph = description.graph
    if description.front is not None:
        raise ValueError(
            "to_c: the model prepares columns as they come, text among them, and C gets numbers; give the part behind "
            "them as a model of its own: Model(tensors, outputs)"
        )
    if not isinstance(weights, str) or weights not in WEIGHTS:
        raise ValueError(f"to_c: weights must be one of {', '.join(map(repr, WEIGHTS))}, got {shown(weights)}")
    name = _identifier(_as_name(str(model.name)) if name is None else name)
    writer = CWriter(LAYERS_IN_C, COVERED, weights == "int8", [f"{name}_predict", f"{name}_scratch"])
    ins = _arguments(writer, "input", [tensor.name for tensor in graph.inputs])
    outs = _arguments(writer, "output", list(description.gives.names))
    values = [writer.value(prod(tensor.row), given) for tensor, given in zip(graph.inputs, ins, strict=True)]
    for output, value in zip(outs, walk(writer, description, values), strict=True):
        if value.outside is None:
            value.outside = output
        else:  # an input, or an output that is given twice
            copied = [writer.use("copy", "x", "y", value.size)]
            writer.step(output, {"x": value}, {"y": writer.value(value.size, output)}, copied)
    return _files(
        writer, name, description, [*zip(ins, graph.inputs, strict=True)], [*zip(outs, graph.outputs, strict=True)]
    )


def _as_name(text: str) -> str:
    return re.sub(r"^(?=\d)", "n", re.sub(r"\W", "_", text, flags=re.ASCII))


def _identifier(name: Any) -> str:
    check_text("to_c: name", name)
    if not re.fullmatch(r"[A-Za-z]\w*", name, flags=re.ASCII):
        raise ValueError(
            f"to_c: name must be one of C's, letters, digits and '_', a letter first, got {shown(name)}; give name="
        )
    return str(name)


def _arguments(writer: CWriter, kind: str, names: list[str]) -> list[str]:
    return [writer.name(f"{kind}_{each}") for each in names] if len(names) > 1 else [kind]


def _comment(text: Any) -> str:
    """A text that ends no comment."""
    return re.sub(r"[^\x20-\x7e]|\*/|/\*|\\|\?\?", "_", str(text))


def _files(writer: CWriter, name: str, description: Any, ins: list[Any], outs: list[Any]) -> CSource:
    """Source and header."""
    floats, upper = placed(writer), name.upper()
    for step in writer.steps:
        step.title = _comment(step.title)
    code = body(writer.steps)
    members = f"    float f[{max(floats, 1)}];\n"
    if writer.sums:
        members += f"    int16_t q[{writer.quantised}];\n    int32_t sums[{writer.sums}];\n"
    declared = [*(f"const float *{own}" for own, _ in ins), *(f"float *{own}" for own, _ in outs)]
    signature = f"void {name}_predict({', '.join(declared)}, {name}_scratch *s)"
    sizes = "\n".join(f"#define {upper}_{own.upper()}_SIZE {prod(tensor.row)}" for own, tensor in (*ins, *outs))
    shapes = "\n".join(f"     {own}: {tensor.row or (1,)}" for own, tensor in (*ins, *outs))
    classes = description.notes.get("classes")
    shapes += f"\n   Classes, in the order of the output: {_comment(', '.join(map(str, classes)))}" if classes else ""
    size = 4 * max(floats, 1) + 2 * writer.quantised + 4 * writer.sums
    header = f"""\
/* The network {name}, written by fastnn {__version__}. {name}_predict works it out for one row:
{shapes}
   Weights take {writer.bytes} bytes, {name}_scratch {size}, of which each thread needs its own. */
#ifndef {upper}_H
#define {upper}_H
{chr(10) + "#include <stdint.h>" + chr(10) if writer.sums else ""}
{sizes}

typedef struct {{
{members}}} {name}_scratch;

#ifdef __cplusplus
extern "C" {{
#endif

{signature};

#ifdef __cplusplus
}}
#endif

#endif
"""
    helpers = [text for helper, text in HELPERS.items() if helper in writer.helpers]
    text = "\n".join([*writer.tables, *helpers, *writer.functions, f"{signature} {{"])
    text += "" if "s->" in code else "\n    (void)s;"
    text += f"\n{code}\n}}\n"
    maths = "#include <math.h>\n\n" if re.search(MATHS, "".join([*helpers, *writer.functions, code])) else ""
    return CSource(f'/* See {name}.h. */\n{maths}#include "{name}.h"\n\n{text}', header)


def export(model: Any, filepath: str | PathLike[str], name: str | None = None, weights: str = "float32") -> None:
    """Write ``to_c(model, ...)`` to a file that ends in .c, and the header beside it. name: None takes the file's."""
    path = Path(check_path("export: filepath", filepath))
    if path.suffix != ".c":
        raise ValueError(f"export: filepath must end in .c, got {shown(str(path))}; the header goes beside it")
    files = to_c(model, _as_name(path.stem) if name is None else name, weights)
    source = re.sub(r'(?m)^#include ".*"$', lambda _: f'#include "{path.stem}.h"', files.source, count=1)
    for suffix, text in ((".h", files.header), (".c", source)):
        with replacing(path.with_suffix(suffix)) as file:
            file.write(text.encode())
