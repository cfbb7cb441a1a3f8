"""`yardarm drift` ends with rules that can be pasted under `sync.ignore`."""

import yaml

from hub.cli.read import _suggestions

RULE = {"kind": "Deployment", "group": "apps", "name": "web", "fields": ["/spec/replicas"], "managers": ["keda"]}


def item(**more):
    return {"application": "shop", "suggestion": RULE, "corrected": None, "fight": "", **more}


def test_the_rule_is_yaml_and_said_once_for_all_clusters():
    (text,) = _suggestions([item(cluster="a"), item(cluster="b")])
    head, _, document = text.partition("\n")
    assert head == "to accept it in shop:"
    assert yaml.safe_load(document) == {"sync": {"ignore": [RULE]}}


def test_what_was_put_right_needs_no_rule_unless_somebody_fights():
    assert _suggestions([item(corrected=1.0)]) == []
    assert _suggestions([item(suggestion=None)]) == []
    assert len(_suggestions([item(corrected=1.0, fight="fights with keda over /spec/replicas")])) == 1
