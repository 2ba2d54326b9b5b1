"""Rollouts: a manifest becomes one signed desired document for each of its devices.

In this release a rollout replaces whatever its devices had before: the last one applied counts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import ManifestError, NotFoundError
from cloud_hub.images.rows import ImageRow
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.names import repository_of
from cloud_hub.rollouts.current import newest_generations
from cloud_hub.rollouts.manifest import Manifest, ModuleSpec, read_manifest
from cloud_hub.rollouts.plan import DevicePlan, changes, opened
from cloud_hub.rollouts.rows import DesiredRow, RolloutRow
from cloud_hub.rollouts.secret_refs import resolve_secrets
from cloud_hub.rollouts.yaml_source import Source
from contract.access import Access
from contract.agent_release import KIND, ORDERED_AS
from contract.desired import Desired, ImageRef, Limits, Module
from contract.encoding import encode
from contract.errors import FieldProblem
from contract.ids import split_versioned
from contract.lifecycle import Lifecycle
from contract.messages import AgentReport, Reported
from contract.secrets import SecretRef

AT_ONCE = 500
LIFETIME = timedelta(days=30)
FARTHEST = 2**31 - 1_000_000  # a device that says more is not believed: the column ends there
DeviceState = tuple[str, int, str, Reported | None]
"""A device, the generation that a rollout gave it, its state, and its last report."""
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
        """Check a manifest whole, then give every device its next generation: all or nothing."""
        manifest, source = read_manifest(text)
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            modules, agent = _resolve(session, workspace, manifest, source)
            row = RolloutRow(
                workspace=workspace,
                name=manifest.metadata.name,
                revision=_next_revision(session, workspace, manifest.metadata.name),
                manifest=text,
                images=_named(modules, agent),
                created_by=by.principal,
                created_at=now,
            )
            session.add(row)
            session.flush()
            envelopes = [
                self._next_generation(session, workspace, device, row, modules, agent)
                for device in manifest.spec.target.devices
            ]
            target = f"{row.name}:{row.revision}"
            self._audit.record(session, by, "rollout.apply", target, workspace=workspace)
        for device, envelope in envelopes:
            self._push(device, envelope)
        return row

    def plan(self, workspace: str, text: str) -> tuple[str, int, list[DevicePlan]]:
        """Check a manifest whole, and return its name, its revision, and what each device would get.

        Nothing is changed; what is applied later may meet another state.
        """
        manifest, source = read_manifest(text)
        name = manifest.metadata.name
        with self._database.transaction() as session:
            modules, agent = _resolve(session, workspace, manifest, source)
            revision = _next_revision(session, workspace, name)
            plans = []
            for device in manifest.spec.target.devices:
                row, now = _newest(session, device), datetime.now(UTC)
                held_now = opened(row.envelope) if row is not None else None
                then = self._desired(session, workspace, device, f"{name}:{revision}", modules, agent, now)
                replaces = held_now.rollout if held_now is not None else ""
                plans.append(DevicePlan(device, then.generation, replaces, changes(held_now, then)))
        return name, revision, plans

    def newer_than(self, device: str, generation: int) -> bytes | None:
        """Return the newest envelope for a device where its generation is above ``generation``."""
        with self._database.reading() as session:
            row = _newest(session, device)
        return row.envelope if row is not None and row.generation > generation else None

    def newer_than_each(self, held: Mapping[str, int]) -> dict[str, bytes]:
        """Return, by device, the newest envelope where its generation is above the one that is held.

        For many devices, at most a few hundred: it costs little more than for one.
        """
        newest = newest_generations().where(DesiredRow.device.in_(list(held))).subquery()
        that = (DesiredRow.device == newest.c.device) & (DesiredRow.generation == newest.c.generation)
        with self._database.reading() as session:
            now = session.execute(select(newest.c.device, newest.c.generation)).all()
            behind = [device for device, generation in now if generation > held[device]]
            if not behind:
                return {}
            query = select(DesiredRow.device, DesiredRow.envelope).join(newest, that)
            rows = session.execute(query.where(DesiredRow.device.in_(behind)))
            return {row.device: row.envelope for row in rows}

    def get(self, workspace: str, name: str) -> RolloutRow:
        """Return the newest revision; raises `NotFoundError`."""
        query = select(RolloutRow).where(RolloutRow.workspace == workspace, RolloutRow.name == name)
        with self._database.reading() as session:
            row = session.scalars(query.order_by(RolloutRow.revision.desc()).limit(1)).first()
        if row is None:
            raise NotFoundError(
                "no such rollout in this workspace", where=name, fix="`headland rollout list` shows them."
            )
        return row

    def all_in(self, workspace: str) -> list[RolloutRow]:
        """Return every revision, newest first."""
        query = select(RolloutRow).where(RolloutRow.workspace == workspace).order_by(RolloutRow.id.desc())
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def progress(self, rollouts: Sequence[RolloutRow]) -> dict[int, list[DeviceState]]:
        """Return, by the id of each rollout, where its devices are, in the order of their names.

        ``superseded``: the device was given something newer since; ``waiting``: it has not
        reported this generation yet; then ``running``, ``rolling`` or ``failed``.
        """
        found: dict[int, list[DeviceState]] = {rollout.id: [] for rollout in rollouts}
        held_now = newest_generations().subquery()
        ids = list(found)
        query = (
            select(
                DesiredRow.rollout, DesiredRow.device, DesiredRow.generation, DesiredRow.created_at,
                RolloutRow.images,
                held_now.c.generation, DeviceRow.last_seen_at, DeviceRow.reported,
            )
            .join(RolloutRow, RolloutRow.id == DesiredRow.rollout)
            .join(DeviceRow, DeviceRow.id == DesiredRow.device)
            .join(held_now, held_now.c.device == DesiredRow.device)
            .order_by(DesiredRow.device)
        )  # fmt: skip
        with self._database.reading() as session:
            for start in range(0, len(ids), AT_ONCE):
                some = query.where(DesiredRow.rollout.in_(ids[start : start + AT_ONCE]))
                for row in session.execute(some):
                    rollout, device, generation, created_at, images, current, seen_at, last = row
                    reported = msgspec.convert(last, Reported) if last else None
                    seen_since = seen_at is not None and seen_at > created_at
                    now = _state(generation, seen_since, reported, agent=ORDERED_AS in images)
                    state = "superseded" if current > generation else now
                    found[rollout].append((device, generation, state, reported))
        return found

    def _next_generation(
        self,
        session: Session,
        workspace: str,
        device: str,
        rollout: RolloutRow,
        modules: list[Module],
        agent: ImageRef | None,
    ) -> tuple[str, bytes]:
        now, name = datetime.now(UTC), f"{rollout.name}:{rollout.revision}"
        desired = self._desired(session, workspace, device, name, modules, agent, now)
        envelope, generation = encode(self._signer.sign(encode(desired))), desired.generation
        session.add(
            DesiredRow(
                device=device, generation=generation, rollout=rollout.id, envelope=envelope, created_at=now
            )
        )
        return device, envelope

    @staticmethod
    def _desired(
        session: Session,
        workspace: str,
        device: str,
        rollout: str,
        modules: list[Module],
        agent: ImageRef | None,
        now: datetime,
    ) -> Desired:
        newest = _newest(session, device)
        generation = max(newest.generation if newest else 0, held(session.get_one(DeviceRow, device))) + 1
        return Desired(
            device=device,
            workspace=workspace,
            generation=generation,
            issued_at=now,
            not_after=now + LIFETIME,
            rollout=rollout,
            modules=tuple(modules),
            agent=agent or UNSET,
        )


def _state(generation: int, seen_since: bool, reported: Reported | None, *, agent: bool) -> str:
    if reported is None or reported.generation < generation:
        # A refusal from before this document existed is about another one.
        refused = seen_since and reported is not None and reported.refused is not None
        return "failed" if refused else "waiting"
    if any(module.state in {"failed", "rolled_back"} for module in reported.modules):
        return "failed"
    if agent and (isinstance(reported.agent, UnsetType) or reported.agent.state == "failed"):
        return "failed"  # the first: it is too old to know of the order
    changing = agent and isinstance(reported.agent, AgentReport) and reported.agent.state != "running"
    return "running" if reported.converged and not changing else "rolling"


def held(row: DeviceRow) -> int:
    """Return the generation that a device says it holds: beyond ours, where we are an older backup."""
    said = [(document or {}).get("generation") for document in (row.hello, row.reported)]
    return max((number for number in said if isinstance(number, int) and number < FARTHEST), default=0)


def _next_revision(session: Session, workspace: str, name: str) -> int:
    newest = select(func.max(RolloutRow.revision)).where(
        RolloutRow.workspace == workspace, RolloutRow.name == name
    )
    return (session.scalar(newest) or 0) + 1


def _newest(session: Session, device: str) -> DesiredRow | None:
    query = select(DesiredRow).where(DesiredRow.device == device)
    return session.scalars(query.order_by(DesiredRow.generation.desc()).limit(1)).first()


def _named(modules: Iterable[Module], agent: ImageRef | None) -> dict[str, str]:
    named = {module.name: module.image.name for module in modules}
    return named | ({ORDERED_AS: agent.name} if agent is not None else {})


def _resolve(
    session: Session, workspace: str, manifest: Manifest, source: Source
) -> tuple[list[Module], ImageRef | None]:
    """Turn names into digests; every name that is not there is reported with its line."""
    problems = list(_unknown_devices(session, workspace, manifest, source))
    modules = []
    for name, spec in manifest.spec.modules.items():
        image, wrong = _registered(session, workspace, spec.image, agent=False)
        given, missing = resolve_secrets(session, workspace, name, spec.secrets, source)
        problems += missing
        if image is None:
            problems.append(source.problem(("spec", "modules", name, "image"), wrong))
        else:
            modules.append(_module(workspace, name, spec, image, given))
    release, wrong = _registered(session, workspace, manifest.spec.agent, agent=True)
    if wrong:
        problems.append(source.problem(("spec", "agent"), wrong))
    if problems:
        raise ManifestError(
            "the manifest names what is not there",
            fix="`headland image list`, `headland device list` and `headland secret list` show what is.",
            errors=tuple(problems),
        )
    return modules, _reference(workspace, release) if release is not None else None


def _unknown_devices(
    session: Session, workspace: str, manifest: Manifest, source: Source
) -> Iterable[FieldProblem]:
    seen: set[str] = set()
    for index, device in enumerate(manifest.spec.target.devices):
        path = ("spec", "target", "devices", index)
        row = session.get(DeviceRow, device)
        if row is None or row.workspace != workspace:
            yield source.problem(path, "no such device in this workspace")
        elif device in seen:
            yield source.problem(path, "the device stands twice")
        seen.add(device)


def _registered(
    session: Session, workspace: str, name: str | None, *, agent: bool
) -> tuple[ImageRow | None, str]:
    """Return the image of that name, or what is wrong with it; nothing of either where none is named."""
    if name is None:
        return None, ""
    image = _find_image(session, workspace, name)
    digest = name.partition("@")[2]
    if image is None:
        return None, "no such image in this workspace"
    if digest and digest != image.digest:
        return None, "the registered image has another digest"
    if (image.kind == KIND) != agent:
        return (
            None,
            "it is no release of the agent" if agent else "it is a release of the agent: see spec.agent",
        )
    return image, ""


def _reference(workspace: str, image: ImageRow) -> ImageRef:
    return ImageRef(
        repository=repository_of(workspace, image.name),
        digest=image.digest,
        name=f"{image.name}:{image.version}",
    )


def _find_image(session: Session, workspace: str, image: str) -> ImageRow | None:
    name, version = split_versioned(image.partition("@")[0], where="image")
    query = select(ImageRow).where(
        ImageRow.workspace == workspace, ImageRow.name == name, ImageRow.version == version
    )
    # Locked until the rollout is there: a deletion of the image comes before, or finds the rollout.
    return session.scalars(query.with_for_update(read=True)).first()


def _module(
    workspace: str, name: str, spec: ModuleSpec, image: ImageRow, secrets: tuple[SecretRef, ...]
) -> Module:
    life, asks = spec.lifecycle.life(), spec.access.told()
    return Module(
        name=name,
        image=_reference(workspace, image),
        env=dict(spec.env),
        limits=Limits(memory_bytes=spec.limits.memory, cpus=spec.limits.cpus, pids=spec.limits.pids),
        ready_timeout_s=spec.ready_timeout_seconds,
        stop_grace_s=spec.stop_grace_seconds,
        command=tuple(spec.command) if spec.command is not None else UNSET,
        lifecycle=life if life != Lifecycle() else UNSET,
        secrets=secrets or UNSET,
        access=asks if asks != Access() else UNSET,
    )
