"""The JSON of an image (OCI image specification 1.1): configuration, manifest, index; pure."""

from collections.abc import Sequence
from typing import Final

from cloud_hub.images.build.layout import (
    APP,
    LIBRARIES,
    MODEL_DIR,
    PYTHON,
    PYTHON_HOME,
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


def image_config(
    *,
    name: str,
    version: int,
    model_digest: str,
    architecture: str,
    has_script: bool,
    layers: Sequence[Layer],
) -> bytes:
    """Return the image configuration."""
    environment = (
        f"PATH={PYTHON_HOME}/bin:/usr/bin:/bin",
        f"LD_LIBRARY_PATH={LIBRARIES}",
        f"PYTHONPATH={APP}:{SITE_PACKAGES}",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONUNBUFFERED=1",
        "ORT_DISABLE_TELEMETRY=1",
        f"AZUREML_MODEL_DIR={MODEL_DIR}",
        f"HEADLAND_MODEL_NAME={name}",
        f"HEADLAND_MODEL_VERSION={version}",
    )
    run = oci.RunConfig(
        Entrypoint=(PYTHON, "-m", "modules.serving"),
        Env=(*environment, f"HEADLAND_SCRIPT={SCRIPT}") if has_script else environment,
        WorkingDir="/",
        User=f"{USER_ID}:{USER_ID}",
        StopSignal="SIGTERM",
        Labels=labels(name=name, version=version, model_digest=model_digest),
    )
    return canonical(
        oci.ImageConfig(
            architecture=architecture,
            os="linux",
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
                    mediaType=oci.LAYER_GZIP,
                    digest=layer.digest,
                    size=layer.size_bytes,
                    annotations={TITLE: layer.title},
                )
                for layer in layers
            ),
            annotations=annotations,
        )
    )


def image_index(manifest: bytes, architecture: str, annotations: dict[str, str]) -> bytes:
    """Return the index that names the manifest by its platform."""
    entry = oci.Descriptor(
        mediaType=oci.MANIFEST,
        digest=sha256(manifest),
        size=len(manifest),
        platform=oci.Platform(architecture=architecture),
    )
    return canonical(
        oci.Index(schemaVersion=2, mediaType=oci.INDEX, manifests=(entry,), annotations=annotations)
    )


def labels(*, name: str, version: int, model_digest: str) -> dict[str, str]:
    """Return the labels of an image, which are also the annotations of its manifest and index."""
    return {
        TITLE: name,
        VERSION: str(version),
        MODEL: f"{name}:{version}",
        MODEL_DIGEST: model_digest,
    }
