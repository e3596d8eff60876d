"""The page in a browser: it unfolds, shows the value below the pointer, fits a telephone and asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn.datasets import digits
from fastnn.layers import Dense, Input, Rescaling
from fastnn.models import Sequential
from fastnn.report import write_report

pytest.importorskip("plotly", reason='a report needs plotly: pip install "fastnn[report]"')
from support.browser import chromium, wait, webdriver


@pytest.fixture(scope="module")
def model() -> Any:
    (x, y), (x_test, y_test) = digits.load_data()
    fastnn.set_random_seed(1)
    model = Sequential([Input((64,)), Rescaling(1 / 16), Dense(16, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0, validation_data=(x_test, y_test))
    return model


@pytest.fixture(scope="module")
def browser(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of the model, open."""
    folder: Path = tmp_path_factory.mktemp("browser")
    (x, y), _ = digits.load_data()
    write_report(model, folder / "report.html", x, y, random_state=0)
    with chromium(folder / "profile", "enable-unsafe-swiftshader window-size=1200,900") as driver:
        driver.get((folder / "report.html").as_uri())
        yield driver


def figure(browser: Any, title: str) -> Any:
    return browser.find_element("xpath", f"//figure[h3='{title}']")


def test_every_figure_is_drawn(browser: Any) -> None:
    count = len(browser.find_elements("css selector", "figure"))
    assert count == len(browser.find_elements("css selector", "figure .main-svg:first-of-type")) > 10
    widths = "return [...document.querySelectorAll('figure')].map(e => [e, e.querySelector('.main-svg')].map(WIDTH))"
    for outer, inner in browser.execute_script(widths.replace("WIDTH", "e => e.getBoundingClientRect().width")):
        assert outer - 40 < inner < outer
    for title in ("Loss surface, to turn", "Last hidden layer"):
        assert figure(browser, title).find_elements("css selector", ".gl-container canvas")
        assert "WebGL" not in figure(browser, title).text
    assert len(figure(browser, "Confusion matrix").find_elements("css selector", ".heatmaplayer image")) == 1


def test_nothing_was_asked_for(browser: Any) -> None:
    asked = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert [name for name in browser.execute_script(asked) if not name.startswith(("blob:", "data:"))] == []
    refused = [
        entry["message"] for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]
    ]
    assert refused == []


def test_a_layer_unfolds_and_shows_its_weights(browser: Any, model: Any) -> None:
    layer = browser.find_element("xpath", "//details[summary//b='dense']")
    cell = layer.find_element("xpath", ".//tr[td='kernel']/td[3]")
    assert not cell.is_displayed()
    layer.find_element("css selector", "summary").click()
    assert cell.is_displayed()
    assert float(cell.text) == pytest.approx(float(model.get_weights()[0].mean()), rel=1e-3)


def test_keys_unfold_too(browser: Any) -> None:
    layer = browser.find_element("xpath", "//details[summary//b='dense_1']")
    layer.find_element("css selector", "summary").send_keys("\n")
    assert layer.get_attribute("open") is not None
    first = browser.find_element("css selector", "a, summary, [tabindex]")
    assert first.get_attribute("textContent") == "Skip to the content"
    first.send_keys("\n")
    assert browser.current_url.endswith("#main")


def test_the_pointer_over_a_curve_reads_the_value(browser: Any, model: Any) -> None:
    place = figure(browser, "loss by epoch")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    points = place.find_elements("css selector", ".scatterlayer .trace:first-of-type .points path")
    assert len(points) == 3

    def shown() -> Any:
        webdriver.ActionChains(browser).move_to_element(points[1]).move_by_offset(1, 0).perform()
        return place.find_element("css selector", ".hoverlayer").get_attribute("textContent")

    text = wait(browser, shown)
    assert "epoch 2" in text
    (value,) = re.findall(r"loss ([\d.]+)", text)
    assert float(value) == pytest.approx(model.history.history["loss"][1], rel=1e-3)
    assert "training" in text


def test_a_telephone_and_a_wide_screen_have_room(browser: Any) -> None:
    fits = "return document.documentElement.scrollWidth <= window.innerWidth && window.innerWidth"
    for width in (360, 1920):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wait(browser, lambda width=width: browser.execute_script(fits) == width)  # once plotly has drawn anew
        sizes = "return [...document.querySelectorAll('.main-svg')].map(e => e.getBoundingClientRect().right)"
        assert max(browser.execute_script(sizes)) <= width
