"""Repository addresses: which form they have, how they compare, and how they may be shown. Pure.

Known forms are local paths, file://, git://, http(s)://, ssh:// and the scp-like `user@host:path`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from shared.errors import DocumentError

_SCP = re.compile(r"(?:(?P<user>[^@/\s]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<path>(?!//).+)")
_HOST_PORT = re.compile(r"[^/@:\s]+:\d+(/|$)")
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]+@")
_SECRET_QUERY = re.compile(r"(?i)([?&](?:[a-z_]*token|password|secret|key)=)[^&\s]+")
_SCHEMES = {"file": "file", "git": "git", "http": "http", "https": "http", "ssh": "ssh", "git+ssh": "ssh"}


@dataclass(frozen=True, slots=True)
class Location:
    """Where a repository is.

    `transport` is one of file, git, http, ssh. `url` is what libgit2 is given and never holds a password; `key` is
    equal for all forms of one address. `user` and `password` are what the address carried; kept out of `repr`. `host`
    and `port` are what is connected to; none for a file.
    """

    transport: str
    url: str
    key: str
    user: str
    password: str
    host: str = ""
    port: int = 0

    def __repr__(self) -> str:
        return f"Location({self.key!r})"


def parse(address: str) -> Location:
    """Read a repository address.

    Raises:
        DocumentError: no known form, or a scheme that is not served.
    """
    text = address.strip()
    if "\0" in text or "\n" in text or not text or text.startswith("-"):
        raise DocumentError(f"{redact(address)!r} is not a repository address")
    if "://" in text:
        return _from_url(text)
    if not text.startswith(("/", ".", "~")) and (scp := _SCP.fullmatch(text)):
        user, host, path = scp["user"] or "git", scp["host"], scp["path"]
        return Location("ssh", f"{user}@{host}:{path}", _key(host, "", path), user, "", host.strip("[]"), 22)
    if not text.startswith("/"):
        raise DocumentError(
            f"{text!r} is not a repository address",
            hint="give an absolute path, file://, git://, http(s)://, ssh:// or user@host:path",
        )
    # With a colon in it libgit2 would take the path for host:path.
    return Location("file", f"file://{quote(text)}" if ":" in text else text, _file_key(text), "", "")


def _from_url(text: str) -> Location:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise DocumentError(f"{redact(text)!r} is not a repository address: {error}") from None
    transport = _SCHEMES.get(parts.scheme.lower())
    if transport is None:
        raise DocumentError(f"{redact(text)!r}: {parts.scheme}:// is not served", hint="file, git, http(s) or ssh")
    if transport == "file":
        return Location("file", text, _file_key(parts.path), "", "")
    if not parts.hostname or not parts.path.strip("/"):
        raise DocumentError(f"{redact(text)!r} names no {'host' if not parts.hostname else 'repository'}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port else host
    user = parts.username or ("git" if transport == "ssh" else "")
    scheme = "ssh" if transport == "ssh" else parts.scheme.lower()
    at = f"{user}@" if transport == "ssh" else ""
    url = f"{scheme}://{at}{place}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    default = {"http": 80, "https": 443, "ssh": 22, "git": 9418}[scheme]
    shown_port = "" if port in (None, default) else str(port)
    key, password = _key(host, shown_port, parts.path), parts.password or ""
    return Location(transport, url, key, user, password, parts.hostname, port or default)


def normalise(address: str) -> str:
    """A key that is equal for the https, ssh and scp-like forms of one repository; '' when it is not an address."""
    try:
        return parse(address).key
    except DocumentError:
        return ""


def project(address: str) -> str:
    """The path of a repository at its host, as it is written: `team/fleet`.

    Raises:
        DocumentError: it is no address.
    """
    location = parse(address)
    found = _SCP.fullmatch(location.url)
    return _trim(
        found["path"] if found is not None and "://" not in location.url else urlsplit(location.url).path
    ).strip("/")


def best(prefixes: Iterable[str], address: str) -> str | None:
    """The one of `prefixes` that says most about a repository, None when none means it.

    A prefix is a host (with its port, where that is not the usual one), a host with the beginning of a path, or a whole
    address in any form. One that names a scheme means addresses of that scheme only.
    """
    fitting = [(_fit(prefix, address), prefix) for prefix in prefixes]
    length, found = max(fitting, default=(0, ""))
    return found if length else None


def _fit(prefix: str, address: str) -> int:
    """How much of an address a prefix names, in characters; 0: it means others."""
    text, plain = prefix.strip(), normalise(address)
    scheme, _, rest = text.rpartition("://")
    if scheme and scheme.lower() != address.strip().partition("://")[0].lower():
        return 0
    is_key = _HOST_PORT.match(text) or text.startswith("file:/")
    wanted = _trim(text) if is_key else normalise(text) or _trim(rest)
    folded = wanted if plain.startswith("file:") else wanted.lower()
    return len(folded) if plain == folded or plain.startswith(f"{folded}/") else 0


def redact(text: str) -> str:
    """`text` without the user information and secret parameters of any address in it: fit for logs and status."""
    return _SECRET_QUERY.sub(r"\1…", _USERINFO.sub(r"\g<scheme>", text))


def _key(host: str, port: str, path: str) -> str:
    # A port other than the scheme's own stays in the key: two servers on one host are two servers.
    return f"{host.lower()}{':' + port if port else ''}/{_trim(path).lstrip('/').lower()}"


def _file_key(path: str) -> str:
    return "file:" + (_trim(path) or "/")


def _trim(path: str) -> str:
    path = path.rstrip("/")
    return path.removesuffix(".git").rstrip("/") if not path.endswith("/.git") else path.removesuffix("/.git")
