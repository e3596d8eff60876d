"""Datasets of files in folders, a folder for each class: pictures, texts and sounds, decoded as they are drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastnn import _pictures, _sounds
from fastnn._checks import as_flag, check_batch_size, check_count, shown
from fastnn._output import say
from fastnn.data.columns import as_objects
from fastnn.data.dataset import Dataset
from fastnn.typing import Array

__all__ = ["audio_dataset_from_directory", "image_dataset_from_directory", "text_dataset_from_directory"]

_COLORS = {"grayscale": 1, "rgb": 3, "rgba": 4}


class Files:
    """Samples that lie in files, each read when it is drawn: (x, y), or x where there are no labels."""

    def __init__(self, paths: list[str], labels: Array | None, read: Callable[[str], Any], stack: Any) -> None:
        self.paths, self.labels, self.read, self.stack = paths, labels, read, stack

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, numbers: Any) -> Any:
        """The samples of these numbers."""
        paths = self.paths[numbers] if isinstance(numbers, slice) else [self.paths[number] for number in numbers]
        x = self.stack([self.read(path) for path in paths])
        return x if self.labels is None else (x, self.labels[numbers])


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """The pictures in folders as a Dataset of float32 from 0 to 255, (batch, height, width, channels), with labels.

    A folder for each class, in which .bmp, .gif, .jpeg, .jpg and .png files are looked for, in folders within it too.
    Pillow decodes them: ``pip install "fastnn[images]"``. Each picture is read when it is drawn. labels: "inferred",
    the number of its folder among their sorted names; a list of whole numbers, for the files in the order of their
    paths; or None. label_mode: "int", int32; "binary", 0 and 1 in a column of float32; "categorical", a column for each
    class; None for pictures alone. class_names: the folders, in another order or fewer of them. color_mode: "rgb",
    "rgba" or "grayscale". image_size: (height, width) to which all are resized, without smoothing, by `interpolation`:
    bilinear, nearest, bicubic, area, lanczos3, lanczos5, gaussian or mitchellcubic. crop_to_aspect_ratio: cut out the
    middle that has the shape of image_size; pad_to_aspect_ratio: put zeros around.

    shuffle: draw the files, by `seed` in Keras's order, and again in each pass; False leaves them sorted.
    validation_split, subset: the last share of the files is for "validation", the others for "training"; "both" gives
    the two datasets. follow_links: go into folders by symbolic links. batch_size: None for pictures one by one.
    data_format: "channels_last". format: "tf" or "grain", which mean nothing here. verbose: print how many files there
    are.

    The dataset has `class_names` and `file_paths`. ValueError for folders without pictures, or with one class alone,
    and, while it is read, with the file's name for a picture that is damaged; ImportError without Pillow.
    """
    channels = _COLORS.get(color_mode) if isinstance(color_mode, str) else None
    if channels is None:
        raise ValueError(f'`color_mode` must be one of "rgb", "rgba", "grayscale", got {shown(color_mode)}')
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise ValueError(f"Invalid `image_size` value. Expected a tuple of 2 integers, got {shown(image_size)}")
    height, width = (check_count("image_size", each) for each in size)
    method = interpolation.lower() if isinstance(interpolation, str) else interpolation
    if method not in _pictures.INTERPOLATIONS:
        raise ValueError(
            f"Argument `interpolation` should be one of {', '.join(_pictures.INTERPOLATIONS)}, got "
            f"{shown(interpolation)}"
        )
    crop, pad = (
        as_flag("crop_to_aspect_ratio", crop_to_aspect_ratio),
        as_flag("pad_to_aspect_ratio", pad_to_aspect_ratio),
    )
    if crop and pad:
        raise ValueError("Only one of `pad_to_aspect_ratio`, `crop_to_aspect_ratio` can be set to `True`.")
    if data_format not in (None, "channels_last"):
        raise ValueError(f"pictures lie channels_last, got data_format={shown(data_format)}; Permute turns them")
    _check_format(format)
    _pictures.pillow()
    options = ((height, width), method, crop, pad)
    found = Found(directory, "images", (".bmp", ".gif", ".jpeg", ".jpg", ".png"))
    found.index(labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links, verbose)
    return found.datasets(partial(_picture, channels, options), np.stack, batch_size)


def text_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """The .txt files in folders as a Dataset of texts, (batch,) of objects, with labels; they must be UTF-8.

    max_length: characters that are kept of each. The rest: as ``image_dataset_from_directory``. ``map`` of the dataset
    with a TextVectorization makes numbers of it: ``dataset.map(lambda x, y: (vectorize(x), y))``.
    """
    most = None if max_length is None else check_count("max_length", max_length)
    _check_format(format)
    found = Found(directory, "text files", (".txt",))
    found.index(labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links, verbose)
    return found.datasets(partial(_text, most), _column, batch_size)


def audio_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """The .wav files in folders as a Dataset of float32 from -1 to 1, (batch, samples, channels), with labels.

    Files of whole numbers of 8, 16, 24 or 32 bits. sampling_rate: samples in a second, to which all are changed (by a
    windowed sinc); None leaves them as they are. output_sequence_length: samples of each, longer ones are cut and
    shorter ones get zeros behind; None for those of the longest file. ragged: False; rows are of one length. The rest:
    as ``image_dataset_from_directory``. All must have as many channels as the first.
    """
    if as_flag("ragged", ragged):
        raise ValueError("ragged must be False: rows are of one length; pass output_sequence_length to cut and pad")
    rate = None if sampling_rate is None else check_count("`sampling_rate`", sampling_rate)
    length = None if output_sequence_length is None else check_count("output_sequence_length", output_sequence_length)
    found = Found(directory, "audio files", (".wav",))
    found.index(labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links, verbose)
    heads = [_sounds.length_of(path, f"the sound {path!r}") for path in found.paths]
    channels = heads[0][1]
    if length is None:
        length = max(n if rate is None else _sounds.resampled_length(n, own, rate) for n, _, own in heads)
    return found.datasets(partial(_sound, rate, length, (channels, found.paths[0])), np.stack, batch_size)


def _picture(channels: int, options: Any, path: str) -> Any:
    return _pictures.resized(_pictures.decoded(path, channels, f"the picture {path!r}"), *options)


def _text(most: int | None, path: str) -> str:
    with open(path, "rb") as file:
        raw = file.read()
    try:
        return raw.decode("utf-8-sig")[:most]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the text {path!r} is not UTF-8: byte {error.start} is {raw[error.start]:#x}; convert it, as "
            "iconv -f latin1 -t utf-8 does"
        ) from None


def _column(texts: list[str]) -> Array:
    return as_objects(texts, (len(texts),))


def _sound(rate: int | None, length: int, expected: tuple[int, str], path: str) -> Array:
    sound, own = _sounds.decoded(path, f"the sound {path!r}")
    if sound.shape[1] != expected[0]:
        raise ValueError(
            f"the sound {path!r} has {sound.shape[1]} channel(s), and {expected[1]!r} has {expected[0]}; make all of "
            "one kind"
        )
    return _sounds.fitted(sound if rate is None else _sounds.resampled(sound, own, rate), length)


def _check_format(format: Any) -> None:
    if format not in ("tf", "grain"):
        raise ValueError(f"`format` should be either 'tf' or 'grain', and means nothing here, got {shown(format)}")


class Found:
    """The files of some kinds in a folder, with their labels, and how they are to be drawn."""

    def __init__(self, directory: Any, what: str, endings: tuple[str, ...]) -> None:
        try:
            self.directory = os.fsdecode(os.fspath(directory))
        except TypeError:
            raise TypeError(f"directory must be the path of a folder, got {shown(directory)}") from None
        if not os.path.isdir(self.directory):
            raise FileNotFoundError(f"there is no folder {self.directory!r}")
        self.what, self.endings = what, endings
        self.paths: list[str] = []
        self.class_names: list[str] | None = None

    def index(
        self,
        labels: Any,
        label_mode: Any,
        class_names: Any,
        shuffle: Any,
        seed: Any,
        validation_split: Any,
        subset: Any,
        follow_links: Any,
        verbose: Any,
    ) -> None:
        """Find the files, and check what is said of them; arguments as of ``image_dataset_from_directory``."""
        inferred = isinstance(labels, str) and labels == "inferred"
        if not inferred and labels is not None and not isinstance(labels, (list, tuple, np.ndarray)):
            raise ValueError(
                "`labels` argument should be a list/tuple of integer labels, one for each file in the order of their "
                f'paths, "inferred" for the names of the folders, or None, got {shown(labels)}'
            )
        if class_names is not None and not inferred:
            raise ValueError(
                f'You can only pass `class_names` if `labels="inferred"`, got class_names={shown(class_names)}'
            )
        if label_mode not in ("int", "categorical", "binary", None):
            raise ValueError(
                f'`label_mode` argument must be one of "int", "categorical", "binary", or None, got {shown(label_mode)}'
            )
        self.shuffled = as_flag("shuffle", shuffle)
        _check_split(validation_split, subset, self.shuffled, seed)
        self.split, self.subset = validation_split, subset
        self.mode = None if labels is None else label_mode
        self.seed = (
            int(np.random.default_rng().integers(10**6)) if seed is None else check_count("seed", seed, 0, 2**32 - 1)
        )
        follows = as_flag("follow_links", follow_links)
        if self.mode is None:
            labels, inferred = None, False
        folders = self._classes(class_names) if inferred else [""]
        numbers: list[int] = []
        for number, folder in enumerate(folders):
            files = self._files(folder, follows)
            self.paths += files
            numbers += [number] * len(files)
        if inferred:
            self.class_names = list(folders)
            self.labels: Array | None = np.array(numbers, np.int32)
        else:
            self._number(labels)
        if as_flag("verbose", verbose):
            classes = "" if self.class_names is None else f" belonging to {len(self.class_names)} classes"
            say(f"Found {len(self.paths)} files{classes}.")
        self._check_classes(inferred and class_names is None)
        if self.shuffled:  # the order that Keras draws
            np.random.RandomState(self.seed).shuffle(self.paths)
            if self.labels is not None:
                np.random.RandomState(self.seed).shuffle(self.labels)

    def _classes(self, class_names: Any) -> list[str]:
        found = sorted(entry.name for entry in os.scandir(self.directory) if entry.is_dir())
        found = [name for name in found if not name.startswith(".")]
        if not found:
            raise ValueError(
                f"No {self.what} found in directory {self.directory!r}: it has no folders, one for each class; give "
                "the folder above them, or labels=None for files without classes"
            )
        if class_names is None:
            return found
        names = [str(name) for name in class_names]
        if not set(names) <= set(found) or len(set(names)) < len(names):
            raise ValueError(
                "The `class_names` passed did not match the names of the subdirectories of the target directory. "
                f"Expected: {found} (or a subset of it), but received: class_names={names}"
            )
        return names

    def _files(self, folder: str, follows: bool) -> list[str]:
        """The files in a folder and in those within it, sorted as Keras sorts them."""
        found = []
        for root, _, files in sorted(os.walk(os.path.join(self.directory, folder), followlinks=follows)):
            found += [os.path.join(root, name) for name in sorted(files) if name.lower().endswith(self.endings)]
        return found

    def _number(self, labels: Any) -> None:
        self.labels = None
        if labels is None:
            return
        if len(labels) != len(self.paths):
            raise ValueError(
                f"Expected the lengths of `labels` to match the number of files in the target directory: there are "
                f"{len(labels)} labels, and {len(self.paths)} files in {self.directory!r}"
            )
        numbers = np.asarray(labels)
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
            raise ValueError(f"`labels` must be whole numbers, one for each file, got {shown(labels)}")
        self.class_names = [str(label) for label in sorted(set(numbers.tolist()))]
        self.labels = numbers.astype(np.int32)

    def _check_classes(self, own: bool) -> None:
        if not self.paths:
            raise ValueError(
                f"No {self.what} found in directory {self.directory!r}. Allowed formats: {', '.join(self.endings)}"
            )
        names = self.class_names or []
        if own and len(names) == 1:
            raise ValueError(
                f"{self.directory!r} has the folder {names[0]!r} alone, one class, so there is nothing to tell apart; "
                f"give the folder above the classes, or label_mode=None for {self.what} without labels"
            )
        if self.mode == "binary" and len(names) != 2:
            raise ValueError(
                f'When passing `label_mode="binary"`, there must be exactly 2 class_names, got {names}; take "int" or '
                '"categorical"'
            )
        if (
            self.mode == "categorical"
            and self.labels is not None
            and set(self.labels.tolist()) - set(range(len(names)))
        ):
            raise ValueError(
                f"`labels` must be 0 to {len(names) - 1}, as they are of {len(names)} classes, got {names}"
            )

    def datasets(self, read: Callable[[str], Any], stack: Any, batch_size: Any) -> Any:
        """The dataset, or two of them where the subset is "both"."""
        size = None if batch_size is None else check_batch_size(batch_size)
        labels = self.labels
        if labels is not None and self.mode == "binary":
            labels = labels.astype(np.float32)[:, None]
        elif labels is not None and self.mode == "categorical":
            labels = np.eye(len(self.class_names or ()), dtype=np.float32)[labels]
        if self.subset is None:
            return self._dataset(slice(None), labels, read, stack, size, self.shuffled)
        kept = len(self.paths) - int(self.split * len(self.paths))
        made = []
        for part, places in (("training", slice(0, kept)), ("validation", slice(kept, None))):
            if self.subset not in (part, "both"):
                continue
            if not self.paths[places]:
                raise ValueError(
                    f"No {part} {self.what} found in directory {self.directory!r}: validation_split={self.split} "
                    f"leaves none of {len(self.paths)}"
                )
            say(f"Using {len(self.paths[places])} files for {part}.")
            drawn = self.shuffled and (part == "training" or self.subset != "both")
            made.append(self._dataset(places, labels, read, stack, size, drawn))
        return made if self.subset == "both" else made[0]

    def _dataset(self, places: slice, labels: Any, read: Any, stack: Any, size: int | None, drawn: bool) -> Dataset:
        paths = self.paths[places]
        files = Files(paths, None if labels is None else labels[places], read, stack)
        dataset: Any = Dataset(files, size, drawn, self.seed)
        dataset.class_names, dataset.file_paths = self.class_names, list(paths)
        return dataset  # type: ignore[no-any-return]


def _check_split(validation_split: Any, subset: Any, shuffled: bool, seed: Any) -> None:
    if validation_split and not (isinstance(validation_split, (float, np.floating)) and 0 < validation_split < 1):
        raise ValueError(f"`validation_split` must be between 0 and 1, received: {shown(validation_split)}")
    if bool(validation_split) != bool(subset):
        raise ValueError("If `subset` is set, `validation_split` must be set, and inversely.")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(f'`subset` must be either "training", "validation" or "both", received: {shown(subset)}')
    if validation_split and shuffled and seed is None:
        raise ValueError(
            "If using `validation_split` and shuffling the data, you must provide a `seed` argument, to make sure that "
            "there is no overlap between the training and validation subset."
        )
