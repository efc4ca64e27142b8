"""The texts behind single items of a record: ``FOLDER/results/TASK/items-HASH.jsonl``, one line per item.

Cells of one table share a file, which is named by its own hash. It stays in the run folder: data sets have licences of
their own, so publishing records leaves the texts behind.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.store.files import sha256_bytes, sha256_text, write_text

# Characters of a text that are kept; of a longer one both ends, since a question may stand at either.
LONGEST = 1000
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Item:
    """One item: row ``i`` of the parts that hold single items is line ``i`` of the file.

    Attributes:
        id: of the document.
        group: what is never separated.
        author: who wrote the answer; None where there is one author.
        prompt: the text before the answer.
        answer: what was judged.
        label: its class.
        numbers: what else was measured of it, by name.
    """

    id: str
    group: str
    author: str | None
    prompt: str
    answer: str
    label: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def save_items(folder: Path, items: Sequence[Item]) -> str:
    """Write the items into the folder of their task, texts cut to ``LONGEST``; returns the hash of the file."""
    rows = [_row(item) for item in items]
    # Letters beyond ASCII are escaped: a text may hold half a pair, which UTF-8 cannot.
    text = "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows)
    digest = sha256_text(text)
    if load_items(folder, digest) is None:
        write_text(_path(folder, digest), text)
    return digest


def load_items(folder: Path, digest: str | None) -> tuple[Item, ...] | None:
    """Return the items of a task's folder with this hash; None where they were not kept or are not the same."""
    if digest is None or not _DIGEST.fullmatch(digest):
        return None
    path = _path(folder, digest)
    data = path.read_bytes() if path.is_file() else b""
    if sha256_bytes(data) != digest:
        return None
    return tuple(Item(**json.loads(line)) for line in data.splitlines())


def _row(item: Item) -> dict[str, Any]:
    # JSON has no number for what is not finite.
    finite = {name: value for name, value in item.numbers.items() if math.isfinite(value)}
    return asdict(item) | {"prompt": shortened(item.prompt), "answer": shortened(item.answer), "numbers": finite}


def shortened(text: str) -> str:
    """Return a text of at most ``LONGEST`` characters; of a longer one both ends, and how much is left out."""
    if len(text) <= LONGEST:
        return text
    mark = f" […{len(text)} characters in all…] "
    half = (LONGEST - len(mark)) // 2
    return text[:half] + mark + text[-half:]


def _path(folder: Path, digest: str) -> Path:
    return folder / f"items-{digest[:12]}.jsonl"
