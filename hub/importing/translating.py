"""All definitions of a repository, whichever tool they are of, as fleet documents."""

from __future__ import annotations

from hub.importing.argo.importer import argo_drafts
from hub.importing.drafts import Draft, Key, finished
from hub.importing.flux.importer import flux_drafts
from hub.importing.notes import Translation
from hub.importing.rancher.importer import fleet_drafts
from hub.importing.scene import Scene

TOOLS = ("argocd", "flux", "fleet")


def translate(scene: Scene, tools: tuple[str, ...] = TOOLS) -> Translation:
    """The documents that the definitions of `tools` mean."""
    drafts: list[Draft] = []
    aliases: dict[Key, tuple[Key, ...]] = {}
    if "argocd" in tools:
        drafts += argo_drafts(scene)
    if "flux" in tools:
        found, aliases = flux_drafts(scene)
        drafts += found
    if "fleet" in tools:
        found, more = fleet_drafts(scene)
        drafts += found
        aliases |= more
    documents = finished(drafts, scene.notes, aliases)
    return Translation(tuple(documents), scene.notes.all(), tuple(scene.wants))
