"""Where rows come from: the hub or its local mirror, a folder, a generator, or the task file itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.data.gym import generate
from harness.data.hub import fetch_hub
from harness.data.planted import VERSION, traces
from harness.data.riddles import VERSION as RIDDLES
from harness.data.riddles import riddles
from harness.data.tables import Table, read_jsonl, table
from harness.errors import UserError, unknown
from harness.specs.data import FolderData, GymData, HubData, PlantedData, PromptData, RiddleData, SplitPart
from harness.specs.task import TaskSpec

# The one split of a source that has none of its own.
WHOLE = ""


@dataclass(frozen=True)
class Origin:
    """Where rows came from.

    Attributes:
        source: ``hub``, ``folder``, ``reasoning_gym``, ``planted``, ``riddles`` or ``prompts``.
        name: hub id, folder, generator or task.
        config: configuration of a hub data set.
        revision: resolved commit of a hub data set or version of the generator; None where rows were local files.
        mirror: the local folder that stood in for the hub, by name, or None.
    """

    source: str
    name: str
    config: str | None = None
    revision: str | None = None
    mirror: str | None = None


@dataclass(frozen=True)
class Source:
    """Rows by split of the source, and what the reader should know about them."""

    origin: Origin
    tables: dict[str, Table]
    warnings: tuple[str, ...] = ()


def fetch(spec: TaskSpec, columns: frozenset[str] | None, data_dir: Path | None) -> Source:
    """Get the rows a task asks for; raises ``UserError``.

    Args:
        spec: the task.
        columns: what will be read of a row; a source may leave the others out. None for all.
        data_dir: folder of mirrors, used before the hub.
    """
    data, splits = spec.documents, _named_splits(spec)
    if isinstance(data, HubData):
        return _mirror_or_hub(data, splits, columns, data_dir)
    if isinstance(data, FolderData):
        return Source(Origin("folder", data.path), _read_folder(_place(data.path, data_dir), splits))
    if splits:
        raise UserError(
            f"task '{spec.task}': {data.source} has no split '{splits[0]}'; give each split as a share alone."
        )
    if isinstance(data, GymData):
        problems, version = generate(data)
        return Source(Origin("reasoning_gym", data.name, revision=version), {WHOLE: problems})
    if isinstance(data, PlantedData):
        return Source(Origin("planted", spec.task, revision=VERSION), {WHOLE: table(traces(data.size, data.seed))})
    if isinstance(data, RiddleData):
        return Source(Origin("riddles", spec.task, revision=RIDDLES), {WHOLE: table(riddles(data.size, data.seed))})
    return Source(Origin("prompts", spec.task), {WHOLE: _prompts(data)})


def _place(path: str, data_dir: Path | None) -> Path:
    """Return the folder, under the folder of mirrors where the working folder does not have it."""
    given = Path(path)
    return given if given.is_dir() or data_dir is None else data_dir / given


def _named_splits(spec: TaskSpec) -> list[str]:
    """Return the splits of the source that the task names; none where it takes shares of the whole."""
    splits = getattr(spec.data, "splits", None)
    parts = [] if splits is None else [splits.train, splits.val, splits.test]
    asked = spec.ask.lm_eval if spec.ask else None
    drawn_from = {asked.examples} if asked and asked.shots and asked.examples else set()
    return sorted({part.split for part in parts if isinstance(part, SplitPart)} | drawn_from)


def _mirror_or_hub(data: HubData, splits: list[str], columns: frozenset[str] | None, data_dir: Path | None) -> Source:
    warnings: tuple[str, ...] = ()
    if data_dir is not None and not data_dir.is_dir():
        raise UserError(f"--data-dir (or HARNESS_DATA): '{data_dir}' is not a folder.")
    if data_dir is not None and data.mirror is not None:
        folder = data_dir / data.mirror
        if folder.is_dir():
            origin = Origin("hub", data.name, data.config, None, data.mirror)
            return Source(origin, _read_folder(folder, splits, data.rows))
        warnings = (f"'{data_dir}' has no folder '{data.mirror}', so '{data.name}' was taken from the hub",)
    fetched = fetch_hub(data, splits, columns)
    origin = Origin("hub", data.name, data.config, fetched.revision)
    return Source(origin, fetched.tables, warnings + fetched.warnings)


def _read_folder(folder: Path, splits: Collection[str], rows: int | None = None) -> dict[str, Table]:
    if not folder.is_dir():
        raise UserError(
            f"'{folder}' is not a folder, here or under --data-dir (it should hold one file SPLIT.jsonl per split)."
        )
    there = sorted(path.stem for path in folder.glob("*.jsonl"))
    if not there:
        raise UserError(f"'{folder}' holds no file SPLIT.jsonl.")
    for split in splits:
        if split not in there:
            raise unknown("split", split, there, f"folder '{folder}'")
    return {split: read_jsonl(folder / f"{split}.jsonl", rows) for split in splits or there}


def _prompts(data: PromptData) -> Table:
    return table(
        {"id": f"{category}/{number:02d}", "category": category, **prompt.model_dump()}
        for category, prompts in data.prompts.items()
        for number, prompt in enumerate(prompts, start=1)
    )
