"""Whoever may write to the fleet repository tries to read the hub's machine, or to have it connect where it must not.

One hub, one commit with every attempt beside an honest application: each attempt is refused with a finding, or comes
to nothing; no byte from outside of the repository is published or shown, nothing inside is connected to, and what is
honest is published all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from hub.checks.measuring import Measuring
from hub.domain.checking import Check
from hub.domain.egress import Egress
from hub.domain.placeholders import Subject
from hub.sources.web import HostAccess, Web
from shared import bundle
from shared.messages import encode
from shared.model import UnitKey
from shared.tasks import Clock
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, LiveHub, configmap, live_hub, settings, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "what-lies-outside"
"""In every file that no document may lead to."""
CHART = {"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n"}


def template(expression: str) -> dict[str, str]:
    value = "{{ " + expression + " | quote }}"
    return CHART | {
        "templates/cm.yaml": f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{value: {value}}}\n"
    }


def kustomization(line: str) -> dict[str, str]:
    return {"kustomization.yaml": f"{line}\n"}


def jsonnet(expression: str) -> dict[str, str]:
    kind = "apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'j'}"
    return {"cm.jsonnet": f"{{{kind}, data: {{value: {expression}}}}}"}


Files = dict[str, str]

READING: dict[str, tuple[str, Files]] = {
    "path-up": ("source: {path: ../outside}", {}),
    "path-absolute": ("source: {path: '{outside}'}", {}),
    "path-between": ("source: {path: apps/../../outside}", {}),
    "path-dot-git": ("source: {path: .git}", {}),
    "path-override": ("source: {path: honest}\n  overrides: [{path: ../outside}]", {}),
    "repo-folder": ("source: {repo: '{outside}/repo'}", {}),
    "repo-file-url": ("source: {repo: 'file://{outside}/repo'}", {}),
    "repo-relative": ("source: {repo: '../outside/repo'}", {}),
    "link-file": ("", {"cm.yaml": "-> {outside}/secret.yaml"}),
    "link-relative": ("", {"cm.yaml": "-> ../../../outside/secret.yaml"}),
    "link-folder": ("", {"folder": "-> {outside}"}),
    "values-up": ("render: {helm: {valueFiles: [../../../outside/secret.yaml]}}", template(".Values.data")),
    "values-absolute": ("render: {helm: {valueFiles: ['{outside}/secret.yaml']}}", template(".Values.data")),
    "chart-link": ("", CHART | {"templates/cm.yaml": "-> {outside}/secret.yaml"}),
    "kustomize-up": ("", kustomization("resources: [../../../outside/secret.yaml]")),
    "kustomize-absolute": ("", kustomization("resources: ['{outside}/secret.yaml']")),
    "kustomize-generator": ("", kustomization("configMapGenerator: [{name: g, files: [../../../outside/secret.txt]}]")),
    "kustomize-link": ("", kustomization("resources: [cm.yaml]") | {"cm.yaml": "-> {outside}/secret.yaml"}),
    "kustomize-exec": ("", kustomization("transformers: [exec.yaml]") | {
        "exec.yaml": "apiVersion: v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: |\n"
                     "      exec: {path: '{outside}/run'}\n",
    }),
    "kustomize-helm": ("", kustomization("helmCharts: [{name: c, repo: 'http://127.0.0.1:{port}', version: 1.0.0}]")),
    "jsonnet-up": ("", jsonnet("importstr '../../../outside/secret.txt'")),
    "jsonnet-absolute": ("", jsonnet("importstr '{outside}/secret.txt'")),
    "jsonnet-lib": ("render: {plain: {jsonnet: {libs: [../outside]}}}", jsonnet("importstr 'secret.txt'")),
    "program-option": ("source: {repo: 'ssh://-oProxyCommand=touch${IFS}{outside}/run/x'}", {}),
    "program-transport": ("source: {repo: 'ext::sh -c touch% {outside}/ran'}", {}),
}  # fmt: skip
"""(what the spec says beside the namespace, the files beside it). `->` makes a link. Nothing may come of these."""

EMPTY: dict[str, tuple[str, Files]] = {
    "files-up": ("", template('.Files.Get "../../../outside/secret.txt"')),
    "files-absolute": ("", template('.Files.Get "{outside}/secret.txt"')),
    "glob-up": ("", template('(.Files.Glob "../../../outside/*").AsConfig')),
    "lookup": ("", template('lookup "v1" "Secret" "" "" | toJson')),
    "resolver": ("", template('getHostByName "localhost"')),
}
"""Helm answers these with nothing, so that a chart which asks renders all the same."""

ADDRESSES = {
    "loopback": "http://127.0.0.1:{port}/x",
    "localhost": "http://localhost:{port}/x",
    "mapped": "http://[::ffff:127.0.0.1]:{port}/x",
    "short": "http://127.1:{port}/x",
    "decimal": "http://2130706433:{port}/x",
    "hexadecimal": "http://0x7f000001:{port}/x",
    "nothing": "http://0:{port}/x",
    "with-password": "http://a:b@localhost:{port}/x",
    "git": "git://127.0.0.1:{port}/x",
    "ssh": "ssh://git@127.0.0.1:{port}/x",
    "metadata": "http://169.254.169.254/latest/meta-data",
}
CONNECTING: dict[str, tuple[str, Files]] = {
    **{f"repo-{name}": (f"source: {{repo: '{address}'}}", {}) for name, address in ADDRESSES.items()},
    "chart-http": ("source: {repo: 'http://127.0.0.1:{port}', chart: c, version: 1.0.0}", {}),
    "chart-https": ("source: {repo: 'https://localhost:{port}', chart: c, version: 1.0.0}", {}),
    "chart-oci": ("source: {repo: 'oci://127.0.0.1:{port}/c', chart: c, version: 1.0.0}", {}),
    "chart-dependency": ("", template("1") | {
        "Chart.yaml": CHART["Chart.yaml"] + "dependencies: [{name: d, version: 1.0.0, repository: 'http://127.0.0.1:{port}'}]\n",
    }),
    "kustomize-remote": ("", kustomization("resources: ['http://127.0.0.1:{port}/x.yaml']")),
    "kustomize-repository": ("", kustomization("resources: ['http://localhost:{port}/x.git?ref=main']")),
}  # fmt: skip

ATTEMPTS = READING | EMPTY | CONNECTING


SUBJECT = Subject("web", "web", "dev", ("dev-1",), "1", "c" * 40)


class Scene:
    def __init__(self, live: LiveHub, outside: Path, reached: list):
        self.live, self.outside, self.reached = live, outside, reached

    def findings(self, name: str) -> list[str]:
        view = self.live.hub.view
        info = view.applications.get(name)
        own = [str(problem) for problem in info.problems] if info is not None else []
        return own + [
            str(each) for each in view.fleet.problems if each.application == name or f"{name}.yaml" in str(each)
        ]


@contextlib.asynccontextmanager
async def canary():
    """A port of this machine that nobody should connect to; the list of those who did."""
    reached = []

    async def connected(reader, writer) -> None:
        reached.append(await reader.read(200))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], reached


def write(repo: GitRepo, name: str, spec: str, files: Files, outside: Path, port: int) -> None:
    def filled(text: str) -> str:
        return text.replace("{outside}", str(outside)).replace("{port}", str(port))

    given = spec if "source:" in spec else f"source: {{path: apps/{name}}}\n  {spec}"
    head = f"apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\n"
    repo.write(f"fleet/{name}.yaml", f"{head}spec:\n  namespace: {name}\n  {filled(given)}\n")
    for path, content in files.items():
        if content.startswith("-> "):
            repo.symlink(f"apps/{name}/{path}", filled(content[3:]))
        else:
            repo.write(f"apps/{name}/{path}", filled(content))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    outside = folder / "outside"
    library = GitRepo(outside / "repo")
    library.write("cm.yaml", configmap(MARK))
    library.commit("outside")
    (outside / "secret.txt").write_text(MARK)
    (outside / "secret.yaml").write_text(configmap("outside", MARK))
    (outside / "run").write_text(f"#!/bin/sh\ntouch {outside}/ran\n")
    (outside / "run").chmod(0o755)
    repo = GitRepo(folder / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("honest/cm.yaml", configmap("honest"))
    async with canary() as (port, reached):
        write(repo, "honest", "source: {path: honest}", {}, outside, port)
        for name, (spec, files) in ATTEMPTS.items():
            write(repo, name, spec, files, outside, port)
        sha = repo.commit("attempts")
        async with live_hub(settings(folder / "state", str(repo.path))) as live:
            await live.seen(sha)
            yield Scene(live, outside, reached)


async def published(scene: Scene) -> dict[str, bytes]:
    """What each application is given on dev-1, unpacked."""
    found = {}
    for unit, assignment in (await scene.live.desired()).items():
        if unit.cluster == "dev-1":
            found[unit.application] = b"\n".join(bundle.open_bundle(assignment, lambda _: b"").lines)
    return found


@pytest.mark.parametrize("name", [*READING, *CONNECTING])
async def test_what_leads_out_of_the_repository_is_refused_with_a_finding(scene: Scene, name):
    await until(lambda: scene.findings(name), 30)

    assert name not in await published(scene)


async def test_what_helm_may_not_look_at_is_empty(scene: Scene):
    found = await published(scene)

    values = {name: orjson.loads(found[name])["data"]["value"] for name in EMPTY if name in found}
    assert set(values.values()) <= {"", "{}", "{}\n"}
    assert all(scene.findings(name) for name in EMPTY.keys() - found.keys())


async def test_nothing_from_outside_is_published_or_shown_and_nothing_was_run(scene: Scene):
    for name in READING:
        await until(lambda name=name: scene.findings(name), 30)
    shown = " ".join(text for name in ATTEMPTS for text in scene.findings(name))
    given = b"".join(encode(each) for each in (await scene.live.desired()).values())

    assert MARK.encode() not in b"".join((await published(scene)).values()) + given
    assert MARK not in shown
    assert not (scene.outside / "ran").exists()


async def test_nobody_inside_is_connected_to(scene: Scene):
    def others() -> list[str]:
        return [each.error for each in scene.live.hub.view.fleet.repositories if not each.available]

    inside = len(ADDRESSES) - 1  # one of them differs by its password only, which is not part of a name
    await until(lambda: all(others()) and len(others()) >= inside, 30)

    assert len([error for error in others() if "where the hub may not connect to" in error]) == inside
    assert scene.reached == []


async def test_what_is_honest_is_published_all_the_same(scene: Scene):
    assert {unit for unit in await scene.live.desired() if unit.application == "honest"} == {
        UnitKey("dev-1", "honest", "honest"),
        UnitKey("prod-1", "honest", "honest"),
    }


@pytest.mark.parametrize("address", [each for name, each in ADDRESSES.items() if name not in {"git", "ssh"}])
@pytest.mark.parametrize("kind", ["http", "prometheus"])
async def test_a_check_does_not_look_at_what_is_inside(scene: Scene, address, kind):
    async with canary() as (port, reached):
        asked = {kind: address.replace("{port}", str(port))}
        asked |= {"query": "up", "above": 0} if kind == "prometheus" else {}
        if "@" in address:
            with pytest.raises(ValueError, match="carries no credentials"):
                Check.model_validate(asked)
            return
        measuring = Measuring(Web(Egress(), lambda _: HostAccess(plain_http=True)), Clock())
        try:
            found = await measuring.measure(Check.model_validate(asked), SUBJECT)
        finally:
            await measuring.close()

    assert found.ok is None
    assert "where the hub may not connect to" in found.detail or "not a canonical IPv4 address" in found.detail
    assert reached == []
