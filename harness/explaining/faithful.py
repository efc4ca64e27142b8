"""How far an explanation of one prediction is that of its measured effects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Named
from harness.explaining.subjects import Subject
from harness.specs.explained import Faithfulness, Lost, Step
from harness.tracks.explained import DRAWS, sentence, spearman
from harness.tracks.rankings import PERCENT, curves, kept, orders, top_share

SEED = 0
# Effects whose sum is smaller are what rounding leaves of none.
_NOTHING = 1e-9
_OWN, _CEILING = 0, 1


def faithfulness(subject: Subject, importance_F: Tensor, named: Sequence[Named]) -> Faithfulness | None:
    """Return how faithful an explanation is; None where no latent is active or none has an effect.

    Args:
        subject: the prediction.
        importance_F: what the explanation says each latent is worth; the largest come first.
        named: the latents it names in words.
    """
    active_m = torch.nonzero(subject.code_F).flatten()
    effect_F = subject.asked.ablated()[0]
    effect_m = _numbers(effect_F[active_m])
    if np.abs(effect_m).sum() <= _NOTHING:
        return None
    importance_m = importance_F[active_m]
    count_K, comp_KO, suff_KO = _curves(subject, active_m, importance_m, effect_F[active_m])
    comp, suff = _lost(comp_KO.mean(0)), _lost(suff_KO.mean(0))
    said = sentence(dict(zip(active_m.tolist(), effect_m.tolist(), strict=True)), named)
    above = comp.ceiling - comp.random
    return Faithfulness(
        steps=[
            Step(percent=percent, latents=count, comp=_lost(comp_O), suff=_lost(suff_O))
            for percent, count, comp_O, suff_O in zip(PERCENT, count_K, comp_KO, suff_KO, strict=True)
        ],
        comp=comp,
        suff=suff,
        draws=DRAWS,
        score=(comp.own - comp.random) / above if above > _NOTHING else None,
        agreement=spearman(_numbers(importance_m), effect_m),
        mass10=top_share(np.abs(effect_m), 10),
        uniform10=min(1.0, 10 / len(effect_m)),
        named=_share(effect_F, [one.latent for one in named], effect_m),
        best=top_share(np.abs(effect_m), len(named)) if named else 0.0,
        right=sum((float(effect_F[one.latent]) > 0) == one.supports for one in named),
        named_effect=said["named_sum"] / said["largest_sum"],
    )


def _curves(
    subject: Subject, active_m: Tensor, importance_m: Tensor, effect_m: Tensor
) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """Return, by share, how many latents it is, and what ``M`` loses without them and with them alone.

    The orders ``O`` are that of the explanation, that of the effects, and random ones.
    """
    ranked = [value_m.argsort(descending=True, stable=True).cpu()[None] for value_m in (importance_m, effect_m)]
    order_Om = torch.cat([*ranked, orders(len(active_m), DRAWS, SEED)])

    def without(drop_Am: Tensor) -> NDArray[np.float64]:
        drop_AF = torch.zeros(len(drop_Am), len(subject.code_F), dtype=torch.bool, device=active_m.device)
        drop_AF[:, active_m] = drop_Am.to(active_m.device)
        return _numbers(subject.without(drop_AF))

    found = curves(without, subject.full, order_Om)
    return kept(len(active_m)), found.comp_OK.T, found.suff_OK.T


def _lost(lost_O: NDArray[np.float64]) -> Lost:
    random_O = lost_O[_CEILING + 1 :]
    return Lost(
        own=float(lost_O[_OWN]),
        random=float(random_O.mean()),
        least=float(random_O.min()),
        most=float(random_O.max()),
        ceiling=float(lost_O[_CEILING]),
    )


def _share(effect_F: Tensor, index_k: Sequence[int], effect_m: NDArray[np.float64]) -> float:
    return float(sum(abs(float(effect_F[index])) for index in index_k) / np.abs(effect_m).sum())


def _numbers(value: Tensor) -> NDArray[np.float64]:
    return np.asarray(value.detach().cpu().numpy(), dtype=np.float64)
