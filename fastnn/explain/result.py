"""What an explanation says: what each feature adds to an output, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, check_path, shown

if TYPE_CHECKING:
    from fastnn.typing import Array, DoubleArray

FORMAT = "fastnn explanation 1"


class Explanation:
    """Rows and what each of their features adds to an output, beginning at a base value.

    values: (rows, *row) float64, in the unit of the output; (rows, *row, outputs) for several outputs; for several
    inputs a list of such. base_values: (rows,) or (rows, outputs), what the output is with nothing known of the row;
    one number stands for all rows. data: the rows as given; for several inputs a list. feature_names: of the last axis
    of a row, () where that is none of features; for several inputs the inputs' names. output_names: () for one output.
    method: what made it. std: standard errors of the values, where they are sampled, else None.

    ValueError where the shapes do not hang together.
    """

    def __init__(
        self,
        values: Any,
        base_values: Any,
        data: Any,
        *,
        feature_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
        method: str = "",
        std: Any = None,
    ) -> None:
        self.values: Any = _each(lambda array: np.asarray(array, np.float64), values)
        self.data: Any = _each(np.asarray, data)
        self.std: Any = None if std is None else _each(lambda array: np.asarray(array, np.float64), std)
        self.feature_names, self.output_names = tuple(feature_names), tuple(output_names)
        self.method = method
        rows = len(_listed(self.data)[0])
        shape = (rows, len(self.output_names)) if self.output_names else (rows,)
        base = np.asarray(base_values, np.float64)
        try:
            self.base_values: DoubleArray = np.broadcast_to(base, shape).copy()
        except ValueError:
            raise ValueError(f"Explanation: base_values must have the shape {shape}, got {base.shape}") from None
        wide = _listed(self.values)[0]
        fits = all(len(each) == rows for each in _listed(self.values) + _listed(self.data))
        if self.output_names:
            fits = fits and all(each.shape[-1] == shape[-1] for each in _listed(self.values))
        if not fits or (self.std is not None and _shapes(self.std) != _shapes(self.values)):
            raise ValueError(
                f"Explanation: values, data and std must have one entry for each of {rows} row(s) and for each of the "
                f"outputs {self.output_names}, got values of shape {_shapes(self.values)}"
            )
        names = len(self.values) if self._several else wide.shape[-1 - bool(self.output_names)]
        if self.feature_names and len(self.feature_names) != names:
            raise ValueError(f"Explanation: expected {names} feature_names, got {len(self.feature_names)}")

    @property
    def _several(self) -> bool:
        return isinstance(self.values, list)

    def __len__(self) -> int:
        return len(self.base_values)

    def __repr__(self) -> str:
        outputs = f", outputs {', '.join(self.output_names)}" if self.output_names else ""
        return f"<Explanation by {self.method or 'an unnamed method'}: values {_shapes(self.values)}{outputs}>"

    def __getitem__(self, rows: Any) -> Explanation:
        """The explanation of some rows: a number (one row is left), a slice, or an array of numbers or flags."""
        if isinstance(rows, (int, np.integer)):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"there is no row {rows}; the explanation has {len(self)}")
            rows = [rows]
        return self._with(lambda array: array[rows], self.base_values[rows], self.data, self.output_names)

    def output(self, which: int | str) -> Explanation:
        """The explanation of one output alone, by its number or name. ValueError where there is none such."""
        names = self.output_names
        if isinstance(which, str) and which in names:
            which = names.index(which)
        if isinstance(which, str) or not 0 <= check_count("output", which, 0) < max(1, len(names)):
            raise ValueError(
                f"the explanation has no output {shown(which)}{_names.hint(which, names)}; "
                f"it has {', '.join(map(repr, names)) or 'one, 0'}"
            )
        if not names:
            return self
        return self._with(lambda array: array[..., which], self.base_values[:, which], None, ())

    def _with(self, part: Callable[[Array], Any], base: Any, data: Any, outputs: Sequence[str]) -> Explanation:
        return Explanation(
            _each(part, self.values),
            base,
            self.data if data is None else _each(part, data),
            feature_names=self.feature_names,
            output_names=outputs,
            method=self.method,
            std=None if self.std is None else _each(part, self.std),
        )

    def importance(self) -> DoubleArray:
        """(features,): the mean of |values| over the rows, the outputs, and all axes of a row but its last.

        Of several inputs (inputs,), of the sum of |values| over an input's numbers. Source: Lundberg et al. 2020.
        """
        if self._several:
            return np.array([np.abs(each).sum(axis=self._within(each)).mean() for each in self.values])
        axes = tuple(range(self.values.ndim - 1 - bool(self.output_names)))
        found = np.abs(self.values).mean(axis=axes)
        return np.asarray(found.mean(axis=-1) if self.output_names else found)

    def _within(self, values: Array) -> tuple[int, ...]:
        """The axes of a row."""
        return tuple(range(1, values.ndim - bool(self.output_names)))

    def _table(self, what: str) -> tuple[list[str], Array, DoubleArray]:
        """Names, data (rows, features) and values (rows, features[, outputs]) of flat rows, all inputs side by side."""
        values, data = _listed(self.values), _listed(self.data)
        if any(len(self._within(each)) != 1 for each in values):
            raise ValueError(f"{what} takes rows of one axis, got values of shape {_shapes(self.values)}")
        names = list(self.feature_names) or [f"x{number + 1}" for number in range(values[0].shape[1])]
        if self._several:
            inputs = zip(self.feature_names or map(str, range(len(values))), values, strict=True)
            named = [(name, each.shape[1]) for name, each in inputs]
            names = [name if width == 1 else f"{name}_{n}" for name, width in named for n in range(width)]
        alike = all(each.dtype.kind in "biuf" for each in data)
        columns = [
            each.reshape(len(self), -1) if alike else each.reshape(len(self), -1).astype(object) for each in data
        ]
        return names, np.concatenate(columns, axis=1), np.concatenate(values, axis=1)

    def to_shap(self) -> Any:
        """A ``shap.Explanation``, for ``shap.plots``; several inputs, which must be flat, side by side.

        ImportError where the package shap is missing.
        """
        try:
            import shap
        except ImportError as error:
            raise ImportError("to_shap needs the package shap: pip install shap") from error
        names, data, values = list(self.feature_names), self.data, self.values
        if self._several:
            names, data, values = self._table("to_shap of several inputs")
        outputs = list(self.output_names) or None
        return shap.Explanation(values, self.base_values, data, feature_names=names or None, output_names=outputs)

    def to_dataframe(self) -> Any:
        """A pandas frame: a line for each row, a column of values for each feature.

        Of several outputs a line for each row and output, with a column "output". ValueError for rows of several axes,
        ImportError where pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('to_dataframe needs pandas: pip install "fastnn[pandas]"') from error
        names, _, values = self._table("to_dataframe")
        if not self.output_names:
            return pandas.DataFrame(values, columns=names)
        count = len(self.output_names)
        index = np.repeat(np.arange(len(self)), count)
        frame = pandas.DataFrame(np.moveaxis(values, 2, 1).reshape(-1, len(names)), index, names)
        frame["output"] = list(self.output_names) * len(self)
        return frame

    def save(self, path: str | PathLike[str]) -> None:
        """Write all of it to one file, as NumPy's .npz without pickles; ``load`` reads it. Texts become texts."""
        arrays = {"base_values": self.base_values, "format": np.array(FORMAT), "method": np.array(self.method)}
        for name in ("feature_names", "output_names"):
            arrays[name] = np.array(getattr(self, name), str)
        for name in ("values", "data", "std"):
            for number, each in enumerate(_listed(getattr(self, name))):
                if each is not None:
                    which = f"{name}_{number}" if self._several else name
                    arrays[which] = each.astype(str) if each.dtype.kind == "O" else each
        with open(check_path("path", path), "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def plot(self, row: int | None = None, *, ax: Any = None, top: int = 15) -> Any:
        """Draw what counts, and give matplotlib's Axes; nothing is shown.

        row: None for the mean of |values| of each feature, as bars; a number for what the features of that row add to
        the output, or take from it. Pictures (3 axes, at most 4 channels) and sequences (2 axes) are heat maps, of a
        row or of the mean of |values|. top: so many bars, the rest in one. ax: where to draw; None makes a figure.

        ValueError for a row of several outputs, of which `output` gives one, and for rows of other axes. ImportError
        where matplotlib is missing.
        """
        from fastnn.explain import drawing

        count = check_count("top", top)
        if row is None:
            return drawing.draw(self, None, ax, count)
        number = check_count("row", row, -len(self), len(self) - 1)
        if self.output_names:
            raise ValueError(
                f"plot: row {row} has values of {len(self.output_names)} outputs; choose one, such as "
                f"explanation.output({self.output_names[0]!r}).plot({row})"
            )
        return drawing.draw(self, number % len(self), ax, count)


def load(path: str | PathLike[str]) -> Explanation:
    """The explanation that ``Explanation.save`` wrote. ValueError for another file; nothing in a file is run."""
    name = check_path("path", path)
    try:
        with open(name, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        if str(arrays["format"]) != FORMAT:
            raise KeyError(FORMAT)
        found: dict[str, Any] = {each: arrays.get(each) for each in ("values", "data", "std")}
        if "values" not in arrays:
            for each in found:
                numbered = [arrays[f"{each}_{k}"] for k in range(len(arrays)) if f"{each}_{k}" in arrays]
                found[each] = numbered or None
        return Explanation(
            found["values"],
            arrays["base_values"],
            found["data"],
            feature_names=arrays["feature_names"].tolist(),
            output_names=arrays["output_names"].tolist(),
            method=str(arrays["method"]),
            std=found["std"],
        )
    except OSError:
        raise
    except Exception as error:  # of a damaged zip, NumPy's, or of a lack of arrays
        raise ValueError(f"{name!r} is no explanation that Explanation.save wrote ({error})") from error


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    return [function(each) for each in value] if isinstance(value, list) else function(value)


def _shapes(value: Any) -> Any:
    return _each(np.shape, value)
