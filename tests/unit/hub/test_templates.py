"""Template steps are done once, however many ask, and failures are not repeated."""

import asyncio

import pytest

from hub.render.job import File, HelmJob, RenderError, Templated
from hub.render.templates import Templates
from shared.model import Problem


class Worker:
    """Makes one file that counts, slowly enough for others to ask meanwhile."""

    def __init__(self, error=None):
        self.jobs = []
        self.error = error
        self.go = asyncio.Event()

    async def template(self, job):
        self.jobs.append(job)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Templated((File("a.yaml", f"n: {len(self.jobs)}".encode() + b" " * 1000),))


class Drawer(dict):
    async def get(self, digest):
        return super().get(digest)

    async def put(self, digest, made):
        self[digest] = made
        return made


async def job():
    return HelmJob("web", "web", "web", "chart", b"")


async def test_those_who_ask_meanwhile_wait_for_the_one_step():
    worker = Worker()
    templates = Templates(worker)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(templates.of("x", job)) for _ in range(50)]
        await asyncio.sleep(0)
        worker.go.set()

    assert len({task.result() for task in asked}) == 1
    assert (len(worker.jobs), templates.made) == (1, 1)


async def test_a_caller_that_gives_up_leaves_the_step_to_the_others():
    worker = Worker()
    templates = Templates(worker)
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(templates.of("x", job)) for _ in range(2))
        while not worker.jobs:
            await asyncio.sleep(0)
        first.cancel()
        worker.go.set()

    assert second.result().files


async def test_a_step_goes_on_when_all_who_asked_have_given_up_and_serves_the_next_one():
    worker = Worker()
    templates = Templates(worker)
    first = asyncio.ensure_future(templates.of("x", job))
    while not worker.jobs:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    worker.go.set()

    assert (await templates.of("x", job)).files
    assert len(worker.jobs) == 1


@pytest.mark.parametrize(("transient", "tries"), [(False, 1), (True, 3)])
async def test_what_fails_by_its_own_fault_is_not_tried_for_everybody(transient, tries):
    worker = Worker(RenderError((Problem("error", "no"),), transient=transient))
    worker.go.set()
    templates = Templates(worker)
    for _ in range(3):
        with pytest.raises(RenderError, match="no"):
            await templates.of("x", job)

    assert len(worker.jobs) == tries


async def test_the_first_result_of_what_differs_each_time_stands_for_every_hub():
    drawer = Drawer()
    workers = [Worker(), Worker()]
    results = []
    for worker in workers:
        worker.go.set()
        results.append(await Templates(worker, drawer).of("x", job, keep=True))
        await Templates(worker, drawer).of("y", job)

    assert results[0] == results[1]
    assert [len(worker.jobs) for worker in workers] == [2, 1]
    assert list(drawer) == ["x"]


async def test_only_so_much_is_remembered():
    worker = Worker()
    worker.go.set()
    templates = Templates(worker, limit=5000)
    for name in "abcdea":
        await templates.of(name, job)

    assert len(worker.jobs) == 6
    await templates.of("a", job)
    assert len(worker.jobs) == 6
