"""Connections that keep to the policy of `hub.domain.egress`.

Whoever writes an Application names hosts, and a name can lead anywhere: to the hub's own loopback, to the cloud's
metadata service, somewhere else a second after it was checked. So names are resolved here, only addresses that are
permitted are connected to, and each redirect is looked at again.
"""

from __future__ import annotations

import asyncio
import socket
import urllib.request

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from hub.domain.egress import Egress, denied


async def permitted(egress: Egress, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[str]:
    """The addresses of `host` that may be connected to.

    Raises:
        Denied: there are some, and none may.
        OSError: it has none, or they cannot be found out now.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    reasons = {address: egress.refusal(host, address, port) for address in addresses}
    result = [address for address, reason in reasons.items() if not reason]
    if not result:
        address, reason = next(iter(reasons.items()))
        raise denied(host, port, address, reason)
    return result


def refusal(egress: Egress, host: str, port: int) -> str:
    """Why nobody may connect to `host`, empty when they may: for libraries that resolve names by themselves. Blocks.

    All of its addresses have to be permitted, as the library may take any. What a proxy is to be asked for need not
    have an address here.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return "" if _is_proxied(host) else f"{host} has no address: {error.strerror}"
    for address in dict.fromkeys(str(each[4][0]) for each in found):
        reason = egress.refusal(host, address, port)
        if reason:
            refused = denied(host, port, address, reason)
            return f"{refused.message} ({refused.hint})"
    return ""


def _is_proxied(host: str) -> bool:
    proxies = urllib.request.getproxies()
    return ("http" in proxies or "https" in proxies) and not urllib.request.proxy_bypass(host)


def session(egress: Egress, *, auto_decompress: bool = True) -> aiohttp.ClientSession:
    """A session that connects to nothing the policy refuses: names, addresses and redirects alike."""
    connector = aiohttp.TCPConnector(resolver=_Resolver(egress), use_dns_cache=False)

    async def guard(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Runs before each connection, those of redirects too. The connector asks no resolver about an address."""
        _check_literal(egress, request.url.host or "", request.url.port or 0)
        return await handler(request)

    return aiohttp.ClientSession(
        connector=connector, middlewares=(guard,), trust_env=False, auto_decompress=auto_decompress
    )


def _check_literal(egress: Egress, host: str, port: int) -> None:
    try:
        reason = egress.refusal(host, host, port)
    except ValueError:
        return  # a name
    if reason:
        raise denied(host, port, host, reason)


class _Resolver(AbstractResolver):
    """Gives the connector the permitted addresses only; it connects to these and no others."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await permitted(self._egress, host, port, family)
        ]

    async def close(self) -> None:
        """Nothing to release."""
