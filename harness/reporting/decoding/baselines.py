"""The first table: what decoders say of the model's predictions at each block, and what the model itself can do."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.contract import SUBVOCAB, all_metrics
from harness.reporting.contract import Measure, Source
from harness.reporting.decoding.findings import Answers, Decoders, Row
from harness.reporting.decoding.tables import (
    fitted_on,
    in_order,
    mean_of,
    notes,
    of_track,
    row,
    vocabulary,
    where,
)

SHOWN = ("kl_model_method", "agree1", "acc_gold")
# The row of the model itself: what it is held against, so that the first two are what they are.
MODEL = "the model itself"
_EXACT = {"kl_model_method": 0.0, "agree1": 1.0}


def decoders(sources: Sequence[Source]) -> tuple[Decoders, ...]:
    """Return a table for every task and block, by task and then by depth."""
    found = sorted(of_track(sources, "decoding"), key=_place)
    return tuple(_decoders(source) for source in found)


def _place(source: Source) -> tuple[bool, str, int, str]:
    model = source.contestants[0].head.model
    layer = model.layer if model is not None and isinstance(model.layer, int) else -1
    return fitted_on(source) is not None, source.task, layer, source.table


def _decoders(source: Source) -> Decoders:
    head = source.contestants[0]
    parts = next(iter(head.measured.values()))
    rows = [row(entry, SHOWN) for entry in in_order(source)]
    return Decoders(
        where=where(source),
        domain=fitted_on(source),
        vocabulary=vocabulary(head),
        tokens=int(parts["n"].sum()),
        clusters=len(parts["n"]),
        rows=(_model(source), *rows),
        notes=notes(source, in_order(source)),
    )


def _model(source: Source) -> Row:
    """Return the row of the model: its own accuracy on the text, from what the decoders' records hold of it."""
    head = source.contestants[0]
    suffix = "" if vocabulary(head) is None else SUBVOCAB
    # The same for every row and seed.
    own = mean_of(list(head.measured.values())[:1], f"gold_model{suffix}", "n_gold")
    exact = {name: Measure(value, reason="by definition", constant=True) for name, value in _EXACT.items()}
    return Row(MODEL, "ceiling", 1, {**exact, "acc_gold": own})


def answers(sources: Sequence[Source]) -> tuple[Answers, ...]:
    """Return a table for every task of answers, with all the metrics it asks for."""
    return tuple(_answers(source) for source in of_track(sources, "answers"))


def _answers(source: Source) -> Answers:
    head = source.contestants[0]
    names = asked(source)
    return Answers(
        where=where(source),
        metrics=names,
        items=int(next(iter(head.measured.values()))["n"].sum()),
        rows=tuple(row(entry, names) for entry in in_order(source)),
        notes=notes(source, in_order(source)),
    )


def asked(source: Source) -> tuple[str, ...]:
    """Return the metrics a table's task asks for that are known here."""
    spec = source.contestants[0].head.task.spec
    return tuple(str(name) for name in spec.get("metrics", ()) if name in all_metrics())
