"""What the API is given: it builds nothing itself, and knows neither NATS nor Git."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.domain.auditing import Entry, Stored, Wanted
from hub.domain.fleet import Facts, FleetModel
from hub.domain.issued import IssuedToken
from hub.domain.limiting import LIMITS, Limits
from hub.domain.preview.model import Preview
from hub.domain.principals import KnownToken, Principal
from hub.domain.records import Consent
from hub.domain.requests import Asked
from hub.domain.runs import Hold
from hub.metrics import Metrics
from hub.view import View
from shared.messages import Event


class Explainer(Protocol):
    """Says why an application is on a cluster or not, and where its values come from."""

    def explain(self, application: str, cluster: str) -> dict[str, Any]:
        """The explanation, fit for JSON.

        Raises:
            LookupError: there is no such application or cluster.
        """

    def placement(self, application: str) -> dict[str, Any]:
        """Every cluster, and why the application is on it or not, fit for JSON.

        Raises:
            LookupError: there is no such application.
        """


class Webhooks(Protocol):
    """Checks a webhook's signature and has the repositories it names fetched."""

    async def received(self, provider: str, headers: Mapping[str, str], body: bytes) -> str:
        """What was done about it, for the sender's log. `headers` have lower-case names.

        Raises:
            InvalidSignature: it is not signed as it must be.
            InvalidMessage: it cannot be read.
        """


class Readiness(Protocol):
    """Whether this hub can do its work."""

    def role(self) -> str:
        """`leader` or `follower`."""

    def missing(self) -> Mapping[str, str]:
        """What is not ready: part → what it waits for. Empty when all is well."""


class Confirmations(Protocol):
    """Records that a person has agreed to deletions."""

    async def confirm(self, consents: Sequence[Consent]) -> None:
        """Stores them for the leading hub to act on.

        Raises:
            Unavailable: not stored, or not all; doing it again is harmless.
        """


class Previews(Protocol):
    """Says what a ref of the fleet repository would do to the fleet."""

    def busy(self) -> bool:
        """Whether one more would have to wait."""

    async def preview(
        self, before: str, after: str, applications: Collection[str], *, live: bool
    ) -> tuple[Preview, FleetModel, Facts]:
        """The preview, the fleet after it, and what its clusters have reported. An empty `before` is what counts now.

        `live` has the clusters on which something changes try it, by dry runs.

        Raises:
            DocumentError: there is no such ref.
            Unavailable: not now, or not by this hub.
        """


class Rollouts(Protocol):
    """Has rollouts do what people ask. What was asked is looked into before (`hub.domain.requests.objection`).

    Raises (all methods):
        Unavailable: not stored, or not by this hub; asking again is harmless.
    """

    async def ask(self, application: str, asked: Asked) -> None:
        """Stores a request for the leading hub to carry out."""

    async def hold(self, application: str, hold: Hold) -> None:
        """Stores a hold; another one of the same scope is replaced."""

    async def release(self, application: str, by: str, reason: str, cluster: str, environment: str) -> int:
        """Lets go of the hold of exactly this scope; returns how many there were. No scope: the whole application."""

    async def sync(self, application: str) -> str:
        """Has an application looked at anew, now; returns what that means, in words."""

    def tell(self, event: Event) -> None:
        """Adds to the history what a person asked for, and what became of it."""


class Audit(Protocol):
    """The audit trail. Requests that change something or are refused get into it by themselves (`hub.api.audited`)."""

    async def record(self, entry: Entry) -> None:
        """Has an entry stored, or waiting to be. Never fails for want of NATS.

        Raises:
            InvalidMessage: its action is no `noun.verb`.
        """

    async def page(self, wanted: Wanted, limit: int, before: int = 0) -> tuple[list[Stored], int | None]:
        """Entries, the newest first, and the `before` of those that follow; None: that was all.

        Raises:
            Unavailable: the trail cannot be read now.
        """

    async def after(self, wanted: Wanted, limit: int, number: int) -> tuple[list[Stored], int]:
        """Entries after `number`, the oldest first, and the number up to which was looked.

        Raises:
            Unavailable: the trail cannot be read now.
        """


class Issued(Protocol):
    """API tokens that were made through the API."""

    @property
    def loaded(self) -> bool:
        """Whether a token that is not known is none."""

    def find(self, sha256: str) -> KnownToken | None:
        """The token with this SHA-256 (hex)."""

    def all(self) -> Sequence[IssuedToken]:
        """Those that are not revoked, by name."""

    def get(self, identity: str) -> IssuedToken | None:
        """One of them."""

    async def create(self, token: IssuedToken) -> None:
        """Stores a new one. May raise `Unavailable`."""

    async def revoke(self, identity: str, by: str) -> bool:
        """Has one open nothing any more; returns whether there was one. May raise `Unavailable`."""


class Login(Protocol):
    """Logging in by a provider. `key` seals cookies, `lasting` is the seconds of a session.

    Raises (all methods that wait):
        Unavailable: the provider, or the hub's store, does not answer.
    """

    key: bytes
    lasting: float

    async def begin(self) -> tuple[str, dict[str, str]]:
        """Where the browser has to go, and what it has to keep until it comes back."""

    async def finish(self, kept: Mapping[str, str], told: Mapping[str, str]) -> tuple[Principal, str]:
        """Who has come back with `told`, and the id of their session. May raise `InvalidMessage`."""

    def session(self, identity: str) -> Principal | None:
        """Whose session this is, None when it has ended."""

    async def end(self, identity: str) -> None:
        """Ends a session."""

    async def bearer(self, token: str) -> Principal:
        """Whom a token of the provider is about. May raise `InvalidMessage`."""

    def about(self) -> dict[str, object]:
        """What a command line needs to log in: `issuer`, `clientId`, `scopes`."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything `create_app` needs. `token` opens the API and must not be empty; `tokens` are those of the settings.

    `https`: people reach this hub by https, be it through a proxy.
    """

    view: View
    metrics: Metrics
    explainer: Explainer
    webhooks: Webhooks
    readiness: Readiness
    confirmations: Confirmations
    previews: Previews
    rollouts: Rollouts
    token: str
    version: str
    tokens: tuple[KnownToken, ...] = ()
    issued: Issued | None = None
    login: Login | None = None
    limits: Limits = LIMITS
    https: bool = False
    audit: Audit = field(kw_only=True)

    def __post_init__(self) -> None:
        if not self.token:
            raise ValueError("the API needs a token: without one it would be open to everybody who can connect")
