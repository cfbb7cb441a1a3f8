"""Charts in an OCI registry, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from hub.domain.charts import Wanted
from hub.domain.egress import Denied, Egress
from hub.sources.charts.charts import Charts
from hub.sources.poller import Pace
from hub.sources.web import HostAccess, Web, WebLimits
from shared.errors import DocumentError, Unavailable
from shared.tasks import Clock
from tests.fakes.chartservers import OciRegistry, digest, hang, packed
from tests.fakes.httpserver import listening

PATH = "charts/podinfo"


@asynccontextmanager
async def serving(registry: OciRegistry, folder, username="", token="", **limits) -> AsyncIterator[tuple[Charts, str]]:
    """Charts that reach the registry by plain http, and the address of its charts."""
    async with listening(registry.app()) as origin:
        host = urlsplit(origin).netloc

        def shown(url: str) -> HostAccess:
            return HostAccess(username, token, plain_http=True) if urlsplit(url).netloc == host else HostAccess()

        web_ = Web(Egress(["127.0.0.1"]), shown, WebLimits(**limits))
        made = Charts(folder, web_, Pace(), lambda: None, Clock())
        try:
            yield made, f"oci://{host}/charts"
        finally:
            await made.close()


def filled(**options) -> OciRegistry:
    registry = OciRegistry(**options)
    for tag in ("1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0", "2.0.0_build.5", "latest", "v3.0.0-beta"):
        registry.put(PATH, tag, packed("podinfo", tag.replace("_", "+")))
    return registry


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        ("", "2.0.0"),
        ("^1", "1.1.0"),
        ("1.0.0", "1.0.0"),
        ("v1.0.0", "1.0.0"),
        ("1.x", "1.1.0"),
        ("2.0.0+build.5", "2.0.0_build.5"),
        (">2.0.0-0", "v3.0.0-beta"),
        ("latest", "latest"),
    ],
)
async def test_tags_are_versions(tmp_path, asked, tag):
    registry = filled()
    async with serving(registry, tmp_path) as (charts, repo):
        if asked == "":
            del registry.tags[PATH]["2.0.0_build.5"]
        chart = await charts.resolve(Wanted(repo, "podinfo", asked))
        data = packed("podinfo", tag.replace("_", "+"))
        assert (chart.version, chart.digest) == (tag.replace("_", "+"), digest(data))
        assert await charts.archive(chart) == data


async def test_a_version_in_full_needs_no_list(tmp_path):
    registry = filled()
    async with serving(registry, tmp_path) as (charts, repo):
        await charts.resolve(Wanted(repo, "podinfo", "1.0.0"))
        assert registry.requests == [f"/v2/{PATH}/manifests/1.0.0"]


async def test_the_chart_may_be_the_end_of_the_address(tmp_path):
    async with serving(filled(), tmp_path) as (charts, repo):
        chart = await charts.resolve(Wanted(f"{repo}/podinfo", "", "1.0.0"))
        assert chart.file == "podinfo-1.0.0.tgz"
        assert await charts.archive(chart) == packed("podinfo", "1.0.0")


async def test_a_tag_that_moves_is_another_chart(tmp_path):
    registry = filled()
    async with serving(registry, tmp_path) as (charts, repo):
        wanted = Wanted(repo, "podinfo", "1.0.0")
        before = await charts.resolve(wanted)
        registry.put(PATH, "1.0.0", packed("podinfo", "1.0.0", **{"values.yaml": "a: 1\n"}))
        after = await charts.resolve(wanted)
        assert before.digest != after.digest


async def test_a_token_is_asked_for_once_also_by_nobody(tmp_path):
    registry = filled(tokens=True)
    async with serving(registry, tmp_path) as (charts, repo):
        for asked in ("^1", "^2", ""):
            await charts.archive(await charts.resolve(Wanted(repo, "podinfo", asked)))
        assert registry.issued == 1
        registry.valid.clear()
        await charts.resolve(Wanted(repo, "podinfo"))
        assert registry.issued == 2


async def test_a_private_registry_is_shown_name_and_password(tmp_path):
    registry = filled(tokens=True, users={"me": "s3cret"})
    async with serving(registry, tmp_path, "me", "s3cret") as (charts, repo):
        assert (await charts.resolve(Wanted(repo, "podinfo", "1.0.0"))).version == "1.0.0"
    for user, password in (("me", "wrong"), ("", "")):
        async with serving(registry, tmp_path, user, password) as (charts, repo):
            with pytest.raises(DocumentError, match=r"token for oci://.*/charts/podinfo may not be read"):
                await charts.resolve(Wanted(repo, "podinfo", "1.0.0"))


async def test_what_is_not_there_is_said_with_what_is(tmp_path):
    async with serving(filled(), tmp_path) as (charts, repo):
        for asked in ("^7", "7.0.0"):
            with pytest.raises(DocumentError, match=r"podinfo has no version .*7.*; there are v3.0.0-beta, 2.0.0"):
                await charts.resolve(Wanted(repo, "podinfo", asked))
        with pytest.raises(DocumentError, match=r"there is no chart oci://.*/charts/nginx: .* answers 404"):
            await charts.resolve(Wanted(repo, "nginx", "^1"))


async def test_an_image_is_no_chart(tmp_path):
    registry = filled()
    registry.put(PATH, "9.0.0", b"layer", "application/vnd.oci.image.layer.v1.tar+gzip")
    async with serving(registry, tmp_path) as (charts, repo):
        with pytest.raises(DocumentError, match=r"charts/podinfo:9.0.0 is not a Helm chart"):
            await charts.resolve(Wanted(repo, "podinfo", "9.0.0"))


def replying(body: bytes = b"", status: int = 200, **headers: str):
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


CHALLENGE = 'Bearer realm="{}",service="registry"'


@pytest.mark.parametrize(
    ("path", "answer", "error", "said"),
    [
        (f"/v2/{PATH}/manifests/1.0.0", replying(b"{"), DocumentError, "manifest of .* cannot be read"),
        (
            f"/v2/{PATH}/manifests/1.0.0",
            replying(b"{}", Docker_Content_Digest="sha256:" + "0" * 64),
            DocumentError,
            "is not the one its digest",
        ),
        (f"/v2/{PATH}/manifests/1.0.0", replying(status=500), Unavailable, "answers 500"),
        (f"/v2/{PATH}/manifests/1.0.0", replying(status=429, Retry_After="3"), Unavailable, "answers 429"),
        (f"/v2/{PATH}/manifests/1.0.0", replying(bytes(5 * 1024**2)), DocumentError, "larger than 4 MiB"),
        (f"/v2/{PATH}/manifests/1.0.0", replying(status=401), DocumentError, "may not be read"),
        (
            f"/v2/{PATH}/manifests/1.0.0",
            replying(status=401, WWW_Authenticate=CHALLENGE.format("http://127.0.0.2:1/token")),
            Denied,
            "a loopback address",
        ),
        (
            f"/v2/{PATH}/manifests/1.0.0",
            replying(status=401, WWW_Authenticate=CHALLENGE.format("file:///etc/passwd")),
            DocumentError,
            "no place for tokens",
        ),
        (f"/v2/{PATH}/manifests/1.0.0", hang, Unavailable, "did not answer within"),
        (f"/v2/{PATH}/tags/list", replying(b"[]"), Unavailable, "something else than JSON"),
        (f"/v2/{PATH}/blobs/{digest(packed('podinfo', '1.0.0'))}", replying(b"\x1f\x8bx"), DocumentError, "is not what"),
        (
            f"/v2/{PATH}/blobs/{digest(packed('podinfo', '1.0.0'))}",
            replying(status=307, Location="http://[::1]:1/blob"),
            Denied,
            "a loopback address",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_a_registry_that_misbehaves_is_one_clear_error(tmp_path, path, answer, error, said):
    registry = filled(misbehave={path: answer})
    async with serving(registry, tmp_path, total=0.5 if answer is hang else 30) as (charts, repo):
        asked = "^1" if "tags" in path else "1.0.0"
        with pytest.raises(error, match=said):
            await charts.archive(await charts.resolve(Wanted(repo, "podinfo", asked)))
        registry.misbehave.clear()
        assert (await charts.archive(await charts.resolve(Wanted(repo, "podinfo", asked)))).startswith(b"\x1f\x8b")
