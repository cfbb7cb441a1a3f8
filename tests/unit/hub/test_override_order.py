"""What overrides come to, in order: compared with the plainest way to say it, for any of them on any cluster."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.reading import parse_document
from hub.domain.variants import variant
from hub.domain.yamldoc import Document


def document(kind, name, spec, labels=None):
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    return parse_document(Document("f.yaml", 1, value))


FLEET = [
    document("Cluster", "eu", {"variables": {"a": "cluster"}}, {"at": "eu", "env": "prod"}),
    document("Cluster", "us", {}, {"at": "us", "env": "prod"}),
    document("Environment", "one", {"order": 1, "where": [{"labels": {"env": "prod"}}], "variables": {"a": "1", "b": "1"}}),
    document("Environment", "two", {"order": 2, "clusters": ["eu"], "variables": {"b": "2", "c": "2"}}),
]  # fmt: skip

WHENS = {
    "all": {},
    "eu": {"where": [{"labels": {"at": "eu"}}]},
    "us": {"clusters": ["us"]},
    "not us": {"exclude": ["us"]},
    "two": {"environments": ["two"]},
    "none": {"where": [{"match": ["at notin (eu,us)"]}]},
}
MEANT = {
    "all": {"eu", "us"}, "eu": {"eu"}, "us": {"us"}, "not us": {"eu"}, "two": {"eu"}, "none": set(),
}  # fmt: skip

KEYS = st.sampled_from("abc")
VALUES = st.recursive(st.integers(0, 3) | st.none() | st.lists(st.integers(0, 3), max_size=2),
                      lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=5)  # fmt: skip
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["x", "y"]),
        "ref": st.sampled_from(["main", "next"]),
        "values": st.dictionaries(KEYS, VALUES, max_size=3),
        "variables": st.dictionaries(KEYS, st.sampled_from(["v", "w"]), max_size=3),
        "images": st.dictionaries(KEYS, st.sampled_from(["1", "2"]), max_size=2),
        "replicas": st.dictionaries(KEYS, st.integers(0, 3), max_size=2),
        "patches": st.lists(st.sampled_from(["{metadata: {labels: {a: b}}}", "{spec: {x: 1}}"]), max_size=2),
        "valueFiles": st.lists(st.sampled_from(["one.yaml", "two.yaml"]), max_size=2),
    },
)
OVERRIDES = st.lists(st.tuples(st.sampled_from(sorted(WHENS)), PARTS), max_size=5)


def written(when, parts):
    made = {**parts, "when": WHENS[when]}
    if "images" in parts:
        made["images"] = [{"name": name, "newTag": tag} for name, tag in parts["images"].items()]
    if "replicas" in parts:
        made["replicas"] = [{"name": name, "count": count} for name, count in parts["replicas"].items()]
    if "patches" in parts:
        made["patches"] = [{"patch": patch} for patch in parts["patches"]]
    return made


def leaves(value, path="values"):
    """Every value that is no map, by its path."""
    for key, inner in value.items():
        here = f"{path}.{key}"
        if isinstance(inner, dict):
            yield from leaves(inner, here)
        else:
            yield here, inner


def over(below, above):
    """Helm's way: maps merge, all else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = over(merged[key], value) if both else value
    return merged


@settings(max_examples=100, deadline=None)
@given(OVERRIDES, st.dictionaries(KEYS, VALUES, max_size=3), st.sampled_from(["eu", "us"]))
def test_later_overrides_win_and_every_value_knows_its_origin(overrides, base, cluster):
    spec = {
        "source": {"path": "base"},
        "render": {"helm": {"values": base}},
        "overrides": [written(when, parts) for when, parts in overrides],
    }
    web = document("Application", "web", spec)
    made = variant(web.resource, cluster, build_fleet([*FLEET, web]))

    applying = [
        (f"override {n} of web", parts) for n, (when, parts) in enumerate(overrides, 1) if cluster in MEANT[when]
    ]
    layers = [("application web", {"path": "base", "ref": "", "values": base}), *applying]
    blend, origins = made.inputs.blend, made.origins

    for field in ("path", "ref"):
        origin, value = [(origin, each[field]) for origin, each in layers if field in each][-1]
        assert (getattr(blend.main.source, field), origins[field]) == (value, origin)

    values = {}
    for _, each in layers:
        values = over(values, each.get("values", {}))
    assert blend.main.values == values
    for path, value in leaves(values):
        setting = [origin for origin, each in layers if dict(leaves(each.get("values", {}))).get(path, ...) == value]
        assert origins[path] in setting
    assert {path for path in origins if path.startswith("values.")} == dict(leaves(values)).keys()

    variables, where = {}, {}
    shared = {"one": {"a": "1", "b": "1"}} | ({"two": {"b": "2", "c": "2"}} if cluster == "eu" else {})
    mine = [(f"environment {name}", each) for name, each in shared.items()]
    mine += [("cluster eu", {"a": "cluster"})] if cluster == "eu" else []
    for origin, each in [*mine, *((origin, each.get("variables", {})) for origin, each in applying)]:
        variables.update(each)
        where.update(dict.fromkeys(each, origin))
    assert {name: made.inputs.variables.values.get(name) for name in variables} == variables
    assert {name: origins[f"variables.{name}"] for name in variables} == where

    for field, found in (
        ("images", {image.name: image.new_tag for image in blend.images}),
        ("replicas", {each.name: each.count for each in blend.replicas}),
    ):
        wanted = {}
        for origin, each in applying:
            wanted.update({name: (value, origin) for name, value in each.get(field, {}).items()})
        assert found == {name: value for name, (value, _) in wanted.items()}
        assert {name: origins[f"{field}.{name}"] for name in wanted} == {name: at for name, (_, at) in wanted.items()}

    assert [patch.patch for patch in blend.patches] == [p for _, each in applying for p in each.get("patches", [])]
    assert list(blend.main.value_files) == [file for _, each in applying for file in each.get("valueFiles", [])]


@settings(max_examples=100, deadline=None)
@given(OVERRIDES, st.sampled_from(["eu", "us"]))
def test_overrides_that_do_not_apply_might_as_well_not_be_there(overrides, cluster):
    def made(chosen):
        web = document("Application", "web", {"overrides": [written(when, parts) for when, parts in chosen]})
        return variant(web.resource, cluster, build_fleet([*FLEET, web]), used_names=())

    assert made(overrides).digest == made([each for each in overrides if cluster in MEANT[each[0]]]).digest
