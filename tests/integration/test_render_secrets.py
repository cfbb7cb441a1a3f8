"""Encrypted files through every way of rendering, and opened again as an agent opens them.

The files are those that `sops` made (tests/data/sops); Kustomize and Helm are the real ones.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.domain.secrecy import Unsealed
from agent.unsealing import KeyFile, Unsealer
from hub.render.helm.archive import pack
from hub.render.helm.template import template
from hub.render.job import File, HelmJob, Image, Patch, PlainJob, Rendered, RenderError, Target
from hub.render.kustomize.build import build
from hub.render.plain import render
from shared.sealed import SEALED, SOPS
from tests.fakes.kustomize import any_command, either, job

DATA = Path(__file__).parents[1] / "data" / "sops"
SECRET = (DATA / "secret.enc.yaml").read_bytes()
VALUES = (DATA / "values.enc.yaml").read_bytes()
PASSWORD = "correct-horse-battery-staple"
TARGET = Target(kind="Secret")


def plain(files: dict[str, bytes], **more: Any) -> Rendered:
    found = tuple(File(path, data, path) for path, data in files.items())
    return render(PlainJob(application="web", namespace="shop", files=found, **more))


def problem_of(files: dict[str, bytes], **more: Any) -> str:
    with pytest.raises(RenderError) as failed:
        plain(files, **more)
    return str(failed.value)


async def opened(rendered: Rendered) -> list[dict[str, Any]]:
    """The objects as an agent would apply them."""
    found = await Unsealer(KeyFile(DATA / "first.agekey")).opened([orjson.loads(line) for line in rendered.lines])
    for each in found:
        assert isinstance(each, dict | Unsealed), each
    return [each if isinstance(each, dict) else each.manifest for each in found]


def decoded(manifest: dict[str, Any], key: str) -> bytes:
    return base64.b64decode(manifest["data"][key])


async def test_a_document_that_nothing_changes_goes_through_as_it_is():
    rendered = plain({"s.yaml": SECRET}, images=(Image("nginx", new_tag="2"),), variables={"a": "b"})

    line = orjson.loads(rendered.lines[0])
    assert list(line) == ["apiVersion", "kind", "metadata", "type", "stringData", "data", "sops"]
    assert SEALED not in line
    assert (await opened(rendered))[0]["stringData"]["password"] == PASSWORD


async def test_words_that_kubernetes_would_take_for_booleans_stay_words():
    (manifest,) = await opened(plain({"s.yaml": (DATA / "words.enc.yaml").read_bytes()}))

    assert manifest["metadata"]["annotations"] == {"on": "off"}
    assert manifest["stringData"] == {"y": "n", "no": "yes", "ok": "true"}


async def test_a_patch_may_change_what_is_not_encrypted():
    labels = Patch({"metadata": {"labels": {"tier": "gold"}}}, TARGET)

    (manifest,) = await opened(plain({"s.yaml": SECRET}, patches=(labels,)))

    assert manifest["metadata"]["labels"] == {"app": "shop", "tier": "gold"}
    assert manifest["stringData"] == {"username": "shop", "password": PASSWORD, "empty": ""}
    assert manifest["data"] == {"token": "aHVudGVyMi1odW50ZXIy"}
    assert SOPS not in manifest


def test_a_patch_that_touches_what_is_encrypted_is_refused():
    for patch in ({"stringData": {"password": "mine"}}, {"stringData": None}):
        assert "a patch changes stringData." in problem_of({"s.yaml": SECRET}, patches=(Patch(patch, TARGET),))


async def test_a_list_that_is_encrypted_as_a_whole_is_taken_apart():
    from shared.sops.ages import Identities
    from shared.sops.closing import SECRET_FIELDS, closed

    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"p": f"hunter2-{name}"}}
        for name in ("a", "b")
    ]
    recipients = Identities.read((DATA / "first.agekey").read_text()).recipients
    whole = closed({"apiVersion": "v1", "kind": "List", "items": items}, recipients, 0.0, encrypted_regex=SECRET_FIELDS)

    assert await opened(plain({"l.json": json.dumps(whole).encode()})) == items


REFUSED = {
    "encrypted together": ((DATA / "two.enc.yaml").read_bytes().replace(b"a: ENC", b"kind: X\na: ENC"), "encrypted together"),
    "a kind that is encrypted": (b"apiVersion: v1\nkind: ENC[AES256_GCM,data:A,iv:A,tag:A,type:str]\nmetadata: {name: x}\nsops: {mac: x, age: [{}]}\n", "kind is encrypted"),
    "no MAC": (SECRET.replace(b"    mac: ", b"    cam: "), "without a MAC"),
    "no age": (SECRET.replace(b"    age:", b"    ega:"), "no age key"),
    "a value that was forgotten": (SECRET.replace(b"stringData:\n", b"stringData:\n    more: plain\n"), "stringData.more is not encrypted"),
    "a seal of one's own": (b"{apiVersion: v1, kind: Secret, metadata: {name: x}, yardarm.dev/sealed: {documents: [], fills: []}}", "the hub's own"),
    "git-crypt": (b"\0GITCRYPT\0\1\2\3", "git-crypt"),
    "git-secret": (b"-----BEGIN PGP MESSAGE-----\n\nhQ==\n", "OpenPGP"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n", "Git LFS"),
    "age alone": (b"age-encryption.org/v1\n-> X25519 x\n", "as a whole"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_agent_could_open_is_refused_with_file_and_reason(data, message):
    problem = problem_of({"s.yaml": data, "c.yaml": b"{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}"})

    assert problem.startswith("s.yaml")
    assert message in problem


def test_secrets_that_are_not_encrypted_are_warned_of_once():
    def secret(name: str, **more: Any) -> bytes:
        return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **more}).encode()

    rendered = plain(
        {
            "sealed.yaml": SECRET,
            "a.json": secret("a", stringData={"p": "hunter2"}),
            "b.json": secret("b", data={"p": "aHVudGVyMg=="}),
            "empty.json": secret("empty", data={"p": ""}),
            "token.json": secret("token", type="kubernetes.io/service-account-token", data={"extra": "eA=="}),
        }
    )

    (warning,) = rendered.warnings
    assert str(warning).startswith("a.json:1: warning: 2 Secrets (a, b) are not encrypted")
    assert plain({"sealed.yaml": SECRET}).warnings == ()
    assert charted(HEAD.format(kind="Secret") + "data: {p: eA==}\n", b"a: b").warnings == ()


# --- Kustomize ----------------------------------------------------------------------------------------------------


def kustomized(folder: Path, kustomization: str, *names: str, **files: str) -> Rendered:
    for name in names:
        (folder / name).write_bytes((DATA / name).read_bytes())
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "kustomization.yaml").write_text(kustomization)
    made = build(job(folder, ".", any_command()))
    return render(PlainJob(application="web", namespace="shop", files=(), made=made.files, sealed=made.sealed))


@either
async def test_kustomize_generates_secrets_it_cannot_read(tmp_path):
    rendered = kustomized(
        tmp_path,
        "namespace: other\nnamePrefix: my-\nresources: [secret.enc.yaml]\nsecretGenerator:\n"
        "- name: files\n  files: [config.yaml=values.enc.yaml, docker.enc.json, key.enc.bin]\n"
        "- name: env\n  envs: [db.enc.env]\n",
        "secret.enc.yaml", "values.enc.yaml", "docker.enc.json", "key.enc.bin", "db.enc.env",
    )  # fmt: skip

    found = {each["metadata"]["name"].rpartition("-")[0]: each for each in await opened(rendered)}
    files, env = found["my-files"], found["my-env"]
    assert b'"password": "hunter2-hunter2"\n' in decoded(files, "config.yaml")
    assert json.loads(decoded(files, "docker.enc.json"))["auths"]["registry.example"]["auth"] == "anNvbi1odW50ZXIy"
    assert decoded(files, "key.enc.bin") == b"\x00\x01\xfe\xffbinary-hunter2"
    assert decoded(env, "DB_PASSWORD") == b"env-hunter2=with-equals"
    assert decoded(env, "DB_CERT") == b"line one\nline two"
    database = found["my"]
    assert database["metadata"]["namespace"] == "other"
    assert database["stringData"]["password"] == PASSWORD
    assert database["data"] == {"token": "aHVudGVyMi1odW50ZXIy"}


@either
def test_the_name_of_a_generated_secret_follows_its_ciphertext_alone(tmp_path):
    kustomization = "secretGenerator: [{name: env, envs: [db.enc.env]}]\n"

    names = [
        kustomized(tmp_path, kustomization, "db.enc.env").refs[0].name,
        kustomized(tmp_path, kustomization, "db.enc.env").refs[0].name,
    ]
    again = (DATA / "db.enc.env").read_text().replace("DB_USER=ENC[AES256_GCM,data:J", "DB_USER=ENC[AES256_GCM,data:K")
    (tmp_path / "db.enc.env").write_text(again)
    names.append(kustomized(tmp_path, kustomization).refs[0].name)

    assert names[0] == names[1] != names[2]


@either
@pytest.mark.parametrize(
    ("kustomization", "message"),
    [
        ("configMapGenerator: [{name: c, files: [values.enc.yaml]}]\n", "would be in ConfigMap"),
        ("secretGenerator: [{name: c, envs: [values.enc.yaml]}]\n", "not a dotenv file"),
        ("resources: [secret.enc.yaml]\nreplacements:\n- source: {kind: Secret, fieldPath: stringData.password}\n  targets: [{select: {kind: Secret}, fieldPaths: [metadata.labels.app]}]\n", "would be in Secret database, metadata.labels.app"),
        ("resources: [secret.enc.yaml]\nsecretGenerator: [{name: c, files: [locked.yaml]}]\n", "git-crypt"),
    ],
)  # fmt: skip
def test_kustomize_puts_no_secret_where_others_read_it(tmp_path, kustomization, message):
    with pytest.raises(RenderError) as failed:
        kustomized(tmp_path, kustomization, "values.enc.yaml", "secret.enc.yaml", locked="\0GITCRYPT\0x")

    assert message in str(failed.value)


# --- Helm ---------------------------------------------------------------------------------------------------------


def charted(text: str, values: bytes = VALUES, **more: Any) -> Rendered:
    chart = {"Chart.yaml": b"apiVersion: v2\nname: web\nversion: 1.0.0\n", "templates/x.yaml": text.encode()}
    made = template(
        HelmJob("web", "shop", "web", "web", pack("web", chart), value_files=(File("secrets.yaml", values),), **more)
    )
    return render(PlainJob(application="web", namespace="shop", files=(), made=made.files, sealed=made.sealed))


HEAD = "apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n"


def without_bool(data: bytes) -> bytes:
    """The rule says which values are to be secret: a truth has no place among them."""
    return b"".join(line for line in data.splitlines(keepends=True) if b"type:bool]" not in line)


async def test_secret_values_come_into_secrets_however_the_chart_writes_them():
    from shared.sops.ages import Identities
    from shared.sops.closing import closed

    recipients = Identities.read((DATA / "first.agekey").read_text()).recipients
    values = closed(
        {"db": {"password": 'hunter2"\\-ü', "port": 5432}, "plain": "seen"},
        recipients,
        0.0,
        encrypted_regex="^(password|port)$",
    )

    rendered = charted(
        HEAD.format(kind="Secret") + "data:\n  one: {{ .Values.db.password | b64enc }}\n"
        '  two: {{ printf "postgres://u:%s@h:%v" .Values.db.password .Values.db.port | b64enc | quote }}\n'
        "stringData:\n  three: {{ .Values.db.password | quote }}\n  four: |\n    p = {{ .Values.db.password }}\n  five: {{ .Values.plain }}\n",
        json.dumps(values).encode(),
    )  # fmt: skip

    assert b"hunter2" not in rendered.lines[0]
    (manifest,) = await opened(rendered)
    assert decoded(manifest, "one").decode() == 'hunter2"\\-ü'
    assert decoded(manifest, "two").decode() == 'postgres://u:hunter2"\\-ü@h:5432'
    assert manifest["stringData"] == {"three": 'hunter2"\\-ü', "four": 'p = hunter2"\\-ü\n', "five": "seen"}


@pytest.mark.parametrize(
    ("kind", "field", "message"),
    [
        ("ConfigMap", "data: {p: '{{ .Values.database.password }}'}", "database.password of secrets.yaml would be in ConfigMap x, data.p"),
        ("Secret", "metadata2: {p: '{{ .Values.database.password }}'}", "metadata2.p"),
        ("Secret", "stringData: {'{{ .Values.database.password }}': x}", "name of a field"),
        ("Secret", "stringData: {p: '{{ .Values.database.password | upper }}'}", "a template has changed"),
        ("Secret", "stringData: {p: '{{ .Values.database.password | trunc 20 }}'}", "a template has changed"),
        ("Secret", "data: {p: '{{ .Values.database.password | upper | b64enc }}'}", "a template has changed"),
    ],
)  # fmt: skip
def test_a_chart_that_does_more_with_a_secret_than_store_it_is_refused(kind, field, message):
    # The MAC of these values does not hold any more: nobody looks at it here.
    with pytest.raises(RenderError) as failed:
        charted(HEAD.format(kind=kind) + field + "\n", without_bool(VALUES))

    assert message in str(failed.value)


def test_values_that_cannot_be_secret_are_refused():
    with pytest.raises(RenderError, match=r"database\.enabled is true or false"):
        charted(HEAD.format(kind="Secret"))
    with pytest.raises(RenderError, match="it is not encrypted"):
        charted(HEAD.format(kind="Secret"), b"password: hunter2\n", secret_files=("secrets.yaml",))
