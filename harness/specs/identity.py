"""Hashes that decide whether something done before can stand for something asked for now."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from harness.content import PACKAGE
from harness.specs.code import code_hash, with_imports
from harness.specs.library import FoundMethod
from harness.specs.resolve import ResolvedTask


def digest(value: Any) -> str:
    """Return a short hash of plain data, equal for equal data whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:24]


def method_identity(found: FoundMethod, params: dict[str, Any], uses: dict[str, str]) -> str:
    """Return the hash of a method: its parameters, its file with what it imports, and the methods it is built on.

    A checkpoint is its files and the code that reads them, under whatever name.
    """
    if found.checkpoint is not None:
        contract = with_imports(PACKAGE / "api" / "dictionary.py", "api")
        return digest({"files": found.checkpoint.sha256, "code": code_hash(*contract, found.folder)})
    # Without defaults: a key that methods may give some day changes none that do not give it.
    said = found.spec.model_dump(
        mode="json", exclude_defaults=True, exclude={"title", "source", "params", "keeps", "degrades"}
    )
    own = with_imports(found.code_path, "training", "api") if found.code_path is not None else ()
    return digest({"spec": said, "params": params, "code": code_hash(*own), "uses": uses})


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
