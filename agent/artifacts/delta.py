"""The small way to a layer: a delta against one that is here, if the hub has one and it is smaller.

The hub keeps deltas as referrers of an image's manifest (docs/wire.md). Whatever goes wrong with one, the
layer is pulled whole instead; nothing counts before the new layer has its diff id.
"""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from agent.artifacts.errors import ArtifactError, DigestMismatchError, FetchError, StorageError
from agent.artifacts.extraction import OldLayer, extracted
from agent.artifacts.fetch import Registry
from agent.artifacts.store import ContentStore
from contract import oci
from contract.delta import container
from contract.digests import check_digest
from contract.encoding import decode
from contract.errors import HeadlandError
from contract.messages import PullReport

log = logging.getLogger(__name__)

MAX_DELTAS: Final = 10_000
# Memory of one at a time is what a device has for it.
_applying: Final = threading.Lock()


@dataclass(frozen=True)
class Offer:
    """A delta that the hub has: the manifest that leads to it, from which layer to which, and its size."""

    manifest: str
    from_diff_id: str
    to_diff_id: str
    size_bytes: int


class Savings:
    """Counts what came over the line, and what needed not to, since the agent started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report = PullReport(received_bytes=0, saved_bytes=0, deltas=0, fallbacks=0)

    def count_served(self) -> None:
        """Tell from now on what neighbours were given."""
        with self._lock:
            self._report = replace(self._report, served_bytes=0)

    def count_sources(self) -> None:
        """Tell from now on what came from other places than the hub."""
        with self._lock:
            self._report = replace(self._report, elsewhere_bytes=0, skipped_sources=0)

    def add(
        self,
        *,
        received: int = 0,
        saved: int = 0,
        deltas: int = 0,
        fallbacks: int = 0,
        elsewhere: int = 0,
        skipped: int = 0,
        served: int = 0,
    ) -> None:
        """Count."""
        with self._lock:
            was = self._report
            self._report = replace(
                was,
                received_bytes=was.received_bytes + received,
                saved_bytes=was.saved_bytes + saved,
                deltas=was.deltas + deltas,
                fallbacks=was.fallbacks + fallbacks,
                elsewhere_bytes=_plus(was.elsewhere_bytes, elsewhere),
                skipped_sources=_plus(was.skipped_sources, skipped),
                served_bytes=_plus(was.served_bytes, served),
            )

    def report(self) -> PullReport:
        """Return the counts."""
        with self._lock:
            return self._report


def _plus(count: int | UnsetType, more: int) -> int | UnsetType:
    return UNSET if isinstance(count, UnsetType) else count + more


def offers_for(repository: str, manifest: str, registry: Registry, store: ContentStore) -> list[Offer]:
    """Ask once for an image's deltas; none where the hub has none, or is too old to know of them.

    All that refers to the image is asked for, and deltas of each type that can be applied are taken: one
    question for each type would be a connection each.
    """
    if not store.has_recipes():
        return []
    try:
        data = registry.referrers(repository, manifest)
        listed = decode(data, oci.Index, what="list of referrers").manifests
        found = [each for each in listed if each.artifactType in container.MEDIA_TYPES]
        offers = [_offer(each) for each in found[:MAX_DELTAS] if container.TO in each.annotations]
    except FetchError:
        raise
    except (HeadlandError, ValueError, KeyError) as error:
        log.info("no deltas are to be had: %s", error)
        return []
    return offers


def choose(offers: list[Offer], diff_id: str, layer_bytes: int, store: ContentStore) -> Offer | None:
    """Return the smallest delta to a layer from one that is here; None: the layer itself is no larger.

    ``layer_bytes`` are those of the layer that are still to be pulled.
    """
    usable = [
        each
        for each in offers
        if each.to_diff_id == diff_id
        and each.size_bytes < layer_bytes
        and store.recipe(each.from_diff_id) is not None
    ]
    return min(usable, key=lambda each: each.size_bytes, default=None)


def pull_layer(
    repository: str,
    descriptor: oci.Descriptor,
    diff_id: str,
    offers: list[Offer],
    registry: Registry,
    store: ContentStore,
    savings: Savings,
) -> None:
    """Bring a layer here by the smallest way; raises `ArtifactError`.

    A line that breaks is no reason to give a delta up: it is gone on with at the next try.
    """
    partial = store.partial_file(descriptor.digest)
    # Nobody waits for a layer of which the hub has a small delta, nor for one that is half here.
    alone = _bytes_of(partial) == 0 and choose(offers, diff_id, descriptor.size, store) is None
    received = registry.blob_nearby(repository, descriptor, partial, patient=alone)
    if received is not None:
        savings.add(received=received, elsewhere=received)
        _unpack_whole(partial, diff_id, store)
        return
    offer = choose(offers, diff_id, descriptor.size - _bytes_of(partial), store)
    if offer is not None:
        try:
            received = _by_delta(repository, offer, registry.hub, store)
            savings.add(received=received, saved=max(0, descriptor.size - offer.size_bytes), deltas=1)
            log.info("layer %s: %d bytes of delta for %d", diff_id, offer.size_bytes, descriptor.size)
            partial.unlink(missing_ok=True)
            return
        except (FetchError, StorageError):
            raise
        except HeadlandError as error:
            savings.add(fallbacks=1)
            log.warning("layer %s: the delta is of no use, the whole layer is pulled: %s", diff_id, error)
    with store.shelf.coming(descriptor.digest, descriptor.size):
        savings.add(received=registry.blob(repository, descriptor, partial))
        _unpack_whole(partial, diff_id, store)


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unpack_whole(partial: Path, diff_id: str, store: ContentStore) -> None:
    with extracted(partial, diff_id, store) as made:
        if made != diff_id:
            partial.unlink()
            raise DigestMismatchError(
                "the unpacked layer is another than the configuration says", where=diff_id
            )
    store.shelf.put(partial)


def _by_delta(repository: str, offer: Offer, registry: Registry, store: ContentStore) -> int:
    """Bring a layer here by a delta; return the bytes received."""
    manifest = decode(registry.manifest(repository, offer.manifest), oci.Manifest, what="manifest of a delta")
    if len(manifest.layers) != 1 or manifest.layers[0].size != offer.size_bytes:
        raise ArtifactError("the delta is another than was offered", where=offer.manifest)
    descriptor = manifest.layers[0]
    partial = store.partial_file(descriptor.digest)
    with store.claimed([descriptor.digest, offer.from_diff_id]):
        received = registry.blob(repository, descriptor, partial)
        try:
            with _applying:
                _apply(partial, offer, store)
        finally:
            partial.unlink(missing_ok=True)
    return received


def _apply(delta: Path, offer: Offer, store: ContentStore) -> None:
    folder, recipe = store.layer(offer.from_diff_id), store.recipe(offer.from_diff_id)
    if folder is None or recipe is None:
        raise ArtifactError("the old layer went away", where=offer.from_diff_id)
    old = OldLayer(offer.from_diff_id, folder, recipe)
    with extracted(delta, offer.to_diff_id, store, old) as made:
        if made != offer.to_diff_id:
            # Either the delta is wrong, or a file of the old layer was changed: not again.
            store.forget_recipe(offer.from_diff_id)
            raise DigestMismatchError(
                "what the delta made is another layer than the configuration says", where=offer.to_diff_id
            )


def _offer(referrer: oci.Descriptor) -> Offer:
    told = referrer.annotations
    return Offer(
        manifest=check_digest(referrer.digest, where="referrer"),
        from_diff_id=check_digest(told[container.FROM], where=container.FROM),
        to_diff_id=check_digest(told[container.TO], where=container.TO),
        size_bytes=int(told[container.BYTES]),
    )
