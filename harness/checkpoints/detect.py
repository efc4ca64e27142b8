"""Which format a folder holds, and what it says. Needs no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints import dictionary_learning, gemma_scope, saelens, sparsify
from harness.checkpoints.card import Card, Format
from harness.errors import UserError

FORMATS: tuple[Format, ...] = (saelens.FORMAT, dictionary_learning.FORMAT, sparsify.FORMAT, gemma_scope.FORMAT)


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a dictionary: its card, and the SHA-256 of its files, which is its identity."""

    card: Card
    sha256: str


def find_checkpoint(folder: Path) -> Checkpoint:
    """Read the card of a folder and hash its files; raises ``UserError``."""
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder")
    form = format_of(folder)
    total = hashlib.sha256()
    for name in _files(form):
        with (folder / name).open("rb") as stream:
            total.update(f"{name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\0".encode())
    return Checkpoint(form.read(folder), total.hexdigest())


def format_of(folder: Path) -> Format:
    """Return the format whose files a folder holds; raises ``UserError`` where there is none, or more than one."""
    fits = [form for form in FORMATS if all((folder / name).is_file() for name in _files(form))]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UserError(f"'{folder}' holds several dictionaries: {', '.join(form.name for form in fits)}; keep one")
    known = "; ".join(f"{form.name}: {' and '.join(_files(form))}" for form in FORMATS)
    raise UserError(f"'{folder}' holds no dictionary that can be read. Known are {known}.")


def _files(form: Format) -> list[str]:
    return [name for name in (form.config, form.weights) if name]
