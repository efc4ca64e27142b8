"""Hashes that decide whether something done before can stand for something asked for now."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.content import PACKAGE
from harness.specs.library import FoundMethod
from harness.specs.resolve import ResolvedTask


def digest(value: Any) -> str:
    """Return a short hash of plain data, equal for equal data whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:24]


@lru_cache(maxsize=256)
def code_hash(*paths: Path) -> str:
    """Return a hash of the bytes of Python files (every ``.py`` below, for a folder)."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()[:24]


def method_identity(found: FoundMethod, params: dict[str, Any], uses: dict[str, str]) -> str:
    """Return the hash of a method: its parameters, its file, what every fit shares, and the methods it is built on.

    A checkpoint is its files and the code that reads them, under whatever name.
    """
    if found.checkpoint is not None:
        return digest({"files": found.checkpoint.sha256, "code": code_hash(PACKAGE / "api.py", found.folder)})
    spec = found.spec.model_dump(mode="json", exclude={"title", "source", "params", "keeps", "degrades"})
    own = [found.code_path] if found.code_path is not None else []
    code = code_hash(*own, PACKAGE / "api.py", PACKAGE / "training")
    return digest({"spec": spec, "params": params, "code": code, "uses": uses})


@dataclass(frozen=True)
class Origin:
    """What activations come from besides the task: the model's fingerprint, its dtype, and the documents.

    Model and dtype are None where no language model runs.
    """

    model: str | None
    dtype: str | None
    documents: str


def activation_key(task: ResolvedTask, origin: Origin, split: str) -> str:
    """Return the key of one split's activations: model, documents, text, masks and budget, whatever the block."""
    spec = task.spec
    tokens = {"train": spec.budget.train_tokens, "val": spec.budget.val_tokens}[split]
    budget = [tokens, spec.budget.context, spec.budget.packing]
    at = spec.site.at if spec.site else None
    return digest([asdict(origin), split, budget, spec.mask.first, task.limit, at])


def fit_key(task: ResolvedTask, origin: Origin, method: str, seed: int) -> str:
    """Return the key of a fit: the method's identity, the activations it is fitted on, the budget, and the seed."""
    budget = task.spec.budget
    data = [activation_key(task, origin, split) for split in ("train", "val")]
    place = [task.place, task.spec.step]
    vocab = [task.spec.vocab.model_dump()] if task.spec.vocab else []
    own = [task.spec.mask.outliers, budget.passes, budget.latents, budget.l0, method, seed]
    return digest([data, place, *own, *vocab])
