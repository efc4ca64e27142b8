"""Records of steering with known contents, saved as a run saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from board_records import Case, Cell, record

from harness.metrics.contract import Array
from harness.store.items import Item
from harness.store.records import StoredRecord, save_record

PROBLEMS, TOKENS, VALIDATION = 40, 32, 12
# Slopes of ln p on the dose, of random directions.
RANDOM = (0.2, -0.3, 0.1)
START = -2.5


@dataclass(frozen=True)
class Steerer:
    """What a steerer is to do.

    Attributes:
        name: its row.
        slope: of ln p on the dose, about.
        right: shares of problems that are right: as the model is, and under it (those right before stay so as far as
            they can).
        hits: words of the task in a text, about: under it, and under the bias of the same divergence.
        doses: that were tried; none for the model as it is.
        chosen: which of them, from 1.
        noise: between problems, of ln p.
        rise: of the mean mark on validation problems, from dose to dose.
        text: stands in every text of the record.
        together: problems of a cluster.
        words: the vocabulary, where it is not the task's usual one.
    """

    name: str
    slope: float = 0.0
    right: tuple[float, float] = (0.5, 0.5)
    hits: tuple[float, float] = (0.0, 0.0)
    doses: tuple[float, ...] = (0.1, 0.3)
    chosen: int = 2
    norms: bool = True
    noise: float = 0.02
    rise: float = 0.1
    role: str | None = None
    seeds: tuple[int, ...] = (0,)
    text: str = ""
    together: int = 1
    words: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Array] = field(default_factory=dict)


NONE = Steerer("none", doses=(), chosen=1, norms=False, noise=0.0, role="ceiling")
PUSH = Steerer("push", slope=2.0, right=(0.5, 0.9), hits=(4.0, 0.2))
WORDS = Steerer("bias", slope=6.0, hits=(4.0, 4.0), norms=False, role="floor")


def problems(of: Steerer, seed: int) -> dict[str, Array]:
    """Return what is counted of each problem."""
    own = np.random.default_rng([seed, *of.name.encode()])
    place = np.arange(PROBLEMS)
    clean, under = ((place < share * PROBLEMS).astype(float) for share in of.right)
    # The first half of the problems is right as the model is; which become wrong are the first.
    if of.right[1] < of.right[0]:
        under = clean * (place >= (of.right[0] - of.right[1]) * PROBLEMS)
    doses = np.array([0.0, *of.doses]) if of.doses else np.zeros(2)
    slope = of.slope + of.noise * own.normal(size=PROBLEMS)
    level = START + np.random.default_rng(1).normal(size=PROBLEMS)
    ones = np.ones(PROBLEMS)
    found = {"right": under, "right_clean": clean, "right_bias": clean}
    for arm, hits in (("", of.hits[0]), ("_clean", 0.1), ("_bias", of.hits[1])):
        drawn = np.random.default_rng(3).poisson(0.1, PROBLEMS) if arm == "_clean" or hits == 0 else None
        found[f"hits{arm}"] = own.poisson(hits, PROBLEMS).astype(float) if drawn is None else drawn.astype(float)
        found |= {f"tokens{arm}": TOKENS * ones, f"gold_logp{arm}": -3 * ones, f"gold_tokens{arm}": 2 * ones}
    found |= {"texts": ones, "censored": ones, "nll_base": 50 * ones, "grams": 29 * ones, "new_grams": 20 * ones}
    found |= {"pairs": 31 * ones, "new_pairs": 25 * ones, "hm": 0.4 * ones, "answered": ones, "n": ones}
    found |= {"anti": (slope < 0).astype(float), "slope": slope if of.doses else 0 * ones}
    found |= {"helped": under * (1 - clean), "harmed": (1 - under) * clean}
    found["slope_random"] = np.outer(ones, RANDOM)
    found["willing"] = level[:, None] + slope[:, None] * doses
    return found


def steering_parts(of: Steerer, seed: int) -> dict[str, Array]:
    """Return the sums per cluster."""
    cluster = np.arange(PROBLEMS) // of.together
    single = {"margin_acc": 0.05, "margin_reflect": 0.5, "side_kl_sum": 0.2 * 100, "side_n": 100.0}
    single |= {"side_hits": 40.0, "side_hits_clean": 42.0}
    found = {name: np.array(value) for name, value in single.items()}
    for name, value in problems(of, seed).items():
        total = np.zeros((cluster.max() + 1, *value.shape[1:]))
        np.add.at(total, cluster, value)
        found[name] = total
    return found | dict(of.parts)


def items(of: Steerer, seed: int) -> tuple[Item, ...]:
    """Return the texts of one row. Every problem's text says its number, and the words it is to hold."""
    counted = {name: value for name, value in problems(of, seed).items() if value.ndim == 1}
    return tuple(
        Item(
            id=f"{of.text}p{i}",
            group=f"p{i}",
            author=None,
            prompt=f"{of.text}Question {i}?",
            answer=f"{of.text}{of.name} says {i}. Wait, await: but But",
            label=f"{of.text}{i}",
            numbers={name: float(value[i]) for name, value in counted.items()},
        )
        for i in range(PROBLEMS)
    )


def save_steerer(folder: Path, of: Steerer) -> list[StoredRecord]:
    """Save every seed of a row."""
    return [_saved(folder, of, seed) for seed in of.seeds]


def _saved(folder: Path, of: Steerer, seed: int) -> StoredRecord:
    parts = steering_parts(of, seed)
    case = Case(task="push", title=f"{of.text}Pushing", clusters=len(parts["n"]))
    plain = record(case, Cell(of.name, seed, role=of.role, warnings=(of.text,) if of.text else ()), parts)
    spec = {
        "metrics": ["d_acc"], "seeds": list(of.seeds), "steering": {"vocabulary": dict(of.words)},
        "controls": {"ceiling": ["none"], "floor": ["bias", "drawn"], "derived": []},
    }  # fmt: skip
    change = {
        "task": plain.task.model_copy(update={"track": "steering", "spec": spec}),
        "method": plain.method.model_copy(update={"kind": "steerer"}),
        "metrics": {},
        "fit": {"latent": 57.0 + seed} if of.doses else {},
        "details": _details(of),
    }
    update = change | dict(of.change)
    return save_record(folder, plain.model_copy(update=update), parts, items=items(of, seed))


def _details(of: Steerer) -> dict[str, float]:
    found = {"problems": float(PROBLEMS), "validation problems": float(VALIDATION), "chosen try": float(of.chosen)}
    found |= {"doses are edit norms": float(of.norms), "strength": 10 * of.doses[of.chosen - 1] if of.doses else 1.0}
    for number, dose in enumerate(of.doses or (0.0,), start=1):
        found |= {f"dose, try {number}": dose, f"strength, try {number}": 10 * dose if of.doses else 1.0}
        found |= {f"val hm, try {number}": of.rise * number, f"val accuracy, try {number}": 0.5}
        found[f"val reflect rate, try {number}"] = float(number)
    return found


def everything(folder: Path, **change: Any) -> None:
    """Save a table with the model as it is, a method that steers, and a bias on words."""
    for of in (NONE, PUSH, WORDS):
        save_steerer(folder, replace(of, **change))
