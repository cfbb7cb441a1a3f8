"""Delivery figures: what counts as a deployment, a failure and a recovery, from rollouts as the state machine makes them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.dora import drawn as shown
from hub.cli.output import Table, plain_table
from hub.domain import dora
from hub.domain.dora import DAY, Deployment, report
from hub.domain.requests import Verb
from hub.domain.steps import Ended
from shared.messages import to_json
from tests.fakes.fleetview import START
from tests.fakes.rollingout import Rolling

A, B = "a" * 40, "b" * 40
STAGES = {"stages": [{"name": name, "environments": [name]} for name in ("dev", "prod")]}
DEV, PROD = ("dev-1", "dev-2"), ("prod-1", "prod-2", "prod-3")


class Watched(Rolling):
    """Remembers every rollout as it was last."""

    def __init__(self, **strategy):
        super().__init__(STAGES | strategy)
        self.known = {}

    def _take(self, event):
        super()._take(event)
        for command in self.told:
            if isinstance(command, Ended):
                self.known[command.rollout.id] = command.rollout
        self.known[self.newest.id] = self.newest
        return self.newest

    def at(self, seconds):
        """Goes to a time, counted from the first commit's."""
        if self.rollout is None:
            self.now = START + seconds
        else:
            self.after(START + seconds - self.now)
        return self

    def history(self):
        return dora.history_of(tuple(self.known.values()))

    def of(self, environment):
        """(at, healthy, failed, recovered) of each deployment, as seconds from the beginning."""

        def since(time):
            return None if time is None else time - START

        found = [each for each in self.history().deployments if each.environment == environment]
        return [(since(each.at), since(each.healthy), since(each.failed), since(each.recovered)) for each in found]


def through(rolling, start, step=10):
    """All clusters healthy, dev after one step and prod after two."""
    rolling.at(start + step).healthy(*DEV)
    rolling.at(start + 2 * step).healthy(*PROD)


def test_a_rollout_is_a_deployment_in_each_environment_from_its_first_to_its_last_cluster():
    web = Watched()
    web.commit(A)
    through(web, 0)

    assert web.of("dev") == [(0, 10, None, None)]
    assert web.of("prod") == [(10, 20, None, None)]
    assert web.of(dora.ALL) == [(0, 20, None, None)]
    assert {each.committed for each in web.history().deployments} == {START - 5}


def test_what_never_came_to_an_environment_was_not_deployed_there():
    web = Watched()
    web.commit(A)
    web.at(10).commit(B)
    through(web, 10)

    assert web.of("dev") == [(0, None, None, None), (10, 20, None, None)]
    assert web.of("prod") == [(20, 30, None, None)]


def test_what_fails_and_is_healthy_again_was_a_failure_where_it_failed():
    web = Watched()
    web.commit(A)
    web.at(10).healthy(*DEV)
    web.at(20).failing("prod-1")
    web.at(100).healthy(*PROD)

    assert web.of("dev") == [(0, 10, None, None)]
    assert web.of("prod") == [(10, 100, 26, 100)]


def test_what_is_rolled_back_was_a_failure_wherever_it_was_and_has_no_lead_time():
    web = Watched(onFailure="rollback")
    web.complete(A)
    start = web.now - START
    web.commit(B)
    web.at(start + 10).healthy(*DEV)
    web.at(start + 20).failing("prod-1")
    web.at(start + 50).healthy(*DEV)
    assert web.of("prod")[1] == (start + 10, None, start + 26, None)
    web.at(start + 60).healthy(*PROD)

    assert web.of("dev")[1] == (start, None, start + 26, start + 50)
    assert web.of("prod")[1] == (start + 10, None, start + 26, start + 60)


def test_a_person_who_takes_back_what_was_completed_makes_it_a_failure():
    web = Watched()
    web.complete(A)
    web.at(1000).commit(B)
    through(web, 1000)
    web.at(1100).ask(Verb.ROLLBACK, reason="carts are empty")
    web.at(1130).healthy(*DEV, *PROD)

    assert web.of("prod")[1] == (1010, None, 1100, 1130)


def test_a_fix_in_git_ends_a_failure_that_was_only_stopped():
    web = Watched()
    web.commit(A)
    web.at(10).healthy(*DEV)
    web.at(20).failing("prod-1")
    web.at(500).commit(B)
    assert web.of("prod") == [(10, None, 26, None)]
    through(web, 500)

    assert web.of("prod") == [(10, None, 26, 520), (510, 520, None, None)]


def test_a_failure_that_was_put_up_with_counts_and_the_rest_has_its_lead_time():
    web = Watched(onFailure="continue")
    web.commit(A)
    web.at(10).healthy(*DEV)
    web.at(20).healthy("prod-1", "prod-2")
    web.failing("prod-3")

    assert web.newest.ended is not None
    assert web.of("prod") == [(10, 20, 26, None)]


def test_clusters_that_were_offline_do_not_count_even_when_they_come_back_later():
    web = Watched()
    web.commit(A)
    web.silent("dev-2")
    web.at(10).healthy("dev-1")
    web.after(200)
    web.healthy(*PROD)
    ended = web.newest.ended
    web.at(9000).healthy("dev-2")

    assert ended is not None
    assert web.of("dev") == [(0, 10, None, None)]


def test_a_check_that_failed_is_a_failure_until_the_stage_is_done():
    web = Watched()
    web.commit(A)
    web.at(10).healthy("dev-1")
    web.at(20).failing("dev-2")
    stopped = msgspec.structs.replace(web.newest, troubled=START + 30)
    healthy = {name: msgspec.structs.replace(slot, healthy=START + 10) for name, slot in _well(web).items()}
    stopped = msgspec.structs.replace(stopped, slots={**stopped.slots, **healthy})
    (now,) = [each for each in dora.history_of([stopped]).deployments if each.environment == "dev"]
    done = msgspec.structs.replace(stopped.stages[0], done=START + 90)
    (later,) = [
        each
        for each in dora.history_of([msgspec.structs.replace(stopped, stages=(done, *stopped.stages[1:]))]).deployments
        if each.environment == "dev"
    ]

    assert (now.failed, now.recovered) == (START + 30, None)
    assert (later.failed, later.recovered) == (START + 30, START + 90)


def _well(web):
    web.healthy(*DEV)
    return {name: web.newest.slots[name] for name in DEV}


# The report.


def week_of(*commits):
    """A day a commit, each through in 20 seconds."""
    web = Watched()
    for day, sha in enumerate(commits):
        web.at(day * DAY).commit(sha)
        through(web, day * DAY)
    return web


def test_the_figures_say_of_how_many_samples_they_are():
    web = week_of(*(f"{number:x}" * 40 for number in range(1, 8)))
    found = report({"web": web.history()}, "prod", 7, START + 7 * DAY, 20)

    assert found.figures.deployments == 7
    assert found.figures.per_day == pytest.approx(1.0)
    assert found.figures.lead_time == dora.Spread(7, 25.0, 25.0)
    assert (found.figures.failures, found.figures.failure_rate) == (0, 0.0)
    assert found.figures.recovery == dora.Spread(0, None, None)
    assert [(row.application, row.environment) for row in found.rows] == [("web", "prod")]


def test_of_nothing_there_is_nothing_to_say():
    found = report({}, dora.ALL, 30, START, 20)

    assert found.figures == dora.Figures(0, None, dora.Spread(0, None, None), 0, None, dora.Spread(0, None, None))
    assert (found.rows, found.rollouts, found.complete_since) == ((), 0, START - 30 * DAY)


def test_an_application_of_which_only_the_last_rollouts_are_known_is_counted_from_the_oldest():
    web = week_of("1" * 40, "2" * 40, "3" * 40, "4" * 40)
    histories = {"web": web.history()}

    found = report(histories, dora.ALL, 30, START + 4 * DAY, 4)

    assert found.complete_since == START
    assert found.figures.per_day == pytest.approx(1.0)
    assert report(histories, dora.ALL, 30, START + 4 * DAY, 5).figures.per_day == pytest.approx(4 / 30)


def test_weeks_go_back_from_now_and_the_first_may_be_short():
    web = week_of("1" * 40, "2" * 40, "3" * 40)
    found = report({"web": web.history()}, dora.ALL, 9, START + 9 * DAY, 20)

    assert [(week.start - START, week.end - START) for week in found.weeks] == [(0, 2 * DAY), (2 * DAY, 9 * DAY)]
    assert [week.figures.deployments for week in found.weeks] == [2, 1]
    assert [week.figures.per_day for week in found.weeks] == pytest.approx([1.0, 1 / 7])


def test_people_see_the_parts_the_weeks_and_what_it_is_all_from():
    web = week_of("1" * 40, "2" * 40)
    found = report({"web": web.history()}, "prod", 14, START + 7 * DAY, 2)

    drawn = [plain_table(part) if isinstance(part, Table) else part for part in shown(to_json(found), "prod")]

    text = "\n".join(drawn).splitlines()
    assert text[0] == "in prod, 2023-11-07 to 2023-11-21, from 2 rollouts that are known"
    assert text[1] == "of some applications only since 2023-11-14: the last 20 rollouts of each are kept"
    assert text[4].split() == ["web", "prod", "2", "0.29", "25s", "25s", "0", "0%", "—", "—"]
    assert text[-1].split()[:3] == ["together", "2", "0.29"]


ACTS = st.sampled_from(["commit", "dev", "prod", "fail", "rollback", "abort", "resume", "wait"])


@given(st.lists(ACTS, max_size=14), st.sampled_from(["pause", "rollback", "continue"]))
def test_whatever_happens_the_figures_hold_together(acts, on_failure):
    web = Watched(onFailure=on_failure)
    web.commit("0" * 40)
    for number, act in enumerate(acts):
        web.after(100)
        match act:
            case "commit":
                web.commit(f"{number % 10}{'c' * 39}")
            case "dev":
                web.healthy(*DEV)
            case "prod":
                web.healthy(*PROD)
            case "fail":
                web.failing("dev-1", "prod-1")
            case "rollback" | "abort" | "resume":
                web.ask(Verb(act), reason="because")
    made = web.history().deployments
    found = report({"web": web.history()}, dora.ALL, 1, web.now + 1, 20)

    for each in made:
        assert isinstance(each, Deployment)
        assert each.healthy is None or each.healthy >= each.at
        assert each.failed is None or each.failed >= each.at
        assert each.recovered is None or (each.failed is not None and each.recovered >= each.failed)
    whole = found.figures
    assert whole.deployments == sum(week.figures.deployments for week in found.weeks)
    assert whole.failures <= whole.deployments
    assert whole.recovery.samples <= whole.failures
    assert whole.lead_time.median is None or whole.lead_time.median <= (whole.lead_time.p90 or 0.0)
