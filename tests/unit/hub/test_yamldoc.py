"""The YAML reader: Kubernetes' scalars, clear errors, and no input that hurts."""

import json
import math
import shutil
import subprocess

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.yamldoc import Document, Limits, child_path, load_documents, parent_path, scan_documents
from shared.errors import DocumentError

KUBECTL = shutil.which("kubectl", path="/usr/bin:/usr/local/bin")


def load(text):
    (document,) = load_documents(text, file="f.yaml")
    return document.value


def failure(data, **options):
    with pytest.raises(DocumentError) as caught:
        load_documents(data, file="f.yaml", **options)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("n", False), ("Off", False), ("TRUE", True), ("yEs", "yEs"), ("~", None), ("Null", None),
        ("0777", 511), ("0o17", 15), ("0x1F", 31), ("0b101", 5), ("-0777", -511), ("0888", 888), ("1_000", 1000),
        ("1e3", 1000), ("1.0", 1), ("1.5", 1.5), (".5", 0.5), ("-1.25e-2", -0.0125), ("+7", 7), ("1e400", "1e400"),
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("1.2.3", "1.2.3"), ("=", "="), ("1e", "1e"),
        ("9223372036854775808", 9223372036854775808.0), ("9" * 400, "9" * 400), ("0x", "0x"),
        ('"yes"', "yes"), ("'1'", "1"), ("!!str 1", "1"), ('!!int "7"', 7), ("!!binary aGk=", "hi"), ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_scalars_are_read_as_kubernetes_reads_them(text, value):
    result = load(f"a: {text}\n")["a"]

    assert result == value
    assert type(result) is type(value)


def test_map_keys_are_strings():
    assert load("yes: 1\n1: 2\n1.5: 3\nnull_: 4\n") == {"true": 1, "1": 2, "1.5": 3, "null_": 4}


def test_merges_apply_in_the_order_written():
    text = "base: &b {k: base, m: base}\nfirst: {<<: *b, k: own}\nlast: {k: own, <<: *b}\nlist: {<<: [{k: one}, *b]}\n"

    value = load(text)

    assert value["first"] == {"k": "own", "m": "base"}
    assert value["last"] == {"k": "base", "m": "base"}
    assert value["list"] == {"k": "one", "m": "base"}


ODD_SCALARS = [
    "yes",
    "n",
    "Off",
    "y",
    "N",
    "~",
    "null",
    "TRUE",
    "True",
    "tRUE",
    "0777",
    "0o17",
    "0o8",
    "0x1f",
    "0b11",
    "-0x10",
    "08",
    "1e3",
    "1E3",
    "1.0",
    "-1.0",
    ".5",
    "5.",
    "1_000",
    "1_0.5",
    "_1",
    "1__2",
    "12:30:45",
    "190:20:30",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "1.2.3",
    "=",
    "<<",
    "+",
    "-",
    ".",
    "..",
    "...",
    "+1",
    "+.5",
    "1e",
    "1e+",
    "0",
    "-0",
    "00",
    "0.0",
    "123456789012345678",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "1e21",
    "1e20",
    "1.5e300",
    "a",
    "b=c",
    "'yes'",
    '"1"',
    "!!str",
    "1",
    "0x",
    "0b2",
]
ODD_DOCUMENTS = """
merge: &m {a: 1, b: {c: 2}}
after: {a: 9, <<: *m}
before: {<<: *m, a: 9}
list: {<<: [*m, {z: 1}]}
alias: [*m, *m]
1: one
yes: two
1.5: three
block: |
  text

  more
folded: >-
  a
  b
nested: [[[]], {}, [{}]]
empty:
text: "\\u00e9 \\x41 \\U0001F600"
"""


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl")
def test_kubectl_reads_the_same():
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
    lines = "".join(f"  k{number}: {text}\n" for number, text in enumerate(ODD_SCALARS) if text not in ("-", "!!str"))
    body = "".join(f"  {line}\n" for line in ODD_DOCUMENTS.strip().splitlines())
    text = f"{head}data:\n{lines}{body}"

    done = subprocess.run(
        [KUBECTL, "label", "--local", "-f", "-", "-o", "json", "q=w"],
        input=text,
        text=True,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout, parse_int=lambda text: int(text) if len(text) < 19 else float(text))
    actual = json.loads(json.dumps(load(text)), parse_int=lambda text: int(text) if len(text) < 19 else float(text))
    assert actual["data"] == expected["data"]


def test_every_document_of_a_file_has_its_line():
    documents = load_documents("# c\n---\n---\na: 1\n---\n# only a comment\n---\n\nb: 2\n...\n", file="f.yaml")

    assert [(document.line, document.value) for document in documents] == [(4, {"a": 1}), (9, {"b": 2})]


@pytest.mark.parametrize("data", [b"", b"---", b"---\n---\n", b"# nothing\n", b"\xef\xbb\xbf", b"null\n"])
def test_nothing_is_no_document(data):
    assert load_documents(data, file="f.yaml") == []


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa: 1\r\nb: \xc3\xa9\r\n",
        "a: 1\nb: é\n".encode("utf-16"),
        "\ufeffa: 1\nb: é\n",
        '\t{"a":1,\n\t"b":"\\u00e9"}',
    ],
)
def test_encodings_line_ends_and_json_make_no_difference(data):
    assert load(data) == {"a": 1, "b": "é"}


def test_json_escapes_that_yaml_does_not_know():
    assert load('{"a":"\\/ \\ud83d\\ude00 \\\\ud83d"}') == {"a": "/ 😀 \\ud83d"}


def test_positions_name_every_field():
    text = "spec:\n  list:\n    - a: 1\n      b:\n        c: {d: 2}\n    - x.y/z: 3\nlast: [1,\n  2]\n"

    (document,) = load_documents(text, file="f.yaml", positions=True)

    assert document.place("spec.list[0].b.c.d").line == 5
    assert document.place("spec.list[1][x.y/z]").line == 6
    assert document.place("last[1]").line == 8
    assert document.place("spec.list[0].b.missing.deep").line == 4
    assert str(document.place("nowhere")) == "f.yaml:1: nowhere"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key 'a': first on line 1"),
        ("a: {b: 1, b: 2}\n", 1, "duplicate key 'b'"),
        ("a:\n\tb: 1\n", 2, "tabs"),
        ("a: [1\nb: 2\n", 2, "starts on line 1"),
        ("x: {{ .Values.x }}\n", 1, "Helm template"),
        ("x: [${a}]\n", 1, "a variable needs quotes"),
        ("\na: !Ref b\n", 2, "!Ref"),
        ("a: !!set {b}\n", 1, "!!set"),
        ("a: .inf\n", 1, "JSON does not have"),
        ("a: .NaN\n", 1, "JSON does not have"),
        ("a: *b\n", 1, "no anchor"),
        ("a: &a [*a]\n", 1, "contains itself"),
        ("? [a]\n: b\n", 1, "map key"),
        ("~: b\n", 1, "map key"),
        ("a: {<<: b}\n", 1, "merges"),
        ("ok: 1\na: \x01\n", 2, "0x01"),
        ("a: !!binary '***'\n", 1, "base64"),
    ],
)
def test_errors_name_the_line_and_what_is_wrong(text, line, words):
    error = failure(text)

    assert error.place.file == "f.yaml"
    assert error.place.line == line
    assert words in str(error)


def test_not_utf8_is_an_error_with_its_line():
    error = failure(b"a: 1\nb: \xff\xfe\n")

    assert error.place.line == 2
    assert "not UTF-8: byte 0xff" in str(error)


def test_one_bad_document_does_not_hide_the_others():
    text = "a: 1\n---\nb: [\n---\nc: 3\nc: 4\n---\nd: 5\n"

    found = list(scan_documents(text, file="f.yaml", positions=True))

    assert [item.value if isinstance(item, Document) else item.place.line for item in found] == [
        {"a": 1},
        4,
        6,
        {"d": 5},
    ]
    assert found[-1].line == 8
    assert found[-1].place("d").line == 8


def bomb(levels=12):
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(rows) + "\n"


def merge_bomb():
    rows = [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 60)]
    return "a0: &a0 {k: 1}\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bomb(), "once aliases are followed"),
        (merge_bomb(), "once aliases are followed"),
        ("[" * 40_000, "nested deeper than 100"),
        ("{a: " * 40_000, "nested deeper than 100"),
        ("- " * 40_000, "nested deeper than 100"),
        (b"a: b\n" * 10_000_000, "47.7 MiB is more than the 8 MiB"),
        ("[]" + ",[]" * 600_000, "not valid YAML"),
        ("[" + "1," * 600_000 + "]", "500,000"),
        ("---\n]\n" * 500_000, "not valid YAML"),
    ],
)
def test_hostile_files_cost_little_and_say_why(data, words):
    found = list(scan_documents(data, file="f.yaml"))

    assert words in str(next(item for item in found if isinstance(item, DocumentError)))


def test_limits_can_be_set():
    assert "nested deeper than 2" in str(failure("[[[]]]", limits=Limits(depth=2)))
    assert "MiB" in str(failure("a: bcdef", limits=Limits(size=4)))


TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff")
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda x: not x.is_integer())
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_back_as_it_was(tree):
    assert load(json.dumps({"x": tree})) == {"x": tree}
    assert load(json.dumps({"x": tree}, ensure_ascii=False)) == {"x": tree}


class _Quoting(yaml.SafeDumper):
    """Writes every string in quotes."""

    def ignore_aliases(self, data):
        return True


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(JSON)
def test_dumped_yaml_comes_back_as_it_was(tree):
    text = yaml.dump({"x": tree}, Dumper=_Quoting, allow_unicode=True)

    assert load(text) == {"x": tree}


@settings(max_examples=300)
@given(
    st.text(alphabet="ab:{}[]-&*!|>'\"%#@`,? \n\t<$~0.", max_size=60) | st.text(max_size=40) | st.binary(max_size=60)
)
def test_any_input_is_read_or_refused(data):
    for found in scan_documents(data, file="f.yaml", positions=True):
        if isinstance(found, Document):
            json.dumps(found.value, allow_nan=False)
            assert found.line >= 1
        else:
            assert found.message
            assert not math.isnan(found.place.line)


@given(
    st.lists(TEXT.filter(lambda step: "[" not in step and "]" not in step) | st.integers(0, 99), min_size=1, max_size=6)
)
def test_paths_lose_their_last_step(steps):
    path, paths = "", [""]
    for step in steps:
        path = child_path(path, step)
        paths.append(path)

    assert parent_path(paths[-1]) == paths[-2]
