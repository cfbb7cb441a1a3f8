"""CEL expressions: what they say of an object, and what an expression cannot do to its host."""

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import expressions
from shared.expressions import ExpressionError, MissingField

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

READY = "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"


@pytest.mark.parametrize(
    ("expression", "about", "expected"),
    [
        ("object.status.phase == 'Ready'", {"status": {"phase": "Ready"}}, True),
        ("object.status.phase in ['Ready', 'Idle']", {"status": {"phase": "Busy"}}, False),
        (READY, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
        ("object.?status.?phase.orValue('') == ''", {}, True),
        (
            "has(object.status) && object.status.ready >= object.spec.size",
            {"status": {"ready": 3}, "spec": {"size": 3}},
            True,
        ),
        ("object.status.load < 0.5", {"status": {"load": 1}}, False),
        ("object.status.version.matches(r'^v\\d+$')", {"status": {"version": "v12"}}, True),
        ("timestamp(object.at) < timestamp('2030-01-01T00:00:00Z')", {"at": "2026-01-01T00:00:00Z"}, True),
    ],
)
def test_an_expression_is_true_or_false_of_an_object(expression, about, expected):
    assert expressions.problem(expression) == ""
    assert expressions.holds(expression, about) is expected


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("object.status.phase ==", "Syntax error: mismatched input '<EOF>' (at character 23)"),
        ("obj.status == 1", "undeclared reference to 'obj.status'"),
        ("'Ready'", "gives string, and must give true or false"),
        ("", "Syntax error"),
        ("1+" * 3000 + "1 > 0", "longer than 1000 characters"),
        ("1+" * 300 + "1 > 0", "recursion"),
        ("object.x.lowerAscii() == 'a'", "undeclared reference to 'lowerAscii'"),
        ("['xx'].map(a, a + a).map(a, a + a)[0] == ''", "map() is not allowed"),
        ("['xx'].exists(a, [a + a].exists(b, b == ''))", "'+' is not allowed inside"),
        ("object.a.all(a, a.all(b, b.all(c, c.all(d, d == 1))))", "more than 3"),
        ("object.s == r'\\' + object.l.exists(a, a+a=='x') + r'\\'", "'+' is not allowed inside"),
        ("object.x == 1 // it's\n || object.l.exists(a, a+a == '') // '", "'+' is not allowed inside"),
        ("'''it's''' == '' || object.l.exists(a, a+a == '')", "three quotes"),
    ],
)  # fmt: skip
def test_an_expression_that_cannot_be_used_says_why(expression, says):
    assert says in expressions.problem(expression)

    with pytest.raises(ExpressionError):
        expressions.holds(expression, {})


@pytest.mark.parametrize(
    ("expression", "about", "says"),
    [
        ("object.status", {"status": 1}, "gives int, and must give true or false"),
        ("object.status > 'x'", {"status": 1}, "No matching overloads"),
        ("object.n == 1", {"n": 2**70}, "64-bit"),
        ("object.l.all(x, object.l.all(y, x >= 0))", {"l": list(range(300))}, "takes too many steps"),
        ("object.a == ''", {"a": "x" * 300_000}, "larger than 64 KB"),
    ],
)
def test_an_expression_that_does_not_fit_an_object_says_why(expression, about, says):
    with pytest.raises(ExpressionError, match=says) as error:
        expressions.holds(expression, about)

    assert not isinstance(error.value, MissingField)


def test_a_field_that_is_not_there_yet_is_no_fault_of_the_expression():
    with pytest.raises(MissingField, match="no field 'status'"):
        expressions.holds("object.status.phase == 'Ready'", {"spec": {}})


@given(st.dictionaries(st.sampled_from(["status", "spec", "metadata"]), json_values))
def test_any_object_gives_an_answer_or_an_expression_error(about):
    for expression in (READY, "object.status.phase == 'Ready'", "size(object.spec) > 1", "object.status"):
        with contextlib.suppress(ExpressionError):
            assert expressions.holds(expression, about) in (True, False)


@given(st.text(alphabet="object.statu=<>!&|?:()[]{}'\"rb\\/+-*, 0123456789\nexistsallmap`", max_size=60))
def test_any_text_is_an_expression_or_a_problem(text):
    problem = expressions.problem(text)

    assert isinstance(problem, str)


def test_the_library_is_loaded_by_the_first_expression_only():
    program = (
        "import sys, shared.expressions as e\n"
        "print(any('cel_expr' in name for name in sys.modules), e.problem('true'),\n"
        "      any('cel_expr' in name for name in sys.modules))"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.split() == ["False", "True"]


def test_without_the_library_every_expression_says_so():
    program = (
        "import sys; sys.modules['cel_expr_python'] = None\n"
        "from shared import expressions\n"
        "print(expressions.problem('true'))"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "CEL is not installed here: install yardarm[agent]" in result.stdout
