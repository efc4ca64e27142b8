"""What the template draws: the change under every arm of a reward, on one axis for both ways of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.board import drawing
from harness.board.axes import Axis
from harness.reporting.contract import Measure
from harness.reporting.decoding.findings import ArmChange, Findings, Regime, Reward
from harness.reporting.writing import signed

WIDTH, LEFT, TOP, LINE, BELOW, RIGHT = 400, 84, 10, 40, 44, 20
# Of the two regimes: how a mark looks, and how far above or below the middle of its line it lies.
MARKS = (("circle", "method", -7.0), ("square", "unranked", 7.0))


@dataclass(frozen=True)
class RewardView:
    """One reward with its picture; ``key`` begins every id of its part of the page. No picture without a number."""

    key: str
    reward: Reward
    picture: Markup | None


def views(findings: Findings) -> tuple[RewardView, ...]:
    """Return every reward with its picture."""
    return tuple(RewardView(f"r{i}", reward, picture(reward, f"r{i}")) for i, reward in enumerate(findings.rewards))


def picture(reward: Reward, key: str) -> Markup | None:
    """Draw the change of the divergence under every arm, with intervals; left of 0 the decoder came nearer."""
    changes = [arm.change for regime in reward.regimes for arm in regime.arms]
    ends = [end for change in changes for end in (change.value, change.lo, change.hi) if end is not None]
    if not ends:
        return None
    axis, arms = _axis(ends), [arm.arm for arm in reward.regimes[0].arms]
    height = LINE * len(arms)
    inside = list(_ground(axis, arms, reward.divergence))
    for regime, look in zip(reward.regimes, MARKS, strict=True):
        inside += _marks(regime, look, axis)
    size = (LEFT + WIDTH + RIGHT, TOP + height + BELOW)
    return drawing.picture(size, key, f"What {reward.label} came to under every arm", _told(reward.regimes), inside)


def _axis(ends: Sequence[float]) -> Axis:
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.06 * (high - low or 1.0)
    return Axis(low - room, high + room, False, WIDTH)


def _ground(axis: Axis, arms: Sequence[str], divergence: str) -> Iterator[str]:
    height = LINE * len(arms)
    for tick in axis.ticks():
        at = LEFT + axis.place(tick)
        yield drawing.path("grid", f"M{drawing.number(at)} {TOP}v{height}")
        yield drawing.words("tick", (at, TOP + height + 16), f"{tick:g}")
    for i, arm in enumerate(arms):
        yield drawing.words("tick y", (LEFT - 8, TOP + LINE * (i + 0.5) + 4), arm)
    yield drawing.path("axis", f"M{LEFT} {TOP}v{height}h{WIDTH}")
    yield drawing.path("zero", f"M{drawing.number(LEFT + axis.place(0.0))} {TOP}v{height}")
    yield drawing.words(
        "title", (LEFT + WIDTH / 2, TOP + height + 36), f"change of {divergence}, nats/token; left is nearer"
    )


def _marks(regime: Regime, look: tuple[str, str, float], axis: Axis) -> Iterator[str]:
    shape, style, off = look
    for i, arm in enumerate(regime.arms):
        if arm.change.value is not None:
            y = TOP + LINE * (i + 0.5) + off
            yield from _whisker(arm.change, axis, y)
            tip = f"{arm.arm}, {regime.title}: {signed(arm.change)}"
            yield drawing.mark(style, shape, (LEFT + axis.place(arm.change.value), y), tip)


def _whisker(found: Measure, axis: Axis, y: float) -> Iterator[str]:
    if found.lo is not None and found.hi is not None:
        lo, hi = (drawing.number(LEFT + axis.place(end)) for end in (found.lo, found.hi))
        yield drawing.path("whisker", f"M{lo} {drawing.number(y)}H{hi}")


def _told(regimes: Sequence[Regime]) -> str:
    return "; ".join(f"{regime.title}: {_changes(regime.arms)}" for regime in regimes)


def _changes(arms: Sequence[ArmChange]) -> str:
    return ", ".join(f"{arm.arm} {signed(arm.change)}" for arm in arms)
