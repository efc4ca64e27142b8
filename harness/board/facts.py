"""What was run, in words: the facts under a table, what sets tables of one task apart, and notes a reader needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.board import asked
from harness.board.pool import Entry
from harness.metrics.sparsity import false_dead
from harness.specs.record import DataPart, Record

# The density at which the chance of taking a living latent for a dead one is told.
RARE = 1e-4
_SPLITS = {"train": 0, "val": 1, "test": 2}
_BUDGET = {
    "context": "context {}",
    "packing": "packing {}",
    "train_tokens": "train {} tokens",
    "val_tokens": "validation {} tokens",
    "passes": "passes {}",
    "latents": "latents {}",
    "l0": "target L0 {}",
    "test_tokens": "test {} tokens",
    "splice_tokens": "spliced {} tokens",
    "density_tokens": "densities on {} tokens",
}


def count(value: Any) -> str:
    """Write a whole number with thin spaces between thousands; anything else as it is."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}".replace(",", "\u202f") if whole else str(value)


def _joined(values: Iterable[str]) -> str:
    # Records of one table agree on what decides the numbers; where they differ in the rest, all of it is shown.
    return "; ".join(dict.fromkeys(values))


def facts(records: Sequence[Record], head: Record) -> tuple[tuple[str, str], ...]:
    """Return what was run, as (label, text)."""
    found = {
        "Model": _joined(_model(record) for record in records),
        "Site": _joined(_site(record) for record in records),
        "Data": _joined(_source(record.data) for record in records),
        "Documents": _joined(_splits(record.data) for record in records),
        "Clusters": _joined(f"{count(record.data.clusters)} in the test split" for record in records),
        "Tokens left out": _joined(_mask(record.data) for record in records),
        "Budget": _budget(asked.budget(head)),
        "Measured on": _joined(_device(record) for record in records),
        "Package": _joined(_package(record) for record in records),
        "Newest record": head.provenance.finished,
    }
    return tuple((label, text) for label, text in found.items() if text)


def _model(record: Record) -> str:
    model = record.model
    if model is None:
        return "none: the activations are drawn"
    label = f" ({model.label})" if model.label and model.label != model.name else ""
    return f"{model.name}{label}, {model.blocks} blocks, width {model.width}, {model.dtype}"


def _site(record: Record) -> str:
    model = record.model
    if model is None:
        return ""
    blocks, states = (
        str(one) if isinstance(one, int) else ", ".join(map(str, one)) for one in (model.layer, model.hidden_state)
    )
    return f"{model.at} of block {blocks} (hidden state {states})"


def _source(data: DataPart) -> str:
    name = " ".join(part for part in (data.name, data.config) if part)
    revision = f" at {data.revision}" if data.revision else ""
    mirror = f"; read from the local mirror '{data.mirror}'" if data.mirror else ""
    chosen = f"; documents chosen by what they say, as {data.selected.by} reads them" if data.selected else ""
    return f"{name} ({data.source}){revision}{mirror}{chosen}"


def _splits(data: DataPart) -> str:
    texts = []
    for name, split in sorted(data.splits.items(), key=lambda item: _SPLITS.get(item[0], len(_SPLITS))):
        cut = f", {count(split.cut)} cut at the context length" if split.cut else ", none cut"
        spare = f", {count(split.left_out)} not needed" if split.left_out else ""
        texts.append(f"{name}: {count(split.documents)} documents with {count(split.tokens)} tokens{cut}{spare}")
    return ";\n".join(texts)


def _mask(data: DataPart) -> str:
    return ", ".join(f"{key} {value}" for key, value in data.mask.items())


def _budget(budget: Mapping[str, Any]) -> str:
    known = [text.format(count(budget[key])) for key, text in _BUDGET.items() if budget.get(key) is not None]
    return "; ".join(known)


def _device(record: Record) -> str:
    run = record.provenance
    return f"{run.device}, {run.threads} threads, {count(run.batch_tokens)} tokens a batch"


def _package(record: Record) -> str:
    run = record.provenance
    commit = f", commit {run.commit[:10]}" if run.commit else ""
    return f"version {run.version}{commit}{' with local changes' if run.dirty else ''}"


def differences(
    own: Mapping[str, str], same_task: Sequence[Mapping[str, str]], table: str
) -> tuple[tuple[str, str], ...]:
    """Return what sets a table apart from the others of its task, as (label, text).

    Args:
        own: its ``traits``.
        same_task: those of every table of the task, its own among them.
        table: hash of its resolved task, told where nothing else differs.
    """
    if len(same_task) < 2:
        return ()
    labels = dict.fromkeys(label for other in same_task for label in other)
    found = [
        (label, own.get(label, "not set")) for label in labels if len({other.get(label) for other in same_task}) > 1
    ]
    return tuple(found) or (("resolved task", table[:8]),)


def traits(record: Record) -> dict[str, str]:
    """Return everything that may set two tables apart, most telling first."""
    found = {
        "model": _model(record),
        "model files": record.model.fingerprint[:8] if record.model else "",
        "site": _site(record),
        "data": _source(record.data),
        "documents": record.data.fingerprint[:8],
        "version": str(record.task.version),
    }
    # Names, bars, seeds and the choice of metrics and controls do not decide which table a record belongs to.
    ignored = ("title", "metrics", "bars", "controls", "seeds", "model", "site", "version", "layer", "at")
    spec = {key: value for key, value in record.task.spec.items() if key not in ignored}
    return found | dict(_flat("", spec))


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, "not set" if value is None else count(value)


def notes(entries: Sequence[Entry], head: Record) -> list[str]:
    """Return what a reader should know about the whole table: absent controls, and what ``dead_frac`` rests on."""
    return [*_absent_controls(entries, head), *_dead(entries)]


def _absent_controls(entries: Sequence[Entry], head: Record) -> list[str]:
    measured = [(entry.head.method.name, entry.head.method.of) for entry in entries if entry.measured]
    methods = [entry.head.method.name for entry in entries if entry.role is None and entry.measured]
    demanded = asked.controls(head)
    pairs: list[tuple[str, str | None]] = [(name, None) for name in demanded["floor"]]
    pairs += [(name, of) for of in dict.fromkeys(methods) for name in demanded["derived"]]
    found = [
        f"{name} of {of}" if of else name
        for name, of in pairs
        if not any(_is(slug, name) and built_from == of for slug, built_from in measured)
    ]
    if not found:
        return []
    return [f"No measured cell of {', '.join(found)}, which the task demands: margins are over the other controls."]


def _is(slug: str, name: str) -> bool:
    """Say whether a slug is that of a method; one from outside the package carries a hash of where it came from."""
    return slug == name or re.fullmatch(re.escape(name) + "-[0-9a-f]{6,}", slug) is not None


def _dead(entries: Sequence[Entry]) -> list[str]:
    """Say on how many tokens ``dead_frac`` rests, and how many living latents chance alone leaves silent there."""
    methods = [entry for entry in entries if entry.role is None]
    parts = [p for e in methods for p in e.measured.values() if "n_density" in p and p.get("fires", np.zeros(0)).size]
    if not parts:
        return []
    tokens = sorted({int(p["n_density"]) for p in parts})
    chance = false_dead(RARE, tokens[-1])
    shares = [
        false_dead(p["fires"][p["fires"] > 0] / p["n_density"], int(p["n_density"])) for p in parts if p["fires"].any()
    ]
    text = (
        f"dead_frac counts latents that are silent on N_eval = {' or '.join(map(count, tokens))} tokens. "
        f"One that fires once in 10\u202f000 tokens is silent there by chance with probability {chance:.2g}"
    )
    if shares:
        text += f"; at the densities seen, the expected false-dead rate is {_range(shares)} of the living latents"
    different = " Rows counted on different numbers of tokens must not be compared." if len(tokens) > 1 else ""
    return [f"{text}.{different}"]


def _range(shares: Sequence[float]) -> str:
    low, high = f"{100 * min(shares):.2f}", f"{100 * max(shares):.2f}"
    return f"{low} %" if low == high else f"{low} to {high} %"
