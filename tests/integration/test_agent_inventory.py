"""Thousands of objects in one unit, and kubectl reading what holds them together."""

import asyncio
import os
import shutil

import orjson
import pytest

from agent.domain import applyset
from tests.integration.test_agent_deletions import configmap, configmaps, place  # noqa: F401 - a fixture

KUBECTL = shutil.which("kubectl") or ""
MANY = 3000


async def test_three_thousand_objects_come_stay_over_a_restart_and_go(place):  # noqa: F811
    objects = configmaps(MANY)
    given = await place.assign(objects, as_packs=True)
    report = await place.hub.healthy(given, seconds=120)
    assert report.counts == {"Healthy": MANY}
    assert len(report.objects) <= 500

    await place.stop()
    before = await versions(place)
    await place.start()
    cut = await place.assign(objects[:1000], as_packs=True)
    waits = (await place.hub.report(cut, lambda r: r.awaiting, seconds=60)).awaiting
    assert (waits.count, len(waits.objects)) == (2000, 100)
    assert await versions(place) == before

    confirmed = await place.confirm(cut, waits.token)
    await place.hub.healthy(confirmed, seconds=120)
    assert len(await place.names()) == 1000


async def versions(place):  # noqa: F811
    resource = await place.kube.resource("v1", "ConfigMap")
    found, _ = await place.kube.list(resource, namespace=place.space)
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in found}


@pytest.fixture
def kubectl(place, tmp_path):  # noqa: F811
    if not KUBECTL:
        pytest.skip("kubectl is not installed")

    async def run(*args, given=b""):
        env = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": place.server.kubeconfig, "KUBECTL_APPLYSET": "true",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            KUBECTL, *args, env=env,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(given)
        return process.returncode, out.decode(), err.decode()

    return run


async def test_kubectl_reads_the_members_of_a_unit(place, kubectl):  # noqa: F811
    await place.hub.healthy(await place.assign(configmaps(3)))

    code, out, err = await kubectl(
        "get",
        "configmaps",
        "-n",
        place.space,
        "-l",
        f"{applyset.PART_OF}={applyset.set_id(place.parent())}",
        "-o",
        "name",
    )

    assert code == 0, err
    assert out.split() == ["configmap/c0", "configmap/c1", "configmap/c2"]


async def test_kubectl_respects_the_parent_and_prunes_by_it_when_it_is_handed_over(place, kubectl):  # noqa: F811
    """kubectl has objects and parent in one namespace only, so here they are."""
    home = place.settings.inventory_namespace
    parent = place.parent(home)
    await place.hub.healthy(await place.assign(configmaps(3), namespace=home))
    await place.stop()
    manifest = orjson.dumps(configmap("c0", "2", namespace=home))
    apply = (
        "apply", "-f", "-", "--prune", f"--applyset=configmaps/{parent.name}", "-n", home, "--server-side",
        "--force-conflicts",
    )  # fmt: skip

    code, _, err = await kubectl(*apply, given=manifest)
    assert code != 0
    assert 'managed by tooling "yardarm"' in err

    version = orjson.loads((await kubectl("version", "--client", "-o", "json"))[1])["clientVersion"]["gitVersion"]
    tooling = f"applyset.kubernetes.io/tooling=kubectl/{version}"
    code, _, err = await kubectl("annotate", "configmap", parent.name, "-n", home, tooling, "--overwrite")
    assert code == 0, err
    code, out, err = await kubectl(*apply, given=manifest)
    assert code == 0, err
    assert "configmap/c1 pruned" in out
    assert (await place.live("c0", home))["data"] == {"value": "2"}
    assert await place.live("c1", home) is None
    await place.start()
