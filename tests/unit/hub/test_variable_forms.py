"""The forms of `${…}`: what they come to, and that a text is never lost between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.expansion import Reference, references, value_of


def put(text, **variables):
    def expand(inner):
        return "".join(
            part
            if isinstance(part, str)
            else part.text[1:]
            if part.escaped
            else value_of(part, values(part.name), expand)
            for part in references(inner)
        )

    def values(name):
        return variables.get(name, "")

    return expand(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${v}", "abcABC123ABCabc"), ("${#v}", "15"), ("${v^}", "AbcABC123ABCabc"), ("${v^^}", "ABCABC123ABCABC"),
        ("${v,}", "abcABC123ABCabc"), ("${v,,}", "abcabc123abcabc"), ("${v:7}", "23ABCabc"), ("${v:3:3}", "ABC"),
        ("${v: -3}", "abc"), ("${v:0:-12}", "abc"), ("${v:40}", ""), ("${v:-x}", "abcABC123ABCabc"), ("${e:-x}", "x"),
        ("${e:=x}", "x"), ("${e-x}", "x"), ("${e=x}", "x"), ("${e:=${v:0:3}-suffix}", "abc-suffix"), ("${v/abc/-}", "-ABC123ABCabc"),
        ("${v//abc/-}", "-ABC123ABC-"), ("${v/#abc/-}", "-ABC123ABCabc"), ("${v/%abc/-}", "abcABC123ABC-"), ("${v/%/-s}", "abcABC123ABCabc-s"),
        ("${v/#/p-}", "p-abcABC123ABCabc"), ("${v/123/}", "abcABCABCabc"), ("${f#*.}", "string.txt"), ("${f##*.}", "txt"),
        ("${f%.*}", "bash.string"), ("${f%%.*}", "bash"), ("${p#*/}", "path/to/file"), ("${p##*/}", "file"), ("${p%/*}", "/path/to"),
        ("${f#?[a-z]}", "sh.string.txt"), ("${f#zz}", "bash.string.txt"), ("$${v}", "${v}"), ("$${v} ${f}", "${v} bash.string.txt"),
        (r"${p//\//-}", "-path-to-file"), ("$v $(v) {v}", "$v $(v) {v}"), ("${v", "${v"), ("${v!}", "${v!}"), ("${}", "${}"), ("${v:?no}", "${v:?no}"),
    ],
)  # fmt: skip
def test_forms(text, value):
    assert put(text, v="abcABC123ABCabc", f="bash.string.txt", p="/path/to/file") == value


@given(st.text(st.sampled_from("${}abv:-=^,#%/ "), max_size=30))
def test_the_parts_are_the_text(text):
    assert "".join(part if isinstance(part, str) else part.text for part in references(text)) == text


@given(st.text(st.sampled_from("${}abv:-=^,#%/ "), max_size=30), st.text(max_size=5))
def test_every_reference_can_be_evaluated(text, value):
    for part in references(text):
        if isinstance(part, Reference):
            assert isinstance(value_of(part, value, lambda inner: inner), str)


@given(st.text(max_size=20), st.text(st.characters(exclude_characters="*?[\\/#%}$"), min_size=1, max_size=3))
def test_stripping_and_replacing_agree_on_plain_text(value, pattern):
    assert put(f"${{v#{pattern}}}", v=value) == value.removeprefix(pattern)
    assert put(f"${{v%%{pattern}}}", v=value) == value.removesuffix(pattern)
    assert put(f"${{v//{pattern}/x}}", v=value) == value.replace(pattern, "x")
