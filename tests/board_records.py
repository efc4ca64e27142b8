"""Known records for the tests of boards and pages: synthetic parts with a chosen quality, saved as a run saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.metrics.contract import Array, all_metrics
from harness.specs.record import (
    DataPart,
    MethodPart,
    MetricPart,
    ModelPart,
    Provenance,
    Record,
    SplitPart,
    StagePart,
    TaskPart,
)
from harness.store.files import sha256_text
from harness.store.records import StoredRecord, save_record

METRICS = ("fvu", "mse_elem", "mse_elem_norm", "l0", "dead_frac", "delta_ce", "kl_splice", "agree1")
# Fewer than the budget says: the tests need no more, and write many records.
LATENTS = 512
BARS: dict[str, dict[str, float]] = {
    "kl_splice": {"max": 0.5},
    "l0": {"min": 50, "max": 100},
    "fvu": {"max": 0.05},
    "mse_elem_norm": {"max": 0.01},
    "dead_frac": {"max": 0.05},
}
CONTROLS = {
    "ceiling": ["identity"],
    "floor": ["mean_only", "pca", "random_dictionary"],
    "derived": ["permuted_decoder"],
}


@dataclass(frozen=True)
class Quality:
    """What a synthetic cell is to score, about."""

    fvu: float = 0.15
    l0: float = 64.0
    kl: float = 0.3
    dead: float = 0.02
    agree: float = 0.85


@dataclass(frozen=True)
class Case:
    """One task as it was run."""

    task: str = "gsm_symbolic"
    title: str = "Grade-school arithmetic, generated (GSM-Symbolic)"
    table: str = "0123456789abcdef01234567"
    clusters: int = 48
    model: str = "smollm2-135m-instruct"
    mirror: str | None = None
    layer: int = 14
    spec: Mapping[str, Any] = field(default_factory=dict)

    def full_spec(self) -> dict[str, Any]:
        budget = {
            "context": 256, "packing": "truncate", "train_tokens": 24000, "val_tokens": 4000, "passes": 4,
            "latents": 2304, "l0": 64, "test_tokens": 12000, "splice_tokens": 8000, "density_tokens": 50000,
        }  # fmt: skip
        plain: dict[str, Any] = {
            "task": self.task, "version": 1, "title": self.title, "track": "reconstruction", "model": self.model,
            "budget": budget, "metrics": list(METRICS), "controls": CONTROLS, "bars": BARS, "seeds": [0, 1, 2],
            "site": {"depth": 0.5, "at": "resid_post"}, "limit": None,
        }  # fmt: skip
        return plain | dict(self.spec)


def parts(quality: Quality, clusters: int, seed: int, method: str = "") -> dict[str, Array]:
    """Return parts whose metrics come out near ``quality``; clusters vary alike for all methods, as real ones do."""
    shared = np.random.default_rng(7)
    own = np.random.default_rng([seed, *method.encode()])
    n = shared.integers(150, 350, clusters).astype(float)
    ease = shared.lognormal(0.0, 0.12, clusters)
    vectors = shared.normal(0.0, 2.0, (clusters, 24)) * np.sqrt(n)[:, None]
    sxx = n * 576.0 * shared.lognormal(0.0, 0.05, clusters)
    luck = 1 + 0.01 * own.normal()

    def noise(scale: float = 0.05) -> Array:
        values: Array = ease * luck * np.exp(scale * own.normal(size=clusters))
        return values

    alive = own.random(LATENTS) >= quality.dead
    n_kl = np.floor(n * 0.66)
    return {
        "n": n,
        "se": quality.fvu * sxx * noise(),
        "sxx": sxx,
        "x_gram": vectors @ vectors.T,
        "x2": sxx * 1.2,
        "width": np.array(576.0),
        "l0": n * quality.l0 * (1 + 0.002 * own.normal(size=clusters)),
        "fires": np.where(alive, 1 + own.poisson(50000 * own.beta(0.6, 20, LATENTS)), 0).astype(float),
        "n_density": np.array(50000.0),
        "n_ce": n_kl,
        "ce_clean": n_kl * 2.2 * ease,
        "ce_splice": n_kl * (2.2 * ease + quality.kl * noise()),
        "n_kl": n_kl,
        "kl": n_kl * quality.kl * noise(),
        "agree1": n_kl * np.clip(quality.agree + 0.02 * own.normal(size=clusters), 0, 1),
    }


@dataclass(frozen=True)
class Cell:
    """One cell to be saved."""

    name: str
    seed: int = 0
    quality: Quality = Quality()
    role: str | None = None
    of: str | None = None
    seeded: bool = True
    failed: str | None = None
    identity: str = ""
    title: str = ""
    finished: str = "2026-11-20T12:00:00+00:00"
    warnings: tuple[str, ...] = ()
    change: Mapping[str, Any] = field(default_factory=dict)


def save(folder: Path, case: Case, cell: Cell, table: dict[str, Array] | None = None) -> StoredRecord:
    """Save a cell as a run does; ``table`` takes the place of the synthetic parts."""
    measured = (
        {} if cell.failed else table or parts(cell.quality, case.clusters, cell.seed, cell.name + (cell.of or ""))
    )
    return save_record(folder, record(case, cell, measured), measured)


def record(case: Case, cell: Cell, measured: dict[str, Array]) -> Record:
    """Return the record of a cell, its values computed from ``measured``."""
    plain = Record(
        cell=sha256_text(f"{cell.name} {cell.of} {cell.seed} {cell.identity} {case.table} {cell.finished}")[:24],
        status="failed" if cell.failed else "ok",
        reason=cell.failed,
        seed=cell.seed,
        task=TaskPart(
            name=case.task, title=case.title, version=1, track="reconstruction", table=case.table, spec=case.full_spec()
        ),
        method=_method(cell),
        model=_model(case),
        data=_data(case),
        fit={"parameters": 2_656_000.0, "train_tokens": 24000.0},
        metrics=_metrics(measured, cell.failed),
        margins={},
        bars={},
        details={"density_tokens": 50000.0},
        warnings=cell.warnings,
        stages={
            "activations": StagePart(seconds=41.0, peak_mb=2100.0, shared=True),
            "fit": StagePart(seconds=38.0 + cell.seed, peak_mb=910.0, shared=False),
        },
        provenance=_provenance(case, cell),
    )
    return plain.model_copy(update=dict(cell.change))


def _method(cell: Cell) -> MethodPart:
    return MethodPart(
        name=cell.name,
        title=cell.title or cell.name.replace("_", " ").capitalize(),
        kind="dictionary",
        source="arXiv 2406.04093",
        role=cell.role,  # type: ignore[arg-type]
        of=cell.of,
        seeded=cell.seeded,
        causal=True,
        params={"lr": 0.0003, "batch": 256},
        identity=cell.identity or f"{cell.name}{cell.of or ''}".encode().hex()[:24].ljust(24, "0"),
    )


def _model(case: Case) -> ModelPart:
    return ModelPart(
        name=case.model, label="gguf-q4_1-dequantized", fingerprint=case.model.encode().hex()[:24], blocks=30,
        width=576, dtype="float32", layer=case.layer, hidden_state=case.layer + 1, at="resid_post",
    )  # fmt: skip


def _data(case: Case) -> DataPart:
    splits = {
        "train": SplitPart(documents=101, groups=38, tokens=24000, cut=3, left_out=439),
        "val": SplitPart(documents=17, groups=5, tokens=4000, cut=0, left_out=43),
        "test": SplitPart(documents=208, groups=case.clusters, tokens=50000, cut=7, left_out=392),
    }
    return DataPart(
        source="hub" if case.mirror else "reasoning_gym", name=case.task, config=None, revision=None,
        mirror=case.mirror, fingerprint=f"{case.task}{case.mirror}".encode().hex()[:24], splits=splits,
        clusters=case.clusters, mask={"first": "drop", "outliers": "keep"},
    )  # fmt: skip


def _metrics(measured: dict[str, Array], failed: str | None) -> dict[str, MetricPart]:
    known = all_metrics()
    found = {}
    for name in METRICS:
        value, reason = (None, failed) if failed else known[name].point(measured)
        m = known[name]
        found[name] = MetricPart(
            value=value, reason=reason, unit=m.unit, direction=m.direction, version=m.version, source=m.source
        )
    return found


def _provenance(case: Case, cell: Cell) -> Provenance:
    return Provenance(
        version="0.1.0", commit="4ef6112d0c0ffee0", dirty=False, python="3.11.2",
        libraries={"torch": "2.13.0", "numpy": "2.4.6"}, platform="Linux x86_64", device="cpu", threads=2,
        batch_tokens=2048, command=f"harness eval --method {cell.of or cell.name} --task {case.task}",
        started="2026-11-20T11:40:00+00:00", finished=cell.finished,
    )  # fmt: skip
