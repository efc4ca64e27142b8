"""What a task says about the answers it asks to be judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from harness.specs.strict import Count, Strict


class Positions(Strict):
    """Where in an answer activations are read."""

    prompt: bool = Field(default=True, description="the last token before the answer")
    first: Annotated[int, Field(ge=0)] = Field(default=0, description="that many tokens from the answer's first one")
    even: Annotated[int, Field(ge=0)] = Field(
        default=0, description="that many tokens evenly spaced over the answer, the last one its last"
    )

    @model_validator(mode="after")
    def _some(self) -> Positions:
        if not self.names:
            raise ValueError("give at least one position")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Name every position, in the order they are read."""
        first = tuple(f"answer {i + 1}" for i in range(self.first))
        even = tuple(f"{i + 1}/{self.even} of the answer" for i in range(self.even))
        return (("prompt end",) if self.prompt else ()) + first + even


class Answers(Strict):
    """The answers: given as text with the problems."""

    given: str = Field(description="Jinja2 template over a row's columns: the answer, as it follows the text")
    right: str = Field(default="right", description="the label of a right answer; any other names a kind of error")
    positions: Positions = Positions(prompt=True, first=3)
    least: Count = Field(default=20, description="answers of each class below which a task is refused")
