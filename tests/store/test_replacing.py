"""What is left of a write that a kill, an error or Ctrl-C ended: the old file, and no other."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from fastnn.store import replacing as module
from fastnn.store.replacing import replacing

posix = pytest.mark.skipif(os.name != "posix", reason="fork and signals of POSIX")


pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.fixture(params=["unnamed", "named", "unnamed, never named"])
def way(request, monkeypatch):
    """How a system makes temporary files."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("no unnamed files here")
    elif request.param != "unnamed":

        def refuse(*_args, **_named):
            raise OSError(errno.EXDEV, "not here")

        monkeypatch.setattr(os, "link", refuse)
    return request.param


def write(path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def write_half(path, error: BaseException) -> None:
    with replacing(path) as file:
        file.write(b"new")
        raise error


def names(folder) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_each_way_writes_the_file(tmp_path, way, size):
    for content in (b"a" * size, b"b" * size):
        write(tmp_path / "f", content)
        assert (tmp_path / "f").read_bytes() == content
        assert names(tmp_path) == ["f"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_each_way_keeps_the_permissions(tmp_path, way, mode):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new", b"")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(mode)
        write(tmp_path / "old", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "old").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("bad")], ids=repr)
def test_an_error_leaves_the_old_file(tmp_path, way, error):
    write(tmp_path / "f", b"old")
    with pytest.raises(type(error)) as caught:
        write_half(tmp_path / "f", error)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]
    if isinstance(error, OSError):
        assert caught.value.filename == str(tmp_path / "f")


def forked(function) -> int:
    """Run a function in a process of its own; gives its number once it has ended."""
    process = os.fork()
    if not process:
        try:
            function()
        finally:
            os._exit(1)
    os.waitpid(process, 0)
    return process


@posix
def test_a_kill_leaves_nothing_that_the_next_writer_does_not_remove(tmp_path, way):
    def killed():
        with replacing(tmp_path / "f") as file:
            file.write(b"new")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    write(tmp_path / "f", b"old")
    process = forked(killed)
    left = [name for name in names(tmp_path) if name != "f"]
    assert len(left) == (way == "named")
    assert all(name.startswith(f".fastnn-{process}-") for name in left)
    assert (tmp_path / "f").read_bytes() == b"old"
    write(tmp_path / "other", b"")
    assert names(tmp_path) == ["f", "other"]


@posix
def test_a_kill_between_the_two_names(tmp_path, monkeypatch):
    """The one moment at which an unnamed file has the temporary name."""
    write(tmp_path / "f", b"old")

    def killed():
        monkeypatch.setattr(os, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        write(tmp_path / "f", b"new")

    forked(killed)
    assert len(names(tmp_path)) == 2
    write(tmp_path / "f", b"newer")
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"newer"


@posix
def test_what_others_are_writing_stays(tmp_path, monkeypatch):
    """In another thread, in another process, in another container, and whatever else begins so."""
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    entered, leave = threading.Event(), threading.Event()

    def slow():
        with replacing(tmp_path / "slow") as file:
            file.write(b"slow")
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=slow)
    thread.start()
    assert entered.wait(60)
    space = module._space()
    with subprocess.Popen(["sleep", "60"]) as living:
        kept = [
            f".fastnn-{living.pid}-{space}-{'0' * 16}.tmp",
            f".fastnn-{living.pid}-00000000-{'1' * 16}.tmp",
            f".fastnn-{2**22 + 1}-00000000-{'2' * 16}.tmp",  # a number that no process here has
            ".fastnn-mine",
            f".fastnn-{living.pid}-{space}-{'3' * 16}.tmp.txt",
        ]
        for name in kept:
            (tmp_path / name).touch()
        (tmp_path / f".fastnn-{2**22 + 1}-{space}-{'4' * 16}.tmp").mkdir()
        write(tmp_path / "f", b"")
        assert {*kept} < {*names(tmp_path)}
        assert len(names(tmp_path)) == len(kept) + 3  # the folder, f and what the thread writes
        living.kill()
    leave.set()
    thread.join()
    assert (tmp_path / "slow").read_bytes() == b"slow"


def test_what_is_left_is_removed(tmp_path):
    """Of a dead process, of this process's number, and, a day later, of any; an older version's names too."""
    ours, old = [], time.time() - 2 * 24 * 3600
    with subprocess.Popen(["true"]) as dead:
        pass
    for number, process in enumerate((dead.pid, os.getpid())):
        ours.append(f".fastnn-{process}-{module._space()}-{number:016x}.tmp")
    strange = [f".fastnn-1-00000000-{'a' * 16}.tmp", f".fastnn-{'b' * 16}.tmp"]
    for name in (*ours, *strange):
        (tmp_path / name).touch()
    write(tmp_path / "f", b"")
    expected = ["f", *strange] if os.name == "posix" else ["f", *strange, *ours]
    assert names(tmp_path) == sorted(expected)
    for name in names(tmp_path):
        os.utime(tmp_path / name, (old, old))
    write(tmp_path / "f", b"")
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("path", "error"), [(3.5, TypeError), (None, TypeError), (3, TypeError), ("", ValueError), ("a\0b", ValueError)]
)
def test_what_is_no_path(path, error):
    with pytest.raises(error, match="filepath must be a path"):
        write(path, b"")


def test_bytes_are_a_path(tmp_path):
    write(os.fsencode(tmp_path / "f"), b"x")
    assert (tmp_path / "f").read_bytes() == b"x"


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=re.escape(repr(str(tmp_path / "f")))):
            write(tmp_path / "f", b"")
    finally:
        tmp_path.chmod(0o700)


def test_relative_names(tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    write("f", b"x")
    assert Path("f").read_bytes() == b"x"
