"""Reading pages as files: their elements, whether they nest, and where their links lead."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "input", "br", "link", "img", "wbr", "hr"}


class Reader(HTMLParser):
    """Collects elements and text, and checks that elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        kind = self.open[-1] if self.open and self.open[-1] in ("script", "style") else "text"
        self.raw[kind] = self.raw.get(kind, "") + data

    @property
    def text(self) -> str:
        """What can be read on the page, with single spaces."""
        return " ".join(self.raw.get("text", "").split())

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def pages_of(out: Path) -> dict[str, str]:
    """Return every page under a folder, by its path in it."""
    return {path.relative_to(out).as_posix(): path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))}


def page_of(out: Path, kind: str, name: str) -> str:
    """Return the one page of a kind (``tasks`` or ``cells``) that is called ``name`` and a hash."""
    (found,) = [path for path in (out / kind).rglob("*.html") if path.name[: -len("-0123456789.html")] == name]
    return found.read_text(encoding="utf-8")


def row_line(page: str, label: str) -> str:
    """Return the line of a row in the table of a task's page."""
    start = page.index(f">{label.replace('_', '_<wbr>')}</a>")
    return page[page.rindex("<tr>", 0, start) : page.index("</tr>", start)]
