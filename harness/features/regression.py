"""How much of a latent two tokens explain: ridge regression on one-hot current and previous token.

Fitted on one half of the groups and correlated on the other, from sums alone: nothing grows with the tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from harness.features.text import Ints, Text

Array = NDArray[np.float64]
# Strength of the ridge, in tokens: a type seen once is pulled halfway to 0.
RIDGE = 1.0


class TokenRegression:
    """``sim_corr``: how well the tokens tell the activation. Types beyond the most frequent share one column."""

    def __init__(self, text: Text, types: int, latents: int) -> None:
        common_V = np.argsort(-np.bincount(text.type_M, minlength=text.types_V.size), kind="stable")[:types]
        column_V = np.full(text.types_V.size + 1, common_V.size)
        column_V[common_V] = np.arange(common_V.size)
        # Index -1 is the last entry: what has no token before it has a column of its own.
        column_V[-1] = common_V.size + 1
        self._now_M, self._before_M = column_V[text.type_M], column_V[text.neighbour(-1)]
        self._side_M = text.side_P[text.piece_M]
        self.columns = common_V.size + 2
        self._xy = torch.zeros(2, 2 * self.columns, latents)
        self._xx = np.zeros((2, 2 * self.columns, 2 * self.columns))
        self._y = np.zeros((2, latents))
        self._yy = np.zeros((2, latents))
        self._n = np.zeros(2)

    def add(self, z_MF: Tensor, at_M: Ints) -> None:
        """Add measured tokens ``at_M`` (places in the text), all of one side, with their activations."""
        if at_M.size == 0:
            return
        side = int(self._side_M[at_M[0]])
        now_M, before_M = self._now_M[at_M], self._before_M[at_M] + self.columns
        self._xy[side].index_add_(0, torch.from_numpy(now_M), z_MF)
        self._xy[side].index_add_(0, torch.from_numpy(before_M), z_MF)
        for rows, columns in ((now_M, now_M), (now_M, before_M), (before_M, now_M), (before_M, before_M)):
            np.add.at(self._xx[side], (rows, columns), 1.0)
        self._y[side] += z_MF.sum(0, dtype=torch.float64).numpy()
        self._yy[side] += z_MF.double().square().sum(0).numpy()
        self._n[side] += at_M.size

    def correlations(self) -> Array:
        """Return Pearson's correlation of activation and prediction on the second half ``[F]``; NaN where undefined."""
        latents = self._y.shape[1]
        if not self._n.all():
            return np.full(latents, np.nan)
        factor = linalg.cho_factor(self._xx[0] + RIDGE * np.eye(2 * self.columns))
        return np.concatenate([self._correlate(factor, slice(f, f + 1024)) for f in range(0, latents, 1024)])

    def _correlate(self, factor: tuple[Array, bool], part: slice) -> Array:
        weight_XF = linalg.cho_solve(factor, self._xy[0][:, part].double().numpy())
        n, y_F, yy_F = self._n[1], self._y[1][part], self._yy[1][part]
        # The diagonal of the block of current tokens counts each token once.
        count_X = np.diag(self._xx[1])
        mean_F = weight_XF.T @ count_X / n
        square_F = np.einsum("xf,xf->f", weight_XF, self._xx[1] @ weight_XF) / n - mean_F**2
        shared_F = np.einsum("xf,xf->f", weight_XF, self._xy[1][:, part].double().numpy()) / n - mean_F * y_F / n
        spread_F = yy_F / n - (y_F / n) ** 2
        defined_F = (square_F > 1e-12) & (spread_F > 1e-12)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(defined_F, shared_F / np.sqrt(square_F * spread_F), np.nan)
