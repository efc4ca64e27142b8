"""What is judged of an answer, which answers are right, and what kind of error the others are."""

from __future__ import annotations

import pytest
import reasoning_gym
from data_tasks import make_task
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.judging import KIND_OF, Judge, arithmetic_kind, extracted
from harness.data.rows import load_corpus
from harness.errors import UserError
from harness.specs.answers import KINDS, NUMBER, Answers, Generated
from harness.specs.task import TaskSpec


def gym_task(name: str, judge: str = "verifier", extract: str = NUMBER, **data: object) -> TaskSpec:
    source = {"source": "reasoning_gym", "name": name, "size": 30, "group": "id", "splits": {"test": 1.0}, **data}
    return make_task(
        source,
        "{{ question }}",
        track="errors",
        budget={"context": 16},
        metrics=["auroc"],
        answers={"generated": {"max_tokens": 4, "judge": judge, "extract": extract}},
    )


@pytest.mark.parametrize(
    ("answer", "pattern", "found"),
    [
        (" 12, or rather -3.5.", NUMBER, "-3.5"),
        ("it is 1,024", NUMBER, "1,024"),
        ("none", NUMBER, None),
        ("12 and 13", r"^\s*(-?\d+)", "12"),
        (r"so \boxed{7}, not \boxed{8}", r"\\boxed\{([^}]*)\}", "8"),
        (r"\boxed{}", r"\\boxed\{([^}]*)\}", None),
        ("Yes. No!", r"\b(?:Yes|No)\b", "No"),
        ("", NUMBER, None),
        ("b", "(a)|b", None),
    ],
)
def test_what_is_judged(answer: str, pattern: str, found: str | None) -> None:
    assert extracted(answer, pattern) == found


@pytest.mark.parametrize(
    ("answer", "truth", "kind"),
    [
        ("172", "182", "carry"),
        ("-172", "-182", "carry"),
        ("72", "182", "carry"),
        ("183", "182", "other"),
        ("202", "182", "other"),
        ("171", "182", "other"),
        ("-182", "182", "sign"),
        # The sign comes first where both fit.
        ("-5", "5", "sign"),
        ("0", "0.0", "other"),
        ("1,182", "182", "carry"),
        ("182.5", "182", "other"),
        ("3.35", "3.45", "carry"),
        ("3.44", "3.45", "other"),
        ("3.4", "3.45", "other"),
        ("2.45", "3.45", "carry"),
        ("twelve", "12", "unparsable"),
        ("nan", "12", "unparsable"),
        ("", "12", "unparsable"),
    ],
)
def test_kinds_in_closed_form(answer: str, truth: str, kind: str) -> None:
    assert arithmetic_kind(answer, truth) == kind


def carries(a: int, b: int) -> list[int]:
    """Return the columns of a written sum, from the right, that hand a carry to the next."""
    found, carry = [], 0
    for column in range(max(len(str(a)), len(str(b)))):
        carry = int(a // 10**column % 10 + b // 10**column % 10 + carry > 9)
        if carry:
            found.append(column)
    return found


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.data())
def test_a_sum_that_loses_carries_is_a_carry_error(a: int, b: int, data: st.DataObject) -> None:
    there = carries(a, b)
    if not there:
        return
    lost = data.draw(st.lists(st.sampled_from(there), min_size=1, unique=True))
    wrong = a + b - sum(10 ** (column + 1) for column in lost)
    assert arithmetic_kind(str(wrong), str(a + b)) == ("sign" if wrong == -(a + b) else "carry")
    assert arithmetic_kind(f"{wrong:,}", str(a + b)) == arithmetic_kind(str(wrong), str(a + b))


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_every_wrong_number_has_one_kind_and_it_is_symmetric(given_: int, truth: int) -> None:
    kind = arithmetic_kind(str(given_), str(truth))
    assert kind in KINDS
    assert kind == arithmetic_kind(str(truth), str(given_)) == arithmetic_kind(str(-given_), str(-truth))
    off = abs(given_ - truth)
    assert (kind == "carry") == (given_ != -truth and off % 10 == 0 and set(str(off)) == {"0", "1"})


@pytest.mark.parametrize(
    ("name", "near"), [("chain_sum", "1 more"), ("decimal_arithmetic", "and so on"), ("syllogism", "Maybe")]
)
def test_right_is_what_the_generator_itself_says(name: str, near: str) -> None:
    spec = gym_task(name, extract=r"(?s).+")
    judge, made = Judge(spec), reasoning_gym.create_dataset(name, size=30, seed=0)
    documents = {document.id: document for document in load_corpus(spec).splits["test"]}
    said = 0
    for number in range(30):
        truth = str(made[number]["answer"])
        for answer in (truth, f"{truth}.0", f"{truth} {near}", f"+{truth}", near, "17"):
            own = made.score_answer(answer, made[number])
            assert (judge.label(documents[str(number)], answer) == "right") == (own >= 1)
            said += own >= 1
    assert 30 <= said < 180


def test_a_verifier_has_the_settings_of_the_problems_level() -> None:
    levels = [{"min_num_decimal_places": 1, "max_num_decimal_places": 1}, {}]
    spec = gym_task("decimal_arithmetic", levels=levels, splits={"val": 0.5, "test": 0.5})
    judge, documents = Judge(spec), load_corpus(spec).splits["test"]
    loose, strict = (next(d for d in documents if d.level == level) for level in (0, 1))
    for document, label in ((loose, "right"), (strict, "wrong")):
        assert document.problem is not None
        off = f"{float(document.problem['answer']) + 0.05:.6f}"
        assert judge.label(document, off) == label


def test_a_truth_that_is_no_number_is_refused_in_words() -> None:
    spec = gym_task("syllogism", "arithmetic", r"\w+")
    with pytest.raises(UserError, match=r"judge 'arithmetic' compares numbers; .* '(Yes|No)' is not a number"):
        Judge(spec).label(load_corpus(spec).splits["test"][0], "12")


def test_the_judges_that_a_task_may_name_are_those_there_are() -> None:
    assert set(KIND_OF) == set(Generated.model_fields["judge"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"generated": {"max_tokens": 2}, "given": "x"}, "exactly one of 'given'"),
        ({}, "exactly one of 'given'"),
        ({"generated": {"max_tokens": 2, "samples": 3}}, "all samples of a problem would be equal"),
        ({"generated": {"max_tokens": 2, "extract": "("}}, "must be a regular expression"),
        ({"generated": {"max_tokens": 2, "band": (0.6, 0.4)}}, "from the lower share"),
        ({"generated": {"max_tokens": 2}, "right": "carry"}, "names a kind of error"),
    ],
)
def test_answers_that_make_no_sense_are_refused(answers: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Answers.model_validate(answers)
