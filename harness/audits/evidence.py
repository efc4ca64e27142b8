"""The rows an audit looks at: methods, controls, the whole truth and its damaged versions, all of one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.audits.leads import Leads
from harness.board import asked
from harness.board.pool import Entry, newest, pool
from harness.board.rank import unranked
from harness.board.read import Cell
from harness.errors import UserError
from harness.metrics.contract import get_metric
from harness.specs.record import Record

# What is better on a world, by directions and by firing. Where they contradict each other nobody knows what is better.
TRUTH = ("mcc_over_g", "firing_f1")


@dataclass(frozen=True)
class Evidence:
    """The rows of one table, by the part they play.

    Attributes:
        head: its newest record.
        methods: the rows a board would rank.
        left_out: why other methods are not among them, by label.
        controls: every control, whatever its role.
        whole: the truth itself; None where none is known.
        damaged: damaged versions of it.
        pairs: (version, what it is a damaged version of, directly or not).
        truth: for rows a and b by label, 1 where a is truly better, -1 where b is; no entry where nobody can say.
    """

    head: Record
    methods: tuple[Entry, ...]
    left_out: Mapping[str, str]
    controls: tuple[Entry, ...]
    whole: Entry | None
    damaged: tuple[Entry, ...]
    pairs: tuple[tuple[Entry, Entry], ...]
    truth: Mapping[tuple[str, str], int]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the table."""
        return asked.metrics(self.head)

    @property
    def floors(self) -> tuple[Entry, ...]:
        """The controls that learnt nothing, whatever the method."""
        return tuple(entry for entry in self.controls if entry.role == "floor")


def gather(cells: Iterable[Cell], task: str, table: str, kin: Mapping[str, str | None]) -> Evidence:
    """Return the rows of a table; raises ``UserError`` where there is no method among them.

    Args:
        cells: of run folders and published boards.
        task: the task's name.
        table: hash of the resolved task.
        kin: methods that know the truth, each with the one it is a damaged version of (None for the truth itself).
    """
    cells = [cell for cell in cells if cell.record.task.name == task and cell.record.task.table == table]
    rows = _newest_of_each(pool(cells)[0])
    contestants = [row for row in rows if row.role is None and row.key[0] not in kin]
    reasons = {row.label: unranked(row, asked.target_l0(row.head)) for row in contestants}
    methods = tuple(row for row in contestants if reasons[row.label] is None)
    if not contestants:
        raise UserError(f"there is no record of a method on task '{task}' as it is asked for: run it, or give --run")
    known = {row.key[0]: row for row in rows if row.key[0] in kin}
    whole = next((row for name, row in known.items() if kin[name] is None), None)
    damaged = tuple(row for name, row in known.items() if kin[name] is not None)
    return Evidence(
        head=newest(cells),
        methods=methods,
        left_out={label: why for label, why in reasons.items() if why is not None},
        controls=tuple(row for row in rows if row.role is not None and row.key[0] not in kin),
        whole=whole,
        damaged=damaged,
        pairs=tuple(_pairs(known, kin)),
        truth=_truth([*methods, *damaged]) if whole else {},
    )


def _newest_of_each(entries: Sequence[Entry]) -> list[Entry]:
    """Of several identities of a method, the newest: an audit is of the code as it is."""
    by_age = sorted(entries, key=lambda entry: entry.head.provenance.finished)
    kept = {entry.key[:2]: entry for entry in by_age if entry.measured}
    return sorted(kept.values(), key=lambda entry: entry.key)


def _pairs(known: Mapping[str, Entry], kin: Mapping[str, str | None]) -> Iterable[tuple[Entry, Entry]]:
    for name, row in known.items():
        above = kin[name]
        while above is not None:
            if above in known:
                yield row, known[above]
            above = kin.get(above)


def _truth(rows: Sequence[Entry]) -> dict[tuple[str, str], int]:
    """Say which row is truly better: ahead beyond noise by one measure of the truth, and behind by none."""
    measures = [Leads(get_metric(name)) for name in TRUTH]
    found: dict[tuple[str, str], int] = {}
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            leads = [leads.of(a, b) for leads in measures]
            signs = {lead.sign() for lead in leads if lead is not None}
            if None not in leads and len(signs - {0}) == 1:
                found[a.label, b.label] = (signs - {0}).pop()
    return found
