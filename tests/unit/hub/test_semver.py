"""Version ranges over tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.semver import best, is_range, parse
from shared.errors import DocumentError

TAGS = [
    "v1.0.0",
    "v1.2.3",
    "1.2.10",
    "v1.10.0",
    "v2.0.0-rc.1",
    "v2.0.0-rc.10",
    "v2.0.0",
    "0.4.1",
    "0.4.9",
    "latest",
    "v3",
]


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        (">=1.0", "v3"),
        (">=1.2 <2", "v1.10.0"),
        (">=1.2, <2", "v1.10.0"),
        (">= 1.2 < 1.3", "1.2.10"),
        ("^1.2", "v1.10.0"),
        ("^0.4.1", "0.4.9"),
        ("~1.2.3", "1.2.10"),
        ("~1.2", "1.2.10"),
        ("1.x", "v1.10.0"),
        ("1.2.x", "1.2.10"),
        ("v1.2.*", "1.2.10"),
        ("*", "v3"),
        ("1.0 - 1.2", "1.2.10"),
        ("1.0.0 - 1.2.3", "v1.2.3"),
        ("=1.2.3", "v1.2.3"),
        ("<1 || >=3", "v3"),
        ("<=1.2", "1.2.10"),
        (">1.2 <2", "v1.10.0"),
        (">=1.2 !=1.10.0 <2", "1.2.10"),
        (">=2.0.0-rc.1 <2.0.0", "v2.0.0-rc.10"),
        (">=9", None),
        ("<0.1", None),
    ],
)
def test_the_highest_version_in_the_range_wins(wanted, tag):
    assert is_range(wanted)
    assert best(wanted, TAGS) == tag


def test_versions_before_release_count_only_when_named():
    assert best("<2.0.1", ["v1.0.0", "v2.0.0-rc.1"]) == "v1.0.0"
    assert best(">=2.0.0-0", ["v1.0.0", "v2.0.0-rc.1"]) == "v2.0.0-rc.1"


@pytest.mark.parametrize(
    "ref", ["main", "v1.2.3", "release-1.x", "feature/x", "1.2.3", "", "a b", "0a1b2c3d", ">=main"]
)
def test_names_are_not_taken_for_ranges(ref):
    assert not is_range(ref)


def test_what_is_no_range_is_refused():
    for wanted in (">=", "^", "1.2.3.4 x", ">=1.2;rm"):
        with pytest.raises(DocumentError, match="is not a version range"):
            best(wanted, TAGS)


numbers = st.integers(0, 50)


@given(numbers, numbers, numbers, st.lists(st.tuples(numbers, numbers, numbers), max_size=20))
def test_a_caret_stays_within_its_major_version(major, minor, patch, versions):
    tags = [".".join(map(str, version)) for version in versions]
    found = best(f"^{major + 1}.{minor}.{patch}", tags)
    if found is not None:
        version = parse(found)
        assert version is not None
        assert (major + 1, minor, patch) <= version[:3] < (major + 2, 0, 0)
        assert found in tags
