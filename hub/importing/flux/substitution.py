"""Flux's `postBuild.substitute` as variables.

Flux replaces text before it is parsed, and every `${name}` is its own; here values go into decoded strings, and only
names that somebody defines are variables. So all names that occur in the files count as defined, with an empty value
where Flux knows none: then each default, each form and each `$${…}` means what it meant. What stays different: a value
cannot bring structure of its own (several lines, maps, lists).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.domain.expansion import Reference, references
from hub.domain.fields import BUILTINS, Scalar
from hub.domain.scalars import resolve
from hub.importing.fields import Fields, Foreign
from hub.importing.flux.releases import Data

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class Substitution:
    """What a Kustomization puts in. Off when it has no values: then Flux leaves `${…}` alone.

    `open` names the objects that hold more values and cannot be read: what they define is defined on clusters here.
    """

    values: dict[str, Scalar] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    @property
    def on(self) -> bool:
        """Whether anything is put in."""
        return bool(self.values or self.open)


def substitution_of(spec: Fields, definition: Foreign, data: Data) -> Substitution:
    """`postBuild` of a Kustomization, ConfigMaps it names included."""
    post = spec.map("postBuild")
    made = Substitution()
    for reference in post.items("substituteFrom"):
        _from(reference, definition, data, made)
    for name, text in post.strings("substitute").items():
        _add(made, name, text, post, "substitute")
    always = post.text("substituteStrategy", "WithVariables") == "Always"
    if always and not made.on:
        post.differs("substituteStrategy", "without values nothing is put in")
    post.finish()
    return made


def _from(reference: Fields, definition: Foreign, data: Data, made: Substitution) -> None:
    kind, name, optional = reference.text("kind"), reference.text("name"), reference.flag("optional")
    reference.finish()
    found = data(kind, definition.namespace, name)
    if found is None or kind == "Secret":
        why = "values of Secrets are not written into documents" if found else "it is not among what is read"
        reference.left(
            "",
            f"{kind} {name}: {why}",
            "define its values as variables of clusters or environments" if kind == "ConfigMap" else "",
        )
        if not (optional and found is None) or kind == "ConfigMap":
            made.open.append(f"{kind} {name}")
        return
    reference.differs("", f"the values of {kind} {name} are copied: later changes of it do not reach it")
    for key, text in found.items():
        _add(made, key, text, reference, "")


def _add(made: Substitution, name: str, text: str, fields: Fields, key: str) -> None:
    value = text.replace("\n", "")
    if not _NAME.fullmatch(name):
        fields.left(key, f"{name!r} is no name of a variable")
    elif name in BUILTINS:
        fields.left(key, f"{name!r} is set by Yardarm", "rename the variable")
    else:
        if value[:1] in ("{", "[") or "\n" in text.strip("\n"):
            fields.differs(key, f"{name} brings structure of its own: it is put in as one string")
        made.values[name] = scalar(value)


def scalar(text: str) -> Scalar:
    """The value with the type it has where it stands without quotes, if it reads the same in text (`3`, not `1.10`)."""
    try:
        value = resolve(text)
    except ValueError:
        return text
    if isinstance(value, bool):
        return value if text in ("true", "false") else text
    return value if isinstance(value, int | float) and str(value) == text else text


def names_in(texts: Iterable[str]) -> dict[str, bool]:
    """Every name that `${…}` refers to, and whether it has a default everywhere (or is meant as text)."""
    found: dict[str, bool] = {}
    for text in texts:
        for part in references(text):
            if isinstance(part, Reference):
                found[part.name] = found.get(part.name, True) and (part.has_default or part.escaped)
                found |= {name: given and found.get(name, True) for name, given in names_in([part.argument]).items()}
    return found


def variables_for(made: Substitution, names: Mapping[str, bool], spec: Fields) -> dict[str, Scalar]:
    """The variables of an application: those given, and all others that occur, with nothing in them.

    What objects that cannot be read may define is left to clusters and environments: a variable of the application
    would win over theirs.
    """
    missing = sorted(name for name in names if name not in made.values and name not in BUILTINS)
    if made.open:
        if missing:
            spec.left(
                "postBuild",
                f"{', '.join(missing)}: nobody here gives them a value ({', '.join(made.open)} may)",
                "define them on the Cluster or Environment",
            )
        return dict(made.values)
    unknown = [name for name in missing if not names[name]]
    if unknown:
        spec.differs("postBuild", f"{', '.join(unknown)}: without a value, put in as nothing")
    return {**made.values, **dict.fromkeys(missing, "")}
