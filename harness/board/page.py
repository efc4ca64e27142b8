"""What every page has in common: how templates are read, and a policy that lets nothing in but the page's own bytes."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.content import content_folder


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


def inline(*styles: str, script: str | None = None) -> dict[str, Markup | str]:
    """Return ``style``, ``script`` (empty where the page has none) and the ``policy`` that allows these and no more.

    Only files of ours are marked as safe.
    """
    reports = content_folder("reports")
    style = "".join((reports / name).read_text(encoding="utf-8") for name in styles)
    code = (reports / script).read_text(encoding="utf-8") if script else ""
    return {"style": Markup(style), "script": Markup(code), "policy": _policy(style, code)}


def package_version() -> str:
    """Return the version a page says it was built by."""
    try:
        return importlib.metadata.version("interp-harness")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _breakable(text: str) -> Markup:
    """Return a name that a narrow column may break after an underscore, and not inside a word."""
    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))


def _policy(style: str, script: str) -> str:
    scripts = f"script-src '{_hash(script)}'; " if script else ""
    return f"default-src 'none'; style-src '{_hash(style)}'; {scripts}base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
