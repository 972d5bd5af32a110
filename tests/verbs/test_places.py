"""Values and where they stand, in each of the three forms."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es import limits
from kala_es.verbs.dumping import written
from kala_es.verbs.places import Unreadable, read

YAML = """\
# jobs
jobs:
  a:
    name: one
    env: {A: "1",
          B: no}
"""
JSON = '{\n\t"jobs": {\n\t\t"a": {"name": "one",\n\t\t\t"env": {"A": "1", "B": "no"}}}}'
TOML = '# jobs\n[jobs.a]\nname = "one"\n  "env"."A" = "1"\nenv.B   = "no"\n'


@pytest.mark.parametrize(
    ("form", "text", "spot", "key"),
    [("yaml", YAML, (6, 14), (6, 11)), ("json", JSON, (4, 27), (4, 22)), ("toml", TOML, (5, 11), (5, 1))],
)
def test_a_value_is_found_where_it_stands(form: str, text: str, spot: Any, key: Any) -> None:
    placed = read(text, form)
    assert placed.value == {"jobs": {"a": {"name": "one", "env": {"A": "1", "B": "no"}}}}
    path = ("jobs", "a", "env", "B")
    assert placed.spot(path) == spot
    assert placed.key_spot(path) == key
    assert placed.spot((*path, 3, "deeper")) == spot


@pytest.mark.parametrize(
    ("form", "text", "spot", "reason"),
    [
        ("yaml", "a: [1,\n- ]\n", (2, 1), "expected"),
        ("yaml", "a: 1\nb: 2\na: 3", (3, 1), "'a' is given twice"),
        ("yaml", "a: !!python/name:os.system", (1, 4), "python/name"),
        ("yaml", "? [a]\n: b", (1, 3), "a key must be text"),
        ("yaml", "a: &a [*a]", (1, 4), "nested more than"),
        ("yaml", "a: 1\n--- \nb: 2", (2, 1), "another document"),
        ("yaml", "<<: 1", (1, 5), "<< takes"),
        ("json", '{"a": 1,\n "b" 2}', (2, 6), "delimiter"),
        ("json", '{"a": 1,\n "a": 2}', (2, 2), "'a' is given twice"),
        ("json", '{"a": NaN}', (1, 1), "NaN"),
        ("json", "", (1, 1), "Expecting value"),
        ("toml", 'a = 1\nb = "x\n', (2, 7), "Illegal"),
        ("toml", "a = 1\na = 2\n", (2, 6), "Cannot overwrite"),
        ("yaml", "[" * 100_000, (1, 34), "nested more than"),
        ("yaml", "- " * 100_000, (1, 67), "nested more than"),
        ("json", "[" * 100_000, (1, 34), "nested more than"),
        ("json", '["[", ' + "[" * 500 + "]" * 501, (1, 39), "nested more than"),
        ("toml", "a = [\n" + "[" * 100_000, (2, 33), "nested more than"),
        ("toml", "# a\n" + "a." * 100_000 + "a = 1", (2, 1), "nested more than"),
        ("toml", 'x = {y = """a"""", ' + "'a' . " * 100_000 + "a = 1}", (1, 20), "nested more than"),
        ("yaml", "&a {<<: *a, jobs: {}}", (1, 1), "<< takes in"),
        ("yaml", "a: &a\n  b: &b {<<: *a}\n  <<: *b\n", (1, 4), "<< takes in"),
        ("yaml", f"a: {'9' * 5_000}", (1, 4), "too large"),
        ("json", f'{{"a": {"9" * 5_000}}}', (1, 7), "too large"),
        ("toml", f"b = 1\na = {'9' * 5_000}", (2, 5), "too large"),
        ("toml", 'b = "nan"\na = nan', (2, 5), "not finite"),
        ("json", '{"a": 1.0e+999}', (1, 7), "not finite"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(form: str, text: str, spot: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read(text, form)
    assert caught.value.spot == spot


def test_an_alias_counts_as_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILE_VALUES", 1_000)
    lines = [
        "a0: &a0 [x, x, x, x]",
        *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 9)),
    ]
    with pytest.raises(Unreadable, match="more than 1000 values"):
        read("\n".join(lines), "yaml")


def test_values_of_aliases_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ALIASED_VALUES", 100)
    lines = ["a: &a {x: 1}", "b: [" + "*a, " * 50 + "]"]
    assert read("\n".join(lines), "yaml").value["b"] == [{"x": 1}] * 50
    with pytest.raises(Unreadable, match="aliases stand for more than 100 values"):
        read("\n".join([*lines, "c: {<<: *a}"]), "yaml")


@pytest.mark.parametrize("line", [" " * 50_000, "a " * 50_000, "[" + "] " * 50_000])
def test_a_long_line_of_a_text_is_read_in_one_go(line: str) -> None:
    assert read(f'a = """\n{line}\n"""\n"b"."c" = 2\n', "toml").spot(("b", "c")) == (4, 11)


def test_mappings_are_merged_and_the_own_key_counts() -> None:
    text = "base: &b {x: one, y: two}\nmore: &m {x: other, z: three}\njob: {<<: [*b, *m], y: mine}\n"
    assert read(text, "yaml").value["job"] == {"x": "one", "y": "mine", "z": "three"}


def test_plain_scalars_are_what_they_look_like() -> None:
    text = "[yes, no, on, true, 12:30, 0755, 2030-01-01, 1_000, 12, -0.5, 1e3, .inf, ~, null, 0x1f, '12']"
    assert read(text, "yaml").value == [
        *("yes", "no", "on", True, "12:30", "0755", "2030-01-01", "1_000", 12, -0.5, "1e3", ".inf", None, None),
        *("0x1f", "12"),
    ]


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3))


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    text = value if isinstance(value, dict) else {"v": value}
    assert read(written(text, "yaml"), "yaml").value == text
    assert read(written(text, "json"), "json").value == text
    assert read(json.dumps(text, indent="\t"), "json").value == text
