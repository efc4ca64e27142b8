"""Cards as Markdown: what a card says is text in it."""

from __future__ import annotations

import re

from harness.audits.text import markdown_of
from harness.specs.reliability import CardProvenance, Check, ReliabilityCard

EVIL = '</summary><img src="http://x" onerror=alert(1)> @team | `a`\n# head'


def test_hostile_text_is_text() -> None:
    card = ReliabilityCard(
        metric=EVIL, version=1, task=EVIL, table="t", verdict="diagnostic", methods={EVIL: 3}, left_out={},
        checks={EVIL: Check(value=1.0, lo=0.5, hi=1.5, passed=False, reason=EVIL)}, detectable={3: None},
        provenance=CardProvenance(command="c", version="0", commit=None, dirty=None, finished="f"),
    )  # fmt: skip
    text = markdown_of([card])
    bare = text.replace("<!-- -->", "")
    assert "<" not in bare
    assert "@team" not in text
    assert "://" not in text
    assert "\n# " not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
