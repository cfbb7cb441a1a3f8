"""Kustomizations that are wrong or hostile: one clear error each, with its place, and the next build is fine."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.render import program
from hub.render.footprint import read_files
from hub.render.job import Additions, File, KustomizeJob, Patch, RenderError, Replicas
from hub.render.kustomize.binary import find
from hub.render.kustomize.build import build
from hub.render.kustomize.closure import Memory
from hub.render.kustomize.gathering import Fetched, from_file, from_tree, gather
from hub.render.kustomize.remote import Remote, RemoteFile
from shared.errors import DocumentError, YardarmError
from tests.fakes.foldertree import FolderTree
from tests.fakes.kustomize import any_command, closure, each_program, either, job

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: c, image: "nginx:1"}]}}}
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def problems(work: KustomizeJob) -> list[str]:
    with pytest.raises(RenderError) as failed:
        build(work)
    return [str(problem) for problem in failed.value.problems]


@each_program
@pytest.mark.parametrize(
    ("kustomization", "files", "error"),
    [
        ("resorces: [d.yaml]", {}, 'app/kustomization.yaml:1: resorces: error: json: unknown field "resorces" (did you mean resources?)'),
        ("resources:\n  d.yaml", {}, "app/kustomization.yaml:1: resources: error: resources is a string, and has to be a list of string"),
        ("resources: [d.yaml]\nnamePrefix: {a: b}", {}, "app/kustomization.yaml:2: namePrefix: error: namePrefix is a object, and has to be a string"),
        ("resources: [../base]", {"base/kustomization.yaml": "a: b\nfoo: 1"}, "base/kustomization.yaml:1: a: error: json: unknown field \"a\""),
        ("resources: [d.yaml]\npatches:\n- patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: nope}}'", {}, "app/kustomization.yaml:3: patches[0].patch: error: no resource matches strategic merge patch \"Deployment.v1.apps/nope\""),
        ("resources: [d.yaml]\npatches:\n- path: p.yaml", {"app/p.yaml": DEPLOYMENT.replace("web", "nope")}, "app/kustomization.yaml:3: patches[0].path: error: no resource matches strategic merge patch"),
        ("resources: [d.yaml]\npatches:\n- target: {kind: Deployment}\n  patch: '[{op: replace, path: /spec/x, value: 1}]'", {}, "app/kustomization.yaml:4: patches[0].patch: error: unable to parse SM or JSON patch"),
        ("resources: [d.yaml, ../base]", {"base/kustomization.yaml": "resources: [d.yaml]", "base/d.yaml": DEPLOYMENT}, "already registered id: Deployment.v1.apps/web (two resources are one object: remove one, or tell them apart by prefix or namespace)"),
        ("resources: [d.yaml]\nreplicas:\n- {name: foo, count: 1}", {}, "app/kustomization.yaml:3: replicas[0].name: error: resource with name foo does not match"),
        ("resources: [d.yaml]\nconfigMapGenerator:\n- name: a\n  literals: [nokey]", {}, "app/kustomization.yaml:4: configMapGenerator[0].literals[0]: error: literal sources [nokey]: invalid literal source nokey, expected key=value"),
        ("resources: [d.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: xyz, fieldPath: data.a}\n  targets: [{select: {kind: Deployment}, fieldPaths: [spec.a]}]", {}, "app/kustomization.yaml:3: replacements[0].source.name: error: nothing selected by ConfigMap/xyz:data.a"),
        ("resources: [d.yaml]\nreplacements:\n- source: {kind: Deployment, name: web}\n  targets: [{select: {kind: Deployment}, fieldPaths: [spec.foo.bar]}]", {}, "app/kustomization.yaml:4: replacements[0].targets[0].fieldPaths[0]: error: unable to find field \"spec.foo.bar\" in replacement target"),
        ("resources: [d.yaml]", {"app/d.yaml": "a: 1\nb: ["}, "app/d.yaml:"),
        ("resources: [d.yaml]", {"app/d.yaml": "a: 1"}, "app/d.yaml: error: missing Resource metadata"),
        ("resources: [../base]", {"base/kustomization.yaml": "resources: [c.yaml]", "base/c.yaml": "apiVersion: v1\nkind: ConfigMap"}, "base/c.yaml: error: missing metadata.name"),
        ("components: [../base]", {"base/kustomization.yaml": "resources: []\nnamePrefix: a"}, "app/kustomization.yaml:1: components[0]: error: expected kind 'Component'"),
        ("resources: [../base]", {"base/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: a"}, "app/kustomization.yaml:1: resources[0]: error: expected kind != 'Component'"),
        ("resources: [d.yaml]\nconfigMapGenerator:\n- {name: nothing, behavior: merge, literals: [a=b]}", {}, "ConfigMap nothing does not exist; cannot merge or replace"),
        ("resources: [d.yaml]\ngenerators: [g.yaml]", {"app/g.yaml": "apiVersion: builtin\nkind: Nope\nmetadata: {name: a}"}, "unable to load builtin Nope"),
        ("kind: Kustomization", {}, "app/kustomization.yaml: error: kustomization.yaml is empty"),
    ],
)  # fmt: skip
def test_what_the_program_says_becomes_a_problem_with_its_place(tmp_path, command, kustomization, files, error):
    root = write(tmp_path, {"app/kustomization.yaml": kustomization, "app/d.yaml": DEPLOYMENT, **files})

    (problem,) = problems(job(root, "app", command))

    assert error in problem
    assert str(tmp_path) not in problem
    assert "yardarm-kustomize" not in problem


@either
def test_what_an_application_adds_wrongly_is_its_own(tmp_path):
    root = write(tmp_path, {"app/kustomization.yaml": "resources: [d.yaml]", "app/d.yaml": DEPLOYMENT})

    (replicas,) = problems(job(root, "app", any_command(), Additions(replicas=(Replicas("foo", 1),))))
    assert replicas.endswith("(it is the application's own: render.kustomize.replicas)")
    patch = Patch({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "nope"}})
    (patched,) = problems(job(root, "app", any_command(), Additions(patches=(patch,))))
    assert patched.endswith("(it is the application's own: render.kustomize.patches)")


@each_program
def test_a_build_that_takes_too_long_too_much_memory_or_writes_too_much_is_stopped(tmp_path, command, monkeypatch):
    many = "---\n".join(CONFIG.replace("cm", f"cm{n}") for n in range(4000))
    root = write(tmp_path, {"app/kustomization.yaml": "namePrefix: a-\nresources: [many.yaml]", "app/many.yaml": many})
    work = job(root, "app", command)

    with pytest.raises(RenderError, match=r"app: error: kustomize took longer than 0\.5 s and was stopped") as failed:
        build(replace(work, seconds=0.5))
    assert failed.value.transient
    with pytest.raises(RenderError, match="app: error: kustomize needs more than 70 MB of memory"):
        build(replace(work, memory=70 * 1024**2))
    text = "x" * 900_000
    root = write(
        tmp_path / "large",
        {"app/kustomization.yaml": "configMapGenerator: [{name: a, files: [text]}]", "app/text": text},
    )
    monkeypatch.setattr("hub.render.kustomize.build.MOST_OUTPUT", 512 * 1024)
    with pytest.raises(RenderError, match="app: error: kustomize wrote more than"):
        build(job(root, "app", command))

    fine = write(tmp_path / "fine", {"app/kustomization.yaml": "resources: [a.yaml]", "app/a.yaml": CONFIG})
    assert build(job(fine, "app", command)).files


def test_nothing_of_the_hubs_environment_reaches_the_program(tmp_path, monkeypatch):
    monkeypatch.setenv("YARDARM_TOKEN", "s3cr3t")
    monkeypatch.setenv("HOME", str(tmp_path))

    outcome = program.run(("/usr/bin/env",), tmp_path, program.Limits(5, 512 * 1024**2, 1024**2))

    names = {line.partition("=")[0] for line in outcome.output.decode().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH", "TMPDIR", "http_proxy", "https_proxy", "GIT_ALLOW_PROTOCOL", "GOMEMLIMIT", "GOMAXPROCS",
    }  # fmt: skip
    assert "s3cr3t" not in outcome.output.decode()


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("while :; do :; done", "took longer than 1 s and was stopped"),
        ("exec 1>&-; sleep 60", "took longer than 1 s and was stopped"),
        ("exec cat /dev/zero", "wrote more than 1 MiB"),
        ("kill -SEGV $$", "was ended by SIGSEGV"),
        ("exit 7", "exit code 7"),
        ("git --version", "exit code 127"),
    ],
)
def test_a_program_meets_its_limits(tmp_path, script, failure):
    if "cat" in script:
        script = script.replace("cat", "/bin/cat")
    if "sleep" in script:
        script = script.replace("sleep", "exec /bin/sleep")

    outcome = program.run(("/bin/sh", "-c", script), tmp_path, program.Limits(1, 512 * 1024**2, 1024**2))

    assert outcome.failure == failure


class Asked(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = CONFIG.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@each_program
def test_no_request_is_made_for_what_is_not_allowed(tmp_path, command, web):
    url = f"http://127.0.0.1:{web.server_port}/a.yaml"
    root = write(
        tmp_path,
        {
            "app/kustomization.yaml": f"resources: [a.yaml, '{url}']\npatches: [{{path: '{url}'}}]\ncrds: ['{url}']",
            "app/a.yaml": CONFIG,
        },
    )

    assert [error.partition(": error")[0] for error in problems(job(root, "app", command))] == [
        "app/kustomization.yaml:1: resources[1]",
        "app/kustomization.yaml:2: patches[0].path",
        "app/kustomization.yaml:3: crds[0]",
    ]
    assert web.asked == []


@each_program
def test_the_program_itself_can_reach_nothing_even_if_it_is_asked_to(tmp_path, command, web):
    if not program._isolation():
        pytest.skip("this system gives an ordinary user no network namespace")
    root = write(tmp_path, {"app/kustomization.yaml": f"resources: ['http://127.0.0.1:{web.server_port}/a.yaml']"})

    assert problems(replace(job(root, "app", command), problems=()))

    assert web.asked == []


@each_program
def test_the_program_can_start_no_other(tmp_path, command):
    marker = tmp_path / "ran"
    root = write(tmp_path / "repo", {"app/kustomization.yaml": "resources: ['git@github.com:team/repo']"})
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    git.write_text(f"#!/bin/sh\ntouch {marker}\n")
    git.chmod(0o755)
    (root / "app" / "git").write_text(git.read_text())

    (problem,) = problems(replace(job(root, "app", command), problems=()))

    assert "git" in problem
    assert not marker.exists()


@each_program
@pytest.mark.parametrize(
    "kustomization",
    [
        "resources: [/etc/hostname]",
        "configMapGenerator: [{name: a, files: [/etc/hostname]}]",
        "generators: ['{apiVersion: example.com/v1, kind: Exec, metadata: {name: a}}']",
        "helmCharts: [{name: a, repo: 'https://example.com'}]",
        "transformers: [{apiVersion: v1}]",
    ],
)
def test_kustomize_refuses_as_well_what_gets_past_the_checks(tmp_path, command, kustomization):
    root = write(tmp_path, {"app/kustomization.yaml": kustomization})

    assert problems(
        replace(job(root, "app", command), problems=(), files=(File("app/kustomization.yaml", kustomization.encode()),))
    )


@each_program
def test_yaml_bombs_end_early(tmp_path, command):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = "\n".join(lines)
    root = write(tmp_path, {"app/kustomization.yaml": bomb, "data/kustomization.yaml": "resources: [a.yaml]"})
    write(tmp_path, {"data/a.yaml": f"{CONFIG}data:\n" + "\n".join(f"  {line}" for line in lines)})

    refused = problems(job(root, "app", command))[0]
    assert "values once aliases are followed: refused" in refused
    assert problems(replace(job(root, "data", command), seconds=5, memory=256 * 1024**2))


REMOTE = "https://github.com/team/repo//deploy?ref=v1"


@each_program
async def test_remote_bases_are_built_from_what_the_hub_fetched(tmp_path, command):
    file = "https://example.com/team/extra.yaml"
    here = write(
        tmp_path / "here",
        {
            "app/kustomization.yaml": f"namePrefix: p-\nresources: [d.yaml, '{REMOTE}', '{file}']",
            "app/d.yaml": DEPLOYMENT,
        },
    )
    other = write(
        tmp_path / "other",
        {
            "deploy/kustomization.yaml": "resources: [../shared]\ncomponents: ['github.com/team/third//component']",
            "shared/kustomization.yaml": "resources: [cm.yaml]",
            "shared/cm.yaml": CONFIG,
        },
    )
    third = write(
        tmp_path / "third",
        {
            "component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnameSuffix: -s"
        },
    )
    allowed = ["github.com/team", "https://example.com/team/"]
    asked: list[str] = []

    async def fetch(remote: Remote | RemoteFile) -> Fetched:
        asked.append(remote.text)
        if isinstance(remote, RemoteFile):
            return from_file(remote, b"apiVersion: v1\nkind: Secret\nmetadata: {name: extra}\n")
        folder = {"https://github.com/team/repo": other, "https://github.com/team/third": third}[remote.repo]
        return from_tree(remote, FolderTree(folder), "0" * 40, Memory(), allowed)

    found = closure(here, "app", allowed=allowed)
    files, unread = read_files(FolderTree(here), found.footprint.paths)
    gathered = await gather(found, files, unread, fetch)
    assert gathered.problems == ()
    assert asked == [REMOTE, file, "github.com/team/third//component"]

    work = KustomizeJob(
        "web", "app", gathered.files, found.kustomizations, command, remotes=gathered.remotes, outside=gathered.outside
    )
    made = b"".join(each.data for each in build(work).files).decode()
    assert [line for line in made.splitlines() if line.startswith("  name:")] == [
        "  name: p-cm-s", "  name: p-extra", "  name: p-web",
    ]  # fmt: skip

    write(other, {"shared/cm.yaml": CONFIG.replace("cm", "changed")})
    assert (await gather(found, files, unread, fetch)).key != gathered.key


async def test_a_remote_that_is_not_there_or_is_wrong_is_told_where_it_is_named(tmp_path):
    here = write(tmp_path / "here", {"app/kustomization.yaml": f"resources:\n- '{REMOTE}'\n- github.com/team/gone"})
    other = write(
        tmp_path / "other", {"deploy/kustomization.yaml": "resources:\n- /etc/passwd\n- https://evil.example/x.yaml"}
    )

    async def fetch(remote: Remote | RemoteFile) -> Fetched:
        if "gone" in remote.text:
            raise DocumentError("there is no branch main")
        assert isinstance(remote, Remote)
        return from_tree(remote, FolderTree(other), "0" * 40, Memory(), ["github.com/team"])

    gathered = await gather(closure(here, "app", allowed=["github.com/team"]), (), (), fetch)

    shown = [str(problem) for problem in gathered.problems]
    assert shown[0].startswith(f"{REMOTE} deploy/kustomization.yaml:2: resources[0]: error: '/etc/passwd' leads out")
    assert shown[1].startswith(
        f"{REMOTE} deploy/kustomization.yaml:3: resources[1]: error: 'https://evil.example/x.yaml' is outside"
    )
    assert shown[2] == "app/kustomization.yaml:3: resources[1]: error: github.com/team/gone: there is no branch main"


async def test_remotes_that_name_each_other_without_end_are_cut_off(tmp_path):
    here = write(tmp_path, {"app/kustomization.yaml": "resources: [github.com/team/r0]"})

    async def fetch(remote: Remote | RemoteFile) -> Fetched:
        number = int(remote.text.rpartition("/r")[2])
        write(tmp_path / "next", {"kustomization.yaml": f"resources: [github.com/team/r{number + 1}]"})
        assert isinstance(remote, Remote)
        return from_tree(remote, FolderTree(tmp_path / "next"), "0" * 40, Memory(), ["github.com"])

    gathered = await gather(closure(here, "app", allowed=["github.com"]), (), (), fetch)

    assert ["more than 50 addresses" in str(problem) for problem in gathered.problems] == [True]


def script(place: Path, text: str) -> str:
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return str(place)


def test_the_program_is_the_configured_one_else_kustomize_else_kubectl(tmp_path, monkeypatch):
    kustomize = script(tmp_path / "bin/kustomize", "echo v5.8.1")
    kubectl = script(tmp_path / "bin/kubectl", "echo 'clientVersion: {}'; echo 'kustomizeVersion: v5.5.0'")
    old = script(tmp_path / "old", "echo '{Version:kustomize/v4.5.7 GitCommit:abc}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert find().command == (kustomize, "build")
    assert find().version == "5.8.1"
    assert (find("kubectl").command, find("kubectl").version) == ((kubectl, "kustomize"), "5.5.0")
    assert (find(old).command, find(old).version) == ((old, "build"), "4.5.7")
    script(tmp_path / "bin/kustomize", "exit 1")
    assert find().command == (kubectl, "kustomize")
    Path(kubectl).unlink()
    with pytest.raises(YardarmError, match=r"is no kustomize and no kubectl.*there is no kubectl on PATH \(install"):
        find()
    with pytest.raises(YardarmError, match="there is no /nowhere/kustomize "):
        find("/nowhere/kustomize")
