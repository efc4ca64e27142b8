"""Where content lies: in this package, in installed ones, in folders that the user adds.

No code of an installed package is run to find what it brings.
A package says that it brings content by an entry point of the group ``interp_harness.content`` whose value is an
importable package that holds ``methods``, ``tasks`` or ``metrics``, as a folder of ``--include-path`` does::

    [options.entry_points]
    interp_harness.content =
        acme = acme_harness
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.content import content_folder
from harness.errors import UserError

GROUP = "interp_harness.content"
# The name of this package's own content in listings.
OWN = "interp-harness"
# What a package, or a folder that the user adds, may hold.
CONTENT = ("methods", "tasks", "metrics")


@dataclass(frozen=True)
class Plugin:
    """One entry point.

    Attributes:
        package: name of the installed distribution.
        version: of that distribution.
        value: the importable package that holds the content.
    """

    package: str
    version: str
    value: str

    @property
    def origin(self) -> str:
        """What listings call it."""
        return f"{self.package} {self.version}"

    def folder(self) -> Path:
        """Return the folder with the content; raises ``UserError`` where there is none."""
        top, *inner = self.value.split(".")
        # Of a top-level name only the place is looked up; a dotted one would import its parents.
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        places = spec.submodule_search_locations or () if spec else ()
        for place in places:
            folder = Path(place, *inner)
            if any((folder / kind).is_dir() for kind in CONTENT):
                return folder
        what = f"holds none of the folders {', '.join(CONTENT)}" if places else "is not a package that can be imported"
        raise UserError(f"package '{self.package}' names '{self.value}' under {GROUP}, which {what}; mend or remove it")


def plugins() -> list[Plugin]:
    """Return what installed packages name under the group, each once, in the order of their names."""
    found = {
        Plugin(entry.dist.name, entry.dist.version, entry.value)
        for entry in importlib.metadata.entry_points(group=GROUP)
        if entry.dist is not None
    }
    return sorted(found, key=lambda plugin: (plugin.package, plugin.value))


@dataclass(frozen=True)
class Place:
    """A folder with content.

    Attributes:
        folder: holds ``methods``, ``tasks`` or ``metrics``.
        origin: what listings call it.
        package: the installed package it belongs to; None for a folder that the user adds.
    """

    folder: Path
    origin: str
    package: str | None = None


class Places:
    """Every folder with content, this package's own first, then installed ones, then those the user adds."""

    def __init__(self, include: Sequence[Path]) -> None:
        for folder in include:
            if not folder.is_dir():
                raise UserError(f"--include-path: '{folder}' is not a folder")
            if not any((folder / kind).is_dir() for kind in CONTENT):
                raise UserError(f"--include-path: '{folder}' holds none of the folders {', '.join(CONTENT)}")
        installed = {plugin.folder(): Place(plugin.folder(), plugin.origin, plugin.package) for plugin in plugins()}
        given = {folder.resolve(): Place(folder, str(folder)) for folder in include}
        self._places = (*installed.values(), *given.values())

    def folders(self, kind: str) -> list[Path]:
        """Return the folders that hold one kind of content."""
        own = [content_folder(kind)] if kind in ("methods", "tasks") else []
        return own + [place.folder / kind for place in self._places if (place.folder / kind).is_dir()]

    def origin(self, path: Path) -> str:
        """Return where the file of a method or task comes from, in words."""
        place = self._of(path)
        return place.origin if place else OWN

    def defined_twice(self, kind: str, path: Path, first: Path) -> UserError:
        """Build the error for a name that two files have."""
        place = self._of(path)
        package = f" of the installed package '{place.package}'" if place and place.package else ""
        return UserError(f"{path}: {kind[:-1]} '{path.stem}'{package} is already defined in {first}")

    def slug(self, name: str, path: Path) -> str:
        """Return what a method is called in records: its name, with a hash of where it is from unless it is ours."""
        if path.parent.resolve() == content_folder("methods").resolve():
            return name
        place = self._of(path)
        # An installed package lies elsewhere on every machine, and is the same one all the same.
        known = f"{place.package}:{name}" if place and place.package else str(path.resolve())
        return f"{name}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"

    def _of(self, path: Path) -> Place | None:
        holder = path.resolve().parent.parent
        return next((place for place in self._places if place.folder.resolve() == holder), None)
