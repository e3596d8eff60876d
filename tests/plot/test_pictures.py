"""Every picture beside the stored one, and what all functions have in common.

FASTNN_WRITE_PICTURES=1 writes the stored ones anew: look at each before you commit it.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import plot
from fastnn.plot import style
from support.plots import CASES, SEVERAL, pixels_of

EXPECTED = Path(__file__).parent / "expected"
ALL = CASES | {name: draw for name, (_, draw) in SEVERAL.items()}
LARGEST = 0.2  # difference, of what is drawn
TILE = 6  # pixels: versions of matplotlib set axes, and so edges, one or two pixels apart


def figure_of(drawn: Any) -> Any:
    return np.ravel(drawn)[0].figure


def distance(a: Any, b: Any) -> float:
    """The root of the mean square of what tiles' means differ by, as a share of what b's differ from white by."""
    rows, columns = (size // TILE for size in a.shape[:2])
    pair = np.stack([a - b, 255 - b])[:, : rows * TILE, : columns * TILE]
    off, drawn = np.sqrt((pair.reshape(2, rows, TILE, columns, TILE, 3).mean(axis=(2, 4)) ** 2).mean(axis=(1, 2, 3)))
    return float(off / drawn)


@pytest.mark.parametrize("name", ALL)
def test_it_looks_as_it_did(name: str) -> None:
    from PIL import Image

    pixels = pixels_of(figure_of(ALL[name](None)))
    path = EXPECTED / f"{name}.png"
    if os.environ.get("FASTNN_WRITE_PICTURES"):
        Image.fromarray(pixels.astype(np.uint8)).quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    expected = np.asarray(Image.open(path).convert("RGB"), float)
    assert pixels.shape == expected.shape
    assert pixels.shape[1] == int(80 / 25.4 * 100)
    off = distance(pixels, expected)
    assert off < LARGEST, f"{name} differs from {path.name} by {off:.0%}; look at both"


def test_pictures_of_other_functions_are_no_nearer() -> None:
    """The tolerance tells pictures apart that differ in what they show."""
    from PIL import Image

    near = pixels_of(figure_of(CASES["roc_curve"](None)))
    other = np.asarray(Image.open(EXPECTED / "precision_recall_curve.png").convert("RGB"), float)
    assert distance(near, other) > 2 * LARGEST


def test_every_function_has_a_picture_and_no_other_is_stored() -> None:
    drawn = {re.sub(r"_(\d|heads)$", "", name) for name in ALL}
    assert drawn == set(plot.__all__) - {"plot_history"}
    assert {path.stem for path in EXPECTED.glob("*.png")} == set(ALL)
    assert sum(path.stat().st_size for path in EXPECTED.glob("*.png")) < 300_000


@pytest.mark.parametrize("name", CASES)
def test_it_draws_on_the_axes_that_it_is_given(name: str, pyplot: Any) -> None:
    figure, (left, right) = pyplot.subplots(1, 2)
    before = len(right.get_children())
    assert CASES[name](left) is left
    assert pyplot.get_fignums() == [figure.number]
    assert len(right.get_children()) == before
    figure.draw_without_rendering()


@pytest.mark.parametrize("name", SEVERAL)
def test_it_draws_on_as_many_axes_as_it_is_given(name: str, pyplot: Any) -> None:
    count, draw = SEVERAL[name]
    figure, axes = pyplot.subplots(1, count)
    assert list(draw(axes)) == list(axes)
    assert pyplot.get_fignums() == [figure.number]
    with pytest.raises(TypeError, match=f"ax must be {count} Axes of matplotlib, got 1"):
        draw([axes[0]])


@pytest.mark.parametrize("name", ALL)
def test_it_says_what_is_drawn_and_shows_nothing(name: str, pyplot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyplot, "show", lambda *_: pytest.fail("it showed the picture"))
    settings = dict(pyplot.rcParams)
    drawn = ALL[name](None)
    assert dict(pyplot.rcParams) == settings
    for ax in np.ravel(drawn):
        assert ax.get_title()
        if name not in ("saliency", "correlation"):  # whose axes are pixels, and the columns' names
            assert ax.get_xlabel()
            assert ax.get_ylabel() or name.endswith("_histograms")  # which have the layers' names


@pytest.mark.parametrize("name", ALL)
def test_no_text_leaves_the_picture_or_lies_on_another(name: str) -> None:
    """At 80 mm: titles, labels, ticks and legends."""
    figure = figure_of(ALL[name](None))
    figure.draw_without_rendering()
    boxes = []
    for ax in figure.axes:
        places = [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
            places += [
                t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_visible()
            ]
            places += [
                t.label2 for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label2.get_visible()
            ]
        boxes += [(text.get_text(), text.get_window_extent()) for text in places if text.get_text()]
        if ax.get_legend():
            boxes.append(("legend", ax.get_legend().get_window_extent()))
    whole = figure.bbox.padded(1)
    for place, (text, box) in enumerate(boxes):
        outside = box.x0 < whole.x0 or box.x1 > whole.x1 or box.y0 < whole.y0 or box.y1 > whole.y1
        assert not outside, f"{text!r} leaves the picture"
        for other, second in boxes[:place]:
            assert not box.padded(-0.5).overlaps(second.padded(-0.5)), f"{text!r} lies on {other!r}"


@pytest.mark.parametrize("name", ALL)
def test_text_is_readable_and_ticks_are_few(name: str) -> None:
    for ax in figure_of(ALL[name](None)).axes:
        assert min(text.get_fontsize() for text in [ax.title, ax.xaxis.label, *ax.get_xticklabels(), *ax.texts]) >= 5.5
        low, high = ax.get_xlim()
        assert len([tick for tick in ax.get_xticks() if low <= tick <= high]) <= 8


@pytest.mark.parametrize("name", ALL)
def test_a_legend_hides_no_data(name: str) -> None:
    figure = figure_of(ALL[name](None))
    figure.draw_without_rendering()
    for ax in figure.axes:
        if ax.get_legend():
            box = ax.get_legend().get_window_extent()
            points = [ax.transData.transform(line.get_xydata()) for line in ax.lines if line.get_label()[0] != "_"]
            points += [
                ax.transData.transform(each.get_offsets()) for each in ax.collections if len(each.get_offsets()) > 1
            ]
            for x, y in np.concatenate(points):
                assert not box.contains(x, y)


def test_colours_are_told_apart_by_colour_blind_people() -> None:
    """By Machado, Oliveira and Fernandes 2009, at full strength: red-blind, green-blind and blue-blind."""
    red = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    green = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    blue = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(each) for each in style.COLOURS])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for seen in (np.eye(3), red, green, blue):
        lab = cielab(np.clip(linear @ np.transpose(seen), 0, 1))
        distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 100 * np.eye(len(lab))
        assert distances.min() > 9


def cielab(linear: Any) -> Any:
    xyz = linear @ np.transpose([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = xyz / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_axes_come_last_and_by_name() -> None:
    for name in plot.__all__:
        if name != "plot_history":
            last = list(inspect.signature(getattr(plot, name)).parameters.values())[-1]
            assert (last.name, last.default, last.kind) == ("ax", None, last.KEYWORD_ONLY)


def test_what_is_no_axes() -> None:
    with pytest.raises(TypeError, match="ax must be an Axes of matplotlib, got 3; leave it out"):
        CASES["history"](3)


def test_importing_it_imports_no_matplotlib() -> None:
    code = "import sys, fastnn, fastnn.plot, fastnn.callbacks; assert 'matplotlib' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in ALL.values():
        with pytest.raises(ImportError, match=r'pip install "fastnn\[plot\]"'):
            draw(None)
