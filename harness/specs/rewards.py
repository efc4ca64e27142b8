"""What a task says of the control of a reward."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.specs.strict import Strict

Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RewardControl(Strict):
    """Every arm is run twice: without a penalty, and with one that keeps the policy near the decoder it starts from."""

    beta: Above = Field(default=0.3, description="weight of the penalty, where there is one")
    margin: Above = Field(
        default=0.02, description="nats per token; a change that is shown to be smaller counts as none"
    )
