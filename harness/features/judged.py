"""A judge's labels in a data file: which latents it is asked about, and what comes of it in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness.api import Progress
from harness.errors import UserError
from harness.features.asking import Asked
from harness.features.endpoint import Endpoint
from harness.features.exhibits import load_exhibits
from harness.features.judging import Judging
from harness.features.labels import median
from harness.features.lexical import COVERED
from harness.specs.features import Feature, FeatureFile, Judged, JudgedLayer, LabelSide, LayerFeatures
from harness.stats.proportions import wilson
from harness.store.features import windows_path


def add_judge(file: FeatureFile, data: Path, asked: Asked, progress: Progress) -> FeatureFile:
    """Return the file with labels in words; those of an earlier judge give way.

    Raises:
        UserError: a latent that was asked for does not exist, or the endpoint refuses.
        EndpointError: the endpoint is away; its answers so far are kept.
    """
    for layer in file.layers:
        wrong = [latent for latent in asked.also if not 0 <= latent < layer.latents]
        if wrong:
            raise UserError(f"--judge-also: block {layer.layer} has latents 0 to {layer.latents - 1}, got {wrong[0]}")
    endpoint = asked.endpoint()
    layers = [
        _layer(layer, file.tokens, windows_path(data, layer.layer), asked, endpoint, progress) for layer in file.layers
    ]
    return file.model_copy(update={"layers": layers})


def draw(layer: LayerFeatures, count: int, seed: int) -> list[int]:
    """Return a seeded sample of the latents that have windows enough; a larger one holds every smaller one."""
    open_to = [f.index for f in layer.features if f.label is not None]
    order = np.random.default_rng([seed, layer.layer]).permutation(len(open_to))
    return sorted(open_to[i] for i in order[:count])


def _layer(
    layer: LayerFeatures, tokens: Sequence[str], path: Path, asked: Asked, endpoint: Endpoint, progress: Progress
) -> LayerFeatures:
    held = load_exhibits(path)
    if held is None:
        raise UserError(f"{path} is missing or not whole; delete the data file beside it, and call again.")
    sample = draw(layer, asked.latents, asked.rules.seed)
    besides = [latent for latent in asked.also if latent not in sample]
    could = [latent for latent in besides if latent in held.sides]
    found = Judging(endpoint, held, tokens, asked.rules).judge([*sample, *could], progress, f"block {layer.layer}")
    for latent in set(besides) - set(could):
        reason = f"too few windows: {layer.features[latent].unlabelled}"
        found[latent] = Judged(label=None, reason=reason, detection=None, fuzzing=None, permuted=None)
    features = [f.model_copy(update={"judged": found.get(f.index)}) for f in layer.features]
    judge = summed(layer, features, sample, besides, asked)
    return layer.model_copy(update={"features": features, "judge": judge})


def summed(
    layer: LayerFeatures, features: Sequence[Feature], sample: Sequence[int], besides: Sequence[int], asked: Asked
) -> JudgedLayer:
    """Sum up what the judge said.

    Latents with too few windows cannot be covered, which is known of all of them; so the share that is covered among
    those drawn from the others, and its interval, only have to be scaled to all that fire.
    """
    of = {f.index: f for f in features}
    judged = {latent: of[latent].judged for latent in sample}
    labelled = {latent: found for latent, found in judged.items() if found is not None and found.label is not None}
    covered = sum(found.detection is not None and found.detection.lower > COVERED for found in labelled.values())
    open_to = sum(f.label is not None for f in features)
    share = open_to / layer.own.alive if layer.own.alive else 0.0
    ends = wilson(covered, len(sample)) if sample else (None, None)
    tests = [v for f in features if f.judged for v in (f.judged.detection, f.judged.fuzzing) if v is not None]
    return JudgedLayer(
        model=asked.model,
        settings=asdict(asked.rules),
        open=open_to,
        sampled=len(sample),
        asked=list(besides),
        labelled=len(labelled),
        covered=covered,
        coverage=round(share * covered / len(sample), 4) if sample else None,
        lo=None if ends[0] is None else round(share * ends[0], 4),
        hi=None if ends[1] is None else round(share * ends[1], 4),
        reason=None if sample else "no latent was drawn" if open_to else "no latent has windows enough for a label",
        unparsed=round(float(np.mean([v.unparsed for v in tests])), 4) if tests else None,
        unlabelled=sum(f.judged is not None and f.judged.label is None for f in features),
        sides=_sides([of[latent] for latent in labelled]),
    )


def _sides(features: Sequence[Feature]) -> list[LabelSide]:
    """Return the medians of judge and lexical labels over the same latents."""
    judged = [f.judged for f in features if f.judged]
    lexical = [f.label for f in features if f.label]
    return [
        LabelSide(
            name="judge",
            detection=median([j.detection.balanced for j in judged if j.detection]),
            fuzzing=median([j.fuzzing.balanced for j in judged if j.fuzzing]),
            permuted=median([j.permuted.balanced for j in judged if j.permuted]),
        ),
        LabelSide(
            name="lexical",
            detection=median([label.detection.balanced for label in lexical]),
            fuzzing=median([label.fuzzing.balanced for label in lexical]),
            permuted=median([label.permuted for label in lexical if label.permuted is not None]),
        ),
    ]
