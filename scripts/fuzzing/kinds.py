"""The kinds of inputs by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from fuzzing.api import Api
from fuzzing.backup import Backup
from fuzzing.files import Files
from fuzzing.run import Kind
from fuzzing.sql import Sql

KINDS: dict[str, Callable[[], Kind]] = {each.name: each for each in (Files, Api, Backup, Sql)}
if find_spec("onnx"):
    from fuzzing.onnx_files import Onnx

    KINDS[Onnx.name] = Onnx
if find_spec("starlette"):
    from fuzzing.serve import Serve

    KINDS[Serve.name] = Serve
