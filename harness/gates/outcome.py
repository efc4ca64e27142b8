"""What a gate finds: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from harness.board.rows import Problem
from harness.gates.evidence import Evidence
from harness.gates.tolerance import Tolerance
from harness.gates.verdict import Judgement
from harness.specs.strict import Role
from harness.stats.paired import Verdict


@dataclass(frozen=True)
class Comparison:
    """One method or control under one metric of one table.

    Attributes:
        task: name; ``table`` is the hash of the resolved task.
        method: the row's label, as on the board.
        before: mean over seeds in the baseline; ``after`` in the run.
        evidence: the loss and its spread.
        tolerance: how much worse is acceptable.
        judgement: the verdict.
    """

    task: str
    table: str
    method: str
    role: Role | None
    metric: str
    unit: str
    direction: str
    before: float | None
    after: float | None
    evidence: Evidence
    tolerance: Tolerance
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """``pass``, ``fail`` or ``inconclusive``."""
        return self.judgement.verdict


@dataclass(frozen=True)
class FailedCell:
    """A cell that failed in the run and not in the baseline."""

    task: str
    method: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Gate:
    """The outcome of a gate.

    Attributes:
        comparisons: every metric of every pair, in the order of task and method.
        failed: cells that the run lost.
        missing: what the baseline measured and the run did not, in words: methods, and controls where they are
            judged.
        unpaired: what one side has alone, in words; what is missing among it.
        notes: what was not judged, and why.
        problems: files that could not be used.
    """

    comparisons: tuple[Comparison, ...]
    failed: tuple[FailedCell, ...]
    missing: tuple[str, ...]
    unpaired: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def verdict(self) -> Verdict:
        """``fail`` where anything fails, else ``inconclusive`` where anything is or is missing, else ``pass``."""
        if self.failed or self.of("fail"):
            return "fail"
        undecided = self.of("inconclusive") or self.missing or not self.comparisons
        return "inconclusive" if undecided else "pass"

    def of(self, verdict: Verdict) -> tuple[Comparison, ...]:
        """Return the comparisons with a verdict."""
        return tuple(found for found in self.comparisons if found.verdict == verdict)
