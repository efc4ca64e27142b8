"""What every spec is made of: a strict base and the types of single values."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

T = TypeVar("T", bound=tuple[Any, ...])


def each_once(values: T) -> T:
    """Return the values; raises ``ValueError`` where one is listed twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is listed twice")
    return values


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' must be a regular expression: {error}") from None
    return pattern


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(gt=0)]
Role = Literal["ceiling", "floor", "derived"]
Names = Annotated[tuple[str, ...], AfterValidator(each_once)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compiled)]
# What every library that is seeded takes.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Level = Annotated[float, Field(allow_inf_nan=False)]


class Strict(BaseModel):
    """Base of every spec: frozen, no unknown keys, no silent conversion of words to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
