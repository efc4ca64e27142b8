"""Duplicated directions: the blocks against a naive loop, planted twins, and the metric on the track."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from running import record_of, run

from harness.metrics.contract import NotComputableError
from harness.metrics.sparsity import duplicate_frac
from harness.tracks import duplicates as module
from harness.tracks.duplicates import duplicates


@pytest.mark.parametrize("cosines", [1, 40, 10**6])
def test_blocks_equal_a_naive_loop(cosines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COSINES", cosines)
    row_FD = torch.randn(37, 3, generator=torch.Generator().manual_seed(0))
    row_FD[5] = 0.0
    naive = []
    for i, a in enumerate(row_FD):
        cosines_i = [float(a @ b / (a.norm() * b.norm()).clamp_min(1e-12)) for j, b in enumerate(row_FD) if j != i]
        naive.append(max(cosines_i) > 0.9)
    assert duplicates(row_FD).tolist() == naive
    assert 0 < sum(naive) < 37


def test_twins_count_both_whatever_their_length_and_mirror_images_do_not() -> None:
    row_FD = torch.eye(6)
    row_FD[1] = 5 * row_FD[0]
    row_FD[3] = -row_FD[2]
    assert duplicates(row_FD).tolist() == [True, True, False, False, False, False]
    assert duplicates(torch.zeros(4, 3)).tolist() == [False] * 4
    assert duplicates(torch.ones(1, 3)).tolist() == [False]
    assert duplicates(torch.ones(0, 3)).tolist() == []


def test_the_metric_is_the_share(tmp_path: Path) -> None:
    parts = {"n": np.ones(3), "duplicates": np.array([1.0, 1.0, 0.0, 0.0])}
    assert duplicate_frac(parts, np.ones((2, 3))).tolist() == [0.5, 0.5]
    with pytest.raises(NotComputableError, match="no latents"):
        duplicate_frac({"n": np.ones(3), "duplicates": np.zeros(0)}, np.ones(3))


@pytest.mark.usefixtures("cache")
def test_the_track_measures_it_once(tmp_path: Path) -> None:
    outcome = run("pca", "toy_task", tmp_path, controls=False, set={"metrics": "[fvu, duplicate_frac]"}, batch_size=1)
    record = record_of(outcome, "pca")
    assert record.metrics["duplicate_frac"].value == 0.0
    assert record.metrics["fvu"].value is not None
