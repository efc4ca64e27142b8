"""The page of an explained text as a file: made without a model, closed to the network, deaf to what tokens say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from explained_files import explained, faithfulness, file, latent
from markup import read

from harness.board import explained_text
from harness.board.explained_page import explained_html, write_explained
from harness.specs.explained import ExplainedFile, Guess, Labels, Prediction, Token

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>'\"{{ 7*7 }}<!--\u202e|`&amp;"


def hostile() -> ExplainedFile:
    words = [Token(kind=HOSTILE, text=HOSTILE)]
    guess = Prediction(top=[Guess(text=HOSTILE, id=1, p=0.5, beside=0.25)], entropy=1.0)
    one = explained(0, prediction=guess, model=guess, sentence=[HOSTILE])
    one = one.model_copy(update={"latents": [latent(0, 0.5, label=words), latent(1, -0.5, label=words)]})
    names = {"name": HOSTILE, "title": HOSTILE, "label": HOSTILE, "blocks": 2, "layer": 0}
    return file(
        one, method=file().method | names, task=names, model=names, dictionary=names | {"latents": 2},
        tokens=[HOSTILE, HOSTILE], given=1, text=HOSTILE, command=HOSTILE, notes=[HOSTILE], version=HOSTILE,
        reading=HOSTILE, labels=Labels(source=HOSTILE, page=None, command=HOSTILE, layer=0),
    )  # fmt: skip


def test_the_page_nests_and_leads_where_it_says() -> None:
    page = explained_html(file(explained(1), explained(2), tokens=["a", "b", "c", "d"]), "seed0-x.json")
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    links = {str(attributes["href"]) for _, attributes in reader.elements if "href" in attributes}
    inside = {link for link in links if link.startswith("#")}
    assert {link[1:] for link in inside} <= set(reader.ids)
    assert {"#step-1", "#step-2"} <= inside
    pages = {f"../f/seed0.html#f-14-{i}" for i in range(30)}
    assert links - inside == {"seed0-x.json", "../f/seed0.html", *pages}
    assert not [tag for tag, attributes in reader.elements if "src" in attributes]
    assert not [a for _, a in reader.elements if "style" in a or any(name.startswith("on") for name in a)]


def test_nothing_that_is_shown_can_write_markup_or_turn_text() -> None:
    page = explained_html(hostile(), "x.json")
    reader, clean = read(page), read(explained_html(file(), "x.json"))
    assert reader.count("img") == 0
    assert reader.count("script") == clean.count("script") == 1
    assert reader.raw["script"] == clean.raw["script"]
    assert reader.raw["style"] == clean.raw["style"]
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
    assert "\u202e" not in page
    assert "onerror=alert(2)" in reader.text
    policies = [str(a["content"]) for _, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert [policy.startswith("default-src 'none'; style-src 'sha256-") for policy in policies] == [True]


def test_markdown_and_terminal_show_it_as_text() -> None:
    text, fenced, rest = explained_text.markdown(hostile()).split("```")
    assert HOSTILE.split("`")[0].split("\u202e")[0] in fenced
    text += rest
    assert "<img" not in text
    assert "<script" not in text
    assert "\u202e" not in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {8}
    held = hostile()
    lines = [*explained_text.summary(held), *explained_text.conclusions(held, held.explained[0])]
    assert not [line for line in lines if "\u202e" in line]


def test_it_says_whose_prediction_and_what_was_measured() -> None:
    text = read(explained_html(file(), "x.json")).text
    for said in (
        "The language model predicts “·20”",
        "M is the log-probability (nats) that the language model gives",
        "chosen by default",
        "latent 0 (“·=”, after “⏎”); latent 1 (“·=”, after “⏎”) speaks against it.",
        "25 % if all 30 were alike",
        "0.75 0 random, 1 exact effects",
        "2 of 2",
        "The other 10",
        "the model ended its text",
    ):
        assert said in text, said
    top = [Guess(text=None, id=None, p=0.7, beside=0.5)]
    own = explained(prediction=Prediction(top=top, entropy=0.9), model=explained().prediction)
    text = read(explained_html(file(own, whose="decoder"), "x.json")).text
    for said in (
        "The decoder by_size predicts any other token",
        "It is not the language model's, which stands beside it",
        "The language model itself, over all its tokens: not what is explained",
        "model’s",
    ):
        assert said in text, said


def test_every_class_has_a_rule() -> None:
    own = explained(model=explained().prediction)
    head, body = explained_html(file(own, explained(2), whose="decoder", tokens=["a"] * 4), "x.json").split("<body>")
    used = {name for found in re.findall(r'class="([^"]*)"', body) for name in found.split()}
    ruled = set(re.findall(r"\.(-?[A-Za-z_][\w-]*)", head.split("<style>")[1].split("</style>")[0]))
    assert used - ruled == set()
    assert body.count('class="theme"') == 1


def test_what_is_missing_is_said() -> None:
    nothing = explained(latents=0, sentence=["No latent speaks."], faithfulness=None)
    without = Labels(source=None, page=None, command="harness features topk", layer=14)
    text = read(explained_html(file(nothing, labels=without), "x.json")).text
    assert "No latent is active at this token." in text
    assert "Make them with: harness features topk" in text
    assert "hardly hangs on them" not in text
    weak = explained(latents=0).model_copy(update={"latents": [latent(0, 0.5, lower=0.49), latent(1, -0.25)]})
    text = read(explained_html(file(weak), "x.json")).text
    assert "because of latent 0; latent 1 (“·=”, after “⏎”) speaks" in text
    assert "no better than chance" in text
    idle = explained(none=-0.45)
    assert "All active latents together move M by less than 0.1 nats" in read(explained_html(file(idle), "x.json")).text
    unscored = explained(faithfulness=faithfulness(score=None, agreement=None))
    text = read(explained_html(file(unscored, labels=without), "x.json")).text
    assert "the exact order is no better here than random ones" in text


def test_lines_of_a_terminal() -> None:
    held = file(explained(latents=2))
    assert list(explained_text.conclusions(held, held.explained[0]))[:4] == [
        "After “?”, the language model predicts “·20” with probability 0.600. M is −0.50, and −4.25 without any "
        "latent.",
        "  0.600 ██████████████           “·20”",
        "  0.200 █████                    “⏎”",
        "Explanation: It predicts this mainly because of latent 0 (“·=”, after “⏎”); latent 1 (“·=”, after “⏎”) speaks "
        "against it.",
    ]
    assert explained_text.lines(held.explained[0]) == [
        ["0", "“·=”, after “⏎”", "3.5", "+0.900", "10 %", "+0.450", "0.25"],
        ["1", "“·=”, after “⏎”", "3.5", "−0.875", "10 %", "−0.438", "0.25"],
    ]


def test_equal_data_give_equal_files_and_come_back(tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    for name in ("a", "b"):
        paths = write_explained(file(), tmp_path / name / "x.json")
        assert [path.name for path in paths] == ["x.html", "x.md", "x.json"]
        found[name] = [path.read_bytes() for path in paths]
    assert found["a"] == found["b"]
    assert ExplainedFile.model_validate_json(found["a"][2]) == file()
