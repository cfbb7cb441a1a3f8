"""Options of the agent: command line over environment over default, and errors that say what to do."""

from pathlib import Path

import pytest

from agent.settings import AgentSettings, SandboxSettings, UsageError, parse

BASE = ["--cluster", "c1", "--nats", "nats://x", "--creds", "c1.creds"]
IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def test_in_a_cluster_nothing_else_is_needed():
    settings = parse(BASE, IN_CLUSTER)

    assert isinstance(settings, AgentSettings)
    assert (settings.kubeconfig, settings.heartbeat, settings.state) == (None, 10.0, Path("/var/lib/yardarm"))


def test_the_environment_does_as_well():
    env = {
        "YARDARM_CLUSTER": "c1",
        "YARDARM_NATS": "nats://x",
        "YARDARM_HEARTBEAT": "2",
        "YARDARM_NAMESPACE_SCOPE": "a, b",
    }

    settings = parse([], env | IN_CLUSTER)

    assert (settings.cluster, settings.heartbeat, settings.namespace_scope) == ("c1", 2.0, ("a", "b"))


def test_inventories_are_kept_where_the_agent_may_write():
    assert parse(BASE, IN_CLUSTER).inventory_namespace == "yardarm-system"
    assert parse([*BASE, "--namespace-scope", "a,b"], IN_CLUSTER).inventory_namespace == "a"
    assert (
        parse([*BASE, "--namespace-scope", "a,b", "--inventory-namespace", "b"], IN_CLUSTER).inventory_namespace == "b"
    )


def test_the_command_line_wins():
    assert parse([*BASE, "--heartbeat", "3"], IN_CLUSTER | {"YARDARM_HEARTBEAT": "2"}).heartbeat == 3.0


def test_outside_a_cluster_state_is_kept_per_cluster(tmp_path):
    settings = parse([*BASE, "--kubeconfig", "k"], {"XDG_STATE_HOME": str(tmp_path)})

    assert settings.state == tmp_path / "yardarm" / "c1"


@pytest.mark.parametrize(
    ("argv", "env", "says"),
    [
        ([], IN_CLUSTER, "--cluster (or YARDARM_CLUSTER) is missing"),
        (["--cluster", "c1"], IN_CLUSTER, "--nats (or YARDARM_NATS) is missing"),
        (["--cluster", "C.1", "--nats", "x"], IN_CLUSTER, "only a-z"),
        (BASE, {}, "give --kubeconfig FILE"),
        ([*BASE, "--context", "kind"], IN_CLUSTER, "give --kubeconfig FILE too"),
        ([*BASE, "--heartbeat", "0"], IN_CLUSTER, "more than 0"),
        ([*BASE, "--lease", "0"], IN_CLUSTER, "at least 1 second"),
        ([*BASE, "--scope", "namespace"], IN_CLUSTER, "contradict"),
        ([*BASE, "--scope", "cluster", "--namespace-scope", "a"], IN_CLUSTER, "contradict"),
        ([*BASE, "--namespace-scope", "a,b", "--inventory-namespace", "c"], IN_CLUSTER, "c is not among"),
        (["rbac", "--act-as", "deployer"], {}, "NAMESPACE/NAME"),
        (["sandbox", "--nats", "x"], {}, "--clusters (or YARDARM_CLUSTERS) is missing"),
    ],
)
def test_what_is_wrong_is_named(argv, env, says):
    with pytest.raises(UsageError, match=says.replace("(", r"\(").replace(")", r"\)")):
        parse(argv, env)


@pytest.mark.parametrize("argv", [["--heartbeat", "soon"], ["--frobnicate"]])
def test_unreadable_options_end_with_two(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([*BASE, *argv], IN_CLUSTER)

    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["sandbox", "--help"]])
def test_help_names_every_variable(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(argv, {})

    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "YARDARM_NATS" in text
    assert "YARDARM_STATE" in text


def test_sandbox():
    settings = parse(["sandbox", "--clusters", "f.json", "--nats", "n", "--creds-dir", "d", "--port", "8001"], {})

    assert isinstance(settings, SandboxSettings)
    assert (settings.clusters, settings.creds_dir, settings.port) == (Path("f.json"), Path("d"), 8001)
