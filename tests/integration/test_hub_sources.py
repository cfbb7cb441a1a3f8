"""What a hub makes of its repositories: whose commits count, which may be read at all, and what it says of those away."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import aiohttp
import pytest

from hub.settings import EgressSettings, GitSettings, HubSettings, SignaturePolicy
from shared.model import UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, LiveHub, application, configmap, live_hub, settings, until
from tests.fakes.natsserver import free_port
from tests.fakes.signing import HAS_SSH_KEYGEN, SshKey, SshKeys

WEB = UnitKey("dev-1", "web", "web")


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("fleet/web.yaml", application("web"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    return repo


def signed(repo: GitRepo, key: SshKey, message: str) -> str:
    repo.git("add", "--all")
    repo.git(*key.config(), "commit", "--quiet", "-S", "-m", message)
    return repo.head


async def get(live: LiveHub, path: str) -> dict:
    headers = {"Authorization": f"Bearer {live.hub.token}"}
    async with (
        aiohttp.ClientSession(f"{live.hub.url}/api/v1/", headers=headers) as session,
        session.get(path) as answer,
    ):
        assert answer.status == 200
        return await answer.json()


@pytest.mark.skipif(not HAS_SSH_KEYGEN, reason="ssh-keygen is not installed")
async def test_a_commit_that_is_not_signed_changes_nothing_until_its_signer_is_let_in(repo, tmp_path):
    keys = SshKeys(tmp_path)
    ada, eve = keys.make("ada"), keys.make("eve")
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(ada.allowed())
    policy = SignaturePolicy(ssh=allowed)
    given = settings(tmp_path / "state", str(repo.path), git=GitSettings(poll_interval=1.0, signatures={"*": policy}))
    good = signed(repo, ada, "start")
    async with live_hub(given) as live:
        await live.seen(good)
        before = await live.sequences()
        head = (await get(live, "summary"))["head"]
        assert (head["author"], head["email"]) == ("Ada", "ada@example.com")
        assert head["signed"] == {"by": "ada@example.com", "key": ada.fingerprint, "method": "ssh"}

        repo.write("apps/web/cm.yaml", configmap("web", "sneaked in"))
        bad = signed(repo, eve, "sneaked in")
        live.hub.wake()
        await until(lambda: any(f"commit {bad[:12]} of HEAD" in problem for problem in live.problems()))
        found = [problem for problem in live.problems() if bad[:12] in problem]
        assert len(found) == 1
        assert found[0].startswith(f"error: {repo.path}: commit {bad[:12]}")
        assert f"{eve.fingerprint}, which is not an allowed signer" in found[0]
        assert f"it is not acted upon, {good[:12]} stays" in found[0]
        assert "git commit -S" in found[0]
        assert await live.sequences() == before
        assert (await live.desired())[WEB].commit == good

        allowed.write_text(ada.allowed() + eve.allowed())
        await until(lambda: live.hub._lead.fleet.looked == bad)
        await live.seen(bad)
        assert (await live.desired())[WEB].commit == bad
        assert not [problem for problem in live.problems() if bad[:12] in problem]


async def test_a_repository_that_is_away_leaves_everything_as_it_is_and_its_age_is_shown(repo, tmp_path):
    sha, port, started = repo.commit("start"), free_port(), time.time()
    with repo.serve_http(port=port) as url:
        given = settings(tmp_path / "state", url)
        async with live_hub(given) as live:
            await live.seen(sha)
            [known] = (await get(live, "repositories"))["items"]
            assert (known["name"], known["available"], known["error"]) == (url, True, "")
            before = await live.sequences()
    async with live_hub(given) as live:  # nobody serves it any more
        await until(lambda: any("may be out of date since" in problem for problem in live.problems()))
        [known] = (await get(live, "repositories"))["items"]
        assert known["available"]
        assert "cannot be read" in known["error"]
        assert started <= known["since"] <= time.time()
        await live.seen(sha)
        assert await live.sequences() == before

        with repo.serve_http(port=port):
            repo.write("apps/web/cm.yaml", configmap("web", "2"))
            sha = repo.commit("back")
            await live.seen(sha)
            await until(lambda: not live.hub.view.fleet.repositories[0].error)
            assert not [problem for problem in live.problems() if "out of date" in problem]


def other(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "other")
    repo.write("k8s/cm.yaml", configmap("lib"))
    repo.commit("lib")
    return repo


def lib(address: str) -> str:
    return application("lib").replace("path: apps/lib", f"repo: '{address}', path: k8s")


async def test_documents_may_not_name_folders_of_the_hubs_machine(repo, tmp_path):
    repo.write("fleet/lib.yaml", lib(str(other(tmp_path).path)))
    sha = repo.commit("lib")
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(sha)

        assert set(await live.desired()) == {WEB, UnitKey("prod-1", "web", "web")}
        [found] = [problem for problem in live.problems() if "folder of the hub's own machine" in problem]
        assert "git.local: true" in found


def with_egress(tmp_path: Path, repo: GitRepo, **egress: tuple[str, ...]) -> HubSettings:
    return settings(tmp_path / "state", str(repo.path), egress=EgressSettings(**egress))


async def test_a_repository_that_documents_name_is_not_connected_to_where_the_policy_says_no(repo, tmp_path):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        port = listening.getsockname()[1]
        repo.write("fleet/lib.yaml", lib(f"http://localhost:{port}/other"))
        sha = repo.commit("lib")
        async with live_hub(with_egress(tmp_path, repo)) as live:
            await live.seen(sha)
            await until(lambda: any("where the hub may not connect to" in problem for problem in live.problems()))
            assert WEB in await live.desired()
            with pytest.raises(BlockingIOError):
                listening.accept()


async def test_a_repository_that_the_policy_allows_is_read(repo, tmp_path):
    with other(tmp_path).serve_http() as url:
        port = url.rpartition("/")[0].rpartition(":")[2]
        repo.write("fleet/lib.yaml", lib(url))
        sha = repo.commit("lib")
        async with live_hub(with_egress(tmp_path, repo, allow=(f"127.0.0.1:{port}",))) as live:
            await live.seen(sha)
            while UnitKey("dev-1", "lib", "lib") not in await live.desired():
                await asyncio.sleep(0.05)
            assert len(live.hub.view.fleet.repositories) == 2


async def test_submodules_are_read_when_they_may_be_and_waited_for_when_they_cannot(repo, tmp_path):
    library = other(tmp_path)
    sha = repo.commit("start")
    port = free_port()
    with repo.serve_http(port=port) as url:
        git = GitSettings(poll_interval=1.0, submodules=True)
        given = settings(tmp_path / "state", url, git=git, egress=EgressSettings(allow=("127.0.0.1",)))
        async with live_hub(given) as live:
            await live.seen(sha)
            repo.write(".gitmodules", '[submodule "lib"]\n\tpath = apps/web/lib\n\turl = ../other\n')
            repo.git("add", ".gitmodules")
            repo.git("update-index", "--add", "--cacheinfo", f"160000,{library.head},apps/web/lib")
            repo.git("commit", "--quiet", "--message", "with a submodule")
            library.path.rename(tmp_path / "away")
            live.hub.wake()
            await until(lambda: any("the submodule apps/web/lib" in problem for problem in live.problems()))
            assert (await live.desired())[WEB].commit == sha

            (tmp_path / "away").rename(library.path)
            await until(lambda: live.hub._lead.fleet.looked == repo.head)
            await live.seen(repo.head)
            assert (await live.desired())[WEB].objects == 2
            assert not [problem for problem in live.problems() if "submodule" in problem]


async def test_a_repository_that_nothing_comes_from_any_more_is_not_spoken_of(repo, tmp_path):
    repo.write("fleet/lib.yaml", lib("http://127.0.0.1:1/typo"))
    sha = repo.commit("a typing error")
    async with live_hub(with_egress(tmp_path, repo, allow=("127.0.0.1",))) as live:
        await live.seen(sha)
        await until(lambda: any("127.0.0.1:1/typo cannot be read" in problem for problem in live.problems()))
        repo.remove("fleet/lib.yaml")
        await live.seen(repo.commit("without it"))
        await until(lambda: not any("typo" in problem for problem in live.problems()))
        assert [each.name for each in live.hub.view.fleet.repositories] == [str(repo.path)]


async def test_a_repository_is_let_go_when_its_application_moves_to_one_that_is_known(repo, tmp_path):
    repo.write("fleet/lib.yaml", lib("http://127.0.0.1:1/typo"))
    repo.write("apps/lib/cm.yaml", configmap("lib"))
    sha = repo.commit("a typing error")
    async with live_hub(with_egress(tmp_path, repo, allow=("127.0.0.1",))) as live:
        await live.seen(sha)
        await until(lambda: any("127.0.0.1:1/typo cannot be read" in problem for problem in live.problems()))
        repo.write("fleet/lib.yaml", application("lib"))
        await live.seen(repo.commit("as it was meant"))
        await until(lambda: not any("typo" in problem for problem in live.problems()))
        assert [each.name for each in live.hub.view.fleet.repositories] == [str(repo.path)]


async def test_a_cluster_with_more_units_than_its_list_can_name_is_a_finding_until_they_fit(
    repo, tmp_path, monkeypatch
):
    monkeypatch.setattr("hub.roots.LIST_BYTES", 800)
    for number in range(8):
        repo.write(f"fleet/more-{number}.yaml", application(f"more-{number}", "  placement: {clusters: [dev-1]}\n"))
        repo.write(f"apps/more-{number}/cm.yaml", configmap(f"more-{number}"))

    def said():
        return [problem for problem in live.problems() if "the list of them" in problem]

    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live:
        await live.seen(repo.commit("too many"))
        await until(said)
        (found,) = said()
        assert found.startswith("clusters.yaml:")
        assert "error: cluster dev-1 has 9 units" in found
        assert "800 can be sent" in found
        assert "place fewer applications on this cluster" in found
        shown = [
            each for each in (await get(live, "problems"))["items"] if "cluster dev-1 has 9 units" in each["message"]
        ]
        assert [each["severity"] for each in shown] == ["error"]
        assert (await get(live, "summary"))["problems"]["error"] == 1
        stale = (await live.roots()).get("dev-1")
        assert stale is None or len(stale.units) < 9

        monkeypatch.setattr("hub.roots.LIST_BYTES", 100_000)
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        await live.seen(repo.commit("they fit"))
        await until(lambda: not said())
        assert len((await live.roots())["dev-1"].units) == 9
        assert (await get(live, "summary"))["problems"]["error"] == 0
