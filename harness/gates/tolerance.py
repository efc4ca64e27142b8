"""How much worse is still acceptable: given for a metric, or a share of what the method adds to its best control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.board.pool import Entry
from harness.board.score import margin_over
from harness.errors import UserError, unknown
from harness.metrics.contract import Metric, all_metrics
from harness.specs.reading import read_yaml

DEFAULT = "default"
SHARE = 0.05


@dataclass(frozen=True)
class Tolerance:
    """An acceptable loss in the metric's unit, and where it comes from."""

    value: float
    basis: str


@dataclass(frozen=True)
class Given:
    """What a user wrote: a number in the metric's unit, or a share of what is taken by default."""

    number: float
    share: bool


@dataclass(frozen=True)
class Tolerances:
    """Tolerances by ``METRIC`` or ``TASK/METRIC``; ``share`` is what holds for all others."""

    given: Mapping[str, Given]
    share: float = SHARE

    def named(self, task: str, metric: Metric) -> bool:
        """Say whether a tolerance was given for this metric itself."""
        return f"{task}/{metric.name}" in self.given or metric.name in self.given

    def of(self, task: str, metric: Metric, entry: Entry, table: Sequence[Entry]) -> Tolerance:
        """Return the tolerance of a metric for an entry of the baseline.

        By default 5 % of the distance between the entry's value and that of its best matched control, both in the
        baseline: a score means what it is above its null, so that is what a method can lose a share of. A share of the
        value itself would be lax where the null already does well (an accuracy of .85 over a control with .71) and
        strict where it does not. Only where there is no such distance (controls, targets, counts of the code, a value
        not above its null) it is 5 % of the value.

        Args:
            task: its name.
            metric: what is compared.
            entry: the method or control in the baseline.
            table: every entry of the baseline's table, for the controls.
        """
        given = self.given.get(f"{task}/{metric.name}", self.given.get(metric.name))
        if given is not None and not given.share:
            return Tolerance(given.number, "given")
        share = self.share if given is None else given.number
        return _of_margin(share, metric, entry, table) or _of_value(share, metric, entry)


def _of_margin(share: float, metric: Metric, entry: Entry, table: Sequence[Entry]) -> Tolerance | None:
    if entry.role is not None or not metric.margin or not entry.measured:
        return None
    margin = margin_over(metric, entry, table)
    if margin.value is None or margin.value <= 0:
        return None
    return Tolerance(share * margin.value, f"{100 * share:g} % of the distance to {margin.control}")


def _of_value(share: float, metric: Metric, entry: Entry) -> Tolerance:
    values = [metric.point(parts)[0] for parts in entry.measured.values()]
    known = [value for value in values if value is not None]
    mean = abs(sum(known) / len(known)) if known else 0.0
    return Tolerance(share * mean, f"{100 * share:g} % of the value")


def parse_tolerances(given: Mapping[str, str | float], where: str = "tolerances") -> Tolerances:
    """Check tolerances by metric, ``TASK/METRIC`` or ``default``; raises ``UserError``.

    Args:
        given: a number in the metric's unit, or a share as in ``"3%"``; ``default`` takes a share only.
        where: option or file, for messages.
    """
    known = all_metrics()
    for name in given:
        if name != DEFAULT and name.rpartition("/")[2] not in known:
            raise unknown("metric", name.rpartition("/")[2], [*known, DEFAULT], where)
    read = {name: _read(name, value, where) for name, value in given.items()}
    default = read.pop(DEFAULT, Given(SHARE, True))
    if not default.share:
        raise UserError(f"{where}: {DEFAULT} must be a share, as in {DEFAULT}=5%, since metrics differ in unit")
    return Tolerances(read, default.number)


def _read(name: str, value: str | float, where: str) -> Given:
    text = str(value).strip()
    share = text.endswith("%")
    try:
        number = math.nan if isinstance(value, bool) else float(text.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise UserError(f"{where}: {name} must be a number from 0 up, or a share as in 5%, got '{text}'")
    return Given(number / 100 if share else number, share)


def read_tolerances(file: Path | None, words: Sequence[str]) -> dict[str, str | float]:
    """Return what a YAML file and then ``METRIC=x`` words of the command line say; raises ``UserError``."""
    found: dict[str, str | float] = dict(read_yaml(file).value) if file else {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--tolerance: write METRIC=x, as in --tolerance fvu=0.01 or fvu=3%, got '{word}'")
        found[name.strip()] = value.strip()
    return found
