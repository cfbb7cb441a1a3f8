"""Where the hub may connect to on behalf of documents: the decision, on an address that is about to be connected to.

In order: `deny` refuses, `allow` permits, `deny: ["*"]` refuses the rest. Without rules everything is permitted but
addresses that are never a server somebody means: loopback, link-local, multicast, unspecified, and cloud metadata.
An address that carries an IPv4 address inside is judged as both.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from shared.errors import DocumentError

Address = IPv4Address | IPv6Address

_RULE = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:./]+)\]|(?P<plain>[^\[\]:\s]+)|(?P<colons>[0-9A-Fa-f:.]+(?:/\d+)?))(?::(?P<port>\d{1,5}))?"
)
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_.-]+")
_EVERYTHING = "*"

_NEVER = {
    "a loopback address": ("127.0.0.0/8", "::1/128"),
    "a cloud's metadata service": (
        "169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
        "fd00:ec2::254/128", "fd20:ce::254/128",
    ),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "no address of a host": ("0.0.0.0/8", "240.0.0.0/4", "::/128"),
}  # fmt: skip
_NEVER_NETWORKS = tuple(
    (ipaddress.ip_network(network), what) for what, networks in _NEVER.items() for network in networks
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Denied(DocumentError):
    """The policy does not let the hub connect there."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Hosts by name (`*.example.com` for those below) or addresses by network; `port` 0 is any."""

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `host`, `*.domain`, an address or a network, each with or without `:port`; IPv6 with a port in brackets.

        Raises:
            ValueError: it is none of these.
        """
        found = _RULE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a host, an address or a network")
        host, port = found["bracketed"] or found["colons"] or found["plain"], int(found["port"] or 0)
        if port > 65535:
            raise ValueError(f"{text!r}: there is no port {port}")
        if host == _EVERYTHING and not port:
            return cls(_EVERYTHING)
        try:
            return cls(network=ipaddress.ip_network(host, strict=False), port=port)
        except ValueError:
            if "/" in host or _NAME.fullmatch(host) is None or host.replace(".", "").isdigit():
                raise ValueError(f"{text!r} is not a host, an address or a network") from None
        return cls(_folded(host), port=port)

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Whether a connection to `host`, which is at `address`, is one of those meant."""
        if self.port not in (0, port):
            return False
        if self.network is not None:
            return address.version == self.network.version and address in self.network
        if self.name.startswith("*."):
            return _folded(host).endswith(self.name[1:])
        return self.name in (_EVERYTHING, _folded(host))


class Egress:
    """The policy."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        """Rules as `Rule.parse` reads them; may raise what it raises."""
        denied = [Rule.parse(text) for text in deny]
        self._closed = any(rule.name == _EVERYTHING for rule in denied)
        self._deny = [rule for rule in denied if rule.name != _EVERYTHING]
        self._allow = [Rule.parse(text) for text in allow]

    def refusal(self, host: str, address: str, port: int) -> str:
        """Why the hub may not connect to `address` as `host`; empty when it may."""
        forms = _forms(ipaddress.ip_address(address.partition("%")[0]))
        if any(rule.covers(host, form, port) for rule in self._deny for form in forms):
            return "the operator's egress.deny names it"
        if any(rule.covers(host, form, port) for rule in self._allow for form in forms):
            return ""
        if self._closed:
            return "egress.allow does not name it"
        return next((what for network, what in _NEVER_NETWORKS for form in forms if form in network), "")


def denied(host: str, port: int, address: str, reason: str) -> Denied:
    """The error for a refusal."""
    leads = f"{host} leads to {address}" if host != address else host
    hint = f'where that is meant, the operator of the hub sets egress.allow: ["{host}:{port}"]'
    return Denied(f"{leads}, where the hub may not connect to: {reason}", hint=hint)


def _folded(host: str) -> str:
    return host.lower().rstrip(".")


def _forms(address: Address) -> tuple[Address, ...]:
    """An address, and the IPv4 address that it carries inside or stands for."""
    if isinstance(address, IPv4Address):
        return (address,)
    inside = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        inside.append(address.teredo[1])
    low = int(address) & 0xFFFFFFFF
    if address in _NAT64 or (0xFFFF < low == int(address)):  # translated; the old "compatible" form ::a.b.c.d
        inside.append(IPv4Address(low))
    return (address, *(form for form in inside if form is not None))
