"""Strict YAML: what a word stands for, what is refused, and on which line."""

from __future__ import annotations

import math
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.specs.reading import Document, in_words, parse_value, parse_yaml, read_yaml, scalar

FILE = Path("some.yaml")


def value(text: str) -> dict[str, Any]:
    return parse_yaml(text, FILE).value


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *[("1e-4", 1e-4), ("1E5", 1e5), ("2.", 2.0), (".5", 0.5), ("-0.25", -0.25), ("1_000.5", 1000.5)],
        *[("0", 0), ("-7", -7), ("+7", 7), ("24_000", 24000), (".inf", math.inf), ("-.inf", -math.inf)],
        *[("true", True), ("false", False), ("null", None), ("~", None), ("", None)],
    ],
)
def test_a_word_is_a_number_a_truth_value_or_nothing(word: str, meaning: Any) -> None:
    found = value(f"key: {word}")["key"]
    assert found == meaning
    assert type(found) is type(meaning)


WORDS = ["no", "on", "off", "yes", "y", "True", "NULL", "012", "-012", "00", "01.5", "1_", "_1", "1__0", "0x1f", "0b1"]


@pytest.mark.parametrize(
    "word", [*WORDS, "0o7", "1:30", "2024-01-01", "2024-01-01 10:00:00", ".nan", "1.2.3", "1e", "٣"]
)
def test_what_other_readers_turn_into_something_else_stays_a_word(word: str) -> None:
    assert value(f"key: {word}") == {"key": word}


@pytest.mark.parametrize("word", ["3", "true", "null", "1e-4", ""])
def test_a_quoted_word_is_a_word(word: str) -> None:
    assert value(f"a: '{word}'\nb: \"{word}\"\nc: |\n  {word}")["a"] == word
    assert value(f'key: "{word}"') == {"key": word}
    assert value(f"key: |-\n  {word or 'x'}") == {"key": word or "x"}


def test_a_duplicate_key_is_named_with_both_lines() -> None:
    with pytest.raises(UserError, match=r"^some\.yaml:4: duplicate key 'a' \(first on line 1\)$"):
        value("a: 1\nb: 2\nc: 3\na: 4\n")
    with pytest.raises(UserError, match=r"^some\.yaml:3: duplicate key 'x' \(first on line 2\)$"):
        value("a:\n  x: 1\n  x: 1\n")
    with pytest.raises(UserError, match=r"duplicate key '1'"):
        value("{1: a, '1': b}")


@pytest.mark.parametrize(
    "text", ["a: 1\nb: &x 2", "a: 1\nb: *x", "a: 1\nb: &x [1]", "a: 1\nb: &x {c: 1}", "a: 1\n&x b: 2"]
)
def test_anchors_and_aliases_are_refused_with_their_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^some\.yaml:2: anchors and aliases are not allowed"):
        value(text)


@pytest.mark.parametrize(
    "tagged",
    [
        *["b: !!str 1", "b: !!int '1'", "b: ! x", "b: !own x", "b: !!binary aGk=", "!!str b: 1"],
        *["b: !!set {x}", "b: !!omap [x: 1]", "b: !own [1]", "b: !own {x: 1}", "b: [!own x]"],
        "b: !!python/object/apply:os.system [x]",
    ],
)
def test_every_tag_is_refused_with_its_line(tagged: str) -> None:
    with pytest.raises(UserError, match=r"^some\.yaml:2: YAML tag '.+' is not allowed"):
        value(f"a: 1\n{tagged}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got nothing"),
        ("# a comment\n", "got nothing"),
        ("- 1\n- 2\n", "got a list or a word"),
        ("word", "got a list or a word"),
        ("a: 1\n---\nb: 2\n", r"^some\.yaml:2: not valid YAML: .*another document"),
        ("a: [1,\n", r"^some\.yaml:2: not valid YAML"),
        ("a: b: c", r"^some\.yaml:1: not valid YAML: mapping values"),
        ("\ta: 1", r"^some\.yaml:1: not valid YAML"),
        ("a: \x00", r"not valid YAML: unacceptable character"),
        ("? [a, b]\n: 1", r"^some\.yaml:1: a key must be a word"),
        ("? {a: b}\n: 1", r"^some\.yaml:1: a key must be a word"),
        ("a: 1\nb: " + "9" * 5000, r"^some\.yaml:2: a number of 5000 digits is too long"),
        ("a: " + "[" * 100_000, r"^some\.yaml:1: values are nested more than 40 deep"),
        ("a: " + "{b: " * 1000, r"^some\.yaml:1: values are nested more than 40 deep"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_a_mapping_of_plain_data_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        value(text)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.yaml: cannot be read: .*utf-8"):
        read_yaml(tmp_path / "latin.yaml")


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 2\r\n")
    document = read_yaml(tmp_path / "x.yaml")
    assert document.value == {"a": 1, "b": {"c": 2}}
    assert document.lines[("b", "c")] == 3


def test_every_value_remembers_its_line_and_others_the_nearest_parent() -> None:
    document = parse_yaml("a: 1\nb:\n  c:\n    - x\n    - y: 2\n", FILE)
    assert document.where(("b", "c", 1, "y")) == "some.yaml:5"
    assert document.where(("b", "c", 1, "absent", "deeper")) == "some.yaml:5"
    assert document.where(("absent",)) == "some.yaml:1"


def test_what_the_command_line_put_there_is_named_instead_of_a_line() -> None:
    document = Document(FILE, {}, {("a",): 3, ("b",): 4}, {("a", "x"): "a.x=1", ("a", "y"): "a.y=2"})
    assert document.where(("a", "x")) == "--set a.x=1"
    assert document.where(("a", "x", 0)) == "--set a.x=1"
    assert document.where(("a",)) == "--set a.x=1 --set a.y=2"
    assert document.where(("a", "z")) == "some.yaml:3"
    assert document.where(("b",)) == "some.yaml:4"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("3", 3), ("[1, a]", [1, "a"]), ("{a: 1}", {"a": 1}), ("", None), ("'3'", "3"), ("a b", "a b")],
)
def test_a_value_of_the_command_line_is_what_it_would_be_in_a_file(text: str, meaning: Any) -> None:
    assert parse_value(text, "--set x") == meaning


@pytest.mark.parametrize("text", ["1\nb: 2", "a: b", "[1", "&x 1", "!!str 1"])
def test_a_value_of_the_command_line_is_one_plain_value(text: str) -> None:
    with pytest.raises(UserError, match=r"^--set x"):
        parse_value(text, "--set x")


def test_numbers_that_json_cannot_hold_become_words() -> None:
    given = {"a": [math.inf, 1.5], "b": {"c": -math.inf}, "d": (math.nan, "x", None, True)}
    assert in_words(given) == {"a": [".inf", 1.5], "b": {"c": "-.inf"}, "d": [".nan", "x", None, True]}


class Quoted(yaml.SafeDumper):
    """Writes every string in quotes, which is how a string that looks like a number must be written anywhere."""


Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Co", "Cn"]) | st.sampled_from("\n\t"))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))


@given(st.dictionaries(TEXTS, TREES, min_size=1, max_size=4), st.booleans())
def test_plain_data_come_back_as_they_were_written(data: dict[str, Any], flow: bool) -> None:
    text = yaml.dump(data, Dumper=Quoted, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    assert value(text) == data


@given(st.text(string.ascii_letters + string.digits + "_.+-eE", max_size=12))
def test_a_word_that_yaml_calls_a_decimal_number_is_that_number(word: str) -> None:
    found = scalar(word)
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        assert found == float(word.replace("_", "").replace(".inf", "inf"))
    elif found is not None and not isinstance(found, bool):
        assert found == word
