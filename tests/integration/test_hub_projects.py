"""Projects and policies on the whole path: a real repository in, and nothing out that somebody may not have."""

import pytest

from hub.render import pool
from hub.render.process import PoolLimits
from shared import bundle
from shared.model import UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings, until

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"
SHOP = HEAD + "kind: Project\nmetadata: {name: shop}\nspec: {namespaces: [web], quota: {applications: 2}}\n"
OUTSIDE = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: kube-system}\n"
ROLE = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\n"


def policy(require: str, when: str = "") -> str:
    rule = f'{{name: quiet, require: "{require}", message: say nothing{", " + when if when else ""}}}'
    return HEAD + f"kind: Policy\nmetadata: {{name: common}}\nspec: {{objects: [{rule}]}}\n"


def unit(name: str, cluster: str = "dev-1") -> UnitKey:
    return UnitKey(cluster, name, name)


def values(desired: dict, name: str, cluster: str = "dev-1") -> list:
    found = bundle.open_bundle(desired[unit(name, cluster)], lambda _: b"").manifests
    return [each.get("data", {}).get("value") for each in found]


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("fleet/web.yaml", application("web", "  project: shop\n"))
    repo.write("fleet/api.yaml", application("api"))
    repo.write("fleet/projects.yaml", SHOP)
    for name in ("web", "api"):
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    return repo


async def test_what_a_project_may_not_have_stays_out_and_all_else_goes_on(repo, tmp_path):
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("start"))
        before = await live.desired()
        assert set(before) == {unit(a, c) for a in ("web", "api") for c in ("dev-1", "prod-1")}
        assert before[unit("web")].policy.limits.namespaces == ("web",)
        assert b"limits" not in bundle.encode(before[unit("api")].policy)

        repo.write("apps/web/cm.yaml", configmap("web", "2") + OUTSIDE + ROLE)
        repo.write("apps/api/cm.yaml", configmap("api", "2"))
        await live.seen(repo.commit("too much"))
        after, said = await live.desired(), " ".join(live.problems())
        assert {key: after[key] for key in after if key.application == "web"} == {
            key: before[key] for key in before if key.application == "web"
        }
        assert values(after, "api") == ["2"]
        assert "apps/web/cm.yaml:6: error: ConfigMap kube-system/b: project shop may have the namespaces web" in said
        assert (
            "rbac.authorization.k8s.io/ClusterRole all: project shop may have nothing of what is cluster-scoped" in said
        )
        assert "dev-1, prod-1 keep what they have" in said

        repo.write("apps/web/cm.yaml", configmap("web", "3"))
        await live.seen(repo.commit("mended"))
        assert values(await live.desired(), "web") == ["3"]
        assert "keep what they have" not in " ".join(live.problems())

        # A newcomer waits while the project is full, and comes when there is room.
        for name in ("one", "two"):
            repo.write(
                f"fleet/{name}.yaml",
                application(name, "  project: shop\n").replace(f"namespace: {name}", "namespace: web"),
            )
            repo.write(f"apps/{name}/cm.yaml", configmap(name))
        await live.seen(repo.commit("one too many"))
        newcomers = {key.application for key in await live.desired()} & {"one", "two"}
        assert len(newcomers) == 1
        assert "project shop has 2 applications already, its quota is 2: dev-1, prod-1 get nothing new" in " ".join(
            live.problems()
        )
        repo.remove(f"fleet/{newcomers.pop()}.yaml")
        await live.seen(repo.commit("room"))
        await until(lambda: "its quota is 2" not in " ".join(live.problems()))


async def test_a_policy_holds_where_it_says_and_one_that_never_ends_stops_only_what_it_is_about(
    repo, tmp_path, monkeypatch
):
    monkeypatch.setattr(pool, "RULES_LIMITS", PoolLimits(workers=1, timeout=1, memory=512 * 1024**2))
    prod = "when: {environments: [prod]}"
    repo.write("fleet/policy.yaml", policy("!has(object.data) || object.data.value != 'secret'", prod))
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("start"))
        repo.write("apps/web/cm.yaml", configmap("web", "secret"))
        await live.seen(repo.commit("a secret"))
        desired = await live.desired()
        assert (values(desired, "web"), values(desired, "web", "prod-1")) == (["secret"], ["1"])
        assert (
            "ConfigMap web/web breaks rule quiet of policy common: say nothing; prod-1 keep what they have"
            in " ".join(live.problems())
        )

        slow = "object.l.exists(x, object.l.exists(y, object.s.matches('(a|b|aa|ab)*c')))"
        kinds = "kinds: [example.com/Slow]"
        repo.write("fleet/policy.yaml", policy(slow, kinds))
        large = f"---\napiVersion: example.com/v1\nkind: Slow\nmetadata: {{name: s}}\nl: {list(range(99))}\ns: {'ab' * 200_000}\n"
        repo.write("apps/web/cm.yaml", configmap("web", "4") + large)
        repo.write("apps/api/cm.yaml", configmap("api", "4"))
        await live.seen(repo.commit("a rule without end"))
        desired = await live.desired()
        assert (values(desired, "web"), values(desired, "api")) == (["secret"], ["4"])
        assert "to hold its objects against rules took longer than 1 s and was stopped" in " ".join(live.problems())
