"""`yardarm hold`, `release` and `sync`: keeps an application where it is, lets it go on, has it looked at now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hub.cli.asking import Reason, Yes, agreed, because
from hub.cli.output import Output, emit
from hub.cli.read import Format, _client
from hub.cli.rollouts import Application

Cluster = Annotated[str, typer.Option("--cluster", help="Only on this cluster.")]
Env = Annotated[str, typer.Option("--env", help="Only in this environment.")]


def hold(
    application: Application,
    cluster: Cluster = "",
    env: Env = "",
    reason: Reason = "",
    yes: Yes = False,
    output: Format = Output.TABLE,
) -> None:
    """Keeps an application where it is: nothing new goes to its clusters until somebody releases it.

    Drift is corrected as before, and a rollback goes through.

    \b
    yardarm hold web --reason "sales weekend"
    yardarm hold web --env prod --reason "sales weekend"
    """  # noqa: D301 - \b keeps the lines of an example apart
    client = _client()
    path, body = f"applications/{application}/hold", {"cluster": cluster, "environment": env}
    would = client.post(path, body | {"dryRun": True})
    agreed(would["effect"], yes, output)
    done = client.post(path, body | {"reason": because(reason, needed=True)})
    emit(done, output, lambda: [done["effect"]])


def release(
    application: Application,
    cluster: Cluster = "",
    env: Env = "",
    reason: Reason = "",
    yes: Yes = False,
    output: Format = Output.TABLE,
) -> None:
    """Lets go of a hold: on a cluster, in an environment, or (with neither) the one on the whole application.

    With neither, a revision that was rolled back or aborted may start again too.

    \b
    yardarm release web
    yardarm release web --env prod
    """  # noqa: D301 - \b keeps the lines of an example apart
    client = _client()
    body: dict[str, Any] = {"reason": reason, "cluster": cluster, "environment": env}
    steps = [("applications", body)]
    if not cluster and not env:
        found = client.get(f"applications/{application}")
        whole = any(not each["cluster"] and not each["environment"] for each in found["holds"])
        newest = client.items("rollouts", 1, application=application)
        rejected = bool(newest) and newest[0]["rejected"]
        steps = [("applications", body)] if whole or not rejected else []
        steps += [("rollouts", {"reason": reason})] if rejected else []
    would = [client.post(f"{kind}/{application}/release", asked | {"dryRun": True}) for kind, asked in steps]
    agreed("; ".join(each["effect"] for each in would), yes, output)
    done = [client.post(f"{kind}/{application}/release", asked) for kind, asked in steps]
    emit({"items": done}, output, lambda: [each["effect"] for each in done])


def sync(application: Application, reason: Reason = "", output: Format = Output.TABLE) -> None:
    """Looks at an application and its repositories now, without waiting for the next poll.

    \b
    yardarm sync web
    """  # noqa: D301 - \b keeps the lines of an example apart
    done = _client().post(f"applications/{application}/sync", {"reason": reason})
    emit(done, output, lambda: [done["effect"]])
