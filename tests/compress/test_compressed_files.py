"""Files that are compressed: what is read back, for how many bytes, and what harm a damaged one can do."""

from __future__ import annotations

import gzip
import json
import lzma
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest

import fastnn
from fastnn import Model, Sequential, layers as L
from fastnn.compress import prune, quantize, sparsity
from fastnn.models import load_model, save_model
from fastnn.store import packing, safetensors
from support.small import bits, model_of, rows

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def zstd_is_there() -> bool:
    try:
        packing.packed(b"", "zstd", False)
    except ImportError:
        return False
    return True


needs_zstd = pytest.mark.skipif(not zstd_is_there(), reason="there is no zstandard")
METHODS = ["xz", "zlib", pytest.param("zstd", marks=needs_zstd)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fastnn"


@pytest.fixture
def wide():
    """A net of which most weights are zeros, fitted."""
    fastnn.set_random_seed(0)
    x, y = rows(200, 40, 3)
    model = Sequential([L.Dense(60, "relu", input_dim=40), L.BatchNormalization(), L.Dense(20), L.Dense(3)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, epochs=2, verbose=0)
    rng = np.random.default_rng(0)
    weights = [w * (rng.random(w.shape) < 0.2) if w.ndim > 1 else w for w in model.get_weights()]
    model.set_weights(weights)
    return model


def shuffled(width: int = 50):
    """Layers of several kinds: shared, within each other, with a table of texts, with exact means."""
    fastnn.set_random_seed(0)
    words, number, picture = L.Input((1,), dtype="string"), L.Input((300,)), L.Input((12, 12, 2))
    lookup = L.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")
    normal = L.Normalization()
    normal.adapt(np.random.default_rng(0).normal(3, 2, (99, 300)))
    inner = Sequential([L.Dense(width, "relu", input_dim=width), L.Dense(width)], name="inner")
    shared = inner(L.Dense(width)(normal(number)))
    seen = L.Flatten()(L.Conv2D(8, 3, activation="relu")(picture))
    steps = L.LSTM(9)(L.Reshape((5, width // 5))(inner(shared)))
    merged = L.Concatenate()([lookup(words), shared, seen, steps])
    return Model([words, number, picture], [L.Dense(4, "softmax", name="a")(merged), L.Dense(1, name="b")(merged)])


def odd_rows(n: int = 20):
    rng = np.random.default_rng(1)
    return [rng.choice(["a", "c", "z"], (n, 1)), rng.normal(3, 2, (n, 300)), rng.normal(size=(n, 12, 12, 2))]


@pytest.mark.parametrize("method", [*METHODS, True])
def test_every_bit_is_kept(path, method):
    x, y = rows()
    model = model_of()
    model.fit(x, y, verbose=0)
    model.save(path, compression=method, include_optimizer=True)
    found = load_model(path)
    assert bits(found) == bits(model)
    # The optimizer's state too: training goes on as if there had been no file.
    for each in (model, found):
        each.fit(x, y, epochs=2, verbose=0, shuffle=False)
    assert bits(found) == bits(model)


@pytest.mark.parametrize("method", METHODS)
def test_a_graph_and_its_tables(path, method):
    model = shuffled()
    expected = model.predict(odd_rows(), verbose=0)
    model.save(path, compression=method)
    for a, b in zip(load_model(path).predict(odd_rows(), verbose=0), expected, strict=True):
        assert (a == b).all()
    model.save(path, compression={"bits": 6, "method": method})
    found = load_model(path)
    for a, b in zip(found.predict(odd_rows(), verbose=0), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=0.1 * np.abs(b).max())
    mean, before = (each.get_layer("normalization").get_weights() for each in (found, model))
    assert all((a == b).all() for a, b in zip(mean, before, strict=True))  # not what training found


def test_a_codebook(path, wide):
    model = wide
    for count in (2, 4, 8):
        model.save(path, compression={"bits": count})
        found = load_model(path)
        for a, b in zip(found.get_weights(), model.get_weights(), strict=True):
            assert ((a == 0) == (b == 0)).all()
            if b.ndim > 1 and b.size >= 256:
                assert len(np.unique(a)) <= 2**count + 1
                assert np.abs(a - b).max() < np.ptp(b) / 2**count
            else:
                assert (a == b).all()


def test_a_codebook_is_found_again(path, wide):
    """To save what was loaded, and trained no further, changes nothing."""
    wide.save(path, compression={"bits": 4})
    found = load_model(path)
    content = path.read_bytes()
    found.save(path, compression={"bits": 4})
    assert bits(load_model(path)) == bits(found)
    assert path.read_bytes() == content


def test_sizes(path, wide):
    def size(**how):
        wide.save(path, **how)
        return path.stat().st_size

    weights = 4 * wide.count_params()
    assert size() > 3 * weights
    assert size(include_optimizer=False) < weights + 6000
    assert size(compression="xz") < size(compression="zlib") < 0.6 * weights
    # A fifth of the weights with 4 bits, and where they are, some 3 bits; beside exact numbers and names.
    assert size(compression={"bits": 4}) < 0.2 * 7 / 32 * weights + 4000


def test_it_trains_on(path, wide):
    x, y = rows(200, 40, 3)
    wide.save(path, compression={"bits": 4})
    found = load_model(path)
    assert found.optimizer.get_config() == wide.optimizer.get_config()
    assert int(found.optimizer.iterations) == 0  # its state was left out
    before = found.evaluate(x, y, verbose=0)
    found.fit(x, y, epochs=3, verbose=0)
    assert found.evaluate(x, y, verbose=0)[0] < before[0]
    assert len(before) == 2


@pytest.mark.parametrize("how", [None, "xz", {"bits": 5}])
def test_what_goes_along(path, how):
    model = model_of()
    model.fit(*rows(), verbose=0)
    model.save(path, compression=how, include_optimizer=True)
    assert int(load_model(path).optimizer.iterations) == int(model.optimizer.iterations) > 0
    model.save(path, compression=how, include_optimizer=False)
    assert int(load_model(path).optimizer.iterations) == 0


@pytest.mark.parametrize("how", ["xz", "zlib", {"bits": 4}])
def test_weights_alone(tmp_path, how, wide):
    path = tmp_path / "weights.fastnn"
    wide.save_weights(path, compression=how)
    other = fastnn.models.clone_model(wide)
    other.load_weights(path)
    for a, b in zip(other.get_weights(), wide.get_weights(), strict=True):
        assert (a == b).all() if isinstance(how, str) else np.abs(a - b).max() < np.ptp(b) / 16 + 1e-9
    wide.save(path, compression=how)
    other.load_weights(path)
    changed = Sequential([L.Dense(60, input_dim=40, name=wide.layers[0].name), L.Dense(7, name=wide.layers[2].name)])
    with pytest.raises(ValueError, match="does not fit this model"):
        changed.load_weights(path)
    changed.load_weights(path, skip_mismatch=True)
    assert (changed.get_weights()[0] == other.get_weights()[0]).all()


def test_a_quantised_model(path, wide):
    """Its int8 weights are as they were; what is float32 beside them is rounded where it was asked for."""
    x = rows(50, 40, 3)[0]
    for count in (8, 16):
        small = quantize(wide, bits=count)
        expected = small.predict(x)
        small.save(path)
        size = path.stat().st_size
        small.save(path, compression=True)
        assert (load_model(path).predict(x) == expected).all()
        assert path.stat().st_size < 0.6 * size
        small.save(path, compression={"bits": 8})
        np.testing.assert_allclose(load_model(path).predict(x), expected, atol=0.02)


def test_a_pruned_model(path, wide):
    small = prune(wide, 0.9)
    expected = [w != 0 for w in small.get_weights() if w.ndim > 1]
    small.save(path, compression={"bits": 4})
    found = load_model(path)
    assert all((a == (b != 0)).all() for a, b in zip(expected, found.get_weights()[::2], strict=False) if b.ndim > 1)
    assert sparsity(found) == pytest.approx(sparsity(small))


def test_files_in_memory(wide):
    for how in ("xz", {"bits": 4}):
        file = BytesIO()
        save_model(wide, file, compression=how)
        assert file.getvalue()[:6] == b"\xfd7zXZ\0"
        file.seek(0)
        assert load_model(file).count_params() == wide.count_params()


@pytest.mark.parametrize(("method", "module"), [("xz", lzma), ("zlib", gzip)])
def test_the_usual_tools_unpack_it(path, tmp_path, method, module, wide):
    for how in (method, {"method": method, "bits": 4}):
        wide.save(path, compression=how)
        plain = tmp_path / "plain"
        plain.write_bytes(module.decompress(path.read_bytes()))
        assert bits(load_model(plain)) == bits(load_model(path))
        plain.write_bytes(module.compress(plain.read_bytes()))  # as others pack it
        assert bits(load_model(plain)) == bits(load_model(path))


def test_weights_that_are_no_numbers(path):
    model = Sequential([L.Dense(30, input_dim=30)])
    kernel, bias = model.get_weights()
    kernel[3, 4], kernel[5, 6] = np.nan, np.inf
    model.set_weights([kernel, bias])
    for how in ("xz", {"bits": 4}):
        model.save(path, compression=how)
        assert bits(load_model(path)) == bits(model)


def test_files_are_replaced_whole_or_not_at_all(path, monkeypatch):
    model = model_of()
    model.save(path, compression=True)
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite"):
        model.save(path, overwrite=False, compression=True)
    monkeypatch.setattr(packing.zlib, "compressobj", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(path, compression="zlib")
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


# What is asked for.

WRONG = [
    ("lzma", ValueError, r"the method must be True or one of 'zlib', 'xz', 'zstd', got 'lzma'"),
    ("zlid", ValueError, r"did you mean 'zlib'"),
    (5, TypeError, "compression must be None, True, a text or a dict, got 5"),
    ({"bit": 4}, ValueError, "compression takes 'method' and 'bits', got 'bit'"),
    ({"method": 3}, ValueError, "the method must be True"),
    ({"method": None}, ValueError, "the method must be True"),
    ({"bits": 1}, ValueError, "bits must be"),
    ({"bits": 9}, ValueError, "bits must be"),
    ({"bits": "4"}, TypeError, "bits must be"),
    (["xz"], TypeError, "compression must be"),
]


@pytest.mark.parametrize(("how", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_compression(path, how, error, message):
    with pytest.raises(error, match=message):
        model_of().save(path, compression=how)
    with pytest.raises(error, match=message):
        model_of().save_weights(path, compression=how)
    assert not path.exists()


def test_no_compression(path):
    for how in (None, False):
        model_of().save(path, compression=how)
        assert path.read_bytes()[8:9] == b"{"


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_files_of_others_take_none(tmp_path, name):
    model = model_of()
    write = model.save_weights if name.endswith("h5") else model.save
    with pytest.raises(ValueError, match="compression is of fastnn's own files"):
        write(tmp_path / name, compression="xz")


def test_a_missing_zstandard_says_what_to_install(path, monkeypatch):
    for name in ("zstandard", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    message = r"needs zstandard: pip install \"fastnn\[compress\]\""
    with pytest.raises(ImportError, match=message):
        model_of().save(path, compression="zstd")
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    with pytest.raises(ImportError, match=message):
        load_model(path)


def test_a_python_without_lzma(path, monkeypatch):
    model_of().save(path, compression="xz")
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(ImportError, match="Python's module lzma"):
        load_model(path)
    with pytest.raises(ImportError, match="compression='zlib'"):
        model_of().save(path, compression="xz")
    model_of().save(path, compression=True)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    load_model(path)


# Damage.


@pytest.fixture(params=[(method, count) for method in ("xz", "zlib", "zstd") for count in (None, 4)], ids=str)
def saved(request, path, wide):
    if request.param[0] == "zstd" and not zstd_is_there():
        pytest.skip("there is no zstandard")
    wide.save(path, compression=dict(zip(("method", "bits"), request.param, strict=True)))
    return path


def refused(path, content) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.fastnn") as error:
        load_model(path)
    return str(error.value)


def test_truncated_anywhere(saved):
    content = saved.read_bytes()
    for end in [*range(0, len(content), len(content) // 60), len(content) - 1]:
        refused(saved, content[:end])
    for more in (b"\0", b"more", content):
        assert "behind its end" in refused(saved, content + more)


def test_a_changed_bit_is_found(saved):
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(40), *rng.integers(40, len(content), 60), *range(len(content) - 20, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        saved.write_bytes(bytes(damaged))
        try:
            found = load_model(saved)
        except ValueError as error:
            assert "model.fastnn" in str(error)  # noqa: PT017
        else:  # a byte of a header that says nothing of the content, such as the time
            assert bits(found) == bits(load_model(BytesIO(content)))


def test_a_damaged_content_that_is_packed_well(saved):
    """The checksums are right, so that the inner file must be looked at."""
    method = packing.method_of(saved.read_bytes())
    inner = packing.unpacked(BytesIO(saved.read_bytes()), saved.stat().st_size, method).getvalue()
    header = 8 + int.from_bytes(inner[:8], "little")
    rng = np.random.default_rng(1)
    coded = rng.integers(header, len(inner), 20)
    for place in [*rng.integers(0, header, 80), *coded]:
        damaged = bytearray(inner)
        damaged[place] = rng.integers(256)
        saved.write_bytes(packing.packed(bytes(damaged), method, False))
        try:
            load_model(saved).predict(np.zeros((1, 40)), verbose=0)
        except ValueError as error:
            assert "model.fastnn" in str(error)  # noqa: PT017
    for end in (0, 1, 8, header, len(inner) - 1):
        refused(saved, packing.packed(inner[:end], method, False))


def bomb(method: str, size: int) -> bytes:
    """Zeros, behind the start of a header of safetensors."""
    start = (2**20).to_bytes(8, "little") + b"{"
    if method == "zlib":
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    elif method == "xz":
        packer = lzma.LZMACompressor(preset=0)
    else:
        packer = pytest.importorskip("zstandard").ZstdCompressor(level=1).compressobj()
    parts = [packer.compress(start)] + [packer.compress(bytes(2**20)) for _ in range(size // 2**20)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_takes_little_memory(path, method):
    content = bomb(method, 2**27)
    assert len(content) < 2**19
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if resource else 0
    message = refused(path, content)
    assert "bytes would be more than" in message
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if resource else 0
    assert after - before < (400 if method == "zlib" else 200) * 1024  # which packs nothing 1,032 times as small


@needs_zstd
def test_a_size_that_a_frame_claims_is_not_believed(path):
    frame = b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little")  # of one segment, which is its own window
    assert "cannot be unpacked" in refused(path, frame + b"\1\0\0")


def test_a_dictionary_of_gigabytes_is_not_made(path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**20}]
    content = bytearray(lzma.compress(bytes(100), filters=filters))
    assert content[16] == 16  # the dictionary's size in the block's header
    content[16] = 40  # 4 GiB
    content[20:24] = zlib.crc32(bytes(content[12:20])).to_bytes(4, "little")
    assert "limit" in refused(path, bytes(content))


def test_what_is_coded_claims_no_gigabytes(path):
    places = {"dense/kernel": [[30_000, 30_000], 0, 0, 0, 0]}
    nothing = {"codebooks": np.zeros(0, "f4"), "codes": np.zeros(0, "u1"), "gaps": np.zeros(0, "u1")}
    model = Sequential([L.Dense(4, input_dim=3)])
    model.save(path)
    metadata = safetensors.read(path)[1]
    safetensors.write(path, nothing, metadata | {"coded": json.dumps(places)})
    with pytest.raises(ValueError, match=r"would be more than 67,108,864 bytes"):
        load_model(path)
    with pytest.raises(ValueError, match=r"would be more than 67,108,864 bytes"):
        model.load_weights(path)


def test_what_would_not_be_read_is_not_written(path, monkeypatch):
    monkeypatch.setattr(packing, "LEAST_ROOM", 2**16)
    model = Sequential([L.Dense(800, use_bias=False, kernel_initializer="zeros", input_dim=800)])
    model.build()
    for how in ("xz", {"bits": 4}):
        with pytest.raises(ValueError, match="save it without compression"):
            model.save(path, compression=how)
    assert not path.exists()


def test_other_content(path):
    for module, name in ((gzip, "gzip"), (lzma, "xz")):
        for inner, what in (
            (b"data" * 99, "no model"),
            (b"\x93NUMPY" + bytes(90), "an array of NumPy"),
            (b"", "no model"),
        ):
            message = refused(path, module.compress(inner))
            assert f"it is compressed with {name}, and what is in it is {what}" in message
