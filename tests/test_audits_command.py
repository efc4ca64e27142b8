"""``harness audit`` from the command line: cards on disk that boards can read, from runs and from records alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Answer, call
from running import PLUGINS

from harness.audits.protocol import knows_truth
from harness.content import PACKAGE
from harness.errors import UserError
from harness.metrics.contract import all_metrics
from harness.specs.identity import method_identity
from harness.specs.library import Library
from harness.specs.reliability import read_cards

METHODS = "kmeans,random_init"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("audit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        yield folder


def audit(capsys: pytest.CaptureFixture[str], *words: str) -> Answer:
    return call(capsys, "audit", *words, "--include-path", str(PLUGINS))


def test_a_task_is_audited_by_running_what_is_missing_and_then_from_records(
    capsys: pytest.CaptureFixture[str], base: Path
) -> None:
    run = str(base / "run")
    first = audit(capsys, "toy_world", "--method", METHODS, "--output-path", run, "--json")
    assert first.code == 0, first.err
    cards = {card["metric"]: card for card in first.json}
    assert list(cards) == list(Library([PLUGINS]).task("toy_world").metrics)
    assert cards["mcc_over_g"]["checks"]["degraded_order"]["passed"] is True
    assert all(card["checks"]["permutation"]["passed"] is True for card in cards.values())
    assert cards["fvu"]["provenance"]["command"].split()[0] == "harness"
    read = read_cards([base / "run" / "cards"])
    assert {(task, metric) for task, _, metric in read} == {("toy_world", metric) for metric in cards}

    results = sorted((base / "run" / "results").glob("*/*/*.json"))
    stamps = [path.stat().st_mtime_ns for path in results]
    words = ("--method", METHODS, "--run", run, "--records-only", "--output-path", str(base / "other"), "--json")
    again = audit(capsys, "toy_world", "--metric", "fvu", *words)
    (card,) = again.json
    assert card["methods"]["random_init"] == 3
    assert list(card["left_out"]) == ["kmeans"]
    assert "toy_world: left out, as a board would not rank it: kmeans: L0 1 is 50 % below" in again.err
    same = set(card["checks"]) - {"permutation", "batch_size"}
    assert {name: card["checks"][name] for name in same} == {name: cards["fvu"]["checks"][name] for name in same}
    assert card["checks"]["permutation"]["passed"] is None
    assert [path.stat().st_mtime_ns for path in results] == stamps
    assert not (base / "other" / "results").exists()


def test_a_metric_is_audited_on_every_world_and_tables_are_text(
    capsys: pytest.CaptureFixture[str], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "names", _toys_alone(Library.names))
    words = ("--run", str(base / "run"), "--records-only", "--output-path", str(base / "third"))
    answer = audit(capsys, "uniqueness", *words, "--markdown")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("## toy_world\n")
    assert "| uniqueness | " in answer.out
    assert [key[::2] for key in read_cards([base / "third" / "cards"])] == [("toy_world", "uniqueness")]


def _toys_alone(names):  # type: ignore[no-untyped-def]
    def chosen(self: Library, kind: str) -> list[str]:
        return [name for name in names(self, kind) if kind != "tasks" or name.startswith("toy_")]

    return chosen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fuv",), "unknown metric or task 'fuv'. Did you mean 'fvu'?"),
        (("toy_world", "--task", "toy_task"), "--task: 'toy_world' is a task itself"),
        (("fvu", "--metric", "l0"), "--metric: 'fvu' is a metric itself"),
        (("toy_world", "--metric", "mccc"), "task 'toy_world': unknown metric 'mccc'. Did you mean 'mcc'?"),
        (("delta_ce",), "no world measures 'delta_ce'"),
        (("toy_world", "--method", "oracle"), "--method: 'oracle' knows the truth"),
        (("toy_world", "--records-only", "--method", "kmeans"), "there is no record of a method on task 'toy_world'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    answer = audit(capsys, *words, "--output-path", str(tmp_path))
    assert answer.code == 2
    assert said in answer.err
    assert answer.out == ""


def test_committed_cards_are_of_metrics_and_tasks_as_they_are() -> None:
    library, metrics = Library(), all_metrics()
    cards = read_cards([PACKAGE / "metrics" / "cards"])
    assert cards
    for (task, _, name), card in cards.items():
        assert card.version == metrics[name].version, f"{name} has changed: audit it again"
        assert name in library.task(task).metrics
        assert (card.verdict == "diagnostic") == bool(card.failed)
        assert card.provenance.dirty is False


def test_show_tells_what_cards_say(capsys: pytest.CaptureFixture[str]) -> None:
    told = call(capsys, "show", "dead_frac").json["reliability"]
    assert told["world_small"]["verdict"] == "diagnostic"
    assert "truth_rank" in told["world_small"]["failed"]


def test_every_method_that_knows_the_truth_says_what_it_degrades_and_stays_itself() -> None:
    library = Library()
    kin = knows_truth(library, library.task("world_small"))
    assert [name for name, above in kin.items() if above is None] == ["oracle"]
    assert kin["oracle_noise_more"] == "oracle_noise"
    found = library.method("oracle_noise_more")
    silent = replace(found, spec=found.spec.model_copy(update={"degrades": None}))
    assert method_identity(found, {}, {}) == method_identity(silent, {}, {})


def test_a_method_that_degrades_what_does_not_know_the_truth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    text = "method: bent\nvariant_of: oracle\ntitle: Bent\ndegrades: orcale\nparams: {damage: {drop: 0.1}}\n"
    (tmp_path / "methods" / "bent.yaml").write_text(text)
    library = Library([tmp_path])
    with pytest.raises(UserError, match=r"degrades of method 'bent': .*'orcale'\. Did you mean 'oracle'\?"):
        knows_truth(library, library.task("world_small"))
