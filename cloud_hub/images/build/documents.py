"""The JSON of an image (OCI image specification 1.1): configuration, manifest, index; pure."""

from collections.abc import Sequence
from typing import Final

from cloud_hub.images.build.layout import (
    APP,
    MODEL_DIR,
    SCRIPT,
    SITE_PACKAGES,
    USER_ID,
)
from cloud_hub.images.build.ports import Layer
from contract import oci
from contract.digests import sha256
from contract.encoding import canonical

EPOCH: Final = "1970-01-01T00:00:00Z"
TITLE: Final = "org.opencontainers.image.title"
VERSION: Final = "org.opencontainers.image.version"
MODEL: Final = "dev.headland.model"
MODEL_DIGEST: Final = "dev.headland.model.digest"
HEALTH_CHECK: Final = "dev.headland.healthcheck"
HEALTH_PATH: Final = "/v2/health/ready"
"""The path at which the scoring server says that it is ready."""
BASE_NAME: Final = "org.opencontainers.image.base.name"
BASE_DIGEST: Final = "org.opencontainers.image.base.digest"


def image_config(
    *,
    name: str,
    version: int,
    model_digest: str,
    platform: str,
    python: str,
    base_environment: Sequence[str],
    has_script: bool,
    layers: Sequence[Layer],
) -> bytes:
    """Return the image configuration; ``python`` is the program, which finds itself by its environment."""
    environment = (
        *base_environment,
        f"PYTHONPATH={APP}:{SITE_PACKAGES}",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONUNBUFFERED=1",
        "ORT_DISABLE_TELEMETRY=1",
        f"AZUREML_MODEL_DIR={MODEL_DIR}",
        f"HEADLAND_MODEL_NAME={name}",
        f"HEADLAND_MODEL_VERSION={version}",
    )
    run = oci.RunConfig(
        Entrypoint=(python, "-m", "modules.serving"),
        Env=(*environment, f"HEADLAND_SCRIPT={SCRIPT}") if has_script else environment,
        WorkingDir="/",
        User=f"{USER_ID}:{USER_ID}",
        StopSignal="SIGTERM",
        Labels=labels(name=name, version=version, model_digest=model_digest),
    )
    return canonical(
        oci.ImageConfig(
            architecture=platform.partition("/")[2],
            os=platform.partition("/")[0],
            created=EPOCH,
            config=run,
            rootfs=oci.RootFs(type="layers", diff_ids=tuple(layer.diff_id for layer in layers)),
        )
    )


def image_manifest(config: bytes, layers: Sequence[Layer], annotations: dict[str, str]) -> bytes:
    """Return the manifest of one platform; each layer is annotated with what it holds."""
    return canonical(
        oci.Manifest(
            schemaVersion=2,
            mediaType=oci.MANIFEST,
            config=oci.Descriptor(mediaType=oci.CONFIG, digest=sha256(config), size=len(config)),
            layers=tuple(
                oci.Descriptor(
                    mediaType=layer.media_type,
                    digest=layer.digest,
                    size=layer.size_bytes,
                    annotations={TITLE: layer.title},
                )
                for layer in layers
            ),
            annotations=annotations,
        )
    )


def image_index(manifests: Sequence[tuple[str, bytes]], annotations: dict[str, str]) -> bytes:
    """Return the index that names each manifest by its platform."""
    entries = tuple(
        oci.Descriptor(
            mediaType=oci.MANIFEST,
            digest=sha256(manifest),
            size=len(manifest),
            platform=oci.Platform(architecture=platform.partition("/")[2]),
        )
        for platform, manifest in manifests
    )
    return canonical(
        oci.Index(schemaVersion=2, mediaType=oci.INDEX, manifests=entries, annotations=annotations)
    )


def labels(*, name: str, version: int, model_digest: str) -> dict[str, str]:
    """Return the labels of an image, which are also the annotations of its manifest and index."""
    return {
        TITLE: name,
        VERSION: str(version),
        MODEL: f"{name}:{version}",
        MODEL_DIGEST: model_digest,
        HEALTH_CHECK: HEALTH_PATH,
    }


def base_of(name: str, digest: str) -> dict[str, str]:
    """Return the annotations that name an image's base."""
    return {BASE_NAME: name} | ({BASE_DIGEST: digest} if digest else {})
