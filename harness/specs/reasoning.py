"""What a task may ask of the track that scores latents against a vocabulary of reasoning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.specs.strict import Count, Strict

Level = Annotated[float, Field(gt=0, lt=1)]


class Word(Strict):
    """One entry of a vocabulary with the exact texts that count as it."""

    word: str = Field(min_length=1, description="its name")
    forms: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="texts that count, spaces included")


# arXiv 2503.18878v2, Appendix A.1: the lower-case forms of the last two are mostly not reasoning.
PAPER: tuple[str | Word, ...] = (
    "alternatively", "hmm", "maybe", "wait", "perhaps", "let me", "therefore", "however",
    Word(word="but", forms=("But",)), Word(word="another", forms=("Another",)),
)  # fmt: skip
KEYWORDS = (
    "reason", "think", "because", "why", "if", "consider", "therefore", "hence", "logic", "conclude", "analyze",
    "inference",
)  # fmt: skip


class Vocabulary(Strict):
    """The words of reasoning: written here, or in a file of keywords, or in a file of token ids."""

    words: Annotated[tuple[str | Word, ...], Field(min_length=1)] = Field(
        default=PAPER, description="a plain word counts in lower case and capitalised, with and without a space before"
    )
    file: str | None = Field(
        default=None, description="text file, one word a line, or a word and its exact forms separated by tabs"
    )
    token_ids: str | None = Field(default=None, description="JSON file {word: [[id, …], …]}")

    @model_validator(mode="after")
    def _one_source(self) -> Vocabulary:
        given = self.model_fields_set & {name for name in ("words", "file", "token_ids") if getattr(self, name)}
        if len(given) > 1:
            raise ValueError(f"give one of 'words', 'file' and 'token_ids', not {' and '.join(sorted(given))}")
        return self

    @property
    def path(self) -> str | None:
        """The file the words are in, where they are in one."""
        return self.file or self.token_ids


Strategy = Literal["prepend", "intersperse", "replace"]


class Injection(Strict):
    """Falsification by token injection (arXiv 2601.05679): a latent's top tokens put into text that does not reason."""

    latents: Count = Field(default=20, description="how many latents are tested: the best on the validation split")
    texts: Annotated[int, Field(ge=2)] = Field(
        default=48, description="plain texts; with 48 an effect of .41 has p = .05"
    )
    length: Annotated[int, Field(ge=4, le=256)] = Field(default=32, description="tokens of each")
    tokens: Count = Field(default=3, description="tokens injected into a text")
    top_tokens: Count = Field(default=10, description="drawn from this many with the largest mean activation")
    min_occurrences: Count = Field(default=5, description="occurrences a top token needs in the validation split")
    strategies: Annotated[tuple[Strategy, ...], Field(min_length=1)] = Field(
        default=("intersperse",), description="ways of injecting; the largest effect of them counts"
    )

    @model_validator(mode="after")
    def _room(self) -> Injection:
        if self.tokens >= self.length:
            raise ValueError(f"tokens ({self.tokens}) must be below length ({self.length})")
        return self


class Reasoning(Strict):
    """Vocabulary, windows, nulls and falsification."""

    vocabulary: Vocabulary = Vocabulary()
    keywords: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=KEYWORDS, description="words of rs_ratio and rs_topk, in all four forms"
    )
    window: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        default=(2, 3), description="tokens before and after each token of a word; the released script has 1, 2"
    )
    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(default=0.7, description="power of the entropy")
    min_occurrences: Count = Field(default=30, description="a word that occurs less often in the test split is dropped")
    top_n: Count | None = Field(default=None, description="latents selected; max(20, 0.3 % of them) where null")
    shifts: Annotated[int, Field(ge=100)] = Field(default=1000, description="circular shifts of every document")
    level: Level = Field(default=0.05, description="family-wise error of the latents that pass")
    random_vocabularies: Count = Field(default=3, description="frequency-matched random vocabularies")
    top_k: Count = Field(default=10, description="latents of a prompt that rs_topk looks at")
    min_firings: Count = Field(default=20, description="firings in the test split below which a latent is not scored")
    min_density: Level = Field(default=1e-4, description="share of tokens, likewise")
    min_prompts: Count = Field(default=5, description="prompts in which a latent must be seen, likewise")
    lengths: tuple[Count, ...] = Field(default=(), description="sweep: score the first so many tokens of each document")
    top_ks: tuple[Count, ...] = Field(default=(), description="sweep: rs_topk with these k as well")
    injection: Injection = Injection()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(default=0, description="seed of shifts, vocabularies and texts")
