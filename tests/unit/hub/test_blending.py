"""An application with overrides: what wins, where it is from, and which sources it is made of."""

from hub.domain.blending import blend, candidates, lender
from hub.domain.documents import API_VERSION
from hub.domain.reading import parse_document
from hub.domain.yamldoc import Document


def application(spec):
    value = {"apiVersion": API_VERSION, "kind": "Application", "metadata": {"name": "web"}, "spec": spec}
    return parse_document(Document("f.yaml", 1, value)).resource


def blended(spec):
    web = application(spec)
    return blend(web, list(enumerate(web.spec.overrides)))


CHART = {"chart": "podinfo", "repo": "https://charts.example.com", "version": "6.x"}


def test_an_override_moves_the_version_and_says_so():
    found = blended({"source": CHART, "overrides": [{"version": "6.1.0"}, {"valueFiles": ["prod.yaml"]}]})

    assert found.main.source.version == "6.1.0"
    assert found.origins["version"] == "override 1 of web"
    assert found.main.value_files == ("prod.yaml",)
    assert found.origins["valueFiles[0]"] == "override 2 of web"


def test_images_and_replicas_of_one_name_take_each_others_place():
    images = [
        {"images": [{"name": "app", "newTag": tag}], "replicas": [{"name": "web", "count": int(tag)}]} for tag in "12"
    ]

    found = blended({"overrides": images})

    assert [image.new_tag for image in found.images] == ["2"]
    assert [each.count for each in found.replicas] == [2]
    assert found.origins["images.app"] == found.origins["replicas.web"] == "override 2 of web"


def test_value_files_of_another_source_are_lent_by_it():
    spec = {
        "source": CHART,
        "sources": [{"name": "config", "repo": "https://git.example.com/config", "ref": "main"}],
        "render": {"helm": {"valueFiles": ["$config/base.yaml"]}},
        "overrides": [{"valueFiles": ["$config/prod.yaml", "own.yaml"]}],
    }

    chart, config = blended(spec).parts

    assert (chart.rendered, config.rendered) == (True, False)
    assert config.lent == ("base.yaml", "prod.yaml")
    assert chart.lent == ()
    assert config.footing != blend(application(spec)).parts[1].footing  # it is asked for other files now
    assert lender("$config/a/b.yaml") == ("config", "a/b.yaml")
    assert lender("a/b.yaml") == ("", "a/b.yaml")


def test_a_further_source_is_rendered_when_it_names_a_path_or_has_no_name():
    sources = [{"name": "a", "path": "x"}, {"repo": "https://git.example.com/b"}, {"name": "c"}]

    found = blended({"source": {"path": "."}, "sources": sources})

    assert [part.rendered for part in found.parts] == [True, True, True, False]
    assert [part.name for part in found.parts] == ["", "a", "source 3", "c"]


def test_sources_alone_begin_with_the_one_that_overrides_are_about():
    found = blended({"sources": [{"path": "x"}, {"path": "y"}], "overrides": [{"path": "z"}]})

    assert [part.source.path for part in found.parts] == ["z", "y"]


def test_values_do_not_decide_which_files_are_read():
    def footing(values):
        return blended({"source": CHART, "render": {"helm": {"values": values}}}).main.footing

    assert footing({"a": 1}) == footing({"a": 2})


def test_variables_that_values_ask_for_are_known():
    spec = {"source": CHART, "render": {"helm": {"values": {"host": "${domain}", "list": [{"${zone}": "x"}]}}}}

    assert blended(spec).names == {"domain", "zone"}


def test_candidates_are_what_combinations_can_be_made_of():
    spec = {"source": {"path": "base"}, "overrides": [{"path": "a"}, {"ref": "v1"}, {"values": {"x": 1}}]}

    assert {(part.source.path, part.source.ref) for part in candidates(application(spec))} == {
        ("base", ""),
        ("a", ""),
        ("base", "v1"),
    }
