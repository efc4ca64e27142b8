"""``harness doctor``."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import click

from harness.cli.options import as_json
from harness.cli.talk import print_json, print_table


@click.command("doctor")
@as_json
def doctor_command(as_json: bool) -> int:
    """Say what this installation has and lacks; exit code 1 where something needed is missing."""
    checks = [_python(), *_packages(), _compute(), _cache(), _model(), _mirrors(), *_plugins(), _content()]
    if as_json:
        print_json(checks)
    else:
        print_table("doctor", ["", "what", "found"], [[_mark(c["ok"]), c["what"], c["found"]] for c in checks])
    return 1 if any(check["ok"] is False for check in checks) else 0


def _mark(ok: bool | None) -> str:
    return {True: "ok", False: "MISSING", None: "optional"}[ok]


def _entry(what: str, found: str, ok: bool | None = True) -> dict[str, Any]:
    return {"what": what, "found": found, "ok": ok}


def _python() -> dict[str, Any]:
    return _entry("Python 3.11 or newer", platform.python_version(), sys.version_info >= (3, 11))


def _packages() -> list[dict[str, Any]]:
    import importlib.metadata

    found = []
    for name in ("torch", "transformers", "datasets", "accelerate", "reasoning-gym", "scikit-learn", "lm-eval"):
        try:
            found.append(_entry(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(_entry(name, "not installed", False))
    return found


def _compute() -> dict[str, Any]:
    import torch

    cuda = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return _entry("compute", f"{torch.get_num_threads()} CPU threads; {cuda or 'no CUDA device'}")


def _cache() -> dict[str, Any]:
    from harness.content import cache_dir

    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _entry("cache (HARNESS_CACHE)", f"{folder}: {error.strerror}", False)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return _entry("cache (HARNESS_CACHE)", f"{folder}, {size / 1e6:.0f} MB", os.access(folder, os.W_OK))


def _model() -> dict[str, Any]:
    from harness.lm.catalog import default_alias, resolve
    from harness.lm.listing import is_here

    name = default_alias()
    here = is_here(resolve(name))
    return _entry(
        "default model", f"{name} is here" if here else f"{name}: run `harness model fetch`", True if here else None
    )


def _mirrors() -> dict[str, Any]:
    given = os.environ.get("HARNESS_DATA")
    if not given:
        return _entry("mirrors (HARNESS_DATA)", "not set: hub data sets come from the hub", None)
    folders = sorted(path.name for path in Path(given).glob("*") if path.is_dir())
    return _entry("mirrors (HARNESS_DATA)", f"{given}: {', '.join(folders) or 'empty'}", bool(folders))


def _plugins() -> list[dict[str, Any]]:
    from harness.errors import UserError
    from harness.specs.plugins import plugins

    found = []
    for plugin in plugins():
        try:
            found.append(_entry(f"plug-in {plugin.package}", f"{plugin.version}, {plugin.folder()}"))
        except UserError as error:
            found.append(_entry(f"plug-in {plugin.package}", str(error), False))
    return found or [_entry("plug-ins", "none installed", None)]


def _content() -> dict[str, Any]:
    from harness.errors import UserError
    from harness.specs.library import Library

    try:
        library = Library()
        return _entry("content", f"{len(library.names('methods'))} methods, {len(library.names('tasks'))} tasks")
    except UserError as error:
        return _entry("content", str(error), False)
