"""Records of decoders, rewards and dictionaries with known contents, saved as a run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from board_records import Case, Cell, Quality, record, save

from harness.metrics.contract import SUBVOCAB, Array
from harness.specs.features import Clusters, Coverage, FeatureFile, LayerFeatures
from harness.stats.proportions import wilson
from harness.store.features import save_features
from harness.store.records import StoredRecord, save_record

CLUSTERS = 16
SEEDS = (0, 1, 2)
TOP = 50
# Latents of a control that a feature page labels.
SAMPLE = 40


@dataclass(frozen=True)
class Decoder:
    """What a decoder is to score, about, and the model itself. ``noise`` is between clusters, a share of the value."""

    name: str
    kl: float = 1.0
    agree: float = 0.5
    drop: float = 0.1
    right: float = 0.6
    noise: float = 0.02
    role: str | None = None
    layer: int = 14
    task: str = "sums"
    corpus: str | None = None
    some: bool = False
    seeds: tuple[int, ...] = SEEDS
    text: str = ""
    change: Mapping[str, Any] = field(default_factory=dict)


def decoder_parts(of: Decoder, seed: int) -> dict[str, Array]:
    """Return the sums per cluster of one seed."""
    shared, own = np.random.default_rng(3), np.random.default_rng([seed, *of.name.encode(), *of.task.encode()])
    n = shared.integers(40, 90, CLUSTERS).astype(float)
    model = n * of.right * (1 + 0.02 * shared.normal(size=CLUSTERS))

    def about(value: float) -> Array:
        return np.asarray(n * value * (1 + of.noise * own.normal(size=CLUSTERS)))

    found = {"kl_pq": about(of.kl), "kl_qp": about(of.kl), "agree1": about(of.agree), "gold_model": model}
    found["gold"] = model - about(of.drop)
    suffix = SUBVOCAB if of.some else ""
    return {"n": n, "n_kl": n, "n_gold": n, **{f"{name}{suffix}": value for name, value in found.items()}}


def save_decoder(folder: Path, of: Decoder) -> list[StoredRecord]:
    """Save every seed of a decoder."""
    return [_saved(folder, of, seed, decoder_parts(of, seed), "decoding") for seed in of.seeds]


def save_explainer(folder: Path, name: str, faithful: float, role: str | None = None) -> list[StoredRecord]:
    """Save explanations that are as faithful as told, under a metric that every installation knows."""
    of = Decoder(name, agree=faithful, task="why", role=role, noise=0.1)
    return [_saved(folder, of, seed, decoder_parts(of, seed), "explanation") for seed in of.seeds]


def _saved(folder: Path, of: Decoder, seed: int, parts: dict[str, Array], track: str) -> StoredRecord:
    table = f"{of.task}{of.layer}{of.some}".encode().hex()[:24].ljust(24, "0")
    case = Case(task=of.task, title=f"{of.text}Small {of.task}", table=table, clusters=CLUSTERS, layer=of.layer)
    plain = record(case, Cell(of.name, seed, role=of.role, warnings=(of.text,) if of.text else ()), parts)
    spec = {"metrics": ["agree1"], "seeds": list(of.seeds), "corpus": of.corpus, "budget": {"train_tokens": 900}}
    spec |= {"vocab": {"top": TOP}} if of.some else {}
    change = {
        "task": plain.task.model_copy(update={"track": track, "spec": spec}),
        "method": plain.method.model_copy(update={"kind": "next_token"}),
        "metrics": {},
        "details": {"tokens per second": 1000.0, "vocabulary": TOP + 1.0},
    }
    return save_record(folder, plain.model_copy(update=change | dict(of.change)), parts)


def save_dictionary(folder: Path, quality: Quality, seeds: tuple[int, ...] = SEEDS) -> None:
    """Save the seeds of a dictionary."""
    for seed in seeds:
        save(folder, Case(task="parts", clusters=CLUSTERS), Cell("codes", seed, quality))


def save_labels(folder: Path, covered: int, alive: int, *, text: str = "", controls: tuple[int, ...] = ()) -> Path:
    """Save the data file of a feature page in which so many of the living latents have labels that hold.

    ``controls`` are how many of a sample of their latents do.
    """

    def coverage(name: str, count: int, tried: int) -> Coverage:
        lo, hi = wilson(count, tried) if tried else (None, None)
        return Coverage(
            name=f"{text}{name}", alive=alive, tried=tried, labelled=tried - tried // 10, covered=count,
            coverage=count / tried if tried else None, of_labelled=None, lo=lo, hi=hi,
            reason=None if tried else "no latent fires", detection=0.8, fuzzing=0.7, permuted=0.5, ceiling=0.9,
        )  # fmt: skip

    none = Clusters(groups=[], need=0.0, left_out=0)
    layer = LayerFeatures(
        layer=14, fit="f", table="t", tokens=1000, documents=20, groups=10, latents=alive + 5,
        own=coverage("codes", covered, alive),
        controls=[coverage(f"drawn{i}", count, SAMPLE) for i, count in enumerate(controls)],
        direction_clusters=none, firing_clusters=none, notes=[], features=[],
    )  # fmt: skip
    file = FeatureFile(
        key="k", method={"name": "codes"}, task={"name": f"{text}parts"}, model={}, seed=0, sizes={}, version="0",
        commit=None, command="c", made="m", tokens=[], layers=[layer], matches=[],
    )  # fmt: skip
    path = folder / "features" / "parts" / "codes" / "seed0-abc.json"
    save_features(path, file)
    return path


# Change of the divergence under every arm, without a penalty and with one.
HARMFUL = {"true": 0.2, "random": 0.4, "shuffled": 0.5, "zero": 0.0, "sup_cont": -0.05, "exact_pg": 0.1}
SIGNAL = {"true": -0.3, "random": 0.1, "shuffled": 0.1, "zero": 0.0, "sup_cont": -0.1, "exact_pg": -0.35}


def reward_parts(seed: int, *regimes: Mapping[str, float], spread: float = 1.0) -> dict[str, Array]:
    """Return the parts of a control of a reward in which arms change the divergence as told."""
    draw = np.random.default_rng([seed, 5])
    n = np.random.default_rng(4).integers(40, 90, CLUSTERS).astype(float)
    start = n * 1.2 * (1 + 0.05 * np.random.default_rng(6).normal(size=CLUSTERS))
    found = {"n": n, "margin": np.array(0.02), "kl_start": start, "klr_start": start}
    for suffix, changes in zip(("", "_anchored"), regimes, strict=True):
        for arm, change in changes.items():
            moved = np.zeros(CLUSTERS) if change == 0 else n * change * (1 + 0.1 * draw.normal(size=CLUSTERS))
            found[f"kl_{arm}{suffix}"] = found[f"klr_{arm}{suffix}"] = start + moved
            found |= {f"moved_{arm}{suffix}": np.array(1.0), f"gradient_{arm}{suffix}": np.array(1.0)}
            found[f"spread_{arm}{suffix}"] = np.array(spread)
    return found


def save_reward(folder: Path, *regimes: Mapping[str, float], text: str = "") -> list[dict[str, Array]]:
    """Save three seeds of the control of a reward, and return their parts."""
    of = Decoder("taught", task="control", text=text, change={"details": {"beta": 0.3}})
    made = [reward_parts(seed, *regimes) for seed in SEEDS]
    for seed, parts in zip(SEEDS, made, strict=True):
        _saved(folder, of, seed, parts, "reward_control")
    return made
