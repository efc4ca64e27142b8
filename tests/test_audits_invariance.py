"""What must not move a value is tried on real fits, and a metric that looks at an order or a batch is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from running import PLUGINS
from worlds import fitted

from harness.api import Setting, silent
from harness.audits.invariance import Again, Reordered, batch_size, measure_again, permutation
from harness.metrics.contract import Array, Metric, Parts, constant, get_metric
from harness.run.evaluate import prepare

METRICS = ("mcc_over_g", "mcc", "mmcs", "recall_90", "uniqueness", "firing_f1", "fvu", "l0", "dead_frac")


def measured(folder: pytest.TempPathFactory, task: str, **options: Any) -> Again:
    base = folder.mktemp(task)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(base / "cache"))
        given: Any = {"seeds": (0,), "controls": False, "include_path": [PLUGINS], **options}
        call = prepare(["kmeans"], task, base / "run", given)
        return measure_again(call.groups[-1], call.resources(silent))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Again]:
    return measured(tmp_path_factory, "toy_world")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Again]:
    return measured(tmp_path_factory, "toy_task")


def looking_at(of: Callable[[Parts], float]) -> Metric:
    """Return a metric that reads what it must not."""

    def value(parts: Parts, w: Array) -> Array:
        return constant(w, of(parts))

    return replace(get_metric("dead_frac"), name="looks", needs=(), value=value)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_worlds_do_not_see_orders(world: Again, name: str) -> None:
    check = permutation(get_metric(name), world)
    assert check.passed is True
    assert check.value is not None


def test_a_metric_that_reads_one_latent_is_caught(world: Again) -> None:
    check = permutation(looking_at(lambda parts: float(parts["fires"] @ np.arange(parts["fires"].size))), world)
    assert check.passed is False
    assert (check.reason or "").startswith("most: latents of kmeans")


def test_a_metric_that_reads_one_document_is_caught(world: Again) -> None:
    check = permutation(looking_at(lambda parts: float(parts["se"][0])), world)
    assert check.passed is False
    assert (check.reason or "").startswith("most: documents, kmeans")


def test_a_world_has_no_batches(world: Again) -> None:
    check = batch_size(get_metric("fvu"), world)
    assert check.passed is None
    assert "no language model" in (check.reason or "")


@pytest.mark.parametrize("name", ["fvu", "l0", "kl_splice"])
def test_metrics_of_a_language_model_do_not_see_batches(model: Again, name: str) -> None:
    assert len(model.batches) == 1
    assert batch_size(get_metric(name), model).passed is True
    assert permutation(get_metric(name), model).passed is True


def test_a_value_that_another_batch_size_moves_is_caught(model: Again) -> None:
    ((name, before, after),) = model.batches
    moved = replace(model, batches=((name, before, {**after, "se": after["se"] * 1.001}),))
    assert batch_size(get_metric("fvu"), moved).passed is False


def test_a_value_that_is_lost_is_caught(model: Again) -> None:
    ((name, before, after),) = model.batches
    lost = replace(model, batches=((name, before, {k: v for k, v in after.items() if k != "se"}),))
    assert batch_size(get_metric("fvu"), lost).passed is False


def test_what_was_not_run_is_left_open() -> None:
    for check in (permutation(get_metric("fvu"), None), batch_size(get_metric("fvu"), None)):
        assert check.passed is None
        assert check.reason == "nothing was measured again: records alone were read"


def test_reordered_latents_are_the_same_dictionary_and_document_codes_stay_in_front() -> None:
    x_ND, doc_N = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(200, dtype=torch.int64)
    inner = fitted("random_dictionary", x_ND, Setting(8, 12, 3, 0), 1)
    inner.shared = 4
    other = Reordered(inner)
    z_NF, zz_NF = inner.encode(x_ND, doc_N), other.encode(x_ND, doc_N)
    assert not torch.equal(z_NF, zz_NF)
    assert sorted(other.order_F[:4].tolist()) == [0, 1, 2, 3]
    assert torch.equal(inner.decode(z_NF), other.decode(zz_NF))
    assert torch.allclose(zz_NF @ other.directions(), z_NF @ inner.directions(), atol=1e-6)
