"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.run.evaluate import Options

F = Callable[..., Any]

include_path = click.option(
    "--include-path",
    multiple=True,
    metavar="DIR",
    help="Folder with your own methods/, tasks/ or metrics/. May be given several times.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
store = click.option(
    "--store",
    envvar="HARNESS_STORE",
    metavar="URL",
    help="Database that gets every record as well, postgresql+psycopg://… or sqlite:///… (HARNESS_STORE).",
)

_RUN = (
    click.option("--seeds", "--seed", metavar="INTS", help="Seeds of the methods; the task's own by default."),
    click.option("--model", metavar="NAME", help="Language model instead of the task's: alias, hub id, folder, GGUF."),
    click.option("--layers", metavar="INTS", help="Blocks, from 0, instead of the task's site."),
    click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a task key, or params.KEY of the methods."
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Documents per split at most."),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, auto."),
    click.option("--dtype", default="float32", show_default=True, help="float32, bfloat16, float16, int8."),
    click.option("--device-map", help="'auto' spreads a model over several devices."),
    click.option(
        "--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Full sequences per batch."
    ),
    click.option("--revision", help="Revision of a hub model."),
    click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with a hub model."),
    click.option(
        "--data-dir", envvar="HARNESS_DATA", metavar="DIR", help="Folder of mirrors of hub data sets (HARNESS_DATA)."
    ),
    click.option("--output-path", default="runs", show_default=True, metavar="DIR", help="Run folder."),
)


def run_options(command: F) -> F:
    """Give a command what decides the cells of a run: seeds, model, layers, changes, documents, device, folder."""
    for option in reversed(_RUN):
        command = option(command)
    return command


def options_of(given: dict[str, Any]) -> Options:
    """Return what a command was given as options of ``harness.evaluate``; raises ``UserError``."""
    options: Options = {}
    names = {"seeds": "--seeds", "derived_seeds": "--derived-seeds", "layers": "--layers"}
    lists = {name: integers(given.pop(name), option) for name, option in names.items() if name in given}
    given["set"] = settings(given.pop("sets"))
    for name, value in {**given, **lists}.items():
        if value is not None:
            options[name] = value  # type: ignore[literal-required]
    return options


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Return ``"0,1,2"`` as numbers, or None for None; raises ``UserError``."""
    if text is None:
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"{option}: give whole numbers separated by commas, got '{text}'") from None


def settings(words: tuple[str, ...]) -> dict[str, str]:
    """Return ``("a.b=c",)`` as a mapping; raises ``UserError`` on a word without '=' or a key given twice."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set: write key=value, as in --set budget.l0=32, got '{word}'")
        if key.strip() in found:
            raise UserError(f"--set: key '{key.strip()}' is given twice")
        found[key.strip()] = value.strip()
    return found


def amounts(words: tuple[str, ...], option: str) -> dict[str, float]:
    """Return ``("fvu=.01",)`` as numbers by metric; raises ``UserError`` on anything else, or a metric given twice."""
    found: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            raise UserError(f"{option}: write METRIC=NUMBER, as in {option} fvu=0.01, got '{word}'") from None
        if not math.isfinite(value):
            raise UserError(f"{option}: the number must be finite, got '{word}'")
        if name.strip() in found:
            raise UserError(f"{option}: metric '{name.strip()}' is given twice")
        found[name.strip()] = value
    return found


def folder_of(path: str) -> Path:
    """Return a run folder that has results; raises ``UserError``."""
    from harness.store.records import check_results

    folder = Path(path)
    check_results(folder)
    return folder
