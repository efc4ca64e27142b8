"""Records of error probes with known contents: planted scores, places, effect sizes and texts, saved as a run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from board_records import Case, Cell, record

from harness.metrics.contract import Array
from harness.specs.record import ModelPart
from harness.store.items import Item
from harness.store.records import StoredRecord, save_record

GROUPS, EACH = 60, 2
POSITIONS = {"prompt": True, "first": 2, "even": 0}
BLOCKS, PLACES = (9, 19), 3
PLANTED = 4  # block 19, first token of the answer
THRESHOLD = 0.4


@dataclass(frozen=True)
class Truth:
    """The answers of a run: labels, groups and folds, the same for all rows."""

    y: Array
    cluster: Array
    fold: Array

    @property
    def n(self) -> int:
        return len(self.y)


def truth(seed: int = 0) -> Truth:
    cluster = np.repeat(np.arange(GROUPS), EACH).astype(float)
    y = np.random.default_rng(seed).permutation(np.arange(GROUPS * EACH) % 2).astype(float)
    return Truth(y, cluster, cluster % 5)


def probability(true: Truth, signal: float, seed: int) -> Array:
    """Return probabilities that hold so much of the truth, 0 for none."""
    drawn = np.random.default_rng(seed).normal(size=true.n)
    return np.asarray(1 / (1 + np.exp(-(signal * (2 * true.y - 1) + drawn))))


def parts(true: Truth, signal: float, seed: int, *, places: bool = True) -> dict[str, Array]:
    """Return the parts of a row; only the planted place tells errors, and less than all of them together."""
    p, draw = probability(true, signal, seed), np.random.default_rng([seed, 1])
    half = np.full(true.n, 0.5)
    found = {
        "n": np.full(GROUPS, float(EACH)),
        "item_p": p,
        "item_y": true.y,
        "item_fold": true.fold,
        "item_cluster": true.cluster,
        "item_prior": half,
        "control_p": draw.random(true.n),
        "control_prior": half,
        "control_y": (true.cluster % 2).astype(float),
        "confidence_p": probability(true, 0.2, 77),
        "joined_p": p,
        "leak_p": draw.random(true.n),
        "leak_prior": half,
        "train_right": np.array([90.0]),
        "train_n": np.array([96.0]),
        "d_null": draw.normal(0.34, 0.03, 200),
    }
    return found | (_places(true, p, draw) if places else {})


def _places(true: Truth, p: Array, draw: np.random.Generator) -> dict[str, Array]:
    blocks = len(BLOCKS) * PLACES
    alone = draw.random((true.n, blocks))
    alone[:, PLANTED] = p
    removed = np.repeat(p[:, None], blocks, 1)
    removed[:, PLANTED] = draw.random(true.n)
    exchanged = np.roll(true.y, EACH * 7)
    above = np.zeros(blocks)
    above[PLANTED] = 12
    return {
        "alone_p": alone,
        "removed_p": removed,
        "alone_null_p": draw.random((true.n, blocks)),
        "removed_null_p": draw.random((true.n, blocks)),
        "item_p_null": draw.random(true.n),
        "item_y_null": exchanged,
        "block_above": above,
        "block_above_null": np.full(blocks, 0.01),
        "top_block": np.full(blocks, 100 / blocks),
        "top_block_null": np.full(blocks, 100 / blocks),
    }


def table(largest: float) -> dict[str, Any]:
    """Return effect sizes of 60 features at the six places; one of the planted place is the largest."""
    d = np.random.default_rng(5).normal(0, 0.1, 60)
    block = np.repeat(np.arange(6), 10)
    d[block == PLANTED] = 0.01
    d[PLANTED * 10] = -largest
    d[0] = np.nan
    return {"block": block, "cohens_d": d, "hedges_g": d * 0.99}


def items(true: Truth, *, text: str = "") -> tuple[Item, ...]:
    """Return the texts of the answers; ``text`` stands wherever text may stand."""
    return tuple(
        Item(
            f"test/{i}", f"{text}group {int(c)}", text or None, f"{text}What is {i}?", f"{text}It is {i}.",
            f"{text}{'wrong' if y else 'right'}", {f"{text}mean log-probability": -1.0 - i / 100},
        )
        for i, (y, c) in enumerate(zip(true.y, true.cluster, strict=True))
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of a made-up run."""

    name: str
    signal: float
    role: str | None = None
    of: str | None = None
    largest: float = 0.9
    places: bool = True
    text: str | None = ""
    change: Mapping[str, Any] | None = None


ROWS = (
    Row("probe", 1.5),
    Row("idle", 0.0, largest=0.3),
    Row("doubt", 0.2, role="floor"),
    Row("length", 0.0, role="floor"),
    Row("shuffled", 0.0, role="derived", of="probe"),
)


def save_row(folder: Path, row: Row, task: str = "sums", true: Truth | None = None) -> StoredRecord:
    """Save a row as a run does."""
    true = true or truth()
    held = parts(true, row.signal, 10 + sum(row.name.encode()), places=row.places)
    case = Case(task=task, title="Sums with planted errors", clusters=GROUPS)
    plain = record(case, Cell(row.name, role=row.role, of=row.of), held)
    spec = {"metrics": ["auroc"], "seeds": [0], "answers": {"given": "x", "positions": POSITIONS}}
    model = ModelPart(
        name="tiny", label="Tiny", fingerprint="f", blocks=30, width=8, dtype="float32",
        layer=BLOCKS, hidden_state=(10, 20), at="resid_post",
    )  # fmt: skip
    made = plain.model_copy(
        update={
            "task": plain.task.model_copy(update={"track": "errors", "spec": spec}),
            "model": model,
            "metrics": {},
            "margins": {},
            "bars": {},
            "details": {"threshold of |d|": THRESHOLD},
            **(row.change or {}),
        }
    )
    texts = items(true, text=row.text) if row.text is not None else ()
    return save_record(folder, made, held, table(row.largest), texts)


def save_run(folder: Path, rows: tuple[Row, ...] = ROWS) -> Path:
    """Save a whole run and return its folder."""
    for row in rows:
        save_row(folder, row)
    return folder
