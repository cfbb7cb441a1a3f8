"""An agent's answer fits a message, whatever was found."""

from agent.asked import ANSWER_BYTES, _Looked
from hub.identity.claims import AGENT_PAYLOAD
from shared.asking import Expected
from shared.messages import FieldDrift, encode
from shared.model import ObjectRef


def changed(number: int, size: int) -> Expected:
    ref = ObjectRef("v1", "ConfigMap", "web", f"cm-{number:04}")
    return Expected(ref, "changed", (FieldDrift("/data/value", "x" * size, None),))


def test_what_does_not_fit_is_counted():
    looked = _Looked([])
    for number in range(400):
        looked.take(changed(number, 1024))
    looked.take(None)

    answer = looked.told(hooks=0, missing=3)

    assert len(encode(answer)) < ANSWER_BYTES + 1024 < AGENT_PAYLOAD
    left = 400 - len(answer.objects)
    assert 0 < left < 400
    assert f"{left} more objects would change" in answer.reason
    assert "3 objects were not reached" in answer.reason
    assert [each.ref.name for each in answer.objects] == sorted(each.ref.name for each in answer.objects)
    assert (answer.answered, answer.unchanged) == (True, 1)


def test_a_server_that_does_not_answer_is_no_answer():
    looked = _Looked([])
    looked.trouble = "no route to host"

    answer = looked.told(hooks=0, missing=5)

    assert (answer.answered, answer.reason) == (False, "no route to host")
