"""What Project and Policy documents say: whose sources, which places and kinds, how much, and what objects are like."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hub.domain.fields import Mistake, Model, Name
from hub.domain.rules import Enforce, KindPattern, ObjectRule, unique
from hub.domain.selectors import Selector

_STEP = re.compile(r"[^*\s]*(\*[^*\s]*)*")


def _address(text: str) -> str:
    """An address of repositories or charts: `*` in it is any one step, or a part of one, `**` any number of steps."""
    steps = text.split("/")
    if text and all(step == "**" or ("**" not in step and _STEP.fullmatch(step)) for step in steps):
        return text
    raise Mistake(
        f"{text!r} is not a pattern of addresses",
        "write https://git.example.com/team/*, or **, which crosses slashes and stands between two of them",
    )


AddressPattern = Annotated[str, AfterValidator(_address)]

_NAMESPACE = re.compile(r"[a-z0-9*]([a-z0-9*-]{0,61}[a-z0-9*])?")


def _namespace(text: str) -> str:
    if _NAMESPACE.fullmatch(text):
        return text
    raise Mistake(f"{text!r} is not a namespace, nor a pattern of namespaces", "write shop, or shop-*")


NamespacePattern = Annotated[str, AfterValidator(_namespace)]


class Kinds(Model):
    """Kinds that have a namespace: those allowed (none: any), and those denied, which outweighs everything."""

    allow: tuple[KindPattern, ...] = ()
    deny: tuple[KindPattern, ...] = ()


class Quota(Model):
    """How much a project may have. `units` are applications on clusters, `objects` those of all units together."""

    applications: Annotated[int, Field(ge=0)] | None = None
    units: Annotated[int, Field(ge=0)] | None = None
    objects: Annotated[int, Field(ge=0)] | None = None


class ProjectSpec(Model):
    """What applications of a project may do; empty lists allow everything, but for `clusterScoped`.

    `plaintext_secrets` says what becomes of Secrets whose values nobody has encrypted.

    `sources` are addresses of repositories, `charts` address and name of charts. Where one of them says something,
    nothing else may be used; charts of the addresses in `sources` may, as long as no `charts` are listed. Kinds without
    a namespace are allowed by `clusterScoped` alone: none unless it lists them, all in the project `default` as long as
    it says nothing.
    """

    sources: tuple[AddressPattern, ...] = ()
    charts: tuple[AddressPattern, ...] = ()
    environments: tuple[Name, ...] = ()
    clusters: Selector = Selector()
    namespaces: tuple[NamespacePattern, ...] = ()
    kinds: Kinds = Kinds()
    cluster_scoped: tuple[KindPattern, ...] | None = None
    service_account: str = ""
    quota: Quota = Quota()
    plaintext_secrets: Enforce | None = None
    objects: tuple[ObjectRule, ...] = ()

    @model_validator(mode="after")
    def _rules_apart(self) -> ProjectSpec:
        unique(self.objects)
        return self


class PolicySpec(Model):
    """Rules for the objects of all applications, whatever their project."""

    plaintext_secrets: Enforce | None = None
    objects: tuple[ObjectRule, ...] = ()

    @model_validator(mode="after")
    def _rules_apart(self) -> PolicySpec:
        if not self.objects and self.plaintext_secrets is None:
            raise ValueError("a policy has rules: objects, or plaintextSecrets")
        unique(self.objects)
        return self
