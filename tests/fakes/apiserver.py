"""API servers for tests: the sandbox, and real ones when there are any.

A real server is the one `YARDARM_TEST_KUBECONFIG` names, or one that is started here from the binaries in
`KUBEBUILDER_ASSETS` (the envtest convention: etcd, kube-apiserver, and kube-controller-manager when present) on free
loopback ports with throw-away certificates, and stopped at the end; its pods run nowhere, see `tests.fakes.kubelet`.
Nothing of it outlives the test run.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import yaml

from agent.sandbox.server import Sandbox

ROOT = pathlib.Path(__file__).parents[2]
START_TIMEOUT = 60.0
TOKEN = "contract-token"
GIVEN, BARE = "YARDARM_TEST_REAL", "YARDARM_TEST_BARE"
"""Set while there is a real server: its kubeconfig, and whether nothing but an API server is there."""
USER_TOKEN = "agent-token"
"""Of a user `agent` that has no rights until they are granted."""


@dataclass(frozen=True)
class ApiServer:
    """A server to talk to. `ca` is the path of its CA certificate, empty for plain HTTP; `controllers` says whether
    namespaces are emptied, garbage is collected and workloads get pods."""

    url: str
    token: str
    ca: str
    kind: str
    kubeconfig: str
    controllers: bool = True

    def tls(self) -> ssl.SSLContext | bool:
        """What aiohttp takes as `ssl`."""
        return ssl.create_default_context(cafile=self.ca) if self.ca else False


def available(*, controllers: bool = False) -> list[str]:
    """The kinds of servers that this run can use, all or those with controllers."""
    real = GIVEN in os.environ and not (controllers and BARE in os.environ)
    return ["sandbox", "real"] if real else ["sandbox"]


@contextlib.asynccontextmanager
async def sandbox(directory: pathlib.Path, **settings: object) -> AsyncIterator[ApiServer]:
    """A sandbox cluster of two nodes."""
    async with Sandbox(token=TOKEN, **settings) as running:  # type: ignore[arg-type]
        url = running.add_cluster("contract", nodes=2)
        path = directory / "sandbox.kubeconfig"
        path.write_text(json.dumps(running.kubeconfig()))
        yield ApiServer(url, TOKEN, "", "sandbox", str(path))


def real(directory: pathlib.Path) -> ApiServer:
    """The real server of this run. `directory` is for files that a client needs."""
    return _from_kubeconfig(pathlib.Path(os.environ[GIVEN]), directory)


@contextlib.contextmanager
def started() -> Iterator[None]:
    """From here on there is the real server that this run was given, or given the binaries of."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if os.environ.get("YARDARM_TEST_KUBECONFIG"):
        os.environ[GIVEN] = os.environ["YARDARM_TEST_KUBECONFIG"]
        yield
    elif assets:
        with ControlPlane(pathlib.Path(assets)) as plane:
            told = {
                GIVEN: plane.server.kubeconfig,
                ("YARDARM_TEST_KUBECONFIG" if plane.server.controllers else BARE): plane.server.kubeconfig,
            }
            os.environ |= told
            try:
                yield
            finally:
                for name in told:
                    del os.environ[name]
    else:
        yield


def _from_kubeconfig(path: pathlib.Path, directory: pathlib.Path) -> ApiServer:
    config = yaml.safe_load(path.read_text())
    name = config["current-context"]
    context = next(c["context"] for c in config["contexts"] if c["name"] == name)
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    if "token" not in user:
        raise RuntimeError(f"{path}: the contract suite needs a user with a token")
    ca = cluster.get("certificate-authority", "")
    if "certificate-authority-data" in cluster:
        file = directory / "ca.crt"
        file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        ca = str(file)
    return ApiServer(cluster["server"], user["token"], ca, "real", str(path), controllers=BARE not in os.environ)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ControlPlane:
    """etcd, kube-apiserver and kube-controller-manager of one run, as a context manager."""

    def __init__(self, assets: pathlib.Path) -> None:
        self._assets = assets
        self._processes: list[subprocess.Popen[bytes]] = []
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="yardarm-controlplane-"))

    def __enter__(self) -> ControlPlane:
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self) -> ControlPlane:
        pki = _Keys(self._home)
        etcd, peer, port = free_port(), free_port(), free_port()
        self._run(
            "etcd", "--name=m0", f"--data-dir={self._home}/etcd", f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=m0=http://127.0.0.1:{peer}",
            "--log-level=warn", "--unsafe-no-fsync",
        )  # fmt: skip
        managed = (self._assets / "kube-controller-manager").exists()
        (self._home / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n{USER_TOKEN},agent,agent,agents\n")
        self._run(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={port}", "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true", f"--tls-cert-file={pki.server}",
            f"--tls-private-key-file={pki.server_key}", f"--client-ca-file={pki.ca}",
            f"--token-auth-file={self._home}/tokens.csv", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki.account_public}",
            f"--service-account-signing-key-file={pki.account_key}",
            *([] if managed else ["--disable-admission-plugins=ServiceAccount"]),
        )  # fmt: skip
        url = f"https://127.0.0.1:{port}"
        kubeconfig = self._kubeconfig(url, pki)
        self.server = ApiServer(url, TOKEN, str(pki.ca), "real", str(kubeconfig), controllers=managed)
        _ready(self.server, self._processes, self._home)
        if managed:
            self._run(
                "kube-controller-manager", f"--kubeconfig={kubeconfig}", "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}", "--leader-elect=false", "--use-service-account-credentials=false",
                f"--service-account-private-key-file={pki.account_key}", f"--root-ca-file={pki.ca}",
                "--kube-api-qps=300", "--kube-api-burst=600", "--allocate-node-cidrs=false",
                "--controllers=*,-node-ipam-controller,-node-lifecycle-controller,-service-lb-controller,"
                "-cloud-node-lifecycle-controller,-node-route-controller",
            )  # fmt: skip
            self._start_process("kubelet", sys.executable, "-m", "tests.fakes.kubelet", kubeconfig)
        return self

    def _run(self, program: str, *arguments: str) -> None:
        self._start_process(program, self._assets / program, *arguments)

    def _start_process(self, name: str, *command: str | pathlib.Path) -> None:
        with (self._home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT)
        self._processes.append(process)

    def _kubeconfig(self, url: str, pki: _Keys) -> pathlib.Path:
        path = self._home / "kubeconfig"
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": {"server": url, "certificate-authority": str(pki.ca)}}],
            "users": [{"name": "real", "user": {"token": TOKEN}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


def _ready(server: ApiServer, processes: list[subprocess.Popen[bytes]], logs: pathlib.Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    context = ssl.create_default_context(cafile=server.ca)
    asked = urllib.request.Request(f"{server.url}/readyz", headers={"Authorization": f"Bearer {server.token}"})
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                program = pathlib.Path(process.args[0])  # type: ignore[index]
                last = (logs / f"{program.name}.log").read_text(errors="replace")[-1500:]
                raise RuntimeError(f"{program} ended while the control plane started:\n{last}")
        with contextlib.suppress(OSError), urllib.request.urlopen(asked, context=context, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"kube-apiserver not ready after {START_TIMEOUT} s")


class _Keys:
    """A CA, a server certificate for loopback and a key for service accounts, in a directory that goes away."""

    def __init__(self, home: pathlib.Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        def key() -> ec.EllipticCurvePrivateKey:
            return ec.generate_private_key(ec.SECP256R1())

        def save(name: str, private: ec.EllipticCurvePrivateKey) -> pathlib.Path:
            path = home / name
            path.write_bytes(
                private.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                )
            )
            path.chmod(0o600)
            return path

        def builder(
            subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey
        ) -> x509.CertificateBuilder:
            now = datetime.datetime.now(datetime.UTC)
            made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
            made = made.serial_number(x509.random_serial_number())
            day = datetime.timedelta(days=1)
            return made.not_valid_before(now - day).not_valid_after(now + day)

        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        authority, server, account = key(), key(), key()
        root = builder(named("test-ca"), named("test-ca"), authority.public_key())
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        identity = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
        root = root.add_extension(usage, critical=True).add_extension(identity, critical=False)
        leaf = builder(named("kube-apiserver"), named("test-ca"), server.public_key())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        leaf = leaf.add_extension(issuer, critical=False)
        pem = serialization.Encoding.PEM
        self.ca, self.server = home / "ca.crt", home / "server.crt"
        self.ca.write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(pem))
        self.server.write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(pem))
        self.server_key = save("server.key", server)
        self.account_key, self.account_public = save("account.key", account), home / "account.pub"
        public = account.public_key()
        self.account_public.write_bytes(public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
