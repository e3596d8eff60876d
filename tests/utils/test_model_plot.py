"""plot_model and model_to_dot: boxes and arrows of a graph, and how they lie in the picture."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import fastnn
from fastnn import layers, utils
from fastnn.utils.layout import laid_out

INK = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def model() -> fastnn.Model:
    a, b = fastnn.Input((4,), name="age"), fastnn.Input((8,), name="city")
    inner = fastnn.Sequential([fastnn.Input((8,)), layers.Dense(6, "tanh", name="first"), layers.Dropout(0.2)], "block")
    joined = layers.Concatenate(name="join")([layers.Dense(5, "relu", name="left")(a), inner(b), b])
    last = layers.Dense(1, "sigmoid", name="last")
    return fastnn.Model([a, b], [last(joined), last(layers.Dense(19, name="again")(joined))])


def titles(picture: str) -> list[str]:
    texts = ElementTree.fromstring(picture).iter(f"{INK}text")
    return [each.text or "" for each in texts if each.get("font-weight") == "bold"]


def test_boxes_and_arrows_are_those_of_the_graph(model: fastnn.Model) -> None:
    graph = utils.model_to_dot(model)
    names = [box.title.split(" ")[0] for box in graph.boxes]
    assert sorted(names) == ["again", "age", "block", "city", "join", "last", "last", "left"]
    arrows = sorted((names[start], names[end]) for start, end in graph.arrows)
    assert arrows == sorted(
        [
            ("age", "left"),
            ("city", "block"),
            ("city", "join"),
            ("left", "join"),
            ("block", "join"),
            ("join", "last"),
            ("join", "again"),
            ("again", "last"),
        ]
    )
    assert titles(graph.svg()) == [box.title for box in graph.boxes]
    assert len(re.findall("marker-end", graph.svg())) == 8


def test_models_inside_are_drawn_as_their_layers(model: fastnn.Model) -> None:
    graph = utils.model_to_dot(model, expand_nested=True)
    names = [box.title.split(" ")[0] for box in graph.boxes]
    arrows = {(names[start], names[end]) for start, end in graph.arrows}
    assert {("city", "block/first"), ("block/first", "block/dropout"), ("block/dropout", "join")} <= arrows
    assert "block" not in names


def test_what_a_box_says(model: fastnn.Model) -> None:
    model.get_layer("left").trainable = False
    graph = utils.model_to_dot(
        model, show_shapes=True, show_dtype=True, show_layer_activations=True, show_trainable=True
    )
    boxes = {box.title: box.lines for box in graph.boxes}
    assert boxes["left (Dense)"] == (
        "activation: relu",
        "input: (None, 4)",
        "output: (None, 5)",
        "dtype: float32",
        "not trainable",
    )
    assert boxes["age (InputLayer)"] == ("output: (None, 4)", "dtype: float32")
    assert boxes["join (Concatenate)"][0] == "input: (None, 5), (None, 6), (None, 8)"
    assert {box.title for box in utils.plot_model(model, None).boxes} == {
        "InputLayer",
        "Dense",
        "Sequential",
        "Concatenate",
    }


def test_formats_by_the_name(model: fastnn.Model, tmp_path: Path) -> None:
    for name, begins in (("m.svg", b"<svg"), ("m.dot", b'digraph "functional" {'), ("m.gv", b"digraph")):
        graph = utils.plot_model(model, tmp_path / name, show_shapes=True)
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert str(graph) == graph.to_string() == (tmp_path / "m.gv").read_text()
    assert graph.create(prog="dot", format="svg") == graph._repr_svg_().encode()
    with pytest.raises(ValueError, match="must end with a format"):
        utils.plot_model(model, tmp_path / "m")


def test_a_picture_of_points_needs_matplotlib(model: fastnn.Model, tmp_path: Path) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r'pip install "fastnn\[plot\]"; .svg and .dot need nothing'):
            utils.plot_model(model, tmp_path / "m.png")
        assert list(tmp_path.iterdir()) == []
    else:
        utils.plot_model(model, tmp_path / "m.png", rankdir="LR")
        assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_dot_escapes_what_it_would_read() -> None:
    net = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1, name='a|"{b}<c>')], name='m"')
    text = utils.model_to_dot(net).to_string()
    assert 'digraph "m\\""' in text
    assert 'label="{a\\|\\"\\{b\\}\\<c\\> (Dense)}"' in text
    assert titles(utils.model_to_dot(net).svg())[1] == 'a|"{b}<c> (Dense)'


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match="is not built yet"):
        utils.model_to_dot(fastnn.Sequential([layers.Dense(1)]))
    with pytest.raises(TypeError, match="of a model, got Dense"):
        utils.model_to_dot(layers.Dense(1))  # type: ignore[arg-type]
    net = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="rankdir must be 'TB' or 'LR'"):
        utils.model_to_dot(net, rankdir="UP")
    with pytest.raises(ValueError, match="dpi must be at least 1"):
        utils.model_to_dot(net, dpi=0)


GRAPHS = {
    "chain": (4, [(0, 1), (1, 2), (2, 3)]),
    "skips": (6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5), (0, 3), (1, 5)]),
    "fan": (9, [(0, place) for place in range(1, 8)] + [(place, 8) for place in range(1, 8)]),
    "two inputs": (6, [(0, 2), (1, 3), (2, 4), (3, 4), (1, 5), (4, 5)]),
    "apart": (4, [(0, 1), (2, 3)]),
    "one": (1, []),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_no_boxes_overlap_and_no_arrow_goes_up_or_through_a_box(name: str) -> None:
    count, arrows = GRAPHS[name]
    sizes = [(60.0 + 40 * (place % 3), 20.0 + 30 * (place % 2)) for place in range(count)]
    layout = laid_out(sizes, arrows)
    corners = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (width, height), (x, y) in zip(sizes, layout.middles, strict=True)
    ]
    for one, other in combinations(corners, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in corners:
        assert min(left, top) >= 0
        assert right <= layout.size[0]
        assert bottom <= layout.size[1]
    for (start, end), path in zip(arrows, layout.paths, strict=True):
        assert path[0] == (layout.middles[start][0], corners[start][3])
        assert path[-1] == (layout.middles[end][0], corners[end][1])
        for (x, y), (to_x, to_y) in pairwise(path):
            assert to_y >= y
            for place, (left, top, right, bottom) in enumerate(corners):
                beside = max(x, to_x) <= left or min(x, to_x) >= right
                if place not in (start, end) and not beside:
                    assert to_y <= top or y >= bottom, f"arrow {start} -> {end} goes through box {place}"


def test_many_long_arrows_are_drawn_in_little_time() -> None:
    net_of = fastnn.Input((2,))
    outputs = [net_of]
    for _ in range(60):
        outputs.append(layers.Dense(2)(layers.Add()(outputs[-30:]) if len(outputs) > 1 else outputs[0]))
    graph = utils.model_to_dot(fastnn.Model(net_of, outputs[-1]))
    assert graph.svg().count("marker-end") == len(graph.arrows)


def test_graphviz_is_not_asked_for() -> None:
    code = (
        "import sys, fastnn; from fastnn import layers, utils\n"
        "utils.model_to_dot(fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1)])).svg()\n"
        "assert not {'pydot', 'graphviz', 'matplotlib', 'subprocess'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
