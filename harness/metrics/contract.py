"""What a metric is, and how metrics are found.

A metric turns **parts** into a value. Parts are float64 arrays; the first axis of a *cluster* part is the cluster
(document group), so that ``w @ part`` weighs clusters. ``value(parts, w)`` takes weights ``w`` of shape ``[..., C]``
and returns an array of shape ``[...]``: ``w = 1`` is the point estimate, resampled ``w`` give the interval.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import unknown

Array = NDArray[np.float64]
Parts = Mapping[str, Array]
Value = Callable[[Parts, Array], Array]
Direction = Literal["up", "down", "target"]
Interval = Literal["clusters", "seeds", "none"]


class NotComputableError(Exception):
    """A metric has no value on these parts; the message is stored as the reason beside null."""


@dataclass(frozen=True)
class Metric:
    """A named, versioned number.

    Attributes:
        name: id used in tasks, records and boards.
        unit: e.g. ``nats/token``; ``1`` for ratios.
        direction: ``up`` or ``down`` is better, or ``target`` (neither; used to match).
        version: up whenever the same parts give another number.
        source: paper and section, or ``ours``.
        interval: what the interval is taken over; ``seeds`` where a cluster bootstrap would exclude its own point value.
        null: the value of a trivial method, in words.
        needs: names of the parts it reads.
        tracks: tracks whose parts it can read.
        summary: one sentence for listings.
        value: the function.
    """

    name: str
    unit: str
    direction: Direction
    version: int
    source: str
    interval: Interval
    null: str
    needs: tuple[str, ...]
    tracks: tuple[str, ...]
    summary: str
    value: Value

    def point(self, parts: Parts) -> tuple[float | None, str | None]:
        """Return ``(value, None)``, or ``(None, reason)`` where it cannot be computed."""
        missing = [name for name in self.needs if name not in parts]
        if missing:
            return None, f"parts not measured: {', '.join(missing)}"
        try:
            value = float(self.value(parts, np.ones(clusters(parts))))
        except NotComputableError as error:
            return None, str(error)
        return (value, None) if np.isfinite(value) else (None, "not finite on these data")


_REGISTRY: dict[str, Metric] = {}


def clusters(parts: Parts) -> int:
    """Return the number of clusters: every track's parts hold ``n``, the tokens (or items) of each cluster."""
    return int(parts["n"].shape[0])


def metric(
    *,
    unit: str,
    direction: Direction,
    needs: tuple[str, ...],
    tracks: tuple[str, ...],
    source: str,
    null: str,
    interval: Interval = "clusters",
    version: int = 1,
) -> Callable[[Value], Value]:
    """Register a function as the metric of its name; the docstring's first line becomes the summary."""

    def register(value: Value) -> Value:
        name = value.__name__
        if name in _REGISTRY:
            raise ValueError(f"metric '{name}' is defined twice: in {_REGISTRY[name].value.__module__} and {value.__module__}")
        summary = (value.__doc__ or "").strip().split("\n")[0]
        _REGISTRY[name] = Metric(
            name, unit, direction, version, source, interval, null, needs, tracks, summary, value
        )  # fmt: skip
        return value

    return register


def all_metrics() -> dict[str, Metric]:
    """Import every module of this folder and return the metrics by name."""
    package = importlib.import_module("harness.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"harness.metrics.{module.name}")
    return dict(sorted(_REGISTRY.items()))


def get_metric(name: str, where: str = "") -> Metric:
    """Return one metric; raises ``UserError`` naming the nearest one."""
    found = all_metrics()
    if name not in found:
        raise unknown("metric", name, found, where)
    return found[name]


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, giving NaN (not a warning) where the denominator is 0."""
    safe = np.where(denominator == 0, np.nan, denominator)
    return np.asarray(numerator / safe, dtype=np.float64)
