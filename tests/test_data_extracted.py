"""What is judged of an answer: as lm-eval's own filter and metric judge it, on texts made to trouble them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.filters.extraction import RegexFilter

from harness.data.extracted import extracted, is_right, majority
from harness.specs.ask import Written

GSM = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
IGNORE = (",", r"\$", r"(?s).*#### ", r"\.$")
TEXTS = st.text(alphabet="0123456789-,.$ #aB\n", max_size=30)


def written(**more: Any) -> Written:
    return Written(max_tokens=8, **{"extract": GSM, "ignore": IGNORE, **more})


@given(TEXTS, TEXTS)
def test_extraction_and_match_are_lm_evals(text: str, label: str) -> None:
    judge = RegexFilter(regex_pattern=GSM, group_select=-1, fallback="[invalid]")
    (theirs,) = judge.apply([[text]], [{}])[0]
    own = extracted(written(), text)
    assert (own or "[invalid]") == (theirs or "[invalid]")
    if own is not None:
        score = exact_match_hf_evaluate([theirs], [label], regexes_to_ignore=list(IGNORE), ignore_case=True)
        assert is_right(written(), own, label) == (score["exact_match"] == 1)


def test_nothing_to_be_judged_is_never_right() -> None:
    assert extracted(written(), "no number") is None
    assert not is_right(written(), None, "")
    assert extracted(written(extract=None, ignore=()), " Yes \n") == "Yes"
    assert extracted(written(extract=None, ignore=()), " \n") is None


def test_words_are_held_against_every_line_of_the_label() -> None:
    asked = written(extract=None, ignore=(), judge="words")
    assert is_right(asked, "The  Rhine!", "Danube\nrhine")
    assert not is_right(asked, "The Rhone", "Danube\nrhine")


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        (["is 12", "is 13", "so 13"], "13"),
        # Equal once what is ignored is taken out, and the first of equally frequent ones.
        (["is 1,200", "is 1200", "is 77"], "1,200"),
        (["is 12", "is 13"], "12"),
        # A text without an answer has no vote.
        (["none", "nothing", "is 13"], "13"),
        (["none"], None),
    ],
)
def test_the_majority_answers(texts: list[str], answer: str | None) -> None:
    assert majority(written(), texts) == answer
