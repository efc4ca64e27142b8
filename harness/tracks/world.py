"""Track ``world``: activations are drawn from known directions; which of them does a dictionary find, and when?

No language model runs. A unit is some whole test documents; every document is drawn from its own name, so train,
validation and test are independent, and a longer test split begins with the shorter one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import ArrayActivations, Dictionary, Method, Train, Truth
from harness.data.worlds import World, draw, make_world
from harness.errors import CellError
from harness.lm.loading import pick_device
from harness.metrics.contract import Parts
from harness.specs.identity import digest
from harness.specs.record import DataPart, ModelPart, SplitPart
from harness.specs.worlds import WorldData
from harness.tracks.coding import Coded, codes, energies, errors, l0_quantiles, unmatched
from harness.tracks.contract import Group, Measured, Resources, Track
from harness.tracks.describing import data_part
from harness.tracks.foreign import dictionary, each
from harness.tracks.recovery import Match, abs_cosine
from harness.tracks.sums import Clusters, Contribution, add_counts, scatter

# Tokens measured at once; also what a killed run repeats at most.
UNIT_TOKENS = 8192
_COUNTS = ("fires", "l0_hist", "n_density")
_ONCE = ("cos_matched", "cos_best", "claims", "latents")
_VECTORS = {"sx": "x_gram", "sx_e": "e_gram"}


@dataclass(frozen=True)
class Drawn:
    """One split: activations ``[N, D]``, true codes ``[N, G]`` (float32, CPU) and the document of each row."""

    x_ND: Tensor
    code_NG: Tensor
    doc_N: Tensor


class WorldTrack(Track):
    """Measures dictionaries by the truth they find."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.device = pick_device(resources.options.device)
        self._drawn: dict[str, Drawn] = {}

    @cached_property
    def world(self) -> World:
        """The truth."""
        data = self.task.spec.data
        if not isinstance(data, WorldData):
            raise ValueError(f"specs let data from '{data.source}' through to track 'world'")
        return make_world(data)

    def split(self, name: str) -> Drawn:
        """Return one split, drawing it at the first call."""
        if name not in self._drawn:
            self._drawn[name] = self._draw(name)
        return self._drawn[name]

    def _draw(self, name: str) -> Drawn:
        documents, tokens = self.group.corpus.splits[name], self.task.spec.budget.context
        x, code = [], []
        for done, document in enumerate(documents, start=1):
            x_TD, code_TG = draw(self.world, document.id, tokens)
            x.append(torch.from_numpy(x_TD).float())
            code.append(torch.from_numpy(code_TG).float())
            self.resources.progress(f"drawing {name} activations", done, len(documents))
        return Drawn(torch.cat(x), torch.cat(code), torch.arange(len(documents)).repeat_interleave(tokens))

    @cached_property
    def truth(self) -> Truth:
        """What methods that need the truth are given."""
        splits = [self.split(name) for name in ("train", "val", "test")]
        return Truth(
            torch.from_numpy(self.world.direction_GD).float(),
            torch.from_numpy(self.world.offset_D).float(),
            torch.from_numpy(self.world.parent_G),
            torch.from_numpy(self.world.shared_G),
            torch.cat([split.x_ND for split in splits]),
            torch.cat([split.code_NG for split in splits]),
        )

    @cached_property
    def _train(self) -> Train:
        train, val = (self.split(name) for name in ("train", "val"))
        return Train(
            ArrayActivations(train.x_ND, train.doc_N),
            ArrayActivations(val.x_ND, val.doc_N),
            self.task.spec.budget.passes or 1,
            self.device,
            self.resources.progress,
            {"truth": self.truth},
        )

    def prepare(self) -> None:
        """Draw the activations that methods are fitted on."""
        self.train()

    def train(self) -> Train:
        """Return the activations of the train and validation splits, and the truth for methods that need it."""
        return self._train

    @property
    def width(self) -> int:
        """``D``, of the world."""
        return self.world.data.width

    @cached_property
    def _mean_D(self) -> Tensor:
        return self._train.x.mean()

    def _documents(self, unit: int) -> slice:
        each = max(UNIT_TOKENS // self.task.spec.budget.context, 1)
        return slice(unit * each, min((unit + 1) * each, len(self.group.corpus.splits["test"])))

    def units(self) -> tuple[str, ...]:
        """Return the identity of every range of test documents."""
        documents = self.group.corpus.splits["test"]
        each = self._documents(0).stop
        count = -(-len(documents) // each)
        names = [[document.id for document in documents[self._documents(unit)]] for unit in range(count)]
        return tuple(digest([self.group.corpus.fingerprint, ids]) for ids in names)

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Run every method on some test documents."""
        test, context, documents = self.split("test"), self.task.spec.budget.context, self._documents(unit)
        rows = slice(documents.start * context, documents.stop * context)
        part = Drawn(*(value[rows].to(self.device) for value in (test.x_ND, test.code_NG, test.doc_N)))
        # Like every index of clusters, on the CPU.
        clusters = Clusters(test.doc_N[rows])
        shared = energies(part.x_ND, self._mean_D, clusters)
        shared["active"] = clusters.sum((part.code_NG != 0).sum(1))
        shared["empty"] = clusters.sum((part.code_NG == 0).all(1))
        return each(
            methods, dictionary, self.task.spec.track, lambda _, method: {**shared, **self._one(method, part, clusters)}
        )

    def _one(self, method: Dictionary, part: Drawn, clusters: Clusters) -> Contribution:
        match = Match.of(abs_cosine(self.truth.direction_GD, method.directions().cpu()))
        coded, firing = Coded.of(method, part.x_ND.device), []
        for rows, z_NF in codes(method, part.x_ND, part.doc_N):
            coded.see(z_NF, part.doc_N[rows])
            coded.decode(method, z_NF, part.x_ND.shape[1])
            firing.append(match.supports(z_NF, part.code_NG[rows]))
        sums = {**coded.sums(self.task.spec.bars.get("l0")), **errors(part.x_ND, coded.xhat_ND)}
        sums |= {name: torch.cat([piece[name] for piece in firing]) for name in firing[0]}
        return {
            **match.parts(),
            "fires": coded.fires_F,
            "l0_hist": coded.l0_hist,
            "n_density": np.array([float(part.x_ND.shape[0])]),
            **{name: clusters.sum(value) for name, value in sums.items()},
        }

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add all units up; what directions alone decide is the same in each."""
        contributions = list(contributions)
        count = len(self.group.corpus.splits["test"])
        parts: dict[str, NDArray[np.float64]] = {}
        for name in sorted({name for c in contributions for name in c if not name.startswith("ids")}):
            if name in _ONCE:
                parts[name] = contributions[0][name]
            elif name in _COUNTS:
                parts[name] = add_counts(contributions, name)
            else:
                parts[name] = scatter(contributions, name, count)
        for vector, gram in _VECTORS.items():
            parts[gram] = parts[vector] @ parts[vector].T
        parts["n_density"] = parts["n_density"].reshape(())
        parts["width"] = np.array(float(self.world.data.width))
        keep = self.group.parts | {"n"}
        return Measured({name: value for name, value in parts.items() if name in keep}, self._details(parts))

    def _details(self, parts: Parts) -> dict[str, float]:
        """Return what is shown beside the metrics: tokens behind each number, how many true directions are active."""
        tokens = float(parts["n"].sum())
        return {
            "tokens": tokens,
            "density_tokens": tokens,
            "true_directions": float(len(self.world.parent_G)),
            "true_l0": float(parts["active"].sum() / tokens),
            "empty_tokens": float(parts["empty"].sum() / tokens),
            **l0_quantiles(parts["l0_hist"]),
        }

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say whether a contestant's L0 missed its target."""
        return unmatched(parts, self.task.spec.budget.l0) if contestant else []

    def model_device(self) -> str:
        """Return where methods run."""
        return str(self.device)

    def model_part(self) -> ModelPart | None:
        """Return None: there is no model."""
        return None

    def data_part(self) -> DataPart:
        """Describe the world and its splits."""
        corpus, context = self.group.corpus, self.task.spec.budget.context
        splits = {
            name: SplitPart(
                documents=len(documents), groups=len(documents), tokens=len(documents) * context, cut=0, left_out=0
            )
            for name, documents in corpus.splits.items()
        }
        return data_part(corpus, splits, len(corpus.splits["test"]))


TRACK = WorldTrack
