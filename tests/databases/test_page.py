"""docs/mongodb-and-redis.md, with servers that are here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.pages import check

PAGE = Path(__file__).parents[2] / "docs" / "mongodb-and-redis.md"


def test_the_page_of_mongodb_and_redis(mongodb_url: str, redis: Any, redis_url: str, tmp_path: Path) -> None:
    assert redis.dbsize() == 0
    text = PAGE.read_text(encoding="utf-8")
    for localhost, here in (("mongodb://localhost:27017", mongodb_url), ("redis://localhost:6379/0", redis_url)):
        assert localhost in text
        text = text.replace(localhost, here)
    check(text, tmp_path)
