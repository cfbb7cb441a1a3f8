"""What a change does to the fleet, from the command line over a real repository: diff, plan, and what they cost."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.cli.worktree import Worktree
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from tests.fakes.chartservers import ChartRepository, packed
from tests.fakes.gitrepo import GitRepo
from tests.fakes.httpserver import listening
from tests.fakes.livehub import application, configmap

ROOT = Path(__file__).parents[2]
CLUSTERS = "".join(
    f"---\napiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {env}-{number}, labels: {{env: {env}}}}}\n"
    for env in ("dev", "prod")
    for number in (1, 2)
)
ENVIRONMENTS = "".join(
    "---\napiVersion: yardarm.dev/v1alpha1\nkind: Environment\n"
    f"metadata: {{name: {env}}}\nspec: {{order: {order}, where: [{{labels: {{env: {env}}}}}], variables: {{tier: {env}}}}}\n"
    for order, env in enumerate(("dev", "prod"), 1)
)
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: %s}\n"


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "fleet")
    repo.write("fleet/clusters.yaml", CLUSTERS + ENVIRONMENTS)
    for name in ("web", "api"):
        repo.write(f"fleet/{name}.yaml", application(name))
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    repo.commit("start")
    return repo


@pytest.fixture
def yardarm(tmp_path, repo):
    def run(*args):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "hub", *args]
        return subprocess.run(command, env=env, capture_output=True, text=True, cwd=repo.path, check=False)

    return run


def test_nothing_changed_is_0_and_said(yardarm):
    done = yardarm("diff", ".")

    assert done.returncode == 0, done.stderr
    assert "nothing changes on any of 4 clusters" in done.stdout


def test_equal_changes_are_shown_once_and_a_secret_without_its_value(yardarm, repo):
    repo.write("apps/web/secret.yaml", SECRET % "hunter2")
    first = repo.commit("web: a secret")
    repo.write("apps/web/secret.yaml", SECRET % "tr0ub4dor")
    repo.write("apps/web/cm.yaml", configmap("web", "${tier}"))
    repo.commit("web: by tier")

    text = yardarm("diff", ".", "--from", first, "--to", "HEAD")
    preview = json.loads(yardarm("diff", ".", "--from", first, "--to", "HEAD", "-o", "json").stdout)
    markdown = yardarm("diff", ".", "--from", first, "--to", "HEAD", "-o", "markdown").stdout

    assert text.returncode == 1
    (web,) = preview["applications"]
    changed = {(each["object"]["kind"], tuple(each["clusters"])): each["fields"] for each in web["objects"]}
    assert changed["ConfigMap", ("dev-1", "dev-2")] == [{"path": "/data/value", "before": "1", "after": "dev"}]
    assert changed["ConfigMap", ("prod-1", "prod-2")] == [{"path": "/data/value", "before": "1", "after": "prod"}]
    assert ("Secret", ("dev-1", "dev-2", "prod-1", "prod-2")) in changed
    for shown in (text.stdout, json.dumps(preview), markdown):
        assert "ConfigMap" in shown
        for value in ("hunter2", "tr0ub4dor"):
            assert value not in shown
    assert "the same on 2 clusters: dev-1, dev-2" in text.stdout
    assert "1 application" in markdown


def test_what_is_new_and_wrong_is_3_and_named_with_its_place(yardarm, repo):
    repo.write("apps/web/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: 1, a: 2}\n")

    done = yardarm("diff", ".")

    assert done.returncode == 3
    assert "apps/web/cm.yaml:4" in done.stdout
    assert "what is there stays" in done.stdout


def test_api_versions_that_clusters_do_not_serve_are_3_and_told_by_cluster(yardarm, repo):
    old = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: web}\n"
    repo.write("apps/web/old.yaml", old)

    unknown = yardarm("diff", ".")
    known = yardarm("diff", ".", "--kubernetes", "1.24", "--kubernetes", "prod=1.31")
    plan = yardarm("plan", ".", "--kubernetes", "1.24", "--kubernetes", "prod=1.31")
    wrong = yardarm("diff", ".", "--kubernetes", "latest")
    hub = yardarm("diff", "--hub", "--to", "main", "--kubernetes", "1.31")

    assert unknown.returncode == 1, unknown.stderr
    assert "version not known of 4 clusters: dev-1, dev-2, prod-1, prod-2" in unknown.stdout
    said = "not served by 2 clusters at 1.31: prod-1, prod-2; deprecated on 2 clusters at 1.24: dev-1, dev-2"
    for done in (known, plan):
        assert done.returncode == 3, done.stderr
        assert said in done.stdout
    assert (wrong.returncode, hub.returncode) == (2, 2)
    assert "clusters have said what they run" in hub.stderr


def test_what_leaves_and_what_would_wait_for_a_person(yardarm, repo):
    repo.remove("fleet/api.yaml")
    repo.remove("fleet/web.yaml")
    repo.commit("nothing left")

    preview = json.loads(yardarm("diff", ".", "--from", "HEAD~1", "--to", "HEAD", "-o", "json").stdout)

    assert {(each["name"], each["action"]) for each in preview["applications"]} == {
        ("web", "removed"),
        ("api", "removed"),
    }
    assert any("applications" in held["reason"] for held in preview["held"])


def test_only_what_differs_is_rendered(yardarm, repo):
    # It cannot be rendered on either side, so that a render of it would be seen.
    repo.write("apps/api/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: api}\ndata: {a: 1, a: 2}\n")
    repo.commit("api: broken")
    repo.write("apps/web/cm.yaml", configmap("web", "2"))

    done = yardarm("diff", ".")

    assert done.returncode == 1
    assert "api" not in done.stdout


def test_the_waves_of_a_strategy(yardarm, repo):
    strategy = "  rollout: {stages: [{name: canary, environments: [dev], soak: 5m}, {name: all-of-prod, environments: [prod], maxConcurrent: 1}]}\n"
    repo.write("fleet/web.yaml", application("web", strategy))
    repo.commit("web: in waves")
    repo.write("apps/web/cm.yaml", configmap("web", "2"))

    shown = yardarm("plan", ".")
    plan = json.loads(yardarm("plan", ".", "-o", "json").stdout)
    comment = yardarm("plan", ".", "-o", "markdown").stdout

    assert shown.returncode == 1, shown.stderr
    (web,) = plan["applications"]
    assert [(each["name"], each["clusters"], each["atOnce"]) for each in web["waves"]] == [
        ("canary", ["dev-1", "dev-2"], 2),
        ("all-of-prod", ["prod-1", "prod-2"], 1),
    ]
    assert web["waves"][1]["before"] == ["canary is healthy for 300 s"]
    assert "canary is healthy for 300 s" in shown.stdout
    assert "| all-of-prod | 2: prod-1, prod-2 | 1 | canary is healthy for 300 s |" in comment
    assert comment == yardarm("diff", ".", "-o", "markdown").stdout


def test_a_commit_that_is_not_there_is_2_and_said(yardarm):
    done = yardarm("diff", ".", "--from", "nowhere")

    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_a_folder_has_the_ids_that_git_gives_it(repo):
    for path in ("a/x", "a.b", "a-b/x", "run.sh", "deep/er/file.yaml"):
        repo.write(path, path)
    (repo.path / "run.sh").chmod(0o755)
    (repo.path / "empty").mkdir()
    repo.symlink("link", "a/x")
    sha = repo.commit("all kinds")
    folder, tree = Worktree(repo.path), GitTree(Objects(repo.path / ".git"), sha)

    for path in ("a", "a.b", "a-b", "run.sh", "deep", "deep/er/file.yaml", "fleet", "empty", "nowhere"):
        assert folder.id(path) == tree.id(path), path
    before = folder.id("")
    repo.write("a/x", "other")
    assert Worktree(repo.path).id("") != before


def test_validate_knows_what_clusters_of_a_version_serve(yardarm, repo):
    old = "apiVersion: autoscaling/v2beta2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n"
    wrong = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {prots: [{port: 80}]}\n"
    repo.write("apps/web/scaler.yaml", old)
    repo.write("apps/api/service.yaml", wrong)

    unknown = yardarm("validate", ".")
    mixed = yardarm("validate", ".", "--kubernetes", "1.25", "--kubernetes", "prod=1.33")
    nonsense = yardarm("validate", ".", "--kubernetes", "stage=1.33")

    assert unknown.returncode == 0
    assert "apps/web/scaler.yaml:1: warning" in unknown.stdout
    assert mixed.returncode == 1
    assert "Kubernetes 1.33 does not serve autoscaling/v2beta2" in mixed.stdout
    assert "is deprecated, and gone in Kubernetes 1.26" in mixed.stdout
    assert "apps/api/service.yaml:1: error" in mixed.stdout
    assert "prots" in mixed.stdout
    assert nonsense.returncode == 2
    assert "no environment and no cluster 'stage'" in nonsense.stderr


def test_applications_that_a_set_makes_are_compared_like_others(yardarm, repo):
    repo.write(
        "fleet/set.yaml",
        "apiVersion: yardarm.dev/v1alpha1\nkind: ApplicationSet\nmetadata: {name: more}\n"
        "spec:\n  forEach: [{directories: {path: more/*}}]\n  template:\n"
        "    metadata: {name: '${item.name}'}\n    spec: {source: {path: '${item.path}'}}\n",
    )
    repo.write("more/one/cm.yaml", configmap("one"))
    repo.commit("a set")
    repo.write("more/two/cm.yaml", configmap("two"))

    on_disk = yardarm("diff", ".", "-o", "json")
    repo.commit("two")
    committed = yardarm("diff", ".", "--from", "HEAD~1", "--to", "HEAD", "-o", "json")

    for done in (on_disk, committed):
        assert done.returncode == 1, done.stderr
        assert [each["name"] for each in json.loads(done.stdout)["applications"]] == ["two"]
    assert yardarm("validate", ".").returncode == 0
    assert "name: two" in yardarm("render", ".", "--cluster", "prod-1", "--app", "two").stdout


def test_what_a_set_cannot_make_any_more_is_an_error_and_no_removal(yardarm, repo):
    repo.write(
        "fleet/set.yaml",
        "apiVersion: yardarm.dev/v1alpha1\nkind: ApplicationSet\nmetadata: {name: more}\n"
        "spec:\n  forEach: [{files: {path: more/*/app.yaml}}]\n  template:\n"
        "    metadata: {name: '${item.name}'}\n    spec: {source: {path: 'apps/web'}, namespace: '${item.namespace}'}\n",
    )
    repo.write("more/one/app.yaml", "namespace: one")
    repo.commit("a set")
    repo.write("more/one/app.yaml", "namespace: [")

    done = yardarm("diff", ".", "-o", "json")

    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert "applications" not in told or told["applications"] == []
    assert "more/one/app.yaml" in done.stdout


async def test_private_charts_are_read_with_what_the_environment_says(repo, tmp_path):
    served = ChartRepository(username="bot", password="s3cret")
    served.put("web", "1.0.0", packed("web", "1.0.0", **{"templates/a.yaml": configmap("web")}))
    async with listening(served.app()) as origin:
        host = origin.removeprefix("http://")
        source = f"source: {{repo: '{origin}/charts', chart: web, version: ^1}}"
        repo.write("fleet/web.yaml", application("web").replace("source: {path: apps/web}", source))

        async def validate(**more):
            env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **more}
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hub", "validate", ".", cwd=repo.path, env=env, stdout=subprocess.PIPE
            )
            said, _ = await process.communicate()
            return process.returncode, said.decode()

        allowed = {"YARDARM_EGRESS__ALLOW": '["127.0.0.1"]'}
        access = json.dumps({host: {"username": "bot", "token": "s3cret", "plain_http": True}})
        refused, said = await validate(**allowed)
        assert (refused, "charts.access" in said) == (1, True), said
        fine, said = await validate(**allowed, YARDARM_CHARTS__ACCESS=access)
        assert fine == 0, said


def test_what_a_project_or_a_policy_refuses_is_found_before_the_merge(yardarm, repo):
    rule = "{name: labelled, require: 'has(object.metadata.labels)', message: label it, when: {environments: [prod]}}"
    head = "apiVersion: yardarm.dev/v1alpha1\n"
    repo.write(
        "fleet/tenancy.yaml",
        f"{head}kind: Project\nmetadata: {{name: shop}}\nspec: {{namespaces: [web], quota: {{units: 3}}}}\n---\n"
        f"{head}kind: Policy\nmetadata: {{name: common}}\nspec: {{objects: [{rule}]}}\n",
    )
    repo.write("fleet/web.yaml", application("web", "  project: shop\n"))
    repo.write("apps/web/cm.yaml", configmap("web", "2").replace("name: web", "name: web, namespace: other"))

    checked, shown = yardarm("validate", "."), yardarm("diff", ".")
    printed = yardarm("render", ".", "--cluster", "prod-1", "--app", "web")

    assert checked.returncode == 1
    assert "apps/web/cm.yaml:1: error: ConfigMap other/web: project shop may have the namespaces web" in checked.stdout
    assert "ConfigMap api/api breaks rule labelled of policy common: label it" in checked.stdout
    assert "project shop has 4 units, its quota is 3" in checked.stdout
    assert shown.returncode == 3, shown.stderr
    assert "ConfigMap other/web: project shop" in shown.stdout
    assert "label it" in shown.stdout
    assert (printed.returncode, printed.stdout) == (1, "")
    assert yardarm("render", ".", "--cluster", "dev-1", "--app", "api").returncode == 0
