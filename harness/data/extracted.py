"""What is judged of an answer that a model wrote: a part of it, held against the right one letter by letter.

As lm-eval does it (github.com/EleutherAI/lm-evaluation-harness): its filter ``regex`` with ``group_select: -1``, and
its metric ``exact_match`` with ``ignore_case`` and ``regexes_to_ignore``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from harness.data.squad import squad_scores
from harness.specs.ask import Written


def extracted(written: Written, text: str) -> str | None:
    """Return what is judged of an answer; None where there is nothing to be judged."""
    if written.extract is None:
        return text.strip() or None
    found = re.findall(written.extract, text)
    if not found:
        return None
    last = found[-1] if isinstance(found[-1], str) else next((group for group in found[-1] if group), "")
    return str(last).strip() or None


def is_right(written: Written, answer: str | None, label: str) -> bool:
    """Say whether what was extracted is right."""
    if answer is None:
        return False
    if written.judge == "words":
        return squad_scores(answer, label.splitlines())[0] == 1
    return plain(written, answer) == plain(written, label)


def plain(written: Written, answer: str) -> str:
    """Return an answer without what is ignored, its letters small."""
    for pattern in written.ignore:
        answer = re.sub(pattern, "", answer)
    return answer.lower()


def majority(written: Written, texts: Sequence[str]) -> str | None:
    """Return the answer that most of several texts give, the first of equally frequent ones; None where none does."""
    answers = [answer for text in texts if (answer := extracted(written, text)) is not None]
    votes = Counter(plain(written, answer) for answer in answers)
    return max(answers, key=lambda answer: votes[plain(written, answer)], default=None)
