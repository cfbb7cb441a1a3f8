"""A hub with pins: an environment waits until it is pinned, and then has what that very commit holds."""

from __future__ import annotations

from hub.domain.promotion import document
from shared.model import UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings

DEV, PROD = UnitKey("dev-1", "web", "web"), UnitKey("prod-1", "web", "web")


async def test_an_environment_waits_for_its_pin_and_has_what_it_says(tmp_path):
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("web.yaml", application("web", "  rollout: {promotion: {environments: [dev, prod]}}\n"))
    repo.write("apps/web/cm.yaml", configmap("web", "first"))
    first = repo.commit("first")
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(first)
        begun = await live.desired()
        assert set(begun) == {DEV}

        repo.write("apps/web/cm.yaml", configmap("web", "second"))
        await live.seen(repo.commit("second"))
        went_on = await live.desired()
        assert set(went_on) == {DEV}
        assert went_on[DEV].digest != begun[DEV].digest

        repo.write("promotions/web.yaml", document("web", {"prod": first}))
        await live.seen(repo.commit("promote web to prod"))
        promoted = await live.desired()
        assert (promoted[PROD].digest, promoted[DEV]) == (begun[DEV].digest, went_on[DEV])

        repo.remove("promotions/web.yaml")
        await live.seen(repo.commit("no pins any more"))
        assert (await live.desired()) == promoted  # it keeps what it has
