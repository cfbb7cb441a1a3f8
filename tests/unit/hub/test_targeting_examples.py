"""The documents in docs/TARGETING.md are good ones, and make what the page says."""

import re
from pathlib import Path

from hub.domain.fleet import build_fleet
from hub.domain.items import lookups_of
from hub.domain.listing import listings_in
from hub.domain.reading import read_documents
from tests.fakes.memorytree import MemoryTree

PAGE = Path(__file__).parents[3] / "docs" / "TARGETING.md"
HEAD = "apiVersion: yardarm.dev/v1alpha1\n"
FLEET = "---\n".join(
    [
        *(f"{HEAD}kind: Environment\nmetadata: {{name: {env}}}\nspec: {{where: [{{labels: {{env: {env}}}}}]}}\n"
          for env in ("dev", "prod")),
        f"{HEAD}kind: Cluster\nmetadata: {{name: dev-eu-1, labels: {{env: dev, own: 'yes', certs: 'yes'}}}}\n",
        *(f"{HEAD}kind: Cluster\nmetadata: {{name: prod-eu-{n}, labels: {{env: prod, region: eu, tier: gold}}}}\n"
          for n in (1, 2)),
    ]
)  # fmt: skip
FILES = {
    "apps/web/app.yaml": "{name: webshop, team: shop, replicas: 3}",
    "apps/api/app.yaml": "{name: backend, team: shop}",
    "apps/legacy/x.yaml": "",
    "platform/dns/x.yaml": "",
}


def test_the_examples_are_good_and_make_what_they_should():
    texts = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    files = {path: data for path, data in FILES.items() if path != "apps/legacy/x.yaml"} | {"apps/legacy/x": ""}
    parsed = [each for number, text in enumerate([FLEET, *texts]) for each in read_documents(text, file=f"{number}")]
    fleet = build_fleet(parsed, listings=listings_in(MemoryTree(files), lookups_of(parsed)))

    assert len(texts) > 6
    assert [str(problem) for problem in fleet.problems] == []
    assert set(fleet.applications) == {
        "logs", "shop", "cert-manager", "web-values", "web", "api", "webshop", "backend", "platform-dns", "own-dev-eu-1",
        "shop-dev", "shop-prod", "search-dev", "search-prod",
    }  # fmt: skip
    assert {n: fleet.applications[n].spec.overrides[0].replicas[0].count for n in ("webshop", "backend", "search-dev")} == {
        "webshop": 3, "backend": 1, "search-dev": 1,
    }  # fmt: skip
