"""``harness explain``."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from harness.cli.options import as_json, include_path, options_of, run_options
from harness.cli.talk import Talk, print_json, print_table


@click.command("explain")
@click.option("--method", required=True, metavar="NAME", help="An explainer, a dictionary, or a decoder over codes.")
@click.option("--text", required=True, help="The text whose next token is explained.")
@click.option("--task", metavar="NAME", help="The task that NAME is fitted on; by default the first that takes it.")
@click.option("--chat", is_flag=True, help="Put the text as a user's message in the model's chat template.")
@click.option(
    "--tokens", type=int, default=1, show_default=True, help="Explain each of so many tokens, as the model goes on."
)
@run_options
@click.option("--run", metavar="DIR", help="Run folder with a feature page, for labels; --output-path by default.")
@include_path
@as_json
def explain_command(
    method: str,
    text: str,
    task: str | None,
    chat: bool,
    tokens: int,
    output_path: str,
    run: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Explain the token predicted after a text by the features that are active there, with measured effects.

    Prints the prediction, the features and the explanation with its faithfulness, and writes them as one
    self-contained page, as Markdown and as JSON. The fit is found in the cache or made.
    """
    from harness.board import explained_text
    from harness.board.explained_page import write_explained
    from harness.explaining.making import Text, prepare_explanation

    call = prepare_explanation(method, Text(text, chat, tokens), task, output_path, options_of(given), run)
    with Talk() as talk:
        file = call.explain(talk, shlex.join(["harness", *sys.argv[1:]]))
    paths = write_explained(file, call.data_path)
    if as_json:
        print_json({"files": [str(path) for path in paths], **file.model_dump(mode="json")})
        return 0
    for line in explained_text.summary(file):
        click.echo(line)
    for one in file.explained:
        click.echo()
        for line in explained_text.conclusions(file, one):
            click.echo(line)
        print_table(explained_text.title(one), explained_text.COLUMNS, explained_text.lines(one))
    for line in explained_text.labels(file):
        click.echo(line)
    for path in paths:
        click.echo(str(path), err=True)
    return 0
