"""What every page has in common: how templates are read, and a policy that lets nothing in but the page's own bytes."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.content import content_folder

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# Whitespace that means nothing in a style sheet; before a colon it would be a descendant.
_LOOSE = re.compile(r"\s*([{};,])\s*|(?<=:)\s+")


@functools.cache
def environment() -> Environment:
    """Return what renders the templates of ``reports``; every value is escaped."""
    made = Environment(
        loader=FileSystemLoader(content_folder("reports")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = _breakable
    return made


def inline(styles: Sequence[str], scripts: Sequence[str]) -> dict[str, Markup | str]:
    """Return ``style``, ``script`` and the ``policy`` that allows these two and nothing else.

    Only files of ours are marked as safe. Pages are many, so comments and indents stay behind.
    """
    reports = content_folder("reports")
    style = "".join(_lean_style((reports / name).read_text(encoding="utf-8")) for name in styles)
    code = "".join(_lean_script((reports / name).read_text(encoding="utf-8")) for name in scripts)
    return {"style": Markup(style), "script": Markup(code), "policy": _policy(style, code)}


def package_version() -> str:
    """Return the version a page says it was built by."""
    try:
        return importlib.metadata.version("interp-harness")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def code_digest() -> str:
    """Return a hash of everything besides records that decides what a page looks like: templates and our own code."""
    files = [*content_folder("reports").iterdir(), *Path(__file__).parent.glob("*.py")]
    found = hashlib.sha256(package_version().encode())
    for path in sorted(path for path in files if path.is_file()):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _lean_style(style: str) -> str:
    return _LOOSE.sub(lambda found: found.group(1) or "", _COMMENT.sub("", style)).strip()


def _lean_script(code: str) -> str:
    """Return a script without indents and lines of comment; ours hold no text that runs over several lines."""
    return "".join(
        f"{line.strip()}\n" for line in code.splitlines() if line.strip() and not line.strip().startswith("//")
    )


def _breakable(text: str) -> Markup:
    """Return a name that a narrow column may break after an underscore, and not inside a word."""
    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))


def _policy(style: str, script: str) -> str:
    scripts = f"script-src '{_hash(script)}'; " if script else ""
    return f"default-src 'none'; style-src '{_hash(style)}'; {scripts}base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
