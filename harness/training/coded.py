"""Codes of answers: what the dictionary fitted at each block makes of each position that is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.api import Answers, Dictionary, Features, Method

# Rows coded at once.
ROWS = 4096


def codes_of(answers: Answers, methods: Sequence[Method]) -> Features:
    """Return the code of every answer at every block and position, float32 ``[n, L P F]``, flat.

    Raises ``ValueError`` where there is not one dictionary for each block, or where one codes documents: a position is
    read by itself.
    """
    dictionaries = [one for one in methods if isinstance(one, Dictionary)]
    if len(dictionaries) != len(answers.blocks) or len(dictionaries) != len(methods):
        kinds = ", ".join(one.kind for one in methods) or "nothing"
        raise ValueError(f"one dictionary is needed for each of {len(answers.blocks)} blocks, got {kinds}")
    if any(one.shared for one in dictionaries):
        raise ValueError("a dictionary with a code for the whole document cannot code single positions")
    coded = [_codes(one, answers.activation_nLPD[:, index]) for index, one in enumerate(dictionaries)]
    widths = [code_nPF.shape[2] for code_nPF in coded for _ in answers.positions]
    value_nF = np.concatenate([code_nPF.reshape(len(code_nPF), -1) for code_nPF in coded], 1)
    place_F = np.repeat(np.arange(len(widths), dtype=np.int64), widths)
    latent_F = np.concatenate([np.arange(width, dtype=np.int64) for width in widths])

    def direction(index_k: NDArray[np.int64]) -> NDArray[np.float32]:
        row_kD = [
            dictionaries[place // len(answers.positions)].directions()[latent]
            for place, latent in zip(place_F[index_k], latent_F[index_k], strict=True)
        ]
        return np.asarray(torch.stack(row_kD).detach().float().cpu().numpy(), dtype=np.float32)

    return Features(value_nF, place_F, direction)


@torch.no_grad()
def _codes(dictionary: Dictionary, x_nPD: NDArray[np.float32]) -> NDArray[np.float32]:
    device = next((value.device for value in dictionary.state_dict().values()), torch.device("cpu"))
    answers, positions, width = x_nPD.shape
    pieces = []
    for x_ND in torch.split(torch.from_numpy(x_nPD.reshape(-1, width).copy()), ROWS):
        # Each position is a document of its own: nothing of the others is known to a code.
        pieces.append(dictionary.encode(x_ND.to(device), torch.arange(len(x_ND), device=device)).float().cpu())
    return torch.cat(pieces).numpy().reshape(answers, positions, -1)
