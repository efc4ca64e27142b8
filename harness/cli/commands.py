"""All commands, each imported only when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

_COMMANDS = {
    "eval": ("harness.cli.evaluating", "Measure methods on tasks."),
    "export": ("harness.cli.exporting", "Write a fitted dictionary in the format of SAELens."),
    "leaderboard": ("harness.cli.publishing", "Build the page and the tables of a run folder."),
    "compare": ("harness.cli.comparing", "Compare two methods, or two run folders, with intervals."),
    "power": ("harness.cli.power", "Say which differences a task can see."),
    "gate": ("harness.cli.gating", "Hold a run against a baseline: pass, fail or inconclusive."),
    "report": ("harness.cli.reporting", "Report what one track found: where, how sure, with examples."),
    "audit": ("harness.cli.auditing", "Find out what a metric is worth: reliability cards."),
    "verify": ("harness.cli.verifying", "Run records again and say whether they agree."),
    "index": ("harness.cli.storing", "Index the records of a run folder."),
    "records": ("harness.cli.storing", "List records of a run folder or of a store."),
    "store": ("harness.cli.storing", "Share records through a database."),
    "events": ("harness.cli.storing", "Print what the runs of a folder did and when."),
    "import": ("harness.cli.importing", "Keep results of other tools beside ours, as they are."),
    "convert": ("harness.cli.importing", "Write records as result files of other tools."),
    "features": ("harness.cli.features", "Make a page about every latent of a method on a task."),
    "explain": ("harness.cli.explaining", "Explain what is predicted after a text, with measured effects."),
    "list": ("harness.cli.listing", "List methods, tasks, metrics, models or tracks."),
    "show": ("harness.cli.showing", "Show a method, task, track, metric or record."),
    "validate": ("harness.cli.validating", "Check task and method files."),
    "new": ("harness.cli.creating", "Write the files of a new method, task or package."),
    "schema": ("harness.cli.validating", "Print the JSON schema of task files, for editors."),
    "docs": ("harness.cli.docs", "Write a page per track from its metrics, methods and tasks."),
    "model": ("harness.cli.models", "Fetch and describe language models."),
    "doctor": ("harness.cli.doctor", "Say what this installation has and lacks."),
}

GROUPS = {
    "Measure and publish": ("eval", "leaderboard", "features", "explain", "export"),
    "Judge": ("compare", "report", "power", "gate", "audit", "verify"),
    "Keep and share": ("records", "index", "store", "events", "import", "convert"),
    "Write your own": ("new", "validate", "schema", "docs"),
    "Look up": ("list", "show", "model", "doctor"),
}
"""Which heading of ``harness --help`` a command stands under."""


class ReaderGoneError(Exception):
    """Whoever read stdout has closed it. Not an ``OSError``, which click would turn into exit code 1."""


class _Lazy(click.Group):
    """A group whose commands live in modules that are imported when they are named."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            from harness.errors import unknown

            raise unknown("command", args[0], _COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _COMMANDS))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), _COMMANDS[name][1]) for name in names])


# lm-eval's users write --output_path, click's write --output-path: both are understood.
_SETTINGS = {
    "token_normalize_func": lambda token: token.replace("_", "-"),
    "help_option_names": ["-h", "--help"],
    "max_content_width": 110,
}


@click.group(cls=_Lazy, context_settings=_SETTINGS)
@click.version_option(package_name="interp-harness", prog_name="harness")
def cli() -> None:
    """One harness in which every interpretability method meets every task under the same data, budget, controls and
    statistics."""
