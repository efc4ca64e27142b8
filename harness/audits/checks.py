"""The checks that records alone can tell; ``harness.audits`` holds what they ask and why their thresholds are what
they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from harness.audits.evidence import TRUTH, Evidence
from harness.audits.leads import Leads
from harness.board.pool import Entry
from harness.board.score import nulls_of
from harness.metrics.contract import Metric
from harness.specs.reliability import Check
from harness.stats.agreement import intraclass, tau
from harness.stats.estimate import Estimate

AGREEMENT = 0.5
# Share of the distance from the best floor control to the oracle that nobody should read into a table.
NEGLIGIBLE = 0.01
MAJORITY = 0.5
REPEATABLE = 0.5
ABOUT, EXACT = 0.05, 1e-6

_NO_SIDE = "the metric has no better side and is never ranked"
_NO_TRUTH = "no truth is known here"
_STATED = re.compile(r"(\w+): (about )?(-?[\d.]+)")


def nothing(reason: str, rule: str = "") -> Check:
    """Return a check that was not tried."""
    return Check(value=None, passed=None, reason=reason, rule=rule)


def record_checks(metric: Metric, evidence: Evidence) -> dict[str, Check]:
    """Return every check that needs no more than records."""
    leads = Leads(metric)
    found = {"reseed_noise": reseed_noise(metric, evidence)}
    if metric.direction == "target":
        names = ("truth_rank", "truth_rank_methods", "oracle_first", "degraded_order", "null_floor")
        found |= {name: nothing(_NO_SIDE) for name in names}
    else:
        found["truth_rank"] = truth_rank(leads, evidence, (*evidence.methods, *evidence.damaged))
        found["truth_rank_methods"] = truth_rank(leads, evidence, evidence.methods)
        found["oracle_first"] = oracle_first(leads, evidence)
        found["degraded_order"] = degraded_order(leads, evidence)
        found["null_floor"] = null_floor(leads, evidence)
    return {**found, "null_stated": null_stated(leads, evidence)}


def reseed_noise(metric: Metric, evidence: Evidence) -> Check:
    """Share of the variance of single runs that is between methods."""
    rule = f"share of the variance of single runs that is between methods at least {REPEATABLE:g}; for information"
    runs = [_values(metric, entry) for entry in evidence.methods if entry.head.method.seeded]
    known = [values for values in runs if values.size > 1]
    seeds = min((values.size for values in known), default=0)
    if len(known) < 2:
        return nothing("fewer than 2 methods with 2 seeds each", rule).model_copy(update={"decides": False})
    found = intraclass([values[:seeds] for values in known])
    passed = _at_least(found, REPEATABLE)
    reason = found.reason or f"{len(known)} methods, {seeds} seeds each; seed SD {found.seed_sd:.3g}"
    return Check(
        value=found.value, lo=found.lo, hi=found.hi, threshold=REPEATABLE, passed=passed, reason=reason, rule=rule,
        decides=False,
    )  # fmt: skip


def _values(metric: Metric, entry: Entry) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    points = [metric.point(parts)[0] for parts in entry.measured.values()]
    return np.array([point for point in points if point is not None], dtype=np.float64)


def _at_least(found: Estimate, threshold: float) -> bool | None:
    """Pass where the value reaches the threshold, fail where the whole interval is below it, else decide nothing."""
    if found.value is None:
        return None
    if found.value >= threshold:
        return True
    return False if found.hi is not None and found.hi < threshold else None


def truth_rank(leads: Leads, evidence: Evidence, rows: tuple[Entry, ...]) -> Check:
    """Kendall's tau between the metric and the truth, over the pairs that the truth tells apart."""
    rule = f"tau with the truth at least {AGREEMENT:g}; fails where its whole interval is below"
    if leads.metric.name in TRUTH:
        return nothing("it is one of the measures that say what the truth is", rule)
    if evidence.whole is None:
        return nothing(_NO_TRUTH, rule)
    of_pair = [
        (evidence.truth[a.label, b.label], lead.value, a.label, b.label)
        for i, a in enumerate(rows)
        for b in rows[i + 1 :]
        if (a.label, b.label) in evidence.truth and (lead := leads.of(a, b)) is not None
    ]
    names = {name for pair in of_pair for name in pair[2:]}
    if not of_pair:
        return nothing("the truth separates no two of the rows", rule)
    found = tau(np.array([p[0] for p in of_pair], dtype=float), np.array([p[1] for p in of_pair]), len(names))
    passed = _at_least(found, AGREEMENT)
    said = f"{len(of_pair)} pairs of {len(names)} rows"
    reason = f"{said}: too few to tell" if passed is None else said
    return Check(
        value=found.value, lo=found.lo, hi=found.hi, threshold=AGREEMENT, passed=passed, reason=reason, rule=rule
    )


def negligible(leads: Leads, evidence: Evidence) -> float:
    """Return the lead that counts as none, in the metric's unit: 1 % of the way from the best floor to the oracle."""
    whole = leads.value(evidence.whole) if evidence.whole else None
    floors = [value for entry in evidence.floors if (value := leads.value(entry)) is not None]
    if whole is None or not floors:
        return 0.0
    return NEGLIGIBLE * abs(whole - max(floors, key=lambda value: leads.metric.sign * value))


def oracle_first(leads: Leads, evidence: Evidence) -> Check:
    """Largest lead of any row over the whole oracle."""
    rule = "no row leads the oracle by more than the threshold, 1 % of the way from the best floor control to it"
    if evidence.whole is None:
        return nothing(_NO_TRUTH, rule)
    rows = (*evidence.methods, *evidence.damaged, *evidence.floors)
    found = {row.label: lead for row in rows if (lead := leads.of(row, evidence.whole)) is not None}
    if not found:
        return nothing("no row has a value beside the oracle's", rule)
    ahead = {label: lead.value for label, lead in found.items() if lead.sign() > 0}
    first = max(ahead, key=lambda label: ahead[label], default=None)
    value, least = (ahead[first] if first else 0.0), negligible(leads, evidence)
    reason = f"ahead of the oracle: {first}" if first else f"none of {len(found)} rows is ahead of the oracle"
    return Check(value=value, threshold=least, passed=value <= least, reason=reason, rule=rule)


def degraded_order(leads: Leads, evidence: Evidence) -> Check:
    """Share of declared pairs in which the damaged version is behind."""
    rule = "some damage is seen, and no damaged version leads what it was made from"
    if not evidence.pairs:
        return nothing(_NO_TRUTH if evidence.whole is None else "no damaged version was measured", rule)
    least = negligible(leads, evidence)
    signs = {
        f"{worse.label} under {better.label}": lead.sign(least)
        for worse, better in evidence.pairs
        if (lead := leads.of(better, worse)) is not None
    }
    if not signs:
        return nothing("no pair has values", rule)
    turned = [name for name, sign in signs.items() if sign < 0]
    level = [name for name, sign in signs.items() if sign == 0]
    seen = len(signs) - len(turned) - len(level)
    told = [f"{word}: {', '.join(names)}" for word, names in (("reversed", turned), ("level", level)) if names]
    return Check(
        value=seen / len(signs),
        threshold=0.0,
        passed=not turned and seen > 0,
        reason="; ".join(told) or None,
        rule=rule,
    )


def null_floor(leads: Leads, evidence: Evidence) -> Check:
    """Share of methods that are ahead of the trivial control that does best."""
    rule = f"each trivial control is behind more than {MAJORITY:g} of the methods"
    shares = {name: _shares(signs) for name, signs in _against_nulls(leads, evidence).items()}
    if not shares:
        return nothing("no trivial control and method have values", rule)
    best = min(shares, key=lambda name: shares[name])
    ahead = shares[best][0]
    passed = True if ahead > MAJORITY else None
    if any(other >= MAJORITY for _, other in shares.values()):
        passed = False
    reason = f"against {best}; the others: {', '.join(sorted(set(shares) - {best})) or 'none'}"
    return Check(value=ahead, threshold=MAJORITY, passed=passed, reason=reason, rule=rule)


def _against_nulls(leads: Leads, evidence: Evidence) -> dict[str, list[tuple[int, bool]]]:
    """Return, for each trivial control, whether each method is ahead (1), behind (-1) or neither, and exactly level."""
    found: dict[str, list[tuple[int, bool]]] = {}
    for method in evidence.methods:
        for null in nulls_of(method, evidence.controls, leads.metric):
            lead = leads.of(method, null)
            if lead is not None:
                found.setdefault(null.key[0], []).append((lead.sign(), lead.value == 0.0))
    kept = {null.key[0] for null in evidence.controls if null.role == "derived"}
    # What is built from a method and level with every one of them left what the metric reads as it was: no null of it.
    return {name: signs for name, signs in found.items() if name not in kept or not all(level for _, level in signs)}


def _shares(signs: list[tuple[int, bool]]) -> tuple[float, float]:
    """Return the share of methods that are ahead, and of those that are behind or exactly level."""
    return (
        sum(sign > 0 for sign, _ in signs) / len(signs),
        sum(sign < 0 or level for sign, level in signs) / len(signs),
    )


def null_stated(leads: Leads, evidence: Evidence) -> Check:
    """Largest distance of a trivial method's value from the one that the metric's own card states."""
    rule = f"trivial methods get the stated value, to {ABOUT:g} where it says 'about', else to {EXACT:g}"
    rows = (*evidence.controls, *([evidence.whole] if evidence.whole else []))
    off = {}
    for name, about, stated in _stated(leads.metric.null):
        for row in rows:
            value = leads.value(row)
            if row.key[0] == name and value is not None:
                off[row.label] = (abs(value - stated), ABOUT if about else EXACT)
    if not off:
        return nothing("the card states no value of a control that was measured", rule)
    worst = max(off, key=lambda label: off[label][0] / off[label][1])
    value, threshold = off[worst]
    return Check(value=value, threshold=threshold, passed=value <= threshold, reason=worst, rule=rule)


def _stated(text: str) -> Iterator[tuple[str, bool, float]]:
    for claim in text.split(";"):
        found = _STATED.fullmatch(claim.strip())
        if found:
            yield found[1], found[2] is not None, float(found[3])
