"""`yardarm login` and `logout`: in the name of a person, by the login provider of a hub, in place of a token."""

from __future__ import annotations

import base64
import hashlib
import secrets
import urllib.parse
import webbrowser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.client import Client
from hub.cli.loggedin import claims_of, keep
from hub.cli.loopback import Loopback
from hub.cli.output import show
from hub.cli.provider import Provider, Refused
from hub.cli.settings import Target, login_file, target
from hub.cli.trouble import Trouble, usage
from shared.tasks import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def login(
    url: Annotated[
        str, typer.Argument(metavar="[HUB]", help="The hub's address; left out: YARDARM_HUB, or where you were.")
    ] = "",
    device: Annotated[
        bool, typer.Option("--device", help="Shows a code for a browser elsewhere: for machines without one.")
    ] = False,
) -> None:
    """Logs in at a hub by its login provider. Other commands then find the hub and you by themselves.

    \b
    yardarm login https://yardarm.example.com
    yardarm login --device
    """  # noqa: D301 - \b keeps the lines of an example apart
    hub = (url or _known()).rstrip("/")
    if not hub:
        usage("which hub? yardarm login https://yardarm.example.com")
    ways = Client(Target(hub, "", "the command line")).get("login")
    if not ways["issuer"]:
        raise Trouble(f"the hub at {hub} has no login provider: set YARDARM_TOKEN to a token of it")
    if not ways["clientId"]:
        raise Trouble("this hub lets no command line log in (its login.cli_client_id is not set): set YARDARM_TOKEN")
    provider, scopes = Provider(ways["issuer"]), " ".join([*ways["scopes"], "offline_access"])
    told = _by_code(provider, ways["clientId"], scopes) if device else _by_browser(provider, ways["clientId"], scopes)
    me = Client(Target(hub, str(told.get("id_token", "")), "`yardarm login`")).get("self")
    keep(login_file(), hub, provider.issuer, ways["clientId"], told)
    show([f"logged in at {hub} as {me['name']}"])


def logout() -> None:
    """Forgets the login of this machine."""
    path = login_file()
    there = path.exists()
    path.unlink(missing_ok=True)
    show(["logged out" if there else "nobody was logged in here"])


def _known() -> str:
    """The hub that is meant when none is named. What was kept may have ended: that is why somebody logs in."""
    try:
        return target().url
    except Trouble:
        import json

        return str(json.loads(login_file().read_text(encoding="utf-8"))["url"])


def _by_browser(provider: Provider, client: str, scopes: str) -> dict[str, Any]:
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    with Loopback() as back:
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": back.url,
            "scope": scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        there = f"{provider.endpoint('authorization_endpoint')}?{urllib.parse.urlencode(query)}"
        show(["Log in in the browser that opens, or in one of this machine at:", "", f"  {there}", ""])
        webbrowser.open(there)
        code = back.wait(state)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back.url, "client_id": client}
        told = provider.token({**form, "code_verifier": verifier})
    if claims_of(str(told.get("id_token", ""))).get("nonce") != nonce:
        raise Trouble("the login provider answers another login than this one: try again")
    return told


def _by_code(provider: Provider, client: str, scopes: str) -> dict[str, Any]:
    given = provider.device({"client_id": client, "scope": scopes})
    show([f"Open {given['verification_uri']} in any browser, and enter the code {given['user_code']}"])
    return _poll(provider, client, given, Clock())


def _poll(provider: Provider, client: str, given: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Asks until somebody has entered the code, as slowly as the provider wants (RFC 8628)."""
    import time

    pause, ends = float(given.get("interval", 5)), clock.monotonic() + float(given.get("expires_in", 600))
    while clock.monotonic() < ends:
        try:
            return provider.token({"grant_type": DEVICE, "device_code": given["device_code"], "client_id": client})
        except Refused as refused:
            if refused.error not in {"authorization_pending", "slow_down"}:
                raise
            pause += 5 if refused.error == "slow_down" else 0
        time.sleep(pause)
    raise Trouble("nobody entered the code in time: try again")
