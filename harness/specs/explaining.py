"""What a task says of the predictions that are explained."""

from __future__ import annotations

from pydantic import Field

from harness.specs.strict import Count, Strict


class Explaining(Strict):
    """Predictions are drawn at random, as evenly over sequences as can be."""

    predictions: Count = Field(default=200, description="of the test split, that explanations are measured on")
    train_predictions: Count = Field(default=600, description="of the train split, that a method may learn from")
