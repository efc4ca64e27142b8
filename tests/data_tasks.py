"""Tasks, rows and a tokenizer for the tests of ``harness.data``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.splits import Document
from harness.data.tokens import Sequences, TokenBudget
from harness.errors import UserError
from harness.specs.task import TaskSpec

WIDE = 10**9
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}


def make_task(data: Mapping[str, Any], text: str = "{{ text }}", **keys: Any) -> TaskSpec:
    """Return a task over ``data``; a folder's shares, id and group have defaults."""
    defaults = {} if data["source"] == "prompts" else {"splits": SHARES}
    value = {
        "task": "made_up",
        "version": 1,
        "title": "Made up",
        "track": "reconstruction",
        "model": "tiny-random",
        "data": {"group": "id", **defaults, **data},
        "text": text,
        "site": {"depth": 0.5},
        "budget": {"context": 16, "train_tokens": 100, "val_tokens": 50, "test_tokens": 100},
        "metrics": ["fvu"],
        **keys,
    }
    return TaskSpec.model_validate_json(json.dumps(value))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON Lines; returns the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path.parent


def folder_task(folder: Path, text: str = "{{ text }}", **data: Any) -> TaskSpec:
    """Return a task that reads a folder."""
    return make_task({"source": "folder", "path": str(folder), **data}, text)


@dataclass
class Tokenized:
    ids: list[list[int]]
    cut: list[bool]


class Letters:
    """Tokenizes by character: the id is the code point. BOS 1, EOS 2, padding 0."""

    def __init__(self, *, bos: bool = False, eos: int | None = 2, longest: int = 4096) -> None:
        self.bos_id = 1 if bos else None
        self.eos_id = eos
        self.pad_id = 0
        self.longest = longest
        self.texts = 0

    def tokenizer(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        """Return whole ids, as a Hugging Face tokenizer does."""
        self.texts += len(texts)
        start = [] if self.bos_id is None else [self.bos_id]
        return {"input_ids": [start + [ord(c) for c in text] for text in texts]}

    def tokenize(self, texts: Sequence[str], context: int) -> Tokenized:
        """Return ids cut at the context."""
        if context > self.longest:
            raise UserError(f"context must be at most {self.longest}, got {context}.")
        rows = self.tokenizer(texts)["input_ids"]
        return Tokenized([row[:context] for row in rows], [len(row) > context for row in rows])


def documents(texts: Iterable[str], groups: Sequence[str] | None = None) -> list[Document]:
    """Return documents of these texts, each its own group unless ``groups`` says otherwise."""
    return [Document(f"d{i}", groups[i] if groups else f"d{i}", None, text) for i, text in enumerate(texts)]


def budget(tokens: int = WIDE, context: int = 8, packing: str = "truncate", **rest: bool) -> TokenBudget:
    return TokenBudget((None, tokens, None), context, packing, **rest)  # type: ignore[arg-type]


def rows(sequences: Sequences) -> list[tuple[list[int], list[int], list[bool]]]:
    """Return (ids, documents, kept) of every sequence without padding, in the order of the batches."""
    result = []
    for batch in sequences.batches:
        for ids_T, doc_T, keep_T, mask_T in zip(batch.ids_BT, batch.doc_BT, batch.keep_BT, batch.mask_BT, strict=True):
            length = int(mask_T.sum())
            assert bool(mask_T[:length].all()), "padding is on the right"
            result.append((ids_T[:length].tolist(), doc_T[:length].tolist(), keep_T[:length].tolist()))
    return result
