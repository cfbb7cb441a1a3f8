"""Who may do what, where: the one decision that every route, list and stream of the API asks for. Pure.

Denied unless granted. An action needs a role; a grant has a role in some projects and environments. Neither a cluster
without environment nor an application of an unknown project is in any: only a grant for everything reaches them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hub.domain.principals import EVERY, ROLES, Grant, Principal, Role
from shared.model import Value


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be asked of the API. `role` is what it needs; None: nothing, it is open to everybody."""

    name: str
    role: Role | None


OPEN = Action("open", None)
"""For what holds no data, or knows who asks by other means (the signature of a webhook)."""

ACTIONS = {
    each.name: each
    for each in (
        Action("fleet.read", "viewer"),
        Action("applications.read", "viewer"),
        Action("units.read", "viewer"),
        Action("events.read", "viewer"),
        Action("rollouts.read", "viewer"),
        Action("confirmations.read", "viewer"),
        Action("confirmations.give", "operator"),
        Action("previews.make", "viewer"),
        Action("rollouts.ask", "viewer"),
        Action("rollouts.steer", "operator"),
        Action("rollouts.bypass", "admin"),
        Action("applications.ask", "viewer"),
        Action("applications.steer", "operator"),
        Action("tokens.read", "admin"),
        Action("tokens.write", "admin"),
        Action("self.read", "viewer"),
        Action("audit.read", "admin"),
    )
}
"""By name. `….ask` opens the door to requests of which each needs more: they are refused, and told of, one by one."""


class Decision(Value, frozen=True):
    """Whether it may be done, and if not, why: what is needed and what there is."""

    ok: bool
    why: str = ""


def allowed(
    principal: Principal, action: Action, project: str | None = None, environment: str | None = None
) -> Decision:
    """Whether `principal` may do this in a project and an environment.

    `EVERY` means all of them, known or not; None means that it does not matter in which. With None for both, a grant
    anywhere is enough: what is then shown has to be chosen by grants as well.
    """
    if action.role is None or any(
        grant.gives(action.role) and reaches(grant, project, environment) for grant in principal.granted
    ):
        return Decision(ok=True)
    where = "".join(_where(what, name) for what, name in (("project", project), ("environment", environment)))
    return Decision(ok=False, why=f"this needs the role {action.role}{where}; {principal.name} has {held(principal)}")


def allowed_in(principal: Principal, action: Action, project: str | None, environments: Iterable[str]) -> Decision:
    """Whether `principal` may do this in a project and in each of these environments; in none of them: anywhere."""
    decisions = [allowed(principal, action, project, each) for each in sorted(set(environments))]
    refused = (each for each in decisions if not each.ok)
    return next(refused, decisions[0] if decisions else allowed(principal, action, project, None))


def reaches(grant: Grant, project: str | None, environment: str | None) -> bool:
    """Whether a grant holds in a project and an environment, as for `allowed`."""
    return _reaches(grant.projects, project) and _reaches(grant.environments, environment)


def within(principal: Principal, project: str, environments: Collection[str]) -> Principal:
    """The principal as it is in one project and in all of these environments: its roles there, and its teams.

    For what records roles and looks at them later, such as approvals.
    """
    here = tuple(role for role in ROLES if allowed_in(principal, Action("", role), project, environments).ok)
    teams = tuple(role for role in principal.roles if role not in ROLES)
    return Principal(principal.name, (*here[-1:], *teams), principal.emails)


def exceeding(principal: Principal, wanted: Iterable[Grant]) -> Grant | None:
    """The first of the wanted grants that is more than `principal` has itself: nobody gives what they do not have."""
    return next((each for each in wanted if not _has(principal, each)), None)


def held(principal: Principal) -> str:
    """The grants and teams of a principal, in words."""
    teams = [role for role in principal.roles if role not in ROLES]
    return ", ".join([*map(str, principal.granted), *teams]) or "no role"


def _has(principal: Principal, wanted: Grant) -> bool:
    return all(
        any(grant.gives(wanted.role) and reaches(grant, project, environment) for grant in principal.granted)
        for project in wanted.projects
        for environment in wanted.environments
    )


def _reaches(names: tuple[str, ...], name: str | None) -> bool:
    return EVERY in names or name is None or name in names


def _where(what: str, name: str | None) -> str:
    if name is None:
        return ""
    return f" in all {what}s" if name == EVERY else f" in the {what} {name}" if name else f" without {what}"
