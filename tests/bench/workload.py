"""What the benches roll out: an application of ten ordinary objects, and the fleet documents around it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.fakes.gitrepo import GitRepo

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      serviceAccountName: {app}
      containers:
        - name: main
          image: registry.example.com/{name}:{version}
          ports: [{{containerPort: 8080}}]
          envFrom: [{{configMapRef: {{name: {app}-settings}}}}]
          resources: {{requests: {{cpu: 50m, memory: 64Mi}}, limits: {{memory: 128Mi}}}}
          readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 5}}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
"""
CONFIGMAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{level: info, value: '{value}'}}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: not-a-secret}}\n"
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}\n"


def write_application(repo: GitRepo, app: str, folder: str) -> None:
    """Ten objects: an account, three config maps, a secret, two services, two deployments, a disruption budget."""
    files = {
        "account.yaml": ACCOUNT.format(name=app),
        "settings.yaml": CONFIGMAP.format(name=f"{app}-settings", value=0),
        "more.yaml": "---\n".join(CONFIGMAP.format(name=f"{app}-{part}", value=0) for part in ("rules", "pages")),
        "secret.yaml": SECRET.format(name=app),
        "services.yaml": "---\n".join(SERVICE.format(name=f"{app}-{part}") for part in ("web", "api")),
        "web.yaml": DEPLOYMENT.format(name=f"{app}-web", app=app, version=1),
        "api.yaml": DEPLOYMENT.format(name=f"{app}-api", app=app, version=1),
        "budget.yaml": f"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {app}-web}}\n"
        f"spec: {{minAvailable: 1, selector: {{matchLabels: {{app: {app}-web}}}}}}\n",
    }
    for name, content in files.items():
        repo.write(f"{folder}/{name}", content)


def cluster_documents(names: Iterable[str], ring: str = "one") -> str:
    """A Cluster document for each."""
    labels = f"{{env: bench, ring: {ring}}}"
    return "".join(
        f"---\napiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {name}, labels: {labels}}}\n"
        for name in names
    )


def application_document(app: str, folder: str, *, rollout: str = "") -> str:
    """An Application on every cluster; `rollout` names its strategy."""
    strategy = f", rollout: {rollout}" if rollout else ""
    return (
        f"---\napiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {{name: {app}}}\n"
        f"spec: {{source: {{path: {folder}}}, namespace: {app}{strategy}}}\n"
    )
