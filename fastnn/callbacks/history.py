"""What each epoch gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn._output import padded, printable, width_of
from fastnn.callbacks.base import Callback, Logs

if TYPE_CHECKING:
    import pandas

__all__ = ["History"]

_SHOWN = 10  # rows of a table at its beginning, and at its end


class History(Callback):
    """What each epoch gave: ``history["loss"]`` is a list with one number for each epoch, ``epoch`` their numbers.

    history: loss, metrics, with val_ those of the validation, learning_rate (of the epoch's last step) and seconds
    (training and validation). With validation_freq the val_ lists are shorter, as in Keras. ``print(history)`` gives a
    table, ``to_dataframe()`` a pandas.DataFrame and ``plot()`` a picture.
    """

    def __init__(self) -> None:
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        # An epoch is entered in one step, so that Ctrl-C leaves no half of one; the lists are made when asked for.
        self._rows: list[tuple[int, Logs]] = []
        self._columns: dict[str, list[Any]] = {}
        self._entered = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._rows.append((epoch, logs or {}))

    @property
    def epoch(self) -> list[int]:
        """The numbers of the epochs, from 0."""
        return [epoch for epoch, _ in self._rows]

    @property
    def history(self) -> dict[str, list[Any]]:
        """Each quantity's list, one number for each epoch that had it."""
        for _, logs in self._rows[self._entered :]:
            for name, value in logs.items():
                self._columns.setdefault(name, []).append(value)
        self._entered = len(self._rows)
        return self._columns

    def to_dataframe(self) -> pandas.DataFrame:
        """One row for each epoch, by its number from 0; NaN where an epoch lacks a value. Needs pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError('to_dataframe needs pandas: pip install "fastnn[pandas]"') from error
        rows = [logs for _, logs in self._rows]
        return pandas.DataFrame(rows, index=pandas.Index(self.epoch, name="epoch"), columns=list(self.history))

    def plot(self, figures: Any = None) -> Any:
        """Draw quantities over the epochs, each and its val_ in one picture; gives the matplotlib axes.

        figures: names without val_; all but seconds, and learning_rate only where it changed, unless given. Needs
        matplotlib.
        """
        from fastnn.plot import plot_history

        return plot_history(self, figures)

    def values(self, name: str) -> tuple[list[int], list[Any]]:
        """(numbers of the epochs that have a quantity, from 1, its values)."""
        found = [(epoch + 1, logs[name]) for epoch, logs in self._rows if name in logs]
        return [epoch for epoch, _ in found], [value for _, value in found]

    def _table(self) -> list[list[str]]:
        """Titles and rows; the middle of a long table is left out."""
        names = list(self.history)
        rows = [[str(epoch + 1), *(_text(logs.get(name)) for name in names)] for epoch, logs in self._short()]
        if len(self._rows) > 2 * _SHOWN:
            rows.insert(_SHOWN, ["..."] * (1 + len(names)))
        return [["epoch", *map(printable, names)], *rows]

    def _short(self) -> list[tuple[int, Logs]]:
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
        return f"<History of {len(self._rows)} epochs{last}>"

    def _repr_html_(self) -> str:
        from html import escape

        titles, *rows = ([escape(cell) for cell in row] for row in self._table())
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        return f"<table><tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>{body}</table>"


def _text(value: Any) -> str:
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else printable(str(value))
