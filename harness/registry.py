"""Names become classes: imports a method's file and builds the method from its YAML."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.api import Dictionary, ErrorProbe, Explainer, NextToken, Setting
from harness.checkpoints.dictionary import load_dictionary
from harness.content import content_folder, import_file
from harness.errors import UserError, unknown
from harness.specs.library import FoundMethod

# The abstract class behind each kind that a YAML may name.
KINDS: dict[str, Any] = {
    "dictionary": Dictionary,
    "error_probe": ErrorProbe,
    "explainer": Explainer,
    "next_token": NextToken,
}


def method_class(found: FoundMethod) -> type[Any]:
    """Import a method's file and return its class; raises ``UserError`` where the YAML and the code do not agree."""
    if found.spec.code is None or found.code_path is None:
        raise ValueError(f"'{found.spec.method}' has no class of its own: it runs others on another language model")
    stem, name = found.spec.code.removesuffix(".py").replace(".py:", ":").split(":")
    module = _module(found, found.code_path, stem)
    where = f"{found.folder / found.spec.method}.yaml"
    cls = getattr(module, name, None)
    if not isinstance(cls, type):
        classes = [
            n for n, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise unknown("class", name, classes, f"{where}: code")
    if not issubclass(cls, KINDS[found.spec.kind]):
        raise UserError(f"{where}: kind is '{found.spec.kind}', but {name} in {stem}.py is not a subclass of that kind")
    if not isinstance(getattr(cls, "Params", None), type):
        raise UserError(f"{where}: class {name} in {stem}.py lacks a 'Params' dataclass")
    return cls


def _module(found: FoundMethod, code_path: Path, stem: str) -> ModuleType:
    if found.folder == content_folder("methods"):
        return importlib.import_module(f"harness.methods.{stem}")
    name = f"harness_plugin_{stem}_{found.slug.rpartition('-')[2]}"
    return import_file(code_path, name)


def build_method(found: FoundMethod, params: dict[str, Any], setting: Setting) -> Any:
    """Return an unfitted method, or what a checkpoint holds; raises ``UserError`` naming what does not fit."""
    if found.checkpoint is not None:
        return load_dictionary(found.checkpoint, setting)
    cls = method_class(found)
    return cls(check_params(found, cls, params), setting)


def check_method(found: FoundMethod, params: dict[str, Any]) -> None:
    """Check what can be known of a method before anything is measured; raises ``UserError``."""
    if found.checkpoint is not None:
        load_dictionary(found.checkpoint)
    else:
        check_params(found, method_class(found), params)


def check_size(found: FoundMethod, params: dict[str, Any], setting: Setting) -> None:
    """Let a method refuse what would be too large to fit, before anything is fitted; raises ``UserError``."""
    cls = method_class(found) if found.checkpoint is None else None
    if cls is not None and issubclass(cls, NextToken):
        cls.check(check_params(found, cls, params), setting)


def check_params(found: FoundMethod, cls: type[Any], params: dict[str, Any]) -> Any:
    """Return ``params`` as the class's ``Params``; raises ``UserError``."""
    try:
        return TypeAdapter(cls.Params).validate_python(params)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"][0].lower() + first["msg"][1:]
        given = f", got {first['input']!r}" if first["type"] != "missing" else ""
        raise UserError(f"method '{found.spec.method}': parameter '{key}': {message}{given}.") from None
