"""Charts in Git: which files they are made of, and where their dependencies come from."""

from __future__ import annotations

import pytest

from hub.domain.charts import Wanted
from hub.render.helm.archive import unpack, unpack_deep
from hub.render.helm.layout import Layout, assemble, lay_out, traits_in, value_file
from hub.render.helm.traits import Traits
from shared.errors import DocumentError
from tests.fakes.charts import chart_archive, chart_yaml
from tests.fakes.memorytree import MemoryTree

TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def depends(*lines: str) -> str:
    return chart_yaml("app", more="dependencies:\n" + "".join(f"  - {line}\n" for line in lines))


def tree(files: dict[str, str | bytes]) -> MemoryTree:
    return MemoryTree({"apps/app/templates/a.yaml": TEMPLATE, "README.md": "elsewhere", **files})


def laid_out(files: dict[str, str | bytes], path: str = "apps/app") -> tuple[MemoryTree, Layout]:
    made = tree(files)
    return made, lay_out(made, path)


def errors(layout: Layout) -> list[str]:
    return [str(problem) for problem in layout.problems]


def test_a_chart_is_the_files_of_its_directory():
    files, layout = laid_out({"apps/app/Chart.yaml": chart_yaml("app"), "apps/app/values.yaml": "a: 1\n"})

    assert layout.problems == ()
    assert layout.paths == ("apps/app/Chart.yaml", "apps/app/templates/a.yaml", "apps/app/values.yaml")
    assert unpack(assemble(files, layout, {})) == {
        "Chart.yaml": chart_yaml("app").encode(),
        "templates/a.yaml": TEMPLATE.encode(),
        "values.yaml": b"a: 1\n",
    }


def test_the_key_changes_with_what_is_in_the_chart_and_with_nothing_else():
    base = {"apps/app/Chart.yaml": chart_yaml("app"), "apps/app/.helmignore": "*.md\n"}
    key = laid_out(base)[1].key

    assert laid_out({**base, "other/x.yaml": "x", "apps/app/README.md": "ignored"})[1].key == key
    assert laid_out({**base, "apps/app/values.yaml": "a: 2"})[1].key != key
    assert laid_out({**base, "apps/app/templates/a.yaml": "b"})[1].key != key


def test_a_chart_may_be_the_repository():
    assert lay_out(MemoryTree({"Chart.yaml": chart_yaml("app")}), "").paths == ("Chart.yaml",)
    assert lay_out(MemoryTree({"Chart.yaml": chart_yaml("app")}), ".").paths == ("Chart.yaml",)


def test_what_is_no_chart_is_said():
    assert errors(laid_out({})[1]) == ["apps/app/Chart.yaml: error: there is no chart in apps/app"]
    assert errors(laid_out({"apps/app/Chart.yaml": "name: app\n"})[1]) == [
        "apps/app/Chart.yaml:1: version: error: a chart has a `version`, written as text"
    ]


def test_charts_in_its_own_directory_win():
    _, layout = laid_out(
        {
            "apps/app/Chart.yaml": depends(
                "{name: one, version: 1.x, repository: 'https://charts.example.com'}",
                "{name: two, version: 1.x, repository: 'https://charts.example.com'}",
            ),
            "apps/app/charts/whatever/Chart.yaml": chart_yaml("one"),
            "apps/app/charts/two-1.0.0.tgz": chart_archive("two", {"Chart.yaml": chart_yaml("two")}),
        }
    )
    assert layout.remote == layout.problems == ()


def test_charts_beside_it_are_taken_in_with_theirs():
    files, layout = laid_out(
        {
            "apps/app/Chart.yaml": depends("{name: lib, version: ^1, repository: 'file://../../libs/lib'}"),
            "libs/lib/Chart.yaml": chart_yaml(
                "lib", "1.2.0", "dependencies: [{name: deep, repository: 'file://../deep'}]\n"
            ),
            "libs/lib/.helmignore": "secret.txt\n",
            "libs/lib/secret.txt": "left out",
            "libs/deep/Chart.yaml": chart_yaml("deep"),
            "libs/deep/templates/_d.tpl": "{{ now }}",
        }
    )
    assert layout.problems == ()
    within = unpack(assemble(files, layout, {}))
    assert sorted(path.rpartition("/")[2] for path in within) == [
        ".helmignore",
        "Chart.yaml",
        "Chart.yaml",
        "Chart.yaml",
        "_d.tpl",
        "a.yaml",
    ]
    assert {path.count("charts/") for path in within} == {0, 1, 2}
    assert traits_in(files, layout) == Traits(unsteady=True)
    _, again = laid_out({**files.files, "libs/deep/values.yaml": "a: 1"})
    assert again.key != layout.key


def test_a_chart_beside_it_has_to_be_the_one_meant():
    lib = {"libs/lib/Chart.yaml": chart_yaml("lib", "1.2.0")}

    def said(dependency: str) -> list[str]:
        return errors(laid_out({**lib, "apps/app/Chart.yaml": depends(dependency)})[1])

    place = "apps/app/Chart.yaml:5: dependencies[0]: error:"
    assert said("{name: lib, version: ^2, repository: 'file://../../libs/lib'}") == [
        f"{place} lib in libs/lib has version 1.2.0, not ^2"
    ]
    assert said("{name: other, version: ^1, repository: 'file://../../libs/lib'}") == [
        f"{place} the chart in libs/lib is lib, not other"
    ]
    assert said("{name: lib, version: ^1, repository: 'file://../../../lib'}") == [
        f"{place} lib is at file://../../../lib, which leads out of the repository"
    ]
    assert said("{name: lib, version: ^1, repository: 'file:///etc'}") == [
        f"{place} lib is at file:///etc, which leads out of the repository"
    ]
    assert "there is no chart in libs/nope" in said("{name: lib, repository: 'file://../../libs/nope'}")[0]


def test_charts_that_depend_on_each_other_are_an_error():
    _, layout = laid_out(
        {
            "apps/app/Chart.yaml": depends("{name: lib, version: ^1, repository: 'file://../../libs/lib'}"),
            "libs/lib/Chart.yaml": chart_yaml(
                "lib", more="dependencies: [{name: app, repository: 'file://../../apps/app'}]\n"
            ),
        }
    )
    assert errors(layout) == [
        "libs/lib/Chart.yaml:4: dependencies[0]: error: the chart depends on itself: apps/app → libs/lib → apps/app"
    ]


def test_charts_from_elsewhere_are_asked_for_in_their_range_or_as_locked():
    dependency = "{name: redis, version: ^18, repository: 'oci://registry.example.com/charts'}"
    chart = {"apps/app/Chart.yaml": depends(dependency)}
    assert [each.wanted for each in laid_out(chart)[1].remote] == [
        Wanted("oci://registry.example.com/charts", "redis", "^18")
    ]

    lock = "dependencies: [{name: redis, version: 18.1.2, repository: 'oci://registry.example.com/charts'}]\ndigest: sha256:0\n"
    files, layout = laid_out({**chart, "apps/app/Chart.lock": lock})
    (remote,) = layout.remote
    assert remote.wanted.version == "18.1.2"

    redis = chart_archive("redis", {"Chart.yaml": chart_yaml("redis", "18.1.2")})
    assert any(path.endswith("/Chart.yaml") for path in unpack_deep(assemble(files, layout, {remote.wanted: redis})))


def test_a_lock_that_says_something_else_is_an_error():
    _, layout = laid_out(
        {
            "apps/app/Chart.yaml": depends("{name: redis, version: ^18, repository: 'https://charts.example.com'}"),
            "apps/app/Chart.lock": "dependencies: [{name: redis, version: 17.0.0, repository: 'https://charts.example.com'}]\n",
        }
    )
    assert (
        "the lock has no redis ^18 from https://charts.example.com (run `helm dependency update`" in errors(layout)[0]
    )


@pytest.mark.parametrize(
    ("dependency", "said"),
    [
        ("{name: redis, version: 1.x}", "no `repository` says where else it is"),
        ("{name: redis, version: 1.x, repository: '@stable'}", "a name that only its author's machine knows"),
        ("{name: redis, version: 1.x, repository: 'ftp://x'}", "is not the address of a chart repository"),
        ("{name: redis, version: 1.x, repository: 'https://user:pass@x'}", "holds credentials"),
        ("{version: 1.x}", "a dependency has a `name`"),
    ],
)
def test_what_cannot_be_found_is_said_with_its_line(dependency, said):
    (problem,) = laid_out({"apps/app/Chart.yaml": depends(dependency)})[1].problems
    assert said in problem.message
    assert "pass" not in problem.message
    assert (problem.place.file, problem.place.line) == ("apps/app/Chart.yaml", 5)


def test_old_charts_declare_elsewhere():
    _, layout = laid_out(
        {
            "apps/app/Chart.yaml": "name: app\nversion: 1.0.0\n",
            "apps/app/requirements.yaml": "dependencies: [{name: a, version: 1.x, repository: 'https://c.example.com'}]\n",
            "apps/app/requirements.lock": "dependencies: [{name: a, version: 1.5.0, repository: 'https://c.example.com'}]\n",
        }
    )
    assert [each.wanted.version for each in layout.remote] == ["1.5.0"]


def test_one_chart_under_two_names_is_fetched_once():
    _, layout = laid_out(
        {
            "apps/app/Chart.yaml": depends(
                "{name: a, version: 1.x, repository: 'https://c.example.com'}",
                "{name: a, alias: b, version: 1.x, repository: 'https://c.example.com'}",
            )
        }
    )
    assert len(layout.remote) == 1


@pytest.mark.parametrize(
    ("chart", "text", "path"),
    [
        ("apps/app", "values-prod.yaml", "apps/app/values-prod.yaml"),
        ("apps/app", "../../values/prod.yaml", "values/prod.yaml"),
        ("apps/app", "/values/prod.yaml", "values/prod.yaml"),
        ("", "values.yaml", "values.yaml"),
    ],
)
def test_value_files_are_beside_the_chart_or_from_the_root(chart, text, path):
    assert value_file(chart, text) == path


@pytest.mark.parametrize("text", ["../../../x.yaml", "../../..", "/../x"])
def test_value_files_do_not_lead_out(text):
    with pytest.raises(DocumentError, match="leads out of the repository"):
        value_file("apps/app", text)
