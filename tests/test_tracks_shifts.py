"""Words, windows, sums and shifts against loops over dense codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import silent
from harness.data.batches import TokenBatch
from harness.data.planted import DECOY, DISTRACTOR, MARKERS, plain_texts, traces
from harness.data.vocabulary import Entry, entries, find, read_keywords, surface_forms, widen
from harness.errors import UserError
from harness.lm.tiny import tiny_tokenizer
from harness.metrics.reasoning import reason_scores
from harness.specs.reasoning import Injection, Vocabulary
from harness.stats.nulls import against_null
from harness.tracks import codes as codes_module
from harness.tracks.codes import Codes, folded
from harness.tracks.injection import CLASSES, SURVIVES, classify, inject, largest, strongest, undecided
from harness.tracks.marks import Text, Words, random_entries
from harness.tracks.scoring import Firings, keyword_ratio, per_cluster, prompt_leads, reasoned, top_tokens
from harness.tracks.shifts import null_scores, window_sums

LATENTS, ALPHA = 7, 0.7


def batch(
    ids: list[list[int]], docs: list[list[int]] | None = None, drop: Sequence[tuple[int, int]] = ()
) -> TokenBatch:
    """Rows of ids; document -1 is padding; position 0 of a row and the places in ``drop`` do not count."""
    ids_BT = torch.tensor(ids)
    doc_BT = torch.tensor(docs) if docs else torch.arange(len(ids))[:, None].expand_as(ids_BT).clone()
    keep_BT = doc_BT >= 0
    keep_BT[:, 0] = False
    for row, place in drop:
        keep_BT[row, place] = False
    tier_B = torch.zeros(len(ids), dtype=torch.int64)
    return TokenBatch(ids_BT, doc_BT >= 0, keep_BT, keep_BT, doc_BT, doc_BT.clamp(min=0) // 2, tier_B, "made up")


def world(seed: int = 0) -> tuple[list[TokenBatch], list[torch.Tensor]]:
    """Two batches over nine tokens, with two documents in one row, padding, and dropped tokens; sparse codes."""
    rng = np.random.default_rng(seed)
    upper, lower = rng.integers(0, 9, (3, 23)), rng.integers(0, 9, (2, 17))
    for row, place in ((upper[0], 4), (upper[1], 8), (upper[2], 14), (lower[0], 9), (lower[1], 15)):
        row[place : place + 2] = 2, 3  # the word of two tokens; twice it spans documents or ends at padding
    first = batch(upper.tolist(), [[0] * 23, [1] * 9 + [2] * 14, [3] * 15 + [-1] * 8], [(0, 7)])
    batches = [first, batch(lower.tolist(), [[4] * 17, [5] * 17], [(1, 5), (1, 6)])]
    generator = torch.Generator().manual_seed(seed)
    dense = []
    for one in batches:
        shape = int(one.keep_BT.sum()), LATENTS
        on = torch.rand(shape, generator=generator) < 0.4
        dense.append(torch.rand(shape, generator=generator) * on)
    return batches, dense


ENTRIES = (Entry("one", ((1,), (0, 1))), Entry("two three", ((2, 3),)), Entry("four", ((4,),)))


def prepared(seed: int = 0) -> tuple[Text, Codes, Words, np.ndarray]:
    batches, dense = world(seed)
    text = Text.of(batches)
    codes = Codes([folded(z, torch.ones(LATENTS)) for z in dense], LATENTS)
    return text, codes, text.words(ENTRIES, 1, 2), torch.cat(dense).double().numpy()


def naive_windows(batches: list[TokenBatch], entry: Entry, before: int, after: int) -> np.ndarray:
    """Return which kept tokens are in a window, token by token."""
    found = []
    for one in batches:
        for ids, doc, keep in zip(one.ids_BT.tolist(), one.doc_BT.tolist(), one.keep_BT.tolist(), strict=True):
            inside = set()
            for start in range(len(ids)):
                for sequence in entry.sequences:
                    span = range(start, start + len(sequence))
                    if span.stop > len(ids) or [ids[i] for i in span] != list(sequence):
                        continue
                    if doc[start] < 0 or any(doc[i] != doc[start] for i in span):
                        continue
                    for token in span:
                        near = range(max(token - before, 0), min(token + after, len(ids) - 1) + 1)
                        inside |= {i for i in near if doc[i] == doc[start]}
            found += [i in inside for i in range(len(ids)) if keep[i]]
    return np.array(found)


class TestWords:
    @pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 3), (1, 2), (40, 40)])
    @pytest.mark.parametrize("entry", ENTRIES)
    def test_windows_equal_a_loop(self, entry: Entry, before: int, after: int) -> None:
        batches, _ = world()
        words = Text.of(batches).words([entry], before, after)
        expected = np.flatnonzero(naive_windows(batches, entry, before, after))
        assert expected.size > 0
        assert words.position_R[0].tolist() == expected.tolist()

    def test_overlapping_forms_are_one_occurrence(self) -> None:
        ids, doc = np.array([[9, 0, 1, 1, 0, 1]]), np.zeros((1, 6), dtype=np.int64)
        covered, ends = find(ids, doc, ENTRIES[0])
        assert covered.tolist() == [[False, True, True, True, True, True]]
        assert int(ends.sum()) == 3

    def test_a_word_never_spans_documents_nor_its_window(self) -> None:
        ids, doc = np.array([[9, 2, 3, 2, 3, 9]]), np.array([[0, 0, 1, 1, 1, 1]])
        covered, _ = find(ids, doc, ENTRIES[1])
        assert covered.tolist() == [[False, False, False, True, True, False]]
        assert widen(covered, doc, 5, 5).tolist() == [[False, False, True, True, True, True]]

    def test_a_word_longer_than_the_text(self) -> None:
        ids, doc = np.array([[2]]), np.array([[0]])
        assert not find(ids, doc, ENTRIES[1])[0].any()

    def test_stretches(self) -> None:
        batches, _ = world()
        text = Text.of(batches)
        assert text.length_S.tolist() == [21, 8, 14, 14, 16, 14]
        assert text.cluster_S.tolist() == [0, 0, 1, 1, 2, 2]
        assert text.place_N[text.start_S].tolist() == [0] * 6
        kept = [ids for one in batches for ids in one.ids_BT[one.keep_BT].tolist()]
        assert text.ids_N.tolist() == kept

    def test_random_words_are_as_frequent_and_no_words_of_the_vocabulary(self) -> None:
        rng = np.random.default_rng(0)
        ids = np.concatenate([np.full(5 * (i + 1), i) for i in range(60)])
        text = Text.of([batch([[0, *rng.permutation(ids).tolist()]])])
        own = [Entry("a", ((10,),)), Entry("b", ((40,),))]
        words = text.words(own, 2, 3)
        drawn = [random_entries(text, words, own, lambda _: True, seed) for seed in range(8)]
        for found in drawn:
            first, second = (entry.sequences[0][0] for entry in found)
            assert abs(first - 10) <= 4
            assert abs(second - 40) <= 4
            assert not {first, second} & {10, 40}
        assert len({str(found) for found in drawn}) > 1, "another seed draws other words"
        like = random_entries(text, words, own, lambda i: i >= 30, 0)
        assert all(entry.sequences[0][0] >= 30 for entry in like)


class TestVocabulary:
    def test_the_paper_has_34_surface_forms(self) -> None:
        found = entries(Vocabulary(), tiny_tokenizer())
        assert len(found) == 10
        assert sum(len(entry.sequences) for entry in found) == 34
        by_word = {entry.word: ["".join(map(chr, s)) for s in entry.sequences] for entry in found}
        assert by_word["But" if "But" in by_word else "but"] == ["But"]
        assert set(by_word["let me"]) == {"let me", "Let me", " let me", " Let me"}

    def test_files(self, tmp_path: Path) -> None:
        path = tmp_path / "words.txt"
        path.write_text("# reasoning\nwait\n\nbut\tBut\tBUT\n", encoding="utf-8")
        assert read_keywords(path) == ["wait", ("but", ("But", "BUT"))]
        found = entries(Vocabulary(file=str(path)), tiny_tokenizer())
        assert [len(entry.sequences) for entry in found] == [4, 2]
        ids = tmp_path / "ids.json"
        ids.write_text(json.dumps({"wait": [[87, 97], [5]]}), encoding="utf-8")
        assert entries(Vocabulary(token_ids=str(ids)), tiny_tokenizer()) == (Entry("wait", ((87, 97), (5,))),)

    @pytest.mark.parametrize(
        ("name", "text", "says"),
        [
            ("file", "# nothing\n", "holds no word"),
            ("token_ids", "{", "not JSON"),
            ("token_ids", "[]", "must hold an object"),
            ("token_ids", '{"a": [1]}', "list of lists"),
            ("token_ids", '{"a": [[999]]}', "token ids of this model are 0..257"),
        ],
    )
    def test_files_that_do_not_fit(self, tmp_path: Path, name: str, text: str, says: str) -> None:
        path = tmp_path / "words"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=says):
            entries(Vocabulary.model_validate({name: str(path)}), tiny_tokenizer())

    def test_one_source_only(self) -> None:
        with pytest.raises(ValueError, match="give one of"):
            Vocabulary(file="a", token_ids="b")

    def test_surface_forms(self) -> None:
        assert surface_forms("let me") == ("let me", "Let me", " let me", " Let me")


def naive_scores(dense: np.ndarray, masks_RN: np.ndarray) -> np.ndarray:
    """ReasonScore by the definition: means over boolean masks."""
    union = masks_RN.any(0)
    inside, outside = dense[union].mean(0), dense[~union].mean(0)
    word_means = np.stack([dense[mask].mean(0) for mask in masks_RN])
    scores = np.zeros(dense.shape[1])
    for i in range(dense.shape[1]):
        p = word_means[:, i] / word_means[:, i].sum()
        entropy = -sum(x * np.log(x) for x in p if x > 0) / np.log(len(p))
        scores[i] = inside[i] / inside.sum() * entropy**ALPHA - outside[i] / outside.sum()
    return scores


def masks(text: Text, words: Words) -> np.ndarray:
    found = np.zeros((len(words.names), text.ids_N.size), dtype=bool)
    for row, position in zip(found, words.position_R, strict=True):
        row[position] = True
    return found


class TestScores:
    @pytest.mark.parametrize("entries_at_once", [2**23, 40])
    def test_every_latent_equals_a_loop_however_the_codes_are_chunked(
        self, entries_at_once: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(codes_module, "ENTRIES", entries_at_once)
        text, codes, words, dense = prepared()
        found = reasoned(codes, text, words, ALPHA)
        assert found.score_F == pytest.approx(naive_scores(dense, masks(text, words)), abs=1e-7)
        assert found.inside_F == pytest.approx(dense[masks(text, words).any(0)].sum(0), rel=1e-6)
        firings = Firings.of(codes, text)
        assert firings.tokens_F.tolist() == (dense > 0).sum(0).tolist()
        assert firings.l0_N.tolist() == (dense > 0).sum(1).tolist()
        latents = dense.shape[1]
        some = Codes([folded(torch.from_numpy(dense), torch.ones(latents))], latents, shared=3)
        assert Firings.of(some, text).l0_N.tolist() == (dense[:, 3:] > 0).sum(1).tolist(), "those of a document aside"
        prompts = [(dense[text.stretch_N == s] > 0).any(0) for s in range(text.length_S.size)]
        assert firings.prompts_F.tolist() == np.sum(prompts, 0).tolist()

    def test_folding_multiplies_by_the_length_of_the_direction(self) -> None:
        z = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]])
        piece = folded(z, torch.tensor([2.0, 3.0, 4.0]))
        assert next(iter(Codes([piece], 3).chunks()))[1].toarray().tolist() == [[2, 6, 0], [0, 0, 12]]

    def test_a_shorter_length_is_the_score_of_the_first_tokens(self) -> None:
        text, codes, words, dense = prepared()
        first = text.place_N < 9
        expected = naive_scores(dense[first], masks(text, words)[:, first])
        assert reasoned(codes, text, words, ALPHA, first=9).score_F == pytest.approx(expected, abs=1e-7)

    def test_sums_per_cluster_add_up_to_the_whole(self) -> None:
        text, codes, words, dense = prepared()
        columns = np.array([5, 0, 2])
        sums, counts = per_cluster(codes, text, words.position_R, columns, 3)
        for r, mask in enumerate(masks(text, words)):
            for c in range(3):
                here = mask & (text.cluster_S[text.stretch_N] == c)
                assert sums[c, r] == pytest.approx(dense[here][:, columns].sum(0), abs=1e-6)
                assert counts[c, r] == here.sum()

    def test_keyword_ratio(self) -> None:
        text, codes, _, dense = prepared()
        keywords = np.array([3, 4, 30])
        assert keyword_ratio(codes, text, keywords) == pytest.approx(dense[keywords].mean(0) / dense.mean(0), rel=1e-6)
        assert np.isnan(keyword_ratio(codes, text, np.zeros(0, dtype=np.int64))).all()

    def test_prompt_leads_equal_a_loop(self) -> None:
        text, codes, _, dense = prepared()
        keywords = np.array([1, 4, 25, 50, 51])
        mean, count = prompt_leads(codes, text, keywords, 5).among(3).mean(LATENTS)
        ratios: dict[int, list[float]] = {i: [] for i in range(LATENTS)}
        for s in np.unique(text.stretch_N[keywords]):
            here = text.stretch_N == s
            overall = dense[here].mean(0)
            for i in np.argsort(-overall)[:3]:
                ratios[int(i)].append(dense[[k for k in keywords if here[k]]].mean(0)[i] / overall[i])
        assert count.tolist() == [len(ratios[i]) for i in range(LATENTS)]
        for i, values in ratios.items():
            assert mean[i] == pytest.approx(np.mean(values), rel=1e-6) if values else np.isnan(mean[i])

    def test_top_tokens_equal_a_loop(self) -> None:
        text, codes, _, dense = prepared()
        ids, means = top_tokens(codes, text, np.array([4, 1]), 3, 5)
        for row, latent in enumerate((4, 1)):
            here = {int(i): dense[text.ids_N == i, latent] for i in np.unique(text.ids_N)}
            values = {i: mass.mean() for i, mass in here.items() if mass.size >= 5}
            assert len(values) < len(here), "a rare token is there to be left out"
            best = sorted(values, key=lambda i: -values[i])[:3]
            assert ids[row].tolist() == best
            assert means[row] == pytest.approx([values[i] for i in best], rel=1e-5)
        none, _ = top_tokens(codes, text, np.array([4]), 3, 1000)
        assert none.tolist() == [[-1, -1, -1]]


class TestShifts:
    @given(st.integers(0, 10**6))
    @settings(max_examples=15, deadline=None)
    def test_turned_windows_equal_numpy_roll(self, seed: int) -> None:
        text, codes, words, dense = prepared(seed % 5)
        rng = np.random.default_rng(seed)
        offset_BS = (rng.random((3, text.length_S.size)) * text.length_S).astype(np.int64)
        inside_BF, sums_BRF = window_sums(codes, text, words, offset_BS)
        for b in range(3):
            turned = masks(text, words)
            for s, (start, length) in enumerate(zip(text.start_S, text.length_S, strict=True)):
                here = slice(start, start + length)
                turned[:, here] = np.roll(turned[:, here], offset_BS[b, s], axis=1)
            assert sums_BRF[b] == pytest.approx(np.stack([dense[m].sum(0) for m in turned]), abs=1e-4)
            assert inside_BF[b] == pytest.approx(dense[turned.any(0)].sum(0), abs=1e-4)
            size_R = turned.sum(1)[:, None]
            found = reason_scores(inside_BF[b], dense.sum(0) - inside_BF[b], sums_BRF[b] / size_R, ALPHA)
            assert found == pytest.approx(naive_scores(dense, turned), abs=1e-5)

    def test_no_offset_is_the_score_itself(self) -> None:
        text, codes, words, _ = prepared()
        inside_BF, sums_BRF = window_sums(codes, text, words, np.zeros((1, text.length_S.size), dtype=np.int64))
        found = reasoned(codes, text, words, ALPHA)
        assert inside_BF[0] == pytest.approx(found.inside_F, rel=1e-5)
        assert sums_BRF[0] == pytest.approx(
            found.word_mean_RF * np.array([[p.size] for p in words.position_R]), rel=1e-5, abs=1e-6
        )

    def test_the_seed_decides_and_chunks_do_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text, codes, words, _ = prepared()
        first = null_scores(codes, text, words, ALPHA, 60, 0, silent)
        monkeypatch.setattr(codes_module, "ENTRIES", 40)
        _, again, _, _ = prepared()
        assert null_scores(again, text, words, ALPHA, 60, 0, silent) == pytest.approx(first, abs=1e-5)
        assert not np.allclose(null_scores(codes, text, words, ALPHA, 60, 1, silent), first)

    def test_what_other_latents_do_makes_no_latent_follow_the_words(self) -> None:
        """A latent that is constant in a document scores alike wherever windows are; one that avoids them does not."""
        text, _, words, _ = prepared()
        dense = np.ones((text.ids_N.size, 3), dtype=np.float32)
        dense[:, 0] += text.stretch_N % 3
        dense[words.union(), 1] = 0.1
        codes = Codes([folded(torch.from_numpy(dense), torch.ones(3))], 3)
        null_SF = null_scores(codes, text, words, ALPHA, 100, 0, silent)
        score_F = reasoned(codes, text, words, ALPHA).score_F
        assert null_SF[:, 0] == pytest.approx(score_F[0], abs=1e-6)
        assert null_SF[:, 1].min() > score_F[1]
        tested = against_null(score_F, null_SF, np.ones(3, dtype=bool))
        assert np.isnan(tested.p_max[[0, 2]]).all()

    def test_latents_that_ignore_the_words_seldom_pass_though_others_avoid_them(self) -> None:
        """20 of 30 latents are blind to the words, and 10 fire weakly beside them: one data set in twenty may err."""
        wrong = []
        for seed in range(30):
            rng = np.random.default_rng(seed)
            ids = rng.integers(5, 40, size=(40, 60))
            ids[rng.random(ids.shape) < 0.04] = 1
            ids[rng.random(ids.shape) < 0.04] = 4
            text = Text.of([batch(ids.tolist())])
            words = text.words([Entry("one", ((1,),)), Entry("four", ((4,),))], 2, 3)
            shape = (text.ids_N.size, 30)
            dense = (rng.random(shape) * (rng.random(shape) < 0.15)).astype(np.float32)
            dense[words.union(), 20:] *= 0.1
            codes = Codes([folded(torch.from_numpy(dense), torch.ones(30))], 30)
            null_SF = null_scores(codes, text, words, ALPHA, 200, 0, silent)
            tested = against_null(reasoned(codes, text, words, ALPHA).score_F, null_SF, np.ones(30, dtype=bool))
            wrong.append(bool((tested.p_max[:20] < 0.05).any()))
        # 30 at .05: more than 5 happen once in 300; where the null moves with the other latents it is all 30.
        assert sum(wrong) <= 5


class TestInjection:
    plan = Injection(tokens=3, length=12, texts=4, latents=2)
    ids = torch.arange(100, 148).reshape(4, 12)

    @pytest.mark.parametrize(("strategy", "length"), [("prepend", 15), ("intersperse", 15), ("replace", 12)])
    def test_three_tokens_go_in_and_the_first_stays(self, strategy: Any, length: int) -> None:
        found = inject(self.ids, range(10), strategy, self.plan, (0,))
        assert found.shape == (4, length)
        assert (found < 10).sum(1).tolist() == [3] * 4
        assert found[:, 0].tolist() == self.ids[:, 0].tolist()
        rest = [[i for i in row if i >= 100] for row in found.tolist()]
        assert all(row == sorted(row) for row in rest), "the text keeps its order"
        assert torch.equal(found, inject(self.ids, range(10), strategy, self.plan, (0,)))
        assert not torch.equal(found, inject(self.ids, range(10), strategy, self.plan, (1,)))
        assert self.ids.tolist() == torch.arange(100, 148).reshape(4, 12).tolist()

    def test_fewer_tokens_than_asked(self) -> None:
        assert (inject(self.ids, [7], "intersperse", self.plan, (0,)) < 10).sum(1).tolist() == [1] * 4

    @pytest.mark.parametrize(
        ("shift", "name"), [(0.0, SURVIVES), (0.35, CLASSES[2][2]), (0.65, CLASSES[1][2]), (2.0, CLASSES[0][2])]
    )
    def test_classes(self, shift: float, name: str) -> None:
        plain = np.random.default_rng(0).normal(size=200)
        plain = (plain - plain.mean()) / plain.std(ddof=1)
        assert classify(strongest(plain, np.stack([plain + shift, plain]))) == name

    def test_firing_less_is_no_detection_and_firing_alike_everywhere_is(self) -> None:
        assert classify(strongest(np.arange(9.0), np.arange(9.0)[None] - 30)) == SURVIVES
        assert classify(strongest(np.zeros(9), np.ones((1, 9)))) == CLASSES[0][2]
        assert classify(strongest(np.zeros(9), np.zeros((1, 9)))) == SURVIVES

    def test_a_survivor_for_want_of_texts_is_told(self) -> None:
        plain = np.random.default_rng(0).normal(size=400)
        few, many = strongest(plain[:6], plain[None, 6:12]), strongest(plain[:200], plain[None, 200:])
        assert classify(few) == classify(many) == SURVIVES
        assert (undecided(few), undecided(many)) == (True, False)
        assert not undecided(strongest(plain, plain[None] + 2))

    def test_largest(self) -> None:
        assert largest(torch.tensor([1.0, 3, 2, 0, 0]), torch.tensor([0, 0, 1, 1, 2]), 3).tolist() == [3, 2, 0]


class TestPlanted:
    def test_a_longer_corpus_starts_with_the_shorter_one(self) -> None:
        assert list(traces(9, 3))[:4] == list(traces(4, 3))
        assert next(iter(traces(1, 3))) != next(iter(traces(1, 4)))

    def test_markers_and_decoys_stand_where_they_should(self) -> None:
        sentences = [s for row in traces(80, 0) for s in row["deepseek_reasoning"].split(". ")]
        marked = [s for s in sentences if s.startswith(tuple(f"{marker}," for marker in MARKERS))]
        plain = [s for s in sentences if s not in marked]
        assert 0.4 < len(marked) / len(sentences) < 0.6
        assert all(DISTRACTOR not in s for s in marked)
        assert any(DISTRACTOR in s for s in plain)
        assert all(DECOY not in s for s in plain)
        assert 0.4 < sum(f", {DECOY}," in s for s in marked) / len(marked) < 0.6
        assert {marker for marker in MARKERS if any(s.startswith(f"{marker},") for s in marked)} == set(MARKERS)

    def test_plain_texts_hold_no_word_of_the_vocabulary(self) -> None:
        text = " ".join(plain_texts(50, 40, 0)).lower()
        assert not [word for word in (*map(str.lower, MARKERS), DECOY.lower(), DISTRACTOR) if f" {word} " in text]
