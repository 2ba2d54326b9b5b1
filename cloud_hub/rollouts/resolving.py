"""What a manifest names, looked up in its workspace: images become digests, secrets become versions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import ManifestError, QueryError
from cloud_hub.images.rows import ImageRow
from cloud_hub.registry.names import repository_of
from cloud_hub.rollouts.manifest import Manifest, ModuleSpec
from cloud_hub.rollouts.secret_refs import resolve_secrets
from cloud_hub.rollouts.strategy import StrategySpec
from cloud_hub.rollouts.targets import MOST_DEVICES, DeviceFacts
from cloud_hub.rollouts.yaml_source import Source
from cloud_hub.telemetry.query import require_one_select
from contract.access import Access
from contract.agent_release import KIND, ORDERED_AS
from contract.desired import ImageRef, Limits, Module
from contract.errors import FieldProblem
from contract.ids import split_versioned
from contract.lifecycle import Lifecycle
from contract.secrets import SecretRef


def named(modules: Iterable[Module], agent: ImageRef | None) -> dict[str, str]:
    """Return the names of the images by module, and of the agent's release."""
    named = {module.name: module.image.name for module in modules}
    return named | ({ORDERED_AS: agent.name} if agent is not None else {})


@dataclass(frozen=True)
class Resolved:
    """What a manifest comes to: modules and the agent's release by digest, and the devices of each wave."""

    modules: tuple[Module, ...]
    agent: ImageRef | None
    waves: list[list[str]]

    @property
    def devices(self) -> list[str]:
        """All devices, wave by wave."""
        return [device for wave in self.waves for device in wave]


def resolve(session: Session, workspace: str, manifest: Manifest, source: Source) -> Resolved:
    """Turn names into digests and devices; every name that is not there is reported with its line."""
    fleet = _fleet(session, workspace)
    devices = manifest.spec.target.reached(fleet)
    problems = list(_unknown_devices({facts.device for facts in fleet}, devices, manifest, source))
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
    agent = _reference(workspace, release) if release is not None else None
    waves = (manifest.spec.strategy or StrategySpec()).divide(devices, fleet)
    return Resolved(tuple(modules), agent, waves)


def _fleet(session: Session, workspace: str) -> list[DeviceFacts]:
    """Return the devices of a workspace; a revoked one is known by its name, and nothing holds of it."""
    columns = (DeviceRow.id, DeviceRow.tags, DeviceRow.hello, DeviceRow.revoked_at)
    rows = session.execute(select(*columns).where(DeviceRow.workspace == workspace).order_by(DeviceRow.id))
    return [
        DeviceFacts(
            device=device,
            tags=tags,
            driver=(hello or {}).get("driver"),
            agent_version=(hello or {}).get("agent_version"),
            usable=revoked_at is None,
        )
        for device, tags, hello, revoked_at in rows
    ]


def _unknown_devices(
    known: set[str], devices: Sequence[str], manifest: Manifest, source: Source
) -> Iterable[FieldProblem]:
    target, seen = manifest.spec.target, set[str]()
    for index, device in enumerate(target.devices or ()):
        path = ("spec", "target", "devices", index)
        if device not in known:
            yield source.problem(path, "no such device in this workspace")
        elif device in seen:
            yield source.problem(path, "the device stands twice")
        seen.add(device)
    if not devices:
        yield source.problem(("spec", "target"), "no device is left: nothing of this holds of any")
    if len(devices) > MOST_DEVICES:
        yield source.problem(("spec", "target"), f"{len(devices)} devices, at most {MOST_DEVICES} may be")
    strategy = manifest.spec.strategy
    for wave, place, _ in strategy.unknown(devices) if strategy is not None else ():
        named_at = ("spec", "strategy", "waves", wave, "devices", place)
        yield source.problem(named_at, "the device is not in spec.target")
    for number, query in enumerate(strategy.gates.queries if strategy is not None else ()):
        try:
            require_one_select(query.sql)
        except QueryError as error:
            yield source.problem(("spec", "strategy", "gates", "queries", number, "sql"), error.what)


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
