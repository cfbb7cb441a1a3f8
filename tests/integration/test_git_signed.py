"""Repositories whose commits must be signed: which commit counts, what is said of those that do not, and what stays."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hub import registered
from hub.settings import GitSettings, SignaturePolicy
from hub.sources.accepting import Accepted
from hub.sources.mirror import Mirror
from shared.errors import DocumentError
from shared.tasks import Clock
from tests.fakes.gitrepo import GitRepo
from tests.fakes.signing import HAS_GPG, HAS_SSH_KEYGEN, SshKey, SshKeys, gnupg

pytestmark = pytest.mark.skipif(not HAS_SSH_KEYGEN, reason="ssh-keygen is not installed")


class Today(Clock):
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = super().now()

    def now(self) -> float:
        return self.time


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("apps/web/cm.yaml", "kind: ConfigMap\n")
    return repo


@pytest.fixture
def ada(tmp_path) -> SshKey:
    return SshKeys(tmp_path).make("ada")


@pytest.fixture
def eve(tmp_path) -> SshKey:
    return SshKeys(tmp_path).make("eve")


@pytest.fixture
def clock() -> Today:
    return Today()


@pytest.fixture
def allowed(tmp_path, ada) -> Path:
    file = tmp_path / "allowed_signers"
    file.write_text(ada.allowed())
    return file


Opened = Callable[..., contextlib.AbstractAsyncContextManager[Mirror]]


@pytest.fixture
def mirror(repo, tmp_path, allowed, clock) -> Opened:
    @contextlib.asynccontextmanager
    async def opened(require: str = "enforce", folder: str = "mirror", **more: object) -> AsyncIterator[Mirror]:
        policy = SignaturePolicy(require=require, **({"ssh": allowed} | more))
        choose = registered.Acceptances(GitSettings(signatures={str(repo.path.parent): policy}), clock).choose
        made = Mirror(str(repo.path), tmp_path / folder, acceptance=choose(str(repo.path)))
        try:
            yield made
        finally:
            made.close()

    return opened


def signed(repo: GitRepo, key: SshKey, message: str = "change", *options: str) -> str:
    repo.git("add", "--all")
    repo.git(*key.config(), "commit", "--quiet", "--allow-empty", "-S", "-m", message, *options)
    return repo.head


async def accepted(mirror: Mirror, ref: str = "main") -> Accepted:
    await mirror.fetch()
    return await mirror.accept(ref)


async def test_a_commit_signed_by_an_allowed_key_counts_and_says_who(repo, ada, mirror):
    sha = signed(repo, ada)
    async with mirror() as opened:
        for ref in ("main", "", "HEAD", sha, sha[:10]):
            found = await accepted(opened, ref)
            assert (found.commit, found.problem) == (sha, None)
            assert (found.signed.by, found.signed.method) == ("ada@example.com", "ssh")
            assert found.signed.key == ada.fingerprint
            assert await opened.resolve(ref) == sha


@pytest.mark.parametrize("who", ["nobody", "eve"])
async def test_what_is_not_signed_well_is_not_acted_upon_and_the_last_good_commit_stays(repo, ada, eve, mirror, who):
    good = signed(repo, ada)
    async with mirror() as opened:
        await accepted(opened)
        bad = repo.commit("sneaked in") if who == "nobody" else signed(repo, eve, "sneaked in")
        found = await accepted(opened)

    assert found.commit == good
    assert found.problem.severity == "error"
    message = str(found.problem)
    assert f"commit {bad[:12]} of main by Ada <ada@example.com>: its signature " in message
    assert ("is missing" if who == "nobody" else f"is by {eve.fingerprint}, which is not an allowed") in message
    assert f"{good[:12]} stays" in message
    assert "git commit -S" in message


async def test_a_signed_commit_on_top_vouches_for_what_is_below(repo, ada, eve, mirror):
    signed(repo, ada)
    async with mirror() as opened:
        await accepted(opened)
        repo.commit("not signed")
        signed(repo, eve)
        sha = signed(repo, ada, "I have seen it")
        assert (await accepted(opened)).commit == sha


async def test_a_merge_counts_by_its_own_signature(repo, ada, eve, mirror):
    signed(repo, ada)
    repo.branch("feature")
    repo.write("x", "by somebody else")
    signed(repo, eve)
    repo.switch("main")
    async with mirror() as opened:
        good = (await accepted(opened)).commit
        repo.git("merge", "--quiet", "--no-ff", "--no-edit", "feature")
        assert (await accepted(opened)).commit == good
        repo.git(*ada.config(), "commit", "--quiet", "--amend", "--no-edit", "-S")
        assert (await accepted(opened)).commit == repo.head


async def test_a_warning_is_only_a_warning(repo, ada, mirror):
    sha = repo.commit("not signed")
    async with mirror("warn") as opened:
        found = await accepted(opened)
    assert (found.commit, found.signed) == (sha, None)
    assert found.problem.severity == "warning"
    assert "it is acted upon all the same" in found.problem.message


async def test_without_a_rule_nobody_looks(repo, tmp_path, allowed, clock):
    settings = GitSettings(signatures={"git.example.com": SignaturePolicy(ssh=allowed)})
    assert registered.Acceptances(settings, clock).choose(str(repo.path)) is None
    everywhere = GitSettings(signatures={"*": SignaturePolicy(ssh=allowed)})
    assert registered.Acceptances(everywhere, clock).choose("https://git.example.com/x/y") is not None


async def test_a_new_mirror_finds_the_newest_good_commit_below_a_bad_tip(repo, ada, mirror):
    signed(repo, ada)
    good = signed(repo, ada)
    repo.commit("not signed")
    repo.commit("not signed either")
    async with mirror() as opened:
        assert (await accepted(opened)).commit == good


async def test_where_nothing_is_signed_nothing_is_acted_upon(repo, mirror):
    sha = repo.commit("not signed")
    async with mirror() as opened:
        with pytest.raises(DocumentError, match=f"{sha[:12]} of main .* is missing; nothing of it is acted upon"):
            await accepted(opened)


async def test_what_was_accepted_stays_after_a_force_push_a_restart_and_tidying_up(repo, ada, mirror, monkeypatch):
    monkeypatch.setattr("hub.sources.mirror.MAX_PACKS", 2)
    signed(repo, ada)
    good = signed(repo, ada, "the last good one")
    async with mirror() as opened:
        assert (await accepted(opened)).commit == good
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    for number in range(6):
        repo.write("x", str(number))
        repo.commit("forced")
        async with mirror() as opened:
            found = await accepted(opened)
            assert found.commit == good
            assert await opened.read(lambda objects: objects.blob(objects.find(good, "apps/web/cm.yaml").oid))
            assert set((await opened.local()).refs) == {"refs/heads/main"}


async def test_a_changed_commit_does_not_keep_its_signature(repo, ada, mirror):
    signed(repo, ada)
    raw = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=repo.path, capture_output=True, check=True).stdout
    forged = raw.replace(b"change", b"chance")
    done = subprocess.run(
        ["git", "hash-object", "-w", "-t", "commit", "--stdin"], cwd=repo.path, input=forged, capture_output=True, check=True
    )  # fmt: skip
    repo.git("update-ref", "refs/heads/main", done.stdout.decode().strip())
    async with mirror() as opened:
        with pytest.raises(DocumentError, match="does not fit its content"):
            await accepted(opened)


async def test_two_signatures_in_one_commit_are_none(repo, ada, mirror):
    """Which of them counts is a matter of who reads it."""
    signed(repo, ada)
    raw = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=repo.path, capture_output=True, check=True).stdout
    header = raw[raw.index(b"gpgsig ") : raw.index(b"\n\n") + 1]
    done = subprocess.run(
        ["git", "hash-object", "-w", "-t", "commit", "--stdin"], cwd=repo.path, input=raw.replace(header, header + header),
        capture_output=True, check=True,
    )  # fmt: skip
    repo.git("update-ref", "refs/heads/main", done.stdout.decode().strip())
    async with mirror() as opened:
        with pytest.raises(DocumentError, match="more than one signature"):
            await accepted(opened)


async def test_a_signature_for_something_else_does_not_count(repo, ada, mirror, tmp_path):
    repo.commit("to be signed")
    raw = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=repo.path, capture_output=True, check=True).stdout
    armoured = ada.sign(raw, "file").replace(b"\n", b"\n ").rstrip()
    head, _, body = raw.partition(b"\n\n")
    done = subprocess.run(
        ["git", "hash-object", "-w", "-t", "commit", "--stdin"], cwd=repo.path,
        input=head + b"\ngpgsig " + armoured + b"\n\n" + body, capture_output=True, check=True,
    )  # fmt: skip
    repo.git("update-ref", "refs/heads/main", done.stdout.decode().strip())
    async with mirror() as opened:
        with pytest.raises(DocumentError, match="was made for 'file', not for Git"):
            await accepted(opened)


async def test_keys_come_and_go_while_the_hub_runs(repo, ada, eve, mirror, allowed):
    good = signed(repo, ada)
    async with mirror() as opened:
        assert (await accepted(opened)).commit == good
        by_eve = signed(repo, eve)
        assert (await accepted(opened)).commit == good
        allowed.write_text(ada.allowed() + eve.allowed())
        assert (await accepted(opened)).commit == by_eve
        allowed.write_text(ada.allowed())
        assert (await accepted(opened)).commit == good, "what a key that is not allowed any more signed does not count"
        allowed.write_text("nonsense\n")
        with pytest.raises(DocumentError, match="allowed_signers:1: a line is"):
            await accepted(opened)
        allowed.unlink()
        with pytest.raises(DocumentError, match="who may sign commits cannot be read"):
            await accepted(opened)


async def test_a_key_counts_while_it_was_valid_when_the_commit_was_made(repo, ada, mirror, allowed):
    allowed.write_text(ada.allowed('valid-before="20300101"'))
    good = signed(repo, ada)
    async with mirror() as opened:
        assert (await accepted(opened)).commit == good
        allowed.write_text(ada.allowed('valid-before="20200101"'))
        with pytest.raises(DocumentError, match="the key expired on 2020-01-01"):
            await accepted(opened)


async def test_a_signed_tag_counts_for_its_commit(repo, ada, eve, mirror):
    sha = repo.commit("not signed itself")
    repo.git(*ada.config(), "tag", "-s", "-m", "release", "v1.0.0")
    async with mirror() as opened:
        for ref in ("v1.0.0", "^1.0", "refs/tags/v1.0.0"):
            found = await accepted(opened, ref)
            assert (found.commit, found.signed.what, found.signed.by) == (sha, "tag", "ada@example.com")
        repo.write("x", "newer")
        newer = repo.commit("newer")
        repo.git(*eve.config(), "tag", "-s", "-m", "release", "v1.1.0")
        found = await accepted(opened, "^1.0")
        assert found.commit == sha
        assert f"{newer[:12]} of ^1.0" in found.problem.message
        with pytest.raises(DocumentError, match="nothing of it is acted upon"):
            await accepted(opened, "v1.1.0")


async def test_a_good_tag_under_another_name_does_not_count(repo, ada, mirror):
    """An old release, properly signed, passed off as a new one."""
    repo.commit("old")
    repo.git(*ada.config(), "tag", "-s", "-m", "release", "v1.0.0")
    repo.git("update-ref", "refs/tags/v2.0.0", repo.git("rev-parse", "refs/tags/v1.0.0"))
    async with mirror() as opened:
        await accepted(opened, "v1.0.0")
        with pytest.raises(DocumentError, match=r"is for a tag called 'v1\.0\.0'"):
            await accepted(opened, "v2.0.0")


async def test_a_tag_without_a_signature_counts_by_its_commit(repo, ada, mirror):
    sha = signed(repo, ada)
    repo.tag("light")
    repo.tag("annotated", annotated=True)
    async with mirror() as opened:
        for ref in ("light", "annotated"):
            assert (await accepted(opened, ref)).commit == sha


@pytest.mark.skipif(not HAS_GPG, reason="gpg is not installed")
async def test_commits_and_tags_signed_with_gnupg(repo, mirror, tmp_path, clock):
    with gnupg() as gpg:
        home = {"GNUPGHOME": str(gpg.home), "PATH": os.environ["PATH"]}
        key = gpg.make("grace", expires="2y")
        certificates = tmp_path / "keys.asc"
        certificates.write_bytes(gpg.export(key))
        repo.git("add", "--all")
        repo.git(*gpg.config(key), "commit", "--quiet", "-S", "-m", "signed", **home)
        sha = repo.head
        repo.git(*gpg.config(key), "tag", "-s", "-m", "release", "v1", **home)
        async with mirror(openpgp=(certificates,)) as opened:
            found = await accepted(opened)
            assert (found.commit, found.signed.by, found.signed.key) == (sha, "grace <grace@example.com>", key)
            assert found.signed.method == "openpgp"
            assert (await accepted(opened, "v1")).signed.what == "tag"
            clock.time += 3 * 365 * 86400
            assert (await accepted(opened)).commit == sha, "what was accepted stays when the key has expired"
            repo.git(*gpg.config(key), "commit", "--quiet", "--allow-empty", "-S", "-m", "after", **home)
            found = await accepted(opened)
            assert found.commit == sha
            assert f"is by {key} (grace <grace@example.com>), which has expired" in found.problem.message
            gpg.revoke(key)
            certificates.write_bytes(gpg.export(key))
            with pytest.raises(DocumentError, match="which was revoked"):
                await accepted(opened)


async def test_a_branch_named_like_a_pinned_commit_does_not_take_its_place(repo, tmp_path):
    pinned = repo.commit("pinned")
    repo.write("x", "y")
    repo.commit("other")
    repo.git("update-ref", f"refs/heads/{pinned}", "HEAD")
    made = Mirror(str(repo.path), tmp_path / "mirror")
    try:
        await made.fetch()
        assert await made.resolve(pinned) == pinned
    finally:
        made.close()
