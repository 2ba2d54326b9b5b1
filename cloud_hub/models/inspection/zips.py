"""Zips that are models: numpy's .npz, Keras' .keras, PyTorch's .pt. No entry is unpacked to disk."""

import zipfile
import zlib
from typing import BinaryIO

from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.zip_entries import check_entry, check_layout
from cloud_hub.models.inspection import pickles
from cloud_hub.models.inspection.arrays import check_npy
from cloud_hub.models.inspection.errors import (
    ModelArchiveError,
    ModelDamagedError,
    ModelPickleError,
    ModelTooComplexError,
)
from cloud_hub.models.inspection.kinds import NPY, Kind
from cloud_hub.models.inspection.limits import InspectionLimits

SMALL_BYTES = 16 * 1024**2
NESTED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf")


def kind_of_zip(file: BinaryIO, size_bytes: int, limits: InspectionLimits) -> Kind:
    """Return ``npz``, ``keras`` or ``pytorch``; raises a `ModelRefusedError`.

    ``pytorch`` stands for every zip that holds a pickle; whether that may be kept is for the caller.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
            if len(found) > limits.max_zip_entries:
                raise ModelTooComplexError(f"a zip has more than {limits.max_zip_entries} entries")
            check_layout(found, archive.start_dir)
            for info in found:
                check_entry(info)
            expanded = sum(info.file_size for info in found)
            if expanded > max(SMALL_BYTES, limits.max_ratio * size_bytes):
                raise ModelTooComplexError(f"a zip expands more than {limits.max_ratio} times")
            return _kind(archive, found)
    except ArchiveRefusedError as error:
        raise ModelDamagedError(f"a zip is refused: {error.what}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError, KeyError) as error:
        raise ModelDamagedError("a zip is damaged or cut off") from error


def _kind(archive: zipfile.ZipFile, found: list[zipfile.ZipInfo]) -> Kind:
    names = {info.filename for info in found}
    files = [info for info in found if not info.is_dir()]
    if any(name.lower().endswith(pickles.SUFFIXES) for name in names):
        return "pytorch"
    arrays = bool(files)
    for info in files:
        with archive.open(info) as entry:
            head = entry.read(pickles.HEAD_BYTES)
        if head.startswith(NPY):
            check_npy(head)
            continue
        arrays = False
        if pickles.is_pickle(head, info.file_size):
            if info.filename.endswith(".npy"):
                raise ModelPickleError("an array holds pickled objects")
            return "pytorch"
        if head.startswith(NESTED):
            raise ModelArchiveError("a zip holds another archive")
    if arrays:
        return "npz"
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    raise ModelArchiveError("the file is a zip archive")
