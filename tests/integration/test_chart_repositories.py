"""Charts over real HTTP: which version is meant, what is fetched when, and everything that can go wrong on the way."""

from __future__ import annotations

import gzip
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
from tests.fakes.chartservers import ChartRepository, digest, hang, packed, trickle
from tests.fakes.httpserver import listening


@pytest.fixture
async def repository() -> AsyncIterator[ChartRepository]:
    served = ChartRepository()
    for version in ("1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0"):
        served.put("podinfo", version)
    async with listening(served.app()) as origin:
        served.origin = f"{origin}/charts"
        yield served


@asynccontextmanager
async def charts(
    folder, access: dict[str, HostAccess] | None = None, egress: Egress | None = None, limits: WebLimits | None = None
) -> AsyncIterator[Charts]:
    """Charts that may reach loopback unless told otherwise."""

    def shown(url: str) -> HostAccess:
        return (access or {}).get(urlsplit(url).netloc, HostAccess())

    made = Charts(folder, Web(egress or Egress(["127.0.0.1"]), shown, limits), Pace(), lambda: None, Clock())
    try:
        yield made
    finally:
        await made.close()


def answering(status: int = 200, body: bytes = b"", **headers: str):
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def bomb(_request: web.Request) -> web.StreamResponse:
    """A little that is a lot when it is unpacked."""
    return web.Response(body=gzip.compress(bytes(65 * 1024**2), 1), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("", "2.0.0"),
        ("^1", "1.1.0"),
        (">=1.0.0-0 <2", "1.2.0-rc.1"),
        ("1.0", "1.0.0"),
        ("1.2.0-rc.1", "1.2.0-rc.1"),
        ("v1.0.0", "1.0.0"),
    ],
)
async def test_the_highest_version_in_the_range_is_meant(repository, tmp_path, asked, version):
    async with charts(tmp_path) as made:
        chart = await made.resolve(Wanted(repository.origin, "podinfo", asked))
        assert (chart.version, chart.file) == (version, f"podinfo-{version}.tgz")
        assert await made.archive(chart) == packed("podinfo", version)


async def test_an_archive_is_fetched_once_and_an_index_only_when_it_has_changed(repository, tmp_path):
    wanted = Wanted(repository.origin, "podinfo", "1.0.0")
    for _ in range(2):
        async with charts(tmp_path) as made:
            for _ in range(2):
                await made.archive(await made.resolve(wanted))
    assert repository.requests.count("charts/podinfo-1.0.0.tgz") == 1
    assert (repository.requests.count("charts/index.yaml"), repository.not_modified) == (4, 3)


async def test_a_new_version_is_seen(repository, tmp_path):
    async with charts(tmp_path) as made:
        wanted = Wanted(repository.origin, "podinfo", "^1")
        assert (await made.resolve(wanted)).version == "1.1.0"
        repository.put("podinfo", "1.3.0")
        assert (await made.resolve(wanted)).version == "1.3.0"


async def test_an_archive_that_was_damaged_on_disk_is_fetched_again(repository, tmp_path):
    async with charts(tmp_path) as made:
        chart = await made.resolve(Wanted(repository.origin, "podinfo"))
        await made.archive(chart)
        (kept,) = (tmp_path / "archives").iterdir()
        kept.write_bytes(b"damaged")
        assert await made.archive(chart) == packed("podinfo", "2.0.0")


async def test_archives_may_be_elsewhere_and_are_asked_without_the_secrets_of_the_repository(tmp_path):
    elsewhere = ChartRepository()
    async with listening(elsewhere.app()) as other:
        repository = ChartRepository(username="me", password="s3cret", base=f"{other}/charts/")
        elsewhere.archives["podinfo-1.0.0.tgz"] = repository.put("podinfo", "1.0.0")
        async with listening(repository.app()) as origin:
            access = {urlsplit(origin).netloc: HostAccess("me", "s3cret", plain_http=True)}
            async with charts(tmp_path, access) as made:
                await made.archive(await made.resolve(Wanted(f"{origin}/charts", "podinfo")))
    assert repository.authorizations[0].startswith("Basic ")
    assert elsewhere.authorizations == [""]


async def test_secrets_do_not_travel_in_the_clear_unless_told_so_nor_to_where_a_redirect_leads(tmp_path):
    elsewhere = ChartRepository()
    async with listening(elsewhere.app()) as other:
        repository = ChartRepository()
        repository.misbehave["charts/index.yaml"] = answering(302, Location=f"{other}/charts/index.yaml")
        elsewhere.put("podinfo", "1.0.0")
        async with listening(repository.app()) as origin:
            place = urlsplit(origin).netloc
            for plain, count in ((False, 0), (True, 1)):
                access = {place: HostAccess("me", "s3cret", plain_http=plain)}
                async with charts(tmp_path / str(plain), access) as made:
                    await made.resolve(Wanted(f"{origin}/charts", "podinfo"))
                assert sum(bool(each) for each in repository.authorizations) == count
    assert not any(elsewhere.authorizations)


async def test_an_index_without_digests_is_no_worse(tmp_path):
    repository = ChartRepository(with_digests=False)
    data = repository.put("podinfo", "1.0.0")
    async with listening(repository.app()) as origin, charts(tmp_path) as made:
        wanted = Wanted(f"{origin}/charts", "podinfo")
        chart = await made.resolve(wanted)
        assert chart.digest == digest(data)
        assert await made.archive(chart) == data
        await made.resolve(wanted)
        assert repository.requests.count("charts/podinfo-1.0.0.tgz") == 1


async def test_what_is_not_there_is_said_with_what_is(repository, tmp_path):
    async with charts(tmp_path) as made:
        with pytest.raises(
            DocumentError, match=r"podinfo has no version \^3; there are 2.0.0, 1.2.0-rc.1, 1.1.0, 1.0.0"
        ):
            await made.resolve(Wanted(repository.origin, "podinfo", "^3"))
        with pytest.raises(DocumentError, match=f"there is no chart nginx in {repository.origin}"):
            await made.resolve(Wanted(repository.origin, "nginx"))
        with pytest.raises(DocumentError, match=r"'>=y' is not a version range"):
            await made.resolve(Wanted(repository.origin, "podinfo", ">=y"))
        with pytest.raises(
            DocumentError, match=r"there is no index of a chart repository at .*/nowhere: .* answers 404"
        ):
            await made.resolve(Wanted(repository.origin.replace("/charts", "/nowhere"), "podinfo"))


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (answering(401), DocumentError, "may not be read: .* answers 401 .*charts.access"),
        (answering(403), DocumentError, "may not be read"),
        (answering(503, Retry_After="7"), Unavailable, "answers 503"),
        (answering(200, b"<html>Welcome</html>"), DocumentError, "it has no `entries`"),
        (answering(200, b"entries: [a]"), DocumentError, "no index of a chart repository: it has no"),
        (answering(200, b"{"), DocumentError, "it is no index"),
        (bomb, DocumentError, "is larger than 64 MiB"),
        (answering(200, b"no gzip", Content_Encoding="gzip"), Unavailable, "cannot be read"),
        (answering(302, Location="/charts/index.yaml"), DocumentError, "redirects more than 5 times"),
        (answering(302, Location="file:///etc/passwd"), DocumentError, "which is not the web"),
        (answering(302, Location="http://127.0.0.2:1/"), Denied, "a loopback address"),
        (answering(302, Location="http://169.254.169.254/latest"), Denied, "a cloud's metadata service"),
        (hang, Unavailable, r"did not answer within 0\.5 s"),
        (trickle, Unavailable, r"did not answer within 0\.5 s"),
    ],
)  # fmt: skip
async def test_a_repository_that_misbehaves_is_one_clear_error(repository, tmp_path, answer, error, said):
    repository.misbehave["charts/index.yaml"] = answer
    async with charts(tmp_path, limits=WebLimits(total=0.5 if answer in (hang, trickle) else 30)) as made:
        with pytest.raises(error, match=said) as failed:
            await made.resolve(Wanted(repository.origin, "podinfo"))
        if "503" in said:
            assert failed.value.retry_after == 7
        # It recovers.
        del repository.misbehave["charts/index.yaml"]
        assert (await made.resolve(Wanted(repository.origin, "podinfo"))).version == "2.0.0"


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (answering(404), DocumentError, "there is no chart podinfo-2.0.0.tgz"),
        (
            answering(200, packed("podinfo", "6.6.6")),
            DocumentError,
            "is not what .* promises: it has the digest sha256:",
        ),
        (answering(200, b"<html>"), DocumentError, "is not a chart archive"),
        (answering(200, bytes(33 * 1024**2)), DocumentError, "is larger than 32 MiB"),
        (hang, Unavailable, "did not answer within"),
    ],
)
async def test_an_archive_that_is_not_what_was_promised_is_not_used(repository, tmp_path, answer, error, said):
    async with charts(tmp_path, limits=WebLimits(total=0.5 if answer is hang else 30)) as made:
        chart = await made.resolve(Wanted(repository.origin, "podinfo"))
        repository.misbehave["charts/podinfo-2.0.0.tgz"] = answer
        with pytest.raises(error, match=said):
            await made.archive(chart)
        del repository.misbehave["charts/podinfo-2.0.0.tgz"]
        assert await made.archive(chart) == packed("podinfo", "2.0.0")


async def test_a_server_that_is_away_is_told_from_one_that_may_not_be_reached(tmp_path):
    async with listening(web.Application()) as origin:
        pass
    async with charts(tmp_path) as made:
        with pytest.raises(Unavailable, match="cannot be read"):
            await made.resolve(Wanted(f"{origin}/charts", "podinfo"))
    async with charts(tmp_path, egress=Egress()) as made:
        with pytest.raises(Denied, match=r"egress\.allow"):
            await made.resolve(Wanted(f"{origin}/charts", "podinfo"))


@pytest.mark.parametrize(
    "repo", ["", "charts", "ftp://example.com", "https://", "file:///etc", "https://u:p@example.com"]
)
async def test_addresses_that_cannot_be_one_are_refused(tmp_path, repo):
    async with charts(tmp_path) as made:
        with pytest.raises(DocumentError):
            await made.resolve(Wanted(repo, "podinfo"))


async def test_an_archive_with_an_address_of_its_own_needs_no_index(repository, tmp_path):
    address = f"{repository.origin}/podinfo-1.0.0.tgz"
    async with charts(tmp_path) as made:
        chart = await made.resolve(Wanted(address, "podinfo"))
        assert (chart.version, chart.url) == ("1.0.0", address)
        assert await made.archive(chart) == packed("podinfo", "1.0.0")
        with pytest.raises(DocumentError, match=r"podinfo has no version 2\.x; there are 1\.0\.0"):
            await made.resolve(Wanted(address, "podinfo", "2.x"))
        with pytest.raises(DocumentError):
            await made.resolve(Wanted(f"{repository.origin}/missing-1.0.0.tgz", "missing"))
    assert "charts/index.yaml" not in repository.requests


async def test_an_archive_that_is_replaced_is_another_chart(repository, tmp_path):
    wanted = Wanted(f"{repository.origin}/podinfo-1.0.0.tgz", "podinfo")
    async with charts(tmp_path) as made:
        before = await made.resolve(wanted)
        newer = packed("podinfo", "1.0.0", **{"README.md": "newer"})
        repository.archives["podinfo-1.0.0.tgz"] = newer
        after = await made.resolve(wanted)
        assert after.digest != before.digest
        assert await made.archive(after) == newer
