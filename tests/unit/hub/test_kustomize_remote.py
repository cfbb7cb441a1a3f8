"""Addresses outside the repository, in all the spellings that Kustomize's documentation of remote targets has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.render.kustomize.remote import (
    Remote,
    RemoteFile,
    is_allowed,
    is_unsafe,
    parse_base,
    parse_resource,
)

HTTPS = "https://github.com/team/repo"


@pytest.mark.parametrize(
    ("text", "repo", "path", "ref"),
    [
        ("github.com/team/repo", HTTPS, "", ""),
        ("github.com/team/repo/deploy/prod?ref=v1.0", HTTPS, "deploy/prod", "v1.0"),
        ("GitHub.com/team/repo//deploy?version=v2", HTTPS, "deploy", "v2"),
        ("github.com/team/repo?ref=main&version=v2", HTTPS, "", "main"),
        (
            "https://github.com/team/repo//deploy/prod/?ref=v1.0&timeout=120&submodules=true",
            HTTPS,
            "deploy/prod/",
            "v1.0",
        ),
        ("https://github.com/team/repo.git//deploy", HTTPS + ".git", "deploy", ""),
        ("https://github.com/team/repo.git/deploy?ref=abc", HTTPS + ".git", "deploy", "abc"),
        ("git::https://github.com/team/repo//deploy?ref=x", HTTPS, "deploy", "x"),
        ("GIT::github.com/team/repo", HTTPS, "", ""),
        ("git@github.com:team/repo.git//deploy?ref=v1", "git@github.com:team/repo.git", "deploy", "v1"),
        ("ssh://git@github.com/team/repo//deploy", "git@github.com:team/repo", "deploy", ""),
        (
            "ssh://git@git.example.com:2222/team/repo.git//deploy",
            "ssh://git@git.example.com:2222/team/repo.git",
            "deploy",
            "",
        ),
        (
            "git@gitlab.example.com:group/sub/repo.git//deploy",
            "git@gitlab.example.com:group/sub/repo.git",
            "deploy",
            "",
        ),
        ("https://gitlab.com/group/sub/repo//deploy", "https://gitlab.com/group/sub/repo", "deploy", ""),
        (
            "https://dev.azure.com/org/project/_git/repo/deploy/prod?ref=v1",
            "https://dev.azure.com/org/project/_git/repo",
            "deploy/prod",
            "v1",
        ),
        ("http://git.example.com/team/repo/x", "http://git.example.com/team/repo", "x", ""),
        ("file:///srv/git/repo.git//deploy", "file:///srv/git/repo.git", "deploy", ""),
        ("file:///srv/git/repo", "file:///srv/git/repo", "", ""),
    ],
)
def test_bases_in_other_repositories(text, repo, path, ref):
    assert parse_base(text) == Remote(text, repo, ref, path)
    assert parse_resource(text) == Remote(text, repo, ref, path)


def test_submodules_can_be_left_out():
    base = parse_base("https://github.com/team/repo?submodules=0")

    assert base is not None
    assert not base.submodules


@pytest.mark.parametrize(
    "text",
    [
        "base",
        "../base",
        "./github.com/team/repo",
        "/srv/base",
        "deploy.yaml",
        "a//b",
        "x.git/y",
        "example.com/team/repo",
        "",
    ],
)
def test_paths_are_paths(text):
    assert parse_resource(text) is None
    assert parse_base(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://raw.githubusercontent.com/team/repo/v1/deploy/install.yaml",
        "https://github.com/team/repo/releases/download/v1/install.yaml",
        "HTTP://example.com/a.json",
        "https://example.com/",
        "http:a.yml",
    ],
)
def test_files_at_http_addresses(text):
    assert parse_resource(text) == RemoteFile(text)


@pytest.mark.parametrize(
    ("text", "prefixes", "allowed"),
    [
        ("https://github.com/team/repo//x?ref=v1", ["https://github.com/team/"], True),
        ("https://github.com/team/repo//x?ref=v1", ["https://github.com/team/repo"], True),
        ("https://github.com/team/repo.git//x", ["github.com/team/repo"], True),
        ("https://GitHub.com/Team/Repo//x", ["github.com/team/repo.git"], True),
        ("git@github.com:team/repo//x", ["github.com/team"], True),
        ("git@github.com:team/repo//x", ["git@github.com:team"], True),
        ("git@github.com:team/repo//x", ["https://github.com/team"], False),
        ("https://github.com/teams/repo//x", ["https://github.com/team"], False),
        ("https://github.com/team/repository//x", ["https://github.com/team/repo"], False),
        ("https://github.com.evil.example/team/repo//x", ["github.com"], False),
        ("https://github.com@evil.example/team/repo//x", ["github.com"], False),
        ("http://github.example/team/repo//x", ["github.example"], False),
        ("http://github.example/team/repo//x", ["http://github.example"], True),
        ("https://git.example.com:8443/team/repo//x", ["https://git.example.com/team"], False),
        ("https://git.example.com:8443/team/repo//x", ["https://git.example.com:8443/team"], True),
        ("https://github.com/team/../other/repo//x", ["https://github.com/team"], False),
        ("https://github.com/team/%2e%2e/other/repo.git//x", ["https://github.com/team"], False),
        ("file:///srv/git/repo//x", ["srv", "git"], False),
        ("file:///srv/git/repo//x", ["file:///srv/git"], True),
        ("https://raw.githubusercontent.com/team/repo/v1/a.yaml", ["raw.githubusercontent.com/team/"], True),
        ("https://github.com/team/repo//x", [], False),
        ("https://github.com/team/repo//x", ["", "https://"], False),
    ],
)
def test_prefixes_allow_name_by_name(text, prefixes, allowed):
    remote = parse_resource(text)

    assert remote is not None
    assert is_allowed(remote, prefixes) is allowed


def test_an_address_that_leads_up_is_never_allowed():
    for text in (
        "https://h/a/../b/c//d",
        "https://h/a/b//../../d",
        "https://h/a/%2E%2e/c.yaml",
        "https://h/a b/c.yaml",
    ):
        remote = parse_resource(text)
        assert remote is not None
        assert is_unsafe(remote)


@given(st.text())
def test_any_text_is_read_without_failing(text):
    remote = parse_resource(text)

    if remote is not None:
        is_allowed(remote, ["https://github.com/team"])
