"""The image registry of a workspace; builds are in `cloud_hub.sdk.workspace`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.image_types import Attached, Image, ImagePage, ImageUse
from cloud_hub.sdk.pages import change_of, items_of
from cloud_hub.sdk.types import Activity


class ImageCalls:
    """What a `Workspace` can do with images that are there."""

    _client: Client
    _path: str

    def images(
        self,
        name: str | None = None,
        *,
        tags: Sequence[str] = (),
        model: str | None = None,
        platform: str | None = None,
        digest: str | None = None,
        package: str | None = None,
        layer: str | None = None,
        log: str | None = None,
        base: str | None = None,
        kind: str | None = None,
        min_bytes: int | None = None,
        max_bytes: int | None = None,
        created_by: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        latest: bool = False,
        order: str = "name",
        limit: int | None = None,
    ) -> list[Image]:
        """Find images; all that is said must hold.

        ``name``, ``base`` and ``layer`` (a layer's title) may have ``*`` and ``?``; ``tags`` are
        ``key=value``, or ``key``; ``model`` is ``name:version``, or ``name``; ``digest`` is of anything in
        the image; ``package`` is ``name==version``, or ``name``, of its SBOM; ``log`` is a text in its
        build's log. ``latest`` keeps the newest version of each name among those found. ``order`` is
        ``name`` or ``created``, with a ``-`` before it backwards. At most ``limit``, or all.
        """
        query = {
            "name": name,
            "tag": list(tags),
            "model": model,
            "platform": platform,
            "digest": digest,
            "package": package,
            "layer": layer,
            "log": log,
            "base": base,
            "kind": kind,
            "min_bytes": min_bytes,
            "max_bytes": max_bytes,
            "created_by": created_by,
            "created_after": created_after,
            "created_before": created_before,
            "latest": latest,
            "order": order,
        }
        return items_of(self._client, f"{self._path}/images", ImagePage, query, limit)

    def image(self, name: str) -> Image:
        """Return ``name`` (its newest version) or ``name:version``."""
        return self._client.get(f"{self._path}/images/{name}", Image)

    def register_image(
        self,
        name: str,
        reference: str,
        *,
        models: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> Image:
        """Register what another tool pushed under ``reference`` (a tag or digest) as the next version."""
        body = {
            "name": name,
            "reference": reference,
            "models": list(models),
            "tags": dict(tags or {}),
            "description": description,
        }
        return self._client.post(f"{self._path}/images", body, Image)

    def change_image(
        self, name: str, *, description: str | None = None, tags: Mapping[str, str | None] | None = None
    ) -> Image:
        """Change a version's description and tags; a tag set to None is taken away, the others stay."""
        return self._client.patch(f"{self._path}/images/{name}", change_of(description, tags), Image)

    def delete_image(self, name: str) -> None:
        """Delete ``name:version``; refused with ``image-in-use`` while a deployment uses it."""
        self._client.delete(f"{self._path}/images/{name}")

    def image_uses(self, name: str) -> list[ImageUse]:
        """Return the deployments that use a version."""
        return self._client.get(f"{self._path}/images/{name}/uses", list[ImageUse])

    def image_attached(self, name: str) -> list[Attached]:
        """Return what is attached to a version: SBOM, provenance, lock, build log, and what others pushed."""
        return self._client.get(f"{self._path}/images/{name}/attached", list[Attached])

    def image_packages(self, name: str) -> list[str]:
        """Return the packages of a version's SBOMs as ``name==version``."""
        return self._client.get(f"{self._path}/images/{name}/packages", list[str])

    def image_document(self, name: str, what: str, *, platform: str | None = None) -> bytes:
        """Return an attached document as it is: ``sbom``, ``provenance``, ``lock`` or ``log``."""
        return self._client.get_bytes(f"{self._path}/images/{name}/attached/{what}", platform=platform)

    def image_log(self, name: str) -> str:
        """Return the log of the build that made a version, as the activity or the image keeps it."""
        image = self.image(name)
        if image.activity is not None:
            activity = self._client.get(f"{self._path}/activities/{image.activity}", Activity)
            return "".join(f"{line.text}\n" for line in activity.log)
        return self.image_document(f"{image.name}:{image.version}", "log").decode(errors="replace")
