"""Services: an address for those that ask for a load balancer."""

from __future__ import annotations

import zlib

from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey

SERVICES = ("", "services")


def reconcile(context: Context, key: NameKey) -> None:
    """One service."""
    service = context.get(SERVICES, key)
    if service is None or service["spec"].get("type") != "LoadBalancer" or not context.settings.load_balancers:
        return
    if not service["status"].get("loadBalancer", {}).get("ingress"):
        number = zlib.crc32(service["metadata"]["uid"].encode())
        address = f"192.0.2.{number % 254 + 1}"  # TEST-NET-1: documentation only, reaches nobody
        service["status"]["loadBalancer"] = {"ingress": [{"ip": address, "ipMode": "VIP"}]}
        context.write(SERVICES, service)
