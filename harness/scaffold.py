"""New files that work as they stand: a method, a task, a package of one's own. Needs no torch."""

from __future__ import annotations

import keyword
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from string import Template

from harness.content import PACKAGE, content_folder
from harness.errors import UserError, unknown
from harness.lm.catalog import default_alias
from harness.specs.library import Library
from harness.specs.plugins import GROUP
from harness.store.files import write_text

_TEMPLATES = PACKAGE / "scaffolds"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 60
ROLES = ("ceiling", "floor", "derived")
# Sources whose rows are not in the package.
OUTSIDE = ("hub", "folder")


def new_method(name: str, kind: str, folder: Path) -> list[Path]:
    """Write ``FOLDER/methods/NAME.py`` and ``.yaml``, and return their paths; raises ``UserError``, writing nothing."""
    _check_new("method", name, folder)
    kinds = [path.name.removesuffix(".py.txt") for path in _TEMPLATES.glob("*.py.txt")]
    kinds = [one for one in kinds if (_TEMPLATES / f"{one}.yaml.txt").is_file()]
    if kind not in kinds:
        raise unknown("kind of method", kind, kinds, "--kind")
    inside = folder / "methods"
    return _write({inside / f"{name}.{end}": _fill(f"{kind}.{end}", _words(name)) for end in ("py", "yaml")})


def new_task(name: str, track: str, folder: Path) -> list[Path]:
    """Write ``FOLDER/tasks/NAME.yaml``, and return its path; raises ``UserError``, writing nothing.

    It demands the controls that the tasks of its track demand most often.
    """
    library = _check_new("task", name, folder)
    tracks = [one for one in library.tracks() if (_TEMPLATES / f"{one}.yaml.txt").is_file()]
    if track not in tracks:
        raise unknown("track", track, tracks, "--track")
    words = {**_words(name), "model": default_alias(), "controls": _controls(library, track)}
    return _write({folder / "tasks" / f"{name}.yaml": _fill(f"{track}.yaml", words)})


def new_plugin(name: str, folder: Path) -> list[Path]:
    """Write the skeleton of an installable package with one method; raises ``UserError``, writing nothing."""
    _check_new("method", name, folder)
    words = _words(name) | {"group": GROUP, "distribution": name.replace("_", "-")}
    base = folder / name
    files = {
        base / "setup.cfg": "setup.cfg",
        base / "pyproject.toml": "pyproject.toml",
        base / name / "__init__.py": "package.py",
        base / name / "methods" / f"{name}.py": "dictionary.py",
        base / name / "methods" / f"{name}.yaml": "dictionary.yaml",
        base / "tests" / f"test_{name}.py": "test.py",
    }
    return _write({path: _fill(template, words) for path, template in files.items()})


def _check_new(what: str, name: str, folder: Path) -> Library:
    """Return the library the name is new in; raises ``UserError`` where it is no name, or is taken."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        hint = f" Did you mean '{near[:LONGEST]}'?" if near else ""
        raise UserError(
            f"{what} '{name}': a name has up to {LONGEST} of a-z, 0-9 and _, and begins with a letter.{hint}"
        )
    if keyword.iskeyword(name):
        raise UserError(f"{what} '{name}': this is a word of Python; take another name, as in '{name}_{what}'")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--to: '{folder}' is a file, not a folder")
    known = Library()
    for place in known.names("methods") + known.names("tasks") + known.tracks():
        if place == name:
            raise UserError(f"{what} '{name}': the name is taken (see `harness show {name}`); take another one")
    return known


def _words(name: str) -> dict[str, str]:
    words = name.split("_")
    return {"name": name, "title": " ".join(words).capitalize(), "cls": "".join(word.capitalize() for word in words)}


def _fill(template: str, words: Mapping[str, str]) -> str:
    return Template((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(words)


def _controls(library: Library, track: str) -> str:
    """Return, as YAML, what most tasks of a track name under each role."""
    tasks = [task for task in map(library.task, library.names("tasks")) if task.track == track]
    found = []
    for role in ROLES:
        counts = Counter(getattr(task.controls, role) for task in tasks)
        names = counts.most_common(1)[0][0] if counts else ()
        found += [f"{role}: [{', '.join(names)}]"] if names else []
    return "{" + ", ".join(found) + "}"


def _write(files: Mapping[Path, str]) -> list[Path]:
    for path in files:
        if path.exists() or path.is_symlink():
            raise UserError(f"'{path}' is there already; nothing was written")
    for path, text in files.items():
        write_text(path, text)
    return list(files)


def next_steps(what: str, name: str, folder: Path) -> list[str]:
    """Return the commands that come after ``harness new``."""
    if what == "plugin":
        package = shlex.quote(str(folder / name))
        return [f"pip install --editable {package}", f"harness validate {name}", f"pytest {package}/tests"]
    own = any((folder / kind).resolve() == content_folder(kind).resolve() for kind in ("methods", "tasks"))
    include = "" if own else f" --include-path {shlex.quote(str(folder))}"
    library = Library(() if own else (folder,))
    method, task = (name, _first_task(library, name)) if what == "method" else (_contestant(library, name), name)
    small = " --model tiny-random --limit 60" if what == "task" and library.task(name).model else ""
    evaluate = f"harness eval --method {method} --task {task}{small}{include}"
    return [f"harness validate {name}{include}", evaluate]


def _first_task(library: Library, method: str) -> str:
    """Return a task that measures a method: where there is one, a task that is over in seconds."""
    spec = library.method(method).spec
    tasks = [name for name in library.names("tasks") if library.track(library.task(name).track).takes(spec)]
    tasks.sort(key=lambda name: (library.task(name).model is not None, library.task(name).data.source in OUTSIDE))
    return tasks[0]


def _contestant(library: Library, task: str) -> str:
    """Return a method that a task measures, and that no task names as a control."""
    tasks = [library.task(name) for name in library.names("tasks")]
    controls = {name for one in tasks for role in ROLES for name in getattr(one.controls, role)}
    card = library.track(library.task(task).track)
    methods = [library.method(name).spec for name in library.names("methods") if name not in controls]
    fits = [spec for spec in methods if card.takes(spec)]
    # One that is built on nothing else, where there is one.
    return min(fits, key=lambda spec: (bool(spec.uses), bool(spec.needs))).method
