"""A file that is written whole, or is not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cloud_hub.sdk.errors import SdkError


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which becomes ``target`` when the block ends well, synced.

    What was there before stays after an error. Raises `SdkError` where it cannot be written.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise SdkError(
            f"it could not be written ({error.strerror})",
            where=str(target),
            fix="Check the path and the space.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
