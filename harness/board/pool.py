"""The cells of one table pooled over seeds: one entry per method, or per control and what it was built from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.board import asked
from harness.board.read import Cell
from harness.board.rows import Cost, Problem, Seed
from harness.metrics.contract import Parts, clusters
from harness.specs.record import Record
from harness.specs.strict import Role


@dataclass(frozen=True)
class Entry:
    """The cells of one row.

    Attributes:
        key: slug, what it is derived from, and identity.
        label: what a reader calls it.
        head: its newest record.
        cells: by seed.
        asked: the seeds the task asks for.
    """

    key: tuple[str, str, str]
    label: str
    head: Record
    cells: dict[int, Cell]
    asked: tuple[int, ...]

    @cached_property
    def role(self) -> Role | None:
        """The role of its newest record."""
        return self.head.method.role

    @cached_property
    def measured(self) -> dict[int, Parts]:
        """Parts by seed, in order, of the cells that did not fail; one seed where nothing varies with it."""
        found = {seed: cell.parts for seed, cell in sorted(self.cells.items()) if cell.ok}
        # A derived control varies with the seed of what it is built from.
        varies = self.head.method.seeded or self.role == "derived"
        return found if varies else dict(list(found.items())[:1])

    @property
    def seeds(self) -> tuple[Seed, ...]:
        """Every cell, and every one that is missing."""
        # Without randomness any one seed is the whole row, so the others are not missing.
        wanted = self.asked if self.head.method.seeded else ()
        return tuple(self._seed(number) for number in sorted({*wanted, *self.cells}))

    def _seed(self, number: int) -> Seed:
        if number not in self.cells:
            return Seed(number, "missing", "no record")
        cell = self.cells[number]
        return Seed(number, cell.record.status, cell.record.reason, cell.path)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its records warn of, each once, with the seeds that do where not all of them do."""
        by_text: dict[str, list[int]] = {}
        for seed, cell in sorted(self.cells.items()):
            for text in dict.fromkeys((*cell.record.warnings, *cell.warnings)):
                by_text.setdefault(text, []).append(seed)
        return tuple(
            text if len(seeds) == len(self.cells) else f"{text} (seed {', '.join(map(str, seeds))})"
            for text, seeds in by_text.items()
        )

    @property
    def cost(self) -> Cost:
        """What its measured cells took, each figure the mean over seeds; memory the largest peak."""
        records = [cell.record for cell in self.cells.values() if cell.ok]
        stages = [(name, stage) for record in records for name, stage in record.stages.items()]
        return Cost(
            fit_seconds=_mean(stage.seconds for name, stage in stages if name == "fit"),
            peak_mb=max((s.peak_mb for _, s in stages if s.peak_mb and not s.shared), default=None),
            parameters=_mean(r.fit["parameters"] for r in records if "parameters" in r.fit),
            measure_seconds=_mean(stage.seconds for name, stage in stages if name == "measure"),
            shared_seconds=_mean(
                sum(s.seconds for name, s in r.stages.items() if s.shared and name != "measure") for r in records
            ),
            train_tokens=_mean(r.fit["train_tokens"] for r in records if "train_tokens" in r.fit),
            test_tokens=_mean(float(cell.parts["n"].sum()) for cell in self.cells.values() if cell.ok),
        )


def _mean(values: Iterable[float]) -> float | None:
    # A record says what it likes of seconds and scalars; what is not a number is none.
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def pool(cells: Sequence[Cell]) -> tuple[list[Entry], list[Problem], list[str]]:
    """Return the entries of one table's cells, the cells that do not fit in, and notes about what was set aside."""
    cells, problems = _same_clusters(cells)
    kept: dict[tuple[str, str, str], dict[int, Cell]] = {}
    notes = []
    for cell in sorted(cells, key=_recency):
        method, seed = cell.record.method, cell.record.seed
        of_row = kept.setdefault((method.name, method.of or "", method.identity), {})
        if seed in of_row:
            notes.append(
                f"{method.name}, seed {seed}, was recorded more than once; the newest that did not fail is shown."
            )
        of_row[seed] = cell
    labels = _labels(list(kept))
    seeds = asked.seeds(newest(cells)) if cells else ()
    entries = [Entry(key, labels[key], _head(of_row), of_row, seeds) for key, of_row in kept.items()]
    return sorted(entries, key=lambda entry: entry.key), problems, sorted(set(notes))


def _recency(cell: Cell) -> tuple[bool, str, str]:
    # A measured cell stands before a failed one, however old: the failure was overcome.
    return cell.ok, cell.record.provenance.finished, cell.path


def _head(of_row: dict[int, Cell]) -> Record:
    return max(of_row.values(), key=lambda cell: (cell.record.provenance.finished, cell.path)).record


def newest(cells: Sequence[Cell]) -> Record:
    """Return the record that was finished last, a control's only where there are no others.

    Controls may run on another language model than the table's.
    """
    methods = [cell for cell in cells if cell.record.method.role is None]
    return max(methods or cells, key=lambda cell: (cell.record.provenance.finished, cell.path)).record


def _same_clusters(cells: Sequence[Cell]) -> tuple[list[Cell], list[Problem]]:
    """Leave out measured cells whose number of clusters is not that of most others: nothing pairs them."""
    counts = Counter(clusters(cell.parts) for cell in cells if cell.ok)
    if len(counts) < 2:
        return list(cells), []
    usual = max(counts, key=lambda count: (counts[count], count))
    odd = {cell.path: clusters(cell.parts) for cell in cells if cell.ok and clusters(cell.parts) != usual}
    reason = f"clusters in its parts, {usual} in the other records of its table; it is left out"
    return (
        [cell for cell in cells if cell.path not in odd],
        [Problem(path, f"{count} {reason}") for path, count in odd.items()],
    )


def _labels(keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """Name each row; the start of the identity is shown only where a slug has several."""
    same = Counter((name, of) for name, of, _ in keys)
    labels = {}
    for name, of, identity in keys:
        label = f"{name} of {of}" if of else name
        labels[name, of, identity] = f"{label} ({identity[:6]})" if same[name, of] > 1 else label
    return labels
