from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def pyplot() -> Iterator[Any]:
    """matplotlib without a window; all figures are closed."""
    matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield pyplot
    pyplot.close("all")
