"""What edits at positions of an answer do to its log-probability, under the model itself: 2 + S passes for S edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.lm.edits import added, edited
from harness.lm.model import LanguageModel
from harness.tracks.answer_reader import ROWS, AnswerReader, Tokens, padded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Edits:
    """Edits of some answers at one block.

    Attributes:
        block: the block, from 0.
        used: numbers of the positions that are edited.
        delta_SmPD: float32; what each of ``S`` edits adds to the activations of each answer, 0 at positions not used.
    """

    block: int
    used: tuple[int, ...]
    delta_SmPD: NDArray[np.float32]


def changes(reader: AnswerReader, rows: Ints, edits: Edits) -> Floats:
    """Return the change of each answer's mean log-probability per token under each edit, nats ``[m, S]``.

    Of the tokens of the answer after the first position that is edited. The answers are rows of ``reader.taken``.
    """
    model, sequences = reader.model, reader.taken.sequences
    found_mS = np.zeros((len(rows), len(edits.delta_SmPD)))
    batches = _batches([len(sequences[row].ids) for row in rows], reader.resources.batch_tokens)
    for done, batch in enumerate(batches):
        some = [sequences[row] for row in rows[batch]]
        found_mS[batch] = _changed(model, some, replace(edits, delta_SmPD=edits.delta_SmPD[:, batch]))
        reader.resources.progress("ablating features", done + 1, len(batches))
    return found_mS


def _batches(lengths: Sequence[int], tokens: int) -> list[Ints]:
    """Return items by batch: of similar length, at most ``tokens`` with padding, one at least."""
    batches: list[list[int]] = []
    for item in np.argsort(lengths)[::-1].tolist():
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(item)
        else:
            batches.append([item])
    return [np.array(batch) for batch in batches]


@torch.no_grad()
def _changed(model: LanguageModel, sequences: Sequence[Tokens], edits: Edits) -> Floats:
    ids_BT, mask_BT = padded(sequences, model)
    at_Bu = torch.tensor([[sequence.at[p] for p in edits.used] for sequence in sequences])
    start_B = torch.maximum(at_Bu.amin(1) + 1, torch.tensor([sequence.start for sequence in sequences]))
    scored_BT = mask_BT & (torch.arange(ids_BT.shape[1]) >= start_B[:, None])
    x_BTD = model.read(ids_BT, mask_BT, [edits.block])[edits.block]
    clean_B = _likelihood(model, model.resume(ids_BT, mask_BT, edits.block, x_BTD), ids_BT, scored_BT)
    found = []
    for delta_BuD in torch.from_numpy(edits.delta_SmPD[:, :, list(edits.used)]):
        delta_BTD = torch.zeros(x_BTD.shape)
        delta_BTD[torch.arange(len(sequences))[:, None], at_Bu] = delta_BuD
        with edited(model, {edits.block: added(delta_BTD)}):
            final_BTD = model.resume(ids_BT, mask_BT, edits.block, x_BTD)
        found.append(_likelihood(model, final_BTD, ids_BT, scored_BT) - clean_B)
    return np.stack(found, 1)


def _likelihood(model: LanguageModel, final_BTD: Tensor, ids_BT: Tensor, scored_BT: Tensor) -> Floats:
    """Return the mean log-probability of the scored tokens of each row, given what stands before each, nats ``[B]``."""
    row_N, at_N = scored_BT.nonzero(as_tuple=True)
    total_B = torch.zeros(len(ids_BT), dtype=torch.float64)
    for start in range(0, len(row_N), ROWS):
        row, at = row_N[start : start + ROWS], at_N[start : start + ROWS]
        logits_NV = model.logits(final_BTD[row, at - 1])
        own_N = logits_NV.gather(1, ids_BT[row, at].to(logits_NV.device)[:, None])[:, 0] - logits_NV.logsumexp(1)
        total_B.index_add_(0, row, own_N.double().cpu())
    mean_B: Floats = (total_B / scored_BT.sum(1).clamp(min=1)).numpy()
    return mean_B
