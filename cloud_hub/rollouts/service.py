"""Rollouts: a manifest becomes one signed desired document for each of its devices, at once or in waves.

A rollout replaces whatever its devices had before: the last one applied counts.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.rollouts.current import AT_ONCE
from cloud_hub.rollouts.documents import (
    Content,
    document,
    generations,
    is_stale,
    newest_above,
    opened,
    sign_anew,
)
from cloud_hub.rollouts.manifest import Manifest, read_manifest
from cloud_hub.rollouts.moving import Pushes, label, move
from cloud_hub.rollouts.plan import DevicePlan, changes
from cloud_hub.rollouts.progress import DeviceState, progress
from cloud_hub.rollouts.resolving import Resolved, named, resolve
from cloud_hub.rollouts.rows import RolloutDeviceRow, RolloutEventRow, RolloutRow
from cloud_hub.rollouts.standing import events_of, keep, standing_of, tell
from cloud_hub.rollouts.strategy import StrategySpec
from contract.encoding import encode

Push = Callable[[str, bytes], None]
"""``push(device, envelope)``: tell a device now; one that is offline asks when it comes back."""


class Rollouts:
    """Rollouts of all workspaces."""

    def __init__(self, database: Database, signer: DesiredSigner, push: Push, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._signer = signer
        self._push = push

    def apply(self, workspace: str, text: str, by: Actor) -> RolloutRow:
        """Check a manifest whole, then begin the rollout: all or nothing.

        Without a strategy every device is given its next generation now; with one the `Conductor` does it.
        """
        manifest, source = read_manifest(text)
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            found = resolve(session, workspace, manifest, source)
            revision = _next_revision(session, workspace, manifest.metadata.name)
            content = _content(manifest, revision, found)
            row = _row(workspace, manifest, text, revision, content, len(found.waves), by, now)
            session.add(row)
            session.flush()
            members = _members(row, found.waves)
            _take_over(session, row, found.devices, now)
            session.add_all(members)
            pushes: Pushes = []
            if manifest.spec.strategy is None:
                pushes = move(session, self._signer, row, members, content, now)
            tell(session, row, now, by=by.principal)
            self._audit.record(session, by, "rollout.apply", label(row), workspace=workspace)
        for device, envelope in pushes:
            self._push(device, envelope)
        return row

    def plan(self, workspace: str, text: str) -> tuple[str, int, list[DevicePlan]]:
        """Check a manifest whole, and return its name, its revision, and what each device would get.

        Nothing is changed; what is applied later may meet another state.
        """
        manifest, source = read_manifest(text)
        name, now = manifest.metadata.name, datetime.now(UTC)
        with self._database.transaction() as session:
            found = resolve(session, workspace, manifest, source)
            revision = _next_revision(session, workspace, name)
            content = _content(manifest, revision, found)
            known = generations(session, found.devices)
            held = {
                row.device: opened(row.envelope) for row in newest_above(session, dict.fromkeys(known, 0))
            }
            plans = []
            for number, devices in enumerate(found.waves):
                for device in devices:
                    now_held = held.get(device)
                    then = document(workspace, device, known[device][1], content, now)
                    replaces = now_held.rollout if now_held is not None else ""
                    changed = changes(now_held, then)
                    plans.append(DevicePlan(device, number, then.generation, replaces, changed))
        return name, revision, plans

    def newer_than(self, device: str, generation: int) -> bytes | None:
        """Return the newest envelope for a device where its generation is above ``generation``."""
        return self.newer_than_each({device: generation}).get(device)

    def newer_than_each(self, held: Mapping[str, int]) -> dict[str, bytes]:
        """Return, by device, the newest envelope where its generation is above the one that is held.

        For many devices, at most a few hundred: it costs little more than for one. A document that waited
        for its device for long is signed anew, or the device would refuse it as out of date.
        """
        now = datetime.now(UTC)
        with self._database.reading() as session:
            rows = newest_above(session, held)
        if any(is_stale(row, now) for row in rows):
            with self._database.transaction() as session:
                rows = newest_above(session, held)
                for row in rows:
                    if is_stale(row, now):
                        sign_anew(self._signer, row, now)
        return {row.device: row.envelope for row in rows}

    def get(self, workspace: str, name: str) -> RolloutRow:
        """Return the newest revision; raises `NotFoundError`."""
        with self._database.reading() as session:
            return newest_revision(session, workspace, name)

    def all_in(self, workspace: str) -> list[RolloutRow]:
        """Return every revision, newest first."""
        query = select(RolloutRow).where(RolloutRow.workspace == workspace).order_by(RolloutRow.id.desc())
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def progress(self, rollouts: Sequence[RolloutRow]) -> dict[int, list[DeviceState]]:
        """Return, by the id of each rollout, where its devices are."""
        with self._database.reading() as session:
            return progress(session, [rollout.id for rollout in rollouts])

    def events(self, workspace: str, name: str) -> list[RolloutEventRow]:
        """Return what became of the newest revision, oldest first; raises `NotFoundError`."""
        with self._database.reading() as session:
            return events_of(session, newest_revision(session, workspace, name).id)


def newest_revision(session: Session, workspace: str, name: str, *, locked: bool = False) -> RolloutRow:
    """Return the newest revision of a rollout; raises `NotFoundError`."""
    query = select(RolloutRow).where(RolloutRow.workspace == workspace, RolloutRow.name == name)
    query = query.order_by(RolloutRow.revision.desc()).limit(1)
    row = session.scalars(query.with_for_update() if locked else query).first()
    if row is None:
        raise NotFoundError(
            "no such rollout in this workspace", where=name, fix="`headland rollout list` shows them."
        )
    return row


def _row(
    workspace: str,
    manifest: Manifest,
    text: str,
    revision: int,
    content: Content,
    waves: int,
    by: Actor,
    now: datetime,
) -> RolloutRow:
    strategy = manifest.spec.strategy
    return RolloutRow(
        workspace=workspace,
        name=manifest.metadata.name,
        revision=revision,
        manifest=text,
        images=named(content.modules, content.agent),
        created_by=by.principal,
        created_at=now,
        content=encode(content),
        rules=msgspec.to_builtins((strategy or StrategySpec()).rules(waves)),
        state="done" if strategy is None else "running",
        wave=0,
        approved=-1,
        reason="",
    )


def _content(manifest: Manifest, revision: int, found: Resolved) -> Content:
    return Content(rollout=f"{manifest.metadata.name}:{revision}", modules=found.modules, agent=found.agent)


def _members(row: RolloutRow, waves: Sequence[Sequence[str]]) -> list[RolloutDeviceRow]:
    return [
        RolloutDeviceRow(
            rollout=row.id, device=device, wave=wave, place=place, phase="pending", excused=False
        )
        for wave, devices in enumerate(waves)
        for place, device in enumerate(devices)
    ]


def _take_over(session: Session, row: RolloutRow, devices: Sequence[str], now: datetime) -> None:
    """End earlier revisions that still go on, and take ``devices`` from rollouts that they wait for."""
    given = RolloutDeviceRow
    older = select(RolloutRow).where(
        RolloutRow.workspace == row.workspace,
        RolloutRow.name == row.name,
        RolloutRow.id != row.id,
        RolloutRow.state.in_(("running", "awaiting-approval", "paused")),
    )
    for each in session.scalars(older.with_for_update()):
        session.execute(
            update(given).where(given.rollout == each.id, given.phase == "pending").values(phase="left")
        )
        ended = msgspec.structs.replace(
            standing_of(each), state="superseded", reason=f"{label(row)} was applied"
        )
        keep(session, each, ended, now)
    for start in range(0, len(devices), AT_ONCE):
        some = given.device.in_(devices[start : start + AT_ONCE])
        session.execute(update(given).where(given.phase == "pending", some).values(phase="left"))


def _next_revision(session: Session, workspace: str, name: str) -> int:
    known = select(func.max(RolloutRow.revision)).where(
        RolloutRow.workspace == workspace, RolloutRow.name == name
    )
    return (session.scalar(known) or 0) + 1
