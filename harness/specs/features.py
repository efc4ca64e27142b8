"""The data file of a feature page: everything the page shows, without the model and without the method."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FEATURES_SCHEMA = 2


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(_Plain):
    """One entry of a lexical label: ``kind`` is token, before, after, bigram or class."""

    kind: str
    text: str
    weight: float


class Detection(_Plain):
    """How well a label tells positives from negatives; ``lower`` ends the 95 % interval of ``balanced``."""

    balanced: float
    lower: float
    auroc: float
    f1: float


class Label(_Plain):
    """A lexical label with its test on other groups (``labelq_lex``).

    ``permuted`` is the balanced accuracy of another latent's label on the same windows, ``ceiling`` that of a
    classifier that sees all words of the window.
    """

    items: list[Item]
    detection: Detection
    fuzzing: Detection
    permuted: float | None
    ceiling: float


class Verdicts(_Plain):
    """What a judge said of the windows a label is tested on, next to the truth.

    Attributes:
        truth: ``1`` or ``0`` a window, in the order asked: whether it is a positive.
        said: ``1``, ``0``, or ``?`` where the judge gave no answer of the form asked for; that counts as wrong.
        balanced, lower, f1: balanced accuracy, the lower end of its 95 % interval, and F1.
        unparsed: share of ``?``.
    """

    truth: str
    said: str
    balanced: float
    lower: float
    f1: float
    unparsed: float


class Judged(_Plain):
    """A label in words that a judge gave a latent, and how well the judge does with it.

    ``label`` is null where the judge gave none in the form asked for, or the latent has too few windows (``reason``).
    ``permuted`` is the detection with another latent's label on the same windows.
    """

    label: str | None
    reason: str | None
    detection: Verdicts | None
    fuzzing: Verdicts | None
    permuted: Verdicts | None


class Rating(_Plain):
    """What a person said of a latent."""

    value: float
    rater: str | None
    comment: str | None


class Context(_Plain):
    """A stretch of text around the largest activation of a latent in a document.

    Attributes:
        kind: among the strongest, or drawn at random.
        document: its id.
        tokens: indices into the file's ``tokens``.
        activations: folded activation of each, 0 where it does not fire or was not measured.
        peak: index of the largest.
        before, after: whether the document goes on.
    """

    kind: Literal["top", "drawn"]
    document: str
    tokens: list[int]
    activations: list[float]
    peak: int
    before: bool
    after: bool


class Reasoning(_Plain):
    """What a ``reasoning`` record says of a latent; null where it has no number."""

    reasonscore: float | None = None
    p: float | None = None
    p_max: float | None = None
    q: float | None = None
    passed: bool | None = None
    rs_ratio: float | None = None
    rs_topk: float | None = None
    injection_d: float | None = None
    injection_class: str | None = None


class Feature(_Plain):
    """One latent. Activations are folded: code times the norm of the decoder row."""

    index: int
    fires: int
    density: float
    mean: float | None
    max: float
    label: Label | None
    unlabelled: str | None
    token_conc: float | None
    token_entropy: float | None
    sim_corr: float | None
    evidence: list[tuple[int, float]]
    neighbours: list[tuple[int, float]]
    direction_cluster: int | None
    firing_cluster: int | None
    contexts: list[Context]
    reasoning: Reasoning | None = None
    judged: Judged | None = None
    ratings: list[Rating] = []


class Clusters(_Plain):
    """Clusters of two latents or more; ``need`` is the mean cosine (correlation) they merge at.

    ``left_out`` latents took no part.
    """

    groups: list[list[int]]
    need: float
    left_out: int


class Coverage(_Plain):
    """Labels of one method, or of a control, in sum.

    Attributes:
        name: the method's name.
        alive: latents that fire at least once.
        tried: those of them that were to be labelled: all, or of a control a sample.
        labelled: latents with windows enough for a label and its test.
        covered: those whose balanced accuracy has a lower bound above 0.7.
        coverage: ``label_coverage``, covered over tried; null where no latent is labelled.
        of_labelled: covered over labelled.
        lo, hi: Wilson's 95 % interval of ``coverage``, with latents as the items.
        reason: why ``coverage`` is null.
        detection, fuzzing, permuted, ceiling: medians of balanced accuracy over the labelled latents.
    """

    name: str
    alive: int
    tried: int
    labelled: int
    covered: int
    coverage: float | None
    of_labelled: float | None
    lo: float | None = None
    hi: float | None = None
    reason: str | None
    detection: float | None
    fuzzing: float | None
    permuted: float | None
    ceiling: float | None


class LabelSide(_Plain):
    """Medians of balanced accuracy over the same latents for one kind of label; ``permuted`` is its control."""

    name: str
    detection: float | None
    fuzzing: float | None
    permuted: float | None


class JudgedLayer(_Plain):
    """What a judge was asked about a layer, in sum.

    Attributes:
        model: the model asked, by the name the endpoint knows it by.
        settings: what else decides the requests.
        open: latents with windows enough for a label, from which ``sampled`` were drawn.
        asked: latents that were asked for besides; ``coverage`` leaves them out.
        labelled: of the sampled, those the judge gave a label.
        covered: of the sampled, those whose detection has a lower bound above 0.7.
        coverage: the share of all alive latents that is covered, ``covered / sampled`` of the open ones.
        lo, hi: Wilson's 95 % interval of ``covered / sampled``, carried over to all alive latents.
        reason: why ``coverage`` is null.
        unparsed: share of windows, over detection and fuzzing, with no answer of the form asked for.
        unlabelled: of all that were tried, those the judge gave no label.
        sides: the judge and the lexical labels, over the latents of the sample that the judge gave a label.
    """

    model: str
    settings: dict[str, float]
    open: int
    sampled: int
    asked: list[int]
    labelled: int
    covered: int
    coverage: float | None
    lo: float | None
    hi: float | None
    reason: str | None
    unparsed: float | None
    unlabelled: int
    sides: list[LabelSide]


class Interval(_Plain):
    """A number with its 95 % interval over ``items``; what is null has a reason."""

    name: str
    value: float | None
    lo: float | None
    hi: float | None
    items: int
    reason: str | None


class RatedLayer(_Plain):
    """What people said of a layer's latents, in sum.

    Attributes:
        least, most: ends of the scale.
        rated: latents with a rating.
        ratings: ratings in all.
        raters: different raters that are named.
        average: mean over rated latents of their mean rating.
        agreement: Krippendorff's alpha.
        scores: Spearman's correlation of mean rating and score, one per kind of score.
    """

    least: float
    most: float
    rated: int
    ratings: int
    raters: int
    average: float
    agreement: Interval
    scores: list[Interval]


class LayerFeatures(_Plain):
    """One layer: its measurement, its latents, and what holds them together."""

    layer: int
    fit: str
    table: str
    tokens: int
    documents: int
    groups: int
    latents: int
    own: Coverage
    controls: list[Coverage]
    direction_clusters: Clusters
    firing_clusters: Clusters
    reasoning: str | None = None
    notes: list[str]
    judge: JudgedLayer | None = None
    ratings: RatedLayer | None = None
    features: list[Feature]


class Match(_Plain):
    """The latents of one layer against those of the next: best cosine of directions, best correlation of activations.

    ``by_cosine`` and ``by_correlation`` hold (latent, its best in the other layer, value) of alive latents;
    ``null_cosine`` and ``null_correlation`` are what 95 % of the latents stay below when the other layer's vectors are
    replaced by as many random ones of the same covariance.
    """

    lower: int
    upper: int
    by_cosine: list[tuple[int, int, float]]
    by_correlation: list[tuple[int, int, float]]
    null_cosine: float
    null_correlation: float


class FeatureFile(_Plain):
    """The whole file."""

    schema_version: int = FEATURES_SCHEMA
    key: str
    method: dict[str, Any]
    task: dict[str, Any]
    model: dict[str, Any]
    seed: int
    sizes: dict[str, int]
    version: str
    commit: str | None
    command: str
    made: str
    tokens: list[str]
    layers: list[LayerFeatures]
    matches: list[Match]
