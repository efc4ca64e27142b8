"""What people say of latents: a CSV file, checked line by line, and what it adds up to beside the labels' scores."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UserError, unknown
from harness.specs.features import Feature, FeatureFile, Interval, LayerFeatures, RatedLayer, Rating
from harness.stats.agreement import krippendorff
from harness.stats.correlation import spearman
from harness.stats.estimate import Estimate

NEEDED = ("latent", "rating")
ALLOWED = (*NEEDED, "layer", "rater", "comment")
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_SCALE = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*")

SCORES: Mapping[str, Callable[[Feature], float | None]] = {
    "lexical detection": lambda f: f.label.detection.balanced if f.label else None,
    "lexical fuzzing": lambda f: f.label.fuzzing.balanced if f.label else None,
    "judge detection": lambda f: f.judged.detection.balanced if f.judged and f.judged.detection else None,
    "judge fuzzing": lambda f: f.judged.fuzzing.balanced if f.judged and f.judged.fuzzing else None,
}


@dataclass(frozen=True)
class Row:
    """One rating, and the line of the file it stands on; ``layer`` is None where the file has no such column."""

    line: int
    latent: int
    layer: int | None
    rating: Rating


@dataclass(frozen=True)
class Ratings:
    """A whole file of ratings with its scale."""

    name: str
    least: float
    most: float
    rows: tuple[Row, ...]


def read_scale(text: str) -> tuple[float, float]:
    """Return the ends of ``"1-5"``; raises ``UserError``."""
    found = _SCALE.fullmatch(text)
    ends = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not ends[0] < ends[1]:
        raise UserError(f"--scale: give the least and the largest rating, as in --scale 1-5, got '{text}'")
    return ends


def read_ratings(path: Path, scale: str) -> Ratings:
    """Read a CSV file with a header: ``latent``, ``rating``, and optionally ``layer``, ``rater``, ``comment``.

    Raises:
        UserError: it cannot be read, or a line is wrong; says which line and column.
    """
    least, most = read_scale(scale)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"--ratings: '{path}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"--ratings: '{path}' is not UTF-8: {error.reason} at byte {error.start}") from None
    rows = tuple(_rows(text, path.name, (least, most)))
    if not rows:
        raise UserError(f"--ratings: {path.name} holds no rating below its header")
    _no_twins(rows, path.name)
    return Ratings(path.name, least, most, rows)


def _rows(text: str, name: str, scale: tuple[float, float]) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [word.strip() for word in next(reader, [])]
        _check_header(header, name)
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(header):
                raise UserError(
                    f"--ratings: {name}, line {reader.line_num}: {len(values)} fields under {len(header)} columns"
                )
            yield _row(
                dict(zip(header, values, strict=True)), f"{name}, line {reader.line_num}", reader.line_num, scale
            )
    except csv.Error as error:
        raise UserError(f"--ratings: {name}, line {reader.line_num}: {error}") from None


def _check_header(header: Sequence[str], name: str) -> None:
    for word in header:
        if word not in ALLOWED:
            raise unknown("column", word, ALLOWED, f"--ratings: {name}, line 1")
        if header.count(word) > 1:
            raise UserError(f"--ratings: {name}, line 1: column '{word}' is there twice")
    for word in NEEDED:
        if word not in header:
            raise UserError(f"--ratings: {name}, line 1: column '{word}' is missing; a header names the columns")


def _row(values: Mapping[str, str], where: str, line: int, scale: tuple[float, float]) -> Row:
    value = _number(values["rating"])
    if value is None or not scale[0] <= value <= scale[1]:
        raise UserError(
            f"--ratings: {where}, column rating: give a number from {scale[0]:g} to {scale[1]:g}, "
            f"got '{values['rating']}' (--scale sets the ends)"
        )
    layer = _whole(values["layer"], f"{where}, column layer") if "layer" in values else None
    rater, comment = (values.get(name, "").strip() or None for name in ("rater", "comment"))
    rating = Rating(value=value, rater=rater, comment=comment)
    return Row(line, _whole(values["latent"], f"{where}, column latent"), layer, rating)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole(text: str, where: str) -> int:
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit()) or len(plain) > 9:
        raise UserError(f"--ratings: {where}: give a whole number, got '{text}'")
    return int(plain)


def _no_twins(rows: Sequence[Row], name: str) -> None:
    first: dict[tuple[int | None, int, str], int] = {}
    for row in rows:
        rater = row.rating.rater
        if rater is None:
            continue
        before = first.setdefault((row.layer, row.latent, rater), row.line)
        if before != row.line:
            raise UserError(
                f"--ratings: {name}, line {row.line}: '{rater}' rates latent {row.latent} a second time "
                f"(line {before} is the first)"
            )


def add_ratings(file: FeatureFile, given: Ratings) -> FeatureFile:
    """Return the data file with these ratings in place of any earlier ones.

    Raises:
        UserError: a line speaks of a block or a latent that the file does not have.
    """
    blocks = {layer.layer: layer for layer in file.layers}
    found: dict[tuple[int, int], list[Rating]] = {}
    for row in given.rows:
        where = f"--ratings: {given.name}, line {row.line}"
        if row.layer is None and len(blocks) > 1:
            raise UserError(f"{where}: column layer is needed; there are blocks {', '.join(map(str, blocks))}")
        block = next(iter(blocks)) if row.layer is None else row.layer
        if block not in blocks:
            raise UserError(f"{where}, column layer: there is no block {block}, only {', '.join(map(str, blocks))}")
        latents = blocks[block].latents
        if row.latent >= latents:
            raise UserError(f"{where}, column latent: block {block} has latents 0 to {latents - 1}, got {row.latent}")
        found.setdefault((block, row.latent), []).append(row.rating)
    layers = [_rated(layer, found, given) for layer in file.layers]
    return file.model_copy(update={"layers": layers})


def _rated(layer: LayerFeatures, found: Mapping[tuple[int, int], list[Rating]], given: Ratings) -> LayerFeatures:
    features = [f.model_copy(update={"ratings": found.get((layer.layer, f.index), [])}) for f in layer.features]
    return layer.model_copy(update={"features": features, "ratings": summed(features, given.least, given.most)})


def with_scores(file: FeatureFile) -> FeatureFile:
    """Return the file with its ratings held against the scores it has now: a judge's may have been added."""
    layers = [
        layer
        if layer.ratings is None
        else layer.model_copy(update={"ratings": summed(layer.features, layer.ratings.least, layer.ratings.most)})
        for layer in file.layers
    ]
    return file.model_copy(update={"layers": layers})


def mean_rating(feature: Feature) -> float:
    """Return the mean of a latent's ratings, of which there must be one."""
    return sum(rating.value for rating in feature.ratings) / len(feature.ratings)


def summed(features: Sequence[Feature], least: float, most: float) -> RatedLayer | None:
    """Sum up the ratings of a layer; None where it has none."""
    rated = [f for f in features if f.ratings]
    if not rated:
        return None
    values = [np.array([rating.value for rating in f.ratings]) for f in rated]
    return RatedLayer(
        least=least,
        most=most,
        rated=len(rated),
        ratings=sum(len(v) for v in values),
        raters=len({rating.rater for f in rated for rating in f.ratings} - {None}),
        average=round(float(np.mean([v.mean() for v in values])), 4),
        agreement=_interval("Krippendorff's alpha", krippendorff(values)),
        scores=[_against(name, score, rated) for name, score in SCORES.items()],
    )


def _against(name: str, score: Callable[[Feature], float | None], rated: Sequence[Feature]) -> Interval:
    pairs = [(mean_rating(f), value) for f in rated if (value := score(f)) is not None]
    x, y = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0), np.zeros(0))
    return _interval(name, spearman(x, y))


def _interval(name: str, found: Estimate) -> Interval:
    value, lo, hi = (None if v is None else round(v, 4) for v in (found.value, found.lo, found.hi))
    return Interval(name=name, value=value, lo=lo, hi=hi, items=found.clusters, reason=found.reason)
