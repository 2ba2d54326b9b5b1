"""Slots: releases of the agent, whole on disk, each in a folder that never changes.

The files are the image's own in the content store, under a second name: they take no room of their own while
both are there, and stay when the store is swept.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.artifacts.pull import StagedImage
from agent.artifacts.room import storing
from agent.durable import sync_folder, write_durably
from agent.errors import AgentReleaseError
from agent.layers import has_whiteouts
from agent.selfupdate import record
from contract.agent_release import PYTHON_LABEL, STATE_FORMAT, STATE_LABEL, VERSION_LABEL

COMPILE_S: Final = 900.0
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
ABOUT: Final = "about.json"


@dataclass(frozen=True)
class Release:
    """What a release's labels say."""

    version: str
    python: str
    state_format: int


def release_of(staged: StagedImage) -> Release:
    """Return what the release is; raises `AgentReleaseError` where it cannot run on this device."""
    labels = staged.config.config.Labels
    if VERSION_LABEL not in labels:
        raise AgentReleaseError(
            "the image is no release of the agent", fix="Order one of `headland agent list`."
        )
    told = labels.get(STATE_LABEL, "")
    release = Release(
        labels[VERSION_LABEL],
        labels.get(PYTHON_LABEL, "?"),
        int(told) if told.isascii() and told.isdigit() else 0,
    )
    if release.python != PYTHON:
        raise AgentReleaseError(
            f"the release is for Python {release.python}, this device has {PYTHON}",
            fix="Order one that was packed with the device's Python.",
        )
    if release.state_format < STATE_FORMAT:
        raise AgentReleaseError(
            f"the release knows format {release.state_format} of the state folder, here is {STATE_FORMAT}",
            fix="Order a newer one.",
        )
    return release


class Slots:
    """The folder of the slots."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._folder = record.slots_of(state_dir)

    def whole(self) -> frozenset[str]:
        """Return the slots that are there."""
        return record.whole_slots(self._state_dir)

    def name(self, slot: str) -> str:
        """Return the name of the release in a slot, as people know it."""
        return self._about(slot, "name")

    def version(self, slot: str) -> str:
        """Return the version that a slot's release says it is."""
        return self._about(slot, "version")

    def add(self, slot: str, name: str, staged: StagedImage) -> None:
        """Make a slot of a release: whole, or not at all. Raises `ArtifactError`, `AgentReleaseError`."""
        if slot in self.whole():
            return
        about = {"name": name, "version": release_of(staged).version}
        with storing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = self._folder / f".new-{slot}"
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            beside.chmod(0o755)  # confined children, which are nobody, import from it
            try:
                for layer in staged.layers:
                    _link(layer, beside)
                if not (beside / "lib/agent/cli.py").is_file():
                    raise AgentReleaseError("the release holds no agent", fix="Make it with `make release`.")
                _compile(beside / "lib")
                write_durably(beside / ABOUT, json.dumps(about).encode())
                os.sync()
                beside.rename(self._folder / slot)
                sync_folder(self._folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    def _about(self, slot: str, what: str) -> str:
        try:
            return str(json.loads((self._folder / slot / ABOUT).read_bytes())[what])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def sweep(self, keep: frozenset[str]) -> list[str]:
        """Delete all other slots, and what was left half made; return the names of what went."""
        if not self._folder.is_dir():
            return []
        gone = [path for path in self._folder.iterdir() if path.name not in keep]
        for path in gone:
            hidden = path if path.name.startswith(".") else path.rename(path.with_name(f".gone-{path.name}"))
            shutil.rmtree(hidden, ignore_errors=True)
        return [path.name for path in gone]


def _link(layer: Path, target: Path) -> None:
    if has_whiteouts(layer):
        raise AgentReleaseError("a layer of the release takes files away", fix="Make it with `make release`.")
    for folder, folders, files in os.walk(layer):
        here = Path(folder)
        beside = target / here.relative_to(layer)
        beside.mkdir(exist_ok=True)
        found = [here / name for name in (*folders, *files)]
        if any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in found):
            raise AgentReleaseError(
                "the release holds more than plain files", fix="Make it with `make release`."
            )
        for name in files:
            try:
                (beside / name).hardlink_to(here / name)
            except OSError:  # another disk, or a file system without second names
                shutil.copy2(here / name, beside / name)


def _compile(lib: Path) -> None:
    """Compile once what each start would compile anew; what cannot be compiled is seen when it is run."""
    command = [sys.executable, "-IB", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "."]
    subprocess.run(
        command, cwd=lib, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=COMPILE_S, check=False,
    )  # fmt: skip
