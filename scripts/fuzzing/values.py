"""Odd values for arguments, and sensible ones by the name of the parameter."""

from __future__ import annotations

import array
import decimal
import fractions
import itertools
import random
from collections import UserDict, deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import fastnn.layers as L
from fastnn import activations, callbacks, constraints, initializers, losses, metrics, optimizers, regularizers
from fastnn.models import Sequential
from fuzzing.judge import OwnError


class OwnValue:
    """A value of the user's whose every use raises."""

    def _raises(self, *_: Any, **__: Any) -> Any:
        raise OwnError("of the caller's own")

    __len__ = __iter__ = __getitem__ = __float__ = __int__ = __index__ = __array__ = __call__ = __eq__ = _raises
    __bool__ = __fspath__ = __enter__ = __hash__ = __add__ = __lt__ = _raises  # type: ignore[assignment]


class OwnRepr:
    """A value of the user's that cannot be shown."""

    def __repr__(self) -> str:
        raise OwnError("of the caller's own")


class OwnLoss(losses.MeanSquaredError):
    """A loss of the user's that differs from that of the table in its name alone."""


class OwnCallback(callbacks.Callback):
    """A callback of the user's that raises."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        raise OwnError("of the caller's own")


def own_mean(y: Any, p: Any) -> Any:
    """A loss of the user's."""
    return np.mean((y - p) ** 2, axis=-1)


def own_raises(*_: Any, **__: Any) -> Any:
    """A function of the user's that raises."""
    raise OwnError("of the caller's own")


def own_none(*_: Any, **__: Any) -> Any:
    """A function of the user's that gives nothing."""


def own_self(x: Any) -> Any:
    """A function of the user's that gives what it gets."""
    return x


def _recursive() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


def _recursive_dict() -> Any:
    found: dict[str, Any] = {}
    found["a"] = found
    return found


def _deep() -> Any:
    found: Any = 1.0
    for _ in range(3000):
        found = [found]
    return found


def _read_only() -> Any:
    found = np.ones((4, 5), np.float32)
    found.setflags(write=False)
    return found


def _unaligned() -> Any:
    return np.frombuffer(bytes(4 * 20 + 1), np.uint8)[1:].view(np.float32).reshape(4, 5)


class _Subclass(np.ndarray[Any, Any]):
    pass


Pool = dict[str, Callable[[], Any]]


def _evaluated(texts: str) -> Pool:
    return {text: (lambda text=text: eval(text)) for text in texts.split()}


NUMBERS: Pool = _evaluated(
    """
    None True False 0 1 -1 2 3 5 7 100 10**6 2**31-1 2**31 2**32 2**62 2**63-1 2**63 2**64 -2**31 -2**63
    10**30 10**400 10**5000 -10**5000 0.0 -0.0 0.5 -0.5 1.0 1.5 2.0 1e-320 1e-45 1e-8 1e16 3.5e38 1e39 1e308
    float('nan') float('inf') -float('inf') 1j 2+0j np.float32(1) np.float64(0.5) np.float16(2) np.int64(2)
    np.int8(-1) np.uint64(2**64-1) np.bool_(True) np.float32('nan') np.complex64(1) np.datetime64('2020')
    np.longdouble(1) np.str_('1') decimal.Decimal('0.5') decimal.Decimal('NaN') fractions.Fraction(1,3) '1'
    b'1' np.array(1.0) np.array(2) np.array([1])
    """
)
TEXTS: Pool = _evaluated(
    r"""
    '' 'x' 'relu' 'softmax' 'mse' 'mae' 'adam' 'sgd' 'accuracy' 'auto' 'max' 'min' 'loss' 'val_loss' 'none'
    'zeros' 'a/b' 'é' '\0' '\ud800' '\n' '{}' '{epoch}' '{nothing}' '%s' 'a'*5000 '/nonexistent/x' '.' '..'
    '/dev/null' '/dev/full' 'x.keras' 'x.h5' 'x.fastnn' 'balanced' 'epoch' 'batch' 'SELECT_1' 'linear' 'sum'
    'mean' 'inf' '-1' b'' b'relu' b'x' bytearray(b'x') np.str_('relu') Path('x') Path('.') np.bytes_(b'x')
    """
)
ARRAYS: Pool = {
    "[]": list,
    "[[]]": lambda: [[]],
    "[None]": lambda: [None],
    "[1, 2]": lambda: [1, 2],
    "[[1, 2], [3]]": lambda: [[1, 2], [3]],
    "[[1.0] * 5] * 4": lambda: [[1.0] * 5] * 4,
    "['a', 'b']": lambda: ["a", "b"],
    "[10**400] * 4": lambda: [10**400] * 4,
    "np.array([])": lambda: np.array([]),
    "zeros (0, 5)": lambda: np.zeros((0, 5)),
    "zeros (4, 0)": lambda: np.zeros((4, 0)),
    "zeros (4,)": lambda: np.zeros(4),
    "zeros (1, 5)": lambda: np.zeros((1, 5)),
    "ones (4, 5)": lambda: np.ones((4, 5)),
    "ones (4, 1)": lambda: np.ones((4, 1)),
    "ones (4, 2) f32": lambda: np.ones((4, 2), np.float32),
    "zeros (4, 5, 1)": lambda: np.zeros((4, 5, 1)),
    "zeros of 64 axes": lambda: np.zeros((1,) * 64),
    "zeros of 33 axes": lambda: np.zeros((4,) + (1,) * 32),
    "int8": lambda: np.ones((4, 5), np.int8),
    "int64 huge": lambda: np.full((4, 5), 2**62),
    "uint64 huge": lambda: np.full((4, 1), 2**64 - 1, np.uint64),
    "bool": lambda: np.ones((4, 5), bool),
    "float16": lambda: np.ones((4, 5), np.float16),
    "longdouble": lambda: np.ones((4, 5), np.longdouble),
    "complex": lambda: np.ones((4, 5), complex),
    "texts": lambda: np.full((4, 5), "a"),
    "number texts": lambda: np.full((4, 5), "1"),
    "bytes": lambda: np.full((4, 5), b"a"),
    "object": lambda: np.ones((4, 5), object),
    "object None": lambda: np.full((4, 5), None),
    "object huge": lambda: np.full((4, 5), 10**400, object),
    "object dicts": lambda: np.array([{}, {}, {}, {}]),
    "Decimals": lambda: np.full((4, 5), decimal.Decimal("0.5")),
    "datetimes": lambda: np.full((4, 5), np.datetime64("2020")),
    "timedelta": lambda: np.full(4, np.timedelta64(1)),
    "record": lambda: np.zeros(4, [("a", float), ("b", int)]),
    "record of text": lambda: np.zeros(4, [("a", "U3"), ("b", object)]),
    "void": lambda: np.zeros(4, "V8"),
    "NaN": lambda: np.full((4, 5), np.nan, np.float32),
    "inf": lambda: np.full((4, 5), np.inf),
    "1e39": lambda: np.full((4, 5), 1e39),
    "1e-45": lambda: np.full((4, 5), 1e-45, np.float32),
    "3e38": lambda: np.full((4, 5), 3e38, np.float32),
    "negative": lambda: np.full((4, 1), -1),
    "Fortran": lambda: np.asfortranarray(np.ones((4, 5), np.float32)),
    "strided": lambda: np.ones((8, 10), np.float32)[::2, ::2],
    "reversed": lambda: np.ones((4, 5), np.float32)[::-1, ::-1],
    "byte-swapped": lambda: np.ones((4, 5), ">f4"),
    "broadcast": lambda: np.broadcast_to(np.float32(1), (4, 5)),
    "broadcast huge": lambda: np.broadcast_to(np.float32(1), (2**40, 5)),
    "read-only": _read_only,
    "unaligned": _unaligned,
    "masked": lambda: np.ma.masked_equal(np.ones((4, 5), np.float32) * np.arange(5), 2),
    "masked row": lambda: np.ma.masked_all((4, 5)),
    "matrix": lambda: np.asmatrix(np.ones((4, 5))),
    "subclass": lambda: np.ones((4, 5), np.float32).view(_Subclass),
    "memoryview": lambda: memoryview(np.ones((4, 5), np.float32)),
    "array.array": lambda: array.array("d", [1, 2, 3, 4]),
    "bytes rows": lambda: [b"ab", b"cd"],
    "range": lambda: range(4),
    "deep list": _deep,
    "recursive list": _recursive,
    "deque": lambda: deque([1, 2]),
    "(1, 2)": lambda: (1, 2),
    "((4, 5), 1)": lambda: (np.ones((4, 5)), np.ones((4, 1))),
    "(x, y, w, z)": lambda: (np.ones((4, 5)), 1, 2, 3),
    "one array twice": lambda: [np.ones((4, 5))] * 2,
    "dict of arrays": lambda: {"a": np.ones((4, 3)), "b": np.ones((4, 2, 2))},
}
OBJECTS: Pool = {
    "{}": dict,
    "{'a': 1}": lambda: {"a": 1},
    "{0: 1.0, 1: 2.0}": lambda: {0: 1.0, 1: 2.0},
    "{1: None}": lambda: {1: None},
    "{nan: nan}": lambda: {float("nan"): float("nan")},
    "{(1,): 'x'}": lambda: {(1,): "x"},
    "recursive dict": _recursive_dict,
    "UserDict": lambda: UserDict(a=1),
    "set": lambda: {1},
    "frozenset": frozenset,
    "object": object,
    "...": lambda: ...,
    "int": lambda: int,
    "type": lambda: type,
    "np": lambda: np,
    "lambda": lambda: lambda x: x,
    "lambda of none": lambda: lambda: None,
    "own_mean": lambda: own_mean,
    "own_none": lambda: own_none,
    "own_self": lambda: own_self,
    "own_raises": lambda: own_raises,
    "OwnValue": OwnValue,
    "OwnRepr": OwnRepr,
    "OwnLoss": OwnLoss,
    "OwnCallback": OwnCallback,
    "iter": lambda: iter([np.ones((4, 5))]),
    "generator": lambda: ((np.ones((4, 5)), np.ones((4, 1))) for _ in range(2)),
    "generator of batches that change": lambda: ((np.ones((4, n)), np.ones((4, 1))) for n in (5, 6)),
    "empty generator": lambda: (x for x in ()),
    "count of 9": lambda: itertools.islice(itertools.count(), 9),
    "slice": lambda: slice(None),
    "datetime": lambda: datetime(2020, 1, 1),
    "exception": lambda: OwnError("x"),
    "dtype": lambda: np.dtype("f4"),
    "Dense": lambda: L.Dense,
    "Dense(2)": lambda: L.Dense(2),
    "Dense(2) with rows": lambda: L.Dense(2, input_dim=3),
    "Input": lambda: L.Input((5,)),
    "tensor": lambda: L.Dense(2)(L.Input((5,))),
    "[tensor, tensor]": lambda: [L.Input((5,)), L.Input((5,))],
    "model": lambda: Sequential([L.Input((5,)), L.Dense(2)]),
    "unbuilt model": lambda: Sequential([L.Dense(2)]),
    "empty model": Sequential,
    "Sequential": lambda: Sequential,
    "ReLU()": activations.ReLU,
    "ReLU": lambda: activations.ReLU,
    "mse": losses.MeanSquaredError,
    "losses.mse": lambda: losses.mean_squared_error,
    "Loss": lambda: losses.Loss,
    "MAE": metrics.MeanAbsoluteError,
    "AUC": metrics.AUC,
    "Adam()": optimizers.Adam,
    "Adam": lambda: optimizers.Adam,
    "LBFGS()": optimizers.LBFGS,
    "schedule": lambda: optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
    "L2()": regularizers.L2,
    "MaxNorm()": constraints.MaxNorm,
    "Zeros()": initializers.Zeros,
    "Initializer": lambda: initializers.Initializer,
    "EarlyStopping()": callbacks.EarlyStopping,
    "History()": callbacks.History,
    "Callback": lambda: callbacks.Callback,
}
CALLABLES: Pool = {title: OBJECTS[title] for title in OBJECTS if title.lower().startswith(("own", "lambda"))}
ALL: Pool = {**NUMBERS, **TEXTS, **ARRAYS, **OBJECTS}
_TITLES = {id(pool): list(pool) for pool in (NUMBERS, TEXTS, ARRAYS, OBJECTS, CALLABLES, ALL)}
_NAMESPACE = (decimal, fractions, Path)  # what the texts above name

# Numbers that are asked for as so much work, not as a mistake.
WORK = {
    *(
        "epochs",
        "initial_epoch",
        "steps_per_epoch",
        "steps",
        "validation_steps",
        "max_iter",
        "max_evaluations",
        "times",
    ),
    *("history_size", "num_thresholds", "line_search"),
}

# Parameters that are called: with `int` in their place, what `int` raises would be the caller's own.
CALLED = {
    "print_fn",
    "fn",
    "function",
    "gradient",
    "derivative",
    "schedule",
    "on_epoch_begin",
    "on_epoch_end",
    "predict",
}
CALLED |= {"on_train_begin", "on_train_end", "on_train_batch_begin", "on_train_batch_end"}

# Sensible values by the name of a parameter.
GOOD: dict[str, list[Any]] = {
    "units": [1, 2, 3],
    "activation": ["relu", "tanh", "softmax", None, activations.ReLU(0.1)],
    "output_dim": [2],
    "input_dim": [3, 5],
    "num_tokens": [3],
    "output_mode": ["multi_hot", "count", "one_hot"],
    "rate": [0.1, 0.5],
    "stddev": [0.1, 1.0],
    "axis": [-1, 1, (1,), 0],
    "axes": [1, -1, (1, 1)],
    "shape": [(5,), (2, 3)],
    "input_shape": [(5,), (2, 3), None],
    "target_shape": [(5,), (-1,), (5, 1)],
    "dims": [(1,), (2, 1)],
    "layer": [L.Dense(2)],
    "scale": [0.5, 2.0],
    "offset": [0.0, 1.0],
    "learning_rate": [0.01, 0.1],
    "initial_learning_rate": [0.1],
    "decay_steps": [10],
    "decay_rate": [0.5],
    "first_decay_steps": [5],
    "boundaries": [[5, 10]],
    "values": [[0.1, 0.01, 0.001]],
    "max_learning_rate": [0.1],
    "total_steps": [20],
    "warmup_steps": [3],
    "schedule": ["x"],
    "num_classes": [2, 3],
    "target_class_ids": [[0], (0, 1)],
    "k": [1, 2],
    "thresholds": [0.5, None, [0.2, 0.8]],
    "threshold": [0.5],
    "specificity": [0.5],
    "sensitivity": [0.5],
    "recall": [0.5],
    "precision": [0.5],
    "reduction": ["sum", "sum_over_batch_size", "mean_with_sample_weight"],
    "from_logits": [True, False],
    "label_smoothing": [0.0, 0.1],
    "name": [None, "a", "b"],
    "seed": [None, 1],
    "monitor": ["loss", "val_loss"],
    "filepath": ["f.fastnn"],
    "filename": ["f.csv"],
    "backup_dir": ["backup"],
    "log_dir": ["logs"],
    "seconds": [10.0],
    "function": [own_self, own_mean],
    "fn": [own_mean],
    "value": [0.5],
    "identifier": ["mse", "relu", "adam", "zeros", "l2"],
    "optimizer": ["sgd", "adam", optimizers.Adam(0.01)],
    "loss": ["mse", "mae", "huber", own_mean],
    "metrics": [None, ["mae"], ["accuracy"]],
    "weighted_metrics": [None, ["mse"]],
    "batch_size": [None, 2, 4],
    "epochs": [1, 2],
    "verbose": [0, 1, 2],
    "callbacks": [None],
    "validation_split": [0.0, 0.25],
    "print_fn": [len],
    "epsilon": [1e-7, 1e-3],
    "momentum": [0.9, 0.0],
    "l1": [0.1],
    "l2": [0.1],
    "max_value": [1.0],
    "factor": [0.5],
    "patience": [0, 1],
    "kernel_initializer": ["zeros", "glorot_uniform"],
    "kernel_regularizer": [None, "l2"],
    "kernel_constraint": [None, "non_neg"],
    "on_epoch_end": [lambda epoch, logs: None],
    "layers": [[L.Dense(2)]],
    "into": ["predictions"],
    "key": ["id"],
    "n": [1, 2],
    "minval": [0.0],
    "maxval": [1.0],
    "mean": [0.0],
    "variance": [1.0],
}


def odd(rng: random.Random, pool: Pool = ALL) -> tuple[str, Any]:
    """An odd value and what it is called."""
    title = rng.choice(_TITLES[id(pool)])
    return title, ALL[title]()


def like(rng: random.Random, name: str, default: Any) -> tuple[str, Any]:
    """An odd value for a parameter, most often of the kind that it takes."""
    if name in WORK:
        title = rng.choice(
            ["None", "True", "0", "1", "-1", "-2**63", "0.5", "float('nan')", "'1'", "1j", "np.int64(2)", "10**400"]
        )
        return (title, ALL[title]()) if title != "10**400" else ("'x'", "x")
    if name in CALLED:
        return odd(rng, CALLABLES) if rng.random() < 0.5 else odd(rng, rng.choice([NUMBERS, TEXTS, ARRAYS]))
    if rng.random() < 0.4:
        return odd(rng)
    if isinstance(default, (bool, int, float)):
        return odd(rng, NUMBERS)
    if isinstance(default, str):
        return odd(rng, TEXTS)
    return odd(rng, rng.choice([NUMBERS, ARRAYS, OBJECTS, TEXTS]))
