"""A metric that is computed once for the same parts and the same weights.

A score, its interval, margins over several controls and ranks all ask for a metric at the point and without each
cluster. Those weights are shared arrays (``leave_one_out``, ``cluster_weights``), so they are known by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from harness.metrics.contract import Array, Metric, Parts

T = TypeVar("T")
POINT = 0


@dataclass(frozen=True)
class Remembered(Metric):
    """A metric that keeps what it gave, and the parts it was given; for the time in which one table is built."""

    # By the ids of what was asked for, which are kept beside the answer: an id means something while its object lives.
    known: dict[tuple[object, ...], tuple[Any, Any]] = field(default_factory=dict, compare=False, repr=False)

    def point(self, parts: Parts) -> tuple[float | None, str | None]:
        """Return ``(value, None)``, or ``(None, reason)`` where it cannot be computed."""
        return self._once(("point", id(parts)), parts, lambda: super(Remembered, self).point(parts))

    def of_seeds(self, parts_by_seed: Sequence[Parts], w: Array) -> Array:
        """Return the values ``[S, ...]`` of every seed, read-only where they are kept."""
        key = _key(w)
        if key is None:
            return np.stack([self.value(parts, w) for parts in parts_by_seed])
        parts = tuple(parts_by_seed)

        def values() -> Array:
            return _fixed(np.stack([self._of_one(one, w, key) for one in parts]))

        return self._once((key, *map(id, parts)), (parts, w), values)

    def _of_one(self, parts: Parts, w: Array, key: int) -> Array:
        if key == POINT and (value := self.point(parts)[0]) is not None:
            return np.asarray(value)
        return self._once(("value", key, id(parts)), (parts, w), lambda: self.value(parts, w))

    def _once(self, key: tuple[object, ...], held: Any, make: Callable[[], T]) -> T:
        if key not in self.known:
            self.known[key] = held, make()
        found: T = self.known[key][1]
        return found


def _key(w: Array) -> int | None:
    if w.ndim == 1 and (w == 1.0).all():
        return POINT
    # What can be written to may hold other weights at the next call.
    return None if w.flags.writeable else id(w)


def _fixed(values: Array) -> Array:
    values.setflags(write=False)
    return values


def remembered(metric: Metric) -> Remembered:
    """Return the metric with a memory."""
    return Remembered(**{f.name: getattr(metric, f.name) for f in fields(Metric)})
