"""Tables of a world whose rows have a planted quality under every metric, and what an audit finds on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from board_records import Case, Cell, record

from harness.audits.checks import record_checks
from harness.audits.evidence import Evidence, gather
from harness.board import read
from harness.metrics.contract import Array, get_metric
from harness.specs.reliability import Check

METRICS = ["mcc_over_g", "firing_f1", "fvu", "dead_frac", "l0"]
CASE = Case(task="planted", spec={"metrics": METRICS, "track": "world", "seeds": [0, 1, 2]})
KIN = {"whole": None, "bent": "whole", "broken": "bent"}
DIRECTIONS = 20


@dataclass(frozen=True)
class Planted:
    """One row: where its directions and its firing are (0 to 1), and what other metrics say of it.

    Attributes:
        finds: |cos| of its latents with the true directions.
        fires: the F1 of each latent.
        fvu: fraction of variance unexplained.
        dead: share of dead latents, in steps of .01.
        noise: standard deviation of ``finds`` and ``fvu`` between seeds.
    """

    name: str
    finds: float
    fires: float
    fvu: float
    dead: float = 0.2
    noise: float = 1e-4
    role: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    of: str | None = None


def parts(row: Planted, seed: int) -> dict[str, Array]:
    """Return parts that give the planted values, and vary from seed to seed and from cluster to cluster."""
    shared = np.random.default_rng(5)
    own = np.random.default_rng([seed, *row.name.encode()])
    clusters = CASE.clusters
    n = np.full(clusters, 100.0)
    sxx = n * shared.lognormal(0.0, 0.1, clusters)
    finds = np.clip(row.finds + row.noise * own.normal(), 0, 1)
    fire = np.full((clusters, DIRECTIONS), 10.0)
    return {
        "n": n,
        "cos_matched": np.full(DIRECTIONS, finds),
        "cos_best": np.full(DIRECTIONS, finds),
        "fire_true": fire,
        "fire_latent": fire,
        "fire_both": fire * row.fires,
        "se": sxx * (row.fvu + row.noise * own.normal() + 0.1 * row.noise * own.normal(size=clusters)),
        "sxx": sxx,
        "x_gram": np.zeros((clusters, clusters)),
        "fires": np.where(np.arange(100) < round(100 * row.dead), 0.0, 50.0),
        "n_density": np.array(1000.0),
        "l0": n * 64.0,
    }


@dataclass(frozen=True)
class World:
    """The rows of a table, by name."""

    rows: Mapping[str, Planted] = field(default_factory=dict)

    def but(self, *rows: Planted) -> World:
        """Return the table with some rows replaced or added."""
        return replace(self, rows={**self.rows, **{row.name: row for row in rows}})

    def evidence(self) -> Evidence:
        """Return the rows as an audit sees them."""
        found = []
        for row in self.rows.values():
            for seed in row.seeds:
                measured = parts(row, seed)
                name = "kept" if row.of else row.name
                cell = Cell(name, seed, role=row.role, of=row.of, seeded=row.role != "floor")
                found.append(read.Cell(record(CASE, cell, measured), f"{row.name}-{seed}", measured))
        return gather(found, CASE.task, CASE.table, KIN)

    def checks(self, metric: str) -> dict[str, Check]:
        """Return what the records say of a metric."""
        return record_checks(get_metric(metric), self.evidence())


def world(methods: Iterable[Planted]) -> World:
    """Return a table of methods with the truth, its damaged versions and a trivial control; fvu follows the truth."""
    rows = [
        *methods,
        Planted("whole", 1.0, 1.0, 0.01, 0.2, 0.0),
        Planted("bent", 0.8, 0.8, 0.20, 0.2),
        Planted("broken", 0.5, 0.5, 0.50, 0.2),
        Planted("nothing", 0.0, 0.0, 1.0, 0.2, 0.0, "floor", (0,)),
    ]
    return World({row.name: row for row in rows})


def graded(count: int = 6) -> list[Planted]:
    """Return methods from worse to better, by the truth and by fvu; the better, the more of their latents are dead."""
    steps = np.linspace(0.55, 0.95, count)
    return [Planted(f"m{i}", q, q, 1 - q, dead=0.3 + 0.05 * i) for i, q in enumerate(map(float, steps))]
