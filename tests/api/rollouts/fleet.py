"""Devices of a workspace, for tests of rollouts: they report by the hub's own service."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.documents import content_of
from cloud_hub.rollouts.questions import Questions
from cloud_hub.rollouts.rows import DesiredRow, RolloutDeviceRow, RolloutRow
from cloud_hub.sdk import Workspace
from contract.messages import ModuleReport, OutboxReport, Refusal, Reported
from contract.messages import ModuleState as State
from tests.api.conftest import World
from tests.api.images import of_platforms, push
from tests.api.test_device_secrets import invite

NAMES = [f"cam-{number}" for number in range(1, 6)]
WAVES = "waves: [{count: 1}, {count: 2}]"


class Fleet:
    """Five devices of the workspace shop, and what they say."""

    def __init__(self, world: World, shop: Workspace) -> None:
        self.world, self.shop = world, shop
        for number, tag in enumerate(("a", "b", "c")):
            push(world.services, "shop/digits", of_platforms(b"layer%d" % number)[0], tags=(tag,))
            shop.register_image("digits", tag)
        for name in NAMES:
            invite(world, name)

    def apply(self, version: int, strategy: str = WAVES, name: str = "line", only: int = 5) -> None:
        more = f"  strategy: {{{strategy}}}\n" if strategy else ""
        self.shop.apply_rollout(
            f"apiVersion: headland/v1\nkind: Rollout\nmetadata: {{name: {name}}}\nspec:\n{more}"
            f"  target: {{devices: [{', '.join(NAMES[:only])}]}}\n"
            f"  modules: {{scorer: {{image: 'digits:{version}'}}}}\n"
        )

    def tick(self) -> None:
        self.world.services.conductor.tick()

    def says(
        self, *devices: str, state: State = "running", reason: str = "", ahead: int = 0, restarts: int = 0
    ) -> None:
        """Let devices report the newest document that there is for them, or one of a later generation."""
        for device in devices:
            envelope = self.world.services.rollouts.newer_than(device, 0)
            assert envelope is not None, f"{device} was given nothing"
            modules = tuple(
                ModuleReport(
                    name=module.name,
                    state=state,
                    image=module.image.name,
                    digest=module.image.digest,
                    reason=reason,
                    restarts=restarts,
                )
                for module in content_of(envelope).modules
            )
            self._report(device, self.generation(device) + ahead, modules, converged=state == "running")

    def says_refused(self, device: str, refusal: Refusal) -> None:
        """Let a device report that it holds the document before, and what it refused."""
        self._report(device, self.generation(device) - 1, (), converged=True, refused=refusal)

    def generation(self, device: str) -> int:
        with self.world.core.database.reading() as session:
            return max(session.scalars(select(DesiredRow.generation).where(DesiredRow.device == device)))

    def _report(
        self,
        device: str,
        generation: int,
        modules: tuple[ModuleReport, ...],
        *,
        converged: bool,
        refused: Refusal | None = None,
    ) -> None:
        said = Reported(
            generation=generation,
            at=datetime.now(UTC),
            converged=converged,
            modules=modules,
            outbox=OutboxReport(pending=0, dropped=0),
            refused=refused,
        )
        self.world.services.devices.heard([(device, said)])

    def images(self) -> dict[str, str]:
        """Return which image each device is to run now; an empty text where it is nothing."""
        found = {}
        for device in NAMES:
            envelope = self.world.services.rollouts.newer_than(device, 0)
            content = content_of(envelope) if envelope else None
            found[device] = content.modules[0].image.name if content and content.modules else ""
        return found

    def on(self, version: int) -> list[str]:
        return [device for device, image in self.images().items() if image == f"digits:{version}"]

    def states(self, name: str = "line") -> dict[str, str]:
        return {device.device: device.state for device in self.shop.rollout(name).devices}


@contextmanager
def later(fleet: Fleet, seconds: float) -> Iterator[None]:
    """Let all that was kept be that much older."""
    past = timedelta(seconds=seconds)
    with fleet.world.core.database.transaction() as session:
        for device in session.scalars(select(DeviceRow).where(DeviceRow.last_seen_at.is_not(None))):
            device.last_seen_at = device.last_seen_at - past if device.last_seen_at else None
        for row in session.scalars(select(RolloutDeviceRow).where(RolloutDeviceRow.moved_at.is_not(None))):
            row.moved_at = row.moved_at - past if row.moved_at else None
            row.unsettled_at = row.unsettled_at - past if row.unsettled_at else None
        for rollout in session.scalars(select(RolloutRow).where(RolloutRow.settled_at.is_not(None))):
            rollout.settled_at = rollout.settled_at - past if rollout.settled_at else None
    yield


def questions(fleet: Fleet) -> Questions:
    """Return what asks the queries of a hub of its own."""
    return Questions(fleet.world.services.telemetry.query)


def pass_bake(fleet: Fleet) -> None:
    fleet.tick()
    with later(fleet, 61):
        fleet.tick()
