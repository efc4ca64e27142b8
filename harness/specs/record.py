"""The saved outcome of a cell. One JSON file; its parts lie beside it as ``.npz`` and are named with their hash."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.specs.strict import Role

SCHEMA = 1


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskPart(_Plain):
    """The resolved task. Only cells of one table share ``table``; ``spec`` is everything that was asked for."""

    name: str
    title: str
    version: int
    track: str
    table: str
    spec: dict[str, Any]


class MethodPart(_Plain):
    """The method as it was fitted.

    ``of`` names what a derived control was built from; ``role`` is None for a contestant.
    """

    name: str
    title: str
    kind: str
    source: str
    role: Role | None
    of: str | None
    seeded: bool
    causal: bool
    params: dict[str, Any]
    identity: str


class ModelPart(_Plain):
    """The language model that was run. ``layer`` and ``hidden_state`` are several where several blocks were read."""

    name: str
    label: str
    fingerprint: str
    blocks: int
    width: int
    dtype: str
    layer: int | tuple[int, ...]
    hidden_state: int | tuple[int, ...]
    at: str


class SplitPart(_Plain):
    """What one split came to. ``cut`` documents lost tokens to the context length; ``left_out`` were not needed."""

    documents: int
    groups: int
    tokens: int
    cut: int
    left_out: int


class SelectedPart(_Plain):
    """Documents that the task chose by what they say.

    ``by`` is the model of sentences, ``weights`` their SHA-256; ``ids`` are by split, in the order of the choice.
    """

    by: str
    weights: str
    ids: dict[str, tuple[str, ...]]


class DataPart(_Plain):
    """Where the documents came from. ``mirror`` is the local folder name that stood in for a hub data set."""

    source: str
    name: str
    config: str | None
    revision: str | None
    mirror: str | None
    fingerprint: str
    splits: dict[str, SplitPart]
    clusters: int
    mask: dict[str, str]
    selected: SelectedPart | None = None


class MetricPart(_Plain):
    """A value with its interval; ``value`` is null with a ``reason`` where it cannot be computed."""

    value: float | None
    lo: float | None = None
    hi: float | None = None
    interval: str | None = None
    reason: str | None = None
    unit: str
    direction: str
    version: int
    source: str


class MarginPart(_Plain):
    """How far a contestant is ahead of the best matched control, positive when better."""

    control: str | None
    value: float | None
    lo: float | None = None
    hi: float | None = None
    reason: str | None = None


class StagePart(_Plain):
    """What a stage cost. ``shared`` seconds were spent once for every cell of the group."""

    seconds: float
    peak_mb: float | None
    shared: bool


class Provenance(_Plain):
    """What would be needed to run it again."""

    version: str
    commit: str | None
    dirty: bool | None
    python: str
    libraries: dict[str, str]
    platform: str
    device: str
    threads: int
    batch_tokens: int
    command: str
    started: str
    finished: str


class Record(_Plain):
    """The outcome of one method × resolved task × seed.

    Attributes:
        schema_version: ``SCHEMA``; an older file is migrated on load, never guessed.
        cell: hash of everything that decides the numbers.
        status: ``ok``, or ``failed`` with a ``reason``.
        fit: what the method says about its fit, plus ``parameters`` and ``train_tokens``.
        details: numbers about the measurement that are not metrics (quantiles of L0, tokens counted, …).
        model: None where no language model runs.
        margins: by metric; empty for controls.
        bars: by metric, True when met, None when the metric has no value or its interval leaves it open.
        parts: file beside this one, and its SHA-256.
        latents: file beside this one with columns of one row per latent, and its SHA-256; where the track makes one.
        items_sha256: of the file with the texts of single items, in the folder of the task (``harness.store.items``).
    """

    schema_version: int = SCHEMA
    cell: str
    status: Literal["ok", "failed"]
    reason: str | None = None
    seed: int
    task: TaskPart
    method: MethodPart
    model: ModelPart | None
    data: DataPart
    fit: dict[str, float]
    metrics: dict[str, MetricPart]
    margins: dict[str, MarginPart]
    bars: dict[str, bool | None]
    details: dict[str, float]
    warnings: tuple[str, ...]
    stages: dict[str, StagePart]
    provenance: Provenance
    parts: str | None = None
    parts_sha256: str | None = None
    latents: str | None = None
    latents_sha256: str | None = None
    items_sha256: str | None = None
