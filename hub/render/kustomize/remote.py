"""The addresses by which a kustomization may name something outside its repository. Pure.

The forms are those of Kustomize's own documentation of remote targets: `host/organisation/repository` for GitHub, any
http(s), ssh, file or scp-like address, with the directory after `//`, after `.git/`, after the name that follows
`_git/`, or after two names; `?ref=` (or `version=`), `submodules=` and `timeout=` behind it; and an old `git::` before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

from shared.model import Value

_SCHEME = re.compile(r"(ssh|https?|file)://", re.IGNORECASE)
_USER = re.compile(r"[A-Za-z][A-Za-z0-9-]*@")
_GITHUB = re.compile(r"github\.com[/:]", re.IGNORECASE)
_HTTP = re.compile(r"https?:", re.IGNORECASE)
_MANIFEST = re.compile(r"\.(ya?ml|json)$", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:[^@/]*@)?(?P<host>[^/:]*)(?P<rest>.*)", re.DOTALL)


class Remote(Value, frozen=True):
    """A directory of another repository, as `text` in a kustomization names it.

    `repo` is what Git is given; an empty `ref` is the repository's default branch, an empty `path` its root.
    """

    text: str
    repo: str
    ref: str
    path: str
    submodules: bool = True


class RemoteFile(Value, frozen=True):
    """A file at an http(s) address."""

    text: str


def is_remote_file(text: str) -> bool:
    """Whether Kustomize would read this by http, wherever a kustomization names a file."""
    return _HTTP.match(text) is not None


def parse_resource(text: str) -> Remote | RemoteFile | None:
    """What an entry of `resources` names outside the repository; None for a path inside.

    Kustomize tries an http(s) address as a file first and clones it when that fails. Here the address decides, so that
    nothing is fetched to find out: with a manifest's extension it is a file, unless it has a form that only Git has.
    """
    base = parse_base(text)
    if not is_remote_file(text):
        return base
    address, _, query = text.partition("?")
    path = address.split("://", 1)[-1]
    only_git = "ref=" in query or "version=" in query or "//" in path or ".git/" in path or "_git/" in path
    return base if base is not None and (only_git or not _MANIFEST.search(address)) else RemoteFile(text)


def parse_base(text: str) -> Remote | None:
    """The directory of another repository that this names; None for a path inside."""
    if text.startswith("/"):
        return None
    address, _, query = text.partition("?")
    if address[:5].lower() == "git::":
        address = address[5:]
    found = _host(address)
    if found is None:
        return None
    host, rest = found
    split = _split(rest, whole=host == "file://")
    if split is None:
        return None
    repo, path = split
    options = dict(reversed(parse_qsl(query)))  # of several, the first counts
    submodules = options.get("submodules", "").lower() not in ("0", "f", "false")
    return Remote(text, host + repo, options.get("ref") or options.get("version", ""), path.lstrip("/"), submodules)


def is_unsafe(remote: Remote | RemoteFile) -> bool:
    """Whether the address leads up somewhere, which no honest one does and prefixes cannot be compared with."""
    text = unquote(f"{remote.repo}/{remote.path}" if isinstance(remote, Remote) else remote.text)
    return ".." in re.split(r"[/:\\]", text) or any(char.isspace() or not char.isprintable() for char in text)


def is_allowed(remote: Remote | RemoteFile, prefixes: Sequence[str]) -> bool:
    """Whether the address begins with one of `prefixes`, name by name: `github.com/team` allows no `github.com/teams`.

    A prefix with a scheme is for that scheme only, one without for https and ssh.
    """
    if is_unsafe(remote):
        return False
    scheme, names = _parts(remote.repo if isinstance(remote, Remote) else remote.text)
    for prefix in prefixes:
        wanted, wanted_names = _parts(prefix.strip())
        schemes = (wanted,) if wanted else ("https", "ssh")
        if scheme in schemes and wanted_names and names[: len(wanted_names)] == wanted_names:
            return True
    return False


def _host(address: str) -> tuple[str, str] | None:
    """The part of a repository's address up to the path, and the path; None when this is no address."""
    found = _SCHEME.match(address)
    scheme = found.group().lower() if found else ""
    rest = address[len(scheme) :]
    if scheme == "file://":
        return scheme, rest
    named = _USER.match(rest)
    user = named.group() if named else ""
    rest = rest[len(user) :]
    github = _GITHUB.match(rest) is not None
    if not scheme and not user and not github:
        return None
    end = rest.find("/")
    colon = rest.find(":") if not scheme else -1
    if end < 0 or 0 < colon < end:
        end = colon
    if end < 0:
        return None
    host, path = rest[: end + 1], rest[end + 1 :]
    if not github:
        return scheme + user + host, path
    # GitHub serves each of its repositories at two addresses only.
    return (f"{user}github.com:" if user or scheme == "ssh://" else "https://github.com/"), path


def _split(path: str, *, whole: bool) -> tuple[str, str] | None:
    """The repository's path and the directory in it."""
    before, marker, after = path.partition("_git/")
    if marker:
        name, _, directory = after.partition("/")
        return before + marker + name, directory
    before, marker, after = path.partition("//")
    if marker:
        return (before, after) if before else None
    before, marker, after = path.partition(".git")
    if marker:
        return before + marker, after
    if whole:
        return (path, "") if path else None
    names = path.split("/")
    return ("/".join(names[:2]), "/".join(names[2:])) if len(names) >= 2 else None


def _parts(address: str) -> tuple[str, tuple[str, ...]]:
    """The scheme ('' when none is written) and host and path of an address, in lower case, name by name."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return "", ()
    scheme, host, rest = (found["scheme"] or "").lower(), found["host"], found["rest"]
    port = re.match(r":\d+(?=/|\Z)", rest) if scheme else None
    if port:
        host, rest = host + port.group(), rest[port.end() :]
    elif rest.startswith(":"):  # host:path, as scp has it
        scheme = scheme or "ssh"
    names = re.split(r"[/:]+", f"{host}{rest.partition('?')[0]}".lower().strip("/"))
    if port:
        names = [f"{names[0]}:{names[1]}", *names[2:]]
    return scheme, tuple(name.removesuffix(".git") for name in names if name)
