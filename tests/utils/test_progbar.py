"""Progbar: what it writes."""

from __future__ import annotations

import io
import re

import pytest

from fastnn import backend, utils


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_line_moves_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    bar = utils.Progbar(4, width=4, interval=0)
    bar.update(1, [("loss", 2.0)])
    bar.add(1, [("loss", 1.0)])
    bar.update(4, [("loss", 0.5)])
    lines = out.getvalue().split("\r")[1:]
    assert [line.split(" ")[:2] for line in lines] == [["1/4", "━┈┈┈"], ["2/4", "━━┈┈"], ["4/4", "━━━━"]]
    assert [re.search(r"loss: ([\d.]+)", line)[1] for line in lines] == ["2.0000", "1.5000", "0.5000"]  # type: ignore[index]
    assert lines[-1].endswith("\n")


@pytest.mark.parametrize(
    ("lists", "shown"),
    [
        ({"stateful_metrics": ["loss"]}, "4.0000"),
        ({"stateless_metrics": []}, "4.0000"),
        ({"stateless_metrics": ["loss"]}, "3.0000"),
        ({}, "3.0000"),
    ],
)
def test_values_are_means_or_shown_as_they_are(
    lists: dict[str, list[str]], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = utils.Progbar(9, interval=0, **lists)  # type: ignore[arg-type]
    bar.update(1, [("loss", 2.0)])
    bar.update(2, [("loss", [3.0, 5.0])])
    assert capsys.readouterr().out.strip().endswith(f"loss: {shown}")


def test_a_mean_counts_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    bar = utils.Progbar(9, interval=0)
    bar.update(1, [("loss", 2.0)])
    bar.update(4, [("loss", 4.0)])
    assert capsys.readouterr().out.strip().endswith("loss: 3.5000")


def test_a_file_gets_the_end_alone(capsys: pytest.CaptureFixture[str]) -> None:
    bar = utils.Progbar(100)
    for step in range(100):
        bar.update(step + 1)
    assert capsys.readouterr().out.count("\n") == 1


def test_without_a_target_and_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    utils.Progbar(None, interval=0).update(7)
    assert capsys.readouterr().out.startswith("7/? ")
    utils.Progbar(2, verbose=2).update(2, [("mae", 1e-5)])
    assert re.fullmatch(r"2/2 - 0s \S+/step - mae: 1\.0000e-05\n", capsys.readouterr().out)
    utils.Progbar(2, verbose=0).update(2)
    utils.Progbar(0, verbose=2).update(0)
    assert capsys.readouterr().out == ""


def test_no_line_moves_where_that_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr(backend, "_interactive", False)
    bar = utils.Progbar(2)
    bar.update(1)
    bar.update(2)
    assert "\r" not in out.getvalue()
    assert out.getvalue().count("\n") == 1


def test_both_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="Only one of"):
        utils.Progbar(1, stateful_metrics=[], stateless_metrics=[])
