"""Adjusting p-values for how many questions were asked."""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array


def holm(p: Array) -> Array:
    """Return p-values ``[n]`` adjusted so that the chance of any false rejection is held (family-wise error).

    ``max_{j <= i} min(1, (n - j + 1) p_(j))`` over sorted p-values; holds under any dependence. Source: Holm 1979.
    """
    _check(p)
    order = np.argsort(p, kind="stable")
    scaled = np.minimum(1.0, p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(scaled)
    adjusted[order] = np.maximum.accumulate(scaled)
    return adjusted


def benjamini_hochberg(p: Array) -> Array:
    """Return p-values ``[n]`` adjusted so that the expected share of false rejections is held (false discovery rate).

    ``min_{j >= i} min(1, n / j p_(j))`` over sorted p-values, for exploring many latents. Source: Benjamini and
    Hochberg 1995.
    """
    _check(p)
    order = np.argsort(p, kind="stable")[::-1]
    scaled = np.minimum(1.0, p[order] * (p.size / np.arange(p.size, 0, -1)))
    adjusted = np.empty_like(scaled)
    adjusted[order] = np.minimum.accumulate(scaled)
    return adjusted


def _check(p: Array) -> None:
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p must be one row of numbers from 0 to 1, got shape {p.shape} and values {p.ravel()[:5]}")
