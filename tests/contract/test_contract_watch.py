"""Watches: what they start with, what they report, bookmarks, selectors, and the end of history."""

from __future__ import annotations

import asyncio

from tests.contract.client import Client, config_map


async def test_a_watch_from_a_list_misses_nothing(api: Client) -> None:
    (await api.create("configmaps", config_map("before"))).ok()
    listed = (await api.get(api.path("configmaps"))).ok()
    (await api.create("configmaps", config_map("between"))).ok()
    watching = await api.watch(api.path("configmaps"), resourceVersion=listed["metadata"]["resourceVersion"])
    made = (await api.create("configmaps", config_map("cm", a="1"))).ok()
    changed = (await api.patch("configmaps", "cm", {"data": {"a": "2"}})).ok()
    (await api.delete("configmaps", "cm")).ok()
    assert [(await watching.next())[1]["metadata"]["name"]] == ["between"]
    assert await watching.next() == ("ADDED", made)
    assert await watching.next() == ("MODIFIED", changed)
    kind, last = await watching.next()
    assert (kind, last["data"]) == ("DELETED", {"a": "2"})
    assert int(last["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


async def test_a_watch_without_version_starts_with_what_is_there(api: Client) -> None:
    (await api.create("configmaps", config_map("cm"))).ok()
    for query in ({}, {"resourceVersion": "0"}):
        watching = await api.watch(api.path("configmaps"), **query)
        kind, _ = await watching.until(lambda _, obj: obj["metadata"]["name"] == "cm")
        assert kind == "ADDED"


async def test_a_write_that_changes_nothing_is_no_event(api: Client) -> None:
    (await api.apply("configmaps", config_map("cm", a="1"))).ok()
    listed = (await api.get(api.path("configmaps"))).ok()
    watching = await api.watch(api.path("configmaps"), resourceVersion=listed["metadata"]["resourceVersion"])
    (await api.apply("configmaps", config_map("cm", a="1"))).ok()
    (await api.patch("configmaps", "cm", {"data": {"a": "1"}})).ok()
    last = (await api.apply("configmaps", config_map("cm", a="2"))).ok()
    assert await watching.next() == ("MODIFIED", last)


async def test_selectors_turn_changes_into_additions_and_deletions(api: Client) -> None:
    labelled = config_map("cm")
    labelled["metadata"]["labels"] = {"team": "a"}
    other = config_map("other")
    other["metadata"]["labels"] = {"team": "b"}
    watching = await api.watch(api.path("configmaps"), labelSelector="team=a", resourceVersion="0")
    (await api.create("configmaps", other)).ok()
    (await api.create("configmaps", labelled)).ok()
    assert (await watching.next())[0] == "ADDED"
    (await api.patch("configmaps", "cm", {"metadata": {"labels": {"team": "b"}}})).ok()
    kind, obj = await watching.next()
    assert (kind, obj["metadata"]["name"]) == ("DELETED", "cm")
    (await api.patch("configmaps", "other", {"metadata": {"labels": {"team": "a"}}})).ok()
    kind, obj = await watching.next()
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "other")


async def test_one_object_can_be_watched_by_name(api: Client) -> None:
    watching = await api.watch(api.path("configmaps"), fieldSelector="metadata.name=cm", resourceVersion="0")
    (await api.create("configmaps", config_map("other"))).ok()
    (await api.create("configmaps", config_map("cm"))).ok()
    kind, obj = await watching.next()
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "cm")


async def test_timeout_ends_a_watch(api: Client) -> None:
    listed = (await api.get(api.path("configmaps"))).ok()
    watching = await api.watch(
        api.path("configmaps"), resourceVersion=listed["metadata"]["resourceVersion"], timeoutSeconds="1",
        fieldSelector="metadata.name=nobody",
    )  # fmt: skip
    assert await watching.next() == ("END", None)


async def test_bookmarks_before_the_timeout(api: Client) -> None:
    listed = (await api.get(api.path("configmaps"))).ok()
    (await api.create("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})).ok()
    watching = await api.watch(
        api.path("configmaps"), resourceVersion=listed["metadata"]["resourceVersion"], timeoutSeconds="4",
        allowWatchBookmarks="true", fieldSelector="metadata.name=nobody",
    )  # fmt: skip
    kind, obj = await watching.next()
    assert kind == "BOOKMARK"
    assert (obj["kind"], obj["apiVersion"]) == ("ConfigMap", "v1")
    assert int(obj["metadata"]["resourceVersion"]) >= int(listed["metadata"]["resourceVersion"])


async def test_initial_events_end_with_a_bookmark(api: Client) -> None:
    (await api.create("configmaps", config_map("cm"))).ok()
    watching = await api.watch(
        api.path("configmaps"), sendInitialEvents="true", resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true", fieldSelector="metadata.name=cm",
    )  # fmt: skip
    kind, obj = await watching.next()
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "cm")
    kind, obj = await watching.next()
    assert (kind, obj["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})


async def test_what_is_past_the_history_is_gone(api: Client) -> None:
    """Only the sandbox forgets fast enough to see it here; a real server answers the same after minutes."""
    if api.server.kind != "sandbox":
        return
    for index in range(450):
        (await api.apply("configmaps", config_map("cm", a=str(index)))).ok()
    watching = await api.watch(api.path("configmaps"), resourceVersion="3")
    kind, status = await watching.next()
    assert kind == "ERROR"
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 3 (")
    assert await watching.next() == ("END", None)


async def test_a_version_from_the_future(api: Client) -> None:
    answer = await api.get(api.path("configmaps"), resourceVersion="100000000")
    assert answer.refused(504, "Timeout").startswith("Timeout: Too large resource version: 100000000, current: ")
    assert answer.headers["Retry-After"] == "1"


async def test_many_watchers_see_the_same(api: Client) -> None:
    watches = [
        await api.watch(api.path("configmaps"), fieldSelector="metadata.name=cm", resourceVersion="0") for _ in range(5)
    ]
    (await api.create("configmaps", config_map("cm"))).ok()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watching.next()) for watching in watches]
    assert {task.result()[0] for task in tasks} == {"ADDED"}


async def test_writes_while_a_watch_opens_are_seen(api: Client) -> None:
    for index in range(10):
        listed = (await api.get(api.path("configmaps"))).ok()
        name = f"cm-{index}"
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(
                api.watch(api.path("configmaps"), resourceVersion=listed["metadata"]["resourceVersion"])
            )
            group.create_task(api.create("configmaps", config_map(name)))
        _, obj = await opening.result().until(lambda _, o, name=name: o["metadata"]["name"] == name)
        assert obj["metadata"]["name"] == name
