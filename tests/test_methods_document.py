"""Dictionaries with a code per document: on worlds with a planted shared part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor
from worlds import CPU, LIBRARY, build, mcc, uses

from harness.api import ArrayActivations, Dictionary, Setting, Train
from harness.errors import CellError
from harness.testing import planted
from harness.training.document import Batch, DocumentAutoencoder, pooled
from harness.training.loop import Moment

WITH_SHARED = ["shared_unique", "shared_unique_causal", "mean_subtracted", "shared_pca"]
SETTING = Setting(width=32, latents=64, l0=3, seed=0)
MOMENT = Moment(1, 10**6)  # so long a run that nothing counts as dead
RANK = 6  # dimensions of the planted shared part


@dataclass(frozen=True)
class World:
    """``x_t = s_b + u_t``: documents of 24 tokens, shared and unique parts in orthogonal subspaces."""

    x_ND: Tensor
    doc_N: Tensor
    shared_ND: Tensor
    direction_GD: Tensor

    @property
    def rows(self) -> ArrayActivations:
        """As activations."""
        return ArrayActivations(self.x_ND, self.doc_N)


def world(documents: int, seed: int, tokens: int = 24, active: int = 3) -> World:
    axes_DD = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0))).Q
    draw = torch.Generator().manual_seed(seed)
    shared_CD = 2 * torch.randn(documents, RANK, generator=draw) @ axes_DD[:RANK]
    doc_N = torch.arange(documents).repeat_interleave(tokens)
    rows, features = len(doc_N), 32 - RANK
    on_NG = torch.rand(rows, features, generator=draw).topk(active, dim=1).indices
    size_NG = (1 + 0.25 * torch.randn(rows, active, generator=draw)).abs()
    unique_ND = torch.zeros(rows, features).scatter(1, on_NG, size_NG) @ axes_DD[RANK:]
    # what features share on average is everybody's, so it is taken out of the unique part
    return World(shared_CD[doc_N] + unique_ND, doc_N, shared_CD[doc_N], axes_DD[RANK:])


TRAIN, VAL, TEST = world(250, 1), world(60, 2), world(200, 3)


def fit(method: Dictionary, train: World, val: World, passes: int) -> Dictionary:
    method.fit(Train(train.rows, val.rows, passes, CPU))
    return method


def change(name: str, **more: Any) -> dict[str, Any]:
    """Return parameters for this world's rank, where a method takes one."""
    params = {"shared": RANK} if "shared" in LIBRARY.method(name).spec.params else {}
    return {**params, **more}


@pytest.fixture(scope="module")
def fits() -> dict[str, Dictionary]:
    """Every method fitted to the planted world, and BatchTopK for comparison."""
    found = {name: fit(build(name, SETTING, **change(name)), TRAIN, VAL, 20) for name in WITH_SHARED}
    return found | {"batchtopk": fit(build("batchtopk", SETTING), TRAIN, VAL, 20)}


@torch.no_grad()
def codes(method: Dictionary, data: World) -> Tensor:
    return method.encode(data.x_ND, data.doc_N)


@torch.no_grad()
def fvu(method: Dictionary, data: World) -> float:
    error_ND = data.x_ND - method.decode(codes(method, data))
    return float(error_ND.square().sum() / (data.x_ND - data.x_ND.mean(0)).square().sum())


def r2(source_NR: Tensor, target_ND: Tensor) -> float:
    """Share of the variance of a target that a linear map of the source holds, on rows it was not fitted on."""
    half = len(source_NR) // 2
    model = LinearRegression().fit(source_NR[:half].numpy(), target_ND[:half].numpy())
    return float(model.score(source_NR[half:].numpy(), target_ND[half:].numpy()))


def per_document(value_NX: Tensor, data: World) -> Tensor:
    """Return means over the tokens of each document, by a loop."""
    return torch.stack([value_NX[data.doc_N == doc].mean(0) for doc in data.doc_N.unique()])


class TestPooled:
    def test_equals_a_loop(self) -> None:
        x, doc_N = torch.randn(40, 5), torch.tensor([7] * 1 + [3] * 9 + [4] * 30)
        whole, running = pooled(x, doc_N, "document"), pooled(x, doc_N, "running")
        for row in range(40):
            own = [i for i in range(40) if doc_N[i] == doc_N[row]]
            torch.testing.assert_close(whole.mean_KD[whole.of_N[row]], x[own].mean(0))
            so_far = x[[i for i in own if i <= row]].mean(0)
            torch.testing.assert_close(running.mean_KD[running.of_N[row]], so_far)
        assert len(whole.mean_KD) == 3

    def test_a_huge_earlier_document_leaves_no_trace(self) -> None:
        x = torch.cat([1e6 * torch.randn(200, 3), torch.randn(5, 3)])
        doc_N = torch.tensor([0] * 200 + [1] * 5)
        alone = pooled(x[200:], doc_N[200:], "running").mean_KD
        torch.testing.assert_close(pooled(x, doc_N, "running").mean_KD[200:], alone, atol=1e-6, rtol=1e-6)


def toy(name: str) -> tuple[DocumentAutoencoder, Batch]:
    """A dictionary of few latents on 4 dimensions in float64, away from every kink."""
    method = build(name, Setting(4, 8, 2, 0), **({"shared": 2} if name != "mean_subtracted" else {}))
    assert isinstance(method, DocumentAutoencoder)
    method = method.double()
    generator = torch.Generator().manual_seed(1)
    x_ND = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    data = ArrayActivations(x_ND, torch.arange(3).repeat_interleave(4))
    train = Train(data, data, 1, CPU)
    rows_M, means = method._documents(train)
    method._initialise(train, rows_M, means._replace(mean_KD=means.mean_KD.double()))
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return method, Batch(x_ND, pooled(x_ND, data.doc_N, "document").mean_KD.repeat_interleave(4, 0))


@pytest.mark.parametrize("name", ["shared_unique", "mean_subtracted", "shared_pca"])
def test_gradient_equals_finite_differences(name: str) -> None:
    method, batch = toy(name)
    if name == "shared_unique":
        object.__setattr__(method.params, "l1", 0.3)
    method.loss(batch, MOMENT).backward()
    for label, parameter in method.named_parameters():
        flat, gradient = parameter.detach().view(-1), parameter.grad.view(-1)
        for i in range(len(flat)):
            own = float(flat[i])
            sides = []
            for step in (1e-6, -1e-6):
                flat[i] = own + step
                sides.append(float(method.loss(batch, MOMENT).detach()))
            flat[i] = own
            assert float(gradient[i]) == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-6), label


@pytest.mark.parametrize("name", WITH_SHARED)
def test_overfits_64_points(name: str) -> None:
    x_ND = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + 1
    data = World(x_ND, torch.arange(8).repeat_interleave(8), x_ND, x_ND)
    aux_batch = {"coding": {"optim": {"batch": 64}}}
    method = build(name, Setting(16, 144, 8, 0), **aux_batch)
    assert fvu(fit(method, data, data, 600), data) < 0.02


@pytest.mark.parametrize("name", WITH_SHARED)
def test_l0_of_inference_is_that_of_training(name: str, fits: dict[str, Dictionary]) -> None:
    unique_NF = codes(fits[name], TEST)[:, fits[name].shared :]
    assert float((unique_NF != 0).sum()) / len(unique_NF) == pytest.approx(SETTING.l0, rel=0.05)


def test_planted_parts_are_recovered(fits: dict[str, Dictionary]) -> None:
    method = fits["shared_unique"]
    z_NF = codes(method, TEST)
    assert fvu(method, TEST) < 0.03
    assert r2(z_NF[:, :RANK], TEST.shared_ND) > 0.99
    assert mcc(TEST.direction_GD, method.directions()[RANK:]) > 0.9


def test_a_plain_sae_needs_more_latents_for_the_same_fvu(fits: dict[str, Dictionary]) -> None:
    shared, plain = fits["shared_unique"], fits["batchtopk"]
    assert fvu(plain, TEST) > 5 * fvu(shared, TEST)
    richer = fit(build("batchtopk", replace(SETTING, l0=6)), TRAIN, VAL, 20)
    assert fvu(richer, TEST) > fvu(shared, TEST)


def test_the_competitors_explain_what_they_should(fits: dict[str, Dictionary]) -> None:
    """The mean over 24 tokens is the planted part plus a 24th of the unique variance."""
    for name in ("mean_subtracted", "shared_pca"):
        z_NF = codes(fits[name], TEST)
        assert r2(z_NF[:, : fits[name].shared], TEST.shared_ND) > 0.97, name
        assert fvu(fits[name], TEST) < 0.1, name
    z_NF = codes(fits["mean_subtracted"], TEST)
    torch.testing.assert_close(
        z_NF[::24, :32] / fits["mean_subtracted"].scale, per_document(TEST.x_ND, TEST), atol=1e-5, rtol=1e-5
    )


def test_mean_subtraction_alone_leaves_the_variance_within_documents(fits: dict[str, Dictionary]) -> None:
    """With a unique code of nothing, what is left is the within-document variance (and the decoder's bias)."""
    method = fits["mean_subtracted"]
    z_NF = codes(method, TEST)
    z_NF[:, method.shared :] = 0.0
    with torch.no_grad():
        error = float((TEST.x_ND - method.decode(z_NF) + method.b_dec / method.scale).square().sum())
    within = float((TEST.x_ND - per_document(TEST.x_ND, TEST)[TEST.doc_N]).square().sum())
    assert error == pytest.approx(within, rel=1e-5)


@pytest.mark.parametrize("name", WITH_SHARED)
def test_shuffling_destroys_what_the_shared_code_carries(name: str, fits: dict[str, Dictionary]) -> None:
    of = fits[name]
    control = fit(build("shuffled_shared", replace(SETTING, uses=uses(of))), TRAIN, VAL, 1)
    own_NF, z_NF = codes(of, TEST), codes(control, TEST)
    assert torch.equal(own_NF[:, of.shared :], z_NF[:, of.shared :]), "the unique code stays"
    assert r2(z_NF[:, : of.shared], TEST.shared_ND) < 0.05
    # two independent draws of the shared part are as far apart as twice its variance
    share = float(TEST.shared_ND.square().sum() / (TEST.x_ND - TEST.x_ND.mean(0)).square().sum())
    assert fvu(control, TEST) == pytest.approx(2 * share, rel=0.25)
    assert len(control.bank.unique(dim=0)) == len(control.bank)


def test_a_shuffled_document_never_gets_its_own_code(fits: dict[str, Dictionary]) -> None:
    of = fits["shared_pca"]
    control = fit(build("shuffled_shared", replace(SETTING, uses=uses(of))), TRAIN, VAL, 1)
    same_N = (codes(control, TRAIN)[:, :RANK] == codes(of, TRAIN)[:, :RANK]).all(1)
    assert not bool(same_N.any()), "not even where the document itself is among the donors"


def test_shuffling_needs_a_shared_code(fits: dict[str, Dictionary]) -> None:
    with pytest.raises(ValueError, match="with a shared code as 'of', got a BatchTopK without one"):
        build("shuffled_shared", replace(SETTING, uses=uses(fits["batchtopk"])))


def test_nothing_of_the_document_leaks_into_its_unique_code(fits: dict[str, Dictionary]) -> None:
    """A plain SAE's mean code tells the document's mean; beside a shared code there is nothing left to tell."""
    shared_CD = per_document(TEST.shared_ND, TEST)
    plain = r2(per_document(codes(fits["batchtopk"], TEST), TEST), shared_CD)
    assert plain > 0.5
    for name in ("mean_subtracted", "shared_pca", "shared_unique"):
        unique_NF = codes(fits[name], TEST)[:, fits[name].shared :]
        assert r2(per_document(unique_NF, TEST), shared_CD) < 0.1, name


SPECS = {name: LIBRARY.method(name).spec for name in LIBRARY.names("methods")}
PLAIN = [
    name
    for name, spec in SPECS.items()
    if spec.kind == "dictionary" and not spec.derived and not spec.uses and "truth" not in spec.needs
]


@pytest.mark.parametrize("name", PLAIN)
def test_causal_methods_never_look_ahead(name: str) -> None:
    """What the card says: a token's code may depend on later tokens, or not."""
    setting = Setting(width=16, latents=32, l0=4, seed=0)
    method = build(name, setting)
    train = planted(setting, 256, seed=1)
    method.fit(Train(train, train, 1, CPU))
    doc_N = torch.zeros(20, dtype=torch.int64)
    x_ND = train.take(torch.arange(20))
    with torch.no_grad():
        whole_NF, part_NF = method.encode(x_ND, doc_N)[:12], method.encode(x_ND[:12], doc_N[:12])
    same = bool(torch.allclose(whole_NF, part_NF, atol=1e-5))
    assert same == SPECS[name].causal


@pytest.mark.parametrize("name", PLAIN)
def test_the_card_says_whether_there_is_a_shared_code(name: str) -> None:
    assert (build(name, SETTING).shared > 0) == SPECS[name].shared


def test_short_documents_do_not_enter_the_fit() -> None:
    """Documents of 3 tokens, whatever they hold, change nothing."""
    odd = world(40, 9, tokens=3)
    both = World(
        torch.cat([TRAIN.x_ND, odd.x_ND[:, torch.randperm(32)]]),
        torch.cat([TRAIN.doc_N, 1000 + odd.doc_N]),
        TRAIN.shared_ND,
        TRAIN.direction_GD,
    )
    method = build("shared_pca", SETTING, shared=RANK)
    one = fit(build("shared_pca", SETTING, shared=RANK), TRAIN, VAL, 1)
    two = fit(method, both, VAL, 1)
    # scales differ: it is that of all rows; the subspace of the means does not
    overlap = torch.linalg.svdvals(one.components @ two.components.T)
    torch.testing.assert_close(overlap, torch.ones(RANK), atol=1e-5, rtol=0)


def test_documents_that_are_all_short_fail_the_cell() -> None:
    with pytest.raises(CellError, match="no document of the train split has 4 tokens"):
        fit(build("shared_unique", SETTING), world(40, 9, tokens=3), VAL, 1)


def test_a_shared_code_that_leaves_no_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="16 shared latents leave none of 16 for tokens"):
        build("shared_unique", Setting(16, 16, 4, 0))


def test_permuting_the_decoder_keeps_which_latents_are_shared(fits: dict[str, Dictionary]) -> None:
    control = build("permuted_decoder", replace(SETTING, uses=uses(fits["shared_pca"])))
    assert control.shared == RANK
