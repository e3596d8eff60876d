"""Arguments: what is wrong with them is said in one line, and a file may give them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from fastnn import _names
from fastnn.cli.output import hidden


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        # No abbreviations: an option that is added later must not change what --e means.
        super().__init__(allow_abbrev=False, **options)
        self.color = False  # Python 3.14 would put escape codes into the usage
        self.from_file: dict[str, Any] = {}

    def error(self, message: str) -> NoReturn:
        if not message.startswith("argument "):  # which says by itself what was expected
            usage = " ".join(self.format_usage().removeprefix("usage: ").split())
            message = f"{message}; expected: {usage}"
        failed(f"{message}; see {self.prog} --help", 2, self.prog)
        raise SystemExit(2)

    def need(self, options: argparse.Namespace, **names: str) -> None:
        """An error unless all of these were given, on the command line or in the file. names: as the usage has them."""
        missing = [shown for dest, shown in names.items() if getattr(options, dest) in (None, [])]
        if missing:
            self.error(f"the following arguments are required: {', '.join(missing)}")

    def take_config(self, path: Path) -> None:
        """Let a TOML file say what options are where the command line does not: hidden = [64, 32], replace = true.

        Names are those of the options, - or _ in them. An error for what is no such file, and for an unknown name.
        """
        import tomllib

        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.error(f"argument --config: {path} is no TOML: {error}")
        except OSError as error:
            self.error(f"argument --config: cannot read {path}: {error.strerror}")
        known = {action.dest: action for action in self._actions if action.dest not in ("help", "config")}
        for name, value in given.items():
            dest = name.replace("-", "_")
            if dest not in known:
                self.error(f"argument --config: {path} has {name!r}, which is no option{_names.hint(dest, known)}")
            taken = self._taken(known[dest], value, path)
            if known[dest].default == []:  # to which what the command line gives would be added
                self.from_file[dest] = taken
            else:
                self.set_defaults(**{dest: taken})

    def _taken(self, action: argparse.Action, value: Any, path: Path) -> Any:
        if action.nargs == 0:
            if not isinstance(value, bool):
                self.error(f"argument --config: {path} has {action.dest} = {value!r}, where true or false is expected")
            return value
        many = action.default == []
        read: Callable[[str], Any] = action.type if callable(action.type) else str
        if isinstance(value, list) and not many:
            value = ",".join(map(str, value))
        try:
            return [read(str(each)) for each in value] if many else read(str(value))
        except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
            self.error(f"argument --config: {action.dest}: {error}")


def add_rows(parser: Parser, more: str = "") -> None:
    """Let the command take a table or a query, and its database. more: what else --data may be."""
    parser.add_argument("--data", metavar="URL", help=f"the database: a file, or a URL such as sqlite:///shop.db{more}")
    parser.add_argument("--table", metavar="NAME", help="all rows of a table")
    parser.add_argument("--query", metavar="SQL", help="or a SELECT of the columns")
    parser.add_argument(
        "--param",
        metavar="VALUE",
        action="append",
        type=value,
        default=[],
        help="for a question mark of the query, in their order: a number, or a text; a number in quotes is a text",
    )


def query_of(options: argparse.Namespace, parser: Parser, columns: Iterable[str] = (), **needed: str) -> str:
    """The query that is given, or that of the table; an error unless there is one of them, a database, and `needed`.

    columns: those that are read of a table, as far as it has them; by default all.
    """
    from fastnn.databases.addresses import reader_of, select_from

    options.rows = options.query if options.table is None else options.table
    parser.need(options, data="--data", rows="--table or --query", **needed)
    if options.table is None:
        return str(options.query)
    for name in ("query", "param"):
        if getattr(options, name) not in (None, []):
            parser.error(f"argument --table: it is all rows of a table, without --{name}; leave one out")
    query = select_from(options.table, options.data)
    if not columns:
        return query
    there = reader_of(query, options.data).columns
    return select_from(options.table, options.data, *(name for name in columns if name in (*there, options.key)))


def add_config(parser: Parser) -> None:
    """Let the command take a file of options."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file of options; those given here win")


def value(text: str) -> int | float | str:
    """What SQL would read there: a whole number, a number, or a text, with or without quotes."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return int(text)
    number = re.fullmatch(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?", text, re.ASCII)
    return float(text) if number else text


def whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        with suppress(ValueError):
            if int(text) >= least:
                return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")

    return read


def share(text: str) -> float:
    """A number of at least 0 and below 1."""
    with suppress(ValueError):
        if 0 <= float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of at least 0 and below 1, got {text!r}")


def sizes(text: str) -> Sequence[int]:
    """Whole numbers of at least 1 between commas; none where the text is empty."""
    return [whole(1)(part.strip()) for part in text.split(",")] if text.strip() else []


def names(text: str) -> Sequence[str]:
    """Names between commas."""
    return [part.strip() for part in text.split(",")]


def kinds(text: str) -> Mapping[str, str]:
    """Names and what they are, name=kind between commas; those of "image[8,8,1]" are within brackets."""
    pairs = [part.strip().rpartition("=") for part in re.split(r",(?![^\[]*\])", text)]
    if not all(name and kind for name, _, kind in pairs):
        raise argparse.ArgumentTypeError(f"expected name=kind, as in photo=float32[128],taken=date, got {text!r}")
    return {name: kind for name, _, kind in pairs}


def failed(message: str, status: int, name: str = "fastnn") -> int:
    """Say why in one line, whatever the message holds; give the status."""
    if sys.stderr is not None:
        with suppress(OSError):
            line = f"{name}: {hidden(' '.join(message.split()))}"
            # In a terminal, the cursor may stand behind half a progress bar.
            start = "\n" if status == 130 and sys.stderr.isatty() else ""
            print(f"{start}{line}", file=sys.stderr, flush=True)
    return status
