"""Tokens of a whole hub: good at once, on a hub that starts later too, and on none once they are revoked."""

from __future__ import annotations

import contextlib

import aiohttp

from hub.app import Hub
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, live_hub, settings, until


@contextlib.asynccontextmanager
async def asking(hub: Hub):
    """Asks a hub that has read what it has stored: (status, answer)."""
    await until(lambda: not hub.missing())
    async with aiohttp.ClientSession(f"{hub.url}/api/v1/") as session:

        async def ask(token, method, path, body=None):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.request(method, path, json=body, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        yield ask


async def test_a_token_outlives_the_hub_that_made_it_and_a_revocation_too(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write("clusters.yaml", CLUSTERS)
    repo.commit()
    given = settings(tmp_path / "state", repo.url)
    body = {"name": "pipeline", "grants": [{"role": "operator", "projects": ["web"], "environments": ["dev"]}]}
    async with live_hub(given) as live, asking(live.hub) as ask:
        own = live.hub.token
        status, made = await ask(own, "POST", "tokens", body)
        assert status == 201, made
        assert (await ask(made["token"], "GET", "units"))[0] == 200
    async with live_hub(given) as live, asking(live.hub) as ask:
        (listed,) = (await ask(own, "GET", "tokens"))[1]["items"]
        assert (await ask(made["token"], "GET", "self"))[1]["grants"] == listed["grants"] == body["grants"]
        assert (await ask(own, "DELETE", f"tokens/{listed['id']}"))[0] == 200
        assert (await ask(made["token"], "GET", "self"))[0] == 401
    async with live_hub(given) as live, asking(live.hub) as ask:
        assert (await ask(made["token"], "GET", "self"))[0] == 401
        told = (await ask(own, "GET", "audit?action=token"))[1]["items"]
        assert [each["action"] for each in told] == ["token.revoke", "token.create"]
        assert made["token"] not in str(told)
