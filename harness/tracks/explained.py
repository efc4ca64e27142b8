"""What explanations of some predictions come to, beside random orders and the order by exact ablation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from harness.api import Explainer, Named, Predictions
from harness.errors import CellError
from harness.tracks.rankings import Curves, Without, curves, orders, spread
from harness.tracks.sums import check_output

# Random orders of the latents of a prediction, the same for all methods over one dictionary.
DRAWS = 20
# Latents of a sentence that count, and the largest exact effects they are held against.
NAMED = 5
# A rank correlation needs this many latents.
_FEWEST = 3

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Told:
    """What one explainer says of ``n`` predictions: importance on the CPU, and the latents each sentence names."""

    importance_nF: Tensor
    named: tuple[tuple[Named, ...], ...]


@torch.no_grad()
def tell(method: Explainer, asked: Predictions) -> Told:
    """Ask one explainer; raises ``CellError`` where what it says breaks the contract."""
    importance_nF = method.importance(asked)
    check_output("importance", importance_nF, tuple(asked.code_nF.shape))
    active_nF = asked.code_nF != 0
    if bool((importance_nF[~active_nF] != 0).any()):
        raise CellError("importance gave a latent that is silent something else than 0")
    sentences = method.sentences(asked)
    if len(sentences) != len(asked):
        raise CellError(f"sentences returned {len(sentences)} explanations of {len(asked)} predictions")
    named = tuple(tuple(part for part in sentence if isinstance(part, Named)) for sentence in sentences)
    for n, found in enumerate(named):
        _check_named(found, active_nF[n])
    return Told(importance_nF.float().cpu(), named)


def _check_named(named: Sequence[Named], active_F: Tensor) -> None:
    latents = [one.latent for one in named]
    if len(set(latents)) < len(latents):
        raise CellError("sentences names a latent twice in one explanation")
    wrong = [latent for latent in latents if not 0 <= latent < len(active_F) or not bool(active_F[latent])]
    if wrong:
        raise CellError(f"sentences names latent {wrong[0]}, which is not active in the prediction")


@dataclass(frozen=True)
class Question:
    """One prediction as explanations of it are measured.

    Attributes:
        without: ``M`` without some of its active latents.
        full: ``M``.
        active_m: int64; numbers of the active latents.
        exact_m: what ``M`` loses without each alone.
        seed: of the random orders.
    """

    without: Without
    full: float
    active_m: Tensor
    exact_m: NDArray[np.float64]
    seed: int


def measured(question: Callable[[int], Question], told: Sequence[Told], count: int) -> list[Columns]:
    """Return columns, one number for each of ``count`` predictions, for every explainer over one dictionary."""
    rows: list[list[dict[str, float]]] = [[] for _ in told]
    for n in range(count):
        asked = question(n)
        effect = dict(zip(asked.active_m.tolist(), asked.exact_m.tolist(), strict=True))
        ranked = _one(asked, [said.importance_nF[n] for said in told])
        for said, one, row in zip(told, rows, ranked, strict=True):
            one.append(row | sentence(effect, said.named[n]))
    return [{name: np.array([row[name] for row in found]) for name in found[0]} for found in rows]


def _one(asked: Question, importance: Sequence[Tensor]) -> list[dict[str, float]]:
    """Return what each order by importance comes to; equal orders are run once."""
    active = len(asked.active_m)
    by_exact = torch.from_numpy(asked.exact_m)
    ranked = [_largest_first(by_exact), *(_largest_first(one_F[asked.active_m]) for one_F in importance)]
    unique_Om, place = torch.unique(torch.stack(ranked), dim=0, return_inverse=True)
    order_Om = torch.cat([orders(active, DRAWS, asked.seed), unique_Om])
    found = curves(asked.without, asked.full, order_Om)
    beside = {
        **{f"{name}_random": float(value_O[:DRAWS].mean()) for name, value_O in _values(found).items()},
        **{f"{name}_ceiling": float(value_O[DRAWS + place[0]]) for name, value_O in _values(found).items()},
        "n": 1.0,
        "active": float(active),
        "value": asked.full,
        "n_gap": float(found.counted),
    }
    return [
        {
            **beside,
            **{name: float(value_O[DRAWS + at]) for name, value_O in _values(found).items()},
            **_importance(one_F[asked.active_m].double().numpy(), asked.exact_m),
        }
        for one_F, at in zip(importance, place[1:].tolist(), strict=True)
    ]


def _largest_first(value_m: Tensor) -> Tensor:
    return value_m.sort(descending=True, stable=True).indices


def _values(found: Curves) -> dict[str, NDArray[np.float64]]:
    return {"comp": found.comp_O, "suff": found.suff_O, "cpr": found.cpr_O, "cmd": found.cmd_O}


def _importance(importance_m: NDArray[np.float64], exact_m: NDArray[np.float64]) -> dict[str, float]:
    """Return how importance agrees with exact ablation and how it spreads; 0, with a count of 0, where none says."""
    agreement, found = spearman(importance_m, exact_m), spread(importance_m)
    active = max(len(importance_m), 1)
    return {
        "agree": agreement or 0.0,
        "n_agree": float(agreement is not None),
        "mass10": found.mass10 if found else 0.0,
        "mass100": found.mass100 if found else 0.0,
        "uniform10": min(10 / active, 1.0) if found else 0.0,
        "uniform100": min(100 / active, 1.0) if found else 0.0,
        "gini": found.gini if found else 0.0,
        "n_eff": found.n_eff if found else 0.0,
        "n_mass": float(found is not None),
    }


def spearman(a_m: NDArray[np.float64], b_m: NDArray[np.float64]) -> float | None:
    """Return the rank correlation; None where there are too few numbers, or no differences."""
    if len(a_m) < _FEWEST or np.ptp(a_m) == 0 or np.ptp(b_m) == 0:
        return None
    return float(np.corrcoef(rankdata(a_m), rankdata(b_m))[0, 1])


def sentence(effect: Mapping[int, float], named: Sequence[Named]) -> dict[str, float]:
    """Return what the first latents that a sentence names do, beside those with the largest exact effects.

    ``effect`` is what the prediction loses without each active latent alone; a sentence names no other.
    """
    largest = sorted(effect, key=lambda latent: -abs(effect[latent]))[:NAMED]
    first = named[:NAMED]
    return {
        "named_sum": sum((1 if one.supports else -1) * effect[one.latent] for one in first),
        "largest_sum": sum(abs(effect[latent]) for latent in largest),
        "hits": float(sum(one.latent in largest for one in first)),
        "n_named": float(len(first)),
        "length": float(len(named)),
    }
