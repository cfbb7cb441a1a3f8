"""Rules over rendered objects: what a Project or a Policy demands of them, as expressions in CEL. Pure.

A ready-made rule for images is written as expressions too, so that there is one way to check, to limit and to tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from hub.domain.fields import Mistake, Model, Name
from hub.domain.selectors import Selector
from shared import expressions
from shared.model import Manifest, Value

Enforce = Literal["deny", "warn"]

_KIND = re.compile(r"(([a-z0-9*][a-z0-9.*-]*)/)?[A-Z*][A-Za-z0-9*]*")


def _kind(text: str) -> str:
    if _KIND.fullmatch(text):
        return text
    raise Mistake(f"{text!r} is not a kind", "write Pod, apps/Deployment, apps/* or *, without a version")


KindPattern = Annotated[str, AfterValidator(_kind)]
"""`Pod` of the core group, `apps/Deployment`, `apps/*`; `*` for every kind there is."""

_REGISTRY = re.compile(r"[a-z0-9*]([a-z0-9.*_-]*)(:\d+)?(/[a-z0-9._*-]+)*/?", re.IGNORECASE)


def _registry(text: str) -> str:
    if _REGISTRY.fullmatch(text):
        return text.rstrip("/")
    raise Mistake(f"{text!r} is not a registry", "write registry.example.com, or registry.example.com/team/*")


class ImageRule(Model):
    """Which images may run. `registries` are those and all below (`*` stands for any one name); none: any.

    An image without a registry is one of docker.io.
    """

    registries: Annotated[tuple[Annotated[str, AfterValidator(_registry)], ...], Field(max_length=50)] = ()
    digest: Literal["required", "optional"] = "optional"

    @model_validator(mode="after")
    def _something(self) -> ImageRule:
        if not self.registries and self.digest == "optional":
            raise ValueError("an image rule names registries, or says digest: required")
        return self


class ObjectRule(Model):
    """What objects have to be like, on the clusters that `when` selects. `require` is a CEL expression over `object`.

    Without `kinds` it is about all objects. `message` is what people are told who break it.
    """

    name: Name
    when: Selector = Selector()
    kinds: tuple[KindPattern, ...] = ()
    require: str = ""
    images: ImageRule | None = None
    message: str = ""
    enforce: Enforce = "deny"

    @model_validator(mode="after")
    def _usable(self) -> ObjectRule:
        if bool(self.require) == (self.images is not None):
            raise ValueError("a rule has either require, a CEL expression over `object`, or images")
        for expression in self.expressions:
            if wrong := expressions.problem(expression):
                what = "require" if self.require else "images"
                hint = "a CEL expression over `object`, such as object.spec.replicas <= 3" if self.require else ""
                raise Mistake(f"rule {self.name!r}: {what}: {wrong}", hint)
        return self

    @property
    def expressions(self) -> tuple[str, ...]:
        """All of them must be true of an object."""
        return (self.require,) if self.images is None else tuple(_demands(self.images))


class Rule(Value, frozen=True):
    """A rule as it is put to objects. `origin` is who made it: `project shop`, `policy images`."""

    name: str
    origin: str
    require: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    message: str = ""
    warns: bool = False
    on_images: bool = False

    def __str__(self) -> str:
        return f"rule {self.name} of {self.origin}"


def rule_of(written: ObjectRule, origin: str) -> Rule:
    """The rule that a document means."""
    images = written.images
    return Rule(
        name=written.name,
        origin=origin,
        require=written.expressions,
        kinds=written.kinds,
        message=written.message or (_image_message(images) if images is not None else written.require),
        warns=written.enforce == "warn",
        on_images=images is not None,
    )


_VALUES = "object.?{0}.orValue({{}}).all(k, object.{0}[k] == null || object.{0}[k] == '')"
_ENCRYPTED = (
    "object.?sops.?mac.hasValue() || 'yardarm.dev/sealed' in object"
    # Whose values the cluster puts in.
    " || object.?type.orValue('') == 'kubernetes.io/service-account-token'"
    f" || ({_VALUES.format('data')} && {_VALUES.format('stringData')})"
)


def no_plain_secrets(enforce: Enforce, origin: str) -> Rule:
    """The rule that Secrets are encrypted in Git, or have no values there."""
    message = "its values are not encrypted: yardarm secret encrypt does it"
    return Rule("plaintextSecrets", origin, (_ENCRYPTED,), ("Secret",), message, warns=enforce == "warn")


def unique(rules: Iterable[ObjectRule]) -> None:
    """Raises ValueError when two rules have one name: findings name them."""
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise ValueError(f"two rules are called {rule.name!r}: rename one")
        seen.add(rule.name)


# --- images ----------------------------------------------------------------------------------------------------------

_SPECS = ("spec", "spec.template.spec", "spec.jobTemplate.spec.template.spec")
"""Where objects have the specification of a pod: pods, workloads, cron jobs."""
_LISTS = ("containers", "initContainers", "ephemeralContainers")
_BELOW = "([:@/].*)?"
_ANY = "[^/:@]+"
_DOCKER = "docker.io"


def _demands(images: ImageRule) -> Iterator[str]:
    """An expression for each place where images are named; one for all would be longer than an expression may be."""
    tests = [f"matches('{_among(images.registries)}')"] if images.registries else []
    if _DOCKER in images.registries:
        tests.append("matches('^localhost/') == false")  # which looks like a name at docker.io, and is not
    if images.digest == "required":
        tests.append("matches('@sha256:[0-9a-f]{64}$')")
    for spec in _SPECS:
        path = "object.?" + spec.replace(".", ".?")
        for test in tests:
            for listed in _LISTS:
                yield f"{path}.?{listed}.orValue([]).all(c, c.image.{test})"
            yield f"{path}.?volumes.orValue([]).all(v, !has(v.image) || v.image.reference.{test})"


def _among(registries: Iterable[str]) -> str:
    """A regular expression for the names of images that are in one of these, as a string in CEL holds it."""
    ways = [way for registry in registries for way in _ways(*registry.partition("/")[::2])]
    return f"^({'|'.join(ways)})$".replace("\\", "\\\\")


def _ways(host: str, path: str) -> Iterator[str]:
    if host == _DOCKER:
        yield from _docker(path)
    else:
        named = _pattern(host, "[^/]+")
        yield f"{named}/{_pattern(path, _ANY)}{_BELOW}" if path else f"{named}/.+"


def _docker(path: str) -> Iterator[str]:
    """Names at docker.io, which go without it: `web` is docker.io/library/web, `team/web` docker.io/team/web."""
    home = r"(index\.)?docker\.io/"
    if not path:
        yield from (f"{home}.+", "[^/]+", "[^/.:]+/.+")
        return
    yield f"{home}{_pattern(path, _ANY)}{_BELOW}"
    owner, _, rest = path.partition("/")
    if "." not in owner:
        yield f"{_pattern(owner, '[^/.:@]+')}/{_pattern(rest, _ANY) if rest else '.+'}{_BELOW if rest else ''}"
    if owner == "library":
        yield f"{_pattern(rest, _ANY)}([:@].*)?" if rest and "/" not in rest else "[^/]+"


def _pattern(text: str, star: str) -> str:
    return star.join(map(re.escape, text.split("*")))


def _image_message(images: ImageRule) -> str:
    where = [f"be from {' or '.join(images.registries)}"] if images.registries else []
    how = ["name a digest (@sha256:…)"] if images.digest == "required" else []
    return f"images must {' and '.join([*where, *how])}"


def images_of(manifest: Manifest) -> tuple[str, ...]:
    """The images that an object names, for people."""
    entries = [each for pod in _pods(manifest) for each in _entries(pod)]
    return tuple(dict.fromkeys(each["image"] for each in entries if isinstance(each.get("image"), str)))


def names_images(manifest: Manifest) -> bool:
    """Whether an object has anything, of whatever shape, where a rule for images looks."""
    return any(pod.get(listed) is not None for pod in _pods(manifest) for listed in (*_LISTS, "volumes"))


def _pods(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for spec in _SPECS:
        found: Any = manifest
        for step in spec.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, dict):
            yield found


def _entries(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for listed in _LISTS:
        entries = pod.get(listed)
        yield from (each for each in entries if isinstance(each, dict)) if isinstance(entries, list) else ()
