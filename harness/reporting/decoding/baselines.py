"""The first table: what decoders say of the model's predictions at each block, and what the model itself can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.board.pool import Entry
from harness.metrics.contract import SUBVOCAB, all_metrics
from harness.reporting.contract import Measure, Source, measure
from harness.reporting.decoding.findings import Answers, Decoders, Row
from harness.reporting.decoding.tables import fitted_on, of_track, row, vocabulary, where
from harness.reporting.rows import in_order, mean_of, notes
from harness.stats.summary import summarise

SHOWN = ("kl_model_method", "agree1", "acc_gold")
# The row of the model itself: what it is held against, so that the first two are what they are.
MODEL = "the model itself"
# What names of parts end in that are of the model as it is.
CLEAN = "_clean"
_EXACT = {"kl_model_method": 0.0, "agree1": 1.0}


def decoders(sources: Sequence[Source]) -> tuple[Decoders, ...]:
    """Return a table for every task, with the blocks it was run at; those in domain first."""
    of_task: dict[tuple[object, ...], list[Source]] = {}
    for source in sorted(of_track(sources, "decoding"), key=_place):
        of_task.setdefault(_same(source), []).append(source)
    return tuple(_decoders(tables) for tables in of_task.values())


def _place(source: Source) -> tuple[bool, str, int, str]:
    model = source.head.head.model
    layer = model.layer if model is not None and isinstance(model.layer, int) else -1
    return fitted_on(source) is not None, source.task, layer, source.table


def _same(source: Source) -> tuple[object, ...]:
    """Return what tables must share to stand together: the texts, the budget, the model and what is told apart."""
    head = source.head.head
    model = None if head.model is None else (head.model.fingerprint, head.model.dtype)
    return source.task, model, head.data.fingerprint, str(head.task.spec.get("budget")), vocabulary(source.head)


def _decoders(tables: Sequence[Source]) -> Decoders:
    first = tables[0].head
    parts = next(iter(first.measured.values()))
    entries = [(where(source).layer, entry) for source in tables for entry in in_order(source)]
    rows = [replace(row(entry, SHOWN), layer=layer.removeprefix("block ")) for layer, entry in entries]
    # A row's blocks stand below each other, in the order in which rows first come.
    order = {key: i for i, key in enumerate(dict.fromkeys((one.role is not None, one.label) for one in rows))}
    rows.sort(key=lambda one: (one.role is not None, order[one.role is not None, one.label]))
    return Decoders(
        where=where(tables[0]),
        domain=fitted_on(tables[0]),
        vocabulary=vocabulary(first),
        tokens=int(parts["n"].sum()),
        clusters=len(parts["n"]),
        rows=(_model(tables[0]), *rows),
        notes=tuple(dict.fromkeys(note for source in tables for note in notes(source, in_order(source)))),
    )


def _model(source: Source) -> Row:
    """Return the row of the model: its own accuracy on the text, from what the decoders' records hold of it."""
    head = source.head
    suffix = "" if vocabulary(head) is None else SUBVOCAB
    # The same for every row and seed.
    own = mean_of(list(head.measured.values())[:1], f"gold_model{suffix}", "n_gold")
    exact = {name: Measure(value, reason="by definition", constant=True) for name, value in _EXACT.items()}
    return Row(MODEL, "ceiling", 1, {**exact, "acc_gold": own})


def answers(sources: Sequence[Source]) -> tuple[Answers, ...]:
    """Return a table for every task of answers, with all the metrics it asks for."""
    return tuple(_answers(source) for source in of_track(sources, "answers"))


def _answers(source: Source) -> Answers:
    head = source.head
    names = asked(source)
    return Answers(
        where=where(source),
        metrics=names,
        items=int(next(iter(head.measured.values()))["n"].sum()),
        rows=(_unedited(head, names), *(row(entry, names) for entry in in_order(source))),
        notes=notes(source, in_order(source)),
    )


def _unedited(entry: Entry, names: Sequence[str]) -> Row:
    """Return the row of the model as it is, whose sums every record holds beside those under its edit."""
    parts = next(iter(entry.measured.values()))
    clean = {name: parts[name + CLEAN] for name in parts if name + CLEAN in parts}
    own: dict[str, Measure] = {}
    for name in names:
        metric = all_metrics()[name]
        if any(need.endswith(CLEAN) for need in metric.needs):
            own[name] = Measure(None, reason="a change against the model as it is")
        elif not clean.keys() & set(metric.needs):
            own[name] = Measure(None, reason="the record holds nothing of the model as it is")
        else:
            own[name] = measure(summarise(metric, [{**parts, **clean}]))
    return Row(MODEL, "ceiling", 1, own)


def asked(source: Source) -> tuple[str, ...]:
    """Return the metrics a table's task asks for that are known here."""
    spec = source.head.head.task.spec
    return tuple(str(name) for name in spec.get("metrics", ()) if name in all_metrics())
