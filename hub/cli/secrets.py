"""`yardarm secret`: encrypts what only clusters may read, with their public keys from the hub. SOPS reads it too."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.output import Output, Table, emit
from hub.cli.read import Format, _client, _now
from hub.cli.trouble import Trouble, usage

app = typer.Typer(help="Secrets in Git that only clusters can read.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(help="Files; the name says the format: yaml, json, env, else any.")]
Clusters = Annotated[list[str], typer.Option("--cluster", help="For this cluster; several by repeating.")]
Environments = Annotated[list[str], typer.Option("--env", help="For its clusters; several by repeating.")]
All = Annotated[bool, typer.Option("--all", help="For all clusters.")]
Recipients = Annotated[
    list[str], typer.Option("--recipient", help="For this public key too (age1…): yours, to go on editing with `sops`.")
]
_NONE: list[str] = []


@app.callback()
def _group() -> None:
    """Secrets in Git that only clusters can read."""


@app.command()
def recipients(
    cluster: Clusters = _NONE,
    env: Environments = _NONE,
    output: Format = Output.TABLE,
) -> None:
    """Lists the public keys of clusters, for `sops --age` and for .sops.yaml; without a choice, of all.

    \b
    yardarm secret recipients
    yardarm secret recipients --env prod -o json | jq -r 'map(.recipient) | join(",")'
    """  # noqa: D301 - \b keeps the lines of an example apart
    found = [
        {"cluster": each["name"], "environment": each["environment"], "recipient": each["ageRecipient"]}
        for each in _chosen(cluster, env, every=not (cluster or env))
    ]

    def draw() -> Iterable[Table]:
        rows = [(each["cluster"], each["environment"], each["recipient"] or "none yet") for each in found]
        yield Table(("CLUSTER", "ENVIRONMENT", "RECIPIENT"), rows, "no clusters")

    emit(found, output, draw)


@app.command()
def encrypt(
    files: Files,
    cluster: Clusters = _NONE,
    env: Environments = _NONE,
    all_: All = False,
    recipient: Recipients = _NONE,
    regex: Annotated[str, typer.Option("--regex", help="Encrypts what is below keys that match it.")] = "",
    in_place: Annotated[bool, typer.Option("--in-place", "-i", help="Writes the files, in place of printing.")] = False,
) -> None:
    """Encrypts files for clusters, as SOPS does: of Secrets the values, of other files all, or what --regex says.

    Comments are not kept. What was in Git unencrypted before stays in its history: change it.

    \b
    yardarm secret encrypt apps/web/secret.yaml --env prod --in-place
    yardarm secret encrypt values.yaml --cluster prod-eu-1 --regex '^(password|token)$' > secrets.enc.yaml
    yardarm secret encrypt db.env --all --recipient age1yours… -i
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli.secretfiles import encrypted

    if regex:
        _expression(regex)
    whom = _whom(cluster, env, every=all_, also=recipient)
    if not whom:
        usage("say whom it is for: --cluster NAME, --env NAME, --all, or --recipient age1…")
    _write({path: encrypted(_read(path), str(path), whom, _now(), regex) for path in files}, in_place=in_place)


@app.command()
def rotate(
    files: Files,
    age_key: Annotated[
        Path, typer.Option("--age-key", envvar="SOPS_AGE_KEY_FILE", help="Your key file, which opens them now.")
    ],
    cluster: Clusters = _NONE,
    env: Environments = _NONE,
    all_: All = False,
    recipient: Recipients = _NONE,
) -> None:
    """Encrypts files anew, in place: with new keys, for the clusters as they are now, or else for whom they were.

    Who was left out can still read what is in Git's history: change what was in it.

    \b
    yardarm secret rotate apps/*/secret.enc.yaml --env prod --recipient age1yours… --age-key ~/.config/sops/age/keys.txt
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli.secretfiles import rotated
    from shared.sops.ages import Identities

    identities = Identities.read(_read(age_key).decode(errors="replace"))
    whom = _whom(cluster, env, every=all_, also=recipient)
    _write({path: rotated(_read(path), str(path), whom, identities, _now()) for path in files}, in_place=True)


def _whom(clusters: Sequence[str], environments: Sequence[str], *, every: bool, also: Sequence[str]) -> list[str]:
    """The public keys that are meant, without repeats."""
    from shared.sops.ages import valid_recipient

    wrong = next((each for each in also if not valid_recipient(each)), None)
    if wrong is not None:
        usage(f"--recipient {wrong!r} is no public key of age (age1…)")
    chosen = _chosen(clusters, environments, every=every) if clusters or environments or every else []
    without = [each["name"] for each in chosen if not each["ageRecipient"]]
    if without:
        raise Trouble(
            f"{', '.join(without)}: no public key is known. A cluster that has joined tells it; start the agent of "
            "another one with --age-key FILE, and wait until it was heard"
        )
    if (clusters or environments or every) and not chosen:
        raise Trouble("no cluster is meant by that: yardarm get clusters lists them")
    return list(dict.fromkeys([*(each["ageRecipient"] for each in chosen), *also]))


def _chosen(clusters: Sequence[str], environments: Sequence[str], *, every: bool) -> list[dict[str, Any]]:
    client = _client()
    if every:
        found: list[dict[str, Any]] = client.items("clusters")
        return found
    for name in environments:
        client.demand(environment=name)
    found = [client.get(f"clusters/{name}") for name in clusters]
    for name in environments:
        found += client.items("clusters", environment=name)
    return list({each["name"]: each for each in found}.values())


def _expression(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        usage(f"--regex {text!r} is no regular expression: {error}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}") from error


def _write(texts: dict[Path, str], *, in_place: bool) -> None:
    """Prints, or replaces the files: all were encrypted before the first is touched."""
    for path, text in texts.items():
        if not in_place:
            sys.stdout.write(text)
            continue
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).chmod(path.stat().st_mode & 0o777)
        Path(draft).replace(path)
        sys.stderr.write(f"encrypted {path}\n")
