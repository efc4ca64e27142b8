"""Three values of every metric: the stored one, the one its parts give, and the one of the re-run.

**Stored against parts.** Nothing is random, so they are equal but for rounding (``board.read.TOLERANCE``), ends of
intervals included.

**Parts against the re-run.** ``|again - parts|`` may be at most ``tolerance * max(|parts|, hi - lo) + ROUNDING``:

- ``EXACT`` where threads, batch, dtype, device, platform and library versions are the record's. The sums are then the
  same sums: measured, all 18 values of two trained dictionaries on a drawn world were equal to the last bit in another
  process, from a fit made anew.
- ``NEAR`` or ``REFITTED`` where one of them is another. Hidden states then differ by up to 5e-4, and a training that
  starts from them takes another course. Measured with 1 thread in place of 2: metrics over documents (``fvu``,
  ``firing_f1``, ``l0``) moved by up to 0.8 %, metrics of the fit itself (``dead_frac``, ``uniqueness``, whose interval
  is over seeds) by up to 14 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.board.read import ROUNDING
from harness.board.read import TOLERANCE as STORED
from harness.metrics.contract import Metric, NotComputableError, Parts
from harness.replay.verdict import MetricCheck, Verdict, worst
from harness.specs.record import MetricPart, Record
from harness.stats.estimate import Estimate
from harness.stats.summary import summarise

EXACT = 1e-6
NEAR = 0.02
REFITTED = 0.2


def compare(
    record: Record,
    metrics: Mapping[str, Metric],
    parts: Parts | None,
    again: Parts | None,
    tolerance: Mapping[str, float],
) -> tuple[MetricCheck, ...]:
    """Return one check per metric.

    Args:
        record: whose stored values are checked.
        metrics: all that are known here.
        parts: the record's own; None where they cannot be read.
        again: those of the re-run; None where there was none.
        tolerance: relative, by metric.
    """
    asked = [name for name in record.task.spec.get("metrics", ()) if name not in record.metrics]
    lost = [_unable(name, None, "its task asks for it and the record does not hold it", "disagree") for name in asked]
    found = []
    for name, stored in record.metrics.items():
        if name not in metrics:
            found.append(_unable(name, stored.value, "it is no metric of this version"))
        else:
            found.append(_check(metrics[name], stored, parts, again, tolerance[name]))
    return (*found, *lost)


def tolerances(metrics: Mapping[str, Metric], exact: bool, given: float | None) -> dict[str, float]:
    """Return the relative tolerance of every metric; ``given`` takes the place of all."""
    if given is not None:
        return dict.fromkeys(metrics, given)
    if exact:
        return dict.fromkeys(metrics, EXACT)
    return {name: NEAR if metric.interval == "clusters" else REFITTED for name, metric in metrics.items()}


def _unable(name: str, stored: float | None, reason: str, verdict: Verdict = "cannot") -> MetricCheck:
    return MetricCheck(name, stored, None, None, None, None, None, verdict, reason)


def _check(
    metric: Metric, stored: MetricPart, parts: Parts | None, again: Parts | None, tolerance: float
) -> MetricCheck:
    own = _estimate(metric, parts) if parts is not None else None
    anew = _estimate(metric, again) if again is not None else None
    base = own or Estimate(stored.value, stored.lo, stored.hi, 0.95, stored.interval or "none", 0)
    verdicts: list[Verdict] = [] if anew is not None else ["cannot"]
    reasons = []
    if own is not None and (reason := _stored_differs(metric, stored, own)):
        verdicts.append("disagree" if metric.version == stored.version else "cannot")
        reasons.append(reason)
    scale = max(abs(base.value or 0.0), (base.hi or 0.0) - (base.lo or 0.0))
    allowed = tolerance * scale + ROUNDING
    if anew is not None and (reason := _again_differs(base, anew, allowed)):
        verdicts.append("disagree")
        reasons.append(reason)
    difference = _difference(base.value, anew.value) if anew is not None else None
    return MetricCheck(
        metric=metric.name,
        stored=stored.value,
        parts=own.value if own else None,
        again=anew.value if anew else None,
        difference=difference,
        relative=difference / scale if difference is not None and scale else difference,
        allowed=allowed if anew is not None else None,
        verdict=worst(verdicts),
        reason="; ".join(reasons) or ("it was not run again" if anew is None else None),
    )


def _estimate(metric: Metric, parts: Parts) -> Estimate:
    try:
        return summarise(metric, [parts])
    except (NotComputableError, ValueError, IndexError, TypeError, KeyError) as error:
        # Parts that somebody edited may have any shape.
        return Estimate(None, None, None, 0.95, "none", 0, reason=f"cannot be computed from its parts: {error}")


def _stored_differs(metric: Metric, stored: MetricPart, own: Estimate) -> str | None:
    if metric.version != stored.version:
        return f"it was stored as version {stored.version} and is version {metric.version} here"
    pairs = {"value": (stored.value, own.value), "lo": (stored.lo, own.lo), "hi": (stored.hi, own.hi)}
    wrong = [name for name, (a, b) in pairs.items() if not _same(a, b)]
    told = ", ".join(
        f"{name} is stored as {say(pairs[name][0])}, the parts give {say(pairs[name][1])}" for name in wrong
    )
    return told or None


def _same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=STORED, abs_tol=ROUNDING)


def _again_differs(base: Estimate, anew: Estimate, allowed: float) -> str | None:
    pairs = {"value": (base.value, anew.value), "lo": (base.lo, anew.lo), "hi": (base.hi, anew.hi)}
    for name, (a, b) in pairs.items():
        if (a is None) != (b is None):
            return f"{name} is {say(a)}, run again it is {say(b)}"
        difference = _difference(a, b)
        if difference is not None and not abs(difference) <= allowed:
            return f"{name} is {say(a)}, run again it is {say(b)}: {abs(difference):.2g} apart, allowed {allowed:.2g}"
    return None


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else b - a


def say(value: float | None) -> str:
    """Return a value in words; ``no value`` for null."""
    return "no value" if value is None else f"{value:.7g}"
