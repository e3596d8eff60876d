"""get_file: from a path, an address of a file and a server on this machine; hashes, archives, and what is refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fastnn import utils

TEXT = b"a,b\n1,2\n"
SHA256, MD5 = hashlib.sha256(TEXT).hexdigest(), hashlib.md5(TEXT).hexdigest()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "table.csv"
    path.parent.mkdir()
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTNN_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "datasets"


@pytest.mark.parametrize("known", [{}, {"file_hash": SHA256}, {"md5_hash": MD5}, {"file_hash": MD5}])
def test_a_file_is_kept(origin: Path, cache: Path, known: dict[str, str]) -> None:
    path = utils.get_file("mine.csv", origin.as_uri(), **known)  # type: ignore[arg-type]
    assert path == str(cache / "mine.csv")
    assert Path(path).read_bytes() == TEXT
    origin.write_bytes(b"other")
    assert Path(utils.get_file("mine.csv", origin)).read_bytes() == TEXT
    assert Path(utils.get_file("mine.csv", origin, force_download=True)).read_bytes() == b"other"
    assert [each.name for each in cache.iterdir()] == ["mine.csv"]


def test_the_name_is_that_of_the_origin(origin: Path, tmp_path: Path) -> None:
    assert utils.get_file(origin=origin, cache_dir=tmp_path / "x", cache_subdir="y") == str(tmp_path / "x/y/table.csv")


def test_what_is_kept_with_another_hash_is_fetched_again(origin: Path, cache: Path) -> None:
    utils.get_file("t.csv", origin)
    (cache / "t.csv").write_bytes(b"damaged")
    assert Path(utils.get_file("t.csv", origin, file_hash=SHA256)).read_bytes() == TEXT


def test_a_file_of_another_hash_is_not_kept(origin: Path, cache: Path) -> None:
    with pytest.raises(ValueError, match="Incomplete or corrupted file"):
        utils.get_file("t.csv", origin, file_hash="0" * 64)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize(
    ("name", "folder", "archive"), [("set", "set", "set_archive"), ("set.{}", "set_extracted", "set.{}")]
)
def test_an_archive_is_unpacked(origin: Path, cache: Path, kind: str, name: str, folder: str, archive: str) -> None:
    path = origin.with_name(f"all.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.write(origin, "in/table.csv")
            packed.writestr("in/empty/", "")
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
            tar.add(origin, "in/table.csv")
            tar.add(origin.parent, "in/empty", recursive=False)
    for _ in range(2):
        given = utils.get_file(name.format(kind), path, extract=True)
        assert given == str(cache / folder)
        assert (cache / folder / "in" / "table.csv").read_bytes() == TEXT
        assert (cache / folder / "in" / "empty").is_dir()
        assert (cache / archive.format(kind)).is_file()
    assert sorted(each.name for each in cache.iterdir()) == sorted([folder, archive.format(kind)])


def _tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/fastnn_out.txt", "in/../../out.txt"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_no_member_gets_out_of_its_folder(tmp_path: Path, cache: Path, name: str, kind: str) -> None:
    path = tmp_path / f"bad.{kind}"
    if kind == "tar":
        _tar(path, [(tarfile.TarInfo("good.txt"), b"x"), (tarfile.TarInfo(name), b"x")])
    else:
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("good.txt", "x")
            packed.writestr(name, "x")
    with pytest.raises(ValueError, match="outside of its folder"):
        utils.get_file("bad", path, extract=True)
    assert [each.name for each in cache.iterdir()] == ["bad_archive"]
    assert not Path("/tmp/fastnn_out.txt").exists()


def test_links_are_left_out_and_nothing_goes_through_them(tmp_path: Path, cache: Path) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    path = _tar(tmp_path / "l.tar", [(link, b""), (tarfile.TarInfo("link/inside.txt"), b"x")])
    with pytest.warns(UserWarning, match="'link', which is left out"):
        folder = Path(utils.get_file("l", path, extract=True))
    assert (folder / "link" / "inside.txt").read_bytes() == b"x"
    assert not (tmp_path / "inside.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"origin": None}, '"origin"'),
        ({"fname": "../t.csv"}, "without a folder"),
        ({"fname": ".."}, "without a folder"),
        ({"origin": "ftp://host/file"}, "http, https or file"),
        ({"origin": "https://host/"}, "fname must be the name"),
        ({"hash_algorithm": "crc", "file_hash": "0" * 64}, "hash_algorithm must be"),
        ({"extract": True}, "is no archive of the kind tar or zip"),
        ({"extract": True, "archive_format": "rar"}, "archive_format must be"),
    ],
)
def test_what_is_wrong_is_named(origin: Path, cache: Path, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        utils.get_file(**{"origin": origin, **arguments})  # type: ignore[arg-type]


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.startswith(("/table.csv", "/cut.csv"))
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(TEXT) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(TEXT if self.path.startswith("/table.csv") else TEXT[:3])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_comes_from_a_server(address: str, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = utils.get_file(origin=f"{address}/table.csv?version=2", file_hash=SHA256)
    assert path == str(cache / "table.csv")
    assert Path(path).read_bytes() == TEXT
    assert f"Downloading data from {address}" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "says"), [("other.csv", "HTTP Error 404"), ("cut.csv", "3 of 8 bytes came")])
def test_a_file_that_no_server_has_or_that_does_not_come_whole(address: str, cache: Path, name: str, says: str) -> None:
    with pytest.raises(OSError, match=rf"cannot be fetched \({says}.*put it at .*{name}"):
        utils.get_file(origin=f"{address}/{name}")
    assert list(cache.iterdir()) == []
