"""What a task says of the questions it asks the language model itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.specs.strict import Count, Pattern, Strict, each_once

Text = Annotated[str, Field(min_length=1)]


class Written(Strict):
    """An answer that the model writes, likeliest token by likeliest token, and how it is judged."""

    max_tokens: Count = Field(description="tokens of an answer at most")
    until: tuple[Text, ...] = Field(default=(), description="strings that end an answer; they are no part of it")
    extract: Pattern | None = Field(
        default=None,
        description="regular expression: its last match in an answer, or the first group that is not empty in it, is "
        "what is judged; the whole answer where it is absent",
    )
    ignore: tuple[Pattern, ...] = Field(
        default=(), description="regular expressions: what they match is taken out of both sides before they are judged"
    )
    judge: Literal["exact", "words"] = Field(
        default="exact",
        description="exact: right where it equals the label, whatever the case of its letters; words: exact match and "
        "F1 of words with the best of the label's lines, as SQuAD normalises them",
    )

    @model_validator(mode="after")
    def _words_are_normalised(self) -> Written:
        if self.judge == "words" and self.ignore:
            raise ValueError("judge 'words' says itself what is ignored: take 'ignore' out")
        return self


class Borrowed(Strict):
    """A task of lm-eval: it writes the prompts, with examples before them, asks, and scores what is answered."""

    name: Text = Field(description="a task of lm-eval's registry, or the path of a YAML file as it has them")
    shots: Annotated[int, Field(ge=0)] = Field(description="examples before each question")
    examples: Text | None = Field(
        default=None, description="split of the data that they are drawn from; absent where the task brings its own"
    )
    score: Text | None = Field(
        default=None,
        description="which of its metrics says, by 1 or 0, that an answer is right; absent where none does",
    )
    filter: Text | None = Field(
        default=None, description="which of its filters is kept; its first where this is absent"
    )
    max_tokens: Count | None = Field(
        default=None, description="tokens of a written answer, where not as many as it says"
    )


class Ask(Strict):
    """How the question that a text ends in is answered; the task's label says what is right."""

    choices: Annotated[tuple[Text, ...], Field(min_length=2), AfterValidator(each_once)] | None = Field(
        default=None, description="the likeliest of these, each behind a space, is the answer; one is the label"
    )
    written: Written | None = Field(default=None, description="the model writes the answer, in place of 'choices'")
    gold: Text | None = Field(
        default=None,
        description="Jinja2 template over a row's columns: the answer, as it follows the text, whose log-likelihood is "
        "taken where answers are written; of 'choices' it is the right one's",
    )
    lm_eval: Borrowed | None = Field(
        default=None,
        description="a task of lm-eval, in place of all else: text, label, 'choices', 'written' and 'gold'",
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> Ask:
        if self.lm_eval is not None:
            if self.choices or self.written or self.gold:
                raise ValueError("'lm_eval' asks by itself: take out 'choices', 'written' and 'gold'")
            return self
        if (self.choices is None) == (self.written is None):
            raise ValueError("give exactly one of 'choices' (the likeliest is taken) and 'written' (the model writes)")
        if (self.written is None) != (self.gold is None):
            raise ValueError("'gold' goes with 'written' answers, and these with it; of 'choices' it is the label")
        return self
