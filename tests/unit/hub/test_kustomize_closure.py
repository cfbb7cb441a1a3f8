"""What a kustomization reads: found without building it, refused where it leads out, and looked up once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.render.kustomize.closure import Closure, Closures, Memory
from hub.render.kustomize.remote import Remote, RemoteFile
from tests.fakes.foldertree import FolderTree
from tests.fakes.kustomize import closure

DATA = Path(__file__).parents[2] / "data" / "kustomize"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.fixture
def repo(tmp_path):
    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path

    return write


def errors(found: Closure) -> list[str]:
    return [str(problem) for problem in found.footprint.problems if problem.severity == "error"]


@pytest.mark.parametrize("case", sorted(place.name for place in DATA.iterdir()))
def test_all_files_of_the_examples_are_found_and_no_other(case):
    found = closure(DATA / case, "app")

    assert errors(found) == []
    below = {path.relative_to(DATA / case).as_posix() for path in (DATA / case).rglob("*") if path.is_file()}
    assert set(found.footprint.paths) == below
    assert found.outside is (case == "outside")


def test_files_that_were_looked_for_in_vain_count(repo):
    root = repo({"app/kustomization.yaml": "resources: [a.yaml]", "app/a.yaml": CONFIG})
    found = closure(root, "app")
    assert found.footprint.absent == ("app/Kustomization", "app/kustomization.yml")

    repo({"app/Kustomization": "resources: []"})

    assert closure(root, "app").footprint.key != found.footprint.key
    assert errors(closure(root, "app")) == [
        "app: error: app has several kustomization files: kustomization.yaml, Kustomization (keep one)"
    ]


def test_the_key_changes_with_what_is_read_and_with_nothing_else(repo):
    root = repo(
        {
            "app/kustomization.yaml": "resources: [../base]\npatches: [{path: patch.yaml}]",
            "app/patch.yaml": CONFIG,
            "base/kustomization.yaml": "resources: [a.yaml]",
            "base/a.yaml": CONFIG,
        }
    )
    key = closure(root, "app").footprint.key

    repo({"base/unused.yaml": CONFIG, "other/kustomization.yaml": "resources: []", "app/README.md": "words"})
    assert closure(root, "app").footprint.key == key
    repo({"base/a.yaml": CONFIG + "data: {a: b}\n"})
    assert closure(root, "app").footprint.key != key
    assert closure(root, "base").footprint.key != closure(root, "app").footprint.key


@pytest.mark.parametrize(
    ("kustomization", "error"),
    [
        ("resources: [/etc/passwd]", "app/kustomization.yaml:1: resources[0]: error: '/etc/passwd' leads out of the repository (copy what is needed into it)"),
        ("resources:\n- a.yaml\n- ../../x", "app/kustomization.yaml:3: resources[1]: error: '../../x' leads out of the repository (copy what is needed into it)"),
        ("resources: [b.yaml]", "app/kustomization.yaml:1: resources[0]: error: there is no app/b.yaml in the repository (did you mean app/a.yaml?)"),
        ("resources: [../bsae]", "app/kustomization.yaml:1: resources[0]: error: there is no bsae in the repository (did you mean base?)"),
        ("resources: [.]", "app/kustomization.yaml:1: resources[0]: error: app leads back to app"),
        ("resources: [..]", "app/kustomization.yaml:1: resources[0]: error: the root of the repository leads back to app"),
        ("resources: [../base/kustomization.yaml]", "app/kustomization.yaml:1: resources[0]: error: '../base/kustomization.yaml' is a kustomization file, not a resource (name its directory: ../base)"),
        ("resources: [../empty]", "app/kustomization.yaml:1: resources[0]: error: there is no kustomization file in empty (add a kustomization.yaml, or name another directory)"),
        ("components: [a.yaml]", "app/kustomization.yaml:1: components[0]: error: 'a.yaml' is a file, and has to be a directory"),
        ("patches: [{path: ../base}]", "app/kustomization.yaml:1: patches[0].path: error: '../base' is a directory, and has to be a file"),
        ("crds: [x.json]", "app/kustomization.yaml:1: crds[0]: error: there is no app/x.json in the repository"),
        ("secretGenerator: [{name: a, files: [key=/root/.ssh/id_rsa]}]", "app/kustomization.yaml:1: secretGenerator[0].files[0]: error: '/root/.ssh/id_rsa' leads out of the repository (copy what is needed into it)"),
        ("configMapGenerator: [{name: a, envs: [../../env]}]", "app/kustomization.yaml:1: configMapGenerator[0].envs[0]: error: '../../env' leads out of the repository (copy what is needed into it)"),
        ("patchesStrategicMerge: [missing-patch.txt]", "app/kustomization.yaml:1: patchesStrategicMerge[0]: error: there is no app/missing-patch.txt in the repository"),
        ("resources: [https://example.com/a.yaml]", "app/kustomization.yaml:1: resources[0]: error: 'https://example.com/a.yaml' is outside the repository (copy it into the repository, or have its address allowed in render.kustomize_remotes)"),
        ("Re\u017fourceS: [github.com/team/repo?ref=x]", "app/kustomization.yaml:1: [Re\u017fourceS][0]: error: 'github.com/team/repo?ref=x' is outside the repository (copy it into the repository, or have its address allowed in render.kustomize_remotes)"),
        ("patches: [{path: 'http://10.0.0.1/x'}]", "app/kustomization.yaml:1: patches[0].path: error: 'http://10.0.0.1/x' is outside the repository (copy it into the repository: only resources and components may be elsewhere)"),
        ("openapi: {path: 'https://example.com/x.json'}", "app/kustomization.yaml:1: openapi.path: error: 'https://example.com/x.json' is outside the repository (copy it into the repository: only resources and components may be elsewhere)"),
        ("helmCharts: [{name: redis, repo: 'https://charts.example.com'}]", "app/kustomization.yaml:1: helmCharts: error: a Helm chart inside a kustomization is not built (make the chart a source of the application (render.helm), which renders it with its own limits)"),
        ("generators: [plugin-configuration]", "app/plugin-configuration:1: error: the plugin Exec would run a program or a container (only Kustomize's builtin generators and transformers run here)"),
        ("transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: a}, path: /etc/passwd}']", "app/kustomization.yaml:1: transformers[0]: error: '/etc/passwd' leads out of the repository (copy what is needed into it)"),
        ("validators: ['{apiVersion: v1, kind: Any, metadata: {name: a}}']", "app/kustomization.yaml:1: validators[0]: error: the plugin Any would run a program or a container (only Kustomize's builtin generators and transformers run here)"),
        ("generators: [patched]", "app/patched/kustomization.yaml: patches: error: configurations of plugins cannot be checked when patches is applied to them (write them out in files)"),
        ("resources: [a.yaml]\nresources: [b.yaml]", "app/kustomization.yaml:2: error: duplicate key 'resources': first on line 1 (keep one of the two)"),
        ("resources: [a.yaml]\nRESOURCES: [b.yaml]", "app/kustomization.yaml:2: RESOURCES: error: the field resources is there twice (keep one)"),
        ("- a.yaml", "app/kustomization.yaml:1: error: a kustomization is a map"),
        ("resources: [a.yaml", "app/kustomization.yaml:2: error: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence that starts on line 1"),
        ("configMapGenerator: [{name: a, files: [kustomization.yaml]}]", "app/kustomization.yaml: error: a kustomization file cannot be data, a patch or a configuration as well"),
        ('resources: ["a\\0b"]', "app/kustomization.yaml:1: resources[0]: error: 'a\\x00b' leads out of the repository (copy what is needed into it)"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_told_with_its_line(repo, kustomization, error):
    root = repo(
        {
            "app/kustomization.yaml": f"{kustomization}\n",
            "app/a.yaml": CONFIG,
            "app/plugin-configuration": "apiVersion: example.com/v1\nkind: Exec\nmetadata: {name: x}\nargs: [rm]\n",
            "app/patched/kustomization.yaml": "resources: [g.yaml]\npatches: [{path: p.yaml}]\n",
            "app/patched/g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\n",
            "app/patched/p.yaml": CONFIG,
            "base/kustomization.yaml": "resources: []\n",
            "empty/README.md": "",
        }
    )

    assert error in errors(closure(root, "app"))


def test_a_circle_of_bases_ends(repo):
    root = repo({f"{name}/kustomization.yaml": f"resources: [../{other}]\n" for name, other in ("ab", "bc", "ca")})

    assert errors(closure(root, "a")) == ["c/kustomization.yaml:1: resources[0]: error: a leads back to c"]


def test_bases_that_double_at_every_step_are_refused(repo):
    files = {f"d{n}/kustomization.yaml": f"resources: [../l{n}, ../r{n}]\n" for n in range(20)}
    for side in "lr":
        files |= {f"{side}{n}/kustomization.yaml": f"namePrefix: {side}\nresources: [../d{n + 1}]\n" for n in range(20)}
    root = repo({**files, "d20/kustomization.yaml": "resources: []\n"})

    found = errors(closure(root, "d0"))

    assert any("builds of bases within bases: refused" in error for error in found)


def test_deep_nesting_is_refused(repo):
    root = repo({f"d{n}/kustomization.yaml": f"resources: [../d{n + 1}]\n" for n in range(100)})

    assert errors(closure(root, "d0")) == [
        "d49/kustomization.yaml:1: resources[0]: error: kustomizations are nested deeper than 50"
    ]


def test_links_inside_the_repository_are_followed_and_others_are_not(repo, tmp_path):
    root = repo(
        {
            "real/base/kustomization.yaml": "resources: [../sibling]\n",
            "real/sibling/kustomization.yaml": "resources: [a.yaml]\n",
            "real/sibling/a.yaml": CONFIG,
            "app/kustomization.yaml": "resources: [base, file.yaml]\n",
        }
    )
    (root / "app/base").symlink_to("../real/base")
    (root / "app/file.yaml").symlink_to("../real/sibling/a.yaml")
    (root / "out").symlink_to("/etc")

    found = closure(root, "app")
    assert errors(found) == []
    assert found.outside
    assert set(found.footprint.paths) == {
        "app/kustomization.yaml", "real/base/kustomization.yaml", "real/sibling/kustomization.yaml", "real/sibling/a.yaml",
    }  # fmt: skip
    assert found.footprint.links == (("app/base", "real/base"), ("app/file.yaml", "real/sibling/a.yaml"))
    repo({"app/kustomization.yaml": "resources: [../out/passwd]\n"})
    assert errors(closure(root, "app")) == [
        "app/kustomization.yaml:1: resources[0]: error: out/passwd leads out of the repository"
    ]


def test_components_that_an_application_adds_are_part_of_it(repo):
    root = repo(
        {
            "app/kustomization.yaml": "resources: []\n",
            "extra/kustomization.yaml": "kind: Component\nresources: [a.yaml]\n",
            "extra/a.yaml": CONFIG,
        }
    )

    found = Closures(FolderTree(root)).closure("app", ["../extra"])
    assert "extra/a.yaml" in found.footprint.paths
    assert errors(Closures(FolderTree(root)).closure("app", ["../extar"])) == [
        "app/kustomization.yaml: components: error: there is no extar in the repository (did you mean extra?)"
    ]


def test_remotes_are_named_when_they_are_allowed(repo):
    root = repo(
        {
            "app/kustomization.yaml": "resources:\n- github.com/team/repo//base?ref=v1\n- ../base\n",
            "base/kustomization.yaml": "resources: ['https://example.com/team/a.yaml']\n",
        }
    )

    found = closure(root, "app", allowed=["github.com/team", "https://example.com"])

    assert errors(found) == []
    assert [(remote, str(place)) for remote, place in found.remotes] == [
        (
            Remote("github.com/team/repo//base?ref=v1", "https://github.com/team/repo", "v1", "base"),
            "app/kustomization.yaml:2: resources[0]",
        ),
        (RemoteFile("https://example.com/team/a.yaml"), "base/kustomization.yaml:1: resources[0]"),
    ]
    assert found.outside


def test_a_second_document_is_told_of(repo):
    root = repo({"app/kustomization.yaml": "resources: []\n---\nresources: [x.yaml]\n"})

    problems = closure(root, "app").footprint.problems

    (problem,) = map(str, problems)
    assert problem.startswith("app/kustomization.yaml:3: warning: Kustomize reads only the first document of this file")


def test_thousands_of_overlays_are_looked_up_and_not_parsed_again(repo):
    overlays = [f"apps/a{n}" for n in range(50)]
    root = repo(
        {
            "base/kustomization.yaml": "resources: [a.yaml]\n",
            "base/a.yaml": CONFIG,
            **{
                f"{path}/kustomization.yaml": f"namePrefix: {path[5:]}-\nresources: [../../base]\n" for path in overlays
            },
        }
    )
    memory = Memory()
    first = FolderTree(root)
    closures = Closures(first, memory)
    keys = [closures.closure(path).footprint.key for path in overlays]
    assert len(set(keys)) == 50
    assert first.reads.count("base/kustomization.yaml") == 1

    repo({"apps/a7/kustomization.yaml": "namePrefix: new-\nresources: [../../base]\n"})
    again = FolderTree(root)
    closures = Closures(again, memory)

    changed = [closures.closure(path).footprint.key != key for path, key in zip(overlays, keys, strict=True)]
    assert changed == [path == "apps/a7" for path in overlays]
    assert again.reads == ["apps/a7/kustomization.yaml"]


def test_generators_that_lead_back_to_themselves_are_refused(repo):
    root = repo(
        {
            "app/kustomization.yaml": "generators: ['']\n",
            "a/kustomization.yaml": "generators: [../b]\n",
            "b/kustomization.yaml": "generators: [../a]\n",
        }
    )

    assert "app leads back to itself" in " ".join(errors(closure(root, "app")))
    assert "a leads back to itself" in " ".join(errors(closure(root, "a")))


def test_generators_nested_without_end_are_refused(repo):
    root = repo({f"d{n}/kustomization.yaml": f"generators: [../d{n + 1}]\n" for n in range(300)})

    assert "nested deeper than 50" in " ".join(errors(closure(root, "d0")))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["path", "files", "envs", "kind", "apiVersion", "items"]) | st.text(max_size=5), x, max_size=3), max_leaves=8), st.sampled_from(["resources", "patches", "generators", "configMapGenerator", "replacements", "openapi", "components", "patchesStrategicMerge"]))  # fmt: skip
def test_any_kustomization_is_read_without_failing(tmp_path_factory, value, field):
    import json

    root = tmp_path_factory.getbasetemp() / "any"
    (root / "app").mkdir(parents=True, exist_ok=True)
    (root / "app/kustomization.yaml").write_text(json.dumps({field: value}))

    found = closure(root, "app")

    assert all(not path.startswith(("/", "..")) for path in found.footprint.paths)
