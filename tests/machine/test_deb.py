"""The Debian package: what is in it, that it works where it is unpacked, and the same bytes each time."""

import hashlib
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.machine.device import Enrolled

pytestmark = pytest.mark.system
NEEDED = ("dpkg-deb", "bwrap", "/usr/bin/python3")


@dataclass(frozen=True)
class Package:
    """The file, and what it holds: ``tree`` with its control files in ``DEBIAN``."""

    file: Path
    tree: Path


def build(folder: Path) -> Path:
    # Compressed a little only: here its size does not matter.
    env = os.environ | {"DPKG_DEB_COMPRESSOR_LEVEL": "0"}
    done = subprocess.run(
        [ROOT / "configs/deb/build.sh", folder], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    for program in NEEDED:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("deb")
    file = build(folder)
    subprocess.run(["dpkg-deb", "-R", file, folder / "tree"], check=True)
    return Package(file, folder / "tree")


def field(package: Package, name: str) -> str:
    done = subprocess.run(["dpkg-deb", "-f", package.file, name], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_its_fields_and_files(package: Package) -> None:
    assert (field(package, "Package"), field(package, "Recommends")) == ("headland-agent", "runc")
    assert field(package, "Depends").startswith("python3 (>= 3.")
    tree = package.tree
    assert (tree / "DEBIAN/conffiles").read_text() == "/etc/headland/agent.toml\n"
    assert (tree / "etc/headland/agent.toml").read_bytes() == (ROOT / "configs/agent.toml").read_bytes()
    unit = tree / "usr/lib/systemd/system/headland-agent.service"
    assert unit.read_bytes() == (ROOT / "configs/headland-agent.service").read_bytes()
    lib = tree / "opt/headland-agent/lib"
    assert (lib / "agent/drivers/seccomp.json").exists()
    for unwanted in ("cloud_hub", "modules", "simulators", "tests", "numpy", "pip"):
        assert not (lib / unwanted).exists(), unwanted
    assert not list(tree.rglob("__pycache__"))


def test_its_files_are_root_s_and_nobody_else_may_write_them(package: Package) -> None:
    listed = subprocess.run(
        ["dpkg-deb", "-c", package.file], capture_output=True, text=True, check=True
    ).stdout
    for line in listed.splitlines():
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        if not mode.startswith("l"):
            assert (mode[5], mode[8]) == ("-", "-"), line
        assert "s" not in mode, line


def test_its_digests_are_those_of_its_files(package: Package) -> None:
    lines = (package.tree / "DEBIAN/md5sums").read_text().splitlines()
    told = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = [path for path in package.tree.rglob("*") if path.is_file() and not path.is_symlink()]
    found = {
        str(path.relative_to(package.tree)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in files
        if "DEBIAN" not in path.parts
    }
    assert told == found


def test_two_builds_are_the_same_bytes(package: Package, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == package.file.read_bytes()


def test_the_command_works_with_its_own_libraries_alone(package: Package, device: Enrolled) -> None:
    program = package.tree / "usr/bin/headland-agent"
    assert stat.S_ISLNK(program.lstat().st_mode)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": "/nowhere"}
        return subprocess.run([program, *words], env=env, capture_output=True, text=True, check=False)

    assert run("--version").stdout.startswith("headland-agent ")
    state = ("--state-dir", str(device.state), "--driver", "process")
    applied = run("apply", str(device.file(device.document(3))), *state)
    assert applied.stdout.startswith("generation 3 "), applied.stderr
    told = run("check", *state).stdout
    assert "certificate" in told
    assert not list(package.tree.rglob("__pycache__")), "it writes nothing into its folder"


def test_its_scripts_do_their_work_and_leave_nothing(package: Package, tmp_path: Path) -> None:
    """In a sandbox in which only /opt may be written, and no systemd runs."""
    tree = tmp_path / "tree"
    shutil.copytree(package.tree, tree, symlinks=True)
    (tree / "usr/bin/headland-agent").unlink()
    box = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run"]
    box += ["--bind", str(tree / "opt"), "/opt", "--tmpfs", "/var/lib"]

    def script(name: str, word: str) -> None:
        command = [*box, "--ro-bind", str(tree / "DEBIAN"), "/mnt", "/bin/sh", f"/mnt/{name}", word]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    script("postinst", "configure")
    assert (tree / "opt/headland-agent/lib/agent/__pycache__").is_dir()
    script("prerm", "upgrade")
    assert not list(tree.rglob("__pycache__"))
    script("postinst", "configure")
    script("prerm", "remove")
    script("postrm", "purge")
    before = {path.relative_to(package.tree) for path in (package.tree / "opt").rglob("*")}
    assert {path.relative_to(tree) for path in (tree / "opt").rglob("*")} == before
