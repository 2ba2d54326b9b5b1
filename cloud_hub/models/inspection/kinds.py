"""What kind of file is it? Told from its bytes; the name decides only where bytes cannot."""

import re
from typing import Final, Literal

from cloud_hub.models.inspection import pickles

Kind = Literal[
    "onnx", "safetensors", "tflite", "gguf", "keras", "keras-h5", "saved-model", "xgboost", "lightgbm",
    "npy", "npz", "pytorch", "pickle", "zip", "archive", "compressed", "other",
]  # fmt: skip
"""``zip`` is one whose entries are still to be looked at; ``other`` is none of these."""

FRAMEWORK: Final[dict[str, str]] = {
    "onnx": "onnx", "saved-model": "tensorflow", "tflite": "tflite", "keras": "keras", "keras-h5": "keras",
    "safetensors": "safetensors", "gguf": "gguf", "pytorch": "pytorch", "pickle": "pickle",
    "xgboost": "xgboost", "lightgbm": "lightgbm", "npz": "numpy", "npy": "numpy",
}  # fmt: skip
"""In this order: the first kind that a folder holds names its framework; without any, ``custom``."""

HDF5: Final = b"\x89HDF\r\n\x1a\n"
NPY: Final = b"\x93NUMPY"
OTHER_ARCHIVES: Final = (
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf'\x1c",
    b"!<arch>\n",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
)
SAFETENSORS_START: Final = re.compile(rb".{7}\x00\{", re.DOTALL)
XGBOOST_START: Final = re.compile(rb"\s*\{\s*\"(learner|version)\"")
ONNX_SUFFIX: Final = ".onnx"
FIRST_ONNX_TAG = 0x08


def kind_of(name: str, head: bytes, size_bytes: int) -> Kind:
    """Return the kind of a file by its first `pickles.HEAD_BYTES` bytes, and lastly by its name."""
    found = _by_magic(head)
    if found is not None:
        return found
    if pickles.is_pickle(head, size_bytes):
        return "pickle"
    inside = pickles.unwrapped(head)
    if inside is not None:
        return "pickle" if pickles.is_pickle(inside, len(inside) + 1) else "compressed"
    if SAFETENSORS_START.match(head):
        return "safetensors"
    if name.lower().endswith(ONNX_SUFFIX):
        return "onnx"
    if name.lower().endswith(pickles.SUFFIXES):
        return "pickle"
    if name == "saved_model.pb":
        return "saved-model"
    if XGBOOST_START.match(head):
        return "xgboost"
    # An ONNX file has no magic; its first field is nearly always ir_version, a small number.
    if len(head) > 2 and head[0] == FIRST_ONNX_TAG and 0 < head[1] < 0x40 and head[2] & 7 == 2:
        return "onnx"
    return "other"


def _by_magic(head: bytes) -> Kind | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head[257:262] == b"ustar" or head.startswith(OTHER_ARCHIVES):
        return "archive"
    if head[4:8] == b"TFL3":
        return "tflite"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    return None


MAGIC: Final[dict[bytes, Kind]] = {
    b"GGUF": "gguf",
    HDF5: "keras-h5",
    NPY: "npy",
    b"tree\nversion=": "lightgbm",
}
