"""The architecture as tests: what the domain may import, and what an agent may load.

import-linter (in pyproject.toml) holds the directions; these are allow-lists, which catch what nobody thought to deny.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PURE_STDLIB = {
    "__future__", "ast", "base64", "binascii", "bisect", "calendar", "collections", "copy", "dataclasses", "datetime",
    "difflib", "enum", "fnmatch", "functools", "graphlib", "hashlib", "heapq", "hmac", "html", "ipaddress", "itertools", "json", "math", "operator",
    "re", "statistics", "string", "struct", "types", "typing", "zlib", "zoneinfo",
}  # fmt: skip
PURE_MODULES = {"urllib.parse"}
"""Of packages that are not pure as a whole."""
PURE_LIBRARIES = {"msgspec", "orjson", "nacl", "zstandard", "cel_expr_python", "shared"}
VOCABULARY = {
    "errors", "model", "manifests", "messages", "subjects", "signing", "bundle", "diff", "nkeys", "credentials",
    "expressions", "deletion", "asking", "limits", "sealed",
}  # fmt: skip
HUB_DOMAIN_EXTRA = {"cronsim", "pydantic", "pydantic_core", "yaml", "typing_extensions", "annotated_types", "hub"}

PURE = [
    *sorted((ROOT / "hub/domain").rglob("*.py")),
    *sorted((ROOT / "agent/domain").rglob("*.py")),
    *(ROOT / f"shared/{name}.py" for name in sorted(VOCABULARY)),
]

AGENT_THIRD_PARTY = {
    "aiohappyeyeballs", "aiohttp", "aiosignal", "attr", "attrs", "cffi", "_cffi_backend", "frozenlist", "idna",
    "msgspec", "multidict", "nacl", "_sodium", "nats", "opentelemetry", "orjson", "propcache", "typing_extensions", "yarl",
    "zstandard", "_virtualenv", "backports", "prometheus_client", "importlib_metadata", "zipp", "_distutils_hack",
}  # fmt: skip
"""What the agent may load when it runs with in-cluster credentials. Each entry costs resident memory in every cluster."""


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module}
    return names


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_only_what_is_pure(path):
    package = path.relative_to(ROOT).parts[0]
    allowed = PURE_STDLIB | PURE_LIBRARIES | (HUB_DOMAIN_EXTRA if package == "hub" else {"agent"})

    for name in imported(path):
        head, *rest = name.split(".")
        assert head in allowed or name in PURE_MODULES, (
            f"{name} does I/O, reads a clock, or is not on the list of pure modules"
        )
        if head == "shared" and rest:
            assert rest[0] in VOCABULARY, f"{name} is an edge: the core may not know it"
        if head in {"hub", "agent"}:
            assert rest[:1] == ["domain"], f"{name} is outside the domain"


def test_the_agent_loads_only_what_it_may():
    program = (
        "import agent.__main__, agent.loop, agent.kube.client, agent.cache, sys\n"
        "names = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(' '.join(sorted(names)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)

    loaded = {n for n in result.stdout.split() if not n.startswith(("__", "_cython", "cython", "_pytest"))}

    assert loaded - {"agent", "shared"} <= AGENT_THIRD_PARTY


def test_nothing_but_settings_reads_the_environment():
    readers = [
        str(path.relative_to(ROOT))
        for package in ("hub", "agent", "shared")
        for path in (ROOT / package).rglob("*.py")
        if "os.environ" in path.read_text() and path.name != "settings.py"
    ]

    assert readers == []
