"""What is otherwise here than it was when a record was made."""

from __future__ import annotations

from dataclasses import dataclass

from harness.run.environment import commit, describe_platform, libraries
from harness.run.plan import PlannedGroup
from harness.specs.record import Record


@dataclass(frozen=True)
class Changes:
    """What is different, in words.

    Attributes:
        content: what the record is about is another: task, data, language model, method, or the code that measures.
        setting: what moves the last digits of every sum, and so the course of a training: threads, batch, device, …
    """

    content: tuple[str, ...]
    setting: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Everything that is different."""
        return self.content + self.setting


def content_changes(record: Record, group: PlannedGroup) -> tuple[str, ...]:
    """Say which part of a cell's identity is not the record's."""
    cell = group.cells[0]
    found = []
    model = record.model.fingerprint if record.model else None
    if model != group.origin.model:
        found.append(f"language model: its weights are {group.origin.model}, the record's {model}")
    if record.data.fingerprint != group.corpus.fingerprint:
        found.append("data: the documents are others")
    if record.task.table != group.table and not found:
        found.append("task: what decides the numbers of its table is not what the record's table was named after")
    if record.method.identity != cell.identity:
        found.append(f"method: its parameters, its code or what it is built on ({_code(record)})")
    if record.cell != cell.key and not found:
        found.append("cell: its seed or role, its metrics or their versions, or the code of the tracks")
    return tuple(found)


def _code(record: Record) -> str:
    revision, dirty = commit()
    then = record.provenance
    if revision is None or then.commit is None:
        return "the commit is not known"
    if revision == then.commit and not dirty and not then.dirty:
        return "the commit is the same: the record was altered, or its method lies outside the package"
    return f"commit {revision[:12]}{' and changes' if dirty else ''} here, {then.commit[:12]} then"


def setting_changes(record: Record, now: Record) -> tuple[str, ...]:
    """Say what moves the last digits and is not as it was; ``now`` is the record of the re-run."""
    then, here = record.provenance, now.provenance
    pairs = {
        "threads": (then.threads, here.threads),
        "batch_tokens": (then.batch_tokens, here.batch_tokens),
        "device": (then.device, here.device),
        "platform": (then.platform, describe_platform()),
    }
    versions = libraries()
    pairs |= {name: (then.libraries.get(name), versions.get(name)) for name in sorted({*then.libraries, *versions})}
    return tuple(f"{name}: {b} here, {a} then" for name, (a, b) in pairs.items() if a != b)
