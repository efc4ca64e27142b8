"""How many of a dictionary's latents have a label that holds on other texts, from the data files of feature pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.board.printable import printable
from harness.errors import UserError
from harness.reporting.contract import Measure
from harness.reporting.decoding.findings import Reading
from harness.reporting.decoding.judging import outcome
from harness.specs.features import Coverage, FeatureFile, LayerFeatures
from harness.stats.bars import Level
from harness.store.features import load_features

NAME = "label_coverage"


def labelled(folder: Path, level: Level) -> Iterator[Reading]:
    """Yield a reading for every block of every data file under ``FOLDER/features``, and for what cannot be read."""
    for path in sorted((folder / "features").glob("*/*/*.json")):
        name = printable(path.relative_to(folder).as_posix())
        try:
            file = load_features(path)
        except UserError as error:
            reason = printable(str(error).replace(f"{folder}/", ""))
            yield Reading(
                path.parent.name, None, name, NAME, Measure(None, reason=reason), "not measured", "", 0, (name,)
            )
            continue
        for layer in file.layers:
            yield from _of_layer(file, layer, name, level)


def _of_layer(file: FeatureFile, layer: LayerFeatures, name: str, level: Level) -> Iterator[Reading]:
    for coverage in (layer.own, *layer.controls):
        own = coverage is layer.own
        share = _share(coverage)
        yield Reading(
            label=printable(coverage.name),
            role=None if own else "floor",
            where=printable(f"{file.task.get('name', '')}, block {layer.layer}"),
            quantity=NAME,
            found=share,
            outcome=outcome(level, share),
            because=_because(coverage),
            seeds=1,
            records=(name,),
        )


def _share(coverage: Coverage) -> Measure:
    if coverage.coverage is None:
        return Measure(None, reason=printable(coverage.reason or "no latent fires"))
    return Measure(coverage.coverage, coverage.lo, coverage.hi)


def _because(coverage: Coverage) -> str:
    tried = coverage.tried
    of = f"{tried} tried of the {coverage.alive}" if tried < coverage.alive else f"{tried}"
    told = f"{coverage.covered} of {of} latents that fire; {coverage.labelled} had windows enough for a test"
    if coverage.detection is None or coverage.permuted is None:
        return told
    of_others = f"{coverage.permuted:.2f} with another latent's label"
    return f"{told}; median balanced accuracy {coverage.detection:.2f}, {of_others}"
