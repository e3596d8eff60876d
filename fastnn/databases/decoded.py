"""Columns of pictures, sounds, texts, JSON and XML as numbers: what ``columns=`` of a dataset takes for them."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _pictures, _sounds
from fastnn._checks import as_flag, check_count, check_text, shown
from fastnn.kernels.text import hashes

from .reader import held
from .rules import Dates, Numbers, Rule, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_VECTOR = re.compile(r"(float(?:16|32|64)|u?int(?:8|16|32|64))\[([1-9]\d{0,6})\]")
_MEDIA = re.compile(r"(image|audio|text)\[([^\]]*)\]")
_TREE = re.compile(r"(json|xml)\[([^\]]+)\](?::(.+))?", re.DOTALL)
_WORDS = 10_000
_CUT = {ord(c): " " for c in "\t\n\r\x0b\x0c"} | {ord(c): None for c in "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"}
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")


class _Kind(str):
    """The words of a rule, which copies and pickles are too."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return str, (str(self),)


class Image(_Kind):
    """A column of pictures: encoded ones, such as PNG and JPEG, which Pillow decodes, or their bytes, pixel by pixel.

    shape: (height, width, channels), of 1, 3 or 4 channels. resize: bring pictures of another size to that one,
    bilinearly; else they are an error. Pixels are 0 to 255. As text it is "image[28,28,1]", or "image[28,28,1,resize]".
    """

    def __new__(cls, shape: Sequence[int], resize: bool = False) -> Image:
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else ()
        if len(sizes) != 3 or sizes[2] not in _pictures.CHANNELS:
            raise ValueError(
                f"Image: shape must be (height, width, channels) of 1, 3 or 4 channels, got {shown(shape)}"
            )
        numbers = [str(check_count("Image: shape", size)) for size in sizes]
        return super().__new__(cls, f"image[{','.join(numbers + ['resize'] * as_flag('Image: resize', resize))}]")


class Audio(_Kind):
    """A column of sounds: WAV files of whole numbers (PCM), as numbers from -1 to 1, (samples, 1).

    samples: longer ones are cut, shorter ones get zeros behind. sampling_rate: samples in a second, to which all are
    changed; None leaves them as they are. As text it is "audio[8000]", or "audio[8000,16000]".
    """

    def __new__(cls, samples: int, sampling_rate: int | None = None) -> Audio:
        count = check_count("Audio: samples", samples)
        rate = "" if sampling_rate is None else f",{check_count('Audio: sampling_rate', sampling_rate)}"
        return super().__new__(cls, f"audio[{count}{rate}]")


class Text(_Kind):
    """A column of texts, as numbers of their words, (length,): 0 behind a short text, so that Masking takes it.

    A text is made small letters, loses its punctuation and is cut at white space; each word is the number that its hash
    says, 1 to size - 1, so that nothing is to be learnt before; two words may share one. Words after `length` are left
    out. As text it is "text[80]", or "text[80,5000]". A TextVectorization in the model has a vocabulary instead.
    """

    def __new__(cls, length: int, size: int = _WORDS) -> Text:
        count, most = check_count("Text: length", length), check_count("Text: size", size, 2, 2**24)
        return super().__new__(cls, f"text[{count}]" if most == _WORDS else f"text[{count},{most}]")


class Json(_Kind):
    """A column of JSON, of which one value is taken. path: its keys and places in lists, such as "a.b" or "items.0.x".

    of: what the value is: by default a number, true and false being 1 and 0, or what a column may be: "float32[3]",
    "date", Text(80). Nothing there, and null, are NULL. As text it is "json[a.b]", or "json[a.b]:date".
    """

    def __new__(cls, path: str, of: str = "") -> Json:
        return super().__new__(cls, _tree("json", path, of))


class Xml(_Kind):
    """A column of XML, of which the text of one element is taken, or with "@" at the end of the path an attribute.

    path: elements below the first one, "order/total", "order/total/@currency". of: as Json's. As text "xml[a/b]".
    """

    def __new__(cls, path: str, of: str = "") -> Xml:
        return super().__new__(cls, _tree("xml", path, of))


def _tree(what: str, path: str, of: str) -> str:
    check_text(f"{what}: path", path)
    if not path or "]" in path:
        raise ValueError(f"{what}: path must be a text without ], got {shown(path)}")
    if of:
        rule_of(what, of)
    return f"{what}[{path}]" + (f":{of}" if of else "")


class _Pictures(Rule):
    """Pictures of one size."""

    def __init__(self, name: str, kind: str, shape: tuple[int, ...], resize: bool) -> None:
        super().__init__(name, kind, shape)
        self._resize = resize
        self.is_bytes = not resize

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """As Rule's."""
        out = np.empty((len(values), *self.shape), np.uint8 if self.is_bytes else np.float32)
        for place, (value, row) in enumerate(zip(values, rows, strict=True)):
            out[place] = self._picture(value, row)
        return out.reshape(len(values), -1)

    def _picture(self, value: Any, row: int) -> Any:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise self.wrong(held(value), row)
        raw = bytes(value)
        if len(raw) == self.length and not raw.startswith(_MAGIC):
            return np.frombuffer(raw, np.uint8).reshape(self.shape)
        called = f"column {self.name!r} in row {row} of the query holds a picture that"
        picture = _pictures.decoded(io.BytesIO(raw), self.shape[2], called)
        if picture.shape == self.shape:
            return picture
        if self._resize:
            return _pictures.resized(picture, (self.shape[0], self.shape[1]))
        had, wanted = ("{}x{}".format(*shape[:2]) for shape in (picture.shape, self.shape))
        raise ValueError(
            f"column {self.name!r} holds a picture of {had} pixels in row {row} of the query, where {wanted} are "
            f"expected; pass Image({self.shape}, resize=True) to bring all to one size"
        )


class _Sounds(Rule):
    """Sounds of one length."""

    def __init__(self, name: str, kind: str, samples: int, rate: int | None) -> None:
        super().__init__(name, kind, (samples, 1))
        self._rate = rate

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """As Rule's."""
        out = np.empty((len(values), self.length), np.float32)
        for place, (value, row) in enumerate(zip(values, rows, strict=True)):
            if not isinstance(value, bytes | bytearray | memoryview):
                raise self.wrong(held(value), row)
            called = f"column {self.name!r} in row {row} of the query holds a sound that"
            sound, rate = _sounds.decoded(io.BytesIO(value), called)
            if sound.shape[1] != 1:
                raise ValueError(
                    f"column {self.name!r} holds a sound of {sound.shape[1]} channels in row {row} of the query, where "
                    "one is expected; make it one before it is stored"
                )
            if self._rate is not None:
                sound = _sounds.resampled(sound, rate, self._rate)
            out[place] = _sounds.fitted(sound, self.length)[:, 0]
        return out


class _Words(Rule):
    """Words by their hashes."""

    def __init__(self, name: str, kind: str, length: int, size: int) -> None:
        super().__init__(name, kind, (length,))
        self._size = size

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """As Rule's."""
        out = np.zeros((len(values), self.length), np.float32)
        found = [
            self.text_of(*each).lower().translate(_CUT).split()[: self.length]
            for each in zip(values, rows, strict=True)
        ]
        ids = (hashes([word for words in found for word in words]) % np.uint64(self._size - 1)).astype(np.float32) + 1
        at = 0
        for place, words in enumerate(found):
            out[place, : len(words)] = ids[at : at + len(words)]
            at += len(words)
        return out


class _Tree(Rule):
    """A value within a document, by the rule that it has."""

    def __init__(self, name: str, kind: str, path: str, inner: Rule) -> None:
        super().__init__(name, kind, inner.shape)
        self._path, self._inner = path, inner

    def numbers(self, values: Any, first: int, targets: Sequence[int], null: float | None) -> tuple[Any, Any, Any]:
        found = np.empty(len(values), object)
        for place, value in enumerate(values.tolist()):
            found[place] = None if value is None else self._within(value, first + place)
        return self._inner.numbers(found, first, targets, null)

    def _within(self, value: Any, row: int) -> Any:
        raise NotImplementedError


class _JsonTree(_Tree):
    """JSON, as text, or as the documents that a driver has made of it."""

    def _within(self, value: Any, row: int) -> Any:
        found = value
        if not isinstance(value, dict | list):
            try:
                found = json.loads(self.text_of(value, row))
            except (ValueError, RecursionError) as error:
                said = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
                raise self.wrong(f"what is no JSON{said}", row) from None
        for key in self._path.split("."):
            if isinstance(found, list) and key.isdecimal():
                found = found[int(key)] if int(key) < len(found) else None
            elif isinstance(found, dict):
                found = found.get(key)
            else:
                return None
        return found


class _XmlTree(_Tree):
    """XML, as text."""

    def _within(self, value: Any, row: int) -> Any:
        from xml.etree import ElementTree  # most programs read none

        text = self.text_of(value, row)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise self.wrong("XML that declares entities, which are not read", row)
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise self.wrong(f"what is no XML: {error}", row) from None
        path, at, attribute = self._path.partition("@")
        element = root.find(path.rstrip("/")) if path.rstrip("/") else root
        if element is None:
            return None
        found = element.get(attribute) if at else (element.text or "").strip()
        if type(self._inner) is not Numbers or found is None:
            return found or None
        try:
            return float(found) if found else None
        except ValueError:
            raise self.wrong(f"the text {shown(found)} at {self._path!r}, which is no number,", row) from None


def rule_of(name: str, kind: str) -> Rule:
    """What `columns` says of a column. ValueError for what is none."""
    found = kind if isinstance(kind, str) else ""
    if found in ("date", "datetime"):
        return Dates(name, found)
    if match := _VECTOR.fullmatch(found):
        return Vector(name, found, np.dtype(match[1]).newbyteorder("<"), int(match[2]))
    if match := _TREE.fullmatch(found):
        inner = rule_of(name, match[3]) if match[3] else Numbers(name, found)
        return (_JsonTree if match[1] == "json" else _XmlTree)(name, found, match[2], inner)
    if match := _MEDIA.fullmatch(found):
        made = _media(name, found, match[1], [each.strip() for each in match[2].split(",")])
        if made is not None:
            return made
    raise ValueError(
        f"columns[{name!r}] must be a vector such as 'float32[128]', with the type and the count of its numbers, "
        "'date', 'datetime', Image((28, 28, 1)), Audio(8000), Text(80), Json('a.b') or Xml('a/b') of fastnn.data, got "
        f"{shown(kind)}"
    )


def _media(name: str, kind: str, what: str, given: list[str]) -> Rule | None:
    resize = what == "image" and given[-1] == "resize"
    numbers = [int(each) for each in given[: -1 if resize else None] if each.isdecimal()]
    if len(numbers) + resize != len(given):
        return None
    if what == "image" and len(numbers) == 3:
        Image(numbers)  # which checks them
        return _Pictures(name, kind, tuple(numbers), resize)
    if what == "audio" and len(numbers) in (1, 2):
        Audio(*numbers)
        return _Sounds(name, kind, numbers[0], numbers[1] if len(numbers) == 2 else None)
    if what == "text" and len(numbers) in (1, 2):
        Text(*numbers)
        return _Words(name, kind, numbers[0], numbers[1] if len(numbers) == 2 else _WORDS)
    return None
