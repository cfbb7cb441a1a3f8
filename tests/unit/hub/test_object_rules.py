"""Rules over rendered objects: what they say of objects, ready-made ones for images, and what is told of a broken one."""

import orjson
import pytest

from hub.admission import Guarded, guarded, nobody, objections
from hub.domain.blending import Part
from hub.domain.projects import ProjectSpec
from hub.domain.rendering import Render, Source
from hub.domain.rules import ObjectRule, no_plain_secrets, rule_of
from hub.domain.tenancy import OPEN, Fence
from hub.domain.variants import ContentKey
from hub.render.job import Rendered, RenderedObject, RenderError, RulesJob
from hub.render.judging import MAX_OBJECT, judge
from hub.render.parts import Reading
from shared.bundle import canonical_line
from shared.errors import DocumentError, Unavailable
from shared.manifests import ref_of
from shared.messages import Limits
from shared.model import Place, Problem

DIGEST = "@sha256:" + "a" * 64


def rule(origin="policy p", **written):
    return rule_of(ObjectRule.model_validate_json(orjson.dumps({"name": "r", **written})), origin)


def workload(*images, kind="Deployment", **more):
    containers = [{"name": f"c{n}", "image": image} for n, image in enumerate(images)]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": containers, **more}}},
    }


def config(name="a", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def broken(written, *manifests):
    found = judge(RulesJob("web", tuple(map(canonical_line, manifests)), (written,)))
    return [(each.object, each.reason) for each in found.broken]


def images(*registries, **more):
    return rule(images={"registries": list(registries), **more})


@pytest.mark.parametrize(
    ("registries", "image", "fine"),
    [
        (["r.example.com"], "r.example.com/a/b:1", True),
        (["r.example.com"], "rxexample.com/a", False),
        (["r.example.com"], "r.example.com:5000/a", False),
        (["r.example.com"], "r.example.com.evil.com/a", False),
        (["r.example.com"], "evil.com/r.example.com/a", False),
        (["r.example.com:5000"], "r.example.com:5000/a", True),
        (["r.example.com/team"], "r.example.com/team/a", True),
        (["r.example.com/team"], "r.example.com/teams/a", False),
        (["r.example.com/team/*"], "r.example.com/team/a/b:1", True),
        (["r.example.com/*/web"], "r.example.com/a/b/web", False),
        (["r.example.com/team/web"], f"r.example.com/team/web{DIGEST}", True),
        (["docker.io"], "nginx", True),
        (["docker.io"], "team/web:1", True),
        (["docker.io"], "docker.io/team/web:1", True),
        (["docker.io"], "evil.com/web", False),
        (["docker.io"], "evil:5000/web", False),
        (["docker.io"], "localhost/web", False),
        (["docker.io/library"], "nginx:1", True),
        (["docker.io/library"], "team/nginx", False),
        (["docker.io/library/nginx"], "nginx@sha256:1", True),
        (["docker.io/library/nginx"], "nginxx", False),
        (["docker.io/team/*"], "team/web:1", True),
        (["docker.io/*/web"], "evil.com/web", False),
        (["r.example.com", "docker.io/library"], "nginx", True),
    ],
)
def test_images_are_of_the_registries_that_are_listed(registries, image, fine):
    assert broken(images(*registries), workload(image)) == ([] if fine else [(0, "")])


@pytest.mark.parametrize(
    "manifest",
    [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"image": "evil/x"}]}},
        workload(f"r.example.com/a{DIGEST}", initContainers=[{"image": "evil/x"}]),
        workload(ephemeralContainers=[{"image": "evil/x"}]),
        workload(volumes=[{"name": "v", "image": {"reference": "evil/x"}}]),
        workload(kind="Rollout", initContainers=[{"image": "r.example.com/a"}]),
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "a"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "evil/x"}]}}}}},
        },
        workload(containers="evil/x"),
        workload(containers=[{"name": "no image"}]),
        workload(containers=[["evil/x"]]),
    ],
)
def test_images_are_looked_for_wherever_pods_are_specified(manifest):
    found = broken(images("r.example.com", digest="required"), manifest)

    assert [number for number, _ in found] == [0]


def test_what_runs_nothing_breaks_no_rule_for_images():
    good = workload(f"r.example.com/a{DIGEST}", volumes=[{"name": "v", "emptyDir": {}}])

    assert broken(images("r.example.com", digest="required"), good, config(image="evil/x")) == []


def test_a_rule_is_about_its_kinds():
    written = rule(kinds=["apps/*"], require="object.spec.replicas <= 3")

    assert broken(written, workload() | {"spec": {"replicas": 5}}, config()) == [(0, "")]


def test_what_cannot_be_evaluated_does_not_hold():
    """Nobody gets around a rule by leaving out what it asks for, nor by an object too large to look at."""
    written = rule(require="object.metadata.labels.team == 'shop'")

    (missing,) = broken(written, config())
    (large,) = broken(written, {**config(a="x" * MAX_OBJECT), "metadata": {"name": "a", "labels": {"team": "shop"}}})

    assert "has no field 'labels'" in missing[1]
    assert "larger than 1024 KB" in large[1]


def secret(**more):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **more}


@pytest.mark.parametrize(
    ("manifest", "fine"),
    [
        (secret(data={"password": "c2VjcmV0"}), False),
        (secret(stringData={"password": "secret"}), False),
        (secret(data={"password": "c2VjcmV0"}, sops="looks like it"), False),
        (secret(data={"password": "c2VjcmV0"}, sops={}), False),
        (secret(data={"password": "ENC[…]"}, sops={"mac": "ENC[…]"}), True),
        (secret(data={"password": "token"}, **{"yardarm.dev/sealed": {}}), True),
        (secret(data={"password": "", "other": None}), True),
        (secret(), True),
        (secret(type="kubernetes.io/service-account-token", data={"extra": "eA=="}), True),
        (config(password="secret"), True),
    ],
)
def test_secrets_in_plain_text_are_told_from_encrypted_ones(manifest, fine):
    assert (broken(no_plain_secrets("deny", "project shop"), manifest) == []) is fine


def test_no_more_is_told_than_is_asked_for():
    lines = tuple(canonical_line(config(str(n))) for n in range(20))

    assert len(judge(RulesJob("web", lines, (rule(require="false"),), most=3)).broken) == 3


# --- objections ------------------------------------------------------------------------------------------------------


def rendered(*manifests):
    objects = [
        RenderedObject(ref_of(m, "shop"), canonical_line(m), Place("a.yaml", n)) for n, m in enumerate(manifests, 1)
    ]
    return Rendered(tuple(objects))


class Court:
    def __init__(self, error=None):
        self.asked, self.error = [], error

    async def __call__(self, job):
        self.asked.append(job)
        if self.error is not None:
            raise self.error
        return judge(job)


async def test_an_open_fence_asks_nothing():
    assert await objections("web", rendered(config()), OPEN, nobody) == ()


async def test_a_broken_rule_is_told_with_object_rule_place_and_what_to_do():
    court = Court()
    only_ours = rule("project shop", name="ours", images={"registries": ["r.example.com"]})
    small = rule(
        name="small",
        kinds=["apps/Deployment"],
        require="object.spec.replicas <= 3",
        message="keep it small",
        enforce="warn",
    )
    web = workload("evil/x", "r.example.com/a")
    web["spec"]["replicas"] = 5

    found = await objections("web", rendered(config(), web), Fence(None, (only_ours, small), "d"), court)

    assert [(each.severity, each.message) for each in found] == [
        (
            "error",
            "apps/Deployment shop/web breaks rule ours of project shop: images must be from r.example.com (it has evil/x, r.example.com/a)",
        ),
        ("warning", "apps/Deployment shop/web breaks rule small of policy p: keep it small"),
    ]
    assert {each.place for each in found} == {Place("a.yaml", 2)}
    assert {each.application for each in found} == {"web"}
    assert all(each.hint for each in found)


async def test_objects_that_no_rule_is_about_are_not_sent_to_a_worker():
    court = Court()
    written = rule(kinds=["apps/*"], require="false")

    assert await objections("web", rendered(config()), Fence(None, (written,), "d"), court) == ()
    assert court.asked == []


async def test_what_a_project_may_not_have_is_told_with_its_place():
    limits = Limits("shop", ("shop",))
    outside = {**config("b"), "metadata": {"name": "b", "namespace": "kube-system"}}

    (found,) = await objections("web", rendered(config(), outside), Fence(limits, (), "d"), nobody)

    assert found.message == "ConfigMap kube-system/b: project shop may have the namespaces shop, not kube-system"
    assert (found.severity, found.place) == ("error", Place("a.yaml", 2))


async def test_rules_that_cost_too_much_let_nothing_through_and_a_lost_worker_is_tried_again():
    fence = Fence(None, (rule(require="true"), rule(require="true", enforce="warn")), "d")
    slow = RenderError((Problem("error", "took longer than 10 s and was stopped", application="web"),))
    lost = RenderError((Problem("error", "was killed"),), transient=True)

    (found,) = await objections("web", rendered(config()), fence, Court(slow))
    with pytest.raises(Unavailable):
        await objections("web", rendered(config()), fence, Court(lost))

    assert found.severity == "error"
    assert "rules: rule r of policy p" in found.message
    (told,) = await objections("web", rendered(config()), Fence(None, fence.rules[1:], "e"), Court(slow))
    assert told.severity == "warning"


# --- sources that others name ----------------------------------------------------------------------------------------


class Shop:
    def __init__(self, *elsewhere):
        self.elsewhere = elsewhere

    async def reading(self, part):
        return Reading(ContentKey("k"), "kustomize", elsewhere=self.elsewhere)

    async def materials(self, part):
        return part


def part(**source):
    return Part("", Source(**source), Render(), {}, (), rendered=True, lent=(), footing="f")


SPEC = ProjectSpec(sources=("https://git.example.com/shop/*",))


async def test_what_charts_and_kustomizations_name_elsewhere_is_held_against_the_project_too():
    own = part(repo="https://git.example.com/shop/web")

    assert await Guarded(Shop(("https://git.example.com/shop/base", "")), "shop", SPEC).reading(own)
    for foreign in (("https://git.example.com/other/base", ""), ("https://charts.example.com", "db")):
        with pytest.raises(DocumentError, match=r"project shop: .* is not among its sources"):
            await Guarded(Shop(foreign), "shop", SPEC).reading(own)
    with pytest.raises(DocumentError, match=r"charts\.example\.com"):
        await Guarded(Shop(), "shop", SPEC).materials(part(repo="https://charts.example.com", chart="db"))


def test_a_project_without_sources_is_asked_nothing():
    supplies = Shop()

    assert guarded(supplies, "shop", ProjectSpec()) is supplies
    assert guarded(supplies, "default", None) is supplies
    assert isinstance(guarded(supplies, "shop", SPEC), Guarded)


async def test_where_nobody_can_judge_nothing_gets_through():
    with pytest.raises(RenderError, match="there is nobody here"):
        await nobody(RulesJob("web", (), (rule(require="true"),)))
