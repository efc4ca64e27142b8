"""Student's t: the two functions tables need, without ``scipy.stats``, whose import takes longer than a small board."""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.metrics.contract import Array


def t_tail(t: Array | float, df: Array | float) -> Array:
    """Return ``P(T > t)``, as ``scipy.stats.t.sf`` does."""
    found: Array = special.stdtr(df, -t)
    return found


def t_quantile(tail: Array | float, df: Array | float) -> Array:
    """Return the ``t`` with ``P(T > t) = tail``, as ``scipy.stats.t.isf`` does; infinite for a tail of 0."""
    found: Array = np.where(np.asarray(tail) > 0, -special.stdtrit(df, tail), np.inf)
    return found
