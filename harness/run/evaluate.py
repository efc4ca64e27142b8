"""``harness.evaluate``: what the command does, for Python callers. Checks first, loads torch last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from harness.content import cache_dir
from harness.errors import UserError
from harness.metrics.contract import add_metric_folders
from harness.run.plan import PlannedGroup, make_plan
from harness.run.request import Request
from harness.run.sharding import Shard
from harness.specs.library import Library
from harness.specs.reading import parse_value
from harness.specs.resolve import Overrides
from harness.store.files import output_folder
from harness.store.masking import masked

if TYPE_CHECKING:
    from harness.run.engine import Outcome
    from harness.tracks.contract import Resources

DTYPES = ("float32", "bfloat16", "float16", "int8")


class Options(TypedDict, total=False):
    """Options of ``evaluate``, as on the command line."""

    seeds: Sequence[int]
    derived_seeds: Sequence[int]
    model: str
    layers: Sequence[int]
    set: Mapping[str, str]
    limit: int
    controls: bool
    device: str
    dtype: str
    device_map: str
    batch_size: int
    revision: str
    trust_remote_code: bool
    data_dir: str | Path
    include_path: Sequence[str | Path]
    store: str
    shard: str


@dataclass(frozen=True)
class Prepared:
    """A call that was checked as far as it can be without loading a model."""

    groups: list[PlannedGroup]
    options: Options
    folder: Path

    def beside(self, kind: str, key: str) -> Path:
        """Return where a data file about the first cell goes, in a folder of its kind; its page lies beside it."""
        group = self.groups[0]
        cell = group.cells[0]
        name = f"seed{cell.seed}-{key[:12]}.json"
        return self.folder / kind / group.task.spec.task / cell.entry.found.slug / name

    def run(self, progress: Any, command: str) -> Outcome:
        """Run what is not finished yet."""
        # torch and transformers are loaded here and not before: a typing mistake costs no model import.
        from harness.run.engine import Call, run
        from harness.run.reporting import Reports

        reports = Reports(self.folder, dict(self.options))
        shard = Shard.read(self.options["shard"]) if "shard" in self.options else None
        return run(self.groups, Call(self.folder, self.resources(progress), command, reports, shard))

    def resources(self, progress: Any) -> Resources:
        """Check the methods' parameters against their code, and return what all groups share."""
        from harness.lm.loading import LoadOptions
        from harness.registry import check_method
        from harness.tracks.contract import Resources

        for entry in (cell.fitted for group in self.groups for cell in group.cells):
            check_method(entry.found, entry.params)
        given = self.options
        load = LoadOptions(
            device=given.get("device", "auto"),
            dtype=given.get("dtype", "float32"),
            device_map=given.get("device_map"),
            revision=given.get("revision"),
            trust_remote_code=given.get("trust_remote_code", False),
        )
        context = max(group.task.budget.context for group in self.groups)
        return Resources(cache_dir(), load, given.get("batch_size", 8) * context, progress)


def prepare(
    method: str | Sequence[str],
    task: str | Sequence[str],
    output_path: str | Path,
    options: Options,
    progress: Any = None,
) -> Prepared:
    """Check a call and plan its cells; raises ``UserError`` before any model loads."""
    library, request = make_request(method, task, options)
    folder = output_folder(Path(output_path), "--output-path")
    output_folder(cache_dir(), "HARNESS_CACHE")
    if "shard" in options:
        Shard.read(options["shard"])
    if "store" in options:
        # SQLAlchemy takes a moment to import, and few calls name a database.
        from harness.store.sql.database import check_url

        check_url(options["store"])
    return Prepared(make_plan(library, request, progress), options, folder)


def make_request(method: str | Sequence[str], task: str | Sequence[str], options: Options) -> tuple[Library, Request]:
    """Return what a call asks for, and the library it asks it of; raises ``UserError``."""
    include = [Path(folder) for folder in options.get("include_path", ())]
    library = Library(include)
    add_metric_folders(library.folders("metrics"))
    task_sets, params = split_sets(options.get("set", {}))
    dtype = options.get("dtype", "float32")
    if dtype not in DTYPES:
        raise UserError(f"dtype '{dtype}' is not known. Allowed: {', '.join(DTYPES)}.")
    data_dir = options.get("data_dir")
    if data_dir is not None and not Path(data_dir).is_dir():
        raise UserError(f"--data-dir (HARNESS_DATA): '{data_dir}' is not a folder")
    derived = options.get("derived_seeds")
    request = Request(
        methods=_names(method, "method"),
        tasks=_names(task, "task"),
        seeds=_numbers(options.get("seeds", ()), "--seeds"),
        derived_seeds=_numbers(derived, "--derived-seeds") if derived is not None else None,
        layers=_numbers(options.get("layers", ()), "--layers"),
        overrides=Overrides(options.get("model"), options.get("limit"), task_sets),
        params=params,
        controls=options.get("controls", True),
        revision=options.get("revision"),
        dtype=dtype,
        data_dir=Path(data_dir) if data_dir is not None else None,
    )
    return library, request


def evaluate(
    method: str | Sequence[str],
    task: str | Sequence[str],
    output_path: str | Path = "runs",
    progress: Any = None,
    **options: Unpack[Options],
) -> Outcome:
    """Measure methods on tasks and return their records; what ``output_path`` holds already is not done again.

    Args:
        method: one name or several; a path of a YAML file is a name too.
        task: the same, for tasks.
        output_path: run folder; records lie under ``results``.
        progress: called with (label, done, total).
        options: see ``Options``.

    Raises:
        UserError: anything wrong that can be known before a model loads.
    """
    prepared = prepare(method, task, output_path, options, progress)
    words = "".join(f", {name}={masked(repr(value))}" for name, value in options.items())
    return prepared.run(progress or _silent, f"harness.evaluate({method!r}, {task!r}{words})")


def _silent(label: str, done: int, total: int) -> None:
    """Report nothing."""


def _names(given: str | Sequence[str], what: str) -> tuple[str, ...]:
    names = tuple(given.split(",")) if isinstance(given, str) else tuple(given)
    names = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not names:
        raise UserError(f"--{what}: give at least one {what}")
    return names


def _numbers(given: Sequence[int], option: str) -> tuple[int, ...]:
    """Return seeds or blocks; what is given twice would be the same cell twice."""
    for i, number in enumerate(given):
        if number < 0:
            raise UserError(f"{option}: numbers start from 0, got {number}")
        if number in given[:i]:
            raise UserError(f"{option}: {number} is given twice")
    return tuple(given)


def split_sets(sets: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Separate ``params.…`` (parameters of methods, as nested values) from keys of the task (as YAML words)."""
    task: dict[str, str] = {}
    params: dict[str, Any] = {}
    for key, text in sets.items():
        first, *rest = key.split(".")
        if first != "params":
            task[key] = text
            continue
        if not rest:
            raise UserError("--set params: name a parameter, as in params.optim.lr=1e-3")
        inner = params
        for part in rest[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UserError(f"--set {key}: '{part}' is given a value of its own as well")
        inner[rest[-1]] = parse_value(text, f"--set {key}")
    return task, params
