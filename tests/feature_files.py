"""Data files of feature pages, made by hand."""

from __future__ import annotations

import itertools
from typing import Any

from harness.specs.features import (
    Clusters,
    Context,
    Coverage,
    Detection,
    Feature,
    FeatureFile,
    Item,
    Label,
    LayerFeatures,
    Match,
    Reasoning,
)

TOKENS = [" the", "\n", " seven", "7", ".", " =", "é"]


def label(score: float = 0.9) -> Label:
    found = Detection(balanced=score, lower=score - 0.1, auroc=score, f1=score)
    items = [
        Item(kind="token", text=" seven", weight=9.5),
        Item(kind="class", text="digit", weight=7.25),
        Item(kind="bigram", text=" =| seven", weight=5.0),
        Item(kind="before", text=" the", weight=3.0),
    ]
    return Label(items=items, detection=found, fuzzing=found, permuted=0.5, ceiling=0.8)


def context(kind: Any, document: str, strength: float) -> Context:
    activations = [0.0, 0.25 * strength, strength, -0.5 * strength, 0.0]
    return Context(
        kind=kind, document=document, tokens=[0, 1, 2, 3, 4], activations=activations, peak=2, before=True, after=False
    )


def feature(index: int, latents: int, **change: Any) -> Feature:
    alive = index % 10 != 9
    labelled = alive and index % 3 == 0
    contexts = [context("top", f"doc{i}", 8.0 - i) for i in range(3)] + [context("drawn", "doc9", 1.5)]
    values: dict[str, Any] = {
        "index": index,
        "fires": 40 * (index + 1) if alive else 0,
        "density": round(0.0008 * (index + 1), 4) if alive else 0.0,
        "mean": 2.0 if alive else None,
        "max": 8.0 if alive else 0.0,
        "label": label(0.55 + 0.4 * index / latents) if labelled else None,
        "unlabelled": None if labelled else "12 windows in which it fires to make a label from, 40 are needed",
        "token_conc": 0.8 if alive else None,
        "token_entropy": 0.3 if alive else None,
        "sim_corr": 0.42 if alive else None,
        "evidence": [(2, 0.6), (index % len(TOKENS), 0.2)] if alive else [],
        "neighbours": [((index + 1) % latents, 0.71), ((index + 2) % latents, 0.3)] if alive else [],
        "direction_cluster": 0 if index < 3 else None,
        "firing_cluster": 1 if index in (4, 5) else 0 if index < 3 else None,
        "contexts": contexts if alive else [],
    }
    return Feature(**{**values, **change})


def coverage(name: str, value: float | None) -> Coverage:
    return Coverage(
        name=name, alive=50, tried=50, labelled=20, covered=5, coverage=value, of_labelled=value,
        reason=None if value is not None else "no latent fires",
        detection=value, fuzzing=value, permuted=value, ceiling=value,
    )  # fmt: skip


def layer(number: int = 9, latents: int = 60, reasoning: bool = False, **change: Any) -> LayerFeatures:
    features = [feature(i, latents) for i in range(latents)]
    if reasoning:
        scores = [Reasoning(reasonscore=0.01 * (i % 7), p=0.005 * (i + 1), passed=i < 4) for i in range(latents)]
        features = [f.model_copy(update={"reasoning": score}) for f, score in zip(features, scores, strict=True)]
    groups = Clusters(groups=[[0, 1, 2], [4, 5]], need=0.2, left_out=0)
    values: dict[str, Any] = {
        "layer": number, "fit": "f" * 24, "table": "t" * 24, "tokens": 50000, "documents": 300, "groups": 34,
        "latents": latents, "own": coverage("topk", 0.25), "controls": [coverage("noise", 0.1), coverage("flat", None)],
        "direction_clusters": groups, "firing_clusters": groups, "reasoning": "seed0-abc.json" if reasoning else None,
        "notes": ["the documents gave 40 tokens"], "features": features,
    }  # fmt: skip
    return LayerFeatures(**{**values, **change})


def file(*layers: LayerFeatures, **change: Any) -> FeatureFile:
    held = list(layers) or [layer()]
    matches = [
        Match(
            lower=a.layer,
            upper=b.layer,
            by_cosine=[(0, 1, 0.9), (1, 0, 0.1)],
            by_correlation=[(0, 1, 0.8), (1, 2, 0.3)],
            null_cosine=0.22,
            null_correlation=0.17,
        )
        for a, b in itertools.pairwise(held)
    ]  # fmt: skip
    values: dict[str, Any] = {
        "key": "k" * 24,
        "method": {"name": "topk", "title": "TopK SAE", "source": "ours", "params": {}, "identity": "i"},
        "task": {"name": "sums", "title": "Sums", "version": 1, "track": "reconstruction"},
        "model": {"name": "tiny", "label": "made", "blocks": 12},
        "seed": 0,
        "sizes": {"top": 8, "items": 10, "train": 40, "test": 50, "control_labels": 200},
        "version": "0.1.0", "commit": None, "command": "harness features topk --task sums",
        "made": "2026-11-20T12:00:00+00:00", "tokens": TOKENS, "layers": held, "matches": matches,
    }  # fmt: skip
    return FeatureFile(**{**values, **change})
