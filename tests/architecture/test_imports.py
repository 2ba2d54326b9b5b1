"""Who may import whom (ARCHITECTURE.md). Lazy and type-checking imports count."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"contract", "agent", "cloud_hub", "modules", "simulators", "tests", "benchmarks"}
MAY_IMPORT = {
    "contract": set[str](),
    "agent": {"contract"},
    "cloud_hub": {"contract"},
    "modules": {"contract"},
    "simulators": {"contract", "agent", "cloud_hub.sdk"},
}
# Imported by a device: each costs memory there (benchmarks/README.md).
HEAVY = {"numpy", "onnxruntime", "httpx", "pydantic", "fastapi", "sqlalchemy", "yaml", "asyncio", "requests"}
# Pure rooms take no clock, no randomness, no I/O and no asyncio: they are given what they need.
IMPURE = {
    "asyncio", "time", "random", "secrets", "os", "pathlib", "socket", "subprocess", "threading",
    "sqlite3", "http", "uuid", "tempfile", "shutil", "logging",
}  # fmt: skip
PURE = [
    "contract",
    "agent/artifacts/windows.py",
    "agent/network/bypass.py",
    "agent/reconcile/state.py",
    "agent/reconcile/planner.py",
    "agent/reconcile/report.py",
    "agent/reconcile/restarts.py",
    "agent/trust/acceptance.py",
    "agent/drivers/bundle.py",
    "agent/drivers/bundle_mounts.py",
    "agent/policy/judge.py",
    "agent/policy/rules.py",
    "agent/metrics/text.py",
    "agent/metrics/collect.py",
    "cloud_hub/access/roles.py",
    "cloud_hub/audit/chain.py",
    "cloud_hub/broker/access.py",
    "cloud_hub/rollouts/manifest.py",
    "cloud_hub/rollouts/queries.py",
    "cloud_hub/rollouts/strategy.py",
    "cloud_hub/rollouts/targets.py",
    "cloud_hub/rollouts/waves.py",
    "cloud_hub/rollouts/yaml_source.py",
    "cloud_hub/archives/names.py",
    "cloud_hub/importing",
    "cloud_hub/archives/tree.py",
    "cloud_hub/outbound/addresses.py",
    "cloud_hub/outbound/policy.py",
    "cloud_hub/activities/log_lines.py",
    "cloud_hub/broker/access.py",
    "cloud_hub/rollouts/manifest.py",
    "cloud_hub/webhooks/rules.py",
    "cloud_hub/webhooks/signing.py",
]
SDK_MAY = {"contract", "httpx", "msgspec", "cloud_hub.sdk"}


def imports_of(source: str) -> set[str]:
    """Return every module that a source imports, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.add("relative import")
            elif node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, allowed: set[str]) -> bool:
    """Is module ``name`` one of ``allowed``, or inside one?"""
    return any(name == each or name.startswith(f"{each}.") for each in allowed)


def breaches(package: str, source: str) -> set[str]:
    """Return the imports of ``source`` that its package may not have."""
    allowed = MAY_IMPORT[package] | {package}
    ours = {name for name in imports_of(source) if name.partition(".")[0] in OURS | {"relative import"}}
    return {name for name in ours if not within(name, allowed)}


def sources(place: str) -> list[Path]:
    """Return the Python files of a file or folder."""
    path = ROOT / place
    found = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found, f"nothing is at {place}"
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_they_may(package: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(package)
        for name in breaches(package, path.read_text())
    }
    assert not found


def test_the_agent_imports_nothing_heavy() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("agent")
        for name in imports_of(path.read_text())
        if within(name, HEAVY)
    }
    assert not found


@pytest.mark.parametrize("place", PURE)
def test_pure_rooms_do_no_io(place: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(place)
        for name in imports_of(path.read_text())
        if within(name, IMPURE)
    }
    assert not found


def test_the_sdk_knows_the_hub_only_over_https() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("cloud_hub/sdk")
        for name in imports_of(path.read_text())
        if name.partition(".")[0] in OURS | {"fastapi", "sqlalchemy"} and not within(name, SDK_MAY)
    }
    assert not found


@pytest.mark.parametrize(
    "planted",
    [
        "import cloud_hub.app",
        "from cloud_hub import app",
        "def f():\n    import cloud_hub",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cloud_hub.app import run",
        "from .. import cloud_hub",
    ],
)
def test_a_planted_breach_is_caught(planted: str) -> None:
    assert breaches("agent", planted)
    assert not breaches("agent", "from contract.ids import check_name\nimport agent.app\nimport json")


def test_a_planted_impurity_is_caught() -> None:
    planted = imports_of("def f():\n    from time import monotonic")
    assert any(within(name, IMPURE) for name in planted)
    assert not any(within(name, IMPURE) for name in imports_of("from timeit import timeit"))


def test_the_contract_stays_small() -> None:
    delta = set(sources("contract/delta"))
    lines = {path: len(path.read_text().splitlines()) for path in sources("contract")}
    assert delta
    assert sum(count for path, count in lines.items() if path in delta) < 600
    assert sum(count for path, count in lines.items() if path not in delta) < 1_300
