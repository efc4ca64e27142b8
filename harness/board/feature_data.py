"""What the script of a feature page works on: columns of the list for every latent, details of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.specs.features import Context, Feature, FeatureFile, Item, Label, LayerFeatures

# Evidence tokens of every latent, for searching; entries of a label shown in the list.
_SEARCHED, _WORDS = 5, 4
# What a judge said of single windows stays in the data file.
_ASKED = {test: {"truth", "said"} for test in ("detection", "fuzzing", "permuted")}


@dataclass(frozen=True)
class ListColumn:
    """A column of the list of features."""

    key: str
    name: str
    help: str
    first: str


_JUDGE = ListColumn("judge", "Judge", "balanced accuracy of a judge with its own label in words", "descending")
_RATING = ListColumn("rating", "Rating", "mean rating by people", "descending")


@dataclass(frozen=True)
class Has:
    """What a file holds beyond what every file does: ReasonScores, labels of a judge, ratings of people."""

    reasoning: bool
    judge: bool
    ratings: bool

    @staticmethod
    def of(file: FeatureFile) -> Has:
        """Look through the layers."""
        found = ((layer.reasoning, layer.judge, layer.ratings) for layer in file.layers)
        reasoning, judge, ratings = (any(part is not None for part in parts) for parts in zip(*found, strict=True))
        return Has(reasoning, judge, ratings)


def list_columns(has: Has) -> list[ListColumn]:
    """Return the columns of the list; a score only where the file has it."""
    scores = [
        ListColumn("reasonscore", "ReasonScore", "of the reasoning record of this fit", "descending"),
        ListColumn("p", "p", "of its ReasonScore, from circular shifts", "ascending"),
    ]
    return [
        ListColumn("index", "Latent", "its number in the dictionary", "ascending"),
        *(scores if has.reasoning else []),
        ListColumn("density", "Density", "share of test tokens on which it fires", "descending"),
        ListColumn("label", "Lexical label", "what stands out where it peaks", "ascending"),
        ListColumn("detection", "Detection", "balanced accuracy of the label on windows of other groups", "descending"),
        *([_JUDGE] if has.judge else []),
        *([_RATING] if has.ratings else []),
        ListColumn("max", "Max", "largest folded activation", "descending"),
    ]


def page_data(file: FeatureFile, chosen: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the data of a page; token types that nothing on the page shows are left out."""
    used, has = _Tokens(file.tokens), Has.of(file)
    layers = [
        {**_layer(layer, set(which), used), **_added(layer.features, has)}
        for layer, which in zip(file.layers, chosen, strict=True)
    ]
    return {"layers": layers, "tokens": used.texts}


class _Tokens:
    """Numbers token types as they are first used."""

    def __init__(self, all_texts: Sequence[str]) -> None:
        self._all, self._number = all_texts, dict[int, int]()
        self.texts: list[str] = []

    def __call__(self, token: int) -> int:
        if token not in self._number:
            self._number[token] = len(self.texts)
            self.texts.append(self._all[token])
        return self._number[token]


def _layer(layer: LayerFeatures, chosen: set[int], used: _Tokens) -> dict[str, Any]:
    features = layer.features
    return {
        "layer": layer.layer,
        "fires": [f.fires for f in features],
        "density": [f.density for f in features],
        "max": [f.max for f in features],
        "label": [[[i.kind, i.text] for i in f.label.items[:_WORDS]] if f.label else None for f in features],
        "detection": [f.label.detection.balanced if f.label else None for f in features],
        "lower": [f.label.detection.lower if f.label else None for f in features],
        "reasonscore": [f.reasoning.reasonscore if f.reasoning else None for f in features],
        "p": [f.reasoning.p if f.reasoning else None for f in features],
        "passed": [bool(f.reasoning and f.reasoning.passed) for f in features],
        "tokens": [[used(token) for token, _ in f.evidence[:_SEARCHED]] for f in features],
        "directionCluster": [f.direction_cluster for f in features],
        "firingCluster": [f.firing_cluster for f in features],
        "details": {str(i): _details(features[i], used) for i in sorted(chosen)},
    }


def _added(features: Sequence[Feature], has: Has) -> dict[str, Any]:
    """Return the columns of a judge and of people; nothing where there are none, since most pages have none."""
    columns: dict[str, Any] = {}
    if has.judge:
        found = [f.judged.detection if f.judged else None for f in features]
        columns["words"] = [f.judged.label if f.judged else None for f in features]
        columns["asked"] = [f.index for f in features if f.judged]
        columns["judge"] = [one.balanced if one else None for one in found]
        columns["judgeLower"] = [one.lower if one else None for one in found]
    if has.ratings:
        columns["rating"] = [sum(r.value for r in f.ratings) / len(f.ratings) if f.ratings else None for f in features]
    return columns


def _details(feature: Feature, used: _Tokens) -> dict[str, Any]:
    return {
        "mean": feature.mean,
        "conc": feature.token_conc,
        "entropy": feature.token_entropy,
        "sim": feature.sim_corr,
        "label": _label(feature.label) if feature.label else None,
        "unlabelled": feature.unlabelled,
        "evidence": [[used(token), share] for token, share in feature.evidence],
        "neighbours": feature.neighbours,
        "contexts": [_context(context, used) for context in feature.contexts],
        "reasoning": feature.reasoning.model_dump() if feature.reasoning else None,
        **({"judged": feature.judged.model_dump(exclude=_ASKED)} if feature.judged else {}),
        **({"ratings": [rating.model_dump() for rating in feature.ratings]} if feature.ratings else {}),
    }


def _label(label: Label) -> dict[str, Any]:
    return {
        "items": [_item(item) for item in label.items],
        "detection": label.detection.model_dump(),
        "fuzzing": label.fuzzing.model_dump(),
        "permuted": label.permuted,
        "ceiling": label.ceiling,
    }


def _item(item: Item) -> list[Any]:
    return [item.kind, item.text, item.weight]


def _context(context: Context, used: _Tokens) -> dict[str, Any]:
    return {
        "kind": context.kind,
        "document": context.document,
        "tokens": [used(token) for token in context.tokens],
        "z": [int(z) if z == int(z) else z for z in context.activations],
        "peak": context.peak,
        "before": context.before,
        "after": context.after,
    }
