"""What the model hub says of a repository, without weights and without torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors

from harness.errors import UserError

COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS = 10.0


def hub_commit(repo: str, revision: str | None) -> str:
    """Return the commit (40 hex digits) that ``revision`` of ``repo`` means.

    A commit is itself. Otherwise the snapshot in the local hub cache counts, so that a machine without network, and
    a second run, read the same weights; only a repository that is not cached is asked for its newest commit.

    Raises:
        UserError: the hub cannot be reached, or has no such repository or revision, or asks for a licence first.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    cached = huggingface_hub.try_to_load_from_cache(repo, "config.json", revision=revision)
    if isinstance(cached, str):
        return Path(cached).parent.name
    url = huggingface_hub.hf_hub_url(repo, "config.json", revision=revision)
    try:
        # One attempt: the download functions retry for half a minute before they admit that there is no network.
        commit = huggingface_hub.get_hf_file_metadata(url, timeout=SECONDS).commit_hash
    except Exception as error:  # the transport, and so its exceptions, differ between releases of the hub client
        raise _explained(error, repo, revision) from error
    if commit is None:
        raise UserError(f"model '{repo}': the hub did not say which commit it serves; give a revision.")
    return commit


def hub_config(repo: str, revision: str | None) -> dict[str, Any]:
    """Return the repository's ``config.json``; raises ``UserError`` like ``hub_commit``."""
    commit = hub_commit(repo, revision)
    try:
        path = huggingface_hub.hf_hub_download(repo, "config.json", revision=commit)
    except Exception as error:  # as above
        raise _explained(error, repo, revision) from error
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def _explained(error: Exception, repo: str, revision: str | None) -> UserError:
    at = f" at revision '{revision}'" if revision else ""
    if isinstance(error, errors.GatedRepoError):
        return UserError(f"model '{repo}' asks you to accept its licence: do so on its page, then run `hf auth login`.")
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(f"model '{repo}' has no revision '{revision}'.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(f"model '{repo}' is not on the hub, or is private: check the name, or run `hf auth login`.")
    unreachable = isinstance(error, errors.LocalEntryNotFoundError)
    if isinstance(error, errors.EntryNotFoundError) and not unreachable:
        return UserError(f"model '{repo}'{at} has no config.json, so it cannot be loaded.")
    return UserError(
        f"model '{repo}'{at} is not in the local hub cache, and the model hub cannot be reached "
        f"({type(error).__name__}). Give a local folder or a .gguf file, or use the default model."
    )


def snapshot(repo: str, revision: str | None) -> str:
    """Download a repository's weights (safetensors), config and tokenizer; return its folder in the hub cache.

    Raises:
        UserError: like ``hub_commit``.
    """
    commit = hub_commit(repo, revision)
    try:
        kinds = ["*.json", "*.safetensors", "*.model", "*.txt"]
        return str(huggingface_hub.snapshot_download(repo, revision=commit, allow_patterns=kinds))
    except Exception as error:  # as above
        raise _explained(error, repo, revision) from error
