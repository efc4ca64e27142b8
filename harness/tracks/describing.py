"""What a record says of the model and the data, whatever the track."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.rows import Corpus
from harness.lm.info import ModelInfo
from harness.specs.record import DataPart, ModelPart, SelectedPart, SplitPart
from harness.stats.turned import Turned


def model_part(info: ModelInfo, layer: int | tuple[int, ...], at: str) -> ModelPart:
    """Describe a language model and the block, or blocks, that are read of it."""
    return ModelPart(
        name=info.name,
        label=info.label,
        fingerprint=info.fingerprint,
        blocks=info.blocks,
        width=info.width,
        dtype=info.dtype,
        layer=layer,
        hidden_state=layer + 1 if isinstance(layer, int) else tuple(block + 1 for block in layer),
        at=at,
    )


def data_part(
    corpus: Corpus, splits: Mapping[str, SplitPart], clusters: int, mask: Mapping[str, Any] | None = None
) -> DataPart:
    """Describe where documents come from, and what of them was measured."""
    origin, chosen = corpus.origin, corpus.selected
    return DataPart(
        source=origin.source,
        name=origin.name,
        config=origin.config,
        revision=origin.revision,
        mirror=origin.mirror,
        fingerprint=corpus.fingerprint,
        splits=dict(splits),
        clusters=clusters,
        mask=dict(mask or {}),
        selected=SelectedPart(by=chosen.by, weights=chosen.weights, ids=chosen.ids) if chosen else None,
    )


def turned_details(found: Turned) -> dict[str, float]:
    """Return how many answers an edit turns, and the p-value of a change of accuracy by chance, for a record."""
    return {
        "right under the edit alone": float(found.gained),
        "right as it is alone": float(found.lost),
        f"p of d_acc ({found.how})": found.p,
    }
