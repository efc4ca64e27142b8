"""Files of other tools come in, and records go out as files of other tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError
from harness.exchange import lm_eval, saebench
from harness.exchange.fields import Source
from harness.exchange.imported import Imported, Tool, first_fault, save_imported
from harness.exchange.strict_json import parse_strict, read_bytes
from harness.store.files import sha256_bytes, write_text
from harness.store.records import BrokenRecordError, StoredRecord, find_records, load_record

_READERS = {"saebench": saebench.read, "lm-eval": lm_eval.read}
_UNSAFE = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True)
class Converted:
    """What was written, and (path, reason) of records that cannot be used."""

    files: tuple[Path, ...]
    problems: tuple[tuple[str, str], ...]


def read_results(path: Path, tool: Tool) -> Imported:
    """Return a result file of another tool as it is kept; raises ``UserError`` on anything that it should not hold."""
    data = read_bytes(path)
    try:
        found = _READERS[tool](parse_strict(data, str(path)), Source(str(path), path.name, sha256_bytes(data)))
    except ValidationError as error:
        # A text beyond its bounds, or half a surrogate pair; the readers have checked everything else.
        raise UserError(f"{path}: {first_fault(error)}") from None
    if not found.values:
        raise UserError(f"{path}: holds no result")
    return found


def import_results(paths: list[Path], tool: Tool, folder: Path) -> list[Path]:
    """Keep result files of another tool under ``FOLDER/imported``; nothing is written where one of them is refused."""
    return [save_imported(folder, found) for found in [read_results(path, tool) for path in paths]]


def convert(folder: Path, tool: Tool, to: Path) -> Converted:
    """Write one file per measured record of a run folder, in the shape of another tool."""
    files, problems = [], []
    for path in find_records(folder):
        try:
            stored = load_record(path)
            if stored.record.status == "ok":
                target, value = _written(stored, tool)
                text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
                write_text(to / target, text + "\n")
                files.append(to / target)
        except (BrokenRecordError, UserError, ValueError) as error:
            problems.append((path.relative_to(folder).as_posix(), str(error)))
    return Converted(tuple(files), tuple(problems))


def _written(stored: StoredRecord, tool: Tool) -> tuple[Path, dict[str, Any]]:
    """Return where a record goes and what is written there; names of records become names of files word by word."""
    record = stored.record
    method, task = _word(lm_eval.model_name(record)), _word(record.task.name)
    if tool == "saebench":
        return Path(f"{method}_{task}_{_word(record.cell)[:12]}_eval_results.json"), saebench.written(record)
    # lm-eval finds results by the start of their name and their time by what stands behind the last underscore.
    when = _word(record.provenance.finished)
    name = f"results_{task}_{_word(record.cell)[:12]}_{when}.json"
    return Path(method) / name, lm_eval.written(record, stored.parts())


def _word(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-")[:80] or "unnamed"
