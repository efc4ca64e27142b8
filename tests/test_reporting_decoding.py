"""The report on decoders: every bar met, missed, undecided and not measured; every number found again without it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bandits import Lesson
from board_records import Quality
from board_records import parts as dictionary_parts
from commands import call
from decoding_records import (
    CLUSTERS,
    HARMFUL,
    SAMPLE,
    SEEDS,
    SIGNAL,
    TOP,
    Decoder,
    decoder_parts,
    save_decoder,
    save_dictionary,
    save_explainer,
    save_labels,
    save_reward,
)
from markup import Reader
from scipy import stats

from harness.errors import UserError
from harness.metrics.reward import concluded
from harness.reporting.contract import Measure, Source
from harness.reporting.decoding import REPORT, words
from harness.reporting.decoding.anchors import anchors
from harness.reporting.decoding.bars import ASKED
from harness.reporting.decoding.domains import Side, ratio_of
from harness.reporting.decoding.findings import Bar, Findings
from harness.reporting.decoding.judging import outcome
from harness.reporting.decoding.readings import anywhere
from harness.reporting.decoding.rewards import MEANINGS
from harness.reporting.decoding.views import LEFT, WIDTH, picture
from harness.reporting.making import _sources, report
from harness.specs.library import Library
from harness.specs.worlds import BanditData
from harness.stats.bars import Level
from harness.stats.verdicts import verdicts

HOSTILE = '"><script>alert(1)</script><img src="http://e.org/x.png">|`[x](http://e.org)@team\n# h\u202e\x07'


def found(folder: Path, **options: Any) -> Findings:
    made: Findings = report("decoding", folder, **options).findings
    return made


def bar(folder: Path, key: str) -> Bar:
    return {one.key: one for one in found(folder).bars}[key]


def outcomes(one: Bar) -> list[str]:
    return [reading.outcome for reading in one.methods]


def decoder(**given: Any) -> Callable[[Path], object]:
    return lambda folder: save_decoder(folder, Decoder("lens", **given))


def dictionary(**given: Any) -> Callable[[Path], object]:
    return lambda folder: save_dictionary(folder, Quality(**given))


def apart(kept: float, noise: float = 0.02) -> Callable[[Path], object]:
    def save(folder: Path) -> None:
        save_decoder(folder, Decoder("lens", agree=0.6, noise=noise))
        save_decoder(folder, Decoder("lens", agree=0.6 * kept, noise=noise, task="far", corpus="sums"))

    return save


@pytest.mark.parametrize(
    ("key", "save", "expected"),
    [
        ("divergence", decoder(kl=0.3), "met"),
        ("divergence", decoder(kl=0.8), "missed"),
        ("divergence", decoder(kl=0.5, noise=0.2), "undecided"),
        ("sparsity", dictionary(l0=64.0), "met"),
        ("sparsity", dictionary(l0=30.0), "missed"),
        ("sparsity", dictionary(l0=120.0), "missed"),
        ("sparsity", dictionary(l0=50.0), "undecided"),
        ("error", dictionary(fvu=0.006), "met"),
        ("error", dictionary(fvu=0.15), "missed"),
        ("error", dictionary(fvu=0.012), "undecided"),
        ("variance", dictionary(fvu=0.02), "met"),
        ("variance", dictionary(fvu=0.15), "missed"),
        ("variance", dictionary(fvu=0.05), "undecided"),
        ("dead", dictionary(dead=0.005), "met"),
        ("dead", dictionary(dead=0.3), "missed"),
        ("dead", dictionary(dead=0.05), "undecided"),
        ("accuracy", decoder(drop=0.01), "met"),
        ("accuracy", decoder(drop=0.1), "missed"),
        ("accuracy", decoder(drop=0.03, noise=0.2), "undecided"),
        ("labels", lambda folder: save_labels(folder, 190, 200), "met"),
        ("labels", lambda folder: save_labels(folder, 100, 200), "missed"),
        ("labels", lambda folder: save_labels(folder, 172, 200), "undecided"),
        ("labels", lambda folder: save_labels(folder, 0, 0), "not measured"),
        ("domains", apart(0.95), "met"),
        ("domains", apart(0.5), "missed"),
        ("domains", apart(0.8), "undecided"),
    ],
)
def test_every_bar_is_judged_by_the_whole_interval(
    key: str, save: Callable[[Path], object], expected: str, tmp_path: Path
) -> None:
    save_reward(tmp_path, SIGNAL, SIGNAL)  # A run folder with nothing a bar is about.
    assert outcomes(bar(tmp_path, key)) == []
    save(tmp_path)
    judged = bar(tmp_path, key)
    assert outcomes(judged) == [expected]
    assert bool(judged.commands) == (expected == "not measured")


@pytest.mark.parametrize(("agree", "expected"), [(0.3, "met"), (0.6, "missed"), (0.35, "undecided")])
def test_a_band_is_judged_at_both_ends(agree: float, expected: str, tmp_path: Path) -> None:
    """The share of importance of ten features, with another share of the same track in its place."""
    save_explainer(tmp_path, "ranked", agree)
    save_decoder(tmp_path, Decoder("lens"))
    asked = {one.key: one for one in ASKED}["importance"]
    assert (asked.track, asked.readings, asked.rule) == ("explanation", anywhere, "25 to 35 %")
    (source,) = [one for one in sources(tmp_path) if one.track == "explanation"]
    (reading,) = asked.readings(replace(asked, metric="agree1"), [source])
    assert reading.outcome == expected
    assert bar(tmp_path, "importance").commands != ()


def sources(folder: Path) -> list[Source]:
    return _sources(folder, REPORT, (), ())


def test_over_some_tokens_a_divergence_can_miss_and_cannot_meet(tmp_path: Path) -> None:
    """Merging tokens only lowers it, so what lies below the bar says nothing of all tokens."""
    save_decoder(tmp_path, Decoder("near", kl=0.3, drop=0.01, some=True))
    save_decoder(tmp_path, Decoder("far", kl=0.8, some=True))
    judged = {one.label: one for one in bar(tmp_path, "divergence").methods}
    assert (judged["near"].outcome, judged["far"].outcome) == ("undecided", "missed")
    assert f"over {TOP} tokens, and over all tokens it is no less" in judged["near"].because
    assert judged["near"].quantity == "kl_model_method_subvocab"
    assert {one.label: one.outcome for one in bar(tmp_path, "accuracy").methods} == {"near": "met", "far": "missed"}


def test_without_an_interval_nothing_is_decided(tmp_path: Path) -> None:
    save_dictionary(tmp_path, Quality(dead=0.0), seeds=(0,))
    (reading,) = bar(tmp_path, "dead").methods
    assert (reading.outcome, reading.found.value, reading.found.lo) == ("undecided", 0.0, None)
    assert "no interval" in reading.because
    assert "50000 tokens" in reading.because


def test_what_is_the_same_in_every_cluster_is_not_thereby_certain(tmp_path: Path) -> None:
    """Of 16 clusters none loses anything, and of as many more one in five might: 3 points are not ruled out."""
    save_decoder(tmp_path, Decoder("copy", drop=0.0, noise=0.0))
    (reading,) = bar(tmp_path, "accuracy").methods
    upper = 1 - 0.025 ** (1 / CLUSTERS)
    assert (reading.found.value, reading.outcome) == (0.0, "undecided")
    assert (reading.found.lo, reading.found.hi) == pytest.approx((-upper, upper))
    assert f"the same in each of {CLUSTERS} clusters" in reading.because


def test_where_the_model_gets_little_right_losing_all_of_it_meets_no_bar(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("ruined", drop=0.02, right=0.02))
    save_decoder(tmp_path, Decoder("good", drop=0.02, right=0.6, task="others"))
    ruined, good = sorted(bar(tmp_path, "accuracy").methods, key=lambda one: one.label, reverse=True)
    assert (ruined.outcome, good.outcome) == ("undecided", "met")
    assert "the model itself gets 2 % right, and no more can be lost: the bar cannot be missed" in ruined.because


def test_a_bar_that_a_control_meets_says_so(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("lens", drop=0.1))
    save_decoder(tmp_path, Decoder("modal", drop=0.01, role="floor"))
    save_decoder(tmp_path, Decoder("best", drop=0.01, role="ceiling"))
    judged = bar(tmp_path, "accuracy")
    assert (outcomes(judged), [one.outcome for one in judged.controls]) == (["missed"], ["met", "met"])
    assert "Met by controls too: modal." in report("decoding", tmp_path).html()


def test_bars_are_about_the_texts_a_method_was_fitted_on(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("lens", kl=0.8))
    save_decoder(tmp_path, Decoder("lens", kl=0.1, task="far", corpus="sums"))
    (reading,) = bar(tmp_path, "divergence").methods
    assert (reading.outcome, reading.where) == ("missed", "sums, block 14")


def test_values_are_those_of_the_parts(tmp_path: Path) -> None:
    of = Decoder("lens", kl=0.7, agree=0.5, drop=0.08)
    save_decoder(tmp_path, of)
    held = [decoder_parts(of, seed) for seed in SEEDS]

    def mean(above: Callable[[Any], Any]) -> float:
        return float(np.mean([above(parts).sum() / parts["n"].sum() for parts in held]))

    made = found(tmp_path)
    model, lens = made.decoders[0].rows
    assert lens.metrics["kl_model_method"].value == pytest.approx(mean(lambda p: p["kl_pq"]), abs=1e-12)
    assert lens.metrics["agree1"].value == pytest.approx(mean(lambda p: p["agree1"]), abs=1e-12)
    assert lens.metrics["acc_gold"].value == pytest.approx(mean(lambda p: p["gold"]), abs=1e-12)
    assert model.metrics["acc_gold"].value == pytest.approx(mean(lambda p: p["gold_model"]), abs=1e-12)
    assert (model.metrics["kl_model_method"].value, model.metrics["agree1"].value) == (0.0, 1.0)
    lost = {one.key: one for one in made.bars}["accuracy"].methods[0].found.value
    assert lost == pytest.approx(mean(lambda p: p["gold_model"] - p["gold"]), abs=1e-12)
    assert (lens.speed, lens.seeds, lens.peak_mb) == (1000.0, 3, 910.0)


def test_what_dictionaries_rebuild_is_that_of_the_parts(tmp_path: Path) -> None:
    save_dictionary(tmp_path, Quality(fvu=0.1), seeds=(0,))
    held = dictionary_parts(Quality(fvu=0.1), CLUSTERS, 0, "codes")
    bars = {one.key: one.methods[0].found for one in found(tmp_path).bars if one.methods}
    assert bars["error"].value == pytest.approx(held["se"].sum() / held["x2"].sum())
    # The variance is about the mean of all tokens: the norm of the sum over clusters is in the gram matrix.
    variance = held["sxx"].sum() - held["x_gram"].sum() / held["n"].sum()
    assert bars["variance"].value == pytest.approx(1 - held["se"].sum() / variance, rel=1e-6)
    assert bars["variance"].lo < bars["variance"].value < bars["variance"].hi  # type: ignore[operator]
    assert bars["sparsity"].value == pytest.approx(held["l0"].sum() / held["n"].sum())
    assert bars["dead"].value == pytest.approx((held["fires"] == 0).mean())


def test_labelled_latents_have_the_interval_of_wilson(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("lens"))
    save_labels(tmp_path, 172, 200, controls=(12, 0))
    (own,), (drawn, none) = (getattr(bar(tmp_path, "labels"), side) for side in ("methods", "controls"))
    p, n, z = 172 / 200, 200, stats.norm.isf(0.025)
    middle, half = (p + z**2 / 2 / n) / (1 + z**2 / n), z * (p * (1 - p) / n + z**2 / 4 / n**2) ** 0.5 / (1 + z**2 / n)
    assert (own.found.value, own.found.lo, own.found.hi) == pytest.approx((p, middle - half, middle + half))
    # Of a control a sample alone is labelled.
    assert (drawn.label, drawn.found.value, drawn.outcome) == ("drawn0", 12 / SAMPLE, "missed")
    assert f"12 of {SAMPLE} tried of the 200 latents" in drawn.because
    assert f"0 of {SAMPLE} tried of the 200 latents" in none.because
    assert (none.found.value, none.found.lo) == (0.0, 0.0)
    assert none.found.hi == pytest.approx(z**2 / (SAMPLE + z**2))
    assert own.records == ("features/parts/codes/seed0-abc.json",)


def test_a_torn_data_file_is_named(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("lens"))
    path = save_labels(tmp_path, 172, 200)
    path.write_text(path.read_text(encoding="utf-8")[:80], encoding="utf-8")
    judged = bar(tmp_path, "labels")
    assert outcomes(judged) == ["not measured"]
    assert "not a whole file" in str(judged.methods[0].found.reason)
    assert judged.commands != ()


def test_what_is_kept_out_of_domain_is_a_ratio_with_the_error_of_both(tmp_path: Path) -> None:
    apart(0.8, noise=0.1)(tmp_path)
    for control, far in (("modal", 0.5), ("other", 0.1)):
        save_decoder(tmp_path, Decoder(control, agree=0.5, role="floor"))
        save_decoder(tmp_path, Decoder(control, agree=far, role="floor", task="far", corpus="sums"))
    (both,) = found(tmp_path).domains
    lens, modal, other = both.rows
    shares = [
        np.mean([(p := decoder_parts(of, s))["agree1"].sum() / p["n"].sum() for s in SEEDS])
        for of in (Decoder("lens", agree=0.48, noise=0.1, task="far"), Decoder("lens", agree=0.6, noise=0.1))
    ]
    assert lens.kept.value == pytest.approx(shares[0] / shares[1])
    assert lens.kept.lo < lens.kept.value < lens.kept.hi  # type: ignore[operator]
    assert (modal.label, modal.role, other.kept.hi < 0.25) == ("modal", "floor", True)  # type: ignore[operator]
    assert [reading.label for reading in bar(tmp_path, "domains").controls] == ["modal", "other"]


def test_the_interval_of_a_ratio_holds_the_truth() -> None:
    """Two means of twelve numbers each, of truth .4 and .5: 95 of 100 intervals hold .8."""
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        sides = [draw.normal(mean, 0.08, 12) for mean in (0.4, 0.5)]
        kept = ratio_of(*(Side(x.mean(), x.var(ddof=1) / 12 / x.mean() ** 2, 11.0) for x in sides), 0.95)
        held += kept.lo <= 0.8 <= kept.hi  # type: ignore[operator]
    assert 0.92 <= held / 400 <= 0.98


def test_agreement_in_every_cluster_is_not_certain(tmp_path: Path) -> None:
    for task, corpus in (("sums", None), ("far", "sums")):
        save_decoder(tmp_path, Decoder("copy", agree=1.0, noise=0.0, task=task, corpus=corpus))
    (reading,) = bar(tmp_path, "domains").methods
    known = 0.025 ** (1 / CLUSTERS)
    assert (reading.found.value, reading.outcome) == (1.0, "undecided")
    assert (reading.found.lo, reading.found.hi) == pytest.approx((known, 1 / known))


def test_rows_of_other_fits_are_not_set_side_by_side(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("lens"))
    save_decoder(tmp_path, Decoder("lens", task="far", corpus="sums", seeds=(0,)))
    assert found(tmp_path).domains == ()
    save_decoder(tmp_path, Decoder("lens", task="far", corpus="sums", layer=3))
    assert found(tmp_path).domains == ()


def test_blocks_stand_below_each_other(tmp_path: Path) -> None:
    for layer, kl in ((20, 1.0), (4, 3.0), (12, 2.0)):
        save_decoder(tmp_path, Decoder("lens", kl=kl, layer=layer))
        save_decoder(tmp_path, Decoder("tuned", kl=kl / 2, layer=layer))
    (table,) = found(tmp_path).decoders
    assert [(row.label, row.layer) for row in table.rows[1:]] == [
        (name, layer) for name in ("lens", "tuned") for layer in ("4", "12", "20")
    ]
    values = [row.metrics["kl_model_method"].value for row in table.rows[1:]]
    assert values == pytest.approx([3, 2, 1, 1.5, 1, 0.5], rel=0.05)


@pytest.mark.parametrize(("changes", "word"), [(HARMFUL, "HARMFUL"), (SIGNAL, "SIGNAL")])
def test_a_reward_is_told_plainly(changes: dict[str, float], word: str, tmp_path: Path) -> None:
    parts = save_reward(tmp_path, changes, SIGNAL)
    reward, other = found(tmp_path).rewards
    assert (reward.divergence, other.divergence) == ("KL(p‖π)", "KL(π‖p)")
    assert [one.word for one in reward.regimes] == [word, "SIGNAL"]
    assert {one.word for one in verdicts(parts)} == {word, "SIGNAL"}
    for arm in reward.regimes[0].arms:
        mean = np.mean([(p[f"kl_{arm.arm}"] - p["kl_start"]).sum() / p["n"].sum() for p in parts])
        assert arm.change.value == pytest.approx(mean, abs=1e-12)
    over = {one.arm: one.change.value for one in reward.regimes[0].over}
    assert over["random"] == pytest.approx(changes["true"] - changes["random"], abs=0.03)
    page = report("decoding", tmp_path).html()
    assert f'<span class="word {word.lower()}">{word}</span>' in page
    assert MEANINGS[word] in page
    assert MEANINGS[word] in report("decoding", tmp_path).markdown()


def test_every_verdict_has_its_meaning() -> None:
    known = {word for word in MEANINGS if word in (concluded.__doc__ or "")}
    assert known == set(MEANINGS)
    assert len(known) == 6


def test_the_picture_puts_every_arm_where_its_number_is(tmp_path: Path) -> None:
    save_reward(tmp_path, HARMFUL, SIGNAL)
    reward, _ = found(tmp_path).rewards
    drawn = str(picture(reward, "r0"))
    assert drawn.count("<circle") == 6
    assert drawn.count('class="unranked"') == 6
    # What does not vary has no whisker: the arm without a reward, twice.
    assert drawn.count('class="whisker"') == 10
    at = [float(text.split('"')[0]) for text in drawn.split('cx="')[1:]]
    changes = [arm.change.value for arm in reward.regimes[0].arms]
    slope, _ = np.polyfit(changes, at, 1)  # type: ignore[arg-type]
    assert slope > 0
    assert np.corrcoef(changes, at)[0, 1] == pytest.approx(1, abs=1e-4)  # type: ignore[arg-type]
    assert all(LEFT <= x <= LEFT + WIDTH for x in at)


def test_a_reward_without_its_arms_is_inconclusive(tmp_path: Path) -> None:
    lone = {arm: change for arm, change in SIGNAL.items() if arm != "sup_cont"}
    save_reward(tmp_path, lone, SIGNAL)
    first, second = found(tmp_path).rewards[0].regimes
    assert (first.word, second.word) == ("INCONCLUSIVE", "SIGNAL")
    assert "lacks parts" in first.reason
    lost = {one.arm: one.change for one in first.arms}["sup_cont"]
    assert (lost.value, lost.reason) == (None, "the record has no parts for d_sup_cont")


def test_penalties_are_those_of_the_world_they_are_told_of() -> None:
    """Without a reward, a penalty to the model does what the reward does: the claim of the table, run again."""
    lesson = Lesson(BanditData(source="bandit", states=16, actions=32, seed=0))
    told = {one.penalty: one.ratios for one in anchors().rows}
    assert lesson.distance(lesson.truth()[1]) == pytest.approx(anchors().start, abs=1e-4)
    policy_SA, _ = lesson.learn("zero", 0.3, anchor_SA=lesson.truth()[0])
    lo, hi = told["to the model itself"]["zero"]
    assert lo * 0.8 <= lesson.distance(policy_SA) / anchors().start <= hi * 1.2
    for penalty in ("none", "to the decoder at the start"):
        assert told[penalty]["true"][1] < 0.1
        assert min(told[penalty]["random"][0], told[penalty]["shuffled"][0]) > 1
        assert told[penalty]["zero"] == (1, 1)
    assert max(told["to the model itself"]["random"][1], told["to the model itself"]["shuffled"][1]) < 0.2


def test_explanations_are_held_against_every_other_row(tmp_path: Path) -> None:
    for name, faithful in (("told", 0.8), ("same", 0.8), ("ranking", 0.4)):
        save_explainer(tmp_path, name, faithful)
    save_explainer(tmp_path, "drawn", 0.1, "floor")
    save_explainer(tmp_path, "exact", 0.9, "ceiling")
    (table,) = found(tmp_path).explained
    judged = {(one.label, one.other): one for one in table.versus}
    assert (table.judged, table.comparisons, table.level) == (("agree1",), 6, 1 - 0.05 / 6)
    assert {pair: one.beats for pair, one in judged.items()} == {
        ("told", "same"): "undecided", ("told", "ranking"): "yes", ("told", "drawn"): "yes",
        ("same", "told"): "undecided", ("same", "ranking"): "yes", ("same", "drawn"): "yes",
        ("ranking", "told"): "no", ("ranking", "same"): "no", ("ranking", "drawn"): "yes",
    }  # fmt: skip
    for one in table.versus:
        assert one.adjusted.lo < one.margin.lo < one.margin.hi < one.adjusted.hi  # type: ignore[operator]
    assert list(words.standings(table)) == [
        ("ranking", "agree1", "beats drawn; loses to same, told"),
        ("same", "agree1", "beats ranking, drawn; cannot be told from told"),
        ("told", "agree1", "beats ranking, drawn; cannot be told from same"),
    ]
    rows = {row.label: row.metrics["agree1"].value for row in table.rows}
    assert judged["told", "ranking"].margin.value == pytest.approx(rows["told"] - rows["ranking"])  # type: ignore[operator]


def test_what_is_missing_has_a_command_that_can_be_typed(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("sparse_decoder"))
    made, library = found(tmp_path), Library()
    commands = [command for one in made.bars for command in one.commands]
    commands += [command for of in made.missing.values() for command in of]
    typed = [shlex.split(command) for command in commands if command.startswith("harness ")]
    assert len(typed) >= 7
    for line in typed:
        of = dict(zip(line[2::2], line[3::2], strict=True)) if line[1] == "eval" else {"--method": line[2]}
        tasks = line[line.index("--task") + 1].split(",")
        for method in of["--method"].split(","):
            spec = library.method(method).spec
            assert all(library.track(library.task(task).track).takes(spec) for task in tasks)
        # The records are of another model than the tasks name, or of theirs.
        assert line[-2:] == ["--output-path", str(tmp_path)]
    assert [of for of in commands if not of.startswith(("harness ", "nothing here measures it: "))] == []
    page = report("decoding", tmp_path).html()
    assert all(shlex.join(line).replace("'", "&#39;") in page for line in typed)


def test_hostile_text_is_text_everywhere(tmp_path: Path) -> None:
    save_decoder(tmp_path, Decoder("lens", text=HOSTILE))
    save_decoder(tmp_path, Decoder("lens", text=HOSTILE, task="far", corpus="sums"))
    save_reward(tmp_path, HARMFUL, SIGNAL, text=HOSTILE)
    save_labels(tmp_path, 5, 9, text=HOSTILE)
    made = report("decoding", tmp_path)
    page = Reader()
    page.feed(made.html())
    assert page.open == []
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


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    everything(tmp_path)
    one, two = (report("decoding", tmp_path).write(tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert [path.name for path in one] == ["decoding.html", "decoding.md", "decoding.json"]
    assert json.loads(one[2].read_text(encoding="utf-8"))["report"] == "decoding"


def everything(folder: Path) -> None:
    apart(0.9)(folder)
    save_dictionary(folder, Quality())
    save_labels(folder, 5, 9)
    save_reward(folder, HARMFUL, SIGNAL)
    save_explainer(folder, "told", 0.8)


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    everything(tmp_path)
    program = (
        "import sys, harness, pathlib\n"
        f"harness.report('decoding', {str(tmp_path)!r}).write(pathlib.Path({str(tmp_path)!r}))\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0


def test_the_command_prints_bars_and_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything(tmp_path)
    typed = ("report", "decoding", "--run", str(tmp_path), "--output-path", str(tmp_path / "out"))
    plain = call(capsys, *typed)
    rows = [line.split("\t") for line in plain.out.splitlines()]
    assert (plain.code, rows[0]) == (0, ["asked", "level", "row", "where", "found", "outcome", "record"])
    asked = {one.title for one in ASKED}
    assert {row[0] for row in rows[1:]} == {*asked, "reward"}
    assert [row[5] for row in rows if row[0] == "reward"] == ["HARMFUL", "SIGNAL"] * 2
    assert call(capsys, *typed, "--json").json == report("decoding", tmp_path).jsonable()
    assert call(capsys, *typed, "--markdown").out == report("decoding", tmp_path).markdown() + "\n"


def test_a_task_and_a_method_may_be_chosen(tmp_path: Path) -> None:
    everything(tmp_path)
    chosen = found(tmp_path, tasks=["control"])
    assert (len(chosen.rewards), chosen.decoders, chosen.explained) == (2, (), ())
    assert set(chosen.missing) == {"decoders", "answers", "domains", "explained"}
    lens = found(tmp_path, methods=["lens"])
    assert (len(lens.decoders), lens.rewards) == (2, ())
    with pytest.raises(UserError, match="Did you mean 'control'"):
        found(tmp_path, tasks=["contrl"])


def test_a_measure_that_nothing_varies_counts_for_itself() -> None:
    assert outcome(Level(high=0.5), Measure(0.5, constant=True)) == "met"
    assert outcome(Level(high=0.5), Measure(0.5)) == "undecided"
    assert outcome(Level(high=0.5), Measure(None)) == "not measured"
