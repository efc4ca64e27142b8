"""Why a control of a reward ties the policy to its start: three penalties in a world whose best policy is known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field

from harness.reporting.decoding.findings import Anchor, Anchors
from harness.specs.checking import check
from harness.specs.reading import read_yaml
from harness.specs.strict import Strict

FILE = Path(__file__).resolve().parent / "anchors.yaml"


class Penalty(Strict):
    """One penalty, and where every arm ends under it."""

    penalty: str
    allowed: str
    arms: dict[str, tuple[float, ...]] = Field(description="KL(p‖π), nats, by seed")


class World(Strict):
    """What was run."""

    setting: str
    start: float = Field(description="KL(p‖π) before, nats")
    penalties: tuple[Penalty, ...]


@cache
def anchors(path: Path = FILE) -> Anchors:
    """Return what arms end at as shares of the start. Raises ``UserError`` on a wrong file."""
    found = check(read_yaml(path), World, "file of penalties")
    rows = tuple(_anchor(penalty, found.start) for penalty in found.penalties)
    seeds = len(next(iter(found.penalties[0].arms.values())))
    return Anchors(found.setting, found.start, seeds, rows)


def _anchor(penalty: Penalty, start: float) -> Anchor:
    ratios = {arm: (min(ends) / start, max(ends) / start) for arm, ends in penalty.arms.items()}
    return Anchor(penalty.penalty, penalty.allowed, ratios)
