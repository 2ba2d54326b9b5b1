"""Pushing: blobs and manifests (OCI Distribution API 1.1, end-4 to end-7 and end-9 to end-11)."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote

from cloud_hub.oci_client.errors import RegistryContentError, RegistryError
from cloud_hub.oci_client.pull import IDLE_S, LEAST_BYTES_PER_S
from cloud_hub.oci_client.requests import RegistryRequests, scope_of
from cloud_hub.outbound.client import OutboundLimits
from cloud_hub.outbound.errors import OutboundFailedError
from contract.digests import sha256

OCTETS: Final = "application/octet-stream"
TRIES: Final = 3


def has_blob(requests: RegistryRequests, repository: str, digest: str) -> bool:
    """Does the registry have the blob in this repository?"""
    with requests.ask(
        "HEAD", f"/v2/{repository}/blobs/{digest}", scope=scope_of(repository, "pull", "push")
    ) as answer:
        if answer.status not in {200, 404}:
            raise requests.failed(answer, f"{repository}, a blob of it")
        return answer.status == 200


def put_blob(
    requests: RegistryRequests,
    repository: str,
    digest: str,
    size_bytes: int,
    read: Callable[[], Iterator[bytes]],
    *,
    mount_from: str = "",
) -> None:
    """Store a blob, which ``read`` opens anew for each try; ``mount_from`` is a repository that may have it.

    Raises `RegistryError` and its subclasses and what `Outbound` does.
    """
    for attempt in range(TRIES):
        if has_blob(requests, repository, digest):
            return
        try:
            _upload(requests, repository, digest, size_bytes, read, mount_from)
            return
        except (OutboundFailedError, RegistryError) as error:
            if not error.retriable or attempt == TRIES - 1:
                raise


def put_manifest(
    requests: RegistryRequests, repository: str, asked: str, data: bytes, media_type: str
) -> None:
    """Store a manifest or index by tag or digest; raises as `put_blob` does."""
    with requests.ask(
        "PUT",
        f"/v2/{repository}/manifests/{asked}",
        scope=scope_of(repository, "pull", "push"),
        headers={"Content-Type": media_type},
        body=data,
    ) as answer:
        if answer.status != 201:
            raise requests.failed(answer, f"{repository}, storing a manifest")
        told = answer.header("docker-content-digest")
        if told and told != sha256(data):
            raise RegistryContentError(
                "the registry stored a manifest under another digest",
                where=requests.registry,
                fix="Use a registry that keeps manifests as they are.",
            )


def delete_manifest(requests: RegistryRequests, repository: str, digest: str) -> bool:
    """Delete a manifest; False where the registry does not have it or does not delete."""
    with requests.ask(
        "DELETE", f"/v2/{repository}/manifests/{digest}", scope=scope_of(repository, "pull", "push", "delete")
    ) as answer:
        if answer.status not in {200, 202, 404, 405}:
            raise requests.failed(answer, f"{repository}, deleting a manifest")
        return answer.status in {200, 202}


def _upload(
    requests: RegistryRequests,
    repository: str,
    digest: str,
    size_bytes: int,
    read: Callable[[], Iterator[bytes]],
    mount_from: str,
) -> None:
    scope, start = scope_of(repository, "pull", "push"), f"/v2/{repository}/blobs/uploads/"
    asked = f"?mount={quote(digest)}&from={quote(mount_from, safe='')}" if mount_from else ""
    with requests.ask("POST", start + asked, scope=scope) as answer:
        if answer.status == 201 and mount_from:
            return
        if answer.status != 202:
            raise requests.failed(answer, f"{repository}, storing a blob")
        place = requests.path_of(answer.header("location"), start)
    place += ("&" if "?" in place else "?") + f"digest={quote(digest)}"
    limits = OutboundLimits(
        total_s=120.0 + size_bytes / LEAST_BYTES_PER_S, idle_s=IDLE_S, max_answer_bytes=64 * 1024
    )
    with requests.ask(
        "PUT",
        place,
        scope=scope,
        headers={"Content-Type": OCTETS},
        body=read,
        body_bytes=size_bytes,
        limits=limits,
    ) as answer:
        if answer.status != 201:
            raise requests.failed(answer, f"{repository}, storing a blob")
