"""Hooks: which moment, how they stand, once per revision, and what is deleted when."""

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain import applyset, hooks
from agent.domain.desired import prepare
from agent.domain.hooks import Hook, Moment, Run, Stand
from agent.domain.plan import Known, plan
from shared.messages import Policy
from shared.model import UnitKey

UNIT = UnitKey("c1", "web", "shop")
SET = applyset.set_id(applyset.parent_ref(UNIT))
ARGO, HELM = "argocd.argoproj.io/hook", "helm.sh/hook"
POLICY = "argocd.argoproj.io/hook-delete-policy"
RUN = Run("digest", 7)


def job(name="migrate", **annotations):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": annotations}, "spec": {}}


def hook_of(manifest, moment=Moment.BEFORE):
    (each,), _ = prepare([manifest], UNIT, SET, lambda _: True)
    return Hook(moment, each)


def live_of(hook, run=RUN, *, ended="", **metadata):
    made = hooks.to_send(hook, run).manifest
    status = {"conditions": [{"type": ended, "status": "True", "reason": "Why", "message": "how"}]} if ended else {}
    return {**made, "metadata": {**made["metadata"], "uid": "u", **metadata}, "status": status}


@pytest.mark.parametrize(
    ("key", "text", "first", "later"),
    [
        (ARGO, "PreSync", [Moment.BEFORE], [Moment.BEFORE]),
        (ARGO, "Sync", [Moment.DURING], [Moment.DURING]),
        (ARGO, "PreSync, PostSync", [Moment.BEFORE, Moment.AFTER], [Moment.BEFORE, Moment.AFTER]),
        (ARGO, "SyncFail", [Moment.FAILED], [Moment.FAILED]),
        (ARGO, "PreDelete,PostDelete", [Moment.LEAVING, Moment.LEFT], [Moment.LEAVING, Moment.LEFT]),
        (ARGO, "Skip", [], []),
        (HELM, "pre-install", [Moment.BEFORE], []),
        (HELM, "pre-install,pre-upgrade", [Moment.BEFORE], [Moment.BEFORE]),
        (HELM, "post-upgrade", [], [Moment.AFTER]),
        (HELM, "pre-delete", [Moment.LEAVING], [Moment.LEAVING]),
        (HELM, "test", [], []),
        (HELM, "pre-rollback,post-rollback", [], []),
    ],
)
def test_moments(key, text, first, later):
    manifest = job(**{key: text})

    assert list(hooks.moments(manifest, first=True)) == first
    assert list(hooks.moments(manifest, first=False)) == later


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"before"}),
        ("HookSucceeded", {"succeeded"}),
        ("hook-succeeded,before-hook-creation", {"succeeded", "before"}),
        ("HookFailed, HookSucceeded", {"failed", "succeeded"}),
        ("Nonsense", {"before"}),
    ],
)
def test_delete_policies(text, expected):
    assert hooks.policies(job(**{POLICY: text})) == expected


def test_the_definition_of_an_old_chart_is_kept_like_any_other():
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "w.example.com", "annotations": {HELM: "crd-install"}},
    }  # fmt: skip
    objects, _ = prepare([crd], UNIT, SET, lambda _: False)

    work = plan(objects, Known(SET, {}), Policy(), lambda *_: True)

    assert not work.hooks
    assert work.writes == 1


@pytest.mark.parametrize(
    ("live", "stand"),
    [
        (None, Stand.WAITING),
        ({}, Stand.RUNNING),
        ({"ended": "Complete"}, Stand.DONE),
        ({"ended": "Failed"}, Stand.FAILED),
        ({"run": Run("older", 3), "ended": "Complete"}, Stand.STALE),
        ({"run": Run("digest", 3), "ended": "Complete"}, Stand.STALE),
    ],
)
def test_how_a_hook_stands_is_told_by_its_object(live, stand):
    hook = hook_of(job(**{ARGO: "PreSync"}))

    assert hooks.stand(hook, RUN, live_of(hook, **live) if live is not None else None).stand is stand


def test_a_pod_and_a_workflow_are_done_when_they_have_succeeded():
    pod = {"kind": "Pod", "apiVersion": "v1", "spec": {"restartPolicy": "Never"}, "status": {"phase": "Running"}}
    flow = {"kind": "Workflow", "apiVersion": "argoproj.io/v1alpha1", "status": {"phase": "Error", "message": "no"}}

    assert hooks.completion(pod)[0] is Stand.RUNNING
    assert hooks.completion({**pod, "status": {"phase": "Succeeded"}})[0] is Stand.DONE
    assert hooks.completion({**pod, "status": {"phase": "Failed", "message": "OOM"}})[0] is Stand.FAILED
    assert hooks.completion(flow) == (Stand.FAILED, "no")


def test_what_ran_once_in_a_revision_does_not_run_again():
    hook = hook_of(job(**{ARGO: "PreSync", POLICY: "HookSucceeded"}))
    done = hooks.noted(RUN, [hooks.stand(hook, RUN, live_of(hook, ended="Complete"))])

    assert hooks.stand(hook, done, None).stand is Stand.DONE
    assert hooks.stand(hook, hooks.ended(RUN), None).stand is Stand.DONE
    assert hooks.begun(hooks.ended(RUN), "digest", 99, anything_there=True).over
    assert not hooks.begun(hooks.ended(RUN), "other", 99, anything_there=True).over


def test_a_failure_is_forgotten_with_its_object_unless_we_delete_that():
    plain, deleted = hook_of(job(**{ARGO: "PreSync"})), hook_of(job(**{ARGO: "PreSync", POLICY: "HookFailed"}))
    failed = [hooks.stand(each, RUN, live_of(each, ended="Failed")) for each in (plain, deleted)]

    assert hooks.stand(plain, hooks.noted(RUN, failed[:1]), None).stand is Stand.WAITING
    again = hooks.stand(deleted, hooks.noted(RUN, failed[1:]), None)
    assert (again.stand, again.reason) == (Stand.FAILED, "Why: how")


def test_an_installation_that_failed_is_tried_as_an_installation():
    started = hooks.begun(None, "a", 1, anything_there=False)
    fixed = hooks.begun(started, "b", 2, anything_there=True)

    assert (started.first, fixed.first) == (True, True)
    assert not hooks.begun(hooks.ended(fixed), "c", 3, anything_there=True).first
    assert not hooks.begun(None, "a", 1, anything_there=True).first


def test_hooks_that_served_are_deleted_when_no_other_of_their_moment_is_at_work():
    one, two = (hook_of(job(name, **{ARGO: "PreSync", POLICY: "HookSucceeded"})) for name in ("one", "two"))
    live = {one.each.ref.key: live_of(one, ended="Complete"), two.each.ref.key: live_of(two)}

    def spent(live):
        return hooks.spent([hooks.stand(each, RUN, live[each.each.ref.key]) for each in (one, two)], live, RUN)

    assert spent(live) == ()
    assert spent({**live, two.each.ref.key: live_of(two, ended="Complete")}) == (one.each.ref, two.each.ref)
    assert spent({**live, two.each.ref.key: live_of(two, ended="Failed")}) == (one.each.ref,)


def test_an_object_of_another_run_is_not_deleted_as_spent():
    hook = hook_of(job(**{ARGO: "PreSync", POLICY: "HookSucceeded"}))
    live = {hook.each.ref.key: live_of(hook, Run("older", 1), ended="Complete")}

    assert hooks.spent([hooks.stand(hook, hooks.ended(RUN), None)], live, RUN) == ()


def test_the_plan_of_a_revision_with_hooks():
    def config(name):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}

    objects, _ = prepare(
        [job("pre", **{ARGO: "PreSync"}), job("post", **{ARGO: "PostSync"}), job("cry", **{ARGO: "SyncFail"}),
         job("bye", **{ARGO: "PreDelete"}), config("a")],
        UNIT, SET, lambda _: True,
    )  # fmt: skip

    def names(steps):
        return [each.ref.name for step in steps for each in step.objects]

    work = plan(objects, Known(SET, {}), Policy(), lambda *_: True)
    assert (names(work.steps), names(work.after), names(work.at_failure)) == (["pre", "a"], ["post"], [])
    failed = plan(objects, Known(SET, {}, run=msgspec.structs.replace(RUN, failed="x")), Policy(), lambda *_: True)
    assert names(failed.at_failure) == ["cry"]
    over = plan(objects, Known(SET, {}, run=hooks.ended(RUN)), Policy(), lambda *_: True)
    assert (names(over.steps), names(over.after)) == (["a"], [])
    gone = plan(objects[3:4], Known(SET, {}), Policy(), lambda *_: True, removed=True)
    assert (names(gone.steps), names(gone.after)) == (["bye"], [])


def test_hooks_do_not_count_when_many_objects_leave():
    old = [job(f"old-{n}", **{ARGO: "PreSync"}) for n in range(20)]
    keep = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keep"}}
    objects, _ = prepare([keep], UNIT, SET, lambda _: True)
    leaving, _ = prepare(old, UNIT, SET, lambda _: True)
    live = {each.ref.key: each.manifest for each in (*objects, *leaving)}

    work = plan(objects, Known(SET, live), Policy(), lambda *_: True)

    assert not work.blocked
    assert sum(map(len, work.prune)) == 20


def test_farewells_are_found_in_the_lines_of_a_bundle():
    lines = [orjson.dumps(each) for each in (job("a", **{ARGO: "PreDelete"}), job("b", **{HELM: "post-delete"}),
                                             job("c", **{HELM: "pre-install", POLICY: "HookSucceeded"}))]  # fmt: skip

    assert [each["metadata"]["name"] for each in hooks.farewells(lines)] == ["a", "b"]


events = st.lists(st.sampled_from(["pass", "complete", "fail", "delete", "restart", "revision"]), max_size=25)


@given(events, st.sampled_from(["", "HookSucceeded", "HookFailed", "HookSucceeded,BeforeHookCreation"]))
def test_a_hook_succeeds_at_most_once_in_a_revision(happened, policy):
    """Whatever happens to agent and objects between passes."""
    hook = hook_of(job(**{ARGO: "PreSync", POLICY: policy}))
    run, note, live, succeeded, revision = hooks.begun(None, "r0", 0, anything_there=False), None, None, 0, 0
    for event in happened:
        if event == "revision":
            revision += 1
            run, succeeded = hooks.begun(run, f"r{revision}", revision, anything_there=True), 0
        elif event == "restart":
            run = hooks.begun(note, f"r{revision}", revision, anything_there=True)
        elif event in ("complete", "fail"):
            running = live is not None and not live.get("status")
            if running:
                live = {
                    **live,
                    "status": live_of(hook, ended="Complete" if event == "complete" else "Failed")["status"],
                }
                ours = live["metadata"]["annotations"][hooks.RUN].startswith(f"{run.mark}.")
                succeeded += ours and event == "complete"
        elif event == "delete" and live is not None and not live.get("status"):
            live = None
        else:
            now = hooks.stand(hook, run, live)
            run = hooks.noted(run, [now])
            if now.to_make:
                note, live = run, {**hooks.to_send(hook, run).manifest}
            else:
                note = run
                if hooks.spent([now], {hook.each.ref.key: live} if live else {}, run):
                    live = None
    assert succeeded <= 1
