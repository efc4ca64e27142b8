"""The page of an explained text: one self-contained HTML file, made from the data alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.board import explained_text, formats
from harness.board import explained_words as words
from harness.board.escaping import shown
from harness.board.page import environment, inline, package_version
from harness.specs.explained import ActiveLatent, Explained, ExplainedFile, NamedLatent
from harness.store.files import write_text

# Latents in the table that is open; the others are folded away.
OPEN = 20
# Width of a drawn effect, either side of nothing.
_HALF = 50.0


@dataclass(frozen=True)
class Row:
    """A latent as the table shows it; ``x`` and ``width`` draw its effect, and ``page`` leads to its own page."""

    latent: ActiveLatent
    label: str
    x: float
    width: float
    named: bool
    page: str | None


@dataclass(frozen=True)
class Part:
    """A piece of the explanation in words: text, or a named latent with its label."""

    text: str
    named: NamedLatent | None
    label: str
    page: str | None


@dataclass(frozen=True)
class View:
    """One prediction with what is drawn of it."""

    number: int
    found: Explained
    rows: list[Row]
    sentence: list[Part]


def write_explained(file: ExplainedFile, path: Path) -> list[Path]:
    """Write the data, the page and Markdown, whole each, and return their paths; ``path`` is that of the data."""
    texts = {
        path.with_suffix(".html"): explained_html(file, path.name),
        path.with_suffix(".md"): explained_text.markdown(file),
        path: file.model_dump_json(indent=1) + "\n",
    }
    for to, text in texts.items():
        write_text(to, text)
    return list(texts)


def explained_html(file: ExplainedFile, data_name: str) -> str:
    """Return the page. Everything is inside it, and its policy forbids loading anything else."""
    page = environment().get_template("explained.html.j2").render(
        file=file,
        views=[_view(file, number, one) for number, one in enumerate(file.explained, 1)],
        open=OPEN,
        data_name=data_name,
        digest="",
        words=words,
        formats=formats,
        version=package_version(),
        **inline(("board.css", "explained.css"), ("theme.js",)),
    )  # fmt: skip
    return shown(page)


def _view(file: ExplainedFile, number: int, one: Explained) -> View:
    most = max((abs(latent.effect) for latent in one.latents), default=0.0) or 1.0
    named = {part.latent for part in one.sentence if isinstance(part, NamedLatent)}
    rows = []
    for latent in one.latents:
        width = _HALF * abs(latent.effect) / most
        x = _HALF - width if latent.effect < 0 else _HALF
        rows.append(Row(latent, words.label(latent), x, width, latent.index in named, _page(file, latent.index)))
    label_of = {row.latent.index: words.sure(row.latent) for row in rows}
    return View(number, one, rows, [_part(file, part, label_of) for part in one.sentence])


def _part(file: ExplainedFile, part: str | NamedLatent, label_of: dict[int, str]) -> Part:
    if isinstance(part, str):
        return Part(part, None, "", None)
    return Part("", part, label_of.get(part.latent, ""), _page(file, part.latent))


def _page(file: ExplainedFile, latent: int) -> str | None:
    """Return where the feature page shows a latent."""
    page = file.labels.page
    return None if page is None else f"{page}#f-{file.labels.layer}-{latent}"
