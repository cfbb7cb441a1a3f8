"""What a Git server is told and believed."""

from __future__ import annotations

import threading
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import CredentialType

from hub import registered
from hub.domain import urls
from hub.settings import GitSettings, RepositoryAccess
from hub.sources.access import Callbacks, Credentials, Limits, configure
from shared.errors import Unavailable


def callbacks(address: str, **credentials: object) -> Callbacks:
    return Callbacks(urls.parse(address), Credentials(**credentials), Limits(), threading.Event())


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("git@git.example.com:x", "the SSH host key of git.example.com is not in known_hosts"),
        ("https://git.example.com/x", "the certificate of git.example.com is not trusted here"),
    ],
)
def test_a_server_is_believed_only_when_its_key_is_known(address, complaint):
    """pygit2 on its own lets every SSH host key pass."""
    assert callbacks(address).certificate_check(None, True, b"git.example.com")
    with pytest.raises(Unavailable, match=complaint):
        callbacks(address).certificate_check(None, False, b"git.example.com")


def test_a_token_is_offered_once(tmp_path: Path):
    asked = callbacks("https://git.example.com/x", token="t0ken")
    given = asked.credentials("https://git.example.com/x", None, CredentialType.USERPASS_PLAINTEXT)
    assert isinstance(given, pygit2.UserPass)
    assert given.credential_tuple == ("git", "t0ken")
    with pytest.raises(Unavailable, match="refused the token"):
        asked.credentials("https://git.example.com/x", None, CredentialType.USERPASS_PLAINTEXT)


def test_an_ssh_key_is_offered_once_and_a_missing_one_is_named(tmp_path: Path):
    key = tmp_path / "id_ed25519"
    key.write_text("a key")
    asked = callbacks("ssh://git@git.example.com/x", ssh_key=key, ssh_passphrase="s3cr3t")
    assert "s3cr3t" not in repr(asked._credentials)
    url = "ssh://git@git.example.com/x"
    given = asked.credentials(url, "git", CredentialType.SSH_KEY)
    assert isinstance(given, pygit2.Keypair)
    with pytest.raises(Unavailable, match="refused the SSH key"):
        asked.credentials(url, "git", CredentialType.SSH_KEY)
    with pytest.raises(Unavailable, match="does not exist"):
        callbacks("git@h:x", ssh_key=tmp_path / "nowhere").credentials("git@h:x", "git", CredentialType.SSH_KEY)
    without = callbacks("git@h:x")
    assert isinstance(without.credentials("git@h:x", "git", CredentialType.SSH_KEY), pygit2.KeypairFromAgent)
    with pytest.raises(Unavailable, match="none is set for it"):
        without.credentials("git@h:x", "git", CredentialType.SSH_KEY)


@pytest.mark.parametrize(
    ("named", "asking", "shown"),
    [
        ("https://git.example.com/x", "https://git.example.com/x.git", True),
        ("http://git.example.com/x", "https://git.example.com/x", True),
        ("https://git.example.com/x", "https://git.example.com:8443/x", False),
        ("https://git.example.com/x", "https://evil.example.com/x", False),
        ("https://git.example.com/x", "https://git.example.com.evil.org/x", False),
        ("http://git.example.com:8080/x", "http://git.example.com:8081/x", False),
        ("https://git.example.com/x", "http://git.example.com/x", False),
    ],
)
def test_a_token_is_for_the_server_that_was_named(named, asking, shown):
    asked = callbacks(named, token="t0ken")
    if shown:
        assert asked.credentials(asking, None, CredentialType.USERPASS_PLAINTEXT)
        return
    with pytest.raises(Unavailable, match="its server redirects to"):
        asked.credentials(asking, None, CredentialType.USERPASS_PLAINTEXT)


ACCESS = {
    "git.example.com": {"token": "host"},
    "git.example.com/Team": {"token": "team"},
    "https://git.example.com/team/secret.git": {"token": "one"},
    "git.example.com:8443": {"token": "port"},
    "http://old.example.com": {"token": "plain"},
    "/srv/git": {"username": "local"},
}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://git.example.com/other/x", "host"),
        ("https://GIT.example.com/team/x.git", "team"),
        ("git@git.example.com:Team/x", "team"),
        ("ssh://git@git.example.com/team/x", "team"),
        ("https://git.example.com/teams/x", "host"),
        ("https://git.example.com/Team/secret", "one"),
        ("https://git.example.com:8443/team/x", "port"),
        ("https://git.example.com:9999/team/x", ""),
        ("https://git.example.com.evil.org/team/x", ""),
        ("http://git.example.com/team/x", ""),
        ("http://old.example.com/x", "plain"),
        ("https://old.example.com/x", ""),
        ("http://127.0.0.1/x", ""),
    ],
)
def test_what_is_shown_to_whom(address, expected):
    choose = registered.credentials(GitSettings(access={key: RepositoryAccess(**each) for key, each in ACCESS.items()}))

    assert choose(address).token == expected
    assert choose("/srv/git/fleet").username == "local"
    assert choose("/srv/github/fleet").username == ""


def test_a_token_for_this_very_machine_may_go_over_http():
    choose = registered.credentials(GitSettings(access={"127.0.0.1:8080": RepositoryAccess(token="here")}))

    assert choose("http://127.0.0.1:8080/x").token == "here"


def test_known_hosts_may_be_anywhere_and_change(tmp_path: Path):
    home = pygit2.settings.homedir
    try:
        for name in ("one", "two"):
            (tmp_path / name).write_text(name)
            configure(Limits(), tmp_path / name, tmp_path / "home")
            assert (Path(pygit2.settings.homedir) / ".ssh" / "known_hosts").read_text() == name
    finally:
        pygit2.settings.homedir = home
        configure(Limits())
