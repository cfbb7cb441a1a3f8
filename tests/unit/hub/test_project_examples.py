"""The documents in docs/PROJECTS.md are good ones, and say what the page says."""

import re
from pathlib import Path

import orjson

from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.reading import parse_document, read_documents
from hub.domain.tenancy import Fences, address_refused
from hub.domain.yamldoc import Document
from hub.render.job import RulesJob
from hub.render.judging import judge
from shared.bundle import canonical_line

PAGE = Path(__file__).parents[3] / "docs" / "PROJECTS.md"


def document(kind, name, spec, labels=None):
    metadata = {"name": name, "labels": labels or {}}
    return parse_document(
        Document("f.yaml", 1, {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
    )


AROUND = [
    *(document("Cluster", f"{env}-eu", {}, {"env": env, "region": "eu"}) for env in ("dev", "prod")),
    *(document("Environment", env, {"where": [{"labels": {"env": env}}]}) for env in ("dev", "prod")),
    document(
        "Application",
        "web",
        {"project": "shop", "namespace": "shop", "source": {"repo": "https://git.example.com/shop/web"}},
    ),
]


def told(fleet, cluster, manifest):
    rules = Fences(fleet.applications["web"], fleet).on(cluster).rules
    broken = judge(RulesJob("web", (canonical_line(manifest),), rules)).broken
    return {rules[each.rule].name for each in broken}


def test_the_examples_are_good_and_say_what_the_page_says():
    texts = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    parsed = [each for number, text in enumerate(texts) for each in read_documents(text, file=f"{number}")]

    fleet = build_fleet([*AROUND, *parsed])

    assert [str(problem) for problem in fleet.problems] == []
    assert set(fleet.projects) == {"default", "shop", "data", "platform"}
    data, platform = fleet.projects["data"].spec, fleet.projects["platform"].spec
    assert address_refused(data, "oci://registry.example.com/charts", "kafka") == ""
    assert address_refused(data, "https://git.example.com/data/x") != ""
    assert address_refused(platform, "https://charts.jetstack.io", "cert-manager") == ""
    web = orjson.loads(
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":3,"template":{"spec":'
        '{"containers":[{"image":"registry.example.com/web:1"}]}}}}'
    )
    assert told(fleet, "dev-eu", web) == {"small", "owner"}
    assert told(fleet, "prod-eu", web) == {"images", "owner"}
    web["metadata"]["labels"] = {"team": "shop"}
    (container,) = web["spec"]["template"]["spec"]["containers"]
    container["image"] += "@sha256:" + "a" * 64
    assert told(fleet, "prod-eu", web) == set()
    container["securityContext"] = {"privileged": True}
    assert told(fleet, "prod-eu", web) == {"unprivileged"}
