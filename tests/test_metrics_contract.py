from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UserError
from harness.metrics.contract import NotComputableError, all_metrics, get_metric, metric, ratio


def test_a_near_name_is_offered() -> None:
    with pytest.raises(UserError, match="Did you mean 'fvu_centred'"):
        get_metric("fvu_centered")


def test_two_metrics_of_one_name_are_refused() -> None:
    def fvu(parts: object, w: object) -> object:
        return None

    all_metrics()
    with pytest.raises(ValueError, match=r"defined twice: in .*reconstruction and .*contract"):
        metric(unit="1", direction="up", formula="x", needs=(), tracks=(), source="x", null="x")(fvu)  # type: ignore[arg-type]


def test_sign_of_directions() -> None:
    assert get_metric("fvu").sign == -1
    assert get_metric("cosine").sign == 1
    with pytest.raises(ValueError, match="'l0' has direction 'target'"):
        _ = get_metric("l0").sign


def test_ratio_says_why_at_the_point() -> None:
    with pytest.raises(NotComputableError, match="nothing there"):
        ratio(np.array(1.0), np.array(0.0), "nothing there")
    with pytest.raises(NotComputableError, match="the denominator is 0"):
        ratio(np.float64(1.0), np.float64(0.0))  # type: ignore[arg-type]


def test_ratio_gives_nan_without_warning_in_resamples() -> None:
    np.testing.assert_equal(ratio(np.ones(3), np.array([2.0, 0, -1])), [0.5, np.nan, -1])
    np.testing.assert_equal(ratio(np.ones(3), np.array([2.0, 0, -1]), above=0.0), [0.5, np.nan, np.nan])


def test_a_value_that_is_not_finite_has_a_reason() -> None:
    parts = {"n": np.ones(2), "se": np.array([1.0, np.nan])}
    assert get_metric("se_token").point(parts) == (None, "not finite on these data")
