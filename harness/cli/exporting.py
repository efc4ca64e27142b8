"""``harness export``."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.options import as_json, include_path, integers, settings
from harness.cli.talk import print_json


@click.command("export")
@click.argument("method")
@click.option("--task", required=True, metavar="NAME", help="Task the method was fitted on.")
@click.option("--to", required=True, metavar="DIR", help="Folder to write.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the fit.")
@click.option("--model", metavar="NAME", help="Language model it was fitted with instead of the task's.")
@click.option("--layers", metavar="INT", help="Block it was fitted at instead of the task's site.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="As it was given to `harness eval`.")
@click.option("--limit", type=click.IntRange(min=1), help="As it was given to `harness eval`.")
@click.option("--dtype", default="float32", show_default=True, help="As it was given to `harness eval`.")
@click.option("--revision", help="Revision of a hub model.")
@click.option(
    "--data-dir", envvar="HARNESS_DATA", metavar="DIR", help="Folder of mirrors of hub data sets (HARNESS_DATA)."
)
@include_path
@as_json
def export_command(method: str, task: str, to: str, seed: int, as_json: bool, **given: Any) -> int:
    """Write a fitted dictionary in SAELens' format: cfg.json and sae_weights.safetensors.

    The dictionary is taken from the cache: measure it with `harness eval` first. METHOD may be path:DIR, which turns a
    checkpoint of dictionary_learning, sparsify or Gemma Scope into one of SAELens. Exit code 2: it cannot be written.
    """
    from pathlib import Path

    from harness.run.export import export

    given["layers"] = integers(given["layers"], "--layers")
    given["set"] = settings(given.pop("sets"))
    options: Any = {name: value for name, value in given.items() if value is not None}
    written = export(method, task, seed, Path(to), options)
    if as_json:
        print_json({"folder": str(written.folder), "files": list(written.files)})
    else:
        click.echo("\n".join(str(written.folder / name) for name in written.files))
    return 0
