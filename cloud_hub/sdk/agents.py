"""Releases of the agent in a workspace's registry."""

from collections.abc import Sequence
from pathlib import Path

from cloud_hub.sdk.agent_packing import read_release
from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.image_types import Image
from cloud_hub.sdk.pushing import PushCalls
from contract import oci
from contract.agent_release import VERSION_LABEL
from contract.encoding import canonical


class AgentCalls(PushCalls):
    """What a `Workspace` can do with releases of the agent."""

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
        (version,) = versions
        for release in releases:
            self.push_manifest(name, release.manifest, release.blobs)
        index = canonical(
            oci.Index(
                schemaVersion=2,
                mediaType=oci.INDEX,
                manifests=tuple(one.descriptor for one in releases),
                annotations={VERSION_LABEL: version},
            )
        )
        digest = self.push_manifest(name, index, {}, oci.INDEX)
        return self._client.post(
            f"/workspaces/{self.name}/images",
            {"name": name, "reference": digest, "models": [], "tags": {}, "description": version},
            Image,
        )
