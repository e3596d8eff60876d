"""Chromium without a screen, for tests that look at a page; what imports this is skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HOW = "a browser is needed: apt-get install chromium chromium-driver; pip install selenium"
webdriver = pytest.importorskip("selenium.webdriver", reason=HOW)
WebDriverException = pytest.importorskip("selenium.common.exceptions", reason=HOW).WebDriverException
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip(HOW, allow_module_level=True)

ARGUMENTS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update "
    "disable-sync"
)


@contextmanager
def chromium(profile: Path, more: str) -> Iterator[Any]:
    """A browser with a profile of its own and more arguments; it ends with the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in f"{ARGUMENTS} {more}".split():
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait(browser: Any, found: Any) -> Any:
    """What `found` gives, once it is something."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda _: found())
