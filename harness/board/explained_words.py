"""What an explained text says in words: on its page, in Markdown and on a terminal alike."""

from __future__ import annotations

from harness.board import formats
from harness.board.formats import visible
from harness.specs.explained import (
    ActiveLatent,
    Explained,
    ExplainedFile,
    Faithfulness,
    Guess,
    Lost,
    NamedLatent,
    Token,
)

# Nats that all latents together must move M by, for an explanation by them to say much.
LITTLE = 0.1
# Balanced accuracy of a label that tells nothing.
CHANCE = 0.5


def quoted(token: str) -> str:
    """Return a token between quotes, its blanks made visible."""
    return f"“{visible(token)}”"


def guess(found: Guess) -> str:
    """Name a next token; all those together that a task does not tell apart have no name."""
    return "any other token" if found.text is None else quoted(found.text)


def owner(file: ExplainedFile) -> str:
    """Name whose prediction is explained."""
    return "the language model" if file.whose == "model" else f"the decoder {file.method['name']}"


def whose(file: ExplainedFile) -> str:
    """Say what ``M`` is, and what is changed to measure effects."""
    if file.whose == "model":
        return (
            "M is the log-probability (nats) that the language model gives the token it finds likeliest. A latent's "
            "effect is what M loses where its part is taken out of the activation at the last token alone; what the "
            "dictionary leaves out of that activation stays, and so does every token before it."
        )
    return (
        f"M is the log-probability (nats) that the decoder {file.method['name']} gives the token it finds likeliest. "
        "It is not the language model's, which stands beside it and is not what is explained. A latent's effect is "
        "what M loses where its code is set to 0 at the last token and the decoder is asked again."
    )


def place(file: ExplainedFile) -> str:
    """Say what was fitted where."""
    default = ", chosen by default" if file.task_by_default else ""
    model = file.model
    return (
        f"{file.method['title']}, seed {file.seed}, as fitted on task {file.task['name']}{default}. "
        f"{model['name']} ({model['label']}), block {model['layer']} of {model['blocks']}."
    )


def piece(token: Token) -> str:
    """Write a piece of a label."""
    return quoted(token.text) if token.kind == "token" else f"{token.kind} {quoted(token.text)}"


def label(latent: ActiveLatent) -> str:
    """Write a latent's label, or nothing."""
    return ", ".join(piece(token) for token in latent.label or [])


def sure(latent: ActiveLatent) -> str:
    """Write a latent's label where it detects the latent better than chance does, for a sentence; else nothing."""
    return label(latent) if latent.lower is not None and latent.lower > CHANCE else ""


def name(one: Explained, latent: int) -> str:
    """Name a latent by its number and, where it has one, its label."""
    words = next((sure(active) for active in one.latents if active.index == latent), "")
    return f"latent {latent} ({words})" if words else f"latent {latent}"


def sentence(one: Explained) -> str:
    """Return the explanation with labels put in."""
    return "".join(name(one, part.latent) if isinstance(part, NamedLatent) else part for part in one.sentence)


def headline(file: ExplainedFile, one: Explained) -> str:
    """Say what is predicted, how surely, and what the codes have to do with it."""
    best = one.prediction.top[0]
    beside = "" if best.beside is None else f" (the language model gives it {formats.significant(best.beside)})"
    return (
        f"After {quoted(file.tokens[one.position])}, {owner(file)} predicts {guess(best)} with probability "
        f"{formats.significant(best.p)}{beside}. M is {nats(one.full)}, and {nats(one.none)} without any latent."
    )


def signed(value: float) -> str:
    """Write nats for or against, always with a sign."""
    return ("+" if value > 0 else "") + formats.significant(value).replace("-", "−")


def caution(one: Explained) -> str:
    """Say where an explanation says little, or nothing."""
    if one.latents and abs(one.full - one.none) < LITTLE:
        return (
            f"All active latents together move M by less than {LITTLE} nats: this prediction hardly hangs on them at "
            "this token, whatever is said of them."
        )
    return ""


def together(one: Explained) -> str:
    """Say how far the effects of single latents add up to that of all of them."""
    added = sum(latent.effect for latent in one.latents)
    return f"{nats(added)} nats, of all at once {nats(one.full - one.none)} nats"


def nats(value: float) -> str:
    """Write nats with two decimals, and a sign where they are below 0."""
    return formats.fixed(value, 2).replace("-", "−")


def lost(value: Lost) -> str:
    """Write nats lost by an explanation's order, beside random ones and that of the effects."""
    return (
        f"{nats(value.own)} (random orders {nats(value.random)}, {nats(value.least)} to {nats(value.most)}; "
        f"exact order {nats(value.ceiling)})"
    )


def percent(value: float | None) -> str:
    """Write a share."""
    return formats.DASH if value is None else f"{100 * value:.0f} %"


def faithful(found: Faithfulness) -> list[str]:
    """Return what an explanation's faithfulness comes to, a sentence each."""
    score = "not told: the exact order is no better here than random ones" if found.score is None else two(found.score)
    return [
        f"Nats lost without the first latents (comp, more is better): {lost(found.comp)}.",
        f"Nats lost with the first latents alone (suff, less is better): {lost(found.suff)}.",
        f"Score of the order: {score}; 0 is a random order, 1 that of the exact effects.",
        f"The named latents hold {percent(found.named)} of all absolute effects, as many of the largest "
        f"{percent(found.best)}; {found.right} of the named have the effect that is said "
        f"(named_effect {two(found.named_effect)}; 1 is all that five latents can hold).",
        f"The ten largest hold {percent(found.mass10)}; were all active latents alike, {percent(found.uniform10)}.",
    ]


def two(value: float | None) -> str:
    """Write a score with two decimals."""
    return formats.DASH if value is None else f"{value:.2f}".replace("-", "−")


def no_faithfulness(one: Explained) -> str:
    """Say why an explanation has none."""
    return "No latent is active at this token." if not one.latents else "No active latent has an effect here."


def labels(file: ExplainedFile) -> str:
    """Say where labels come from, or how they are made."""
    found = file.labels
    if found.source is not None:
        return (
            f"Labels are lexical, from {found.source.rsplit('/', 1)[-1]}: which words a latent peaks on in that task."
        )
    if found.command is None:
        return "Latents have no labels: no task that takes dictionaries fits this one."
    return "Latents have no labels in this run folder. Make them with:"
