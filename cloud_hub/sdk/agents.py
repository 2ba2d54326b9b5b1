"""Releases of the agent in a workspace's registry."""

from collections.abc import Sequence
from pathlib import Path

from cloud_hub.sdk.agent_packing import ReadRelease, read_release
from cloud_hub.sdk.client import Client
from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.image_types import Image
from contract import oci
from contract.agent_release import VERSION_LABEL
from contract.digests import sha256
from contract.encoding import canonical


class AgentCalls:
    """What a `Workspace` can do with releases of the agent."""

    _client: Client
    name: str

    def add_agent(self, files: Sequence[Path], name: str = "headland-agent") -> Image:
        """Put a release, a file for each platform, into the registry, as the next version of image ``name``.

        Raises `SdkError` for files that are none, or of different versions, or of one platform.
        """
        releases = [read_release(file) for file in files]
        versions = {one.labels[VERSION_LABEL] for one in releases}
        platforms = [one.descriptor.platform for one in releases]
        if len(versions) != 1 or any(platforms.count(one) > 1 for one in platforms):
            raise SdkError(
                "a release is one version, a file for each platform",
                fix="Add the others one after the other.",
            )
        repository = f"{self._client.context.hub}/v2/{self.name}/{name}"
        (version,) = versions
        for release in releases:
            self._push(repository, release)
        index = canonical(
            oci.Index(
                schemaVersion=2,
                mediaType=oci.INDEX,
                manifests=tuple(one.descriptor for one in releases),
                annotations={VERSION_LABEL: version},
            )
        )
        self._push_manifest(repository, index, oci.INDEX)
        return self._client.post(
            f"/workspaces/{self.name}/images",
            {"name": name, "reference": sha256(index), "models": [], "tags": {}, "description": version},
            Image,
        )

    def _push(self, repository: str, release: ReadRelease) -> None:
        for digest, data in release.blobs.items():
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
        self._push_manifest(repository, release.manifest, oci.MANIFEST)

    def _push_manifest(self, repository: str, data: bytes, kind: str) -> None:
        self._client.send(
            "PUT", f"{repository}/manifests/{sha256(data)}", content=data, headers={"Content-Type": kind}
        )
