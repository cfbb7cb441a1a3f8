"""Checks: what may be written, what an answer means, and since when a check has held."""

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hub.domain.checking import Check
from hub.domain.checks import Measurement, Standing, fulfilled, held, judge_http, judge_prometheus, lasted, patience
from hub.domain.documents import API_VERSION
from hub.domain.placeholders import Subject, checked, fill
from hub.domain.reading import FleetDocument, read_documents
from shared.model import Place

SUBJECT = Subject("web", "shop", "canary", ("prod-us-1", "prod-eu-1"), "abc-123", "abc")


def check(**fields):
    return Check.model_validate(fields)


def query(**limits):
    return check(prometheus="http://prometheus:9090", query="up", **limits)


def answer(result, kind="vector", **more):
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


def vector(*values, **more):
    samples = [{"metric": {"cluster": f"c{n}"}, "value": [1435781451.781, value]} for n, value in enumerate(values)]
    return answer(samples, **more)


def judged(body, status=200, **limits):
    return judge_prometheus(query(**(limits or {"below": 1})), status, body, 10.0)


def written(text):
    """The findings for a stage with these checks."""
    (found,) = read_documents(
        f"apiVersion: {API_VERSION}\nkind: RolloutStrategy\nmetadata: {{name: staged}}\n"
        f"spec:\n  stages:\n    - name: canary\n      checks:\n        {text}\n",
        file="f.yaml",
    )
    return [] if isinstance(found, FleetDocument) else list(found.problems)


@pytest.mark.parametrize(
    "text",
    [
        "- {prometheus: 'https://p.example.com/prometheus', query: 'up{a=\"${application}\"}', above: 0, below: 2}",
        "- {name: errors, prometheus: 'http://p:9090', query: up, below: 0.01, for: 5m, interval: 30s}",
        "- {http: 'https://${application}.example.com/ready', status: 204}",
        "- {http: 'http://[::1]:80/', contains: ok, for: 1m}",
        "- {job: checks/smoke.yaml}",
    ],
)
def test_checks_as_people_write_them(text):
    assert written(text) == []


def test_the_example_of_the_documentation_is_valid():
    page = (Path(__file__).parents[3] / "docs/ROLLOUTS.md").read_text().split("## Checks", 1)[1]
    example = page.split("```yaml\n", 1)[1].split("```", 1)[0]

    (found,) = read_documents(f"apiVersion: {API_VERSION}\n{example}", file="ROLLOUTS.md")
    checks = found.resource.spec.stages[0].checks
    assert [check.title for check in checks] == [
        "errors",
        "https://${application}.example.com/ready",
        "checks/smoke.yaml",
    ]
    assert 'code=~"5..$"' in fill(checks[0].query, SUBJECT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {}", "one of prometheus, http and job"),
        ("- {http: 'http://a', job: a.yaml}", "one of prometheus, http and job"),
        ("- {prometheus: 'http://a', below: 1}", "belong together"),
        ("- {prometheus: 'http://a', query: up}", "below, above or both"),
        ("- {prometheus: 'http://a', query: up, below: 1, above: 1}", "nothing is above 1 and below 1"),
        ("- {prometheus: 'http://a/api/v1/query', query: up, below: 1}", "without /api/v1"),
        ("- {prometheus: 'http://a', query: 'x{a=\"${aplication}\"}', below: 1}", "did you mean ${application}?"),
        ("- {prometheus: 'http://a', query: 'x{a=\"${foo}\"}', below: 1}", "there are ${application}, ${namespace}"),
        ("- {prometheus: 'http://a', query: up, below: 1, status: 200}", "status is for http checks"),
        ("- {http: 'http://a', below: 1}", "below is for prometheus checks"),
        ("- {http: 'http://a', status: 99}", "100"),
        ("- {http: 'ftp://a'}", "write it like https://"),
        ("- {http: '${application}'}", "write it like https://"),
        ("- {http: 'http://me:secret@a/'}", "checks.access"),
        ("- {http: 'http://a:99999/'}", "not an address"),
        ("- {http: 'http://${clusters}.example.com/'}", "${clusters} is several names"),
        ("- {http: 'http://a', interval: 0s}", "1s at the least"),
        ("- {job: checks/smoke.yaml, for: 5m}", "a Job runs once"),
        ("- {job: ../smoke.yaml}", "leaves the repository"),
        ("- {job: .}", "the path of a file"),
        ("- {http: 'http://a', headers: {Authorization: x}}", "headers"),
        ("- {name: a, http: 'http://a'}\n        - {name: a, http: 'http://b'}", "two checks are called 'a'"),
        ("- {http: 'http://a'}\n        - {http: 'http://a', contains: b}", "two checks are called 'http://a'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, message):
    (found,) = written(text)

    assert message in found.message
    assert "secret" not in found.message
    assert isinstance(found.place, Place)
    assert found.place.line >= 7


def test_placeholders_are_filled_in_and_what_is_promqls_stays():
    text = r'label_replace(rate(x{c=~"${clusters}",code=~"5..$",r="${revision}"}[5m]), "a", "$1-${2}$$", "b", "$${x}")'

    assert fill(checked(text), SUBJECT) == (
        'label_replace(rate(x{c=~"prod-eu-1|prod-us-1",code=~"5..$",r="abc-123"}[5m]), "a", "$1-${2}$$", "b", "${x}")'
    )
    assert fill("${application} ${namespace} ${stage} ${commit}", SUBJECT) == "web shop canary abc"


@given(st.lists(st.sampled_from(["$", "${1}", "$${1}", "$1", "5..$", '"', "a{", "}", "\n"])).map("".join))
def test_dollars_that_name_nothing_stay_as_they_are(text):
    assert fill(checked(text), SUBJECT) == text


@pytest.mark.parametrize(
    ("body", "ok", "value", "detail"),
    [
        (answer([1435781451.781, "0.5"], "scalar"), True, "0.5", ""),
        (vector("0.5"), True, "0.5", ""),
        (vector("0.5", "0.75"), True, "0.75", ""),
        (vector("0.5", "2", "3"), False, "3", '3 at {cluster="c2"} is not below 1 (2 of 3 series)'),
        (vector("1"), False, "1", '1 at {cluster="c0"} is not below 1'),
        (vector("+Inf"), False, "inf", 'inf at {cluster="c0"} is not below 1'),
        (vector("NaN", "2"), False, "2", '2 at {cluster="c1"} is not below 1 (1 of 2 series)'),
        (vector("NaN", "0.5"), None, "0.5", 'not a number at {cluster="c0"}'),
        (vector("NaN"), None, "NaN", "not a number: has there been any traffic?"),
        (vector(), None, "", "no data: the query matches no series"),
        (answer([], "matrix"), None, "", "the query gives a matrix: write one that gives numbers of one moment"),
        (answer([1, "x"], "string"), None, "", "the query gives a string"),
        (answer([{"metric": {}, "histogram": [1, {}]}]), None, "", "histograms need a function around them"),
        (answer({"a": 1}), None, "", "no number"),
        (vector("0.5", warnings=["store is away"]), None, "0.5", "not certain, as Prometheus warns: store is away"),
        (vector("2", warnings=["store is away"]), False, "2", "is not below 1"),
        (vector("0.5", infos=["might not be a counter"], warnings=None), True, "0.5", ""),
    ],
)
def test_what_an_answer_of_prometheus_means(body, ok, value, detail):
    found = judged(body)

    assert (found.ok, found.value, found.at) == (ok, value, 10.0)
    assert detail in found.detail
    assert bool(found.detail) is (ok is not True)


def test_errors_of_prometheus_are_quoted():
    body = b'{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"}'

    found = judged(body, status=400)

    assert found.ok is None
    assert "bad_data: 1:5: parse error: unexpected end of input" in found.detail


@pytest.mark.parametrize(
    ("status", "detail"), [(401, "checks.access"), (404, "without /api/v1"), (200, "without /api/v1"), (502, "502")]
)
@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b"", b'{"status": 1}', b"[" * 5000])
def test_whatever_is_no_prometheus_measures_nothing(status, detail, body):
    found = judged(body, status=status)

    assert found.ok is None
    assert detail in found.detail


LIMITS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.floats(), max_size=5), LIMITS, LIMITS)
def test_a_check_is_good_only_if_every_series_is_within_its_limits(values, below, above):
    assume(below is not None or above is not None)
    assume(below is None or above is None or above < below)
    found = judged(vector(*map(repr, values)), below=below, above=above)

    within = [
        (below is None or value < below) and (above is None or value > above)
        for value in values
        if not math.isnan(value)
    ]
    assert (found.ok is True) == (bool(values) and len(within) == len(values) and all(within))
    assert (found.ok is False) == (not all(within))


def test_what_an_answer_to_an_http_check_means():
    plain, strict = check(http="http://a"), check(http="http://a", status=204, contains="fine")

    assert judge_http(plain, 200, b"", 1.0) == Measurement(True, "200", "", 1.0)
    assert judge_http(plain, 503, b"", 1.0) == Measurement(False, "503", "answers 503, not 200", 1.0)
    assert judge_http(strict, 204, b"\xff all fine", 1.0).ok is True
    assert judge_http(strict, 200, b"all fine", 1.0).ok is False
    missing = judge_http(strict, 204, b"secret of the server", 1.0)
    assert missing.ok is False
    assert missing.detail == "the answer does not contain 'fine'"


def looked(ok, at):
    return Measurement(ok, "", "", at)


def standing(*looks, gap=math.inf):
    result = Standing()
    for ok, at in looks:
        result = held(result, looked(ok, at), at, gap)
    return result


def test_a_check_holds_from_the_first_to_the_last_good_measurement():
    five = check(http="http://a", **{"for": "5m"})

    assert not fulfilled(five, Standing())
    assert not fulfilled(five, standing((True, 0), (True, 299)))
    assert fulfilled(five, standing((True, 0), (True, 299), (True, 300)))
    assert fulfilled(check(http="http://a"), standing((True, 0)))


@pytest.mark.parametrize("interruption", [False, None])
def test_what_is_not_good_interrupts(interruption):
    five = check(http="http://a", **{"for": "5m"})

    found = standing((True, 0), (interruption, 150), (True, 300))

    assert found.since == 300
    assert not fulfilled(five, found)


def test_a_measurement_that_failed_to_be_made_is_neither_good_nor_bad():
    assert standing((True, 0), (None, 10)) == Standing(last=looked(None, 10))
    assert standing((False, 0), (None, 10)) == Standing(last=looked(None, 10))
    assert standing((False, 0), (None, 10), (False, 20)).failed_since == 20
    assert standing((False, 0), (True, 20)) == Standing(20, None, looked(True, 20))


def test_what_lasts_is_from_the_first_to_the_last_measurement():
    assert lasted(Standing()) == 0
    assert lasted(standing((True, 10), (True, 40))) == 30
    assert lasted(standing((True, 10), (False, 40), (False, 60))) == 20
    assert lasted(standing((True, 10), (None, 40))) == 0


def test_time_that_nobody_looked_at_does_not_count():
    gap = patience(check(http="http://a", interval="30s"))

    assert standing((True, 0), (True, 90), gap=gap).since == 0
    assert standing((True, 0), (True, 91), gap=gap).since == 91


def test_a_slow_server_is_no_interruption():
    assert patience(check(http="http://a", interval="1s")) == 60


def test_a_clock_that_is_put_back_begins_anew():
    before = standing((True, 1000), (True, 1060))

    assert held(before, looked(True, 500), 500) == Standing(500, None, looked(True, 500))
    assert held(before, looked(True, 5000), 1070).last == looked(True, 1070)


LOOKS = st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(0, 100)), max_size=12)


@given(LOOKS)
def test_late_and_repeated_measurements_change_nothing(looks):
    result, taken = Standing(), []
    for ok, at in looks:
        if not taken or at > taken[-1][1]:
            taken.append((ok, at))
        result = held(result, looked(ok, at), 100)

    assert result == standing(*taken)
    assert held(result, looked(*taken[-1]), 100) == result if taken else result == Standing()


@given(LOOKS)
def test_a_line_begins_with_the_first_of_the_equal_measurements_that_the_last_one_ends(looks):
    taken = [(ok, at) for number, (ok, at) in enumerate(looks) if all(at > before for _, before in looks[:number])]
    result = standing(*taken)

    last = taken[-1][0] if taken else None
    line = list(itertools.takewhile(lambda look: look[0] is last, reversed(taken)))
    assert result.since == (line[-1][1] if last is True else None)
    assert result.failed_since == (line[-1][1] if last is False else None)
    assert lasted(result) == (line[0][1] - line[-1][1] if last is not None else 0)
