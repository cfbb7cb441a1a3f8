"""Health rules are asked in a process of their own: whatever one costs, the agent goes on, and only that rule is lost."""

import asyncio
import resource
import sys
from pathlib import Path

import pytest

from agent.evaluator import Evaluator, NoAnswer, TooCostly
from agent.judging import Judge
from shared.messages import HealthRule
from shared.model import Health, ObjectRef

READY = "object.status.phase == 'Ready'"
# Nearly 10,000 steps, which the library allows, of which each compiles and runs a large regular expression: minutes.
HOSTILE = "object.status.items.all(x, object.status.items.all(y, !object.status.text.matches(object.status.pattern)))"


def widget(kind="Widget", **status):
    metadata = {"name": "w", "namespace": "shop"}
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": metadata, "status": {"phase": "Ready", **status}}


def ref(kind="Widget"):
    return ObjectRef("example.com/v1", kind, "shop", "w")


def costly():
    return widget(items=["a"] * 95, text="ab" * 15000, pattern="(a|b)*a(a|b){500}c")


@pytest.fixture
def evaluator():
    with Evaluator() as evaluator:
        yield evaluator


async def test_the_agent_works_on_while_a_rule_takes_its_time_and_only_that_rule_is_given_up(evaluator):
    judge = Judge((HealthRule("example.com/Widget", HOSTILE), HealthRule("example.com/Gadget", READY)), evaluator)
    turns = 0

    async def work():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(work())
        verdict = await judge.by_rule(ref(), costly())
        working.cancel()

    assert turns > 100
    assert verdict.health is Health.UNKNOWN
    assert "took more than 0.2 s on" in verdict.reason
    assert "is given up until it is changed" in verdict.reason
    assert not evaluator.running
    assert (await judge.by_rule(ref(), widget())) == verdict
    assert (await judge.by_rule(ref("Gadget"), widget("Gadget"))).health is Health.HEALTHY


async def test_what_a_rule_cost_is_its_own_and_not_of_those_before_it():
    with Evaluator(cost=0.5) as evaluator:
        for _ in range(300):
            assert (await evaluator.ask([READY], widget(text="x" * 20000)))[0].holds


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep to no such limit")
async def test_what_it_may_use_of_memory_is_bounded_and_it_goes_before_the_agent(evaluator):
    await evaluator.ask([READY], widget())
    pid = evaluator._process.pid

    assert resource.prlimit(pid, resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"


async def test_an_evaluation_that_nobody_waits_for_any_more_is_not_taken_for_the_next(evaluator):
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(evaluator.ask([HOSTILE], costly()))
        while not evaluator.running:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        asked.cancel()

    answers = await evaluator.ask([READY, "object.status.phase == 'Busy'", "object.status.none == 1"], widget())
    assert [each.holds for each in answers] == [True, False, False]
    assert "no field 'none'" in answers[2].missing


async def test_an_evaluator_that_was_killed_is_nobodys_fault_and_the_next_one_answers(evaluator):
    judge = Judge((HealthRule("example.com/Widget", READY),), evaluator)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(judge.by_rule(ref(), widget()))
        while not evaluator.running:
            await asyncio.sleep(0)
        evaluator._process.kill()
    assert asked.result().health is Health.UNKNOWN
    assert "was killed" in asked.result().reason

    assert (await judge.by_rule(ref(), widget())).health is Health.HEALTHY


async def test_without_a_question_there_is_no_process(monkeypatch):
    monkeypatch.setattr("agent.evaluator.IDLE", 0.01)
    with Evaluator() as evaluator:
        assert Judge((HealthRule("example.com/Widget", READY),), evaluator).built_in(widget()).health is Health.HEALTHY
        assert not evaluator.running
        await evaluator.ask([READY], widget())
        async with asyncio.timeout(20):
            while evaluator.running:
                await asyncio.sleep(0.01)


async def test_a_process_that_cannot_be_started_is_said(evaluator, monkeypatch):
    monkeypatch.setattr("agent.evaluator.sys.executable", "/nowhere/python")
    with pytest.raises(NoAnswer, match="cannot be started"):
        await evaluator.ask([READY], widget())


async def test_what_costs_too_much_says_so(evaluator):
    with pytest.raises(TooCostly, match=r"took more than 0\.2 s"):
        await evaluator.ask([HOSTILE], costly())
