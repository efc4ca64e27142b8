"""Where the control of a reward is run: on a language model's next tokens, or where the best policy is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from harness.api import ArrayActivations, Read, Targets, Train, Unembedding
from harness.data.bandits import make_bandit
from harness.lm.loading import pick_device
from harness.specs.identity import digest
from harness.specs.record import DataPart, ModelPart, SplitPart
from harness.specs.worlds import BanditData
from harness.tracks.contract import Group, Resources
from harness.tracks.describing import data_part
from harness.tracks.next_tokens import KEPT, Predictions
from harness.tracks.predicted import part_of
from harness.tracks.site import Site
from harness.tracks.sums import whole_documents

# Arrays of the size of the predictions that are held at once, where documents are run together.
_ARRAYS = 4


@dataclass(frozen=True)
class Held:
    """Some held-out tokens: what decoders read, the model's own log-probabilities ``[N, V]``, the clusters."""

    read: Read
    logp_NV: Tensor
    cluster_N: Tensor


class Ground(ABC):
    """States to learn from, and held-out states to be measured on."""

    width: int
    vocabulary: int
    clusters: int

    @abstractmethod
    def train(self) -> Train:
        """Return what methods are fitted on."""

    @abstractmethod
    def held_out(self) -> Iterator[Held]:
        """Yield every held-out state, documents whole."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Changes whenever a held-out state does."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Return what a reader should know of the data."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Where decoders run."""

    @abstractmethod
    def model_part(self) -> ModelPart | None:
        """Describe the model and the site; None where no language model runs."""

    @abstractmethod
    def data_part(self) -> DataPart:
        """Describe the data."""


class TextGround(Ground):
    """The next tokens of a language model."""

    def __init__(self, group: Group, resources: Resources) -> None:
        self.site = Site(group, resources)
        self.predictions = Predictions(self.site)

    @property
    def width(self) -> int:  # type: ignore[override]
        """``D``, of the model."""
        return self.site.model.info.width

    @property
    def vocabulary(self) -> int:  # type: ignore[override]
        """``V``."""
        return self.predictions.size

    @property
    def clusters(self) -> int:  # type: ignore[override]
        """Of the test split."""
        return self.site.test.clusters

    @cached_property
    def _train(self) -> Train:
        return self.predictions.train()

    def train(self) -> Train:
        """Return activations and what follows them, from one pass through the model."""
        return self._train

    def held_out(self) -> Iterator[Held]:
        """Yield the test tokens; the model runs on them once, and its predictions are kept where they are few."""
        for read, last_ND, cluster_N, logp_NV in self._read:
            for rows in whole_documents(read.doc_N, _ARRAYS * self.vocabulary):
                own_NV = self.predictions.unembedding.logp(last_ND[rows]) if logp_NV is None else logp_NV[rows]
                yield Held(part_of(read, rows), own_NV, cluster_N[rows])

    @cached_property
    @torch.no_grad()
    def _read(self) -> list[tuple[Read, Tensor, Tensor, Tensor | None]]:
        found: list[tuple[Read, Tensor, Tensor, Tensor | None]] = []
        tokens = sum(int(batch.keep_BT.sum()) for batch in self.site.test.batches)
        for done, given in enumerate(self.site.test.batches, start=1):
            batch, read, last_ND = self.predictions.read(given)
            few = tokens * self.vocabulary <= KEPT
            logp_NV = self.predictions.unembedding.logp(last_ND) if few else None
            found.append((read, last_ND, batch.cluster_BT[batch.keep_BT], logp_NV))
            self.site.resources.progress("reading test activations", done, len(self.site.test.batches))
        return found

    @property
    def identity(self) -> str:
        """Of all test batches."""
        return digest([batch.identity for batch in self.site.test.batches])

    def notes(self) -> list[str]:
        """Say what fell short of the budget."""
        return self.site.notes()

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self.site.model.info.device

    def model_part(self) -> ModelPart:
        """Describe the model and the site."""
        return self.site.model_part()

    def data_part(self) -> DataPart:
        """Describe the documents that were measured."""
        return self.site.data_part()


class BanditGround(Ground):
    """States with a known best policy. A decoder sees a unit vector, and finds the start in the unembedding's place."""

    def __init__(self, group: Group, resources: Resources, data: BanditData) -> None:
        self.group, self.resources = group, resources
        self._device = pick_device(resources.options.device)
        self.width, self.vocabulary = data.states, data.actions
        self.clusters = len(group.corpus.splits["test"])
        bandit = make_bandit(data)
        self.target_SA = torch.from_numpy(bandit.target_SA).float().to(self._device)
        self.end = _Start(torch.from_numpy(bandit.start_SA).float().to(self._device))

    @cached_property
    def _train(self) -> Train:
        state_S = torch.arange(self.width)
        x = ArrayActivations(torch.eye(self.width), state_S)
        targets = Targets(state_S, self.target_SA.argmax(1).cpu(), lambda rows: self.target_SA[rows.to(self._device)])
        extra = {"unembedding": self.end, "targets": targets, "val_targets": targets}
        return Train(x, x, 1, self._device, self.resources.progress, extra)

    def train(self) -> Train:
        """Return every state."""
        return self._train

    def held_out(self) -> Iterator[Held]:
        """Yield the states: what is asked is the policy in each, not what is made of new ones."""
        state_S = torch.arange(self.clusters)
        x_SD = torch.eye(self.width)[state_S].to(self._device)
        yield Held(Read(x_SD, state_S, state_S.to(self._device), self.end), self.target_SA[: self.clusters], state_S)

    @property
    def identity(self) -> str:
        """Of what was drawn."""
        return digest([self.group.corpus.fingerprint, self.clusters])

    def notes(self) -> list[str]:
        """Return nothing."""
        return []

    @property
    def device(self) -> str:
        """Where methods run."""
        return str(self._device)

    def model_part(self) -> None:
        """Return None: there is no model."""

    def data_part(self) -> DataPart:
        """Describe the states."""
        corpus = self.group.corpus
        splits = {
            name: SplitPart(documents=len(found), groups=len(found), tokens=len(found), cut=0, left_out=0)
            for name, found in corpus.splits.items()
        }
        return data_part(corpus, splits, self.clusters)


class _Start(Unembedding):
    """What a decoder starts from: log-probabilities ``[S, A]`` by state."""

    def __init__(self, start_SA: Tensor) -> None:
        self._start_SA = start_SA

    @property
    def classes(self) -> int:
        """``A``."""
        return int(self._start_SA.shape[1])

    def logp(self, x_ND: Tensor) -> Tensor:
        """Return the start's log-probabilities in the states whose unit vectors ``x_ND`` holds."""
        return torch.log_softmax(x_ND.to(self._start_SA.device) @ self._start_SA, dim=1)


def make_ground(group: Group, resources: Resources) -> Ground:
    """Return where a task's control is run."""
    data = group.task.spec.data
    return BanditGround(group, resources, data) if isinstance(data, BanditData) else TextGround(group, resources)
