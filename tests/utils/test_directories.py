"""Files in folders as datasets: which files, which labels, what is decoded; and faults that are named."""

from __future__ import annotations

import os
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, utils
from fastnn._pictures import INTERPOLATIONS, resized
from fastnn._sounds import resampled
from fastnn.data import dataset as of_datasets

RNG = np.random.default_rng(4)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    for place, name in enumerate(("cats", "dogs", "owls")):
        for number in range(4):
            pixels = np.full((6 + number, 5, 3), 20 * place + number, np.uint8)
            file = tmp_path / name / ("deeper" if number == 3 else "") / f"{number}.{'PNG' if number else 'png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.fromarray(pixels).save(file)
    (tmp_path / "cats" / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def options(**more: Any) -> dict[str, Any]:
    return {"image_size": (4, 4), "verbose": False, "shuffle": False, **more}


def test_pictures_by_class(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = utils.image_dataset_from_directory(pictures, **options(batch_size=5, verbose=True))
    assert capsys.readouterr().out == "Found 12 files belonging to 3 classes.\n"
    assert dataset.class_names == ["cats", "dogs", "owls"]
    assert [os.path.relpath(path, pictures) for path in dataset.file_paths[:4]] == [
        os.path.join("cats", "0.png"),
        os.path.join("cats", "1.PNG"),
        os.path.join("cats", "2.PNG"),
        os.path.join("cats", "deeper", "3.PNG"),
    ]
    batches = list(dataset)
    assert [len(x) for x, _ in batches] == [5, 5, 2]
    x, y = (np.concatenate(each) for each in zip(*batches, strict=True))
    assert x.dtype == np.float32
    assert x.shape == (12, 4, 4, 3)
    assert y.dtype == np.int32
    assert y.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert x[:, 0, 0, 0].tolist() == [20 * place + number for place in range(3) for number in range(4)]


def test_labels_of_every_kind(pictures: Path) -> None:
    of = utils.image_dataset_from_directory
    _, y = next(iter(of(pictures, label_mode="categorical", **options())))
    assert y.dtype == np.float32
    assert y.tolist() == np.eye(3)[np.repeat(range(3), 4)].tolist()
    two = of(pictures, label_mode="binary", class_names=["owls", "cats"], **options())
    x, y = next(iter(two))
    assert y.tolist() == [[0.0]] * 4 + [[1.0]] * 4
    assert x[0, 0, 0, 0] == 40
    assert two.class_names == ["owls", "cats"]
    for given in ({"labels": None}, {"label_mode": None}):
        x = next(iter(of(pictures, **options(**given))))
        assert x.shape == (12, 4, 4, 3)
        assert of(pictures, **options(**given)).class_names is None
    own = of(pictures, labels=list(range(12)), **options())
    assert next(iter(own))[1].tolist() == list(range(12))
    assert own.class_names == sorted(map(str, range(12)), key=int)
    assert next(iter(of(pictures, **options(color_mode="grayscale"))))[0].shape[-1] == 1
    assert next(iter(of(pictures, **options(color_mode="rgba"))))[0][0, 0, 0, 3] == 255
    assert next(iter(of(pictures, **options(batch_size=None, image_size=7))))[0].shape == (7, 7, 3)


def test_a_shuffle_hangs_on_its_seed(pictures: Path) -> None:
    def of(seed: int) -> Any:
        return utils.image_dataset_from_directory(pictures, **options(shuffle=True, seed=seed, batch_size=12))

    names = sorted(of(1).file_paths)
    expected = [str(path) for path in names]
    np.random.RandomState(3).shuffle(expected)
    assert of(3).file_paths == expected
    (first,), (again,) = list(of(3)), list(of(3))
    np.testing.assert_array_equal(first[0], again[0])
    places = np.array([["cats", "dogs", "owls"].index(Path(path).relative_to(pictures).parts[0]) for path in expected])
    dataset = of(3)
    for _ in range(3):
        ((x, y),) = list(dataset)
        assert (x[:, 0, 0, 0] // 20).tolist() == y.tolist()
    assert sorted(places.tolist()) == sorted(y.tolist())


def test_a_split_has_every_file_once(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = options(shuffle=True, seed=5, validation_split=0.3)
    train, validation = utils.image_dataset_from_directory(pictures, subset="both", **shared)
    assert capsys.readouterr().out == "Using 9 files for training.\nUsing 3 files for validation.\n"
    assert len(train.file_paths) == 9
    assert len({*train.file_paths, *validation.file_paths}) == 12
    assert utils.image_dataset_from_directory(pictures, subset="training", **shared).file_paths == train.file_paths
    alone = utils.image_dataset_from_directory(pictures, subset="validation", **shared)
    assert alone.file_paths == validation.file_paths
    assert [y.tolist() for _, y in validation] == [y.tolist() for _, y in validation]
    for bad in ({"subset": "test"}, {"validation_split": 2.0}, {"validation_split": 0.3}, {"subset": "both"}):
        with pytest.raises(ValueError, match=r"subset|between 0 and 1"):
            utils.image_dataset_from_directory(pictures, **{**options(), **bad})
    with pytest.raises(ValueError, match="provide a `seed` argument"):
        utils.image_dataset_from_directory(pictures, subset="both", **options(shuffle=True, validation_split=0.3))
    with pytest.raises(ValueError, match="No validation images found"):
        utils.image_dataset_from_directory(pictures, subset="both", **options(validation_split=0.01))


def test_a_model_trains_on_them(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = utils.image_dataset_from_directory(pictures, image_size=(4, 4), seed=1, batch_size=3, verbose=False)
    for limit in (2**28, 3000):
        monkeypatch.setattr(of_datasets, "MEMORY_LIMIT", limit)
        fastnn.set_random_seed(1)
        model = fastnn.Sequential(
            [layers.Input((4, 4, 3)), layers.Rescaling(1 / 64), layers.Flatten(), layers.Dense(3)]
        )
        model.compile(
            fastnn.optimizers.Adam(0.05),
            fastnn.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(dataset, epochs=80, verbose=0)
        assert model.evaluate(dataset, verbose=0)[1] == 1


def test_a_dataset_may_be_mapped(pictures: Path) -> None:
    dataset = utils.image_dataset_from_directory(pictures, **options(batch_size=5))
    scaled = dataset.map(lambda x, y: (x / 20, y))
    x, y = (np.concatenate(each) for each in zip(*scaled, strict=True))
    assert x[:, 0, 0, 0].astype(int).tolist() == y.tolist()
    assert scaled.class_names == dataset.class_names
    assert next(iter(dataset.map(lambda x, y: x))).shape == (5, 4, 4, 3)
    one = next(
        iter(utils.image_dataset_from_directory(pictures, **options(batch_size=None)).map(lambda x, y: (x[0], y)))
    )
    assert one[0].shape == (4, 3)
    by_batch = dataset.map(lambda x, y: (np.full(len(x), len(x)), y))
    assert [x.tolist() for x, _ in by_batch] == [[5] * 5, [5] * 5, [2] * 2]
    model = fastnn.Sequential([layers.Input(()), layers.Reshape((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    source = by_batch.source()
    assert next(source.pages(5)).x.ravel().tolist() == [5] * 10 + [2] * 2
    named = next(iter(dataset.map(lambda x, y: {"a": x, "b": y})))
    assert set(named) == {"a", "b"}
    with pytest.raises(ValueError, match=r"an entry for each of 5 samples, got an array of shape \(1,\)"):
        next(iter(dataset.map(lambda x, y: (x[:1, 0, 0, 0], y))))
    with pytest.raises(TypeError, match="map takes a function"):
        dataset.map(3)  # type: ignore[arg-type]


def test_links_are_followed_where_asked(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    try:
        (other / "all").symlink_to(pictures, target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    (other / "all2").mkdir()
    (other / "all2" / "in").symlink_to(pictures / "cats", target_is_directory=True)
    assert len(utils.image_dataset_from_directory(other, **options(follow_links=True)).file_paths) == 16
    assert len(utils.image_dataset_from_directory(other, **options()).file_paths) == 12


# Faults


def test_a_damaged_picture_is_named(pictures: Path) -> None:
    file = pictures / "dogs" / "1.PNG"
    whole = file.read_bytes()
    for damaged, says in (
        (whole[:-25], "damaged"),
        (whole[:40], "."),
        (b"GIF89a", "."),
        (b"", "no picture of a format"),
        (b"text", "no picture"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=rf"the picture .*dogs.*1\.PNG.* cannot be decoded; .*{says}.*leave it out"
        ):
            list(utils.image_dataset_from_directory(pictures, **options()))


def test_pictures_of_16_bits_and_palettes(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in "ab":
        (tmp_path / name).mkdir()
    wide = np.full((3, 3), 0x8FFF, np.uint16)
    image.fromarray(wide).save(tmp_path / "a" / "wide.png")
    image.fromarray(np.full((3, 3), 100, np.uint8)).convert("P").save(tmp_path / "b" / "p.gif")
    x, _ = next(iter(utils.image_dataset_from_directory(tmp_path, **options(color_mode="grayscale"))))
    assert x[:, 0, 0, 0].tolist() == [0x8F, 100]


def test_wrong_folders_and_arguments(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    of, empty = utils.image_dataset_from_directory, tmp_path_factory.mktemp("empty")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        of(empty / "none")
    with pytest.raises(ValueError, match="has no folders, one for each class"):
        of(empty)
    with pytest.raises(ValueError, match=r"No images found in directory .*Allowed formats: \.bmp"):
        of(empty, labels=None)
    (empty / "one").mkdir()
    with pytest.raises(ValueError, match="No images found"):
        of(empty)
    (empty / "one" / "a.png").write_bytes((pictures / "cats" / "0.png").read_bytes())
    with pytest.raises(ValueError, match=r"the folder 'one' alone, one class.*label_mode=None"):
        of(empty)
    assert of(empty, class_names=["one"], verbose=False).rows == 1
    assert of(empty, label_mode=None, verbose=False).rows == 1
    for bad, says in (
        ({"label_mode": "binary"}, "exactly 2 class_names"),
        ({"label_mode": "hot"}, "`label_mode`"),
        ({"labels": "none"}, "`labels` argument"),
        ({"labels": [1, 2]}, "there are 2 labels, and 12 files"),
        ({"labels": [0.5] * 12}, "whole numbers"),
        ({"labels": [7] * 12, "label_mode": "categorical"}, "must be 0 to 0"),
        ({"class_names": ["cats", "cows"]}, "did not match"),
        ({"class_names": ["cats"], "labels": None}, "`class_names`"),
        ({"color_mode": "bgr"}, "`color_mode`"),
        ({"image_size": (3,)}, "`image_size`"),
        ({"image_size": (3, 0)}, "image_size must be at least 1"),
        ({"interpolation": "cubic"}, "`interpolation`"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "Only one of"),
        ({"data_format": "channels_first"}, "channels_last"),
        ({"format": "torch"}, "`format`"),
        ({"batch_size": 0}, "batch_size"),
    ):
        with pytest.raises(ValueError, match=says):
            of(pictures, **{**options(), **bad})
    with pytest.raises(TypeError, match="must be the path of a folder"):
        of(3)


def test_without_pillow(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[images\]"'):
        utils.image_dataset_from_directory(pictures)


# Sizes


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_flat_picture_stays_flat(interpolation: str) -> None:
    for size in ((1, 1), (3, 17), (11, 2), (7, 5)):
        np.testing.assert_allclose(resized(np.full((7, 5, 2), 9, np.uint8), size, interpolation), 9, rtol=1e-5)


def test_sizes_by_hand() -> None:
    ramp = np.array([[[1.0], [2.0]]])
    np.testing.assert_allclose(resized(ramp, (1, 4))[0, :, 0], [1, 1.25, 1.75, 2])
    np.testing.assert_allclose(resized(ramp, (1, 4), "nearest")[0, :, 0], [1, 1, 2, 2])
    np.testing.assert_allclose(
        resized(np.arange(6.0).reshape(1, 6, 1), (1, 4), "area")[0, :, 0], [1 / 3, 5 / 3, 10 / 3, 14 / 3], rtol=1e-6
    )
    wide = np.arange(12.0).reshape(2, 6, 1)
    np.testing.assert_array_equal(resized(wide, (2, 2), "bilinear", True), wide[:, 2:4])
    np.testing.assert_array_equal(resized(wide, (6, 6), "bilinear", False, True)[:2], 0)
    np.testing.assert_array_equal(resized(wide, (6, 6), "bilinear", False, True)[2:4], wide)


# Texts


def test_texts(tmp_path: Path) -> None:
    for name, texts in (("neg", ["bad", "worse é"]), ("pos", ["good\nfine", ""])):
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"{number}.txt").write_text(text, encoding="utf-8", newline="")
    of = utils.text_dataset_from_directory
    assert fastnn.preprocessing.text_dataset_from_directory is of
    x, y = next(iter(of(tmp_path, shuffle=False, verbose=False)))
    assert x.dtype == object
    assert x.tolist() == ["bad", "worse é", "good\nfine", ""]
    assert y.tolist() == [0, 0, 1, 1]
    assert next(iter(of(tmp_path, max_length=3, shuffle=False, verbose=False)))[0].tolist() == ["bad", "wor", "goo", ""]
    dataset = of(tmp_path, batch_size=3, shuffle=False, verbose=False)
    vectorize = layers.TextVectorization(output_sequence_length=4)
    vectorize.adapt(dataset.map(lambda x, y: x))
    assert set(vectorize.get_vocabulary()) == {"", "[UNK]", "bad", "good", "fine", "worse", "é"}
    numbers = dataset.map(lambda x, y: (vectorize(x), y))
    for x, y in numbers:
        assert x.shape == (len(y), 4)
    model = fastnn.Sequential([layers.Embedding(10, 2), layers.Flatten(), layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(numbers, epochs=2, verbose=0)
    (tmp_path / "pos" / "2.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"the text .*2\.txt' is not UTF-8: byte 3 is 0xe9"):
        list(of(tmp_path, verbose=False))


def test_texts_go_straight_into_a_model(tmp_path: Path) -> None:
    for name, text in (("neg", "bad awful"), ("pos", "good fine")):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.txt").write_text(text)
    dataset = utils.text_dataset_from_directory(tmp_path, verbose=False, seed=1)
    vectorize = layers.TextVectorization(output_mode="multi_hot")
    vectorize.adapt(dataset.map(lambda x, y: x))
    model = fastnn.Sequential([layers.Input((1,), dtype="string"), vectorize, layers.Dense(1, "sigmoid")])
    model.compile(fastnn.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
    model.fit(dataset, epochs=30, verbose=0)
    assert model.evaluate(dataset, verbose=0)[1] == 1


# Sounds


def write(path: Path, numbers: np.ndarray, rate: int = 8000, width: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(numbers.reshape(len(numbers), -1) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    raw = (whole + 128).astype(np.uint8).tobytes() if width == 1 else b""
    if width > 1:
        raw = b"".join(int(each).to_bytes(width, "little", signed=True) for each in whole.ravel())
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(whole.shape[1])
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(raw)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_sounds_of_every_width(tmp_path: Path, width: int, channels: int) -> None:
    wanted = RNG.uniform(-1, 1, (50, channels))
    for name in "ab":
        write(tmp_path / name / "1.wav", wanted, width=width)
    x, y = next(iter(utils.audio_dataset_from_directory(tmp_path, shuffle=False, verbose=False)))
    assert x.shape == (2, 50, channels)
    assert x.dtype == np.float32
    assert y.tolist() == [0, 1]
    np.testing.assert_allclose(x[0], wanted, atol=2.0 / 2 ** (8 * width - 1) + 1e-6)


def test_sounds_are_cut_padded_and_resampled(tmp_path: Path) -> None:
    write(tmp_path / "a" / "short.wav", np.full(10, 0.5))
    write(tmp_path / "b" / "long.wav", np.full(30, 0.25))
    of = utils.audio_dataset_from_directory
    x, _ = next(iter(of(tmp_path, shuffle=False, verbose=False)))
    assert x.shape == (2, 30, 1)
    np.testing.assert_allclose(x[0, :, 0], [0.5] * 10 + [0] * 20, atol=1e-3)
    x, _ = next(iter(of(tmp_path, output_sequence_length=12, shuffle=False, verbose=False)))
    assert x.shape == (2, 12, 1)
    assert next(iter(of(tmp_path, sampling_rate=16000, shuffle=False, verbose=False)))[0].shape == (2, 60, 1)
    with pytest.raises(ValueError, match="ragged must be False"):
        of(tmp_path, ragged=True)
    with pytest.raises(ValueError, match="`sampling_rate` must be at least 1"):
        of(tmp_path, sampling_rate=0)
    write(tmp_path / "b" / "two.wav", np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"two\.wav' has 2 channel\(s\), and .*short\.wav' has 1"):
        list(of(tmp_path, shuffle=False, verbose=False))


@pytest.mark.parametrize(
    ("rate", "wanted"), [(8000, 16000), (16000, 8000), (44100, 16000), (8000, 11025), (8000, 8000)]
)
def test_a_tone_is_the_same_tone_at_another_rate(rate: int, wanted: int) -> None:
    def tone(samples: int, a_second: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 / a_second * np.arange(samples))[:, None].astype(np.float32)

    found = resampled(tone(rate // 4, rate), rate, wanted)
    middle = slice(len(found) // 4, -len(found) // 4)
    np.testing.assert_allclose(found[middle], tone(len(found), wanted)[middle], atol=2e-3)
    assert abs(len(found) - wanted // 4) <= 1


def test_what_is_above_half_the_rate_is_left_out() -> None:
    high = np.sin(2 * np.pi * 7000 / 16000 * np.arange(4000))[:, None].astype(np.float32)
    assert np.abs(resampled(high, 16000, 8000)[100:-100]).max() < 0.02


def test_damaged_sounds_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.wav", np.zeros(100))
    file = tmp_path / "b" / "2.wav"
    write(file, np.zeros(100))
    whole = file.read_bytes()
    floats = whole[:20] + struct.pack("<H", 3) + whole[22:]
    for damaged, says in (
        (whole[:20], "no WAV file"),
        (whole[:100], "is damaged"),
        (b"", "no WAV"),
        (b"RIFFxxxxAVI ", "no WAV"),
        (floats, "not PCM; convert it"),
        (whole[:24] + bytes(4) + whole[28:], "it has 0 samples in a second"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"the sound .*2\.wav' .*{says}"):
            list(utils.audio_dataset_from_directory(tmp_path, verbose=False))
