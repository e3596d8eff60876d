"""Lines of Keras as people write them, with fastnn: each runs, or says in a sentence why it does not."""

from __future__ import annotations

import re

import pytest

from support.idioms import failure, lines

# What an error says of what is left out on purpose, and docs/differences.md explains.
LEFT_OUT = re.compile(r"see docs/differences\.md|did you mean|\(write |leave it out")


@pytest.mark.parametrize("line", lines(), ids=lambda line: line[:60])
def test_a_line_of_keras(line, tmp_path):
    problem = failure("fastnn", line, tmp_path)
    assert problem is None or LEFT_OUT.search(problem), problem


def test_there_are_many_lines():
    assert len(lines()) == len(set(lines())) >= 154
