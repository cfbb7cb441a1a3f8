"""The path of a commit through the hub: a real repository in, signed assignments in a real nats-server out."""

import base64
import hashlib
import hmac
import time
from urllib.parse import urlencode

import aiohttp
import orjson
import pytest

from hub import streams
from hub.settings import GitSettings
from hub.sources.webhooks import sign
from hub.view.history import EventFilter
from shared import bundle
from shared.messages import Assignment, encode
from shared.model import UnitKey
from shared.signing import Trust
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings, until


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    for name in ("web", "api"):
        repo.write(f"fleet/{name}.yaml", application(name))
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    repo.commit("start")
    return repo


@pytest.fixture
def given(tmp_path, repo):
    return settings(tmp_path / "state", str(repo.path))


def unit(application: str, cluster: str = "dev-1") -> UnitKey:
    return UnitKey(cluster, application, application)


def manifests(assignment: Assignment) -> list[dict]:
    return bundle.open_bundle(assignment, lambda _: b"").manifests


async def test_a_commit_becomes_one_signed_assignment_per_unit(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        desired, roots = await live.desired(), await live.roots()

    assert set(desired) == {unit(a, c) for a in ("web", "api") for c in ("dev-1", "prod-1")}
    trust = Trust((live.hub.identity.signing_key.public,))
    for assignment in desired.values():
        assert trust.open(encode(assignment), Assignment).commit == repo.head
        assert [m["metadata"]["name"] for m in manifests(assignment)] == [assignment.application]
        assert assignment.traceparent
    assert {(e.application, e.generation) for e in roots["dev-1"].units} == {
        (u.application, a.generation) for u, a in desired.items() if u.cluster == "dev-1"
    }


async def test_only_what_changed_is_rendered_and_published(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        evaluated = live.hub._lead.fleet.evaluated
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        await live.seen(repo.commit("web: 2"))
        after = await live.desired()

        assert {u for u in after if after[u] != before[u]} == {unit("web"), unit("web", "prod-1")}
        assert live.hub._lead.fleet.evaluated == evaluated + 1
        assert manifests(after[unit("web")])[0]["data"] == {"value": "2"}


async def test_a_commit_that_changes_nothing_publishes_nothing(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.sequences()
        repo.write("apps/web/cm.yaml", "# a comment\n" + configmap("web"))
        repo.write("README.md", "hello")
        await live.seen(repo.commit("words"))

        assert await live.sequences() == before


async def test_a_restarted_hub_publishes_nothing_again(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.sequences()
        revisions = {name: info.history for name, info in live.hub.view.applications.items()}
    async with live_hub(given) as live:
        await live.seen(repo.head)

        assert await live.sequences() == before
        assert {name: info.history for name, info in live.hub.view.applications.items()} == revisions


async def test_a_change_made_while_the_hub_was_down_is_published_when_it_is_back(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
    repo.remove("fleet/api.yaml")
    repo.write("apps/web/cm.yaml", configmap("web", "2"))
    sha = repo.commit("meanwhile")
    async with live_hub(given) as live:
        await live.seen(sha)
        desired = await live.desired()

    assert desired[unit("api")].removed
    assert manifests(desired[unit("web")])[0]["data"] == {"value": "2"}


async def test_an_application_removed_from_git_is_told_to_leave(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        repo.remove("fleet/api.yaml")
        await live.seen(repo.commit("api is gone"))
        desired = await live.desired()

        assert desired[unit("api")].removed
        assert desired[unit("api")].objects == 0
        assert not desired[unit("web")].removed


async def test_a_cluster_that_is_not_selected_any_more_is_told_to_leave(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        repo.write("fleet/api.yaml", application("api", "  placement: {environments: [dev]}\n"))
        await live.seen(repo.commit("api: dev only"))
        desired = await live.desired()

        assert desired[unit("api", "prod-1")].removed
        assert not desired[unit("api")].removed


async def test_a_cluster_removed_from_git_keeps_what_it_has(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.sequences()
        repo.write("clusters.yaml", CLUSTERS.split("---", 1)[1])
        await live.seen(repo.commit("dev-1 is not described any more"))

        assert await live.sequences() == before


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: [\n", "apps/web/cm.yaml:"),
        ("apiVersion: v1\nmetadata: {name: web}\n", "kind is missing"),
        ("a: 1\na: 2\nkind: X\n", "duplicate|twice"),
        ("[" * 40_000, "apps/web/cm.yaml:1"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ), "apps/web/cm.yaml"),
    ],
    ids=["syntax", "no-kind", "duplicate-key", "brackets", "bomb"],
)  # fmt: skip
async def test_a_bad_manifest_stops_only_its_own_application(repo, given, broken, said):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        repo.write("apps/web/cm.yaml", broken)
        repo.write("apps/api/cm.yaml", configmap("api", "2"))
        await live.seen(repo.commit("one bad, one good"))
        after = await live.desired()

        assert after[unit("web")] == before[unit("web")]
        assert manifests(after[unit("api")])[0]["data"] == {"value": "2"}
        problems = "\n".join(live.problems())
        assert any(part in problems for part in said.split("|")), problems


async def test_a_bad_fleet_document_keeps_its_last_good_version(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        repo.write("fleet/api.yaml", application("api", "  plcement: {}\n"))
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        await live.seen(repo.commit("a typo"))
        after = await live.desired()

        assert after[unit("api")] == before[unit("api")]
        assert after[unit("web")] != before[unit("web")]
        assert any("fleet/api.yaml:7" in p and "placement" in p for p in live.problems()), live.problems()


async def test_a_bad_fleet_document_removes_nothing_at_a_restart(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.sequences()
    repo.write("fleet/api.yaml", application("api", "  plcement: {}\n"))
    sha = repo.commit("a typo")
    async with live_hub(given) as live:
        await live.seen(sha)

        assert await live.sequences() == before


@pytest.mark.parametrize("how", ["emptied", "without documents", "unreachable"])
async def test_a_repository_that_says_nothing_changes_nothing(repo, given, how):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.sequences()
        if how == "unreachable":
            repo.path.rename(repo.path.with_name("moved"))
        else:
            for path in ("clusters.yaml", "fleet/web.yaml", "fleet/api.yaml"):
                repo.remove(path)
            if how == "emptied":
                repo.remove("apps/web/cm.yaml")
                repo.remove("apps/api/cm.yaml")
                repo.write("README.md", "nothing here")
            repo.commit("gone")
        live.hub.wake()
        wanted = {"unreachable": "the last good state stays"}.get(how, "everything stays as it is")
        await until(lambda: any(wanted in p for p in live.problems()))

        assert await live.sequences() == before


async def test_two_applications_cannot_have_one_object(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        shared = configmap("web").replace("metadata: {name: web}", "metadata: {name: web, namespace: web}")
        repo.write("apps/api/web.yaml", shared)
        await live.seen(repo.commit("api wants what web has"))
        after = await live.desired()

        assert after == before
        assert any("ConfigMap web/web already belongs to application web" in p for p in live.problems())


async def test_of_two_new_applications_that_want_one_object_one_gets_it_until_it_lets_go(repo, given):
    shared = configmap("one").replace("metadata: {name: one}", "metadata: {name: one, namespace: web}")
    for name in ("web", "api"):
        repo.write(f"apps/{name}/cm.yaml", shared)
    sha = repo.commit("both want it")
    async with live_hub(given) as live:
        await live.seen(sha)
        desired = await live.desired()

        (winner,) = {key.application for key in desired}
        (loser,) = {"web", "api"} - {winner}
        assert [p for p in live.problems() if f"ConfigMap web/one already belongs to application {winner}" in p]

        repo.write(f"apps/{winner}/cm.yaml", configmap(winner))
        await live.seen(repo.commit("one lets go"))
        desired = await live.desired()
        assert manifests(desired[unit(loser)])[0]["metadata"]["name"] == "one"
        assert not live.problems()


async def test_a_policy_too_large_for_any_message_stops_only_its_application(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        rules = ", ".join(f"{{kind: Kind{n}, fields: [/spec/{'x' * 80}]}}" for n in range(3_000))
        repo.write("fleet/api.yaml", application("api", f"  sync: {{ignore: [{rules}]}}\n"))
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        await live.seen(repo.commit("three thousand rules"))
        after = await live.desired()

        assert after[unit("api")] == before[unit("api")]
        assert after[unit("web")] != before[unit("web")]
        assert any("which no message may carry" in p for p in live.problems()), live.problems()


async def test_who_had_an_object_keeps_it_over_a_restart_too(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
    repo.write("fleet/aaa.yaml", application("aaa", "  overrides: []\n"))
    repo.write("apps/aaa/cm.yaml", configmap("web").replace("{name: web}", "{name: web, namespace: web}"))
    sha = repo.commit("aaa wants what web has, while the hub is down")
    async with live_hub(given) as live:
        await live.seen(sha)
        desired = await live.desired()

        assert unit("aaa") not in desired
        assert not desired[unit("web")].removed
        assert any("ConfigMap web/web already belongs to application web" in p for p in live.problems())


async def test_variables_differ_by_environment_and_equal_clusters_share_a_bundle(repo, given):
    repo.write("apps/web/cm.yaml", configmap("web", "${tier}"))
    sha = repo.commit("tiers")
    async with live_hub(given) as live:
        await live.seen(sha)
        desired = await live.desired()

    assert manifests(desired[unit("web")])[0]["data"] == {"value": "bronze"}
    assert manifests(desired[unit("web", "prod-1")])[0]["data"] == {"value": "gold"}
    assert desired[unit("api")].digest == desired[unit("api", "prod-1")].digest


def large(repo: GitRepo) -> str:
    """A commit that makes web's bundle some megabytes that do not compress."""
    noise = "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(12_000))
    for number in range(4):
        repo.write(f"apps/web/big{number}.yaml", configmap(f"big{number}", noise[number:]))
    return repo.commit("large")


async def test_a_bundle_larger_than_a_nats_message_is_stored_in_pieces(repo, given):
    sha = large(repo)
    async with live_hub(given) as live:
        await live.seen(sha)
        assignment = (await live.desired())[unit("web")]

        async def fetch(name: str) -> bytes:
            message = await live.bus.get_last(f"$JS.API.DIRECT.GET.BLOBS.blob.default.{name}")
            assert message is not None
            return message.data

        raw = {}
        for ref in assignment.packs:
            names = [ref.digest] if ref.chunks == 1 else [f"{ref.digest}-{n}" for n in range(ref.chunks)]
            raw[ref.digest] = bundle.unpack(ref, b"".join([await fetch(name) for name in names]))

    assert not assignment.inline
    assert len(bundle.open_bundle(assignment, lambda ref: raw[ref.digest]).lines) == 5


async def test_bodies_that_nobody_has_any_more_are_removed_after_two_looks(repo, given):
    sha = large(repo)
    async with live_hub(given) as live:
        await live.seen(sha)
        sweeper = live.hub._lead.sweeper
        stored = await streams.blob_names(live.bus)

        assert await sweeper.sweep() == await sweeper.sweep() == 0
        for number in range(4):
            repo.remove(f"apps/web/big{number}.yaml")
        await live.seen(repo.commit("small again"))
        assert await sweeper.sweep() == 0
        assert await sweeper.sweep() == len(stored)
        assert await streams.blob_names(live.bus) == set()

        await live.seen(large(repo))
        assert await streams.blob_names(live.bus) == stored


async def test_a_directory_of_manifests_is_one_application_everywhere_and_says_so(tmp_path):
    repo = GitRepo(tmp_path / "plain")
    repo.write("deploy/cm.yaml", configmap("a"))
    sha = repo.commit("start")
    clusters = tmp_path / "clusters.yaml"
    clusters.write_text(CLUSTERS.split("---\napiVersion: yardarm.dev/v1alpha1\nkind: Environment")[0])
    given = settings(tmp_path / "state", str(repo.path), fleet_path="deploy", clusters_file=clusters)
    async with live_hub(given) as live:
        await live.seen(sha)

        assert set(await live.desired()) == {UnitKey(c, "default", "deploy") for c in ("dev-1", "prod-1")}
        assert any("taken as one application" in p for p in live.problems())


async def test_an_application_may_come_from_another_repository(repo, tmp_path):
    given = settings(tmp_path / "state", str(repo.path), git=GitSettings(poll_interval=1.0, local=True))
    other = GitRepo(tmp_path / "other")
    other.write("k8s/cm.yaml", configmap("lib"))
    other_sha = other.commit("lib")
    spec = application("lib").replace("path: apps/lib", f"repo: '{other.path}', path: k8s")
    repo.write("fleet/lib.yaml", spec)
    sha = repo.commit("lib")
    async with live_hub(given) as live:
        await live.seen(sha)
        await until(lambda: "lib" in live.hub.view.applications and live.hub.view.applications["lib"].history)

        assert (await live.desired())[unit("lib")].commit == other_sha
        other.write("k8s/cm.yaml", configmap("lib", "2"))
        newer = other.commit("lib: 2")
        live.hub.wake()
        await until(lambda: live.hub.view.applications["lib"].history[0].commit.sha == newer)
        assert manifests((await live.desired())[unit("lib")])[0]["data"] == {"value": "2"}


async def test_a_webhook_has_the_hub_look_at_once_and_only_a_genuine_one(repo, tmp_path):
    given = settings(
        tmp_path / "state", str(repo.path), webhook_secrets=("old", "s3cret"), git=GitSettings(poll_interval=3600)
    )
    push = orjson.dumps({"repository": {"url": str(repo.path), "clone_url": str(repo.path)}, "ref": "refs/heads/main"})
    signed = {"X-Yardarm-Signature": sign(push, "s3cret")}
    github = {"X-Hub-Signature-256": sign(push, "old"), "X-GitHub-Event": "push"}
    async with live_hub(given) as live, aiohttp.ClientSession(f"{live.hub.url}/api/v1/") as session:
        await until(lambda: live.hub._lead is not None and live.hub._lead.fleet.looked == repo.head)

        async def post(provider: str, headers: dict[str, str], data: bytes = push) -> tuple[int, str]:
            async with session.post(f"hooks/{provider}", data=data, headers=headers) as answer:
                return answer.status, await answer.text()

        form = urlencode({"payload": push}).encode()
        as_form = {"X-Hub-Signature-256": sign(form, "s3cret"), "Content-Type": "application/x-www-form-urlencoded"}
        gitlab = signing_token(push, b"s3cret")
        for provider, headers, data in (
            ("generic", signed, push),
            ("github", github, push),
            ("github", as_form, form),
            ("gitlab", gitlab, push),
            ("forgejo", {"X-Forgejo-Signature": sign(push, "old").removeprefix("sha256=")}, push),
        ):
            repo.write("apps/web/cm.yaml", configmap("web", f"{provider} {len(data)}"))
            sha = repo.commit(provider)
            assert (await post("generic", {"X-Yardarm-Signature": sign(push, "wrong")}))[0] == 401
            assert (await post("generic", {}))[0] == 401
            assert live.hub._lead.fleet.looked != sha
            status, said = await post(provider, headers, data)
            assert (status, "looking at 1 repositories" in said) == (202, True), said
            await until(lambda sha=sha: live.hub._lead.fleet.looked == sha)

        ping = b'{"zen": "x"}'
        status, said = await post("github", {"X-GitHub-Event": "ping", "X-Hub-Signature-256": sign(ping, "old")}, ping)
        assert (status, "pong" in said) == (202, True)
        assert (await post("nonsense", signed))[0] == 404
        async with session.get("summary") as answer:
            assert answer.status == 401


def signing_token(body: bytes, key: bytes) -> dict[str, str]:
    """What GitLab sends with a signing token."""
    at = f"{time.time():.0f}"
    digest = hmac.new(key, f"id.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": "id", "webhook-timestamp": at, "webhook-signature": signature}


@pytest.mark.parametrize("how", ["force-pushed", "replaced by another"])
async def test_rewritten_history_is_followed_and_told(repo, given, how):
    repo.write("apps/web/cm.yaml", configmap("web", "2"))
    repo.commit("to be rewritten")
    async with live_hub(given) as live:
        await live.seen(repo.head)
        repo.write("apps/web/cm.yaml", configmap("web", "3"))
        sha = repo.rewrite() if how == "force-pushed" else repo.replace_history()
        await live.seen(sha)
        desired = await live.desired()
        told = [event.message for event in live.hub.view.events.newest(EventFilter(type="source"))]

    assert manifests(desired[unit("web")])[0]["data"] == {"value": "3"}
    assert not any(assignment.removed for assignment in desired.values())
    assert any("history" in message and str(repo.path) in message for message in told), told


async def test_an_error_of_the_hub_itself_stops_one_application_and_is_shown(repo, given, monkeypatch):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        make = live.hub._lead.applications._bundles.make

        async def failing(evaluation, clusters):
            if evaluation.name == "web":
                raise RuntimeError("a fault")
            return await make(evaluation, clusters)

        monkeypatch.setattr(live.hub._lead.applications._bundles, "make", failing)
        for name in ("web", "api"):
            repo.write(f"apps/{name}/cm.yaml", configmap(name, "2"))
        await live.seen(repo.commit("both"))
        after = await live.desired()

        assert after[unit("web")] == before[unit("web")]
        assert after[unit("api")] != before[unit("api")]
        assert any("RuntimeError: a fault; everything stays as it is" in p for p in live.problems())


async def test_an_application_that_never_rendered_has_no_revision(repo, given):
    repo.write("apps/web/cm.yaml", "kind: [")
    sha = repo.commit("web is broken from the start")
    async with live_hub(given) as live:
        await live.seen(sha)

        assert live.hub.view.applications["web"].history == ()
        assert len(live.hub.view.applications["api"].history) == 1
