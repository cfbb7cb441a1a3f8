"""What a manifest calls itself is part of the address that it is sent to, and leads nowhere else."""

import pytest

from shared.errors import DocumentError
from shared.manifests import ref_of


def manifest(name: str, namespace: str = "web") -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


@pytest.mark.parametrize("text", [".", "..", "../secrets/x", "a/b", "/", "%2e%2e", "a%2fb"])
def test_a_name_cannot_lead_to_another_object(text):
    with pytest.raises(DocumentError, match=r"metadata\.name .* cannot be a name"):
        ref_of(manifest(text))
    with pytest.raises(DocumentError, match=r"metadata\.namespace .* cannot be a name"):
        ref_of(manifest("web", text))


@pytest.mark.parametrize("text", ["web", "a.b", "...", "system:node", "Web_1", "v1.apps"])
def test_names_that_kubernetes_takes_are_names(text):
    assert ref_of(manifest(text)).name == text
