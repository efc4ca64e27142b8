"""``harness model``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from harness.cli.options import as_json
from harness.cli.talk import Talk, print_json, print_table, words


@click.group("model")
def model_command() -> None:
    """Fetch and describe language models."""


@model_command.command("list")
@as_json
def _list(as_json: bool) -> int:
    """List the language models that have a short name."""
    from harness.lm.listing import listing

    rows = listing()
    if as_json:
        print_json(rows)
    else:
        print_table("models", list(rows[0]), [words(row) for row in rows])
    return 0


@model_command.command("fetch")
@click.argument("name", required=False)
def _fetch(name: str | None) -> int:
    """Fetch a model (the default one where none is named) and convert it if it needs that; prints its folder."""
    from harness.lm.catalog import default_alias, resolve
    from harness.lm.obtain import obtain

    with Talk() as talk:
        click.echo(obtain(resolve(name or default_alias()), talk))
    return 0


@model_command.command("info")
@click.argument("name", required=False)
@click.option("--revision", help="Revision of a hub model.")
def _info(name: str | None, revision: str | None) -> int:
    """Print what is known of a model without loading its weights."""
    from harness.lm.catalog import default_alias, resolve
    from harness.lm.facts import facts
    from harness.lm.fingerprints import fingerprint

    source = resolve(name or default_alias(), revision)
    known: dict[str, Any] = {"name": source.name, "kind": source.kind, "label": source.label, "licence": source.licence}
    print_json({**known, **asdict(facts(source)), "fingerprint": fingerprint(source)})
    return 0
