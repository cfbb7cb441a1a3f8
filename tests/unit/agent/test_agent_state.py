"""State on disk: what was saved comes back, and nothing else is believed."""

import asyncio
import os
import stat
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.keeper import Keeper
from agent.state import InUse, State
from shared.bundle import Bundle, canonical_line, inline
from shared.messages import VERSION, Assignment, Policy, Timeline, encode
from shared.model import UnitKey
from shared.signing import SigningKey, Trust
from shared.tasks import Clock

KEY = SigningKey(b"k" * 32)
TRUST = Trust((KEY.public,))


def signed(objects=({"kind": "ConfigMap"},), application="shop", key=KEY, **more):
    bundle = Bundle(Policy(), tuple(map(canonical_line, objects)))
    assignment = Assignment(
        v=VERSION, cluster="c1", namespace="web", application=application, generation=7, digest=bundle.digest,
        commit="abc", revision="r", policy=bundle.policy, objects=len(objects), at=1.0,
        inline=inline(bundle.lines) or b"", **more,
    )  # fmt: skip
    assignment = key.sign(assignment)
    return assignment.unit, encode(assignment), bundle


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "state")
    with state.locked():
        yield state


def test_what_was_saved_comes_back(state):
    unit, message, bundle = signed()
    state.save(unit, message, bundle)
    state.save_applied(unit, {("", "ConfigMap", "web", "a"): "digest"})

    (saved,) = state.load(TRUST, "c1")

    assert (saved.assignment.unit, saved.assignment.generation) == (unit, 7)
    assert saved.bundle == bundle
    assert saved.applied == {("", "ConfigMap", "web", "a"): "digest"}


def test_times_belong_to_their_generation(state):
    unit, message, bundle = signed()
    state.save(unit, message, bundle)
    state.save_timeline(unit, 7, Timeline(received=1.0, applied=2.0))
    assert state.load(TRUST, "c1")[0].timeline == Timeline(received=1.0, applied=2.0)

    state.save_timeline(unit, 6, Timeline(received=1.0))

    assert state.load(TRUST, "c1")[0].timeline is None


def test_files_are_for_the_agent_alone(state, tmp_path):
    state.save(*signed())

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*") if path.is_file()}

    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_unit_that_left_is_forgotten(state):
    unit, message, bundle = signed()
    state.save(unit, message, bundle)

    state.forget(unit)

    assert state.load(TRUST, "c1") == []


def test_an_empty_bundle_is_kept_too(state):
    state.save(*signed(objects=()))

    (saved,) = state.load(TRUST, "c1")

    assert saved.bundle.lines == ()


def test_another_hubs_assignment_is_not_believed(state):
    state.save(*signed(key=SigningKey(b"x" * 32)))

    assert state.load(TRUST, "c1") == []


def test_another_clusters_assignment_is_not_believed(state):
    state.save(*signed())

    assert state.load(TRUST, "c2") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    name=st.sampled_from(["assignment", "body", "applied", "timeline"]),
    junk=st.binary(max_size=40),
    at=st.integers(0, 60),
)
def test_a_corrupted_file_costs_its_unit_at_the_most(tmp_path, name, junk, at):
    state = State(tmp_path)
    with state.locked():
        unit, message, bundle = signed()
        state.save(unit, message, bundle)
        state.save_applied(unit, {})
        state.save_timeline(unit, 7, Timeline(received=1.0))
        state.save(*signed(application="other"))
        path = tmp_path / "units" / f"web.shop.{name}"
        content = path.read_bytes()
        path.write_bytes(content[:at] + junk + content[at + len(junk) :])

        found = {saved.assignment.application: saved for saved in state.load(TRUST, "c1")}

    assert "other" in found
    assert "shop" not in found or found["shop"].bundle == bundle


def test_a_second_agent_may_not_act(tmp_path, state):
    program = "import sys; from pathlib import Path; from agent.state import State\nwith State(Path(sys.argv[1])).locked(): pass"
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "state")], check=False, capture_output=True, text=True
    )

    assert run.returncode == 1
    assert f"in use by another agent (process {os.getpid()})" in run.stderr


def test_the_lock_goes_with_the_process(tmp_path):
    for _ in range(2):
        with State(tmp_path).locked():
            pass

    with State(tmp_path).locked(), pytest.raises(InUse), State(tmp_path).locked():
        pass


def test_a_disk_that_cannot_be_written_is_a_problem_not_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    state = State(tmp_path / "file" / "below")

    with state.locked():
        state.save(*signed())

    assert "cannot be" in state.problem


def test_a_disk_that_works_again_is_no_problem_any_more(state, tmp_path):
    units = tmp_path / "state" / "units"
    units.rename(tmp_path / "away")
    state.save(*signed())
    assert state.problem
    (tmp_path / "away").rename(units)

    state.save(*signed())

    assert not state.problem


async def test_the_keeper_writes_the_newest(state):
    keeper = Keeper(state, Clock())
    unit, message, bundle = signed()
    applied = {}
    keeper.keep(unit, message, bundle)
    keeper.keep_applied(unit, applied)
    applied["", "ConfigMap", "web", "a"] = "new"

    await keeper.flush()

    (saved,) = state.load(TRUST, "c1")
    assert saved.applied == applied


async def test_the_keeper_forgets_for_good(state):
    keeper = Keeper(state, Clock())
    unit, message, bundle = signed()
    keeper.keep(unit, message, bundle)
    keeper.keep_applied(unit, {})
    keeper.forget(UnitKey("c1", "web", "shop"))

    await keeper.flush()

    assert state.load(TRUST, "c1") == []


async def test_what_is_being_written_when_the_agent_ends_is_written(state, tmp_path):
    """The disk stalls until the end: a pipe in place of a file, which nobody reads before."""
    stalled = tmp_path / "state" / "stalled"
    os.mkfifo(stalled)
    begun, ended = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    class Stalling(State):
        def save_moment(self, at):
            loop.call_soon_threadsafe(begun.set)
            stalled.read_bytes()
            super().save_moment(at)

    keeper = Keeper(Stalling(tmp_path / "state"), Clock())
    keeper.keep_moment(12.5)
    writer = asyncio.create_task(keeper.run())
    await begun.wait()
    writer.cancel()

    async def end():
        await keeper.flush()
        ended.append(state.moment())

    end_of_agent = asyncio.create_task(end())
    await asyncio.to_thread(stalled.write_bytes, b"")
    await end_of_agent

    assert ended == [12.5]
