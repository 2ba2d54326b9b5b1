"""Images as files: an OCI image layout, or a docker-archive, in one tar."""

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.image_types import Image
from cloud_hub.sdk.whole_file import whole_file
from contract import oci
from contract.digests import hex_of, sha256

ExportFormat = Literal["oci", "docker"]
REF_NAME = "org.opencontainers.image.ref.name"
BLOCK_BYTES = 512


def export_image(
    client: Client, image: Image, target: Path, *, form: ExportFormat, platform: str | None
) -> int:
    """Write an image to ``target``, which is there whole or not at all; return its bytes.

    ``oci`` is an OCI image layout with all platforms, or with one; ``docker`` what ``docker load`` reads,
    of one platform and in gzip. Every blob is checked. Raises `SdkError`.
    """
    source = _Source(client, image)
    with whole_file(target) as file:
        tar = _Tar(file)
        if form == "oci":
            _write_layout(tar, source, platform)
        else:
            _write_docker(tar, source, platform)
        tar.end()
    return target.stat().st_size


class _Source:
    """The registry's side of one image."""

    def __init__(self, client: Client, image: Image) -> None:
        self._client, self._path = client, f"{client.context.hub}/v2/{image.repository}"
        self.image = image

    def document(self, digest: str) -> bytes:
        accept = ", ".join((oci.INDEX, oci.MANIFEST))
        data = self._client.send(
            "GET", f"{self._path}/manifests/{digest}", headers={"Accept": accept}
        ).content
        if sha256(data) != digest:
            raise SdkError("a document arrived damaged", where=digest, fix="Try again.")
        return data

    def blob(self, digest: str) -> Iterator[bytes]:
        with self._client.stream(self._path + f"/blobs/{digest}", {}) as answer:
            yield from answer.iter_raw(1 << 20)

    def manifests(self, platform: str | None) -> list[tuple[oci.Descriptor, bytes]]:
        """Return the manifests of all platforms, or of one."""
        top = self.document(self.image.digest)
        said: dict[str, Any] = json.loads(top)
        if said["mediaType"] == oci.MANIFEST:
            return [(oci.Descriptor(mediaType=oci.MANIFEST, digest=self.image.digest, size=len(top)), top)]
        digests = {one.digest for one in self.image.platforms if platform in {None, one.platform}}
        found = []
        for entry in said["manifests"]:
            if entry["digest"] in digests:
                data = self.document(entry["digest"])
                descriptor = oci.Descriptor(mediaType=oci.MANIFEST, digest=entry["digest"], size=len(data))
                found.append((descriptor, data))
        if not found:
            raise SdkError(
                "the image is not for this platform",
                where=platform or "",
                fix=f"It is for {', '.join(one.platform for one in self.image.platforms)}.",
            )
        return found


class _Tar:
    """A tar being written, blob by blob, without holding any."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written: set[str] = set()

    def add(self, path: str, size_bytes: int, chunks: Iterable[bytes], digest: str = "") -> None:
        """Write a file, once; its bytes must have ``digest`` where one is given."""
        if path in self._written:
            return
        self._written.add(path)
        header = tarfile.TarInfo(path)
        header.size, header.mode = size_bytes, 0o644
        self._file.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
        seen, left = hashlib.sha256(), size_bytes
        for chunk in chunks:
            seen.update(chunk)
            left -= len(chunk)
            self._file.write(chunk)
        if left or (digest and seen.hexdigest() != hex_of(digest)):
            raise SdkError("a part of the image arrived damaged", where=path, fix="Try again.")
        self._file.write(bytes(-size_bytes % BLOCK_BYTES))

    def add_bytes(self, path: str, data: bytes) -> None:
        self.add(path, len(data), [data])

    def end(self) -> None:
        self._file.write(bytes(2 * BLOCK_BYTES))


def _write_layout(tar: _Tar, source: _Source, platform: str | None) -> None:
    found = source.manifests(platform)
    image = source.image
    tar.add_bytes("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    top = found[0][0]
    if platform is None and top.digest != image.digest:
        index = source.document(image.digest)
        top = oci.Descriptor(mediaType=oci.INDEX, digest=image.digest, size=len(index))
        tar.add_bytes(f"blobs/sha256/{hex_of(image.digest)}", index)
    for descriptor, data in found:
        tar.add_bytes(f"blobs/sha256/{hex_of(descriptor.digest)}", data)
        manifest = json.loads(data)
        for part in (manifest["config"], *manifest["layers"]):
            digest = part["digest"]
            tar.add(f"blobs/sha256/{hex_of(digest)}", part["size"], source.blob(digest), digest)
    entry = {
        "mediaType": top.mediaType,
        "digest": top.digest,
        "size": top.size,
        "annotations": {REF_NAME: str(image.version)},
    }
    index = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}).encode()
    tar.add_bytes("index.json", index)


def _write_docker(tar: _Tar, source: _Source, platform: str | None) -> None:
    found = source.manifests(platform)
    if len(found) > 1:
        raise SdkError(
            "a docker-archive is of one platform",
            where=", ".join(one.platform for one in source.image.platforms),
            fix="Say which: --platform linux/amd64.",
        )
    manifest = json.loads(found[0][1])
    if any(not layer["mediaType"].endswith("+gzip") for layer in manifest["layers"]):
        raise SdkError(
            "a docker-archive has no layers in zstd",
            where="layers",
            fix="Export as oci, or build it in gzip.",
        )
    config = manifest["config"]
    name = f"{hex_of(config['digest'])}.json"
    tar.add(name, config["size"], source.blob(config["digest"]), config["digest"])
    layers = []
    for layer in manifest["layers"]:
        layers.append(f"{hex_of(layer['digest'])}.tar.gz")
        tar.add(layers[-1], layer["size"], source.blob(layer["digest"]), layer["digest"])
    tag = f"{source.image.repository}:{source.image.version}"
    tar.add_bytes(
        "manifest.json", json.dumps([{"Config": name, "RepoTags": [tag], "Layers": layers}]).encode()
    )
