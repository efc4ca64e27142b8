"""Runs the language model once over a split and fills the activation store, several blocks from one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from harness.api import Activations, Progress
from harness.data.tokens import TokenBatch
from harness.lm.model import LanguageModel
from harness.specs.identity import digest
from harness.store.activations import finish, missing_shards, open_activations, save_shard

# Tokens per shard: large enough that reading is sequential, small enough that a kill loses seconds.
SHARD_TOKENS = 8192


def fill(
    model: LanguageModel, batches: Sequence[TokenBatch], folders: dict[int, Path], progress: Progress, label: str
) -> dict[int, Activations]:
    """Return the kept activations of ``batches`` for every block in ``folders``, running the model only where needed.

    Args:
        model: the language model.
        batches: the whole split, in the order rows will have.
        folders: store folder by block.
        progress: told about tokens.
        label: what to call the work.
    """
    found = {layer: open_activations(folder) for layer, folder in folders.items()}
    todo = [layer for layer, activations in found.items() if activations is None]
    if todo:
        _run(model, batches, {layer: folders[layer] for layer in todo}, progress, label)
    shards = _shards(batches)
    return {
        layer: activations if activations is not None else finish(folders[layer], _plan(batches), len(shards))
        for layer, activations in found.items()
    }


def _run(
    model: LanguageModel, batches: Sequence[TokenBatch], folders: dict[int, Path], progress: Progress, label: str
) -> None:
    plan, shards = _plan(batches), _shards(batches)
    missing = {layer: set(missing_shards(folder, plan, len(shards))) for layer, folder in folders.items()}
    done, total = 0, sum(int(batch.keep_BT.sum()) for batch in batches)
    for index, shard in enumerate(shards):
        layers = [layer for layer in folders if index in missing[layer]]
        pieces: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        for batch in shard:
            if layers:
                for layer, x_BTD in model.read(batch.ids_BT, batch.mask_BT, layers).items():
                    pieces[layer].append(x_BTD[batch.keep_BT].cpu())
            done += int(batch.keep_BT.sum())
            progress(label, done, total)
        first = sum(len(before) for before in shards[:index])
        doc_N = torch.cat([piece_ids(batch, first + i) for i, batch in enumerate(shard)])
        for layer in layers:
            save_shard(folders[layer], index, plan, torch.cat(pieces[layer]), doc_N)


def piece_ids(batch: TokenBatch, index: int = 0) -> Tensor:
    """Return int64 ``[N]``: one id for each stretch of one document in one sequence, over the kept tokens of a batch.

    ``index`` is the batch's place in its split. A document that packing cut into two sequences counts as two pieces: no
    model pass saw it whole.
    """
    rows, _ = batch.ids_BT.shape
    sequence_B = index * 2**16 + torch.arange(rows)
    piece_BT = sequence_B[:, None] * 2**31 + batch.doc_BT.clamp(min=0)
    return piece_BT[batch.keep_BT]


def _shards(batches: Sequence[TokenBatch]) -> list[list[TokenBatch]]:
    shards: list[list[TokenBatch]] = [[]]
    tokens = 0
    for batch in batches:
        if tokens >= SHARD_TOKENS:
            shards.append([])
            tokens = 0
        shards[-1].append(batch)
        tokens += int(batch.keep_BT.sum())
    return shards


def _plan(batches: Sequence[TokenBatch]) -> str:
    return digest([SHARD_TOKENS, *(batch.identity for batch in batches)])
