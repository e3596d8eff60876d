"""What each epoch gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fastnn._attributes import missing
from fastnn._output import padded, printable, width_of
from fastnn.callbacks.base import ADDED, Logs, TrainerCallback

if TYPE_CHECKING:
    import pandas

__all__ = ["History"]

Measured = tuple[float, float]  # learning rate, seconds
Row = tuple[int, Logs, Measured | None]  # the epoch's number


class Table(Protocol):
    """What epochs gave that ran together: see ``fastnn.training.epoch_table``."""

    def __len__(self) -> int: ...

    def rows(self) -> Sequence[Row]: ...

    def columns(self) -> dict[str, list[Any]]: ...


_SHOWN = 10  # rows of a table at its beginning, and at its end


class History(TrainerCallback):
    """What each epoch gave: ``history["loss"]`` is a list with one number for each epoch.

    history: loss and metrics, with val_ those of the validation, and what callbacks put into the logs, as in Keras.
    With validation_freq the val_ lists are shorter. epoch: their numbers, from 0. learning_rate: of each epoch's last
    step; seconds: that its training and validation took. model, params: those of the fit.
    ``print(history)`` gives a table, ``to_dataframe()`` a pandas.DataFrame and ``plot()`` a picture; these count from
    1, as what a fit prints does.
    """

    __getattr__ = missing

    def __init__(self) -> None:
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        # An epoch is entered in one step, so that Ctrl-C leaves no half of one; the lists are made when asked for, and
        # so are the rows of epochs that ran together.
        self._known: list[Row] = []
        self._later: list[Table] = []
        self._columns: dict[str, list[Any]] = {}
        self._entered = 0
        self._measured: Measured | None = None

    def measured(self, rate: float, seconds: float) -> None:
        self._measured = rate, seconds

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._rows.append((epoch, logs or {}, self._measured))

    def enter(self, table: Table) -> None:
        # What several epochs gave, worked out when somebody asks.
        self._later.append(table)

    @property
    def _rows(self) -> list[Row]:
        while self._later:
            self._known += self._later[0].rows()
            del self._later[0]
        return self._known

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_known": list(self._rows), "_later": []}

    @property
    def epoch(self) -> list[int]:
        """The numbers of the epochs, from 0."""
        return [epoch for epoch, _, _ in self._rows]

    @property
    def history(self) -> dict[str, list[Any]]:
        """Each quantity's list, one number for each epoch that had it."""
        for _, logs, _ in self._known[self._entered :]:
            for name, value in logs.items():
                self._columns.setdefault(name, []).append(value)
        known = len(self._known)
        for table in self._later:
            if known >= self._entered:
                for name, values in table.columns().items():
                    self._columns.setdefault(name, []).extend(values)
            known += len(table)
        self._entered = known
        return self._columns

    @property
    def learning_rate(self) -> list[float]:
        """The learning rate of each epoch's last step."""
        return [measured[0] for _, _, measured in self._rows if measured is not None]

    @property
    def seconds(self) -> list[float]:
        """How long each epoch took, its validation included."""
        return [measured[1] for _, _, measured in self._rows if measured is not None]

    def to_dataframe(self) -> pandas.DataFrame:
        """One row for each epoch, by its number from 1, with learning_rate and seconds.

        NaN where an epoch lacks a value. Needs pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('to_dataframe needs pandas: pip install "fastnn[pandas]"') from error
        rows = [_with_measures(logs, measured) for _, logs, measured in self._rows]
        numbers = pandas.Index([epoch + 1 for epoch in self.epoch], name="epoch")
        return pandas.DataFrame(rows, index=numbers, columns=list(dict.fromkeys(name for row in rows for name in row)))

    def plot(self, figures: Any = None) -> Any:
        """Draw quantities over the epochs, each and its val_ in one picture, at most three side by side; gives the
        matplotlib axes.

        figures: names without val_; all but seconds, and learning_rate only where it changed, unless given. Needs
        matplotlib.
        """
        from fastnn.plot import plot_history

        return plot_history(self, figures)

    def values(self, name: str) -> tuple[list[int], list[Any]]:
        """(numbers of the epochs that have a quantity, from 1, its values); learning_rate and seconds too."""
        rows = [(epoch + 1, _with_measures(logs, measured)) for epoch, logs, measured in self._rows]
        found = [(epoch, logs[name]) for epoch, logs in rows if name in logs]
        return [epoch for epoch, _ in found], [value for _, value in found]

    def _table(self) -> list[list[str]]:
        """Titles and rows; the middle of a long table is left out."""
        rows = [(epoch, _with_measures(logs, measured)) for epoch, logs, measured in self._short()]
        names = list(dict.fromkeys(name for _, logs in rows for name in logs))
        table = [[str(epoch + 1), *(_text(logs.get(name)) for name in names)] for epoch, logs in rows]
        if len(self._rows) > 2 * _SHOWN:
            table.insert(_SHOWN, ["..."] * (1 + len(names)))
        return [["epoch", *map(printable, names)], *table]

    def _short(self) -> list[Row]:
        return self._rows if len(self._rows) <= 2 * _SHOWN else self._rows[:_SHOWN] + self._rows[-_SHOWN:]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(width_of(row[column]) for row in table) for column in range(len(table[0]))]
        return "\n".join(
            "  ".join(padded(cell, width, left=False) for cell, width in zip(row, widths, strict=True)) for row in table
        )

    def __repr__(self) -> str:
        last = "".join(
            f", {printable(name)}={_text(value)}" for name, value in (self._rows[-1][1] if self._rows else {}).items()
        )
        return f"<History of {len(self._rows)} epoch{'' if len(self._rows) == 1 else 's'}{last}>"

    def _repr_html_(self) -> str:
        from html import escape

        titles, *rows = ([escape(cell) for cell in row] for row in self._table())
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        return f"<table><tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>{body}</table>"


def _with_measures(logs: Logs, measured: Measured | None) -> dict[str, Any]:
    """An epoch's logs, and behind them what was measured beside them."""
    beside = {} if measured is None else {"learning_rate": measured[0], "seconds": measured[1]}
    return {**logs, **{name: value for name, value in beside.items() if name not in logs}}


ADDED["add_history"] = History


def _text(value: Any) -> str:
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else printable(str(value))
