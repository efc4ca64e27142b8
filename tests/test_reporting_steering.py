"""The report on steering: every number found again without it, texts side by side, quotes apart, commands that work."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from markup import read
from scipy import stats
from steering_records import (
    NONE,
    PROBLEMS,
    PUSH,
    RANDOM,
    TOKENS,
    WORDS,
    everything,
    problems,
    save_steerer,
    steering_parts,
)

from harness.errors import UserError
from harness.metrics.steering_verdict import concluded
from harness.reporting.making import report
from harness.reporting.steering import words
from harness.reporting.steering.findings import Arm, Findings, Response, Share, Table, Texts
from harness.reporting.steering.marking import spellings, split
from harness.reporting.steering.published import FILE, SIGNIFICANT, deviate, published, share_of
from harness.reporting.steering.responses import _levels
from harness.reporting.steering.views import HEIGHT, LEFT, TOP, WIDTH, picture, scales
from harness.specs.reasoning import PAPER
from harness.store.records import load_record, save_record

HOSTILE = '"><script>alert(1)</script><img src="http://e.org/x.png">|`[x](http://e.org)@team\n# h\u202e\x07'


def found(folder: Path) -> Findings:
    made: Findings = report("steering", folder).findings
    return made


def table(of: Path | Table) -> Table:
    """Return the one table of a run folder, or the table itself."""
    if isinstance(of, Table):
        return of
    (one,) = found(of).tables
    return one


def arm(of: Path | Table, label: str) -> Arm:
    return {one.label: one for one in table(of).arms}[label]


def response(of: Path | Table, label: str) -> Response:
    return {one.label: one for one in table(of).responses}[label]


def texts(of: Path | Table, label: str) -> Texts:
    return {one.label: one for one in table(of).texts}[label]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    everything(folder)
    return folder


@pytest.fixture(scope="module")
def whole(planted: Path) -> Table:
    return table(planted)


def test_every_arm_ends_in_the_verdict_it_was_made_for(whole: Table) -> None:
    said = {one.label: one.verdict for one in whole.arms}
    assert said == {"push": "STEERS", "bias": "LEXICAL", "none": "INCONCLUSIVE"}
    assert [one.label for one in whole.arms] == ["push", "bias", "none"]
    assert set(words.MEANINGS) == {word for word in words.MEANINGS if word in (concluded.__doc__ or "")}
    assert len(words.MEANINGS) == 4


def test_an_arm_without_what_the_rule_reads_has_no_verdict(tmp_path: Path) -> None:
    (saved,) = save_steerer(tmp_path, PUSH)
    parts = {name: value for name, value in steering_parts(PUSH, 0).items() if name != "slope_random"}
    save_record(tmp_path, saved.record, parts)
    lacking = arm(tmp_path, "push")
    assert (lacking.verdict, lacking.metrics["over_random"].value) == ("INCONCLUSIVE", None)
    assert "lacks parts" in lacking.reason
    assert response(tmp_path, "push").random == ()


def test_numbers_are_those_of_the_problems(whole: Table) -> None:
    of, one = problems(PUSH, 0), arm(whole, "push")
    rate = {arm: 100 * of[f"hits{arm}"].sum() / (PROBLEMS * TOKENS) for arm in ("", "_clean")}
    assert one.metrics["d_acc"].value == pytest.approx(of["right"].mean() - of["right_clean"].mean())
    assert one.metrics["d_reflect"].value == pytest.approx(rate[""] - rate["_clean"])
    assert one.metrics["over_random"].value == pytest.approx(of["slope"].mean() / max(map(abs, RANDOM)))
    assert one.metrics["side_kl"].value == pytest.approx(0.2)
    assert (one.helped.problems, one.harmed.problems, one.seeds) == (of["helped"].sum(), 0, 1)
    assert one.p == pytest.approx(stats.binomtest(0, int(of["helped"].sum())).pvalue)
    z, p = stats.norm.isf(0.025), one.helped.share.value
    assert p == pytest.approx(of["helped"].mean())
    half = z * (p * (1 - p) / PROBLEMS + z**2 / 4 / PROBLEMS**2) ** 0.5 / (1 + z**2 / PROBLEMS)
    assert one.helped.share.hi - one.helped.share.lo == pytest.approx(2 * half)  # type: ignore[operator]


def test_problems_that_hang_together_have_no_exact_test(tmp_path: Path) -> None:
    for of in (replace(PUSH, together=2), replace(NONE, together=2)):
        save_steerer(tmp_path, of)
    assert (arm(tmp_path, "push").p, words.p(arm(tmp_path, "push"))) == (None, "—")
    assert arm(tmp_path, "push").helped.problems == 16
    assert (table(tmp_path).problems, table(tmp_path).clusters) == (PROBLEMS, PROBLEMS // 2)


def test_a_dose_response_is_the_planted_one(whole: Table) -> None:
    of, one = problems(PUSH, 0), response(whole, "push")
    assert [point.dose for point in one.points] == [0.1, 0.3]
    assert one.start.value == pytest.approx(of["willing"][:, 0].mean())
    for column, point in enumerate(one.points, start=1):
        change = of["willing"][:, column] - of["willing"][:, 0]
        assert point.level.value == pytest.approx(of["willing"][:, column].mean())
        assert point.change.value == pytest.approx(change.mean())
        # By Student's t on the problems' own changes; the band is a bootstrap.
        half = stats.t.isf(0.025, PROBLEMS - 1) * change.std(ddof=1) / PROBLEMS**0.5
        assert point.change.hi - point.change.lo == pytest.approx(2 * half, rel=0.15)  # type: ignore[operator]
        # Paired: problems differ by far more than their changes do.
        assert point.level.hi - point.level.lo > 20 * (point.change.hi - point.change.lo)  # type: ignore[operator]
    assert one.slope.value == pytest.approx(of["slope"].mean())
    assert one.random == pytest.approx(RANDOM)
    assert one.unit == "relative edit norm"
    assert response(whole, "bias").unit == "√(nats per token of neutral text)"
    assert "none" not in {one.label for one in whole.responses}


def test_bands_hold_the_planted_slope() -> None:
    """Of 400 tables about 95 in 100 hold the change that their problems were drawn about."""
    held = 0
    for seed in range(400):
        found = _levels([steering_parts(replace(PUSH, noise=1.0), seed)], 2)[1]
        held += found.lo <= PUSH.slope * PUSH.doses[1] <= found.hi  # type: ignore[operator]
    assert 0.9 <= held / 400 <= 0.98


def test_what_was_chosen_is_said_with_where(tmp_path: Path) -> None:
    save_steerer(tmp_path, replace(PUSH, chosen=1))
    one, points = arm(tmp_path, "push"), response(tmp_path, "push").points
    assert one.choice == (
        "dose 0.1 (relative edit norm); strength 1; of 2 strengths, chosen on 12 validation problems; latent 57, "
        "chosen on the train split"
    )
    assert [(point.chosen, point.hm, point.reflect_rate) for point in points] == [(1, 0.1, 1.0), (0, 0.2, 2.0)]


def test_a_choice_among_equals_is_called_one(tmp_path: Path) -> None:
    """Where no strength brings about anything on validation problems, the weakest was taken for want of a reason."""
    save_steerer(tmp_path, replace(PUSH, rise=0.0, chosen=1))
    save_steerer(tmp_path, replace(PUSH, name="only", rise=0.0, doses=(0.1,), chosen=1))
    assert "chosen on 12 validation problems (all have one mark there: the weakest)" in arm(tmp_path, "push").choice
    assert "the only strength, chosen on 12 validation problems;" in arm(tmp_path, "only").choice


def test_of_several_seeds_doses_are_means_and_choices_are_counted(tmp_path: Path) -> None:
    seeds = [replace(PUSH, seeds=(0,)), replace(PUSH, seeds=(1,), doses=(0.2, 0.5), chosen=1)]
    for of in seeds:
        save_steerer(tmp_path, replace(of, change={"method": _seeded(tmp_path)}))
    one, row = response(tmp_path, "push"), arm(tmp_path, "push")
    assert [point.dose for point in one.points] == pytest.approx([0.15, 0.4])
    assert [words.chosen(point, one) for point in one.points] == ["in 1 of 2 seeds", "in 1 of 2 seeds"]
    assert row.choice.startswith("dose 0.2 to 0.3 (relative edit norm); strength 2 to 3; of 2 strengths")
    assert "latent 57 to 58" in row.choice
    assert (row.seeds, row.p) == (2, None)
    means = [problems(of, of.seeds[0])["willing"][:, 2].mean() for of in seeds]
    assert one.points[1].level.value == pytest.approx(np.mean(means))


def _seeded(folder: Path) -> Any:
    """Return the method part of a row that varies with its seed."""
    (saved,) = save_steerer(folder / "aside", PUSH)
    return saved.record.method.model_copy(update={"seeded": True})


def test_a_word_that_is_ruled_out_has_no_logarithm(tmp_path: Path) -> None:
    never = steering_parts(PUSH, 0)["willing"].copy()
    never[:, 1:] = -np.inf
    save_steerer(tmp_path, replace(PUSH, parts={"willing": never}))
    one = response(tmp_path, "push")
    assert one.start.value is not None
    assert [point.change.value for point in one.points] == [None, None]
    assert "probability is 0" in str(one.points[0].level.reason)
    made = report("steering", tmp_path)
    json.dumps(made.jsonable(), allow_nan=False)
    assert "<svg" not in made.html()


def test_the_picture_puts_every_dose_where_its_number_is(whole: Table) -> None:
    one = response(whole, "push")
    on = scales([one])
    assert on is not None
    drawn = str(picture(one, on, "k"))
    assert drawn.count('class="random"') == len(RANDOM)
    assert (drawn.count('<circle class="method"'), drawn.count('<circle class="unranked"')) == (1, 1)
    assert re.search(r'<circle class="method"[^>]*><title>dose 0\.3', drawn)
    at = [(float(x), float(y)) for x, y in re.findall(r'<circle [^>]*cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    doses, changes = [0.0, 0.1, 0.3], [0.0, *(point.change.value for point in one.points)]
    start = re.search(r'class="response" d="M([\d.]+) ([\d.]+)L', drawn)
    assert start is not None
    xs, ys = zip((float(start[1]), float(start[2])), *at, strict=True)
    assert np.ptp(np.diff(xs) / np.diff(doses)) < 2
    assert np.diff(ys) / np.diff(changes) == pytest.approx([np.diff(ys)[0] / changes[1]] * 2, rel=0.02)  # type: ignore[operator]
    assert all(LEFT <= x <= LEFT + WIDTH and TOP <= y <= TOP + HEIGHT for x, y in at)
    # Higher on the paper is likelier.
    assert ys[0] > ys[1] > ys[2]


def test_pictures_of_one_kind_of_dose_share_their_scales(tmp_path: Path) -> None:
    for of in (PUSH, replace(PUSH, name="shove", slope=-4.0), WORDS):
        save_steerer(tmp_path, of)
    both = [response(tmp_path, name) for name in ("push", "shove")]
    shared, alone = scales(both), scales(both[:1])
    assert shared is not None
    assert alone is not None
    assert shared.change.low < alone.change.low
    page = report("steering", tmp_path).html()
    places = re.findall(r'class="zero" d="M56 ([\d.]+)h', page)
    # methods first, then the control, whose doses are of another kind
    assert len(places) == 3
    assert places[0] == places[1] != places[2]


def test_answers_stand_beside_those_of_the_model_as_it_is(tmp_path: Path) -> None:
    for of in (NONE, replace(PUSH, right=(0.5, 0.25)), WORDS):
        save_steerer(tmp_path, of)
    worse = texts(tmp_path, "push")
    assert worse.counts == {"helped": 0, "harmed": 10, "unchanged": 30}
    assert [pair.outcome for pair in worse.pairs] == ["harmed"] * 4 + ["unchanged"] * 4
    first = worse.pairs[0]
    assert (first.problem, first.prompt, first.label) == ("p0", "Question 0?", "0")
    assert first.clean is not None
    assert (first.clean.text[:12], first.clean.right) == ("none says 0.", True)
    assert (first.steered.text[:12], first.steered.right) == ("push says 0.", False)
    assert first.steered.hits == problems(replace(PUSH, right=(0.5, 0.25)), 0)["hits"][0]
    page = report("steering", tmp_path).html()
    assert page.index('class="badge harmed"') < page.index('class="badge unchanged"')
    assert "none" not in {one.label for one in table(tmp_path).texts}


def test_a_text_it_was_not_held_against_is_not_shown_beside_it(tmp_path: Path) -> None:
    """The control of another run of the model answers otherwise: its texts are not those that were compared."""
    save_steerer(tmp_path, PUSH)
    assert {pair.clean for pair in texts(tmp_path, "push").pairs} == {None}
    assert words.NO_CLEAN in report("steering", tmp_path).html()
    save_steerer(tmp_path, replace(NONE, right=(0.0, 0.0)))
    outcomes = {pair.problem: pair.clean is not None for pair in texts(tmp_path, "push").pairs}
    assert outcomes == {f"p{i}": i >= 20 for i in (20, 21, 22, 23, 0, 1, 2, 3)}


def test_without_texts_the_reason_is_told(whole: Table, tmp_path: Path) -> None:
    (saved,) = save_steerer(tmp_path, PUSH)
    for path in saved.path.parent.parent.glob("items-*.jsonl"):
        path.unlink()
    assert "did not come along" in str(texts(tmp_path, "push").reason)
    assert texts(whole, "push").reason is None


def test_words_are_marked_where_they_stand_alone() -> None:
    spelled, reason = spellings({"steering": {}})
    assert reason is None
    assert {"wait", "Wait", "let me", "Let me", "But", "Another"} < set(spelled)
    assert "but" not in spelled
    assert len(spelled) == 2 * (len(PAPER) - 2) + 2
    text = "Wait, await: but But; let  me let me.\nHowever"
    pieces = list(split(text, spelled))
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, word in pieces if word] == ["Wait", "But", "let me", "However"]
    assert list(split("a (x+) b", ("(x+)",))) == [("a ", False), ("(x+)", True), (" b", False)]
    assert list(split("wait", ())) == [("wait", False)]


@pytest.mark.parametrize("source", ["file", "token_ids"])
def test_a_file_that_a_record_names_is_not_opened(source: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("sesame\n", encoding="utf-8")
    save_steerer(tmp_path, replace(PUSH, words={source: str(secret)}))
    one = table(tmp_path)
    assert (one.words, "in a file of their own" in str(one.unmarked)) == ((), True)
    page = report("steering", tmp_path).html()
    assert "<mark>" not in page
    assert "sesame" not in page


def test_marks_are_on_the_page_and_in_markdown(planted: Path) -> None:
    made = report("steering", planted)
    assert "says 20. <mark>Wait</mark>, await: but <mark>But</mark></p>" in made.html()
    assert "says 20. **Wait**, await: but **But**" in made.markdown()


def test_published_shares_are_those_of_their_counts() -> None:
    (shares,), _ = published()
    assert [(row.shares[1].right, row.shares[1].n) for row in shares.rows[:3]] == [(466, 500), (465, 500), (477, 500)]
    z = stats.norm.isf(0.025)
    listed = re.findall(r"percent: \[([^\]]*)\]", FILE.read_text(encoding="utf-8"))
    for row, percents in zip(shares.rows, listed, strict=True):
        for share, percent in zip(row.shares, map(float, percents.split(",")), strict=True):
            # No count of so many problems gives another figure than the published one.
            assert words.share(share) == f"{percent:.1f}"
            p, n = share.right / share.n, share.n
            middle = (p + z**2 / 2 / n) / (1 + z**2 / n)
            half = z * (p * (1 - p) / n + z**2 / 4 / n**2) ** 0.5 / (1 + z**2 / n)
            assert (share.lo, share.hi) == pytest.approx((middle - half, middle + half))


def test_no_published_row_is_significant_alone_by_another_test(tmp_path: Path) -> None:
    (shares,), _ = published()
    assert "no row is significant alone" in shares.note
    assert "screened on MATH-500" in shares.note
    base, *rows = shares.rows
    for row in rows:
        for own, other in zip(row.shares, base.shares, strict=True):
            table = [[one.right, one.n - one.right] for one in (own, other)]
            assert stats.fisher_exact(table).pvalue > 0.05
            chi = stats.chi2_contingency(table, correction=False).statistic
            assert deviate(own, other) ** 2 == pytest.approx(chi)
    # A row that is significant is said to be.
    other = tmp_path / "other.yaml"
    other.write_text(FILE.read_text(encoding="utf-8").replace("95.4", "99.4"), encoding="utf-8")
    assert "1 of 21 are significant alone" in published(other)[0][0].note
    assert abs(deviate(share_of(99.4, 500), share_of(93.2, 500))) > SIGNIFICANT


def test_a_wrong_file_of_figures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(FILE.read_text(encoding="utf-8").replace("rankings:", "ranking:"), encoding="utf-8")
    with pytest.raises(UserError, match="rankings"):
        published(path)


def test_quoted_rows_stand_apart_and_never_rank(planted: Path) -> None:
    made = report("steering", planted)
    page = made.html()
    quoted = page[page.index('<section id="published"') :]
    _, (ranking,) = published()
    for row in ranking.rows:
        assert f'<th scope="row">{row.label}</th>' in quoted
        assert f'<th scope="row">{row.label}</th>' not in page[: page.index('<section id="published"')]
    assert ranking.rows[0].label == "Prompt"
    assert "Quoted, never ranked" in quoted
    assert {line[1] for line in made.kind.lines(made.findings)[1]} == {"push", "bias", "none"}
    assert isinstance(published()[0][0].rows[0].shares[0], Share)


def test_of_a_hostile_command_only_what_decides_a_table_is_repeated(tmp_path: Path) -> None:
    (saved,) = save_steerer(tmp_path, PUSH)
    command = (
        "harness eval --method push --task ./mine/push.yaml,other --set steering.problems=20 --set params.l1=3 "
        "--include-path /evil --store sqlite:///x --limit=9 --model 'a b;rm' --trust-remote-code --output-path /gone"
    )
    provenance = saved.record.provenance.model_copy(update={"command": command})
    save_steerer(tmp_path, replace(PUSH, change={"provenance": provenance}))
    control, others = table(tmp_path).missing
    assert control.command == (
        "harness eval --method none,bias,drawn --task ./mine/push.yaml --set steering.problems=20 --limit 9 "
        f"--model 'a b;rm' --output-path {tmp_path}"
    )
    assert (control.kind, control.labels) == ("control", ("none", "bias", "drawn"))
    assert {"diffmean", "sae_feature", "prompt"} < set(others.labels)
    assert f"<code>{control.command}</code>".replace("'", "&#39;") in report("steering", tmp_path).html()


@pytest.mark.parametrize("command", ["", "harness eval --method 'x", "harness eval --task"])
def test_a_command_that_cannot_be_read_is_written_anew(command: str, tmp_path: Path) -> None:
    (saved,) = save_steerer(tmp_path, PUSH)
    provenance = saved.record.provenance.model_copy(update={"command": command})
    save_steerer(tmp_path, replace(PUSH, change={"provenance": provenance}))
    written = table(tmp_path).missing[0].command
    assert written == f"harness eval --method none,bias,drawn --task push --output-path {tmp_path}"


def test_hostile_text_is_text_everywhere(tmp_path: Path) -> None:
    everything(tmp_path, text=HOSTILE, words={"words": [{"word": "w", "forms": [HOSTILE, "<b>", "Wait"]}]})
    made = report("steering", tmp_path)
    page = read(made.html())
    assert [name for name, _ in page.elements if name in ("script", "img")] == ["script"]
    assert "<script>alert(1)" in page.text
    assert len(page.ids) == len(set(page.ids))
    text = made.markdown()
    for held in (made.html(), text):
        assert "\u202e" not in held
        assert "\x07" not in held
    assert [word for word in ("<script", "<img", "://e.org", "@team") if word in text] == []
    assert not any(line.startswith("# h") for line in text.splitlines())
    json.dumps(made.jsonable(), allow_nan=False).encode()


def test_equal_records_give_equal_bytes_without_torch(planted: Path, tmp_path: Path) -> None:
    one = report("steering", planted).write(tmp_path / "a")
    program = (
        "import sys, harness, pathlib\n"
        f"harness.report('steering', {str(planted)!r}).write(pathlib.Path({str(tmp_path / 'b')!r}))\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
    assert [path.read_bytes() for path in one] == [(tmp_path / "b" / path.name).read_bytes() for path in one]
    assert json.loads(one[2].read_text(encoding="utf-8"))["report"] == "steering"


def test_controls_alone_make_a_report(tmp_path: Path) -> None:
    for of in (NONE, WORDS):
        save_steerer(tmp_path, of)
    assert [one.label for one in table(tmp_path).arms] == ["bias", "none"]


def test_the_command_prints_verdicts(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("report", "steering", "--run", str(planted), "--output-path", str(tmp_path / "out"))
    rows = [line.split("\t") for line in call(capsys, *typed).out.splitlines()]
    assert rows[0] == ["task", "arm", "role", "verdict", "because", "choice"]
    assert [(row[1], row[3]) for row in rows[1:]] == [("push", "STEERS"), ("bias", "LEXICAL"), ("none", "INCONCLUSIVE")]
    assert call(capsys, *typed, "--json").json == report("steering", planted).jsonable()
    assert call(capsys, *typed, "--markdown").out == report("steering", planted).markdown() + "\n"


SMALL = (
    "data.size=24", "steering.problems=4", "steering.val_problems=2", "steering.directions=2",
    "steering.norms=[0.1,0.2]", "steering.neutral_texts=2", "steering.neutral_tokens=8", "ask.written.max_tokens=6",
    "budget.train_tokens=600", "budget.val_tokens=200",
)  # fmt: skip


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run folder that the track itself wrote, with a steerer and the model as it is."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    line = ["eval", "--method", "none,diffmean", "--task", "steer_arithmetic", "--model", "tiny-random", "--seeds", "0"]
    line += ["--no-controls", *(word for one in SMALL for word in ("--set", one)), "--output-path", str(run)]
    monkeypatch.setattr(sys, "argv", ["harness", *line])
    assert call(capsys, *line).code == 0
    return run


def test_a_run_of_the_track_is_read_whole(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = table(measured)
    assert [row.label for row in one.responses] == ["diffmean"]
    (steered,) = one.responses
    assert [point.dose for point in steered.points] == pytest.approx([0.1, 0.2], rel=1e-3)
    assert (steered.unit, len(steered.random), steered.reason) == ("relative edit norm", 2, None)
    assert sum(point.chosen for point in steered.points) == 1
    (said,) = one.texts
    assert all(pair.clean is not None for pair in said.pairs)
    assert (len(said.pairs), one.problems, one.validation) == (4, 4, 2)
    (path,) = measured.glob("results/*/diffmean/*.json")
    parts = load_record(path).parts()
    change = (parts["willing"][:, 2] - parts["willing"][:, 0]).sum() / parts["answered"].sum()
    assert steered.points[1].change.value == pytest.approx(change)
    # What is missing is measured in the same table: what was measured before is finished there.
    assert one.missing[0].labels == ("random_dir", "logit_bias", "prompt")
    _, *line = shlex.split(one.missing[0].command)
    states = {cell["method"]: cell["state"] for cell in call(capsys, *line, "--plan", "--json").json["cells"]}
    assert states == {"none": "finished", "random_dir": "to do", "logit_bias": "to do", "prompt": "to do"}
