"""What the claims of a login provider mean here: who somebody is, and what their groups may do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.domain.principals import OWNER, PERSON, Grant, Principal
from shared.errors import InvalidMessage
from shared.model import Value

MOST_GROUPS = 1000
"""Groups of a person that are looked at."""


class Person(Value, frozen=True, omit_defaults=True):
    """Somebody as the provider knows them. `subject` is what it never gives to another; `emails` are verified."""

    subject: str
    name: str
    emails: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Membership(Value, frozen=True, omit_defaults=True):
    """What members of a group are given: grants, and names of teams."""

    grants: tuple[Grant, ...] = ()
    teams: tuple[str, ...] = ()


class Reading(Value, frozen=True):
    """How claims are read: which is the name, which has the groups, and what groups are given."""

    name_claim: str = "email"
    groups_claim: str = "groups"
    groups: Mapping[str, Membership] = msgspec.field(default_factory=dict)

    def person(self, claims: Mapping[str, Any]) -> Person:
        """Whom the claims of a verified token are about. Of groups only those are kept that are given something.

        Raises:
            InvalidMessage: they name nobody who could be told apart here; says which claim is at fault.
        """
        subject, name = claims.get("sub"), claims.get(self.name_claim)
        if not isinstance(subject, str) or not subject:
            raise InvalidMessage("the provider's token has no claim `sub`")
        email = claims.get("email")
        verified = claims.get("email_verified") is True
        if self.name_claim == "email" and not verified:
            raise InvalidMessage("the provider has not verified the address (`email_verified`): set login.name_claim")
        if not isinstance(name, str) or not PERSON.fullmatch(name) or name == OWNER:
            raise InvalidMessage(
                f"the claim `{self.name_claim}` of the provider's token is no name that can be used here: set "
                "login.name_claim to one that is"
            )
        emails = (email,) if isinstance(email, str) and verified else ()
        return Person(subject, name, emails, self._groups(claims.get(self.groups_claim)))

    def principal(self, person: Person) -> Principal:
        """What a person may do: all that their groups are given."""
        memberships = [self.groups[each] for each in person.groups if each in self.groups]
        teams = dict.fromkeys(team for each in memberships for team in each.teams)
        grants = dict.fromkeys(grant for each in memberships for grant in each.grants)
        return Principal(person.name, tuple(teams), person.emails, tuple(grants))

    def _groups(self, given: object) -> tuple[str, ...]:
        listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        return tuple(each for each in listed[:MOST_GROUPS] if isinstance(each, str) and each in self.groups)
