"""What a device installs: the agent alone, with nothing that it does not need."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "headland", "msgspec", "paho-mqtt", "cryptography", "cffi", "pycparser", "backports.zstd", "cronsim",
    "pip", "setuptools",
}  # fmt: skip
LIST = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
IMPORT = """
import pkgutil, importlib, sys
import agent, contract
for package in (agent, contract):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(*sorted(name for name in sys.modules if "." not in name))
"""


@pytest.fixture(scope="module")
def device_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the Python of an environment with `headland[agent]` alone, at the locked versions."""
    folder = tmp_path_factory.mktemp("device")
    uv = str(Path(sys.executable).parent / "uv")
    locked = folder / "agent.lock"
    compile_lock = [
        uv, "pip", "compile", "-q", "--no-header", "--no-annotate", "--extra", "agent",
        "-c", str(ROOT / "requirements.lock"), str(ROOT / "pyproject.toml"), "-o", str(locked),
    ]  # fmt: skip
    subprocess.run(compile_lock, check=True, cwd=folder)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(folder / "venv")], check=True)
    install = [uv, "pip", "install", "-q", "-p", str(python)]
    subprocess.run([*install, "-r", str(locked), "setuptools"], check=True)
    # From a copy: a build leaves its traces where it runs.
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "headland-data")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", str(folder / "source")], check=True)
    return str(python)


def test_an_agent_alone_installs_little_and_imports(device_python: str) -> None:
    def run(source: str) -> set[str]:
        done = subprocess.run([device_python, "-I", "-c", source], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert run(LIST) <= ALLOWED
    imported = run(IMPORT)
    assert {"agent", "contract"} <= imported
    assert not imported & {"numpy", "onnxruntime", "httpx", "pydantic", "fastapi", "asyncio"}


def test_the_command_of_an_agent_alone_works(device_python: str, tmp_path: Path) -> None:
    program = str(Path(device_python).parent / "headland-agent")
    done = subprocess.run(
        [program, "run", "--state-dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "this device is not enrolled" in done.stderr


def test_the_extras_are_those_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) == {
        "agent",
        "azure",
        "cli",
        "hub",
        "postgres",
        "fpga",
        "demo",
        "dev",
    }
    assert project["optional-dependencies"]["azure"] == ["azure-iot-device>=2.15.0rc1,<3"]
    assert "paho-mqtt>=2.1,<3" in project["dependencies"]
