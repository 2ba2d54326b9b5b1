"""Time to build an image, cold and with another model only, against buildah with the same files.

`python -m benchmarks.image_builds [--rounds N] [--model-mb N] [--write]`. The wheels are fetched before.
buildah gets the files of our image's layers, one COPY a layer, and writes an OCI layout as we do. Cold: no
layer is known.
"""

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import in_turn, machine, ratios, spread, table
from benchmarks.hub import PAGE, refreshed
from cloud_hub.images.build import (
    BuildInputs,
    BuildOptions,
    BuiltImage,
    FolderLayerStore,
    PipWheelSource,
    build_image,
)
from cloud_hub.images.build.bases import native_target
from cloud_hub.images.build.options import Compression
from contract.digests import sha256

NAME = "image_builds"
BUILDAH = ("buildah", "--storage-driver=vfs")
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "zstd")


class Bench:
    """The inputs of all builds: wheels, a model and a changed model, and the files of the layers."""

    def __init__(self, folder: Path, model_bytes: int) -> None:
        self.folder = folder
        self.wheels = PipWheelSource(folder / "wheels")
        self.wheels.wheels(native_target())
        self.models = [folder / "model-0.onnx", folder / "model-1.onnx"]
        for path in self.models:
            path.write_bytes(os.urandom(model_bytes))
        self.context = folder / "context"
        self._unpack()

    def ours(self, store: Path, model: int, compression: Compression) -> BuiltImage:
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        file = self.models[model]
        return build_image(
            BuildInputs("bench", 1, file, sha256(file.read_bytes())),
            layers=FolderLayerStore(store),
            wheels=self.wheels,
            work_dir=work,
            progress=lambda _fraction, _message: None,
            cancelled=lambda: False,
            options=BuildOptions(compression=compression),
        )

    def _unpack(self) -> None:
        """Unpack each layer into a folder of its own, for buildah to copy."""
        store, lines = self.folder / "files", ["FROM scratch"]
        for number, layer in enumerate(self.ours(store, 0, "gzip").layers):
            if layer.title != "model":
                target = self.context / f"layer-{number}"
                with tarfile.open(FolderLayerStore(store).blob(layer.digest)) as tar:
                    tar.extraction_filter = lambda one, _: one
                    tar.extractall(target)
                lines.append(f"COPY layer-{number} /")
        lines.append("COPY model /var/headland/model")
        (self.context / "model").mkdir()
        (self.context / "Containerfile").write_text("\n".join(lines) + "\n")
        shutil.rmtree(store)

    def theirs(self, place: Path, model: int, compression: Compression) -> None:
        shutil.copy(self.models[model], self.context / "model/model.onnx")
        where = [*BUILDAH, f"--root={place / 'storage'}", f"--runroot={place / 'run'}"]
        build = ["bud", "--layers", "--isolation=chroot", "--quiet", "--timestamp=0", "--tag=bench"]
        layout = f"oci:{place / 'layout'}:bench"
        push = ["push", "--quiet", f"--compression-format={compression}", "bench", layout]
        for arguments in ([*build, str(self.context)], push):
            subprocess.run([*where, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Print the tables; return non-zero where buildah is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_builds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model-mb", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args()
    if shutil.which("buildah") is None:
        sys.stderr.write("error: buildah is missing (Debian, Ubuntu: apt install buildah)\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="hl-bench-", dir="/var/tmp") as folder:
        text = measured(Bench(Path(folder), options.model_mb << 20), options.rounds, options.model_mb)
    print(text)
    if options.write:
        PAGE.write_text(refreshed(PAGE.read_text(), NAME, text))
    return 0


def measured(bench: Bench, rounds: int, model_mb: int) -> str:
    """Measure and return the tables."""
    ways: dict[str, Callable[[], tuple[float, float]]] = {}
    for compression in COMPRESSIONS:
        for name, build in (("Headland", bench.ours), ("buildah", bench.theirs)):
            ways[f"{name}, {compression}"] = functools.partial(once, bench, build, compression)
    found = in_turn(ways, rounds)
    rows = []
    for name, figures in found.items():
        peer = found[f"buildah, {name.rpartition(' ')[2]}"]
        cells = []
        for position in (0, 1):
            own = [figure[position] for figure in figures]
            cells.append(spread(own).told(1))
            cells.append(ratios([one[position] for one in peer], own).told(1))
        rows.append([name, cells[0], cells[2], cells[1], cells[3]])
    head = ["builder", "cold, s", "another model, s", "times as fast as buildah, cold", "another model"]
    tables = table(head, rows)
    intro = (
        f"Median (smallest-largest) of {rounds} rounds, the ways in turn; the model has {model_mb} MB "
        f"of random bytes; {machine()}."
    )
    return "\n".join([intro, "", *tables])


def once(
    bench: Bench, build: Callable[[Path, int, Compression], object], compression: Compression
) -> tuple[float, float]:
    """Return seconds of a build with nothing known, and of the next with another model."""
    place = Path(tempfile.mkdtemp(dir=bench.folder))
    seconds = []
    for model in (0, 1):
        began = time.monotonic()
        build(place, model, compression)
        seconds.append(time.monotonic() - began)
    subprocess.run(["rm", "-rf", place], check=True)
    return seconds[0], seconds[1]


if __name__ == "__main__":
    sys.exit(main())
