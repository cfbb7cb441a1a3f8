"""What deploy/ and compose.yaml speak of exists: commands, options, settings, metrics, files, ports.

Nothing is started here: images cannot be pulled where tests run.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from agent import settings as agent_settings
from hub.metrics import Metrics
from hub.settings import HubSettings
from hub.view import View

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
YAML = [ROOT / "compose.yaml", *sorted((ROOT / "deploy").rglob("*.yaml"))]
DASHBOARDS = sorted((ROOT / "deploy/dashboards").glob("*.json"))
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?")


@cache
def hub_variables() -> set[str]:
    names = set()
    for name, field in HubSettings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        names |= {f"YARDARM_{name}__{sub}".upper() for sub in inner} if inner else {f"YARDARM_{name}".upper()}
    return names | {"OTEL_EXPORTER_OTLP_ENDPOINT"}


@cache
def options(parser: str) -> dict[str, str]:
    """Option to environment variable, as --help tells it."""
    made = getattr(agent_settings, parser)({})
    found = {}
    for action in made._actions:
        variable = re.search(r"\[(YARDARM_\w+)\]", action.help or "")
        if variable:
            found[action.option_strings[-1]] = variable[1]
    return found


@cache
def metric_names() -> set[str]:
    names = set()
    for family in Metrics(View(), "test").registry.collect():
        if family.type == "counter":
            names.add(f"{family.name}_total")
        elif family.type == "histogram":
            names |= {f"{family.name}_bucket", f"{family.name}_sum", f"{family.name}_count"}
        else:
            names.add(family.name)
    return names


def stages() -> dict[str, list[str]]:
    """The Dockerfile's stages by name, each with its instructions, continuations joined."""
    found: dict[str, list[str]] = {}
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    current: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        started = re.fullmatch(r"FROM \S+ AS (\S+)", line)
        current = found.setdefault(started[1], []) if started else current
        current.append(line)
    return found


def mounted(service: str) -> dict[str, str]:
    """Path in the container to what is mounted there."""
    volumes = [volume.split(":") for volume in SERVICES[service].get("volumes", ())]
    return {parts[1]: parts[0] for parts in volumes}


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_is_well_formed(path):
    rules = "{extends: default, rules: {line-length: {max: 130}, document-start: disable}}"
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, str(path)]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_everything_asked_for_is_there():
    assert {
        "nats",
        "hub",
        "agent-dev",
        "agent-stage",
        "agent-prod",
        "otel-collector",
        "jaeger",
        "prometheus",
        "grafana",
    } <= set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_and_nothing_is_reachable_from_elsewhere(service):
    definition = SERVICES[service]

    assert PINNED.fullmatch(definition["image"]), definition["image"]
    assert all(port.startswith("127.0.0.1:") for port in definition.get("ports", ()))
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert not definition.get("privileged", False)


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_needs_is_defined(service):
    definition = SERVICES[service]

    for source in mounted(service).values():
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source
    for needed, how in definition.get("depends_on", {}).items():
        assert needed in SERVICES
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[needed]
    if "build" in definition:
        assert (ROOT / definition["build"]["dockerfile"]).exists()
        assert definition["build"]["target"] in stages()


def test_the_hub_is_given_settings_that_exist():
    environment = SERVICES["hub"]["environment"]

    assert environment.keys() <= hub_variables(), environment.keys() - hub_variables()
    given = {name: value for name, value in environment.items() if "$" not in str(value)}
    assert given["YARDARM_STATE"] in mounted("hub")
    assert any(port.endswith(":8470:8470") for port in SERVICES["hub"]["ports"])
    assert HubSettings.model_fields["port"].default == 8470


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith("agent-")])
def test_agents_are_given_settings_and_clusters_that_exist(service):
    environment = SERVICES[service]["environment"]
    known = set(options("_sandbox_parser").values()) | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    listing = json.loads((ROOT / mounted(service)[environment["YARDARM_CLUSTERS"]]).read_text())
    credentials = (ROOT / "deploy/compose/make-keys.sh").read_text()

    assert SERVICES[service]["command"] == ["sandbox"]
    assert environment.keys() <= known
    assert environment["YARDARM_CREDS_DIR"] in mounted(service)
    assert all(re.search(rf"\b{cluster['name']}\b", credentials) for cluster in listing["clusters"])


def test_scripts_call_commands_and_options_that_exist():
    for script in sorted((ROOT / "deploy/compose").glob("*.sh")):
        text = script.read_text().replace("\\\n", " ")
        calls = re.findall(r"^\s*(?:yardarm|python -m hub) ((?!\"\$@\")[a-z].*)$", text, flags=re.MULTILINE)
        assert calls, script
        for call in calls:
            words = shlex.split(call)
            commands = words[: 2 if words[0] == "keys" else 1]
            result = subprocess.run(
                [sys.executable, "-m", "hub", *commands, "--help"],
                capture_output=True,
                text=True,
                cwd=ROOT,
                check=False,
            )
            assert result.returncode == 0, call
            for option in (word for word in words if word.startswith("--")):
                assert option in result.stdout, f"{script.name}: {call}"


def test_the_dockerfile_copies_what_exists_and_runs_nobody_as_root():
    for name in ("hub", "agent", "fleet"):
        instructions = stages()[name]
        users = [line.split()[1] for line in instructions if line.startswith("USER ")]
        assert users[-1] == "10001:10001"
        assert any(line.startswith("ENTRYPOINT") for line in instructions)
    for line in DOCKERFILE.splitlines():
        copied = re.match(r"COPY (?!--from)(?:--\S+ )*(\S+) ", line)
        if copied:
            assert (ROOT / copied[1]).exists(), line
            assert any(
                copied[1] == kept or copied[1].startswith(f"{kept}/")
                for kept in (ROOT / ".dockerignore").read_text().replace("!", "").splitlines()
            ), f"{copied[1]} is kept out by .dockerignore"
    assert PINNED.fullmatch(re.search(r"^ARG PYTHON=(\S+)", DOCKERFILE, flags=re.MULTILINE)[1])
    assert "--require-hashes" in DOCKERFILE


def test_the_agent_image_has_nothing_of_the_hub():
    text = " ".join(stages()["agent"] + stages()["agent-packages"])

    assert "hub" not in text


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_dashboards_show_metrics_that_exist(path):
    dashboard = json.loads(path.read_text())
    sources = {
        source["uid"]
        for source in yaml.safe_load((ROOT / "deploy/grafana/datasources.yaml").read_text())["datasources"]
    }

    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] in sources
        for target in panel["targets"]:
            used = set(re.findall(r"\byardarm_\w+", target["expr"]))
            assert used
            assert used <= metric_names(), used - metric_names()


def test_addresses_name_services():
    config = (
        ROOT / "deploy/otel-collector.yaml",
        ROOT / "deploy/prometheus.yaml",
        ROOT / "deploy/grafana/datasources.yaml",
    )
    for path in config:
        hosts = re.findall(r"(?:https?://|\b)([a-z][a-z-]+):\d{4,5}\b", path.read_text())
        assert set(hosts) <= set(SERVICES), path


def test_grafana_finds_its_dashboards():
    provider = yaml.safe_load((ROOT / "deploy/grafana/dashboards.yaml").read_text())["providers"][0]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert mounted("grafana")[provider["options"]["path"]] == "./deploy/dashboards"
    assert Path(home).name in {path.name for path in DASHBOARDS}
