"""Container tools as people have them, unmodified: skopeo, podman and buildah against a hub over TLS."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TIMEOUT_S = 120
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


@dataclass(frozen=True)
class Tools:
    """Tools that believe in one CA, keep everything in one folder, and log in with one token."""

    folder: Path
    host: str
    token: str

    @classmethod
    def make(cls, folder: Path, host: str, ca: Path, token: str) -> "Tools":
        """Lay out what the tools read: the CA, a signature policy, and podman's own settings."""
        certificates = folder / "certs"
        certificates.mkdir(parents=True)
        shutil.copy(ca, certificates / "ca.crt")
        (folder / "policy.json").write_text(json.dumps(POLICY))
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=512:512"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/storage"\n'
        )
        return cls(folder, host, token)

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command; where it fails the test tells what it said."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "XDG_RUNTIME_DIR": str(self.folder / "xdg"),
            "TMPDIR": str(self.folder),
        }
        (self.folder / "xdg").mkdir(exist_ok=True)
        done = subprocess.run(
            [str(word) for word in words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}")
        return done

    def image(self, repository: str, tag: str) -> str:
        """Return what podman and skopeo call an image of the hub."""
        return f"{self.host}/{repository}:{tag}"

    def skopeo_copy(self, source: str, target: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Copy an image; what is of the hub is ``hub:REPOSITORY:TAG``."""
        words = ["skopeo", "--policy", str(self.folder / "policy.json"), "copy", "--preserve-digests", *more]
        for side, which in (("src", source), ("dest", target)):
            if which.startswith("hub:"):
                words += [
                    f"--{side}-cert-dir",
                    str(self.folder / "certs"),
                    f"--{side}-creds",
                    f"any:{self.token}",
                ]
        places = [
            f"docker://{self.host}/{each.removeprefix('hub:')}" if each.startswith("hub:") else each
            for each in (source, target)
        ]
        return self.run(*words, *places)

    def podman(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman with its storage in the folder."""
        return self.run("podman", *words, check=check)

    def podman_login(self) -> None:
        """Log in, as a person does once."""
        self.podman(
            "login", "--cert-dir", self.folder / "certs", "--authfile", self.folder / "auth.json",
            "--username", "any", "--password", self.token, self.host,
        )  # fmt: skip

    @property
    def podman_options(self) -> tuple[str, ...]:
        """Return what podman's pull and push need to trust the hub and to show who it is."""
        return (
            "--cert-dir", str(self.folder / "certs"), "--authfile", str(self.folder / "auth.json"),
        )  # fmt: skip


@contextmanager
def needing(*programs: str) -> Iterator[None]:
    """Skip where a program is not there, or where the test is not root's."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(programs)} (apt-get install {' '.join(programs)})")
    yield
