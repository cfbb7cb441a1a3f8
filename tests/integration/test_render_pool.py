"""Worker processes: what they render, and that nothing a job does harms another job or the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from hub.domain.rules import Rule
from hub.render.job import File, JsonnetJob, PlainJob, RenderError, RulesJob
from hub.render.pool import PoolLimits, RenderPool
from shared.model import Problem


def config_map(name: str, **extra: object) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **extra})


def job(content: str | bytes, application: str = "web") -> PlainJob:
    data = content.encode() if isinstance(content, str) else content
    return PlainJob(application=application, namespace="shop", files=(File("a.yaml", data),))


# Anchors make a small file that is slow to read: every alias counts, up to the limit on values.
SLOW = "".join(f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i}}}\n" for i in range(40_000))


async def test_workers_render_and_refuse_as_the_function_does():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        rendered = await pool.render(job(config_map("a")))
        assert [str(ref) for ref in rendered.refs] == ["ConfigMap shop/a"]
        assert json.loads(rendered.lines[0]) == json.loads(config_map("a"))
        with pytest.raises(RenderError, match="duplicate key 'kind'") as failed:
            await pool.render(job("kind: a\nkind: b\n"))
        assert not failed.value.transient
        assert pool.statistics.started == 1


async def test_a_job_that_takes_too_long_is_stopped_and_the_next_one_is_rendered():
    async with RenderPool(PoolLimits(workers=1, timeout=0.3)) as pool:
        with pytest.raises(RenderError, match=r"took longer than 0\.3 s") as failed:
            await pool.render(job(SLOW))
        assert failed.value.transient
        assert (await pool.render(job(config_map("a")))).lines
        assert pool.statistics.killed == 1


async def test_a_job_that_outgrows_its_memory_fails_alone():
    async with RenderPool(PoolLimits(workers=1, memory=160 * 1024**2)) as pool:
        await pool.render(job(config_map("before")))
        big = "\n---\n".join(config_map(f"c{i}", data={"x": "y" * 100_000}) for i in range(70))
        files = tuple(File(f"{i}.yaml", big.encode()) for i in range(20))
        with pytest.raises(RenderError, match=r"memory|ended its worker"):
            await pool.render(PlainJob(application="big", namespace="shop", files=files))
        assert (await pool.render(job(config_map("after")))).lines


@pytest.mark.parametrize(
    ("text", "timeout", "error"),
    [
        ("local f(x) = f(x + 1) tailstrict; f(1)", 5, r"took longer than 5 s"),
        ("std.range(1, 3e8)", 60, r"needs more than 400 MB of memory"),
        ("std.repeat('x', 9e8)", 60, r"needs more than 400 MB of memory"),
    ],
)
async def test_jsonnet_without_end_or_measure_fails_alone_and_for_good(text, timeout, error):
    limits = PoolLimits(workers=1, timeout=timeout, memory=400 * 1024**2)
    async with RenderPool(limits, templates=limits) as pool:
        with pytest.raises(RenderError, match=error) as failed:
            await pool.template(jsonnet(text))
        assert not failed.value.transient
        assert (await pool.template(jsonnet("{a: 1}"))).files


SLOW_RULE = "object.l.exists(x, object.l.exists(y, object.s.matches('(a|b|aa|ab)*c')))"


async def test_a_rule_without_end_or_measure_is_stopped_and_others_are_judged_after_it():
    about = json.dumps({"kind": "X", "l": list(range(99)), "s": "ab" * 200_000}).encode()
    fine = RulesJob("other", (config_map("a").encode(),), (Rule("r", "policy p", ("object.metadata.name == 'b'",)),))
    limits = PoolLimits(workers=1, timeout=1, memory=512 * 1024**2)
    async with RenderPool(PoolLimits(workers=1), rules=limits) as pool:
        with pytest.raises(RenderError, match=r"to hold its objects against rules took longer than 1 s") as failed:
            await pool.judge(RulesJob("web", (about,), (Rule("r", "policy p", (SLOW_RULE,)),)))
        assert not failed.value.transient
        assert [(each.object, each.rule) for each in (await pool.judge(fine)).broken] == [(0, 0)]
        assert (await pool.render(job(config_map("a")))).lines


def jsonnet(text: str) -> JsonnetJob:
    return JsonnetJob(application="web", files=(File("a.jsonnet", text.encode()),), entries=("a.jsonnet",))


async def test_a_worker_killed_from_outside_is_replaced():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        await pool.render(job(config_map("a")))
        (pid,) = children()
        running = asyncio.ensure_future(pool.render(job(SLOW)))
        while pool.statistics.running == 0:
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(RenderError, match="SIGKILL"):
            await running
        assert (await pool.render(job(config_map("b")))).lines


async def test_applications_take_turns():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        order: list[str] = []

        async def one(application: str, name: str) -> None:
            await pool.render(job(config_map(name), application))
            order.append(application)

        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(one("many", f"m{number}"))
            tasks.create_task(one("single", "s"))
        assert order.index("single") <= 2


async def test_no_process_is_left_when_the_pool_closes():
    async with RenderPool(PoolLimits(workers=2)) as pool:
        await pool.render(job(config_map("a")))
        assert children()
    assert not children()


async def test_closing_the_pool_ends_those_who_wait():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        await pool.render(job(config_map("a")))
        running = [asyncio.ensure_future(pool.render(job(SLOW, name))) for name in ("a", "b", "c")]
        while pool.statistics.running == 0:
            await asyncio.sleep(0.01)
    for waiting in running:
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert not children()


async def test_a_caller_that_gives_up_takes_its_job_back():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        first = asyncio.ensure_future(pool.render(job(SLOW, "slow")))
        while pool.statistics.running == 0:
            await asyncio.sleep(0.01)
        second = asyncio.ensure_future(pool.render(job(config_map("a"), "impatient")))
        await asyncio.sleep(0)
        second.cancel()
        await first
        assert (await pool.render(job(config_map("b")))).lines
        assert pool.statistics.rendered == 2


async def test_what_cannot_be_sent_is_an_error_of_that_job_only():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        odd = PlainJob(application="odd", namespace="shop", files=(), variables={"big": 2**80}, known=("big",))
        with pytest.raises(RenderError, match="cannot be written down"):
            await pool.render(odd)
        assert (await pool.render(job(config_map("a")))).lines


async def test_the_hubs_environment_does_not_reach_the_workers(monkeypatch):
    monkeypatch.setenv("YARDARM_GIT_TOKEN", "s3cr3t")
    async with RenderPool(PoolLimits(workers=1)) as pool:
        await pool.render(job(config_map("a")))
        (pid,) = children()
        assert b"s3cr3t" not in Path(f"/proc/{pid}/environ").read_bytes()


def children() -> list[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in listed.split() if not is_zombie(int(pid))]


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_errors_print_like_the_first_problem():
    problems = (Problem("warning", "w"), Problem("error", "e1"), Problem("error", "e2"))
    assert str(RenderError(problems)) == "error: e1 (and 1 more)"
