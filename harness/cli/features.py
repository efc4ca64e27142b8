"""``harness features``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, include_path, options_of, run_options
from harness.cli.talk import Talk, print_json

if TYPE_CHECKING:
    from harness.features.making import PreparedFeatures
    from harness.specs.features import FeatureFile


@click.command("features")
@click.argument("method")
@click.option("--task", required=True, metavar="NAME", help="The task whose test documents are read.")
@run_options
@click.option("--run", metavar="DIR", help="Run folder with a reasoning record of this fit; --output-path by default.")
@click.option(
    "--details", type=click.IntRange(min=1), default=500, show_default=True, help="Latents shown with their contexts."
)
@include_path
@as_json
def features_command(
    method: str, task: str, output_path: str, run: str | None, details: int, as_json: bool, **given: Any
) -> int:
    """Make one self-contained page about every latent of METHOD, fitted as the task says, on its test documents.

    The fit is found in the cache or made. What the page shows lies in a data file beside it, from which the page is
    made again where the call is the same. With several --layers the page compares them.
    """
    from harness.board.feature_page import write_feature_page
    from harness.board.feature_records import join_reasoning
    from harness.features.making import prepare_features
    from harness.store.features import save_features

    call = prepare_features(method, task, output_path, options_of(given), run)
    with Talk() as talk:
        file = join_reasoning(_collected(call, talk), call.run)
    data, page = call.data_path, call.data_path.with_suffix(".html")
    save_features(data, file)
    write_feature_page(file, page, data.name, details)
    if as_json:
        print_json({"page": str(page), "data": str(data), "layers": [_summary(layer) for layer in file.layers]})
    else:
        click.echo(page)
    return 0


def _collected(call: PreparedFeatures, talk: Talk) -> FeatureFile:
    from harness.store.features import found_features

    found = found_features(call.data_path, call.key)
    if found is not None:
        click.echo(f"{call.data_path} is there already; the page is made from it", err=True)
        return found
    return call.collect(talk, shlex.join(["harness", *sys.argv[1:]]))


def _summary(layer: Any) -> dict[str, Any]:
    return {"layer": layer.layer, "own": layer.own.model_dump(), "controls": [c.model_dump() for c in layer.controls]}
