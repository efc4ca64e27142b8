"""Documents become token batches: tokenized up to a budget, tiered, masked, bucketed by length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from harness.data.batches import NONE, Batches, TokenBatch
from harness.data.splits import Document
from harness.data.windows import Shape, TextModel, Window, windows
from harness.errors import UserError
from harness.specs.record import SplitPart

__all__ = ["Sequences", "TokenBatch", "TokenBudget", "tokenize"]

# The measured splits hold one Gram matrix [C, C] per metric, so the number of clusters is bounded.
MAX_CLUSTERS = 1000
SPLICE, MEASURE, DENSITY = 0, 1, 2


@dataclass(frozen=True)
class TokenBudget:
    """What is cut from the documents of one split.

    Attributes:
        tiers: counted tokens to reach for splicing, for measuring and for density, each within the next; None for a
            tier that is not asked for. Train and validation ask for the middle one alone.
        context: tokens per sequence at most.
        packing: ``truncate`` or ``pack``, as in a task's budget.
        keep_first: whether position 0 counts.
    """

    tiers: tuple[int | None, int | None, int | None]
    context: int
    packing: Literal["truncate", "pack"] = "truncate"
    keep_first: bool = False

    def __post_init__(self) -> None:
        splice, measure, density = self.tiers
        if measure is None:
            raise ValueError("a token budget needs its middle tier")
        if splice is not None and splice > measure:
            raise UserError(f"budget: splice_tokens ({splice}) must be at most test_tokens ({measure}).")
        if density is not None and density < measure:
            raise UserError(f"budget: density_tokens ({density}) must be at least test_tokens ({measure}).")

    @property
    def ends(self) -> tuple[int, int, int]:
        """Counted tokens at which each tier ends."""
        splice, measure, density = self.tiers
        return (splice or 0, measure or 0, density or measure or 0)


@dataclass(frozen=True)
class Sequences:
    """The token sequences of one split.

    Attributes:
        batches: every sequence once, tier by tier, the longest first within a tier; made as they are asked for.
        part: what the split came to, all tiers together.
        clusters: number of clusters among the measured tokens: one per group, or blocks of neighbouring groups.
        groups: number of groups among the measured tokens.
        tokens: counted tokens up to each tier, as ``TokenBudget.ends``.
        notes: sentences about what fell short or was merged.
    """

    batches: Sequence[TokenBatch]
    part: SplitPart
    clusters: int
    groups: int
    tokens: tuple[int, int, int]
    notes: tuple[str, ...]


def tokenize(model: TextModel, documents: Sequence[Document], budget: TokenBudget, batch_tokens: int) -> Sequences:
    """Tokenize documents in order until the budget is reached, in whole sequences.

    Args:
        model: the language model, or anything that tokenizes like it.
        documents: one split, in the order of the corpus.
        budget: tokens per tier and how sequences are made.
        batch_tokens: positions per batch at most, padding included (one sequence at least); decides how sequences are
            put together and nothing else.

    Raises:
        UserError: no token counts, or the model cannot read so long a context.
    """
    taken, tiers, tokens = _take(model, documents, budget)
    if not taken:
        raise UserError(f"no token counts: {len(documents)} documents give none that the mask keeps.")
    clusters = _Clusters(taken, tiers, documents)
    pad = next((id for id in (model.pad_id, model.eos_id) if id is not None), 0)
    batches = Batches(taken, tiers, clusters.of_document, batch_tokens, pad)
    part = _part(taken, documents)
    notes = (*_short(tokens, budget), *clusters.notes)
    return Sequences(batches, part, clusters.count, clusters.groups, tokens, notes)


def _take(
    model: TextModel, documents: Sequence[Document], budget: TokenBudget
) -> tuple[list[Window], list[int], tuple[int, int, int]]:
    taken: list[Window] = []
    tiers: list[int] = []
    reached, total = [0, 0, 0], 0
    for window in windows(model, documents, Shape(budget.context, budget.packing, budget.keep_first)):
        tier = next(tier for tier, end in enumerate(budget.ends) if total < end)
        total += int(window.keep_T.sum())
        taken.append(window)
        tiers.append(tier)
        reached[tier:] = [total] * (3 - tier)
        if total >= budget.ends[DENSITY]:
            break
    return taken, tiers, (reached[0], reached[1], reached[2])


def _part(taken: list[Window], documents: Sequence[Document]) -> SplitPart:
    used = {doc for window in taken for doc in window.documents()}
    return SplitPart(
        documents=len(used),
        groups=len({documents[doc].group for doc in used}),
        tokens=sum(int(window.keep_T.sum()) for window in taken),
        cut=len({window.cut for window in taken} & used),
        left_out=len(documents) - len(used),
    )


def _short(tokens: tuple[int, int, int], budget: TokenBudget) -> list[str]:
    """Say which of the tiers that were asked for fell short."""
    tiers = zip((" for splicing", " for measuring", " for density"), budget.tiers, tokens, strict=True)
    asked = [(purpose, wanted, got) for purpose, wanted, got in tiers if wanted is not None]
    return [
        f"the documents gave {got} tokens{purpose if len(asked) > 1 else ''}, {wanted} were asked for"
        for purpose, wanted, got in asked
        if got < wanted
    ]


class _Clusters:
    """Groups of the measured tokens, numbered as they appear and merged into blocks where there are too many."""

    def __init__(self, taken: list[Window], tiers: list[int], documents: Sequence[Document]) -> None:
        number: dict[str, int] = {}
        for window, tier in zip(taken, tiers, strict=True):
            if tier <= MEASURE:
                for doc in window.documents():
                    number.setdefault(documents[doc].group, len(number))
        self.groups = len(number)
        self.count = min(self.groups, MAX_CLUSTERS)
        block = {group: i * self.count // self.groups for group, i in number.items()}
        self.of_document = torch.tensor([block.get(d.group, NONE) for d in documents])
        merged = f"{self.groups} groups were merged into {self.count} clusters of neighbours"
        self.notes = [merged] if self.groups > self.count else []
