"""From a record back to the cell that made it: the task, the method and the seed it holds. Imports no torch."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.checkpoints.detect import find_checkpoint
from harness.errors import UserError
from harness.lm.catalog import RANDOM
from harness.run.plan import PlannedGroup, make_plan
from harness.run.request import Request
from harness.specs.data import PromptData
from harness.specs.library import FoundMethod, Library
from harness.specs.reading import scalar
from harness.specs.record import Record
from harness.specs.resolve import Overrides
from harness.specs.worlds import DRAWN
from harness.store.files import write_text
from harness.store.records import BrokenRecordError, StoredRecord, load_record

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_PLUGIN = re.compile(r"(?P<name>.+)-[0-9a-f]{8}")
_CHECKPOINT = re.compile(r"path:(?P<label>.*)-(?P<sha256>[0-9a-f]{8})")
_LABEL = re.compile(r"[A-Za-z0-9_.-]+")
# Numbers that JSON cannot hold are stored as the words YAML has for them.
_NOT_FINITE = (".inf", "-.inf", ".nan")


@dataclass(frozen=True)
class Sources:
    """Where to look for what a record only names.

    Attributes:
        library: methods and tasks.
        checkpoints: folders with other people's dictionaries.
        data_dir: folder of mirrors.
    """

    library: Library
    checkpoints: tuple[Path, ...] = ()
    data_dir: Path | None = None


def rebuild(stored: StoredRecord, sources: Sources, folder: Path) -> PlannedGroup:
    """Return the group of a record with its cell alone.

    Args:
        stored: the record.
        sources: see ``Sources``.
        folder: where the task file is written that the record's task becomes.

    Raises:
        UserError: what the record names is not here, or is not a cell of its task.
    """
    record, library = stored.record, sources.library
    own = find_method(record.method.name, record, sources)
    base = find_method(record.method.of, record, sources) if record.method.of else own
    params = _params_of_base(stored) if record.method.of else record.method.params
    if record.method.of and own[1].spec.params != from_words(record.method.params):
        raise UserError(f"its parameters of the control '{record.method.name}' are not those of the YAML here")
    task = _write_task(record, own[1], library, folder)
    request = Request(
        methods=(base[0],),
        tasks=(str(task),),
        seeds=(record.seed,),
        # Several blocks are the task's own; one may have been chosen for the call.
        layers=(record.model.layer,) if record.model and isinstance(record.model.layer, int) else (),
        overrides=_overrides(record, library),
        params=from_words(params),
        dtype=record.model.dtype if record.model else "float32",
        data_dir=sources.data_dir,
    )
    return _only(make_plan(library, request), record, own[1].slug, base[1].slug)


def _only(groups: Sequence[PlannedGroup], record: Record, slug: str, base: str) -> PlannedGroup:
    for group in groups:
        for cell in group.cells:
            of = cell.of.entry.found.slug if cell.of else None
            if cell.entry.found.slug == slug and of == (base if record.method.of else None):
                if cell.seed != record.seed:
                    raise UserError(f"'{record.method.name}' has no seed {record.seed}: no seed changes it")
                return replace(group, cells=(cell,), elsewhere=())
    raise UserError(f"its task names no control '{record.method.name}' that is built from '{record.method.of}'")


def find_method(name: str, record: Record, sources: Sources) -> tuple[str, FoundMethod]:
    """Return what to call a record's method on the command line, and the method; raises ``UserError``."""
    library = sources.library
    if checkpoint := _CHECKPOINT.fullmatch(name):
        word = _checkpoint(checkpoint["label"], checkpoint["sha256"], record, sources)
        return word, library.method(word)
    plugin = _PLUGIN.fullmatch(name)
    for word in (name, plugin["name"] if plugin else name):
        if word in library.names("methods"):
            return word, library.method(word)
    raise UserError(f"there is no method '{name}' here; one from a folder is found with --include-path")


def _checkpoint(label: str, sha256: str, record: Record, sources: Sources) -> str:
    """Return the word for the folder whose files have the hash that the record names."""
    for folder in (*sources.checkpoints, *_folders_in(record.provenance.command)):
        try:
            found = find_checkpoint(folder)
        except UserError:
            continue
        if found.sha256[:8] == sha256:
            return f"{label}=path:{folder}" if _LABEL.fullmatch(label) else f"path:{folder}"
    raise UserError(f"the dictionary '{label}' ({sha256}…) is not here; name its folder with --checkpoint")


def _folders_in(command: str) -> list[Path]:
    """Return the folders of dictionaries a command names."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    named = [word for given in words for word in given.split(",") if "path:" in word]
    return [Path(word.partition("path:")[2].strip("'\"()[]")) for word in named]


def _params_of_base(stored: StoredRecord) -> dict[str, Any]:
    """Return the parameters of the method a derived control is built from: they are in that method's own record.

    Nothing (the method's defaults) where it does not lie beside this one; the identity says whether they are right.
    """
    record = stored.record
    for path in sorted((stored.path.parent.parent / (record.method.of or "").replace(":", "-")).glob("*.json")):
        try:
            other = load_record(path).record
        except (BrokenRecordError, UserError):
            continue
        same = other.task.table == record.task.table and other.seed == record.seed
        if same and other.method.name == record.method.of and other.method.of is None:
            return other.method.params
    return {}


def _write_task(record: Record, found: FoundMethod, library: Library, folder: Path) -> Path:
    """Write the task file that a record's resolved task is; JSON is YAML."""
    spec = dict(record.task.spec)
    name = str(spec.get("task"))
    if not _NAME.fullmatch(name):
        raise UserError(f"its task is called '{name}', which is no name of a task")
    if not all(isinstance(spec.get(key), dict) for key in ("data", "budget")):
        raise UserError("its task holds no 'data' or no 'budget'")
    drawn = DRAWN.get(str(spec["data"].get("source")))
    spec = {key: value for key, value in spec.items() if key != "limit" and not (drawn and key == "mask")}
    card = library.track(str(spec.get("track")))
    # Of a task with a corpus the record holds the budget of both; each key is asked for where it belongs.
    allowed = {*card.test_budget, *card.optional_budget, *(() if spec.get("corpus") else card.fit_budget)}
    allowed = allowed if drawn is None or drawn.budgeted else set()
    spec["budget"] = {key: value for key, value in spec["budget"].items() if key in allowed}
    if found.spec.model is not None:
        spec["model"] = str(spec["model"]).removeprefix(RANDOM)
    if spec["data"].get("source") == "prompts":
        spec["data"] = spec["data"] | {"prompts": _prompts(name, library)}
    path = folder / f"{name}.yaml"
    write_text(path, json.dumps(spec, ensure_ascii=False))
    return path


def _prompts(name: str, library: Library) -> dict[str, Any]:
    """Return the prompts of a task, which its records leave out; the fingerprint of the data says whether they are."""
    data = library.task(name).data
    if not isinstance(data, PromptData):
        raise UserError(f"task '{name}' has no prompts here")
    return data.model_dump()["prompts"]  # type: ignore[no-any-return]


def _overrides(record: Record, library: Library) -> Overrides:
    spec = record.task.spec
    theirs = library.track(str(spec.get("track"))).fit_budget if spec.get("corpus") else ()
    sets = {f"budget.{key}": json.dumps(spec["budget"][key]) for key in theirs if key in spec["budget"]}
    return Overrides(limit=spec.get("limit"), sets=sets)


def from_words(value: Any) -> Any:
    """Return what ``in_words`` was given: words for numbers that are not finite become those numbers."""
    if isinstance(value, dict):
        return {key: from_words(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [from_words(inner) for inner in value]
    return scalar(value) if value in _NOT_FINITE else value
