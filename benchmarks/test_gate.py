"""The tools that judge figures, on figures that are made up: no clock decides here."""

import json

import pytest

from benchmarks import compare, gate, growth, instructions, memory_peers
from benchmarks.cases import Side
from benchmarks.memory import STATUS, Memory, arena
from benchmarks.rivals import Trainer, Unable

RESULT = {"name": "tiny", "medians": {"fastnn": 0.001, "numpy": 0.016}, "ratios": {"numpy": [15, 16, 17]}}
COUNT = {"name": "avx2: step of tiny", "instructions": 10_000}


@pytest.fixture
def compared(tmp_path, capsys):
    """The exit code and the text of a comparison of two lists of results."""

    def run(old, new, *options):
        for name, results in (("old", old), ("new", new)):
            (tmp_path / name).write_text(json.dumps({"machine": {}, "results": results}))
        try:
            code = compare.main([str(tmp_path / "old"), str(tmp_path / "new"), *options])
        except SystemExit as error:
            code = error.code
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


def with_ratio(*quartiles):
    return {**RESULT, "ratios": {"numpy": list(quartiles)}}


@pytest.mark.parametrize(
    ("quartiles", "code"),
    [
        ((15, 16, 17), 0),
        ((30, 32, 34), 0),  # better
        ((11, 12, 13), 0),  # worse, but within the margin of 0.25
        ((5, 8, 12), 0),  # half, but so noisy that it may not be
        ((9, 10, 11), 1),
        ((1, 1.1, 1.2), 1),
    ],
)
def test_a_ratio_is_judged_beyond_its_noise_and_the_margin(compared, quartiles, code):
    found, text = compared([RESULT], [with_ratio(*quartiles)])
    assert found == code
    assert ("worse" in text) == bool(code)


def test_the_noise_of_the_old_ratio_counts_too(compared):
    assert compared([with_ratio(10, 16, 20)], [with_ratio(9, 10, 11)])[0] == 0


def test_margin(compared):
    new = [with_ratio(12, 13, 14)]
    assert compared([RESULT], new)[0] == 0
    assert compared([RESULT], new, "--margin", "0.05")[0] == 1
    assert compared([RESULT], new, "--margin", "1.5")[0] == 2


def test_seconds_are_shown_and_not_judged(compared):
    times = {"fastnn": [0.05, 0.1, 0.3], "numpy": [1.6] * 3}
    code, text = compared([RESULT], [{**RESULT, "medians": {"fastnn": 0.1, "numpy": 1.6}, "seconds": times}])
    assert code == 0
    assert "| tiny: fastnn | 1 ms | 100 ms (75-200) | +9900.0% |" in text
    assert "| tiny: numpy / fastnn | 16x (15-17) | 16x (15-17) | +0.0% |" in text


@pytest.mark.parametrize(("count", "code"), [(9000, 0), (10_000, 0), (10_300, 0), (10_301, 1)])
def test_a_count_is_judged_by_three_per_cent(compared, count, code):
    assert compared([COUNT], [{**COUNT, "instructions": count}])[0] == code


def test_a_case_of_one_file_alone_is_named(compared):
    code, text = compared([RESULT, COUNT], [RESULT])
    assert code == 2
    assert "only in the old file: avx2: step of tiny: instructions)" in text
    text = compared([COUNT], [COUNT, RESULT])[1]
    assert "only in the new file: tiny: fastnn, tiny: numpy, tiny: numpy / fastnn)" in " ".join(text.split())


def test_a_race_of_peers_reads_the_same(tmp_path):
    ours = {"status": "ok", "seconds": [1.0, 2.0, 3.0], "quartiles": [1.5, 2.0, 2.5], "ratios": [1.0, 1.0, 1.0]}
    theirs = {"status": "ok", "seconds": [4.0, 6.0, 8.0], "quartiles": [5.0, 6.0, 7.0], "ratios": [2.9, 3.0, 3.1]}
    results = {"fastnn": ours, "torch": theirs, "jax": {"status": "failed", "why": "not today"}}
    file = tmp_path / "race.json"
    file.write_text(json.dumps({"cases": [{"name": "tiny", "results": results}]}))
    found = compare.read(file)
    assert set(found) == {"tiny: fastnn", "tiny: torch", "tiny: torch / fastnn"}
    assert found["tiny: torch"][:3] == (5.0, 6.0, 7.0)
    assert found["tiny: torch / fastnn"][:3] == (2.9, 3.0, 3.1)


def test_what_is_no_file_of_results_is_named(tmp_path, compared, capsys):
    good = tmp_path / "good"
    good.write_text(json.dumps({"results": [RESULT]}))
    for content in (None, "", "[]", "{}", '{"results": [1]}', '{"results": [{"name": "x", "ratios": {"numpy": 1}}]}'):
        bad = tmp_path / "bad"
        bad.unlink(missing_ok=True)
        if content is not None:
            bad.write_text(content)
        with pytest.raises(SystemExit) as error:
            compare.main([str(good), str(bad)])
        assert error.value.code == 2
        assert str(bad) in capsys.readouterr().err
    assert "no figures" in compared([], [])[1]


def part(total):
    return f"# callgrind format\nversion: 1\nevents: Ir\nsummary: 5\n\ntotals: {total}\n"


def test_a_count_is_the_difference_of_twice_and_once():
    parts, expected = [], {}
    for i, (name, workload) in enumerate(instructions.WORKLOADS.items()):
        each = 1000 * (i + 1)
        parts += [part(10**9), part(77 + workload.n * each), part(77 + 2 * workload.n * each)]
        expected[f"avx2: {name}"] = each
    assert instructions.from_parts("avx2", parts) == expected
    with pytest.raises(SystemExit, match="parts"):
        instructions.from_parts("avx2", parts[:-1])


@pytest.fixture
def budgets(tmp_path, monkeypatch):
    file = tmp_path / "budgets.json"
    monkeypatch.setattr(instructions, "BUDGETS", file)
    monkeypatch.setattr(instructions, "tools", lambda: "this compiler")
    file.write_text(json.dumps({"this compiler": {"step": 1000}, "another": {"step": 7}}))
    return file


def test_growth_of_more_than_three_per_cent_fails(budgets, capsys):
    assert instructions.check({"step": 900})
    assert instructions.check({"step": 1030})
    capsys.readouterr()
    assert not instructions.check({"step": 1031})
    text = capsys.readouterr().out
    assert "3.1% above the budget of 1,000" in text
    assert instructions.WRITE in text


def test_a_workload_without_a_budget_fails(budgets, capsys):
    assert not instructions.check({"step": 1000, "new": 5})
    assert "new: 5 instructions, and no budget" in capsys.readouterr().out


def test_other_tools_are_not_checked_and_that_is_said(budgets, monkeypatch, capsys):
    monkeypatch.setattr(instructions, "tools", lambda: "a third compiler")
    assert instructions.check({"step": 10**9})
    text = capsys.readouterr().out
    assert "NOT CHECKED: budgets.json has no budget for a third compiler, only for:" in text
    assert "another" in text


def test_writing_keeps_the_budgets_of_other_tools(budgets):
    instructions.write({"step": 2000})
    assert instructions.check({"step": 2000})
    assert json.loads(budgets.read_text())["another"] == {"step": 7}


def test_the_tools_are_named_by_the_module():
    assert "Python 3." in instructions.tools()


def test_the_gate_tries_again_before_it_fails(capsys):
    cases = [case for case in gate.CASES if case.name in gate.FLOORS]
    assert {case.name for case in cases} == set(gate.FLOORS)
    ratios = {case.name: iter([0.0, 100.0]) for case in cases}
    ratios["tiny"] = iter([0.0, 0.0])
    assert gate.too_slow(cases, lambda case: next(ratios[case.name])) == ["tiny"]


def test_curves_grow_and_points_stay_small():
    for curve in growth.CURVES:
        points = list(growth.points(curve, 4))
        at = [point.at for point in points]
        assert at == sorted(set(at))
        for point in points:
            products = point.case.network.products * point.case.rows
            assert products <= 20e9, f"{point.case.name} takes too long"
            assert point.case.rows >= point.case.batch_size or curve == "rows"
    assert [point.threads for point in growth.points("threads", 4)] == [1, 2, 4, 8]
    assert [point.at for point in growth.points("threads", 3)] == [1, 2, 3, 6]
    assert [point.at for point in growth.points("batch", 1)] == [2**i for i in range(14)]


def test_sides_run_in_turn(monkeypatch):
    ran = []
    sides = {name: Side(lambda: None, lambda name=name: ran.append(name)) for name in ("fastnn", "numpy")}
    monkeypatch.setattr(growth, "SECONDS", 0.0)
    seconds = growth.in_turn(sides)
    assert {name: len(times) for name, times in seconds.items()} == {"fastnn": growth.LEAST, "numpy": growth.LEAST}
    assert ran == ["fastnn", "numpy"] * (growth.LEAST + 1)


def test_a_point_is_by_the_row_and_can_be_compared():
    point = next(growth.points("depth", 1))
    memory = Memory(data=2, arena=3, used=7)
    seconds = {"fastnn": [4.0, 1.0, 2.0], "numpy": [8.0, 4.0, 2.0]}
    found = growth.result(point, 1e-6, seconds, {"fastnn": memory, "numpy": memory})
    rows = point.case.rows
    assert found["medians"] == {"fastnn": 2 / rows, "numpy": 4 / rows}
    assert found["ratios"] == {"numpy": [1.5, 2.0, 3.0]}
    assert Memory(**found["memory"]["fastnn"]).above == 2
    assert dict(compare.figures(found))["depth 1: numpy / fastnn"].median == 2
    assert "depth 1" in growth.line(found)


def test_the_arena_by_hand():
    """3-4-2: 16 + 10 parameters, four vectors; in a row a and d of 4 units and of 2."""
    assert arena((3, 4, 2), 5) == 4 * (4 * 26 + 5 * (2 * 4 + 2 * 2))


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells")
def test_memory_is_that_of_the_fit_alone():
    """NumPy's arrays are known by hand: of medium about four times its weights, and what rows give."""
    peak = memory_peers.measured("NumPy", "medium")
    case = memory_peers.FITS["medium"]
    assert peak["data"] == 4 * case.rows * 784 + 8 * case.rows
    assert 3.5 * 4 * case.parameters < peak["fit"] < 12 * 4 * case.parameters < peak["data"] < peak["whole"]


def test_a_table_of_memory(monkeypatch):
    monkeypatch.setitem(memory_peers.SIDES, "thinc", ("onnxruntime",))
    found = {
        "fastnn": {"data": 2_000_000, "fit": 1_500_000, "whole": 1_234_000_000},
        "JAX": {"failed": "Killed"},
        "thinc": memory_peers.measured("thinc", "tiny"),
    }
    lines = memory_peers.table({"tiny": found})
    assert lines[0] == "| MB | x and y | fastnn | JAX | thinc |"
    assert lines[2] == f"| tiny | 2.0 | 1.5 of 1,234 | failed | {next(iter(found['thinc']))} |"
    assert "- Failed: JAX, tiny: Killed" in lines
    assert "data" not in found["thinc"]


def test_the_first_form_that_can_does_it(monkeypatch):
    """JAX steps where its scan is unable; a library that only predicts trains nothing."""
    ran = []

    def form(name, able):
        def fit(case):
            if not able:
                raise Unable(f"{name} cannot")
            return Trainer(lambda: ran.append("reset"), lambda shuffle: ran.append((name, shuffle)))

        return type("module", (), {"fit": staticmethod(fit)})

    forms = {"benchmarks.rivals.jax_scan": form("scan", False), "benchmarks.rivals.jax_step": form("step", True)}
    monkeypatch.setattr(memory_peers, "import_module", forms.get)
    memory_peers.trained(("jax", "jax-step"), memory_peers.FITS["tiny"])
    assert ran == ["reset", ("step", True)]
    with pytest.raises(Unable, match="scan cannot"):
        memory_peers.trained(("jax",), memory_peers.FITS["tiny"])
