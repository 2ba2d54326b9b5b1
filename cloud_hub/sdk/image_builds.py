"""Builds of images in a workspace."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from cloud_hub.sdk.base_files import FILE, base_archive
from cloud_hub.sdk.client import Client
from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.events import ActivityEvent
from cloud_hub.sdk.image_export import ExportFormat, export_image
from cloud_hub.sdk.image_types import Image
from cloud_hub.sdk.transfer import look_at, upload
from cloud_hub.sdk.types import Activity


class BuildChoices(TypedDict, total=False):
    """What may be chosen of a build, as `BuildCalls.start_build` explains it."""

    base: str
    base_secret: str | None
    platforms: Sequence[str]
    compression: str
    requirements: Path | None
    pyproject: Path | None
    conda: Path | None
    lock: Path | None
    allow_source_builds: bool
    kind: str
    fpga_precision: str
    fpga_reuse_factor: int
    fpga_data: Path | None


class BuildCalls:
    """What a `Workspace` can do to make images."""

    name: str
    _client: Client
    _path: str

    def start_build(
        self,
        name: str,
        model: str,
        script: Path | None = None,
        *,
        base: str = "host",
        base_secret: str | None = None,
        platforms: Sequence[str] = (),
        compression: str = "gzip",
        requirements: Path | None = None,
        pyproject: Path | None = None,
        conda: Path | None = None,
        lock: Path | None = None,
        allow_source_builds: bool = False,
        kind: str = "cpu",
        fpga_precision: str = "ap_fixed<16,6>",
        fpga_reuse_factor: int = 1,
        fpga_data: Path | None = None,
    ) -> Activity:
        """Start to build image ``name`` of a model; follow the activity.

        ``base`` is ``host``, ``debian``, ``oci:REFERENCE`` (with ``base_secret``, the name of a secret of the
        workspace, where the registry wants a login) or ``file:PATH``, an OCI layout (a folder or a tar) or
        a docker-archive, which is uploaded; ``platforms`` are such as ``linux/arm64``, none is the hub's own;
        ``compression`` is ``gzip`` or ``zstd``. Of ``requirements``, ``pyproject``, ``conda`` and ``lock``
        at most one; without one the image has what the scoring server needs.
        ``allow_source_builds`` lets the hub build packages without a wheel, each in a sandbox.
        ``kind`` is ``cpu`` or ``fpga``: a fixed-point emulation
        with ``fpga_precision``, measured on the arrays of ``fpga_data``, an .npz file.
        """
        files = {"requirements": requirements, "pyproject": pyproject, "conda": conda}
        given = {kind: path for kind, path in files.items() if path is not None}
        if len(given) + (lock is not None) > 1:
            raise SdkError("dependencies come from one file", where="build", fix="Give one of them.")
        asked = [
            {"kind": kind, "digest": self._uploaded(path)} for kind, path in given.items() if path is not None
        ]
        body: dict[str, object] = {
            "name": name,
            "model": model,
            "script_digest": self._uploaded(script),
            "base": self._uploaded_base(base),
            "base_secret": base_secret,
            "platforms": list(platforms),
            "compression": compression,
            "requirements": asked[0] if asked else None,
            "lock_digest": self._uploaded(lock),
            "allow_source_builds": allow_source_builds,
        }
        if kind == "fpga":
            body["fpga"] = {
                "precision": fpga_precision,
                "reuse_factor": fpga_reuse_factor,
                "data_digest": self._uploaded(fpga_data),
            }
        elif kind != "cpu" or fpga_data is not None:
            raise SdkError("the kind is not fpga", where="kind", fix="Choose cpu, or fpga for --fpga-data.")
        return self._client.post(f"{self._path}/images/builds", body, Activity)

    def build_image(
        self,
        name: str,
        model: str,
        script: Path | None = None,
        on_event: Callable[[ActivityEvent], None] | None = None,
        **choices: Unpack[BuildChoices],
    ) -> Image:
        """Build as `start_build` does and wait for it; ``on_event`` is told how it goes."""
        begun = self.start_build(name, model, script, **choices)
        done = self.wait(begun.id, on_event)
        return self.image((done.result or {})["image"])

    def wait(self, activity: str, on_event: Callable[[ActivityEvent], None] | None = None) -> Activity:
        """Wait for an activity; the workspace's own."""
        raise NotImplementedError

    def image(self, name: str) -> Image:
        """Return an image; the workspace's own."""
        raise NotImplementedError

    def export_image(
        self, name: str, file: Path, *, form: ExportFormat = "oci", platform: str | None = None
    ) -> int:
        """Write an image into a tar file and return its bytes.

        ``form`` is ``oci``, an OCI image layout, or ``docker``, what ``docker load`` reads; ``platform``
        alone, or all.
        """
        return export_image(self._client, self.image(name), file, form=form, platform=platform)

    def _uploaded_base(self, base: str) -> str:
        if not base.startswith(FILE):
            return base
        with base_archive(Path(base.removeprefix(FILE))) as archive:
            return f"blob:{self._uploaded(archive)}"

    def _uploaded(self, path: Path | None) -> str | None:
        if path is None:
            return None
        file = look_at(path)
        upload(self._client, self.name, file)
        return file.digest
