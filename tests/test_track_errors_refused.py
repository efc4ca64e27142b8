"""Wrong input to track ``errors``: refused in words with exit code 2, or the cell of one probe fails alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import call
from data_tasks import write_rows
from running import values
from test_track_errors import TASK, record

from harness.run.engine import Outcome
from harness.run.evaluate import evaluate

Row = dict[str, Any]
PROBLEMS = 20


def plain(number: int) -> Row:
    """Return one problem with a right answer and a wrong one."""
    return {
        "problem": f"{number} + 1",
        "ann": {"label": "right", "said": f"is {number}"},
        "bob": {"label": "wrong", "said": f"no {number}"},
    }


def content(folder: Path, row: Callable[[int], Row] = plain, changes: Mapping[str, str] | None = None) -> Path:
    """Return a folder with a task over 20 problems of these rows, some words of it changed."""
    data = write_rows(folder / "data" / "test.jsonl", [row(number) for number in range(PROBLEMS)])
    (folder / "tasks").mkdir()
    text = TASK.format(path=data, tokens=100000, more=", least: 5", metrics="auroc, leak_check")
    text = text.replace("{{ 'right' if right else 'wrong' }}", "{{ label }}").replace("context: 64", "context: 48")
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    (folder / "tasks" / "sums.yaml").write_text(text, encoding="utf-8")
    return folder


def labelled(label: Callable[[int, str], str]) -> Callable[[int], Row]:
    """Return rows whose answers have the label that the problem's number and the author give."""

    def row(number: int) -> Row:
        made = plain(number)
        for author in ("ann", "bob"):
            made[author] = made[author] | {"label": label(number, author)}
        return made

    return row


def one_group(number: int) -> Row:
    return plain(number) | {"problem": "1 + 1"}


def groups_of(count: int) -> Callable[[int], Row]:
    return lambda number: plain(number) | {"problem": f"{number % count} + 1"}


REFUSED = {
    "one class": (labelled(lambda *_: "right"), {}, "labels found: 40 x 'right'"),
    "another word for right": (labelled(lambda *_: "correct"), {}, "must have the label 'right'"),
    "one group": (one_group, {}, "in 10 groups; the budget gives 20 right and 20 wrong ones in 1"),
    "fewer groups than folds": (groups_of(3), {}, "in 10 groups; the budget gives 20 right and 20 wrong ones in 3"),
    "a class in fewer groups than folds": (
        labelled(lambda number, _: "wrong" if number < 4 else "right"),
        {},
        "wrong answers must be found in 5 groups, one for each outer fold; they are in 4",
    ),
    "too few answers": (plain, {"least: 5": "least: 21"}, "need 21 right and 21 wrong answers"),
    "a budget of few answers": (plain, {"test_tokens: 100000": "test_tokens: 80"}, "the budget gives"),
    "empty labels": (labelled(lambda *_: ""), {}, "of 40, 0 are too short and 40 have an empty label"),
    "a label without a column": (plain, {"{{ label }}": "{{ kind_of_error }}"}, "kind_of_error"),
    "fewer tokens than positions": (plain, {"first: 2": "first: 40"}, "of 40, 40 are too short"),
    "problems longer than the context": (
        lambda number: plain(number) | {"problem": "1 + " * 60 + str(number)},
        {},
        "0 have an empty label; 40 reach beyond the context, see 'budget.context'.",
    ),
    "empty answers": (plain, {'" {{ said }}"': "\"{{ '' if said else said }}\""}, "of 40, 40 are too short"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured_is_refused_with_exit_code_2(
    name: str, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row, changes, says = REFUSED[name]
    folder = content(tmp_path, row, changes)
    words = ("eval", "--method", "majority", "--task", "sums", "--include-path", str(folder))
    answer = call(capsys, *words, "--output-path", str(tmp_path / "run"))
    assert (answer.code, answer.out) == (2, "")
    assert says in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
    assert not list((tmp_path / "run").rglob("seed*.json"))


def test_one_author_duplicates_and_answers_cut_at_the_context_are_measured_and_told(
    tmp_path: Path, cache: Path
) -> None:
    def row(number: int) -> Row:
        made = plain(number // 2)
        label = "right" if number % 4 < 2 else "wrong"
        return made | {"ann": {"label": label, "said": f"is {label} " + "and so on " * (30 if number < 4 else 1)}}

    folder = content(tmp_path, row, {"[ann, bob]": "[ann]", "least: 5": "least: 4"})
    found = evaluate("surface", "sums", tmp_path / "run", include_path=[folder], controls=False)
    one = record(found, "surface")
    assert one.data is not None
    # every problem is there twice, with the same answer
    assert (one.data.splits["test"].documents, one.data.clusters) == (PROBLEMS, PROBLEMS // 2)
    assert one.data.splits["test"].cut == 4
    assert "4 answers were cut at 48 tokens" in one.warnings
    assert values(one)["auroc"] == pytest.approx(1.0)
    assert values(one)["leak_check"] is not None


PROBE = '''
from dataclasses import dataclass

import numpy as np

from harness.api import ErrorProbe, Features


class Faulty(ErrorProbe):
    """Breaks the contract in one way."""

    @dataclass(frozen=True)
    class Params:
        """What is wrong."""

        fault: str
        """the way"""

    def __init__(self, params, setting):
        self.fault = params.fault

    def features(self, answers):
        n = len(answers.prompt)
        value = {"nan": np.full((n, 2), np.nan), "rows": np.zeros((n + 1, 2)), "flat": np.zeros(n)}
        return Features(value.get(self.fault, np.zeros((n, 2))), np.zeros(2, dtype=np.int64))

    def fit(self, x_nF, y_n, group_n):
        if self.fault == "raises":
            raise RuntimeError("the probe gave up")

    def predict(self, x_nF, classes):
        n = len(x_nF)
        made = {
            "column": np.zeros(n),
            "classes": np.full((n, classes + 1), 1 / (classes + 1)),
            "sums": np.full((n, classes), 0.9),
            "below": np.tile([-0.5, 1.5], (n, 1)),
            "lost": np.full((n, classes), np.nan),
        }
        return made.get(self.fault, np.full((n, classes), 1 / classes))

    def parameter_count(self):
        return 0

    def summary(self):
        return {}
'''
FAULTS = {
    "nan": "features must be finite",
    "rows": "features must be [40, F] with a block for each feature, got (41, 2)",
    "flat": "features must be [40, F] with a block for each feature, got (40,)",
    "raises": "RuntimeError: the probe gave up",
    "column": "predict must return probabilities [40, 2], got shape [40]",
    "classes": "predict must return probabilities [40, 2], got shape [40, 3]",
    "sums": "got numbers from 0.9 to 0.9 in rows that sum to 1.8 to 1.8",
    "below": "got numbers from -0.5 to 1.5",
    "lost": "got numbers that are not finite",
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = content(tmp_path_factory.mktemp("faults"))
    (folder / "methods").mkdir()
    (folder / "methods" / "faulty.py").write_text(PROBE, encoding="utf-8")
    for fault in (*FAULTS, "none"):
        spec = f"method: faulty_{fault}\ntitle: T\nkind: error_probe\ncode: faulty.py:Faulty\nsource: ours\n"
        params = f"seeded: false\nparams: {{fault: {fault}}}\n"
        (folder / "methods" / f"faulty_{fault}.yaml").write_text(spec + params, encoding="utf-8")
    names = ",".join(f"faulty_{fault}" for fault in (*FAULTS, "none"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        return evaluate(names, "sums", folder / "run", include_path=[folder], controls=False)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_probe_that_breaks_the_contract_fails_its_own_cell_and_says_what_broke(outcome: Outcome, fault: str) -> None:
    (failed,) = [one.record for one in outcome.failed if one.record.method.name.startswith(f"faulty_{fault}-")]
    assert FAULTS[fault] in (failed.reason or "")


def test_the_others_are_measured(outcome: Outcome) -> None:
    assert len(outcome.failed) == len(FAULTS)
    (whole,) = [one.record for one in outcome.records if one.record.status == "ok"]
    assert whole.method.name.startswith("faulty_none")
    assert values(whole)["auroc"] == 0.5
