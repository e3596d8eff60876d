"""Lines of Keras as people write them, with fastnn: how many run, and that the others end in an error of one line."""

from __future__ import annotations

import pytest

from support.idioms import failure, lines

RUN = 155  # of all lines, at least


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("idioms")
    return {line: problem for line in lines() if (problem := failure("fastnn", line, folder)) is not None}


def test_most_lines_run(problems):
    assert len(lines()) == len(set(lines())) >= 154
    assert len(lines()) - len(problems) >= RUN, problems


def test_what_does_not_run_is_told_in_one_line(problems):
    for line, problem in problems.items():
        assert "\n" not in problem, line
