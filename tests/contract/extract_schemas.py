"""Makes `agent/sandbox/data/kubernetes.json` from a real API server and the Go types of the same Kubernetes version.

    .venv/bin/python tests/contract/extract_schemas.py SERVER_URL TOKEN KUBERNETES_SOURCE_DIR

The OpenAPI documents say what fields there are and how lists merge; only the Go types say which fields vanish when
they hold their zero value (`json:",omitempty"` on something that is not a pointer), which the real server does
to every object it stores. That is kept as `x-go`: `omit` (dropped when zero) or `zero` (always there); and only the Go
types say the numbers of fields in protobuf, which kubectl sends: `x-pb`, the path of numbers to the field.
Run it when the sandbox moves to another version of Kubernetes. It is no part of the product.
"""

from __future__ import annotations

import json
import pathlib
import re
import ssl
import sys
import urllib.request

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
KEEP_SUBRESOURCES = {"status", "scale", "eviction", "binding", "finalize", "approval", "ephemeralcontainers", "resize"}
SOURCES = {
    "io.k8s.api.": "staging/src/k8s.io/api",
    "io.k8s.apimachinery.pkg.": "staging/src/k8s.io/apimachinery/pkg",
    "io.k8s.apiextensions-apiserver.pkg.": "staging/src/k8s.io/apiextensions-apiserver/pkg",
    "io.k8s.kube-aggregator.pkg.": "staging/src/k8s.io/kube-aggregator/pkg",
}
VALUES = {"Time", "MicroTime", "Quantity", "IntOrString", "Duration"}
"""Go structs that JSON shows as one value: `omitempty` does not drop them."""
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\t(?:(\w+) +)?([\w\[\]\*\.]+) +`json:\"([^\"]*)\"(?:[^`]*?protobuf:\"\w+,(\d+))?", re.MULTILINE)


def get(url: str, token: str, accept: str = "application/json") -> dict:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", "Accept": accept})
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(request, context=context) as response:
        return json.load(response)


def stripped(node):
    """Without descriptions and formats, and with `allOf: [{$ref}]` as a plain `$ref`."""
    if isinstance(node, list):
        return [stripped(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {k: stripped(v) for k, v in node.items() if not (k == "description" and isinstance(v, str))}
    if isinstance(out.get("allOf"), list) and len(out["allOf"]) == 1 and "$ref" in out["allOf"][0]:
        out["$ref"] = out.pop("allOf")[0]["$ref"]
    if isinstance(out.get("$ref"), str):
        out["$ref"] = out["$ref"].rsplit("/", 1)[-1]
    out.pop("x-kubernetes-unions", None)
    return out


def go_structs(root: pathlib.Path) -> dict[str, list[tuple[str, str, str, str]]]:
    """definition name -> its fields as (json name, Go type, json options, protobuf number)."""
    found = {}
    for prefix, directory in SOURCES.items():
        for path in sorted((root / directory).rglob("*.go")):
            if path.name.startswith("zz_") or path.name.endswith("_test.go") or path.name == "generated.pb.go":
                continue
            package = str(path.parent.relative_to(root / directory)).replace("/", ".")
            for name, body in STRUCT.findall(path.read_text(encoding="utf-8")):
                fields = [(tag.split(",")[0], go, tag, number) for _, go, tag, number in FIELD.findall(body)]
                if fields:
                    found[f"{prefix}{package}.{name}"] = fields
    return found


def flat(name: str, structs: dict, numbers: list[int], into: dict) -> dict[str, tuple[str, str, list[int]]]:
    for json_name, go, tag, number in structs.get(name, []):
        path = [*numbers, int(number)] if number else []
        if "inline" in tag or not json_name:
            flat(f"{name.rsplit('.', 1)[0]}.{go.rsplit('.', 1)[-1]}", structs, path, into)
        else:
            into[json_name] = (go, tag, path)
    return into


def annotate(definitions: dict, structs: dict) -> None:
    for name, definition in definitions.items():
        fields = flat(name, structs, [], {})
        for prop, schema in (definition.get("properties") or {}).items():
            go, tag, numbers = fields.get(prop, ("*", "", []))
            if numbers:
                schema["x-pb"] = numbers
            if go.startswith("*") or "omitzero" in tag or prop in ("apiVersion", "kind"):
                continue
            struct = schema.get("default") == {} or (
                not go.startswith(("[", "map[")) and go.rsplit(".", 1)[-1] in VALUES
            )
            schema["x-go"] = "zero" if "omitempty" not in tag or struct else "omit"
        for prop in fields.keys() - (definition.get("properties") or {}).keys():
            print("not in OpenAPI:", name, prop, file=sys.stderr)


def main(url: str, token: str, source: str) -> None:
    definitions: dict = {}
    for path, where in get(f"{url}/openapi/v3", token)["paths"].items():
        if path.startswith("api/") or path.count("/") == 2:
            document = get(url + where["serverRelativeURL"], token)
            definitions.update(stripped(document.get("components", {}).get("schemas", {})))
    annotate(definitions, go_structs(pathlib.Path(source)))
    groups = [g for root in ("api", "apis") for g in get(f"{url}/{root}", token, AGGREGATED)["items"]]
    for group in groups:
        for version in group["versions"]:
            version.pop("freshness", None)
            for resource in version["resources"]:
                kept = [s for s in resource.get("subresources", []) if s["subresource"] in KEEP_SUBRESOURCES]
                resource["subresources"] = kept
    data = {"version": get(f"{url}/version", token)["gitVersion"], "groups": groups, "definitions": definitions}
    target = pathlib.Path(__file__).parents[2] / "agent" / "sandbox" / "data" / "kubernetes.json"
    target.parent.mkdir(exist_ok=True)
    lines = ",\n".join(
        f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in sorted(definitions.items())
    )
    rest = json.dumps({k: v for k, v in data.items() if k != "definitions"}, separators=(",", ":"))
    target.write_text(rest[:-1] + ',"definitions":{\n' + lines + "\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])
