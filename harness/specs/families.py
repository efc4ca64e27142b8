"""``FAMILY:NAME`` as a task: what a family of tasks has in common, and what lm-eval's task of a name says.

A family is a YAML file in the folder ``families`` beside the tasks: a task without the keys that the name decides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.specs.lm_eval_tasks import PREFIX, LmEvalTask, find
from harness.specs.reading import Document

# Metrics of lm-eval that say by 1 or 0 whether an answer is right, the first that a task has.
_SCORES = ("acc", "exact_match")
_EXACT = ("em", "exact")
_SPLITS = ("test_split", "validation_split")
_DRAWN_FROM = ("fewshot_split", "training_split", "validation_split", "test_split")
_PASSED_ON = ("trust_remote_code", "revision")
_GOLD = ("gold_loglik", "d_gold_loglik")
_CHOICE = ("choice_loglik", "d_choice_loglik")
_RIGHT = ("answer_acc", "d_acc")
_WORDS = ("answer_f1", "d_f1")
_CONFIGS = ("main", "default", "all")


def family_of(name: str) -> tuple[str, str] | None:
    """Return the family that a name begins with and the rest of it; None where it is a plain name."""
    family, colon, rest = name.partition(":")
    return (family, rest) if colon and family == PREFIX else None


def of_family(document: Document, name: str) -> Document:
    """Return the task that lm-eval's task ``name`` is, with what its family's file gives it; raises ``UserError``."""
    if not name:
        raise UserError(f"--task: {PREFIX}: wants the name of a task of lm-eval behind it, or a YAML file.")
    task = find(name)
    metrics = _metrics(task)
    own: dict[str, Any] = {
        "task": _slug(task),
        "title": f"{task.name}, as lm-eval asks it",
        "data": _data(task, name),
        "ask": {"lm_eval": _asked(task, name)},
        "metrics": list(metrics),
        "bars": {key: bar for key, bar in (document.value.get("bars") or {}).items() if key in metrics},
    }
    common = {key: value for key, value in document.value.items() if key != "family"}
    return replace(document, value=common | own)


def _slug(task: LmEvalTask) -> str:
    """Return a name for folders and tables, with a hash where the task's own does not say which one it is."""
    slug = re.sub(r"[^a-z0-9]+", "_", task.name.lower()).strip("_")
    known = task.name if task.own else task.sha256
    plain = task.own and slug == task.name
    return f"{PREFIX}_{slug}" if plain else f"{PREFIX}_{slug}_{hashlib.sha256(known.encode()).hexdigest()[:8]}"


def _asked(task: LmEvalTask, name: str) -> dict[str, Any]:
    shots = task.keys.get("num_fewshot") or 0
    asked = {"name": name, "shots": shots, "examples": _examples(task.keys)}
    return asked | {"score": _score(task)}


def _score(task: LmEvalTask) -> str | None:
    return next((score for score in _SCORES if score in task.metrics), None)


def _examples(keys: Mapping[str, Any]) -> str | None:
    """Return the split that examples are drawn from, by lm-eval's rule; None where the task brings them."""
    config = keys.get("fewshot_config") or {}
    if config.get("split") or (config.get("samples") and not keys.get("fewshot_split")):
        return config.get("split")
    return next((keys[key] for key in _DRAWN_FROM if keys.get(key)), None)


def _metrics(task: LmEvalTask) -> tuple[str, ...]:
    names: tuple[str, ...] = _RIGHT if _score(task) else ()
    if task.output == "multiple_choice":
        return (*names, *_CHOICE, *_GOLD)
    if task.output == "generate_until":
        names += ("answer_em",) if any(one in task.metrics for one in _EXACT) else ()
        names += _WORDS if "f1" in task.metrics else ()
    return (*names, *_GOLD)


def _data(task: LmEvalTask, name: str) -> dict[str, Any]:
    keys = task.keys
    split = next((keys[key] for key in _SPLITS if keys.get(key)), None)
    if split is None:
        raise UserError(f"{PREFIX}:{name}: has neither a test nor a validation split.")
    options = {key: value for key, value in (keys.get("dataset_kwargs") or {}).items() if key not in _PASSED_ON[:1]}
    if keys["dataset_path"] == "json":
        return _files(options, split, name)
    beyond = sorted(set(options) - set(_PASSED_ON))
    if beyond:
        raise UserError(f"{PREFIX}:{name}: its data need '{beyond[0]}' in dataset_kwargs, which is not passed on here.")
    if Path(keys["dataset_path"]).is_dir():
        return {"source": "folder", "path": keys["dataset_path"], "group": "id", "splits": {"test": {"split": split}}}
    config = keys.get("dataset_name")
    return {
        "source": "hub",
        "name": keys["dataset_path"],
        "config": None if config is None else str(config),
        "revision": options.get("revision"),
        "mirror": _mirror(keys["dataset_path"], config),
        "group": "id",
        "splits": {"test": {"split": split}},
    }


def _mirror(path: str, config: str | None) -> str:
    """Return the folder of a local copy: the data set's own name, with its configuration where that says something."""
    words = [path.rpartition("/")[2], *([] if config is None or config in _CONFIGS else [str(config)])]
    return re.sub(r"[^a-z0-9]+", "_", "_".join(words).lower()).strip("_")


def _files(options: Mapping[str, Any], split: str, name: str) -> dict[str, Any]:
    """Return the folder that JSON Lines are in: ``dataset_path: json`` with files called like their splits."""
    files = options.get("data_files")
    paths = {key: Path(str(value)) for key, value in files.items()} if isinstance(files, dict) else {}
    folders = {path.parent for path in paths.values()}
    if len(folders) != 1 or split not in paths or any(path.name != f"{key}.jsonl" for key, path in paths.items()):
        raise UserError(
            f"{PREFIX}:{name}: its dataset_kwargs.data_files must name files SPLIT.jsonl of one folder, by split; "
            f"got {files!r}."
        )
    return {"source": "folder", "path": str(folders.pop()), "group": "id", "splits": {"test": {"split": split}}}
