"""From pods and events to a cause: which pods and events are asked for, and what is made of odd ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.health.causes import MAX_TEXT, cause, event_selector, joined, selector
from agent.domain.health.events import FRESH, when
from agent.domain.health.images import explained

NOW = 1_767_268_800.0


def workload(kind="Deployment", api_version="apps/v1", **spec):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "api", "uid": "w-1"}, "spec": spec}


def pod(name, **status):
    owner = {"kind": "ReplicaSet", "name": "api-1", "uid": "r-1", "controller": True}
    return {
        "kind": "Pod", "metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": [owner]},
        "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "example.com/api:1"}]}, "status": status,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (workload(selector={"matchLabels": {"app": "api", "tier": "web"}}), "app=api,tier=web"),
        (
            workload(
                selector={
                    "matchExpressions": [
                        {"key": "app", "operator": "In", "values": ["a", "b"]},
                        {"key": "old", "operator": "DoesNotExist"},
                        {"key": "tier", "operator": "NotIn", "values": ["db"]},
                        {"key": "team", "operator": "Exists"},
                    ]
                }
            ),
            "app in (a,b),!old,tier notin (db),team",
        ),
        (workload("ReplicationController", "v1", selector={"app": "old"}), "app=old"),
        (workload("Job", "batch/v1"), ""),
        (workload("ConfigMap", "v1", selector={"matchLabels": {"app": "api"}}), ""),
        (workload("PodDisruptionBudget", "policy/v1", selector={"matchLabels": {"app": "api"}}), ""),
    ],
)
def test_pods_are_asked_for_by_the_selector_of_what_makes_pods(about, expected):
    assert selector(about) == expected


def test_events_are_asked_for_by_kind_of_trouble():
    assert event_selector(workload()) == "type!=Normal"
    assert event_selector(workload("PersistentVolumeClaim", "v1")) == "involvedObject.uid=w-1"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"lastTimestamp": "2026-01-01T12:00:00Z"}, NOW),
        ({"lastTimestamp": None, "eventTime": "2026-01-01T12:00:00.500000Z"}, NOW + 0.5),
        (
            {"eventTime": "2026-01-01T11:00:00.000000Z", "series": {"lastObservedTime": "2026-01-01T12:00:00.000000Z"}},
            NOW,
        ),
        ({"metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"}}, NOW),
        ({"lastTimestamp": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_an_event_is_as_old_as_its_newest_time(event, expected):
    assert when(event) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ('failed to resolve reference "r.example.com/a:1": r.example.com/a:1: not found', "no such image or tag"),
        ('Back-off pulling image "r.example.com/not-found:1"', ""),
        ("toomanyrequests: You have reached your pull rate limit", "limits how often"),
        ("dial tcp: lookup r.example.com on 10.0.0.1:53: no such host", "host name is not known"),
        ("pull access denied, repository does not exist or may require authorization", "the registry refuses"),
        ("unexpected status from HEAD request to https://r.example.com/v2/: 401 Unauthorized", "the registry refuses"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "not trusted by the node"),
        ("dial tcp 10.0.0.5:443: i/o timeout", "cannot reach the registry"),
        ("no match for platform in manifest: not found", "no image for the node's platform"),
        ('couldn\'t parse image name "A b": invalid reference format', "not a valid image name"),
        ("write /var/lib/containerd: no space left on device", "disk is full"),
        ('Container image "a:1" is not present with pull policy of Never', "imagePullPolicy is Never"),
        ("something else", ""),
    ],
)
def test_a_runtimes_paragraph_becomes_a_clause(told, expected):
    said = explained(told)

    assert expected in said
    assert bool(said) == bool(expected)


def test_pods_with_the_same_trouble_are_counted_not_listed():
    waiting = {"name": "app", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    pods = [
        pod(f"api-1-{number}", phase="Running", containerStatuses=[
            waiting | {"restartCount": number, "lastState": {"terminated": {"exitCode": 1}}}
        ])
        for number in range(1, 9)
    ]  # fmt: skip

    said = cause(workload(), pods, [], NOW)

    assert said.startswith("CrashLoopBackOff: container app (example.com/api:1): exited with code 1, 1 restarts")
    assert said.endswith("(on 8 of 8 pods)")


def test_an_event_of_an_earlier_object_of_the_same_name_is_not_believed():
    involved = {"kind": "Deployment", "name": "api", "uid": "earlier"}
    event = {"type": "Warning", "reason": "FailedCreate", "message": "quota", "involvedObject": involved,
             "lastTimestamp": "2026-01-01T11:59:00Z"}  # fmt: skip

    assert cause(workload(), [], [event], NOW) == ""
    assert cause(workload(), [], [event | {"involvedObject": involved | {"uid": "w-1"}}], NOW) != ""
    late = NOW + FRESH
    assert cause(workload(), [], [event | {"involvedObject": involved | {"uid": "w-1"}}], late) == ""


@given(st.text(min_size=200, max_size=600), st.integers(1, 5))
def test_a_cause_fits_into_a_report(words, count):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    pods = [pod(f"api-1-{number}", phase="Pending", conditions=[condition]) for number in range(count)]

    said = cause(workload(), pods, [], NOW)

    assert 0 < len(said) <= MAX_TEXT
    assert count == 1 or said.endswith(f"(on {count} of {count} pods)")


@pytest.mark.parametrize(
    ("reason", "why", "expected"),
    [
        ("0 of 1 replicas", "no node", "0 of 1 replicas: no node"),
        ("0 of 1 replicas", "", "0 of 1 replicas"),
        ("FailedCreate: quota", "quota", "FailedCreate: quota"),
        ("quota", "FailedCreate: quota", "FailedCreate: quota"),
    ],
)
def test_nothing_is_said_twice(reason, why, expected):
    assert joined(reason, why) == expected
