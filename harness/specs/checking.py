"""Plain values become specs; what does not fit becomes one sentence with file, line and the nearest right word."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.errors import UserError, did_you_mean, unknown
from harness.specs.reading import Document, Key

M = TypeVar("M", bound=BaseModel)

# Keys of later tracks, so that a task written ahead of its time gets a clear answer.
RESERVED = ("chat", "select", "sites")


def check(document: Document, model: type[M], what: str) -> M:
    """Return ``document`` as ``model``; raises ``UserError`` for the first thing that does not fit."""
    try:
        # JSON mode: lists may fill tuples, yet words never become numbers.
        return model.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        raise UserError(_sentence(error, document, model, what)) from None


def _sentence(error: ValidationError, document: Document, model: type[BaseModel], what: str) -> str:
    paths = [(_real_path(e["loc"], document.value, e["type"] == "missing"), e) for e in error.errors()]
    # An unknown key explains most; else the error deepest in the file (a union reports its other branches too).
    key, first = min(paths, key=lambda p: (p[1]["type"] != "extra_forbidden", -len(p[0])))
    where, name = document.where(key), ".".join(str(part) for part in key)
    if first["type"] == "extra_forbidden":
        return f"{where}: {_unknown_key(key, document, model, what)}"
    if first["type"] == "missing":
        return f"{where}: {what} lacks the key '{name}'."
    if first["type"] == "union_tag_not_found":
        tag = str(first["ctx"]["discriminator"]).strip("'")
        return f"{where}: {what} lacks the key '{name}.{tag}'."
    if first["type"] == "union_tag_invalid":
        return _unknown_tag(first["ctx"], key, document)
    # What is wrong between several keys is the file's own, and has no name.
    about = f"'{name}': " if key else ""
    return f"{where}: {about}{_in_words(first['msg'])}{_got(_lookup(document.value, key))}."


def _unknown_tag(context: dict[str, Any], key: Key, document: Document) -> str:
    tag, given = str(context["discriminator"]).strip("'"), str(context["tag"])
    allowed = [word.strip("'") for word in str(context["expected_tags"]).split(", ")]
    return str(unknown(".".join(map(str, (*key, tag))), given, allowed, document.where((*key, tag))))


def _in_words(message: str) -> str:
    """Say a message of pydantic in the words of YAML."""
    plain = message.removeprefix("Value error, ")
    for theirs, ours in (("valid array", "list"), ("an object", "a mapping"), ("valid dictionary", "mapping")):
        plain = plain.replace(theirs, ours)
    plain = re.sub(r"^(?:List|Tuple) should have at least (\d+) item.*", r"must be a list of at least \1", plain)
    plain = plain.replace("String should match pattern '^[a-z0-9][a-z0-9_]*$'", "must be of a-z, 0-9 and _ alone")
    return plain[0].lower() + plain[1:]


def _got(given: Any) -> str:
    if isinstance(given, str):
        return f", got {given!r}"
    return f", got {json.dumps(given)}" if given is None or isinstance(given, (int, float, bool)) else ""


def _unknown_key(key: Key, document: Document, model: type[BaseModel], what: str) -> str:
    given, parent = str(key[-1]), key[:-1]
    if given in RESERVED and not parent:
        return f"key '{given}' is reserved for a track that does not exist yet; take it out."
    allowed = _allowed_keys(model, parent, document.value)
    inside = f" in '{'.'.join(map(str, parent))}'" if parent else f" in a {what}"
    return f"unknown key '{given}'{inside}.{did_you_mean(given, allowed)} Allowed: {', '.join(allowed)}."


def _real_path(loc: tuple[str | int, ...], value: Any, missing: bool) -> Key:
    """Drop the parts of a pydantic location that name a union's branch instead of a key of the file."""
    path: list[str | int] = []
    for i, part in enumerate(loc):
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if inside:
            value = value[part]
        elif not (missing and i == len(loc) - 1):
            continue
        path.append(part)
    return tuple(path)


def _lookup(value: Any, key: Key) -> Any:
    for part in key:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ...
    return value


def _allowed_keys(model: type[BaseModel], parent: Key, value: Any) -> list[str]:
    """Walk the fields along ``parent`` and return the keys allowed there."""
    options: list[type[BaseModel]] = [model]
    for part in parent:
        value = value[part]
        if isinstance(part, str):
            named = [m.model_fields[part].annotation for m in options if part in m.model_fields]
            options = [sub for annotation in named for sub in _models_in(annotation)] or options
    tagged = [m for m in options if _tag_fits(m, value)] or options
    return sorted({field for m in tagged for field in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in _models_in(arg)]


def _tag_fits(model: type[BaseModel], value: Any) -> bool:
    tag = model.model_fields.get("source")
    return not (isinstance(value, dict) and tag is not None) or value.get("source") in get_args(tag.annotation)


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a spec, for editors."""
    return TypeAdapter(model).json_schema()
