"""What a chart renders to is what `helm template` renders it to, document by document."""

from __future__ import annotations

import pytest

from hub.render.helm.template import template
from tests.fakes.helmcases import CASES, helm_binary, helm_template, job_of, made, printed, recorded


@pytest.mark.parametrize("name", CASES)
def test_the_library_renders_what_was_recorded_from_helm(name):
    assert made(template(job_of(name)).files) == recorded(name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.skipif(helm_binary() is None, reason="no helm executable here")
def test_the_record_is_what_helm_renders_today(name):
    assert printed(helm_template(str(helm_binary()), name)) == recorded(name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.skipif(helm_binary() is None, reason="no helm executable here")
def test_a_helm_executable_makes_what_the_library_makes(name):
    by_library, by_program = template(job_of(name)), template(job_of(name, program=str(helm_binary())))
    assert made(by_program.files) == made(by_library.files)
    assert {file.shown for file in by_program.files} == {file.shown for file in by_library.files}


def test_there_are_cases():
    assert len(CASES) >= 6
