"""Whether a browser was sent here by a page of this hub."""

from __future__ import annotations

import urllib.parse

from fastapi import Request


def same_origin(request: Request) -> bool:
    """True only where the browser says so: by Sec-Fetch-Site, which no page can set, and by Origin where it is sent.

    The host is compared, not the scheme: behind a proxy that ends TLS the hub itself is spoken to in plain.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    try:
        return urllib.parse.urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    except ValueError:
        return False
