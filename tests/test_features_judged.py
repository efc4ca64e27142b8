"""Labels in words: judges of known character get the scores they deserve, on the windows of the lexical labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import file, layer
from feature_worlds import World, digits_and_noise
from judges import HASTY, Reply, Server, garbage, kind, perfect, pieces, serve, vague, yes
from sklearn.metrics import balanced_accuracy_score, f1_score

from harness.errors import UserError
from harness.features.asking import Asked, Rules
from harness.features.endpoint import EndpointError, check_url
from harness.features.exhibits import Exhibits, exhibits, load_exhibits, save_exhibits
from harness.features.judged import add_judge, draw, summed
from harness.features.judging import NO_LABEL, Judging
from harness.features.questions import marked, read_label, read_verdicts
from harness.specs.features import Judged, Verdicts
from harness.stats.proportions import wilson

LATENTS = [0, 1, 2]


@pytest.fixture(scope="module")
def world() -> World:
    return digits_and_noise(noise=4)


@pytest.fixture(scope="module")
def held(world: World) -> Exhibits:
    windows = world.gatherer().windows
    return exhibits(world.text, {latent: (windows.of(latent, 0), windows.of(latent, 1)) for latent in range(5)})


def judge(
    server: Server, held: Exhibits, world: World, folder: Path, latents: list[int] = LATENTS
) -> dict[int, Judged]:
    asked = Asked(check_url(server.url), "judge", 3, ())
    endpoint = asked.endpoint(HASTY)
    endpoint._folder = folder
    return Judging(endpoint, held, world.words, Rules()).judge(latents, lambda *_: None, "here")


def scores(found: Judged) -> tuple[Verdicts, Verdicts, Verdicts]:
    assert found.detection is not None
    assert found.fuzzing is not None
    assert found.permuted is not None
    return found.detection, found.fuzzing, found.permuted


def test_a_judge_that_knows_is_right_and_its_control_is_at_chance(held: Exhibits, world: World, tmp_path: Path) -> None:
    with serve(perfect) as server:
        found = judge(server, held, world, tmp_path)
    assert [found[latent].label for latent in LATENTS] == ["digits", "the word zz", "the word zz"]
    detection, fuzzing, permuted = scores(found[0])
    for score in (detection, fuzzing):
        assert (score.balanced, score.f1, score.unparsed) == (1.0, 1.0, 0.0)
        assert 0.7 < score.lower < 1
        assert score.said == score.truth
    # Detection of digits by "zz": never said.
    assert (permuted.balanced, permuted.said, permuted.f1) == (0.5, "0" * 100, 0.0)
    # Two of three labels move on by one: one noise latent is asked about with "digits".
    assert sorted(len(set(scores(found[latent])[2].said)) for latent in (1, 2)) == [1, 2]


def test_a_judge_that_always_says_yes_is_at_chance(held: Exhibits, world: World, tmp_path: Path) -> None:
    with serve(yes) as server:
        found = judge(server, held, world, tmp_path)
    for latent in LATENTS:
        for score in scores(found[latent]):
            assert (score.balanced, score.unparsed, score.said) == (0.5, 0.0, "1" * 100)
            assert score.f1 == pytest.approx(2 / 3, abs=1e-4)
            assert score.lower < 0.5


def test_answers_that_cannot_be_read_are_wrong_and_counted(held: Exhibits, world: World, tmp_path: Path) -> None:
    with serve(vague) as server:
        found = judge(server, held, world, tmp_path)
    for score in scores(found[0]):
        assert (score.balanced, score.f1, score.unparsed, score.said) == (0.0, 0.0, 1.0, "?" * 100)


def test_a_judge_without_labels_is_not_asked_further(held: Exhibits, world: World, tmp_path: Path) -> None:
    with serve(garbage) as server:
        found = judge(server, held, world, tmp_path)
        assert len(server.seen) == 3
    assert all((one.label, one.reason, one.detection) == (None, NO_LABEL, None) for one in found.values())


def test_scores_are_those_of_scikit_learn_on_what_was_said(held: Exhibits, world: World, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def answer(request: dict[str, Any]) -> str:
        count = len(pieces(request))
        # A judge that sometimes loses count.
        size = count if rng.random() < 0.8 else count + 1
        return perfect(request) if kind(request) == "label" else str(rng.integers(0, 2, size).tolist())

    with serve(answer) as server:
        found = judge(server, held, world, tmp_path)
    for score in (s for latent in LATENTS for s in scores(found[latent])):
        truth = np.array([c == "1" for c in score.truth])
        said = np.array([not t if c == "?" else c == "1" for c, t in zip(score.said, truth, strict=True)])
        assert score.balanced == pytest.approx(balanced_accuracy_score(truth, said), abs=1e-4)
        assert score.f1 == pytest.approx(f1_score(truth, said), abs=1e-4)
        assert score.unparsed == score.said.count("?") / 100
        assert 0 < score.unparsed < 0.6
        assert score.lower < score.balanced


def test_the_judge_sees_the_windows_of_the_lexical_label(held: Exhibits, world: World, tmp_path: Path) -> None:
    with serve(perfect) as server:
        judge(server, held, world, tmp_path, [1])
    by_kind = {name: [r for r in server.seen if kind(r) == name] for name in ("label", "detection", "fuzzing")}
    assert {name: len(requests) for name, requests in by_kind.items()} == {"label": 1, "detection": 20, "fuzzing": 20}
    train, test = world.gatherer().windows.of(1, 0), world.gatherer().windows.of(1, 1)
    z_M = world.z_MF[:, 1].numpy()

    def text(window: int, mark: bool) -> str:
        start = int(world.text.start_W[window])
        span = slice(start, start + int(world.text.length_W[window]))
        words = [world.words[t] for t in world.text.type_M[span]]
        return marked(words, list(z_M[span] > 0.3 * z_M[span].max())) if mark else "".join(words)

    strongest_first = sorted(train.fires.tolist(), key=lambda w: -_peak(world, w))
    shown = [re.sub(r"\nStrongest: .*", "", piece) for piece in pieces(by_kind["label"][0])]
    assert shown == [text(w, mark=True) for w in strongest_first]
    windows = [*test.fires.tolist(), *test.silent.tolist()]
    assert sorted(t for r in by_kind["detection"] for t in pieces(r)) == sorted(text(w, mark=False) for w in windows)
    marks = [t for r in by_kind["fuzzing"] for t in pieces(r)]
    assert {text(w, mark=True) for w in test.fires.tolist()} <= set(marks)
    wrong = [t for t in marks if t not in {text(w, mark=True) for w in test.fires.tolist()}]
    assert sorted(re.sub("<<|>>", "", t) for t in wrong) == sorted(text(w, mark=False) for w in test.silent.tolist())
    # Positives and negatives come mixed: a judge cannot learn the order.
    assert len({sum("<<" in t for t in pieces(r)) for r in by_kind["fuzzing"]}) == 1


def _peak(world: World, window: int) -> float:
    start = int(world.text.start_W[window])
    return float(world.z_MF[start : start + int(world.text.length_W[window]), 1].max())


def test_a_run_that_was_broken_off_goes_on(held: Exhibits, world: World, tmp_path: Path) -> None:
    with serve(perfect) as server:
        whole = judge(server, held, world, tmp_path / "whole")
        asked = len(server.seen)
    left = iter(range(50))

    def tired(request: Mapping[str, Any]) -> str | Reply:
        return perfect(dict(request)) if next(left, None) is not None else Reply(503, b"")

    with serve(tired) as server, pytest.raises(EndpointError, match="stays busy"):
        judge(server, held, world, tmp_path / "broken")
    kept = len(list((tmp_path / "broken").rglob("*.json")))
    assert kept == 50
    with serve(perfect) as server:
        assert judge(server, held, world, tmp_path / "broken") == whole
        assert len(server.seen) == asked - kept


def test_windows_come_back_from_disk(held: Exhibits, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    save_exhibits(path, held)
    found = load_exhibits(path)
    assert found is not None
    assert found.sides.keys() == held.sides.keys()
    for latent, pair in held.sides.items():
        for one, two in zip(pair, found.sides[latent], strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))
    assert all(found.tokens(w) == held.tokens(w) for w in range(20))
    path.write_bytes(path.read_bytes()[:300])
    assert load_exhibits(path) is None
    assert load_exhibits(tmp_path / "none.npz") is None
    save_exhibits(path, exhibits_of_none(held))
    assert load_exhibits(path) is not None


def exhibits_of_none(held: Exhibits) -> Exhibits:
    return Exhibits(held.type_M, held.start_W, held.length_W, held.group_W, {})


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("[1, 0, 1]", [True, False, True]),
        ("First [2, 3], then:\n[0,0,0]\n", [False] * 3),
        ("[true, false, true]", [True, False, True]),
        ("[1, 0]", None),
        ("[1, 0, 1, 1]", None),
        ("[1, 0, 2]", None),
        ("[1, 0, 1.0]", None),
        ('["1", "0", "1"]', None),
        ("1, 0, 1", None),
        ("[1, 0, NaN]", None),
        ("[[1], [0], [1]]", None),
        ("", None),
    ],
)
def test_verdicts_are_read_strictly(answer: str, found: list[bool] | None) -> None:
    assert read_verdicts(answer, 3) == found


def test_labels_are_read_on_one_line() -> None:
    assert read_label("thinking\n[EXPLANATION]: numbers  after 'is'\nmore") == "numbers after 'is'"
    assert read_label("[EXPLANATION]: first\n[explanation]: second") == "second"
    assert read_label("numbers") is None
    assert read_label("[EXPLANATION]:  \n") is None
    assert len(str(read_label(f"[EXPLANATION]: {'x' * 9999}"))) == 500
    assert str(read_label("[EXPLANATION]: half \ud800")).encode()


def test_marks_surround_runs() -> None:
    words = ["a", " b", " c", " d"]
    assert marked(words, [True, True, False, True]) == "<<a b>> c<< d>>"
    assert marked(words, [False] * 4) == "a b c d"


def test_a_larger_sample_holds_the_smaller() -> None:
    held = layer()
    whole = [f.index for f in held.features if f.label]
    assert draw(held, 99, 0) == whole
    assert set(draw(held, 4, 0)) < set(draw(held, 9, 0)) < set(whole)
    assert draw(held, 9, 0) != draw(held, 9, 1)


def verdict(lower: float, unparsed: float = 0.0) -> Verdicts:
    return Verdicts(truth="10", said="10", balanced=0.9, lower=lower, f1=0.9, unparsed=unparsed)


def test_coverage_is_scaled_to_all_latents_that_fire() -> None:
    held = layer()
    open_to = [f.index for f in held.features if f.label]
    sample, besides = open_to[:8], open_to[8:9]
    judged: dict[int, Judged] = {}
    for i, latent in enumerate([*sample, *besides]):
        score = verdict(0.71 if i < 3 or i == 8 else 0.7, unparsed=0.25 if i == 1 else 0.0)
        judged[latent] = Judged(label="x", reason=None, detection=score, fuzzing=score, permuted=verdict(0.4))
    judged[sample[7]] = Judged(label=None, reason=NO_LABEL, detection=None, fuzzing=None, permuted=None)
    features = [f.model_copy(update={"judged": judged.get(f.index)}) for f in held.features]
    found = summed(held, features, sample, besides, Asked("u", "m", 8, ()))
    share = len(open_to) / held.own.alive
    assert (found.open, found.sampled, found.labelled, found.covered, found.unlabelled) == (len(open_to), 8, 7, 3, 1)
    assert found.coverage == pytest.approx(share * 3 / 8, abs=1e-4)
    assert (found.lo, found.hi) == pytest.approx(tuple(share * end for end in wilson(3, 8)), abs=1e-4)
    assert found.unparsed == pytest.approx(0.25 / 8, abs=1e-4)
    lexical = [held.features[i].label for i in sample[:7]]
    assert found.sides[1].detection == pytest.approx(np.median([x.detection.balanced for x in lexical if x]))
    empty = summed(held, held.features, [], [], Asked("u", "m", 0, ()))
    assert (empty.coverage, empty.lo, empty.reason) == (None, None, "no latent was drawn")
    closed = [f.model_copy(update={"label": None}) for f in held.features]
    nothing = summed(held, closed, [], [], Asked("u", "m", 9, ()))
    assert (nothing.coverage, nothing.reason) == (None, "no latent has windows enough for a label")


def test_a_latent_that_is_not_there_is_refused_before_a_question(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--judge-also: block 9 has latents 0 to 59, got 60"):
        add_judge(file(), tmp_path / "x.json", Asked("u", "m", 5, (60,)), lambda *_: None)
    with pytest.raises(UserError, match=r"windows9\.npz is missing or not whole"):
        add_judge(file(), tmp_path / "x.json", Asked("u", "m", 5, ()), lambda *_: None)
