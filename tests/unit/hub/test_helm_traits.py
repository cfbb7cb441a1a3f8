"""What a chart depends on, told from its text."""

from __future__ import annotations

import pytest

from hub.render.helm.archive import unpack, unpack_deep
from hub.render.helm.traits import Traits, traits_of, traits_of_texts
from tests.fakes.charts import chart_archive, chart_yaml
from tests.fakes.helmcases import job_of

UNSTEADY = [
    "{{ randAlphaNum 10 }}",
    '{{- $ca := genCA "x" 365 -}}',
    "{{ now }}",
    '{{ now | date "2006" }}',
    "{{ htmlDate .Values.when }}",
    "{{ .Values.a | default (uuidv4) }}",
    '{{ include "x" . | derive (randInt 0 5) }}',
    '{{ .Values.users | keys | join "," }}',
    '{{ tpl "{{ now }}" . }}',
    "{{\n  shuffle .Values.list\n}}",
    '{{ htpasswd "a" "b" }}',
]
STEADY = [
    "now is the time for a date with shuffle",
    "{{/* now */}}",
    "{{- /* randAlphaNum\n of two lines */ -}}",
    "{{ .Values.now }} {{ $now }} {{ .date }}",
    '{{ required "set it now" .Values.a }}',
    "{{ `now` }}",
    '{{ keys .Values.users | sortAlpha | join "," }}',
    '{{ derivePassword 1 "long" "password" "user" "example.com" }}',
    "{{ sha256sum .Values.a }} {{ .Values.values }}",
    '{{ include "chart.now" . }}',
]


@pytest.mark.parametrize("text", UNSTEADY)
def test_chance_and_the_clock_are_noticed(text):
    assert traits_of_texts([text.encode()]).unsteady


@pytest.mark.parametrize("text", STEADY)
def test_words_that_only_look_like_it_are_not(text):
    assert not traits_of_texts([text.encode()]).unsteady


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("{{ .Capabilities.KubeVersion.Version }}", True),
        ('{{ if $.Capabilities.APIVersions.Has "policy/v1" }}', True),
        ("# depends on Capabilities", False),
        ("{{/* .Capabilities */}}", False),
    ],
)
def test_whether_it_asks_what_the_api_can_do(text, asks):
    assert traits_of_texts([text.encode()]).capabilities == asks


def test_a_constraint_on_kubernetes_is_a_question_too():
    assert traits_of({"Chart.yaml": chart_yaml("x", more="kubeVersion: '>=1.20'\n").encode()}).capabilities
    assert not traits_of({"Chart.yaml": chart_yaml("x").encode()}).capabilities


def test_sub_charts_count_also_those_that_are_packed():
    inner = chart_archive("inner", {"Chart.yaml": chart_yaml("inner"), "templates/a.yaml": "{{ now }}"})
    middle = chart_archive("m", {"Chart.yaml": chart_yaml("m"), "charts/inner-1.0.0.tgz": inner})
    outer = chart_archive(
        "o", {"Chart.yaml": chart_yaml("o"), "charts/m-1.0.0.tgz": middle, "charts/d/x.tpl": "{{ .Capabilities }}"}
    )

    assert traits_of(unpack(outer)) == Traits(capabilities=True)
    assert traits_of(unpack_deep(outer)) == Traits(capabilities=True, unsteady=True)


@pytest.mark.parametrize(("name", "traits"), [("capabilities", Traits(capabilities=True)), ("values", Traits())])
def test_of_whole_charts(name, traits):
    assert traits_of(unpack_deep(job_of(name).archive)) == traits
