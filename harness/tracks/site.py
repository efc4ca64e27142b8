"""One block of one model on one task's documents: what to fit on, what to measure on, and its description."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from functools import cached_property

import torch
from torch import Tensor

from harness.api import Activations, Train
from harness.data.rows import Corpus
from harness.data.tokens import Sequences, TokenBatch, TokenBudget, tokenize
from harness.errors import UserError
from harness.lm.blocks import device_of
from harness.lm.filling import fill
from harness.lm.model import LanguageModel
from harness.specs.identity import activation_key
from harness.specs.record import DataPart, ModelPart
from harness.tracks.contract import Group, Resources
from harness.tracks.describing import data_part, model_part
from harness.tracks.steps import Stepper

# A token of more than this many median norms is an outlier.
OUTLIER = 10.0


class Site:
    """Reads activations at the task's block; everything is computed at its first use and kept."""

    def __init__(self, group: Group, resources: Resources) -> None:
        self.group = group
        self.task = group.task
        self.resources = resources

    @cached_property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.resources.model(self.task.model)

    @cached_property
    def test(self) -> Sequences:
        """The test sequences in their tiers."""
        budget = self.task.spec.budget
        tiers = (budget.splice_tokens, budget.test_tokens, budget.density_tokens)
        return self._sequences(self.group.corpus, "test", tiers)

    def _sequences(self, corpus: Corpus, split: str, tiers: tuple[int | None, int | None, int | None]) -> Sequences:
        spec = (self.task if split == "test" else self.task.fit).spec
        plan = TokenBudget(tiers, spec.budget.context, spec.budget.packing, spec.mask.first == "keep")
        return tokenize(self.model, corpus.splits[split], plan, self.resources.batch_tokens)

    def fit_sequences(self, split: str) -> Sequences:
        """The sequences of the train or validation split, whose kept tokens are the rows of its activations."""
        budget = self.task.fit.spec.budget
        tokens = {"train": budget.train_tokens, "val": budget.val_tokens}[split]
        return self._sequences(self.group.fit_corpus, split, (None, tokens, None))

    def activations(self, split: str, blocks: Collection[int]) -> dict[int, Activations]:
        """Return activations of the train or validation split at several blocks, outliers included, from one pass."""
        sequences = self.fit_sequences(split)
        key = activation_key(self.task.fit, self.group.origin, split)
        folders = {block: self.resources.cache / "activations" / key / f"block-{block}" for block in blocks}
        label = f"reading {split} activations"
        return fill(self.model, sequences.batches, folders, self.resources.progress, label)

    @cached_property
    def train_all(self) -> Activations:
        """Activations of the train split, outliers included."""
        return self.activations("train", [self.task.layer])[self.task.layer]

    @cached_property
    def val(self) -> Sequences:
        """The validation sequences, whose kept tokens are the rows of ``val_all``."""
        return self.fit_sequences("val")

    @cached_property
    def val_all(self) -> Activations:
        """Activations of the validation split, outliers included."""
        return self.activations("val", [self.task.layer])[self.task.layer]

    def train(self) -> Train:
        """Return the train and validation activations under the task's mask."""
        return Train(
            self._in_units("train", self.train_all),
            self._in_units("val", self.val_all),
            self.task.fit.spec.budget.passes or 1,
            device_of(self.model.blocks[self.task.layer], self.model.device),
            self.resources.progress,
        )

    @cached_property
    def _stepper(self) -> Stepper | None:
        ending = self.task.spec.step
        return Stepper(self.model, ending) if ending else None

    def _in_units(self, split: str, activations: Activations) -> Activations:
        """Return a split's activations as methods meet them: of tokens under the mask, or of steps."""
        if self._stepper is None:
            return self._inliers(activations)
        return self._stepper.activations(activations, self.fit_sequences(split).batches)

    def in_units(self, batch: TokenBatch, x_BTD: Tensor) -> tuple[TokenBatch, Tensor]:
        """Return what methods meet of a batch: its tokens under the mask, or its steps."""
        return self._stepper.pool(batch, x_BTD) if self._stepper else (self.mask(batch, x_BTD), x_BTD)

    def _inliers(self, activations: Activations) -> Activations:
        if self.task.fit.spec.mask.outliers == "keep":
            return activations
        norm_N = torch.cat([x_ND.norm(dim=1) for x_ND, _ in activations.documents(8192)])
        return Subset(activations, torch.nonzero(norm_N <= self.norm_limit).flatten())

    @cached_property
    def norm_limit(self) -> float:
        """Norm above which a token is an outlier, from the train split."""
        norm_N = torch.cat([x_ND.norm(dim=1) for x_ND, _ in self.train_all.documents(8192)])
        return OUTLIER * float(norm_N.median())

    @cached_property
    def mean_D(self) -> Tensor:
        """Mean activation of the train split, float32 ``[D]``."""
        return self._in_units("train", self.train_all).mean()

    def read(self, batch: TokenBatch) -> Tensor:
        """Return the activations ``[B, T, D]`` of a batch."""
        return self.model.read(batch.ids_BT, batch.mask_BT, [self.task.layer])[self.task.layer]

    def mask(self, batch: TokenBatch, x_BTD: Tensor) -> TokenBatch:
        """Return the batch with outliers left out where the task's mask says so."""
        if self.task.spec.mask.outliers == "keep":
            return batch
        keep_BT = batch.keep_BT & (x_BTD.float().norm(dim=2) <= self.norm_limit).cpu()
        return dataclasses.replace(batch, keep_BT=keep_BT, target_BT=batch.target_BT & keep_BT)

    def inside(self, x_ND: Tensor) -> Tensor:
        """Return which tokens are not outliers, bool ``[N]``."""
        inside_N: Tensor = x_ND.norm(dim=1) <= self.norm_limit
        return inside_N

    def notes(self) -> list[str]:
        """Return what a reader should know of the documents: budgets missed, clusters merged, mirrors absent."""
        return [*self.test.notes, *self.group.corpus.warnings]

    def model_part(self) -> ModelPart:
        """Describe the model and the site."""
        return model_part(self.model.info, self.task.layer, self.task.site.at)

    def data_part(self) -> DataPart:
        """Describe the documents."""
        splits = {"test": self.test.part} | {split: self.fit_sequences(split).part for split in ("train", "val")}
        return data_part(self.group.corpus, splits, self.test.clusters, self.task.spec.mask.model_dump())


class Subset(Activations):
    """Some rows of other activations, in their order."""

    def __init__(self, base: Activations, index_N: Tensor) -> None:
        if index_N.numel() == 0:
            raise UserError("the mask leaves no token")
        self._base, self._index_N = base, index_N

    @property
    def index_N(self) -> Tensor:
        """int64 ``[N]``: the rows of the other activations."""
        return self._index_N

    @property
    def doc_N(self) -> Tensor:
        """int64 ``[N]``."""
        return self._base.doc_N[self._index_N]

    @property
    def width(self) -> int:
        """``D``."""
        return self._base.width

    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N`` of the subset."""
        return self._base.take(self._index_N[index_N])
