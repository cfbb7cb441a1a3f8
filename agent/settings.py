"""Every knob of the agent: command line first, then `YARDARM_…` environment variables, then defaults.

The only place of the agent that reads the environment. argparse, because the agent carries no command-line library.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from shared import __version__
from shared.errors import YardarmError
from shared.model import is_token

_IN_CLUSTER_STATE = Path("/var/lib/yardarm")

_EPILOG = """\
Every option has an environment variable, shown with it: --namespace-scope is YARDARM_NAMESPACE_SCOPE.
The command line wins.

examples:
  yardarm-agent --cluster prod-eu-1 --nats tls://hub.example.com:4222 --creds prod-eu-1.creds
      in a cluster, with the pod's own service account
  yardarm-agent --cluster test --nats nats://localhost --creds test.creds --kubeconfig ~/.kube/config --context kind
      from outside, with a context of a kubeconfig
  yardarm-agent rbac --namespace-scope shop,shop-db | kubectl apply -f -
      the rights an agent needs that is limited to two namespaces
  yardarm-agent sandbox --clusters clusters.json --nats nats://localhost --creds-dir creds --kubeconfig-out kubeconfig
      clusters in memory with an agent each, for trying things out

exit codes: 0 ended as asked, 1 cannot work (the message says why), 2 wrong usage
"""


class UsageError(YardarmError):
    """An option is missing or makes no sense."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one agent runs. Times are in seconds."""

    cluster: str
    """Name of the cluster: the one the credentials were made for."""
    nats: str
    """URL of the hub's NATS; several separated by commas."""
    creds: Path | None
    """The file from `yardarm keys agent CLUSTER`: NATS user and hub keys."""
    kubeconfig: Path | None = None
    """A kubeconfig file; None: the pod's service account. Loading one costs 15 MB of memory."""
    age_key: Path | None = None
    """A key file of age, which opens what is encrypted for this cluster; None: nothing can be."""
    context: str = ""
    """Context in the kubeconfig; empty: its current one."""
    state: Path | None = None
    """Directory for assignments and bundles; None keeps nothing over a restart."""
    heartbeat: float = 10.0
    """Between signs of life. The hub calls a cluster Stale after three without one."""
    resync: float = 300.0
    """Between comparisons with the hub's list, against notices that were lost; jittered by a fifth."""
    report_interval: float = 1.0
    """Least time between two reports of one unit; the first change goes out at once."""
    inventory_namespace: str = "yardarm-system"
    """Where the ApplySet parents live; created when missing."""
    namespace_scope: tuple[str, ...] = ()
    """Namespaces the agent is limited to, to match its RBAC; empty: the whole cluster."""
    concurrency: int = 12
    """Requests in flight per unit while applying; more than 16 brings no more speed from an API server."""
    lease: float = 15.0
    """Seconds without renewal after which another agent may act for the cluster."""
    log_level: str = "info"
    log_style: str = "json"
    """`json` lines, or `text` for people."""
    otlp_endpoint: str = ""
    """Where spans go (OTEL_EXPORTER_OTLP_ENDPOINT); empty: nowhere."""


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How `yardarm-agent sandbox` runs: clusters in memory, an agent for each, in one process."""

    clusters: Path
    """JSON: `{"clusters": [{"name": …, "labels": {}, "kubernetes": "1.33", "nodes": 3}]}`."""
    nats: str
    creds_dir: Path
    """Holds `<cluster>.creds` for each, and `<cluster>.agekey` for those that open secrets."""
    port: int = 0
    """Where the sandbox's API servers listen on loopback; 0 takes a free one."""
    kubeconfig_out: Path | None = None
    """Written once the API servers are up; its contexts are the cluster names."""
    state: Path | None = None
    heartbeat: float = 10.0
    log_level: str = "info"
    log_style: str = "json"
    otlp_endpoint: str = ""


class RbacSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `yardarm-agent rbac` prints rights for."""

    account: tuple[str, str]
    """(namespace, name) of the agent's service account."""
    user: str = ""
    """A user instead, for an agent with a kubeconfig."""
    namespace_scope: tuple[str, ...] = ()
    inventory_namespace: str = "yardarm-system"
    act_as: tuple[tuple[str, str], ...] = ()
    """Service accounts (namespace, name) that projects are applied as."""
    log_level: str = "info"
    log_style: str = "text"
    otlp_endpoint: str = ""


Settings = AgentSettings | SandboxSettings | RbacSettings


def parse(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Exits with 2 and a usage line when options are wrong, with 0 for --help.

    Raises:
        UsageError: an option has no value and no default, or one that cannot be.
    """
    env = os.environ if environ is None else environ
    command = argv[0] if argv and argv[0] in ("sandbox", "rbac") else ""
    if command == "rbac":
        return _rbac(_rbac_parser(env).parse_args(list(argv[1:])))
    sandbox = command == "sandbox"
    parser = _sandbox_parser(env) if sandbox else _agent_parser(env)
    given = parser.parse_args(list(argv[1:] if sandbox else argv))
    if given.heartbeat <= 0:
        raise UsageError(f"--heartbeat must be more than 0 seconds, not {given.heartbeat:g}")
    return _sandbox(given, env) if sandbox else _agent(given, env)


def _agent(given: argparse.Namespace, env: Mapping[str, str]) -> AgentSettings:
    if given.lease < 1:
        raise UsageError(f"--lease must be at least 1 second, not {given.lease:g}")
    for option in ("cluster", "nats"):
        if not getattr(given, option):
            raise UsageError(f"--{option} (or YARDARM_{option.upper()}) is missing; see yardarm-agent --help")
    if not is_token(given.cluster):
        raise UsageError(f"--cluster {given.cluster!r}: only a-z, 0-9 and '-' are allowed, at most 63 characters")
    in_cluster = "KUBERNETES_SERVICE_HOST" in env
    if given.kubeconfig is None and not in_cluster:
        raise UsageError("not in a cluster (KUBERNETES_SERVICE_HOST is not set): give --kubeconfig FILE")
    if given.context and given.kubeconfig is None:
        raise UsageError("--context names a context of a kubeconfig: give --kubeconfig FILE too")
    scope, inventory = _scope(given)
    state = given.state or (_IN_CLUSTER_STATE if in_cluster else _home_state(env) / given.cluster)
    return AgentSettings(
        cluster=given.cluster,
        nats=given.nats,
        creds=given.creds,
        age_key=given.age_key,
        kubeconfig=given.kubeconfig,
        context=given.context,
        state=state,
        heartbeat=given.heartbeat,
        lease=given.lease,
        inventory_namespace=inventory,
        namespace_scope=scope,
        log_level=given.log_level,
        log_style=given.log_style,
        otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    )


def _scope(given: argparse.Namespace) -> tuple[tuple[str, ...], str]:
    """The namespaces, and which of them holds the inventories."""
    scope = tuple(part.strip() for part in given.namespace_scope.split(",") if part.strip())
    if (given.scope == "namespace" and not scope) or (given.scope == "cluster" and scope):
        raise UsageError(f"--scope {given.scope} and --namespace-scope {given.namespace_scope!r} contradict each other")
    inventory = given.inventory_namespace or (scope[0] if scope else "yardarm-system")
    if scope and inventory not in scope:
        raise UsageError(
            f"--inventory-namespace {inventory} is not among --namespace-scope {','.join(scope)}: the agent keeps its "
            "inventories where it may write"
        )
    return scope, inventory


def _rbac(given: argparse.Namespace) -> RbacSettings:
    scope, inventory = _scope(given)
    accounts = [_account("act-as", part.strip()) for part in given.act_as.split(",") if part.strip()]
    return RbacSettings(
        account=_account("account", given.account or f"{inventory}/yardarm-agent"),
        user=given.user,
        namespace_scope=scope,
        inventory_namespace=inventory,
        act_as=tuple(accounts),
    )


def _account(option: str, text: str) -> tuple[str, str]:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name):
        raise UsageError(f"--{option} {text!r}: a service account is given as NAMESPACE/NAME")
    return namespace, name


def _sandbox(given: argparse.Namespace, env: Mapping[str, str]) -> SandboxSettings:
    for option in ("clusters", "nats", "creds_dir"):
        if not getattr(given, option):
            name = option.replace("_", "-")
            raise UsageError(f"--{name} (or YARDARM_{option.upper()}) is missing; see yardarm-agent sandbox --help")
    return SandboxSettings(
        clusters=given.clusters,
        nats=given.nats,
        creds_dir=given.creds_dir,
        port=given.port,
        kubeconfig_out=given.kubeconfig_out,
        state=given.state,
        heartbeat=given.heartbeat,
        log_level=given.log_level,
        log_style=given.log_style,
        otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    )


class _Options:
    """Adds options whose defaults come from the environment, and says so in their help."""

    def __init__(self, parser: argparse.ArgumentParser, env: Mapping[str, str]) -> None:
        self._parser = parser
        self._env = env

    def add(self, name: str, text: str, *, default: str | None = None, kind: type = str, metavar: str = "") -> None:
        variable = "YARDARM_" + name.upper().replace("-", "_")
        shown = f" (default: {default})" if default else ""
        # A string default goes through `type`, so that a wrong environment variable is a usage error too.
        self._parser.add_argument(
            f"--{name}",
            type=kind,
            default=self._env.get(variable) or default,
            metavar=metavar or None,
            help=f"{text}{shown} [{variable}]",
        )


def _common(options: _Options) -> None:
    options.add("nats", "URL of the hub's NATS; several separated by commas", metavar="URL")
    options.add("state", "directory that keeps desired state over restarts", kind=Path, metavar="DIR")
    options.add("heartbeat", "seconds between signs of life", default="10", kind=float, metavar="SECONDS")
    options.add("log-level", "debug, info, warning or error", default="info", metavar="LEVEL")
    style = "text" if sys.stderr.isatty() else "json"
    options.add("log-style", "json (lines for machines) or text", default=style, metavar="STYLE")


def _agent_parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="yardarm-agent",
        description="Keeps one Kubernetes cluster as the Yardarm hub says, and reports how it is doing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"yardarm-agent {__version__}")
    options = _Options(parser, env)
    options.add("cluster", "name of this cluster", metavar="NAME")
    options.add("creds", "credentials from `yardarm keys agent CLUSTER`", kind=Path, metavar="FILE")
    options.add("age-key", "key file of age, for secrets encrypted with SOPS", kind=Path, metavar="FILE")
    options.add("kubeconfig", "kubeconfig file; without it, the pod's service account", kind=Path, metavar="FILE")
    options.add("context", "context in the kubeconfig; without it, the current one", default="", metavar="NAME")
    wait = "seconds without a sign of the acting agent until another may act"
    options.add("lease", wait, default="15", kind=float, metavar="SECONDS")
    _scoping(options)
    _common(options)
    return parser


def _scoping(options: _Options) -> None:
    options.add("scope", "cluster, or namespace: as --namespace-scope implies", default="", metavar="SCOPE")
    options.add("namespace-scope", "only these namespaces, separated by commas", default="", metavar="A,B")
    where = "namespace of the inventories (default: the first of --namespace-scope, else yardarm-system)"
    options.add("inventory-namespace", where, default="", metavar="NAME")


def _rbac_parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="yardarm-agent rbac",
        description="Prints what the agent must be allowed to do on its cluster, for kubectl apply -f -.",
    )
    options = _Options(parser, env)
    options.add("account", "the agent's service account", default="", metavar="NAMESPACE/NAME")
    options.add("user", "a user instead of a service account", default="", metavar="NAME")
    options.add(
        "act-as", "service accounts of projects: everything is written as one of these", default="", metavar="N/A"
    )
    _scoping(options)
    return parser


def _sandbox_parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="yardarm-agent sandbox", description="Hosts Kubernetes clusters in memory, with an agent for each."
    )
    options = _Options(parser, env)
    options.add("clusters", "JSON file that lists the clusters", kind=Path, metavar="FILE")
    options.add("creds-dir", "directory with <cluster>.creds (and .agekey) for each", kind=Path, metavar="DIR")
    options.add("port", "port on loopback; 0 takes a free one", default="0", kind=int, metavar="PORT")
    options.add("kubeconfig-out", "where to write a kubeconfig for all clusters", kind=Path, metavar="FILE")
    _common(options)
    return parser


def _home_state(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "yardarm"
