"""What tracks of decoders share: the vocabulary of a task, what to fit on, and what the model itself predicts."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import torch
from torch import Tensor

from harness.api import Activations, Read, Targets, Train
from harness.data.tokens import Sequences, TokenBatch
from harness.lm.filling import piece_ids
from harness.lm.unembedding import Classes, ModelEnd, check_top
from harness.tracks.environment import Places, TextEnvironment
from harness.tracks.site import Site, Subset

# Rows projected onto the whole vocabulary at once.
POSITIONS = 512
# Numbers of the model's predictions that are kept in memory while methods are fitted; more are computed when asked for.
KEPT = 2**27


class Predictions:
    """A site together with the end of its model. Everything is computed at its first use and kept."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def last(self) -> int:
        """The last block, whose output the model's own predictions are made of."""
        return self.site.model.info.blocks - 1

    @property
    def size(self) -> int:
        """``V``; known before any text is read."""
        vocab, info = self.site.task.fit.spec.vocab, self.site.model.info
        if vocab is None:
            return info.vocab
        check_top(vocab.top, info.vocab, info.name)
        return vocab.top + 1

    @cached_property
    def classes(self) -> Classes:
        """The task's vocabulary, counted on the train split of the task that methods are fitted on."""
        vocab, tokens = self.site.task.fit.spec.vocab, self.site.model.info.vocab
        if vocab is None:
            return Classes(tokens, None)
        check_top(vocab.top, tokens, self.site.model.info.name)
        _, next_N = tokens_of(self.site.fit_sequences("train"))
        return Classes.most_frequent(tokens, vocab.top, next_N[next_N >= 0])

    @cached_property
    def unembedding(self) -> ModelEnd:
        """Final norm and unembedding, projected onto the task's vocabulary."""
        return ModelEnd(self.site.model, self.classes)

    def train(self) -> Train:
        """Return what decoders are fitted on: activations and what follows them, from one pass through the model."""
        blocks = sorted({self.site.task.layer, self.last})
        final = {split: self.site.activations(split, blocks)[self.last] for split in ("train", "val")}
        train = self.site.train()
        extra = {
            "unembedding": self.unembedding,
            "targets": self._targets("train", train.x, final["train"], train.device),
            "val_targets": self._targets("val", train.val, final["val"], train.device),
            "environment": TextEnvironment(self.unembedding, self.site.task.layer, lambda: self._places(train.x)),
        }
        return dataclasses.replace(train, extra=extra)

    def _places(self, x: Activations) -> Places:
        return Places.of(self.site.fit_sequences("train"), x.index_N if isinstance(x, Subset) else None)

    def _targets(self, split: str, x: Activations, final: Activations, device: torch.device) -> Targets:
        id_N, next_N = tokens_of(self.site.fit_sequences(split))
        if isinstance(x, Subset):
            id_N, next_N, final = id_N[x.index_N], next_N[x.index_N], Subset(final, x.index_N)
        return Targets(id_N, self.classes.of(next_N), _Teacher(final, self.unembedding, device))

    def read(self, batch: TokenBatch) -> tuple[TokenBatch, Read, Tensor]:
        """Run the model once on a batch: the batch under the task's mask, what decoders read, the last block's rows."""
        layer = self.site.task.layer
        found = self.site.model.read(batch.ids_BT, batch.mask_BT, {layer, self.last})
        batch = self.site.mask(batch, found[layer])
        x_ND = found[layer][batch.keep_BT].float()
        doc_N = piece_ids(batch).to(x_ND.device)
        read = Read(x_ND, batch.ids_BT[batch.keep_BT], doc_N, self.unembedding)
        return batch, read, found[self.last][batch.keep_BT].float()

    def gold(self, batch: TokenBatch) -> Tensor:
        """Return the class of the text's next token at every kept position of a batch, int64 ``[N]``; -1 where none."""
        return self.classes.of(_next(batch)[batch.keep_BT])


class _Teacher:
    """The model's own log-probabilities by row; kept where they are few."""

    def __init__(self, final: Activations, end: ModelEnd, device: torch.device) -> None:
        self._final, self._end, self._device = final, end, device

    @torch.no_grad()
    def __call__(self, index_N: Tensor) -> Tensor:
        """Return float32 ``[n, V]``."""
        if len(self._final) * self._end.classes <= KEPT:
            return self._all[index_N].to(self._device)
        return self._compute(index_N).to(self._device)

    def _compute(self, index_N: Tensor) -> Tensor:
        pieces = [self._end.logp(self._final.take(part_n)) for part_n in torch.split(index_N, POSITIONS)]
        return torch.cat(pieces)

    @cached_property
    def _all(self) -> Tensor:
        return self._compute(torch.arange(len(self._final)))


def tokens_of(sequences: Sequences) -> tuple[Tensor, Tensor]:
    """Return the id of every kept token and of the one after it, int64 ``[N]``; -1 where no text goes on."""
    ids, following = [], []
    for batch in sequences.batches:
        ids.append(batch.ids_BT[batch.keep_BT])
        following.append(_next(batch)[batch.keep_BT])
    return torch.cat(ids), torch.cat(following)


def _next(batch: TokenBatch) -> Tensor:
    return torch.where(batch.target_BT, torch.roll(batch.ids_BT, -1, dims=1), -1)
