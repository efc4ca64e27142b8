"""The feature page: one self-contained HTML file, made from a data file alone."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.board import formats
from harness.board.escaping import shown
from harness.board.feature_data import Has, list_columns, page_data
from harness.board.histogram import Histogram, histogram
from harness.board.page import environment, inline, package_version
from harness.specs.features import Clusters, Feature, FeatureFile, LayerFeatures, Match
from harness.store.files import write_text

# Latents shown with their contexts; the others stand in the list alone, so that a page stays a few MB.
DETAILS = 500
# Clusters and matches that are listed.
CLUSTERS, MATCHES = 24, 25
DENSITY_EDGES = tuple(10 ** (-5 + i / 2) for i in range(11))
SHARE_EDGES = tuple(i / 20 for i in range(21))


@dataclass(frozen=True)
class ClusterView:
    """A cluster as it is listed: its members, and the tokens most of them share as evidence."""

    members: list[int]
    tokens: list[str]


@dataclass(frozen=True)
class LayerView:
    """One layer with what is drawn of it."""

    layer: LayerFeatures
    density: Histogram
    detection: Histogram
    median_density: float | None
    directions: list[ClusterView]
    firing: list[ClusterView]


@dataclass(frozen=True)
class MatchView:
    """Two neighbouring layers: how close the best partners come, and the closest of them."""

    match: Match
    cosine: Histogram
    correlation: Histogram
    share_cosine: float | None
    share_correlation: float | None
    closest: list[tuple[int, int, float, float]]


def write_feature_page(file: FeatureFile, path: Path, data_name: str, details: int = DETAILS) -> None:
    """Write the page atomically; ``data_name`` is the data file beside it, which the page names."""
    write_text(path, feature_html(file, data_name, details))


def feature_html(file: FeatureFile, data_name: str, details: int = DETAILS) -> str:
    """Return the page. Everything is inside it, and its policy forbids loading anything else."""
    chosen = of_interest(file.layers, details)
    assets = inline(("board.css", "features.css"), ("theme.js", "features.js"))
    page = environment().get_template("features.html.j2").render(
        file=file,
        views=[_layer(layer, file.tokens) for layer in file.layers],
        matches=[_match(match) for match in file.matches],
        columns=list_columns(Has.of(file)),
        has=Has.of(file),
        shown=sum(map(len, chosen)),
        data=Markup(script_json(page_data(file, chosen))),
        data_name=data_name,
        formats=formats,
        show=formats.visible,
        version=package_version(),
        **assets,
    )  # fmt: skip
    return shown(page)


def script_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def of_interest(layers: Sequence[LayerFeatures], most: int) -> list[list[int]]:
    """Return the latents of each layer that are shown in full, at most ``most`` over all layers.

    Taken in turn from orders, so that each has its share: the smallest p-value of ReasonScore, the best lower bound of
    detection, the largest activation mass, and what a judge or people looked at, those with ratings first.
    """
    share = most // max(len(layers), 1)
    return [_interesting([f for f in layer.features if f.fires], share) for layer in layers]


def _interesting(alive: list[Feature], most: int) -> list[int]:
    orders: list[tuple[Callable[[Feature], bool], Callable[[Feature], tuple[float, ...]]]] = [
        (lambda f: f.reasoning is not None and f.reasoning.p is not None, _by_reason),
        (lambda f: f.label is not None, lambda f: (-f.label.detection.lower if f.label else 0.0, f.index)),
        (lambda f: True, lambda f: (-(f.mean or 0.0) * f.fires, f.index)),
        (lambda f: bool(f.ratings or f.judged), lambda f: (not f.ratings, f.index)),
    ]
    ranked = [sorted(filter(wanted, alive), key=key) for wanted, key in orders]
    turns = chain.from_iterable(zip_longest(*ranked))
    return sorted(list(dict.fromkeys(f.index for f in turns if f is not None))[:most])


def _by_reason(feature: Feature) -> tuple[float, ...]:
    found = feature.reasoning
    p = 1.0 if found is None or found.p is None else found.p
    score = 0.0 if found is None or found.reasonscore is None else found.reasonscore
    return p, -score, feature.index


def _layer(layer: LayerFeatures, tokens: Sequence[str]) -> LayerView:
    alive = [f for f in layer.features if f.fires]
    detection = [f.label.detection.balanced for f in alive if f.label]
    return LayerView(
        layer,
        histogram([f.density for f in alive], DENSITY_EDGES, log=True),
        histogram(detection, SHARE_EDGES),
        statistics.median(f.density for f in alive) if alive else None,
        _clusters(layer, layer.direction_clusters, tokens),
        _clusters(layer, layer.firing_clusters, tokens),
    )


def _clusters(layer: LayerFeatures, clusters: Clusters, tokens: Sequence[str]) -> list[ClusterView]:
    usual = _shares(layer, range(len(layer.features)))
    views = []
    for members in clusters.groups[:CLUSTERS]:
        # What sets a cluster apart, and not the tokens that every latent fires on.
        lift = {token: share - usual[token] for token, share in _shares(layer, members).items()}
        best = sorted(lift, key=lambda token: (-lift[token], token))[:6]
        views.append(ClusterView(members, [formats.visible(tokens[token]) for token in best]))
    return views


def _shares(layer: LayerFeatures, members: Sequence[int]) -> dict[int, float]:
    """Return the mean share of activation by token, over latents."""
    total: dict[int, float] = {}
    for member in members:
        for token, share in layer.features[member].evidence:
            total[token] = total.get(token, 0.0) + share / len(members)
    return total


def _match(match: Match) -> MatchView:
    cosine, correlation = ([v for _, _, v in rows] for rows in (match.by_cosine, match.by_correlation))
    partner = {(a, b): v for a, b, v in match.by_correlation}
    both = [(a, b, v, partner[a, b]) for a, b, v in match.by_cosine if (a, b) in partner]
    return MatchView(
        match,
        histogram(cosine, SHARE_EDGES),
        histogram(correlation, SHARE_EDGES),
        _share(cosine, match.null_cosine),
        _share(correlation, match.null_correlation),
        sorted(both, key=lambda row: -min(row[2], row[3]))[:MATCHES],
    )


def _share(values: Sequence[float], above: float) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(value > above for value in finite) / len(finite) if finite else None
