"""One session of Spark, local[2], for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.sparks import session


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("pyspark")
    pytest.importorskip("pyarrow")
    with session(tmp_path_factory.mktemp("spark")) as found:
        yield found
