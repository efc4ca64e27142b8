"""SAE feature: steering along the decoder row of one latent of a dictionary (arXiv 2503.18878, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from harness.api import Dictionary, Setting, Train, Unembedding
from harness.metrics.reasoning import reason_scores
from harness.training.directions import Direction, Way, behaviour_of
from harness.training.loop import stream

# Latents nearest in density from which a random one is drawn.
_NEAR = 20
# Rows that are projected onto the vocabulary at once.
_ROWS = 256


@dataclass(frozen=True)
class _Fired:
    """What latents do on the train split: folded sums by word, in all windows and elsewhere; firings; maxima."""

    word_mean_RF: Tensor
    inside_F: Tensor
    outside_F: Tensor
    fires_F: Tensor
    fires_in_F: Tensor
    max_F: Tensor
    rows: int
    rows_in: int


class SAEFeature(Direction):
    """Moves activations along one latent's decoder row; strength 1 is the latent's largest folded activation."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``sae_feature`` and its variants."""

        by: Literal["reasonscore", "firing", "effect", "number", "random"]
        """the latent of largest ReasonScore; the one whose share of firings around the words most exceeds that
        elsewhere; the one that, at its largest, makes the words likeliest by the unembedding alone (the output score of
        arXiv 2505.20063); the one of a number, read from a page of labels; or one drawn at random among those as dense
        as the first"""
        number: int
        """the latent, from 0, where it is chosen by its number; else -1"""
        alpha: float
        """power of the entropy in ReasonScore"""
        way: Literal["add", "clamp", "project"]
        """how activations are moved"""

    latent: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting)
        self.params = params
        used = setting.uses.get("dictionary")
        if not isinstance(used, Dictionary):
            raise ValueError(f"sae_feature needs a fitted dictionary, got {type(used).__name__}")
        # held in a tuple, so that its weights are not counted and saved a second time
        self._used = (used,)
        self.register_buffer("latent", torch.tensor(-1))
        self._max = torch.zeros(())

    @property
    def way(self) -> Way:
        """How activations are moved."""
        return self.params.way

    def choose(self, train: Train) -> Tensor:
        """Choose a latent on the train split; return its decoder row.

        Raises:
            ValueError: there is no latent of the number.
        """
        fired = self._fired(train)
        chosen = self._latent(train, fired)
        self.latent.fill_(chosen)
        self._max = fired.max_F[chosen]
        return self._used[0].directions()[chosen]

    def _latent(self, train: Train, fired: _Fired) -> int:
        by, count = self.params.by, len(fired.max_F)
        if by == "number":
            if not 0 <= self.params.number < count:
                raise ValueError(f"latent {self.params.number} is out of range; the dictionary has 0..{count - 1}")
            return self.params.number
        if by == "effect":
            return int(self._effect(train, fired.max_F).argmax())
        if by == "firing":
            outside = max(fired.rows - fired.rows_in, 1)
            return int((fired.fires_in_F / fired.rows_in - (fired.fires_F - fired.fires_in_F) / outside).argmax())
        scores = (fired.inside_F, fired.outside_F, fired.word_mean_RF)
        inside_F, outside_F, mean_RF = (one.cpu().numpy() for one in scores)
        first = int(np.argmax(reason_scores(inside_F, outside_F, mean_RF, self.params.alpha)))
        return self._alike(first, fired.fires_F) if by == "random" else first

    @torch.no_grad()
    def _effect(self, train: Train, max_F: Tensor) -> Tensor:
        """Return ln p that a word begins, were each latent as large as it gets at the mean activation: ``[F]``."""
        end, first = train.extra["unembedding"], list(behaviour_of(train).first)
        if not isinstance(end, Unembedding):
            raise TypeError(f"'unembedding' is a {type(end).__name__}")
        mean_D = train.x.mean().to(train.device)
        at_FD = mean_D + max_F.to(train.device)[:, None] * normalize(self._used[0].directions(), dim=1)
        return torch.cat([end.logp(at_nD)[:, first].logsumexp(1) for at_nD in torch.split(at_FD, _ROWS)])

    def _alike(self, latent: int, fires_F: Tensor) -> int:
        """Return another latent about as dense, drawn from the nearest."""
        gap_F = (fires_F - fires_F[latent]).abs()
        gap_F[latent] = torch.inf
        near_k = gap_F.argsort(stable=True)[: min(_NEAR, len(gap_F) - 1)]
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "latent"))
        return int(near_k[int(torch.randint(len(near_k), (1,), generator=generator))])

    def size(self, train: Train) -> Tensor:
        """Return the largest folded activation of the train split."""
        return self._max

    @property
    def history(self) -> bool:
        """Whether a latent of it is read that codes the document."""
        return self.way == "clamp" and self._used[0].shared > 0

    def level(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the latent's folded activation."""
        used, latent = self._used[0], int(self.latent)
        folded_N: Tensor = used.encode(x_ND, doc_N)[:, latent] * used.directions()[latent].norm()
        return folded_N

    @torch.no_grad()
    def _fired(self, train: Train) -> _Fired:
        used, in_RN = self._used[0], behaviour_of(train).in_RN
        # A word that never occurs would drag every entropy down.
        in_RN = in_RN[in_RN.any(1)]
        if len(in_RN) == 0:
            raise ValueError("no activation stands around a word of the task")
        fold_F = used.directions().norm(dim=1).double()
        words, latents = len(in_RN), len(fold_F)
        sum_KF = torch.zeros(words + 2, latents, dtype=torch.float64, device=train.device)
        fires_KF, max_F, start = torch.zeros_like(sum_KF[:2]), torch.zeros_like(sum_KF[0]), 0
        for x_ND, doc_N in train.x.documents(8192):
            code_NF = used.encode(x_ND.to(train.device), doc_N.to(train.device)).double() * fold_F
            of_RN = in_RN[:, start : start + len(x_ND)].to(train.device)
            mask_KN = torch.cat([of_RN, of_RN.any(0)[None], torch.ones_like(of_RN[:1])]).double()
            sum_KF += mask_KN @ code_NF
            fires_KF += mask_KN[-2:] @ (code_NF != 0).double()
            max_F = torch.maximum(max_F, code_NF.amax(0))
            start += len(x_ND)
        mean_RF = sum_KF[:words] / in_RN.sum(1).to(sum_KF)[:, None]
        inside_F, all_F = sum_KF[-2], sum_KF[-1]
        outside_F = (all_F - inside_F).clamp_min(0)
        rows_in = int(in_RN.any(0).sum())
        return _Fired(mean_RF, inside_F, outside_F, fires_KF[1], fires_KF[0], max_F.float(), start, rows_in)

    def summary(self) -> dict[str, float]:
        """Return the latent and the unit."""
        return super().summary() | {"latent": float(self.latent)}
