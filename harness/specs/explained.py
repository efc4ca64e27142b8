"""The data file of an explained text: everything its page shows, without the model and without the method."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

EXPLAINED_SCHEMA = 1


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Guess(_Plain):
    """A next token with its probability.

    Attributes:
        text: the token; None for all tokens together that a task does not tell apart.
        id: its id; None for the same.
        p: probability.
        beside: the language model's probability of the same, where a decoder's prediction is explained.
    """

    text: str | None
    id: int | None
    p: float
    beside: float | None = None


class Prediction(_Plain):
    """The likeliest next tokens, and the entropy (nats) of the whole distribution."""

    top: list[Guess]
    entropy: float


class Token(_Plain):
    """A piece of a label: ``kind`` is token, before, after, bigram or class."""

    kind: str
    text: str


class NamedLatent(_Plain):
    """A latent that an explanation names, and whether it is said to speak for the prediction."""

    latent: int
    supports: bool


class ActiveLatent(_Plain):
    """A latent that is active where the prediction is made.

    Attributes:
        index: its number in the dictionary.
        activation: the code times the norm of its decoder row.
        effect: what ``M`` loses where it alone is set to 0, nats; above 0 it speaks for the prediction.
        share: its part of the sum of all absolute effects; None where that is 0.
        attribution: the code times the slope of ``M``, nats.
        importance: what the method says, in its own unit; None where the order is that of the effects.
        label: words of its lexical label; None where there is none.
        lower: lower end of the 95 % interval of the label's balanced accuracy.
    """

    index: int
    activation: float
    effect: float
    share: float | None
    attribution: float
    importance: float | None
    label: list[Token] | None
    lower: float | None


class Lost(_Plain):
    """Nats that ``M`` loses: by the explanation's order, by random orders, by the order of the exact effects.

    ``least`` and ``most`` are the ends of the random orders' values, ``random`` is their mean.
    """

    own: float
    random: float
    least: float
    most: float
    ceiling: float


class Step(_Plain):
    """The first latents of an order: how many they are, and what ``M`` loses without them, and with them alone."""

    percent: int
    latents: int
    comp: Lost
    suff: Lost


class Faithfulness(_Plain):
    """How far an explanation's order of latents is that in which they matter.

    Attributes:
        steps: by share of the active latents.
        comp: means over the steps; more is better.
        suff: the same of what is lost with the first latents alone; less is better.
        draws: random orders.
        score: (comp − random) / (ceiling − random); None where the exact order is no better than random ones.
        agreement: Spearman correlation of the method's importance with the exact effects; None where it cannot be told.
        mass10: share of all absolute effects that the ten largest hold.
        uniform10: the same were all active latents alike.
        named: share of all absolute effects that the named latents hold.
        best: the same of as many latents of largest effect.
        right: how many named latents have the effect that is said: for, or against.
        named_effect: effects of the first five named latents, counted as they are said to be, over the sum of the five
            largest absolute effects.
    """

    steps: list[Step]
    comp: Lost
    suff: Lost
    draws: int
    score: float | None
    agreement: float | None
    mass10: float
    uniform10: float
    named: float
    best: float
    right: int
    named_effect: float


class Explained(_Plain):
    """One prediction.

    Attributes:
        position: index of the token that predicts.
        prediction: of that whose prediction is explained.
        model: the language model's own, where a decoder's is explained.
        full: ``M``, nats.
        none: ``M`` with every active latent set to 0.
        left_out: share of the activation's squared distance from the mean that the dictionary does not give back.
        latents: active ones, the largest absolute effect first.
        sentence: the explanation in words.
        faithfulness: None where no latent is active, or none has an effect.
    """

    position: int
    prediction: Prediction
    model: Prediction | None
    full: float
    none: float
    left_out: float
    latents: list[ActiveLatent]
    sentence: list[str | NamedLatent]
    faithfulness: Faithfulness | None


class Labels(_Plain):
    """Where the labels of latents come from.

    Attributes:
        source: data file of the feature page, from the folder of this file; None where there is none.
        page: the feature page, in the same way; None where it is not there.
        command: what makes labels, where there are none; None where no task would.
        layer: the block, as the feature page counts it.
    """

    source: str | None
    page: str | None
    command: str | None
    layer: int


class ExplainedFile(_Plain):
    """A text, and the explanation of each prediction that was asked for.

    Attributes:
        whose: whose log-probability ``M`` is: the language model's, or a decoder's over codes.
        tokens: of the text as it was read, and what the language model itself says next, one for each prediction.
        given: how many of them were given.
        reading: in words, how the text was put to the model.
        task_by_default: whether no task was named.
    """

    schema_version: int = EXPLAINED_SCHEMA
    method: dict[str, Any]
    dictionary: dict[str, Any]
    task: dict[str, Any]
    task_by_default: bool
    model: dict[str, Any]
    seed: int
    whose: Literal["model", "decoder"]
    text: str
    reading: str
    tokens: list[str]
    given: int
    explained: list[Explained]
    labels: Labels
    notes: list[str]
    version: str
    commit: str | None
    command: str
    made: str
    seconds: float
