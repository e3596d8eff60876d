"""The page in a browser: a row and a table tried, answers and errors read, by keys too; it asks for nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

from fastnn import serve
from fastnn.layers import BatchNormalization, Concatenate, Dense, Input, StringLookup
from fastnn.models import Model, Sequential
from support.live import served

pytest.importorskip("starlette", reason='a server: pip install "fastnn[serve]"')
pytest.importorskip("prometheus_client", reason='a server: pip install "fastnn[serve]"')
from support.browser import WebDriverException, chromium, wait


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    inner = Sequential([Input((4,)), Dense(5, "relu", name="deep"), BatchNormalization()], name="inner")
    one = Sequential([Input((4,), name="x"), inner, Dense(2, "softmax", name="y")], name="one")
    word, size = Input((1,), name="word", dtype="string"), Input((2,), name="size")
    coded = StringLookup(vocabulary=["yes", "no"], output_mode="one_hot", num_oov_indices=1)(word)
    mixed = Model([word, size], Dense(1, name="out")(Concatenate()([coded, size])), name="mixed")
    odd = Sequential([Input((50,)), Dense(30, name="wide")], name="<b>odd&name")
    named = Sequential([Input((2,)), Dense(1, "sigmoid", name="p")], name="named")
    named.description.columns = ("age", "pay, monthly")
    named.description.notes["classes"] = ["stays", "goes"]
    return {each.name: each for each in (one, mixed, odd, named)}


@pytest.fixture(scope="module")
def app(models: dict[str, Any]) -> Any:
    found = serve.Models()
    for each in models.values():
        found.add(each)
    found.add(models["one"], version=2)
    found.alias("one", "production", {"1": 0.75, "2": 0.25})
    return serve.app(found)


@pytest.fixture(scope="module")
def url(app: Any) -> Iterator[str]:
    with served(app) as found:
        yield found


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), "window-size=1200,1000") as driver:
        yield driver


@pytest.fixture
def browser(driver: Any, url: str) -> Any:
    """The page, open and with what it lists."""
    driver.get("about:blank")
    driver.get(url)
    wait(driver, lambda: driver.find_elements("css selector", "#models a"))
    return driver


def text(browser: Any, place: str) -> str:
    return str(browser.find_element("id", place).text)


def choose(browser: Any, name: str, version: str = "1") -> None:
    links = browser.find_elements("xpath", f"//tbody[@id='models']/tr[td[2]='{version}']//a")
    next(link for link in links if link.text == name).click()
    wait(browser, lambda: text(browser, "name") == f"{name}, version {version}")


def enter(browser: Any, values: list[str]) -> None:
    for field, value in zip(browser.find_elements("css selector", "#fields input"), values, strict=True):
        field.clear()
        field.send_keys(value)


def paste(browser: Any, lines: str) -> None:
    browser.execute_script("document.getElementById('csv').value = arguments[0]", lines)
    browser.find_element("css selector", "#paste button").click()


def table(browser: Any, place: str = "answer") -> list[list[str]]:
    """The first table in a place, head included, once it is there."""
    script = (
        "return [...document.querySelectorAll(`#${arguments[0]} table`)].slice(0, 1).map(t => [...t.rows].map(r => "
    )
    script += "[...r.cells].map(c => c.textContent)))"
    (found,) = wait(browser, lambda: browser.execute_script(script, place))
    return found  # type: ignore[no-any-return]


def test_models_are_listed(browser: Any, models: dict[str, Any]) -> None:
    cells = "[...r.cells].slice(0, 3).map(c => c.textContent)"
    rows = browser.execute_script(f"return [...document.querySelectorAll('#models tr')].map(r => {cells})")
    assert rows == [
        ["<b>odd&name", "1", ""],
        ["mixed", "1", ""],
        ["named", "1", ""],
        ["one", "1", "production (0.75)"],
        ["one", "2", "production (0.25)"],
    ]
    assert text(browser, "state") == "5 versions are served."


def test_a_row_is_tried(browser: Any, models: dict[str, Any]) -> None:
    choose(browser, "one", "2")
    labels = [each.text for each in browser.find_elements("css selector", "#fields label")]
    assert labels == ["x[0]", "x[1]", "x[2]", "x[3]"]
    enter(browser, ["1", "-2.5", "+.5", "1e-1"])
    browser.find_element("css selector", "#fields input").send_keys("\n")  # as people do
    head, row = table(browser)
    assert head == ["row", "0", "1"]
    expected = models["one"].predict(np.float32([[1, -2.5, 0.5, 0.1]]), verbose=0)[0]
    np.testing.assert_allclose([float(each) for each in row[1:]], expected, rtol=1e-3)
    assert "version 2" in text(browser, "answer")
    assert text(browser, "error") == ""


def test_an_answer_that_takes_longer_than_a_look_at_the_counts(browser: Any, app: Any) -> None:
    choose(browser, "named")
    served_one = app.models.get("named")
    quick = served_one.rows_of

    def slow(tensors: Any) -> Any:
        time.sleep(0.3)
        return quick(tensors)

    served_one.rows_of = slow
    try:
        browser.execute_script("[...Array(9)].forEach(count)")
        browser.find_element("css selector", "#form button").click()
        browser.execute_script("count()")
        table(browser)
    finally:
        served_one.rows_of = quick


def test_classes_and_columns_have_their_names(browser: Any, models: dict[str, Any]) -> None:
    choose(browser, "named")
    assert [each.text for each in browser.find_elements("css selector", "#fields label")] == ["age", "pay, monthly"]
    paste(browser, '"pay, monthly";age\r\n3;1\r\n-3;-1\r\n\r\n')
    head, *rows = table(browser)
    assert head == ["row", "class", "p"]
    expected = models["named"].predict(np.float32([[1, 3], [-1, -3]]), verbose=0)[:, 0]
    np.testing.assert_allclose([float(row[2]) for row in rows], expected, rtol=1e-3)
    assert [row[1] for row in rows] == [["stays", "goes"][int(each > 0.5)] for each in expected]


def test_texts_and_a_table_without_names(browser: Any, models: dict[str, Any]) -> None:
    choose(browser, "mixed")
    paste(browser, 'yes,1,2\n"a ""b"", c",3,4\n')
    rows = table(browser)[1:]
    words = np.array([["yes"], ['a "b", c']], object)
    expected = models["mixed"].predict([words, np.float32([[1, 2], [3, 4]])], verbose=0)[:, 0]
    np.testing.assert_allclose([float(row[1]) for row in rows], expected, rtol=1e-3)


def test_a_wide_model_has_a_table_alone(browser: Any, models: dict[str, Any]) -> None:
    choose(browser, "<b>odd&name")
    assert not browser.find_element("id", "form").is_displayed()
    assert "50 values a line" in text(browser, "order")
    x = np.random.default_rng(0).normal(size=(150, 50)).astype(np.float32)
    paste(browser, "\n".join("\t".join(map(str, row)) for row in x.tolist()))
    head, *rows = table(browser)
    assert len(rows) == 100
    assert len(head) == 21
    assert "the first 100 of 150 rows" in text(browser, "answer")
    expected = models["<b>odd&name"].predict(x, verbose=0)[:100, :20]
    np.testing.assert_allclose([[float(each) for each in row[1:]] for row in rows], expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "there are no rows"),
        ("1,2,3", "line 1: expected 4 values, got 3"),
        ("1,2,3,4\n1,2", "line 2: expected 4 values, got 2"),
        ("1,2,three,4", 'row 1, x[2]: expected a number, got "three"'),
        ("x[0],x[1],x[2],y\n1,2,3,4", "no column x[3]"),
        ("x[0],x[1],x[2],x[3]\n", "there are no rows"),
        ("1,2,NaN,4", "expected a number"),
        ("1,2,1e300,4", "finite"),  # the server's own words
        ("1,2,,4", "finite"),
    ],
)
def test_an_error_is_shown(browser: Any, lines: str, words: str) -> None:
    choose(browser, "one")
    paste(browser, lines)
    wait(browser, lambda: words in text(browser, "error"))
    assert browser.find_element("id", "error").get_attribute("role") == "alert"
    assert text(browser, "answer") == ""


def test_a_wrong_field_has_the_focus(browser: Any) -> None:
    choose(browser, "one")
    enter(browser, ["1", "2", "x", "4"])
    browser.find_element("css selector", "#form button").click()
    wait(browser, lambda: "x[2]" in text(browser, "error"))
    field = browser.switch_to.active_element
    assert field == browser.find_elements("css selector", "#fields input")[2]
    assert field.get_attribute("aria-invalid") == "true"
    field.clear()
    field.send_keys("3\n")
    table(browser)
    assert field.get_attribute("aria-invalid") is None


def test_layers_unfold(browser: Any, models: dict[str, Any]) -> None:
    choose(browser, "one")
    wait(browser, lambda: browser.find_elements("css selector", "#parts summary"))
    outer = browser.find_element("xpath", "//details[summary/b='inner']")
    deep = outer.find_element("xpath", ".//details[summary/b='deep']")
    assert not deep.is_displayed()
    outer.find_element("css selector", "summary").send_keys("\n")  # by keys
    assert deep.is_displayed()
    deep.find_element("css selector", "summary").click()
    assert "kernel 4 x 5; bias 5" in deep.text
    assert f"{models['one'].count_params()} parameters" in text(browser, "parts")


def test_counts_as_they_happen(browser: Any, url: str, models: dict[str, Any]) -> None:
    choose(browser, "mixed")

    def counts() -> list[str]:
        script = "return [...document.querySelectorAll('#models tr')[1].cells].map(c => c.textContent)"
        return browser.execute_script(script)  # type: ignore[no-any-return]

    wait(browser, lambda: counts()[3])
    before = int(counts()[3])
    inputs = [{"name": "word", "shape": [2, 1], "datatype": "BYTES", "data": ["yes", "no"]}]
    inputs += [{"name": "size", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]
    for _ in range(3):
        with urlopen(Request(f"{url}/v2/models/mixed/infer", json.dumps({"inputs": inputs}).encode())) as answer:
            assert answer.status == 200
    wait(browser, lambda: counts()[3] == str(before + 3))
    assert re.fullmatch(r"[\d.,]+ (µs|ms|s)", counts()[6])
    wait(browser, lambda: "nothing yet" not in text(browser, "charts"))
    lines = browser.find_elements("css selector", "#charts svg polyline")
    assert lines
    pause = browser.find_element("id", "pause")
    pause.send_keys(" ")
    assert pause.get_attribute("aria-pressed") == "true"
    pause.send_keys(" ")


def test_drift_and_quality_are_shown(browser: Any, app: Any) -> None:
    from prometheus_client.core import GaugeMetricFamily

    class Told:
        def collect(self) -> Iterator[Any]:
            where = ["model", "version"]
            drift = GaugeMetricFamily("fastnn_drift_psi", "", labels=[*where, "feature"])
            drift.add_metric(["one", "1", 'x "[0]'], 0.375)
            drifted = GaugeMetricFamily("fastnn_drift_drifted", "", labels=[*where, "feature"])
            drifted.add_metric(["one", "1", 'x "[0]'], 1)
            quality = GaugeMetricFamily("fastnn_quality", "", labels=[*where, "metric"])
            quality.add_metric(["one", "1", "accuracy"], 0.875)
            yield from (drift, drifted, quality)

    told = Told()
    app.meter.registry.register(told)
    try:
        choose(browser, "one")
        assert table(browser, "watched") == [["feature", "psi", "drifted"], ['x "[0]', "0.375", "1"]]
        assert "0.875" in text(browser, "watched")
    finally:
        app.meter.registry.unregister(told)
    wait(browser, lambda: text(browser, "watched") == "")


def test_models_come_and_go(browser: Any, app: Any, models: dict[str, Any]) -> None:
    choose(browser, "one")
    enter(browser, ["1", "2", "3", "4"])
    app.models.add(models["mixed"], name="another")
    wait(browser, lambda: text(browser, "state") == "6 versions are served.")
    values = [each.get_attribute("value") for each in browser.find_elements("css selector", "#fields input")]
    assert values == ["1", "2", "3", "4"]  # what somebody writes stays
    choose(browser, "another")
    app.models.unload("another")
    wait(browser, lambda: text(browser, "name") != "another, version 1")


def test_keys_and_a_screen_reader_find_their_way(browser: Any) -> None:
    first = browser.find_element("css selector", "a, button, input, [tabindex]:not([tabindex='-1'])")
    assert first.get_attribute("textContent") == "Skip to the content"
    first.send_keys("\n")
    assert browser.current_url.endswith("#main")
    script = """
    const named = e => e.labels && e.labels.length || e.textContent.trim() || e.getAttribute('aria-label');
    const all = [...document.querySelectorAll('input, textarea, button, a, [role=region], svg')];
    return [all.filter(e => !named(e)).length,
      document.querySelectorAll('[tabindex]:not([tabindex="0"]):not([tabindex="-1"])').length,
      document.querySelectorAll('html[lang] > head > title').length,
      [...document.querySelectorAll('h1, h2, h3')].map(e => e.tagName).join(''),
      new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size - document.querySelectorAll('[id]').length]
    """
    unnamed, jumps, titles, heads, twice = browser.execute_script(script)
    assert (unnamed, jumps, titles, twice) == (0, 0, 1, 0)
    assert heads.startswith("H1H2H2H3")
    choose(browser, "one")
    assert browser.switch_to.active_element.get_attribute("id") == "name"  # which is read out


def test_colours_are_told_apart() -> None:
    """Contrast of the text and of lines of controls, as WCAG 2.2 has it: 4.5 and 3."""

    def light(color: str) -> float:
        full = color.lstrip("#") if len(color) == 7 else "".join(2 * each for each in color.lstrip("#"))
        parts = [int(full[k : k + 2], 16) / 255 for k in (0, 2, 4)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str) -> float:
        high, low = sorted((light(a), light(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    from importlib.resources import files

    style = files("fastnn.serve").joinpath("page.html").read_text(encoding="utf-8").split("</style>")[0]
    for color, behind in (("#1a1a1a", "#fff"), ("#004f7c", "#fff"), ("#004f7c", "#e8f1f7"), ("#fff", "#00598a")):
        assert color in style
        assert contrast(color, behind) >= 4.5
    assert contrast("#1a1a1a", "#fdecea") >= 4.5
    for color in ("#767676", "#D55E00", "#0072B2", "#b3261e"):
        assert color in style
        assert contrast(color, "#fff") >= 3


def test_nothing_else_is_asked_for(browser: Any, url: str) -> None:
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert {name.partition("?")[0] for name in asked} <= {
        f"{url}/page/models", f"{url}/metrics", f"{url}/page/structure"
    }  # fmt: skip
    browser.get_log("browser")
    for script in (
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')",
        "document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/x.png'}))",
        "return fetch('http://127.0.0.1:9/').then(() => { window.ran = 1 }, () => {})",
    ):
        with contextlib.suppress(WebDriverException):  # "This document requires 'TrustedHTML' assignment"
            browser.execute_script(script)
    assert browser.execute_script("return window.ran") is None
    with urlopen(url) as answer:
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert b"http" not in answer.read().replace(b"http://www.w3.org/", b"")  # which names what SVG is


def test_a_telephone_has_room(browser: Any) -> None:
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for name in ("one", "<b>odd&name"):
            choose(browser, name)
            wait(browser, lambda: browser.execute_script("return document.documentElement.scrollWidth") <= 360)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_token_is_asked_for(driver: Any, models: dict[str, Any]) -> None:
    with served(serve.app(models["one"], token="s3cret")) as url:
        driver.get(url)
        field = driver.find_element("id", "token")
        wait(driver, field.is_displayed)
        assert "token" in text(driver, "trouble")
        field.send_keys("wrong\n")
        wait(driver, lambda: "token" in text(driver, "trouble") and field.is_displayed())
        field.send_keys("s3cret\n")
        wait(driver, lambda: text(driver, "state") == "1 version is served.")
        assert not field.is_displayed()
        enter(driver, ["1", "2", "3", "4"])
        driver.find_element("css selector", "#form button").click()
        assert table(driver)[0] == ["row", "0", "1"]
    wait(driver, lambda: "does not answer" in text(driver, "trouble"))
