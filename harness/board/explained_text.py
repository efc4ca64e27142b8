"""An explained text as Markdown, and as lines for a terminal. Tokens and labels are data there too."""

from __future__ import annotations

from collections.abc import Iterator

from harness.board import explained_words as words
from harness.board.escaping import inert, shown
from harness.board.formats import visible
from harness.specs.explained import ActiveLatent, Explained, ExplainedFile

COLUMNS = ("latent", "label", "activation", "effect", "share", "attribution", "said")
# Latents that are listed; the page and the data file hold all.
MOST = 20
_BAR = 24


def summary(file: ExplainedFile) -> Iterator[str]:
    """Yield what was read and by what it is explained."""
    yield shown(words.place(file))
    yield shown(f"Text, {file.reading}: {''.join(file.tokens[: file.given])!r}")
    yield shown(words.whose(file))


def conclusions(file: ExplainedFile, one: Explained) -> Iterator[str]:
    """Yield a prediction and its explanation."""
    yield shown(words.headline(file, one))
    for found in one.prediction.top:
        yield shown(f"  {found.p:.3f} {'█' * round(_BAR * found.p):<{_BAR}} {words.guess(found)}")
    if one.model is not None:
        said = ", ".join(f"{words.guess(found)} {found.p:.3f}" for found in one.model.top)
        yield shown(f"The language model itself: {said}")
    yield shown(f"Explanation: {words.sentence(one)}")
    yield from (shown(line) for line in _judged(one))


def _judged(one: Explained) -> list[str]:
    """Return what the explanation is worth, a sentence each."""
    found = words.faithful(one.faithfulness) if one.faithfulness else [words.no_faithfulness(one)]
    return [*([words.caution(one)] if words.caution(one) else []), *found]


def labels(file: ExplainedFile) -> Iterator[str]:
    """Yield where labels come from, or how they are made."""
    yield shown(words.labels(file))
    if file.labels.command:
        yield shown(f"  {file.labels.command}")


def lines(one: Explained) -> list[list[str]]:
    """Return a line for each of the latents of largest effect, as ``COLUMNS`` names them."""
    return [_cells(latent) for latent in one.latents[:MOST]]


def title(one: Explained) -> str:
    """Say which latents ``lines`` are about."""
    return f"{min(len(one.latents), MOST)} of {len(one.latents)} active latents, the largest effect first"


def _cells(latent: ActiveLatent) -> list[str]:
    said = "" if latent.importance is None else f"{latent.importance:.3g}"
    return [
        str(latent.index), words.label(latent), f"{latent.activation:.3g}", words.signed(latent.effect),
        words.percent(latent.share), words.signed(latent.attribution), said,
    ]  # fmt: skip


def markdown(file: ExplainedFile) -> str:
    """Return GitHub-flavoured Markdown."""
    found = [f"## {inert(file.method['name'])}: why {inert(words.guess(file.explained[0].prediction.top[0]))}?", ""]
    found += [f"> {inert(visible(''.join(file.tokens[: file.given])))}", ""]
    found += [inert(f"Read {file.reading}. {words.place(file)}"), "", inert(words.whose(file)), ""]
    for one in file.explained:
        found += _prediction(file, one)
    found += [inert(words.labels(file)), ""]
    if file.labels.command:
        found += ["```", shown(file.labels.command).replace("`", "'"), "```", ""]
    found += [f"- {inert(note)}" for note in file.notes]
    return "\n".join(found).rstrip() + "\n"


def _prediction(file: ExplainedFile, one: Explained) -> Iterator[str]:
    yield from (f"### {inert(words.headline(file, one))}", "", f"**{inert(words.sentence(one))}**", "")
    yield from (f"- {inert(line)}" for line in _judged(one))
    yield from ("", f"{title(one)}:", "", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")
    yield from (f"| {' | '.join(inert(cell) for cell in line)} |" for line in lines(one))
    yield ""
