"""A vocabulary as token ids, and where its words stand in a text. Torch-free; arrays of one batch are ``[B, T]``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.specs.reasoning import Vocabulary

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Entry:
    """A word and the token-id sequences that count as it."""

    word: str
    sequences: tuple[tuple[int, ...], ...]


def surface_forms(word: str) -> tuple[str, ...]:
    """Return the four forms of a plain word: {lower case, capitalised} x {with, without a space before}."""
    lower, capital = word.lower(), word[:1].upper() + word[1:].lower()
    return tuple(dict.fromkeys((lower, capital, f" {lower}", f" {capital}")))


def entries(vocabulary: Vocabulary, tokenizer: Any) -> tuple[Entry, ...]:
    """Return a task's vocabulary under a tokenizer; raises ``UserError`` on a file that does not fit."""
    if vocabulary.token_ids:
        return read_token_ids(Path(vocabulary.token_ids), len(tokenizer))
    words: Sequence[Any] = read_keywords(Path(vocabulary.file)) if vocabulary.file else vocabulary.words
    pairs = [(w, surface_forms(w)) if isinstance(w, str) else (w[0], w[1]) for w in map(_pair, words)]
    return tuple(tokenized(word, forms, tokenizer) for word, forms in pairs)


def _pair(word: Any) -> Any:
    return word if isinstance(word, (str, tuple)) else (word.word, word.forms)


def tokenized(word: str, forms: Sequence[str], tokenizer: Any) -> Entry:
    """Return a word whose forms are tokenized by themselves, without special tokens."""
    rows = tokenizer(list(forms), add_special_tokens=False)["input_ids"]
    return Entry(word, tuple(dict.fromkeys(tuple(int(i) for i in row) for row in rows if row)))


def read_keywords(path: Path) -> list[str | tuple[str, tuple[str, ...]]]:
    """Read one word a line, or a word and its exact forms separated by tabs; blank and ``#`` lines are skipped."""
    lines = [line.rstrip("\r\n") for line in _text(path).split("\n")]
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    found: list[str | tuple[str, tuple[str, ...]]] = [
        (row[0].strip(), tuple(form for form in row[1:] if form)) if len(row) > 1 else row[0].strip() for row in rows
    ]
    if not found:
        raise UserError(f"{path}: holds no word; write one a line")
    return found


def read_token_ids(path: Path, size: int) -> tuple[Entry, ...]:
    """Read ``{word: [[id, …], …]}``; ``size`` is how many ids the tokenizer has."""
    try:
        value = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict) or not value:
        raise UserError(f"{path}: must hold an object {{word: [[id, …], …]}}")
    return tuple(Entry(word, _sequences(path, word, rows, size)) for word, rows in value.items())


def _sequences(path: Path, word: str, rows: Any, size: int) -> tuple[tuple[int, ...], ...]:
    good = isinstance(rows, list) and rows and all(isinstance(row, list) and row for row in rows)
    if not good:
        raise UserError(f"{path}: '{word}' must hold a list of lists of token ids, got {json.dumps(rows)[:60]}")
    for id_ in (id_ for row in rows for id_ in row):
        if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ < size:
            raise UserError(f"{path}: '{word}' holds {id_!r}; token ids of this model are 0..{size - 1}")
    return tuple(tuple(row) for row in rows)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8") from None


def find(ids_BT: Ids, doc_BT: Ids, entry: Entry) -> tuple[Mask, Mask]:
    """Return which tokens belong to an occurrence of a word, and which end one, bool ``[B, T]`` each.

    An occurrence lies within one document (``doc_BT``; -1 is padding). Forms that end on the same token are one
    occurrence: " wait" holds "wait" where spaces are tokens of their own.
    """
    covered_BT, ends_BT = np.zeros(ids_BT.shape, dtype=bool), np.zeros(ids_BT.shape, dtype=bool)
    width = ids_BT.shape[1]
    for sequence in entry.sequences:
        span = len(sequence)
        if span > width:
            continue
        starts_BS = np.ones((ids_BT.shape[0], width - span + 1), dtype=bool)
        for i, id_ in enumerate(sequence):
            shifted = slice(i, width - span + 1 + i)
            starts_BS &= (ids_BT[:, shifted] == id_) & (doc_BT[:, shifted] == doc_BT[:, : width - span + 1])
        starts_BS &= doc_BT[:, : width - span + 1] >= 0
        for i in range(span):
            covered_BT[:, i : width - span + 1 + i] |= starts_BS
        ends_BT[:, span - 1 :] |= starts_BS
    return covered_BT, ends_BT


def widen(covered_BT: Mask, doc_BT: Ids, before: int, after: int) -> Mask:
    """Return the windows: every covered token and its neighbours in the same document, ``before`` and ``after``."""
    window_BT = covered_BT.copy()
    for step in range(1, before + 1):
        window_BT[:, :-step] |= covered_BT[:, step:] & (doc_BT[:, :-step] == doc_BT[:, step:])
    for step in range(1, after + 1):
        window_BT[:, step:] |= covered_BT[:, :-step] & (doc_BT[:, step:] == doc_BT[:, :-step])
    return window_BT
