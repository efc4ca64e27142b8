"""The controls do exactly what their names say."""

from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor
from worlds import build, codes, fit, fitted, fvu, l0, reconstruction, superposed, uses

from harness.api import Dictionary, Setting

SETTING = Setting(width=16, latents=64, l0=4, seed=0)


@pytest.fixture(scope="module")
def topk() -> Dictionary:
    return fitted("topk", superposed(4096, 16), SETTING, 6)


def test_identity_reconstructs_exactly() -> None:
    x_ND = superposed(50, 16)
    method = fitted("identity", x_ND, SETTING, 1)
    assert torch.equal(reconstruction(method, x_ND), x_ND)
    assert l0(method, x_ND) == 16
    assert method.parameter_count() == 0


def test_mean_only_leaves_the_whole_variance() -> None:
    x_ND = superposed(500, 16)
    method = fitted("mean_only", x_ND, SETTING, 1)
    assert fvu(method, x_ND) == pytest.approx(1.0, abs=1e-6)
    assert l0(method, x_ND) == 0


def test_pca_leaves_the_tail_of_the_eigenvalues() -> None:
    x_ND = superposed(2000, 16) + 5
    method = fitted("pca", x_ND, SETTING, 1)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x_ND.double().T))
    assert fvu(method, x_ND) == pytest.approx(float(eigenvalues[:-4].sum() / eigenvalues.sum()), abs=1e-6)
    assert method.summary()["explained"] == pytest.approx(1 - fvu(method, x_ND), abs=1e-6)


def test_pca_is_scikit_learns() -> None:
    x_ND = superposed(2000, 16) + 5
    method, peer = fitted("pca", x_ND, SETTING, 1), PCA(4).fit(x_ND.double().numpy())
    xhat_ND = peer.inverse_transform(peer.transform(x_ND.double().numpy()))
    torch.testing.assert_close(reconstruction(method, x_ND).double(), torch.from_numpy(xhat_ND), atol=1e-4, rtol=1e-4)
    cosine_K = (method.directions().double() * torch.from_numpy(peer.components_)).sum(1).abs()
    torch.testing.assert_close(cosine_K, torch.ones(4, dtype=torch.float64), atol=1e-5, rtol=0)


def test_pca_has_at_most_as_many_components_as_dimensions() -> None:
    x_ND = superposed(100, 16)
    method = fitted("pca", x_ND, Setting(16, 64, 40, 0), 1)
    assert method.directions().shape == (16, 16)
    assert fvu(method, x_ND) < 1e-9


def test_random_dictionary_matches_l0_and_shrinks_to_least_squares() -> None:
    method = fit(build("random_dictionary", SETTING), superposed(4000, 16, seed=1), 1)
    unseen_ND = superposed(4000, 16, seed=2)
    assert l0(method, unseen_ND) == pytest.approx(4, rel=0.05)
    centred_ND = unseen_ND - method.mean
    guess_ND = reconstruction(method, unseen_ND) - method.mean
    assert float((centred_ND * guess_ND).sum() / guess_ND.square().sum()) == pytest.approx(1.0, abs=0.02)
    assert 0.2 < fvu(method, unseen_ND) < 1.0


def test_random_dictionary_is_worse_than_a_trained_one(topk: Dictionary) -> None:
    x_ND = superposed(1000, 16, seed=2)
    assert fvu(topk, x_ND) < 0.7 * fvu(fitted("random_dictionary", superposed(4096, 16), SETTING, 1), x_ND)


HALVES = {"frozen_decoder": {"W_dec"}, "frozen_encoder": {"W_enc", "b_enc"}}


@pytest.mark.parametrize("name", HALVES)
def test_a_frozen_half_keeps_its_random_weights_and_the_other_learns(name: str) -> None:
    initial = build(name, SETTING).state()
    method = fitted(name, superposed(4096, 16), SETTING, 2)
    trained = {key for key in ("W_enc", "b_enc", "W_dec") if not torch.equal(method.state()[key], initial[key])}
    assert trained == {"W_enc", "b_enc", "W_dec"} - HALVES[name]


def test_random_init_is_the_untrained_dictionary_at_the_target_l0() -> None:
    x_ND = superposed(4000, 16, seed=1)
    method, initial = fitted("random_init", x_ND, SETTING, 2), build("batchtopk", SETTING).state()
    assert all(torch.equal(method.state()[key], initial[key]) for key in ("W_enc", "b_enc", "W_dec"))
    assert l0(method, superposed(4000, 16, seed=2)) == pytest.approx(4, rel=0.05)
    assert "steps" not in method.summary()


def test_training_either_half_helps_and_both_helps_more() -> None:
    x_ND, unseen_ND = superposed(4096, 16), superposed(1000, 16, seed=2)
    names = ("batchtopk", "frozen_encoder", "frozen_decoder", "random_init")
    both, decoder, encoder, none = (fvu(fitted(name, x_ND, SETTING, 6), unseen_ND) for name in names)
    assert both < 0.9 * min(decoder, encoder)
    assert max(decoder, encoder) < 0.9 * none


def clustered(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows near 8 far-apart centres, and which centre each is near."""
    centre_GD = 10 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    of_N = torch.randint(8, (rows,), generator=generator)
    return centre_GD[of_N] + 0.1 * torch.randn(rows, 16, generator=generator), of_N


def test_kmeans_codes_are_the_nearest_centroid() -> None:
    x_ND = superposed(2000, 16)
    method = fitted("kmeans", x_ND, SETTING, 4)
    centroid_FD = method.directions() + method.mean
    nearest_N = torch.cdist(x_ND.double(), centroid_FD.double()).argmin(1)
    assert torch.equal(codes(method, x_ND), torch.nn.functional.one_hot(nearest_N, 64).float())
    torch.testing.assert_close(reconstruction(method, x_ND), centroid_FD[nearest_N], atol=1e-4, rtol=1e-4)


def test_kmeans_is_close_to_full_k_means() -> None:
    x_ND = superposed(4096, 16)
    peer = KMeans(64, n_init=3, random_state=0).fit(x_ND.numpy())
    best = peer.inertia_ / float((x_ND - x_ND.mean(0)).square().sum())
    assert best * 0.99 < fvu(fitted("kmeans", x_ND, SETTING, 8), x_ND) < best * 1.1


def test_kmeans_tells_planted_clusters_apart() -> None:
    x_ND, of_N = clustered(2000, seed=1)
    latent_N = codes(fitted("kmeans", x_ND, SETTING, 4), x_ND).argmax(1)
    assert all(len(of_N[latent_N == latent].unique()) == 1 for latent in latent_N.unique())


def test_kmeans_takes_fewer_tokens_than_centroids() -> None:
    x_ND = superposed(20, 16)
    method = fitted("kmeans", x_ND, SETTING, 1)
    assert fvu(method, x_ND) < 1e-9
    assert method.directions().shape == (64, 16)


def permuted(of: Dictionary, seed: int = 0) -> Dictionary:
    width, latents = of.directions().shape[::-1]
    return fitted("permuted_decoder", superposed(10, width), Setting(width, latents, 4, seed, uses(of)), 1)


def test_permuted_decoder_keeps_l0_and_ruins_fvu(topk: Dictionary) -> None:
    x_ND = superposed(1000, 16, seed=2)
    method = permuted(topk)
    assert torch.equal(codes(method, x_ND), codes(topk, x_ND))
    assert fvu(topk, x_ND) < 0.4
    assert fvu(method, x_ND) > 1.0


def test_permuted_decoder_moves_every_row_and_keeps_biases(topk: Dictionary) -> None:
    method = permuted(topk)
    rows_FD, own_FD = method.directions(), topk.directions()
    assert not (rows_FD == own_FD).all(1).any()
    torch.testing.assert_close(rows_FD.sort(0).values, own_FD.sort(0).values)
    with torch.no_grad():
        bias_1D = topk.decode(torch.zeros(1, 64))
        assert torch.equal(method.decode(torch.zeros(1, 64)), bias_1D)
        one_1F = torch.zeros(1, 64).index_fill(1, torch.tensor([7]), 1.0)
        torch.testing.assert_close(method.decode(one_1F) - bias_1D, rows_FD[7:8], atol=1e-6, rtol=1e-5)


def test_permuted_decoder_saves_only_its_permutation(topk: Dictionary) -> None:
    method = permuted(topk)
    assert list(method.state()) == ["source"]
    assert method.parameter_count() == 0
    assert not torch.equal(method.state()["source"], permuted(topk, seed=1).state()["source"])


@pytest.mark.parametrize("name", ["identity", "pca", "random_dictionary"])
def test_permuted_decoder_takes_any_dictionary(name: str) -> None:
    x_ND = superposed(1000, 16)
    of = fitted(name, x_ND, SETTING, 1)
    assert fvu(permuted(of), x_ND) > fvu(of, x_ND) + 0.1


def test_permuted_decoder_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="needs a fitted dictionary as 'of', got NoneType"):
        build("permuted_decoder", SETTING)
    with pytest.raises(ValueError, match="of 1 nothing can be exchanged"):
        permuted(fitted("mean_only", superposed(10, 16), SETTING, 1))
