"""Commands that read from a hub: status, get, explain, drift."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli import matrix, progress
from hub.cli.output import Output, Table, age, emit, object_name, short, value
from hub.cli.trouble import FOUND_TROUBLE, usage

App = Annotated[str | None, typer.Option("--app", help="Only this application.")]
Cluster = Annotated[str | None, typer.Option("--cluster", help="Only this cluster.")]
Env = Annotated[str | None, typer.Option("--env", help="Only this environment.")]
State = Annotated[str | None, typer.Option("--state", help="Only units in this state, such as Failed.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow changes until Ctrl-C.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="table for people, json or yaml for programs.")]

MOST_TROUBLE = 20
"""Units in trouble that `status` lists; `get units` has them all."""

get = typer.Typer(
    help="Lists what the hub knows: clusters, environments, repositories, apps, units, rollouts, events, problems.",
    no_args_is_help=True,
)


def status(
    app: App = None, cluster: Cluster = None, env: Env = None, watch: Watch = False, output: Format = Output.TABLE
) -> None:
    """Shows the whole fleet at once, or one application, cluster or environment unit by unit.

    Ends with 1 if something is Failed, Blocked, Drifted or Stale.

    \b
    yardarm status
    yardarm status --app web --env prod
    yardarm status --watch
    yardarm status -o json | jq .summary.units
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli.watch import follow

    client = _client()
    chosen = {"application": app, "cluster": cluster, "environment": env}

    if watch and output is not Output.TABLE:
        usage("--watch draws for people; for programs leave it out and ask again, or read /api/v1/stream")

    def ask() -> dict[str, Any]:
        about = {"application": app, "environment": env}
        rolling = client.items("rollouts", **about, active="true")
        newest = about | {"latest": "true"}
        ended = [each for phase in progress.REJECTED for each in client.items("rollouts", **newest, phase=phase)]
        return {
            "summary": client.get("summary"),
            "units": client.items("units", **chosen),
            "rollouts": rolling,
            "rejected": [each for each in ended if each["rejected"]],
        }

    def draw(found: dict[str, Any]) -> Iterable[Table | str]:
        yield matrix.headline(found["summary"])
        yield from progress.summary(found["rollouts"], _now())
        yield from progress.rejected(found["rejected"], _now())
        yield ""
        if any(chosen.values()):
            yield matrix.units_table(found["units"], _now())
            return
        clusters = matrix.order_clusters(client.items("clusters"), client.items("environments"))
        yield matrix.matrix(found["units"], clusters)
        yield from _trouble(found["units"])

    if watch:
        follow(client, lambda: draw(ask()))
        return
    found = ask()
    if not found["units"]:
        client.demand(**chosen)
    emit(found, output, lambda: draw(found))
    if matrix.in_trouble(found["units"]):
        raise typer.Exit(FOUND_TROUBLE)


def _trouble(units: list[dict[str, Any]]) -> Iterable[Table | str]:
    found = matrix.in_trouble(units)
    if not found:
        return
    yield ""
    yield matrix.units_table(found[:MOST_TROUBLE], _now())
    if len(found) > MOST_TROUBLE:
        yield f"and {len(found) - MOST_TROUBLE} more: yardarm get units --state {found[0]['state']}"


@get.command()
def clusters(output: Format = Output.TABLE) -> None:
    """Lists clusters: their environment, labels, when they were last heard, and their units by state."""
    items = _client().items("clusters")

    def draw() -> Iterable[Table]:
        now = _now()
        yield Table(
            ("CLUSTER", "ENVIRONMENT", "LABELS", "HEARD", "AGENT", "UNITS"),
            [
                (
                    item["name"],
                    item.get("environment") or "",
                    _labels(item.get("labels")),
                    _heard(item, now),
                    item.get("agent") or "",
                    matrix.by_state(item.get("units") or {}),
                )
                for item in items
            ],
            "no clusters",
        )

    emit(items, output, draw)


@get.command()
def environments(output: Format = Output.TABLE) -> None:
    """Lists environments in the order of promotion."""
    items = _client().items("environments")
    emit(
        items,
        output,
        lambda: [
            Table(
                ("ENVIRONMENT", "ORDER", "CLUSTERS", "UNITS"),
                [
                    (
                        item["name"],
                        str(item.get("order", "")),
                        str(item.get("clusters", "")),
                        matrix.by_state(item.get("units") or {}),
                    )
                    for item in items
                ],
                "no environments",
            )
        ],
    )


@get.command()
def repositories(output: Format = Output.TABLE) -> None:
    """Lists the repositories that everything comes from, and since when one cannot be read."""
    items = _client().items("repositories")

    def draw() -> Iterable[Table]:
        now = _now()
        yield Table(
            ("REPOSITORY", "MOVED", "STATE", "ERROR"),
            [
                (
                    item["name"],
                    age(now - item["moved"]) if item.get("moved") else "",
                    _reach(item, now),
                    item.get("error") or "",
                )
                for item in items
            ],
            "no repositories",
        )

    emit(items, output, draw)


def _reach(repository: dict[str, Any], now: float) -> str:
    """Whether what is shown of it may be out of date."""
    if not repository.get("error"):
        return "up to date" if repository.get("available") else "not fetched yet"
    since = f"for {age(now - repository['since'])}" if repository.get("since") else ""
    return f"unreachable {since}".strip() + ("" if repository.get("available") else ", never fetched")


@get.command()
def apps(output: Format = Output.TABLE) -> None:
    """Lists applications: where they come from, their commit, where they are, how they are, and their rollout."""
    client = _client()
    items = client.items("applications")
    rolling = {each["application"]: each for each in client.items("rollouts", active="true")}
    emit(
        items,
        output,
        lambda: [
            Table(
                ("APPLICATION", "NAMESPACE", "SOURCE", "COMMIT", "UNITS", "ROLLOUT", "PROBLEMS"),
                [
                    (
                        item["name"],
                        item.get("namespace") or "",
                        _source(item.get("source") or {}),
                        short((item.get("commit") or {}).get("sha")),
                        matrix.by_state(item.get("units") or {}),
                        progress.brief(rolling.get(item["name"]), item.get("holds") or ()),
                        str(len(item.get("problems") or ()) or ""),
                    )
                    for item in items
                ],
                "no applications",
            )
        ],
    )


@get.command()
def units(
    app: App = None,
    cluster: Cluster = None,
    env: Env = None,
    state: State = None,
    limit: Limit = None,
    output: Format = Output.TABLE,
) -> None:
    """Lists units: one application on one cluster each.

    \b
    yardarm get units --state Failed
    yardarm get units --cluster prod-eu-1 -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    client = _client()
    items = client.items("units", limit, application=app, cluster=cluster, environment=env, state=state)
    if not items:
        client.demand(app, cluster, env)
    emit(items, output, lambda: [matrix.units_table(items, _now())])


@get.command()
def events(app: App = None, cluster: Cluster = None, limit: Limit = 50, output: Format = Output.TABLE) -> None:
    """Lists what happened, newest last."""
    client = _client()
    items = client.items("events", limit, application=app, cluster=cluster)
    if not items:
        client.demand(app, cluster)
    items.sort(key=lambda item: item["at"])

    def draw() -> Iterable[Table]:
        now = _now()
        yield Table(
            ("AGE", "SEVERITY", "TYPE", "CLUSTER", "APPLICATION", "BY", "MESSAGE"),
            [
                (
                    age(now - item["at"]),
                    item["severity"],
                    item["type"],
                    item.get("cluster") or "",
                    item.get("application") or "",
                    item.get("actor") or "",
                    item["message"],
                )
                for item in items
            ],
            "no events",
        )

    emit(items, output, draw)


@get.command()
def problems(app: App = None, output: Format = Output.TABLE) -> None:
    """Lists what is wrong in fleet documents, sources and manifests, with file and line. Ends with 1 for errors."""
    items = _client().items("problems", application=app)
    emit(items, output, lambda: [problem_lines(items)])
    if any(item["severity"] == "error" for item in items):
        raise typer.Exit(FOUND_TROUBLE)


def problem_lines(items: list[dict[str, Any]]) -> Table:
    """Findings as a table: where, what, and what to do."""
    return Table(
        ("SEVERITY", "APPLICATION", "WHERE", "PROBLEM"),
        [
            (
                item["severity"],
                item.get("application") or "",
                _place(item.get("place")),
                item["message"] + (f" ({item['hint']})" if item.get("hint") else ""),
            )
            for item in items
        ],
        "no problems",
    )


def drift(
    app: App = None, cluster: Cluster = None, env: Env = None, watch: Watch = False, output: Format = Output.TABLE
) -> None:
    """Shows what differs from Git in the clusters: object, field, want and have, who changed it and when.

    Ends with 1 while some of it stands; what was corrected lately is shown too.

    Below the table: what to put under `sync.ignore` of an application to accept what stands or is fought over.

    \b
    yardarm drift
    yardarm drift --watch
    yardarm drift --cluster prod-eu-1 -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli.watch import follow

    client = _client()

    if watch and output is not Output.TABLE:
        usage("--watch draws for people; for programs leave it out and ask again, or read /api/v1/stream")

    def ask() -> Any:
        return client.items("drift", application=app, cluster=cluster, environment=env)

    if watch:
        follow(client, lambda: [_drift_table(ask(), _now())])
        return
    items = ask()
    if not items:
        client.demand(app, cluster, env)
    emit(items, output, lambda: [_drift_table(items, _now()), *_suggestions(items)])
    if any(item.get("corrected") is None for item in items):
        raise typer.Exit(FOUND_TROUBLE)


def _drift_table(items: list[dict[str, Any]], now: float) -> Table:
    rows: list[Sequence[str]] = []
    for item in items:
        head = (item["cluster"], item["application"], object_name(item["object"]))
        outcome = _outcome(item, now)
        fields = item.get("fields") or []
        if not fields:
            rows.append((*head, "deleted" if item.get("deleted") else "", "", age(now - item["since"]), outcome))
        for field in fields:
            change = f"{field['path']}: {value(field['have'])}, want {value(field['want'])}"
            rows.append((*head, change, field.get("manager") or "", age(now - item["since"]), outcome))
            head, outcome = ("", "", ""), ""
    return Table(("CLUSTER", "APPLICATION", "OBJECT", "DIFFERENCE", "BY", "SINCE", "OUTCOME"), rows, "no drift")


def _suggestions(items: list[dict[str, Any]]) -> list[str]:
    """YAML to paste, for each application that has drift nobody has put right."""
    rules: dict[str, list[str]] = {}
    for item in items:
        if item.get("suggestion") and (item.get("corrected") is None or item.get("fight")):
            line = _flow(item["suggestion"])
            known = rules.setdefault(item["application"], [])
            if line not in known:
                known.append(line)
    return [
        "\n".join((f"to accept it in {application}:", "sync:", "  ignore:", *(f"    - {line}" for line in lines)))
        for application, lines in sorted(rules.items())
    ]


def _flow(rule: dict[str, Any]) -> str:
    """One rule as YAML on one line; JSON strings are YAML strings."""
    return json.dumps(rule, ensure_ascii=False)


def _outcome(item: dict[str, Any], now: float) -> str:
    if item.get("fight") and not item.get("corrected"):
        return f"{item['fight']}: {item['attempts']} corrections"
    if item.get("corrected"):
        return f"corrected {age(now - item['corrected'])} ago"
    return "being corrected" if item.get("mode") == "correct" else "only reported"


def explain(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    cluster: Annotated[
        str, typer.Option("--cluster", help="The cluster to explain it for; without, all are listed, selected or not.")
    ] = "",
    path: Annotated[
        Path | None, typer.Option("--path", metavar="PATH", help="Ask a fleet repository on disk, and no hub.")
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Says why an application is on a cluster or not, where each of its values comes from, and how it stands there.

    In a fleet of one cluster, that is the one.

    \b
    yardarm explain logs                                # which clusters, and why
    yardarm explain logs --cluster dev-eu-1
    yardarm explain logs --cluster dev-eu-1 --path .    # without a hub, as written on disk
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli import explaining

    if path is not None:
        written = explaining.written(path, application, cluster)
        emit(written, output, lambda: explaining.told(written, [], _now()))
        return
    client = _client()
    if not cluster:
        overview = client.get(f"applications/{application}/explain")
        cluster = explaining.only_cluster(overview)
        if not cluster:
            emit(overview, output, lambda: explaining.told(overview, [], _now()))
            return
    found = client.get(f"applications/{application}/explain", cluster=cluster)
    units = client.items("units", application=application, cluster=cluster)
    details = [client.get(f"units/{cluster}/{each['namespace']}/{application}") for each in units]
    units = [unit | {"blockers": detail["blockers"]} for unit, detail in zip(units, details, strict=True)]
    emit(found | {"units": units}, output, lambda: explaining.told(found, units, _now()))


def _client() -> Any:
    from hub.cli.client import Client
    from hub.cli.settings import target

    return Client(target())


def _now() -> float:
    from shared.tasks import Clock

    return Clock().now()


def _labels(labels: dict[str, str] | None) -> str:
    return ",".join(f"{name}={content}" for name, content in sorted((labels or {}).items()))


def _heard(item: dict[str, Any], now: float) -> str:
    heard = item.get("heard")
    text = f"{age(now - heard)} ago" if heard else "never"
    return f"{text} (stale)" if item.get("stale") else text


def _source(source: dict[str, Any]) -> str:
    path = source.get("path") or ""
    ref = f"@{source['ref']}" if source.get("ref") else ""
    return f"{source.get('repo', '')}{ref}{f' {path}' if path not in ('', '.') else ''}"


def _place(place: dict[str, Any] | None) -> str:
    if not place:
        return ""
    line = f":{place['line']}" if place.get("line") else ""
    field = f" {place['field']}" if place.get("field") else ""
    return f"{place['file']}{line}{field}"
