"""lm-eval's task files, read as plain data: found by name in its registry, or a file of one's own. Runs no code.

lm-eval's own ``TaskManager`` reads all fourteen thousand of its files, and importing it takes seconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError, unknown

PREFIX = "lm_eval"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# ``task: NAME`` at the left margin; either may be quoted.
_NAME = re.compile(
    rb"^[\"']?task[\"']?:[ \t]*(?:\"([^\"\n]+)\"|'([^'\n]+)'|([^\s#'\"\[{][^\n#]*?))[ \t]*(?:#.*)?\r?$", re.MULTILINE
)
# As many names as a message can show.
_SHOWN = 20


@dataclass(frozen=True)
class Code:
    """A function that a file names: ``!function MODULE.NAME``, of a Python file beside it or an installed module."""

    folder: Path
    name: str

    @property
    def file(self) -> Path:
        """The Python file, where it lies beside the YAML."""
        return self.folder / f"{self.name.rpartition('.')[0].replace('.', '/')}.py"

    @property
    def words(self) -> str:
        """What stands for the function where a task is identified: its name, and what its file holds."""
        held = self.file.read_bytes() if self.file.is_file() else b""
        return f"!function {self.name} {hashlib.sha256(held).hexdigest()}"


@dataclass(frozen=True)
class LmEvalTask:
    """One task of lm-eval, as its file and those it includes say.

    Attributes:
        name: what lm-eval calls it.
        path: its file.
        keys: what the files say; functions are ``Code``.
        own: whether it is of lm-eval's registry, rather than a file of the user's.
    """

    name: str
    path: Path
    keys: dict[str, Any]
    own: bool

    @property
    def sha256(self) -> str:
        """Hash of all that the files say and of the code they name, wherever they lie."""
        return hashlib.sha256(json.dumps(_words(self.keys), sort_keys=True, default=str).encode()).hexdigest()

    @property
    def output(self) -> str:
        """What is asked of a model: ``multiple_choice``, ``generate_until`` or ``loglikelihood``."""
        return str(self.keys.get("output_type", "generate_until"))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics it names, or those that lm-eval takes where it names none."""
        given = self.keys.get("metric_list")
        if given is None:
            return _DEFAULT_METRICS[self.output]
        return tuple(metric for one in given if isinstance(metric := one.get("metric"), str))


_DEFAULT_METRICS = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
    "generate_until": ("exact_match",),
}


def find(name: str) -> LmEvalTask:
    """Return a task by name, or by the path of its YAML file.

    Raises:
        UserError: there is none, its files are not whole, or it asks what cannot be asked under an edit.
    """
    own = not name.endswith((".yaml", ".yml"))
    path = _registered(name) if own else Path(name)
    if not path.is_file():
        raise UserError(f"{PREFIX}: task file '{name}' does not exist")
    keys = _read(path.resolve(), ())
    found = LmEvalTask(str(keys.get("task")), path.resolve(), keys, own)
    reason = next(_obstacles(found), None)
    if reason is not None:
        raise UserError(f"{PREFIX}:{name}: {reason}")
    return found


def _registry() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise UserError(f"{PREFIX}: lm-eval is not installed here")
    return Path(next(iter(places))) / "tasks"


@lru_cache(maxsize=1)
def _index() -> dict[str, Path]:
    """Return the file of every task of the registry, by name."""
    found: dict[str, Path] = {}
    # As in lm-eval: of two files with one name the first in the order of their paths.
    for path in sorted(_registry().rglob("*.yaml"), key=lambda path: path.as_posix()):
        for name in _names(path.read_bytes()):
            found.setdefault(name, path)
    return found


def _registered(name: str) -> Path:
    names = _index()
    if name in names:
        return names[name]
    said = str(unknown("task of lm-eval", name, names)).partition(" Allowed:")[0]
    # It may be the name of a group, of which single tasks can be asked.
    near = sorted((one for one in names if one.startswith(f"{name}_")), key=lambda one: (len(one), one))[:_SHOWN]
    group = f" Groups are not asked; single tasks that begin like it: {', '.join(near)}." if near else ""
    raise UserError(f"{said}{group}")


def _names(text: bytes) -> set[str]:
    return {next(filter(None, match)).decode("utf-8", "replace").strip() for match in _NAME.findall(text)}


def _read(path: Path, users: tuple[Path, ...]) -> dict[str, Any]:
    """Return the keys of a file over those it includes, as lm-eval lays them over each other."""
    if path in users:
        raise UserError(f"{path}: the file includes itself")
    try:
        keys = yaml.load(path.read_bytes(), Loader=_loader(path.parent))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(keys, dict):
        raise UserError(f"{path}: must hold a mapping of keys to values")
    below: dict[str, Any] = {}
    given = keys.pop("include", None) or []
    for name in given if isinstance(given, list) else [given]:
        below |= {k: v for k, v in _read(path.parent / name, (*users, path)).items() if k != "task_list"}
    return below | keys


def _loader(folder: Path) -> Any:
    loader: Any = type("_Loader", (_LOADER,), {})
    loader.add_constructor("!function", lambda reader, node: Code(folder, str(reader.construct_scalar(node))))
    return loader


def _obstacles(task: LmEvalTask) -> Iterator[str]:
    """Yield why a task cannot be asked under an edit."""
    keys = task.keys
    if isinstance(keys.get("task"), list) or "group" in keys:
        yield "is a group of tasks; name one of them"
    if not isinstance(keys.get("task"), str):
        yield "the file names no task"
    if "class" in keys:
        yield "is written in Python; only tasks in YAML can be asked here"
    if not task.own and (code := next(functions(keys), None)) is not None:
        yield f"runs code ('!function {code.name}'); only tasks of lm-eval's own registry may"
    if task.output not in _DEFAULT_METRICS:
        yield f"its output_type is '{task.output}'; questions are asked by {', '.join(_DEFAULT_METRICS)}"
    if keys.get("doc_to_image") or keys.get("doc_to_audio"):
        yield "shows images or sounds"
    if keys.get("unsafe_code"):
        yield "runs what the model writes"
    how = keys.get("generation_kwargs") or {}
    if task.output == "generate_until" and (how.get("do_sample") or keys.get("repeats", 1) != 1):
        yield "draws its answers by chance, so that two runs differ; only the likeliest tokens are written here"
    if not isinstance(keys.get("dataset_path"), str):
        yield "makes its data by code"


def functions(value: Any) -> Iterator[Code]:
    """Yield every function that plain data name."""
    if isinstance(value, Code):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from functions(inner)


def _words(value: Any) -> Any:
    if isinstance(value, Code):
        return value.words
    if isinstance(value, Mapping):
        return {str(key): _words(inner) for key, inner in value.items()}
    return [_words(inner) for inner in value] if isinstance(value, list) else value
