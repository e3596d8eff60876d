"""What names of keys may be, which is found before any server is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.data import RedisDataset


@pytest.mark.parametrize("keys", [memoryview(np.zeros((2, 2))), memoryview(b"ab"), [1], {"a"}, 3, None])
def test_names_that_are_none(keys: Any) -> None:
    with pytest.raises(TypeError, match="keys must be a name, a pattern or a sequence of names, got"):
        RedisDataset("redis://localhost", keys)
