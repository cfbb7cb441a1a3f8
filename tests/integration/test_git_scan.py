"""Finding fleet documents and manifests in commits: what is read, what is not read again, what is refused."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.domain.reading import FleetDocument, Rejected
from hub.render.job import Selection
from hub.render.select import is_selected
from hub.sources.access import Limits
from hub.sources.content import Content, content_key, read_content
from hub.sources.mirror import Mirror
from hub.sources.scan import FleetScanner, Scanned
from shared.errors import DocumentError
from tests.fakes.gitrepo import ENVIRONMENT, GitRepo

CLUSTER = "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {}}}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {}}}\n"


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "fleet")


@pytest.fixture
async def mirror(repo: GitRepo, tmp_path: Path) -> AsyncIterator[Mirror]:
    made = Mirror(str(repo.path), tmp_path / "mirror")
    yield made
    made.close()


async def scan(mirror: Mirror, scanner: FleetScanner, path: str = "") -> Scanned:
    tips = await mirror.fetch()
    return await mirror.read(lambda objects: scanner.scan(objects, tips.head, path))


async def content(mirror: Mirror, path: str, limits: Limits | None = None, **selection: object) -> Content:
    tips = await mirror.fetch()
    chosen = Selection(**selection)
    return await mirror.read(
        lambda objects: read_content(objects, tips.head, path, lambda name: is_selected(name, chosen), limits)
    )


async def key(mirror: Mirror, path: str) -> str:
    tips = await mirror.fetch()
    return await mirror.read(lambda objects: content_key(objects, tips.head, path))


def good(scanned: Scanned) -> list[str]:
    return [each.name for each in scanned.documents if isinstance(each, FleetDocument)]


def complaints(found: Content) -> list[str]:
    return [str(problem) for problem in found.problems]


async def test_fleet_documents_are_found_anywhere_and_other_yaml_is_left_alone(repo, mirror):
    repo.write("fleet/clusters.yaml", CLUSTER.format("a") + "---\n" + CLUSTER.format("b"))
    repo.write("apps/web/deploy.yaml", CONFIG.format("x"))
    repo.write("docs/mkdocs.yml", "x: !!python/name:y\n")
    repo.write("README.md", "apiVersion: yardarm.dev/v1alpha1\n")
    repo.commit()
    scanned = await scan(mirror, FleetScanner())
    assert good(scanned) == ["a", "b"]
    assert scanned.documents[1].place("metadata.name").file == "fleet/clusters.yaml"
    assert scanned.manifests == 3
    assert good(await scan(mirror, FleetScanner(), "apps")) == []
    assert good(await scan(mirror, FleetScanner(), "fleet/clusters.yaml")) == ["a", "b"]


async def test_a_commit_that_touches_one_file_reads_only_the_way_to_it(repo, mirror):
    for number in range(300):
        repo.write(f"apps/team-{number % 10}/app-{number}/app.yaml", CONFIG.format(number))
        repo.write(f"fleet/{number}.yaml", CLUSTER.format(f"c{number}"))
    repo.commit()
    scanner = FleetScanner()
    first = await scan(mirror, scanner)
    assert (first.read, first.parsed, first.manifests) == (600, 300, 600)
    repo.write("apps/team-3/app-3/app.yaml", CONFIG.format("changed"))
    repo.commit()
    second = await scan(mirror, scanner)
    assert (second.read, second.parsed) == (1, 0)
    assert second.files == first.files
    repo.write("fleet/7.yaml", CLUSTER.format("seven"))
    repo.commit()
    third = await scan(mirror, scanner)
    assert (third.read, third.parsed) == (1, 1)
    assert len(good(third)) == 300
    assert [file for file in first.files if third.files[file] is not second.files[file]] == ["fleet/7.yaml"]
    assert (await scan(mirror, scanner)).read == 0


async def test_bad_files_are_reported_and_the_others_are_read(repo, mirror):
    repo.write("a.yaml", CLUSTER.format("a"))
    repo.write("latin.yaml", b"apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\n# caf\xe9\n")
    repo.write("deep.yaml", "apiVersion: yardarm.dev/v1alpha1\nx: " + "[" * 40_000)
    repo.write("twice.yaml", "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nkind: Cluster\n")
    repo.write("big.yaml", b"apiVersion: yardarm.dev/v1alpha1\n" + b"#" * 50_000_000)
    repo.commit()
    scanned = await scan(mirror, FleetScanner())
    assert good(scanned) == ["a"]
    assert sorted(each.file for each in scanned.documents if isinstance(each, Rejected)) == [
        "deep.yaml",
        "latin.yaml",
        "twice.yaml",
    ]
    (problem,) = scanned.problems
    assert str(problem) == ("big.yaml: warning: not searched for fleet documents: 47.7 MiB is more than 8 MiB")


async def test_content_is_the_selected_files_and_its_key_is_the_tree(repo, mirror):
    repo.write("apps/web/a.yaml", CONFIG.format("a"))
    repo.write("apps/web/sub/b.json", "{}")
    repo.write("apps/web/README.md", "no")
    repo.write("apps/web/.hidden/c.yaml", "no")
    repo.write("other/x.yaml", "x")
    repo.commit()
    first = await content(mirror, "apps/web")
    assert [path for path, _ in first.files] == ["a.yaml", "sub/b.json"]
    assert first.files[0][1] == CONFIG.format("a").encode()
    assert first.key == repo.git("rev-parse", "HEAD:apps/web")
    repo.write("other/x.yaml", "y")
    repo.commit()
    assert await key(mirror, "apps/web") == first.key
    assert (await content(mirror, "apps/web/a.yaml")).files == (("a.yaml", CONFIG.format("a").encode()),)
    assert (await content(mirror, "")).files == (await content(mirror, ".")).files


async def test_a_link_to_a_file_of_the_repository_is_read_and_counts_in_the_key(repo, mirror):
    repo.write("base/deploy.yaml", CONFIG.format("shared"))
    repo.symlink("apps/web/deploy.yaml", "../../base/deploy.yaml")
    repo.commit()
    first = await content(mirror, "apps/web")
    assert first.files == (("deploy.yaml", CONFIG.format("shared").encode()),)
    repo.write("base/deploy.yaml", CONFIG.format("changed"))
    repo.commit()
    assert await key(mirror, "apps/web") != first.key
    assert (await content(mirror, "apps/web")).files[0][1] == CONFIG.format("changed").encode()


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("/etc/passwd", "to '/etc/passwd', out of the repository"),
        ("../../../../../etc/passwd", "out of the repository"),
        ("nowhere.yaml", "which does not exist"),
        ("a.yaml", "in a circle"),
        ("plain.yaml/x", "which does not exist"),
        ("x" * 5000, "whose target is not a path"),
    ],
)
async def test_a_link_astray_is_an_error_that_names_it(repo, mirror, target, complaint):
    repo.write("apps/web/plain.yaml", CONFIG.format("a"))
    link_blob = raw_object(repo, "blob", target.encode())
    repo.git("add", "--all")
    repo.git("update-index", "--add", "--cacheinfo", f"120000,{link_blob},apps/web/a.yaml")
    repo.git("commit", "--quiet", "--message", "a link")
    found = await content(mirror, "apps/web")
    assert [path for path, _ in found.files] == ["plain.yaml"]
    (message,) = complaints(found)
    assert message.startswith("apps/web/a.yaml: error: a symbolic link ")
    assert complaint in message
    assert complaints(await content(mirror, "apps/web", exclude=("a.yaml",))) == []


async def test_links_to_directories_and_submodules_are_not_followed_and_said(repo, mirror):
    repo.write("apps/web/a.yaml", CONFIG.format("a"))
    repo.write("base/b.yaml", CONFIG.format("b"))
    repo.symlink("apps/web/base", "../../base")
    repo.git("add", "--all")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},apps/web/module")
    repo.git("commit", "--quiet", "--message", "a submodule")
    found = await content(mirror, "apps/web")
    assert [path for path, _ in found.files] == ["a.yaml"]
    assert complaints(found) == [
        "apps/web/base: warning: a symbolic link to the directory base, which is not followed",
        "apps/web/module: warning: a submodule, which is not read",
    ]
    with pytest.raises(DocumentError, match="is a submodule, which is not followed"):
        await content(mirror, "apps/web/module")


async def test_hostile_names_are_refused(repo, mirror):
    good_blob = raw_object(repo, "blob", CONFIG.format("a").encode())
    inner = raw_tree(repo, [(b"100644", b"evil.yaml", good_blob)])
    names = [b"..", b".git", b"a\xff.yaml", b"ok.yaml", b"sub\\x.yaml"]
    tree = raw_tree(
        repo,
        [(b"40000" if name in (b"..", b".git") else b"100644", name, inner if name in (b"..", b".git") else good_blob)
         for name in names],
    )  # fmt: skip
    commit = repo.git("commit-tree", tree, "-m", "hostile")
    repo.git("update-ref", "refs/heads/main", commit)
    found = await content(mirror, "", include=("**", "..", ".git"))
    assert [path for path, _ in found.files] == ["ok.yaml"]
    assert [message.split("error: ")[1].split(" (")[0] for message in complaints(found)] == [
        "the name '..' is not safe in a path",
        "the name '.git' is not safe in a path",
        "the name b'a\\xff.yaml' is not UTF-8",
        "the name 'sub\\\\x.yaml' is not safe in a path",
    ]
    assert (await scan(mirror, FleetScanner())).manifests == 1


def raw_tree(repo: GitRepo, entries: list[tuple[bytes, bytes, str]]) -> str:
    data = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    return raw_object(repo, "tree", data)


def raw_object(repo: GitRepo, kind: str, data: bytes) -> str:
    """An object as given, however wrong."""
    command = ["git", "hash-object", "-w", "--literally", "-t", kind, "--stdin"]
    done = subprocess.run(command, cwd=repo.path, input=data, capture_output=True, check=True, env=ENVIRONMENT)
    return done.stdout.decode().strip()


async def test_a_tree_that_unfolds_to_millions_of_files_is_refused(repo, mirror):
    """Eight levels of ten equal names each: a hundred million files in nine small objects."""
    blob = raw_object(repo, "blob", CLUSTER.format("a").encode())
    tree = raw_tree(repo, [(b"100644", f"{number}.yaml".encode(), blob) for number in range(10)])
    for _ in range(8):
        tree = raw_tree(repo, [(b"40000", f"d{number}".encode(), tree) for number in range(10)])
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", tree, "-m", "bomb"))
    with pytest.raises(DocumentError, match="more than"):
        await scan(mirror, FleetScanner())
    found = None
    with contextlib.suppress(DocumentError):
        found = await content(mirror, "")
    assert found is None or any("the application has more than" in message for message in complaints(found))


async def test_large_files_and_large_applications_are_refused_before_they_are_read(repo, mirror):
    repo.write("apps/web/huge.yaml", b"#" * 50_000_000)
    for number in range(5):
        repo.write(f"apps/web/{number}.yaml", b"#" * 1000)
    repo.commit()
    found = await content(mirror, "apps/web", Limits(source_bytes=3500))
    assert sorted(complaints(found)) == [
        "apps/web/3.yaml: error: the application has more than 20,000 files or 0 MiB of manifests (split it)",
        "apps/web/huge.yaml: error: 47.7 MiB is more than the 8 MiB a manifest may have (split it, or exclude it)",
    ]


async def test_a_path_that_is_not_there_is_named(repo, mirror):
    repo.write("apps/web/a.yaml", "a: b\n")
    repo.commit()
    with pytest.raises(DocumentError, match="there is no 'apps/wep' in the repository"):
        await content(mirror, "apps/wep")


async def test_the_limits_of_the_mirror_are_those_of_reading(repo, tmp_path):
    repo.write("a.yaml", CLUSTER.format("a") + "#" * 3000)
    repo.commit()
    small = Mirror(str(repo.path), tmp_path / "small", limits=Limits(file_bytes=2048))
    try:
        assert "is more than 0.00195312 MiB" in str((await scan(small, FleetScanner())).problems[0])
        assert "more than the 0.00195312 MiB a manifest may have" in complaints(await content(small, ""))[0]
    finally:
        small.close()
