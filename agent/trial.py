"""What applying an object would do, found out without doing it: a look, and a dry run on the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.domain import claims, drift, hints, migration
from agent.domain.desired import Desired
from agent.domain.secrecy import scrubbed
from agent.kube.client import Kube
from agent.kube.errors import AccessError, ApiError, Conflict, NotFound, UnknownKind, Unreachable
from shared.asking import Expected
from shared.messages import Policy
from shared.model import Manifest

TRIES = 3
"""Looks at an object that keeps changing between the look and the dry run."""


class Trial:
    """Of one unit. `kube` acts as whoever would apply, `comes` are the objects that would be applied together.

    `neighbours` are the agent's units by the id of their ApplySet.
    """

    def __init__(
        self, kube: Kube, policy: Policy, set_id: str, comes: Iterable[Desired], neighbours: Mapping[str, str]
    ) -> None:
        self._kube = kube
        self._policy = policy
        self._set_id = set_id
        self._neighbours = neighbours
        comes = list(comes)
        self._namespaces = {each.ref.name for each in comes if each.ref.group_kind == "Namespace"}
        self._kinds = {_defines(each.manifest) for each in comes}

    async def expect(self, each: Desired, home: str) -> Expected | None:
        """What would become of the object; None when it would stay as it is. `home` is the unit's own namespace.

        Raises:
            Unreachable: the server does not answer.
        """
        if hints.not_applied(each.manifest):
            return None
        try:
            for _ in range(TRIES):
                live = await self._kube.get(each.ref)
                if live is None:
                    await self._kube.apply(each.manifest, dry_run=True)
                    return Expected(each.ref, "created")
                if hints.create_only(each.manifest):
                    return None
                if (live.get("metadata") or {}).get("deletionTimestamp"):
                    return Expected(each.ref, "unknown", reason="it is being deleted")
                left_alone = claims.may_not_take(live, self._set_id, self._policy.adopt, self._neighbours)
                if left_alone:
                    return Expected(each.ref, "refused", reason=left_alone)
                answer = await self._answer(each, live)
                if drift.comparable(answer, live):
                    return self._difference(each, answer, live)
            return Expected(each.ref, "unknown", reason="it changes all the time")
        except Unreachable:
            raise
        except (ApiError, AccessError, ValueError) as error:
            return self._unasked(each, home, error)

    async def _answer(self, each: Desired, live: Manifest) -> Manifest:
        wanted = drift.without_ignored(each.manifest, live, self._policy.ignore)
        force = claims.is_ours(live, self._set_id) or self._policy.adopt == "always"
        try:
            return await self._kube.apply(wanted, force=force, dry_run=True)
        except Conflict as error:
            # What the tools wrote that we take over from is taken over.
            if not error.causes or not migration.only_tools(cause.manager for cause in error.causes):
                raise
        return await self._kube.apply(wanted, force=True, dry_run=True)

    def _difference(self, each: Desired, answer: Manifest, live: Manifest) -> Expected | None:
        fields = tuple(drift.confirmed(answer, live, self._policy.ignore, each.hidden))
        return Expected(each.ref, "changed", fields) if fields else None

    def _unasked(self, each: Desired, home: str, error: Exception) -> Expected:
        """A refusal is an answer, unless what is missing would come with the rest."""
        if isinstance(error, UnknownKind) and each.ref.group_kind in self._kinds:
            return Expected(each.ref, "unknown", reason="its definition comes with it")
        if isinstance(error, NotFound) and error.kind == "namespaces":
            made = each.ref.namespace == home and self._policy.create_namespace
            if made or each.ref.namespace in self._namespaces:
                return Expected(each.ref, "created", reason="its namespace comes with it: the server was not asked")
        if isinstance(error, Conflict) and error.causes:
            owners = sorted({f"{cause.field} by {cause.manager}" for cause in error.causes})
            return Expected(each.ref, "refused", reason=f"conflict: {', '.join(owners)}")
        return Expected(each.ref, "refused", reason=scrubbed(str(error), each.manifest, each.hidden))


def _defines(manifest: Manifest) -> str:
    """`Kind.group` that a definition brings; empty for any other object."""
    spec = manifest.get("spec")
    if manifest.get("kind") != "CustomResourceDefinition" or not isinstance(spec, dict):
        return ""
    return f"{(spec.get('names') or {}).get('kind')}.{spec.get('group')}"
