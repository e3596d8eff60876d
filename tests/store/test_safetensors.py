import json
import os
import stat
import struct

import numpy as np
import pytest

from fastnn.store import safetensors
from fastnn.store.safetensors import DTYPES, read, write

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and pipes of POSIX")


def ramp(*shape, dtype="f4"):
    numbers = np.arange(np.prod(shape, dtype=int), dtype="u2" if dtype == "V2" else dtype)
    return numbers.view(dtype).reshape(shape)


SAMPLE = {"dense/kernel": ramp(3, 2), "dense/bias": ramp(2), "step": np.array(7, "i8")}
NOTES = {"config": '{"layers": []}', "größe": "ένα"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].shape == array.shape
        assert got[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(got[name], array)


# Round trips


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 7), (1, 2, 3, 4, 5), (300, 257)])
def test_shapes_survive(path, shape):
    tensors = {"w": ramp(*shape)}
    write(path, tensors, {})
    got, metadata = read(path)
    assert_same(got, tensors)
    assert metadata == {}


@pytest.mark.parametrize("code", DTYPES.values())
def test_dtypes_survive_beside_each_other(path, code):
    tensors = {"odd": ramp(3, dtype="i1"), "it": ramp(5, dtype=code), "wide": ramp(2, dtype="f8")}
    write(path, tensors, {})
    assert_same(read(path)[0], tensors)


def test_bfloat16_is_as_torch_has_it(path):
    peer, torch = pytest.importorskip("safetensors.torch"), pytest.importorskip("torch")
    peer.save_file({"w": torch.tensor([1.5, -2.0, 3e38], dtype=torch.bfloat16)}, path)
    bits = read(path)[0]["w"].view("u2").astype("u4") << 16
    np.testing.assert_allclose(bits.view("f4"), [1.5, -2.0, 3e38], rtol=2**-8)
    write(path, read(path)[0], {})
    assert peer.load_file(path)["w"].tolist() == bits.view("f4").tolist()


def test_nothing_survives(path):
    write(path, {}, {})
    assert read(path) == ({}, {})
    assert path.stat().st_size == 16  # "{}" and the padding to 8


def test_names_metadata_and_their_order_survive(path):
    tensors = {"ζ/核": ramp(2), "": ramp(1), 'a"\\\n\0': ramp(3), "b": np.array(1.5), "a": ramp(4)}
    metadata = {"z": "", "a": "ünï\0", "": '"'}
    write(path, tensors, metadata)
    got, notes = read(path)
    assert_same(got, tensors)
    assert list(notes.items()) == list(metadata.items())


def test_special_values_survive_bit_for_bit(path):
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0x00000001, 0x7F800001], "u4")
    write(path, {"w": bits.view("f4")}, {})
    np.testing.assert_array_equal(read(path)[0]["w"].view("u4"), bits)


def test_memory_layout_does_not_matter(path):
    plain = ramp(6, 4)
    read_only = plain.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"x" + plain.tobytes(), "f4", offset=1).reshape(6, 4)
    forms = [np.asfortranarray(plain), plain.astype(">f4"), plain[::-1][::-1], read_only, unaligned]
    for form in forms:
        write(path, {"w": form}, {})
        assert_same(read(path)[0], {"w": plain})


def test_arrays_are_fresh_writable_and_aligned(path):
    write(path, {"x": ramp(3, dtype="u1"), "w": ramp(5), "b": np.array(2.0)}, {"odd": "x"})
    for array in read(path)[0].values():
        assert array.flags.writeable
        assert array.flags.aligned
        assert array.flags.c_contiguous
        assert array.dtype.isnative
        array[...] = 1


def test_layout_is_the_formats(path):
    write(path, {"x": ramp(3, dtype="i1"), "w": ramp(2)}, {"k": "v"})
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert (8 + length) % 8 == 0
    assert json.loads(content[8 : 8 + length]) == {
        "__metadata__": {"k": "v"},
        "x": {"dtype": "I8", "shape": [3], "data_offsets": [8, 11]},
        "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }
    assert content[8 + length :] == struct.pack("<2f3b", 0, 1, 0, 1, 2)


def test_same_content_same_bytes(path, tmp_path):
    write(path, SAMPLE, NOTES)
    write(tmp_path / "again", SAMPLE, NOTES)
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_agrees_with_the_safetensors_package(path, tmp_path):
    peer = pytest.importorskip("safetensors.numpy")
    safe_open = pytest.importorskip("safetensors").safe_open
    tensors = {f"t/{name}": ramp(2, 3, dtype=code) for name, code in DTYPES.items() if code != "V2"}
    tensors |= {"größe": np.array(2.5, "f4"), "empty": ramp(0, 4), "end": ramp(3, dtype="u1")}
    write(path, tensors, NOTES)
    theirs = peer.load_file(path)
    assert_same({name: theirs[name] for name in tensors}, tensors)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == NOTES
    peer.save_file(tensors, tmp_path / "peer", NOTES)
    ours, metadata = read(tmp_path / "peer")
    assert_same({name: ours[name] for name in tensors}, tensors)
    assert metadata == NOTES


# Refusals when writing


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({"w": np.array(["a"])}, {}, ValueError, "'w' has dtype <U1; known are BF16, F16"),
        ({"w": np.array([None])}, {}, ValueError, "dtype object"),
        ({"w": np.array([True])}, {}, ValueError, "dtype bool"),
        ({"w": np.array([1j])}, {}, ValueError, "dtype complex128"),
        ({"w": [1.0]}, {}, TypeError, "'w' must be a NumPy array, got .*list"),
        ({"__metadata__": ramp(1)}, {}, ValueError, "reserved"),
        ({"\ud800": ramp(1)}, {}, ValueError, "surrogates"),
        ({3: ramp(1)}, {}, TypeError, "must be a str, got 3"),
        ({}, {"k": 3}, TypeError, "str to str, got 'k': 3"),
        ({}, {3: "k"}, TypeError, "str to str"),
        ({}, {"k": "x" * 2**24}, ValueError, "the limit is 16,777,216"),
    ],
)
def test_write_refuses(path, tensors, metadata, error, message):
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        write(path, tensors, metadata)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_write_names_the_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"create the folder .*absent"):
        write(tmp_path / "absent" / "w", SAMPLE, {})


def test_write_refuses_a_folder(tmp_path):
    with pytest.raises(ValueError, match="it is a folder"):
        write(tmp_path, SAMPLE, {})


@posix
def test_write_does_not_replace_a_pipe(path):
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is a folder, pipe or device"):
        write(path, SAMPLE, {})
    assert stat.S_ISFIFO(path.stat().st_mode)


# All or nothing


class DiskFullError(OSError):
    pass


def fail(*_args, **_kwargs):
    raise DiskFullError


def interrupt(*_args, **_kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "safetensors._little_endian"])
@pytest.mark.parametrize("failure", [fail, interrupt])
def test_a_failed_write_leaves_the_old_file(path, monkeypatch, call, failure):
    write(path, SAMPLE, NOTES)
    owner, name = call.split(".")
    with monkeypatch.context() as patch:
        patch.setattr({"os": os, "safetensors": safetensors}[owner], name, failure)
        with pytest.raises((DiskFullError, KeyboardInterrupt)):
            write(path, {"w": ramp(9)}, {})
    assert list(path.parent.iterdir()) == [path]
    got, metadata = read(path)
    assert_same(got, SAMPLE)
    assert metadata == NOTES


@posix
def test_a_full_disk_leaves_the_old_file(path):
    """The limit on file size makes the kernel itself refuse, in the middle of an array."""
    import resource
    import signal

    write(path, SAMPLE, NOTES)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write(path, {"w": ramp(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(path.parent.iterdir()) == [path]
    assert_same(read(path)[0], SAMPLE)


@posix
def test_a_folder_that_cannot_be_synced_is_no_failure(path, monkeypatch):
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: fail() if stat.S_ISDIR(os.fstat(fd).st_mode) else fsync(fd))
    write(path, SAMPLE, NOTES)
    assert_same(read(path)[0], SAMPLE)


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "plain").touch()
        write(tmp_path / "w", SAMPLE, {})
    finally:
        os.umask(before)
    assert (tmp_path / "w").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o640])
def test_an_old_file_keeps_its_permissions(path, mode):
    path.touch()
    path.chmod(mode)
    write(path, SAMPLE, {})
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_followed(tmp_path, exists):
    target = tmp_path / "real" / "w"
    target.parent.mkdir()
    link = tmp_path / "link"
    link.symlink_to(target)
    if exists:
        target.write_bytes(b"old")
    write(link, SAMPLE, {})
    assert link.is_symlink()
    assert list(target.parent.iterdir()) == [target]
    assert_same(read(target)[0], SAMPLE)


def test_a_long_name_and_a_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "w" * 255
    write(name, SAMPLE, {})
    assert_same(read(name)[0], SAMPLE)
