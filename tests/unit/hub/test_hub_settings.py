"""Settings: environment over file over defaults, and errors an operator can act on."""

import hashlib

import pytest

from hub import settings
from hub.domain.principals import Principal
from shared.errors import DocumentError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(("YARDARM_", "OTEL_")):
            monkeypatch.delenv(name)


def test_the_defaults_serve_loopback_with_a_nats_server_of_its_own():
    got = settings.load()

    assert got.host == "127.0.0.1"
    assert got.embedded
    assert got.git.poll_interval == 15


def test_the_environment_wins_over_the_file(monkeypatch):
    monkeypatch.setenv("YARDARM_GIT__POLL_INTERVAL", "3")
    monkeypatch.setenv("YARDARM_WEBHOOK_SECRETS", '["a", "b"]')

    got = settings.load({"git": {"poll_interval": 7, "known_hosts": "/k"}, "port": 99}, "hub.yaml")

    assert (got.git.poll_interval, str(got.git.known_hosts), got.port) == (3, "/k", 99)
    assert [secret.get_secret_value() for secret in got.webhook_secrets] == ["a", "b"]


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("YARDARM_TOKEN", "hunter2")

    got = settings.load({"git": {"access": {"github.com": {"token": "hunter3"}}}})

    assert got.git.access["github.com"].token.get_secret_value() == "hunter3"
    assert "hunter" not in repr(got)


@pytest.mark.parametrize("name", ["YARDARM_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_the_otlp_endpoint_has_its_usual_name_too(monkeypatch, name):
    monkeypatch.setenv(name, "http://collector:4318")

    assert settings.load().otlp_endpoint == "http://collector:4318"


def test_the_otlp_endpoint_can_stand_in_the_file():
    assert settings.load({"otlp_endpoint": "http://c:4318"}).otlp_endpoint == "http://c:4318"


def test_an_error_shows_no_secret():
    with pytest.raises(DocumentError) as failed:
        settings.load({"token": ["hunter2"]}, "hub.yaml")

    assert "hunter2" not in str(failed.value)


def test_it_does_not_listen_to_the_world_without_a_token():
    with pytest.raises(DocumentError, match="set `token`"):
        settings.load({"host": "0.0.0.0"})

    assert settings.load({"host": "0.0.0.0", "token": "x"}).host == "0.0.0.0"
    assert settings.load({"host": "::1"}).host == "::1"


def test_every_setting_says_what_it_means_and_why():
    def undocumented(model, path=""):
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, settings.Section):
                yield from undocumented(field.annotation, f"{path}{name}.")
            elif not field.description:
                yield path + name

    assert list(undocumented(settings.HubSettings)) == []


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"fleet_rep": "x"}, "fleet_rep: there is no such setting; did you mean fleet_repo?"),
        ({"git": {"pol_interval": 1}}, "git.pol_interval: there is no such setting; did you mean poll_interval?"),
        ({"zzz": 1}, "zzz: there is no such setting"),
    ],
)
def test_a_setting_that_does_not_exist_is_named_with_what_was_meant(document, said):
    with pytest.raises(DocumentError) as refused:
        settings.load(document, "hub.yaml")
    assert f"hub.yaml: {said}" in str(refused.value)


HASH = hashlib.sha256(b"x").hexdigest()


def test_named_tokens_are_read_with_roles_addresses_and_their_end(monkeypatch):
    entry = {"name": "ann", "sha256": HASH, "roles": ["operator", "sre"], "emails": ["ann@example.com"]}

    (token,) = settings.load({"tokens": [entry | {"expires": "1970-01-02"}]}).tokens
    monkeypatch.setenv(
        "YARDARM_TOKENS", f'[{{"name": "ci", "sha256": "{HASH}", "expires": "1970-01-01T01:00:00+01:00"}}]'
    )
    (from_environment,) = settings.load({"tokens": [entry]}).tokens

    assert token.known.holder == Principal("ann", ("operator", "sre"), ("ann@example.com",))
    assert token.known.expires == 86_400
    assert (from_environment.name, from_environment.known.expires) == ("ci", 0)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"name": "admin", "sha256": HASH}], "tokens.0.name: admin is who holds the hub's own `token`"),
        ([{"name": "-ann", "sha256": HASH}], "tokens.0.name: a name is at most"),
        ([{"name": "ann", "sha256": "yardarm_secret"}], "never the token itself"),
        ([{"name": "ann", "sha256": HASH, "roles": ["S R"]}], "a role is at most"),
        ([{"name": "ann", "sha256": HASH, "emails": ["ann"]}], "like ann@example.com"),
        ([{"name": "ann", "sha256": HASH, "role": ["sre"]}], "did you mean roles?"),
        ([{"name": "ann", "sha256": HASH}, {"name": "bo", "sha256": HASH}], "the same sha256"),
        (
            [{"name": "ann", "sha256": HASH}, {"name": "ann", "sha256": HASH[::-1], "roles": ["admin"]}],
            "the tokens of ann differ in roles, grants or emails",
        ),
    ],
)
def test_a_token_that_cannot_be_is_refused_without_showing_it(entries, said):
    with pytest.raises(DocumentError) as refused:
        settings.load({"tokens": entries}, "hub.yaml")

    assert said in str(refused.value)
    assert "yardarm_secret" not in str(refused.value)


def test_two_tokens_of_one_person_serve_while_one_is_replaced():
    entries = [{"name": "ann", "sha256": each, "roles": ["sre"]} for each in (HASH, HASH[::-1])]

    assert len(settings.load({"tokens": entries}).tokens) == 2
