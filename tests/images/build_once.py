"""Builds one image in a process of its own; the result goes to stdout as JSON."""

import dataclasses
import json
import sys
import time
from pathlib import Path

from cloud_hub.images.build import BuildInputs, FolderLayerStore, PipWheelSource, build_image
from contract.digests import sha256


def main() -> None:
    root, wheels, model = map(Path, sys.argv[1:4])
    (root / "work").mkdir(parents=True)
    started = time.monotonic()
    image = build_image(
        BuildInputs("pump-wear", 3, model, sha256(model.read_bytes())),
        layers=FolderLayerStore(root),
        wheels=PipWheelSource(wheels),
        work_dir=root / "work",
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
    )
    left_over = [path.name for path in (root / "work").iterdir()]
    print(
        json.dumps(
            dataclasses.asdict(image) | {"seconds": time.monotonic() - started, "left_over": left_over}
        )
    )


if __name__ == "__main__":
    main()
