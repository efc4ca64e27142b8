"""A task's documents: rows rendered to text, grouped, and divided into splits. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data import bandits
from harness.data.borrowed import borrowed_documents
from harness.data.documents import Rendered, Templates, read_documents
from harness.data.selecting import Embedding, Selected, select
from harness.data.sources import Origin, Source, fetch
from harness.data.splits import Document, divide, shuffled
from harness.data.tables import as_word
from harness.data.worlds import probe, true_count
from harness.errors import UserError, unknown
from harness.specs.data import PromptData
from harness.specs.task import Budget, TaskSpec
from harness.specs.worlds import BanditData, WorldData

__all__ = ["Corpus", "Document", "Origin", "estimate_tokens", "load_corpus"]

# Of English text under the vocabularies of today's models; only plans are made with it.
CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class Corpus:
    """The documents of a task, by split.

    Attributes:
        splits: documents of ``train``, ``val`` and ``test`` (those the task has), in the order they are used.
        origin: where the rows came from.
        fingerprint: SHA-256 of split names, ids, groups, texts and labels, in order.
        rows: how many rows were read.
        empty: how many of them rendered to no text and were dropped.
        shared: by split, how many documents were dropped because test (for train also val) holds their group.
        warnings: what a reader of the results should know.
        selected: the documents that the task chose by what they say; None where it uses all.
    """

    splits: dict[str, tuple[Document, ...]]
    origin: Origin
    fingerprint: str
    rows: int
    empty: int
    shared: dict[str, int]
    warnings: tuple[str, ...] = ()
    selected: Selected | None = None


def load_corpus(
    spec: TaskSpec, *, data_dir: Path | None = None, limit: int | None = None, by: Embedding | None = None
) -> Corpus:
    """Load, render and divide the documents of a task.

    Args:
        spec: the task.
        data_dir: folder of mirrors, used before the hub; None to use the hub.
        limit: at most this many documents per split, from its beginning.
        by: what compares documents, where the task chooses some by what they say.

    Raises:
        UserError: anything wrong with the source, the template, a column, or the sizes of the splits.
        ValueError: the task chooses documents, and there is nothing to compare them by.
    """
    if limit is not None and limit < 1:
        raise UserError(f"--limit must be at least 1, got {limit}.")
    if isinstance(spec.data, WorldData):
        return _drawn(spec, spec.data, limit)
    if isinstance(spec.data, BanditData):
        return _situations(spec.data)
    source, read = _read(spec, data_dir)
    splits, shared = _divide(spec, read)
    splits, selected, warnings = _selected(spec, splits, by)
    if limit is not None:
        splits = {name: _first(documents, limit) for name, documents in splits.items()}
    warnings = (*source.warnings, *warnings)
    return Corpus(splits, source.origin, fingerprint(splits), read.rows, read.empty, shared, warnings, selected)


def _selected(
    spec: TaskSpec, splits: dict[str, tuple[Document, ...]], by: Embedding | None
) -> tuple[dict[str, tuple[Document, ...]], Selected | None, tuple[str, ...]]:
    """Return what is left of the splits where the task chooses documents by what they say."""
    asked = spec.documents.select
    if asked is None:
        return splits, None, ()
    if by is None:
        raise ValueError(f"task '{spec.task}' chooses documents, and there is nothing to compare them by")
    missing = next((split for split in asked.splits or () if split not in splits), None)
    if missing is not None:
        raise unknown("split", missing, splits, f"task '{spec.task}': data.select.splits")
    return select(splits, asked, by)


def _read(spec: TaskSpec, data_dir: Path | None) -> tuple[Source, Rendered]:
    """Return the rows of a task and the documents they are, as its templates or lm-eval's task make them."""
    if spec.ask is not None and spec.ask.lm_eval is not None:
        source = fetch(spec, None, data_dir)
        return source, borrowed_documents(spec, spec.ask.lm_eval, source)
    templates = Templates.of(spec)
    source = fetch(spec, templates.columns | _named_columns(spec), data_dir)
    return source, read_documents(spec, source, templates)


def _first(documents: tuple[Document, ...], limit: int) -> tuple[Document, ...]:
    """Return the first ``limit`` documents, of each level where problems have one: only one level is measured."""
    seen: Counter[int | None] = Counter()
    kept = []
    for document in documents:
        level = document.level
        seen[level] += 1
        if seen[level] <= limit:
            kept.append(document)
    return tuple(kept)


def _drawn(spec: TaskSpec, data: WorldData, limit: int | None) -> Corpus:
    """Return the documents of a world: names without text, each the seed of its own tokens."""
    budget = spec.budget
    asked = {"train": budget.train_tokens, "val": budget.val_tokens, "test": budget.test_tokens}
    counts = {split: math.ceil((tokens or 0) / budget.context) for split, tokens in asked.items()}
    splits = {
        split: tuple(
            Document(name, name, None, "") for name in (f"{split}/{i}" for i in range(min(count, limit or count)))
        )
        for split, count in counts.items()
    }
    origin = Origin(
        "world", f"{true_count(data)} directions in {data.width} dimensions", None, f"numpy {np.__version__}"
    )
    words = json.dumps([probe(data, budget.context), fingerprint(splits)])
    return Corpus(splits, origin, hashlib.sha256(words.encode()).hexdigest(), sum(counts.values()), 0, {})


def _situations(data: BanditData) -> Corpus:
    """Return the documents of a bandit: its states, each by itself. What is learned of them is asked of the same."""
    states = tuple(Document(name, name, None, "") for name in (f"state/{i}" for i in range(data.states)))
    origin = Origin("bandit", f"{data.actions} actions in {data.states} states", None, f"numpy {np.__version__}")
    splits = dict.fromkeys(("train", "val", "test"), states)
    return Corpus(splits, origin, bandits.fingerprint(data), data.states, 0, {})


def _named_columns(spec: TaskSpec) -> frozenset[str]:
    data = spec.documents
    own_name = {"id"} if data.group == "id" else {data.group}
    names = {name for name in (data.id, data.domain) if name} | (own_name - {"id"})
    if data.unpivot:
        names = (names | set(data.unpivot.columns)) - {data.unpivot.name}
    return frozenset(name.partition(".")[0] for name in names)


def _divide(spec: TaskSpec, read: Rendered) -> tuple[dict[str, tuple[Document, ...]], dict[str, int]]:
    data = spec.documents
    if isinstance(data, PromptData):
        return {"test": shuffled(d for documents in read.documents.values() for d in documents)}, {}
    divided = divide(read.documents, data.splits, spec.task)
    return divided.splits, divided.shared


def fingerprint(splits: dict[str, tuple[Document, ...]]) -> str:
    """Return the SHA-256 of what decides results: split names, ids, groups, texts and labels, in order."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        for d in splits[name]:
            # JSON keeps the fields apart: no two different documents give the same line.
            problem = None if d.problem is None else as_word(d.problem)
            words = (word for word in (d.label, d.answer, problem) if word is not None)
            fields = [name, d.id, d.group, d.text, *words]
            digest.update(json.dumps(fields).encode("ascii") + b"\n")
    return digest.hexdigest()


def estimate_tokens(corpus: Corpus, budget: Budget) -> dict[str, int]:
    """Guess how many tokens each split will give, from the lengths of its texts, without a tokenizer."""
    tests = (budget.splice_tokens, budget.test_tokens, budget.density_tokens)
    asked = {
        "train": budget.train_tokens,
        "val": budget.val_tokens,
        "test": max((count for count in tests if count), default=None),
    }
    if corpus.origin.source == "bandit":
        return {name: len(documents) for name, documents in corpus.splits.items()}
    if corpus.origin.source == "world":
        return {name: len(documents) * budget.context for name, documents in corpus.splits.items()}
    return {name: _estimate(documents, budget, asked[name]) for name, documents in corpus.splits.items()}


def _estimate(documents: tuple[Document, ...], budget: Budget, asked: int | None) -> int:
    most = budget.context if budget.packing == "truncate" else math.inf
    total = sum(min(math.ceil(len(d.text) / CHARACTERS_PER_TOKEN), most) for d in documents)
    return int(total if asked is None else min(total, asked))
