"""Bytes of images into a workspace's registry, by the OCI Distribution API 1.1."""

from collections.abc import Mapping

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.errors import SdkError
from contract import oci
from contract.digests import sha256


class PushCalls:
    """What a `Workspace` can put into its registry."""

    _client: Client
    name: str

    def push_manifest(
        self, image: str, manifest: bytes, blobs: Mapping[str, bytes], kind: str = oci.MANIFEST
    ) -> str:
        """Put a manifest and the blobs that it names, by digest, under ``image``; return its digest.

        A blob that is there already is not sent again.
        """
        repository = f"{self._client.context.hub}/v2/{self.name}/{image}"
        for digest, data in blobs.items():
            try:
                self._client.send("HEAD", f"{repository}/blobs/{digest}")
            except SdkError:
                self._client.send(
                    "POST",
                    f"{repository}/blobs/uploads/",
                    params={"digest": digest},
                    content=data,
                    headers={"Content-Type": "application/octet-stream"},
                )
        digest = sha256(manifest)
        path = f"{repository}/manifests/{digest}"
        self._client.send("PUT", path, content=manifest, headers={"Content-Type": kind})
        return digest
