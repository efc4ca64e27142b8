"""What a metric is, and how metrics are found.

A metric turns **parts** into a value. Parts are float64 arrays; the first axis of a *cluster* part is the cluster
(document group), so that ``w @ part`` weighs clusters. ``value(parts, w)`` takes weights ``w`` of shape ``[..., C]``
and returns an array of shape ``[...]``: ``w = 1`` is the point estimate, resampled ``w`` give the interval.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.content import import_file
from harness.errors import unknown

Array = NDArray[np.float64]
Parts = Mapping[str, Array]
Value = Callable[[Parts, Array], Array]
Direction = Literal["up", "down", "target"]
Interval = Literal["clusters", "seeds", "none"]


# The part that says that a control ran on another language model than the methods of its table.
OTHER_MODEL = "other_model"
# What the name of a metric, and of a part, ends in that is over a task's ``vocab`` and not over all tokens.
SUBVOCAB = "_subvocab"


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
        interval: what the interval is taken over; ``seeds`` where a cluster bootstrap would miss its own point value.
        null: the value of a trivial method, in words.
        needs: names of the parts it reads.
        tracks: tracks whose parts it can read.
        margin: whether a margin over controls says anything; not for a count of the code, at which a control that
            explains nothing can be perfect.
        summary: one sentence for listings.
        formula: what is computed, in plain text; ``x`` an activation, ``x̂`` its reconstruction, ``fᵢ`` the code and
            ``dᵢ`` the direction of latent ``i`` of ``F``.
        value: the function.
        within_model: whether it can only be compared within one language model: its predictions, or raw units.
        derived: whether controls derived from a method are nulls of it; not where they leave what it reads as it is
            (a decoder with its rows exchanged holds the same directions).
        share: of a share of ``n`` items, each 1 or 0, the part that counts the ones; its interval is that of a share.
        change: of a difference of two such shares of the same items, the parts that count the ones after and before.
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
    margin: bool
    summary: str
    formula: str
    value: Value
    within_model: bool = False
    derived: bool = True
    share: str | None = None
    change: tuple[str, str] | None = None

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is; raises ``ValueError`` for a target, which has no better side."""
        if self.direction == "target":
            raise ValueError(f"metric '{self.name}' has direction 'target'; margins and ranks need 'up' or 'down'")
        return 1 if self.direction == "up" else -1

    def point(self, parts: Parts) -> tuple[float | None, str | None]:
        """Return ``(value, None)``, or ``(None, reason)`` where it cannot be computed."""
        if self.within_model and OTHER_MODEL in parts:
            return None, "measured on another language model, with which it cannot be compared"
        missing = [name for name in dict.fromkeys(("n", *self.needs)) if name not in parts]
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
    formula: str,
    needs: tuple[str, ...],
    tracks: tuple[str, ...],
    source: str,
    null: str,
    interval: Interval = "clusters",
    margin: bool = True,
    derived: bool = True,
    within_model: bool = False,
    share: str | None = None,
    change: tuple[str, str] | None = None,
    version: int = 1,
) -> Callable[[Value], Value]:
    """Register a function as the metric of its name; the docstring's first line becomes the summary."""

    def register(value: Value) -> Value:
        name = value.__name__
        if name in _REGISTRY:
            first, second = _REGISTRY[name].value.__module__, value.__module__
            raise ValueError(f"metric '{name}' is defined twice: in {first} and {second}")
        if not formula.strip():
            raise ValueError(f"metric '{name}' has no formula")
        summary = (value.__doc__ or "").strip().split("\n")[0]
        held = margin and direction != "target"
        _REGISTRY[name] = Metric(
            name,
            unit,
            direction,
            version,
            source,
            interval,
            null,
            needs,
            tracks,
            held,
            summary,
            formula,
            value,
            within_model,
            derived,
            share,
            change,
        )  # fmt: skip
        return value

    return register


def all_metrics() -> dict[str, Metric]:
    """Import every module of this folder and return the metrics by name."""
    _import_ours()
    return dict(sorted(_REGISTRY.items()))


@functools.cache
def _import_ours() -> None:
    # Once: boards ask for metrics by the thousand, and listing the folder costs more than the metric.
    package = importlib.import_module("harness.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"harness.metrics.{module.name}")


def add_metric_folders(folders: Iterable[Path]) -> None:
    """Import every ``.py`` of folders outside the package, so that the metrics they register are found too."""
    folders = list(folders)
    if folders:
        # Ours are first, so that a metric of the same name is refused where it stands, outside.
        all_metrics()
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            name = f"harness_metrics_{sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
            import_file(path, name)


def get_metric(name: str, where: str = "") -> Metric:
    """Return one metric; raises ``UserError`` naming the nearest one."""
    found = all_metrics()
    if name not in found:
        raise unknown("metric", name, found, where)
    return found[name]


def constant(w: Array, value: float) -> Array:
    """Repeat a value that does not depend on clusters, for all tokens decide it at once: ``w [..., C] -> [...]``."""
    return np.full(w.shape[:-1], value, dtype=np.float64)


def ratio(
    numerator: Array, denominator: Array, reason: str = "the denominator is 0", above: Array | float | None = None
) -> Array:
    """Divide where it can be done, and say why where it cannot.

    Args:
        numerator: ``[...]``.
        denominator: ``[...]``.
        reason: why the point has no value, in words a reader of the board understands.
        above: the quotient exists where the denominator exceeds this; ``None`` means wherever it is not 0.

    Returns:
        ``[...]`` with NaN (and no warning) where a resample has no quotient.

    Raises:
        NotComputableError: the arguments are scalars, i.e. the point itself has none; the message is ``reason``.
    """
    denominator = np.asarray(denominator, dtype=np.float64)
    defined = denominator != 0 if above is None else denominator > above
    if defined.ndim == 0 and not defined:
        raise NotComputableError(reason)
    return np.asarray(numerator / np.where(defined, denominator, np.nan), dtype=np.float64)
