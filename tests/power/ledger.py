"""Who changes a hub without pause, notes each change that was answered with 2xx, and judges what is there."""

import threading
from collections.abc import Callable
from pathlib import Path

from cloud_hub.sdk import Hub, SdkError, Workspace
from contract.digests import sha256
from tests.hub.test_models import as_bytes, onnx_model
from tests.power.meter import STREAM, Meter

PAUSE_S = 0.02
DEED_PAUSE_S = 0.1
"""Between two rollouts or models: what there is to judge after each cut grows with them."""
SAMPLES_AT_ONCE = 5


class Ledger:
    """Three who work at once: models are registered, rollouts applied, samples measured."""

    def __init__(self, folder: Path, meter: Meter, manifest: Callable[[str], str]) -> None:
        self._folder, self._meter, self._manifest = folder, meter, manifest
        self.models: dict[str, str] = {}
        self.rollouts: dict[tuple[str, int], None] = {}
        self.refused: dict[str, str] = {}
        """What each was last told instead of a yes."""
        self._looked_at = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many models, rollouts and samples were acknowledged so far."""
        return len(self.models), len(self.rollouts), self._meter.acknowledged

    def start(self) -> None:
        """Begin."""
        self._stopping.clear()
        works = (self._register_models, self._apply_rollouts, self._measure)
        self._threads = [threading.Thread(target=work) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait until nobody is at work."""
        self._stopping.set()
        while self._threads:
            self._threads.pop().join()

    def lost(self, workspace: Workspace, *, all_bytes: bool = True) -> list[str]:
        """Return what was acknowledged and is not there as it was; no tolerance.

        Without ``all_bytes`` only models are downloaded that were not looked at before.
        """
        found = self._lost_models(workspace, 0 if all_bytes else self._looked_at)
        found += self._lost_rollouts(workspace)
        return found + self._lost_samples(workspace) + self._meter.faults

    def _lost_models(self, workspace: Workspace, first: int) -> list[str]:
        noted = dict(self.models)
        there = {f"{model.name}:{model.version}" for model in workspace.models()}
        lost = [name for name in noted if name not in there]
        for number, (name, digest) in enumerate(noted.items()):
            if name not in there or number < first:
                continue
            try:
                file = workspace.download_model(name, self._folder / f"{name}-{number}")
            except SdkError as error:
                lost.append(f"{name}: {error}")
                continue
            if sha256(file.read_bytes()) != digest:
                lost.append(f"{name}: other bytes")
            file.unlink()
        self._looked_at = len(noted)
        return lost

    def _lost_rollouts(self, workspace: Workspace) -> list[str]:
        noted, held = list(self.rollouts), self._meter.generation  # before one looks: all go on working
        there = workspace.rollouts()
        known = {(rollout.name, rollout.revision) for rollout in there}
        newest = max((d.generation or 0 for rollout in there for d in rollout.devices), default=0)
        lost = [f"rollout {name}:{revision}" for name, revision in noted if (name, revision) not in known]
        if newest < held:
            lost.append(f"generation {held}, which the device has; the hub is at {newest}")
        return lost

    def _lost_samples(self, workspace: Workspace) -> list[str]:
        acknowledged = self._meter.acknowledged
        if not acknowledged:
            return []
        sql = (
            "SELECT count(*) - count(DISTINCT seq), count(*) FILTER (seq <> CAST(body AS BIGINT)),"
            f" {acknowledged} - count(DISTINCT seq) FILTER (seq <= {acknowledged})"
            f" FROM {STREAM} WHERE device = '{self._meter.name}'"
        )
        (counts,) = workspace.query(sql).rows
        return [
            f"{count} samples {how}"
            for count, how in zip(counts, ("twice", "other", "lost"), strict=True)
            if count
        ]

    def _register_models(self) -> None:
        path = self._folder / "meter.onnx"
        number = 0
        with Hub.connect() as hub:
            while not self._stopping.wait(DEED_PAUSE_S):
                number += 1
                path.write_bytes(as_bytes(onnx_model(float(number))))
                try:
                    model = hub.workspace().register_model(f"m{number % 3}", path)
                except SdkError as error:
                    self.refused["model"] = str(error)
                    continue  # nobody was told that it is there
                self.models[f"{model.name}:{model.version}"] = sha256(path.read_bytes())

    def _apply_rollouts(self) -> None:
        number = 0
        with Hub.connect() as hub:
            while not self._stopping.wait(DEED_PAUSE_S):
                number += 1
                try:
                    rollout = hub.workspace().apply_rollout(self._manifest(f"r{number % 3}"))
                except SdkError as error:
                    self.refused["rollout"] = str(error)
                    continue
                self.rollouts[rollout.name, rollout.revision] = None

    def _measure(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            self._meter.measure(SAMPLES_AT_ONCE)
