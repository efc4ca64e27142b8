"""Logistic regression on the few latents that differ most between the classes (SAEBench, sparse probing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from harness.api import Answers, Features, Setting
from harness.training.coded import codes_of
from harness.training.probe import Floats, Ints, ReducedProbe, Reduction


class FewCodes(ReducedProbe):
    """Reads the ``k`` latents of largest |mean difference|, chosen anew among the train rows of every fold."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``sae_topk_lr``."""

        k: Annotated[int, Ge(1)]
        """latents that are read, of all blocks and positions together"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self._k = params.k
        self._dictionaries = setting.at_blocks["dictionary"]

    def features(self, answers: Answers) -> Features:
        """Return the codes, flat."""
        return codes_of(answers, self._dictionaries)

    def reduction(self, x_nF: NDArray[Any], y_n: Ints) -> Reduction:
        """Return the choice of latents, the largest difference first."""
        gap_F = _largest_gap(x_nF, y_n)
        gap_F[(x_nF != 0).sum(0) < self.LEAST_ROWS] = -1.0
        chosen = np.argsort(-gap_F, kind="stable")[: self._k]
        return lambda rows_nF: np.asarray(rows_nF[:, chosen], dtype=np.float64)


def _largest_gap(x_nF: NDArray[Any], y_n: Ints) -> Floats:
    """Return, of the differences between the mean of a class and that of the others, the largest, ``[F]``."""
    gaps = [np.zeros(x_nF.shape[1])]
    for one in np.unique(y_n):
        inside_n = y_n == one
        if not inside_n.all():
            own_F, other_F = (x_nF[rows_n].mean(0, dtype=np.float64) for rows_n in (inside_n, ~inside_n))
            gaps.append(np.abs(own_F - other_F))
    return np.asarray(np.max(gaps, axis=0), dtype=np.float64)
