"""OCI images: the parts of the image specification 1.1 that Headland writes and reads."""

import msgspec

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
EMPTY_BYTES = b"{}"
EMPTY_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """The platform of an image (Go's names: ``amd64``, ``arm64``); both are written, as the rule asks."""

    architecture: str
    os: str = "linux"


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Reference to a blob by type, digest and size in bytes; of a referrer also what it is of."""

    mediaType: str
    digest: str
    size: int
    artifactType: str = ""
    annotations: dict[str, str] = {}
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Image manifest: the configuration and the layers, lowest first."""

    schemaVersion: int
    mediaType: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """Manifest of a document that refers to ``subject``; its configuration is empty."""

    schemaVersion: int
    mediaType: str
    artifactType: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Image index: one manifest for each platform."""

    schemaVersion: int
    mediaType: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a container of the image starts."""

    Entrypoint: tuple[str, ...] = ()
    Cmd: tuple[str, ...] = ()
    Env: tuple[str, ...] = ()
    WorkingDir: str = "/"
    User: str = ""
    Labels: dict[str, str] = {}
    StopSignal: str = ""


class RootFs(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of the layers' uncompressed tars, lowest first."""

    type: str = "layers"
    diff_ids: tuple[str, ...]


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Image configuration: platform, how it runs, and its layers' diff ids."""

    architecture: str
    os: str
    config: RunConfig
    rootfs: RootFs
    created: str = ""


def architecture_of(machine: str) -> str:
    """Return Go's name of a machine as ``platform.machine()`` gives it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
