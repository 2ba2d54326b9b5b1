"""From an HLS project's C++ to a shared library; runs in a confined child that may start g++.

The same project and compiler give the same bytes: relative paths, no build id, no symbols, and no
contraction of products and sums, which would differ between processors.
"""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

SOURCES: Final = ("firmware/model.cpp", "model_bridge.cpp", "headland_weights.cpp")
LIBRARY: Final = "emulation.so"
FLAGS: Final = (
    *("-O2", "-fPIC", "-std=c++17", "-ffp-contract=off", "-fno-gnu-unique", "-w"),
    *("-I.", "-Ifirmware/ap_types", "-include", "headland_weights.h", "-DWEIGHTS_DIR=headland_weights_dir()"),
    *("-shared", "-static-libstdc++", "-static-libgcc", "-s", "-Wl,--build-id=none"),
    "-Wl,--version-script=headland.map",
)
TIMES_OUT: Final = -signal.SIGXCPU


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Compile the project in ``request["folder"]``; answers ``{}``, or the compiler's first error."""
    folder = Path(request["folder"])
    scratch = folder.parent
    done = subprocess.run(
        [
            request["compiler"],
            *FLAGS,
            f"-ffile-prefix-map={folder}=.",
            *SOURCES,
            "-o",
            str(scratch / LIBRARY),
        ],
        cwd=folder,
        env={"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return {}
    lines = done.stderr.decode(errors="replace").splitlines()
    errors = [line for line in lines if "error" in line.lower()] or lines or ["it gave no reason"]
    return {"failed": errors[0].replace(str(scratch), "")[:300]}
