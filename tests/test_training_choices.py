"""What is chosen from data: thresholds, the penalty's coefficient, the centre."""

from __future__ import annotations

import math

import pytest
import torch

from harness.errors import CellError
from harness.training.autoencoder import geometric_median
from harness.training.control import Control, L0Controller
from harness.training.loop import Moment
from harness.training.threshold import MovingThreshold, calibrate, checked

CONTROL = Control(start=0.03, reach=0.2, gain=0.05, prompt=6.0, check=0.04)


def test_calibrated_threshold_passes_exactly_l0_a_row() -> None:
    pre_NF = torch.randn(300, 40, generator=torch.Generator().manual_seed(0))
    pre_NF[:50] += 3  # most of what passes comes first
    threshold = calibrate(pre_NF.split(70), 5, 300)
    assert int((pre_NF > threshold).sum()) == 5 * 300


def test_threshold_is_0_where_too_few_are_positive() -> None:
    pre_NF = torch.tensor([[1.0, -1.0], [-1.5, -2.0]])
    assert calibrate([pre_NF], 1, 2) == 0.0
    assert calibrate([pre_NF], 1, 2, floor=-math.inf) == -1.5


def test_unset_threshold_is_an_error() -> None:
    with pytest.raises(CellError, match="the threshold is not set"):
        checked(torch.tensor(torch.nan))
    assert float(checked(torch.tensor(0.5))) == 0.5


def test_moving_threshold_counts_from_the_first_step() -> None:
    moving = MovingThreshold()
    moving.see(2.0, 100)
    assert moving.value == 2.0
    moving.see(1.0, 100)
    assert moving.value == pytest.approx(0.9 * 2.0 + 0.1 * 1.0)


def test_geometric_median_withstands_an_outlier() -> None:
    x_ND = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    x_ND[0] = 1e4
    assert float(geometric_median(x_ND).norm()) < 0.3 < float(x_ND.mean(0).norm())


@pytest.mark.parametrize("ratio", [1.0, 1.2])
def test_controller_brings_l0_on_val_to_the_target(ratio: float) -> None:
    """A plant whose L0 follows 100 / coefficient with a lag of 20 steps, and is ``ratio`` times higher on val."""
    l0 = 500.0
    controller = L0Controller(CONTROL, 64, 10.0, lambda: ratio * l0)
    for step in range(400):
        coefficient = controller(l0, Moment(step, 400))
        l0 *= (100.0 / coefficient / l0) ** 0.05
    assert ratio * l0 == pytest.approx(64, rel=0.03)
    assert controller.summary()["coefficient"] == pytest.approx(100 * ratio / 64, rel=0.05)


def test_controller_bears_a_code_that_died() -> None:
    controller = L0Controller(CONTROL, 64, 10.0, lambda: 0.0)
    values = [controller(500.0 if step == 0 else 0.0, Moment(step, 100)) for step in range(100)]
    assert all(math.isfinite(value) for value in values)
    assert values[-1] < 0.01
