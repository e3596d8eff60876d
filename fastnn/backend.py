"""What Keras's ``backend`` says of numbers and names; fastnn computes in float32, by kernels of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _names

_epsilon = 1e-7
_interactive = True
_uids: dict[str, int] = {}

# Keras's types by kind, the narrow ones first; what two kinds make together is told by `_common`.
FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = frozenset((*FLOATS, *INTS, *UNSIGNED, "bool", "string", "complex64", "complex128"))


def backend() -> str:
    """The name of what computes: "fastnn"."""
    return "fastnn"


def epsilon() -> float:
    """A small number, 1e-7 unless set, for functions of one's own; fastnn's layers and losses have arguments for it."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Say what ``epsilon`` gives. TypeError, ValueError unless it is a number above 0."""
    global _epsilon
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"epsilon must be a number, got {value!r:.200}")
    if not 0 < float(value) < float("inf"):
        raise ValueError(f"epsilon must be above 0 and finite, got {value!r}")
    _epsilon = float(value)


def floatx() -> str:
    """The type of weights and rows: "float32"."""
    return "float32"


def set_floatx(value: str) -> None:
    """Take "float32", the one type that networks are computed in. ValueError for another."""
    if standardize_dtype(value) != "float32":
        raise ValueError(f"networks are computed in float32, got {value!r}; see docs/differences.md")


def image_data_format() -> str:
    """How pictures lie in arrays: "channels_last"."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Take "channels_last", the one order that there is. ValueError for another."""
    if data_format != "channels_last":
        raise ValueError(f"pictures lie channels_last, got {data_format!r}; turn them by x.transpose(0, 2, 3, 1)")


def clear_session(free_memory: bool = True) -> None:
    """Start counting names again, and collect what nobody refers to; models in use are not touched.

    fastnn keeps no graph and no model of its own, so a loop that makes models needs no call of this.
    """
    _uids.clear()
    if free_memory:
        import gc

        gc.collect()


def get_uid(prefix: str = "") -> int:
    """How often this was asked for the prefix since ``clear_session``: 1, 2, ..."""
    _uids[prefix] = _uids.get(prefix, 0) + 1
    return _uids[prefix]


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor: what ``Input`` and layers called on one give."""
    from fastnn.layers.tensor import Tensor

    return isinstance(x, Tensor)


def standardize_dtype(dtype: Any) -> str:
    """A type's name: of a text, or a type of NumPy, Python, torch, JAX; None is "float32". ValueError if unknown."""
    if dtype is None:
        return floatx()
    if dtype in (int, float, bool, str):
        return {int: "int32", float: "float32", bool: "bool", str: "string"}[dtype]
    if isinstance(dtype, str):
        name = {"int": "int32", "float": "float32"}.get(dtype, dtype)
    elif str(dtype).startswith("torch."):
        name = str(dtype).removeprefix("torch.")
    else:
        try:
            name = getattr(dtype, "name", None) or np.dtype(dtype).name
        except TypeError:
            name = repr(dtype)
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r:.200}; known: {', '.join(sorted(DTYPES))}")
    return name


def is_float_dtype(dtype: Any) -> bool:
    """Whether a type has fractions."""
    return standardize_dtype(dtype) in FLOATS


def is_int_dtype(dtype: Any) -> bool:
    """Whether a type has whole numbers, of either sign or of one."""
    return standardize_dtype(dtype) in (*INTS, *UNSIGNED)


def result_type(*dtypes: Any) -> str:
    """The type in which Keras adds numbers of these: as JAX has it, so int64 and float16 make float16.

    ``int`` and ``float``, the types of Python's own numbers, make another type of their kind no wider.
    """
    if not dtypes:
        return "float32"
    weak = [each for each in dtypes if each in (int, float)]
    names = {standardize_dtype(each) for each in dtypes if each not in (int, float)}
    name = _common(names) if names else ""
    if float in weak and not (is_float_dtype(name) if name else False) and not name.startswith("complex"):
        return "float32"
    if int in weak and name in ("", "bool"):
        return "int32"
    return name


def _common(names: set[str]) -> str:
    """The narrowest type that these have in common."""
    if len(names) == 1:
        return next(iter(names))
    names = names - {"bool"}
    if "string" in names:
        raise ValueError(f"there is no type for {', '.join(sorted(names))} together")
    complexes = [name for name in names if name.startswith("complex")]
    if complexes:
        return "complex128" if "complex128" in names or "float64" in names else "complex64"
    floats = [name for name in FLOATS if name in names]
    if floats:
        return "float32" if floats == ["float16", "bfloat16"] else floats[-1]
    ints, unsigned = ([name for name in kind if name in names] for kind in (INTS, UNSIGNED))
    if not ints or not unsigned:
        return (ints or unsigned)[-1]
    if unsigned[-1] == "uint64":
        return "float32"
    return INTS[max(INTS.index(ints[-1]), UNSIGNED.index(unsigned[-1]) + 1)]


def enable_interactive_logging() -> None:
    """Let a bar move in a terminal or a notebook while a fit runs, as it does unless it was disabled."""
    _set_interactive(True)


def disable_interactive_logging() -> None:
    """Let a fit print one line an epoch, wherever it runs, where it would move a bar."""
    _set_interactive(False)


def is_interactive_logging_enabled() -> bool:
    """Whether a bar may move."""
    return _interactive


def _set_interactive(value: bool) -> None:
    global _interactive
    _interactive = value


_names.offer(globals())
