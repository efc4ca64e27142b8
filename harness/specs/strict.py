"""What every spec is made of: a strict base and the plain types of values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(gt=0)]
# What every library that is seeded takes.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Level = Annotated[float, Field(allow_inf_nan=False)]


class Strict(BaseModel):
    """Base of every spec: frozen, no unknown keys, no silent conversion of words to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
