"""LIME: a linear model of what a model says near a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn._checks import as_number, check_count, shown
from fastnn.models import Model

from .features import AT_ONCE, Groups, asked, background_of, explanation, generator_of
from .result import Explanation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Doubles = NDArray[np.float64]

RIDGE = 1.0  # of the penalty on coefficients
WORD = re.compile(r"\w+")


def lime(
    model: Any,
    x: Any,
    *,
    kind: Literal["table", "text", "picture"] | None = None,
    background: Any = None,
    samples: int = 1000,
    kernel_width: float | None = None,
    features: int | None = None,
    segments: Any = None,
    output: Any = None,
    random_state: int | None = None,
) -> Explanation:
    """Coefficients of a ridge regression, fitted to the model's outputs for samples near each row.

    Samples count exp(-distance^2 / (2 kernel_width^2)); the penalty on coefficients is 1. `values` are the
    coefficients, `base_values` the intercept; their sum is no output.

    kind: "table": samples are drawn from normal distributions with the means and deviations of `background`, rows as
    x; the distance is Euclidean, in deviations, kernel_width 0.75 sqrt(features); a coefficient is of one deviation.
    "text": words of one text are left out; x is the text, the model one that reads texts or a function of a list of
    texts; the distance is 100 (1 - sqrt(share that is kept)), kernel_width 25; a coefficient is of the word being
    there. "picture": segments are hidden behind their mean colour, or behind the picture `background`; the distance is
    1 - sqrt(share), kernel_width 0.25; each number of a segment has its coefficient. None: by the shape of x.

    samples: of each row, it among them. features: all but so many, the largest, are 0, and these fitted again.
    segments: of pictures, whole numbers (height, width); by default squares of a quarter of each side. model, output:
    as in `exact_shapley`. TypeError, ValueError. Source: Ribeiro, Singh and Guestrin 2016.
    """
    if kind is None:
        if isinstance(x, str) or getattr(np.asarray(x), "dtype", np.dtype(float)).kind in "OUS":
            kind = "text"
        else:
            kind = "picture" if np.ndim(x) == 4 else "table"
    if kind not in ("table", "text", "picture"):
        raise ValueError(f"lime: kind must be 'table', 'text', 'picture' or None, got {shown(kind)}")
    for name, value, of in (("segments", segments, ("picture",)), ("background", background, ("table", "picture"))):
        if value is not None and kind not in of:
            raise ValueError(f"lime: {name}= is of kind {' or '.join(map(repr, of))}, not of {kind!r}")
    count, rng = check_count("lime: samples", samples, 2), generator_of(random_state)
    most = None if features is None else check_count("lime: features", features)
    width = None if kernel_width is None else as_number("lime: kernel_width", kernel_width)
    if width is not None and not 0 < width < np.inf:
        raise ValueError(f"lime: kernel_width must be above 0, got {shown(kernel_width)}")
    if kind == "text":
        return _text(model, x, count, width or 25.0, most, output, rng)
    given = asked("lime", model, x, output)
    if len(given.rows) > 1 or given.rows[0].ndim != (2 if kind == "table" else 4):
        shape = "(rows, features)" if kind == "table" else "(rows, height, width, channels)"
        raise ValueError(
            f"lime: kind={kind!r} takes a model of one input, {shape}, got {[r.shape for r in given.rows]}"
        )
    rows = given.rows[0]
    if kind == "picture":
        return _pictures(model, given, background, count, width or 0.25, most, segments, rng)
    if background is None:
        raise ValueError("lime: kind='table' needs background=, rows as x, for the mean and deviation of each feature")
    known = background_of("lime", model, background, given)[0].astype(np.float64)
    mean, scale = known.mean(axis=0), known.std(axis=0)
    scale[scale == 0] = 1
    near = rng.normal(size=(count - 1, rows.shape[1]))
    drawn = (near * scale + mean).astype(rows.dtype if rows.dtype.kind == "f" else np.float64)
    said = _in_parts(lambda part: given.answer([drawn[part]]), len(drawn))  # one set of samples is near all rows
    own, at = given.answer([rows]), (rows - mean) / scale
    width = width or 0.75 * np.sqrt(rows.shape[1])
    fits = []
    for row, answer in zip(at, own, strict=True):
        weights = np.exp(-((near - row) ** 2).sum(axis=1) / (2 * width**2))
        design, targets = np.concatenate([row[None], near]), np.concatenate([answer[None], said])
        fits.append(_fitted(design, targets, np.concatenate([[1.0], weights]), most))
    values, base = map(np.array, zip(*fits, strict=True))
    return explanation(given, [values], base, "LIME")


def _pictures(
    model: Any, given: Any, background: Any, count: int, width: float, most: int | None, segments: Any, rng: Any
) -> Explanation:
    pictures = given.rows[0]
    groups = Groups("lime", given, None, segments)
    others = _hidden(groups, pictures) if background is None else np.asarray(background, pictures.dtype)
    if others.shape not in (pictures.shape, pictures.shape[1:]):
        raise ValueError(f"lime: background must be a picture of {pictures.shape[1:]}, got the shape {others.shape}")
    masks = rng.random((count, groups.count)) < 0.5
    masks[0] = True
    weights = np.exp(-((1 - np.sqrt(masks.mean(axis=1))) ** 2) / (2 * width**2))
    fits = []
    for picture, other in zip(pictures, np.broadcast_to(others, pictures.shape), strict=True):

        def said(part: slice, picture: Array = picture, other: Array = other) -> Doubles:
            found: Doubles = given.answer(groups.mixed(masks[part], [picture], [other]))
            return found

        fits.append(_fitted(masks.astype(np.float64), _in_parts(said, count), weights, most))
    values, base = map(np.array, zip(*fits, strict=True))
    return explanation(given, groups.spread(values, share=False), base, "LIME")


def _hidden(groups: Groups, pictures: Array) -> Array:
    """Pictures whose segments have their mean colour each."""
    found = np.empty_like(pictures)
    for feature in range(groups.count):
        kept = np.broadcast_to(groups.numbers(feature)[1][..., 0], pictures.shape[1:3])
        found[:, kept] = pictures[:, kept].mean(axis=1, keepdims=True)
    return found


def _text(
    model: Any, x: Any, count: int, width: float, most: int | None, output: Any, rng: np.random.Generator
) -> Explanation:
    texts = [x] if isinstance(x, str) else np.asarray(x).ravel().tolist()
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise ValueError(f"lime explains one text at a time, got {shown(x)}")
    text = texts[0]
    found = list(WORD.finditer(text))
    words = list(dict.fromkeys(match.group() for match in found))
    if not words:
        raise ValueError(f"lime: the text has no word, got {shown(text)}")
    # Between the matches, word by word: what is left when some are out.
    ends = [0, *(match.end() for match in found)]
    gaps = [text[end : match.start()] for end, match in zip(ends, found, strict=False)]
    places = [words.index(match.group()) for match in found]
    masks = rng.random((count, len(words))).argsort(axis=1) >= rng.integers(1, len(words) + 1, (count, 1))
    masks[0] = True
    made = [
        "".join(gap + word.group() * bool(mask[place]) for gap, word, place in zip(gaps, found, places, strict=True))
        + text[ends[-1] :]
        for mask in masks
    ]
    reads = isinstance(model, Model)
    given = asked("lime", model if reads else _of_texts(model), np.array([[text]], object), output)
    column = np.array(made, object).reshape(-1, *given.rows[0].shape[1:])
    said = _in_parts(lambda part: given.answer([column[part]]), count)
    weights = np.exp(-((100 * (1 - np.sqrt(masks.mean(axis=1)))) ** 2) / (2 * width**2))
    values, base = _fitted(masks.astype(np.float64), said, weights, most)
    single = given.single
    return Explanation(
        values[None, :, 0] if single else values[None],
        base[:1] if single else base[None],
        np.array([words]),
        feature_names=words,
        output_names=given.outputs,
        method="LIME",
    )


def _of_texts(function: Any) -> Any:
    """A function of a list of texts as one of rows."""
    return (lambda rows: function(rows[:, 0].tolist())) if callable(function) else function


def _in_parts(answer: Callable[[slice], Doubles], count: int) -> Doubles:
    return np.concatenate([answer(slice(start, start + AT_ONCE)) for start in range(0, count, AT_ONCE)])


def _fitted(x: Doubles, y: Doubles, weights: Doubles, most: int | None) -> tuple[Doubles, Doubles]:
    """(coefficients (features, units), intercepts) of a weighted ridge regression whose intercept has no penalty."""
    share = weights / weights.sum()
    middle, level = share @ x, share @ y
    design, target = (x - middle) * np.sqrt(weights)[:, None], (y - level) * np.sqrt(weights)[:, None]

    def solved(columns: Any, target: Doubles) -> Doubles:
        part = design[:, columns]
        return np.linalg.solve(part.T @ part + RIDGE * np.eye(part.shape[1]), part.T @ target)

    found = solved(slice(None), target)
    if most is not None and most < len(found):
        for unit in range(y.shape[1]):
            kept = np.argsort(-np.abs(found[:, unit]), kind="stable")[:most]
            fewer = solved(kept, target[:, unit])
            found[:, unit] = 0
            found[kept, unit] = fewer
    return found, level - middle @ found
