"""How fast a large model goes up to a hub and down again over HTTPS, beside ``cp`` of the same file.

``python -m benchmarks.model_transfer [--mib 1024] [--folder DIR]``; prints one line for each way.
Nothing is asserted: the machine's disk and its other work decide.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud_hub.sdk import Hub
from cloud_hub.sdk.transfer import look_at
from simulators.demo.stage import Stage

MIB = 1024 * 1024


def timed(words: str, size_bytes: int, work: Callable[[], object]) -> None:
    """Do ``work``; print its MB/s."""
    began = time.perf_counter()
    work()
    took_s = time.perf_counter() - began
    print(f"{words:44} {took_s:7.2f} s {size_bytes / took_s / 1e6:8.0f} MB/s", flush=True)


@contextmanager
def a_hub(folder: Path) -> Iterator[Stage]:
    """Run a hub with a workspace."""
    stage = Stage(folder)
    try:
        stage.make_hub()
        stage.headland("workspace", "create", "shop")
        yield stage
    finally:
        stage.close()


def main() -> None:
    """Measure each way once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, size_bytes = Path(name), options.mib * MIB
        big, copy = folder / "big.bin", folder / "copy.bin"
        with big.open("wb") as file:
            for _ in range(options.mib):
                file.write(os.urandom(MIB))
            os.fsync(file.fileno())
        for words in ("cp, first", "cp, again"):
            timed(words, size_bytes, lambda: subprocess.run(["cp", big, copy], check=True))
        timed(
            "cp and sync",
            size_bytes,
            lambda: subprocess.run(f"cp {big} {copy} && sync {copy}", shell=True, check=True),
        )
        timed("sha256 of the file", size_bytes, lambda: look_at(big))
        with a_hub(folder) as _, Hub.connect() as hub:
            shop = hub.workspace()
            timed(
                "register (hash, send, hash, store)",
                size_bytes,
                lambda: shop.register_model("big", big, framework="custom"),
            )
            timed(
                "register again (hash, nothing sent)",
                size_bytes,
                lambda: shop.register_model("big", big, framework="custom"),
            )
            timed(
                "download (receive, hash, sync)",
                size_bytes,
                lambda: shop.download_model("big:1", folder / "to"),
            )


if __name__ == "__main__":
    main()
