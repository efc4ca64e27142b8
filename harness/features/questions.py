"""What a judge is asked about a latent, and how its answers are read.

The forms are those of delphi (Paulo et al. 2024, arXiv 2410.13928, sections 3.1 and 3.2), in words of our own: explain
the latent from windows with its tokens between ``<<`` and ``>>``; say of windows whether it fires in them (detection);
say of windows with marked tokens whether it fires on just these (fuzzing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from harness.features.endpoint import Messages

# A label is a sentence; what a judge adds after it is of no use to anybody.
LONGEST = 500

_EXPLAIN = """\
You study one unit of a language model. The unit responds to some tokens and to nothing else. You are given pieces of \
text in which it responds, the strongest response first. The tokens it responds to stand between << and >>, and the \
token of the strongest response is repeated after each piece.

Say in one short sentence what the marked tokens, or the places they stand at, have in common. Speak of the text, not \
of the unit. Be as specific as the pieces allow, and leave out what holds for some of them only. Do not list the \
pieces, and do not mention the marks.

End with one line of exactly this form:
[EXPLANATION]: your sentence"""

_DETECT = """\
A unit of a language model responds to some texts only. You are given a description of what it responds to, and \
{count} numbered pieces of text. Say of each piece whether the description applies to any part of it.

Answer with one list of {count} numbers in square brackets and nothing else: 1 where it applies, 0 where it does not."""

_FUZZ = """\
A unit of a language model responds to some tokens only. You are given a description of what it responds to, and \
{count} numbered pieces of text with tokens marked between << and >>. Say of each piece whether the marked tokens are \
the ones described; where other tokens are marked, they are not, even if the description applies to the piece.

Answer with one list of {count} numbers in square brackets and nothing else: 1 where they are, 0 where they are not."""

_LABEL = re.compile(r"\[EXPLANATION\]:[ \t]*(\S.*)", re.IGNORECASE)
_LIST = re.compile(r"\[[^\[\]]*\]")


def explain(pieces: Sequence[tuple[str, str]]) -> Messages:
    """Ask for a label; ``pieces`` are marked texts with the token of largest activation, the strongest first."""
    shown = "\n\n".join(f"Piece {i}: {text}\nStrongest: {peak!r}" for i, (text, peak) in enumerate(pieces, 1))
    return _messages(_EXPLAIN, shown)


def detect(label: str, texts: Sequence[str]) -> Messages:
    """Ask in which of some windows a latent fires, given its label."""
    return _messages(_DETECT.format(count=len(texts)), _described(label, texts))


def fuzz(label: str, texts: Sequence[str]) -> Messages:
    """Ask in which of some windows the marked tokens are those on which a latent fires, given its label."""
    return _messages(_FUZZ.format(count=len(texts)), _described(label, texts))


def _described(label: str, texts: Sequence[str]) -> str:
    pieces = "\n\n".join(f"Piece {i}: {text}" for i, text in enumerate(texts, 1))
    return f"Description: {label}\n\n{pieces}"


def _messages(system: str, user: str) -> Messages:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def read_label(answer: str) -> str | None:
    """Return the last label of the form asked for, on one line, or None."""
    found = _LABEL.findall(answer)
    if not found:
        return None
    # An answer may hold half a pair of UTF-16, which no file can.
    return " ".join(found[-1].split())[:LONGEST].encode("utf-8", "replace").decode()


def read_verdicts(answer: str, count: int) -> list[bool] | None:
    """Return the last list of just ``count`` zeros and ones in an answer, or None.

    The last, since a judge that thinks aloud ends with its answer.
    """
    for text in reversed(_LIST.findall(answer)):
        try:
            values = json.loads(text)
        except ValueError:
            continue
        if len(values) == count and all(type(v) in (bool, int) and v in (0, 1) for v in values):
            return [bool(v) for v in values]
    return None


def marked(words: Sequence[str], high: Sequence[bool]) -> str:
    """Return a window's text with runs of tokens on which the latent fires between ``<<`` and ``>>``."""
    parts: list[str] = []
    inside = False
    for word, mark in zip(words, high, strict=True):
        if mark != inside:
            parts.append("<<" if mark else ">>")
        parts.append(word)
        inside = mark
    return "".join(parts) + (">>" if inside else "")
