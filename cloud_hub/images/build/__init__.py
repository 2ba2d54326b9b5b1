"""Image builds: an OCI image of a model, with nothing but Python.

Always true here:

- no container daemon, no root, no shell; nothing that goes into an image is executed or imported;
- the same inputs give the same bytes: entries are sorted, times are 0, owners are root, modes are
  fixed, bytecode is compiled without references and without time stamps. The compressed bytes also
  depend on the zlib in use, the layers' diff ids do not;
- no path of the building machine gets into an image;
- layers are ordered from what changes least to what changes most, and a layer whose inputs are known
  to the `LayerStore` is not built again;
- memory is bounded by the largest single file of the runtime, never by a layer or a model.
"""

from cloud_hub.images.build.build import build_image
from cloud_hub.images.build.errors import (
    BuildCancelledError,
    BuildError,
    HostRuntimeError,
    ModelChangedError,
    ScriptRefusedError,
    WheelDownloadError,
    WheelRefusedError,
)
from cloud_hub.images.build.folder_store import FolderLayerStore
from cloud_hub.images.build.options import BuildOptions
from cloud_hub.images.build.pip_wheels import PipWheelSource
from cloud_hub.images.build.ports import (
    Attached,
    BuildInputs,
    BuiltImage,
    InputFile,
    Layer,
    LayerStore,
    PlatformImage,
    Progress,
    Wheel,
    WheelSource,
)

__all__ = [
    "Attached",
    "BuildCancelledError",
    "BuildError",
    "BuildInputs",
    "BuildOptions",
    "BuiltImage",
    "FolderLayerStore",
    "HostRuntimeError",
    "InputFile",
    "Layer",
    "LayerStore",
    "ModelChangedError",
    "PipWheelSource",
    "PlatformImage",
    "Progress",
    "ScriptRefusedError",
    "Wheel",
    "WheelDownloadError",
    "WheelRefusedError",
    "WheelSource",
    "build_image",
]
