"""Charts and kustomizations on their way through the hub: real repositories and chart servers in, assignments out."""

import shutil

import pytest

from hub.render.pool import RenderPool
from hub.settings import ChartSettings, EgressSettings, GitSettings, RenderSettings
from shared import bundle, subjects
from shared.messages import Assignment, Heartbeat, ServedApis, apis_digest, encode
from shared.model import UnitKey
from shared.tasks import Clock
from tests.fakes.chartservers import ChartRepository, packed
from tests.fakes.gitrepo import GitRepo
from tests.fakes.helmcases import helm_binary
from tests.fakes.httpserver import listening
from tests.fakes.livehub import CLUSTERS, configmap, live_hub, settings, until

needs_kustomize = pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")), reason="there is no kustomize on this machine"
)

TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
data:
  greeting: {{ .Values.greeting | quote }}
  tier: "${tier}"
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'registry.example.com/web:1'}]}
"""


def document(spec: str, name: str = "web") -> str:
    head = f"apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\n"
    return f"{head}spec:\n  namespace: {name}\n{spec}"


def manifest(desired: dict[UnitKey, Assignment], cluster: str, application: str = "web") -> dict:
    (found,) = bundle.open_bundle(desired[UnitKey(cluster, application, application)], lambda _: b"").manifests
    return found


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")
    repo.write("charts/web/values.yaml", "greeting: hello\n")
    repo.write("charts/web/templates/cm.yaml", TEMPLATE)
    return repo


@pytest.fixture
def templated(monkeypatch) -> list[str]:
    """The applications for which workers did template steps."""
    done = []
    template = RenderPool.template

    async def noted(self, job):
        done.append(job.application)
        return await template(self, job)

    monkeypatch.setattr(RenderPool, "template", noted)
    return done


async def test_a_chart_in_git_gets_its_values_from_overrides_and_is_templated_once_per_values(
    repo, tmp_path, templated
):
    overrides = "  overrides: [{when: {environments: [prod]}, values: {greeting: 'good day, ${tier}'}}]\n"
    repo.write("web.yaml", document("  source: {path: charts/web}\n" + overrides))
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("web"))
        desired = await live.desired()

        assert manifest(desired, "dev-1")["data"] == {"greeting": "hello", "tier": "bronze"}
        assert manifest(desired, "prod-1")["data"] == {"greeting": "good day, gold", "tier": "gold"}
        assert manifest(desired, "prod-1")["metadata"]["namespace"] == "web"
        assert len(templated) == 2

        repo.write("charts/other/Chart.yaml", "apiVersion: v2\nname: other\nversion: 1.0.0\n")
        await live.seen(repo.commit("another chart"))
        assert len(templated) == 2
        assert await live.desired() == desired

        repo.write("charts/web/values.yaml", "greeting: hi\n")
        await live.seen(repo.commit("hi"))
        assert manifest(await live.desired(), "dev-1")["data"]["greeting"] == "hi"


async def test_clusters_that_differ_in_what_is_only_in_the_output_share_a_template_step(repo, tmp_path, templated):
    repo.write("web.yaml", document("  source: {path: charts/web}\n"))
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("web"))
        desired = await live.desired()

    assert {cluster: manifest(desired, cluster)["data"]["tier"] for cluster in ("dev-1", "prod-1")} == {
        "dev-1": "bronze",
        "prod-1": "gold",
    }
    assert len(templated) == 1


async def test_value_files_come_from_beside_the_chart_and_from_another_repository(repo, tmp_path):
    config = GitRepo(tmp_path / "config")
    config.write("web/prod.yaml", "greeting: from the other repository\n")
    config.commit("config")
    repo.write("values/dev.yaml", "greeting: from above the chart\n")
    spec = f"""\
  source: {{path: charts/web}}
  sources: [{{name: config, repo: '{config.path}'}}]
  overrides:
  - {{when: {{environments: [dev]}}, valueFiles: [/values/dev.yaml]}}
  - {{when: {{environments: [prod]}}, valueFiles: [$config/web/prod.yaml]}}
"""
    repo.write("web.yaml", document(spec))
    sha = repo.commit("web")
    given = settings(tmp_path / "state", str(repo.path), git=GitSettings(poll_interval=1, local=True))
    async with live_hub(given) as live:
        await live.seen(sha)
        await until(lambda: live.hub.view.applications["web"].history)
        await live.seen(sha)
        desired = await live.desired()
        assert manifest(desired, "dev-1")["data"]["greeting"] == "from above the chart"
        assert manifest(desired, "prod-1")["data"]["greeting"] == "from the other repository"

        config.write("web/prod.yaml", "greeting: changed there\n")
        config.commit("changed")
        before = live.hub.view.applications["web"].history[0]
        live.hub.wake()
        await until(lambda: live.hub.view.applications["web"].history[0] != before)
        await live.seen(sha)
        assert manifest(await live.desired(), "prod-1")["data"]["greeting"] == "changed there"


async def test_a_chart_of_a_repository_follows_its_range_and_stays_when_the_repository_fails(repo, tmp_path):
    served = ChartRepository()
    served.put("web", "1.0.0", packed("web", "1.0.0", **{"templates/a.yaml": configmap("web", "1.0.0")}))
    served.put("web", "2.0.0")
    async with listening(served.app()) as origin:
        spec = f"  source: {{repo: '{origin}/charts', chart: web, version: ^1.0}}\n"
        repo.write("web.yaml", document(spec))
        given = settings(
            tmp_path / "state",
            str(repo.path),
            egress=EgressSettings(allow=("127.0.0.1",)),
            charts=ChartSettings(poll_interval=1),
        )
        sha = repo.commit("web")
        async with live_hub(given) as live:
            await live.seen(sha)
            await until(lambda: live.hub.view.applications["web"].history)
            await live.seen(sha)
            assert manifest(await live.desired(), "dev-1")["data"] == {"value": "1.0.0"}
            source = live.hub.view.applications["web"].source
            assert (source.chart, source.version, source.repo) == ("web", "^1.0", f"{origin}/charts")

            served.put("web", "1.1.0", packed("web", "1.1.0", **{"templates/a.yaml": configmap("web", "1.1.0")}))
            await until(lambda: len(live.hub.view.applications["web"].history) == 2)
            await live.seen(sha)
            before = await live.desired()
            assert manifest(before, "dev-1")["data"] == {"value": "1.1.0"}

            del served.entries["web"]
            await until(lambda: any("1.1.0 stays" in problem for problem in live.problems()))
            await live.seen(sha)
            assert await live.desired() == before


async def test_a_chart_that_fails_stops_only_its_own_application_and_says_where(repo, tmp_path):
    repo.write("web.yaml", document("  source: {path: charts/web}\n"))
    repo.write("other.yaml", document("  source: {path: apps/other}\n", "other"))
    repo.write("apps/other/cm.yaml", configmap("other"))
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("start"))
        before = await live.desired()
        repo.write("charts/web/templates/cm.yaml", TEMPLATE + '  broken: {{ fail "no greeting today" }}\n')
        repo.write("apps/other/cm.yaml", configmap("other", "2"))
        await live.seen(repo.commit("break it"))
        after = await live.desired()

        assert manifest(after, "dev-1", "other")["data"] == {"value": "2"}
        assert after[UnitKey("dev-1", "web", "web")] == before[UnitKey("dev-1", "web", "web")]
        (said,) = [problem for problem in live.problems() if "no greeting today" in problem]
        assert "templates/cm.yaml" in said


@needs_kustomize
async def test_a_kustomization_follows_its_base_and_takes_images_and_replicas_of_overrides(repo, tmp_path, templated):
    repo.write("base/kustomization.yaml", "resources: [web.yaml]\n")
    repo.write("base/web.yaml", DEPLOYMENT)
    repo.write("overlays/all/kustomization.yaml", "resources: [../../base]\nlabels: [{pairs: {team: shop}}]\n")
    spec = """\
  source: {path: overlays/all}
  overrides:
  - when: {environments: [prod]}
    images: [{name: registry.example.com/web, newTag: '2'}]
    replicas: [{name: web, count: 5}]
"""
    repo.write("web.yaml", document(spec))
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("web"))
        desired = await live.desired()
        dev, prod = manifest(desired, "dev-1"), manifest(desired, "prod-1")
        assert dev["metadata"]["labels"] == {"team": "shop"}
        assert (dev["spec"]["replicas"], prod["spec"]["replicas"]) == (1, 5)
        images = [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in (dev, prod)]
        assert images == ["registry.example.com/web:1", "registry.example.com/web:2"]
        assert len(templated) == 1

        repo.write("base/notes.txt", "nothing that the overlay reads")
        await live.seen(repo.commit("notes"))
        assert len(templated) == 1
        repo.write("base/web.yaml", DEPLOYMENT.replace("replicas: 1", "replicas: 2"))
        await live.seen(repo.commit("two"))
        assert manifest(await live.desired(), "dev-1")["spec"]["replicas"] == 2


async def test_a_chart_that_draws_a_password_draws_it_once_even_over_a_restart(repo, tmp_path, templated):
    random = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {password: {{ randAlphaNum 20 }}}\n"
    repo.write("charts/web/templates/cm.yaml", random)
    repo.write("web.yaml", document("  source: {path: charts/web}\n"))
    given = settings(tmp_path / "state", str(repo.path))
    async with live_hub(given) as live:
        await live.seen(repo.commit("web"))
        before = manifest(await live.desired(), "dev-1")
        assert before == manifest(await live.desired(), "prod-1")
    async with live_hub(given) as live:
        repo.write("README.md", "words")
        await live.seen(repo.commit("words"))
        assert manifest(await live.desired(), "dev-1") == before
        assert len(templated) == 1
        repo.write("charts/web/values.yaml", "greeting: other\n")
        await live.seen(repo.commit("values"))
        assert manifest(await live.desired(), "dev-1") != before


async def test_a_chart_that_fails_for_one_cluster_leaves_that_as_it_is_and_the_others_go_on(repo, tmp_path):
    repo.write("web.yaml", document("  source: {path: charts/web}\n  render: {helm: {values: {tier: '${tier}'}}}\n"))
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("web"))
        before = await live.desired()
        fails = '  region: {{ if eq .Values.tier "gold" }}{{ fail "gold has no region" }}{{ else }}eu{{ end }}\n'
        repo.write("charts/web/templates/cm.yaml", TEMPLATE + fails)
        await live.seen(repo.commit("regions"))
        after = await live.desired()

        assert manifest(after, "dev-1")["data"]["region"] == "eu"
        assert after[UnitKey("prod-1", "web", "web")] == before[UnitKey("prod-1", "web", "web")]
        (said,) = [problem for problem in live.problems() if "gold has no region" in problem]
        assert "templates/cm.yaml" in said


async def test_what_a_chart_asks_of_a_cluster_is_answered_for_each_and_equal_clusters_share_a_template_step(
    repo, tmp_path, templated
):
    asks = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  version: {{ .Capabilities.KubeVersion.Version | quote }}
  gateway: {{ .Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1/Gateway" | quote }}
"""
    repo.write("charts/web/templates/cm.yaml", asks)
    repo.write("more.yaml", "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {name: dev-2}\n")
    repo.write("web.yaml", document("  source: {path: charts/web}\n"))

    async def tell(live, cluster: str, version: str, *apis: str) -> None:
        served = tuple(sorted(("v1", "v1/ConfigMap", *apis)))
        facts = {"kubernetes": version, "apis": apis_digest(served)}
        beat = Heartbeat(1, cluster, Clock().now(), 10.0, "test", "boot", 0, "", facts)
        await live.bus.publish_stored(subjects.apis(cluster), encode(ServedApis(1, cluster, facts["apis"], served)))
        await live.bus.publish_stored(subjects.beat(cluster), encode(beat))

    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        sha = repo.commit("web")
        await live.seen(sha)
        assert await live.desired() == {}
        assert any("what its API can do" in problem for problem in live.problems())

        await tell(live, "dev-1", "v1.30.2")
        await tell(live, "dev-2", "v1.30.2")
        await tell(live, "prod-1", "v1.31.0", "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1/Gateway")
        await until(lambda: len(live.hub.view.applications["web"].clusters) == 3 and not live.problems())
        await live.seen(sha)
        desired = await live.desired()

    assert {cluster: manifest(desired, cluster)["data"] for cluster in ("dev-1", "dev-2", "prod-1")} == {
        "dev-1": {"version": "v1.30.2", "gateway": "false"},
        "dev-2": {"version": "v1.30.2", "gateway": "false"},
        "prod-1": {"version": "v1.31.0", "gateway": "true"},
    }
    assert len(templated) == 2


@needs_kustomize
async def test_a_base_of_another_repository_comes_through_the_hubs_mirror_when_it_is_allowed(repo, tmp_path):
    base = GitRepo(tmp_path / "served" / "base")
    base.write("web/kustomization.yaml", "resources: [cm.yaml]\n")
    base.write("web/cm.yaml", configmap("web", "1"))
    base.commit("base")
    with base.serve_http() as url:
        host = url.split("://")[1].split("/")[0]
        repo.write("overlay/kustomization.yaml", f"resources: ['{url}//web?ref=main']\n")
        repo.write("web.yaml", document("  source: {path: overlay}\n"))
        sha = repo.commit("web")
        common = {"egress": EgressSettings(allow=("127.0.0.1",)), "git": GitSettings(poll_interval=1)}
        refused = settings(tmp_path / "refused", str(repo.path), **common)
        allowed = settings(
            tmp_path / "allowed",
            str(repo.path),
            render=RenderSettings(kustomize_remotes=(f"http://{host}",)),
            **common,
        )
        async with live_hub(refused) as live:
            await live.seen(sha)
            assert await live.desired() == {}
            assert any("render.kustomize_remotes" in problem for problem in live.problems())
        async with live_hub(allowed) as live:
            await live.seen(sha)
            await until(lambda: live.hub.view.applications["web"].history)
            await live.seen(sha)
            assert manifest(await live.desired(), "dev-1")["data"] == {"value": "1"}

            base.write("web/cm.yaml", configmap("web", "2"))
            base.commit("two")
            await until(lambda: len(live.hub.view.applications["web"].history) == 2)
            await live.seen(sha)
            assert manifest(await live.desired(), "dev-1")["data"] == {"value": "2"}

            # What is written elsewhere is held against the project of who takes it.
            project = "apiVersion: yardarm.dev/v1alpha1\nkind: Project\nmetadata: {name: shop}\n"
            repo.write("project.yaml", f"{project}spec: {{sources: [git.example.com/shop/*]}}\n")
            repo.write("web.yaml", document("  project: shop\n  source: {path: overlay}\n"))
            before = await live.desired()
            await live.seen(repo.commit("fenced"))
            assert await live.desired() == before
            assert any(f"project shop: {url} is not among its sources" in problem for problem in live.problems())


@pytest.mark.skipif(helm_binary() is None, reason="no helm executable here")
async def test_a_helm_executable_renders_anew_but_for_what_was_drawn_at_random(repo, tmp_path, templated):
    random = "apiVersion: v1\nkind: Secret\nmetadata: {name: random}\nstringData: {password: {{ randAlphaNum 20 }}}\n"
    repo.write("charts/random/Chart.yaml", "apiVersion: v2\nname: random\nversion: 1.0.0\n")
    repo.write("charts/random/templates/secret.yaml", random)
    repo.write("random.yaml", document("  source: {path: charts/random}\n", "random"))
    repo.write("web.yaml", document("  source: {path: charts/web}\n"))
    given = settings(tmp_path / "state", str(repo.path))
    async with live_hub(given) as live:
        await live.seen(repo.commit("both"))
        before = await live.desired()
    templated.clear()
    program = RenderSettings(helm_binary=str(helm_binary()))
    async with live_hub(settings(tmp_path / "state", str(repo.path), render=program)) as live:
        repo.write("README.md", "words")
        await live.seen(repo.commit("words"))
        after = await live.desired()
    assert [manifest(after, "dev-1", name) for name in ("random", "web")] == [
        manifest(before, "dev-1", name) for name in ("random", "web")
    ]
    assert templated == ["web"]
