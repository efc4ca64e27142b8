"""Reads answers: activations at named positions of several blocks, and what the model thinks of the answer's tokens.

The model runs once over each answer, whatever the number of probes; what it gave is kept by fingerprint, batch by
batch, so that a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from harness.api import CONFIDENCE, Answers
from harness.data.rows import fingerprint
from harness.data.splits import Document
from harness.errors import UserError
from harness.lm.model import LanguageModel
from harness.specs.answers import Positions
from harness.specs.identity import digest
from harness.store.files import write_bytes
from harness.tracks.contract import Group, Resources
from harness.tracks.generated import Answered, Answerer

# Rows projected onto the vocabulary at once.
ROWS = 256


@dataclass(frozen=True)
class Tokens:
    """Token ids of one problem and answer: ``start`` is the answer's first, ``at`` are the positions read."""

    document: int
    ids: tuple[int, ...]
    start: int
    at: tuple[int, ...]


@dataclass(frozen=True)
class Taken:
    """The answers that are measured, in the order of the corpus, and how many were not.

    Attributes:
        short: answers with fewer tokens, inside the context, than there are positions.
        unlabelled: answers whose label is empty.
        cut: answers that lost tokens to the context length.
        left_out: documents beyond the budget.
    """

    sequences: tuple[Tokens, ...]
    short: int
    unlabelled: int
    cut: int
    left_out: int

    @property
    def tokens(self) -> int:
        """Tokens the model reads."""
        return sum(len(sequence.ids) for sequence in self.sequences)


class AnswerReader:
    """Reads the test answers of one group at the task's blocks; everything is computed at its first use and kept."""

    def __init__(self, group: Group, resources: Resources) -> None:
        self.group, self.task, self.resources = group, group.task, resources
        if self.task.spec.answers is None:
            raise ValueError("specs let a task without 'answers' through")
        self.spec = self.task.spec.answers

    @cached_property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.resources.model(self.task.model)

    @cached_property
    def answered(self) -> Answered:
        """The answers of the test problems: those that came with them, or those the model writes."""
        if self.spec.generated is None:
            return Answered(self.group.corpus.splits["test"], {}, ())
        return Answerer(self.group, self.resources, self.model).answered()

    @property
    def documents(self) -> Sequence[Document]:
        """The answers, with the problems before them."""
        return self.answered.documents

    @cached_property
    def taken(self) -> Taken:
        """The answers of the budget, tokenized."""
        budget = self.task.budget
        sequences: list[Tokens] = []
        tokens = short = unlabelled = cut = seen = 0
        for number, document in enumerate(self.documents):
            if budget.test_tokens is not None and tokens >= budget.test_tokens:
                break
            seen += 1
            ids, start = self._ids(document)
            cut += len(ids) > budget.context
            ids = ids[: budget.context]
            at = places(start, len(ids), self.spec.positions)
            short += at is None
            unlabelled += not document.label
            if at is None or not document.label:
                continue
            sequences.append(Tokens(number, tuple(ids), start, at))
            tokens += len(ids)
        if not sequences:
            longer = f"; {cut} reach beyond the context, see 'budget.context'" if cut else ""
            raise UserError(
                f"task '{self.task.spec.task}': no labelled answer has the {len(self.spec.positions.names)} positions "
                f"that are read within {self.task.budget.context} tokens; of {seen}, {short} are too short and "
                f"{unlabelled} have an empty label{longer}."
            )
        return Taken(tuple(sequences), short, unlabelled, cut, len(self.documents) - seen)

    def _ids(self, document: Document) -> tuple[list[int], int]:
        # Apart, so that the answer starts at a token of its own.
        tokenizer = self.model.tokenizer
        before = tokenizer(document.text, verbose=False)["input_ids"]
        after = tokenizer(document.answer or "", add_special_tokens=False, verbose=False)["input_ids"]
        return [*before, *after], len(before)

    @cached_property
    def key(self) -> str:
        """Everything that decides what is read."""
        asked = [self.task.blocks, self.spec.positions.model_dump(), self.task.budget.context]
        # Of generated answers the corpus holds the problems alone.
        texts = [fingerprint({"test": self.answered.documents})] if self.spec.generated else []
        return digest([asdict(self.group.origin), self.group.corpus.fingerprint, asked, self._batches, *texts])

    @cached_property
    def _batches(self) -> list[list[int]]:
        """Rows of ``taken`` by batch: of similar length, longest first, so that what does not fit shows at once."""
        lengths = [len(sequence.ids) for sequence in self.taken.sequences]
        batches: list[list[int]] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            first = batches[-1][0] if batches else None
            if first is not None and (len(batches[-1]) + 1) * lengths[first] <= self.resources.batch_tokens:
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches

    @cached_property
    def answers(self) -> Answers:
        """Every answer that is measured, in the order of ``taken``."""
        read = [self._batch(index) for index in range(len(self._batches))]
        order = np.argsort([row for batch in self._batches for row in batch])
        documents = [self.documents[sequence.document] for sequence in self.taken.sequences]
        return Answers(
            prompt=tuple(d.text for d in documents),
            answer=tuple(d.answer or "" for d in documents),
            author=tuple(d.domain for d in documents),
            activation_nLPD=torch.cat([x for x, _ in read]).numpy()[order],
            confidence_nK=torch.cat([c for _, c in read]).double().numpy()[order],
            blocks=self.task.blocks,
            positions=self.spec.positions.names,
        )

    def _batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Return activations ``[b, L, P, D]`` and confidence ``[b, K]`` of one batch, from disk where they are."""
        rows = self._batches[index]
        path = self.resources.cache / "answers" / self.key / f"{index:05d}.safetensors"
        found = _load(path, len(rows))
        if found is None:
            found = self._read([self.taken.sequences[row] for row in rows])
            write_bytes(path, save({"x": found[0], "thought": found[1]}))
        self.resources.progress("reading answers", index + 1, len(self._batches))
        return found

    @torch.no_grad()
    def _read(self, sequences: list[Tokens]) -> tuple[Tensor, Tensor]:
        ids_BT, mask_BT = padded(sequences, self.model)
        blocks = self.task.blocks
        found = self.model.read(ids_BT, mask_BT, blocks)
        at_BP = torch.tensor([sequence.at for sequence in sequences])
        row_B1 = torch.arange(len(sequences))[:, None]
        x_BLPD = torch.stack([found[block].cpu()[row_B1, at_BP].float() for block in blocks], 1)
        last = max(blocks)
        final_BTD = self.model.resume(ids_BT, mask_BT, last, found[last])
        confidence = [self._confidence(final_BTD[row], sequence) for row, sequence in enumerate(sequences)]
        return x_BLPD.contiguous(), torch.stack(confidence)

    def _confidence(self, final_TD: Tensor, sequence: Tokens) -> Tensor:
        """Return the columns of ``CONFIDENCE`` over the tokens of the answer."""
        before = range(sequence.start - 1, len(sequence.ids) - 1)
        pieces = []
        for start in range(before.start, before.stop, ROWS):
            stop = min(start + ROWS, before.stop)
            logp_NV = self.model.logits(final_TD[start:stop]).log_softmax(-1)
            target_N = torch.tensor(sequence.ids[start + 1 : stop + 1], device=logp_NV.device)
            own_N = logp_NV.gather(1, target_N[:, None])[:, 0]
            entropy_N = -(logp_NV.exp() * logp_NV).nan_to_num(0.0).sum(1)
            pieces.append(torch.stack([own_N, entropy_N, logp_NV.amax(1).exp()], 1).double().cpu())
        own_N, entropy_N, largest_N = torch.cat(pieces).T
        found = torch.stack([own_N.mean(), own_N.min(), entropy_N.mean(), largest_N.mean()])
        if len(found) != len(CONFIDENCE):
            raise ValueError("one number for each name of CONFIDENCE")
        return found


def places(start: int, length: int, positions: Positions) -> tuple[int, ...] | None:
    """Return the index of every position in ``length`` tokens of which the answer starts at ``start``.

    None where the answer has too few tokens for its positions to differ, or nothing stands before it.
    """
    answer = length - start
    if start < 1 or answer < max(positions.first, positions.even, 1):
        return None
    first = tuple(start + i for i in range(positions.first))
    even = tuple(start + round((i + 1) * answer / positions.even) - 1 for i in range(positions.even))
    return ((start - 1,) if positions.prompt else ()) + first + even


def padded(sequences: Sequence[Tokens], model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Return ids and mask of some answers, ``[B, T]``, filled up on the right."""
    pad = next((id for id in (model.pad_id, model.eos_id) if id is not None), 0)
    ids = [torch.tensor(sequence.ids) for sequence in sequences]
    ids_BT = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=pad)
    length_B = torch.tensor([len(one) for one in ids])
    return ids_BT, torch.arange(ids_BT.shape[1]) < length_B[:, None]


def _load(path: Path, rows: int) -> tuple[Tensor, Tensor] | None:
    try:
        held = load_file(path)
    except (OSError, SafetensorError):
        return None
    whole = {"x", "thought"} <= held.keys() and len(held["x"]) == len(held["thought"]) == rows
    return (held["x"], held["thought"]) if whole else None
