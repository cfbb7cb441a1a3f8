"""Where the hub may connect to."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import settings
from hub.domain.egress import Egress, Rule
from shared.errors import DocumentError

PUBLIC = "93.184.216.34"


def permits(egress: Egress, host: str, address: str = "", port: int = 443) -> bool:
    return not egress.refusal(host, address or host, port)


@pytest.mark.parametrize("address", [PUBLIC, "10.1.2.3", "192.168.0.1", "100.64.0.1", "2606:2800:220:1::1", "fd12::1"])
def test_by_default_servers_on_the_internet_and_in_private_networks_may_be_reached(address):
    assert permits(Egress(), "git.example.com", address)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "no address of a host"),
        ("::", "no address of a host"),
        ("255.255.255.255", "no address of a host"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
    ],
)
def test_addresses_that_are_never_a_server_are_refused_with_the_reason(address, reason):
    assert reason in Egress().refusal("git.example.com", address, 443)


loopback = st.integers(0x7F000000, 0x7FFFFFFF).map(ipaddress.IPv4Address)


@given(loopback)
def test_an_address_within_another_is_seen(address):
    low = int(address)
    disguises = [
        ipaddress.IPv6Address(0xFFFF << 32 | low),
        ipaddress.IPv6Address(low),
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | low),
        ipaddress.IPv6Address(0x2002 << 112 | low << 80 | 1),
    ]
    for disguise in disguises:
        assert "loopback" in Egress().refusal("x.example", str(disguise), 443)


def test_the_operator_allows_by_name_network_and_port():
    egress = Egress(allow=["charts.internal:8080", "127.0.0.1:5000", "*.lab", "fe80::/10"])
    assert permits(egress, "charts.internal", "127.0.0.1", 8080)
    assert not permits(egress, "charts.internal", "127.0.0.1", 8081)
    assert permits(egress, "whatever", "127.0.0.1", 5000)
    assert not permits(egress, "whatever", "127.0.0.2", 5000)
    assert permits(egress, "A.B.LAB.", "127.0.0.1")
    assert not permits(egress, "lab", "127.0.0.1")
    assert not permits(egress, "notlab", "127.0.0.1")
    assert permits(egress, "fe80::1")


def test_what_is_denied_stays_so_though_it_is_allowed():
    egress = Egress(allow=["10.0.0.0/8"], deny=["10.0.0.5", "evil.example"])
    assert permits(egress, "10.0.0.4")
    assert not permits(egress, "10.0.0.5")
    assert not permits(egress, "::ffff:10.0.0.5")
    assert not permits(egress, "evil.example", PUBLIC)


def test_everything_can_be_closed_but_what_is_allowed():
    egress = Egress(allow=["github.example", "10.0.0.0/8"], deny=["*"])
    assert permits(egress, "github.example", PUBLIC)
    assert permits(egress, "git", "10.9.9.9")
    assert "egress.allow does not name it" in egress.refusal("other.example", PUBLIC, 443)


@pytest.mark.parametrize("text", ["", "a b", "http://x", "10.0.0.0/33", "10.0.0.300", "x:99999", "[::1", "a/b", "*x"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"not a host|no port"):
        Rule.parse(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[fd00::/8]:443", Rule(network=ipaddress.ip_network("fd00::/8"), port=443)),
        ("::1", Rule(network=ipaddress.ip_network("::1/128"))),
        ("Git.Example:22", Rule("git.example", port=22)),
        ("10.1.2.3/8", Rule(network=ipaddress.ip_network("10.0.0.0/8"))),
    ],
)
def test_rules_are_read(text, rule):
    assert Rule.parse(text) == rule


def test_a_wrong_rule_in_the_settings_is_told_with_its_place(monkeypatch):
    with pytest.raises(DocumentError, match=r"egress.deny: .*'a b' is not a host"):
        settings.load({"egress": {"deny": ["a b"]}}, "hub.yaml")
