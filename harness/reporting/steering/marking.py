"""Where the words of a task stand in a text, by their spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from harness.data.vocabulary import surface_forms
from harness.specs.steering import Steering


def spellings(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """Return the spellings of the words that a task as it was run asks for, or none and the reason.

    A file of words is not opened: a record may come from anywhere, and may name any file.
    """
    try:
        asked = Steering.model_validate_json(json.dumps(spec.get("steering"))).vocabulary
    except ValidationError:
        return (), "the record holds no words that this version can read"
    if asked.path is not None:
        return (), "the words are in a file of their own, which the record does not hold"
    forms = (surface_forms(word) if isinstance(word, str) else word.forms for word in asked.words)
    return tuple(dict.fromkeys(text.strip() for some in forms for text in some if text.strip())), None


def split(text: str, words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a text in order, and whether each is one of the words, standing by itself."""
    if not words:
        yield text, False
        return
    # The longest first: of two that begin alike the longer is the word that was written.
    ordered = sorted(words, key=len, reverse=True)
    pattern = "|".join(f"{_edge(word[0], '<')}{re.escape(word)}{_edge(word[-1])}" for word in ordered)
    at = 0
    for match in re.finditer(pattern, text):
        if match.start() > at:
            yield text[at : match.start()], False
        yield match.group(), True
        at = match.end()
    if at < len(text) or not text:
        yield text[at:], False


def _edge(letter: str, side: str = "") -> str:
    """Let no letter stand beside a word that begins or ends with one."""
    return rf"(?{side}!\w)" if re.match(r"\w", letter) else ""
