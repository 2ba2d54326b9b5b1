"""Builds images in a process of its own, as the JSON on its command line says; prints the result as JSON."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cloud_hub.images.build import (
    BuildInputs,
    BuildOptions,
    FolderLayerStore,
    PipWheelSource,
    Wheel,
    build_image,
)
from cloud_hub.images.build.bases import BaseSource, HostBases
from cloud_hub.images.build.build import PlatformPlan
from cloud_hub.images.build.debian.base import DebianBases
from cloud_hub.images.build.papers import lock_of
from cloud_hub.images.build.target import Target
from contract.digests import sha256


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to build; ``debian`` is a folder for its packages. ``bare``: without any wheel."""

    root: str
    wheels: str
    model: str
    base: str = "host"
    platforms: tuple[str, ...] = ()
    compression: str = "gzip"
    debian: str = ""
    bare: bool = False


class NoWheels:
    def wheels(self, target: Target) -> tuple[Wheel, ...]:
        return ()


def build(asked: Asked) -> dict[str, object]:
    root, model, plans = Path(asked.root), Path(asked.model), list[PlatformPlan]()
    (root / "work").mkdir(parents=True)
    debian = DebianBases(Path(asked.debian)) if asked.debian else None
    bases: BaseSource = debian or HostBases()
    image = build_image(
        BuildInputs("pump-wear", 3, model, sha256(model.read_bytes())),
        layers=FolderLayerStore(root),
        wheels=NoWheels() if asked.bare else PipWheelSource(Path(asked.wheels)),
        work_dir=root / "work",
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
        options=msgspec.convert(
            {"base": asked.base, "platforms": asked.platforms, "compression": asked.compression}, BuildOptions
        ),
        bases=bases,
        planned=plans.extend,
    )
    lock = lock_of(asked.base, plans, debian.used if debian is not None else {})
    left_over = [path.name for path in (root / "work").iterdir()]
    return {"image": msgspec.to_builtins(image), "left_over": left_over, "lock": msgspec.to_builtins(lock)}


def move_clock(seconds: float) -> None:
    """Let Python's clock tell another day: what reads it goes through these four."""
    now, local, utc = time.time, time.localtime, time.gmtime
    time.time = lambda: now() + seconds
    time.time_ns = lambda: int((now() + seconds) * 1e9)
    time.localtime = lambda at=None: local(time.time() if at is None else at)
    time.gmtime = lambda at=None: utc(time.time() if at is None else at)


def main(many: Sequence[str]) -> None:
    move_clock(float(os.environ.get("YEARS_AHEAD", "0")) * 365 * 86_400)
    built = [build(msgspec.json.decode(one, type=Asked)) for one in many]
    print(json.dumps({"built": built, "uid": os.getuid(), "year": time.localtime().tm_year}))


if __name__ == "__main__":
    main(sys.argv[1:])
