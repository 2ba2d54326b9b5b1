"""Makes the deltas of a new version, as an activity."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.activities.errors import ActivityStoppedError
from cloud_hub.activities.kinds import Kind, Progress
from cloud_hub.activities.service import Activities
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import MIB, ChildLimits
from cloud_hub.confinement.run import run_confined
from cloud_hub.db.engine import Database
from cloud_hub.errors import HubError
from cloud_hub.images.deltas.documents import EMPTY_CONFIG, EMPTY_TYPE, delta_manifest
from cloud_hub.images.deltas.making import SCALED
from cloud_hub.images.deltas.pairs import Pair, pairs_of
from cloud_hub.images.platforms import from_document
from cloud_hub.images.rows import ImageRow
from cloud_hub.registry.names import repository_of
from cloud_hub.registry.rows import ManifestRow
from cloud_hub.registry.service import Registry
from contract import oci
from contract.delta import container
from contract.digests import sha256

log = logging.getLogger(__name__)

DELTAS: Final = "image-deltas"
WORKER: Final = "cloud_hub.images.deltas.worker"
# A delta that is not clearly smaller costs the device more than the line gains.
WORTH: Final = 0.9
# Below this a layer is no more than its delta's own manifest and the asking.
LEAST_LAYER_BYTES: Final = 4096
# A larger tar is pulled whole: both of them lie on the hub's disk while a delta is made.
MAX_TAR_BYTES: Final = 8 * 1024 * MIB
LIMITS: Final = ChildLimits(
    memory_bytes=1536 * MIB, cpu_s=3600, wall_s=7200.0, file_bytes=MAX_TAR_BYTES, open_files=32
)


class DeltaParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the activity keeps: the row of the new version."""

    image: int


@dataclass(frozen=True)
class _Made:
    """A delta as a blob of the hub."""

    digest: str
    size_bytes: int
    kind: str

    @property
    def media_type(self) -> str:
        """Return its type: who cannot apply scaled tensors must not be offered them."""
        return container.SCALED_MEDIA_TYPE if self.kind == SCALED else container.MEDIA_TYPE


class ImageDeltas:
    """Deltas to new versions, in all workspaces; ``versions`` says from how many earlier ones (0: none)."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        registry: Registry,
        activities: Activities,
        *,
        work_dir: Path,
        versions: int,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._registry = registry
        self._activities = activities
        self._work_dir = work_dir
        self._versions = versions
        activities.register(Kind(DELTAS, self._run))

    def start_in(self, session: Session, image: ImageRow) -> None:
        """Queue the deltas of a version together with its registration, where there can be any.

        The transaction is one of `Activities.starting`: a version that is there has its deltas made, also
        where the hub ends right behind the commit.
        """
        if self._versions == 0 or image.version == 1:
            return
        parameters = msgspec.to_builtins(DeltaParameters(image=image.id))
        self._activities.start_in(session, image.workspace, DELTAS, image.created_by, parameters)

    def _run(self, raw: dict[str, Any], progress: Progress) -> dict[str, Any]:
        asked = msgspec.convert(raw, DeltaParameters)
        with self._database.reading() as session:
            image = session.get(ImageRow, asked.image)
            if image is None:
                return {"made": 0}
            earlier = session.scalars(
                select(ImageRow)
                .where(
                    ImageRow.workspace == image.workspace,
                    ImageRow.name == image.name,
                    ImageRow.version < image.version,
                )
                .order_by(ImageRow.version.desc())
                .limit(self._versions)
            ).all()
            pairs = pairs_of(
                from_document(image.platforms), [from_document(row.platforms) for row in earlier]
            )
        return self._all(repository_of(image.workspace, image.name), pairs, progress)

    def _all(self, repository: str, pairs: Sequence[Pair], progress: Progress) -> dict[str, Any]:
        made = saved = 0
        for number, pair in enumerate(pairs):
            progress(number / len(pairs), f"layer {pair.new.title}: looking at {pair.new.size_bytes} bytes")
            if pair.new.size_bytes < LEAST_LAYER_BYTES or self._is_there(repository, pair):
                continue
            found = self._make(pair, progress)
            if not found:
                progress(number / len(pairs), f"layer {pair.new.title}: no delta is clearly smaller")
                continue
            if not self._keep(repository, pair, found):
                continue
            made += 1
            smallest = min(found, key=lambda each: each.size_bytes)
            saved += pair.new.size_bytes - smallest.size_bytes
            words = f"{smallest.size_bytes} bytes of {smallest.kind} for {pair.new.size_bytes}"
            progress((number + 1) / len(pairs), f"layer {pair.new.title}: {words}")
        return {"made": made, "saved_bytes": saved}

    def _is_there(self, repository: str, pair: Pair) -> bool:
        """Was it made before, by an attempt that was cut off behind it?"""
        rows = self._registry.referrers_in(repository, pair.manifest, None)
        wanted = (pair.old.diff_id, pair.new.diff_id)
        return any(
            row.artifact_type in container.MEDIA_TYPES
            and (row.annotations.get(container.FROM), row.annotations.get(container.TO)) == wanted
            for row in rows
        )

    def _make(self, pair: Pair, progress: Progress) -> list[_Made]:
        """Return deltas that were proved, their bytes in the store; none where none is worth it."""
        layers = [("old", pair.old.digest), ("new", pair.new.digest)]
        with ExitStack() as closing:
            try:
                # What went out to another registry comes back for as long as this takes.
                blobs = closing.enter_context(self._blobs.as_folder(layers))
            except (HubError, FileNotFoundError) as error:
                log.warning("no delta to layer %s: its bytes cannot be had (%s)", pair.new.diff_id, error)
                return []
            return self._made_of(pair, blobs, progress)

    def _made_of(self, pair: Pair, blobs: Path, progress: Progress) -> list[_Made]:
        with TemporaryDirectory(dir=self._work_dir, prefix="delta-") as name:
            request = {
                "old": str(blobs / "old"),
                "new": str(blobs / "new"),
                "folder": name,
                "from": pair.old.diff_id,
                "to": pair.new.diff_id,
                "most_bytes": int(WORTH * pair.new.size_bytes),
                "max_bytes": MAX_TAR_BYTES,
            }
            try:
                answers = run_confined(WORKER, request, LIMITS, cancelled=progress.stopped)
            except ChildLostError as error:
                if error.ending == "cancelled":
                    raise ActivityStoppedError("the activity is to stop", where=progress.activity) from error
                log.warning("no delta to layer %s: %s", pair.new.diff_id, error)
                return []
            for answer in answers:
                self._blobs.save_file(answer["digest"], Path(name) / answer["file"])
            return [_Made(answer["digest"], answer["size_bytes"], answer["kind"]) for answer in answers]

    def _keep(self, repository: str, pair: Pair, deltas: Sequence[_Made]) -> bool:
        """Attach deltas to their image, all or none; none where the image went away meanwhile."""
        with self._database.transaction() as session:
            subject = session.get(ManifestRow, (repository, pair.manifest))
            if subject is None:
                return False
            self._blobs.save_bytes(EMPTY_CONFIG)
            empty = oci.Descriptor(mediaType=EMPTY_TYPE, digest=sha256(EMPTY_CONFIG), size=len(EMPTY_CONFIG))
            self._blobs.link(session, repository, empty.digest, empty.size, EMPTY_TYPE)
            for made in deltas:
                blob = oci.Descriptor(mediaType=made.media_type, digest=made.digest, size=made.size_bytes)
                self._blobs.link(session, repository, blob.digest, blob.size, OCTETS)
                manifest = delta_manifest(
                    oci.Descriptor(mediaType=oci.MANIFEST, digest=pair.manifest, size=subject.size_bytes),
                    blob,
                    empty,
                    from_diff_id=pair.old.diff_id,
                    to_diff_id=pair.new.diff_id,
                    kind=made.kind,
                )
                self._registry.keep_manifest(session, repository, manifest, oci.MANIFEST)
        return True
