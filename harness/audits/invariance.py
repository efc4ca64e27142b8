"""What must not move a value: the order of latents, the order of documents, and how documents are batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.api import Dictionary, Method, Train
from harness.audits.checks import nothing
from harness.errors import CellError
from harness.metrics.contract import Metric, Parts
from harness.run.cells import Cell
from harness.run.fitting import Fitter
from harness.run.plan import PlannedGroup
from harness.run.tracks import make_track
from harness.specs.reliability import Check
from harness.tracks.contract import Contribution, Resources, Track

# Beyond the digits that tables show.
RELATIVE = 1e-4
# Methods that are measured again; each costs a walk through the test documents.
METHODS = 2

_ORDER = f"latents and documents in another order: relative difference at most {RELATIVE:g}"
_BATCHES = f"the same fit in other batches: relative difference at most {RELATIVE:g}"
_NOT_RUN = "nothing was measured again: records alone were read"
_NO_BATCHES = "no language model runs, so nothing is batched"


class Reordered(Dictionary):
    """A fitted dictionary whose latents come in another order; those that code the document stay in front."""

    def __init__(self, inner: Dictionary, seed: int = 0) -> None:
        super().__init__()
        self.inner, self.shared = inner, inner.shared
        latents = inner.directions().shape[0]
        generator = torch.Generator().manual_seed(seed)
        leading = torch.randperm(self.shared, generator=generator)
        others = torch.randperm(latents - self.shared, generator=generator) + self.shared
        order_F = torch.cat([leading, others])
        self.register_buffer("order_F", order_F)
        self.register_buffer("back_F", order_F.argsort())

    order_F: Tensor
    back_F: Tensor

    def fit(self, train: Train) -> None:
        """Do nothing: what is reordered was fitted before."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the codes in this order, ``[N, F]``."""
        return self.inner.encode(x_ND, doc_N)[:, self.order_F]

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]``."""
        return self.inner.decode(z_NF[:, self.back_F])

    def directions(self) -> Tensor:
        """Return the directions in this order, ``[F, D]``."""
        return self.inner.directions()[self.order_F.to(self.inner.directions().device)]

    def summary(self) -> dict[str, float]:
        """Return nothing: there was no fit."""
        return {}


@dataclass(frozen=True)
class Again:
    """Values that must not differ, by what was changed: (what, method, parts before, parts after).

    Attributes:
        order: latents, and where documents are drawn documents, in another order.
        batches: in batches of half the size; empty where no language model runs, for nothing is batched there.
    """

    order: tuple[tuple[str, Parts, Parts], ...]
    batches: tuple[tuple[str, Parts, Parts], ...]


def measure_again(group: PlannedGroup, resources: Resources) -> Again:
    """Measure the first methods of a group once as they are and once in every way that must not matter."""
    # One fit of each method: seeds differ in their fits, not in how they are measured.
    first: dict[str, Cell] = {}
    for cell in group.cells:
        if cell.entry.role is None:
            first.setdefault(cell.entry.found.slug, cell)
    track = make_track(group, resources)
    track.prepare()
    fitter = Fitter(track, resources.cache / "fits")
    methods = {name: fitter.fit(cell).method for name, cell in list(first.items())[:METHODS]}
    turned = {name: Reordered(method) for name, method in methods.items() if isinstance(method, Dictionary)}
    parts = _walk(track, methods)
    order = [(f"latents of {name}", parts[name], after) for name, after in _walk(track, turned).items()]
    if group.task.spec.model is None:
        backwards = make_track(_backwards(group), resources)
        backwards.prepare()
        order += [(f"documents, {name}", parts[name], after) for name, after in _walk(backwards, methods).items()]
        return Again(tuple(order), ())
    smaller = make_track(group, replace(resources, batch_tokens=max(resources.batch_tokens // 2, 1)))
    smaller.prepare()
    batches = [(name, parts[name], after) for name, after in _walk(smaller, methods).items()]
    return Again(tuple(order), tuple(batches))


def _backwards(group: PlannedGroup) -> PlannedGroup:
    """Return the group with its test documents from the last to the first; each is drawn from its own name."""
    splits = {**group.corpus.splits, "test": group.corpus.splits["test"][::-1]}
    return replace(group, corpus=replace(group.corpus, splits=splits))


def _walk(track: Track, methods: Mapping[str, Method]) -> dict[str, Parts]:
    """Return the parts of every method; raises ``CellError`` where one fails, which it did not when it was recorded."""
    found: dict[str, list[Contribution]] = {name: [] for name in methods}
    units = len(track.units())
    for unit in range(units):
        for name, result in track.measure(unit, methods).items():
            if isinstance(result, CellError):
                raise result
            found[name].append(result)
        track.resources.progress("measuring again", unit + 1, units)
    return {name: track.reduce(contributions).parts for name, contributions in found.items()}


def permutation(metric: Metric, again: Again | None) -> Check:
    """Compare values with latents and documents in another order."""
    return _compare(metric, again.order, _ORDER) if again else nothing(_NOT_RUN, _ORDER)


def batch_size(metric: Metric, again: Again | None) -> Check:
    """Compare values of the same fits in two batch sizes."""
    if again is None:
        return nothing(_NOT_RUN, _BATCHES)
    return _compare(metric, again.batches, _BATCHES) if again.batches else nothing(_NO_BATCHES, _BATCHES)


def _compare(metric: Metric, changed: Sequence[tuple[str, Parts, Parts]], rule: str) -> Check:
    moved: dict[str, float] = {}
    for name, before, after in changed:
        a, b = metric.point(before)[0], metric.point(after)[0]
        if (a is None) != (b is None):
            return Check(
                value=None, threshold=RELATIVE, passed=False, reason=f"{name}: a value in one alone", rule=rule
            )
        if a is not None and b is not None:
            moved[name] = _relative(a, b)
    if not moved:
        return nothing("no method has a value", rule)
    worst = max(moved, key=lambda name: moved[name])
    told = f"most: {worst}" if moved[worst] > 0 else f"the same in {', '.join(moved)}"
    return Check(value=moved[worst], threshold=RELATIVE, passed=moved[worst] <= RELATIVE, reason=told, rule=rule)


def _relative(a: float, b: float) -> float:
    scale = max(abs(a), abs(b))
    return abs(a - b) / scale if scale > 0 else 0.0
