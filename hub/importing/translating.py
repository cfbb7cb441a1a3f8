"""All definitions of a repository, whichever tool they are of, as fleet documents."""

from __future__ import annotations

from hub.importing.argo.importer import argo_drafts
from hub.importing.drafts import finished
from hub.importing.flux.importer import flux_drafts
from hub.importing.notes import Translation
from hub.importing.rancher.importer import fleet_drafts
from hub.importing.scene import Scene


def translate(scene: Scene) -> Translation:
    """The documents that the definitions of all tools mean."""
    argo = argo_drafts(scene)
    flux, of_flux = flux_drafts(scene)
    fleet, of_fleet = fleet_drafts(scene)
    drafts = {"Argo CD": argo, "Flux": flux, "Rancher Fleet": fleet}
    documents = finished([*argo, *flux, *fleet], scene.notes, of_flux | of_fleet)
    tools = tuple(name for name, found in drafts.items() if found)
    broken = {**dict(scene.survey.broken), **scene.broken}
    return Translation(tuple(documents), scene.notes.all(), tuple(scene.wants), tools, tuple(sorted(broken.items())))
