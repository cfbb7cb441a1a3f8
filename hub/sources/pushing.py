"""A remote repository as it is at this moment, for one who adds a commit to it.

Runs on the thread of its mirror that fetches. Nothing is ever forced: a branch goes from the commit that was seen to
one that stands on it, and a Git server compares the two once more when it moves the branch.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pygit2
from pygit2.enums import CredentialType

from hub.domain import urls
from hub.sources import access
from hub.sources.accepting import Acceptance
from hub.sources.access import Callbacks, Credentials, Limits
from hub.sources.objects import OURS, Objects
from shared.errors import DocumentError, Unavailable

BRANCHES = "refs/heads/"
_FETCHED = f"{OURS}upstream"
_MOST_TOLD = 2000
"""Characters kept of what a server has to say."""


class Refused(DocumentError):
    """The server does not let the hub write there."""


class Outpaced(Exception):
    """Somebody else has moved the branch meanwhile."""


class Upstream:
    """See the module. `heads` are the remote's branches and their commits, `default` the branch its HEAD names."""

    def __init__(
        self,
        repository: pygit2.Repository,
        location: urls.Location,
        credentials: Credentials,
        limits: Limits,
        stop: threading.Event,
        acceptance: Acceptance | None,
    ) -> None:
        self.repository = repository
        self.name = urls.redact(location.url)
        self._location = location
        self._credentials = credentials
        self._limits = limits
        self._stop = stop
        self._acceptance = acceptance
        if access.REDIRECTS not in repository.config:
            repository.config[access.REDIRECTS] = False
        self.heads, self.default = self._ask()

    def commit(self, branch: str) -> pygit2.Commit | None:
        """The newest commit of a branch, by its full name; had from the remote where it is not here. None: no branch.

        Raises:
            Unavailable: the remote cannot be read.
        """
        sha = self.heads.get(branch)
        if sha is None:
            return None
        if sha not in self.repository:
            callbacks = Callbacks(self._location, self._credentials, self._limits, self._stop)
            with self._explained():
                self._remote().fetch([f"+{branch}:{_FETCHED}"], callbacks=callbacks, proxy=True)
        return self.repository[sha].peel(pygit2.Commit)

    def doubt(self, ref: str, commit: str) -> str:
        """Why a commit does not count where signatures are enforced, empty when it does."""
        if self._acceptance is None:
            return ""
        return self._acceptance.refusal(Objects(Path(self.repository.path), self._limits), ref, commit)

    def push(self, commit: str, branch: str) -> None:
        """Have the branch at this commit, which stands on what `heads` say, or makes the branch.

        Raises:
            Outpaced: the branch is elsewhere now.
            Refused: the server does not want it.
            Unavailable: the remote cannot be reached.
        """
        callbacks = _Pushing(self._location, self._credentials, self._limits, self._stop)
        failure = ""
        try:
            self._remote().push([f"{commit}:{branch}"], callbacks=callbacks, proxy=True)
        except (pygit2.GitError, ValueError, KeyError) as error:
            failure = urls.redact(str(error))
        failure = callbacks.refusal or failure
        if not failure:
            return
        now = self._ask()[0].get(branch)
        if now == commit:
            return  # it came through, only its confirmation did not
        if now != self.heads.get(branch):
            raise Outpaced
        raise self._refused(branch, failure, callbacks.told)

    def _remote(self) -> pygit2.Remote:
        """A connection is for one direction only, and libgit2 may keep it."""
        return self.repository.remotes.create_anonymous(self._location.url)

    def _ask(self) -> tuple[dict[str, str], str]:
        callbacks = Callbacks(self._location, self._credentials, self._limits, self._stop)
        heads: dict[str, str] = {}
        default = ""
        with self._explained():
            found = self._remote().list_heads(callbacks=callbacks, proxy=True)
        for head in found:
            name = head.name or ""
            if name == "HEAD":
                default = head.symref_target or ""
            elif name.startswith(BRANCHES):
                heads[name] = str(head.oid)
        return heads, default

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            raise Unavailable(f"{self.name} cannot be read: {error}") from None
        except (pygit2.GitError, ValueError, KeyError) as error:
            raise access.explain(self._location, error) from None

    def _refused(self, branch: str, failure: str, told: str) -> Refused:
        said = f"{failure}: {told}" if told else failure
        message = f"{branch.removeprefix(BRANCHES)} of {self.name} cannot be written: {said}"
        if "non-bare" in failure:
            return Refused(message, hint="a folder that is written to has to be a bare repository: git clone --bare")
        return Refused(message, hint=f"{self._shown()}; it has to be let write this branch, which may be protected")

    def _shown(self) -> str:
        """What the server was shown, as its operator would look for it."""
        given = self._credentials
        if self._location.transport == "ssh":
            key = f"the SSH key {given.ssh_key}" if given.ssh_key else "a key of the SSH agent"
            return f"it was shown {key}{f' ({given.entry})' if given.entry else ''}"
        if given.token or self._location.password:
            return f"it was shown the token of {given.entry or 'the address itself'}"
        if self._location.transport in ("http", "git"):
            return "it was shown nothing, because git.access has no entry for it"
        return "it is written as the user that the hub runs as"


class _Pushing(Callbacks):
    """Keeps what the server says. `refusal` is why it did not move the branch, `told` what it said beside that."""

    def __init__(
        self, location: urls.Location, credentials: Credentials, limits: Limits, stop: threading.Event
    ) -> None:
        super().__init__(location, credentials, limits, stop)
        self.refusal = ""
        self._said = ""

    @property
    def told(self) -> str:
        """In one line."""
        return urls.redact(" ".join(self._said.split()))

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.Username | pygit2.UserPass | pygit2.Keypair | pygit2.KeypairFromAgent:
        """As for reading; but what is refused now is refused for good."""
        try:
            return super().credentials(url, username_from_url, allowed_types)
        except Unavailable as error:
            self.refusal = str(error)
            raise

    def push_update_reference(self, refname: str, message: str | None) -> None:
        """The server's word on the branch."""
        del refname
        if message is not None:
            self.refusal = message

    def sideband_progress(self, string: str) -> None:
        """What hooks print, which is mostly why they refuse."""
        super().sideband_progress(string)
        self._said = (self._said + string)[:_MOST_TOLD]
