"""How close a reconstruction is to the activations: ratios of pooled sums, never means of ratios."""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, Parts, metric, ratio

RECONSTRUCTION = ("reconstruction", "domains")
DICTIONARIES = ("reconstruction", "domains", "world")
_NO_TOKENS = "no tokens were kept"
_NO_VARIANCE = "the activations do not vary"


def _spread(w: Array, squares: Array, gram: Array, n: Array) -> Array:
    """Return ``sum_c w_c squares_c - ||sum_c w_c v_c||^2 / n`` for vectors ``v_c`` known by their Gram matrix.

    The mean is thereby derived again in every resample, and nothing of the activations' width has to be kept.
    """
    length2 = ((w @ gram) * w).sum(-1)
    spread: Array = w @ squares - length2 / np.where(n > 0, n, 1.0)
    return spread


def _fvu(w: Array, error: Array, squares: Array, gram: Array, n: Array) -> Array:
    # Rounding leaves about 1e-16 of the sum of squares where the activations are constant: that is no variance.
    return ratio(error, _spread(w, squares, gram, n), _NO_VARIANCE, above=1e-12 * (w @ squares))


@metric(
    unit="1",
    direction="down",
    formula="fvu = Σ‖x−x̂‖² / Σ‖x−x̄‖²",
    needs=("n", "se", "sxx", "x_gram"),
    tracks=DICTIONARIES,
    source="1 - R^2; EleutherAI/sparsify sparse_coder.py (there per batch); SAELens PR #665",
    null="mean_only: about 1; identity: 0",
)
def fvu(parts: Parts, w: Array) -> Array:
    """Fraction of variance unexplained: squared error over the squared distance of the activations from their mean.

    ``sum ||x - xhat||^2 / sum ||x - xbar||^2``, ``xbar`` the mean of the tokens that are scored. Above 1 is legal:
    worse than predicting the mean. ``w [..., C] -> [...]``. Not computable where the activations do not vary.
    """
    return _fvu(w, w @ parts["se"], parts["sxx"], parts["x_gram"], w @ parts["n"])


@metric(
    unit="1",
    direction="down",
    formula="fvu_centred = Σ‖e−ē‖² / Σ‖x−x̄‖², e = x−x̂",
    needs=("n", "se", "e_gram", "sxx", "x_gram"),
    tracks=DICTIONARIES,
    source="saprmarks/dictionary_learning evaluation.py (frac_variance_explained)",
    null="mean_only: 1; identity: 0; forgives a constant offset",
)
def fvu_centred(parts: Parts, w: Array) -> Array:
    """Fraction of variance unexplained after the mean error is taken away, so that a constant offset costs nothing.

    ``sum_j Var(e_j) / sum_j Var(x_j)`` with ``e = x - xhat``; at most ``fvu``. ``w [..., C] -> [...]``. Not computable
    where the activations do not vary.
    """
    n = w @ parts["n"]
    error = np.maximum(_spread(w, parts["se"], parts["e_gram"], n), 0.0)
    return _fvu(w, error, parts["sxx"], parts["x_gram"], n)


@metric(
    unit="1",
    direction="down",
    formula="fvu_inlier = Σ‖x−x̂‖² / Σ‖x−x̄‖², over tokens with ‖x‖ ≤ 10 · median ‖x‖",
    needs=("n_in", "se_in", "sxx_in", "x_gram_in"),
    tracks=RECONSTRUCTION,
    source="fvu under the outlier rule of saprmarks/dictionary_learning pytorch_buffer.py",
    null="mean_only: about 1; identity: 0",
)
def fvu_inlier(parts: Parts, w: Array) -> Array:
    """Fraction of variance unexplained over tokens whose norm is at most 10 times the median norm.

    The formula of ``fvu``; a gap between the two says that a few huge activations carry the variance.
    ``w [..., C] -> [...]``. Not computable where those tokens do not vary.
    """
    return _fvu(w, w @ parts["se_in"], parts["sxx_in"], parts["x_gram_in"], w @ parts["n_in"])


@metric(
    unit="activation^2/token",
    direction="down",
    formula="se_token = mean over tokens of ‖x−x̂‖²",
    needs=("n", "se"),
    tracks=DICTIONARIES,
    source="standard; not the 'mse' of SAEBench 0.6.0, which divides by the tokens of a batch once more",
    null="mean_only: the total variance; identity: 0",
    within_model=True,
)
def se_token(parts: Parts, w: Array) -> Array:
    """Squared error of a token, summed over the width; depends on scale, so compare within one site only.

    ``mean_n sum_j (x_nj - xhat_nj)^2``. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["se"], w @ parts["n"], _NO_TOKENS)


@metric(
    unit="activation^2",
    direction="down",
    formula="mse_elem = Σ‖x−x̂‖² / (tokens · width)",
    needs=("n", "se", "width"),
    tracks=DICTIONARIES,
    source="torch.nn.MSELoss",
    null="mean_only: the mean variance of an element; identity: 0",
    within_model=True,
)
def mse_elem(parts: Parts, w: Array) -> Array:
    """Mean squared error of one element of the activations, in the model's own units.

    ``mean_nj (x_nj - xhat_nj)^2``, i.e. ``se_token`` over the width. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["se"], (w @ parts["n"]) * parts["width"], _NO_TOKENS)


@metric(
    unit="1",
    direction="down",
    formula="mse_elem_norm = Σ‖x−x̂‖² / Σ‖x‖²",
    needs=("se", "x2"),
    tracks=DICTIONARIES,
    source="torch.nn.MSELoss on inputs scaled to unit mean square (saprmarks/dictionary_learning)",
    null="zero reconstruction: 1; identity: 0",
)
def mse_elem_norm(parts: Parts, w: Array) -> Array:
    """Mean squared error of an element when the activations are scaled to unit mean square.

    ``sum ||x - xhat||^2 / sum ||x||^2``: the scale cancels. ``w [..., C] -> [...]``. Not computable where all are 0.
    """
    return ratio(w @ parts["se"], w @ parts["x2"], "all activations are 0")


@metric(
    unit="1",
    direction="up",
    formula="cosine = mean over tokens of ⟨x, x̂⟩ / (max(‖x‖, 1e-8) · max(‖x̂‖, 1e-8))",
    needs=("n", "cos"),
    tracks=DICTIONARIES,
    source="SAEBench core (cossim), arXiv 2503.09532",
    null="mean_only: depends on the mean's length; zero reconstruction: 0; identity: 1",
)
def cosine(parts: Parts, w: Array) -> Array:
    """Mean cosine between an activation and its reconstruction; a zero reconstruction counts as 0.

    ``mean_n <x, xhat> / (max(||x||, 1e-8) max(||xhat||, 1e-8))``. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["cos"], w @ parts["n"], _NO_TOKENS)


@metric(
    unit="1",
    direction="target",
    formula="rrb = Σ‖x̂‖² / Σ⟨x, x̂⟩",
    needs=("xhat2", "xxhat"),
    tracks=DICTIONARIES,
    source="Gated SAE, arXiv 2404.16014, Eq. 10",
    null="identity: 1; below 1 is shrinkage",
)
def rrb(parts: Parts, w: Array) -> Array:
    """Relative reconstruction bias: the number to divide reconstructions by so that their scale is unbiased; aim for 1.

    ``E||xhat||^2 / E<x, xhat>``, pooled. ``w [..., C] -> [...]``. Not computable where ``E<x, xhat> <= 0``.
    """
    reason = "reconstructions do not point along the activations (the mean of <x, xhat> is not above 0)"
    return ratio(w @ parts["xhat2"], w @ parts["xxhat"], reason, above=0.0)
