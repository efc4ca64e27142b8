"""The arms of one table: what each changed, what it comes to, how strong it was and where that was chosen."""

from __future__ import annotations

from collections.abc import Mapping

from harness.board.pool import Entry
from harness.metrics.verdicts import Verdict
from harness.reporting.contract import Source
from harness.reporting.rows import in_order, number
from harness.reporting.steering.findings import Arm, Count
from harness.stats.paired import mcnemar
from harness.stats.verdicts import verdicts

RULE = "steering"
SHOWN = (
    "d_acc", "d_reflect", "over_random", "d_gold_loglik", "side_kl", "side_acc", "ppl_base", "rep4", "hm_offline",
    "len_ratio", "censored",
)  # fmt: skip


def arms(source: Source) -> tuple[Arm, ...]:
    """Return every row: contestants first."""
    return tuple(_arm(entry) for entry in in_order(source))


def _arm(entry: Entry) -> Arm:
    held = list(entry.measured.values())
    lacking = Verdict(RULE, "INCONCLUSIVE", "the record lacks parts that the rule reads")
    verdict = next((one for one in verdicts(held) if one.name == RULE), lacking)
    return Arm(
        label=entry.label,
        role=entry.role,
        seeds=len(held),
        verdict=verdict.word,
        reason=verdict.reason,
        choice=choice(entry),
        metrics={name: number(entry, name) for name in SHOWN},
        helped=_count(entry, "helped"),
        harmed=_count(entry, "harmed"),
        p=_p(entry),
    )


def _count(entry: Entry, name: str) -> Count:
    held = [float(parts[name].sum()) for parts in entry.measured.values() if name in parts]
    return Count(sum(held) / len(held) if held else 0.0, number(entry, name))


def _p(entry: Entry) -> float | None:
    """Return the p-value of McNemar's test, which is about problems that do not hang together, written for once."""
    (parts, *others) = entry.measured.values()
    if others or not {"helped", "harmed"} <= parts.keys() or parts["n"].max() > 1:
        return None
    return mcnemar(round(parts["helped"].sum()), round(parts["harmed"].sum()))


def details(entry: Entry) -> tuple[Mapping[str, float], ...]:
    """Return what the record of every measured seed says of its choice."""
    return tuple(entry.cells[seed].record.details for seed in entry.measured)


def unedited(entry: Entry) -> bool:
    """Say whether a row is the model as it is: the one strength that was tried is no dose at all."""
    return all(one.get("dose, try 1") == 0 and "dose, try 2" not in one for one in details(entry))


def unit(entry: Entry) -> str:
    """Say in what the doses of a row are given."""
    norms = {one.get("doses are edit norms") for one in details(entry)}
    if norms == {1.0}:
        return "relative edit norm"
    return "√(nats per token of neutral text)" if norms == {0.0} else "unit not recorded"


def choice(entry: Entry) -> str:
    """Say how strong a row was and where that was chosen; over seeds smallest and largest."""
    if unedited(entry):
        return "nothing is changed"
    every = details(entry)
    best = [(one, int(one.get("chosen try", 1))) for one in every]
    dose = _range([one.get(f"dose, try {number}") for one, number in best])
    strength = _range([one.get("strength") for one in every])
    tries = _range([float(sum(name.startswith("val hm, try ") for name in one)) for one in every])
    among = "the only strength" if tries == "1" else f"of {tries} strengths"
    alike = " (all have one mark there: the weakest)" if tries != "1" and all(map(_alike, every)) else ""
    told = [f"dose {dose} ({unit(entry)})", f"strength {strength}", f"{among}, {where(every)}{alike}"]
    latent = _range([entry.cells[seed].record.fit.get("latent") for seed in entry.measured])
    return "; ".join([*told, *([f"latent {latent}, chosen on the train split"] if latent != "not given" else [])])


def _alike(one: Mapping[str, float]) -> bool:
    """Say whether validation problems tell no strength from another."""
    return len({value for name, value in one.items() if name.startswith("val hm, try ")}) == 1


def where(every: tuple[Mapping[str, float], ...]) -> str:
    """Say on how many validation problems strengths were chosen."""
    return f"chosen on {_range([one.get('validation problems') for one in every])} validation problems"


def _range(values: list[float | None]) -> str:
    """Write the only value, or the smallest and the largest."""
    found = [value for value in values if value is not None]
    if not found:
        return "not given"
    low, high = (f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}" for value in (min(found), max(found)))
    return low if low == high else f"{low} to {high}"
