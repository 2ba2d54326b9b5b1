"""What is kept with an image: the SBOM of each platform; the lock, the provenance and the build log."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cloud_hub.images.build.attaching import BUILD_LOG, LOCK, attach
from cloud_hub.images.build.build import PlatformPlan
from cloud_hub.images.build.lock import Lock, LockedDeb, as_bytes, locked_wheels
from cloud_hub.images.build.ports import Attached, BuildInputs, BuiltImage, LayerStore
from cloud_hub.images.build.provenance import MEDIA_TYPE as PROVENANCE
from cloud_hub.images.build.provenance import Origin, provenance_of
from cloud_hub.images.build.sbom import MEDIA_TYPE as SBOM
from cloud_hub.images.build.sbom import sbom_of
from contract import oci
from contract.digests import sha256


def lock_of(base: str, plans: Sequence[PlatformPlan], debian: Mapping[str, tuple[LockedDeb, ...]]) -> Lock:
    """Return the lock of what was planned."""
    wheels = {plan.base.target.platform: locked_wheels(plan.wheels) for plan in plans}
    return Lock(base=base, wheels=wheels, debian=dict(debian))


def with_papers(
    image: BuiltImage,
    inputs: BuildInputs,
    plans: Sequence[PlatformPlan],
    *,
    store: LayerStore,
    index: bytes,
    manifests: Sequence[bytes],
    lock: Lock,
    origin: Origin,
    log: str,
) -> BuiltImage:
    """Attach everything; SBOMs and the lock are the same for the same inputs, the others tell times."""
    found: list[Attached] = []
    for plan, one, manifest in zip(plans, image.manifests, manifests, strict=True):
        data = sbom_of(one.manifest_digest, one.platform, inputs, plan.wheels, plan.base.packages)
        subject = _descriptor(oci.MANIFEST, manifest)
        found.append(attach(store, subject, data, title="sbom.spdx.json", artifact_type=SBOM))
    subject = _descriptor(oci.INDEX, index)
    wheels = {wheel.digest: wheel for plan in plans for wheel in plan.wheels}
    system = [package for plan in plans for package in plan.base.packages]
    found.append(
        attach(
            store,
            subject,
            as_bytes(lock),
            title="lock.json",
            artifact_type=LOCK,
            media_type="application/json",
        )
    )
    found.append(
        attach(
            store,
            subject,
            provenance_of(image, origin, list(wheels.values()), system),
            title="provenance.json",
            artifact_type=PROVENANCE,
        )
    )
    found.append(
        attach(
            store, subject, log.encode(), title="build.log", artifact_type=BUILD_LOG, media_type="text/plain"
        )
    )
    return replace(image, attached=tuple(found))


def _descriptor(media_type: str, data: bytes) -> oci.Descriptor:
    return oci.Descriptor(mediaType=media_type, digest=sha256(data), size=len(data))
