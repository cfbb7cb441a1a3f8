"""What the demo says to a person: where things are, and what to try next. Text only."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from hub.demo.progress import Snapshot


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is. `sample` says that the repository was made by the demo; `kubeconfig` may be another's."""

    url: str
    token: str
    repo: str
    sample: bool
    kubeconfig: Path
    nats: str
    log: Path


def welcome(places: Places) -> list[str]:
    """Addresses, said as soon as the API answers."""
    made = " (made for you)" if places.sample else ""
    return [
        f"repository   {places.repo}{made}",
        f"console      {places.url}/#token={places.token}",
        f"API          {places.url}/api/v1/summary   (documentation at {places.url}/docs)",
        f"token        {places.token}",
        f"kubeconfig   {places.kubeconfig}",
        f"logs         {places.log}",
        "",
    ]


def next_steps(places: Places, snapshot: Snapshot) -> list[str]:
    """What to try, said when the fleet stands for the first time; every line can be pasted."""
    lines = ["", "Try next, in another terminal:"]
    repo = shlex.quote(places.repo)
    if places.sample:
        lines += [
            "  # a commit that every cluster follows",
            f"  sed -i.bak 's/replicas: 2/replicas: 4/' {repo}/apps/web/deployment.yaml && rm {repo}/apps/web/*.bak",
            f"  git -C {repo} commit -am 'web: four replicas'",
        ]
    workload = _workload(snapshot)
    kubeconfig = shlex.quote(str(places.kubeconfig))
    if workload is not None:
        cluster, namespace, name = workload
        lines += [
            "  # something nobody committed: it is named as drift, and comes back",
            f"  kubectl --kubeconfig {kubeconfig} --context {cluster} -n {namespace} delete deploy/{name}",
        ]
    application = "web" if places.sample else _first_application(snapshot)
    lines += ["  # who did what, where it is, and where the time went", "  yardarm drift", "  yardarm status --watch"]
    if application:
        lines += [f"  yardarm trace {application}"]
    lines += [
        "  # your own repository",
        "  yardarm demo --repo https://github.com/you/your-manifests --path deploy",
        "",
        "Ctrl-C ends the demo.",
        "",
    ]
    return lines


def _workload(snapshot: Snapshot) -> tuple[str, str, str] | None:
    """A Deployment to delete: the sample's web, on the first cluster that has it."""
    for cluster in snapshot.clusters:
        for unit in snapshot.units:
            if unit["cluster"] == cluster["name"] and unit["application"] == "web" and unit["state"] == "Ready":
                return (unit["cluster"], unit["namespace"], "web")
    return None


def _first_application(snapshot: Snapshot) -> str:
    return min((application["name"] for application in snapshot.applications), default="")
