"""API versions that are gone, or will be, for the version of the cluster at hand."""

import pytest

from hub.domain.deprecations import DEPRECATIONS, finding, minor
from shared.model import ObjectRef

INGRESS = ObjectRef("networking.k8s.io/v1beta1", "Ingress", "shop", "web")


@pytest.mark.parametrize(
    ("version", "severity", "said"),
    [
        ("v1.18.20", None, ""),
        ("v1.19.0", "warning", "gone in Kubernetes 1.22"),
        ("v1.21.5+k3s1", "warning", "gone in Kubernetes 1.22"),
        ("1.22", "error", "Kubernetes 1.22 does not serve networking.k8s.io/v1beta1"),
        ("v1.30.2-eks-1", "error", "Kubernetes 1.30 does not serve"),
        ("", "warning", "not served since Kubernetes 1.22"),
    ],
)
def test_what_is_said_depends_on_the_version_of_the_cluster(version, severity, said):
    problem = finding(INGRESS, minor(version))

    assert (problem.severity if problem else None) == severity
    if problem is not None:
        assert said in problem.message
        assert problem.hint == "write networking.k8s.io/v1"


def test_what_is_served_and_what_others_define_is_nothing_to_speak_of():
    for api_version, kind in (("networking.k8s.io/v1", "Ingress"), ("example.com/v1beta1", "Ingress")):
        assert finding(ObjectRef(api_version, kind, "a", "b"), minor("1.37")) is None


def test_every_entry_is_deprecated_before_it_is_removed_and_names_another_version():
    for (api_version, _), found in DEPRECATIONS.items():
        assert found.deprecated < found.removed
        assert found.instead != api_version
