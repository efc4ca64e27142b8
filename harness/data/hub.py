"""Data sets of the Hugging Face hub, at a commit that is recorded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.tables import Row, Table, table
from harness.errors import UserError
from harness.specs.data import HubData

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS = 10.0


@dataclass(frozen=True)
class Fetched:
    """Tables by split, the commit they are of (None where it cannot be told), and what the reader should know."""

    tables: dict[str, Table]
    revision: str | None
    warnings: tuple[str, ...] = ()


def fetch_hub(data: HubData, splits: Collection[str], columns: frozenset[str] | None) -> Fetched:
    """Load splits of a hub data set (all of them where none is named); raises ``UserError``.

    Only ``columns`` are decoded where all of them are there, and every one where this is None. No code of the data set
    is ever run.
    """
    commit = _commit(data)
    if commit is None and not _cached(data):
        raise _unreachable(data, "no connection")
    revision = commit or data.revision
    loaded = {split: _load(data, split, revision) for split in splits or _all_splits(data, revision)}
    tables = {split: _table(rows, data, columns) for split, rows in loaded.items()}
    if commit is not None:
        return Fetched(tables, commit)
    found = _commit_of_cache(list(loaded.values()))
    if data.revision is not None and found != data.revision:
        raise _unreachable(data, f"revision '{data.revision}' is not in the local cache")
    return Fetched(tables, found, (f"the hub could not be reached: the cached copy of '{data.name}' was used",))


def _commit(data: HubData) -> str | None:
    """Ask the hub, once, for the commit; None where it cannot be reached."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        # One attempt: loading straight away would retry for half a minute before it says that there is no network.
        return huggingface_hub.HfApi().dataset_info(data.name, revision=data.revision, timeout=_SECONDS).sha
    except errors.RevisionNotFoundError:
        raise UserError(f"data set '{data.name}' has no revision '{data.revision}'.") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"data set '{data.name}' is not on the hub, or is private: check the name, or run `hf auth login`."
        ) from None
    except errors.HFValidationError as error:
        raise UserError(f"data set '{data.name}': {error}") from None
    except Exception:  # the transport, and so its exceptions, differ between releases of the hub client
        return None


def _cached(data: HubData) -> bool:
    import datasets

    # What is streamed is never kept.
    return not data.rows and (Path(datasets.config.HF_DATASETS_CACHE) / data.name.replace("/", "___")).is_dir()


def _commit_of_cache(loaded: list[Any]) -> str | None:
    """Return the commit in the path of the cached files: ``NAME/CONFIG/VERSION/COMMIT/FILE``."""
    folders = {Path(file["filename"]).parent.name for rows in loaded for file in rows.cache_files}
    commit = folders.pop() if len(folders) == 1 else ""
    return commit if _COMMIT.fullmatch(commit) else None


def _all_splits(data: HubData, revision: str | None) -> list[str]:
    import datasets

    try:
        return sorted(datasets.get_dataset_split_names(data.name, data.config, revision=revision))
    except Exception as error:  # as in _commit
        raise _explained(error, data) from error


def _load(data: HubData, split: str, revision: str | None) -> Any:
    # Importing it costs a second, which a task that generates or reads files need not pay.
    import datasets

    try:
        return datasets.load_dataset(
            data.name, data.config, split=split, revision=revision, streaming=data.rows is not None
        )
    except Exception as error:  # as in _commit
        raise _explained(error, data) from error


def _table(rows: Any, data: HubData, columns: frozenset[str] | None) -> Table:
    names = rows.column_names
    if names is not None and columns is not None and columns <= set(names):
        rows = rows.select_columns(sorted(columns))
    if data.rows is not None:
        rows = rows.take(data.rows)
    guarded = _guarded(rows, data)
    return table(guarded) if names is None else Table(tuple(names), guarded)


def _guarded(rows: Any, data: HubData) -> Iterator[Row]:
    try:
        yield from rows
    except Exception as error:  # as in _commit: a stream may break off at any row
        raise _explained(error, data) from error


def _explained(error: Exception, data: HubData) -> UserError:
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ConnectionError):
        return _unreachable(data, said)
    # The library lists the configurations and splits there are.
    return UserError(f"data set '{data.name}' cannot be loaded from the hub: {said}")


def _unreachable(data: HubData, reason: str) -> UserError:
    if data.mirror is None:
        way_out = "The task names no local copy; copy the rows to JSON Lines and use 'source: folder'."
    else:
        way_out = (
            f"To use a local copy, put its splits into DIR/{data.mirror}/SPLIT.jsonl and give --data-dir DIR or set "
            "HARNESS_DATA=DIR."
        )
    return UserError(f"data set '{data.name}' cannot be fetched from the hub ({reason}). {way_out}")
