"""From a planned call to the data file of a feature page: fit or find the method, read the test split once, sum up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary
from harness.errors import CellError, UserError
from harness.features.exhibits import Exhibits, exhibits
from harness.features.gather import Gatherer
from harness.features.labels import Counted, Labeller, coverage
from harness.features.mass import token_conc, token_entropy
from harness.features.neighbours import cluster, nearest, unit
from harness.features.sizes import Sizes
from harness.features.stream import Stream
from harness.features.text import Text, read_text
from harness.run.cells import Cell
from harness.run.fitting import Fitter
from harness.run.plan import PlannedGroup
from harness.run.tracks import make_track, site_of
from harness.specs.features import Clusters, Context, Coverage, Feature, Label, LayerFeatures
from harness.tracks.contract import Resources


@dataclass(frozen=True)
class Layer:
    """One layer as it goes into the file, and what comparing it with the next layer takes."""

    features: LayerFeatures
    direction_FD: Tensor
    sketch_FS: Tensor
    words: list[str]
    model: dict[str, Any]
    exhibits: Exhibits


class Collector:
    """Collects one layer: of the first of ``cells`` everything, of the others, the controls, labels."""

    def __init__(self, group: PlannedGroup, cells: Sequence[Cell], resources: Resources, sizes: Sizes) -> None:
        self.group, self.cells, self.resources, self.sizes = group, cells, resources, sizes
        self.track = make_track(group, resources)
        self.site = site_of(self.track)
        self.cell = cells[0]

    def collect(self) -> Layer:
        """Fit what is not fitted yet, stream the test split, and return the layer."""
        methods = self._methods()
        documents = self.group.corpus.splits["test"]
        text = read_text(self.site.test.batches, documents, self.sizes.window, self.sizes.short)
        words = decode_types(self.site.model.tokenizer, text.types_V)
        gathered = self._gather(methods, text)
        labeller = Labeller(text, words, self.sizes)
        own = gathered[self.cell.key]
        every = range(own.latents)
        labels, refused = labeller.label(own, every, self._tell("labelling latents"))
        coverages = [self._control(key, one, labeller) for key, one in gathered.items() if key != self.cell.key]
        direction_FD = unit(methods[self.cell.key].directions().detach().float().cpu())
        parts = _Parts(own, text, documents, labels, refused)
        return self._layer(parts, direction_FD, coverages, words)

    def _methods(self) -> dict[str, Dictionary]:
        """Return the method and the controls, fitted; a control that fails is left out."""
        fitter = Fitter(self.track, self.resources.cache / "fits")
        found = {cell.key: self._fit(fitter, cell) for cell in self.cells}
        return {key: method for key, method in found.items() if method is not None}

    def _fit(self, fitter: Fitter, cell: Cell) -> Dictionary | None:
        try:
            method = fitter.fit(cell).method
        except CellError as error:
            if cell is self.cell:
                raise UserError(f"method '{cell.entry.found.slug}': {error}") from error
            return None
        return method if isinstance(method, Dictionary) else None

    def _gather(self, methods: Mapping[str, Dictionary], text: Text) -> dict[str, Gatherer]:
        gathered = {
            key: Gatherer(text, self.sizes, int(method.directions().shape[0]), key == self.cell.key)
            for key, method in methods.items()
        }
        label = f"reading features of block {self.group.task.layer}"
        try:
            for key, chunk in Stream(self.site, text, self.sizes.codes).chunks(methods, self.resources.progress, label):
                gathered[key].add(chunk)
        except CellError as error:
            raise UserError(f"a method cannot encode the test split: {error}") from error
        return gathered

    def _tell(self, label: str) -> Any:
        name = f"{label}, block {self.group.task.layer}"
        return lambda done, total: self.resources.progress(name, done, total)

    def _control(self, key: str, gatherer: Gatherer, labeller: Labeller) -> Coverage:
        """Label a control's latents, or a sample of those that fire."""
        alive = np.flatnonzero(gatherer.fires_F)
        most = min(self.sizes.control_labels, alive.size)
        tried = np.sort(np.random.default_rng(self.sizes.seed).choice(alive, most, replace=False))
        cell = next(cell for cell in self.cells if cell.key == key)
        name = cell.entry.found.slug
        labels, refused = labeller.label(gatherer, tried.tolist(), self._tell(f"labelling latents of {name}"))
        return coverage(name, labels, refused, Counted(int(alive.size), int(tried.size)))

    def _layer(self, parts: _Parts, direction_FD: Tensor, controls: list[Coverage], words: list[str]) -> Layer:
        own, sketch_FS = parts.gatherer, parts.gatherer.sketch.unit()
        alive = np.flatnonzero(own.fires_F)
        chosen = np.sort(alive[np.argsort(-own.sum_F[alive], kind="stable")][: self.sizes.clustered])
        clusters = [_clusters(vectors, chosen, int(alive.size)) for vectors in (direction_FD, sketch_FS)]
        counted = Counted(int(alive.size), int(alive.size))
        test = self.site.test
        layer = LayerFeatures(
            layer=self.group.task.layer,
            fit=self.cell.fit,
            table=self.group.table,
            tokens=own.tokens,
            documents=test.part.documents,
            groups=int(parts.text.group_P.max()) + 1,
            latents=own.latents,
            own=coverage(self.cell.entry.found.slug, parts.labels, _alive(parts.refused, own), counted),
            controls=controls,
            direction_clusters=clusters[0],
            firing_clusters=clusters[1],
            notes=list(self.site.notes()),
            features=_features(parts, direction_FD, clusters, self.sizes),
        )
        sides = {latent: (own.windows.of(latent, 0), own.windows.of(latent, 1)) for latent in parts.labels}
        model = self.site.model_part().model_dump(mode="json")
        return Layer(layer, direction_FD, sketch_FS, words, model, exhibits(parts.text, sides))


@dataclass(frozen=True)
class _Parts:
    """What the features of a layer are put together from."""

    gatherer: Gatherer
    text: Text
    documents: Sequence[Any]
    labels: dict[int, Label]
    refused: dict[int, str]


def _alive(refused: dict[int, str], gatherer: Gatherer) -> dict[int, str]:
    return {latent: why for latent, why in refused.items() if gatherer.fires_F[latent]}


def _clusters(vectors: Tensor, chosen: NDArray[np.int64], alive: int) -> Clusters:
    groups, need = cluster(vectors, chosen)
    return Clusters(groups=groups, need=round(need, 4), left_out=alive - int(chosen.size))


def decode_types(tokenizer: Any, types_V: NDArray[np.int64]) -> list[str]:
    """Return the text of every token type, spaces and line ends as they are."""
    return [str(tokenizer.decode([int(i)])) for i in types_V]


def _features(parts: _Parts, direction_FD: Tensor, clusters: Sequence[Clusters], sizes: Sizes) -> list[Feature]:
    cosine, index = nearest(direction_FD, direction_FD, sizes.neighbours, same=True)
    member = [{f: c for c, group in enumerate(one.groups) for f in group} for one in clusters]
    sim_F = parts.gatherer.regression.correlations()
    features = []
    for f in range(parts.gatherer.latents):
        near = [(i, _number(c)) for i, c in zip(index[f].tolist(), cosine[f].tolist(), strict=True)]
        features.append(_feature(parts, f, near, [one.get(f) for one in member], float(sim_F[f]), sizes))
    return features


def _feature(
    parts: _Parts,
    f: int,
    near: list[tuple[int, float]],
    member: Sequence[int | None],
    sim: float,
    sizes: Sizes,
) -> Feature:
    own = parts.gatherer
    fires = int(own.fires_F[f])
    types, shares = own.mass.of(f)
    evidence = [(int(t), _number(s)) for t, s in zip(types[: sizes.evidence], shares, strict=False)]
    return Feature(
        index=f,
        fires=fires,
        density=_number(fires / max(own.tokens, 1)),
        mean=_number(own.sum_F[f] / fires) if fires else None,
        max=_number(own.max_F[f]),
        label=parts.labels.get(f),
        unlabelled=parts.refused.get(f),
        token_conc=_number(token_conc(shares)) if fires else None,
        token_entropy=_number(token_entropy(shares, own.text.types_V.size)) if fires else None,
        sim_corr=_number(sim) if math.isfinite(sim) else None,
        evidence=evidence,
        neighbours=near if fires else [],
        direction_cluster=member[0],
        firing_cluster=member[1],
        contexts=[_context(parts, kind, held) for kind, held in own.contexts.of(f)],
    )


def _context(parts: _Parts, kind: Any, held: Mapping[str, Any]) -> Context:
    text, start, length = parts.text, int(held["start"]), int(held["length"])
    piece = int(np.searchsorted(text.first_P, start, side="right")) - 1
    return Context(
        kind=kind,
        document=parts.documents[int(text.doc_P[piece])].id,
        tokens=text.type_M[start : start + length].tolist(),
        activations=[_number(z) for z in held["z"][:length].tolist()],
        peak=int(held["peak"]) - start,
        before=start > int(text.first_P[piece]),
        after=start + length < int(text.first_P[piece + 1]),
    )


def _number(value: float) -> float:
    """Return a number with four figures, which is more than a page shows."""
    return float(f"{float(value):.4g}")
