"""Repository addresses: forms, comparison, and what may be shown of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.urls import normalise, parse, redact
from shared.errors import DocumentError


@pytest.mark.parametrize(
    "forms",
    [
        (
            "https://github.com/Acme/fleet",
            "https://github.com/acme/fleet.git",
            "https://GitHub.com:443/acme/fleet/",
            "https://bot:token@github.com/acme/fleet.git",
            "git@github.com:acme/fleet.git",
            "ssh://git@github.com/acme/fleet.git",
            "ssh://git@github.com:22/acme/fleet",
            "github.com:acme/fleet",
        ),
        ("/srv/git/fleet", "/srv/git/fleet/", "file:///srv/git/fleet.git", "/srv/git/fleet/.git"),
        ("ssh://git@[::1]:7999/p/r.git", "ssh://[::1]:7999/p/r"),
    ],
)
def test_all_forms_of_one_address_are_equal(forms):
    assert len({normalise(form) for form in forms}) == 1
    assert normalise(forms[0])


def test_different_repositories_differ():
    addresses = [
        "https://github.com/acme/fleet",
        "https://github.com/acme/fleets",
        "https://gitlab.com/acme/fleet",
        "https://github.com:8443/acme/fleet",
        "/acme/fleet",
        "/Acme/fleet",
    ]
    assert len({normalise(address) for address in addresses}) == len(addresses)


@pytest.mark.parametrize(
    ("address", "transport", "url"),
    [
        ("https://bot:secret@host/x.git", "http", "https://host/x.git"),
        ("ssh://host:7999/x.git", "ssh", "ssh://git@host:7999/x.git"),
        ("me@host:x.git", "ssh", "me@host:x.git"),
        ("host:x/y.git", "ssh", "git@host:x/y.git"),
        ("git://host/x", "git", "git://host/x"),
        ("/a/b", "file", "/a/b"),
    ],
)
def test_what_libgit2_is_given_has_no_password(address, transport, url):
    location = parse(address)
    assert (location.transport, location.url) == (transport, url)
    assert "secret" not in repr(location)


@pytest.mark.parametrize(
    "address",
    ["", "relative/path", "ftp://host/x", "https://", "https://host", "https://host:port/x", "--upload-pack=x", "a\nb"],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(DocumentError):
        parse(address)
    assert normalise(address) == ""


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("https://Git.Example.com/x", "git.example.com", 443),
        ("http://host:8080/x", "host", 8080),
        ("git@host:x", "host", 22),
        ("ssh://me@[::1]:7999/x", "::1", 7999),
        ("git://host/x", "host", 9418),
        ("/srv/x", "", 0),
        ("file:///srv/x", "", 0),
    ],
)
def test_what_would_be_connected_to(address, host, port):
    assert (parse(address).host, parse(address).port) == (host, port)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read https://bot:s3cr3t@host/x", "cannot read https://host/x"),
        ("https://s3cr3t@host/x?private_token=s3cr3t&a=b", "https://host/x?private_token=…&a=b"),
        ("ssh://git@host/x", "ssh://host/x"),
        ("git@host:x", "git@host:x"),
    ],
)
def test_secrets_in_addresses_are_not_shown(text, shown):
    assert redact(text) == shown


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_error(text):
    try:
        location = parse(text)
    except DocumentError:
        return
    assert location.key == normalise(text)


@given(st.from_regex(r"zq[a-zA-Z0-9!$%^*._~-]{2,20}", fullmatch=True), st.sampled_from(["https", "http", "ssh"]))
def test_a_password_never_survives(password, scheme):
    address = f"{scheme}://user:{password}@example.com/org/repo"
    assert password not in redact(f"error at {address}: failed")
    assert password not in parse(address).url + parse(address).key
