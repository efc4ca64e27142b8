"""Rows of a run held against a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.board.pool import Entry
from harness.metrics.contract import SUBVOCAB
from harness.reporting.contract import Measure, Source
from harness.reporting.decoding.domains import AGREE, kept, pairs, twins
from harness.reporting.decoding.findings import SHARES, Reading
from harness.reporting.decoding.judging import opposite, outcome
from harness.reporting.decoding.labels import labelled
from harness.reporting.decoding.tables import fitted_on, of_track, shift, vocabulary, where
from harness.reporting.rows import in_order, mean_of, metric_of, number, records
from harness.stats.bars import Level

# The metric of track ``answers`` that says what an edit adds to the share of right answers.
GAIN = "d_acc"
# What the name of a metric ends in that says what another would be if all latents were alike.
EVEN = "_uniform"
Readings = Callable[["Asked", Sequence[Source]], Iterator[Reading]]


@dataclass(frozen=True)
class Asked:
    """A bar before anything is held against it.

    Attributes:
        key, title, about: as in ``Bar``.
        level: what is asked for.
        unit: of the level, as in ``Bar``.
        track: whose records hold it; empty for data files of feature pages.
        metric: of that track.
        readings: rows held against it.
    """

    key: str
    title: str
    about: str
    level: Level
    unit: str
    track: str
    metric: str
    readings: Readings

    @property
    def rule(self) -> str:
        """The level in words."""
        scale, unit = (100 if self.unit in SHARES else 1), f" {self.unit}".rstrip()
        low, high = (None if end is None else f"{end * scale:g}" for end in (self.level.low, self.level.high))
        if low is not None and high is not None:
            return f"{low} to {high}{unit}"
        return f"≥ {low}{unit}" if high is None else f"≤ {high}{unit}"


def _rows(asked: Asked, sources: Sequence[Source]) -> Iterator[tuple[Source, Entry]]:
    """Yield the rows measured on the texts their methods were fitted on; bars are about these."""
    inside = [source for source in sources if fitted_on(source) is None]
    yield from _measured(inside, asked.track, asked.metric)


def _measured(sources: Sequence[Source], track: str, metric: str) -> Iterator[tuple[Source, Entry]]:
    for source in of_track(sources, track):
        yield from ((source, entry) for entry in in_order(source) if metric_of(entry, metric))


def anywhere(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """Hold the metric as it is against the bar, on whatever texts, and say what it would be were all alike."""
    for source, entry in _measured(sources, asked.track, asked.metric):
        reading, alike = _reading(asked, source, entry, number(entry, asked.metric)), number(entry, asked.metric + EVEN)
        told = "" if alike.value is None else f"{100 * alike.value:.1f} % were all latents equally important"
        yield replace(reading, because=_joined(reading.because, told))


def plain(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """Hold the metric as it is against the bar."""
    for source, entry in _rows(asked, sources):
        yield _reading(asked, source, entry, number(entry, asked.metric))


def turned(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """One less the metric: variance explained of variance unexplained."""
    for source, entry in _rows(asked, sources):
        found = number(entry, asked.metric)
        ends = None if found.lo is None or found.hi is None else (1 - found.hi, 1 - found.lo)
        value = None if found.value is None else 1 - found.value
        rest = replace(found, value=value, lo=ends and ends[0], hi=ends and ends[1])
        yield replace(_reading(asked, source, entry, rest), quantity=f"1 − {asked.metric}")


def divergence(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """A divergence over some tokens bounds that over all from below: it can miss the bar, and cannot meet it."""
    for source, entry in _rows(asked, sources):
        reading = _reading(asked, source, entry, number(entry, asked.metric))
        if reading.outcome == "met" and vocabulary(entry) is not None:
            told = f"below the bar over {vocabulary(entry)} tokens, and over all tokens it is no less"
            reading = replace(reading, outcome="undecided", because=told)
        yield reading


def lost(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """Hold against the bar what decoders lose on next tokens, and what answers lose where codes stand in."""
    for source, entry in _rows(asked, sources):
        some = "" if vocabulary(entry) is None else SUBVOCAB
        right = mean_of(list(entry.measured.values()), f"gold_model{some}", "n_gold")
        yield _with_room(asked, _reading(asked, source, entry, shift(entry, asked.metric)), right)
    for source, entry in _measured(sources, "answers", GAIN):
        found = opposite(shift(entry, GAIN))
        right = mean_of(list(entry.measured.values()), "right_clean", "n")
        yield _with_room(asked, replace(_reading(asked, source, entry, found), quantity=f"−{GAIN}"), right)


def _with_room(asked: Asked, reading: Reading, right: Measure) -> Reading:
    """Decide nothing where the model gets no more right than may be lost: what loses all of it would meet the bar."""
    most = asked.level.high
    if reading.outcome != "met" or most is None or right.value is None or right.value > most:
        return reading
    told = f"the model itself gets {100 * right.value:.2g} % right, and no more can be lost: the bar cannot be missed"
    return replace(reading, outcome="undecided", because=_joined(reading.because, told))


def silent(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """Say on how many tokens latents were looked at, which the share of dead ones depends on."""
    for source, entry in _rows(asked, sources):
        reading = _reading(asked, source, entry, number(entry, asked.metric))
        tokens = entry.head.details.get("density_tokens")
        told = f"counted on {tokens:.0f} tokens" if tokens is not None else ""
        yield replace(reading, because=_joined(reading.because, told))


def out_of_domain(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """Hold what is kept of a metric on other texts, of what it is in domain."""
    for inside, outside in pairs(sources):
        for ours, theirs in twins(inside, outside):
            reading = _reading(asked, outside, theirs, kept(ours, theirs))
            there, here = number(theirs, AGREE).value, number(ours, AGREE).value
            levels = "" if there is None or here is None else f"{there:.3f} out of domain, {here:.3f} in domain"
            yield replace(
                reading,
                quantity=f"{reading.quantity} kept of {inside.task}",
                because=_joined(reading.because, levels),
                records=(*records(ours), *records(theirs)),
            )


def named(asked: Asked, sources: Sequence[Source]) -> Iterator[Reading]:
    """Data files of feature pages lie beside the records."""
    yield from labelled(sources[0].folder, asked.level)


def _reading(asked: Asked, source: Source, entry: Entry, found: Measure) -> Reading:
    place, metric = where(source), metric_of(entry, asked.metric)
    told = vocabulary(entry) if metric is not None and metric.name.endswith(SUBVOCAB) else None
    interval = found.value is None or found.constant or found.lo is not None
    return Reading(
        label=entry.label,
        role=entry.role,
        where=f"{place.task}, {place.layer}",
        quantity=metric.name if metric is not None else asked.metric,
        found=found,
        outcome=outcome(asked.level, found),
        because=_joined(
            found.reason if interval and found.value is not None and found.reason else "",
            "" if interval else f"no interval: {found.reason or 'no spread'}",
            "" if told is None else f"{told} tokens told apart, all others one",
        ),
        seeds=len(entry.measured),
        records=records(entry),
    )


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
