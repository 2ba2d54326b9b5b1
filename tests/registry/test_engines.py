"""containerd and Docker against the hub over TLS: pull, run, push."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.registry.engines import containerd, docker
from tests.registry.program import program as program  # noqa: PLC0414  a fixture
from tests.registry.program import program_image
from tests.registry.tools import needing
from tests.registry.wire import Wire

pytestmark = [pytest.mark.soak, pytest.mark.system]


def told(*words: str, stdin: str = "", code: int = 0) -> str:
    """Run a command and return what it printed; another exit code fails the test."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_containerd_pulls_runs_and_pushes(
    wire: Wire, token: str, ca: Path, host: str, program: Path, tmp_path: Path
) -> None:
    content = program_image(program)
    wire.push("shop/engines", content, "1")
    # By itself it takes plain HTTP for a registry on localhost.
    (tmp_path / host).mkdir()
    (tmp_path / host / "hosts.toml").write_text(f'[host."https://{host}"]\nca = "{ca}"\n')
    trust = ("--hosts-dir", str(tmp_path))
    access = (*trust, "--user", f"any:{token}")
    with needing("containerd", "ctr", "runc"), containerd() as ctr:
        name, other = f"{host}/shop/engines:1", f"{host}/lab/by-containerd:2"
        told(*ctr, "images", "pull", *access, name)
        ran = told(*ctr, "run", "--rm", name, "one", code=7)
        told(*ctr, "images", "push", *access, other, name)
        with pytest.raises(AssertionError, match=r"401|403|authoriz"):
            told(*ctr, "images", "pull", *trust, "--user", "any:wrong", name)
    assert ran == "it runs\n"
    assert wire.ask("GET", "lab/by-containerd/manifests/2").headers["Docker-Content-Digest"] == content.digest


def test_docker_pulls_runs_and_pushes(wire: Wire, token: str, host: str, program: Path) -> None:
    content = program_image(program)
    wire.push("shop/engines", content, "2")
    with needing("dockerd", "docker", "runc"), docker() as client:
        name, other = f"{host}/shop/engines:2", f"{host}/lab/by-docker:3"
        told(*client, "login", "--username", "any", "--password-stdin", host, stdin=token)
        told(*client, "pull", name)
        ran = told(*client, "run", "--rm", "--network", "none", name, code=7)
        told(*client, "tag", name, other)
        told(*client, "push", other)
    assert ran == "it runs\n"
    pushed = wire.ask("GET", "lab/by-docker/manifests/3")
    assert pushed.status_code == 200
    # Docker writes a manifest of its own format; the bytes of the layer's tar are the same.
    config = wire.ask("GET", f"lab/by-docker/blobs/{pushed.json()['config']['digest']}").json()
    assert config["rootfs"] == json.loads(next(iter(content.blobs.values())))["rootfs"]
