"""Decoders on other texts than those they were fitted on, beside the same decoders on their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.board.pool import Entry
from harness.metrics.contract import NotComputableError
from harness.reporting.contract import Measure, Source
from harness.reporting.decoding.findings import Domains, Moved
from harness.reporting.decoding.judging import outcome, spread
from harness.reporting.decoding.tables import fitted_on, of_track, shift, vocabulary, where
from harness.reporting.rows import in_order, metric_of, notes, number
from harness.stats.bars import Level
from harness.stats.proportions import clopper_pearson
from harness.stats.resample import ROUNDING
from harness.stats.student import t_quantile

KL, AGREE, DROP = "kl_model_method", "agree1", "acc_drop"
# Three points of accuracy.
LOSS = Level(high=0.03)


def pairs(sources: Sequence[Source]) -> Iterator[tuple[Source, Source]]:
    """Yield (in domain, out of domain) tables of one model and block."""
    decoding = of_track(sources, "decoding")
    for outside in decoding:
        for inside in decoding:
            if fitted_on(outside) == inside.task and fitted_on(inside) is None and _place(inside) == _place(outside):
                yield inside, outside


def _place(source: Source) -> tuple[object, ...]:
    model = source.head.head.model
    return () if model is None else (model.fingerprint, model.layer, model.dtype)


def twins(inside: Source, outside: Source) -> Iterator[tuple[Entry, Entry]]:
    """Yield the rows that stand in both tables: of one identity, fitted on as much, with as many seeds."""
    of_inside = {entry.key: entry for entry in inside.entries}
    for entry in in_order(outside):
        twin = of_inside.get(entry.key)
        if twin is not None and _fit(twin) == _fit(entry) and set(twin.measured) == set(entry.measured):
            yield twin, entry


def _fit(entry: Entry) -> tuple[float | None, ...]:
    return tuple(entry.head.fit.get(name) for name in ("train_tokens", "parameters", "passes"))


def domains(sources: Sequence[Source]) -> tuple[Domains, ...]:
    """Return every pair of tables with the rows that stand in both."""
    found = (_domains(inside, outside) for inside, outside in pairs(sources))
    return tuple(one for one in found if one.rows)


def _domains(inside: Source, outside: Source) -> Domains:
    both = list(twins(inside, outside))
    return Domains(
        inside=where(inside),
        outside=where(outside),
        vocabulary=vocabulary(outside.head),
        rows=tuple(_moved(ours, theirs) for ours, theirs in both),
        notes=notes(outside, [entry for _, entry in both]),
    )


def _moved(inside: Entry, outside: Entry) -> Moved:
    kl, agree = ((number(inside, name), number(outside, name)) for name in (KL, AGREE))
    drop = shift(inside, DROP), shift(outside, DROP)
    return Moved(
        label=outside.label,
        role=outside.role,
        kl=kl,
        agree=agree,
        kept=kept(inside, outside),
        drop=drop,
        inferior=(outcome(LOSS, drop[0]), outcome(LOSS, drop[1])),
        seeds=len(outside.measured),
    )


def kept(inside: Entry, outside: Entry, level: float = 0.95) -> Measure:
    """Return agreement out of domain over agreement in domain, with an interval on the scale of logarithms.

    Texts are others, so the two errors add; fits are the same, and are counted as if they were not, which is wide
    where a good fit is good on both. ``exp(ln(a/b) ± t √(se_a²/a² + se_b²/b²))``, degrees of freedom after
    Satterthwaite 1946. A side that agrees as much in every cluster is not thereby certain: of so many clusters as the
    exact interval for 0 of them allows, nothing is known.
    """
    sides = []
    for entry in (outside, inside):
        found = number(entry, AGREE)
        if found.value is None or found.value <= 0:
            return Measure(None, reason=found.reason or f"{AGREE} is 0 on {entry.head.task.name}")
        try:
            sides.append(_side(entry, found.value))
        except (NotComputableError, ValueError) as error:
            return Measure(None, reason=str(error))
    return ratio_of(sides[0], sides[1], level)


@dataclass(frozen=True)
class Side:
    """A share, its squared error relative to it with degrees of freedom, and what part of the clusters is unknown."""

    value: float
    variance: float
    df: float
    unknown: float = 0.0


def _side(entry: Entry, value: float) -> Side:
    metric, held = metric_of(entry, AGREE), list(entry.measured.values())
    if metric is None:
        raise ValueError(f"the record has no parts for {AGREE}")
    se, df = spread(metric, held)
    unknown = clopper_pearson(0, len(held[0]["n"]))[1] if se <= ROUNDING * value else 0.0
    return Side(value, (se / value) ** 2, df, unknown)


def ratio_of(above: Side, below: Side, level: float) -> Measure:
    """Return the ratio of two shares of unrelated texts with its interval."""
    value, variance = above.value / below.value, above.variance + below.variance
    spent = above.variance**2 / above.df + below.variance**2 / below.df
    half = float(t_quantile((1 - level) / 2, variance**2 / spent)) * math.sqrt(variance) if spent > 0 else 0.0
    lo, hi = value * math.exp(-half) * (1 - above.unknown), value * math.exp(half) / (1 - below.unknown)
    return Measure(value, lo, hi)
