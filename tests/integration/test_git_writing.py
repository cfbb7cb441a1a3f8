"""Commits that the hub makes, pushed to real Git servers, and what becomes of them when others write as well."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from hub import registered
from hub.domain.promotion import Due, document, pinned_in
from hub.promoting import PinFile, promote
from hub.settings import GitSettings, SignaturePolicy
from hub.sources.access import Credentials
from hub.sources.mirror import Mirror
from hub.sources.signatures.signing import SigningKey
from hub.sources.writing import ATTEMPTS, Author, Base, Change, Writer
from shared.errors import DocumentError, Unavailable
from shared.tasks import Clock
from tests.fakes.gitrepo import GitRepo
from tests.fakes.signing import SshKeys
from tests.fakes.sshserver import Keys

PINS = "promotions/web.yaml"


@pytest.fixture
def people(tmp_path) -> GitRepo:
    """Where people work. What is pushed from here is in `remote`."""
    repo = GitRepo(tmp_path / "work")
    repo.write("README.md", "hello\n")
    repo.write("apps/web/cm.yaml", "kind: ConfigMap\n")
    repo.write("apps/web/run.sh", "echo\n")
    (repo.path / "apps/web/run.sh").chmod(0o755)
    repo.commit("start")
    return repo


@pytest.fixture
def remote(tmp_path, people) -> GitRepo:
    repo = GitRepo(tmp_path / "served" / "fleet.git", bare=True)
    repo.git("config", "http.receivepack", "true")
    people.git("remote", "add", "origin", str(repo.path))
    people.git("push", "--quiet", "origin", "main")
    return repo


@pytest.fixture
def writer() -> Writer:
    return Writer(Author("Yardarm", "yardarm@example.com"), Clock())


@contextlib.asynccontextmanager
async def mirror_of(url: object, tmp_path, **kw: object) -> AsyncIterator[Mirror]:
    mirror = Mirror(str(url), tmp_path / "mirror", **kw)
    try:
        await mirror.fetch()
        yield mirror
    finally:
        mirror.close()


def setting(content: str | None, path: str = PINS, message: str = "promote web") -> Callable[[Base], Change]:
    return lambda _base: Change(message, {path: content.encode() if content is not None else None})


async def test_a_commit_goes_on_top_of_the_branch_by_every_transport(remote, people, writer, tmp_path):
    with remote.serve_http(user="bot", password="s3cret") as http:
        for number, (url, shown) in enumerate(
            [(remote.url, Credentials()), (http, Credentials(username="bot", token="s3cret"))]
        ):
            before = remote.git("rev-parse", "main")
            async with mirror_of(url, tmp_path / str(number), credentials=shown) as mirror:
                written = await writer.write(mirror, setting(f"stage: {number}\n"))
                assert written.pushed
                assert (await mirror.fetch()).notices == ()  # what the hub has written itself is no rewritten history
                assert await mirror.resolve("main") == written.commit
            assert remote.git("rev-parse", "main", "main^").split() == [written.commit, before]
            assert remote.git("show", f"main:{PINS}") == f"stage: {number}"
    assert remote.git("log", "-1", "--format=%an <%ae> %s") == "Yardarm <yardarm@example.com> promote web"
    assert "100755" in remote.git("ls-tree", "main", "apps/web/run.sh")
    assert remote.git("fsck", "--strict") == ""


async def test_what_is_there_already_is_not_written_again(remote, writer, tmp_path):
    async with mirror_of(remote.path, tmp_path) as mirror:
        first = await writer.write(mirror, setting("a: b\n"))
        again = await writer.write(mirror, setting("a: b\n"))
        nothing = await writer.write(mirror, lambda _base: None)
    assert (again.commit, again.pushed, nothing.commit, nothing.pushed) == (first.commit, False, first.commit, False)
    assert remote.git("rev-list", "--count", "main") == "2"


async def test_files_are_removed_and_folders_with_them(remote, writer, tmp_path):
    async with mirror_of(remote.path, tmp_path) as mirror:
        await writer.write(mirror, lambda _base: Change("gone", {"apps/web/cm.yaml": None, "apps/web/run.sh": None}))
        with pytest.raises(DocumentError, match=r"README\.md is not a directory"):
            await writer.write(mirror, setting("x\n", "README.md/inside"))
        with pytest.raises(DocumentError, match="leads out of the repository"):
            await writer.write(mirror, setting("x\n", "../outside"))
    assert remote.git("ls-tree", "-r", "--name-only", "main") == "README.md"


async def test_who_pushes_meanwhile_loses_nothing(remote, people, writer, tmp_path):
    seen: list[bytes | None] = []

    def making(base: Base) -> Change:
        if not seen:
            people.write("apps/web/cm.yaml", "kind: Secret\n")
            people.commit("by somebody else")
            people.git("push", "--quiet", "origin", "main")
        seen.append(base.read("apps/web/cm.yaml"))
        return Change("promote web", {PINS: b"a: b\n"})

    with remote.serve_http() as url:
        async with mirror_of(url, tmp_path) as mirror:
            written = await writer.write(mirror, making)
    assert seen == [b"kind: ConfigMap\n", b"kind: Secret\n"]
    assert remote.git("log", "--format=%s", written.commit).splitlines() == ["promote web", "by somebody else", "start"]


async def test_somebody_who_pushes_all_the_time_wins(remote, people, writer, tmp_path):
    asked: list[str] = []

    def making(base: Base) -> Change:
        asked.append(base.sha)
        people.commit(f"busy {len(asked)}")
        people.git("push", "--quiet", "origin", "main")
        return Change("promote web", {PINS: b"a: b\n"})

    with remote.serve_http() as url:
        async with mirror_of(url, tmp_path) as mirror:
            with pytest.raises(Unavailable, match="others pushed to it 5 times"):
                await writer.write(mirror, making)
    assert len(set(asked)) == ATTEMPTS
    assert remote.git("rev-parse", "main") == people.head


async def test_a_branch_for_review_is_made_once_and_then_left_to_people(remote, people, writer, tmp_path):
    async with mirror_of(remote.path, tmp_path) as mirror:
        first = await writer.write(mirror, setting("a: b\n"), branch="yardarm/promote-web")
        assert (first.pushed, first.branch) == (True, "yardarm/promote-web")
        assert remote.git("rev-parse", "main") == people.head

        people.commit("main goes on")
        people.git("push", "--quiet", "origin", "main")
        again = await writer.write(mirror, setting("a: b\n"), branch="yardarm/promote-web")
        assert (again.pushed, again.commit) == (False, first.commit)

        with pytest.raises(DocumentError, match="has a branch 'yardarm/promote-web' with something else in it"):
            await writer.write(mirror, setting("a: c\n"), branch="yardarm/promote-web")
        assert remote.git("rev-parse", "yardarm/promote-web") == first.commit


async def test_a_branch_that_was_merged_is_used_again_and_one_that_was_deleted_made_anew(
    remote, people, writer, tmp_path
):
    async with mirror_of(remote.path, tmp_path) as mirror:
        await writer.write(mirror, setting("a: b\n"), branch="review")
        people.git("pull", "--quiet", "--no-rebase", "origin", "review")
        people.git("push", "--quiet", "origin", "main")
        assert not (await writer.write(mirror, setting("a: b\n"), branch="review")).pushed
        later = await writer.write(mirror, setting("a: c\n"), branch="review")
        assert (later.pushed, remote.git("rev-parse", "review^")) == (True, people.head)

        await mirror.fetch()
        remote.git("update-ref", "-d", "refs/heads/review")
        assert (await writer.write(mirror, setting("a: c\n"), branch="review")).pushed
        assert remote.git("rev-parse", "review^") == people.head


async def test_a_server_that_forbids_it_says_so_once_with_what_to_do(remote, writer, tmp_path):
    hook = remote.path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    with remote.serve_http() as url:
        async with mirror_of(url, tmp_path) as mirror:
            with pytest.raises(DocumentError, match=r"main of .* cannot be written: pre-receive hook declined: GH006"):
                await writer.write(mirror, setting("a: b\n"))
            remote.git("config", "http.receivepack", "false")
            with pytest.raises(DocumentError, match=r"cannot be written: .*403.*it was shown nothing"):
                await writer.write(mirror, setting("a: b\n"))


async def test_which_credential_was_refused_is_said(remote, writer, tmp_path):
    with remote.serve_http() as url:  # which asks for no token to read, and wants one to write
        remote.git("config", "--unset", "http.receivepack")
        shown = Credentials(token="wr0ng", entry="git.access.127.0.0.1")
        async with mirror_of(url, tmp_path, credentials=shown) as mirror:
            with pytest.raises(DocumentError, match=r"the token of git\.access\.127\.0\.0\.1") as refused:
                await writer.write(mirror, setting("a: b\n"))
    assert "wr0ng" not in str(refused.value)


async def test_a_folder_with_a_work_tree_is_not_written(people, writer, tmp_path):
    async with mirror_of(people.path, tmp_path) as mirror:
        with pytest.raises(DocumentError, match="has to be a bare repository"):
            await writer.write(mirror, setting("a: b\n"))


async def test_only_branches_that_exist_are_written(remote, people, writer, tmp_path):
    people.tag("v1")
    people.git("push", "--quiet", "origin", "v1")
    async with mirror_of(remote.path, tmp_path) as mirror:
        for onto in ("v1", people.head, "mian"):
            with pytest.raises(DocumentError, match=f"has no branch '{onto}' to write to"):
                await writer.write(mirror, setting("a: b\n"), onto=onto)
        remote.git("branch", "gone", "main")
        await mirror.fetch()
        remote.git("branch", "-D", "gone")
        with pytest.raises(DocumentError, match="has no branch 'gone'"):
            await writer.write(mirror, setting("a: b\n"), onto="gone")


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
async def test_git_finds_the_signature_good(remote, tmp_path, kind):
    key = SshKeys(tmp_path).make("hub", kind)
    signed = Writer(Author("Yardarm", "hub@example.com", SigningKey.read(key.path)), Clock())
    async with mirror_of(remote.path, tmp_path) as mirror:
        written = await signed.write(mirror, setting("a: b\n", message="promote wéb\n\nYardarm-Rollout: 7\n"))
    (tmp_path / "allowed").write_text(key.allowed())
    remote.git("-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}", "verify-commit", written.commit)
    assert SigningKey.read(key.path).fingerprint == key.fingerprint


async def test_where_signatures_count_the_hub_vouches_for_nobody_else(remote, people, tmp_path):
    keys = SshKeys(tmp_path)
    ada, hub = keys.make("ada"), keys.make("hub")
    signers = tmp_path / "signers"
    signers.write_text(ada.allowed())
    policy = SignaturePolicy(ssh=signers)
    acceptance = registered.Acceptances(GitSettings(signatures={"*": policy}), Clock()).choose("any")
    signing = Writer(Author("Yardarm", "hub@example.com", SigningKey.read(hub.path)), Clock())
    plain = Writer(Author("Yardarm", "hub@example.com"), Clock())
    async with mirror_of(remote.path, tmp_path, acceptance=acceptance) as mirror:
        with pytest.raises(DocumentError, match="nothing is written on top of it"):
            await signing.write(mirror, setting("a: b\n"))

        people.git(*ada.config(), "commit", "--quiet", "--allow-empty", "-S", "-m", "signed")
        people.git("push", "--quiet", "origin", "main")
        for writer in (plain, signing):
            with pytest.raises(DocumentError, match=r"of the hub's own would not count.*git\.signing_key"):
                await writer.write(mirror, setting("a: b\n"))
        assert (await plain.write(mirror, setting("a: b\n"), branch="for-review")).pushed

        signers.write_text(ada.allowed() + hub.allowed())
        written = await signing.write(mirror, setting("a: b\n"))
        await mirror.fetch()
        assert await mirror.resolve("") == written.commit


def test_the_author_is_read_from_the_settings(tmp_path):
    key = SshKeys(tmp_path).make("hub")
    author = registered.author(GitSettings(author="Fleet Bot <bot@example.com>", signing_key=key.path))
    assert (author.name, author.mail, author.key and author.key.public) == ("Fleet Bot", "bot@example.com", key.public)
    assert registered.author(GitSettings()) == Author("Yardarm", "yardarm@localhost")


@pytest.mark.parametrize("content", [b"no key", b""])
def test_a_signing_key_that_is_none_is_said(tmp_path, content):
    file = tmp_path / "key"
    with pytest.raises(DocumentError, match=r"cannot be read.*git\.signing_key"):
        SigningKey.read(file)
    file.write_bytes(content)
    with pytest.raises(DocumentError, match="no private key of OpenSSH"):
        SigningKey.read(file)


def test_a_signing_key_with_a_passphrase_is_refused(tmp_path):
    keys = Keys(tmp_path / "keys")
    with pytest.raises(DocumentError, match="has a passphrase"):
        SigningKey.read(keys.locked)


async def test_a_promotion_is_one_commit_and_says_what_it_is_about(remote, people, writer, tmp_path):
    pin, where = Due("stage", people.head, "", "dev"), PinFile("web", PINS)
    async with mirror_of(remote.path, tmp_path) as mirror:
        first = await promote(writer, mirror, where, pin, "start", "r-1")
        again = await promote(writer, mirror, where, pin, "start", "r-1")
        assert (first.pushed, again.pushed) == (True, False)

        later = Due("prod", people.head, "", "stage")
        review = replace(where, review=True)
        proposed = await promote(writer, mirror, review, later, "start", "r-1")
        assert (proposed.branch, proposed.pushed) == (f"yardarm/promote-web-prod-{people.head[:7]}", True)
        assert not (await promote(writer, mirror, review, later, "start", "r-1")).pushed
    said = remote.git("log", "-1", "--format=%s%n%(trailers)", "main").splitlines()
    assert said == [f"promote web to stage: {people.head[:7]} start", "Yardarm-Rollout: r-1"]
    assert pinned_in(remote.git("show", f"main:{PINS}"), "web") == {"stage": people.head}
    assert set(pinned_in(remote.git("show", f"{proposed.branch}:{PINS}"), "web") or ()) == {"stage", "prod"}


async def test_what_was_taken_back_is_promoted_again_by_another_rollout_only(remote, people, writer, tmp_path):
    first, second = people.head, people.commit("second")
    people.git("push", "--quiet", "origin", "main")
    where = PinFile("web", PINS)
    async with mirror_of(remote.path, tmp_path) as mirror:
        assert (await promote(writer, mirror, where, Due("stage", first, "", "dev"), "start", "r-1")).pushed
        forward = Due("stage", second, first, "dev")
        assert (await promote(writer, mirror, where, forward, "second", "r-2")).pushed
        people.git("pull", "--quiet", "origin", "main")
        people.git("revert", "--no-edit", "HEAD")
        people.git("push", "--quiet", "origin", "main")

        assert not (await promote(writer, mirror, where, forward, "second", "r-2")).pushed
        assert (await promote(writer, mirror, where, forward, "second", "r-3")).pushed


async def test_only_what_came_later_is_newer(remote, people, tmp_path):
    first, second = people.head, people.commit("second")
    people.git("push", "--quiet", "origin", "main")
    async with mirror_of(remote.path, tmp_path) as mirror:
        asked = [(second, first), (first, second), (first, first), (second, "f" * 40), ("f" * 40, first)]
        found = await mirror.read(lambda objects: [objects.newer(*each) for each in asked])
    assert found == [True, False, False, False, False]


async def test_what_a_person_has_pinned_meanwhile_stays(remote, people, writer, tmp_path):
    people.write(PINS, document("web", {"stage": "f" * 40}))
    people.commit("by hand")
    people.git("push", "--quiet", "origin", "main")
    async with mirror_of(remote.path, tmp_path) as mirror:
        written = await promote(writer, mirror, PinFile("web", PINS), Due("stage", "e" * 40, "", "dev"), "x", "r-1")
    assert (written.pushed, remote.git("rev-parse", "main")) == (False, people.head)
