"""Data files of explained texts, made by hand."""

from __future__ import annotations

from typing import Any

from harness.specs.explained import (
    ActiveLatent,
    Explained,
    ExplainedFile,
    Faithfulness,
    Guess,
    Labels,
    Lost,
    NamedLatent,
    Prediction,
    Step,
    Token,
)

LOST = Lost(own=1.25, random=0.5, least=0.125, most=0.75, ceiling=1.5)


def latent(index: int, effect: float, **change: Any) -> ActiveLatent:
    values: dict[str, Any] = {
        "index": index, "activation": 3.5, "effect": effect, "share": 0.1, "attribution": effect / 2,
        "importance": 0.25, "label": [Token(kind="token", text=" ="), Token(kind="after", text="\n")], "lower": 0.71,
    }  # fmt: skip
    return ActiveLatent(**{**values, **change})


def faithfulness(**change: Any) -> Faithfulness:
    steps = [Step(percent=percent, latents=number, comp=LOST, suff=LOST) for number, percent in enumerate((1, 50), 1)]
    values: dict[str, Any] = {
        "steps": steps, "comp": LOST, "suff": LOST, "draws": 20, "score": 0.75, "agreement": 0.9, "mass10": 0.8,
        "uniform10": 0.25, "named": 0.4, "best": 0.5, "right": 2, "named_effect": 0.6,
    }  # fmt: skip
    return Faithfulness(**{**values, **change})


def explained(position: int = 1, latents: int = 30, **change: Any) -> Explained:
    top = [Guess(text=" 20", id=5, p=0.6), Guess(text="\n", id=6, p=0.2)]
    active = [latent(i, (0.9 - i / 40) * (-1) ** i) for i in range(latents)]
    sentence = ["It predicts this mainly because of ", NamedLatent(latent=0, supports=True), "; ",
                NamedLatent(latent=1, supports=False), " speaks against it."]  # fmt: skip
    values: dict[str, Any] = {
        "position": position, "prediction": Prediction(top=top, entropy=1.1), "model": None, "full": -0.5,
        "none": -4.25, "left_out": 0.2, "latents": active, "sentence": sentence, "faithfulness": faithfulness(),
    }  # fmt: skip
    return Explained(**{**values, **change})


def file(*explanations: Explained, **change: Any) -> ExplainedFile:
    values: dict[str, Any] = {
        "method": {"name": "by_size", "title": "Ranking by size", "kind": "explainer", "source": "ours", "params": {},
                   "identity": "i"},
        "dictionary": {"name": "topk", "title": "TopK SAE", "latents": 2304, "fit": "f"},
        "task": {"name": "sums", "title": "Sums", "version": 1, "track": "explanation"},
        "task_by_default": True,
        "model": {"name": "tiny", "label": "made", "blocks": 30, "layer": 14},
        "seed": 0, "whose": "model", "text": "17 + 3?", "reading": "as it stands", "tokens": ["17 + 3", "?", " 20"],
        "given": 2, "explained": list(explanations) or [explained()],
        "labels": Labels(source="../f/seed0.json", page="../f/seed0.html", command=None, layer=14),
        "notes": ["the model ended its text"], "version": "0.1.0", "commit": None,
        "command": "harness explain --method by_size", "made": "2026-11-20T12:00:00+00:00", "seconds": 2.5,
    }  # fmt: skip
    return ExplainedFile(**{**values, **change})
