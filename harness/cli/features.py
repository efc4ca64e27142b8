"""``harness features``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, include_path, integers, options_of, run_options
from harness.cli.talk import Talk, print_json

if TYPE_CHECKING:
    from harness.features.asking import Asked
    from harness.features.making import PreparedFeatures
    from harness.features.ratings import Ratings
    from harness.specs.features import FeatureFile

_LABELS = (
    click.option(
        "--judge",
        metavar="URL",
        help="OpenAI-compatible endpoint, http://localhost:8000/v1, whose model puts labels into words and tests them. "
        "An API key is taken from the environment variable HARNESS_JUDGE_KEY alone. Neither is stored.",
    ),
    click.option("--judge-model", metavar="NAME", help="The model's name at that endpoint."),
    click.option(
        "--judge-latents", type=click.IntRange(min=0), default=50, show_default=True,
        help="Latents of each block that are drawn for the judge; about 60 questions each.",
    ),
    click.option("--judge-also", metavar="INTS", help="Latents to be judged besides those drawn."),
    click.option("--ratings", metavar="FILE", help="CSV: latent, rating and, if wanted, layer, rater, comment."),
    click.option("--scale", default="1-5", show_default=True, metavar="LEAST-MOST", help="Scale of the ratings."),
)  # fmt: skip


def _label_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_LABELS):
        command = option(command)
    return command


@click.command("features")
@click.argument("method")
@click.option("--task", required=True, metavar="NAME", help="The task whose test documents are read.")
@run_options
@click.option("--run", metavar="DIR", help="Run folder with a reasoning record of this fit; --output-path by default.")
@click.option(
    "--details", type=click.IntRange(min=1), default=500, show_default=True, help="Latents shown with their contexts."
)
@_label_options
@include_path
@as_json
def features_command(
    method: str, task: str, output_path: str, run: str | None, details: int, as_json: bool, **given: Any
) -> int:
    """Make one self-contained page about every latent of METHOD, fitted as the task says, on its test documents.

    The fit is found in the cache or made. What the page shows lies in a data file beside it, from which the page is
    made again where the call is the same; a judge's labels and people's ratings are added to it without the model, and
    stay until others take their place. With several --layers the page compares them.
    """
    from harness.board.feature_page import write_feature_page
    from harness.features.making import prepare_features
    from harness.store.features import save_features

    asked, rated = _labels(given)
    call = prepare_features(method, task, output_path, options_of(given), run)
    data, page = call.data_path, call.data_path.with_suffix(".html")
    with Talk() as talk:
        file = _read(call, asked is not None, talk)
        # What was read stays, whatever becomes of the rest.
        save_features(data, file)
        file, trouble = _labelled(file, data, asked, rated, talk)
    save_features(data, file)
    write_feature_page(file, page, data.name, details)
    if as_json:
        print_json({"page": str(page), "data": str(data), "layers": [_summary(layer) for layer in file.layers]})
    else:
        click.echo(page)
    return _said(trouble)


def _labels(given: dict[str, Any]) -> tuple[Asked | None, Ratings | None]:
    """Check what is said of labels before anything is read."""
    from harness.features.asking import check_judge
    from harness.features.ratings import read_ratings, read_scale

    also = integers(given.pop("judge_also"), "--judge-also") or ()
    asked = check_judge(given.pop("judge"), given.pop("judge_model"), given.pop("judge_latents"), also)
    ratings, scale = given.pop("ratings"), given.pop("scale")
    read_scale(scale)
    return asked, None if ratings is None else read_ratings(Path(ratings), scale)


def _read(call: PreparedFeatures, windows: bool, talk: Talk) -> FeatureFile:
    """Return the data file that is there, or read the model; with ``windows``, those of labels as well."""
    from harness.board.feature_records import join_reasoning
    from harness.store.features import found_features

    found = found_features(call.data_path, call.key)
    command = shlex.join(["harness", *_without_address(sys.argv[1:])])
    if found is None:
        found = call.collect(talk, command)
    elif windows and not call.has_windows:
        # The same call gives the same file; what was added to the one that is there stays in it.
        call.collect(talk, command)
    else:
        click.echo(f"{call.data_path} is there already; the page is made from it", err=True)
    return join_reasoning(found, call.run)


def _without_address(words: Sequence[str]) -> list[str]:
    """Return a command as it is recorded: without the address of a judge."""
    plain = [("--judge=URL" if word.startswith("--judge=") else word) for word in words]
    return ["URL" if i and plain[i - 1] == "--judge" else word for i, word in enumerate(plain)]


def _labelled(
    file: FeatureFile, data: Path, asked: Asked | None, rated: Ratings | None, talk: Talk
) -> tuple[FeatureFile, str | None]:
    """Return the file with ratings and a judge's labels, and what went wrong with the judge."""
    from harness.features.endpoint import EndpointError
    from harness.features.ratings import add_ratings, with_scores

    trouble = None
    if rated is not None:
        file = add_ratings(file, rated)
    if asked is not None:
        from harness.features.judged import add_judge

        try:
            file = add_judge(file, data, asked, talk)
        except EndpointError as error:
            trouble = f"--judge: {error}; its answers so far are kept, call it again to go on"
    return with_scores(file), trouble


def _said(trouble: str | None) -> int:
    from harness.board.escaping import shown

    if trouble is None:
        return 0
    click.echo(f"harness: {shown(trouble)}", err=True)
    return 1


def _summary(layer: Any) -> dict[str, Any]:
    parts = {"own": layer.own, "judge": layer.judge, "ratings": layer.ratings}
    plain = {name: None if part is None else part.model_dump() for name, part in parts.items()}
    return {"layer": layer.layer, **plain, "controls": [c.model_dump() for c in layer.controls]}
