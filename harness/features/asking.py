"""A call of a judge, checked before any model loads."""

from __future__ import annotations

from dataclasses import dataclass

from harness.content import cache_dir
from harness.errors import UserError
from harness.features.endpoint import Endpoint, Patience, check_url, key_given


@dataclass(frozen=True)
class Rules:
    """What decides which questions are asked.

    Attributes:
        examples: windows a question shows (delphi's default).
        temperature, max_tokens: of every answer.
        seed: of the sample of latents, of the order of windows, and of wrong highlights.
    """

    examples: int = 5
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int = 0


@dataclass(frozen=True)
class Asked:
    """A call of a judge, checked as far as it can be without asking it.

    Attributes:
        url: where questions are posted; in no file and no message beyond its host.
        model: the judge, by the name the endpoint knows it by.
        latents: how many latents of a layer are drawn.
        also: latents that are judged besides, in every layer.
        rules: what decides the questions.
    """

    url: str
    model: str
    latents: int
    also: tuple[int, ...]
    rules: Rules = Rules()

    def endpoint(self, patience: Patience | None = None) -> Endpoint:
        """Return the endpoint with its answers so far."""
        body = {"model": self.model, "temperature": self.rules.temperature, "max_tokens": self.rules.max_tokens}
        return Endpoint(self.url, body, cache_dir() / "judge", key_given(), patience)


def check_judge(url: str | None, model: str | None, latents: int, also: tuple[int, ...]) -> Asked | None:
    """Return what a judge is to be asked, or None without one; raises ``UserError`` before any model loads."""
    if url is None:
        if model is not None or also:
            raise UserError("--judge-model and --judge-also need --judge URL, the endpoint that is asked.")
        return None
    if model is None or not model.strip():
        raise UserError("--judge: --judge-model NAME is needed, the model's name at that endpoint.")
    address = check_url(url)
    key_given()
    return Asked(address, model.strip(), latents, tuple(dict.fromkeys(also)))
