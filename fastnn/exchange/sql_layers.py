"""What each layer is in SQL: arrays of texts, of which each is a number that a level of the query works out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.activations import RowActivation
from fastnn.exchange.plain import SAME, UNITS, Call, affine, axes_of, function
from fastnn.layers.tensor import Node
from fastnn.typing import Shape

COVERED = (
    "Dense, activations (not sparsemax), normalization layers (not group and unit), Rescaling, CategoryEncoding, "
    "Embedding, merging layers (not Dot), reshaping and elementwise layers, and of what prepares columns StringLookup, "
    "IntegerLookup, Discretization and Scaler"
)
MOST_ARGUMENTS = 50  # of SQLite's max, which takes 100
LEAST = {"sqlite": ("min", "max"), "mariadb": ("least", "greatest")}  # which give NULL for NULL, as others do not
REFERENCE = re.compile("\0h[0-9]+_[0-9]+\0")  # to a column of a level; a zero byte is in no name and no text of a model


class SqlWriter:
    """Takes down a model's calls for `plain.walk`, level by level: each reads the columns of those before."""

    what, covered = "to_sql", COVERED
    bits = ("float16", "bfloat16")  # int8 rounds what it meets, too

    def __init__(self, dialect: str) -> None:
        self.layers, self.dialect = LAYERS_IN_SQL, dialect
        self.functions: set[str] = set()
        self._levels: list[dict[str, str]] = []

    def emit(self, texts: Any) -> Any:
        """A level of these expressions; gives what stands for each, which may be read again and again."""
        made: dict[str, str] = {}
        level = f"\0h{len(self._levels)}_"
        found = np.empty(texts.shape, object)
        for place, text in enumerate(texts.flat):
            known = REFERENCE.fullmatch(text) or re.fullmatch(r"\d[-\d.e]*", text)  # not -1: --1 is a comment
            found.flat[place] = text if known else made.setdefault(text, f"{level}{len(made)}\0")
        if made:
            self._levels.append({own: text for text, own in made.items()})
        return found

    def used(self, ends: list[str]) -> list[list[str]]:
        """Of each level the columns that lead to these texts: names of the level before, and expressions as names."""
        wanted = set(REFERENCE.findall(" ".join(ends)))
        found = []
        for level in reversed(self._levels):
            own = {name: text for name, text in level.items() if name in wanted}
            passed = sorted(wanted - own.keys())
            found.append([*passed, *(f"{text} AS {name}" for name, text in own.items())] or ["0 AS nothing"])
            wanted = {*passed, *REFERENCE.findall(" ".join(own.values()))}
        return found[::-1]

    def inlined(self, text: str, most: int) -> str | None:
        """The text with all that it reads written out; None where that is more than so many characters."""
        known: dict[str, str] = {}
        for level in [*self._levels, {"": text}]:
            for name, own in level.items():
                known[name] = made = REFERENCE.sub(lambda found: f"({known[found[0]]})", own)
                if len(made) > most:
                    return None
        return known[""]

    def before(self, call: Call, node: Node, reader: Any) -> Call:
        """See `plain.walk`."""
        return call

    def each(self, count: int, row: Shape, value: Any, steps: Callable[[Any], Any], path: str) -> Any:
        """See `plain.walk`."""
        return np.stack([steps(part) for part in value])

    # Texts.

    def number(self, value: Any) -> str:
        """A constant, of which no database makes a decimal number."""
        with np.errstate(over="ignore"):
            single = np.float32(value)
        short = single if float(single) == float(value) else np.float64(value)
        return re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", np.format_float_scientific(short, trim="-"))

    def where(self, condition: str, yes: str, no: str) -> str:
        """One of two; the second for NULL."""
        return f"(CASE WHEN {condition} THEN {yes} ELSE {no} END)"

    def call(self, name: str, x: str) -> str:
        """A function of <math.h>, within what databases have."""
        n = self.number
        if name == "exp":  # which is an error in some where it is beyond the doubles, or below
            self.functions.add("exp")
            low, high = n(-80), n(88)
            if self.dialect in LEAST:
                least, most = LEAST[self.dialect]
                return f"exp({least}({most}({x}, {low}), {high}))"
            return f"exp(CASE WHEN {x} < {low} THEN {low} WHEN {x} > {high} THEN {high} ELSE {x} END)"
        if name == "expm1":
            return f"({self.call('exp', x)} - {n(1)})"
        if name == "log1p":
            return self.call("log", f"({n(1)} + {x})")
        if name == "tanh" and self.dialect == "mariadb":
            return f"({n(1)} - {n(2)} / ({self.call('exp', f'({n(2)} * {x})')} + {n(1)}))"
        if name == "erfc":  # Abramowitz and Stegun 7.1.26, off by at most 1.5e-7
            t = f"({n(1)} / ({n(1)} + {n(0.3275911)} * abs({x})))"
            text = n(1.061405429)
            for a in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
                text = f"({n(a)} + {t} * {text})"
            text = f"({t} * {text} * {self.call('exp', f'(-({x}) * ({x}))')})"
            return self.where(f"{x} < 0", f"{n(2)} - {text}", text)
        own = {"fabs": "abs", "log": "ln"}.get(name, name)
        if own != "abs":
            self.functions.add(own)
        return f"{own}({x})"

    def double(self, x: str) -> str:
        """What is chosen among constants: numbers of PostgreSQL's, which are decimal, unless they meet others."""
        return f"CAST({x} AS double precision)" if self.dialect == "postgresql" else x

    def text(self, value: str) -> str:
        """A text constant."""
        if "\0" in value:
            raise ValueError("to_sql: a vocabulary has a text with a zero byte, which SQL cannot hold")
        doubled = value.replace("'", "''")
        return f"'{doubled}'".replace("\\", "\\\\") if self.dialect == "mariadb" else f"'{doubled}'"


def total(texts: list[str]) -> str:
    """The sum, in brackets that keep it shallow: SQLite's expressions are at most 1,000 deep."""
    if len(texts) <= 8:
        return " + ".join(texts)
    half = len(texts) // 2
    return f"({total(texts[:half])}) + ({total(texts[half:])})"


def _largest(w: SqlWriter, texts: list[str]) -> str:
    while len(texts) > MOST_ARGUMENTS:
        heads = [texts[at : at + MOST_ARGUMENTS] for at in range(0, len(texts), MOST_ARGUMENTS)]
        texts = [_largest(w, each) for each in heads]
    name = "max" if w.dialect == "sqlite" else "greatest"
    return texts[0] if len(texts) == 1 else f"{name}({', '.join(texts)})"


def _mapped(change: Callable[..., str], *arrays: Any) -> Any:
    """The texts that `change` makes of those of arrays, which are broadcast to each other."""
    return (
        np.frompyfunc(change, len(arrays), 1)(*arrays)
        if arrays[0].ndim
        else np.array(change(*(a.item() for a in arrays)), object)
    )


def _lines(call: Call, x: Any, axes: list[int], act: Callable[[Any], Any]) -> Any:
    """What `act` gives for lines along these axes, (lines, numbers), in their places."""
    moved = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x.reshape(1, -1)
    lines = act(moved.reshape(-1, int(np.prod([x.shape[axis] for axis in axes])) if axes else x.size))
    return np.moveaxis(lines.reshape(moved.shape), range(-len(axes), 0), axes) if axes else lines.reshape(x.shape)


def _sums(lines: Any, change: Callable[[str], str] = str) -> Any:
    return np.array([[total([change(text) for text in line])] for line in lines], object)


def _softmax(w: SqlWriter, lines: Any, log: bool = False) -> Any:
    top = w.emit(np.array([[_largest(w, list(line))] for line in lines], object))
    if log:
        below = w.emit(_mapped(lambda z, m: f"{z} - {m}", lines, top))
        sums = w.emit(_sums(below, lambda z: w.call("exp", z)))
        return w.emit(_mapped(lambda z, s: f"{z} - {w.call('log', s)}", below, sums))
    raised = w.emit(_mapped(lambda z, m: w.call("exp", f"({z} - {m})"), lines, top))
    sums = w.emit(_sums(raised))
    return w.emit(_mapped(lambda e, s: f"{e} / {s}", raised, sums))


def _activated(w: SqlWriter, call: Call, x: Any, axes: list[int] | None = None) -> Any:
    activation = call.layer.activation
    name = activation.table_name
    if name == "linear":
        return x
    if isinstance(activation, RowActivation):
        if name == "sparsemax":
            raise call.refuse("to_sql cannot write sparsemax; softmax is covered")
        last = [x.ndim - 1] if axes is None else axes
        return _lines(call, x, last, lambda lines: _softmax(w, lines, name == "log_softmax"))
    return w.emit(_mapped(lambda z: UNITS[name](w, z, activation), x))


def _dense(w: SqlWriter, call: Call, x: Any) -> Any:
    kernel, bias = call.weights["kernel"], call.weights.get("bias")
    made = np.empty((*x.shape[:-1], kernel.shape[1]), object)
    for place in np.ndindex(*made.shape):
        terms = [
            f"{w.number(weight)} * {text}" for weight, text in zip(kernel[:, place[-1]], x[place[:-1]], strict=True)
        ]
        terms = [term for term, weight in zip(terms, kernel[:, place[-1]], strict=True) if weight]
        terms += [w.number(bias[place[-1]])] if bias is not None and bias[place[-1]] else []
        made[place] = total(terms or [w.number(0)])
    return _activated(w, call, w.emit(made))


def _affine(w: SqlWriter, call: Call, x: Any) -> Any:
    n = w.number

    def text(z: str, centre: float, scale: float, shift: float) -> str:
        return (f"({z} - {n(centre)})" if centre else z) + f" * {n(scale)}" + (f" + {n(shift)}" if shift else "")

    return w.emit(_mapped(text, x, *affine(call)))


def _normalisation(w: SqlWriter, call: Call, x: Any) -> Any:
    layer, axes = call.layer, axes_of(call.layer.axis, call.row)

    def act(lines: Any) -> Any:
        count = w.number(lines.shape[1])
        if call.kind == "LayerNormalization":
            means = w.emit(_mapped(lambda s: f"({s}) / {count}", _sums(lines)))
            lines = w.emit(_mapped(lambda z, m: f"{z} - {m}", lines, means))
        squares = _sums(lines, lambda z: f"{z} * {z}")
        root = w.emit(_mapped(lambda s: w.call("sqrt", f"({s}) / {count} + {w.number(layer.epsilon)}"), squares))
        scale = next((np.ravel(call.weights[name]) for name in ("gamma", "scale") if name in call.weights), np.ones(1))
        shift = np.ravel(call.weights.get("beta", 0.0))
        return w.emit(
            _mapped(lambda z, r, g, b: f"{z} / {r} * {w.number(g)} + {w.number(b)}", lines, root, scale, shift)
        )

    return _lines(call, x, axes, act)


def _prelu(w: SqlWriter, call: Call, x: Any) -> Any:
    return w.emit(_mapped(lambda z, a: w.where(f"{z} > 0", z, f"{w.number(a)} * {z}"), x, call.weights["alpha"]))


# Several.

MERGES = {"Add": "{} + {}", "Subtract": "{} - {}", "Multiply": "{} * {}", "Average": "{} + {}"}
# Without ELSE: NULL where one of them is.
MERGES |= {
    kind: f"CASE WHEN {{0}} {sign} {{1}} THEN {{0}} WHEN {{1}} {sign}= {{0}} THEN {{1}} END"
    for kind, sign in (("Maximum", ">"), ("Minimum", "<"))
}


def _merge(w: SqlWriter, call: Call, *xs: Any) -> Any:
    made = np.broadcast_to(xs[0], call.row)
    for x in xs[1:]:
        made = w.emit(_mapped(MERGES[call.kind].format, made, np.broadcast_to(x, call.row)))
    return w.emit(_mapped(lambda z: f"{z} / {w.number(len(xs))}", made)) if call.kind == "Average" else made


def _operation(w: SqlWriter, call: Call, x: Any, *_: Any) -> Any:
    name, arguments = call.layer.operation, call.layer.arguments or {}
    if name in ("slice", "broadcast_to"):
        numbers = call.layer.reference(np.arange(x.size, dtype=float).reshape(1, *x.shape)).astype(int)
        return np.array(x.ravel()[numbers.reshape(call.row)], object).reshape(call.row)
    if name == "constant":
        return _mapped(w.number, np.asarray(arguments["value"], float).reshape(call.row))
    if function(w, name, "z", arguments) is None:
        raise call.refuse(
            f"to_sql cannot write the operation {name!r}; arithmetic, slices and functions of a number are"
        )
    return w.emit(_mapped(lambda z: str(function(w, name, z, arguments)), x))


# Ids, and columns as they come.


def _encoded(w: SqlWriter, mode: str, ids: Any, row: Shape) -> Any:
    """Ids (..., n) as rows of zeros and ones, or of counts."""
    one, zero = w.number(1), w.number(0)
    lines = ids.reshape(-1, 1 if mode == "one_hot" else ids.shape[-1])

    def cell(line: Any, k: int) -> str:
        if mode == "count":
            cells = [f"CASE WHEN {each} = {k} THEN {one} WHEN {each} <> {k} THEN {zero} END" for each in line]
            return w.double(total(cells))
        others = " AND ".join(f"{each} <> {k}" for each in line)
        return w.double(f"CASE WHEN {others} THEN {zero} WHEN NOT ({others}) THEN {one} END")

    return w.emit(np.array([cell(line, k) for line in lines for k in range(row[-1])], object).reshape(row))


def _encoding(w: SqlWriter, call: Call, x: Any) -> Any:
    return _encoded(w, call.layer.output_mode, x, call.row)


def _embedding(w: SqlWriter, call: Call, x: Any) -> Any:
    def cell(place: str, column: Any) -> str:
        cases = " ".join(f"WHEN {k} THEN {w.number(value)}" for k, value in enumerate(column))
        return w.double(f"CASE {place} {cases} END")

    columns = call.weights["embeddings"].T
    made = [[cell(place, column) for column in columns] for place in x.flat]
    return w.emit(np.array(made, object).reshape(call.row))


def _lookup(w: SqlWriter, call: Call, x: Any) -> Any:
    layer = call.layer
    mode, masked = layer.output_mode, layer.mask_token is not None
    if layer.invert or mode == "tf_idf" or layer.num_oov_indices > 1:
        raise call.refuse(
            "to_sql writes lookups with output_mode 'int', 'one_hot', 'multi_hot' and 'count', and at most one "
            "num_oov_indices"
        )
    start, nothing = int(masked and mode == "int"), 0 if mode == "int" else -1  # which has no place in a row
    tokens = layer.get_vocabulary(include_special_tokens=False)
    constant = w.text if call.kind == "StringLookup" else str
    cases = [(token, start + layer.num_oov_indices + k) for k, token in enumerate(tokens)]
    cases += [(layer.mask_token, nothing)] if masked else []
    when = " ".join(f"WHEN {constant(token)} THEN {w.number(number)}" for token, number in cases)
    exact = {"sqlite": "{} COLLATE BINARY", "mariadb": "BINARY {}"}.get(w.dialect, "{}")
    exact = exact if call.kind == "StringLookup" else "{}"

    def cell(place: str) -> str:
        known = f"CASE {exact.format(place)} {when}"
        other = w.number(start) if layer.num_oov_indices else "NULL"
        missing = w.number(nothing) if masked else "NULL"
        return w.double(f"CASE WHEN {place} IS NULL THEN {missing} ELSE {known} ELSE {other} END END")

    ids = w.emit(_mapped(cell, x))
    return ids.reshape(call.row) if mode == "int" else _encoded(w, mode, ids, call.row)


def _discretization(w: SqlWriter, call: Call, x: Any) -> Any:
    layer = call.layer
    if layer.output_mode not in ("int", "one_hot") or not layer.bin_boundaries:
        raise call.refuse("to_sql writes Discretization with boundaries, and output_mode 'int' or 'one_hot'")

    def cell(z: str) -> str:
        cases = " ".join(
            f"WHEN {z} < {w.number(np.float32(edge))} THEN {w.number(k)}" for k, edge in enumerate(layer.bin_boundaries)
        )
        return w.double(f"CASE {cases} WHEN {z} IS NOT NULL THEN {w.number(len(layer.bin_boundaries))} END")

    ids = w.emit(_mapped(cell, x))
    return ids.reshape(call.row) if layer.output_mode == "int" else _encoded(w, "one_hot", ids, call.row)


def _scaler(w: SqlWriter, call: Call, x: Any) -> Any:
    layer, n = call.layer, w.number
    if layer.log:
        x = w.emit(_mapped(lambda z: w.call("log1p", z), x))
    center, scale, fill = (np.broadcast_to(each, x.shape) for each in layer.table())
    if layer.missing is None:
        return w.emit(_mapped(lambda z, c, s: f"({z} - {n(c)}) / {n(s)}", x, center, scale))
    made = _mapped(lambda z, c, s, f: f"(COALESCE({z}, {n(f)}) - {n(c)}) / {n(s)}", x, center, scale, fill)
    if layer.indicator:
        flags = _mapped(lambda z: f"CASE WHEN {z} IS NULL THEN {n(1)} ELSE {n(0)} END", x)
        made = np.concatenate([made, flags], axis=-1)
    return w.emit(made)


def _softmax_layer(w: SqlWriter, call: Call, x: Any) -> Any:
    return _activated(w, call, x, axes_of(call.layer.axis, call.row))


LAYERS_IN_SQL: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(SAME, lambda w, call, x: x.reshape(call.row)),
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU"), _activated),
    **dict.fromkeys(("BatchNormalization", "Normalization", "Rescaling"), _affine),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _normalisation),
    **dict.fromkeys(("StringLookup", "IntegerLookup"), _lookup),
    **dict.fromkeys(MERGES, _merge),
    "CategoryEncoding": _encoding,
    "Concatenate": lambda w, call, *xs: np.concatenate(xs, axis=axes_of(call.layer.axis, call.row)[0]),
    "Dense": _dense,
    "Discretization": _discretization,
    "Embedding": _embedding,
    "Operation": _operation,
    "PReLU": _prelu,
    "Permute": lambda w, call, x: x.transpose([axis - 1 for axis in call.layer.dims]),
    "RepeatVector": lambda w, call, x: np.broadcast_to(x, call.row),
    "Scaler": _scaler,
    "Softmax": _softmax_layer,
}
