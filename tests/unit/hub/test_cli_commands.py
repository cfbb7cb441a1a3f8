"""The command line as a person meets it: help, exit codes, errors that say what to do. Real processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub.demo import repository
from hub.demo.clusters import spread
from hub.settings import load
from tests.fakes.kustomize import any_command, either

ROOT = Path(__file__).parents[3]


@pytest.fixture
def yardarm(tmp_path):
    def run(*args, **environment):
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "hub", *map(str, args)]
        return subprocess.run(command, env=env | environment, capture_output=True, text=True, cwd=tmp_path, check=False)

    return run


@pytest.fixture
def fleet(tmp_path):
    repository.create(tmp_path / "fleet", spread(6), 1.0)
    return tmp_path / "fleet"


def test_help_names_every_command_and_teaches_by_example(yardarm):
    result = yardarm("--help")

    assert result.returncode == 0
    for word in (
        "demo",
        "status",
        "get",
        "explain",
        "drift",
        "trace",
        "validate",
        "render",
        "schema",
        "yardarm trace web",
    ):
        assert word in result.stdout


def test_help_loads_nothing_heavy():
    program = (
        "import sys, hub.commands\n"
        "heavy = {'fastapi', 'pygit2', 'nats', 'uvicorn', 'yaml', 'rich', 'nacl', 'kubernetes'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)

    assert result.stdout.strip() == "[]"


def test_an_install_of_the_agent_alone_says_what_is_missing():
    program = "import sys; sys.modules['typer'] = None\nfrom hub.__main__ import main\nmain()"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)

    assert result.returncode == 2
    assert "yardarm[hub]" in result.stderr


def test_without_a_hub_it_says_how_to_get_one(yardarm):
    unknown = yardarm("status")
    unreachable = yardarm("status", YARDARM_HUB="http://127.0.0.1:9")
    wrong = yardarm("status", YARDARM_HUB="somewhere")

    assert (unknown.returncode, unreachable.returncode, wrong.returncode) == (1, 1, 1)
    assert "yardarm demo" in unknown.stderr
    assert "YARDARM_HUB" in unknown.stderr
    assert "no hub at http://127.0.0.1:9" in unreachable.stderr
    assert "not the address" in wrong.stderr
    assert "Traceback" not in unknown.stderr + unreachable.stderr + wrong.stderr


def test_wrong_usage_is_2(yardarm):
    assert yardarm("status", "--nonsense").returncode == 2
    assert yardarm("validate", "nowhere").returncode == 2
    assert yardarm("demo", "--kubeconfig", "x").returncode == 2
    assert yardarm("hub").returncode == 2


def test_a_note_that_others_can_read_is_not_believed(yardarm, tmp_path):
    note = tmp_path / "yardarm" / "demo.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"url": "http://127.0.0.1:9", "token": "x"}))
    note.chmod(0o644)
    believed = yardarm("status")
    note.chmod(0o600)

    assert "no hub is known" in believed.stderr
    assert "the running demo" in yardarm("status").stderr


def test_a_token_is_shown_once_and_its_entry_fits_the_settings(yardarm):
    made = json.loads(
        yardarm("token", "create", "ann", "--offline", "--role", "operator", "--role", "sre", "--email", "ann@example.com",
                "--expires", "90d", "-o", "json").stdout
    )  # fmt: skip
    again = yardarm("token", "create", "ann", "--offline").stdout

    (token,) = load({"tokens": made["settings"]["tokens"]}).tokens
    assert token.sha256 == hashlib.sha256(made["token"].encode()).hexdigest()
    assert (token.name, token.roles, token.emails) == ("ann", ("operator", "sre"), ("ann@example.com",))
    assert token.known.expires == pytest.approx(time.time() + 90 * 86_400, abs=3600)
    assert made["token"] not in again
    shown, entry = again.split("In the hub's settings:")
    assert hashlib.sha256(shown.split()[-1].encode()).hexdigest() in entry


def test_a_token_that_the_hub_would_not_take_is_not_made(yardarm):
    for wrong in (["admin"], ["ann", "--role", "S R"], ["ann", "--expires", "90"], ["ann", "--email", "ann"]):
        result = yardarm("token", "create", "--offline", *wrong)
        assert (result.returncode, result.stdout) == (2, ""), wrong


def test_the_sample_is_valid(yardarm, fleet):
    result = yardarm("validate", fleet)

    assert result.returncode == 0, result.stdout
    assert "6 clusters, 3 environments, 4 applications: 0 errors, 0 warnings" in result.stdout


def test_validate_names_file_line_and_what_to_do(yardarm, fleet):
    (fleet / "fleet/applications/web.yaml").write_text(
        "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec:\n  namespce: shop\n"
    )
    (fleet / "apps/orders/broken.yaml").write_text("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a, name: b}\n")

    result = yardarm("validate", fleet)
    found = json.loads(yardarm("validate", fleet, "-o", "json").stdout)

    assert result.returncode == 1
    assert "fleet/applications/web.yaml:5" in result.stdout
    assert "namespace" in result.stdout
    assert "apps/orders/broken.yaml:3" in result.stdout
    assert {problem["place"]["file"] for problem in found} >= {"fleet/applications/web.yaml", "apps/orders/broken.yaml"}


def test_validate_sees_what_is_not_committed_and_not_what_git_ignores(yardarm, fleet):
    (fleet / ".gitignore").write_text("scratch/\n")
    (fleet / "scratch").mkdir()
    (fleet / "scratch/bad.yaml").write_text("apiVersion: yardarm.dev/v1alpha1\nkind: Nonsense\n")
    assert yardarm("validate", fleet).returncode == 0

    (fleet / "bad.yaml").write_text("apiVersion: yardarm.dev/v1alpha1\nkind: Nonsense\nmetadata: {name: x}\n")
    assert yardarm("validate", fleet).returncode == 1


def test_validate_reports_a_link_out_of_the_tree(yardarm, fleet):
    (fleet / "apps/web/passwd.yaml").symlink_to("/etc/passwd")

    result = yardarm("validate", fleet)

    assert result.returncode == 1
    assert "apps/web/passwd.yaml" in result.stdout
    assert "root:" not in result.stdout


def test_render_prints_what_a_cluster_gets(yardarm, fleet):
    eu = yardarm("render", fleet, "--cluster", "prod-eu-1", "--app", "web")
    us = yardarm("render", fleet, "--cluster", "dev-us-1", "--app", "web")
    listed = json.loads(yardarm("render", fleet, "--cluster", "prod-eu-1", "-o", "json").stdout)

    assert "greeting: Welcome, from eu" in eu.stdout
    assert "greeting: Hello, from us" in us.stdout
    assert {"CustomResourceDefinition", "Contact", "DaemonSet"} <= {item["kind"] for item in listed["items"]}


def test_render_of_an_application_elsewhere_says_so(yardarm, fleet):
    absent = yardarm("render", fleet, "--cluster", "dev-eu-1", "--app", "logs")
    unknown = yardarm("render", fleet, "--cluster", "mars-1")

    assert absent.returncode == 0
    assert "not placed on dev-eu-1" in absent.stderr
    assert unknown.returncode == 2
    assert "prod-eu-1" in unknown.stderr


def test_a_directory_of_manifests_is_one_application(yardarm, tmp_path):
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "cm.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")

    checked = yardarm("validate", folder)
    rendered = yardarm("render", folder, "--cluster", "anything")

    assert checked.returncode == 0
    assert "one application" in checked.stdout
    assert "kind: ConfigMap" in rendered.stdout


APPLICATION = """
apiVersion: yardarm.dev/v1alpha1
kind: Cluster
metadata: {{name: here}}
---
apiVersion: yardarm.dev/v1alpha1
kind: Application
metadata: {{name: web}}
spec:
  source: {{path: app}}
  placement: {{clusters: [here]}}
  render: {{{render}}}
"""


def test_jsonnet_among_plain_files_is_evaluated_and_patched_like_them(yardarm, tmp_path):
    folder = write(tmp_path / "fleet", {
        "web.yaml": APPLICATION.format(render="plain: {jsonnet: {libs: [lib], tlas: [{name: level, value: high}]}}")
        + "  overrides: [{when: {}, patches: [{target: {kind: ConfigMap}, patch: {data: {patched: x}}}]}]\n",
        "app/a.jsonnet": "function(level) (import 'config.libsonnet')('a', level)",
        "app/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
        "lib/config.libsonnet": "function(n, v) {apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: n}, data: {v: v}}",
    })  # fmt: skip

    rendered = yardarm("render", folder, "--cluster", "here", "-o", "json")

    assert rendered.returncode == 0, rendered.stderr
    found = {item["metadata"]["name"]: item["data"] for item in json.loads(rendered.stdout)["items"]}
    assert found == {"a": {"v": "high", "patched": "x"}, "b": {"patched": "x"}}

    (folder / "lib/config.libsonnet").write_text("function(n, v)\n  error 'not ' + v")
    checked = yardarm("validate", folder)
    assert checked.returncode == 1
    assert "lib/config.libsonnet:2: error: not high" in checked.stdout


@either
def test_a_kustomization_that_is_put_together_by_links_is_rendered(yardarm, tmp_path):
    folder = write(tmp_path / "fleet", {
        "web.yaml": APPLICATION.format(render=""),
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        "app/kustomization.yaml": "namePrefix: p-\nresources: [linked]",
    })  # fmt: skip
    (folder / "app/linked").symlink_to("../base")

    rendered = yardarm("render", folder, "--cluster", "here", YARDARM_RENDER__KUSTOMIZE_BINARY=any_command()[0])
    wrong = yardarm("render", folder, "--cluster", "here", YARDARM_RENDER__KUSTOMIZE_BINARY="/nowhere/kustomize")

    assert rendered.returncode == 0, rendered.stderr
    assert "name: p-a" in rendered.stdout
    assert "there is no /nowhere/kustomize" in wrong.stderr


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def test_schema_is_a_json_schema(yardarm):
    assert json.loads(yardarm("schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_keys_are_for_their_owner_only(yardarm, tmp_path):
    out = tmp_path / "out" / "a.creds"

    assert yardarm("keys", "agent", "dev-eu-1", "--state", tmp_path / "hub", "--out", out).returncode == 0
    assert yardarm("keys", "agent", "Not a name", "--state", tmp_path / "hub").returncode == 2
    assert out.stat().st_mode & 0o077 == 0
    assert "YARDARM HUB KEYS" in out.read_text()
    config = yardarm("keys", "nats", "--state", tmp_path / "hub").stdout
    assert "resolver_preload" in config


def test_agent_is_the_agent(yardarm):
    result = yardarm("agent", "--help")

    assert result.returncode == 0
    assert "yardarm-agent" in result.stdout


@pytest.mark.parametrize("address", ["http://host:99999", "http://[::1", "ftp://host", "host:8080"])
def test_an_address_that_cannot_be_a_hub_is_named(yardarm, address):
    result = yardarm("status", YARDARM_HUB=address)

    assert result.returncode == 1
    assert f"{address!r} is not the address of a hub" in result.stderr
    assert "Traceback" not in result.stderr


def test_output_that_cannot_be_written_is_said_in_one_line(fleet):
    for target, told in (("/dev/full", "No space left"), ("/dev/null", "")):
        with Path(target).open("w") as output:
            result = subprocess.run(
                [sys.executable, "-m", "hub", "schema"],
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                check=False,
            )
        assert result.returncode == (1 if told else 0)
        assert told in result.stderr
        assert "Traceback" not in result.stderr


def test_a_reader_that_leaves_early_is_no_error_to_speak_of(fleet):
    for command in ("version", "schema"):
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        process.stdout.close()
        _, said = process.communicate(timeout=60)
        assert said == b""


def test_links_in_a_circle_are_a_finding(yardarm, fleet):
    (fleet / "apps" / "web" / "a.yaml").symlink_to("b.yaml")
    (fleet / "apps" / "web" / "b.yaml").symlink_to("a.yaml")
    result = yardarm("validate", fleet)

    assert result.returncode == 1
    assert "apps/web/a.yaml: error" in result.stdout


def test_two_applications_with_one_object_are_found_before_the_commit(yardarm, fleet):
    shared = (fleet / "apps" / "web" / "config.yaml").read_text()
    (fleet / "apps" / "orders" / "mine.yaml").write_text(shared)
    result = yardarm("validate", fleet)

    assert result.returncode == 1
    assert "already belongs to application orders (remove the object from one of the two)" in result.stdout


def test_explain_without_a_cluster_lists_all_or_takes_the_only_one(yardarm, fleet, tmp_path):
    listed = yardarm("explain", "web", "--path", str(fleet))
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "fleet.yaml").write_text(
        "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {name: home}\n---\n"
        "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec: {source: {path: .}}\n"
    )
    only = yardarm("explain", "web", "--path", str(alone), "-o", "json")

    assert listed.returncode == 0, listed.stderr
    assert "web goes to 6 of 6 clusters" in listed.stdout
    assert "dev-eu-1" in listed.stdout
    assert "yardarm explain web --cluster" in listed.stdout
    assert json.loads(only.stdout)["cluster"] == "home", only.stderr


def test_explain_of_a_folder_needs_no_hub(yardarm, fleet):
    found = yardarm("explain", "web", "--cluster", "dev-eu-1", "--path", str(fleet), "-o", "json")
    missing = yardarm("explain", "wbe", "--cluster", "dev-eu-1", "--path", str(fleet))

    assert found.returncode == 0, found.stderr
    told = {each["path"]: each for each in json.loads(found.stdout)["values"]}
    assert told["variables.region"]["from"] == "cluster dev-eu-1"
    assert told["variables.region"]["written"].endswith(": spec.variables.region")
    assert missing.returncode == 2
    assert "there is no application 'wbe'; there are" in missing.stderr
