"""Track ``reasoning``: which latents follow a vocabulary, beyond chance and beyond tokens.

Units: one for every batch of test sequences (folded codes are kept as sparse rows), one that selects latents on the
validation split, and one for every rank that is tested by token injection. Everything else is computed from the kept
codes, in ``harness.tracks.outcome``, where the columns of the table of latents are described.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.api import Dictionary, Method, Train
from harness.data.planted import plain_texts
from harness.data.tokens import TokenBatch
from harness.errors import CellError
from harness.lm.filling import piece_ids
from harness.metrics.contract import Parts
from harness.specs.identity import digest
from harness.specs.reasoning import Reasoning
from harness.tracks.codes import Codes, encoded, width
from harness.tracks.coding import unmatched
from harness.tracks.contract import Group, Measured, Resources
from harness.tracks.foreign import dictionary, each
from harness.tracks.injection import inject, peaks
from harness.tracks.lexicon import Lexicon
from harness.tracks.marks import Text
from harness.tracks.outcome import outcome
from harness.tracks.selection import Selection, select
from harness.tracks.site_track import SiteTrack
from harness.tracks.sums import Contribution

# Sentences of a plain text: more tokens than any length that is asked for, under any tokenizer.
_SENTENCES = 40


class ReasoningTrack(SiteTrack):
    """Measures dictionaries by latents that follow a vocabulary."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.options = self.task.spec.reasoning or Reasoning()
        self._selected: dict[str, Selection] = {}

    def train(self) -> Train:
        """Return activations of the train and validation splits, reading them at the first call."""
        # A vocabulary file that does not fit is said before anything is read or fitted.
        _ = self.lexicon
        return super().train()

    @cached_property
    def _tests(self) -> tuple[str, ...]:
        return super().units()

    def units(self) -> tuple[str, ...]:
        """Return the identity of every test batch, of the selection, and of every rank that is injected."""
        after = digest([self.options.model_dump(mode="json"), *self._tests])
        ranks = (f"inject {rank} {after}" for rank in range(self.options.injection.latents))
        return (*self._tests, f"select {after}", *ranks)

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Encode one test batch, or select latents, or inject the top tokens of one selected latent of each method."""
        tests = len(self._tests)
        if unit < tests:
            return each(methods, dictionary, self.task.spec.track, self._encoder(self.site.test.batches[unit]))
        if unit == tests:
            return each(
                methods,
                dictionary,
                self.task.spec.track,
                lambda name, method: self._selection(name, method).contribution(),
            )
        plain_BTD = self._plain
        return each(
            methods,
            dictionary,
            self.task.spec.track,
            lambda name, method: self._inject(unit - tests - 1, name, method, plain_BTD),
        )

    def _encoder(self, batch: TokenBatch) -> Callable[[str, Dictionary], Contribution]:
        x_BTD = self.site.read(batch)
        batch = self.site.mask(batch, x_BTD)
        x_ND, doc_N = x_BTD[batch.keep_BT].float(), piece_ids(batch).to(x_BTD.device)
        keep = batch.keep_BT.numpy()
        return lambda _name, method: {**encoded(method, x_ND, doc_N), "keep": keep, **_sizes(method)}

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words in the test split, under the mask but before outliers leave it."""
        return Lexicon(self.options, self.site.model.tokenizer, Text.of(self.site.test.batches))

    def _selection(self, name: str, method: Dictionary) -> Selection:
        if name not in self._selected:
            if not self.lexicon.vocabularies[0]:
                self._selected[name] = Selection.nothing(self.options)
            else:
                pieces = [encoded(method, x, doc) for x, doc in self._val_rows()]
                codes = Codes(pieces, width(method), method.shared)
                share = self._val.ids_N.size / self.lexicon.test.ids_N.size
                self._selected[name] = select(self.lexicon.split(self._val, codes), self.options, min(share, 1.0))
        return self._selected[name]

    def _val_rows(self) -> list[tuple[Tensor, Tensor]]:
        train = self.train()
        return [(x.to(train.device), doc.to(train.device)) for x, doc in train.val.documents(8192)]

    @cached_property
    def _val(self) -> Text:
        batches = self.site.val.batches
        if self.task.fit.spec.mask.outliers == "keep":
            return Text.of(batches)
        inside_N = torch.cat([self.site.inside(x_ND) for x_ND, _ in self.site.val_all.documents(8192)])
        pieces = torch.split(inside_N, [int(batch.keep_BT.sum()) for batch in batches])
        return Text.of([_kept(batch, piece_N) for batch, piece_N in zip(batches, pieces, strict=True)])

    @cached_property
    def _plain_ids(self) -> Tensor:
        plan = self.options.injection
        texts = plain_texts(plan.texts, _SENTENCES, self.options.seed)
        return torch.tensor(self.site.model.tokenize(texts, plan.length).ids)

    @cached_property
    def _plain(self) -> Tensor:
        return self._read(self._plain_ids)

    def _read(self, ids_BT: Tensor) -> Tensor:
        layer = self.task.layer
        x_BTD = self.site.model.read(ids_BT, torch.ones_like(ids_BT), [layer])[layer]
        return x_BTD.float()

    def _inject(self, rank: int, name: str, method: Dictionary, plain_BTD: Tensor) -> Contribution:
        chosen, plan = self._selection(name, method), self.options.injection
        tokens = chosen.tokens_of(rank)
        if not tokens:
            return {"latent": np.array(-1), "plain": np.zeros(0), "injected": np.zeros((0, 0))}
        latent = int(chosen.tested[rank])
        injected = []
        for number, strategy in enumerate(plan.strategies):
            seed = (self.options.seed, 3, rank, number)
            ids_BT = inject(self._plain_ids, tokens, strategy, plan, seed)
            injected.append(peaks(method, self._read(ids_BT), latent))
        plain = peaks(method, plain_BTD, latent)
        return {"latent": np.array(latent), "plain": plain, "injected": np.stack(injected)}

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Score every latent on the test split, test it against shifts, and keep what metrics need of the selected."""
        tests = len(self._tests)
        first = contributions[0]
        batches = [_final(self.site.test.batches[i], contributions[i]["keep"]) for i in range(tests)]
        codes = Codes(_Head(contributions, tests), int(first["latents"]), int(first["shared"]))
        chosen = Selection.of(contributions[tests])
        injected = [contributions[i] for i in range(tests + 1, len(contributions))]
        test = self.lexicon.split(Text.of(batches), codes)
        tokenizer = self.site.model.tokenizer
        return outcome(
            test, chosen, injected, self.options, self.site.test.clusters, tokenizer.decode, self.resources.progress
        )

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what fell short, which words were dropped, and whether a contestant's L0 missed its target."""
        notes = list(self.site.notes())
        if self.lexicon.dropped:
            rare = ", ".join(f"{word} ({count})" for word, count in self.lexicon.dropped.items())
            notes.append(f"words left out, fewer than {self.options.min_occurrences} occurrences: {rare}")
        return [*notes, *(unmatched(parts, self.task.budget.l0) if contestant else [])]


class _Head(Sequence[Contribution]):
    """The first so many contributions, still read one at a time."""

    def __init__(self, whole: Sequence[Contribution], count: int) -> None:
        self._whole, self._count = whole, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Contribution:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._whole[index]


def _sizes(method: Dictionary) -> Contribution:
    return {"latents": np.array(width(method)), "shared": np.array(method.shared)}


def _kept(batch: TokenBatch, inside_N: Tensor) -> TokenBatch:
    keep_BT = batch.keep_BT.clone()
    keep_BT[batch.keep_BT] = inside_N.cpu()
    return replace(batch, keep_BT=keep_BT)


def _final(batch: TokenBatch, keep_BT: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> TokenBatch:
    return replace(batch, keep_BT=torch.from_numpy(keep_BT))


TRACK = ReasoningTrack
