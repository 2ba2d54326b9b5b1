"""What a manifest names, looked up in its workspace: images become digests, secrets become versions."""

from collections.abc import Iterable

from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import ManifestError
from cloud_hub.images.rows import ImageRow
from cloud_hub.registry.names import repository_of
from cloud_hub.rollouts.manifest import Manifest, ModuleSpec
from cloud_hub.rollouts.secret_refs import resolve_secrets
from cloud_hub.rollouts.yaml_source import Source
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


def resolve(
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
    strategy = manifest.spec.strategy
    for wave, place, _ in strategy.unknown(manifest.spec.target.devices) if strategy is not None else ():
        named_at = ("spec", "strategy", "waves", wave, "devices", place)
        yield source.problem(named_at, "the device is not in spec.target.devices")


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
