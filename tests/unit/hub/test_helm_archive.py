"""Chart archives from anywhere: what is taken, and what is refused however it is put."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.render.helm.archive import ArchiveLimits, pack, unpack, unpack_deep
from shared.errors import DocumentError
from tests.fakes.charts import chart_archive, chart_yaml

CHART = {"Chart.yaml": chart_yaml("x")}


def archive(*members: tarfile.TarInfo) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as made:
        for member in (regular("x/Chart.yaml"), *members):
            made.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return gzip.compress(held.getvalue())


def regular(name: str, size: int = 4) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def special(kind: bytes, name: str = "x/templates/a.yaml", target: str = "/etc/passwd") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_the_directory_of_the_archive_does_not_count():
    assert unpack(chart_archive("whatever", {**CHART, "templates/a.yaml": "a"})) == {
        "Chart.yaml": chart_yaml("x").encode(),
        "templates/a.yaml": b"a",
    }


def test_an_archive_made_on_windows_is_read():
    assert set(unpack(archive(regular("x\\templates\\a.yaml")))) == {"Chart.yaml", "templates/a.yaml"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind):
    with pytest.raises(DocumentError, match="a link or a device and not a file"):
        unpack(archive(special(kind)))


@pytest.mark.parametrize("name", ["/x/a", "x/../../a", "../a", "x/templates/../../../a", "C:/x/a", "x\\..\\..\\a"])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(DocumentError, match="leads out of it"):
        unpack(archive(regular(name)))


def test_a_file_beside_the_directory_is_refused():
    with pytest.raises(DocumentError, match="not below the chart's directory"):
        unpack(archive(regular("alone.yaml")))


def test_a_name_that_comes_twice_is_refused():
    with pytest.raises(DocumentError, match="holds a twice"):
        unpack(archive(regular("x/a"), regular("x/./a")))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a chart archive"),
        (b"<html>not found</html>", "not a chart archive"),
        (gzip.compress(b"no tar", mtime=0), "not a chart archive"),
        (gzip.compress(b"", mtime=0), "not a chart archive"),
        (chart_archive("x", CHART)[:-20], "not a chart archive"),
        (chart_archive("x", {"values.yaml": "a"}), "no Chart.yaml in its directory"),
    ],
)
def test_what_is_no_chart_is_refused(data, said):
    with pytest.raises(DocumentError, match=said):
        unpack(data)


def test_sizes_are_limited_before_they_are_read():
    limits = ArchiveLimits(files=3, file_bytes=1000, bytes=20_000)
    bomb = gzip.compress(bytes(50 * 1024**2))
    assert len(bomb) < 60_000
    for data, said in (
        (bomb, "not a chart archive|more than"),
        (archive(regular("x/big", 1001)), "big is larger than"),
        (archive(*(regular(f"x/{n}", 900) for n in range(2))), ""),
        (archive(*(regular(f"x/{n}", 1) for n in range(4))), "more than 3 files"),
        (archive(special(tarfile.GNUTYPE_LONGNAME)), "not a chart archive|link or a device"),
        (
            archive(
                *(regular(f"x/{n}", 1000) for n in range(3)), *(special(tarfile.DIRTYPE, f"x/d{n}") for n in range(50))
            ),
            "more than",
        ),
    ):
        if not said:
            assert len(unpack(data, limits)) == 3
            continue
        with pytest.raises(DocumentError, match=said):
            unpack(data, limits)


def test_archives_within_share_the_limits():
    inner = chart_archive("i", {**CHART, "big": bytes(4000)})
    outer = chart_archive("o", {**CHART, **{f"charts/{n}.tgz": inner for n in range(5)}})
    assert len(unpack_deep(outer)) == 11
    with pytest.raises(DocumentError, match="more than"):
        unpack_deep(outer, ArchiveLimits(bytes=40_000))


def test_archives_within_archives_come_to_an_end():
    data = chart_archive("x", CHART)
    for _ in range(10):
        data = chart_archive("x", {**CHART, "charts/x.tgz": data})
    with pytest.raises(DocumentError, match="archives within archives"):
        unpack_deep(data)


@given(st.binary(max_size=3000))
def test_whatever_comes_is_read_or_refused(data):
    for tried in (data, gzip.compress(data), gzip.compress(bytes(512) + data)):
        with pytest.raises(DocumentError):
            unpack(tried)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,3}", fullmatch=True), st.binary(max_size=100), max_size=5)
)
def test_what_is_packed_comes_out_again(files):
    files = {**files, "Chart.yaml": b"x"}
    # As Helm does, the mark that a file is UTF-8 is left out.
    assert unpack(pack("x", files)) == {path: data.removeprefix(b"\xef\xbb\xbf") for path, data in files.items()}
    assert pack("x", files) == pack("x", dict(reversed(files.items())))
