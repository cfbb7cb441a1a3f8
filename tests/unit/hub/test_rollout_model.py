"""Whatever happens in whatever order, a rollout keeps its promises, and comes to an end once it can.

A Hypothesis state machine of commits, reports, silence, members that come and go, people, windows, a clock that jumps
both ways, and hubs that die between any two of their writes, or are two at once. What is checked is in
`tests.fakes.rolloutaccount`. By default the same few examples every time; YARDARM_MODEL_EXAMPLES=20000 looks for more.
"""

from __future__ import annotations

import os

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hub import ledger
from hub.domain.requests import Asked, Verb, objection
from hub.domain.rollout import due, step
from hub.domain.runs import Closed, Hold, Rollout, Sight, Verdict
from hub.domain.steps import Ended, Event, Observed, Tick
from hub.ledger import Ledger, Reader
from hub.streams import Fenced
from tests.fakes.memorystore import MemoryStore, at_once
from tests.fakes.rolling import Fleet, bundle, cluster
from tests.fakes.rolloutaccount import Account, over

EXAMPLES = int(os.environ.get("YARDARM_MODEL_EXAMPLES") or 0)
PROFILE = settings(
    max_examples=EXAMPLES or 120, stateful_step_count=40, derandomize=not EXAMPLES, deadline=None, database=None, report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
)  # fmt: skip

START = ("dev-1", "dev-2", "prod-1", "prod-2", "prod-3")
EVERYBODY = (*START, "dev-3", "prod-4")
DIGESTS = ("a", "b", "c")
PEOPLE = ("ann", "bob")

DEV = {"name": "dev", "environments": ["dev"]}
PROD = {"name": "prod", "environments": ["prod"], "maxConcurrent": 1}
CHECK = {"http": "http://example.com/health", "for": "60s"}
STRATEGIES = (
    None,
    {"stages": [DEV, PROD], "onFailure": "rollback"},
    {"stages": [DEV | {"soak": "5m"}, PROD | {"maxFailures": 1, "maxConcurrent": 2}], "deadline": "2m"},
    {"stages": [DEV, PROD | {"approve": {"by": ["viewer"], "count": 2}}], "onNewer": "queue"},
    {"stages": [DEV | {"checks": [CHECK], "maxFailures": 1}, PROD | {"jitter": "3m"}], "onFailure": "continue"},
    {
        "stages": [
            {"name": "canary", "pick": {"count": 1}, "soak": "1m"},
            DEV,
            PROD | {"checks": [CHECK, CHECK | {"name": "again"}]},
        ]
    },
)
FATES = ("dies before it writes", "dies between two writes", "dies before it acts", "cannot act", "acts twice")
SECONDS = st.sampled_from((1.0, 5.0, 31.0, 61.0, 121.0, 301.0, 601.0, 0.1))
NAMES = st.sampled_from(EVERYBODY)


class Hub:
    """One hub: what it believes the newest rollout to be. It writes before it acts, or has not acted."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.ledger = Ledger(store)
        self.rollout: Rollout | None = None

    def restart(self) -> None:
        self.ledger = Ledger(self._store)
        found = at_once(self.ledger.load(Reader()))
        self.rollout = found[0] if found else None


class World(Fleet):
    """A fleet whose hubs are mortal. `fate` is what becomes of the leader's next step."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.store = MemoryStore()
        self.leader, self.other = Hub(self.store), Hub(self.store)
        self.account = Account()
        self.fate = ""

    def send(self, event: Event) -> tuple:
        """The leader takes a step: decided, saved, carried out; unless its fate is another."""
        fate, self.fate = self.fate, ""
        before = self.leader.rollout
        after, commands = decided(before, event, self.now)
        if fate == "dies before it writes":
            self.restart()
            return ()
        ended = [each.rollout for each in commands if isinstance(each, Ended)]
        for each in ended:
            at_once(self.leader.ledger.save(each))
        if ended and fate == "dies between two writes":
            self.restart()
            return ()
        if after is not before:
            at_once(self.leader.ledger.save(after))
        self.leader.rollout = self.rollout = after
        if after is not None:
            if before is None or after.id != before.id:
                given = {name: each.given for name, each in self.clusters.items() if each.given is not None}
                self.account.begins(after, given)
            self.account.follows(event, after, self.around, self.now)
        if fate == "dies before it acts":
            self.restart()
            return ()
        for command in commands * {"acts twice": 2, "cannot act": 0}.get(fate, 1):
            self.carry_out(command)
        self.wakes_in_time()
        return commands

    def propose(self) -> None:
        """Whatever went wrong before is made good by the next look at Git."""
        fate = self.fate
        super().propose()
        if self.rollout is not None and not fate:
            for name, where in self.rollout.positions().items():
                each = self.clusters.get(name)
                assert each is None or each.paused or each.given == where, f"{name} has {each.given}, not {where}"

    def restart(self) -> None:
        """A hub starts: it reads what is stored, brings every cluster in line, and looks around."""
        self.leader.restart()
        self.rollout = self.account.rollout = self.leader.rollout
        if self.rollout is not None:
            for name in self.rollout.positions():
                self.align(name)
            self.surround()
        self.propose()

    def align(self, name: str) -> None:
        before = len(self.published)
        super().align(name)
        if len(self.published) > before:
            self.account.rejected_is_not_published(name, self.clusters[name].given)

    def wakes_in_time(self) -> None:
        """Until it is due, nothing changes by itself."""
        if self.rollout is None:
            return
        at = due(self.rollout, self.now)
        for then in (self.now, (self.now + at) / 2, at - 1e-3) if at is not None else (self.now, self.now + 1e7):
            if then >= self.now:
                assert step(self.rollout, Tick(), then) == (self.rollout, ()), f"a tick {then - self.now} s later acts"

    def interferes(self, event: Event) -> None:
        """The other hub, which believes to lead, takes a step from what it has read some time ago."""
        hub = self.other
        stale = written(hub.rollout) != written(self.rollout)
        after, commands = decided(hub.rollout, event, self.now)
        if after is hub.rollout:
            return  # nothing to write: its messages to agents are refused by their sequence
        if not stale:
            return  # it leads in truth, and the leader is the one that is stale: the same with names changed
        stored = self.newest_record()
        try:
            for each in commands:
                if isinstance(each, Ended):
                    at_once(hub.ledger.save(each.rollout))
            at_once(hub.ledger.save(after))
            hub.rollout = after
        except Fenced:
            hub.restart()
        # A hub that comes to the very same may believe that it was an earlier attempt of its own; and what it writes
        # to a rollout that others have followed changes nothing.
        assert self.newest_record() == stored, "a deposed hub has written"

    def newest_record(self) -> tuple[str, bytes]:
        newest = at_once(Ledger(self.store).load(Reader()))[0]
        key = f"{ledger.key_of(newest)}.state"
        return key, self.store.records[key][0]


def written(rollout: Rollout | None) -> bytes:
    return ledger._ENCODER.encode(rollout)


def decided(before: Rollout | None, event: Event, now: float) -> tuple[Rollout | None, tuple]:
    """The step, which gives the same again and leaves alone what it was given; and what was asked for has an effect."""
    text = written(before)
    after, commands = step(before, event, now)
    again, commands_again = step(before, event, now)
    assert written(before) == text
    assert (written(again), commands_again) == (written(after), commands)
    if isinstance(event, Asked) and before is not None and event.id not in before.asked:
        alone, commands_alone = step(before, Tick(), now)
        changed = (written(msgspec.structs.replace(after, asked=())), commands) != (
            written(msgspec.structs.replace(alone, asked=())),
            commands_alone,
        )
        assert changed == (objection(before, event) == ""), f"{event.verb}: {objection(before, event)!r}"
    return after, commands


class Rolling(RuleBasedStateMachine):
    @initialize(document=st.sampled_from(STRATEGIES))
    def starts(self, document):
        self.world = World(*START)
        self.commits = 0
        self.asked: list[Asked] = []
        self.world.strategy = document
        self.commit("a", ())

    def commit(self, digest, names):
        self.commits += 1
        known = [name for name in names if name in self.world.clusters]
        self.world.commit(f"r{self.commits}", *known, digest=digest)

    # Git.

    @rule(digest=st.sampled_from(DIGESTS), names=st.sets(NAMES, max_size=2), document=st.sampled_from((0, *STRATEGIES)))
    def commits_something(self, digest, names, document):
        if document != 0:
            self.world.strategy = document
        self.commit(digest, names)

    @rule()
    def looks_at_git(self):
        self.world.propose()

    # Agents.

    @rule(names=st.sets(NAMES, min_size=1), verdict=st.sampled_from(Verdict))
    def agents_say(self, names, verdict):
        self.world.say(verdict, [name for name in EVERYBODY if name in names and name in self.world.clusters])

    @rule()
    def everybody_is_healthy(self):
        self.world.healthy(*self.world.clusters)

    @rule(verdict=st.sampled_from(Verdict), digest=st.sampled_from(DIGESTS))
    def late_reports_are_of_something_else(self, verdict, digest):
        late = [each for each in self.world.clusters.values() if each.given != bundle(digest)]
        self.world.send(Observed({each.name: Sight(bundle(digest), verdict, "late", each.silent) for each in late}))

    @rule(names=st.sets(NAMES, min_size=1), lasting=SECONDS)
    def falls_silent(self, names, lasting):
        self.world.silence(*(name for name in names if name in self.world.clusters), lasting=lasting)

    @rule(names=st.sets(NAMES, min_size=1))
    def is_heard_again(self, names):
        self.world.heard(*(name for name in names if name in self.world.clusters))

    # Members.

    @rule(name=NAMES, digest=st.sampled_from(DIGESTS))
    def a_cluster_joins_or_leaves_the_fleet(self, name, digest):
        if name not in self.world.clusters:
            self.world.clusters[name] = cluster(name)
            self.world.clusters[name].wanted = digest
        elif len(self.world.clusters) > 1:
            del self.world.clusters[name]
        self.world.propose()

    @rule(name=NAMES)
    def a_cluster_is_relabelled(self, name):
        if name in self.world.clusters:
            self.world.clusters[name].placed ^= True
            self.world.propose()

    @rule(name=NAMES)
    def a_cluster_is_paused_or_goes_on(self, name):
        if name in self.world.clusters:
            self.world.clusters[name].paused ^= True
            self.world.propose()

    # People.

    @rule(verb=st.sampled_from(Verb), by=st.sampled_from(PEOPLE), names=st.sets(NAMES, max_size=2), whole=st.booleans())
    def somebody_asks(self, verb, by, names, whole):
        rollout = self.world.rollout
        clusters = tuple(sorted(names & rollout.slots.keys())) if verb in (Verb.RETRY, Verb.SKIP) else ()
        to = {name: bundle(DIGESTS[0]) for name in rollout.plan.clusters} if verb is Verb.ROLLBACK and whole else {}
        asked = Asked(
            f"ask-{len(self.asked)}", verb, by, self.world.now, "because", ("viewer",), clusters=clusters, to=to
        )
        self.asked.append(asked)
        if to:
            self.goes_back_to(asked)
        self.world.send(asked)

    def goes_back_to(self, asked):
        if objection(self.world.rollout, asked) == "" and self.world.fate != "dies before it writes":
            self.world.account.proven |= asked.to

    @rule(verb=st.sampled_from((Verb.APPROVE, Verb.RESUME)), by=st.sampled_from(PEOPLE))
    def somebody_helps(self, verb, by):
        self.somebody_asks(verb, by, set(), False)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def a_request_comes_again(self, data):
        asked = data.draw(st.sampled_from(self.asked[-5:]))
        before = self.world.rollout
        if asked.id in before.asked:
            after, _ = step(before, asked, self.world.now)
            assert written(after) == written(step(before, Tick(), self.world.now)[0])
            self.world.send(asked)

    # The world around.

    @rule(environment=st.sampled_from(("dev", "prod", "")))
    def windows_open_and_close(self, environment):
        until = self.world.now + 900
        self.world.surround(closed={environment: Closed("nights only", until)} if environment else {})

    @rule(names=st.sets(st.sampled_from(("", *EVERYBODY)), max_size=1))
    def somebody_holds(self, names):
        self.world.surround(holds=tuple(Hold("ann", self.world.now, "wait", name) for name in names))

    @rule(ok=st.sampled_from((True, False, None)), number=st.integers(0, 1))
    def a_check_is_measured(self, ok, number):
        rollout = self.world.rollout
        if rollout.current < len(rollout.stages):
            self.world.measure(rollout.plan.stages[rollout.current].name, ok, number)

    # Time, and hubs.

    @rule(seconds=SECONDS)
    def time_passes(self, seconds):
        self.world.now += seconds
        self.world.send(Tick())

    @rule()
    def the_hub_wakes_when_it_has_to(self):
        at = due(self.world.rollout, self.world.now)
        if at is not None:
            self.world.now = at
            self.world.send(Tick())

    @rule(seconds=SECONDS)
    def the_clock_is_put_back(self, seconds):
        self.world.now -= seconds
        self.world.send(Tick())

    @rule(fate=st.sampled_from(FATES))
    def the_next_step_has_another_fate(self, fate):
        self.world.fate = fate

    @rule()
    def the_other_hub_reads(self):
        self.world.other.restart()

    @rule(verb=st.sampled_from(Verb), name=NAMES)
    def the_other_hub_believes_to_lead(self, verb, name):
        world = self.world
        world.interferes(Tick())
        world.interferes(Asked("ask-other", verb, "eve", world.now, roles=("viewer",)))
        world.interferes(Observed({name: Sight(bundle("a"), Verdict.HEALTHY)}))

    @invariant()
    def the_store_has_what_the_leader_knows(self):
        found = at_once(Ledger(self.world.store).load(Reader()))
        assert found[0] == self.world.rollout
        assert [each.active for each in found[1:]] == [False] * len(found[1:])

    def teardown(self):
        """Everybody is heard and healthy, every gate opens, nobody objects: then it ends, and everybody has it."""
        world = self.world
        world.fate = ""
        for each in world.clusters.values():
            each.silent, each.paused = None, False
        world.surround(closed={}, holds=(), waits={})
        for _ in range(60):
            self.goes_well()
            if self.everybody_has_it():
                return
        raise AssertionError(f"it does not end: {world.rollout.phase} {world.states()} {world.rollout.stages}")

    def goes_well(self):
        world = self.world
        world.propose()
        world.settle()
        for by in PEOPLE:
            for verb in (Verb.APPROVE, Verb.RESUME, Verb.RELEASE):
                self.somebody_asks(verb, by, set(), False)
        for _ in range(3):
            rollout = world.rollout
            if rollout.current < len(rollout.stages):
                for number in range(len(rollout.stages[rollout.current].checks)):
                    world.measure(rollout.plan.stages[rollout.current].name, True, number)
                world.now += 30
        at = due(world.rollout, world.now)
        if at is not None:
            world.now = at
            world.send(Tick())

    def everybody_has_it(self):
        world = self.world
        if not over(world.rollout):
            return False
        states = world.states()
        return all(
            each.given == bundle(each.wanted) if each.placed else each.given in (None, bundle(""))
            for name, each in world.clusters.items()
            if states.get(name) != "Skipped"  # a person left it out
        )


def test_a_rollout_keeps_its_promises_whatever_happens():
    run_state_machine_as_test(Rolling, settings=PROFILE)
