"""What a reward did, and what the same training did with something else in the reward's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.board.pool import Entry
from harness.metrics.contract import SUBVOCAB
from harness.metrics.reward import ANCHORED, ARM_MEANINGS, DIVERGENCES
from harness.metrics.verdicts import Verdict, rules
from harness.reporting.contract import Measure, Source
from harness.reporting.decoding.findings import ArmChange, Regime, Reward
from harness.reporting.decoding.tables import of_track, vocabulary, where
from harness.reporting.rows import mean_of, notes, number, records
from harness.stats.verdicts import verdicts

# What the reward is held against.
_OTHERS = ("random", "sup_cont")
MEANINGS = {
    "SIGNAL": "The reward brings the decoder nearer to the model, and rewards drawn at random do not bring as much.",
    "NO_SIGNAL": "The reward brings no more than a difference too small to matter: what was trained for did not come.",
    "HARMFUL": "Training on this reward leads the decoder away from the model: it is worse after it than before.",
    "CONTROL_IMPROVES": "Rewards without meaning bring the decoder nearer too, so its gain is no proof of the reward.",
    "BROKEN_CONTROL": "Random rewards do not move the decoder at all, so this control cannot fail and proves nothing.",
    "INCONCLUSIVE": "Neither an effect nor its absence is shown: more seeds or more texts would be needed.",
}


def rewards(sources: Sequence[Source]) -> tuple[Reward, ...]:
    """Return the verdicts on every contestant's reward, by either divergence."""
    return tuple(
        _reward(source, entry, direction)
        for source in of_track(sources, "reward_control")
        for entry in source.contestants
        for direction in DIVERGENCES
    )


def _reward(source: Source, entry: Entry, direction: str) -> Reward:
    suffix = "" if vocabulary(entry) is None else SUBVOCAB
    reached = {verdict.name: verdict for verdict in verdicts(list(entry.measured.values()))}
    return Reward(
        where=where(source),
        label=entry.label,
        seeds=len(entry.measured),
        beta=entry.head.details.get("beta"),
        divergence=DIVERGENCES[direction][1],
        start=_start(entry, direction, suffix),
        vocabulary=vocabulary(entry),
        regimes=tuple(_regime(entry, direction + regime, suffix, reached) for regime in ("", ANCHORED)),
        records=records(entry),
        notes=notes(source, [entry]),
    )


def _regime(entry: Entry, which: str, suffix: str, reached: Mapping[str, Verdict]) -> Regime:
    # The rule of a regime is the one that reads its change by the reward.
    name = next((rule.name for rule in rules() if f"d_true{which}{suffix}" in rule.needs), "")
    verdict = reached.get(name) or Verdict(name, "INCONCLUSIVE", "the record lacks parts that the rule reads")
    arms = [ArmChange(arm, what, number(entry, f"d_{arm}{which}")) for arm, what in ARM_MEANINGS.items()]
    over = [ArmChange(arm, ARM_MEANINGS[arm], number(entry, f"d_true_minus_{arm}{which}")) for arm in _OTHERS]
    title = "with a penalty on leaving the start" if which.endswith(ANCHORED) else "without a penalty"
    return Regime(title, verdict.word, verdict.reason, MEANINGS[verdict.word], tuple(arms), tuple(over))


def _start(entry: Entry, direction: str, suffix: str) -> Measure:
    """Return the divergence of the decoder that all arms start from."""
    return mean_of(list(entry.measured.values()), f"{DIVERGENCES[direction][0]}_start{suffix}", "n")
