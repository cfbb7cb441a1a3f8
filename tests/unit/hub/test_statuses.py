"""Commit statuses: what is said of a rollout, and how each kind of Git host is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain import statuses, urls
from hub.domain.runs import Phase
from hub.domain.statuses import StageCount, State, Status, Summary, status_of
from hub.registered import status_hosts
from hub.settings import GitSettings, StatusAccess
from hub.statuses import Host

SHA = "3f2a91c" + "0" * 33
OTHER = "1a2b3c4" + "0" * 33
CANARY, PROD = StageCount("canary", 1, 1), StageCount("prod", 12, 48)


def summary(phase: str, *stages: StageCount, **more: str) -> Summary:
    return Summary("web", "https://github.com/Team/fleet.git", SHA, phase, stages, **more)


@pytest.mark.parametrize(
    ("told", "state", "said"),
    [
        (summary("Progressing"), "pending", "not begun"),
        (summary("Progressing", CANARY, PROD), "pending", "canary 1/1, prod 12/48"),
        (
            summary("Progressing", CANARY, reason="waits for approval by sre"),
            "pending",
            "canary 1/1; waits for approval by sre",
        ),
        (summary("Paused", CANARY, reason="paused by ann"), "pending", "paused: paused by ann"),
        (summary("RollingBack", StageCount("canary", 0, 3, 3)), "pending", "rolling back: 3 clusters failed in canary"),
        (summary("Completed", CANARY, StageCount("prod", 48, 48)), "success", "canary 1/1, prod 48/48"),
        (summary("Completed"), "success", "done"),
        (
            summary("RolledBack", StageCount("canary", 0, 3, 3), back_to=OTHER),
            "failure",
            "rolled back to 1a2b3c4: 3 clusters failed in canary",
        ),
        (summary("Failed", StageCount("prod", 47, 48, 1)), "failure", "failed: 1 cluster failed in prod"),
        (summary("Aborted", reason="ann: wrong tag"), "failure", "aborted: ann: wrong tag"),
        (summary("Superseded", CANARY, back_to=OTHER), "stopped", "superseded by 1a2b3c4"),
    ],
)
def test_a_rollout_is_told_in_a_few_words(told, state, said):
    assert status_of(told) == Status(State(state), said)


@given(st.sampled_from(Phase), st.text(), st.lists(st.builds(StageCount, st.text(), *[st.integers(0, 999)] * 3)))
def test_no_host_refuses_what_is_said(phase, reason, stages):
    status = status_of(summary(phase, *stages, reason=reason))

    assert 0 < len(status.description) <= 140
    assert "\n" not in status.description
    assert (status.state in ("success", "failure", "stopped")) == (phase in statuses._STATES)


@pytest.mark.parametrize(
    ("provider", "url", "body"),
    [
        ("github", f"https://api/repos/Team/fleet/statuses/{SHA}", {"state": "failure", "context": "yardarm/web"}),
        ("gitea", f"https://api/repos/Team/fleet/statuses/{SHA}", {"state": "failure", "context": "yardarm/web"}),
        ("gitlab", f"https://api/projects/Team%2Ffleet/statuses/{SHA}", {"state": "failed", "name": "yardarm/web"}),
        (
            "bitbucket",
            f"https://api/repositories/Team/fleet/commit/{SHA}/statuses/build",
            {"state": "FAILED", "key": "yardarm/web", "name": "yardarm/web", "url": "https://hub.example.com"},
        ),
    ],
)
def test_each_kind_of_host_is_told_in_its_own_way(provider, url, body):
    told = summary("RolledBack", reason="too bad")

    asked = statuses.request(provider, "https://api/", "Team/fleet", told, status_of(told), "https://hub.example.com")

    link = {} if provider == "bitbucket" else {"target_url": "https://hub.example.com"}
    assert (asked.url, asked.body) == (url, {**body, **link, "description": "rolled back: too bad"})
    bare = statuses.request(provider, "https://api", "Team/fleet", told, status_of(told), "").body
    assert "target_url" not in bare
    assert bare.get("url", "").startswith("https://bitbucket.org/Team/fleet/commits/") == (provider == "bitbucket")


@pytest.mark.parametrize(
    ("address", "project"),
    [
        ("https://github.com/Team/fleet.git", "Team/fleet"),
        ("git@gitlab.com:group/sub/Fleet.git", "group/sub/Fleet"),
        ("ssh://git@git.example.com:2222/team/fleet/", "team/fleet"),
    ],
)
def test_the_path_at_the_host_is_told_as_it_is_written(address, project):
    assert urls.project(address) == project


def test_the_host_of_a_repository_is_the_one_whose_prefix_fits_best():
    choose = status_hosts(
        GitSettings(
            statuses={
                "github.com": StatusAccess(token="a"),
                "github.com/team": StatusAccess(token="b"),
                "git.example.com": StatusAccess(provider="gitlab", token="c"),
                "ghe.example.com": StatusAccess(provider="github", api="https://ghe.example.com/own"),
            }
        )
    )
    assert choose("git@github.com:team/fleet.git") == Host(
        "github", "https://api.github.com", "b", "git.statuses.github.com/team"
    )
    assert choose("https://git.example.com/a/b") == Host(
        "gitlab", "https://git.example.com/api/v4", "c", "git.statuses.git.example.com"
    )
    assert choose("https://ghe.example.com/a/b").api == "https://ghe.example.com/own"
    assert choose("https://elsewhere.example.com/a/b") is None


def test_a_host_of_unknown_kind_has_to_be_told():
    with pytest.raises(ValueError, match=r"which kind of host git\.example\.com is"):
        GitSettings(statuses={"git.example.com": StatusAccess(token="x")})
