"""The loop: schedule, order of rules, progress, failure, random streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from harness.api import ArrayActivations, silent
from harness.errors import CellError
from harness.training import loop
from harness.training.loop import Moment, Optim, Rule, descend, steps_of, stream
from harness.training.rules import UnitRows

OPTIM = Optim(lr=0.1, batch=4, warmup=0.1, decay=0.2, clip=1e9)


class Line:
    """Fits ``w`` to the batches' mean; a stand-in that shows what the loop does."""

    def __init__(self, bad_at: int = -1) -> None:
        self.w = nn.Parameter(torch.zeros(()))
        self.bad_at = bad_at

    def parameters(self) -> Iterator[nn.Parameter]:
        return iter([self.w])

    def loss(self, batch: Tensor, moment: Moment) -> Tensor:
        error = (self.w - batch.mean()).square()
        return error * torch.nan if moment.step == self.bad_at else error


def test_schedule_rises_stays_and_falls() -> None:
    factors = [OPTIM.factor(Moment(step, 100)) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[50] == factors[80] == 1.0
    assert factors[90] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.05)
    assert OPTIM.factor(Moment(0, 1)) == 1.0


def test_descends_to_the_mean() -> None:
    line = Line()
    final = descend(line, (), [torch.full((4,), 3.0)] * 200, 200, OPTIM, silent)
    assert float(line.w.detach()) == pytest.approx(3.0, abs=1e-2)
    assert final < 1e-2


def test_rules_run_before_and_after_every_step() -> None:
    seen: list[tuple[str, int, bool]] = []
    line = Line()

    class Watch(Rule):
        def before(self, moment: Moment) -> None:
            seen.append(("before", moment.step, line.w.grad is not None))

        def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
            seen.append(("after", moment.step, "exp_avg" in adam.state[line.w]))

    descend(line, (Watch(),), [torch.ones(4)] * 2, 2, OPTIM, silent)
    assert seen == [("before", 0, True), ("after", 0, True), ("before", 1, True), ("after", 1, True)]


def test_progress_ends_at_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPORT_EVERY_S", 0.0)
    told: list[tuple[str, int, int]] = []
    descend(Line(), (), [torch.ones(4)] * 3, 3, OPTIM, lambda *said: told.append(said))
    assert told == [("fit", 1, 3), ("fit", 2, 3), ("fit", 3, 3)]


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(CellError, match="the loss is nan at step 3 of 3; a lower lr may help"):
        descend(Line(bad_at=2), (), [torch.ones(4)] * 3, 3, OPTIM, silent)


def test_gradient_is_clipped() -> None:
    line = Line()
    seen: list[float] = []

    class Watch(Rule):
        def before(self, moment: Moment) -> None: ...

        def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
            seen.append(float(adam.state[line.w]["exp_avg"].abs()) / 0.1)  # beta1 = .9

    descend(line, (Watch(),), [torch.full((4,), 1e6)], 1, Optim(0.1, 4, 0.0, 0.0, 1.0), silent)
    assert seen[0] == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(("rows", "batch"), [(10, 4), (12, 4), (3, 4), (4, 4)])
def test_steps_are_what_the_batches_are(rows: int, batch: int) -> None:
    x = ArrayActivations(torch.zeros(rows, 2))
    assert len(list(x.batches(batch, 3, seed=0))) == steps_of(x, batch, 3)


def test_streams_differ_by_name_and_seed() -> None:
    assert len({stream(seed, name) for seed in (0, 1) for name in ("weights", "order")}) == 4
    assert stream(0, "weights") == stream(0, "weights")


def test_unit_rows_keeps_norms_and_takes_out_what_only_changes_them() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = nn.Parameter(nn.functional.normalize(torch.randn(5, 3, generator=generator), dim=1))
    rows.grad = torch.randn(5, 3, generator=generator)
    rule, moment = UnitRows(rows), Moment(0, 1)
    rule.before(moment)
    torch.testing.assert_close((rows.grad * rows).sum(1), torch.zeros(5))
    with torch.no_grad():
        rows.mul_(3)
    rule.after(moment, torch.optim.Adam([rows]))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))
