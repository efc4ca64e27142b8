"""Reports of error probes: planted truth is found, noise is called noise, and no text of a record is acted on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_records import Case, Cell, save
from commands import call
from error_records import PLANTED, ROWS, THRESHOLD, Row, parts, save_row, save_run, truth
from markup import Reader
from running import values
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score
from test_track_errors import content

import harness
from harness.board.publish import publish
from harness.cli import main
from harness.errors import UserError
from harness.metrics.contract import get_metric
from harness.reporting.errors.findings import Findings, Table
from harness.reporting.errors.published import published
from harness.reporting.errors.summary import family_level, together
from harness.reporting.making import Report, report, report_names
from harness.run.evaluate import evaluate
from harness.stats.estimate import Plan
from harness.stats.summary import summarise
from harness.tracks.folds import judged

HOSTILE = '"><script>alert(1)</script><img src="http://e.org/x.png">|`[x](http://e.org)@team\n# h\u202e\x07'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One method and one floor, and no places: quick to report on."""
    rows = Row("probe", 1.0, places=False), Row("doubt", 0.2, role="floor", places=False)
    return save_run(tmp_path_factory.mktemp("small"), rows)


@pytest.fixture(scope="module")
def made(run: Path) -> Report:
    return report("errors", run)


@pytest.fixture(scope="module")
def table(made: Report) -> Table:
    (found,) = made.findings.tables
    assert isinstance(found, Table)
    return found


def verdicts(table: Table, label: str) -> list[str]:
    return [one.verdict for one in table.conclusions if one.label == label]


def test_a_planted_probe_is_told_from_noise(table: Table) -> None:
    assert verdicts(table, "probe") == ["yes", "yes", "yes", "yes", "undecided", "yes", "yes"]
    assert "yes" not in verdicts(table, "idle")


def test_margins_are_those_of_an_independent_auroc(table: Table) -> None:
    true, found = truth(), {score.label: score for score in table.scores}

    def auroc(p: Any) -> float:
        # Pairs of one fold, and folds weigh by their pairs.
        inside = [true.fold == fold for fold in range(5)]
        pairs = [true.y[rows].sum() * (1 - true.y[rows]).sum() for rows in inside]
        return float(np.average([roc_auc_score(true.y[rows], p[rows]) for rows in inside], weights=pairs))

    row_of = {row.name: row for row in ROWS}
    own = {name: auroc(parts(true, row.signal, 10 + sum(name.encode()))["item_p"]) for name, row in row_of.items()}
    assert found["probe"].metrics["auroc"].value == pytest.approx(own["probe"], abs=1e-12)
    for one in found["probe"].versus:
        assert one.margin.value == pytest.approx(own["probe"] - own[one.control], abs=1e-12)


def test_conclusions_hold_together(table: Table) -> None:
    """Two methods, each over two floors and by three metrics."""
    assert table.comparisons == 2 * (2 + 3)
    assert table.level == pytest.approx(1 - 0.05 / 10)
    for one in (versus for score in table.scores for versus in score.versus):
        assert one.adjusted.lo <= one.margin.lo
        assert one.margin.hi <= one.adjusted.hi


def test_many_probes_of_noise_are_not_found_to_tell_anything(tmp_path: Path) -> None:
    for number in range(8):
        save_row(tmp_path, Row(f"noise{number}", 0.0, places=False))
    save_row(tmp_path, Row("floor", 0.0, role="floor"))
    (found,) = report("errors", tmp_path).findings.tables
    told = [one for one in found.conclusions if one.question.startswith("tells wrong") and one.verdict == "yes"]
    assert len(found.conclusions) == 8 * 6
    assert told == []


def test_bounds_that_hold_for_hundreds_are_wider_than_resamples_reach() -> None:
    """Of a mean over clusters the bound is Student's, widened for the folds; 2 000 resamples end 3.3 errors out."""
    true, level = truth(), family_level(300)
    held, metric = parts(true, 1.0, 1), get_metric("accuracy")
    found = summarise(metric, [held])
    joint = together(metric, found, [[held]], level)
    right_n = (held["item_p"] >= 0.5) == (held["item_y"] > 0)
    mean_c = np.array([right_n[held["item_cluster"] == c].mean() for c in range(len(held["n"]))])
    half = 1.5 * stats.t.isf(0.05 / 600, len(mean_c) - 1) * mean_c.std(ddof=1) / len(mean_c) ** 0.5
    assert (joint.lo, joint.hi) == pytest.approx((found.value - half, found.value + half))
    assert joint.lo < summarise(metric, [held], Plan(level=level)).lo


def test_joint_bounds_hold_for_probes_of_noise_in_folds() -> None:
    """A probe along the difference of the means: its folds are no independent samples, unlike made-up scores."""
    metric, plain, wide = get_metric("auroc"), 0, 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        x_nF, items = draw.normal(size=(80, 20)), judged(draw.permutation(80) % 2, np.arange(80))
        p_n = np.zeros(80)
        for fold in range(5):
            train_n = items.fold_n != fold
            sides = [x_nF[train_n & (items.y_n == side)].mean(0) for side in (0, 1)]
            p_n[~train_n] = x_nF[~train_n] @ (sides[1] - sides[0])
        held = {"n": np.ones(80), "item_cluster": np.arange(80.0), "item_fold": items.fold_n.astype(float)}
        held |= {"item_y": items.y_n.astype(float), "item_p": p_n}
        found = summarise(metric, [held], Plan(resamples=400))
        joint = together(metric, found, [[held]], 0.95)
        plain += found.lo <= 0.5 <= found.hi
        wide += joint.lo <= 0.5 <= joint.hi
    # 57 of 60 are asked for, and fewer than 54 come about in three of a hundred at that.
    assert plain < 54 <= wide


def test_the_planted_place_leads_and_exchanged_labels_lead_nowhere(table: Table) -> None:
    place = {one.label: one for one in table.localisations}["probe"]
    assert [i for i, block in enumerate(place.blocks) if block.leads] == [PLANTED]
    assert (place.informative, place.informative_null) == (1, 0)
    planted = place.blocks[PLANTED]
    assert (planted.layer, planted.position) == ("block 19", "answer 1")
    assert planted.alone.own.value == pytest.approx(0.99, abs=0.02)
    assert planted.drop.own.lo > 0.2
    held = parts(truth(), 1.5, 10 + sum(b"probe"))
    won = [
        (a > b) + (a == b) / 2
        for fold in range(5)
        for a in held["alone_null_p"][(held["item_y_null"] > 0) & (held["item_fold"] == fold), 2]
        for b in held["alone_null_p"][(held["item_y_null"] == 0) & (held["item_fold"] == fold), 2]
    ]
    assert place.blocks[2].alone.null.value == pytest.approx(np.mean(won), abs=1e-12)
    assert (planted.above.own.value, planted.above.null.value) == (12, 0.01)


def test_a_perfect_place_has_no_spread_and_is_judged_by_its_value(tmp_path: Path) -> None:
    save_row(tmp_path, Row("probe", 50.0))
    (place,) = report("errors", tmp_path).findings.tables[0].localisations
    planted = place.blocks[PLANTED].alone.own
    assert (planted.value, planted.lo, planted.constant) == (1.0, None, True)
    assert (place.informative, [i for i, block in enumerate(place.blocks) if block.leads]) == (1, [PLANTED])


def test_where_places_were_not_measured_the_page_says_why(tmp_path: Path) -> None:
    save_row(tmp_path, Row("probe", 1.0, places=False))
    found = report("errors", tmp_path)
    assert "no probe was fitted to single places" in found.html()
    assert verdicts(found.findings.tables[0], "probe")[-1] == "not measured"


def test_effect_sizes_stand_beside_their_null(table: Table) -> None:
    probe, idle = ({one.label: one for one in table.effects}[name] for name in ("probe", "idle"))
    assert (probe.features, probe.constant, sum(probe.counts)) == (60, 1, 59)
    assert (probe.largest, probe.threshold, probe.above, idle.above) == (0.9, THRESHOLD, 1, 0)
    assert (probe.top[0].index, probe.top[0].d, probe.top[0].place) == (PLANTED * 10, -0.9, "block 19, answer 1")
    null = np.quantile(parts(truth(), 1.5, 10 + sum(b"probe"))["d_null"], [0.025, 0.5, 0.975])
    assert probe.null == pytest.approx(tuple(null))


def test_calibration_agrees_with_scikit_learn(table: Table) -> None:
    held = parts(truth(), 0.0, 10 + sum(b"idle"))
    share, mean = calibration_curve(held["item_y"], held["item_p"], n_bins=10)
    bins = [one for one in {c.label: c for c in table.calibrations}["idle"].bins if one.n]
    assert [one.mean for one in bins] == pytest.approx(mean)
    assert sum(one.n for one in bins) == len(held["item_y"])
    assert [one.share.value for one in bins] == pytest.approx(share)
    assert all(0 <= one.share.lo <= one.share.value <= one.share.hi <= 1 for one in bins)  # type: ignore[operator]


def test_a_leak_is_no_merit(made: Report) -> None:
    """What speaks for a probe is green; whether its score would leak is in the colour of text."""
    leaks = [one for one in made.findings.tables[0].conclusions if not one.praise]
    assert {one.question for one in leaks} == {"would gain from a split by rows (a leak)"}
    assert made.html().count('class="verdict plain"') == len(leaks) == 2


def test_examples_are_the_surest_one_of_a_group(table: Table) -> None:
    held, found = parts(truth(), 0.0, 10 + sum(b"idle")), {one.label: one for one in table.examples}["idle"]
    wrong, said = held["item_y"] > 0, held["item_p"] >= 0.5
    assert dict(found.counts) == {
        "caught": (wrong & said).sum(), "missed": (wrong & ~said).sum(),
        "false alarm": (~wrong & said).sum(), "passed": (~wrong & ~said).sum(),
    }  # fmt: skip
    alarm = int(np.argmax(np.where(wrong, -1, held["item_p"])))
    first = found.kinds["false alarm"][0]
    assert (first.prompt, first.label, first.p) == (f"What is {alarm}?", "right", held["item_p"][alarm])
    assert set(first.said) == {"doubt", "length"}
    assert first.said["doubt"] == parts(truth(), 0.2, 10 + sum(b"doubt"))["item_p"][alarm]
    assert all(len({one.group for one in kind}) == len(kind) == 3 for kind in found.kinds.values())


def test_records_without_texts_are_reported_without(small: Path, tmp_path: Path) -> None:
    save_row(tmp_path / "old", Row("probe", 1.0, text=None))
    publish(small, tmp_path / "board")
    old, board = (report("errors", tmp_path / name) for name in ("old", "board"))
    assert "texts were not kept with these records" in old.html()
    assert "did not come along" in board.html()
    assert "What is" not in board.html()
    assert board.findings.tables[0].scores == report("errors", small).findings.tables[0].scores


def test_the_published_probe_is_computed_and_not_ranked(made: Report) -> None:
    (found,) = published()
    said = {quote.figure: f"{quote.published} {quote.analysed}" for quote in found.quotes}
    assert "120/183 = 65.6 %" in said["accuracy"]
    assert "[58.4 %, 72.1 %]" in said["accuracy"]
    assert "50.8 %" in said["accuracy"]
    assert "32.1 points" in said["accuracy"]
    assert "35/90 = 39%" in said["errors of both kinds"]
    assert "inside what independent noise gives" in said["largest |d|"]
    assert said["mean of the 100 largest |d|"].startswith("0.1966 below")
    assert "block 4 17%, block 8 27%, block 14 56%" in said["where the hundred largest |d| lie"]
    assert found.label not in {score.label for table in made.findings.tables for score in table.scores}
    assert "Quoted, never ranked" in made.html()
    assert "Quoted, never ranked" in made.markdown()


def test_hostile_text_is_text_everywhere(tmp_path: Path) -> None:
    change = {"warnings": (HOSTILE,)}
    save_row(tmp_path, Row("probe", 1.0, text=HOSTILE, change=change))
    save_row(tmp_path, Row("doubt", 0.2, role="floor", text=HOSTILE))
    found = report("errors", tmp_path)
    page = Reader()
    page.feed(found.html())
    assert page.open == []
    assert [name for name, _ in page.elements if name in ("script", "img")] == ["script"]
    assert "<script>alert(1)" in page.text
    assert "\u202e" not in found.html()
    assert "\x07" not in found.html()
    text = found.markdown()
    assert [word for word in ("<script", "<img", "://e.org", "@team", "\u202e", "\x07") if word in text] == []
    assert not any(line.startswith("# h") for line in text.splitlines())
    json.dumps(found.jsonable(), allow_nan=False).encode()


def test_equal_records_give_equal_bytes(small: Path, tmp_path: Path) -> None:
    one, two = report("errors", small).write(tmp_path / "a"), report("errors", small).write(tmp_path / "b")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert len(one) == 3


def test_a_report_needs_no_torch(small: Path, tmp_path: Path) -> None:
    program = (
        "import sys, harness, pathlib\n"
        f"out = pathlib.Path({str(tmp_path)!r})\n"
        f"harness.report('errors', {str(small)!r}, methods=['probe']).write(out)\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors.html", "errors.json", "errors.md"]


def test_the_command_prints_conclusions_json_or_markdown(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", "errors", "--run", str(small), "--output-path", str(tmp_path))
    plain = call(capsys, *words)
    assert (plain.code, plain.out.splitlines()[0]) == (0, "task\tmethod\tquestion\tverdict\tbecause")
    assert len(plain.out.splitlines()) == 1 + 6
    assert str(tmp_path / "errors.html") in plain.err
    assert call(capsys, *words, "--json").json == report("errors", small).jsonable()
    assert call(capsys, *words, "--markdown").out == report("errors", small).markdown() + "\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("eror",), "unknown report 'eror'. Did you mean 'errors'?"),
        (("errors", "--task", "sum"), "--task: unknown task 'sum'. Did you mean 'sums'?"),
        (("errors", "--method", "prob"), "--method: unknown method 'prob'. Did you mean 'probe'?"),
        (("errors", "--method", "doubt"), "--method: unknown method 'doubt'."),
        (("errors", "--json", "--markdown"), "give one of the two"),
        (("errors", "--run", "NOWHERE"), "holds no results"),
    ],
)
def test_mistakes_are_told(words: tuple[str, ...], says: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "report", words[0], "--run", str(run), *words[1:])
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_a_full_disk_is_one_line_and_other_errors_are_not_hidden(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", "errors", "--run", str(small), "--output-path", str(tmp_path / "out"))

    def broken(number: int) -> Callable[[int], None]:
        def sync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        return sync

    monkeypatch.setattr("harness.store.files.os.fsync", broken(errno.ENOSPC))
    answer = call(capsys, *words)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "harness: no space left on device; what was finished is kept, call it again to go on\n"
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr("harness.store.files.os.fsync", broken(errno.EBADF))
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(list(words))


def test_a_run_without_the_track_is_refused(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("topk"))
    with pytest.raises(UserError, match="no record of track 'errors'; tracks there: reconstruction"):
        report("errors", tmp_path)
    save_row(tmp_path, Row("doubt", 0.0, role="floor"))
    with pytest.raises(UserError, match=r"no method of .* was measured"):
        report("errors", tmp_path)


def test_a_torn_record_is_left_out_and_named(run: Path, tmp_path: Path) -> None:
    save_run(tmp_path, ROWS[:3])
    (torn,) = (path for path in (tmp_path / "results/sums/idle").glob("*.npz") if "latents" not in path.name)
    torn.write_bytes(torn.read_bytes()[:100])
    (found,) = report("errors", tmp_path).findings.tables
    assert {one.label for one in found.conclusions} == {"probe"}
    assert any("idle" in note for note in found.notes)


def test_a_real_run_keeps_the_texts_of_its_answers(tmp_path: Path, cache: Path) -> None:
    folder = content(tmp_path, 30, metrics="auroc, bal_acc")
    outcome = evaluate("majority", "sums", tmp_path / "run", include_path=[folder], set={"controls": "{}"})
    (stored,) = outcome.records
    items, held = stored.items(), stored.parts()
    assert items is not None
    assert len(items) == len(held["item_y"]) == 60
    # Wrong answers begin with another word.
    assert [item.answer.startswith(" no") for item in items] == (held["item_y"] > 0).tolist()
    assert all(item.label == ("wrong" if item.answer.startswith(" no") else "right") for item in items)
    assert {item.author for item in items} == {"ann", "bob"}
    assert all("mean entropy" in item.numbers for item in items)
    found: Findings = harness.report("errors", tmp_path / "run", methods=["majority"]).findings
    assert found.tables[0].scores[0].metrics["auroc"].value == values(stored.record)["auroc"] == 0.5
    assert report_names() == ("decoding", "errors", "steering")
