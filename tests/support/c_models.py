"""Models that were written as C, compiled and run."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.exchange import to_c

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_number = itertools.count()


def build(source: Path, target: Path, *flags: str, compiler: str = "cc") -> None:
    """Compile a file with all warnings; the test is skipped where there is no compiler."""
    if shutil.which(compiler) is None:
        pytest.skip(f"a C compiler, {compiler}: apt-get install gcc clang")
    libraries = [] if "-c" in flags else ["-lm"]
    command = [compiler, *STRICT, *flags, "-o", str(target), str(source), *libraries]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr[:4000]


def written(model: Any, folder: Path, more: str, **options: Any) -> Path:
    """The model as net.c and net.h, and a file that includes it and has `more` behind it."""
    files = to_c(model, name="net", **options)
    (folder / "net.c").write_text(files.source)
    (folder / "net.h").write_text(files.header)
    path = folder / "all.c"
    path.write_text(f'#include "net.c"\n{more}')
    return path


def compiled(model: Any, folder: Path, **options: Any) -> Any:
    """A function like ``model.predict`` of the model in C: arrays give a list of arrays."""
    sizes = "long net_scratch_bytes(void); long net_scratch_bytes(void) { return (long)sizeof(net_scratch); }\n"
    library = folder / f"net{next(_number)}.so"  # a name of its own, or the one before stays loaded
    build(written(model, folder, sizes, **options), library, "-O0", "-shared", "-fPIC")
    loaded = ctypes.CDLL(str(library))
    scratch = ctypes.create_string_buffer(loaded.net_scratch_bytes() + 64)
    outputs = model.description.graph.outputs

    def predict(*inputs: Any) -> list[np.ndarray]:
        rows = [np.ascontiguousarray(x, np.float32).reshape(len(x), -1) for x in inputs]
        given = [np.full((len(rows[0]), prod(tensor.row)), np.nan, np.float32) for tensor in outputs]
        ctypes.memset(scratch, 0xFF, len(scratch))  # NaNs: nothing in it need be set
        place = ctypes.c_void_p((ctypes.addressof(scratch) + 63) & ~63)
        for k in range(len(rows[0])):
            loaded.net_predict(*(ctypes.c_void_p(array[k].ctypes.data) for array in (*rows, *given)), place)
        return [array.reshape(-1, *tensor.row) for array, tensor in zip(given, outputs, strict=True)]

    return predict


def run_sanitized(model: Any, folder: Path, x: np.ndarray, **options: Any) -> np.ndarray:
    """What a program gives for rows on its standard input, with each array an allocation of its own size."""
    width, units = prod(model.inputs[0].row), prod(model.outputs[0].row)
    main = f"""
#include <stdio.h>
#include <stdlib.h>
int main(void) {{
    float *x = malloc({4 * width}), *y = malloc({4 * units});
    net_scratch *s = malloc(sizeof *s);
    while (fread(x, 4, {width}, stdin) == {width}) {{
        net_predict(x, y, s);
        fwrite(y, 4, {units}, stdout);
    }}
    free(x), free(y), free(s);
    return 0;
}}
"""
    program = folder / "net"
    build(written(model, folder, main, **options), program, *SANITIZED)
    done = subprocess.run([str(program)], input=x.astype(np.float32).tobytes(), capture_output=True)
    assert not done.returncode, done.stderr[:3000]
    return np.frombuffer(done.stdout, np.float32).reshape(len(x), *model.outputs[0].row)
