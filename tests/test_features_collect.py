"""``harness features`` from the command to the file, on the tiny model: against a plain loop over the fitted method."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import call

from harness.errors import UserError
from harness.features.collect import Collector, site_of
from harness.features.making import PreparedFeatures, prepare_features
from harness.features.sizes import Sizes
from harness.run.fitting import Fitter
from harness.specs.features import FeatureFile
from harness.store.features import load_features

SETS = {
    "budget.latents": "96", "budget.l0": "6", "budget.passes": "1", "budget.context": "96",
    "budget.train_tokens": "2000", "budget.val_tokens": "500",
    "budget.test_tokens": "3000", "budget.splice_tokens": "1000", "budget.density_tokens": "6000",
}  # fmt: skip
WORDS = [
    "features", "topk", "--task", "gsm_symbolic", "--model", "tiny-random", "--limit", "120", "--seeds", "0",
    *(word for key, value in SETS.items() for word in ("--set", f"{key}={value}")),
]  # fmt: skip


@dataclass
class Made:
    """A call, its file, and a plain account of the codes."""

    call: PreparedFeatures
    file: FeatureFile
    codes: dict[tuple[int, int], np.ndarray]
    """folded codes by (document, position)"""
    ids: dict[int, list[int]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("features")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        options = {"model": "tiny-random", "seeds": [0], "limit": 120, "set": SETS}
        prepared = prepare_features("topk", "gsm_symbolic", folder / "runs", options, None)  # type: ignore[arg-type]
        file = prepared.collect(lambda label, done, total: None, "test")
        codes, ids = _plain(prepared)
    return Made(prepared, file, codes, ids)


def _plain(prepared: PreparedFeatures) -> tuple[dict[tuple[int, int], np.ndarray], dict[int, list[int]]]:
    """Encode every document on its own, with nothing of what is tested."""
    group = prepared.prepared.groups[0]
    resources = prepared.prepared.resources(lambda label, done, total: None)
    collector = Collector(group, prepared.cells(group), resources, Sizes())
    method = Fitter(collector.track, resources.cache / "fits").fit(group.cells[0]).method
    norm_F = method.directions().norm(dim=1)  # type: ignore[operator]
    codes, ids = {}, {}
    for batch in collector.site.test.batches:
        for row in range(batch.ids_BT.shape[0]):
            length = int(batch.mask_BT[row].sum())
            tokens = batch.ids_BT[row : row + 1, :length]
            x_TD = collector.site.model.read(tokens, torch.ones_like(tokens), [group.task.layer])[group.task.layer][0]
            doc = int(batch.doc_BT[row, 0])
            ids[doc] = tokens[0].tolist()
            z_TF = method.encode(x_TD[1:], torch.zeros(length - 1, dtype=torch.int64)) * norm_F  # type: ignore[operator]
            codes |= {(doc, position + 1): z_TF[position].numpy() for position in range(length - 1)}
    return codes, ids


def test_numbers_of_every_latent_are_those_of_a_loop(made: Made) -> None:
    layer = made.file.layers[0]
    z_NF = np.stack(list(made.codes.values()))
    assert layer.tokens == len(z_NF)
    assert layer.latents == 96
    for feature in layer.features:
        z_N = np.abs(z_NF[:, feature.index])
        assert feature.fires == (z_N > 0).sum()
        assert feature.density == pytest.approx((z_N > 0).mean(), rel=1e-3)
        assert feature.max == pytest.approx(z_N.max(), rel=1e-3, abs=1e-6)
        if feature.fires:
            assert feature.mean == pytest.approx(z_N[z_N > 0].mean(), rel=1e-3)
        else:
            assert (feature.mean, feature.label, feature.unlabelled) == (None, None, "it never fires")


def test_evidence_is_the_activation_by_token_type(made: Made) -> None:
    layer, tokens = made.file.layers[0], made.file.tokens
    for feature in layer.features[:24]:
        mass: dict[str, float] = {}
        for (doc, position), z_F in made.codes.items():
            z = abs(float(z_F[feature.index]))
            if z:
                text = _texts(made)[made.ids[doc][position]]
                mass[text] = mass.get(text, 0.0) + z
        total = sum(mass.values())
        best = sorted(mass.values(), reverse=True)
        assert [share for _, share in feature.evidence] == pytest.approx([m / total for m in best[:12]], rel=2e-3)
        assert all(mass[tokens[t]] / total == pytest.approx(share, rel=2e-3) for t, share in feature.evidence)
        assert feature.token_conc == pytest.approx(sum(best[:10]) / total, rel=1e-3)


def _texts(made: Made) -> dict[int, str]:
    """Return the text of each id: types are numbered in the order of their ids."""
    every = sorted({i for row in made.ids.values() for i in row})
    return dict(zip(every, made.file.tokens, strict=True))


def test_contexts_are_the_strongest_of_each_document_with_the_activation_of_every_token(made: Made) -> None:
    layer, texts = made.file.layers[0], _texts(made)
    documents = {d.id: i for i, d in enumerate(made.call.prepared.groups[0].corpus.splits["test"])}
    for feature in layer.features:
        largest: dict[int, float] = {}
        for (doc, _), z_F in made.codes.items():
            largest[doc] = max(largest.get(doc, 0.0), abs(float(z_F[feature.index])))
        best = sorted((z for z in largest.values() if z > 0), reverse=True)
        top = [c for c in feature.contexts if c.kind == "top"]
        assert [c.activations[c.peak] for c in top] == pytest.approx(best[:8], rel=1e-3)
        assert len(feature.contexts) == min(12, len(best))
        assert len({c.document for c in feature.contexts}) == len(feature.contexts)
        for context in feature.contexts:
            doc = documents[context.document]
            words = [made.file.tokens[t] for t in context.tokens]
            whole = [texts[i] for i in made.ids[doc]]
            starts = [
                s
                for s in range(len(whole) - len(words) + 1)
                if whole[s : s + len(words)] == words
                and all(
                    abs(float(made.codes[doc, s + i][feature.index]) if s + i else 0.0)
                    == pytest.approx(abs(z), rel=1e-3)
                    for i, z in enumerate(context.activations)
                )
            ]
            assert starts
            assert context.before == (starts[0] > 0)
            assert context.after == (starts[-1] + len(words) < len(whole))


def test_the_controls_of_the_task_are_labelled_too(made: Made) -> None:
    layer = made.file.layers[0]
    names = [control.name for control in layer.controls]
    assert names == [n for n in made.call.prepared.groups[0].task.spec.controls.floor if n != "topk"]
    assert layer.own.alive == sum(f.fires > 0 for f in layer.features)
    assert layer.own.labelled == sum(f.label is not None for f in layer.features)
    assert all((f.label is None) == (f.unlabelled is not None) for f in layer.features)
    nothing = next(c for c in layer.controls if c.alive == 0)
    assert (nothing.coverage, nothing.reason) == (None, "no latent fires")


def test_clusters_hold_each_latent_once(made: Made) -> None:
    layer = made.file.layers[0]
    for clusters, name in ((layer.direction_clusters, "direction_cluster"), (layer.firing_clusters, "firing_cluster")):
        members = [f for group in clusters.groups for f in group]
        assert len(members) == len(set(members))
        for number, group in enumerate(clusters.groups):
            assert all(getattr(layer.features[f], name) == number for f in group)
            assert len(group) >= 2


def test_the_batch_size_changes_nothing(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(made.call.prepared.folder.parent / "cache"))
    options = {"model": "tiny-random", "seeds": [0], "limit": 120, "set": SETS, "batch_size": 3}
    again = prepare_features("topk", "gsm_symbolic", tmp_path, options, None)  # type: ignore[arg-type]
    assert again.key == made.call.key
    file = again.collect(lambda label, done, total: None, "test")
    for one, two in zip(made.file.layers[0].features, file.layers[0].features, strict=True):
        assert (one.fires, one.unlabelled) == (two.fires, two.unlabelled)
        assert one.max == pytest.approx(two.max, rel=1e-3)
        tops = [[c.activations[c.peak] for c in f.contexts if c.kind == "top"] for f in (one, two)]
        assert tops[0] == pytest.approx(tops[1], rel=1e-3)


def test_layers_are_compared_and_a_second_call_only_makes_the_page(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "--layers", "1,0", "--output-path", str(tmp_path / "runs"), "--json"]
    first = call(capsys, *words)
    assert first.code == 0, first.err
    page, data = Path(first.json["page"]), Path(first.json["data"])
    file = load_features(data)
    assert [layer.layer for layer in file.layers] == [0, 1]
    (match,) = file.matches
    assert (match.lower, match.upper) == (0, 1)
    assert {a for a, _, _ in match.by_cosine} == {f.index for f in file.layers[0].features if f.fires}
    assert {b for _, b, _ in match.by_cosine} <= {f.index for f in file.layers[1].features if f.fires}
    assert "Block 0 against block 1" in page.read_text()
    before = page.read_text()
    page.unlink()
    second = call(capsys, *words)
    assert "is there already; the page is made from it" in second.err
    assert page.read_text() == before
    data.write_text(data.read_text()[:-40])
    assert "there already" not in call(capsys, *words).err
    assert json.loads(data.read_text())["key"] == file.key


WRONG = {
    "method": (["features", "topkk", "--task", "gsm_symbolic"], "unknown method 'topkk'. Did you mean 'topk'?"),
    "task": (["features", "topk", "--task", "gsm_symbolc"], "unknown task 'gsm_symbolc'. Did you mean 'gsm_symbolic'?"),
    "no task": (["features", "topk"], "missing option '--task'"),
    "methods": (
        ["features", "topk,pca", "--task", "gsm_symbolic"],
        "METHOD: a page is about one method, got 'topk,pca'",
    ),
    "seeds": ([*WORDS, "--seeds", "0,1"], "--seeds: a page shows one seed, got 0, 1"),
    "run": ([*WORDS, "--run", "nowhere"], "--run: 'nowhere' holds no results"),
    "derived": (["features", "permuted_decoder", "--task", "gsm_symbolic"], "is built from another method"),
    "layer": ([*WORDS, "--layers", "99"], "99"),
    "key": ([*WORDS, "--set", "budget.latens=3"], "latens"),
    "details": ([*WORDS, "--details", "0"], "--details"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_mistakes_are_one_line_and_exit_2(
    case: str, cache: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, said = WRONG[case]
    answer = call(capsys, *words)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.startswith("harness: ")
    assert answer.out == ""
    assert not (tmp_path / "runs" / "features").exists()


def test_a_track_without_text_is_refused() -> None:
    spec = SimpleNamespace(task="made_up", track="worlds")
    track: Any = SimpleNamespace(task=SimpleNamespace(spec=spec))
    with pytest.raises(UserError, match=r"task 'made_up' \(track 'worlds'\) has no text to show contexts of"):
        site_of(track)


def test_without_seeds_the_first_of_the_task_is_shown_with_each_control_once(tmp_path: Path) -> None:
    prepared = prepare_features("topk", "gsm_symbolic", tmp_path, {"model": "tiny-random"}, None)
    group = prepared.prepared.groups[0]
    cells = prepared.cells(group)
    assert (cells[0].entry.found.slug, cells[0].seed) == ("topk", group.task.spec.seeds[0])
    assert [cell.entry.found.slug for cell in cells[1:]] == list(group.task.spec.controls.floor)
    own = prepare_features("pca", "gsm_symbolic", tmp_path, {"model": "tiny-random"}, None)
    names = [cell.entry.found.slug for cell in own.cells(own.prepared.groups[0])]
    assert names == ["pca", *(name for name in group.task.spec.controls.floor if name != "pca")]
